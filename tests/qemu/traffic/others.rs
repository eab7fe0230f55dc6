//! The same state of a director's table by other tools: `ipvsadm -R`, and keepalived.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hand;

/// How often keepalived's table is looked at before it is called late. A look takes at least 30 ms.
const LOOKS: usize = 1000;

/// The director's table, as `ipvsadm` saves it, sorted: services come before their servers.
pub fn table() -> Vec<String> {
    let output = Command::new("ipvsadm").arg("-Sn").output().expect("ipvsadm");
    assert!(output.status.success());
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

/// The VIP, which is there whatever becomes of the table.
pub fn vip() {
    hand::run("ip", "addr add 10.0.1.100/32 dev front");
}

/// What `ipvsadm-restore` does, without its shell: clears the table, and fills it line by line.
pub fn restore(lines: &[String]) {
    hand::run("ipvsadm", "-C");
    hand::feed("ipvsadm", "-R", &(lines.join("\n") + "\n"));
}

/// A keepalived of ours.
pub struct Keepalived(Child);

impl Keepalived {
    /// Starts it, and waits until the table is what it is told.
    pub fn start(folder: &Path, lines: &[String]) -> Keepalived {
        let file = |name: &str| folder.join(name);
        std::fs::write(file("keepalived.conf"), configuration(lines)).expect("our own file");
        let log = File::create(file("keepalived.log")).expect("our own file");
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--check", "--no-syslog", "--log-console"]).arg("--use-file").arg(file("keepalived.conf"));
        command.arg("--pid").arg(file("keepalived.pid")).arg("--checkers_pid").arg(file("checkers.pid"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let mut keepalived = Keepalived(command.spawn().expect("keepalived: install the package of that name"));
        for _ in 0..LOOKS {
            if table() == lines {
                return keepalived;
            }
            if let Some(status) = keepalived.0.try_wait().expect("a child") {
                panic!("keepalived: {status}\n{}", std::fs::read_to_string(file("keepalived.log")).unwrap_or_default());
            }
        }
        let log = std::fs::read_to_string(file("keepalived.log")).unwrap_or_default();
        panic!("keepalived is late: {:#?}\n{lines:#?}\n{log}", table());
    }

    /// As `systemctl restart` does it: ended, waited for, and started with the new configuration.
    pub fn restart(&mut self, folder: &Path, lines: &[String]) {
        self.stop();
        *self = Keepalived::start(folder, lines);
    }

    fn stop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill(Pid::from_raw(i32::try_from(self.0.id()).expect("a process")), Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What `ipvsadm` saved, as keepalived's configuration, without checkers.
fn configuration(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, _, service, _, scheduler] = words[..] else { continue };
        let spaced = |end: &str| end.replace(':', " ");
        let _ = writeln!(text, "virtual_server {} {{\n lb_algo {scheduler}\n lb_kind NAT\n protocol TCP", spaced(service));
        for server in lines {
            if let [_, _, of, _, server, _, _, weight] = server.split(' ').collect::<Vec<&str>>()[..]
                && of == service
            {
                let _ = writeln!(text, " real_server {} {{\n  weight {weight}\n }}", spaced(server));
            }
        }
        text += "}\n";
    }
    text
}
