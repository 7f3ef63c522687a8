//! The house at a glance.

use super::house::{HOUR, House, accepted};
use crate::State;
use crate::facts::Unknown;
use serde_json::json;

#[tokio::test]
async fn workers_are_shown_with_their_shards_and_what_they_told_and_the_dead_are_not() {
    let house = House::new().await;
    let store = &house.store;
    assert_eq!(store.fleet_facts().await.unwrap().orphan_shards, 256);
    let ((a, mut lease, _), (b, _lb, _)) = (house.worker(10).await, house.worker(11).await);
    store.shards_take(a).await.unwrap();
    let report = json!({"following": 3});
    assert!(lease.renew(a, HOUR, &report).await.unwrap());
    let workers = store.fleet_workers().await.unwrap();
    assert_eq!(workers.len(), 2);
    assert_eq!(
        (workers[0].worker_id, workers[0].shards, &workers[0].report),
        (a, 128, &Some(report))
    );
    assert!((3_500_000..=3_600_000).contains(&workers[0].expires_in_ms));
    assert_eq!(workers[1].report, None, "before its first renewal");
    assert_eq!(store.fleet_facts().await.unwrap().orphan_shards, 128);
    house
        .sql(&format!(
            "update workers set expires_at = now() where worker_id = '{b}'"
        ))
        .await;
    assert_eq!(store.fleet_workers().await.unwrap().len(), 1);
}

#[tokio::test]
async fn live_runs_are_counted_by_state_with_what_waits_longest() {
    let house = House::new().await;
    let store = &house.store;
    let facts = store.fleet_facts().await.unwrap();
    assert_eq!(
        (facts.unknown_oldest_ms, facts.queue_oldest_ms, facts.held),
        (None, None, 0)
    );
    let (a, _lease, _) = house.worker(10).await;
    let mut runs = Vec::new();
    for run in 1..=6 {
        runs.push(house.queue(run).await);
    }
    house.submit(a, &runs[..3], 1).await;
    store
        .fact_accepted(&accepted(runs[0], 1, "j"))
        .await
        .unwrap();
    let unknown = Unknown {
        run_id: runs[1],
        n: 1,
        shard: 1,
        http_status: None,
        answer: None,
    };
    store.fact_unknown(&unknown).await.unwrap().unwrap();
    store.run_cancel(house.tenant, runs[5]).await.unwrap();
    house
        .sql(&format!(
            "update submit_attempts set ended_at = now() - interval '5 min' where run_id = '{}';
             update run_states set not_before = now() - interval '2 min' where run_id = '{}';
             update run_states set held = true where run_id = '{}'",
            runs[1], runs[3], runs[4]
        ))
        .await;
    let mut counted = store.fleet_runs().await.unwrap();
    counted.sort_by_key(|(state, _)| state.as_str());
    let want = [
        (State::Polling, 1),
        (State::Queued, 1),
        (State::SubmitUnknown, 1),
        (State::Submitting, 1),
    ];
    assert_eq!(counted, want, "neither the held nor the canceled one");
    let facts = store.fleet_facts().await.unwrap();
    assert_eq!(facts.held, 1);
    assert!((295_000..330_000).contains(&facts.unknown_oldest_ms.unwrap()));
    assert!((115_000..150_000).contains(&facts.queue_oldest_ms.unwrap()));
}

#[tokio::test]
async fn a_worker_that_drains_gives_its_shards_to_others_and_claims_nothing() {
    let house = House::new().await;
    let store = &house.store;
    let ((a, _la, _), (b, _lb, _)) = (house.worker(10).await, house.worker(11).await);
    store.shards_take(a).await.unwrap();
    store.shards_take(b).await.unwrap();
    house.queue(1).await;
    assert!(store.worker_drain(a, "ann").await.unwrap());
    assert!(
        store.worker_drain(a, "ann").await.unwrap(),
        "may be repeated"
    );
    assert!(store.claim(a, house.credential).await.unwrap().is_none());
    assert_eq!(store.shards_give_surplus(a).await.unwrap().len(), 128);
    assert!(store.shards_take(a).await.unwrap().is_empty());
    assert!(store.shards_give_surplus(b).await.unwrap().is_empty());
    assert_eq!(store.shards_take(b).await.unwrap().len(), 128);
    assert!(store.claim(b, house.credential).await.unwrap().is_some());
    // The last one keeps what it has: somebody must follow the jobs.
    assert!(store.worker_drain(b, "ann").await.unwrap());
    assert!(store.shards_give_surplus(b).await.unwrap().len() <= 128);
    house
        .sql(&format!(
            "update workers set expires_at = now() where worker_id = '{a}'"
        ))
        .await;
    store.shards_take(b).await.unwrap();
    assert_eq!(store.shards_mine(b).await.unwrap().len(), 256);
    assert!(store.shards_give_surplus(b).await.unwrap().is_empty());
    assert!(!store.worker_drain(a, "ann").await.unwrap(), "it is dead");
    let drains = store.fleet_workers().await.unwrap();
    assert!(drains.iter().all(|worker| worker.draining_at.is_some()));
}
