//! A run, as its caller sees it: the JSON of `GET /v1/runs/{id}`.

use profile::revision::Revision;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a run stands and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// The run.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// Enough for a program.
    pub status: Status,
    /// The word of the durable record: `polling`, `fetching`, …
    pub state: String,
    /// `false`: its profile gives up the record, and this answer is all there is of it.
    #[serde(default = "yes", skip_serializing_if = "is_usual")]
    pub recorded: bool,
    /// What it makes.
    pub purpose: String,
    /// `ai_providers.slug` of what it runs under now.
    pub provider: Option<String>,
    /// `ai_models.model_id`
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`
    pub profile_key: Option<String>,
    /// What the routing rule names for when the target is not to be had; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackView>,
    /// What it runs under, in hex.
    pub revision: String,
    /// 0 to 100; absent while the provider says nothing.
    pub progress: Option<u8>,
    /// Of a run that succeeded.
    pub output: Option<Value>,
    /// Mismatches with a response schema that is not strict; that a declared fallback cannot serve the call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Files that are stored.
    pub artifacts: Vec<ArtifactView>,
    /// Of a run that failed: `code`, `class`, `message`, `help`, the provider's own `provider_code` and `provider_message`.
    pub failure: Option<Value>,
    /// `none`, `maybe`, `yes`.
    pub spent: String,
    /// The caller was told that it is late; it is followed on.
    pub overdue: bool,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// No new attempt without an operator.
    pub held: bool,
    /// Absent without a price list.
    pub cost: Option<Cost>,
    /// The provider's id of the job.
    pub provider_job_id: Option<String>,
    /// Oldest first.
    pub attempts: Vec<AttemptView>,
    /// The caller's own values.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// The run that this one is a retry of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<Uuid>,
    /// Whether it was given a result that was there: nothing was sent.
    #[serde(default)]
    pub cached: bool,
    /// The run that made that result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_of: Option<Uuid>,
    /// Number of the last event.
    pub seq: i32,
    /// When it was called.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// While it waits in the queue: not before then.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    /// When the provider took it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub accepted_at: Option<OffsetDateTime>,
    /// When the caller is told that it is late.
    #[serde(with = "time::serde::rfc3339::option")]
    pub deadline_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde asks for"
)]
fn is_usual(recorded: &bool) -> bool {
    *recorded
}

impl RunView {
    /// Whether it has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// The model that runs, or ran, since the target was not to be had.
    #[must_use]
    pub fn fallen_to(&self) -> Option<&str> {
        let used = self.fallback.as_ref();
        let used = used.filter(|fallback| fallback.status == FallbackStatus::Used)?;
        used.model.model.as_deref()
    }

    /// A member of `failure` that is a text: `code`, `provider_message`.
    #[must_use]
    pub fn failure_text(&self, member: &str) -> Option<&str> {
        self.failure.as_ref()?.get(member)?.as_str()
    }
}

/// Where a run stands, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for a place.
    Queued,
    /// Prepares, sends, polls or fetches.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended by the caller.
    Canceled,
}

/// A model by the names of its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelView {
    /// `ai_providers.slug`
    pub provider: Option<String>,
    /// `ai_models.model_id`
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`
    pub profile_key: Option<String>,
}

impl ModelView {
    pub(crate) fn of(revision: &Revision) -> Self {
        Self {
            provider: Some(revision.provider.clone()),
            model: revision.model.clone(),
            profile_key: Some(revision.profile_key.clone()),
        }
    }
}

/// The fallback of the routing rule that chose a run's model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FallbackView {
    /// What the rule names.
    pub model: ModelView,
    /// Whether it ran.
    pub status: FallbackStatus,
    /// Why it is not available.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// Once it is used: the model that was tried first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<ModelView>,
    /// Once it is used: the failure of that model, as in `failure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl FallbackView {
    /// Why it is not available, in a line.
    pub(crate) fn warning(&self) -> Option<String> {
        let name = self.model.model.as_deref().unwrap_or_default();
        let why = self.why.join("; ");
        (self.status == FallbackStatus::Unavailable)
            .then(|| format!("the fallback `{name}` cannot serve this call: {why}"))
    }
}

/// What became of a fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FallbackStatus {
    /// It accepts the call, and was not needed so far.
    Ready,
    /// It cannot serve this call.
    Unavailable,
    /// The run goes on, or went on, under it.
    Used,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactView {
    /// Name in the output.
    pub name: String,
    /// Number under that name, from 0.
    pub idx: i32,
    /// Where it is served.
    pub url: String,
    /// As checked.
    pub content_type: String,
    /// Length.
    pub bytes: u64,
    /// Of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// When it is no longer served; absent: kept.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

/// What a run costs, as decimal strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// ISO 4217.
    pub currency: String,
    /// By the model's price list.
    pub estimate: Option<String>,
    /// Once it has ended: the estimate where it was paid for, `0` where nothing was; absent: not known.
    pub actual: Option<String>,
}

/// One send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Number, from 1.
    pub n: i32,
    /// `ai_models.model_id` of what was sent.
    pub model: Option<String>,
    /// `pending`, `not_sent`, `refused`, `accepted`, `unknown`, `job_failed`, `written_off`.
    pub outcome: String,
    /// Of the answer.
    pub http_status: Option<i16>,
    /// The provider's id of the job.
    pub provider_job_id: Option<String>,
    /// Times it was sent again under its token.
    pub replays: i32,
    /// The job was found, not answered.
    pub adopted: bool,
    /// When it was intended.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
    /// When the exchange ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// What the provider answered, shortened: for operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Where it went: for operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A run in a list: without its output, files and attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// The run.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// Enough for a program.
    pub status: Status,
    /// The word of the durable record: `polling`, `fetching`, …
    pub state: String,
    /// What it makes.
    pub purpose: String,
    /// `ai_providers.slug`
    pub provider: Option<String>,
    /// `ai_models.model_id`
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`
    pub profile_key: Option<String>,
    /// 0 to 100; absent while the provider says nothing.
    pub progress: Option<u8>,
    /// Of a run that failed: `rate_limited`, `unknown_outcome`, …
    pub failure_code: Option<String>,
    /// `none`, `maybe`, `yes`.
    pub spent: String,
    /// The caller was told that it is late; it is followed on.
    pub overdue: bool,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// No new attempt without an operator.
    pub held: bool,
    /// Times that it was sent, or meant to be.
    pub attempts: i32,
    /// Absent without a price list.
    pub cost: Option<Cost>,
    /// Whether it was given a result that was there: nothing was sent.
    #[serde(default)]
    pub cached: bool,
    /// The caller's own values.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// When it was called.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the provider took it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub accepted_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
}

/// An entry of a run's durable timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// Numbered per run from 1, without a gap.
    pub seq: i32,
    /// By the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `accepted`, `overdue`, `reopened`, `succeeded`, …
    pub kind: String,
    /// What belongs to it.
    pub body: Value,
}
