//! A bundle: one JSON file with the rows of one provider, by natural key.
//!
//! Reading goes on behind each mistake, and every finding from a file has line
//! and column. What the rows mean is left to `check`.

mod positions;
mod read;
mod write;

pub use write::{write, write_row};

use crate::check::bounds;
use crate::check::walk::Sink;
use crate::rows::{Kind, Rows};
use diag::{Code, Diagnostic, Diagnostics, Place};
use positions::Wanted;
use serde_json::Value;

/// Bytes of a whole bundle file.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// The text of a bundle: finds the line and column of a pointer.
#[derive(Debug)]
pub struct Located {
    source: String,
    text: String,
}

impl Located {
    /// Adds line and column to findings of this file that have none yet.
    #[must_use]
    pub fn locate(&self, found: Diagnostics) -> Diagnostics {
        let mut wanted = Wanted::default();
        let mut is_any = false;
        for finding in found.iter().filter(|finding| self.is_mine(finding)) {
            wanted.add(&finding.place.pointer);
            is_any = true;
        }
        if !is_any {
            return found;
        }
        wanted.find(&self.text);
        let locate = |mut finding: Diagnostic| {
            if self.is_mine(&finding)
                && let Some((line, column)) = wanted.nearest(&finding.place.pointer)
            {
                finding.place.line = Some(line);
                finding.place.column = Some(column);
            }
            finding
        };
        Diagnostics(found.into_iter().map(locate).collect())
    }

    fn is_mine(&self, finding: &Diagnostic) -> bool {
        let place = &finding.place;
        place.source.as_deref() == Some(&self.source) && place.line.is_none()
    }
}

/// What a bundle file holds.
#[derive(Debug)]
pub struct Bundle {
    /// The rows, as far as they could be read: checks go on behind the first
    /// mistake. They must not be used when the diagnostics have errors.
    pub rows: Rows,
    /// The file as JSON; null when it is none.
    pub value: Value,
    /// Mistakes of reading, with line and column.
    pub diagnostics: Diagnostics,
    /// Gives line and column to findings of later checks.
    pub located: Located,
}

/// Reads the text of a bundle file. `source` is its name, as people know it.
#[must_use]
pub fn parse(source: &str, text: &str) -> Bundle {
    let (value, mut diagnostics, located) = json(source, text);
    let sink = Sink::default();
    let root = root(source);
    // A file that is no JSON has said so, and has no rows to speak of.
    let rows = match value {
        Value::Null => Rows::default(),
        _ => read::rows(&value, &root, &sink),
    };
    diagnostics.extend(located.locate(sink.into_inner()));
    Bundle {
        rows,
        diagnostics,
        value,
        located,
    }
}

/// Reads one row as a bundle has it, with two differences: what belongs to a provider names it (`provider`), and an auth profile
/// names its credential (`credential`) in place of a secret. `None`: it is too much at fault to be a row.
#[must_use]
pub fn read_row(kind: Kind, value: &Value, at: &Place) -> (Option<Rows>, Diagnostics) {
    let sink = Sink::default();
    let rows = match value {
        Value::Object(_) if bounds::nesting(value, at, &sink) => read::row(kind, value, at, &sink),
        Value::Object(_) => None,
        other => {
            crate::check::walk::wrong_type(&sink, at, "an object", other);
            None
        }
    };
    (rows, sink.into_inner())
}

fn root(source: &str) -> Place {
    Place {
        source: Some(source.to_owned()),
        ..Place::default()
    }
}

/// The JSON of a file, its mistakes as JSON, and its positions. Null when it is
/// none, or not one that can be walked.
pub(crate) fn json(source: &str, text: &str) -> (Value, Diagnostics, Located) {
    let sink = Sink::default();
    let root = root(source);
    let value = value_of(text, &root, &sink);
    let read = match value {
        Value::Null => "",
        _ => text,
    };
    let located = Located {
        source: source.to_owned(),
        text: read.to_owned(),
    };
    let value = if bounds::nesting(&value, &root, &sink) {
        value
    } else {
        Value::Null
    };
    for (pointer, (line, column)) in positions::duplicates(read) {
        let at = Place {
            pointer,
            line: Some(line),
            column: Some(column),
            ..root.clone()
        };
        sink.error(
            Code::P106,
            &at,
            "the object has this key twice",
            "remove one of the two",
        );
    }
    let found = located.locate(sink.into_inner());
    (value, found, located)
}

/// Reads and checks a bundle: what it means, and every finding with line and column.
#[must_use]
pub fn check(source: &str, text: &str) -> (Bundle, crate::catalogue::Compiled) {
    let mut bundle = parse(source, text);
    let mut compiled = crate::catalogue::compile_rows(&bundle.rows);
    compiled.diagnostics = bundle
        .located
        .locate(std::mem::take(&mut compiled.diagnostics));
    let mut all = std::mem::take(&mut bundle.diagnostics);
    for finding in std::mem::take(&mut compiled.diagnostics) {
        if !all.iter().any(|known| *known == finding) {
            all.push(finding);
        }
    }
    bundle.diagnostics = all.clone();
    compiled.diagnostics = all;
    (bundle, compiled)
}

/// The JSON of the file; null, with a finding, when it is none.
fn value_of(text: &str, root: &Place, sink: &Sink) -> Value {
    if text.len() > MAX_FILE {
        sink.error(
            Code::P107,
            root,
            format!("the file has {} bytes", text.len()),
            format!("at most {MAX_FILE} bytes"),
        );
        return Value::Null;
    }
    let error = match serde_json::from_str::<Value>(text) {
        Ok(Value::Null) => {
            crate::check::walk::wrong_type(sink, root, "an object", &Value::Null);
            return Value::Null;
        }
        Ok(value) => return value,
        Err(error) => error,
    };
    let at = Place {
        line: u32::try_from(error.line()).ok(),
        column: u32::try_from(error.column().max(1)).ok(),
        ..root.clone()
    };
    let words = error.to_string();
    let (message, _) = words.rsplit_once(" at line").unwrap_or((&words, ""));
    sink.error(
        Code::P104,
        &at,
        format!("the file is not JSON: {message}"),
        "correct the text at this line; JSON has no comments and no trailing commas",
    );
    Value::Null
}

#[cfg(test)]
mod tests;
