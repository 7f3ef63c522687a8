//! Limits of a credential, over all workers.

use crate::house::{House, LIMIT, cat, quick};
use runtime::Status;
use simulator::{Entry, Operation};
use std::collections::BTreeMap;
use store::DEFAULT_TENANT;

/// The most jobs that were at the provider at once, by its own record.
fn most_at_once(creates: &[Entry], contents: &[Entry]) -> i32 {
    let mut moments: BTreeMap<u64, i32> = BTreeMap::new();
    for entry in creates {
        *moments.entry(entry.at_ms).or_default() += 1;
    }
    for entry in contents {
        *moments.entry(entry.at_ms).or_default() -= 1;
    }
    let mut now = 0;
    moments
        .values()
        .map(|change| {
            now += change;
            now
        })
        .max()
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_together_keep_to_the_jobs_that_a_credential_may_have_in_flight() {
    let house = House::new(quick()).await;
    house
        .sql("update provider_api_credentials set max_concurrent_jobs = 2")
        .await;
    let (one, two) = (house.start().await, house.start().await);
    let mut runs = Vec::new();
    for i in 0..6 {
        let caller = if i % 2 == 0 { &one } else { &two };
        runs.push(caller.run_profile(cat()).await.unwrap().id());
    }
    for run in runs {
        let view = one.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
    let (creates, contents) = (
        house.asked(Operation::Create),
        house.asked(Operation::Content),
    );
    assert_eq!(creates.len(), 6);
    assert!(
        most_at_once(&creates, &contents) <= 2,
        "{creates:#?}\n{contents:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waited_too_long_is_not_started() {
    let mut config = quick();
    config.jobs.never_ends = true;
    let house = House::new(config).await;
    house
        .sql("update provider_api_credentials set max_concurrent_jobs = 1")
        .await;
    let modelrow = house.start().await;
    let first = modelrow.run_profile(cat()).await.unwrap();
    house
        .sim
        .wait_until(LIMIT, |sim| !sim.accepted_jobs().is_empty())
        .await;
    let mut late = cat();
    late.start_by = Some(time::OffsetDateTime::UNIX_EPOCH);
    let second = modelrow.run_profile(late).await.unwrap();
    first.cancel().await.unwrap();
    let view = modelrow
        .wait(DEFAULT_TENANT, second.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(view.failure_text("code"), Some("not_started"), "{view:#?}");
    assert_eq!(
        (house.asked(Operation::Create).len(), view.spent.as_str()),
        (1, "none")
    );
}
