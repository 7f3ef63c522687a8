//! Runs that are claimed with their insert.

use super::house::{House, intent};
use crate::claim::Intended;
use crate::runs::{Inserted, Sent};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

/// Inserts a run as a worker that would send it at once; whether it may.
async fn claims(house: &House, worker: Uuid, run: u128) -> bool {
    let call = house.call(run, None);
    let intent = intent(call.run_id, 1);
    let made = house.store.run_make(&call, Some((worker, &intent)));
    match made.await.unwrap().inserted {
        Inserted::Claimed(Intended { run_id, .. }) => run_id == call.run_id,
        Inserted::New(_) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_intent_is_committed_durably_whatever_the_servers_default() {
    let house = House::new().await;
    let (worker, _lease, _) = house.worker(10).await;
    let mut owner = PgConnection::connect(&house.database.owner_url)
        .await
        .unwrap();
    let heard = "create table heard (setting text);
        grant insert on heard to modelrow_worker;
        create function hear() returns trigger language plpgsql as
            $$ begin insert into heard values (current_setting('synchronous_commit')); return new; end $$;
        create trigger hear after insert on submit_attempts for each row execute function hear();";
    owner.execute(heard).await.unwrap();
    assert_eq!(
        house.one("current_setting('synchronous_commit')").await,
        "off"
    );
    assert!(claims(&house, worker, 1).await);
    let mut named = house.call(2, None);
    named.sent = Sent::First;
    let intent = intent(named.run_id, 1);
    let made = house.store.run_make(&named, Some((worker, &intent)));
    let made = made.await.unwrap();
    assert!(matches!(made.inserted, Inserted::Claimed(_)), "{made:?}");
    let all = sqlx::raw_sql("select string_agg(setting, ' ') from heard");
    let row = owner.fetch_one(all).await.unwrap();
    assert_eq!(row.get::<String, _>(0), "on on");
}

#[tokio::test]
async fn a_call_is_claimed_with_its_insert_unless_another_has_waited_for_a_second() {
    let house = House::new().await;
    let (worker, _lease, _) = house.worker(10).await;
    assert!(claims(&house, worker, 1).await);
    house.queue(2).await;
    let is_due = async |when: &str| {
        let set = format!("update run_states set not_before = now() {when} where state = 'queued'");
        house.sql(&set).await;
    };
    is_due("+ interval '1 hour'").await;
    assert!(claims(&house, worker, 3).await, "it is not due");
    is_due("- interval '2 seconds'").await;
    assert!(!claims(&house, worker, 4).await, "it has waited");
    // Whoever is about to be claimed puts nobody else in the queue. On a busy machine a second may go by in between.
    let mut passed = false;
    for run in 5..25 {
        is_due("").await;
        passed = passed || claims(&house, worker, run).await;
    }
    assert!(passed, "it is due just now");
    is_due("- interval '2 seconds'").await;
    house
        .sql("update run_states set held = true where state = 'queued'")
        .await;
    assert!(claims(&house, worker, 30).await, "it waits for an operator");
}
