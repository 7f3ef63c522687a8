//! One run in the hands of a program.

use crate::events::{Progress, RunEvent};
use crate::read;
use crate::tasks::Until;
use crate::view::RunView;
use crate::{Modelrow, RunError};
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;
use store::Scope;
use store::runs::RunDetails;
use tokio::sync::watch;
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(3600);

/// A run that was made, or found by its idempotency key.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(crate) modelrow: Modelrow,
    pub(crate) scope: Scope,
    pub(crate) id: Uuid,
    pub(crate) replayed: bool,
    /// Since before the run was there: whoever waits need not look first.
    pub(crate) heard: Option<watch::Receiver<Progress>>,
    /// Its rows as they were made, where this handle's call made them: what memory has is not read.
    pub(crate) rows: Option<Arc<RunDetails>>,
}

impl RunHandle {
    /// The run.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Who sees it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether the idempotency key had made it before.
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    /// What happens from now on, and what the timeline has already; ends after [`RunEvent::End`].
    #[must_use]
    pub fn events(&self) -> BoxStream<'static, RunEvent> {
        self.modelrow.events(self.scope, self.id)
    }

    /// Where it stands, the latest only.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.modelrow.progress(self.id)
    }

    /// Waits until it has ended, however long that takes.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`] after the database was away for a minute.
    pub async fn wait(&self) -> Result<RunView, RunError> {
        loop {
            let view = self.wait_within(HOUR).await?;
            if view.ended() {
                return Ok(view);
            }
        }
    }

    /// The same, until `limit` is over: where it stands then.
    ///
    /// # Errors
    ///
    /// As [`RunHandle::wait`].
    pub async fn wait_within(&self, limit: Duration) -> Result<RunView, RunError> {
        self.modelrow.wait_for(self, limit).await
    }

    /// Where it stood when it was made, of a run that this handle's call made; of another, where it stands now.
    ///
    /// # Errors
    ///
    /// As [`RunHandle::view`].
    pub async fn first_view(&self) -> Result<RunView, RunError> {
        match &self.rows {
            Some(rows) => Ok(read::of(self.modelrow.core(), rows)),
            None => self.view().await,
        }
    }

    /// Where it stands now.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`], [`RunError::NoSuchRun`].
    pub async fn view(&self) -> Result<RunView, RunError> {
        self.modelrow.run(self.scope, self.id).await
    }

    /// Asks to cancel it after a while, unless `stays` holds then. Nobody waits for it: this is for whoever is about to leave.
    pub fn cancel_later(&self, after: Duration, stays: impl FnOnce() -> bool + Send + 'static) {
        let run = self.clone();
        let later = async move {
            tokio::time::sleep(after).await;
            if stays() {
                return;
            }
            if let Err(error) = run.cancel().await {
                tracing::warn!(run.id = %run.id, %error, "a run whose caller has left could not be canceled");
            }
        };
        let tasks = &self.modelrow.core().tasks;
        tasks.spawn("cancel later", Until::Death, later);
    }

    /// Asks to cancel it, at the provider too where the profile can.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`], [`RunError::NoSuchRun`].
    pub async fn cancel(&self) -> Result<RunView, RunError> {
        self.modelrow.cancel(self.scope, self.id).await
    }
}
