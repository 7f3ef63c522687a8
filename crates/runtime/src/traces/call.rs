//! The span of one call of the HTTP API.

use super::{Span, context, new_span_id, root, within};
use crate::clock::DbClock;
use crate::core::Core;
use crate::library::Modelrow;
use crate::traces::{Traces, name};
use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use profile::revision::Revision;
use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Runs of one call that are linked.
const LINKS: usize = 32;

tokio::task_local! {
    /// The call that is being answered, for what it makes: runs are made in many places, and all of them are below it.
    static CALL: Arc<Call>;
}

#[derive(Debug)]
struct Call {
    context: SpanContext,
    made: Mutex<Vec<Uuid>>,
}

/// A call that is being answered.
#[derive(Debug)]
pub struct CallSpan {
    traces: Traces,
    clock: Arc<DbClock>,
    call: Arc<Call>,
    parent: Option<SpanContext>,
    began_ms: i64,
}

impl Modelrow {
    /// Begins the span of a call, in the trace that its `traceparent` names (W3C Trace Context), or in a new one. Absent: the
    /// call is not traced.
    #[must_use]
    pub fn call_span(&self, headers: &HeaderMap) -> Option<CallSpan> {
        let core = self.core();
        let traces = &core.options.traces;
        if !traces.are_on() {
            return None;
        }
        let parent = parent(headers);
        let trace = match &parent {
            Some(parent) => parent.is_sampled().then(|| parent.trace_id()),
            None => {
                Some(TraceId::from_bytes(rand::random())).filter(|new| traces.takes(number(*new)))
            }
        }?;
        let call = Call {
            context: context(trace, new_span_id(), false),
            made: Mutex::default(),
        };
        Some(CallSpan {
            traces: traces.clone(),
            clock: Arc::clone(&core.clock),
            call: Arc::new(call),
            parent,
            began_ms: core.clock.now_ms(),
        })
    }
}

fn number(trace: TraceId) -> u128 {
    u128::from_be_bytes(trace.to_bytes())
}

/// What the caller says; a `traceparent` that is none is passed over, as the standard wants it.
fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let said = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    let parent = said.span().span_context().clone();
    parent.is_valid().then_some(parent)
}

impl CallSpan {
    /// Does the work of the call within it.
    pub async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        CALL.scope(Arc::clone(&self.call), work).await
    }

    /// The call was answered. `route` is the pattern of the path, `/v1/runs/{id}`: a path itself may hold a secret.
    pub fn answered(self, method: &str, route: Option<&str>, status: u16) {
        let method = known(method);
        let mut attributes = vec![
            KeyValue::new(name::METHOD, method),
            KeyValue::new(name::STATUS, i64::from(status)),
        ];
        attributes.extend(route.map(|route| KeyValue::new(name::ROUTE, route.to_owned())));
        // Another status is the caller's affair (semantic conventions for HTTP servers).
        let error = (status >= 500).then(|| Cow::Owned(status.to_string()));
        attributes.extend(error.clone().map(|word| KeyValue::new(name::ERROR, word)));
        let made = self
            .call
            .made
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let links = made.iter().map(|run| root(*run)).collect();
        if let [run] = made.as_slice() {
            attributes.push(KeyValue::new(name::RUN, run.to_string()));
        }
        self.traces.put(Span {
            name: match route {
                Some(route) => format!("{method} {route}").into(),
                None => method.into(),
            },
            kind: SpanKind::Server,
            context: self.call.context.clone(),
            parent: self.parent.clone(),
            began_ms: self.began_ms,
            ended_ms: self.clock.now_ms(),
            attributes,
            links,
            error,
        });
    }
}

/// Methods that are none are one (semantic conventions: a bounded set).
fn known(method: &str) -> &'static str {
    const KNOWN: [&str; 8] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE",
    ];
    let found = KNOWN.into_iter().find(|known| *known == method);
    found.unwrap_or("_OTHER")
}

/// A run was made, in the call that is being answered if there is one: its trace begins, and both are linked.
pub(crate) fn made(core: &Core, run: Uuid, revision: &Revision, began_ms: i64) {
    let call = CALL.try_with(Arc::clone).ok();
    if let Some(call) = &call {
        let mut made = call.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() < LINKS {
            made.push(run);
        }
    }
    let traces = &core.options.traces;
    if !traces.of_run(run) {
        return;
    }
    traces.put(Span {
        name: "create run".into(),
        kind: SpanKind::Internal,
        context: within(run),
        parent: Some(root(run)),
        began_ms: super::run::within_life(run, began_ms),
        ended_ms: core.clock.now_ms(),
        attributes: super::run::facts(run, Some(revision)),
        links: call.into_iter().map(|call| call.context.clone()).collect(),
        error: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_traceparent_is_honoured_where_it_is_one() {
        let cases = [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(true)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Some(false)),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-01",                  None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("no",                                                      None),
        ];
        for (text, want) in cases {
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(parent(&headers).map(|found| found.is_sampled()), want, "{text}");
        }
        assert_eq!(parent(&HeaderMap::new()), None);
    }
}
