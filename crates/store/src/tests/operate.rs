//! What operators see of runs and do with them.

use super::house::{House, accepted};
use crate::runs::{ListFilter, NewRun};
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
