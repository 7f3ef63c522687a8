//! Credentials over HTTP: what goes in, what is shown, and what never comes out.

use crate::fixture::{Answer, LIMIT};
use crate::office::{Office, status};
use crate::video;
use axum::http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const CREDENTIALS: &str = "/admin/v1/credentials";
const SECRET: &str = "sk-nobody-is-to-see-this-again";
const OTHER: &str = "sk-nor-this-part-of-the-other-one";

fn own(secret: Value) -> Value {
    json!({"provider": "acme", "name": "acme_key", "secret": secret, "rate_limit_per_minute": 600})
}

/// What is refused, and a change of the secret that is not.
async fn refused(office: &Office, (path, tag): (&str, &str), run: &str) -> [Answer; 8] {
    let key = &office.admin;
    let stale = office.put(key, path, tag, &own(OTHER.into())).await;
    assert_eq!(stale.problem(), (412, "R202".into()));
    let parts = office
        .put(key, path, "*", &own(json!({"key": OTHER})))
        .await;
    let renamed = office
        .put(
            key,
            path,
            "*",
            &json!({"provider": "acme", "name": "x", "secret": OTHER}),
        )
        .await;
    assert_eq!(renamed.problem(), (422, "R204".into()));
    let both = office
        .post(
            key,
            CREDENTIALS,
            &json!({"provider": "acme", "name": "n", "secret": OTHER, "reference": "env:X"}),
        )
        .await;
    assert_eq!(both.problem(), (422, "C154".into()));
    let again = office.post(key, CREDENTIALS, &own(OTHER.into())).await;
    assert_eq!(again.problem(), (409, "R201".into()));
    let unnamed = json!({"provider": "acme", "secert": OTHER, "status": OTHER, "name": [OTHER]});
    let misspelt = office.post(key, CREDENTIALS, &unnamed).await;
    assert_eq!(misspelt.problem(), (422, "C154".into()));
    let put = (Method::PUT, path);
    let other = own(OTHER.into());
    let untagged = office.house.send(key, put, &[], &other).await;
    assert_eq!(untagged.problem(), (428, "C184".into()));
    let named = office.delete(key, path, "*").await;
    assert_eq!(named.problem(), (409, "R203".into()));
    let detail = named.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(run), "{detail}");
    [
        stale, parts, renamed, both, again, misspelt, untagged, named,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_goes_in_serves_and_is_in_no_answer_and_no_entry_of_the_log() {
    let office = Office::open().await;
    let key = &office.admin;
    let made = office.post(key, CREDENTIALS, &own(SECRET.into())).await;
    assert_eq!(status(&made), 201, "{made:?}");
    let path = made.header("location").to_owned();
    let shown = made.json();
    assert_eq!(
        (
            &shown["secret"],
            &shown["sealed_under"],
            &shown["last_used_at"]
        ),
        (&json!("sealed"), &json!("test"), &Value::Null)
    );
    let verified = office
        .post(key, &format!("{path}/verify"), &Value::Null)
        .await;
    assert_eq!(
        (status(&verified), &verified.json()["failure"]),
        (200, &Value::Null),
        "{verified:?}"
    );
    let run = office
        .house
        .create(&video("a cat"), &[("prefer", "wait=1")])
        .await;
    assert!(run.status.is_success(), "{run:?}");
    let used = async {
        while office.get(key, &path).await.json()["last_used_at"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, used).await.unwrap();
    let tag = office.get(key, &path).await.header("etag").to_owned();
    let mut limited = own(SECRET.into());
    limited.as_object_mut().unwrap().remove("secret");
    limited["rate_limit_per_day"] = 5000.into();
    let kept = office.put(key, &path, &tag, &limited).await;
    assert_eq!(
        (
            status(&kept),
            &kept.json()["secret"],
            &kept.json()["rate_limit_per_day"]
        ),
        (200, &json!("sealed"), &json!(5000))
    );
    let refused = refused(&office, (&path, &tag), &crate::id(&run)).await;
    let of_run = format!("/admin/v1/runs/{}", crate::id(&run));
    let mut answers = vec![made, verified, run, kept];
    answers.extend(refused);
    for path in [
        CREDENTIALS,
        "/admin/v1/audit?limit=500",
        "/admin/v1/bundles?provider=acme&tenant=system",
        &path,
        &of_run,
    ] {
        answers.push(office.get(key, path).await);
        answers.push(office.get(&office.operator, path).await);
    }
    for answer in answers {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for secret in [SECRET, OTHER] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let log = office
        .get(key, "/admin/v1/audit?object=credential/acme/acme_key")
        .await
        .json();
    let changed = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one["after"]["secret_changed"] == true);
    assert!(changed, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_paused_and_resumed_and_its_last_refusal_stays_to_be_seen() {
    let office = Office::open().await;
    let key = &office.admin;
    let made = office.post(key, CREDENTIALS, &own(SECRET.into())).await;
    let path = made.header("location").to_owned();
    let id = made.json()["id"].as_str().unwrap().parse().unwrap();
    let no_reason = office
        .post(key, &format!("{path}/pause"), &json!({"reason": " "}))
        .await;
    assert_eq!(no_reason.problem(), (422, "C181".into()));
    let paused = office
        .post(
            key,
            &format!("{path}/pause"),
            &json!({"reason": "it leaked"}),
        )
        .await
        .json();
    assert_eq!(
        (&paused["pauses"][0]["why"], &paused["pauses"][0]["until"]),
        (&json!("it leaked"), &Value::Null),
        "{paused}"
    );
    assert!(
        paused["pauses"][0]["by"]
            .as_str()
            .unwrap()
            .starts_with("mrk_")
    );
    let store = office.house.modelrow.store();
    store
        .credential_pause(id, Duration::from_secs(600), "authentication")
        .await
        .unwrap();
    store
        .credential_pause(id, Duration::from_secs(1), "rate_limited")
        .await
        .unwrap();
    let refused = office.get(key, &path).await.json();
    assert_eq!(refused["pauses"].as_array().unwrap().len(), 2, "{refused}");
    assert_eq!(
        (&refused["pauses"][1]["why"], &refused["last_refused_why"]),
        (&json!("authentication"), &json!("rate_limited")),
        "the longer pause stands, the last refusal is told"
    );
    let log = "/admin/v1/audit?action=pause";
    let entry = office.get(key, log).await.json()["entries"][0].clone();
    assert_eq!(entry["after"]["reason"], "it leaked", "{entry}");
    for _ in 0..2 {
        let resumed = office
            .post(key, &format!("{path}/resume"), &Value::Null)
            .await;
        assert_eq!(
            (status(&resumed), &resumed.json()["pauses"]),
            (200, &json!([])),
            "{resumed:?}"
        );
        assert!(resumed.json()["last_refused_at"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_admin_neither_ends_nor_rewrites_an_operators_pause() {
    let office = Office::open().await;
    let made = office
        .post(&office.admin, CREDENTIALS, &own(SECRET.into()))
        .await;
    let (pause, resume) = (
        format!("{}/pause", made.header("location")),
        format!("{}/resume", made.header("location")),
    );
    let theirs = json!({"reason": "abuse"});
    let braked = office.post(&office.operator, &pause, &theirs).await;
    assert_eq!(braked.json()["pauses"][0]["by_operator"], true);
    let mine = json!({"reason": "mine"});
    let paused = office.post(&office.admin, &pause, &mine).await;
    assert_eq!(
        (status(&paused), &paused.json()["pauses"][0]["why"]),
        (200, &json!("abuse")),
        "{paused:?}"
    );
    let kept = office.post(&office.admin, &resume, &Value::Null).await;
    assert_eq!(kept.problem(), (409, "R209".into()), "{kept:?}");
    let ended = office.post(&office.operator, &resume, &Value::Null).await;
    assert_eq!(ended.json()["pauses"], json!([]), "{ended:?}");
    let paused = office.post(&office.admin, &pause, &mine).await;
    assert_eq!(paused.json()["pauses"][0]["by_operator"], false);
    let ended = office.post(&office.admin, &resume, &Value::Null).await;
    assert_eq!(ended.json()["pauses"], json!([]), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_the_systems_credentials_and_touches_its_own_alone() {
    let office = Office::open().await;
    let key = &office.admin;
    let listed = office.get(key, CREDENTIALS).await.json();
    let system = format!(
        "{CREDENTIALS}/{}",
        listed["credentials"][0]["id"].as_str().unwrap()
    );
    let shown = office.get(key, &system).await.json();
    assert_eq!(
        (&shown["secret"], &shown["reference"]),
        (&json!("reference"), &json!("env:ACME_KEY"))
    );
    let body = own("x".into());
    for refused in [
        office.put(key, &system, "*", &body).await,
        office.delete(key, &system, "*").await,
        office
            .post(key, &format!("{system}/verify"), &Value::Null)
            .await,
        office
            .post(key, &format!("{system}/pause"), &json!({"reason": "mine"}))
            .await,
        office
            .post(key, &format!("{system}/resume"), &Value::Null)
            .await,
    ] {
        assert_eq!(refused.problem(), (403, "C174".into()), "{refused:?}");
    }
    let reference = json!({"provider": "acme", "name": "theirs", "reference": "env:DATABASE_URL"});
    let refused = office.post(key, CREDENTIALS, &reference).await;
    assert_eq!(
        (refused.problem(), &refused.json()["errors"][0]["pointer"]),
        ((422, "R206".into()), &json!("/reference"))
    );
    let operators = office.post(&office.operator, CREDENTIALS, &reference).await;
    assert_eq!(status(&operators), 201, "{operators:?}");
    let named = office.delete(&office.operator, &system, "*").await;
    assert_eq!(named.problem(), (409, "R203".into()));
    assert!(
        named.json()["detail"]
            .as_str()
            .unwrap()
            .contains("auth_profiles/acme/acme_key"),
        "{named:?}"
    );
    let gone = office
        .delete(&office.operator, operators.header("location"), "*")
        .await;
    assert_eq!(status(&gone), 204, "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_one_default_credential_the_first_or_the_one_that_is_chosen() {
    let office = Office::open().await;
    let key = &office.admin;
    let first = office
        .post(
            key,
            CREDENTIALS,
            &json!({"provider": "acme", "name": "a", "secret": "1"}),
        )
        .await
        .json();
    let second = office
        .post(
            key,
            CREDENTIALS,
            &json!({"provider": "acme", "name": "b", "secret": "2", "is_default": true}),
        )
        .await
        .json();
    assert_eq!(
        (&first["is_default"], &second["is_default"]),
        (&json!(true), &json!(true))
    );
    let first = office
        .get(
            key,
            &format!("{CREDENTIALS}/{}", first["id"].as_str().unwrap()),
        )
        .await
        .json();
    assert_eq!(first["is_default"], false, "one is the default");
    let nobody = office
        .post(
            key,
            CREDENTIALS,
            &json!({"provider": "nobody", "secret": "1"}),
        )
        .await;
    assert_eq!(nobody.problem(), (422, "P110".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_plain_sql_wrote_is_shown_with_its_reference_proved_and_paused() {
    let office = Office::open().await;
    let statement = "insert into provider_api_credentials (tenant_id, provider_id, name, secret_ref)
         select (select tenant_id from tenants where slug = 'default'), id, 'acme_key', 'env:BY_HAND' from ai_providers";
    office.house.sql(statement).await;
    let key = &office.admin;
    let listed = office.get(key, CREDENTIALS).await.json();
    let of_it = listed["credentials"][0].clone();
    assert_eq!(
        (&of_it["name"], &of_it["secret"], &of_it["reference"]),
        (
            &json!("acme_key"),
            &json!("reference"),
            &json!("env:BY_HAND")
        ),
        "{listed}"
    );
    let path = format!("{CREDENTIALS}/{}", of_it["id"].as_str().unwrap());
    let proved = office
        .post(key, &format!("{path}/verify"), &Value::Null)
        .await;
    assert_eq!(
        (status(&proved), &proved.json()["failure"]),
        (200, &Value::Null),
        "{proved:?}"
    );
    let reason = json!({"reason": "unknown"});
    let paused = office.post(key, &format!("{path}/pause"), &reason).await;
    assert_eq!(paused.json()["pauses"][0]["why"], "unknown", "{paused:?}");
    let mut other = json!({"provider": "acme", "name": "acme_key", "reference": "env:BY_HAND"});
    let kept = office.put(key, &path, "*", &other).await;
    assert_eq!(status(&kept), 200, "what is there may stay: {kept:?}");
    other["reference"] = "env:PATH".into();
    let refused = office.put(key, &path, "*", &other).await;
    assert_eq!(refused.problem(), (422, "R206".into()), "{refused:?}");
}
