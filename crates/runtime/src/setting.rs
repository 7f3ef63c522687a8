//! From a recorded run to the machine that decides it.

use crate::catalogue::RevisionError;
use crate::core::Core;
use crate::error::RunError;
use crate::fallback::Standby;
use crate::ground::Shared;
use crate::inputs;
use crate::objects::ObjectsError;
use crate::view::Cost;
use diag::Diagnostics;
use engine::media::Media;
use engine::{Fault, Flow, Kind, Resume, RunIdentity, RunState, Setting};
use profile::call::{Call, Checked};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::work::WorkRow;
use store::{State, StoreError};
use uuid::Uuid;

/// `runs.request`: what was asked, as it was understood.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Recorded {
    /// Options normalised, defaults filled in, media by upload.
    pub(crate) call: Call,
    /// Of the profile that was chosen.
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) profile_key: Option<String>,
    pub(crate) metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) callback: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) urls: BTreeMap<Uuid, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_of: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) made_from: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fallback: Option<Standby>,
}

impl Recorded {
    pub(crate) fn read(request: &Value) -> Result<Self, Fault> {
        serde_json::from_value(request.clone()).map_err(|error| {
            Fault::new(
                Kind::BadRecord,
                format!("the run's request cannot be read: {error}"),
            )
        })
    }
}

/// Why a run cannot be decided here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unready {
    /// The database or the artifact store: later.
    #[error("not now: {0}")]
    Later(String),
    /// A newer program must do it: left alone and reported.
    #[error("{0}")]
    NotOurs(String),
    /// It cannot go on: a secret that is not there, a record that cannot be read.
    #[error("{0}")]
    Fault(Fault),
}

impl From<StoreError> for Unready {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<RevisionError> for Unready {
    fn from(error: RevisionError) -> Self {
        match error {
            RevisionError::Store(error) => error.into(),
            RevisionError::Unreadable(_) => Self::NotOurs(error.to_string()),
        }
    }
}

impl From<Fault> for Unready {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A machine, and what belongs to its run.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) flow: Flow,
    pub(crate) shared: Arc<Shared>,
}

/// Builds the machine of a run as its row has it.
pub(crate) async fn machine(core: &Core, row: &WorkRow) -> Result<Machine, Unready> {
    let shared = shared(core, row).await?;
    let (setting, resume) = over(core, row, &shared).await?;
    Ok(Machine {
        flow: Flow::resume(setting, resume)?,
        shared,
    })
}

/// What a machine is built from.
pub(crate) async fn parts(core: &Core, row: &WorkRow) -> Result<(Setting, Resume), Unready> {
    let shared = shared(core, row).await?;
    over(core, row, &shared).await
}

async fn shared(core: &Core, row: &WorkRow) -> Result<Arc<Shared>, Unready> {
    let revision = core
        .catalogue
        .revision(&core.store, &row.revision_id)
        .await?;
    core.shared(&revision, row.credential_id).await
}

async fn over(core: &Core, row: &WorkRow, shared: &Shared) -> Result<(Setting, Resume), Unready> {
    let of = (row.tenant_id, row.run_id);
    let (checked, media) = asked(core, of, &row.request, &row.revision_id).await?;
    let provider = &shared.ground.revision().provider;
    let identity = identity(core, provider, row.run_id, row.attempt);
    let setting = shared
        .ground
        .setting(Arc::new(checked), Arc::new(media), identity);
    Ok((setting, resume(core, row).await?))
}

/// The names of a run's attempt `n` to the provider.
pub(crate) fn identity(core: &Core, provider: &str, run: Uuid, n: i32) -> RunIdentity {
    RunIdentity {
        run_id: run,
        token: engine::flow::token(run, n),
        callback_url: core.hooks.address_of_run(provider, run),
    }
}

/// What the caller gave, of `runs.request`, as this revision of the run reads it.
pub(crate) async fn asked(
    core: &Core,
    (tenant, run): (Uuid, Uuid),
    request: &Value,
    revision_id: &[u8],
) -> Result<(Checked, Media), Unready> {
    let recorded = Recorded::read(request)?;
    let media = media(core, (tenant, run), &recorded).await?;
    let call = recorded.call_under(revision_id);
    Ok((Checked { call }, media))
}

async fn media(core: &Core, of: (Uuid, Uuid), recorded: &Recorded) -> Result<Media, Unready> {
    match inputs::load(core, of, &recorded.call, &recorded.urls).await {
        Ok(media) => Ok(media),
        Err(RunError::Refused(Diagnostics(found))) => {
            let why = found
                .first()
                .map_or_else(String::new, |one| one.message.clone());
            Err(Fault::new(
                Kind::BadRecord,
                format!("an input of the run is gone: {why}"),
            )
            .into())
        }
        Err(error) => Err(Unready::Later(error.to_string())),
    }
}

async fn resume(core: &Core, row: &WorkRow) -> Result<Resume, Unready> {
    let now = core.clock.now_ms();
    let sent = row.sent.as_ref();
    let ago = |ms: Option<i64>| ms.map(|ms| now.saturating_sub(ms));
    Ok(Resume {
        state: Some(state_of(row.state)),
        captured: row.captured.clone(),
        job_id: row.provider_job_id.clone(),
        accepted_at_ms: ago(row.accepted_ago_ms),
        sent_at_ms: ago(sent.map(|sent| sent.sent_ago_ms)),
        sender_ended_at_ms: sent
            .filter(|sent| sent.sender_ended)
            .and_then(|sent| ago(sent.ended_ago_ms)),
        replays: sent.map_or(0, |sent| u32::try_from(sent.replays).unwrap_or(u32::MAX)),
        answer: large_answer(core, row).await?,
        cancel: row.cancel_requested,
    })
}

/// An answer that the store has not had for a day is not awaited any more.
const ANSWER_LOST_MS: i64 = 86_400_000;

/// Where a synchronous answer is kept that `captured` cannot hold.
pub(crate) fn answer_key(run: Uuid, n: i32) -> String {
    format!("{run}/answer/{n}")
}

/// It was stored before its acceptance was written: a store that does not have it now, or cannot be reached, is waited for.
async fn large_answer(
    core: &Core,
    row: &WorkRow,
) -> Result<Option<engine::request::Received>, Unready> {
    let inline = row
        .captured
        .as_ref()
        .is_some_and(|captured| captured.get("answer").is_some());
    // A job that is followed has no answer of its own kept here.
    let kept = match row.state {
        State::Validating => true,
        State::Fetching => row.provider_job_id.is_none(),
        _ => false,
    };
    if !kept || inline {
        return Ok(None);
    }
    let stored = stored_answer(core, row.run_id, row.attempt).await;
    let stored = stored.map_err(|error| Unready::Later(error.to_string()))?;
    let may_come = row.accepted_ago_ms.is_some_and(|ago| ago < ANSWER_LOST_MS);
    if stored.is_none() && may_come {
        return Err(Unready::Later(
            "the artifact store does not have the run's answer".into(),
        ));
    }
    Ok(stored)
}

/// A large answer that was stored, whether or not its acceptance was written.
///
/// # Errors
///
/// The store does not say: an answer that is not there now is not one that never came.
pub(crate) async fn stored_answer(
    core: &Core,
    run: Uuid,
    n: i32,
) -> Result<Option<engine::request::Received>, ObjectsError> {
    let stored = match core.objects.read(&answer_key(run, n)).await {
        Err(error) if error.is_absent() => return Ok(None),
        stored => stored?,
    };
    let read = serde_json::from_slice::<StoredAnswer>(&stored).ok();
    Ok(read.and_then(StoredAnswer::received))
}

/// A large answer as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    /// Base64.
    body: String,
}

impl StoredAnswer {
    pub(crate) fn of(received: &engine::request::Received) -> Self {
        use base64::Engine as _;
        Self {
            status: received.status,
            headers: received.headers.clone(),
            body: base64::engine::general_purpose::STANDARD.encode(&received.body),
        }
    }

    fn received(self) -> Option<engine::request::Received> {
        use base64::Engine as _;
        Some(engine::request::Received {
            status: self.status,
            headers: self.headers,
            body: base64::engine::general_purpose::STANDARD
                .decode(self.body)
                .ok()?
                .into(),
            // It was read when it came; what is stored is the provider's own.
            trusted: true,
        })
    }
}

/// The engine's word for the store's.
pub(crate) fn state_of(state: State) -> RunState {
    match state {
        State::Queued => RunState::Queued,
        State::Preparing => RunState::Preparing,
        State::Submitting => RunState::Submitting,
        State::SubmitUnknown => RunState::SubmitUnknown,
        State::Polling => RunState::Polling,
        State::Fetching => RunState::Fetching,
        State::Validating => RunState::Validating,
        State::Succeeded => RunState::Succeeded,
        State::Failed => RunState::Failed,
        State::Canceled => RunState::Canceled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lists_of_states_have_the_same_words() {
        for state in State::ALL {
            assert_eq!(state.as_str(), state_of(*state).as_str());
        }
    }

    #[test]
    fn a_recorded_call_keeps_the_numbers_of_its_options() {
        let value = serde_json::json!({"call": {"prompt": "a", "params": {"seconds": 8, "seed": 12345678901234567890_u64}}});
        let read = Recorded::read(&value).unwrap();
        assert_eq!(serde_json::to_value(&read.call).unwrap(), value["call"]);
    }
}
