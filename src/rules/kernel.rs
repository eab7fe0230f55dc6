//! What the kernel that was named lacks (`check --target-kernel`): schedulers, encapsulations, sysctls, fields.
//!
//! The versions are those of the kernel's history; where only the series is known, the later one is taken.

use std::collections::BTreeSet;
use std::fmt;

use super::{Conflict, Report, View, families, forward, own_families, place, sysctl};
use crate::source::Span;
use crate::state::{Checksum, Encapsulation};
use crate::topology::{Forward, ListenOn};

/// A release of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Kernel {
    /// Reads `5.10`, `2.6.32`, or what `uname -r` says; `None` for anything else.
    pub fn parse(text: &str) -> Option<Kernel> {
        let mut numbers = text.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            digits.parse::<u16>().ok()
        });
        let (major, minor) = (numbers.next()??, numbers.next()??);
        Some(Kernel { major, minor, patch: numbers.next().flatten().unwrap_or(0) })
    }

    /// Whether it is older than the release that brought something.
    pub fn lacks(self, (major, minor): (u16, u16)) -> bool {
        (self.major, self.minor) < (major, minor)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch == 0 { Ok(()) } else { write!(f, ".{}", self.patch) }
    }
}

/// Says what is lacking, each place once.
struct Lacking<'r> {
    kernel: Kernel,
    code: &'static str,
    said: BTreeSet<Span>,
    report: &'r mut Report,
}

impl<'r> Lacking<'r> {
    fn new(view: &View, code: &'static str, report: &'r mut Report) -> Option<Lacking<'r>> {
        Some(Lacking { kernel: view.kernel?, code, said: BTreeSet::new(), report })
    }

    fn needs(&mut self, since: (u16, u16), what: &str, span: Span) {
        if self.kernel.lacks(since) {
            self.say(&format!("{}.{}", since.0, since.1), what, span);
        }
    }

    fn say(&mut self, since: &str, what: &str, span: Span) {
        if self.said.insert(span) {
            let (kernel, what, since) = (self.kernel.to_string(), what.to_owned(), since.to_owned());
            self.report.add(&Conflict::Lacks { code: self.code, kernel, what, since }, span);
        }
    }
}

const SCHEDULERS: [(&str, (u16, u16)); 4] = [("fo", (3, 18)), ("ovf", (4, 3)), ("mh", (4, 18)), ("twos", (5, 12))];
const HASH_OPTIONS: (u16, u16) = (3, 11);

pub fn it_has_the_schedulers(view: &View, report: &mut Report) {
    let Some(mut lacking) = Lacking::new(view, "kernel-scheduler", report) else { return };
    for scheduler in view.services().map(|service| &service.scheduler) {
        let name = &scheduler.name;
        if let Some((known, since)) = SCHEDULERS.iter().find(|(known, _)| *known == name.value) {
            lacking.needs(*since, &format!("scheduler \"{known}\""), place(name));
        }
        for option in [&scheduler.port, &scheduler.fallback] {
            if let Some(span) = option.origin.span().filter(|_| option.value) {
                lacking.needs(HASH_OPTIONS, "options of schedulers", span);
            }
        }
    }
}

const GUE: (u16, u16) = (5, 2);
const GRE: (u16, u16) = (5, 3);
const MIXED_FAMILIES: (u16, u16) = (3, 18);

pub fn it_has_the_encapsulations(view: &View, report: &mut Report) {
    let Some(mut lacking) = Lacking::new(view, "kernel-tunnel", report) else { return };
    for service in view.services() {
        let listened: BTreeSet<_> = service.listens.iter().flat_map(|listen| families(view, listen)).collect();
        for server in view.servers(service) {
            let method = forward(service, server);
            let Forward::Tun(encapsulation) = method.value else { continue };
            match encapsulation {
                Encapsulation::Ipip | Encapsulation::Other(_) => {}
                Encapsulation::Gue { checksum: Checksum::None, .. } => lacking.needs(GUE, "encapsulation \"gue\"", place(method)),
                Encapsulation::Gue { .. } => lacking.needs(GRE, "checksums of tunnels", place(method)),
                Encapsulation::Gre { .. } => lacking.needs(GRE, "encapsulation \"gre\"", place(method)),
            }
            let own = own_families(view, server);
            if !own.is_empty() && listened.iter().any(|family| !own.contains(family)) {
                lacking.needs(MIXED_FAMILIES, "servers of another family than their service", place(&server.label));
            }
        }
    }
}

pub fn it_has_the_sysctls(view: &View, report: &mut Report) {
    let Some(mut lacking) = Lacking::new(view, "kernel-sysctl", report) else { return };
    for one in sysctl::all(view) {
        if let Some(since) = sysctl::own(one).and_then(sysctl::since) {
            lacking.needs(since, &one.key.value.to_string(), place(&one.key));
        }
    }
}

const SYNC_FIELDS: (u16, u16) = (4, 3);

pub fn it_has_the_fields_of_sync_daemons(view: &View, report: &mut Report) {
    let Some(mut lacking) = Lacking::new(view, "kernel-sync", report) else { return };
    for sync in &view.topology.syncs {
        let length = sync.max_length.as_ref().and_then(|length| length.origin.span());
        let fields = [
            ("group", sync.group.origin.span()),
            ("port", sync.port.origin.span()),
            ("ttl", sync.ttl.origin.span()),
            ("max-length", length),
        ];
        for (word, span) in fields.into_iter().filter_map(|(word, span)| Some((word, span?))) {
            lacking.needs(SYNC_FIELDS, &format!("`{word}` of sync daemons"), span);
        }
    }
}

const ONE_PACKET: Kernel = Kernel { major: 2, minor: 6, patch: 36 };
const SIP: Kernel = Kernel { major: 2, minor: 6, patch: 37 };

pub fn it_has_the_fields_of_services(view: &View, report: &mut Report) {
    let Some(mut lacking) = Lacking::new(view, "kernel-service", report) else { return };
    for (service, listen) in view.listens() {
        if let ListenOn::Vip { one_packet, .. } = &listen.what
            && one_packet.value
            && lacking.kernel < ONE_PACKET
        {
            lacking.say(&ONE_PACKET.to_string(), "`one-packet`", place(one_packet));
        }
        if let Some(sip) = service.persistence.as_ref().and_then(|persistence| persistence.sip.as_ref())
            && lacking.kernel < SIP
        {
            lacking.say(&SIP.to_string(), "engine \"sip\"", place(sip));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kernel;

    #[test]
    fn a_release_is_read_as_uname_says_it() {
        let told = |text| Kernel::parse(text).map(|kernel| kernel.to_string());
        assert_eq!(told("5.10"), Some("5.10".to_owned()));
        assert_eq!(told("6.1.0-27-amd64"), Some("6.1".to_owned()));
        assert_eq!(told("2.6.32"), Some("2.6.32".to_owned()));
        for bad in ["", "5", "five.ten", "5.", "-5.10", "70000.1"] {
            assert_eq!(Kernel::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn releases_are_compared_as_numbers() {
        let lacks = |text, since| Kernel::parse(text).is_some_and(|kernel| kernel.lacks(since));
        assert!(lacks("5.9", (5, 12)) && lacks("4.19", (5, 2)));
        assert!(!lacks("5.12", (5, 12)) && !lacks("6.1", (5, 12)));
    }
}
