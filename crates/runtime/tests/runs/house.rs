//! What every test stands on: a database of its own, a simulated provider on a
//! real socket, and the library between them.

use diag::Secret;
use runtime::{Allow, LeaseTimes, Modelrow, NoSecret, Options, RunRequest, RunView, Secrets};
use serde_json::{Value, json};
use simulator::{Config, Entry, Operation, Simulator};
use sqlx::{Connection as _, PgConnection};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::embedded::testing::{TestDatabase, server};
use store::{SYSTEM_TENANT, Store};

/// No test waits longer for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const KEY: &str = "acme-test-key-1234";

pub(crate) struct House {
    pub(crate) sim: Simulator,
    pub(crate) database: TestDatabase,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) bundle: Value,
}

#[derive(Debug)]
struct OneKey;

impl Secrets for OneKey {
    fn open(&self, _: &str) -> Result<Secret, NoSecret> {
        Ok(Secret::from(KEY.to_owned()))
    }
}

/// No secret is there.
#[derive(Debug)]
pub(crate) struct NoKey;

impl Secrets for NoKey {
    fn open(&self, reference: &str) -> Result<Secret, NoSecret> {
        Err(NoSecret {
            why: format!("there is no `{reference}`"),
            help: "set it".into(),
        })
    }
}

/// Polls are asked for every 250 ms, and a job takes a second.
pub(crate) fn quick() -> Config {
    let mut config = Config::default();
    config.jobs.poll_after_ms = Some(250);
    config
}

/// The bundle that carries the row of the seeds: the one whose poll gives up after 90 attempts.
pub(crate) fn bundle() -> Value {
    bundle_with("\"max_attempts\":90")
}

/// The shipped bundle in which this text stands. Providers have no name here.
pub(crate) fn bundle_with(text: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let bundles = std::fs::read_dir(folder).unwrap().filter_map(|entry| {
        let text = std::fs::read_to_string(entry.unwrap().path().join("bundle.json")).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    });
    bundles
        .into_iter()
        .find(|bundle| bundle.to_string().contains(text))
        .unwrap()
}

impl House {
    pub(crate) async fn new(config: Config) -> Self {
        Self::with(config, |_| {}).await
    }

    /// With changes to the bundle before it is applied.
    pub(crate) async fn with(config: Config, change: impl FnOnce(&mut Value)) -> Self {
        let mut bundle = bundle();
        change(&mut bundle);
        Self::of(config, bundle).await
    }

    /// With this bundle.
    pub(crate) async fn of(config: Config, bundle: Value) -> Self {
        let database =
            server().database(|owner| async move { Store::migrate(&owner).await.unwrap() });
        let house = Self {
            sim: Simulator::start(config).await.unwrap(),
            database,
            folder: tempfile::tempdir().unwrap(),
            bundle,
        };
        let admin = Modelrow::start(Options {
            work: runtime::Work::No,
            ..house.options()
        })
        .await
        .unwrap();
        let (bundle, _) = profile::bundle::check("bundle.json", &house.bundle.to_string());
        assert!(!bundle.diagnostics.has_errors(), "{}", bundle.diagnostics);
        admin.apply(SYSTEM_TENANT, &bundle.rows).await.unwrap();
        admin.shutdown(Duration::ZERO).await;
        house
            .sql(&format!(
                "update provider_api_credentials set endpoint_url = '{}'",
                house.sim.base_url()
            ))
            .await;
        house
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            allow: Allow {
                http: true,
                private: true,
            },
            secrets: Arc::new(OneKey),
            tick: Duration::from_millis(200),
            lease: LeaseTimes {
                ttl: Duration::from_secs(3),
                renew: Duration::from_millis(300),
                statement_timeout: Duration::from_secs(2),
            },
            ..Options::new(self.database.url.clone(), self.folder.path())
        }
    }

    pub(crate) async fn start(&self) -> Modelrow {
        Modelrow::start(self.options()).await.unwrap()
    }

    /// As an administrator with `psql` would.
    pub(crate) async fn sql(&self, statement: &str) {
        let connection = executed(&self.database.url, statement).await;
        connection.close().await.unwrap();
    }

    /// As the database's owner. A transaction that is begun there ends with the connection.
    pub(crate) async fn as_owner(&self, statements: &str) -> PgConnection {
        executed(&self.database.owner_url, statements).await
    }

    /// Waits until somebody owns every shard: what is accepted from then on is followed by its owner.
    pub(crate) async fn shards_are_owned(&self) {
        until("all shards are owned", || async {
            let owned = "select count(*) from shards where owner is not null";
            self.count(owned).await == 256
        })
        .await;
    }

    pub(crate) async fn count(&self, statement: &str) -> i64 {
        use sqlx::Row as _;
        let mut connection = PgConnection::connect(&self.database.url).await.unwrap();
        let row = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        row.get(0)
    }

    /// What a restart of the server looks like to everybody who is connected to this database.
    pub(crate) async fn cut_connections(&self) {
        self.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'modelrow%'")
            .await;
    }

    pub(crate) fn asked(&self, operation: Operation) -> Vec<Entry> {
        self.sim
            .ledger()
            .into_iter()
            .filter(|entry| entry.operation == operation)
            .collect()
    }
}

async fn executed(url: &str, statements: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

pub(crate) fn cat() -> RunRequest {
    RunRequest::new("video")
        .prompt("a cat that plays the piano")
        .param("seconds", 8)
}

/// Waits for the end, at most `LIMIT`.
pub(crate) async fn ended(modelrow: &Modelrow, request: RunRequest) -> RunView {
    let handle = modelrow.run_profile(request).await.unwrap();
    let view = modelrow
        .wait(store::DEFAULT_TENANT, handle.id(), LIMIT)
        .await
        .unwrap();
    assert!(view.ended(), "not ended: {view:#?}");
    view
}

/// Waits until `holds`, asked again and again.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits until this library is ready, which for one that works is with a lease.
pub(crate) async fn holds_a_lease(modelrow: &Modelrow) {
    until("the lease is held", || async {
        modelrow.readiness().await.reasons.is_empty()
    })
    .await;
}

/// Makes the provider's conventions say something else.
pub(crate) fn convention(bundle: &mut Value, pointer: &str, value: Value) {
    *bundle
        .pointer_mut(&format!("/provider/conventions{pointer}"))
        .unwrap() = value;
}

/// Every poll asks twice a second.
pub(crate) fn quick_polls(bundle: &mut Value) {
    for profile in bundle["profiles"].as_array_mut().unwrap() {
        let polls = profile.pointer_mut("/workflow/steps/0");
        if let Some(poll) = polls.filter(|step| step["name"] == "poll") {
            poll["interval_ms"] = json!(500);
        }
    }
}

pub(crate) fn quick_settle(bundle: &mut Value) {
    convention(bundle, "/settle/visible_after_ms", json!(1_000));
}
