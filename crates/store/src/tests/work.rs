//! Workers, shards, claims, limits, and what follows a commit.

use super::house::{HOUR, House, NOW, accepted, intent};
use crate::State;
use crate::claim::Intent;
use crate::limits::Urgency;
use crate::listen::Hint;
use crate::outbox::Delivery;
use crate::runs::ListFilter;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::time::Duration;
use uuid::Uuid;

#[tokio::test]
async fn two_workers_share_the_shards_and_a_leaving_one_gives_all() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _la, _) = house.worker(10).await;
    assert_eq!(
        store.shards_take(a).await.unwrap().len(),
        256,
        "alone: all of them"
    );
    assert!(store.shard_of_anyone().await.unwrap().is_some());
    let (b, lb, _) = house.worker(11).await;
    assert_eq!(
        store.shards_take(b).await.unwrap(),
        Vec::<i16>::new(),
        "nothing is taken from the living"
    );
    assert_eq!(store.shards_give_surplus(a).await.unwrap().len(), 128);
    assert_eq!(
        store.shards_take(b).await.unwrap().len(),
        128,
        "two workers, half the shards each"
    );
    assert_eq!(
        store.shards_give_surplus(a).await.unwrap(),
        Vec::<i16>::new(),
        "nothing is written in a steady house"
    );
    assert_eq!(store.shards_take(a).await.unwrap(), Vec::<i16>::new());
    lb.release(b).await.unwrap();
    assert_eq!(
        store.shards_take(a).await.unwrap().len(),
        128,
        "a missing row means dead"
    );
    let mine = store.shards_mine(a).await.unwrap();
    assert_eq!(
        (mine.len(), mine.iter().filter(|s| s.epoch > 1).count()),
        (256, 128)
    );
    assert_eq!(store.shards_give_all(a).await.unwrap().len(), 256);
}

#[tokio::test]
async fn a_lost_lease_cannot_be_renewed_and_a_dead_session_is_seen_at_once() {
    let house = House::new().await;
    let ((a, mut la, no), (b, lb, other)) = (house.worker(10).await, house.worker(11).await);
    assert!(house.store.lock_is_seen(no).await.unwrap());
    assert!(!house.store.lock_is_seen(no + other + 1).await.unwrap());
    assert_eq!(
        house.store.workers_expire_dead().await.unwrap(),
        Vec::<Uuid>::new()
    );
    drop(lb);
    let dead = loop {
        let dead = house.store.workers_expire_dead().await.unwrap();
        if !dead.is_empty() {
            break dead;
        }
    };
    assert_eq!(dead, [b]);
    assert!(la.renew(a, HOUR, &json!(null)).await.unwrap());
    house
        .sql("update workers set expires_at = now() - interval '2 h'")
        .await;
    assert!(!la.renew(a, HOUR, &json!(null)).await.unwrap());
    assert_eq!(house.store.workers_forget().await.unwrap(), 2);
}

#[tokio::test]
async fn two_workers_cannot_both_take_the_last_places_of_a_credential() {
    let house = House::new().await;
    let store = &house.store;
    house
        .sql("update provider_api_credentials set max_concurrent_jobs = 2")
        .await;
    let ((a, _la, _), (b, _lb, _)) = (house.worker(10).await, house.worker(11).await);
    for run in 1..=5 {
        house.queue(run).await;
    }
    assert_eq!(store.credentials_due().await.unwrap(), [house.credential]);
    assert_eq!(store.next_due_ms().await.unwrap(), Some(0));
    let mut claim = store.claim(a, house.credential).await.unwrap().unwrap();
    let picked = claim.pick(10).await.unwrap();
    assert_eq!(picked.len(), 2);
    assert!(
        store.claim(b, house.credential).await.unwrap().is_none(),
        "locked: on to the next credential"
    );
    let intents: Vec<_> = picked
        .iter()
        .map(|p| intent(p.run_id, p.attempt + 1))
        .collect();
    assert_eq!(
        claim.work(&[picked[0].run_id]).await.unwrap()[0].state,
        State::Queued
    );
    assert_eq!(claim.intend(&intents).await.unwrap().len(), 2);
    claim.commit().await.unwrap();
    let mut claim = store.claim(b, house.credential).await.unwrap().unwrap();
    assert_eq!(claim.pick(10).await.unwrap().len(), 0, "no place is left");
    drop(claim);
    store
        .credential_pause(house.credential, HOUR, "429")
        .await
        .unwrap();
    store
        .credential_pause(house.credential, NOW, "shorter")
        .await
        .unwrap();
    assert!(
        store.claim(b, house.credential).await.unwrap().is_none(),
        "paused"
    );
    assert_eq!(
        store
            .credential(house.credential)
            .await
            .unwrap()
            .unwrap()
            .paused_why
            .as_deref(),
        Some("429")
    );
    store.credential_resume(house.credential).await.unwrap();
    assert!(store.claim(b, house.credential).await.unwrap().is_some());
    assert!(
        store
            .claim(Uuid::from_u128(77), house.credential)
            .await
            .unwrap()
            .is_none(),
        "who has no lease claims nothing"
    );
}

/// What a claim costs may not grow with the runs that wait: with 100,000 of them, counting cost more than all else of a run.
#[tokio::test]
async fn jobs_in_flight_are_counted_where_there_is_a_limit_and_nowhere_else() {
    const IN_FLIGHT: u128 = 200;
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let mut sent = Vec::new();
    for run in 1..=IN_FLIGHT {
        sent.push(house.queue(run).await);
    }
    assert_eq!(house.submit(a, &sent, 1).await, sent.len());
    house.queue(1_000).await;
    let mut owner = PgConnection::connect(&house.database.owner_url)
        .await
        .unwrap();
    // What was queued and is sent leaves entries in the index of the queue.
    owner.execute("vacuum run_states").await.unwrap();
    let read = async || {
        let mut claim = house.claim(a).await;
        let indexed = "set local enable_seqscan = off; set local enable_bitmapscan = off";
        claim.parts().0.execute(indexed).await.unwrap();
        let picked = claim.pick(10).await.unwrap();
        assert_eq!(picked.len(), 1);
        entries_read(claim.parts().0).await
    };
    let in_flight = i64::try_from(IN_FLIGHT).unwrap();
    assert!(read().await < in_flight, "no limit");
    house
        .sql("insert into tenant_limits (tenant_id, spend_per_month, over_limit) values ('00000000-0000-0000-0000-000000000002', 9, 'queue')")
        .await;
    assert!(read().await < in_flight, "another limit");
    house
        .sql("update tenant_limits set max_in_flight = 1000")
        .await;
    assert!(read().await >= in_flight, "of the tenant");
    house
        .sql("delete from tenant_limits; update provider_api_credentials set max_concurrent_jobs = 1000")
        .await;
    assert!(read().await >= in_flight, "of the credential");
}

/// Rows and index entries of runs' states that this transaction has read.
async fn entries_read(connection: &mut PgConnection) -> i64 {
    let entries = "select sum(pg_stat_get_xact_tuples_returned(oid))::bigint from (
        select indexrelid as oid from pg_index where indrelid = 'run_states'::regclass union all select 'run_states'::regclass) o";
    let row = connection.fetch_one(entries).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn tenants_take_turns_and_one_over_its_limit_hides_nobody() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    house.sql("insert into tenants (tenant_id, slug) values ('00000000-0000-0000-0000-000000000009', 't9');
               insert into tenant_limits (tenant_id, max_in_flight, over_limit) values ('00000000-0000-0000-0000-000000000002', 1, 'queue')").await;
    for run in 1..=3 {
        house.queue(run).await;
    }
    let mut other = house.call(9, None);
    other.tenant_id = Uuid::from_u128(9);
    house.store.run_insert(&other).await.unwrap();
    let mut claim = house.claim(a).await;
    let mut picked: Vec<_> = claim
        .pick(10)
        .await
        .unwrap()
        .into_iter()
        .map(|p| p.run_id.as_u128())
        .collect();
    picked.sort_unstable();
    assert_eq!(picked, [1, 9]);
}

#[tokio::test]
async fn a_claim_in_doubt_is_closed_as_not_sent_a_forgotten_one_is_unknown_and_one_that_prepared_is_queued()
 {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let (r1, r2, r3) = (
        house.queue(1).await,
        house.queue(2).await,
        house.queue(3).await,
    );
    house.submit(a, &[r1, r2, r3], 1).await;
    assert_eq!(
        house
            .store
            .claim_doubted(&[intent(r1, 1), intent(Uuid::from_u128(5), 1)])
            .await
            .unwrap(),
        [r1]
    );
    assert_eq!(house.stands(r1).await, (State::Queued, "none".into()));
    // One that prepared, and lost its database in the middle.
    let (r4, r5) = (house.queue(4).await, house.queue(5).await);
    let mut claim = house.claim(a).await;
    claim.pick(9).await.unwrap();
    claim.prepare(&[r4, r5]).await.unwrap();
    claim.commit().await.unwrap();
    let forgotten = house
        .store
        .claim_forgotten(a, (&[r2], &[r5]), 3)
        .await
        .unwrap();
    let mut forgotten: Vec<_> = forgotten
        .into_iter()
        .map(|run| (run.run_id, run.state))
        .collect();
    forgotten.sort_unstable_by_key(|run| run.0);
    assert_eq!(forgotten, [(r3, State::SubmitUnknown), (r4, State::Queued)]);
    assert_eq!(house.stands(r4).await, (State::Queued, "none".into()));
    assert_eq!(
        house.stands(r5).await.0,
        State::Preparing,
        "memory holds it"
    );
    assert_eq!(
        house.stands(r3).await,
        (State::SubmitUnknown, "maybe".into())
    );
    assert_eq!(house.stands(r2).await.0, State::Submitting);
    let sent = house
        .store
        .work(&[r3])
        .await
        .unwrap()
        .remove(0)
        .sent
        .unwrap();
    assert!(!sent.sender_ended, "nobody saw that exchange end");
    // Who knows that it was not sent says so after a sweep, too; of another claim's attempt nobody knows it.
    let doubted = async |intent| house.store.claim_doubted(&[intent]).await.unwrap();
    let another = Intent {
        drawn: json!({"unix_ms": 1}),
        ..intent(r3, 1)
    };
    assert!(doubted(another).await.is_empty());
    assert_eq!(doubted(intent(r3, 1)).await, [r3]);
    assert_eq!(house.stands(r3).await, (State::Queued, "none".into()));
}

#[tokio::test]
async fn a_prepared_run_is_sent_by_its_worker_only() {
    let house = House::new().await;
    let store = &house.store;
    let ((a, _la, _), (b, _lb, _)) = (house.worker(10).await, house.worker(11).await);
    let (r1, r2) = (house.queue(1).await, house.queue(2).await);
    let mut claim = store.claim(a, house.credential).await.unwrap().unwrap();
    assert_eq!(claim.prepare(&[r1, r2]).await.unwrap().len(), 2);
    claim.commit().await.unwrap();
    assert!(
        store
            .intend_prepared(b, &intent(r1, 1))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .intend_prepared(a, &intent(r1, 1))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.unprepare(r2, 1, NOW).await.unwrap(), Some(2));
    assert!(
        store
            .run_not_sent(r2, &json!({"code": "not_started"}), None)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        store.run_not_sent(r1, &json!({}), None).await.unwrap(),
        None,
        "not what was sent"
    );
    assert_eq!(house.stands(r2).await, (State::Failed, "none".into()));
}

/// As many as a test has.
fn all() -> ListFilter {
    ListFilter {
        limit: 9,
        ..ListFilter::default()
    }
}

#[tokio::test]
async fn an_owner_finds_the_runs_of_its_shards_and_when_each_is_due() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    house
        .store
        .fact_accepted(&accepted(run, 1, "j"))
        .await
        .unwrap();
    let found = house.store.shard_runs(&[199, 200]).await.unwrap();
    assert_eq!(
        (found.len(), found[0].run_id, found[0].cancel),
        (1, run, false)
    );
    let row = house.store.work(&[run]).await.unwrap().remove(0);
    assert!((0..60_000).contains(&row.accepted_ago_ms.unwrap()));
    assert!((120_000..=180_000).contains(&row.deadline_in_ms.unwrap()));
    assert_eq!(row.sent.unwrap().token, run);
    house.store.progress_many(&[(run, 42)]).await.unwrap();
    let listed = house.store.runs(house.tenant, &all()).await.unwrap();
    assert_eq!(listed[0].progress, Some(42));
    let page = ListFilter {
        after: Some((listed[0].created_at, run)),
        ..all()
    };
    assert!(
        house
            .store
            .runs(house.tenant, &page)
            .await
            .unwrap()
            .is_empty()
    );
    let states = ListFilter {
        states: vec![State::Queued],
        ..all()
    };
    assert!(
        house
            .store
            .runs(house.tenant, &states)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn requests_are_leased_no_faster_than_the_limit() {
    let house = House::new().await;
    let lease = |n, urgency| {
        let minute = Duration::from_secs(60);
        house
            .store
            .requests_lease(house.credential, (n, urgency), minute)
    };
    assert_eq!(lease(9, Urgency::Send).await.unwrap(), None, "no limit");
    house
        .sql("update provider_api_credentials set rate_limit_per_minute = 60, rate_limit_per_day = 20")
        .await;
    let first = lease(9, Urgency::Send).await.unwrap().unwrap();
    assert_eq!(first.granted, 2, "one, and one ahead");
    let none = lease(1, Urgency::Send).await.unwrap().unwrap();
    assert_eq!(none.granted, 0);
    let (at_least, at_most) = (Duration::from_millis(500), Duration::from_secs(1));
    assert!((at_least..=at_most).contains(&none.wait), "{none:?}");
    assert_eq!(lease(9, Urgency::Fetch).await.unwrap().unwrap().granted, 2);
    house.sql("update credential_limits set tat = now()").await;
    // 4 are used; 2 of 20 are kept for what is more pressing.
    house
        .sql("update provider_api_credentials set rate_limit_per_minute = 60000")
        .await;
    assert_eq!(lease(99, Urgency::Send).await.unwrap().unwrap().granted, 14);
    let spent = lease(1, Urgency::Send).await.unwrap().unwrap();
    assert!(spent.granted == 0 && spent.wait > at_most, "{spent:?}");
    assert_eq!(
        lease(99, Urgency::Follow).await.unwrap().unwrap().granted,
        1
    );
    assert_eq!(lease(99, Urgency::Fetch).await.unwrap().unwrap().granted, 1);
    house
        .sql("update credential_limits set day = day - 1")
        .await;
    assert_eq!(
        lease(99, Urgency::Send).await.unwrap().unwrap().granted,
        18,
        "another day"
    );
}

#[tokio::test]
async fn a_run_that_prepares_holds_its_slot() {
    let house = House::new().await;
    let store = &house.store;
    house
        .sql("update provider_api_credentials set max_concurrent_jobs = 1")
        .await;
    let (a, _lease, _) = house.worker(10).await;
    let (first, _) = (house.queue(1).await, house.queue(2).await);
    let mut claim = store.claim(a, house.credential).await.unwrap().unwrap();
    assert_eq!(claim.pick(10).await.unwrap().len(), 1);
    claim.prepare(&[first]).await.unwrap();
    claim.commit().await.unwrap();
    let mut claim = store.claim(a, house.credential).await.unwrap().unwrap();
    assert!(claim.pick(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_place_that_is_given_one_by_one_goes_round_among_the_tenants() {
    let house = House::new().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    house
        .sql("insert into tenants (tenant_id, slug) values ('00000000-0000-0000-0000-000000000009', 't9')")
        .await;
    // Three of one tenant are first in the queue.
    for run in 1..=3 {
        house.queue(run).await;
    }
    for run in [4, 5] {
        let mut other = house.call(run, None);
        other.tenant_id = Uuid::from_u128(9);
        store.run_insert(&other).await.unwrap();
    }
    let mut served = Vec::new();
    for _ in 0..5 {
        let mut claim = store.claim(a, house.credential).await.unwrap().unwrap();
        let picked = claim.pick(1).await.unwrap();
        claim.served(&[picked[0].tenant_id]).await.unwrap();
        let intents = [intent(picked[0].run_id, 1)];
        assert_eq!(claim.intend(&intents).await.unwrap().len(), 1);
        claim.commit().await.unwrap();
        served.push(picked[0].run_id.as_u128());
    }
    assert_eq!(served, [1, 4, 2, 5, 3]);
}

#[tokio::test]
async fn a_tenant_is_counted_once_however_many_credentials_serve_it() {
    let house = House::new().await;
    let store = &house.store;
    let ((a, _la, _), (b, _lb, _)) = (house.worker(10).await, house.worker(11).await);
    house
        .sql("insert into provider_api_credentials (id, provider_id, name)
                  values ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000002', 'other');
              insert into tenant_limits (tenant_id, max_in_flight, over_limit) values ('00000000-0000-0000-0000-000000000002', 1, 'queue')")
        .await;
    let other = Uuid::from_u128(4);
    house.queue(1).await;
    let mut elsewhere = house.call(2, None);
    elsewhere.credential_id = other;
    store.run_insert(&elsewhere).await.unwrap();
    let mut one = store.claim(a, house.credential).await.unwrap().unwrap();
    let mut two = store.claim(b, other).await.unwrap().unwrap();
    let picked = one.pick(10).await.unwrap();
    assert_eq!(picked.len(), 1);
    assert!(
        two.pick(10).await.unwrap().is_empty(),
        "it is being counted"
    );
    drop(two);
    one.intend(&[intent(picked[0].run_id, 1)]).await.unwrap();
    one.commit().await.unwrap();
    let mut two = store.claim(b, other).await.unwrap().unwrap();
    assert!(two.pick(10).await.unwrap().is_empty(), "it has its one");
}

#[tokio::test]
async fn the_outbox_gives_each_thing_to_one_and_again_until_it_is_closed() {
    let house = House::new().await;
    let run = house.queue(1).await;
    house.store.run_cancel(house.tenant, run).await.unwrap();
    let claimed = house
        .store
        .outbox_claim(&["callback"], 9, NOW)
        .await
        .unwrap();
    assert_eq!(
        (
            claimed.len(),
            claimed[0].event.as_str(),
            claimed[0].url.as_deref()
        ),
        (1, "run.canceled", Some("https://cb.test"))
    );
    let again = house
        .store
        .outbox_claim(&["callback"], 9, HOUR)
        .await
        .unwrap();
    assert_eq!(again[0].attempts, 2);
    assert!(
        house
            .store
            .outbox_claim(&["callback"], 9, HOUR)
            .await
            .unwrap()
            .is_empty(),
        "held"
    );
    house
        .store
        .outbox_close(
            again[0].outbox_id,
            Delivery::Again(NOW),
            Some(500),
            Some("oops"),
        )
        .await
        .unwrap();
    assert_eq!(
        house
            .store
            .outbox_claim(&["callback"], 9, NOW)
            .await
            .unwrap()
            .len(),
        1
    );
    house
        .store
        .outbox_close(again[0].outbox_id, Delivery::Done, Some(200), None)
        .await
        .unwrap();
    assert!(
        house
            .store
            .outbox_claim(&["callback"], 9, NOW)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_object_goes_an_hour_after_its_last_row() {
    let house = House::new().await;
    let run = house.queue(1).await;
    let fact = crate::facts::Fetched {
        run_id: run,
        name: "video".into(),
        idx: 0,
        object_key: "k".into(),
        sha256: vec![1; 32],
        bytes: 1,
        content_type: "video/mp4".into(),
        keep: Some(Duration::ZERO),
    };
    house.store.fact_fetched(&fact).await.unwrap();
    assert!(
        house
            .store
            .artifact(house.tenant, run, "video", 0)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(house.store.artifacts(run).await.unwrap().len(), 1);
    assert_eq!(house.store.artifacts_expire(9).await.unwrap(), ["k"]);
    assert!(
        house
            .store
            .artifact(house.tenant, run, "video", 0)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        house.store.artifacts_removable(9).await.unwrap().is_empty(),
        "a running download ends in peace"
    );
    house
        .sql("update artifacts set deleted_at = now() - interval '2 h'")
        .await;
    assert_eq!(house.store.artifacts_removable(9).await.unwrap(), ["k"]);
    house.store.artifact_removed("k").await.unwrap();
    assert!(house.store.artifacts_removable(9).await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_calls_and_cancels_are_hinted_at() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let mut listener = house.store.listen().await.unwrap();
    house.sql("update ai_providers set name = 'x'").await;
    assert_eq!(listener.hint().await.unwrap(), Hint::Catalogue);
    let run = house.queue(1).await;
    let ends = [State::Succeeded, State::Failed, State::Canceled];
    let ended: Vec<(Uuid, State)> = (0..250_u128)
        .map(|n| (Uuid::from_u128(n), ends[usize::try_from(n % 3).unwrap()]))
        .collect();
    house.store.tell(true, &ended).await.unwrap();
    assert_eq!(listener.hint().await.unwrap(), Hint::Queue);
    let (first, rest) = ended.split_at(200);
    assert_eq!(listener.hint().await.unwrap(), Hint::Ended(first.to_vec()));
    assert_eq!(listener.hint().await.unwrap(), Hint::Ended(rest.to_vec()));
    house.submit(a, &[run], 1).await;
    house.store.run_cancel(house.tenant, run).await.unwrap();
    assert_eq!(listener.hint().await.unwrap(), Hint::Run(run));
}
