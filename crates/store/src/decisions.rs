//! What we decide: guarded by `state` and `ver`. `None` means that the actor
//! is stale: it reads the run again and lets go. Each locks the run first, so
//! that an attempt never changes under a decision that then finds itself stale.

use crate::connect::DURABLY;
use crate::facts::{Fallback, Fetched, Moved};
use crate::{State, Store, StoreError};
use serde_json::Value;
use sqlx::PgConnection;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// The attempt that a replay sends again: same bytes, token, endpoint, credential.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Function of run and `n`.
    pub token: Uuid,
    /// To be checked against the bytes that are rendered again.
    pub request_sha256: Vec<u8>,
    /// What the rendering drew.
    pub drawn: Value,
    /// Where it goes.
    pub endpoint: String,
    /// Whose key.
    pub credential_id: Uuid,
    /// What it was rendered from.
    pub revision_id: Vec<u8>,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run_id: Uuid,
    /// The attempt whose end it is: what became of another's job says nothing about the one that is followed now.
    pub n: i32,
    /// As read, where the end is a decision of ours; absent for what the provider did, which is as good from a former owner.
    pub ver: Option<i64>,
    /// Where it is expected to stand.
    pub from: State,
    /// `Succeeded`, `Failed` or `Canceled`.
    pub to: State,
    /// Replaces what was captured (the output is a part of it); absent: stays.
    pub captured: Option<Value>,
    /// Why it failed.
    pub failure: Option<Value>,
    /// What the cleanup at the provider needs; absent: none is declared.
    pub cleanup: Option<Value>,
    /// The last file, whose fact is written in the same statement; absent: every file's stands already.
    pub file: Option<Fetched>,
    /// The submit's own answer, whose fact is written in the same statement; absent: it stands already.
    pub answer: Option<Came>,
}

/// What the statement that ended a run left in its row, beside what it was told to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Counts state changes.
    pub ver: i64,
    /// Number of the end's event.
    pub event_seq: i32,
    /// No new attempt without an operator.
    pub held: bool,
    /// When that was.
    pub at: OffsetDateTime,
}

/// A synchronous answer came: what is written of it beside its content, which is the end's `captured`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// From where.
    pub endpoint: String,
    /// Its status.
    pub http_status: Option<i16>,
}

/// The provider says that the job failed.
#[derive(Debug, Clone)]
pub struct JobFailed {
    /// The run.
    pub run_id: Uuid,
    /// The attempt that was accepted.
    pub n: i32,
    /// As read.
    pub ver: i64,
    /// Its code, class and message.
    pub failure: Value,
    /// What it goes on under; absent: the run fails.
    pub fallback: Option<Fallback>,
}

impl Store {
    /// Proved absent: the run is queued again. Only when the sender itself saw its exchange end, `visible_after` ago or
    /// more, and no replay has begun.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn settle_absent(
        &self,
        run: Uuid,
        n: i32,
        ver: i64,
        visible_after: Duration,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with st as (select run_id from run_states where run_id = $1 and attempt = $2 and state = 'submit_unknown' and ver = $3 for update),
            att as (update submit_attempts a set outcome = 'not_sent' from st
                    where a.run_id = st.run_id and a.n = $2 and outcome = 'unknown' and sender_ended and replays = 0
                      and ended_at < now() - make_interval(secs => $4)
                    returning a.run_id)
            update run_states s set state = 'queued', ver = s.ver + 1, shard = null,
                spent = case when exists (select 1 from submit_attempts p where p.run_id = $1 and p.n < $2
                                          and p.outcome in ('job_failed', 'written_off')) then s.spent else 'none' end
            from att where s.run_id = att.run_id returning s.ver
            "#,
            run,
            n,
            ver,
            visible_after.as_secs_f64(),
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Nothing settled it: it fails visibly as `unknown_outcome`, with all that is known in `failure` (whose `code` is set here).
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn settle_gave_up(
        &self,
        run: Uuid,
        ver: i64,
        failure: &Value,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with st as (
                update run_states set state = 'failed', ver = ver + 1, ended_at = now(), shard = null,
                    spent = case spent when 'yes' then 'yes' else 'maybe' end,
                    failure = $3::jsonb || '{"code": "unknown_outcome"}', event_seq = event_seq + 1
                where run_id = $1 and ver = $2 and state = 'submit_unknown' returning run_id, tenant_id, event_seq, ver, failure),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body) select run_id, event_seq, tenant_id, 'failed', failure from st),
            ob as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.failed', r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id) where r.request -> 'callback' ->> 'url' is not null)
            select ver as "ver!" from st
            "#,
            run,
            ver,
            failure,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The profile's `on_unknown: repeat`, or an operator: the attempt is written off and the run queued.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn settle_written_off(
        &self,
        run: Uuid,
        n: i32,
        ver: i64,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with st as (select run_id from run_states where run_id = $1 and attempt = $2 and state = 'submit_unknown' and ver = $3 for update),
            att as (update submit_attempts a set outcome = 'written_off' from st
                    where a.run_id = st.run_id and a.n = $2 and outcome = 'unknown' returning a.run_id)
            update run_states s set state = 'queued', ver = s.ver + 1, shard = null,
                spent = case s.spent when 'yes' then 'yes' else 'maybe' end
            from att where s.run_id = att.run_id returning s.ver
            "#,
            run,
            n,
            ver,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Whether a candidate of the provider's list may be adopted: no attempt ever had it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn settle_candidate_free(
        &self,
        credential: Uuid,
        job: &str,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select not exists (select 1 from submit_attempts where credential_id = $1 and provider_job_id = $2) as "free!""#,
            credential,
            job,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Whether another run may have made the job that a list showed, first `sighted_ago`: one of the same credential whose
    /// attempt is not settled and was sent before that. Held runs count, and so do those that failed or were written off
    /// without an answer, unless they had ended an hour before this attempt was sent: a list's `select` looks back no
    /// further. What is sent after the job was seen cannot have made it (a second is left for the clocks).
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn settle_contested(
        &self,
        run: Uuid,
        n: i32,
        sighted_ago: Duration,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select exists (
                select 1 from submit_attempts mine
                join submit_attempts other on other.credential_id = mine.credential_id and other.run_id <> mine.run_id
                join run_states s on s.run_id = other.run_id
                where mine.run_id = $1 and mine.n = $2 and other.outcome in ('pending', 'unknown', 'written_off')
                  and other.sent_at <= now() - make_interval(secs => $3) + interval '1 second'
                  and coalesce(s.ended_at > mine.sent_at - interval '1 hour', true)) as "contested!"
            "#,
            run,
            n,
            sighted_ago.as_secs_f64(),
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Counts a replay, durably, before it is sent. `None`: the attempt is settled, or older than `key_life`; or the run is
    /// held or paused ([`Store::run_is_braked`]).
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: in doubt; send nothing. The count may have gone up, which only forbids more.
    pub async fn replay_intend(
        &self,
        run: Uuid,
        n: i32,
        key_life: Duration,
    ) -> Result<Option<Replay>, StoreError> {
        let mut tx = self.pool.begin_with(DURABLY).await?;
        let replay = sqlx::query_as!(
            Replay,
            r#"
            with st as (
                select s.run_id from run_states s where s.run_id = $1 and s.attempt = $2 and s.state = 'submit_unknown' and not s.held
                  and not is_paused(s.credential_id, s.tenant_id)
                for update)
            update submit_attempts a set replays = replays + 1 from st
            where a.run_id = st.run_id and a.n = $2 and outcome = 'unknown' and sent_at > now() - make_interval(secs => $3)
            returning token, request_sha256, drawn, endpoint, credential_id, revision_id
            "#,
            run,
            n,
            key_life.as_secs_f64(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(replay)
    }

    /// Starts or restarts a fetch; the new `ver` goes into the objects' keys. `expires_in`: when the result expires at the provider.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn fetch_start(
        &self,
        run: Uuid,
        ver: i64,
        captured: Option<&Value>,
        expires_in: Option<Duration>,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            update run_states set state = 'fetching', ver = ver + 1, captured = coalesce($3, captured),
                result_expires_at = coalesce(now() + make_interval(secs => $4), result_expires_at)
            where run_id = $1 and ver = $2 and state in ('polling', 'fetching', 'validating') returning ver
            "#,
            run,
            ver,
            captured,
            expires_in.map(|d| d.as_secs_f64()),
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The address expired: back to polling, which asks for a new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn poll_again(&self, run: Uuid, ver: i64) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "update run_states set state = 'polling', ver = ver + 1 where run_id = $1 and ver = $2 and state = 'fetching' returning ver",
            run,
            ver,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The end, with its event, its callback, its cleanup and, where it waits for that, its last file or the submit's own answer. `ver` is asked where
    /// [`Ended`] has one: a former owner's copy of the result is as good, its failure to get one is not. `None`: it has ended
    /// already, another attempt or owner decides, another copy of the file stands, or its caller has canceled what is answered. Whether
    /// the fact stands is then asked by [`Store::fact_fetched`] or [`Store::fact_answered`], as after every error: it is never
    /// dropped with the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn run_ended(&self, end: &Ended) -> Result<Option<i64>, StoreError> {
        Ok(self.run_ends(end).await?.map(|left| left.ver))
    }

    /// The same, and what it left in the row.
    ///
    /// # Errors
    ///
    /// As [`Store::run_ended`].
    pub async fn run_ends(&self, end: &Ended) -> Result<Option<Left>, StoreError> {
        let (file, answer) = (end.file.as_ref(), end.answer.as_ref());
        Ok(sqlx::query_as!(
            Left,
            r#"
            with sent as (
                select run_id from run_states where $16::text is not null and run_id = $1 and state = $2 and attempt = $14
                  and cancel_requested_at is null for update),
            att as (
                update submit_attempts a set outcome = 'accepted', sender_ended = true, http_status = $17, ended_at = now() from sent
                where a.run_id = sent.run_id and a.n = $14 and a.outcome in ('pending', 'unknown') returning a.run_id),
            kept as (
                insert into artifacts (run_id, name, idx, tenant_id, object_key, sha256, bytes, content_type, delete_after)
                select $1, $7, $8, tenant_id, $9, $10, $11, $12, now() + make_interval(secs => $13) from run_states
                where run_id = $1 and erased_at is null and $7::text is not null
                on conflict (run_id, name, idx) do nothing returning run_id),
            st as (
                update run_states s set state = $3, ver = s.ver + 1, captured = coalesce($4, s.captured), failure = $5, ended_at = now(),
                    shard = null, worker_id = null, event_seq = s.event_seq + 1,
                    spent = case when $16::text is null then s.spent else 'yes' end, endpoint = coalesce($16, s.endpoint),
                    accepted_at = case when $16::text is null then s.accepted_at else now() end
                where s.run_id = $1 and s.state = $2 and $3 in ('succeeded', 'failed', 'canceled')
                  and s.attempt = $14 and ($15::bigint is null or s.ver = $15)
                  and ($7::text is null or exists (select 1 from kept)) and ($16::text is null or exists (select 1 from att))
                returning s.run_id, s.tenant_id, s.event_seq, s.ver, s.held, s.failure, s.credential_id, s.revision_id),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select run_id, event_seq, tenant_id, $3, coalesce(failure, '{}') from st),
            cb as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.' || $3, r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id) where r.request -> 'callback' ->> 'url' is not null),
            cl as (insert into outbox (run_id, tenant_id, kind, event_seq, event, payload)
                   select run_id, tenant_id, 'cleanup', event_seq, 'cleanup', $6::jsonb from st where $6::jsonb is not null),
            -- What a fallback made is no answer to the request that was asked.
            ca as (insert into result_cache (tenant_id, credential_id, revision_id, request_sha256, run_id)
                   select st.tenant_id, st.credential_id, st.revision_id, r.cache_key, st.run_id from st join runs r using (run_id)
                   where $3 = 'succeeded' and r.cache_key is not null and r.revision_id = st.revision_id
                   on conflict (tenant_id, credential_id, revision_id, request_sha256) do update set run_id = excluded.run_id)
            select ver as "ver!", event_seq as "event_seq!", held as "held!", now() as "at!" from st
            "#,
            end.run_id,
            end.from.as_str(),
            end.to.as_str(),
            end.captured,
            end.failure,
            end.cleanup,
            file.map(|file| file.name.as_str()),
            file.map(|file| file.idx),
            file.map(|file| file.object_key.as_str()),
            file.map(|file| file.sha256.as_slice()),
            file.map(|file| file.bytes),
            file.map(|file| file.content_type.as_str()),
            file.and_then(|file| file.keep).map(|keep| keep.as_secs_f64()),
            end.n,
            end.ver,
            answer.map(|came| came.endpoint.as_str()),
            answer.and_then(|came| came.http_status),
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The job failed. With a fallback the run is queued under the other revision with an empty record, its money counted
    /// as spent; without one, and where it may not be ([`Fallback`]), the run fails.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn job_failed(&self, failed: &JobFailed) -> Result<Option<Moved>, StoreError> {
        let (revision, credential, told) = Fallback::parts(failed.fallback.as_ref());
        let row = sqlx::query!(
            r#"
            with st as (select run_id from run_states where run_id = $1 and attempt = $2 and state in ('polling', 'fetching') and ver = $3 for update),
            att as (update submit_attempts a set outcome = 'job_failed' from st
                    where a.run_id = st.run_id and a.n = $2 and outcome = 'accepted' returning a.run_id),
            may as (select run_id, $5::bytea is not null and run_may_fall_back(run_id, $5, $6) as fall from att),
            moved as (
                update run_states s set state = case when may.fall then 'queued' else 'failed' end, ver = s.ver + 1, shard = null,
                    failure = case when not may.fall then $4::jsonb end,
                    revision_id = case when may.fall then $5 else s.revision_id end,
                    credential_id = case when may.fall then $6 else s.credential_id end,
                    not_before = case when may.fall then now() else s.not_before end,
                    captured = case when not may.fall then s.captured end,
                    provider_job_id = case when not may.fall then s.provider_job_id end,
                    endpoint = case when not may.fall then s.endpoint end,
                    accepted_at = case when not may.fall then s.accepted_at end,
                    deadline_at = case when not may.fall then s.deadline_at end,
                    give_up_at = case when not may.fall then s.give_up_at end,
                    result_expires_at = case when not may.fall then s.result_expires_at end,
                    overdue_at = case when not may.fall then s.overdue_at end,
                    progress = case when not may.fall then s.progress end,
                    ended_at = case when not may.fall then now() end,
                    event_seq = s.event_seq + 1
                from may where s.run_id = may.run_id returning s.run_id, s.tenant_id, s.event_seq, s.ver, s.failure, s.state),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select run_id, event_seq, tenant_id, case state when 'failed' then 'failed' else 'fallback' end,
                          case state when 'failed' then coalesce(failure, '{}') else $7::jsonb end from moved),
            ob as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select m.run_id, m.tenant_id, 'callback', m.event_seq, 'run.failed', r.request -> 'callback' ->> 'url'
                   from moved m join runs r using (run_id) where m.state = 'failed' and r.request -> 'callback' ->> 'url' is not null)
            select state as "state!", ver as "ver!" from moved
            "#,
            failed.run_id,
            failed.n,
            failed.ver,
            failed.failure,
            revision,
            credential,
            told,
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Moved::of(&row.state, row.ver)).transpose()
    }

    /// Given up for time. `answer_age`: how old the answer is that last said "pending" (none: absent). No run ends without an
    /// answer younger than its `give_up_at`, or before twice its life.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn run_gave_up(
        &self,
        run: Uuid,
        ver: i64,
        answer_age: Option<Duration>,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with st as (
                update run_states set state = 'failed', ver = ver + 1, ended_at = now(), shard = null,
                    failure = '{"code": "deadline_exceeded"}', event_seq = event_seq + 1
                where run_id = $1 and ver = $2 and state = 'polling'
                  and (give_up_at < now() - make_interval(secs => $3) or now() > give_up_at + (give_up_at - accepted_at))
                returning run_id, tenant_id, event_seq, ver, failure),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body) select run_id, event_seq, tenant_id, 'failed', failure from st),
            ob as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.failed', r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id) where r.request -> 'callback' ->> 'url' is not null)
            select ver as "ver!" from st
            "#,
            run,
            ver,
            answer_age.map(|d| d.as_secs_f64()),
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Tells the caller once that the run is past its deadline; the job is followed on. Not guarded by `ver`, and no
    /// state changes. `true`: told now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn mark_overdue(&self, run: Uuid) -> Result<bool, StoreError> {
        let told = sqlx::query_scalar!(
            r#"
            with st as (
                update run_states set overdue_at = now(), event_seq = event_seq + 1
                where run_id = $1 and overdue_at is null and ended_at is null and deadline_at < now()
                returning run_id, tenant_id, event_seq),
            ev as (insert into run_events (run_id, seq, tenant_id, kind) select run_id, event_seq, tenant_id, 'overdue' from st),
            ob as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.overdue', r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id) where r.request -> 'callback' ->> 'url' is not null)
            select true as "told!" from st
            "#,
            run,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(told.is_some())
    }

    /// A `preparing` run goes back to the queue after a `before` step failed in a way worth another try.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn unprepare(
        &self,
        run: Uuid,
        ver: i64,
        wait: Duration,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            update run_states set state = 'queued', ver = ver + 1, worker_id = null, not_before = now() + make_interval(secs => $3)
            where run_id = $1 and ver = $2 and state = 'preparing' returning ver
            "#,
            run,
            ver,
            wait.as_secs_f64(),
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Ends a run of which nothing was sent under this claim: `not_started`, a `before` step or a rendering that failed.
    /// With a fallback it is queued under that instead, where it may be ([`Fallback`]). `None`: it is neither queued nor preparing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn run_not_sent(
        &self,
        run: Uuid,
        failure: &Value,
        fallback: Option<&Fallback>,
    ) -> Result<Option<Moved>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        fail_unsent(&mut connection, run, failure, fallback).await
    }
}

/// See [`Store::run_not_sent`].
pub(crate) async fn fail_unsent(
    connection: &mut PgConnection,
    run: Uuid,
    failure: &Value,
    fallback: Option<&Fallback>,
) -> Result<Option<Moved>, StoreError> {
    let (revision, credential, told) = Fallback::parts(fallback);
    let row = sqlx::query!(
        r#"
        with may as (select $1::uuid as run_id, $3::bytea is not null and run_may_fall_back($1, $3, $4) as fall),
        st as (
            update run_states s set state = case when may.fall then 'queued' else 'failed' end, ver = s.ver + 1, worker_id = null,
                failure = case when not may.fall then $2::jsonb end,
                revision_id = case when may.fall then $3 else s.revision_id end,
                credential_id = case when may.fall then $4 else s.credential_id end,
                captured = case when not may.fall then s.captured end,
                not_before = case when may.fall then now() else s.not_before end,
                ended_at = case when not may.fall then now() end, event_seq = s.event_seq + 1
            from may where s.run_id = may.run_id and s.state in ('queued', 'preparing')
            returning s.run_id, s.tenant_id, s.event_seq, s.ver, s.failure, s.state),
        ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
               select run_id, event_seq, tenant_id, case state when 'failed' then 'failed' else 'fallback' end,
                      case state when 'failed' then coalesce(failure, '{}') else $5::jsonb end from st),
        ob as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
               select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.failed', r.request -> 'callback' ->> 'url'
               from st join runs r using (run_id) where st.state = 'failed' and r.request -> 'callback' ->> 'url' is not null)
        select state as "state!", ver as "ver!" from st
        "#,
        run,
        failure,
        revision,
        credential,
        told,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| Moved::of(&row.state, row.ver)).transpose()
}
