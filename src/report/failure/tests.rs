//! Every message of an apply that failed, as it is read.

use std::path::PathBuf;
use std::sync::Arc;

use super::{object, render};
use crate::kernel::{ReadError, Refusal};
use crate::provenance::{Names, Provenance};
use crate::report::text::Style;
use crate::source::{Origin, Sources, Span};
use crate::state::{Change, Key, Resource};
use crate::txn::store::StoreError;
use crate::txn::{Ended, Failure, Left, Why};
use nix::errno::Errno;

const PLAIN: Style = Style { colour: false, width: 100, verbose: false };
const SERVICE: &str = "service tcp 10.0.0.100:443";
const SERVER: &str = "server tcp 10.0.0.100:443 10.0.0.13:443";

/// A file in which the service stands on line 2, and the words for it and its server.
fn file() -> (Sources, Names) {
    let mut sources = Sources::default();
    let id = sources.add(PathBuf::from("sites/shop.kdl"), "topology \"shop\"\nservice \"shop\" {\n".to_owned());
    let entry = |key: &str, name: &str, bytes| {
        let origin = Origin::Text(Span::new(id, bytes));
        (key.parse().expect("a key"), Provenance { name: Arc::from(name), origin, implied: None, fields: None })
    };
    let names = [
        entry(SERVICE, "shop", 16..23),
        entry(SERVER, "shop web3", 16..23),
        entry("timeouts", "timeouts", 0..8),
        entry("sysctl net.core.somaxconn", "lb1", 0..8),
    ];
    (sources, names.into())
}

fn change(key: &str, before: Option<&str>, after: Option<&str>) -> Change {
    let resource = |text: &str| serde_json::from_str::<Resource>(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Change { key: key.parse().expect("a key"), before: before.map(resource), after: after.map(resource) }
}

fn shown(ended: &Ended) -> String {
    let (sources, names) = file();
    render(ended, &names, &sources, PLAIN)
}

/// The lines between the first and the last: the answer, the reason, what to do.
fn refused(change: Change, errno: Errno) -> String {
    let refusal = Refusal { errno: errno as i32, text: None };
    let text = shown(&Ended::RolledBack(Failure::Refused(vec![(change, refusal)])));
    let lines: Vec<&str> = text.lines().collect();
    lines[2..lines.len() - 1].join("\n")
}

const WLC: &str = r#"{"kind": "service", "scheduler": "wlc"}"#;
const SIP: &str = r#"{"kind": "service", "scheduler": "mh", "engine": "sip"}"#;
const DR: &str = r#"{"kind": "destination", "forward": "dr", "weight": 1}"#;
const TIMEOUTS: &str = r#"{"kind": "timeouts", "tcp": 900}"#;
const VALUE: &str = r#"{"kind": "sysctl", "value": "17"}"#;
const MODULE: &str = r#"{"kind": "module"}"#;
const ADDRESS: &str = r#"{"kind": "address"}"#;
const LINK: &str = r#"{"kind": "link", "device": {"other": "dummy"}, "up": true}"#;
const ROUTE: &str = r#"{"kind": "route", "type": 1, "protocol": 76, "scope": 0}"#;
const SYNC: &str = r#"{"kind": "sync", "interface": "eth1", "id": 1, "group": "224.0.0.81", "port": 8848, "ttl": 1}"#;
const IPVS: &str = "sysctl net.ipv4.vs.drop_entry";

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_refusal_has_a_reason_and_says_what_to_do() {
    let another = "find out who it is, and run it again";
    let cases: Vec<(Change, Errno, &str, &str)> = vec![
        (change(SERVICE, None, Some(WLC)), Errno::EPERM, "this user may not write it", "run it as root (CAP_NET_ADMIN)"),
        (
            change(IPVS, None, Some(VALUE)),
            Errno::EACCES,
            "it is read-only here: its mode lets nobody write it",
            "take it out of the file, or give it the value that is there; `ls -l /proc/sys/net/ipv4/vs/drop_entry` shows the mode",
        ),
        (
            change(IPVS, None, Some(VALUE)),
            Errno::EROFS,
            "/proc/sys is mounted read-only here",
            "run it outside the container, or let the container write it",
        ),
        (change(SERVICE, None, Some(WLC)), Errno::ENOMEM, "the kernel has no memory for it", "look at its log (dmesg)"),
        (
            change(SERVICE, None, Some(WLC)),
            Errno::EEXIST,
            "it is there already, and was not when the plan was made: someone else is writing",
            another,
        ),
        (
            change(SERVICE, Some(WLC), None),
            Errno::ESRCH,
            "it was there when the plan was made, and is gone: someone else is writing",
            another,
        ),
        (
            change(SERVER, Some(DR), None),
            Errno::ENOENT,
            "it was there when the plan was made, and is gone: someone else is writing",
            another,
        ),
        (
            change(SERVICE, None, Some(WLC)),
            Errno::ENOENT,
            "scheduler `wlc` is not available: module ip_vs_wlc is missing",
            "try `modprobe ip_vs_wlc`; if that fails, install the kernel package that has it, or choose another scheduler",
        ),
        (
            change(SERVICE, None, Some(SIP)),
            Errno::ENOENT,
            "scheduler `mh` or persistence engine `sip` is not available: module ip_vs_mh or ip_vs_pe_sip is missing",
            "try `modprobe ip_vs_mh` and `modprobe ip_vs_pe_sip`; if that fails, install the kernel package that has it, or choose another scheduler",
        ),
        (
            change(SERVICE, None, Some(WLC)),
            Errno::EAFNOSUPPORT,
            "the kernel has no IPv6, or IPVS without it",
            "enable IPv6, or listen on IPv4 alone: family=\"ipv4\"",
        ),
        (
            change(SERVER, None, Some(DR)),
            Errno::EINVAL,
            "it takes no such server: by its routes the address is not unicast, or the service is of another family and the server has no tunnel, or there is a sync daemon beside",
            "see `ip route get 10.0.0.13`; in a new network namespace, `ip link set lo up` comes first",
        ),
        (
            change(SERVER, None, Some(DR)),
            Errno::ERANGE,
            "weight or thresholds are out of range",
            "min-connections must not exceed max-connections",
        ),
        (change(SERVER, None, Some(DR)), Errno::ESRCH, "its service is gone: someone else is writing", another),
        (
            change("route 0.0.0.0/0 via 10.0.0.2 dev eth0 table 9", None, Some(ROUTE)),
            Errno::ENODEV,
            "there is no device `eth0`",
            "`ip link` shows those that there are; mend `interface`",
        ),
        (
            change("route 0.0.0.0/0 via 10.0.0.2 dev eth0 table 9", None, Some(ROUTE)),
            Errno::ENETUNREACH,
            "no address of this host is in a subnet of 10.0.0.2",
            "`ip address` shows those that there are: the file says others; mend `interface`, or `via`",
        ),
        (
            change("route 10.2.0.0/16 dev dc2", None, Some(ROUTE)),
            Errno::ENETDOWN,
            "the device `dc2` is down",
            "`ip link set dc2 up`, and see why it was not",
        ),
        (
            change("nftables lvsform-t", None, Some(r#"{"kind": "nftables", "chains": {}}"#)),
            Errno::EOPNOTSUPP,
            "it has no nftables, or not all that the table needs (nft_ct, nft_masq, nft_chain_nat)",
            "install the kernel package that has these modules",
        ),
        (
            change("sync master", None, Some(SYNC)),
            Errno::ENODEV,
            "the device that it is to multicast on does not exist",
            "`ip link` shows those that do; mend `interface` of the sync block",
        ),
        (
            change("sync master", None, Some(SYNC)),
            Errno::EINVAL,
            "it takes no sync daemon beside servers of another family than their service",
            "`ipvsadm -Ln` shows them; take the sync block or those servers away",
        ),
        (
            change("vip 10.0.0.100 eth7", None, Some(ADDRESS)),
            Errno::ENODEV,
            "there is no device `eth7`",
            "`ip link` shows those that there are; mend `interface`",
        ),
        (
            change("link dc1", None, Some(LINK)),
            Errno::EOPNOTSUPP,
            "it does not know this kind of device",
            "install the kernel package that has the device's module",
        ),
        (
            change("link dc1", None, Some(LINK)),
            Errno::ENODEV,
            "the device that it is bound to does not exist",
            "`ip link` shows those that do; mend `device`",
        ),
        (
            change(IPVS, None, Some(VALUE)),
            Errno::ENOENT,
            "this kernel, or this namespace, has no net.ipv4.vs.drop_entry",
            "mend the key; a sysctl of a module or a device exists only while that is there",
        ),
        (change(IPVS, None, Some(VALUE)), Errno::EINVAL, "it does not take this value", "mend the value"),
        (
            change("module ip_vs", None, Some(MODULE)),
            Errno::ENOENT,
            "module ip_vs cannot be loaded",
            "try `modprobe ip_vs`, or install the kernel package that has it",
        ),
        (change("timeouts", Some(TIMEOUTS), Some(TIMEOUTS)), Errno::EINVAL, "it gives no reason", "look at its log (dmesg)"),
    ];
    for (change, errno, reason, help) in cases {
        let key = change.key.to_string();
        assert_eq!(refused(change, errno), format!("  {reason}\n  help: {help}"), "{key}: {errno}");
    }
}

#[test]
fn a_refusal_names_the_object_the_kernels_answer_and_what_became_of_the_rest() {
    let refusal = Refusal { errno: Errno::EINVAL as i32, text: Some("no \x1b[2Jsuch thing\n".to_owned()) };
    let text = shown(&Ended::RolledBack(Failure::Refused(vec![(
        change("timeouts", Some(TIMEOUTS), Some(&TIMEOUTS.replace("900", "300"))),
        refusal,
    )])));
    let expected = "\
error: the kernel refused to change timeouts (shop.kdl:1)
  it answered EINVAL (Invalid argument): no \\x1b[2Jsuch thing
  it gives no reason
  help: look at its log (dmesg)
Rolled back: the kernel was read again, and everything is as it was before.
";
    assert_eq!(text, expected);
}

#[test]
fn many_refusals_are_counted_and_ten_of_them_are_shown() {
    let refusal = Refusal { errno: Errno::EPERM as i32, text: None };
    let many = (1..=14).map(|port| (change(&format!("service tcp 10.0.0.1:{port}"), None, Some(WLC)), refusal.clone()));
    let text = shown(&Ended::RolledBack(Failure::Refused(many.collect())));
    assert_eq!(text.matches("error: ").count(), 10, "{text}");
    assert!(text.contains("… and 4 more refusals of the same step"), "{text}");
}

#[test]
fn what_was_not_done_or_not_held_is_listed() {
    let steps = || {
        vec![
            change(SERVICE, None, Some(WLC)),
            change(SERVER, Some(DR), None),
            change(SERVER, Some(DR), Some(&DR.replace('1', "5"))),
        ]
    };
    assert_eq!(
        shown(&Ended::RolledBack(Failure::NotDone(steps()))),
        "\
error: the kernel did not answer, and reading it shows that this did not happen
  service shop (tcp 10.0.0.100:443, shop.kdl:2): to add it
  server shop web3 (tcp 10.0.0.100:443 10.0.0.13:443, shop.kdl:2): to delete it
  server shop web3 (tcp 10.0.0.100:443 10.0.0.13:443, shop.kdl:2): weight 1 → 5
  help: look at its log (dmesg), then run it again
Rolled back: the kernel was read again, and everything is as it was before.
"
    );
    assert_eq!(
        shown(&Ended::RolledBack(Failure::NotHeld(steps()))),
        "\
error: the kernel acknowledged every step, and still differs from the file
  service shop (tcp 10.0.0.100:443, shop.kdl:2): it is not there
  server shop web3 (tcp 10.0.0.100:443 10.0.0.13:443, shop.kdl:2): it is still there
  server shop web3 (tcp 10.0.0.100:443 10.0.0.13:443, shop.kdl:2): weight 1 → 5
  help: someone else may have written at the same moment: `lvsform plan` shows what differs now
Rolled back: the kernel was read again, and everything is as it was before.
"
    );
}

#[test]
fn what_is_left_is_named_with_its_reason() {
    let left = |key: &str, before: Option<&str>, now: Option<&str>, why| {
        let Change { key, before, after } = change(key, before, now);
        Left { key, before, now: after, why }
    };
    let reading = ReadError::Unsteady { what: "the services", tries: 10 };
    let children = Why::Children(vec!["server tcp 10.0.0.100:443 10.0.0.66:443".parse().expect("a key")]);
    let refusal = Refusal { errno: Errno::EPERM as i32, text: None };
    let all = vec![
        left(SERVICE, None, Some(WLC), children),
        left(SERVER, Some(DR), None, Why::Refused(refusal)),
        left("vip 10.0.0.9 eth0", Some(ADDRESS), Some(ADDRESS), Why::SomebodyElse),
        left("sysctl net.core.somaxconn", Some(VALUE), Some(VALUE), Why::NotHeld),
    ];
    assert_eq!(
        shown(&Ended::Incomplete(Failure::Reading(reading), all)),
        "\
error: the kernel could not be read in between: someone else is writing: the services differed in each of 10 readings
Rolled back, but for 4 objects:
  service shop (tcp 10.0.0.100:443, shop.kdl:2)
      it was not there before, and is there now: others put something into it meanwhile, which would go with it: \
server tcp 10.0.0.100:443 10.0.0.66:443
  server shop web3 (tcp 10.0.0.100:443 10.0.0.13:443, shop.kdl:2)
      it was there before, and is gone: the kernel refused to put it back: EPERM (Operation not permitted)
  vip 10.0.0.9 eth0
      it is not what it was before: someone else made or changed it meanwhile; it was left alone
  sysctl lb1 (net.core.somaxconn, shop.kdl:1)
      it is not what it was before: the kernel acknowledged, and did not put it back
`lvsform recover` tries again; `recover --ours KEY` takes an object back whatever it is now, `recover --theirs KEY` leaves it.
"
    );
}

#[test]
fn a_kernel_that_cannot_be_read_says_that_nothing_is_known() {
    let reading = || ReadError::Capability("CAP_NET_ADMIN");
    assert_eq!(
        shown(&Ended::Unreadable(Failure::Reading(reading()), reading())),
        "\
error: the kernel could not be read in between: reading IPVS needs CAP_NET_ADMIN
NOT rolled back: reading IPVS needs CAP_NET_ADMIN.
Nobody knows what is left of this run. `lvsform plan` shows it as soon as the kernel can be read.
"
    );
}

#[test]
fn a_disk_that_fails_beside_a_kernel_that_is_right_is_said_with_what_it_may_come_to() {
    let untidy = |ended| {
        let error = StoreError::Unsynced(PathBuf::from("/var/lib/lvsform/host"), Errno::EIO.into());
        shown(&Ended::Untidy(Box::new(ended), error))
    };
    assert_eq!(
        untidy(Ended::Applied),
        "\
error: the records could not be tidied: the disk does not confirm that it has what was written in /var/lib/lvsform/host: I/O error
  the kernel holds what was applied; the record of this run stays until a later run can tidy it away
  help: see to that disk, and run `lvsform recover`: if it has lost what was written, that takes this run back
"
    );
    assert_eq!(
        untidy(Ended::RolledBack(Failure::Interrupted)),
        "\
error: interrupted by a signal
Rolled back: the kernel was read again, and everything is as it was before.
error: the records could not be tidied: the disk does not confirm that it has what was written in /var/lib/lvsform/host: I/O error
  the kernel is as it was before; the record of this run may still be there
  help: see to that disk, and run `lvsform recover` before anybody changes the kernel by hand: what is there then just as this \
run made it would be taken for its own
"
    );
}

#[test]
fn an_object_is_named_in_the_users_words_and_the_kernels_and_neither_twice() {
    let (sources, names) = file();
    let shown = |key: &str| object(&key.parse::<Key>().expect("a key"), &names, &sources);
    assert_eq!(shown(SERVICE), "service shop (tcp 10.0.0.100:443, shop.kdl:2)");
    assert_eq!(shown("timeouts"), "timeouts (shop.kdl:1)");
    assert_eq!(shown("sysctl net.core.somaxconn"), "sysctl lb1 (net.core.somaxconn, shop.kdl:1)");
    assert_eq!(shown("service udp 10.0.0.9:53"), "service udp 10.0.0.9:53");
}
