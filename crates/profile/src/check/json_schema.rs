//! Compiling JSON Schemas of rows: draft 2020-12, bounded, without the network.

mod weight;

use super::walk::{Sink, wrong_type};
use diag::{Code, Place};
use jsonschema::{Draft, Validator};
use serde_json::Value;

/// Bytes of a compiled regular expression.
const MAX_REGEX: usize = 1 << 20;

/// Compiles a schema; a mistake is filed at the schema's own place.
pub(crate) fn compile(schema: &Value, at: &Place, sink: &Sink) -> Option<Validator> {
    if !schema.is_object() && !schema.is_boolean() {
        wrong_type(sink, at, "a JSON Schema", schema);
        return None;
    }
    if let Some(reference) = foreign_reference(schema) {
        sink.error(
            Code::P114,
            at,
            format!("the schema refers to another document: `{reference}`"),
            "references may only point into the same schema: `#/$defs/…`",
        );
        return None;
    }
    if let Err(error) = jsonschema::meta::validate(schema) {
        let place = error.instance_path().to_string();
        sink.error(
            Code::P114,
            at,
            format!("it is no JSON Schema: at `{place}`, {error}"),
            "write it as draft 2020-12 says",
        );
        return None;
    }
    if !weight::is_light(schema, at, sink) {
        return None;
    }
    let patterns = jsonschema::PatternOptions::regex().size_limit(MAX_REGEX);
    let built = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(patterns)
        .build(schema);
    match built {
        Ok(validator) => Some(validator),
        Err(error) => {
            sink.error(
                Code::P114,
                at,
                format!("the schema cannot be compiled: {error}"),
                "write it as draft 2020-12 says",
            );
            None
        }
    }
}

/// A reference that does not begin with `#`: nothing is fetched to check a row.
fn foreign_reference(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let text = value.as_str().filter(|text| !text.starts_with('#'));
            match (name.as_str(), text) {
                ("$ref" | "$dynamicRef", Some(text)) => Some(text),
                _ => foreign_reference(value),
            }
        }),
        Value::Array(items) => items.iter().find_map(foreign_reference),
        _ => None,
    }
}
