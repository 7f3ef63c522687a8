//! Names: what they may look like, and that each is given once.

use super::walk::Sink;
use diag::{Code, Place};

/// Characters of a name.
const MAX_NAME: usize = 64;

/// Whether a text is `[a-z][a-z0-9_]*` of at most 64 characters.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether templates can read `params.<name>`: letters, digits and `_`, no digit first.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Refuses what could not stand in an address of ours, in a command, or before a `/`.
pub(crate) fn slug(text: &str, at: &Place, sink: &Sink) {
    let fine = text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !fine {
        sink.error(
            Code::P111,
            at,
            format!("`{text}` is not a short name"),
            "letters, digits, `-`, `_` and `.`, at most 64; the name for people is `name`",
        );
    }
}

/// Refuses what is no name.
pub(crate) fn name(text: &str, at: &Place, sink: &Sink) {
    if !is_name(text) {
        sink.error(
            Code::P111,
            at,
            format!("`{text}` is not a name"),
            "lower-case letters, digits and `_`, beginning with a letter, at most 64",
        );
    }
}

/// Refuses what templates could not read.
pub(crate) fn identifier(text: &str, at: &Place, sink: &Sink) {
    if !is_identifier(text) {
        sink.error(
            Code::P111,
            at,
            format!("`{text}` is not a name that templates can read"),
            "letters, digits and `_`, not beginning with a digit, at most 64",
        );
    }
}

/// Refuses a name that is already there.
pub(crate) fn unique<'n>(
    taken: impl IntoIterator<Item = &'n str>,
    name: &str,
    at: &Place,
    sink: &Sink,
) {
    if taken.into_iter().any(|other| other == name) {
        sink.error(
            Code::P109,
            at,
            format!("the name `{name}` is taken"),
            match at.pointer.ends_with("/artifact") {
                true => "name the file of each download by its `artifact`, such as `thumbnail`",
                false => "rename one of the two",
            },
        );
    }
}
