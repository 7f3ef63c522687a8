//! What a model takes: options, limits, media and rules, and the check of a call.
//!
//! One table of options is the source of both the hand-written check (a call
//! is judged in microseconds) and the JSON Schema that is published; a
//! property test proves that they agree.

mod call;
mod compile;
mod limits;
mod option;
mod rule;
mod schema;

pub(crate) use compile::{Declared, compile};
pub use option::{Case, Kind, Normalize, OptionSpec};

use crate::call::{Call, Checked, MediaFacts};
use crate::lang::{Condition, Path};
use diag::{Code, Diagnostic, Diagnostics, Place};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a model takes and may do, compiled.
#[derive(Debug, Default)]
pub struct Capabilities {
    /// The JSON Schema (2020-12) of a call's `{params, inputs, …}`, published per model.
    pub schema: Value,
    /// `capabilities.profile_key`: the profile that serves the model.
    pub profile_key: Option<String>,
    /// A longer text reads the prompt: a call without one is refused.
    pub prompt_required: bool,
    /// A longer text reads `input`: a call needs a prompt, a summary or a history.
    pub input_required: bool,
    /// Options by name, in the order of the row.
    pub options: Vec<OptionSpec>,
    /// Media by name.
    pub inputs: Vec<InputSpec>,
    /// Limits that bind to something.
    pub limits: Vec<Limit>,
    /// What one option cannot say alone.
    pub rules: Vec<Rule>,
    /// `lifecycle`
    pub lifecycle: Lifecycle,
    /// `pricing`; absent: unknown.
    pub pricing: Option<Pricing>,
}

/// One entry of `inputs`.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// `image`, `video` and `audio` are also what it takes where `mime` says nothing; `document` and other words are for people.
    pub kind: Option<String>,
    /// Media types; `image/*` is a pattern. Empty: those of its `kind`, else any.
    pub mime: Vec<String>,
    /// Largest, in bytes.
    pub max_bytes: u64,
    /// Most items.
    pub max_count: u64,
    /// A call without it is refused.
    pub required: bool,
}

/// Where what an input of a kind takes is not said. A film has sound, and its container may hold nothing else.
const OF_KIND: [(&str, &[&str]); 3] = [
    ("image", &["image/*"]),
    ("video", &["video/*"]),
    ("audio", &["audio/*", "video/*", "application/ogg"]),
];

impl InputSpec {
    /// Media types that it takes; `image/*` is a pattern. Empty: any.
    #[must_use]
    pub fn takes(&self) -> Vec<&str> {
        if !self.mime.is_empty() {
            return self.mime.iter().map(String::as_str).collect();
        }
        let kind = self.kind.as_deref().unwrap_or_default();
        let found = OF_KIND.iter().find(|(known, _)| *known == kind);
        found.map_or_else(Vec::new, |(_, types)| types.to_vec())
    }
}

/// A limit, bound to what it limits.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Its documented name.
    pub name: String,
    /// The greatest value.
    pub value: f64,
    /// What it limits.
    pub target: LimitTarget,
}

/// What a limit limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitTarget {
    /// The value of an option; of a text or list its length.
    Option(String),
    /// Characters of the prompt.
    PromptChars,
    /// `maxTokens` of the call.
    MaxTokens,
    /// The number of images among the inputs of these names.
    InputCount(Vec<String>),
}

/// A JSON Schema over `{…params, "inputs": {<name>: [{mime, bytes}]}}`.
#[derive(Debug)]
pub struct Rule {
    /// Compiled.
    pub validator: jsonschema::Validator,
    /// As written.
    pub schema: Value,
    /// What the caller is told.
    pub message: String,
}

/// `lifecycle`
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// From when on the provider advises against it.
    pub deprecated_at: Option<time::Date>,
    /// From when on it takes no calls.
    pub shutdown_at: Option<time::Date>,
    /// The model to use instead.
    pub successor: Option<String>,
}

/// `pricing`: what a run costs.
#[derive(Debug)]
pub struct Pricing {
    /// ISO 4217.
    pub currency: String,
    /// What is counted, in words: `second`, `image`.
    pub per: Option<String>,
    /// How many are counted, over the variables; absent: one.
    pub quantity: Option<Path>,
    /// The first that holds.
    pub price: Vec<Price>,
}

/// One line of a price list.
#[derive(Debug)]
pub struct Price {
    /// Holds over the variables; absent: always.
    pub when: Option<Condition>,
    /// For one of what is counted.
    pub amount: f64,
}

impl Capabilities {
    /// Judges a call and fills in what it left out: options normalised, text
    /// turned to integers where it is exactly one, defaults added.
    ///
    /// `media` holds what is known of the inputs, by name; inputs that are not
    /// there yet are judged by their number only, and rules about them later.
    ///
    /// # Errors
    ///
    /// Every violation at once, with pointers into the caller's body
    /// (`/params/seconds`), codes C101 to C129.
    pub fn check(
        &self,
        call: &Call,
        media: &BTreeMap<String, Vec<MediaFacts>>,
    ) -> Result<Checked, Diagnostics> {
        call::check(self, call, media)
    }

    /// Judges a call whose media were not read: what the model does not take, or
    /// not so many of, nobody has to fetch. Empty when its media may be read;
    /// else every violation that shows without them.
    #[must_use]
    pub fn refuse_before_reading(&self, call: &Call) -> Diagnostics {
        call::before_reading(self, call)
    }

    /// Why the model takes no calls any more; absent while it does.
    /// `today` is given, because this crate reads no clock.
    #[must_use]
    pub fn refuse_after_shutdown(&self, today: time::Date) -> Option<Diagnostic> {
        let shutdown = self.lifecycle.shutdown_at?;
        if today < shutdown {
            return None;
        }
        let help = self.lifecycle.successor.as_deref().map_or_else(
            || "choose another model".to_owned(),
            |successor| format!("its successor is `{successor}`"),
        );
        Some(Diagnostic::error(
            Code::C119,
            Place::pointer("/model"),
            format!("the provider shut this model down on {shutdown}"),
            help,
        ))
    }

    /// Notes what the profile's templates need of the call.
    pub(crate) fn need(&mut self, prompt: bool, input: bool, model: Option<&str>) {
        self.prompt_required = prompt;
        self.input_required = input;
        self.schema = schema::of(self, model);
    }

    /// The option of this name.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&OptionSpec> {
        self.options.iter().find(|option| option.name == name)
    }
}

#[cfg(test)]
mod tests;
