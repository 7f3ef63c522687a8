//! Streams of events: heard live, assembled, stored once, and never asked for twice.

use crate::house::{House, LIMIT, ended, quick, until};
use futures_util::StreamExt as _;
use runtime::{Modelrow, RunEvent, RunRequest, RunView, Status};
use serde_json::{Value, json};
use simulator::{Action, Cut, Operation, Rule, Scripted};
use store::DEFAULT_TENANT;
use uuid::Uuid;

/// A chat that answers in events; `steps` follow it.
fn bundle(steps: &Value) -> Value {
    json!({
        "language": 1,
        "provider": {"slug": "acme", "provider_family": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1",
            "conventions": {}, "egress": {}},
        "auth_profiles": [{"profile_key": "acme_key", "auth_type": "api_key", "secret": "env:ACME_API_KEY", "config": {}}],
        "response_schemas": [], "prompt_templates": [],
        "models": [{"model_id": "a-1", "model_type": "chat", "is_default": true, "capabilities": {}}],
        "profiles": [{
            "profile_key": "acme_chat_stream_v1", "purpose": "chat", "model": null, "auth_profile": "acme_key",
            "transport": {"path": "/chat", "headers": {"Authorization": "Bearer {{apiKey}}"}, "on_unknown": "repeat",
                "body": {"model": "{{model}}", "prompt": "{{userPrompt}}", "stream": true}, "timeout_ms": 1000},
            "response_mapping": {"mode": "sse", "extract": {"usage": {"output_tokens": "usage.out"}},
                "stream": {"delta_path": "delta", "done_when": {"path": "$", "equals": "[DONE]"}},
                "output": {"text": "{{text}}", "usage": "{{json usage}}"}},
            "workflow": {"steps": steps}
        }],
        "routing_rules": []
    })
}

const WORDS: [&str; 5] = ["The ", "cat ", "pl\u{e4}ys ", "the ", "piano."];
const TEXT: &str = "The cat pl\u{e4}ys the piano.";

fn events() -> String {
    let deltas = WORDS.map(|word| format!("data: {}\n\n", json!({"delta": word})));
    deltas.concat() + "data: {\"usage\": {\"out\": 5}}\n\ndata: [DONE]\n\n"
}

fn stream(text: &str) -> Action {
    Action::Answer(Scripted::text(200, "text/event-stream", text))
}

/// What meets the `nth` request, all of it together.
fn meets(nth: u64, actions: Vec<Action>) -> Vec<Rule> {
    let rules = actions.into_iter();
    rules
        .map(|action| Rule::on(Operation::Unknown, action).nth(nth))
        .collect()
}

fn chat() -> RunRequest {
    RunRequest::new("chat").prompt("what does the cat do?")
}

async fn house(rules: Vec<Rule>) -> House {
    let house = House::of(quick(), bundle(&json!([]))).await;
    house.sim.script(rules);
    house
}

fn succeeded(view: &RunView) {
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let want = json!({"text": TEXT, "usage": {"output_tokens": 5}});
    assert_eq!(view.output.as_ref(), Some(&want));
}

/// Deltas of a run in the order in which they are told, and the state of the run at the first.
async fn listen(modelrow: Modelrow, run: Uuid) -> (Vec<String>, String) {
    let mut events = modelrow.events(DEFAULT_TENANT, run);
    let (mut deltas, mut bytes, mut state) = (Vec::new(), 0, String::new());
    while let Some(event) = events.next().await {
        match event {
            RunEvent::Delta { at, text } => {
                assert_eq!(at, bytes, "nothing is told twice, and nothing left out");
                if deltas.is_empty() {
                    state = modelrow.run(DEFAULT_TENANT, run).await.unwrap().state;
                }
                bytes += text.len();
                deltas.push(text);
            }
            RunEvent::End(_) => break,
            _ => {}
        }
    }
    (deltas, state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_reach_watchers_while_they_come_and_late_ones_from_the_beginning() {
    let drip = Action::Drip { bytes: 7, ms: 60 };
    let house = house(meets(1, vec![stream(&events()), drip])).await;
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(chat()).await.unwrap();
    let early = listen(modelrow.clone(), handle.id());
    let late = async {
        let mut events = handle.events();
        while !matches!(events.next().await.unwrap(), RunEvent::Delta { .. }) {}
        listen(modelrow.clone(), handle.id()).await
    };
    let both = tokio::time::timeout(LIMIT, futures_util::future::join(early, late));
    let ((early, state), (late, _)) = both.await.unwrap();
    assert_eq!(
        (early.concat().as_str(), late.concat().as_str()),
        (TEXT, TEXT)
    );
    assert!(early.len() >= 3, "as they come: {early:?}");
    assert_eq!(state, "submitting", "before the answer was whole");
    succeeded(&handle.view().await.unwrap());
    assert_eq!(house.sim.ledger().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_cut_after_its_first_delta_is_never_asked_for_again() {
    let drip = Action::Drip { bytes: 9, ms: 10 };
    let rules = meets(
        1,
        vec![stream(&events()), drip, Action::Cut(Cut::MidBody(60))],
    );
    let house = house([rules, meets(2, vec![stream(&events())])].concat()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, chat()).await;
    assert_eq!(view.status, Status::Failed, "{view:#?}");
    let failure = view.failure.as_ref().unwrap();
    assert_eq!(failure["class"], "unknown_outcome", "{failure}");
    assert_eq!((view.attempts.len(), house.sim.ledger().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_cut_before_its_first_delta_is_repeated_with_consent() {
    let opening = format!(": a comment and no more{}", "\n\n".repeat(40));
    let rules = meets(1, vec![stream(&opening), Action::Cut(Cut::MidBody(30))]);
    let house = house([rules, meets(2, vec![stream(&events())])].concat()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, chat()).await;
    succeeded(&view);
    let outcomes: Vec<&str> = view
        .attempts
        .iter()
        .map(|one| one.outcome.as_str())
        .collect();
    assert_eq!(outcomes, ["written_off", "accepted"]);
    assert_eq!(house.sim.ledger().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_bounded_and_the_length_of_a_stream_is_not() {
    // 2 s in all, with a time-out of 1 s; then one that is silent for longer.
    let drip = Action::Drip { bytes: 20, ms: 200 };
    let stall = Action::StallBody {
        after_bytes: 60,
        ms: 5_000,
    };
    let rules = meets(1, vec![stream(&events()), drip]);
    let house = house([rules, meets(2, vec![stream(&events()), stall])].concat()).await;
    let modelrow = house.start().await;
    succeeded(&ended(&modelrow, chat()).await);
    let view = ended(&modelrow, chat()).await;
    let failure = view.failure.as_ref().unwrap();
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("nothing came within 1000 ms"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_that_was_stored_survives_its_worker() {
    let steps = json!([{"name": "more", "action": "request", "path": "/more"}]);
    let house = House::of(quick(), bundle(&steps)).await;
    let more = || Action::Answer(Scripted::json(200, json!({})));
    let rules = [
        meets(1, vec![stream(&events())]),
        meets(2, vec![Action::Stall { ms: 30_000 }]),
        meets(3, vec![more()]),
    ];
    house.sim.script(rules.concat());
    let first = house.start().await;
    let run = first.run_profile(chat()).await.unwrap().id();
    let asked = || async { house.sim.ledger().len() == 2 };
    until("the step after the stream is asked for", asked).await;
    drop(first);
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(view.output.as_ref().unwrap()["text"], json!(TEXT));
    assert_eq!((view.attempts.len(), house.sim.ledger().len()), (1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_sender_died_is_not_repeated_in_spite_of_the_consent() {
    let drip = Action::Drip { bytes: 9, ms: 300 };
    let house = house(meets(1, vec![stream(&events()), drip])).await;
    let first = house.start().await;
    let handle = first.run_profile(chat()).await.unwrap();
    let mut heard = handle.events();
    while !matches!(heard.next().await.unwrap(), RunEvent::Delta { .. }) {}
    let run = handle.id();
    drop((heard, handle, first));
    // Patience is a minute and the time-out.
    house
        .sql("update submit_attempts set sent_at = sent_at - interval '5 minutes'")
        .await;
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Failed, "{view:#?}");
    let failure = view.failure.as_ref().unwrap();
    assert_eq!(failure["class"], "unknown_outcome", "{failure}");
    assert_eq!((view.attempts.len(), house.sim.ledger().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[rustfmt::skip]
async fn once_a_part_of_a_stream_was_given_no_fallback_runs() {
    let busy = "data: {\"error\": {\"code\": \"busy\", \"message\": \"not now\"}}\n\n";
    let cases = [
        // before the first delta    the fallback says it all
        (busy.to_owned(),            Status::Succeeded, 2),
        (format!("data: {}\n\n{busy}", json!({"delta": "The "})), Status::Failed, 1),
    ];
    for (stream_of_target, status, requests) in cases {
        let mut bundle = bundle(&json!([]));
        bundle["provider"]["conventions"] = json!({"errors": {"overloaded": ["busy"]}});
        bundle["models"].as_array_mut().unwrap().push(json!({"model_id": "a-2", "model_type": "chat", "capabilities": {}}));
        bundle["routing_rules"] = json!([{"target_model": "a-1", "fallback_model": "a-2"}]);
        let house = House::of(quick(), bundle).await;
        house.sim.script([meets(1, vec![stream(&stream_of_target)]), meets(2, vec![stream(&events())])].concat());
        let modelrow = house.start().await;
        let view = ended(&modelrow, chat()).await;
        assert_eq!((view.status, house.sim.ledger().len()), (status, requests), "{view:#?}");
        assert_eq!(view.fallen_to().is_some(), requests == 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_in_mid_stream_lets_the_stream_go_and_nothing_is_sent_again() {
    // Half a minute for the whole.
    let drip = Action::Drip { bytes: 4, ms: 800 };
    let house = house(meets(1, vec![stream(&events()), drip])).await;
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(chat()).await.unwrap();
    let mut heard = handle.events();
    while !matches!(heard.next().await.unwrap(), RunEvent::Delta { .. }) {}
    handle.cancel().await.unwrap();
    let soon = std::time::Duration::from_secs(10);
    let view = tokio::time::timeout(soon, handle.wait()).await;
    let view = view.expect("it is let go at once").unwrap();
    assert_eq!(view.status, Status::Canceled, "{view:#?}");
    assert_eq!(
        (view.spent.as_str(), view.attempts[0].outcome.as_str()),
        ("maybe", "unknown")
    );
    assert_eq!((view.attempts.len(), house.sim.ledger().len()), (1, 1));
    assert!(view.output.is_none());
}
