//! The one place that spawns: every task has a name and a rule for its end.

use std::future::Future;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What ends a task before its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// A shutdown: it holds nothing that would be lost.
    Stop,
    /// Only the death of the library: it has an exchange in flight, or a fact to write.
    Death,
}

/// Computes on a thread that may take its time.
pub(crate) async fn aside<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(compute).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The tasks of one [`crate::Modelrow`].
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    loops: TaskTracker,
    exchanges: TaskTracker,
    /// Claims end, loops end. Death brings it along.
    pub(crate) stop: CancellationToken,
    /// Everything ends where it is, as in a crash.
    pub(crate) death: CancellationToken,
}

impl Default for Tasks {
    fn default() -> Self {
        let death = CancellationToken::new();
        Self {
            loops: TaskTracker::new(),
            exchanges: TaskTracker::new(),
            stop: death.child_token(),
            death,
        }
    }
}

impl Tasks {
    /// Runs `work` until it ends or its rule ends it.
    ///
    /// Cancel safety: `work` may be dropped at any await; `Until` says by what.
    #[expect(clippy::disallowed_methods, reason = "the task module")]
    pub(crate) fn spawn<F>(&self, name: &'static str, until: Until, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (tracker, end) = match until {
            Until::Stop => (&self.loops, self.stop.clone()),
            Until::Death => (&self.exchanges, self.death.clone()),
        };
        let task = tracker.track_future(async move {
            if end.run_until_cancelled(work).await.is_none() {
                tracing::trace!(task = name, "task ended by its rule");
            }
        });
        drop(tokio::spawn(task));
    }

    /// Exchanges in flight and facts not written yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.exchanges.len()
    }

    /// Waits for the loops, which `stop` has ended.
    pub(crate) async fn loops_ended(&self) {
        self.loops.close();
        self.loops.wait().await;
    }

    /// Waits for exchanges and facts.
    pub(crate) async fn exchanges_ended(&self) {
        self.exchanges.close();
        self.exchanges.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_stop_ends_loops_and_leaves_exchanges() {
        let tasks = Tasks::default();
        let (done, finish) = oneshot::channel::<()>();
        tasks.spawn("loop", Until::Stop, pending());
        tasks.spawn("exchange", Until::Death, async { drop(finish.await) });
        tasks.stop.cancel();
        tasks.loops_ended().await;
        assert_eq!(tasks.in_flight(), 1);
        drop(done);
        tasks.exchanges_ended().await;
        assert_eq!(tasks.in_flight(), 0);
    }

    #[tokio::test]
    async fn death_ends_exchanges_and_loops_where_they_are() {
        let tasks = Tasks::default();
        tasks.spawn("exchange", Until::Death, pending());
        tasks.spawn("loop", Until::Stop, pending());
        tasks.death.cancel();
        tasks.exchanges_ended().await;
        tasks.loops_ended().await;
        assert_eq!(tasks.in_flight(), 0);
    }
}
