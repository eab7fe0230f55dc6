//! What an editor is told, in both spellings, on whole and on broken texts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lsp_types::{
    CodeActionOrCommand, CompletionTextEdit, HoverContents, InlayHintLabel, Position, TextDocumentContentChangeEvent,
};

use super::text::Document;
use super::{Editor, uri};
use crate::source::memory::InMemory;

const SHOP: &str = r#"topology "shop"
include "sites/*.kdl"
director "lb1" { interface "eth0" address="10.0.0.2/24"; }
real-server "web[1-3]" { interface "eth0" address="10.0.0.[11-13]/24"; }
pool "web" { server "web[1-2]"; server "web3" weight=2; }
service "shop" {
    listen vip="front" port=443
    forward "dr"
    pool "web"
}
policy { protect "service.shop" "vip.front" }
"#;

const SITE: &str = "vip \"front\" address=\"10.0.0.100\"\n";

const OVERLAY: &str = "set { pool \"web\" { server \"web3\" weight=9; }; }\nremove \"service.shop\"\n";

/// An editor with a disk, and the texts that are open in it.
struct Desk {
    disk: InMemory,
    editor: Editor,
}

impl Desk {
    fn new() -> Desk {
        let files = InMemory::new([("/w/shop.kdl", SHOP), ("/w/sites/front.kdl", SITE), ("/w/prod.kdl", OVERLAY)]);
        let mut desk = Desk { disk: files, editor: Editor::new(vec![PathBuf::from("/w")], BTreeMap::new()) };
        desk.open("/w/shop.kdl", SHOP);
        desk
    }

    fn open(&mut self, path: &str, text: &str) -> BTreeMap<String, Vec<String>> {
        self.editor.open(path.into(), text.to_owned());
        self.refresh()
    }

    /// What is said now of files of which something else was said before.
    fn refresh(&mut self) -> BTreeMap<String, Vec<String>> {
        let news = self.editor.refresh(&self.disk).into_iter();
        let said = |all: Vec<lsp_types::Diagnostic>| all.into_iter().map(|one| one.message).collect();
        news.map(|(path, all)| (path.display().to_string(), said(all))).collect()
    }

    /// Replaces a piece of an open text.
    fn replace(&mut self, path: &str, old: &str, new: &str) -> BTreeMap<String, Vec<String>> {
        let document = &self.editor.documents[Path::new(path)];
        let start = document.text().find(old).unwrap_or_else(|| panic!("{old} in {}", document.text()));
        let range = Some(document.range(start..start + old.len()));
        let change = TextDocumentContentChangeEvent { range, range_length: None, text: new.to_owned() };
        self.editor.change(Path::new(path), vec![change]);
        self.refresh()
    }

    /// The position of `mark` behind the first `before`.
    fn at(&self, path: &str, before: &str, mark: &str) -> Position {
        let document = &self.editor.documents[Path::new(path)];
        let start = document.text().find(before).unwrap_or_else(|| panic!("{before}"));
        let inner = before.find(mark).unwrap_or_else(|| panic!("{mark} in {before}"));
        document.position(start + inner)
    }

    /// What is offered where `before` ends, and the text with the offer of this label taken.
    fn offers(&self, path: &str, before: &str) -> Vec<String> {
        let document = &self.editor.documents[Path::new(path)];
        let at = document.text().find(before).unwrap_or_else(|| panic!("{before}")) + before.len();
        self.editor.complete(Path::new(path), document.position(at)).into_iter().map(|item| item.label).collect()
    }

    fn taken(&self, path: &str, before: &str, label: &str) -> String {
        let document = &self.editor.documents[Path::new(path)];
        let at = document.text().find(before).unwrap_or_else(|| panic!("{before}")) + before.len();
        let items = self.editor.complete(Path::new(path), document.position(at));
        let item = items.into_iter().find(|item| item.label == label).unwrap_or_else(|| panic!("{label}"));
        let Some(CompletionTextEdit::Edit(edit)) = item.text_edit else { panic!("an edit") };
        let mut document = document.clone();
        document.change(TextDocumentContentChangeEvent { range: Some(edit.range), range_length: None, text: edit.new_text });
        document.text().to_owned()
    }

    fn hover(&self, path: &str, before: &str, mark: &str) -> String {
        match self.editor.hover(Path::new(path), self.at(path, before, mark)).map(|hover| hover.contents) {
            Some(HoverContents::Markup(content)) => content.value,
            other => format!("{other:?}"),
        }
    }

    fn places(&self, found: Vec<lsp_types::Location>) -> Vec<String> {
        let text = |location: lsp_types::Location| {
            let path = uri::path(&location.uri).expect("a file");
            let document = self.editor.documents.get(&path).cloned();
            let document = document.unwrap_or_else(|| Document::new(self.disk.0[&path].clone().expect("a text")));
            let bytes = document.offset(location.range.start)..document.offset(location.range.end);
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            format!("{name}:{} {}", location.range.start.line + 1, &document.text()[bytes])
        };
        found.into_iter().map(text).collect()
    }

    fn hints(&self, path: &str) -> Vec<String> {
        let document = &self.editor.documents[Path::new(path)];
        let hints = self.editor.hints(Path::new(path), document.whole()).into_iter();
        hints
            .map(|hint| match hint.label {
                InlayHintLabel::String(text) => format!("{}: {text}", hint.position.line + 1),
                InlayHintLabel::LabelParts(_) => panic!("a text"),
            })
            .collect()
    }
}

#[test]
fn what_is_wrong_is_said_in_the_file_where_it_is_and_taken_back_when_it_is_mended() {
    let mut desk = Desk::new();
    let said = desk.replace("/w/shop.kdl", "vip=\"front\" port", "vip=\"frnt\" port");
    assert!(said["/w/shop.kdl"][0].contains("no vip is called `frnt`") || said["/w/shop.kdl"][0].contains("frnt"), "{said:?}");
    assert_eq!(desk.replace("/w/shop.kdl", "vip=\"frnt\"", "vip=\"front\""), [("/w/shop.kdl".to_owned(), vec![])].into());
    let said = desk.open("/w/sites/front.kdl", "vip \"front\" address=\"10.0.0.100\" colour=\"red\"\n");
    assert_eq!(said.keys().collect::<Vec<_>>(), ["/w/sites/front.kdl"]);
    desk.editor.close(Path::new("/w/sites/front.kdl"));
    assert_eq!(desk.refresh(), [("/w/sites/front.kdl".to_owned(), vec![])].into());
}

#[test]
fn a_part_is_seen_within_the_topology_that_includes_it() {
    let mut desk = Desk::new();
    desk.editor.close(Path::new("/w/shop.kdl"));
    let said = desk.open("/w/sites/front.kdl", SITE);
    assert!(said.values().all(Vec::is_empty), "{said:?}");
    assert_eq!(desk.hints("/w/sites/front.kdl"), Vec::<String>::new());
    let said = desk.open("/w/sites/front.kdl", "vip \"back\" address=\"10.0.0.100\"\n");
    assert!(said["/w/shop.kdl"].iter().any(|message| message.contains("front")), "{said:?}");
}

#[test]
fn an_overlay_is_seen_over_the_only_topology_of_its_folder() {
    let mut desk = Desk::new();
    desk.editor.close(Path::new("/w/shop.kdl"));
    let said = desk.open("/w/prod.kdl", "set { pool \"webb\" { server \"web3\" weight=9; }; }\n");
    assert!(said["/w/prod.kdl"][0].contains("webb"), "{said:?}");
    let said = desk.open("/w/prod.kdl", "set { pool \"web\" { server \"web3\" weight=9; }; }\n");
    assert_eq!(said["/w/prod.kdl"], Vec::<String>::new());
    let position = desk.at("/w/prod.kdl", "pool \"web\"", "web");
    assert_eq!(desk.places(desk.editor.definition(Path::new("/w/prod.kdl"), position)), ["shop.kdl:5 web"]);
}

#[test]
fn a_file_of_nothing_is_read_for_its_syntax() {
    let mut desk = Desk::new();
    assert_eq!(desk.open("/w/values.kdl", "dc \"fra1\"\n"), [("/w/values.kdl".to_owned(), vec![])].into());
    assert_eq!(desk.open("/w/values.kdl", "dc \"fra1\n")["/w/values.kdl"].len(), 1);
}

#[test]
fn words_names_and_values_are_offered_where_they_may_stand() {
    let mut desk = Desk::new();
    let path = "/w/shop.kdl";
    assert!(desk.offers(path, "address=\"10.0.0.2/24\"; }\n").contains(&"real-server".to_owned()));
    assert_eq!(desk.offers(path, "listen vip=\"fr"), ["front"]);
    assert!(desk.offers(path, "forward \"d").contains(&"tun".to_owned()));
    assert_eq!(desk.offers(path, "    pool \"we"), ["web"]);
    assert!(desk.offers(path, "protect \"s").contains(&"vip.front".to_owned()));
    assert!(desk.offers(path, "weight").iter().any(|label| label == "weight"));
    desk.replace(path, "    forward \"dr\"\n", "    forward \"dr\"\n    scheduler \n    re");
    assert!(desk.offers(path, "    scheduler ").contains(&"mh".to_owned()));
    assert!(desk.taken(path, "    scheduler ", "mh").contains("    scheduler \"mh\"\n"));
    assert!(desk.taken(path, "\n    re", "return-path").contains("\n    return-path "));
    assert!(desk.taken(path, "listen vip=\"fr", "front").contains("listen vip=\"front\" port=443"));
}

#[test]
fn toml_is_offered_the_same() {
    let mut desk = Desk::new();
    let text = "topology = \"t\"\n[vip.front]\naddress = \"10.0.0.1\"\n[service.a]\nlisten = { vip = \"\" }\nscheduler = \nforward = \"dr\"\nsch\n";
    desk.open("/w/t.toml", text);
    assert_eq!(desk.offers("/w/t.toml", "listen = { vip = \""), ["front"]);
    assert!(desk.taken("/w/t.toml", "listen = { vip = \"", "front").contains("{ vip = \"front\" }"));
    assert!(desk.taken("/w/t.toml", "scheduler = ", "wlc").contains("scheduler = \"wlc\"\n"));
    assert!(desk.taken("/w/t.toml", "\nsch", "scheduler").contains("\nscheduler = \n"));
    assert!(desk.offers("/w/t.toml", "forward = \"d").contains(&"nat".to_owned()));
}

#[test]
fn a_word_is_explained_and_a_name_described() {
    let desk = Desk::new();
    let path = "/w/shop.kdl";
    assert!(desk.hover(path, "forward \"dr\"", "forward").contains("forward"));
    assert!(desk.hover(path, "port=443", "port").starts_with("port of listen"));
    assert_eq!(desk.hover(path, "vip=\"front\"", "front"), "vip front: 10.0.0.100\ncarried by every director");
    assert!(desk.hover(path, "server \"web3\"", "web3").starts_with("real-server web3: eth0 10.0.0.13/24"));
    assert!(desk.hover(path, "    pool \"web\"", "web").starts_with("pool web: 3 servers, weights 4 together"));
}

#[test]
fn what_is_wrong_is_explained_by_its_page() {
    let mut desk = Desk::new();
    desk.replace("/w/shop.kdl", "weight=2", "wieght=2");
    assert!(desk.hover("/w/shop.kdl", "wieght", "wieght").contains("LVS"));
}

#[test]
fn a_name_is_found_in_every_file() {
    let mut desk = Desk::new();
    desk.open("/w/sites/front.kdl", SITE);
    let path = Path::new("/w/shop.kdl");
    let vip = desk.at("/w/shop.kdl", "vip=\"front\"", "front");
    assert_eq!(desk.places(desk.editor.definition(path, vip)), ["front.kdl:1 front"]);
    let all = ["shop.kdl:7 front", "shop.kdl:11 front", "front.kdl:1 front"];
    let found = desk.places(desk.editor.references(path, vip, true));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(all.iter().all(|place| found.iter().any(|other| other == place)), "{found:?}");
    let web3 = desk.at("/w/shop.kdl", "server \"web3\"", "web3");
    assert_eq!(desk.places(desk.editor.definition(path, web3)), ["shop.kdl:4 web[1-3]"]);
}

fn edited(desk: &Desk, path: &str, position: Position, to: &str) -> Result<BTreeMap<String, String>, String> {
    let edit = desk.editor.rename(Path::new(path), position, to)?;
    let mut texts = BTreeMap::new();
    for (uri, mut edits) in edit.changes.expect("changes") {
        let path = uri::path(&uri).expect("a file");
        let open = desk.editor.documents.get(&path).cloned();
        let mut document = open.unwrap_or_else(|| Document::new(desk.disk.0[&path].clone().expect("a text")));
        edits.sort_by_key(|edit| std::cmp::Reverse((edit.range.start.line, edit.range.start.character)));
        for edit in edits {
            document.change(TextDocumentContentChangeEvent { range: Some(edit.range), range_length: None, text: edit.new_text });
        }
        texts.insert(path.display().to_string(), document.text().to_owned());
    }
    Ok(texts)
}

#[test]
fn another_name_is_written_everywhere() {
    let desk = Desk::new();
    let vip = desk.at("/w/shop.kdl", "vip=\"front\"", "front");
    let texts = edited(&desk, "/w/shop.kdl", vip, "door").expect("a change");
    assert_eq!(texts["/w/sites/front.kdl"], SITE.replace("\"front\"", "\"door\""));
    assert_eq!(texts["/w/shop.kdl"], SHOP.replace("vip=\"front\"", "vip=\"door\"").replace("vip.front", "vip.door"));
    let web = desk.at("/w/shop.kdl", "server \"web3\"", "web3");
    let texts = edited(&desk, "/w/shop.kdl", web, "www3").expect("a change");
    assert_eq!(texts["/w/prod.kdl"], OVERLAY.replace("web3", "www3"), "an overlay that nobody has open");
    let expected =
        SHOP.replace("\"web[1-3]\"", "\"www[1-3]\"").replace("\"web[1-2]\"", "\"www[1-2]\"").replace("\"web3\"", "\"www3\"");
    assert_eq!(texts["/w/shop.kdl"], expected);
    let director = desk.at("/w/shop.kdl", "director \"lb1\"", "lb1");
    assert_eq!(edited(&desk, "/w/shop.kdl", director, "web2"), Err("there is a host web2 already".to_owned()));
    for bad in ["", "a b", "1", "ü", "10.0.0.1", "10.0.0.[1-2]"] {
        assert!(edited(&desk, "/w/shop.kdl", vip, bad).is_err(), "{bad}");
    }
    let service = desk.at("/w/shop.kdl", "forward \"dr\"", "forward");
    assert!(edited(&desk, "/w/shop.kdl", service, "x").is_err());
}

#[test]
fn the_kernels_service_stands_beside_each_listen() {
    let mut desk = Desk::new();
    assert_eq!(desk.hints("/w/shop.kdl"), ["7: tcp 10.0.0.100:443, 3 servers"]);
    // While the text is broken, what was understood last serves, where it is now.
    desk.replace("/w/shop.kdl", "topology \"shop\"\n", "topology \"shop\"\n// a line\nvip \"x\" {\n");
    assert_eq!(desk.hints("/w/shop.kdl"), ["9: tcp 10.0.0.100:443, 3 servers"]);
    assert_eq!(desk.offers("/w/shop.kdl", "listen vip=\"fr"), ["front"]);
}

#[test]
fn what_check_would_mend_is_offered_as_a_fix() {
    let mut desk = Desk::new();
    desk.replace("/w/shop.kdl", "forward \"dr\"", "forward \"dr\"\n    drain \"1m\"\n    quiesce=false");
    desk.replace("/w/shop.kdl", "address=\"10.0.0.2/24\"", "address=10.0.0.2/24");
    let path = Path::new("/w/shop.kdl");
    let whole = desk.editor.documents[path].whole();
    let titles: Vec<String> = desk
        .editor
        .actions(path, whole)
        .into_iter()
        .map(|action| match action {
            CodeActionOrCommand::CodeAction(action) => action.title,
            CodeActionOrCommand::Command(command) => command.title,
        })
        .collect();
    assert!(titles.iter().any(|title| title.contains("\"10.0.0.2/24\"")), "{titles:?}");
    assert_eq!(titles.last().map(String::as_str), Some("Mend all that can be meant in one way only"));
}

#[test]
fn a_file_is_written_in_its_canonical_form_and_a_broken_one_left_alone() {
    let mut desk = Desk::new();
    let path = Path::new("/w/shop.kdl");
    assert_eq!(desk.editor.format(path).map(|edits| edits.len()), Some(1));
    desk.replace("/w/shop.kdl", "service \"shop\" {", "service \"shop\" {{");
    assert_eq!(desk.editor.format(path), None);
}

#[test]
fn no_edit_brings_it_down() {
    let mut desk = Desk::new();
    let toml = include_str!("../../examples/api-gateway.toml");
    desk.open("/w/gate/gate.toml", toml);
    let pieces = [
        "\"", "{", "}", "[", "]", "=", "\n", ";", "\\", "${", "/*", "*/", "//", "#", "web[1-3]", "ü😀", "listen ", "vip=",
        "\"\"\"", ".", "",
    ];
    let mut seed = 7u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or(0) % below.max(1)
    };
    for round in 0..2_000 {
        let path = Path::new(["/w/shop.kdl", "/w/gate/gate.toml"][random(2)]);
        let text = desk.editor.documents[path].text().len();
        let document = desk.editor.documents[path].clone();
        let start = random(text + 1);
        let range = document.range(start..(start + random(6)).min(text));
        let piece = pieces[random(pieces.len())].to_owned();
        let change = TextDocumentContentChangeEvent { range: Some(range), range_length: None, text: piece };
        desk.editor.change(path, vec![change]);
        if round % 50 == 49 {
            let text = if path.ends_with("shop.kdl") { SHOP } else { toml };
            desk.editor.open(path.to_owned(), text.to_owned());
        }
        desk.refresh();
        let at = desk.editor.documents[path].position(random(text));
        desk.editor.complete(path, at);
        desk.editor.hover(path, at);
        let _ = desk.editor.rename(path, at, "other");
        desk.editor.references(path, at, true);
        let whole = desk.editor.documents[path].whole();
        desk.editor.hints(path, whole);
        desk.editor.actions(path, whole);
        desk.editor.format(path);
    }
}
