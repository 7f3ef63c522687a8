//! Two clocks: one that counts suspension, for proofs; and the database's, for
//! every time of record.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Milliseconds of a clock that goes on while the machine sleeps, and is never set.
#[must_use]
pub(crate) fn boot_ms() -> i64 {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let at = rustix::time::clock_gettime(id);
    let ms = at
        .tv_sec
        .saturating_mul(1_000)
        .saturating_add(at.tv_nsec / 1_000_000);
    #[cfg(feature = "faults")]
    let ms = ms.saturating_add(crate::faults::clock_ms());
    ms
}

/// The database's clock, carried forward by the boot clock between two looks.
#[derive(Debug, Default)]
pub(crate) struct DbClock {
    ahead_ms: AtomicI64,
}

impl DbClock {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        boot_ms().saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// From now to a moment, milliseconds since 1970; nothing, once that is over.
    pub(crate) fn until(&self, at_ms: i64) -> Duration {
        let ms = at_ms.saturating_sub(self.now_ms());
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// Takes a reading: the boot clock before and after it, and what the database said between.
    pub(crate) fn set(&self, before_ms: i64, said_ms: i64, after_ms: i64) {
        let middle = before_ms.saturating_add(after_ms.saturating_sub(before_ms) / 2);
        self.ahead_ms
            .store(said_ms.saturating_sub(middle), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_counts_from_the_middle_of_its_round_trip() {
        let clock = DbClock::default();
        let now = boot_ms();
        clock.set(now - 10, 1_000_000, now + 10);
        assert!((1_000_000..1_000_500).contains(&clock.now_ms()));
    }
}
