//! The house at a glance: workers, shards, runs by state, rates, what is paused.

use crate::error::RunError;
use crate::library::Modelrow;
use crate::pauses::Pauses;
use crate::vitals::{Rates, WorkerReport};
use serde::Serialize;
use std::collections::BTreeMap;
use store::State;
use store::fleet::FleetWorker;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The whole of it, as the database knows it now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Fleet {
    /// By the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Those that live, the oldest first.
    pub workers: Vec<WorkerView>,
    /// Of all workers together, per second.
    pub rates: Rates,
    /// Of 256; what belongs to them is followed by nobody until one is taken.
    pub orphan_shards: i64,
    /// Runs that have not ended, by state. Held ones that are queued are counted in `held` only.
    pub runs: BTreeMap<String, i64>,
    /// Runs that are held until an operator releases them.
    pub held: i64,
    /// Milliseconds that the oldest unknown outcome is unknown; absent: none is.
    pub unknown_oldest_ms: Option<i64>,
    /// Milliseconds that the oldest queued run could have been sent; absent: nothing is due.
    pub queue_oldest_ms: Option<i64>,
    /// What starts no submits.
    pub paused: Pauses,
}

/// A worker that lives.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WorkerView {
    /// New at every start, and after every lost lease.
    pub id: Uuid,
    /// Where it runs.
    pub host: String,
    /// Version of the program.
    pub build: String,
    /// Highest language level it reads.
    pub language: i32,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// Milliseconds until its lease ends, unless it is renewed.
    pub expires_in_ms: i64,
    /// When it was told to hand over its shards and to start nothing new; absent: it was not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub draining_at: Option<OffsetDateTime>,
    /// Shards that it owns, of 256.
    pub shards: i64,
    /// What it told with its last renewal.
    pub report: WorkerReport,
}

impl Modelrow {
    /// The house at a glance. Its price does not grow with the runs that have ended.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn fleet(&self) -> Result<Fleet, RunError> {
        let store = &self.core().store;
        let workers = store.fleet_workers().await?;
        let facts = store.fleet_facts().await?;
        let mut runs: BTreeMap<String, i64> = State::ALL
            .iter()
            .filter(|state| !state.is_ended())
            .map(|state| (state.as_str().to_owned(), 0))
            .collect();
        let counted = store.fleet_runs().await?;
        runs.extend(
            counted
                .into_iter()
                .map(|(state, n)| (state.as_str().to_owned(), n)),
        );
        let workers: Vec<WorkerView> = workers.into_iter().map(shown).collect();
        let rates = workers.iter().map(|worker| worker.report.rates);
        Ok(Fleet {
            at: self.now(),
            rates: rates.fold(Rates::default(), Rates::plus),
            workers,
            orphan_shards: facts.orphan_shards,
            runs,
            held: facts.held,
            unknown_oldest_ms: facts.unknown_oldest_ms,
            queue_oldest_ms: facts.queue_oldest_ms,
            paused: self.pauses().await?,
        })
    }
}

impl Modelrow {
    /// Tells a worker to hand over its shards and to start nothing new, as `by`: with its next tick, until it is started again.
    /// What it has sent it hears to the end. Where no other worker lives it keeps its shards, so that jobs are followed.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchWorker`], [`RunError::Store`]: tell it again.
    pub async fn drain(&self, worker: Uuid, by: &str) -> Result<WorkerView, RunError> {
        let store = &self.core().store;
        let missing = || RunError::NoSuchWorker { id: worker };
        if !store.worker_drain(worker, by).await? {
            return Err(missing());
        }
        tracing::warn!(%worker, by, "a worker was told to drain");
        let workers = store.fleet_workers().await?;
        let told = workers.into_iter().find(|row| row.worker_id == worker);
        told.map(shown).ok_or_else(missing)
    }
}

/// A report of a newer program is read as far as it is known.
fn shown(row: FleetWorker) -> WorkerView {
    let report = row
        .report
        .and_then(|report| serde_json::from_value(report).ok());
    WorkerView {
        id: row.worker_id,
        host: row.host,
        build: row.build,
        language: row.language,
        started_at: row.started_at,
        expires_in_ms: row.expires_in_ms,
        draining_at: row.draining_at,
        shards: row.shards,
        report: report.unwrap_or_default(),
    }
}
