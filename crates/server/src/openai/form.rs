//! `multipart/form-data` (RFC 7578) as official clients write it: `a[b]` is the member `b` of `a`, `a[]` an item of the list `a`.

use crate::json;
use crate::problem::{Problem, Violation};
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use diag::{Code, Place};
use futures_util::stream;
use multer::{Field, Multipart};
use runtime::InputMedium;
use serde_json::{Map, Value};
use std::convert::Infallible;

/// Fields and files of one form.
const MOST_PARTS: usize = 256;
/// Names of names: `a[b][c]`.
const MOST_LEVELS: usize = 8;

/// A form, read whole.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) fields: Map<String, Value>,
    pub(super) files: Vec<(String, InputMedium)>,
}

/// The boundary, of a body that is announced as a form.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    multer::parse_boundary(content_type).ok()
}

/// Reads it.
///
/// # Errors
///
/// 413, 408, and 400 for what is no form.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    boundary: String,
) -> Result<Form, Problem> {
    let bytes = json::bounded(headers, body).await?;
    let whole = stream::once(async move { Ok::<_, Infallible>(bytes) });
    let mut parts = Multipart::new(whole, boundary);
    let mut form = Form::default();
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(unreadable)? {
        count += 1;
        if count > MOST_PARTS {
            let message = format!("the form has more than {MOST_PARTS} parts");
            return Err(refuse(message, "send fewer"));
        }
        form.take(part).await?;
    }
    Ok(form)
}

impl Form {
    async fn take(&mut self, part: Field<'_>) -> Result<(), Problem> {
        let Some(path) = part.name().and_then(path) else {
            let help = "name each part, with members in brackets: `name[member]`";
            return Err(refuse("a part of the form has no name", help));
        };
        match part.file_name().map(str::to_owned) {
            Some(filename) => {
                let bytes = part.bytes().await.map_err(unreadable)?;
                let (name, _) = path;
                self.files.push((name, InputMedium::file(filename, bytes)));
            }
            None => {
                let bytes = part.bytes().await.map_err(unreadable)?;
                let text = String::from_utf8(bytes.to_vec()).map_err(|_| {
                    refuse(
                        "a field of the form is not UTF-8",
                        "send a file with a file name",
                    )
                })?;
                let (name, rest) = path;
                let place = self.fields.entry(name).or_insert(Value::Null);
                put(place, &rest, Value::String(text));
            }
        }
        Ok(())
    }
}

/// `a[b][]` as `a` and `b`, ``. `None`: no name, or too deep.
fn path(name: &str) -> Option<(String, Vec<String>)> {
    let (first, rest) = name.split_once('[').unwrap_or((name, ""));
    let inner = rest.trim_end_matches(']');
    let parts: Vec<String> = match rest.is_empty() {
        true => Vec::new(),
        false => inner.split("][").map(str::to_owned).collect(),
    };
    (!first.is_empty() && parts.len() <= MOST_LEVELS).then(|| (first.to_owned(), parts))
}

/// A name that comes again is a list.
fn put(place: &mut Value, path: &[String], value: Value) {
    match path.split_first() {
        None => match place {
            Value::Null => *place = value,
            Value::Array(items) => items.push(value),
            other => {
                let first = other.take();
                *other = Value::Array(vec![first, value]);
            }
        },
        Some((part, rest)) if part.is_empty() => {
            if !place.is_array() {
                let first = place.take();
                let items = if first.is_null() { vec![] } else { vec![first] };
                *place = Value::Array(items);
            }
            if let Value::Array(items) = place {
                let mut item = Value::Null;
                put(&mut item, rest, value);
                items.push(item);
            }
        }
        Some((part, rest)) => {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            if let Value::Object(members) = place {
                let member = members.entry(part.clone()).or_insert(Value::Null);
                put(member, rest, value);
            }
        }
    }
}

fn unreadable(_: multer::Error) -> Problem {
    refuse(
        "the body is not the form that it is announced as",
        "send `multipart/form-data` with its boundary, whole",
    )
}

fn refuse(message: impl Into<String>, help: &str) -> Problem {
    let violation = Violation::new(Code::C150, message, help).at(Place::default().pointer);
    Problem::new(StatusCode::BAD_REQUEST, violation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn fields(parts: &[(&str, &str)]) -> Value {
        let mut text = String::new();
        for (name, value) in parts {
            text.push_str(&format!(
                "--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        text.push_str("--b--\r\n");
        let headers = HeaderMap::new();
        let form = read(&headers, Body::from(text), "b".to_owned()).await;
        Value::Object(form.unwrap().fields)
    }

    #[tokio::test]
    #[rustfmt::skip]
    async fn names_with_brackets_are_members_and_items() {
        let cases: [(&[(&str, &str)], Value); 6] = [
            (&[("a", "1")],                          json!({"a": "1"})),
            (&[("a", "1"), ("a", "2")],              json!({"a": ["1", "2"]})),
            (&[("a[]", "1")],                        json!({"a": ["1"]})),
            (&[("a[]", "1"), ("a[]", "2")],          json!({"a": ["1", "2"]})),
            (&[("a[b]", "1"), ("a[c]", "2")],        json!({"a": {"b": "1", "c": "2"}})),
            (&[("a[][b]", "1"), ("a[][b]", "2")],    json!({"a": [{"b": "1"}, {"b": "2"}]})),
        ];
        for (parts, want) in cases {
            assert_eq!(fields(parts).await, want, "{parts:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_is_a_400_and_nothing_is_guessed() {
        let many = "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n".repeat(257);
        let deep = format!(
            "--b\r\ncontent-disposition: form-data; name=\"a{}\"\r\n\r\n1\r\n--b--\r\n",
            "[x]".repeat(9)
        );
        let bodies = [
            "no form at all".to_owned(),
            "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\ncut".to_owned(),
            "--b\r\ncontent-disposition: form-data\r\n\r\n1\r\n--b--\r\n".to_owned(),
            many,
            deep,
        ];
        for body in bodies {
            let shown = body.chars().take(80).collect::<String>();
            let read = read(&HeaderMap::new(), Body::from(body), "b".to_owned()).await;
            let refused = read.map(|form| form.fields).unwrap_err();
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{shown}");
        }
    }
}
