//! Which share of its clients a service with sh, dh or mh sends to another server after a plan than before it.
//!
//! These schedulers find the server of a client in a table that the kernel builds anew whenever a server comes, goes or gets
//! another weight, so that a change of one server moves clients of others. The tables before and after are computed here and
//! compared slot by slot. Clients are taken as spread evenly over the slots: nobody knows the addresses that will come.
//! This module never guesses: where the table is not known ([`moves`]), nothing is said.

mod hash;
mod table;

use std::collections::BTreeMap;
use std::fmt;

use super::Phase;
use crate::state::effects::destinations;
use crate::state::{Change, DestinationId, DestinationKey, Key, Observed, Order, Resource, Service, ServiceKey, order_matters};

use table::Outcome;
pub use table::{Seat, Table};

/// A share of all clients, in hundredths of a percent; never 0 where there is one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// 10,000 hundredths of a percent.
    pub const ALL: Share = Share(10_000);

    fn of(part: f64) -> Share {
        // Sums of the same parts in another order differ in their last digits.
        const NOTHING: f64 = 1e-9;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10,000")]
        Share(if part < NOTHING { 0 } else { (part * 1e4).round().clamp(1.0, 1e4) as u16 })
    }

    /// Percent, from 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Whether it is of nobody.
    pub fn is_nobody(self) -> bool {
        self == Share::default()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, (self.0 + 5) / 10) {
            (1..5, _) => f.write_str("less than 0.1 %"),
            (9_950..10_000, 1000) => f.write_str("more than 99.9 %"),
            (_, tenths) if tenths % 10 == 0 => write!(f, "{} %", tenths / 10),
            (_, tenths) => write!(f, "{}.{} %", tenths / 10, tenths % 10),
        }
    }
}

/// What becomes of the clients of a service: those that no connection and no persistence holds, at their next connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// They had a server and get another one.
    pub another: Share,
    /// They had a server, and none takes them any more.
    pub refused: Share,
    /// They had none and get one.
    pub served: Share,
}

impl Moves {
    /// Whether every client goes where it went.
    pub fn is_nothing(&self) -> bool {
        *self == Moves::default()
    }
}

/// What moves in one service, and what belongs to the sentence about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfService {
    /// what moves
    pub moves: Moves,
    /// of what the table finds a server
    pub asked: Asked,
    /// when it moves
    pub when: When,
    /// How many clients mh would send to another server; only where sh sends more.
    pub with_mh: Option<Share>,
}

/// Of what a table finds the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// the client's address
    Client,
    /// the client's address and port
    ClientAndPort,
    /// The address that the client asks for, with dh: one for all clients where the service has one VIP.
    Vip,
    /// The same where the service is a firewall mark and may have many.
    Vips,
}

/// When clients move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With their next connection: those that are there stay where they are.
    NextConnection,
    /// With their next packet, since each is scheduled by itself.
    NextPacket,
    /// When no persistence template holds them any more.
    AfterPersistence,
}

impl fmt::Display for OfService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OfService { moves: Moves { another, refused, served }, asked, when, with_mh } = self;
        let whom = match asked {
            Asked::Client | Asked::Vip => "clients",
            Asked::ClientAndPort => "new connections",
            Asked::Vips => "addresses",
        };
        let when = match (when, asked) {
            (When::AfterPersistence, _) => " once no persistence holds them",
            (When::NextPacket, _) => " at once",
            (When::NextConnection, Asked::Client | Asked::Vip) => " with their next connection",
            (When::NextConnection, Asked::ClientAndPort | Asked::Vips) => "",
        };
        let fates =
            [(another, "go to another server"), (refused, "find no server"), (served, "find a server where they found none")];
        for (at, (share, fate)) in fates.into_iter().filter(|(share, _)| !share.is_nobody()).enumerate() {
            match (at, *share) {
                (0, Share::ALL) => write!(f, "all {whom} of the service {fate}{when}"),
                (0, share) => write!(f, "{share} of the service's {whom} {fate}{when}"),
                (_, share) => write!(f, ", {share} {fate}"),
            }?;
        }
        match (asked, with_mh) {
            (Asked::Vip, _) => f.write_str(": dh goes by the VIP, which has one server at a time"),
            (_, Some(share)) => write!(f, " ({share} with mh)"),
            (_, None) => Ok(()),
        }
    }
}

/// What moves in each service of a plan; services where nothing does, or where nobody can know, are left out.
///
/// Not known is a service whose order was not seen, one with mh and a server at weight 0 before (it keeps the slots of its last
/// weight, which the kernel does not tell), and one whose scheduler becomes another one or is asked in another way: then all
/// clients are placed anew, as the change of the scheduler says.
pub(super) fn moves(phases: &[Phase], observed: &Observed) -> BTreeMap<ServiceKey, OfService> {
    let mut steps: BTreeMap<ServiceKey, Vec<&Change>> = BTreeMap::new();
    let mut services: BTreeMap<ServiceKey, &Change> = BTreeMap::new();
    for step in phases.iter().flat_map(|phase| &phase.steps) {
        match step.key {
            Key::Destination(DestinationKey { service, .. }) => steps.entry(service).or_default().push(step),
            Key::Service(service) => _ = services.insert(service, step),
            _ => {}
        }
    }
    for service in services.keys() {
        steps.entry(*service).or_default();
    }
    let of_service = |(key, steps): (ServiceKey, Vec<&Change>)| {
        let Some(Resource::Service(before)) = observed.state.objects.get(&Key::Service(key)) else { return None };
        let after = match services.get(&key).map(|step| &step.after) {
            None => before,
            Some(Some(Resource::Service(after))) => after,
            Some(_) => return None,
        };
        of_service(key, before, after, &steps, observed).map(|moves| (key, moves))
    };
    steps.into_iter().filter_map(of_service).collect()
}

fn of_service(key: ServiceKey, before: &Service, after: &Service, steps: &[&Change], observed: &Observed) -> Option<OfService> {
    if !order_matters(&before.scheduler) || before.scheduler != after.scheduler {
        return None;
    }
    let live = seats(key, observed).filter(|live| !live.is_empty())?;
    let mut planned = live.clone();
    for step in steps {
        carry_out(step, &mut planned);
    }
    let between = |before: &Service, after: &Service| {
        let is_known = |seat: &Seat| before.scheduler != "mh" || seat.weight > 0;
        if !live.iter().all(is_known) {
            return None;
        }
        let table = |service: &Service, seats: &[Seat]| Table::new(service, key.family(), newest_first(seats));
        compare(&table(before, &live)?, &table(after, &planned)?, key)
    };
    let moves = between(before, after).filter(|moves| !moves.is_nothing())?;
    let asked = match (&*before.scheduler, before.flags.sched2, key) {
        ("dh", _, ServiceKey::Tuple { .. }) => Asked::Vip,
        ("dh", _, ServiceKey::Mark { .. }) => Asked::Vips,
        (_, true, _) => Asked::ClientAndPort,
        (_, false, _) => Asked::Client,
    };
    let with_mh = (before.scheduler == "sh")
        .then_some(())
        .and_then(|()| between(&with_mh(before), &with_mh(after)))
        .filter(|other| other.another < moves.another && other.refused <= moves.refused);
    let when = match (before.persistence, after.persistence) {
        (Some(_), Some(_)) => When::AfterPersistence,
        _ if after.flags.one_packet => When::NextPacket,
        _ => When::NextConnection,
    };
    Some(OfService { moves, asked, when, with_mh: with_mh.map(|moves| moves.another) })
}

fn with_mh(service: &Service) -> Service {
    Service { scheduler: "mh".to_owned(), ..service.clone() }
}

/// The servers of a service, first added first; `None`: their order is not known.
fn seats(service: ServiceKey, observed: &Observed) -> Option<Vec<Seat>> {
    let Some(Resource::Order(Order { servers })) = observed.state.objects.get(&Key::Order(service)) else { return None };
    let seat = |server: &DestinationId| {
        let Some(Resource::Destination(live)) =
            observed.state.objects.get(&Key::Destination(DestinationKey::new(service, *server)))
        else {
            return None;
        };
        let weight = live.weight.value();
        Some(Seat { server: *server, weight, last_weight: weight })
    };
    let seats: Vec<Seat> = servers.iter().map(seat).collect::<Option<_>>()?;
    (seats.len() == destinations(observed, service).count()).then_some(seats)
}

/// What a step does with the servers: a new one comes last, and an edited one stays where it is.
fn carry_out(step: &Change, seats: &mut Vec<Seat>) {
    let Key::Destination(key) = step.key else { return };
    let server = key.id();
    match (&step.before, &step.after) {
        (_, None) => seats.retain(|seat| seat.server != server),
        (None, Some(Resource::Destination(new))) => {
            let weight = new.weight.value();
            seats.push(Seat { server, weight, last_weight: weight });
        }
        (Some(_), Some(Resource::Destination(edited))) => {
            let weight = edited.weight.value();
            for seat in seats.iter_mut().filter(|seat| seat.server == server) {
                seat.weight = weight;
                seat.last_weight = if weight == 0 { seat.last_weight } else { weight };
            }
        }
        _ => {}
    }
}

/// As the kernel lists them.
fn newest_first(seats: &[Seat]) -> Vec<Seat> {
    seats.iter().rev().copied().collect()
}

/// What moves between two tables of a service; `None`: they are not asked in the same way.
///
/// Where mh looks further for a server, each further slot is as likely as any other one, and the same before and after.
pub fn compare(before: &Table, after: &Table, service: ServiceKey) -> Option<Moves> {
    if !before.is_like(after) {
        return None;
    }
    let vip = match service {
        ServiceKey::Tuple { address, .. } => before.slot_of_vip(address),
        ServiceKey::Mark { .. } => None,
    };
    let slots = vip.map_or(0..before.size(), |slot| slot..slot + 1);
    let (shares_before, shares_after) = (before.shares(), after.shares());
    let mut counted = Counted::default();
    let mut both_go_on = 0.0;
    for slot in slots.clone() {
        match (before.outcome(slot), after.outcome(slot)) {
            (Outcome::Elsewhere, Outcome::Elsewhere) => both_go_on += 1.0,
            (Outcome::Elsewhere, then) => counted.add_each(&shares_before, |first| (first, at_once(then))),
            (first, Outcome::Elsewhere) => counted.add_each(&shares_after, |then| (at_once(first), then)),
            (first, then) => counted.add(at_once(first), at_once(then), 1.0),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 4093")]
    let decided = slots.len() as f64 - both_go_on;
    // Whoever goes on before and after meets what all others met; where all do, there is nobody to be met.
    let share = |count: f64| if decided > 0.0 { Share::of(count / decided) } else { Share::default() };
    Some(Moves { another: share(counted.another), refused: share(counted.refused), served: share(counted.served) })
}

fn at_once(outcome: Outcome) -> Option<DestinationId> {
    match outcome {
        Outcome::Server(server) => Some(server),
        Outcome::Nobody | Outcome::Elsewhere => None,
    }
}

/// Slots whose clients move.
#[derive(Default)]
struct Counted {
    another: f64,
    refused: f64,
    served: f64,
}

impl Counted {
    fn add(&mut self, before: Option<DestinationId>, after: Option<DestinationId>, slots: f64) {
        match (before, after) {
            (Some(before), Some(after)) if before != after => self.another += slots,
            (Some(_), None) => self.refused += slots,
            (None, Some(_)) => self.served += slots,
            _ => {}
        }
    }

    /// Adds one slot whose clients go to servers in these shares; to nobody where there are none.
    fn add_each(
        &mut self,
        shares: &[(DestinationId, f64)],
        pair: impl Fn(Option<DestinationId>) -> (Option<DestinationId>, Option<DestinationId>),
    ) {
        let mut add = |server, share| {
            let (before, after) = pair(server);
            self.add(before, after, share);
        };
        if shares.is_empty() {
            add(None, 1.0);
        }
        for (server, share) in shares {
            add(Some(*server), *share);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Moves, OfService, Seat, Share, Table, compare, moves};
    use crate::plan::testing::{observed, state};
    use crate::plan::{Aim, diff, order};
    use crate::state::{DestinationId, Family, Key, Service, ServiceFlags, ServiceKey};

    const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));

    fn key() -> ServiceKey {
        match "service tcp 10.0.0.100:80".parse() {
            Ok(Key::Service(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    /// The objects of a service with these servers by their last bytes, first added first.
    fn service(scheduler: &str, servers: &[(u8, u32)]) -> Vec<String> {
        let mut objects = vec![format!(r#""service tcp 10.0.0.100:80": {{"kind": "service", {scheduler}}}"#)];
        objects.extend(servers.iter().map(|(host, weight)| {
            format!(
                r#""server tcp 10.0.0.100:80 10.0.0.{host}:80": {{"kind": "destination", "forward": "dr", "weight": {weight}}}"#
            )
        }));
        let order: Vec<String> = servers.iter().map(|(host, _)| format!(r#""10.0.0.{host}:80""#)).collect();
        objects.push(format!(r#""order tcp 10.0.0.100:80": {{"kind": "order", "servers": [{}]}}"#, order.join(", ")));
        objects
    }

    /// What a plan from one to the other says.
    fn said(live: &[String], wanted: &[String]) -> Option<OfService> {
        fn texts(objects: &[String]) -> Vec<&str> {
            objects.iter().map(String::as_str).collect()
        }
        let (live, wanted) = (observed(&texts(live)), state(&texts(wanted)));
        let changes = diff(&Aim::from(&wanted), &live, true);
        moves(&order(&changes, &live), &live).remove(&key())
    }

    const SH: &str = r#""scheduler": "sh""#;
    const MH: &str = r#""scheduler": "mh""#;

    #[test]
    fn a_new_server_takes_its_share_from_all_others_with_mh_and_mixes_them_up_with_sh() {
        let (four, five) = ([(1, 1), (2, 1), (3, 1), (4, 1)], [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
        let sh = said(&service(SH, &four), &service(SH, &five)).expect("clients move");
        let mh = said(&service(MH, &four), &service(MH, &five)).expect("clients move");
        assert!((19.9..22.0).contains(&mh.moves.another.percent()), "{mh:?}");
        assert!(sh.moves.another.percent() > 75.0, "{sh:?}");
        assert_eq!((sh.with_mh, mh.with_mh), (Some(mh.moves.another), None), "sh says what mh would do, with the same servers");
    }

    #[test]
    fn nothing_is_said_where_nothing_moves_and_where_nobody_can_know() {
        let two = service(SH, &[(1, 1), (2, 1)]);
        let more = |scheduler: &str| service(scheduler, &[(1, 1), (2, 1), (3, 1)]);
        assert_eq!(said(&two, &service(SH, &[(1, 7), (2, 7)])).map(|said| said.moves.is_nothing()), Some(false));
        assert_eq!(said(&service(MH, &[(1, 1), (2, 1)]), &service(MH, &[(1, 7), (2, 7)])), None, "mh divides by what is common");
        assert_eq!(said(&two, &more(MH)), None, "the change of the scheduler says it");
        assert_eq!(said(&two, &more(r#""scheduler": "sh", "flags": {"sched2": true}"#)), None, "so does that of the port");
        assert_eq!(said(&two[..3], &more(SH)), None, "the order was not seen");
        assert_eq!(said(&service(MH, &[(1, 1), (2, 0)]), &more(MH)), None, "which slots 2 has is not known");
        assert_eq!(
            said(&service(r#""scheduler": "wrr""#, &[(1, 1)])[..2], &service(r#""scheduler": "wrr""#, &[(1, 2)])[..2]),
            None
        );
        assert_eq!(said(&[], &two), None, "a new service has no clients yet");
        assert_eq!(said(&two, &[]), None, "nor has one that goes");
    }

    #[test]
    fn clients_without_a_server_are_not_counted_among_those_that_move() {
        let drained = said(&service(SH, &[(1, 1), (2, 1)]), &service(SH, &[(1, 1), (2, 0)])).expect("clients move");
        assert_eq!(drained.moves, Moves { refused: Share(5000), ..Moves::default() });
        let back = said(&service(SH, &[(1, 1), (2, 0)]), &service(SH, &[(1, 1), (2, 1)])).expect("clients move");
        assert_eq!(back.moves, Moves { served: Share(5000), ..Moves::default() });
        let all = said(&service(SH, &[(1, 1), (2, 1)]), &service(SH, &[(1, 0), (2, 0)])).expect("clients move");
        assert_eq!(all.moves, Moves { refused: Share::ALL, ..Moves::default() });
    }

    #[test]
    fn when_clients_move_depends_on_what_holds_them() {
        let said = |scheduler: &str| {
            let said = said(&service(scheduler, &[(1, 1), (2, 1)]), &service(scheduler, &[(2, 1), (1, 1)]));
            said.expect("clients move").to_string()
        };
        assert_eq!(said(MH), "0.1 % of the service's clients go to another server with their next connection");
        let persistent = r#""scheduler": "dh", "persistence": {"timeout": 300, "clients": {"ipv4": "255.255.255.255"}}"#;
        assert!(said(persistent).starts_with("all clients of the service go to another server once no persistence holds them: "));
        let one_packet = r#""scheduler": "mh", "flags": {"one_packet": true}"#;
        assert!(said(one_packet).ends_with(" go to another server at once"));
    }

    #[test]
    fn the_order_in_which_servers_were_added_counts() {
        let said = said(&service(SH, &[(1, 1), (2, 1)]), &service(SH, &[(2, 1), (1, 1)])).expect("clients move");
        assert_eq!(said.moves.another, Share::ALL, "each slot changes hands");
    }

    /// The sum that [`compare`] makes of slots against going through clients one by one.
    #[test]
    fn shares_are_those_of_many_clients() {
        let table = |scheduler: &str, fallback, weights: &[(u32, u32)]| {
            let flags = ServiceFlags { sched1: fallback, ..ServiceFlags::default() };
            let service = Service { scheduler: scheduler.to_owned(), flags, persistence: None, engine: None };
            let seats = (1..).zip(weights).map(|(host, (weight, last_weight))| {
                let server = serde_json::from_str(&format!(r#""10.0.0.{host}:80""#)).expect("a server");
                Seat { server, weight: *weight, last_weight: *last_weight }
            });
            Table::new(&service, Family::Ipv4, seats.collect()).expect("a table")
        };
        let tables: [&[(u32, u32)]; 6] = [
            &[(3, 3), (1, 1), (7, 7)],
            &[(3, 3), (0, 1), (7, 7)],
            &[(3, 3), (0, 1), (0, 7)],
            &[(0, 3), (0, 1), (7, 7), (2, 2)],
            &[(0, 3), (0, 1)],
            &[],
        ];
        for (scheduler, fallback) in [("sh", false), ("sh", true), ("mh", false), ("mh", true)] {
            let asked: Vec<(Table, Vec<Option<DestinationId>>)> = tables
                .iter()
                .map(|weights| {
                    let table = table(scheduler, fallback, weights);
                    let client = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a14_0000 + number));
                    let servers = (0..4096).map(|number| table.server(client(number), 0, VIP)).collect();
                    (table, servers)
                })
                .collect();
            for ((first, before), (then, after)) in asked.iter().flat_map(|first| asked.iter().map(move |then| (first, then))) {
                let said = compare(first, then, key()).expect("two tables of one service");
                let mut seen = [0.0; 3];
                for pair in before.iter().zip(after) {
                    match pair {
                        (Some(before), Some(after)) if before != after => seen[0] += 1.0,
                        (Some(_), None) => seen[1] += 1.0,
                        (None, Some(_)) => seen[2] += 1.0,
                        _ => {}
                    }
                }
                for (said, seen) in [said.another, said.refused, said.served].into_iter().zip(seen) {
                    let seen = seen / 40.96;
                    assert!(
                        (said.percent() - seen).abs() < 3.0,
                        "{scheduler} {fallback} {before:?} {after:?}: {said}, not {seen} %"
                    );
                }
            }
        }
    }

    #[test]
    fn a_share_is_shown_with_one_digit_and_is_neither_nothing_nor_all_where_it_is_not() {
        let shown = |part: f64| Share::of(part).to_string();
        assert_eq!([0.0977, 0.25, 1.0, 0.09999].map(shown), ["9.8 %", "25 %", "100 %", "10 %"]);
        assert_eq!(
            [1e-6, 0.0004, 0.0006, 0.9996].map(shown),
            ["less than 0.1 %", "less than 0.1 %", "0.1 %", "more than 99.9 %"]
        );
    }
}
