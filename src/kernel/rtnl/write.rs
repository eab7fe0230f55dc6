//! Making, editing and deleting devices and addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::net::if_::{Interface, if_nameindex};
use rtnetlink::packet_core::{DefaultNla, NetlinkSerializable};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo};
use rtnetlink::packet_route::link::{
    GreEncapFlags, GreEncapType, GreIOFlags, InfoData, InfoGre, InfoGre6, InfoIpTunnel, InfoKind, Ip6TunnelFlags, LinkAttribute,
    LinkInfo, LinkMessage, TunnelEncapFlags, TunnelEncapType,
};
use rtnetlink::packet_route::{IpProtocol, RouteNetlinkMessage};
use rtnetlink::{AddressMessageBuilder, LinkMessageBuilder, LinkUnspec};

use crate::kernel::netlink::Socket;
use crate::kernel::netlink::wire::{CREATE, REPLACE, Writer};
use crate::kernel::{Outcome, Refusal};
use crate::state::{
    Address, AddressKey, Change, Checksum, Family, GueEncap, Inner, Key, Link, LinkKind, OURS, Resource, Tunnel, TunnelKind,
};

/// A request and the flags of its kind.
#[derive(Clone, Debug)]
struct Request {
    message: RouteNetlinkMessage,
    flags: u16,
}

impl Request {
    fn write(&self, writer: &mut Writer) {
        writer.begin(self.message.message_type(), self.flags);
        let length = NetlinkSerializable::buffer_len(&self.message);
        self.message.serialize(writer.reserve(length));
    }
}

fn refused(errno: Errno, text: impl Into<String>) -> Refusal {
    Refusal { errno: errno as i32, text: Some(text.into()) }
}

pub(super) fn not_ours() -> Refusal {
    refused(Errno::EINVAL, "the step's key and value are of different kinds")
}

/// Carries out steps on addresses, pipelined, and appends their outcomes.
pub fn change_addresses(socket: &mut Socket, steps: &[Change], outcomes: &mut Vec<Outcome>) {
    let mut devices = HashMap::new();
    socket.transact(steps, outcomes, |writer, step| match address_request(step, &mut devices) {
        Ok(request) => {
            request.write(writer);
            None
        }
        Err(refusal) => Some(Outcome::Refused(refusal)),
    });
}

fn address_request(step: &Change, devices: &mut HashMap<String, u32>) -> Result<Request, Refusal> {
    let Key::Address(key) = &step.key else { return Err(not_ours()) };
    let index = if let Some(index) = devices.get(key.interface.as_str()) {
        *index
    } else {
        let index = device_index(&key.interface)?;
        devices.insert(key.interface.clone(), index);
        index
    };
    if key.address.is_multicast() {
        // The builder leaves such an address out, and a delete without one takes away the device's first address.
        return Err(refused(Errno::EINVAL, format!("no device can have the multicast address {}", key.address)));
    }
    match (&step.before, &step.after) {
        (_, None) => Ok(Request { message: RouteNetlinkMessage::DelAddress(bare_address(key, index)), flags: 0 }),
        (before, Some(Resource::Address(after))) => {
            let message = RouteNetlinkMessage::NewAddress(whole_address(key, index, *after));
            Ok(Request { message, flags: if before.is_none() { CREATE } else { REPLACE } })
        }
        _ => Err(not_ours()),
    }
}

/// Looked up in the list of devices: of `if_nametoindex` with a name that no device has, the kernel makes a `modprobe` of
/// `netdev-NAME`.
pub(super) fn device_index(name: &str) -> Result<u32, Refusal> {
    let devices = if_nameindex().map_err(|errno| refused(errno, "the devices cannot be listed"))?;
    let found = devices.iter().find(|device| device.name().to_bytes() == name.as_bytes()).map(Interface::index);
    found.ok_or_else(|| refused(Errno::ENODEV, format!("there is no device `{name}`")))
}

fn bare_address(key: &AddressKey, index: u32) -> AddressMessage {
    match key.address {
        IpAddr::V4(address) => {
            AddressMessageBuilder::<std::net::Ipv4Addr>::new().index(index).address(address, key.prefix).build()
        }
        IpAddr::V6(address) => {
            AddressMessageBuilder::<std::net::Ipv6Addr>::new().index(index).address(address, key.prefix).build()
        }
    }
}

fn whole_address(key: &AddressKey, index: u32, value: Address) -> AddressMessage {
    let Address { deprecated, nodad } = value;
    let mut message = bare_address(key, index);
    if key.address.is_ipv6() {
        let flags = if nodad { AddressFlags::Nodad } else { AddressFlags::empty() };
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = u32::MAX;
        lifetimes.ifa_preferred = if deprecated { 0 } else { u32::MAX };
        message.attributes.push(AddressAttribute::Flags(flags));
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(OURS)));
    message
}

/// One stage of a step on a device, and what takes it back.
struct Stage {
    forward: Request,
    back: Request,
}

/// Carries out steps on devices, and appends their outcomes. A step has several requests where the kernel asks for it: the
/// alias is ignored in the one that makes a device. Requests of one stage are pipelined; where a later stage is refused,
/// the earlier ones of that step are taken back, so that a refused step has changed nothing.
pub fn change_links(socket: &mut Socket, steps: &[Change], outcomes: &mut Vec<Outcome>) {
    let mut works: Vec<Work> = steps.iter().map(work).collect();
    let most = works.iter().map(|work| work.stages.len()).max().unwrap_or(0);
    for stage in 0..most {
        let mut answers = Vec::new();
        socket.transact(&works, &mut answers, |writer, work| match (&work.outcome, work.stages.get(stage)) {
            (Outcome::Done, Some(stage)) => {
                stage.forward.write(writer);
                None
            }
            (outcome, _) => Some(outcome.clone()),
        });
        for (work, answer) in works.iter_mut().zip(answers) {
            if work.outcome != Outcome::Done || work.stages.len() <= stage {
                continue; // settled before this stage
            }
            let clean = !matches!(answer, Outcome::Refused(_)) || take_back(socket, &work.stages[..stage]);
            work.outcome = if clean { answer } else { Outcome::Unknown };
        }
    }
    outcomes.extend(works.into_iter().map(|work| work.outcome));
}

/// The stages of a step, and what became of those that were sent.
struct Work {
    stages: Vec<Stage>,
    outcome: Outcome,
}

fn work(step: &Change) -> Work {
    match link_stages(step) {
        Ok(stages) => Work { stages, outcome: Outcome::Done },
        Err(refusal) => Work { stages: Vec::new(), outcome: Outcome::Refused(refusal) },
    }
}

/// Takes stages back, the last first. False where that was refused too.
fn take_back(socket: &mut Socket, stages: &[Stage]) -> bool {
    let mut answers = Vec::new();
    let back: Vec<&Request> = stages.iter().rev().map(|stage| &stage.back).collect();
    socket.transact(&back, &mut answers, |writer, request| {
        request.write(writer);
        None
    });
    answers.iter().all(|answer| *answer == Outcome::Done)
}

fn link_stages(step: &Change) -> Result<Vec<Stage>, Refusal> {
    let Key::Link(name) = &step.key else { return Err(not_ours()) };
    match (&step.before, &step.after) {
        (None, Some(Resource::Link(after))) => {
            let make = Request { message: RouteNetlinkMessage::NewLink(whole_link(name, after)?), flags: CREATE };
            let mut stages = vec![Stage { forward: make, back: delete(name) }];
            // A device that goes again needs no other way back than that.
            stages.extend(
                after
                    .alias
                    .as_deref()
                    .map(|alias| Stage { forward: edit(name, alias_of(alias)), back: edit(name, alias_of("")) }),
            );
            Ok(stages)
        }
        (Some(_), None) => Ok(vec![Stage { forward: delete(name), back: delete(name) }]),
        (Some(Resource::Link(before)), Some(Resource::Link(after))) => Ok(edits(name, before, after)),
        _ => Err(not_ours()),
    }
}

type Edit = LinkMessageBuilder<LinkUnspec>;

fn edit(name: &str, change: impl FnOnce(Edit) -> Edit) -> Request {
    let message = change(LinkUnspec::new_with_name(name)).build();
    Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

fn delete(name: &str) -> Request {
    Request { message: RouteNetlinkMessage::DelLink(LinkUnspec::new_with_name(name).build()), flags: 0 }
}

fn alias_of(alias: &str) -> impl FnOnce(Edit) -> Edit {
    let alias = alias.to_owned();
    move |link| link.alias(alias)
}

fn up_or_down(up: bool) -> impl FnOnce(Edit) -> Edit {
    move |link| if up { link.up() } else { link.down() }
}

fn edits(name: &str, before: &Link, after: &Link) -> Vec<Stage> {
    let Link { device: _, up, mtu, alias } = after;
    let mut stages = Vec::new();
    if let (Some(old), Some(new)) = (before.mtu, *mtu)
        && old != new
    {
        stages.push(Stage { forward: edit(name, |link| link.mtu(new)), back: edit(name, |link| link.mtu(old)) });
    }
    if before.alias != *alias {
        // An empty alias is none.
        let (old, new) = (before.alias.as_deref().unwrap_or(""), alias.as_deref().unwrap_or(""));
        stages.push(Stage { forward: edit(name, alias_of(new)), back: edit(name, alias_of(old)) });
    }
    if before.up != *up {
        stages.push(Stage { forward: edit(name, up_or_down(*up)), back: edit(name, up_or_down(before.up)) });
    }
    stages
}

fn whole_link(name: &str, link: &Link) -> Result<LinkMessage, Refusal> {
    let Link { device, up, mtu, alias: _ } = link;
    let link = LinkMessageBuilder::<LinkUnspec>::default().name(name);
    let link = if *up { link.up() } else { link };
    let link = match mtu {
        Some(mtu) => link.mtu(*mtu),
        None => link,
    };
    let (kind, data) = match device {
        LinkKind::Dummy => (InfoKind::Dummy, None),
        LinkKind::Tunnel(tunnel) => tunnel_data(tunnel).map(|(kind, data)| (kind, Some(data)))?,
        LinkKind::Other(kind) => {
            let text = format!("only dummy devices and tunnels can be made, not one of kind `{kind}`");
            return Err(refused(Errno::EOPNOTSUPP, text));
        }
    };
    let info = std::iter::once(LinkInfo::Kind(kind)).chain(data.map(LinkInfo::Data)).collect();
    Ok(link.append_extra_attribute(LinkAttribute::LinkInfo(info)).build())
}

fn tunnel_data(tunnel: &Tunnel) -> Result<(InfoKind, InfoData), Refusal> {
    let outer = if tunnel.kind.outer_is_ipv6() { Family::Ipv6 } else { Family::Ipv4 };
    if [tunnel.local, tunnel.remote].into_iter().flatten().any(|address| Family::of(address) != outer) {
        return Err(refused(Errno::EINVAL, format!("a tunnel of kind {} needs {outer} addresses", tunnel.kind)));
    }
    let device = tunnel.device.as_deref().map(device_index).transpose()?;
    Ok(match tunnel.kind {
        TunnelKind::Ipip => (InfoKind::IpIp, iptunnel(tunnel, device)),
        TunnelKind::Sit => (InfoKind::SitTun, iptunnel(tunnel, device)),
        TunnelKind::Ip6tnl => (InfoKind::Ip6Tnl, iptunnel(tunnel, device)),
        TunnelKind::Gre => (InfoKind::GreTun, gre(tunnel, device)),
        TunnelKind::Ip6gre => (InfoKind::GreTun6, gre6(tunnel, device)),
    })
}

/// Without it, the kernel puts a destination option of 8 bytes before every packet of a tunnel over IPv6, which many
/// networks drop (RFC 7872) and no MTU is reckoned with.
const NO_ENCAP_LIMIT: Ip6TunnelFlags = Ip6TunnelFlags::IgnEncapLimit;

fn iptunnel(tunnel: &Tunnel, device: Option<u32>) -> InfoData {
    let Tunnel { kind, local, remote, device: _, ttl, inner, key: _, checksum: _, gue } = tunnel;
    let mut settings = vec![InfoIpTunnel::Ttl(*ttl)];
    settings.extend(local.map(InfoIpTunnel::Local));
    settings.extend(remote.map(InfoIpTunnel::Remote));
    settings.extend(device.map(InfoIpTunnel::Link));
    if *kind == TunnelKind::Ip6tnl {
        let protocol: u8 = match inner {
            Some(Inner::Ipip6) => 4,
            Some(Inner::Ip6ip6) => 41,
            Some(Inner::Any) | None => 0,
        };
        settings.push(InfoIpTunnel::Protocol(IpProtocol::from(protocol)));
        settings.push(InfoIpTunnel::Ipv6Flags(NO_ENCAP_LIMIT));
    }
    if let Some(GueEncap { port, checksum }) = gue {
        settings.push(InfoIpTunnel::EncapType(TunnelEncapType::Gue));
        settings.push(InfoIpTunnel::EncapDPort(*port));
        settings.push(InfoIpTunnel::EncapFlags(TunnelEncapFlags::from_bits_retain(encap_flags(*kind, *checksum))));
    }
    InfoData::IpTunnel(settings)
}

/// The settings of a gre kind; the crate has a type of its own for each of the two, with the same variants.
macro_rules! gre_settings {
    ($info:ident, $tunnel:expr, $device:expr, $family:path) => {{
        let Tunnel { kind, local, remote, device: _, ttl, inner: _, key, checksum, gue } = $tunnel;
        let mut settings = vec![$info::Ttl(*ttl)];
        if let Some($family(address)) = local {
            settings.push($info::Local(*address));
        }
        if let Some($family(address)) = remote {
            settings.push($info::Remote(*address));
        }
        settings.extend($device.map($info::Link));
        let mut flags = GreIOFlags::empty();
        flags.set(GreIOFlags::Checksum, *checksum);
        flags.set(GreIOFlags::Key, key.is_some());
        settings.extend([$info::IFlags(flags), $info::OFlags(flags)]);
        if let Some(key) = key {
            settings.extend([$info::IKey(*key), $info::OKey(*key)]);
        }
        if let Some(GueEncap { port, checksum }) = gue {
            settings.push($info::EncapType(GreEncapType::Gue));
            settings.push($info::DestinationPort(*port));
            settings.push($info::EncapFlags(GreEncapFlags::from_bits_retain(encap_flags(*kind, *checksum))));
        }
        settings
    }};
}

fn gre(tunnel: &Tunnel, device: Option<u32>) -> InfoData {
    InfoData::GreTun(gre_settings!(InfoGre, tunnel, device, IpAddr::V4))
}

fn gre6(tunnel: &Tunnel, device: Option<u32>) -> InfoData {
    const FLAGS: u16 = 13; // IFLA_GRE_FLAGS, which the crate does not know
    let mut settings = gre_settings!(InfoGre6, tunnel, device, IpAddr::V6);
    settings.push(InfoGre6::Other(DefaultNla::new(FLAGS, NO_ENCAP_LIMIT.bits().to_ne_bytes().to_vec())));
    InfoData::GreTun6(settings)
}

/// `TUNNEL_ENCAP_FLAG_*`: CSUM counts for IPv4 outside, CSUM6 for IPv6.
fn encap_flags(kind: TunnelKind, checksum: Checksum) -> u16 {
    match checksum {
        Checksum::None => 0,
        Checksum::Csum if kind.outer_is_ipv6() => 2,
        Checksum::Csum => 1,
        Checksum::Remcsum => 4,
        Checksum::Other(flags) => flags,
    }
}
