//! Rows, bundles and credentials.

use super::NewRun;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The kinds of rows of the profile language.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum RowKind {
    /// Who is called.
    Providers,
    /// How a call proves who calls.
    AuthProfiles,
    /// What an output must look like.
    ResponseSchemas,
    /// What is merged over a body.
    PromptTemplates,
    /// What may be called.
    Models,
    /// How it is called.
    Profiles,
    /// What serves a call that names no model.
    RoutingRules,
}

/// A bundle, alone or with its cases.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BundleSent {
    /// With its recorded cases.
    With(BundleWithCases),
    /// As a file has it.
    #[schema(value_type = Object)]
    Alone(Value),
}

/// A bundle with its recorded cases.
#[derive(Serialize, ToSchema)]
pub(crate) struct BundleWithCases {
    /// As a file has it.
    #[schema(value_type = Object)]
    bundle: Value,
    /// By name; each replaces the stored one of its name.
    #[schema(value_type = Option<Object>)]
    cases: Option<Value>,
    /// Stored cases of its profiles that are not among them go.
    only_these_cases: Option<bool>,
}

/// A bundle that is not applied, and a call.
#[derive(ToSchema)]
pub(crate) struct BundleToPlan {
    /// As a file has it.
    #[schema(value_type = Object)]
    bundle: Value,
    /// As a run would be made.
    call: NewRun,
}

/// A profile that is not saved.
#[derive(ToSchema)]
pub(crate) struct ProfileToTest {
    /// In place of the saved one.
    #[schema(value_type = Option<Object>)]
    row: Option<Value>,
}

/// A profile, saved or not, and a call.
#[derive(ToSchema)]
pub(crate) struct ProfileToPlan {
    /// In place of the saved one.
    #[schema(value_type = Option<Object>)]
    row: Option<Value>,
    /// As a run would be made.
    call: NewRun,
}

/// What a credential is to be.
#[derive(ToSchema)]
pub(crate) struct CredentialToBe {
    /// Slug of its provider.
    provider: String,
    /// Its name within the provider; `default` without it. A credential keeps its name.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// A text, or an object of named parts: sealed, and never shown. A change without it keeps what is there.
    #[schema(value_type = Option<SecretToBe>, write_only)]
    secret: Option<Value>,
    /// `env:NAME` or `file:/path`, in place of a secret: an operator's.
    #[schema(pattern = "^(env:[A-Za-z0-9_]+|file:.+)$")]
    reference: Option<String>,
    /// Another address of the same API.
    endpoint_url: Option<String>,
    /// Whether it serves auth profiles that name none; the first of a provider does.
    is_default: Option<bool>,
    /// Requests a minute; no limit without it.
    #[schema(minimum = 1)]
    rate_limit_per_minute: Option<i32>,
    /// Requests a day; no limit without it.
    #[schema(minimum = 1)]
    rate_limit_per_day: Option<i32>,
    /// Jobs in flight; no limit without it.
    #[schema(minimum = 1)]
    max_concurrent_jobs: Option<i32>,
    /// `active`, `inactive` or `disabled`; only the first serves.
    status: Option<String>,
}

/// A secret.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum SecretToBe {
    /// One text.
    Text(String),
    /// Named parts.
    Parts(BTreeMap<String, String>),
}
