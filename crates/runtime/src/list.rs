//! Lists of runs and of what happened to them, a page at a time.

use crate::cost::so_far;
use crate::error::RunError;
use crate::library::Modelrow;
use crate::read::status_of;
use crate::view::{RunSummary, Status, TimelineEntry};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use store::runs::{ListFilter, Listed};
use store::{Scope, State};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Runs on a page that names no number.
const PAGE: u16 = 50;
/// Runs on the largest page.
const LARGEST_PAGE: u16 = 500;

/// Which runs to list, newest first. What is absent or empty asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only this purpose.
    pub purpose: Option<String>,
    /// Only profiles of this provider, by its slug.
    pub provider: Option<String>,
    /// Only this model, by its id in the API.
    pub model: Option<String>,
    /// Only these statuses; with `states`, one of either.
    pub statuses: Vec<Status>,
    /// Only these states.
    pub states: Vec<State>,
    /// Only those that are held, or that are not.
    pub held: Option<bool>,
    /// Only calls after this.
    pub created_after: Option<OffsetDateTime>,
    /// Only runs whose metadata have these members, compared as text.
    pub metadata: Vec<(String, String)>,
    /// [`RunPage::next`] of the page before.
    pub after: Option<String>,
    /// Runs on the page, at most 500; absent: 50.
    pub limit: Option<u16>,
}

/// A page of runs, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

impl Modelrow {
    /// Lists runs, newest first.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn runs(
        &self,
        scope: impl Into<Scope>,
        filter: &RunFilter,
    ) -> Result<RunPage, RunError> {
        let limit = page_size(filter.limit);
        let after = after(filter.after.as_deref())?;
        let asked = ListFilter {
            purpose: filter.purpose.clone(),
            provider: filter.provider.clone(),
            model: filter.model.clone(),
            states: states(filter),
            held: filter.held,
            created_after: filter.created_after,
            metadata: filter.metadata.clone(),
            after,
            limit: asked_for(limit),
        };
        let listed = self.core().store.runs(scope, &asked).await?;
        let (listed, next) = page(listed, limit, |run| (run.created_at, run.run_id));
        Ok(RunPage {
            runs: listed.into_iter().map(summary).collect(),
            next,
        })
    }

    /// The durable timeline of a run behind number `after`, oldest first, at most `limit` entries.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`]. A run that is not there has no entries.
    pub async fn timeline(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        after: i32,
        limit: u16,
    ) -> Result<Vec<TimelineEntry>, RunError> {
        let store = &self.core().store;
        let entries = store.events(scope, run, after, limit.into()).await?;
        let entries = entries.into_iter().map(|entry| TimelineEntry {
            seq: entry.seq,
            at: entry.at,
            kind: entry.kind,
            body: entry.body,
        });
        Ok(entries.collect())
    }
}

/// Every state of either list; none: all.
fn states(filter: &RunFilter) -> Vec<State> {
    let wanted = |state: &State| {
        filter.states.contains(state) || filter.statuses.contains(&status_of(*state))
    };
    State::ALL.iter().copied().filter(wanted).collect()
}

fn summary(run: Listed) -> RunSummary {
    let cost = run.cost.and_then(|cost| serde_json::from_value(cost).ok());
    RunSummary {
        id: run.run_id,
        tenant: run.tenant_id,
        status: status_of(run.state),
        state: run.state.as_str().to_owned(),
        purpose: run.purpose,
        provider: run.provider,
        model: run.model,
        profile_key: run.profile_key,
        progress: match run.state {
            State::Succeeded => Some(100),
            _ => run.progress.and_then(|percent| u8::try_from(percent).ok()),
        },
        failure_code: run.failure_code.filter(|_| run.state == State::Failed),
        cost: cost.map(|cost| so_far(cost, &run.spent, run.ended_at.is_some())),
        spent: run.spent,
        overdue: run.overdue,
        cancel_requested: run.cancel_requested,
        held: run.held,
        attempts: run.attempt,
        cached: run.cache_of.is_some(),
        metadata: match run.metadata {
            Some(serde_json::Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        },
        created_at: run.created_at,
        accepted_at: run.accepted_at,
        ended_at: run.ended_at,
    }
}

/// Runs, or whatever is listed, on one page.
pub(crate) fn page_size(limit: Option<u16>) -> usize {
    usize::from(limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE))
}

/// Rows to read for a page of so many: one more says whether there is a next page.
pub(crate) fn asked_for(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}

/// The rows of a page, and the cursor of the next one; absent: this is the last. `place`: when a row was made, and its id.
pub(crate) fn page<T>(
    mut rows: Vec<T>,
    limit: usize,
    place: impl Fn(&T) -> (OffsetDateTime, Uuid),
) -> (Vec<T>, Option<String>) {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map(place);
    let next = last.map(|(created_at, id)| cursor(created_at, id));
    (rows, next)
}

/// Where a page begins.
pub(crate) fn after(cursor: Option<&str>) -> Result<Option<(OffsetDateTime, Uuid)>, RunError> {
    let read = |cursor: &str| {
        position(cursor).ok_or_else(|| RunError::BadCursor {
            cursor: cursor.to_owned(),
        })
    };
    cursor.map(read).transpose()
}

/// Opaque to callers: the microseconds of the call and the run's id.
fn cursor(created_at: OffsetDateTime, run: Uuid) -> String {
    let micros = i64::try_from(created_at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
    let mut bytes = micros.to_be_bytes().to_vec();
    bytes.extend(run.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn position(cursor: &str) -> Option<(OffsetDateTime, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (micros, run) = bytes.split_first_chunk::<8>()?;
    let nanos = i128::from(i64::from_be_bytes(*micros)) * 1_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    Some((at, Uuid::from_slice(run).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_cursor_reads_back_to_the_microsecond_and_anything_else_is_refused() {
        let at = datetime!(2030-01-02 03:04:05.678901 UTC);
        let run = Uuid::from_u128(7);
        assert_eq!(position(&cursor(at, run)), Some((at, run)));
        let longer = format!("{}AAAA", cursor(at, run));
        for text in ["", "AAAA", "no cursor", &longer, "_".repeat(32).as_str()] {
            let read = position(text);
            assert!(
                read.is_none_or(|(read, _)| read.year() < 1970),
                "{text}: {read:?}"
            );
        }
    }

    #[test]
    fn a_status_stands_for_its_states() {
        let filter = |statuses: &[Status], states: &[State]| RunFilter {
            statuses: statuses.to_vec(),
            states: states.to_vec(),
            ..RunFilter::default()
        };
        assert_eq!(states(&filter(&[], &[])), []);
        assert_eq!(states(&filter(&[Status::Queued], &[])), [State::Queued]);
        assert_eq!(states(&filter(&[Status::Running], &[])).len(), 6);
        let either = filter(&[Status::Queued], &[State::Polling]);
        assert_eq!(states(&either), [State::Queued, State::Polling]);
    }
}
