//! What happens around the submit (section 6).

use super::{Batch, BodyTemplate, Capture, Duration, Exchange, Match, Mode};
use crate::lang::{Condition, Path, Text, Tree};

/// `workflow`.
#[derive(Debug, Default)]
pub struct Workflow {
    /// Steps before the submit: free, and safe to repeat.
    pub before: Vec<Step>,
    /// Steps after it.
    pub steps: Vec<Step>,
    /// Stops the job at the provider.
    pub cancel: Option<Step>,
    /// After the end, when the files are kept.
    pub cleanup: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Unique within the profile; `submit` is taken.
    pub name: String,
    /// Runs only if this holds over the variables.
    pub when: Option<Condition>,
    /// `each`: one exchange per item; of the last answer, in `before` of the variables.
    pub each: Option<Path>,
    /// The exchange; absent for a download that reads an earlier answer.
    pub exchange: Option<Exchange>,
    /// Captured from the step's own answer.
    pub captures: Vec<(String, Capture)>,
    /// What it does.
    pub action: Action,
}

/// `action`.
#[derive(Debug)]
pub enum Action {
    /// One exchange.
    Request,
    /// Repeats until terminal.
    Poll(Box<Poll>),
    /// Bytes to an artifact.
    Download(Box<Download>),
}

/// `select`.
#[derive(Debug)]
pub struct Select {
    /// The list.
    pub list: Path,
    /// Holds for the item, which is the body of the answer it is asked of.
    pub filter: Option<Condition>,
}

/// A poll.
#[derive(Debug)]
pub struct Poll {
    /// Milliseconds between two polls.
    pub interval_ms: u64,
    /// Milliseconds before the first.
    pub initial_delay_ms: u64,
    /// Each wait is so much longer than the last.
    pub multiplier: f64,
    /// Longest wait, in milliseconds.
    pub max_interval_ms: u64,
    /// Part of the wait that is drawn.
    pub jitter: f64,
    /// Milliseconds from acceptance until the caller is told `run.overdue`.
    pub deadline_ms: u64,
    /// Milliseconds from acceptance until the run is given up.
    pub max_job_life_ms: u64,
    /// Milliseconds from acceptance in which "not found" is "not yet".
    pub not_found_grace_ms: u64,
    /// The item that this and every later path into that answer walks.
    pub select: Option<Select>,
    /// One request for many jobs; absent: each is asked for by itself.
    pub batch: Option<Batch>,
    /// Where the state stands.
    pub status: Path,
    /// Which values and conditions mean which state, in the order of judgement.
    pub states: Vec<(JobState, Vec<Match>)>,
    /// With `states`, a value in no list is recorded as drift.
    pub drift: bool,
    /// A hint when to come again.
    pub poll_after: Option<Duration>,
    /// How far the job is.
    pub progress: Option<Path>,
    /// The value of `progress` that means done.
    pub progress_max: f64,
}

/// The provider's word about a job, in the order in which it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the language, section 6")]
pub enum JobState {
    Moderated,
    Expired,
    Canceled,
    Failed,
    Succeeded,
    Running,
    Queued,
}

/// A download.
#[derive(Debug)]
pub struct Download {
    /// The artifact's name.
    pub artifact: String,
    /// Its absence is no failure.
    pub optional: bool,
    /// The step whose answer is read; absent: the last one (or its own address).
    pub from: Option<String>,
    /// Addresses of the files.
    pub url: Option<Path>,
    /// Text that holds the file.
    pub value: Option<Path>,
    /// Name of the part that is the file; there exactly for the mode `multipart`.
    pub part: Option<String>,
    /// How `value` or the body is read.
    pub mode: Mode,
    /// Media types it may have: `video/*`.
    pub accept: Vec<String>,
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Where its media type stands.
    pub mime: Option<Path>,
    /// Used when nothing says better.
    pub content_type: Option<Text>,
    /// Milliseconds or a path to when the result is gone.
    pub expires: Option<Expires>,
    /// What is put around the bytes.
    pub wrap: Option<Wrap>,
    /// What goes with the request for a file at an address of an answer.
    pub fetch: Fetch,
}

/// `wrap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// A RIFF header before raw PCM.
    Wav,
}

/// What goes with a request for an address that an answer gave. Headers and
/// query are as in [`Exchange`]: what is inherited stays away where credentials
/// may not go.
#[derive(Debug)]
pub struct Fetch {
    /// Inherited headers under the step's own.
    pub headers: Vec<(String, Text)>,
    /// The step's own headers alone.
    pub own_headers: Vec<(String, Text)>,
    /// The step's own query over the inherited one.
    pub query: Vec<(String, Tree)>,
    /// The step's own query alone.
    pub own_query: Vec<(String, Tree)>,
    /// Upper case.
    pub method: String,
    /// What a relative address is resolved against; absent: the base URL.
    pub base_url: Option<Text>,
    /// The body; absent: none.
    pub body: Option<BodyTemplate>,
    /// Milliseconds of silence.
    pub timeout_ms: u64,
    /// Statuses beside 2xx under which the body is the file.
    pub ok_status: Vec<u16>,
    /// As in [`Exchange`].
    pub auth: Option<String>,
}

/// When a result is gone.
#[derive(Debug)]
pub enum Expires {
    /// Milliseconds after the answer.
    InMs(u64),
    /// Where the time stands: Unix seconds or RFC 3339.
    At(Path),
}
