//! `lvsform fmt` and `lvsform convert` as they are typed.
#![expect(clippy::disallowed_methods, reason = "these tests run the program, over files of their own")]

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const UGLY: &str = "topology   shop // why\nvip v address=\"10.0.0.1\"";
const EVEN: &str = "topology \"shop\"  // why\nvip \"v\" address=\"10.0.0.1\"\n";
const TOML: &str = "topology = \"shop\"  # why\n\n[vip.v]\naddress = \"10.0.0.1\"\n";

/// A folder that goes away with the test, and the program in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lvsform-spelling-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    fn with(self, name: &str, text: &str) -> Folder {
        fs::write(self.0.join(name), text).expect("a file can be written");
        self
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("a file can be read")
    }

    /// Exit code, standard output, standard error.
    fn run(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lvsform"))
            .args(arguments)
            .current_dir(&self.0)
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // A program that does not read ends all the same.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the program ends");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it prints UTF-8");
        (output.status.code().expect("no signal ends it"), text(&output.stdout), text(&output.stderr))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder can be read");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn fmt_replaces_what_differs_and_names_it_and_touches_nothing_else() {
    let folder = Folder::new("writes").with("a.kdl", UGLY).with("b.kdl", EVEN).with("c.toml", TOML);
    fs::set_permissions(folder.0.join("a.kdl"), Permissions::from_mode(0o640)).expect("a mode can be set");
    let inode = |name: &str| fs::metadata(folder.0.join(name)).expect("it is there").ino();
    let before = [inode("b.kdl"), inode("c.toml")];
    assert_eq!(folder.run(&["fmt", "a.kdl", "b.kdl", "c.toml"], ""), (0, "a.kdl: written anew\n".into(), String::new()));
    assert_eq!(folder.text("a.kdl"), EVEN);
    assert_eq!(fs::metadata(folder.0.join("a.kdl")).expect("it is there").mode() & 0o7777, 0o640);
    assert_eq!([inode("b.kdl"), inode("c.toml")], before);
    assert_eq!(folder.names(), ["a.kdl", "b.kdl", "c.toml"]);
    assert_eq!(folder.run(&["fmt", "-q", "a.kdl"], ""), (0, String::new(), String::new()));
}

#[test]
fn fmt_of_a_link_writes_the_file_that_it_leads_to() {
    let folder = Folder::new("link").with("a.kdl", UGLY);
    symlink("a.kdl", folder.0.join("l.kdl")).expect("a link can be made");
    assert_eq!(folder.run(&["fmt", "l.kdl"], "").0, 0);
    assert!(fs::symlink_metadata(folder.0.join("l.kdl")).expect("it is there").is_symlink());
    assert_eq!(folder.text("a.kdl"), EVEN);
}

#[test]
fn fmt_check_writes_nothing_and_shows_what_would_change() {
    let folder = Folder::new("check").with("a.kdl", UGLY).with("b.kdl", EVEN);
    let (code, out, err) = folder.run(&["fmt", "--check", "a.kdl", "b.kdl"], "");
    assert_eq!((code, err.as_str()), (2, ""));
    assert!(out.starts_with("a.kdl: would change\n--- a.kdl\n") && !out.contains("b.kdl"), "{out}");
    assert!(out.contains("\n-topology   shop // why\n") && out.contains("\n+topology \"shop\"  // why\n"), "{out}");
    assert_eq!(folder.text("a.kdl"), UGLY);
    assert_eq!(folder.run(&["fmt", "--check", "b.kdl"], ""), (0, String::new(), String::new()));
    assert_eq!(folder.run(&["fmt", "--check", "-q", "a.kdl"], ""), (2, String::new(), String::new()));
}

#[test]
fn fmt_leaves_a_file_with_mistakes_alone_shows_them_and_goes_on() {
    let broken = "topology \"x\" {\n";
    let folder = Folder::new("broken").with("a.kdl", broken).with("b.kdl", UGLY).with("c.toml", "a = 1.5\n");
    let (code, out, err) = folder.run(&["fmt", "a.kdl", "b.kdl", "c.toml", "missing.kdl", "d.yaml"], "");
    assert_eq!((code, out.as_str()), (10, "b.kdl: written anew\n"));
    for said in ["a.kdl:1", "not closed", "c.toml:1", "missing.kdl", "does not exist", "neither KDL"] {
        assert!(err.contains(said), "{said}: {err}");
    }
    assert_eq!((folder.text("a.kdl"), folder.text("b.kdl")), (broken.to_owned(), EVEN.to_owned()));
}

#[test]
fn fmt_of_standard_input_prints_whatever_its_spelling() {
    let folder = Folder::new("stdin");
    assert_eq!(folder.run(&["fmt", "-"], UGLY), (0, EVEN.into(), String::new()));
    assert_eq!(folder.run(&["fmt", "-"], "[vip.v]   # why\naddress='10.0.0.1'").1, "[vip.v]  # why\naddress = \"10.0.0.1\"\n");
    assert_eq!(folder.run(&["fmt", "--stdin", "toml", "-"], UGLY).0, 10);
    assert_eq!(folder.run(&["fmt", "--check", "-"], UGLY).0, 2);
    assert_eq!(folder.run(&["fmt", "-"], ""), (0, String::new(), String::new()));
    assert_eq!(folder.run(&["fmt"], "").0, 64);
}

#[test]
fn convert_prints_the_other_spelling() {
    let folder = Folder::new("convert").with("a.kdl", UGLY).with("b.toml", TOML);
    assert_eq!(folder.run(&["convert", "a.kdl"], ""), (0, TOML.into(), String::new()));
    assert_eq!(folder.run(&["convert", "a.kdl", "--to", "kdl"], "").1, EVEN);
    assert_eq!(folder.run(&["convert", "-"], TOML).1, "topology \"shop\"  // why\n\nvip \"v\" { address \"10.0.0.1\" }\n");
    assert_eq!(folder.run(&["fmt", "--check", "b.toml"], "").0, 0);
}

#[test]
fn convert_writes_a_new_file_and_replaces_none() {
    let folder = Folder::new("out").with("a.kdl", UGLY);
    assert_eq!(folder.run(&["convert", "a.kdl", "-o", "a.toml"], ""), (0, "a.toml: written\n".into(), String::new()));
    assert_eq!(folder.text("a.toml"), TOML);
    let (code, out, err) = folder.run(&["convert", "a.kdl", "-o", "a.toml"], "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("not there yet"), "{err}");
    assert_eq!(folder.run(&["convert", "a.kdl", "--to", "toml", "-o", "b.kdl"], "").0, 64);
    assert_eq!(folder.names(), ["a.kdl", "a.toml"]);
}

#[test]
fn convert_refuses_what_is_not_valid_and_what_the_other_spelling_cannot_say() {
    let folder = Folder::new("refuses")
        .with("unknown.kdl", "topology \"t\"\nvipp \"v\" address=\"10.0.0.1\"\n")
        .with("twice.kdl", "pool \"p\" {\n    server \"10.0.0.1\" port=1\n    server \"10.0.0.1\" port=2\n}\n");
    let (code, out, err) = folder.run(&["convert", "unknown.kdl"], "");
    assert_eq!((code, out.as_str()), (10, ""));
    assert!(err.contains("vipp") && err.contains("unknown.kdl:2"), "{err}");
    let (code, out, err) = folder.run(&["convert", "twice.kdl"], "");
    assert_eq!((code, out.as_str()), (10, ""));
    assert!(err.contains("twice.kdl:3") && err.contains("label"), "{err}");
}
