//! A database that knows less than the memory of a worker.

use super::house::{House, accepted, intent};
use crate::facts::Acceptance;
use crate::identity::Failover;
use crate::rewind::{Known, Remembered};
use crate::{Outcome, State};
use serde_json::json;
use uuid::Uuid;

fn remembered(house: &House, run: Uuid, n: i32, ver: i64) -> Remembered {
    Remembered {
        intent: intent(run, n),
        tenant_id: house.tenant,
        credential_id: house.credential,
        revision_id: house.revision.clone(),
        ver,
    }
}

/// As a copy from before the first attempt has it.
const BEFORE: &str = "delete from submit_attempts; update run_states set state = 'queued', attempt = 0, ver = 0, shard = null,
    worker_id = null, spent = 'none', provider_job_id = null, accepted_at = null, deadline_at = null, give_up_at = null, ended_at = null";

#[tokio::test]
async fn a_lost_attempt_is_there_again_with_its_job_and_nothing_is_sent_for_its_run() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    store.fact_accepted(&accepted(run, 1, "j")).await.unwrap();
    house.sql(BEFORE).await;
    let lost = store.fact_accepted(&accepted(run, 1, "j")).await.unwrap();
    assert_eq!(lost, Acceptance::Contradicts(None), "no attempt is left");
    let memory = remembered(&house, run, 1, 7);
    assert_eq!(store.attempt_again(&memory, 3).await.unwrap(), Known::Again);
    assert_eq!(
        store.attempt_again(&memory, 3).await.unwrap(),
        Known::Stands
    );
    assert_eq!(
        (house.stands(run).await, house.ver(run).await),
        ((State::SubmitUnknown, "maybe".into()), 8),
        "its version never goes down"
    );
    assert!(
        house
            .store
            .run(house.tenant, run)
            .await
            .unwrap()
            .unwrap()
            .run
            .held
    );
    let found = store.fact_accepted(&accepted(run, 1, "j")).await.unwrap();
    assert_eq!(
        found,
        Acceptance::Follows {
            ver: 9,
            cancel: false
        }
    );
    assert_eq!(house.submit(a, &[run], 2).await, 0, "one may be paid for");
}

#[tokio::test]
async fn what_a_run_tried_before_a_remembered_attempt_is_over_and_a_later_attempt_stays() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    store.fact_accepted(&accepted(run, 1, "j1")).await.unwrap();
    let second = remembered(&house, run, 2, 9);
    assert_eq!(store.attempt_again(&second, 3).await.unwrap(), Known::Again);
    store.fact_accepted(&accepted(run, 2, "j2")).await.unwrap();
    let outcomes: Vec<_> = store.attempts(run).await.unwrap();
    let outcomes: Vec<_> = outcomes.iter().map(|sent| sent.outcome).collect();
    assert_eq!(outcomes, [Outcome::WrittenOff, Outcome::Accepted]);
    house.sql("delete from submit_attempts where n = 1").await;
    let first = remembered(&house, run, 1, 3);
    assert_eq!(store.attempt_again(&first, 3).await.unwrap(), Known::Passed);
    assert_eq!(house.stands(run).await.0, State::Polling);
}

#[tokio::test]
async fn a_remembered_attempt_of_a_run_that_was_canceled_cancels_its_job() {
    let house = House::new().await;
    let store = &house.store;
    let run = house.queue(1).await;
    store.run_cancel(house.tenant, run).await.unwrap();
    let memory = remembered(&house, run, 1, 4);
    assert_eq!(store.attempt_again(&memory, 3).await.unwrap(), Known::Again);
    assert_eq!(house.stands(run).await, (State::Canceled, "maybe".into()));
    let found = store.fact_accepted(&accepted(run, 1, "j")).await.unwrap();
    assert_eq!(found, Acceptance::CancelOnly);
    let cancels = "select count(*) from outbox where kind = 'cancel'";
    assert_eq!(house.one(cancels).await, "1");
}

#[tokio::test]
async fn a_job_whose_run_is_gone_is_noted_until_an_operator_has_dealt_with_it() {
    let house = House::new().await;
    let store = &house.store;
    let gone = remembered(&house, Uuid::now_v7(), 1, 4);
    assert_eq!(store.attempt_again(&gone, 3).await.unwrap(), Known::NoRun);
    store.orphan_note(&gone, None, None).await.unwrap();
    let captured = json!({"job_id": "j"});
    for _ in 0..2 {
        store
            .orphan_note(&gone, Some("j"), Some(&captured))
            .await
            .unwrap();
    }
    let noted = store.orphans().await.unwrap();
    assert_eq!(noted.len(), 1);
    assert_eq!(
        (
            noted[0].provider_job_id.as_deref(),
            noted[0].captured.as_ref()
        ),
        (Some("j"), Some(&captured))
    );
    let run = gone.intent.run_id;
    assert!(store.orphan_forget(run, "ann").await.unwrap());
    assert!(!store.orphan_forget(run, "ann").await.unwrap());
    let told =
        "select actor || ' ' || (before ->> 'job') from audit_log where action = 'orphan.forget'";
    assert_eq!(house.one(told).await, "ann j");
}

#[tokio::test]
async fn what_was_made_from_rows_that_are_gone_cannot_be_followed() {
    let house = House::new().await;
    let run = house.queue(1).await;
    let newer = Remembered {
        revision_id: vec![9; 32],
        ..remembered(&house, run, 1, 4)
    };
    let known = house.store.attempt_again(&newer, 3).await.unwrap();
    assert_eq!(known, Known::NoRun);
    assert_eq!(house.stands(run).await.0, State::Queued);
}

#[tokio::test]
async fn whoever_looks_second_at_another_server_sees_it_by_what_it_saw_before() {
    let house = House::new().await;
    let look = async || {
        house
            .store
            .database_rewound(Failover::MayLose)
            .await
            .unwrap()
    };
    let before = look().await;
    house
        .sql("update database_identity set timeline = '000000FF'")
        .await;
    let first = look().await;
    assert_eq!(first.held, Some(vec![]), "the record is another's");
    assert!(
        !first.identity.differs(&before.identity),
        "the server is not"
    );
    assert_eq!(look().await.held, None);
}
