use super::super::compile;
use super::*;
use serde_json::json;
use std::time::{Duration, Instant};

/// Definitions of which each names the next one twice.
fn doubling(count: usize, word: &str) -> Value {
    let mut all = Map::new();
    for i in 0..count {
        let next = json!({ "$ref": format!("#/$defs/d{}", i + 1) });
        all.insert(format!("d{i}"), json!({ word: [next, next] }));
    }
    all.insert(format!("d{count}"), json!({ "type": "string" }));
    json!({ "$ref": "#/$defs/d0", "$defs": all })
}

fn chain(length: usize) -> Value {
    let next = |i: usize| json!({ "$ref": format!("#/$defs/d{}", i + 1) });
    let mut all: Map<String, Value> = (0..length).map(|i| (format!("d{i}"), next(i))).collect();
    all.insert(format!("d{length}"), json!({}));
    json!({ "$ref": "#/$defs/d0", "$defs": all })
}

/// A definition that is `shape`, in which `self` names it.
fn recursive(shape: &str) -> Value {
    let shape = shape.replace("self", "{\"$ref\": \"#/$defs/t\"}");
    let shape: Value = serde_json::from_str(&shape).unwrap();
    json!({ "$ref": "#/$defs/t", "$defs": { "t": shape } })
}

#[test]
#[rustfmt::skip]
fn a_schema_that_multiplies_is_refused_and_others_are_not() {
    let any_json = r#"{"anyOf": [{"type": ["string", "number", "boolean", "null"]}, {"type": "array", "items": self}, {"type": "object", "additionalProperties": self}]}"#;
    let patterns = |count: usize| -> Value {
        let all: Map<String, Value> = (0..count).map(|i| (format!("p{i}"), json!({ "pattern": "^[a-z]+$" }))).collect();
        json!({ "properties": all })
    };
    let cases = [
        ("one name twice, ten times",           doubling(10, "allOf"),                                                                        true),
        ("and twenty times",                    doubling(20, "anyOf"),                                                                        false),
        ("the same with `oneOf`",               doubling(40, "oneOf"),                                                                        false),
        ("a list of itself",                    recursive(r#"{"items": self}"#),                                                              true),
        ("a tree by names",                     recursive(r#"{"properties": {"left": self, "right": self}}"#),                                true),
        ("a tree by places",                    recursive(r#"{"prefixItems": [self, self]}"#),                                                true),
        ("any JSON",                            recursive(any_json),                                                                          true),
        ("itself, twice for an item",           recursive(r#"{"anyOf": [{"items": self}, {"prefixItems": [self]}]}"#),                        false),
        ("itself, twice for a member",          recursive(r#"{"allOf": [{"properties": {"a": self}}, {"additionalProperties": self}]}"#),     false),
        ("by a pattern too",                    recursive(r#"{"properties": {"a": self}, "patternProperties": {"^a": self}}"#),               false),
        ("what is not evaluated, in a circle",  recursive(r#"{"anyOf": [{"items": self}], "unevaluatedItems": self}"#),                       false),
        ("a circle without a step",             json!({ "$ref": "#" }),                                                                       true),
        ("a circle of two",                     json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }), true),
        ("sixty references on end",             chain(60),                                                                                    true),
        ("twenty thousand",                     chain(20_000),                                                                                false),
        ("an anchor, twice for an item",        json!({ "$anchor": "t", "allOf": [{ "items": { "$ref": "#t" } }, { "contains": { "$ref": "#t" } }] }), false),
        ("an `$id` within",                     json!({ "$defs": { "a": { "$id": "https://acme.ai/a" } } }),                                  false),
        ("a member of that name",               json!({ "properties": { "$id": { "type": "string" } }, "enum": [{ "$id": "x" }] }),           true),
        ("many patterns",                       patterns(200),                                                                                true),
        ("too many",                            patterns(201),                                                                                false),
        ("many members",                        json!({ "properties": (0..5_000).map(|i| (format!("m{i}"), json!({ "type": "string" }))).collect::<Map<_, _>>() }), true),
    ];
    for (why, schema, want) in cases {
        let begun = Instant::now();
        let sink = Sink::default();
        let made = compile(&schema, &Place::default(), &sink);
        assert_eq!(made.is_some(), want, "{why}: {}", sink.into_inner());
        let deep = (0..100).fold(json!("x"), |inner, i| if i % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) });
        if let Some(made) = made {
            let _ = made.iter_errors(&deep).count();
            let _ = made.iter_errors(&json!(vec![vec!["x"; 50]; 50])).count();
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{why}: {:?}", begun.elapsed());
    }
}

/// The engine of `pattern` takes time in proportion to the text, and refuses what it could not so match.
#[test]
fn a_pattern_does_not_backtrack() {
    let text = json!(format!("{}b", "a".repeat(1 << 18)));
    for pattern in [
        "^(a|a)*$",
        "^(a+)+$",
        "^(a|aa)+$",
        "(a?){99}a{99}c",
        "(.*)*c",
        "([ab]*a[ab]{99})+c",
    ] {
        let begun = Instant::now();
        let validator = compile(
            &json!({ "pattern": pattern }),
            &Place::default(),
            &Sink::default(),
        );
        assert!(!validator.unwrap().is_valid(&text), "{pattern}");
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "{pattern}: {:?}",
            begun.elapsed()
        );
    }
    for pattern in ["(?=a)b", "(a)\\1", "\\w{1000}{1000}"] {
        let sink = Sink::default();
        assert!(
            compile(&json!({ "pattern": pattern }), &Place::default(), &sink).is_none(),
            "{pattern}"
        );
        assert_eq!(sink.into_inner().iter().next().unwrap().code, Code::P114);
    }
}
