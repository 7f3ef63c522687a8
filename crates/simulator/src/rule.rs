//! Scripted mischief: which request, how often, and what goes wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Failure, JobPlan};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A new job.
    Create,
    /// One job's state.
    Retrieve,
    /// All jobs.
    List,
    /// Removing a job.
    Delete,
    /// A job's video, thumbnail or sprite sheet.
    Content,
    /// A new job from an old one.
    Remix,
    /// The video at the address the poll answer gave.
    File,
    /// Nothing this wire knows.
    Unknown,
}

/// One line of a script. Rules that meet on one request all apply, in order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests.
    #[serde(default)]
    pub on: Match,
    /// The first of the matching requests to touch, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many of them to touch; 0: every one from `nth` on.
    #[serde(default = "one")]
    pub times: u64,
    /// What goes wrong.
    #[serde(rename = "do")]
    pub action: Action,
}

fn one() -> u64 {
    1
}

impl Rule {
    /// The first request for `operation` is touched.
    #[must_use]
    pub fn on(operation: Operation, action: Action) -> Self {
        Self {
            on: Match {
                operation: Some(operation),
                ..Match::default()
            },
            nth: 1,
            times: 1,
            action,
        }
    }

    /// From the `nth` matching request on, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// So many matching requests.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Every matching request.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(0)
    }

    /// Only requests that concern the `job`th accepted job, counted from 1.
    #[must_use]
    pub fn job(mut self, job: u64) -> Self {
        self.on.job = Some(job);
        self
    }

    /// Only requests of the run with this tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.on.tag = Some(tag.to_owned());
        self
    }
}

/// Conditions of a rule; an absent one holds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// What is asked.
    pub operation: Option<Operation>,
    /// The ordinal number, from 1, of the accepted job the request names.
    pub job: Option<u64>,
    /// The run's tag.
    pub tag: Option<String>,
    /// A text in the prompt. Never holds for `cut: before_reading`, which knows no prompt.
    pub prompt_contains: Option<String>,
}

/// What goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// A given answer, instead of the real one or (`after_accepting`) in its place after the work was done.
    Answer(Scripted),
    /// 429 with the API's own error object, before anything is accepted.
    RateLimit {
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after_s: Option<u64>,
        /// `retry-after-ms`.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// A 5xx with the API's own error object.
    ServerError {
        /// The status.
        status: u16,
        /// The job exists all the same.
        #[serde(default)]
        after_accepting: bool,
    },
    /// The connection breaks.
    Cut(Cut),
    /// Nothing happens for so long; then the request is taken, whether or not the caller is still there.
    Stall {
        /// Milliseconds of real time.
        ms: u64,
    },
    /// The request is taken at once, the answer comes late.
    DelayAnswer {
        /// Milliseconds of real time.
        ms: u64,
    },
    /// The body of the answer pauses.
    StallBody {
        /// After so many bytes.
        after_bytes: u64,
        /// Milliseconds of real time.
        ms: u64,
    },
    /// The body comes in pieces, as a stream does, and nothing says its length.
    Drip {
        /// Of one piece, at least 1: characters and lines are cut anywhere.
        bytes: usize,
        /// Milliseconds of real time before each.
        ms: u64,
    },
    /// These headers are put on the answer.
    Headers(BTreeMap<String, String>),
    /// The body ends after so many bytes, as if that were all of it.
    Truncate {
        /// Bytes that are left.
        bytes: u64,
    },
    /// The request is taken, and answered with a JSON document of this size.
    Oversized {
        /// Bytes of the document.
        bytes: u64,
    },
    /// The job this request creates lives differently.
    Job(JobPatch),
}

/// An answer as the script gives it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scripted {
    /// The status; 0 means 200.
    pub status: u16,
    /// Headers; without a `content-type` it is that of the body.
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    pub body: Option<Value>,
    /// A text body, when there is no `body`.
    pub text: String,
    /// The request is taken before this answer is given.
    pub after_accepting: bool,
}

impl Scripted {
    /// A status with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            body: Some(body),
            ..Self::default()
        }
    }

    /// A status with a text of the given content type.
    #[must_use]
    pub fn text(status: u16, content_type: &str, text: &str) -> Self {
        Self {
            status,
            text: text.to_owned(),
            ..Self::default()
        }
        .header("content-type", content_type)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Given after the request was taken.
    #[must_use]
    pub fn after_accepting(mut self) -> Self {
        self.after_accepting = true;
        self
    }
}

/// Where a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// After the head of the request, before its body is read.
    BeforeReading,
    /// After the request was taken, before a byte of the answer.
    AfterAccepting,
    /// After so many bytes of the answer's body.
    MidBody(u64),
}

/// Changes to the life of one job; what is absent stays as [`JobPlan`] has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobPatch {
    /// See [`JobPlan::queue_ms`].
    pub queue_ms: Option<u64>,
    /// See [`JobPlan::run_ms`].
    pub run_ms: Option<u64>,
    /// See [`JobPlan::visible_after_ms`].
    pub visible_after_ms: Option<u64>,
    /// See [`JobPlan::retrievable_after_ms`].
    pub retrievable_after_ms: Option<u64>,
    /// See [`JobPlan::expires_after_ms`].
    pub expires_after_ms: Option<u64>,
    /// See [`JobPlan::poll_after_ms`].
    pub poll_after_ms: Option<u64>,
    /// See [`JobPlan::never_ends`].
    pub never_ends: Option<bool>,
    /// See [`JobPlan::fails`].
    pub fails: Option<Failure>,
    /// See [`JobPlan::content_bytes`].
    pub content_bytes: Option<u64>,
    /// See [`JobPlan::changing_content`].
    pub changing_content: Option<bool>,
    /// See [`JobPlan::callback_before_answer`].
    pub callback_before_answer: Option<bool>,
}

impl JobPatch {
    pub(crate) fn apply(&self, plan: &mut JobPlan) {
        let set = |to: &mut u64, from: Option<u64>| *to = from.unwrap_or(*to);
        set(&mut plan.queue_ms, self.queue_ms);
        set(&mut plan.run_ms, self.run_ms);
        set(&mut plan.visible_after_ms, self.visible_after_ms);
        set(&mut plan.retrievable_after_ms, self.retrievable_after_ms);
        set(&mut plan.expires_after_ms, self.expires_after_ms);
        let set = |to: &mut bool, from: Option<bool>| *to = from.unwrap_or(*to);
        set(&mut plan.never_ends, self.never_ends);
        set(&mut plan.changing_content, self.changing_content);
        set(
            &mut plan.callback_before_answer,
            self.callback_before_answer,
        );
        plan.poll_after_ms = self.poll_after_ms.or(plan.poll_after_ms);
        plan.content_bytes = self.content_bytes.or(plan.content_bytes);
        plan.fails = self.fails.clone().or(plan.fails.take());
    }
}

/// A rule with the count of what it has seen.
#[derive(Debug)]
pub(crate) struct Armed {
    rule: Rule,
    seen: u64,
}

/// What rules can know of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) operation: Operation,
    pub(crate) job: Option<u64>,
    pub(crate) tag: Option<&'a str>,
    pub(crate) prompt: Option<&'a str>,
}

impl Armed {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, seen: 0 }
    }

    /// Known from the head of a request alone, and so asked first.
    pub(crate) fn cuts_before_reading(&self) -> bool {
        matches!(self.rule.action, Action::Cut(Cut::BeforeReading))
    }

    /// The action, when this request is one the rule touches. Counts it if it matches.
    pub(crate) fn strike(&mut self, seen: Seen<'_>) -> Option<&Action> {
        if !self.rule.on.holds(seen) {
            return None;
        }
        self.seen += 1;
        let from = self.rule.nth.max(1);
        let in_range = self.seen >= from
            && (self.rule.times == 0 || self.seen < from.saturating_add(self.rule.times));
        in_range.then_some(&self.rule.action)
    }
}

impl Match {
    fn holds(&self, seen: Seen<'_>) -> bool {
        let same =
            |want: &Option<String>, got: Option<&str>| want.is_none() || want.as_deref() == got;
        self.operation.is_none_or(|want| want == seen.operation)
            && (self.job.is_none() || self.job == seen.job)
            && same(&self.tag, seen.tag)
            && self
                .prompt_contains
                .as_deref()
                .is_none_or(|want| seen.prompt.is_some_and(|prompt| prompt.contains(want)))
    }
}
