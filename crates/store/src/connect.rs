//! Connecting, and bringing the schema up to date.

use crate::StoreError;
use crate::api_keys::SeenKeys;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use uuid::{Uuid, uuid};

/// Every tenant inherits its rows.
pub const SYSTEM_TENANT: Uuid = uuid!("00000000-0000-0000-0000-000000000001");
/// The tenant of a house that names none.
pub const DEFAULT_TENANT: Uuid = uuid!("00000000-0000-0000-0000-000000000002");

/// A connection that has idled for longer is asked whether it is there, before a statement goes over it. On a busy process none
/// has, and the question would be a round trip for each statement.
const IDLED: Duration = Duration::from_millis(50);

/// What a newer program has added to the schema is left as it is: builds of two versions work on one database while one
/// follows the other, and a build that is rolled back needs no schema that is (`ARCHITECTURE.md`, invariant 10).
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut known = sqlx::migrate!("../../migrations");
    known.set_ignore_missing(true);
    known
});

/// How to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Connections of the pool; the lease and the listener have their own.
    pub max_connections: u32,
    /// How long a statement waits for a free connection.
    pub acquire_timeout: Duration,
    /// After this the server gives a statement up; zero: never.
    pub statement_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            application_name: "modelrow".to_owned(),
        }
    }
}

/// A database of ours. Cheap to clone; clones share the pool.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    pub(crate) seen_keys: Arc<SeenKeys>,
    options: PgConnectOptions,
}

impl Store {
    /// Connects as the program's login role, and checks that every migration of this program has run and that the
    /// role may do its work.
    ///
    /// The role must be a member of `modelrow_worker` and `modelrow_api`, and need be nothing else. It may own the
    /// tables: row security is forced on the owner too. Callers' statements run as `modelrow_api` whatever the role.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadAddress`], [`StoreError::Unreachable`], [`StoreError::NotMigrated`], [`StoreError::RoleTooSmall`].
    pub async fn connect(url: &str, options: ConnectOptions) -> Result<Self, StoreError> {
        let server = parse(url)?
            .application_name(&options.application_name)
            .options([("statement_timeout", millis(options.statement_timeout))]);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(
                    async move { Ok(meta.idle_for < IDLED || connection.ping().await.is_ok()) },
                )
            })
            .connect_with(server.clone())
            .await?;
        let store = Self {
            pool,
            seen_keys: Arc::default(),
            options: server,
        };
        store.check_there().await?;
        store.check_role().await?;
        store.check_migrations().await?;
        Ok(store)
    }

    /// Applies the migrations that are missing, as the *owner* of the database (no superuser; `CREATEROLE` only when
    /// the two group roles are missing). Several at once are safe: the second waits for the first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Migration`] with the statement's own message and hint; what ran before it stays.
    pub async fn migrate(owner_url: &str) -> Result<(), StoreError> {
        let mut owner = PgConnection::connect_with(&parse(owner_url)?).await?;
        MIGRATIONS.run_direct(None, &mut owner, false).await?;
        owner.close().await?;
        Ok(())
    }

    /// Closes every connection; statements in flight end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the database answers and has every migration that this program knows.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::NotMigrated`].
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.check_migrations().await
    }

    /// A connection outside the pool.
    pub(crate) async fn own_connection(
        &self,
        statement_timeout: Duration,
    ) -> Result<PgConnection, StoreError> {
        let options = self
            .options
            .clone()
            .options([("statement_timeout", millis(statement_timeout))]);
        Ok(PgConnection::connect_with(&options).await?)
    }

    /// A transaction that sees one tenant's rows and the system's.
    pub(crate) async fn as_tenant(
        &self,
        tenant: Uuid,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self
            .pool
            .begin_with(AssertSqlSafe(begin_as(tenant)))
            .await?)
    }

    async fn check_there(&self) -> Result<(), StoreError> {
        let first = MIGRATIONS.iter().next().map_or(0, |m| m.version);
        let there = sqlx::query_scalar!(
            r#"select to_regclass('_sqlx_migrations') is not null as "there!""#
        )
        .fetch_one(&self.pool)
        .await?;
        if !there {
            return Err(StoreError::NotMigrated { missing: first });
        }
        Ok(())
    }

    async fn check_migrations(&self) -> Result<(), StoreError> {
        let applied = sqlx::query_scalar!(r#"select version from _sqlx_migrations where success"#)
            .fetch_all(&self.pool)
            .await?;
        match MIGRATIONS.iter().find(|m| !applied.contains(&m.version)) {
            Some(missing) => Err(StoreError::NotMigrated {
                missing: missing.version,
            }),
            None => Ok(()),
        }
    }

    async fn check_role(&self) -> Result<(), StoreError> {
        let row = sqlx::query!(
            r#"
            select current_user::text as "role!", r.rolsuper or r.rolbypassrls as "ignores!",
                   coalesce((select pg_has_role(oid, 'usage') from pg_roles where rolname = 'modelrow_worker'), false) as "worker!",
                   coalesce((select pg_has_role(oid, 'member') from pg_roles where rolname = 'modelrow_api'), false) as "api!"
            from pg_roles r where r.rolname = current_user
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        let missing = match (row.worker, row.api) {
            (false, _) => "modelrow_worker",
            (_, false) => "modelrow_api",
            _ => {
                if row.ignores {
                    tracing::warn!(
                        role = row.role,
                        "the login role ignores row security: use an ordinary one"
                    );
                }
                return Ok(());
            }
        };
        Err(StoreError::RoleTooSmall {
            role: row.role,
            group: missing,
        })
    }
}

/// Begins a transaction whose commit answers after the write-ahead log is on disk, whatever the server's default.
pub(crate) const DURABLY: &str = "begin; set local synchronous_commit = on";

/// Begins what sees one tenant, in one round trip: most of what callers ask is over in three. An id has nothing to be quoted.
/// The role comes last, since it may not be what sets the tenant.
fn begin_as(tenant: Uuid) -> String {
    format!("begin; set local modelrow.tenant = '{tenant}'; set local role modelrow_api")
}

fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    url.parse::<PgConnectOptions>()
        .map_err(StoreError::bad_address)
}

/// As the server's settings take it.
fn millis(limit: Duration) -> String {
    limit.as_millis().to_string()
}
