//! `lvsform apply`

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Args;

use super::input::{self, HostArguments};
use super::output::Output;
use super::{Exit, in_words};
use crate::kernel::netns;
use crate::report::{self, failure};
use crate::txn::lock::{self, LockError};
use crate::txn::{self, Ended, Run};

/// Make a host's kernel hold what a topology says
///
/// Shows the plan, asks, carries it out in order, reads the kernel back and compares. If the kernel refuses anything,
/// everything that this run did is taken back. What is not in the file is left alone, but for the IPVS table where the file
/// says `ownership ipvs="exclusive"`.
///
/// Exit code: 0 done, or nothing to do; 1 failed, nothing changed; 6 the kernel moved since the plan was shown; 7 another
/// run has the lock; 8 failed and rolled back; 9 failed, and not everything is as it was; 10 the topology is not valid.
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    host: HostArguments,
    /// A network namespace, by its name under /run/netns
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Apply {
    pub(super) fn run(self, out: &mut Output) -> Exit {
        self.try_run(out).unwrap_or_else(|exit| exit)
    }

    fn try_run(self, out: &mut Output) -> Result<Exit, Exit> {
        let prepared = input::prepare(&self.host.file, self.host.host.as_deref(), out)?;
        let scope = prepared.scope();
        let mut kernel = input::open(self.netns.as_deref(), out)?;

        let mut look = |out: &mut Output| {
            let observed = input::observe(&mut kernel, &scope, out)?;
            let plan = prepared.plan(&observed);
            Ok::<_, Exit>((observed, plan))
        };

        let mut guard = if self.yes { Some(take_lock(out)?) } else { None };
        let (mut observed, mut plan) = look(out)?;
        let text = report::text::plan(&plan, &prepared.sources, out.style);
        if plan.is_empty() {
            out.say(&text);
            return Ok(Exit::Done);
        }
        if self.yes {
            out.say(&text);
        } else {
            out.print(&text); // also with --quiet: nobody says yes to what was not shown
            ask(out)?;
            // The lock is not held while somebody thinks, so the kernel may have moved since.
            guard = Some(take_lock(out)?);
            let shown = plan.phases;
            (observed, plan) = look(out)?;
            if plan.phases != shown {
                let message = "the kernel changed after the plan was shown; nothing was done";
                out.error(&report::error(message, &[], Some("run it again and read the new plan"), out.error_style));
                return Err(Exit::Stale);
            }
        }
        let (wanted, exclusive) = (&prepared.compiled.state, prepared.exclusive);
        let run = Run { wanted, exclusive, observed: &observed, phases: std::mem::take(&mut plan.phases) };
        let ended = txn::run(&mut kernel, run);
        drop(guard);
        Ok(match &ended {
            Ended::Applied => {
                out.say(&report::text::applied(&plan));
                Exit::Done
            }
            Ended::RolledBack(_) | Ended::Incomplete(..) | Ended::Unreadable(..) => {
                out.error(&failure::render(&ended, &prepared.compiled.names, &prepared.sources, out.error_style));
                if matches!(ended, Ended::RolledBack(_)) { Exit::RolledBack } else { Exit::Incomplete }
            }
        })
    }
}

/// Asks on the terminal. Without one there is nobody to ask.
fn ask(out: &mut Output) -> Result<(), Exit> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        let message = "there is no terminal to ask on; nothing was changed";
        out.error(&report::error(message, &[], Some("say --yes to apply without being asked"), out.error_style));
        return Err(Exit::Failed);
    }
    if !out.arrived() {
        let message = "the plan could not be shown; nothing was changed";
        out.error(&report::error(message, &[], Some("see where standard output leads"), out.error_style));
        return Err(Exit::Failed);
    }
    out.error("\nApply these changes? Only `yes` is taken for yes: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    if stdin.lock().read_line(&mut answer).is_ok() && answer.trim() == "yes" {
        return Ok(());
    }
    out.error("Nothing was changed.\n");
    Err(Exit::Failed)
}

/// One run at a time in one namespace.
fn take_lock(out: &mut Output) -> Result<lock::Lock, Exit> {
    let mut say = |message: String, help: &str, exit| {
        out.error(&report::error(&message, &[], Some(help), out.error_style));
        exit
    };
    let cookie = netns::cookie().map_err(|error| {
        let message = format!("the kernel does not say which network namespace this is: {}", error.desc());
        say(message, "lvsform apply needs Linux 5.14 or newer", Exit::Failed)
    })?;
    lock::take(Path::new(lock::DIRECTORY), cookie).map_err(|error| match error {
        LockError::Held(path) => say(
            format!("another run is at work in this network namespace (it holds {})", path.display()),
            "nothing was changed; run it again when the other one has ended",
            Exit::Locked,
        ),
        LockError::Unsafe(path) => say(
            format!("{} belongs to another user, or others may write in it; nothing was changed", path.display()),
            "find out who made it, remove it, and run this again",
            Exit::Failed,
        ),
        LockError::Io(path, error) => say(
            format!("cannot lock {}: {}; nothing was changed", path.display(), in_words(&error)),
            "apply must run as root, with /run writable",
            Exit::Failed,
        ),
    })
}
