//! Calls that their client sends again without an idempotency key.

use super::house::House;
use crate::runs::{Inserted, NewRun, Sent};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

fn call(house: &House, run: u128, sent: Sent) -> NewRun {
    NewRun {
        sent,
        api_key_id: Some(Uuid::from_u128(5)),
        ..house.call(run, None)
    }
}

#[tokio::test]
async fn a_repeated_call_finds_the_last_run_of_its_key_and_body_within_ten_minutes() {
    let house = House::new().await;
    let insert = async |call: NewRun| house.store.run_insert(&call).await.unwrap();
    let id = Uuid::from_u128;
    let again = |run| call(&house, run, Sent::Again);
    assert_eq!(
        insert(again(1)).await,
        Inserted::New(id(1)),
        "there was no first"
    );
    let first = call(&house, 2, Sent::First);
    assert_eq!(
        insert(first).await,
        Inserted::New(id(2)),
        "the first time is a call of its own"
    );
    assert_eq!(insert(again(3)).await, Inserted::Same(id(2)));
    let others = [
        NewRun {
            api_key_id: Some(id(6)),
            ..again(4)
        },
        NewRun {
            api_key_id: None,
            ..again(5)
        },
        NewRun {
            request_sha256: vec![2; 32],
            ..again(6)
        },
        NewRun {
            idempotency_key: Some("key".into()),
            ..again(7)
        },
        call(&house, 8, Sent::Once),
    ];
    for other in others {
        assert_eq!(
            insert(other.clone()).await,
            Inserted::New(other.run_id),
            "{other:?}"
        );
    }
    house
        .sql("update runs set created_at = created_at - interval '599 seconds'")
        .await;
    assert_eq!(
        insert(again(9)).await,
        Inserted::Same(id(8)),
        "the last of them"
    );
    house
        .sql("update runs set created_at = created_at - interval '2 seconds'")
        .await;
    assert_eq!(
        insert(again(10)).await,
        Inserted::New(id(10)),
        "it was too long ago"
    );
    house
        .sql("update run_states set state = 'canceled', ended_at = now(), erased_at = now()")
        .await;
    assert_eq!(
        insert(again(11)).await,
        Inserted::New(id(11)),
        "it is nobody's any more"
    );
}

#[tokio::test]
async fn a_repetition_waits_for_the_transaction_of_what_it_repeats() {
    let house = House::new().await;
    let first = call(&house, 1, Sent::First);
    let mut other = PgConnection::connect(&house.database.url).await.unwrap();
    // The first call as far as before its commit: its own statements, the connection held.
    let start = "begin; select pg_advisory_xact_lock(('x' || repeat('01', 8))::bit(64)::bigint);
        insert into runs (run_id, tenant_id, api_key_id, request_sha256, purpose, revision_id, request)
        values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002',
                '00000000-0000-0000-0000-000000000005', decode(repeat('01', 32), 'hex'), 'video', decode(repeat('07', 32), 'hex'), '{}');
        insert into run_states (run_id, tenant_id, credential_id, revision_id, state)
        values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002',
                '00000000-0000-0000-0000-000000000003', decode(repeat('07', 32), 'hex'), 'queued')";
    other.execute(sqlx::raw_sql(start)).await.unwrap();
    let again = call(&house, 2, Sent::Again);
    let repeated = Box::pin(house.store.run_insert(&again));
    let commit = async {
        let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
        while house.one(waiting).await != "1" {
            tokio::task::yield_now().await;
        }
        other.execute(sqlx::raw_sql("commit")).await.unwrap();
    };
    let both = async { tokio::join!(repeated, commit) };
    let both = tokio::time::timeout(std::time::Duration::from_secs(20), Box::pin(both));
    let (repeated, ()) = both.await.expect("it waited for the first");
    assert_eq!(repeated.unwrap(), Inserted::Same(first.run_id));
}
