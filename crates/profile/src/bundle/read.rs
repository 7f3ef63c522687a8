//! The tables of a bundle, by natural key.

use crate::check::walk::{Fields, Sink};
use crate::check::{bounds, names, secret_ref};
use crate::rows::{
    AuthProfileRow, CredentialRow, Kind, ModelRow, ProfileRow, ProviderRow, RoutingRow, Rows,
    SchemaRow, TemplateRow,
};
use diag::{Code, Place};
use serde_json::Value;

/// The level of the language that this build knows.
pub(super) use crate::rows::LANGUAGE;

/// Reads every table; goes on behind each mistake.
pub(super) fn rows(value: &Value, at: &Place, sink: &Sink) -> Rows {
    let mut rows = Rows::default();
    let Some(root) = Fields::open(value, at, sink) else {
        return rows;
    };
    // For editors alone: no row has it.
    root.text("$schema");
    rows.language = language(&root, sink);
    let Some(provider) = provider(&root, sink) else {
        root.skip(TABLES);
        root.finish();
        return rows;
    };
    let slug = provider.slug.clone();
    rows.providers.push(provider);
    let reader = Reader { slug, sink };
    for_rows(&root, "auth_profiles", sink, |row| {
        reader.auth_profile(&row, &mut rows);
        row.finish();
    });
    for_rows(&root, "response_schemas", sink, |row| {
        rows.response_schemas.extend(schema(&row));
        row.finish();
    });
    for_rows(&root, "prompt_templates", sink, |row| {
        rows.prompt_templates.extend(template(&row));
        row.finish();
    });
    for_rows(&root, "models", sink, |row| {
        rows.models.extend(reader.model(&row));
        row.finish();
    });
    for_rows(&root, "profiles", sink, |row| {
        family(&row, &rows, sink);
        rows.profiles.extend(reader.profile(&row));
        row.finish();
    });
    for_rows(&root, "routing_rules", sink, |row| {
        rows.routing_rules.extend(reader.routing(&row));
        row.finish();
    });
    root.finish();
    rows
}

const TABLES: &[&str] = &[
    "auth_profiles",
    "response_schemas",
    "prompt_templates",
    "models",
    "profiles",
    "routing_rules",
];

fn language(root: &Fields<'_>, sink: &Sink) -> Option<u32> {
    if root.raw("language").is_none() {
        root.missing("language");
        return None;
    }
    let level = root.whole("language")?;
    if level == 0 || level > u64::from(LANGUAGE) {
        sink.error(
            Code::P112,
            &root.place("language"),
            format!("the language level {level} is not known to this build"),
            format!("this build knows levels 1 to {LANGUAGE}"),
        );
    }
    u32::try_from(level).ok()
}

fn for_rows<'a>(
    root: &Fields<'a>,
    table: &'static str,
    sink: &'a Sink,
    mut read: impl FnMut(Fields<'a>),
) {
    let at = root.place(table);
    for (i, row) in root.list(table).unwrap_or_default().iter().enumerate() {
        let at = at.child(i);
        bounds::row_size(row, &at, sink);
        match Fields::open(row, &at, sink) {
            Some(fields) => read(fields),
            None if row.is_null() => {
                crate::check::walk::wrong_type(sink, &at, "an object", row);
            }
            None => {}
        }
    }
}

/// One row that stands alone.
pub(super) fn row(kind: Kind, value: &Value, at: &Place, sink: &Sink) -> Option<Rows> {
    bounds::row_size(value, at, sink);
    let row = Fields::open(value, at, sink)?;
    let mut rows = Rows::default();
    let reader = || {
        let slug = row.required_text("provider").unwrap_or_default().to_owned();
        Reader { slug, sink }
    };
    let read = match kind {
        Kind::Providers => provider_row(&row, sink).map(|one| rows.providers.push(one)),
        Kind::AuthProfiles => reader()
            .auth_profile_row(&row)
            .map(|one| rows.auth_profiles.push(one)),
        Kind::ResponseSchemas => schema(&row).map(|one| rows.response_schemas.push(one)),
        Kind::PromptTemplates => template(&row).map(|one| rows.prompt_templates.push(one)),
        Kind::Models => reader().pinned_model(&row).map(|one| rows.models.push(one)),
        Kind::Profiles => reader().profile(&row).map(|one| rows.profiles.push(one)),
        Kind::RoutingRules => reader()
            .routing(&row)
            .map(|one| rows.routing_rules.push(one)),
    };
    row.finish();
    read.map(|()| rows)
}

fn provider(root: &Fields<'_>, sink: &Sink) -> Option<ProviderRow> {
    let Some(value) = root.raw("provider") else {
        root.missing("provider");
        return None;
    };
    bounds::row_size(value, &root.place("provider"), sink);
    let row = root.fields("provider")?;
    let provider = provider_row(&row, sink);
    row.finish();
    provider
}

/// A bundle goes on without the members that it lacks, so that all its mistakes are found.
fn provider_row(row: &Fields<'_>, sink: &Sink) -> Option<ProviderRow> {
    let slug = row.required_text("slug").unwrap_or_default().to_owned();
    if row.raw("slug").is_some_and(Value::is_string) {
        names::slug(&slug, &row.place("slug"), sink);
    }
    Some(ProviderRow {
        at: row.at().clone(),
        tenant: None,
        provider_family: row.text("provider_family").unwrap_or(&slug).to_owned(),
        name: row.text("name").unwrap_or(&slug).to_owned(),
        api_base_url: row
            .required_text("api_base_url")
            .unwrap_or_default()
            .to_owned(),
        conventions: row.raw("conventions").cloned().unwrap_or_default(),
        egress: row.raw("egress").cloned().unwrap_or_default(),
        status: row.text("status").unwrap_or("active").to_owned(),
        slug,
    })
}

fn schema(row: &Fields<'_>) -> Option<SchemaRow> {
    let name = row.required_text("name");
    let version = row.whole("version");
    let strict = row.flag("strict");
    if row.raw("schema").is_none() {
        row.missing("schema");
    }
    Some(SchemaRow {
        at: row.at().clone(),
        tenant: None,
        name: name?.to_owned(),
        version: version.and_then(|v| i64::try_from(v).ok()).unwrap_or(1),
        strict: strict.unwrap_or(false),
        schema: row.raw("schema").cloned().unwrap_or_default(),
    })
}

fn template(row: &Fields<'_>) -> Option<TemplateRow> {
    let name = row.required_text("name");
    let purpose = row.text("purpose");
    let version = row.whole("version");
    if row.raw("body").is_none() {
        row.missing("body");
    }
    Some(TemplateRow {
        at: row.at().clone(),
        tenant: None,
        name: name?.to_owned(),
        purpose: purpose.map(str::to_owned),
        version: version.and_then(|v| i64::try_from(v).ok()).unwrap_or(1),
        body: row.raw("body").cloned().unwrap_or_default(),
    })
}

/// Reads the rows that belong to the provider.
struct Reader<'a> {
    slug: String,
    sink: &'a Sink,
}

impl Reader<'_> {
    fn routing(&self, row: &Fields<'_>) -> Option<RoutingRow> {
        let target = row.required_text("target_model");
        let fallback = row.text("fallback_model");
        let elsewhere = row.text("fallback_provider");
        let on = row.texts("fallback_on");
        if fallback.is_none() && (elsewhere.is_some() || on.is_some()) {
            row.missing("fallback_model");
        }
        let priority = row.raw("priority").and_then(Value::as_i64);
        if priority.is_none() && row.raw("priority").is_some() {
            row.whole("priority");
        }
        let texts = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        Some(RoutingRow {
            at: row.at().clone(),
            tenant: None,
            provider: self.slug.clone(),
            conditions: row.raw("conditions").cloned().unwrap_or_default(),
            target_model: target?.to_owned(),
            fallback_model: fallback.map(str::to_owned),
            fallback_provider: elsewhere.map(str::to_owned),
            fallback_on: on.map(texts).unwrap_or_default(),
            priority: priority.unwrap_or(0),
        })
    }

    fn auth_profile(&self, row: &Fields<'_>, rows: &mut Rows) {
        let key = row.required_text("profile_key");
        let auth_type = row.required_text("auth_type");
        let secret = row.text("secret");
        let config = row.raw("config").cloned().unwrap_or_default();
        let credential = self.credential(row, key.unwrap_or_default(), secret);
        let named = credential.as_ref().map(|one| one.name.clone());
        rows.credentials.extend(credential);
        let (Some(key), Some(auth_type)) = (key, auth_type) else {
            return;
        };
        names::unique(
            rows.auth_profiles
                .iter()
                .map(|one| one.profile_key.as_str()),
            key,
            &row.place("profile_key"),
            self.sink,
        );
        rows.auth_profiles.push(AuthProfileRow {
            at: row.at().clone(),
            tenant: None,
            provider: self.slug.clone(),
            profile_key: key.to_owned(),
            auth_type: auth_type.to_owned(),
            credential: named,
            config,
        });
    }

    /// An auth profile that names its credential.
    fn auth_profile_row(&self, row: &Fields<'_>) -> Option<AuthProfileRow> {
        let key = row.required_text("profile_key");
        let auth_type = row.required_text("auth_type");
        row.elsewhere(
            &["secret"],
            "secrets are a credential's: name it here as `credential`;",
        );
        Some(AuthProfileRow {
            at: row.at().clone(),
            tenant: None,
            provider: self.slug.clone(),
            credential: row.text("credential").map(str::to_owned),
            config: row.raw("config").cloned().unwrap_or_default(),
            profile_key: key?.to_owned(),
            auth_type: auth_type?.to_owned(),
        })
    }

    /// A model that says which versions its template and schema are of.
    fn pinned_model(&self, row: &Fields<'_>) -> Option<ModelRow> {
        let version = |name| row.whole(name).and_then(|n| i64::try_from(n).ok());
        let (template, schema) = (
            version("prompt_template_version"),
            version("response_schema_version"),
        );
        Some(ModelRow {
            prompt_template_version: template,
            response_schema_version: schema,
            ..self.model(row)?
        })
    }

    /// The credential that a `secret` makes, named by its reference: two auth
    /// profiles of one reference share one credential, and its limits.
    fn credential(
        &self,
        row: &Fields<'_>,
        key: &str,
        secret: Option<&str>,
    ) -> Option<CredentialRow> {
        let limit = |name| row.whole(name).and_then(|n| i64::try_from(n).ok());
        let credential = CredentialRow {
            at: row.at().clone(),
            tenant: None,
            id: None,
            provider: self.slug.clone(),
            name: key.to_owned(),
            secret_ref: secret.map(str::to_owned),
            endpoint_url: row.text("endpoint_url").map(str::to_owned),
            is_default: row.flag("is_default").unwrap_or(false),
            rate_limit_per_minute: limit("rate_limit_per_minute"),
            rate_limit_per_day: limit("rate_limit_per_day"),
            max_concurrent_jobs: limit("max_concurrent_jobs"),
        };
        if let Some(secret) = secret {
            secret_ref(secret, &row.place("secret"), self.sink);
        }
        secret.is_some().then_some(credential)
    }

    fn model(&self, row: &Fields<'_>) -> Option<ModelRow> {
        let id = row.required_text("model_id");
        let model_type = row.required_text("model_type");
        let text = |name| row.text(name).map(str::to_owned);
        let model = ModelRow {
            at: row.at().clone(),
            tenant: None,
            provider: self.slug.clone(),
            model_id: id.unwrap_or_default().to_owned(),
            name: text("name"),
            display_name: text("display_name"),
            model_type: model_type.unwrap_or_default().to_owned(),
            capabilities: row.raw("capabilities").cloned().unwrap_or_default(),
            prompt_template: text("prompt_template"),
            prompt_template_version: None,
            response_schema: text("response_schema"),
            response_schema_version: None,
            is_default: row.flag("is_default").unwrap_or(false),
            status: text("status").unwrap_or_else(|| "active".to_owned()),
        };
        (id.is_some() && model_type.is_some()).then_some(model)
    }

    fn profile(&self, row: &Fields<'_>) -> Option<ProfileRow> {
        let key = row.required_text("profile_key");
        let purpose = row.required_text("purpose");
        if row.raw("transport").is_none() {
            row.missing("transport");
        }
        let text = |name| row.text(name).map(str::to_owned);
        let json = |name| row.raw(name).cloned().unwrap_or_default();
        let profile = ProfileRow {
            at: row.at().clone(),
            tenant: None,
            provider: self.slug.clone(),
            model: text("model"),
            profile_key: key.unwrap_or_default().to_owned(),
            purpose: purpose.unwrap_or_default().to_owned(),
            auth_profile: text("auth_profile"),
            transport: json("transport"),
            response_mapping: json("response_mapping"),
            workflow: json("workflow"),
            face: json(crate::openai::MEMBER),
            is_active: row.flag("is_active").unwrap_or(true),
            updated_at_us: 0,
        };
        (key.is_some() && purpose.is_some()).then_some(profile)
    }
}

/// A profile may repeat its provider's family, and then it must be the same.
fn family(row: &Fields<'_>, rows: &Rows, sink: &Sink) {
    let Some(family) = row.text("provider_family") else {
        return;
    };
    let own = rows.providers.first().map(|p| p.provider_family.as_str());
    if own.is_some_and(|own| own != family) {
        sink.error(
            Code::P110,
            &row.place("provider_family"),
            format!("`{family}` is not the family of the bundle's provider"),
            format!("write `{}`, or leave it out", own.unwrap_or_default()),
        );
    }
}
