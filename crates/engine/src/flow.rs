//! The one executor of a run: it says what to do next and judges what came back.
//!
//! It does no I/O and reads no clock. The runtime drives it live, recorded
//! cases drive it with virtual time, and `plan` asks it what it would send.
//!
//! ```text
//! loop { match flow.next(now, drawn) {
//!     Submit      → write the intent, send once, flow.on(event) → write the verdict
//!     Token       → have it, give it
//!     Exchange    → send, flow.on(event) → write the verdict if it says anything
//!     Fetch       → stream the files, flow.on(Fetched | FetchFailed)
//!     Wait        → call again when it is due
//!     Ended       → write the end
//! } }
//! ```

use crate::auth::Keyring;
use crate::egress::Allow;
use crate::fault::Fault;
use crate::media::Media;
use crate::request::{Received, Request};
use crate::state::{RunEvent, RunState};
use bytes::Bytes;
use profile::call::Checked;
use profile::revision::{Revision, Wrap};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

mod called;
mod fetch;
mod fold;
mod follow;
mod hear;
mod machine;
mod moves;
mod record;
mod round;
mod settle;
mod steps;
mod submit;
#[cfg(test)]
mod tests;
mod tokens;
mod values;
mod verify;

pub use called::Meant;
pub use fold::{Folded, Ground};
pub use hear::Heard;
pub use machine::Flow;
pub use moves::{JobTimes, job_times};
pub use round::Round;
pub(crate) use submit::is_id;
pub(crate) use values::{Site, Values};

/// What names a run to the provider.
#[derive(Debug, Clone)]
pub struct RunIdentity {
    /// `run.id`.
    pub run_id: Uuid,
    /// `run.token` of this attempt: a function of run and attempt, see [`token`].
    pub token: Uuid,
    /// Our webhook address for the run; absent where we cannot be reached.
    pub callback_url: Option<String>,
}

/// The token of a run's attempt `n`, from 1: the same after a lost commit.
#[must_use]
pub fn token(run_id: Uuid, n: i32) -> Uuid {
    Uuid::new_v5(&run_id, &n.to_be_bytes())
}

/// Everything a run is decided from.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What it runs.
    pub revision: Arc<Revision>,
    /// The call, checked.
    pub checked: Arc<Checked>,
    /// Its names.
    pub identity: RunIdentity,
    /// Of the credential, see [`crate::auth`].
    pub secrets: Arc<Keyring>,
    /// Of the call.
    pub media: Arc<Media>,
    /// The credential's `endpoint_url`, in place of the provider's base URL.
    pub endpoint: Option<String>,
    /// What the operator allows beside the provider's `egress`.
    pub allow: Allow,
    /// By so many milliseconds its rounds are later than others', so that not all credentials ask at one moment.
    pub phase_ms: u64,
}

/// What is read back when a run is taken over.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// `run_states.state`; absent: `queued`.
    pub state: Option<RunState>,
    /// `run_states.captured`.
    pub captured: Option<Value>,
    /// `run_states.provider_job_id`.
    pub job_id: Option<String>,
    /// `run_states.accepted_at`, milliseconds since 1970.
    pub accepted_at_ms: Option<i64>,
    /// `submit_attempts.sent_at`, milliseconds since 1970.
    pub sent_at_ms: Option<i64>,
    /// When the sender itself saw its exchange end; absent: it has not said so.
    pub sender_ended_at_ms: Option<i64>,
    /// `submit_attempts.replays`.
    pub replays: u32,
    /// A synchronous answer too large for `captured`, as it was stored.
    pub answer: Option<Received>,
    /// Whether the caller has asked to cancel.
    pub cancel: bool,
}

/// The part of a run that an exchange belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Steps before the submit.
    Before,
    /// The submit.
    Submit,
    /// A look-up that settles an unknown outcome.
    Settle,
    /// A poll.
    Poll,
    /// Another step after the submit.
    Step,
    /// A file.
    Download,
    /// Stops the job.
    Cancel,
    /// After the end.
    Cleanup,
}

/// Why nothing is to be done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The next poll is not due.
    Poll,
    /// A refusal for load is repeated later.
    Backoff,
    /// The credential is paused: the key or the account was refused.
    Credential,
    /// Absence does not count yet, or only a callback or a person can say.
    Settle,
}

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Write the intent, then send once.
    Submit(Request),
    /// The unknown submit again, under the same attempt: its count is committed
    /// first, and its bytes have the recorded hash ([`Flow::render_submit`]).
    Replay,
    /// An exchange that costs nothing and may be repeated.
    Exchange {
        /// What for.
        phase: Phase,
        /// What to send.
        request: Request,
    },
    /// Have an access token: give it with [`Flow::give_token`], or say why there
    /// is none with [`Event::NoToken`].
    Token {
        /// The auth profile that a step names; absent: the run's own.
        auth: Option<String>,
    },
    /// Nothing before then.
    Wait {
        /// Milliseconds since 1970.
        until_ms: i64,
        /// Why.
        why: Why,
    },
    /// Stream these to the artifact store.
    Fetch {
        /// The download's name.
        step: String,
        /// Every one of them.
        files: Vec<FileTask>,
    },
    /// The run has ended.
    Ended(Ending),
}

/// One file to fetch.
#[derive(Debug, Clone)]
pub struct FileTask {
    /// `artifacts.name`.
    pub artifact: String,
    /// `artifacts.idx`, from 0.
    pub idx: u32,
    /// Where its bytes are.
    pub source: FileSource,
    /// Media types it may have: `video/*`.
    pub accept: Vec<String>,
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// What the answer's path said about the media type.
    pub mime: Option<String>,
    /// Used when nothing says better than `application/octet-stream`.
    pub content_type: Option<String>,
    /// A name for the file, when the answer's address has one.
    pub filename: Option<String>,
    /// Whether the output reads it as a `data:` URL (up to 16 MiB).
    pub wants_data_url: bool,
    /// When the result is gone, milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
    /// What is put around the bytes.
    pub wrap: Option<Wrap>,
    /// Statuses beside 2xx under which the body is the file.
    pub ok_status: Vec<u16>,
}

impl FileTask {
    /// Whether an answer of that status holds the file.
    pub(crate) fn is_file(&self, status: u16) -> bool {
        (200..300).contains(&status) || self.ok_status.contains(&status)
    }
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub enum FileSource {
    /// The body of the answer to this request.
    Request(Box<Request>),
    /// Here: they were in an answer.
    Bytes(Bytes),
}

/// What is known of an artifact once it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArtifactFacts {
    /// `artifacts.name`.
    pub name: String,
    /// `artifacts.idx`, from 0.
    pub idx: u32,
    /// Where the caller gets it.
    pub url: String,
    /// Media type.
    pub content_type: String,
    /// Size.
    pub bytes: u64,
    /// Digest, 64 hexadecimal digits.
    pub sha256: String,
    /// A name for the file.
    pub filename: Option<String>,
    /// The bytes as a `data:` URL, when the task wanted it; absent above 16 MiB.
    pub data_url: Option<String>,
}

/// What came of an [`Action`].
#[derive(Debug)]
pub enum Event {
    /// The exchange was answered.
    Answered(Received),
    /// The stream that [`Flow::hear`] heard is at its end; with a fault, it was cut.
    StreamEnded(Option<Fault>),
    /// The request was certainly not sent.
    NotSent(Fault),
    /// The exchange ended without an answer after its first byte may have gone.
    Broken(Fault),
    /// No access token could be had, and so nothing was sent.
    NoToken(Fault),
    /// Of the candidates of a look-up, these belong to no attempt.
    Candidates(Vec<String>),
    /// The one candidate of a list may be another run's: it is looked up again later.
    Contested,
    /// The files of a [`Action::Fetch`] are stored, in the order of the tasks.
    Fetched(Vec<ArtifactFacts>),
    /// A file could not be fetched.
    FetchFailed(FetchFault),
    /// A callback says that something happened: the next poll is due at once,
    /// without a proof once an interval at most.
    Called {
        /// Whether its signature was checked.
        proved: bool,
    },
    /// A callback names the job of a run that knows none: it is asked about, and
    /// ours only when the answer to that says so.
    Named(String),
    /// The caller no longer wants the run.
    CancelAsked,
}

/// Why a file could not be fetched.
#[derive(Debug, Clone)]
pub enum FetchFault {
    /// The address answered something that is no file; it is judged as an answer.
    Answer {
        /// What it answered, its body bounded.
        received: Received,
        /// Whether our credentials were sent, so that `errors` apply.
        trusted: bool,
        /// What is wrong with it as a file.
        fault: Fault,
    },
    /// The exchange broke or the connection was not made: try again.
    Broken(Fault),
    /// It will not get better: too large, refused, not decodable.
    Final(Fault),
}

/// What the runtime writes down after an event. [`Verdict::run_event`] is the
/// move of the run's state.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing to write: ask [`Flow::next`].
    Continue,
    /// The provider has the job (submit, or found by settling).
    Accepted(Accepted),
    /// A synchronous answer: store it with its acceptance.
    Answered,
    /// The submit was refused; with `retry`, the run goes back to the queue.
    Refused {
        /// Why.
        fault: Fault,
        /// Absent: the run fails.
        retry: Option<Retry>,
    },
    /// The submit was certainly not sent; with `retry`, back to the queue.
    NotSent {
        /// Why.
        fault: Fault,
        /// Absent: the run fails.
        retry: Option<Retry>,
    },
    /// The submit ended without a verdict.
    Unknown {
        /// What is known.
        fault: Fault,
        /// What is left to do: settle, send again with the admin's consent, or fail.
        then: Then,
    },
    /// The look-up found these jobs: take away those that any attempt ever had,
    /// and say the rest with [`Event::Candidates`].
    Candidates(Vec<String>),
    /// The provider certainly does not have the job: back to the queue.
    Absent,
    /// Not settled yet, or several candidates.
    NotSettled,
    /// The job is still being worked on.
    Pending(Pending),
    /// The credential is refused: pause it. The run waits.
    CredentialRefused(Fault),
    /// The job is done: fetching begins, or the output is made.
    JobDone,
    /// The address of the result has expired: the poll is asked again.
    AskAgain,
    /// The job failed at the provider, or was given up.
    JobFailed(Fault),
    /// The run cannot go on for a reason of ours, before or after the submit.
    Failed(Fault),
    /// The run is canceled.
    Canceled,
}

/// A job at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub job_id: String,
    /// Milliseconds since 1970 when the caller is told that it is overdue.
    pub deadline_at_ms: i64,
    /// Milliseconds since 1970 when it is given up.
    pub give_up_at_ms: i64,
    /// Whether it was found by settling, not by the sender's own answer.
    pub found: bool,
}

/// A repetition of the submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Milliseconds since 1970 before which nothing is sent.
    pub not_before_ms: i64,
    /// Whether it uses up `retry.max`; a refusal for load does not, until `start_by`.
    pub counts: bool,
    /// Whether the credential's submits pause until then.
    pub pauses_credential: bool,
}

/// What follows an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The profile declares how to settle it.
    Settle,
    /// The admin has consented to send it again: the attempt is written off.
    Repeat,
    /// Nothing is declared.
    Fail,
}

/// A job that is not done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    /// The provider's word.
    pub provider_status: Option<String>,
    /// 0 to 100.
    pub progress: Option<u8>,
    /// The word is in no list of `states`: worth a warning on the profile.
    pub drift: bool,
    /// Whether the job is past its deadline.
    pub overdue: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// With an output that satisfies its schema, or nearly: `warnings` of a
    /// schema that is not strict.
    Succeeded {
        /// The output.
        output: Value,
        /// Mismatches, one a line.
        warnings: Vec<String>,
    },
    /// With a failure.
    Failed(Fault),
    /// By the caller.
    Canceled,
}

impl Verdict {
    /// The move of the run's state; absent: it stays.
    #[must_use]
    pub fn run_event(&self) -> Option<RunEvent> {
        Some(match self {
            Self::Accepted(_) => RunEvent::Accepted,
            Self::Answered => RunEvent::Answered,
            Self::Refused { retry: Some(_), .. } | Self::NotSent { retry: Some(_), .. } => {
                RunEvent::Requeued
            }
            Self::Unknown { .. } => RunEvent::OutcomeUnknown,
            Self::Absent => RunEvent::ProvedAbsent,
            Self::JobDone => RunEvent::JobDone,
            Self::AskAgain => RunEvent::AskAgain,
            Self::Refused { .. } | Self::NotSent { .. } | Self::JobFailed(_) | Self::Failed(_) => {
                RunEvent::Failed
            }
            Self::Canceled => RunEvent::Canceled,
            Self::Continue
            | Self::Candidates(_)
            | Self::NotSettled
            | Self::Pending(_)
            | Self::CredentialRefused(_) => return None,
        })
    }
}
