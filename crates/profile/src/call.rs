//! A call: what the caller asks of a profile, before and after it was checked.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the caller gave. Stored with the run as it stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Call {
    /// The text the job is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// `[{role, content}]`, both text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Options by the names of the model's capabilities.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Media by the names of the model's capabilities.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Vec<Input>>,
    /// Free values for templates: `context.<name>`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// `language` of the variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// `maxTokens` of the variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// `shortHistory` of the variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_history: Option<String>,
    /// `longSummary` of the variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_summary: Option<String>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `user`, `assistant`, `system`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// One medium as the caller gave it: exactly one of `id`, `url`, `data_url`, `handle`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// An upload of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<uuid::Uuid>,
    /// An address that we fetch, through the egress guard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The bytes themselves, as RFC 2397 writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_url: Option<String>,
    /// A provider's own reference; nothing is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// A name for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// What is known of one medium once it is here, for limits and rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaFacts {
    /// Media type, checked against the first bytes.
    pub mime: String,
    /// Size.
    pub bytes: u64,
}

/// A call that its revision accepts: options normalised, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The call with `params` replaced by what templates read.
    pub call: Call,
}
