//! How values are written by place: path, query, form, header.

use super::EvalError;
use serde_json::Value;
use std::fmt::Write;

/// A scalar as it reads: text as it is, `8`, `true`; `None` for null, objects and arrays.
#[must_use]
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The texts of the query or form member `name`: a scalar gives one, an array one each, null none.
///
/// # Errors
///
/// [`EvalError::NotText`] for an object, or an array in an array.
pub fn repeated(name: &str, value: &Value) -> Result<Vec<String>, EvalError> {
    let refuse = || EvalError::NotText {
        name: name.to_owned(),
    };
    let one = |value: &Value| scalar_text(value).ok_or_else(refuse);
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items
            .iter()
            .filter(|item| !item.is_null())
            .map(one)
            .collect(),
        _ => one(value).map(|text| vec![text]),
    }
}

/// Percent-encodes all but letters, digits and `-._~` (RFC 3986, unreserved).
#[must_use]
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_percent(&mut out, text, b"");
    out
}

/// The same, leaving the bytes of `keep` too.
pub(super) fn push_percent(out: &mut String, text: &str, keep: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Adds members to an address, before its fragment. A key that the address has stays as it is.
#[must_use]
pub fn add_query(address: &str, members: &[(String, String)]) -> String {
    let (body, fragment) = match address.split_once('#') {
        Some((body, fragment)) => (body, Some(fragment)),
        None => (address, None),
    };
    let (_, own) = body.split_once('?').unwrap_or((body, ""));
    let has = |key: &str| {
        own.split('&')
            .any(|pair| pair.split('=').next() == Some(key))
    };
    let mut out = body.to_owned();
    for (key, value) in members {
        let key = percent(key);
        if has(&key) {
            continue;
        }
        let glue = if out.ends_with(['?', '&']) {
            ""
        } else if out.contains('?') {
            "&"
        } else {
            "?"
        };
        let _ = write!(out, "{glue}{key}={}", percent(value));
    }
    if let Some(fragment) = fragment {
        let _ = write!(out, "#{fragment}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_that_the_address_has_stays_as_it_is() {
        let members = [
            ("alt".to_owned(), "json".to_owned()),
            ("a b".to_owned(), "ü&=".to_owned()),
        ];
        assert_eq!(
            add_query("https://x/y?alt=media#f", &members),
            "https://x/y?alt=media&a%20b=%C3%BC%26%3D#f"
        );
        assert_eq!(add_query("/y", &members), "/y?alt=json&a%20b=%C3%BC%26%3D");
    }

    #[test]
    fn an_array_repeats_the_key_even_twice_the_same() {
        assert_eq!(
            repeated("n", &json!(["a", 2, true])),
            Ok(vec!["a".into(), "2".into(), "true".into()])
        );
        let members = [
            ("n".to_owned(), "a".to_owned()),
            ("n".to_owned(), "2".to_owned()),
        ];
        assert_eq!(add_query("/y", &members), "/y?n=a&n=2");
    }

    #[test]
    fn objects_are_refused_in_query_and_form() {
        for bad in [json!({"a": 1}), json!([{"a": 1}]), json!([[1]])] {
            assert_eq!(
                repeated("n", &bad),
                Err(EvalError::NotText { name: "n".into() })
            );
        }
    }
}
