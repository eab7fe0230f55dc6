//! Netlink messages and attributes as bytes: writing them into one reused buffer, and walking received ones.
//!
//! Nothing here sends or receives. A received length is never trusted: what does not fit its container ends the walk, and
//! every reader answers `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::state::Family;

/// Ask for an answer (`NLM_F_REQUEST`).
pub const REQUEST: u16 = 0x1;
/// Ask for an acknowledgement (`NLM_F_ACK`).
pub const ACK: u16 = 0x4;
/// Ask for everything (`NLM_F_DUMP`: ROOT and MATCH).
pub const DUMP: u16 = 0x300;
/// Edit what exists (`NLM_F_REPLACE`).
pub const REPLACE: u16 = 0x100;
/// Make it, and refuse what exists (`NLM_F_CREATE` and `NLM_F_EXCL`).
pub const CREATE: u16 = 0x600;
/// A dump was torn by a writer (`NLM_F_DUMP_INTR`).
pub const INTERRUPTED: u16 = 0x10;
/// An answer repeats only the header of what it answers (`NLM_F_CAPPED`).
pub const CAPPED: u16 = 0x100;
/// An answer carries attributes behind the error (`NLM_F_ACK_TLVS`).
pub const ACK_ATTRIBUTES: u16 = 0x200;

/// `NLMSG_NOOP`: nothing is asked for.
pub const NOOP: u16 = 1;
/// `NLMSG_ERROR`: an errno, or an acknowledgement where it is 0.
pub const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump, with an errno.
pub const DONE: u16 = 3;

/// The length of `struct nlmsghdr`.
pub const HEADER: usize = 16;

const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff; // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

/// Writes messages, one behind the other, into one buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    message: usize,
}

impl Writer {
    /// Forgets what was written; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.message = 0;
    }

    /// All that was written since [`Writer::clear`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins a message. Its sequence number and length are filled in by [`Writer::end`].
    pub fn begin(&mut self, kind: u16, flags: u16) {
        self.message = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
    }

    /// Begins a generic netlink message: `struct genlmsghdr` follows the header.
    pub fn begin_generic(&mut self, family: u16, command: u8, version: u8) {
        self.begin(family, 0);
        self.bytes.extend_from_slice(&[command, version, 0, 0]);
    }

    /// Adds flags to the message that was begun last.
    pub fn add_flags(&mut self, flags: u16) {
        let at = self.message + 6;
        if let Some(field) = self.bytes.get_mut(at..at + 2) {
            let old = u16::from_ne_bytes([field[0], field[1]]);
            field.copy_from_slice(&(old | flags).to_ne_bytes());
        }
    }

    /// Ends the message that was begun last.
    pub fn end(&mut self, sequence: u32) {
        let length = self.bytes.len() - self.message;
        self.put(self.message, &u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        self.put(self.message + 8, &sequence.to_ne_bytes());
        self.pad();
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Room for `length` bytes, zeroed, to be filled in.
    pub fn reserve(&mut self, length: usize) -> &mut [u8] {
        let at = self.bytes.len();
        self.bytes.resize(at + length, 0);
        &mut self.bytes[at..]
    }

    /// An attribute of any bytes.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        // A value is a name, an address or a number, all far below 64 KiB; a longer one is cut and refused by the kernel.
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&value[..usize::from(length) - 4]);
        self.pad();
    }

    /// A byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.attribute(kind, &[value]);
    }

    /// Two bytes in host order.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Two bytes in network order.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// Four bytes in host order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// An address: 4 or 16 bytes in network order.
    pub fn address(&mut self, kind: u16, value: IpAddr) {
        match value {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    /// A string with its terminating zero.
    pub fn string(&mut self, kind: u16, value: &str) {
        let length = u16::try_from(value.len() + 5).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&value.as_bytes()[..usize::from(length) - 5]);
        self.bytes.push(0);
        self.pad();
    }

    /// An attribute that holds attributes.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Writer)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - at).unwrap_or(u16::MAX);
        self.put(at, &length.to_ne_bytes());
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        if let Some(field) = self.bytes.get_mut(at..at + value.len()) {
            field.copy_from_slice(value);
        }
    }

    fn pad(&mut self) {
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A received form that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One received message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `nlmsg_type`
    pub kind: u16,
    /// `nlmsg_flags`
    pub flags: u16,
    /// `nlmsg_seq`
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The errno (positive, 0 for an acknowledgement) of an [`ERROR`] or a [`DONE`]. A `DONE` without one is 0.
    pub fn errno(&self) -> Option<i32> {
        match self.payload.first_chunk::<4>() {
            Some(bytes) => Some(i32::from_ne_bytes(*bytes).saturating_neg().max(0)),
            None if self.kind == DONE => Some(0),
            None => None,
        }
    }

    /// The kernel's words in an [`ERROR`] or a [`DONE`] (`NLMSGERR_ATTR_MSG`).
    pub fn text(&self) -> Option<String> {
        if self.flags & ACK_ATTRIBUTES == 0 {
            return None;
        }
        let behind = if self.kind == DONE {
            4
        } else {
            let repeated = u32::from_ne_bytes(*self.payload.get(4..8)?.first_chunk()?);
            4 + if self.flags & CAPPED == 0 { aligned(usize::try_from(repeated).ok()?) } else { HEADER }
        };
        let (_, text) = Attributes(self.payload.get(behind..)?).filter_map(Result::ok).find(|(kind, _)| *kind == 1)?;
        Some(string(text)).filter(|text| !text.is_empty())
    }

    /// The attributes of a generic netlink message.
    pub fn generic(&self) -> Option<Attributes<'a>> {
        self.payload.get(4..).map(Attributes)
    }
}

/// Walks the messages of one datagram.
#[derive(Clone, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        if bytes.is_empty() {
            return None;
        }
        self.0 = &[];
        let message = (|| {
            let header = bytes.first_chunk::<HEADER>()?;
            let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
            let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
            let payload = bytes.get(HEADER..length)?;
            self.0 = bytes.get(aligned(length)..).unwrap_or_default();
            Some(Message {
                kind: u16::from_ne_bytes([k0, k1]),
                flags: u16::from_ne_bytes([f0, f1]),
                sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
                payload,
            })
        })();
        Some(message.ok_or(Malformed))
    }
}

/// Walks attributes: their kind without its flag bits, and their value.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        if bytes.is_empty() {
            return None;
        }
        self.0 = &[];
        let attribute = (|| {
            let [l0, l1, k0, k1] = *bytes.first_chunk::<4>()?;
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let value = bytes.get(4..length)?;
            self.0 = bytes.get(aligned(length)..).unwrap_or_default();
            Some((u16::from_ne_bytes([k0, k1]) & KIND_MASK, value))
        })();
        Some(attribute.ok_or(Malformed))
    }
}

impl<'a> Attributes<'a> {
    /// Sorts the values by kind: the value of kind `k` stands at index `k`. Kinds from `N` on are left out, the last of a
    /// kind counts. `None` where the walk meets something that is not an attribute.
    pub fn table<const N: usize>(self) -> Option<[Option<&'a [u8]>; N]> {
        let mut table = [None; N];
        for attribute in self {
            let (kind, value) = attribute.ok()?;
            if let Some(slot) = table.get_mut(usize::from(kind)) {
                *slot = Some(value);
            }
        }
        Some(table)
    }
}

/// A byte.
pub fn u8(value: &[u8]) -> Option<u8> {
    <[u8; 1]>::try_from(value).ok().map(|[byte]| byte)
}

/// Two bytes in host order.
pub fn u16(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_ne_bytes)
}

/// Two bytes in network order.
pub fn be16(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

/// Four bytes in host order.
pub fn u32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// Eight bytes in host order.
pub fn u64(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_ne_bytes)
}

/// An address of a family, in the first bytes of a value: IPVS answers with 16 bytes for both families.
pub fn address(family: Family, value: &[u8]) -> Option<IpAddr> {
    Some(match family {
        Family::Ipv4 => Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
        Family::Ipv6 => Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
    })
}

/// Text up to its terminating zero. What is not UTF-8 (a device may be called anything) is replaced by U+FFFD.
pub fn string(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_read_back_as_it_was_written() {
        let mut writer = Writer::default();
        writer.begin_generic(30, 4, 1);
        writer.nested(1, |writer| {
            writer.u16(1, 2);
            writer.string(6, "wlc");
        });
        writer.end(7);
        writer.begin(16, 0);
        writer.add_flags(ACK);
        writer.end(8);

        let messages: Vec<_> = Messages(writer.bytes()).map(|message| message.expect("whole")).collect();
        let [first, second] = messages.as_slice() else { panic!("two messages") };
        assert_eq!((first.kind, first.flags, first.sequence), (30, REQUEST, 7));
        assert_eq!((second.kind, second.flags, second.sequence), (16, REQUEST | ACK, 8));
        let [_, nest] = first.generic().and_then(Attributes::table::<2>).expect("attributes");
        let table = Attributes(nest.expect("nest")).table::<7>().expect("attributes");
        assert_eq!(table[1].and_then(u16), Some(2));
        assert_eq!(table[6].map(string), Some("wlc".to_owned()));
    }

    #[test]
    fn a_length_beyond_the_datagram_ends_the_walk() {
        let mut bytes = vec![0; 32];
        bytes[0] = 33;
        assert_eq!(Messages(&bytes).map(|message| message.is_ok()).collect::<Vec<_>>(), [false]);
        bytes[0] = 15;
        assert_eq!(Messages(&bytes).map(|message| message.is_ok()).collect::<Vec<_>>(), [false]);
        assert_eq!(Attributes(&[3, 0, 0, 0]).map(|attribute| attribute.is_ok()).collect::<Vec<_>>(), [false]);
    }

    #[test]
    fn the_words_of_an_error_follow_the_header_it_repeats() {
        let mut payload = (-22i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; HEADER]);
        let mut words = Writer::default();
        words.string(1, "Unknown device type");
        payload.extend_from_slice(words.bytes());
        let message = Message { kind: ERROR, flags: CAPPED | ACK_ATTRIBUTES, sequence: 1, payload: &payload };
        assert_eq!(message.errno(), Some(22));
        assert_eq!(message.text().as_deref(), Some("Unknown device type"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_walk_panic_or_run_for_ever(bytes: Vec<u8>) {
            for message in Messages(&bytes).flatten() {
                let _ = (message.errno(), message.text(), message.generic().and_then(Attributes::table::<8>));
            }
            let _ = Attributes(&bytes).table::<4>();
        }
    }
}
