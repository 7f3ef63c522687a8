//! The end of a driven run, with the last file's fact where that is written in the same statement.

use super::settle::unsettled;
use super::{Driven, Step, Trouble, UNREADY_MS, job_failed};
use crate::core::Core;
use crate::facts::written;
use crate::faults::At as _;
use crate::fetch;
use crate::live::Live;
use crate::objects::ObjectsError;
use crate::read::{OUTPUT, OUTPUT_OBJECT, WARNINGS};
use crate::traces::{End, Usage};
use engine::{Action, Ending, Fault};
use serde_json::{Value, json};
use store::State;
use store::decisions::Ended;
use uuid::Uuid;

/// The largest output that is kept in the run's row, in bytes of text.
const OUTPUT_MAX: usize = 24 * 1024;

/// A failure of ours, after the submit.
pub(super) async fn failed(core: &Core, live: &Live, fault: &Fault) -> Result<Step, Trouble> {
    if live.state == State::SubmitUnknown {
        return unsettled(core, live, fault).await;
    }
    core.metrics.failed(&live.common.revision, fault);
    let written = core
        .store
        .run_ended(&end(live, State::Failed, None, Some(fault.to_json())))
        .at("drive.end.failed")
        .await?;
    Ok(gone(core, live, (State::Failed, fault), written))
}

pub(super) async fn canceled(core: &Core, live: &Live) -> Result<Step, Trouble> {
    let written = core
        .store
        .run_ended(&end(live, State::Canceled, None, None))
        .at("drive.end.canceled")
        .await?;
    Ok(gone(core, live, State::Canceled, written))
}

pub(super) async fn ended(core: &Core, live: &mut Live, ending: Ending) -> Result<Step, Trouble> {
    match ending {
        Ending::Canceled => canceled(core, live).await,
        // The submit's own answer said that the job failed.
        Ending::Failed(fault)
            if !live.done && fault.class().is_some() && live.state == State::Polling =>
        {
            job_failed(core, live, &fault).await
        }
        Ending::Failed(fault) => failed(core, live, &fault).await,
        Ending::Succeeded { output, warnings } => {
            let end_of = succeeded(&output);
            let captured = with_output(core, live, output, &warnings).await?;
            let written = core
                .store
                .run_ended(&end(live, State::Succeeded, Some(captured), None))
                .at("drive.end.succeeded")
                .await?;
            Ok(gone(core, live, end_of, written))
        }
    }
}

/// The last file's fact, in one statement with the end that follows it; by itself where that is not to be, or where the
/// statement moved nothing: a fact is not dropped with a decision.
pub(super) async fn keep_last(
    core: &Core,
    live: &mut Live,
    last: &fetch::Last,
) -> Result<Step, Trouble> {
    let drawn = core.drawn();
    if let Action::Ended(Ending::Succeeded { output, warnings }) =
        live.flow.next(drawn.unix_ms, drawn)
        && let Some((end, end_of)) = success(live, output, &warnings)
    {
        let end = Ended {
            file: Some(last.fact.clone()),
            ..end
        };
        match written(("fetched and ended", live.run), || {
            core.store.run_ended(&end)
        })
        .at("drive.end.fetched")
        .await
        {
            Ok(Some(ver)) => return Ok(gone(core, live, end_of, Some(ver))),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(run.id = %live.run, %error, "a file is kept without its run's end")
            }
        }
    }
    let Some(stands) = fetch::write(core, last).await? else {
        return Ok(Step::Leave(Driven::Stale));
    };
    if let Some(told) = last.instead(&stands) {
        live.flow.stands_instead(told);
    }
    Ok(Step::Go)
}

/// The record with its output, which goes to the artifact store when it is large.
async fn with_output(
    core: &Core,
    live: &Live,
    output: Value,
    warnings: &[String],
) -> Result<Value, Trouble> {
    let kept = kept_output(core, (live.run, live.ver), output).await;
    let kept = kept.map_err(|error| {
        tracing::error!(run.id = %live.run, %error, "the output is not stored yet");
        Trouble::Wait(core.clock.now_ms() + UNREADY_MS)
    })?;
    Ok(with_member(live, kept, warnings))
}

fn with_member(live: &Live, (name, value): (&str, Value), warnings: &[String]) -> Value {
    let mut captured = live.flow.captured();
    if let Value::Object(members) = &mut captured {
        members.remove("answer");
        members.insert(name.to_owned(), value);
        if !warnings.is_empty() {
            members.insert(WARNINGS.to_owned(), json!(warnings));
        }
    }
    captured
}

fn succeeded(output: &Value) -> End<'static> {
    End {
        usage: Usage::of(output),
        ..State::Succeeded.into()
    }
}

/// The end of a run with this output; `None`: it is too large for the row, and is to be stored before.
pub(crate) fn success(
    live: &Live,
    output: Value,
    warnings: &[String],
) -> Option<(Ended, End<'static>)> {
    if output.to_string().len() > OUTPUT_MAX {
        return None;
    }
    let end_of = succeeded(&output);
    let captured = with_member(live, (OUTPUT, output), warnings);
    Some((end(live, State::Succeeded, Some(captured), None), end_of))
}

/// The member of `captured` that has the output, or the key of its object.
pub(crate) async fn kept_output(
    core: &Core,
    (run, ver): (Uuid, i64),
    output: Value,
) -> Result<(&'static str, Value), ObjectsError> {
    let text = output.to_string();
    if text.len() <= OUTPUT_MAX {
        return Ok((OUTPUT, output));
    }
    let key = format!("{run}/output/{ver}");
    core.objects
        .put(&key, text.into())
        .at("drive.put_object")
        .await?;
    Ok((OUTPUT_OBJECT, json!(key)))
}

fn end(live: &Live, to: State, captured: Option<Value>, failure: Option<Value>) -> Ended {
    let cleans = !live.common.revision.workflow.cleanup.is_empty();
    Ended {
        run_id: live.run,
        n: live.n,
        ver: (to == State::Failed).then_some(live.ver),
        from: live.state,
        to,
        captured,
        failure,
        cleanup: (cleans && to == State::Succeeded).then(|| json!({})),
        file: None,
        answer: None,
    }
}

/// After the statement that ended it, or queued it again: no row means that somebody else was first.
pub(super) fn gone<'a>(
    core: &Core,
    live: &Live,
    end: impl Into<End<'a>>,
    written: Option<i64>,
) -> Step {
    let end = end.into();
    if written.is_none() {
        return Step::Leave(Driven::Stale);
    }
    let_go(core, live, &end);
    Step::Leave(Driven::Gone)
}

/// Tells whoever waits for it.
pub(crate) fn let_go(core: &Core, live: &Live, end: &End<'_>) {
    tracing::info!(run.id = %live.run, state = end.state.as_str(), "let go");
    core.ended(live.run, &live.common.revision, end);
    // Only these leave something to do at the provider.
    if end.state == State::Canceled || !live.common.revision.workflow.cleanup.is_empty() {
        core.outbox.notify_one();
    }
}
