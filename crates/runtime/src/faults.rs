//! Named points around the awaits of submit, settle, fetch and lease, where the fault suite (`tests/faults`) stops a worker
//! to kill it, to freeze it, or to take its database away. Without the feature `faults` a name costs nothing: the future is
//! returned as it is. Why no library: those there are block the thread, return early from the function, or tell nobody
//! which points were reached.

use std::future::Future;
#[cfg(feature = "faults")]
use std::pin::Pin;

#[cfg(feature = "faults")]
mod plan;
#[cfg(feature = "faults")]
pub(crate) use plan::{Broken, broken, build, clock_ms, sweeps, twice};

/// Names an await: `store.claim(…).at("claim.open").await`. `points.rs` finds an await without a name.
pub(crate) trait At: Future + Sized {
    /// The same future.
    #[cfg(not(feature = "faults"))]
    fn at(self, _name: &'static str) -> Self {
        self
    }

    /// The same future between two points: `before` it is polled, and `after` it is done.
    ///
    /// Cancel safety: that of the future.
    #[cfg(feature = "faults")]
    fn at(self, name: &'static str) -> Pin<Box<impl Future<Output = Self::Output>>> {
        Box::pin(async move {
            plan::reached(name, "before").await;
            let done = self.await;
            plan::reached(name, "after").await;
            done
        })
    }
}

impl<F: Future> At for F {}

/// Of the build that sends again what dead senders left.
#[cfg(feature = "faults")]
pub(crate) async fn sent_again(
    core: &crate::core::Core,
    runs: &[uuid::Uuid],
) -> Result<(), store::StoreError> {
    for row in core.store.work(runs).await? {
        let freed = core
            .store
            .settle_written_off(row.run_id, row.attempt, row.ver);
        freed.await?;
    }
    Ok(())
}
