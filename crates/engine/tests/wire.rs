//! Whatever the values of a call are, as long as they satisfy the model's
//! capabilities: their types survive to the wire, no text is read again for a
//! template or a type, and each is read back as it was given.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

use engine::auth::secrets;
use engine::egress::Allow;
use engine::flow::token;
use engine::media::Media;
use engine::request::{Drawn, Request};
use engine::{Fault, Flow, Kind, RunIdentity, Setting};
use profile::call::Call;
use profile::catalogue::{Ask, choose};
use profile::revision::Revision;
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

const KEY: &str = "hidden-key";

/// Options of every type, with what each takes.
fn options() -> Value {
    json!({
        "whole": { "type": "int" },
        "stepped": { "type": "int", "min": 4, "max": 12, "step": 4 },
        "real": { "type": "number" },
        "flag": { "type": "bool" },
        "said": { "type": "string" },
        "word": { "type": "enum", "values": ["8", 8, 8.5, true, "true", "None", "{{model}}", "<<apiKey>>"] },
        "texts": { "type": "array", "items": { "type": "string" } },
        "numbers": { "type": "array", "items": { "type": "number" } },
        "object": { "type": "object", "schema": { "type": "object" } },
    })
}

const SCALARS: &[&str] = &["whole", "stepped", "real", "flag", "said", "word"];
const LISTS: &[&str] = &["texts", "numbers"];

/// A profile that sends every option by its own type and as text.
fn profile(kind: &str) -> Value {
    let mut body = Map::new();
    let mut query = Map::new();
    let names = options();
    for name in names.as_object().unwrap().keys() {
        let is_scalar = SCALARS.contains(&name.as_str());
        if kind == "json" {
            body.insert(
                format!("typed_{name}"),
                json!(format!("{{{{json params_{name}}}}}")),
            );
        } else if name != "object" {
            body.insert(
                format!("plain_{name}"),
                json!(format!("{{{{json params_{name}}}}}")),
            );
        }
        if is_scalar {
            body.insert(format!("text_{name}"), json!(format!("<<params_{name}>>")));
        }
        if name != "object" {
            query.insert(
                format!("q_{name}"),
                json!(format!("{{{{json params.{name}}}}}")),
            );
        }
    }
    body.insert("prompt".into(), json!("{{userPrompt}}"));
    body.insert(
        "longer".into(),
        json!("[{{userPrompt}}|<<default params_said \"none\">>]"),
    );
    body.insert(
        "within".into(),
        json!({ "$json": { "p": "{{userPrompt}}" } }),
    );
    let body = Value::Object(body);
    let transport = match kind {
        "json" => json!({ "path": "/make", "body": body }),
        "form" => json!({ "kind": "http_form", "path": "/make", "body": body }),
        "multipart" => json!({ "kind": "http_multipart", "path": "/make", "body": body }),
        "query" => json!({ "path": "/make?own=1", "query": query }),
        "path" => {
            json!({ "path": "/make/{{default params_said \"none\"}}/{{default params_real 0}}/end" })
        }
        "header" => json!({ "path": "/make", "headers": { "X-Said": "{{params_said}}" } }),
        other => panic!("{other}"),
    };
    json!({ "profile_key": kind, "purpose": "transcription", "auth_profile": "key", "transport": transport,
        "response_mapping": { "extract": { "id": "id" } } })
}

const KINDS: &[&str] = &["json", "form", "multipart", "query", "path", "header"];

static REVISIONS: LazyLock<BTreeMap<&str, Arc<Revision>>> = LazyLock::new(|| {
    let profiles: Vec<Value> = KINDS.iter().map(|kind| profile(kind)).collect();
    let bundle = json!({
        "language": 1,
        "provider": { "slug": "acme", "api_base_url": "https://api.acme.ai/v1" },
        "auth_profiles": [{ "profile_key": "key", "auth_type": "api_key", "secret": "env:ACME_API_KEY" }],
        "models": [{ "model_id": "a-1", "model_type": "transcription", "is_default": true, "capabilities": { "options": options() } }],
        "profiles": profiles,
    });
    let (_, compiled) = profile::bundle::check("acme", &bundle.to_string());
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    let revision = |kind: &&'static str| {
        let ask = Ask {
            purpose: "transcription".to_owned(),
            profile_key: Some((*kind).to_owned()),
            ..Ask::default()
        };
        (*kind, choose(&compiled, &ask).unwrap().revision)
    };
    KINDS.iter().map(revision).collect()
});

/// The call, checked and rendered as a run does it, and the values as the check gave them.
fn sent(kind: &str, call: &Call) -> (Map<String, Value>, Result<Request, Fault>) {
    let revision = &REVISIONS[kind];
    let checked = revision.capabilities.check(call, &BTreeMap::new());
    let checked = checked.unwrap_or_else(|found| panic!("{found}"));
    let values = checked.call.params.clone();
    let run_id = Uuid::from_u128(7);
    let setting = Setting {
        checked: Arc::new(checked),
        identity: RunIdentity {
            run_id,
            token: token(run_id, 1),
            callback_url: None,
        },
        secrets: Arc::new(secrets(revision.auth.as_ref(), Some(&KEY.to_owned().into())).unwrap()),
        media: Arc::new(Media::default()),
        endpoint: None,
        allow: Allow::default(),
        phase_ms: 0,
        revision: Arc::clone(revision),
    };
    let drawn = Drawn {
        unix_ms: 1_780_000_000_000,
        seed: Uuid::from_u128(9),
    };
    (values, Flow::new(setting).render_submit(drawn))
}

/// What looks like a template, a type, a separator or a direction.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        "{{apiKey}}",
        "{{{json params}}}",
        "<<model>>",
        "<<",
        ">>",
        "\\{{",
        "\\<<",
        "${userPrompt}",
        "$file",
        "{\"$when\": 1}",
        "\"",
        "'",
        "\\",
        "\\u0041",
        "8",
        "007",
        "1e5",
        "-0",
        "0x10",
        "None",
        "null",
        "true",
        "NaN",
        "\u{0}",
        "\u{1}",
        "\u{1b}[31m",
        "\t",
        "\r\n",
        "\n",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{2066}",
        "\u{200f}",
        "שלום",
        "مرحبا",
        "é",
        "e\u{301}",
        "🙂",
        "\u{fffd}",
        "\u{feff}",
        "%",
        "%00",
        "%2F",
        "&",
        "=",
        "+",
        ";",
        "#",
        "?",
        "/",
        "..",
        ".",
        ":",
        "@",
        " ",
        "--",
        "--b",
        "a",
        "<script>",
        "--' OR 1=1",
    ]);
    let pieces = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => pieces, 1 => any::<String>()]
}

/// Numbers as JSON writes them, with all their digits.
fn number() -> impl Strategy<Value = Value> {
    let written = prop_oneof![
        "-?[1-9][0-9]{0,40}",
        "-?(0|[1-9][0-9]{0,8})\\.[0-9]{1,20}",
        "[1-9](\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,2}",
    ];
    let written = written.prop_map(|text| serde_json::from_str(&text).unwrap());
    prop_oneof![any::<i64>().prop_map(Value::from), written]
}

fn params() -> impl Strategy<Value = Map<String, Value>> {
    let whole = prop_oneof![
        any::<i64>().prop_map(Value::from),
        "-?[1-9][0-9]{0,30}".prop_map(|text| serde_json::from_str(&text).unwrap())
    ];
    let words = options()["word"]["values"].as_array().unwrap().clone();
    let value = prop_oneof![
        nasty().prop_map(Value::from),
        number(),
        any::<bool>().prop_map(Value::from)
    ];
    let member = |name: &'static str, value: BoxedStrategy<Value>| {
        prop::option::weighted(0.7, value)
            .prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    };
    (
        member("whole", whole.boxed()),
        member(
            "stepped",
            prop::sample::select(vec![json!(4), json!(8), json!(12)]).boxed(),
        ),
        member("real", number().boxed()),
        member("flag", any::<bool>().prop_map(Value::from).boxed()),
        member("said", nasty().prop_map(Value::from).boxed()),
        member("word", prop::sample::select(words).boxed()),
        member(
            "texts",
            prop::collection::vec(nasty(), 0..4)
                .prop_map(Value::from)
                .boxed(),
        ),
        member(
            "numbers",
            prop::collection::vec(number(), 0..4)
                .prop_map(Value::from)
                .boxed(),
        ),
        member(
            "object",
            prop::collection::btree_map(nasty(), value, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
                .boxed(),
        ),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i)| {
            [a, b, c, d, e, f, g, h, i].into_iter().flatten().collect()
        })
}

fn call() -> impl Strategy<Value = Call> {
    let prompt = nasty().prop_filter("a prompt is needed", |text| !text.trim().is_empty());
    (prompt, params()).prop_map(|(prompt, params)| Call {
        prompt: Some(prompt),
        params,
        ..Call::default()
    })
}

/// A scalar as text, as the page has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The fields that a form must have, in their order: a list repeats its field.
fn fields(call: &Call, values: &Map<String, Value>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for name in options()
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "object")
    {
        let Some(value) = values.get(name) else {
            continue;
        };
        let list = std::slice::from_ref(value);
        let list = value.as_array().map_or(list, Vec::as_slice);
        all.extend(
            list.iter()
                .map(|value| (format!("plain_{name}"), text(value))),
        );
        if SCALARS.contains(&name.as_str()) {
            all.push((format!("text_{name}"), text(value)));
        }
    }
    let prompt = call.prompt.as_deref().unwrap();
    all.push(("prompt".into(), prompt.into()));
    all.push(("longer".into(), longer(call, values)));
    all.push(("within".into(), json!({ "p": prompt }).to_string()));
    all
}

fn longer(call: &Call, values: &Map<String, Value>) -> String {
    let said = values.get("said").map_or_else(|| "none".to_owned(), text);
    format!("[{}|{said}]", call.prompt.as_deref().unwrap())
}

fn as_json(call: &Call) -> Result<(), TestCaseError> {
    let (values, request) = sent("json", call);
    let body: Value = serde_json::from_slice(request.unwrap().body.as_ref().unwrap()).unwrap();
    let mut want = Map::new();
    for (name, value) in &values {
        want.insert(format!("typed_{name}"), value.clone());
        if SCALARS.contains(&name.as_str()) {
            want.insert(format!("text_{name}"), json!(text(value)));
        }
    }
    want.insert("prompt".into(), json!(call.prompt));
    want.insert("longer".into(), json!(longer(call, &values)));
    want.insert(
        "within".into(),
        json!(json!({ "p": call.prompt }).to_string()),
    );
    prop_assert_eq!(body, Value::Object(want));
    // The check itself gives back what it was given: numbers with all their digits.
    for (name, given) in &call.params {
        prop_assert_eq!(values.get(name), Some(given), "{}", name);
    }
    Ok(())
}

fn as_form(call: &Call) -> Result<(), TestCaseError> {
    let (values, request) = sent("form", call);
    let request = request.unwrap();
    let read = url::form_urlencoded::parse(request.body.as_ref().unwrap());
    let read: Vec<(String, String)> = read.into_owned().collect();
    prop_assert_eq!(read, fields(call, &values));
    Ok(())
}

fn as_multipart(call: &Call) -> Result<(), TestCaseError> {
    let (values, request) = sent("multipart", call);
    let request = request.unwrap();
    let boundary = multer::parse_boundary(request.header("content-type").unwrap()).unwrap();
    let body = request.body.clone().unwrap();
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let read = async {
        let mut parts = multer::Multipart::new(stream, boundary);
        let mut all = Vec::new();
        while let Some(part) = parts.next_field().await.unwrap() {
            let name = part.name().unwrap().to_owned();
            let bytes = part.bytes().await.unwrap();
            all.push((name, String::from_utf8(bytes.to_vec()).unwrap()));
        }
        all
    };
    let read = futures_util::FutureExt::now_or_never(read).unwrap();
    prop_assert_eq!(read, fields(call, &values));
    Ok(())
}

fn as_query(call: &Call) -> Result<(), TestCaseError> {
    let (values, request) = sent("query", call);
    let request = request.unwrap();
    let read: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
    let mut want = vec![("own".to_owned(), "1".to_owned())];
    for name in SCALARS.iter().chain(LISTS) {
        let Some(value) = values.get(*name) else {
            continue;
        };
        let list = std::slice::from_ref(value);
        let list = value.as_array().map_or(list, Vec::as_slice);
        want.extend(list.iter().map(|value| (format!("q_{name}"), text(value))));
    }
    prop_assert_eq!(read, want);
    prop_assert_eq!(request.url.path(), "/v1/make");
    prop_assert_eq!(request.url.fragment(), None);
    Ok(())
}

fn as_path(call: &Call) -> Result<(), TestCaseError> {
    let (values, request) = sent("path", call);
    let said = values.get("said").map_or_else(|| "none".to_owned(), text);
    let real = values.get("real").map_or_else(|| "0".to_owned(), text);
    if ["", ".", ".."].contains(&said.as_str()) {
        prop_assert_eq!(request.unwrap_err().kind, Kind::BadValue);
        return Ok(());
    }
    let request = request.unwrap();
    let segments: Vec<String> = request
        .url
        .path_segments()
        .unwrap()
        .map(|segment| {
            percent_encoding::percent_decode_str(segment)
                .decode_utf8()
                .unwrap()
                .into_owned()
        })
        .collect();
    prop_assert_eq!(segments, ["v1", "make", &said, &real, "end"]);
    prop_assert_eq!(request.url.query(), None);
    prop_assert_eq!(request.url.host_str(), Some("api.acme.ai"));
    Ok(())
}

fn as_header(call: &Call) -> Result<(), TestCaseError> {
    let (values, request) = sent("header", call);
    let said = values.get("said").map(text);
    if said
        .as_ref()
        .is_some_and(|said| said.chars().any(char::is_control))
    {
        prop_assert_eq!(request.unwrap_err().kind, Kind::BadValue);
        return Ok(());
    }
    let request = request.unwrap();
    prop_assert_eq!(request.header("x-said"), said.as_deref());
    Ok(())
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(400) })]

    #[test]
    fn types_survive_to_the_wire_and_no_text_is_read_again(call in call()) {
        as_json(&call)?;
        as_form(&call)?;
        as_multipart(&call)?;
        as_query(&call)?;
        as_path(&call)?;
        as_header(&call)?;
    }
}

/// The prompts that broke others; each goes the whole way.
#[test]
fn the_kept_prompts_survive_to_the_wire() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/prompts.json");
    let prompts: Vec<String> = serde_json::from_slice(&std::fs::read(corpus).unwrap()).unwrap();
    assert!(prompts.len() > 30);
    for prompt in prompts {
        let call = Call {
            prompt: Some(prompt.clone()),
            params: json!({ "said": prompt, "texts": [prompt, ""], "object": { prompt.clone(): prompt } }).as_object().unwrap().clone(),
            ..Call::default()
        };
        for way in [as_json, as_form, as_multipart, as_query, as_path, as_header] {
            way(&call).unwrap_or_else(|error| panic!("{prompt:?}: {error}"));
        }
    }
}
