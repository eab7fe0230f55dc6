//! What the kernel gets, beside the lines that say it: `tcp 10.0.0.100:443, 3 servers`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lsp_types::{InlayHint, InlayHintKind, InlayHintLabel};

use super::Editor;
use crate::compile;
use crate::source::{Origin, Span};
use crate::state::{DestinationKey, Key, ServiceKey};
use crate::topology::{Role, Topology};

/// So many services of one line are named.
const NAMED: usize = 2;

impl Editor {
    /// The hints of some lines of a file.
    pub fn hints(&self, path: &Path, range: lsp_types::Range) -> Vec<InlayHint> {
        let Some(document) = self.documents.get(path) else { return Vec::new() };
        let (start, end) = (document.offset(range.start), document.offset(range.end));
        let mut hints: BTreeMap<usize, String> = BTreeMap::new();
        // Overlays that nobody has open say something else of the same lines.
        let shown = self.topologies.iter().filter(|(part, known)| self.is_shown(part) && known.now.id(path).is_some());
        for (_, known) in shown {
            let Some((topology, analysis)) = known.topology() else { continue };
            for (span, services) in listens(topology) {
                let bytes = span.start as usize..span.end as usize;
                let file = analysis.sources.plain(span.file);
                let now = known.carried(analysis, file, bytes).filter(|(file, _)| file == path).map(|(_, bytes)| bytes);
                let Some(line) = now.filter(|bytes| start <= bytes.end && bytes.start <= end) else { continue };
                // At the end of what the token's line says.
                let text = document.text().get(line.start..).unwrap_or_default();
                let at = line.start + text.find(['\n', '\r']).unwrap_or(text.len());
                let hint = services.join("; ");
                let all = hints.entry(at).or_default();
                if !all.split("; ").any(|known| known == hint) {
                    *all = if all.is_empty() { hint } else { format!("{all}; {hint}") };
                }
            }
        }
        let hint = |(at, text)| InlayHint {
            position: document.position(at),
            label: InlayHintLabel::String(text),
            kind: Some(InlayHintKind::TYPE),
            text_edits: None,
            tooltip: None,
            padding_left: Some(true),
            padding_right: None,
            data: None,
        };
        hints.into_iter().map(hint).collect()
    }
}

/// The kernel's services of each `listen`, in words.
fn listens(topology: &Topology) -> BTreeMap<Span, Vec<String>> {
    let mut services: BTreeMap<Span, BTreeMap<ServiceKey, BTreeSet<DestinationKey>>> = BTreeMap::new();
    for host in topology.hosts.values().filter(|host| host.role == Role::Director) {
        let compiled = compile::compile(topology, host);
        let mut servers: BTreeMap<ServiceKey, BTreeSet<DestinationKey>> = BTreeMap::new();
        for key in compiled.state.objects.keys().filter_map(Key::server) {
            servers.entry(key.service).or_default().insert(key);
        }
        for (key, provenance) in &compiled.names {
            if let (Key::Service(key), Origin::Text(span)) = (key, provenance.origin) {
                let of = servers.get(key).cloned().unwrap_or_default();
                services.entry(span).or_default().entry(*key).or_default().extend(of);
            }
        }
    }
    services.into_iter().map(|(span, of)| (span, said(&of))).collect()
}

fn said(services: &BTreeMap<ServiceKey, BTreeSet<DestinationKey>>) -> Vec<String> {
    let one = |(key, servers): (&ServiceKey, &BTreeSet<DestinationKey>)| {
        format!("{key}, {} server{}", servers.len(), if servers.len() == 1 { "" } else { "s" })
    };
    let mut all: Vec<String> = services.iter().take(NAMED).map(one).collect();
    if services.len() > NAMED {
        all.push(format!("{} more", services.len() - NAMED));
    }
    all
}
