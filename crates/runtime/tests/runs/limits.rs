//! Limits of a credential, over all workers.

use crate::house::{House, LIMIT, cat, ended, quick, until};
use runtime::{Limit, Modelrow, Options, OverLimit, RunError, RunRequest, Status, TenantLimits};
use serde_json::{Value, json};
use simulator::{Entry, Operation};
use std::collections::BTreeMap;
use std::time::Duration;
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

/// Every run has a step before its submit.
fn with_a_step_before(bundle: &mut Value) {
    for profile in bundle["profiles"].as_array_mut().unwrap() {
        profile["workflow"]["before"] = json!([
            {"name": "hello", "method": "GET", "path": "/videos", "query": {"limit": "1"}}
        ]);
    }
}

async fn four(house: &House, options: impl Fn() -> Options) -> Vec<Modelrow> {
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(Modelrow::start(options()).await.unwrap());
    }
    until("all four work", || async {
        house
            .count("select count(*) from workers where expires_at > now()")
            .await
            == 4
    })
    .await;
    all
}

async fn never_two(change: impl FnOnce(&mut Value)) {
    let mut config = quick();
    config.jobs.run_ms = 300;
    let house = House::with(config, change).await;
    house
        .sql("update provider_api_credentials set max_concurrent_jobs = 1")
        .await;
    let workers = four(&house, || house.options()).await;
    let mut runs = Vec::new();
    for i in 0..8 {
        let caller = &workers[i % 4];
        runs.push(caller.run_profile(cat()).await.unwrap().id());
    }
    for run in runs {
        let view = workers[0].wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
    let (creates, contents) = (
        house.asked(Operation::Create),
        house.asked(Operation::Content),
    );
    assert_eq!(creates.len(), 8);
    assert_eq!(
        most_at_once(&creates, &contents),
        1,
        "{creates:#?}\n{contents:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_and_a_limit_of_one_job_in_flight_never_give_two() {
    never_two(|_| ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_workers_and_a_limit_of_one_never_give_two_whose_runs_prepare() {
    never_two(with_a_step_before).await;
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

/// Requests within a window that begins at each of them: the fewest and the most, of those that end before the last.
fn windows(at_ms: &[u64], window_ms: u64) -> (usize, usize) {
    let last = at_ms.last().copied().unwrap_or(0);
    let full = at_ms.iter().filter(|from| **from + window_ms <= last);
    let counts = full.map(|from| {
        let within = |at: &&u64| (*from..from + window_ms).contains(*at);
        at_ms.iter().filter(within).count()
    });
    let counts: Vec<usize> = counts.collect();
    (
        counts.iter().copied().min().unwrap_or(0),
        counts.iter().copied().max().unwrap_or(0),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_requests_a_minute_give_sixty_to_sixty_six_with_four_workers() {
    /// A minute of this test.
    const MINUTE: Duration = Duration::from_secs(12);
    let mut config = quick();
    config.jobs.never_ends = true;
    let house = House::new(config).await;
    house
        .sql("update provider_api_credentials set rate_limit_per_minute = 60")
        .await;
    let workers = four(&house, || Options {
        limit_minute: MINUTE,
        ..house.options()
    })
    .await;
    // Far more than may be asked for: each run alone would be polled four times a second.
    for i in 0..24 {
        workers[i % 4].run_profile(cat()).await.unwrap();
    }
    let window_ms = u64::try_from(MINUTE.as_millis()).unwrap();
    let from = || {
        house
            .sim
            .ledger()
            .first()
            .map_or(u64::MAX, |entry| entry.at_ms)
    };
    until("two minutes have passed", || async {
        let last = house.sim.ledger().last().map_or(0, |entry| entry.at_ms);
        last > from().saturating_add(2 * window_ms)
    })
    .await;
    // Before that the four have nothing to wait for.
    let begun = from() + 1_000;
    let mut at_ms: Vec<u64> = house.sim.ledger().iter().map(|entry| entry.at_ms).collect();
    at_ms.retain(|at| *at >= begun);
    at_ms.sort_unstable();
    let (fewest, most) = windows(&at_ms, window_ms);
    assert!(fewest >= 60 && most <= 66, "{fewest} to {most}");
    let creates = house.asked(Operation::Create).len();
    assert!(creates < 24, "paid jobs go before new ones: {creates}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_credential_counts() {
    let house = House::with(quick(), |bundle| {
        with_a_step_before(bundle);
        let profiles = bundle["profiles"].as_array_mut().unwrap().iter_mut();
        for profile in profiles.filter(|one| one["workflow"]["type"] == "async_job") {
            profile["workflow"]["cleanup"] = json!([
                {"name": "bye", "method": "DELETE", "path": "/videos/{{job_id}}"}
            ]);
        }
    })
    .await;
    house
        .sql("update provider_api_credentials set rate_limit_per_day = 1000")
        .await;
    let modelrow = house.start().await;
    for _ in 0..2 {
        let view = ended(&modelrow, cat()).await;
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
    until("both are cleaned up", || async {
        house.asked(Operation::Delete).len() == 2
    })
    .await;
    let kinds = [
        Operation::List,
        Operation::Create,
        Operation::Retrieve,
        Operation::Content,
        Operation::Delete,
    ];
    for kind in kinds {
        assert!(house.asked(kind).len() >= 2, "{kind:?}");
    }
    let used = house
        .count("select day_used::bigint from credential_limits")
        .await;
    assert_eq!(usize::try_from(used).unwrap(), house.sim.ledger().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_has_no_more_requests_than_its_limit_and_the_next_one_goes_on() {
    let mut config = quick();
    config.jobs.never_ends = true;
    let house = House::new(config).await;
    house
        .sql("update provider_api_credentials set rate_limit_per_day = 20")
        .await;
    let first = house.start().await;
    for _ in 0..3 {
        first.run_profile(cat()).await.unwrap();
    }
    let used = "select day_used::bigint from credential_limits";
    // One of twenty is kept for files.
    until("the day is used up", || async {
        house.count(used).await == 19
    })
    .await;
    let late = first.run_profile(cat()).await.unwrap();
    until("ticks pass", || async {
        house
            .count("select count(*) from run_states where state = 'queued'")
            .await
            == 1
    })
    .await;
    assert!(house.sim.ledger().len() <= 19);
    first.shutdown(LIMIT).await;
    let before = house.sim.ledger().len();
    house
        .sql("update credential_limits set day = day - 1")
        .await;
    let second = house.start().await;
    until("they are polled on, and the late one is sent", || async {
        house.sim.ledger().len() > before && house.asked(Operation::Create).len() == 4
    })
    .await;
    let view = second.run(DEFAULT_TENANT, late.id()).await.unwrap();
    assert_eq!(view.status, Status::Running);
}

/// Every model costs 0.4 dollars a run.
fn priced(bundle: &mut Value) {
    for model in bundle["models"].as_array_mut().unwrap() {
        model["capabilities"]["pricing"] = json!({"currency": "USD", "price": [{"amount": 0.4}]});
    }
}

fn limits(over_limit: OverLimit) -> TenantLimits {
    TenantLimits {
        max_in_flight: None,
        max_queued: None,
        runs_per_day: None,
        spend_per_month: None,
        currency: "USD".into(),
        over_limit,
    }
}

async fn refused(modelrow: &Modelrow, request: RunRequest) -> (diag::Code, Limit) {
    match modelrow.run_profile(request).await {
        Err(error @ RunError::OverLimit { .. }) => {
            let code = error.diagnostics().iter().next().unwrap().code;
            let RunError::OverLimit { over, retry_after } = error else {
                unreachable!()
            };
            assert!(retry_after > Duration::ZERO && retry_after < Duration::from_secs(32 * 86_400));
            (code, over.limit)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_spends_no_more_than_its_budget_and_sees_what_is_left() {
    let house = House::with(quick(), priced).await;
    let modelrow = house.start().await;
    let budget = TenantLimits {
        spend_per_month: Some("1".into()),
        ..limits(OverLimit::Refuse)
    };
    modelrow
        .set_limits(DEFAULT_TENANT, Some(&budget), "ann")
        .await
        .unwrap();
    let view = ended(&modelrow, cat()).await;
    let cost = view.cost.unwrap();
    assert_eq!(
        (cost.estimate.as_deref(), cost.actual.as_deref()),
        (Some("0.4"), Some("0.4"))
    );
    modelrow.run_profile(cat()).await.unwrap();
    let over = refused(&modelrow, cat()).await;
    assert_eq!(over, (diag::Code::R181, Limit::Spend));
    let view = modelrow.limits(DEFAULT_TENANT).await.unwrap();
    let spend = view.spend_per_month.unwrap();
    assert_eq!((spend.left.as_str(), spend.most.as_str()), ("0.2", "1"));
    // Of the month to come.
    let mut waits = cat();
    waits.over_limit = Some(OverLimit::Queue);
    let waiting = modelrow
        .run_profile(waits)
        .await
        .unwrap()
        .view()
        .await
        .unwrap();
    assert_eq!(
        (waiting.status, waiting.not_before),
        (Status::Queued, Some(spend.until))
    );
    let usage = modelrow.usage(DEFAULT_TENANT).await.unwrap();
    assert_eq!(
        (usage.runs_today, usage.spend[0].currency.as_str()),
        (3, "USD")
    );
    until("both are sent", || async {
        house.asked(Operation::Create).len() >= 2
    })
    .await;
    assert_eq!(house.asked(Operation::Create).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_runs_in_flight_are_refused_or_wait_as_it_has_chosen() {
    let mut config = quick();
    config.jobs.run_ms = 500;
    let house = House::new(config).await;
    let workers = four(&house, || house.options()).await;
    let one = |over| TenantLimits {
        max_in_flight: Some(1),
        ..limits(over)
    };
    let caller = &workers[0];
    let set = async |limits: &TenantLimits| {
        caller
            .set_limits(DEFAULT_TENANT, Some(limits), "ann")
            .await
            .unwrap();
    };
    set(&one(OverLimit::Refuse)).await;
    let first = caller.run_profile(cat()).await.unwrap();
    let over = refused(caller, cat()).await;
    assert_eq!(over, (diag::Code::R180, Limit::InFlight));
    first.wait().await.unwrap();
    set(&one(OverLimit::Queue)).await;
    let mut runs = Vec::new();
    for i in 0..6 {
        runs.push(workers[i % 4].run_profile(cat()).await.unwrap().id());
    }
    for run in runs {
        let view = caller.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
    let (creates, contents) = (
        house.asked(Operation::Create),
        house.asked(Operation::Content),
    );
    assert_eq!((creates.len(), most_at_once(&creates, &contents)), (7, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_four_processes_never_pass_a_tenants_limit_together() {
    let house = House::with(quick(), priced).await;
    let workers = four(&house, || house.options()).await;
    let most = TenantLimits {
        runs_per_day: Some(5),
        spend_per_month: Some("1.3".into()),
        ..limits(OverLimit::Refuse)
    };
    let set = workers[0].set_limits(DEFAULT_TENANT, Some(&most), "ann");
    set.await.unwrap();
    let calls = (0..20).map(|i| workers[i % 4].run_profile(cat()));
    let (mut made, mut refused) = (Vec::new(), 0);
    for call in futures_util::future::join_all(calls).await {
        match call {
            Ok(run) => made.push(run),
            Err(RunError::OverLimit { over, .. }) => {
                assert_eq!(over.limit, Limit::Spend);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((made.len(), refused), (3, 17));
    for run in made {
        assert_eq!(run.wait().await.unwrap().status, Status::Succeeded);
    }
    assert_eq!(house.asked(Operation::Create).len(), 3);
    let spend = workers[1].limits(DEFAULT_TENANT).await.unwrap();
    let spend = spend.spend_per_month.unwrap();
    assert_eq!((spend.spent.as_str(), spend.left.as_str()), ("1.2", "0.1"));
}
