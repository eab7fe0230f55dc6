//! What an editor is told, in both spellings, on whole and on broken texts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lsp_types::{
    CodeActionOrCommand, CompletionTextEdit, HoverContents, InlayHintLabel, Position, TextDocumentContentChangeEvent,
};

use super::text::Document;
use super::{Editor, uri};
use crate::source::memory::InMemory;
use crate::source::{Files, Included, Inputs, Unreadable};

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
    /// What the variable `SHOP_P` says, if anything.
    environment: String,
    editor: Editor,
}

/// A disk with an environment.
struct Disk {
    files: InMemory,
    environment: String,
}

impl Files for Disk {
    fn root(&self, path: &Path) -> Result<Included, Unreadable> {
        self.files.root(path)
    }

    fn included(&self, folder: &Path, path: &Path) -> Result<Included, Unreadable> {
        self.files.included(folder, path)
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, Unreadable> {
        self.files.matching(pattern)
    }

    fn environment(&self, name: &str) -> Option<String> {
        Some(self.environment.clone()).filter(|value| name == "SHOP_P" && !value.is_empty())
    }
}

impl Desk {
    fn new() -> Desk {
        Desk::given(Inputs::default())
    }

    fn given(given: Inputs) -> Desk {
        let files = InMemory::new([("/w/shop.kdl", SHOP), ("/w/sites/front.kdl", SITE), ("/w/prod.kdl", OVERLAY)]);
        let mut desk = Desk {
            disk: files,
            environment: String::new(),
            editor: Editor::new(vec![PathBuf::from("/w")], BTreeMap::new(), given),
        };
        desk.open("/w/shop.kdl", SHOP);
        desk
    }

    fn open(&mut self, path: &str, text: &str) -> BTreeMap<String, Vec<String>> {
        self.editor.open(path.into(), text.to_owned());
        self.refresh()
    }

    /// What is said now of files of which something else was said before.
    fn refresh(&mut self) -> BTreeMap<String, Vec<String>> {
        let files = Disk { files: self.disk.clone(), environment: self.environment.clone() };
        let news = self.editor.refresh(&files).into_iter();
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

/// A topology in one file, renamed at the first `before` where `mark` stands.
fn renamed(text: &str, before: &str, mark: &str, to: &str) -> Result<String, String> {
    let mut desk = Desk::new();
    let path = if text.starts_with("topology =") { "/x/t.toml" } else { "/x/t.kdl" };
    desk.open(path, text);
    Ok(edited(&desk, path, desk.at(path, before, mark), to)?.remove(path).expect("the file"))
}

#[test]
fn an_expectation_and_an_overlay_have_the_new_name_too() {
    let text = "topology \"t\"\nservice \"shop\" { }\nexpect \"enough\" { without \"lb1\"; service \"shop\" servers-min=2; service \"sh*\"; }\n";
    let expected = text.replace("service \"shop\"", "service \"market\"");
    assert_eq!(renamed(text, "service \"shop\"", "shop", "market"), Ok(expected.clone()));
    assert_eq!(renamed(text, "service \"shop\" servers", "shop", "market"), Ok(expected), "from there");
    let mut desk = Desk::new();
    desk.open("/w/prod.kdl", OVERLAY);
    let web = desk.at("/w/prod.kdl", "pool \"web\"", "web");
    let texts = edited(&desk, "/w/prod.kdl", web, "front").expect("a change");
    assert_eq!(texts["/w/prod.kdl"], OVERLAY.replace("pool \"web\"", "pool \"front\""));
    assert_eq!(texts["/w/shop.kdl"], SHOP.replace("pool \"web\"", "pool \"front\""));
    let shop = desk.at("/w/prod.kdl", "service.shop", "shop");
    assert_eq!(edited(&desk, "/w/prod.kdl", shop, "market").expect("a change")["/w/prod.kdl"], OVERLAY.replace("shop", "market"));
}

#[test]
fn names_with_dots_are_told_apart() {
    let text =
        "topology \"t\"\nservice \"old\" { }\nservice \"old.one\" { }\npolicy { protect \"service.old.one\" \"service.old\" }\n";
    let expected = text.replace("service \"old\"", "service \"new\"").replace("\"service.old\"", "\"service.new\"");
    assert_eq!(renamed(text, "service \"old\"", "old", "new"), Ok(expected));
    let expected = text.replace("\"old.one\"", "\"new\"").replace("service.old.one", "service.new");
    assert_eq!(renamed(text, "service \"old.one\"", "old", "new"), Ok(expected.clone()));
    assert_eq!(renamed(text, "service.old.one", "old", "new"), Ok(expected), "from there");
    let mut desk = Desk::new();
    let shop = SHOP.replace("pool \"web\"", "pool \"web.eu\"").replace("server \"web3\"", "server \"web.eu.3\" host=\"web3\"");
    desk.open("/w/shop.kdl", &shop);
    let text = "remove \"pool.web.eu.server.web.eu.3\" \"pool.web.eu.server.10.0.0.9\"\n";
    desk.open("/w/prod.kdl", text);
    let server = desk.at("/w/shop.kdl", "web.eu.3", "web");
    let texts = edited(&desk, "/w/shop.kdl", desk.at("/w/shop.kdl", "pool \"web.eu\"", "web"), "eu").expect("a change");
    assert_eq!(texts["/w/prod.kdl"], text.replace("pool.web.eu", "pool.eu"));
    let found = desk.places(desk.editor.references(Path::new("/w/shop.kdl"), server, true));
    assert_eq!(found, ["prod.kdl:1 web.eu.3", "shop.kdl:5 web.eu.3"]);
}

#[test]
fn a_name_that_was_is_none_where_another_stands_now() {
    let mut desk = Desk::new();
    desk.replace("/w/shop.kdl", "pool \"web\" {", "pool \"web.eu\" {");
    let pool = desk.at("/w/shop.kdl", "pool \"web.eu\"", "web");
    assert_eq!(desk.places(desk.editor.definition(Path::new("/w/shop.kdl"), pool)), ["shop.kdl:5 web.eu"]);
}

#[test]
fn a_name_is_changed_in_quotes_of_every_sort() {
    let text = "topology \"t\"\nvip \"site\" address=\"10.0.0.1\"\nservice \"a\" { listen vip=#\"site\"#; }\nservice \"b\" { listen vip=##\"site\"##; }\nservice \"c\" { listen vip=\"si\\u{74}e\"; listen vip=site; }\n";
    let expected = text
        .replace("vip \"site\"", "vip \"door\"")
        .replace("#\"site\"#", "#\"door\"#")
        .replace("\"si\\u{74}e\"", "\"door\"")
        .replace("vip=site", "vip=door");
    assert_eq!(renamed(text, "vip \"site\"", "site", "door"), Ok(expected));
    let text = "topology = \"t\"\n[vip.site]\naddress = \"10.0.0.1\"\n[service.a]\nlisten = { vip = 'site' }\n[service.b]\nlisten = { vip = \"\"\"site\"\"\" }\n[service.c]\nlisten = { vip = \"\\u0073ite\" }\n";
    let expected = text.replace("site]", "door]").replace("'site'", "'door'").replace("\"site\"", "\"door\"");
    assert_eq!(renamed(text, "[vip.site", "site", "door"), Ok(expected.replace("\"\\u0073ite\"", "\"door\"")));
    let text = "topology \"t\"\nservice \"shop\" { }\npolicy { protect \"service.sh\\u{6f}p\"; }\n";
    let refused = renamed(text, "service \"shop\"", "shop", "market").expect_err("it is within");
    assert_eq!(refused, "the service shop is named in a text with escapes: it is changed by hand");
}

#[test]
fn a_name_that_is_made_of_a_variable_is_found_and_not_changed() {
    let text = "topology \"t\"\nvariable \"dc\" default=\"fra1\"\npool \"web-${dc}\" { }\nservice \"a\" { pool \"web-${dc}\"; }\nservice \"b\" { pool \"web-fra1\"; }\n";
    let mut desk = Desk::new();
    desk.open("/x/t.kdl", text);
    let path = Path::new("/x/t.kdl");
    for before in ["{ pool \"web-${dc}\"", "pool \"web-fra1\""] {
        let at = desk.at("/x/t.kdl", before, "web");
        assert_eq!(desk.places(desk.editor.definition(path, at)), ["t.kdl:3 web-${dc}"], "{before}");
        assert_eq!(desk.places(desk.editor.references(path, at, true)).len(), 3, "{before}");
        let refused = edited(&desk, "/x/t.kdl", at, "other").expect_err("it is made of a variable");
        assert_eq!(refused, "`web-${dc}` is a pool's name too, made of a variable: it is changed by hand");
    }
    assert_eq!(desk.offers("/x/t.kdl", "service \"b\" { pool \"web"), ["web-${dc}"]);
    let changed = edited(&desk, "/x/t.kdl", desk.at("/x/t.kdl", "${dc}", "dc"), "site").expect("a change");
    assert_eq!(changed["/x/t.kdl"], text.replace("dc", "site"));
    // Nobody says what it is: it is found by its text.
    desk.open("/x/t.kdl", &text.replace(" default=\"fra1\"", ""));
    let at = desk.at("/x/t.kdl", "{ pool \"web-${dc}\"", "web");
    assert_eq!(desk.places(desk.editor.definition(path, at)), ["t.kdl:3 web-${dc}"]);
}

#[test]
fn within_quotes_names_are_offered_where_something_is_said_of_them_and_no_words() {
    let mut desk = Desk::new();
    let offers = |desk: &mut Desk, path: &str, text: &str| {
        let (before, behind) = text.split_once('|').expect("a bar");
        let first = if path.contains("front") { SITE } else { "" };
        desk.open(path, &format!("{first}{before}{behind}"));
        desk.offers(path, &format!("{first}{before}"))
    };
    let none = Vec::<String>::new();
    assert_eq!(offers(&mut desk, "/w/sites/front.kdl", "service \"|\""), none);
    assert_eq!(offers(&mut desk, "/w/sites/front.kdl", "service #\"|\"#"), none);
    assert!(offers(&mut desk, "/w/sites/front.kdl", "service \"a\" |").contains(&"drain".to_owned()));
    assert_eq!(offers(&mut desk, "/w/sites/front.kdl", "expect \"x\" { service \"|\" }"), ["shop"]);
    assert_eq!(offers(&mut desk, "/w/sites/front.kdl", "expect \"x\" { without \"|\" }"), ["lb1", "web[1-3]"]);
    assert_eq!(offers(&mut desk, "/w/sites/front.kdl", "service \"a\" { listen vip=#\"|\"# }"), ["front"]);
    desk.editor.close(Path::new("/w/sites/front.kdl"));
    for (text, expected) in [
        ("set { service \"|\" }", vec!["shop"]),
        ("set { pool \"|", vec!["web"]),
        ("set { real-server \"|", vec!["web[1-3]"]),
        ("set { expect \"x\" { service \"|", vec!["shop"]),
        ("add { service \"|\" }", vec![]),
        ("remove \"|\"", vec!["director.lb1", "real-server.web[1-3]", "vip.front", "pool.web", "service.shop"]),
    ] {
        assert_eq!(offers(&mut desk, "/w/prod.kdl", text), expected, "{text}");
    }
    desk.open("/w/test.toml", "[set.service.shop]\ndrain = \"1m\"\n");
    assert_eq!(offers(&mut desk, "/w/test.toml", "[set.service.|"), ["shop"]);
    assert_eq!(desk.taken("/w/test.toml", "[set.service.", "shop"), "[set.service.shop");
    assert_eq!(offers(&mut desk, "/w/test.toml", "[set.service.\"|"), ["shop"]);
    assert_eq!(offers(&mut desk, "/w/test.toml", "remove = [\"|\"]")[3], "pool.web");
}

#[test]
fn overlays_and_topologies_have_words_of_their_own() {
    let mut desk = Desk::new();
    desk.open("/w/prod.kdl", "set { }\n\n");
    assert_eq!(desk.offers("/w/prod.kdl", "set { }\n"), ["remove", "set", "add"]);
    desk.open("/w/sites/front.kdl", "\nvip \"front\" address=\"10.0.0.100\"\n");
    for (path, has_topology) in [("/w/shop.kdl", true), ("/w/sites/front.kdl", false)] {
        let before = if has_topology { "10.0.0.2/24\"; }\n" } else { "" };
        let offers = desk.offers(path, before);
        let has = |word: &str| offers.iter().any(|label| label == word);
        assert!(has("include") && has("service") && !has("set") && !has("remove"), "{offers:?}");
        assert_eq!(has("topology"), has_topology);
    }
    desk.open("/y/new.kdl", "");
    assert!(desk.offers("/y/new.kdl", "").contains(&"set".to_owned()));
    desk.open("/y/new.toml", "topology = \"t\"\n\n[vip.a]\n");
    assert!(desk.taken("/y/new.toml", "\"t\"\n", "include").contains("\ninclude = "));
    assert!(!desk.offers("/y/new.toml", "[").contains(&"include".to_owned()));
}

const PORT: &str = "variable \"p\" type=\"integer\" env=\"SHOP_P\"\n";

/// The shop with a variable for its port, and what is said of it.
fn with_port(given: Inputs, environment: &str) -> (Desk, Vec<(String, lsp_types::Diagnostic)>) {
    let mut desk = Desk::given(given);
    desk.environment = environment.to_owned();
    let text = SHOP.replace("port=443", "port=\"${p}\"") + PORT;
    desk.editor.open("/w/shop.kdl".into(), text);
    let files = Disk { files: desk.disk.clone(), environment: environment.to_owned() };
    let said = desk.editor.refresh(&files).into_iter();
    let all = said.flat_map(|(path, all)| all.into_iter().map(move |one| (path.display().to_string(), one))).collect();
    (desk, all)
}

#[test]
fn a_variable_without_a_value_is_said_softly_and_hides_nothing() {
    let (desk, said) = with_port(Inputs::default(), "");
    let [(path, only)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((path.as_str(), only.severity), ("/w/shop.kdl", Some(lsp_types::DiagnosticSeverity::INFORMATION)));
    assert!(only.message.starts_with("nobody gives variable `p` a value here"), "{only:?}");
    assert_eq!(only.range.start, desk.at("/w/shop.kdl", "variable \"p\"", "\"p\""));
    assert_eq!(desk.hints("/w/shop.kdl"), ["7: tcp 10.0.0.100:1, 3 servers"]);
    let (desk, said) = with_port(Inputs { variables: vec!["p=8443".to_owned(), "q=1".to_owned()], ..Inputs::default() }, "");
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(desk.hints("/w/shop.kdl"), ["7: tcp 10.0.0.100:8443, 3 servers"]);
    let (desk, said) = with_port(Inputs::default(), "8444");
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(desk.hints("/w/shop.kdl"), ["7: tcp 10.0.0.100:8444, 3 servers"]);
}

#[test]
fn what_is_wrong_in_no_file_is_said_where_a_file_speaks_of_it() {
    for given in [("x", Inputs::default()), ("", Inputs { variables: vec!["p=x".to_owned()], ..Inputs::default() })] {
        let (environment, given) = given;
        let (desk, said) = with_port(given, environment);
        let [(path, only)] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!((path.as_str(), only.severity), ("/w/shop.kdl", Some(lsp_types::DiagnosticSeverity::ERROR)));
        assert!(only.message.contains("variable `p` is an integer"), "{only:?}");
        assert!(only.message.contains(if environment.is_empty() { "in --var p" } else { "in environment variable SHOP_P" }));
        assert_eq!(only.range.start, desk.at("/w/shop.kdl", "variable \"p\"", "\"p\""));
    }
}

#[test]
fn hints_are_of_overlays_that_are_open() {
    let mut desk = Desk::new();
    let text = "add { service \"shop\" { server \"10.0.0.50\"; }; }\n".to_owned();
    desk.disk.0.insert("/w/prod.kdl".into(), Ok(text.clone()));
    desk.editor.touch(Path::new("/w/prod.kdl"));
    desk.refresh();
    assert_eq!(desk.hints("/w/shop.kdl"), ["7: tcp 10.0.0.100:443, 3 servers"]);
    desk.open("/w/prod.kdl", &text);
    assert_eq!(desk.hints("/w/shop.kdl"), ["7: tcp 10.0.0.100:443, 3 servers; tcp 10.0.0.100:443, 4 servers"]);
}

#[test]
fn a_file_keeps_its_ends_of_lines() {
    let mut desk = Desk::new();
    let formatted = |desk: &Desk| desk.editor.format(Path::new("/w/shop.kdl")).expect("a form");
    desk.open("/w/shop.kdl", &SHOP.replace('\n', "\r\n"));
    let text = formatted(&desk).remove(0).new_text;
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    desk.open("/w/shop.kdl", &text);
    assert!(formatted(&desk).is_empty());
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
        .actions(path, whole, None)
        .into_iter()
        .map(|action| match action {
            CodeActionOrCommand::CodeAction(action) => action.title,
            CodeActionOrCommand::Command(command) => command.title,
        })
        .collect();
    assert!(titles.iter().any(|title| title.contains("\"10.0.0.2/24\"")), "{titles:?}");
    assert_eq!(titles.last().map(String::as_str), Some("Mend all that can be meant in one way only"));
    let only = |kind: &'static str| desk.editor.actions(path, whole, Some(&[lsp_types::CodeActionKind::from(kind)])).len();
    let counts = ["source", "source.fixAll", "quickfix", "", "refactor", "sourc"].map(only);
    assert_eq!(counts, [1, 1, titles.len() - 1, titles.len(), 0, 0]);
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
        desk.editor.actions(path, whole, None);
        desk.editor.format(path);
    }
}
