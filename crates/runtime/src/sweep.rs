//! Retention, and what killed processes left: the row first, its object an hour
//! later, and nothing that anybody may still refer to. Every step may be done by
//! several workers at once, and twice.

use crate::core::Core;
use crate::error::RunError;
use crate::objects::{Listed, MARKERS};
use futures_util::TryStreamExt as _;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

/// Rows taken in one statement.
const BATCH: i64 = 500;
/// Objects asked about in one query.
const ASKED: usize = 500;
/// Folders below the artifacts that are looked into.
const DEEPEST: usize = 8;

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Files, from their arrival. Absent: for ever.
    pub artifacts: Option<Duration>,
    /// Inputs, from their upload; longer while a run that has not ended names them.
    pub inputs: Duration,
    /// Events of ended runs. Absent: for ever.
    pub events: Option<Duration>,
    /// Callbacks of providers, from their arrival; those that name a job nobody knows: an hour.
    pub callbacks: Duration,
    /// What no row refers to and nobody has written to for so long was left by a process that died. Longer than any download,
    /// and than any outage of the database: a file that is stored waits for it.
    pub strays: Duration,
    /// Between two listings of the whole artifact store.
    pub listing: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Retention {
    fn default() -> Self {
        Self {
            artifacts: None,
            inputs: 7 * DAY,
            events: None,
            callbacks: 7 * DAY,
            strays: DAY,
            listing: Duration::from_secs(3_600),
        }
    }
}

/// Whether a sweep takes things away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// It takes them away.
    Clean,
    /// It only counts.
    DryRun,
}

/// What a sweep took, or would take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Files that are no longer served.
    pub artifacts: u64,
    /// Objects whose last row stopped being served over an hour ago.
    pub objects: u64,
    /// Inputs that no live run names.
    pub inputs: u64,
    /// Events of ended runs.
    pub events: u64,
    /// Runs that were deleted over 30 days ago, with their idempotency keys.
    pub runs: u64,
    /// Callbacks of providers.
    pub callbacks: u64,
    /// Objects that no row refers to.
    pub strays: u64,
    /// Uploads that were begun and never ended.
    pub uploads: u64,
    /// Objects that are not ours: left alone.
    pub foreign: u64,
}

/// One whole sweep, with a listing of the store.
pub(crate) async fn all(core: &Core, how: Sweep) -> Result<Swept, RunError> {
    let mut swept = match how {
        Sweep::Clean => rows(core).await?,
        Sweep::DryRun => due(core).await?,
    };
    listing(core, how, &mut swept).await?;
    staged(core, how, &mut swept).await;
    Ok(swept)
}

async fn due(core: &Core) -> Result<Swept, RunError> {
    let kept = &core.options.retention;
    let due = core
        .store
        .retention_due(kept.events, kept.callbacks)
        .await?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(Swept {
        artifacts: count(due.artifacts),
        objects: count(due.objects),
        inputs: count(due.inputs),
        events: count(due.events),
        callbacks: count(due.callbacks),
        ..Swept::default()
    })
}

/// What rows say, without a listing: cheap enough for every half minute.
pub(crate) async fn rows(core: &Core) -> Result<Swept, RunError> {
    let (store, objects) = (&core.store, &core.objects);
    let mut swept = Swept {
        artifacts: store.artifacts_expire(BATCH).await?.len() as u64,
        ..Swept::default()
    };
    for key in store.artifacts_removable(BATCH).await? {
        objects.delete(&key).await?;
        store.artifact_removed(&key).await?;
        swept.objects += 1;
    }
    for key in store.inputs_expire(BATCH).await? {
        objects.delete(&key).await?;
        swept.inputs += 1;
    }
    swept.runs = store.erased_forget(BATCH).await?;
    swept.callbacks = store
        .receipts_expire(core.options.retention.callbacks, BATCH)
        .await?;
    if let Some(keep) = core.options.retention.events {
        swept.events = store.events_expire(keep, BATCH).await?;
    }
    Ok(swept)
}

/// Every object against the rows. Young ones are left alone: their rows may be on their way.
async fn listing(core: &Core, how: Sweep, swept: &mut Swept) -> Result<(), RunError> {
    let mut listed = core.objects.list(None).try_chunks(ASKED);
    loop {
        let some = match listed.try_next().await {
            Ok(Some(some)) => some,
            Ok(None) => return Ok(()),
            Err(broken) => return Err(broken.1.into()),
        };
        let old: Vec<Listed> = some
            .into_iter()
            .filter(|one| is_old(core, one.modified_ms))
            .collect();
        compared(core, how, &old, swept).await?;
    }
}

fn is_old(core: &Core, modified_ms: i64) -> bool {
    let age = core.clock.now_ms().saturating_sub(modified_ms);
    u64::try_from(age).is_ok_and(|age| u128::from(age) >= core.options.retention.strays.as_millis())
}

/// Whose object it is, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OfRun(Uuid),
    Input,
    Marker,
    Foreign,
}

fn kind(key: &str) -> Kind {
    let (first, rest) = key.split_once('/').unwrap_or((key, ""));
    match (first, Uuid::try_parse(first)) {
        (MARKERS, _) => Kind::Marker,
        ("inputs", _) if Uuid::try_parse(rest).is_ok() => Kind::Input,
        // `run/name.idx/ver`, `run/output/ver`, `run/answer/n`.
        (_, Ok(run)) if rest.split('/').count() == 2 => Kind::OfRun(run),
        _ => Kind::Foreign,
    }
}

async fn compared(
    core: &Core,
    how: Sweep,
    old: &[Listed],
    swept: &mut Swept,
) -> Result<(), RunError> {
    let (mut keys, mut runs) = (Vec::new(), Vec::new());
    for one in old {
        match kind(&one.key) {
            Kind::Foreign => swept.foreign += 1,
            Kind::Marker => {
                swept.uploads += 1;
                if how == Sweep::Clean {
                    core.objects.abort_marked(&one.key).await?;
                }
            }
            Kind::Input => {
                keys.push(one.key.clone());
                runs.push(None);
            }
            Kind::OfRun(run) => {
                keys.push(one.key.clone());
                runs.push(Some(run));
            }
        }
    }
    let wanted = core.store.objects_wanted(&keys, &runs).await?;
    for key in keys.iter().filter(|key| !wanted.contains(*key)) {
        swept.strays += 1;
        if how == Sweep::Clean {
            tracing::info!(key, "an object that no row refers to is deleted");
            core.objects.delete(key).await?;
        }
    }
    Ok(())
}

/// Files that uploads to a folder were staged in, and that nobody writes to.
async fn staged(core: &Core, how: Sweep, swept: &mut Swept) {
    let Some(folder) = core.objects.local() else {
        return;
    };
    let walked = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        walk(&folder, DEEPEST, &mut found);
        found
    });
    for (path, modified_ms) in walked.await.unwrap_or_default() {
        if !is_old(core, modified_ms) {
            continue;
        }
        swept.uploads += 1;
        if how == Sweep::Clean
            && let Err(error) = tokio::fs::remove_file(&path).await
        {
            tracing::warn!(file = %path.display(), %error, "a staged file stays behind");
        }
    }
}

/// Staged files with the times of their last change; what cannot be read is passed over.
fn walk(folder: &Path, deeper: usize, found: &mut Vec<(PathBuf, i64)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(facts) = entry.metadata() else {
            continue;
        };
        if facts.is_dir() && deeper > 0 {
            walk(&path, deeper - 1, found);
        } else if facts.is_file() && is_staged(&entry.file_name().to_string_lossy()) {
            let changed = facts.modified().ok();
            let since = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let ms = since.and_then(|since| i64::try_from(since.as_millis()).ok());
            found.extend(ms.map(|ms| (path, ms)));
        }
    }
}

/// `name#1`, as the store writes a file before it has its name.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn only_what_has_the_shape_of_our_keys_is_ours() {
        let run = Uuid::from_u128(7);
        let cases = [
            (format!("{run}/video.0/3"),          Kind::OfRun(run)),
            (format!("{run}/output/3"),           Kind::OfRun(run)),
            (format!("{run}"),                    Kind::Foreign),
            (format!("{run}/a/b/c"),              Kind::Foreign),
            (format!("inputs/{run}"),             Kind::Input),
            ("inputs/cat.png".to_owned(),         Kind::Foreign),
            (format!("uploads/{run}/video.0/3"),  Kind::Marker),
            ("backup/video.0/3".to_owned(),       Kind::Foreign),
        ];
        for (key, want) in cases {
            assert_eq!(kind(&key), want, "{key}");
        }
        assert!(is_staged("3#1") && is_staged("3#27") && !is_staged("3") && !is_staged("3#") && !is_staged("a#b"));
    }
}
