//! What a process counts for Prometheus, and what the database says when it is asked. Labels are providers, profiles,
//! steps and classes, which the catalogue bounds; never a run.

use crate::core::Core;
use crate::library::Modelrow;
use crate::traces::Traces;
use engine::download::{FetchError, Fetched};
use engine::flow::FetchFault;
use engine::http::Outcome;
use engine::{Event, Fault, Verdict};
use profile::revision::Revision;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::fleet::Census;
use store::{State, StoreError};
use tokio::time::{Instant, timeout};

/// The database is asked at most so often, however many scrape.
const CENSUS_EVERY: Duration = Duration::from_secs(5);
/// A scrape does not wait longer for the database: what the process counts is told without it.
const CENSUS_WAIT: Duration = Duration::from_secs(3);
/// Upper bounds of seconds that an exchange takes.
const EXCHANGE_SECONDS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];
/// Upper bounds of seconds that a poll is late.
const LATE_SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exchange {
    provider: String,
    step: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Submit {
    provider: String,
    profile: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    provider: String,
    profile: String,
    class: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Runs {
    state: String,
    profile: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Age {
    age: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Counts since the start, and the registry that tells them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    exchanges: Family<Exchange, Histogram, fn() -> Histogram>,
    submits: Family<Submit, Counter>,
    failures: Family<Failure, Counter>,
    late: Histogram,
    ended: Family<Ended, Counter>,
    artifacts: Counter,
    artifact_bytes: Counter,
    followed: Gauge,
    shards: Gauge,
    lease: Gauge,
    house: House,
    /// When the database was asked last.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

/// What the database says; the same from every process.
#[derive(Debug, Default)]
struct House {
    up: Gauge,
    runs: Family<Runs, Gauge>,
    held: Gauge,
    unknown: Family<Age, Gauge>,
    unknown_oldest: Seconds,
    queue_oldest: Seconds,
    transaction_oldest: Seconds,
    workers: Gauge,
    orphans: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("modelrow"),
            exchanges: Family::new_with_constructor(|| Histogram::new(EXCHANGE_SECONDS)),
            submits: Family::default(),
            failures: Family::default(),
            late: Histogram::new(LATE_SECONDS),
            ended: Family::default(),
            artifacts: Counter::default(),
            artifact_bytes: Counter::default(),
            followed: Gauge::default(),
            shards: Gauge::default(),
            lease: Gauge::default(),
            house: House::default(),
            asked: tokio::sync::Mutex::default(),
        };
        all.register();
        all
    }
}

impl Metrics {
    /// With the counts of spans, where there are any.
    pub(crate) fn new(traces: &Traces) -> Self {
        let mut all = Self::default();
        if let Some(spans) = traces.counts() {
            let help = "Spans of traces, by what became of them";
            tell(&mut all.registry, "spans", None, help, &spans);
        }
        all
    }

    #[rustfmt::skip]
    fn register(&mut self) {
        let it = &mut self.registry;
        let (seconds, bytes) = (|| Some(Unit::Seconds), || Some(Unit::Bytes));
        tell(it, "exchange", seconds(), "Requests to providers, by step and what came", &self.exchanges);
        tell(it, "submits", None, "Submits, by what became of them", &self.submits);
        tell(it, "failures", None, "Submits and jobs that failed, by class", &self.failures);
        tell(it, "poll_late", seconds(), "From the moment at which a poll was due to its first byte", &self.late);
        tell(it, "runs_ended", None, "Runs that this process ended", &self.ended);
        tell(it, "artifacts", None, "Files stored", &self.artifacts);
        tell(it, "artifact", bytes(), "Bytes of files stored", &self.artifact_bytes);
        tell(it, "runs_followed", None, "Runs that this process follows", &self.followed);
        tell(it, "shards_owned", None, "Shards that this process owns", &self.shards);
        tell(it, "lease_held", None, "Whether this process holds its worker's lease", &self.lease);
        self.house.register(it);
    }

    /// A request was sent, and came to this.
    pub(crate) fn exchanged(
        &self,
        provider: &str,
        step: &str,
        outcome: &'static str,
        took: Duration,
    ) {
        let labels = Exchange {
            provider: provider.to_owned(),
            step: step.to_owned(),
            outcome,
        };
        self.exchanges
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// The outcome of a submit.
    pub(crate) fn submitted(&self, revision: &Revision, verdict: &Verdict) {
        let fault = match verdict {
            Verdict::Refused { fault, .. }
            | Verdict::NotSent { fault, .. }
            | Verdict::Unknown { fault, .. }
            | Verdict::Failed(fault) => Some(fault),
            _ => None,
        };
        let labels = Submit {
            provider: revision.provider.clone(),
            profile: revision.profile_key.clone(),
            outcome: outcome(verdict),
        };
        self.submits.get_or_create(&labels).inc();
        if let Some(fault) = fault {
            self.failed(revision, fault);
        }
    }

    /// A submit or a job failed.
    pub(crate) fn failed(&self, revision: &Revision, fault: &Fault) {
        let labels = Failure {
            provider: revision.provider.clone(),
            profile: revision.profile_key.clone(),
            class: fault.class_word().to_owned(),
        };
        self.failures.get_or_create(&labels).inc();
    }

    /// A poll was sent, so many milliseconds after it was due.
    pub(crate) fn polled(&self, late_ms: i64) {
        let late = Duration::from_millis(u64::try_from(late_ms).unwrap_or(0));
        self.late.observe(late.as_secs_f64());
    }

    /// A run ended here.
    pub(crate) fn ended(&self, state: State) {
        if state.is_ended() {
            self.ended
                .get_or_create(&Ended {
                    state: state.as_str(),
                })
                .inc();
        }
    }

    /// A file was stored.
    pub(crate) fn stored(&self, bytes: u64) {
        self.artifacts.inc();
        self.artifact_bytes.inc_by(bytes);
    }
}

/// What a submit came to, in the words of `submit_attempts.outcome`.
pub(crate) fn outcome(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted(_) | Verdict::Answered => "accepted",
        Verdict::Refused { .. } => "refused",
        Verdict::NotSent { .. } => "not_sent",
        _ => "unknown",
    }
}

/// Registers what is counted elsewhere, too.
fn tell<M>(registry: &mut Registry, name: &str, unit: Option<Unit>, help: &str, metric: &M)
where
    M: EncodeMetric + Clone + Debug + Send + Sync + 'static,
{
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
}

impl House {
    #[rustfmt::skip]
    fn register(&self, it: &mut Registry) {
        let seconds = || Some(Unit::Seconds);
        tell(it, "database_up", None, "Whether Postgres answered the last scrape", &self.up);
        tell(it, "runs", None, "Runs that have not ended, by state and profile", &self.runs);
        tell(it, "runs_held", None, "Runs that wait for an operator's release", &self.held);
        tell(it, "submit_unknown", None, "Runs whose submit has an unknown outcome, by how long", &self.unknown);
        tell(it, "submit_unknown_oldest", seconds(), "Age of the oldest unknown outcome", &self.unknown_oldest);
        tell(it, "queue_oldest", seconds(), "Since when the oldest queued run could have been sent", &self.queue_oldest);
        tell(it, "transaction_oldest", seconds(), "Age of our oldest open transaction", &self.transaction_oldest);
        tell(it, "workers", None, "Workers that are alive", &self.workers);
        tell(it, "shards_orphaned", None, "Shards without a living owner", &self.orphans);
    }

    fn take(&self, census: &Census) {
        self.up.set(1);
        self.runs.clear();
        for of in &census.runs {
            let labels = Runs {
                state: of.state.clone(),
                profile: of.profile.clone(),
            };
            self.runs.get_or_create(&labels).set(of.count);
        }
        let ages = ["1m", "10m", "1h", "more"];
        for (age, count) in ages.into_iter().zip(census.unknown_by_age) {
            self.unknown.get_or_create(&Age { age }).set(count);
        }
        let seconds = |ms: Option<i64>| {
            let ms = u64::try_from(ms.unwrap_or(0)).unwrap_or(0);
            Duration::from_millis(ms).as_secs_f64()
        };
        self.held.set(census.facts.held);
        self.unknown_oldest
            .set(seconds(census.facts.unknown_oldest_ms));
        self.queue_oldest.set(seconds(census.facts.queue_oldest_ms));
        self.transaction_oldest
            .set(seconds(census.transaction_oldest_ms));
        self.workers.set(census.workers);
        self.orphans.set(census.facts.orphan_shards);
    }
}

/// What came of a request, in a word.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(received) => word_of(received.status),
        Outcome::NotSent(_) => "not_sent",
        Outcome::Broken(_) => "broken",
    }
}

/// The same of a file.
pub(crate) fn fetched(came: &Result<Fetched, FetchError>) -> &'static str {
    let fault = match came {
        Ok(_) => return "ok",
        Err(FetchError::Sink(_)) => return "not_stored",
        Err(FetchError::Fault(fault)) => &**fault,
    };
    match fault {
        FetchFault::Answer { received, .. } => match word_of(received.status) {
            "ok" => "no_file",
            word => word,
        },
        FetchFault::Broken(_) => "broken",
        FetchFault::Final(_) => "no_file",
    }
}

/// The same of a submit that was listened to.
pub(crate) fn heard(event: &Event, status: Option<i16>) -> &'static str {
    match (event, status.and_then(|status| u16::try_from(status).ok())) {
        (Event::NotSent(_), _) => "not_sent",
        (Event::Broken(_), _) | (_, None) => "broken",
        (_, Some(status)) => word_of(status),
    }
}

fn word_of(status: u16) -> &'static str {
    match status {
        429 => "rate_limited",
        200..300 => "ok",
        400..500 => "client_error",
        500.. => "server_error",
        _ => "other",
    }
}

impl Modelrow {
    /// What this process counted and what the database says, as OpenMetrics text. Without the database the former is told
    /// all the same, and `modelrow_database_up` is 0.
    pub async fn metrics(&self) -> String {
        let core = self.core();
        let metrics = &core.metrics;
        let shards = core
            .shards
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .len();
        metrics
            .shards
            .set(i64::try_from(shards).unwrap_or(i64::MAX));
        metrics.lease.set(i64::from(core.lease.current().is_some()));
        let followed = core.vitals.following.load(Ordering::Relaxed);
        metrics
            .followed
            .set(i64::try_from(followed).unwrap_or(i64::MAX));
        let mut asked = metrics.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= CENSUS_EVERY) {
            match timeout(CENSUS_WAIT, census(core)).await {
                Ok(Ok(())) => *asked = Some(Instant::now()),
                Ok(Err(_)) | Err(_) => drop(metrics.house.up.set(0)),
            }
        }
        let mut out = String::new();
        if text::encode(&mut out, &metrics.registry).is_err() {
            tracing::error!("the metrics cannot be written");
        }
        out
    }
}

async fn census(core: &Core) -> Result<(), StoreError> {
    core.metrics.house.take(&core.store.fleet_census().await?);
    Ok(())
}
