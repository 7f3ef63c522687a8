//! Calls: inserting a run, reading it as its caller may, canceling it.

use crate::artifacts::ArtifactRow;
use crate::budgets::{Over, OverLimit, Price};
use crate::claim::Intended;
use crate::{Outcome, Scope, State, Store, StoreError};
use serde_json::Value;
use sqlx::PgConnection;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

mod again;
mod asked;
mod insert;
mod list;

pub use again::Before;
pub use asked::{AskedRow, Order};
pub(crate) use insert::made_before;
pub use list::{ListFilter, Listed};

/// A call, as it is recorded.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// UUIDv7, made before the insert: a commit whose answer was lost is looked up by it.
    pub run_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Which key called; absent for the library.
    pub api_key_id: Option<Uuid>,
    /// 1 to 255 characters.
    pub idempotency_key: Option<String>,
    /// Of the caller's canonical body.
    pub request_sha256: Vec<u8>,
    /// What it makes.
    pub purpose: String,
    /// What it runs under; must be stored before.
    pub revision_id: Vec<u8>,
    /// Whose key it uses.
    pub credential_id: Uuid,
    /// Input, params, inputs, context, callback, metadata.
    pub request: Value,
    /// Not started by then: it fails, nothing spent. Absent: so long after it may start.
    pub start_by: Option<OffsetDateTime>,
    /// Where `start_by` is absent.
    pub start_within: Duration,
    /// The highest goes first within its tenant.
    pub priority: i16,
    /// By the price list; absent: it has none.
    pub price: Option<Price>,
    /// What becomes of it over a limit; absent: what the tenant has chosen.
    pub over_limit: Option<OverLimit>,
    /// Of its requests, without per-run values: its result may serve others with the same. Absent: it serves none.
    pub cache_key: Option<Vec<u8>>,
    /// Stored media that it names: they stay while it goes on.
    pub inputs: Vec<Uuid>,
    /// Whether it may be one that was made before.
    pub sent: Sent,
}

/// How a call without an idempotency key was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sent {
    /// It makes a run of its own.
    #[default]
    Once,
    /// For the first time, by a client that sends again what was not answered.
    First,
    /// Again: the answer to the first time did not reach the client.
    Again,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// A new run, queued.
    New(Uuid),
    /// A new run that its maker claimed with it: to be sent.
    Claimed(Intended),
    /// The same key and body made this run before.
    Same(Uuid),
    /// The same key made this run with another body: 409.
    OtherBody(Uuid),
    /// The same key made this run, which was deleted: 409.
    Erased(Uuid),
    /// The tenant has reached a limit: no run was made.
    Over(Over),
}

/// An insert, and when it made its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insertion {
    /// What became of the call.
    pub inserted: Inserted,
    /// Time of the row, which stands as the call asked and as nobody has changed it when this is known. Absent: the run may be
    /// of before, or has company.
    pub at: Option<OffsetDateTime>,
}

impl From<Inserted> for Insertion {
    fn from(inserted: Inserted) -> Self {
        Self { inserted, at: None }
    }
}

/// A run, as its caller may see it.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// The run.
    pub run_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// What it makes.
    pub purpose: String,
    /// What was asked.
    pub request: Value,
    /// Of the caller's canonical body.
    pub request_sha256: Vec<u8>,
    /// What it runs under now.
    pub revision_id: Vec<u8>,
    /// Body of the event `fallback`, once it runs under its fallback. Absent in lists.
    pub fell_back: Option<Value>,
    /// Where it stands.
    pub state: State,
    /// Queued, it does not start before.
    pub not_before: OffsetDateTime,
    /// Counts state changes.
    pub ver: i64,
    /// No new attempt without an operator.
    pub held: bool,
    /// Number of the last attempt.
    pub attempt: i32,
    /// 0 to 100.
    pub progress: Option<i16>,
    /// `none`, `maybe`, `yes`.
    pub spent: String,
    /// Why it failed.
    pub failure: Option<Value>,
    /// What steps captured; the output is a part of it.
    pub captured: Option<Value>,
    /// The provider's id.
    pub provider_job_id: Option<String>,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// The caller was told that it is late.
    pub overdue: bool,
    /// Number of the last event.
    pub event_seq: i32,
    /// The run whose result it was given; absent: it was made.
    pub cache_of: Option<Uuid>,
    /// When it was called.
    pub created_at: OffsetDateTime,
    /// When the provider took it.
    pub accepted_at: Option<OffsetDateTime>,
    /// When the caller is told that it is late.
    pub deadline_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

/// An attempt, as the caller may see it.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// Number, from 1.
    pub n: i32,
    /// What was sent was rendered from this.
    pub revision_id: Vec<u8>,
    /// How it ended.
    pub outcome: Outcome,
    /// The last answer's status.
    pub http_status: Option<i16>,
    /// The provider's id of the job.
    pub provider_job_id: Option<String>,
    /// Times it was sent again.
    pub replays: i32,
    /// Found, not answered.
    pub adopted: bool,
    /// When it was intended.
    pub sent_at: OffsetDateTime,
    /// When the exchange ended.
    pub ended_at: Option<OffsetDateTime>,
}

/// A run with what belongs to it.
#[derive(Debug, Clone)]
pub struct RunDetails {
    /// The run.
    pub run: RunRow,
    /// Oldest first.
    pub attempts: Vec<AttemptRow>,
    /// By name and number, those still served.
    pub artifacts: Vec<ArtifactRow>,
}

/// What a cancel came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It was queued: ended at once, nothing spent.
    Canceled,
    /// Its owner acts on the mark; it stands here.
    Asked(State),
    /// It had ended.
    Ended(State),
}

impl Store {
    /// Reads one run; `None`: it is not there, or another tenant's.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn run(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
    ) -> Result<Option<RunDetails>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let Some(row) = read_run(&mut tx, run).await? else {
            return Ok(None);
        };
        let attempts = read_attempts(&mut tx, run).await?;
        let artifacts = crate::artifacts::read(&mut tx, run).await?;
        tx.commit().await?;
        Ok(Some(RunDetails {
            run: row,
            attempts,
            artifacts,
        }))
    }

    /// Where a run stands, its version and the number of its last event: for waiting.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn run_state(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
    ) -> Result<Option<(State, i64, i32)>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let row = sqlx::query!(
            "select state, ver, event_seq from run_states where run_id = $1 and erased_at is null",
            run
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| Ok((State::parse(&row.state)?, row.ver, row.event_seq)))
            .transpose()
    }

    /// Cancels a run: at once when queued, else with a mark that its owner acts on. No `ver` is asked or moved by
    /// the mark: a cancel makes no sender stale. `None`: no such run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: ask again; it may be repeated.
    pub async fn run_cancel(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
    ) -> Result<Option<Cancel>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let canceled = sqlx::query_scalar!(
            r#"
            with st as (
                update run_states set state = 'canceled', ver = ver + 1, ended_at = now(), cancel_requested_at = now(), event_seq = event_seq + 1
                where run_id = $1 and state = 'queued' returning run_id, tenant_id, event_seq),
            ev as (insert into run_events (run_id, seq, tenant_id, kind) select run_id, event_seq, tenant_id, 'canceled' from st),
            ob as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
                   select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.canceled', r.request -> 'callback' ->> 'url'
                   from st join runs r using (run_id) where r.request -> 'callback' ->> 'url' is not null)
            select true as "done!" from st
            "#,
            run,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let outcome = match canceled {
            Some(_) => Some(Cancel::Canceled),
            None => cancel_mark(&mut tx, run).await?,
        };
        tx.commit().await?;
        Ok(outcome)
    }

    /// Progress of runs that somebody watches, or whose caller asked to be told: one statement a worker and second, without `ver`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: drop it, the next poll brings more.
    pub async fn progress_many(&self, progress: &[(Uuid, i16)]) -> Result<(), StoreError> {
        let (runs, values): (Vec<Uuid>, Vec<i16>) = progress.iter().copied().unzip();
        sqlx::query!(
            r#"
            with p as (
                select p.run_id, p.v, coalesce(r.request -> 'callback' -> 'events' ? 'run.progress', false) as told
                from unnest($1::uuid[], $2::smallint[]) as p (run_id, v) join runs r using (run_id)),
            st as (
                update run_states s set progress = p.v, event_seq = s.event_seq + case when p.told then 1 else 0 end from p
                where s.run_id = p.run_id and s.state = 'polling' and s.progress is distinct from p.v
                returning s.run_id, s.tenant_id, s.event_seq, s.progress, p.told),
            ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
                   select run_id, event_seq, tenant_id, 'progress', jsonb_build_object('percent', progress) from st where told)
            insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
            select st.run_id, st.tenant_id, 'callback', st.event_seq, 'run.progress', r.request -> 'callback' ->> 'url'
            from st join runs r using (run_id) where st.told and r.request -> 'callback' ->> 'url' is not null
            "#,
            &runs,
            &values,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

async fn cancel_mark(
    connection: &mut PgConnection,
    run: Uuid,
) -> Result<Option<Cancel>, StoreError> {
    let marked = sqlx::query_scalar!(
        r#"
        update run_states set cancel_requested_at = coalesce(cancel_requested_at, now())
        where run_id = $1 and ended_at is null returning state
        "#,
        run,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(state) = marked {
        sqlx::query!(
            "select pg_notify('modelrow_run', $1::uuid::text) as hint",
            run
        )
        .fetch_one(&mut *connection)
        .await?;
        return Ok(Some(Cancel::Asked(State::parse(&state)?)));
    }
    let ended = sqlx::query_scalar!(
        "select state from run_states where run_id = $1 and erased_at is null",
        run
    )
    .fetch_optional(connection)
    .await?;
    ended
        .map(|state| Ok(Cancel::Ended(State::parse(&state)?)))
        .transpose()
}

async fn read_run(connection: &mut PgConnection, run: Uuid) -> Result<Option<RunRow>, StoreError> {
    let row = sqlx::query_as!(
        Raw,
        r#"
        select s.run_id, s.tenant_id, u.purpose, u.request, u.request_sha256, s.revision_id, s.state, s.not_before, s.ver, s.held, s.attempt,
               s.progress, s.spent, s.failure, s.captured, s.provider_job_id,
               s.cancel_requested_at is not null as "cancel_requested!", s.overdue_at is not null as "overdue!",
               s.event_seq, u.cache_of, u.created_at, s.accepted_at, s.deadline_at, s.ended_at,
               s.revision_id <> u.revision_id as "fell_back!"
        from runs u join run_states s using (run_id) where s.run_id = $1 and s.erased_at is null
        "#,
        run,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let told = match row.fell_back {
        true => fell_back(connection, run).await?,
        false => None,
    };
    row.checked(told).map(Some)
}

/// Body of the event. Seldom there, and a statement of its own: the days of the timeline are much to plan for every look at a run.
async fn fell_back(connection: &mut PgConnection, run: Uuid) -> Result<Option<Value>, StoreError> {
    let body = sqlx::query_scalar!(
        "select body from run_events where run_id = $1 and kind = 'fallback' limit 1",
        run
    );
    Ok(body.fetch_optional(connection).await?)
}

async fn read_attempts(
    connection: &mut PgConnection,
    run: Uuid,
) -> Result<Vec<AttemptRow>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select n, revision_id, outcome, http_status, provider_job_id, replays, adopted, sent_at, ended_at
        from submit_attempts where run_id = $1 order by n
        "#,
        run,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(AttemptRow {
                n: row.n,
                revision_id: row.revision_id,
                outcome: Outcome::parse(&row.outcome)?,
                http_status: row.http_status,
                provider_job_id: row.provider_job_id,
                replays: row.replays,
                adopted: row.adopted,
                sent_at: row.sent_at,
                ended_at: row.ended_at,
            })
        })
        .collect()
}

/// As selected: the state still a word.
struct Raw {
    run_id: Uuid,
    tenant_id: Uuid,
    purpose: String,
    request: Value,
    request_sha256: Vec<u8>,
    revision_id: Vec<u8>,
    fell_back: bool,
    state: String,
    not_before: OffsetDateTime,
    ver: i64,
    held: bool,
    attempt: i32,
    progress: Option<i16>,
    spent: String,
    failure: Option<Value>,
    captured: Option<Value>,
    provider_job_id: Option<String>,
    cancel_requested: bool,
    overdue: bool,
    event_seq: i32,
    cache_of: Option<Uuid>,
    created_at: OffsetDateTime,
    accepted_at: Option<OffsetDateTime>,
    deadline_at: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
}

impl Raw {
    fn checked(self, fell_back: Option<Value>) -> Result<RunRow, StoreError> {
        Ok(RunRow {
            run_id: self.run_id,
            tenant_id: self.tenant_id,
            purpose: self.purpose,
            request: self.request,
            request_sha256: self.request_sha256,
            revision_id: self.revision_id,
            fell_back,
            state: State::parse(&self.state)?,
            not_before: self.not_before,
            ver: self.ver,
            held: self.held,
            attempt: self.attempt,
            progress: self.progress,
            spent: self.spent,
            failure: self.failure,
            captured: self.captured,
            provider_job_id: self.provider_job_id,
            cancel_requested: self.cancel_requested,
            overdue: self.overdue,
            event_seq: self.event_seq,
            cache_of: self.cache_of,
            created_at: self.created_at,
            accepted_at: self.accepted_at,
            deadline_at: self.deadline_at,
            ended_at: self.ended_at,
        })
    }
}
