//! A picture in the language of graphviz, which lays it out: `dot -Tsvg`.

use std::fmt::Write as _;

use super::Picture;
use crate::source::printable;
use crate::state::Action;

/// The picture.
pub fn dot(picture: &Picture) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "digraph {} {{", quoted(&[&picture.topology]));
    out.push_str("  rankdir=LR;\n  fontname=\"monospace\";\n  node [shape=box, fontname=\"monospace\", fontsize=11];\n");
    out.push_str("  edge [fontname=\"monospace\", fontsize=10];\n");
    for (number, cluster) in picture.clusters.iter().enumerate() {
        let id = |kind: &str, at: usize| format!("{kind}_{number}_{at}");
        if !cluster.vips.is_empty() {
            let _ = writeln!(out, "  clients_{number} [label=\"clients\", shape=ellipse];");
        }
        if !cluster.directors.is_empty() {
            let names: Vec<&str> = cluster.directors.iter().map(|machine| machine.name.as_str()).collect();
            let _ = writeln!(out, "  subgraph cluster_directors_{number} {{\n    label={};", quoted(&[&names.join(", ")]));
            for (at, machine) in cluster.directors.iter().enumerate() {
                let _ = writeln!(
                    out,
                    "    {} [label={}, style=dotted{}];",
                    id("director", at),
                    quoted(&machine.lines()),
                    colour(machine.mark)
                );
            }
        }
        for (at, vip) in cluster.vips.iter().enumerate() {
            let _ = writeln!(out, "    {} [label={}, style=rounded{}];", id("vip", at), quoted(&vip.lines()), colour(vip.mark));
        }
        for (at, service) in cluster.services.iter().enumerate() {
            let _ = writeln!(out, "    {} [label={}{}];", id("service", at), quoted(&service.lines()), colour(service.mark));
        }
        if !cluster.directors.is_empty() {
            out.push_str("  }\n");
        }
        for (at, group) in cluster.groups.iter().enumerate() {
            let _ = writeln!(out, "  subgraph cluster_servers_{number}_{at} {{\n    label={};", quoted(&[&group.heading()]));
            let _ = writeln!(out, "    {} [label={}{}];\n  }}", id("servers", at), quoted(&group.lines()), colour(group.mark()));
        }
        for at in cluster.asked() {
            let _ = writeln!(out, "  clients_{number} -> {};", id("vip", at));
        }
        for (vip, service) in &cluster.taken {
            let _ = writeln!(out, "  {} -> {};", id("vip", *vip), id("service", *service));
        }
        for edge in &cluster.forwarded {
            let (service, group, word) = (id("service", edge.service), id("servers", edge.group), edge.method.word());
            let _ = writeln!(out, "  {service} -> {group} [label=\"{word}\"];");
        }
        for (group, service) in cluster.answers() {
            let (to, said) =
                service.map_or_else(|| (format!("clients_{number}"), "straight"), |at| (id("service", at), "answer"));
            let group = id("servers", group);
            let _ = writeln!(out, "  {group} -> {to} [label=\"{said}\", style=dashed, constraint=false];");
        }
        if !cluster.leaving.is_empty() {
            let _ = writeln!(
                out,
                "  leaving_{number} [label={}, style=dashed{}];",
                quoted(&cluster.leaving),
                colour(Some(Action::Delete))
            );
        }
    }
    out.push_str("}\n");
    out
}

/// The attributes of something that changes.
fn colour(mark: Option<Action>) -> String {
    mark.map_or_else(String::new, |mark| format!(", color=\"{}\", penwidth=3", super::colour(mark)))
}

/// Lines of text as the language has them, each from the left.
fn quoted(lines: &[impl AsRef<str>]) -> String {
    let mut text = String::from("\"");
    for line in lines {
        for letter in printable(line.as_ref()).chars() {
            if matches!(letter, '"' | '\\') {
                text.push('\\');
            }
            text.push(letter);
        }
        if lines.len() > 1 {
            text.push_str("\\l");
        }
    }
    text.push('"');
    text
}
