//! QEMU with a kernel of the distribution: everything that User-Mode Linux lacks, several CPUs among it.
//!
//! Takes hardware virtualisation where the guest's user may use it, else software emulation.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use super::package::{self, Package};
use super::work::Work;
use super::{Lab, LabError, Machine, cpio, host, program};

/// The first stage, in a first root of its own: find the host's files, put an overlay on them.
const INIT: &str = include_str!("guest/qemu.sh");

/// What the first stage needs of the kernel; in order, each with what it depends on.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

pub(super) fn machine(lab: &Lab, package: Option<&str>, work: &Work, progress: &mut dyn Write) -> Result<Machine, LabError> {
    let wanted = [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("modprobe", "kmod")];
    let [qemu, busybox, _] = program::find_all(wanted)?;
    let package = package::kernel(package, progress)?;
    let initramfs = initramfs(&package, &busybox).map_err(host("build the guest's first root"))?;
    let mut command = vec![qemu.into_os_string()];
    let mut add = |words: &[&dyn AsRef<OsStr>]| command.extend(words.iter().map(|word| OsString::from(word.as_ref())));
    add(&[&"-nodefaults", &"-no-user-config", &"-no-reboot", &"-display", &"none", &"-serial", &"stdio", &"-nic", &"none"]);
    add(&[&"-accel", &"kvm", &"-accel", &"tcg", &"-cpu", &"max"]);
    add(&[&"-m", &lab.memory.to_string(), &"-smp", &lab.cpus.to_string()]);
    add(&[&"-kernel", &package.image, &"-initrd", &work.folder.join("initramfs")]);
    let local = |path: &Path, rest| format!("local,path={},security_model=none,multidevs=remap,{rest}", path.display());
    add(&[&"-virtfs", &local(Path::new("/"), "mount_tag=host,readonly=on")]);
    add(&[&"-virtfs", &local(&work.results, "mount_tag=results")]);
    // An emulated processor may miss the ticks by which the kernel tries its timer at boot, and that is a panic.
    let options = "console=ttyS0 quiet loglevel=3 panic=-1 no_timer_check";
    add(&[&"-append", &format!("{options} lvsform.work={}", work.folder.display())]);
    let results = ["-t", "9p", "-o", "trans=virtio,version=9p2000.L,msize=512000,cache=none", "results"];
    Ok(Machine {
        command,
        results: results.map(OsString::from).into(),
        guest: ("initramfs", initramfs),
        needs: vec![package.image, package.modules.clone()],
        modules: package.modules,
        busybox,
    })
}

/// A root with busybox, the modules and the first stage in it.
fn initramfs(package: &Package, busybox: &Path) -> io::Result<Vec<u8>> {
    let folder = |name| cpio::Entry { name, mode: cpio::FOLDER, content: &[] };
    let shell = std::fs::read(busybox)?;
    let init = format!("#!/bin/busybox sh\n{INIT}");
    let modules = package.modules_for(&MODULES)?;
    let names: Vec<String> = (100..).zip(&modules).map(|(n, (name, _))| format!("modules/{n}-{name}")).collect();
    let mut entries: Vec<_> = ["bin", "dev", "host", "memory", "modules", "proc", "root"].map(folder).into();
    entries.push(cpio::Entry { name: "bin/busybox", mode: cpio::PROGRAM, content: &shell });
    entries.push(cpio::Entry { name: "init", mode: cpio::PROGRAM, content: init.as_bytes() });
    for (name, (_, content)) in names.iter().zip(&modules) {
        entries.push(cpio::Entry { name, mode: cpio::FILE, content });
    }
    let mut archive = Vec::new();
    cpio::write(&mut archive, &entries)?;
    Ok(archive)
}
