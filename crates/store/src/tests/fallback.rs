//! A fallback: the run goes on under another revision, in the statement that says why.

use super::house::{HOUR, House, NOW, accepted, intent, refused};
use crate::artifacts::ArtifactRow;
use crate::decisions::JobFailed;
use crate::facts::{Closed, ClosedHow, Fallback, Fetched, Then, Unknown};
use crate::runs::{Cancel, RunDetails};
use crate::{Outcome, State};
use serde_json::json;
use uuid::Uuid;

const OTHER: Uuid = Uuid::from_u128(4);

/// Another provider with a key of its own, and a revision of its model.
async fn house() -> House {
    let house = House::new().await;
    house
        .sql(
            "insert into ai_providers (id, slug, api_base_url) values ('00000000-0000-0000-0000-000000000005', 'rival', 'https://rival.test');
             insert into provider_api_credentials (id, provider_id)
                 values ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000005');
             insert into revisions values (decode(repeat('08', 32), 'hex'), 1, '{}')",
        )
        .await;
    house
}

fn to() -> Fallback {
    Fallback {
        revision_id: vec![8; 32],
        credential_id: OTHER,
        told: json!({"to": {"model": "r-1"}}),
    }
}

fn instead() -> Then {
    Then::Fallback {
        to: to(),
        failure: json!({"code": "overloaded"}),
    }
}

async fn failed(house: &House, run: Uuid, n: i32) -> JobFailed {
    JobFailed {
        run_id: run,
        n,
        ver: house.ver(run).await,
        failure: json!({"code": "overloaded"}),
        fallback: Some(to()),
    }
}

/// Sends the run once more, from where it stands now.
async fn submit(house: &House, worker: Uuid, credential: Uuid, run: Uuid, n: i32) -> usize {
    let claim = house.store.claim(worker, credential).await.unwrap();
    let mut claim = claim.unwrap();
    let picked = claim.pick(100).await.unwrap();
    assert!(picked.iter().any(|pick| pick.run_id == run), "{credential}");
    let intended = claim.intend(&[intent(run, n)]).await.unwrap();
    claim.commit().await.unwrap();
    intended.len()
}

async fn read(house: &House, run: Uuid) -> RunDetails {
    house.store.run(house.tenant, run).await.unwrap().unwrap()
}

async fn kinds(house: &House, run: Uuid) -> Vec<String> {
    let events = house.store.events(house.tenant, run, 0, 100).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn after_a_refusal_the_run_is_queued_under_the_fallback_with_an_empty_record() {
    let house = house().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    let captured = json!({"steps": {"upload": {"id": "of the target"}}});
    house.store.captured_put(run, 1, &captured).await.unwrap();
    let fact = refused(run, 1, instead());
    let moved = house.store.fact_closed(&fact).await.unwrap().unwrap();
    assert_eq!(moved.state, State::Queued);
    assert_eq!(
        house.store.fact_closed(&fact).await.unwrap(),
        None,
        "written twice, it changes nothing"
    );
    let RunDetails {
        run: row, attempts, ..
    } = read(&house, run).await;
    assert_eq!(
        (row.revision_id, row.captured, row.failure),
        (vec![8; 32], None, None)
    );
    assert_eq!(row.fell_back, Some(to().told));
    assert_eq!((row.spent.as_str(), row.event_seq), ("none", 1));
    assert_eq!(attempts[0].outcome, Outcome::Refused);
    assert_eq!(kinds(&house, run).await, ["fallback"]);
    // The next attempt is the other provider's: its key, its revision, and one more live attempt at most.
    assert!(
        house
            .store
            .claim(a, house.credential)
            .await
            .unwrap()
            .unwrap()
            .pick(9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(submit(&house, a, OTHER, run, 2).await, 1);
    let sent = &read(&house, run).await.attempts[1];
    assert_eq!((sent.n, &sent.revision_id), (2, &vec![8; 32]));
    let credential =
        format!("select credential_id from submit_attempts where run_id = '{run}' and n = 2");
    assert_eq!(house.one(&credential).await, OTHER.to_string());
    // And a fallback has none.
    let moved = house
        .store
        .fact_closed(&refused(run, 2, instead()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(moved.state, State::Failed);
    assert_eq!(kinds(&house, run).await, ["fallback", "failed"]);
    assert_eq!(
        house.one("select string_agg(event, ' ') from outbox").await,
        "run.failed"
    );
}

#[tokio::test]
async fn after_a_failed_job_the_fallback_knows_nothing_of_it_and_the_money_stays_counted() {
    let house = house().await;
    let store = &house.store;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    store
        .fact_accepted(&accepted(run, 1, "job-1"))
        .await
        .unwrap();
    let fact = failed(&house, run, 1).await;
    let moved = store.job_failed(&fact).await.unwrap().unwrap();
    assert_eq!(moved.state, State::Queued);
    assert_eq!(
        store.job_failed(&fact).await.unwrap(),
        None,
        "a stale decision"
    );
    let left = "select num_nonnulls(shard, accepted_at, deadline_at, give_up_at, result_expires_at, overdue_at, endpoint,
                                    provider_job_id, captured, progress, failure, ended_at, worker_id) from run_states";
    assert_eq!(house.one(left).await, "0");
    assert_eq!(house.stands(run).await, (State::Queued, "yes".into()));
    assert_eq!(kinds(&house, run).await, ["accepted", "fallback"]);
    // The id of the failed job may come again at the other provider.
    assert_eq!(submit(&house, a, OTHER, run, 2).await, 1);
    assert_eq!(
        house.stands(run).await,
        (State::Submitting, "yes".into()),
        "what was spent is not forgotten"
    );
    let not_sent = Closed {
        how: ClosedHow::NotSent,
        http_status: None,
        ..refused(run, 2, Then::Again(NOW))
    };
    store.fact_closed(&not_sent).await.unwrap().unwrap();
    assert_eq!(house.stands(run).await.1, "yes");
    assert_eq!(submit(&house, a, OTHER, run, 3).await, 1);
    store
        .fact_accepted(&accepted(run, 3, "job-1"))
        .await
        .unwrap();
    assert_eq!(house.stands(run).await, (State::Polling, "yes".into()));
}

#[tokio::test]
async fn after_a_step_before_the_submit_the_fallback_is_queued_too() {
    let house = house().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    let mut claim = house.claim(a).await;
    claim.pick(9).await.unwrap();
    claim.prepare(&[run]).await.unwrap();
    claim.commit().await.unwrap();
    let failure = json!({"code": "authentication"});
    let moved = house
        .store
        .run_not_sent(run, &failure, Some(&to()))
        .await
        .unwrap();
    assert_eq!(moved.unwrap().state, State::Queued);
    assert_eq!(
        house
            .one("select num_nonnulls(worker_id, ended_at) from run_states")
            .await,
        "0"
    );
    assert_eq!(kinds(&house, run).await, ["fallback"]);
    assert_eq!(submit(&house, a, OTHER, run, 1).await, 1);
}

/// Why a run that was refused may not go on.
enum Why {
    Canceled,
    TooLate,
    CredentialPutAway,
    RevisionUnknown,
    WrittenOff,
    FileKept,
}

#[tokio::test]
async fn a_run_does_not_fall_back_once_it_is_unwanted_late_kept_or_was_ever_unknown() {
    use Why::{Canceled, CredentialPutAway, FileKept, RevisionUnknown, TooLate, WrittenOff};
    let house = house().await;
    let (a, _lease, _) = house.worker(10).await;
    let whys = [
        Canceled,
        TooLate,
        CredentialPutAway,
        RevisionUnknown,
        WrittenOff,
        FileKept,
    ];
    for (i, why) in (1_u128..).zip(whys) {
        let run = house.queue(i).await;
        house.submit(a, &[run], 1).await;
        let mut n = 1;
        let mut then = instead();
        match why {
            Canceled => {
                let asked = house.store.run_cancel(house.tenant, run).await.unwrap();
                assert_eq!(asked, Some(Cancel::Asked(State::Submitting)));
            }
            // The program's role may not change a call: the owner does.
            TooLate => owner(&house, &format!("update runs set start_by = now() where run_id = '{run}'")).await,
            CredentialPutAway => house.sql("update provider_api_credentials set status = 'disabled' where id <> '00000000-0000-0000-0000-000000000003'").await,
            RevisionUnknown => {
                let Then::Fallback { to, .. } = &mut then else { unreachable!() };
                to.revision_id = vec![9; 32];
            }
            WrittenOff => {
                write_off(&house, run).await;
                house.submit(a, &[run], 2).await;
                n = 2;
            }
            FileKept => keep_a_file(&house, run).await,
        }
        let moved = house
            .store
            .fact_closed(&refused(run, n, then))
            .await
            .unwrap()
            .unwrap();
        let want = if matches!(why, Canceled) {
            State::Canceled
        } else {
            State::Failed
        };
        assert_eq!(moved.state, want, "{i}");
        assert_eq!(
            read(&house, run).await.run.revision_id,
            house.revision,
            "{i}"
        );
        assert!(
            !kinds(&house, run).await.contains(&"fallback".to_owned()),
            "{i}"
        );
        house
            .sql("update provider_api_credentials set status = 'active'")
            .await;
    }
}

async fn owner(house: &House, sql: &str) {
    use sqlx::{Connection as _, Executor as _, PgConnection};
    let mut owner = PgConnection::connect(&house.database.owner_url)
        .await
        .unwrap();
    owner
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())))
        .await
        .unwrap();
    owner.close().await.unwrap();
}

async fn write_off(house: &House, run: Uuid) {
    let unknown = Unknown {
        run_id: run,
        n: 1,
        shard: 200,
        http_status: None,
        answer: None,
    };
    let ver = house.store.fact_unknown(&unknown).await.unwrap().unwrap();
    let freed = house.store.settle_written_off(run, 1, ver).await.unwrap();
    assert!(freed.is_some());
}

async fn keep_a_file(house: &House, run: Uuid) {
    let file = Fetched {
        run_id: run,
        name: "video".into(),
        idx: 0,
        object_key: "k".into(),
        sha256: vec![1],
        bytes: 1,
        content_type: "video/mp4".into(),
        keep: Some(HOUR),
    };
    house.store.fact_fetched(&file).await.unwrap();
    let kept: Vec<ArtifactRow> = read(house, run).await.artifacts;
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn a_run_that_goes_on_while_its_caller_cancels_ends_before_anything_is_sent() {
    let house = house().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    let fact = refused(run, 1, instead());
    house.store.fact_closed(&fact).await.unwrap().unwrap();
    let canceled = house.store.run_cancel(house.tenant, run).await.unwrap();
    assert_eq!(canceled, Some(Cancel::Canceled));
    assert_eq!(house.stands(run).await, (State::Canceled, "none".into()));
    let mut claim = house.store.claim(a, OTHER).await.unwrap().unwrap();
    assert!(claim.pick(9).await.unwrap().is_empty());
}
