//! The shape of the language: what a kind is, what a field takes, and how to find them.
//!
//! The table itself is [`kinds`](super::kinds). From it come the generic pass of decoding, "did you mean", the JSON Schema and
//! the reference tables of the language's page; nothing about a word is said anywhere else. It knows no text and no place.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use super::kinds::ROOT;
use crate::state::{Family, duration};

/// One kind of the language: a node that has fields of its own.
#[derive(Debug)]
pub struct Kind {
    /// Its word: `director`.
    pub word: &'static str,
    /// How often it stands, and what stands behind the word.
    pub form: Form,
    /// One sentence.
    pub doc: &'static str,
    /// A few lines of KDL.
    pub example: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// The kinds that may stand in it.
    pub kinds: &'static [Child],
}

/// A kind in another.
#[derive(Debug)]
pub struct Child {
    /// Which kind.
    pub kind: &'static Kind,
    /// Whether the other is nothing without it.
    pub required: bool,
}

/// How often a kind stands, and what stands behind its word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Nothing, and once: `policy { … }`.
    Once,
    /// Nothing, any number: `listen …`.
    Repeated,
    /// A name, and once for each name: `director "lb1" { … }`. In TOML the name is a key of the kind's table.
    Named {
        /// What the name may be.
        label: Type,
        /// Whether one node may give several names and no fields: `server "web2" "web3"`.
        several: bool,
    },
    /// A main value and options, once: `scheduler "mh" port=#true`.
    Main {
        /// The key of the main value where it is written as a TOML table.
        key: &'static str,
        /// What the main value may be.
        value: Type,
    },
    /// A key and a value: `sysctl "net.core.somaxconn" 65535`.
    Keyed,
}

/// One field of a kind.
#[derive(Debug)]
pub struct Field {
    /// Its word: `weight`.
    pub word: &'static str,
    /// What it takes.
    pub value: Type,
    /// Whether it takes several.
    pub list: bool,
    /// What holds where it is not given.
    pub need: Need,
    /// What may stand behind its word, in KDL.
    pub example: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

/// What holds where a field is not given.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The kind is nothing without it.
    Required,
    /// Nothing, or what the field's sentence says.
    Optional,
    /// This.
    Default(Constant),
}

/// A default.
#[derive(Clone, Copy, Debug)]
pub enum Constant {
    /// an integer
    Integer(i64),
    /// seconds
    Seconds(u32),
    /// a boolean
    Boolean(bool),
    /// one of the words
    Word(&'static str),
    /// an address
    Address(IpAddr),
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// an integer
    Integer {
        /// smallest
        min: i64,
        /// largest
        max: i64,
    },
    /// a text like `1h30m`; the limits are seconds
    Duration {
        /// shortest
        min: u32,
        /// longest
        max: u32,
    },
    /// a number or a percentage
    Amount,
    /// true or false
    Boolean,
    /// one of these words
    Word(&'static [&'static str]),
    /// a new name of the language's alphabet
    Name {
        /// whether `web[2-40]` is 39 names
        ranges: bool,
    },
    /// a host's name as `hostname` prints it, ranges too
    Hostname,
    /// the kernel's name of a device
    Interface,
    /// an address
    Address {
        /// whose: `a VIP`
        whose: Whose,
        /// whether `10.0.0.[11-40]` is 30 addresses
        ranges: bool,
    },
    /// a multicast address
    Multicast,
    /// an address with the length of its subnet's prefix, ranges too
    Network,
    /// a subnet: no bits beyond the prefix
    Subnet,
    /// the name of something else in the file
    Reference(Target),
    /// the name of a VIP, or an address
    Via,
    /// a host, an address, a range of either, or a label
    Server,
    /// `KIND.NAME`
    Object,
    /// an integer or a text
    SysctlValue,
    /// a code of the catalogue, or its name
    Code,
    /// a sentence of the writer's own
    Sentence,
    /// a text, an integer or a boolean
    Plain,
    /// a percentage
    Share,
}

/// Whose an address is, for what to say of a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// `vip`
    Vip,
    /// `server`
    Server,
    /// `gateway`
    Gateway,
    /// `tunnel`
    Tunnel,
}

/// What a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// a director
    Director,
    /// a director or a real server
    Host,
    /// a real server; only `protect` tells them apart from hosts
    RealServer,
    /// a VIP
    Vip,
    /// a pool
    Pool,
    /// a service
    Service,
    /// a tunnel of the same host; resolved with the host
    Tunnel,
}

/// The words that nobody may use yet, so that they can mean something one day.
pub const KEPT_FOR_LATER: &[&str] = &["check", "quorum", "fallback", "notify", "vrrp", "state"];

impl Kind {
    /// A whole file.
    pub fn root() -> &'static Kind {
        &ROOT
    }

    /// The field of a word.
    pub fn field(&self, word: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.word == word)
    }

    /// The kind of a word in this one.
    pub fn child(&self, word: &str) -> Option<&'static Child> {
        self.kinds.iter().find(|child| child.kind.word == word)
    }

    /// Every word that may stand in this kind.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.word).chain(self.kinds.iter().map(|child| child.kind.word))
    }

    /// Every kind of the language once, each before those that stand in it.
    pub fn all() -> Vec<&'static Kind> {
        let mut found: Vec<&'static Kind> = Vec::new();
        let mut open: Vec<&'static Kind> = ROOT.kinds.iter().rev().map(|child| child.kind).collect();
        while let Some(kind) = open.pop() {
            if found.iter().all(|known| !std::ptr::eq(*known, kind)) {
                found.push(kind);
                open.extend(kind.kinds.iter().rev().map(|child| child.kind));
            }
        }
        found
    }

    /// The kinds in which a word may stand.
    pub fn homes(word: &str) -> Vec<&'static str> {
        // Everything stands in `set` and `add` too; that helps nobody.
        let is_overlay = |kind: &&Kind| matches!(kind.word, "set" | "add");
        let mut seen = BTreeSet::new();
        Kind::all()
            .into_iter()
            .filter(|kind| !is_overlay(kind) && kind.words().any(|known| known == word) && seen.insert(kind.word))
            .map(|kind| kind.word)
            .collect()
    }
}

impl Target {
    /// The kind's word, as a person says it.
    pub fn word(self) -> &'static str {
        match self {
            Target::Director => "director",
            Target::Host => "host",
            Target::RealServer => "real-server",
            Target::Vip => "vip",
            Target::Pool => "pool",
            Target::Service => "service",
            Target::Tunnel => "tunnel",
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Whose::Vip => "a VIP",
            Whose::Server => "a server's address",
            Whose::Gateway => "a gateway",
            Whose::Tunnel => "a tunnel's end",
        })
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Constant::Integer(number) => write!(f, "{number}"),
            Constant::Seconds(seconds) => f.write_str(&duration(*seconds)),
            Constant::Boolean(truth) => write!(f, "{truth}"),
            Constant::Word(word) => f.write_str(word),
            Constant::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What was expected, as it stands in a message and in the reference: "an integer from 1 to 65535".
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Integer { min, max } if min == max => write!(f, "the number {min}"),
            Type::Integer { min, max } => write!(f, "an integer from {min} to {max}"),
            Type::Duration { min, max } => write!(f, "a duration from {} to {}", duration(*min), duration(*max)),
            Type::Amount => f.write_str("a number, or a percentage from \"0%\" to \"100%\""),
            Type::Boolean => f.write_str("true or false"),
            Type::Word(words) => f.write_str(&choices(words)),
            Type::Name { ranges: false } => f.write_str("a name"),
            Type::Name { ranges: true } => f.write_str("a name, or names like \"web[2-40]\""),
            Type::Hostname => f.write_str("a host name"),
            Type::Interface => f.write_str("a network device's name"),
            Type::Address { ranges: false, .. } => f.write_str("an IPv4 or IPv6 address"),
            Type::Address { ranges: true, .. } => f.write_str("an IPv4 or IPv6 address, or addresses like \"10.0.0.[11-40]\""),
            Type::Multicast => f.write_str("a multicast address"),
            Type::Network => f.write_str("an address with its prefix length, like \"10.0.0.2/24\""),
            Type::Subnet => f.write_str("a subnet, like \"10.0.0.0/24\""),
            Type::Reference(target) => match target {
                Target::Director
                | Target::Host
                | Target::Vip
                | Target::Pool
                | Target::Service
                | Target::Tunnel
                | Target::RealServer => write!(f, "the name of a {}", target.word()),
            },
            Type::Via => f.write_str("the name of a vip, or an address"),
            Type::Server => f.write_str("a host's name, an address, or a range of either"),
            Type::Object => f.write_str("an object of the file, like \"service.shop\""),
            Type::SysctlValue => f.write_str("an integer or a text"),
            Type::Code => f.write_str("the code or the name of a rule"),
            Type::Sentence => f.write_str("a sentence"),
            Type::Share => f.write_str("a percentage from \"0%\" to \"100%\""),
            Type::Plain => f.write_str("a text, an integer, true or false"),
        }
    }
}

/// `"nat", "dr" or "tun"`
pub fn choices(words: &[&str]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        let before = match at {
            0 => "",
            _ if at + 1 == words.len() => " or ",
            _ => ", ",
        };
        let _ = write!(text, "{before}\"{word}\"");
    }
    text
}

/// `IPv4`, as a sentence spells it.
pub fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_FOR_LATER, Kind};

    #[test]
    fn no_kind_has_a_word_twice() {
        for kind in Kind::all() {
            let mut words: Vec<_> = kind.words().collect();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), kind.words().count(), "{}", kind.word);
        }
    }

    #[test]
    fn no_kind_is_called_by_a_word_that_is_kept_for_later() {
        for kind in Kind::all() {
            assert!(!KEPT_FOR_LATER.contains(&kind.word));
            assert!(kind.doc.ends_with('.') && !kind.example.is_empty(), "{}", kind.word);
        }
    }
}
