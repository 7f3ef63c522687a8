//! Workers come, go and die; a paid job is never lost and never paid for twice.

use crate::house::{House, LIMIT, cat, quick, until};
use runtime::{Modelrow, Options, Status, Work};
use simulator::{Action, Operation, Rule};
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;
use store::DEFAULT_TENANT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_is_replaced_and_its_job_is_delivered() {
    let mut config = quick();
    config.jobs.run_ms = 4_000;
    let house = House::new(config).await;
    let first = house.start().await;
    let run = first.run_profile(cat()).await.unwrap().id();
    until("the job is accepted", || async {
        !house.sim.accepted_jobs().is_empty()
    })
    .await;
    until("its acceptance is written", || async {
        first
            .run(DEFAULT_TENANT, run)
            .await
            .unwrap()
            .provider_job_id
            .is_some()
    })
    .await;
    drop(first);
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len()
        ),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_died_with_its_sender_is_settled_and_not_repeated() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::DelayAnswer { ms: 3_000 },
    )];
    let house = House::with(config, crate::house::quick_settle).await;
    let first = house.start().await;
    let run = first.run_profile(cat()).await.unwrap().id();
    until("the job is accepted", || async {
        !house.sim.accepted_jobs().is_empty()
    })
    .await;
    drop(first);
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len()
        ),
        (1, 1)
    );
    assert!(view.attempts[0].adopted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_never_submit_one_run_twice() {
    let house = House::new(quick()).await;
    let (one, two) = (house.start().await, house.start().await);
    let mut runs = Vec::new();
    for i in 0..12 {
        let caller = if i % 2 == 0 { &one } else { &two };
        runs.push(caller.run_profile(cat()).await.unwrap().id());
    }
    for run in runs {
        let view = one.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
        assert_eq!(
            (view.status, view.attempts.len()),
            (Status::Succeeded, 1),
            "{view:#?}"
        );
    }
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len()
        ),
        (12, 12)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_only_takes_calls_sees_them_done_by_another() {
    let house = House::new(quick()).await;
    let taker = Modelrow::start(Options {
        work: Work::No,
        ..house.options()
    })
    .await
    .unwrap();
    let run = taker.run_profile(cat()).await.unwrap();
    assert_eq!(run.view().await.unwrap().status, Status::Queued);
    let worker = house.start().await;
    assert_eq!(
        taker
            .wait(DEFAULT_TENANT, run.id(), LIMIT)
            .await
            .unwrap()
            .status,
        Status::Succeeded
    );
    worker.shutdown(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_whose_lease_is_lost_before_the_first_byte_sends_nothing() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    until("the lease is held", || async {
        modelrow.readiness().await.reasons.is_empty()
    })
    .await;
    // The renewal waits for the first lock, the intent for the second: the lease is over when the commit answers.
    let mut locks = PgConnection::connect(&house.database.owner_url)
        .await
        .unwrap();
    let mut held = locks.begin().await.unwrap();
    sqlx::raw_sql("lock table workers in share mode; lock table submit_attempts in share mode")
        .execute(&mut *held)
        .await
        .unwrap();
    let run = modelrow.run_profile(cat()).await.unwrap().id();
    until("the lease is lost", || async {
        !modelrow.readiness().await.reasons.is_empty()
    })
    .await;
    held.rollback().await.unwrap();
    let view = modelrow.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let outcomes: Vec<&str> = view
        .attempts
        .iter()
        .map(|attempt| attempt.outcome.as_str())
        .collect();
    assert_eq!(outcomes, ["not_sent", "accepted"]);
    assert_eq!(house.asked(Operation::Create).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_hands_its_runs_over() {
    let mut config = quick();
    config.jobs.run_ms = 3_000;
    let house = House::new(config).await;
    let first = house.start().await;
    let run = first.run_profile(cat()).await.unwrap().id();
    until("its acceptance is written", || async {
        first
            .run(DEFAULT_TENANT, run)
            .await
            .unwrap()
            .provider_job_id
            .is_some()
    })
    .await;
    let second = house.start().await;
    let stopped = first.shutdown(Duration::from_secs(10)).await;
    assert_eq!(stopped.cut, 0);
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(
        (view.status, view.attempts.len()),
        (Status::Succeeded, 1),
        "{view:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_died_with_its_worker_is_done_again_under_another_key() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Content,
        Action::StallBody {
            after_bytes: 1_000,
            ms: 30_000,
        },
    )];
    let house = House::new(config).await;
    let first = house.start().await;
    let run = first.run_profile(cat()).await.unwrap().id();
    until("the file is asked for", || async {
        !house.asked(Operation::Content).is_empty()
    })
    .await;
    drop(first);
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (view.artifacts.len(), house.asked(Operation::Content).len()),
        (1, 2)
    );
    let again = house
        .count("select count(*) from artifacts where object_key like '%/4'")
        .await;
    assert_eq!(
        again, 1,
        "the second fetch has a version, and so a key, of its own"
    );
}
