//! A plan as a person reads it.
//!
//! Every line names an object in the user's words, then in the kernel's, then says where it comes from; below it what
//! changes, and what that does to live connections. Colour says nothing that the text does not say.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};

use super::{field_span, kind_and_identity, line, place, printable, what};
use crate::plan::{Impact, Plan, Planned, Summary};
use crate::provenance::{LeftOut, Provenance};
use crate::source::Sources;
use crate::state::{
    Action, Address, Destination, FieldChange, FouPort, Key, Link, LinkKind, Resource, Service, ServiceKey, SyncDaemon, Timeouts,
    Tunnel, duration,
};

/// How a text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With colours of a terminal.
    pub colour: bool,
    /// Columns; longer lines are broken where that is possible.
    pub width: usize,
    /// Every change, however many are alike.
    pub verbose: bool,
}

/// So many changes of one kind are shown; the others are counted.
const SHOWN: usize = 10;

/// Longest cells that still push the column to their right.
const WIDEST: [usize; 2] = [34, 58];

/// The whole plan.
pub fn plan(plan: &Plan, sources: &Sources, style: Style) -> String {
    let mut out = Out { text: String::new(), style };
    let target = &plan.target;
    let host = printable(&target.host);
    let release = if plan.kernel.release.is_empty() { "of unknown release".into() } else { printable(&plan.kernel.release) };
    out.line(0, &out.painted(BOLD, &format!("{host} · {} · kernel {release}", printable(&target.role))));
    out.text.push('\n');
    if !plan.is_empty() {
        changes(&mut out, plan, sources);
        out.text.push('\n');
    }
    out.line(0, &ending(plan, style));
    for note in &plan.notes {
        out.wrapped(0, &note.to_string());
    }
    if let Some(sentence) = not_carried_out(plan, sources, style.verbose) {
        out.wrapped(0, &sentence);
    }
    out.text
}

/// What becomes of a host between two files: a plan without a kernel. `notes`: what is to be known beside the changes.
pub fn difference(plan: &Plan, notes: &[String], sources: &Sources, style: Style) -> String {
    let mut out = Out { text: String::new(), style };
    let (host, role) = (printable(&plan.target.host), printable(&plan.target.role));
    out.line(0, &out.painted(BOLD, &format!("{host} · {role}")));
    out.text.push('\n');
    if !plan.is_empty() {
        changes(&mut out, plan, sources);
        out.text.push('\n');
        out.line(0, &format!("{}.", counts(&plan.summary)));
    }
    for note in notes {
        out.wrapped(0, note);
    }
    out.text
}

/// How much a plan is, in a line.
pub(super) fn ending(plan: &Plan, style: Style) -> String {
    if plan.is_empty() {
        let (host, file) = (printable(&plan.target.host), printable(&plan.target.file));
        return format!("Nothing to do: {host} holds {}.", held(&file));
    }
    let says = |impact| plan.changes.iter().filter(|planned| planned.impacts.contains(&impact)).count();
    let gone = Gone { vips: says(Impact::VipGone), ways_back: says(Impact::WayBackGone) };
    summary(&plan.summary, &gone, &Out { text: String::new(), style })
}

/// What the topology says and this version does not do.
pub(super) fn not_carried_out(plan: &Plan, sources: &Sources, verbose: bool) -> Option<String> {
    (!plan.left_out.is_empty()).then(|| left_out(&plan.left_out, sources, verbose))
}

/// The changes that people read, in their order: each service followed by its servers.
pub(super) fn in_order(plan: &Plan) -> impl Iterator<Item = &Planned> {
    blocks(plan).into_iter().flatten()
}

/// How to carry out a plan that was only shown, in the namespace for which it was made. `composed`: the
/// options by which the topology was composed.
pub fn how_to_apply(plan: &Plan, composed: &[String], netns: Option<&str>, digest: &str) -> String {
    let mut command = format!("lvsform apply {}", argument(&plan.target.file));
    for word in composed {
        _ = write!(command, " {}", argument(word));
    }
    _ = write!(command, " --host {}", argument(&plan.target.host));
    if let Some(netns) = netns {
        _ = write!(command, " --netns {}", argument(netns));
    }
    _ = write!(command, " --expect {digest}");
    format!("Apply exactly this:  {}\n", printable(&command))
}

/// The same of a plan that was saved.
pub fn how_to_apply_saved(path: &str, netns: Option<&str>) -> String {
    let mut command = format!("lvsform apply {}", argument(path));
    if let Some(netns) = netns {
        _ = write!(command, " --netns {}", argument(netns));
    }
    format!("Apply exactly this:  {}\n", printable(&command))
}

/// One sentence, however much it is.
fn left_out(left_out: &[LeftOut], sources: &Sources, verbose: bool) -> String {
    let shown = if verbose { left_out.len() } else { SHOWN };
    let mut said: Vec<String> = left_out
        .iter()
        .take(shown)
        .map(|LeftOut { text, span }| match span {
            Some(span) => format!("{text} ({})", line(*span, sources)),
            None => text.clone(),
        })
        .collect();
    if left_out.len() > shown {
        said.push(format!("and {} more (-v shows them)", left_out.len() - shown));
    }
    format!("Not carried out by this version: {}.", said.join("; "))
}

/// What is said of a plan that was carried out.
pub fn applied(plan: &Plan) -> String {
    let (host, file) = (printable(&plan.target.host), printable(&plan.target.file));
    let Summary { add, change, replace, restore, delete, connections_cut: _ } = plan.summary;
    let counts = [(add, "added"), (change, "changed"), (replace, "replaced"), (restore, "put back"), (delete, "deleted")];
    let done: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    format!("Applied: {}. The kernel was read back: {host} holds {}.\n", done.join(", "), held(&file))
}

/// What a host holds: what a file says, or, where there is none, what the plan said.
fn held(file: &str) -> String {
    if file.is_empty() { "what the plan says".to_owned() } else { format!("what {file} says") }
}

/// A word of a command line that can be pasted into a shell.
fn argument(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What connections need and is taken away: they end with it, and nobody counts those of a real server.
struct Gone {
    vips: usize,
    ways_back: usize,
}

fn summary(summary: &Summary, gone: &Gone, out: &Out) -> String {
    let cut = match (summary.connections_cut, gone.vips, gone.ways_back) {
        (0, 0, 0) => "none".to_owned(),
        (0, 0, _) => "none that IPVS counts, and those whose replies lose their way back".to_owned(),
        (0, 1, _) => "none that IPVS counts, and those to the VIP that goes".to_owned(),
        (0, vips, _) => format!("none that IPVS counts, and those to the {vips} VIPs that go"),
        (cut, ..) => out.painted(RED, &cut.to_string()),
    };
    format!("{}. Established connections cut: {cut}.", counts(summary))
}

/// `1 to add, 2 to change, 0 to delete`
pub(super) fn counts(summary: &Summary) -> String {
    let Summary { add, change, replace, restore, delete, connections_cut: _ } = *summary;
    let mut words = format!("{add} to add, {change} to change, ");
    for (count, word) in [(replace, "replace"), (restore, "put back")] {
        if count > 0 {
            _ = write!(words, "{count} to {word}, ");
        }
    }
    format!("{words}{delete} to delete")
}

/// What is written, and how.
struct Out {
    text: String,
    style: Style,
}

const BOLD: Ansi = Ansi::new().bold();
const DIM: Ansi = Ansi::new().dimmed();
const RED: Ansi = AnsiColor::Red.on_default();

impl Out {
    fn painted(&self, ansi: Ansi, text: &str) -> String {
        if self.style.colour && !text.is_empty() { format!("{ansi}{text}{ansi:#}") } else { text.to_owned() }
    }

    fn line(&mut self, indent: usize, text: &str) {
        _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    /// A sentence, broken between words.
    fn wrapped(&mut self, indent: usize, text: &str) {
        let text = printable(text);
        let mut row = String::new();
        let mut hanging = indent;
        for word in text.split(' ') {
            if !row.is_empty() && hanging + row.chars().count() + 1 + word.chars().count() > self.style.width {
                self.line(hanging, &row);
                row.clear();
                hanging = indent + 2;
            }
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
        self.line(hanging, &row);
    }
}

/// Changes that belong together: one object, or a service with its servers.
type Block<'a> = Vec<&'a Planned>;

fn changes(out: &mut Out, plan: &Plan, sources: &Sources) {
    let blocks = blocks(plan);
    let mut shown: Vec<Part> = Vec::new();
    let mut alike = 0;
    let mut hidden: Vec<&Block> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let follows = at.checked_sub(1).and_then(|before| blocks.get(before)).is_some_and(|before| look(before) == look(block));
        if !follows {
            more_blocks(&mut shown, &mut hidden);
            alike = 0;
        }
        alike += 1;
        if out.style.verbose || alike <= SHOWN {
            parts(&mut shown, block, plan, out.style);
        } else {
            hidden.push(block);
        }
    }
    more_blocks(&mut shown, &mut hidden);
    write_parts(out, &shown, sources);
}

/// The objects of a plan in the order in which people read: each service followed by its servers.
fn blocks(plan: &Plan) -> Vec<Block<'_>> {
    let mut before: Vec<Block> = Vec::new();
    let mut services: BTreeMap<ServiceKey, Block> = BTreeMap::new();
    let mut after: Vec<Block> = Vec::new();
    for planned in plan.changes.iter().filter(|planned| !planned.incidental) {
        match &planned.change.key {
            Key::Service(service) => services.entry(*service).or_default().insert(0, planned),
            Key::Destination(server) => services.entry(server.service).or_default().push(planned),
            Key::Order(service) => {
                // Below the line of the service, where there is one.
                let block = services.entry(*service).or_default();
                let at = block.iter().take_while(|planned| matches!(planned.change.key, Key::Service(_))).count();
                block.insert(at, planned);
            }
            Key::Sync(_) => after.push(vec![planned]),
            _ => before.push(vec![planned]),
        }
    }
    before.into_iter().chain(services.into_values()).chain(after).collect()
}

/// What makes two blocks alike.
fn look(block: &Block) -> Option<(String, Action)> {
    block.first().map(|planned| (kind_and_identity(&planned.change.key).0, planned.action))
}

enum Part<'a> {
    /// One change.
    Change(&'a Planned),
    /// The service that stays as it is, above its servers that change.
    Service(&'a Key, &'a Provenance),
    /// What is not shown.
    More(String),
}

fn parts<'a>(shown: &mut Vec<Part<'a>>, block: &Block<'a>, plan: &'a Plan, style: Style) {
    let service = block.first().and_then(|planned| match planned.change.key {
        Key::Destination(server) => plan.unchanged.get_key_value(&Key::Service(server.service)),
        Key::Order(service) => plan.unchanged.get_key_value(&Key::Service(service)),
        _ => None,
    });
    shown.extend(service.map(|(key, provenance)| Part::Service(key, provenance)));
    let mut rest = block.as_slice();
    while let Some(first) = rest.first() {
        let alike = rest.iter().take_while(|planned| is_server(planned) && planned.action == first.action).count().max(1);
        let (group, others) = rest.split_at(alike);
        let count = if style.verbose || alike <= SHOWN + 1 { alike } else { SHOWN };
        let (visible, hidden) = group.split_at(count);
        shown.extend(visible.iter().map(|planned| Part::Change(planned)));
        if !hidden.is_empty() {
            shown.push(Part::More(format!("… and more servers: {}", todo(hidden))));
        }
        rest = others;
    }
}

fn is_server(planned: &Planned) -> bool {
    matches!(planned.change.key, Key::Destination(_))
}

fn more_blocks<'a>(shown: &mut Vec<Part<'a>>, hidden: &mut Vec<&Block<'a>>) {
    if let Some((kind, _)) = hidden.first().and_then(|block| look(block)) {
        let all: Vec<&Planned> = hidden.iter().flat_map(|block| block.iter().copied()).collect();
        let plural = match kind.as_str() {
            "service" | "server" | "order" => "services",
            "address" => "addresses",
            "vip" => "VIPs",
            "sysctl" => "sysctls",
            "link" => "links",
            "module" => "modules",
            _ => "objects",
        };
        shown.push(Part::More(format!("… and {} more {plural}: {}", hidden.len(), todo(&all))));
    }
    hidden.clear();
}

/// `190 to add, 12 connections cut`
fn todo(hidden: &[&Planned]) -> String {
    let mut words: Vec<String> = Vec::new();
    for (action, word) in [
        (Action::Add, "to add"),
        (Action::Change, "to change"),
        (Action::Replace, "to replace"),
        (Action::Restore, "to put back"),
        (Action::Delete, "to delete"),
    ] {
        let count = hidden.iter().filter(|planned| planned.action == action).count();
        if count > 0 {
            words.push(format!("{count} {word}"));
        }
    }
    let cut: u64 = hidden.iter().flat_map(|planned| &planned.impacts).map(Impact::cut).sum();
    if cut > 0 {
        words.push(format!("{cut} connections cut"));
    }
    words.join(", ")
}

/// The three cells of a change's line.
struct Row {
    what: String,
    identity: String,
    place: String,
}

fn write_parts(out: &mut Out, parts: &[Part], sources: &Sources) {
    let rows: Vec<Option<Row>> = parts
        .iter()
        .map(|part| match part {
            Part::Change(planned) => Some(row(planned, sources)),
            Part::Service(key, provenance) => Some(Row {
                what: what(key, Some(provenance)),
                identity: printable(&kind_and_identity(key).1).into_owned(),
                place: printable(&place(Some(provenance), sources)).into_owned(),
            }),
            Part::More(_) => None,
        })
        .collect();
    let widest = |cell: fn(&Row) -> &str, cap| {
        let lengths = rows.iter().flatten().map(|row| cell(row).chars().count());
        lengths.filter(|length| *length <= cap).max().unwrap_or_default()
    };
    let [what_width, identity_width] = [widest(|row| &row.what, WIDEST[0]), widest(|row| &row.identity, WIDEST[1])];
    let widths = Widths { what: what_width, identity: identity_width };
    for (part, row) in parts.iter().zip(&rows) {
        if let Some(row) = row {
            let (symbol, ansi) = match part {
                Part::Change(planned) => symbol(planned.action),
                _ => (" ", Ansi::new()),
            };
            let symbol = out.painted(ansi, symbol);
            write_row(out, &symbol, row, widths);
        }
        match part {
            Part::Change(planned) => details(out, planned, what_width, sources),
            Part::More(text) => out.line(4, text),
            Part::Service(..) => {}
        }
    }
}

/// The width of the cells of all rows.
#[derive(Clone, Copy)]
struct Widths {
    what: usize,
    identity: usize,
}

/// One row; where it is longer than the line, identity and place go on below the identity, broken between words.
fn write_row(out: &mut Out, symbol: &str, row: &Row, widths: Widths) {
    let Row { what, identity, place } = row;
    let begin = 4 + what.chars().count().max(widths.what) + 2;
    let end = begin + identity.chars().count().max(widths.identity) + 2 + place.chars().count();
    let first = format!("  {symbol} {what:width$}  ", width = widths.what);
    if end <= out.style.width {
        let place = out.painted(DIM, place);
        out.line(0, format!("{first}{identity:width$}  {place}", width = widths.identity).trim_end());
        return;
    }
    let mut lines: Vec<String> = Vec::new();
    for word in identity.split(' ') {
        match lines.last_mut() {
            Some(line) if begin + line.chars().count() + 1 + word.chars().count() <= out.style.width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let place_shown = out.painted(DIM, place);
    match lines.last_mut() {
        Some(line) if begin + line.chars().count() + 2 + place.chars().count() <= out.style.width => {
            line.push_str("  ");
            line.push_str(&place_shown);
        }
        _ => lines.push(place_shown),
    }
    let mut lines = lines.iter();
    out.line(0, format!("{first}{}", lines.next().map_or("", String::as_str)).trim_end());
    for line in lines {
        out.line(begin, line);
    }
}

fn symbol(action: Action) -> (&'static str, Ansi) {
    match action {
        Action::Add => ("+", AnsiColor::Green.on_default()),
        Action::Change => ("~", AnsiColor::Yellow.on_default()),
        Action::Replace | Action::Restore => ("±", AnsiColor::Magenta.on_default()),
        Action::Delete => ("-", RED),
    }
}

fn row(planned: &Planned, sources: &Sources) -> Row {
    Row {
        what: what(&planned.change.key, planned.provenance.as_ref()),
        identity: identity(planned),
        place: printable(&place(planned.provenance.as_ref(), sources)).into_owned(),
    }
}

/// The object in the kernel's words, with what is to be made of it.
pub(super) fn identity(planned: &Planned) -> String {
    let key = &planned.change.key;
    let mut identity = match key {
        Key::Destination(server) => server.id().to_string(), // the service stands above
        _ => kind_and_identity(key).1,
    };
    let value = match (&planned.change.before, &planned.change.after) {
        (None, Some(after)) => describe(after),
        (Some(Resource::Sysctl(before)), Some(Resource::Sysctl(after))) if before != after => {
            format!("{} → {}", before.value, after.value)
        }
        (Some(_), Some(after)) if planned.action == Action::Restore => format!("{} (put back)", describe(after)),
        _ => String::new(),
    };
    if !value.is_empty() {
        identity = format!("{identity} {}", value.trim_start());
    }
    printable(identity.trim_start()).into_owned()
}

/// The fields to be shown below the line of a change.
pub(super) fn fields(planned: &Planned) -> &[FieldChange] {
    match planned.change.key {
        Key::Sysctl(_) | Key::Order(_) => &[], // said in the line itself, or better by the impact
        _ => &planned.fields,
    }
}

/// The fields that differ, what each does to live connections beside it, and what the change as a whole does below.
fn details(out: &mut Out, planned: &Planned, what_width: usize, sources: &Sources) {
    let fields = fields(planned);
    let name_width = fields.iter().map(|field| field.field.chars().count()).max().unwrap_or_default().max(11);
    let told = |field: &FieldChange| planned.impacts.iter().find(|impact| impact.field() == Some(field.field));
    for field in fields {
        let none = || "none".to_owned();
        let (before, after) = (field.before.clone().unwrap_or_else(none), field.after.clone().unwrap_or_else(none));
        let text = match (field.field, &field.before, &field.after) {
            // A line of its own, that comes or goes.
            ("rule", None, _) => format!("+ {after}"),
            ("rule", _, None) => format!("- {before}"),
            _ => format!("{:name_width$} {before} → {after}", field.field),
        };
        let mut text = printable(&text).into_owned();
        let mut width = text.chars().count();
        if let Some(span) = field_span(planned, field, sources) {
            let place = printable(&line(span, sources)).into_owned();
            width += 2 + place.chars().count();
            text = format!("{text}  {}", out.painted(DIM, &place));
        }
        let Some(impact) = told(field).map(ToString::to_string) else {
            out.line(6, &text);
            continue;
        };
        // The impact stands below the column of identities' end, or on a line of its own where that is too far.
        let column = (what_width + 20).max(width + 2);
        if 6 + column + impact.chars().count() <= out.style.width {
            out.line(6, &format!("{text}{:blank$}{impact}", "", blank = column - width));
        } else {
            out.line(6, &text);
            out.wrapped(8 + name_width - 1, &impact);
        }
    }
    for impact in planned.impacts.iter().filter(|impact| !fields.iter().any(|field| impact.field() == Some(field.field))) {
        out.wrapped(6, &impact.to_string());
    }
}

/// What is to be made, in a few words.
fn describe(resource: &Resource) -> String {
    match resource {
        // A rule is its key, and those of a table are said one by one.
        Resource::Module | Resource::Order(_) | Resource::Rule | Resource::Nftables(_) => String::new(),
        Resource::Sysctl(value) => format!("= {}", value.value),
        Resource::Link(link) => link_words(link),
        Resource::Fou(FouPort { gue }) => if *gue { "gue" } else { "fou" }.to_owned(),
        Resource::Address(Address { deprecated, nodad }) => {
            words(&[(*nodad, "nodad".to_owned()), (*deprecated, "preferred_lft 0".to_owned())])
        }
        Resource::Route(route) => route.source.map(|source| format!("src {source}")).unwrap_or_default(),
        Resource::Timeouts(timeouts) => {
            let Timeouts { tcp, tcp_fin, udp } = timeouts;
            let set = [("tcp", tcp), ("tcp-fin", tcp_fin), ("udp", udp)];
            let set =
                set.into_iter().filter_map(|(name, seconds)| seconds.map(|seconds| format!("{name} {}", duration(seconds))));
            set.collect::<Vec<_>>().join(" ")
        }
        Resource::Service(service) => {
            let Service { scheduler: _, flags, persistence, engine } = &**service;
            let persistence = persistence.map(|one| format!("persistence {} {}", duration(one.timeout), one.clients));
            words(&[
                (true, service.scheduler_text()),
                (flags.one_packet, "one-packet".to_owned()),
                (persistence.is_some(), persistence.unwrap_or_default()),
                (engine.is_some(), format!("engine {}", engine.as_deref().unwrap_or_default())),
            ])
        }
        Resource::Destination(destination) => {
            let Destination { forward, weight, max_connections, min_connections } = destination;
            words(&[
                (true, format!("{forward} weight {weight}")),
                (*max_connections > 0, format!("max-connections {max_connections}")),
                (*min_connections > 0, format!("min-connections {min_connections}")),
            ])
        }
        Resource::Sync(daemon) => {
            let SyncDaemon { interface, id, group, port, ttl, max_length } = &**daemon;
            words(&[
                (true, format!("{interface} id {id} group {group} port {port} ttl {ttl}")),
                (max_length.is_some(), format!("max-length {}", max_length.unwrap_or_default())),
            ])
        }
    }
}

fn link_words(link: &Link) -> String {
    let Link { device, up, mtu, alias: _ } = link;
    let mut said = device.name().to_owned();
    if let LinkKind::Tunnel(Tunnel { kind: _, local, remote, device, ttl, inner, key, checksum, gue }) = device {
        let optional = [
            ("local", local.map(|one| one.to_string())),
            ("remote", remote.map(|one| one.to_string())),
            ("device", device.clone()),
            ("ttl", (*ttl != 0).then(|| ttl.to_string())),
            ("mode", inner.map(|one| one.to_string())),
            ("key", key.map(|one| one.to_string())),
            ("encap", gue.map(|one| one.to_string())),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                _ = write!(said, " {name} {value}");
            }
        }
        if *checksum {
            said.push_str(" checksum");
        }
    }
    if let Some(mtu) = mtu {
        _ = write!(said, " mtu {mtu}");
    }
    said.push_str(if *up { " up" } else { " down" });
    said
}

fn words(parts: &[(bool, String)]) -> String {
    parts.iter().filter(|(said, _)| *said).map(|(_, word)| word.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Style, argument, plan};
    use crate::plan::{Aim, Plan, Target};
    use crate::provenance::{Elsewhere, Names};
    use crate::source::Sources;
    use crate::state::{Observed, State};

    const PLAIN: Style = Style { colour: false, width: 100, verbose: false };

    fn servers(count: usize) -> Plan {
        let servers = (1..=count).map(|host| {
            format!(r#", "server tcp 10.0.0.100:80 10.0.1.{host}:80": {{"kind": "destination", "forward": "dr", "weight": 1}}"#)
        });
        let text = format!(
            r#"{{"service tcp 10.0.0.100:80": {{"kind": "service", "scheduler": "wlc"}}{}}}"#,
            servers.collect::<String>()
        );
        let wanted: State = serde_json::from_str(&text).expect("a state");
        let target = Target {
            topology: "shop".to_owned(),
            file: "shop.kdl".to_owned(),
            host: "lb1".to_owned(),
            role: "director".to_owned(),
        };
        Plan::make(target, &Aim::from(&wanted), &Names::new(), &Observed::default(), false, Vec::new(), &Elsewhere::default())
    }

    #[test]
    fn colour_changes_no_word() {
        let plain = plan(&servers(2), &Sources::default(), PLAIN);
        let coloured = plan(&servers(2), &Sources::default(), Style { colour: true, ..PLAIN });
        assert_ne!(plain, coloured);
        assert_eq!(plain, anstream::adapter::strip_str(&coloured).to_string());
    }

    #[test]
    fn many_servers_are_counted_unless_all_are_asked_for() {
        let plan_of = servers(200);
        let text = plan(&plan_of, &Sources::default(), PLAIN);
        assert!(text.contains("… and more servers: 190 to add"), "{text}");
        let all = plan(&plan_of, &Sources::default(), Style { verbose: true, ..PLAIN });
        assert!(all.contains("10.0.1.200:80") && !all.contains('…'), "{all}");
    }

    #[test]
    fn the_command_at_the_end_can_be_pasted_into_a_shell() {
        assert_eq!(argument("sites/shop.kdl"), "sites/shop.kdl");
        assert_eq!(argument("my shop's.kdl"), r"'my shop'\''s.kdl'");
        assert_eq!(argument(""), "''");
    }
}
