//! Files on their way to the artifact store: one key per fetch, the first good
//! copy wins, the loser deletes its own.

use crate::core::Core;
use crate::facts::written;
use crate::faults::At as _;
#[cfg(feature = "faults")]
use crate::faults::{Broken, broken};
use crate::live::Live;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::download::{FetchError, Fetched};
use engine::flow::{ArtifactFacts, FetchFault, FileSource, FileTask};
use engine::{Event, Fault, Kind};
use profile::revision::Class;
use std::sync::Arc;
use std::time::Duration;
use store::artifacts::ArtifactRow;
use store::facts::Fetched as Fact;
use store::limits::Urgency;
use store::{State, StoreError};

/// The largest file that an output may hold as a `data:` address.
const DATA_URL_MAX: u64 = 16 * 1024 * 1024;

/// Fetches every file of a download. `None`: the run is somebody else's now.
pub(crate) async fn all(
    core: &Core,
    live: &mut Live,
    files: Vec<FileTask>,
) -> Result<Option<Event>, StoreError> {
    if !begun(core, live, &files).await? {
        return Ok(None);
    }
    core.follow.fetches(live.run);
    let mut facts = Vec::with_capacity(files.len());
    for file in &files {
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
        match one(core, live, file).await {
            Ok(Some(fact)) => facts.push(fact),
            Ok(None) => return Ok(None),
            Err(Failed::Fetch(fault)) => return Ok(Some(Event::FetchFailed(fault))),
            Err(Failed::Store(error)) => return Err(error),
        }
    }
    Ok(Some(Event::Fetched(facts)))
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
        FileSource::Bytes(_) => Arc::clone(&live.host),
    }
}

/// Starting a fetch is a decision: it bumps `ver`, and the objects' keys carry it.
async fn begun(core: &Core, live: &mut Live, files: &[FileTask]) -> Result<bool, StoreError> {
    if !matches!(
        live.state,
        State::Polling | State::Fetching | State::Validating
    ) {
        return Ok(true);
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
        return Ok(false);
    };
    (live.ver, live.state, live.done) = (ver, State::Fetching, true);
    core.watches.state(live.run, State::Fetching.as_str());
    Ok(true)
}

enum Failed {
    Fetch(FetchFault),
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn one(core: &Core, live: &Live, file: &FileTask) -> Result<Option<ArtifactFacts>, Failed> {
    let ver = live.ver;
    #[cfg(feature = "faults")]
    let ver = match broken(Broken::OneKeyForAllFetches) {
        true => 0,
        false => ver,
    };
    let key = format!("{}/{}.{}/{ver}", live.run, file.artifact, file.idx);
    let mut upload = core.objects.upload(key.clone());
    let fetched = match core.http.fetch(file, &mut upload).at("fetch.fetch").await {
        Ok(fetched) => fetched,
        Err(error) => {
            upload.discard().at("fetch.discard").await;
            return Err(Failed::Fetch(fault_of(live, error)));
        }
    };
    if let Err(error) = upload.finish().at("fetch.finish").await {
        tracing::error!(run.id = %live.run, %error, "a file is not stored");
        return Err(Failed::Fetch(ours(error.to_string())));
    }
    let Some(stands) = recorded(core, live, file, &key, &fetched).await? else {
        return Ok(None);
    };
    let data_url = data_url(core, file, &stands).await;
    Ok(Some(ArtifactFacts {
        name: file.artifact.clone(),
        idx: file.idx,
        url: core.artifact_url(live.run, &file.artifact, i64::from(file.idx)),
        content_type: stands.content_type,
        bytes: u64::try_from(stands.bytes).unwrap_or(0),
        sha256: hex::encode(stands.sha256),
        filename: fetched.filename.or_else(|| file.filename.clone()),
        data_url,
    }))
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

/// Writes the fact; the first good copy stands, whoever fetched it.
async fn recorded(
    core: &Core,
    live: &Live,
    file: &FileTask,
    key: &str,
    fetched: &Fetched,
) -> Result<Option<ArtifactRow>, StoreError> {
    let idx = i32::try_from(file.idx).unwrap_or(i32::MAX);
    let fact = Fact {
        run_id: live.run,
        name: file.artifact.clone(),
        idx,
        object_key: key.to_owned(),
        sha256: fetched.sha256.to_vec(),
        bytes: i64::try_from(fetched.bytes).unwrap_or(i64::MAX),
        content_type: fetched.content_type.clone(),
        keep: core.options.retention.artifacts,
    };
    let stands = written("fetched", || core.store.fact_fetched(&fact))
        .at("fetch.fetched")
        .await?;
    core.stored(fetched.bytes);
    if stands.as_deref() != Some(key)
        && let Err(error) = core.objects.delete(key).at("fetch.delete").await
    {
        tracing::warn!(run.id = %live.run, %error, "a second copy of a file stays behind");
    }
    let rows = core.store.artifacts(live.run).at("fetch.artifacts").await?;
    Ok(rows
        .into_iter()
        .find(|row| row.name == file.artifact && row.idx == idx))
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
