//! Whatever a provider answers: the run comes to an end, in time and memory in
//! proportion to the answer, and nothing panics. The answers go the way that live
//! ones go, from the bytes to the end of the run; what never ends and what floods
//! stands in `http/tests/bounds.rs`, over a real socket.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may stop at what it did not expect, and says where it was"
)]

#[path = "../../../tests/shared/hunt.rs"]
mod hunt;

use engine::replay::replay;
use hunt::Hunt;
use profile::call::Call;
use profile::case::{Case, CaseAnswer, CaseExchange, CaseExpect, CaseInput, CaseRequest};
use profile::catalogue::Compiled;
use serde_json::{Value, json};

fn hunt(kind: &str, tokens: &[&str], target: impl Fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let hunt = Hunt {
        corpus: corpus.join(kind),
        tokens,
        cases: 150,
    };
    hunt.run(target);
}

const HOST: &str = "https://api.acme.ai/v1";

/// A provider whose profiles read answers in every way that there is.
fn provider() -> Compiled {
    let profile = |key: &str, purpose: &str, mapping: Value, workflow: Value| {
        json!({ "profile_key": key, "purpose": purpose, "transport": { "path": "/jobs", "body": { "q": "{{userPrompt}}" } },
            "response_mapping": mapping, "workflow": workflow })
    };
    let poll = json!({ "name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2_000, "deadline_ms": 10_000, "max_job_life_ms": 20_000,
        "status_path": ["status", "$.job.status"], "progress_path": "progress", "poll_after_path": "wait",
        "states": { "running": ["running"], "succeeded": ["done", { "path": "output.url", "matches": "^https:" }], "failed": ["failed"] } });
    let list = json!({ "name": "poll", "path": "/jobs", "select": { "in": "$..items[*]", "where": { "path": "id", "equals": "{{job_id}}" } },
        "deadline_ms": 10_000, "max_job_life_ms": 20_000, "states": { "succeeded": ["done"], "failed": ["failed"] } });
    let file = json!({ "name": "download", "url_path": ["output.url", "data[].url", "$..url"], "accept": ["video/*", "text/plain"] });
    let whole = json!({ "name": "download", "path": "/jobs/{{job_id}}/file", "mode": "binary" });
    let job = |steps: Value| json!({ "type": "async_job", "job_id_path": ["id", "data.id", "@header:location"], "steps": steps });
    let captures = json!({ "extract": { "text_path": "$..text", "usage": { "tokens": { "sum": ["usage.in", "usage.out"] } }, "list": "data[]",
        "parsed": { "path": "text", "parse": "json" } } });
    let stream = |mode: &str| {
        json!({ "mode": mode, "extract": { "usage": { "tokens": "usage.tokens" } },
        "stream": { "delta_path": "$..delta", "when": { "not": { "path": "@event", "equals": "ping" } }, "done_when": { "path": "type", "equals": "end" } } })
    };
    let bundle = json!({
        "language": 1,
        "provider": { "slug": "acme", "api_base_url": HOST, "conventions": {
            "errors": { "moderated": ["policy"], "rate_limited": [{ "path": "error.message", "matches": "(?i)slow" }], "retry_after_path": "error.wait", "ok": [0, "ok"] },
            "retry": { "max": 1 } } },
        "models": [
            { "model_id": "v", "model_type": "video", "is_default": true, "capabilities": {} },
            { "model_id": "t", "model_type": "transcription", "is_default": true, "capabilities": {} },
            { "model_id": "c", "model_type": "chat", "is_default": true, "capabilities": {} },
            { "model_id": "a", "model_type": "audio", "is_default": true, "capabilities": {} },
        ],
        "profiles": [
            profile("polled", "video", json!({}), job(json!([poll, whole]))),
            profile("linked", "video", json!({}), job(json!([poll, file]))),
            profile("listed", "video", json!({}), job(json!([list, whole]))),
            profile("captured", "transcription", captures, json!({})),
            profile("sse", "chat", stream("sse"), json!({})),
            profile("lines", "chat", stream("ndjson"), json!({})),
            profile("plain", "transcription", json!({ "mode": "text" }), json!({})),
            profile("base64", "audio", json!({ "mode": "json_base64", "extract": { "base64_path": "$..audio" } }), json!({})),
            profile("hex", "audio", json!({ "mode": "json_hex", "extract": { "base64_path": "data.audio" } }), json!({})),
            profile("binary", "audio", json!({ "mode": "binary" }), json!({})),
            profile("parts", "audio", json!({}), json!({ "steps": [{ "name": "download", "mode": "multipart", "value_path": "audio" }] })),
        ],
    });
    let (_, compiled) = profile::bundle::check("acme", &bundle.to_string());
    let refused = compiled
        .revisions
        .iter()
        .filter(|entry| entry.revision.is_err());
    assert_eq!(refused.count(), 0, "{}", compiled.diagnostics);
    compiled
}

/// What a run of one profile is answered, in turn; the last answer for as long as it asks.
struct Answers<'a> {
    profile: (&'a str, &'a str),
    answers: Vec<(&'a str, CaseAnswer)>,
}

impl Answers<'_> {
    /// Plays the run to its end. Differences in what it sends are no matter here.
    fn play(self, compiled: &Compiled) {
        let (profile_key, purpose) = self.profile;
        let exchange = |(to, answer): (&str, CaseAnswer)| {
            let (method, path) = to.split_once(' ').unwrap();
            let body = (method == "POST").then(|| json!({ "q": "a cat" }));
            CaseExchange {
                request: CaseRequest {
                    method: method.to_owned(),
                    url: format!("{HOST}{path}"),
                    headers: Vec::new(),
                    body,
                    body_base64: None,
                    multipart: None,
                },
                answer: Some(answer),
            }
        };
        let case = Case {
            at_ms: 1_780_000_000_000,
            input: CaseInput {
                purpose: purpose.to_owned(),
                model: None,
                provider: None,
                profile_key: Some(profile_key.to_owned()),
                call: Call {
                    prompt: Some("a cat".to_owned()),
                    ..Call::default()
                },
            },
            batched_with: Vec::new(),
            callback_url: None,
            exchanges: self.answers.into_iter().map(exchange).collect(),
            expect: CaseExpect::default(),
        };
        for difference in replay(&case, compiled).differences {
            let said = difference.to_string();
            assert!(
                !said.contains("does not come to an end"),
                "{profile_key}: {said}"
            );
        }
    }
}

fn answer(status: u16, headers: &[(String, String)], body: &[u8]) -> CaseAnswer {
    CaseAnswer {
        status,
        headers: headers.to_vec(),
        body: body.to_vec(),
    }
}

/// Status and headers of the first lines, `200` and `name: value`, up to an empty one; the rest is the body.
fn read(bytes: &[u8]) -> CaseAnswer {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((&b""[..], bytes), |end| (&bytes[..end], &bytes[end + 2..]));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.trim().parse().ok());
    let status = status
        .filter(|status| (100..600).contains(status))
        .unwrap_or(200);
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<_> = lines.filter_map(header).collect();
    answer(status, &headers, body)
}

const ANSWER: &[&str] = &[
    "200",
    "202",
    "401",
    "404",
    "429",
    "500",
    "\n",
    "\n\n",
    "content-type: ",
    "application/json",
    "text/plain",
    "video/mp4",
    "location: ",
    "retry-after: ",
    "retry-after: 1e400\n",
    "retry-after: -1\n",
    "retry-after: Fri, 31 Dec 9999 23:59:59 GMT\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\"id\"",
    "\"status\"",
    "\"done\"",
    "\"failed\"",
    "\"url\"",
    "\"https://api.acme.ai/v1/x\"",
    "\"data:video/mp4;base64,AAAA\"",
    "\"http://127.0.0.1/\"",
    "\"progress\"",
    "\"wait\"",
    "1e999",
    "-1",
    "null",
    "true",
    "\"34.4s\"",
    "\"error\"",
    "\"message\"",
    "\"code\"",
    "\"policy\"",
    "\"audio\"",
    "\"text\"",
    "\"usage\"",
    "\"in\"",
];

#[test]
fn no_answer_keeps_a_run_from_its_end() {
    let compiled = provider();
    let whole = |body: &'static str| answer(200, &[], body.as_bytes());
    hunt("answers", ANSWER, |bytes| {
        let got = || read(bytes);
        for key in ["polled", "linked", "listed"] {
            let profile = (key, "video");
            let (ask, done) = if key == "listed" {
                ("GET /jobs", r#"{"items": [{"id": "j", "status": "done"}]}"#)
            } else {
                (
                    "GET /jobs/j",
                    r#"{"status": "done", "output": {"url": "https://api.acme.ai/v1/jobs/j/file"}}"#,
                )
            };
            let job = || ("POST /jobs", whole(r#"{"id": "j"}"#));
            let polled = std::iter::repeat_with(|| (ask, got())).take(12);
            for answers in [
                vec![("POST /jobs", got())],
                std::iter::once(job()).chain(polled).collect(),
                vec![job(), (ask, whole(done)), ("GET /jobs/j/file", got())],
            ] {
                Answers { profile, answers }.play(&compiled);
            }
        }
        for (key, purpose) in [
            ("captured", "transcription"),
            ("plain", "transcription"),
            ("base64", "audio"),
            ("hex", "audio"),
            ("binary", "audio"),
        ] {
            let answers = vec![("POST /jobs", got())];
            Answers {
                profile: (key, purpose),
                answers,
            }
            .play(&compiled);
        }
    });
}

#[test]
fn no_stream_keeps_a_run_from_its_end() {
    let compiled = provider();
    let tokens = [
        "data: ",
        "event: ",
        "id: ",
        "retry: ",
        ": ",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "{\"delta\": \"x\"}",
        "{\"type\": \"end\"}",
        "{\"usage\": {\"tokens\": 7}}",
        "[DONE]",
        "ping",
        "\u{feff}",
        "\u{2028}",
        "{\"error\": {\"code\": \"policy\"}}",
        "{\"delta\": {\"delta\": null}}",
        "null",
        "\"",
        "\\ud83d",
    ];
    let events = [(
        "content-type".to_owned(),
        "text/event-stream; charset=latin-1".to_owned(),
    )];
    let lines = [("content-type".to_owned(), "application/x-ndjson".to_owned())];
    hunt("streams", &tokens, |bytes| {
        for (key, headers) in [("sse", &events), ("lines", &lines)] {
            let answers = vec![("POST /jobs", answer(200, headers, bytes))];
            Answers {
                profile: (key, "chat"),
                answers,
            }
            .play(&compiled);
        }
    });
}

#[test]
fn no_parts_keep_a_run_from_its_end() {
    let compiled = provider();
    let tokens = [
        "--b",
        "--b--",
        "\r\n",
        "\r\n\r\n",
        "Content-Disposition: form-data; name=\"audio\"",
        "; filename=\"a\"",
        "; filename*=utf-8''%ff",
        "Content-Type: audio/mpeg",
        "Content-Type: multipart/mixed; boundary=b",
        "Content-Transfer-Encoding: base64",
        "name=audio",
        "\"",
        "\\\"",
        "ID3",
        "\n",
        ":",
        " ",
        "Content-Length: 99999999999",
    ];
    let types = [
        "multipart/mixed; boundary=b",
        "multipart/form-data; boundary=\"b\"",
        "multipart/mixed; boundary=",
    ];
    hunt("parts", &tokens, |bytes| {
        for kind in types {
            let headers = [("content-type".to_owned(), kind.to_owned())];
            let answers = vec![("POST /jobs", answer(200, &headers, bytes))];
            Answers {
                profile: ("parts", "audio"),
                answers,
            }
            .play(&compiled);
        }
    });
}
