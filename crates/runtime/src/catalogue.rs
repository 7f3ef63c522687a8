//! What serves now: all rows compiled in one way with bundles. The last good
//! revision of a profile goes on when its row has become bad.

mod served;

use crate::gate::{self, Gate, Judged};
use crate::rows;
use diag::{Code, Diagnostic, Diagnostics, Place};
use profile::catalogue::{Compiled, Entry, EntryKey, compile_rows};
use profile::content::compile_content;
use profile::revision::Revision;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use store::catalogue::{CredentialRow, ProfileRow, Rows};
use store::revisions::{RevisionRow, Verdict};
use store::{Store, StoreError};
use uuid::Uuid;

/// One state of the rows, and what it means.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) version: i64,
    pub(crate) rows: Rows,
    pub(crate) compiled: Arc<Compiled>,
    /// What was found in each active profile, whatever serves in its place.
    pub(crate) found: HashMap<Uuid, Diagnostics>,
    /// Tenants whose calls are served from the result cache unless they say otherwise.
    pub(crate) caching: HashSet<Uuid>,
}

/// The rows, compiled; and every revision that was met.
#[derive(Debug)]
pub(crate) struct Catalogue {
    build: String,
    now: RwLock<Arc<Snapshot>>,
    met: Mutex<HashMap<Vec<u8>, Arc<Revision>>>,
    stored: Mutex<HashSet<Vec<u8>>>,
    gate: Gate,
    /// One load at a time: a later one sees at least what an earlier one saw.
    loading: tokio::sync::Mutex<()>,
}

/// A run names a revision that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevisionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("revision {0} cannot be read by this program")]
    Unreadable(String),
}

impl Catalogue {
    pub(crate) fn new(build: String) -> Self {
        Self {
            build,
            now: RwLock::default(),
            met: Mutex::default(),
            stored: Mutex::default(),
            gate: Gate::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the version, and the rows when it has moved.
    pub(crate) async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        if store.catalogue_version().await? == self.now().version && self.now().version > 0 {
            return Ok(());
        }
        self.load(store).await
    }

    /// Reads and compiles the rows, and writes down what became of each profile.
    pub(crate) async fn load(&self, store: &Store) -> Result<(), StoreError> {
        let _one = self.loading.lock().await;
        let rows = store.catalogue(None).await?;
        let mut compiled = compile_rows(&rows::to_language(&rows));
        let judged = self
            .gate
            .judge(store, &rows, &compiled, &self.build)
            .await?;
        gate::refuse(&rows, &mut compiled, &judged);
        let found = found_in(&rows, &compiled);
        let verdicts = self.verdicts(&rows, &compiled, &judged, &found);
        let good: Vec<Arc<Revision>> = compiled
            .revisions
            .iter()
            .filter_map(|entry| entry.revision.as_ref().ok().cloned())
            .collect();
        self.put(store, &good).await?;
        self.keep_serving(store, &rows, &mut compiled).await?;
        if let Err(error) = store.verdicts_put(&verdicts).await {
            tracing::warn!(%error, "what became of the profiles is not written down");
        }
        let served = served::newly(&self.now().compiled, &rows, &compiled);
        if !served.is_empty()
            && let Err(error) = store.served_put(&served).await
        {
            tracing::warn!(%error, "what serves of the profiles is not written down");
        }
        let caching = store.tenants_that_cache().await?;
        let snapshot = Snapshot {
            version: rows.version,
            caching: caching.into_iter().collect(),
            rows,
            compiled: Arc::new(compiled),
            found,
        };
        tracing::info!(
            version = snapshot.version,
            profiles = snapshot.rows.profiles.len(),
            "catalogue loaded"
        );
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }

    /// Stores revisions that were not stored before, and remembers them.
    async fn put(&self, store: &Store, revisions: &[Arc<Revision>]) -> Result<(), StoreError> {
        let new: Vec<RevisionRow> = {
            let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
            revisions
                .iter()
                .filter(|revision| !stored.contains(revision.id.0.as_slice()))
                .map(|revision| row_of(revision))
                .collect()
        };
        if !new.is_empty() {
            store.revisions_put(&new).await?;
        }
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.extend(new.into_iter().map(|row| row.revision_id));
        drop(stored);
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.extend(
            revisions
                .iter()
                .map(|revision| (revision.id.0.to_vec(), Arc::clone(revision))),
        );
        Ok(())
    }

    /// Puts the last good revision where a row is bad: of this process, else of the database.
    async fn keep_serving(
        &self,
        store: &Store,
        rows: &Rows,
        compiled: &mut Compiled,
    ) -> Result<(), StoreError> {
        if compiled
            .revisions
            .iter()
            .all(|entry| entry.revision.is_ok())
        {
            return Ok(());
        }
        let before = self.now();
        let recorded = store.last_good(language()).await?;
        let old: HashMap<&EntryKey, &Entry> = before
            .compiled
            .revisions
            .iter()
            .map(|entry| (&entry.key, entry))
            .collect();
        for at in 0..compiled.revisions.len() {
            let Some(entry) = compiled
                .revisions
                .get(at)
                .filter(|entry| entry.revision.is_err())
            else {
                continue;
            };
            let same = old.get(&entry.key);
            let last = same.and_then(|old| old.revision.as_ref().ok().cloned());
            let last = last.or_else(|| self.recorded(rows, entry, &recorded));
            if let Some(revision) = last {
                tracing::warn!(
                    profile = entry.key.profile_key,
                    "the row is bad; its last good revision goes on serving"
                );
                compiled.revisions.put(at, Ok(revision));
            }
        }
        Ok(())
    }

    fn recorded(
        &self,
        rows: &Rows,
        entry: &Entry,
        recorded: &[(Uuid, RevisionRow)],
    ) -> Option<Arc<Revision>> {
        let row = rows.profiles.iter().find(|row| is_of(row, entry))?;
        let (_, last) = recorded
            .iter()
            .find(|(profile, _)| Some(*profile) == row.id)?;
        let mut providers = rows.providers.iter();
        let own = providers
            .any(|provider| provider.slug == row.provider && provider.tenant == row.tenant);
        let owner = row.tenant.filter(|_| own);
        let revision = self.compile(last, owner).ok()?;
        (revision.model == entry.key.model).then_some(revision)
    }

    /// `owner`: the tenant whose own row the provider is.
    fn compile(
        &self,
        row: &RevisionRow,
        owner: Option<Uuid>,
    ) -> Result<Arc<Revision>, RevisionError> {
        let unreadable = || RevisionError::Unreadable(hex::encode(&row.revision_id));
        let revision = compile_content(&row.content).map_err(|_| unreadable())?;
        let revision = Arc::new(Revision {
            provider_tenant: owner,
            ..revision
        });
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.insert(row.revision_id.clone(), Arc::clone(&revision));
        Ok(revision)
    }

    /// A revision that a run names.
    pub(crate) async fn revision(
        &self,
        store: &Store,
        id: &[u8],
    ) -> Result<Arc<Revision>, RevisionError> {
        if let Some(revision) = self.known(id) {
            return Ok(revision);
        }
        let row = store.revision(id).await?;
        let row = row.ok_or_else(|| RevisionError::Unreadable(hex::encode(id)))?;
        self.compile(&row, None)
    }

    /// A revision that was met before.
    pub(crate) fn known(&self, id: &[u8]) -> Option<Arc<Revision>> {
        self.met
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// What the cases of rows that are not there yet would come to, and whether that is worse than what is there.
    pub(crate) fn gate(&self) -> (&Gate, &str) {
        (&self.gate, &self.build)
    }

    fn verdicts(
        &self,
        rows: &Rows,
        compiled: &Compiled,
        judged: &Judged,
        found: &HashMap<Uuid, Diagnostics>,
    ) -> Vec<Verdict> {
        let verdict = |row: &ProfileRow| {
            let id = row.id?;
            let found = found.get(&id)?;
            let mut entries = compiled.revisions.iter().filter(|entry| is_of(row, entry));
            let good = entries
                .find_map(|entry| entry.revision.as_ref().ok())
                .filter(|_| !found.has_errors());
            Some(Verdict {
                profile_id: id,
                language: language(),
                revision_id: good.map(|revision| revision.id.0.to_vec()),
                diagnostics: serde_json::to_value(found).unwrap_or_else(|_| json!([])),
                build: self.build.clone(),
                cases: judged.get(&id).cloned(),
            })
        };
        rows.profiles.iter().filter_map(verdict).collect()
    }
}

/// What was found in each active profile.
fn found_in(rows: &Rows, compiled: &Compiled) -> HashMap<Uuid, Diagnostics> {
    let active = rows.profiles.iter().filter(|row| row.is_active);
    active
        .filter_map(|row| Some((row.id?, found(row, compiled))))
        .collect()
}

fn found(row: &ProfileRow, compiled: &Compiled) -> Diagnostics {
    let mut found = Diagnostics::new();
    for entry in compiled.revisions.iter().filter(|entry| is_of(row, entry)) {
        let more = entry
            .revision
            .as_ref()
            .err()
            .into_iter()
            .flat_map(Diagnostics::iter);
        add(&mut found, more);
    }
    let source = rows::profile_place(row).source;
    let of_it = |one: &&Diagnostic| one.place.source == source;
    add(&mut found, compiled.diagnostics.iter().filter(of_it));
    found
}

fn add<'d>(found: &mut Diagnostics, more: impl Iterator<Item = &'d Diagnostic>) {
    for one in more {
        if !found.iter().any(|known| known == one) {
            found.push(one.clone());
        }
    }
}

pub(crate) fn is_of(row: &ProfileRow, entry: &Entry) -> bool {
    let key = &entry.key;
    let bound = if entry.bound {
        row.model == key.model
    } else {
        row.model.is_none()
    };
    row.tenant == key.tenant
        && row.provider == key.provider
        && row.profile_key == key.profile_key
        && bound
}

fn row_of(revision: &Revision) -> RevisionRow {
    RevisionRow {
        revision_id: revision.id.0.to_vec(),
        language: i32::try_from(revision.language).unwrap_or(i32::MAX),
        content: revision.content.clone(),
    }
}

pub(crate) fn language() -> i32 {
    i32::try_from(profile::rows::LANGUAGE).unwrap_or(i32::MAX)
}

impl Snapshot {
    /// The credential that a tenant's run of this revision uses: the one its auth profile names, else the provider's
    /// default, else its only one. A tenant's own goes before the system's.
    pub(crate) fn credential(
        &self,
        revision: &Revision,
        tenant: Uuid,
    ) -> Result<&CredentialRow, Diagnostics> {
        let auth = revision.auth.as_ref();
        self.credential_of(revision, auth.map(|auth| auth.profile_key.as_str()), tenant)
    }

    /// The same for an auth profile of the revision's provider; `None`: for none.
    pub(crate) fn credential_of(
        &self,
        revision: &Revision,
        auth: Option<&str>,
        tenant: Uuid,
    ) -> Result<&CredentialRow, Diagnostics> {
        let mut usable: Vec<&CredentialRow> = self
            .rows
            .credentials
            .iter()
            .filter(|row| {
                row.provider == revision.provider
                    && row.status == "active"
                    && sees(tenant, row.tenant)
                    && serves(row.tenant, revision)
            })
            .collect();
        usable.sort_by_key(|row| row.tenant.is_none());
        let named = auth.and_then(|key| self.named_credential(revision, key, tenant));
        let found = match named {
            Some(name) => usable.iter().find(|row| row.name == name),
            None => usable
                .iter()
                .find(|row| row.is_default)
                .or(usable.first().filter(|_| usable.len() == 1)),
        };
        found
            .copied()
            .ok_or_else(|| no_credential(&revision.provider, named, &usable))
    }

    fn named_credential(&self, revision: &Revision, key: &str, tenant: Uuid) -> Option<&str> {
        let mut rows: Vec<_> = self
            .rows
            .auth_profiles
            .iter()
            .filter(|row| {
                row.profile_key == key
                    && row
                        .provider
                        .as_ref()
                        .is_none_or(|provider| *provider == revision.provider)
            })
            .filter(|row| sees(tenant, row.tenant))
            .collect();
        rows.sort_by_key(|row| row.tenant.is_none());
        rows.first()?.credential.as_deref()
    }
}

fn sees(tenant: Uuid, owner: Option<Uuid>) -> bool {
    owner.is_none_or(|owner| owner == tenant)
}

/// The operator's secret never goes where a tenant's own row points.
fn serves(owner: Option<Uuid>, revision: &Revision) -> bool {
    owner.is_some() || revision.provider_tenant.is_none()
}

/// `usable`: those that serve. Of several none is taken by chance.
fn no_credential(provider: &str, named: Option<&str>, usable: &[&CredentialRow]) -> Diagnostics {
    let what = named.map_or_else(
        || "a default credential".to_owned(),
        |name| format!("the credential `{name}`"),
    );
    let place = Place {
        source: Some("provider_api_credentials".into()),
        ..Place::default()
    };
    let names = || {
        usable
            .iter()
            .map(|row| row.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (message, help) = match (named, usable.len()) {
        (None, 2..) => (
            format!(
                "provider `{provider}` has several credentials, and none of them is the default one: {}",
                names()
            ),
            "name one in the auth profile (`provider_auth_profiles.credential_id`), or make one of them the default one: \
             `update provider_api_credentials set is_default = true where name = '…'`",
        ),
        (Some(_), 1..) => (
            format!(
                "provider `{provider}` has not {what} that is active; there are: {}",
                names()
            ),
            "name another one in the auth profile (`provider_auth_profiles.credential_id`), or add it: `modelrow credential set`",
        ),
        _ => (
            format!("provider `{provider}` has not {what} that is active"),
            "`modelrow credential set` adds one, with its secret or a reference to it",
        ),
    };
    Diagnostics(vec![Diagnostic::error(Code::R160, place, message, help)])
}
