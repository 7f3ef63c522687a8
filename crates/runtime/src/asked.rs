//! Runs with what was asked: for faces of other APIs, which show both in one object.

use crate::core::Core;
use crate::error::RunError;
use crate::library::Modelrow;
use crate::list::{asked_for, page_size};
use crate::read::{ask_for_progress, status_of};
use crate::setting::Recorded;
use crate::view::{ModelView, Status};
use profile::call::Call;
use profile::revision::Revision;
use serde_json::Value;
use std::sync::Arc;
use store::runs::{AskedRow, Order};
use store::{Scope, State, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

/// A run and its call.
#[derive(Debug, Clone)]
pub struct AskedRun {
    /// The run.
    pub id: Uuid,
    /// Enough for a program.
    pub status: Status,
    /// The word of the durable record.
    pub state: State,
    /// What it runs under now.
    pub model: ModelView,
    /// The profile that it runs under; absent: this build cannot read it any more.
    pub revision: Option<Arc<Revision>>,
    /// Options normalised, defaults filled in.
    pub call: Call,
    /// 0 to 100; absent while the provider says nothing.
    pub progress: Option<u8>,
    /// Of a run that failed.
    pub failure: Option<Value>,
    /// The provider's id of the job.
    pub provider_job_id: Option<String>,
    /// The run whose result it is made from.
    pub made_from: Option<Uuid>,
    /// When it was called.
    pub created_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// When the first of its files is no longer served; absent: kept, or none.
    pub expires_at: Option<OffsetDateTime>,
}

impl Modelrow {
    /// A run of a purpose, and what was asked. Who asks is a watcher: its progress is kept.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchRun`]: also of another purpose, or one that the scope does not see. [`RunError::Store`].
    pub async fn asked(
        &self,
        scope: impl Into<Scope>,
        purpose: &str,
        run: Uuid,
    ) -> Result<AskedRun, RunError> {
        let core = self.core();
        let row = core.store.run_asked(scope, purpose, run).await?;
        let row = row.ok_or(RunError::NoSuchRun { run_id: run })?;
        let known = core.watches.known(run).and_then(|known| known.percent);
        if known.is_none() && row.state == State::Polling {
            ask_for_progress(core, run).await;
        }
        let mut asked = of(core, row).await;
        asked.progress = known
            .filter(|_| asked.ended_at.is_none())
            .or(asked.progress);
        Ok(asked)
    }

    /// Runs of a tenant and purpose behind the run `after`, at most `limit` (500), and whether there are more.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchRun`]: `after` is none of them. [`RunError::Store`].
    pub async fn asked_page(
        &self,
        of_whom: (Uuid, &str),
        order: Order,
        after: Option<Uuid>,
        limit: u16,
    ) -> Result<(Vec<AskedRun>, bool), RunError> {
        let core = self.core();
        let limit = page_size(Some(limit));
        let rows = core
            .store
            .runs_asked(of_whom, order, after, asked_for(limit));
        let mut rows = rows.await.map_err(|error| match (error, after) {
            (StoreError::NoSuchRow { .. }, Some(run_id)) => RunError::NoSuchRun { run_id },
            (error, _) => error.into(),
        })?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            page.push(of(core, row).await);
        }
        Ok((page, more))
    }
}

async fn of(core: &Core, row: AskedRow) -> AskedRun {
    let recorded = Recorded::read(&row.request).unwrap_or_default();
    let revision = core.catalogue.revision(&core.store, &row.revision_id).await;
    AskedRun {
        id: row.run_id,
        status: status_of(row.state),
        state: row.state,
        model: recorded.under(&row.revision_id).0,
        revision: revision.ok(),
        call: recorded.call_under(&row.revision_id),
        progress: row.progress.and_then(|percent| u8::try_from(percent).ok()),
        failure: row.failure.filter(|_| row.state == State::Failed),
        provider_job_id: row.provider_job_id,
        made_from: recorded.made_from,
        created_at: row.created_at,
        ended_at: row.ended_at,
        expires_at: row.expires_at,
    }
}
