//! The words that the schemas are written in.
//!
//! A member stands in one line of one table: its schema, what it says, and an example. What several objects share is
//! [`named`] and comes to stand under `$defs`, once.

use crate::check::bounds::{Real, Whole};
use serde_json::{Map, Value, json};

/// A shared schema, and its name, until [`document`] puts it under `$defs`.
const NAME: &str = "$name";
const SHARED: &str = "$shared";

/// A whole document.
pub(super) fn document(title: &str, schema: Value) -> Value {
    let mut shared = Map::new();
    // The root is written out where it is also shared.
    let root = match schema.get(SHARED) {
        Some(inner) => inner.clone(),
        None => schema,
    };
    let root = share(root, &mut shared);
    let mut whole = Map::new();
    let meta = "https://json-schema.org/draft/2020-12/schema";
    whole.insert("$schema".to_owned(), meta.into());
    whole.insert("title".to_owned(), title.into());
    whole.extend(root.as_object().cloned().unwrap_or_default());
    shared.sort_keys();
    if !shared.is_empty() {
        whole.insert("$defs".to_owned(), Value::Object(shared));
    }
    Value::Object(whole)
}

/// Puts what is shared aside, and its name in its place.
fn share(schema: Value, shared: &mut Map<String, Value>) -> Value {
    match schema {
        Value::Array(items) => items.into_iter().map(|item| share(item, shared)).collect(),
        Value::Object(mut members) => {
            let name = members.shift_remove(NAME);
            let inner = members.shift_remove(SHARED);
            let mut out = Map::new();
            if let (Some(Value::String(name)), Some(inner)) = (name, inner) {
                out.insert("$ref".to_owned(), format!("#/$defs/{name}").into());
                if !shared.contains_key(&name) {
                    let inner = share(inner, shared);
                    shared.insert(name, inner);
                }
            }
            for (name, member) in members {
                // An example is data, whatever its members are called.
                let is_data = matches!(name.as_str(), "examples" | "default" | "const" | "enum");
                let member = if is_data {
                    member
                } else {
                    share(member, shared)
                };
                out.insert(name, member);
            }
            Value::Object(out)
        }
        other => other,
    }
}

/// A schema that several objects share, or that is long.
pub(super) fn named(name: &str, schema: Value) -> Value {
    json!({ NAME: name, SHARED: schema })
}

/// A member: its schema, what it says, and an example of it.
pub(super) fn field(schema: Value, says: &str, example: impl Into<Value>) -> Value {
    one_of(schema, says, [example.into()])
}

/// A member with several examples, for an editor to offer.
pub(super) fn one_of<const N: usize>(schema: Value, says: &str, examples: [Value; N]) -> Value {
    let mut schema = described(schema, says);
    if let Some(members) = schema.as_object_mut() {
        members.insert("examples".to_owned(), examples.into_iter().collect());
    }
    schema
}

/// A schema with what it says: of an object whose members have examples of their own.
pub(super) fn described(mut schema: Value, says: &str) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), says.into());
    }
    schema
}

/// An object with these members and no others; null counts as absent.
pub(super) fn object(required: &[&str], members: Value) -> Value {
    let mut schema = open_object(required, members);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

/// An object with these members, and others that the caller describes.
pub(super) fn open_object(required: &[&str], members: Value) -> Value {
    let mut properties = members.as_object().cloned().unwrap_or_default();
    for (name, schema) in &mut properties {
        if !required.contains(&name.as_str()) {
            *schema = or_null(schema.take());
        }
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    if let (Some(members), false) = (schema.as_object_mut(), required.is_empty()) {
        members.insert("required".to_owned(), json!(required));
    }
    schema
}

/// The schema, or null; what is said of the member stays outside.
pub(super) fn or_null(mut schema: Value) -> Value {
    let Some(members) = schema.as_object_mut() else {
        return schema;
    };
    if members.contains_key("type") || members.contains_key("enum") {
        if let Some(kind) = members.get_mut("type") {
            add(kind, "null".into());
        }
        if let Some(words) = members.get_mut("enum") {
            add(words, Value::Null);
        }
        return schema;
    }
    let mut out = Map::new();
    for name in ["description", "examples"] {
        out.extend(
            members
                .shift_remove(name)
                .map(|said| (name.to_owned(), said)),
        );
    }
    // A schema that says nothing holds for null too.
    if !members.is_empty() {
        out.insert("anyOf".to_owned(), json!([schema, { "type": "null" }]));
    }
    Value::Object(out)
}

fn add(list: &mut Value, more: Value) {
    match list {
        Value::Array(items) if items.contains(&more) => {}
        Value::Array(items) => items.push(more),
        _ => {
            let one = list.take();
            *list = json!([one, more]);
        }
    }
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn number() -> Value {
    json!({ "type": "number" })
}

pub(super) fn whole(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

/// A whole number within the bounds of section 11.
pub(super) fn within(bound: Whole) -> Value {
    whole(bound.least, bound.most)
}

/// The same, with the number that counts when it is left out.
pub(super) fn usual(bound: Whole) -> Value {
    let mut schema = within(bound);
    if let Some(members) = schema.as_object_mut() {
        members.insert("default".to_owned(), bound.default.into());
    }
    schema
}

/// A number within the bounds of section 11, with its default.
pub(super) fn real(bound: Real) -> Value {
    // The least number above zero stands for "more than zero".
    let (word, least) = match bound.least <= f64::MIN_POSITIVE && bound.least > 0.0 {
        true => ("exclusiveMinimum", 0.0),
        false => ("minimum", bound.least),
    };
    json!({ "type": "number", word: least, "maximum": bound.most, "default": bound.default })
}

pub(super) fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "maxItems": crate::lang::MAX_LIST })
}

pub(super) fn map(values: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

pub(super) fn free_object() -> Value {
    json!({ "type": "object" })
}

/// One of these words.
pub(super) fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>() })
}

/// One of the words of a table of the checks.
pub(super) fn words_of<T>(table: &[(&str, T)]) -> Value {
    words(table.iter().map(|(word, _)| *word))
}

/// Any JSON: a template.
pub(super) fn tree() -> Value {
    json!({})
}

/// Members of two objects.
pub(super) fn with(mut members: Value, more: &Value) -> Value {
    if let (Some(members), Some(more)) = (members.as_object_mut(), more.as_object()) {
        members.extend(more.clone());
    }
    members
}

/// A path into an answer or into the variables: a text, or a list of which the first that gives something is taken.
pub(super) fn path() -> Value {
    let one = json!({ "type": "string", "minLength": 1 });
    let schema = json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] });
    named("path", schema)
}

/// A condition.
pub(super) fn condition() -> Value {
    let one = json!({ "$ref": "#/$defs/condition" });
    let many = json!({ "type": "array", "items": one, "minItems": 1 });
    let bound = json!({ "type": ["number", "string"] });
    let members = json!({
        "present": field(path(), "Holds when the path gives something: null and an empty list are nothing.", "error.message"),
        "path": field(path(), "The value that the tests beside it look at; all of them must hold for one of several values. Absent: they do not.", "status"),
        "equals": field(tree(), "The value is this one, of the same type; a template.", "failed"),
        "in": field(json!({ "type": ["array", "string"] }), "The value is one of the list; or a template that gives the list.", json!(["failed", "rejected"])),
        "matches": field(text(), "The value is a text in which this regular expression (RE2 syntax) finds something.", "^content_"),
        "gt": field(bound.clone(), "The value is greater: numbers compare with numbers, texts with texts.", 0),
        "gte": field(bound.clone(), "The value is greater or equal.", 500),
        "lt": field(bound.clone(), "The value is less.", 600),
        "lte": field(bound, "The value is less or equal.", 599),
        "all": field(many.clone(), "Every one of the list holds.", json!([{ "path": "done", "equals": true }, { "present": "error" }])),
        "any": field(many, "One of the list holds.", json!([{ "present": "error" }, { "present": "errors[0]" }])),
        "not": field(one, "The condition does not hold.", json!({ "present": "videos[0]" })),
    });
    let schema = json!({
        "type": "object", "minProperties": 1, "additionalProperties": false, "properties": members,
        "examples": [{ "path": "status", "equals": "failed" }, { "present": "error.message" }],
    });
    named("condition", schema)
}
