//! `lvsform lsp` with a client that is not ours: `pygls`, in a folder of its own. `tests/editor/client.py` is what it asks.
#![expect(clippy::disallowed_methods, reason = "this test runs programs, and copies the examples")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("make test installs it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// A Python with what the client needs; made once for each list of packages.
fn python() -> PathBuf {
    let wanted = fs::read_to_string(root().join("tests/editor/requirements.txt")).expect("a list of packages");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("editor-python");
    let python = folder.join("bin/python");
    let made = folder.join("made-of.txt");
    if fs::read_to_string(&made).is_ok_and(|of| of == wanted) {
        return python;
    }
    let _ = fs::remove_dir_all(&folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    let list = root().join("tests/editor/requirements.txt");
    let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "10", "-r"];
    run(Command::new(&python).args(words).arg(list));
    fs::write(made, wanted).expect("a file in target");
    python
}

/// The examples, each in a folder of its own: a folder with several topologies has none that an overlay belongs to.
fn examples() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("editor-examples-{}", std::process::id()));
    let copy = |from: &str, to: &str| {
        let to = folder.join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(root().join("examples").join(from), to).expect("a copy");
    };
    for name in ["fleet/fleet.kdl", "fleet/staging.kdl", "fleet/production.kdl", "fleet/expectations.kdl"] {
        copy(name, name);
    }
    for name in ["api-gateway.kdl", "api-gateway.toml"] {
        copy(name, name);
    }
    copy("game.toml", "game/game.toml");
    folder
}

#[test]
fn a_client_of_another_maker_is_served_on_whole_and_on_broken_files() {
    let (python, folder) = (python(), examples());
    let client = root().join("tests/editor/client.py");
    let said = run(Command::new(python).arg(client).arg(env!("CARGO_BIN_EXE_lvsform")).arg(&folder));
    // How much was answered, and how fast: shown with `--nocapture`.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
    fs::remove_dir_all(folder).expect("a folder");
}

#[test]
fn a_message_longer_than_any_file_ends_it_with_a_reason() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_lvsform"))
        .arg("lsp")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = server.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, b"Content-Length: 99999999999999\r\n\r\n{").expect("it reads");
    let output = server.wait_with_output().expect("it ends");
    drop(input);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a message of 99999999999999 bytes; at most"), "{said}");
}

#[test]
fn an_editor_that_goes_without_a_word_leaves_nobody_behind() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_lvsform"))
        .arg("lsp")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    drop(server.stdin.take());
    assert_eq!(server.wait().expect("it ends").code(), Some(1));
}
