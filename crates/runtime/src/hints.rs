//! What other processes are told, gathered: a transaction that notifies holds a lock until its commit is on disk, so one for
//! each run would put the commits of all runs in a line. Nothing is wrong without a hint, only later.

use crate::core::Core;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::State;
use tokio::sync::Notify;
use uuid::Uuid;

/// From one transaction that tells to the next, at least.
const APART: Duration = Duration::from_millis(20);
/// Ends that are told; of more, while the database is away, whoever waits finds out by looking.
const ENDS_MAX: usize = 10_000;

/// What is still to be told.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    untold: Mutex<Untold>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Untold {
    queued: bool,
    ended: Vec<(Uuid, State)>,
}

impl Hints {
    /// Something was queued that any worker may take.
    pub(crate) fn queued(&self) {
        self.lock().queued = true;
        self.some.notify_one();
    }

    /// A run ended, and somebody in another process may wait for that.
    pub(crate) fn ended(&self, run: Uuid, state: State) {
        let mut untold = self.lock();
        if untold.ended.len() < ENDS_MAX {
            untold.ended.push((run, state));
        }
        drop(untold);
        self.some.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells: at once what comes alone, together what comes close behind.
///
/// Cancel safety: what was not told is found by looking.
pub(crate) async fn serve(core: Arc<Core>) {
    loop {
        core.hints.some.notified().await;
        let Untold { queued, ended } = std::mem::take(&mut *core.hints.lock());
        if let Err(error) = core.store.tell(queued, &ended).await {
            tracing::debug!(%error, "others find out by looking");
        }
        tokio::time::sleep(APART).await;
    }
}
