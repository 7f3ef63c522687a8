//! What a worker remembers of runs that this database knows less of: it went back in time, to a backup or a standby that lagged.

use crate::claim::Intent;
use crate::{State, Store, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// An attempt as a worker's memory has it.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// What was sent. Without a hash, which a waiting run does not keep, it is never replayed.
    pub intent: Intent,
    /// Whose run it is.
    pub tenant_id: Uuid,
    /// Whose key it was sent with.
    pub credential_id: Uuid,
    /// What it was rendered from.
    pub revision_id: Vec<u8>,
    /// The run's version, as last written or read.
    pub ver: i64,
}

/// What the database made of a remembered attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It has the attempt.
    Stands,
    /// It had lost it, and has it again: unknown, its run `submit_unknown` and held. A run that was canceled meanwhile stays so.
    Again,
    /// The run has a later attempt, or ended otherwise.
    Passed,
    /// It has no such run, or not what the attempt was made from.
    NoRun,
}

/// Where a run stands, as far as memory can be compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The run.
    pub run_id: Uuid,
    /// Counts state changes.
    pub ver: i64,
    /// Its last attempt.
    pub attempt: i32,
    /// The job that it follows or followed.
    pub provider_job_id: Option<String>,
}

/// A job, or an attempt of which nobody knows, without a run that follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct OrphanedJob {
    /// The run that it was made for.
    pub run_id: Uuid,
    /// The attempt.
    pub n: i32,
    /// Whose run it was.
    pub tenant_id: Uuid,
    /// Whose key it was sent with.
    pub credential_id: Uuid,
    /// Where it was sent.
    pub endpoint: String,
    /// The provider's id, where it gave one.
    pub provider_job_id: Option<String>,
    /// What was known of it.
    pub captured: Option<Value>,
    /// When it was written down.
    pub noted_at: OffsetDateTime,
}

impl Store {
    /// Writes an attempt again that the database has lost, with what it says of the run: `submit_unknown` in `shard`, and held.
    /// The fact of what came of it can then be written as any other. What the run had tried before is over, and may have been
    /// paid for. Done twice, it changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again. [`StoreError::UnknownWord`].
    pub async fn attempt_again(&self, of: &Remembered, shard: i16) -> Result<Known, StoreError> {
        let (run, n) = (of.intent.run_id, of.intent.n);
        let mut tx = self.pool.begin().await?;
        // A statement of its own: what is read next is not older than the lock.
        let locked = sqlx::query!(
            "select state, attempt from run_states where run_id = $1 for update",
            run
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(locked) = locked else {
            return Ok(Known::NoRun);
        };
        let found = sqlx::query!(
            r#"
            select exists (select 1 from submit_attempts where run_id = $1 and n = $2) as "stands!",
                   exists (select 1 from revisions where revision_id = $3)
                   and exists (select 1 from provider_api_credentials where id = $4) as "has_parts!"
            "#,
            run,
            n,
            of.revision_id,
            of.credential_id,
        )
        .fetch_one(&mut *tx)
        .await?;
        if found.stands {
            return Ok(Known::Stands);
        }
        if !found.has_parts {
            return Ok(Known::NoRun);
        }
        let state = State::parse(&locked.state)?;
        if locked.attempt >= n || matches!(state, State::Succeeded | State::Failed) {
            return Ok(Known::Passed);
        }
        sqlx::query!(
            r#"
            update submit_attempts set outcome = 'written_off'
            where run_id = $1 and outcome in ('pending', 'accepted', 'unknown')
            "#,
            run
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            r#"
            with att as (
                insert into submit_attempts (run_id, n, token, revision_id, credential_id, endpoint, request_sha256, drawn, worker_id, outcome)
                values ($1, $2, $3, $4, $5, $6, $7, $8, '00000000-0000-0000-0000-000000000000', 'unknown') returning run_id)
            update run_states s set state = case s.state when 'canceled' then 'canceled' else 'submit_unknown' end,
                held = s.state <> 'canceled', ver = greatest(s.ver, $9) + 1, attempt = $2, shard = case s.state when 'canceled' then s.shard else $10 end,
                worker_id = null, revision_id = $4, credential_id = $5, provider_job_id = null, accepted_at = null, deadline_at = null,
                give_up_at = null, spent = case s.spent when 'yes' then 'yes' else 'maybe' end
            from att where s.run_id = att.run_id
            "#,
            run,
            n,
            of.intent.token,
            of.revision_id,
            of.credential_id,
            of.intent.endpoint,
            of.intent.request_sha256,
            of.intent.drawn,
            of.ver,
            shard,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Known::Again)
    }

    /// Where these runs stand; those that are not there are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn standings(&self, runs: &[Uuid]) -> Result<Vec<Standing>, StoreError> {
        Ok(sqlx::query_as!(
            Standing,
            "select run_id, ver, attempt, provider_job_id from run_states where run_id = any($1)",
            runs
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Writes down what was sent and has no run, for an operator. Again, it adds what is known by now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again.
    pub async fn orphan_note(
        &self,
        of: &Remembered,
        job: Option<&str>,
        captured: Option<&Value>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            insert into orphaned_jobs (run_id, n, tenant_id, credential_id, endpoint, provider_job_id, captured)
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (run_id, n) do update set provider_job_id = coalesce(excluded.provider_job_id, orphaned_jobs.provider_job_id),
                captured = coalesce(excluded.captured, orphaned_jobs.captured)
            "#,
            of.intent.run_id,
            of.intent.n,
            of.tenant_id,
            of.credential_id,
            of.intent.endpoint,
            job,
            captured,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What was sent and has no run, the latest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn orphans(&self) -> Result<Vec<OrphanedJob>, StoreError> {
        Ok(sqlx::query_as!(
            OrphanedJob,
            r#"
            select run_id, n, tenant_id, credential_id, endpoint, provider_job_id, captured, noted_at
            from orphaned_jobs order by noted_at desc, run_id limit 1000
            "#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// An operator has dealt with what was sent for this run, as `by`. `false`: nothing was noted of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn orphan_forget(&self, run: Uuid, by: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with gone as (delete from orphaned_jobs where run_id = $1 returning run_id, tenant_id, n, endpoint, provider_job_id),
            au as (insert into audit_log (tenant_id, actor, action, object, before)
                   select tenant_id, $2, 'orphan.forget', 'run/' || run_id || '/' || n,
                          jsonb_build_object('endpoint', endpoint, 'job', provider_job_id) from gone)
            select exists (select 1 from gone) as "gone!"
            "#,
            run,
            by,
        )
        .fetch_one(&self.pool)
        .await?)
    }
}
