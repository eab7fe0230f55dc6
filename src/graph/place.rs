//! Where everything of a picture is: columns of clients, VIPs, services and servers, each thing near those that it has to do
//! with. In whole pixels, so that the same picture is the same everywhere.

use super::columns::{self, Heights};
use super::{Cluster, Group, Machine, Picture, Service, Vip};

/// How wide letters of 13 and of 11 pixels are in any of the usual fonts of equal width, in tenths of a pixel.
const NAME_WIDTH: i32 = 79;
const DETAIL_WIDTH: i32 = 67;

/// From one line of small letters to the next.
pub const LINE: i32 = 15;
/// Within boxes.
pub const PAD: i32 = 10;
/// From the top of a box to the line that its name stands on.
pub const TOP: i32 = 19;
/// The height of a server.
pub const CHIP: i32 = 26;

/// Between things of a column.
pub const GAP: i32 = 14;
/// The width of directors that carry nothing.
const BARE: i32 = 420;
const CHIP_GAP: i32 = 4;
const HEADING: i32 = 28;
const CLIENTS: (i32, i32) = (76, 40);
const TO_VIPS: i32 = 84;
const TO_SERVICES: i32 = 56;
const TO_SERVERS: i32 = 120;
const LANE: i32 = 26;
const MARGIN: i32 = 20;
/// What stands above everything: a title and what lines mean; one more line says what marks mean.
const HEADER: i32 = 74;
const MARKS: i32 = 18;
const LEGEND: i32 = 620;

/// A box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

impl Rect {
    pub fn right(self) -> i32 {
        self.x + self.width
    }

    pub fn bottom(self) -> i32 {
        self.y + self.height
    }

    pub fn middle(self) -> i32 {
        self.y + self.height / 2
    }

    pub fn centre(self) -> i32 {
        self.x + self.width / 2
    }

    fn moved(self, x: i32, y: i32) -> Rect {
        Rect { x: self.x + x, y: self.y + y, ..self }
    }
}

/// A picture's places.
#[derive(Debug, Default)]
pub struct Placed {
    pub width: i32,
    pub height: i32,
    /// One for each cluster.
    pub clusters: Vec<PlacedCluster>,
}

/// A cluster's places, all counted from the picture's corner.
#[derive(Debug, Default)]
pub struct PlacedCluster {
    pub whole: Rect,
    /// Nobody asks where there is no VIP.
    pub clients: Option<Rect>,
    /// What the directors carry.
    pub frame: Option<Rect>,
    pub machines: Vec<Rect>,
    /// Where the lines about syncs begin.
    pub syncs: (i32, i32),
    pub vips: Vec<Rect>,
    pub services: Vec<Rect>,
    pub groups: Vec<PlacedGroup>,
    /// The lane of direct answers: right of all servers, and below everything.
    pub lane: (i32, i32),
    /// Where the lines about what leaves begin.
    pub leaving: (i32, i32),
}

/// A group's places.
#[derive(Debug, Default)]
pub struct PlacedGroup {
    pub whole: Rect,
    /// One for each of [`Group::shown`].
    pub chips: Vec<Rect>,
}

/// How many letters wide a text is: those outside of ASCII may be twice as wide.
fn letters(text: &str) -> i32 {
    text.chars().map(|letter| if letter.is_ascii() { 1 } else { 2 }).sum()
}

/// The width of a name.
pub fn name_width(text: &str) -> i32 {
    (letters(text) * NAME_WIDTH + 9) / 10
}

/// The width of small letters.
pub fn detail_width(text: &str) -> i32 {
    (letters(text) * DETAIL_WIDTH + 9) / 10
}

/// Places a picture.
pub fn place(picture: &Picture) -> Placed {
    let mut clusters: Vec<PlacedCluster> = picture.clusters.iter().map(cluster).collect();
    let sizes: Vec<(i32, i32)> = clusters.iter().map(|of| (of.whole.width, of.whole.height)).collect();
    // As many beside each other as come nearest to the shape of a screen.
    let off = |columns: &usize| {
        let (width, height) = rows(&sizes, *columns).1;
        (i64::from(width) * 10 - i64::from(height) * 16).abs()
    };
    let columns = (1..=sizes.len().min(12)).min_by_key(off).unwrap_or(1);
    let header = HEADER + if picture.seen.is_empty() { 0 } else { MARKS };
    let (corners, (width, height)) = rows(&sizes, columns);
    for (placed, (x, y)) in clusters.iter_mut().zip(corners) {
        placed.put(x + MARGIN, y + header);
    }
    let seen = detail_width(&picture.seen.join(", ")) * i32::from(!picture.seen.is_empty());
    let title = name_width(&picture.topology) * 2 + detail_width(&picture.about);
    Placed { width: width.max(title).max(seen + LEGEND) + 2 * MARGIN, height: height + header + MARGIN, clusters }
}

/// Boxes in rows of so many: their corners, and how large the whole is.
fn rows(sizes: &[(i32, i32)], columns: usize) -> (Vec<(i32, i32)>, (i32, i32)) {
    let (mut corners, mut whole, mut y) = (Vec::new(), (0, 0), 0);
    for row in sizes.chunks(columns) {
        let mut x = 0;
        for (width, _) in row {
            corners.push((x, y));
            x += width + GAP;
        }
        whole.0 = whole.0.max(x - GAP);
        y += row.iter().map(|size| size.1).max().unwrap_or(0) + GAP;
        whole.1 = y - GAP;
    }
    (corners, whole)
}

impl PlacedCluster {
    fn put(&mut self, x: i32, y: i32) {
        for group in &mut self.groups {
            group.put(x, y);
        }
        let each = self.machines.iter_mut().chain(&mut self.vips).chain(&mut self.services);
        let each = each.chain([&mut self.whole]).chain(&mut self.clients).chain(&mut self.frame);
        for rect in each {
            *rect = rect.moved(x, y);
        }
        for point in [&mut self.syncs, &mut self.lane, &mut self.leaving] {
            *point = (point.0 + x, point.1 + y);
        }
    }
}

fn lines(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX / 1000) * LINE
}

fn machine(machine: &Machine) -> (i32, i32) {
    let names = name_width(&machine.name) + marked(machine.mark.is_some());
    let width = machine.addresses.iter().map(|address| detail_width(address)).fold(names, i32::max);
    (width + 2 * PAD, TOP + lines(machine.addresses.len()) + PAD)
}

/// The room of the sign before a name.
fn marked(is: bool) -> i32 {
    if is { name_width("+ ") } else { 0 }
}

fn vip(vip: &Vip) -> (i32, i32) {
    let details = vip.addresses.iter().chain(&vip.holder);
    let names = name_width(&vip.name) + marked(vip.mark.is_some());
    let width = details.clone().map(|text| detail_width(text)).fold(names, i32::max);
    (width + 2 * PAD, TOP + lines(details.count()) + PAD)
}

fn service(service: &Service) -> (i32, i32) {
    let last = service.how();
    let names = name_width(&service.name) + marked(service.mark.is_some());
    let width = service.listens.iter().chain([&last]).map(|text| detail_width(text)).fold(names, i32::max);
    (width + 2 * PAD, TOP + lines(service.listens.len() + 1) + PAD)
}

/// How wide the three columns of a server are: name, address, weight.
pub fn chip_columns(group: &Group) -> (i32, i32, i32) {
    let shown = group.shown();
    let of = |width: &dyn Fn(&super::Shown<'_>) -> i32| shown.iter().map(width).max().unwrap_or(0);
    let name = of(&|one| detail_width(&one.name()) + if one.mark().is_some() { detail_width("+ ") } else { 0 });
    let address = of(&|one| detail_width(&one.address()));
    (name, address, of(&|one| detail_width(&load(one))))
}

/// What stands at the right of a server: its weight, and its connections where a kernel was looked at.
pub fn load(shown: &super::Shown<'_>) -> String {
    let connections = shown.connections().map_or_else(String::new, |count| format!(" · {count}"));
    format!("{}{connections}", shown.weight())
}

/// A group with its corner at 0, 0.
fn group(group: &Group) -> PlacedGroup {
    let (name, address, weight) = chip_columns(group);
    let between = |width: i32| if width == 0 { 0 } else { width + PAD };
    let chip = name + between(address) + between(weight) + 2 * PAD;
    let count = group.shown().len();
    let columns = match count {
        0..=10 => 1,
        11..=24 => 2,
        25..=60 => 3,
        _ => 4,
    };
    let rows = count.div_ceil(columns).max(1);
    let at = |number: usize| -> (i32, i32) {
        let (column, row) = (i32::try_from(number / rows).unwrap_or(0), i32::try_from(number % rows).unwrap_or(0));
        (PAD + column * (chip + CHIP_GAP), HEADING + row * (CHIP + CHIP_GAP))
    };
    let chips = (0..count).map(|number| {
        let (x, y) = at(number);
        Rect { x, y, width: chip, height: CHIP }
    });
    let chips: Vec<Rect> = chips.collect();
    let heading = detail_width(&group.heading()) + group.method.as_ref().map_or(0, |method| detail_width(method) + 3 * PAD);
    let width = chips.iter().map(|chip| chip.right()).max().unwrap_or(0).max(heading + PAD) + PAD;
    let height = chips.iter().map(|chip| chip.bottom()).max().unwrap_or(HEADING) + PAD;
    PlacedGroup { whole: Rect { x: 0, y: 0, width, height }, chips }
}

impl PlacedGroup {
    /// The same, wider, and its servers with it.
    fn widen(&mut self, width: i32) {
        let mut columns: Vec<i32> = self.chips.iter().map(|chip| chip.x).collect();
        columns.dedup();
        let count = i32::try_from(columns.len().max(1)).unwrap_or(1);
        let each = (width - 2 * PAD - (count - 1) * CHIP_GAP) / count;
        for chip in &mut self.chips {
            let column = columns.iter().position(|x| *x == chip.x).and_then(|at| i32::try_from(at).ok()).unwrap_or(0);
            *chip = Rect { x: PAD + column * (each + CHIP_GAP), width: each, ..*chip };
        }
        self.whole.width = width;
    }

    fn put(&mut self, x: i32, y: i32) {
        for rect in self.chips.iter_mut().chain([&mut self.whole]) {
            *rect = rect.moved(x, y);
        }
    }
}

/// The widest of some sizes.
fn widest(sizes: &[(i32, i32)]) -> i32 {
    sizes.iter().map(|size| size.0).max().unwrap_or(0)
}

/// The directors in rows that are about `room` wide, and where the last of them ends.
fn directors(cluster: &Cluster, inner: i32, room: i32) -> (Vec<Rect>, i32) {
    let mut placed = Vec::new();
    let (mut x, mut y, mut row) = (inner, MARGIN + HEADING, 0);
    for (width, height) in cluster.directors.iter().map(machine) {
        if x > inner && x + width > inner + room {
            (x, y, row) = (inner, y + row + CHIP_GAP * 2, 0);
        }
        placed.push(Rect { x, y, width, height });
        row = row.max(height);
        x += width + CHIP_GAP * 2;
    }
    (placed, y + row)
}

/// A cluster with its corner at 0, 0.
fn cluster(cluster: &Cluster) -> PlacedCluster {
    let vips: Vec<(i32, i32)> = cluster.vips.iter().map(vip).collect();
    let services: Vec<(i32, i32)> = cluster.services.iter().map(service).collect();
    let mut groups: Vec<PlacedGroup> = cluster.groups.iter().map(group).collect();
    let group_width = groups.iter().map(|group| group.whole.width).max().unwrap_or(0);
    for group in &mut groups {
        group.widen(group_width);
    }

    let (vip_width, service_width) = (widest(&vips), widest(&services));
    let between = if vips.is_empty() || services.is_empty() { 0 } else { TO_SERVICES };
    let carried = vip_width + between + service_width;
    let left = if vips.is_empty() { MARGIN } else { MARGIN + CLIENTS.0 + TO_VIPS };
    let inner = left + PAD;
    let (machines, machines_end) = directors(cluster, inner, if carried > 0 { carried } else { BARE });
    let header_end = machines_end + lines(cluster.syncs.len()) + GAP;
    let syncs_right = inner + cluster.syncs.iter().map(|text| detail_width(text)).max().unwrap_or(0);
    let has_frame = !cluster.directors.is_empty();
    let frame_right = machines.iter().map(|rect| rect.right()).fold((inner + carried).max(syncs_right), i32::max) + PAD;

    let heights = |sizes: &[(i32, i32)]| sizes.iter().map(|size| size.1).collect::<Vec<i32>>();
    let group_heights = groups.iter().map(|group| group.whole.height).collect();
    let heights = Heights { vips: heights(&vips), services: heights(&services), groups: group_heights };
    let top = if has_frame { header_end } else { MARGIN };
    let ys = columns::columns(cluster, &heights, top, MARGIN);
    let boxes = |ys: &[i32], heights: &[i32], x: i32, width: i32| -> Vec<Rect> {
        ys.iter().zip(heights).map(|(y, height)| Rect { x, y: *y, width, height: *height }).collect()
    };
    let vips = boxes(&ys.vips, &heights.vips, inner, vip_width);
    let services = boxes(&ys.services, &heights.services, inner + vip_width + between, service_width);
    let group_x = match (services.is_empty(), has_frame) {
        (false, _) => frame_right + TO_SERVERS,
        (true, true) => frame_right + GAP,
        (true, false) => MARGIN,
    };
    for (group, y) in groups.iter_mut().zip(&ys.groups) {
        group.put(group_x, *y);
    }
    let frame = has_frame.then(|| {
        let bottom = vips.iter().chain(&services).map(|rect| rect.bottom()).max().unwrap_or(header_end - GAP);
        Rect { x: left, y: MARGIN, width: frame_right - left, height: bottom + PAD - MARGIN }
    });
    let middles = || vips.iter().map(|vip| vip.middle());
    let clients = middles().min().zip(middles().max()).map(|(first, last)| {
        let y = i32::midpoint(first, last) - CLIENTS.1 / 2;
        Rect { x: MARGIN, y, width: CLIENTS.0, height: CLIENTS.1 }
    });
    let right = groups.iter().map(|group| group.whole.right()).chain(frame.map(Rect::right)).max().unwrap_or(0);
    let bottom = groups.iter().map(|group| group.whole.bottom()).chain(frame.map(Rect::bottom)).max().unwrap_or(0);
    let beyond = if cluster.forwarded.iter().any(|edge| edge.method.is_direct()) { LANE } else { 0 };
    let lane = (right + beyond, bottom + beyond);
    let leaving_right = MARGIN + cluster.leaving.iter().map(|text| detail_width(text)).max().unwrap_or(0);
    let (width, height) = (lane.0.max(leaving_right) + MARGIN, lane.1 + lines(cluster.leaving.len()) + MARGIN);
    PlacedCluster {
        whole: Rect { x: 0, y: 0, width, height },
        clients,
        frame,
        machines,
        syncs: (inner, machines_end + LINE),
        vips,
        services,
        groups,
        lane,
        leaving: (MARGIN, lane.1 + LINE),
    }
}
