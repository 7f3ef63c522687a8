//! What a run gave, in the words that the calls of the API share: its text, why it ended, what was used.

use runtime::RunView;
use serde_json::{Value, json};

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    Filter,
}

/// Tokens, as the provider counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) total: u64,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
}

/// The text of an output. `structured`: the model has a response schema, so the whole output is what it wrote.
pub(super) fn text(output: Option<&Value>, structured: bool) -> String {
    let Some(output) = output else {
        return String::new();
    };
    if let Value::String(text) = output {
        return text.clone();
    }
    let text = output.get("text").and_then(Value::as_str);
    match text.filter(|_| !structured) {
        Some(text) => text.to_owned(),
        None if structured => output.to_string(),
        None => String::new(),
    }
}

/// Providers' words for the end of an answer; a word that is none of them is an end like any other.
pub(super) fn finish(output: Option<&Value>) -> Finish {
    let word = output.and_then(|output| output.get("finish_reason")?.as_str());
    match word.unwrap_or_default().to_ascii_lowercase().as_str() {
        "length" | "max_tokens" | "max_output_tokens" | "model_length" | "incomplete" => {
            Finish::Length
        }
        "content_filter" | "safety" | "refusal" | "recitation" | "blocklist"
        | "prohibited_content" | "spii" => Finish::Filter,
        _ => Finish::Stop,
    }
}

impl Usage {
    /// Absent: the output says nothing of it.
    pub(super) fn of(output: Option<&Value>) -> Option<Self> {
        let usage = output?.get("usage")?.as_object()?;
        let count = |name: &str| {
            let number = usage.get(name)?;
            number.as_u64().or_else(|| number.as_str()?.parse().ok())
        };
        let (input, output) = (count("input_tokens"), count("output_tokens"));
        let total = count("total_tokens");
        if input.is_none() && output.is_none() && total.is_none() {
            return None;
        }
        let (input, output) = (input.unwrap_or_default(), output.unwrap_or_default());
        Some(Self {
            input,
            output,
            total: total.unwrap_or_else(|| input.saturating_add(output)),
            cached: count("cached_tokens").unwrap_or_default(),
            reasoning: count("reasoning_tokens").unwrap_or_default(),
        })
    }

    /// As chat completions count.
    pub(super) fn of_chat(self) -> Value {
        json!({
            "prompt_tokens": self.input, "completion_tokens": self.output, "total_tokens": self.total,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        })
    }

    /// As responses count.
    pub(super) fn of_responses(self) -> Value {
        json!({
            "input_tokens": self.input, "output_tokens": self.output, "total_tokens": self.total,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
        })
    }
}

/// Seconds since 1970 when the run was made.
pub(super) fn created(run: &RunView) -> i64 {
    run.created_at.unix_timestamp()
}

/// The model that answered: the run's, or its fallback.
pub(super) fn model(run: &RunView) -> &str {
    run.model
        .as_deref()
        .or(run.profile_key.as_deref())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn the_text_is_the_outputs_own_or_all_of_it_where_the_model_has_a_schema() {
        let cases = [
            (json!({"text": "Hi", "finish_reason": "stop"}), false, "Hi"),
            (json!({"text": "Hi", "mood": "good"}),          true,  r#"{"text":"Hi","mood":"good"}"#),
            (json!({"answer": 7}),                           true,  r#"{"answer":7}"#),
            (json!({"answer": 7}),                           false, ""),
            (json!("Hi"),                                    false, "Hi"),
        ];
        for (output, structured, want) in cases {
            assert_eq!(text(Some(&output), structured), want, "{output}");
        }
        assert_eq!(text(None, true), "");
    }

    #[test]
    #[rustfmt::skip]
    fn providers_words_for_the_end_are_the_apis() {
        let cases = [("stop", Finish::Stop), ("end_turn", Finish::Stop), ("completed", Finish::Stop), ("MAX_TOKENS", Finish::Length),
                     ("length", Finish::Length), ("max_output_tokens", Finish::Length), ("SAFETY", Finish::Filter), ("content_filter", Finish::Filter)];
        for (word, want) in cases {
            assert_eq!(finish(Some(&json!({"finish_reason": word}))), want, "{word}");
        }
        assert_eq!(finish(Some(&json!({}))), Finish::Stop);
    }

    #[test]
    #[rustfmt::skip]
    fn usage_is_what_the_output_says_and_nothing_else() {
        let of = |usage: Value| Usage::of(Some(&json!({"usage": usage})));
        let whole = Usage { input: 3, output: 4, total: 7, cached: 1, reasoning: 2 };
        let cases = [
            (json!({"input_tokens": 3, "output_tokens": 4, "cached_tokens": 1, "reasoning_tokens": 2}), Some(whole)),
            (json!({"input_tokens": 3, "output_tokens": 4, "total_tokens": 9}), Some(Usage { total: 9, cached: 0, reasoning: 0, ..whole })),
            (json!({"input_tokens": 3}), Some(Usage { input: 3, total: 3, ..Usage::default() })),
            (json!({}), None),
            (json!("3"), None),
        ];
        for (usage, want) in cases {
            assert_eq!(of(usage.clone()), want, "{usage}");
        }
        assert_eq!(Usage::of(Some(&json!({"text": "x"}))), None);
    }
}
