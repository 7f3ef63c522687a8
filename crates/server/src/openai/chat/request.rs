//! The body of a chat completion, as a call of ours.

use super::super::Call;
use super::super::asked::Asked;
use super::super::conversation::{self, Turn};
use super::super::target::Target;
use crate::call::Fields;
use crate::problem::Violation;
use diag::{Code, Place};
use serde_json::Value;

/// A chat completion that is asked for.
#[derive(Debug)]
pub(crate) struct ChatAsked {
    pub(crate) asked: Asked,
    /// As a stream of chunks.
    pub(crate) stream: bool,
    /// The last chunk says what was used.
    pub(crate) include_usage: bool,
}

/// Reads it, for the model that serves it.
pub(crate) fn read(call: Call, target: Target<'_>) -> ChatAsked {
    let mut asked = Asked::new("chat", call);
    let turns = messages(&mut asked.call);
    let stream = asked.call.flag("stream").unwrap_or_default();
    let include_usage = stream_options(&mut asked.call, stream);
    asked.put_metadata(target);
    asked.put_max_tokens(&["max_completion_tokens", "max_tokens"], target);
    conversation::put(turns, target, &mut asked);
    ChatAsked {
        asked,
        stream,
        include_usage,
    }
}

fn messages(call: &mut Call) -> Vec<Turn> {
    let place = Place::pointer("/messages");
    let help = "add `messages`: `[{\"role\": \"user\", \"content\": \"…\"}]`";
    let missing = ("there are no `messages`", help);
    let items = call.items("messages", "a list of messages", missing);
    let read = |(i, item)| turn(item, place.child(i), call.found());
    items.into_iter().enumerate().filter_map(read).collect()
}

fn turn(item: Value, place: Place, found: &mut Vec<Violation>) -> Option<Turn> {
    let mut fields = Fields::open(item, place.clone(), found)?;
    let role = conversation::role(&mut fields);
    let content = fields.take("content");
    let said = conversation::content(content, &place.child("content"), fields.found());
    calls_of_tools(&mut fields);
    // What an answer has beside its text, when it is sent back.
    fields.forget_empty(&["annotations", "refusal", "audio"]);
    fields.close(&["role", "content"]);
    Some(Turn {
        role: role?,
        said,
        place,
    })
}

/// The language of the profiles has messages of text.
fn calls_of_tools(fields: &mut Fields<'_>) {
    for name in ["tool_calls", "function_call", "tool_call_id"] {
        let given = fields.take(name);
        if given.is_some_and(|given| given != Value::Array(Vec::new())) {
            let message = "calls of tools cannot be sent on";
            let help = "send messages with text and images; profiles know no calls of tools";
            fields.refuse(name, Code::C153, message, help);
        }
    }
}

fn stream_options(call: &mut Call, stream: bool) -> bool {
    let Some(mut fields) = call.object("stream_options") else {
        return false;
    };
    if !stream {
        let message = "`stream_options` is only for streams";
        let help = "leave it out, or add `\"stream\": true`";
        call.refuse("stream_options", Code::C154, message, help);
        return false;
    }
    let usage = fields.flag("include_usage").unwrap_or_default();
    // Padding against an observer of lengths: a gateway of our own has none.
    fields.flag("include_obfuscation");
    fields.close(&["include_usage", "include_obfuscation"]);
    usage
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{filled, revision};
    use super::*;
    use runtime::RunRequest;
    use serde_json::json;

    /// The run that is asked for, or where the mistakes are.
    fn asked(model: &str, body: &Value) -> Result<RunRequest, Vec<String>> {
        let revision = revision(model);
        filled(
            read(Call::of(body.clone()), Target(&revision)).asked,
            &revision,
        )
    }

    #[test]
    fn a_chat_completion_is_a_call_with_options_by_the_models_names() {
        let body = json!({
            "model": "talk-1", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "stop": "END", "max_completion_tokens": 9,
            "n": 1, "user": "u-1", "metadata": {"order": "7"}, "stream": true, "stream_options": {"include_usage": true},
        });
        let request = asked("talk-1", &body).unwrap();
        assert_eq!(
            json!(request.call.params),
            json!({"temperature": 0.5, "stop_words": ["END"]})
        );
        assert_eq!(
            json!(request.call.messages),
            json!([{"role": "user", "content": "Hi"}])
        );
        assert_eq!(request.call.max_tokens, Some(9));
        assert_eq!(
            json!(request.metadata),
            json!({"order": "7", "user": "u-1"})
        );
        assert_eq!(request.model.as_deref(), Some("talk-1"));
        let chat = read(Call::of(body), Target(&revision("talk-1")));
        assert!(chat.stream && chat.include_usage);
    }

    #[test]
    fn an_answer_that_is_sent_back_as_a_client_has_it_is_a_message() {
        let answer = json!({
            "role": "assistant", "content": "Ho", "refusal": null, "annotations": [], "audio": null, "function_call": null, "tool_calls": null,
        });
        let body = json!({"messages": [{"role": "user", "content": "Hi"}, answer, {"role": "user", "content": "Why?"}]});
        let request = asked("talk-1", &body).unwrap();
        assert_eq!(request.call.messages.unwrap().len(), 3);
    }

    #[test]
    #[rustfmt::skip]
    fn everything_that_is_wrong_is_said_at_once_at_its_place() {
        let hi = json!([{"role": "user", "content": "Hi"}]);
        let cases: [(&str, Value, &[&str]); 11] = [
            ("talk-1", json!({}),                                                        &["/messages"]),
            ("talk-1", json!({"messages": []}),                                          &["/messages"]),
            ("talk-1", json!({"messages": "Hi"}),                                        &["/messages"]),
            ("talk-1", json!({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}), &["/messages/0/role", "/messages/0/tool_call_id"]),
            ("talk-1", json!({"messages": [{"content": "x"}]}),                          &["/messages/0/role"]),
            ("talk-1", json!({"messages": [{"role": "user", "content": "x", "name": "Bob"}]}), &["/messages/0/name"]),
            ("talk-1", json!({"messages": hi, "n": 3, "logit_bias": {"1": 5}}),          &["/n", "/logit_bias"]),
            ("talk-1", json!({"messages": hi, "max_tokens": 5, "max_completion_tokens": 6}), &["/max_tokens"]),
            ("talk-1", json!({"messages": hi, "max_tokens": "5"}),                       &["/max_tokens"]),
            ("talk-1", json!({"messages": hi, "stream_options": {"include_usage": true}}), &["/stream_options"]),
            ("answer-1", json!({"messages": hi, "max_tokens": 5, "temperature": 1}),     &["/max_tokens", "/temperature"]),
        ];
        for (model, body, want) in cases {
            let found = asked(model, &body).map(drop).unwrap_err();
            assert_eq!(found, want, "{body}");
        }
    }
}
