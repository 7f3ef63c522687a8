//! A run's end as a chat completion.

use super::super::ended::{self, Finish, Usage};
use runtime::RunView;
use serde_json::{Value, json};

/// The object. `structured`: the model has a response schema.
pub(crate) fn completion(run: &RunView, structured: bool) -> Value {
    let output = run.output.as_ref();
    json!({
        "id": id(run), "object": "chat.completion", "created": ended::created(run), "model": ended::model(run),
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": ended::text(output, structured), "refusal": null, "annotations": []},
            "logprobs": null,
            "finish_reason": finish(ended::finish(output)),
        }],
        "usage": Usage::of(output).map(Usage::of_chat),
    })
}

/// The run's, so that whoever has the answer finds the run.
pub(super) fn id(run: &RunView) -> String {
    format!("chatcmpl-{}", run.id)
}

pub(super) fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Filter => "content_filter",
    }
}
