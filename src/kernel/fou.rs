//! UDP ports on which the kernel takes GUE apart: the generic netlink family `fou` (`include/uapi/linux/fou.h`).
//!
//! This module neither sends nor receives.

use nix::errno::Errno;

use super::Refusal;
use super::netlink::wire::{Message, Writer, be16, u8};
use crate::state::{Family, FouKey, FouPort};

/// The family's name. Its module does not load by itself.
pub const FAMILY: &str = "fou";
const VERSION: u8 = 1;

const ADD: u8 = 1;
const DELETE: u8 = 2;
const GET: u8 = 3;

const PORT: u16 = 1; // be16
const AF: u16 = 2; // u8
const TYPE: u16 = 4; // u8
const TYPE_GUE: u8 = 2;

const INET: u8 = 2;
const INET6: u8 = 10;

/// Everything that FOU is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Open a port for GUE. The inner protocol is left out: GUE says it in each packet, and from 6.19 on naming it is
    /// `ERANGE`.
    Add(FouKey),
    /// Close a port.
    Delete(FouKey),
    /// All ports; a dump.
    Get,
}

impl Request {
    /// The request that opens a port as `port` says. A plain FOU port carries one inner protocol, which we do not know.
    pub fn add(key: FouKey, port: FouPort) -> Result<Request, Refusal> {
        let FouPort { gue } = port;
        if gue {
            return Ok(Request::Add(key));
        }
        let text = "only GUE ports can be opened: of a plain FOU port the inner protocol is not known".to_owned();
        Err(Refusal { errno: Errno::EOPNOTSUPP as i32, text: Some(text) })
    }

    /// Writes the request for the family number `family`. Its flags and its end are the socket's.
    pub fn write(self, family: u16, writer: &mut Writer) {
        let (command, key) = match self {
            Request::Add(key) => (ADD, Some(key)),
            Request::Delete(key) => (DELETE, Some(key)),
            Request::Get => (GET, None),
        };
        writer.begin_generic(family, command, VERSION);
        if let Some(FouKey { port, family }) = key {
            writer.be16(PORT, port);
            writer.u8(AF, if family == Family::Ipv4 { INET } else { INET6 });
        }
        if command == ADD {
            writer.u8(TYPE, TYPE_GUE);
        }
    }
}

/// One port of a dump; `None`: it cannot be read.
pub fn decode(message: &Message<'_>) -> Option<(FouKey, FouPort)> {
    let table = message.generic()?.table::<5>()?;
    let value = |kind: u16| table.get(usize::from(kind)).copied().flatten();
    let family = match u8(value(AF)?)? {
        INET => Family::Ipv4,
        INET6 => Family::Ipv6,
        _ => return None,
    };
    Some((FouKey { port: be16(value(PORT)?)?, family }, FouPort { gue: u8(value(TYPE)?)? == TYPE_GUE }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::wire::{Attributes, Messages};

    #[test]
    fn a_gue_port_is_opened_without_an_inner_protocol() {
        let mut writer = Writer::default();
        Request::Add(FouKey { port: 6080, family: Family::Ipv6 }).write(31, &mut writer);
        writer.end(1);
        let message = Messages(writer.bytes()).next().and_then(Result::ok).expect("one message");
        assert_eq!(decode(&message), Some((FouKey { port: 6080, family: Family::Ipv6 }, FouPort { gue: true })));
        let [_, port, _, inner, _] = message.generic().and_then(Attributes::table::<5>).expect("attributes");
        assert_eq!((port, inner), (Some(&[0x17, 0xc0][..]), None));
    }
}
