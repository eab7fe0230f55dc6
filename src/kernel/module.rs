//! Kernel modules: whether one is there, and loading it. Nothing is ever unloaded.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;

use super::netlink::refusal;
use super::{Outcome, Refusal};

/// Whether a module is loaded or built in, as `/sys/module` and the kernel's own list of built-in modules say. A module
/// that nobody knows is not there.
#[expect(clippy::disallowed_methods, reason = "kernel/ is where files are opened")]
pub fn is_loaded(name: &str, release: &str) -> bool {
    if !is_name(name) {
        return false;
    }
    // The kernel writes every name with underscores.
    let name = name.replace('-', "_");
    let built_in = || {
        let list = std::fs::read_to_string(Path::new("/lib/modules").join(release).join("modules.builtin"));
        list.is_ok_and(|list| {
            list.lines()
                .filter_map(|line| line.rsplit('/').next()?.strip_suffix(".ko"))
                .any(|module| module.replace('-', "_") == name)
        })
    };
    Path::new("/sys/module").join(&name).exists() || built_in()
}

/// Loads a module with `modprobe`, which knows what it depends on.
///
/// The program gets no environment (`MODPROBE_OPTIONS` would change what it does) and a process group of its own, so that
/// an interrupt from the terminal does not cut it short.
#[expect(clippy::disallowed_methods, reason = "kernel/ is where programs are run, by absolute path")]
pub fn load(name: &str) -> Outcome {
    if !is_name(name) {
        return refused(Errno::EINVAL as i32, format!("`{name}` cannot be the name of a module"));
    }
    let Some(program) = ["/sbin/modprobe", "/usr/sbin/modprobe"].into_iter().find(|path| Path::new(path).exists()) else {
        return refused(Errno::ENOENT as i32, "there is no /sbin/modprobe: install kmod".to_owned());
    };
    let output = Command::new(program)
        .arg("--")
        .arg(name)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .output();
    match output {
        Ok(output) if output.status.success() => Outcome::Done,
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            refused(errno_of(&words), if words.is_empty() { format!("modprobe: {}", output.status) } else { words })
        }
        Err(error) => Outcome::Refused(refusal(&error)),
    }
}

/// The errno that modprobe says in words at the end of its message.
fn errno_of(words: &str) -> i32 {
    const KNOWN: [Errno; 5] = [Errno::EPERM, Errno::EEXIST, Errno::ENOEXEC, Errno::EINVAL, Errno::ENOMEM];
    KNOWN.into_iter().find(|errno| words.ends_with(errno.desc())).unwrap_or(Errno::ENOENT) as i32
}

fn refused(errno: i32, text: String) -> Outcome {
    Outcome::Refused(Refusal { errno, text: Some(text) })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}
