//! The result cache: who is served, and that nothing which a hit refers to can go.

use super::house::{House, accepted};
use crate::State;
use crate::cache::Given;
use crate::decisions::Ended;
use crate::erase::Erased;
use crate::facts::Fetched;
use crate::runs::{Inserted, NewRun};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::Duration;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(86_400);

fn call(house: &House, run: u128) -> NewRun {
    NewRun {
        cache_key: Some(vec![5; 32]),
        ..house.call(run, None)
    }
}

fn key_of(run: Uuid) -> String {
    format!("{run}/video.0/3")
}

/// Sends, follows, fetches and ends a run.
async fn delivered(house: &House, new: &NewRun, keep: Option<Duration>) {
    let (a, _lease, _) = house.worker(Uuid::now_v7().as_u128()).await;
    let (store, run) = (&house.store, new.run_id);
    assert_eq!(store.run_insert(new).await.unwrap(), Inserted::New(run));
    house.submit(a, &[run], 1).await;
    let job = run.to_string();
    store.fact_accepted(&accepted(run, 1, &job)).await.unwrap();
    let file = Fetched {
        run_id: run,
        name: "video".into(),
        idx: 0,
        object_key: key_of(run),
        sha256: vec![1; 32],
        bytes: 7,
        content_type: "video/mp4".into(),
        keep,
    };
    store.fact_fetched(&file).await.unwrap();
    end(house, run).await;
}

async fn end(house: &House, run: Uuid) {
    let end = Ended {
        run_id: run,
        n: 1,
        ver: None,
        from: State::Polling,
        to: State::Succeeded,
        captured: Some(json!({"output": {"id": run}})),
        failure: None,
        cleanup: None,
        file: None,
        answer: None,
    };
    house.store.run_ended(&end).await.unwrap().unwrap();
}

/// The hit, if there is one.
async fn served(house: &House, new: &NewRun) -> Option<Inserted> {
    let hit = house.store.cached(new).await.unwrap()?;
    give(house, new, hit.run_id).await
}

async fn give(house: &House, new: &NewRun, of: Uuid) -> Option<Inserted> {
    let given = Given {
        of,
        captured: json!({"output": {"id": new.run_id}}),
        keep: Some(DAY),
    };
    let made = house.store.run_insert_cached(new, &given);
    made.await.unwrap()
}

async fn erase(house: &House, run: Uuid) {
    let gone = house.store.run_erase(house.tenant, run, "ann").await;
    let output_object = None;
    assert_eq!(gone.unwrap(), Some(Erased::Done { output_object }));
}

async fn an_hour_later(house: &House) {
    house
        .sql("update artifacts set deleted_at = deleted_at - interval '2 hours'")
        .await;
}

async fn removable(house: &House) -> Vec<String> {
    house.store.artifacts_removable(10).await.unwrap()
}

#[tokio::test]
async fn the_same_request_of_the_same_tenant_credential_and_revision_is_served_and_no_other() {
    let house = House::new().await;
    house
        .sql("insert into tenants (tenant_id, slug) values ('00000000-0000-0000-0000-000000000009', 't9');
              insert into provider_api_credentials (id, provider_id, name)
                  values ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000002', 'other');
              insert into revisions values (decode(repeat('08', 32), 'hex'), 1, '{}')")
        .await;
    let first = call(&house, 1);
    assert!(house.store.cached(&first).await.unwrap().is_none());
    delivered(&house, &first, None).await;
    #[rustfmt::skip]
    let others = [
        NewRun { tenant_id: Uuid::from_u128(9), ..call(&house, 2) },
        NewRun { credential_id: Uuid::from_u128(4), ..call(&house, 2) },
        NewRun { revision_id: vec![8; 32], ..call(&house, 2) },
        NewRun { cache_key: Some(vec![6; 32]), ..call(&house, 2) },
        NewRun { cache_key: None, ..call(&house, 2) },
    ];
    for other in &others {
        assert!(
            house.store.cached(other).await.unwrap().is_none(),
            "{other:?}"
        );
        assert_eq!(give(&house, other, first.run_id).await, None, "{other:?}");
    }
    let second = NewRun {
        idempotency_key: Some("key".into()),
        ..call(&house, 3)
    };
    let made = served(&house, &second).await;
    assert_eq!(made, Some(Inserted::New(second.run_id)));
    assert_eq!(
        house.stands(second.run_id).await,
        (State::Succeeded, "none".into())
    );
    let details = house.store.run(house.tenant, second.run_id).await.unwrap();
    let details = details.unwrap();
    assert_eq!(details.run.cache_of, Some(first.run_id));
    assert_eq!(details.attempts.len(), 0, "nothing was sent");
    assert_eq!(details.artifacts[0].object_key, key_of(first.run_id));
    let told = format!(
        "select event from outbox where run_id = '{}'",
        second.run_id
    );
    assert_eq!(house.one(&told).await, "run.succeeded");
    // The key answers with the run that it made.
    let again = NewRun {
        run_id: Uuid::from_u128(4),
        ..second.clone()
    };
    assert_eq!(
        served(&house, &again).await,
        Some(Inserted::Same(second.run_id))
    );
    // A third is given what the first made, whoever had it last.
    assert!(served(&house, &call(&house, 5)).await.is_some());
    let third = house.store.run(house.tenant, Uuid::from_u128(5)).await;
    assert_eq!(third.unwrap().unwrap().run.cache_of, Some(first.run_id));
    let used = house.store.cache_use(house.tenant).await.unwrap().unwrap();
    assert_eq!((used.on, used.results, used.hits_this_month), (false, 1, 2));
    assert_eq!(house.store.cache_clear(house.tenant).await.unwrap(), 1);
    assert_eq!(served(&house, &call(&house, 6)).await, None);
}

#[tokio::test]
async fn only_a_result_of_the_revision_that_was_asked_for_is_cached() {
    let house = House::new().await;
    house
        .sql("insert into revisions values (decode(repeat('08', 32), 'hex'), 1, '{}')")
        .await;
    let (a, _lease, _) = house.worker(10).await;
    let [fallen, failed] = [1, 2].map(|run| call(&house, run));
    for new in [&fallen, &failed] {
        house.store.run_insert(new).await.unwrap();
        house.submit(a, &[new.run_id], 1).await;
        let job = new.run_id.to_string();
        let fact = accepted(new.run_id, 1, &job);
        house.store.fact_accepted(&fact).await.unwrap();
    }
    house
        .sql("update run_states set revision_id = decode(repeat('08', 32), 'hex') where run_id = '00000000-0000-0000-0000-000000000001'")
        .await;
    end(&house, fallen.run_id).await;
    let failure = Ended {
        run_id: failed.run_id,
        n: 1,
        ver: None,
        from: State::Polling,
        to: State::Failed,
        captured: None,
        failure: Some(json!({"code": "transient"})),
        cleanup: None,
        file: None,
        answer: None,
    };
    house.store.run_ended(&failure).await.unwrap().unwrap();
    assert_eq!(house.one("select count(*) from result_cache").await, "0");
}

#[tokio::test]
async fn a_hit_keeps_the_object_when_the_first_run_is_deleted_and_the_last_to_go_frees_it() {
    let house = House::new().await;
    let (first, second) = (call(&house, 1), call(&house, 2));
    delivered(&house, &first, None).await;
    assert!(served(&house, &second).await.is_some());
    erase(&house, first.run_id).await;
    an_hour_later(&house).await;
    assert_eq!(removable(&house).await, Vec::<String>::new());
    let key = key_of(first.run_id);
    let (keys, runs) = ([key.clone()], [Some(first.run_id)]);
    let wanted = house.store.objects_wanted(&keys, &runs).await.unwrap();
    assert!(wanted.contains(&key));
    // A month later the deleted run is forgotten, and the file is still there.
    house
        .sql("update run_states set erased_at = erased_at - interval '31 days' where erased_at is not null")
        .await;
    assert_eq!(house.store.erased_forget(10).await.unwrap(), 1);
    assert_eq!(removable(&house).await, Vec::<String>::new());
    // It serves on, too: the cache went over to who lives longest.
    assert!(served(&house, &call(&house, 3)).await.is_some());
    for run in [2, 3] {
        erase(&house, Uuid::from_u128(run)).await;
    }
    an_hour_later(&house).await;
    assert_eq!(removable(&house).await, [key]);
    assert_eq!(served(&house, &call(&house, 4)).await, None);
}

#[tokio::test]
async fn a_result_whose_files_are_past_their_retention_serves_nobody() {
    let house = House::new().await;
    let first = call(&house, 1);
    delivered(&house, &first, Some(DAY)).await;
    house
        .sql("update artifacts set delete_after = now() - interval '1 second'")
        .await;
    assert_eq!(
        served(&house, &call(&house, 2)).await,
        None,
        "not yet taken"
    );
    assert_eq!(give(&house, &call(&house, 2), first.run_id).await, None);
    assert_eq!(house.store.artifacts_expire(10).await.unwrap().len(), 1);
    assert_eq!(served(&house, &call(&house, 2)).await, None);
    // The next result takes its place.
    delivered(&house, &call(&house, 3), Some(DAY)).await;
    assert!(served(&house, &call(&house, 4)).await.is_some());
}

/// Until a session waits for a lock.
async fn somebody_waits_for_a_lock(house: &House) {
    let mut looker = PgConnection::connect(&house.database.url).await.unwrap();
    let waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let asked = async {
        while looker
            .execute(sqlx::raw_sql(waiting))
            .await
            .unwrap()
            .rows_affected()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked)
        .await
        .expect("nobody waits for a lock");
}

/// The other session's statements, committed only after the hit waits for them.
async fn hit_behind(house: &House, statements: &str) -> Option<Inserted> {
    let mut other = PgConnection::connect(&house.database.url).await.unwrap();
    let begun = format!("begin; {statements}");
    let begun = sqlx::raw_sql(sqlx::AssertSqlSafe(begun));
    other.execute(begun).await.unwrap();
    let second = call(house, 2);
    let hit = give(house, &second, Uuid::from_u128(1));
    let commit = async {
        somebody_waits_for_a_lock(house).await;
        other.execute("commit").await.unwrap();
    };
    let (made, ()) = tokio::join!(hit, commit);
    other.close().await.unwrap();
    made
}

#[tokio::test]
async fn a_hit_behind_a_deletion_finds_nothing() {
    let house = House::new().await;
    delivered(&house, &call(&house, 1), None).await;
    let deletes = "select 1 from run_states where run_id = '00000000-0000-0000-0000-000000000001' for update;
        update run_states set erased_at = now(), captured = null where run_id = '00000000-0000-0000-0000-000000000001';
        update artifacts set deleted_at = now() where run_id = '00000000-0000-0000-0000-000000000001';
        delete from result_cache where run_id = '00000000-0000-0000-0000-000000000001'";
    assert_eq!(hit_behind(&house, deletes).await, None);
    assert_eq!(house.one("select count(*) from runs").await, "1");
}

#[tokio::test]
async fn a_hit_behind_the_sweep_finds_nothing() {
    let house = House::new().await;
    delivered(&house, &call(&house, 1), None).await;
    let expires = "update artifacts set deleted_at = now()";
    assert_eq!(hit_behind(&house, expires).await, None);
    assert_eq!(house.one("select count(*) from runs").await, "1");
}

#[tokio::test]
async fn deletion_sweep_and_hit_in_any_order_leave_no_file_without_its_object() {
    let house = House::new().await;
    for round in 0..6 {
        house.sql("delete from runs").await;
        let first = call(&house, 1);
        delivered(&house, &first, None).await;
        let second = call(&house, 2);
        let deletion = async { erase(&house, first.run_id).await };
        // A turn or two later, so that each comes first sometimes.
        let hit = async {
            for _ in 0..round * 40 {
                tokio::task::yield_now().await;
            }
            give(&house, &second, first.run_id).await
        };
        let ((), made) = tokio::join!(deletion, hit);
        an_hour_later(&house).await;
        let gone = removable(&house).await;
        match made {
            Some(_) => assert_eq!(gone, Vec::<String>::new(), "round {round}"),
            None => assert_eq!(gone, [key_of(first.run_id)], "round {round}"),
        }
    }
}

#[tokio::test]
async fn a_hit_takes_no_place_and_no_money_of_its_tenants_limits() {
    let house = House::new().await;
    delivered(&house, &call(&house, 1), None).await;
    let limits = crate::budgets::TenantLimits {
        max_in_flight: Some(0),
        max_queued: Some(0),
        runs_per_day: Some(2),
        spend_per_month: Some("0".into()),
        currency: "USD".into(),
        over_limit: crate::budgets::OverLimit::Refuse,
    };
    let put = house
        .store
        .tenant_limits_put(house.tenant, Some(&limits), "ann");
    put.await.unwrap();
    assert!(served(&house, &call(&house, 2)).await.is_some());
    assert!(served(&house, &call(&house, 3)).await.is_some());
    let usage = house.store.usage(house.tenant).await.unwrap();
    let counts = (usage.runs_today, usage.open, usage.cached_this_month);
    assert_eq!(counts, (1, 0, 2));
    let sent = house.store.run_insert(&call(&house, 4)).await.unwrap();
    assert!(matches!(sent, Inserted::Over(_)), "{sent:?}");
}
