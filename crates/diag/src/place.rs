//! Where a mistake is.

use serde::Serialize;
use std::fmt;

/// The value that is wrong: a file or row, a JSON Pointer (RFC 6901) into it,
/// and, when it came from a file, line and column (from 1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Place {
    /// File name, or the row as `table/natural-key`. Absent for a call's own body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// JSON Pointer; empty is the whole document.
    pub pointer: String,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column, from 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Place {
    /// A place known by its pointer alone.
    #[must_use]
    pub fn pointer(pointer: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            ..Self::default()
        }
    }

    /// The same place, one member or index deeper.
    #[must_use]
    pub fn child(&self, token: impl fmt::Display) -> Self {
        let token = token.to_string().replace('~', "~0").replace('/', "~1");
        Self {
            source: self.source.clone(),
            pointer: format!("{}/{token}", self.pointer),
            line: None,
            column: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            f.write_str(source)?;
            if let Some(line) = self.line {
                write!(f, ":{line}:{}", self.column.unwrap_or(1))?;
            }
            f.write_str(" ")?;
        }
        f.write_str(if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_a_slash_is_escaped_as_rfc_6901_says() {
        assert_eq!(Place::pointer("/a").child("b/c~d").pointer, "/a/b~1c~0d");
    }

    #[test]
    fn line_and_column_follow_the_file_name() {
        let place = Place {
            source: Some("b.json".into()),
            pointer: "/x".into(),
            line: Some(3),
            column: Some(7),
        };
        assert_eq!(place.to_string(), "b.json:3:7 /x");
    }
}
