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
    replayed_with(&bundle(), case)
}

fn replayed_with(bundle: &str, case: &Value) -> Vec<String> {
    let (_, compiled) = profile::bundle::check("acme", bundle);
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
#[rustfmt::skip]
fn a_raw_body_is_compared_byte_by_byte() {
    let mut bundle: Value = serde_json::from_str(&bundle()).unwrap();
    bundle["models"][0]["capabilities"] = json!({"inputs": {"sound": {"kind": "audio"}}});
    bundle["profiles"][0]["transport"] = json!({"kind": "http_binary", "path": "/chat", "body": {"$file": "inputs.sound"}});
    let mut case = case();
    case["input"] = json!({"purpose": "chat", "inputs": {"sound": [{"data_url": "data:audio/mpeg;base64,/wD+PA=="}]}});
    let cases = [
        // recorded                        why                         differs
        (json!({"body_base64": "/wD+PA=="}), "the same bytes",         None),
        (json!({"body_base64": "/gD+PA=="}), "one no text tells apart", Some("/exchanges/0/request/body_base64")),
        (json!({"body_base64": "/wD+"}),     "one byte less",          Some("/exchanges/0/request/body_base64")),
        (json!({}),                          "no body",                Some("/exchanges/0/request/body")),
    ];
    for (recorded, why, differs) in cases {
        let mut request = json!({"method": "POST", "url": "https://api.acme.ai/v1/chat"});
        request.as_object_mut().unwrap().extend(recorded.as_object().unwrap().clone());
        case["exchanges"][0]["request"] = request;
        assert_eq!(replayed_with(&bundle.to_string(), &case), Vec::from_iter(differs), "{why}");
    }
    case["exchanges"][0]["request"]["body_base64"] = json!("AA==");
    bundle["profiles"][0]["transport"] = json!({"method": "GET", "path": "/chat"});
    assert_eq!(replayed_with(&bundle.to_string(), &case)[1..], ["/exchanges/0/request/body_base64"], "none was sent");
}

#[test]
#[rustfmt::skip]
fn json_inside_a_text_is_compared_as_values_since_a_row_does_not_keep_the_order_of_members() {
    let mut bundle: Value = serde_json::from_str(&bundle()).unwrap();
    let mut case = case();
    let text = json!({"$json": {"a": {"long": "{{userPrompt}}", "b": 1}, "list": ["x", "y"]}});
    let cases = [
        (r#"{"a":{"long":"hi","b":1},"list":["x","y"]}"#,       true),
        (r#"{"list": ["x", "y"], "a": {"b": 1.0, "long": "hi"}}"#, true),
        (r#"{"a":{"long":"hi","b":1},"list":["y","x"]}"#,       false),
        (r#"{"a":{"long":"hi","b":"1"},"list":["x","y"]}"#,     false),
        (r#"{"a":{"long":"hi","b":1}}"#,                        false),
    ];
    for (written, holds) in cases {
        bundle["profiles"][0]["transport"] = json!({"kind": "http_multipart", "path": "/chat", "body": {"config": text}});
        case["exchanges"][0]["request"] = json!({"method": "POST", "url": "https://api.acme.ai/v1/chat", "multipart": [{"name": "config", "value": written}]});
        assert_eq!(replayed_with(&bundle.to_string(), &case).is_empty(), holds, "a part: {written}");
        bundle["profiles"][0]["transport"] = json!({"path": "/chat", "body": {"config": text}});
        case["exchanges"][0]["request"] = json!({"method": "POST", "url": "https://api.acme.ai/v1/chat", "body": {"config": written}});
        assert_eq!(replayed_with(&bundle.to_string(), &case).is_empty(), holds, "a member: {written}");
    }
}

#[test]
#[rustfmt::skip]
fn pairs_of_a_query_and_of_a_form_come_in_any_order_but_those_of_one_name() {
    let mut bundle: Value = serde_json::from_str(&bundle()).unwrap();
    let mut case = case();
    let members = json!({"zeta": "1", "a": ["x", "y"], "q": "{{userPrompt}}"});
    let cases = [
        ("zeta=1&a=x&a=y&q=hi", true),
        ("a=x&a=y&q=hi&zeta=1", true),
        ("a=x&q=hi&a=y&zeta=1", true),
        ("a=y&a=x&q=hi&zeta=1", false),
        ("a=x&a=y&q=hi",        false),
        ("a=x&a=y&q=ho&zeta=1", false),
        ("zeta=1&a=x&a=y&q=hi&q=hi", false),
    ];
    for (written, holds) in cases {
        bundle["profiles"][0]["transport"] = json!({"method": "GET", "path": "/chat", "query": members});
        case["exchanges"][0]["request"] = json!({"method": "GET", "url": format!("https://api.acme.ai/v1/chat?{written}")});
        assert_eq!(replayed_with(&bundle.to_string(), &case).is_empty(), holds, "a query: {written}");
        bundle["profiles"][0]["transport"] = json!({"kind": "http_form", "path": "/chat", "body": members});
        case["exchanges"][0]["request"] = json!({"method": "POST", "url": "https://api.acme.ai/v1/chat", "body": written});
        assert_eq!(replayed_with(&bundle.to_string(), &case).is_empty(), holds, "a form: {written}");
    }
    case["exchanges"][0]["request"] = json!({"method": "POST", "url": "https://api.acme.ai/v1/chat?", "body": "zeta=1&a=x&a=y&q=hi"});
    assert_eq!(replayed_with(&bundle.to_string(), &case), ["/exchanges/0/request/url"]);
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

#[test]
fn the_values_that_a_case_may_count_on_are_those_of_its_page() {
    let mut bundle: Value = serde_json::from_str(&bundle()).unwrap();
    let profile = &mut bundle["profiles"][0];
    profile["transport"]["body"] = json!({"a": "{{uuid}}", "b": "{{uuid}}", "run": "{{run.id}}", "token": "{{run.token}}", "at": "{{json (timestamp \"unix\")}}"});
    profile["workflow"] = json!({"before": [{"name": "hello", "method": "GET", "path": "/hello", "query": {"id": "{{uuid}}"}}]});
    let hello = json!({"request": {"method": "GET", "url": "https://api.acme.ai/v1/hello?id=00000000-0000-4000-8000-000100000001"}, "answer": {"body": {}}});
    let send = |n: u32, at: i64, answer: Value| {
        json!({"request": {"method": "POST", "url": "https://api.acme.ai/v1/chat", "body": {
            "a": format!("00000000-0000-4000-8000-{:04x}00000001", n + 1),
            "b": format!("00000000-0000-4000-8000-{:04x}00000002", n + 1),
            "run": "00000000-0000-7000-8000-000000000000",
            "token": format!("00000000-0000-7000-8000-{n:012x}"), "at": at,
        }}, "answer": answer})
    };
    let mut case = case();
    case["at"] = json!("2026-02-03T04:05:06Z");
    let slow_down = json!({"status": 429, "headers": {"Retry-After": "7"}});
    case["exchanges"] = json!([
        hello,
        send(1, 1_770_091_506, slow_down),
        send(2, 1_770_091_513, json!({"body": {"a": "hello"}})),
    ]);
    assert_eq!(
        replayed_with(&bundle.to_string(), &case),
        Vec::<String>::new()
    );
}

#[test]
fn the_token_of_an_attempt_is_its_own_until_the_next_is_sent() {
    let mut bundle: Value = serde_json::from_str(&bundle()).unwrap();
    let profile = &mut bundle["profiles"][0];
    profile["transport"]["body"] = json!({"tag": "{{run.token}}"});
    profile["transport"]["settle"] = json!({"kind": "lookup", "path": "/jobs", "query": {"tag": "{{run.token}}"},
        "select": {"in": "jobs", "where": {"path": "tag", "equals": "{{run.token}}"}}, "job_id_path": "id", "complete_when": {"present": "jobs"}});
    profile["response_mapping"] = json!({"extract": {"job_id_path": "id", "text_path": "a"}});
    profile["workflow"] = json!({"type": "async_job", "steps": [
        {"name": "poll", "path": "/jobs/{{job_id}}", "query": {"tag": "{{run.token}}"}, "states": {"succeeded": ["done"]}}]});
    let token = |n: u32| format!("00000000-0000-7000-8000-{n:012x}");
    let send = |n: u32, answer: Value| json!({"request": {"method": "POST", "url": "https://api.acme.ai/v1/chat", "body": {"tag": token(n)}}, "answer": answer});
    let get = |path: String, answer: Value| json!({"request": {"method": "GET", "url": format!("https://api.acme.ai/v1/{path}")}, "answer": {"body": answer}});
    let mut case = case();
    case["exchanges"] = json!([
        send(1, Value::Null),
        get(format!("jobs?tag={}", token(1)), json!({"jobs": []})),
        send(2, Value::Null),
        get(
            format!("jobs?tag={}", token(2)),
            json!({"jobs": [{"id": "j1", "tag": token(1)}, {"id": "j2", "tag": token(2)}]})
        ),
        get(
            format!("jobs/j2?tag={}", token(2)),
            json!({"status": "done", "a": "hello"})
        ),
    ]);
    assert_eq!(
        replayed_with(&bundle.to_string(), &case),
        Vec::<String>::new()
    );
}

/// A job whose file is behind another auth profile than its own, which signs.
fn signed_file(auth: Option<&str>) -> String {
    let mut bundle: Value = serde_json::from_str(&bundle()).unwrap();
    let part = json!({"profile_key": "bucket", "auth_type": "aws_sigv4", "secret": "env:B", "config": {"region": "r", "service": "s3"}});
    let other =
        json!({"profile_key": "other", "auth_type": "api_key", "secret": "env:O", "config": {}});
    bundle["auth_profiles"]
        .as_array_mut()
        .unwrap()
        .extend([part, other]);
    bundle["models"][0]["model_type"] = json!("video");
    let profile = &mut bundle["profiles"][0];
    profile["purpose"] = json!("video");
    profile["response_mapping"] = json!({"output": {"made": true}});
    let mut step =
        json!({"name": "download", "path": "/file", "mode": "binary", "content_type": "video/mp4"});
    if let Some(auth) = auth {
        step["auth"] = json!(auth);
    }
    if auth != Some("bucket") {
        step["headers"] = json!({"Authorization": "Bearer {{apiKey}}"});
    }
    profile["workflow"] = json!({"steps": [step]});
    bundle.to_string()
}

#[test]
fn a_case_that_names_what_proves_a_request_sees_by_which_auth_profile_it_was() {
    let mut case = case();
    case["input"]["purpose"] = json!("video");
    let file = json!({
        "request": {"method": "GET", "url": "https://api.acme.ai/v1/file", "headers": {"authorization": "AWS4-HMAC-SHA256 ***bucket"}},
        "answer": {"headers": {"content-type": "video/mp4"}, "body_base64": "AAAAGGZ0eXBpc29tAAAAAGlzb21pc28y"},
    });
    case["exchanges"].as_array_mut().unwrap().push(file);
    case["expect"] = json!({"output": {"made": true}, "artifacts": {"video": [{}]}});
    let at = "/exchanges/1/request/headers/authorization";
    let differs = |auth: Option<&str>, case: &Value| {
        let found = replayed_with(&signed_file(auth), case);
        found.contains(&at.to_owned())
    };
    assert!(
        !differs(Some("bucket"), &case),
        "{:?}",
        replayed_with(&signed_file(Some("bucket")), &case)
    );
    assert!(differs(None, &case) && differs(Some("other"), &case));
    // A key of the run's own and one of another auth profile are told apart, too.
    case["exchanges"][1]["request"]["headers"]["authorization"] = json!("Bearer ***other");
    assert!(!differs(Some("other"), &case));
    assert!(differs(None, &case));
    case["exchanges"][1]["request"]["headers"]["authorization"] = json!("Bearer ***");
    assert!(!differs(None, &case) && differs(Some("other"), &case));
}
