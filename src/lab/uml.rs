//! User-Mode Linux: a kernel that is a program. Needs no root.

use std::path::{Path, PathBuf};

use super::work::Work;
use super::{Lab, LabError, Machine, program};

/// Debian's name for the kernel.
pub(super) const PROGRAM: &str = "linux.uml";

/// Where Debian's package keeps the kernel's modules, a folder for each release.
const MODULES: &str = "/usr/lib/uml/modules";

/// The first stage: the kernel's first process, on the host's files.
const INIT: &str = include_str!("guest/uml.sh");

pub(super) fn machine(lab: &Lab) -> Result<Machine, LabError> {
    let wanted = [(PROGRAM, "user-mode-linux"), ("busybox", "busybox-static"), ("modprobe", "kmod")];
    let [linux, busybox, _] = program::find_all(wanted)?;
    if lab.cpus != 1 {
        return Err(LabError::Usage("User-Mode Linux has one CPU; take `--kernel qemu` for more".into()));
    }
    let memory = lab.memory;
    let init = format!("#!{} sh\nbusybox={}\n{INIT}", busybox.display(), busybox.display());
    Ok(Machine {
        command: Box::new(move |work: &Work| {
            let mut words = vec![linux.clone().into_os_string()];
            // The consoles: the kernel's messages go to our log, nothing else has one.
            words.extend(
                ["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "con=null", "con0=null,fd:1", "ssl=null"]
                    .map(Into::into),
            );
            words.push(format!("mem={memory}M").into());
            words.push(format!("init={}", work.folder.join("guest").display()).into());
            words.push(format!("uml_dir={}/", work.memory.display()).into());
            words
        }),
        results: Box::new(|folder: &Path| vec!["-t".into(), "hostfs".into(), "-o".into(), folder.into(), "results".into()]),
        guest: ("guest", init.into_bytes()),
        needs: vec![PathBuf::from(MODULES)],
        modules: PathBuf::from(MODULES),
        busybox,
    })
}
