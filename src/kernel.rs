//! The kernel's side: reading a namespace, and carrying out one phase of a plan.
//!
//! Only what is below this module opens sockets, `/proc` and `/sys`, and runs `modprobe`. The implementations are the real
//! kernel and a model of it that answers with the same errnos.

mod announce;
pub mod capability;
pub mod fake;
pub mod fou;
pub mod ipvs;
pub mod linux;
pub mod module;
pub mod netlink;
pub mod netns;
pub mod nftables;
pub mod rtnl;
mod sysctl;

use std::fmt;

use nix::errno::Errno;

use crate::plan::Phase;
use crate::state::{Change, Key, Observed, Scope, SysctlKey};

const EEXIST: i32 = Errno::EEXIST as i32;
pub(crate) const ENOENT: i32 = Errno::ENOENT as i32;
const ESRCH: i32 = Errno::ESRCH as i32;
const ENODEV: i32 = Errno::ENODEV as i32;
pub(crate) const EACCES: i32 = Errno::EACCES as i32;
pub(crate) const EROFS: i32 = Errno::EROFS as i32;
pub(crate) const EADDRNOTAVAIL: i32 = Errno::EADDRNOTAVAIL as i32;

/// A network namespace that can be read and changed.
pub trait Kernel {
    /// What the namespace holds. Opens nothing for writing and never loads a module.
    fn read(&mut self, scope: &Scope) -> Result<Observed, ReadError>;

    /// Carries out the steps of one phase, and says of each what became of it. The kernel goes on after a step that it
    /// refuses, so every outcome stands for itself.
    fn run(&mut self, phase: &Phase) -> Vec<Outcome>;
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel acknowledged it.
    Done,
    /// The kernel refused it, and nothing of it happened.
    Refused(Refusal),
    /// Nobody answered: it happened or it did not. Only reading can tell.
    Unknown,
}

/// The kernel's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The errno, positive.
    pub errno: i32,
    /// The kernel's own words (extended ack), or those of the program that was run; often there are none.
    pub text: Option<String>,
}

impl Refusal {
    /// Whether the answer can only come from somebody who wrote since we read: a new key that is there, or an old one that
    /// is not. Such an object is not ours, and no undo touches it.
    pub fn proves_another_writer(&self, step: &Change) -> bool {
        match (&step.before, &step.after) {
            (None, Some(_)) => self.errno == EEXIST,
            // A service that is edited answers ENOENT for a scheduler that is missing, and ESRCH for itself.
            (Some(_), Some(_)) if matches!(step.key, Key::Service(_)) => self.errno == ESRCH,
            (Some(_), _) => matches!(self.errno, ESRCH | ENOENT | ENODEV | EADDRNOTAVAIL),
            (None, None) => false,
        }
    }
}

/// Why a namespace could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The kernel asks for a capability that we do not have: `CAP_NET_ADMIN`.
    Capability(&'static str),
    /// There is no namespace of this name.
    NoNamespace(String),
    /// Somebody else was writing all the time: no two readings were alike.
    Unsteady {
        /// What was read.
        what: &'static str,
        /// How often.
        tries: u32,
    },
    /// A sysctl that is there and that this process may not read.
    Sysctl {
        /// Which.
        key: SysctlKey,
        /// Nobody may: it is only written.
        write_only: bool,
    },
    /// A request failed.
    Failed {
        /// What was asked for: `the services`.
        what: String,
        /// The errno, positive.
        errno: i32,
        /// The kernel's own words, if any.
        text: Option<String>,
    },
    /// The kernel's answer has a form that we do not understand.
    Malformed {
        /// What was asked for.
        what: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Capability(name) => write!(f, "reading IPVS needs {name}"),
            ReadError::NoNamespace(name) => write!(f, "there is no network namespace `{name}`"),
            ReadError::Unsteady { what, tries } => {
                write!(f, "someone else is writing: {what} differed in each of {tries} readings")
            }
            ReadError::Sysctl { key, write_only: true } => {
                write!(f, "the sysctl {key} can be written and not read, so nobody can say what it holds")
            }
            ReadError::Sysctl { key, write_only: false } => write!(f, "this user may not read the sysctl {key}"),
            ReadError::Failed { what, errno, text } => {
                write!(f, "reading {what} failed: {}", std::io::Error::from_raw_os_error(*errno))?;
                text.as_ref().map_or(Ok(()), |text| write!(f, " ({text})"))
            }
            ReadError::Malformed { what } => {
                write!(f, "reading {what}: the kernel's answer has a form that this version does not know")
            }
        }
    }
}

impl std::error::Error for ReadError {}
