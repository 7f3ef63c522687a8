//! Erasing a run.

use super::house::{HOUR, House, accepted};
use crate::decisions::Ended;
use crate::erase::Erased;
use crate::facts::Fetched;
use crate::inputs::InputRow;
use crate::runs::{Inserted, ListFilter, NewRun};
use crate::{Scope, State};
use serde_json::json;
use uuid::Uuid;

fn fetched(run: Uuid, name: &str) -> Fetched {
    Fetched {
        run_id: run,
        name: name.into(),
        idx: 0,
        object_key: format!("{run}/{name}.0/3"),
        sha256: vec![1; 32],
        bytes: 1,
        content_type: "video/mp4".into(),
        keep: None,
    }
}

/// A run with a key, an input, a file, an output and a secret in everything that it holds; it has ended.
async fn ended(house: &House) -> Uuid {
    let (a, _lease, _) = house.worker(10).await;
    let store = &house.store;
    let call = NewRun {
        request: json!({"call": {"prompt": "sesame"}, "provider": "acme", "metadata": {"who": "sesame"},
                        "callback": {"url": "https://cb.test/sesame"}}),
        inputs: vec![Uuid::from_u128(5)],
        ..house.call(1, Some("key"))
    };
    let run = call.run_id;
    let input = InputRow {
        input_id: Uuid::from_u128(5),
        object_key: "inputs/5".into(),
        sha256: vec![2; 32],
        bytes: 1,
        content_type: "image/png".into(),
        filename: None,
    };
    store
        .inputs_put(house.tenant, &[input], 24 * HOUR)
        .await
        .unwrap();
    store.run_insert(&call).await.unwrap();
    house.submit(a, &[run], 1).await;
    store.fact_accepted(&accepted(run, 1, "job")).await.unwrap();
    store
        .event_append(run, "note", &json!({"said": "sesame"}))
        .await
        .unwrap();
    store.fact_fetched(&fetched(run, "video")).await.unwrap();
    house
        .sql("update submit_attempts set answer = 'sesame', drawn = '{\"seed\": \"sesame\"}'")
        .await;
    let end = Ended {
        run_id: run,
        n: 1,
        ver: None,
        from: State::Polling,
        to: State::Succeeded,
        captured: Some(json!({"output": "sesame", "output_object": format!("{run}/output/3")})),
        failure: None,
        cleanup: Some(json!({})),
        file: None,
        answer: None,
    };
    store.run_ended(&end).await.unwrap().unwrap();
    run
}

async fn cleaned(house: &House) {
    house
        .sql("update outbox set done_at = now() where kind = 'cleanup'")
        .await;
}

#[tokio::test]
async fn only_an_ended_run_is_erased_and_only_by_those_who_see_it() {
    let house = House::new().await;
    let live = house.queue(9).await;
    let store = &house.store;
    let erase = async |scope: Scope, run| store.run_erase(scope, run, "ann").await.unwrap();
    assert_eq!(
        erase(Scope::Operator, live).await,
        Some(Erased::Live(State::Queued))
    );
    let run = ended(&house).await;
    assert_eq!(
        erase(Scope::Operator, run).await,
        Some(Erased::Closing),
        "its cleanup is not done"
    );
    cleaned(&house).await;
    assert_eq!(
        erase(Uuid::from_u128(8).into(), run).await,
        None,
        "a stranger's"
    );
    assert!(store.run(house.tenant, run).await.unwrap().is_some());
    let done = erase(house.tenant.into(), run).await;
    let output_object = Some(format!("{run}/output/3"));
    assert_eq!(done, Some(Erased::Done { output_object }));
    assert_eq!(erase(house.tenant.into(), run).await, None, "once");
}

#[tokio::test]
async fn of_an_erased_run_nothing_is_left_that_it_held() {
    let house = House::new().await;
    let run = ended(&house).await;
    cleaned(&house).await;
    let store = &house.store;
    store.run_erase(house.tenant, run, "ann").await.unwrap();
    for table in [
        "runs",
        "run_states",
        "submit_attempts",
        "run_events",
        "outbox",
        "webhook_receipts",
        "audit_log",
    ] {
        let held = house
            .one(&format!(
                "select count(*) from {table} t where t::text like '%sesame%'"
            ))
            .await;
        assert_eq!(held, "0", "{table}");
    }
    assert!(store.run(Scope::Operator, run).await.unwrap().is_none());
    assert!(store.run_state(house.tenant, run).await.unwrap().is_none());
    assert!(
        store
            .run_before(Scope::Operator, run)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(store.run_cancel(house.tenant, run).await.unwrap(), None);
    let all = ListFilter {
        limit: 9,
        ..ListFilter::default()
    };
    assert!(store.runs(Scope::Operator, &all).await.unwrap().is_empty());
    assert!(
        store
            .artifact(house.tenant, run, "video", 0)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        house
            .one("select actor || ' ' || action from audit_log where action like 'run.%'")
            .await,
        "ann run.delete"
    );
}

#[tokio::test]
async fn files_and_inputs_of_an_erased_run_are_the_sweeps_an_hour_later() {
    let house = House::new().await;
    let run = ended(&house).await;
    cleaned(&house).await;
    let store = &house.store;
    let (key, output) = (format!("{run}/video.0/3"), format!("{run}/output/3"));
    let wanted = async || {
        let keys = [key.clone(), output.clone()];
        store
            .objects_wanted(&keys, &[Some(run), Some(run)])
            .await
            .unwrap()
            .len()
    };
    assert_eq!(wanted().await, 2);
    store.run_erase(house.tenant, run, "ann").await.unwrap();
    assert_eq!(wanted().await, 1, "the file's row keeps its object for now");
    assert!(store.artifacts_removable(9).await.unwrap().is_empty());
    assert!(store.inputs_expire(9).await.unwrap().is_empty());
    assert_eq!(
        store
            .fact_fetched(&fetched(run, "late"))
            .await
            .unwrap()
            .map(|row| row.object_key),
        None,
        "a late file finds no run"
    );
    house.sql("update artifacts set deleted_at = now() - interval '2 h'; update inputs set delete_after = delete_after - interval '2 h'").await;
    assert_eq!(store.artifacts_removable(9).await.unwrap(), [key.as_str()]);
    assert_eq!(store.inputs_expire(9).await.unwrap(), ["inputs/5"]);
}

#[tokio::test]
async fn an_input_that_another_run_names_stays() {
    let house = House::new().await;
    let run = ended(&house).await;
    cleaned(&house).await;
    let other = NewRun {
        inputs: vec![Uuid::from_u128(5)],
        ..house.call(2, None)
    };
    house.store.run_insert(&other).await.unwrap();
    house
        .store
        .run_erase(house.tenant, run, "ann")
        .await
        .unwrap();
    assert_eq!(
        house.one("select delete_after > now() from inputs").await,
        "true"
    );
}

#[tokio::test]
async fn the_key_and_the_job_of_an_erased_run_stay_used_for_30_days() {
    let house = House::new().await;
    let run = ended(&house).await;
    cleaned(&house).await;
    let store = &house.store;
    store.run_erase(house.tenant, run, "ann").await.unwrap();
    let again = house.call(2, Some("key"));
    assert_eq!(
        store.run_insert(&again).await.unwrap(),
        Inserted::Erased(run)
    );
    assert!(
        !store
            .settle_candidate_free(house.credential, "job")
            .await
            .unwrap()
    );
    house.sql("update artifacts set removed_at = now()").await;
    assert_eq!(store.erased_forget(9).await.unwrap(), 0);
    house
        .sql("update run_states set erased_at = now() - interval '31 days'")
        .await;
    assert_eq!(store.erased_forget(9).await.unwrap(), 1);
    assert_eq!(
        store.run_insert(&again).await.unwrap(),
        Inserted::New(again.run_id)
    );
}

#[tokio::test]
async fn a_late_proof_reopens_no_erased_run() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = house.queue(1).await;
    house.submit(a, &[run], 1).await;
    house.sql("update run_states set state = 'failed', worker_id = null, ended_at = now(), failure = '{\"code\": \"unknown_outcome\"}'; update submit_attempts set outcome = 'unknown'").await;
    let store = &house.store;
    store.run_erase(house.tenant, run, "ann").await.unwrap();
    store.fact_accepted(&accepted(run, 1, "j")).await.unwrap();
    assert_eq!(
        house
            .one("select state || (erased_at is not null) from run_states")
            .await,
        "failedtrue"
    );
    assert!(
        !store
            .settle_candidate_free(house.credential, "j")
            .await
            .unwrap(),
        "its job is known to be its"
    );
}
