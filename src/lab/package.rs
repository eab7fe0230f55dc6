//! Kernel packages of this machine's distribution, fetched once with its own tools and kept unpacked in a cache.
//!
//! Nothing is installed: the package's scripts never run.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::{LabError, host, program};

/// Packages without files that depend on the kernel of the day: Debian's, Ubuntu's.
const NEWEST: [&str; 2] = ["linux-image-amd64", "linux-image-generic"];

/// The word for the newest kernel that the distribution builds for this release of it.
pub(super) const BACKPORTS: &str = "backports";

/// An unpacked kernel.
pub(super) struct Package {
    /// As `uname -r` says it.
    release: String,
    /// The kernel itself.
    pub image: PathBuf,
    /// The folder that holds `RELEASE/` with the modules.
    pub modules: PathBuf,
    base: PathBuf,
}

/// The kernel of `name`, or of the distribution's default; fetched now if the cache does not have it.
pub(super) fn kernel(name: Option<&str>, progress: &mut dyn Write) -> Result<Package, LabError> {
    let mut cache = cache();
    let mut apt = Apt::default();
    if name == Some(BACKPORTS) {
        cache = cache.join(BACKPORTS);
        apt = Apt::backports(&cache).unwrap_or_default();
    }
    let name = match name.filter(|name| *name != BACKPORTS) {
        Some(name) => name.to_owned(),
        None => newest(&apt).or_else(|| cached(&cache)).ok_or_else(|| {
            LabError::Usage("no kernel package is known for QEMU: run `sudo apt-get update`, or name one with `--kernel`".into())
        })?,
    };
    let base = cache.join(&name);
    if !base.exists() {
        let _ = writeln!(progress, "lab: fetching {name}, once");
        fetch(&name, &cache, &base, &apt)?;
    }
    let release = name.trim_start_matches("linux-image-").trim_start_matches("unsigned-").to_owned();
    let [plain, packed] = ["vmlinux", "vmlinuz"].map(|kind| base.join("boot").join(format!("{kind}-{release}")));
    let image = if plain.exists() { plain } else { packed };
    Ok(Package { image, modules: base.join("lib/modules"), release, base })
}

impl Package {
    /// The modules of `names` and those that they depend on, in the order in which they load: file name and content.
    pub fn modules_for(&self, names: &[&str]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for name in names {
            let base = self.base.as_os_str();
            let words = ["-d".as_ref(), base, "-S".as_ref(), self.release.as_ref(), "--show-depends".as_ref(), name.as_ref()];
            // "insmod PATH", a line a module; "builtin NAME" needs nothing.
            let listed = output("modprobe", &words)?;
            for path in listed.lines().filter_map(|line| line.strip_prefix("insmod ")).map(|path| Path::new(path.trim())) {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().trim_end_matches(".ko").to_owned() + ".ko";
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, unpacked(path)?));
                }
            }
        }
        Ok(found)
    }
}

/// A module as busybox can load it.
fn unpacked(path: &Path) -> io::Result<Vec<u8>> {
    let program = match path.extension().and_then(OsStr::to_str) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path),
    };
    run(program, &["-dc".as_ref(), path.as_os_str()], Path::new("/"))
}

/// Root's cache is the system's, which the guest's user can read; anyone else's is in the home folder.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = match variable("XDG_CACHE_HOME") {
        Some(folder) => folder,
        None if geteuid().is_root() => PathBuf::from("/var/cache"),
        None => variable("HOME").unwrap_or_default().join(".cache"),
    };
    folder.join("lvsform-lab")
}

/// What apt is told beside its command: which packages there are, where not those of this machine's own lists.
#[derive(Default)]
struct Apt(Vec<String>);

impl Apt {
    /// Debian's backports for this release of it, whether the machine uses them or not. The lists are kept in `folder`, and
    /// nothing of the machine's own is changed.
    fn backports(folder: &Path) -> io::Result<Apt> {
        let format = ["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Origin: Debian"];
        let targets = output("apt-get", &format.map(OsStr::new))?;
        let release = targets.lines().find_map(|line| {
            let mut words = line.split(' ').filter(|word| !word.is_empty());
            let (uri, name) = (words.next()?, words.next()?);
            (!name.contains('-')).then(|| format!("deb {uri} {name}-backports main\n"))
        });
        let release = release.ok_or_else(|| io::Error::other("apt knows no release of Debian here"))?;
        let lists = folder.join("lists");
        fs::create_dir_all(lists.join("partial"))?;
        let sources = folder.join("sources.list");
        fs::write(&sources, release)?;
        let option = |name: &str, path: &Path| format!("-o{name}={}", path.display());
        let apt = Apt(vec![
            option("Dir::Etc::sourcelist", &sources),
            option("Dir::Etc::sourceparts", Path::new("/dev/null")),
            option("Dir::State::lists", &lists),
            option("Dir::Cache", folder),
            "-oAPT::Sandbox::User=root".to_owned(),
        ]);
        // Without a network the last lists are as good.
        let _ = apt.run("apt-get", &["-q", "update"], folder);
        Ok(apt)
    }

    fn run(&self, program: &str, words: &[&str], folder: &Path) -> io::Result<String> {
        let words: Vec<&OsStr> = self.0.iter().map(OsStr::new).chain(words.iter().map(OsStr::new)).collect();
        run(program, &words, folder).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The package that the distribution's newest kernel is in.
fn newest(apt: &Apt) -> Option<String> {
    NEWEST.iter().find_map(|name| {
        let listed = apt.run("apt-cache", &["depends", name], Path::new("/")).ok()?;
        let depends = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        depends.into_iter().find(|package| package.starts_with("linux-image-")).map(str::to_owned)
    })
}

/// Any package that was fetched before; for a machine without a network.
fn cached(cache: &Path) -> Option<String> {
    let names = fs::read_dir(cache).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with("linux-image-")).max()
}

fn fetch(name: &str, cache: &Path, base: &Path, apt: &Apt) -> Result<(), LabError> {
    program::find_all([("apt-get", "apt"), ("dpkg-deb", "dpkg"), ("depmod", "kmod")])?;
    fs::create_dir_all(cache).map_err(host(format!("make {}", cache.display())))?;
    let folder = nix::unistd::mkdtemp(&cache.join("fetch-XXXXXX")).map_err(host(format!("write in {}", cache.display())))?;
    let unpacked = fetch_into(name, &folder, apt).and_then(|()| match fs::rename(folder.join("root"), base) {
        // Another run was faster.
        Err(_) if base.exists() => Ok(()),
        renamed => renamed,
    });
    let _ = fs::remove_dir_all(&folder);
    unpacked.map_err(host(format!("fetch {name}")))
}

fn fetch_into(name: &str, folder: &Path, apt: &Apt) -> io::Result<()> {
    let root = folder.join("root");
    fs::create_dir(&root)?;
    fs::set_permissions(&root, Permissions::from_mode(0o755))?;
    let release = name.trim_start_matches("linux-image-");
    // Ubuntu keeps modules in packages of their own.
    let beside = [format!("linux-modules-{release}"), format!("linux-modules-extra-{release}")];
    let known = |package: &&String| apt.run("apt-cache", &["show", package], folder).is_ok_and(|text| !text.is_empty());
    let words = ["-q", "-o", "APT::Sandbox::User=root", "download", name];
    let words: Vec<&str> = words.into_iter().chain(beside.iter().filter(known).map(String::as_str)).collect();
    apt.run("apt-get", &words, folder).or_else(|_| apt.run("apt-get", &words, folder))?;
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|end| end == "deb") {
            run("dpkg-deb", &["-x".as_ref(), file.as_os_str(), root.as_os_str()], folder)?;
        }
    }
    if !root.join("lib").exists() {
        symlink("usr/lib", root.join("lib"))?;
    }
    for entry in fs::read_dir(root.join("boot"))? {
        let file = entry?.path();
        fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        if let Some(release) = file.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix("vmlinuz-")) {
            unpack_image(&file, &root.join("boot").join(format!("vmlinux-{release}")), folder)?;
        }
    }
    for entry in fs::read_dir(root.join("lib/modules"))? {
        run("depmod", &["-b".as_ref(), root.as_os_str(), &entry?.file_name()], folder)?;
    }
    Ok(())
}

/// Writes the kernel that is packed in the boot image `packed` to `plain`. Under software emulation the guest would take
/// eight seconds to unpack it. An image that we cannot read is left as it is: it boots all the same.
/// Source of the header's fields: the kernel's Documentation/arch/x86/boot.rst.
fn unpack_image(packed: &Path, plain: &Path, folder: &Path) -> io::Result<()> {
    let image = fs::read(packed)?;
    let number = |at: usize| Some(usize::try_from(u32::from_le_bytes(*image.get(at..)?.first_chunk()?)).unwrap_or(usize::MAX));
    let payload = || {
        let setup = 512 * (1 + usize::from(*image.get(0x1f1)?).max(1));
        let start = setup.checked_add(number(0x248)?)?;
        // The last four bytes are the length when unpacked; the program would take them for rubbish.
        image.get(start..start.checked_add(number(0x24c)?)?.checked_sub(4)?)
    };
    let words: (&str, &[&str]) = match payload() {
        Some([0xfd, b'7', b'z', b'X', b'Z', ..]) => ("xz", &["-dc", "--single-stream", "payload"]),
        Some([0x28, 0xb5, 0x2f, 0xfd, ..]) => ("zstd", &["-dcq", "payload"]),
        Some([0x1f, 0x8b, ..]) => ("gzip", &["-dc", "payload"]),
        _ => return Ok(()),
    };
    fs::write(folder.join("payload"), payload().unwrap_or_default())?;
    let words = (words.0, words.1.iter().map(OsStr::new).collect::<Vec<_>>());
    match run(words.0, &words.1, folder) {
        Ok(kernel) if kernel.starts_with(b"\x7fELF") => fs::write(plain, kernel),
        _ => Ok(()),
    }
}

fn output(program: &str, words: &[&OsStr]) -> io::Result<String> {
    run(program, words, Path::new("/")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a program in `folder` and returns what it wrote; an error is what it said.
fn run(program: &str, words: &[&OsStr], folder: &Path) -> io::Result<Vec<u8>> {
    let file = program::find(program).ok_or_else(|| io::Error::other(format!("{program} is not installed")))?;
    let done = Command::new(file).args(words).current_dir(folder).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").output()?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("{program}: {}\n{}", done.status, super::console::tail(&said))))
}
