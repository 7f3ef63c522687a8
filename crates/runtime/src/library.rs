//! [`Modelrow`]: what a backend holds.

use crate::access::KeyHash;
use crate::catalogue::Catalogue;
use crate::clock::{DbClock, boot_ms};
use crate::core::Core;
use crate::drift::Drift;
use crate::error::{RunError, StartError};
use crate::events::{Progress, RunEvent, stream};
use crate::follow::{self, Follow};
use crate::ground::Grounds;
use crate::handle::RunHandle;
use crate::hints::{self, Hints};
use crate::hooks::Hooks;
use crate::lateness::LatenessView;
use crate::lease::{Keeper, Lease};
use crate::metrics::Metrics;
use crate::objects::ObjectsError;
use crate::options::{Options, Work};
use crate::places::Places;
use crate::plan::Plan;
use crate::quota::Quotas;
use crate::request::RunRequest;
use crate::sweep::{self, Sweep, Swept};
use crate::tasks::{Tasks, Until};
use crate::tokens::Tokens;
use crate::traces;
use crate::unrecorded::{self, Begun};
use crate::view::{ArtifactView, RunView};
use crate::vitals::Vitals;
use crate::watches::Watches;
use crate::{claim, deliveries, intake, plan, read, worker};
use bytes::Bytes;
use diag::ExposeSecret as _;
use engine::http::Http;
use futures_util::stream::BoxStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use store::revisions::ProfileStatus;
use store::runs::Cancel;
use store::{ConnectOptions, Scope, State, Store, StoreError};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between two looks at a run that another process follows.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Whoever asks whether we are ready waits no longer for the database.
const READY_WAIT: Duration = Duration::from_secs(2);
/// The lease's release, and the pool's close, may take so long each.
const GOODBYE: Duration = Duration::from_secs(3);

/// The library. Cheap to clone; when the last clone is dropped without [`Modelrow::shutdown`], its work stops where it is,
/// as if the process had died, and another worker takes it over.
#[derive(Debug, Clone)]
pub struct Modelrow {
    core: Arc<Core>,
    life: Arc<Life>,
}

/// Ends everything with the last handle.
#[derive(Debug)]
struct Life {
    tasks: Tasks,
    release: CancellationToken,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.tasks.death.cancel();
    }
}

fn http(options: &Options) -> Result<Http, StartError> {
    let http = Http::new().map_err(StartError::Http)?;
    Ok(match options.tap.clone() {
        Some(tap) => http.tapped(tap),
        None => http,
    })
}

/// Returns when it is said that the run ended.
///
/// Cancel safety: what is not heard is found by looking.
async fn heard_of_its_end(watcher: &mut watch::Receiver<Progress>) {
    while watcher.changed().await.is_ok() {
        if State::parse(&watcher.borrow_and_update().state).is_ok_and(State::is_ended) {
            return;
        }
    }
    std::future::pending().await
}

/// Where a stored file is.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What is known of it.
    pub view: ArtifactView,
    object_key: String,
}

impl Stored {
    pub(crate) fn new(view: ArtifactView, object_key: String) -> Self {
        Self { view, object_key }
    }
}

/// A stored file.
pub struct Artifact {
    /// What is known of it.
    pub view: ArtifactView,
    /// Its bytes.
    pub bytes: BoxStream<'static, Result<Bytes, ObjectsError>>,
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// How a shutdown ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Exchanges that were cut when the grace was over: what their submits came to is unknown until it is settled.
    pub cut: usize,
}

/// For `/readyz`: each reason why not.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Readiness {
    /// Empty: ready.
    pub reasons: Vec<String>,
}

impl Modelrow {
    /// Connects, checks that every migration has run, loads the catalogue, and starts to work unless told not to.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nothing runs then.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let store = Store::connect(
            options.database_url.expose_secret(),
            ConnectOptions {
                max_connections: options.connections,
                acquire_timeout: options.connection_wait,
                ..ConnectOptions::default()
            },
        )
        .await?;
        // The clients of buckets need what this installs.
        let http = http(&options)?;
        let objects = options.artifacts.open(options.artifact_memory)?;
        let tasks = Tasks::default();
        let release = CancellationToken::new();
        // From here on a failure ends what was begun.
        let life = Arc::new(Life {
            tasks: tasks.clone(),
            release: release.clone(),
        });
        let vitals = Arc::new(Vitals::default());
        let lease = match options.work {
            Work::Yes => Lease::keep(Keeper {
                store: store.clone(),
                times: options.lease,
                build: options.build.clone(),
                host: options.host.clone(),
                vitals: Arc::clone(&vitals),
                release,
                death: tasks.death.clone(),
            })
            .map_err(StartError::Thread)?,
            Work::No => Lease::none(),
        };
        let places = options.concurrency;
        let clock = Arc::new(DbClock::default());
        let hooks = Hooks::new(store.hook_key().await?, options.public_url.as_deref());
        let key_hash = KeyHash::new(&store.api_key_hash_key().await?);
        let core = Arc::new(Core {
            http: http.with_clock({
                let clock = Arc::clone(&clock);
                move || clock.now_ms()
            }),
            catalogue: Catalogue::new(options.build.clone()),
            clock,
            watches: Watches::default(),
            drift: Drift::default(),
            follow: Follow::default(),
            queue: Notify::new(),
            tick: Notify::new(),
            outbox: Notify::new(),
            hints: Hints::default(),
            submits: Places::new(places.submits),
            fetches: Places::new(places.fetches),
            grounds: Grounds::default(),
            quotas: Quotas::default(),
            tokens: Tokens::default(),
            callbacks: Notify::new(),
            callback_places: Places::new(deliveries::PLACES),
            vitals,
            metrics: Metrics::new(&options.traces),
            hooks,
            key_hash,
            swept: std::sync::Mutex::new(boot_ms()),
            shards: std::sync::Mutex::default(),
            sending: std::sync::Mutex::default(),
            intends: tokio::sync::RwLock::default(),
            preparing: std::sync::Mutex::default(),
            doubted: std::sync::Mutex::default(),
            options,
            store,
            objects,
            tasks,
            lease,
        });
        worker::read_clock(&core).await?;
        core.catalogue.load(&core.store).await?;
        let modelrow = Self { core, life };
        modelrow.begin();
        Ok(modelrow)
    }

    fn begin(&self) {
        if self.core.options.work == Work::Yes {
            follow::start(&self.core);
            let callbacks = deliveries::serve(Arc::clone(&self.core));
            self.core
                .tasks
                .spawn("callbacks", Until::Stop, Box::pin(callbacks));
            let claims = claim::serve(Arc::clone(&self.core));
            self.core
                .tasks
                .spawn("claim", Until::Death, Box::pin(claims));
        }
        worker::start(&self.core);
        let hints = hints::serve(Arc::clone(&self.core));
        self.core.tasks.spawn("hints", Until::Stop, Box::pin(hints));
    }

    /// Makes a run: chooses a profile by purpose, checks the call, writes it down. Nothing is sent for a refused call.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with every finding at once; [`RunError::KeyUsed`]; [`RunError::Store`].
    pub async fn run_profile(&self, request: RunRequest) -> Result<RunHandle, RunError> {
        let tenant = request.tenant;
        let made = intake::run(&self.core, request).await?;
        Ok(self.made(tenant, &made))
    }

    /// The same for a caller who waits for the end anyway: where the profile gives up the record of its runs
    /// (`durable: false`), and nothing of the call needs one, the run has ended when this returns, and only the answer knows it.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::run_profile`].
    pub async fn call(&self, request: RunRequest) -> Result<Begun, RunError> {
        let understood =
            intake::understand(&self.core, self.core.catalogue.now(), &request).await?;
        if let Some(admitted) = unrecorded::admitted(&self.core, &request, &understood).await? {
            let ended = unrecorded::run(&self.core, request, understood, admitted);
            return Ok(Begun::Ended(Box::new(ended.await?)));
        }
        let tenant = request.tenant;
        let made = intake::record(&self.core, request, understood).await?;
        Ok(Begun::Recorded(self.made(tenant, &made)))
    }

    fn made(&self, tenant: Uuid, made: &intake::Made) -> RunHandle {
        RunHandle {
            modelrow: self.clone(),
            scope: tenant.into(),
            id: made.run,
            replayed: made.replayed,
            heard: made.heard.clone(),
            rows: made.rows.clone(),
        }
    }

    /// The profile that would serve a call: what it takes, and under which names.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`]: none does.
    pub fn serving(
        &self,
        request: &RunRequest,
    ) -> Result<Arc<profile::revision::Revision>, RunError> {
        intake::serving(&self.core, request)
    }

    /// What a run would send: every step's request, secrets masked. Nothing is sent, and nothing written.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::run_profile`].
    pub async fn plan(&self, request: &RunRequest) -> Result<Plan, RunError> {
        plan::plan(&self.core, request).await
    }

    /// How late this process's polls were so far.
    #[must_use]
    pub fn lateness(&self) -> LatenessView {
        self.core.vitals.lateness.view()
    }

    /// A handle on a run that is there.
    #[must_use]
    pub fn handle(&self, scope: impl Into<Scope>, run: Uuid) -> RunHandle {
        RunHandle {
            modelrow: self.clone(),
            scope: scope.into(),
            id: run,
            replayed: false,
            heard: None,
            rows: None,
        }
    }

    /// Where a run stands. An operator sees what the provider answered to each attempt, too.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchRun`]: also of a run that the scope does not see. [`RunError::Store`].
    pub async fn run(&self, scope: impl Into<Scope>, run: Uuid) -> Result<RunView, RunError> {
        read::view(&self.core, scope.into(), run).await
    }

    /// The same, once it has ended or `limit` is over. Sees what other processes do, too.
    ///
    /// Cancel safety: may be dropped at any point.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchRun`], [`RunError::Store`].
    pub async fn wait(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        limit: Duration,
    ) -> Result<RunView, RunError> {
        self.wait_for(&self.handle(scope, run), limit).await
    }

    /// The same; what the handle has heard since before the run was there spares the first look, and its rows the last one, where
    /// they were ended as they were made.
    pub(crate) async fn wait_for(
        &self,
        handle: &RunHandle,
        limit: Duration,
    ) -> Result<RunView, RunError> {
        let (scope, run, heard) = (handle.scope, handle.id, handle.heard.clone());
        let is_made = heard.is_some();
        let mut watcher = heard.unwrap_or_else(|| self.core.watches.watch(run));
        let until = tokio::time::Instant::now() + limit;
        for look in 0_u32.. {
            if (look > 0 || !is_made) && !self.goes_on(scope, run, look).await? {
                break;
            }
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                break;
            }
            let wait = LOOK_EVERY.min(left);
            // A hint, of this process or of another, is worth a look: at all of it, for it has ended.
            if timeout(wait, heard_of_its_end(&mut watcher)).await.is_ok() {
                let end = watcher.borrow().end.clone();
                let rows = handle.rows.as_ref().zip(end);
                if let Some(rows) = rows.and_then(|(made, end)| read::as_ended(made, &end)) {
                    return Ok(read::of(&self.core, &rows));
                }
                let view = self.run(scope, run).await?;
                if view.ended() {
                    return Ok(view);
                }
            }
        }
        self.run(scope, run).await
    }

    /// Whether a run that is waited for has not ended.
    async fn goes_on(&self, scope: Scope, run: Uuid, look: u32) -> Result<bool, RunError> {
        let Some((state, ..)) = self.core.store.run_state(scope, run).await? else {
            return Ok(false);
        };
        // A run that is soon over needs no progress.
        if state == State::Polling && look > 0 {
            read::ask_for_progress(&self.core, run).await;
        }
        Ok(!state.is_ended())
    }

    /// Asks to cancel a run, at the provider too where the profile can; what stands afterwards.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchRun`], [`RunError::Store`]: ask again.
    pub async fn cancel(&self, scope: impl Into<Scope>, run: Uuid) -> Result<RunView, RunError> {
        let scope = scope.into();
        match self.core.store.run_cancel(scope, run).await? {
            None => return Err(RunError::NoSuchRun { run_id: run }),
            Some(Cancel::Canceled) => {
                traces::ended(&self.core, run, None, &State::Canceled.into());
                self.core.watches.state(run, "canceled");
            }
            Some(Cancel::Asked(_)) => self.core.unwanted(run),
            Some(Cancel::Ended(_)) => {}
        }
        self.run(scope, run).await
    }

    /// What happens to a run, its timeline from the beginning; ends after [`RunEvent::End`].
    #[must_use]
    pub fn events(&self, scope: impl Into<Scope>, run: Uuid) -> BoxStream<'static, RunEvent> {
        self.events_after(scope, run, 0)
    }

    /// The same, without the entries of the timeline up to number `seq`: for a watcher who has heard them.
    #[must_use]
    pub fn events_after(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        seq: i32,
    ) -> BoxStream<'static, RunEvent> {
        stream(self.clone(), scope.into(), run, seq)
    }

    /// Where a run stands, the latest only, as far as this process follows it.
    #[must_use]
    pub fn progress(&self, run: Uuid) -> watch::Receiver<Progress> {
        self.core.watches.watch(run)
    }

    /// A stored file of a run; `None`: not there (yet), or past its retention.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`], [`RunError::Objects`].
    pub async fn artifact(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        name: &str,
        idx: i32,
    ) -> Result<Option<Artifact>, RunError> {
        let Some(stored) = self.stored(scope, run, name, idx).await? else {
            return Ok(None);
        };
        Ok(Some(Artifact {
            bytes: self.read_stored(&stored, None).await?,
            view: stored.view,
        }))
    }

    /// What is known of a stored file of a run, unopened; `None`: not there (yet), or past its retention.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn stored(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        name: &str,
        idx: i32,
    ) -> Result<Option<Stored>, RunError> {
        let row = self.core.store.artifact(scope, run, name, idx).await?;
        Ok(row.map(|row| {
            let view = read::artifact_of(&self.core, run, &row);
            Stored::new(view, row.object_key)
        }))
    }

    /// The bytes of a stored file, or `range` of them: within its length, the end excluded.
    ///
    /// # Errors
    ///
    /// [`RunError::Objects`].
    pub async fn read_stored(
        &self,
        stored: &Stored,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, ObjectsError>>, RunError> {
        let objects = &self.core.objects;
        Ok(objects.stream(&stored.object_key, range).await?)
    }

    /// What became of each profile row that a tenant sees.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn profile_statuses(&self, tenant: Uuid) -> Result<Vec<ProfileStatus>, RunError> {
        Ok(self.core.store.profile_statuses(tenant).await?)
    }

    /// The time by the database's clock, as last read: what times in views are compared with.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.core.now()
    }

    /// What serves now.
    #[must_use]
    pub fn catalogue(&self) -> Arc<profile::catalogue::Compiled> {
        Arc::clone(&self.core.catalogue.now().compiled)
    }

    /// The database, for what this library does not do: exports, operators' statements.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// For what goes on when whoever asked for it is gone.
    pub(crate) fn shared_core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// Takes away what is past its retention and what killed processes left, with a listing of the whole artifact store. Workers
    /// do so by themselves; this is for operators.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`], [`RunError::Objects`]: the next sweep goes on.
    pub async fn sweep(&self, how: Sweep) -> Result<Swept, RunError> {
        sweep::all(&self.core, how).await
    }

    /// Whether it can do its part.
    pub async fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        match timeout(READY_WAIT, self.not_ready()).await {
            Ok(Ok(missing)) => reasons.extend(missing),
            Ok(Err(error)) => reasons.push(error.to_string()),
            Err(_) => reasons.push("the database does not answer in time".to_owned()),
        }
        if self.core.options.work == Work::Yes && self.core.lease.current().is_none() {
            reasons.push("the worker's lease is not held".to_owned());
        }
        Readiness { reasons }
    }

    /// Keys that are missing here, for secrets that are sealed under them.
    async fn not_ready(&self) -> Result<Vec<String>, StoreError> {
        let core = &self.core;
        core.store.ready().await?;
        let keys = core.store.sealing_keys().await?;
        let missing = keys
            .into_iter()
            .filter(|id| !core.options.secret_keys.has(id));
        Ok(missing
            .map(|id| {
                format!(
                    "credentials are sealed under the key `{id}`, which this process does not have"
                )
            })
            .collect())
    }

    /// Gives its shards away, claims no more, awaits exchanges in flight for `grace`, then releases its lease and closes
    /// every connection to the database: other clones can do nothing any more.
    pub async fn shutdown(self, grace: Duration) -> Stopped {
        let core = &self.core;
        core.tasks.stop.cancel();
        core.tasks.loops_ended().await;
        // Calls that are about to claim what they make: they send it, or nobody does.
        drop(timeout(GOODBYE, core.intends.write()).await);
        if let Some(held) = core.lease.current()
            && let Err(error) = core.store.shards_give_all(held.worker).await
        {
            tracing::warn!(%error, "the shards are free when the lease ends");
        }
        let ended = timeout(grace, core.tasks.exchanges_ended()).await;
        let cut = if ended.is_ok() {
            0
        } else {
            core.tasks.in_flight()
        };
        if cut > 0 {
            tracing::warn!(
                cut,
                "exchanges were cut; what their submits came to is unknown until it is settled"
            );
        }
        self.life.release.cancel();
        let _ = timeout(GOODBYE, core.lease.ended()).await;
        core.tasks.death.cancel();
        self.closed().await;
        Stopped { cut }
    }

    /// After it nothing of ours speaks to the database, so that a private server may be stopped.
    async fn closed(&self) {
        let all = async {
            self.core.tasks.exchanges_ended().await;
            self.core.lease.ended().await;
            self.core.store.close().await;
        };
        if timeout(GOODBYE, all).await.is_err() {
            tracing::warn!("connections to the database end with the process");
        }
    }
}
