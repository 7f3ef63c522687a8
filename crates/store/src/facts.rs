//! What happened outside: written by run and attempt, whatever happened to the
//! lease, the owner or `ver` meanwhile. Written twice, a fact changes nothing.
//! On [`StoreError::is_transient`] keep it and write it again.

use crate::artifacts::ArtifactRow;
use crate::{Outcome, Rule, State, Store, StoreError};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// "Accepted as job J."
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The run.
    pub run_id: Uuid,
    /// The attempt.
    pub n: i32,
    /// The provider's id.
    pub job: String,
    /// A shard of mine, or of any living worker.
    pub shard: i16,
    /// Serves every later request of the run.
    pub endpoint: String,
    /// Replaces what was captured; at most 64 KiB. Absent: it stays.
    pub captured: Option<Value>,
    /// From now; when the caller is told that it is overdue. Absent: never.
    pub deadline: Option<Duration>,
    /// From now; before this the run does not end for time.
    pub give_up: Duration,
    /// Absent for a job found by look-up.
    pub http_status: Option<i16>,
    /// Found by look-up, list or callback, not in the sender's own answer.
    pub adopted: bool,
}

/// What a written acceptance came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// The run follows the job.
    Follows {
        /// Its new version.
        ver: i64,
        /// The caller wants it canceled; the outbox holds that.
        cancel: bool,
    },
    /// The run had been canceled: it stays so, and the outbox cancels the job.
    CancelOnly,
    /// This very fact stands already.
    Already,
    /// Another live run follows this job: see [`Store::disown_adopted`] and [`Store::duplicate_job`].
    JobTaken,
    /// The attempt is closed in a way that contradicts the fact: an alarm, with the outcome that stands.
    Contradicts(Option<Outcome>),
}

/// "It was not sent", "it was refused".
#[derive(Debug, Clone)]
pub struct Closed {
    /// The run.
    pub run_id: Uuid,
    /// The attempt.
    pub n: i32,
    /// How.
    pub how: ClosedHow,
    /// The refusal's status.
    pub http_status: Option<i16>,
    /// The refusal's text, shortened.
    pub answer: Option<String>,
    /// What follows.
    pub then: Then,
}

/// How an attempt closed without a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedHow {
    /// Certainly not sent.
    NotSent,
    /// The provider said no.
    Refused,
}

/// What follows an attempt that was closed without a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Wait so long, then try again.
    Again(Duration),
    /// The run goes on under its fallback, at once; it fails with `failure` where that may not be.
    Fallback {
        /// Under what.
        to: Fallback,
        /// Why.
        failure: Value,
    },
    /// The run fails with this.
    Fail(Value),
}

/// What a run goes on under when its target is not to be had. Only once in a run, only while the caller wants it and
/// `start_by` is not over, and never beside a file that is kept or an attempt that was written off.
#[derive(Debug, Clone, PartialEq)]
pub struct Fallback {
    /// What it runs under from now on.
    pub revision_id: Vec<u8>,
    /// Whose credential it uses.
    pub credential_id: Uuid,
    /// Body of the event `fallback`: from what, to what, and why.
    pub told: Value,
}

impl Fallback {
    /// Revision, credential and event, for a statement; three nulls: none is declared.
    pub(crate) fn parts(of: Option<&Self>) -> (Option<&[u8]>, Option<Uuid>, Option<&Value>) {
        of.map_or((None, None, None), |to| {
            let revision = to.revision_id.as_slice();
            (Some(revision), Some(to.credential_id), Some(&to.told))
        })
    }
}

/// A state and version that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Where the run stands now.
    pub state: State,
    /// Its new version.
    pub ver: i64,
}

impl Moved {
    pub(crate) fn of(state: &str, ver: i64) -> Result<Self, StoreError> {
        let state = State::parse(state)?;
        Ok(Self { state, ver })
    }
}

/// "The answer is this": a synchronous one.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The run.
    pub run_id: Uuid,
    /// The attempt.
    pub n: i32,
    /// A shard of mine, or of any living worker.
    pub shard: i16,
    /// Where it came from.
    pub endpoint: String,
    /// The answer when small, else where it is stored.
    pub captured: Value,
    /// Its status.
    pub http_status: Option<i16>,
}

/// "The exchange ended without a verdict."
#[derive(Debug, Clone)]
pub struct Unknown {
    /// The run.
    pub run_id: Uuid,
    /// The attempt.
    pub n: i32,
    /// A shard of mine, or of any living worker.
    pub shard: i16,
    /// Status, when one came.
    pub http_status: Option<i16>,
    /// What came, shortened.
    pub answer: Option<String>,
}

/// "File F is here."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The run.
    pub run_id: Uuid,
    /// Name of the artifact.
    pub name: String,
    /// Its number under that name, from 0.
    pub idx: i32,
    /// One per fetch.
    pub object_key: String,
    /// Of its bytes.
    pub sha256: Vec<u8>,
    /// Length.
    pub bytes: i64,
    /// As checked.
    pub content_type: String,
    /// From now; absent: kept.
    pub keep: Option<Duration>,
}

impl Store {
    /// Writes an acceptance, its event, and the cancel that waits for it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again. [`Rule::CapturedTooLarge`].
    pub async fn fact_accepted(&self, fact: &Accepted) -> Result<Acceptance, StoreError> {
        let written = sqlx::query!(
            r#"
            with old as (select state from run_states where run_id = $1),
            att as (
                update submit_attempts set outcome = 'accepted', sender_ended = sender_ended or not $10, adopted = $10,
                    provider_job_id = $3, http_status = coalesce($9, http_status), ended_at = coalesce(ended_at, now())
                where run_id = $1 and n = $2 and outcome in ('pending', 'unknown') returning run_id),
            st as (
                update run_states s set state = case s.state when 'canceled' then 'canceled' else 'polling' end,
                    ended_at = case s.state when 'canceled' then s.ended_at end, failure = null,
                    ver = s.ver + 1, shard = $4, worker_id = null, endpoint = $5, provider_job_id = $3, captured = coalesce($6, s.captured), spent = 'yes',
                    accepted_at = now(), deadline_at = now() + make_interval(secs => $7), give_up_at = now() + make_interval(secs => $8),
                    overdue_at = null, event_seq = s.event_seq + 1
                from att where s.run_id = att.run_id and s.attempt = $2
                  and (s.state in ('submitting', 'submit_unknown', 'canceled')
                       or (s.state = 'failed' and s.failure ->> 'code' = 'unknown_outcome'))
                returning s.run_id, s.tenant_id, s.ver, s.state, s.event_seq, s.cancel_requested_at is not null or s.state = 'canceled' as cancel),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select run_id, event_seq, tenant_id, case old.state when 'failed' then 'reopened' else 'accepted' end,
                          jsonb_build_object('job', $3::text) from st, old),
            ob as (insert into outbox (outbox_id, run_id, tenant_id, kind, event_seq, event)
                   select gen_random_uuid(), run_id, tenant_id, 'cancel', event_seq, 'cancel' from st where cancel on conflict do nothing),
            cb as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.reopened', r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id), old
                   where old.state = 'failed' and st.state <> 'failed' and r.request -> 'callback' ->> 'url' is not null)
            select ver as "ver!", state as "state!", cancel as "cancel!" from st
            "#,
            fact.run_id,
            fact.n,
            fact.job,
            fact.shard,
            fact.endpoint,
            fact.captured,
            fact.deadline.map(|d| d.as_secs_f64()),
            fact.give_up.as_secs_f64(),
            fact.http_status,
            fact.adopted,
        )
        .fetch_optional(&self.pool)
        .await;
        match written.map_err(StoreError::from) {
            Ok(Some(row)) if row.state == State::Canceled.as_str() => Ok(Acceptance::CancelOnly),
            Ok(Some(row)) => Ok(Acceptance::Follows {
                ver: row.ver,
                cancel: row.cancel,
            }),
            Ok(None) => self.acceptance_stands(fact).await,
            Err(StoreError::Broken(Rule::OneRunPerJob)) => Ok(Acceptance::JobTaken),
            Err(error) => Err(error),
        }
    }

    /// No row was written: my own earlier commit, or a contradiction.
    async fn acceptance_stands(&self, fact: &Accepted) -> Result<Acceptance, StoreError> {
        let row = sqlx::query!(
            "select outcome, provider_job_id from submit_attempts where run_id = $1 and n = $2",
            fact.run_id,
            fact.n,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(Acceptance::Contradicts(None));
        };
        let outcome = Outcome::parse(&row.outcome)?;
        let same = row.provider_job_id.as_deref() == Some(fact.job.as_str())
            && matches!(outcome, Outcome::Accepted | Outcome::JobFailed);
        Ok(if same {
            Acceptance::Already
        } else {
            Acceptance::Contradicts(Some(outcome))
        })
    }

    /// Writes "not sent" or "refused". It frees the run only if nobody has begun a replay. `None`: it changed nothing (a
    /// replay began, or the fact stands already). A caller's cancel makes the run `canceled` instead. A fallback begins
    /// with an empty record: what the target's steps captured means nothing to it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again.
    pub async fn fact_closed(&self, fact: &Closed) -> Result<Option<Moved>, StoreError> {
        let outcome = match fact.how {
            ClosedHow::NotSent => Outcome::NotSent,
            ClosedHow::Refused => Outcome::Refused,
        };
        let (state, wait, failure, fallback) = match &fact.then {
            Then::Again(wait) => (State::Queued, Some(*wait), None, None),
            Then::Fallback { to, failure } => (State::Failed, None, Some(failure), Some(to)),
            Then::Fail(failure) => (State::Failed, None, Some(failure), None),
        };
        let (revision, credential, told) = Fallback::parts(fallback);
        let row = sqlx::query!(
            r#"
            with att as (update submit_attempts set outcome = $3, sender_ended = true, http_status = $4, answer = $5, ended_at = now()
                         where run_id = $1 and n = $2 and outcome in ('pending', 'unknown') and replays = 0 and $3 in ('not_sent', 'refused')
                         returning run_id),
            may as (select run_id, $9::bytea is not null and run_may_fall_back(run_id, $9, $10) as fall from att),
            st as (
                update run_states s set
                    state = case when s.cancel_requested_at is not null then 'canceled' when may.fall then 'queued' else $6 end, ver = s.ver + 1,
                    worker_id = null, shard = null,
                    not_before = case when may.fall then now() else coalesce(now() + make_interval(secs => $7), s.not_before) end,
                    failure = case when s.cancel_requested_at is null and not may.fall then $8::jsonb end,
                    spent = case when exists (select 1 from submit_attempts p where p.run_id = $1 and p.n < $2
                                              and p.outcome in ('job_failed', 'written_off')) then s.spent else 'none' end,
                    revision_id = case when may.fall then $9 else s.revision_id end,
                    credential_id = case when may.fall then $10 else s.credential_id end,
                    captured = case when not may.fall then s.captured end,
                    ended_at = case when s.cancel_requested_at is not null or $6 = 'failed' and not may.fall then now() end,
                    event_seq = s.event_seq + case when s.cancel_requested_at is not null or $6 = 'failed' then 1 else 0 end
                from may where s.run_id = may.run_id and s.attempt = $2 and s.state in ('submitting', 'submit_unknown') and $6 in ('queued', 'failed')
                returning s.run_id, s.tenant_id, s.event_seq, s.state, s.ver, s.failure, may.fall),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select run_id, event_seq, tenant_id, case state when 'queued' then 'fallback' else state end,
                          case state when 'queued' then $11::jsonb else coalesce(failure, '{}') end
                   from st where state <> 'queued' or fall),
            ob as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.' || st.state, r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id) where st.state <> 'queued' and r.request -> 'callback' ->> 'url' is not null)
            select state as "state!", ver as "ver!" from st
            "#,
            fact.run_id,
            fact.n,
            outcome.as_str(),
            fact.http_status,
            fact.answer,
            state.as_str(),
            wait.map(|w| w.as_secs_f64()),
            failure,
            revision,
            credential,
            told,
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Moved::of(&row.state, row.ver)).transpose()
    }

    /// Writes a synchronous answer with its acceptance, in one statement. `None`: it stands already, or the attempt is
    /// closed. The run's new version otherwise.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again. [`Rule::CapturedTooLarge`]: store it as an object first.
    pub async fn fact_answered(&self, fact: &Answered) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with att as (update submit_attempts set outcome = 'accepted', sender_ended = true, http_status = $5, ended_at = now()
                         where run_id = $1 and n = $2 and outcome in ('pending', 'unknown') returning run_id)
            update run_states s set state = 'validating', ver = s.ver + 1, shard = $3, worker_id = null, captured = $4, endpoint = $6,
                spent = 'yes', accepted_at = now(), failure = null, ended_at = null
            from att where s.run_id = att.run_id and s.attempt = $2
              and (s.state in ('submitting', 'submit_unknown') or (s.state = 'failed' and s.failure ->> 'code' = 'unknown_outcome'))
            returning s.ver
            "#,
            fact.run_id,
            fact.n,
            fact.shard,
            fact.captured,
            fact.http_status,
            fact.endpoint,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Writes that the sender saw its exchange end without a verdict, even after a sweep. `Some`: the run is `submit_unknown`
    /// in the fact's shard, with this version, also where an earlier write of the fact said so; `None`: it stands in another
    /// shard, whose owner reads it again for its new version: only now may absence prove something.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again.
    pub async fn fact_unknown(&self, fact: &Unknown) -> Result<Option<i64>, StoreError> {
        let written = sqlx::query_scalar!(
            r#"
            with att as (update submit_attempts set outcome = 'unknown', sender_ended = true, http_status = $4, answer = $5, ended_at = now()
                         where run_id = $1 and n = $2 and outcome in ('pending', 'unknown') and not sender_ended returning run_id)
            update run_states s set state = 'submit_unknown', ver = s.ver + 1, shard = case s.state when 'submitting' then $3 else s.shard end,
                worker_id = null, spent = case s.spent when 'yes' then 'yes' else 'maybe' end
            from att where s.run_id = att.run_id and s.attempt = $2 and s.state in ('submitting', 'submit_unknown')
            returning case when s.shard = $3 then s.ver end as ver
            "#,
            fact.run_id,
            fact.n,
            fact.shard,
            fact.http_status,
            fact.answer,
        )
        .fetch_optional(&self.pool)
        .await?;
        match written {
            Some(ver) => Ok(ver),
            None => self.unknown_stands(fact).await,
        }
    }

    /// No row was written: my own earlier commit, whose answer was lost, or somebody was first.
    async fn unknown_stands(&self, fact: &Unknown) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select s.ver from run_states s join submit_attempts a on a.run_id = s.run_id and a.n = s.attempt
            where s.run_id = $1 and s.attempt = $2 and s.state = 'submit_unknown' and s.shard = $3 and a.outcome = 'unknown'
              and a.sender_ended and a.replays = 0
            "#,
            fact.run_id,
            fact.n,
            fact.shard,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Writes an artifact. The first good copy wins, whatever its `ver`: returns the row that stands. When its object is
    /// another than the fact's, the caller deletes its own. `None`: the run is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again.
    pub async fn fact_fetched(&self, fact: &Fetched) -> Result<Option<ArtifactRow>, StoreError> {
        let written = sqlx::query_as!(
            ArtifactRow,
            r#"
            insert into artifacts (run_id, name, idx, tenant_id, object_key, sha256, bytes, content_type, delete_after)
            select $1, $2, $3, tenant_id, $4, $5, $6, $7, now() + make_interval(secs => $8) from run_states
            where run_id = $1 and erased_at is null
            on conflict (run_id, name, idx) do nothing
            returning name, idx, object_key, sha256, bytes, content_type, created_at, delete_after
            "#,
            fact.run_id,
            fact.name,
            fact.idx,
            fact.object_key,
            fact.sha256,
            fact.bytes,
            fact.content_type,
            fact.keep.map(|d| d.as_secs_f64()),
        )
        .fetch_optional(&self.pool)
        .await?;
        if written.is_some() {
            return Ok(written);
        }
        // A row in the way is committed by now: the insert waited for it.
        Ok(sqlx::query_as!(
            ArtifactRow,
            r#"
            select name, idx, object_key, sha256, bytes, content_type, created_at, delete_after
            from artifacts where run_id = $1 and name = $2 and idx = $3 and deleted_at is null
            "#,
            fact.run_id,
            fact.name,
            fact.idx,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The job that this acceptance names is followed by another live run that had only adopted it: that run becomes
    /// unknown again, and the fact can be written. `None`: the other's claim is as good as ours.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn disown_adopted(
        &self,
        credential: Uuid,
        job: &str,
        not_run: Uuid,
    ) -> Result<Option<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with other as (
                select s.run_id, s.attempt from run_states s join submit_attempts a on a.run_id = s.run_id and a.n = s.attempt
                where s.credential_id = $1 and s.provider_job_id = $2 and s.run_id <> $3 and s.state in ('polling', 'fetching')
                  and a.outcome = 'accepted' and a.adopted for update of s),
            att as (update submit_attempts a set outcome = 'unknown', adopted = false, provider_job_id = null from other
                    where a.run_id = other.run_id and a.n = other.attempt returning a.run_id)
            update run_states s set state = 'submit_unknown', ver = s.ver + 1, provider_job_id = null, accepted_at = null,
                deadline_at = null, give_up_at = null, spent = 'maybe'
            from att where s.run_id = att.run_id returning s.run_id
            "#,
            credential,
            job,
            not_run,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Ends the run with `failure`: another live run follows its job. `None`: it stands already.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again.
    pub async fn duplicate_job(
        &self,
        run: Uuid,
        n: i32,
        job: &str,
        failure: &Value,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with att as (update submit_attempts set outcome = 'accepted', sender_ended = true, provider_job_id = $3, ended_at = now()
                         where run_id = $1 and n = $2 and outcome in ('pending', 'unknown') returning run_id),
            st as (
                update run_states s set state = 'failed', ver = s.ver + 1, worker_id = null, shard = null, provider_job_id = $3,
                    spent = 'maybe', ended_at = now(), event_seq = s.event_seq + 1,
                    failure = $4
                from att where s.run_id = att.run_id and s.attempt = $2 and s.state in ('submitting', 'submit_unknown')
                returning s.run_id, s.tenant_id, s.event_seq, s.ver, s.failure),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body) select run_id, event_seq, tenant_id, 'failed', failure from st),
            cb as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.failed', r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id) where r.request -> 'callback' ->> 'url' is not null)
            select ver as "ver!" from st
            "#,
            run,
            n,
            job,
            failure,
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}
