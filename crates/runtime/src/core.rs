//! What every part of one library holds.

use crate::access::KeyHash;
use crate::catalogue::Catalogue;
use crate::clock::DbClock;
use crate::drift::Drift;
use crate::follow::Follow;
use crate::ground::{Grounds, Shared};
use crate::hints::Hints;
use crate::hooks::Hooks;
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::options::Options;
use crate::places::Places;
use crate::quota::Quotas;
use crate::setting::Unready;
use crate::tasks::Tasks;
use crate::tokens::Tokens;
use crate::traces::{self, End};
use crate::vitals::Vitals;
use crate::watches::Watches;
use engine::http::Http;
use engine::request::Drawn;
use profile::revision::Revision;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use store::claim::Intent;
use store::rewind::Remembered;
use store::{Store, StoreError};
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::{Builder, Uuid};

/// One library's parts.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) http: Http,
    pub(crate) catalogue: Catalogue,
    pub(crate) clock: Arc<DbClock>,
    pub(crate) watches: Watches,
    pub(crate) tasks: Tasks,
    pub(crate) drift: Drift,
    pub(crate) lease: Lease,
    pub(crate) follow: Follow,
    /// Something may be due for sending.
    pub(crate) queue: Notify,
    /// Something may have changed that the tick looks at.
    pub(crate) tick: Notify,
    /// Something may follow a run's end at the provider.
    pub(crate) outbox: Notify,
    /// What other processes are told.
    pub(crate) hints: Hints,
    pub(crate) submits: Places,
    pub(crate) fetches: Places,
    pub(crate) grounds: Grounds,
    pub(crate) tokens: Tokens,
    pub(crate) quotas: Quotas,
    /// A callback may be due.
    pub(crate) callbacks: Notify,
    pub(crate) callback_places: Places,
    /// How busy and how late this process is.
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) metrics: Metrics,
    pub(crate) hooks: Hooks,
    pub(crate) key_hash: KeyHash,
    /// When the artifact store was listed last (boot clock).
    pub(crate) swept: Mutex<i64>,
    /// Shards that this worker owned at the last look.
    pub(crate) shards: Mutex<Vec<i16>>,
    /// Attempts that this worker holds: intended, and not written as a fact yet.
    pub(crate) sending: Mutex<HashMap<Uuid, Remembered>>,
    /// Read by whoever commits an intent beside the claims; written by who compares memory with the rows.
    pub(crate) intends: tokio::sync::RwLock<()>,
    /// Runs that this worker prepares.
    pub(crate) preparing: Mutex<HashSet<Uuid>>,
    /// Claims whose commit was not answered.
    pub(crate) doubted: Mutex<Vec<Doubt>>,
}

/// A claim that may have been committed, and that was certainly not sent. A lost lease takes nothing of it away.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    pub(crate) intent: Intent,
    /// Asked about until then (boot clock).
    pub(crate) until_ms: i64,
}

/// Short: its catalogue alone is a megabyte of text.
impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("lease", &self.lease.current())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// A run ended, by our hand, or was let go.
    pub(crate) fn ended(&self, run: Uuid, revision: &Revision, end: &End<'_>) {
        let state = end.state;
        traces::ended(self, run, Some(revision), end);
        self.vitals.ended(state);
        self.metrics.ended(state);
        if state.is_ended() {
            self.callbacks.notify_one();
            self.hints.ended(run, state);
        }
        self.watches.state(run, state.as_str());
    }

    /// Its caller has canceled a run: whoever follows it acts on that, and a stream of it is let go.
    pub(crate) fn unwanted(&self, run: Uuid) {
        self.watches.hush(run);
        self.follow.cancel(run);
    }

    /// A file of so many bytes was stored.
    pub(crate) fn stored(&self, bytes: u64) {
        self.vitals.stored(bytes);
        self.metrics.stored(bytes);
    }

    /// A poll is sent, which was due then.
    pub(crate) fn polled(&self, due_ms: i64) {
        let late = self.clock.now_ms().saturating_sub(due_ms);
        self.vitals.lateness.saw(late);
        self.metrics.polled(late);
    }

    /// The database's time.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let nanos = i128::from(self.clock.now_ms()) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    pub(crate) fn drawn(&self) -> Drawn {
        Drawn {
            unix_ms: self.clock.now_ms(),
            // Random throughout, and by no call of the system: one is drawn for every poll.
            seed: Builder::from_random_bytes(rand::random()).into_uuid(),
        }
    }

    /// What the runs of one revision and credential share.
    pub(crate) async fn shared(
        &self,
        revision: &Arc<Revision>,
        credential: Uuid,
    ) -> Result<Arc<Shared>, Unready> {
        self.grounds
            .of(self, Arc::clone(revision), credential)
            .await
    }

    /// A shard of ours for this run, else of any living worker.
    pub(crate) async fn shard_for(&self, run: Uuid) -> Result<i16, StoreError> {
        if let Some(shard) = self.own_shard(run) {
            return Ok(shard);
        }
        Ok(self.store.shard_of_anyone().await?.unwrap_or(0))
    }

    pub(crate) fn own_shard(&self, run: Uuid) -> Option<i16> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let count = u128::try_from(shards.len())
            .ok()
            .filter(|count| *count > 0)?;
        shards
            .get(usize::try_from(run.as_u128() % count).ok()?)
            .copied()
    }

    pub(crate) fn owns(&self, shard: i16) -> bool {
        self.shards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&shard)
    }

    /// Where callers and providers reach us, without a slash at its end; empty: nobody has said.
    pub(crate) fn public_base(&self) -> &str {
        let url = self.options.public_url.as_deref().unwrap_or_default();
        url.trim_end_matches('/')
    }

    /// Where callers get a file.
    pub(crate) fn artifact_url(&self, run: Uuid, name: &str, idx: i64) -> String {
        let base = self.public_base();
        format!("{base}/v1/runs/{run}/artifacts/{name}/{idx}")
    }
}
