//! Telling the neighbours where an address is now: a gratuitous ARP (RFC 5227, §3) or an unsolicited neighbour advertisement
//! (RFC 4861, §7.2.6). Without it they go on sending to the host that had it before, for as long as they remember.
//!
//! The kernel does so for the addresses of a device that comes up, and not for one that comes to a device that is up. An
//! announcement is no state: it is sent once, nobody answers, and without `CAP_NET_RAW` it is left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

use crate::state::AddressKey;

type LinkAddress = [u8; 6];

const BROADCAST: LinkAddress = [0xff; 6];
/// 33:33 and the end of `ff02::1` (RFC 2464, §7)
const ALL_NODES: LinkAddress = [0x33, 0x33, 0, 0, 0, 1];

/// Announces those of these addresses that are on an Ethernet device which is up and speaks ARP: not those on `lo`, on a dummy
/// device or on a tunnel, of which nobody is to hear.
pub fn announce<'a>(addresses: impl Iterator<Item = &'a AddressKey>) {
    let mut addresses = addresses.peekable();
    if addresses.peek().is_none() {
        return;
    }
    let Ok(devices) = getifaddrs() else { return };
    let speaks = |flags: InterfaceFlags| flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_NOARP);
    let devices: Vec<(String, LinkAddr)> = devices
        .filter(|device| speaks(device.flags))
        .filter_map(|device| Some((device.interface_name, *device.address?.as_link_addr()?)))
        .filter(|(_, link)| link.hatype() == ETHERNET)
        .collect();
    for key in addresses {
        let device = devices.iter().find(|(name, _)| *name == key.interface);
        if let Some((link, own)) = device.and_then(|(_, link)| Some((link, link.addr()?))) {
            for frame in frames(key.address, own) {
                let _ = emit(link, &frame);
            }
        }
    }
}

/// `ARPHRD_ETHER`
const ETHERNET: u16 = 1;

/// A packet socket of no protocol receives nothing.
fn emit(link: &LinkAddr, frame: &[u8]) -> nix::Result<usize> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), link)?;
    send(socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT)
}

/// Whole Ethernet frames. Some listen to ARP requests alone, some to replies.
fn frames(address: IpAddr, own: LinkAddress) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => [1, 2].into_iter().map(|operation| arp(operation, address, own)).collect(),
        IpAddr::V6(address) => vec![advertisement(address, own)],
    }
}

fn arp(operation: u8, address: Ipv4Addr, own: LinkAddress) -> Vec<u8> {
    let mut frame = [BROADCAST, own].concat();
    frame.extend([0x08, 0x06]);
    frame.extend([0, 1, 0x08, 0, 6, 4, 0, operation]); // Ethernet, IPv4
    frame.extend(own);
    frame.extend(address.octets());
    frame.extend(if operation == 1 { [0; 6] } else { BROADCAST });
    frame.extend(address.octets());
    frame
}

fn advertisement(address: Ipv6Addr, own: LinkAddress) -> Vec<u8> {
    const TO: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const NEXT_HEADER: u8 = 58; // ICMPv6
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0]; // override what they have
    message.extend(address.octets());
    message.extend([2, 1]); // the target's link-layer address
    message.extend(own);
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let pseudo = [&address.octets()[..], &TO.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, NEXT_HEADER], &message];
    let [high, low] = checksum(&pseudo.concat());
    message[2..4].copy_from_slice(&[high, low]);
    let mut frame = [ALL_NODES, own].concat();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([NEXT_HEADER, 255]); // the hop limit that neighbour discovery asks for
    frame.extend(address.octets());
    frame.extend(TO.octets());
    frame.extend(message);
    frame
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_over_a_message_with_its_checksum_is_zero() {
        let frame = advertisement("2001:db8::100".parse().expect("an address"), [2, 0, 0, 0, 0, 1]);
        let (header, message) = frame[14..].split_at(40);
        let pseudo = [&header[8..40], &32_u32.to_be_bytes(), &[0, 0, 0, 58], message];
        assert_eq!(message.len(), 32);
        assert_eq!(checksum(&pseudo.concat()), [0, 0]);
    }
}
