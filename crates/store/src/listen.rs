//! Notifications: hints that make things sooner. Nothing is wrong without them.

use crate::{State, Store, StoreError};
use sqlx::postgres::PgListener;
use uuid::Uuid;

/// What a notification hints at.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// These runs ended.
    Ended(Vec<(Uuid, State)>),
    /// The connection was lost and came back: anything may have been missed.
    Missed,
}

/// Runs named in one notification, which holds less than 8,000 bytes.
const ENDED_AT_ONCE: usize = 200;
/// Of one run: how it ended, and its id in hexadecimal digits.
const ENDED_BYTES: usize = 33;

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
                "modelrow_ended",
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

    /// Tells all processes that something was queued, and which runs ended, in a transaction of its own: whoever notifies
    /// holds a lock until its commit. To be gathered, then; and no disk is awaited for it, since nothing is wrong without it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is wrong, only later.
    pub async fn tell(&self, queued: bool, ended: &[(Uuid, State)]) -> Result<(), StoreError> {
        let parts: Vec<String> = ended.chunks(ENDED_AT_ONCE).map(written_down).collect();
        sqlx::query!(
            r#"
            select set_config('synchronous_commit', 'off', true) as lazily, case when $1 then pg_notify('modelrow_queue', '') end as queued,
                   (select count(pg_notify('modelrow_ended', part)) from unnest($2::text[]) as part) as ended
            "#,
            queued,
            &parts,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }
}

fn written_down(ended: &[(Uuid, State)]) -> String {
    let one = |(run, state): &(Uuid, State)| {
        let letter = state.as_str().get(..1).unwrap_or_default();
        format!("{letter}{}", run.simple())
    };
    ended.iter().map(one).collect()
}

/// What is not of the form that [`written_down`] gives is passed over.
fn read(payload: &str) -> Vec<(Uuid, State)> {
    let one = |bytes: &[u8]| {
        let (letter, run) = bytes.split_first()?;
        let state = match letter {
            b's' => State::Succeeded,
            b'f' => State::Failed,
            b'c' => State::Canceled,
            _ => return None,
        };
        Some((Uuid::try_parse_ascii(run).ok()?, state))
    };
    payload
        .as_bytes()
        .chunks(ENDED_BYTES)
        .filter_map(one)
        .collect()
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
                "modelrow_ended" => return Ok(Hint::Ended(read(note.payload()))),
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
