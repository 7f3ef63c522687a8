//! Callbacks out: the secrets that sign them, every attempt, and what is looked up and sent again.

use crate::credentials::Sealed;
use crate::{Scope, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// A secret that signs a tenant's callbacks.
#[derive(Debug, Clone)]
pub struct WebhookSecret {
    /// What it is sealed for, with the tenant.
    pub id: Uuid,
    /// As it is kept.
    pub sealed: Sealed,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it signs no more; absent: it is the current one.
    pub expires_at: Option<OffsetDateTime>,
}

/// What came of one attempt.
#[derive(Debug, Clone, Default)]
pub struct Came {
    /// Of the receiver's answer; absent: it gave none.
    pub status: Option<i16>,
    /// Of the same, shortened: at most 1,000 characters.
    pub answer: Option<String>,
    /// Why there was none; at most 1,000 characters.
    pub error: Option<String>,
    /// Milliseconds that it took.
    pub took_ms: i32,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// To be sent, or sent again.
    Pending,
    /// The receiver took it.
    Delivered,
    /// Given up after a day, or because the receiver said that it is gone.
    Failed,
}

/// Which deliveries to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Only this one.
    pub id: Option<Uuid>,
    /// Only of this run.
    pub run: Option<Uuid>,
    /// Only those that stand so.
    pub status: Option<DeliveryStatus>,
    /// Older than this one: the last of the page before.
    pub after: Option<(OffsetDateTime, Uuid)>,
    /// At most so many.
    pub limit: i64,
}

/// A callback.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// The `webhook-id`.
    pub id: Uuid,
    /// Its run.
    pub run_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// `run.succeeded`, …
    pub event: String,
    /// Number of the event in the run's timeline.
    pub seq: i32,
    /// Where it goes; absent: its run was deleted.
    pub url: Option<String>,
    /// Attempts since it was made, or sent again.
    pub attempts: i32,
    /// When the event was.
    pub created_at: OffsetDateTime,
    /// When it is tried next; of a pending one.
    pub next_at: OffsetDateTime,
    /// When it was delivered.
    pub done_at: Option<OffsetDateTime>,
    /// When it was given up.
    pub gave_up_at: Option<OffsetDateTime>,
    /// Of the last answer.
    pub last_status: Option<i16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl DeliveryRow {
    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> DeliveryStatus {
        match (self.done_at, self.gave_up_at) {
            (Some(_), _) => DeliveryStatus::Delivered,
            (None, Some(_)) => DeliveryStatus::Failed,
            (None, None) => DeliveryStatus::Pending,
        }
    }
}

/// An attempt, as it was written down.
#[derive(Debug, Clone)]
pub struct DeliveryAttempt {
    /// Counted from 1, over all times that it was sent again.
    pub n: i32,
    /// When it ended.
    pub at: OffsetDateTime,
    /// Milliseconds that it took.
    pub took_ms: Option<i32>,
    /// Of the receiver's answer.
    pub status: Option<i16>,
    /// The answer, shortened.
    pub answer: Option<String>,
    /// Why there was none.
    pub error: Option<String>,
}

impl Store {
    /// The secrets that sign a tenant's callbacks now, the current one first; none: it has made none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn webhook_secrets(&self, tenant: Uuid) -> Result<Vec<WebhookSecret>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select webhook_secret_id, secret, created_at, expires_at from webhook_secrets
            where tenant_id = $1 and coalesce(expires_at > now(), true) order by expires_at desc nulls first
            "#,
            tenant
        )
        .fetch_all(&self.pool)
        .await?;
        let read = rows.into_iter().map(|row| WebhookSecret {
            id: row.webhook_secret_id,
            sealed: Sealed(row.secret),
            created_at: row.created_at,
            expires_at: row.expires_at,
        });
        Ok(read.collect())
    }

    /// Puts a new secret in the place of the current one, which signs beside it for `overlap`; one that was before that
    /// is forgotten. `false`: there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps put; read them.
    pub async fn webhook_secret_put(
        &self,
        tenant: Uuid,
        id: Uuid,
        sealed: &Sealed,
        overlap: Duration,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        // Two at once would both find no current one.
        let there = sqlx::query_scalar!(
            "select tenant_id from tenants where tenant_id = $1 for no key update",
            tenant
        )
        .fetch_optional(&mut *tx)
        .await?;
        if there.is_none() {
            return Ok(false);
        }
        sqlx::query!(
            "delete from webhook_secrets where tenant_id = $1 and expires_at is not null",
            tenant
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "update webhook_secrets set expires_at = now() + make_interval(secs => $2) where tenant_id = $1",
            tenant,
            overlap.as_secs_f64()
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into webhook_secrets (webhook_secret_id, tenant_id, secret) values ($1, $2, $3)",
            id,
            tenant,
            sealed.0
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Secrets that are not sealed under this key, by id behind `after`, at most `limit`: whose, which, and as it is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn webhook_secrets_sealed_under_others(
        &self,
        key: &str,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<(Uuid, Uuid, Sealed)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select tenant_id, webhook_secret_id, secret from webhook_secrets
            where sealed_under(secret) <> $1 and webhook_secret_id > $2 order by webhook_secret_id limit $3
            "#,
            key,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let read = rows
            .into_iter()
            .map(|row| (row.tenant_id, row.webhook_secret_id, Sealed(row.secret)));
        Ok(read.collect())
    }

    /// Puts the same secret, sealed anew. `false`: it is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn webhook_secret_reseal(
        &self,
        id: Uuid,
        sealed: &Sealed,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update webhook_secrets set secret = $2 where webhook_secret_id = $1",
            id,
            sealed.0
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes an attempt down beside what became of its delivery ([`Store::outbox_close`]).
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn delivery_attempted(&self, id: Uuid, came: &Came) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            insert into outbox_attempts (outbox_id, n, took_ms, status, answer, error)
            select o.outbox_id, coalesce((select max(n) from outbox_attempts where outbox_id = $1), 0) + 1, $2, $3, left($4, 1000), left($5, 1000)
            from outbox o where o.outbox_id = $1 on conflict do nothing
            "#,
            id,
            came.took_ms,
            came.status,
            came.answer,
            came.error,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A delivery that was claimed and not tried: again after so long, and it counts as no attempt. `why`: for people.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: its claim ends by itself.
    pub async fn delivery_put_off(
        &self,
        id: Uuid,
        wait: Duration,
        why: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            update outbox set attempts = attempts - 1, next_at = now() + make_interval(secs => $2), last_error = coalesce($3, last_error)
            where outbox_id = $1
            "#,
            id,
            wait.as_secs_f64(),
            why,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lists callbacks, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn deliveries(
        &self,
        scope: impl Into<Scope>,
        filter: &DeliveryFilter,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let scope = scope.into();
        let (after_at, after_id) = filter.after.unzip();
        let is = |status| filter.status.map(|wanted| wanted == status);
        let mut tx = self.seen_by(scope).await?;
        let rows = sqlx::query_as!(
            DeliveryRow,
            r#"
            select outbox_id as id, run_id, tenant_id, event, event_seq as seq, url, attempts, created_at, next_at, done_at, gave_up_at,
                   last_status, last_error
            from outbox
            where kind = 'callback' and ($1::uuid is null or tenant_id = $1) and ($2::uuid is null or run_id = $2)
              and coalesce($3 = (done_at is null and gave_up_at is null), true)
              and coalesce($4 = (done_at is not null), true) and coalesce($5 = (gave_up_at is not null), true)
              and ($6::timestamptz is null or (created_at, outbox_id) < ($6, $7::uuid)) and ($9::uuid is null or outbox_id = $9)
            order by created_at desc, outbox_id desc limit $8
            "#,
            scope.tenant(),
            filter.run,
            is(DeliveryStatus::Pending),
            is(DeliveryStatus::Delivered),
            is(DeliveryStatus::Failed),
            after_at,
            after_id,
            filter.limit,
            filter.id,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Every attempt of a callback, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn delivery_attempts(
        &self,
        scope: impl Into<Scope>,
        id: Uuid,
    ) -> Result<Vec<DeliveryAttempt>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let rows = sqlx::query_as!(
            DeliveryAttempt,
            "select n, at, took_ms, status, answer, error from outbox_attempts where outbox_id = $1 order by n",
            id
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Makes a callback due now, whatever became of it, under its own id. `false`: there is none of that id, or its run was
    /// deleted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: resend it again.
    pub async fn delivery_resend(
        &self,
        scope: impl Into<Scope>,
        id: Uuid,
    ) -> Result<bool, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let due = sqlx::query_scalar!(
            r#"
            with o as (update outbox set done_at = null, gave_up_at = null, attempts = 0, next_at = now(), resent_at = now()
                       where outbox_id = $1 and kind = 'callback' and url is not null returning outbox_id),
            hint as (select pg_notify('modelrow_outbox', '') from o)
            select true as "due!" from o left join hint on true
            "#,
            id
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(due.is_some())
    }
}
