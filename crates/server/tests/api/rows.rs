//! The rows of the language over HTTP: made, shown, changed, taken away, by who may.

use crate::fixture::{LIMIT, key};
use crate::office::{Office, status};
use crate::video;
use axum::http::Method;
use runtime::Role;
use serde_json::{Value, json};
use store::DEFAULT_TENANT;
use tokio::join;

const KINDS: [&str; 7] = [
    "providers",
    "auth_profiles",
    "response_schemas",
    "prompt_templates",
    "models",
    "profiles",
    "routing_rules",
];

fn template(prompt: &str) -> Value {
    json!({"name": "greeting", "version": 1, "purpose": "chat", "body": {"prompt": prompt}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_made_shown_changed_and_taken_away_and_each_change_says_what_it_met() {
    let office = Office::open().await;
    let admin = &office.admin;
    let made = office
        .post(
            admin,
            "/admin/v1/prompt_templates",
            &template("{{userPrompt}}"),
        )
        .await;
    assert_eq!(status(&made), 201, "{made:?}");
    let path = made.header("location").to_owned();
    let first = made.header("etag").to_owned();
    assert!(first.starts_with('"') && made.json()["row"] == template("{{userPrompt}}"));
    let shown = office.get(admin, &path).await;
    assert_eq!(
        (status(&shown), shown.header("etag")),
        (200, first.as_str())
    );
    let known = [("if-none-match", first.as_str())];
    let known = office
        .house
        .send(admin, (Method::GET, &path), &known, &Value::Null)
        .await;
    assert_eq!((status(&known), known.body.len()), (304, 0));
    let body = template("hello {{userPrompt}}");
    let no_tag = office
        .house
        .send(admin, (Method::PUT, &path), &[], &body)
        .await;
    assert_eq!(no_tag.problem(), (428, "C184".into()));
    let changed = office.put(admin, &path, &first, &body).await;
    assert_eq!(status(&changed), 200, "{changed:?}");
    assert_ne!(changed.header("etag"), first);
    for stale in [first.as_str(), "\"x\"", "W/\"x\""] {
        let put = office.put(admin, &path, stale, &template("stale")).await;
        assert_eq!(put.problem(), (412, "R202".into()), "{stale}");
        let gone = office.delete(admin, &path, stale).await;
        assert_eq!(gone.problem(), (412, "R202".into()), "{stale}");
    }
    assert_eq!(office.get(admin, &path).await.json()["row"], body);
    let other = json!({"name": "farewell", "version": 1, "body": {"prompt": "x"}});
    let renamed = office.put(admin, &path, "*", &other).await;
    assert_eq!(renamed.problem(), (422, "R204".into()));
    assert_eq!(renamed.json()["errors"][0]["pointer"], "/name");
    let gone = office.delete(admin, &path, changed.header("etag")).await;
    assert_eq!(status(&gone), 204, "{gone:?}");
    assert_eq!(
        office.get(admin, &path).await.problem(),
        (404, "R200".into())
    );
    let log = office
        .get(admin, "/admin/v1/audit?object=prompt_template/greeting/1")
        .await;
    let entries = log.json()["entries"].as_array().unwrap().clone();
    let actions: Vec<_> = entries
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "prompt_template.delete",
            "prompt_template.change",
            "prompt_template.create"
        ]
    );
    assert_eq!(entries[1]["before"]["body"]["prompt"], "{{userPrompt}}");
    assert_eq!(
        entries[1]["after"]["body"]["prompt"],
        "hello {{userPrompt}}"
    );
    assert!(
        entries[1]["actor"].as_str().unwrap().starts_with("mrk_"),
        "{entries:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_each_kind_that_is_put_as_it_is_shown_stays_as_it_is() {
    let office = Office::open().await;
    let key = &office.operator;
    for (kind, body) in [
        (
            "response_schemas",
            json!({"name": "s", "version": 2, "strict": true, "schema": {"type": "object"}}),
        ),
        ("prompt_templates", template("{{userPrompt}}")),
        (
            "routing_rules",
            json!({"provider": "acme", "conditions": {"feature": "draft"}, "target_model": "reel-1", "priority": 3}),
        ),
    ] {
        let made = office.post(key, &format!("/admin/v1/{kind}"), &body).await;
        assert_eq!(status(&made), 201, "{kind}: {made:?}");
        assert_eq!(made.json()["row"], body, "{kind}");
        let again = office.post(key, &format!("/admin/v1/{kind}"), &body).await;
        assert_eq!(again.problem(), (409, "R201".into()), "{kind}: {again:?}");
    }
    let before = office.log().await;
    for kind in KINDS {
        let (path, row) = office.first(kind).await;
        let shown = office.get(key, &path).await;
        assert_eq!(shown.json()["row"], row, "{kind}");
        assert_eq!(shown.json()["diagnostics"], json!([]), "{kind}: {shown:?}");
        let put = office.put(key, &path, shown.header("etag"), &row).await;
        assert_eq!(status(&put), 200, "{kind}: {put:?}");
        assert_eq!(put.header("etag"), shown.header("etag"), "{kind}");
    }
    assert_eq!(
        office.log().await,
        before,
        "what reads so already is not written"
    );
    let (path, _) = office.first("profiles").await;
    let serving = office.get(key, &path).await.json()["serving"].clone();
    assert_eq!(serving[0]["model"], "reel-1");
    assert_eq!(serving[0]["revision"].as_str().unwrap().len(), 64);
    let (path, mut rule) = office.first("routing_rules").await;
    rule["conditions"] = json!({"feature": "final"});
    let put = office.put(key, &path, "*", &rule).await;
    assert_eq!(
        (status(&put), &put.json()["row"]),
        (200, &rule),
        "a rule is known by its id alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_reads_the_systems_rows_writes_its_own_and_sees_no_other_tenants() {
    let office = Office::open().await;
    let neighbour = office
        .house
        .modelrow
        .tenant_create("neighbour", "the test")
        .await
        .unwrap();
    let other = key(&office.house.modelrow, neighbour.id, Role::Admin).await;
    let (path, row) = office.first("models").await;
    assert_eq!(status(&office.get(&office.admin, &path).await), 200);
    for refused in [
        office.put(&office.admin, &path, "*", &row).await,
        office.delete(&office.admin, &path, "*").await,
    ] {
        assert_eq!(refused.problem(), (403, "C174".into()));
    }
    let made = office.post(&office.admin, "/admin/v1/models", &row).await;
    assert_eq!(
        status(&made),
        201,
        "a tenant's own row stands before the system's: {made:?}"
    );
    let own = made.header("location").to_owned();
    assert_eq!(made.json()["tenant"], DEFAULT_TENANT.to_string());
    for hidden in [
        office.get(&other, &own).await,
        office.put(&other, &own, "*", &row).await,
        office.delete(&other, &own, "*").await,
    ] {
        assert_eq!(hidden.problem(), (404, "R200".into()));
    }
    let id = made.json()["id"].clone();
    let ids = async |key: &str, query: &str| {
        let listed = office
            .get(key, &format!("/admin/v1/models{query}"))
            .await
            .json();
        let rows = listed["rows"].as_array().unwrap().clone();
        rows.into_iter()
            .map(|row| row["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&office.admin, "").await.len(), 2);
    assert_eq!(
        ids(&office.admin, "?tenant=default").await,
        std::slice::from_ref(&id)
    );
    assert_eq!(
        ids(&office.admin, "?limit=1").await,
        std::slice::from_ref(&id),
        "the last changed first"
    );
    assert!(!ids(&other, "").await.contains(&id));
    assert_eq!(
        ids(&office.operator, "?provider=acme&key=acme/reel-1")
            .await
            .len(),
        2
    );
    assert_eq!(
        office
            .get(&other, "/admin/v1/models?tenant=default")
            .await
            .problem(),
        (404, "R182".into())
    );
    let foreign = office
        .post(&other, "/admin/v1/models?tenant=default", &row)
        .await;
    assert_eq!(foreign.problem(), (404, "R182".into()));
    assert_eq!(
        office.get(&other, "/admin/v1/model").await.problem(),
        (404, "C158".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_found_in_a_row_is_not_told_of_another_tenants_row_of_its_name() {
    let office = Office::open().await;
    let neighbour = office
        .house
        .modelrow
        .tenant_create("neighbour", "the test")
        .await
        .unwrap();
    let other = key(&office.house.modelrow, neighbour.id, Role::Admin).await;
    let (mine, theirs) = (DEFAULT_TENANT, neighbour.id);
    let twins = format!(
        "insert into ai_models (tenant_id, provider_id, model_id, model_type) select t, id, 'twin', w
         from ai_providers, (values ('{mine}'::uuid, 'video'), ('{theirs}'::uuid, 'vidio')) v (t, w)"
    );
    office.house.sql(&twins).await;
    for (key, found) in [(&office.admin, 0), (&other, 1)] {
        let twin = office
            .get(key, "/admin/v1/models?key=acme/twin")
            .await
            .json();
        let told = twin["rows"][0]["diagnostics"].as_array().unwrap().clone();
        assert_eq!(
            told.len(),
            found,
            "of its own row, not of another tenant's: {told:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_of_a_row_is_told_at_once_with_its_place_in_the_body_and_nothing_is_written()
{
    let office = Office::open().await;
    let key = &office.operator;
    let (path, good) = office.first("profiles").await;
    let before = office.log().await;
    let mut bad = good.clone();
    bad["transport"]["body"]["prompt"] = "{{userPromt}}".into();
    bad["transport"]["metod"] = "POST".into();
    bad["is_activ"] = true.into();
    let refused = office.put(key, &path, "*", &bad).await;
    assert_eq!(status(&refused), 422, "{refused:?}");
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    let at = |pointer: &str| {
        let found = errors.iter().find(|one| one["pointer"] == pointer);
        found
            .unwrap_or_else(|| panic!("nothing at {pointer}: {errors:?}"))
            .clone()
    };
    assert_eq!(at("/transport/body/prompt")["code"], "P201");
    assert!(
        at("/is_activ")["help"]
            .as_str()
            .unwrap()
            .contains("`is_active`"),
        "{errors:?}"
    );
    assert!(
        at("/transport/metod")["help"]
            .as_str()
            .unwrap()
            .contains("`method`"),
        "{errors:?}"
    );
    let deep: Value =
        serde_json::from_str(&format!("{}{}", "[".repeat(66), "]".repeat(66))).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("models",           json!({"provider": "nobody", "model_id": "x", "model_type": "video"}), 422, "P110", ""),
        ("models",           json!({"provider": "acme", "model_id": "x", "model_type": "vidio"}),   422, "P105", "/model_type"),
        ("models",           json!({}),                                                             422, "P103", ""),
        ("models",           json!([]),                                                             422, "P102", ""),
        ("models",           json!({"provider": deep}),                                             400, "C152", ""),
        ("providers",        json!({"slug": "a b", "api_base_url": "https://a.example"}),           422, "P111", "/slug"),
        ("auth_profiles",    json!({"provider": "acme", "profile_key": "k", "auth_type": "api_key", "secret": "env:X"}), 422, "P101", "/secret"),
        ("response_schemas", json!({"name": "s", "schema": {"type": 7}}),                           422, "P114", "/schema"),
        ("routing_rules",    json!({"provider": "acme", "target_model": "nope"}),                   422, "P110", "/target_model"),
        ("prompt_templates", json!({"name": "nul\u{0}", "body": {}}),                               400, "C154", "/name"),
    ];
    for (kind, body, status, code, pointer) in cases {
        let answer = office.post(key, &format!("/admin/v1/{kind}"), &body).await;
        assert_eq!(
            answer.problem(),
            (status, code.to_owned()),
            "{kind} {body}: {answer:?}"
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            pointer,
            "{kind} {body}: {answer:?}"
        );
    }
    let (provider, mut row) = office.first("providers").await;
    row["conventions"]["errors"]["code_path"] = 7.into();
    let elsewhere = office.put(key, &provider, "*", &row).await;
    assert_eq!(status(&elsewhere), 422, "{elsewhere:?}");
    assert_eq!(office.log().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_change_one_row_at_once_one_wins_and_the_other_is_told() {
    let office = Office::open().await;
    let key = &office.operator;
    let new = template("{{userPrompt}}");
    let post = || office.post(key, "/admin/v1/prompt_templates", &new);
    let bodies = [template("one"), template("two")];
    let (one, two) = join!(post(), async { post().await });
    let mut statuses = [status(&one), status(&two)];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{one:?} {two:?}");
    let made = if status(&one) == 201 { one } else { two };
    let (path, mut tag) = (
        made.header("location").to_owned(),
        made.header("etag").to_owned(),
    );
    for _ in 0..5 {
        let (one, two) = join!(
            office.put(key, &path, &tag, &bodies[0]),
            office.put(key, &path, &tag, &bodies[1]),
        );
        let mut statuses = [status(&one), status(&two)];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "{one:?} {two:?}");
        let (won, body) = match status(&one) {
            200 => (one, &bodies[0]),
            _ => (two, &bodies[1]),
        };
        let shown = office.get(key, &path).await;
        assert_eq!(
            (&shown.json()["row"], shown.header("etag")),
            (body, won.header("etag"))
        );
        let reset = office.put(key, &path, "*", &template("between")).await;
        tag = reset.header("etag").to_owned();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_or_rows_use_is_not_deleted_but_named_and_can_be_deactivated() {
    let office = Office::open().await;
    let key = &office.operator;
    let made = office.house.create(&video("a cat"), &[]).await;
    let run = crate::id(&made);
    for kind in ["profiles", "models", "providers"] {
        let (path, _) = office.first(kind).await;
        let refused = office.delete(key, &path, "*").await;
        assert_eq!(refused.problem(), (409, "R203".into()), "{kind}");
        let told = refused.json()["detail"].as_str().unwrap().to_owned();
        let named = match kind {
            "profiles" => run.as_str(),
            "models" => "profiles/acme/acme_video_v1/reel-1",
            _ => "credentials/acme/acme_key",
        };
        assert!(told.contains(named), "{kind}: {told}");
    }
    let (path, mut row) = office.first("profiles").await;
    row["is_active"] = false.into();
    let off = office.put(key, &path, "*", &row).await;
    assert_eq!(status(&off), 200, "{off:?}");
    assert_eq!(
        office.house.create(&video("a dog"), &[]).await.problem().0,
        422
    );
    office.house.finish().await;
    let ended = office
        .house
        .modelrow
        .wait(DEFAULT_TENANT, run.parse().unwrap(), LIMIT)
        .await
        .unwrap();
    assert!(ended.ended(), "{ended:?}");
    assert_eq!(
        serde_json::to_value(&ended).unwrap()["status"],
        "succeeded",
        "a run in flight keeps what it began with"
    );
    let gone = office.delete(key, &path, "*").await;
    assert_eq!(status(&gone), 204, "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_inserted_by_plain_sql_appears_in_the_next_call_with_its_diagnostics() {
    let office = Office::open().await;
    let key = &office.operator;
    office
        .house
        .sql(
            "insert into model_api_profiles (provider_id, profile_key, purpose, transport)
             select id, 'by_hand', 'video', '{\"method\": \"POST\", \"path\": \"/{{nothing}}\"}' from ai_providers;
             insert into ai_models (provider_id, model_id, model_type) select id, 'by-hand', 'vidio' from ai_providers",
        )
        .await;
    for (kind, name, pointer) in [
        ("profiles", "acme/by_hand", "/transport/path"),
        ("models", "acme/by-hand", "/model_type"),
    ] {
        let listed = office
            .get(key, &format!("/admin/v1/{kind}?key={name}"))
            .await
            .json();
        let found = &listed["rows"][0]["diagnostics"];
        let found = found
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["pointer"] == pointer);
        assert_eq!(
            found.unwrap_or_else(|| panic!("{listed}"))["severity"],
            "error"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_is_kept_with_its_mistakes_and_not_activated_with_them_or_a_failing_case() {
    let office = Office::open().await;
    let key = &office.operator;
    let (path, good) = office.first("profiles").await;
    let mut draft = good.clone();
    draft["profile_key"] = "draft".into();
    draft["is_active"] = false.into();
    draft["transport"]["path"] = "/{{nothing}}".into();
    let made = office.post(key, "/admin/v1/profiles", &draft).await;
    assert_eq!(status(&made), 201, "{made:?}");
    assert_eq!(
        made.json()["diagnostics"][0]["pointer"],
        "/transport/path",
        "{made:?}"
    );
    draft["is_active"] = true.into();
    let at = made.header("location").to_owned();
    assert_eq!(
        office.put(key, &at, "*", &draft).await.problem(),
        (422, "P201".into())
    );
    let fails = json!({"input": {"purpose": "video", "prompt": "x"}, "exchanges": [], "expect": {"output": {}}});
    office
        .house
        .sql(&format!(
            "insert into profile_cases select id, 'fails', '{fails}' from model_api_profiles where profile_key = 'acme_video_v1'"
        ))
        .await;
    let mut changed = good.clone();
    changed["transport"]["timeout_ms"] = 20_000.into();
    let refused = office.put(key, &path, "*", &changed).await;
    assert_eq!(refused.problem(), (422, "P803".into()), "{refused:?}");
    assert_eq!(office.get(key, &path).await.json()["row"], good);
}
