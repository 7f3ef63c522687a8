use super::*;
use crate::lang::{Draws, Inputs, Known, Presence, Rendered, Root, Scope, Tree};
use diag::{Diagnostics, Place};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Media of a given size each; counts how often one was encoded.
struct Big {
    bytes: usize,
    encoded: AtomicUsize,
}

impl Inputs for Big {
    fn count(&self, _: &str) -> usize {
        3
    }

    fn member(&self, _: &str, _: usize, member: &str) -> Option<Value> {
        match member {
            "bytes" => Some(json!(self.bytes)),
            "base64" | "data_url" => {
                self.encoded.fetch_add(1, Ordering::Relaxed);
                Some(Value::from("A".repeat(self.bytes / 3 * 4)))
            }
            _ => None,
        }
    }
}

const MANY: usize = 10_000;

/// A call with a long text, a list of many items, and media of `bytes` each.
fn eval(source: &Value, bytes: usize) -> (Result<Option<Rendered>, EvalError>, usize) {
    let mut known = Known::new();
    for name in ["text", "many", "comma"] {
        known.option(name, Presence::Always);
    }
    known.input("media", Presence::Always);
    known.tables(&json!({ "large": {} }));
    let known = known.parts_may_stand(true);
    let mut found = Diagnostics::new();
    let tree = Tree::compile(source, &known, &Place::default(), &mut found);
    let tree = tree.unwrap_or_else(|| panic!("{source}: {found}"));
    let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
    let numbers: Vec<usize> = (0..MANY).collect();
    scope.set(
        Root::Params,
        json!({ "text": "a".repeat(1 << 20), "many": numbers, "comma": ",".repeat(100_000) }),
    );
    scope.set(Root::Tables, json!({ "large": "x".repeat(1 << 19) }));
    let media = Big {
        bytes,
        encoded: AtomicUsize::new(0),
    };
    scope.inputs(&media);
    let made = tree.eval(&scope);
    (made, media.encoded.load(Ordering::Relaxed))
}

/// Each of them would fill the memory, or never end, from a row of a few lines.
#[test]
#[rustfmt::skip]
fn what_grows_without_bound_ends_at_the_budget() {
    let each = |body: Value| json!({ "$each": "params.many", "$do": body });
    let long: Vec<String> = (0..100).map(|_| "x".repeat(1_000)).collect();
    let nested = "{{#each params_many}}".repeat(8) + &"{{/each}}".repeat(8);
    let cases = [
        ("a literal for each item",         each(json!({ "literal": long }))),
        ("a table for each item",           each(json!("{{json tables.large}}"))),
        ("a text for each item",            each(json!("{{params_text}}"))),
        ("all options for each item",       each(json!("{{json params}}"))),
        ("lists in lists",                  each(each(json!(1)))),
        ("blocks that write nothing",       json!(nested)),
        ("every letter replaced by a text", json!("{{replace params_text \"a\" params_comma}}")),
        ("a long separator",                json!("{{join params_many params_comma}}")),
        ("a query for each item",           each(json!({ "$each": "$.params..[*]", "$do": 1 }))),
        ("a pattern for each item",         each(json!({ "$when": { "path": "params.text", "matches": "b$" }, "$then": 1 }))),
        ("quotes in quotes",                (0..40).fold(json!("\""), |inner, _| json!({ "$json": inner }))),
        ("a name for each file",            each(json!({ "$file": "inputs.media", "filename": "{{params_text}}" }))),
    ];
    for (why, source) in cases {
        let begun = Instant::now();
        let (made, _) = eval(&source, 16);
        assert!(matches!(made, Err(EvalError::TooLarge)), "{why}: made");
        assert!(begun.elapsed() < Duration::from_secs(120), "{why}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_medium_for_each_item_is_not_encoded_that_often() {
    for body in ["{{inputs.media.base64}}", "{{trim inputs.media.data_url}}"] {
        let source = json!({ "$each": "params.many", "$do": body });
        let (made, encoded) = eval(&source, 30 << 20);
        assert!(matches!(made, Err(EvalError::TooLarge)), "{body}");
        assert!(encoded < 30, "{body}: encoded {encoded} times");
    }
}

#[test]
#[rustfmt::skip]
fn what_a_call_needs_is_made() {
    let cases = [
        ("media of 120 MiB",      json!({ "$each": "inputs.media", "$do": "data:{{item.base64}}" }), 40 << 20),
        ("a text three times",    json!(["{{params_text}}", "{{params_text}}", "{{upper params_text}}"]), 16),
        ("a list, each",          json!({ "$each": "params.many", "$do": { "n": "{{json item}}" } }), 16),
        ("a separator",           json!("{{join params_many \", \"}}"), 16),
    ];
    for (why, source, bytes) in cases {
        assert!(eval(&source, bytes).0.is_ok(), "{why}");
    }
}

/// A large answer may be written into the output, though it is larger than what is made of nothing.
#[test]
fn what_the_scope_holds_may_be_written_once() {
    let mut known = Known::new();
    known.option("text", Presence::Always);
    let text = "a".repeat(100 << 20);
    let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
    scope.set(Root::Params, json!({ "text": text }));
    let eval = |source: Value| {
        let tree = Tree::compile(&source, &known, &Place::default(), &mut Diagnostics::new());
        tree.unwrap().eval(&scope)
    };
    assert!(eval(json!({ "text": "{{params_text}}" })).is_ok());
    let five = json!([
        "{{params_text}}",
        "{{params_text}}",
        "{{params_text}}",
        "{{params_text}}",
        "{{params_text}}"
    ]);
    assert!(eval(five).is_err());
}
