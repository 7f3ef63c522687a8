//! A run's rows as its caller sees them.

use crate::core::Core;
use crate::cost::so_far;
use crate::error::RunError;
use crate::events::AtEnd;
use crate::setting::Recorded;
use crate::view::{ArtifactView, AttemptView, FallbackView, RunView, Status};
use serde_json::Value;
use store::artifacts::ArtifactRow;
use store::runs::{AttemptRow, Inserted, Insertion, NewRun, RunDetails, RunRow};
use store::work::SentRow;
use store::{Outcome, Scope, State};
use uuid::Uuid;

/// Member of `captured` with the output of a run that succeeded.
pub(crate) const OUTPUT: &str = "output";
/// Member of `captured` with the key of an output too large for it.
pub(crate) const OUTPUT_OBJECT: &str = "output_object";
/// Member of `captured` with the mismatches of a schema that is not strict.
pub(crate) const WARNINGS: &str = "warnings";

/// Reads a run, with what this process knows beyond the rows.
pub(crate) async fn view(core: &Core, scope: Scope, run: Uuid) -> Result<RunView, RunError> {
    let details = core.store.run(scope, run).await?;
    let details = details.ok_or(RunError::NoSuchRun { run_id: run })?;
    let mut view = of(core, &details);
    if scope == Scope::Operator {
        add_answers(&mut view, core.store.attempts(run).await?);
    }
    if let Some(key) = object_of(&details) {
        let bytes = core.objects.read(&key).await?;
        view.output = serde_json::from_slice(&bytes).ok();
    }
    if view.ended() {
        return Ok(view);
    }
    match core.watches.known(run).and_then(|known| known.percent) {
        Some(percent) => view.progress = Some(percent),
        None if details.run.state == State::Polling => ask_for_progress(core, run).await,
        None => {}
    }
    Ok(view)
}

/// What callers are not shown: it may name accounts and machines of the house.
fn add_answers(view: &mut RunView, sent: Vec<SentRow>) {
    for sent in sent {
        if let Some(attempt) = view.attempts.iter_mut().find(|shown| shown.n == sent.n) {
            attempt.answer = sent.answer.filter(|text| !text.is_empty());
            attempt.endpoint = Some(sent.endpoint);
        }
    }
}

/// Progress is written down only for runs that somebody watches: whoever follows this one elsewhere is told that somebody does.
pub(crate) async fn ask_for_progress(core: &Core, run: Uuid) {
    if core.watches.to_be_said(run)
        && let Err(error) = core.store.watch_hint(run).await
    {
        tracing::debug!(run.id = %run, %error, "progress stays where it is known");
    }
}

fn object_of(details: &RunDetails) -> Option<String> {
    let captured = details.run.captured.as_ref()?;
    Some(captured.get(OUTPUT_OBJECT)?.as_str()?.to_owned())
}

/// The rows of a run as its insert has left them; `None`: they may stand otherwise.
pub(crate) fn as_made(new: NewRun, insertion: &Insertion) -> Option<RunDetails> {
    let at = insertion.at?;
    let (state, ver) = match insertion.inserted {
        Inserted::New(_) => (State::Queued, 0),
        Inserted::Claimed(intended) => (State::Submitting, intended.ver),
        _ => return None,
    };
    let sent = (state == State::Submitting).then(|| AttemptRow {
        n: 1,
        revision_id: new.revision_id.clone(),
        outcome: Outcome::Pending,
        http_status: None,
        provider_job_id: None,
        replays: 0,
        adopted: false,
        sent_at: at,
        ended_at: None,
    });
    Some(RunDetails {
        run: RunRow {
            run_id: new.run_id,
            tenant_id: new.tenant_id,
            purpose: new.purpose,
            request: new.request,
            request_sha256: new.request_sha256,
            revision_id: new.revision_id,
            fell_back: None,
            state,
            not_before: at,
            ver,
            held: false,
            attempt: i32::from(sent.is_some()),
            progress: None,
            spent: if sent.is_some() { "maybe" } else { "none" }.to_owned(),
            failure: None,
            captured: None,
            provider_job_id: None,
            cancel_requested: false,
            overdue: false,
            event_seq: 0,
            cache_of: None,
            created_at: at,
            accepted_at: None,
            deadline_at: None,
            ended_at: None,
        },
        attempts: sent.into_iter().collect(),
        artifacts: Vec::new(),
    })
}

/// The same rows after this end; `None`: another change of state, or a file, came in between.
pub(crate) fn as_ended(made: &RunDetails, AtEnd { end, left }: &AtEnd) -> Option<RunDetails> {
    let answer = end.answer.as_ref()?;
    if left.ver != made.run.ver + 1 || end.to != State::Succeeded || end.file.is_some() {
        return None;
    }
    let mut rows = made.clone();
    let [attempt] = rows.attempts.as_mut_slice() else {
        return None;
    };
    attempt.outcome = Outcome::Accepted;
    attempt.http_status = answer.http_status;
    attempt.ended_at = Some(left.at);
    let row = &mut rows.run;
    row.state = end.to;
    row.ver = left.ver;
    row.held = left.held;
    "yes".clone_into(&mut row.spent);
    row.captured.clone_from(&end.captured);
    row.event_seq = left.event_seq;
    row.accepted_at = Some(left.at);
    row.ended_at = Some(left.at);
    Some(rows)
}

/// A run as its rows have it.
pub(crate) fn of(core: &Core, details: &RunDetails) -> RunView {
    let row = &details.run;
    let recorded = Recorded::read(&row.request).unwrap_or_default();
    let succeeded = row.state == State::Succeeded;
    let captured = |name: &str| {
        row.captured
            .as_ref()
            .filter(|_| succeeded)
            .and_then(|captured| captured.get(name))
            .cloned()
    };
    let (model, cost) = recorded.under(&row.revision_id);
    let fallback = recorded.fallback_view(row.fell_back.as_ref());
    let mut warnings = captured(WARNINGS).map(texts).unwrap_or_default();
    warnings.extend(fallback.as_ref().and_then(FallbackView::warning));
    let progress = row.progress.and_then(|percent| u8::try_from(percent).ok());
    RunView {
        id: row.run_id,
        tenant: row.tenant_id,
        status: status_of(row.state),
        state: row.state.as_str().to_owned(),
        recorded: true,
        purpose: row.purpose.clone(),
        provider: model.provider,
        model: model.model,
        profile_key: model.profile_key,
        fallback,
        revision: hex::encode(&row.revision_id),
        progress: if succeeded { Some(100) } else { progress },
        output: captured(OUTPUT),
        warnings,
        artifacts: details
            .artifacts
            .iter()
            .map(|artifact| artifact_of(core, row.run_id, artifact))
            .collect(),
        failure: row.failure.clone().filter(|_| row.state == State::Failed),
        spent: row.spent.clone(),
        overdue: row.overdue,
        cancel_requested: row.cancel_requested,
        held: row.held,
        cost: cost.map(|cost| so_far(cost, &row.spent, row.ended_at.is_some())),
        provider_job_id: row.provider_job_id.clone(),
        attempts: details
            .attempts
            .iter()
            .map(|attempt| attempt_of(&recorded, attempt))
            .collect(),
        metadata: recorded.metadata,
        retry_of: recorded.retry_of,
        cached: row.cache_of.is_some(),
        cache_of: row.cache_of,
        seq: row.event_seq,
        created_at: row.created_at,
        not_before: (row.state == State::Queued && row.not_before > core.now().max(row.created_at))
            .then_some(row.not_before),
        accepted_at: row.accepted_at,
        deadline_at: row.deadline_at,
        ended_at: row.ended_at,
    }
}

fn texts(value: Value) -> Vec<String> {
    let Value::Array(items) = value else {
        return Vec::new();
    };
    items
        .into_iter()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

pub(crate) fn status_of(state: State) -> Status {
    match state {
        State::Queued => Status::Queued,
        State::Succeeded => Status::Succeeded,
        State::Failed => Status::Failed,
        State::Canceled => Status::Canceled,
        State::Preparing
        | State::Submitting
        | State::SubmitUnknown
        | State::Polling
        | State::Fetching
        | State::Validating => Status::Running,
    }
}

pub(crate) fn artifact_of(core: &Core, run: Uuid, row: &ArtifactRow) -> ArtifactView {
    ArtifactView {
        url: core.artifact_url(run, &row.name, i64::from(row.idx)),
        name: row.name.clone(),
        idx: row.idx,
        content_type: row.content_type.clone(),
        bytes: u64::try_from(row.bytes).unwrap_or(0),
        sha256: hex::encode(&row.sha256),
        expires_at: row.delete_after,
    }
}

fn attempt_of(recorded: &Recorded, row: &AttemptRow) -> AttemptView {
    AttemptView {
        n: row.n,
        model: recorded.under(&row.revision_id).0.model,
        outcome: row.outcome.as_str().to_owned(),
        http_status: row.http_status,
        provider_job_id: row.provider_job_id.clone(),
        replays: row.replays,
        adopted: row.adopted,
        sent_at: row.sent_at,
        ended_at: row.ended_at,
        answer: None,
        endpoint: None,
    }
}
