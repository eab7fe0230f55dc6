//! What a word means: the language's reference for kinds and fields, what is known of a name, and the pages of what is wrong there.

use std::path::Path;

use lsp_types::{Hover, HoverContents, Position};

use super::Editor;
use super::actions::bytes;
use super::complete::plain;
use super::cursor::{Place, spot};
use super::names::{Mention, Thing};
use crate::catalogue;
use crate::topology::range::NameRange;
use crate::topology::{self, Host, Role, Topology};

impl Editor {
    /// What stands at a place, in lines of plain text.
    pub fn hover(&self, path: &Path, position: Position) -> Option<Hover> {
        let (document, spelling, at) = self.at(path, position)?;
        let mut texts: Vec<String> = Vec::new();
        let mut range = None;
        if let Some((known, mention, bytes)) = self.mention(path, at) {
            let described = known.topology().and_then(|(topology, _)| described(topology, mention));
            texts.push(described.unwrap_or_else(|| format!("{} {}", mention.thing.word(), mention.name)));
            range = Some(document.range(bytes));
        } else if let Some(spot) = spot(document.text(), spelling, at).filter(|spot| !spot.token.is_empty()) {
            let word = document.text().get(spot.token.clone()).unwrap_or_default();
            let mut words: Vec<&str> = spot.path.clone();
            match spot.place {
                Place::Word => words.push(word),
                Place::Behind { .. } if spot.kind.words().any(|known| known == word) => words.push(word),
                Place::Value(field) => words.push(field.word),
                Place::Behind { .. } => {}
            }
            texts.extend(topology::explain(&words.join(".")));
            range = Some(document.range(spot.token));
        }
        for (known, file) in self.of(path) {
            for problem in &known.now.problems {
                let here = problem.labels.iter().any(|label| {
                    known.now.sources.plain(label.span.file) == file
                        && bytes(label.span).start <= at
                        && at <= bytes(label.span).end
                });
                if let (true, Some(page)) = (here, problem.page()) {
                    let text = catalogue::plain(page);
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                }
            }
        }
        let text = texts.join("\n----\n\n");
        (!text.is_empty()).then(|| Hover { contents: HoverContents::Markup(plain(text)), range })
    }
}

/// What is known of what a name names.
fn described(topology: &Topology, mention: &Mention) -> Option<String> {
    let name = &*mention.name;
    match mention.thing {
        Thing::Host => {
            let names = NameRange::parse(name).ok()?;
            let hosts: Vec<&Host> = (0..names.count().min(64)).filter_map(|at| topology.hosts.get(&names.at(at))).collect();
            let lines = hosts.iter().take(8).map(|host| {
                let addresses = host.interfaces.values().flat_map(|interface| {
                    interface.addresses.iter().map(|address| format!("{} {}", interface.name.value, address.value))
                });
                let role = if host.role == Role::Director { "director" } else { "real-server" };
                format!("{role} {}: {}", host.name.value, addresses.collect::<Vec<_>>().join(", "))
            });
            let mut lines: Vec<String> = lines.collect();
            if names.count() > 8 {
                lines.push(format!("… {} in all", names.count()));
            }
            (!hosts.is_empty()).then(|| lines.join("\n"))
        }
        Thing::Vip => {
            let vip = topology.vips.get(name)?;
            let addresses: Vec<String> = vip.addresses.iter().map(|address| address.value.to_string()).collect();
            let named: Vec<&str> = vip.directors.iter().map(|host| host.value.as_str()).collect();
            let carried = if named.is_empty() { "every director".to_owned() } else { named.join(", ") };
            let holder = vip.holder.as_ref().map(|holder| format!("\nheld by {}", holder.value)).unwrap_or_default();
            Some(format!("vip {name}: {}\ncarried by {carried}{holder}", addresses.join(", ")))
        }
        Thing::Pool => {
            let pool = topology.pools.get(name)?;
            let weight: u64 = pool.servers.iter().map(|server| u64::from(server.weight.value)).sum();
            let servers: Vec<String> = pool
                .servers
                .iter()
                .take(8)
                .map(|server| format!("    {} weight {}", server.label.value, server.weight.value))
                .collect();
            let more = if pool.servers.len() > 8 { "\n    …" } else { "" };
            Some(format!("pool {name}: {} servers, weights {weight} together\n{}{more}", pool.servers.len(), servers.join("\n")))
        }
        Thing::Service => {
            let service = topology.services.get(name)?;
            let pools: Vec<&str> = service.pools.iter().map(|pool| pool.value.as_str()).collect();
            let pools = if pools.is_empty() { String::new() } else { format!("\npools {}", pools.join(", ")) };
            Some(format!("service {name}: scheduler {}{pools}", service.scheduler.name.value))
        }
        Thing::Variable => None,
    }
}
