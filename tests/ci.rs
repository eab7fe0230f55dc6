//! The recipes of examples/ci do what they say: their own steps are run, where no network is needed.
#![expect(clippy::disallowed_methods, reason = "these tests run shells and git, over files of their own")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TOPOLOGY: &str = "topology \"shop\"\n\ndirector \"lb1\" { interface \"eth0\" address=\"10.0.0.2/24\" }\n\nvip \"front\" address=\"10.0.0.100\"\n\nservice \"web\" {\n    listen vip=\"front\" port=80\n    forward \"dr\"\n    server \"10.0.0.11\" weight=10\n}\n\nlint \"no-real-servers\" level=\"allow\" reason=\"another team has them\"\n";

/// A repository of which `main` has a topology; the program and what a runner has are in its path.
struct Repository(PathBuf);

impl Repository {
    fn new(name: &str) -> Repository {
        let path = std::env::temp_dir().join(format!("lvsform-ci-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("bin")).expect("a folder");
        let repository = Repository(path);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lvsform"), repository.0.join("bin/lvsform")).expect("a link");
        repository.program("gh", "#!/bin/sh\necho \"gh $*\" >> said\n");
        repository.write("topology.kdl", TOPOLOGY);
        repository.run("git init -q -b main && git add topology.kdl && git commit -qm one && git branch origin/main", 0);
        repository
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.0.join("bin").join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn shell(&self, script: &str) -> Output {
        let mut command = Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(&self.0).env_remove("COLUMNS");
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@example.org");
        }
        command.env("BASE", "origin/main").env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main");
        command.env("GITHUB_STEP_SUMMARY", self.0.join("summary")).env("GITHUB_OUTPUT", self.0.join("output"));
        command.output().expect("a shell")
    }

    /// Runs a script that must end so; what it said.
    #[track_caller]
    fn run(&self, script: &str, code: i32) -> String {
        let output = self.shell(script);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{script}\n{said}");
        said
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn recipe(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name)).expect("a recipe")
}

/// The lines of a job, by the indentation of its name.
fn job(text: &str, name: &str) -> String {
    let start = text.lines().position(|line| line.trim() == format!("{name}:") && !line.contains("- ")).expect(name);
    let depth = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let inside = lines[start + 1..].iter().take_while(|line| line.trim().is_empty() || depth(line) > depth(lines[start]));
    inside.copied().collect::<Vec<_>>().join("\n")
}

/// What a job runs: blocks behind `run: |`, and the items of `script:`.
fn steps(job: &str) -> Vec<String> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = job.lines().collect();
    let mut steps = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let words = line.trim().trim_start_matches("- ");
        let below = || lines[at + 1..].iter().take_while(|next| depth(next) > depth(line));
        if words == "run: |" {
            steps.push(below().map(|line| line.trim()).collect::<Vec<_>>().join("\n"));
        } else if let Some(command) = words.strip_prefix("run: ") {
            steps.push(command.to_owned());
        } else if words == "script:" {
            steps.extend(below().map(|line| line.trim().trim_start_matches("- ").to_owned()));
        }
    }
    assert!(!steps.is_empty(), "{job}");
    steps
}

#[test]
fn on_github_a_pull_request_is_checked_and_explained() {
    let repository = Repository::new("github");
    let steps = steps(&job(&recipe("github.yml"), "review"));
    repository.write("topology.kdl", &TOPOLOGY.replace("weight=10", "weight=20"));
    for step in &steps {
        repository.run(&step.replace("${{ github.event.number }}", "7"), 0);
    }
    assert!(repository.read("comment.md").contains("weight 10 → 20"), "{}", repository.read("comment.md"));
    assert_eq!(repository.read("summary"), repository.read("comment.md"));
    assert!(repository.read("said").starts_with("gh pr comment 7 "));
    // What is wrong is an annotation at its line, and ends the job.
    repository.write("topology.kdl", &TOPOLOGY.replace("weight=10", "wieght=10"));
    let said = repository.run(&steps[0], 10);
    assert!(said.contains("::error file=topology.kdl,line=10,"), "{said}");
    repository.write("topology.kdl", &TOPOLOGY.replace("    server", "  server"));
    repository.run(&steps[0], 2);
}

#[test]
fn on_gitlab_a_merge_request_is_checked_and_explained() {
    let repository = Repository::new("gitlab");
    repository.write("topology.kdl", &TOPOLOGY.replace("weight=10", "weight=20"));
    for step in steps(&job(&recipe("gitlab.yml"), "check")) {
        repository.run(&step, 0);
    }
    assert!(repository.read("topology.html").starts_with("<!DOCTYPE html>"));
    assert!(repository.read("check.xml").contains("failures=\"0\""));
}

/// On a director, which is a guest of the lab, what was planned is applied, and nothing else.
#[test]
fn what_was_planned_is_applied_on_the_director() {
    let repository = Repository::new("director");
    let (github, gitlab) = (recipe("github.yml"), recipe("gitlab.yml"));
    let text = |text: &str, name: &str| steps(&job(text, name)).join("\n");
    let again = [text(&gitlab, "plan"), text(&gitlab, "apply")].join("\n");
    let script = format!(
        "set -e\ncd {folder}\nexport PATH={folder}/bin:$PATH GITHUB_STEP_SUMMARY=$PWD/summary GITHUB_OUTPUT=$PWD/output\n\
         ip link add eth0 type dummy; ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0\n{plan}\n. ./output\nDIGEST=$digest\n{apply}\n\
         ipvsadm -Sn\nipvsadm -D -t 10.0.0.100:80\n{again}\nipvsadm -Sn\n",
        folder = repository.0.display(),
        plan = text(&github, "plan"),
        apply = text(&github, "apply"),
    );
    repository.write("director.sh", &script);
    let said = repository.run(&format!("lvsform lab --share {} -- sh director.sh", repository.0.display()), 0);
    assert_eq!(said.matches("-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g -w 10").count(), 2, "{said}");
}

#[test]
fn what_is_not_valid_or_not_canonical_is_not_committed() {
    let repository = Repository::new("hook");
    fs::write(repository.0.join(".git/hooks/pre-commit"), recipe("pre-commit")).expect("a hook");
    repository.run("chmod +x .git/hooks/pre-commit", 0);
    let commit = "git add -A topology.kdl && git commit -qm two";
    repository.write("topology.kdl", &TOPOLOGY.replace("weight=10", "wieght=10"));
    assert!(repository.run(commit, 1).contains("wieght"));
    repository.write("topology.kdl", &TOPOLOGY.replace("    server", "  server"));
    repository.run(commit, 1);
    // What is staged counts, not what lies about.
    repository.write("topology.kdl", &TOPOLOGY.replace("weight=10", "weight=20"));
    repository.run("git add topology.kdl", 0);
    repository.write("topology.kdl", "nonsense");
    repository.run("git commit -qm two", 0);
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let repository = Repository::new("man");
    let help = repository.run("lvsform --help", 0);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 15, "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let text = repository.run(&format!("lvsform completions {shell}"), 0);
        for command in &commands {
            assert!(text.contains(command), "{command} in {shell}");
        }
    }
    repository.run("lvsform completions bash | bash -n", 0);
    repository.run("lvsform man --out pages", 0);
    for command in &commands {
        let page = repository.read(&format!("pages/lvsform-{command}.1"));
        assert!(page.contains(".TH") && page.contains(&format!("lvsform\\-{command}")), "{command}: {page}");
    }
    assert_eq!(repository.run("lvsform man plan", 0), repository.read("pages/lvsform-plan.1"));
    repository.run("lvsform man nosuch", 64);
}
