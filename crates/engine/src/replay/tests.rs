//! A case that holds, and every way in which it may not.

use super::*;
use serde_json::{Value, json};

fn bundle() -> String {
    json!({
        "language": 1,
        "provider": {"slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1"},
        "auth_profiles": [{"profile_key": "k", "auth_type": "api_key", "secret": "env:ACME_API_KEY"}],
        "models": [{"model_id": "a-1", "model_type": "chat", "is_default": true, "capabilities": {"options": {"n": {"type": "int"}}}}],
        "profiles": [{"profile_key": "p", "purpose": "chat", "auth_profile": "k",
            "transport": {"path": "/chat", "headers": {"Authorization": "Bearer {{apiKey}}"}, "body": {"q": "{{userPrompt}}", "n": "{{json params_n}}"}},
            "response_mapping": {"extract": {"text_path": "a"}}}]
    })
    .to_string()
}

fn case() -> Value {
    json!({
        "input": {"purpose": "chat", "prompt": "hi", "params": {"n": 2}},
        "exchanges": [{
            "request": {"method": "POST", "url": "https://api.acme.ai/v1/chat",
                "headers": {"authorization": "Bearer ***", "x-none": null}, "body": {"n": 2.0, "q": "hi"}},
            "answer": {"body": {"a": "hello"}}
        }],
        "expect": {"output": {"text": "hello"}, "artifacts": {}}
    })
}

fn replayed(case: &Value) -> Vec<String> {
    let (_, compiled) = profile::bundle::check("acme", &bundle());
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    let case = Case::parse("case", &case.to_string()).unwrap();
    replay(&case, &compiled)
        .differences
        .into_iter()
        .map(|one| one.at)
        .collect()
}

#[test]
fn a_case_that_holds_has_no_difference() {
    assert_eq!(replayed(&case()), Vec::<String>::new());
}

#[test]
#[rustfmt::skip]
fn every_difference_is_found_at_its_place() {
    let cases = [
        ("/exchanges/0/request/method",               json!("PUT"),            "/exchanges/0/request/method"),
        ("/exchanges/0/request/url",                  json!("https://api.acme.ai/v1/chat?x"), "/exchanges/0/request/url"),
        ("/exchanges/0/request/headers/authorization", json!("Bearer x"),      "/exchanges/0/request/headers/authorization"),
        ("/exchanges/0/request/headers/x-none",       json!("1"),              "/exchanges/0/request/headers/x-none"),
        ("/exchanges/0/request/headers/authorization", json!(null),            "/exchanges/0/request/headers/authorization"),
        ("/exchanges/0/request/body/n",               json!("2"),              "/exchanges/0/request/body/n"),
        ("/exchanges/0/request/body/q",               json!({"x": 1}),         "/exchanges/0/request/body/q"),
        ("/exchanges/0/answer/status",                json!(400),              "/expect"),
        ("/exchanges/0/answer",                       json!(null),             "/expect"),
        ("/expect/output/text",                       json!("bye"),            "/expect/output/text"),
        ("/expect/artifacts",                         json!({"video": [{}]}),  "/expect/artifacts/video"),
        ("/expect/overdue",                           json!(true),             "/expect/overdue"),
        ("/expect/elapsed_ms_min",                    json!(1),                "/expect/elapsed_ms_min"),
        ("/input/params/n",                           json!("many"),           "/exchanges/0"),
    ];
    for (place, value, want) in cases {
        let mut case = case();
        let (parent, name) = place.rsplit_once('/').unwrap();
        case.pointer_mut(parent).unwrap()[name] = value.clone();
        let found = replayed(&case);
        assert!(found.iter().any(|at| at == want), "{place} = {value}: {found:?}");
    }
}

#[test]
fn an_exchange_too_many_and_one_too_few_are_found() {
    let mut more = case();
    let extra = more["exchanges"][0].clone();
    more["exchanges"].as_array_mut().unwrap().push(extra);
    assert_eq!(replayed(&more), ["/exchanges/1"]);
    let mut fewer = case();
    fewer["exchanges"] = json!([]);
    assert_eq!(replayed(&fewer), ["/exchanges", "/expect"]);
}
