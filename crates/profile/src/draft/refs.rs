//! The schemas of a document: references followed, within bounds, and what is put together of several.

use serde_json::{Map, Value, json};
use std::cell::Cell;

/// References followed one after another.
const CHAIN_MAX: usize = 32;
/// Schemas opened in one document: a document that refers to itself is not walked for ever.
const OPENED_MAX: usize = 20_000;

/// A document whose references are followed.
pub(super) struct Document<'d> {
    pub(super) root: &'d Value,
    opened: Cell<usize>,
}

impl<'d> Document<'d> {
    pub(super) fn new(root: &'d Value) -> Self {
        Self {
            root,
            opened: Cell::new(0),
        }
    }

    /// What a reference leads to, or the value itself. `None`: it leads out of the document, nowhere, or in a circle.
    pub(super) fn follow(&self, value: &'d Value) -> Option<&'d Value> {
        let mut at = value;
        for _ in 0..CHAIN_MAX {
            let Some(reference) = at.get("$ref").and_then(Value::as_str) else {
                return Some(at);
            };
            at = self.root.pointer(&pointer(reference.strip_prefix('#')?))?;
        }
        None
    }

    /// A schema as one object: its references followed, `allOf` laid together, a choice with `null` resolved.
    pub(super) fn resolve(&self, schema: &Value) -> Option<Value> {
        self.open(schema, 0)
    }

    fn open(&self, schema: &Value, depth: usize) -> Option<Value> {
        self.opened.set(self.opened.get() + 1);
        if depth > CHAIN_MAX || self.opened.get() > OPENED_MAX {
            return None;
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(&pointer(reference.strip_prefix('#')?))?;
            return self.open(target, depth + 1);
        }
        let mut whole = schema.as_object()?.clone();
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(Value::Object(part)) = self.open(part, depth + 1) {
                lay(&mut whole, part);
            }
        }
        for name in ["oneOf", "anyOf"] {
            let choices = schema
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let choices: Vec<Value> = choices
                .filter_map(|choice| self.open(choice, depth + 1))
                .filter(|choice| type_of(choice) != Some("null"))
                .collect();
            if let Some(Value::Object(chosen)) = choice(&choices) {
                lay(&mut whole, chosen);
                if choices.len() > 1 {
                    whole.insert("x-choices".to_owned(), json!(choices.len()));
                }
            }
        }
        Some(Value::Object(whole))
    }
}

/// A fragment as a JSON Pointer: `%7B` may stand for `{`.
fn pointer(fragment: &str) -> String {
    percent_encoding::percent_decode_str(fragment)
        .decode_utf8_lossy()
        .into_owned()
}

/// The choice that says most: an object, else what has values, else the first.
fn choice(choices: &[Value]) -> Option<Value> {
    let best = choices
        .iter()
        .find(|choice| choice.get("properties").is_some())
        .or_else(|| choices.iter().find(|choice| choice.get("enum").is_some()))
        .or(choices.first());
    best.cloned()
}

/// Members of `part` where `whole` has none; properties and required names are put together.
fn lay(whole: &mut Map<String, Value>, part: Map<String, Value>) {
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (Some(Value::Object(have)), Value::Object(more)) if name == "properties" => {
                for (name, value) in more {
                    have.entry(name).or_insert(value);
                }
            }
            (Some(Value::Array(have)), Value::Array(more)) if name == "required" => {
                have.extend(more)
            }
            (Some(_), _) => {}
            (None, value) => drop(whole.insert(name, value)),
        }
    }
}

/// The type of a schema: 3.1 may give a list, in which `null` says nothing.
pub(super) fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => Some(one),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .find(|one| *one != "null"),
        _ if schema.get("properties").is_some() => Some("object"),
        _ if schema.get("items").is_some() => Some("array"),
        _ if schema.get("enum").is_some() => Some("string"),
        _ => None,
    }
}
