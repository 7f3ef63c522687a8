//! What a worker reads of the runs it follows. Times are intervals from the
//! database's clock, so that no worker's wall clock is compared.

use crate::{Outcome, State, Store, StoreError};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// A run and its current attempt, as its owner needs them.
#[derive(Debug, Clone)]
pub struct WorkRow {
    /// The run.
    pub run_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// What it runs under now.
    pub revision_id: Vec<u8>,
    /// Serves every later request of the run.
    pub credential_id: Uuid,
    /// Where it stands.
    pub state: State,
    /// Counts state changes; guards decisions.
    pub ver: i64,
    /// Absent before acceptance.
    pub shard: Option<i16>,
    /// Who prepares or sends.
    pub worker_id: Option<Uuid>,
    /// No new attempt without an operator.
    pub held: bool,
    /// What was asked.
    pub request: Value,
    /// What earlier steps captured, or a small synchronous answer.
    pub captured: Option<Value>,
    /// Of the accepting attempt.
    pub endpoint: Option<String>,
    /// The provider's id.
    pub provider_job_id: Option<String>,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// The caller was told.
    pub overdue: bool,
    /// Milliseconds since acceptance.
    pub accepted_ago_ms: Option<i64>,
    /// Milliseconds until the caller is told; negative: past.
    pub deadline_in_ms: Option<i64>,
    /// Milliseconds until it may be given up; negative: past.
    pub give_up_in_ms: Option<i64>,
    /// Milliseconds until the result expires at the provider; negative: past.
    pub result_expires_in_ms: Option<i64>,
    /// Milliseconds since the call.
    pub created_ago_ms: i64,
    /// Milliseconds until it must have started; negative: past.
    pub start_by_in_ms: Option<i64>,
    /// Number of the current attempt; 0: none.
    pub attempt: i32,
    /// The current attempt, when there is one.
    pub sent: Option<SentRow>,
}

/// An attempt, as settling and replaying need it.
#[derive(Debug, Clone)]
pub struct SentRow {
    /// Number within the run.
    pub n: i32,
    /// Function of run and `n`.
    pub token: Uuid,
    /// Of the request's bytes.
    pub request_sha256: Vec<u8>,
    /// Where it went.
    pub endpoint: String,
    /// What the rendering drew.
    pub drawn: Value,
    /// How it ended.
    pub outcome: Outcome,
    /// The sender itself saw its exchange end.
    pub sender_ended: bool,
    /// Found by look-up or list.
    pub adopted: bool,
    /// Replays begun.
    pub replays: i32,
    /// The last answer's status.
    pub http_status: Option<i16>,
    /// The last answer, shortened.
    pub answer: Option<String>,
    /// Milliseconds since the intent.
    pub sent_ago_ms: i64,
    /// Milliseconds since the sender's exchange ended.
    pub ended_ago_ms: Option<i64>,
}

impl Store {
    /// Details of these runs; those that are gone are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn work(&self, runs: &[Uuid]) -> Result<Vec<WorkRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        read(&mut connection, runs).await
    }

    /// Whose a run is, and what was asked: `runs.tenant_id` and `runs.request`. `None`: no such run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn asked(&self, run: Uuid) -> Result<Option<(Uuid, Value)>, StoreError> {
        let row = sqlx::query!("select tenant_id, request from runs where run_id = $1", run)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| (row.tenant_id, row.request)))
    }

    /// The attempts of a run, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn attempts(&self, run: Uuid) -> Result<Vec<SentRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(read_attempts(&mut connection, &[run])
            .await?
            .into_iter()
            .map(|(_, sent)| sent)
            .collect())
    }
}

/// Reads on a given connection, so that a claim can read under its locks.
pub(crate) async fn read(
    connection: &mut PgConnection,
    runs: &[Uuid],
) -> Result<Vec<WorkRow>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select s.run_id, s.tenant_id, s.revision_id, s.credential_id, s.state, s.ver, s.shard, s.worker_id, s.held, u.request,
               s.captured, s.endpoint, s.provider_job_id, s.attempt,
               s.cancel_requested_at is not null as "cancel_requested!", s.overdue_at is not null as "overdue!",
               (extract(epoch from now() - s.accepted_at) * 1000)::bigint as accepted_ago_ms,
               (extract(epoch from s.deadline_at - now()) * 1000)::bigint as deadline_in_ms,
               (extract(epoch from s.give_up_at - now()) * 1000)::bigint as give_up_in_ms,
               (extract(epoch from s.result_expires_at - now()) * 1000)::bigint as result_expires_in_ms,
               (extract(epoch from now() - u.created_at) * 1000)::bigint as "created_ago_ms!",
               (extract(epoch from u.start_by - now()) * 1000)::bigint as start_by_in_ms
        from run_states s join runs u using (run_id) where s.run_id = any($1)
        "#,
        runs,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut attempts = read_attempts(connection, runs).await?;
    rows.into_iter()
        .map(|row| {
            let sent = attempts
                .iter()
                .position(|(run, sent)| *run == row.run_id && sent.n == row.attempt)
                .map(|at| attempts.swap_remove(at).1);
            Ok(WorkRow {
                run_id: row.run_id,
                tenant_id: row.tenant_id,
                revision_id: row.revision_id,
                credential_id: row.credential_id,
                state: State::parse(&row.state)?,
                ver: row.ver,
                shard: row.shard,
                worker_id: row.worker_id,
                held: row.held,
                request: row.request,
                captured: row.captured,
                endpoint: row.endpoint,
                provider_job_id: row.provider_job_id,
                cancel_requested: row.cancel_requested,
                overdue: row.overdue,
                accepted_ago_ms: row.accepted_ago_ms,
                deadline_in_ms: row.deadline_in_ms,
                give_up_in_ms: row.give_up_in_ms,
                result_expires_in_ms: row.result_expires_in_ms,
                created_ago_ms: row.created_ago_ms,
                start_by_in_ms: row.start_by_in_ms,
                attempt: row.attempt,
                sent,
            })
        })
        .collect()
}

async fn read_attempts(
    connection: &mut PgConnection,
    runs: &[Uuid],
) -> Result<Vec<(Uuid, SentRow)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select run_id, n, token, request_sha256, endpoint, drawn, outcome, sender_ended, adopted, replays, http_status, answer,
               (extract(epoch from now() - sent_at) * 1000)::bigint as "sent_ago_ms!",
               (extract(epoch from now() - ended_at) * 1000)::bigint as ended_ago_ms
        from submit_attempts where run_id = any($1) order by run_id, n
        "#,
        runs,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let sent = SentRow {
                n: row.n,
                token: row.token,
                request_sha256: row.request_sha256,
                endpoint: row.endpoint,
                drawn: row.drawn,
                outcome: Outcome::parse(&row.outcome)?,
                sender_ended: row.sender_ended,
                adopted: row.adopted,
                replays: row.replays,
                http_status: row.http_status,
                answer: row.answer,
                sent_ago_ms: row.sent_ago_ms,
                ended_ago_ms: row.ended_ago_ms,
            };
            Ok((row.run_id, sent))
        })
        .collect()
}
