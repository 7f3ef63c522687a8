//! The self-check of the design's sketch, and what belongs to it.

use super::house::{HOUR, House, NOW, accepted, refused};
use crate::decisions::{Came, Ended};
use crate::facts::{Acceptance, Answered, Fetched, Then, Unknown};
use crate::identity::Failover;
use crate::runs::{Cancel, Inserted};
use crate::workers::Lease;
use crate::{Outcome, State};
use serde_json::json;
use uuid::Uuid;

fn fetched(run: Uuid, key: &str) -> Fetched {
    Fetched {
        run_id: run,
        name: "video".into(),
        idx: 0,
        object_key: key.into(),
        sha256: vec![1; 32],
        bytes: 1,
        content_type: "video/mp4".into(),
        keep: None,
    }
}

#[tokio::test]
async fn a_key_makes_one_run_and_another_body_is_told_apart() {
    let house = House::new().await;
    let first = house.call(1, Some("key"));
    assert_eq!(
        house.store.run_insert(&first).await.unwrap(),
        Inserted::New(first.run_id)
    );
    assert_eq!(
        house.store.run_insert(&first).await.unwrap(),
        Inserted::New(first.run_id),
        "a lost commit answer, asked again"
    );
    let mut again = house.call(2, Some("key"));
    assert_eq!(
        house.store.run_insert(&again).await.unwrap(),
        Inserted::Same(first.run_id)
    );
    again.request_sha256 = vec![2; 32];
    assert_eq!(
        house.store.run_insert(&again).await.unwrap(),
        Inserted::OtherBody(first.run_id)
    );
    assert_eq!(
        house.one("select count(*) from runs").await,
        "1",
        "one run for one idempotency key"
    );
}

/// Worker 10 sends three runs and is paused beyond its lease; worker 11 sweeps.
async fn swept(house: &House) -> ([Lease; 2], [Uuid; 3]) {
    let ((a, la, _), (b, lb, _)) = (house.worker(10).await, house.worker(11).await);
    let runs = [
        house.queue(1).await,
        house.queue(2).await,
        house.queue(3).await,
    ];
    assert_eq!(house.submit(a, &runs, 1).await, 3);
    house.sql("update workers set expires_at = now() where worker_id = '00000000-0000-0000-0000-00000000000a'").await;
    assert_eq!(
        house.store.senders_sweep(a, 200, 100).await.unwrap(),
        [],
        "a dead worker sweeps nothing"
    );
    assert_eq!(
        house.store.senders_sweep(b, 200, 100).await.unwrap().len(),
        3
    );
    ([la, lb], runs)
}

#[tokio::test]
async fn a_second_live_attempt_is_impossible() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    assert_eq!(house.submit(a, &[run], 1).await, 1);
    assert_eq!(
        house.submit(a, &[run], 2).await,
        0,
        "an intent on a submitting run does nothing"
    );
    // A row edited by hand back into the queue: the index says no, and stops nobody else.
    house.sql("update run_states set state = 'queued'").await;
    let other = house.queue(2).await;
    assert_eq!(
        house.submit(a, &[run, other], 2).await,
        1,
        "the other one goes"
    );
    assert_eq!(house.store.attempts(run).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_sweep_makes_the_runs_of_a_dead_sender_unknown_and_proves_nothing() {
    let house = House::new().await;
    let (_leases, runs) = swept(&house).await;
    for run in runs {
        assert_eq!(
            house.stands(run).await,
            (State::SubmitUnknown, "maybe".into())
        );
        assert_eq!(
            house.store.settle_absent(run, 1, 2, NOW).await.unwrap(),
            None
        );
        assert_eq!(
            house.stands(run).await.0,
            State::SubmitUnknown,
            "absence proves nothing while the sender may live"
        );
    }
}

#[tokio::test]
async fn a_late_acceptance_is_adopted_and_written_twice_changes_nothing() {
    let house = House::new().await;
    let (_leases, [run, _, _]) = swept(&house).await;
    let fact = accepted(run, 1, "job-1");
    let first = house.store.fact_accepted(&fact).await.unwrap();
    assert_eq!(
        first,
        Acceptance::Follows {
            ver: 3,
            cancel: false
        }
    );
    assert_eq!(house.stands(run).await, (State::Polling, "yes".into()));
    assert_eq!(
        house.store.fact_accepted(&fact).await.unwrap(),
        Acceptance::Already
    );
    assert_eq!(house.ver(run).await, 3);
    let other = house
        .store
        .fact_accepted(&accepted(run, 1, "job-9"))
        .await
        .unwrap();
    assert_eq!(
        other,
        Acceptance::Contradicts(Some(Outcome::Accepted)),
        "an alarm, not a dropped result"
    );
}

#[tokio::test]
async fn a_late_refusal_frees_the_run_but_not_once_a_replay_began() {
    let house = House::new().await;
    let store = &house.store;
    let (_leases, [_, run, replayed]) = swept(&house).await;
    assert_eq!(store.settle_absent(run, 1, 99, NOW).await.unwrap(), None);
    assert_eq!(
        store.attempts(run).await.unwrap()[0].outcome,
        Outcome::Unknown,
        "a stale decision leaves the attempt alone"
    );
    let moved = store
        .fact_closed(&refused(run, 1, Then::Again(NOW)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (moved.state, house.stands(run).await.1.as_str()),
        (State::Queued, "none")
    );

    assert!(
        store
            .replay_intend(replayed, 1, NOW)
            .await
            .unwrap()
            .is_none(),
        "the key's life is over"
    );
    assert!(
        store
            .replay_intend(replayed, 1, 24 * HOUR)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        store
            .fact_closed(&refused(replayed, 1, Then::Again(NOW)))
            .await
            .unwrap(),
        None
    );
    let unknown = Unknown {
        run_id: replayed,
        n: 1,
        shard: 1,
        http_status: None,
        answer: None,
    };
    let ver = house.ver(replayed).await;
    assert_eq!(store.fact_unknown(&unknown).await.unwrap(), None);
    assert_eq!(
        house.ver(replayed).await,
        ver + 1,
        "whoever follows it reads again that the sender has ended"
    );
    assert_eq!(
        store
            .settle_absent(replayed, 1, ver + 1, NOW)
            .await
            .unwrap(),
        None,
        "nor does absence free it"
    );
    assert_eq!(
        house.stands(replayed).await,
        (State::SubmitUnknown, "maybe".into())
    );
}

#[tokio::test]
async fn proof_reopens_unknown_outcome_with_its_own_event() {
    let house = House::new().await;
    let (_leases, [run, _, _]) = swept(&house).await;
    assert_eq!(
        house
            .store
            .settle_gave_up(run, 2, &json!({"known": 1}))
            .await
            .unwrap(),
        Some(3)
    );
    let late = house
        .store
        .fact_accepted(&accepted(run, 1, "job-3"))
        .await
        .unwrap();
    assert!(matches!(late, Acceptance::Follows { .. }));
    assert_eq!(house.stands(run).await, (State::Polling, "yes".into()));
    let events = house.store.events(house.tenant, run, 0, 9).await.unwrap();
    assert_eq!(
        events.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(),
        ["failed", "reopened"]
    );
}

#[tokio::test]
async fn a_written_off_attempt_is_repeated_and_its_money_stays_in_doubt() {
    let house = House::new().await;
    let (_leases, [run, _, _]) = swept(&house).await;
    assert_eq!(
        house.store.settle_written_off(run, 1, 9).await.unwrap(),
        None,
        "a stale decision"
    );
    assert_eq!(
        house.store.settle_written_off(run, 1, 2).await.unwrap(),
        Some(3)
    );
    assert_eq!(house.stands(run).await, (State::Queued, "maybe".into()));
    assert_eq!(house.submit(Uuid::from_u128(11), &[run], 2).await, 1);
}

/// A run that its provider has accepted, and its version.
async fn polling(house: &House) -> (Lease, Uuid, i64) {
    let (a, lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    house
        .store
        .fact_accepted(&accepted(run, 1, "job-1"))
        .await
        .unwrap();
    let ver = house.ver(run).await;
    (lease, run, ver)
}

#[tokio::test]
async fn a_cancel_does_not_touch_ver() {
    let house = House::new().await;
    let (_lease, run, ver) = polling(&house).await;
    let canceled = house.store.run_cancel(house.tenant, run).await.unwrap();
    assert_eq!(canceled, Some(Cancel::Asked(State::Polling)));
    assert_eq!(house.ver(run).await, ver);
    assert!(house.store.work(&[run]).await.unwrap()[0].cancel_requested);
}

#[tokio::test]
async fn a_run_past_its_deadline_is_told_once_and_followed_on() {
    let house = House::new().await;
    let (_lease, run, ver) = polling(&house).await;
    assert!(
        !house.store.mark_overdue(run).await.unwrap(),
        "not before its deadline"
    );
    house
        .sql("update run_states set deadline_at = now() - interval '1 s'")
        .await;
    assert!(house.store.mark_overdue(run).await.unwrap());
    assert!(!house.store.mark_overdue(run).await.unwrap(), "told once");
    assert_eq!(
        house
            .one("select count(*) from outbox where event = 'run.overdue'")
            .await,
        "1"
    );
    let row = house
        .store
        .run(house.tenant, run)
        .await
        .unwrap()
        .unwrap()
        .run;
    assert_eq!(
        (row.state, row.ver, row.overdue),
        (State::Polling, ver, true)
    );
}

#[tokio::test]
async fn starting_a_fetch_bumps_ver_and_the_first_good_copy_wins_whatever_its_ver() {
    let house = House::new().await;
    let store = &house.store;
    let (_lease, run, ver) = polling(&house).await;
    assert_eq!(
        store.fetch_start(run, ver, None, None).await.unwrap(),
        Some(ver + 1)
    );
    assert_eq!(
        store.fetch_start(run, ver, None, None).await.unwrap(),
        None,
        "a stale owner"
    );
    assert_eq!(
        store.poll_again(run, ver + 1).await.unwrap(),
        Some(ver + 2),
        "an expired address is asked for again"
    );
    assert_eq!(
        store
            .fetch_start(run, ver + 2, None, Some(HOUR))
            .await
            .unwrap(),
        Some(ver + 3)
    );
    assert_eq!(
        store
            .fact_fetched(&fetched(run, "k/4"))
            .await
            .unwrap()
            .map(|row| row.object_key)
            .as_deref(),
        Some("k/4")
    );
    assert_eq!(
        store
            .fact_fetched(&fetched(run, "k/5"))
            .await
            .unwrap()
            .map(|row| row.object_key)
            .as_deref(),
        Some("k/4")
    );
    assert_eq!(
        store
            .fact_fetched(&fetched(Uuid::from_u128(99), "k/6"))
            .await
            .unwrap()
            .map(|row| row.object_key),
        None,
        "no such run"
    );
    assert_eq!(
        store
            .run(house.tenant, run)
            .await
            .unwrap()
            .unwrap()
            .artifacts
            .len(),
        1
    );
}

/// The end of a run that is fetching, with its last file.
fn end_with(run: Uuid, key: &str) -> Ended {
    Ended {
        run_id: run,
        n: 1,
        ver: None,
        from: State::Fetching,
        to: State::Succeeded,
        captured: Some(json!({"output": key})),
        failure: None,
        cleanup: None,
        file: Some(fetched(run, key)),
        answer: None,
    }
}

/// The end of a run that is sent, with the answer to it.
fn end_by_answer(run: Uuid, n: i32) -> Ended {
    Ended {
        n,
        from: State::Submitting,
        file: None,
        answer: Some(Came {
            endpoint: "https://acme.test".into(),
            http_status: Some(200),
        }),
        ..end_with(run, "k")
    }
}

#[tokio::test]
async fn an_answers_fact_is_written_with_the_end_and_never_dropped_with_it() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    let mut runs = Vec::new();
    for run in 1..=3 {
        runs.push(house.queue(run).await);
    }
    house.submit(a, &runs, 1).await;
    let [first, canceled, swept] = runs[..] else {
        panic!("three runs");
    };
    let attempt = async |run| {
        let of = format!(
            "select outcome || coalesce(http_status::text, '') from submit_attempts where run_id = '{run}'"
        );
        house.one(&of).await
    };
    assert_eq!(
        store.run_ended(&end_by_answer(first, 2)).await.unwrap(),
        None,
        "another attempt's"
    );
    assert!(
        store
            .run_ended(&end_by_answer(first, 1))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        store.run_ended(&end_by_answer(first, 1)).await.unwrap(),
        None,
        "written twice"
    );
    assert_eq!(house.stands(first).await, (State::Succeeded, "yes".into()));
    assert_eq!(attempt(first).await, "accepted200");
    // Its caller, or a sweep, was first: nothing moves, and the fact is written by itself.
    store.run_cancel(house.tenant, canceled).await.unwrap();
    assert_eq!(
        store.run_ended(&end_by_answer(canceled, 1)).await.unwrap(),
        None
    );
    house
        .sql(&format!("update run_states set state = 'submit_unknown', shard = 1, worker_id = null where run_id = '{swept}'"))
        .await;
    assert_eq!(
        store.run_ended(&end_by_answer(swept, 1)).await.unwrap(),
        None
    );
    for run in [canceled, swept] {
        assert_eq!(attempt(run).await, "pending", "it may still be written");
        let fact = Answered {
            run_id: run,
            n: 1,
            shard: 1,
            endpoint: "e".into(),
            captured: json!({}),
            http_status: Some(200),
        };
        assert!(store.fact_answered(&fact).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_last_files_fact_stands_with_its_runs_end_and_without_it() {
    let house = House::new().await;
    let (store, files) = (&house.store, "select count(*) from artifacts");
    let (_lease, run, ver) = polling(&house).await;
    assert_eq!(store.run_ended(&end_with(run, "k/1")).await.unwrap(), None);
    assert_eq!(
        house.stands(run).await.0,
        State::Polling,
        "it fetches nothing"
    );
    assert_eq!(house.one(files).await, "1", "the file is here all the same");

    house.sql("delete from artifacts").await;
    store.fetch_start(run, ver, None, None).await.unwrap();
    let other = store.fact_fetched(&fetched(run, "k/2")).await.unwrap();
    assert_eq!(other.unwrap().object_key, "k/2");
    assert_eq!(store.run_ended(&end_with(run, "k/1")).await.unwrap(), None);
    assert_eq!(
        house.stands(run).await.0,
        State::Fetching,
        "an end that tells of another copy than stands is none"
    );

    house.sql("delete from artifacts").await;
    let ended = store.run_ended(&end_with(run, "k/3")).await.unwrap();
    assert_eq!(ended, Some(ver + 2));
    assert_eq!(store.run_ended(&end_with(run, "k/3")).await.unwrap(), None);
    let stands = store.fact_fetched(&fetched(run, "k/3")).await.unwrap();
    assert_eq!(stands.unwrap().object_key, "k/3", "written twice");
    assert_eq!(house.stands(run).await.0, State::Succeeded);
    assert_eq!(house.one(files).await, "1");
}

#[tokio::test]
async fn a_run_ends_once_with_one_callback_and_events_without_a_gap() {
    let house = House::new().await;
    let (_lease, run, ver) = polling(&house).await;
    house.store.fetch_start(run, ver, None, None).await.unwrap();
    let end = Ended {
        run_id: run,
        n: 1,
        ver: None,
        from: State::Fetching,
        to: State::Succeeded,
        captured: Some(json!({"output": 1})),
        failure: None,
        cleanup: Some(json!({})),
        file: None,
        answer: None,
    };
    assert!(house.store.run_ended(&end).await.unwrap().is_some());
    assert_eq!(house.store.run_ended(&end).await.unwrap(), None);
    assert_eq!(
        house
            .one("select count(*) from outbox where event = 'run.succeeded'")
            .await,
        "1",
        "one end, one callback"
    );
    assert_eq!(
        house
            .one("select count(*) from outbox where kind = 'cleanup'")
            .await,
        "1",
        "the cleanup follows the end's commit"
    );
    let events = house.store.events(house.tenant, run, 0, 9).await.unwrap();
    let seen: Vec<_> = events.iter().map(|e| (e.seq, e.kind.as_str())).collect();
    assert_eq!(seen, [(1, "accepted"), (2, "succeeded")]);
}

#[tokio::test]
async fn a_former_owner_ends_a_run_with_a_result_only_and_another_attempt_ends_it_in_no_way() {
    let house = House::new().await;
    let store = &house.store;
    let (_lease, run, ver) = polling(&house).await;
    let started = store.fetch_start(run, ver, None, None).await.unwrap();
    let mine = store.fetch_start(run, started.unwrap(), None, None).await;
    let failed = |n, ver| Ended {
        to: State::Failed,
        failure: Some(json!({"code": "output_invalid"})),
        file: None,
        n,
        ver: Some(ver),
        ..end_with(run, "k/1")
    };
    let stale = store.run_ended(&failed(1, started.unwrap())).await.unwrap();
    assert_eq!(stale, None, "the owner of now may have the file");
    let other = Ended {
        n: 2,
        ..end_with(run, "k/1")
    };
    let other = Ended {
        file: None,
        ..other
    };
    assert_eq!(store.run_ended(&other).await.unwrap(), None);
    assert_eq!(
        house.stands(run).await.0,
        State::Fetching,
        "the end of one attempt's job is not that of another"
    );
    let ended = store.run_ended(&end_with(run, "k/1")).await.unwrap();
    assert_eq!(ended, mine.unwrap().map(|ver| ver + 1), "whoever has it");
}

#[tokio::test]
async fn no_run_ends_for_time_without_a_younger_answer_or_before_twice_its_life() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    house
        .store
        .fact_accepted(&accepted(run, 1, "job-1"))
        .await
        .unwrap();
    let ver = house.ver(run).await;
    house.sql("update run_states set accepted_at = now() - interval '3 h', give_up_at = now() - interval '1 h'").await;
    assert_eq!(
        house.store.run_gave_up(run, ver, None).await.unwrap(),
        None,
        "never an answer, not twice its life"
    );
    assert_eq!(
        house
            .store
            .run_gave_up(run, ver, Some(2 * HOUR))
            .await
            .unwrap(),
        None,
        "an answer older than the limit"
    );
    assert!(
        house
            .store
            .run_gave_up(run, ver, Some(NOW))
            .await
            .unwrap()
            .is_some(),
        "a younger one"
    );
    house.sql("update run_states set state = 'polling', ended_at = null, shard = 1, accepted_at = now() - interval '5 h', give_up_at = now() - interval '3 h'").await;
    assert!(
        house
            .store
            .run_gave_up(run, ver + 1, None)
            .await
            .unwrap()
            .is_some(),
        "twice its life"
    );
}

#[tokio::test]
async fn after_a_rewind_nothing_is_sent_again_by_itself() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    assert_eq!(
        house
            .store
            .database_rewound(Failover::MayLose)
            .await
            .unwrap()
            .held,
        None,
        "the same database"
    );
    house
        .sql("update database_identity set timeline = '000000FF'")
        .await;
    assert_eq!(
        house
            .store
            .database_rewound(Failover::MayLose)
            .await
            .unwrap()
            .held,
        Some(vec![run])
    );
    assert_eq!(
        house
            .store
            .database_rewound(Failover::MayLose)
            .await
            .unwrap()
            .held,
        None,
        "noticed once"
    );
    let mut claim = house.claim(a).await;
    assert!(claim.pick(10).await.unwrap().is_empty());
    drop(claim);
    let note = json!({"reason": "checked", "by": "ann"});
    let released = house.store.runs_release(None, &note).await.unwrap();
    assert_eq!(released.len(), 1);
    house
        .sql("update database_identity set system_identifier = '1'")
        .await;
    assert_eq!(
        house
            .store
            .database_rewound(Failover::Lossless)
            .await
            .unwrap()
            .held,
        Some(vec![]),
        "a synchronous standby holds nothing"
    );
}
