//! One plan in every format says the same: its counts, its places, and nothing that is not text.
//!
//! SARIF is judged by its schema, `JUnit` by a schema and by a reader of it, the page by a browser, pictures by graphviz and as XML.
#![expect(clippy::disallowed_methods, reason = "these tests run the program, and a browser")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn lvsform(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    let output = command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("COLUMNS").output().expect("it runs");
    assert!(!output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A topology, and what the kernel holds.
struct Case {
    topology: String,
    live: String,
}

/// Files of a test, which go with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lvsform-formats-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// What there is to plan, by a name.
    fn cases(&self) -> Vec<(&'static str, Case)> {
        let case = |topology: &str, live: &str| Case { topology: topology.to_owned(), live: live.to_owned() };
        let director = "director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\" }\nvip \"v\" address=\"10.0.0.100\"\n";
        let servers = |range: &str, comment: &str| {
            let service = format!("service \"web\" {{ listen vip=\"v\" port=80; forward \"dr\"; server \"10.0.{range}\" }}");
            format!("topology \"shop\"\nownership ipvs=\"exclusive\"\n{director}{service} // {comment}\n")
        };
        let empty = self.file("empty.json", EMPTY);
        let busy = self.file("busy.json", &EMPTY.replace("\"state\": {", BUSY));
        let hostile = self.file("a|b `c` <img src=x>.kdl", &servers("0.[11-12]", "<script>alert(1)</script> | </pre> ::error::"));
        vec![
            ("readme", case("golden/readme/shop.kdl", "golden/readme/lb1.json")),
            ("flash sale", case("examples/flash-sale.kdl", &empty)),
            ("flash sale in TOML", case("examples/flash-sale.toml", &empty)),
            ("two hundred", case(&self.file("many.kdl", &servers("1.[11-210]", "many")), &empty)),
            ("cut", case(&self.file("few.kdl", &servers("0.[11-12]", "few")), &busy)),
            ("hostile", case(&hostile, &busy)),
        ]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const EMPTY: &str = r#"{"format": "lvsform-live/1", "observed": {
    "kernel": {"release": "6.1", "ipvs": true, "initial_namespace": true},
    "state": {"link eth0": {"kind": "link", "device": {"other": ""}, "up": true}, "address 10.0.0.2/24 eth0": {"kind": "address"}}
}}"#;

/// A server too many with connections, and another weight.
const BUSY: &str = r#""traffic": {"server tcp 10.0.0.100:80 10.0.0.20:80": {"active": 7, "inactive": 1, "persistent": 0}}, "state": {
    "service tcp 10.0.0.100:80": {"kind": "service", "scheduler": "rr"},
    "server tcp 10.0.0.100:80 10.0.0.11:80": {"kind": "destination", "forward": "dr", "weight": 5},
    "server tcp 10.0.0.100:80 10.0.0.20:80": {"kind": "destination", "forward": "dr", "weight": 1},"#;

fn plan(case: &Case, more: &[&str]) -> String {
    lvsform(&[&["plan", &case.topology, "--host", "lb1", "--live", &case.live], more].concat())
}

/// What is said of expectations: one that holds, one that does not in two ways, and of a topology that is not valid.
fn tested(folder: &Folder, format: &str) -> [String; 2] {
    let shop = fs::read_to_string("golden/readme/shop.kdl").expect("our own file");
    let expect = "expect \"<holds>\" { service \"shop\" servers-min=1; }\n\
                  expect \"fails & falls\" without=\"web3\" { service \"shop\" servers-min=9 scheduler=\"rr\"; }\n";
    let whole = folder.file("expect.kdl", &format!("{shop}{expect}"));
    let invalid = folder.file("invalid.kdl", &format!("{shop}expect \"nothing\"\n"));
    [whole, invalid].map(|file| lvsform(&["test", "--format", format, &file]))
}

/// How many objects are added, changed, replaced, put back and deleted, by the JSON.
fn counts(case: &Case) -> BTreeMap<String, u64> {
    let plan: Value = serde_json::from_str(&plan(case, &["--format", "json"])).expect("JSON");
    let actions = ["add", "change", "replace", "restore", "delete"];
    actions.into_iter().map(|action| (action.to_owned(), plan["summary"][action].as_u64().expect("a count"))).collect()
}

#[test]
fn every_format_of_a_plan_has_as_many_changes_as_its_summary_says() {
    let folder = Folder::new("counts");
    for (name, case) in &folder.cases() {
        let counts = counts(case);
        let all: u64 = counts.values().sum();
        assert!(all > 0, "{name} changes nothing");
        let ending = format!("{} to add, {} to change, ", counts["add"], counts["change"]);
        for format in ["text", "markdown", "html", "junit", "github"] {
            let text = plan(case, &["--format", format, "-v"]);
            assert!(text.contains(&ending), "{name} as {format}: {ending}\n{text}");
        }

        let sarif: Value = serde_json::from_str(&plan(case, &["--format", "sarif"])).expect("JSON");
        for (action, count) in &counts {
            let is_one = |result: &&Value| result["ruleId"] == format!("change-{action}");
            let found = sarif["runs"][0]["results"].as_array().expect("results").iter().filter(is_one).count() as u64;
            assert_eq!(found, *count, "{name}: {action} in SARIF");
            assert_eq!(sarif["runs"][0]["properties"]["summary"]["lb1"][action], *count, "{name}: {action} in SARIF's summary");
        }
        let markdown = plan(case, &["--format", "markdown"]);
        let rows = markdown.lines().filter(|line| ["| + |", "| ~ |", "| ± |", "| - |"].iter().any(|sign| line.starts_with(sign)));
        assert_eq!(rows.count() as u64, all, "{name}: rows of Markdown");
        let html = plan(case, &["--format", "html"]);
        assert_eq!(html.matches("<span class=\"sign\"").count() as u64, all, "{name}: changes of the page");
        let junit = plan(case, &["--format", "junit"]);
        let lines = junit.lines().filter(|line| {
            let line = line.trim_start_matches("      <system-out>");
            ["+ ", "~ ", "± ", "- "].iter().any(|sign| line.starts_with(sign))
        });
        assert_eq!(lines.count() as u64, all, "{name}: changes in JUnit");
        let text = plan(case, &["--format", "text", "-v"]);
        let lines = text.lines().filter(|line| ["  + ", "  ~ ", "  ± ", "  - "].iter().any(|sign| line.starts_with(sign)));
        assert_eq!(lines.count() as u64, all, "{name}: changes in the text\n{text}");
    }
}

/// The schema of SARIF 2.1.0 as its committee publishes it: a package has it.
fn sarif_schema() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    // Of other platforms nothing needs to be downloaded.
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let words = ["metadata", "--locked", "--format-version", "1", "--filter-platform", &here];
    let asked = cargo.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let metadata: Value = serde_json::from_slice(&asked.expect("cargo").stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|package| package["name"] == "serde-sarif").expect("the package with the schema");
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    serde_json::from_slice(&fs::read(manifest.with_file_name("src").join("schema.json")).expect("a schema")).expect("JSON")
}

/// Every file of golden/bad.
fn bad_input() -> Vec<String> {
    fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/bad"))
        .expect("bad input")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "kdl" || ending == "toml"))
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn json_is_valid() {
    let folder = Folder::new("json");
    let judge = |name: &str| {
        let schema: Value = serde_json::from_str(&lvsform(&["schema", name])).expect("JSON");
        jsonschema::validator_for(&schema).expect("a schema")
    };
    let valid = |name: &str, text: &str| {
        let document: Value = serde_json::from_str(text).expect("JSON");
        let errors: Vec<String> = judge(name).iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
    };
    let cases = folder.cases();
    for (_, case) in &cases {
        valid("plan", &plan(case, &["--format", "json"]));
    }
    for pair in cases.windows(2) {
        valid("diff", &lvsform(&["diff", &pair[0].1.topology, &pair[1].1.topology, "--format", "json"]));
    }
    let bad = bad_input();
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    valid("check", &lvsform(&[&["check", "--format", "json"], &*bad].concat()));
}

#[test]
fn sarif_is_valid() {
    let mut schema = sarif_schema();
    // As published it is no regular expression: a bracket too many.
    schema["definitions"]["run"]["properties"]["language"]["pattern"] = Value::from("^[a-zA-Z]{2}(-[a-zA-Z]{2})?$");
    schema["definitions"]["toolComponent"]["properties"]["language"]["pattern"] = Value::from("^[a-zA-Z]{2}(-[a-zA-Z]{2})?$");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let folder = Folder::new("sarif");
    let mut logs: Vec<String> = folder.cases().iter().map(|(_, case)| plan(case, &["--format", "sarif"])).collect();
    let bad = bad_input();
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    logs.push(lvsform(&[&["check", "--format", "sarif"], &*bad].concat()));
    logs.extend(tested(&folder, "sarif"));
    for log in logs {
        let log: Value = serde_json::from_str(&log).expect("JSON");
        let errors: Vec<String> = schema.iter_errors(&log).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert_eq!(errors, Vec::<String>::new());
        assert!(!log["runs"][0]["results"].as_array().expect("results").is_empty());
    }
}

#[test]
fn junit_is_read_as_it_was_meant() {
    let folder = Folder::new("junit");
    for (name, case) in &folder.cases() {
        let report = quick_junit::Report::deserialize_from_str(&plan(case, &["--format", "junit"])).expect("JUnit");
        assert_eq!((report.tests, report.failures, report.errors), (1, 0, 0), "{name}");
        assert_eq!(report.test_suites.len(), 1, "{name}");
    }
    let bad = lvsform(&["check", "--format", "junit", "golden/bad/unknown-field.kdl", "golden/readme/shop.kdl"]);
    let report = quick_junit::Report::deserialize_from_str(&bad).expect("JUnit");
    assert_eq!(report.test_suites.len(), 2, "one a file");
    assert!(report.failures > 0);
    assert_eq!(report.test_suites[1].failures, 0, "{bad}");
    let [judged, invalid] = tested(&folder, "junit").map(|text| quick_junit::Report::deserialize_from_str(&text).expect("JUnit"));
    assert_eq!((judged.tests, judged.failures, judged.test_suites.len()), (2, 1, 1), "a test for each expectation");
    let cases = &judged.test_suites[0].test_cases;
    assert_eq!(cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["<holds>", "fails & falls"]);
    assert!(matches!(cases[0].status, quick_junit::TestCaseStatus::Success { .. }));
    let quick_junit::TestCaseStatus::NonSuccess { message, description, .. } = &cases[1].status else { panic!("it holds") };
    assert!(message.as_ref().is_some_and(|message| message.starts_with("service shop has 1 server without web3")));
    let said = description.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default();
    let lines: Vec<&str> = said.lines().filter_map(|line| line.rsplit_once('/').map(|(_, line)| line)).collect();
    let expected = [
        "expect.kdl:21: service shop has 1 server without web3, and at least 9 are expected",
        "expect.kdl:21: expected by this",
        "expect.kdl:10: this server takes no connections",
        "expect.kdl:21: service shop schedules by mh, and rr is expected",
        "expect.kdl:21: expected by this",
        "expect.kdl:17: this one",
    ];
    assert_eq!(lines, expected, "{said}");
    assert!(invalid.failures > 0);
}

#[test]
fn junit_is_valid() {
    let folder = Folder::new("junit-schema");
    let cases = folder.cases();
    let mut documents: Vec<String> = cases.iter().map(|(_, case)| plan(case, &["--format", "junit"])).collect();
    for pair in cases.windows(2) {
        documents.push(lvsform(&["diff", &pair[0].1.topology, &pair[1].1.topology, "--format", "junit"]));
    }
    let bad = bad_input();
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    documents.push(lvsform(&[&["check", "--format", "junit"], &*bad].concat()));
    documents.extend(tested(&folder, "junit"));
    for (number, document) in documents.iter().enumerate() {
        let file = folder.0.join(format!("{number}.xml"));
        fs::write(&file, document).expect("our own file");
        let judged = Command::new("xmllint").args(["--noout", "--schema", "tests/junit.xsd"]).arg(&file).output();
        let judged = judged.expect("xmllint: make test installs it");
        assert!(judged.status.success(), "{}\n{document}", String::from_utf8_lossy(&judged.stderr));
    }
}

#[test]
fn annotations_are_one_line_each_and_at_their_places() {
    let folder = Folder::new("annotations");
    for (_, case) in &folder.cases() {
        for line in plan(case, &["--format", "github"]).lines() {
            assert!(["::notice ", "::warning ", "::error "].iter().any(|level| line.starts_with(level)), "{line}");
        }
    }
    let bad = lvsform(&["check", "--format", "github", "golden/bad/unknown-field.kdl"]);
    assert!(bad.starts_with("::error file=golden/bad/unknown-field.kdl,line="), "{bad}");
}

#[test]
fn a_comment_stays_within_its_limit() {
    let folder = Folder::new("comment");
    let cases = folder.cases();
    let case = &cases.iter().find(|(name, _)| *name == "two hundred").expect("a case").1;
    for most in [1_000, 3_000, 10_000] {
        let text = plan(case, &["--format", "markdown", "--max-bytes", &most.to_string()]);
        assert!(text.len() <= most && text.contains("more changes."), "{most}: {}", text.len());
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }
}

/// What a browser makes of a page after a script of ours has run in it; `None`: there is no browser.
fn browsed(folder: &Folder, page: &str, script: &str) -> Option<String> {
    let browser = ["chromium", "chromium-browser"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))?;
    let after = "<script>document.body.dataset.answer=JSON.stringify((()=>{SCRIPT})())</script></body>".replace("SCRIPT", script);
    let path = folder.file("page.html", &page.replace("</body>", &after));
    let profile = format!("--user-data-dir={}", folder.0.join("profile").display());
    let url = format!("file://{path}");
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", &profile, "--dump-dom", &url];
    let output = Command::new(browser).args(arguments).output().expect("a browser");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = dom.split("data-answer=\"").nth(1).and_then(|rest| rest.split('"').next());
    Some(answer.unwrap_or_else(|| panic!("no answer in {dom}")).replace("&quot;", "\""))
}

/// SVG is XML, and graphviz takes what is for it.
#[test]
fn other_programs_take_the_pictures() {
    let folder = Folder::new("pictures");
    for (_, case) in &folder.cases() {
        let drawn = |format: &str| {
            let live = format!("lb1={}", case.live);
            folder.file(&format!("picture.{format}"), &lvsform(&["graph", &case.topology, "--live", &live, "--format", format]))
        };
        for (program, arguments) in [("xmllint", ["--noout", &drawn("svg")]), ("dot", ["-Tcanon", &drawn("dot")])] {
            let judged = Command::new(program).args(arguments).output().expect("make test installs it");
            assert!(judged.status.success(), "{program}: {}", String::from_utf8_lossy(&judged.stderr));
        }
    }
}

#[test]
fn in_a_browser_a_page_shows_what_is_chosen() {
    let folder = Folder::new("page");
    let (_, case) = &folder.cases()[0];
    let page = plan(case, &["--format", "html"]);
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing beside itself");
    let script = "
        const seen = () => [...document.querySelectorAll('ol.changes > li')].filter(e => e.offsetParent !== null).length;
        const said = [['all', seen()]];
        for (const box of document.querySelectorAll('input[type=checkbox]')) {
            const of = [...document.querySelectorAll('.of-' + box.id)].length;
            box.click();
            said.push([box.id, seen() + of]);
            box.click();
        }
        said.push(['again', seen()]);
        return said;";
    let Some(answer) = browsed(&folder, &page, script) else {
        // `make deps` installs one where the distribution has it, and what judges a change has it.
        assert!(std::env::var_os("CI").is_none(), "there is no chromium on this machine");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: there is no chromium on this machine\n");
        return;
    };
    let said: Vec<(String, u64)> = serde_json::from_str(&answer).expect("our own answer");
    let all: u64 = counts(case).values().sum();
    assert!(said.len() > 2, "there is something to choose: {said:?}");
    for (what, count) in said {
        assert_eq!(count, all, "{what}: what is hidden and what is seen is all there is");
    }
}

#[test]
fn nothing_from_a_file_is_markup() {
    let folder = Folder::new("hostile");
    let cases = folder.cases();
    let case = &cases.iter().find(|(name, _)| *name == "hostile").expect("a case").1;
    let page = plan(case, &["--format", "html"]);
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    let markdown = plan(case, &["--format", "markdown"]);
    let allowed =
        markdown.replace("<br>", "").replace("<details><summary>", "").replace("</summary>", "").replace("</details>", "");
    assert!(!allowed.contains('<'), "{markdown}");
}
