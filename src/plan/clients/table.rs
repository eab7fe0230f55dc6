//! The tables by which sh, dh and mh find the server of a client, as the kernel builds them.
//!
//! Source: `ip_vs_sh.c`, `ip_vs_dh.c` and `ip_vs_mh.c` since Linux 4.18. The sizes are those of a kernel that was built
//! without other wishes (`IP_VS_SH_TAB_BITS` 8, `IP_VS_DH_TAB_BITS` 8, `IP_VS_MH_TAB_INDEX` 12), as every distribution's is;
//! no kernel says its own. Whether a server is full for the moment ([`max_connections`](crate::state::Destination)) is not
//! looked at.

use std::net::IpAddr;

use super::hash::{FIRST, SKIP, fold, golden, siphash};
use crate::state::{DestinationId, Family, Service};

/// The bits of a slot's number: sh and dh have 256 slots.
const BITS: u32 = 8;

/// The slots of sh and dh.
const SLOTS: usize = 1 << BITS;

/// The slots of mh: a prime, so that every server comes by every slot.
const PRIME: u32 = 4093;

/// Turns of a server are below this: greater weights are shifted down (half of `IP_VS_MH_TAB_INDEX`).
const TURN_BITS: u32 = 6;

/// A server of a service, as its scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// who it is
    pub server: DestinationId,
    /// 0: no new connections
    pub weight: u32,
    /// The last weight that was not 0, which gives the server its slots with mh. 0: it has always had weight 0.
    pub last_weight: u32,
}

/// Which part of a scheduler's work is a table of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hashing {
    Source,
    Destination,
    Maglev,
}

/// Where a client that comes to a slot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Server(DestinationId),
    /// No server takes it: the packet is dropped or refused.
    Nobody,
    /// mh looks into another slot, which is another one for each client.
    Elsewhere,
}

/// The table of a service.
#[derive(Clone, Debug)]
pub struct Table {
    hashing: Hashing,
    family: Family,
    fallback: bool,
    port: bool,
    servers: Vec<Seat>,
    /// Places in `servers`; `None`: no server has the slot.
    slots: Vec<Option<usize>>,
}

impl Table {
    /// The table of a service with these servers, the one added last first, as the kernel lists them.
    ///
    /// `None`: its scheduler has no table, or mh has more servers than slots, and the kernel goes on with the table before.
    pub fn new(service: &Service, family: Family, servers: Vec<Seat>) -> Option<Table> {
        let (hashing, flags) = match &*service.scheduler {
            "sh" => (Hashing::Source, service.flags),
            "dh" => (Hashing::Destination, crate::state::ServiceFlags::default()),
            "mh" => (Hashing::Maglev, service.flags),
            _ => return None,
        };
        let slots = match hashing {
            Hashing::Maglev if servers.len() > PRIME as usize => return None,
            Hashing::Maglev => maglev(family, &servers),
            Hashing::Source => in_turn(&servers, |seat| seat.weight.max(1)),
            Hashing::Destination => in_turn(&servers, |_| 1),
        };
        Some(Table { hashing, family, fallback: flags.sched1, port: flags.sched2, servers, slots })
    }

    /// The server of a new connection from `client` and its `port` to `vip`; `None`: no server takes it.
    ///
    /// A connection that is there, or a client that persistence holds, is never asked for.
    pub fn server(&self, client: IpAddr, port: u16, vip: IpAddr) -> Option<DestinationId> {
        let address = if self.hashing == Hashing::Destination { vip } else { client };
        let port = if self.port { u32::from(port) } else { 0 };
        let value = fold(self.family, address).wrapping_add(port);
        let first = self.slot(value);
        match self.outcome(first) {
            Outcome::Server(server) => Some(server),
            Outcome::Nobody => None,
            Outcome::Elsewhere if self.servers.iter().all(|seat| seat.weight == 0) => None, // the kernel looks, and finds none
            Outcome::Elsewhere => {
                let offsets = (0..PRIME).cycle().skip(first).take(PRIME as usize);
                offsets.map(|offset| self.slot(value.wrapping_add(offset))).find_map(|slot| self.available(slot))
            }
        }
    }

    /// The one slot to which dh leads every client of an address.
    pub(super) fn slot_of_vip(&self, vip: IpAddr) -> Option<usize> {
        (self.hashing == Hashing::Destination).then(|| self.slot(fold(self.family, vip)))
    }

    /// How many slots there are.
    pub(super) fn size(&self) -> usize {
        self.slots.len()
    }

    /// Whether two tables are asked in the same way.
    pub(super) fn is_like(&self, other: &Table) -> bool {
        (self.hashing, self.family, self.port) == (other.hashing, other.family, other.port)
    }

    /// Where a client that comes to `slot` goes.
    pub(super) fn outcome(&self, slot: usize) -> Outcome {
        let server = match (self.available(slot), self.fallback, self.hashing) {
            (Some(server), ..) => Some(server),
            (None, true, Hashing::Maglev) if self.holder(slot).is_some() => return Outcome::Elsewhere,
            // It goes on from twice the slot's number, by one: `ip_vs_sh_get_fallback` adds the number to itself.
            (None, true, Hashing::Source) => (0..SLOTS).find_map(|offset| self.available((2 * slot + offset) % SLOTS)),
            (None, ..) => None,
        };
        server.map_or(Outcome::Nobody, Outcome::Server)
    }

    /// The servers that take clients, each with its share of the slots that lead to a server at once.
    pub(super) fn shares(&self) -> Vec<(DestinationId, f64)> {
        let mut counts = vec![0.0; self.servers.len()];
        for server in self.slots.iter().flatten() {
            if let Some(count) = counts.get_mut(*server) {
                *count += 1.0;
            }
        }
        let counted = || self.servers.iter().zip(&counts).filter(|(seat, _)| seat.weight > 0);
        let all: f64 = counted().map(|(_, count)| count).sum();
        counted().filter(|(_, count)| **count > 0.0).map(|(seat, count)| (seat.server, count / all)).collect()
    }

    fn slot(&self, value: u32) -> usize {
        match self.hashing {
            Hashing::Source | Hashing::Destination => golden(value, BITS) as usize,
            Hashing::Maglev => (siphash(value, FIRST) % PRIME) as usize,
        }
    }

    fn holder(&self, slot: usize) -> Option<&Seat> {
        self.servers.get((*self.slots.get(slot)?)?)
    }

    fn available(&self, slot: usize) -> Option<DestinationId> {
        self.holder(slot).filter(|seat| seat.weight > 0).map(|seat| seat.server)
    }
}

/// Slots in turn, to each server as many as it is worth, from the beginning when all had theirs. What no longer fits gets none.
fn in_turn(servers: &[Seat], worth: impl Fn(&Seat) -> u32) -> Vec<Option<usize>> {
    let turns = servers.iter().enumerate().flat_map(|(at, seat)| (0..worth(seat)).map(move |_| Some(at)));
    turns.cycle().chain(std::iter::repeat(None)).take(SLOTS).collect()
}

/// Slots as Maglev gives them: every server goes through all slots in an order of its own, and takes the next that is free
/// as often as its weight says before it is the next server's turn.
fn maglev(family: Family, servers: &[Seat]) -> Vec<Option<usize>> {
    /// A server that has turns.
    struct Walker {
        server: usize,
        next: u32,
        skip: u32,
        turns: u32,
    }
    let mut slots: Vec<Option<usize>> = vec![None; PRIME as usize];
    let weights = || servers.iter().map(|seat| seat.last_weight).filter(|weight| *weight > 0);
    let (Some(divisor), Some(heaviest)) = (weights().reduce(gcd), weights().max()) else { return slots };
    let shift = (u32::BITS - (heaviest / divisor).leading_zeros()).saturating_sub(TURN_BITS);
    let mut walkers: Vec<Walker> = servers
        .iter()
        .enumerate()
        .filter(|(_, seat)| seat.last_weight > 0)
        .map(|(server, seat)| {
            let id = seat.server.0;
            let value = fold(family, id.ip()).wrapping_add(u32::from(id.port()));
            Walker {
                server,
                next: siphash(value, FIRST) % PRIME,
                skip: siphash(value, SKIP) % (PRIME - 1) + 1,
                turns: ((seat.last_weight / divisor) >> shift).max(1),
            }
        })
        .collect();
    let mut free = slots.len();
    while free > 0 {
        for walker in &mut walkers {
            let mut turns = walker.turns;
            while turns > 0 && free > 0 {
                let slot = slots.get_mut(walker.next as usize);
                walker.next = (walker.next + walker.skip) % PRIME;
                if let Some(slot @ None) = slot {
                    *slot = Some(walker.server);
                    turns -= 1;
                    free -= 1;
                }
            }
        }
    }
    slots
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{Seat, Table};
    use crate::state::{Family, Service, ServiceFlags};

    /// A table of servers with these weights, the newest first: 10.0.0.1:80, 10.0.0.2:80…
    fn table(scheduler: &str, fallback: bool, weights: &[u32]) -> Table {
        let flags = ServiceFlags { sched1: fallback, ..ServiceFlags::default() };
        let service = Service { scheduler: scheduler.to_owned(), flags, persistence: None, engine: None };
        let seats = (1..).zip(weights).map(|(host, weight)| {
            let server = serde_json::from_str(&format!(r#""10.0.0.{host}:80""#)).expect("a server");
            Seat { server, weight: *weight, last_weight: *weight }
        });
        Table::new(&service, Family::Ipv4, seats.collect()).expect("a table")
    }

    /// The last bytes of the servers of the first slots; 0: none.
    fn first_slots(table: &Table, count: usize) -> Vec<u8> {
        let host = |slot| table.available(slot).map_or(0, |server| last_byte(server.0.ip().to_string().as_str()));
        (0..count).map(host).collect()
    }

    fn last_byte(address: &str) -> u8 {
        address.rsplit('.').next().and_then(|byte| byte.parse().ok()).expect("an IPv4 address")
    }

    fn servers_of(table: &Table, clients: &[[u8; 4]]) -> Vec<u8> {
        let vip = Ipv4Addr::new(10, 0, 0, 100).into();
        let server = |client: &[u8; 4]| table.server(Ipv4Addr::from(*client).into(), 4000, vip);
        clients.iter().map(|client| server(client).map_or(0, |id| last_byte(&id.0.ip().to_string()))).collect()
    }

    fn count(table: &Table, host: u8) -> usize {
        first_slots(table, table.size()).into_iter().filter(|holder| *holder == host).count()
    }

    #[test]
    fn sh_gives_slots_in_turn_as_many_as_the_weight() {
        assert_eq!(first_slots(&table("sh", false, &[2, 1, 3]), 8), [1, 1, 2, 3, 3, 3, 1, 1]);
        assert_eq!(first_slots(&table("dh", false, &[2, 1, 3]), 8), [1, 2, 3, 1, 2, 3, 1, 2], "dh does not look at weights");
        assert_eq!(count(&table("sh", false, &[200, 100, 100]), 3), 0, "256 slots are all there are");
    }

    #[test]
    fn a_server_at_weight_0_keeps_a_slot_of_sh_and_its_clients_find_none_unless_they_may_look_further() {
        assert_eq!(first_slots(&table("sh", false, &[2, 0, 1]), 6), [1, 1, 0, 3, 1, 1]);
        let further = table("sh", true, &[2, 0, 1]);
        assert_eq!(further.outcome(2), super::Outcome::Server(further.available(4).expect("the slot of twice the number")));
    }

    #[test]
    fn mh_shares_its_slots_by_weight_and_keeps_those_of_a_server_that_is_drained() {
        let even = table("mh", false, &[1, 1, 1]);
        assert_eq!([1, 2, 3].map(|host| count(&even, host)), [1365, 1364, 1364]);
        let uneven = table("mh", false, &[10, 30]);
        assert_eq!([1, 2].map(|host| count(&uneven, host)), [1024, 3069]);
        let mut drained = even.clone();
        drained.servers[1].weight = 0;
        assert_eq!([1, 2, 3].map(|host| count(&drained, host)), [1365, 0, 1364]);
    }

    #[test]
    fn very_uneven_weights_of_mh_lose_their_lower_bits_but_never_the_last_one() {
        // 3000 and 1: nothing divides both, and six bits are left of 3000, which has twelve.
        let table = table("mh", false, &[3000, 1]);
        assert_eq!(count(&table, 2), 4093 / (3000 / 64 + 1));
    }

    #[test]
    fn dh_has_one_server_for_all_clients_of_an_address() {
        let servers = servers_of(&table("dh", false, &[1, 1, 1]), &[[10, 9, 0, 1], [10, 9, 0, 2], [172, 16, 1, 1]]);
        assert!(servers.windows(2).all(|pair| pair[0] == pair[1]), "{servers:?}");
    }

    /// Kept as they were when `tests/kernel/clients.rs` had found 2,000 clients of each kind where they are computed to be.
    #[test]
    fn clients_go_where_kernels_send_them() {
        let clients = [[10, 20, 0, 0], [10, 20, 0, 1], [10, 20, 0, 2], [10, 20, 1, 77], [192, 0, 2, 200], [203, 0, 113, 9]];
        for (scheduler, all_take, one_drained, others_help) in [
            ("sh", [2u8, 1, 2, 2, 3, 3], [2, 0, 2, 2, 3, 3], [2, 3, 2, 2, 3, 3]),
            ("mh", [1, 3, 1, 2, 3, 1], [0, 3, 0, 2, 3, 0], [3, 3, 2, 2, 3, 3]),
        ] {
            let mut table = table(scheduler, false, &[2, 1, 2]);
            assert_eq!(servers_of(&table, &clients), all_take, "{scheduler}");
            table.servers[0].weight = 0;
            assert_eq!(servers_of(&table, &clients), one_drained, "{scheduler}");
            table.fallback = true;
            assert_eq!(servers_of(&table, &clients), others_help, "{scheduler}");
        }
    }
}
