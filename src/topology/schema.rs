//! The JSON Schema of the TOML spelling, for editors: completion, documentation, and the mistakes of one token or block.
//!
//! It comes from the table of kinds. What holds between several things is beyond a schema; `check` says it. Any value may be a
//! variable's; what `defaults` can give is not asked for, and in what an overlay sets and adds nothing is but a main value.

use serde_json::{Map, Value, json};

use super::block::OVERLAYS;
use super::kinds::{DEFAULTS, ROOT};
use super::shape::{Constant, Field, Form, Kind, Need, Type};
use crate::catalogue;

/// The schema (draft 2020-12) of a topology in TOML.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    definitions.insert(VARIABLE.to_owned(), json!({ "type": "string", "pattern": TAKES_IN }));
    for kind in Kind::all().into_iter().filter(|kind| !is_overlay(kind)) {
        for part in [Part::Topology, Part::Overlay] {
            definitions.entry(key(kind, part)).or_insert_with(|| definition(kind, part));
        }
    }
    let mut root = block(&ROOT, None, Part::Topology);
    let include = json!({
        "description": "Other files of the topology, relative to this one; `*` and `?` match.",
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    });
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("lvsform topology");
    root["description"] = json!("What an LVS cluster is: its directors, real servers, virtual addresses and services.");
    root["properties"]["include"] = include;
    // Only the root file says `topology`, and an editor does not know which file that is.
    if let Some(root) = root.as_object_mut() {
        root.remove("required");
    }
    root["$defs"] = Value::Object(definitions);
    root
}

/// The definition of a text with a variable in it, which any value may be.
const VARIABLE: &str = "text-with-variable";
const TAKES_IN: &str = r"\$\{[^}]+\}";

/// What a block is a part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The whole of a thing, but for what `defaults` give.
    Topology,
    /// What an overlay says of it.
    Overlay,
}

fn is_overlay(kind: &Kind) -> bool {
    OVERLAYS.contains(&kind.word)
}

/// The name of a kind's definition. Where nothing in it is asked for, that of overlays is the same.
fn key(kind: &Kind, part: Part) -> String {
    match part {
        Part::Overlay if asks(kind) => format!("{}-of-overlay", kind.word),
        Part::Topology | Part::Overlay => kind.word.to_owned(),
    }
}

/// Whether a thing of a kind, or one in it, is nothing without something else.
fn asks(kind: &Kind) -> bool {
    kind.fields.iter().any(|field| matches!(field.need, Need::Required))
        || kind.kinds.iter().any(|child| child.required || asks(child.kind))
}

/// Whether `defaults` can give a thing of `word` to a block of `kind`.
fn has_default(kind: &Kind, word: &str) -> bool {
    let given = DEFAULTS.child(kind.word).map(|child| child.kind);
    given.is_some_and(|given| given.words().any(|known| known == word))
}

/// What may stand behind a kind's word.
fn definition(kind: &'static Kind, part: Part) -> Value {
    let mut schema = match kind.form {
        Form::Once => block(kind, None, part),
        Form::Repeated => {
            let one = block(kind, None, part);
            json!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
        }
        Form::Named { label, several } => {
            let mut table = json!({ "type": "object", "additionalProperties": block(kind, None, part) });
            if let Some(names) = names(label) {
                table["propertyNames"] = names;
            }
            if several {
                json!({ "anyOf": [table, { "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
            } else {
                table
            }
        }
        Form::Main { key, value } => json!({ "anyOf": [scalar(value), block(kind, Some((key, value)), part)] }),
        Form::Keyed => {
            let value = scalar(Type::SysctlValue);
            json!({
                "type": "object",
                "propertyNames": { "pattern": format!("^net[./]|{TAKES_IN}") },
                "additionalProperties": { "anyOf": [value, block(kind, Some(("value", Type::SysctlValue)), part)] },
            })
        }
    };
    schema["description"] = json!(kind.doc);
    schema
}

/// A table of a kind's fields, with the key of its main value where it has one.
fn block(kind: &'static Kind, main: Option<(&str, Type)>, part: Part) -> Value {
    let part = if is_overlay(kind) { Part::Overlay } else { part };
    let asks_for = |word: &str| part == Part::Topology && !has_default(kind, word);
    let mut properties = Map::new();
    let mut required: Vec<&str> = Vec::new();
    if let Some((key, value)) = main {
        properties.insert(key.to_owned(), scalar(value));
        required.push(key);
    }
    for field in kind.fields {
        properties.insert(field.word.to_owned(), property(field));
        if matches!(field.need, Need::Required) && asks_for(field.word) {
            required.push(field.word);
        }
    }
    for child in kind.kinds {
        // The word may be another kind here: what `service` is in `defaults`.
        let first = Kind::all().into_iter().find(|kind| kind.word == child.kind.word);
        let is_its_own = first.is_some_and(|first| std::ptr::eq(first, child.kind));
        let reference = || json!({ "$ref": format!("#/$defs/{}", key(child.kind, part)) });
        let by_name = is_its_own && !is_overlay(child.kind);
        properties.insert(child.kind.word.to_owned(), if by_name { reference() } else { definition(child.kind, part) });
        if child.required && asks_for(child.kind.word) {
            required.push(child.kind.word);
        }
    }
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn property(field: &Field) -> Value {
    let one = scalar(field.value);
    let mut schema =
        if field.list { json!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] }) } else { one };
    schema["description"] = json!(field.doc);
    if let Need::Default(default) = field.need {
        schema["default"] = match default {
            Constant::Integer(number) => json!(number),
            Constant::Boolean(truth) => json!(truth),
            Constant::Seconds(_) | Constant::Word(_) | Constant::Address(_) => json!(default.to_string()),
        };
    }
    schema
}

/// A value, or a text that takes one in.
fn scalar(wanted: Type) -> Value {
    let literal = literal(wanted);
    let takes_any = literal.get("minLength").is_some() || wanted == Type::Plain;
    if takes_any { literal } else { json!({ "anyOf": [literal, { "$ref": format!("#/$defs/{VARIABLE}") }] }) }
}

fn literal(wanted: Type) -> Value {
    match wanted {
        Type::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Type::Duration { .. } => json!({ "type": "string", "pattern": r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$" }),
        Type::Amount => json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            { "type": "string", "pattern": "^(100|[0-9]{1,2})%$" },
        ] }),
        Type::Boolean => json!({ "type": "boolean" }),
        Type::Word(words) => json!({ "enum": words }),
        Type::SysctlValue => json!({ "type": ["integer", "string"] }),
        Type::Name { .. } | Type::Interface => {
            let mut schema = json!({ "type": "string" });
            if let (Some(schema), Some(Value::Object(names))) = (schema.as_object_mut(), own_names(wanted)) {
                schema.extend(names);
            }
            schema
        }
        Type::Address { ranges: false, .. } | Type::Multicast => json!({ "type": "string", "pattern": "^[0-9A-Fa-f.:]+$" }),
        Type::Address { ranges: true, .. } => json!({ "type": "string", "pattern": r"^[0-9A-Fa-f.:\[\]-]+$" }),
        Type::Network | Type::Subnet => json!({ "type": "string", "pattern": r"^[0-9A-Fa-f.:\[\]-]+/[0-9]{1,3}$" }),
        Type::Object => json!({ "type": "string", "pattern": r"^(service|vip|pool|director|real-server)\..+$" }),
        Type::Share => json!({ "type": "string", "pattern": "^(100|[0-9]{1,2})%$" }),
        Type::Plain => json!({ "type": ["string", "integer", "boolean"] }),
        Type::Sentence => json!({ "type": "string", "pattern": r"\S" }),
        Type::Hostname | Type::Reference(_) | Type::Via | Type::Server | Type::Code => {
            json!({ "type": "string", "minLength": 1 })
        }
    }
}

/// What the names of a table may be.
fn names(label: Type) -> Option<Value> {
    own_names(label).map(|own| json!({ "anyOf": [own, { "pattern": TAKES_IN }] }))
}

fn own_names(label: Type) -> Option<Value> {
    match label {
        Type::Name { ranges: false } => Some(json!({ "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" })),
        Type::Name { ranges: true } => Some(json!({ "pattern": r"^[A-Za-z0-9\[][A-Za-z0-9._\[\]-]*$" })),
        Type::Interface => Some(json!({ "pattern": r"^[^/:\s]{1,15}$" })),
        Type::Word(words) => Some(json!({ "enum": words })),
        Type::Subnet => Some(json!({ "pattern": "/[0-9]{1,3}$" })),
        Type::Code => {
            let words: Vec<&str> = catalogue::pages().flat_map(|page| [page.code, page.name]).collect();
            Some(json!({ "enum": words }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn valid(text: &str) -> bool {
        let schema = super::schema();
        let instance: Value = toml::from_str(text).unwrap();
        jsonschema::validator_for(&schema).unwrap().is_valid(&instance)
    }

    #[test]
    fn it_is_a_schema_of_its_draft() {
        assert!(jsonschema::meta::is_valid(&super::schema()));
    }

    #[test]
    fn what_decodes_is_valid() {
        for text in [
            include_str!("tests/whole.toml"),
            "topology = \"t\"\ninclude = [\"a.toml\", \"sites/*.kdl\"]\n",
            "topology = { name = \"t\", was = \"u\" }\n[pool.p]\nserver = [\"web1\", \"10.0.0.[2-9]\"]\n",
            "[vip.v]\naddress = \"2001:db8::[a-1f]\"\n[service.s]\nforward = \"dr\"\nserver = \"a\"\nlisten = { vip = \"v\", port = 80 }\n",
        ] {
            assert!(valid(text), "{text}");
        }
    }

    #[test]
    fn what_is_composed_is_valid() {
        for text in [
            "[service.s]\nlisten = { vip = \"v\", port = \"${port}\" }\nscheduler = \"${scheduler}\"",
            "[pool.\"web-${dc}\".server.\"${net}.11\"]\nweight = \"${weight}\"",
            "[director.\"${dc}-lb\".sysctl]\n\"${key}\" = \"${value}\"",
            "remove = \"service.old\"\n[set.service.s]\ndrain = \"${drain}\"\n[set.vip.v]\nholder = \"lb1\"",
            "[add.vip.w]\naddress = \"10.0.0.2\"\n[set.policy]\nmax-deletes = 3\n[set.defaults.server]\nweight = 2",
            "set.topology = \"x\"\n[set.lint.all-quiesced]\nlevel = \"deny\"",
        ] {
            assert!(valid(text), "{text}");
        }
    }

    #[test]
    fn what_no_overlay_says_is_not_valid() {
        for text in [
            "set = 5",
            "[[set]]",
            "[set]\nservice = \"s\"",
            "[set.service.s]\ncolour = \"red\"",
            "[set.service.s]\nscheduler = { port = true }",
            "[set.set]",
            "[add.include]",
            "remove = 5",
            "remove = []",
            "[pool.p.server.a]\nweight = \"$5\"",
        ] {
            assert!(!valid(text), "{text}");
        }
    }

    #[test]
    fn what_does_not_decode_for_one_token_is_not_valid() {
        for text in [
            "vip = \"v\"",
            "[vip.v]\nadress = \"10.0.0.1\"",
            "[vip.v]\naddress = \"10.0.0.1/32\"",
            "[vip.v]\naddress = []",
            "[vip.v]\nmanaged = false",
            "[pool.p.server.a]\nweight = -1",
            "[pool.p.server.a]\nport = 70000",
            "[service.s]\nforward = \"masq\"\nlisten = { vip = \"v\", port = 80 }",
            "[service.s]\nforward = \"dr\"",
            "[timeouts]\ntcp = 900",
            "[timeouts]\ntcp = \"5 m\"",
            "[policy]\nmax-deletes = \"200%\"",
            "[director.\"a b\"]\n",
            "[director.lb1.sysctl]\n\"kernel.core_pattern\" = 1",
            "[director.lb1]\nquiesce = \"no\"",
            "[[sync]]\nid = 256\ninterface = \"eth0\"",
            "[tuning.switch]",
            "[surprise]",
        ] {
            assert!(!valid(text), "{text}");
        }
    }
}
