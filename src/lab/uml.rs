//! User-Mode Linux: a kernel that is a program. Needs no root.

use std::ffi::OsString;
use std::path::PathBuf;

use super::work::Work;
use super::{Lab, LabError, Machine, program};

/// Debian's name for the kernel.
pub(super) const PROGRAM: &str = "linux.uml";

/// Where Debian's package keeps the kernel's modules, a folder for each release.
const MODULES: &str = "/usr/lib/uml/modules";

/// The first stage: the kernel's first process, on the host's files.
const INIT: &str = include_str!("guest/uml.sh");

pub(super) fn machine(lab: &Lab, work: &Work) -> Result<Machine, LabError> {
    let wanted = [(PROGRAM, "user-mode-linux"), ("busybox", "busybox-static"), ("modprobe", "kmod")];
    let [linux, busybox, _] = program::find_all(wanted)?;
    if lab.cpus != 1 {
        return Err(LabError::Usage("User-Mode Linux has one CPU; take `--kernel qemu` for more".into()));
    }
    let mut command = vec![linux.into_os_string()];
    // Of the consoles only the kernel's own leads anywhere: to our log.
    let fixed = ["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "con=null", "con0=null,fd:1", "ssl=null"];
    command.extend(fixed.map(OsString::from));
    command.push(format!("mem={}M", lab.memory).into());
    command.push(format!("init={}/guest", work.folder.display()).into());
    command.push(format!("uml_dir={}/", work.memory.display()).into());
    let init = format!("#!{} sh\nbusybox={}\n{INIT}", busybox.display(), busybox.display());
    Ok(Machine {
        command,
        results: vec!["-t".into(), "hostfs".into(), "-o".into(), work.results.clone().into(), "results".into()],
        guest: ("guest", init.into_bytes()),
        needs: vec![PathBuf::from(MODULES)],
        modules: PathBuf::from(MODULES),
        busybox,
    })
}
