//! The command line as an operator meets it: what was typed wrong, what is not there, what cannot be written.
//!
//! Runs the program. Needs neither root nor a kernel with IPVS: plans are made from a captured state.
#![expect(clippy::disallowed_methods, reason = "these tests run the program, over files of their own")]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SHOP: &str = "golden/readme/shop.kdl";
const LIVE: &str = "golden/readme/lb1.json";

/// The program, in this package's folder, away from any terminal and from what the caller's environment asks for.
fn lvsform(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    for variable in ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(variable);
    }
    command
}

/// How it ended: exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    ended(&lvsform(arguments).output().expect("the program runs"))
}

fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it prints UTF-8");
    (output.status.code().expect("no signal ends it"), text(&output.stdout), text(&output.stderr))
}

/// `plan` of README's example and captured state, with more arguments.
fn plan(more: &[&str]) -> (i32, String, String) {
    run(&[&["plan", SHOP, "--host", "lb1", "--live", LIVE], more].concat())
}

/// Ends with this code, and says each of these things on standard error and nothing on standard output.
#[track_caller]
fn refuses(arguments: &[&str], code: i32, said: &[&str]) {
    let (found, out, err) = run(arguments);
    assert_eq!((found, out.as_str()), (code, ""), "{arguments:?}: {err}");
    for part in said {
        assert!(err.contains(part), "{arguments:?} does not say {part:?}:\n{err}");
    }
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lvsform-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file can be written");
        path.to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_picture_has_each_host_once_and_knows_the_hosts_that_it_names() {
    let live = format!("lb1={LIVE}");
    let (code, ..) = run(&["graph", SHOP, "--live", &live]);
    assert_eq!(code, 0);
    let twice = ["`--live` gives the host `lb1` twice"];
    refuses(&["graph", SHOP, "--live", &live, "--live", &live], 64, &twice);
    refuses(&["graph", SHOP, "--host", "lb1", "--live", LIVE, "--live", &live], 64, &twice);
    let wrong = format!("lb9={LIVE}");
    refuses(&["graph", SHOP, "--live", &wrong], 64, &["the topology has no host `lb9`", "did you mean `lb1`?"]);
    // A file may have such a name.
    let folder = Folder::new("graph");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(LIVE)).expect("a captured state");
    folder.file("lb9=lb1.json", &text);
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHOP);
    let mut command = lvsform(&["graph", shop.to_str().expect("a path"), "--host", "lb1", "--live", "lb9=lb1.json"]);
    let (code, _, err) = ended(&command.current_dir(&folder.0).output().expect("the program runs"));
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn a_plan_names_the_overlay_that_says_a_field() {
    let folder = Folder::new("overlay");
    let set = "set {\n    pool \"web\" { server \"web1\" weight=50; }\n    service \"shop\" { scheduler \"rr\"; }\n}\n";
    let overlay = folder.file("prod.kdl", set);
    let (_, text, err) = plan(&["--overlay", &overlay]);
    let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {text}{err}"));
    assert!(line("~ service shop").ends_with("shop.kdl:15"), "{text}");
    assert!(line("wlc → rr").contains("prod.kdl:3"), "{text}");
    assert!(line("77 → 50").contains("prod.kdl:2"), "{text}");
    assert!(!line("100 → 0").contains(".kdl"), "what the file says itself: {text}");
    let (_, text, _) = plan(&["--overlay", &overlay, "--format", "github"]);
    assert!(text.contains(&format!("file={overlay},line=3,")) && !text.contains("shop.kdl,line=15,"), "{text}");
}

#[test]
fn a_command_line_that_is_not_valid_ends_with_64_and_says_what_is_expected() {
    refuses(&[], 64, &["Usage: lvsform", "check", "apply"]);
    refuses(&["planx"], 64, &["planx", "'plan'"]);
    refuses(&["check"], 64, &["<FILE>"]);
    refuses(&["check", ""], 64, &["<FILE>"]);
    refuses(&["plan"], 64, &["<FILE>"]);
    refuses(&["plan", SHOP, SHOP], 64, &[SHOP, "Usage: lvsform plan"]);
    refuses(&["plan", SHOP, "--hots", "lb1"], 64, &["--hots", "--host"]);
    refuses(&["plan", SHOP, "--format", "yaml"], 64, &["yaml", "text, json"]);
    refuses(&["plan", SHOP, "--color", "sometimes"], 64, &["sometimes", "auto, always, never"]);
    refuses(&["plan", SHOP, "-q", "-v"], 64, &["--quiet", "--verbose"]);
    refuses(&["plan", SHOP, "--live", LIVE, "--netns", "x"], 64, &["--live", "--netns"]);
    refuses(&["snapshot", "--host", "lb1"], 64, &["<FILE>"]);
    refuses(&["schema", "state"], 64, &["state", "topology, plan"]);
    refuses(&["lab"], 64, &["<COMMAND>"]);
    refuses(&["lab", "--kernel", "xen", "--", "true"], 64, &["xen", "`uml`, `qemu`", "linux-image-"]);
}

#[test]
fn help_and_version_are_what_was_asked_for() {
    for arguments in [&["--help"][..], &["help", "plan"], &["apply", "-h"], &["--version"]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert!(out.lines().all(|line| line.chars().count() <= 100), "{arguments:?}:\n{out}");
    }
}

#[test]
fn a_host_that_the_file_does_not_have_is_answered_with_those_that_it_has() {
    refuses(&["plan", SHOP, "--host", "lb9", "--live", LIVE], 64, &["no host `lb9`", "did you mean `lb1`?"]);
    refuses(&["plan", SHOP, "--host", "zürich", "--live", LIVE], 64, &["no host `zürich`", "lb1, web1, web2, web3"]);
    refuses(&["plan", SHOP, "--live", LIVE], 64, &["this machine's name", "--host NAME", "lb1, web1"]);
}

#[test]
fn a_topology_that_cannot_be_read_ends_with_10_in_every_command_that_takes_one() {
    let folder = Folder::new("topologies");
    let cases = [
        (folder.0.join("missing.kdl").to_str().expect("a plain path").to_owned(), "does not exist"),
        ("nowhere/missing.toml".to_owned(), "name a topology file; a path is relative to the folder in which this is run"),
        (folder.0.to_str().expect("a plain path").to_owned(), "neither KDL"),
        (folder.file("empty.kdl", ""), "does not say `topology`"),
        (folder.file("empty.toml", ""), "does not say `topology`"),
        (folder.file("shop.yaml", "topology: shop"), "neither KDL"),
        (folder.file("open.kdl", "topology \"x\" {"), "open.kdl:1"),
    ];
    for (file, said) in &cases {
        refuses(&["check", file], 10, &[said]);
        refuses(&["plan", file, "--host", "lb1", "--live", LIVE], 10, &[said]);
        refuses(&["apply", file, "--host", "lb1", "--yes"], 10, &[said]);
        refuses(&["snapshot", file, "--host", "lb1"], 10, &[said]);
    }
}

#[test]
fn check_reads_every_file_and_ends_with_10_if_one_of_them_is_wrong() {
    let (code, out, err) = run(&["check", "golden/readme/missing.kdl", SHOP]);
    assert_eq!(code, 10);
    assert!(err.contains("missing.kdl"), "{err}");
    assert_eq!(out, format!("{SHOP}: topology shop: 1 director, 3 real servers, 1 VIP, 1 service. No errors.\n"));
}

/// A service whose servers are all quiesced: a warning.
const QUIET: &str = "topology \"t\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\"; }\nreal-server \"web1\" { interface \"eth0\" address=\"10.0.0.11/24\"; }\nvip \"v\" address=\"10.0.0.100\"\nservice \"s\" { listen vip=\"v\" port=80; forward \"dr\"; scheduler \"twos\"; server \"10.0.0.11\" weight=0; }\n";

#[test]
fn a_warning_ends_with_0_unless_it_is_denied_and_is_not_said_where_it_is_allowed() {
    let folder = Folder::new("levels");
    let file = folder.file("quiet.kdl", QUIET);
    let (code, _, err) = run(&["check", &file]);
    assert!(code == 0 && err.contains("LVS503 all-quiesced"), "{err}");
    for denied in ["warnings", "LVS503", "all-quiesced"] {
        assert_eq!(run(&["check", "--deny", denied, &file]).0, 10, "{denied}");
    }
    let (code, _, err) = run(&["check", "--allow", "lvs503", "--deny", "warnings", &file]);
    assert_eq!((code, err.as_str()), (0, ""));
    let allowed = folder.file("allowed.kdl", &format!("{QUIET}lint \"LVS503\" level=\"allow\" reason=\"it opens in May\"\n"));
    let (code, _, err) = run(&["check", "--deny", "warnings", &allowed]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) = run(&["plan", &allowed, "--host", "lb1", "--live", LIVE]);
    assert_eq!((code, err.as_str()), (0, ""), "plan honours what the file allows");
    refuses(&["check", "--allow", "every-port", &file], 64, &["nobody can allow it"]);
    refuses(&["check", "--deny", "LVS999", &file], 64, &["explain --list"]);
}

#[test]
fn a_kernel_that_is_named_must_have_what_the_file_asks_for() {
    let folder = Folder::new("kernel");
    let file = folder.file("twos.kdl", QUIET);
    refuses(&["check", "--target-kernel", "5.10", &file], 10, &["LVS701 kernel-scheduler", "twos", "5.12"]);
    assert_eq!(run(&["check", "--target-kernel", "6.1.0-27-amd64", &file]).0, 0);
    refuses(&["check", "--target-kernel", "new", &file], 64, &["5.10"]);
}

#[test]
fn a_code_is_explained_by_number_and_by_name() {
    let (code, by_number, _) = run(&["explain", "LVS402"]);
    assert_eq!((code, &by_number), (0, &run(&["explain", "every-port"]).1));
    assert!(by_number.starts_with("LVS402 every-port (error)\n") && by_number.contains("persistence \"5m\""), "{by_number}");
    assert!(run(&["explain", "LVS402", "LVS503"]).1.contains("lint \"all-quiesced\""));
    assert!(run(&["explain", "--list"]).1.lines().filter(|line| line.starts_with("  LVS")).count() > 100);
    refuses(&["explain", "evry-port"], 64, &["did you mean `every-port`?"]);
    let (code, said, _) = run(&["explain", "service.scheduler", "listen.server-port"]);
    assert!(code == 0 && said.contains("Which server gets a new connection") && said.contains("server-port 8443"), "{said}");
    refuses(&["explain", "service.shceduler"], 64, &["did you mean `service.scheduler`?"]);
    let (_, include, _) = run(&["explain", "include"]);
    assert!(include.contains("LVS002") && include.contains("include = [\"hosts.kdl\", \"sites/*.kdl\"]"), "{include}");
    assert!(run(&["explain", "remove"]).1.contains("Overlays only: takes away what is there"));
    refuses(&["explain"], 64, &["<CODE>"]);
}

#[test]
fn fix_mends_what_is_certain_keeps_the_rest_and_leaves_guesses() {
    let folder = Folder::new("fix");
    let text = "topology \"t\"\n// who\ndirector \"lb1\" {   interface \"eth0\" address=10.0.0.2/24; }\nvip \"v\" address=\"10.0.0.100/32\"   managed=true // the VIP\npool \"p\" { server \"10.0.0.11\" wieght=\"5\"; }\n";
    let file = folder.file("a.kdl", text);
    let (code, _, err) = run(&["check", "--fix", &file]);
    assert!(code == 10 && err.contains("3 mended") && err.contains("did you mean `weight`?"), "{err}");
    let mended = text.replace("10.0.0.2/24", "\"10.0.0.2/24\"").replace("10.0.0.100/32", "10.0.0.100").replace("=true", "=#true");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), mended);
    assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 1, "nothing is left beside it");
}

#[test]
fn check_in_json_is_one_document_whatever_the_files_are() {
    for (files, valid) in [(&[SHOP][..], true), (&[SHOP, "golden/bad", "no.kdl", "no.txt"], false)] {
        let (code, out, err) = run(&[&["check", "--format", "json"], files].concat());
        let document: serde_json::Value = serde_json::from_str(&out).expect("one document");
        assert_eq!((code, err.as_str()), (if valid { 0 } else { 10 }, ""));
        assert_eq!(document["format"], "lvsform-check/1");
        assert_eq!(document["files"].as_array().map(Vec::len), Some(files.len()));
        assert_eq!(document["files"][0]["valid"], true);
    }
}

#[test]
fn a_plan_in_json_is_one_document_also_with_quiet() {
    for more in [&["--format", "json"][..], &["--format", "json", "-q"]] {
        let (code, out, err) = plan(more);
        let document: serde_json::Value = serde_json::from_str(&out).expect("one document");
        assert_eq!((code, err.as_str(), &document["format"]), (0, "", &"lvsform-plan/1".into()));
    }
}

#[test]
fn pending_changes_end_with_2_only_where_that_was_asked_for() {
    assert_eq!(plan(&[]).0, 0);
    assert_eq!(plan(&["--exit-code"]).0, 2);
    assert_eq!(plan(&["--exit-code", "--quiet"]), (2, String::new(), String::new()));
}

#[test]
fn what_is_no_captured_state_is_refused_with_its_reason_and_how_to_make_one() {
    let folder = Folder::new("captured");
    let cases = [
        (folder.0.join("missing.json").to_str().expect("a plain path").to_owned(), "No such file or directory"),
        (folder.0.to_str().expect("a plain path").to_owned(), "Is a directory"),
        (folder.file("empty.json", "\n"), "it is empty"),
        (folder.file("garbage.json", "IP Virtual Server version 1.2.1"), "it is not JSON: expected value at line 1"),
        (folder.file("cut.json", r#"{"format":"lvsform-live/1","obs"#), "it is not JSON: EOF"),
        (folder.file("number.json", "17"), "expected an object"),
        (folder.file("nameless.json", "{}"), r#"it does not say `"format": "lvsform-live/1"`"#),
        (
            folder.file("old.json", r#"{"format":"lvsform-live/0","services":[]}"#),
            "its format is `lvsform-live/0`, and this version of lvsform reads `lvsform-live/1`",
        ),
        (folder.file("part.json", r#"{"format":"lvsform-live/1"}"#), "missing field `observed`"),
    ];
    for (file, reason) in &cases {
        refuses(&["plan", SHOP, "--host", "lb1", "--live", file], 1, &[file, reason, "lvsform snapshot TOPOLOGY > FILE"]);
    }
}

#[test]
fn what_names_no_network_namespace_is_refused_and_leads_nowhere() {
    for name in ["", ".", "..", "../x", "/proc/1/ns/net", "no-such-namespace"] {
        refuses(&["plan", SHOP, "--host", "lb1", "--netns", name], 1, &["no network namespace", name, "ip netns list"]);
        refuses(&["snapshot", "--netns", name], 1, &["no network namespace", name]);
    }
}

#[test]
fn colour_is_used_where_it_was_asked_for_and_changes_no_word() {
    let coloured = |variables: &[(&str, &str)], color: &str| {
        let mut command = lvsform(&["plan", SHOP, "--host", "lb1", "--live", LIVE, "--color", color]);
        ended(&command.envs(variables.iter().copied()).output().expect("the program runs")).1
    };
    let plain = coloured(&[], "auto");
    assert!(!plain.contains('\x1b'));
    assert_eq!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], "auto"), plain);
    assert_eq!(coloured(&[("CLICOLOR_FORCE", "0")], "auto"), plain);
    assert_eq!(coloured(&[("CLICOLOR_FORCE", "1")], "never"), plain);
    for painted in [coloured(&[("CLICOLOR_FORCE", "1")], "auto"), coloured(&[("NO_COLOR", "1")], "always")] {
        assert!(painted.contains('\x1b'));
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), plain);
    }
}

#[test]
fn a_plan_keeps_within_the_columns_that_there_are() {
    let example = "examples/flash-sale.kdl";
    for columns in [80, 100, 160] {
        let mut command = lvsform(&["plan", example, "--host", "lb1", "--live", LIVE]);
        let (_, out, _) = ended(&command.env("COLUMNS", columns.to_string()).output().expect("the program runs"));
        assert!(out.contains("max-connections 20000"), "{out}");
        // A command that is to be pasted is in one piece.
        let mut lines = out.lines().filter(|line| !line.starts_with("Apply exactly this:"));
        assert!(lines.all(|line| line.chars().count() <= columns), "{columns}:\n{out}");
    }
    for nonsense in ["", "0", "-1", "wide"] {
        let mut command = lvsform(&["plan", example, "--host", "lb1", "--live", LIVE]);
        assert_eq!(ended(&command.env("COLUMNS", nonsense).output().expect("the program runs")).0, 0);
    }
}

#[test]
fn what_does_not_reach_its_reader_for_want_of_room_is_a_failure() {
    for arguments in [&["schema", "topology"][..], &["check", SHOP], &["plan", SHOP, "--host", "lb1", "--live", LIVE]] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full is there");
        let (code, _, err) = ended(&lvsform(arguments).stdout(full).output().expect("the program runs"));
        assert_eq!(code, 1, "{arguments:?}");
        assert!(err.contains("not complete: No space left on device"), "{err}");
    }
}

#[test]
fn a_reader_who_has_read_enough_is_no_failure() {
    let mut child = lvsform(&["schema", "topology"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut first = [0; 1];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("it prints"); // and the pipe is closed
    let (code, _, err) = ended(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn apply_without_a_terminal_to_ask_on_is_never_begun() {
    // Wherever this test runs: with no IPVS to read, without root, or as root where it could be done.
    let (code, _, err) = run(&["apply", SHOP, "--host", "lb1"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.starts_with("error: "), "{err}");
}

#[test]
fn the_last_line_of_a_plan_is_a_command_that_can_be_pasted() {
    let folder = Folder::new("it's a folder");
    let file = folder.file("shop.kdl", &fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SHOP)).expect("a file"));
    let (_, out, _) = run(&["plan", &file, "--host", "lb1", "--live", LIVE]);
    let last = out.lines().last().and_then(|line| line.strip_prefix("Apply exactly this:")).expect("a line");
    let words = Command::new("sh").args(["-c", &format!("printf '%s\\n' {last}")]).output().expect("sh runs").stdout;
    let (command, digest) = std::str::from_utf8(&words).ok().and_then(|words| words.rsplit_once("--expect\n")).expect("a digest");
    assert_eq!(command, format!("lvsform\napply\n{file}\n--host\nlb1\n"));
    assert_eq!(digest.trim().len(), 32);
}

#[test]
fn every_unit_runs_a_command_that_there_is() {
    let mut commands = 0;
    for unit in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd")).expect("a folder").flatten() {
        let text = fs::read_to_string(unit.path()).expect("a unit");
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/lvsform ")) {
            let mut arguments: Vec<&str> = line.split(' ').collect();
            arguments.push("--help"); // what stands before it is read all the same
            let (code, _, err) = run(&arguments);
            assert_eq!((code, err.as_str()), (0, ""), "{line}");
            commands += 1;
        }
    }
    assert_eq!(commands, 4);
}
