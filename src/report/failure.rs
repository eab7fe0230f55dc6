//! What an operator reads when an apply failed: which object, what the kernel answered, why it may have done so, what to
//! do; and then what became of everything else.

use std::fmt::Write as _;

use super::text::Style;
use super::{error, kind_and_identity, line, printable, what};
use crate::kernel::Refusal;
use crate::kernel::capability::Capability;
use crate::provenance::Names;
use crate::source::Sources;
use crate::state::{Action, AddressKey, Change, Key, Resource, RouteKey};
use crate::txn::ledger::Claimed;
use crate::txn::store::StoreError;
use crate::txn::{Ended, Failure, Left, Why};
use nix::errno::Errno;

/// How many objects are named before the rest is counted.
const SHOWN: usize = 10;

/// The whole message of a run in which something failed; nothing where all went well.
pub fn render(ended: &Ended, names: &Names, sources: &Sources, style: Style) -> String {
    let (failure, end) = match ended {
        Ended::Applied => return String::new(),
        Ended::Untidy(ended, reason) => return render(ended, names, sources, style) + &untidy(ended, reason, style),
        Ended::NotBegun(reason) => {
            let help = "make room, see to that disk, or see who may write there, and run it again";
            return error(&format!("{reason}; nothing was changed"), &[], Some(help), style);
        }
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
        Failure::Refused(refused) => said_no("the kernel refused", refused, names, sources, style),
        Failure::NotDone(changes) => {
            let undone = |change: &Change| format!("to {} it", verb(change));
            let details = listed(changes, undone, names, sources);
            let message = "the kernel did not answer, and reading it shows that this did not happen";
            error(message, &details, Some("look at its log (dmesg), then run it again"), style)
        }
        Failure::NotHeld(changes) => {
            let missing =
                |change: &Change| if change.after.is_some() { "it is not there" } else { "it is still there" }.to_owned();
            let details = listed(changes, missing, names, sources);
            let message = "the kernel acknowledged every step, and still differs from the file";
            let help = "someone else may have written at the same moment: `lvsform plan` shows what differs now";
            error(message, &details, Some(help), style)
        }
        Failure::Storing(reason) => error(
            &format!("the run could not be written down: {reason}"),
            &[],
            Some("make room there, or see to that disk"),
            style,
        ),
        Failure::Interrupted => error("interrupted by a signal", &[], None, style),
        Failure::NamespaceGone => {
            let help = "nothing is left of what was done in it; run it again for the namespace that has the name now";
            error("the network namespace was deleted meanwhile, or another one has its name", &[], Some(help), style)
        }
        Failure::Panicked(words) => error(
            &format!("a mistake in lvsform itself: {words}"),
            &[],
            Some("please report it with the topology and this text"),
            style,
        ),
        Failure::Reading(reason) => error(&format!("the kernel could not be read in between: {reason}"), &[], None, style),
    }
}

/// What a kernel refused, and why. `who`: `the kernel refused`
fn said_no(who: &str, refused: &[(Change, Refusal)], names: &Names, sources: &Sources, style: Style) -> String {
    let mut text = String::new();
    for (change, refusal) in refused.iter().take(SHOWN) {
        let message = format!("{who} to {} {}", verb(change), object(&change.key, names, sources));
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

/// What a model of the kernel refused, so that the kernel was not asked.
pub fn refused_by_model(refused: &[(Change, Refusal)], names: &Names, sources: &Sources, style: Style) -> String {
    said_no("a model of the kernel refuses", refused, names, sources, style)
}

/// The same, for whom only plans.
pub fn apply_would_refuse(refused: &[(Change, Refusal)], names: &Names, sources: &Sources) -> String {
    let mut text = String::new();
    for sentence in would_refuse(refused, names, sources).take(SHOWN) {
        let _ = writeln!(text, "Apply would refuse: model: {sentence}.");
    }
    if refused.len() > SHOWN {
        let _ = writeln!(text, "… and {} more of the same step", refused.len() - SHOWN);
    }
    text
}

/// What the model refuses, a sentence each.
pub fn would_refuse(refused: &[(Change, Refusal)], names: &Names, sources: &Sources) -> impl Iterator<Item = String> {
    refused.iter().map(|(change, refusal)| {
        let (reason, help) = explain(change, refusal);
        format!("the kernel would not {} {}: {reason}; {help}", verb(change), object(&change.key, names, sources))
    })
}

/// That this process may not do a step.
pub fn forbidden(change: &Change, needed: Capability, names: &Names, sources: &Sources, style: Style) -> String {
    let message = format!("to {} {} needs {needed}; nothing was changed", verb(change), object(&change.key, names, sources));
    error(&message, &[], Some("run it as root, or with that capability"), style)
}

/// What is not as it should be on the disk, although the kernel is.
fn untidy(ended: &Ended, reason: &StoreError, style: Style) -> String {
    let (details, help) = match ended {
        Ended::Applied => (
            "the kernel holds what was applied; the record of this run stays until a later run can tidy it away",
            "see to that disk, and run `lvsform recover`: if it has lost what was written, that takes this run back",
        ),
        _ => (
            "the kernel is as it was before; the record of this run may still be there",
            "see to that disk, and run `lvsform recover` before anybody changes the kernel by hand: what is there then just as this \
             run made it would be taken for its own",
        ),
    };
    error(&format!("the records could not be tidied: {reason}"), &[details.to_owned()], Some(help), style)
}

/// A line for each change: the fields that differ, or what `whole` says of an object that has none.
fn listed(changes: &[Change], whole: impl Fn(&Change) -> String, names: &Names, sources: &Sources) -> Vec<String> {
    let none = || "none".to_owned();
    let line = |change: &Change| {
        let fields: Vec<String> = change
            .fields()
            .into_iter()
            .map(|field| format!("{} {} → {}", field.field, field.before.unwrap_or_else(none), field.after.unwrap_or_else(none)))
            .collect();
        let what = if fields.is_empty() { whole(change) } else { fields.join(", ") };
        format!("{}: {what}", object(&change.key, names, sources))
    };
    let mut lines: Vec<String> = changes.iter().take(SHOWN).map(line).collect();
    if changes.len() > SHOWN {
        lines.push(format!("… and {} more", changes.len() - SHOWN));
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
    text.push_str(
        "`lvsform recover` tries again; `recover --ours KEY` takes an object back whatever it is now, `recover --theirs KEY` leaves it.\n",
    );
    text
}

/// That an object belongs to another topology.
pub fn claimed(claimed: &Claimed, names: &Names, sources: &Sources) -> String {
    format!("{}: topology `{}` owns it", object(&claimed.key, names, sources), printable(&claimed.topology))
}

/// What is left after a run that had not ended was taken back.
pub fn left_after_recovery(left: &[Left], topology: &str, style: Style) -> String {
    let message = format!("the run of topology `{}` that had not ended was taken back, but not whole", printable(topology));
    let mut text = error(&message, &[], None, style);
    text.push_str(&incomplete(left, &Names::new(), &Sources::default()));
    text
}

/// `service shop (tcp 10.0.0.100:443, shop.kdl:12)`, or `service tcp 10.0.0.100:443` where the file has no word for it.
fn object(key: &Key, names: &Names, sources: &Sources) -> String {
    let provenance = names.get(key);
    let (kind, identity) = kind_and_identity(key);
    let place = provenance.and_then(|provenance| provenance.origin.span()).map(|span| line(span, sources));
    let what = what(key, provenance);
    let (what, rest) =
        if what == kind { (key.to_string(), None) } else { (what, Some(identity).filter(|text| !text.is_empty())) };
    let beside: Vec<String> = rest.into_iter().chain(place).collect();
    let text = if beside.is_empty() { what } else { format!("{what} ({})", beside.join(", ")) };
    printable(&text).into_owned()
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
    let said = |reason: &str, help: &str| (reason.to_owned(), help.to_owned());
    let errno = Errno::from_raw(refusal.errno);
    // The kernel knows a tunnel by its addresses, too: what is there may have another name.
    let is_tunnel = matches!((&change.key, errno), (Key::Link(_), Errno::EEXIST));
    if refusal.proves_another_writer(change) && !is_tunnel {
        let reason = match errno {
            Errno::EEXIST => "it is there already, and was not when the plan was made: someone else is writing",
            _ => "it was there when the plan was made, and is gone: someone else is writing",
        };
        return said(reason, "find out who it is, and run it again");
    }
    match errno {
        // Root passes every other check of a sysctl's mode.
        Errno::EACCES if let Key::Sysctl(key) = &change.key => {
            return (
                "it is read-only here: its mode lets nobody write it".to_owned(),
                format!(
                    "take it out of the file, or give it the value that is there; `ls -l /proc/sys/{}` shows the mode",
                    key.path()
                ),
            );
        }
        Errno::EPERM | Errno::EACCES => return said("this user may not write it", "run it as root (CAP_NET_ADMIN)"),
        Errno::EROFS => {
            return said("/proc/sys is mounted read-only here", "run it outside the container, or let the container write it");
        }
        Errno::ENOMEM | Errno::ENOBUFS => return said("the kernel has no memory for it", "look at its log (dmesg)"),
        _ => {}
    }
    match (&change.key, errno) {
        (Key::Service(_), Errno::ENOENT) => missing_scheduler(change),
        (Key::Service(_) | Key::Destination(_), Errno::EAFNOSUPPORT) => {
            said("the kernel has no IPv6, or IPVS without it", "enable IPv6, or listen on IPv4 alone: family=\"ipv4\"")
        }
        (Key::Destination(key), Errno::EINVAL) => (
            "it takes no such server: by its routes the address is not unicast, or the service is of another family and the \
             server has no tunnel, or there is a sync daemon beside"
                .to_owned(),
            format!("see `ip route get {}`; in a new network namespace, `ip link set lo up` comes first", key.address),
        ),
        (Key::Destination(_), Errno::ERANGE) => {
            said("weight or thresholds are out of range", "min-connections must not exceed max-connections")
        }
        (Key::Destination(_), Errno::ESRCH) => {
            said("its service is gone: someone else is writing", "find out who it is, and run it again")
        }
        (Key::Sync(_), Errno::ENODEV) => said(
            "the device that it is to multicast on does not exist",
            "`ip link` shows those that do; mend `interface` of the sync block",
        ),
        (Key::Sync(_), Errno::EINVAL) => said(
            "it takes no sync daemon beside servers of another family than their service",
            "`ipvsadm -Ln` shows them; take the sync block or those servers away",
        ),
        (Key::Address(AddressKey { interface, .. }) | Key::Route(RouteKey { interface, .. }), Errno::ENODEV) => (
            format!("there is no device `{}`", printable(interface)),
            "`ip link` shows those that there are; mend `interface`".to_owned(),
        ),
        (Key::Route(RouteKey { interface, .. }), Errno::ENETDOWN) => (
            format!("the device `{}` is down", printable(interface)),
            format!("`ip link set {} up`, and see why it was not", printable(interface)),
        ),
        (Key::Route(RouteKey { via: Some(via), .. }), Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL) => (
            format!("no address of this host is in a subnet of {via}"),
            "`ip address` shows those that there are: the file says others; mend `interface`, or `via`".to_owned(),
        ),
        (Key::Nftables(_), Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP | Errno::ENOENT) => said(
            "it has no nftables, or not all that the table needs (nft_ct, nft_masq, nft_chain_nat)",
            "install the kernel package that has these modules",
        ),
        (Key::Link(_), Errno::EOPNOTSUPP) => {
            said("it does not know this kind of device", "install the kernel package that has the device's module")
        }
        (Key::Link(_), Errno::EEXIST) => said(
            "there is another tunnel of the same kind, local and remote address and key",
            "`ip -d link` shows it; delete it, or take it out of the file",
        ),
        (Key::Link(_), Errno::ENODEV) => {
            said("the device that it is bound to does not exist", "`ip link` shows those that do; mend `device`")
        }
        (Key::Sysctl(key), Errno::ENOENT) => (
            format!("this kernel, or this namespace, has no {key}"),
            "mend the key; a sysctl of a module or a device exists only while that is there".to_owned(),
        ),
        (Key::Sysctl(_), Errno::EINVAL | Errno::ERANGE) => said("it does not take this value", "mend the value"),
        (Key::Module(name), _) => {
            let name = printable(name);
            (
                format!("module {name} cannot be loaded"),
                format!("try `modprobe {name}`, or install the kernel package that has it"),
            )
        }
        _ => said("it gives no reason", "look at its log (dmesg)"),
    }
}

/// The scheduler of a service, or its persistence engine, is a module that cannot be had.
fn missing_scheduler(change: &Change) -> (String, String) {
    let Some(Resource::Service(service)) = &change.after else {
        return ("its scheduler is not available".to_owned(), "look at its log (dmesg)".to_owned());
    };
    let scheduler = format!("ip_vs_{}", printable(&service.scheduler));
    let name = printable(&service.scheduler);
    let (reason, modules) = match &service.engine {
        Some(engine) => {
            let (engine, module) = (printable(engine), format!("ip_vs_pe_{}", printable(engine)));
            (
                format!(
                    "scheduler `{name}` or persistence engine `{engine}` is not available: module {scheduler} or {module} is missing"
                ),
                format!("`modprobe {scheduler}` and `modprobe {module}`"),
            )
        }
        None => {
            (format!("scheduler `{name}` is not available: module {scheduler} is missing"), format!("`modprobe {scheduler}`"))
        }
    };
    (reason, format!("try {modules}; if that fails, install the kernel package that has it, or choose another scheduler"))
}

#[cfg(test)]
mod tests;
