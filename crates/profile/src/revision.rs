//! A compiled revision: everything one run uses, joined, checked, immutable.
//!
//! `check` makes it from rows; `engine` reads it. Nothing here is changed after
//! it was made, and nothing in it needs checking again: the type is the proof.

mod answer;
mod auth;
mod batch;
mod exchange;
mod purpose;
mod reads;
mod submit;
mod webhook;
mod workflow;

pub use answer::{
    Capture, Class, Duration, ErrorTable, Match, Mode, Response, ResponseSchema, Stream,
};
pub use auth::{Auth, AuthKind, Jwt, Scheme, Signing, Split, TokenEndpoint};
pub use batch::Batch;
pub use exchange::{Address, BodyKind, BodyTemplate, Egress, Exchange, HostPattern};
pub use purpose::Purpose;
pub use submit::{Idempotency, Retry, Settle, Submit, Terms, TokenPlace};
pub use webhook::{Encoding, Signature, SignedBy, Verify, Webhook, WebhookSecret};
pub use workflow::{
    Action, Download, Expires, Fetch, JobState, Poll, Select, Step, Workflow, Wrap,
};

use crate::capabilities::Capabilities;
use crate::lang::Text;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The SHA-256 of a revision's canonical content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionId(pub [u8; 32]);

/// What a run uses: provider, auth, model, template, schema and profile as one value.
#[derive(Debug)]
pub struct Revision {
    /// Content address.
    pub id: RevisionId,
    /// Language level the content needs.
    pub language: u32,
    /// The joined rows as JSON, from which an equal revision can be compiled again.
    pub content: Value,
    /// `ai_providers.slug`.
    pub provider: String,
    /// The tenant whose own row the provider is: the system's credentials serve
    /// it not. Absent: the system's, and where only the content is known.
    pub provider_tenant: Option<Uuid>,
    /// The API's model id; absent for a profile that serves no model.
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`.
    pub profile_key: String,
    /// What it makes.
    pub purpose: Purpose,
    /// What the model takes and may do.
    pub capabilities: Capabilities,
    /// What the compatible face of the API calls its options and inputs.
    pub api_names: crate::openai::ApiNames,
    /// How requests prove who we are; absent: nothing is added.
    pub auth: Option<Auth>,
    /// Other auth profiles of the provider, which steps name.
    pub step_auths: Vec<Auth>,
    /// Where requests and credentials may go.
    pub egress: Egress,
    /// The provider's base URL: a template over `config_…` only.
    pub base_url: Text,
    /// The submit, in the order of `variants`; the last one has no condition.
    pub submits: Vec<Submit>,
    /// Names for values computed from others, read by `vars.<name>`.
    pub vars: Arc<crate::lang::VarsTable>,
    /// Constant look-up tables, read by `tables.<name>`.
    pub tables: Value,
    /// Primitives of the auth profile's `config`, read by `config_<key>`.
    pub config: Value,
    /// How answers are judged.
    pub errors: ErrorTable,
    /// What is taken from answers, and how the output is made.
    pub response: Response,
    /// What happens around the submit.
    pub workflow: Workflow,
    /// A free exchange that proves a credential; absent: there is none.
    pub verify: Option<Exchange>,
    /// How callbacks are understood; absent: one at a run's own address is a hint to poll.
    pub webhook: Option<Webhook>,
    /// How steps are repeated; the submit's own is in its [`Terms`].
    pub retry: Retry,
}

impl Revision {
    /// The terms of the submit without a condition; absent: no submit was compiled, which `check` refuses.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        self.submits.last().map(|submit| &submit.terms)
    }
}
