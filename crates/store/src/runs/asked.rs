//! Runs with what was asked, as faces of other APIs show them: without output, files and attempts.

use crate::{Scope, State, Store, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Which way a list goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// A run and what was asked.
#[derive(Debug, Clone)]
pub struct AskedRow {
    /// The run.
    pub run_id: Uuid,
    /// What it runs under now.
    pub revision_id: Vec<u8>,
    /// What was asked.
    pub request: Value,
    /// Where it stands.
    pub state: State,
    /// 0 to 100.
    pub progress: Option<i16>,
    /// Why it failed.
    pub failure: Option<Value>,
    /// The provider's id.
    pub provider_job_id: Option<String>,
    /// When it was called.
    pub created_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// When the first of its files is no longer served; absent: kept, or none.
    pub expires_at: Option<OffsetDateTime>,
}

impl Store {
    /// One run of a purpose; `None`: it is not there, of another purpose, or another tenant's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn run_asked(
        &self,
        scope: impl Into<Scope>,
        purpose: &str,
        run: Uuid,
    ) -> Result<Option<AskedRow>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let row = sqlx::query_as!(
            Raw,
            r#"
            select s.run_id, s.revision_id, u.request, s.state, s.progress, s.failure, s.provider_job_id, u.created_at, s.ended_at,
                   (select min(a.delete_after) from artifacts a where a.run_id = s.run_id and a.deleted_at is null) as expires_at
            from runs u join run_states s using (run_id) where u.run_id = $1 and u.purpose = $2 and s.erased_at is null
            "#,
            run,
            purpose,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(Raw::checked).transpose()
    }

    /// Runs of a tenant and purpose behind the run `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchRow`]: `after` is none of them. [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn runs_asked(
        &self,
        (tenant, purpose): (Uuid, &str),
        order: Order,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<AskedRow>, StoreError> {
        let mut tx = self.as_tenant(tenant).await?;
        let mut at = None;
        if let Some(after) = after {
            let found = sqlx::query_scalar!(
                "select created_at from runs where run_id = $1 and purpose = $2",
                after,
                purpose
            );
            let found = found.fetch_optional(&mut *tx).await?;
            at = Some(found.ok_or_else(|| StoreError::NoSuchRow {
                table: "runs",
                key: after.to_string(),
            })?);
        }
        let rows = match order {
            Order::NewestFirst => sqlx::query_as!(
                Raw,
                r#"
                select s.run_id, s.revision_id, u.request, s.state, s.progress, s.failure, s.provider_job_id, u.created_at, s.ended_at,
                       (select min(a.delete_after) from artifacts a where a.run_id = s.run_id and a.deleted_at is null) as expires_at
                from runs u join run_states s using (run_id)
                where u.tenant_id = $1 and u.purpose = $2 and s.erased_at is null
                  and ($3::timestamptz is null or (u.created_at, u.run_id) < ($3, $4::uuid))
                order by u.created_at desc, u.run_id desc limit $5
                "#,
                tenant,
                purpose,
                at,
                after,
                limit,
            )
            .fetch_all(&mut *tx)
            .await?,
            Order::OldestFirst => sqlx::query_as!(
                Raw,
                r#"
                select s.run_id, s.revision_id, u.request, s.state, s.progress, s.failure, s.provider_job_id, u.created_at, s.ended_at,
                       (select min(a.delete_after) from artifacts a where a.run_id = s.run_id and a.deleted_at is null) as expires_at
                from runs u join run_states s using (run_id)
                where u.tenant_id = $1 and u.purpose = $2 and s.erased_at is null
                  and ($3::timestamptz is null or (u.created_at, u.run_id) > ($3, $4::uuid))
                order by u.created_at, u.run_id limit $5
                "#,
                tenant,
                purpose,
                at,
                after,
                limit,
            )
            .fetch_all(&mut *tx)
            .await?,
        };
        tx.commit().await?;
        rows.into_iter().map(Raw::checked).collect()
    }
}

/// As selected: the state still a word.
struct Raw {
    run_id: Uuid,
    revision_id: Vec<u8>,
    request: Value,
    state: String,
    progress: Option<i16>,
    failure: Option<Value>,
    provider_job_id: Option<String>,
    created_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
    expires_at: Option<OffsetDateTime>,
}

impl Raw {
    fn checked(self) -> Result<AskedRow, StoreError> {
        Ok(AskedRow {
            run_id: self.run_id,
            revision_id: self.revision_id,
            request: self.request,
            state: State::parse(&self.state)?,
            progress: self.progress,
            failure: self.failure,
            provider_job_id: self.provider_job_id,
            created_at: self.created_at,
            ended_at: self.ended_at,
            expires_at: self.expires_at,
        })
    }
}
