//! The published JSON Schema of a model's calls, from the same table as the check.

use super::compile::empty;
use super::option::{Kind, OptionSpec, Range};
use super::{Capabilities, InputSpec, LimitTarget};
use serde_json::{Map, Value, json};

/// The schema of `{prompt, params, inputs, …}`.
pub(super) fn of(capabilities: &Capabilities, model: Option<&str>) -> Value {
    let mut properties = Map::new();
    for option in capabilities
        .options
        .iter()
        .filter(|option| option.supported)
    {
        properties.insert(option.name.clone(), option_schema(option, capabilities));
    }
    let needed =
        |option: &&OptionSpec| option.required && option.supported && option.default.is_none();
    let required: Vec<&str> = capabilities
        .options
        .iter()
        .filter(needed)
        .map(|option| option.name.as_str())
        .collect();
    let mut params = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    set(
        &mut params,
        "required",
        (!required.is_empty()).then(|| json!(required)),
    );
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { "prompt": prompt(capabilities), "params": params, "inputs": inputs(capabilities) },
    });
    set(&mut schema, "title", model.map(Value::from));
    let mut needed = Vec::new();
    if capabilities.prompt_required {
        needed.push("prompt");
    }
    if !required.is_empty() {
        needed.push("params");
    }
    if capabilities.inputs.iter().any(|input| input.required) {
        needed.push("inputs");
    }
    set(
        &mut schema,
        "required",
        (!needed.is_empty()).then(|| json!(needed)),
    );
    schema
}

fn set(schema: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(members), Some(value)) = (schema.as_object_mut(), value) {
        members.insert(name.to_owned(), value);
    }
}

fn prompt(capabilities: &Capabilities) -> Value {
    let mut schema = json!({ "type": "string" });
    let limit = capabilities
        .limits
        .iter()
        .find(|limit| limit.target == LimitTarget::PromptChars);
    set(
        &mut schema,
        "maxLength",
        limit.map(|limit| json!(limit.value)),
    );
    set(
        &mut schema,
        "minLength",
        capabilities.prompt_required.then(|| json!(1)),
    );
    schema
}

/// Null counts as not given, so every option that need not be there takes it.
fn option_schema(option: &OptionSpec, capabilities: &Capabilities) -> Value {
    let mut schema = kind(&option.kind);
    let limits = capabilities
        .limits
        .iter()
        .filter(|limit| limit.target == LimitTarget::Option(option.name.clone()));
    for limit in limits {
        let name = match option.kind {
            Kind::Text(..) => "maxLength",
            Kind::Array(..) => "maxItems",
            _ => "maximum",
        };
        let lower = schema
            .get(name)
            .and_then(Value::as_f64)
            .is_none_or(|own| limit.value < own);
        if lower && !matches!(option.kind, Kind::Enum(_)) {
            set(&mut schema, name, Some(number(limit.value)));
        }
    }
    set(
        &mut schema,
        "title",
        option.words.0.as_deref().map(Value::from),
    );
    set(
        &mut schema,
        "description",
        option.words.1.as_deref().map(Value::from),
    );
    set(&mut schema, "default", option.default.clone());
    schema
}

/// A whole number without a fraction.
fn number(value: f64) -> Value {
    let text = value.to_string();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Int(bounds) => range("integer", bounds),
        Kind::Number(bounds) => range("number", bounds),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Text(most, pattern) => {
            let mut schema = json!({ "type": "string" });
            set(&mut schema, "maxLength", most.map(Value::from));
            set(
                &mut schema,
                "pattern",
                pattern.as_ref().map(|p| Value::from(p.as_str())),
            );
            schema
        }
        Kind::Enum(values) => json!({ "enum": values }),
        Kind::Array(items, most) => {
            let mut schema = json!({ "type": "array" });
            set(&mut schema, "items", items.as_deref().map(self::kind));
            set(&mut schema, "maxItems", most.map(Value::from));
            schema
        }
        Kind::Object(None) => json!({ "type": "object" }),
        Kind::Object(Some(schema)) => schema.0.clone(),
    }
}

/// A step that counts from another value than a multiple of itself is an enum
/// where the values are few; JSON Schema's `multipleOf` counts from 0.
fn range(word: &str, bounds: &Range) -> Value {
    let mut schema = json!({ "type": word });
    let plain = |number: &Option<serde_json::Number>| number.clone().map(Value::Number);
    set(&mut schema, "minimum", plain(&bounds.min));
    set(&mut schema, "maximum", plain(&bounds.max));
    let Some(step) = &bounds.step else {
        return schema;
    };
    let from = bounds
        .min
        .as_ref()
        .and_then(serde_json::Number::as_f64)
        .unwrap_or(0.0);
    let by = step.as_f64().unwrap_or(1.0);
    if from % by == 0.0 {
        set(&mut schema, "multipleOf", Some(Value::Number(step.clone())));
        return schema;
    }
    let top = bounds.max.as_ref().and_then(serde_json::Number::as_f64);
    if let Some(top) = top.filter(|top| (top - from) / by <= 1000.0) {
        let mut values = Vec::new();
        let mut count = 0.0;
        while from + by * count <= top {
            values.push(number(from + by * count));
            count += 1.0;
        }
        set(&mut schema, "enum", Some(Value::Array(values)));
    } else {
        let words = format!("in steps of {step} from {from}");
        set(&mut schema, "$comment", Some(Value::from(words)));
    }
    schema
}

fn inputs(capabilities: &Capabilities) -> Value {
    let item = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "url": { "type": "string" },
            "data_url": { "type": "string" },
            "handle": { "type": "string" },
            "filename": { "type": "string" },
        },
        "additionalProperties": false,
    });
    let mut properties = Map::new();
    for input in &capabilities.inputs {
        properties.insert(input.name.clone(), input_schema(input, &item));
    }
    let needed = capabilities.inputs.iter().filter(|input| input.required);
    let required: Vec<&str> = needed.map(|input| input.name.as_str()).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    set(
        &mut schema,
        "required",
        (!required.is_empty()).then(|| json!(required)),
    );
    schema
}

fn input_schema(input: &InputSpec, item: &Value) -> Value {
    let mut schema = json!({ "type": "array", "items": item, "maxItems": input.max_count });
    set(&mut schema, "minItems", input.required.then(|| json!(1)));
    let mut facts = empty();
    set(&mut facts, "kind", input.kind.as_deref().map(Value::from));
    let takes = input.takes();
    set(
        &mut facts,
        "mime",
        (!takes.is_empty()).then(|| json!(takes)),
    );
    set(&mut facts, "max_bytes", Some(json!(input.max_bytes)));
    set(&mut schema, "x-media", Some(facts));
    schema
}
