//! `lvsform diff`: what a change of the files means, without any host.
#![expect(clippy::disallowed_methods, reason = "these tests run the program and git, over files of their own")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with files, which goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lvsform-diff-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a file");
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).env_remove("COLUMNS");
        // Nobody's configuration, and no repository around this one.
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CEILING_DIRECTORIES", &self.0);
        command.env("GIT_AUTHOR_NAME", "a").env("GIT_AUTHOR_EMAIL", "a@example.org");
        command.env("GIT_COMMITTER_NAME", "a").env("GIT_COMMITTER_EMAIL", "a@example.org").env("GIT_PAGER", "cat");
        command.output().expect(program)
    }

    /// Exit code and what was said.
    fn diff(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(env!("CARGO_BIN_EXE_lvsform"), &[&["diff"], arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().expect("no signal"), String::from_utf8(text).expect("UTF-8"))
    }

    /// The difference between two texts.
    #[track_caller]
    fn between(&self, old: &str, new: &str, code: i32, said: &[&str]) -> String {
        self.write("old.kdl", old);
        self.write("new.kdl", new);
        let (found, text) = self.diff(&["old.kdl", "new.kdl"]);
        assert_eq!(found, code, "{text}");
        for words in said {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        text
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = self.run("git", arguments);
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SHOP: &str = r#"topology "shop"
director "lb1" { interface "eth0" address="10.0.0.2/24"; sysctl "net.ipv4.vs.drop_entry" 1 }
vip "front" address="10.0.0.100"
service "web" { listen vip="front" port=80; forward "dr"; server "10.0.0.[11-12]" weight=10 }
"#;

#[test]
fn what_means_the_same_is_no_difference() {
    let folder = Folder::new("same");
    folder.between(SHOP, SHOP, 0, &["They mean the same."]);
    let spelled =
        SHOP.replace("server \"10.0.0.[11-12]\" weight=10", "server \"10.0.0.11\" weight=10\n    server \"10.0.0.12\" weight=10");
    folder.between(SHOP, &format!("// A comment.\n{spelled}"), 0, &["They mean the same."]);
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).expect("examples").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "kdl") {
            let (kdl, toml) = (path.display().to_string(), path.with_extension("toml").display().to_string());
            let (code, text) = folder.diff(&[&kdl, &toml]);
            assert_eq!((code, text.as_str()), (0, "They mean the same.\n"), "{kdl}");
        }
    }
}

#[test]
fn another_name_is_no_replacement() {
    let folder = Folder::new("renamed");
    let text = folder.between(SHOP, &SHOP.replace("service \"web\"", "service \"store\""), 2, &["Renamed: service web → store."]);
    assert!(!text.contains("to add"), "{text}");
    folder.between(SHOP, &SHOP.replace("\"front\"", "\"door\""), 2, &["Renamed: vip front → door."]);
    folder.between(
        SHOP,
        &SHOP.replace("topology \"shop\"", "topology \"store\""),
        2,
        &["another name: shop → store", "was=\"shop\""],
    );
}

#[test]
fn another_key_under_the_same_name_has_moved() {
    let folder = Folder::new("moved");
    let moved = SHOP.replace("port=80", "port=81");
    folder.between(
        SHOP,
        &moved,
        2,
        &[
            "- service web",
            "+ service web",
            "Moved: service web: tcp 10.0.0.100:80 → tcp 10.0.0.100:81.",
            "3 to add, 0 to change, 3 to delete.",
        ],
    );
}

#[test]
fn each_change_is_said_in_the_words_of_a_plan() {
    let folder = Folder::new("changes");
    let new = SHOP.replace("[11-12]\" weight=10", "[12-13]\" weight=20");
    folder.between(
        SHOP,
        &new,
        2,
        &[
            "lb1 · director",
            "- server web 10.0.0.11",
            "+ server web 10.0.0.13",
            "10 → 20",
            "new.kdl:4",
            "1 to add, 1 to change, 1 to delete.",
        ],
    );
    let without = SHOP.replace("; sysctl \"net.ipv4.vs.drop_entry\" 1", "");
    folder.between(SHOP, &without, 2, &["No longer set: sysctl net.ipv4.vs.drop_entry; it is given back as it was found."]);
    folder.between(SHOP, &SHOP.replace("topology", "topologie"), 10, &["topologie"]);
}

#[test]
fn hosts_come_and_go() {
    let folder = Folder::new("hosts");
    let one = SHOP.replace("address=\"10.0.0.100\"", "address=\"10.0.0.100\" holder=\"lb1\"");
    let two =
        one.replace("director \"lb1\"", "director \"lb2\" { interface \"eth0\" address=\"10.0.0.3/24\" }\ndirector \"lb1\"");
    folder.between(&one, &two, 2, &["lb2 · director", "A new host.", "+ service web"]);
    folder.between(&two, &one, 2, &["lb2 · director", "The host is no longer there", "- service web"]);
    let (code, text) = folder.diff(&["old.kdl", "new.kdl", "--host", "lb1"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn programs_read_it_too() {
    let folder = Folder::new("formats");
    folder.between(SHOP, &SHOP.replace("weight=10", "weight=20"), 2, &["0 to add, 2 to change, 0 to delete."]);
    let (_, text) = folder.diff(&["old.kdl", "new.kdl", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((json["format"].as_str(), json["hosts"][0]["summary"]["change"].as_u64()), (Some("lvsform-diff/1"), Some(2)));
    for (format, words) in [
        ("markdown", "0 to add, 2 to change"),
        ("html", "10.0.0.11:80"),
        ("github", "::notice file=new.kdl"),
        ("sarif", "change-change"),
    ] {
        let (code, text) = folder.diff(&["old.kdl", "new.kdl", "--format", format]);
        assert_eq!(code, 2);
        assert!(text.contains(words), "{format}: {text}");
    }
    let (_, text) = folder.diff(&["old.kdl", "new.kdl", "--text"]);
    assert!(text.contains("-service \"web\"") && text.contains("+service \"web\""), "{text}");
}

#[test]
fn a_side_may_be_a_file_of_a_git_revision() {
    let folder = Folder::new("git");
    folder.git(&["init", "-q"]);
    folder.write("root.kdl", &format!("{}include \"sites/*.kdl\"\n", SHOP.replace("service", "//service")));
    fs::create_dir_all(folder.0.join("sites")).expect("a folder");
    let service = SHOP.lines().last().expect("a line");
    folder.write("sites/a.kdl", service);
    folder.git(&["add", "."]);
    folder.git(&["commit", "-qm", "one"]);
    folder.write("sites/a.kdl", &service.replace("weight=10", "weight=30"));
    let (code, text) = folder.diff(&["HEAD:root.kdl", "root.kdl"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("10 → 30"), "{text}");
    assert_eq!(folder.diff(&["HEAD:root.kdl", "HEAD:root.kdl"]).0, 0);
    let (code, text) = folder.diff(&["nosuch:root.kdl", "root.kdl"]);
    assert_eq!(code, 10, "{text}");
    assert!(text.contains("nosuch"), "{text}");
    folder.write("escapes.kdl", "topology \"x\"\ninclude \"../x.kdl\"\n");
    folder.git(&["add", "."]);
    folder.git(&["commit", "-qm", "two"]);
    assert_eq!(folder.diff(&["HEAD:escapes.kdl", "root.kdl"]).0, 10);
}

#[test]
fn git_shows_it_as_a_driver_of_its_own() {
    let folder = Folder::new("driver");
    folder.git(&["init", "-q"]);
    folder.write("shop.kdl", SHOP);
    folder.write(".gitattributes", "*.kdl diff=lvsform\n");
    folder.git(&["add", "."]);
    folder.git(&["commit", "-qm", "one"]);
    folder.git(&["config", "diff.lvsform.command", &format!("{} diff", env!("CARGO_BIN_EXE_lvsform"))]);
    folder.write("shop.kdl", &SHOP.replace("service \"web\"", "service \"store\""));
    assert!(folder.git(&["diff"]).contains("Renamed: service web → store."));
    folder.write("shop.kdl", &SHOP.replace("service \"web\"", "service {"));
    let text = folder.git(&["diff"]);
    assert!(text.contains("-service \"web\""), "no topology is shown as text: {text}");
    folder.write("shop.kdl", SHOP);
    folder.write("new.kdl", SHOP);
    folder.git(&["add", "new.kdl"]);
    let text = folder.git(&["diff", "--cached"]);
    assert!(text.contains("A new host.") && text.contains("+ service web"), "{text}");
}

#[test]
fn a_field_is_shown_where_an_overlay_a_default_or_a_variable_says_it() {
    let folder = Folder::new("said-elsewhere");
    let base = "topology \"shop\"\ninclude \"hosts.kdl\"\nvariable \"low\" default=3\nvip \"front\" address=\"10.0.0.100\"\nservice \"web\" { listen vip=\"front\" port=80; forward \"dr\"; scheduler \"rr\"; pool \"a\"; }\npool \"a\" { server \"10.0.0.11\"; server \"10.0.0.12\" weight=\"${low}\"; server \"10.0.0.13\" weight=2; server \"web1\" weight=8; }\n";
    let prod = |scheduler: &str, weight: u32| {
        format!(
            "// what production has\n\nset {{\n    service \"web\" scheduler=\"{scheduler}\"\n    defaults {{ server weight={weight}; }}\n}}\n"
        )
    };
    folder.write("hosts.kdl", "director \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.14/24\"; }\n");
    let base = format!("{base}defaults {{ server weight=7; }}\n");
    folder.write("base.kdl", &base);
    folder.write("prod.kdl", &prod("wrr", 7));
    folder.write("values.kdl", "// how low\nlow 4\n");
    for command in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "one"]] {
        folder.git(command);
    }
    folder.write("base.kdl", &base.replace("10.0.0.13\" weight=2", "10.0.0.13\" weight=1"));
    folder.write("prod.kdl", &(prod("sed", 9) + "set { real-server \"web1\" quiesce=#true; }\n"));
    folder.write("values.kdl", "// how low\nlow 5\n");
    let common = ["HEAD:base.kdl", "base.kdl", "--overlay", "prod.kdl", "--var-file", "values.kdl"];
    let (code, text) = folder.diff(&common);
    assert_eq!(code, 2, "{text}");
    let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words} in {text}"));
    assert!(line("~ service web").ends_with("base.kdl:5"), "{text}");
    assert!(line("scheduler").contains("wrr → sed  prod.kdl:4"), "{text}");
    assert!(line("7 → 9").contains("7 → 9  prod.kdl:5"), "{text}");
    assert!(line("4 → 5").contains("4 → 5  values.kdl:2"), "{text}");
    assert!(line("8 → 0").contains("8 → 0  prod.kdl:7"), "{text}");
    assert!(!line("2 → 1").contains("kdl"), "{text}");
    let (_, github) = folder.diff(&[&common[..], &["--format", "github"]].concat());
    for (place, said) in [
        ("file=prod.kdl,line=4", "~ service web tcp 10.0.0.100:80%0A  scheduler: wrr → sed"),
        ("file=prod.kdl,line=5", "weight: 7 → 9"),
        ("file=values.kdl,line=2", "weight: 4 → 5"),
        ("file=base.kdl,line=6", "weight: 2 → 1"),
    ] {
        let found = github.lines().find(|line| line.contains(place)).unwrap_or_else(|| panic!("{place} in {github}"));
        assert!(found.contains(said), "{found}");
    }
    assert!(!github.contains("file=base.kdl,line=5"), "{github}");
    let (_, markdown) = folder.diff(&[&common[..], &["--format", "markdown"]].concat());
    assert!(markdown.contains("scheduler wrr → sed (prod.kdl:4)"), "{markdown}");
    let (_, json) = folder.diff(&[&common[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let changes = json["hosts"][0]["changes"].as_array().expect("changes");
    let of = |kind: &str| changes.iter().find(|change| change["kind"] == kind).expect("a change");
    let field = &of("service")["fields"][0];
    assert_eq!(
        (&field["field"], &field["place"]["file"], &field["place"]["line"]),
        (&"scheduler".into(), &"prod.kdl".into(), &4.into())
    );
    let plain = changes.iter().find(|change| change["name"] == "web 10.0.0.13").expect("a server");
    assert!(plain["fields"][0].get("place").is_none(), "{plain}");
}
