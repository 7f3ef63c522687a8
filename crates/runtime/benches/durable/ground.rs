//! What a part stands on: a Postgres that syncs, a provider, and the rows that describe it.

use crate::cpu;
use crate::processes::{Process, start};
use diag::Secret;
use runtime::{Allow, Concurrency, Modelrow, NoSecret, Options, RunRequest, Secrets, Work};
use serde_json::{Value, json};
use simulator::crowd::CrowdConfig;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use store::embedded::{Embedded, Options as PgOptions};
use store::{SYSTEM_TENANT, Store};

/// A day: such a job ends after the measurement.
pub(crate) const DAY_MS: u64 = 86_400_000;

pub(crate) struct Ground {
    pub(crate) postgres: Embedded,
    pub(crate) provider: Process,
    pub(crate) folder: tempfile::TempDir,
}

#[derive(Debug)]
struct OneKey;

impl Secrets for OneKey {
    fn open(&self, _: &str) -> Result<Secret, NoSecret> {
        Ok(Secret::from("crowd-key".to_owned()))
    }
}

impl Ground {
    pub(crate) async fn new(provider: CrowdConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let found = PgOptions::default_for_user(|name| std::env::var_os(name)).unwrap();
        let options = PgOptions {
            data_dir: folder.path().join("pg"),
            ..found
        };
        let postgres = tokio::task::block_in_place(|| Embedded::start(&options, &mut |_| {}));
        let postgres = postgres.unwrap();
        Store::migrate(&postgres.owner_url()).await.unwrap();
        let ground = Self {
            postgres,
            provider: start(&[
                "--provider".to_owned(),
                provider.answer_after.as_millis().to_string(),
                provider.content_bytes.to_string(),
                provider.keep_polls.to_string(),
            ]),
            folder,
        };
        let admin = ground.library().await;
        let (bundle, _) = profile::bundle::check("bundle.json", &bundle().to_string());
        assert!(!bundle.diagnostics.has_errors(), "{}", bundle.diagnostics);
        admin.apply(SYSTEM_TENANT, &bundle.rows).await.unwrap();
        admin.shutdown(Duration::ZERO).await;
        let base = &ground.provider.said;
        ground
            .sql(&format!(
                "update provider_api_credentials set endpoint_url = '{base}'"
            ))
            .await;
        ground
    }

    /// A process that takes calls, in this one.
    pub(crate) async fn library(&self) -> Modelrow {
        let options = Options {
            work: Work::No,
            ..options(&self.postgres.url(), &self.artifacts())
        };
        Modelrow::start(options).await.unwrap()
    }

    /// A worker, in a process of its own.
    pub(crate) fn worker(&self, concurrency: Concurrency) -> Process {
        self.process("--worker", concurrency)
    }

    /// The same, which makes the calls too.
    pub(crate) fn serving(&self, concurrency: Concurrency) -> Process {
        self.process("--serving", concurrency)
    }

    fn process(&self, role: &str, concurrency: Concurrency) -> Process {
        start(&[
            role.to_owned(),
            self.postgres.url(),
            self.artifacts(),
            concurrency.submits.to_string(),
            concurrency.polls.to_string(),
            concurrency.fetches.to_string(),
        ])
    }

    fn artifacts(&self) -> String {
        self.folder.path().join("artifacts").display().to_string()
    }

    /// As the owner of the schema, who sees every row.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.owner_url())
            .await
            .unwrap()
    }

    pub(crate) async fn sql(&self, statements: &str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) async fn row(&self, statement: &str) -> PgRow {
        let mut connection = self.connection().await;
        let row = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        row
    }

    pub(crate) async fn count(&self, statement: &str) -> i64 {
        use sqlx::Row as _;
        self.row(statement).await.get(0)
    }

    /// Rows that were written so far, by anybody; statistics are at most a second late.
    pub(crate) async fn rows_written(&self) -> i64 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        self.count("select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint from pg_stat_user_tables")
            .await
    }

    /// Processor time of Postgres so far.
    pub(crate) fn postgres_cpu(&self) -> Duration {
        let file = self.folder.path().join("pg/pg/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap();
        cpu::of_family(text.lines().next().unwrap().parse().unwrap())
    }

    /// What the provider was asked so far.
    pub(crate) async fn asked(&self, what: &str) -> u64 {
        let url = self.provider.said.replace("/v1", "/_crowd/counts");
        let counts = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        let counts: Value = serde_json::from_slice(&counts).unwrap();
        counts[what].as_u64().unwrap()
    }
}

/// How the worker and the library of this bench take part.
pub(crate) fn options(database: &str, artifacts: &str) -> Options {
    Options {
        allow: Allow {
            http: true,
            private: true,
        },
        secrets: Arc::new(OneKey),
        ..Options::new(database.to_owned(), std::path::Path::new(artifacts))
    }
}

/// A call of one of the models below.
pub(crate) fn call(model: &str, life_ms: u64) -> RunRequest {
    RunRequest::new("video")
        .prompt("a cat that plays the piano")
        .model(model)
        .param("life_ms", life_ms)
}

/// Waits until `holds`.
pub(crate) async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Models that differ in how often they are asked: every 10 s, 2 s, second, and at once.
fn bundle() -> Value {
    let paces = [
        ("waiting", json!({"interval_ms": 10_000})),
        ("watched", json!({"interval_ms": 2_000, "jitter": 0})),
        ("often", json!({"interval_ms": 1_000})),
        (
            "quick",
            json!({"interval_ms": 1_000, "initial_delay_ms": 0}),
        ),
    ];
    let models = paces.iter().map(|(name, _)| {
        json!({"model_id": name, "model_type": "video", "response_schema": "crowd-output", "capabilities": {
            "profile_key": format!("crowd_{name}"),
            "options": {"life_ms": {"type": "int", "min": 0, "max": DAY_MS}}, "defaults": {"life_ms": 0}}})
    });
    let profiles = paces.iter().map(|(name, pace)| profile(name, pace));
    json!({
        "language": 1,
        "provider": {"slug": "crowd", "api_base_url": "https://crowd.example/v1"},
        "auth_profiles": [{"profile_key": "crowd_key", "auth_type": "api_key", "secret": "env:CROWD_KEY"}],
        "response_schemas": [{"name": "crowd-output", "version": 1, "strict": true, "schema": {
            "type": "object", "required": ["video"], "properties": {"video": {"type": "object",
                "required": ["id", "status"], "properties": {"id": {"type": "string"}, "status": {"type": "string"}}}}}}],
        "models": models.collect::<Vec<_>>(),
        "profiles": profiles.collect::<Vec<_>>(),
    })
}

fn profile(name: &str, pace: &Value) -> Value {
    let mut poll = json!({
        "name": "poll", "path": "/videos/{{job_id}}", "status_path": "status", "progress_path": "progress",
        "terminal_states": ["completed", "failed"],
    });
    let members = pace.as_object().unwrap().clone();
    poll.as_object_mut().unwrap().extend(members);
    json!({
        "profile_key": format!("crowd_{name}"), "purpose": "video", "auth_profile": "crowd_key",
        "transport": {"kind": "http_json", "path": "/videos", "headers": {"Authorization": "Bearer {{apiKey}}"},
            "body": {"model": "{{model}}", "prompt": "{{userPrompt}}", "life_ms": "{{json params_life_ms}}"}},
        "response_mapping": {"extract": {"job_id_path": "id", "ticket": "ticket"}},
        "workflow": {"type": "async_job", "steps": [poll, {
            "name": "download", "path": "/videos/{{job_id}}/content", "mode": "binary", "content_type": "video/mp4",
            "headers": {"X-Ticket": "{{steps.submit.ticket}}"},
        }]},
    })
}
