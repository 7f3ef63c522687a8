//! Callbacks in, up to their answer: whose address it is, what is stored. What
//! they mean is for whoever follows the run ([`crate::callbacks`]).

use crate::clock::boot_ms;
use crate::core::Core;
use crate::error::RunError;
use crate::library::Modelrow;
use crate::setting::Unready;
use engine::http::Outcome;
use engine::webhook::{Callback, Hook, HookKey, headers_read, public_keys};
use profile::revision::{Revision, Webhook};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use store::StoreError;
use store::receipts::NewReceipt;
use uuid::Uuid;

/// Callbacks stored for one run; of those that name a job nobody knows, for one hook. Polling remains for the rest.
const STORED_MAX: i64 = 1_000;
/// Bytes of one header that is kept.
const HEADER_MAX: usize = 8 * 1024;
/// Jobs that one body names to the profiles of a provider.
const JOBS_MAX: usize = 4;
/// A set of keys is fetched again after so long.
const KEYS_FRESH_MS: i64 = 3_600_000;
/// One that did not have the key is fetched again at most so often; one that could not be had, too.
const KEYS_AGAIN_MS: i64 = 60_000;
/// Sets of keys that are kept.
const SETS_MAX: usize = 256;

/// What became of a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is no address of ours.
    NoAddress,
    /// The address is being registered: this is to be given back.
    Challenge {
        /// The name under which it came.
        name: String,
        /// The value.
        value: String,
    },
    /// It is stored, or was already; or there is nothing to store.
    Kept,
}

/// Our addresses, and the keys of those who sign.
pub(crate) struct Hooks {
    key: HookKey,
    base: Option<String>,
    sets: Mutex<HashMap<String, KeySet>>,
}

#[derive(Debug, Clone)]
struct KeySet {
    /// Empty: they could not be had.
    keys: Vec<[u8; 32]>,
    /// By the boot clock.
    at_ms: i64,
}

impl Hooks {
    pub(crate) fn new(key: Vec<u8>, public_url: Option<&str>) -> Self {
        Self {
            key: HookKey::new(key),
            base: public_url.map(|url| format!("{}/hooks", url.trim_end_matches('/'))),
            sets: Mutex::default(),
        }
    }

    /// `callback_url`; absent where we cannot be reached.
    pub(crate) fn address_of_run(&self, provider: &str, run: Uuid) -> Option<String> {
        self.address(provider, Hook::Run(run))
    }

    fn address(&self, provider: &str, hook: Hook) -> Option<String> {
        let base = self.base.as_ref()?;
        Some(format!("{base}/{}", self.key.path(provider, hook)))
    }

    /// For a plan.
    pub(crate) fn masked(&self, provider: &str) -> Option<String> {
        let base = self.base.as_ref()?;
        Some(format!("{base}/{provider}/{}", diag::mask()))
    }

    /// The public keys of a set, fetched through the egress guard and kept for an hour. `again`: what is here did not do.
    pub(crate) async fn public_keys(
        &self,
        core: &Core,
        (revision, credential): (&Arc<Revision>, Uuid),
        (address, again): (&str, bool),
    ) -> Option<Vec<[u8; 32]>> {
        if let Some(set) = self.held(address) {
            let age = boot_ms().saturating_sub(set.at_ms);
            let good = !set.keys.is_empty() && age < KEYS_FRESH_MS && !again;
            if good || age < KEYS_AGAIN_MS {
                return Some(set.keys).filter(|keys| !keys.is_empty() && !again);
            }
        }
        let fetched = fetched(core, revision, credential, address).await;
        let keys = fetched.unwrap_or_else(|why| {
            tracing::warn!(%why, "the keys that sign callbacks cannot be had; polling goes on");
            Vec::new()
        });
        let set = KeySet {
            keys: keys.clone(),
            at_ms: boot_ms(),
        };
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if sets.len() >= SETS_MAX {
            sets.clear();
        }
        sets.insert(address.to_owned(), set);
        Some(keys).filter(|keys| !keys.is_empty())
    }

    fn held(&self, address: &str) -> Option<KeySet> {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.get(address).cloned()
    }
}

async fn fetched(
    core: &Core,
    revision: &Arc<Revision>,
    credential: Uuid,
    address: &str,
) -> Result<Vec<[u8; 32]>, Unready> {
    let shared = core.shared(revision, credential).await?;
    let request = shared.ground.get(address, core.drawn())?;
    match core.http.send(&request).await {
        Outcome::Answered(received) if received.status == 200 => Ok(public_keys(&received.body)?),
        Outcome::Answered(received) => {
            Err(Unready::Later(format!("HTTP status {}", received.status)))
        }
        Outcome::NotSent(fault) | Outcome::Broken(fault) => Err(fault.into()),
    }
}

/// Whose callbacks come to an address, and how they are read.
struct Listener {
    hook: Hook,
    provider: Uuid,
    tenant: Uuid,
    revisions: Vec<Arc<Revision>>,
}

impl Listener {
    fn webhooks(&self) -> impl Iterator<Item = &Webhook> {
        self.revisions
            .iter()
            .filter_map(|revision| revision.webhook.as_ref())
    }

    fn challenge(&self, callback: &Callback) -> Option<Heard> {
        let found = self
            .webhooks()
            .find_map(|webhook| callback.challenge(webhook));
        found.map(|(name, value)| Heard::Challenge { name, value })
    }

    /// Only the headers that a profile reads: others may hold secrets.
    fn keep(&self, callback: Callback) -> Callback {
        let read: BTreeSet<String> = self.webhooks().flat_map(headers_read).collect();
        let mut headers = callback.headers;
        headers.retain(|(name, value)| read.contains(name) && value.len() <= HEADER_MAX);
        Callback {
            headers,
            ..callback
        }
    }
}

impl Modelrow {
    /// Whether this is an address of ours for callbacks: its provider, and its token. Asked before a body is read.
    #[must_use]
    pub fn knows_hook(&self, provider: &str, token: &str) -> bool {
        self.core().hooks.key.open(provider, token).is_some()
    }

    /// Takes a provider's callback: stored, and nothing more. Whoever follows its run proves it and asks the provider.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`]: answer 5xx, the provider repeats it.
    pub async fn callback(
        &self,
        provider: &str,
        token: &str,
        callback: Callback,
    ) -> Result<Heard, RunError> {
        Ok(heard(self.core(), provider, token, callback).await?)
    }

    /// What a provider is given back when it asks, with a `GET`, whether an address of ours is one: nothing is stored.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn callback_challenge(
        &self,
        provider: &str,
        token: &str,
        asked: &Callback,
    ) -> Result<Heard, RunError> {
        Ok(challenged(self.core(), provider, token, asked).await?)
    }

    /// The address of callbacks that stays the same, for a provider whose address is configured once: of the tenant whose
    /// credentials are used. Its callbacks find their runs by `job_id_path`. `None`: there is no `public_url`.
    #[must_use]
    pub fn callback_address(&self, tenant: Uuid, provider: &str) -> Option<String> {
        self.core().hooks.address(provider, Hook::Tenant(tenant))
    }
}

async fn challenged(
    core: &Core,
    provider: &str,
    token: &str,
    asked: &Callback,
) -> Result<Heard, StoreError> {
    let Some(listener) = listener(core, provider, token).await? else {
        return Ok(Heard::NoAddress);
    };
    Ok(listener.challenge(asked).unwrap_or(Heard::Kept))
}

async fn heard(
    core: &Core,
    provider: &str,
    token: &str,
    callback: Callback,
) -> Result<Heard, StoreError> {
    let Some(listener) = listener(core, provider, token).await? else {
        return Ok(Heard::NoAddress);
    };
    if let Some(challenge) = listener.challenge(&callback) {
        return Ok(challenge);
    }
    let callback = listener.keep(callback);
    match listener.hook {
        Hook::Run(run) => put(core, &listener, &callback, (Some(run), None)).await?,
        Hook::Tenant(_) => by_job(core, &listener, &callback).await?,
    }
    Ok(Heard::Kept)
}

async fn listener(
    core: &Core,
    provider: &str,
    token: &str,
) -> Result<Option<Listener>, StoreError> {
    match core.hooks.key.open(provider, token) {
        Some(hook @ Hook::Run(run)) => of_run(core, hook, run).await,
        Some(hook @ Hook::Tenant(tenant)) => Ok(of_tenant(core, hook, provider, tenant)),
        None => Ok(None),
    }
}

async fn of_run(core: &Core, hook: Hook, run: Uuid) -> Result<Option<Listener>, StoreError> {
    let Some(row) = core.store.hooked_run(run).await? else {
        return Ok(None);
    };
    // What this program cannot read, it keeps without headers: another one follows the run.
    let revision = core.catalogue.revision(&core.store, &row.revision_id).await;
    Ok(Some(Listener {
        hook,
        provider: row.provider_id,
        tenant: row.tenant_id,
        revisions: revision.into_iter().collect(),
    }))
}

/// Of the profiles that this tenant sees; none: nothing of this provider calls back.
fn of_tenant(core: &Core, hook: Hook, provider: &str, tenant: Uuid) -> Option<Listener> {
    let snapshot = core.catalogue.now();
    let sees = |owner: Option<Uuid>| owner.is_none_or(|owner| owner == tenant);
    let mut rows: Vec<_> = snapshot
        .rows
        .providers
        .iter()
        .filter(|row| row.slug == provider && sees(row.tenant))
        .collect();
    rows.sort_by_key(|row| row.tenant.is_none());
    let entries = snapshot.compiled.revisions.iter();
    let mut revisions: Vec<Arc<Revision>> = entries
        .filter(|entry| entry.key.provider == provider && sees(entry.key.tenant))
        .filter_map(|entry| entry.revision.as_ref().ok().cloned())
        .filter(|revision| revision.webhook.is_some())
        .collect();
    revisions.dedup_by_key(|revision| revision.id.0);
    let listener = Listener {
        hook,
        provider: rows.first()?.id?,
        tenant,
        revisions,
    };
    (!listener.revisions.is_empty()).then_some(listener)
}

/// One row for each job that the body names; without one nobody could ever find it.
async fn by_job(core: &Core, listener: &Listener, callback: &Callback) -> Result<(), StoreError> {
    let jobs: BTreeSet<String> = listener
        .webhooks()
        .filter_map(|webhook| callback.job_id(webhook))
        .collect();
    if jobs.is_empty() {
        tracing::debug!("a callback names no job, and its address is no run's");
    }
    for job in jobs.iter().take(JOBS_MAX) {
        let run = core
            .store
            .run_of_job(listener.provider, listener.tenant, job)
            .await?;
        put(core, listener, callback, (run, Some(job))).await?;
        if run.is_none() {
            accepted_meanwhile(core, listener, job).await?;
        }
    }
    Ok(())
}

/// An acceptance looks for stored callbacks after it was written; one that was written in between is looked for here.
async fn accepted_meanwhile(core: &Core, listener: &Listener, job: &str) -> Result<(), StoreError> {
    let (provider, tenant) = (listener.provider, listener.tenant);
    match core.store.run_of_job(provider, tenant, job).await? {
        Some(run) => core.store.called_hint(run).await,
        None => Ok(()),
    }
}

async fn put(
    core: &Core,
    listener: &Listener,
    callback: &Callback,
    (run_id, job): (Option<Uuid>, Option<&str>),
) -> Result<(), StoreError> {
    let headers = callback.headers.iter();
    let headers: Map<String, Value> = headers
        .map(|(name, value)| (name.clone(), Value::String(value.clone())))
        .collect();
    let receipt = NewReceipt {
        receipt_id: Uuid::now_v7(),
        provider_id: listener.provider,
        tenant_id: listener.tenant,
        run_id,
        dedup: callback.digest(listener.hook, job).to_vec(),
        provider_job_id: job.map(str::to_owned),
        headers: Value::Object(headers),
        body: callback.body.to_vec(),
    };
    if !core.store.receipt_store(&receipt, STORED_MAX).await? {
        tracing::debug!("a callback is there already, or too many of them are");
    }
    Ok(())
}
