//! `inputs`: media by name, each a list of `{id}`, `{url}`, `{data_url}` or `{handle}`, or one of them alone.

use super::fields::{Fields, wrong_type};
use crate::problem::Violation;
use diag::{Code, Place};
use runtime::{InputMedium, RunError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Ways to give a medium.
const WAYS: &[&str] = &["id", "url", "data_url", "handle"];

/// Names of inputs that were given alone. Findings of the library number every
/// medium; the caller must find them in the body as it was sent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct LoneInputs(BTreeSet<String>);

impl LoneInputs {
    /// The error with its pointers into the caller's own body.
    pub(crate) fn point(&self, error: RunError) -> RunError {
        match error {
            RunError::Refused(mut found) => {
                for finding in &mut found.0 {
                    finding.place.pointer = self.pointer(&finding.place.pointer);
                }
                RunError::Refused(found)
            }
            other => other,
        }
    }

    /// `/inputs/cat/0/url` is `/inputs/cat/url` where `cat` was given alone.
    fn pointer(&self, pointer: &str) -> String {
        for name in &self.0 {
            let lone = Place::pointer("/inputs").child(name).pointer;
            let first = format!("{lone}/0");
            match pointer.strip_prefix(&first) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    return format!("{lone}{rest}");
                }
                _ => {}
            }
        }
        pointer.to_owned()
    }
}

pub(super) fn read(fields: &mut Fields<'_>) -> (BTreeMap<String, Vec<InputMedium>>, LoneInputs) {
    let given = fields.object("inputs").unwrap_or_default();
    let place = fields.place().child("inputs");
    let mut media = BTreeMap::new();
    let mut lone = LoneInputs::default();
    for (name, value) in given {
        let place = place.child(&name);
        let items = match value {
            Value::Array(items) => each(items, &place, fields.found()),
            Value::Object(_) => {
                lone.0.insert(name.clone());
                medium(value, place, fields.found()).into_iter().collect()
            }
            other => {
                fields
                    .found()
                    .push(wrong_type(&place, "a list of media", &other));
                continue;
            }
        };
        media.insert(name, items);
    }
    (media, lone)
}

fn each(items: Vec<Value>, place: &Place, found: &mut Vec<Violation>) -> Vec<InputMedium> {
    let read = |(i, item)| medium(item, place.child(i), found);
    items.into_iter().enumerate().filter_map(read).collect()
}

/// Exactly one of the ways.
fn medium(value: Value, place: Place, found: &mut Vec<Violation>) -> Option<InputMedium> {
    let before = found.len();
    let pointer = place.pointer.clone();
    let mut fields = Fields::open(value, place, found)?;
    let given = [
        upload(&mut fields),
        fields.text("url").map(InputMedium::Url),
        fields.text("data_url").map(InputMedium::DataUrl),
        fields.text("handle").map(InputMedium::Handle),
    ];
    fields.close(WAYS);
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(medium), None) => Some(medium),
        // What was tried and is wrong has been filed.
        (None, _) if found.len() > before => None,
        _ => {
            let message = "a medium is given in exactly one way";
            let help = "give one of `id`, `url`, `data_url`, `handle`";
            found.push(Violation::new(Code::C166, message, help).at(pointer));
            None
        }
    }
}

fn upload(fields: &mut Fields<'_>) -> Option<InputMedium> {
    let text = fields.text("id")?;
    let id = Uuid::try_parse(&text).ok();
    if id.is_none() {
        fields.refuse(
            "id",
            Code::C154,
            "`id` is no id of an upload",
            "give the `id` of an upload, a UUID",
        );
    }
    id.map(InputMedium::Upload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_pointer_into_an_input_given_alone_has_no_number() {
        let lone = LoneInputs(BTreeSet::from(["cat".to_owned(), "a/b".to_owned()]));
        let cases = [
            ("/inputs/cat/0",      "/inputs/cat"),
            ("/inputs/cat/0/url",  "/inputs/cat/url"),
            ("/inputs/a~1b/0",     "/inputs/a~1b"),
            ("/inputs/cat/01",     "/inputs/cat/01"),
            ("/inputs/dog/0",      "/inputs/dog/0"),
            ("/params/cat/0",      "/params/cat/0"),
        ];
        for (given, want) in cases {
            assert_eq!(lone.pointer(given), want);
        }
    }
}
