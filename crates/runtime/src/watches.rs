//! Who watches which run in this process. A run that nobody watches costs nothing.

use crate::events::Progress;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// The watched runs.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<HashMap<Uuid, watch::Sender<Progress>>>);

impl Watches {
    /// Watches a run from now on.
    pub(crate) fn watch(&self, run: Uuid) -> watch::Receiver<Progress> {
        let mut watched = self.lock();
        // Those that nobody watches any more go now and then.
        if watched.len() > 64 && watched.len().is_power_of_two() {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
        watched.entry(run).or_default().subscribe()
    }

    /// Tells the watchers of a run, if it has any. `true`: it has.
    pub(crate) fn tell(&self, run: Uuid, change: impl FnOnce(&mut Progress)) -> bool {
        let mut watched = self.lock();
        let Some(sender) = watched.get(&run) else {
            return false;
        };
        if sender.receiver_count() == 0 {
            watched.remove(&run);
            return false;
        }
        sender.send_if_modified(|progress| {
            let before = progress.clone();
            change(progress);
            *progress != before
        });
        true
    }

    /// The same, for a change of state.
    pub(crate) fn state(&self, run: Uuid, state: &str) {
        self.tell(run, |progress| state.clone_into(&mut progress.state));
    }

    /// What the watchers know.
    pub(crate) fn known(&self, run: Uuid) -> Option<Progress> {
        self.lock().get(&run).map(|sender| sender.borrow().clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, watch::Sender<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_nobody_watches_is_forgotten() {
        let watches = Watches::default();
        let run = Uuid::from_u128(1);
        assert!(!watches.tell(run, |_| {}));
        let watcher = watches.watch(run);
        watches.state(run, "polling");
        assert_eq!(watcher.borrow().state, "polling");
        drop(watcher);
        assert!(!watches.tell(run, |_| {}));
        assert_eq!(watches.known(run), None);
    }
}
