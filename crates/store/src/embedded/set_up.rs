//! Roles and databases: the only statements of the bootstrap superuser.

use super::error::EmbeddedError;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::future::Future;
use std::thread;

/// Safe to run again: a first start may be interrupted.
///
/// `modelrow` is who the program is: no owner, no superuser, so row security holds for it. `modelrow_owner` owns the
/// schema and runs the migrations. From 16 on `CREATEROLE` alone does not reach roles that others made, hence the
/// admin option on the two group roles.
const ROLES: &str = "
do $$
begin
    if not exists (select from pg_roles where rolname = 'modelrow_api') then create role modelrow_api nologin; end if;
    if not exists (select from pg_roles where rolname = 'modelrow_worker') then create role modelrow_worker nologin; end if;
    if not exists (select from pg_roles where rolname = 'modelrow') then create role modelrow login; end if;
    if not exists (select from pg_roles where rolname = 'modelrow_owner') then
        create role modelrow_owner login createrole createdb;
    end if;
end $$;
grant modelrow_api, modelrow_worker to modelrow;
grant modelrow_api, modelrow_worker to modelrow_owner with admin option;
";

/// Makes the roles and the database `modelrow`.
pub(super) fn first(superuser_url: String) -> Result<(), EmbeddedError> {
    on_own_thread(async move {
        let mut connection = PgConnection::connect(&superuser_url).await?;
        connection.execute(sqlx::raw_sql(ROLES)).await?;
        let exists = sqlx::raw_sql("select 1 from pg_database where datname = 'modelrow'");
        if connection.fetch_optional(exists).await?.is_none() {
            let create = sqlx::raw_sql("create database modelrow owner modelrow_owner");
            connection.execute(create).await?;
        }
        connection.close().await
    })
}

/// One statement, as the role of `url`.
pub(super) fn execute(url: String, statement: String) -> Result<(), EmbeddedError> {
    on_own_thread(async move {
        let mut connection = PgConnection::connect(&url).await?;
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)))
            .await?;
        connection.close().await
    })
}

/// Callers may be inside a runtime, which must not be blocked on from within: hence a thread.
pub(super) fn on_own_thread<F>(work: F) -> Result<(), EmbeddedError>
where
    F: Future<Output = Result<(), sqlx::Error>> + Send,
{
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("postgres-set-up".to_owned())
            .spawn_scoped(scope, || run(work))
            .map_err(|error| EmbeddedError::Thread(Some(error)))?;
        thread.join().unwrap_or(Err(EmbeddedError::Thread(None)))
    })
}

pub(super) fn run<F>(work: F) -> Result<(), EmbeddedError>
where
    F: Future<Output = Result<(), sqlx::Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EmbeddedError::Thread(Some(error)))?;
    runtime.block_on(work).map_err(EmbeddedError::SetUp)
}

/// A name of ours in SQL: doubled quotes, as the SQL standard has it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
