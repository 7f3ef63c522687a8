//! A database of one test, with a tenant, a provider, a credential, a revision.

use crate::claim::{Claim, Intent};
use crate::embedded::testing::{TestDatabase, server};
use crate::facts::{Accepted, Closed, ClosedHow, Then};
use crate::runs::{Inserted, NewRun, Sent};
use crate::workers::{Lease, WorkerRow};
use crate::{ConnectOptions, DEFAULT_TENANT, State, Store};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use uuid::Uuid;

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const NOW: Duration = Duration::ZERO;

/// A copy of our own template: the server's is the first caller's, which may be a test that migrates otherwise.
pub(super) async fn database() -> TestDatabase {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let create = |name: &str, template| {
        let url = server().embedded().create_database(name, template).unwrap();
        let owner_url = url.replacen("//modelrow@", "//modelrow_owner@", 1);
        TestDatabase { url, owner_url }
    };
    TEMPLATE
        .get_or_init(async || {
            Store::migrate(&create("house", None).owner_url)
                .await
                .unwrap()
        })
        .await;
    create(
        &format!("house{}", COUNT.fetch_add(1, Ordering::Relaxed)),
        Some("house"),
    )
}

pub(super) struct House {
    pub(super) store: Store,
    pub(super) database: TestDatabase,
    pub(super) tenant: Uuid,
    pub(super) credential: Uuid,
    pub(super) revision: Vec<u8>,
}

impl House {
    /// A claim on the credential by that worker, opened.
    pub(super) async fn claim(&self, worker: Uuid) -> Claim {
        let claim = self.store.claim(worker, self.credential).await;
        claim.unwrap().unwrap()
    }

    pub(super) async fn new() -> Self {
        let database = database().await;
        let options = ConnectOptions {
            max_connections: 6,
            ..ConnectOptions::default()
        };
        let house = Self {
            store: Store::connect(&database.url, options).await.unwrap(),
            database,
            tenant: DEFAULT_TENANT,
            credential: Uuid::from_u128(3),
            revision: vec![7; 32],
        };
        house
            .sql(
                "insert into ai_providers (id, slug, api_base_url) values ('00000000-0000-0000-0000-000000000002', 'acme', 'https://acme.test');
                 insert into provider_api_credentials (id, provider_id)
                     values ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002');
                 insert into revisions values (decode(repeat('07', 32), 'hex'), 1, '{}')",
            )
            .await;
        house
    }

    /// As the program's role.
    pub(super) async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())))
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// The first column of the only row, as text; empty for null.
    pub(super) async fn one(&self, sql: &str) -> String {
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        let sql = format!("select ({sql})::text");
        let row = connection
            .fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)))
            .await
            .unwrap();
        connection.close().await.unwrap();
        row.get::<Option<String>, _>(0).unwrap_or_default()
    }

    pub(super) async fn worker(&self, id: u128) -> (Uuid, Lease, i32) {
        let row = WorkerRow {
            worker_id: Uuid::from_u128(id),
            build: "b".into(),
            language: 1,
            host: "h".into(),
        };
        let mut lease = self.store.open_lease(Duration::from_secs(1)).await.unwrap();
        let no = lease.register(&row, HOUR).await.unwrap();
        (row.worker_id, lease, no)
    }

    pub(super) fn call(&self, run: u128, key: Option<&str>) -> NewRun {
        NewRun {
            run_id: Uuid::from_u128(run),
            tenant_id: self.tenant,
            api_key_id: None,
            idempotency_key: key.map(str::to_owned),
            request_sha256: vec![1; 32],
            purpose: "video".into(),
            revision_id: self.revision.clone(),
            credential_id: self.credential,
            request: json!({"callback": {"url": "https://cb.test"}}),
            start_by: None,
            start_within: 24 * HOUR,
            priority: 0,
            price: None,
            over_limit: None,
            cache_key: None,
            inputs: Vec::new(),
            sent: Sent::Once,
        }
    }

    pub(super) async fn queue(&self, run: u128) -> Uuid {
        let call = self.call(run, None);
        assert_eq!(
            self.store.run_insert(&call).await.unwrap(),
            Inserted::New(call.run_id)
        );
        call.run_id
    }

    /// Claims these runs for a worker, whatever else is queued, and commits the intents.
    pub(super) async fn submit(&self, worker: Uuid, runs: &[Uuid], n: i32) -> usize {
        let mut claim = self
            .store
            .claim(worker, self.credential)
            .await
            .unwrap()
            .unwrap();
        claim.pick(100).await.unwrap();
        let intents: Vec<Intent> = runs.iter().map(|run| intent(*run, n)).collect();
        let intended = claim.intend(&intents).await.unwrap();
        claim.commit().await.unwrap();
        intended.len()
    }

    /// State and money of a run.
    pub(super) async fn stands(&self, run: Uuid) -> (State, String) {
        let details = self.store.run(self.tenant, run).await.unwrap().unwrap();
        (details.run.state, details.run.spent)
    }

    pub(super) async fn ver(&self, run: Uuid) -> i64 {
        self.store
            .run_state(self.tenant, run)
            .await
            .unwrap()
            .unwrap()
            .1
    }
}

pub(super) fn intent(run: Uuid, n: i32) -> Intent {
    Intent {
        run_id: run,
        n,
        token: run,
        request_sha256: vec![1],
        endpoint: "e".into(),
        drawn: json!({}),
    }
}

pub(super) fn accepted(run: Uuid, n: i32, job: &str) -> Accepted {
    Accepted {
        run_id: run,
        n,
        job: job.to_owned(),
        shard: 200,
        endpoint: "e".into(),
        captured: Some(Value::Object(serde_json::Map::new())),
        deadline: Some(Duration::from_secs(180)),
        give_up: 24 * HOUR,
        http_status: Some(200),
        adopted: false,
    }
}

pub(super) fn refused(run: Uuid, n: i32, then: Then) -> Closed {
    Closed {
        run_id: run,
        n,
        how: ClosedHow::Refused,
        http_status: Some(429),
        answer: Some(String::new()),
        then,
    }
}
