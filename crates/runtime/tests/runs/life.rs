//! A run's life, from the call to its file.

use crate::house::{House, LIMIT, cat, convention, ended, quick, quick_polls, until};
use futures_util::StreamExt as _;
use runtime::{RunEvent, Status};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use simulator::{Action, Failure, Operation, Rule, Scripted};
use std::time::Duration;
use store::DEFAULT_TENANT;

/// The rows of the seeds as they are written, with nothing around them but what their ids name.
fn seeds() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/seeds.json");
    let seeds: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut profile = seeds["model_api_profiles"].clone();
    profile["auth_profile"] = json!("key");
    json!({
        "language": 1,
        "provider": {"slug": "acme", "provider_family": profile["provider_family"], "api_base_url": "https://api.acme.ai/v1"},
        "auth_profiles": [{"profile_key": "key", "auth_type": "api_key", "secret": "env:ACME_API_KEY"}],
        "response_schemas": [{"name": "video", "strict": true, "schema": seeds["response_schemas.schema"]}],
        "prompt_templates": [{"name": "video", "purpose": "video", "body": seeds["prompt_templates.body"]}],
        "models": [{"model_id": seeds["ai_models.capabilities"]["model"], "model_type": "video", "is_default": true,
            "prompt_template": "video", "response_schema": "video", "capabilities": seeds["ai_models.capabilities"]}],
        "profiles": [profile],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_the_seeds_run_verbatim() {
    let house = House::of(quick(), seeds()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!((view.artifacts.len(), view.spent.as_str()), (1, "yes"));
    let asked = house.asked(Operation::Create);
    let body = format!("{:?}", asked[0].body);
    // The template's text is laid over the transport's, and `seconds` is a text there.
    assert!(
        body.contains("piano") && body.contains("cinematic lighting"),
        "{body}"
    );
    assert!(body.contains("seconds") && asked.len() == 1, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_of_the_seeds_delivers_its_file() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let output = view.output.clone().unwrap();
    assert_eq!(output["video"]["status"], "succeeded");
    assert_eq!(
        output["video"]["id"].as_str(),
        view.provider_job_id.as_deref()
    );
    let artifact = modelrow
        .artifact(DEFAULT_TENANT, view.id, "video", 0)
        .await
        .unwrap()
        .unwrap();
    let bytes: Vec<_> = artifact.bytes.map(|chunk| chunk.unwrap()).collect().await;
    let digest = Sha256::digest(bytes.concat());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(view.artifacts[0].sha256, hex);
    assert_eq!(view.artifacts[0].content_type, "video/mp4");
    assert!(view.artifacts[0].bytes > 1_000);
    assert_eq!((view.spent.as_str(), view.attempts.len()), ("yes", 1));
    assert_eq!(house.asked(Operation::Create).len(), 1);
    let stopped = modelrow.shutdown(LIMIT).await;
    assert_eq!(stopped.cut, 0);
    assert_eq!(
        house.count("select count(*) from workers").await,
        0,
        "the lease is released"
    );
    assert_eq!(
        house
            .count("select count(*) from shards where owner is not null")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_in_order_and_end_with_the_end() {
    let mut config = quick();
    // It ends when it has been seen on its way: no matter how slow this machine is.
    config.jobs.run_ms = 600_000;
    let house = House::with(config, quick_polls).await;
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    let mut stream = handle.events();
    let mut events: Vec<RunEvent> = Vec::new();
    while let Some(event) = stream.next().await {
        match &event {
            RunEvent::Entry { kind, .. } if kind == "accepted" => {
                house.sim.advance(Duration::from_secs(200));
            }
            event if percent(event).is_some_and(|percent| (1..100).contains(&percent)) => {
                house.sim.advance_to_completion();
            }
            _ => {}
        }
        events.push(event);
    }
    assert!(
        matches!(events.last(), Some(RunEvent::End(view)) if view.status == Status::Succeeded),
        "{events:#?}"
    );
    let entries: Vec<(i32, &str)> = events
        .iter()
        .filter_map(|event| match event {
            RunEvent::Entry { seq, kind, .. } => Some((*seq, kind.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(entries, [(1, "accepted"), (2, "succeeded")]);
    let percents: Vec<u8> = events.iter().filter_map(percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
}

fn percent(event: &RunEvent) -> Option<u8> {
    match event {
        RunEvent::Progress(now) | RunEvent::State(now) => now.percent,
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_the_provider_keeps_its_words_and_fetches_nothing() {
    let mut config = quick();
    config.jobs.fails = Some(Failure {
        code: "gpu_on_fire".into(),
        message: "the machine burnt down".into(),
        at_progress: 50,
    });
    let house = House::new(config).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Failed, "{view:#?}");
    assert_eq!(view.failure_text("provider_code"), Some("gpu_on_fire"));
    assert_eq!(
        view.failure_text("provider_message"),
        Some("the machine burnt down")
    );
    assert_eq!(view.failure_text("class"), Some("provider_error"));
    assert_eq!(house.asked(Operation::Content).len(), 0);
    assert_eq!(
        (view.spent.as_str(), view.attempts[0].outcome.as_str()),
        ("yes", "job_failed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_late_is_reported_overdue_and_delivered() {
    let mut config = quick();
    config.jobs.run_ms = 3_500;
    let change = |bundle: &mut serde_json::Value| {
        convention(bundle, "/poll/deadline_ms", json!(1_500));
        quick_polls(bundle);
    };
    let house = House::with(config, change).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert!(view.overdue);
    let told = house
        .count(&format!(
            "select count(*) from run_events where run_id = '{}' and kind = 'overdue'",
            view.id
        ))
        .await;
    assert_eq!(told, 1, "the caller is told once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_of_a_running_job_ends_the_run() {
    let mut config = quick();
    config.jobs.never_ends = true;
    let house = House::new(config).await;
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    until("the job is polled", || async {
        !house.asked(Operation::Retrieve).is_empty()
    })
    .await;
    let asked = handle.cancel().await.unwrap();
    assert!(asked.cancel_requested);
    let view = modelrow
        .wait(DEFAULT_TENANT, handle.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(view.status, Status::Canceled, "{view:#?}");
    assert_eq!(house.asked(Operation::Content).len(), 0);
    assert_eq!(
        handle.cancel().await.unwrap().status,
        Status::Canceled,
        "a cancel may be repeated"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_page_where_the_video_should_be_is_no_video() {
    let page = Scripted::json(
        200,
        json!({"error": {"code": "oops", "message": "no video here"}}),
    );
    let mut config = quick();
    config.rules = vec![Rule::on(Operation::Content, Action::Answer(page)).always()];
    let house = House::new(config).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Failed, "{view:#?}");
    assert_eq!(view.failure_text("code"), Some("wrong_content"));
    assert_eq!(view.failure_text("provider_message"), Some("no video here"));
    assert!(view.artifacts.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_many_parts_is_stored_whole() {
    let mut config = quick();
    let bytes = 12 * 1024 * 1024 + 7;
    config.jobs.content_bytes = Some(bytes);
    let house = House::new(config).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(view.artifacts[0].bytes, bytes);
    let artifact = modelrow
        .artifact(DEFAULT_TENANT, view.id, "video", 0)
        .await
        .unwrap()
        .unwrap();
    let digest = artifact
        .bytes
        .fold(Sha256::new(), |hash, chunk| async {
            hash.chain_update(chunk.unwrap())
        })
        .await;
    let hex: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(view.artifacts[0].sha256, hex);
}

/// With a way to stop a job, which the profile declares.
async fn house_that_cancels() -> House {
    let mut config = quick();
    config.jobs.run_ms = 4_000;
    let change = |bundle: &mut serde_json::Value| {
        quick_polls(bundle);
        let cancel = json!({"name": "cancel", "method": "DELETE", "path": "/videos/{{job_id}}"});
        bundle["profiles"][0]["workflow"]["cancel"] = cancel;
    };
    House::with(config, change).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_cancel_stops_the_job_at_the_provider() {
    let house = house_that_cancels().await;
    let stopped = Scripted::json(200, json!({"deleted": true}));
    house
        .sim
        .script(vec![Rule::on(Operation::Delete, Action::Answer(stopped))]);
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    until("the job is polled", || async {
        !house.asked(Operation::Retrieve).is_empty()
    })
    .await;
    handle.cancel().await.unwrap();
    let view = handle.wait().await.unwrap();
    assert_eq!(view.status, Status::Canceled, "{view:#?}");
    assert_eq!(house.asked(Operation::Delete).len(), 1);
    assert!(house.asked(Operation::Content).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_succeeds_in_spite_of_a_cancel_is_kept() {
    // The provider refuses to stop a job that runs.
    let house = house_that_cancels().await;
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    until("the job is polled", || async {
        !house.asked(Operation::Retrieve).is_empty()
    })
    .await;
    handle.cancel().await.unwrap();
    let view = handle.wait().await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert!(view.cancel_requested && view.artifacts.len() == 1);
    assert_eq!(house.asked(Operation::Delete).len(), 1, "asked once");
}
