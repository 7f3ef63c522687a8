//! Entity tags, RFC 9110, sections 8.8.3 and 13.1.2.

use crate::problem::{Problem, Violation};
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use diag::Code;
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

    /// Of a row, and of what is said of it. Only the first decides whether a change was made of what is there: a finding that
    /// came or went since is no change of the row.
    pub(crate) fn of_row(row: &[u8], said: &[u8]) -> Self {
        let half = |bytes: &[u8]| hex::encode(Sha256::digest(bytes).get(..16).unwrap_or_default());
        Self(format!("{}.{}", half(row), half(said)))
    }

    /// Whether the caller means the row as it is (`If-Match`, RFC 9110, section 13.1.1; weak tags never match).
    ///
    /// # Errors
    ///
    /// 428 without the header (RFC 6585, section 3), 412 for another state.
    pub(crate) fn must_match(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let texts = headers
            .get_all(IF_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
        if !headers.contains_key(IF_MATCH) {
            let message = "the call does not say which state of the row it is for";
            let help = "read the row, and send its `ETag` as `If-Match`";
            let violation = Violation::new(Code::C184, message, help).in_header(IF_MATCH);
            return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, violation));
        }
        let own = row_part(&self.0);
        if tags.any(|tag| tag == "*" || unquoted(tag).is_some_and(|tag| row_part(tag) == own)) {
            return Ok(());
        }
        let message = "the row is not as it was when you read it";
        let help = "read it again, and send the change with the `ETag` that it has now";
        let violation = Violation::new(Code::R202, message, help).in_header(IF_MATCH);
        Err(Problem::new(StatusCode::PRECONDITION_FAILED, violation))
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

fn unquoted(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"')
}

fn row_part(tag: &str) -> &str {
    tag.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_change_meets_the_row_that_it_was_made_of_whatever_is_said_of_the_row() {
        let tag = ETag::of_row(b"row", b"warned").header().unwrap();
        let tag = tag.to_str().unwrap();
        let other = ETag::of_row(b"row!", b"good").header().unwrap();
        let other = other.to_str().unwrap();
        let cases: [(&[&str], Option<u16>); 7] = [
            (&[],              Some(428)),
            (&[tag],           None),
            (&["*"],           None),
            (&[other, tag],    None),
            (&[other],         Some(412)),
            (&["W/\"x\"", ""], Some(412)),
            (&[&tag[1..]],     Some(412)),
        ];
        for (given, want) in cases {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(IF_MATCH, value.parse().unwrap());
            }
            let found = ETag::of_row(b"row", b"good").must_match(&headers);
            assert_eq!(found.err().map(|problem| problem.status().as_u16()), want, "{given:?}");
        }
    }

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
