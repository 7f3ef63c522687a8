//! The JSON Schemas of bundles, capabilities, profiles and cases, for editors.
//!
//! They know the shape; what needs more than one look (templates, links,
//! bounds that depend on each other) is said by the checks alone.

mod auth;
mod capabilities;
mod case;
mod profile;

use crate::revision::Purpose;
use serde_json::{Map, Value, json};

/// Every schema with the name of its file (without `.json`).
#[must_use]
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (
            "bundle",
            document("A bundle: the rows of one provider", bundle()),
        ),
        (
            "capabilities",
            document("What a model takes", capabilities::schema()),
        ),
        ("case", document("A recorded case", case::schema())),
        ("profile", document("A profile", profile::schema())),
    ]
}

fn document(title: &str, schema: Value) -> Value {
    let mut whole = Map::new();
    whole.insert(
        "$schema".to_owned(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    whole.insert("title".to_owned(), title.into());
    whole.extend(schema.as_object().cloned().unwrap_or_default());
    Value::Object(whole)
}

/// An object with these members and no others; null counts as absent.
fn object(required: &[&str], members: Value) -> Value {
    let mut properties = members.as_object().cloned().unwrap_or_default();
    for (name, schema) in &mut properties {
        if !required.contains(&name.as_str()) {
            *schema = json!({ "anyOf": [schema.take(), { "type": "null" }] });
        }
    }
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Some(members), false) = (schema.as_object_mut(), required.is_empty()) {
        members.insert("required".to_owned(), json!(required));
    }
    schema
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn whole(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "maxItems": crate::lang::MAX_LIST })
}

fn map(values: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn purposes() -> Value {
    let mut all: Vec<&str> = Purpose::ALL
        .iter()
        .map(|purpose| purpose.as_str())
        .collect();
    all.push("text");
    words(&all)
}

fn bundle() -> Value {
    object(
        &["language", "provider"],
        json!({
            "language": { "const": crate::rows::LANGUAGE },
            "provider": provider(),
            "auth_profiles": list(&auth::profile()),
            "response_schemas": list(&object(&["name", "schema"], json!({
                "name": text(), "version": whole(0, u64::from(u32::MAX)), "strict": flag(), "schema": { "type": ["object", "boolean"] },
            }))),
            "prompt_templates": list(&object(&["name", "body"], json!({
                "name": text(), "purpose": purposes(), "version": whole(0, u64::from(u32::MAX)), "body": {},
            }))),
            "models": list(&model()),
            "profiles": list(&profile::schema()),
            "routing_rules": list(&object(&["target_model"], json!({
                "conditions": { "type": "object" }, "target_model": text(), "fallback_model": text(),
                "fallback_provider": text(), "fallback_on": list(&words(&crate::catalogue::fallback_words())), "priority": { "type": "integer" },
            }))),
        }),
    )
}

fn provider() -> Value {
    object(
        &["slug", "api_base_url"],
        json!({
            "slug": text(), "provider_family": text(), "name": text(), "api_base_url": text(), "status": text(),
            "conventions": object(&[], json!({
                "headers": map(&json!({ "type": ["string", "null"] })), "query": map(&json!({})),
                "errors": profile::errors(), "retry": profile::retry(), "settle": profile::settle(),
                "poll": profile::poll(), "webhook": profile::webhook(), "verify": profile::exchange(json!({}), &[]),
            })),
            "egress": object(&[], json!({
                "credential_hosts": list(&text()), "hosts": list(&text()), "allow_http": flag(), "allow_private": flag(),
            })),
        }),
    )
}

fn model() -> Value {
    object(
        &["model_id", "model_type"],
        json!({
            "model_id": text(), "name": text(), "display_name": text(), "model_type": purposes(),
            "capabilities": capabilities::schema(), "prompt_template": text(), "response_schema": text(),
            "is_default": flag(), "status": text(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_one_and_the_shipped_files_satisfy_them() {
        let all = schemas();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
        let validator = |name: &str| {
            let (_, schema) = all.iter().find(|(known, _)| *known == name).unwrap();
            jsonschema::meta::validate(schema).unwrap();
            jsonschema::validator_for(schema).unwrap()
        };
        let read = |path: &std::path::Path| -> Value {
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        let (bundle, case) = (validator("bundle"), validator("case"));
        validator("capabilities");
        validator("profile");
        for entry in std::fs::read_dir(root).unwrap() {
            let folder = entry.unwrap().path();
            let path = folder.join("bundle.json");
            if !path.exists() {
                continue;
            }
            let errors: Vec<_> = bundle
                .iter_errors(&read(&path))
                .map(|e| format!("{} {e}", e.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
            for file in std::fs::read_dir(folder.join("cases"))
                .into_iter()
                .flatten()
            {
                let path = file.unwrap().path();
                assert!(case.is_valid(&read(&path)), "{}", path.display());
            }
        }
    }

    #[test]
    fn a_misspelt_member_does_not_satisfy_the_schema() {
        let good = include_str!("../../../tests/bad/_good.json");
        let schema = schemas().swap_remove(0).1;
        let validator = jsonschema::validator_for(&schema).unwrap();
        let value: Value = serde_json::from_str(good).unwrap();
        assert!(validator.is_valid(&value));
        for pointer in [
            "",
            "/provider",
            "/models/0",
            "/profiles/0/transport",
            "/profiles/0/workflow/steps/0",
        ] {
            let mut bad = value.clone();
            bad.pointer_mut(pointer)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .insert("misspelt".into(), json!(1));
            assert!(!validator.is_valid(&bad), "at `{pointer}`");
        }
    }
}
