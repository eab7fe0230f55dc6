//! The numbers of generic netlink families (`GENL_ID_CTRL`).

use super::wire::{Malformed, Message, Writer, string, u16};
use super::{Failure, Socket};

const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const VERSION: u8 = 2;
const FAMILY_NAME: u16 = 2;

/// The families that the kernel has at this moment, by name. Listing them loads no module.
pub fn all(socket: &mut Socket) -> Result<Vec<(String, u16)>, Failure> {
    let mut families = Vec::new();
    let write = |writer: &mut Writer| writer.begin_generic(CONTROL, GET_FAMILY, VERSION);
    socket.dump(write, |message| decode(&message).map(|family| families.push(family)).ok_or(Malformed))?;
    Ok(families)
}

/// The number of one family. Asking for it makes the kernel load its module where it can; `ENOENT` where it cannot.
pub fn load(socket: &mut Socket, name: &str) -> Result<u16, Failure> {
    let mut found = None;
    let write = |writer: &mut Writer| {
        writer.begin_generic(CONTROL, GET_FAMILY, VERSION);
        writer.string(FAMILY_NAME, name);
    };
    socket.request(write, |message| {
        found = Some(decode(&message).ok_or(Malformed)?);
        Ok(())
    })?;
    found.map(|(_, number)| number).ok_or(Failure::Malformed)
}

/// The number is attribute 1.
fn decode(message: &Message<'_>) -> Option<(String, u16)> {
    let [_, number, name] = message.generic()?.table()?;
    Some((string(name?), u16(number?)?))
}
