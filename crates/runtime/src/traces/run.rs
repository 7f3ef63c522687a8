//! Spans of a run: its exchanges, its files, and the whole of it once it has ended.
//!
//! The whole is the span of the semantic conventions for generative AI: it has the operation, the provider, the model and
//! what was used. Its parts are calls over HTTP, with the provider and the model to search by, and without what would be
//! counted twice.

use super::{Span, name, root, within};
use crate::core::Core;
use crate::metrics;
use engine::download::{FetchError, Fetched};
use engine::flow::{FetchFault, Phase};
use engine::http::Outcome;
use engine::request::Request;
use engine::{Fault, Flow, Verdict};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use profile::revision::{Purpose, Revision};
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;
use store::State;
use tokio::time::Instant;
use uuid::Uuid;

/// What was used, where the output says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
}

impl Usage {
    /// The members of `usage` that are counts of tokens.
    pub(crate) fn of(output: &Value) -> Self {
        let count = |name: &str| output.get("usage")?.get(name)?.as_i64();
        Self {
            input_tokens: count("input_tokens"),
            output_tokens: count("output_tokens"),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) state: State,
    /// What failed, in a word.
    pub(crate) error: Option<&'a str>,
    pub(crate) usage: Usage,
}

impl From<State> for End<'_> {
    fn from(state: State) -> Self {
        Self {
            state,
            error: None,
            usage: Usage::default(),
        }
    }
}

impl<'a> From<(State, &'a Fault)> for End<'a> {
    fn from((state, fault): (State, &'a Fault)) -> Self {
        Self {
            error: (state == State::Failed).then(|| fault.class_word()),
            ..state.into()
        }
    }
}

/// An exchange of a run that is traced, before it is sent.
pub(crate) struct Before {
    run: Uuid,
    phase: Phase,
    /// The provider's word about the job.
    word: Option<String>,
    sent: Sent,
}

/// Where it goes, and what comes.
#[derive(Clone)]
struct Sent {
    step: String,
    method: String,
    host: Option<String>,
    port: Option<u16>,
    began: Instant,
    took: Duration,
    status: Option<u16>,
    /// What failed, in a word.
    error: Option<&'static str>,
}

impl Sent {
    fn of(request: &Request) -> Self {
        Self {
            step: request.step.clone(),
            method: request.method.clone(),
            host: request.url.host_str().map(str::to_owned),
            port: request.url.port_or_known_default(),
            began: Instant::now(),
            took: Duration::ZERO,
            status: None,
            error: None,
        }
    }

    fn over(&mut self, status: Option<u16>, word: &'static str) {
        (self.took, self.status) = (self.began.elapsed(), status);
        self.error = (word != "ok").then_some(word);
    }
}

impl Before {
    /// `None`: nothing is traced, and nothing was made for it.
    pub(crate) fn new(
        core: &Core,
        flow: &Flow,
        (phase, request): (Phase, &Request),
    ) -> Option<Box<Self>> {
        let run = flow.run_id();
        if !core.options.traces.of_run(run) {
            return None;
        }
        Some(Box::new(Self {
            run,
            phase,
            word: flow.provider_status().map(str::to_owned),
            sent: Sent::of(request),
        }))
    }

    /// It came to this.
    pub(crate) fn came(mut self: Box<Self>, outcome: &Outcome) -> Box<Self> {
        self.sent.over(status_of(outcome), metrics::word(outcome));
        self
    }

    /// The same of an answer that was listened to.
    pub(crate) fn heard(&mut self, status: Option<u16>, word: &'static str) {
        self.sent.over(status, word);
    }

    /// Judged: it has a span, if it says anything.
    pub(crate) fn judged(mut self, core: &Core, flow: &Flow, verdict: &Verdict) {
        let changed = flow.provider_status() != self.word.as_deref();
        if let Some(fault) = fault_of(verdict) {
            self.sent.error = Some(fault.class_word());
        }
        if self.sent.error.is_some() || changed || says_anything(self.phase, verdict) {
            exchanged(core, (self.run, &flow.revision()), self.sent, Vec::new());
        }
    }

    /// The submit of an attempt, which always has one.
    pub(crate) fn submitted(
        mut self,
        core: &Core,
        revision: &Revision,
        (n, verdict): (i32, &Verdict),
    ) {
        if let Some(fault) = fault_of(verdict) {
            self.sent.error = Some(fault.class_word());
        }
        let more = vec![KeyValue::new(name::ATTEMPT, i64::from(n))];
        exchanged(core, (self.run, revision), self.sent, more);
    }

    /// A file was fetched, or was not.
    pub(crate) fn fetched(
        mut self,
        core: &Core,
        revision: &Revision,
        came: &Result<Fetched, FetchError>,
    ) {
        let status = match came {
            Err(FetchError::Fault(fault)) => match &**fault {
                FetchFault::Answer { received, .. } => Some(received.status),
                FetchFault::Broken(_) | FetchFault::Final(_) => None,
            },
            Ok(_) | Err(FetchError::Sink(_)) => None,
        };
        self.sent.over(status, metrics::fetched(came));
        let bytes = came.as_ref().ok().map(|file| file.bytes);
        let bytes = bytes.and_then(|bytes| i64::try_from(bytes).ok());
        let more = bytes.map(|bytes| KeyValue::new(name::BYTES, bytes));
        exchanged(
            core,
            (self.run, revision),
            self.sent,
            more.into_iter().collect(),
        );
    }
}

/// Judges what came of an exchange, and traces it.
pub(crate) fn judged(
    core: &Core,
    flow: &mut Flow,
    outcome: Outcome,
    traced: Option<Box<Before>>,
) -> Verdict {
    let traced = traced.map(|traced| traced.came(&outcome));
    let verdict = flow.on(outcome.into(), core.clock.now_ms(), rand::random());
    if let Some(traced) = traced {
        traced.judged(core, flow, &verdict);
    }
    verdict
}

/// A request that asks about many runs.
pub(crate) struct Asked(Sent);

impl Asked {
    /// `None`: nothing is traced.
    pub(crate) fn new(core: &Core, request: &Request) -> Option<Box<Self>> {
        let traces = &core.options.traces;
        traces.are_on().then(|| Box::new(Self(Sent::of(request))))
    }

    /// It came to this.
    pub(crate) fn came(&mut self, outcome: &Outcome) {
        self.0.over(status_of(outcome), metrics::word(outcome));
    }

    /// What it came to for one of the runs: it has a span there, if that says anything.
    pub(crate) fn judged(&self, core: &Core, flow: &Flow, verdict: &Verdict) {
        if core.options.traces.of_run(flow.run_id()) && says_anything(Phase::Poll, verdict) {
            let mut sent = self.0.clone();
            sent.error = fault_of(verdict).map(Fault::class_word).or(sent.error);
            exchanged(core, (flow.run_id(), &flow.revision()), sent, Vec::new());
        }
    }
}

/// A poll, or a look-up, that leaves the run where it was says nothing.
fn says_anything(phase: Phase, verdict: &Verdict) -> bool {
    let asks = matches!(phase, Phase::Poll | Phase::Settle);
    let still = matches!(
        verdict,
        Verdict::Pending(_) | Verdict::Continue | Verdict::NotSettled
    );
    !(asks && still)
}

fn status_of(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Answered(received) => Some(received.status),
        Outcome::NotSent(_) | Outcome::Broken(_) => None,
    }
}

fn fault_of(verdict: &Verdict) -> Option<&Fault> {
    match verdict {
        Verdict::Refused { fault, .. }
        | Verdict::NotSent { fault, .. }
        | Verdict::Unknown { fault, .. }
        | Verdict::CredentialRefused(fault)
        | Verdict::JobFailed(fault)
        | Verdict::Failed(fault) => Some(fault),
        _ => None,
    }
}

fn exchanged(core: &Core, (run, revision): (Uuid, &Revision), sent: Sent, more: Vec<KeyValue>) {
    let ended_ms = core.clock.now_ms();
    let mut attributes = facts(run, Some(revision));
    attributes.push(KeyValue::new(name::METHOD, sent.method));
    attributes.extend(sent.host.map(|host| KeyValue::new(name::HOST, host)));
    attributes.extend(
        sent.port
            .map(|port| KeyValue::new(name::PORT, i64::from(port))),
    );
    let status = sent.status.map(i64::from);
    attributes.extend(status.map(|status| KeyValue::new(name::STATUS, status)));
    attributes.extend(sent.error.map(|word| KeyValue::new(name::ERROR, word)));
    attributes.extend(more);
    core.options.traces.put(Span {
        name: sent.step.into(),
        kind: SpanKind::Client,
        context: within(run),
        parent: Some(root(run)),
        began_ms: within_life(
            run,
            ended_ms.saturating_sub(crate::lease::millis(sent.took)),
        ),
        ended_ms,
        attributes,
        links: Vec::new(),
        error: sent.error.map(Cow::Borrowed),
    });
}

/// What every span of a run says.
pub(super) fn facts(run: Uuid, revision: Option<&Revision>) -> Vec<KeyValue> {
    let mut facts = vec![KeyValue::new(name::RUN, run.to_string())];
    if let Some(revision) = revision {
        facts.push(KeyValue::new(name::PROVIDER, revision.provider.clone()));
        let model = revision.model.clone();
        facts.extend(model.map(|model| KeyValue::new(name::MODEL, model)));
        facts.push(KeyValue::new(name::PROFILE, revision.profile_key.clone()));
        facts.push(KeyValue::new(name::PURPOSE, revision.purpose.as_str()));
    }
    facts
}

/// The whole run, from its making to its end: whoever's statement ended it writes it. Without a revision nothing was sent, or
/// a person said how it ended.
pub(crate) fn ended(core: &Core, run: Uuid, revision: Option<&Revision>, end: &End<'_>) {
    let traces = &core.options.traces;
    if !traces.of_run(run) || !end.state.is_ended() {
        return;
    }
    let mut attributes = facts(run, revision);
    attributes.push(KeyValue::new(name::STATE, end.state.as_str()));
    if let Some(revision) = revision {
        let (operation, output) = operation(revision.purpose);
        attributes.push(KeyValue::new(name::OPERATION, operation));
        attributes.extend(output.map(|output| KeyValue::new(name::OUTPUT_TYPE, output)));
    }
    let mut count = |key, count: Option<i64>| {
        attributes.extend(count.map(|count| KeyValue::new(key, count)));
    };
    count(name::INPUT_TOKENS, end.usage.input_tokens);
    count(name::OUTPUT_TOKENS, end.usage.output_tokens);
    let error = end.error.map(|word| Cow::Owned(word.to_owned()));
    attributes.extend(error.clone().map(|word| KeyValue::new(name::ERROR, word)));
    let ended_ms = core.clock.now_ms();
    traces.put(Span {
        name: title(revision),
        kind: SpanKind::Client,
        context: root(run),
        parent: None,
        began_ms: made_ms(run).unwrap_or(ended_ms),
        ended_ms,
        attributes,
        links: Vec::new(),
        error,
    });
}

/// As the conventions name it: operation and model.
fn title(revision: Option<&Revision>) -> Cow<'static, str> {
    let Some(revision) = revision else {
        return "run".into();
    };
    let (operation, _) = operation(revision.purpose);
    match &revision.model {
        Some(model) => format!("{operation} {model}").into(),
        None => operation.into(),
    }
}

/// When a run was made, milliseconds since 1970: its id says so (UUID version 7).
fn made_ms(run: Uuid) -> Option<i64> {
    let (seconds, nanos) = run.get_timestamp()?.to_unix();
    let ms = seconds.checked_mul(1_000)? + u64::from(nanos / 1_000_000);
    i64::try_from(ms).ok()
}

/// A moment of a run, not before it was made: its id has the clock of its maker, the rest is the database's.
pub(super) fn within_life(run: Uuid, unix_ms: i64) -> i64 {
    made_ms(run).map_or(unix_ms, |made| unix_ms.max(made))
}

/// `gen_ai.operation.name` and `gen_ai.output.type`, in their well-known values where these have one.
fn operation(purpose: Purpose) -> (&'static str, Option<&'static str>) {
    match purpose {
        Purpose::Chat | Purpose::Code => ("chat", Some("text")),
        Purpose::Embedding => ("embeddings", None),
        Purpose::Image => ("generate_content", Some("image")),
        Purpose::Audio | Purpose::Music => ("generate_content", Some("speech")),
        Purpose::Transcription | Purpose::Document => ("generate_content", Some("text")),
        Purpose::Video => ("generate_content", Some("video")),
        Purpose::ThreeD => ("generate_content", Some("3d")),
        Purpose::Multimodal => ("generate_content", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::flow::Pending;
    use serde_json::json;

    #[test]
    fn a_poll_that_changed_nothing_says_nothing() {
        let pending = Verdict::Pending(Pending::default());
        let cases = [
            (Phase::Poll, &pending, false),
            (Phase::Settle, &Verdict::NotSettled, false),
            (Phase::Poll, &Verdict::JobDone, true),
            (Phase::Step, &Verdict::Continue, true),
            (Phase::Before, &Verdict::Continue, true),
        ];
        for (phase, verdict, want) in cases {
            assert_eq!(says_anything(phase, verdict), want, "{phase:?} {verdict:?}");
        }
    }

    #[test]
    fn what_was_used_is_what_the_output_counts() {
        let of = |output: Value| Usage::of(&output);
        let both = of(json!({"usage": {"input_tokens": 3, "output_tokens": 5}}));
        assert_eq!((both.input_tokens, both.output_tokens), (Some(3), Some(5)));
        for none in [
            json!({}),
            json!({"usage": {"seconds": 8}}),
            json!("usage"),
            json!({"usage": {"input_tokens": "3x"}}),
        ] {
            assert_eq!(of(none.clone()), Usage::default(), "{none}");
        }
    }

    #[test]
    fn a_run_began_when_its_id_was_made() {
        let run: Uuid = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5".parse().unwrap();
        assert_eq!(made_ms(run), Some(0x0192_f0c1_2a3b));
    }
}
