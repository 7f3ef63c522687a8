//! Notifications: hints that make things sooner. Nothing is wrong without them.

use crate::{Store, StoreError};
use sqlx::postgres::PgListener;
use uuid::Uuid;

/// What a notification hints at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Rows of the language changed: read the catalogue's version.
    Catalogue,
    /// Something was queued.
    Queue,
    /// This run was marked (a cancel).
    Run(Uuid),
    /// A callback is to be sent.
    Outbox,
    /// An operator resolved this run: it is to be read again.
    Look(Uuid),
    /// A callback was stored for this run.
    Called(Uuid),
    /// Somebody in another process watches this run.
    Watched(Uuid),
    /// The connection was lost and came back: anything may have been missed.
    Missed,
}

/// A connection that listens.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Store {
    /// Listens to all hints, on a connection of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn listen(&self) -> Result<Listener, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener
            .listen_all([
                "modelrow_catalogue",
                "modelrow_queue",
                "modelrow_run",
                "modelrow_look",
                "modelrow_called",
                "modelrow_outbox",
                "modelrow_watch",
            ])
            .await?;
        Ok(Listener(listener))
    }

    /// Says that somebody watches a run, so that its owner writes its progress down. Nothing is written for it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn watch_hint(&self, run: Uuid) -> Result<(), StoreError> {
        sqlx::query!("select pg_notify('modelrow_watch', $1::uuid::text)", run)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

impl Listener {
    /// Waits for the next hint; reconnects by itself when the connection was lost.
    ///
    /// Cancel safety: a hint that had arrived may be lost; the tick finds what it announced.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: the database is away; wait a little and call again.
    pub async fn hint(&mut self) -> Result<Hint, StoreError> {
        loop {
            let Some(note) = self.0.try_recv().await? else {
                return Ok(Hint::Missed);
            };
            match note.channel() {
                "modelrow_catalogue" => return Ok(Hint::Catalogue),
                "modelrow_queue" => return Ok(Hint::Queue),
                "modelrow_outbox" => return Ok(Hint::Outbox),
                "modelrow_watch" => {
                    if let Ok(run) = note.payload().parse() {
                        return Ok(Hint::Watched(run));
                    }
                }
                "modelrow_look" => {
                    if let Ok(run) = note.payload().parse() {
                        return Ok(Hint::Look(run));
                    }
                }
                "modelrow_called" => {
                    if let Ok(run) = note.payload().parse() {
                        return Ok(Hint::Called(run));
                    }
                }
                "modelrow_run" => {
                    if let Ok(run) = note.payload().parse() {
                        return Ok(Hint::Run(run));
                    }
                }
                _ => {}
            }
        }
    }
}
