//! The JSON Schemas of bundles, capabilities, profiles and cases, for editors: they complete, explain and check.
//!
//! Each member stands in one line, with its schema, what it says, and an example; bounds, words and defaults come from the
//! tables of the checks. They know the shape; what needs more than one look (templates, links, bounds that depend on each
//! other) is said by the checks alone. The tests hold both to each other: members, words and examples.

mod auth;
mod build;
mod bundle;
mod capabilities;
mod case;
mod exchange;
mod profile;

use crate::revision::Purpose;
use build::{document, field, text, words};
use serde_json::Value;

/// Every schema with the name of its file (without `.json`).
#[must_use]
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (
            "bundle",
            document("A bundle: the rows of one provider", bundle::schema()),
        ),
        (
            "capabilities",
            document("What a model takes", capabilities::schema()),
        ),
        ("case", document("A recorded case", case::schema())),
        ("profile", document("A profile", profile::schema())),
    ]
}

/// `$schema` of a file, by which an editor finds these.
fn schema_reference(example: &str) -> Value {
    field(
        text(),
        "Where this schema is, for editors; the program passes it over.",
        example,
    )
}

fn purposes() -> Value {
    let all = Purpose::ALL.iter().map(|purpose| purpose.as_str());
    words(all.chain(["text"]))
}

#[cfg(test)]
mod tests;
