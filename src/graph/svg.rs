//! A picture as SVG that needs nothing beside itself: no script, no font, no network; light or dark as the reader's screen is.
//!
//! Everything is said in letters too, so a print without colours reads as well. Texts from outside are escaped by the
//! templates.

use std::collections::BTreeSet;

use maud::{Markup, PreEscaped, html};

use super::place::{CHIP, LINE, PAD, Placed, PlacedCluster, PlacedGroup, Rect, TOP};
use super::place::{chip_columns, detail_width, load, name_width, place};
use super::{Cluster, Group, Machine, Method, Picture, Service, Shown, Vip, sign, signed};
use crate::source::printable;
use crate::state::Action;

const STYLE: &str = include_str!("svg/style.css");

/// How far an answer runs beside its request.
const BESIDE: i32 = 7;

/// The picture as a file.
pub fn svg(picture: &Picture) -> String {
    format!("{}\n", figure(picture).replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1))
}

/// The picture within a page of HTML.
pub fn figure(picture: &Picture) -> String {
    let placed = place(picture);
    let Placed { width, height, .. } = placed;
    let markup = html! {
        svg class="lvsform-graph" viewBox=(format!("0 0 {width} {height}"))
            width=(width) height=(height) role="img" {
            title { (shown(&format!("topology {}: {}", picture.topology, picture.about))) }
            style { (PreEscaped(STYLE)) }
            defs { @for kind in ["any", "nat", "dr", "tun"] { (head(kind)) } }
            text class="title" x="20" y="30" { (shown(&picture.topology)) }
            text class="soft" x=(20 + name_width(&picture.topology) * 18 / 13 + 18) y="30" { (shown(&picture.about)) }
            (legend(picture))
            @for (cluster, at) in picture.clusters.iter().zip(&placed.clusters) { (of_cluster(cluster, at)) }
        }
    };
    markup.into_string()
}

/// What cannot be seen is made visible; the template escapes the rest.
fn shown(text: &str) -> String {
    printable(text).into_owned()
}

/// The head of an arrow.
fn head(kind: &str) -> Markup {
    html! {
        marker id=(format!("lvsform-{kind}")) viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
            orient="auto-start-reverse" {
            path class=(format!("head-{kind}")) d="M0 0 L8 4 L0 8 z" {}
        }
    }
}

fn legend(picture: &Picture) -> Markup {
    let methods: BTreeSet<Method> = picture.clusters.iter().flat_map(Cluster::methods).collect();
    let mut x = 20;
    let mut next = |width: i32| {
        let at = x;
        x += width + 22;
        at
    };
    let seen = (!picture.seen.is_empty()).then(|| format!("the file and the kernel of {}:", picture.seen.join(", ")));
    let texts =
        [(Action::Add, "missing"), (Action::Change, "differs"), (Action::Replace, "to be made anew"), (Action::Delete, "leaves")];
    html! {
        g {
            @for method in methods {
                @let text = format!("{}: {}", method.word(), if method.is_direct() { "answers go straight to clients" } else { "answers come back through the director" });
                @let at = next(34 + detail_width(&text));
                path class=(format!("way {}", method.word())) d=(format!("M{at} 50 h28")) marker-end=(format!("url(#lvsform-{})", method.word())) {}
                text x=(at + 34) y="54" { (text) }
            }
            @if picture.clusters.iter().any(|cluster| !cluster.forwarded.is_empty()) {
                @let at = next(34 + detail_width("answer"));
                path class="way reply" d=(format!("M{at} 50 h28")) marker-end="url(#lvsform-any)" {}
                text x=(at + 34) y="54" { "answer" }
                @let has_connections = picture.has_connections();
                @let bar = if has_connections { "bars: weight, connections" } else { "bar: weight" };
                @let at = next(34 + detail_width(bar));
                rect class="weight" x=(at) y="46" width="28" height="3" {}
                @if has_connections { rect class="load" x=(at) y="51" width="20" height="3" {} }
                text x=(at + 34) y="54" { (bar) }
            }
            @if let Some(seen) = seen {
                @let first = 20 + detail_width(&seen);
                text class="soft" x="20" y="73" { (shown(&seen)) }
                @for (number, (mark, word)) in texts.iter().enumerate() {
                    @let before: i32 = texts.iter().take(number).map(|(_, word)| detail_width(word) + 36).sum();
                    text class=(class(Some(*mark))) x=(first + 22 + before) y="73" { (sign(*mark)) " " (word) }
                }
            }
        }
    }
}

/// The class of something that changes.
fn class(mark: Option<Action>) -> &'static str {
    match mark {
        None => "",
        Some(Action::Add) => "add",
        Some(Action::Change) => "change",
        Some(Action::Replace | Action::Restore) => "replace",
        Some(Action::Delete) => "delete",
    }
}

fn of_cluster(cluster: &Cluster, at: &PlacedCluster) -> Markup {
    html! {
        g {
            (rect("cluster", at.whole, 8))
            @if let Some(frame) = at.frame {
                (rect("frame", frame, 8))
                @let word = if cluster.directors.len() == 1 { "director" } else { "directors" };
                text class="soft" x=(frame.x + PAD) y=(frame.y + TOP) { (word) }
            }
            (ways(cluster, at))
            @for (machine, rect) in cluster.directors.iter().zip(&at.machines) { (of_machine(machine, *rect)) }
            @for (number, sync) in cluster.syncs.iter().enumerate() {
                text class="soft" x=(at.syncs.0) y=(at.syncs.1 + line(number)) { (shown(sync)) }
            }
            @if let Some(clients) = at.clients {
                (rect("clients", clients, clients.height / 2))
                text class="clients-text" x=(clients.centre()) y=(clients.middle() + 4) text-anchor="middle" { "clients" }
            }
            @for (vip, rect) in cluster.vips.iter().zip(&at.vips) { (of_vip(vip, *rect)) }
            @for (service, rect) in cluster.services.iter().zip(&at.services) { (of_service(service, *rect)) }
            @let longest = Longest::of(cluster);
            @for (group, placed) in cluster.groups.iter().zip(&at.groups) { (of_group(group, placed, longest)) }
            @for (number, text) in cluster.leaving.iter().enumerate() {
                text class="delete" x=(at.leaving.0) y=(at.leaving.1 + line(number)) { (shown(text)) }
            }
        }
    }
}

fn line(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(0) * LINE
}

fn rect(class: &str, rect: Rect, radius: i32) -> Markup {
    html! { rect class=(class.trim_end()) x=(rect.x) y=(rect.y) width=(rect.width) height=(rect.height) rx=(radius) {} }
}

fn named(name: &str, mark: Option<Action>, at: Rect) -> Markup {
    let class = format!("name {}", class(mark));
    html! { text class=(class.trim_end()) x=(at.x + PAD) y=(at.y + TOP) { (shown(&signed(name, mark))) } }
}

fn details<'a>(texts: impl Iterator<Item = &'a String>, at: Rect) -> Markup {
    html! {
        @for (number, text) in texts.enumerate() {
            text x=(at.x + PAD) y=(at.y + TOP + line(number + 1)) { (shown(text)) }
        }
    }
}

fn of_machine(machine: &Machine, at: Rect) -> Markup {
    html! {
        g {
            (rect(&format!("machine {}", class(machine.mark)), at, 4))
            (named(&machine.name, machine.mark, at))
            (details(machine.addresses.iter(), at))
        }
    }
}

fn of_vip(vip: &Vip, at: Rect) -> Markup {
    html! {
        g {
            (rect(&format!("vip {}", class(vip.mark)), at, 4))
            (named(&vip.name, vip.mark, at))
            (details(vip.addresses.iter().chain(&vip.holder), at))
        }
    }
}

fn of_service(service: &Service, at: Rect) -> Markup {
    let method = service.method.split(' ').next().unwrap_or_default();
    html! {
        g {
            @if !service.keys.is_empty() { title { (shown(&service.keys.join("\n"))) } }
            (rect(&format!("service {}", class(service.mark)), at, 4))
            (named(&service.name, service.mark, at))
            (details(service.listens.iter(), at))
            text class=(method) x=(at.x + PAD) y=(at.y + TOP + line(service.listens.len() + 1)) { (shown(&service.how())) }
        }
    }
}

fn of_group(group: &Group, at: &PlacedGroup, longest: Longest) -> Markup {
    let columns = chip_columns(group);
    let whole = Whole::of(group, longest);
    html! {
        g {
            (rect("group", at.whole, 6))
            text class="soft" x=(at.whole.x + PAD) y=(at.whole.y + TOP) { (shown(&group.heading())) }
            @if let Some(method) = &group.method {
                text class=(method.split(' ').next().unwrap_or_default()) x=(at.whole.right() - PAD) y=(at.whole.y + TOP) text-anchor="end" {
                    (shown(method))
                }
            }
            @for (server, rect) in group.shown().iter().zip(&at.chips) { (of_server(server, *rect, columns, &whole)) }
        }
    }
}

/// What the longest bars of a cluster stand for.
#[derive(Clone, Copy)]
struct Longest {
    weight: u64,
    connections: u64,
}

impl Longest {
    fn of(cluster: &Cluster) -> Longest {
        let shown = || cluster.groups.iter().flat_map(Group::shown);
        Longest {
            weight: shown().map(|one| u64::from(one.weight())).max().unwrap_or(0).max(1),
            connections: shown().filter_map(|one| one.connections()).max().unwrap_or(0).max(1),
        }
    }
}

/// What the servers of a group have together.
struct Whole {
    weight: u64,
    connections: u64,
    longest: Longest,
}

impl Whole {
    fn of(group: &Group, longest: Longest) -> Whole {
        Whole {
            weight: group.servers.iter().map(|server| u64::from(server.weight)).sum(),
            connections: group.servers.iter().filter_map(|server| server.connections).sum(),
            longest,
        }
    }
}

/// A share in tenths of a percent, as people write it.
fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or(0);
    if tenths.is_multiple_of(10) { format!("{}%", tenths / 10) } else { format!("{}.{}%", tenths / 10, tenths % 10) }
}

fn of_server(server: &Shown<'_>, at: Rect, columns: (i32, i32, i32), whole: &Whole) -> Markup {
    let (name, address, _) = columns;
    let (weight, connections, mark) = (server.weight(), server.connections(), class(server.mark()));
    let kind = if weight == 0 { "quiesced" } else { "chip" };
    let addresses = match server.servers {
        [one] => one.addresses.join(" "),
        _ => server.address(),
    };
    let mut about = vec![format!("{} {addresses}", server.name())];
    about.push(format!("weight {weight}, {} of the group", percent(weight.into(), whole.weight)));
    if let Some(count) = connections {
        about.push(format!("{count} connections, {} of the group", percent(count, whole.connections)));
    }
    let room = u64::try_from(at.width - 2 * PAD).unwrap_or(0);
    let bar = |part: u64, longest: u64| part * room / longest;
    let beyond = if address == 0 { 0 } else { PAD };
    html! {
        g {
            title { (shown(&about.join("\n"))) }
            (rect(&format!("{kind} {mark}"), at, 4))
            text class=(mark) x=(at.x + PAD) y=(at.y + 16) { (shown(&signed(&server.name(), server.mark()))) }
            @if !server.address().is_empty() {
                text class="soft" x=(at.x + PAD + name + beyond) y=(at.y + 16) { (shown(&server.address())) }
            }
            text x=(at.right() - PAD) y=(at.y + 16) text-anchor="end" { (load(server)) }
            rect class="weight" x=(at.x + PAD) y=(at.y + CHIP - 6) width=(bar(weight.into(), whole.longest.weight)) height="2" {}
            @if let Some(count) = connections {
                rect class="load" x=(at.x + PAD) y=(at.y + CHIP - 3) width=(bar(count, whole.longest.connections)) height="2" {}
            }
        }
    }
}

/// A point on the side of a box that several lines share.
fn along(rect: Rect, (number, count): (usize, usize)) -> i32 {
    let (number, count) = (i32::try_from(number).unwrap_or(0), i32::try_from(count).unwrap_or(1));
    rect.y + rect.height * (number + 1) / (count + 1)
}

fn curve(from: (i32, i32), to: (i32, i32)) -> String {
    let middle = i32::midpoint(from.0, to.0);
    format!("M{} {} C{middle} {}, {middle} {}, {} {}", from.0, from.1, from.1, to.1, to.0, to.1)
}

/// Requests from clients to servers, and answers back.
fn ways(cluster: &Cluster, at: &PlacedCluster) -> Markup {
    let middle = |rects: &[Rect], number: usize| rects.get(number).map_or(0, |rect| rect.middle());
    let groups: Vec<Rect> = at.groups.iter().map(|group| group.whole).collect();
    let taken: Vec<(usize, usize)> = cluster.taken.clone();
    let sent: Vec<(usize, usize)> = cluster.forwarded.iter().map(|edge| (edge.service, edge.group)).collect();
    let from = |edges: &[(usize, usize)], others: &[Rect]| sides(edges.iter().map(|(own, other)| (*own, middle(others, *other))));
    let to = |edges: &[(usize, usize)], others: &[Rect]| sides(edges.iter().map(|(other, own)| (*own, middle(others, *other))));
    let (vip_sides, service_sides) = (from(&taken, &at.services), to(&taken, &at.vips));
    let (sending_sides, group_sides) = (from(&sent, &groups), to(&sent, &at.services));
    html! {
        @if let Some(clients) = at.clients {
            @for vip in cluster.asked().iter().filter_map(|number| at.vips.get(*number)) {
                path class="way" d=(curve((clients.right(), clients.middle()), (vip.x, vip.middle()))) marker-end="url(#lvsform-any)" {}
            }
        }
        @for (number, (vip, service)) in taken.iter().enumerate() {
            @if let (Some(vip), Some(service)) = (at.vips.get(*vip), at.services.get(*service)) {
                @let from = (vip.right(), along(*vip, vip_sides[number]));
                @let to = (service.x, along(*service, service_sides[number]));
                path class="way" marker-end="url(#lvsform-any)" d=(curve(from, to)) {}
            }
        }
        @for (number, edge) in cluster.forwarded.iter().enumerate() {
            @if let (Some(service), Some(group)) = (at.services.get(edge.service), groups.get(edge.group)) {
                @let from = (service.right(), along(*service, sending_sides[number]));
                @let to = (group.x, along(*group, group_sides[number]));
                @let word = edge.method.word();
                path class=(format!("way {word}")) d=(curve(from, to)) marker-end=(format!("url(#lvsform-{word})")) {}
                @if !edge.method.is_direct() {
                    path class=(format!("way reply {word}")) marker-end=(format!("url(#lvsform-{word})"))
                        d=(curve((to.0, to.1 + BESIDE), (from.0, from.1 + BESIDE))) {}
                }
            }
        }
        (answers(cluster, at))
    }
}

/// Which of the lines of one thing each line is, from above by where the others end, and how many that thing has.
fn sides(ends: impl Iterator<Item = (usize, i32)>) -> Vec<(usize, usize)> {
    let mut order: Vec<(usize, i32, usize)> = ends.enumerate().map(|(at, (own, height))| (own, height, at)).collect();
    order.sort_unstable();
    let mut sides = vec![(0, 1); order.len()];
    for of_one in order.chunk_by(|one, other| one.0 == other.0) {
        for (number, (_, _, at)) in of_one.iter().enumerate() {
            sides[*at] = (number, of_one.len());
        }
    }
    sides
}

/// Answers on their last way: straight from the servers by the lane around everything, or out of the director.
fn answers(cluster: &Cluster, at: &PlacedCluster) -> Markup {
    let (Some(clients), Some(frame)) = (at.clients, at.frame) else { return html! {} };
    let methods = cluster.methods();
    let direct: BTreeSet<(usize, Method)> =
        cluster.forwarded.iter().filter(|edge| edge.method.is_direct()).map(|edge| (edge.group, edge.method)).collect();
    let (right, bottom) = at.lane;
    let from = |group: &usize| at.groups.get(*group).map(|group| (group.whole.right(), group.whole.middle()));
    let highest = direct.iter().filter_map(|(group, method)| Some((from(group)?, method.word()))).min_by_key(|((_, y), _)| *y);
    html! {
        @for (group, method) in &direct {
            @if let Some((x, y)) = from(group) {
                path class=(format!("way reply {}", method.word())) d=(format!("M{x} {y} H{right}")) {}
            }
        }
        // One line for all of them: several would fill each other's gaps.
        @if let Some(((_, y), word)) = highest {
            path class=(format!("way reply {word}")) marker-end=(format!("url(#lvsform-{word})"))
                d=(format!("M{right} {y} V{bottom} H{} V{}", clients.centre() - 14, clients.bottom())) {}
            text class="soft" x=(clients.centre() - 6) y=(bottom - 6) { "answers go straight to clients" }
        }
        @if methods.contains(&Method::Nat) {
            path class="way reply nat" marker-end="url(#lvsform-nat)"
                d=(format!("M{} {} H{} V{}", frame.x, frame.bottom() - 14, clients.centre() + 14, clients.bottom())) {}
        }
    }
}
