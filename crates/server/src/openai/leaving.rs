//! A client that leaves a stream cancels its run: nobody else hears what it would be paid for.

use runtime::RunHandle;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// A client whose connection broke, and not its will, is back by then: the official ones send the call again within a second, and
/// are answered with the same run.
const GRACE: Duration = Duration::from_secs(3);

/// How many clients hear the stream of each run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Listeners(Arc<Mutex<HashMap<Uuid, usize>>>);

/// One client that hears a stream. Dropped before [`Listening::heard_all`], it has left.
#[derive(Debug)]
pub(super) struct Listening {
    all: Listeners,
    run: RunHandle,
    has_left: bool,
}

impl Listeners {
    pub(super) fn add(&self, run: RunHandle) -> Listening {
        self.change(run.id(), |heard_by| heard_by + 1);
        Listening {
            all: self.clone(),
            run,
            has_left: true,
        }
    }

    /// Counts anew; whose count is 0 is forgotten.
    fn change(&self, run: Uuid, count: impl FnOnce(usize) -> usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = count(all.get(&run).copied().unwrap_or_default());
        if now == 0 {
            all.remove(&run);
        } else {
            all.insert(run, now);
        }
    }

    fn has(&self, run: Uuid) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains_key(&run)
    }
}

impl Listening {
    /// The stream is over, or ends for a reason of ours: the run is left as it is.
    pub(super) fn heard_all(&mut self) {
        self.has_left = false;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let run = self.run.id();
        self.all.change(run, |heard_by| heard_by.saturating_sub(1));
        if self.has_left && !self.all.has(run) {
            let all = self.all.clone();
            self.run.cancel_later(GRACE, move || all.has(run));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_heard_until_its_last_client_has_left() {
        let (listeners, run) = (Listeners::default(), Uuid::from_u128(1));
        assert!(!listeners.has(run));
        listeners.change(run, |heard_by| heard_by + 1);
        listeners.change(run, |heard_by| heard_by + 1);
        listeners.change(run, |heard_by| heard_by.saturating_sub(1));
        assert!(listeners.has(run));
        listeners.change(run, |heard_by| heard_by.saturating_sub(1));
        assert!(!listeners.has(run));
        assert!(listeners.0.lock().unwrap().is_empty());
    }
}
