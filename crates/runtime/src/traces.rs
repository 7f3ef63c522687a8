//! Traces for operators, by OpenTelemetry: spans of calls of the HTTP API and of runs, sent to a collector.
//!
//! **A run's trace has the run's id**: the 16 bytes of its UUID are the trace id, and the last 8 of them the id of its root
//! span. So nothing is stored, a waiting run keeps nothing, and any process adds to the trace of a run that another one
//! made. A call has a trace of its own, the caller's where a `traceparent` came with it; a link leads from there to the run,
//! and from the run's first span back.
//!
//! **A span is written when it is over**, so that what came of it decides whether there is one: a poll that changed nothing
//! has none. Of 100,000 runs that wait, 20,000 a second would say nothing.
//!
//! What is in a span: names of rows, words of ours, status codes, hosts, times. No prompt, option, output, header, address,
//! and no text of a provider's.

mod call;
mod export;
mod run;

pub use call::CallSpan;
pub(crate) use call::made;
pub use export::{TraceSettings, Traces, TracesError};
pub(crate) use run::{Asked, Before, End, Usage, ended, judged};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// Names of attributes: of the semantic conventions 1.38 (<https://opentelemetry.io/docs/specs/semconv/>), those for generative AI
/// now kept at <https://github.com/open-telemetry/semantic-conventions-genai> (the library of constants calls them deprecated
/// for that move); and our own.
mod name {
    pub(super) const OPERATION: &str = "gen_ai.operation.name";
    pub(super) const OUTPUT_TYPE: &str = "gen_ai.output.type";
    pub(super) const PROVIDER: &str = "gen_ai.provider.name";
    pub(super) const MODEL: &str = "gen_ai.request.model";
    pub(super) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    pub(super) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    pub(super) const ERROR: &str = "error.type";
    pub(super) const METHOD: &str = "http.request.method";
    pub(super) const STATUS: &str = "http.response.status_code";
    pub(super) const ROUTE: &str = "http.route";
    pub(super) const HOST: &str = "server.address";
    pub(super) const PORT: &str = "server.port";
    pub(super) const VERSION: &str = "service.version";
    pub(super) const RUN: &str = "modelrow.run.id";
    pub(super) const STATE: &str = "modelrow.run.state";
    pub(super) const PROFILE: &str = "modelrow.profile";
    pub(super) const PURPOSE: &str = "modelrow.purpose";
    pub(super) const ATTEMPT: &str = "modelrow.attempt";
    pub(super) const BYTES: &str = "modelrow.file.bytes";
}

/// A span that is over.
struct Span {
    name: Cow<'static, str>,
    kind: SpanKind,
    context: SpanContext,
    parent: Option<SpanContext>,
    /// Milliseconds since 1970, by the database's clock.
    began_ms: i64,
    ended_ms: i64,
    attributes: Vec<KeyValue>,
    links: Vec<SpanContext>,
    /// What failed, in a word.
    error: Option<Cow<'static, str>>,
}

impl Span {
    fn data(self) -> SpanData {
        let mut links = SpanLinks::default();
        let link = |to| Link::new(to, Vec::new(), 0);
        links.links = self.links.into_iter().map(link).collect();
        let parent = self.parent.as_ref();
        SpanData {
            parent_span_id: parent.map_or(SpanId::INVALID, SpanContext::span_id),
            parent_span_is_remote: parent.is_some_and(SpanContext::is_remote),
            span_context: self.context,
            span_kind: self.kind,
            name: self.name,
            start_time: moment(self.began_ms),
            end_time: moment(self.ended_ms.max(self.began_ms)),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: match self.error {
                Some(word) => Status::error(word),
                None => Status::Unset,
            },
            instrumentation_scope: InstrumentationScope::builder("modelrow").build(),
        }
    }
}

fn moment(unix_ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))
}

fn context(trace: TraceId, span: SpanId, remote: bool) -> SpanContext {
    SpanContext::new(
        trace,
        span,
        TraceFlags::SAMPLED,
        remote,
        TraceState::default(),
    )
}

/// The run's root span, whoever writes it.
fn root(run: Uuid) -> SpanContext {
    let bytes = run.into_bytes();
    let [.., a, b, c, d, e, f, g, h] = bytes;
    let span = SpanId::from_bytes([a, b, c, d, e, f, g, h]);
    context(TraceId::from_bytes(bytes), span, true)
}

fn new_span_id() -> SpanId {
    SpanId::from_bytes(rand::random::<u64>().max(1).to_be_bytes())
}

/// A new span of a run.
fn within(run: Uuid) -> SpanContext {
    context(root(run).trace_id(), new_span_id(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_of_a_run_has_its_id_and_its_root_is_known_to_every_process() {
        let run: Uuid = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5".parse().unwrap();
        let found = root(run);
        assert_eq!(found.trace_id().to_string(), run.simple().to_string());
        assert_eq!(found.span_id().to_string(), "8e5f60718293a4b5");
        assert!(found.is_valid() && found.is_sampled());
        assert_ne!(within(run).span_id(), within(run).span_id());
    }
}
