//! The revisions of a profile over HTTP: what served, what differs, and going back.

use crate::office::{Office, status};
use serde_json::{Value, json};
use tokio::join;

/// The profile with another timeout; where it is.
async fn edited(office: &Office, timeout: u64) -> (String, Value) {
    let (path, mut row) = office.first("profiles").await;
    row["transport"]["timeout_ms"] = timeout.into();
    let put = office.put(&office.operator, &path, "*", &row).await;
    assert_eq!(status(&put), 200, "{put:?}");
    (path, row)
}

async fn listed(office: &Office, path: &str) -> Vec<Value> {
    let listed = office
        .get(&office.operator, &format!("{path}/revisions"))
        .await
        .json();
    listed["revisions"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed}"))
        .clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_edit_makes_a_revision_that_is_listed_shown_and_compared() {
    let office = Office::open().await;
    let key = &office.operator;
    let (path, _) = edited(&office, 20_000).await;
    let revisions = listed(&office, &path).await;
    assert_eq!(revisions.len(), 2, "{revisions:?}");
    let serving: Vec<_> = revisions
        .iter()
        .map(|one| one["serving"].as_bool().unwrap())
        .collect();
    assert_eq!(serving, [true, false]);
    assert_eq!(revisions[0]["model"], "reel-1");
    let id = |at: usize| revisions[at]["revision"].as_str().unwrap();
    let short = &id(1)[..8];
    let shown = office
        .get(key, &format!("{path}/revisions/{short}"))
        .await
        .json();
    assert_eq!(
        shown["content"]["profile"]["transport"]["timeout_ms"],
        30_000
    );
    let member = json!([{"row": "profile", "change": "changed", "members": [{"pointer": "/transport/timeout_ms", "before": 30_000, "after": 20_000}]}]);
    for query in [String::new(), format!("?to={}", id(0))] {
        let diff = office
            .get(key, &format!("{path}/revisions/{}/diff{query}", id(1)))
            .await
            .json();
        assert_eq!(diff["differences"], member, "{query}");
    }
    let page = office
        .get(key, &format!("{path}/revisions?limit=1"))
        .await
        .json();
    let next = page["next"].as_str().unwrap();
    let rest = office
        .get(key, &format!("{path}/revisions?after={next}"))
        .await
        .json();
    assert_eq!(
        (&rest["revisions"][0]["revision"], &rest["next"]),
        (&json!(id(1)), &Value::Null)
    );
    for wrong in ["abc", "0000000000", "not-digits"] {
        let none = office.get(key, &format!("{path}/revisions/{wrong}")).await;
        assert_eq!(none.problem(), (404, "R207".into()), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_is_activated_by_writing_its_rows_as_they_were_and_rolled_back_in_the_same_way()
{
    let office = Office::open().await;
    let key = &office.operator;
    let (path, good) = office.first("profiles").await;
    let rollback = format!("{path}/rollback");
    let none = office.post_to(key, &rollback, "*").await;
    assert_eq!(none.problem(), (404, "R207".into()));
    edited(&office, 20_000).await;
    let (model, mut other) = office.first("models").await;
    other["capabilities"]["options"]["seconds"]["max"] = 8.into();
    assert_eq!(status(&office.put(key, &model, "*", &other).await), 200);
    let revisions = listed(&office, &path).await;
    let first = revisions[2]["revision"].as_str().unwrap().to_owned();
    let activate = format!("{path}/revisions/{first}/activate");
    let before = office.log().await;
    let dry = office
        .post(key, &format!("{activate}?dry_run=true"), &Value::Null)
        .await
        .json();
    let rows: Vec<_> = dry["differences"]
        .as_array()
        .unwrap_or_else(|| panic!("{dry}"))
        .iter()
        .map(|one| one["row"].clone())
        .collect();
    assert_eq!(rows, ["models/reel-1", "profiles/acme_video_v1/reel-1"]);
    assert_eq!(office.log().await, before, "a dry run changes nothing");
    let done = office.post_to(key, &activate, "*").await;
    assert_eq!(
        (status(&done), &done.json()["differences"]),
        (200, &dry["differences"]),
        "{done:?}"
    );
    let shown = office.get(key, &path).await.json();
    assert_eq!(
        (&shown["row"], &shown["serving"][0]["revision"]),
        (&good, &json!(first))
    );
    assert_eq!(
        listed(&office, &path).await[0]["revision"],
        json!(first),
        "the latest is the one that serves"
    );
    let back = office.post_to(key, &rollback, "*").await;
    assert_eq!(status(&back), 200, "{back:?}");
    let shown = office.get(key, &path).await.json();
    assert_eq!(shown["row"]["transport"]["timeout_ms"], 20_000);
    assert_eq!(shown["serving"][0]["revision"], revisions[0]["revision"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_with_a_failing_case_or_rows_that_are_not_ones_own_is_not_activated() {
    let office = Office::open().await;
    let key = &office.operator;
    let (path, _) = edited(&office, 20_000).await;
    let fails = json!({"input": {"purpose": "video", "prompt": "x"}, "exchanges": [], "expect": {"output": {}}});
    let case =
        format!("insert into profile_cases select id, 'fails', '{fails}' from model_api_profiles");
    office.house.sql(&case).await;
    let before = office.get(key, &path).await.json()["row"].clone();
    let refused = office.post_to(key, &format!("{path}/rollback"), "*").await;
    assert_eq!(refused.problem(), (422, "P803".into()), "{refused:?}");
    assert_eq!(office.get(key, &path).await.json()["row"], before);
    office.house.sql("delete from profile_cases").await;
    let own = office
        .post(&office.admin, "/admin/v1/profiles", &before)
        .await;
    let own = own.header("location").to_owned();
    let serving = listed(&office, &own).await[0]["revision"]
        .as_str()
        .unwrap()
        .to_owned();
    let (provider, mut row) = office.first("providers").await;
    row["conventions"]["poll"]["progress_max"] = 50.into();
    assert_eq!(status(&office.put(key, &provider, "*", &row).await), 200);
    let foreign = format!("{own}/revisions/{serving}/activate");
    let refused = office.post_to(&office.admin, &foreign, "*").await;
    assert_eq!(refused.problem(), (422, "R208".into()), "{refused:?}");
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("providers/acme")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_is_activated_of_the_profile_as_it_was_seen_and_of_two_at_once_one_wins() {
    let office = Office::open().await;
    let key = &office.operator;
    let (path, _) = edited(&office, 20_000).await;
    edited(&office, 25_000).await;
    let revisions = listed(&office, &path).await;
    let ids = [1, 2].map(|at| revisions[at]["revision"].as_str().unwrap());
    let activate = |id: &str| format!("{path}/revisions/{id}/activate");
    let before = office.log().await;
    for at in [activate(ids[0]), format!("{path}/rollback")] {
        let unsaid = office.post(key, &at, &Value::Null).await;
        assert_eq!(unsaid.problem(), (428, "C184".into()), "{at}");
        let stale = office.post_to(key, &at, "\"of-before\"").await;
        assert_eq!(stale.problem(), (412, "R202".into()), "{at}");
    }
    assert_eq!(office.log().await, before, "nothing was written");
    for _ in 0..5 {
        let (one, two) = (activate(ids[0]), activate(ids[1]));
        let tag = office.get(key, &path).await.header("etag").to_owned();
        let (one, two) = join!(
            office.post_to(key, &one, &tag),
            office.post_to(key, &two, &tag)
        );
        let mut statuses = [status(&one), status(&two)];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "{one:?} {two:?}");
        let won = if status(&one) == 200 { ids[0] } else { ids[1] };
        let shown = office.get(key, &path).await.json();
        assert_eq!(shown["serving"][0]["revision"], won);
        edited(&office, 30_001).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_plain_sql_wrote_has_revisions_is_tested_and_exported_with_its_mistakes_said()
 {
    let office = Office::open().await;
    let key = &office.operator;
    let (path, mut row) = office.first("profiles").await;
    office
        .house
        .sql("update model_api_profiles set transport = jsonb_set(transport, '{timeout_ms}', '12345')")
        .await;
    let shown = office.get(key, &path).await.json();
    let revisions = listed(&office, &path).await;
    assert_eq!(
        (revisions.len(), &revisions[0]["revision"]),
        (2, &shown["serving"][0]["revision"]),
        "{revisions:?}"
    );
    let export = "/admin/v1/bundles?provider=acme";
    let exported = office.get(key, export).await.json();
    row["transport"]["timeout_ms"] = 12_345.into();
    assert_eq!(
        exported["profiles"][0]["transport"], row["transport"],
        "what was written by hand is exported"
    );
    office
        .house
        .sql("update model_api_profiles set transport = jsonb_set(transport, '{path}', '\"/{{nothing}}\"')")
        .await;
    let call = json!({"call": {"purpose": "video", "prompt": "x"}});
    for (at, body) in [("test", Value::Null), ("plan", call)] {
        let refused = office.post(key, &format!("{path}/{at}"), &body).await;
        assert_eq!(refused.problem(), (422, "P201".into()), "{at}: {refused:?}");
        assert_eq!(
            refused.json()["errors"][0]["pointer"],
            "/row/transport/path"
        );
    }
    assert_eq!(
        listed(&office, &path).await[0]["serving"],
        true,
        "the last good one goes on serving"
    );
    let back = office.post_to(key, &format!("{path}/rollback"), "*").await;
    assert_eq!(status(&back), 200, "{back:?}");
    let shown = office.get(key, &path).await.json();
    assert_eq!(
        (&shown["row"]["transport"]["path"], &shown["diagnostics"]),
        (&json!("/videos"), &json!([])),
        "{shown}"
    );
}
