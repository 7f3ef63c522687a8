//! What a run gives, by its purpose and by what its answer holds: each one a
//! case, replayed against rows that are compiled as they are when they are saved.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

use engine::replay::replay;
use profile::case::Case;
use profile::lang::merge;
use serde_json::{Value, json};

const RUN: &str = "00000000-0000-7000-8000-000000000000";
const MP4: &str = "AAAAGGZ0eXBpc29tAAACAGlzb21tcDQy";
const PNG: &str = "iVBORw0KGgo=";

/// A call that is answered at once.
fn bundle(purpose: &str, mapping: &Value, patch: &Value) -> String {
    let mut bundle = json!({
        "language": 1,
        "provider": {"slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1"},
        "auth_profiles": [{"profile_key": "k", "auth_type": "api_key", "secret": "env:ACME_API_KEY"}],
        "response_schemas": [{"name": "any", "strict": false, "schema": {"type": "object"}}],
        "models": [{"model_id": "a-1", "model_type": purpose, "is_default": true, "capabilities": {}}],
        "profiles": [{"profile_key": "p", "purpose": purpose, "auth_profile": "k",
            "transport": {"path": "/make", "body": {"q": "{{userPrompt}}"}}, "response_mapping": mapping}]
    });
    merge(&mut bundle["models"][0], patch);
    bundle.to_string()
}

/// Replays one exchange and gives what differs from that output.
fn differences(bundle: &str, answer: &Value, expect: &Value) -> Vec<String> {
    let (read, compiled) = profile::bundle::check("acme", bundle);
    assert!(!read.diagnostics.has_errors(), "{}", read.diagnostics);
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    let purpose = serde_json::from_str::<Value>(bundle).unwrap()["profiles"][0]["purpose"].clone();
    let case = json!({
        "input": {"purpose": purpose, "prompt": "a cat"},
        "exchanges": [{"request": {"method": "POST", "url": "https://api.acme.ai/v1/make", "body": {"q": "a cat"}}, "answer": answer}],
        "expect": expect
    });
    let case = Case::parse("case", &case.to_string()).unwrap_or_else(|found| panic!("{found}"));
    let found = replay(&case, &compiled).differences;
    found.iter().map(ToString::to_string).collect()
}

#[test]
#[rustfmt::skip]
fn without_a_template_the_output_follows_the_purpose() {
    let media = |name: &str, value: Value| {
        json!({"title": "a cat", "summary": "a-1: succeeded", "blocks": [{"type": "markdown", "markdown": "a cat"}], name: value})
    };
    let file = |mime: &str, url: &str| json!({"id": RUN, "status": "succeeded", "mime": mime, "download_url": url});
    let base64 = |mime: &str| json!({"mode": "json_base64", "content_type": mime, "extract": {"base64_path": "files[].b64"}});
    let files = |data: &[&str]| json!({"body": {"files": data.iter().map(|data| json!({"b64": data})).collect::<Vec<_>>()}});
    let text = json!({"extract": {"text_path": "parts[].text", "model": "model"}});
    let said = json!({"body": {"parts": [{"text": "{\"a\":"}, {"text": " 1}"}], "model": "m"}});
    let schema = json!({"response_schema": "any"});
    let none = json!({});
    let cases = [
        ("video",         base64("video/mp4"),  &none,   files(&[MP4]),      media("video", file("video/mp4", "artifact:video/0"))),
        ("3d",            base64("model/gltf-binary"), &none, files(&["Z2xURgIAAAA="]), media("model", file("model/gltf-binary", "artifact:model/0"))),
        ("image",         base64("image/png"),  &none,   files(&[PNG, PNG]), media("images", json!([{"url": "artifact:image/0", "mime_type": "image/png"}, {"url": "artifact:image/1", "mime_type": "image/png"}]))),
        ("audio",         base64("audio/mpeg"), &none,   files(&["SUQzBAA="]), media("audio", json!({"mime": "audio/mpeg", "data_url": "data:audio/mpeg;base64,SUQzBAA="}))),
        ("music",         base64("audio/mpeg"), &none,   files(&["SUQzBAA="]), media("audio", json!({"mime": "audio/mpeg", "data_url": "data:audio/mpeg;base64,SUQzBAA="}))),
        ("chat",          text.clone(),         &none,   said.clone(),       json!({"text": "{\"a\": 1}", "model": "m"})),
        ("chat",          text.clone(),         &schema, said.clone(),       json!({"a": 1})),
        ("code",          text.clone(),         &schema, said.clone(),       json!({"a": 1})),
        ("multimodal",    text.clone(),         &schema, said.clone(),       json!({"a": 1})),
        ("document",      text.clone(),         &schema, said.clone(),       json!({"text": "{\"a\": 1}", "model": "m"})),
        ("transcription", json!({"mode": "text"}), &none, json!({"body": "so it goes"}), json!({"text": "so it goes"})),
        ("embedding",     json!({"extract": {"vector": "data[0].embedding"}}), &none, json!({"body": {"data": [{"embedding": [0.1, -2]}]}}), json!({"vector": [0.1, -2]})),
    ];
    for (purpose, mapping, model, answer, output) in cases {
        let found = differences(&bundle(purpose, &mapping, model), &answer, &json!({"output": output}));
        assert_eq!(found, Vec::<String>::new(), "{purpose} {mapping}");
    }
}

#[test]
#[rustfmt::skip]
fn the_title_is_80_characters_of_the_prompt_else_the_model() {
    let cases = [
        // the prompt                           title                       text of the block
        (json!("\u{e4}".repeat(100)),           "\u{e4}".repeat(80),        "\u{e4}".repeat(100)),
        (json!("short"),                        "short".to_owned(),         "short".to_owned()),
        (Value::Null,                           "a-1".to_owned(),           "a-1".to_owned()),
    ];
    for (prompt, title, words) in cases {
        let mapping = json!({"mode": "json_base64", "content_type": "audio/mpeg", "extract": {"base64_path": "b64"}});
        let mut bundle: Value = serde_json::from_str(&bundle("audio", &mapping, &json!({}))).unwrap();
        bundle["profiles"][0]["transport"]["body"] = json!({"q": 1});
        let (_, compiled) = profile::bundle::check("acme", &bundle.to_string());
        let case = json!({
            "input": {"purpose": "audio", "prompt": prompt},
            "exchanges": [{"request": {"method": "POST", "url": "https://api.acme.ai/v1/make", "body": {"q": 1}}, "answer": {"body": {"b64": "SUQzBAA="}}}],
            "expect": {"output": {"title": title, "summary": "a-1: succeeded", "blocks": [{"type": "markdown", "markdown": words}],
                "audio": {"mime": "audio/mpeg", "data_url": "data:audio/mpeg;base64,SUQzBAA="}}},
        });
        let case = Case::parse("case", &case.to_string()).unwrap_or_else(|found| panic!("{found}"));
        let found: Vec<String> = replay(&case, &compiled).differences.iter().map(ToString::to_string).collect();
        assert_eq!(found, Vec::<String>::new(), "{prompt}");
    }
}

#[test]
#[rustfmt::skip]
fn a_template_reads_what_the_run_has_made() {
    let usage = json!({"input_tokens": "usage.in", "total": {"sum": ["usage.in", "usage.out", "usage.none"]}, "none": "usage.none"});
    let cases = [
        ("usage",        json!("{{json usage}}"),                   json!({"input_tokens": 3, "total": 7})),
        ("text",         json!("{{text}}"),                         json!("{\"a\": 1}")),
        ("text as JSON", json!({"a": "{{json text_json.a}}"}),      json!({"a": 1})),
        ("the word",     json!({"s": "{{status}}", "p": "{{provider_status}}"}), json!({"s": "succeeded"})),
        ("captures",     json!({"j": "{{json steps.submit.joined}}", "p": "{{json steps.submit.parsed.b}}"}), json!({"j": "x-y", "p": [2]})),
        ("absent",       json!({"n": "{{json steps.submit.none}}", "k": 1}), json!({"k": 1})),
    ];
    for (why, output, want) in cases {
        let mapping = json!({"output": output, "extract": {
            "text_path": "said", "usage": usage, "none": "nowhere",
            "joined": {"path": "tags[]", "join": "-"}, "parsed": {"path": "raw", "parse": "json"},
        }});
        let answer = json!({"body": {"said": "{\"a\": 1}", "usage": {"in": 3, "out": 4}, "tags": ["x", "y"], "raw": "{\"b\": [2]}"}});
        let found = differences(&bundle("chat", &mapping, &json!({})), &answer, &json!({"output": want}));
        assert_eq!(found, Vec::<String>::new(), "{why}");
    }
}

#[test]
fn a_mismatch_with_a_schema_that_is_not_strict_fails_no_run() {
    let mapping = json!({"extract": {"text_path": "said"}});
    let bundle = bundle("chat", &mapping, &json!({"response_schema": "any"}));
    let answer = json!({"body": {"said": "[1]"}});
    assert_eq!(
        differences(&bundle, &answer, &json!({"output": [1]})),
        Vec::<String>::new()
    );
}
