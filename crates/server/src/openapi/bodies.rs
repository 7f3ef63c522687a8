//! Bodies that are read or written by hand, as the document describes them. A test holds the members to those that are read.
#![expect(
    dead_code,
    reason = "described, and never made: bodies are read member by member"
)]

mod rows;

pub(crate) use rows::*;

use runtime::{Cost, ModelCard, ModelView, Role};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// One of a stream, as it is written by the lines of <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
#[derive(ToSchema)]
pub(crate) struct ServerSentEvent {
    /// What it is; a message without it.
    event: Option<String>,
    /// JSON, but for the last word of some streams.
    data: String,
    /// To resume behind it.
    id: Option<String>,
}

/// A run to be made. What is left out is chosen by the routing rules and the purpose's default model.
#[derive(ToSchema)]
pub(crate) struct NewRun {
    /// What shall be made: `video`, `image`, `chat`, …
    purpose: String,
    /// Id of the model in its provider's API.
    model: Option<String>,
    /// Short name of the provider.
    provider: Option<String>,
    /// Key of the profile.
    profile_key: Option<String>,
    /// For the routing rules.
    feature: Option<String>,
    /// The text the job is made from.
    prompt: Option<String>,
    /// A conversation, the oldest first.
    messages: Option<Vec<Message>>,
    /// Options by the names in the model's capabilities.
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
    /// Media by the names in the model's capabilities, each a list, or one alone.
    inputs: Option<BTreeMap<String, Media>>,
    /// Values for the templates of the profile.
    #[schema(value_type = Option<Object>)]
    context: Option<Value>,
    /// For the routing rules and templates.
    language: Option<String>,
    /// At most so many tokens.
    #[schema(minimum = 0)]
    max_tokens: Option<u64>,
    /// For templates.
    short_history: Option<String>,
    /// For templates.
    long_summary: Option<String>,
    /// Not started by then: the run fails, and nothing is spent. A day from now without it.
    start_by: Option<OffsetDateTime>,
    /// The highest goes first within its tenant.
    #[schema(minimum = -32768, maximum = 32767)]
    priority: Option<i32>,
    /// What becomes of the call over a limit of the tenant; as the tenant has it without this.
    over_limit: Option<OverLimit>,
    /// Your own values: shown with the run, and facts for the routing rules.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Who is told of the run's end, signed.
    callback: Option<Callback>,
    /// Take the result of the same request where there is one, and keep this one for the next; as the tenant has it without this.
    cache: Option<bool>,
}

/// What becomes of a call over a limit.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum OverLimit {
    /// 429.
    Refuse,
    /// It waits.
    Queue,
}

/// One message of a conversation.
#[derive(ToSchema)]
pub(crate) struct Message {
    /// `system`, `user`, `assistant`, …
    role: String,
    /// Its text.
    content: String,
}

/// One medium, or a list of media.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Media {
    /// Several.
    List(Vec<Medium>),
    /// One alone.
    One(Medium),
}

/// A medium, in exactly one of these ways.
#[derive(Serialize, ToSchema)]
pub(crate) struct Medium {
    /// Of an upload.
    id: Option<Uuid>,
    /// An address, fetched once, through the egress guard.
    url: Option<String>,
    /// RFC 2397.
    data_url: Option<String>,
    /// The provider's own reference; nothing is fetched.
    handle: Option<String>,
}

/// Who is told of a run's end.
#[derive(ToSchema)]
pub(crate) struct Callback {
    /// Public, and `https`.
    url: String,
    /// `run.succeeded`, …; all but progress without it.
    events: Option<Vec<String>>,
}

/// How a run is made once more.
#[derive(ToSchema)]
pub(crate) struct RetryRun {
    /// Both runs may be paid for, and that is accepted.
    accept_duplicate: Option<bool>,
}

/// How a webhook secret is changed.
#[derive(ToSchema)]
pub(crate) struct RotateSecret {
    /// How long the old one signs beside the new one; a day without it.
    #[schema(minimum = 0, maximum = 2_592_000_000_u64)]
    overlap_ms: Option<u64>,
}

/// Who is to be sent a test.
#[derive(ToSchema)]
pub(crate) struct TestWebhook {
    /// A public address with https.
    url: String,
}

/// What became of a submit.
#[derive(ToSchema)]
pub(crate) struct ResolveRun {
    /// What was found out.
    r#as: Outcome,
    /// With `accepted`: the provider's id of the job.
    provider_job_id: Option<String>,
    /// How it was found out, in 1 to 500 characters.
    reason: String,
}

/// What was found out about a submit.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The provider has the job.
    Accepted,
    /// It does not have it.
    NotAccepted,
    /// Nobody will find out.
    Failed,
}

/// Why something is done.
#[derive(ToSchema)]
pub(crate) struct Reason {
    /// For whoever looks later, in 1 to 500 characters.
    reason: String,
}

/// What is to start no submits.
#[derive(ToSchema)]
pub(crate) struct NewPause {
    /// What kind it is.
    scope: PausedKind,
    /// The provider's slug, of that scope.
    provider: Option<String>,
    /// Its id, or `provider/name`, of that scope.
    credential: Option<String>,
    /// Its id or slug, of that scope.
    tenant: Option<String>,
    /// For whoever looks later, in 1 to 500 characters.
    reason: String,
}

/// What is to start submits again.
#[derive(ToSchema)]
pub(crate) struct PausedPart {
    /// What kind it is.
    scope: PausedKind,
    /// The provider's slug, of that scope.
    provider: Option<String>,
    /// Its id, or `provider/name`, of that scope.
    credential: Option<String>,
    /// Its id or slug, of that scope.
    tenant: Option<String>,
}

/// What can be paused.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum PausedKind {
    /// Everything.
    All,
    /// Every submit to a provider.
    Provider,
    /// Every submit with a credential.
    Credential,
    /// Every run of a tenant.
    Tenant,
}

/// The limits of a tenant. What is left out is no limit.
#[derive(ToSchema)]
pub(crate) struct NewLimits {
    /// What becomes of a call over a limit that does not say; `refuse` without it.
    over_limit: Option<OverLimit>,
    /// Runs that have not ended; of those that wait in the queue, runs at providers.
    runs_in_flight: Option<i32>,
    /// Runs that wait.
    runs_queued: Option<i32>,
    /// Runs made in a day (UTC).
    runs_per_day: Option<i32>,
    /// Money in a month (UTC), as a decimal.
    spend_per_month: Option<String>,
    /// ISO 4217; `USD` without it.
    currency: Option<String>,
}

/// Whether a tenant's calls are served from its result cache.
#[derive(ToSchema)]
pub(crate) struct CacheChoice {
    /// For calls that do not say.
    on: bool,
}

/// A file for calls to name.
#[derive(ToSchema)]
pub(crate) struct NewInput {
    /// The file, with its `filename` and its `Content-Type`; 256 MiB at most, unless the server says otherwise.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// How long a link is good.
#[derive(ToSchema)]
pub(crate) struct NewLink {
    /// An hour without it.
    #[schema(minimum = 1000, maximum = 3_600_000)]
    expires_in_ms: Option<u64>,
}

/// What a call would do.
#[derive(ToSchema)]
pub(crate) struct Plan {
    /// What would serve it.
    model: ModelView,
    /// Every request in order, secrets masked, each with an equivalent `curl`.
    #[schema(value_type = Vec<Object>)]
    steps: Vec<Value>,
    /// By the model's price list.
    cost: Option<Cost>,
}

/// The capability matrix.
#[derive(ToSchema)]
pub(crate) struct Models {
    /// By provider and name.
    models: Vec<ModelCard>,
}

/// One model, as each provider that has it serves it.
#[derive(ToSchema)]
pub(crate) struct ModelServed {
    /// Its id.
    model: String,
    /// With the JSON Schema of its params and inputs.
    served: Vec<ModelCard>,
}

/// An API key to be made.
#[derive(ToSchema)]
pub(crate) struct NewKey {
    /// What it may do.
    role: Role,
    /// For people.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// Id or slug; your own without it. Another one's is an operator's to give.
    tenant: Option<String>,
    /// Good until then; until it is revoked without it.
    expires_at: Option<OffsetDateTime>,
}

/// A tenant to be made.
#[derive(ToSchema)]
pub(crate) struct NewTenant {
    /// Its name.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    slug: String,
}

/// What went wrong (RFC 9457), with our codes: all mistakes of a call at once.
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// `urn:modelrow:code:…`
    r#type: String,
    /// The code in a few words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What was wrong with this call.
    detail: String,
    /// Of the first mistake; over a limit `too_many_requests`, `too_many_runs` or `budget_spent`.
    code: Option<String>,
    /// Every mistake.
    errors: Vec<Violation>,
    /// The run that it is about.
    run_id: Option<Uuid>,
    /// Over a limit: when the same call may pass.
    until: Option<OffsetDateTime>,
}

/// One mistake.
#[derive(ToSchema)]
pub(crate) struct Violation {
    /// `modelrow explain` says more.
    code: String,
    /// JSON Pointer into the body of the call.
    pointer: Option<String>,
    /// The header that is wrong.
    header: Option<String>,
    /// What is wrong.
    message: String,
    /// What to change.
    help: String,
}
