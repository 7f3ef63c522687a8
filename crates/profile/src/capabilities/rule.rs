//! A rule that does not hold: where in the caller's body, and what to change.

use super::Rule;
use serde_json::Value;
use std::collections::BTreeSet;

/// Tokens of `/inputs/<name>/<index>`: what lies deeper is ours, not the caller's.
const INPUT_TOKENS: usize = 3;

/// A rule that was broken.
pub(super) struct Broken {
    /// JSON Pointer into the caller's body.
    pub(super) pointer: String,
    pub(super) help: &'static str,
}

/// Judges `{…params, "inputs": …}`; `None`: the rule holds.
pub(super) fn broken(rule: &Rule, instance: &Value) -> Option<Broken> {
    let error = rule.validator.iter_errors(instance).next()?;
    let place = error.instance_path().to_string();
    let inputs_only = is_about_inputs(&rule.schema);
    let at_inputs = place == "/inputs" || place.starts_with("/inputs/");
    let pointer = if at_inputs {
        let tokens = place.split('/').skip(1).take(INPUT_TOKENS);
        tokens.fold(String::new(), |pointer, token| pointer + "/" + token)
    } else if place.is_empty() && inputs_only {
        "/inputs".to_owned()
    } else {
        format!("/params{place}")
    };
    let help = match (inputs_only, at_inputs) {
        (true, _) => "change the inputs that the message names",
        (false, true) => "change the options or inputs that the message names",
        (false, false) => "change the options that the message names",
    };
    Some(Broken { pointer, help })
}

/// The members of a call that a schema names, wherever it speaks of the call itself.
pub(super) fn named(schema: &Value) -> BTreeSet<&str> {
    let members = schema.as_object().into_iter().flatten();
    members
        .flat_map(|(word, value)| named_by(word, value))
        .collect()
}

fn named_by<'s>(word: &str, value: &'s Value) -> BTreeSet<&'s str> {
    match (word, value) {
        ("required", Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        ("properties" | "dependentSchemas" | "dependentRequired", Value::Object(all)) => {
            all.keys().map(String::as_str).collect()
        }
        ("not" | "if" | "then" | "else", one) => named(one),
        ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter().flat_map(named).collect(),
        _ => BTreeSet::new(),
    }
}

/// Whether a schema speaks of the member `inputs` alone; one with a word that
/// is not looked into does not.
fn is_about_inputs(schema: &Value) -> bool {
    let Value::Object(members) = schema else {
        return schema.is_boolean();
    };
    members
        .iter()
        .all(|(word, value)| match (word.as_str(), value) {
            ("required", Value::Array(names)) => names.iter().all(|name| name == "inputs"),
            ("properties", Value::Object(all)) => all.keys().all(|name| name == "inputs"),
            ("not" | "if" | "then" | "else", one) => is_about_inputs(one),
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter().all(is_about_inputs),
            ("type" | "title" | "description" | "$comment" | "$schema", _) => true,
            _ => false,
        })
}
