//! A mistake in one text, path or condition, before its place is known.

use diag::{Code, Diagnostic, Diagnostics, Place};

/// What is wrong and what to change. The caller knows where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// One of P200 to P249.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

impl Mistake {
    pub(crate) fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
        }
    }

    /// The same mistake at its place.
    #[must_use]
    pub fn at(self, place: &Place) -> Diagnostic {
        Diagnostic::error(self.code, place.clone(), self.message, self.help)
    }
}

/// Files mistakes under one place; the value when there were none.
pub(crate) fn file<T>(
    result: Result<T, Vec<Mistake>>,
    place: &Place,
    found: &mut Diagnostics,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(mistakes) => {
            found.extend(mistakes.into_iter().map(|mistake| mistake.at(place)));
            None
        }
    }
}

/// An unknown word, with the nearest known one.
pub(super) fn unknown<'a>(
    what: &str,
    word: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Mistake {
    let help = match diag::nearest(word, known.clone()) {
        Some(have) => format!("did you mean `{have}`?"),
        None => {
            let all: Vec<&str> = known.collect();
            if all.is_empty() {
                format!("no such {what} is declared here")
            } else {
                format!("known here: {}", all.join(", "))
            }
        }
    };
    let code = if what == "helper" {
        Code::P204
    } else {
        Code::P201
    };
    Mistake::new(code, format!("unknown {what} `{word}`"), help)
}
