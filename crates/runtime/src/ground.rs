//! What the runs of one revision and credential share, kept for a few seconds:
//! so that nothing is read from the database for a poll.

use crate::clock::boot_ms;
use crate::core::Core;
use crate::keys::keyring;
use crate::setting::Unready;
use engine::flow::Ground;
use engine::{Fault, Kind, RunIdentity, Setting};
use profile::call::{Call, Checked};
use profile::revision::Revision;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// A changed credential or a rotated secret is seen after so long, at most.
const FRESH_MS: i64 = 5_000;
/// What nobody asked for in so long is forgotten.
const UNUSED_MS: i64 = 600_000;

/// One of them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ground: Ground,
    credential: Uuid,
    host: Arc<str>,
    /// By tenant.
    commons: Mutex<HashMap<Uuid, Arc<Common>>>,
}

/// What each of their runs keeps at hand: once for all of a tenant's, for very many wait.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) revision: Arc<Revision>,
    pub(crate) credential: Uuid,
    pub(crate) tenant: Uuid,
    /// Scheme, host and port: what polls of one provider queue for.
    pub(crate) host: Arc<str>,
}

impl Shared {
    /// What this tenant's runs of them have in common.
    pub(crate) fn common(&self, tenant: Uuid) -> Arc<Common> {
        let mut commons = self.commons();
        let common = commons.entry(tenant).or_insert_with(|| {
            Arc::new(Common {
                revision: Arc::clone(self.ground.revision()),
                credential: self.credential,
                tenant,
                host: Arc::clone(&self.host),
            })
        });
        Arc::clone(common)
    }

    /// Goes on with what runs of the one before have in common, where that is the same.
    fn after(self, before: &Self) -> Self {
        if before.host != self.host {
            return self;
        }
        let mut commons = std::mem::take(&mut *before.commons());
        // Nobody else's: their runs are over.
        commons.retain(|_, common| Arc::strong_count(common) > 1);
        Self {
            host: Arc::clone(&before.host),
            commons: Mutex::new(commons),
            ..self
        }
    }

    fn commons(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<Common>>> {
        self.commons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Key = ([u8; 32], Uuid);

#[derive(Debug)]
struct Made {
    shared: Arc<Shared>,
    /// By the boot clock.
    read_ms: i64,
    asked_ms: i64,
}

/// All that were made here.
#[derive(Debug, Default)]
pub(crate) struct Grounds(Mutex<HashMap<Key, Made>>);

/// Whether it may be used as it is.
enum Held {
    Fresh(Arc<Shared>),
    /// To be read again by whoever was told so; it serves the others meanwhile.
    Stale(Arc<Shared>),
    Missing,
}

impl Grounds {
    /// What runs of this revision and credential share. While the database is away, what was read before serves on.
    pub(crate) async fn of(
        &self,
        core: &Core,
        revision: Arc<Revision>,
        credential: Uuid,
    ) -> Result<Arc<Shared>, Unready> {
        let key = (revision.id.0, credential);
        let old = match self.held(key, boot_ms()) {
            Held::Fresh(shared) => return Ok(shared),
            Held::Stale(shared) => Some(shared),
            Held::Missing => None,
        };
        // Seldom, and large: a poll does not carry it.
        match (Box::pin(made(core, revision, credential)).await, old) {
            (Ok(shared), _) => Ok(self.keep(key, shared, boot_ms())),
            (Err(Unready::Later(_)), Some(old)) => Ok(old),
            (Err(why), _) => {
                self.lock().remove(&key);
                Err(why)
            }
        }
    }

    /// Rows have changed: everything is read again when it is asked for.
    pub(crate) fn stale(&self) {
        let long_ago = boot_ms().saturating_sub(FRESH_MS);
        self.lock()
            .values_mut()
            .for_each(|made| made.read_ms = made.read_ms.min(long_ago));
    }

    fn held(&self, key: Key, now_ms: i64) -> Held {
        let mut all = self.lock();
        let Some(made) = all.get_mut(&key) else {
            return Held::Missing;
        };
        made.asked_ms = now_ms;
        if now_ms.saturating_sub(made.read_ms) < FRESH_MS {
            return Held::Fresh(Arc::clone(&made.shared));
        }
        // The others go on with it: one reads.
        made.read_ms = now_ms;
        Held::Stale(Arc::clone(&made.shared))
    }

    fn keep(&self, key: Key, shared: Shared, now_ms: i64) -> Arc<Shared> {
        let mut all = self.lock();
        all.retain(|_, made| now_ms.saturating_sub(made.asked_ms) < UNUSED_MS);
        let shared = Arc::new(match all.get(&key) {
            Some(before) => shared.after(&before.shared),
            None => shared,
        });
        let made = Made {
            shared: Arc::clone(&shared),
            read_ms: now_ms,
            asked_ms: now_ms,
        };
        all.insert(key, made);
        shared
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn made(core: &Core, revision: Arc<Revision>, credential: Uuid) -> Result<Shared, Unready> {
    let row = core.store.credential(credential).await?;
    let row = row.ok_or_else(|| Fault::new(Kind::BadSecret, "the run's credential is gone"))?;
    let setting = Setting {
        secrets: Arc::new(keyring(core, &revision, &row).await?),
        checked: Arc::new(Checked {
            call: Call::default(),
        }),
        identity: RunIdentity {
            run_id: Uuid::nil(),
            token: Uuid::nil(),
            callback_url: None,
        },
        media: Arc::default(),
        endpoint: row.endpoint_url,
        allow: core.options.allow,
        // Any number will do, as long as credentials differ.
        phase_ms: credential.as_u64_pair().1 >> 32,
        revision,
    };
    let ground = Ground::new(setting);
    Ok(Shared {
        credential,
        host: ground.origin().into(),
        commons: Mutex::default(),
        ground,
    })
}
