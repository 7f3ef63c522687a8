//! The rows of the database as the language reads them, and a bundle's rows as
//! the database takes them.

mod alone;
mod restored;
mod unnamed;

pub(crate) use alone::{
    Row, key, missing, only, put_in, seen_by, set_id, set_owner, source, table, take_out, users,
};
pub(crate) use restored::restored;
pub(crate) use unnamed::{Unnamed, still_used, unnamed};

use diag::Place;
use profile::rows as language;
use store::catalogue as tables;
use time::OffsetDateTime;
use uuid::Uuid;

/// The rows of a snapshot, as `profile` compiles them.
pub(crate) fn to_language(rows: &tables::Rows) -> language::Rows {
    language::Rows {
        language: None,
        providers: rows.providers.iter().map(provider).collect(),
        credentials: rows
            .credentials
            .iter()
            .filter(|row| row.status == "active")
            .map(credential)
            .collect(),
        auth_profiles: rows.auth_profiles.iter().map(auth_profile).collect(),
        models: rows.models.iter().map(model).collect(),
        prompt_templates: rows.prompt_templates.iter().map(template).collect(),
        response_schemas: rows.response_schemas.iter().map(schema).collect(),
        profiles: rows.profiles.iter().map(profile_row).collect(),
        routing_rules: rows.routing_rules.iter().map(routing).collect(),
    }
}

/// A row of a tenant's own says whose it is: rows of other tenants, and the system's, may have its name.
fn at(tenant: Option<Uuid>, table: &str, key: &str) -> Place {
    let source = match tenant {
        Some(tenant) => format!("{table}/{key} of tenant {tenant}"),
        None => format!("{table}/{key}"),
    };
    Place {
        source: Some(source),
        ..Place::default()
    }
}

fn micros(at: Option<OffsetDateTime>) -> i64 {
    at.map_or(0, |at| {
        i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
    })
}

fn provider(row: &tables::ProviderRow) -> language::ProviderRow {
    language::ProviderRow {
        at: at(row.tenant, "ai_providers", &row.slug),
        tenant: row.tenant,
        slug: row.slug.clone(),
        provider_family: row.provider_family.clone().unwrap_or_default(),
        name: row.name.clone().unwrap_or_default(),
        api_base_url: row.api_base_url.clone(),
        conventions: row.conventions.clone(),
        egress: row.egress.clone(),
        status: row.status.clone(),
    }
}

fn credential(row: &tables::CredentialRow) -> language::CredentialRow {
    language::CredentialRow {
        at: at(
            row.tenant,
            "provider_api_credentials",
            &format!("{}/{}", row.provider, row.name),
        ),
        tenant: row.tenant,
        id: row.id,
        provider: row.provider.clone(),
        name: row.name.clone(),
        secret_ref: row.secret_ref.clone(),
        endpoint_url: row.endpoint_url.clone(),
        is_default: row.is_default,
        rate_limit_per_minute: row.rate_limit_per_minute.map(i64::from),
        rate_limit_per_day: row.rate_limit_per_day.map(i64::from),
        max_concurrent_jobs: row.max_concurrent_jobs.map(i64::from),
    }
}

fn auth_profile(row: &tables::AuthProfileRow) -> language::AuthProfileRow {
    language::AuthProfileRow {
        at: at(
            row.tenant,
            "provider_auth_profiles",
            &format!(
                "{}/{}",
                row.provider.as_deref().unwrap_or_default(),
                row.profile_key
            ),
        ),
        tenant: row.tenant,
        provider: row.provider.clone().unwrap_or_default(),
        profile_key: row.profile_key.clone(),
        auth_type: row.auth_type.clone(),
        credential: row.credential.clone(),
        config: row.config.clone(),
    }
}

fn model(row: &tables::ModelRow) -> language::ModelRow {
    language::ModelRow {
        at: at(
            row.tenant,
            "ai_models",
            &format!("{}/{}", row.provider, row.model_id),
        ),
        tenant: row.tenant,
        provider: row.provider.clone(),
        model_id: row.model_id.clone(),
        name: row.name.clone(),
        display_name: row.display_name.clone(),
        model_type: row.model_type.clone(),
        capabilities: row.capabilities.clone(),
        prompt_template: row.prompt_template.clone(),
        prompt_template_version: row.prompt_template_version.map(i64::from),
        response_schema: row.response_schema.clone(),
        response_schema_version: row.response_schema_version.map(i64::from),
        is_default: row.is_default,
        status: row.status.clone(),
    }
}

fn template(row: &tables::TemplateRow) -> language::TemplateRow {
    language::TemplateRow {
        at: at(
            row.tenant,
            "prompt_templates",
            &format!("{}/{}", row.name, row.version),
        ),
        tenant: row.tenant,
        name: row.name.clone(),
        purpose: row.purpose.clone(),
        version: i64::from(row.version),
        body: row.body.clone(),
    }
}

fn schema(row: &tables::SchemaRow) -> language::SchemaRow {
    language::SchemaRow {
        at: at(
            row.tenant,
            "response_schemas",
            &format!("{}/{}", row.name, row.version),
        ),
        tenant: row.tenant,
        name: row.name.clone(),
        version: i64::from(row.version),
        strict: row.strict,
        schema: row.schema.clone(),
    }
}

fn profile_row(row: &tables::ProfileRow) -> language::ProfileRow {
    language::ProfileRow {
        at: at(row.tenant, "model_api_profiles", &profile_name(row)),
        tenant: row.tenant,
        provider: row.provider.clone(),
        model: row.model.clone(),
        profile_key: row.profile_key.clone(),
        purpose: row.purpose.clone(),
        auth_profile: row.auth_profile.clone(),
        transport: row.transport.clone(),
        response_mapping: row.response_mapping.clone(),
        workflow: row.workflow.clone(),
        face: row.face.clone(),
        is_active: row.is_active,
        updated_at_us: micros(row.updated_at),
    }
}

/// Natural key of a profile's row, as places name it.
pub(crate) fn profile_name(row: &tables::ProfileRow) -> String {
    match &row.model {
        Some(model) => format!("{}/{}/{model}", row.provider, row.profile_key),
        None => format!("{}/{}", row.provider, row.profile_key),
    }
}

/// Where a profile's row stands.
pub(crate) fn profile_place(row: &tables::ProfileRow) -> Place {
    at(row.tenant, "model_api_profiles", &profile_name(row))
}

fn routing(row: &tables::RoutingRow) -> language::RoutingRow {
    language::RoutingRow {
        at: at(
            row.tenant,
            "model_routing_rules",
            row.name.as_deref().unwrap_or(&row.target_model),
        ),
        tenant: row.tenant,
        provider: row.provider.clone(),
        conditions: row.conditions.clone(),
        target_model: row.target_model.clone(),
        fallback_model: row.fallback_model.clone(),
        fallback_provider: row
            .fallback_provider
            .clone()
            .filter(|slug| *slug != row.provider),
        fallback_on: row.fallback_on.clone(),
        priority: i64::from(row.priority),
    }
}

/// A bundle's rows, as the database takes them.
pub(crate) fn to_tables(rows: &language::Rows) -> tables::Rows {
    tables::Rows {
        providers: rows.providers.iter().map(put_provider).collect(),
        credentials: rows.credentials.iter().map(put_credential).collect(),
        auth_profiles: rows.auth_profiles.iter().map(put_auth_profile).collect(),
        prompt_templates: rows.prompt_templates.iter().map(put_template).collect(),
        response_schemas: rows.response_schemas.iter().map(put_schema).collect(),
        models: rows.models.iter().map(put_model).collect(),
        profiles: rows.profiles.iter().map(put_profile).collect(),
        routing_rules: rows.routing_rules.iter().map(put_routing).collect(),
        ..tables::Rows::default()
    }
}

fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn object(value: &serde_json::Value) -> serde_json::Value {
    if value.is_null() {
        serde_json::json!({})
    } else {
        value.clone()
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn put_provider(row: &language::ProviderRow) -> tables::ProviderRow {
    tables::ProviderRow {
        slug: row.slug.clone(),
        provider_family: text(&row.provider_family),
        name: text(&row.name),
        api_base_url: row.api_base_url.clone(),
        conventions: object(&row.conventions),
        egress: object(&row.egress),
        status: row.status.clone(),
        ..tables::ProviderRow::default()
    }
}

fn put_credential(row: &language::CredentialRow) -> tables::CredentialRow {
    tables::CredentialRow {
        provider: row.provider.clone(),
        name: row.name.clone(),
        secret_ref: row.secret_ref.clone(),
        endpoint_url: row.endpoint_url.clone(),
        is_default: row.is_default,
        rate_limit_per_minute: row.rate_limit_per_minute.map(small),
        rate_limit_per_day: row.rate_limit_per_day.map(small),
        max_concurrent_jobs: row.max_concurrent_jobs.map(small),
        status: "active".into(),
        ..tables::CredentialRow::default()
    }
}

fn put_auth_profile(row: &language::AuthProfileRow) -> tables::AuthProfileRow {
    tables::AuthProfileRow {
        provider: text(&row.provider),
        profile_key: row.profile_key.clone(),
        auth_type: row.auth_type.clone(),
        credential: row.credential.clone(),
        config: object(&row.config),
        ..tables::AuthProfileRow::default()
    }
}

fn put_template(row: &language::TemplateRow) -> tables::TemplateRow {
    tables::TemplateRow {
        name: row.name.clone(),
        purpose: row.purpose.clone(),
        version: small(row.version),
        body: row.body.clone(),
        ..tables::TemplateRow::default()
    }
}

fn put_schema(row: &language::SchemaRow) -> tables::SchemaRow {
    tables::SchemaRow {
        name: row.name.clone(),
        version: small(row.version),
        strict: row.strict,
        schema: row.schema.clone(),
        ..tables::SchemaRow::default()
    }
}

fn put_model(row: &language::ModelRow) -> tables::ModelRow {
    tables::ModelRow {
        provider: row.provider.clone(),
        model_id: row.model_id.clone(),
        name: row.name.clone(),
        display_name: row.display_name.clone(),
        model_type: row.model_type.clone(),
        capabilities: object(&row.capabilities),
        prompt_template: row.prompt_template.clone(),
        prompt_template_version: row.prompt_template_version.map(small),
        response_schema: row.response_schema.clone(),
        response_schema_version: row.response_schema_version.map(small),
        is_default: row.is_default,
        status: row.status.clone(),
        ..tables::ModelRow::default()
    }
}

fn put_profile(row: &language::ProfileRow) -> tables::ProfileRow {
    tables::ProfileRow {
        provider: row.provider.clone(),
        model: row.model.clone(),
        profile_key: row.profile_key.clone(),
        purpose: row.purpose.clone(),
        auth_profile: row.auth_profile.clone(),
        transport: object(&row.transport),
        response_mapping: object(&row.response_mapping),
        workflow: object(&row.workflow),
        face: object(&row.face),
        is_active: row.is_active,
        ..tables::ProfileRow::default()
    }
}

fn put_routing(row: &language::RoutingRow) -> tables::RoutingRow {
    tables::RoutingRow {
        provider: row.provider.clone(),
        conditions: object(&row.conditions),
        target_model: row.target_model.clone(),
        fallback_model: row.fallback_model.clone(),
        fallback_provider: row.fallback_provider.clone(),
        fallback_on: row.fallback_on.clone(),
        priority: small(row.priority),
        ..tables::RoutingRow::default()
    }
}

/// A provider without a secret has a credential row too: queue, limits and pauses hang on it.
pub(crate) fn add_credentials(bundle: &mut tables::Rows, there: &tables::Rows) {
    for provider in &bundle.providers {
        let has =
            |rows: &[tables::CredentialRow]| rows.iter().any(|row| row.provider == provider.slug);
        if !has(&bundle.credentials) && !has(&there.credentials) {
            bundle.credentials.push(tables::CredentialRow {
                provider: provider.slug.clone(),
                name: "default".into(),
                is_default: true,
                status: "active".into(),
                ..tables::CredentialRow::default()
            });
        }
    }
}
