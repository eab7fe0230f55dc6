//! Ranges: `10.0.0.[11-40]`, `2001:db8::[a-1f]`, `web[2-40]`. One text that stands for several values.
//!
//! A range is kept as its first value, a step and a count: nothing is expanded before somebody has counted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The most values of one range.
pub const LONGEST: u32 = 65_536;

/// One address, or those that a range stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    step: u128,
    count: u32,
}

/// Addresses with the length of their subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkRange {
    addresses: AddressRange,
    prefix: u8,
}

/// One name, or those that a range stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRange {
    before: Box<str>,
    /// First number and count; `None`: no range.
    numbers: Option<(u32, u32)>,
    after: Box<str>,
}

/// Why a text with brackets is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRange {
    /// Not one `[FIRST-LAST]` of numbers.
    Form,
    /// A number begins with 0.
    LeadingZero,
    /// The first is not below the last.
    NotAscending,
    /// More than [`LONGEST`] values.
    TooLong(u64),
    /// Not in place of a whole octet or group.
    Place,
    /// The rest is no address.
    Address,
}

/// `before[first-last]after`
struct Brackets<'t> {
    before: &'t str,
    first: &'t str,
    last: &'t str,
    after: &'t str,
    count: u32,
    low: u32,
}

impl AddressRange {
    /// A single address.
    pub const fn one(address: IpAddr) -> AddressRange {
        AddressRange { first: address, step: 0, count: 1 }
    }

    /// Reads an address or a range. Whether a text without brackets is an address is for the caller to say.
    pub fn parse(text: &str) -> Result<AddressRange, BadRange> {
        if !text.contains(['[', ']']) {
            return text.parse().map(AddressRange::one).map_err(|_| BadRange::Address);
        }
        let hexadecimal = text.contains(':');
        let Brackets { before, first, last, after, count, low: _ } = brackets(text, hexadecimal)?;
        let separator = if hexadecimal { ':' } else { '.' };
        if !(before.is_empty() || before.ends_with(separator)) || !(after.is_empty() || after.starts_with(separator)) {
            return Err(BadRange::Place);
        }
        let at = |number: &str| format!("{before}{number}{after}").parse::<IpAddr>().map_err(|_| BadRange::Address);
        let (first, last) = (at(first)?, at(last)?);
        let step = bits(last).saturating_sub(bits(first)) / u128::from(count - 1);
        Ok(AddressRange { first, step, count })
    }

    /// How many addresses.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The address of an index below the count; a single address is the same at every index.
    pub fn at(&self, index: u32) -> IpAddr {
        let bits = bits(self.first) + self.step * u128::from(index);
        match self.first {
            // The last address of the range was parsed: no index leaves its family.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }

    /// Whether an address is one of them.
    fn contains(&self, address: IpAddr) -> bool {
        let Some(beyond) = bits(address).checked_sub(bits(self.first)) else { return false };
        let step = self.step.max(1);
        address.is_ipv4() == self.first.is_ipv4() && beyond % step == 0 && beyond / step < u128::from(self.count)
    }

    /// Whether the two have an address in common, as far as their ends tell.
    fn meets(&self, other: &AddressRange) -> bool {
        let ends = |range: &AddressRange| [range.at(0), range.at(range.count - 1)];
        ends(self).into_iter().any(|end| other.contains(end)) || ends(other).into_iter().any(|end| self.contains(end))
    }

    /// All addresses.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        (0..self.count).map(|index| self.at(index))
    }
}

/// Whether a range, of names or of addresses, has something in common with a name, an address or another range.
pub fn meet(range: &str, other: &str) -> bool {
    let names = || NameRange::parse(range).ok().zip(NameRange::parse(other).ok());
    let addresses = || AddressRange::parse(range).ok().zip(AddressRange::parse(other).ok());
    range.contains('[')
        && (names().is_some_and(|(one, two)| one.meets(&two)) || addresses().is_some_and(|(one, two)| one.meets(&two)))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl NetworkRange {
    /// `addresses`, each in a subnet of `prefix`; `None` if the prefix is longer than the address.
    pub fn new(addresses: AddressRange, prefix: u8) -> Option<NetworkRange> {
        IpNet::new(addresses.first, prefix).ok().map(|_| NetworkRange { addresses, prefix })
    }

    /// How many addresses.
    pub fn count(&self) -> u32 {
        self.addresses.count
    }

    /// The address of an index below the count.
    pub fn at(&self, index: u32) -> IpNet {
        IpNet::new_assert(self.addresses.at(index), self.prefix)
    }
}

impl NameRange {
    /// A single name.
    pub fn one(text: &str) -> NameRange {
        NameRange { before: text.into(), numbers: None, after: "".into() }
    }

    /// Reads a name or a range. Whether the names are good ones is for the caller to say.
    pub fn parse(text: &str) -> Result<NameRange, BadRange> {
        if !text.contains(['[', ']']) {
            return Ok(NameRange::one(text));
        }
        let Brackets { before, after, count, low, .. } = brackets(text, false)?;
        Ok(NameRange { before: before.into(), numbers: Some((low, count)), after: after.into() })
    }

    /// How many names.
    pub fn count(&self) -> u32 {
        self.numbers.map_or(1, |(_, count)| count)
    }

    /// Whether it was written as a range.
    pub fn is_range(&self) -> bool {
        self.numbers.is_some()
    }

    /// The name of an index below the count; a single name is the same at every index.
    pub fn at(&self, index: u32) -> String {
        match self.numbers {
            None => self.before.to_string(),
            Some((first, _)) => format!("{}{}{}", self.before, u64::from(first) + u64::from(index), self.after),
        }
    }

    /// Whether the two have a name in common.
    pub fn meets(&self, other: &NameRange) -> bool {
        match (self.numbers, other.numbers) {
            (None, None) => self.before == other.before,
            (Some((one, count)), Some((two, others))) => {
                let end = |first: u32, count: u32| u64::from(first) + u64::from(count);
                (&self.before, &self.after) == (&other.before, &other.after)
                    && u64::from(one) < end(two, others)
                    && u64::from(two) < end(one, count)
            }
            (Some((first, count)), None) => {
                let inside = other.before.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after));
                let number =
                    inside.filter(|text| *text == "0" || !text.starts_with('0')).and_then(|text| text.parse::<u32>().ok());
                number.is_some_and(|number| number >= first && number - first < count)
            }
            (None, Some(_)) => other.meets(self),
        }
    }

    /// What stands before and behind the number, where it is a range.
    pub fn around(&self) -> (&str, &str) {
        (&self.before, &self.after)
    }

    /// The longest of the names.
    pub fn longest(&self) -> String {
        self.at(self.count() - 1)
    }
}

fn brackets(text: &str, hexadecimal: bool) -> Result<Brackets<'_>, BadRange> {
    let (before, rest) = text.split_once('[').ok_or(BadRange::Form)?;
    let (inside, after) = rest.split_once(']').ok_or(BadRange::Form)?;
    let (first, last) = inside.split_once('-').ok_or(BadRange::Form)?;
    if before.contains(']') || after.contains(['[', ']']) {
        return Err(BadRange::Form);
    }
    let radix = if hexadecimal { 16 } else { 10 };
    let number = |text: &str| -> Result<u32, BadRange> {
        if text.is_empty() || !text.chars().all(|c| c.is_digit(radix)) {
            return Err(BadRange::Form);
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(BadRange::LeadingZero);
        }
        u32::from_str_radix(text, radix).map_err(|_| BadRange::Form)
    };
    let (low, high) = (number(first)?, number(last)?);
    if low >= high {
        return Err(BadRange::NotAscending);
    }
    let values = u64::from(high - low) + 1;
    match u32::try_from(values) {
        Ok(count) if count <= LONGEST => Ok(Brackets { before, first, last, after, count, low }),
        _ => Err(BadRange::TooLong(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressRange, BadRange, NameRange, meet};

    fn ends(text: &str) -> Result<(String, String, u32), BadRange> {
        let range = AddressRange::parse(text)?;
        Ok((range.at(0).to_string(), range.at(range.count() - 1).to_string(), range.count()))
    }

    #[test]
    fn a_range_stands_in_place_of_any_octet_or_group() {
        let is = |text, first: &str, last: &str, count| assert_eq!(ends(text), Ok((first.into(), last.into(), count)), "{text}");
        is("10.0.0.[11-40]", "10.0.0.11", "10.0.0.40", 30);
        is("10.0.[0-255].1", "10.0.0.1", "10.0.255.1", 256);
        is("[10-11].0.0.1", "10.0.0.1", "11.0.0.1", 2);
        is("2001:db8::[9-1f]", "2001:db8::9", "2001:db8::1f", 23);
        is("2001:db8:[0-ffff]::1", "2001:db8::1", "2001:db8:ffff::1", 65_536);
        is("10.0.0.1", "10.0.0.1", "10.0.0.1", 1);
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, why) in [
            ("10.0.0.[40-11]", BadRange::NotAscending),
            ("10.0.0.[5-5]", BadRange::NotAscending),
            ("10.0.0.[01-5]", BadRange::LeadingZero),
            ("10.0.0.1[1-5]", BadRange::Place),
            ("10.0.0.[1-300]", BadRange::Address),
            ("10.0.[1-2].[1-2]", BadRange::Form),
            ("10.0.0.[1,2]", BadRange::Form),
            ("10.0.0.]1-2[", BadRange::Form),
            ("10.0.0.[a-f]", BadRange::Form),
            ("2001:db8::[1-10000]", BadRange::Address),
            ("10.0.0.[0-4000000000]", BadRange::TooLong(4_000_000_001)),
        ] {
            assert_eq!(AddressRange::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_range_meets_what_it_contains_and_nothing_else() {
        for (range, other) in [
            ("10.0.0.[11-12]", "10.0.0.11"),
            ("10.0.0.[11-12]", "10.0.0.[12-40]"),
            ("10.0.[0-3].1", "10.0.2.1"),
            ("2001:db8::[9-1f]", "2001:DB8:0::a"),
            ("web[2-40]", "web40"),
            ("web[2-40]-b", "web[40-41]-b"),
        ] {
            assert!(meet(range, other), "{range} {other}");
        }
        for (range, other) in [
            ("10.0.0.[11-12]", "10.0.0.13"),
            ("10.0.0.[11-12]", "10.0.0.1"),
            ("10.0.[0-3].1", "10.0.2.2"),
            ("2001:db8::[9-1f]", "2001:db8::20"),
            ("web[2-40]", "web41"),
            ("web[2-40]", "web[41-42]"),
            ("web2", "web2"),
        ] {
            assert!(!meet(range, other), "{range} {other}");
        }
    }

    #[test]
    fn names_are_numbered_in_the_middle_or_at_the_end() {
        let names = NameRange::parse("web[9-11]-b").unwrap();
        assert_eq!((0..names.count()).map(|at| names.at(at)).collect::<Vec<_>>(), ["web9-b", "web10-b", "web11-b"]);
        assert_eq!(NameRange::parse("web[0-65536]"), Err(BadRange::TooLong(65_537)));
    }
}
