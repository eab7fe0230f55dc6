//! From one token to one value: what a [`Type`] of the table takes, and why a token is not that.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Amount;
use super::fault::{BadName, Fault, Hint};
use super::range::{AddressRange, NameRange, NetworkRange};
use super::shape::{Constant, Target, Type, Whose};
use crate::catalogue;
use crate::source::problem::nearest;
use crate::source::{Arg, Scalar};
use crate::state::UNITS;

/// A value of the type that the table asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// integers, and durations in seconds
    Integer(i64),
    /// a boolean
    Boolean(bool),
    /// one of the table's words
    Word(&'static str),
    /// interfaces, references, values of sysctls
    Text(Box<str>),
    /// names, host names
    Names(NameRange),
    /// addresses
    Addresses(AddressRange),
    /// addresses with prefix lengths
    Networks(NetworkRange),
    /// a number or a share
    Amount(Amount),
    /// `KIND.NAME`
    Object(Target, Box<str>),
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Value {
        match constant {
            Constant::Integer(number) => Value::Integer(number),
            Constant::Seconds(seconds) => Value::Integer(seconds.into()),
            Constant::Boolean(truth) => Value::Boolean(truth),
            Constant::Word(word) => Value::Word(word),
            Constant::Address(address) => Value::Addresses(AddressRange::one(address)),
        }
    }
}

/// Reads the token `arg`, which stands for `what`, as a `wanted`.
pub fn read(wanted: Type, what: &'static str, arg: &Arg) -> Result<Value, Box<Fault>> {
    let wrong = |hint| Box::new(Fault::Value { what, wanted, found: arg.value.clone(), hint });
    if let Scalar::Text(text) = &arg.value {
        if text.contains("${") {
            return Err(Box::new(Fault::Variable));
        }
        if let Some(character) = text.chars().find(|c| c.is_control() && !(*c == '\t' && matches!(wanted, Type::SysctlValue))) {
            return Err(Box::new(Fault::Name { what, text: text.clone(), why: BadName::Control(character) }));
        }
    }
    match (wanted, &arg.value) {
        (Type::Integer { min, max }, Scalar::Integer(number)) if (min..=max).contains(number) => Ok(Value::Integer(*number)),
        (Type::Integer { .. }, Scalar::Text(text)) if text.parse::<i64>().is_ok() => Err(wrong(Hint::WithoutQuotes)),
        (Type::Duration { min, max }, Scalar::Text(text)) => match duration(text) {
            Some(seconds) if (u64::from(min)..=u64::from(max)).contains(&seconds) => {
                Ok(Value::Integer(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }
            Some(_) => Err(wrong(Hint::None)),
            None => Err(wrong(Hint::Units)),
        },
        (Type::Duration { .. }, Scalar::Integer(number)) => Err(wrong(Hint::BareDuration(*number))),
        (Type::Amount, Scalar::Integer(number)) => match u32::try_from(*number) {
            Ok(number) => Ok(Value::Amount(Amount::Count(number))),
            Err(_) => Err(wrong(Hint::None)),
        },
        (Type::Amount | Type::Share, Scalar::Text(text)) => {
            let percent = text.strip_suffix('%').filter(|digits| digits.chars().all(|c| c.is_ascii_digit()));
            match percent.and_then(|digits| digits.parse().ok()) {
                Some(percent) if percent <= 100 => Ok(Value::Amount(Amount::Percent(percent))),
                _ => Err(wrong(if text.parse::<u32>().is_ok() { Hint::WithoutQuotes } else { Hint::None })),
            }
        }
        (Type::Boolean | Type::Plain, Scalar::Boolean(truth)) => Ok(Value::Boolean(*truth)),
        (Type::Boolean, Scalar::Text(text)) if matches!(&**text, "true" | "yes" | "on") => Err(wrong(Hint::Truth(true))),
        (Type::Boolean, Scalar::Text(text)) if matches!(&**text, "false" | "no" | "off") => Err(wrong(Hint::Truth(false))),
        (Type::Boolean, Scalar::Integer(number @ 0..=1)) => Err(wrong(Hint::Truth(*number == 1))),
        (Type::Word(words), Scalar::Text(text)) => match words.iter().find(|word| **word == &**text) {
            Some(word) => Ok(Value::Word(word)),
            None => Err(wrong(nearest(text, words.iter().copied()).map_or(Hint::None, |word| Hint::Nearest(word.to_owned())))),
        },
        (Type::Code, Scalar::Text(text)) => {
            let known = || catalogue::pages().flat_map(|page| [page.name, page.code]);
            let near = || nearest(text, known()).map_or(Hint::None, |word| Hint::Nearest(word.to_owned()));
            catalogue::find(text).map(|page| Value::Word(page.name)).ok_or_else(|| wrong(near()))
        }
        (Type::Plain, Scalar::Text(text)) => Ok(Value::Text(text.clone())),
        (Type::Plain, Scalar::Integer(number)) => Ok(Value::Integer(*number)),
        (Type::Sentence, Scalar::Text(text)) if !text.trim().is_empty() => Ok(Value::Text(text.clone())),
        (Type::SysctlValue, Scalar::Integer(number)) => Ok(Value::Text(number.to_string().into())),
        (Type::SysctlValue, Scalar::Text(text)) => {
            let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if folded.is_empty() { Err(wrong(Hint::None)) } else { Ok(Value::Text(folded.into())) }
        }
        (_, Scalar::Text(text)) => self::text(wanted, what, text).map_err(|fault| match fault {
            Mistake::Fault(fault) => fault,
            Mistake::Hint(hint) => wrong(hint),
        }),
        _ => Err(wrong(Hint::None)),
    }
}

/// A fault of its own, or a token of another type with a hint.
enum Mistake {
    Fault(Box<Fault>),
    Hint(Hint),
}

/// The types that are always texts.
fn text(wanted: Type, what: &'static str, text: &str) -> Result<Value, Mistake> {
    let bad_name = |why| Mistake::Fault(Box::new(Fault::Name { what, text: text.into(), why }));
    let bad_range = |why| Mistake::Fault(Box::new(Fault::Range { what, text: text.into(), why }));
    match wanted {
        Type::Name { ranges } => {
            let names = if ranges { NameRange::parse(text).map_err(bad_range)? } else { NameRange::one(text) };
            name(&names.longest()).map_err(bad_name)?;
            Ok(Value::Names(names))
        }
        Type::Hostname => {
            let names = NameRange::parse(text).map_err(bad_range)?;
            hostname(&names.longest()).map_err(bad_name)?;
            Ok(Value::Names(names))
        }
        Type::Interface => {
            device(text).map_err(bad_name)?;
            Ok(Value::Text(text.into()))
        }
        Type::Address { whose, ranges } => address(whose, ranges, what, text).map(Value::Addresses),
        Type::Multicast => match text.parse::<IpAddr>() {
            Ok(address) if address.is_multicast() => Ok(Value::Addresses(AddressRange::one(address))),
            Ok(_) => Err(Mistake::Hint(Hint::NotMulticast)),
            Err(_) => Err(Mistake::Hint(Hint::None)),
        },
        Type::Network => network(what, text).map(Value::Networks),
        Type::Subnet => match text.parse::<IpNet>() {
            Ok(network) if network.trunc() == network => {
                let addresses = AddressRange::one(network.addr());
                NetworkRange::new(addresses, network.prefix_len()).map(Value::Networks).ok_or(Mistake::Hint(Hint::None))
            }
            Ok(network) => Err(Mistake::Hint(Hint::HostBits(network.trunc()))),
            Err(_) => Err(Mistake::Hint(prefix_missing(text))),
        },
        Type::Via => match text.parse::<IpAddr>() {
            Ok(address) => Ok(Value::Addresses(AddressRange::one(address))),
            Err(_) => Ok(Value::Text(text.into())),
        },
        Type::Server if reads_as_address(text) || text.contains(':') => {
            address(Whose::Server, true, what, text).map(Value::Addresses)
        }
        Type::Server => self::text(Type::Name { ranges: true }, what, text),
        Type::Object => {
            let object = text.split_once('.').and_then(|(kind, name)| {
                let target = [Target::Service, Target::Vip, Target::Pool, Target::Director, Target::RealServer];
                target.into_iter().find(|target| target.word() == kind).map(|target| Value::Object(target, name.into()))
            });
            object.ok_or(Mistake::Hint(Hint::Objects))
        }
        Type::Reference(_) => Ok(Value::Text(text.into())),
        Type::Integer { .. }
        | Type::Duration { .. }
        | Type::Amount
        | Type::Boolean
        | Type::Word(_)
        | Type::SysctlValue
        | Type::Code
        | Type::Plain
        | Type::Share
        | Type::Sentence => Err(Mistake::Hint(Hint::None)),
    }
}

/// `90s`, `1h30m`: each unit at most once, the longer first; seconds.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut seconds = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let unit = rest.get(digits..)?.chars().next()?;
        let (_, length) = units.find(|(known, _)| *known == unit)?;
        seconds = seconds.checked_add(number.checked_mul(u64::from(*length))?)?;
        rest = rest.get(digits + 1..)?;
    }
    (!text.is_empty()).then_some(seconds)
}

/// Whether a text may be the name of something.
pub fn is_name(text: &str) -> bool {
    name(text).is_ok()
}

/// The language's alphabet of names.
fn name(text: &str) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if let Some(character) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        return Err(if text.parse::<IpAddr>().is_ok() { BadName::ReadsAsAddress } else { BadName::Character(character) });
    }
    if text.len() > 63 {
        return Err(BadName::TooLong(63));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(BadName::Beginning);
    }
    if text.chars().all(|c| c.is_ascii_digit()) {
        return Err(BadName::ReadsAsNumber);
    }
    if reads_as_address(text) { Err(BadName::ReadsAsAddress) } else { Ok(()) }
}

/// Digits, dots, brackets and what else addresses, ranges and prefixes of IPv4 are written with, and at least one dot.
fn reads_as_address(text: &str) -> bool {
    text.contains('.') && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '[' | ']' | '-' | '/' | ':'))
}

/// RFC 1123, and `_`, which real hosts have.
fn hostname(text: &str) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if let Some(character) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        return Err(BadName::Character(character));
    }
    if text.len() > 253 {
        return Err(BadName::TooLong(253));
    }
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) { Ok(()) } else { Err(BadName::Beginning) }
}

/// The kernel's rule (`dev_valid_name`): 1 to 15 bytes, neither `.` nor `..`, without `/`, `:` and white space.
fn device(text: &str) -> Result<(), BadName> {
    match text {
        "" => Err(BadName::Empty),
        "." | ".." => Err(BadName::Dots),
        _ if text.len() > 15 => Err(BadName::TooLong(15)),
        _ => match text.chars().find(|c| c.is_whitespace() || matches!(c, '/' | ':')) {
            Some(character) => Err(BadName::DeviceCharacter(character)),
            None => Ok(()),
        },
    }
}

fn address(whose: Whose, ranges: bool, what: &'static str, text: &str) -> Result<AddressRange, Mistake> {
    if text.contains(['[', ']']) {
        if let Ok(with_port) = text.parse::<SocketAddr>() {
            return Err(Mistake::Hint(Hint::Port(with_port, whose)));
        }
        let range = if ranges { AddressRange::parse(text) } else { return Err(Mistake::Hint(Hint::NoRange)) };
        let range = range.map_err(|why| match text.rsplit_once('/') {
            Some((addresses, _)) => Mistake::Hint(Hint::Prefix(addresses.into(), whose)),
            None => Mistake::Fault(Box::new(Fault::Range { what, text: text.into(), why })),
        })?;
        usable(range.at(0), whose)?;
        usable(range.at(range.count() - 1), whose)?;
        return Ok(range);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return usable(address, whose).map(|()| AddressRange::one(address));
    }
    Err(Mistake::Hint(if let Ok(network) = text.parse::<IpNet>() {
        Hint::Prefix(network.addr().to_string().into(), whose)
    } else if let Ok(with_port) = text.parse::<SocketAddr>() {
        Hint::Port(with_port, whose)
    } else {
        Hint::None
    }))
}

/// Refuses what the kernel refuses for a VIP, a destination or a router.
fn usable(address: IpAddr, whose: Whose) -> Result<(), Mistake> {
    let why = match address {
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => "an IPv4 address in IPv6's clothes",
        IpAddr::V6(address) if whose == Whose::Server && address.is_unicast_link_local() => "a link-local address",
        _ => return Ok(()),
    };
    Err(Mistake::Hint(Hint::Unusable(why)))
}

fn network(what: &'static str, text: &str) -> Result<NetworkRange, Mistake> {
    let Some((addresses, prefix)) = text.rsplit_once('/') else { return Err(Mistake::Hint(prefix_missing(text))) };
    let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix: Option<u8> = if digits { prefix.parse().ok() } else { None };
    let range = AddressRange::parse(addresses).map_err(|why| {
        let ranged = addresses.contains(['[', ']']);
        if ranged { Mistake::Fault(Box::new(Fault::Range { what, text: text.into(), why })) } else { Mistake::Hint(Hint::None) }
    })?;
    usable(range.at(0), Whose::Gateway)?;
    let longest = if range.at(0).is_ipv4() { 32 } else { 128 };
    prefix.and_then(|prefix| NetworkRange::new(range, prefix)).ok_or(Mistake::Hint(Hint::PrefixLength(longest)))
}

fn prefix_missing(text: &str) -> Hint {
    if AddressRange::parse(text).is_ok() { Hint::PrefixMissing } else { Hint::None }
}

#[cfg(test)]
mod tests {
    use super::{Value, device, duration, name, read};
    use crate::source::{Arg, FileId, Scalar, Span};
    use crate::topology::fault::{BadName, Fault, Hint};
    use crate::topology::shape::{Type, Whose};

    fn text(wanted: Type, text: &str) -> Result<Value, Fault> {
        let span = Span { file: FileId(0), start: 0, end: 0 };
        read(wanted, "x", &Arg { value: Scalar::Text(text.into()), span }).map_err(|fault| *fault)
    }

    fn hint(wanted: Type, given: &str) -> Option<Hint> {
        match text(wanted, given) {
            Err(Fault::Value { hint, .. }) => Some(hint),
            _ => None,
        }
    }

    #[test]
    fn a_duration_has_units_in_falling_order() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("31d", 2_678_400), ("1d2h3m4s", 93_784)] {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        for text in ["", "5", "s", "1m1h", "1s1s", "1.5h", "-1s", "5 m", "5M", "1h30", "99999999999999999999s", "1é", "5ms"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_never_reads_as_something_else() {
        for good in ["web1", "a", "1a", "game.eu-west_2", "10.0.0.11x"] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", BadName::Empty),
            ("12", BadName::ReadsAsNumber),
            ("10.0.0.1", BadName::ReadsAsAddress),
            ("10.0.0.300", BadName::ReadsAsAddress),
            ("fd00::1", BadName::ReadsAsAddress),
            ("-web", BadName::Beginning),
            (".web", BadName::Beginning),
            ("we b", BadName::Character(' ')),
            ("wéb", BadName::Character('é')),
        ] {
            assert_eq!(name(bad), Err(why), "{bad}");
        }
        assert_eq!(name(&"a".repeat(63)), Ok(()));
        assert_eq!(name(&"a".repeat(64)), Err(BadName::TooLong(63)));
    }

    #[test]
    fn a_device_name_is_one_that_the_kernel_takes() {
        for good in ["eth0", "eth0.100", "lo", "bond0@x", "123456789012345", "é"] {
            assert_eq!(device(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "1234567890123456", "a\u{a0}b"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_control_character_gets_through_any_type() {
        for wanted in [Type::Interface, Type::Hostname, Type::Name { ranges: true }, Type::SysctlValue, Type::Server] {
            assert!(matches!(text(wanted, "a\u{1b}[2J"), Err(Fault::Name { why: BadName::Control('\u{1b}'), .. })));
        }
    }

    #[test]
    fn a_vip_with_a_prefix_length_or_a_port_is_an_error_that_says_so() {
        let vip = Type::Address { whose: Whose::Vip, ranges: true };
        assert_eq!(hint(vip, "10.0.0.1/24"), Some(Hint::Prefix("10.0.0.1".into(), Whose::Vip)));
        assert_eq!(hint(vip, "10.0.0.[1-3]/24"), Some(Hint::Prefix("10.0.0.[1-3]".into(), Whose::Vip)));
        assert!(matches!(hint(vip, "10.0.0.1:443"), Some(Hint::Port(..))));
        assert!(matches!(hint(vip, "[2001:db8::1]:443"), Some(Hint::Port(..))));
        assert!(text(vip, "2001:db8::1").is_ok());
    }

    #[test]
    fn addresses_that_the_kernel_refuses_are_refused() {
        let server = Type::Address { whose: Whose::Server, ranges: true };
        for bad in
            ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "fe80::1", "::ffff:10.0.0.1", "10.0.0.01", "1.2.3"]
        {
            assert!(text(server, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_network_needs_a_good_prefix_length() {
        for bad in ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/", "10.0.0.1/+8", "2001:db8::1/129", "/24", "10.0.0.1/8/8", "eth0/24"] {
            assert!(text(Type::Network, bad).is_err(), "{bad}");
        }
        assert!(matches!(hint(Type::Subnet, "10.2.0.1/16"), Some(Hint::HostBits(net)) if net.to_string() == "10.2.0.0/16"));
    }
}
