//! Workers come, go and die; a paid job is never lost and never paid for twice.

use crate::doubt::{outcomes, taker};
use crate::house::{House, LIMIT, cat, holds_a_lease, quick, until};
use runtime::{Modelrow, Options, Status, Work};
use simulator::{Action, Operation, Rule};
use sqlx::{Connection as _, PgConnection, Row as _};
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
    // A lock of the table would be waited for before the statement begins, where it is new to its connection.
    house.as_owner(INTENTS_WAIT).await;
    let (worker, taker) = (house.start().await, taker(&house).await);
    // The run is queued and claimed, or claimed with its insert.
    for caller in [&taker, &worker] {
        until("a lease was lost between an intent and its commit", || {
            loses_its_lease_with_an_intent(&house, &worker, caller)
        })
        .await;
    }
}

const INTENTS_WAIT: &str = "create function waits() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock_shared(7); return new; end $$;
    create trigger waits before insert on submit_attempts for each row execute function waits()";

/// `false`: it was lost before. The hint of a new run may be missed.
async fn loses_its_lease_with_an_intent(
    house: &House,
    worker: &Modelrow,
    caller: &Modelrow,
) -> bool {
    holds_a_lease(worker).await;
    // The renewal waits for the first lock, the intent for the second: the lease is over when the commit answers.
    let locks = "begin; lock table workers in share mode; select pg_advisory_xact_lock(7)";
    let held = house.as_owner(locks).await;
    let lost = async {
        until("the lease is lost", || async {
            !worker.readiness().await.reasons.is_empty()
        })
        .await;
        held.close().await.unwrap();
    };
    let asked = house.asked(Operation::Create).len();
    let (run, ()) = tokio::join!(caller.run_profile(cat()), lost);
    let run = run.unwrap().id();
    let view = caller.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(house.asked(Operation::Create).len(), asked + 1);
    outcomes(&view) == ["not_sent", "accepted"]
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

/// Writes down which worker claimed which run.
const CLAIMS: &str = "
    create table claims (run_id uuid, worker_id uuid);
    create function claimed() returns trigger language plpgsql security definer as
        'begin insert into claims values (new.run_id, new.worker_id); return null; end';
    create trigger claimed after update on run_states for each row
        when (new.state = 'submitting' and old.state <> 'submitting') execute function claimed();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_gives_its_runs_to_the_other_and_claims_none_until_it_is_started_again()
 {
    let mut config = quick();
    config.jobs.run_ms = 3_000;
    let house = House::new(config).await;
    let first = house.start().await;
    let old = first.run_profile(cat()).await.unwrap().id();
    until("its acceptance is written", || async {
        let view = first.run(DEFAULT_TENANT, old).await.unwrap();
        view.provider_job_id.is_some()
    })
    .await;
    let drained = first.fleet().await.unwrap().workers[0].id;
    let second = house.start().await;
    first.drain(drained, "a test").await.unwrap();
    until("the other owns every shard", || async {
        let fleet = second.fleet().await.unwrap();
        let shards = |id| fleet.workers.iter().find(|w| w.id == id).unwrap().shards;
        fleet.workers.len() == 2 && fleet.orphan_shards == 0 && shards(drained) == 0
    })
    .await;
    let mut owner = house.as_owner(CLAIMS).await;
    let mut runs = vec![old];
    for _ in 0..6 {
        // Who drains still takes calls.
        runs.push(first.run_profile(cat()).await.unwrap().id());
    }
    for run in runs {
        let view = first.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
        assert_eq!(
            (view.status, view.attempts.len()),
            (Status::Succeeded, 1),
            "{view:#?}"
        );
    }
    let claims =
        format!("select count(*), count(*) filter (where worker_id = '{drained}') from claims");
    let claims = sqlx::raw_sql(sqlx::AssertSqlSafe(claims))
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let claims: (i64, i64) = (claims.get(0), claims.get(1));
    assert_eq!(claims, (6, 0), "all of them, and those of who drains");
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len()
        ),
        (7, 7)
    );
    first.shutdown(LIMIT).await;
    second.shutdown(LIMIT).await;
    let again = house.start().await;
    let run = again.run_profile(cat()).await.unwrap().id();
    let view = again.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_shutdown_nothing_of_ours_is_connected_and_the_lease_is_gone() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    holds_a_lease(&modelrow).await;
    // Another clone lives on, so that it is the shutdown that closes.
    let clone = modelrow.clone();
    let ours = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'modelrow'";
    assert!(house.count(ours).await >= 2);
    modelrow.shutdown(LIMIT).await;
    assert_eq!(house.count("select count(*) from workers").await, 0);
    // A backend ends a moment after its client has said goodbye.
    let gone = tokio::time::timeout(
        Duration::from_secs(5),
        until("they are gone", || async { house.count(ours).await == 0 }),
    );
    assert!(gone.await.is_ok(), "a connection is left");
    assert!(!clone.readiness().await.reasons.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_database_in_the_middle_of_polling_loses_nothing() {
    let mut config = quick();
    config.jobs.run_ms = 6_000;
    let house = House::with(config, crate::house::quick_polls).await;
    let modelrow = house.start().await;
    let run = modelrow.run_profile(cat()).await.unwrap().id();
    until("the job is polled", || async {
        !house.asked(Operation::Retrieve).is_empty()
    })
    .await;
    for _ in 0..3 {
        house.cut_connections().await;
        let polls = house.asked(Operation::Retrieve).len();
        until("it is polled again", || async {
            house.asked(Operation::Retrieve).len() > polls
        })
        .await;
    }
    let view = modelrow.wait(DEFAULT_TENANT, run, LIMIT).await;
    let view = match view {
        Ok(view) => view,
        // The caller's own connection was one of those that were cut.
        Err(_) => modelrow.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap(),
    };
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len(),
            view.attempts.len()
        ),
        (1, 1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_only_takes_calls_sees_the_progress_of_a_run_that_another_follows() {
    let mut config = quick();
    config.jobs.never_ends = true;
    let house = House::with(config, crate::house::quick_polls).await;
    let taker = Modelrow::start(Options {
        work: Work::No,
        ..house.options()
    })
    .await
    .unwrap();
    let _worker = house.start().await;
    let run = taker.run_profile(cat()).await.unwrap();
    until("it shows", || async {
        run.view()
            .await
            .unwrap()
            .progress
            .is_some_and(|percent| percent > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_that_nobody_watches_is_not_written() {
    let mut config = quick();
    config.jobs.run_ms = 2_000;
    let house = House::with(config, crate::house::quick_polls).await;
    let modelrow = house.start().await;
    drop(modelrow.run_profile(cat()).await.unwrap());
    until("it has ended", || async {
        house
            .count("select count(*) from run_states where state = 'succeeded'")
            .await
            == 1
    })
    .await;
    assert!(house.asked(Operation::Retrieve).len() > 1);
    assert_eq!(
        house
            .count("select count(*) from run_states where progress is not null")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_changed_nothing_writes_nothing() {
    use sqlx::Row as _;
    let mut config = quick();
    config.jobs.never_ends = true;
    let house = House::with(config, crate::house::quick_polls).await;
    let modelrow = house.start().await;
    drop(modelrow.run_profile(cat()).await.unwrap());
    let polled = |more: usize| {
        let (house, from) = (&house, house.asked(Operation::Retrieve).len());
        until("it is polled", move || async move {
            house.asked(Operation::Retrieve).len() >= from + more
        })
    };
    let mut connection = PgConnection::connect(&house.database.url).await.unwrap();
    let written = "select s.xmin::text || ' ' || a.xmin::text || ' ' || (select count(*) from run_events) from run_states s, submit_attempts a";
    polled(1).await;
    let before: String = sqlx::raw_sql(written)
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    polled(5).await;
    let after: String = sqlx::raw_sql(written)
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_is_never_dropped_for_a_lost_lease_or_a_sweep() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::DelayAnswer { ms: 4_000 },
    )];
    let house = House::new(config).await;
    let modelrow = house.start().await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    until("it is sent", || async {
        !house.sim.accepted_jobs().is_empty()
    })
    .await;
    house.sql("delete from workers").await;
    until("it is swept", || async {
        run.view().await.unwrap().state == "submit_unknown"
    })
    .await;
    let view = modelrow
        .wait(DEFAULT_TENANT, run.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert!(
        !view.attempts[0].adopted && house.asked(Operation::List).is_empty(),
        "its sender's own word"
    );
    assert_eq!(house.asked(Operation::Create).len(), 1);
}

/// The lease as another session sees it, on a thread that nothing blocks: its owner, and how often it was renewed.
fn renewals(url: &str, times: usize) -> Vec<String> {
    use sqlx::Row as _;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let (mut owners, mut last) = (Vec::new(), String::new());
        while owners.len() < times {
            let row = sqlx::raw_sql(
                "select worker_id::text, expires_at::text from workers where expires_at > now()",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
            let at: String = row.get(1);
            if at != last {
                owners.push(row.get(0));
                last = at;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        owners
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "what it spawns only stands in the way"
)]
async fn the_lease_is_renewed_on_a_thread_of_its_own_however_busy_the_program_is() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    holds_a_lease(&modelrow).await;
    let url = house.database.url.clone();
    // Longer than the lease lasts: 3 s, renewed each 300 ms.
    let watch = std::thread::spawn(move || renewals(&url, 15));
    let (done, busy) = std::sync::mpsc::channel::<()>();
    let busy = std::sync::Arc::new(std::sync::Mutex::new(busy));
    for _ in 0..2 {
        let busy = std::sync::Arc::clone(&busy);
        tokio::spawn(async move {
            // Both of the runtime's threads stand still.
            drop(busy.lock().map(|busy| busy.recv()));
        });
    }
    let owners = watch.join().unwrap();
    drop(done);
    assert!(owners.windows(2).all(|two| two[0] == two[1]), "{owners:?}");
}
