//! The result cache: who asks for the same again is given the same, and nothing is sent.

use crate::bucket::walk;
use crate::house::{House, cat, ended, quick, until};
use futures_util::TryStreamExt as _;
use runtime::{Modelrow, OverLimit, Retry, RunRequest, RunView, Status, Sweep, TenantLimits};
use serde_json::{Value, json};
use simulator::Operation;
use store::DEFAULT_TENANT;

/// Every model costs 0.4 dollars a run.
fn priced(bundle: &mut Value) {
    for model in bundle["models"].as_array_mut().unwrap() {
        model["capabilities"]["pricing"] = json!({"currency": "USD", "price": [{"amount": 0.4}]});
    }
}

fn asks(prompt: &str) -> RunRequest {
    RunRequest {
        cache: Some(true),
        ..cat().prompt(prompt)
    }
}

async fn file(modelrow: &Modelrow, view: &RunView) -> Vec<u8> {
    let one = &view.artifacts[0];
    let stored = modelrow.artifact(DEFAULT_TENANT, view.id, &one.name, one.idx);
    let bytes = stored.await.unwrap().unwrap().bytes;
    bytes.try_collect::<Vec<_>>().await.unwrap().concat()
}

fn sent(house: &House) -> usize {
    house.asked(Operation::Create).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_is_given_the_same_files_marked_and_free_and_nothing_is_sent() {
    let house = House::with(quick(), priced).await;
    let modelrow = house.start().await;
    let first = ended(&modelrow, asks("a cat")).await;
    assert_eq!(first.status, Status::Succeeded, "{first:#?}");
    assert!(!first.cached && first.cache_of.is_none());
    // No limit stands in the way, and no brake: nothing is sent.
    let nothing = TenantLimits {
        max_in_flight: Some(0),
        max_queued: Some(0),
        runs_per_day: Some(0),
        spend_per_month: Some("0".into()),
        currency: "USD".into(),
        over_limit: OverLimit::Refuse,
    };
    let set = modelrow.set_limits(DEFAULT_TENANT, Some(&nothing), "ann");
    set.await.unwrap();
    let mut again = asks("a cat");
    again.metadata.insert("who".into(), json!("somebody else"));
    let second = modelrow.run_profile(again).await.unwrap();
    let second = second.view().await.unwrap();
    assert_eq!(second.status, Status::Succeeded, "{second:#?}");
    assert!(second.cached);
    assert_eq!(second.cache_of, Some(first.id));
    assert_eq!((second.spent.as_str(), second.attempts.len()), ("none", 0));
    let cost = second.cost.as_ref().unwrap();
    let cost = (cost.estimate.as_deref(), cost.actual.as_deref());
    assert_eq!(cost, (Some("0"), Some("0")));
    assert_eq!(second.metadata["who"], "somebody else");
    // Everything in it is its own, down to the addresses in its output.
    let text = json!([second.output, second.artifacts]).to_string();
    assert!(text.contains(&second.id.to_string()), "{text}");
    assert!(!text.contains(&first.id.to_string()), "{text}");
    assert_eq!(second.artifacts[0].sha256, first.artifacts[0].sha256);
    let bytes = (
        file(&modelrow, &second).await,
        file(&modelrow, &first).await,
    );
    assert_eq!(bytes.0, bytes.1);
    assert_eq!(sent(&house), 1);
    let usage = modelrow.usage(DEFAULT_TENANT).await.unwrap();
    assert_eq!((usage.runs_today, usage.cached_this_month), (1, 1));
    modelrow
        .set_limits(DEFAULT_TENANT, None, "ann")
        .await
        .unwrap();
    // Who asks for something else, or does not ask for the cache, is sent.
    for other in [asks("a dog"), cat().prompt("a cat")] {
        let view = ended(&modelrow, other).await;
        assert!(!view.cached);
    }
    assert_eq!(sent(&house), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_choice_holds_for_calls_that_do_not_say_and_a_retry_is_made_anew() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    modelrow
        .set_cache(DEFAULT_TENANT, true, "ann")
        .await
        .unwrap();
    // Another process is told within a moment, as this one is.
    until("a call is cached", || async {
        ended(&modelrow, cat()).await.cached
    })
    .await;
    let sent_before = sent(&house);
    let refused = RunRequest {
        cache: Some(false),
        ..cat()
    };
    let fresh = ended(&modelrow, refused).await;
    assert!(!fresh.cached);
    let how = Retry {
        accept_duplicate: true,
        ..Retry::default()
    };
    let retry = modelrow.retry(DEFAULT_TENANT, fresh.id, how).await.unwrap();
    let retry = retry.wait().await.unwrap();
    assert!(!retry.cached);
    assert_eq!(sent(&house), sent_before + 2);
    let hit = ended(&modelrow, cat()).await;
    assert_eq!(hit.cache_of, Some(retry.id), "the newest result serves");
    modelrow.clear_cache(DEFAULT_TENANT).await.unwrap();
    assert!(!ended(&modelrow, cat()).await.cached);
    modelrow
        .set_cache(DEFAULT_TENANT, false, "ann")
        .await
        .unwrap();
    let view = modelrow.cache(DEFAULT_TENANT).await.unwrap();
    assert_eq!((view.on, view.results), (false, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_outlives_the_deletion_of_the_run_that_made_it_and_the_sweep() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    // The output repeats it, and is larger than a row keeps.
    let prompt = "x".repeat(26_000);
    let first = ended(&modelrow, asks(&prompt)).await;
    assert_eq!(first.status, Status::Succeeded, "{:?}", first.failure);
    let bytes = file(&modelrow, &first).await;
    let second = ended(&modelrow, asks(&prompt)).await;
    assert!(second.cached);
    let delete = async |view: &RunView| modelrow.delete(DEFAULT_TENANT, view.id, "ann").await;
    until("its cleanup is done", || async {
        delete(&first).await.is_ok()
    })
    .await;
    let later = "update artifacts set deleted_at = deleted_at - interval '2 h'";
    house.sql(later).await;
    modelrow.sweep(Sweep::Clean).await.unwrap();
    let view = modelrow.run(DEFAULT_TENANT, second.id).await.unwrap();
    assert_eq!(view.output, second.output);
    let said = &view.output.as_ref().unwrap()["blocks"][0]["markdown"];
    assert_eq!(said, &prompt);
    assert_eq!(file(&modelrow, &second).await, bytes);
    let third = ended(&modelrow, asks(&prompt)).await;
    assert_eq!(third.cache_of, Some(first.id), "it still serves");
    delete(&second).await.unwrap();
    delete(&third).await.unwrap();
    house.sql(later).await;
    modelrow.sweep(Sweep::Clean).await.unwrap();
    let mut left = Vec::new();
    walk(house.folder.path(), &mut left);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(sent(&house), 1);
}
