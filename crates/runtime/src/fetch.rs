//! Files on their way to the artifact store: one key per fetch, the first good
//! copy wins, the loser deletes its own.

use crate::core::Core;
use crate::facts::written;
use crate::faults::At as _;
#[cfg(feature = "faults")]
use crate::faults::{Broken, broken};
use crate::live::Live;
use crate::metrics;
use crate::traces::Before;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::download::{FetchError, Fetched};
use engine::flow::{ArtifactFacts, FetchFault, FileSource, FileTask, Phase};
use engine::{Event, Fault, Kind};
use profile::revision::Class;
use std::sync::Arc;
use std::time::Duration;
use store::artifacts::ArtifactRow;
use store::facts::Fetched as Fact;
use store::limits::Urgency;
use store::{State, StoreError};
use tokio::time::Instant;

/// The largest file that an output may hold as a `data:` address.
const DATA_URL_MAX: u64 = 16 * 1024 * 1024;

/// What the files of a download came to.
pub(crate) struct Came {
    pub(crate) event: Event,
    /// The last file, stored, where the run's end follows it: its fact is written with that.
    pub(crate) last: Option<Last>,
}

/// A stored file whose fact memory alone holds. It is written by [`write()`], or with the run's end.
pub(crate) struct Last {
    pub(crate) fact: Fact,
    told: ArtifactFacts,
}

/// Fetches every file of a download. `None`: the run is somebody else's now.
pub(crate) async fn all(
    core: &Core,
    live: &mut Live,
    files: Vec<FileTask>,
) -> Result<Option<Came>, StoreError> {
    let decided = begun(core, live, &files).await?;
    if decided == Begun::Stale {
        return Ok(None);
    }
    core.follow.fetches(live.run);
    let mut facts = Vec::with_capacity(files.len());
    let mut last = None;
    for (i, file) in files.iter().enumerate() {
        if is_asked_for(file) {
            tokio::select! {
                () = core.quotas.wait(core, live.asker(), Urgency::Fetch) => {}
                // Its next owner asks for it.
                () = core.tasks.stop.cancelled() => return Ok(None),
            }
        }
        let Some(_place) = core
            .fetches
            .acquire(&host_of(live, file))
            .at("fetch.acquire")
            .await
        else {
            return Ok(None);
        };
        let stored = match one(core, live, file).await {
            Ok(stored) => stored,
            Err(fault) => {
                let event = Event::FetchFailed(fault);
                return Ok(Some(Came { event, last: None }));
            }
        };
        let ends = decided == Begun::Fetching && live.flow.ends_after_this();
        if ends && i + 1 == files.len() && !file.wants_data_url {
            facts.push(stored.told.clone());
            last = Some(stored);
            continue;
        }
        let Some(stands) = write(core, &stored).await? else {
            return Ok(None);
        };
        facts.push(with_data_url(core, file, &stands, stored.told).await);
    }
    let event = Event::Fetched(facts);
    Ok(Some(Came { event, last }))
}

/// With the credential; what lies elsewhere is nothing of its limits.
fn is_asked_for(file: &FileTask) -> bool {
    match &file.source {
        FileSource::Request(request) => request.trusted,
        FileSource::Bytes(_) => false,
    }
}

/// Files lie where they lie: one slow host holds up no other's.
fn host_of(live: &Live, file: &FileTask) -> Arc<str> {
    match &file.source {
        FileSource::Request(request) => request.origin().into(),
        FileSource::Bytes(_) => Arc::clone(&live.common.host),
    }
}

/// What the decision to fetch came to.
#[derive(PartialEq, Eq)]
enum Begun {
    Fetching,
    /// In a state of its own.
    Beside,
    Stale,
}

/// Starting a fetch is a decision: it bumps `ver`, and the objects' keys carry it.
async fn begun(core: &Core, live: &mut Live, files: &[FileTask]) -> Result<Begun, StoreError> {
    if !matches!(
        live.state,
        State::Polling | State::Fetching | State::Validating
    ) {
        return Ok(Begun::Beside);
    }
    let now = core.clock.now_ms();
    let expires = files.iter().filter_map(|file| file.expires_at_ms).min();
    let expires = expires
        .and_then(|at| u64::try_from(at.saturating_sub(now)).ok())
        .map(Duration::from_millis);
    let captured = live.flow.captured();
    let Some(ver) = core
        .store
        .fetch_start(live.run, live.ver, Some(&captured), expires)
        .at("fetch.fetch_start")
        .await?
    else {
        return Ok(Begun::Stale);
    };
    (live.ver, live.state, live.done) = (ver, State::Fetching, true);
    core.watches.state(live.run, State::Fetching.as_str());
    Ok(Begun::Fetching)
}

/// Fetches one file, and stores it.
async fn one(core: &Core, live: &Live, file: &FileTask) -> Result<Last, FetchFault> {
    let ver = live.ver;
    #[cfg(feature = "faults")]
    let ver = match broken(Broken::OneKeyForAllFetches) {
        true => 0,
        false => ver,
    };
    let key = format!("{}/{}.{}/{ver}", live.run, file.artifact, file.idx);
    let mut upload = core.objects.upload(key.clone());
    let traced = match &file.source {
        FileSource::Request(request) => Before::new(core, &live.flow, (Phase::Download, request)),
        FileSource::Bytes(_) => None,
    };
    let begun = Instant::now();
    let fetched = core.http.fetch(file, &mut upload).at("fetch.fetch").await;
    if let FileSource::Request(request) = &file.source {
        let (provider, word) = (&live.common.revision.provider, metrics::fetched(&fetched));
        core.metrics
            .exchanged(provider, &request.step, word, begun.elapsed());
    }
    if let Some(traced) = traced {
        traced.fetched(core, &live.common.revision, &fetched);
    }
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => {
            upload.discard().at("fetch.discard").await;
            return Err(fault_of(live, error));
        }
    };
    if let Err(error) = upload.finish().at("fetch.finish").await {
        tracing::error!(run.id = %live.run, %error, "a file is not stored");
        return Err(ours(error.to_string()));
    }
    core.stored(fetched.bytes);
    Ok(stored(core, live, file, (key, fetched)))
}

fn stored(core: &Core, live: &Live, file: &FileTask, (key, fetched): (String, Fetched)) -> Last {
    let told = ArtifactFacts {
        name: file.artifact.clone(),
        idx: file.idx,
        url: core.artifact_url(live.run, &file.artifact, i64::from(file.idx)),
        content_type: fetched.content_type.clone(),
        bytes: fetched.bytes,
        sha256: hex::encode(fetched.sha256),
        filename: fetched.filename.or_else(|| file.filename.clone()),
        data_url: None,
    };
    let fact = Fact {
        run_id: live.run,
        name: file.artifact.clone(),
        idx: i32::try_from(file.idx).unwrap_or(i32::MAX),
        object_key: key,
        sha256: fetched.sha256.to_vec(),
        bytes: i64::try_from(fetched.bytes).unwrap_or(i64::MAX),
        content_type: fetched.content_type,
        keep: core.options.retention.artifacts,
    };
    Last { fact, told }
}

fn fault_of(live: &Live, error: FetchError) -> FetchFault {
    match error {
        FetchError::Fault(fault) => *fault,
        FetchError::Sink(why) => {
            tracing::error!(run.id = %live.run, error = %why, "a file cannot be written to the artifact store");
            ours(why.to_string())
        }
    }
}

/// Our own disk: the file is fetched again.
fn ours(why: String) -> FetchFault {
    FetchFault::Broken(Fault::new(
        Kind::Class(Class::Transient),
        format!("the artifact store failed: {why}"),
    ))
}

/// Writes the fact by itself; the first good copy stands, whoever fetched it. `None`: the run is gone.
pub(crate) async fn write(core: &Core, last: &Last) -> Result<Option<ArtifactRow>, StoreError> {
    let (run, key) = (last.fact.run_id, last.fact.object_key.as_str());
    let stands = written(("fetched", run), || core.store.fact_fetched(&last.fact))
        .at("fetch.fetched")
        .await?;
    if stands.as_ref().is_none_or(|row| row.object_key != key)
        && let Err(error) = core.objects.delete(key).at("fetch.delete").await
    {
        tracing::warn!(run.id = %run, %error, "a second copy of a file stays behind");
    }
    Ok(stands)
}

impl Last {
    /// What is to be told of the file, where another copy of it stands.
    pub(crate) fn instead(&self, stands: &ArtifactRow) -> Option<ArtifactFacts> {
        (stands.object_key != self.fact.object_key).then(|| told(stands, self.told.clone()))
    }
}

fn told(stands: &ArtifactRow, ours: ArtifactFacts) -> ArtifactFacts {
    ArtifactFacts {
        content_type: stands.content_type.clone(),
        bytes: u64::try_from(stands.bytes).unwrap_or(0),
        sha256: hex::encode(&stands.sha256),
        ..ours
    }
}

async fn with_data_url(
    core: &Core,
    file: &FileTask,
    stands: &ArtifactRow,
    ours: ArtifactFacts,
) -> ArtifactFacts {
    ArtifactFacts {
        data_url: data_url(core, file, stands).await,
        ..told(stands, ours)
    }
}

async fn data_url(core: &Core, file: &FileTask, stands: &ArtifactRow) -> Option<String> {
    let small = u64::try_from(stands.bytes).is_ok_and(|bytes| bytes <= DATA_URL_MAX);
    if !file.wants_data_url || !small {
        return None;
    }
    let bytes = core
        .objects
        .read(&stands.object_key)
        .at("fetch.read")
        .await
        .ok()?;
    Some(format!(
        "data:{};base64,{}",
        stands.content_type,
        STANDARD.encode(bytes)
    ))
}
