//! Who may call what: every call, and everybody who may not.

use crate::fixture::{Answer, House, LIMIT, bearer, key};
use crate::uploads::{GIF, form, form_type};
use crate::{id, video};
use axum::body::Body;
use axum::http::{Method, Request};
use runtime::{AuditFilter, DeliveriesFilter, KeyRefused, NewKey, PageOf, Role, RunFilter, Scope};
use serde_json::{Value, json};
use store::{DEFAULT_TENANT, SYSTEM_TENANT};
use uuid::Uuid;

/// No name of the reserved domain leads anywhere (RFC 2606).
const NOBODY: &str = "https://nobody.invalid/hook";

/// Method, path (`{run}`, `{key}`, `{row}`, `{profile}`, `{revision}`, `{credential}`, `{delivery}` are the default tenant's), body, the role that it needs; `None`: an operator.
pub(crate) type Call = (Method, &'static str, Value, Option<Role>);

/// Every call that needs a key.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table: one line for each call")]
pub(crate) fn calls() -> Vec<Call> {
    let none = Value::Null;
    let (viewer, caller, admin) = (Some(Role::Viewer), Some(Role::Caller), Some(Role::Admin));
    vec![
        // Before any run is sent with it: it is then there for good.
        (Method::GET,    "/admin/v1/credentials",            none.clone(),             admin),
        (Method::POST,   "/admin/v1/credentials",            credential("new"),        admin),
        (Method::GET,    "/admin/v1/credentials/{credential}", none.clone(),           admin),
        (Method::PUT,    "/admin/v1/credentials/{credential}", credential("acme_key"), admin),
        (Method::POST,   "/admin/v1/credentials/{credential}/verify", none.clone(),    admin),
        (Method::POST,   "/admin/v1/credentials/{credential}/pause", json!({"reason": "test"}), admin),
        (Method::POST,   "/admin/v1/credentials/{credential}/resume", none.clone(),    admin),
        (Method::DELETE, "/admin/v1/credentials/{credential}", none.clone(),           admin),
        (Method::GET,    "/v1/runs",                         none.clone(),             viewer),
        (Method::GET,    "/v1/runs/{run}",                   none.clone(),             viewer),
        (Method::GET,    "/v1/runs/{run}/events",            none.clone(),             viewer),
        (Method::GET,    "/v1/runs/{run}/artifacts/video",   none.clone(),             viewer),
        (Method::HEAD,   "/v1/runs/{run}/artifacts/video",   none.clone(),             viewer),
        (Method::GET,    "/v1/runs/{run}/artifacts/video/0", none.clone(),             viewer),
        (Method::HEAD,   "/v1/runs/{run}/artifacts/video/0", none.clone(),             viewer),
        (Method::POST,   "/v1/runs/{run}/artifacts/video/link",   none.clone(),        caller),
        (Method::POST,   "/v1/runs/{run}/artifacts/video/0/link", none.clone(),        caller),
        (Method::GET,    "/v1/models",                       none.clone(),             viewer),
        (Method::GET,    "/v1/models/reel-1",                none.clone(),             viewer),
        (Method::GET,    "/v1/usage",                        none.clone(),             viewer),
        (Method::GET,    "/v1/limits",                       none.clone(),             viewer),
        (Method::POST,   "/v1/inputs",                       Value::from(GIF),         caller),
        (Method::POST,   "/v1/plan",                         video("a cat"),           caller),
        (Method::POST,   "/v1/runs",                         video("a cat"),           caller),
        (Method::POST,   "/v1/runs/{run}/cancel",            none.clone(),             caller),
        (Method::POST,   "/v1/runs/{run}/retry",             json!({}),                caller),
        (Method::GET,    "/openai/v1/models",                none.clone(),             viewer),
        (Method::GET,    "/openai/v1/models/reel-1",         none.clone(),             viewer),
        (Method::GET,    "/openai/v1/videos",                none.clone(),             viewer),
        (Method::GET,    "/openai/v1/videos/{video}",        none.clone(),             viewer),
        (Method::GET,    "/openai/v1/videos/{video}/content", none.clone(),            viewer),
        (Method::POST,   "/openai/v1/videos",                json!({"prompt": "a cat"}), caller),
        (Method::POST,   "/openai/v1/videos/{video}/remix",  json!({"prompt": "a cat"}), caller),
        (Method::POST,   "/openai/v1/chat/completions",      json!({}),                caller),
        (Method::POST,   "/openai/v1/responses",             json!({}),                caller),
        (Method::POST,   "/openai/v1/images/generations",    json!({}),                caller),
        (Method::POST,   "/openai/v1/audio/speech",          json!({}),                caller),
        (Method::POST,   "/openai/v1/audio/transcriptions",  json!({}),                caller),
        (Method::POST,   "/openai/v1/embeddings",            json!({}),                caller),
        (Method::DELETE, "/openai/v1/videos/{video}",        none.clone(),             caller),
        (Method::GET,    "/v1/deliveries",                   none.clone(),             viewer),
        (Method::GET,    "/v1/deliveries/{delivery}",        none.clone(),             viewer),
        (Method::POST,   "/v1/deliveries/{delivery}/resend", none.clone(),             caller),
        (Method::POST,   "/v1/webhook-secret/rotate",        none.clone(),             caller),
        (Method::POST,   "/v1/webhooks/test",                json!({"url": NOBODY}),   caller),
        (Method::GET,    "/admin/v1/runs",                   none.clone(),             admin),
        (Method::GET,    "/admin/v1/runs/{run}",             none.clone(),             admin),
        (Method::POST,   "/admin/v1/runs/{run}/resolve",     json!({"as": "failed", "reason": "x"}), admin),
        (Method::POST,   "/admin/v1/runs/{run}/release",     json!({"reason": "x"}),   admin),
        (Method::POST,   "/admin/v1/release",                json!({"reason": "x"}),   None),
        (Method::GET,    "/admin/v1/pauses",                 none.clone(),             admin),
        (Method::POST,   "/admin/v1/pause",                  json!({"scope": "tenant", "tenant": "default", "reason": "x"}), admin),
        (Method::POST,   "/admin/v1/resume",                 json!({"scope": "tenant", "tenant": "default"}), admin),
        (Method::GET,    "/admin/v1/usage",                  none.clone(),             admin),
        (Method::GET,    "/admin/v1/tenants/{tenant}/limits", none.clone(),            admin),
        (Method::PUT,    "/admin/v1/tenants/{tenant}/limits", json!({"runs_per_day": 500}), None),
        (Method::DELETE, "/admin/v1/tenants/{tenant}/limits", none.clone(),            None),
        (Method::GET,    "/admin/v1/tenants/{tenant}/cache", none.clone(),             admin),
        (Method::PUT,    "/admin/v1/tenants/{tenant}/cache", json!({"on": false}),     admin),
        (Method::DELETE, "/admin/v1/tenants/{tenant}/cache", none.clone(),             admin),
        (Method::GET,    "/admin/v1/audit",                  none.clone(),             admin),
        (Method::GET,    "/admin/v1/keys",                   none.clone(),             admin),
        (Method::POST,   "/admin/v1/keys",                   json!({"role": "admin"}), admin),
        (Method::POST,   "/admin/v1/keys/{key}/revoke",      none.clone(),             admin),
        (Method::GET,    "/admin/v1/prompt_templates",       none.clone(),             admin),
        (Method::POST,   "/admin/v1/prompt_templates",       template("new"),          admin),
        (Method::GET,    "/admin/v1/prompt_templates/{row}", none.clone(),             admin),
        (Method::PUT,    "/admin/v1/prompt_templates/{row}", template("street"),       admin),
        (Method::DELETE, "/admin/v1/prompt_templates/{row}", none.clone(),             admin),
        (Method::GET,    "/admin/v1/bundles?provider=acme&tenant=system", none.clone(), admin),
        (Method::POST,   "/admin/v1/bundles",                street(),                 admin),
        (Method::POST,   "/admin/v1/bundles/test",           street(),                 admin),
        (Method::POST,   "/admin/v1/bundles/plan",           json!({"bundle": street(), "call": acme("a cat")}), admin),
        (Method::GET,    "/admin/v1/profiles/{profile}/revisions", none.clone(),       admin),
        (Method::GET,    "/admin/v1/profiles/{profile}/revisions/{revision}", none.clone(), admin),
        (Method::GET,    "/admin/v1/profiles/{profile}/revisions/{revision}/diff", none.clone(), admin),
        (Method::POST,   "/admin/v1/profiles/{profile}/revisions/{revision}/activate", none.clone(), admin),
        (Method::POST,   "/admin/v1/profiles/{profile}/rollback", none.clone(),        admin),
        (Method::POST,   "/admin/v1/profiles/{profile}/test", none.clone(),            admin),
        (Method::POST,   "/admin/v1/profiles/{profile}/plan", json!({"call": video("a cat")}), admin),
        (Method::GET,    "/admin/v1/tenants",                none.clone(),             None),
        (Method::POST,   "/admin/v1/tenants",                json!({"slug": "acme"}),  None),
        (Method::GET,    "/admin/v1/workers",                none.clone(),             None),
        (Method::POST,   "/admin/v1/workers/{worker}/drain", none.clone(),             None),
        // The last: it takes with it what the others look at.
        (Method::DELETE, "/v1/runs/{run}",                   none.clone(),             caller),
    ]
}

fn template(name: &str) -> Value {
    json!({"name": name, "version": 1, "body": {"prompt": "{{userPrompt}}"}})
}

fn credential(name: &str) -> Value {
    json!({"provider": "acme", "name": name, "secret": "sk-of-the-street"})
}

/// A bundle of one row.
fn street() -> Value {
    json!({"language": 1, "provider": {"slug": "street", "api_base_url": "https://street.example"}})
}

fn acme(prompt: &str) -> Value {
    json!({"purpose": "video", "provider": "acme", "prompt": prompt, "params": {"seconds": 8}})
}

/// A house with a run that has ended, a key that may be revoked, and a neighbour.
struct Street {
    house: House,
    run: String,
    /// Another that failed, for the calls that stand behind the deletion of the first.
    video: String,
    spare: String,
    delivery: String,
    worker: String,
    row: String,
    profile: String,
    revision: String,
    credential: String,
    neighbour: Uuid,
}

impl Street {
    async fn open() -> Self {
        let house = House::open().await;
        let modelrow = &house.modelrow;
        let secret = modelrow.webhook_secret_rotate(DEFAULT_TENANT, LIMIT).await;
        secret.unwrap();
        let mut call = video("spongebob");
        call["callback"] = json!({"url": NOBODY});
        let made = house.create(&call, &[("prefer", "wait=60")]).await;
        assert_eq!(made.json()["status"], "failed", "{made:?}");
        let other = house
            .create(&video("spongebob"), &[("prefer", "wait=60")])
            .await;
        let told = modelrow
            .deliveries(DEFAULT_TENANT, &DeliveriesFilter::default())
            .await;
        let delivery = told.unwrap().deliveries[0].id.to_string();
        let worker = modelrow.fleet().await.unwrap().workers[0].id.to_string();
        let wanted = new(DEFAULT_TENANT, Role::Viewer);
        let spare = modelrow.key_create(Scope::Operator, &wanted, "the test");
        let spare = spare.await.unwrap().view.id.to_string();
        let neighbour = modelrow
            .tenant_create("neighbour", "the test")
            .await
            .unwrap()
            .id;
        let admin = key(modelrow, DEFAULT_TENANT, Role::Admin).await;
        let (path, street) = ("/admin/v1/prompt_templates", template("street"));
        let row = house.send(&admin, (Method::POST, path), &[], &street).await;
        let listed = house.send(
            &admin,
            (Method::GET, "/admin/v1/profiles"),
            &[],
            &Value::Null,
        );
        let system = listed.await.json()["rows"][0]["row"].clone();
        let path = "/admin/v1/profiles";
        let profile = house.send(&admin, (Method::POST, path), &[], &system).await;
        let mut changed = system.clone();
        changed["transport"]["timeout_ms"] = 20_000.into();
        let at = profile.header("location");
        let tag = [("if-match", "*")];
        let changed = house.send(&admin, (Method::PUT, at), &tag, &changed).await;
        let revision = changed.json()["serving"][0]["revision"].clone();
        let path = "/admin/v1/credentials";
        let own = credential("acme_key");
        let credential = house.send(&admin, (Method::POST, path), &[], &own).await;
        Self {
            run: id(&made),
            video: format!("video_{}", id(&other).replace('-', "")),
            spare,
            delivery,
            worker,
            row: id(&row),
            profile: id(&profile),
            revision: revision.as_str().unwrap().to_owned(),
            credential: id(&credential),
            neighbour,
            house,
        }
    }

    async fn call(&self, (method, path, body, _): &Call, key: Option<&str>) -> Answer {
        let path = path
            .replace("{run}", &self.run)
            .replace("{video}", &self.video)
            .replace("{key}", &self.spare)
            .replace("{delivery}", &self.delivery)
            .replace("{worker}", &self.worker)
            .replace("{tenant}", &DEFAULT_TENANT.to_string())
            .replace("{row}", &self.row)
            .replace("{profile}", &self.profile)
            .replace("{revision}", &self.revision)
            .replace("{credential}", &self.credential);
        let request = Request::builder().method(method).uri(path);
        let mut request = request.header("if-match", "*");
        if let Some(key) = key {
            request = request.header("authorization", bearer(key));
        }
        let body = match body {
            Value::Null => Body::empty(),
            Value::String(text) => {
                request = request.header("content-type", form_type());
                Body::from(form("cat.gif", "image/gif", text.as_bytes()))
            }
            body => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        self.house.call_as_it_is(request.body(body).unwrap()).await
    }

    /// All that a call might have changed; what it may have changed of rows is in the log.
    async fn stands(&self) -> String {
        let (modelrow, all) = (&self.house.modelrow, Scope::Operator);
        let runs = modelrow.runs(all, &RunFilter::default()).await.unwrap();
        let mut keys = modelrow.keys(all, None, &PageOf::default()).await.unwrap();
        keys.keys.iter_mut().for_each(|key| key.last_used_at = None);
        let tenants = modelrow.tenants(all, &PageOf::default()).await.unwrap();
        let log = modelrow.audit(all, &AuditFilter::default()).await.unwrap();
        let sent = self.house.provider.ledger().len();
        let paused = modelrow.pauses().await.unwrap();
        let limits = modelrow.limits(DEFAULT_TENANT).await.unwrap();
        let drains = modelrow.fleet().await.unwrap().workers[0].draining_at;
        json!([
            runs,
            keys,
            tenants,
            log,
            sent,
            paused,
            limits,
            drains.is_some()
        ])
        .to_string()
    }
}

fn new(tenant: Uuid, role: Role) -> NewKey {
    NewKey {
        tenant,
        role,
        name: String::new(),
        expires_at: None,
    }
}

/// A key of an operator whose time is over.
async fn expired(house: &House) -> String {
    use diag::ExposeSecret as _;
    let soon = house.modelrow.now() + time::Duration::milliseconds(500);
    let new = NewKey {
        expires_at: Some(soon),
        ..new(SYSTEM_TENANT, Role::Admin)
    };
    let made = house.modelrow.key_create(Scope::Operator, &new, "the test");
    let key = made.await.unwrap().key;
    let over = async {
        while !matches!(
            house.modelrow.authenticate(&key).await,
            Err(KeyRefused::Expired)
        ) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, over).await.unwrap();
    key.expose_secret().to_owned()
}

/// A key of an operator that was revoked.
async fn revoked(house: &House) -> String {
    use diag::ExposeSecret as _;
    let (modelrow, all) = (&house.modelrow, Scope::Operator);
    let wanted = new(SYSTEM_TENANT, Role::Admin);
    let made = modelrow.key_create(all, &wanted, "the test");
    let made = made.await.unwrap();
    modelrow
        .key_revoke(all, made.view.id, "the test")
        .await
        .unwrap();
    made.key.expose_secret().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_without_a_good_key_of_its_role_is_refused_and_changes_nothing() {
    let street = Street::open().await;
    let modelrow = &street.house.modelrow;
    let unknown = format!("mrk_{}", "0".repeat(64));
    let (expired, revoked) = (expired(&street.house).await, revoked(&street.house).await);
    let mut roles = Vec::new();
    for role in Role::ALL {
        roles.push((role, key(modelrow, DEFAULT_TENANT, role).await));
    }
    let strangers = [
        (None, "C172"),
        (Some(unknown.as_str()), "C173"),
        (Some("sk-other"), "C173"),
        (Some(&expired), "C173"),
        (Some(&revoked), "C173"),
    ];
    let before = street.stands().await;
    for call in &calls() {
        let (method, path, _, needed) = call;
        let refused = |answer: &Answer, status: u16, code: &str| {
            assert_eq!(
                answer.status.as_u16(),
                status,
                "{method} {path}: {answer:?}"
            );
            assert!(
                answer
                    .header("www-authenticate")
                    .starts_with("Bearer realm="),
                "{method} {path}"
            );
            let face = path.starts_with("/openai/");
            if face {
                let word = match code {
                    "C174" => "insufficient_permissions",
                    _ => "invalid_api_key",
                };
                assert_eq!(answer.error().1, word, "{method} {path}");
            } else if *method != Method::HEAD {
                assert_eq!(answer.problem().1, code, "{method} {path}");
            }
        };
        for (key, code) in strangers {
            refused(&street.call(call, key).await, 401, code);
        }
        for (role, key) in &roles {
            if needed.is_none_or(|needed| *role < needed) {
                refused(&street.call(call, Some(key)).await, 403, "C174");
            }
        }
    }
    assert_eq!(street.stands().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_another_tenants_is_not_there_for_a_key_and_stays_as_it_is() {
    let street = Street::open().await;
    let admin = key(&street.house.modelrow, street.neighbour, Role::Admin).await;
    let before = street.stands().await;
    for call in &calls() {
        let (method, path, _, needed) = call;
        if path.contains('{') {
            let answer = street.call(call, Some(&admin)).await;
            // What is an operator's is so before anything is looked for.
            let want = if needed.is_none() { 403 } else { 404 };
            assert_eq!(answer.status.as_u16(), want, "{method} {path}: {answer:?}");
        } else if *method == Method::GET && needed.is_some() {
            let answer = street.call(call, Some(&admin)).await;
            assert_eq!(answer.status.as_u16(), 200, "{method} {path}: {answer:?}");
            let text = answer.json().to_string();
            for foreign in [&street.run, &street.spare, &DEFAULT_TENANT.to_string()] {
                assert!(!text.contains(foreign), "{method} {path}: {text}");
            }
        }
    }
    for tenant in ["default", &DEFAULT_TENANT.to_string(), "nobody"] {
        let body = json!({"role": "caller", "tenant": tenant});
        let call = (Method::POST, "/admin/v1/keys", body, None);
        let answer = street.call(&call, Some(&admin)).await;
        assert_eq!(answer.problem(), (422, "R182".to_owned()), "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/tenant");
    }
    assert_eq!(street.stands().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_is_served_to_the_least_role_that_it_needs() {
    let street = Street::open().await;
    let modelrow = &street.house.modelrow;
    for call in &calls() {
        let (method, path, _, needed) = call;
        let tenant = needed.map_or(SYSTEM_TENANT, |_| DEFAULT_TENANT);
        let key = key(modelrow, tenant, needed.unwrap_or(Role::Admin)).await;
        let answer = street.call(call, Some(&key)).await;
        let status = answer.status.as_u16();
        // A run that failed has no file.
        let served = match path.rsplit('/').next() {
            _ if path.contains("artifacts") => status == 404,
            // Nor can it be made another way, and what became of it is known.
            Some("content" | "remix") => status == 400,
            // The house has profiles of one purpose.
            Some(
                "completions" | "responses" | "generations" | "speech" | "transcriptions"
                | "embeddings",
            ) => status == 404,
            Some("resolve") => status == 409,
            _ => (200..300).contains(&status),
        };
        assert!(served, "{method} {path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_and_a_revoked_one_is_refused_from_then_on() {
    let street = Street::open().await;
    let admin = key(&street.house.modelrow, DEFAULT_TENANT, Role::Admin).await;
    let ask = async |method, path: &'static str, body: Value, key: &str| {
        street.call(&(method, path, body, None), Some(key)).await
    };
    let wanted = json!({"role": "caller", "name": "backend", "expires_at": "2999-01-01T00:00:00Z"});
    let made = ask(Method::POST, "/admin/v1/keys", wanted, &admin).await;
    assert_eq!(
        (made.status.as_u16(), made.header("cache-control")),
        (201, "no-store"),
        "{made:?}"
    );
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    assert!(
        key.starts_with(made["shown"].as_str().unwrap())
            && made["tenant"] == DEFAULT_TENANT.to_string()
    );
    assert_eq!(
        ask(Method::GET, "/v1/runs", Value::Null, key)
            .await
            .status
            .as_u16(),
        200
    );
    let listed = ask(Method::GET, "/admin/v1/keys", Value::Null, &admin)
        .await
        .json();
    let of_it = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == made["id"])
        .unwrap();
    assert!(
        of_it["last_used_at"].is_string()
            && of_it["created_by"].as_str().unwrap().starts_with("mrk_"),
        "{of_it}"
    );
    let log = ask(
        Method::GET,
        "/admin/v1/audit?action=api_key.create",
        Value::Null,
        &admin,
    )
    .await
    .json();
    assert_eq!(
        log["entries"][0]["object"],
        format!("api_key/{}", made["id"].as_str().unwrap())
    );
    assert_eq!(log["entries"][0]["after"]["role"], "caller");
    for text in [listed.to_string(), log.to_string()] {
        assert!(!text.contains(&key[12..]), "{text}");
    }
    let path = format!("/admin/v1/keys/{}/revoke", made["id"].as_str().unwrap());
    let revoke = Request::post(path).header("authorization", bearer(&admin));
    let revoked = street
        .house
        .call_as_it_is(revoke.body(Body::empty()).unwrap())
        .await;
    assert_eq!(revoked.status.as_u16(), 200, "{revoked:?}");
    let refused = ask(Method::GET, "/v1/runs", Value::Null, key).await;
    assert_eq!(refused.problem(), (401, "C173".to_owned()));
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("revoked")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_made_is_refused_at_its_member() {
    let street = Street::open().await;
    let operator = key(&street.house.modelrow, SYSTEM_TENANT, Role::Admin).await;
    #[rustfmt::skip]
    let cases = [
        ("/admin/v1/keys",            json!({"role": "caller", "expires_at": "2020-01-01T00:00:00Z"}), 422, "C183", "/expires_at"),
        ("/admin/v1/keys",            json!({"role": "caller", "name": "n".repeat(101)}),              422, "C183", "/name"),
        ("/admin/v1/keys",            json!({"role": "root"}),                                         422, "C154", "/role"),
        ("/admin/v1/keys",            json!({}),                                                       422, "C155", "/role"),
        ("/admin/v1/tenants",         json!({"slug": "neighbour"}),                                    422, "C183", "/slug"),
        ("/admin/v1/tenants",         json!({"slug": "Not Plain"}),                                    422, "C183", "/slug"),
        ("/admin/v1/tenants",         json!({"name": "x"}),                                            422, "C155", "/slug"),
    ];
    let before = street.stands().await;
    for (path, body, status, code, pointer) in cases {
        let answer = street
            .call(&(Method::POST, path, body.clone(), None), Some(&operator))
            .await;
        assert_eq!(
            answer.problem(),
            (status, code.to_owned()),
            "{path} {body}: {answer:?}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    for path in [
        "/admin/v1/keys/x/revoke",
        "/admin/v1/keys/018f0000-0000-7000-8000-000000000000/revoke",
    ] {
        let answer = street
            .call(&(Method::POST, path, Value::Null, None), Some(&operator))
            .await;
        assert_eq!(answer.problem(), (404, "R190".to_owned()), "{path}");
    }
    for path in [
        "/admin/v1/audit?limit=0",
        "/admin/v1/keys?sort=age",
        "/admin/v1/tenants?after=nonsense",
    ] {
        let answer = street
            .call(&(Method::GET, path, Value::Null, None), Some(&operator))
            .await;
        assert_eq!(answer.status.as_u16(), 400, "{path}: {answer:?}");
    }
    assert_eq!(street.stands().await, before);
}
