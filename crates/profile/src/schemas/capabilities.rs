//! `capabilities` of a model.

use super::build::{
    condition, described, field, flag, free_object, list, map, named, number, object, one_of, path,
    text, tree, usual, whole, words,
};
use crate::check::bounds;
use serde_json::{Value, json};

/// The schema of capabilities.
pub(super) fn schema() -> Value {
    let limit = json!({ "anyOf": [number(), limit()] });
    let limits = "Bounds by their documented names (`max_duration_seconds`, `max_prompt_chars`, `max_output_tokens`, `max_images_per_request`, `max_reference_images`), or bound to an option.";
    let members = json!({
        "model": field(text(), "Should equal `model_id`; for people.", "a-1"),
        "profile_key": field(text(), "The profile that serves the model.", "acme_video_v1"),
        "display_name": field(text(), "For people.", "Acme A-1"),
        "label": field(text(), "For people.", "A-1"),
        "description": field(text(), "For people.", "Clips of up to twelve seconds."),
        "validation_hints": field(tree(), "For people and their forms.", json!({ "prompt": "one scene" })),
        "limits": one_of(map(&limit), limits, [json!({ "max_duration_seconds": 12 }), json!({ "max_frames": { "value": 161, "option": "frames" } })]),
        "options": field(map(&option()), "What `params` of a call may hold, by name.", json!({ "seconds": { "type": "int", "min": 4, "max": 12, "step": 4 } })),
        "inputs": field(map(&input()), "Media that a call may bring, by name.", json!({ "reference": { "kind": "image", "mime": ["image/png"], "max_count": 1 } })),
        "defaults": field(free_object(), "What an option gets that the call does not give.", json!({ "seconds": 4 })),
        "supports": field(free_object(), "`false` refuses an option; other names are only facts.", json!({ "seconds": true })),
        "rules": described(list(&rule()), "What one option cannot say alone."),
        "pricing": described(pricing(), "What a call costs."),
        "lifecycle": described(lifecycle(), "The days on which the provider retires it."),
    });
    named("capabilities", object(&[], members))
}

fn limit() -> Value {
    let members = json!({
        "value": field(number(), "The largest value.", 161),
        "option": field(text(), "The option that it bounds.", "frames"),
    });
    named("limit", object(&["value", "option"], members))
}

fn option() -> Value {
    let types = words(["int", "number", "bool", "string", "enum", "array", "object"]);
    let cases = json!({ "anyOf": [words(["lower", "upper", "trim"]), { "type": "object", "additionalProperties": { "type": "string" } }] });
    let step = json!({ "type": "number", "exclusiveMinimum": 0 });
    let members = json!({
        "type": field(types, "Its type. Text from a form is accepted for an `int` when it is exactly one.", "int"),
        "min": field(number(), "The least number.", 4),
        "max": field(number(), "The largest number.", 12),
        "step": field(step, "Counts from `min`.", 4),
        "values": field(json!({ "type": "array", "minItems": 1 }), "Of an `enum`: scalars of any type.", json!(["720x1280", "1280x720"])),
        "max_length": field(whole(0, u64::from(u32::MAX)), "Characters of a `string`, items of an `array`.", 40),
        "pattern": field(text(), "A regular expression (RE2 syntax) that a `string` must match.", "^[a-z]+$"),
        "required": field(flag(), "A call without it is refused. Left out: false.", true),
        "items": field(free_object(), "Of an `array`: an option that each item is.", json!({ "type": "string", "max_length": 20 })),
        "schema": field(json!({ "type": ["object", "boolean"] }), "Of an `object`: its JSON Schema.", json!({ "type": "object", "maxProperties": 4 })),
        "normalize": one_of(cases, "Changes a text before it is looked at; a map replaces whole texts.", ["lower".into(), json!({ "wide": "1280x720" })]),
        "label": field(text(), "For people.", "Seconds"),
        "description": field(text(), "For people.", "How long the clip is."),
        "validation_hints": field(tree(), "For people and their forms.", json!({ "unit": "s" })),
    });
    named("option", object(&["type"], members))
}

fn input() -> Value {
    let members = json!({
        "kind": field(text(), "What it is.", "image"),
        "mime": field(list(&text()), "Media types that are taken.", json!(["image/png", "image/jpeg"])),
        "max_bytes": field(usual(bounds::INPUT_BYTES), "Bytes that one may have.", 20_971_520),
        "max_count": field(usual(bounds::MAX_COUNT), "How many may be given.", 4),
        "required": field(flag(), "A call without it is refused. Left out: false.", true),
        "label": field(text(), "For people.", "First frame"),
        "description": field(text(), "For people.", "The picture that the clip begins with."),
        "validation_hints": field(tree(), "For people and their forms.", json!({ "ratio": "16:9" })),
    });
    named("input", object(&[], members))
}

fn rule() -> Value {
    let members = json!({
        "schema": field(json!({ "type": ["object", "boolean"] }), "A JSON Schema over the options, and `inputs` with the `mime` and `bytes` of each.", json!({ "not": { "required": ["seed", "samples"] } })),
        "message": field(text(), "What a call is told that breaks it.", "give `seed` or `samples`, not both"),
    });
    named("rule", object(&["schema", "message"], members))
}

fn pricing() -> Value {
    let price = object(
        &["amount"],
        json!({
            "when": field(condition(), "Over the variables; the first price whose condition holds counts.", json!({ "path": "params.size", "equals": "1280x720" })),
            "amount": field(number(), "Of one unit.", json!(0.1)),
        }),
    );
    let members = json!({
        "currency": field(text(), "The currency's code (ISO 4217).", "USD"),
        "per": field(text(), "The unit, for people.", "second"),
        "quantity": field(path(), "Where the number of units stands among the variables. Left out: one.", "params.seconds"),
        "price": described(list(&named("price", price)), "Prices of one unit, tried in turn."),
    });
    named("pricing", object(&["currency", "price"], members))
}

fn lifecycle() -> Value {
    let members = json!({
        "deprecated_at": field(text(), "The day (or moment) from which it is discouraged.", "2026-09-01"),
        "shutdown_at": field(text(), "The day (or moment) from which calls are refused.", "2027-03-01"),
        "successor": field(text(), "The model that is named then.", "a-2"),
    });
    named("lifecycle", object(&[], members))
}
