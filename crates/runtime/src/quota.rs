//! Requests that a credential may send: leased from its row a few seconds ahead, given to whoever asks.
//!
//! What is asked for beyond the limit is told when to come again, each tenant in a line of its own, so that many waiting runs
//! of one hide nobody else's. Credentials without a limit cost one look at their row in a few seconds.

use crate::clock::boot_ms;
use crate::core::Core;
use engine::flow::Phase;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::limits::{Lease, Urgency, held_for};
use uuid::Uuid;

/// That there is no limit, or that one is used up, is believed for so long.
const BELIEVED_MS: i64 = 5_000;
/// Nobody is told to come again later than that: limits change.
const LONGEST_MS: i64 = 60_000;
/// With the database away nobody knows.
const AWAY: Duration = Duration::from_secs(1);
/// How many there were lately says how many are leased at once.
const LATELY_MS: i64 = 1_000;
/// From so many on, credentials that nobody asked for lately are forgotten.
const KEPT: usize = 1_024;

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) credential: Uuid,
    pub(crate) tenant: Uuid,
}

/// How pressing the requests of a phase are.
pub(crate) fn urgency_of(phase: Phase) -> Urgency {
    match phase {
        Phase::Before | Phase::Submit => Urgency::Send,
        Phase::Settle | Phase::Poll | Phase::Step | Phase::Cleanup => Urgency::Follow,
        Phase::Download | Phase::Cancel => Urgency::Fetch,
    }
}

/// What this process has leased and knows, by credential.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<Quota>>>>);

/// Of one credential. Times are those of the boot clock.
#[derive(Debug, Default)]
struct Quota {
    /// There is no limit, as was read at some time.
    free: bool,
    believed_until: i64,
    held: u32,
    held_until: i64,
    held_for: Option<Urgency>,
    /// At that urgency or a lower one nothing is to be had before.
    refused: HashMap<Urgency, i64>,
    apart_ms: i64,
    lines: HashMap<Uuid, i64>,
    lately: (i64, u32),
}

impl Quotas {
    /// One request. Else how long to wait before it is asked for again.
    ///
    /// Cancel safety: dropped, what was leased is lost.
    pub(crate) async fn take(
        &self,
        core: &Core,
        asker: Asker,
        urgency: Urgency,
    ) -> Result<(), Duration> {
        let quota = self.of(asker.credential);
        let mut quota = quota.lock().await;
        let now = boot_ms();
        match quota.at_hand(urgency, now) {
            Some(true) => return Ok(()),
            Some(false) => return Err(quota.wait(asker.tenant, urgency, now)),
            None => {}
        }
        let wanted = (quota.wanted(now), urgency);
        let minute = core.options.limit_minute;
        let lease = core.store.requests_lease(asker.credential, wanted, minute);
        // Seldom, and large: a poll does not carry it.
        match Box::pin(lease).await {
            Ok(None) => {
                (quota.free, quota.believed_until) = (true, now.saturating_add(BELIEVED_MS));
                Ok(())
            }
            Ok(Some(lease)) if quota.leased(lease, urgency, minute, now) => Ok(()),
            Ok(Some(_)) => Err(quota.wait(asker.tenant, urgency, now)),
            // What was without a limit goes on as it was.
            Err(_) if quota.free => Ok(()),
            Err(error) => {
                tracing::warn!(credential = %asker.credential, %error, "requests of a limit cannot be leased");
                Err(AWAY)
            }
        }
    }

    /// The same, waited for.
    ///
    /// Cancel safety: as [`Quotas::take`].
    pub(crate) async fn wait(&self, core: &Core, asker: Asker, urgency: Urgency) {
        while let Err(wait) = self.take(core, asker, urgency).await {
            tokio::time::sleep(wait).await;
        }
    }

    fn of(&self, credential: Uuid) -> Arc<tokio::sync::Mutex<Quota>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            let now = boot_ms();
            all.retain(|_, quota| quota.try_lock().map_or(true, |quota| quota.is_used(now)));
        }
        Arc::clone(all.entry(credential).or_default())
    }
}

impl Quota {
    fn is_used(&self, now: i64) -> bool {
        let refused = self.refused.values().any(|until| *until > now);
        self.believed_until > now || self.held_until > now || refused
    }

    /// Whether one is at hand; `None`: the row has to be asked.
    fn at_hand(&mut self, urgency: Urgency, now: i64) -> Option<bool> {
        if self.free && self.believed_until > now {
            return Some(true);
        }
        if self.held > 0 && self.held_until > now && self.held_for <= Some(urgency) {
            self.held -= 1;
            self.count(now);
            return Some(true);
        }
        let refused = self.refused.iter();
        let mut refused = refused.filter(|(at, until)| **at >= urgency && **until > now);
        refused.next().is_some().then_some(false)
    }

    fn count(&mut self, now: i64) {
        let (since, count) = self.lately;
        self.lately = if now.saturating_sub(since) < LATELY_MS {
            (since, count.saturating_add(1))
        } else {
            (now, 1)
        };
    }

    /// As many as there were in a quarter of a second, so that a busy credential's row is not written for each request, and
    /// nothing is lost that nobody asks for.
    fn wanted(&self, now: i64) -> u32 {
        let (since, count) = self.lately;
        let lately = now.saturating_sub(since) < 2 * LATELY_MS;
        if lately { (count / 4).max(1) } else { 1 }
    }

    /// Takes one of what was leased and keeps the rest. `false`: there was none.
    fn leased(&mut self, lease: Lease, urgency: Urgency, minute: Duration, now: i64) -> bool {
        self.free = false;
        self.apart_ms = millis(lease.apart).max(1);
        let Some(rest) = lease.granted.checked_sub(1) else {
            let wait = millis(lease.wait).clamp(1, LONGEST_MS);
            self.refused.insert(urgency, now.saturating_add(wait));
            return false;
        };
        self.refused.remove(&urgency);
        self.held = rest;
        self.held_until = now.saturating_add(millis(held_for(minute)));
        self.held_for = Some(urgency);
        self.count(now);
        true
    }

    /// The next place in the tenant's line: as far apart as the limit says, times the tenants that wait.
    fn wait(&mut self, tenant: Uuid, urgency: Urgency, now: i64) -> Duration {
        self.lines.retain(|_, until| *until > now);
        let refused = self.refused.iter();
        let refused = refused.filter(|(at, _)| **at >= urgency);
        let first = refused.map(|(_, until)| *until).min().unwrap_or(now);
        let place = self.lines.get(&tenant).copied().unwrap_or(first).max(first);
        self.lines.insert(tenant, place);
        let tenants = i64::try_from(self.lines.len()).unwrap_or(1);
        let next = place.saturating_add(self.apart_ms.saturating_mul(tenants));
        self.lines.insert(tenant, next);
        let ms = place.saturating_sub(now).clamp(1, LONGEST_MS);
        Duration::from_millis(u64::try_from(ms).unwrap_or(1))
    }
}

fn millis(of: Duration) -> i64 {
    // Rounded up: a moment too early is asked for in vain.
    i64::try_from(of.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn lease(granted: u32, wait_ms: u64) -> Lease {
        Lease {
            granted,
            wait: Duration::from_millis(wait_ms),
            apart: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_was_leased_is_given_away_until_it_is_lost() {
        let mut quota = Quota::default();
        assert_eq!(quota.at_hand(Urgency::Follow, 0), None);
        assert!(quota.leased(lease(3, 0), Urgency::Follow, MINUTE, 0));
        assert_eq!(
            quota.at_hand(Urgency::Send, 100),
            None,
            "not for what is less pressing"
        );
        assert_eq!(quota.at_hand(Urgency::Fetch, 100), Some(true));
        assert_eq!(quota.at_hand(Urgency::Follow, 2_000), None, "lost");
        assert_eq!(quota.at_hand(Urgency::Follow, 1_999), Some(true));
        assert_eq!(quota.at_hand(Urgency::Follow, 1_999), None, "used up");
    }

    #[test]
    fn what_is_refused_is_refused_for_what_is_less_pressing_too() {
        let mut quota = Quota::default();
        assert!(!quota.leased(lease(0, 700), Urgency::Follow, MINUTE, 0));
        assert_eq!(quota.at_hand(Urgency::Follow, 699), Some(false));
        assert_eq!(quota.at_hand(Urgency::Send, 699), Some(false));
        assert_eq!(
            quota.at_hand(Urgency::Fetch, 699),
            None,
            "the row may have one"
        );
        assert_eq!(quota.at_hand(Urgency::Follow, 700), None);
    }

    #[test]
    fn many_that_wait_come_again_one_after_the_other_and_tenants_each_in_their_line() {
        let [many, one] = [1, 2].map(Uuid::from_u128);
        let mut quota = Quota::default();
        quota.leased(lease(0, 500), Urgency::Follow, MINUTE, 0);
        let mut waits = |tenant| quota.wait(tenant, Urgency::Follow, 0).as_millis();
        assert_eq!([waits(many), waits(many), waits(many)], [500, 1_500, 2_500]);
        assert_eq!(waits(one), 500, "not behind the other's");
        assert_eq!([waits(many), waits(many)], [3_500, 5_500]);
    }

    #[test]
    fn a_busy_credentials_row_is_not_written_for_each_request() {
        let mut quota = Quota::default();
        assert_eq!(quota.wanted(0), 1);
        quota.leased(lease(40, 0), Urgency::Follow, MINUTE, 0);
        for _ in 0..39 {
            assert_eq!(quota.at_hand(Urgency::Follow, 10), Some(true));
        }
        assert_eq!(quota.wanted(500), 10);
        assert_eq!(quota.wanted(3_000), 1);
    }
}
