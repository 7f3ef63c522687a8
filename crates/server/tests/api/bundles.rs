//! Bundles over HTTP, and tests and plans of rows that are not saved.

use crate::fixture::LIMIT;
use crate::office::{Office, status};
use crate::video;
use serde_json::{Value, json};
use store::DEFAULT_TENANT;

const BUNDLES: &str = "/admin/v1/bundles";
const ACME: &str = "/admin/v1/bundles?provider=acme";

/// A recorded case that holds for the bundle: the model refuses the call.
fn holds() -> Value {
    json!({
        "input": {"purpose": "video", "prompt": "x", "params": {"zoom": 2}}, "exchanges": [],
        "expect": {"error": {"class": "invalid_request"}, "diagnostics": [{"code": "C101", "pointer": "/params/zoom"}]},
    })
}

fn fails() -> Value {
    json!({"input": {"purpose": "video", "prompt": "x"}, "exchanges": [], "expect": {"output": {}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_the_diff_and_changes_nothing_and_the_bundle_is_then_applied_whole() {
    let office = Office::open().await;
    let key = &office.operator;
    let exported = office.get(key, ACME).await;
    assert_eq!(status(&exported), 200, "{exported:?}");
    let mut bundle = exported.json();
    assert_eq!(
        bundle["auth_profiles"][0]["secret"], "env:ACME_KEY",
        "a reference"
    );
    let same = office.post(key, BUNDLES, &bundle).await.json();
    assert_eq!(
        (&same["changed"], &same["differences"]),
        (&json!(0), &json!([])),
        "{same}"
    );
    bundle["models"][0]["display_name"] = "Reel One".into();
    let mut other = bundle["models"][0].clone();
    other["model_id"] = "reel-2".into();
    other["is_default"] = false.into();
    bundle["models"].as_array_mut().unwrap().push(other);
    let before = (office.log().await, office.get(key, ACME).await.json());
    let dry = office
        .post(key, "/admin/v1/bundles?dry_run=true", &bundle)
        .await
        .json();
    let differences = json!([
        {"row": "models/reel-1", "change": "changed", "members": [{"pointer": "/display_name", "before": "Reel 1", "after": "Reel One"}]},
        {"row": "models/reel-2", "change": "added"},
    ]);
    assert_eq!(dry["differences"], differences, "{dry}");
    assert_eq!(dry["dry_run"], true);
    assert_eq!(
        (office.log().await, office.get(key, ACME).await.json()),
        before,
        "a dry run changes nothing"
    );
    let applied = office.post(key, BUNDLES, &bundle).await.json();
    assert_eq!(
        (&applied["differences"], &applied["changed"]),
        (&differences, &json!(2))
    );
    let after = office.get(key, ACME).await.json();
    assert_eq!(after["models"].as_array().unwrap().len(), 2);
    assert_eq!(
        office.post(key, BUNDLES, &after).await.json()["changed"],
        0,
        "an export is what is there"
    );
    let log = office
        .get(key, "/admin/v1/audit?object=model/acme/reel-2")
        .await
        .json();
    let actor = log["entries"][0]["actor"].as_str().unwrap();
    assert!(actor.starts_with("mrk_"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_with_one_bad_row_changes_nothing_and_every_mistake_has_its_place_in_the_body() {
    let office = Office::open().await;
    let key = &office.operator;
    let mut bundle = office.get(key, ACME).await.json();
    bundle["models"][0]["display_name"] = "changed".into();
    bundle["models"][0]["model_typ"] = "video".into();
    bundle["profiles"][0]["transport"]["path"] = "/{{nothing}}".into();
    let before = (office.log().await, office.get(key, ACME).await.json());
    for (body, part) in [(bundle.clone(), ""), (json!({"bundle": bundle}), "/bundle")] {
        for query in ["", "?dry_run=true", "/test"] {
            let refused = office.post(key, &format!("{BUNDLES}{query}"), &body).await;
            assert_eq!(status(&refused), 422, "{query}: {refused:?}");
            let errors = refused.json()["errors"].as_array().unwrap().clone();
            let mut at: Vec<_> = errors
                .iter()
                .map(|one| one["pointer"].as_str().unwrap())
                .collect();
            at.sort_unstable();
            let want = ["/models/0/model_typ", "/profiles/0/transport/path"]
                .map(|at| format!("{part}{at}"));
            assert_eq!(at, want, "{query}: {errors:?}");
        }
    }
    #[rustfmt::skip]
    let cases = [
        (BUNDLES,                        json!([]),                                  422, "P102", ""),
        (BUNDLES,                        json!({"language": 9, "provider": {"slug": "x", "api_base_url": "https://x.example"}}), 422, "P112", "/language"),
        (BUNDLES,                        json!({"bundle": {}, "casses": {}}),        422, "C153", "/casses"),
        ("/admin/v1/bundles/plan",       json!({"call": video("x")}),                422, "C155", "/bundle"),
        ("/admin/v1/bundles/plan",       json!({"bundle": before.1}),                422, "C155", "/call"),
        ("/admin/v1/bundles/plan",       json!({"bundle": before.1, "call": {"purpose": "video", "promt": "x"}}), 422, "C153", "/call/promt"),
        ("/admin/v1/bundles/plan",       json!({"bundle": before.1, "call": {"purpose": "video", "prompt": "x", "params": {"zoom": 1}}}), 422, "C101", "/call/params/zoom"),
    ];
    for (path, body, status, code, pointer) in cases {
        let answer = office.post(key, path, &body).await;
        assert_eq!(
            answer.problem(),
            (status, code.to_owned()),
            "{path} {body}: {answer:?}"
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            pointer,
            "{path} {body}"
        );
    }
    for path in [
        "/admin/v1/bundles?dry_run=yes",
        "/admin/v1/bundles?prume=true",
        "/admin/v1/bundles?tenant=a%00b",
    ] {
        assert_eq!(
            office.post(key, path, &before.1).await.problem(),
            (400, "C190".into()),
            "{path}"
        );
    }
    assert_eq!(
        office.get(key, BUNDLES).await.problem(),
        (400, "C190".into())
    );
    assert_eq!(
        office
            .get(key, "/admin/v1/bundles?provider=none")
            .await
            .problem(),
        (404, "R205".into())
    );
    assert_eq!(
        (office.log().await, office.get(key, ACME).await.json()),
        before
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_removes_what_the_bundle_no_longer_names_unless_runs_use_it() {
    let office = Office::open().await;
    let key = &office.operator;
    let run = crate::id(&office.house.create(&video("a cat"), &[]).await);
    let mut bundle = office.get(key, ACME).await.json();
    let mut second = bundle["profiles"][0].clone();
    second["profile_key"] = "acme_video_v2".into();
    bundle["profiles"] = json!([second]);
    let kept = office.post(key, BUNDLES, &bundle).await.json();
    assert_eq!(kept["removed"], 0, "without `prune` it stays");
    let path = "/admin/v1/bundles?prune=true";
    let refused = office.post(key, path, &bundle).await;
    assert_eq!(refused.problem(), (409, "R203".into()), "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains(&run));
    office.house.finish().await;
    let ended = office
        .house
        .modelrow
        .wait(DEFAULT_TENANT, run.parse().unwrap(), LIMIT)
        .await
        .unwrap();
    assert!(ended.ended(), "{ended:?}");
    let dry = office
        .post(key, "/admin/v1/bundles?prune=true&dry_run=true", &bundle)
        .await
        .json();
    let gone = json!([{"row": "profiles/acme_video_v1/reel-1", "change": "removed"}]);
    assert_eq!(dry["differences"], gone);
    let pruned = office.post(key, path, &bundle).await.json();
    assert_eq!(
        (&pruned["removed"], &pruned["differences"]),
        (&json!(1), &gone)
    );
    let after = office.get(key, ACME).await.json();
    assert_eq!(after, bundle);
    assert_eq!(
        office.house.modelrow.credentials().len(),
        1,
        "a credential stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_leaves_what_rows_of_others_use_and_names_them() {
    let office = Office::open().await;
    let key = &office.operator;
    let (_, mut theirs) = office.first("profiles").await;
    theirs["profile_key"] = "theirs".into();
    let made = office
        .post(&office.admin, "/admin/v1/profiles", &theirs)
        .await;
    assert_eq!(status(&made), 201, "{made:?}");
    let before = office.get(key, ACME).await.json();
    let mut bundle = before.clone();
    bundle["models"][0]["model_id"] = "reel-2".into();
    bundle["profiles"][0]["model"] = "reel-2".into();
    let log = office.log().await;
    for query in ["?prune=true&dry_run=true", "?prune=true"] {
        let refused = office
            .post(key, &format!("{BUNDLES}{query}"), &bundle)
            .await;
        assert_eq!(refused.problem(), (409, "R203".into()), "{refused:?}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("profiles/acme/theirs/reel-1"), "{detail}");
        assert!(!detail.contains("acme_video_v1"), "it goes too: {detail}");
    }
    assert_eq!(office.get(key, ACME).await.json(), before);
    assert_eq!(office.log().await, log);
    let gone = office
        .delete(&office.admin, made.header("location"), "*")
        .await;
    assert_eq!(status(&gone), 204, "{gone:?}");
    let pruned = office
        .post(key, &format!("{BUNDLES}?prune=true"), &bundle)
        .await;
    assert_eq!(pruned.json()["removed"], 2, "{pruned:?}");
    assert_eq!(office.get(key, ACME).await.json(), bundle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundles_recorded_cases_are_replayed_before_it_is_applied_and_stored_with_it() {
    let office = Office::open().await;
    let key = &office.operator;
    let bundle = office.get(key, ACME).await.json();
    let with = |cases: Value| json!({"bundle": bundle, "cases": cases});
    let tested = office
        .post(
            key,
            "/admin/v1/bundles/test",
            &with(json!({"good": holds(), "bad": fails()})),
        )
        .await;
    let report = tested.json();
    assert_eq!(report["hold"], false, "{report}");
    let one = |name: &str| {
        report["cases"]
            .as_array()
            .unwrap()
            .iter()
            .find(|case| case["case"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&one("good")["holds"], &one("bad")["holds"]),
        (&json!(true), &json!(false)),
        "{report}"
    );
    assert_ne!(one("bad")["differences"], json!([]));
    let refused = office
        .post(key, BUNDLES, &with(json!({"bad": fails()})))
        .await;
    assert_eq!(refused.problem(), (422, "P803".into()));
    let applied = office
        .post(key, BUNDLES, &with(json!({"good": holds()})))
        .await;
    assert_eq!(applied.json()["changed"], 1, "{applied:?}");
    let case = json!([{"row": "cases/acme_video_v1/good", "change": "added"}]);
    assert_eq!(applied.json()["differences"], case, "{applied:?}");
    let exported = office
        .get(key, "/admin/v1/bundles?provider=acme&cases=true")
        .await
        .json();
    assert_eq!(exported["cases"], json!({"good": holds()}));
    assert_eq!(
        office.post(key, BUNDLES, &exported).await.json()["changed"],
        0
    );
    let (path, mut row) = office.first("profiles").await;
    let tested = office
        .post(key, &format!("{path}/test"), &Value::Null)
        .await;
    assert_eq!(tested.json()["hold"], true, "{tested:?}");
    row["transport"]["path"] = "/{{nothing}}".into();
    let refused = office
        .post(key, &format!("{path}/test"), &json!({"row": row}))
        .await;
    assert_eq!(refused.problem(), (422, "P201".into()));
    assert_eq!(
        refused.json()["errors"][0]["pointer"],
        "/row/transport/path"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_not_saved_are_planned_and_nothing_is_sent_or_kept() {
    let office = Office::open().await;
    let key = &office.operator;
    let before = office.log().await;
    let mut bundle = office.get(key, ACME).await.json();
    bundle["profiles"][0]["transport"]["path"] = "/films".into();
    let body = json!({"bundle": bundle, "call": video("a cat")});
    let planned = office.post(key, "/admin/v1/bundles/plan", &body).await;
    assert_eq!(status(&planned), 200, "{planned:?}");
    let text = planned.json().to_string();
    assert!(
        text.contains("/films") && !text.contains("sk-test"),
        "{text}"
    );
    let (path, mut row) = office.first("profiles").await;
    row["transport"]["path"] = "/clips".into();
    row["is_active"] = false.into();
    let at = format!("{path}/plan");
    let unsaved = office
        .post(key, &at, &json!({"row": row, "call": video("a cat")}))
        .await;
    assert!(unsaved.json().to_string().contains("/clips"), "{unsaved:?}");
    let saved = office
        .post(key, &at, &json!({"call": video("a cat")}))
        .await;
    assert!(saved.json().to_string().contains("/videos"), "{saved:?}");
    assert!(office.house.provider.ledger().is_empty());
    assert_eq!(office.log().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_into_our_network_and_references_to_our_secrets_are_an_operators_to_write() {
    let office = Office::open().await;
    let mut bundle = office.get(&office.operator, ACME).await.json();
    let refused = office.post(&office.admin, BUNDLES, &bundle).await;
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    let told: Vec<_> = errors
        .iter()
        .map(|one| {
            (
                one["code"].as_str().unwrap(),
                one["pointer"].as_str().unwrap(),
            )
        })
        .collect();
    let want = [
        ("P116", "/provider/egress/allow_http"),
        ("P116", "/provider/egress/allow_private"),
        ("R206", "/auth_profiles/0/secret"),
    ];
    assert_eq!(told, want);
    let mut provider = bundle["provider"].clone();
    let row = office
        .post(&office.admin, "/admin/v1/providers", &provider)
        .await;
    assert_eq!(
        row.json()["errors"][0]["pointer"],
        "/egress/allow_http",
        "{row:?}"
    );
    let path = "/admin/v1/bundles?tenant=default";
    let for_them = office.post(&office.operator, path, &bundle).await;
    assert_eq!(for_them.problem(), (422, "P116".into()), "{for_them:?}");
    bundle["provider"]["egress"] = json!({});
    bundle["provider"]["api_base_url"] = "https://acme.example/v1".into();
    let for_them = office.post(&office.operator, path, &bundle).await;
    assert_eq!(status(&for_them), 200, "{for_them:?}");
    bundle["provider"]["name"] = "Ours".into();
    let theirs = office.post(&office.admin, BUNDLES, &bundle).await;
    assert_eq!(
        status(&theirs),
        200,
        "what the operator wrote may stay: {theirs:?}"
    );
    provider["egress"] = json!({});
    provider["api_base_url"] = "https://free.example/v1".into();
    provider["slug"] = "free".into();
    let free = office
        .post(&office.admin, "/admin/v1/providers", &provider)
        .await;
    assert_eq!(status(&free), 201, "{free:?}");
}
