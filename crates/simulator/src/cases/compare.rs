//! A request against the recorded one: every difference, named by its place.

use bytes::Bytes;
use serde_json::Value;

use super::recording::{Part, Recorded};
use crate::read::{self, Head};

/// In a recorded text: any text, because a secret stood here.
const MASK: &str = "***";
/// Of a longer text, only the beginning is shown.
const SHOWN_CHARS: usize = 60;

impl Recorded {
    /// What differs: a place, what was recorded, what came.
    pub(super) async fn differences(&self, head: &Head, bytes: Bytes) -> Vec<String> {
        let mut found = Vec::new();
        let (path, query) = target(&self.url);
        let came_query = head.query.as_deref().unwrap_or_default();
        let method = self.method.to_ascii_uppercase();
        unlike("method", &method, head.method.as_str(), &mut found);
        unlike("path", path, &head.path, &mut found);
        if !same_pairs(query, came_query) {
            unlike("query", query, came_query, &mut found);
        }
        self.headers(head, &mut found);
        if let Some(recorded) = self.raw() {
            raw(&recorded, &bytes, &mut found);
            return found;
        }
        match (&self.body, &self.multipart) {
            (_, Some(parts)) => form(parts, head, bytes, &mut found).await,
            (Some(recorded), None) => json(recorded, &bytes, &mut found),
            (None, None) if bytes.is_empty() => {}
            (None, None) => found.push(format!(
                "body: recorded without one, came `{}`",
                text(&bytes)
            )),
        }
        found
    }

    fn headers(&self, head: &Head, found: &mut Vec<String>) {
        for (name, recorded) in &self.headers {
            match (recorded, head.header(name)) {
                (Some(recorded), Some(came)) if masked_eq(recorded, came) => {}
                // What came may be a key.
                (Some(recorded), _) => found.push(format!(
                    "header {name}: recorded `{recorded}`, came another value or none"
                )),
                (None, _) if head.headers.contains_key(name) => {
                    found.push(format!("header {name}: must not be sent"))
                }
                (None, _) => {}
            }
        }
    }
}

/// The path and the query of an address, as they are written.
pub(super) fn target(url: &str) -> (&str, &str) {
    let after_scheme = url
        .split_once("://")
        .map(|(_, rest)| rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())).1);
    let target = after_scheme.unwrap_or(url);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// Pairs of different names may come in any order, those of one name in the order recorded.
fn same_pairs(recorded: &str, came: &str) -> bool {
    let (recorded, came) = (by_name(recorded), by_name(came));
    recorded.len() == came.len()
        && recorded
            .iter()
            .zip(&came)
            .all(|(recorded, came)| masked_eq(recorded, came))
}

fn by_name(text: &str) -> Vec<&str> {
    let mut pairs: Vec<&str> = text.split('&').collect();
    pairs.sort_by_key(|pair| pair.split('=').next());
    pairs
}

/// JSON inside a text, by value: rows in a database do not keep the order of members.
fn same_json(recorded: &str, came: &str) -> bool {
    let read = |text: &str| {
        let holds = text.starts_with(['{', '[']);
        holds.then(|| serde_json::from_str::<Value>(text).ok())?
    };
    let (Some(recorded), Some(came)) = (read(recorded), read(came)) else {
        return false;
    };
    let mut found = Vec::new();
    compare("", &recorded, &came, &mut found);
    found.is_empty()
}

fn unlike(place: &str, recorded: &str, came: &str, found: &mut Vec<String>) {
    if !masked_eq(recorded, came) {
        found.push(format!("{place}: recorded `{recorded}`, came `{came}`"));
    }
}

/// Each mask stands for a text that is not empty; the rest must be the same.
fn masked_eq(recorded: &str, came: &str) -> bool {
    let mut pieces = recorded.split(MASK);
    let Some(mut rest) = came.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        // At least one character is the secret's.
        let Some((_, after)) = rest
            .char_indices()
            .nth(1)
            .map(|(at, _)| rest.split_at(at))
            .or_else(|| (!rest.is_empty()).then_some((rest, "")))
        else {
            return false;
        };
        if pieces.peek().is_none() {
            return after.ends_with(piece);
        }
        match after.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}

fn json(recorded: &Value, bytes: &[u8], found: &mut Vec<String>) {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(came) => compare("body", recorded, &came, found),
        Err(_) if matches!(recorded, Value::String(form) if same_pairs(form, &String::from_utf8_lossy(bytes))) =>
            {}
        Err(_) => found.push(format!(
            "body: recorded JSON, came `{}`, which is none",
            text(bytes)
        )),
    }
}

/// Byte by byte.
fn raw(recorded: &[u8], came: &[u8], found: &mut Vec<String>) {
    if recorded != came {
        found.push(format!(
            "body: recorded `{}` of {} bytes, came `{}` of {} bytes",
            text(recorded),
            recorded.len(),
            text(came),
            came.len()
        ));
    }
}

/// By value: `8` and `8.0` are the same number, the order of members is nothing.
fn compare(place: &str, recorded: &Value, came: &Value, found: &mut Vec<String>) {
    match (recorded, came) {
        (Value::Object(recorded), Value::Object(came)) => {
            for (name, recorded) in recorded {
                let place = format!("{place}/{name}");
                match came.get(name) {
                    Some(came) => compare(&place, recorded, came, found),
                    None => found.push(format!("{place}: recorded `{recorded}`, nothing came")),
                }
            }
            let more = came
                .iter()
                .filter(|(name, _)| !recorded.contains_key(*name));
            found.extend(
                more.map(|(name, came)| format!("{place}/{name}: not recorded, came `{came}`")),
            );
        }
        (Value::Array(recorded), Value::Array(came)) if recorded.len() == came.len() => {
            for (index, (recorded, came)) in recorded.iter().zip(came).enumerate() {
                compare(&format!("{place}/{index}"), recorded, came, found);
            }
        }
        (recorded, came) if same(recorded, came) => {}
        (recorded, came) => found.push(format!("{place}: recorded `{recorded}`, came `{came}`")),
    }
}

fn same(recorded: &Value, came: &Value) -> bool {
    match (recorded, came) {
        (Value::String(recorded), Value::String(came)) => {
            masked_eq(recorded, came) || same_json(recorded, came)
        }
        (Value::Number(recorded), Value::Number(came)) => {
            recorded == came
                || match (recorded.as_i128(), came.as_i128()) {
                    (Some(recorded), Some(came)) => recorded == came,
                    _ => recorded.as_f64().is_some() && recorded.as_f64() == came.as_f64(),
                }
        }
        (recorded, came) => recorded == came,
    }
}

/// Parts of different names may come in any order, those of one name in the order recorded.
async fn form(recorded: &[Part], head: &Head, bytes: Bytes, found: &mut Vec<String>) {
    if head.content_type() != "multipart/form-data" {
        let came = head.content_type();
        found.push(format!("multipart: recorded a form, came `{came}`"));
        return;
    }
    let mut came = match read::parts(head, bytes).await {
        Ok(came) => came,
        Err(why) => {
            found.push(format!("multipart: the form cannot be read: {why}"));
            return;
        }
    };
    for part in recorded {
        let place = format!("multipart/{}", part.name);
        match came.iter().position(|came| came.name == part.name) {
            None => found.push(format!("{place}: recorded, and did not come")),
            Some(index) => part.differences(&place, &came.remove(index), found),
        }
    }
    found.extend(
        came.iter()
            .map(|part| format!("multipart/{}: not recorded, came", part.name)),
    );
}

impl Part {
    fn differences(&self, place: &str, came: &read::Part, found: &mut Vec<String>) {
        let mut optional = |member: &str, recorded: &Option<String>, came: &Option<String>| {
            if recorded != came {
                let shown = |text: &Option<String>| text.as_deref().unwrap_or("none").to_owned();
                found.push(format!(
                    "{place}/{member}: recorded `{}`, came `{}`",
                    shown(recorded),
                    shown(came)
                ));
            }
        };
        optional("filename", &self.filename, &came.file_name);
        optional("content_type", &self.content_type, &came.content_type);
        let recorded = self.bytes();
        let alike = match (&self.value, came.text()) {
            (Some(recorded), Some(came)) => masked_eq(recorded, came) || same_json(recorded, came),
            _ => recorded == came.bytes,
        };
        if !alike {
            found.push(format!(
                "{place}: recorded `{}`, came `{}`",
                text(&recorded),
                text(&came.bytes)
            ));
        }
    }
}

/// The beginning of a body, for people.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(SHOWN_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{masked_eq, same_json, same_pairs, target};

    #[test]
    #[rustfmt::skip]
    fn a_mask_stands_for_any_text_but_none() {
        let cases = [
            // recorded                came                  the same
            ("Bearer ***",             "Bearer sk-1",        true),
            ("Bearer ***",             "Bearer ",            false),
            ("Bearer ***",             "Basic sk-1",         false),
            ("***",                    "é",                  true),
            ("***",                    "",                   false),
            ("a=***&b=***",            "a=1&b=2",            true),
            ("a=***&b=***",            "a=1&c=2",            false),
            ("***:***",                "id:secret",          true),
            ("***:***",                ":secret",            false),
            ("***.json",               "x.json",             true),
            ("***.json",               ".json",              false),
            ("plain",                  "plain",              true),
            ("plain",                  "plain and more",     false),
            ("",                       "",                   true),
        ];
        for (recorded, came, want) in cases {
            assert_eq!(masked_eq(recorded, came), want, "{recorded} {came}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn the_order_of_members_and_pairs_is_nothing_where_a_database_does_not_keep_it() {
        let json = [
            // recorded                    came                          the same
            (r#"{"a":1,"b":{"c":"***"}}"#, r#"{"b": {"c": "k"}, "a": 1}"#, true),
            (r#"{"a":1}"#,                 r#"{"a":"1"}"#,                false),
            (r#"["x","y"]"#,               r#"["y","x"]"#,                false),
            ("plain",                      "plain",                       false),
        ];
        for (recorded, came, want) in json {
            assert_eq!(same_json(recorded, came), want, "{recorded} {came}");
        }
        let pairs = [
            ("b=1&a=***&a=2", "a=key&b=1&a=2", true),
            ("b=1&a=1&a=2",   "a=2&a=1&b=1",   false),
            ("b=1&a=1",       "a=1",           false),
            ("",              "",              true),
        ];
        for (recorded, came, want) in pairs {
            assert_eq!(same_pairs(recorded, came), want, "{recorded} {came}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn an_address_is_split_as_it_is_written() {
        let cases = [
            ("https://api.acme.ai/v1/videos?a=%20&b", ("/v1/videos", "a=%20&b")),
            ("https://api.acme.ai",                   ("/", "")),
            ("https://api.acme.ai?a=/",               ("/", "a=/")),
            ("/v1/videos",                            ("/v1/videos", "")),
        ];
        for (url, want) in cases {
            assert_eq!(target(url), want, "{url}");
        }
    }
}
