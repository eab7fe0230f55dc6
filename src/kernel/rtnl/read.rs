//! Dumps of devices and addresses.

use std::net::IpAddr;

use crate::kernel::netlink::wire::{Attributes, Malformed, Message, Writer, address, be16, string, u8, u16, u32};
use crate::kernel::netlink::{Dump, Failure, Socket};
use crate::state::{Address, AddressKey, Checksum, Family, GueEncap, Inner, Link, LinkKind, OURS, Tunnel, TunnelKind};

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;

const UP: u32 = 1; // IFF_UP

/// `IFLA_*`
mod link {
    pub const NAME: usize = 3;
    pub const MTU: usize = 4;
    pub const INFO: usize = 18;
    pub const MASTER: usize = 10;
    pub const ALIAS: usize = 20;
    pub const EXT_MASK: u16 = 29;
    pub const SKIP_STATS: u32 = 8;
    pub const INFO_KIND: usize = 1;
    pub const INFO_DATA: usize = 2;
}

/// Where the settings of a tunnel stand in its `IFLA_INFO_DATA`: `IFLA_IPTUN_*` or `IFLA_GRE_*`.
struct Places {
    device: usize,
    local: usize,
    remote: usize,
    ttl: usize,
    encap_type: usize,
    encap_flags: usize,
    encap_port: usize,
}

const IPTUN: Places = Places { device: 1, local: 2, remote: 3, ttl: 4, encap_type: 15, encap_flags: 16, encap_port: 18 };
const IPTUN_PROTO: usize = 9;
const GRE: Places = Places { device: 1, local: 6, remote: 7, ttl: 8, encap_type: 14, encap_flags: 15, encap_port: 17 };
const GRE_IFLAGS: usize = 2;
const GRE_IKEY: usize = 4;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The kernel's number of it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is. The device that a tunnel is bound to is not in there yet: see `bound_to`.
    pub link: Link,
    /// The number of the device that a tunnel is bound to.
    pub bound_to: Option<u32>,
    /// It has settings that `link` does not say.
    pub partly: bool,
}

/// Dumps all devices.
pub fn devices(socket: &mut Socket) -> Result<(Vec<Device>, Dump), Failure> {
    let mut devices = Vec::new();
    let write = |writer: &mut Writer| {
        writer.begin(GET_LINK, 0);
        writer.raw(&[0; 16]); // struct ifinfomsg
        writer.u32(link::EXT_MASK, link::SKIP_STATS);
    };
    let dump = socket.dump(write, |message| decode_device(&message).map(|device| devices.push(device)).ok_or(Malformed))?;
    Ok((devices, dump))
}

fn decode_device(message: &Message<'_>) -> Option<Device> {
    if message.kind != NEW_LINK {
        return None;
    }
    let index = u32(message.payload.get(4..8)?)?;
    let flags = u32(message.payload.get(8..12)?)?;
    let table = Attributes(message.payload.get(16..)?).table::<{ link::ALIAS + 1 }>()?;
    let info = match table[link::INFO] {
        Some(info) => Attributes(info).table::<{ link::INFO_DATA + 1 }>()?,
        None => [None; link::INFO_DATA + 1],
    };
    let kind = info[link::INFO_KIND].map(string).unwrap_or_default();
    let data = info[link::INFO_DATA].unwrap_or_default();
    let partly = table[link::MASTER].is_some() || !is_plain(&kind, data)?;
    let (device, bound_to) = match kind.as_str() {
        "dummy" => (LinkKind::Dummy, None),
        "ipip" => tunnel(TunnelKind::Ipip, data)?,
        "sit" => tunnel(TunnelKind::Sit, data)?,
        "ip6tnl" => tunnel(TunnelKind::Ip6tnl, data)?,
        "gre" => tunnel(TunnelKind::Gre, data)?,
        "ip6gre" => tunnel(TunnelKind::Ip6gre, data)?,
        _ => (LinkKind::Other(kind), None),
    };
    let link = Link {
        device,
        up: flags & UP != 0,
        mtu: match table[link::MTU] {
            Some(mtu) => Some(u32(mtu)?),
            None => None,
        },
        alias: table[link::ALIAS].map(string).filter(|alias| !alias.is_empty()),
    };
    Some(Device { index, name: string(table[link::NAME]?), link, bound_to, partly })
}

/// Whether a tunnel has no settings but those of [`Tunnel`], and what the kernel gives to one that is made with them alone.
fn is_plain(kind: &str, data: &[u8]) -> Option<bool> {
    const NO_ENCAP_LIMIT: u32 = 1; // IP6_TNL_F_IGN_ENCAP_LIMIT
    const SETTINGS: u32 = 0xffff; // the rest is what the kernel can do with it
    let table = Attributes(data).table::<26>()?;
    let number = |at: usize| table[at].unwrap_or_default().iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    let flags = |at: usize| table[at].filter(|value| value.len() == 4).map_or(Some(0), u32);
    let zero = |all: &[usize]| all.iter().all(|at| number(*at) == 0);
    let absent = |all: &[usize]| all.iter().all(|at| table[*at].is_none());
    let of_ipv6 = |at: usize| Some(flags(at)? & SETTINGS == NO_ENCAP_LIMIT);
    // Numbers of IFLA_IPTUN_* and IFLA_GRE_*: TOS 5 and 9, FLOWINFO 7 and 12, PROTO 9, PMTUDISC 10, FWMARK 20, ENCAP_TYPE 15 and 14,
    // ENCAP_SPORT 17 and 16, COLLECT_METADATA 19 and 18, IGNORE_DF 19.
    Some(match kind {
        "ipip" | "sit" => {
            let inner = if kind == "sit" { 41 } else { 4 }; // else it carries more: `mode any`
            zero(&[5, 20, 17]) && absent(&[19]) && number(10) == 1 && number(9) == inner && is_known_encap(table[15])?
        }
        "ip6tnl" => zero(&[7, 20, 17]) && absent(&[19]) && of_ipv6(8)? && is_known_encap(table[15])?,
        "gre" => zero(&[9, 20, 16, 19]) && absent(&[18]) && number(10) == 1 && is_known_encap(table[14])? && is_even(&table),
        "ip6gre" => zero(&[12, 20, 16]) && absent(&[18]) && of_ipv6(13)? && is_known_encap(table[14])? && is_even(&table),
        _ => true,
    })
}

/// None, or GUE.
fn is_known_encap(value: Option<&[u8]>) -> Option<bool> {
    Some(matches!(value.map_or(Some(0), u16)?, 0 | 2))
}

/// Whether a gre kind has the same flags and key in both directions, and none of the flags that are not read.
fn is_even(table: &[Option<&[u8]>]) -> bool {
    let at = |place: usize| table.get(place).copied().flatten();
    let (flags, out) = (at(GRE_IFLAGS).and_then(be16).unwrap_or(0), at(GRE_IFLAGS + 1).and_then(be16).unwrap_or(0));
    flags == out && flags & !(GRE_CSUM | GRE_KEY) == 0 && (flags & GRE_KEY == 0 || at(GRE_IKEY) == at(GRE_IKEY + 1))
}

fn tunnel(kind: TunnelKind, data: &[u8]) -> Option<(LinkKind, Option<u32>)> {
    let table = Attributes(data).table::<21>()?;
    let is_gre = matches!(kind, TunnelKind::Gre | TunnelKind::Ip6gre);
    let Places { device, local, remote, ttl, encap_type, encap_flags, encap_port } = if is_gre { GRE } else { IPTUN };
    let family = if kind.outer_is_ipv6() { Family::Ipv6 } else { Family::Ipv4 };
    // The kernel's word for "any" is the unspecified address.
    let endpoint = |at: usize| -> Option<Option<IpAddr>> {
        match table[at] {
            Some(value) => Some(Some(address(family, value)?).filter(|address| !address.is_unspecified())),
            None => Some(None),
        }
    };
    let number16 = |at: usize| table[at].map_or(Some(0), u16);
    let flags = if is_gre { table[GRE_IFLAGS].map_or(Some(0), be16)? } else { 0 };
    let gue = if number16(encap_type)? == 2 {
        Some(GueEncap {
            port: table[encap_port].map_or(Some(0), be16)?,
            checksum: encap_checksum(family, number16(encap_flags)?),
        })
    } else {
        None
    };
    let bound_to = table[device].map_or(Some(0), u32)?;
    let tunnel = Tunnel {
        kind,
        local: endpoint(local)?,
        remote: endpoint(remote)?,
        device: None,
        ttl: table[ttl].map_or(Some(0), u8)?,
        inner: match kind {
            TunnelKind::Ip6tnl => Some(match table[IPTUN_PROTO].map_or(Some(0), u8)? {
                4 => Inner::Ipip6,
                41 => Inner::Ip6ip6,
                _ => Inner::Any,
            }),
            _ => None,
        },
        key: if flags & GRE_KEY == 0 { None } else { Some(u32::from_be_bytes(table[GRE_IKEY]?.try_into().ok()?)) },
        checksum: flags & GRE_CSUM != 0,
        gue,
    };
    Some((LinkKind::Tunnel(tunnel), Some(bound_to).filter(|index| *index != 0)))
}

const GRE_CSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;

/// `TUNNEL_ENCAP_FLAG_*`: CSUM counts for IPv4 outside, CSUM6 for IPv6.
fn encap_checksum(family: Family, flags: u16) -> Checksum {
    const REMCSUM: u16 = 4;
    let csum = match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    };
    match flags & (csum | REMCSUM) {
        0 => Checksum::None,
        REMCSUM => Checksum::Remcsum,
        flag if flag == csum => Checksum::Csum,
        _ => Checksum::Other(flags),
    }
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDevice {
    /// The number of its device.
    pub device: u32,
    /// Its identity; for now without the device's name.
    pub key: AddressKey,
    /// What it is.
    pub address: Address,
    /// Its label: the device's name, where it has none of its own. IPv6 has no labels.
    pub label: Option<String>,
    /// It has settings that `address` does not say.
    pub partly: bool,
}

/// Dumps the addresses of all devices.
pub fn addresses(socket: &mut Socket) -> Result<(Vec<OnDevice>, Dump), Failure> {
    let mut addresses = Vec::new();
    let write = |writer: &mut Writer| {
        writer.begin(GET_ADDRESS, 0);
        writer.raw(&[0; 8]); // struct ifaddrmsg
    };
    let dump = socket.dump(write, |message| {
        // Another family's addresses do not concern us.
        if matches!(message.payload.first(), Some(2 | 10)) {
            addresses.push(decode_address(&message).ok_or(Malformed)?);
        }
        Ok(())
    })?;
    Ok((addresses, dump))
}

fn decode_address(message: &Message<'_>) -> Option<OnDevice> {
    const ADDRESS: usize = 1;
    const LOCAL: usize = 2;
    const LABEL: usize = 3;
    const BROADCAST: usize = 4;
    const CACHE_INFO: usize = 6;
    const FLAGS: usize = 8;
    const PRIORITY: usize = 9;
    const PROTOCOL: usize = 11;
    const NODAD: u32 = 2; // IFA_F_NODAD
    const PERMANENT: u32 = 0x80; // IFA_F_PERMANENT
    // IFA_F_HOMEADDRESS, _MANAGETEMPADDR, _NOPREFIXROUTE, _MCAUTOJOIN
    const SETTINGS: u32 = 0x10 | 0x100 | 0x200 | 0x400;
    if message.kind != NEW_ADDRESS {
        return None;
    }
    let [family, prefix, flags, scope, i0, i1, i2, i3] = *message.payload.first_chunk()?;
    let family = match family {
        2 => Family::Ipv4,
        10 => Family::Ipv6,
        _ => return None,
    };
    let table = Attributes(message.payload.get(8..)?).table::<{ PROTOCOL + 1 }>()?;
    // LOCAL is ours and ADDRESS the other end where the two differ; IPv6 has LOCAL only then.
    let own = address(family, table[LOCAL].or(table[ADDRESS])?)?;
    let flags = table[FLAGS].map_or(Some(u32::from(flags)), u32)?;
    // struct ifa_cacheinfo begins with the preferred lifetime
    let preferred = table[CACHE_INFO].map_or(Some(u32::MAX), |info| u32(info.get(..4)?))?;
    let value = match family {
        Family::Ipv4 => Address { deprecated: false, nodad: false },
        Family::Ipv6 => Address { deprecated: preferred == 0, nodad: flags & NODAD != 0 },
    };
    let has_peer = table[LOCAL].is_some() && table[LOCAL] != table[ADDRESS];
    let ends = flags & PERMANENT == 0 || !matches!(preferred, 0 | u32::MAX) || preferred == 0 && family == Family::Ipv4;
    // Of IPv6 the scope is the address's own.
    let has_scope = family == Family::Ipv4 && scope != 0;
    // We give an IPv4 address its subnet's broadcast address.
    let broadcast = match own {
        IpAddr::V4(own) if prefix < 31 => Some((u32::from(own) | (u32::MAX >> prefix)).to_be_bytes()),
        _ => None,
    };
    let has_broadcast = table[BROADCAST] != broadcast.as_ref().map(<[u8; 4]>::as_slice);
    let has_metric = table[PRIORITY].is_some_and(|metric| u32(metric) != Some(0));
    let is_marked = table[PROTOCOL].is_some_and(|protocol| !matches!(protocol, [0 | OURS, ..]));
    Some(OnDevice {
        device: u32::from_ne_bytes([i0, i1, i2, i3]),
        key: AddressKey { address: own, prefix, interface: String::new() },
        address: value,
        label: table[LABEL].map(string),
        partly: has_peer || ends || has_scope || has_broadcast || has_metric || is_marked || flags & SETTINGS != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_answer_makes_a_reader_panic(payload: Vec<u8>, gre: bool) {
            for kind in [NEW_LINK, NEW_ADDRESS, 0] {
                let message = Message { kind, flags: 0, sequence: 1, payload: &payload };
                let _ = (decode_device(&message), decode_address(&message));
            }
            let _ = tunnel(if gre { TunnelKind::Gre } else { TunnelKind::Ip6tnl }, &payload);
        }
    }

    #[test]
    fn a_checksum_outside_counts_for_its_own_family() {
        for (family, flags, checksum) in [
            (Family::Ipv4, 0, Checksum::None),
            (Family::Ipv4, 1, Checksum::Csum),
            (Family::Ipv4, 2, Checksum::None),
            (Family::Ipv6, 2, Checksum::Csum),
            (Family::Ipv6, 1, Checksum::None),
            (Family::Ipv6, 4, Checksum::Remcsum),
            (Family::Ipv4, 5, Checksum::Other(5)),
        ] {
            assert_eq!(encap_checksum(family, flags), checksum, "{family} {flags}");
        }
    }
}
