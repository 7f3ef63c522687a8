//! A run's deltas as events of a response, numbered.

use super::super::ended;
use super::super::narrate::{Line, Narrator};
use super::answer::{self, Stage};
use super::request::Echo;
use runtime::RunView;
use serde_json::{Value, json};

/// Writes the events of one response.
#[derive(Debug)]
pub(crate) struct Events {
    /// As it stood when it was made.
    run: RunView,
    echo: Echo,
    next: u64,
    begun: bool,
    spoken: bool,
}

impl Events {
    /// For a run that was just made.
    pub(crate) fn new(run: RunView, echo: Echo) -> Self {
        Self {
            run,
            echo,
            next: 0,
            begun: false,
            spoken: false,
        }
    }

    fn line(&mut self, kind: &str, mut data: Value) -> Line {
        if let Some(members) = data.as_object_mut() {
            members.insert("type".into(), kind.into());
            members.insert("sequence_number".into(), self.next.into());
        }
        self.next += 1;
        Line::named(kind, data)
    }

    fn begin(&mut self) -> Vec<Line> {
        if std::mem::replace(&mut self.begun, true) {
            return Vec::new();
        }
        let response = answer::object(&self.run, &self.echo, Stage::InProgress);
        vec![
            self.line("response.created", json!({"response": response})),
            self.line("response.in_progress", json!({"response": response})),
        ]
    }

    /// The message and its one part stand before the first word of it.
    fn speak(&mut self) -> Vec<Line> {
        let mut lines = self.begin();
        if std::mem::replace(&mut self.spoken, true) {
            return lines;
        }
        let item = answer::message(&self.run, "in_progress", None);
        lines.push(self.line(
            "response.output_item.added",
            json!({"output_index": 0, "item": item}),
        ));
        let part = json!({"part": answer::part("")});
        lines.push(self.of_part("response.content_part.added", part));
        lines
    }

    /// An event of the one part of the one message.
    fn of_part(&mut self, kind: &str, mut data: Value) -> Line {
        if let Some(members) = data.as_object_mut() {
            members.insert("item_id".into(), answer::message_id(&self.run).into());
            members.insert("output_index".into(), 0.into());
            members.insert("content_index".into(), 0.into());
        }
        self.line(kind, data)
    }
}

impl Narrator for Events {
    fn begin(&mut self) -> Vec<Line> {
        Self::begin(self)
    }

    fn delta(&mut self, text: &str) -> Vec<Line> {
        let mut lines = self.speak();
        let said = json!({"delta": text, "logprobs": []});
        lines.push(self.of_part("response.output_text.delta", said));
        lines
    }

    fn end(&mut self, run: &RunView, text: &str) -> Vec<Line> {
        let mut lines = self.speak();
        let status = answer::status(ended::finish(run.output.as_ref()));
        let whole = json!({"text": text, "logprobs": []});
        lines.push(self.of_part("response.output_text.done", whole));
        let part = json!({"part": answer::part(text)});
        lines.push(self.of_part("response.content_part.done", part));
        let item = answer::message(run, status, Some(text));
        lines.push(self.line(
            "response.output_item.done",
            json!({"output_index": 0, "item": item}),
        ));
        let response = answer::object(run, &self.echo, Stage::Ended(text));
        lines.push(self.line(&format!("response.{status}"), json!({"response": response})));
        lines
    }

    fn fault(&mut self, error: &Value) -> Vec<Line> {
        let mut lines = self.begin();
        let response = answer::object(&self.run, &self.echo, Stage::Failed(error));
        lines.push(self.line("response.failed", json!({"response": response})));
        // The clients raise what has a member `error`; the event's own members say the same.
        let said = json!({
            "error": error, "code": error.get("code"), "message": error.get("message"), "param": error.get("param"),
        });
        lines.push(self.line("error", said));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::run;
    use super::*;

    fn kinds(lines: &[Line]) -> Vec<&str> {
        lines
            .iter()
            .map(|line| line.name.as_deref().unwrap())
            .collect()
    }

    #[test]
    fn events_come_in_the_apis_order_and_are_numbered() {
        let run = run(
            "chat",
            "talk-1",
            json!({"text": "Hi there", "usage": {"input_tokens": 2, "output_tokens": 3}}),
        );
        let mut events = Events::new(run.clone(), Echo::default());
        let mut all = Narrator::begin(&mut events);
        all.extend(Narrator::begin(&mut events));
        all.extend(events.delta("Hi"));
        all.extend(events.delta(" there"));
        all.extend(events.end(&run, "Hi there"));
        let want = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(kinds(&all), want);
        for (i, line) in all.iter().enumerate() {
            assert_eq!(line.data["sequence_number"], i, "{line:?}");
            assert_eq!(line.data["type"], want[i]);
        }
        assert_eq!(
            all[9].data["response"]["output"][0]["content"][0]["text"],
            "Hi there"
        );
        assert_eq!(all[0].data["response"]["status"], "in_progress");
        assert_eq!(all[6].data["text"], "Hi there");
    }

    #[test]
    fn a_fault_is_a_failed_response_and_an_error_that_clients_raise() {
        let run = run("chat", "talk-1", Value::Null);
        let mut events = Events::new(run, Echo::default());
        let error = json!({"message": "it broke", "type": "api_error", "param": null, "code": "provider_error"});
        let lines = events.fault(&error);
        assert_eq!(
            kinds(&lines),
            [
                "response.created",
                "response.in_progress",
                "response.failed",
                "error"
            ]
        );
        assert_eq!(lines[2].data["response"]["error"]["code"], "provider_error");
        assert_eq!(
            (&lines[3].data["error"], &lines[3].data["message"]),
            (&error, &json!("it broke"))
        );
    }
}
