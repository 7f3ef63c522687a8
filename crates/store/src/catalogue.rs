//! The rows of the profile language: read as one snapshot, with links as
//! natural keys, and applied as one transaction.

mod alone;
mod apply;
mod read;

pub(crate) use alone::is_as_seen;
pub use alone::{IndexFilter, IndexRow, Removed, Table};
pub use apply::{Applied, Apply, Changed, Keep, OfProvider, When};

use crate::{Store, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// The rows of every table, from one snapshot; or a bundle to be applied.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The catalogue's version that the snapshot shows; not read by apply.
    pub version: i64,
    /// `ai_providers`
    pub providers: Vec<ProviderRow>,
    /// `provider_api_credentials`
    pub credentials: Vec<CredentialRow>,
    /// `provider_auth_profiles`
    pub auth_profiles: Vec<AuthProfileRow>,
    /// `prompt_templates`
    pub prompt_templates: Vec<TemplateRow>,
    /// `response_schemas`
    pub response_schemas: Vec<SchemaRow>,
    /// `ai_models`
    pub models: Vec<ModelRow>,
    /// `model_api_profiles`
    pub profiles: Vec<ProfileRow>,
    /// `model_routing_rules`
    pub routing_rules: Vec<RoutingRow>,
    /// `profile_cases`, of a bundle that is applied; empty in a snapshot.
    pub cases: Vec<CaseRow>,
    /// Stored cases of the bundle's profiles that the bundle does not have are removed.
    pub only_these_cases: bool,
    /// A bundle's references take the place of sealed secrets, which stay without it.
    pub unseal: bool,
}

/// A row of `profile_cases`.
#[derive(Debug, Clone, Default)]
pub struct CaseRow {
    /// `ai_providers.slug` of its profile.
    pub provider: String,
    /// `model_api_profiles.profile_key` of its profile.
    pub profile_key: String,
    /// `ai_models.model_id` of its profile; absent: it serves every model.
    pub model: Option<String>,
    /// Natural key within the profile.
    pub name: String,
    /// The text of the case, JSON.
    pub document: String,
}

/// A row of `ai_providers`.
#[derive(Debug, Clone, Default)]
pub struct ProviderRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// Natural key.
    pub slug: String,
    /// The API's family.
    pub provider_family: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// May hold `{{config_…}}`.
    pub api_base_url: String,
    /// As stored.
    pub conventions: Value,
    /// As stored.
    pub egress: Value,
    /// Only `active` ones serve.
    pub status: String,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

/// A row of `provider_api_credentials`.
#[derive(Debug, Clone, Default)]
pub struct CredentialRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// Natural key within the provider.
    pub name: String,
    /// `env:NAME` or `file:/path`.
    pub secret_ref: Option<String>,
    /// The key that its secret is sealed under; absent: it is not sealed. Not read by apply.
    pub sealed_under: Option<String>,
    /// Overrides the base URL.
    pub endpoint_url: Option<String>,
    /// Serves auth profiles that name none.
    pub is_default: bool,
    /// Absent: no limit.
    pub rate_limit_per_minute: Option<i32>,
    /// Absent: no limit.
    pub rate_limit_per_day: Option<i32>,
    /// Absent: no limit.
    pub max_concurrent_jobs: Option<i32>,
    /// Only `active` ones serve.
    pub status: String,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

/// A row of `provider_auth_profiles`.
#[derive(Debug, Clone, Default)]
pub struct AuthProfileRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: Option<String>,
    /// Natural key within the provider.
    pub profile_key: String,
    /// As stored.
    pub auth_type: String,
    /// `provider_api_credentials.name`; absent: the default one.
    pub credential: Option<String>,
    /// As stored.
    pub config: Value,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

/// A row of `prompt_templates`.
#[derive(Debug, Clone, Default)]
pub struct TemplateRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// Natural key, with the version.
    pub name: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// The latest serves.
    pub version: i32,
    /// As stored.
    pub body: Value,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

/// A row of `response_schemas`.
#[derive(Debug, Clone, Default)]
pub struct SchemaRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// Natural key, with the version.
    pub name: String,
    /// The latest serves.
    pub version: i32,
    /// A mismatch fails the run.
    pub strict: bool,
    /// As stored.
    pub schema: Value,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

/// A row of `ai_models`.
#[derive(Debug, Clone, Default)]
pub struct ModelRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// Natural key within the provider.
    pub model_id: String,
    /// For people.
    pub name: Option<String>,
    /// For people.
    pub display_name: Option<String>,
    /// A purpose; `text` means `chat`.
    pub model_type: String,
    /// As stored.
    pub capabilities: Value,
    /// `prompt_templates.name`
    pub prompt_template: Option<String>,
    /// Of the row that is named; absent in a bundle: the latest.
    pub prompt_template_version: Option<i32>,
    /// `response_schemas.name`
    pub response_schema: Option<String>,
    /// Of the row that is named; absent in a bundle: the latest.
    pub response_schema_version: Option<i32>,
    /// Serves calls that name no model.
    pub is_default: bool,
    /// Only `active` ones serve.
    pub status: String,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

/// A row of `model_api_profiles`.
#[derive(Debug, Clone, Default)]
pub struct ProfileRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// `ai_models.model_id`; absent: every model.
    pub model: Option<String>,
    /// Natural key with provider and model.
    pub profile_key: String,
    /// For people.
    pub name: Option<String>,
    /// What it makes.
    pub purpose: String,
    /// `provider_auth_profiles.profile_key`
    pub auth_profile: Option<String>,
    /// As stored.
    pub transport: Value,
    /// As stored.
    pub response_mapping: Value,
    /// As stored.
    pub workflow: Value,
    /// What the compatible face of the API calls its options and inputs, as stored.
    pub face: Value,
    /// Only active ones are chosen.
    pub is_active: bool,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

/// A row of `model_routing_rules`.
#[derive(Debug, Clone, Default)]
pub struct RoutingRow {
    /// Absent in a bundle.
    pub id: Option<Uuid>,
    /// Absent: the system tenant. Not read by apply.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug` of the target.
    pub provider: String,
    /// For people.
    pub name: Option<String>,
    /// The highest is tried first.
    pub priority: i32,
    /// As stored.
    pub conditions: Value,
    /// `ai_models.model_id`
    pub target_model: String,
    /// `ai_models.model_id`
    pub fallback_model: Option<String>,
    /// `ai_providers.slug` of the fallback; absent in a bundle: the target's.
    pub fallback_provider: Option<String>,
    /// Error classes; empty: the page's own list.
    pub fallback_on: Vec<String>,
    /// Last change; absent in a bundle.
    pub updated_at: Option<OffsetDateTime>,
}

impl Store {
    /// The catalogue's version: it moves exactly with the rows it announces.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn catalogue_version(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("select v from catalogue_version")
            .fetch_one(&self.pool)
            .await?)
    }
}
