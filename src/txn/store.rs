//! Where a namespace's records lie: files that are whole or not there, in a folder that is ours alone.
//!
//! A record is written beside its name, synced, and renamed; the folder is synced after it. So a file under its own name
//! is complete, whatever died: one that cannot be read was damaged later. Nothing here follows a link, and nothing is read
//! that others could have written, for what these files say is done as root. The group of the directory may read all of it, so
//! that whoever watches need not be root. This module knows no record's content.

use std::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// Where records lie unless somebody says otherwise.
pub const DIRECTORY: &str = "/var/lib/lvsform";

/// So much is read of one record. A million objects take about half of it.
const CAP: u64 = 1 << 30;

/// The records of one network namespace.
pub struct Store {
    folder: PathBuf,
    before_sync: Option<Box<dyn FnMut() -> io::Result<()> + Send>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Why a record could not be read or written.
#[derive(Debug)]
pub enum StoreError {
    /// A folder or file is not ours alone: the path, and what is wrong with it.
    Unsafe(PathBuf, &'static str),
    /// The system said no: what was to be done to which path.
    Io(&'static str, PathBuf, io::Error),
    /// It is done, and the disk does not confirm that it has it: the folder in which it was done.
    Unsynced(PathBuf, io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unsafe(path, what) => write!(f, "{} {what}", path.display()),
            StoreError::Io(doing, path, error) => write!(f, "cannot {doing} {}: {}", path.display(), words(error)),
            StoreError::Unsynced(path, error) => {
                write!(f, "the disk does not confirm that it has what was written in {}: {}", path.display(), words(error))
            }
        }
    }
}

fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::from_raw(errno).desc().to_owned())
}

impl std::error::Error for StoreError {}

impl Store {
    /// The records of the namespace `name` below `directory`. Folders that are missing are made, for us and the directory's group.
    pub fn open(directory: &Path, name: &str) -> Result<Store, StoreError> {
        let folder = directory.join(name);
        let above = directory.parent().unwrap_or(directory);
        let made = DirBuilder::new().recursive(true).mode(0o750).create(above);
        made.map_err(|error| StoreError::Io("make", above.to_owned(), error))?;
        for path in [directory, &folder, &folder.join(Record::LEDGERS)] {
            match DirBuilder::new().mode(0o750).create(path) {
                Ok(()) => {
                    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                    let failed = |error| StoreError::Io("make", path.to_owned(), error);
                    let opened = open_folder(path).map_err(failed)?;
                    opened.set_permissions(Permissions::from_mode(0o750)).map_err(failed)?; // whatever the umask
                    if path != directory {
                        share(&opened, parent);
                    }
                    sync_folder(parent).map_err(failed)?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::Io("make", path.to_owned(), error)),
            }
            trusted(path)?;
        }
        Ok(Store { folder, before_sync: None })
    }

    /// The same for who only looks: `None` where there are no records. Makes nothing.
    pub fn look(directory: &Path, name: &str) -> Result<Option<Store>, StoreError> {
        let folder = directory.join(name);
        for path in [directory, &folder, &folder.join(Record::LEDGERS)] {
            match trusted(path) {
                Ok(()) => {}
                Err(StoreError::Io(_, _, error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Store { folder, before_sync: None }))
    }

    /// Calls `hook` before each sync, which fails as the hook does: where a test dies, or its disk does.
    pub fn before_each_sync(&mut self, hook: impl FnMut() -> io::Result<()> + Send + 'static) {
        self.before_sync = Some(Box::new(hook));
    }

    /// Where a record lies, to name it.
    pub fn path(&self, record: Record<'_>) -> PathBuf {
        self.folder.join(record.path())
    }

    /// A record's bytes; `None` where there is none.
    pub fn read(&self, record: Record<'_>) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(record);
        let failed = |error| StoreError::Io("read", path.clone(), error);
        let mut file = match OpenOptions::new().read(true).custom_flags(no_links()).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                return Err(StoreError::Unsafe(path, "is a link"));
            }
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || !is_trusted(&metadata) || metadata.len() > CAP {
            return Err(StoreError::Unsafe(path, "is not a file that only its owner can write"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Puts a record in place, whole. After [`StoreError::Unsynced`] it is there; after any other error what was there still is.
    pub fn put(&mut self, record: Record<'_>, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(record);
        let beside = path.with_extension("tmp");
        let failed = |error| StoreError::Io("write", beside.clone(), error);
        // What a run left behind that died here.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let written = new_file(&beside).and_then(|mut file| {
            file.write_all(bytes)?;
            self.about_to_sync()?;
            file.sync_all()
        });
        if let Err(error) = written {
            let _ = std::fs::remove_file(&beside); // a full disk keeps what is there already
            return Err(failed(error));
        }
        self.rename(&beside, &path)
    }

    /// Appends to a record, which is made if it is not there, and waits until it is on the disk.
    pub fn append(&mut self, record: Record<'_>, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(record);
        let options = OpenOptions::new().append(true).custom_flags(no_links()).open(&path);
        let opened = match options {
            Err(error) if error.kind() == io::ErrorKind::NotFound => new_file(&path),
            opened => opened,
        };
        let appended = opened.and_then(|mut file| {
            let metadata = file.metadata()?;
            if !is_trusted(&metadata) {
                return Err(Errno::EPERM.into());
            }
            file.write_all(bytes)?;
            self.about_to_sync()?;
            file.sync_data()
        });
        appended.map_err(|error| StoreError::Io("write", path, error))
    }

    /// Gives a record the place of another one. Takes no room on the disk.
    pub fn replace(&mut self, from: Record<'_>, to: Record<'_>) -> Result<(), StoreError> {
        let (from, to) = (self.path(from), self.path(to));
        self.rename(&from, &to)
    }

    /// Removes a record, if it is there.
    pub fn remove(&mut self, record: Record<'_>) -> Result<(), StoreError> {
        let path = self.path(record);
        match std::fs::remove_file(&path) {
            Ok(()) => self.sync_folder_of(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::Io("remove", path, error)),
        }
    }

    /// The topologies that have a ledger here, sorted.
    pub fn topologies(&self) -> Result<Vec<String>, StoreError> {
        let path = self.folder.join(Record::LEDGERS);
        let entries = std::fs::read_dir(&path).map_err(|error| StoreError::Io("look into", path.clone(), error))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().into_string().ok()?.strip_suffix(".ledger")?.to_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), StoreError> {
        std::fs::rename(from, to).map_err(|error| StoreError::Io("write", to.to_owned(), error))?;
        self.sync_folder_of(to)
    }

    fn sync_folder_of(&mut self, path: &Path) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(path);
        self.about_to_sync().and_then(|()| sync_folder(folder)).map_err(|error| StoreError::Unsynced(folder.to_owned(), error))
    }

    fn about_to_sync(&mut self) -> io::Result<()> {
        self.before_sync.as_mut().map_or(Ok(()), |hook| hook())
    }
}

/// What is kept of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// What a topology owns.
    Ledger(&'a str),
    /// What it will own when the transaction that is under way is done.
    NextLedger,
    /// What a topology owned before its last apply.
    Former(&'a str),
    /// What it will have owned before its last apply when the transaction that is under way is done.
    NextFormer,
    /// The transaction that is under way.
    Journal,
    /// How far it has come.
    Marks,
    /// A line for each run that ended.
    History,
}

impl Record<'_> {
    const LEDGERS: &'static str = "ledger";

    fn path(self) -> PathBuf {
        match self {
            Record::Ledger(topology) => Path::new(Self::LEDGERS).join(format!("{topology}.ledger")),
            Record::NextLedger => Path::new(Self::LEDGERS).join("next"),
            Record::Former(topology) => Path::new(Self::LEDGERS).join(format!("{topology}.former")),
            Record::NextFormer => Path::new(Self::LEDGERS).join("next-former"),
            Record::Journal => "journal".into(),
            Record::Marks => "marks".into(),
            Record::History => "history.jsonl".into(),
        }
    }
}

fn no_links() -> i32 {
    (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()
}

fn new_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o640).custom_flags(no_links()).open(path)?;
    file.set_permissions(Permissions::from_mode(0o640))?; // whatever the umask
    share(&file, path.parent().unwrap_or(path));
    Ok(file)
}

/// Gives what was made in a folder that folder's group. Who may not do so has no such group to care for.
fn share(made: &File, folder: &Path) {
    let groups = folder.metadata().and_then(|folder| Ok((folder.gid(), made.metadata()?.gid())));
    if let Ok((wanted, own)) = groups
        && wanted != own
    {
        let _ = fchown(made, None, Some(wanted));
    }
}

fn open_folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits()).open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(path)?.sync_all()
}

/// A folder in which nobody else can put anything. Root's own is good for everybody to read.
fn trusted(path: &Path) -> Result<(), StoreError> {
    let folder = path.symlink_metadata().map_err(|error| StoreError::Io("look at", path.to_owned(), error))?;
    if !folder.is_dir() {
        return Err(StoreError::Unsafe(path.to_owned(), "is not a folder"));
    }
    if !is_trusted(&folder) {
        return Err(StoreError::Unsafe(path.to_owned(), "belongs to another user, or others may write in it"));
    }
    Ok(())
}

/// Only root, or who runs this, can have written it.
fn is_trusted(metadata: &Metadata) -> bool {
    metadata.mode() & 0o022 == 0 && [0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid())
}
