//! What a rule says, as the kernel's small machine says it: loads into a register, comparisons, and what is done.
//!
//! What is written here is read back as it was. Every other list of expressions is somebody else's, and kept as it came.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::kernel::netlink::wire::{Attributes, Writer, string};
use crate::state::{Family, Match, Protocol, Statement, TableRule};

/// `NFT_REG_1`: every expression of ours uses this one.
const REGISTER: u32 = 1;

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_*`, `NFTA_DATA_VALUE`
const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
const VALUE: u16 = 1;

/// `NFT_META_*`
const MARK: u32 = 3;
const OUT: u32 = 7;
const FAMILY: u32 = 15;
const PROTOCOL: u32 = 16;
/// `NFT_CT_*`
const CT_PORT: u32 = 12;
const CT_IPV4: u32 = 20;
const CT_IPV6: u32 = 22;
/// `NFT_PAYLOAD_*_HEADER`
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// `IFNAMSIZ`
const INTERFACE: usize = 16;

/// One expression, always on our register.
#[derive(Debug, PartialEq, Eq)]
enum Expression {
    Meta(u32),
    /// Of the connection, as its first packet was.
    Ct(u32),
    /// header, offset, length
    Payload(u32, u32, u32),
    /// And this mask.
    Mask(Vec<u8>),
    /// Goes on where equal.
    Equals(Vec<u8>),
    Immediate(Vec<u8>),
    SetMeta(u32),
    Masquerade,
}

/// Writes the expressions of a rule.
pub(super) fn encode(rule: &TableRule, writer: &mut Writer) {
    match rule {
        TableRule::Known { matches, statement } => {
            for expression in expressions(matches, statement) {
                expression.write(writer);
            }
        }
        TableRule::Foreign { expressions } => writer.raw(expressions),
    }
}

/// Reads a list of expressions.
pub(super) fn decode(value: &[u8]) -> TableRule {
    let known = || {
        let expressions: Option<Vec<Expression>> = Attributes(value).map(|element| Expression::read(element.ok()?.1)).collect();
        understand(&expressions?)
    };
    known().unwrap_or_else(|| TableRule::Foreign { expressions: value.to_vec() })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes).into()),
        16 => bytes.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes).into()),
        _ => None,
    }
}

fn port(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk::<2>().filter(|_| bytes.len() == 2).map(|bytes| u16::from_be_bytes(*bytes))
}

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`
fn number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

/// Where an address stands in its header.
fn source(family: Family) -> Expression {
    match family {
        Family::Ipv4 => Expression::Payload(NETWORK, 12, 4),
        Family::Ipv6 => Expression::Payload(NETWORK, 8, 16),
    }
}

fn destination(family: Family) -> Expression {
    match family {
        Family::Ipv4 => Expression::Payload(NETWORK, 16, 4),
        Family::Ipv6 => Expression::Payload(NETWORK, 24, 16),
    }
}

fn expressions(matches: &[Match], statement: &Statement) -> Vec<Expression> {
    use Expression::{Ct, Equals, Immediate, Mask, Masquerade, Meta, Payload, SetMeta};
    let mut all = Vec::new();
    let mut said = None;
    for one in matches {
        let family = match one {
            Match::From(network) => Some(Family::of(network.addr())),
            Match::To(address) | Match::OriginallyTo(address) => Some(Family::of(*address)),
            _ => None,
        };
        // A table of `inet` sees both families.
        if let Some(family) = family.filter(|family| said.replace(*family) != Some(*family)) {
            all.extend([Meta(FAMILY), Equals(vec![number(family)])]);
        }
        match one {
            Match::Out(interface) => {
                let mut name = interface.as_bytes().to_vec();
                name.resize(INTERFACE, 0);
                all.extend([Meta(OUT), Equals(name)]);
            }
            Match::From(network) => {
                all.push(source(Family::of(network.addr())));
                if network.prefix_len() < network.max_prefix_len() {
                    all.push(Mask(octets(network.netmask())));
                }
                all.push(Equals(octets(network.network())));
            }
            Match::To(address) => all.extend([destination(Family::of(*address)), Equals(octets(*address))]),
            Match::Protocol(protocol) => {
                all.extend([Meta(PROTOCOL), Equals(vec![u8::try_from(protocol.number()).unwrap_or(u8::MAX)])]);
            }
            Match::ToPort(port) => all.extend([Payload(TRANSPORT, 2, 2), Equals(port.to_be_bytes().to_vec())]),
            Match::OriginallyTo(address) => {
                let key = if address.is_ipv4() { CT_IPV4 } else { CT_IPV6 };
                all.extend([Ct(key), Equals(octets(*address))]);
            }
            Match::OriginallyToPort(port) => all.extend([Ct(CT_PORT), Equals(port.to_be_bytes().to_vec())]),
        }
    }
    match statement {
        Statement::Mark(mark) => all.extend([Immediate(mark.to_ne_bytes().to_vec()), SetMeta(MARK)]),
        Statement::Masquerade => all.push(Masquerade),
    }
    all
}

/// A rule of ours from its expressions.
fn understand(mut rest: &[Expression]) -> Option<TableRule> {
    use Expression::{Ct, Equals, Immediate, Mask, Masquerade, Meta, Payload, SetMeta};
    let mut matches = Vec::new();
    let mut family = None;
    loop {
        let (found, after) = match rest {
            [Meta(FAMILY), Equals(value), after @ ..] => {
                family = [Family::Ipv4, Family::Ipv6].into_iter().find(|family| *value == [number(*family)]);
                rest = after;
                continue;
            }
            [Meta(OUT), Equals(name), after @ ..] if name.len() == INTERFACE => (Match::Out(string(name)), after),
            [Meta(PROTOCOL), Equals(value), after @ ..] => {
                let [number] = *value.as_slice() else { return None };
                (Match::Protocol(Protocol::from_number(number.into())), after)
            }
            [Payload(TRANSPORT, 2, 2), Equals(value), after @ ..] => (Match::ToPort(port(value)?), after),
            [Ct(CT_PORT), Equals(value), after @ ..] => (Match::OriginallyToPort(port(value)?), after),
            [Ct(CT_IPV4 | CT_IPV6), Equals(value), after @ ..] => (Match::OriginallyTo(address(value)?), after),
            [place, Mask(mask), Equals(value), after @ ..] if Some(place) == family.map(source).as_ref() => {
                (Match::From(IpNet::with_netmask(address(value)?, address(mask)?).ok()?), after)
            }
            [place, Equals(value), after @ ..] if Some(place) == family.map(source).as_ref() => {
                (Match::From(address(value)?.into()), after)
            }
            [place, Equals(value), after @ ..] if Some(place) == family.map(destination).as_ref() => {
                (Match::To(address(value)?), after)
            }
            [Immediate(value), SetMeta(MARK)] => {
                let mark = u32::from_ne_bytes(*value.first_chunk::<4>().filter(|_| value.len() == 4)?);
                return Some(TableRule::Known { matches, statement: Statement::Mark(mark) });
            }
            [Masquerade] => return Some(TableRule::Known { matches, statement: Statement::Masquerade }),
            _ => return None,
        };
        matches.push(found);
        rest = after;
    }
}

fn number_of(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*value.first_chunk()?))
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Expression::Meta(_) | Expression::SetMeta(_) => "meta",
            Expression::Ct(_) => "ct",
            Expression::Payload(..) => "payload",
            Expression::Mask(_) => "bitwise",
            Expression::Equals(_) => "cmp",
            Expression::Immediate(_) => "immediate",
            Expression::Masquerade => "masq",
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.nested(ELEMENT, |writer| {
            writer.string(NAME, self.name());
            writer.nested(DATA, |writer| self.write_data(writer));
        });
    }

    fn write_data(&self, writer: &mut Writer) {
        let be32 = |writer: &mut Writer, kind, value: u32| writer.attribute(kind, &value.to_be_bytes());
        let data = |writer: &mut Writer, kind, value: &[u8]| writer.nested(kind, |writer| writer.attribute(VALUE, value));
        match self {
            // NFTA_META_DREG, _KEY
            Expression::Meta(key) => {
                be32(writer, 1, REGISTER);
                be32(writer, 2, *key);
            }
            // NFTA_META_KEY, _SREG
            Expression::SetMeta(key) => {
                be32(writer, 2, *key);
                be32(writer, 3, REGISTER);
            }
            // NFTA_CT_DREG, _KEY, _DIRECTION: 0 is the first packet's
            Expression::Ct(key) => {
                be32(writer, 1, REGISTER);
                be32(writer, 2, *key);
                writer.u8(3, 0);
            }
            // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN
            Expression::Payload(base, offset, length) => {
                be32(writer, 1, REGISTER);
                be32(writer, 2, *base);
                be32(writer, 3, *offset);
                be32(writer, 4, *length);
            }
            // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR
            Expression::Mask(mask) => {
                be32(writer, 1, REGISTER);
                be32(writer, 2, REGISTER);
                be32(writer, 3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
                data(writer, 4, mask);
                data(writer, 5, &vec![0; mask.len()]);
            }
            // NFTA_CMP_SREG, _OP: 0 is equal, _DATA
            Expression::Equals(value) => {
                be32(writer, 1, REGISTER);
                be32(writer, 2, 0);
                data(writer, 3, value);
            }
            // NFTA_IMMEDIATE_DREG, _DATA
            Expression::Immediate(value) => {
                be32(writer, 1, REGISTER);
                data(writer, 2, value);
            }
            Expression::Masquerade => {}
        }
    }

    /// `None`: none of these.
    fn read(element: &[u8]) -> Option<Expression> {
        let [name, data] = table::<2>(element)?;
        let name = string(name?);
        // Without a word beside those that we write.
        let fields = table::<8>(data.unwrap_or_default())?;
        let number = |at: usize| fields.get(at - 1).copied().flatten().and_then(number_of);
        let value = |at: usize| {
            let [value] = table::<1>(fields.get(at - 1).copied().flatten()?)?;
            value.map(<[u8]>::to_vec)
        };
        let is_ours = |at: usize| number(at) == Some(REGISTER);
        let only = |allowed: &[usize]| (1..=8).all(|at| allowed.contains(&at) || fields.get(at - 1).is_some_and(Option::is_none));
        match name.as_str() {
            "meta" if is_ours(1) && only(&[1, 2]) => Some(Expression::Meta(number(2)?)),
            "meta" if is_ours(3) && only(&[2, 3]) => Some(Expression::SetMeta(number(2)?)),
            "ct" if is_ours(1) && only(&[1, 2, 3]) && fields[2] == Some(&[0]) => Some(Expression::Ct(number(2)?)),
            "payload" if is_ours(1) && only(&[1, 2, 3, 4]) => Some(Expression::Payload(number(2)?, number(3)?, number(4)?)),
            // NFTA_BITWISE_OP: 0 is mask and xor
            "bitwise" if is_ours(1) && is_ours(2) && only(&[1, 2, 3, 4, 5, 6]) && number(6).is_none_or(|op| op == 0) => {
                let mask = value(4)?;
                value(5)?.iter().all(|byte| *byte == 0).then_some(Expression::Mask(mask))
            }
            "cmp" if is_ours(1) && number(2) == Some(0) && only(&[1, 2, 3]) => Some(Expression::Equals(value(3)?)),
            "immediate" if is_ours(1) && only(&[1, 2]) => Some(Expression::Immediate(value(2)?)),
            "masq" if only(&[]) => Some(Expression::Masquerade),
            _ => None,
        }
    }
}

/// The attributes 1 to `N`; `None` where there is another one.
fn table<const N: usize>(bytes: &[u8]) -> Option<[Option<&[u8]>; N]> {
    let mut table = [None; N];
    for attribute in Attributes(bytes) {
        let (kind, value) = attribute.ok()?;
        *table.get_mut(usize::from(kind).checked_sub(1)?)? = Some(value);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_list_makes_a_reader_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    fn there_and_back(matches: Vec<Match>, statement: Statement) {
        let rule = TableRule::Known { matches, statement };
        let mut writer = Writer::default();
        encode(&rule, &mut writer);
        assert_eq!(decode(writer.bytes()), rule, "{rule}");
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let ipv4: IpAddr = [10, 0, 0, 100].into();
        let ipv6: IpAddr = "2001:db8::100".parse().expect("an address");
        for address in [ipv4, ipv6] {
            let to = vec![Match::To(address), Match::Protocol(Protocol::Udp), Match::ToPort(443)];
            there_and_back(to, Statement::Mark(0xffff_ffff));
            let original = [Match::OriginallyTo(address), Match::OriginallyToPort(53)];
            there_and_back([vec![Match::To(address)], original.to_vec()].concat(), Statement::Masquerade);
            there_and_back(vec![Match::From(address.into())], Statement::Masquerade);
        }
        for network in ["10.0.0.0/24", "2001:db8::/61", "0.0.0.0/0"] {
            let network = network.parse().expect("a network");
            there_and_back(vec![Match::Out("eth1".to_owned()), Match::From(network)], Statement::Masquerade);
        }
    }

    #[test]
    fn what_we_do_not_write_is_kept_as_it_came() {
        let mut writer = Writer::default();
        Expression::Meta(MARK).write(&mut writer);
        let bytes = writer.bytes().to_vec();
        assert_eq!(decode(&bytes), TableRule::Foreign { expressions: bytes.clone() });
        let mut again = Writer::default();
        encode(&decode(&bytes), &mut again);
        assert_eq!(again.bytes(), bytes);
    }
}
