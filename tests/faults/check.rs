//! What must hold after every seed.

use crate::bundle::Model;
use crate::bundle::STREAMED;
use crate::choice::Fault;
use crate::lane::texts;
use crate::scenario::{GIF, Job};
use crate::seed::Seed;
use futures_util::TryStreamExt as _;
use runtime::{Modelrow, RunView, Sweep};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use store::DEFAULT_TENANT;

/// Moves of a run's state that the design knows.
const MOVES: [(&str, &str); 23] = [
    ("queued", "preparing"),
    ("queued", "submitting"),
    ("queued", "failed"),
    ("queued", "canceled"),
    ("preparing", "queued"),
    ("preparing", "submitting"),
    ("preparing", "failed"),
    ("preparing", "canceled"),
    ("submitting", "polling"),
    ("submitting", "validating"),
    // An answer that is the result, with the end.
    ("submitting", "succeeded"),
    ("submitting", "queued"),
    ("submitting", "failed"),
    ("submitting", "canceled"),
    ("submitting", "submit_unknown"),
    ("submit_unknown", "polling"),
    ("submit_unknown", "validating"),
    ("submit_unknown", "queued"),
    ("submit_unknown", "failed"),
    ("polling", "submit_unknown"),
    ("polling", "fetching"),
    ("validating", "fetching"),
    ("fetching", "polling"),
];

/// Whether a run may stand in `submit_unknown`: nothing that anybody knows could settle it.
pub(crate) fn may_stand(seed: &Seed<'_>) -> bool {
    let scenario = &seed.choice.scenario;
    let at_create = seed
        .choice
        .mischief
        .is_some_and(|(_, operation)| operation != "retrieve" && operation != "content");
    let dead = seed.met(Fault::Kill);
    // A frozen exchange may have timed out; an answer that was received may not be forgotten.
    let frozen = seed.met(Fault::Freeze)
        && !(seed.choice.point == "sender.send" && seed.choice.side == "after");
    match scenario.model {
        Model::Plain | Model::Direct | Model::Streamed => {
            scenario.doubtful || at_create || dead || frozen
        }
        // That the provider does not have it is known only to a sender that lives.
        Model::Found
        | Model::Prepared
        | Model::Late
        | Model::Wordy
        | Model::Limited
        | Model::Endless
        | Model::Pictured
        | Model::Bulky
        | Model::Unlimited
        | Model::Called => dead && seed.accepted() == 0,
        // Two of the three replays that are made are stalled; the third died with its sender.
        Model::Replayed if scenario.name == "late-refusal" => dead,
        Model::Replayed | Model::Tokened | Model::Consented => false,
    }
}

/// Everything that does not hold.
pub(crate) async fn all(seed: &Seed<'_>, caller: &Modelrow, state: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (accepted, scenario) = (seed.accepted(), &seed.choice.scenario);
    let view = match caller.run(DEFAULT_TENANT, seed.run).await {
        Ok(view) => view,
        Err(error) => {
            wrong.push(format!("the run cannot be read: {error}"));
            return wrong;
        }
    };
    // The admin's consent: one that was written off may have been paid for.
    let consented = view
        .attempts
        .iter()
        .filter(|one| one.outcome == "written_off")
        .count();
    let consented = if scenario.model == Model::Consented {
        consented
    } else {
        0
    };
    if accepted > 1 + consented {
        wrong.push(format!("{accepted} jobs were paid for"));
    }
    end(seed, &view, (state, accepted), &mut wrong);
    attempts(&view, &mut wrong);
    files(seed, caller, &view, &mut wrong).await;
    audit(seed, &mut wrong).await;
    wrong
}

/// The end that the provider's job had, or a visible reason why it is not known.
fn end(seed: &Seed<'_>, view: &RunView, (state, accepted): (&str, usize), wrong: &mut Vec<String>) {
    let scenario = &seed.choice.scenario;
    let failure = view.failure_text("code").unwrap_or_default();
    let unknown = state == "submit_unknown" || failure == "unknown_outcome";
    if unknown {
        if !may_stand(seed) {
            wrong.push(format!("{state} {failure}, though it could be known"));
        }
        let reason = view.attempts.last().map(|attempt| attempt.outcome.as_str());
        if reason != Some("unknown") || view.spent == "none" {
            wrong.push(format!(
                "unknown without its reason: {reason:?}, spent {}",
                view.spent
            ));
        }
        return;
    }
    let expected: &[&str] = match (scenario.job, accepted) {
        (Job::Succeeds, _) if scenario.cancels => &["canceled", "succeeded"],
        (Job::Succeeds, 1..) => &["succeeded"],
        (Job::Fails, 1..) => &["failed"],
        (Job::Refused, _) => &["failed"],
        (Job::Anothers, 0) if scenario.name == "same-job" => &["failed"],
        (Job::Anothers, 0) => &["succeeded"],
        // Nothing of its own may be paid for.
        (Job::Anothers, _) => &[],
        // Its refusal was written before anybody sent it again: both workers were frozen.
        (_, 0) if scenario.name == "late-refusal" => &["failed"],
        // Not accepted: the provider failed on every try.
        (_, 0) if scenario.doubtful || seed.choice.mischief.is_some() => &["failed"],
        (_, 0) => &[],
    };
    if !expected.contains(&state) {
        wrong.push(format!(
            "{state} ({failure}) with {accepted} jobs, expected one of {expected:?}: {:?}",
            view.failure
        ));
    }
}

fn attempts(view: &RunView, wrong: &mut Vec<String>) {
    let count = |outcome: &str| {
        view.attempts
            .iter()
            .filter(|one| one.outcome == outcome)
            .count()
    };
    if view.ended() && count("pending") > 0 {
        wrong.push("an attempt is pending after the end".into());
    }
    if view.state == "succeeded" && count("accepted") != 1 {
        wrong.push(format!("{} attempts are accepted", count("accepted")));
    }
}

/// One file with the right digest, and nothing else.
async fn files(seed: &Seed<'_>, caller: &Modelrow, view: &RunView, wrong: &mut Vec<String>) {
    let streams = seed.choice.scenario.model == Model::Streamed;
    let wanted = usize::from(view.state == "succeeded" && !streams);
    if streams && view.state == "succeeded" {
        let text = view
            .output
            .as_ref()
            .and_then(|output| output["text"].as_str());
        if text != Some(&STREAMED.concat()) {
            wrong.push(format!("the text is another: {text:?}"));
        }
    }
    if view.artifacts.len() != wanted && view.state != "canceled" {
        wrong.push(format!("{} files, not {wanted}", view.artifacts.len()));
    }
    for artifact in &view.artifacts {
        let read = async {
            let stored = caller
                .artifact(DEFAULT_TENANT, view.id, &artifact.name, 0)
                .await
                .ok()??;
            let pieces: Vec<_> = stored.bytes.try_collect().await.ok()?;
            Some(pieces.concat())
        };
        let Some(bytes) = read.await else {
            wrong.push("the file cannot be read".into());
            continue;
        };
        if hex::encode(Sha256::digest(&bytes)) != artifact.sha256
            || bytes.len() as u64 != artifact.bytes
        {
            wrong.push("the file is not what its row says".into());
        }
        if artifact.content_type == "image/gif" && bytes != GIF {
            wrong.push("the picture is another".into());
        }
    }
    if let Err(error) = caller.sweep(Sweep::Clean).await {
        wrong.push(format!("the sweep fails: {error}"));
    }
    let rows = texts(&seed.url(), "select object_key from artifacts")
        .await
        .unwrap_or_default();
    let kept: BTreeSet<String> = rows.into_iter().collect();
    let mut found = Vec::new();
    walk(&seed.folder.join("artifacts"), "", &mut found);
    // What the caller gave stays until it is swept by its age. Its answer, the only copy, stays with a run that is not settled; the output may be a file.
    let strays = found.iter().filter(|key| {
        !kept.contains(*key)
            && !key.starts_with("inputs/")
            && !key.contains("/answer/")
            && !key.contains("/output/")
    });
    let strays: Vec<_> = strays.collect();
    if !strays.is_empty() {
        wrong.push(format!("left over: {strays:?}"));
    }
}

fn walk(folder: &Path, below: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

/// Every move is one of the design's, counted by one, and a cancel makes nobody stale.
async fn audit(seed: &Seed<'_>, wrong: &mut Vec<String>) {
    let query = "select was || ' ' || became || ' ' || (ver - ver_was) || ' ' || cancel from fault_audit order by n";
    let Some(rows) = texts(&seed.url(), query).await else {
        wrong.push("the audit cannot be read".into());
        return;
    };
    for row in &rows {
        let words: Vec<&str> = row.split(' ').collect();
        let [was, became, step, cancel] = words[..] else {
            continue;
        };
        let moved = was != became;
        let ends = ["succeeded", "failed", "canceled"];
        let known = MOVES.contains(&(was, became))
            // From where the job is known, every end; and proof reopens what was unknown.
            || matches!(was, "polling" | "fetching" | "validating") && ends.contains(&became)
            || was == "failed" && matches!(became, "polling" | "validating")
            || was == "submit_unknown" && became == "canceled";
        let counted = match (moved, cancel) {
            (true, _) => step == "1",
            (false, "true") => step == "0",
            // A fetch begun again; a sender's word that its exchange ended, which others decide by.
            (false, _) => {
                step == "0" || step == "1" && matches!(was, "fetching" | "submit_unknown")
            }
        };
        if moved && !known || !counted {
            wrong.push(format!("a move that the design does not know: {row}"));
        }
    }
}
