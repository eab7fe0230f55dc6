//! What `lvsform lab` promises, seen from outside: each test starts the program and boots a guest.
#![allow(clippy::disallowed_methods, reason = "tests run programs and look at files")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn lab(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.arg("lab").args(words).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder of this machine, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(mode: u32) -> Self {
        let folder = nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The processes of this machine with `word` among their arguments; each guest here has a memory size of its own.
fn processes_with(word: &str) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let has_word = |process: &PathBuf| {
        fs::read(process.join("cmdline")).is_ok_and(|line| line.split(|&byte| byte == 0).any(|found| found == word.as_bytes()))
    };
    processes.filter(has_word).collect()
}

/// Starts a guest that says "up" and stays, and returns when it has said so.
fn guest_that_stays(memory: &str) -> Child {
    let mut child = command(&["--kernel", "uml", "--memory", memory, "--", "sh", "-c", "echo up; exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n", "output must arrive while the command runs");
    child
}

#[test]
fn the_commands_exit_code_and_its_two_streams_arrive_apart() {
    let done = lab(&["--", "sh", "-c", "echo to stdout; echo to stderr >&2; echo more >/dev/stderr; exit 42"]);
    assert_eq!((text(&done.stdout), text(&done.stderr)), ("to stdout\n".into(), "to stderr\nmore\n".into()));
    assert_eq!(done.status.code(), Some(42));
}

#[test]
fn arguments_arrive_byte_for_byte_and_no_shell_reads_them() {
    let hostile =
        ["x; touch /run/injected", "$(touch /run/injected)", "`id`", "it's", "", "two\nlines", "--", "*", "\\n", "\u{1b}[2J"];
    let done = lab(&[&["--", "printf", "[%s]"], &hostile[..]].concat());
    assert_eq!(text(&done.stdout), hostile.map(|word| format!("[{word}]")).concat());
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

#[test]
fn the_guest_is_root_in_the_callers_folder_with_ipvs_and_no_network_device_but_lo() {
    let done = lab(&[
        "--",
        "sh",
        "-c",
        "id -u; pwd; ipvsadm -Ln >/dev/null && echo ipvs; ls /sys/class/net; cat /sys/class/net/lo/flags",
    ]);
    let here = std::env::current_dir().unwrap();
    assert_eq!(text(&done.stdout), format!("0\n{}\nipvs\nlo\n0x9\n", here.display()), "{}", text(&done.stderr));
}

#[test]
fn a_command_that_a_signal_ended_is_125_and_says_which() {
    let done = lab(&["--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(done.status.code(), Some(125));
    assert!(text(&done.stderr).contains("signal 9 ended the command"), "{}", text(&done.stderr));
}

#[test]
fn a_guest_that_dies_is_125_and_its_console_is_shown() {
    let done = lab(&["--", "sh", "-c", "echo c >/proc/sysrq-trigger; kill -9 1; busybox poweroff -f"]);
    assert_eq!(done.status.code(), Some(125));
    assert!(text(&done.stderr).contains("ended without an exit code"), "{}", text(&done.stderr));
}

#[test]
fn a_process_left_behind_by_the_command_does_not_hold_the_guest_up() {
    let done = lab(&["--timeout", "5m", "--", "sh", "-c", "sleep 1000 & echo done"]);
    assert_eq!((text(&done.stdout).as_str(), done.status.code()), ("done\n", Some(0)), "{}", text(&done.stderr));
}

#[test]
fn a_time_limit_ends_the_guest_with_124_and_leaves_no_process_behind() {
    let done = lab(&["--kernel", "uml", "--memory", "257", "--timeout", "2s", "--", "sleep", "1000"]);
    assert_eq!(done.status.code(), Some(124));
    assert!(text(&done.stderr).contains("longer than 2s"), "{}", text(&done.stderr));
    assert_eq!(processes_with("mem=257M"), [] as [PathBuf; 0]);
}

#[test]
fn the_guest_never_runs_as_root_on_the_host() {
    let mut child = guest_that_stays("259");
    let guests = processes_with("mem=259M").into_iter().filter(|process| {
        // The lab's own command line has the number, not the word; what is left are the guest's processes.
        fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with("linux.uml")) || nix::unistd::geteuid().is_root()
    });
    let uids: Vec<String> = guests
        .filter_map(|process| {
            let status = fs::read_to_string(process.join("status")).ok()?;
            status.lines().find(|line| line.starts_with("Uid:")).map(str::to_owned)
        })
        .collect();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(125), "a signal ends lab in order");
    assert!(!uids.is_empty());
    assert!(uids.iter().all(|line| line.split_whitespace().skip(1).all(|uid| uid != "0")), "{uids:?}");
    assert_eq!(processes_with("mem=259M"), [] as [PathBuf; 0]);
}

#[test]
fn a_lab_that_is_killed_takes_its_guest_along() {
    let mut child = guest_that_stays("261");
    let folders: Vec<String> = processes_with("mem=261M")
        .iter()
        .filter_map(|process| fs::read(process.join("cmdline")).ok())
        .flat_map(|line| line.split(|&byte| byte == 0).map(text).collect::<Vec<_>>())
        .filter_map(|word| Some(word.strip_prefix("init=")?.strip_suffix("/guest")?.to_owned()))
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let started = Instant::now();
    while processes_with("mem=261M").iter().any(|process| fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty())) {
        assert!(started.elapsed() < Duration::from_mins(1), "the guest lives on");
        std::thread::yield_now();
    }
    // Nobody was left to clear up.
    for folder in folders {
        let _ = fs::remove_dir_all(folder);
    }
}

/// As root in the guest: over the overlay, and over a second mount of the host's files, writable for all the guest knows.
/// QEMU's share is in use and takes no second one.
const BREAK_OUT: &str = r#"
    mkdir /mnt/again
    mount -t $1 $2 /mnt/again
    for root in "" /mnt/again; do
        echo changed >$root/$3/file
        chmod 777 $root/$3/file
        rm -f $root/$3/victim
        echo new >$root/$3/new
        mknod $root/$3/device c 1 3
    done 2>/dev/null
    cat /etc/shadow /mnt/again/etc/shadow 2>/dev/null
    cat $3/file
"#;

fn nothing_that_the_guest_writes_reaches_the_host(kernel: &str, kind: [&str; 2]) {
    let folder = Folder::new(0o755);
    for name in ["file", "victim"] {
        fs::write(folder.path(name), "as it was\n").unwrap();
        fs::set_permissions(folder.path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let words = ["--kernel", kernel, "--", "sh", "-c", BREAK_OUT, "sh", kind[0], kind[1], folder.0.to_str().unwrap()];
    let done = lab(&words);
    assert_eq!(text(&done.stdout), "changed\n", "the guest must see its own writes\n{}", text(&done.stderr));
    assert_eq!(fs::read_to_string(folder.path("file")).unwrap(), "as it was\n");
    let mut names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["file", "victim"]);
}

#[test]
fn nothing_that_a_user_mode_linux_guest_writes_reaches_the_host() {
    nothing_that_the_guest_writes_reaches_the_host("uml", ["hostfs", "none -o /"]);
}

#[test]
fn nothing_that_a_qemu_guest_writes_reaches_the_host() {
    nothing_that_the_guest_writes_reaches_the_host("qemu", ["9p", "host -o trans=virtio,version=9p2000.L"]);
}

#[test]
fn a_program_in_a_closed_folder_runs_when_the_folder_is_shared() {
    let closed = Folder::new(0o700);
    let inside = Path::new(&closed.path("project")).to_owned();
    fs::create_dir(&inside).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).unwrap();
    let program = inside.join("hello");
    fs::write(&program, "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let done = lab(&["--share", inside.to_str().unwrap(), "--", program.to_str().unwrap()]);
    let refused = text(&done.stderr).contains("CAP_SYS_ADMIN");
    assert!(refused || text(&done.stdout) == "hello\n", "{}", text(&done.stderr));
    if nix::unistd::geteuid().is_root() {
        let done = lab(&["--", program.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(1));
        assert!(text(&done.stderr).contains("is closed to it; add `--share DIR`"), "{}", text(&done.stderr));
    }
}
