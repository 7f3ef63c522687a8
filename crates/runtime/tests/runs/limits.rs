//! Limits of a credential, over all workers.

use crate::house::{House, LIMIT, cat, quick, until};
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
        view.failure_text("diagnostic"),
        Some(diag::Code::R163.as_str())
    );
    assert_eq!(
        (house.asked(Operation::Create).len(), view.spent.as_str()),
        (1, "none")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submits_keep_to_the_requests_that_a_credential_may_send_in_a_minute() {
    let house = House::new(quick()).await;
    house
        .sql("update provider_api_credentials set rate_limit_per_minute = 6")
        .await;
    let (one, two) = (house.start().await, house.start().await);
    let first = one.run_profile(cat()).await.unwrap().id();
    let second = two.run_profile(cat()).await.unwrap().id();
    for run in [first, second] {
        let view = one.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
    let asked = house.asked(Operation::Create);
    assert_eq!(asked.len(), 2);
    // One in ten seconds, leased five seconds ahead.
    let apart = asked[1].at_ms - asked[0].at_ms;
    assert!((4_500..12_000).contains(&apart), "{apart}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_days_requests_are_counted_for_what_is_sent_and_not_for_what_waits() {
    let mut config = quick();
    config.jobs.run_ms = 3_000;
    let house = House::new(config).await;
    house
        .sql("update provider_api_credentials set rate_limit_per_day = 2, max_concurrent_jobs = 1")
        .await;
    let modelrow = house.start().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(modelrow.run_profile(cat()).await.unwrap());
    }
    // The second waits for a place through a dozen ticks, and is still sent today.
    until("two have ended", || async {
        house
            .count("select count(*) from run_states where state = 'succeeded'")
            .await
            == 2
    })
    .await;
    let used = "select day_used::bigint from credential_limits";
    assert_eq!(house.count(used).await, 2);
    assert_eq!(
        house.asked(Operation::Create).len(),
        2,
        "the third waits for tomorrow"
    );
    house
        .sql("update credential_limits set day = day - 1")
        .await;
    for run in runs {
        assert_eq!(run.wait().await.unwrap().status, Status::Succeeded);
    }
    assert_eq!(
        (
            house.count(used).await,
            house.asked(Operation::Create).len()
        ),
        (1, 3)
    );
}
