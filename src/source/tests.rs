//! What reading a topology promises, in both spellings.

use std::fmt::Write;

use super::memory::{InMemory, load_text};
use super::problem::{Style, edit, json, render};
use super::*;

/// A tree without places and forms, one node a line.
fn outline(nodes: &[Node]) -> String {
    fn lines(nodes: &[Node], depth: usize, out: &mut String) {
        for node in nodes {
            out.push_str(&"  ".repeat(depth));
            out.push_str(&node.key);
            for arg in &node.args {
                let _ = match &arg.value {
                    Scalar::Text(text) => write!(out, " {text:?}"),
                    Scalar::Integer(number) => write!(out, " {number}"),
                    Scalar::Boolean(value) => write!(out, " #{value}"),
                };
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

fn keys(loaded: &Loaded) -> Vec<&str> {
    loaded.tree.nodes.iter().map(|node| &*node.key).collect()
}

fn plain(loaded: &Loaded) -> String {
    render(&loaded.problems, &loaded.sources, Style { colour: false, width: 100 })
}

/// Every span lies in its file, between characters.
fn places_hold(loaded: &Loaded) {
    fn all(nodes: &[Node], spans: &mut Vec<Span>) {
        for node in nodes {
            spans.push(node.span);
            spans.extend(node.args.iter().map(|arg| arg.span));
            all(&node.children, spans);
        }
    }
    let mut spans: Vec<Span> = loaded.problems.iter().flat_map(|problem| &problem.labels).map(|label| label.span).collect();
    all(&loaded.tree.nodes, &mut spans);
    for span in spans {
        let text = &loaded.sources.file(span.file).text;
        assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} in {text:?}");
    }
}

const KDL: &str = r#"topology "flash-sale" edition=1
director "lb1" {
    interface "eth0" address="10.0.0.2/24" mtu=1500
    sysctl "net.core.somaxconn" 65535
}
service "shop" scheduler="wlc" {
    listen vip="storefront" port=443
    listen vip="storefront" port=80
    pool "web" "web2"
}
"#;

const TOML: &str = r#"topology = { name = "flash-sale", edition = 1 }
[director.lb1.interface.eth0]
address = "10.0.0.2/24"
mtu = 1500
[director.lb1.sysctl]
"net.core.somaxconn" = 65535
[service.shop]
scheduler = "wlc"
pool = ["web", "web2"]
[[service.shop.listen]]
vip = "storefront"
port = 443
[[service.shop.listen]]
vip = "storefront"
port = 80
"#;

#[test]
fn kdl_properties_and_children_become_nodes_at_their_tokens() {
    let loaded = load_text("a.kdl", KDL);
    assert_eq!(told(&loaded), [""; 0]);
    assert_eq!(
        outline(&loaded.tree.nodes),
        "topology \"flash-sale\"\n  edition 1\ndirector \"lb1\"\n  interface \"eth0\"\n    address \"10.0.0.2/24\"\n    mtu 1500\n  \
         sysctl \"net.core.somaxconn\" 65535\nservice \"shop\"\n  scheduler \"wlc\"\n  listen\n    vip \"storefront\"\n    port 443\n  \
         listen\n    vip \"storefront\"\n    port 80\n  pool \"web\" \"web2\"\n"
    );
    let interface = &loaded.tree.nodes[1].children[0];
    assert_eq!((interface.form, interface.children[0].form), (Form::KdlNode, Form::KdlProperty));
    assert_eq!(loaded.sources.text(interface.span), "interface");
    assert_eq!(loaded.sources.text(interface.children[0].span), "address");
    assert_eq!(loaded.sources.text(interface.children[0].args[0].span), "\"10.0.0.2/24\"");
}

#[test]
fn toml_tables_become_nodes_in_the_order_of_the_text() {
    let loaded = load_text("a.toml", TOML);
    assert_eq!(told(&loaded), [""; 0]);
    assert_eq!(
        outline(&loaded.tree.nodes),
        "topology\n  name \"flash-sale\"\n  edition 1\ndirector\n  lb1\n    interface\n      eth0\n        address \"10.0.0.2/24\"\n        \
         mtu 1500\n    sysctl\n      net.core.somaxconn 65535\nservice\n  shop\n    scheduler \"wlc\"\n    pool \"web\" \"web2\"\n    \
         listen\n      vip \"storefront\"\n      port 443\n    listen\n      vip \"storefront\"\n      port 80\n"
    );
    let listens: Vec<&Node> = loaded.tree.nodes[2].children[0].children.iter().filter(|node| &*node.key == "listen").collect();
    let lines: Vec<usize> = listens.iter().map(|node| loaded.sources.position(node.span).line).collect();
    assert_eq!(lines, [10, 13]);
    assert!(listens.iter().all(|node| node.form == Form::TomlTableOfArray && loaded.sources.text(node.span) == "listen"));
}

#[test]
fn what_both_spellings_write_alike_gives_equal_trees() {
    let kdl = "a {\n b 1 2\n c \"x\" {}\n}\nd #true\nport -5\nhex 0x1f\n";
    let toml = "d = true\nport = -5\nhex = 0x1f\n[a]\nb = [1, 2]\nc = \"x\"\n";
    let sorted = |path, text| {
        let mut nodes = load_text(path, text).tree.nodes;
        nodes.sort_by(|one, other| one.key.cmp(&other.key));
        outline(&nodes)
    };
    assert_eq!(sorted("a.kdl", kdl), sorted("a.toml", toml));
}

#[test]
fn a_value_that_begins_with_a_digit_and_is_not_quoted_is_told_at_its_token_and_still_read() {
    for token in ["10.0.0.1", "10.0.0.0/8", "5s", "2001:db8::1", "10.0.0.[1-9]", "1h30m", "30%"] {
        let forms = [
            format!("a b={token}\n"),
            format!("a {token}\n"),
            format!("a {{\n  b {token}; c 1\n}}\n"),
            format!("x é=1 {{ y {token} }}"),
        ];
        for text in forms {
            let loaded = load_text("a.kdl", &text);
            let problem = &loaded.problems[0];
            assert_eq!((loaded.problems.len(), problem.code), (1, "unquoted"), "{text} {:?}", told(&loaded));
            assert_eq!(problem.help.as_deref(), Some(format!("quote it: \"{token}\"").as_str()));
            assert_eq!(loaded.sources.text(problem.labels[0].span), token);
            assert!(outline(&loaded.tree.nodes).contains(&format!("{token:?}")), "{text}");
        }
    }
}

#[test]
fn a_toml_value_without_quotes_is_told_at_its_token_and_still_read() {
    for token in ["10.0.0.1", "10.0.0.0/8", "5s", "2001:db8::1", "wlc"] {
        let loaded = load_text("a.toml", &format!("[a]\nb = {token}\nc = 1\n"));
        assert_eq!(told(&loaded), [format!("unquoted 2:5 {token:?} a value that is not quoted | quote it: \"{token}\"")]);
        assert_eq!(outline(&loaded.tree.nodes), format!("a\n  b {token:?}\n  c 1\n"));
    }
}

#[test]
fn bare_words_of_kdl_1_are_told_with_the_words_of_kdl_2() {
    let loaded = load_text("a.kdl", "a b=true\nc false\nd null\ne #yes\n");
    assert_eq!(
        told(&loaded),
        [
            "bare-keyword 1:5 \"true\" `true` is not a value in KDL 2 | write #true",
            "bare-keyword 2:3 \"false\" `false` is not a value in KDL 2 | write #false",
            "unquoted 3:3 \"null\" a value that is a word kept by KDL and is not quoted | quote it: \"null\"",
            "syntax 4:3 \"#yes\" `#yes` is not a keyword of KDL | the keywords are #true and #false; anything else is quoted",
        ]
    );
    assert!(outline(&loaded.tree.nodes).starts_with("a\n  b #true\nc #false\n"));
}

#[test]
fn a_syntax_error_hides_no_other_node_and_all_are_told() {
    let loaded = load_text("a.kdl", "a 1\nb \"x\\q\"\nc 2\nd (\ne 3\nf \"open\ng { h \"open {\n } }\ni 4\n");
    assert_eq!(keys(&loaded), ["a", "c", "e", "i"]);
    let places: Vec<usize> = loaded.problems.iter().map(|problem| loaded.sources.position(problem.labels[0].span).line).collect();
    assert_eq!(places, [2, 4, 6, 7], "{:?}", told(&loaded));
}

#[test]
fn a_block_that_is_not_closed_is_told_where_it_opens_and_the_next_nodes_are_read() {
    let loaded = load_text("a.kdl", "a 1\nb {\n  c {\n    d 1\n}\ne 2\nf {\n  g 3\n}\n");
    assert_eq!(told(&loaded), ["syntax 2:3 \"{\" a block that is not closed | add the missing `}`"]);
    assert_eq!(keys(&loaded), ["a", "e", "f"]);
}

#[test]
fn very_many_mistakes_are_as_many_as_somebody_mends() {
    for text in ["\"".repeat(30_001), format!("a {{\n{}}}\n", "b = \n".repeat(30_000))] {
        let count = load_text("t.kdl", &text).problems.len();
        assert!((1..=220).contains(&count), "{count} of {}", &text[..20]);
    }
}

#[test]
fn mistakes_of_structure_have_words_of_their_own() {
    for (text, said) in [
        ("}\na 1\n", "a `}` that closes nothing"),
        ("a 1 }\n", "a `}` that closes nothing"),
        ("a\n{ b 1\n}\n", "a block without a name before it"),
        ("a = 1\n", "an `=` behind the name of a node"),
        ("a b=\n", "no value behind `=`"),
        ("a b=1=2\n", "an `=` that belongs to no name"),
        ("a { b 1 } c 2\n", "a node that begins on the line on which another ends"),
        ("a {} {}\n", "a second block of one node"),
        ("a \\ b\n", "a `\\` outside quotes that does not end its line"),
        ("a /* b\n", "a comment that is not closed"),
        ("a \"\"\"\nb\n", "a string that is not closed"),
        ("a \"\"\"b\"\"\"\n", "text behind three quotes on their line"),
        ("a #\"b\n", "a string that its line does not close"),
        ("a \"x\"\"y\"\n", "two values without a blank between them"),
        ("a /-\n", "nothing behind `/-` to leave out"),
        ("a \"b\u{202e}c\"\n", "U+202E in a string, which changes how text is shown"),
        ("a (u8)1\n", "a type annotation, `(u8)`; the language has none"),
        ("a #null\n", "`#null` is no value here"),
        ("a 1.5\n", "`1.5` is not a whole number"),
        ("a #inf\n", "`#inf` is not a whole number"),
        (
            "a 999999999999999999999999999999999999999999\n",
            "`999999999999999999999999999999999999999999` is larger than any number here may be",
        ),
    ] {
        let loaded = load_text("a.kdl", text);
        let messages: Vec<&str> = loaded.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, [said], "{text:?}");
    }
}

#[test]
fn a_property_given_twice_is_told_at_both_places_and_the_first_holds() {
    let loaded = load_text("a.kdl", "a \"é\" b=1 c=2 b=3\n");
    assert_eq!(told(&loaded), ["duplicate-property 1:15 \"b\" + 1:7 \"b\" `b` is given twice | keep one of the two"]);
    assert_eq!(outline(&loaded.tree.nodes), "a \"é\"\n  b 1\n  c 2\n");
}

#[test]
fn slashdash_comments_raw_strings_and_lines_that_continue_are_kdl() {
    let text = "/- gone { x }\na /-1 2 /* { \" */ b=#\"c:\\d\"# \\ // on\n  /-{ y { z } } {\n  /-n 1\n  \
                m \"\"\"\n    one\n      two\n    \"\"\"\n /-o { /-p {} }\n}\n/*/**/*/ q ##\"\"#\"##; r \"a\\\n   b\"";
    let loaded = load_text("a.kdl", text);
    assert_eq!(told(&loaded), [""; 0]);
    assert_eq!(outline(&loaded.tree.nodes), "a 2\n  b \"c:\\\\d\"\n  m \"one\\n  two\"\nq \"\\\"#\"\nr \"ab\"\n");
    places_hold(&loaded);
}

#[test]
fn a_node_that_is_left_out_takes_the_semicolon_that_ends_it_along() {
    let loaded = load_text("a.kdl", "a { /-b 1; c 2; /-d; }\n/-e; f 3\n");
    assert_eq!(told(&loaded), [""; 0]);
    assert_eq!(outline(&loaded.tree.nodes), "a\n  c 2\nf 3\n");
}

#[test]
fn ten_thousand_levels_are_one_problem_and_no_overflow() {
    for (path, text) in [
        ("a.kdl", format!("{}{}\nok 1\n", "a {\n".repeat(10_000), "}\n".repeat(10_000))),
        ("a.kdl", format!("{}{}\nok 1\n", "a { /-b { /-{".repeat(3_000), "}}}".repeat(3_000))),
        ("a.toml", format!("a = {}{}\n", "[".repeat(10_000), "]".repeat(10_000))),
        ("a.toml", format!("a = {}1{}\n", "{a=".repeat(10_000), "}".repeat(10_000))),
        ("a.toml", format!("[{}a]\n", "a.".repeat(10_000))),
        ("a.toml", format!("{}a = 1\n", "a.".repeat(10_000))),
    ] {
        let loaded = load_text(path, &text);
        let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, ["too-deep"], "{}", &text[..20]);
        assert!(plain(&loaded).len() < 2_000);
        assert_eq!(keys(&loaded), if path == "a.kdl" { vec!["ok"] } else { vec![] });
    }
}

#[test]
fn comments_of_any_length_and_depth_and_stray_braces_overflow_nothing() {
    for text in [
        format!("{}{}\nok 1\n", "/*".repeat(10_000), "*/".repeat(10_000)),
        format!("/{}/\nok 1\n", "*".repeat(100_000)),
        format!("ok 1 /{}/\n", "*".repeat(100_000)),
        format!("ok /{}/ 1\n", "*".repeat(10_000)),
    ] {
        let loaded = load_text("a.kdl", &text);
        assert_eq!((keys(&loaded), told(&loaded)), (vec!["ok"], vec![]));
    }
    assert!(!load_text("a.kdl", &"}".repeat(100_000)).problems.is_empty());
}

#[test]
fn nested_slashdash_blocks_take_no_exponential_time() {
    let text = format!("a {}{}\n", "{ b /-{ c ".repeat(14), "}}".repeat(14));
    assert_eq!(told(&load_text("a.kdl", &text)), [""; 0]);
    let text = format!("a {}{}\n", "{ b; /-c ".repeat(30), "}".repeat(30));
    assert_eq!(told(&load_text("a.kdl", &text)), [""; 0]);
}

#[test]
fn a_top_level_node_over_one_mebibyte_is_refused_and_the_others_are_read() {
    let loaded = load_text("a.kdl", &format!("a {{\n{}}}\nb 1\n", "  server \"web\"\n".repeat(80_000)));
    assert_eq!((loaded.problems.len(), loaded.problems[0].code), (1, "too-large"));
    assert_eq!(keys(&loaded), ["b"]);
}

#[test]
fn a_byte_order_mark_moves_no_column() {
    for (path, text) in [("a.kdl", "\u{feff}a b=true\n"), ("a.toml", "\u{feff}a = 1.5\n")] {
        let loaded = load_text(path, text);
        assert_eq!((keys(&loaded), loaded.problems.len()), (vec!["a"], 1), "{:?}", told(&loaded));
        assert_eq!(loaded.sources.position(loaded.problems[0].labels[0].span).column, 5);
        assert!(!plain(&loaded).contains("feff"));
    }
}

#[test]
fn windows_line_ends_are_line_ends() {
    for (path, text) in [("a.kdl", KDL), ("a.toml", TOML)] {
        let loaded = load_text(path, &text.replace('\n', "\r\n"));
        assert_eq!(told(&loaded), [""; 0]);
        assert_eq!(outline(&loaded.tree.nodes), outline(&load_text(path, text).tree.nodes));
        places_hold(&loaded);
    }
}

#[test]
fn an_unquoted_dotted_toml_key_is_told_and_read_as_it_was_meant() {
    let text = "[director.lb1.sysctl]\nnet.ipv4.vs.conntrack = 1\nnet.ipv4.vs.drop_entry = { value = 1, force = true }\n\
                [pool.web.server.10.0.0.11]\nweight = 5\n";
    let loaded = load_text("a.toml", text);
    let told = told(&loaded);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("unquoted-dotted-key 2:1 \"net.ipv4.vs.conntrack\""));
    assert!(told[0].ends_with("quote it: \"net.ipv4.vs.conntrack\""));
    assert!(told[2].starts_with("unquoted-dotted-key 4:18 \"10.0.0.11\""));
    let tree = outline(&loaded.tree.nodes);
    let sysctls = "      net.ipv4.vs.conntrack 1\n      net.ipv4.vs.drop_entry\n        value 1\n        force #true\n";
    assert!(tree.contains(sysctls), "{tree}");
    assert!(tree.contains("      10.0.0.11\n        weight 5\n"), "{tree}");
}

#[test]
fn include_and_topology_below_a_toml_header_are_told_and_meant() {
    let root = "[policy]\nmax-deletes = 1\ninclude = \"a.kdl\"\ntopology = \"t\"\n";
    let loaded = load(Path::new("r.toml"), &InMemory::new([("r.toml", root), ("a.kdl", "a 1\n")]));
    let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["below-header", "below-header"]);
    assert_eq!(keys(&loaded), ["policy", "topology", "a"]);
}

#[test]
fn a_toml_table_given_twice_offers_an_array_of_tables() {
    let loaded = load_text("a.toml", "[service.shop.listen]\nport = 80\n[service.shop.listen]\nport = 443\n");
    let help = "write [[service.shop.listen]] in each place if it may be there several times; else join the two";
    assert_eq!(told(&loaded), [format!("duplicate-table 3:15 \"listen\" + 1:15 \"listen\" `listen` is there twice | {help}")]);
}

#[test]
fn of_a_toml_list_that_is_not_closed_one_thing_is_told_and_no_key_behind_it_is_quoted() {
    for (list, own) in [("[1, 2", 2), ("[\n  1,\n", 1), ("[", 0)] {
        let text = format!("a = {list}\nb = false\n\n[c.d]\ne = \"x\"\nf = y # why\n");
        let loaded = load_text("a.toml", &text);
        let messages: Vec<&str> = loaded.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, ["a list that is not closed, expected `]`"], "{text}");
        assert_eq!(loaded.sources.text(loaded.problems[0].labels[0].span), "[");
        assert_eq!(loaded.sources.text(loaded.problems[0].labels[1].span), "b", "{text}");
        assert_eq!(loaded.tree.nodes[0].args.len(), own, "{text}");
        assert_eq!(edit::mended(&text, FileId(0), &loaded.problems), (text.clone(), 0));
    }
    // The header is taken for a list in the list.
    let loaded = load_text("a.toml", "[a]\nb = [\"x\"\n\n[c.d]\ne = 1\n");
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
}

#[test]
fn where_a_toml_value_is_missing_nothing_is_said_of_a_value() {
    for text in ["a =\n", "a == [\"x\"]\n", "a\n", "b = { a = }\n", "a = [1,,]\n"] {
        let loaded = load_text("a.toml", text);
        assert!(loaded.problems.iter().all(|problem| problem.code == "syntax"), "{text}: {:?}", loaded.problems);
        let values = |node: &Node| node.args.iter().map(|arg| loaded.sources.text(arg.span)).collect::<String>();
        assert!(loaded.tree.nodes.iter().all(|node| ["", "1"].contains(&values(node).as_str())), "{text}");
    }
}

#[test]
fn a_toml_boolean_beside_a_mistake_is_one() {
    let text = "b = { for c=true, }\n";
    let loaded = load_text("a.toml", text);
    assert!(loaded.problems.iter().all(|problem| problem.code == "syntax"), "{:?}", loaded.problems);
}

#[test]
fn two_words_without_quotes_may_be_two_values_of_a_toml_list_and_are_not_mended() {
    for (text, count) in [("a = [80 443]\n", 0), ("a = [eth0, eth1]\n", 2)] {
        let loaded = load_text("a.toml", text);
        assert!(loaded.problems.iter().all(|problem| problem.code == "unquoted"), "{:?}", loaded.problems);
        assert_eq!(edit::mended(text, FileId(0), &loaded.problems).1, count, "{text}");
    }
}

#[test]
fn toml_mistakes_are_all_told() {
    let loaded = load_text("a.toml", "a = 1\na = 2\nb = [1, [2], {c = 3}]\nd = 1.5\ne = 1979-05-27\nf = \"x\ng\n");
    let codes: Vec<String> = told(&loaded).iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected =
        ["duplicate-key 2:1", "nested-array 3:9", "mixed-array 3:14", "float 4:5", "date 5:5", "syntax 6:6", "syntax 7:1"];
    assert_eq!(codes, expected);
}

#[test]
fn an_extension_says_the_spelling_and_another_is_a_problem_that_names_both() {
    for path in ["a.yaml", "a", "a.kdl.bak", ".kdl"] {
        let loaded = load_text(path, "a 1");
        assert_eq!(loaded.problems[0].message, format!("`{path}` is neither KDL (`.kdl`) nor TOML (`.toml`)"));
        assert!(loaded.sources.files().is_empty());
    }
}

#[test]
fn an_empty_file_has_no_problem_of_reading() {
    for path in ["a.kdl", "a.toml"] {
        let loaded = load_text(path, "");
        assert_eq!((loaded.tree.nodes.len(), loaded.problems.len(), loaded.sources.files().len()), (0, 0, 1));
    }
}

#[test]
fn includes_of_both_spellings_are_read_once_relative_to_the_file_that_says_them() {
    let files = InMemory::new([
        ("conf/root.kdl", "r 1\ninclude \"sites/*.kdl\" \"sites/b.toml\"\ninclude \"none/*.kdl\"\n"),
        ("conf/sites/a.kdl", "a 1\ninclude \"*.kdl\" \"../common/c.kdl\"\n"),
        ("conf/sites/b.toml", "include = [\"../common/*.kdl\"]\nb = 1\n"),
        ("conf/common/c.kdl", "c 1\n"),
    ]);
    let loaded = load(Path::new("conf/root.kdl"), &files);
    assert_eq!(told(&loaded), [""; 0]);
    assert_eq!(keys(&loaded), ["r", "a", "c", "b"]);
    assert_eq!(loaded.sources.files()[0].path, Path::new("conf/root.kdl"));
    assert_eq!(loaded.sources.files()[1].path, Path::new("conf/sites/a.kdl"));
}

#[test]
fn a_cycle_of_includes_shows_its_chain() {
    let files =
        InMemory::new([("a.kdl", "include \"b.kdl\""), ("b.kdl", "include \"c.toml\""), ("c.toml", "include = \"b.kdl\"")]);
    let loaded = load(Path::new("a.kdl"), &files);
    assert_eq!(loaded.problems.len(), 1);
    assert_eq!(loaded.problems[0].message, "files that include each other: `b.kdl` → `c.toml` → `b.kdl`");
    assert_eq!(loaded.problems[0].labels[0].span.file, FileId(2));
}

#[test]
fn a_file_that_includes_itself_by_name_is_a_cycle_and_by_a_pattern_is_not() {
    assert_eq!(load_text("a.kdl", "include \"*.kdl\"").problems, []);
    assert_eq!(load_text("a.kdl", "include \"a.kdl\"").problems[0].message, "a file that includes itself");
}

#[test]
fn an_include_that_cannot_be_read_is_told_at_its_argument() {
    let root = "include \"gone.kdl\" \"x.yaml\" \"dir.kdl\" \"../o.kdl\" \"../*.kdl\" \"\" 5 \"latin.kdl\" \"a**.kdl\" \"${x}.kdl\"\n\
                include\ninclude { x }\n";
    let files = InMemory::new([("conf/r.kdl", root), ("o.kdl", "secret")])
        .but("conf/dir.kdl", Unreadable::NotAFile("directory"))
        .but("conf/latin.kdl", Unreadable::NotUtf8(7));
    let loaded = load(Path::new("conf/r.kdl"), &files);
    let places: Vec<&str> = loaded.problems.iter().map(|problem| loaded.sources.text(problem.labels[0].span)).collect();
    let messages: Vec<&str> = loaded.problems.iter().map(|problem| problem.message.as_str()).collect();
    let expected = [
        ("\"gone.kdl\"", "`conf/gone.kdl` does not exist"),
        ("\"x.yaml\"", "`conf/x.yaml` is neither KDL (`.kdl`) nor TOML (`.toml`)"),
        ("\"dir.kdl\"", "`conf/dir.kdl` is a directory, not a regular file"),
        ("\"../o.kdl\"", "`conf/../o.kdl` lies outside the root file's folder"),
        ("\"../*.kdl\"", "a pattern that leads out of the root file's folder"),
        ("\"\"", "an empty path"),
        ("5", "an included file is named by a string"),
        ("\"latin.kdl\"", "`conf/latin.kdl` is not UTF-8 text: byte 7 (counted from 0) begins no character"),
        ("\"a**.kdl\"", "`a**.kdl` is not a pattern: recursive wildcards must form a single path component"),
        ("\"${x}.kdl\"", "`include` takes in no variables"),
        ("include", "`include` takes paths or patterns and nothing else"),
        ("include", "`include` takes paths or patterns and nothing else"),
    ];
    assert_eq!(places.into_iter().zip(messages).collect::<Vec<_>>(), expected);
    assert!(!plain(&loaded).contains("secret"));
}

#[test]
fn more_files_than_a_topology_may_have_are_refused() {
    let mut files = InMemory::new([("r.kdl", "include \"s/*.kdl\"\n")]);
    files.0.extend((0..1_200).map(|number| (PathBuf::from(format!("s/{number:04}.kdl")), Ok(String::new()))));
    let loaded = load(Path::new("r.kdl"), &files);
    assert_eq!((loaded.problems.len(), loaded.problems[0].code, loaded.sources.files().len()), (1, "too-many-files", 1_000));
}

#[test]
fn a_chain_of_a_thousand_files_overflows_nothing() {
    let mut files = InMemory::new([("999.kdl", "a 999\n")]);
    let text = |number: usize| Ok(format!("a {number}\ninclude \"{}.kdl\"\n", number + 1));
    files.0.extend((0..999).map(|number| (PathBuf::from(format!("{number}.kdl")), text(number))));
    assert_eq!(load(Path::new("0.kdl"), &files).tree.nodes.len(), 1_000);
}

#[test]
fn a_problem_is_shown_with_its_lines_its_token_and_its_help() {
    let loaded = load_text("conf/shop.kdl", "a 1\nservice \"é\" port=5m\nb 2\n");
    assert_eq!(
        plain(&loaded),
        "LVS010 unquoted

  × a value that begins with a digit and is not quoted
   ╭─[conf/shop.kdl:2:18]
 1 │ a 1
 2 │ service \"é\" port=5m
   ·                  ──
 3 │ b 2
   ╰────
  help: quote it: \"5m\"

"
    );
}

#[test]
fn a_problem_with_labels_in_two_files_shows_both() {
    let files = InMemory::new([("r.kdl", "include \"a.kdl\"\npool \"web\"\n"), ("a.kdl", "\n\n\npool \"web\"\n")]);
    let mut loaded = load(Path::new("r.kdl"), &files);
    let [one, two] = [0, 1].map(|index| loaded.tree.nodes[index].args[0].span);
    loaded.problems.push(Problem::error("duplicate-name", "two pools `web`").at(two, "again here").at(one, "first here"));
    let shown = plain(&loaded);
    assert!(shown.contains("╭─[a.kdl:4:6]") && shown.contains("╭─[r.kdl:2:6]"), "{shown}");
    assert!(shown.contains("╰── again here") && shown.contains("╰── first here"), "{shown}");
}

#[test]
fn what_acts_on_a_terminal_is_shown_and_never_sent() {
    let loaded = load_text("a\u{1b}[31m.kdl", "a /* \u{1b}]0;x\u{7}\u{202e} */ b=\"\u{1b}[2J\" \t c=5s\u{200b}\n");
    let shown = plain(&loaded);
    assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{200b}']), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().position(|line| line.contains("quote it")).unwrap_or_default();
    let source = lines[..at].iter().rposition(|line| line.contains("1 │")).unwrap_or_default();
    let token = lines[source].split("c=").next().unwrap_or_default().chars().count() + 2;
    assert_eq!(lines[source + 1].chars().position(|char| char == '─' || char == '┬'), Some(token), "{shown}");
}

#[test]
fn a_long_line_is_shown_around_its_token_only() {
    let loaded = load_text("a.kdl", &format!("a {} b=5s {}\n", "\"é\" ".repeat(1_000), "\"é\" ".repeat(1_000)));
    let shown = plain(&loaded);
    assert!(shown.len() < 2_000 && shown.contains("b=5s") && shown.contains("a.kdl:1:4006"), "{shown}");
}

#[test]
fn more_than_a_hundred_problems_are_counted() {
    let text = (0..150).fold(String::new(), |text, number| text + &format!("a{number} 5s\n"));
    assert!(plain(&load_text("a.kdl", &text)).ends_with("\nand 50 more\n"));
}

#[test]
fn problems_are_sorted_by_place_and_told_once() {
    let sources = load_text("a.kdl", "a b c").sources;
    let at = |start: usize| Problem::error("x", "m").at(Span::new(FileId(0), start..start + 1), "");
    let nowhere = Problem::error("y", "`f` does not exist");
    let mut problems = vec![at(4), at(0), at(4), nowhere.clone(), at(2), nowhere.clone()];
    problem::sort(&mut problems);
    assert_eq!(problems, [nowhere, at(0), at(2), at(4)]);
    assert_eq!(render(&problems, &sources, Style { colour: false, width: 80 }).matches("× m").count(), 3);
}

#[test]
fn json_has_places_in_bytes_lines_and_columns() {
    let loaded = load_text("a.kdl", "x\na \"é\" b=1 b=2\n");
    assert_eq!(
        serde_json::to_value(json(&loaded.problems, &loaded.sources)).expect("JSON"),
        serde_json::json!([{
            "code": "LVS015", "name": "duplicate-property", "severity": "error", "message": "`b` is given twice", "help": "keep one of the two", "edit": null,
            "file": "a.kdl", "span": {"offset": 13, "length": 1, "line": 2, "column": 11}, "label": "again here",
            "related": [{"file": "a.kdl", "span": {"offset": 9, "length": 1, "line": 2, "column": 7}, "label": "first here"}],
        }])
    );
    let nowhere = load_text("a.yaml", "");
    let nowhere = serde_json::to_value(json(&nowhere.problems, &nowhere.sources)).expect("JSON");
    assert_eq!(nowhere[0]["span"], serde_json::Value::Null);
}

#[test]
fn a_large_file_keeps_its_order_and_places() {
    let node = |number: usize| format!("service \"s{number}\" {{\n    listen vip=\"é\" port={number}\n}}\n");
    // Large by its first comment, which costs nothing.
    let text = format!("//{}\n{}", "x".repeat(300_000), (0..400).map(node).collect::<String>());
    let loaded = load_text("a.kdl", &text);
    assert_eq!(loaded.tree.nodes.len(), 400);
    for (number, node) in loaded.tree.nodes.iter().enumerate() {
        assert_eq!(loaded.sources.text(node.args[0].span), format!("\"s{number}\""));
        assert_eq!(loaded.sources.text(node.children[0].children[1].args[0].span), number.to_string());
    }
}

mod any_text {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const TOKENS: [&str; 37] = [
        "{", "}", "\"", "\"\"\"", "#", "#\"", "/*", "*/", "//", "/-", "\\", "\n", "\r\n", ";", "=", "(", ")", "é", "\u{feff}",
        "\u{202e}", "5s", "true", "[", "]", "[[", ",", ".", "1.5", "'", "10.0.0.1", " ", "\u{2028}", "\0", "_", "-", "0x", "]]",
    ];

    const MORE: &str = "a /- b #\"x\"# {\n c \"\"\"\n  é\n  \"\"\" \\\n d=1 /* /* */ */\n}; /-e { f }\n";

    /// A text with some of its bytes replaced, cut out or put in.
    fn broken(text: &'static str) -> impl Strategy<Value = String> {
        vec((0..text.len(), 0..4_usize, prop::sample::select(TOKENS.to_vec())), 0..8).prop_map(move |edits| {
            let mut text = text.to_owned();
            for (at, length, token) in edits {
                let start = text.floor_char_boundary(at.min(text.len()));
                let end = text.ceil_char_boundary((start + length).min(text.len()));
                text.replace_range(start..end, token);
            }
            text
        })
    }

    fn holds(path: &str, text: &str) {
        let loaded = load_text(path, text);
        places_hold(&loaded);
        let _ = plain(&loaded);
        let _ = json(&loaded.problems, &loaded.sources);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn broken_kdl_never_panics_and_every_place_holds(text in prop_oneof![broken(KDL), broken(MORE)]) {
            holds("a.kdl", &text);
        }

        #[test]
        fn broken_toml_never_panics_and_every_place_holds(text in broken(TOML)) {
            holds("a.toml", &text);
        }

        #[test]
        fn any_text_never_panics_and_every_place_holds(tokens in vec(prop::sample::select(TOKENS.to_vec()), 0..40)) {
            let text = tokens.concat();
            holds("a.kdl", &text);
            holds("a.toml", &text);
        }
    }
}

#[test]
fn files_of_one_topology_are_numbered_and_ordered_by_their_includes_alone() {
    let names: Vec<String> = (0..40).map(|number| format!("sites/{number:02}.kdl")).collect();
    let mut files = InMemory::new([("root.kdl", "first\ninclude \"sites/*.kdl\"\nlast\n"), ("deep.kdl", "deep\n")]);
    for (number, name) in names.iter().enumerate() {
        // The first are the longest, so that whoever parses them is done last.
        let text = format!("include \"../deep.kdl\"\nsite {number}\n{}", "filler\n".repeat(4_000 - number * 100));
        files.0.insert(name.into(), Ok(text));
    }
    let loaded = load(Path::new("root.kdl"), &files);
    assert_eq!(loaded.problems, []);
    let paths: Vec<String> = loaded.sources.files().iter().map(|file| file.path.display().to_string()).collect();
    assert_eq!(paths, [&["root.kdl".to_owned()], &*names, &["sites/../deep.kdl".to_owned()]].concat());
    let order: Vec<String> = loaded
        .tree
        .nodes
        .iter()
        .filter(|node| &*node.key != "filler")
        .map(|node| match node.args.first() {
            Some(Arg { value: Scalar::Integer(number), .. }) => format!("{} {number}", node.key),
            _ => node.key.to_string(),
        })
        .collect();
    let sites = (1..40).map(|number| format!("site {number}"));
    let expected: Vec<String> = ["first", "last", "site 0", "deep"].map(str::to_owned).into_iter().chain(sites).collect();
    assert_eq!(order, expected);
}
