//! What an installation puts where, and what it does not do.

use libtest_mimic::Trial;

use crate::host::{Disk, Host, install, same};
use crate::{made, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("install::nothing_in_the_kernel_changes_and_nothing_is_enabled_or_started", changes_nothing),
        test("install::everything_is_where_it_is_looked_for", in_place),
        test("install::the_units_bring_back_after_a_boot_what_was_applied", boots),
    ]
}

pub const TOPOLOGY: &str = "topology \"shop\"\n\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\" }\n\nvip \"front\" address=\"10.0.0.100\"\n\nservice \"web\" {\n    listen vip=\"front\" port=80\n    forward \"dr\"\n    server \"10.0.0.11\" weight=10\n}\n";

/// A topology where the package has a place for it.
pub fn write(host: &Host, text: &str) {
    host.done(&format!("cat >/etc/lvsform/shop.kdl <<'END'\n{text}END"));
}

pub fn applied(host: &Host) {
    write(host, TOPOLOGY);
    host.done("lvsform apply /etc/lvsform/shop.kdl --yes");
}

/// IPVS as its own witness sees it.
pub fn table(host: &Host) -> String {
    host.done("ipvsadm -Sn")
}

pub const TABLE: &str = "-A -t 10.0.0.100:80 -s wlc\n-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 10\n";

fn changes_nothing() {
    let disk = Disk::new("nothing");
    let host = disk.boot();
    let before = host.kernel();
    let processes = host.done("systemctl list-units --plain --no-legend --all | cut -d ' ' -f 1");
    host.done(&install(&made::package()));
    same(&host.kernel(), &before);
    host.refused("test -e /var/lib/lvsform -o -e /run/lvsform");
    assert_eq!(
        host.units(),
        [
            "lvsform-boot.service inactive disabled",
            "lvsform-drift.service inactive static",
            "lvsform-drift.timer inactive disabled",
            "lvsform-recover.service inactive static",
            "lvsform-recover.timer inactive disabled",
        ]
    );
    assert_eq!(host.done("systemctl list-units --plain --no-legend --all | cut -d ' ' -f 1"), processes);
    drop(host);
    // Nor with the next boot.
    let host = disk.boot();
    same(&host.kernel(), &before);
    host.refused("test -e /var/lib/lvsform -o -e /run/lvsform");
}

fn in_place() {
    let disk = Disk::with_package("place");
    let host = disk.boot();
    assert_eq!(host.done("lvsform --version"), format!("lvsform {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(host.done("command -v lvsform"), "/usr/bin/lvsform\n");
    // `check` is for everybody.
    write(&host, TOPOLOGY);
    host.done("setpriv --reuid=65534 --regid=65534 --clear-groups lvsform check /etc/lvsform/shop.kdl");
    let help = host.done("lvsform --help");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(commands.len() > 15, "{help}");
    host.done("mkdir /run/pages /run/installed-pages && lvsform man --out /run/pages");
    host.done("cp /usr/share/man/man1/lvsform*.1.gz /run/installed-pages && gunzip /run/installed-pages/*");
    host.done("diff -r /run/pages /run/installed-pages");
    let pages = host.done("ls /run/installed-pages");
    for command in commands {
        assert!(pages.contains(&format!("lvsform-{command}.1\n")), "{command}: {pages}");
    }
    // bash-completion sources the file of a command's name when it is first completed.
    let completes = host.done("bash -c '. /usr/share/bash-completion/completions/lvsform && complete -p lvsform'");
    assert!(completes.contains("-F _lvsform"), "{completes}");
    host.done("grep -qx '#compdef lvsform' /usr/share/zsh/vendor-completions/_lvsform");
    host.done("grep -q '^complete -c lvsform' /usr/share/fish/vendor_completions.d/lvsform.fish");
    let said = host.done("systemd-analyze verify /usr/lib/systemd/system/lvsform-*");
    assert_eq!(said, "");
    for file in
        ["copyright", "README.Debian", "changelog.Debian.gz", "crates.txt.gz", "docs/rules/README.md", "examples/game.kdl"]
    {
        host.done(&format!("test -s /usr/share/doc/lvsform/{file}"));
    }
    // The newest entry is of this version, and crates of ours are named with their licences.
    let changelog = host.done("zcat /usr/share/doc/lvsform/changelog.Debian.gz");
    assert!(changelog.starts_with(&format!("lvsform ({}-1) ", env!("CARGO_PKG_VERSION"))), "{changelog}");
    assert_eq!(host.done("dpkg-query --show --showformat '${Version}' lvsform"), format!("{}-1", env!("CARGO_PKG_VERSION")));
    let crates = host.done("zcat /usr/share/doc/lvsform/crates.txt.gz");
    assert!(crates.contains("\nclap 4.") && crates.contains("Permission is hereby granted"), "{crates}");
    // What the pages lead to is there too; the licence is the system's own.
    let links = host.done("grep -oE '\\]\\([a-z][A-Za-z/.-]*\\)' /usr/share/doc/lvsform/README.md | tr -d '()]' | sort -u");
    assert!(links.lines().count() > 5, "{links}");
    host.done("cd /usr/share/doc/lvsform && test -e schemas/topology.schema.json");
    for link in links.lines() {
        host.done(&format!("test -e /usr/share/doc/lvsform/{link}"));
    }
    assert_eq!(host.done("dpkg --verify lvsform"), "");
}

/// The commands of README.Debian, as they stand there.
fn enable_all(host: &Host) {
    let page = host.done("cat /usr/share/doc/lvsform/README.Debian");
    let commands: Vec<&str> = page.lines().map(str::trim).filter(|line| line.starts_with("systemctl enable ")).collect();
    assert_eq!(commands.len(), 3, "{page}");
    for command in commands {
        host.done(command);
    }
}

fn boots() {
    let disk = Disk::with_package("boots");
    let host = disk.boot();
    enable_all(&host);
    applied(&host);
    assert_eq!(table(&host), TABLE);
    drop(host);
    let host = disk.boot();
    assert_eq!(
        host.units(),
        [
            "lvsform-boot.service active enabled",
            "lvsform-drift.service inactive static",
            "lvsform-drift.timer active enabled",
            "lvsform-recover.service inactive static",
            "lvsform-recover.timer active enabled",
        ]
    );
    assert_eq!(table(&host), TABLE);
    host.done("lvsform drift");
    // What the timers start.
    host.done("mkdir -p /var/lib/prometheus/node-exporter && systemctl start lvsform-recover.service lvsform-drift.service");
    host.done("grep -q '^lvsform_' /var/lib/prometheus/node-exporter/lvsform.prom");
    assert_eq!(table(&host), TABLE);
}
