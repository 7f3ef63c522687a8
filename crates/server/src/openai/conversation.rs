//! A conversation as the API has it, and as a call of ours has it: messages of text, and a prompt with media.

use super::asked::Asked;
use super::media;
use super::target::Target;
use crate::call::{Fields, wrong_type};
use crate::problem::Violation;
use diag::{Code, Place};
use profile::call::Message;
use runtime::InputMedium;
use serde_json::Value;

/// What one party said.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) role: String,
    pub(super) said: Said,
    /// In the caller's body.
    pub(super) place: Place,
}

/// What a turn is made of.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    /// Each with its place in the caller's body.
    pub(super) images: Vec<(Place, InputMedium)>,
}

impl Turn {
    /// Of a text alone.
    pub(super) fn of_text(role: &str, text: String, place: Place) -> Self {
        let said = Said {
            text,
            ..Said::default()
        };
        let role = role.to_owned();
        Self { role, said, place }
    }
}

/// Roles that a message of ours may have.
const ROLES: &[&str] = &["system", "developer", "user", "assistant"];

/// Reads `role`.
pub(super) fn role(fields: &mut Fields<'_>) -> Option<String> {
    let role = fields.required_text("role")?;
    if ROLES.contains(&role.as_str()) {
        return Some(role);
    }
    let message = format!("a message of the role `{role}` cannot be sent on");
    let help = format!(
        "one of: {}; profiles know no calls of tools",
        ROLES.join(", ")
    );
    fields.refuse("role", Code::C154, message, help);
    None
}

/// Reads `content`: a text, or parts of text and images.
pub(super) fn content(value: Option<Value>, place: &Place, found: &mut Vec<Violation>) -> Said {
    match value {
        None => Said::default(),
        Some(Value::String(text)) => Said {
            text,
            ..Said::default()
        },
        Some(Value::Array(parts)) => {
            let mut said = Said::default();
            for (i, item) in parts.into_iter().enumerate() {
                part(item, place.child(i), &mut said, found);
            }
            said
        }
        Some(other) => {
            found.push(wrong_type(place, "a text or a list of parts", &other));
            Said::default()
        }
    }
}

fn part(item: Value, place: Place, said: &mut Said, found: &mut Vec<Violation>) {
    let Some(mut fields) = Fields::open(item, place, found) else {
        return;
    };
    let kind = fields.required_text("type").unwrap_or_default();
    match kind.as_str() {
        "text" | "input_text" | "output_text" => {
            let text = fields.required_text("text").unwrap_or_default();
            said.push(&text);
            // What an answer has beside its text, when it is sent back.
            fields.forget(&["annotations", "logprobs"]);
            fields.close(&["type", "text"]);
        }
        "refusal" => {
            let text = fields.required_text("refusal").unwrap_or_default();
            said.push(&text);
            fields.close(&["type", "refusal"]);
        }
        "image_url" | "input_image" => said.images.extend(image(fields)),
        "" => {}
        other => {
            let message = format!("parts of the type `{other}` cannot be sent on");
            let help =
                "give parts of the types `text` and `image_url` (`input_text`, `input_image`)";
            fields.refuse("type", Code::C154, message, help);
        }
    }
}

/// `{"image_url": {"url", "detail"}}`, or `{"image_url": "…", "detail"}`.
fn image(mut fields: Fields<'_>) -> Option<(Place, InputMedium)> {
    let given = fields.take("image_url");
    let place = fields.place().child("image_url");
    detail(&mut fields);
    let (url, at) = match given {
        Some(Value::String(url)) => (Some(url), place),
        Some(Value::Object(members)) => {
            let found = fields.found();
            let mut inner = Fields::open(Value::Object(members), place.clone(), found)?;
            let url = inner.required_text("url");
            detail(&mut inner);
            inner.close(&["url", "detail"]);
            (url, place.child("url"))
        }
        Some(other) => {
            fields
                .found()
                .push(wrong_type(&place, "an address", &other));
            (None, place)
        }
        None => {
            let help = "give an `https` or `data:` address";
            fields.refuse("image_url", Code::C155, "`image_url` is missing", help);
            (None, place)
        }
    };
    fields.close(&["type", "image_url", "detail"]);
    let url = url?;
    Some((at, media::at(url)))
}

/// How closely the image is looked at is not a profile's to choose.
fn detail(fields: &mut Fields<'_>) {
    let given = fields.text("detail");
    if given.is_some_and(|detail| detail != "auto") {
        let message = "the model does not take `detail`";
        fields.refuse("detail", Code::C101, message, "leave it out, or say `auto`");
    }
}

impl Said {
    fn push(&mut self, text: &str) {
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(text);
    }
}

/// Puts a conversation into a call: its messages, where the profile reads messages; else the last of the user's as the prompt, with
/// what came before it as its history. Images go with the prompt, those of earlier messages too: that is the one place where a
/// profile takes media.
pub(super) fn put(mut turns: Vec<Turn>, target: Target<'_>, asked: &mut Asked) {
    let (reads, can) = (target.reads(), &target.0.capabilities);
    let images = images(&mut turns);
    let asks = can.prompt_required || can.input_required || !reads.messages;
    if (asks || !images.is_empty())
        && let Some(last) = turns.pop()
    {
        asked.call.placed("/prompt", &last.place.pointer);
        ask(&last, asked.call.found());
        if last.role == "user" && !last.said.text.is_empty() {
            asked.request.call.prompt = Some(last.said.text);
        }
        if !reads.messages {
            let before = std::mem::take(&mut turns);
            let history = history(&before, reads.history, target, asked.call.found());
            asked.request.call.short_history = history;
        }
    }
    let said = |turn: Turn| Message {
        role: turn.role,
        content: turn.said.text,
    };
    let messages: Vec<Message> = turns.into_iter().map(said).collect();
    asked.request.call.messages = Some(messages).filter(|messages| !messages.is_empty());
    show(images, target, asked);
}

/// A prompt is the user's, and says something.
fn ask(last: &Turn, found: &mut Vec<Violation>) {
    let (message, help) = if last.role != "user" {
        (
            "the last message is not the user's, and the model answers a prompt",
            "end with a message of the role `user`",
        )
    } else if last.said.text.is_empty() {
        (
            "the last message has no text, and the model answers a prompt",
            "say what is asked",
        )
    } else {
        return;
    };
    found.push(Violation::new(Code::C116, message, help).at(last.place.pointer.clone()));
}

fn images(turns: &mut [Turn]) -> Vec<(Place, InputMedium)> {
    let given = turns.iter_mut();
    given
        .flat_map(|turn| std::mem::take(&mut turn.said.images))
        .collect()
}

/// What was said before the prompt, for a profile that reads it as one text.
fn history(
    turns: &[Turn],
    reads: bool,
    target: Target<'_>,
    found: &mut Vec<Violation>,
) -> Option<String> {
    let first = turns.first()?;
    if !reads {
        let message = format!("the model `{}` takes one message alone", target.name());
        let help = "send the user's last message only";
        found.push(Violation::new(Code::C110, message, help).at(first.place.pointer.clone()));
        return None;
    }
    let line = |turn: &Turn| format!("{}: {}", turn.role, turn.said.text);
    Some(turns.iter().map(line).collect::<Vec<_>>().join("\n\n"))
}

fn show(images: Vec<(Place, InputMedium)>, target: Target<'_>, asked: &mut Asked) {
    let Some((first, _)) = images.first() else {
        return;
    };
    let Some(input) = target.input("image", "image") else {
        let message = format!("the model `{}` takes no images", target.name());
        let help = "leave the image out, or name a model that takes images";
        let refused = Violation::new(Code::C110, message, help).at(first.pointer.clone());
        asked.call.found().push(refused);
        return;
    };
    let name = Place::pointer("/inputs").child(&input.name);
    let first = first.pointer.clone();
    let list = asked.request.media.entry(input.name.clone()).or_default();
    for (place, medium) in images {
        let ours = name.child(list.len()).pointer;
        asked.call.placed(&ours, &place.pointer);
        list.push(medium);
    }
    // What is wrong with all of them is told at the first.
    asked.call.placed(&name.pointer, &first);
}

#[cfg(test)]
mod tests {
    use super::super::Call;
    use super::super::testing::revision;
    use super::*;
    use serde_json::json;

    fn turns(given: &Value) -> (Vec<Turn>, Vec<Violation>) {
        let mut found = Vec::new();
        let mut turns = Vec::new();
        for (i, item) in given.as_array().unwrap().iter().enumerate() {
            let place = Place::pointer("/messages").child(i);
            let said = content(
                item.get("content").cloned(),
                &place.child("content"),
                &mut found,
            );
            let role = item["role"].as_str().unwrap().to_owned();
            turns.push(Turn { role, said, place });
        }
        (turns, found)
    }

    /// Prompt, messages, history, media, and the places of what is wrong.
    fn call(model: &str, given: &Value) -> (Value, Vec<String>) {
        let revision = revision(model);
        let mut asked = Asked::new("chat", Call::default());
        let (turns, found) = turns(given);
        asked.call.found().extend(found);
        put(turns, Target(&revision), &mut asked);
        let request = &asked.request;
        let call = json!({
            "prompt": request.call.prompt, "messages": request.call.messages, "history": request.call.short_history,
            "media": request.media.iter().map(|(name, list)| format!("{name} {}", list.len())).collect::<Vec<_>>(),
        });
        let wrong = asked
            .call
            .found()
            .iter()
            .map(|one| one.pointer().unwrap().to_owned());
        (call, wrong.collect())
    }

    #[test]
    #[rustfmt::skip]
    fn a_conversation_is_messages_or_a_prompt_with_its_history_as_the_profile_reads_it() {
        let talk = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]}]);
        let seen = json!([
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "auto"}}]},
            {"role": "assistant", "content": "A cat."},
            {"role": "user", "content": "And this?"},
        ]);
        let cases = [
            ("talk-1", &talk, json!({"prompt": null, "messages": talk, "history": null, "media": []})),
            ("talk-1", &parts, json!({"prompt": null, "messages": [{"role": "user", "content": "One\n\nTwo"}], "history": null, "media": []})),
            ("talk-1", &seen, json!({"prompt": "And this?", "messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A cat."}],
                                     "history": null, "media": ["picture 1"]})),
            ("answer-1", &talk, json!({"prompt": "Hi", "messages": null, "history": "system: Be brief.", "media": []})),
            ("answer-1", &parts, json!({"prompt": "One\n\nTwo", "messages": null, "history": null, "media": []})),
        ];
        for (model, given, want) in cases {
            assert_eq!(call(model, given), (want, Vec::<String>::new()), "{model} {given}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_cannot_be_sent_on_is_refused_at_its_place() {
        let image = |detail: &str| json!({"type": "image_url", "image_url": {"url": "https://h.example/a.png", "detail": detail}});
        let cases: [(&str, Value, &[&str]); 8] = [
            ("answer-1", json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]), &["/messages/1"]),
            ("talk-1",   json!([{"role": "user", "content": [image("auto")]}]),                  &["/messages/0"]),
            ("talk-1",   json!([{"role": "user", "content": [{"type": "text", "text": "?"}, image("high")]}]), &["/messages/0/content/1/image_url/detail"]),
            ("answer-1", json!([{"role": "user", "content": [{"type": "text", "text": "?"}, image("auto")]}]), &["/messages/0/content/1/image_url/url"]),
            ("talk-1",   json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]), &["/messages/0/content/0/type"]),
            ("talk-1",   json!([{"role": "user", "content": [{"type": "image_url"}]}]),          &["/messages/0/content/0/image_url"]),
            ("talk-1",   json!([{"role": "user", "content": 7}]),                                &["/messages/0/content"]),
            ("talk-1",   json!([{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]), &["/messages/0/content/0/cache_control"]),
        ];
        for (model, given, want) in cases {
            assert_eq!(call(model, &given).1, want, "{model} {given}");
        }
    }
}
