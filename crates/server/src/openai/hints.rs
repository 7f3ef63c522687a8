//! Parameters that ask for nothing: clients and frameworks send them on their own account.

use serde_json::{Map, Value};

/// Whether a parameter asks for what is done without it, or is a hint that changes nothing in what is made. A model that has an option
/// for it gets it; for every other model it is left out, where any other value is refused.
pub(super) fn says_nothing(parameter: &str, value: &Value) -> bool {
    let one_of = |words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));
    match parameter {
        "n" | "speed" => is_number(value, 1.0),
        "frequency_penalty" | "presence_penalty" | "partial_images" | "top_logprobs" => {
            is_number(value, 0.0)
        }
        "logprobs" => *value == false,
        "background" => *value == false || one_of(&["auto"]),
        // Every call is a run, and is kept as runs are.
        "store" | "parallel_tool_calls" => value.is_boolean(),
        "tools" | "functions" | "include" | "logit_bias" => is_empty(value),
        "tool_choice" | "function_call" => one_of(&["none", "auto"]),
        "service_tier" => one_of(&["auto", "default"]),
        "size" | "quality" | "moderation" | "chunking_strategy" => one_of(&["auto"]),
        "truncation" => one_of(&["disabled"]),
        "stream_format" => one_of(&["audio"]),
        "modalities" => is_list_of(value, "text"),
        "timestamp_granularities" => is_list_of(value, "segment"),
        "response_format" => {
            let members = value.as_object();
            members.is_some_and(|members| members.len() == 1 && value["type"] == "text")
        }
        "safety_identifier" | "prompt_cache_key" | "prompt_cache_retention" => value.is_string(),
        _ => false,
    }
}

fn is_number(value: &Value, wanted: f64) -> bool {
    let given = value.as_f64();
    given.is_some_and(|given| (given - wanted).abs() < f64::EPSILON)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

fn is_list_of(value: &Value, only: &str) -> bool {
    value
        .as_array()
        .is_some_and(|items| matches!(items.as_slice(), [one] if *one == *only))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    #[rustfmt::skip]
    fn only_the_value_that_asks_for_nothing_says_nothing() {
        let cases = [
            ("n", json!(1), json!(2)),                                      ("presence_penalty", json!(0), json!(0.5)),
            ("logprobs", json!(false), json!(true)),                        ("tools", json!([]), json!([{"type": "function"}])),
            ("logit_bias", json!({}), json!({"1": 5})),                     ("tool_choice", json!("auto"), json!("required")),
            ("service_tier", json!("default"), json!("flex")),              ("size", json!("auto"), json!("1024x1024")),
            ("background", json!("auto"), json!("opaque")),                 ("background", json!(false), json!(true)),
            ("modalities", json!(["text"]), json!(["text", "audio"])),      ("response_format", json!({"type": "text"}), json!({"type": "json_object"})),
            ("timestamp_granularities", json!(["segment"]), json!(["word"])), ("truncation", json!("disabled"), json!("auto")),
            ("speed", json!(1.0), json!(1.5)),                              ("stream_format", json!("audio"), json!("sse")),
            ("store", json!(false), json!("no")),                           ("prompt_cache_key", json!("k"), json!(7)),
        ];
        for (parameter, nothing, something) in cases {
            assert!(says_nothing(parameter, &nothing), "{parameter} {nothing}");
            assert!(!says_nothing(parameter, &something), "{parameter} {something}");
        }
        assert!(!says_nothing("temperature", &json!(1)));
    }
}
