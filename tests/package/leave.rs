//! An upgrade, a removal and a purge: what stays of what was applied, and what is known of it.

use libtest_mimic::Trial;

use crate::host::{Disk, dpkg, install, same};
use crate::install::{TABLE, TOPOLOGY, applied, table, write};
use crate::{made, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("leave::an_upgrade_keeps_kernel_records_configuration_and_units", upgrade),
        test("leave::a_removal_stops_the_timers_and_keeps_kernel_and_records", removal),
        test("leave::a_purge_forgets_what_is_applied_and_says_so", purge),
        test("leave::a_purge_has_nothing_to_say_where_everything_was_given_back", given_back),
        test("leave::a_purge_is_refused_while_a_run_is_at_work_or_waits_to_be_confirmed", at_work),
    ]
}

fn upgrade() {
    let disk = Disk::with_package("upgrade");
    let host = disk.boot();
    applied(&host);
    host.done("systemctl enable lvsform-boot.service && systemctl enable --now lvsform-recover.timer");
    host.done("echo changed >/etc/lvsform/README && ipvsadm -e -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 77");
    let begun = "systemctl show --property InvocationID lvsform-recover.timer lvsform-recover.service lvsform-boot.service";
    let kernel = host.kernel();
    let before = (host.records(), host.units(), host.done(begun));
    host.done(&install(&made::newer_package()));
    assert_eq!(host.done("dpkg-query --show --showformat '${Version}' lvsform"), made::NEWER);
    same(&host.kernel(), &kernel);
    assert_eq!((host.records(), host.units(), host.done(begun)), before);
    assert_eq!(host.done("cat /etc/lvsform/README /etc/lvsform/shop.kdl"), format!("changed\n{TOPOLOGY}"));
    assert!(table(&host).ends_with("-w 77\n"), "what moved by hand is for apply and drift to say: {}", table(&host));
}

fn removal() {
    let disk = Disk::with_package("removal");
    let host = disk.boot();
    applied(&host);
    host.done("systemctl enable lvsform-boot.service && systemctl enable --now lvsform-recover.timer lvsform-drift.timer");
    host.done("systemctl start lvsform-boot.service");
    let (kernel, records) = (host.kernel(), host.records());
    host.done(&dpkg("--remove lvsform"));
    host.refused("test -e /usr/bin/lvsform");
    same(&host.kernel(), &kernel);
    assert_eq!(host.records(), records);
    assert_eq!(host.done("systemctl list-units --plain --no-legend 'lvsform-*'"), "");
    assert_eq!(host.done("cat /etc/lvsform/shop.kdl"), TOPOLOGY);
    drop(host);
    // A boot without it starts nothing, and fails at nothing.
    let host = disk.boot();
    assert_eq!(host.done("systemctl list-units --plain --no-legend --failed; ipvsadm -Sn"), "");
    drop(host);
    // When it comes back, it goes on from there.
    let host = disk.boot();
    host.done(&install(&made::package()));
    host.done("systemctl start lvsform-boot.service");
    assert_eq!(table(&host), TABLE);
    assert!(host.units().contains(&"lvsform-recover.timer inactive enabled".to_owned()), "{:?}", host.units());
}

/// What dpkg runs for a purge when the files are gone already.
const POSTRM: &str = "DPKG_MAINTSCRIPT_PACKAGE=lvsform sh /var/lib/dpkg/info/lvsform.postrm purge";

fn purge() {
    let disk = Disk::with_package("purge");
    let host = disk.boot();
    applied(&host);
    host.done("systemctl enable lvsform-boot.service && systemctl enable --now lvsform-recover.timer");
    let before = host.kernel();
    let said = host.done(&dpkg("--purge lvsform"));
    let warning =
        "lvsform: what topology shop made stays in the kernel until the next boot, and nothing knows any more whose it is";
    assert!(said.contains(warning), "{said}");
    same(&host.kernel(), &before);
    host.refused("test -e /var/lib/lvsform");
    // The topology is not the package's.
    assert_eq!(host.done("ls /etc/lvsform"), "shop.kdl\n");
    assert_eq!(
        host.done("find /etc/systemd /var/lib/systemd -name '*lvsform*'; dpkg-query --list | grep ' lvsform ' || true"),
        ""
    );
}

fn given_back() {
    let disk = Disk::with_package("given-back");
    let host = disk.boot();
    applied(&host);
    host.done("lvsform destroy shop --yes");
    assert_eq!(host.done(POSTRM), "");
    host.refused("test -e /var/lib/lvsform");
}

fn at_work() {
    let disk = Disk::with_package("at-work");
    let host = disk.boot();
    applied(&host);
    write(&host, &TOPOLOGY.replace("weight=10", "weight=20"));
    host.done("lvsform apply /etc/lvsform/shop.kdl --yes --confirm-within 10m");
    let (kernel, records) = (host.kernel(), host.records());
    let said = host.refused(POSTRM);
    assert!(said.starts_with("lvsform: an apply waits to be confirmed until "), "{said}");
    let said = host.refused(&format!("flock /run/lvsform/lock/* env {POSTRM}"));
    assert_eq!(said, "lvsform: a run is at work; purge again when it has ended\n");
    same(&host.kernel(), &kernel);
    assert_eq!(host.records(), records);
    host.done("lvsform confirm shop");
    host.done(POSTRM);
    host.refused("test -e /var/lib/lvsform");
    same(&host.kernel(), &kernel);
}
