//! All rows compiled, and the choice of a profile among them (section 1).

mod choice;
mod compile;
mod index;
mod links;
mod routing;

pub use choice::choose;
pub use compile::compile_rows;
pub use index::Entries;
pub use routing::Rules;
pub(crate) use routing::fallback_words;

use crate::revision::{Class, Purpose, Revision};
use diag::Diagnostics;
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// What a set of rows means: revisions that serve, and every finding.
#[derive(Debug, Default)]
pub struct Compiled {
    /// One for each active profile and model it serves, good or not.
    pub revisions: Entries,
    /// Routing rules, by falling priority.
    pub rules: Rules,
    /// Every finding in all rows, each once.
    pub diagnostics: Diagnostics,
}

/// A profile for one model (or for none), compiled or refused.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Natural key.
    pub key: EntryKey,
    /// `ai_models.is_default`
    pub is_default: bool,
    /// The profile is bound to this model, not to the whole provider.
    pub bound: bool,
    /// Microseconds since 1970.
    pub updated_at_us: i64,
    /// The type of the model; absent: a profile that serves no model.
    pub model_type: Option<Purpose>,
    /// `capabilities.profile_key` of the model.
    pub wanted_profile: Option<String>,
    /// The compiled revision, or why there is none.
    pub revision: Result<Arc<Revision>, Diagnostics>,
}

/// What names an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryKey {
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// `model_api_profiles.profile_key`
    pub profile_key: String,
    /// `ai_models.model_id`; absent: a profile that serves no model.
    pub model: Option<String>,
    /// What it makes.
    pub purpose: Purpose,
}

/// A checked row of `model_routing_rules`.
#[derive(Debug, Clone)]
pub struct RoutingRule {
    /// Absent: the system tenant.
    pub tenant: Option<Uuid>,
    /// All must hold.
    pub conditions: Map<String, Value>,
    /// What serves the call.
    pub target: ModelKey,
    /// What serves it when the target does not.
    pub fallback: Option<FallbackRule>,
    /// The highest is tried first.
    pub priority: i64,
}

/// A model by its natural key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelKey {
    /// `ai_providers.slug`
    pub provider: String,
    /// `ai_models.model_id`
    pub model: String,
}

impl ModelKey {
    fn is_of(&self, entry: &Entry) -> bool {
        entry.key.provider == self.provider && entry.key.model.as_ref() == Some(&self.model)
    }
}

/// What a rule says of its fallback.
#[derive(Debug, Clone)]
pub struct FallbackRule {
    /// What runs.
    pub to: ModelKey,
    /// The classes after which it runs.
    pub on: Vec<Class>,
}

/// What a call asks for.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// What shall be made; a word of the language.
    pub purpose: String,
    /// `ai_providers.slug`
    pub provider: Option<String>,
    /// `ai_models.model_id`
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`
    pub profile_key: Option<String>,
    /// The caller's tenant; absent: the system tenant alone.
    pub tenant: Option<Uuid>,
    /// Facts for the routing rules: `feature`, `language`, `max_tokens`, `metadata` (an object).
    pub facts: Map<String, Value>,
}

/// The profile that serves a call.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What the run uses.
    pub revision: Arc<Revision>,
    /// The rule's fallback; absent: none is declared.
    pub fallback: Option<Fallback>,
}

/// The fallback of the rule that chose a profile.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// What the rule says.
    pub rule: FallbackRule,
    /// Chosen in the same way as the target; or why nothing can be.
    pub revision: Result<Arc<Revision>, Diagnostics>,
}

#[cfg(test)]
mod tests;
