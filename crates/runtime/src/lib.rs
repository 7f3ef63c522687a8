//! `run_profile(...)`: call any provider that rows describe, durably.
//!
//! [`Modelrow`] is what a backend embeds: it takes calls, and unless told
//! otherwise it works: claims runs, submits each once, follows their jobs,
//! fetches their files. Any number of processes share one database.
//!
//! A *fact* (what a provider said or gave) is written until it stands; a
//! *decision* (ours) is one guarded statement, and a stale actor lets go.

mod access;
mod admin;
mod allowance;
mod apply;
mod artifacts;
mod asked;
mod cache;
mod callbacks;
mod catalogue;
mod claim;
mod clock;
mod content_type;
mod core;
mod cost;
mod credentials;
mod deliveries;
pub mod difference;
mod doctor;
mod drift;
mod drive;
mod error;
mod events;
mod exchange;
mod export;
mod facts;
mod fallback;
mod faults;
mod fetch;
mod fleet;
mod follow;
mod gate;
mod ground;
mod handle;
mod hints;
mod hooks;
mod inputs;
mod intake;
mod keys;
mod lanes;
mod lateness;
mod lease;
mod library;
mod links;
mod list;
mod live;
mod metrics;
mod models;
mod objects;
mod operate;
mod options;
mod outbox;
mod pauses;
mod places;
mod plan;
mod prepare;
mod quota;
mod read;
mod request;
mod rewind;
mod rows;
mod sealed;
mod secrets;
mod sender;
mod setting;
mod sweep;
mod tasks;
#[cfg(test)]
mod tests;
mod tokens;
mod traces;
mod unrecorded;
mod uploads;
mod view;
mod vitals;
mod watches;
mod webhook;
mod worker;

pub use access::{
    ApiKeyView, AuditEntry, AuditFilter, AuditPage, KeyMade, KeyPage, KeyRefused, NewKey, PageOf,
    Principal, Role, TenantPage, TenantView,
};
pub use admin::{
    Admin, BundleHow, BundleView, CaseReport, CasesReport, CredentialPage, CredentialPut,
    CredentialShown, CredentialStop, Difference, GivenBundle, MemberDifference, PlanRefused,
    RevisionPage, RevisionView, RowError, RowFilter, RowFinding, RowPage, RowView, Seen, Serving,
};
pub use allowance::{
    CountLimit, CredentialUsageView, LimitsView, SpendLimit, SpendView, UsageView, over_limit,
};
pub use apply::{ApplyHow, BundleApplied, BundleCase, Cases, SealedSecrets};
pub use artifacts::{Artifacts, ArtifactsError};
pub use asked::AskedRun;
pub use cache::CacheView;
pub use content_type::TypeRefused;
pub use credentials::{
    CredentialName, CredentialSet, CredentialView, NewSecret, Rotated, Unopened, Verified,
};
pub use deliveries::{
    DeliveriesFilter, DeliveryAttemptView, DeliveryDetail, DeliveryPage, DeliveryView,
    WebhookTested,
};
pub use doctor::{DriftFinding, ProfileDrift};
pub use engine::egress::Allow;
pub use engine::webhook::Callback;
pub use error::{RunError, StartError};
pub use events::{Progress, RunEvent};
pub use fleet::{Fleet, WorkerView};
pub use handle::RunHandle;
pub use hooks::Heard;
pub use lateness::LatenessView;
pub use library::{Artifact, Modelrow, Readiness, Stopped, Stored};
pub use links::{LONGEST as LINK_LONGEST, Link, LinkRefused, LinkTo, ShownLink};
pub use list::{RunFilter, RunPage};
pub use models::ModelCard;
pub use objects::ObjectsError;
pub use operate::{Because, Orphan, Released, Resolution, Retry};
pub use options::{Concurrency, LeaseTimes, Options, Work};
pub use pauses::{CredentialPauseView, PauseScope, PauseView, Pauses};
pub use plan::Plan;
pub use request::{Again, InputMedium, RunRequest};
pub use sealed::{BadKeys, SealError, SecretKeys};
pub use secrets::{EnvironmentSecrets, NoSecret, Secrets};
pub use store::budgets::{Limit, Over, OverLimit, TenantLimits};
pub use store::deliveries::DeliveryStatus;
pub use store::runs::{Order, Sent};
pub use store::usage::CredentialLimits;
pub use store::{Scope, State};
pub use sweep::{Retention, Sweep, Swept};
pub use traces::{CallSpan, TraceSettings, Traces, TracesError};
pub use unrecorded::Begun;
pub use uploads::{NewUpload, Receiving, UploadRefused, UploadView};
pub use view::{
    ArtifactView, AttemptView, Cost, FallbackStatus, FallbackView, ModelView, RunSummary, RunView,
    Status, TimelineEntry,
};
pub use vitals::{Rates, WorkerReport};
pub use webhook::{WebhookSecretFacts, WebhookSecretView};
