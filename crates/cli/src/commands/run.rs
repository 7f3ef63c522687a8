//! `modelrow run`: one job, its progress, its files.

use crate::args::{CallArgs, HouseArgs, RunArgs};
use crate::exit::{self, Stop};
use crate::house::{House, Purpose, run_stop};
use crate::progress::Deltas;
use crate::{params, progress, saved, ui};
use runtime::{Modelrow, OverLimit, RunHandle, RunRequest, RunView, Status};
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

/// How long exchanges in flight are awaited when the command ends.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) async fn run(house: &HouseArgs, args: &RunArgs) -> Result<(), Stop> {
    let mut request = request(&args.call)?;
    request.idempotency_key.clone_from(&args.idempotency_key);
    request.over_limit = args.queue.then_some(OverLimit::Queue);
    request.cache = match (args.cache, args.no_cache) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let house = House::open(house).await?;
    let modelrow = house.start(Purpose::Work).await?;
    let ended = one(&modelrow, request, args).await;
    modelrow.shutdown(GRACE).await;
    house.close().await?;
    ended
}

/// The options of a call as a request of the library.
pub(crate) fn request(args: &CallArgs) -> Result<RunRequest, Stop> {
    let mut request = RunRequest::new(args.purpose.clone());
    request.provider.clone_from(&args.provider);
    request.model.clone_from(&args.model);
    request.profile_key.clone_from(&args.profile);
    request.feature.clone_from(&args.feature);
    request.metadata = params::metadata(args)?;
    request.call = params::call(args)?;
    request.media = params::media(&args.inputs)?;
    Ok(request)
}

async fn one(modelrow: &Modelrow, request: RunRequest, args: &RunArgs) -> Result<(), Stop> {
    let handle = modelrow
        .run_profile(request)
        .await
        .map_err(|error| run_stop(&error))?;
    ui::note(&format!("run {}", handle.id()));
    let live = args.stream || !args.json && std::io::stdout().is_terminal();
    let deltas = if live { Deltas::Print } else { Deltas::Leave };
    let (view, printed) = follow(&handle, deltas).await?;
    let shown = match (args.json, printed) {
        (true, _) => Shown::Json,
        (false, true) => Shown::Already,
        (false, false) => Shown::Output,
    };
    finish(modelrow, &view, &args.out, shown).await
}

/// What is printed of a run that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The whole run as JSON.
    Json,
    /// Its output.
    Output,
    /// Its text was printed while it came.
    Already,
}

/// Shows progress until the run has ended; `true` beside it: the text of a
/// stream was printed. The first Ctrl-C asks to cancel it,
/// for a paid job must not be left by accident; the second leaves it as it is.
///
/// Cancel safety: `wait` and `ctrl_c` may be dropped and asked again at any time.
pub(crate) async fn follow(handle: &RunHandle, deltas: Deltas) -> Result<(RunView, bool), Stop> {
    let bar = progress::Bar::follow(handle, deltas);
    let wait = || async { handle.wait().await.map_err(|error| run_stop(&error)) };
    let view = tokio::select! {
        view = wait() => view,
        _ = tokio::signal::ctrl_c() => {
            bar.say("canceling; Ctrl-C again leaves the job as it is");
            handle.cancel().await.map_err(|error| run_stop(&error))?;
            tokio::select! {
                view = wait() => view,
                _ = tokio::signal::ctrl_c() => Err(Stop::Told(exit::INTERRUPTED)),
            }
        }
    };
    let printed = bar.end(view.is_ok()).await;
    Ok((view?, printed))
}

/// Saves the files and prints what came of the run.
pub(crate) async fn finish(
    modelrow: &Modelrow,
    view: &RunView,
    out: &Path,
    shown: Shown,
) -> Result<(), Stop> {
    let files = saved::save(modelrow, view, out).await?;
    if shown == Shown::Json {
        ui::print_json(&saved::with_files(view, &files));
    } else {
        tell(view, &files, shown);
    }
    match view.status {
        Status::Succeeded => Ok(()),
        _ => Err(Stop::Told(exit::FAILED)),
    }
}

/// Which model ran instead of which, and why.
fn fallback(view: &RunView) -> Option<String> {
    let ran = view.fallen_to()?;
    let fallback = view.fallback.as_ref()?;
    let tried = fallback.instead_of.as_ref()?.model.as_deref()?;
    let word = |name| fallback.after.as_ref()?.get(name)?.as_str();
    let class = word("class").unwrap_or_default();
    let why = word("message").unwrap_or_default();
    Some(format!(
        "the fallback `{ran}` ran instead of `{tried}` ({class}: {why})"
    ))
}

fn tell(view: &RunView, files: &[saved::File], shown: Shown) {
    for file in files {
        ui::done(&format!(
            "saved {} ({}, {} bytes)",
            file.path.display(),
            file.content_type,
            file.bytes
        ));
    }
    if let Some(line) = fallback(view) {
        ui::note(&line);
    }
    if let Some(of) = view.cache_of {
        ui::note(&format!(
            "from the cache: the result of run {of}; nothing was sent"
        ));
    }
    view.warnings
        .iter()
        .for_each(|warning| ui::note(&format!("warning: {warning}")));
    match (&view.output, &view.failure) {
        (Some(_), _) if shown == Shown::Already => {}
        (Some(output), _) => ui::print_json(output),
        (None, Some(failure)) => ui::print_failure(view, failure),
        (None, None) => ui::note("the run was canceled"),
    }
}
