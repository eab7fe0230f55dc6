//! What a topology must satisfy beyond each token and block: what holds between several things of the file.
//!
//! One small function for each rule. Rules look and report, nothing more; what needs a host's compiled addresses is said by
//! `compile`. They run on what could be decoded, so they say nothing about things that are not there: decoding has.

mod beside;
mod host;
mod kernel;
mod level;
mod listen;
mod mark;
mod persistence;
mod reach;
mod scheduler;
mod server;
mod service;
mod sync;
mod sysctl;
#[cfg(test)]
mod tests;
mod tunnel;
mod vip;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::compose::compose;
use crate::source::{At, FileId, Loaded, Problem, Removed, Severity, Sources, Span, problem};
use crate::state::Family;
use crate::topology::fault::conflict::Conflict;
use crate::topology::fault::doubt::Doubt;
use crate::topology::fault::type_of_variable;
use crate::topology::{Forward, Host, Listen, ListenOn, Role, Server, Service, Topology, Vip, decode};

pub use beside::Beside;
pub use kernel::Kernel;
pub use level::names;

/// What a command line asks beyond the file.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Names of warnings that are not said.
    pub allow: Vec<&'static str>,
    /// Names of warnings that are errors.
    pub deny: Vec<&'static str>,
    /// Whether every warning is an error that the file does not allow.
    pub deny_warnings: bool,
    /// The kernel that must be able to hold it.
    pub kernel: Option<Kernel>,
}

/// Every mistake and doubt, sorted by place.
fn check(topology: &Topology, kernel: Option<Kernel>) -> Vec<Problem> {
    let view = View::new(topology, kernel);
    let mut report = Report::default();
    for rule in RULES {
        rule(&view, &mut report);
    }
    problem::sort(&mut report.0);
    report.0
}

/// What was read, as far as it was understood, and every problem of every step: the files' and the texts', decoding's, the
/// rules'. A topology beside an error is for nobody to compile.
pub fn examine(loaded: Loaded) -> (Sources, Option<Topology>, Vec<Problem>) {
    examine_as(loaded, &Asked::default())
}

/// The same, as a command line asks for.
pub fn examine_as(loaded: Loaded, asked: &Asked) -> (Sources, Option<Topology>, Vec<Problem>) {
    let mut loaded = loaded;
    compose(&mut loaded);
    let Loaded { sources, tree, mut problems, given: _ } = loaded;
    let torn = problems.iter().any(|problem| problem.severity == Severity::Error);
    if sources.files().is_empty() || (torn && tree.nodes.is_empty()) {
        return (sources, None, problems);
    }
    let removed = tree.removed.clone();
    let (topology, mut found) = decode(tree);
    // In what could not be understood there may be what seems to be missing.
    let broken = torn || found.iter().any(|problem| problem.severity == Severity::Error);
    found.retain(|problem| !torn || !FROM_ABSENCE.contains(&problem.code));
    if let Some(topology) = &topology {
        found
            .extend(check(topology, asked.kernel).into_iter().filter(|problem| !broken || !FROM_ABSENCE.contains(&problem.code)));
    }
    // Where a variable has no value, whoever takes it in has none.
    let valueless = problems.iter().any(|problem| matches!(problem.code, "no-value" | "variable-value" | "too-large"));
    found.retain(|problem| !valueless || problem.code != "reserved-text");
    for problem in &mut found {
        of_variable(problem, &sources);
    }
    sources.settle(&mut found);
    for problem in &mut found {
        taken_away(problem, &removed, &sources);
    }
    // A token of which the text's reader has said something holds no longer what was written.
    let said: BTreeSet<(FileId, u32)> = tokens(&problems).map(|span| (span.file, span.end)).collect();
    let spoilt = |span: Span| {
        said.range((span.file, span.start + 1)..).next().is_some_and(|(file, end)| *file == span.file && *end <= span.end)
    };
    found.retain(|problem| !problem.labels.first().is_some_and(|label| spoilt(label.span)));
    problems.extend(found);
    if let Some(topology) = &topology {
        level::settle(&mut problems, topology, asked, !broken);
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error && problem.code != OF_A_SOUND_FILE) {
        problems.retain(|problem| problem.code != OF_A_SOUND_FILE);
    }
    problem::sort(&mut problems);
    (sources, topology, problems)
}

/// What is said because something is not there.
const FROM_ABSENCE: &[&str] = &[
    "unknown-name",
    "no-topology",
    "missing",
    "missing-value",
    "missing-name",
    "no-director",
    "no-servers",
    "empty-pool",
    "all-quiesced",
    OF_A_SOUND_FILE,
];

/// A doubt about the whole that helps nobody beside an error.
const OF_A_SOUND_FILE: &str = "no-real-servers";

/// Says of a value of another type what can be done about it where the value is a variable's: not at the token.
fn of_variable(problem: &mut Problem, sources: &Sources) {
    let Some(label) = problem.labels.first().filter(|label| !sources.is_literal(label.span)) else { return };
    if let Some(edit) = problem.edit.as_deref().filter(|edit| edit.certain && problem.code == "wrong-type") {
        let token = sources.text(label.span).trim_matches('"');
        let is_whole = token.starts_with("${") && token.find('}') == Some(token.len().saturating_sub(1));
        problem.help = Some(type_of_variable(edit.text.parse::<i64>().is_ok(), is_whole));
    }
}

/// Shows of what is not there where an overlay has taken it away.
fn taken_away(problem: &mut Problem, removed: &[Removed], sources: &Sources) {
    let words: &[&str] = match problem.code {
        "no-servers" => &["pool", "server"],
        "empty-pool" => &["server"],
        "no-director" => &["director"],
        _ => return,
    };
    let blocks: Vec<Span> = problem.labels.iter().map(|label| label.span).collect();
    let is_of = |from: Option<Span>| from.is_none_or(|from| blocks.contains(&sources.place(from)));
    let taken = removed.iter().filter(|removed| words.contains(&&*removed.word) && is_of(removed.from));
    problem.labels.extend(taken.take(MOST_SHOWN).map(Removed::label));
}

/// So many places of one kind are shown at most.
const MOST_SHOWN: usize = 3;

/// The culprits.
fn tokens(problems: &[Problem]) -> impl Iterator<Item = Span> {
    problems.iter().filter_map(|problem| problem.labels.first()).map(|label| label.span)
}

type Rule = fn(&View, &mut Report);

const RULES: &[Rule] = &[
    host::masquerade_is_a_directors,
    host::tunings_of_one_host_agree,
    host::named_interfaces_are_known,
    host::gateways_are_on_the_wire,
    vip::somebody_carries_it,
    vip::holder_carries_it,
    vip::one_host_answers_for_it,
    vip::no_other_host_has_it,
    vip::an_address_is_one_vips,
    vip::somebody_on_the_wire_has_it,
    listen::server_port_is_nats,
    listen::every_port_needs_persistence,
    listen::one_packet_is_udps,
    listen::the_vip_has_the_family,
    listen::a_mark_belongs_to_one_service,
    listen::a_kernel_service_is_listened_once,
    mark::no_mark_takes_a_listens_packets,
    mark::a_packet_gets_one_mark,
    scheduler::hashes_pass_over_quiesced_servers,
    scheduler::hash_tables_have_room,
    scheduler::destinations_differ_where_they_decide,
    scheduler::overflow_counts_connections_that_end,
    scheduler::overflow_has_weights,
    persistence::ftp_finds_its_data_connections,
    persistence::drained_servers_get_no_persistent_clients,
    service::scheduler_has_its_options,
    service::sip_listens_on_udp,
    service::return_path_leads_back,
    server::some_are_there,
    server::thresholds_ascend,
    server::a_port_of_its_own_is_nats,
    server::each_is_there_once,
    server::a_director_serves_what_no_other_carries,
    server::sync_daemons_need_one_family,
    reach::no_server_is_the_vip,
    reach::a_director_has_more_than_the_vip,
    reach::dr_servers_are_on_the_wire,
    reach::replies_reach_their_director,
    reach::replies_of_dr_and_tun_pass_their_director_by,
    reach::servers_are_hosts_of_the_file,
    reach::every_server_has_a_family_that_is_listened_on,
    reach::weights_are_for_every_tool,
    reach::outer_headers_have_room,
    reach::default_routes_lead_back,
    sysctl::values_of_ipvs_are_taken,
    sysctl::each_role_has_its_own,
    sysctl::reused_ports_are_rescheduled,
    sync::one_daemon_of_each_role,
    sync::daemons_hear_each_other,
    sync::daemons_share_a_subnet,
    tunnel::fields_fit_the_kind,
    tunnel::ends_fit_the_kind,
    tunnel::the_kernel_tells_them_apart,
    kernel::it_has_the_schedulers,
    kernel::it_has_the_encapsulations,
    kernel::it_has_the_sysctls,
    kernel::it_has_the_fields_of_sync_daemons,
    kernel::it_has_the_fields_of_services,
];

/// What the rules have found.
#[derive(Default)]
struct Report(Vec<Problem>);

impl Report {
    fn add(&mut self, conflict: &Conflict, span: Span) {
        self.0.push(conflict.at(span));
    }

    fn doubt(&mut self, doubt: &Doubt, span: Span) {
        self.0.push(doubt.at(span));
    }
}

/// A topology with what several rules look up.
struct View<'t> {
    topology: &'t Topology,
    directors: Vec<&'t Host>,
    carriers: HashMap<&'t str, Vec<&'t Host>>,
    kernel: Option<Kernel>,
}

impl<'t> View<'t> {
    fn new(topology: &'t Topology, kernel: Option<Kernel>) -> View<'t> {
        let directors: Vec<&Host> = topology.hosts.values().filter(|host| host.role == Role::Director).collect();
        let carriers = topology.vips.values().map(|vip| {
            let named = || vip.directors.iter().filter_map(|name| topology.hosts.get(&name.value)).collect();
            (vip.name.value.as_str(), if vip.directors.is_empty() { directors.clone() } else { named() })
        });
        let carriers = carriers.collect();
        View { topology, directors, carriers, kernel }
    }

    /// The directors that carry a VIP's services.
    fn carriers(&self, vip: &Vip) -> &[&'t Host] {
        self.carriers.get(vip.name.value.as_str()).map_or(&[], Vec::as_slice)
    }

    /// The VIPs that a listen takes packets for, with the tokens that name them.
    fn vips(&self, listen: &'t Listen) -> Vec<(&'t Vip, Span)> {
        let names: Vec<&At<String>> = match &listen.what {
            ListenOn::Vip { vip, .. } => vec![vip],
            ListenOn::Mark { matches, vip, .. } => matches.iter().map(|one| &one.vip).chain(vip).collect(),
        };
        names.into_iter().filter_map(|name| Some((self.topology.vips.get(&name.value)?, place(name)))).collect()
    }

    /// The servers of a service: its pools' and its own.
    fn servers(&self, service: &'t Service) -> impl Iterator<Item = &'t Server> {
        let pools = service.pools.iter().filter_map(|name| self.topology.pools.get(&name.value));
        pools.flat_map(|pool| &pool.servers).chain(&service.servers)
    }

    fn services(&self) -> impl Iterator<Item = &'t Service> {
        self.topology.services.values()
    }

    /// Every listen with its service.
    fn listens(&self) -> impl Iterator<Item = (&'t Service, &'t Listen)> {
        self.services().flat_map(|service| service.listens.iter().map(move |listen| (service, listen)))
    }

    /// Every server of the file once.
    fn all_servers(&self) -> impl Iterator<Item = &'t Server> {
        let pools = self.topology.pools.values().flat_map(|pool| &pool.servers);
        pools.chain(self.services().flat_map(|service| &service.servers))
    }
}

/// The token of a value. What nobody wrote has none: then the beginning of the root file.
fn place<T>(at: &At<T>) -> Span {
    at.origin.span().unwrap_or(Span { file: FileId(0), start: 0, end: 0 })
}

/// How a server of a service gets its packets.
fn forward<'t>(service: &'t Service, server: &'t Server) -> &'t At<Forward> {
    server.forward.as_ref().unwrap_or(&service.forward)
}

/// The families of the addresses that a server may have; none where the file does not know.
fn own_families(view: &View, server: &Server) -> Vec<Family> {
    if let Some(address) = &server.address {
        return vec![Family::of(address.value)];
    }
    let host = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value));
    let interfaces = host.into_iter().flat_map(|host| host.interfaces.values());
    interfaces.flat_map(|interface| &interface.addresses).map(|network| Family::of(network.value.addr())).collect()
}

/// Whether a server gets no new connection: by its weight, or because its host is quiesced.
fn quiesced(view: &View, server: &Server) -> bool {
    let host = server.host.as_ref().and_then(|name| view.topology.hosts.get(&name.value));
    server.weight.value == 0 || host.is_some_and(|host| host.quiesce.value)
}

/// Whether an address lies in a subnet of one of the host's interfaces.
fn in_a_subnet(host: &Host, address: IpAddr) -> bool {
    let mut networks = host.interfaces.values().flat_map(|interface| &interface.addresses);
    networks.any(|network| network.value.contains(&address))
}

/// The families of a listen: those of its VIPs, or the one it says.
fn families(view: &View, listen: &Listen) -> Vec<Family> {
    [Family::Ipv4, Family::Ipv6]
        .into_iter()
        .filter(|family| listen.family.as_ref().is_none_or(|only| only.value == *family))
        .filter(|family| {
            view.vips(listen).iter().any(|(vip, _)| vip.addresses.iter().any(|address| Family::of(address.value) == *family))
        })
        .collect()
}

/// Notes `span` under a key; the span that was there already, where there was one.
fn first<K: Ord>(seen: &mut BTreeMap<K, Span>, key: K, span: Span) -> Option<Span> {
    match seen.entry(key) {
        std::collections::btree_map::Entry::Occupied(entry) => Some(*entry.get()),
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(span);
            None
        }
    }
}
