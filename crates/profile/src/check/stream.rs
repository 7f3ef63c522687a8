//! `stream`: what the events of an answer mean (section 5).

use super::context::Context;
use super::response::Mapping;
use super::walk::Fields;
use crate::revision::{Mode, Stream, Submit};
use diag::{Code, Place};

/// Reads `stream`, which is there exactly for the modes of streams.
pub(super) fn stream(fields: &Fields<'_>, mapping: &Mapping, cx: &Context<'_>) -> Option<Stream> {
    let has = fields.raw("stream").is_some();
    match (mapping.mode.is_some_and(Mode::is_stream), has) {
        (true, true) => {}
        (false, false) => return None,
        (true, false) => {
            cx.sink.error(
                Code::P508,
                fields.at(),
                "the mode says that events come, and nothing says what they mean",
                "add `stream` with `delta_path` and `done_when`",
            );
            return None;
        }
        (false, true) => {
            cx.sink.error(
                Code::P509,
                &fields.place("stream"),
                "`stream` is read in the modes `sse` and `ndjson` only",
                "set `mode` to one of the two, or remove `stream`",
            );
        }
    }
    if let Some(path) = &mapping.text {
        cx.sink.error(
            Code::P510,
            &fields.place("extract").child("text_path"),
            format!(
                "`{}` is not read in a stream: its deltas make the text",
                path.source()
            ),
            "remove `text_path`, or make it the `delta_path` of `stream`",
        );
    }
    read(fields.fields("stream")?, cx)
}

fn read(fields: Fields<'_>, cx: &Context<'_>) -> Option<Stream> {
    for name in ["delta_path", "done_when"] {
        if fields.raw(name).is_none() {
            fields.missing(name);
        }
    }
    let condition = |name| {
        let source = fields.raw(name)?;
        cx.answer_condition(source, &fields.place(name))
    };
    let delta = cx.answer_path(fields.raw("delta_path"), &fields.place("delta_path"));
    let (when, done) = (condition("when"), condition("done_when"));
    fields.finish();
    Some(Stream {
        delta: delta?,
        when,
        done: done?,
    })
}

/// Refuses what only an answer has that is read whole, or that may be asked for again.
pub(super) fn nothing_beside(
    mapping: &Mapping,
    workflow: &Fields<'_>,
    transport: &Fields<'_>,
    submits: &[Submit],
    cx: &Context<'_>,
) {
    if !mapping.mode.is_some_and(Mode::is_stream) {
        return;
    }
    let refuse = |at: &Place, message: &str, help: &str| {
        cx.sink.error(Code::P510, at, message, help);
    };
    if workflow.text("type") == Some("async_job") {
        refuse(
            &workflow.place("type"),
            "a stream of events is the whole answer: there is no job to follow",
            "leave `type` out, or ask the provider for a job instead of a stream",
        );
    }
    if submits.iter().any(|submit| submit.terms.settle.is_some()) {
        refuse(
            &transport.place("settle"),
            "a stream that was cut cannot be settled: a part of it has been given to the caller",
            "leave `settle` out",
        );
    }
}
