//! Entity tags, RFC 9110, sections 8.8.3 and 13.1.2.

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

/// A strong tag: the same tag means the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ETag(String);

impl ETag {
    /// Of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// Of bytes whose SHA-256 is known, in hex.
    pub(crate) fn of_sha256(hex: &str) -> Self {
        Self(hex.to_owned())
    }

    /// As the header has it; `None` for a digest that is none.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("\"{}\"", self.0)).ok()
    }

    /// Whether the caller has these bytes already (`If-None-Match`; weak tags count).
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        let texts = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
        tags.any(|tag| {
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == self.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn bytes_are_known_when_any_tag_of_the_caller_is_theirs() {
        let cases: [(&[&str], bool); 7] = [
            (&[],                     false),
            (&["\"abc\""],            true),
            (&["W/\"abc\""],          true),
            (&["\"x\", \"abc\""],     true),
            (&["\"x\"", "\"abc\""],   true),
            (&["*"],                  true),
            (&["\"abcd\", \"ab\""],   false),
        ];
        for (given, want) in cases {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(IF_NONE_MATCH, value.parse().unwrap());
            }
            assert_eq!(ETag::of_sha256("abc").is_known(&headers), want, "{given:?}");
        }
    }

    #[test]
    fn a_tag_is_the_sha256_in_quotes() {
        // FIPS 180-2, appendix B.1.
        let want = "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
        assert_eq!(ETag::of(b"abc").header().unwrap(), want);
    }
}
