//! Rows as a bundle: what `parse` reads, written again, without secrets.

use crate::rows::{
    AuthProfileRow, CredentialRow, Kind, LANGUAGE, ModelRow, ProfileRow, RoutingRow, Rows,
    SchemaRow, TemplateRow,
};
use serde_json::{Map, Value, json};

/// The rows of one provider as a bundle. References to secrets are kept, an
/// sealed secret is left out; members that say nothing are not written.
#[must_use]
pub fn write(rows: &Rows) -> Value {
    let mut bundle = Map::new();
    bundle.insert("language".into(), json!(rows.language.unwrap_or(LANGUAGE)));
    if let Some(provider) = rows.providers.first() {
        bundle.insert("provider".into(), provider_json(provider));
    }
    let auth = rows
        .auth_profiles
        .iter()
        .map(|row| auth_profile(row, &rows.credentials));
    put_list(&mut bundle, "auth_profiles", auth);
    let schemas = rows.response_schemas.iter().map(schema);
    put_list(&mut bundle, "response_schemas", schemas);
    let templates = rows.prompt_templates.iter().map(template);
    put_list(&mut bundle, "prompt_templates", templates);
    put_list(&mut bundle, "models", rows.models.iter().map(model));
    put_list(&mut bundle, "profiles", rows.profiles.iter().map(profile));
    put_list(
        &mut bundle,
        "routing_rules",
        rows.routing_rules.iter().map(routing),
    );
    Value::Object(bundle)
}

/// The first row of a kind, as [`super::read_row`] reads it; null: there is none.
#[must_use]
pub fn write_row(kind: Kind, rows: &Rows) -> Value {
    let of = |provider: &str, row: Value| {
        let mut with = Map::from_iter([("provider".to_owned(), Value::from(provider))]);
        if let Value::Object(members) = row {
            with.extend(members);
        }
        said(Value::Object(with))
    };
    let row = match kind {
        Kind::Providers => rows.providers.first().map(provider_json),
        Kind::AuthProfiles => rows.auth_profiles.first().map(|row| {
            let written = json!({
                "profile_key": row.profile_key, "auth_type": row.auth_type, "credential": row.credential, "config": row.config,
            });
            of(&row.provider, written)
        }),
        Kind::ResponseSchemas => rows.response_schemas.first().map(schema),
        Kind::PromptTemplates => rows.prompt_templates.first().map(template),
        Kind::Models => rows.models.first().map(|row| {
            let mut written = model(row);
            let pins = json!({
                "prompt_template_version": row.prompt_template_version, "response_schema_version": row.response_schema_version,
            });
            if let (Value::Object(members), Value::Object(pins)) = (&mut written, pins) {
                members.extend(pins);
            }
            of(&row.provider, written)
        }),
        Kind::Profiles => rows.profiles.first().map(|row| of(&row.provider, profile(row))),
        Kind::RoutingRules => rows
            .routing_rules
            .first()
            .map(|row| of(&row.provider, routing(row))),
    };
    row.unwrap_or_default()
}

fn schema(row: &SchemaRow) -> Value {
    json!({ "name": row.name, "version": row.version, "strict": row.strict, "schema": row.schema })
}

fn template(row: &TemplateRow) -> Value {
    said(
        json!({ "name": row.name, "purpose": row.purpose, "version": row.version, "body": row.body }),
    )
}

fn routing(row: &RoutingRow) -> Value {
    let on = (!row.fallback_on.is_empty()).then_some(&row.fallback_on);
    said(json!({
        "conditions": row.conditions, "target_model": row.target_model, "fallback_model": row.fallback_model,
        "fallback_provider": row.fallback_provider, "fallback_on": on, "priority": row.priority,
    }))
}

fn put_list(bundle: &mut Map<String, Value>, name: &str, rows: impl Iterator<Item = Value>) {
    bundle.insert(name.to_owned(), rows.collect());
}

/// Without the members that are null.
fn said(mut row: Value) -> Value {
    if let Some(members) = row.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    row
}

fn provider_json(row: &crate::rows::ProviderRow) -> Value {
    said(json!({
        "slug": row.slug, "provider_family": row.provider_family, "name": row.name, "api_base_url": row.api_base_url,
        "conventions": row.conventions, "egress": row.egress, "status": row.status,
    }))
}

/// A credential is written with the auth profile that names it; one that serves
/// several stands with each of them.
fn auth_profile(row: &AuthProfileRow, credentials: &[CredentialRow]) -> Value {
    let named = |one: &&CredentialRow| match &row.credential {
        Some(name) => one.name == *name,
        None => one.is_default,
    };
    let credential = credentials
        .iter()
        .find(named)
        .filter(|one| one.secret_ref.is_some());
    said(json!({
        "profile_key": row.profile_key, "auth_type": row.auth_type, "config": row.config,
        "secret": credential.and_then(|one| one.secret_ref.clone()),
        "endpoint_url": credential.and_then(|one| one.endpoint_url.clone()),
        "is_default": credential.and_then(|one| one.is_default.then_some(true)),
        "rate_limit_per_minute": credential.and_then(|one| one.rate_limit_per_minute),
        "rate_limit_per_day": credential.and_then(|one| one.rate_limit_per_day),
        "max_concurrent_jobs": credential.and_then(|one| one.max_concurrent_jobs),
    }))
}

fn model(row: &ModelRow) -> Value {
    said(json!({
        "model_id": row.model_id, "name": row.name, "display_name": row.display_name, "model_type": row.model_type,
        "is_default": row.is_default, "status": row.status, "prompt_template": row.prompt_template,
        "response_schema": row.response_schema, "capabilities": row.capabilities,
    }))
}

fn profile(row: &ProfileRow) -> Value {
    said(json!({
        "profile_key": row.profile_key, "purpose": row.purpose, "model": row.model, "auth_profile": row.auth_profile,
        "is_active": row.is_active, "transport": row.transport, "response_mapping": row.response_mapping,
        "workflow": row.workflow, crate::openai::MEMBER: row.face,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{parse, read_row};
    use diag::Place;

    #[test]
    fn a_written_bundle_reads_as_the_same_rows() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
        let mut seen = 0;
        for entry in folder.read_dir().unwrap() {
            let Ok(text) = std::fs::read_to_string(entry.unwrap().path().join("bundle.json"))
            else {
                continue;
            };
            let first = parse("first", &text);
            let written = write(&first.rows);
            let second = parse("second", &written.to_string());
            assert!(!second.diagnostics.has_errors(), "{}", second.diagnostics);
            assert_eq!(write(&second.rows), written);
            rows_alone(&first.rows);
            seen += 1;
        }
        assert!(seen >= 3, "only {seen} bundles were found");
    }

    /// Every row reads alone as it is written alone.
    fn rows_alone(rows: &Rows) {
        let mut left = rows.clone();
        for kind in Kind::ALL {
            let mut written = write_row(kind, &left);
            while !written.is_null() {
                let (read, found) = read_row(kind, &written, &Place::default());
                assert!(found.is_empty(), "{}: {found}", kind.as_str());
                assert_eq!(write_row(kind, &read.unwrap()), written);
                match kind {
                    Kind::Providers => drop(left.providers.remove(0)),
                    Kind::AuthProfiles => drop(left.auth_profiles.remove(0)),
                    Kind::ResponseSchemas => drop(left.response_schemas.remove(0)),
                    Kind::PromptTemplates => drop(left.prompt_templates.remove(0)),
                    Kind::Models => drop(left.models.remove(0)),
                    Kind::Profiles => drop(left.profiles.remove(0)),
                    Kind::RoutingRules => drop(left.routing_rules.remove(0)),
                }
                written = write_row(kind, &left);
            }
        }
    }

    #[test]
    fn a_row_alone_says_every_mistake_with_its_place_in_the_callers_body() {
        let at = |kind, value: Value| {
            let (rows, found) = read_row(kind, &value, &Place::default());
            let told = found
                .iter()
                .map(|one| format!("{} {}", one.code, one.place.pointer));
            (rows.is_some(), told.collect::<Vec<_>>())
        };
        let model = json!({ "provider": 7, "model_id": "a-1", "model_type": "video", "is_default": "yes", "model_typ": "x" });
        assert_eq!(
            at(Kind::Models, model),
            (
                true,
                vec![
                    "P102 /provider".into(),
                    "P102 /is_default".into(),
                    "P101 /model_typ".into()
                ]
            )
        );
        assert_eq!(
            at(Kind::Models, json!({})),
            (false, vec!["P103 ".into(); 3])
        );
        assert_eq!(at(Kind::Profiles, json!([])), (false, vec!["P102 ".into()]));
        let secret = json!({ "provider": "acme", "profile_key": "k", "auth_type": "api_key", "secret": "env:K" });
        assert_eq!(
            at(Kind::AuthProfiles, secret),
            (true, vec!["P101 /secret".into()])
        );
    }
}
