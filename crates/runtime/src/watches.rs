//! Who watches which run in this process. A run that nobody watches costs nothing.

use crate::clock::boot_ms;
use crate::events::{AtEnd, Progress};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// Another process is told so often that a run of its is watched here.
const TELL_EVERY_MS: i64 = 30_000;
/// What was heard of watchers elsewhere holds so long.
const HEARD_FOR_MS: i64 = 2 * TELL_EVERY_MS + 10_000;

/// The watched runs.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    here: Mutex<HashMap<Uuid, watch::Sender<Progress>>>,
    /// What the streams that are heard in this process have said so far.
    texts: Mutex<HashMap<Uuid, Arc<LiveText>>>,
    /// Runs that others watch, and until when (boot clock).
    elsewhere: Mutex<HashMap<Uuid, i64>>,
    /// Runs of others that are watched here, and when that is to be said again (boot clock).
    said: Mutex<HashMap<Uuid, i64>>,
}

/// The text of a stream, as far as it has come.
#[derive(Debug)]
pub(crate) struct LiveText {
    text: Mutex<String>,
    /// Tells its length in bytes.
    length: watch::Sender<usize>,
    /// Whether its caller has canceled the run.
    unwanted: watch::Sender<bool>,
}

impl LiveText {
    fn new() -> Self {
        Self {
            text: Mutex::default(),
            length: watch::Sender::new(0),
            unwanted: watch::Sender::new(false),
        }
    }

    /// What follows the first `at` bytes.
    pub(crate) fn after(&self, at: usize) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.get(at..).unwrap_or_default().to_owned()
    }

    /// Returns when it is longer than `at` bytes.
    ///
    /// Cancel safety: nothing is lost, for the text stays.
    pub(crate) async fn longer_than(&self, at: usize) {
        // The sender is here, so the channel does not close.
        let _ = self.length.subscribe().wait_for(|now| *now > at).await;
    }
}

/// Says the text of one stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Speech<'a> {
    watches: &'a Watches,
    run: Uuid,
    text: Arc<LiveText>,
}

impl Speech<'_> {
    /// Says the next piece.
    pub(crate) fn say(&self, piece: &str) {
        let mut text = self
            .text
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        text.push_str(piece);
        self.text.length.send_replace(text.len());
    }

    /// Whether its caller has canceled the run.
    pub(crate) fn is_unwanted(&self) -> bool {
        *self.text.unwanted.borrow()
    }

    /// Returns once its caller has canceled the run.
    ///
    /// Cancel safety: the word stays.
    pub(crate) async fn unwanted(&self) {
        // The sender is here, so the channel does not close.
        let _ = self.text.unwanted.subscribe().wait_for(|is| *is).await;
    }
}

impl Drop for Speech<'_> {
    fn drop(&mut self) {
        self.watches.texts().remove(&self.run);
    }
}

/// Puts a run down until `until`; those whose time is over go now and then.
fn note(times: &mut HashMap<Uuid, i64>, run: Uuid, until: i64) {
    if times.len() > 64 && times.len().is_power_of_two() {
        let now = boot_ms();
        times.retain(|_, until| *until > now);
    }
    times.insert(run, until);
}

impl Watches {
    /// Watches a run from now on.
    pub(crate) fn watch(&self, run: Uuid) -> watch::Receiver<Progress> {
        let mut watched = self.lock();
        // Those that nobody watches any more go now and then.
        if watched.len() > 64 && watched.len().is_power_of_two() {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
        watched.entry(run).or_default().subscribe()
    }

    /// Tells the watchers of a run, if it has any. `true`: it has.
    pub(crate) fn tell(&self, run: Uuid, change: impl FnOnce(&mut Progress)) -> bool {
        let mut watched = self.lock();
        let Some(sender) = watched.get(&run) else {
            return false;
        };
        if sender.receiver_count() == 0 {
            watched.remove(&run);
            return false;
        }
        sender.send_if_modified(|progress| {
            let before = progress.clone();
            change(progress);
            *progress != before
        });
        true
    }

    /// The same, for a change of state.
    pub(crate) fn state(&self, run: Uuid, state: &str) {
        self.tell(run, |progress| state.clone_into(&mut progress.state));
    }

    /// How a run was ended, for those who wait for it; that it has, they are told with its state.
    pub(crate) fn ending(&self, run: Uuid, end: AtEnd) {
        if let Some(sender) = self.lock().get(&run) {
            sender.send_if_modified(|progress| {
                progress.end = Some(Arc::new(end));
                false
            });
        }
    }

    /// What the watchers know.
    pub(crate) fn known(&self, run: Uuid) -> Option<Progress> {
        self.lock().get(&run).map(|sender| sender.borrow().clone())
    }

    /// A stream begins: late watchers hear it from its beginning.
    pub(crate) fn speak(&self, run: Uuid) -> Speech<'_> {
        let text = Arc::new(LiveText::new());
        self.texts().insert(run, Arc::clone(&text));
        Speech {
            watches: self,
            run,
            text,
        }
    }

    /// The stream of a run that is heard in this process now.
    pub(crate) fn spoken(&self, run: Uuid) -> Option<Arc<LiveText>> {
        self.texts().get(&run).cloned()
    }

    /// The caller of a run wants no more of it: who hears its stream lets it go.
    pub(crate) fn hush(&self, run: Uuid) {
        if let Some(text) = self.spoken(run) {
            text.unwanted.send_replace(true);
        }
    }

    fn texts(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<LiveText>>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process watches this run.
    pub(crate) fn elsewhere(&self, run: Uuid) {
        let mut heard = self
            .elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        note(&mut heard, run, boot_ms().saturating_add(HEARD_FOR_MS));
    }

    /// Whether another process watches this run.
    pub(crate) fn watched_elsewhere(&self, run: Uuid) -> bool {
        let heard = self
            .elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        heard.get(&run).is_some_and(|until| *until > boot_ms())
    }

    /// Whether its owner is to be told, now and for the next 30 s, that a run is watched here.
    pub(crate) fn to_be_said(&self, run: Uuid) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = boot_ms();
        if said.get(&run).is_some_and(|again| *again > now) {
            return false;
        }
        note(&mut said, run, now.saturating_add(TELL_EVERY_MS));
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, watch::Sender<Progress>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_nobody_watches_is_forgotten() {
        let watches = Watches::default();
        let run = Uuid::from_u128(1);
        assert!(!watches.tell(run, |_| {}));
        let watcher = watches.watch(run);
        watches.state(run, "polling");
        assert_eq!(watcher.borrow().state, "polling");
        drop(watcher);
        assert!(!watches.tell(run, |_| {}));
        assert_eq!(watches.known(run), None);
    }

    #[tokio::test]
    async fn a_late_watcher_hears_a_stream_from_its_beginning() {
        let (watches, run) = (Watches::default(), Uuid::from_u128(1));
        let speech = watches.speak(run);
        speech.say("one ");
        let late = watches.spoken(run).unwrap();
        late.longer_than(0).await;
        assert_eq!(late.after(0), "one ");
        speech.say("zw\u{f6}lf");
        late.longer_than(4).await;
        assert_eq!(
            (late.after(4).as_str(), late.after(7)),
            ("zw\u{f6}lf", String::new())
        );
        drop(speech);
        assert!(watches.spoken(run).is_none());
        assert_eq!(late.after(0), "one zw\u{f6}lf");
    }

    #[tokio::test]
    async fn who_hears_a_stream_is_told_that_nobody_wants_it() {
        let (watches, run) = (Watches::default(), Uuid::from_u128(1));
        let (speech, other) = (watches.speak(run), watches.speak(Uuid::from_u128(2)));
        watches.hush(run);
        speech.unwanted().await;
        let silent = futures_util::FutureExt::now_or_never(other.unwanted());
        assert!(silent.is_none(), "another run's goes on");
        watches.hush(Uuid::from_u128(3));
    }

    #[test]
    fn an_owner_elsewhere_is_told_once_in_a_while_that_its_run_is_watched() {
        let (watches, run) = (Watches::default(), Uuid::from_u128(1));
        assert!(watches.to_be_said(run) && !watches.to_be_said(run));
        assert!(!watches.watched_elsewhere(run));
        watches.elsewhere(run);
        assert!(watches.watched_elsewhere(run) && !watches.watched_elsewhere(Uuid::from_u128(2)));
    }
}
