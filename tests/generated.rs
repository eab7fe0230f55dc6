//! What is generated, and what is said twice, agrees: schemas, the language's reference, the two spellings of each example,
//! and what README shows of the tool.
//!
//! `UPDATE_GOLDEN=1 cargo test --test generated` writes what is generated; read the difference before you commit it.
#![expect(clippy::disallowed_methods, reason = "tests read, and when asked to write, this package's own files")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jsonschema::Validator;
use lvsform::source::Spelling;
use lvsform::spelling::convert::convert;
use lvsform::topology::{self, Topology};
use lvsform::{catalogue, cli, rules, source};
use serde_json::Value;

const EXAMPLES: [&str; 4] = ["api-gateway", "cdn", "flash-sale", "game"];

#[test]
fn the_schemas_are_those_that_the_tool_prints() {
    for name in ["topology", "plan", "check", "test", "drift", "diff", "doctor", "rehearsal"] {
        let printed = lvsform(&["schema", name]).stdout;
        let schema: serde_json::Value = serde_json::from_slice(&printed).expect("JSON");
        jsonschema::validator_for(&schema).expect("a schema");
        generated(&format!("schemas/{name}.schema.json"), &String::from_utf8(printed).expect("UTF-8"));
    }
}

/// `docs/pictures` has each example and the fleet, and one as text.
#[test]
fn the_pictures_are_those_that_the_tool_draws() {
    let drawn = |arguments: &[&str]| {
        let graph = lvsform(&[&["graph"], arguments].concat());
        assert_eq!(String::from_utf8_lossy(&graph.stderr), "");
        String::from_utf8(graph.stdout).expect("UTF-8")
    };
    for name in EXAMPLES {
        generated(&format!("docs/pictures/{name}.svg"), &drawn(&[&format!("examples/{name}.kdl")]));
    }
    let fleet = ["examples/fleet/fleet.kdl", "--overlay", "examples/fleet/production.kdl"];
    generated("docs/pictures/fleet.svg", &drawn(&fleet));
    let live = ["golden/readme/shop.kdl", "--live", "lb1=golden/readme/lb1.json"];
    generated("docs/pictures/live.svg", &drawn(&live));
    for (format, ending) in [("mermaid", "mmd"), ("dot", "dot")] {
        let drawn = drawn(&["examples/flash-sale.kdl", "--format", format]);
        generated(&format!("docs/pictures/flash-sale.{ending}"), &drawn);
    }
}

#[test]
fn the_reference_is_the_one_of_the_table() {
    let path = "docs/language.md";
    let text = read(path);
    let (before, rest) = text.split_once("<!-- reference -->").expect("the page has a place for the reference");
    let (_, after) = rest.split_once("<!-- /reference -->").expect("the place for the reference has an end");
    let reference = topology::reference();
    generated(path, &format!("{before}<!-- reference -->\n{}\n<!-- /reference -->{after}", reference.trim_end()));
}

#[test]
fn the_pages_of_codes_are_those_of_the_catalogue() {
    generated("docs/rules/README.md", &catalogue::index());
    for group in catalogue::GROUPS {
        generated(&format!("docs/rules/{}.md", group.file), &catalogue::markdown(group));
    }
    let files = fs::read_dir(root().join("docs/rules")).expect("docs/rules is a folder").count();
    assert_eq!(files, catalogue::GROUPS.len() + 1, "a page that nobody writes any more");
}

#[test]
fn every_example_is_there_in_both_spellings() {
    let mut files: Vec<String> = fs::read_dir(root().join("examples"))
        .expect("examples is a folder")
        .map(|entry| entry.expect("an entry of examples can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| [".kdl", ".toml"].iter().any(|spelling| name.ends_with(spelling)))
        .collect();
    files.sort();
    let expected: Vec<String> = EXAMPLES.iter().flat_map(|name| [format!("{name}.kdl"), format!("{name}.toml")]).collect();
    assert_eq!(files, expected);
}

#[test]
fn every_example_means_the_same_in_both_spellings() {
    for name in EXAMPLES {
        let [kdl, toml] = ["kdl", "toml"].map(|spelling| clean(&root().join(format!("examples/{name}.{spelling}"))));
        assert!(topology::same(&kdl, &toml), "examples/{name}");
    }
}

#[test]
fn check_says_nothing_against_any_example() {
    for file in both_spellings() {
        let checked = lvsform(&["check", &file]);
        assert_eq!(String::from_utf8_lossy(&checked.stderr), "", "{file}");
        assert_eq!(checked.status.code(), Some(0), "{file}");
    }
}

#[test]
fn every_toml_example_satisfies_the_schema_that_it_names() {
    let schema = schema();
    for name in EXAMPLES {
        let text = read(&format!("examples/{name}.toml"));
        assert!(text.starts_with("#:schema ../schemas/topology.schema.json\n"), "{name}");
        assert_eq!(against(&schema, &text), "", "{name}");
    }
}

/// Parts of topologies, overlays, defaults and variables are what the schema is for, too.
#[test]
fn every_composed_example_satisfies_the_schema() {
    let schema = schema();
    let mut files = Vec::new();
    for folder in ["examples/composed", "examples/composed/cdn", "examples/composed/game", "examples/fleet"] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder of examples");
        files.extend(entries.map(|entry| entry.expect("an entry of a folder").path()).filter(|path| path.is_file()));
    }
    let (mut kdl, mut toml) = (0, 0);
    for path in files {
        let text = fs::read_to_string(&path).expect("an example can be read");
        let text = match Spelling::of(&path).expect("a topology, or a part of one") {
            Spelling::Toml => {
                toml += 1;
                text
            }
            Spelling::Kdl => {
                kdl += 1;
                convert(&path, Spelling::Kdl, &text, Spelling::Toml).expect("an example can be converted")
            }
        };
        assert_eq!(against(&schema, &text), "", "{}", path.display());
    }
    assert!(kdl > 8 && toml > 2, "{kdl} {toml}");
}

/// One test for the other direction: a schema that takes everything would pass the one above.
#[test]
fn the_schema_refuses_what_the_language_refuses() {
    let schema = schema();
    for text in [
        "topology = \"x\"\nvips = {}",
        "topology = \"x\"\n[vip.edge]\naddress = 5",
        "topology = \"x\"\n[service.a]\nlisten = { vip = \"edge\", port = 65536 }\nforward = \"dr\"",
        "topology = \"x\"\n[service.a]\nlisten = { vip = \"edge\", port = 80 }\nforward = \"fullnat\"",
        "topology = \"x\"\n[service.a]\nlisten = { vip = \"edge\", port = 80 }\nforward = \"dr\"\nscheduler = \"wcl\"",
        "topology = \"x\"\n[pool.web.server.a]\nweight = -1",
        "topology = \"x\"\n[[sync]]\nid = 256\ninterface = \"eth0\"",
    ] {
        assert_ne!(against(&schema, text), "", "{text}");
    }
}

/// The guide's examples follow each other; put together they are a whole cluster.
#[test]
fn the_guide_is_one_topology_in_both_spellings() {
    let page = read("docs/language.md");
    let (guide, _) = page.split_once("<!-- reference -->").expect("the page has a place for the reference");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [kdl, toml] = ["kdl", "toml"].map(|spelling| {
        let text = blocks(guide, spelling).concat();
        let path = folder.join(format!("guide.{spelling}"));
        fs::write(&path, &text).expect("the target folder can be written");
        if spelling == "toml" {
            assert_eq!(against(&schema(), &text), "", "the guide");
        }
        clean(&path)
    });
    assert!(topology::same(&kdl, &toml));
}

/// `golden/readme/` has the topology and the kernel of README's example.
#[test]
fn readme_shows_what_the_tool_prints() {
    let golden = root().join("golden/readme");
    let readme = read("README.md");
    let example = fs::read_to_string(golden.join("shop.kdl")).expect("golden/readme/shop.kdl can be read");
    assert_eq!(blocks(&readme, "kdl"), [example]);

    let plan = Command::new(env!("CARGO_BIN_EXE_lvsform"))
        .args(["plan", "shop.kdl", "--host", "lb1", "--live", "lb1.json"])
        .current_dir(golden)
        .output()
        .expect("the tool can be run");
    assert_eq!(String::from_utf8_lossy(&plan.stderr), "");
    let shown = format!("$ lvsform plan shop.kdl --host lb1\n{}", String::from_utf8_lossy(&plan.stdout));
    let (before, rest) = readme.split_once("<!-- plan -->").expect("README has a place for the plan");
    let (_, after) = rest.split_once("<!-- /plan -->").expect("the place for the plan has an end");
    generated("README.md", &format!("{before}<!-- plan -->\n```console\n{shown}```\n<!-- /plan -->{after}"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a file with what it must hold, or writes it.
fn generated(path: &str, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        // At once: another test may be reading it.
        let new = root().join(format!("{path}.new"));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, root().join(path)))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    } else {
        let stale = fs::read_to_string(root().join(path)).unwrap_or_default() != text;
        assert!(!stale, "{path} is stale: UPDATE_GOLDEN=1 cargo test --test generated");
    }
}

fn lvsform(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lvsform")).args(arguments).current_dir(root()).output().expect("the tool can be run")
}

fn both_spellings() -> impl Iterator<Item = String> {
    EXAMPLES.iter().flat_map(|name| ["kdl", "toml"].map(|spelling| format!("examples/{name}.{spelling}")))
}

/// Reads a topology about which there is nothing to say.
fn clean(path: &Path) -> Topology {
    let (_, topology, problems) = rules::examine(source::load(path, &cli::files::DiskFiles));
    let said: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(said.is_empty(), "{}: {said:?}", path.display());
    topology.expect("a text without problems is a topology")
}

fn schema() -> Validator {
    jsonschema::validator_for(&topology::schema()).expect("the schema is a schema")
}

/// What a schema says against a TOML text, one problem a line.
fn against(schema: &Validator, text: &str) -> String {
    let document: Value = toml::from_str(text).expect("the text is TOML");
    schema.iter_errors(&document).fold(String::new(), |mut said, error| {
        let _ = writeln!(said, "{}: {error}", error.instance_path());
        said
    })
}

/// The contents of a page's code blocks in one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == format!("```{language}")) {
        found.push(lines.by_ref().take_while(|line| *line != "```").fold(String::new(), |text, line| text + line + "\n"));
    }
    found
}
