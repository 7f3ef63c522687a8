//! A run as a response.

use super::super::ended::{self, Finish, Usage};
use super::request::Echo;
use runtime::RunView;
use serde_json::{Map, Value, json};

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage<'t> {
    InProgress,
    /// With its text.
    Ended(&'t str),
    /// With the API's error.
    Failed(&'t Value),
}

/// The object of a run that succeeded. `structured`: the model has a response schema.
pub(crate) fn response(run: &RunView, echo: &Echo, structured: bool) -> Value {
    let text = ended::text(run.output.as_ref(), structured);
    object(run, echo, Stage::Ended(&text))
}

/// The object at any stage.
pub(super) fn object(run: &RunView, echo: &Echo, stage: Stage<'_>) -> Value {
    let output = run.output.as_ref();
    let finish = ended::finish(output);
    let (status, items, error, usage) = match stage {
        Stage::InProgress => ("in_progress", json!([]), Value::Null, None),
        Stage::Ended(text) => {
            let status = status(finish);
            let usage = Usage::of(output).map(Usage::of_responses);
            (
                status,
                json!([message(run, status, Some(text))]),
                Value::Null,
                usage,
            )
        }
        Stage::Failed(error) => {
            let error = json!({"code": error.get("code"), "message": error.get("message")});
            ("failed", json!([]), error, None)
        }
    };
    let incomplete = (status == "incomplete").then(|| json!({"reason": reason(finish)}));
    let ended_at = run.ended_at.filter(|_| !matches!(stage, Stage::InProgress));
    let mut response = Map::from_iter([
        ("id".to_owned(), json!(id(run))),
        ("object".to_owned(), json!("response")),
        ("created_at".to_owned(), json!(ended::created(run))),
        (
            "completed_at".to_owned(),
            json!(ended_at.map(time::OffsetDateTime::unix_timestamp)),
        ),
        ("status".to_owned(), json!(status)),
        ("error".to_owned(), error),
        ("incomplete_details".to_owned(), json!(incomplete)),
        ("model".to_owned(), json!(ended::model(run))),
        ("output".to_owned(), items),
        ("usage".to_owned(), json!(usage)),
        ("parallel_tool_calls".to_owned(), json!(false)),
        ("previous_response_id".to_owned(), Value::Null),
        ("tool_choice".to_owned(), json!("none")),
        ("tools".to_owned(), json!([])),
        ("truncation".to_owned(), json!("disabled")),
    ]);
    for name in super::request::ECHOED {
        let given = echo.0.get(*name).cloned();
        response.insert((*name).to_owned(), given.unwrap_or_default());
    }
    Value::Object(response)
}

/// The run's, so that whoever has the answer finds the run.
pub(super) fn id(run: &RunView) -> String {
    format!("resp_{}", run.id)
}

pub(super) fn message_id(run: &RunView) -> String {
    format!("msg_{}", run.id)
}

/// The one message of the answer. `text`: absent while nothing was said.
pub(super) fn message(run: &RunView, status: &str, text: Option<&str>) -> Value {
    let content = text.map(part);
    json!({
        "id": message_id(run), "type": "message", "status": status, "role": "assistant",
        "content": content.into_iter().collect::<Vec<_>>(),
    })
}

pub(super) fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

pub(super) fn status(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "completed",
        Finish::Length | Finish::Filter => "incomplete",
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Filter => "content_filter",
        Finish::Stop | Finish::Length => "max_output_tokens",
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::run;
    use super::*;

    #[test]
    fn a_response_has_its_text_its_usage_and_what_was_asked() {
        let output = json!({"text": "Ho", "finish_reason": "stop", "usage": {"input_tokens": 2, "output_tokens": 3}});
        let echo = Echo(Map::from_iter([("temperature".to_owned(), json!(0.5))]));
        let run = run("chat", "talk-1", output);
        let response = response(&run, &echo, false);
        assert_eq!(response["output"][0]["content"][0]["text"], "Ho");
        assert_eq!(
            (&response["status"], &response["model"]),
            (&json!("completed"), &json!("talk-1"))
        );
        assert_eq!(
            (&response["temperature"], &response["usage"]["total_tokens"]),
            (&json!(0.5), &json!(5))
        );
        assert_eq!(response["id"], format!("resp_{}", run.id));
        assert_eq!(response["incomplete_details"], Value::Null);
    }

    #[test]
    fn an_answer_that_was_cut_is_incomplete_and_says_why() {
        for (word, reason) in [
            ("length", "max_output_tokens"),
            ("safety", "content_filter"),
        ] {
            let run = run(
                "chat",
                "talk-1",
                json!({"text": "H", "finish_reason": word}),
            );
            let response = response(&run, &Echo::default(), false);
            assert_eq!(response["status"], "incomplete");
            assert_eq!(response["incomplete_details"]["reason"], reason);
        }
    }
}
