//! Rows by plain SQL: used within a second, and a bad one stops nobody.

use crate::house::{House, cat, ended, quick, until};
use runtime::{ApplyHow, BundleCase, Cases, RunRequest, Status};
use serde_json::json;
use std::time::{Duration, Instant};
use store::{DEFAULT_TENANT, SYSTEM_TENANT};

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

/// A case of the first profile that holds for the bundle: a refused parameter.
fn refused_case(says: &str) -> String {
    json!({
        "input": { "purpose": "video", "prompt": "a cat", "params": { "no_such_option": 1 } },
        "exchanges": [],
        "expect": { "error": { "class": "invalid_request" },
                    "diagnostics": [{ "pointer": "/params/no_such_option", "says": says }] }
    })
    .to_string()
}

fn cases(document: String) -> Cases {
    let case = BundleCase {
        name: "refused-option".to_owned(),
        source: "cases/refused-option.json".to_owned(),
        document,
    };
    Cases {
        given: vec![case],
        ..Cases::default()
    }
}

fn with(cases: Cases) -> ApplyHow {
    ApplyHow {
        cases,
        ..ApplyHow::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_with_a_failing_case_is_not_applied_and_one_that_holds_is_stored_with_it() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let (bundle, _) = profile::bundle::check("bundle.json", &house.bundle.to_string());
    let apply = |document| {
        let (modelrow, rows) = (modelrow.clone(), &bundle.rows);
        async move {
            modelrow
                .apply_with(SYSTEM_TENANT, rows, &with(cases(document)))
                .await
        }
    };
    let before = house.count("select v from catalogue_version").await;
    let refused = apply(refused_case("says something else"))
        .await
        .unwrap_err();
    let found = refused.diagnostics();
    let told: Vec<_> = found.iter().map(|one| one.code).collect();
    assert_eq!(told, [diag::Code::P803], "{found}");
    assert_eq!(
        house.count("select v from catalogue_version").await,
        before,
        "nothing was written"
    );

    let applied = apply(refused_case("no_such_option")).await.unwrap();
    assert_eq!(applied.changed, 1, "the case, and no row: {applied:?}");
    assert_eq!(house.count("select count(*) from profile_cases").await, 1);
    let again = apply(refused_case("no_such_option")).await.unwrap();
    assert_eq!(again.changed, 0, "{again:?}");

    // A stored case speaks too when a bundle comes without it, until it is said that it shall go.
    house.sql("update profile_cases set document = replace(document::text, 'no_such_option\"}', 'other\"}')::json").await;
    assert!(modelrow.apply(SYSTEM_TENANT, &bundle.rows).await.is_err());
    let only = Cases {
        only_these: true,
        ..Cases::default()
    };
    modelrow
        .apply_with(SYSTEM_TENANT, &bundle.rows, &with(only))
        .await
        .unwrap();
    assert_eq!(house.count("select count(*) from profile_cases").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_stored_case_fails_is_not_used_and_its_last_good_revision_goes_on() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let (bundle, _) = profile::bundle::check("bundle.json", &house.bundle.to_string());
    let holds = cases(refused_case("no_such_option"));
    modelrow
        .apply_with(SYSTEM_TENANT, &bundle.rows, &with(holds))
        .await
        .unwrap();
    let good = ended(&modelrow, cat()).await.revision;

    // The case says that the option is not known; the new row knows it.
    let changed = "update ai_models set capabilities = jsonb_set(capabilities, '{options,no_such_option}', '{\"type\": \"int\"}')";
    house.sql(changed).await;
    let begun = Instant::now();
    let diagnosed = || async {
        let rows = modelrow.profile_statuses(DEFAULT_TENANT).await.unwrap();
        rows.iter().any(|row| {
            let found = row
                .diagnostics
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            row.ok == Some(false) && found.contains("P803") && found.contains("refused-option")
        })
    };
    until("the failing case is shown", diagnosed).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        ended(&modelrow, cat()).await.revision,
        good,
        "the last good one serves"
    );
    // A process that starts now remembers the verdict, and serves the last good one too.
    let other = house.start().await;
    assert_eq!(ended(&other, cat()).await.revision, good);

    house.sql("delete from profile_cases").await;
    until("the row is used when nothing speaks against it", || async {
        ended(&modelrow, cat()).await.revision != good
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_row_with_a_failing_case_never_serves() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let call = || {
        RunRequest::new("video")
            .prompt("a cat")
            .profile_key("acme_by_hand")
    };
    let statement = format!(
        "with added as (
            insert into model_api_profiles (tenant_id, provider_id, model_id, profile_key, purpose, auth_profile_id, transport, response_mapping, workflow)
            select p.tenant_id, p.provider_id, p.model_id, 'acme_by_hand', p.purpose, p.auth_profile_id, p.transport, p.response_mapping, p.workflow
            from model_api_profiles p join ai_models m on m.id = p.model_id where m.is_default limit 1 returning id)
         insert into profile_cases (profile_id, name, document) select id, 'refused', '{}' from added",
        refused_case("says something else")
    );
    house.sql(&statement).await;
    until("the row is reported", || async {
        let rows = modelrow.profile_statuses(DEFAULT_TENANT).await.unwrap();
        rows.iter()
            .any(|row| row.profile_key == "acme_by_hand" && row.ok == Some(false))
    })
    .await;
    let refused = modelrow.run_profile(call()).await.unwrap_err();
    assert!(
        refused
            .diagnostics()
            .to_string()
            .contains("the recorded case `refused` fails"),
        "{refused}"
    );
    house.sql("update profile_cases set document = replace(document::text, 'says something else', 'no_such_option')::json").await;
    until("the case holds and the row is used", || async {
        modelrow.plan(&call()).await.is_ok()
    })
    .await;
}

/// Rows of a tenant may name a provider of its own like one of the system's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_systems_secret_never_goes_to_a_provider_that_a_tenants_own_row_describes() {
    let house = House::new(quick()).await;
    house
        .sql(&format!(
            "insert into ai_providers (tenant_id, slug, api_base_url, conventions)
             select '{DEFAULT_TENANT}', slug, 'https://collector.example/v1', conventions from ai_providers;
             insert into model_api_profiles (tenant_id, provider_id, model_id, profile_key, purpose, auth_profile_id, transport, response_mapping, workflow)
             select '{DEFAULT_TENANT}', (select id from ai_providers where tenant_id = '{DEFAULT_TENANT}'),
                    p.model_id, 'collector', p.purpose, p.auth_profile_id, p.transport, p.response_mapping, p.workflow
             from model_api_profiles p join ai_models m on m.id = p.model_id where m.is_default limit 1"
        ))
        .await;
    let modelrow = house.start().await;
    let refused = modelrow.run_profile(cat().profile_key("collector")).await;
    let refused = refused.err().map(|error| {
        error
            .diagnostics()
            .iter()
            .map(|one| one.code)
            .collect::<Vec<_>>()
    });
    assert_eq!(refused, Some(vec![diag::Code::R160]));
}
