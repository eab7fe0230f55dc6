//! Runs a rehearsal and reads what it says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What came of a rehearsal.
pub struct Outcome {
    pub code: Option<i32>,
    pub document: Value,
    /// What it said on standard error.
    pub said: String,
}

/// Rehearses a file of this package, in this kernel.
pub fn rehearse(file: &Path, more: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsform"));
    command.args(["rehearse", "--kernel", "here", "--format", "json"]).args(more);
    if !more.contains(&"--patience") {
        // Where all is well nobody waits, and a machine that is busy elsewhere stands still for seconds.
        command.args(["--patience", "8s"]);
    }
    command.arg("--").arg(file);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Outcome { code: output.status.code(), document, said }
}

/// The same of a text.
pub fn rehearse_text(name: &str, text: &str, more: &[&str]) -> Outcome {
    // Tests of one cluster may run at the same time.
    let folder = nix::unistd::mkdtemp(&std::env::temp_dir().join("rehearse-XXXXXX")).expect("a folder");
    let file: PathBuf = folder.join(format!("{name}.kdl"));
    std::fs::write(&file, text).expect("our own file");
    let outcome = rehearse(&file, more);
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

impl Outcome {
    /// The acts that were played, by name.
    pub fn acts(&self) -> Vec<&str> {
        let acts = self.document["acts"].as_array().map(Vec::as_slice).unwrap_or_default();
        acts.iter().filter_map(|act| act["name"].as_str()).collect()
    }

    /// Everything works, and so many trials were made in the first act.
    #[track_caller]
    pub fn works(&self, trials: usize) {
        assert_eq!(self.code, Some(0), "{:#}\n{}", self.shown(), self.said);
        let rows = self.document["acts"][0]["rows"].as_array().map_or(0, Vec::len);
        assert_eq!(rows, trials, "{:#}", self.document["acts"][0]);
    }

    /// What is wrong, without what works.
    fn shown(&self) -> Value {
        let acts = self.document["acts"].as_array().cloned().unwrap_or_default();
        let rows = acts.iter().flat_map(|act| act["rows"].as_array().cloned().unwrap_or_default());
        let wrong: Vec<Value> = rows.filter(|row| row["works"] != true).collect();
        serde_json::json!({ "findings": self.document["findings"], "rows": wrong, "notes": self.document["notes"] })
    }

    /// The causes that it names, each with its host.
    pub fn causes(&self) -> BTreeSet<String> {
        let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let findings = self.document["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().map(|finding| format!("{} {}", word(finding, "cause"), word(finding, "host"))).collect()
    }
}
