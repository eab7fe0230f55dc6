//! What an operator reads when an apply failed: which object, what the kernel answered, why it may have done so, what to
//! do; and then what became of everything else.

use std::fmt::Write as _;

use super::text::Style;
use super::{error, line, printable};
use crate::kernel::Refusal;
use crate::provenance::Names;
use crate::source::Sources;
use crate::state::{Action, Change, Key, Resource};
use crate::txn::{Ended, Failure, Left, Why};
use nix::errno::Errno;

/// How many objects are named before the rest is counted.
const SHOWN: usize = 10;

/// The whole message of a run that did not apply.
pub fn render(ended: &Ended, names: &Names, sources: &Sources, style: Style) -> String {
    let (failure, end) = match ended {
        Ended::Applied => return String::new(),
        Ended::RolledBack(failure) => {
            (failure, "Rolled back: the kernel was read again, and everything is as it was before.\n".to_owned())
        }
        Ended::Incomplete(failure, left) => (failure, incomplete(left, names, sources)),
        Ended::Unreadable(failure, reason) => (
            failure,
            format!(
                "NOT rolled back: {reason}.\nNobody knows what is left of this run. `lvsform plan` shows it as soon as the kernel can be read.\n"
            ),
        ),
    };
    let mut text = what_failed(failure, names, sources, style);
    text.push_str(&end);
    text
}

fn what_failed(failure: &Failure, names: &Names, sources: &Sources, style: Style) -> String {
    match failure {
        Failure::Refused(refused) => {
            let mut text = String::new();
            for (change, refusal) in refused.iter().take(SHOWN) {
                let message = format!("the kernel refused to {} {}", verb(change), object(&change.key, names, sources));
                let (reason, help) = explain(change, refusal);
                let mut details = vec![format!("it answered {}", answer(refusal))];
                if refusal.text.as_ref() != Some(&reason) {
                    details.push(reason);
                }
                text.push_str(&error(&message, &details, Some(&help), style));
            }
            if refused.len() > SHOWN {
                let _ = writeln!(text, "… and {} more refusals of the same step", refused.len() - SHOWN);
            }
            text
        }
        Failure::NotDone(changes) => {
            let details = listed(changes.iter(), names, sources);
            error(
                "the kernel did not answer, and did not do this",
                &details,
                Some("look at its log (dmesg), then run it again"),
                style,
            )
        }
        Failure::NotHeld(changes) => {
            let details = listed(changes.iter(), names, sources);
            let message = "the kernel acknowledged every step, and still differs from the file";
            error(message, &details, Some("someone else may have written at the same moment: run `lvsform plan`"), style)
        }
        Failure::Reading(reason) => error(&format!("the kernel could not be read in between: {reason}"), &[], None, style),
    }
}

fn listed<'a>(changes: impl ExactSizeIterator<Item = &'a Change>, names: &Names, sources: &Sources) -> Vec<String> {
    let more = changes.len().saturating_sub(SHOWN);
    let mut lines: Vec<String> = changes
        .take(SHOWN)
        .map(|change| {
            let fields: Vec<String> = change
                .fields()
                .iter()
                .map(|field| {
                    format!(
                        "{} {} → {}",
                        field.field,
                        field.before.as_deref().unwrap_or("none"),
                        field.after.as_deref().unwrap_or("none")
                    )
                })
                .collect();
            let what =
                if fields.is_empty() { format!("to {}", verb(change)) } else { printable(&fields.join(", ")).into_owned() };
            format!("{}: {what}", object(&change.key, names, sources))
        })
        .collect();
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

fn incomplete(left: &[Left], names: &Names, sources: &Sources) -> String {
    let mut text = format!(
        "Rolled back, but for {}:\n",
        if left.len() == 1 { "one object".to_owned() } else { format!("{} objects", left.len()) }
    );
    for Left { key, before, now, why } in left {
        let why = match why {
            Why::SomebodyElse => "someone else made or changed it meanwhile; it was left alone".to_owned(),
            Why::Children(children) => format!(
                "others put something into it meanwhile, which would go with it: {}",
                children.iter().map(|child| printable(&child.to_string()).into_owned()).collect::<Vec<_>>().join(", ")
            ),
            Why::Refused(refusal) => format!("the kernel refused to put it back: {}", answer(refusal)),
            Why::NotHeld => "the kernel acknowledged, and did not put it back".to_owned(),
        };
        let state = match (before, now) {
            (None, Some(_)) => "it was not there before, and is there now",
            (Some(_), None) => "it was there before, and is gone",
            _ => "it is not what it was before",
        };
        let _ = writeln!(text, "  {}\n      {state}: {why}", object(key, names, sources));
    }
    text.push_str("Run `lvsform plan` to see where the kernel stands now.\n");
    text
}

/// `service shop (service tcp 10.0.0.100:443, shop.kdl:12)`
fn object(key: &Key, names: &Names, sources: &Sources) -> String {
    let identity = printable(&key.to_string()).into_owned();
    match names.get(key) {
        Some(provenance) => {
            let kind = identity.split(' ').next().unwrap_or_default().to_owned();
            let place = provenance.origin.span().map(|span| line(span, sources));
            if *provenance.name == identity {
                return place.map_or(identity.clone(), |place| format!("{identity} ({place})"));
            }
            let place = place.map(|place| format!(", {place}")).unwrap_or_default();
            format!("{kind} {} ({identity}{place})", printable(&provenance.name))
        }
        None => identity,
    }
}

fn verb(change: &Change) -> &'static str {
    match change.action() {
        Action::Add => "add",
        Action::Change => "change",
        Action::Restore => "put back",
        Action::Replace => "replace",
        Action::Delete => "delete",
    }
}

/// `ENOENT (No such file or directory): the kernel's own words`
fn answer(refusal: &Refusal) -> String {
    let errno = Errno::from_raw(refusal.errno);
    let mut text = format!("{errno:?} ({})", errno.desc());
    if let Some(words) = &refusal.text {
        let _ = write!(text, ": {}", printable(words.trim()));
    }
    text
}

/// Why the kernel may have said so, and what to do. The kernel gives IPVS no words of its own, so they are here.
fn explain(change: &Change, refusal: &Refusal) -> (String, String) {
    let errno = Errno::from_raw(refusal.errno);
    if refusal.proves_another_writer(change) {
        let there = if errno == Errno::EEXIST {
            "is there already, and was not when it was planned"
        } else {
            "was there when it was planned, and is gone"
        };
        return (format!("it {there}: someone else is writing"), "find out who it is, and run it again".to_owned());
    }
    let (reason, help) = match (&change.key, change.after.as_ref(), errno) {
        (_, _, Errno::EPERM | Errno::EACCES) => ("this user may not write it".to_owned(), "run it as root (CAP_NET_ADMIN)".to_owned()),
        (_, _, Errno::EROFS) => ("/proc/sys is mounted read-only here".to_owned(), "run it outside the container, or let the container write it".to_owned()),
        (_, _, Errno::ENOMEM | Errno::ENOBUFS) => ("the kernel has no memory for it".to_owned(), "look at its log (dmesg)".to_owned()),
        (Key::Service(_), Some(Resource::Service(service)), Errno::ENOENT) => {
            let scheduler = printable(&service.scheduler).into_owned();
            let module = format!("ip_vs_{scheduler}");
            match &service.engine {
                Some(engine) => (
                    format!("scheduler `{scheduler}` or persistence engine `{engine}` is not available: module {module} or ip_vs_pe_{engine} is missing"),
                    format!("try `modprobe {module}` and `modprobe ip_vs_pe_{engine}`, install the kernel package that has them, or choose another scheduler"),
                ),
                None => (
                    format!("scheduler `{scheduler}` is not available: module {module} is missing"),
                    format!("try `modprobe {module}`, install the kernel package that has it, or choose another scheduler"),
                ),
            }
        }
        (Key::Service(_) | Key::Destination(_), _, Errno::EAFNOSUPPORT) => {
            ("the kernel has no IPv6, or IPVS without it".to_owned(), "enable IPv6, or listen on IPv4 alone: family=\"ipv4\"".to_owned())
        }
        (Key::Destination(_), _, Errno::EINVAL) => (
            "the kernel takes no such address as a server: its routes say that it is no unicast address, or it is of another family than the service without a tunnel (or beside a sync daemon); in a new namespace `lo` must have been up once".to_owned(),
            "`ip route get ADDRESS` shows what the kernel makes of it".to_owned(),
        ),
        (Key::Destination(_), _, Errno::ERANGE) => ("weight or thresholds are out of range".to_owned(), "min-connections must not exceed max-connections".to_owned()),
        (Key::Destination(_), _, Errno::ESRCH) => ("its service is gone: someone else is writing".to_owned(), "find out who it is, and run it again".to_owned()),
        (Key::Sync(_), _, Errno::ENODEV) => ("the device it is to multicast on does not exist".to_owned(), "`ip link` shows what there is; mend `interface`".to_owned()),
        (Key::Address(key), _, Errno::ENODEV) => {
            (format!("there is no device `{}`", printable(&key.interface)), "`ip link` shows what there is; mend `interface`".to_owned())
        }
        (Key::Link(_), _, Errno::EOPNOTSUPP) => {
            ("the kernel does not know this kind of device".to_owned(), "install the kernel package that has its module".to_owned())
        }
        (Key::Link(_), Some(_), Errno::EEXIST) => (
            "there is a device of this name, or another tunnel with the same kind, local and remote address and key".to_owned(),
            "`ip -d link` shows it".to_owned(),
        ),
        (Key::Link(_), Some(_), Errno::ENODEV) => {
            ("the device that it is bound to does not exist".to_owned(), "`ip link` shows what there is; mend `device`".to_owned())
        }
        (Key::Sysctl(key), _, Errno::ENOENT) => (
            format!("this kernel, or this namespace, has no {key}"),
            "mend the key; a sysctl of a module or a device exists only while that is there".to_owned(),
        ),
        (Key::Sysctl(_), _, Errno::EINVAL | Errno::ERANGE) => ("the kernel does not take this value".to_owned(), "mend the value".to_owned()),
        (Key::Module(name), _, _) => {
            (format!("module {name} cannot be loaded"), format!("try `modprobe {name}`, and install the kernel package that has it"))
        }
        _ => ("the kernel gives no reason".to_owned(), "look at its log (dmesg)".to_owned()),
    };
    (reason, help)
}
