//! Whatever a row, a file or a provider has: no panic, and time and memory in
//! proportion to what is read.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may stop at what it did not expect, and says where it was"
)]

#[path = "../../../tests/shared/hunt.rs"]
mod hunt;

use diag::{Diagnostics, Place};
use hunt::Hunt;
use profile::lang::{
    Answer, Body, Condition, Draws, Known, Path, Place as Stand, Presence, Root, Scope, Text, Tree,
};
use serde_json::{Value, json};
use uuid::Uuid;

fn hunt(kind: &str, tokens: &[&str], target: impl Fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let hunt = Hunt {
        corpus: corpus.join(kind),
        tokens,
        cases: 300,
    };
    hunt.run(target);
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "1e999",
    "-0",
    "0.1",
    "123456789012345678901234567890",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
];

fn known() -> Known {
    let mut known = Known::new();
    known.option("size", Presence::Always);
    known.option("seconds", Presence::Optional);
    known.option("tags", Presence::Optional);
    known.job_id();
    known.parts_may_stand(true)
}

fn scope(options: &Value) -> Scope<'_> {
    let mut scope = Scope::new(Draws::new(1_780_000_000_000_000_000, Uuid::from_u128(7)));
    scope.set(Root::Model, json!("a-1"));
    scope.set(
        Root::UserPrompt,
        json!("{{apiKey}} <<model>> \u{202e}\u{0}"),
    );
    scope.lend(Root::Params, options);
    scope.set(Root::JobId, json!("a/b?c#d"));
    scope
}

fn options() -> Value {
    json!({ "size": "1280x720", "seconds": 8, "tags": ["a", "b", "\"", "1e5"] })
}

fn answer(body: Body) -> Answer {
    Answer {
        status: 200,
        headers: vec![("retry-after".into(), "soon".into())],
        event: Some("done".into()),
        body,
    }
}

/// The first line, and what follows it.
fn first_line(bytes: &[u8]) -> (Value, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let source =
        serde_json::from_slice(line).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(line)));
    (source, rest)
}

#[test]
fn no_file_breaks_the_check_of_a_bundle_or_a_case() {
    let members = [
        "\"language\"",
        "\"provider\"",
        "\"profiles\"",
        "\"transport\"",
        "\"workflow\"",
        "\"steps\"",
        "\"vars\"",
        "\"states\"",
        "\"errors\"",
        "\"$when\"",
        "\"$each\"",
        "\"models\"",
        "\"capabilities\"",
        "\"options\"",
        "\"schema\"",
        "\"$ref\": \"#\"",
        "\"pattern\"",
        "\"exchanges\"",
        "\"{{vars.a}}\"",
    ];
    hunt("bundles", &[JSON, &members].concat(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (bundle, compiled) = profile::bundle::check("b.json", &text);
        let good = compiled
            .revisions
            .iter()
            .filter(|entry| entry.revision.is_ok());
        // What is refused serves nobody, and what serves was not refused.
        assert!(good.count() == 0 || !bundle.rows.providers.is_empty());
        let _ = profile::case::Case::parse("c.json", &text);
    });
}

#[test]
fn no_template_breaks_the_compiler_or_the_renderer() {
    let tokens = [
        "{{",
        "}}",
        "{{{",
        "}}}",
        "<<",
        ">>",
        "\\{{",
        "\\<<",
        "${",
        "#if ",
        "#each ",
        "/if",
        "/each",
        "else",
        "json ",
        "default ",
        "lookup ",
        "split ",
        "join ",
        "replace ",
        "truncate ",
        "int ",
        "number ",
        "add ",
        "div ",
        "round ",
        "base64 ",
        "segments ",
        "timestamp ",
        "uuid",
        "params_size",
        "params.tags",
        "params_seconds",
        "userPrompt",
        "job_id",
        "item",
        "index",
        "this",
        "@index",
        "../",
        "(",
        ")",
        "\"",
        "'",
        " ",
        "1e5",
        "-1",
        "0",
        "99999999999999999999",
        "~",
        "!--",
        "--}}",
        "[0]",
        ".",
        "|",
        "as |x|",
        "=",
        ">",
        "&",
    ];
    let options = options();
    hunt("templates", &tokens, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let known = known();
        for place in [Stand::Plain, Stand::Path, Stand::Url, Stand::Header] {
            if let Ok(text) = Text::compile(&text, &known, place) {
                let _ = text.eval(&scope(&options));
            }
        }
    });
}

#[test]
fn no_tree_breaks_the_compiler_or_the_renderer() {
    let directives = [
        "\"$when\"",
        "\"$then\"",
        "\"$else\"",
        "\"$each\"",
        "\"$as\"",
        "\"$do\"",
        "\"$merge\"",
        "\"$json\"",
        "\"$file\"",
        "\"content_type\"",
        "\"{{json params}}\"",
        "\"params.tags\"",
        "\"{{item}}\"",
        "{\"present\": \"params.size\"}",
        "\"$..*\"",
        "\"matches\": \"(a+)+$\"",
    ];
    let options = options();
    hunt("trees", &[JSON, &directives].concat(), |bytes| {
        let Ok(source) = serde_json::from_slice::<Value>(bytes) else {
            return;
        };
        let tree = Tree::compile(
            &source,
            &known(),
            &Place::default(),
            &mut Diagnostics::new(),
        );
        if let Some(tree) = tree {
            let _ = tree.eval(&scope(&options));
        }
    });
}

#[test]
fn no_path_breaks_the_compiler_or_the_walk() {
    let tokens = [
        "$",
        "@",
        ".",
        "..",
        "*",
        "[",
        "]",
        "[*]",
        "[]",
        "[0]",
        "[-1]",
        "[1:5:2]",
        "[?",
        "(",
        ")",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        "!",
        "'a'",
        "\"b\"",
        "length(",
        "count(",
        "value(",
        "match(",
        "search(",
        "@status",
        "@header:",
        "@event",
        "a",
        "b",
        "params",
        ", ",
        "\n",
        "{\"a\": [1, {\"b\": null}]}",
        "9007199254740993",
        "1e400",
        "'(a+)+$'",
        "~1",
    ];
    let options = options();
    hunt("paths", &tokens, |bytes| {
        let (source, body) = first_line(bytes);
        let answer = answer(Body::read(body));
        if let Some(path) = Path::of_answer(&source, &Place::default(), &mut Diagnostics::new()) {
            let _ = (
                path.all(&answer).len(),
                path.first_text(&answer),
                path.listed_texts(answer.view()),
            );
            let _ = path.items(&answer).map(|items| items.len());
        }
        let scope = scope(&options);
        let path = Path::of_variables(
            &source,
            &known(),
            &Place::default(),
            &mut Diagnostics::new(),
        );
        if let Some(path) = path {
            let _ = (
                path.all(&scope).len(),
                path.items(&scope).map(|items| items.len()),
            );
        }
    });
}

#[test]
fn no_condition_breaks_the_compiler_or_the_judge() {
    let words = [
        "\"present\"",
        "\"path\"",
        "\"equals\"",
        "\"in\"",
        "\"matches\"",
        "\"gt\"",
        "\"lte\"",
        "\"all\"",
        "\"any\"",
        "\"not\"",
        "\"a\"",
        "\"@status\"",
        "\"(a*)*b\"",
        "\"[a-z]{1,1000}{1,1000}\"",
        "\"{{params_size}}\"",
        "\"$..a\"",
        "\n",
        "{\"a\": \"aaaa\"}",
    ];
    let options = options();
    hunt("conditions", &[JSON, &words].concat(), |bytes| {
        let (source, body) = first_line(bytes);
        let (known, scope) = (known(), scope(&options));
        let answer = answer(Body::read(body));
        let of_answer =
            Condition::of_answer(&source, &known, &Place::default(), &mut Diagnostics::new());
        if let Some(condition) = of_answer {
            let _ = condition.holds_for(&answer, &scope);
        }
        let of_variables =
            Condition::of_variables(&source, &known, &Place::default(), &mut Diagnostics::new());
        if let Some(condition) = of_variables {
            let _ = condition.holds(&scope);
        }
    });
}

#[test]
fn no_body_breaks_the_paths_that_read_it() {
    let sources = [
        json!("id"),
        json!("data[].url"),
        json!("[0].id"),
        json!("$..url"),
        json!("$..*..id"),
        json!("$.data[?@.type=='video'].url"),
        json!("$.data[?match(@.name, '(a+)+')]"),
        json!("$[-1:]"),
        json!(["error.message", "message", "$"]),
        json!("@header:retry-after"),
        json!("@event"),
    ];
    let compiled: Vec<Path> = sources
        .iter()
        .map(|source| Path::of_answer(source, &Place::default(), &mut Diagnostics::new()).unwrap())
        .collect();
    hunt("answers", JSON, |bytes| {
        let answer = answer(Body::read(bytes));
        for path in &compiled {
            let _ = (
                path.all(&answer).len(),
                path.all_text(&answer).len(),
                path.listed_texts(answer.view()).len(),
            );
        }
    });
}
