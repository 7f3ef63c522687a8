//! The ten words of a run, and the one function that moves between them.
//!
//! Used live and on recovery. The diagram is in the design's `durability.md`.

use std::fmt;
use std::str::FromStr;

/// Where a run stands: `run_states.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Waits to be claimed.
    Queued,
    /// Does the steps before the submit; a crash goes back to `queued`.
    Preparing,
    /// The request may be on the wire: a crash here is not safe to repeat.
    Submitting,
    /// Whether the provider took the job is not known.
    SubmitUnknown,
    /// The provider has the job.
    Polling,
    /// The job is done, its files are coming.
    Fetching,
    /// The answer of a synchronous call is stored and is being made an output.
    Validating,
    /// Ended well.
    Succeeded,
    /// Ended with a failure.
    Failed,
    /// Ended by the caller.
    Canceled,
}

impl RunState {
    /// Every state, in the order of a run.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Preparing,
        Self::Submitting,
        Self::SubmitUnknown,
        Self::Polling,
        Self::Fetching,
        Self::Validating,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Submitting => "submitting",
            Self::SubmitUnknown => "submit_unknown",
            Self::Polling => "polling",
            Self::Fetching => "fetching",
            Self::Validating => "validating",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    /// The only way a run changes state.
    ///
    /// # Errors
    ///
    /// [`IllegalMove`] when `event` cannot happen in `self`. That is a bug of
    /// ours or a stale actor, never a provider's: log it and let go.
    pub fn on(self, event: RunEvent) -> Result<Self, IllegalMove> {
        use {RunEvent as E, RunState as S};
        Ok(match (self, event) {
            (S::Queued, E::Claimed) => S::Preparing,
            // Nothing was sent yet, so an end needs nobody's word.
            (S::Queued | S::Preparing, E::Canceled) => S::Canceled,
            (S::Queued | S::Preparing, E::Failed) => S::Failed,
            (S::Preparing, E::Requeued | E::WorkerLost) => S::Queued,
            (S::Queued | S::Preparing, E::IntentWritten) => S::Submitting,

            (S::Submitting, E::WorkerLost | E::OutcomeUnknown) => S::SubmitUnknown,
            (S::Submitting | S::SubmitUnknown, E::Accepted) => S::Polling,
            (S::Submitting | S::SubmitUnknown, E::Answered) => S::Validating,
            (S::Submitting, E::Requeued) => S::Queued,
            (S::Submitting | S::SubmitUnknown, E::Failed) => S::Failed,
            // Not sent or refused, and the caller no longer wants it.
            (S::Submitting | S::SubmitUnknown, E::Canceled) => S::Canceled,
            (S::SubmitUnknown, E::ProvedAbsent) => S::Queued,
            // Another worker settles it: it was never safe to repeat.
            (S::SubmitUnknown, E::WorkerLost) => S::SubmitUnknown,

            // Following is reading: whoever owns the shard goes on.
            (S::Polling, E::WorkerLost | E::AskAgain) => S::Polling,
            (S::Polling | S::Validating, E::JobDone) => S::Fetching,
            (S::Polling, E::Failed) => S::Failed,
            (S::Polling, E::Canceled) => S::Canceled,
            // A declared fallback, after the job has failed.
            (S::Polling, E::FellBack) => S::Queued,
            (S::Polling | S::Fetching | S::Validating, E::Succeeded) => S::Succeeded,

            (S::Fetching, E::WorkerLost) => S::Fetching,
            (S::Fetching, E::AskAgain) => S::Polling,
            (S::Fetching, E::Failed) => S::Failed,
            (S::Fetching, E::Canceled) => S::Canceled,

            (S::Validating, E::WorkerLost) => S::Validating,
            (S::Validating, E::Failed) => S::Failed,
            (S::Validating, E::Canceled) => S::Canceled,

            // Proof of acceptance reopens `failed(unknown_outcome)`; that the
            // failure was this one is the guard of the statement.
            (S::Failed, E::Reopened) => S::Polling,

            (state, event) => return Err(IllegalMove { state, event }),
        })
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no state of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state of a run")]
pub struct UnknownState(pub String);

impl FromStr for RunState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownState(word.to_owned()))
    }
}

/// What happened to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunEvent {
    /// A worker took it from the queue.
    Claimed,
    /// The intent to submit is committed, nothing is sent yet.
    IntentWritten,
    /// Certainly not sent, or refused, and to be tried again; or a crash while preparing.
    Requeued,
    /// The provider has the job.
    Accepted,
    /// The answer of a synchronous call is stored.
    Answered,
    /// The exchange ended without a verdict.
    OutcomeUnknown,
    /// The provider does not have the job, and cannot get it any more.
    ProvedAbsent,
    /// The job is done and its files are to be fetched.
    JobDone,
    /// The address of the result has expired, or the job is asked after once more.
    AskAgain,
    /// The output is complete.
    Succeeded,
    /// It ends with a failure.
    Failed,
    /// It ends because the caller said so.
    Canceled,
    /// The job failed, and a declared fallback takes its place.
    FellBack,
    /// The worker that held the run is gone.
    WorkerLost,
    /// A job was found for a run that had failed as unknown.
    Reopened,
}

impl RunEvent {
    /// Every event.
    pub const ALL: [Self; 15] = [
        Self::Claimed,
        Self::IntentWritten,
        Self::Requeued,
        Self::Accepted,
        Self::Answered,
        Self::OutcomeUnknown,
        Self::ProvedAbsent,
        Self::JobDone,
        Self::AskAgain,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
        Self::FellBack,
        Self::WorkerLost,
        Self::Reopened,
    ];
}

/// The event cannot happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{event:?}` cannot happen to a run that is `{state}`")]
pub struct IllegalMove {
    /// Where the run stood.
    pub state: RunState,
    /// What was said to have happened.
    pub event: RunEvent,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row a state, one column an event, in the order of `ALL`; `-` is illegal.
    #[rustfmt::skip]
    const TABLE: [(&str, [&str; 15]); 10] = [
        //                  claimed      intent        requeued  accepted   answered      unknown           absent    job done    again      succeeded    failed    canceled    fell back lost              reopened
        ("queued",         ["preparing", "submitting", "-",      "-",       "-",          "-",              "-",      "-",        "-",       "-",         "failed", "canceled", "-",      "-",              "-"]),
        ("preparing",      ["-",         "submitting", "queued", "-",       "-",          "-",              "-",      "-",        "-",       "-",         "failed", "canceled", "-",      "queued",         "-"]),
        ("submitting",     ["-",         "-",          "queued", "polling", "validating", "submit_unknown", "-",      "-",        "-",       "-",         "failed", "canceled", "-",      "submit_unknown", "-"]),
        ("submit_unknown", ["-",         "-",          "-",      "polling", "validating", "-",              "queued", "-",        "-",       "-",         "failed", "canceled", "-",      "submit_unknown", "-"]),
        ("polling",        ["-",         "-",          "-",      "-",       "-",          "-",              "-",      "fetching", "polling", "succeeded", "failed", "canceled", "queued", "polling",        "-"]),
        ("fetching",       ["-",         "-",          "-",      "-",       "-",          "-",              "-",      "-",        "polling", "succeeded", "failed", "canceled", "-",      "fetching",       "-"]),
        ("validating",     ["-",         "-",          "-",      "-",       "-",          "-",              "-",      "fetching", "-",       "succeeded", "failed", "canceled", "-",      "validating",     "-"]),
        ("succeeded",      ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"]),
        ("failed",         ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "polling"]),
        ("canceled",       ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ];

    #[test]
    fn every_pair_of_state_and_event_moves_as_the_table_says() {
        for ((word, row), state) in TABLE.iter().zip(RunState::ALL) {
            assert_eq!(*word, state.as_str());
            for (want, event) in row.iter().zip(RunEvent::ALL) {
                let got = state.on(event).map_or("-", RunState::as_str);
                assert_eq!(got, *want, "{state} on {event:?}");
            }
        }
    }

    #[test]
    fn what_may_be_on_the_wire_goes_back_to_the_queue_only_by_proof() {
        for event in RunEvent::ALL {
            let to = RunState::SubmitUnknown.on(event);
            assert_eq!(
                to == Ok(RunState::Queued),
                event == RunEvent::ProvedAbsent,
                "{event:?}"
            );
        }
        assert_eq!(
            RunState::Submitting.on(RunEvent::WorkerLost),
            Ok(RunState::SubmitUnknown)
        );
    }

    #[test]
    fn a_state_is_read_back_from_its_word() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("done".parse::<RunState>().is_err());
    }
}
