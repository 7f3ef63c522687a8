//! The database goes back in time under a worker that lives: what memory holds is written again.

use crate::answers::{PNG, answers, picture};
use crate::doubt::outcomes;
use crate::house::{House, LIMIT, cat, holds_a_lease, quick, quick_settle, until};
use base64::Engine as _;
use runtime::{Because, Modelrow, Options, RunHandle, RunView, Status};
use serde_json::json;
use simulator::{Action, Config, Cut, JobPatch, Operation, Rule, Scripted};
use std::time::Duration;
use store::DEFAULT_TENANT;

/// As a copy from before every submit has it, on another timeline; the workers' leases are not in it.
const BACK: &str = "begin; delete from submit_attempts; delete from workers;
    update run_states set state = 'queued', attempt = 0, ver = 0, shard = null, worker_id = null, spent = 'none', captured = null,
        provider_job_id = null, accepted_at = null, deadline_at = null, give_up_at = null, endpoint = null;
    update database_identity set timeline = '000000FF'; commit";

fn create(action: Action) -> Config {
    let mut config = quick();
    config.rules = vec![Rule::on(Operation::Create, action)];
    config
}

fn long() -> JobPatch {
    JobPatch {
        run_ms: Some(6_000),
        ..JobPatch::default()
    }
}

async fn stands(run: &RunHandle, state: &str) {
    until(state, || async { run.view().await.unwrap().state == state }).await;
}

async fn again(run: &RunHandle, outcome: &str) -> RunView {
    until("its attempt is there again, and it is held", || async {
        let view = run.view().await.unwrap();
        view.held && outcomes(&view) == [outcome]
    })
    .await;
    run.view().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_run_has_its_attempt_and_its_job_again_and_is_followed_to_its_end() {
    let house = House::new(create(Action::Job(long()))).await;
    let modelrow = house.start().await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    stands(&run, "polling").await;
    house.sql(BACK).await;
    again(&run, "accepted").await;
    let view = modelrow.wait(DEFAULT_TENANT, run.id(), LIMIT).await;
    assert_eq!(view.unwrap().status, Status::Succeeded);
    assert_eq!(house.sim.accepted_jobs().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_handed_to_an_owner_that_is_gone_is_written_again_by_whoever_remembers_it() {
    let house = House::new(create(Action::Job(long()))).await;
    let seldom = || Options {
        // Nothing is compared or taken over in between.
        tick: LIMIT * 10,
        ..house.options()
    };
    let owner = Modelrow::start(seldom()).await.unwrap();
    house.shards_are_owned().await;
    let sender = Modelrow::start(seldom()).await.unwrap();
    holds_a_lease(&sender).await;
    let run = sender.run_profile(cat()).await.unwrap();
    stands(&run, "polling").await;
    owner.shutdown(Duration::ZERO).await;
    house.sql(BACK).await;
    again(&run, "accepted").await;
    // Who follows it then is a matter of the next tick.
    sender.shutdown(Duration::ZERO).await;
    let next = house.start().await;
    let view = next.wait(DEFAULT_TENANT, run.id(), LIMIT).await;
    assert_eq!(view.unwrap().status, Status::Succeeded);
    assert_eq!(house.sim.accepted_jobs().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_under_way_stands_again_before_its_answer_comes_and_gets_its_job() {
    let house = House::new(create(Action::DelayAnswer { ms: 5_000 })).await;
    let modelrow = house.start().await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    until("it is sent", || async {
        house.asked(Operation::Create).len() == 1
    })
    .await;
    house.sql(BACK).await;
    let view = again(&run, "unknown").await;
    assert_eq!(
        (view.state.as_str(), view.spent.as_str()),
        ("submit_unknown", "maybe")
    );
    let view = modelrow.wait(DEFAULT_TENANT, run.id(), LIMIT).await;
    assert_eq!(view.unwrap().status, Status::Succeeded);
    assert_eq!(house.asked(Operation::Create).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_that_memory_holds_is_unknown_again_and_is_not_sent_once_released() {
    let mut config = create(Action::Cut(Cut::AfterAccepting));
    config.jobs.visible_after_ms = 60_000;
    let house = House::with(config, quick_settle).await;
    let modelrow = house.start().await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    stands(&run, "submit_unknown").await;
    house.sql(BACK).await;
    again(&run, "unknown").await;
    let because = Because {
        reason: "the suite".into(),
        by: "suite".into(),
    };
    modelrow.release(None, &because).await.unwrap();
    assert_eq!(run.view().await.unwrap().state, "submit_unknown");
    assert_eq!(house.asked(Operation::Create).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_answer_that_comes_afterwards_is_kept() {
    let house = House::new(quick()).await;
    let file = base64::engine::general_purpose::STANDARD.encode(PNG);
    let answer = Scripted::json(200, json!({"data": [{"b64_json": file}]}));
    answers(&house, vec![Action::Answer(answer)]);
    house.sim.script(vec![Rule::on(
        Operation::Unknown,
        Action::DelayAnswer { ms: 3_000 },
    )]);
    let modelrow = house.start().await;
    let run = modelrow.run_profile(picture()).await.unwrap();
    until("it is sent", || async { house.sim.ledger().len() == 1 }).await;
    house.sql(BACK).await;
    let view = modelrow.wait(DEFAULT_TENANT, run.id(), LIMIT).await;
    let view = view.unwrap();
    assert_eq!(
        (view.status, outcomes(&view)),
        (Status::Succeeded, vec!["accepted"])
    );
    assert_eq!(house.sim.ledger().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_run_is_gone_is_listed_until_an_operator_has_dealt_with_it() {
    let house = House::new(create(Action::DelayAnswer { ms: 2_000 })).await;
    let modelrow = house.start().await;
    let run = modelrow.run_profile(cat()).await.unwrap().id();
    until("it is sent", || async {
        house.asked(Operation::Create).len() == 1
    })
    .await;
    house.sql(&format!("{BACK}; delete from runs")).await;
    until("it is listed", || async {
        !modelrow.orphans().await.unwrap().is_empty()
    })
    .await;
    let listed = modelrow.orphans().await.unwrap();
    let jobs = house.sim.accepted_jobs();
    assert_eq!(
        (listed[0].run_id, listed[0].provider_job_id.as_deref()),
        (run, Some(jobs[0].id.as_str()))
    );
    assert!(modelrow.forget_orphan(run, "ann").await.unwrap());
    assert_eq!(modelrow.orphans().await.unwrap(), []);
}
