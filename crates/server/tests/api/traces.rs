//! Traces: what a collector gets of calls and runs, and that runs want nothing of it.

use crate::collector::{Collector, Manner, text};
use crate::fixture::{Answer, BUNDLE, House, LIMIT, answer};
use crate::{id, video};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use runtime::Traces;
use serde_json::{Value, json};
use simulator::{Action, Operation, Rule, Scripted, Simulator};
use std::time::Duration;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn traced(collector: &Collector, bundle: &str) -> (House, Traces) {
    let traces = Traces::start(collector.settings.clone()).unwrap();
    let house = House::open_with(bundle, |options| options.traces = traces.clone()).await;
    (house, traces)
}

fn polls(provider: &Simulator) -> usize {
    let ledger = provider.ledger();
    let asks = ledger
        .iter()
        .filter(|entry| entry.operation == Operation::Retrieve);
    asks.count()
}

async fn ended(house: &House, made: &Answer) -> Value {
    let shown = house
        .get_with(made.header("location"), "prefer", "wait=30")
        .await;
    let run = shown.json();
    assert_ne!(run["ended_at"], Value::Null, "{run}");
    run
}

/// The spans of a run's trace that are called so.
fn called<'a>(spans: &'a [Span], run: &str, name: &str) -> Vec<&'a Span> {
    let trace = run.replace('-', "");
    let own = |span: &&Span| hex::encode(&span.trace_id) == trace && span.name == name;
    spans.iter().filter(own).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_of_a_run_lead_from_its_call_to_its_end() {
    let mut collector = Collector::start(Manner::Takes).await;
    let key = diag::Secret::from("collector-key".to_owned());
    collector.settings.headers = vec![("api-key".to_owned(), key)];
    let (house, traces) = traced(&collector, BUNDLE).await;

    let made = house
        .create(&video("a secret cat"), &[("traceparent", CALLER)])
        .await;
    let asked = house
        .provider
        .wait_until(LIMIT, |provider| polls(provider) >= 4);
    assert!(asked.await, "the job is not polled");
    house.finish().await;
    let run = ended(&house, &made).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    traces.end(LIMIT).await;

    let run = id(&made);
    let (service, spans) = collector.spans();
    assert_eq!(text(&service, "service.name"), "modelrow");
    assert_eq!(collector.headers()["api-key"], "collector-key");
    let post: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == "POST /v1/runs")
        .collect();
    let [post] = post.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(
        hex::encode(&post.trace_id),
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    assert_eq!(hex::encode(&post.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(post.kind, SpanKind::Server as i32);
    assert_eq!(text(&post.attributes, "http.response.status_code"), "202");

    // The run's trace has its id, and both know of each other.
    let whole = called(&spans, &run, "generate_content reel-1");
    let [whole] = whole.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(post.links[0].trace_id, whole.trace_id);
    assert_eq!(post.links[0].span_id, whole.span_id);
    let create = called(&spans, &run, "create run");
    assert_eq!(create[0].links[0].span_id, post.span_id);
    assert_eq!(whole.parent_span_id, Vec::<u8>::new());
    for (key, want) in [
        ("gen_ai.operation.name", "generate_content"),
        ("gen_ai.provider.name", "acme"),
        ("gen_ai.request.model", "reel-1"),
        ("gen_ai.output.type", "video"),
        ("modelrow.run.id", &run),
        ("modelrow.run.state", "succeeded"),
    ] {
        assert_eq!(text(&whole.attributes, key), want, "{key}");
    }

    has_its_parts(&spans, &run, whole);
    let told = called(&spans, &run, "poll").len();
    let polls = polls(&house.provider);
    assert!(
        (1..=3).contains(&told) && told < polls,
        "{told} spans of {polls} polls"
    );

    says_no_secret(&collector, &house.key);
}

/// Each below the whole, and within its time.
fn has_its_parts(spans: &[Span], run: &str, whole: &Span) {
    for (name, count) in [("create run", 1), ("submit", 1), ("download", 1)] {
        let found = called(spans, run, name);
        assert_eq!(found.len(), count, "{name}: {spans:?}");
        for span in found {
            assert_eq!(span.parent_span_id, whole.span_id, "{name}");
            assert_eq!(text(&span.attributes, "gen_ai.provider.name"), "acme");
            assert!(
                whole.start_time_unix_nano <= span.start_time_unix_nano,
                "{name}"
            );
        }
    }
    assert_eq!(
        text(
            &called(spans, run, "submit")[0].attributes,
            "modelrow.attempt"
        ),
        "1"
    );
}

/// What was asked, what came, and what proves who we are is nobody's.
fn says_no_secret(collector: &Collector, key: &str) {
    for body in collector.bodies() {
        let body = String::from_utf8_lossy(&body).into_owned();
        for hidden in ["secret cat", "sk-test", "720x1280", key, "/videos/"] {
            assert!(!body.contains(hidden), "{hidden}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_failed_says_so_in_a_word_and_what_was_used_is_counted() {
    let collector = Collector::start(Manner::Takes).await;
    let mut bundle: Value = serde_json::from_str(BUNDLE).unwrap();
    bundle["models"].as_array_mut().unwrap().push(json!({
        "model_id": "vec-1", "model_type": "embedding", "is_default": true, "capabilities": {}}));
    bundle["profiles"].as_array_mut().unwrap().push(json!({
        "profile_key": "acme_embedding_v1", "purpose": "embedding", "model": "vec-1", "auth_profile": "acme_key",
        "transport": {"path": "/embed", "headers": {"Authorization": "Bearer {{apiKey}}"}, "body": {"text": "{{userPrompt}}"}},
        "response_mapping": {"extract": {"usage": {"input_tokens": "used.in", "output_tokens": "used.out"}},
            "output": {"vector": 1, "usage": "{{json usage}}"}},
        "workflow": {}}));
    let (house, traces) = traced(&collector, &bundle.to_string()).await;
    let vector = Scripted::json(200, json!({"used": {"in": 3, "out": 5}}));
    let rule = Rule::on(Operation::Unknown, Action::Answer(vector)).nth(1);
    house.provider.script(vec![rule]);

    let call = json!({"purpose": "embedding", "prompt": "a cat"});
    let good = house.create(&call, &[("prefer", "wait=30")]).await.json();
    assert_eq!(good["status"], "succeeded", "{good}");
    let bad = house
        .create(&video("spongebob"), &[("prefer", "wait=30")])
        .await
        .json();
    assert_eq!(bad["status"], "failed", "{bad}");
    traces.end(LIMIT).await;

    let (_, spans) = collector.spans();
    let good = called(&spans, good["id"].as_str().unwrap(), "embeddings vec-1")[0];
    let used = ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"];
    assert_eq!(used.map(|key| text(&good.attributes, key)), ["3", "5"]);
    let bad = bad["id"].as_str().unwrap();
    let whole = called(&spans, bad, "generate_content reel-1")[0];
    assert_eq!(text(&whole.attributes, "error.type"), "moderated");
    assert_eq!(whole.status.as_ref().unwrap().message, "moderated");
    let failed = spans.iter().filter(|span| {
        hex::encode(&span.trace_id) == bad.replace('-', "")
            && text(&span.attributes, "error.type") == "moderated"
    });
    assert_eq!(
        failed.count(),
        2,
        "the exchange that said so, and the whole: {spans:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_delays_no_run_and_what_it_does_not_take_is_counted() {
    let mut collector = Collector::start(Manner::Hangs).await;
    collector.settings.timeout = Duration::from_secs(600);
    collector.settings.queue = 3;
    let (house, traces) = traced(&collector, BUNDLE).await;
    // Its only thread is held from here to the end of the test: nobody answers it.
    let first = house
        .create(&video("spongebob"), &[("prefer", "wait=30")])
        .await;
    assert_eq!(first.json()["status"], "failed", "{first:?}");
    collector.was_asked(1).await;
    for _ in 0..3 {
        let run = house
            .create(&video("spongebob"), &[("prefer", "wait=30")])
            .await;
        assert_eq!(run.json()["status"], "failed", "{run:?}");
    }
    let metrics = metrics(&house).await;
    let dropped = count(&metrics, "dropped");
    assert!(dropped > 0, "{metrics}");
    assert_eq!(
        collector.bodies().len(),
        1,
        "one request, and it is not answered"
    );
    // It is not waited for longer than is asked.
    let ended = tokio::time::timeout(LIMIT, traces.end(Duration::from_millis(100)));
    ended.await.expect("the end waits for the collector");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_a_collector_refuses_or_answers_with_rubbish_are_counted_and_cost_no_run_anything()
 {
    for manner in [Manner::Refuses, Manner::Babbles] {
        let collector = Collector::start(manner).await;
        let (house, traces) = traced(&collector, BUNDLE).await;
        let run = house
            .create(&video("spongebob"), &[("prefer", "wait=30")])
            .await;
        assert_eq!(run.json()["status"], "failed", "{run:?}");
        traces.end(LIMIT).await;
        let metrics = metrics(&house).await;
        assert!(count(&metrics, "failed") > 0, "{manner:?}: {metrics}");
        assert_eq!(count(&metrics, "sent"), 0, "{manner:?}: {metrics}");
    }
}

async fn metrics(house: &House) -> String {
    let ops = server::ops::router(house.modelrow.clone());
    String::from_utf8(answer(&ops, "/metrics", "").await.body).unwrap()
}

fn count(metrics: &str, outcome: &str) -> u64 {
    let line = format!("modelrow_spans_total{{outcome=\"{outcome}\"}} ");
    let found = metrics.lines().find_map(|text| text.strip_prefix(&line));
    found.map_or(0, |number| number.parse().unwrap())
}
