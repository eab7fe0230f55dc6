//! Three columns of things side by side: their order, so that few lines cross, and how high each stands.

use super::Cluster;
use super::place::GAP;

/// How high the things of each column are, or where they begin; in pixels, by their places in the cluster.
pub struct Heights {
    pub vips: Vec<i32>,
    pub services: Vec<i32>,
    pub groups: Vec<i32>,
}

/// Where everything begins. The tallest column is stacked; what is in the others comes near what it has to do with. VIPs and
/// services begin at `top`, servers at `top_of_groups`.
pub fn columns(cluster: &Cluster, heights: &Heights, top: i32, top_of_groups: i32) -> Heights {
    let orders = Orders::of(cluster);
    let tall = |heights: &[i32]| (heights.iter().map(|height| height + GAP).sum::<i32>() - GAP).max(0);
    let (of_vips, of_services, of_groups) = (tall(&heights.vips), tall(&heights.services), tall(&heights.groups));
    let end = (top + of_vips.max(of_services)).max(top_of_groups + of_groups);
    let vips = Column { heights: &heights.vips, order: &orders.vips, top, end };
    let services = Column { heights: &heights.services, order: &orders.services, top, end };
    let groups = Column { heights: &heights.groups, order: &orders.groups, top: top_of_groups, end };
    let (taken, sent) = (cluster.taken.clone(), sent(cluster));
    if of_groups >= of_services.max(of_vips) {
        let group_ys = groups.stacked();
        let service_ys = services.near(&back(&sent), &groups, &group_ys);
        Heights { vips: vips.near(&taken, &services, &service_ys), services: service_ys, groups: group_ys }
    } else if of_services >= of_vips {
        let service_ys = services.stacked();
        let group_ys = groups.near(&sent, &services, &service_ys);
        Heights { vips: vips.near(&taken, &services, &service_ys), services: service_ys, groups: group_ys }
    } else {
        let vip_ys = vips.stacked();
        let service_ys = services.near(&back(&taken), &vips, &vip_ys);
        Heights { groups: groups.near(&sent, &services, &service_ys), services: service_ys, vips: vip_ys }
    }
}

/// Groups with the services that send to them.
fn sent(cluster: &Cluster) -> Vec<(usize, usize)> {
    cluster.forwarded.iter().map(|edge| (edge.group, edge.service)).collect()
}

/// The same lines from their other ends.
fn back(edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    edges.iter().map(|(one, other)| (*other, *one)).collect()
}

/// In which order things stand in their columns.
struct Orders {
    vips: Vec<usize>,
    services: Vec<usize>,
    groups: Vec<usize>,
}

impl Orders {
    fn of(cluster: &Cluster) -> Orders {
        let (mut vips, mut services) =
            ((0..cluster.vips.len()).collect::<Vec<_>>(), (0..cluster.services.len()).collect::<Vec<_>>());
        let mut groups: Vec<usize> = (0..cluster.groups.len()).collect();
        let (taken, sent) = (&cluster.taken, sent(cluster));
        // It settles within a few rounds; what does not is as good in any of its states.
        for _ in 0..4 {
            sort(&mut services, &back(taken), &vips);
            sort(&mut groups, &sent, &services);
            sort(&mut services, &back(&sent), &groups);
            sort(&mut vips, taken, &services);
        }
        Orders { vips, services, groups }
    }
}

/// Sorts things by the mean place of what edges lead to; what has none stays near where it is.
fn sort(order: &mut [usize], edges: &[(usize, usize)], others: &[usize]) {
    let place = |order: &[usize]| {
        let mut places = vec![0; order.len()];
        for (place, thing) in order.iter().enumerate() {
            places[*thing] = place * 1000;
        }
        places
    };
    let (own, others) = (place(order), place(others));
    let mut means: Vec<(usize, usize)> = vec![(0, 0); order.len()];
    for (thing, other) in edges {
        means[*thing].0 += others[*other];
        means[*thing].1 += 1;
    }
    order.sort_by_cached_key(|thing| means[*thing].0.checked_div(means[*thing].1).unwrap_or(own[*thing]));
}

/// A column while its things are being placed.
struct Column<'c> {
    heights: &'c [i32],
    order: &'c [usize],
    top: i32,
    end: i32,
}

impl Column<'_> {
    /// One below the other.
    fn stacked(&self) -> Vec<i32> {
        let mut ys = vec![0; self.heights.len()];
        let mut y = self.top;
        for at in self.order {
            ys[*at] = y;
            y += self.heights[*at] + GAP;
        }
        ys
    }

    /// Each as near as can be to the middle of those that it has to do with.
    fn near(&self, edges: &[(usize, usize)], others: &Column<'_>, other_ys: &[i32]) -> Vec<i32> {
        let mut middles: Vec<(i64, i64)> = vec![(0, 0); self.heights.len()];
        for (own, other) in edges {
            middles[*own].0 += i64::from(other_ys[*other] + others.heights[*other] / 2);
            middles[*own].1 += 1;
        }
        let mut ys = vec![0; self.heights.len()];
        let mut free = self.top;
        for at in self.order {
            let (sum, count) = middles[*at];
            let middle = sum.checked_div(count).and_then(|mean| i32::try_from(mean).ok());
            ys[*at] = middle.map_or(free, |middle| middle - self.heights[*at] / 2).max(free);
            free = ys[*at] + self.heights[*at] + GAP;
        }
        let mut end = self.end;
        for at in self.order.iter().rev() {
            ys[*at] = ys[*at].min(end - self.heights[*at]);
            end = ys[*at] - GAP;
        }
        ys
    }
}
