//! What a script file says: keys, job times, policy, callbacks, rules.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::rule::Rule;

/// Everything a simulator can be told before it starts; the format of `--script` files (see the crate's README).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 picks a free one.
    pub address: SocketAddr,
    /// The bearer keys that are accepted; when empty, any bearer that is not empty.
    pub keys: Vec<Key>,
    /// Which of the built-in wires is spoken.
    pub flavour: Flavour,
    /// Changes to that wire, merged over it (RFC 7396).
    pub wire: Value,
    /// The life of every job that no rule says otherwise about.
    pub jobs: JobPlan,
    /// Simulated seconds per real second (0.001 to 10 million), for the life of jobs. Stalls and delays are real time.
    pub speed: f64,
    /// What prompts are refused.
    pub policy: Policy,
    /// Where to call when a job ends.
    pub callback: Option<Callback>,
    /// Where a request carries the mark of the run it belongs to.
    pub tag: TagPlaces,
    /// A create or remix with the same value in this header is answered with the job of the first one.
    pub idempotency_header: Option<String>,
    /// How many requests the ledger keeps; the oldest go first.
    pub ledger_keep: usize,
    /// Scripted mischief.
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            keys: Vec::new(),
            flavour: Flavour::default(),
            wire: Value::Null,
            jobs: JobPlan::default(),
            speed: 1.0,
            policy: Policy::default(),
            callback: None,
            tag: TagPlaces::default(),
            idempotency_header: None,
            ledger_keep: 200_000,
            rules: Vec::new(),
        }
    }
}

/// A secret of the script: it can be compared and signed with, not printed.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub struct Key(SecretString);

impl Key {
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// The built-in wires, each a file in `assets/`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// The videos API as its specification has it.
    #[default]
    Videos,
    /// A gateway to it: multipart only, the reference image as a file or a string, errors of its own.
    Gateway,
    /// As some applications remember it: `processing`, `quality`, an integer `seconds`, the result as a `url`.
    Notes,
}

/// The life of a job. All times count from the moment it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobPlan {
    /// Milliseconds in the queue.
    pub queue_ms: u64,
    /// Milliseconds from the end of the queue to the end of the job.
    pub run_ms: u64,
    /// The list shows the job only after so many milliseconds.
    pub visible_after_ms: u64,
    /// Asked by its id before so many milliseconds, the job is unknown.
    pub retrievable_after_ms: u64,
    /// How long the content can be fetched after completion, in milliseconds.
    pub expires_after_ms: u64,
    /// What the poll answer's pace header says; absent: no such header.
    pub poll_after_ms: Option<u64>,
    /// The job runs for ever, its progress stopping at 99.
    pub never_ends: bool,
    /// The job fails instead of completing.
    pub fails: Option<Failure>,
    /// The video has this many bytes, generated and streamed; absent: the clip in `assets/`.
    pub content_bytes: Option<u64>,
    /// Every download of the video differs from the one before.
    pub changing_content: bool,
    /// The job ends at once, and the callback arrives before the submit is answered.
    pub callback_before_answer: bool,
}

impl Default for JobPlan {
    fn default() -> Self {
        Self {
            queue_ms: 200,
            run_ms: 800,
            visible_after_ms: 0,
            retrievable_after_ms: 0,
            expires_after_ms: 3_600_000,
            poll_after_ms: None,
            never_ends: false,
            fails: None,
            content_bytes: None,
            changing_content: false,
            callback_before_answer: false,
        }
    }
}

/// How a job fails.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The provider's code.
    pub code: String,
    /// The provider's message.
    pub message: String,
    /// The progress, in percent, at which it fails.
    #[serde(default = "half")]
    pub at_progress: u8,
}

fn half() -> u8 {
    50
}

/// Prompts with these words (without regard to case) are not made into videos.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Refused on submit; no job.
    pub refuse: Vec<String>,
    /// Accepted, and failed by the job itself.
    pub fail: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            refuse: vec!["mario".to_owned(), "spongebob".to_owned()],
            fail: vec!["public figure".to_owned()],
        }
    }
}

/// Where and how the end of a job is announced (Standard Webhooks).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// An `http://` address.
    pub url: String,
    /// `whsec_` and the key in base64; absent: not signed.
    #[serde(default)]
    pub secret: Option<Key>,
    /// How often each event is sent, under one `webhook-id`.
    #[serde(default = "once")]
    pub times: u32,
    /// How often each of these is tried until it is answered with 2xx.
    #[serde(default = "once")]
    pub attempts: u32,
    /// Milliseconds between two attempts, in real time.
    #[serde(default)]
    pub retry_ms: u64,
}

fn once() -> u32 {
    1
}

/// Where the mark of a run is looked for, in this order.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TagPlaces {
    /// Header names; the first one present is the tag.
    pub headers: Vec<String>,
    /// The word after this text in the prompt is the tag.
    pub prompt_marker: String,
}

impl Default for TagPlaces {
    fn default() -> Self {
        Self {
            headers: vec!["x-run-tag".to_owned(), "idempotency-key".to_owned()],
            prompt_marker: "run:".to_owned(),
        }
    }
}
