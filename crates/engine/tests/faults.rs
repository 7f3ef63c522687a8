//! How a run ends, and under which code: each one a case, replayed against rows
//! that are compiled as they are when they are saved.

#![expect(clippy::panic, reason = "a test may stop at what it did not expect")]

use diag::Code;
use engine::replay::replay;
use profile::case::Case;
use profile::lang::merge;
use serde_json::{Value, json};

/// A job that is polled and then downloaded; `patch` is laid over its profile.
fn bundle(patch: &Value) -> String {
    let mut profile = json!({
        "profile_key": "acme_video_v1", "purpose": "video", "auth_profile": "acme_key",
        "transport": {"path": "/jobs", "body": {"prompt": "{{userPrompt}}"}},
        "response_mapping": {"extract": {"job_id_path": "id", "link": "link"}},
        "workflow": {"type": "async_job", "steps": [
            {"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "deadline_ms": 10000, "max_job_life_ms": 20000,
             "states": {"running": ["running"], "succeeded": ["done"], "failed": ["failed"], "moderated": ["blocked"],
                        "expired": ["expired"], "canceled": ["canceled"]}},
            {"name": "download", "path": "/jobs/{{job_id}}/file", "mode": "binary", "content_type": "video/mp4"}
        ]}
    });
    merge(&mut profile, patch);
    json!({
        "language": 1,
        "provider": {"slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1", "conventions": {
            "headers": {"Authorization": "Bearer {{apiKey}}"},
            "errors": {"moderated": ["policy"], "billing": ["quota"], "overloaded": ["busy"], "transient": ["hiccup"]},
            "retry": {"max": 0, "backoff_ms": 1000}
        }},
        "auth_profiles": [{"profile_key": "acme_key", "auth_type": "api_key", "secret": "env:ACME_API_KEY"}],
        "response_schemas": [{"name": "strict", "strict": true, "schema": {"type": "object", "required": ["title"]}}],
        "models": [{"model_id": "a-1", "model_type": "video", "is_default": true, "response_schema": "strict", "capabilities": {}}],
        "profiles": [profile]
    })
    .to_string()
}

/// Replays the exchanges and gives what differs from that failure.
fn differences(patch: &Value, exchanges: &[Value], code: Code, class: &str) -> Vec<String> {
    let (read, compiled) = profile::bundle::check("acme", &bundle(patch));
    assert!(!read.diagnostics.has_errors(), "{}", read.diagnostics);
    let case = json!({
        "input": {"purpose": "video", "prompt": "a cat"},
        "exchanges": exchanges,
        "expect": {"error": {"code": code, "class": class}}
    });
    let case = Case::parse("case", &case.to_string()).unwrap_or_else(|found| panic!("{found}"));
    let found = replay(&case, &compiled).differences;
    found.iter().map(ToString::to_string).collect()
}

/// Fetches of a job that lives for 20 s, at the pace of the backoff.
const TRIES: usize = 6;

fn get(path: &str, answer: &Value) -> Value {
    let url = format!("https://api.acme.ai/v1{path}");
    json!({"request": {"method": "GET", "url": url}, "answer": answer})
}

fn submit(answer: &Value) -> Value {
    json!({"request": {"method": "POST", "url": "https://api.acme.ai/v1/jobs", "body": {"prompt": "a cat"}}, "answer": answer})
}

fn accepted() -> Value {
    submit(&json!({"body": {"id": "j"}}))
}

fn poll(answer: &Value) -> Value {
    get("/jobs/j", answer)
}

fn done() -> Value {
    poll(&json!({"body": {"status": "done"}}))
}

fn file(content_type: &str, body: &Value) -> Value {
    let answer = json!({"headers": {"Content-Type": content_type}, "body_base64": body});
    get("/jobs/j/file", &answer)
}

fn check(cases: Vec<(&str, Value, Vec<Value>, Code, &str)>) {
    let mut wrong = Vec::new();
    for (why, patch, exchanges, code, class) in cases {
        let found = differences(&patch, &exchanges, code, class);
        wrong.extend(found.iter().map(|one| format!("{why}, {code}: {one}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[rustfmt::skip]
fn a_refused_submit_ends_under_the_code_of_its_class() {
    let status = |status: u16| vec![submit(&json!({"status": status}))];
    let none = || json!({});
    check(vec![
        ("for legal reasons",   none(), status(451), Code::R102, "moderated"),
        ("no credit",           none(), status(402), Code::R103, "billing"),
        ("wrong key",           none(), status(401), Code::R104, "authentication"),
        ("wrong request",       none(), status(422), Code::R105, "invalid_request"),
        ("no such model",       none(), status(404), Code::R107, "not_found"),
        ("a server error",      none(), status(500), Code::R111, "unknown_outcome"),
        ("moved",               none(), status(302), Code::R112, "provider_error"),
        ("too often failed",    json!({"response_mapping": {"errors": {"transient": [{"path": "@status", "equals": 503}]}}}),
            status(503), Code::R110, "transient"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_job_that_fails_ends_under_the_code_of_its_state() {
    let ends = |status: &str| vec![accepted(), poll(&json!({"body": {"status": status}}))];
    let silent = || poll(&json!({"body": {}}));
    let none = || json!({});
    check(vec![
        ("moderated",           none(), ends("blocked"),  Code::R102, "moderated"),
        ("expired",             none(), ends("expired"),  Code::R106, "expired"),
        ("failed",              none(), ends("failed"),   Code::R112, "provider_error"),
        ("canceled",            none(), ends("canceled"), Code::R126, "provider_error"),
        ("past its life",       json!({"workflow": {"steps": [
            {"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "deadline_ms": 4000, "max_job_life_ms": 4000,
             "states": {"running": ["running"], "succeeded": ["done"], "failed": ["failed"]}}]}}),
            vec![accepted(), silent(), silent()], Code::R119, "deadline_exceeded"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_file_that_is_none_ends_under_its_code() {
    let page = json!("eyJlcnJvciI6IHsibWVzc2FnZSI6ICJubyJ9fQ==");
    let fetched = |content_type: &str, body: &Value| vec![accepted(), done(), file(content_type, body)];
    let by_address = json!({"workflow": {"steps": [
        {"name": "poll", "path": "/jobs/{{job_id}}", "states": {"succeeded": ["done"], "failed": ["failed"]}},
        {"name": "download", "url_path": "url", "mode": "binary"}]}});
    let none = || json!({});
    check(vec![
        ("a JSON error page",   none(), fetched("application/json", &page),   Code::R116, "provider_error"),
        ("one in disguise",     none(), fetched("video/mp4", &page),          Code::R116, "provider_error"),
        ("an empty video",      none(), fetched("video/mp4", &json!("")),     Code::R117, "provider_error"),
        ("no address",          by_address.clone(), vec![accepted(), done()], Code::R125, "provider_error"),
        ("a private address",   by_address, vec![accepted(), poll(&json!({"body": {"status": "done", "url": "https://127.0.0.1/f"}}))],
            Code::R118, "egress_refused"),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_answer_that_cannot_be_used_ends_under_its_code() {
    let direct = |output: Value| json!({"workflow": {"type": null, "steps": null}, "response_mapping":
        {"result_type": "raw_json", "mode": "json", "extract": {"job_id_path": null}, "output": output}});
    let direct_stream = json!({"workflow": {"type": null, "steps": null}, "response_mapping": {"result_type": "raw_json",
        "mode": "sse", "stream": {"delta_path": "d", "done_when": {"present": "end"}}, "extract": {"job_id_path": null}}});
    let confirm = json!({"workflow": {"steps": [
        {"name": "poll", "path": "/jobs/{{job_id}}", "states": {"succeeded": ["done"], "failed": ["failed"]}},
        {"name": "read", "action": "request", "method": "GET", "path": "/more/{{steps.submit.link}}"}]}});
    check(vec![
        ("no JSON",             direct(json!({"title": "x"})), vec![submit(&json!({"body": "<html>"}))], Code::R115, "provider_error"),
        ("no stream",           direct_stream, vec![submit(&json!({"body": {"a": 1}}))], Code::R130, "provider_error"),
        ("against the schema",  direct(json!({"title": "{{steps.submit.link}}"})), vec![submit(&json!({"body": {"a": 1}}))], Code::R113, "output_invalid"),
        ("nothing captured",    confirm, vec![accepted(), done()], Code::R101, "missing_value"),
    ]);
}

#[test]
fn a_file_that_is_withheld_for_the_life_of_its_job_ends_under_the_last_refusal() {
    let withheld = |status: u16| get("/jobs/j/file", &json!({"status": status}));
    let busy = json!({"response_mapping": {"errors": {"overloaded": [{"path": "@status", "equals": 503}]}}});
    let mut cases = Vec::new();
    for (why, patch, status, code, class) in [
        ("slow down", json!({}), 429, Code::R108, "rate_limited"),
        ("no room", busy, 503, Code::R109, "overloaded"),
    ] {
        let mut exchanges = vec![accepted(), done()];
        exchanges.extend((0..TRIES).map(|_| withheld(status)));
        cases.push((why, patch, exchanges, code, class));
    }
    check(cases);
}
