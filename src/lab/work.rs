//! The working folder of one guest: what it is told, what it answers, and its memory. Gone when the guest is.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use terminal_size::{Width, terminal_size_of};

use super::fence::User;
use super::{LabError, Machine, host, program};

/// The guest's second stage, the same for every kernel.
const START: &str = include_str!("guest/start.sh");

/// `xargs` hands over 128 KiB of words at most; more would be run in pieces.
const LONGEST_COMMAND: usize = 96 * 1024;

/// Files that the guest writes. They are opened before it starts, so that it cannot put a link in their place.
pub(super) struct Work {
    /// The first stage, `start`, `command`: the guest only reads them.
    pub folder: PathBuf,
    /// `stdout`, `stderr`, `exit`: the guest writes here and nowhere else.
    pub results: PathBuf,
    /// Where User-Mode Linux keeps the guest's memory, in memory where there is room.
    pub memory: PathBuf,
    pub stdout: File,
    pub stderr: File,
    exit: File,
    console: File,
    user: User,
}

impl Work {
    pub fn new(user: User, memory: u32) -> Result<Self, LabError> {
        let failed = "make a working folder in /tmp";
        let folder = nix::unistd::mkdtemp("/tmp/lvsform-lab-XXXXXX").map_err(host(failed))?;
        let made = Self::fill(folder.clone(), user, memory).map_err(host(failed));
        if made.is_err() {
            let _ = fs::remove_dir_all(folder);
        }
        made
    }

    fn fill(folder: PathBuf, user: User, memory: u32) -> std::io::Result<Self> {
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        let results = folder.join("results");
        make_folder(&results, user)?;
        let memory = match memory_in_shm(memory) {
            Some(folder) => folder,
            None => folder.join("memory"),
        };
        make_folder(&memory, user)?;
        let [stdout, stderr, exit] = ["stdout", "stderr", "exit"].map(|name| make_file(&results.join(name), user));
        let console = make_file(&folder.join("console"), user)?;
        Ok(Self { folder, results, memory, stdout: stdout?, stderr: stderr?, exit: exit?, console, user })
    }

    /// Writes what the guest is to do: its two stages, and the command word by word.
    pub fn write_guest(&mut self, machine: &Machine, argv: &[OsString], cwd: &Path) -> Result<(), LabError> {
        let words = command(argv, cwd);
        if words.len() > LONGEST_COMMAND {
            return Err(LabError::Usage(format!("the command is longer than {LONGEST_COMMAND} bytes, its environment included")));
        }
        let results: Vec<String> = machine.results.iter().map(quoted).collect();
        let start = format!(
            "#!{} sh\nmodules={}\nbusybox={}\nmount_results() {{ $busybox mount {} \"$1\"; }}\n{START}",
            machine.busybox.display(),
            quoted(&machine.modules),
            quoted(&machine.busybox),
            results.join(" ")
        );
        let doing = "write the working folder";
        let (name, guest) = &machine.guest;
        self.add(name, guest, 0o555).map_err(host(doing))?;
        self.add("start", start.as_bytes(), 0o555).map_err(host(doing))?;
        self.add("command", &words, 0o400).map_err(host(doing))
    }

    /// Adds a file that the guest may read.
    pub fn add(&self, name: &str, content: &[u8], mode: u32) -> std::io::Result<()> {
        let mut file = make_file(&self.folder.join(name), self.user)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))
    }

    /// The command's exit status, if the guest lived to write it.
    pub fn exit_status(&mut self) -> Option<u8> {
        let mut text = String::new();
        Read::by_ref(&mut self.exit).take(8).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// A handle for the guest's process to write its console to.
    pub fn console(&self) -> std::io::Result<File> {
        self.console.try_clone()
    }

    /// The end of the console's text.
    pub fn console_text(&self) -> String {
        let length = self.console.metadata().map_or(0, |found| found.len());
        let mut end = vec![0; 64 * 1024];
        let read = self.console.read_at(&mut end, length.saturating_sub(64 * 1024)).unwrap_or(0);
        end.truncate(read);
        String::from_utf8_lossy(&end).into_owned()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.memory);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A new folder in `/dev/shm`, if that has room for `memory` MiB: a guest that runs out of it there dies without a word.
fn memory_in_shm(memory: u32) -> Option<PathBuf> {
    let shm = nix::sys::statvfs::statvfs("/dev/shm").ok()?;
    let free = shm.blocks_available() * shm.fragment_size();
    if free < u64::from(memory) << 20 {
        return None;
    }
    nix::unistd::mkdtemp("/dev/shm/lvsform-lab-XXXXXX").ok()
}

fn make_folder(folder: &Path, user: User) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    own(folder, user)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

fn make_file(file: &Path, user: User) -> std::io::Result<File> {
    let made = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(file)?;
    own(file, user)?;
    Ok(made)
}

fn own(path: &Path, user: User) -> std::io::Result<()> {
    if user.drop { chown(path, Some(user.uid), Some(user.gid)) } else { Ok(()) }
}

/// The words of the command, each ended by a zero byte, as `xargs -0` takes them: `env` sets its folder and environment.
fn command(argv: &[OsString], cwd: &Path) -> Vec<u8> {
    let mut words: Vec<OsString> = vec!["/usr/bin/env".into(), "-i".into(), "-C".into(), cwd.into()];
    words.extend(environment());
    words.extend(argv.iter().cloned());
    words.iter().flat_map(|word| word.as_bytes().iter().copied().chain([0])).collect()
}

/// What a command may depend on; the caller's other variables, secrets among them, stay outside.
fn environment() -> Vec<OsString> {
    let passed = |name: &OsStr| {
        let name = name.to_string_lossy();
        matches!(&*name, "TERM" | "LANG" | "NO_COLOR" | "CLICOLOR_FORCE" | "COLUMNS")
            || ["LC_", "RUST_", "PROPTEST_"].iter().any(|start| name.starts_with(start))
    };
    let path = std::env::join_paths(program::path()).unwrap_or_default();
    let fixed = [("PATH".into(), path), ("HOME".into(), "/root".into()), ("USER".into(), "root".into())];
    let variables = terminal().into_iter().chain(std::env::vars_os().filter(|(name, _)| passed(name))).chain(fixed);
    variables.map(|(name, value)| [name, value].join(OsStr::new("="))).collect()
}

/// The guest's output goes through a file. What stands behind that file is told in variables, which the caller's own
/// override.
fn terminal() -> Vec<(OsString, OsString)> {
    let out = std::io::stdout();
    let mut told = Vec::new();
    if out.is_terminal() {
        told.push(("CLICOLOR_FORCE".into(), "1".into()));
        told.extend(terminal_size_of(out).map(|(Width(columns), _)| ("COLUMNS".into(), columns.to_string().into())));
    }
    told
}

/// A word for a script of ours: in single quotes, as POSIX shells take them.
fn quoted(word: impl AsRef<OsStr>) -> String {
    format!("'{}'", word.as_ref().to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_command_stand_as_they_are_each_ended_by_zero() {
        let words = command(&["echo".into(), "x; touch /run/injected\n".into(), "".into()], Path::new("/tmp"));
        assert!(words.starts_with(b"/usr/bin/env\0-i\0-C\0/tmp\0"));
        assert!(words.ends_with(b"echo\0x; touch /run/injected\n\0\0"));
    }

    #[test]
    fn a_quote_in_a_path_does_not_end_the_word() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
