//! Who holds a key, as it was seen just now: calls that follow each other closely ask the database once.

use super::Principal;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What was seen with a key holds so long: a revoked key, and a brake, stop what comes after it.
pub(crate) const JUST_NOW: Duration = Duration::from_millis(50);
/// Keys that are remembered at a time.
const MOST: usize = 1_024;

/// By the key's hash, with the moment of the question.
#[derive(Debug, Default)]
pub(crate) struct SeenKeys(Mutex<HashMap<Vec<u8>, (Instant, Principal)>>);

impl SeenKeys {
    pub(super) fn holder(&self, hash: &[u8], now: Instant) -> Option<Principal> {
        let seen = self.lock();
        let (asked, holder) = seen.get(hash)?;
        (now < *asked + JUST_NOW).then(|| holder.clone())
    }

    pub(super) fn keep(&self, hash: Vec<u8>, asked: Instant, holder: &Principal) {
        let mut seen = self.lock();
        if seen.len() >= MOST {
            seen.retain(|_, (before, _)| asked < *before + JUST_NOW);
        }
        if seen.len() < MOST {
            seen.insert(hash, (asked, holder.clone()));
        }
    }

    /// A key was revoked by this process.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, (Instant, Principal)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use uuid::Uuid;

    fn holder() -> Principal {
        Principal {
            tenant: Uuid::nil(),
            role: Role::Caller,
            api_key_id: Some(Uuid::nil()),
            unhindered: None,
            actor: "somebody".to_owned(),
        }
    }

    #[test]
    fn a_key_is_remembered_for_a_moment_and_not_once_it_was_revoked_here() {
        let (seen, now) = (SeenKeys::default(), Instant::now());
        seen.keep(vec![1], now, &holder());
        assert_eq!(seen.holder(&[1], now), Some(holder()));
        assert_eq!(seen.holder(&[2], now), None);
        assert_eq!(seen.holder(&[1], now + JUST_NOW), None, "asked again");
        seen.forget();
        assert_eq!(seen.holder(&[1], now), None);
    }

    #[test]
    fn so_many_keys_and_no_more_are_remembered() {
        let (seen, now) = (SeenKeys::default(), Instant::now());
        let hash = |n: usize| n.to_be_bytes().to_vec();
        (0..MOST).for_each(|n| seen.keep(hash(n), now, &holder()));
        let last = hash(MOST);
        seen.keep(last.clone(), now, &holder());
        assert_eq!((seen.holder(&last, now), seen.lock().len()), (None, MOST));
        let later = now + JUST_NOW;
        seen.keep(last.clone(), later, &holder());
        let known = (seen.holder(&last, later), seen.lock().len());
        assert_eq!(known, (Some(holder()), 1));
    }
}
