//! Every mistake that decoding and the rules find, and what is said of it: code, message, labels, help.
//!
//! The wording of this area lives here and nowhere else. Texts from a file are shown by [`shown`], so that no control
//! character of theirs reaches a terminal by way of a message.

pub mod conflict;
pub mod doubt;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::range::{BadRange, LONGEST};
use super::shape::{Form, Target, Type, Whose, choices};
use crate::source::printable;
use crate::source::{Label, Problem, Scalar, Span};

/// In which spelling help is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// KDL 2
    #[default]
    Kdl,
    /// TOML
    Toml,
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// nothing
    Empty,
    /// more than so many characters
    TooLong(usize),
    /// not of the alphabet
    Character(char),
    /// not in a device's name
    DeviceCharacter(char),
    /// invisible, and refused everywhere
    Control(char),
    /// begins with `.`, `_` or `-`
    Beginning,
    /// a number
    ReadsAsNumber,
    /// an address
    ReadsAsAddress,
    /// `.` or `..`
    Dots,
}

/// What helps with a wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// nothing more than what was expected
    None,
    /// a number in quotes
    WithoutQuotes,
    /// a number where a duration is wanted
    BareDuration(i64),
    /// a text that is no duration
    Units,
    /// a word that means true or false elsewhere
    Truth(bool),
    /// a known word
    Nearest(String),
    /// an address with a prefix length where it has none
    Prefix(Box<str>, Whose),
    /// an address with a port where it has none
    Port(SocketAddr, Whose),
    /// a range where there is none
    NoRange,
    /// an address that nobody can have
    Unusable(&'static str),
    /// not a multicast address
    NotMulticast,
    /// bits beyond the prefix; the subnet
    HostBits(IpNet),
    /// an address without the prefix length that it needs
    PrefixMissing,
    /// a prefix length that is none; the longest
    PrefixLength(u8),
    /// not `KIND.NAME`
    Objects,
}

/// A mistake.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    // One token.
    Value { what: &'static str, wanted: Type, found: Scalar, hint: Hint },
    Name { what: &'static str, text: Box<str>, why: BadName },
    Range { what: &'static str, text: Box<str>, why: BadRange },
    Variable,
    Overlay { word: Box<str> },
    SysctlKey { text: Box<str> },
    SysctlCommand { text: Box<str> },
    // One block.
    Unknown { kind: &'static str, word: Box<str>, nearest: Option<String>, homes: Vec<&'static str>, known: Vec<&'static str> },
    KeptForLater { word: Box<str> },
    AfterHeader { word: Box<str>, kind: &'static str },
    MainValueByKey { kind: &'static str, key: &'static str },
    Missing { kind: &'static str, word: &'static str },
    NoName { word: &'static str },
    NoValue { word: &'static str, wanted: Type },
    NoFields { word: &'static str, found: Box<str> },
    OneValue { word: &'static str, each: Option<&'static str> },
    TooManyValues { word: &'static str, form: Form },
    FieldsOfSeveral { word: &'static str },
    ListedTwice { word: &'static str },
    FieldIsTable { word: &'static str, wanted: Type },
    NotATable { word: &'static str, form: Form },
    NameExpected { word: &'static str, found: Box<str> },
    UnquotedKey { key: String },
    OnlyTun { word: &'static str, method: &'static str },
    EncapPort { encap: &'static str },
    EncapChecksum { encap: &'static str },
    GueWithoutPort,
    ListenWithout { word: &'static str },
    MatchWithoutMark,
    BesideMark { word: &'static str, mark: Span },
    MarkTwice { first: Span },
    MarkOfNobody,
    RangeLengths { names: u32, count: u32, name: Span },
    // The whole file.
    NoTopology,
    TopologyOutsideRoot,
    Twice { what: Box<str>, first: Span },
    HostTwice { name: String, first: Span },
    HostnameTwice { hostname: String, first: Span },
    AddressOfTwoHosts { address: IpAddr, one: String, two: String, first: Span },
    TooMany { most: u64 },
    Unresolved { target: Target, name: Box<str>, nearest: Option<String>, known: Vec<String> },
    NamesAnother { target: Target, is: Target, name: Box<str> },
    UnknownServer { name: String, nearest: Option<String> },
    NotItsAddress { host: String, address: IpAddr },
    LintOfError { name: &'static str, level: &'static str },
    // What expects nothing.
    ExpectsNothing { kind: &'static str },
    ExpectsWithout { word: &'static str, needed: &'static str },
    NoLimit,
}

fn said(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::error(code, message)
}

impl Problem {
    fn maybe(self, help: Option<String>) -> Problem {
        Problem { help, ..self }
    }
}

impl Fault {
    /// The problem that this fault is at `span`.
    pub fn at(&self, span: Span, spelling: Spelling) -> Problem {
        let mut problem = self.say(spelling);
        problem.labels.insert(0, Label { span, text: String::new() });
        match self.edit(spelling) {
            Some((text, certain)) => problem.edit(span, text, certain),
            None => problem,
        }
    }

    /// What stands in place of the token, and whether nothing else can have been meant.
    fn edit(&self, spelling: Spelling) -> Option<(String, bool)> {
        // What came from the table or reads as an address needs no escape.
        let quoted =
            |text: &str| (!text.contains(['"', '\\']) && !text.chars().any(char::is_control)).then(|| format!("\"{text}\""));
        match self {
            Fault::Value { hint, found, wanted, .. } => match (hint, found) {
                (Hint::WithoutQuotes, Scalar::Text(text)) => Some((text.parse::<i64>().ok()?.to_string(), true)),
                (Hint::Truth(truth), _) if spelling == Spelling::Kdl => Some((format!("#{truth}"), true)),
                (Hint::Truth(truth), _) => Some((truth.to_string(), true)),
                (Hint::Prefix(address, _), _) => Some((quoted(address)?, true)),
                (Hint::HostBits(subnet), _) => Some((quoted(&subnet.to_string())?, false)),
                (Hint::Nearest(word), _) => Some((quoted(word)?, false)),
                (Hint::None, Scalar::Integer(number)) if matches!(wanted, Type::Hostname | Type::Sentence) => {
                    Some((quoted(&number.to_string())?, true))
                }
                _ => None,
            },
            Fault::Unknown { nearest: Some(word), homes, .. } if homes.is_empty() => Some((word.clone(), false)),
            Fault::Unresolved { nearest: Some(name), .. } | Fault::UnknownServer { nearest: Some(name), .. } => {
                Some((quoted(name)?, false))
            }
            _ => None,
        }
    }

    #[expect(clippy::too_many_lines, reason = "one table of wording, complete by the compiler")]
    fn say(&self, spelling: Spelling) -> Problem {
        let toml = spelling == Spelling::Toml;
        match self {
            Fault::Value { what, wanted, found, hint } => value(what, *wanted, found, hint, spelling),
            Fault::Name { what, text, why } => name(what, text, *why),
            Fault::Range { what, text, why } => range(what, text, *why),
            Fault::Overlay { word } => said("overlay", format!("`{word}` is a word of overlays, and this is a topology"))
                .help("lay the file over a topology: --overlay FILE"),
            Fault::Variable => said("reserved-text", "`${` begins a variable, and no file declares one")
                .help("declare it: variable \"NAME\" default=\"VALUE\""),
            Fault::SysctlKey { text } => said("bad-sysctl", format!("{} is no key below `net`", shown(text))).help(
                "a key begins with `net` and is dotted (`net.ipv4.ip_forward`), or slashed where a part of it contains dots (`net/ipv4/conf/eth0.100/rp_filter`)",
            ),
            Fault::SysctlCommand { text } => {
                said("sysctl-command", format!("{} is a command to the kernel: it has no value that a host could hold", shown(text)))
                    .help("take it out of the file; whoever needs it writes it by hand, with `sysctl -w`")
            }
            Fault::Unknown { kind, word, nearest, homes, known } => unknown(kind, word, nearest.as_deref(), homes, known),
            Fault::KeptForLater { word } => {
                said("reserved-word", format!("`{word}` is kept for later: it means nothing yet")).help("leave it out")
            }
            Fault::AfterHeader { word, kind } => {
                said("below-header", format!("`{word}` stands in a `{kind}`: in TOML a key belongs to the table header above it"))
                    .help(format!("write `{word} = …` before the first `[header]` of the file"))
            }
            Fault::MainValueByKey { kind, key } => {
                said("main-value", format!("in KDL the {key} of `{kind}` stands behind it, without a key"))
                    .help(format!("write `{kind} \"…\"`"))
            }
            Fault::Missing { kind, word } => said("missing", format!("`{kind}` needs `{word}`")).maybe(missing(kind, word, toml)),
            Fault::NoName { word } => {
                said("missing-name", format!("`{word}` needs a name")).help(format!("write `{word} \"NAME\"`"))
            }
            Fault::NoValue { word, wanted } => {
                let help = match wanted {
                    Type::Boolean if !toml => Some(format!("write `{word} #true` or `{word} #false`")),
                    _ => None,
                };
                said("missing-value", format!("`{word}` expects {wanted}, found nothing")).maybe(help)
            }
            Fault::NoFields { word, found } => {
                said("unknown-field", format!("`{word}` is a value and has no fields, found {}", shown(found)))
            }
            Fault::OneValue { word, each } => said("one-value", format!("`{word}` takes one value, found more")).maybe(match each {
                Some(kind) => Some(format!("write one `{kind}` for each")),
                None => toml.then(|| "write it without brackets".to_owned()),
            }),
            Fault::TooManyValues { word, form } => match form {
                Form::Once | Form::Repeated => said("one-value", format!("nothing stands behind `{word}` but its fields"))
                    .help("write each value as a field: `FIELD=VALUE`"),
                Form::Named { .. } => {
                    said("one-value", format!("`{word}` takes one name, found more")).help("write one block for each")
                }
                Form::Main { .. } => said("one-value", format!("`{word}` takes one value, found more"))
                    .help("options stand behind it as `OPTION=VALUE`"),
                Form::Keyed => said("one-value", format!("`{word}` takes one key and one value, found more"))
                    .help("a value of several words is one text in quotes"),
            },
            Fault::FieldsOfSeveral { word } => {
                said("fields-of-several", format!("fields stand beside one `{word}`, not beside several"))
                    .help("write the ones with fields each on its own")
            }
            Fault::ListedTwice { word } => said("twice", format!("this is in the list of `{word}` already")).help("remove it"),
            Fault::FieldIsTable { word, wanted } => said("wrong-type", format!("`{word}` expects {wanted}, found a table")),
            Fault::NotATable { word, form } => not_a_table(word, *form),
            Fault::NameExpected { word, found } => {
                let dots = if super::kinds::ROOT.child(word).is_some() { "" } else { "…." };
                said("missing-name", format!("{} stands where the name of a `{word}` is expected", shown(found)))
                    .help(format!("write `[{dots}{word}.NAME]`, with {} below it", shown(found)))
            }
            Fault::UnquotedKey { key } => said("unquoted-dotted-key", "the dots of an unquoted TOML key make a table of each part")
                .help(format!("quote it: `\"{}\"`", plain(key))),
            Fault::OnlyTun { word, method } => {
                said("tun-only", format!("`{word}` belongs to the method \"tun\", found \"{method}\""))
                    .help(format!("leave `{word}` out, or say \"tun\""))
            }
            Fault::EncapPort { encap } => said("encap-port", format!("only encap \"gue\" has a port, found \"{encap}\""))
                .help("leave `port` out, or say encap \"gue\""),
            Fault::EncapChecksum { encap: "ipip" } => said("encap-checksum", "encap \"ipip\" has no checksum")
                .help("leave `checksum` out, or say encap \"gre\" or \"gue\""),
            Fault::EncapChecksum { .. } => {
                said("encap-checksum", "checksum \"remcsum\" is gue's alone").help("say \"none\" or \"csum\"")
            }
            Fault::GueWithoutPort => {
                said("encap-port", "encap \"gue\" needs the UDP port of the real servers").help("write for example `port=6080`")
            }
            Fault::ListenWithout { word } => {
                said("missing", format!("`listen` needs `{word}`")).help("a listen has `vip` and `port`, or `fwmark`")
            }
            Fault::MatchWithoutMark => {
                said("match-without-mark", "`match` says which packets get a mark, and this listen has no `fwmark`")
                    .help("give the listen a `fwmark`, or `vip` and `port` in place of `match`")
            }
            Fault::BesideMark { word, mark } => said("beside-mark", format!("`{word}` does not stand beside `fwmark`"))
                .at(*mark, "the mark alone says whose packets these are")
                .help(if *word == "one-packet" { "leave it out" } else { "leave it out, or put it into a `match`" }),
            Fault::MarkTwice { first } => said("mark-or-match", "`vip` and `match` do not stand in one listen")
                .at(*first, "lvsform marks these packets itself")
                .help("`match` where lvsform marks, `vip` where something else does"),
            Fault::MarkOfNobody => said("mark-or-match", "`fwmark` does not say whose packets carry the mark")
                .help("add `match` where lvsform is to mark them, or `vip` where something else does"),
            Fault::RangeLengths { names: 1, count, name } => {
                said("range-lengths", format!("a range of {count} stands beside one name"))
                    .at(*name, "one name")
                    .help("a range here needs a range of the same length in the name: `web[1-3]`")
            }
            Fault::RangeLengths { names, count: 1, name } => {
                said("range-lengths", format!("one value stands beside {names} names"))
                    .at(*name, format!("{names} names"))
                    .help("give it a range of the same length")
            }
            Fault::RangeLengths { names, count, name } => {
                said("range-lengths", format!("a range of {count} stands beside one of {names}"))
                    .at(*name, format!("{names} names"))
                    .help("ranges of one block go together: all have the same length")
            }
            Fault::NoTopology => said("no-topology", "the root file does not say `topology`")
                .help("begin it with `topology \"NAME\"`; in TOML `topology = \"NAME\"` before the first header"),
            Fault::TopologyOutsideRoot => {
                said("topology-outside-root", "only the root file says `topology`, and this is an included one")
                    .help("remove it here")
            }
            Fault::Twice { what, first } => {
                said("twice", format!("`{}` is there already", plain(what))).at(*first, "first here").help("keep one of the two")
            }
            Fault::HostTwice { name, first } => said("twice", format!("a host named {} is there already", shown(name)))
                .at(*first, "first here")
                .help("names are unique over directors and real servers together"),
            Fault::HostnameTwice { hostname, first } => {
                said("twice", format!("another host has the hostname {}", shown(hostname)))
                    .at(*first, "first here")
                    .help("a hostname picks one host; a host without `hostname` has its name as hostname")
            }
            Fault::AddressOfTwoHosts { address, one, two, first } => {
                said("address-twice", format!("{} and {} both have the address {address}", shown(one), shown(two)))
                    .at(*first, "first here")
                    .help("give each host addresses of its own; an address that moves between hosts is a `vip`")
            }
            Fault::TooMany { most } => {
                said("too-many", format!("up to the end of this there are more than {most} hosts, addresses and servers"))
                    .help("use shorter ranges, or several topologies")
            }
            Fault::Unresolved { target, name, nearest, known } => {
                let known: Vec<String> = known.iter().map(|name| shown(name)).collect();
                let only = (!known.is_empty()).then(|| format!("known here: {}", list(&known, "and")));
                said("unknown-name", format!("there is no {} named {}", target.word(), shown(name)))
                    .maybe(did_you_mean(nearest.as_deref()).or(only))
            }
            Fault::NamesAnother { target, is, name } => {
                said("unknown-name", format!("{} is a {}, and a {} is expected here", shown(name), is.word(), target.word()))
            }
            Fault::UnknownServer { name, nearest } => {
                let help = did_you_mean(nearest.as_deref()).unwrap_or_else(|| {
                    "name a `director` or `real-server` of the file, or say its address: `address=\"…\"`".to_owned()
                });
                said("unknown-name", format!("no host is named {}, and it is no address", shown(name))).help(help)
            }
            Fault::ExpectsNothing { kind: "service" } => said("missing", "nothing is expected of these services").help(
                "say what: `servers-min`, `servers-max`, `weight-min`, `share-max`, `method`, `scheduler` or `drain-min`",
            ),
            Fault::ExpectsNothing { .. } => said("missing", "nothing is expected here, so it always holds")
                .help("say what: `service`, `names`, `reach`, `moved-max`, or `live` with a limit of the plan from there"),
            Fault::ExpectsWithout { word, needed: "without" } => {
                said("missing", format!("`{word}` is about the loss of hosts, and none is lost")).help(if toml { "say which: `without = [\"web1\"]`" } else { "say which: `without \"web1\"`" })
            }
            Fault::ExpectsWithout { word: word @ "live", .. } => {
                said("missing", format!("`{word}` is the captured state of a host, and none is named")).help(if toml { "say whose: `host = \"lb1\"`" } else { "say whose: `host=\"lb1\"`" })
            }
            Fault::ExpectsWithout { word, .. } => {
                said("missing", format!("`{word}` is about the plan from a captured state, and none is named"))
                    .help(if toml { "say which: `live = \"monday.json\"` and `host = \"lb1\"`" } else { "say which: `live=\"monday.json\" host=\"lb1\"`" })
            }
            Fault::NoLimit => said("missing", "nothing is expected of the plan from this state")
                .help("say what it does at most: `changes`, `deletes` or `connections-cut`"),
            Fault::LintOfError { name, level } => {
                said("lint-of-error", format!("`{name}` is an error, and cannot be lowered to \"{level}\""))
                    .help("remove this `lint`; levels are for warnings")
            }
            Fault::NotItsAddress { host, address } => {
                said("not-its-address", format!("{} does not have the address {address}", shown(host)))
                    .help("add it to an `interface` of that host, or leave `host` or `address` out")
            }
        }
    }
}

fn value(what: &str, wanted: Type, found: &Scalar, hint: &Hint, spelling: Spelling) -> Problem {
    let message = match wanted {
        Type::Word(words) if words.len() > FEW_WORDS => {
            format!("`{what}` expects one of {} words, found {}", words.len(), scalar(found, wanted))
        }
        _ => format!("`{what}` expects {wanted}, found {}", scalar(found, wanted)),
    };
    let same_type = matches!(
        (wanted, found),
        (Type::Integer { .. }, Scalar::Integer(_)) | (Type::Boolean, Scalar::Boolean(_)) | (_, Scalar::Text(_))
    ) && !matches!((wanted, found), (Type::Integer { .. } | Type::Boolean, Scalar::Text(_)));
    let code = match (hint, wanted) {
        (Hint::Prefix(..), _) => "prefix-length",
        (Hint::Port(..), _) => "address-with-port",
        _ if !same_type => "wrong-type",
        (Hint::Units, _) | (Hint::None, Type::Amount) => "bad-value",
        (_, Type::Integer { .. } | Type::Duration { .. } | Type::Amount) => "out-of-range",
        (_, Type::Word(_) | Type::Code) => "unknown-value",
        _ => "bad-value",
    };
    let truth = |truth: bool| if spelling == Spelling::Kdl { format!("#{truth}") } else { truth.to_string() };
    let help = match hint {
        Hint::None => match (wanted, found) {
            (Type::Code, _) => Some("`lvsform explain --list` shows them all".to_owned()),
            (Type::Sentence, _) => Some("say why, for whoever reads the file next".to_owned()),
            (Type::Word(words), _) if words.len() > FEW_WORDS => Some(format!("these are {}", choices(words))),
            (Type::Boolean, _) => Some(format!("write `{}` or `{}`", truth(true), truth(false))),
            (
                Type::Duration { .. }
                | Type::Integer { .. }
                | Type::Amount
                | Type::Word(_)
                | Type::Address { .. }
                | Type::Network
                | Type::Subnet
                | Type::Multicast,
                _,
            ) => None,
            (_, Scalar::Integer(_) | Scalar::Boolean(_)) => Some("put it in quotes".to_owned()),
            _ => None,
        },
        Hint::WithoutQuotes => Some("write the number without quotes".to_owned()),
        Hint::BareDuration(number) => Some(format!("a duration has a unit: \"{number}s\", \"{number}m\", \"{number}h\"")),
        Hint::Units => Some("write for example \"90s\", \"5m\", \"1h30m\"".to_owned()),
        Hint::Truth(meant) => Some(format!("write `{}`", truth(*meant))),
        Hint::Nearest(word) => Some(format!("did you mean \"{word}\"?")),
        Hint::Prefix(address, Whose::Vip) => {
            Some(format!("a VIP has no prefix length, it is placed as a single address: write \"{}\"", plain(address)))
        }
        Hint::Prefix(address, whose) => Some(format!("{whose} has no prefix length: write \"{}\"", plain(address))),
        Hint::Port(address, Whose::Vip) => Some(format!(
            "a VIP has no port: write \"{}\" here, and `port={}` in the `listen` of a service",
            address.ip(),
            address.port()
        )),
        Hint::Port(address, Whose::Server) => {
            Some(format!("write the port as a field of its own: \"{}\" port={}", address.ip(), address.port()))
        }
        Hint::Port(address, whose) => Some(format!("{whose} has no port: write \"{}\"", address.ip())),
        Hint::NoRange => Some("a range stands for several addresses, and here is place for one".to_owned()),
        Hint::Unusable(why) => Some(format!("this is {why}, which no host can answer for")),
        Hint::NotMulticast => Some("multicast addresses are 224.0.0.0 to 239.255.255.255, and ff00::/8".to_owned()),
        Hint::HostBits(subnet) => Some(format!("it has bits beyond its prefix; did you mean \"{subnet}\"?")),
        Hint::PrefixMissing => Some("add the prefix length of its subnet, for example `/24`".to_owned()),
        Hint::PrefixLength(longest) => Some(format!("a prefix length here is 0 to {longest}")),
        Hint::Objects => Some(
            "an object is KIND.NAME with the kind \"service\", \"vip\", \"pool\", \"director\" or \"real-server\"".to_owned(),
        ),
    };
    said(code, message).maybe(help)
}

/// Longer lists of words stand in the help, and only where no word is near.
const FEW_WORDS: usize = 6;

/// What was found, with its type where that is what is wrong.
fn scalar(found: &Scalar, wanted: Type) -> String {
    match found {
        Scalar::Text(text) => match wanted {
            Type::Integer { .. } | Type::Boolean => format!("the text {}", shown(text)),
            _ => shown(text),
        },
        Scalar::Integer(number) => match wanted {
            Type::Integer { .. } | Type::Amount => format!("{number}"),
            _ => format!("the number {number}"),
        },
        Scalar::Boolean(truth) => format!("the boolean {truth}"),
    }
}

fn name(what: &str, text: &str, why: BadName) -> Problem {
    let text = shown(text);
    let names = "a name is 1 to 63 letters, digits, `.`, `_` and `-`, and begins with a letter or digit";
    let (message, help) = match why {
        BadName::Empty => (format!("`{what}` expects a name, found an empty text"), names.to_owned()),
        BadName::TooLong(63) => (format!("the name {text} is longer than 63 characters"), names.to_owned()),
        BadName::TooLong(15) => {
            (format!("the device name {text} is longer than 15 bytes"), "the kernel takes names of 1 to 15 bytes".to_owned())
        }
        BadName::TooLong(most) => (format!("{text} is longer than {most} characters"), "use a shorter one".to_owned()),
        BadName::Character(character) => (format!("the name {text} contains {}", named_character(character)), names.to_owned()),
        BadName::DeviceCharacter(character) => (
            format!("the device name {text} contains {}", named_character(character)),
            "the kernel takes no `/`, `:` and white space in it".to_owned(),
        ),
        BadName::Control(character) => (
            format!("the text {text} contains the control character {}", named_character(character)),
            "write it without control characters".to_owned(),
        ),
        BadName::Beginning => (format!("the name {text} does not begin with a letter or digit"), names.to_owned()),
        BadName::ReadsAsNumber => (format!("the name {text} reads as a number"), "give it a letter".to_owned()),
        BadName::ReadsAsAddress => (
            format!("the name {text} reads as an address"),
            "names and addresses are never mixed up: choose a name with a letter".to_owned(),
        ),
        BadName::Dots => (format!("{text} is no device name"), "the kernel takes neither `.` nor `..`".to_owned()),
    };
    said("bad-name", message).help(help)
}

fn named_character(character: char) -> String {
    match character {
        ' ' => "a blank".to_owned(),
        c if c.is_control() || c.is_whitespace() || !c.is_ascii() && !c.is_alphanumeric() => format!("U+{:04X}", u32::from(c)),
        c => format!("`{c}`"),
    }
}

fn range(what: &str, text: &str, why: BadRange) -> Problem {
    let text = shown(text);
    let message = match why {
        BadRange::Form => format!("{text} is no range: expected one `[FIRST-LAST]` of numbers"),
        BadRange::LeadingZero => format!("the numbers of the range {text} begin with 0"),
        BadRange::NotAscending => format!("the range {text} does not ascend"),
        BadRange::TooLong(count) => format!("the range {text} has {count} values, more than {LONGEST}"),
        BadRange::Place => format!("the range {text} is not in place of a whole octet or group"),
        BadRange::Address => format!("`{what}` expects an address or a range of addresses, found {text}"),
    };
    said("bad-range", message).help(match why {
        BadRange::Place | BadRange::Address => {
            "a range stands in place of one IPv4 octet, 0 to 255 (`10.0.0.[11-40]`), or of one IPv6 group in hexadecimal (`2001:db8::[a-1f]`)"
        }
        _ => "write for example `10.0.0.[11-40]` or `web[2-40]`: ascending, no leading zeros, at most 65536 values",
    })
}

fn unknown(kind: &str, word: &str, nearest: Option<&str>, homes: &[&str], known: &[&str]) -> Problem {
    let message = if kind.is_empty() {
        format!("{} is no word of the language", shown(word))
    } else {
        format!("`{kind}` has no field {}", shown(word))
    };
    let code = if kind.is_empty() { "unknown-kind" } else { "unknown-field" };
    let home = (!homes.is_empty()).then(|| {
        let homes: Vec<String> = homes.iter().map(|home| format!("`{home}`")).collect();
        format!("`{word}` belongs in {}", list(&homes, "or"))
    });
    let help = home.or_else(|| did_you_mean(nearest)).unwrap_or_else(|| {
        let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        if known.is_empty() { format!("`{kind}` has no fields") } else { format!("expected {}", list(&known, "or")) }
    });
    said(code, message).help(help)
}

fn missing(kind: &str, word: &str, toml: bool) -> Option<String> {
    let text = match (kind, word) {
        ("service", "forward") => format!("say how packets reach the servers: {}", choices(super::kinds::METHODS)),
        ("service", "listen") => {
            (if toml { "add `[[service.NAME.listen]]` with `vip` and `port`" } else { "add `listen vip=\"…\" port=…`" })
                .to_owned()
        }
        ("vip", "address") => "add `address`, one or more, of one family or both".to_owned(),
        _ => return None,
    };
    Some(text)
}

fn not_a_table(word: &str, form: Form) -> Problem {
    match form {
        Form::Once => {
            said("wrong-type", format!("`{word}` is a table of its fields and is there once")).help(format!("write `[{word}]`"))
        }
        Form::Repeated => {
            said("wrong-type", format!("`{word}` is a table of its fields")).help(format!("write `[[….{word}]]`, one for each"))
        }
        Form::Named { .. } => said("wrong-type", format!("each `{word}` is a table with a name"))
            .help(format!("write `[{word}.NAME]`; inside another table `[….{word}.NAME]`")),
        Form::Main { key, .. } => said("wrong-type", format!("`{word}` is one value, or a table with the key `{key}`"))
            .help(format!("write `{word} = …` or `{word} = {{ {key} = …, OPTION = … }}`")),
        Form::Keyed => said("wrong-type", format!("`{word}` is a table of keys and values"))
            .help(format!("write `[….{word}]`, and below it `\"KEY\" = VALUE`")),
    }
}

fn did_you_mean(nearest: Option<&str>) -> Option<String> {
    nearest.map(|word| format!("did you mean `{}`?", plain(word)))
}

/// What to do about a value of another type that is a variable's; `is_whole` where the text is that variable and nothing else.
pub fn type_of_variable(is_integer: bool, is_whole: bool) -> String {
    match (is_integer, is_whole) {
        (true, true) => "say `type=\"integer\"` where the variable is declared".to_owned(),
        (false, true) => "say `type=\"boolean\"` where the variable is declared; its value is `true` or `false`".to_owned(),
        (true, false) => "a text with more in it than one variable is no number: let one variable be the whole value, and say `type=\"integer\"` where it is declared".to_owned(),
        (false, false) => "a text with more in it than one variable is neither true nor false: let one variable be the whole value, and say `type=\"boolean\"` where it is declared".to_owned(),
    }
}

/// `a, b or c`
pub fn list(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}

/// A text of a file between back quotes, short and without anything that moves a cursor.
pub fn shown(text: &str) -> String {
    format!("`{}`", plain(text))
}

/// The longest text that a message repeats.
const SHOWN: usize = 80;

fn plain(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", printable(text.get(..end).unwrap_or_default())),
        None => printable(text).into_owned(),
    }
}
