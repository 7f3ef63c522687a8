//! A run's deltas as chunks of a chat completion.

use super::super::ended::{self, Usage};
use super::super::narrate::{Line, Narrator};
use super::answer::finish;
use runtime::RunView;
use serde_json::{Value, json};

/// Writes the chunks of one completion.
#[derive(Debug)]
pub(crate) struct Chunks {
    id: String,
    created: i64,
    model: String,
    /// Every chunk has `usage`, and one more says it.
    include_usage: bool,
    begun: bool,
}

impl Chunks {
    /// For a run that was just made.
    pub(crate) fn new(run: &RunView, include_usage: bool) -> Self {
        Self {
            id: super::answer::id(run),
            created: ended::created(run),
            model: ended::model(run).to_owned(),
            include_usage,
            begun: false,
        }
    }

    fn chunk(&self, choices: Value, usage: Option<Usage>) -> Line {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices,
        });
        if self.include_usage
            && let Some(members) = chunk.as_object_mut()
        {
            members.insert("usage".into(), json!(usage.map(Usage::of_chat)));
        }
        Line::data(chunk)
    }

    fn said(&self, delta: Value, finish: Option<&str>) -> Line {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        self.chunk(json!([choice]), None)
    }

    /// The first chunk says whose words follow.
    fn begin(&mut self) -> Option<Line> {
        let begins = !std::mem::replace(&mut self.begun, true);
        begins.then(|| {
            self.said(
                json!({"role": "assistant", "content": "", "refusal": null}),
                None,
            )
        })
    }
}

impl Narrator for Chunks {
    fn begin(&mut self) -> Vec<Line> {
        Self::begin(self).into_iter().collect()
    }

    fn delta(&mut self, text: &str) -> Vec<Line> {
        let begin = Self::begin(self);
        let said = self.said(json!({"content": text}), None);
        begin.into_iter().chain([said]).collect()
    }

    fn end(&mut self, run: &RunView, _text: &str) -> Vec<Line> {
        let output = run.output.as_ref();
        // A fallback may have answered in the model's place.
        ended::model(run).clone_into(&mut self.model);
        let mut lines: Vec<Line> = Self::begin(self).into_iter().collect();
        lines.push(self.said(json!({}), Some(finish(ended::finish(output)))));
        if let Some(usage) = Usage::of(output).filter(|_| self.include_usage) {
            lines.push(self.chunk(json!([]), Some(usage)));
        }
        lines
    }

    fn fault(&mut self, error: &Value) -> Vec<Line> {
        vec![Line::named("error", json!({"error": error}))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::run;
    use super::*;

    fn datas(lines: Vec<Line>) -> Vec<Value> {
        lines.into_iter().map(|line| line.data).collect()
    }

    #[test]
    fn chunks_have_the_role_the_deltas_the_reason_and_the_usage_that_was_asked_for() {
        let output = json!({"text": "Hi there", "finish_reason": "max_tokens", "usage": {"input_tokens": 2, "output_tokens": 3}});
        let run = run("chat", "talk-1", output);
        let mut chunks = Chunks::new(&run, true);
        let mut all = datas(chunks.delta("Hi"));
        all.extend(datas(chunks.delta(" there")));
        all.extend(datas(chunks.end(&run, "Hi there")));
        let deltas: Vec<&Value> = all
            .iter()
            .map(|chunk| &chunk["choices"][0]["delta"]["content"])
            .collect();
        assert_eq!(
            deltas,
            [
                &json!(""),
                &json!("Hi"),
                &json!(" there"),
                &Value::Null,
                &Value::Null
            ]
        );
        assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(all[3]["choices"][0]["finish_reason"], "length");
        assert_eq!(all[4]["choices"], json!([]));
        assert_eq!(all[4]["usage"]["total_tokens"], 5);
        for chunk in &all {
            assert_eq!(chunk["object"], "chat.completion.chunk");
            assert_eq!(chunk["id"], format!("chatcmpl-{}", run.id));
            assert!(chunk.as_object().unwrap().contains_key("usage"), "{chunk}");
        }
    }

    #[test]
    fn usage_that_nobody_asked_for_or_that_nobody_counted_is_not_told() {
        let counted = run(
            "chat",
            "talk-1",
            json!({"text": "Hi", "usage": {"input_tokens": 2}}),
        );
        let uncounted = run("chat", "talk-1", json!({"text": "Hi"}));
        for (run, asked) in [(&counted, false), (&uncounted, true)] {
            let last = datas(Chunks::new(run, asked).end(run, "Hi")).pop().unwrap();
            assert_eq!(last["choices"][0]["finish_reason"], "stop");
            assert!(last["usage"].is_null());
        }
    }
}
