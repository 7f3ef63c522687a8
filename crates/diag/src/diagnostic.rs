//! One finding, and a list of them.

use crate::{Code, Place};
use serde::Serialize;
use std::fmt;

/// Whether the finding stops what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Refused.
    Error,
    /// Accepted, and worth reading.
    Warning,
}

/// One mistake: its code, its place, what is wrong, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Look it up with `modelrow explain`.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// The value that is wrong.
    pub place: Place,
    /// What is wrong: lower case, no period, names in backticks.
    pub message: String,
    /// What to change.
    pub help: String,
}

impl Diagnostic {
    /// A mistake that refuses the row or the call.
    #[must_use]
    pub fn error(
        code: Code,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            place,
            message: message.into(),
            help: help.into(),
        }
    }

    /// A finding that lets the row pass.
    #[must_use]
    pub fn warning(
        code: Code,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, place, message, help)
        }
    }

    /// Whether it refuses.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_error() { "error" } else { "warning" };
        writeln!(f, "{word}[{}]: {}", self.code, self.message)?;
        writeln!(f, "  at {}", self.place)?;
        write!(f, "  help: {}", self.help)
    }
}

/// Everything found in one pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing found.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether anything refuses.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Diagnostic::is_error)
    }

    /// Whether nothing at all was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same findings, all of them at this place.
    #[must_use]
    pub fn at(self, place: &Place) -> Self {
        let moved = self.0.into_iter().map(|one| Diagnostic {
            place: place.clone(),
            ..one
        });
        Self(moved.collect())
    }

    /// The findings, in the order they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, more: I) {
        self.0.extend(more);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
