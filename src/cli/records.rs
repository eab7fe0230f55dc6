//! What is kept of a namespace, as the commands use it: who owns what, and whether a run has not ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::output::Output;
use super::{Exit, in_words, input, pending};
use crate::kernel::linux::Linux;
use crate::kernel::{Kernel, netns};
use crate::report::{self, failure};
use crate::state::Scope;
use crate::txn::history;
use crate::txn::journal::{self, Unfinished};
use crate::txn::ledger::{Claims, Instance, LedgerError};
use crate::txn::lock::{self, Lock, LockError};
use crate::txn::record;
use crate::txn::store::{self, Store, StoreError};
use crate::txn::{self, RecoverError, Recovered};

/// What to do about a ledger that cannot be read.
pub const HELP_LEDGER: &str =
    "move the file away: then what is there counts as found; `lvsform adopt FILE` makes it the topology's again";

/// What to do about a disk that fails.
pub const HELP_DISK: &str = "see to that disk: the kernel's log (dmesg) says more";

/// What is said of a run that did not end before its boot or namespace did, and what to do about it.
pub const GONE: (&str, &str) =
    ("an earlier run did not end, and what it did went with its boot or namespace", "forget it: lvsform recover");

/// Which namespace, and where its records are kept.
#[derive(Clone, Debug, Args)]
pub struct PlaceArguments {
    /// A network namespace, by its name under /run/netns
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,
    /// The folder where it is kept what each topology owns
    #[arg(long, value_name = "DIR", default_value = store::DIRECTORY)]
    pub state_dir: PathBuf,
}

/// How long to wait for another run.
#[derive(Clone, Debug, Args)]
pub struct LockArguments {
    /// How long to wait for another run to end; by default not at all
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub lock_timeout: Option<Duration>,
}

/// The namespace that this process is in.
#[derive(Clone, Debug)]
pub struct Place {
    /// The name by which its records are kept.
    pub name: String,
    /// The name by which it was asked for.
    pub netns: Option<String>,
    /// Which life of it.
    pub instance: Instance,
    records: PathBuf,
}

impl PlaceArguments {
    /// Enters the namespace, and opens its kernel.
    pub fn open(&self, out: &mut Output) -> Result<(Linux, Place), Exit> {
        let kernel = input::open(self.netns.as_deref(), out)?;
        Ok((kernel, self.here(out)?))
    }

    /// The namespace that this thread is in, with its records.
    pub fn here(&self, out: &mut Output) -> Result<Place, Exit> {
        let cookie = netns::cookie().map_err(|error| {
            let message = format!("the kernel does not say which network namespace this is: {}", error.desc());
            out.error(&report::error(&message, &[], Some("lvsform needs Linux 5.14 or newer"), out.error_style));
            Exit::Failed
        })?;
        let boot = netns::boot().map_err(|error| {
            let message = format!("the kernel does not say which boot this is: {}", in_words(&error));
            out.error(&report::error(&message, &[], None, out.error_style));
            Exit::Failed
        })?;
        let (name, instance) = (netns::name(cookie), Instance { boot, cookie });
        Ok(Place { name, netns: self.netns.clone(), instance, records: self.state_dir.clone() })
    }
}

impl Place {
    /// The folder of all records.
    pub fn records(&self) -> &Path {
        &self.records
    }

    /// One run at a time in one namespace.
    pub fn lock(&self, wait: &LockArguments, out: &mut Output) -> Result<Lock, Exit> {
        let mut say = |message: String, help: &str, exit| {
            out.error(&report::error(&message, &[], Some(help), out.error_style));
            exit
        };
        lock::take(Path::new(lock::DIRECTORY), self.instance.cookie, wait.lock_timeout).map_err(|error| match error {
            LockError::Held(path) => say(
                format!("another run is at work in this network namespace (it holds {})", path.display()),
                "nothing was changed; run it again when the other one has ended, or say --lock-timeout 30s",
                Exit::Locked,
            ),
            LockError::Unsafe(path) => say(
                format!("{} belongs to another user, or others may write in it; nothing was changed", path.display()),
                "find out who made it, remove it, and run this again",
                Exit::Failed,
            ),
            LockError::Io(path, error) => say(
                format!("cannot lock {}: {}; nothing was changed", path.display(), in_words(&error)),
                "it must run as root, with /run writable",
                Exit::Failed,
            ),
        })
    }

    /// Whether the name by which it was asked for still leads here.
    pub fn is_still_here(&self) -> bool {
        self.netns.as_deref().is_none_or(netns::leads_here)
    }

    /// Begins a run: takes the lock, takes back a run that did not end, and an apply that nobody confirmed in time. `but`: a
    /// topology that is not asked for whether it waits to be confirmed.
    pub fn begin(
        &self,
        kernel: &mut Linux,
        wait: &LockArguments,
        but: Option<&str>,
        out: &mut Output,
    ) -> Result<(Lock, Store), Exit> {
        let lock = self.lock(wait, out)?;
        let mut store = self.open(out)?;
        if let Some(unfinished) = unfinished(&store, out)? {
            take_back(kernel, &mut store, self, &unfinished, out)?;
        }
        pending::settle(kernel, &mut store, self, but, out)?;
        Ok((lock, store))
    }

    /// The records, to write them.
    pub fn open(&self, out: &mut Output) -> Result<Store, Exit> {
        Store::open(&self.records, &self.name).map_err(|error| unusable(&error, out))
    }

    /// The records, to look at; none where there are none.
    pub fn look(&self, out: &mut Output) -> Result<Option<Store>, Exit> {
        Store::look(&self.records, &self.name).map_err(|error| unusable(&error, out))
    }

    /// The same beside a kernel: who may not even read that is told so first.
    pub fn look_beside(&self, kernel: &mut Linux, out: &mut Output) -> Result<Option<Store>, Exit> {
        Store::look(&self.records, &self.name).or_else(|error| {
            input::observe(kernel, &Scope::default(), out)?;
            Err(unusable(&error, out))
        })
    }

    /// Who owns what.
    pub fn claims(&self, store: &Store, topology: &str, was: Option<&str>, out: &mut Output) -> Result<Claims, Exit> {
        Claims::read(store, topology, was, &self.instance).map_err(|error| {
            unreadable(&error, HELP_LEDGER, out);
            Exit::Failed
        })
    }
}

/// The run that did not end, if there is one.
pub fn unfinished(store: &Store, out: &mut Output) -> Result<Option<Unfinished>, Exit> {
    journal::unfinished(store).map_err(|error| {
        let help = "a run did not end, and what it did cannot be read: `lvsform recover --to-ledger` restores what the ledgers \
                    say, `lvsform recover --discard` leaves the kernel as it is";
        unreadable(&error, help, out);
        Exit::Incomplete
    })
}

/// Refuses to go on beside a run that did not end.
pub fn refuse_unfinished(store: &Store, place: &Place, out: &mut Output) -> Result<(), Exit> {
    if !unfinished(store, out)?.is_some_and(|unfinished| is_to_be_taken_back(&unfinished, place)) {
        return Ok(());
    }
    let message = "an earlier run did not end; nothing was changed";
    out.error(&report::error(message, &[], Some("take it back first: lvsform recover"), out.error_style));
    Err(Exit::Incomplete)
}

/// Whether a run that did not end has left anything in the kernel that is to go. One that is done but for its records, or of
/// another life of the namespace, is only to be tidied.
pub fn is_to_be_taken_back(unfinished: &Unfinished, place: &Place) -> bool {
    !unfinished.committed && unfinished.journal.instance == place.instance
}

/// The topology that was named, or the only one that owns something here.
pub fn the_topology(named: Option<&str>, place: &Place, out: &mut Output) -> Result<String, Exit> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let known = match place.look(out)? {
        Some(store) => store.topologies().map_err(|error| unusable(&error, out))?,
        None => Vec::new(),
    };
    let (message, help) = match known.as_slice() {
        [only] => return Ok(only.clone()),
        [] => ("no topology owns anything here".to_owned(), format!("there is no ledger for `{}`", place.name)),
        _ => ("several topologies own something here".to_owned(), format!("say which: {}", known.join(", "))),
    };
    out.error(&report::error(&message, &[], Some(&help), out.error_style));
    Err(Exit::Usage)
}

/// Takes back the run that did not end, and says so.
pub fn take_back(
    kernel: &mut dyn Kernel,
    store: &mut Store,
    place: &Place,
    unfinished: &Unfinished,
    out: &mut Output,
) -> Result<(), Exit> {
    let journal = &unfinished.journal;
    let of = format!("the run of topology `{}` that had not ended", journal.topology);
    let recovered = txn::recover(kernel, store, unfinished, &place.instance).map_err(|error| {
        let message = match error {
            RecoverError::Reading(error) => format!("{of} was not taken back: {error}"),
            RecoverError::Untidy(recovered, error) => {
                let what = match recovered {
                    Recovered::WasDone => "was done",
                    Recovered::WasGone => "is gone with its boot or namespace",
                    _ => "was taken back",
                };
                format!("{of} {what}, but its records could not be tidied: {error}")
            }
        };
        out.error(&report::error(&message, &[], Some("mend that, and run `lvsform recover`"), out.error_style));
        Exit::Incomplete
    })?;
    let (said, result) = match &recovered {
        Recovered::WasDone => (format!("Recovered: {of} was done but for its records.\n"), "done"),
        Recovered::WasGone => {
            (format!("Recovered: {of} was in another boot or namespace, and its objects went with that.\n"), "gone")
        }
        Recovered::TakenBack => (format!("Recovered: {of} was taken back; the kernel is as it was before it.\n"), "rolled back"),
        Recovered::Incomplete(left) => {
            out.error(&failure::left_after_recovery(left, &journal.topology, out.error_style));
            return Err(Exit::Incomplete);
        }
    };
    let entry = history::Entry {
        result: result.to_owned(),
        ..history::Entry::new("recover", operator(), &journal.topology, &journal.host, &journal.transaction)
    };
    let _ = history::append(store, &entry); // the kernel is right; a line less is no reason to say otherwise
    out.say(&said);
    Ok(())
}

/// Why records cannot be used.
pub fn unusable(error: &StoreError, out: &mut Output) -> Exit {
    let help = match error {
        StoreError::Unsafe(..) => "what is written there is done as root: find out who made it, and remove it",
        StoreError::Io(..) => "run it as root, or as a user who may read it, or say where records are: --state-dir DIR",
        StoreError::Unsynced(..) => HELP_DISK,
    };
    out.error(&report::error(&format!("{error}; nothing was changed"), &[], Some(help), out.error_style));
    Exit::Failed
}

/// Why what is owned is not known.
pub fn unreadable(error: &LedgerError, help: &str, out: &mut Output) {
    let help = match error {
        LedgerError::Store(StoreError::Unsafe(..)) => {
            "what is written there is done as root: find out who made it, and remove it"
        }
        LedgerError::Store(StoreError::Io(..)) => "run it as root, or as a user who may read it",
        LedgerError::Store(StoreError::Unsynced(..)) => HELP_DISK,
        LedgerError::Damaged(_, record::Damage::Version { .. }) => "use the version of lvsform that wrote it",
        LedgerError::Damaged(_, record::Damage::Broken) => help,
    };
    out.error(&report::error(&format!("{error}; nothing was changed"), &[], Some(help), out.error_style));
}

/// Who runs this, as far as the environment and the kernel claim.
#[expect(clippy::disallowed_methods, reason = "the environment belongs to cli/")]
pub fn operator() -> String {
    let mut by = format!("uid {}", nix::unistd::getuid());
    if let Ok(user) = std::env::var("SUDO_USER") {
        by = format!("{by}, sudo from {user}");
    }
    match std::fs::read_to_string("/proc/self/loginuid").map(|text| text.trim().to_owned()) {
        // All ones: nobody has logged in.
        Ok(uid) if uid != u32::MAX.to_string() && !uid.is_empty() => format!("{by}, logged in as uid {uid}"),
        _ => by,
    }
}
