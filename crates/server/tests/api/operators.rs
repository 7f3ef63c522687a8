//! Operators' hands over HTTP.

use crate::fixture::{Answer, BUNDLE, House, LIMIT, bearer, key};
use crate::{id, video};
use axum::body::Body;
use axum::http::{Method, Request};
use runtime::Role;
use serde_json::{Value, json};
use simulator::{Action, Cut, Operation, Rule};
use store::{DEFAULT_TENANT, SYSTEM_TENANT};

/// A house, its operator, and the admin of the default tenant and of another one.
struct Desk {
    house: House,
    operator: String,
    admin: String,
    neighbour: String,
}

impl Desk {
    async fn open() -> Self {
        // Whoever asks the provider for its list asks in vain: an unknown outcome stays unknown.
        let mut bundle: Value = serde_json::from_str(BUNDLE).unwrap();
        bundle["provider"]["conventions"]["settle"] = json!({
            "kind": "lookup", "method": "GET", "path": "/videos", "select": {"in": "data", "where": {"path": "prompt", "equals": "{{userPrompt}}"}},
            "job_id_path": "id", "visible_after_ms": 3_600_000,
        });
        let house = House::open_with(&bundle.to_string(), |_| {}).await;
        let away = Action::ServerError {
            status: 503,
            after_accepting: false,
        };
        house
            .provider
            .script(vec![Rule::on(Operation::List, away).always()]);
        let neighbour = house
            .modelrow
            .tenant_create("neighbour", "the test")
            .await
            .unwrap()
            .id;
        Self {
            operator: key(&house.modelrow, SYSTEM_TENANT, Role::Admin).await,
            admin: key(&house.modelrow, DEFAULT_TENANT, Role::Admin).await,
            neighbour: key(&house.modelrow, neighbour, Role::Admin).await,
            house,
        }
    }

    async fn ask(&self, key: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", bearer(key));
        let request = request.header("content-type", "application/json");
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        self.house.call(request.body(body).unwrap()).await
    }

    /// As the operator.
    async fn get(&self, path: &str) -> Value {
        let answer = self
            .ask(&self.operator, Method::GET, path, &Value::Null)
            .await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(&self.operator, Method::POST, path, body).await
    }

    /// A run whose submit was cut, and nobody knows.
    async fn doubtful(&self, cut: Cut) -> String {
        self.house
            .provider
            .script(vec![Rule::on(Operation::Create, Action::Cut(cut))]);
        let run = id(&self.house.create(&video("a cat"), &[]).await);
        self.state(&run, "submit_unknown").await;
        run
    }

    async fn state(&self, run: &str, state: &str) {
        let path = format!("/admin/v1/runs/{run}");
        let reached = async {
            while self.get(&path).await["state"] != state {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(LIMIT, reached).await;
        assert!(reached.is_ok(), "{state}: {}", self.get(&path).await);
    }
}

fn runs(page: &Value) -> Vec<&str> {
    let runs = page["runs"].as_array().unwrap();
    runs.iter().map(|run| run["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_finds_what_is_unknown_and_says_what_became_of_it() {
    let desk = Desk::open().await;
    let run = desk.doubtful(Cut::AfterAccepting).await;
    let found = desk.get("/admin/v1/runs?state=submit_unknown").await;
    assert_eq!(runs(&found), [run.as_str()]);
    assert_eq!(
        runs(&desk.get("/admin/v1/runs?tenant=neighbour").await),
        Vec::<&str>::new()
    );
    assert_eq!(
        runs(&desk.get("/admin/v1/runs?tenant=default&held=false").await),
        [run.as_str()]
    );
    let shown = desk.get(&format!("/admin/v1/runs/{run}")).await;
    assert!(shown["attempts"][0]["endpoint"].is_string(), "{shown}");
    let path = format!("/admin/v1/runs/{run}/resolve");
    #[rustfmt::skip]
    let wrong = [
        (json!({"as": "accepted", "reason": "seen"}),                            422, "C155", "/provider_job_id"),
        (json!({"as": "lost", "reason": "seen"}),                                422, "C154", "/as"),
        (json!({"as": "failed"}),                                                422, "C155", "/reason"),
        (json!({"as": "failed", "reason": "seen", "sure": true}),                422, "C153", "/sure"),
    ];
    for (body, status, code, pointer) in wrong {
        let refused = desk.post(&path, &body).await;
        assert_eq!(refused.problem(), (status, code.to_owned()), "{body}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(
        desk.post(&path, &json!({"as": "failed", "reason": " "}))
            .await
            .problem()
            .1,
        "C181"
    );
    let job = desk.house.provider.accepted_jobs()[0].id.clone();
    let said =
        json!({"as": "accepted", "provider_job_id": job, "reason": "seen in the provider's list"});
    let stranger = desk.ask(&desk.neighbour, Method::POST, &path, &said).await;
    assert_eq!(stranger.problem(), (404, "R162".to_owned()));
    let resolved = desk.post(&path, &said).await;
    assert_eq!(
        (
            resolved.status.as_u16(),
            &resolved.json()["provider_job_id"]
        ),
        (200, &json!(job)),
        "{resolved:?}"
    );
    desk.house.provider.advance_to_completion();
    desk.state(&run, "succeeded").await;
    let again = desk.post(&path, &said).await;
    assert_eq!(again.problem(), (409, "R173".to_owned()));
    assert_eq!(again.json()["run_id"], run);
    assert_eq!(desk.house.provider.accepted_jobs().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_resolves_and_releases_runs_of_its_own_tenant() {
    let desk = Desk::open().await;
    let run = desk.doubtful(Cut::BeforeReading).await;
    let of = |what: &str| format!("/admin/v1/runs/{run}/{what}");
    let said = json!({"as": "not_accepted", "reason": "the provider has no such job"});
    let resolved = desk
        .ask(&desk.admin, Method::POST, &of("resolve"), &said)
        .await;
    assert_eq!(resolved.status.as_u16(), 200, "{resolved:?}");
    assert!(
        !resolved.json().to_string().contains("endpoint"),
        "an operator's: {resolved:?}"
    );
    desk.state(&run, "polling").await;
    let reason = json!({"reason": "nothing was lost"});
    for (key, status) in [
        (&desk.admin, 200),
        (&desk.operator, 200),
        (&desk.neighbour, 404),
    ] {
        let released = desk.ask(key, Method::POST, &of("release"), &reason).await;
        assert_eq!(released.status.as_u16(), status, "{released:?}");
    }
    let all = desk.post("/admin/v1/release", &reason).await;
    assert_eq!(
        (all.status.as_u16(), all.json()),
        (200, json!({"released": []}))
    );
    let refused = desk
        .ask(&desk.admin, Method::POST, "/admin/v1/release", &reason)
        .await;
    assert_eq!(refused.problem(), (403, "C174".to_owned()));
}

/// With a reason.
fn why(mut part: Value) -> Value {
    part["reason"] = json!("a bad day");
    part
}

fn parts() -> [Value; 4] {
    [
        json!({"scope": "all"}),
        json!({"scope": "provider", "provider": "acme"}),
        json!({"scope": "credential", "credential": "acme"}),
        json!({"scope": "tenant", "tenant": "default"}),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_brake_nothing_is_sent_until_it_is_let_go() {
    let desk = Desk::open().await;
    let parts = parts();
    for (n, part) in parts.iter().enumerate() {
        let paused = desk.post("/admin/v1/pause", &why(part.clone())).await;
        assert_eq!(paused.status.as_u16(), 200, "{paused:?}");
        assert_eq!(paused.json()["pauses"][0]["reason"], "a bad day", "{part}");
        let run = id(&desk.house.create(&video("a cat"), &[]).await);
        // Time for a worker that does not look.
        let waited = desk
            .house
            .get_with(&format!("/v1/runs/{run}"), "prefer", "wait=1")
            .await;
        assert_eq!(waited.json()["state"], "queued", "{part}");
        let resumed = desk.post("/admin/v1/resume", part).await.json();
        assert_eq!(
            (&resumed["resumed"], &resumed["paused"]["pauses"]),
            (&json!(true), &json!([])),
            "{part}"
        );
        desk.state(&run, "polling").await;
        assert_eq!(desk.house.provider.accepted_jobs().len(), n + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_does_not_end_an_operators_brake() {
    let desk = Desk::open().await;
    let tenant = parts()[3].clone();
    let post = Method::POST;
    let (pause, resume) = ("/admin/v1/pause", "/admin/v1/resume");
    let body = why(tenant.clone());
    let braked = desk.ask(&desk.operator, post.clone(), pause, &body).await;
    assert_eq!(braked.json()["pauses"][0]["by_operator"], true);
    let again = desk.ask(&desk.admin, post.clone(), pause, &body).await;
    assert_eq!(
        again.json()["pauses"][0]["by_operator"],
        true,
        "it stands as it is: {again:?}"
    );
    let kept = desk.ask(&desk.admin, post.clone(), resume, &tenant).await;
    assert_eq!(kept.problem(), (409, "R209".to_owned()), "{kept:?}");
    let ended = desk.ask(&desk.operator, post, resume, &tenant).await;
    assert_eq!(ended.json()["resumed"], true, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_may_brake_itself_alone() {
    let desk = Desk::open().await;
    let parts = parts();
    let own = desk
        .ask(
            &desk.admin,
            Method::POST,
            "/admin/v1/pause",
            &why(parts[3].clone()),
        )
        .await;
    assert_eq!(own.status.as_u16(), 200, "{own:?}");
    assert_eq!(
        desk.get("/admin/v1/pauses").await["pauses"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let seen = desk
        .ask(
            &desk.neighbour,
            Method::GET,
            "/admin/v1/pauses",
            &Value::Null,
        )
        .await
        .json();
    assert_eq!(seen["pauses"], json!([]), "another tenant's is not seen");
    for (key, part, status, code) in [
        (&desk.admin, &parts[0], 403, "C174"),
        (&desk.admin, &parts[1], 403, "C174"),
        (&desk.admin, &parts[2], 403, "C174"),
        (&desk.neighbour, &parts[3], 404, "R182"),
    ] {
        for (path, body) in [
            ("/admin/v1/pause", why(part.clone())),
            ("/admin/v1/resume", part.clone()),
        ] {
            let refused = desk.ask(key, Method::POST, path, &body).await;
            assert_eq!(
                refused.problem(),
                (status, code.to_owned()),
                "{path} {part}"
            );
        }
    }
    let unknown = desk
        .post(
            "/admin/v1/pause",
            &why(json!({"scope": "provider", "provider": "acne"})),
        )
        .await;
    assert_eq!(unknown.problem(), (422, "R176".to_owned()));
    assert_eq!(
        desk.post("/admin/v1/pause", &parts[0]).await.problem(),
        (422, "C155".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_told_to_drain_follows_its_jobs_and_starts_nothing_new() {
    let desk = Desk::open().await;
    let first = id(&desk.house.create(&video("a cat"), &[]).await);
    desk.state(&first, "polling").await;
    let fleet = desk.get("/admin/v1/workers").await;
    let worker = fleet["workers"][0]["id"].as_str().unwrap();
    assert!(fleet["workers"][0]["draining_at"].is_null(), "{fleet}");
    let path = format!("/admin/v1/workers/{worker}/drain");
    for _ in 0..2 {
        let told = desk.post(&path, &Value::Null).await;
        assert_eq!(told.status.as_u16(), 202, "{told:?}");
        assert!(told.json()["draining_at"].is_string(), "{told:?}");
    }
    let second = id(&desk.house.create(&video("a dog"), &[]).await);
    desk.house.provider.advance_to_completion();
    // No other worker lives: the job is followed to its end.
    desk.state(&first, "succeeded").await;
    assert_eq!(
        desk.get(&format!("/admin/v1/runs/{second}")).await["state"],
        "queued"
    );
    assert_eq!(desk.house.provider.accepted_jobs().len(), 1);
    let log = desk.get("/admin/v1/audit?action=worker.drain").await;
    assert_eq!(
        log["entries"].as_array().unwrap().len(),
        1,
        "told once: {log}"
    );
    for (id, key, status, code) in [
        (
            "018f0000-0000-7000-8000-000000000000",
            &desk.operator,
            404,
            "R196",
        ),
        ("x", &desk.operator, 404, "R196"),
        (worker, &desk.admin, 403, "C174"),
    ] {
        let refused = desk
            .ask(
                key,
                Method::POST,
                &format!("/admin/v1/workers/{id}/drain"),
                &Value::Null,
            )
            .await;
        assert_eq!(refused.problem(), (status, code.to_owned()), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_usage_of_a_tenant_are_set_and_shown() {
    let desk = Desk::open().await;
    let limits = "/admin/v1/tenants/default/limits";
    let wanted = json!({"runs_per_day": 1, "over_limit": "refuse", "spend_per_month": "250.00", "currency": "USD"});
    let put = desk.ask(&desk.operator, Method::PUT, limits, &wanted).await;
    assert_eq!(
        (put.status.as_u16(), &put.json()["runs_per_day"]["most"]),
        (200, &json!(1)),
        "{put:?}"
    );
    assert_eq!(put.json()["spend_per_month"]["most"], "250");
    desk.house.create(&video("a cat"), &[]).await;
    assert_eq!(
        desk.house
            .create(&video("a dog"), &[])
            .await
            .status
            .as_u16(),
        429
    );
    let shown = desk
        .ask(&desk.admin, Method::GET, limits, &Value::Null)
        .await
        .json();
    assert_eq!(shown["runs_per_day"]["left"], 0, "{shown}");
    let refused = desk.ask(&desk.admin, Method::PUT, limits, &json!({})).await;
    assert_eq!(
        refused.problem(),
        (403, "C174".to_owned()),
        "an admin sets no limits of its own"
    );
    let gone = desk
        .ask(&desk.operator, Method::DELETE, limits, &Value::Null)
        .await;
    assert_eq!(gone.status.as_u16(), 204);
    assert!(desk.get(limits).await["runs_per_day"].is_null());
    let unknown = desk
        .ask(
            &desk.operator,
            Method::PUT,
            "/admin/v1/tenants/nobody/limits",
            &wanted,
        )
        .await;
    assert_eq!(unknown.problem(), (404, "R182".to_owned()));
    let own = desk
        .ask(&desk.admin, Method::GET, "/admin/v1/usage", &Value::Null)
        .await
        .json();
    assert_eq!(own["usage"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&own["usage"][0]["tenant"], &own["usage"][0]["runs_today"]),
        (&json!(DEFAULT_TENANT), &json!(1)),
        "{own}"
    );
    assert!(
        desk.get("/admin/v1/usage").await["usage"]
            .as_array()
            .unwrap()
            .len()
            >= 3
    );
    assert_eq!(
        desk.get("/admin/v1/usage?tenant=default").await["usage"],
        own["usage"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_cache_of_a_tenant_is_chosen_and_cleared() {
    let desk = Desk::open().await;
    let cache = "/admin/v1/tenants/default/cache";
    let on = desk
        .ask(&desk.admin, Method::PUT, cache, &json!({"on": true}))
        .await;
    assert_eq!(
        (on.status.as_u16(), &on.json()["on"]),
        (200, &json!(true)),
        "{on:?}"
    );
    assert_eq!(
        desk.ask(&desk.admin, Method::PUT, cache, &json!({}))
            .await
            .problem(),
        (422, "C155".to_owned())
    );
    let cleared = desk
        .ask(&desk.admin, Method::DELETE, cache, &Value::Null)
        .await
        .json();
    assert_eq!(
        (&cleared["results"], &cleared["on"]),
        (&json!(0), &json!(true))
    );
}
