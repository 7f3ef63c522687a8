//! What operators see of runs and do with them.

use super::house::{HOUR, House, accepted};
use crate::decisions::Ended;
use crate::facts::Unknown;
use crate::resolve::ResolvedAccepted;
use crate::runs::{ListFilter, NewRun};
use crate::workers::Lease;
use crate::{Scope, State};
use serde_json::{Value, json};
use uuid::Uuid;

const OTHER: Uuid = Uuid::from_u128(0xb0b);

/// A tenant beside the default one.
async fn neighbour(house: &House) {
    house
        .sql(&format!(
            "insert into tenants (tenant_id, slug) values ('{OTHER}', 'neighbour')"
        ))
        .await;
}

async fn call(house: &House, run: u128, tenant: Uuid, request: Value) -> Uuid {
    let call = NewRun {
        tenant_id: tenant,
        request,
        ..house.call(run, None)
    };
    house.store.run_insert(&call).await.unwrap();
    call.run_id
}

async fn listed(house: &House, scope: Scope, filter: ListFilter) -> Vec<u128> {
    let filter = ListFilter {
        limit: filter.limit.max(9),
        ..filter
    };
    let runs = house.store.runs(scope, &filter).await.unwrap();
    runs.into_iter().map(|run| run.run_id.as_u128()).collect()
}

#[tokio::test]
async fn a_tenant_never_lists_anothers_runs_and_an_operator_lists_all() {
    let house = House::new().await;
    neighbour(&house).await;
    let mine = call(&house, 1, house.tenant, json!({})).await;
    let theirs = call(&house, 2, OTHER, json!({})).await;
    let all = ListFilter::default;
    assert_eq!(listed(&house, house.tenant.into(), all()).await, [1]);
    assert_eq!(listed(&house, OTHER.into(), all()).await, [2]);
    assert_eq!(listed(&house, Scope::Operator, all()).await, [2, 1]);
    let stranger = Uuid::from_u128(0xbad);
    assert!(listed(&house, stranger.into(), all()).await.is_empty());
    for (scope, run, seen) in [
        (Scope::from(house.tenant), theirs, false),
        (Scope::from(OTHER), theirs, true),
        (Scope::Operator, theirs, true),
        (Scope::Operator, mine, true),
    ] {
        let store = &house.store;
        assert_eq!(store.run(scope, run).await.unwrap().is_some(), seen);
        assert_eq!(store.run_state(scope, run).await.unwrap().is_some(), seen);
    }
}

/// What a call asked for, as far as a list filters by it.
fn asked(provider: &str, model: Option<&str>, metadata: Value) -> Value {
    json!({"provider": provider, "model": model, "metadata": metadata})
}

#[tokio::test]
#[rustfmt::skip]
async fn a_list_keeps_what_every_filter_holds_for() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let tenant = house.tenant;
    let first = call(&house, 1, tenant, asked("acme", Some("m1"), json!({"order": "12", "n": 8}))).await;
    call(&house, 2, tenant, asked("acme", None, json!({"order": "12"}))).await;
    call(&house, 3, tenant, asked("other", Some("m1"), json!({"order": null}))).await;
    house.submit(a, &[first], 1).await;
    house.store.fact_accepted(&accepted(first, 1, "j")).await.unwrap();
    house
        .sql(&format!(
            "update run_states set held = true where run_id = '{}';
             update runs set created_at = now() - interval '1 hour' where run_id = '{first}'",
            Uuid::from_u128(3)
        ))
        .await;
    let text = |text: &str| Some(text.to_owned());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let none = ListFilter::default;
    let minutes_ago = time::OffsetDateTime::now_utc() - time::Duration::minutes(5);
    for (why, filter, want) in [
        ("no filter, newest first", none(), vec![3, 2, 1]),
        ("provider", ListFilter { provider: text("acme"), ..none() }, vec![2, 1]),
        ("model", ListFilter { model: text("m1"), ..none() }, vec![3, 1]),
        ("both", ListFilter { provider: text("acme"), model: text("m1"), ..none() }, vec![1]),
        ("purpose", ListFilter { purpose: text("image"), ..none() }, vec![]),
        ("state", ListFilter { states: vec![State::Polling, State::Failed], ..none() }, vec![1]),
        ("held", ListFilter { held: Some(true), ..none() }, vec![3]),
        ("not held", ListFilter { held: Some(false), ..none() }, vec![2, 1]),
        ("since", ListFilter { created_after: Some(minutes_ago), ..none() }, vec![3, 2]),
        ("metadata", ListFilter { metadata: vec![pair("order", "12")], ..none() }, vec![2, 1]),
        ("two of them", ListFilter { metadata: vec![pair("order", "12"), pair("n", "8")], ..none() }, vec![1]),
        ("another value", ListFilter { metadata: vec![pair("order", "1")], ..none() }, vec![]),
    ] {
        assert_eq!(listed(&house, tenant.into(), filter).await, want, "{why}");
    }
}

#[tokio::test]
async fn a_page_begins_behind_the_last_run_of_the_page_before_though_all_were_called_at_once() {
    let house = House::new().await;
    for run in 1..=5 {
        house.queue(run).await;
    }
    house
        .sql("update runs set created_at = '2030-01-01T00:00:00Z'")
        .await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = ListFilter {
            after,
            limit: 2,
            ..ListFilter::default()
        };
        let page = house.store.runs(house.tenant, &filter).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some((last.created_at, last.run_id));
        seen.extend(page.iter().map(|run| run.run_id.as_u128()));
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

/// A run whose outcome is unknown, sent by worker 10.
async fn unknown(house: &House, run: u128) -> (Lease, Uuid, i64) {
    let (a, lease, _) = house.worker(10).await;
    let run = house.queue(run).await;
    house.submit(a, &[run], 1).await;
    let fact = Unknown {
        run_id: run,
        n: 1,
        shard: 7,
        http_status: None,
        answer: Some("cut".into()),
    };
    let ver = house.store.fact_unknown(&fact).await.unwrap().unwrap();
    (lease, run, ver)
}

fn note() -> Value {
    json!({"as": "accepted", "reason": "in the dashboard", "by": "ann"})
}

fn has_job<'a>(run: Uuid, ver: i64, job: &'a str, note: &'a Value) -> ResolvedAccepted<'a> {
    ResolvedAccepted {
        run_id: run,
        n: 1,
        ver,
        job,
        shard: 9,
        deadline: HOUR,
        give_up: 24 * HOUR,
        note,
    }
}

async fn kinds(house: &House, run: Uuid) -> Vec<String> {
    let events = house.store.events(Scope::Operator, run, 0, 99).await;
    let events = events.unwrap();
    let seqs: Vec<i32> = events.iter().map(|event| event.seq).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as i32), "{seqs:?}");
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn resolved_as_accepted_the_run_follows_the_job_and_a_stale_word_does_nothing() {
    let house = House::new().await;
    let (_lease, run, ver) = unknown(&house, 1).await;
    let (store, note) = (&house.store, note());
    let stale = has_job(run, ver - 1, "j", &note);
    assert_eq!(store.resolve_accepted(&stale).await.unwrap(), None);
    let said = has_job(run, ver, "j", &note);
    assert_eq!(store.resolve_accepted(&said).await.unwrap(), Some(ver + 1));
    assert_eq!(house.stands(run).await, (State::Polling, "yes".into()));
    let row = store.work(&[run]).await.unwrap().remove(0);
    let sent = row.sent.unwrap();
    assert_eq!((row.shard, row.endpoint.as_deref()), (Some(7), Some("e")));
    assert!(row.deadline_in_ms.unwrap() > 3_000_000 && sent.adopted);
    assert_eq!(store.resolve_accepted(&said).await.unwrap(), None, "once");
    let again = has_job(run, ver + 1, "k", &note);
    assert_eq!(store.resolve_accepted(&again).await.unwrap(), None);
    assert_eq!(kinds(&house, run).await, ["accepted"]);
    assert_eq!(
        store.events(house.tenant, run, 0, 1).await.unwrap()[0].body,
        note
    );
}

#[tokio::test]
async fn resolved_as_not_accepted_the_attempt_is_written_off_and_the_run_sent_again() {
    let house = House::new().await;
    let (_lease, run, ver) = unknown(&house, 1).await;
    let (store, note) = (&house.store, note());
    for (n, ver) in [(1, ver - 1), (2, ver)] {
        let stale = store.resolve_not_accepted(run, n, ver, &note).await;
        assert_eq!(stale.unwrap(), None, "{n} {ver}");
    }
    let moved = store.resolve_not_accepted(run, 1, ver, &note).await;
    assert_eq!(moved.unwrap(), Some(ver + 1));
    assert_eq!(house.stands(run).await, (State::Queued, "maybe".into()));
    assert_eq!(kinds(&house, run).await, ["resolved"]);
    let again = store.resolve_not_accepted(run, 1, ver + 1, &note).await;
    assert_eq!(again.unwrap(), None, "it is queued");
    assert_eq!(house.submit(Uuid::from_u128(10), &[run], 2).await, 1);
}

#[tokio::test]
async fn only_an_unknown_outcome_is_resolved() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let (store, note) = (&house.store, note());
    let run = house.queue(1).await;
    let ver = async || house.ver(run).await;
    let resolved = async |why: &str| {
        let ver = ver().await;
        let yes = store.resolve_accepted(&has_job(run, ver, "j", &note)).await;
        assert_eq!(yes.unwrap(), None, "{why}");
        let no = store.resolve_not_accepted(run, 1, ver, &note).await;
        assert_eq!(no.unwrap(), None, "{why}");
    };
    resolved("queued").await;
    house.submit(a, &[run], 1).await;
    resolved("submitting").await;
    store.fact_accepted(&accepted(run, 1, "job")).await.unwrap();
    resolved("polling").await;
    let failed = json!({"code": "provider_error"});
    let end = Ended {
        run_id: run,
        n: 1,
        ver: None,
        from: State::Polling,
        to: State::Failed,
        captured: None,
        failure: Some(failed),
        cleanup: None,
        file: None,
        answer: None,
    };
    store.run_ended(&end).await.unwrap().unwrap();
    resolved("failed otherwise").await;
}

#[tokio::test]
async fn proof_by_an_operator_reopens_unknown_outcome_and_the_caller_is_told() {
    let house = House::new().await;
    let (_lease, run, ver) = unknown(&house, 1).await;
    let (store, note) = (&house.store, note());
    let ver = store
        .settle_gave_up(run, ver, &json!({}))
        .await
        .unwrap()
        .unwrap();
    let gone = store
        .resolve_not_accepted(run, 1, ver, &note)
        .await
        .unwrap();
    assert_eq!(gone, None, "absence reopens nothing");
    let said = has_job(run, ver, "j", &note);
    assert_eq!(store.resolve_accepted(&said).await.unwrap(), Some(ver + 1));
    assert_eq!(house.stands(run).await, (State::Polling, "yes".into()));
    assert_eq!(kinds(&house, run).await, ["failed", "reopened"]);
    let told =
        "select string_agg(event, ' ' order by event_seq) from outbox where kind = 'callback'";
    assert_eq!(house.one(told).await, "run.failed run.reopened");
}

#[tokio::test]
async fn a_job_that_any_run_had_is_no_other_runs() {
    let house = House::new().await;
    let (_lease, run, ver) = unknown(&house, 1).await;
    let (store, note) = (&house.store, note());
    let other = house.queue(2).await;
    house.submit(Uuid::from_u128(10), &[other], 1).await;
    store.fact_accepted(&accepted(other, 1, "j")).await.unwrap();
    let said = has_job(run, ver, "j", &note);
    assert_eq!(
        store.resolve_accepted(&said).await.unwrap(),
        None,
        "followed"
    );
    house.sql(&format!("update run_states set state = 'succeeded', ended_at = now(), shard = null where run_id = '{other}'")).await;
    assert_eq!(store.resolve_accepted(&said).await.unwrap(), None, "ended");
    assert_eq!(
        store.runs_of_job(house.credential, "j").await.unwrap(),
        [other]
    );
    assert_eq!(house.stands(run).await.0, State::SubmitUnknown);
}

#[tokio::test]
async fn a_canceled_run_that_is_resolved_as_accepted_is_canceled_at_the_provider() {
    let house = House::new().await;
    let (_lease, run, ver) = unknown(&house, 1).await;
    house.store.run_cancel(house.tenant, run).await.unwrap();
    let note = note();
    let said = has_job(run, ver, "j", &note);
    house.store.resolve_accepted(&said).await.unwrap().unwrap();
    let due = house
        .store
        .outbox_claim(&["cancel"], 9, HOUR)
        .await
        .unwrap();
    assert_eq!(due.len(), 1);
}

#[tokio::test]
async fn held_runs_are_released_once_and_only_those_that_are_named() {
    let house = House::new().await;
    let note = json!({"reason": "checked", "by": "ann"});
    let runs = [
        house.queue(1).await,
        house.queue(2).await,
        house.queue(3).await,
    ];
    house.sql("update run_states set held = true").await;
    house.store.run_cancel(house.tenant, runs[2]).await.unwrap();
    let released = house
        .store
        .runs_release(Some(&runs[..1]), &note)
        .await
        .unwrap();
    assert_eq!(released, [(runs[0], State::Queued)]);
    assert_eq!(kinds(&house, runs[0]).await, ["released"]);
    let again = house
        .store
        .runs_release(Some(&runs[..1]), &note)
        .await
        .unwrap();
    assert!(again.is_empty());
    let all = house.store.runs_release(None, &note).await.unwrap();
    assert_eq!(
        all,
        [(runs[1], State::Queued)],
        "an ended run is left as it is"
    );
}
