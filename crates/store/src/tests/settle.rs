//! How an attempt is settled: facts and decisions that meet.

use super::house::{HOUR, House, NOW, accepted, refused};
use crate::decisions::JobFailed;
use crate::facts::{Acceptance, Answered, Then, Unknown};
use crate::runs::Cancel;
use crate::{Outcome, State};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

#[tokio::test]
async fn proof_reopens_nothing_but_unknown_outcome() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    house
        .store
        .fact_closed(&refused(run, 1, Then::Fail(json!({"code": "refused"}))))
        .await
        .unwrap()
        .unwrap();
    let late = house
        .store
        .fact_accepted(&accepted(run, 1, "j"))
        .await
        .unwrap();
    assert_eq!(late, Acceptance::Contradicts(Some(Outcome::Refused)));
    assert_eq!(house.stands(run).await.0, State::Failed);
}

#[tokio::test]
async fn absence_frees_a_run_only_after_the_sender_ended_and_the_provider_had_time() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    let unknown = Unknown {
        run_id: run,
        n: 1,
        shard: 9,
        http_status: Some(500),
        answer: Some("oops".into()),
    };
    let ver = house.store.fact_unknown(&unknown).await.unwrap().unwrap();
    assert_eq!(
        house.store.fact_unknown(&unknown).await.unwrap(),
        Some(ver),
        "written twice changes nothing, and says the same: the answer of the first may be lost"
    );
    let elsewhere = Unknown {
        shard: 10,
        ..unknown
    };
    assert_eq!(
        house.store.fact_unknown(&elsewhere).await.unwrap(),
        None,
        "its owner reads it"
    );
    assert_eq!(
        house.store.settle_absent(run, 1, ver, HOUR).await.unwrap(),
        None,
        "not visible for long enough"
    );
    assert_eq!(
        house.store.settle_absent(run, 1, ver, NOW).await.unwrap(),
        Some(ver + 1)
    );
    assert_eq!(house.stands(run).await, (State::Queued, "none".into()));
    assert_eq!(house.submit(a, &[run], 2).await, 1, "and it is sent again");
}

#[tokio::test]
async fn a_run_that_only_adopted_a_job_gives_it_up_to_the_sender_that_saw_it() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    let (r1, r2, r3) = (
        house.queue(1).await,
        house.queue(2).await,
        house.queue(3).await,
    );
    house.submit(a, &[r1, r2, r3], 1).await;
    let mut adopted = accepted(r1, 1, "job");
    adopted.adopted = true;
    assert!(
        store
            .settle_candidate_free(house.credential, "job")
            .await
            .unwrap()
    );
    store.fact_accepted(&adopted).await.unwrap();
    assert!(
        !store
            .settle_candidate_free(house.credential, "job")
            .await
            .unwrap(),
        "an attempt had it"
    );
    let own = accepted(r2, 1, "job");
    assert_eq!(
        store.fact_accepted(&own).await.unwrap(),
        Acceptance::JobTaken
    );
    assert_eq!(
        store
            .disown_adopted(house.credential, "job", r2)
            .await
            .unwrap(),
        Some(r1)
    );
    assert_eq!(
        house.stands(r1).await,
        (State::SubmitUnknown, "maybe".into())
    );
    assert!(matches!(
        store.fact_accepted(&own).await.unwrap(),
        Acceptance::Follows { .. }
    ));
    assert_eq!(
        store.fact_accepted(&accepted(r3, 1, "job")).await.unwrap(),
        Acceptance::JobTaken
    );
    assert_eq!(
        store
            .disown_adopted(house.credential, "job", r3)
            .await
            .unwrap(),
        None,
        "a job its sender saw stays"
    );
    let failure = serde_json::json!({"code": "duplicate_job"});
    let ended = store.duplicate_job(r3, 1, "job", &failure).await.unwrap();
    assert!(ended.is_some());
    assert_eq!(house.stands(r3).await, (State::Failed, "maybe".into()));
}

#[tokio::test]
async fn a_synchronous_answer_is_stored_with_its_acceptance() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    let mut fact = Answered {
        run_id: run,
        n: 1,
        shard: 4,
        endpoint: "e".into(),
        captured: json!("x".repeat(70_000)),
        http_status: Some(200),
    };
    // Compression must not let it pass by chance.
    fact.captured = json!(
        (0..20_000_u64)
            .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string())
            .collect::<Vec<_>>()
    );
    let refused = house.store.fact_answered(&fact).await.unwrap_err();
    assert!(
        matches!(
            refused,
            crate::StoreError::Broken(crate::Rule::CapturedTooLarge)
        ),
        "{refused:?}"
    );
    fact.captured = json!({"text": "hello"});
    assert!(house.store.fact_answered(&fact).await.unwrap().is_some());
    assert_eq!(
        house.store.fact_answered(&fact).await.unwrap(),
        None,
        "written twice changes nothing"
    );
    assert_eq!(house.stands(run).await, (State::Validating, "yes".into()));
}

#[tokio::test]
async fn a_cancel_in_time_costs_nothing_and_one_too_late_is_sent_after_the_job() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    let (r1, r2, r3) = (
        house.queue(1).await,
        house.queue(2).await,
        house.queue(3).await,
    );
    assert_eq!(
        store.run_cancel(house.tenant, r1).await.unwrap(),
        Some(Cancel::Canceled)
    );
    assert_eq!(
        store.run_cancel(house.tenant, r1).await.unwrap(),
        Some(Cancel::Ended(State::Canceled))
    );
    assert_eq!(
        store
            .run_cancel(house.tenant, Uuid::from_u128(99))
            .await
            .unwrap(),
        None
    );
    house.submit(a, &[r2, r3], 1).await;
    store.run_cancel(house.tenant, r2).await.unwrap();
    store.run_cancel(house.tenant, r3).await.unwrap();
    assert!(matches!(
        store.fact_accepted(&accepted(r2, 1, "j")).await.unwrap(),
        Acceptance::Follows { cancel: true, .. }
    ));
    let due = store.outbox_claim(&["cancel"], 9, HOUR).await.unwrap();
    assert_eq!(due.iter().map(|o| o.run_id).collect::<Vec<_>>(), [r2]);
    let moved = store
        .fact_closed(&refused(r3, 1, Then::Again(NOW)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        moved.state,
        State::Canceled,
        "a refused run that was canceled is not sent again"
    );
}

#[tokio::test]
async fn a_listed_job_is_contested_by_every_other_attempt_that_could_have_made_it() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let (mine, other) = (house.queue(1).await, house.queue(2).await);
    house.submit(a, &[mine, other], 1).await;
    let contested = |ago| house.store.settle_contested(mine, 1, ago);
    let now = NOW;
    assert!(contested(now).await.unwrap(), "one is on the wire");
    for (ago, run, want, why) in [
        (
            "outcome = 'unknown'",
            "state = 'submit_unknown', shard = 1",
            true,
            "unknown",
        ),
        (
            "outcome = 'unknown'",
            "held = true",
            true,
            "unknown and held",
        ),
        ("outcome = 'not_sent'", "held = false", false, "not sent"),
        (
            "outcome = 'written_off'",
            "held = false",
            true,
            "written off",
        ),
        (
            "outcome = 'unknown'",
            "state = 'failed', shard = null, ended_at = now() - interval '50 min'",
            true,
            "failed as unknown a while ago",
        ),
        (
            "outcome = 'unknown'",
            "ended_at = now() - interval '2 hours'",
            false,
            "before this one could be in the list",
        ),
        (
            "outcome = 'accepted'",
            "state = 'polling', provider_job_id = 'j', give_up_at = now(), shard = 1, ended_at = null",
            false,
            "accepted",
        ),
    ] {
        house
            .sql(&format!(
                "update submit_attempts set {ago} where run_id = '{other}'; update run_states set {run} where run_id = '{other}'"
            ))
            .await;
        assert_eq!(contested(now).await.unwrap(), want, "{why}");
    }
    house
        .sql(&format!(
            "update submit_attempts set outcome = 'pending', sent_at = now() - interval '10 s' where run_id = '{other}'"
        ))
        .await;
    assert!(contested(Duration::from_secs(5)).await.unwrap());
    assert!(
        !contested(Duration::from_secs(20)).await.unwrap(),
        "what was sent after the job was seen cannot have made it"
    );
}

#[tokio::test]
async fn a_decision_of_a_stale_actor_changes_nothing() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    let (polling, unknown) = (house.queue(1).await, house.queue(2).await);
    house.submit(a, &[polling, unknown], 1).await;
    store
        .fact_accepted(&accepted(polling, 1, "job-1"))
        .await
        .unwrap();
    let ended = Unknown {
        run_id: unknown,
        n: 1,
        shard: 4,
        http_status: None,
        answer: None,
    };
    store.fact_unknown(&ended).await.unwrap().unwrap();
    let why = json!({"code": "unknown_outcome"});
    let rows = "select string_agg(s::text || a::text, ' ' order by s.run_id) from run_states s join submit_attempts a using (run_id)";
    let before = house.one(rows).await;
    for off in [-1, 1] {
        let ver = |run: Uuid| {
            let house = &house;
            async move { house.ver(run).await + off }
        };
        let failed = JobFailed {
            run_id: polling,
            n: 1,
            ver: ver(polling).await,
            failure: why.clone(),
            fallback: None,
        };
        let (at, lost) = (ver(polling).await, ver(unknown).await);
        assert_eq!(store.job_failed(&failed).await.unwrap(), None);
        assert_eq!(
            store.fetch_start(polling, at, None, None).await.unwrap(),
            None
        );
        assert_eq!(store.poll_again(polling, at).await.unwrap(), None);
        assert_eq!(
            store.run_gave_up(polling, at, Some(NOW)).await.unwrap(),
            None
        );
        assert_eq!(
            store.settle_absent(unknown, 1, lost, NOW).await.unwrap(),
            None
        );
        assert_eq!(
            store.settle_gave_up(unknown, lost, &why).await.unwrap(),
            None
        );
        assert_eq!(
            store.settle_written_off(unknown, 1, lost).await.unwrap(),
            None
        );
        assert_eq!(store.unprepare(polling, at, NOW).await.unwrap(), None);
    }
    assert_eq!(house.one(rows).await, before, "nothing at all");
    let at = house.ver(polling).await;
    assert!(
        store
            .fetch_start(polling, at, None, None)
            .await
            .unwrap()
            .is_some()
    );
}
