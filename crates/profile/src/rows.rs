//! Rows as they are written: one struct per table of the language, links by
//! natural key, JSON columns unread. Nothing here is checked; `check` does that.

use diag::Place;
use serde_json::Value;
use uuid::Uuid;

/// Every row of a bundle, or of the tables of a database.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Language level of the bundle; absent in a database.
    pub language: Option<u32>,
    /// `ai_providers`
    pub providers: Vec<ProviderRow>,
    /// `provider_api_credentials`
    pub credentials: Vec<CredentialRow>,
    /// `provider_auth_profiles`
    pub auth_profiles: Vec<AuthProfileRow>,
    /// `ai_models`
    pub models: Vec<ModelRow>,
    /// `prompt_templates`
    pub prompt_templates: Vec<TemplateRow>,
    /// `response_schemas`
    pub response_schemas: Vec<SchemaRow>,
    /// `model_api_profiles`
    pub profiles: Vec<ProfileRow>,
    /// `model_routing_rules`
    pub routing_rules: Vec<RoutingRow>,
}

/// A row of `ai_providers`.
#[derive(Debug, Clone, Default)]
pub struct ProviderRow {
    /// Where the row stands: `bundle.json` and a pointer, or `table/key`.
    pub at: Place,
    /// Absent: the system tenant, which every tenant inherits from.
    pub tenant: Option<Uuid>,
    /// Natural key.
    pub slug: String,
    /// The API's family.
    pub provider_family: String,
    /// For people.
    pub name: String,
    /// May hold `{{config_…}}`.
    pub api_base_url: String,
    /// Section 4; null when absent.
    pub conventions: Value,
    /// Section 9; null when absent.
    pub egress: Value,
    /// `active` or another word; only active providers serve.
    pub status: String,
}

/// A row of `provider_api_credentials`; in a bundle, the `secret` of an auth profile.
#[derive(Debug, Clone, Default)]
pub struct CredentialRow {
    /// Where the row stands.
    pub at: Place,
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// Row id; absent in a bundle.
    pub id: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// Natural key, unique within the provider. In a bundle the auth profile's key.
    pub name: String,
    /// `env:NAME` or `file:/path`; absent: it is sealed, or there is none.
    pub secret_ref: Option<String>,
    /// Overrides the provider's base URL.
    pub endpoint_url: Option<String>,
    /// Serves auth profiles that name none.
    pub is_default: bool,
    /// Requests a minute; absent: no limit.
    pub rate_limit_per_minute: Option<i64>,
    /// Requests a day; absent: no limit.
    pub rate_limit_per_day: Option<i64>,
    /// Jobs in flight; absent: no limit.
    pub max_concurrent_jobs: Option<i64>,
}

/// A row of `provider_auth_profiles`.
#[derive(Debug, Clone, Default)]
pub struct AuthProfileRow {
    /// Where the row stands.
    pub at: Place,
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// Natural key within the provider.
    pub profile_key: String,
    /// Section 8.
    pub auth_type: String,
    /// `provider_api_credentials` by name; absent: the default one.
    pub credential: Option<String>,
    /// Section 8; null when absent.
    pub config: Value,
}

/// A row of `ai_models`.
#[derive(Debug, Clone, Default)]
pub struct ModelRow {
    /// Where the row stands.
    pub at: Place,
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// The API's id; natural key within the provider.
    pub model_id: String,
    /// For people.
    pub name: Option<String>,
    /// For people.
    pub display_name: Option<String>,
    /// A purpose; `text` means `chat`.
    pub model_type: String,
    /// Section 3; null when absent.
    pub capabilities: Value,
    /// `prompt_templates.name`
    pub prompt_template: Option<String>,
    /// `prompt_templates.version` of the row that is named; absent: the latest.
    pub prompt_template_version: Option<i64>,
    /// `response_schemas.name`
    pub response_schema: Option<String>,
    /// `response_schemas.version` of the row that is named; absent: the latest.
    pub response_schema_version: Option<i64>,
    /// Serves calls of its type that name no model.
    pub is_default: bool,
    /// `active` or another word; only active models serve.
    pub status: String,
}

/// A row of `prompt_templates`.
#[derive(Debug, Clone, Default)]
pub struct TemplateRow {
    /// Where the row stands.
    pub at: Place,
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// Natural key.
    pub name: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// The latest serves.
    pub version: i64,
    /// Merged over the transport's body.
    pub body: Value,
}

/// A row of `response_schemas`.
#[derive(Debug, Clone, Default)]
pub struct SchemaRow {
    /// Where the row stands.
    pub at: Place,
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// Natural key.
    pub name: String,
    /// The latest serves.
    pub version: i64,
    /// A mismatch fails the run.
    pub strict: bool,
    /// JSON Schema 2020-12.
    pub schema: Value,
}

/// A row of `model_api_profiles`.
#[derive(Debug, Clone, Default)]
pub struct ProfileRow {
    /// Where the row stands.
    pub at: Place,
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// `ai_models.model_id`; absent: every model of the provider.
    pub model: Option<String>,
    /// Natural key with provider and model.
    pub profile_key: String,
    /// What it makes.
    pub purpose: String,
    /// `provider_auth_profiles.profile_key`; absent: nothing is added.
    pub auth_profile: Option<String>,
    /// Section 4; null when absent.
    pub transport: Value,
    /// Section 5; null when absent.
    pub response_mapping: Value,
    /// Section 6; null when absent.
    pub workflow: Value,
    /// As [`crate::openai::ApiNames`] reads it; null when absent.
    pub face: Value,
    /// Only active profiles are chosen.
    pub is_active: bool,
    /// Microseconds since 1970; 0 in a bundle. The latest is chosen.
    pub updated_at_us: i64,
}

/// A row of `model_routing_rules`.
#[derive(Debug, Clone, Default)]
pub struct RoutingRow {
    /// Where the row stands.
    pub at: Place,
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug` of the target.
    pub provider: String,
    /// Equalities and bounds over facts of the call.
    pub conditions: Value,
    /// `ai_models.model_id`
    pub target_model: String,
    /// `ai_models.model_id`
    pub fallback_model: Option<String>,
    /// `ai_providers.slug` of the fallback; absent: the target's.
    pub fallback_provider: Option<String>,
    /// Classes after which the fallback runs; empty: the page's own list.
    pub fallback_on: Vec<String>,
    /// The highest is tried first.
    pub priority: i64,
}

/// The level of the profile language that this build knows.
pub const LANGUAGE: u32 = 1;

/// The kinds of rows that are read and written one by one, by the names that a bundle has for their lists. A credential is
/// none of them: its secret is never read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `ai_providers`
    Providers,
    /// `provider_auth_profiles`
    AuthProfiles,
    /// `response_schemas`
    ResponseSchemas,
    /// `prompt_templates`
    PromptTemplates,
    /// `ai_models`
    Models,
    /// `model_api_profiles`
    Profiles,
    /// `model_routing_rules`
    RoutingRules,
}

impl Kind {
    /// Every kind, each before those that link to it.
    pub const ALL: [Self; 7] = [
        Self::Providers,
        Self::AuthProfiles,
        Self::ResponseSchemas,
        Self::PromptTemplates,
        Self::Models,
        Self::Profiles,
        Self::RoutingRules,
    ];

    /// Its name in a bundle; of the one provider of a bundle, in the plural.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Providers => "providers",
            Self::AuthProfiles => "auth_profiles",
            Self::ResponseSchemas => "response_schemas",
            Self::PromptTemplates => "prompt_templates",
            Self::Models => "models",
            Self::Profiles => "profiles",
            Self::RoutingRules => "routing_rules",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The members that name a row within its tenant.
    #[must_use]
    pub fn key(self) -> &'static [&'static str] {
        match self {
            Self::Providers => &["slug"],
            Self::AuthProfiles => &["provider", "profile_key"],
            Self::ResponseSchemas | Self::PromptTemplates => &["name", "version"],
            Self::Models => &["provider", "model_id"],
            Self::Profiles => &["provider", "profile_key", "model"],
            // Of a rule nothing is its name: who knows its id may change all of it.
            Self::RoutingRules => &[],
        }
    }
}
