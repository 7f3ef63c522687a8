//! What a backend asks for: a call, and what belongs to the run around it.

use crate::access::Principal;
use bytes::Bytes;
use profile::call::{Call, Message};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use store::budgets::OverLimit;
use store::runs::Sent;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

/// A run to be made.
///
/// ```
/// let request = runtime::RunRequest::new("video").prompt("a cat").param("seconds", 8);
/// ```
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Whose run it is; [`store::DEFAULT_TENANT`] unless set.
    pub tenant: Uuid,
    /// What shall be made: a word of the language, `video`.
    pub purpose: String,
    /// `ai_providers.slug`; absent: chosen.
    pub provider: Option<String>,
    /// `ai_models.model_id`; absent: chosen.
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`; absent: chosen.
    pub profile_key: Option<String>,
    /// For the routing rules.
    pub feature: Option<String>,
    /// Prompt, options, context. Its `inputs` are joined with `media`.
    pub call: Call,
    /// Media by the names of the model's capabilities.
    pub media: BTreeMap<String, Vec<InputMedium>>,
    /// The same key and call make one run; 1 to 255 characters.
    pub idempotency_key: Option<String>,
    /// The caller's own values; shown with the run, and facts for the routing rules.
    pub metadata: Map<String, Value>,
    /// `{"url", "events"}`: who is told of the run's end, signed; `events` absent: all but progress.
    pub callback: Option<Value>,
    /// Not started by then: the run fails and nothing is spent. Absent: a day from now.
    pub start_by: Option<OffsetDateTime>,
    /// The highest goes first within its tenant.
    pub priority: i16,
    /// Whether it waits, or is refused, when its tenant has reached a limit; absent: as the tenant has chosen.
    pub over_limit: Option<OverLimit>,
    /// Whether it may be given the result of the same request, and give its own; absent: as the tenant has chosen.
    pub cache: Option<bool>,
    /// Which API key called; absent for the library.
    pub api_key_id: Option<Uuid>,
    /// [`Principal::unhindered`] of who called; absent: it is asked.
    pub unhindered: Option<Instant>,
    /// Whether its client sends again what was not answered, where it gives no idempotency key.
    pub sent: Sent,
    /// The run whose result this one is made from, shown with it: the video of a remix.
    pub made_from: Option<Uuid>,
    /// The run that this is a retry of; set by [`crate::Modelrow::retry`].
    pub again: Option<Again>,
}

/// What a retry has of the run before it.
#[derive(Debug, Clone)]
pub struct Again {
    /// That run.
    pub of: Uuid,
    /// Addresses by upload, for profiles that hand them on.
    pub urls: BTreeMap<Uuid, String>,
}

/// One medium, as a program gives it.
#[derive(Debug, Clone)]
pub enum InputMedium {
    /// The bytes themselves. The media type is read from the first bytes.
    Bytes {
        /// The whole of it.
        bytes: Bytes,
        /// A name for the file.
        filename: Option<String>,
    },
    /// `data:` address, RFC 2397.
    DataUrl(String),
    /// An address that we fetch, through the egress guard.
    Url(String),
    /// A provider's own reference; nothing is fetched.
    Handle(String),
    /// An upload of ours.
    Upload(Uuid),
}

impl InputMedium {
    /// A file that the program has read.
    #[must_use]
    pub fn file(filename: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::Bytes {
            bytes: bytes.into(),
            filename: Some(filename.into()),
        }
    }
}

impl RunRequest {
    /// A run of the default tenant, every choice left open.
    #[must_use]
    pub fn new(purpose: impl Into<String>) -> Self {
        Self {
            tenant: store::DEFAULT_TENANT,
            purpose: purpose.into(),
            provider: None,
            model: None,
            profile_key: None,
            feature: None,
            call: Call::default(),
            media: BTreeMap::new(),
            idempotency_key: None,
            metadata: Map::new(),
            callback: None,
            start_by: None,
            priority: 0,
            over_limit: None,
            cache: None,
            api_key_id: None,
            unhindered: None,
            sent: Sent::Once,
            made_from: None,
            again: None,
        }
    }

    /// The text the job is made from.
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.call.prompt = Some(prompt.into());
        self
    }

    /// One more message of a conversation.
    #[must_use]
    pub fn message(mut self, role: impl Into<String>, content: impl Into<String>) -> Self {
        self.call.messages.get_or_insert_default().push(Message {
            role: role.into(),
            content: content.into(),
        });
        self
    }

    /// An option, by the name in the model's capabilities.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.call.params.insert(name.into(), value.into());
        self
    }

    /// One more medium under a name of the model's capabilities.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>, medium: InputMedium) -> Self {
        self.media.entry(name.into()).or_default().push(medium);
        self
    }

    /// `ai_providers.slug`.
    #[must_use]
    pub fn provider(mut self, slug: impl Into<String>) -> Self {
        self.provider = Some(slug.into());
        self
    }

    /// `ai_models.model_id`.
    #[must_use]
    pub fn model(mut self, model_id: impl Into<String>) -> Self {
        self.model = Some(model_id.into());
        self
    }

    /// `model_api_profiles.profile_key`.
    #[must_use]
    pub fn profile_key(mut self, key: impl Into<String>) -> Self {
        self.profile_key = Some(key.into());
        self
    }

    /// The same key and call make one run.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// One more value of the caller's own.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Whose run it is, and whose key called.
    #[must_use]
    pub fn called_by(mut self, caller: &Principal) -> Self {
        self.tenant = caller.tenant;
        self.api_key_id = caller.api_key_id;
        self.unhindered = caller.unhindered;
        self
    }

    /// Whose run it is.
    #[must_use]
    pub fn tenant(mut self, tenant: Uuid) -> Self {
        self.tenant = tenant;
        self
    }
}
