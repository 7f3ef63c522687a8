//! Walks through a schema alone, and through a schema and a file that satisfies it side by side.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The members of the object at a pointer.
pub(super) fn pointed<'v>(value: &'v mut Value, at: &str) -> &'v mut Map<String, Value> {
    let found = value.pointer_mut(at).and_then(Value::as_object_mut);
    found.unwrap_or_else(|| panic!("no object at `{at}`"))
}

/// What a `$ref` names.
fn resolved<'s>(root: &'s Value, at: &str, schema: &'s Value) -> (String, &'s Value) {
    match schema["$ref"].as_str() {
        Some(name) => {
            let pointer = name.trim_start_matches('#');
            (pointer.to_owned(), root.pointer(pointer).unwrap())
        }
        None => (at.to_owned(), schema),
    }
}

/// Every member of every object, by the place of its schema.
pub(super) fn members(root: &Value) -> BTreeMap<String, &Value> {
    fn walk<'s>(schema: &'s Value, at: &str, all: &mut BTreeMap<String, &'s Value>) {
        match schema {
            Value::Object(inner) => {
                for (name, inner) in inner {
                    let at = format!("{at}/{name}");
                    match name.as_str() {
                        "examples" | "default" | "const" | "enum" | "if" => {}
                        "properties" => {
                            for (name, member) in inner.as_object().unwrap() {
                                let at = format!("{at}/{name}");
                                // A kind of auth profile says what stands in the member, not the member.
                                if !at.contains("/then/properties/") {
                                    all.insert(at.clone(), member);
                                }
                                walk(member, &at, all);
                            }
                        }
                        _ => walk(inner, &at, all),
                    }
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    walk(item, &format!("{at}/{i}"), all);
                }
            }
            _ => {}
        }
    }
    let mut all = BTreeMap::new();
    walk(root, "", &mut all);
    all
}

/// Whether the value is an object with known members, or a list of such.
pub(super) fn has_members(root: &Value, schema: &Value) -> bool {
    let (_, schema) = resolved(root, "", schema);
    let any = schema["anyOf"].as_array().into_iter().flatten();
    schema["properties"].is_object()
        || any.into_iter().any(|one| has_members(root, one))
        || schema["items"].is_object() && has_members(root, &schema["items"])
}

/// An object of a file, and the schema that it satisfies.
#[derive(Debug)]
pub(super) struct Site<'s> {
    /// Where the schema of the object stands.
    pub(super) schema_at: String,
    pub(super) schema: &'s Value,
    /// Where the object stands.
    pub(super) at: String,
}

/// Every object of the file whose members are known.
pub(super) fn sites<'s>(root: &'s Value, file: &Value) -> Vec<Site<'s>> {
    let mut all = Vec::new();
    find(root, (String::new(), root), file, "", &mut all);
    all
}

fn find<'s>(
    root: &'s Value,
    (schema_at, schema): (String, &'s Value),
    value: &Value,
    at: &str,
    all: &mut Vec<Site<'s>>,
) {
    let (schema_at, schema) = resolved(root, &schema_at, schema);
    let mut below = |name: &str, schema: &'s Value, value: &Value, at: &str| {
        find(
            root,
            (format!("{schema_at}/{name}"), schema),
            value,
            at,
            all,
        );
    };
    for name in ["anyOf", "allOf"] {
        for (i, one) in schema[name].as_array().into_iter().flatten().enumerate() {
            // Of a condition and its consequence, the consequence where the condition holds.
            let holds = one
                .get("if")
                .is_none_or(|condition| jsonschema::is_valid(condition, value));
            let (name, one) = match one.get("then") {
                Some(then) => (format!("{name}/{i}/then"), then),
                None => (format!("{name}/{i}"), one),
            };
            if holds {
                below(&name, one, value, at);
            }
        }
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            below("items", &schema["items"], item, &format!("{at}/{i}"));
        }
    }
    let Some(members) = value.as_object() else {
        return;
    };
    for (name, inner) in members {
        let at = format!("{at}/{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Object(_)) => {
                below(
                    "additionalProperties",
                    &schema["additionalProperties"],
                    inner,
                    &at,
                );
            }
            (Value::Null, _) => {}
            (schema, _) => below(&format!("properties/{name}"), schema, inner, &at),
        }
    }
    if schema["properties"].is_object() && !schema_at.ends_with("/then") {
        all.push(Site {
            schema_at,
            schema,
            at: at.to_owned(),
        });
    }
}
