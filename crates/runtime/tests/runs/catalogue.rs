//! Rows by plain SQL: used within a second, and a bad one stops nobody.

use crate::house::{House, cat, ended, quick, until};
use runtime::{RunRequest, Status};
use std::time::{Duration, Instant};
use store::DEFAULT_TENANT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_inserted_by_plain_sql_is_used_within_a_second() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let call = || {
        RunRequest::new("video")
            .prompt("a cat")
            .profile_key("acme_by_hand")
    };
    assert!(modelrow.run_profile(call()).await.is_err(), "not there yet");
    house
        .sql(
            "insert into model_api_profiles (tenant_id, provider_id, model_id, profile_key, purpose, auth_profile_id, transport, response_mapping, workflow)
             select p.tenant_id, p.provider_id, p.model_id, 'acme_by_hand', p.purpose, p.auth_profile_id, p.transport, p.response_mapping, p.workflow
             from model_api_profiles p join ai_models m on m.id = p.model_id where m.is_default limit 1",
        )
        .await;
    let inserted = Instant::now();
    until("the row is used", || async {
        modelrow.plan(&call()).await.is_ok()
    })
    .await;
    assert!(
        inserted.elapsed() < Duration::from_secs(1),
        "{:?}",
        inserted.elapsed()
    );
    let view = ended(&modelrow, call()).await;
    assert_eq!(
        (view.status, view.profile_key.as_deref()),
        (Status::Succeeded, Some("acme_by_hand")),
        "{view:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_is_reported_and_its_last_good_revision_goes_on() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    house
        .sql("update model_api_profiles set transport = transport || '{\"methud\": \"POST\"}'")
        .await;
    let bad = || async {
        let rows = modelrow.profile_statuses(DEFAULT_TENANT).await.unwrap();
        !rows.is_empty()
            && rows
                .iter()
                .all(|row| row.ok == Some(false) && row.serving.is_some())
    };
    until("the bad rows are reported", bad).await;
    let rows = modelrow.profile_statuses(DEFAULT_TENANT).await.unwrap();
    let found = rows[0].diagnostics.as_ref().unwrap().to_string();
    assert!(
        found.contains("methud") && found.contains("P101"),
        "{found}"
    );
    assert_eq!(ended(&modelrow, cat()).await.status, Status::Succeeded);
    // Another process, started on the bad rows, has the last good one from the database.
    let other = house.start().await;
    assert_eq!(ended(&other, cat()).await.status, Status::Succeeded);
    house
        .sql("update model_api_profiles set transport = transport - 'methud'")
        .await;
    until("the rows are good again", || async {
        modelrow
            .profile_statuses(DEFAULT_TENANT)
            .await
            .unwrap()
            .iter()
            .all(|row| row.ok == Some(true))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_flight_keeps_its_revision_when_the_row_changes() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    let before = handle.view().await.unwrap().revision;
    house.sql("update ai_models set display_name = 'another', capabilities = jsonb_set(capabilities, '{defaults,seconds}', '12')").await;
    let view = modelrow
        .wait(DEFAULT_TENANT, handle.id(), crate::house::LIMIT)
        .await
        .unwrap();
    assert_eq!((view.status, &view.revision), (Status::Succeeded, &before));
    until("a new revision serves", || async {
        ended(&modelrow, cat()).await.revision != before
    })
    .await;
}
