//! The worker's lease: renewed on its own thread and connection, so that a busy
//! program or pool cannot lose it; proved by a clock that counts suspension.

use crate::clock::boot_ms;
use crate::faults::At as _;
use crate::options::LeaseTimes;
use crate::vitals::Vitals;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::workers::WorkerRow;
use store::{Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A lease that was held when last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// New after every lost lease.
    pub(crate) worker: Uuid,
    /// Number of its session lock.
    pub(crate) no: i32,
    proven_until_ms: i64,
}

/// What the thread shows to the others.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    held: Arc<Mutex<Option<Held>>>,
    changed: watch::Sender<Option<Uuid>>,
    /// The thread is gone, and its connection with it.
    ended: CancellationToken,
}

/// What a thread needs.
pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) times: LeaseTimes,
    pub(crate) build: String,
    pub(crate) host: String,
    /// What is told with each renewal.
    pub(crate) vitals: Arc<Vitals>,
    /// Releases the lease and ends.
    pub(crate) release: CancellationToken,
    /// Ends without a word, as a crash does.
    pub(crate) death: CancellationToken,
}

impl Lease {
    /// A lease that nobody keeps: of a process that does not work.
    pub(crate) fn none() -> Self {
        let lease = Self::unkept();
        lease.ended.cancel();
        lease
    }

    fn unkept() -> Self {
        Self {
            held: Arc::default(),
            changed: watch::Sender::new(None),
            ended: CancellationToken::new(),
        }
    }

    /// Waits until nobody keeps it any more.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().at("lease.cancelled").await;
    }

    /// Starts the thread.
    pub(crate) fn keep(keeper: Keeper) -> io::Result<Self> {
        let lease = Self::unkept();
        let shown = lease.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("modelrow-lease".into())
            .spawn(move || {
                runtime.block_on(keeper.run(&shown));
                drop(runtime);
                shown.ended.cancel();
            })?;
        Ok(lease)
    }

    /// Who we are, while the lease is proved.
    pub(crate) fn current(&self) -> Option<Held> {
        let held = *self.lock();
        held.filter(|held| boot_ms() < held.proven_until_ms)
    }

    /// Asked right before the first byte: whether `worker` still holds its lease, by a clock that counts suspension.
    pub(crate) fn proves(&self, worker: Uuid) -> bool {
        self.current().is_some_and(|held| held.worker == worker)
    }

    /// Told when the worker's id changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Option<Uuid>> {
        self.changed.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, held: Option<Held>) {
        *self.lock() = held;
        let worker = held.map(|held| held.worker);
        self.changed
            .send_if_modified(|known| std::mem::replace(known, worker) != worker);
    }
}

impl Keeper {
    async fn run(self, lease: &Lease) {
        let life = async {
            while !self.release.is_cancelled() {
                match self.hold(lease).await {
                    Err(error) if self.release.is_cancelled() => {
                        tracing::info!(%error, "the worker's lease ends by itself");
                    }
                    Err(error) => tracing::warn!(%error, "the worker's lease is lost"),
                    Ok(()) => {}
                }
                lease.show(None);
                self.pause().await;
            }
        };
        tokio::select! {
            () = life => {}
            () = self.death.cancelled() => {}
        }
        lease.show(None);
    }

    /// Cancel safety: may be dropped at any await; the lease then ends by itself.
    async fn pause(&self) {
        tokio::select! {
            () = tokio::time::sleep(self.times.renew) => {}
            () = self.release.cancelled() => {}
        }
    }

    /// Registers and renews until the lease is lost or released.
    async fn hold(&self, lease: &Lease) -> Result<(), StoreError> {
        let mut connection = self
            .store
            .open_lease(self.times.statement_timeout)
            .at("lease.open_lease")
            .await?;
        let worker = Uuid::now_v7();
        let row = WorkerRow {
            worker_id: worker,
            build: self.build.clone(),
            language: i32::try_from(profile::rows::LANGUAGE).unwrap_or(i32::MAX),
            host: self.host.clone(),
        };
        let from = boot_ms();
        let no = connection
            .register(&row, self.times.ttl)
            .at("lease.register")
            .await?;
        lease.show(Some(self.proof(worker, no, from)));
        loop {
            self.pause().await;
            if self.release.is_cancelled() {
                // Shown to the end: whoever waits for the release sees it done.
                let released = connection.release(worker).at("lease.release").await;
                lease.show(None);
                return released;
            }
            let from = boot_ms();
            let report = serde_json::to_value(self.vitals.report()).unwrap_or_default();
            if !connection
                .renew(worker, self.times.ttl, &report)
                .at("lease.renew")
                .await?
            {
                tracing::warn!(%worker, "the lease was over before it was renewed");
                return Ok(());
            }
            lease.show(Some(self.proof(worker, no, from)));
        }
    }

    /// The proof is as old as the moment before the renewal was sent.
    fn proof(&self, worker: Uuid, no: i32, from_ms: i64) -> Held {
        Held {
            worker,
            no,
            proven_until_ms: from_ms.saturating_add(millis(self.times.ttl)),
        }
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_proves_nothing_once_its_time_is_over_or_for_another_id() {
        let lease = Lease::none();
        let (worker, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let held = |until| Held {
            worker,
            no: 1,
            proven_until_ms: until,
        };
        assert!(!lease.proves(worker));
        lease.show(Some(held(boot_ms() + 60_000)));
        assert!(lease.proves(worker));
        assert!(!lease.proves(other));
        lease.show(Some(held(boot_ms() - 1)));
        assert!(!lease.proves(worker));
    }
}
