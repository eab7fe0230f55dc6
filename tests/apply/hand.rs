//! What somebody does by hand, in the namespace of this thread, and waits for.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program, which must succeed.
pub fn run(program: &str, arguments: &str) {
    let status = Command::new(program).args(arguments.split(' ')).status().expect(program);
    assert!(status.success(), "{program} {arguments}");
}

/// Runs a program with `input` at its standard input. It must succeed and have nothing to say: `ipvsadm -R` goes on after
/// a line that failed.
pub fn feed(program: &str, arguments: &str, input: &str) {
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect(program);
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads all of it");
    let output = child.wait_with_output().expect(program);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{program} {arguments}: {words}\n{input}");
}

/// Waits for a condition, with a time limit.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(100), "{what}: not within 100 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
