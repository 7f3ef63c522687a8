//! Headers that HTTP's own library does not name, and how ours are read.

use crate::problem::Violation;
use axum::http::{HeaderMap, HeaderName};
use diag::Code;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest idempotency key, in characters.
const MAX_KEY_CHARS: usize = 255;

/// The caller's key: 1 to 255 printable characters, UTF-8. `None`: no key was given.
///
/// # Errors
///
/// A key that is empty, too long, not printable, or given twice.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Violation> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = std::str::from_utf8(value.as_bytes())
        .ok()
        .filter(|key| is_key(key));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        (None, None) => Err(bad_key(
            "the idempotency key is not 1 to 255 printable characters",
        )),
        (_, Some(_)) => Err(bad_key("two idempotency keys are given")),
    }
}

fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_CHARS).contains(&key.chars().count()) && !key.chars().any(char::is_control)
}

fn bad_key(message: &str) -> Violation {
    let help = "send one key of 1 to 255 printable characters, a UUID for example";
    Violation::new(Code::C157, message, help).in_header(IDEMPOTENCY_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn an_idempotency_key_is_one_of_1_to_255_printable_characters() {
        let longest = "é".repeat(255);
        let too_long = "é".repeat(256);
        type Case<'c> = (&'c [&'c str], Result<Option<&'c str>, ()>);
        let cases: [Case<'_>; 7] = [
            (&[], Ok(None)),
            (
                &["8e03978e-40d5-43e8-bc93-6894a57f9324"],
                Ok(Some("8e03978e-40d5-43e8-bc93-6894a57f9324")),
            ),
            (&["two words"], Ok(Some("two words"))),
            (&[&longest], Ok(Some(&longest))),
            (&[&too_long], Err(())),
            (&[""], Err(())),
            (&["a", "a"], Err(())),
        ];
        for (given, want) in cases {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(
                    IDEMPOTENCY_KEY,
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                );
            }
            let found = idempotency_key(&headers)
                .map_err(|violation| assert_eq!(violation.code, Code::C157));
            assert_eq!(found, want.map(|key| key.map(str::to_owned)), "{given:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_utf8_or_has_a_tab_is_refused() {
        for bytes in [&b"\xff"[..], b"a\tb"] {
            let value = HeaderValue::from_bytes(bytes).unwrap();
            let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, value)]);
            assert!(idempotency_key(&headers).is_err(), "{bytes:?}");
        }
    }
}
