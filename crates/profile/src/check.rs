//! From raw rows to compiled revisions: every mistake in one pass, each with a
//! code, a place and a remedy.

mod auth;
mod batch;
pub(crate) mod bounds;
pub(crate) mod compile;
mod context;
mod errors;
mod exchange;
mod homes;
pub(crate) mod json_schema;
mod layers;
pub(crate) mod names;
mod output;
mod poll;
mod pricing;
mod reach;
mod response;
mod stream;
mod transport;
pub(crate) mod walk;
mod webhook;
mod workflow;

pub(crate) use auth::{auth, auth_types, secret_ref, status_word};
pub(crate) use context::Seen;
pub(crate) use workflow::auth_names;

/// Tables that the published schemas repeat.
pub(crate) mod tables {
    pub(crate) use super::auth::STATUS_WORDS;
    pub(crate) use super::errors::CLASSES;
    pub(crate) use super::exchange::{KINDS as BODY_KINDS, METHODS};
    pub(crate) use super::poll::STATES;
    pub(crate) use super::response::MODES;
}

use crate::revision::Purpose;
use diag::Place;
use walk::{Sink, not_a_word};

/// A word of `purpose` or `model_type`.
pub(crate) fn purpose(word: &str, at: &Place, sink: &Sink) -> Option<Purpose> {
    let found = Purpose::parse(word);
    if found.is_none() {
        let words: Vec<&str> = Purpose::ALL
            .iter()
            .map(|purpose| purpose.as_str())
            .collect();
        not_a_word(sink, at, word, &words);
    }
    found
}

#[cfg(test)]
mod tests;
