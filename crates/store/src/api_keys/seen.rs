//! Who holds a key, as it was seen a moment ago: calls that follow each other closely ask the database once.

use super::KeyHolder;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What was seen with a key holds so long. What another process has changed since is not seen before: a key that was revoked
/// there, and a brake or limits, which a call that leaves a record asks about by itself.
pub const JUST_NOW: Duration = Duration::from_millis(50);
/// Keys that are remembered at a time.
const MOST: usize = 1_024;

/// Good keys, by their hash. Whoever changes what was seen with them forgets all.
#[derive(Debug, Default)]
pub(crate) struct SeenKeys(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    holders: HashMap<Vec<u8>, KeyHolder>,
    forgotten: u64,
}

/// What was asked before the next forgetting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked(u64);

/// Forgets when it is dropped, however the change ended.
#[derive(Debug)]
#[must_use = "it forgets when it is dropped"]
pub(crate) struct Forgets<'a>(&'a SeenKeys);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.lock();
        seen.holders.clear();
        seen.forgotten += 1;
    }
}

impl SeenKeys {
    /// Who holds it; else what [`SeenKeys::keep`] wants with the answer of the database.
    pub(super) fn holder(&self, hash: &[u8], now: Instant) -> Result<KeyHolder, Asked> {
        let seen = self.lock();
        let held = seen.holders.get(hash);
        let held = held.filter(|held| now < held.asked + JUST_NOW);
        held.cloned().ok_or(Asked(seen.forgotten))
    }

    /// Unless a change has been forgotten since: the answer may be older than that.
    pub(super) fn keep(&self, hash: &[u8], asked: Asked, holder: &KeyHolder) {
        let mut seen = self.lock();
        if asked != Asked(seen.forgotten) {
            return;
        }
        if seen.holders.len() >= MOST {
            seen.holders
                .retain(|_, before| holder.asked < before.asked + JUST_NOW);
        }
        if seen.holders.len() < MOST {
            seen.holders.insert(hash.to_vec(), holder.clone());
        }
    }

    /// For a change: made while this is held, it is seen by whoever asks afterwards.
    pub(crate) fn change(&self) -> Forgets<'_> {
        Forgets(self)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn holder(asked: Instant) -> KeyHolder {
        KeyHolder {
            id: Uuid::nil(),
            tenant: Uuid::nil(),
            is_system: false,
            role: "caller".to_owned(),
            shown: String::new(),
            name: String::new(),
            expired: false,
            revoked: false,
            unhindered: true,
            asked,
        }
    }

    fn asked(seen: &SeenKeys, hash: &[u8], now: Instant) -> Asked {
        seen.holder(hash, now).unwrap_err()
    }

    #[test]
    fn a_key_is_remembered_for_a_moment_and_not_once_something_was_changed_here() {
        let (seen, now) = (SeenKeys::default(), Instant::now());
        seen.keep(&[1], asked(&seen, &[1], now), &holder(now));
        assert!(seen.holder(&[1], now).is_ok());
        asked(&seen, &[2], now);
        asked(&seen, &[1], now + JUST_NOW);
        drop(seen.change());
        asked(&seen, &[1], now);
    }

    #[test]
    fn an_answer_that_may_be_older_than_a_change_is_not_kept() {
        let (seen, now) = (SeenKeys::default(), Instant::now());
        let change = seen.change();
        let before = asked(&seen, &[1], now);
        drop(change);
        seen.keep(&[1], before, &holder(now));
        asked(&seen, &[1], now);
    }

    #[test]
    fn so_many_keys_and_no_more_are_remembered() {
        let (seen, now) = (SeenKeys::default(), Instant::now());
        let keep = |n: usize, at| {
            let hash = n.to_be_bytes();
            seen.keep(&hash, asked(&seen, &hash, at), &holder(at));
        };
        (0..=MOST).for_each(|n| keep(n, now));
        asked(&seen, &MOST.to_be_bytes(), now);
        assert_eq!(seen.lock().holders.len(), MOST);
        keep(MOST, now + JUST_NOW);
        assert!(seen.holder(&MOST.to_be_bytes(), now + JUST_NOW).is_ok());
        assert_eq!(seen.lock().holders.len(), 1);
    }
}
