//! How many calls a key may make: in this process, by a generic cell rate algorithm, so that an even pace is never refused.

use crate::problem::{Problem, Violation};
use axum::http::StatusCode;
use diag::Code;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use uuid::Uuid;

/// Calls of each key. Absent: any number.
#[derive(Debug)]
pub(crate) struct KeyRate {
    keys: Option<DefaultKeyedRateLimiter<Uuid>>,
    clock: DefaultClock,
}

impl KeyRate {
    /// So many a second, and so many at once.
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self {
            keys: per_second.map(|most| RateLimiter::keyed(Quota::per_second(most))),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a call of this key.
    ///
    /// # Errors
    ///
    /// 429, with when the next one may come.
    pub(crate) fn count(&self, key: Uuid) -> Result<(), Problem> {
        let counted = self
            .keys
            .as_ref()
            .map_or(Ok(()), |keys| keys.check_key(&key));
        counted.map_err(|early| {
            let wait = early.wait_time_from(self.clock.now());
            let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let message = "this key makes too many calls";
            let help = "wait as `Retry-After` says; hold an answer with `Prefer: wait`, or follow a run's events, instead of asking often";
            let violation = Violation::new(Code::C175, message, help);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, violation).retry_after(secs.max(1))
        })
    }
}
