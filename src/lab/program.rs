//! Programs of this machine: where they are, and which package brings those that are missing.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::LabError;

/// Where programs for root lie; not always in an ordinary user's `PATH`.
const SYSTEM: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A program that is not there, and the package that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The program's name.
    pub program: &'static str,
    /// The package's name in Debian and Ubuntu.
    pub package: &'static str,
}

/// Says what is missing and how to get it.
pub(super) fn describe(missing: &[Missing], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let programs: Vec<&str> = missing.iter().map(|m| m.program).collect();
    let packages: Vec<&str> = missing.iter().map(|m| m.package).collect();
    write!(f, "not installed: {}; install with `sudo apt-get install {}`", programs.join(", "), packages.join(" "))
}

/// The folders in which the guest looks for programs: the caller's, then the system's.
pub(super) fn path() -> Vec<PathBuf> {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&own).filter(|folder| folder.is_absolute()).collect();
    for folder in SYSTEM.map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Where `name` is, if it is installed.
pub(super) fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    path().into_iter().map(|folder| folder.join(name.as_ref())).find(|file| is_program(file))
}

/// All of `wanted`, in order, or everything that is missing.
pub(super) fn find_all<const N: usize>(wanted: [(&'static str, &'static str); N]) -> Result<[PathBuf; N], LabError> {
    let found = wanted.map(|(program, _)| find(program));
    let missing: Vec<Missing> = found
        .iter()
        .zip(wanted)
        .filter(|(found, _)| found.is_none())
        .map(|(_, (program, package))| Missing { program, package })
        .collect();
    if missing.is_empty() { Ok(found.map(Option::unwrap_or_default)) } else { Err(LabError::Missing(missing)) }
}

/// The file that the first word of `argv` names, as the guest will find it.
pub(super) fn resolve(argv: &[OsString], cwd: &Path) -> Result<PathBuf, LabError> {
    let Some(name) = argv.first() else { return Err(LabError::Usage("no command: `lvsform lab -- COMMAND`".into())) };
    let file = if Path::new(name).components().count() > 1 { Some(cwd.join(name)) } else { find(name) };
    match file {
        // A folder that is closed to us may hold it: the guest will tell.
        Some(file) if is_program(&file) || file.metadata().is_err() => Ok(file),
        Some(file) => Err(LabError::Usage(format!("{} is not a program: no execute permission", file.display()))),
        None => Err(LabError::Usage(format!("{} is not installed: not found in PATH", Path::new(name).display()))),
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package_and_the_command_to_install_it() {
        let error = find_all([("sh", "dash"), ("no-such-program", "no-such-package")]).unwrap_err();
        assert_eq!(error.to_string(), "not installed: no-such-program; install with `sudo apt-get install no-such-package`");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn a_command_that_does_not_exist_is_refused_before_anything_boots() {
        assert!(resolve(&["no-such-program".into()], Path::new("/")).is_err());
        assert!(resolve(&[], Path::new("/")).is_err());
    }
}
