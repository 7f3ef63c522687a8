//! A house for the tests of the API: a database of its own, a provider that is simulated, and the router in front.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use diag::ExposeSecret as _;
use runtime::{Modelrow, NewKey, NoSecret, Options, Role, Scope, SecretKeys, Secrets};
use serde_json::{Value, json};
use server::Access;
use simulator::{Config, JobPlan, Simulator};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{DEFAULT_TENANT, SYSTEM_TENANT, Store};
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) const BUNDLE: &str = include_str!("acme.json");
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Everything that a call needs. Jobs of its provider do not end before [`House::finish`].
pub(crate) struct House {
    pub(crate) modelrow: Modelrow,
    pub(crate) provider: Simulator,
    /// Of a caller of the default tenant: what every call shows that shows no other.
    pub(crate) key: String,
    app: Router,
    folder: tempfile::TempDir,
    database: String,
}

/// Opens every reference.
#[derive(Debug)]
pub(crate) struct AnyKey;

impl Secrets for AnyKey {
    fn open(&self, _reference: &str) -> Result<diag::Secret, NoSecret> {
        Ok(diag::Secret::from("sk-test".to_owned()))
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_for(hours(), BUNDLE, |_| {}).await
    }

    /// With another bundle, and options of its own.
    pub(crate) async fn open_with(bundle: &str, choose: impl FnOnce(&mut Options)) -> Self {
        Self::open_for(hours(), bundle, choose).await
    }

    /// The same with jobs that live so.
    pub(crate) async fn open_for(
        jobs: JobPlan,
        bundle: &str,
        choose: impl FnOnce(&mut Options),
    ) -> Self {
        let model = json!({"sizes": ["720x1280", "1280x720"], "seconds": ["4", "8", "12"]});
        let wire = json!({"models": {"reel-1": model, "film-1": model}});
        let provider = Simulator::start(Config {
            jobs,
            wire,
            ..Config::default()
        })
        .await
        .unwrap();
        let server = tokio::task::spawn_blocking(store::embedded::testing::server)
            .await
            .unwrap();
        let database =
            server.database(|owner| async move { Store::migrate(&owner).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(database.url.clone(), folder.path());
        options.secrets = Arc::new(AnyKey);
        let sealing =
            diag::Secret::from("test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
        options.secret_keys = SecretKeys::parse(&sealing, "the test").unwrap();
        choose(&mut options);
        let modelrow = Modelrow::start(options).await.unwrap();
        apply(&modelrow, &provider, bundle).await;
        Self {
            key: key(&modelrow, DEFAULT_TENANT, Role::Caller).await,
            app: server::router(modelrow.clone(), Access::Keys),
            modelrow,
            provider,
            folder,
            database: database.url,
        }
    }

    /// What an admin writes by hand.
    pub(crate) async fn sql(&self, statement: &str) {
        use sqlx::Connection as _;
        let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
        done.execute(&mut connection).await.unwrap();
    }

    /// A call with a body and further headers, as whoever has the key.
    pub(crate) async fn send(
        &self,
        key: &str,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let mut request = request.header("authorization", bearer(key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        self.call_as_it_is(request.body(body).unwrap()).await
    }

    /// Waits for the first job and lets it end.
    pub(crate) async fn finish(&self) {
        let accepted = self
            .provider
            .wait_until(LIMIT, |provider| !provider.accepted_jobs().is_empty());
        assert!(accepted.await, "no job reached the provider");
        self.provider.advance_to_completion();
    }

    /// Every file of the artifact store, those that are being written, too.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            for path in entries.map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path),
                }
            }
        }
        found
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn get_with(&self, path: &str, name: &str, value: &str) -> Answer {
        self.call(
            Request::get(path)
                .header(name, value)
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    /// `POST /v1/runs` with further headers.
    pub(crate) async fn create(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post("/v1/runs").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        Answer::read(self.answer(request).await).await
    }

    /// The same, with a body that is yet to come.
    pub(crate) async fn answer(&self, mut request: Request<Body>) -> Response {
        let headers = request.headers_mut();
        if !headers.contains_key("authorization") {
            headers.insert("authorization", bearer(&self.key).parse().unwrap());
        }
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Without a key of the house.
    pub(crate) async fn call_as_it_is(&self, request: Request<Body>) -> Answer {
        self.call_of(self.app.clone(), request).await
    }

    /// Of another router on this house.
    pub(crate) async fn call_of(&self, app: Router, request: Request<Body>) -> Answer {
        Answer::read(app.oneshot(request).await.unwrap()).await
    }
}

/// Jobs that do not end by themselves.
fn hours() -> JobPlan {
    JobPlan {
        run_ms: 3_600_000,
        ..JobPlan::default()
    }
}

/// Applies a bundle whose provider is the simulated one.
pub(crate) async fn apply(modelrow: &Modelrow, provider: &Simulator, bundle: &str) {
    let text = bundle.replace("http://127.0.0.1:1/v1", &provider.base_url());
    let (bundle, _) = profile::bundle::check("bundle.json", &text);
    assert!(!bundle.diagnostics.has_errors(), "{}", bundle.diagnostics);
    modelrow.apply(SYSTEM_TENANT, &bundle.rows).await.unwrap();
}

/// A new key.
pub(crate) async fn key(modelrow: &Modelrow, tenant: Uuid, role: Role) -> String {
    let new = NewKey {
        tenant,
        role,
        name: format!("test {}", role.as_str()),
        expires_at: None,
    };
    let made = modelrow.key_create(Scope::Operator, &new, "the test").await;
    made.unwrap().key.expose_secret().to_owned()
}

/// As `Authorization` has it.
pub(crate) fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// `GET` of any router.
pub(crate) async fn answer(app: &Router, path: &str, key: &str) -> Answer {
    let request = Request::get(path).header("authorization", bearer(key));
    let request = request.body(Body::empty()).unwrap();
    Answer::read(app.clone().oneshot(request).await.unwrap()).await
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 64 << 20).await.unwrap().to_vec();
        Self {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// The text of a header; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{error}: {} {}",
                self.status,
                String::from_utf8_lossy(&self.body)
            )
        })
    }

    /// Status and code of an error as the OpenAI-compatible face writes it, which it must be.
    pub(crate) fn error(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let error = self.json()["error"].clone();
        for member in ["message", "type", "param", "code"] {
            assert!(error.get(member).is_some(), "no `{member}`: {error}");
        }
        assert_ne!(self.header("x-request-id"), "", "{error}");
        let code = error["code"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), code)
    }

    /// Status and code of a problem document, which it must be.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16());
        (
            self.status.as_u16(),
            document["code"].as_str().unwrap_or_default().to_owned(),
        )
    }
}
