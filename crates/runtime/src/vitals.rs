//! What a worker tells of itself: how busy it is, and how late. It goes into its row with the renewal of its lease, so
//! that it costs no write of its own.

use crate::clock::boot_ms;
use crate::lateness::{Lateness, LatenessView};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::State;
use utoipa::ToSchema;

/// Rates and lateness are of so long, at least.
const WINDOW_MS: i64 = 10_000;

/// Counts since the start.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) lateness: Arc<Lateness>,
    pub(crate) submits: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    canceled: AtomicU64,
    /// Runs in memory now.
    pub(crate) following: AtomicU64,
    /// What was counted at the last reports, oldest first.
    seen: Mutex<VecDeque<Seen>>,
}

#[derive(Debug, Clone)]
struct Seen {
    /// By the boot clock.
    at_ms: i64,
    totals: Totals,
    late: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    submits: u64,
    files: u64,
    bytes: u64,
    succeeded: u64,
    failed: u64,
    canceled: u64,
}

/// What a worker told with its last renewal; rates and lateness are of the ten seconds before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WorkerReport {
    /// Runs that it follows.
    pub following: u64,
    /// Per second.
    pub rates: Rates,
    /// Of its polls.
    pub lateness: LatenessView,
}

/// How often something happened, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Rates {
    /// Polls sent.
    pub polls: f64,
    /// Submits sent.
    pub submits: f64,
    /// Files stored.
    pub files: f64,
    /// Bytes of them.
    pub bytes: f64,
    /// Runs that ended well.
    pub succeeded: f64,
    /// Runs that ended badly.
    pub failed: f64,
    /// Runs that were canceled.
    pub canceled: f64,
}

impl Rates {
    /// Of both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            polls: self.polls + other.polls,
            submits: self.submits + other.submits,
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            canceled: self.canceled + other.canceled,
        }
    }
}

impl Default for Vitals {
    fn default() -> Self {
        Self::born(boot_ms())
    }
}

impl Vitals {
    /// What happens before the first report is compared with nothing at all.
    fn born(at_ms: i64) -> Self {
        let lateness = Arc::new(Lateness::default());
        let first = Seen {
            at_ms,
            totals: Totals::default(),
            late: lateness.counts(),
        };
        Self {
            lateness,
            submits: AtomicU64::new(0),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            canceled: AtomicU64::new(0),
            following: AtomicU64::new(0),
            seen: Mutex::new(VecDeque::from([first])),
        }
    }

    /// A run ended here.
    pub(crate) fn ended(&self, state: State) {
        match state {
            State::Succeeded => count(&self.succeeded, 1),
            State::Failed => count(&self.failed, 1),
            State::Canceled => count(&self.canceled, 1),
            _ => {}
        }
    }

    /// A file of so many bytes was stored.
    pub(crate) fn stored(&self, bytes: u64) {
        count(&self.files, 1);
        count(&self.bytes, bytes);
    }

    /// What there is to tell now.
    pub(crate) fn report(&self) -> WorkerReport {
        self.report_at(boot_ms())
    }

    fn report_at(&self, now_ms: i64) -> WorkerReport {
        let now = Seen {
            at_ms: now_ms,
            totals: self.totals(),
            late: self.lateness.counts(),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest of those that are old enough is what is compared with.
        while seen
            .get(1)
            .is_some_and(|next| now_ms - next.at_ms >= WINDOW_MS)
        {
            seen.pop_front();
        }
        let then = seen.front().cloned();
        seen.push_back(now.clone());
        drop(seen);
        let (lateness, rates) = match then {
            Some(then) => between(&then, &now),
            None => Default::default(),
        };
        WorkerReport {
            following: self.following.load(Ordering::Relaxed),
            rates,
            lateness,
        }
    }

    fn totals(&self) -> Totals {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            submits: of(&self.submits),
            files: of(&self.files),
            bytes: of(&self.bytes),
            succeeded: of(&self.succeeded),
            failed: of(&self.failed),
            canceled: of(&self.canceled),
        }
    }
}

/// One more, or so many.
pub(crate) fn count(what: &AtomicU64, more: u64) {
    what.fetch_add(more, Ordering::Relaxed);
}

fn between(then: &Seen, now: &Seen) -> (LatenessView, Rates) {
    let new: Vec<u64> = now
        .late
        .iter()
        .zip(&then.late)
        .map(|(now, then)| now.saturating_sub(*then))
        .collect();
    let lateness = LatenessView::of(&new);
    let ms = now.at_ms.saturating_sub(then.at_ms).max(1);
    let rate = |now: u64, then: u64| per_second(now.saturating_sub(then), ms);
    let (now, then) = (now.totals, then.totals);
    let rates = Rates {
        polls: rate(lateness.polls, 0),
        submits: rate(now.submits, then.submits),
        files: rate(now.files, then.files),
        bytes: rate(now.bytes, then.bytes),
        succeeded: rate(now.succeeded, then.succeeded),
        failed: rate(now.failed, then.failed),
        canceled: rate(now.canceled, then.canceled),
    };
    (lateness, rates)
}

/// To two places: it is for people.
#[expect(
    clippy::cast_precision_loss,
    reason = "rates are shown to two places, and no count of ten seconds needs 52 bits"
)]
fn per_second(count: u64, ms: i64) -> f64 {
    (count as f64 * 100_000.0 / ms as f64).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_lateness_are_of_the_last_ten_seconds_and_not_of_the_whole_life() {
        let vitals = Vitals::born(0);
        for second in 1..=20 {
            count(&vitals.submits, 2);
            vitals.lateness.saw(if second <= 10 { 5_000 } else { 1 });
            let report = vitals.report_at(second * 1_000);
            assert_eq!(report.rates.submits, 2.0, "{second}: {report:?}");
        }
        vitals.ended(State::Failed);
        vitals.ended(State::Polling);
        vitals.stored(5_000);
        let report = vitals.report_at(20_500);
        assert!(
            report.lateness.max_ms < 5 && report.lateness.polls == 10,
            "{report:?}"
        );
        assert_eq!(report.rates.failed, 0.1, "{report:?}");
        assert!((report.rates.bytes - 476.19).abs() < 0.01, "{report:?}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            serde_json::from_value::<WorkerReport>(json).unwrap(),
            report
        );
        let older = serde_json::json!({"following": 3, "mood": "new"});
        let read: WorkerReport = serde_json::from_value(older).unwrap();
        assert_eq!(read.following, 3);
    }
}
