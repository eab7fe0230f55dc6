//! A disk that writes down every write, and what it holds if the power goes at any moment.
//!
//! `dm-log-writes` stands between a file system and its disk (`Documentation/admin-guide/device-mapper/log-writes.rst`, and
//! `drivers/md/dm-log-writes.c` for what lies in the log). A write has its place in the log from the flush on that made it
//! last: so every beginning of the log is what the disk holds for certain, and of the writes after the last flush it may
//! hold any.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};

use crate::hand;
use crate::recorded::Folder;
use crate::world::World;

/// So much of a write is on the disk whole or not at all.
const PAGE: usize = 4096;

/// Room for a file system with a journal.
const DISK: u64 = 10 << 20;

/// Room for what a run writes, many times.
const LOG: u64 = 16 << 20;

/// A file as a block device.
struct Device {
    file: PathBuf,
    path: String,
}

impl Device {
    fn new(world: &World, file: PathBuf) -> Device {
        let path = world.witness("losetup", &format!("-f --show {}", file.display())).trim().to_owned();
        Device { file, path }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        quietly("losetup", &["-d", &self.path]);
    }
}

/// What is done while a test fails must not fail it again.
fn quietly(program: &str, arguments: &[&str]) {
    let _ = std::process::Command::new(program).args(arguments).status();
}

/// A disk with an ext4 file system.
pub struct Disk {
    device: Device,
    folder: Folder,
    options: &'static str,
}

impl Disk {
    /// `features`: how it is made, `options`: how it is mounted.
    pub fn new(world: &World, features: &str, options: &'static str) -> Disk {
        hand::run("modprobe", "-a loop dm-log-writes");
        let folder = Folder::new();
        let file = sparse(&folder, "disk", DISK);
        hand::run("mkfs.ext4", &format!("-q -b 4096 -J size=4 -O {features} {}", file.display()));
        std::fs::create_dir(folder.path().join("mounted")).expect("our own folder");
        Disk { device: Device::new(world, file), folder, options }
    }

    pub fn mount(&self) -> Mounted {
        self.mount_device(&self.device.path)
    }

    fn mount_device(&self, device: &str) -> Mounted {
        let at = self.folder.path().join("mounted");
        mount(Some(device), &at, Some("ext4"), MsFlags::empty(), Some(self.options)).expect("a file system");
        Mounted(at)
    }

    pub fn image(&self) -> Vec<u8> {
        std::fs::read(&self.device.file).expect("our own file")
    }

    /// Makes it hold what it held at some moment. Nothing may be mounted.
    pub fn put(&self, image: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.device.file).expect("our own file");
        file.write_all_at(image, 0).expect("our own file");
    }
}

fn sparse(folder: &Folder, name: &str, size: u64) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::File::create(&path).and_then(|file| file.set_len(size)).expect("our own folder");
    path
}

/// A file system in its place.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if umount(&self.0).is_err() {
            let _ = umount2(&self.0, MntFlags::MNT_DETACH);
        }
    }
}

/// A disk while its writes are written down.
pub struct Recorder<'a> {
    disk: &'a Disk,
    log: Device,
    name: String,
    base: Vec<u8>,
}

impl<'a> Recorder<'a> {
    pub fn start(world: &World, disk: &'a Disk) -> Recorder<'a> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("power-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let log = Device::new(world, sparse(&disk.folder, "log", LOG));
        let recorder = Recorder { disk, log, name, base: disk.image() };
        let table = format!("0 {} log-writes {} {}\n", DISK / 512, disk.device.path, recorder.log.path);
        // Without udev the program makes the device's file itself.
        hand::feed("env", &format!("DM_DISABLE_UDEV=1 dmsetup create {}", recorder.name), &table);
        recorder
    }

    pub fn mount(&self) -> Mounted {
        self.disk.mount_device(&format!("/dev/mapper/{}", self.name))
    }

    /// What notes that something has come to pass: what the disk held for certain by then is before it in the log.
    pub fn marker(&self) -> impl Fn(&str) + Send + 'static {
        let name = self.name.clone();
        move |mark| hand::run("dmsetup", &format!("message {name} 0 mark {mark}"))
    }

    /// Nothing may be mounted any more.
    pub fn end(mut self) -> Film {
        self.remove();
        let entries = entries(&std::fs::read(&self.log.file).expect("our own file"));
        Film { base: std::mem::take(&mut self.base), entries }
    }

    fn remove(&mut self) {
        if !self.name.is_empty() {
            quietly("env", &["DM_DISABLE_UDEV=1", "dmsetup", "remove", &self.name]);
            self.name.clear();
        }
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        self.remove();
        let _ = std::fs::remove_file(&self.log.file);
    }
}

/// What was written down.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Something has come to pass.
    Mark(String),
    /// Every write before it lasts.
    Flush,
    /// A write; `lasting`: without any flush.
    Write { at: usize, data: Vec<u8>, lasting: bool },
}

/// A disk from one moment to a later one.
pub struct Film {
    base: Vec<u8>,
    pub entries: Vec<Entry>,
}

impl Film {
    /// What the disk holds after so many entries.
    pub fn image(&self, count: usize) -> Vec<u8> {
        self.torn(count, |_| true)
    }

    /// The same, but of the writes since the last flush only those pages that `kept` says.
    pub fn torn(&self, count: usize, mut kept: impl FnMut(usize) -> bool) -> Vec<u8> {
        let mut image = self.base.clone();
        let entries = &self.entries[..count];
        let flushed = entries.iter().rposition(|entry| matches!(entry, Entry::Flush)).unwrap_or(0);
        for (number, entry) in entries.iter().enumerate() {
            let Entry::Write { at, data, lasting } = entry else { continue };
            for (page, data) in data.chunks(PAGE).enumerate() {
                let at = at + page * PAGE;
                if number < flushed || *lasting || kept(at) {
                    image[at..at + data.len()].copy_from_slice(data);
                }
            }
        }
        image
    }

    /// How many writes do not last after so many entries.
    pub fn unflushed(&self, count: usize) -> usize {
        let since = self.entries[..count].iter().rev().take_while(|entry| !matches!(entry, Entry::Flush));
        since.filter(|entry| matches!(entry, Entry::Write { lasting: false, .. })).count()
    }
}

const MAGIC: u64 = 0x6a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// Reads a log: a sector that says how many entries there are, then each with a sector of its own and its data.
fn entries(log: &[u8]) -> Vec<Entry> {
    let number = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().expect("8 bytes"));
    let length = |at: usize| usize::try_from(number(at)).expect("a length");
    assert_eq!((number(0), number(8)), (MAGIC, 1), "a log that this can read");
    let (count, sector) = (length(16), length(24) & 0xffff_ffff);
    let mut entries = Vec::new();
    let mut place = sector;
    for _ in 0..count {
        let (at, size, flags, words) =
            (length(place) * sector, length(place + 8) * sector, number(place + 16), length(place + 24));
        if flags & FLUSH != 0 {
            entries.push(Entry::Flush);
        }
        if flags & MARK != 0 {
            entries.push(Entry::Mark(String::from_utf8_lossy(&log[place + 32..place + 32 + words]).into_owned()));
        }
        place += sector;
        if flags & DISCARD != 0 {
            continue; // what was there may stay as well
        }
        if size > 0 {
            entries.push(Entry::Write { at, data: log[place..place + size].to_vec(), lasting: flags & FUA != 0 });
            place += size;
        }
    }
    entries
}
