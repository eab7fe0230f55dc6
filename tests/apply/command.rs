//! The command itself, as an operator runs it: exit codes, words, and what it leaves alone.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use libtest_mimic::Trial;
use lvsform::kernel::netns;
use lvsform::txn::lock;
use serde_json::Value;

use crate::director::Director;
use crate::world::{World, test};
use crate::{hand, witness};

pub fn tests() -> Vec<Trial> {
    vec![
        test("command::plan_says_with_its_exit_code_whether_there_are_changes", exit_code),
        test("command::apply_asks_and_without_a_terminal_changes_nothing", nobody_to_ask),
        test("command::apply_takes_yes_for_yes_on_a_terminal_and_nothing_else", asks),
        test("command::a_second_apply_does_nothing_and_says_so", twice),
        test("command::an_apply_that_is_refused_says_so_and_ends_with_8", rolled_back),
        test("command::a_plan_that_cannot_go_well_is_refused_before_the_kernel_is_asked", model),
        test("command::one_run_at_a_time_in_a_namespace", locked),
        test("command::a_topology_that_is_not_valid_ends_with_10", invalid),
        test("command::a_wrong_command_line_ends_with_64", usage),
        test("command::a_host_that_is_not_in_the_file_ends_with_64_and_the_nearest_name", unknown_host),
        test("command::a_namespace_is_entered_by_its_name", named_namespace),
        test("command::a_namespace_that_is_not_there_is_named", no_namespace),
        test("command::without_the_capability_a_plan_names_it_and_offers_a_captured_state", no_capability),
        test("command::a_captured_state_gives_the_same_plan_without_root", captured),
        test("command::a_captured_state_says_what_is_owned_and_a_plan_from_it_deletes_that", captured_owned),
        test("command::a_picture_marks_what_somebody_changed_by_hand", picture),
        test("command::a_reader_that_goes_away_does_not_stop_an_apply", closed_pipe),
        test("command::a_reader_that_goes_away_does_not_stop_a_rollback", closed_pipe_of_a_failure),
    ]
}

const SALE: &str = "examples/flash-sale.kdl";

pub fn lvsform(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.args(arguments.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// A command as "nobody", without any capability.
fn as_nobody(arguments: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", env!("CARGO_BIN_EXE_lvsform")]);
    command.args(arguments.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it, expects an exit code, and returns its two streams. What it prints as JSON is judged by its published schema.
#[track_caller]
pub fn run(mut command: Command, code: i32) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let (out, err) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(code), "{command:?}: {status}\n{out}\n{err}");
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    if arguments.iter().any(|argument| argument == "json") && !out.is_empty() {
        judge(&arguments[0], &out);
    }
    (out, err)
}

#[track_caller]
fn judge(verb: &str, document: &str) {
    let (schema, _) = run(lvsform(&format!("schema {verb}")), 0);
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let judge = jsonschema::validator_for(&json(&schema)).expect("a schema");
    let wrong: Vec<String> = judge.iter_errors(&json(document)).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{document}");
}

#[track_caller]
pub fn says(words: &str, parts: &[&str]) {
    for part in parts {
        assert!(words.contains(part), "no `{part}` in:\n{words}");
    }
}

/// The flash sale's director, with nothing applied.
fn sale(world: &World) -> Director {
    let director = Director::of(SALE, "lb1");
    director.plug_in(world);
    director
}

/// A file in a folder of its own, which every user may read.
pub struct File(PathBuf);

impl File {
    pub fn new(name: &str, content: &[u8]) -> File {
        let folder = nix::unistd::mkdtemp("/tmp/lvsform-test-XXXXXX").expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&folder, open).expect("our own folder");
        let file = folder.join(name);
        std::fs::write(&file, content).expect("a file");
        File(file)
    }

    pub fn path(&self) -> std::borrow::Cow<'_, str> {
        self.0.to_string_lossy()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = self.0.parent().map(std::fs::remove_dir_all);
    }
}

fn exit_code(world: &mut World) {
    let director = sale(world);
    let (out, err) = run(lvsform(&format!("plan {SALE} --host lb1 --exit-code")), 2);
    says(&out, &["+ service shop", "tcp 10.0.0.100:443 wlc", "flash-sale.kdl:", "to add"]);
    assert_eq!(err, "");
    run(lvsform(&format!("plan {SALE} --host lb1")), 0);
    assert!(witness::table(world).is_empty(), "a plan changes nothing");
    run(lvsform(&format!("apply {SALE} --host lb1 --yes")), 0);
    let (out, _) = run(lvsform(&format!("plan {SALE} --host lb1 --exit-code")), 0);
    says(&out, &["Nothing to do: lb1 holds what examples/flash-sale.kdl says."]);
    witness::agree(world, &director, &[]);
    let (json, _) = run(lvsform(&format!("plan {SALE} --host lb1 --exit-code --format json")), 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["changes"].as_array().map(Vec::len), Some(0), "{json}");
}

fn nobody_to_ask(world: &mut World) {
    let director = sale(world);
    let before = witness::everything(world, &director);
    let (out, err) = run(lvsform(&format!("apply {SALE} --host lb1")), 1);
    says(&out, &["+ service shop"]);
    says(&err, &["there is no terminal to ask on; nothing was changed", "--yes"]);
    assert_eq!(witness::everything(world, &director), before);
}

/// On a terminal of `script`, which passes an exit code on.
fn asks(world: &mut World) {
    let director = sale(world);
    let before = witness::everything(world, &director);
    let answer = |answer: &str| {
        let mut command = Command::new("script");
        let line = format!("{} apply {SALE} --host lb1", env!("CARGO_BIN_EXE_lvsform"));
        command.args(["-qec", &line, "/dev/null"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("script");
        let mut stdin = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut stdin, format!("{answer}\n").as_bytes()).expect("an answer");
        // Its end is the end of the terminal, so it stays open until all is said.
        let mut said = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
        drop(stdin);
        (child.wait().expect("an end").code(), said)
    };
    for no in ["no", "y", ""] {
        let (code, said) = answer(no);
        assert_eq!(code, Some(1), "{no}: {said}");
        says(&said, &["Only `yes` is taken for yes", "Nothing was changed."]);
        assert_eq!(witness::everything(world, &director), before, "{no}");
    }
    let (code, said) = answer("yes");
    assert_eq!(code, Some(0), "{said}");
    says(&said, &["Applied: "]);
    witness::agree(world, &director, &[]);
}

fn twice(world: &mut World) {
    let director = sale(world);
    let apply = || lvsform(&format!("apply {SALE} --host lb1 --yes"));
    let (out, err) = run(apply(), 0);
    says(&out, &["Applied: 11 added, 1 changed.", "The kernel was read back: lb1 holds what examples/flash-sale.kdl says."]);
    assert_eq!(err, "");
    witness::agree(world, &director, &[]);
    let (out, err) = run(apply(), 0);
    says(&out, &["Nothing to do: lb1 holds what examples/flash-sale.kdl says."]);
    assert!(!out.contains("Applied"), "{out}");
    assert_eq!(err, "");
    // Nor does it ask whether to do nothing.
    run(lvsform(&format!("apply {SALE} --host lb1")), 0);
}

/// The flash sale with a service that this kernel cannot have.
fn broken_sale() -> File {
    let sale = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SALE)).expect("the example");
    File::new("sale.kdl", sale.replace("scheduler \"wrr\"", "scheduler \"twos\"").as_bytes())
}

fn rolled_back(world: &mut World) {
    let director = sale(world);
    let before = witness::everything(world, &director);
    let file = broken_sale();
    let (_, err) = run(lvsform(&format!("apply {} --host lb1 --yes", file.path())), 8);
    says(&err, &["service redirect", "ENOENT", "ip_vs_twos", "Rolled back"]);
    assert_eq!(witness::everything(world, &director), before);
}

/// No device that the VIP could be on.
fn model(world: &mut World) {
    let before = witness::table(world);
    let (out, _) = run(lvsform(&format!("plan {SALE} --host lb1")), 0);
    says(
        &out,
        &["Apply would refuse: model: the kernel would not add vip storefront (10.0.0.100 eth0", "there is no device `eth0`"],
    );
    let (_, err) = run(lvsform(&format!("apply {SALE} --host lb1 --yes")), 5);
    says(&err, &["a model of the kernel refuses to add vip storefront", "ENODEV", "The kernel was not asked", "--allow model"]);
    let (_, err) = run(lvsform(&format!("apply {SALE} --host lb1 --yes --allow model")), 8);
    says(&err, &["the kernel refused to add vip storefront", "Rolled back"]);
    assert_eq!(witness::table(world), before);
}

fn locked(world: &mut World) {
    let director = sale(world);
    let before = witness::everything(world, &director);
    let lock = lock::take(Path::new(lock::DIRECTORY), netns::cookie().expect("a cookie"), None).expect("the lock");
    let (_, err) = run(lvsform(&format!("apply {SALE} --host lb1 --yes")), 7);
    says(&err, &["another run is at work in this network namespace", lock::DIRECTORY, "nothing was changed"]);
    assert_eq!(witness::everything(world, &director), before);
    // To look is not to write.
    run(lvsform(&format!("plan {SALE} --host lb1")), 0);
    drop(lock);
    run(lvsform(&format!("apply {SALE} --host lb1 --yes")), 0);
    witness::agree(world, &director, &[]);
}

fn invalid(world: &mut World) {
    sale(world);
    let file = File::new("bad.kdl", b"topology \"bad\"\nservice \"x\" { scheduler \"wcl\" }\n");
    for command in ["plan", "apply --yes"] {
        let (out, err) = run(lvsform(&format!("{command} {} --host lb1", file.path())), 10);
        assert_eq!(out, "");
        says(&err, &["bad.kdl", "did you mean \"wlc\"?"]);
    }
    let (_, err) = run(lvsform("apply /does/not/exist.kdl --host lb1 --yes"), 10);
    says(&err, &["/does/not/exist.kdl"]);
    assert!(witness::table(world).is_empty());
}

fn usage(_: &mut World) {
    for line in ["plna", "plan", "apply --yse", "plan a.kdl --format yaml", "plan a.kdl --live b --netns c"] {
        let (out, err) = run(lvsform(line), 64);
        assert_eq!(out, "", "{line}");
        assert!(err.contains("Usage") || err.contains("--help") || err.contains("possible values"), "{line}: {err}");
    }
    run(lvsform("--help"), 0);
    run(lvsform("apply --help"), 0);
}

fn unknown_host(world: &mut World) {
    sale(world);
    for command in ["plan", "apply --yes"] {
        let (_, err) = run(lvsform(&format!("{command} {SALE} --host lb2")), 64);
        says(&err, &["the topology has no host `lb2`", "did you mean `lb1`?"]);
        let (_, err) = run(lvsform(&format!("{command} {SALE}")), 64);
        says(&err, &["no host of the topology has this machine's name", "--host NAME", "lb1"]);
    }
    assert!(witness::table(world).is_empty());
}

fn named_namespace(world: &mut World) {
    let director = Director::of(SALE, "lb1");
    world.witness("ip", "netns add shop");
    world.witness("ip", "-n shop link set lo up");
    world.witness("ip", "-n shop link add eth0 type dummy");
    world.witness("ip", "-n shop link set eth0 up");
    world.witness("ip", "-n shop addr add 10.0.0.2/24 dev eth0");
    let here = witness::everything(world, &director);
    run(lvsform(&format!("apply {SALE} --host lb1 --yes --netns shop")), 0);
    run(lvsform(&format!("plan {SALE} --host lb1 --exit-code --netns shop")), 0);
    let there = world.witness("ip", "netns exec shop ipvsadm -Sn");
    says(&there, &["-A -t 10.0.0.100:443 -s wlc", "-a -t 10.0.0.100:80 -r 10.0.0.14:80 -g -w 50"]);
    says(&world.witness("ip", "-n shop addr show eth0"), &["10.0.0.100/32"]);
    assert_eq!(witness::everything(world, &director), here, "this namespace is as it was");
    let (json, _) = run(lvsform("snapshot --netns shop"), 0);
    says(&json, &["service tcp 10.0.0.100:443"]);
    world.witness("ip", "netns del shop");
}

fn no_namespace(_: &mut World) {
    for name in ["lost", "../../proc/1/ns/net", ".."] {
        let (_, err) = run(lvsform(&format!("plan {SALE} --host lb1 --netns {name}")), 1);
        says(&err, &[&format!("there is no network namespace `{name}`"), "ip netns list"]);
    }
}

fn no_capability(world: &mut World) {
    sale(world);
    let (out, err) = run(as_nobody(&format!("plan {SALE} --host lb1")), 1);
    assert_eq!(out, "");
    says(&err, &["CAP_NET_ADMIN", "--live FILE", "lvsform snapshot"]);
    let (_, err) = run(as_nobody(&format!("apply {SALE} --host lb1 --yes")), 1);
    says(&err, &["nothing was changed", "must run as root"]);
    let (out, _) = run(as_nobody(&format!("check {SALE}")), 0);
    says(&out, &["No errors."]);
}

fn captured(world: &mut World) {
    let director = sale(world);
    director.apply_all(&mut world.kernel);
    hand::feed("ipvsadm", "-R", "-E -t 10.0.0.100:443 -s rr\n-d -t 10.0.0.100:80 -r 10.0.0.11:80\n-A -u 10.0.0.100:53 -s rr\n");
    std::fs::write("/proc/sys/net/ipv4/vs/expire_nodest_conn", "1").expect("a sysctl");
    let (live, _) = run(lvsform(&format!("plan {SALE} --host lb1 --exit-code")), 2);
    let (snapshot, _) = run(lvsform(&format!("snapshot {SALE} --host lb1")), 0);
    let file = File::new("live.json", snapshot.as_bytes());
    let (replayed, err) = run(as_nobody(&format!("plan {SALE} --host lb1 --exit-code --live {}", file.path())), 2);
    assert_eq!(replayed, live);
    assert_eq!(err, "");

    // Through a pipe.
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_lvsform");
    let pipe = format!("{program} snapshot {SALE} --host lb1 | {program} plan {SALE} --host lb1 --live /dev/stdin");
    command.args(["-c", &pipe]).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(run(command, 0).0, live);

    let torn = File::new("live.json", &snapshot.as_bytes()[..snapshot.len() / 2]);
    let (_, err) = run(lvsform(&format!("plan {SALE} --host lb1 --live {}", torn.path())), 1);
    says(&err, &["is not a captured state", "lvsform snapshot"]);
}

/// Without the ledger a plan of a file that shares the table with others would delete nothing.
fn captured_owned(world: &mut World) {
    let _director = sale(world);
    let whole = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SALE)).expect("an example");
    let whole = whole.replace("ownership ipvs=\"exclusive\"\n", "");
    let (before, rest) = whole.split_once("service \"redirect\" {").expect("a second service");
    let (_, after) = rest.split_once("\n}\n").expect("its end");
    let (whole, less) = (File::new("sale.kdl", whole.as_bytes()), File::new("sale.kdl", format!("{before}{after}").as_bytes()));
    run(lvsform(&format!("apply {} --host lb1 --yes", whole.path())), 0);
    let (live, _) = run(lvsform(&format!("plan {} --host lb1 --exit-code", less.path())), 2);
    says(&live, &["- service redirect"]);
    for captured_with in [&whole, &less] {
        let (snapshot, _) = run(lvsform(&format!("snapshot {} --host lb1", captured_with.path())), 0);
        let file = File::new("live.json", snapshot.as_bytes());
        let plan = format!("plan {} --host lb1 --exit-code --live {}", less.path(), file.path());
        assert_eq!(run(as_nobody(&plan), 2).0, live);
    }
    let (snapshot, _) = run(lvsform("snapshot"), 0);
    let file = File::new("live.json", snapshot.as_bytes());
    let plan = format!("plan {} --host lb1 --live {}", less.path(), file.path());
    assert!(!run(as_nobody(&plan), 0).0.contains("- service redirect"), "nobody said whose it is");
}

fn picture(world: &mut World) {
    let _director = sale(world);
    run(lvsform(&format!("apply {SALE} --host lb1 --yes")), 0);
    let drawn = |more: &str| run(lvsform(&format!("graph {SALE} --host lb1 {more}")), 0).0;
    let unmarked = drawn("--plan --format mermaid");
    assert!(!unmarked.contains("class "), "{unmarked}");
    says(&unmarked, &["web2 10.0.0.12 weight 100 0 connections"]);
    hand::run("ipvsadm", "-e -t 10.0.0.100:443 -r 10.0.0.12:443 -g -w 7");
    hand::run("ipvsadm", "-a -t 10.0.0.100:443 -r 10.0.0.99:443 -g -w 7");
    hand::run("ip", "addr del 10.0.0.100/32 dev eth0");
    let marked = drawn("--plan --format mermaid");
    says(&marked, &["+ storefront", "~ web2", "- server tcp 10.0.0.100:443 10.0.0.99:443 on lb1"]);
    assert!(!marked.contains("~ web1") && !marked.contains("~ lb1"), "{marked}");
    // A captured state gives the same picture, and a page has it too.
    let (snapshot, _) = run(lvsform(&format!("snapshot {SALE} --host lb1")), 0);
    let file = File::new("live.json", snapshot.as_bytes());
    assert_eq!(drawn(&format!("--live lb1={} --format mermaid", file.path())), marked);
    let (page, _) = run(lvsform(&format!("plan {SALE} --host lb1 --format html")), 0);
    says(&page, &["<svg class=\"lvsform-graph\"", "+ storefront", "~ web2"]);
}

/// Standard output and error whose reader is gone before the first byte.
fn unread(mut command: Command) -> Option<i32> {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer.try_clone().expect("a handle")).stderr(writer);
    command.status().expect("it starts").code()
}

fn closed_pipe(world: &mut World) {
    let director = sale(world);
    assert_eq!(unread(lvsform(&format!("apply {SALE} --host lb1 --yes"))), Some(0));
    witness::agree(world, &director, &[]);
    // And as an operator does it.
    world.witness("ipvsadm", "-C");
    let mut command = Command::new("sh");
    let line = format!("{} apply {SALE} --host lb1 --yes | head -1", env!("CARGO_BIN_EXE_lvsform"));
    command.args(["-c", &line]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let (out, _) = run(command, 0);
    assert_eq!(out.lines().count(), 1, "{out}");
    witness::agree(world, &director, &[]);
}

fn closed_pipe_of_a_failure(world: &mut World) {
    let director = sale(world);
    let before = witness::everything(world, &director);
    let file = broken_sale();
    assert_eq!(unread(lvsform(&format!("apply {} --host lb1 --yes", file.path()))), Some(8));
    assert_eq!(witness::everything(world, &director), before);
}
