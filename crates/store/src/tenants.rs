//! Tenants: whose rows and runs there are.

use crate::{Scope, Store, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

/// A tenant.
#[derive(Debug, Clone)]
pub struct TenantRow {
    /// The row.
    pub id: Uuid,
    /// Its name in addresses and commands.
    pub slug: String,
    /// Every tenant inherits its rows, and its admins are operators.
    pub is_system: bool,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

impl Store {
    /// Adds a tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::Broken`]: the slug is taken, or is none; [`StoreError::Unreachable`].
    pub async fn tenant_add(
        &self,
        actor: &str,
        id: Uuid,
        slug: &str,
    ) -> Result<TenantRow, StoreError> {
        let mut tx = self.acting(Scope::Operator, actor).await?;
        let row = sqlx::query_as!(
            TenantRow,
            "insert into tenants (tenant_id, slug) values ($1, $2) returning tenant_id as id, slug, is_system, created_at",
            id,
            slug,
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Tenants, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn tenants(
        &self,
        scope: impl Into<Scope>,
        after: Option<(OffsetDateTime, Uuid)>,
        limit: i64,
    ) -> Result<Vec<TenantRow>, StoreError> {
        let (after_at, after_id) = after.unzip();
        let mut tx = self.seen_by(scope.into()).await?;
        let rows = sqlx::query_as!(
            TenantRow,
            r#"
            select tenant_id as id, slug, is_system, created_at from tenants
            where $1::timestamptz is null or (created_at, tenant_id) < ($1, $2::uuid)
            order by created_at desc, tenant_id desc limit $3
            "#,
            after_at,
            after_id,
            limit,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }
}
