//! A picture in the language of Mermaid, for pages that draw it: pull requests, wikis, `README.md`.

use std::fmt::Write as _;

use super::{Picture, colour};
use crate::source::printable;
use crate::state::Action;

/// The picture.
pub fn mermaid(picture: &Picture) -> String {
    let mut out = String::from("flowchart LR\n");
    let mut marked: [Vec<String>; 4] = Default::default();
    let mut note = |mark: Option<Action>, id: &str| match mark {
        None => {}
        Some(Action::Add) => marked[0].push(id.to_owned()),
        Some(Action::Change) => marked[1].push(id.to_owned()),
        Some(Action::Replace | Action::Restore) => marked[2].push(id.to_owned()),
        Some(Action::Delete) => marked[3].push(id.to_owned()),
    };
    for (number, cluster) in picture.clusters.iter().enumerate() {
        let id = |kind: &str, at: usize| format!("{kind}{number}_{at}");
        if !cluster.vips.is_empty() {
            let _ = writeln!(out, "  clients{number}([clients])");
        }
        if !cluster.directors.is_empty() {
            let names: Vec<&str> = cluster.directors.iter().map(|machine| machine.name.as_str()).collect();
            let _ = writeln!(out, "  subgraph directors{number}[{}]\n    direction LR", quoted(&[names.join(", ")]));
            for (at, machine) in cluster.directors.iter().enumerate() {
                let _ = writeln!(out, "    {}[[{}]]", id("director", at), quoted(&machine.lines()));
                note(machine.mark, &id("director", at));
            }
        }
        for (at, vip) in cluster.vips.iter().enumerate() {
            let _ = writeln!(out, "    {}({})", id("vip", at), quoted(&vip.lines()));
            note(vip.mark, &id("vip", at));
        }
        for (at, service) in cluster.services.iter().enumerate() {
            let _ = writeln!(out, "    {}[{}]", id("service", at), quoted(&service.lines()));
            note(service.mark, &id("service", at));
        }
        if !cluster.directors.is_empty() {
            out.push_str("  end\n");
        }
        for (at, group) in cluster.groups.iter().enumerate() {
            let _ = writeln!(out, "  subgraph {}[{}]", id("group", at), quoted(&[group.heading()]));
            let _ = writeln!(out, "    {}[{}]\n  end", id("servers", at), quoted(&group.lines()));
            note(group.mark(), &id("servers", at));
        }
        for at in cluster.asked() {
            let _ = writeln!(out, "  clients{number} --> {}", id("vip", at));
        }
        for (vip, service) in &cluster.taken {
            let _ = writeln!(out, "  {} --> {}", id("vip", *vip), id("service", *service));
        }
        for edge in &cluster.forwarded {
            let (service, group) = (id("service", edge.service), id("servers", edge.group));
            let _ = writeln!(out, "  {service} -->|{}| {group}", edge.method.word());
        }
        for (group, service) in cluster.answers() {
            let (to, said) = service.map_or_else(|| (format!("clients{number}"), "straight"), |at| (id("service", at), "answer"));
            let _ = writeln!(out, "  {} -.->|{said}| {to}", id("servers", group));
        }
        if !cluster.leaving.is_empty() {
            let _ = writeln!(out, "  leaving{number}[{}]", quoted(&cluster.leaving));
            note(Some(Action::Delete), &format!("leaving{number}"));
        }
    }
    let classes = [("add", Action::Add), ("change", Action::Change), ("replace", Action::Replace), ("delete", Action::Delete)];
    for ((name, mark), ids) in classes.into_iter().zip(marked).filter(|(_, ids)| !ids.is_empty()) {
        let _ = writeln!(out, "  classDef {name} stroke:{},stroke-width:3px\n  class {} {name}", colour(mark), ids.join(","));
    }
    out
}

/// Lines of text as Mermaid has them. It knows the escapes of HTML, written with `#` in place of `&`.
fn quoted(lines: &[impl AsRef<str>]) -> String {
    let mut text = String::from("\"");
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            text.push_str("<br>");
        }
        for letter in printable(line.as_ref()).chars() {
            match letter {
                '"' => text.push_str("#quot;"),
                '#' => text.push_str("#35;"),
                '<' => text.push_str("#lt;"),
                '>' => text.push_str("#gt;"),
                '&' => text.push_str("#amp;"),
                '`' => text.push_str("#96;"),
                letter => text.push(letter),
            }
        }
    }
    text.push('"');
    text
}
