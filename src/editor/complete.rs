//! What may stand at a place: words of the kind, names, schedulers, sysctls, each with what it means.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, MarkupContent, MarkupKind, Position, TextEdit,
};

use super::Editor;
use super::cursor::{Place, Spot, spot};
use super::names::Thing;
use super::part::{self, Part};
use super::text::Document;
use crate::catalogue;
use crate::source::{self, Spelling};
use crate::topology::shape::{Form, Kind, Target, Type};
use crate::topology::{self, Role};

/// Sysctls that a cluster is tuned by; others are taken too. `net.ipv4.vs.*` are the kernel's own (`ip_vs_ctl.c`).
const SYSCTLS: &[&str] = &[
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.send_redirects",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.vs.am_droprate",
    "net.ipv4.vs.amemthresh",
    "net.ipv4.vs.cache_bypass",
    "net.ipv4.vs.conn_reuse_mode",
    "net.ipv4.vs.conntrack",
    "net.ipv4.vs.drop_entry",
    "net.ipv4.vs.drop_packet",
    "net.ipv4.vs.expire_nodest_conn",
    "net.ipv4.vs.expire_quiescent_template",
    "net.ipv4.vs.ignore_tunneled",
    "net.ipv4.vs.nat_icmp_send",
    "net.ipv4.vs.pmtu_disc",
    "net.ipv4.vs.run_estimation",
    "net.ipv4.vs.schedule_icmp",
    "net.ipv4.vs.secure_tcp",
    "net.ipv4.vs.sloppy_sctp",
    "net.ipv4.vs.sloppy_tcp",
    "net.ipv4.vs.snat_reroute",
    "net.ipv4.vs.sync_persist_mode",
    "net.ipv4.vs.sync_ports",
    "net.ipv4.vs.sync_qlen_max",
    "net.ipv4.vs.sync_refresh_period",
    "net.ipv4.vs.sync_retries",
    "net.ipv4.vs.sync_sock_size",
    "net.ipv4.vs.sync_threshold",
    "net.ipv4.vs.sync_version",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_max",
];

/// Something that may stand at a place.
struct Offer {
    /// What is written; a text without its quotes.
    label: String,
    kind: CompletionItemKind,
    /// A few words beside it.
    detail: String,
    /// What it means, in lines of plain text.
    doc: Option<String>,
    /// Whether it is a text, which needs quotes.
    is_text: bool,
    /// What follows the label where it is written.
    end: &'static str,
}

impl Offer {
    fn new(label: impl Into<String>, kind: CompletionItemKind, detail: impl Into<String>) -> Offer {
        Offer { label: label.into(), kind, detail: detail.into(), doc: None, is_text: true, end: "" }
    }
}

impl Editor {
    /// What may stand at a place.
    pub fn complete(&self, path: &Path, position: Position) -> Vec<CompletionItem> {
        let Some((document, spelling, at)) = self.at(path, position) else { return Vec::new() };
        if let Some((bytes, end)) = within_variable(document.text(), at) {
            let names = self.names(path, Thing::Variable).into_iter();
            let offers = names.map(|(name, _)| Offer {
                is_text: false,
                end,
                ..Offer::new(name, CompletionItemKind::VARIABLE, "variable")
            });
            return offers.map(|offer| item(offer, document, bytes.clone(), spelling)).collect();
        }
        let Some(spot) = spot(document.text(), spelling, at) else { return Vec::new() };
        let mut offers: Vec<Offer> = Vec::new();
        match spot.place {
            Place::Word if spot.path.is_empty() => offers.extend(self.first_words(path, &spot, spelling, document)),
            Place::Word => offers.extend(words(&spot, spelling, false)),
            Place::Behind { properties } => {
                offers.extend(spot.value().into_iter().flat_map(|value| self.values(path, value, spelling)));
                offers.extend(self.spoken_of(path, &spot));
                if matches!(spot.kind.form, Form::Keyed) {
                    offers.extend(SYSCTLS.iter().map(|key| Offer::new(*key, CompletionItemKind::PROPERTY, "sysctl")));
                }
                // Within quotes stands a value, and no word.
                if properties && !is_quoted(document.text().get(spot.token.clone()).unwrap_or_default()) {
                    offers.extend(words(&spot, spelling, true));
                }
            }
            Place::Value(field) => {
                offers.extend(self.values(path, field.value, spelling));
                match (spot.kind.word, field.word) {
                    ("", "remove") => offers.extend(self.removable(path)),
                    ("expect", "without") => offers.extend(self.values(path, Type::Reference(Target::Host), spelling)),
                    _ => {}
                }
                if offers.is_empty() {
                    offers.extend(example(field.example, &field.value.to_string(), spelling));
                }
            }
        }
        let token = if spot.unclosed { spot.token.start..at } else { spot.token.clone() };
        let mut seen: BTreeSet<String> = BTreeSet::new();
        offers.retain(|offer| seen.insert(offer.label.clone()));
        // Behind a dot stands a key of TOML.
        let is_key = spelling == Spelling::Toml && document.text().get(..token.start).is_some_and(|before| before.ends_with('.'));
        let bare = |offer: Offer| Offer { is_text: offer.is_text && !(is_key && is_bare(&offer.label)), ..offer };
        offers.into_iter().map(|offer| item(bare(offer), document, token.clone(), spelling)).collect()
    }

    /// The names that may stand behind a kind's word where something is said of what is there: in `set`, in `expect`.
    fn spoken_of(&self, path: &Path, spot: &Spot) -> Vec<Offer> {
        let (["set", word] | ["expect", word @ "service"] | ["set" | "add", "expect", word @ "service"]) = spot.path.as_slice()
        else {
            return Vec::new();
        };
        let names = Thing::of(word).map(|thing| self.names(path, thing)).unwrap_or_default();
        let of_kind = names.into_iter().filter(|(_, kind)| kind == word);
        of_kind.map(|(name, kind)| Offer::new(name, CompletionItemKind::REFERENCE, kind)).collect()
    }

    /// What an overlay may take away.
    fn removable(&self, path: &Path) -> Vec<Offer> {
        let things = [Thing::Host, Thing::Vip, Thing::Pool, Thing::Service, Thing::Variable];
        let names = things.into_iter().flat_map(|thing| self.names(path, thing));
        names.map(|(name, kind)| Offer::new(format!("{kind}.{name}"), CompletionItemKind::REFERENCE, kind)).collect()
    }

    /// The words of a file's top level. Overlays say other ones than topologies, and only the root file says `topology`.
    fn first_words(&self, path: &Path, spot: &Spot, spelling: Spelling, document: &Document) -> Vec<Offer> {
        let mut offers = words(spot, spelling, false);
        let before = document.text().get(..spot.token.start).unwrap_or_default().trim_end_matches(' ');
        // In a header of TOML stands no file's name.
        if !(spelling == Spelling::Toml && before.ends_with('[')) {
            let end = if spelling == Spelling::Toml { " = " } else { " " };
            let doc = "Files of the same topology, relative to the file that says it; patterns too: include \"sites/*.kdl\"";
            let include = Offer::new("include", CompletionItemKind::FIELD, "files and patterns");
            offers.push(Offer { doc: Some(doc.to_owned()), is_text: false, end, ..include });
        }
        let kind = self.face(path, document.text(), spelling);
        offers.retain(|offer| match (kind, offer.label.as_str()) {
            (Face::Overlay, word) => part::OVERLAY.contains(&word),
            (Face::Root, word) => !part::OVERLAY.contains(&word),
            (Face::Included, word) => word != "topology" && !part::OVERLAY.contains(&word),
            (Face::Unknown, _) => true,
        });
        offers
    }

    /// What a file is to its topology.
    fn face(&self, path: &Path, text: &str, spelling: Spelling) -> Face {
        let mut face = Face::Unknown;
        for (part, known) in &self.topologies {
            match part {
                Part::Topology { overlay: Some(overlay), .. } if overlay == path => return Face::Overlay,
                Part::Topology { root, .. } if root == path => return Face::Root,
                Part::Topology { .. } if known.now.id(path).is_some() => face = Face::Included,
                Part::Topology { .. } | Part::Alone(_) => {}
            }
        }
        if face == Face::Unknown {
            let nodes = source::one(path, spelling, text.to_owned()).tree.nodes;
            let has = |words: &[&str]| nodes.iter().any(|node| words.contains(&&*node.key));
            if has(&["topology"]) {
                face = Face::Root;
            } else if has(part::OVERLAY) {
                face = Face::Overlay;
            }
        }
        face
    }

    fn values(&self, path: &Path, value: Type, spelling: Spelling) -> Vec<Offer> {
        let named = |thing: Thing| {
            let names = self.names(path, thing).into_iter();
            names.map(|(name, kind)| Offer::new(name, CompletionItemKind::REFERENCE, kind)).collect::<Vec<Offer>>()
        };
        match value {
            Type::Word(all) => all.iter().map(|word| Offer::new(*word, CompletionItemKind::ENUM_MEMBER, about(word))).collect(),
            Type::Boolean => {
                let words = if spelling == Spelling::Kdl { ["#true", "#false"] } else { ["true", "false"] };
                words.map(|word| Offer { is_text: false, ..Offer::new(word, CompletionItemKind::VALUE, "") }).into()
            }
            Type::Reference(Target::Director) => {
                let mut directors = named(Thing::Host);
                directors.retain(|offer| offer.detail == "director");
                directors
            }
            Type::Reference(target) => Thing::of_target(target).map(named).unwrap_or_default(),
            Type::Server => named(Thing::Host),
            Type::Via => named(Thing::Vip),
            Type::Object => [Thing::Service, Thing::Vip, Thing::Pool]
                .into_iter()
                .flat_map(|thing| {
                    named(thing)
                        .into_iter()
                        .map(move |offer| Offer { label: format!("{}.{}", thing.word(), offer.label), ..offer })
                })
                .collect(),
            Type::Interface => self.interfaces(path),
            Type::Code => catalogue::pages()
                .map(|page| Offer {
                    doc: Some(page.what.to_owned()),
                    ..Offer::new(page.name, CompletionItemKind::CONSTANT, page.title)
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The devices of all hosts, those of directors first.
    fn interfaces(&self, path: &Path) -> Vec<Offer> {
        let hosts = self.of(path).filter_map(|(known, _)| known.topology()).flat_map(|(topology, _)| topology.hosts.values());
        let mut devices: Vec<(bool, &str, &str)> = hosts
            .flat_map(|host| {
                host.interfaces.keys().map(|name| (host.role != Role::Director, name.as_str(), host.name.value.as_str()))
            })
            .collect();
        devices.sort_unstable();
        devices.into_iter().map(|(_, name, host)| Offer::new(name, CompletionItemKind::REFERENCE, format!("of {host}"))).collect()
    }
}

/// What a file is to its topology.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Face {
    /// The file that has `topology`.
    Root,
    /// One that it includes.
    Included,
    /// One that is laid over it.
    Overlay,
    /// Nobody knows yet.
    Unknown,
}

/// Whether a token is a text in quotes, raw ones too.
fn is_quoted(token: &str) -> bool {
    token.trim_start_matches('#').starts_with(['"', '\''])
}

/// Whether a name needs no quotes as a key of TOML.
fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The words of a kind; as properties only fields, as nodes also kinds.
fn words(spot: &Spot, spelling: Spelling, as_properties: bool) -> Vec<Offer> {
    let kind: &'static Kind = spot.kind;
    let path = |word: &str| {
        let words: Vec<&str> = spot.path.iter().copied().chain([word]).collect();
        topology::explain(&words.join("."))
    };
    let end = match (spelling, as_properties) {
        (Spelling::Kdl, true) => "=",
        (Spelling::Kdl, false) => " ",
        (Spelling::Toml, _) => " = ",
    };
    let field = |field: &'static crate::topology::shape::Field| Offer {
        doc: path(field.word),
        is_text: false,
        end,
        ..Offer::new(field.word, CompletionItemKind::FIELD, field.value.to_string())
    };
    let child = |child: &'static crate::topology::shape::Child| Offer {
        doc: path(child.kind.word),
        is_text: false,
        end: match (spelling, child.kind.form) {
            (Spelling::Kdl, _) => end,
            (Spelling::Toml, Form::Main { .. }) => " = ",
            (Spelling::Toml, _) => "",
        },
        ..Offer::new(child.kind.word, CompletionItemKind::CLASS, child.kind.doc)
    };
    // The root's one field is for overlays, where it is a word like any other.
    let is_value = |child: &&'static crate::topology::shape::Child| matches!(child.kind.form, Form::Main { .. });
    let children = kind.kinds.iter().filter(|child| !as_properties || is_value(child)).map(child);
    kind.fields.iter().map(field).chain(children).collect()
}

/// What a few words of the kernel's mean.
fn about(word: &str) -> &'static str {
    match word {
        "rr" => "one after the other",
        "wrr" => "one after the other, by weight",
        "lc" => "fewest connections",
        "wlc" => "fewest connections for its weight",
        "lblc" => "by destination, fewest connections",
        "lblcr" => "by destination with several servers",
        "sh" => "by the client's address",
        "dh" => "by the destination's address",
        "sed" => "shortest expected delay",
        "nq" => "an idle one first",
        "fo" => "the heaviest one that lives",
        "ovf" => "the heaviest one until it is full",
        "mh" => "consistently, by the client's address",
        "twos" => "the better of two at random",
        "nat" => "answers come back through the director",
        "dr" => "answers go straight to clients, on one wire",
        "tun" => "answers go straight to clients, through a tunnel",
        _ => "",
    }
}

/// What the language's own example says.
fn example(text: &str, detail: &str, spelling: Spelling) -> Option<Offer> {
    let (text, is_text) = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if inner.contains('"') => return None,
        Some(inner) => (inner, true),
        None => (text, false),
    };
    let text = if spelling == Spelling::Toml { text.trim_start_matches('#') } else { text };
    Some(Offer { is_text, ..Offer::new(text, CompletionItemKind::VALUE, detail) })
}

/// The name that is being written behind `${`, and what is to follow it.
fn within_variable(text: &str, at: usize) -> Option<(Range<usize>, &'static str)> {
    let line = text.get(..at)?.rsplit('\n').next()?;
    let name = line.rsplit("${").next().filter(|name| name.len() < line.len())?;
    if name.contains(|letter: char| letter == '}' || letter == '"' || letter.is_whitespace()) {
        return None;
    }
    let end = if text.get(at..).is_some_and(|rest| rest.starts_with('}')) { "" } else { "}" };
    Some((at - name.len()..at, end))
}

fn item(offer: Offer, document: &Document, token: Range<usize>, spelling: Spelling) -> CompletionItem {
    let Offer { label, kind, detail, doc, is_text, end } = offer;
    let there = document.text().get(token.clone()).unwrap_or_default();
    // What is written without quotes is found by its letters, and so is what is written with them.
    let quote = if is_text { "\"" } else { "" };
    // What follows a word may be there already.
    let behind = document.text().get(token.end..).unwrap_or_default().trim_start_matches(' ');
    let has_end = match spelling {
        Spelling::Kdl => {
            end == "=" && behind.starts_with('=')
                || end == " " && document.text().get(token.end..).is_some_and(|rest| rest.starts_with(' '))
        }
        Spelling::Toml => behind.starts_with('='),
    };
    let end = if has_end { "" } else { end };
    let new_text = format!("{quote}{label}{quote}{end}");
    let hashes = "#".repeat(there.len() - there.trim_start_matches('#').len());
    let filter = if is_quoted(there) { format!("{hashes}\"{label}\"") } else { label.clone() };
    CompletionItem {
        kind: Some(kind),
        detail: Some(detail).filter(|detail| !detail.is_empty()),
        documentation: doc.map(|value| Documentation::MarkupContent(plain(value))),
        filter_text: Some(filter),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit { range: document.range(token), new_text })),
        label,
        ..CompletionItem::default()
    }
}

/// A text that is laid out already.
pub fn plain(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::PlainText, value }
}
