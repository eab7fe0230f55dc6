//! How long an editor waits for `lvsform lsp`: from a keystroke to the first diagnostics of it, and for each kind of answer.
//!
//! `cargo bench --profile lab --bench editor [-- SERVICES…]`: the process itself, over its standard input and output. Each time
//! is the median of nine; beside it `lvsform check` of the same file, in the same run.

#![expect(clippy::disallowed_methods, reason = "a bench has a clock, files and programs of its own")]

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lsp_server::{Message, Notification, Request, RequestId};
use serde_json::{Value, json};

type Outcomes<T> = Result<T, Box<dyn std::error::Error>>;

/// Servers of each service.
const SERVERS: usize = 10;
const ROUNDS: usize = 9;

fn main() -> Outcomes<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 1_000];
    }
    for size in sizes {
        measure(size)?;
    }
    Ok(())
}

fn measure(size: usize) -> Outcomes<()> {
    let folder = std::env::temp_dir().join(format!("lvsform-editor-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("shop.kdl");
    let text = topology(size);
    std::fs::write(&path, &text)?;
    let check = median(|| {
        let start = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_lvsform")).arg("check").arg(&path).stdout(Stdio::null()).status()?;
        if status.success() { Ok(start.elapsed()) } else { Err(status.to_string().into()) }
    })?;
    let mut editor = Editor::start(&folder)?;
    let opened = editor.open(&path, &text)?;
    // A word in the middle of the file, wrong and right by turns.
    let line = text.lines().position(|line| line.contains("\"wrr\"")).ok_or("a scheduler")? + (size / 2) * (SERVERS + 3);
    let column = text.lines().nth(line).and_then(|line| line.find("wrr")).ok_or("a scheduler")?;
    let mut version = 1;
    let keystroke = median(|| {
        version += 2;
        let start = Instant::now();
        let wrong = editor.replace(&path, version, (line, column), 3, "wr")?;
        let took = start.elapsed();
        let right = editor.replace(&path, version + 1, (line, column), 2, "wrr")?;
        if (wrong, right) == (1, 0) { Ok(took) } else { Err(format!("{wrong} and {right} problems").into()) }
    })?;
    let mut rows =
        vec![("`lvsform check`", check), ("first diagnostics after opening", opened), ("**after a keystroke**", keystroke)];
    let place = json!({ "textDocument": { "uri": uri(&path) }, "position": { "line": line, "character": column + 1 } });
    let lines = json!({ "start": { "line": line, "character": 0 }, "end": { "line": line + 40, "character": 0 } });
    let hints = json!({ "textDocument": { "uri": uri(&path) }, "range": lines });
    for (name, method, params) in [
        ("completion", "textDocument/completion", &place),
        ("hover", "textDocument/hover", &place),
        ("references", "textDocument/references", &{
            let mut place = place.clone();
            place["context"] = json!({ "includeDeclaration": true });
            place
        }),
        ("inlay hints of 40 lines", "textDocument/inlayHint", &hints),
    ] {
        rows.push((name, median(|| editor.ask(method, params))?));
    }
    editor.end()?;
    std::fs::remove_dir_all(&folder)?;
    let mut table = String::new();
    for (name, time) in rows {
        let _ = writeln!(table, "| {name} | {:.3} s | {:.2} |", time.as_secs_f64(), time.as_secs_f64() / check.as_secs_f64());
    }
    writeln!(std::io::stdout(), "\n| | {size} x {SERVERS} | beside `check` |\n|---|---:|---:|\n{table}")?;
    Ok(())
}

fn topology(size: usize) -> String {
    let mut text = "topology \"editor\"\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/16\"; }\n".to_owned();
    text.push_str("vip \"v\" address=\"10.1.0.1\" managed=#false\n");
    for service in 0..size {
        let port = 1_000 + service;
        let _ = writeln!(text, "service \"s{service}\" scheduler=\"wrr\" forward=\"dr\" {{\n    listen vip=\"v\" port={port}");
        for server in 0..SERVERS {
            let _ = writeln!(text, "    server \"10.0.0.{}\" weight=100", 10 + server);
        }
        text.push_str("}\n");
    }
    text
}

fn median(mut work: impl FnMut() -> Outcomes<Duration>) -> Outcomes<Duration> {
    let mut times = (0..ROUNDS).map(|_| work()).collect::<Outcomes<Vec<_>>>()?;
    times.sort();
    times.get(ROUNDS / 2).copied().ok_or_else(|| "no round".into())
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// `lvsform lsp`, and who speaks to it.
struct Editor {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next: i32,
}

impl Editor {
    fn start(folder: &Path) -> Outcomes<Editor> {
        let mut process =
            Command::new(env!("CARGO_BIN_EXE_lvsform")).arg("lsp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = process.stdin.take().ok_or("its input")?;
        let from = BufReader::new(process.stdout.take().ok_or("its output")?);
        let mut editor = Editor { process, to, from, next: 0 };
        let folders = json!([{ "uri": uri(folder), "name": "bench" }]);
        editor.ask("initialize", &json!({ "capabilities": {}, "workspaceFolders": folders }))?;
        editor.say("initialized", json!({}))?;
        Ok(editor)
    }

    fn say(&mut self, method: &str, params: Value) -> Outcomes<()> {
        Ok(Message::Notification(Notification { method: method.to_owned(), params }).write(&mut self.to)?)
    }

    fn hear(&mut self) -> Outcomes<Message> {
        Ok(Message::read(&mut self.from)?.ok_or("it is gone")?)
    }

    /// How long an answer takes.
    fn ask(&mut self, method: &str, params: &Value) -> Outcomes<Duration> {
        self.next += 1;
        let id = RequestId::from(self.next);
        let start = Instant::now();
        let request = Request { id: id.clone(), method: method.to_owned(), params: params.clone() };
        Message::Request(request).write(&mut self.to)?;
        loop {
            if let Message::Response(response) = self.hear()?
                && response.id == id
            {
                let took = start.elapsed();
                let answered = response.response_result.is_ok_and(|result| !result.is_null() || method == "shutdown");
                return if answered { Ok(took) } else { Err(format!("{method}: no answer").into()) };
            }
        }
    }

    /// How many problems are said next.
    fn diagnostics(&mut self) -> Outcomes<usize> {
        loop {
            if let Message::Notification(notification) = self.hear()?
                && notification.method == "textDocument/publishDiagnostics"
            {
                return Ok(notification.params["diagnostics"].as_array().ok_or("a list")?.len());
            }
        }
    }

    fn open(&mut self, path: &Path, text: &str) -> Outcomes<Duration> {
        let start = Instant::now();
        let document = json!({ "uri": uri(path), "languageId": "kdl", "version": 1, "text": text });
        self.say("textDocument/didOpen", json!({ "textDocument": document }))?;
        if self.diagnostics()? == 0 { Ok(start.elapsed()) } else { Err("the topology has problems".into()) }
    }

    /// Replaces so many letters, and waits for what is said of it.
    fn replace(&mut self, path: &Path, version: i32, at: (usize, usize), length: usize, text: &str) -> Outcomes<usize> {
        let (line, column) = at;
        let range =
            json!({ "start": { "line": line, "character": column }, "end": { "line": line, "character": column + length } });
        let document = json!({ "uri": uri(path), "version": version });
        let change = json!({ "textDocument": document, "contentChanges": [{ "range": range, "text": text }] });
        self.say("textDocument/didChange", change)?;
        self.diagnostics()
    }

    fn end(mut self) -> Outcomes<()> {
        self.ask("shutdown", &Value::Null)?;
        self.say("exit", Value::Null)?;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(status.to_string().into()) }
    }
}
