//! Rows one by one: which there are, whether one is as it was seen, and taking one away.

use crate::{Scope, Store, StoreError};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Runs that are named where a row is in use.
const NAMED: i64 = 10;

/// A table of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `ai_providers`
    Providers,
    /// `provider_api_credentials`
    Credentials,
    /// `provider_auth_profiles`
    AuthProfiles,
    /// `response_schemas`
    ResponseSchemas,
    /// `prompt_templates`
    PromptTemplates,
    /// `ai_models`
    Models,
    /// `model_api_profiles`
    Profiles,
    /// `model_routing_rules`
    RoutingRules,
}

impl Table {
    /// As `row_index.kind` names it.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Providers => "providers",
            Self::Credentials => "credentials",
            Self::AuthProfiles => "auth_profiles",
            Self::ResponseSchemas => "response_schemas",
            Self::PromptTemplates => "prompt_templates",
            Self::Models => "models",
            Self::Profiles => "profiles",
            Self::RoutingRules => "routing_rules",
        }
    }
}

/// A row, without what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// The row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// For people: `provider/name`.
    pub key: String,
    /// Its last change.
    pub updated_at: OffsetDateTime,
}

/// Which rows to list. What is absent asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct IndexFilter {
    /// Only this row.
    pub id: Option<Uuid>,
    /// Only of this tenant.
    pub tenant: Option<Uuid>,
    /// Only of this provider.
    pub provider: Option<String>,
    /// Only of this key.
    pub key: Option<String>,
    /// Changed before this row.
    pub after: Option<(OffsetDateTime, Uuid)>,
    /// At most so many.
    pub limit: i64,
}

/// What became of a row that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// It was changed, or taken away, since it was seen.
    Stale,
    /// Runs use it: some of them.
    UsedBy(Vec<Uuid>),
}

/// One statement for each table, with its name in it.
macro_rules! in_each {
    ($table:expr, $query:ident, $before:literal, $after:literal, ($($value:expr),*), $end:ident, $connection:expr) => {
        match $table {
            Table::Providers => sqlx::$query!($before + "ai_providers" + $after, $($value),*).$end($connection).await,
            Table::Credentials => sqlx::$query!($before + "provider_api_credentials" + $after, $($value),*).$end($connection).await,
            Table::AuthProfiles => sqlx::$query!($before + "provider_auth_profiles" + $after, $($value),*).$end($connection).await,
            Table::ResponseSchemas => sqlx::$query!($before + "response_schemas" + $after, $($value),*).$end($connection).await,
            Table::PromptTemplates => sqlx::$query!($before + "prompt_templates" + $after, $($value),*).$end($connection).await,
            Table::Models => sqlx::$query!($before + "ai_models" + $after, $($value),*).$end($connection).await,
            Table::Profiles => sqlx::$query!($before + "model_api_profiles" + $after, $($value),*).$end($connection).await,
            Table::RoutingRules => sqlx::$query!($before + "model_routing_rules" + $after, $($value),*).$end($connection).await,
        }
    };
}

/// Whether the tenant's row is as it was seen; it stays so until the transaction ends.
pub(crate) async fn is_as_seen(
    connection: &mut PgConnection,
    table: Table,
    tenant: Uuid,
    (id, seen): (Uuid, OffsetDateTime),
) -> Result<bool, StoreError> {
    let found = in_each!(
        table,
        query_scalar,
        "select updated_at from ",
        " where id = $1 and tenant_id = $2 for update",
        (id, tenant),
        fetch_optional,
        connection
    )?;
    Ok(found == Some(seen))
}

/// Takes a row of the tenant away.
pub(super) async fn remove(
    connection: &mut PgConnection,
    table: Table,
    tenant: Uuid,
    id: Uuid,
) -> Result<u64, StoreError> {
    let gone = in_each!(
        table,
        query,
        "delete from ",
        " where id = $1 and tenant_id = $2",
        (id, tenant),
        execute,
        connection
    )?;
    Ok(gone.rows_affected())
}

/// The tenant's row of that key.
pub(super) async fn of_key(
    connection: &mut PgConnection,
    table: Table,
    tenant: Uuid,
    key: &str,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select id as "id!" from row_index where kind = $1 and tenant_id = $2 and key = $3"#,
        table.kind(),
        tenant,
        key,
    )
    .fetch_optional(connection)
    .await?)
}

impl Store {
    /// Rows of one kind that the scope sees, the last changed first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn row_index(
        &self,
        scope: Scope,
        table: Table,
        filter: &IndexFilter,
    ) -> Result<Vec<IndexRow>, StoreError> {
        let (after_at, after_id) = filter.after.unzip();
        let mut tx = self.seen_by(scope).await?;
        let rows = sqlx::query_as!(
            IndexRow,
            r#"
            select id as "id!", tenant_id as "tenant!", key as "key!", updated_at as "updated_at!" from row_index
            where kind = $1 and ($2::uuid is null or id = $2) and ($3::uuid is null or tenant_id = $3)
              and ($4::text is null or provider = $4) and ($5::text is null or key = $5)
              and ($6::timestamptz is null or (updated_at, id) < ($6, $7::uuid))
            order by updated_at desc, id desc limit $8
            "#,
            table.kind(),
            filter.id,
            filter.tenant,
            filter.provider,
            filter.key,
            after_at,
            after_id,
            filter.limit,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Takes a row of a tenant away, as `actor`, if it is as it was seen and no run that has not ended has one of these contents
    /// in its revision. A credential stays with every run that used it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Broken`]: another row names it; [`StoreError::Unreachable`].
    pub async fn row_remove(
        &self,
        (tenant, actor): (Uuid, &str),
        table: Table,
        (id, seen): (Uuid, OffsetDateTime),
        contents: &[Value],
    ) -> Result<Removed, StoreError> {
        let users = match table {
            Table::Credentials => self.runs_of_credential(id).await?,
            _ => self.runs_of_contents(tenant, contents).await?,
        };
        if !users.is_empty() {
            return Ok(Removed::UsedBy(users));
        }
        let mut tx = self.acting_for(tenant, actor).await?;
        if !is_as_seen(&mut tx, table, tenant, (id, seen)).await? {
            return Ok(Removed::Stale);
        }
        remove(&mut tx, table, tenant, id).await?;
        tx.commit().await?;
        Ok(Removed::Gone)
    }

    /// Runs that have not ended and whose revision has one of these contents, some of them. The rows of the system are every tenant's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn runs_of_contents(
        &self,
        tenant: Uuid,
        contents: &[Value],
    ) -> Result<Vec<Uuid>, StoreError> {
        if contents.is_empty() {
            return Ok(Vec::new());
        }
        let own = (tenant != crate::SYSTEM_TENANT).then_some(tenant);
        Ok(sqlx::query_scalar!(
            r#"
            select s.run_id from run_states s join revisions r using (revision_id)
            where s.ended_at is null and ($1::uuid is null or s.tenant_id = $1) and r.content @> any($2::jsonb[])
            order by s.run_id limit $3
            "#,
            own,
            contents,
            NAMED,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    async fn runs_of_credential(&self, id: Uuid) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select run_id as "run_id!" from run_states where credential_id = $1
            union select run_id from submit_attempts where credential_id = $1 order by 1 limit $2
            "#,
            id,
            NAMED,
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
