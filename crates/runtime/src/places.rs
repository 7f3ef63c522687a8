//! Bulkheads: so many at once in all, and so many at one host, so that a slow
//! provider holds its own share and never everybody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places in all, and at each host.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    each: usize,
    hosts: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// Held while something is on the wire.
#[derive(Debug)]
pub(crate) struct Place {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// The most that one host may hold of `all`: three of four, so that there is always room for another.
pub(crate) const fn share(all: usize) -> usize {
    let share = all - all / 4;
    if share == 0 { 1 } else { share }
}

impl Places {
    pub(crate) fn new(all: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each: share(all),
            hosts: Mutex::default(),
        }
    }

    /// Waits for a place. Who waits for its own host holds nothing that others need.
    ///
    /// Cancel safety: dropped, it has taken nothing.
    pub(crate) async fn acquire(&self, host: &Arc<str>) -> Option<Place> {
        Some(Place {
            _host: self.host(host).acquire_owned().await.ok()?,
            _all: Arc::clone(&self.all).acquire_owned().await.ok()?,
        })
    }

    /// How many are free in all.
    pub(crate) fn free(&self) -> usize {
        self.all.available_permits()
    }

    /// Those of up to `n` that are free now.
    pub(crate) fn take(&self, host: &Arc<str>, n: usize) -> Vec<Place> {
        let own = self.host(host);
        let mut taken = Vec::new();
        while taken.len() < n
            && let Ok(_host) = Arc::clone(&own).try_acquire_owned()
            && let Ok(_all) = Arc::clone(&self.all).try_acquire_owned()
        {
            taken.push(Place { _host, _all });
        }
        taken
    }

    fn host(&self, host: &Arc<str>) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = hosts.get(host) {
            return Arc::clone(own);
        }
        // Those that nobody holds or waits for are made anew when they are needed.
        hosts.retain(|_, own| Arc::strong_count(own) > 1);
        let own = Arc::new(Semaphore::new(self.each));
        hosts.insert(Arc::clone(host), Arc::clone(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn one_host_cannot_take_the_last_places() {
        let places = Places::new(8);
        let (slow, other) = (Arc::from("https://slow"), Arc::from("https://other"));
        let taken = places.take(&slow, 20);
        assert_eq!(taken.len(), 6);
        let waiting = places.acquire(&slow);
        assert!(
            waiting.now_or_never().is_none(),
            "it waits for its own host"
        );
        assert_eq!(places.take(&other, 20).len(), 2);
        drop(taken);
        assert_eq!(places.take(&other, 20).len(), 6, "given back");
    }

    #[test]
    fn a_share_is_never_nothing() {
        assert_eq!([0, 1, 2, 4, 8, 512].map(share), [1, 1, 2, 3, 6, 384]);
    }
}
