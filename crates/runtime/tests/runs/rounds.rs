//! Runs that one request can ask about are polled together.

use crate::house::{House, LIMIT, cat, ended, until};
use runtime::{Modelrow, Status};
use serde_json::{Value, json};
use simulator::{Action, Config, Entry, Operation, Rule, Scripted};
use std::collections::HashSet;
use std::time::Duration;
use store::DEFAULT_TENANT;
use uuid::Uuid;

/// Every poll asks once a second, of a list when there are several to ask for.
fn in_rounds(bundle: &mut Value, size: u64) {
    for profile in bundle["profiles"].as_array_mut().unwrap() {
        let poll = profile.pointer_mut("/workflow/steps/0");
        if let Some(poll) = poll.filter(|step| step["name"] == "poll") {
            poll["interval_ms"] = json!(1_000);
            poll["batch"] = json!({"path": "/videos", "query": {"limit": "100"}, "size": size, "in": "data",
                "where": {"path": "id", "equals": "{{job_id}}"}});
        }
    }
}

fn config(run_ms: u64) -> Config {
    let mut config = Config::default();
    config.jobs.run_ms = run_ms;
    config
}

async fn started(modelrow: &Modelrow, count: usize) -> Vec<Uuid> {
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(modelrow.run_profile(cat()).await.unwrap().id());
    }
    runs
}

async fn all_succeed(modelrow: &Modelrow, runs: &[Uuid]) {
    for run in runs {
        let view = modelrow.wait(DEFAULT_TENANT, *run, LIMIT).await.unwrap();
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
}

/// Those between two moments of real time.
fn between(entries: Vec<Entry>, from_ms: u64, to_ms: u64) -> usize {
    let within = |entry: &&Entry| (from_ms..to_ms).contains(&entry.at_ms);
    entries.iter().filter(within).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_waiting_runs_are_polled_with_one_request_a_round() {
    let mut config = config(1_000);
    config.jobs.never_ends = true;
    let house = House::with(config, |bundle| in_rounds(bundle, 100)).await;
    let modelrow = house.start().await;
    started(&modelrow, 100).await;
    until("all are accepted and polled", || async {
        house.sim.accepted_jobs().len() == 100 && !house.asked(Operation::List).is_empty()
    })
    .await;
    // From the second round after the last acceptance on.
    let last = house.asked(Operation::Create).last().unwrap().at_ms;
    let (from, to) = (last + 2_500, last + 7_500);
    until("five rounds have passed", || async {
        house.asked(Operation::List).last().unwrap().at_ms > to
    })
    .await;
    let (lists, singles) = (
        between(house.asked(Operation::List), from, to),
        between(house.asked(Operation::Retrieve), from, to),
    );
    // Five rounds: five requests instead of 500.
    assert!((4..=6).contains(&lists), "{lists} lists in five rounds");
    assert_eq!(singles, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_run_of_a_round_gets_its_own_result_and_no_request_asks_for_more_than_its_size() {
    let house = House::with(config(2_500), |bundle| in_rounds(bundle, 3)).await;
    let modelrow = house.start().await;
    let runs = started(&modelrow, 8).await;
    all_succeed(&modelrow, &runs).await;
    let mut jobs = HashSet::new();
    for run in &runs {
        let view = modelrow.run(DEFAULT_TENANT, *run).await.unwrap();
        let job = view.provider_job_id.clone().unwrap();
        assert_eq!(view.output.as_ref().unwrap()["video"]["id"], json!(job));
        assert!(jobs.insert(job), "each its own");
    }
    // Eight runs in requests for three at most: three requests a round.
    let lists = house.asked(Operation::List);
    let with = |first: &Entry| between(lists.clone(), first.at_ms, first.at_ms + 500);
    let most = lists.iter().map(with).max();
    assert_eq!(most, Some(3), "{lists:#?}");
    assert_eq!(house.asked(Operation::Content).len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_list_does_not_show_is_asked_for_by_itself() {
    let mut config = config(2_000);
    // The list shows a job only after it has ended; by its id it is known at once.
    config.jobs.visible_after_ms = 60_000;
    let house = House::with(config, |bundle| in_rounds(bundle, 50)).await;
    let modelrow = house.start().await;
    let runs = started(&modelrow, 4).await;
    all_succeed(&modelrow, &runs).await;
    let (lists, singles) = (
        house.asked(Operation::List).len(),
        house.asked(Operation::Retrieve).len(),
    );
    // One a round, and not again and again for those that it does not show.
    assert!(
        (1..=6).contains(&lists) && (4..=24).contains(&singles),
        "{lists} {singles}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_fails_ends_no_run() {
    let mut config = config(3_000);
    let body = json!({"error": {"message": "no", "type": "invalid_request_error"}});
    let status = |status| Action::Answer(Scripted::json(status, body.clone()));
    config.rules = vec![
        Rule::on(Operation::List, status(404)),
        Rule::on(Operation::List, status(400)).nth(2),
        Rule::on(Operation::List, status(503)).nth(3),
    ];
    let house = House::with(config, |bundle| in_rounds(bundle, 50)).await;
    let modelrow = house.start().await;
    let runs = started(&modelrow, 4).await;
    all_succeed(&modelrow, &runs).await;
    assert!(house.asked(Operation::List).len() >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_alone_is_asked_for_by_itself() {
    let house = House::with(config(1_500), |bundle| in_rounds(bundle, 50)).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded);
    assert!(house.asked(Operation::List).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_canceled_in_a_round_ends_and_the_others_go_on() {
    let mut config = config(1_000);
    config.jobs.never_ends = true;
    let house = House::with(config, |bundle| in_rounds(bundle, 50)).await;
    let modelrow = house.start().await;
    let runs = started(&modelrow, 5).await;
    until("they are polled", || async {
        house.asked(Operation::List).len() > 1
    })
    .await;
    modelrow.cancel(DEFAULT_TENANT, runs[0]).await.unwrap();
    let view = modelrow
        .wait(DEFAULT_TENANT, runs[0], Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(view.status, Status::Canceled);
    let before = house.asked(Operation::List).len();
    until("the others are polled on", || async {
        house.asked(Operation::List).len() > before + 1
    })
    .await;
    for run in &runs[1..] {
        let view = modelrow.run(DEFAULT_TENANT, *run).await.unwrap();
        assert_eq!(view.status, Status::Running);
    }
}
