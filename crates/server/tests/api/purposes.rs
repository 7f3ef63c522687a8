//! The OpenAI-compatible face in front of profiles of other purposes than video, call by call.

use crate::fixture::{Answer, House, LIMIT, apply};
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use runtime::{RunFilter, RunView, Status};
use serde_json::{Value, json};
use simulator::{Action, Operation, Rule, Scripted};
use std::time::Duration;
use store::DEFAULT_TENANT;
use tokio::time::timeout;

pub(crate) const VOICES: &str = include_str!("../../src/openai/testing.json");

/// A house whose provider answers so, the first time and every time after.
async fn open(answer: Scripted) -> House {
    let house = House::open().await;
    apply(&house.modelrow, &house.provider, VOICES).await;
    let rule = Rule::on(Operation::Unknown, Action::Answer(answer));
    house.provider.script(vec![rule.always()]);
    house
}

pub(crate) fn said(text: &str) -> Scripted {
    let usage = json!({"in": 2, "out": 3});
    Scripted::json(
        200,
        json!({"text": text, "finish_reason": "stop", "usage": usage}),
    )
}

/// A stream of these words; `whole`: with the event that ends it.
pub(crate) fn words(words: &[&str], whole: bool) -> Scripted {
    let mut events: Vec<Value> = words.iter().map(|word| json!({"delta": word})).collect();
    if whole {
        events.push(json!({"done": true, "finish_reason": "length", "usage": {"in": 2, "out": 3}}));
    }
    let text: Vec<String> = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    Scripted::text(200, "text/event-stream", &text.concat())
}

fn chat(content: &str) -> Value {
    json!({"model": "talk-1", "messages": [{"role": "user", "content": content}]})
}

fn request(path: &str, body: &Value, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request =
        Request::post(format!("/openai/v1{path}")).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_string())).unwrap()
}

async fn post(house: &House, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
    house.call(request(path, body, headers)).await
}

/// The answer as it comes.
async fn stream(house: &House, path: &str, body: &Value, headers: &[(&str, &str)]) -> Response {
    house.answer(request(path, body, headers)).await
}

async fn runs(house: &House) -> Vec<runtime::RunSummary> {
    let all = RunFilter::default();
    house
        .modelrow
        .runs(DEFAULT_TENANT, &all)
        .await
        .unwrap()
        .runs
}

/// The only run, once it has ended.
async fn ended(house: &House) -> RunView {
    let run = runs(house).await[0].id;
    let view = house
        .modelrow
        .wait(DEFAULT_TENANT, run, LIMIT)
        .await
        .unwrap();
    assert!(view.ended(), "{view:?}");
    view
}

/// Bodies that the provider was sent.
fn sent(house: &House) -> Vec<Value> {
    let all = house.provider.ledger().into_iter();
    all.map(|entry| serde_json::to_value(&entry.body).unwrap())
        .collect()
}

/// The events of a whole stream: name and data.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(&answer.body).unwrap();
    let field = |block: &str, name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    };
    let blocks = text.split("\n\n").filter_map(|block| {
        let data = field(block, "data")?;
        let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
        Some((field(block, "event").unwrap_or_default(), data))
    });
    blocks.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_answered_and_is_a_run_like_any_other() {
    let house = open(said("Hello.")).await;
    let mut call = chat("Hi");
    call["metadata"] = json!({"order": "7"});
    call["max_completion_tokens"] = json!(9);
    let answer = post(&house, "/chat/completions", &call, &[]).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    let completion = answer.json();
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello.");
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");
    assert_eq!(completion["usage"]["total_tokens"], 5);
    let run = ended(&house).await;
    assert_eq!(completion["id"], format!("chatcmpl-{}", run.id));
    assert_eq!(answer.header("x-run-id"), run.id.to_string());
    assert_eq!(
        (run.purpose.as_str(), &run.metadata["order"]),
        ("chat", &json!("7"))
    );
    assert_eq!(
        sent(&house)[0]["json"]["max_tokens"],
        9,
        "{:?}",
        sent(&house)
    );
    let shown = house.get(&format!("/v1/runs/{}", run.id)).await;
    assert_eq!(shown.json()["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_wrong_with_a_call_is_said_and_nothing_is_sent() {
    let house = open(said("Hello.")).await;
    let mut call = chat("Hi");
    (call["n"], call["seed"], call["temperature"]) = (json!(2), json!(7), json!(9));
    let refused = post(&house, "/chat/completions", &call, &[]).await;
    assert_eq!(refused.error(), (400, "unknown_parameter".to_owned()));
    let error = refused.json()["error"].clone();
    assert_eq!(
        (&error["param"], &error["type"]),
        (&json!("n"), &json!("invalid_request_error"))
    );
    assert!(
        error["message"].as_str().unwrap().contains("seed"),
        "{error}"
    );
    call = chat("Hi");
    call["temperature"] = json!(9);
    let refused = post(&house, "/chat/completions", &call, &[]).await;
    assert_eq!(refused.json()["error"]["param"], "temperature");
    let mut call = chat("Hi");
    call["model"] = json!("talk-9");
    let refused = post(&house, "/chat/completions", &call, &[]).await;
    assert_eq!(refused.error(), (404, "model_not_found".to_owned()));
    let stops =
        json!({"model": "talk-1", "messages": [{"role": "user", "content": "Hi"}], "stop": [1]});
    let refused = post(&house, "/chat/completions", &stops, &[]).await;
    assert_eq!(refused.json()["error"]["param"], "stop.0", "{refused:?}");
    assert!(runs(&house).await.is_empty() && sent(&house).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_failed_is_an_error_that_clients_do_not_repeat() {
    let house = open(Scripted::json(
        400,
        json!({"error": {"code": "bad", "message": "no such mood"}}),
    ))
    .await;
    let failed = post(&house, "/chat/completions", &chat("Hi"), &[]).await;
    assert_eq!(failed.error(), (400, "invalid_request".to_owned()));
    assert!(
        failed.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no such mood"),
        "{failed:?}"
    );
    let house = open(Scripted::json(
        401,
        json!({"error": {"code": "key", "message": "wrong key"}}),
    ))
    .await;
    let failed = post(
        &house,
        "/embeddings",
        &json!({"model": "embed-1", "input": "a"}),
        &[],
    )
    .await;
    assert_eq!(
        failed.error(),
        (502, "provider_authentication".to_owned()),
        "our key is not the caller's"
    );
    assert_eq!(failed.header("x-should-retry"), "false");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_late_names_its_run_and_a_repetition_waits_for_the_same_one() {
    let house = open(said("Hello.")).await;
    let slow = Rule::on(Operation::Unknown, Action::DelayAnswer { ms: 4_000 });
    house.provider.script(vec![slow]);
    let first = [("x-stainless-retry-count", "0"), ("prefer", "wait=1")];
    let late = post(&house, "/chat/completions", &chat("Hi"), &first).await;
    assert_eq!(late.error(), (504, "timeout".to_owned()));
    let run = runs(&house).await[0].id.to_string();
    assert!(
        late.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains(&run),
        "{late:?}"
    );
    assert_eq!(late.header("x-should-retry"), "", "a client may wait on");
    let again = post(
        &house,
        "/chat/completions",
        &chat("Hi"),
        &[("x-stainless-retry-count", "1")],
    )
    .await;
    assert_eq!(
        again.json()["choices"][0]["message"]["content"],
        "Hello.",
        "{again:?}"
    );
    assert_eq!(again.header("x-run-id"), run);
    assert_eq!(
        (runs(&house).await.len(), sent(&house).len()),
        (1, 1),
        "nothing was made or sent twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_the_deltas_as_they_come_the_reason_the_usage_and_its_end() {
    let house = open(words(&["The ", "cat ", "plays."], true)).await;
    house.provider.script(vec![
        Rule::on(Operation::Unknown, Action::Drip { bytes: 20, ms: 50 }).always(),
    ]);
    let mut call = chat("Hi");
    call["stream"] = json!(true);
    call["stream_options"] = json!({"include_usage": true});
    let answer = post(&house, "/chat/completions", &call, &[]).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let events = events(&answer);
    let text: String = events
        .iter()
        .filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "The cat plays.");
    let told = events.iter().filter(|(_, data)| {
        data["choices"][0]["delta"]["content"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    });
    assert!(told.count() >= 2, "as they come: {events:?}");
    let (last, rest) = events.split_last().unwrap();
    assert_eq!(last.1, "[DONE]");
    let usage = &rest.last().unwrap().1;
    assert_eq!(
        (&usage["choices"], &usage["usage"]["total_tokens"]),
        (&json!([]), &json!(5))
    );
    assert_eq!(
        rest[rest.len() - 2].1["choices"][0]["finish_reason"],
        "length"
    );
    let run = ended(&house).await;
    assert_eq!(
        (run.status, run.profile_key.as_deref()),
        (Status::Succeeded, Some("acme_chat_stream_v1")),
        "live"
    );
    assert_eq!(answer.header("x-run-id"), run.id.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_without_live_deltas_gives_one_delta() {
    let house = open(Scripted::json(200, json!({"text": "Hello."}))).await;
    let call = json!({"model": "answer-1", "messages": [{"role": "user", "content": "Hi"}], "stream": true});
    let chunks = events(&post(&house, "/chat/completions", &call, &[]).await);
    let said = chunks
        .iter()
        .filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str());
    assert_eq!(said.collect::<Vec<_>>(), ["", "Hello."]);
    let call = json!({"model": "answer-1", "input": "Hi", "stream": true});
    let told = events(&post(&house, "/responses", &call, &[]).await);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let want = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
        "",
    ];
    assert_eq!(names, want);
    assert_eq!(
        told[8].1["response"]["output"][0]["content"][0]["text"],
        "Hello."
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_before_the_first_word_has_its_status_and_a_fault_in_mid_stream_is_an_error_event()
 {
    let house = open(Scripted::json(
        401,
        json!({"error": {"code": "key", "message": "wrong key"}}),
    ))
    .await;
    let mut call = chat("Hi");
    call["stream"] = json!(true);
    let refused = post(&house, "/chat/completions", &call, &[]).await;
    assert_eq!(refused.error().0, 502, "{refused:?}");
    assert_eq!(refused.header("x-should-retry"), "false");

    let house = open(words(&["The ", "cat "], false)).await;
    // What breaks off before a word of it was told is an error like any other.
    house.provider.script(vec![
        Rule::on(Operation::Unknown, Action::Drip { bytes: 10, ms: 300 }).always(),
    ]);
    let answer = post(&house, "/chat/completions", &call, &[]).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    let told = events(&answer);
    let (name, fault) = &told[told.len() - 2];
    assert_eq!(
        (name.as_str(), &fault["error"]["code"]),
        ("error", &json!("unknown_outcome")),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap().1, "[DONE]");
    assert_eq!(ended(&house).await.status, Status::Failed);
    let call = json!({"model": "talk-1", "input": "Hi again", "stream": true});
    let told = events(&post(&house, "/responses", &call, &[]).await);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names[names.len() - 3..],
        ["response.failed", "error", ""],
        "{told:?}"
    );
}

/// Leaves a stream once it has begun.
async fn leave(response: Response) {
    assert_eq!(response.status().as_u16(), 200);
    let mut body = response.into_body().into_data_stream();
    timeout(LIMIT, body.next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_a_stream_cancels_its_run_and_one_that_leaves_another_call_does_not() {
    let house = open(words(&["The ", "cat ", "plays ", "the ", "piano."], true)).await;
    house.provider.script(vec![
        Rule::on(
            Operation::Unknown,
            Action::Drip {
                bytes: 10,
                ms: 1_500,
            },
        )
        .times(1),
    ]);
    let mut call = chat("Hi");
    call["stream"] = json!(true);
    leave(stream(&house, "/chat/completions", &call, &[]).await).await;
    let run = ended(&house).await;
    assert_eq!(
        (run.status, run.spent.as_str()),
        (Status::Canceled, "maybe"),
        "{run:#?}"
    );
    let heard_to_the_end = run.ended_at.unwrap() - run.created_at > Duration::from_secs(15);
    assert!(!heard_to_the_end, "the provider's stream takes 20 s");

    let house = open(said("Hello.")).await;
    house.provider.script(vec![Rule::on(
        Operation::Unknown,
        Action::DelayAnswer { ms: 4_000 },
    )]);
    let left = timeout(
        Duration::from_secs(1),
        post(&house, "/chat/completions", &chat("Hi"), &[]),
    )
    .await;
    assert!(left.is_err(), "the answer was there before the client left");
    let run = ended(&house).await;
    assert_eq!(
        (run.status, run.cancel_requested),
        (Status::Succeeded, false)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_back_at_once_hears_the_same_run_from_its_beginning() {
    let house = open(words(&["The ", "cat ", "plays ", "the ", "piano."], true)).await;
    house.provider.script(vec![
        Rule::on(Operation::Unknown, Action::Drip { bytes: 20, ms: 500 }).always(),
    ]);
    let mut call = chat("Hi");
    call["stream"] = json!(true);
    leave(
        stream(
            &house,
            "/chat/completions",
            &call,
            &[("x-stainless-retry-count", "0")],
        )
        .await,
    )
    .await;
    let again = post(
        &house,
        "/chat/completions",
        &call,
        &[("x-stainless-retry-count", "1")],
    )
    .await;
    let text: String = events(&again)
        .iter()
        .filter_map(|(_, data)| {
            data["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(text, "The cat plays the piano.");
    let run = ended(&house).await;
    assert_eq!(
        (run.status, run.cancel_requested),
        (Status::Succeeded, false)
    );
    assert_eq!((runs(&house).await.len(), sent(&house).len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_given_as_base64_or_as_links_and_asked_for_by_the_profiles_names() {
    let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n0123456789");
    let house = open(Scripted::json(
        200,
        json!({"images": [{"b64": png}, {"b64": png}]}),
    ))
    .await;
    let call =
        json!({"model": "paint-1", "prompt": "a cat", "n": 2, "size": "512x512", "user": "u-1"});
    let answer = post(&house, "/images/generations", &call, &[]).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    assert_eq!(
        answer.json()["data"],
        json!([{"b64_json": png}, {"b64_json": png}])
    );
    assert_eq!(answer.json()["output_format"], "png");
    assert_eq!(ended(&house).await.metadata["user"], "u-1");
    let call = json!({"model": "paint-1", "prompt": "a cat", "response_format": "url"});
    let answer = post(
        &house,
        "/images/generations",
        &call,
        &[("host", "h.example")],
    )
    .await;
    let url = answer.json()["data"][0]["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://h.example").unwrap();
    let file = house
        .call_as_it_is(Request::get(path).body(Body::empty()).unwrap())
        .await;
    assert_eq!(
        (file.status.as_u16(), STANDARD.encode(&file.body)),
        (200, png.clone()),
        "without a key"
    );
    let refused = post(
        &house,
        "/images/generations",
        &json!({"model": "paint-1", "prompt": "a", "n": 9}),
        &[],
    )
    .await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["param"]),
        (400, &json!("n")),
        "by the API's name"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_is_the_file_with_its_type() {
    let mp3 = "ID3 and then some";
    let house = open(Scripted::text(200, "audio/mpeg", mp3)).await;
    let call =
        json!({"model": "say-1", "input": "Hello", "voice": "ann", "response_format": "mp3"});
    let answer = post(&house, "/audio/speech", &call, &[("range", "bytes=0-1")]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "audio/mpeg"),
        "{answer:?}"
    );
    assert_eq!(answer.body, mp3.as_bytes());
    let refused = post(
        &house,
        "/audio/speech",
        &json!({"model": "say-1", "input": "Hello"}),
        &[],
    )
    .await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["param"]),
        (400, &json!("voice")),
        "{refused:?}"
    );
}

/// A form with an audio file and these fields.
fn form(fields: &[(&str, &str)]) -> Request<Body> {
    let mut text = String::new();
    for (name, value) in fields {
        text +=
            &format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    text += "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\nRIFF....WAVEfmt \r\n--b--\r\n";
    let request = Request::post("/openai/v1/audio/transcriptions");
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    request.body(Body::from(text)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_is_transcribed_into_the_form_that_was_asked_for() {
    let segments = json!([{"start": 0, "end": 1.5, "text": "Hello."}]);
    let house = open(Scripted::json(
        200,
        json!({"text": "Hello.", "language": "en", "duration": 1.5, "segments": segments}),
    ))
    .await;
    let json = house
        .call(form(&[("model", "listen-1"), ("temperature", "0.2")]))
        .await;
    assert_eq!(json.json()["text"], "Hello.", "{json:?}");
    let text = house
        .call(form(&[("model", "listen-1"), ("response_format", "text")]))
        .await;
    assert_eq!(
        (text.header("content-type"), text.body.as_slice()),
        ("text/plain; charset=utf-8", &b"Hello.\n"[..])
    );
    let srt = house
        .call(form(&[("model", "listen-1"), ("response_format", "srt")]))
        .await;
    assert_eq!(srt.body, b"1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n");
    let verbose = house
        .call(form(&[
            ("model", "listen-1"),
            ("response_format", "verbose_json"),
        ]))
        .await;
    assert_eq!(
        (&verbose.json()["segments"], &verbose.json()["language"]),
        (&segments, &json!("en"))
    );
    let refused = house
        .call(form(&[("model", "listen-1"), ("temperature", "9")]))
        .await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["param"]),
        (400, &json!("temperature")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_embedded_as_numbers_or_as_base64() {
    let house = open(Scripted::json(
        200,
        json!({"data": [[0.5, -2], [1, 0.25]], "usage": {"in": 4}}),
    ))
    .await;
    let call = json!({"model": "embed-1", "input": ["a", "b"]});
    let float = post(&house, "/embeddings", &call, &[]).await;
    assert_eq!(
        float.json()["data"][1]["embedding"],
        json!([1, 0.25]),
        "{float:?}"
    );
    assert_eq!(float.json()["usage"]["prompt_tokens"], 4);
    let call = json!({"model": "embed-1", "input": ["a", "b"], "encoding_format": "base64"});
    let base64 = post(&house, "/embeddings", &call, &[]).await.json();
    let bytes = STANDARD
        .decode(base64["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        bytes,
        [0.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_behind_the_commit_makes_no_second_run() {
    let house = open(said("Hello.")).await;
    for path in ["/chat/completions", "/responses"] {
        let call = json!({"model": "talk-1", "messages": [{"role": "user", "content": path}]});
        let call = if path == "/responses" {
            json!({"model": "talk-1", "input": path})
        } else {
            call
        };
        // The answer to the first is lost; the client sends it again by itself.
        post(&house, path, &call, &[("x-stainless-retry-count", "0")]).await;
        let again = post(&house, path, &call, &[("x-stainless-retry-count", "1")]).await;
        assert_eq!(again.status.as_u16(), 200, "{again:?}");
    }
    assert_eq!((runs(&house).await.len(), sent(&house).len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_profile_that_gives_up_its_record_is_answered_and_leaves_none() {
    let house = open(Scripted::json(200, json!({"data": [[0.5, -2]]}))).await;
    let bundle = VOICES.replace(
        "\"path\": \"/embeddings\"",
        "\"durable\": false, \"path\": \"/embeddings\"",
    );
    apply(&house.modelrow, &house.provider, &bundle).await;
    let call = json!({"model": "embed-1", "input": "a"});
    let answer = post(&house, "/embeddings", &call, &[]).await;
    assert_eq!(
        answer.json()["data"][0]["embedding"],
        json!([0.5, -2]),
        "{answer:?}"
    );
    assert_eq!(answer.header("x-run-id"), "", "nobody can look it up");
    assert_eq!((runs(&house).await.len(), sent(&house).len()), (0, 1));
    let refused = post(
        &house,
        "/embeddings",
        &json!({"model": "embed-1", "input": "a", "dimensions": 99}),
        &[],
    )
    .await;
    assert_eq!(refused.json()["error"]["param"], "dimensions");
}
