//! `capabilities` of a model.

use super::{flag, list, map, object, text, whole, words};
use serde_json::{Value, json};

/// The schema of capabilities.
pub(super) fn schema() -> Value {
    object(
        &[],
        json!({
            "model": text(), "profile_key": text(), "display_name": text(), "label": text(),
            "description": text(), "validation_hints": {},
            "limits": map(&json!({ "anyOf": [{ "type": "number" }, object(&["value", "option"], json!({ "value": { "type": "number" }, "option": text() }))] })),
            "options": map(&option()),
            "inputs": map(&input()),
            "defaults": { "type": "object" },
            "supports": { "type": "object" },
            "rules": list(&object(&["schema", "message"], json!({ "schema": { "type": ["object", "boolean"] }, "message": text() }))),
            "pricing": pricing(),
            "lifecycle": object(&[], json!({ "deprecated_at": text(), "shutdown_at": text(), "successor": text() })),
        }),
    )
}

fn option() -> Value {
    let number = json!({ "type": "number" });
    object(
        &["type"],
        json!({
            "type": words(&["int", "number", "bool", "string", "enum", "array", "object"]),
            "min": number, "max": number, "step": { "type": "number", "exclusiveMinimum": 0 },
            "values": { "type": "array", "minItems": 1 }, "max_length": whole(0, u64::from(u32::MAX)),
            "pattern": text(), "required": flag(), "items": { "type": "object" },
            "schema": { "type": ["object", "boolean"] },
            "normalize": { "anyOf": [words(&["lower", "upper", "trim"]), { "type": "object" }] },
            "label": text(), "description": text(), "validation_hints": {},
        }),
    )
}

fn input() -> Value {
    object(
        &[],
        json!({
            "kind": text(), "mime": list(&text()), "max_bytes": whole(1, 1024 * 1024 * 1024),
            "max_count": whole(1, crate::lang::MAX_LIST as u64), "required": flag(), "label": text(),
            "description": text(), "validation_hints": {},
        }),
    )
}

fn pricing() -> Value {
    object(
        &["currency", "price"],
        json!({
            "currency": text(), "per": text(), "quantity": {},
            "price": list(&object(&["amount"], json!({ "when": { "type": "object" }, "amount": { "type": "number" } }))),
        }),
    )
}
