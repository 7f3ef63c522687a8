//! Calls: refused before anything is sent, and one run for one key.

use crate::house::{House, NoKey, cat, ended, quick};
use diag::Code;
use runtime::{Modelrow, Options, RunError, RunRequest, Status};
use std::sync::Arc;
use store::DEFAULT_TENANT;

async fn codes(modelrow: &Modelrow, request: RunRequest) -> Vec<Code> {
    let refused = modelrow.run_profile(request).await.unwrap_err();
    assert!(matches!(refused, RunError::Refused(_)), "{refused:?}");
    refused.diagnostics().iter().map(|one| one.code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[rustfmt::skip]
async fn nothing_is_sent_for_a_refused_call_and_all_its_mistakes_are_told_at_once() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let video = || RunRequest::new("video").prompt("a cat");
    let cases: Vec<(&str, RunRequest, Vec<Code>)> = vec![
        ("unknown option",    video().param("fps", 30),                       vec![Code::C101]),
        ("off the step",      video().param("seconds", 7),                    vec![Code::C104]),
        ("out of range",      video().param("seconds", 16),                   vec![Code::C103]),
        ("two at once",       video().param("seconds", 16).param("fps", 30),  vec![Code::C103, Code::C101]),
        ("wrong type",        video().param("seconds", "soon"),               vec![Code::C102]),
        ("no prompt",         RunRequest::new("video"),                       vec![Code::C116]),
        ("unknown model",     video().model("no-such-model"),                 vec![Code::C131]),
        ("unknown purpose",   RunRequest::new("smell").prompt("a cat"),       vec![Code::C130]),
        ("unknown provider",  video().provider("nobody"),                     vec![Code::C132]),
    ];
    for (why, request, want) in cases {
        let mut got = codes(&modelrow, request).await;
        got.sort();
        got.dedup();
        let mut want = want;
        want.sort();
        assert!(want.iter().all(|code| got.contains(code)), "{why}: {got:?}");
    }
    assert!(house.sim.ledger().is_empty());
    assert_eq!(house.count("select count(*) from runs").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_its_secret_is_refused_with_what_is_missing() {
    let house = House::new(quick()).await;
    let modelrow = Modelrow::start(Options {
        secrets: Arc::new(NoKey),
        ..house.options()
    })
    .await
    .unwrap();
    assert_eq!(codes(&modelrow, cat()).await, [Code::R160]);
    assert!(house.sim.ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_makes_one_run() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let call = || cat().idempotency_key("once");
    let (first, second) = tokio::join!(modelrow.run_profile(call()), modelrow.run_profile(call()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.id(), second.id());
    assert!(first.replayed() != second.replayed());
    let other = modelrow
        .run_profile(call().param("seconds", 12))
        .await
        .unwrap_err();
    assert!(
        matches!(other, RunError::KeyUsed { run_id } if run_id == first.id()),
        "{other:?}"
    );
    let view = ended(&modelrow, call()).await;
    assert_eq!((view.id, view.status), (first.id(), Status::Succeeded));
    assert_eq!(house.sim.accepted_jobs().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenants_run_is_not_there() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    let other = uuid::Uuid::from_u128(99);
    assert!(matches!(
        modelrow.run(other, view.id).await,
        Err(RunError::NoSuchRun { .. })
    ));
    assert!(
        modelrow
            .artifact(other, view.id, "video", 0)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        modelrow
            .artifact(DEFAULT_TENANT, view.id, "video", 0)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_sends_nothing_and_shows_no_secret() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let planned = modelrow.plan(&cat()).await.unwrap().steps;
    let submit = planned
        .iter()
        .find(|one| one.step == "submit")
        .unwrap()
        .request
        .as_ref()
        .unwrap();
    assert_eq!(submit.header("authorization"), Some("Bearer ***"));
    assert!(planned.iter().any(|one| one.step == "download"));
    assert!(house.sim.ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_looks_like_a_template_reaches_the_provider_as_it_is() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    for prompt in ["{{apiKey}} <<model>>", "12345", "true"] {
        let view = ended(&modelrow, RunRequest::new("video").prompt(prompt)).await;
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
        let jobs = house.sim.accepted_jobs();
        assert!(jobs.last().unwrap().prompt.starts_with(prompt), "{jobs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_list_gives_an_estimate() {
    let house = House::with(quick(), |bundle| {
        bundle["models"][0]["capabilities"]["pricing"] = serde_json::json!({
            "currency": "USD", "per": "second", "quantity": "params.seconds",
            "price": [{"when": {"path": "params.size", "equals": "1792x1024"}, "amount": 0.5}, {"amount": 0.1}],
        });
    })
    .await;
    let modelrow = house.start().await;
    for (size, want) in [("720x1280", "0.8"), ("1792x1024", "4")] {
        let run = modelrow
            .run_profile(cat().param("size", size))
            .await
            .unwrap();
        let cost = run.view().await.unwrap().cost.unwrap();
        assert_eq!(
            (cost.currency.as_str(), cost.estimate.as_deref()),
            ("USD", Some(want))
        );
    }
}
