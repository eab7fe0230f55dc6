//! What reading a topology promises, in both spellings.

use super::memory::load_text;
use super::*;

/// A tree without places and forms, one node a line.
fn outline(nodes: &[Node]) -> String {
    fn lines(nodes: &[Node], depth: usize, out: &mut String) {
        for node in nodes {
            out.push_str(&"  ".repeat(depth));
            out.push_str(&node.key);
            for arg in &node.args {
                out.push_str(&match &arg.value {
                    Scalar::Text(text) => format!(" {text:?}"),
                    Scalar::Integer(number) => format!(" {number}"),
                    Scalar::Boolean(value) => format!(" #{value}"),
                });
            }
            out.push('\n');
            lines(&node.children, depth + 1, out);
        }
    }
    let mut out = String::new();
    lines(nodes, 0, &mut out);
    out
}

/// Each problem as `code line:column "token" message | help`.
fn told(loaded: &Loaded) -> Vec<String> {
    let place = |label: &Label| {
        let position = loaded.sources.position(label.span);
        format!("{}:{} {:?}", position.line, position.column, loaded.sources.text(label.span))
    };
    loaded
        .problems
        .iter()
        .map(|problem| {
            let labels: Vec<String> = problem.labels.iter().map(place).collect();
            format!(
                "{} {} {} | {}",
                problem.code,
                labels.join(" + "),
                problem.message,
                problem.help.as_deref().unwrap_or_default()
            )
        })
        .collect()
}

#[test]
fn smoke() {
    for (path, text) in [
        (
            "a.kdl",
            "director \"lb1\" {\n    interface \"eth0\" address=10.0.0.1/24 up=true\n}\n/* é **** /* x */ */ service \"s\" { listen vip=\"v\" port=443; /- gone { x }\n } // c\npool \"p\" { server \"a\" weight=1 weight=2 }\nx 5s {}\ny = 5\nz a= \nq \"x\\q\"\nw (u8)5 #null 1.5\nok 1\n",
        ),
        (
            "a.toml",
            "a = 10.0.0.1\nb = 5m\n[x.listen]\na=1\n[x.listen]\na=2\n[director.lb1.sysctl]\nnet.ipv4.vs.conntrack = 1\nnet.core.somaxconn = 5\n[pool.web.server.10.0.0.11]\nweight=5\n[pool.web.server.10.0.0.12]\ninclude = [\"x\"]\n[[l]]\nx = 1.5\n[[l]]\nx=1979-05-27\n",
        ),
        ("b.toml", "a = \"x\nb = 1\nb = 2\nc = [1,[2],{a=1}]\nd=2001:db8::1\n"),
        ("b.kdl", "a \"lb1 {\n  b 1\n}\nc 1\nd {\n  e {\n}\nf 1\ng }\nh {} i 2\n"),
    ] {
        let loaded = load_text(path, text);
        eprintln!("== {path}\n{}", outline(&loaded.tree.nodes));
        for line in told(&loaded) {
            eprintln!("  {line}");
        }
    }
}
