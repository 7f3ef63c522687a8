//! How late polls were, as counts in buckets: an eighth of an octave or finer is
//! known of each, and nothing is kept of any.

use std::sync::atomic::{AtomicU64, Ordering};
use utoipa::ToSchema;

/// Buckets of an octave.
const FINE: u64 = 8;
/// Up to 2^32 ms.
const BUCKETS: usize = 33 * 8;

/// Counts by lateness.
#[derive(Debug)]
pub(crate) struct Lateness(Vec<AtomicU64>);

/// What is known of polls' lateness: from the moment at which each was due to its first byte.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema,
)]
pub struct LatenessView {
    /// Polls that were counted.
    pub polls: u64,
    /// Half of them were at most so late, in milliseconds.
    pub p50_ms: u64,
    /// 99 of 100.
    pub p99_ms: u64,
    /// All of them.
    pub max_ms: u64,
}

impl Default for Lateness {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Lateness {
    /// One poll, sent so many milliseconds after it was due.
    pub(crate) fn saw(&self, late_ms: i64) {
        let bucket = bucket(u64::try_from(late_ms).unwrap_or(0));
        if let Some(count) = self.0.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// By bucket, since the start.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.0.iter().map(|n| n.load(Ordering::Relaxed)).collect()
    }

    /// Of all since the start.
    pub(crate) fn view(&self) -> LatenessView {
        LatenessView::of(&self.counts())
    }
}

impl LatenessView {
    /// Of these counts by bucket.
    pub(crate) fn of(counts: &[u64]) -> Self {
        let polls: u64 = counts.iter().sum();
        let at = |share: u64| {
            let want = polls.saturating_mul(share).div_ceil(100);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| {
                seen += count;
                seen >= want
            });
            bucket.map_or(0, upper_ms)
        };
        Self {
            polls,
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// Values below [`FINE`] have a bucket each; above, every octave has [`FINE`].
fn bucket(ms: u64) -> usize {
    if ms < FINE {
        return usize::try_from(ms).unwrap_or(0);
    }
    let octave = u64::from(ms.ilog2()) - 3;
    let within = (ms >> octave) - FINE;
    usize::try_from((octave + 1) * FINE + within).map_or(BUCKETS - 1, |i| i.min(BUCKETS - 1))
}

/// The largest value of a bucket.
fn upper_ms(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let (octave, within) = (bucket / FINE - 1, bucket % FINE);
    ((FINE + within + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_at_most_an_eighth_away() {
        for ms in (0..5_000).chain([60_000, 3_600_000]) {
            let upper = upper_ms(bucket(ms));
            assert!(upper >= ms && upper <= ms + ms / 8, "{ms}: {upper}");
            assert!(ms == 0 || bucket(ms) >= bucket(ms - 1), "{ms}");
        }
    }

    #[test]
    fn the_99th_of_a_hundred_is_not_the_worst() {
        let lateness = Lateness::default();
        (0..98).for_each(|_| lateness.saw(1));
        lateness.saw(5);
        lateness.saw(900);
        lateness.saw(-3);
        let view = lateness.view();
        assert_eq!((view.polls, view.p50_ms, view.p99_ms), (101, 1, 5));
        assert!((900..1_013).contains(&view.max_ms), "{view:?}");
    }
}
