//! `lvsform lab`: the command around [`crate::lab`].

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::lab;

/// Run a command as root in a throw-away kernel over this machine's files
///
/// The command sees this machine's files and the current directory. Whatever it writes, loads or breaks is gone when it
/// ends. Its output and its exit code are the command's; 124 says that it took too long, 125 that the guest died or that
/// the command was ended by a signal. No root is needed. Called by root, the guest runs as the user who called sudo, or
/// as "nobody", and sees what that user may read.
#[derive(Debug, clap::Args)]
pub struct Lab {
    /// The kernel: `uml` (2 seconds, one CPU, no nftables), `qemu` (5 to 8 seconds, everything), `backports` (the same
    /// with the newest kernel that Debian builds for its release), or the name of a kernel package for QEMU. Without it `uml` where that is installed and enough
    #[arg(long, value_name = "uml|qemu|backports|PACKAGE", value_parser = kernel)]
    kernel: Option<lab::Kernel>,
    /// The guest's memory
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..))]
    memory: u32,
    /// The guest's CPUs; more than one takes QEMU
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    /// The longest that it may take, boot included
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// A folder that the guest's user cannot reach and that the command needs (only for root; may be repeated)
    #[arg(long, value_name = "DIR")]
    share: Vec<PathBuf>,
    /// The command and its arguments, passed on as they are
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Lab {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let lab = lab::Lab {
            kernel: self.kernel.clone(),
            memory: self.memory,
            cpus: self.cpus,
            timeout: self.timeout,
            share: self.share.clone(),
        };
        lab::run(&lab, &self.command).unwrap_or_else(|error| {
            let _ = writeln!(anstream::stderr(), "lvsform lab: {error}");
            error.exit_code()
        })
    }
}

fn kernel(name: &str) -> Result<lab::Kernel, String> {
    match name {
        "uml" => Ok(lab::Kernel::Uml),
        "qemu" => Ok(lab::Kernel::Qemu { package: None }),
        _ if name == "backports" || name.starts_with("linux-image-") => Ok(lab::Kernel::Qemu { package: Some(name.to_owned()) }),
        _ => Err("expected `uml`, `qemu`, `backports` or the name of a package, `linux-image-…`".to_owned()),
    }
}
