//! What an operator says about runs that the program must not decide for: unknown outcomes, and runs held after a restore.
//! Each is a decision, guarded by `state` and `ver`; who said so and why stands in the run's timeline.

use crate::{State, Store, StoreError};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// "The provider has the job, and its id is J."
#[derive(Debug, Clone)]
pub struct ResolvedAccepted<'a> {
    /// The run.
    pub run_id: Uuid,
    /// The attempt whose outcome is unknown.
    pub n: i32,
    /// As read.
    pub ver: i64,
    /// The provider's id.
    pub job: &'a str,
    /// For a run that has none: a shard of a living worker.
    pub shard: i16,
    /// From now; when the caller is told that it is overdue.
    pub deadline: Duration,
    /// From now; before this the run does not end for time.
    pub give_up: Duration,
    /// For the timeline.
    pub note: &'a Value,
}

impl Store {
    /// The run follows the job from now on: one whose outcome is unknown, or one that failed because it was, which is
    /// reopened. `None`: it stands elsewhere, its version is another, or an attempt of this credential had the job before.
    ///
    /// # Errors
    ///
    /// [`crate::Rule::OneRunPerJob`]: another live run follows the job. [`StoreError::Unreachable`].
    pub async fn resolve_accepted(
        &self,
        said: &ResolvedAccepted<'_>,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with st as (
                select s.run_id, s.state from run_states s
                where s.run_id = $1 and s.attempt = $2 and s.ver = $3 and s.erased_at is null
                  and (s.state = 'submit_unknown' or (s.state = 'failed' and s.failure ->> 'code' = 'unknown_outcome'))
                  and not exists (select 1 from submit_attempts o where o.credential_id = s.credential_id and o.provider_job_id = $4)
                for update),
            att as (
                update submit_attempts a set outcome = 'accepted', adopted = true, provider_job_id = $4, ended_at = coalesce(a.ended_at, now())
                from st where a.run_id = st.run_id and a.n = $2 and a.outcome = 'unknown' returning a.run_id, a.endpoint),
            moved as (
                update run_states s set state = 'polling', ver = s.ver + 1, shard = coalesce(s.shard, $5), worker_id = null,
                    endpoint = att.endpoint, provider_job_id = $4, spent = 'yes', failure = null, ended_at = null, overdue_at = null,
                    accepted_at = now(), deadline_at = now() + make_interval(secs => $6), give_up_at = now() + make_interval(secs => $7),
                    event_seq = s.event_seq + 1
                from att where s.run_id = att.run_id
                returning s.run_id, s.tenant_id, s.ver, s.event_seq, s.cancel_requested_at is not null as cancel),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select m.run_id, m.event_seq, m.tenant_id, case st.state when 'failed' then 'reopened' else 'accepted' end, $8
                   from moved m join st using (run_id)),
            cn as (insert into outbox (run_id, tenant_id, kind, event_seq, event)
                   select run_id, tenant_id, 'cancel', event_seq, 'cancel' from moved where cancel on conflict do nothing),
            cb as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select m.run_id, m.tenant_id, 'callback', m.event_seq, 'run.reopened', r.request -> 'callback' ->> 'url'
                   from moved m join st using (run_id) join runs r using (run_id)
                   where st.state = 'failed' and r.request -> 'callback' ->> 'url' is not null),
            hint as (select pg_notify('modelrow_look', run_id::text) from moved)
            select ver as "ver!" from moved left join hint on true
            "#,
            said.run_id,
            said.n,
            said.ver,
            said.job,
            said.shard,
            said.deadline.as_secs_f64(),
            said.give_up.as_secs_f64(),
            said.note,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The provider does not have the job: the attempt is written off and the run queued. `None`: its outcome is not unknown
    /// (any more), or its version is another.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn resolve_not_accepted(
        &self,
        run: Uuid,
        n: i32,
        ver: i64,
        note: &Value,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with st as (select run_id from run_states where run_id = $1 and attempt = $2 and state = 'submit_unknown' and ver = $3 for update),
            att as (update submit_attempts a set outcome = 'written_off' from st
                    where a.run_id = st.run_id and a.n = $2 and a.outcome = 'unknown' returning a.run_id),
            moved as (update run_states s set state = 'queued', ver = s.ver + 1, shard = null, spent = 'maybe', event_seq = s.event_seq + 1
                      from att where s.run_id = att.run_id returning s.run_id, s.tenant_id, s.ver, s.event_seq),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select run_id, event_seq, tenant_id, 'resolved', $4 from moved),
            hint as (select pg_notify('modelrow_queue', '') from moved)
            select ver as "ver!" from moved left join hint on true
            "#,
            run,
            n,
            ver,
            note,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Runs whose attempts of this credential had a job, the latest first; one is enough to know that it is taken.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn runs_of_job(&self, credential: Uuid, job: &str) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select run_id from submit_attempts where credential_id = $1 and provider_job_id = $2 order by sent_at desc limit 5
            "#,
            credential,
            job,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Lets held runs go on, all or those named, with `note` in the timeline of each; those that were released now, and
    /// where they stand. What is queued of them may be sent at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn runs_release(
        &self,
        runs: Option<&[Uuid]>,
        note: &Value,
    ) -> Result<Vec<(Uuid, State)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            with st as (
                update run_states set held = false, event_seq = event_seq + 1
                where held and ended_at is null and ($1::uuid[] is null or run_id = any($1))
                returning run_id, tenant_id, event_seq, state),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select run_id, event_seq, tenant_id, 'released', $2 from st),
            hint as (select pg_notify('modelrow_queue', '') from st limit 1)
            select run_id as "run_id!", state as "state!" from st left join hint on true
            "#,
            runs,
            note,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| Ok((row.run_id, State::parse(&row.state)?)))
            .collect()
    }
}
