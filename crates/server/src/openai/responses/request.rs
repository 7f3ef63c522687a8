//! The body of a response, as a call of ours.

use super::super::Call;
use super::super::asked::Asked;
use super::super::conversation::{self, Turn};
use super::super::target::Target;
use crate::call::Fields;
use crate::problem::Violation;
use diag::{Code, Place};
use serde_json::{Map, Value};

/// A response that is asked for.
#[derive(Debug)]
pub(crate) struct ResponseAsked {
    pub(crate) asked: Asked,
    /// As a stream of events.
    pub(crate) stream: bool,
    /// What the answer repeats of the call.
    pub(crate) echo: Echo,
}

/// Members of the call that the answer has, too.
#[derive(Debug, Clone, Default)]
pub(crate) struct Echo(pub(crate) Map<String, Value>);

/// What the answer repeats.
pub(super) const ECHOED: &[&str] = &[
    "instructions",
    "max_output_tokens",
    "metadata",
    "reasoning",
    "temperature",
    "text",
    "top_p",
    "user",
];

/// Reads it, for the model that serves it.
pub(crate) fn read(call: Call, target: Target<'_>) -> ResponseAsked {
    let echo = echo(&call);
    let mut asked = Asked::new("chat", call);
    let mut turns: Vec<Turn> = instructions(&mut asked.call).into_iter().collect();
    turns.extend(input(&mut asked.call));
    let stream = asked.call.flag("stream").unwrap_or_default();
    stream_options(&mut asked.call);
    asked.put_metadata(target);
    asked.put_max_tokens(&["max_output_tokens"], target);
    flatten(
        &mut asked.call,
        "reasoning",
        &[("effort", "reasoning_effort")],
        target,
    );
    let of_text = [("verbosity", "verbosity"), ("format", "response_format")];
    flatten(&mut asked.call, "text", &of_text, target);
    conversation::put(turns, target, &mut asked);
    ResponseAsked {
        asked,
        stream,
        echo,
    }
}

fn echo(call: &Call) -> Echo {
    let given = |name: &&str| Some(((*name).to_owned(), call.shown(name)?.clone()));
    Echo(ECHOED.iter().filter_map(given).collect())
}

/// They stand before everything else.
fn instructions(call: &mut Call) -> Option<Turn> {
    let text = call.text("instructions")?;
    Some(Turn::of_text(
        "system",
        text,
        Place::pointer("/instructions"),
    ))
}

fn input(call: &mut Call) -> Vec<Turn> {
    let place = Place::pointer("/input");
    if let Some(text) = call.lone_text("input") {
        return vec![Turn::of_text("user", text, place)];
    }
    let help = "add `input`: a text, or a list of messages";
    let missing = ("there is no `input`", help);
    let items = call.items("input", "a text or a list of messages", missing);
    let read = |(i, item)| turn(item, place.child(i), call.found());
    items.into_iter().enumerate().filter_map(read).collect()
}

/// A message; an answer of before that is sent back is one, too.
fn turn(item: Value, place: Place, found: &mut Vec<Violation>) -> Option<Turn> {
    let mut fields = Fields::open(item, place.clone(), found)?;
    let kind = fields.text("type");
    if let Some(kind) = kind.filter(|kind| kind != "message") {
        let message = format!("items of the type `{kind}` cannot be sent on");
        let help = "give messages of text and images; profiles know no calls of tools";
        fields.refuse("type", Code::C154, message, help);
        return None;
    }
    let role = conversation::role(&mut fields);
    let content = fields.take("content");
    let said = conversation::content(content, &place.child("content"), fields.found());
    fields.forget(&["id", "status", "phase"]);
    fields.close(&["type", "role", "content"]);
    Some(Turn {
        role: role?,
        said,
        place,
    })
}

/// Members of an object that are parameters of their own, by these names.
fn flatten(call: &mut Call, name: &str, known: &[(&str, &str)], target: Target<'_>) {
    let Some(mut inner) = call.object(name) else {
        return;
    };
    let place = inner.place().clone();
    let taken = known.iter().filter_map(|(member, parameter)| {
        let value = inner.take(member)?;
        Some((*parameter, value, place.child(*member).pointer))
    });
    let taken: Vec<_> = taken.collect();
    let names: Vec<&str> = known.iter().map(|(member, _)| *member).collect();
    inner.forget_empty(&["summary", "generate_summary"]);
    inner.close(&names);
    for (parameter, value, at) in taken {
        let ours = Place::pointer("/params").child(target.0.api_names.meant(parameter));
        call.placed(&ours.pointer, &at);
        call.put_from(parameter, value, &at);
    }
}

fn stream_options(call: &mut Call) {
    if let Some(mut inner) = call.object("stream_options") {
        // Padding against an observer of lengths: a gateway of our own has none.
        inner.flag("include_obfuscation");
        inner.close(&["include_obfuscation"]);
    }
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
    fn a_response_is_a_conversation_with_its_instructions_first() {
        let answer = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "Ho", "annotations": [], "logprobs": []}],
        });
        let body = json!({
            "model": "talk-1", "instructions": "Be brief.", "input": [{"role": "user", "content": "Hi"}, answer, {"role": "user", "content": [{"type": "input_text", "text": "Why?"}]}],
            "reasoning": {"effort": "low", "summary": null}, "text": {"format": {"type": "text"}}, "max_output_tokens": 9, "store": false,
        });
        let call = asked("talk-1", &body).unwrap().call;
        let said = json!([
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "Why?"},
        ]);
        assert_eq!(json!(call.messages), said);
        assert_eq!(json!(call.params), json!({"reasoning_effort": "low"}));
        assert_eq!(call.max_tokens, Some(9));
        let echo = read(Call::of(body), Target(&revision("talk-1"))).echo;
        assert_eq!(echo.0["instructions"], "Be brief.");
        let text = asked("answer-1", &json!({"input": "Hi"})).unwrap();
        assert_eq!(text.call.prompt.as_deref(), Some("Hi"));
    }

    #[test]
    #[rustfmt::skip]
    fn everything_that_is_wrong_is_said_at_once_at_its_place() {
        let cases: [(&str, Value, &[&str]); 9] = [
            ("talk-1",   json!({}),                                                                &["/input"]),
            ("talk-1",   json!({"input": []}),                                                     &["/input"]),
            ("talk-1",   json!({"input": 7}),                                                      &["/input"]),
            ("talk-1",   json!({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}), &["/input/0/type"]),
            ("talk-1",   json!({"input": "Hi", "previous_response_id": "resp_1"}),                 &["/previous_response_id"]),
            ("talk-1",   json!({"input": "Hi", "background": true, "tools": [{"type": "web_search"}]}), &["/background", "/tools"]),
            ("answer-1", json!({"input": "Hi", "reasoning": {"effort": "low"}}),                   &["/reasoning/effort"]),
            ("talk-1",   json!({"input": "Hi", "text": {"format": {"type": "json_object"}, "verbosity": "low"}}), &["/text/verbosity", "/text/format"]),
            ("talk-1",   json!({"input": "Hi", "reasoning": {"summary": "auto"}}),                 &["/reasoning/summary"]),
        ];
        for (model, body, want) in cases {
            let found = asked(model, &body).map(drop).unwrap_err();
            assert_eq!(found, want, "{body}");
        }
    }
}
