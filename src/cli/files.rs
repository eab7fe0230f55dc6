//! Topology files on the disk. Only reads, only regular files, and never waits for one.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};

use crate::source::{FILE_CAP, Files, Included, Inputs, Unreadable};

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        read(real(path)?)
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        let folder = fs::canonicalize(folder).map_err(unreadable)?;
        let identity = fs::canonicalize(path).map_err(unreadable)?;
        if identity.starts_with(&folder) { read(identity) } else { Err(Unreadable::Outside) }
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        let refused = |error: String| Unreadable::Io(error);
        let pattern = pattern.to_str().ok_or_else(|| refused("its name is not UTF-8".into()))?;
        // As in a shell: a star stays within a folder, and editors' hidden files are meant only where the dot is written.
        let options =
            glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
        let found = glob::glob_with(pattern, options).map_err(|error| refused(error.msg.into()))?;
        let mut paths: Vec<PathBuf> = found.collect::<Result<_, _>>().map_err(|error| unreadable(error.into()))?;
        paths.sort();
        Ok(paths)
    }
}

/// Files from elsewhere, and what the command line and the environment give beside them.
#[derive(Clone, Debug, Default)]
pub struct With<F> {
    /// Where they come from; overlays and files of values too.
    pub files: F,
    /// What is given.
    pub inputs: Inputs,
}

impl<F: Files> Files for With<F> {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        self.files.root(path)
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        self.files.included(folder, path)
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        self.files.matching(pattern)
    }

    fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }

    #[expect(clippy::disallowed_methods, reason = "a variable that a topology names")]
    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// The path after all links were followed.
pub fn real(path: &Path) -> Result<PathBuf, Unreadable> {
    fs::canonicalize(path).map_err(unreadable)
}

/// Opens a regular file of at most `cap` bytes by its real path.
pub fn open(path: &Path, cap: u64) -> Result<File, Unreadable> {
    // Before opening: to open a device may already do something.
    check(&fs::symlink_metadata(path).map_err(unreadable)?, cap)?;
    // Between the two somebody may put a FIFO or a link there: do not wait for the one nor follow the other.
    let flags = O_NONBLOCK | O_NOFOLLOW | O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    check(&file.metadata().map_err(unreadable)?, cap)?;
    Ok(file)
}

/// The text of a file, by its real path.
pub fn text(path: &Path) -> Result<String, Unreadable> {
    read(path.to_owned()).map(|file| file.text)
}

/// Reads a file by its real path.
fn read(identity: PathBuf) -> Result<Included, Unreadable> {
    let file = open(&identity, FILE_CAP)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(FILE_CAP + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let size = bytes.len() as u64;
    if size > FILE_CAP {
        return Err(Unreadable::TooLarge { size, cap: FILE_CAP });
    }
    let text = String::from_utf8(bytes).map_err(|error| Unreadable::NotUtf8(error.utf8_error().valid_up_to()))?;
    Ok(Included { identity, text })
}

fn check(metadata: &Metadata, cap: u64) -> Result<(), Unreadable> {
    if !metadata.is_file() {
        return Err(Unreadable::NotAFile(kind(metadata.file_type())));
    }
    if metadata.len() > cap {
        return Err(Unreadable::TooLarge { size: metadata.len(), cap });
    }
    Ok(())
}

fn kind(file: FileType) -> &'static str {
    if file.is_dir() {
        "directory"
    } else if file.is_fifo() {
        "FIFO"
    } else if file.is_socket() {
        "socket"
    } else if file.is_char_device() {
        "character device"
    } else if file.is_block_device() {
        "block device"
    } else {
        "special file"
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn unreadable(error: io::Error) -> Unreadable {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Unreadable::Missing,
        Some(errno) => Unreadable::Io(errno.desc().to_owned()),
        None => Unreadable::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::stat::Mode;

    use super::*;
    use crate::source::load;

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("lvsform-files-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Folder(fs::canonicalize(path).unwrap())
        }

        #[expect(clippy::disallowed_methods, reason = "the test writes what it reads")]
        fn with(self, name: &str, text: impl AsRef<[u8]>) -> Folder {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// The one problem of loading this file.
        fn problem(&self, name: &str) -> String {
            let loaded = load(&self.path(name), &DiskFiles);
            let messages: Vec<String> = loaded.problems.iter().map(|problem| problem.message.clone()).collect();
            assert_eq!(messages.len(), 1, "{messages:?}");
            messages[0].replace(self.0.to_str().unwrap(), "DIR")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_missing_root_a_directory_a_fifo_a_socket_and_a_device_are_named_and_never_waited_for() {
        let folder = Folder::new();
        fs::create_dir(folder.path("dir.kdl")).unwrap();
        nix::unistd::mkfifo(&folder.path("fifo.kdl"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(folder.path("socket.kdl")).unwrap();
        symlink("/dev/zero", folder.path("zero.kdl")).unwrap();
        assert_eq!(folder.problem("missing.kdl"), "`DIR/missing.kdl` does not exist");
        assert_eq!(folder.problem("dir.kdl"), "`DIR/dir.kdl` is a directory, not a regular file");
        assert_eq!(folder.problem("fifo.kdl"), "`DIR/fifo.kdl` is a FIFO, not a regular file");
        assert_eq!(folder.problem("socket.kdl"), "`DIR/socket.kdl` is a socket, not a regular file");
        assert_eq!(folder.problem("zero.kdl"), "`DIR/zero.kdl` is a character device, not a regular file");
    }

    #[test]
    fn a_file_of_50_mb_is_refused_by_its_size_alone() {
        let folder = Folder::new().with("big.kdl", "");
        OpenOptions::new().write(true).open(folder.path("big.kdl")).unwrap().set_len(50_000_000).unwrap();
        assert_eq!(folder.problem("big.kdl"), "`DIR/big.kdl` has 50000000 bytes; at most 33554432 are read");
    }

    #[test]
    fn a_file_that_is_not_utf_8_says_where() {
        let folder = Folder::new().with("latin.toml", b"a = \"Z\xfcrich\"\n");
        assert_eq!(
            folder.problem("latin.toml"),
            "`DIR/latin.toml` is not UTF-8 text: byte 6 (counted from 0) begins no character"
        );
    }

    #[test]
    fn an_include_that_a_link_leads_out_of_the_folder_shows_nothing_of_the_file() {
        let secret = Folder::new().with("secret.kdl", "hunter2 {");
        let folder = Folder::new().with("root.kdl", "include \"link.kdl\"\n");
        symlink(secret.path("secret.kdl"), folder.path("link.kdl")).unwrap();
        assert_eq!(folder.problem("root.kdl"), "`DIR/link.kdl` lies outside the root file's folder");
    }

    #[test]
    fn a_link_within_the_folder_is_followed_and_its_file_read_once() {
        let folder = Folder::new().with("root.kdl", "include \"a.kdl\" \"b.kdl\"\n").with("a.kdl", "a 1\n");
        symlink("a.kdl", folder.path("b.kdl")).unwrap();
        let loaded = load(&folder.path("root.kdl"), &DiskFiles);
        assert_eq!((loaded.tree.nodes.len(), loaded.problems), (1, Vec::new()));
    }

    #[test]
    fn a_pattern_finds_sorted_files_below_a_folder_with_brackets_in_its_name_and_no_hidden_ones() {
        let folder = Folder::new()
            .with("x[1]/root.toml", "include = [\"sites/*.kdl\", \"none/*.kdl\"]\n")
            .with("x[1]/sites/b.kdl", "b 1\n")
            .with("x[1]/sites/a.kdl", "a 1\n")
            .with("x[1]/sites/.hidden.kdl", "hidden 1\n")
            .with("x[1]/sites/deeper/c.kdl", "c 1\n");
        let loaded = load(&folder.path("x[1]/root.toml"), &DiskFiles);
        assert_eq!(loaded.problems, Vec::new());
        assert_eq!(loaded.tree.nodes.iter().map(|node| &*node.key).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_fifo_and_a_directory_that_a_pattern_finds_are_errors_at_the_pattern() {
        let folder = Folder::new().with("root.kdl", "include \"sites/*.kdl\"\n").with("sites/a.txt", "");
        nix::unistd::mkfifo(&folder.path("sites/f.kdl"), Mode::S_IRWXU).unwrap();
        assert_eq!(folder.problem("root.kdl"), "`DIR/sites/f.kdl` is a FIFO, not a regular file");
    }

    #[test]
    fn a_file_that_includes_itself_by_another_name_is_found() {
        let folder = Folder::new().with("sub/root.kdl", "include \"../sub/./root.kdl\"\n");
        assert_eq!(folder.problem("sub/root.kdl"), "a file that includes itself");
    }
}
