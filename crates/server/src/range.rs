//! `Range: bytes=0-99`, RFC 9110, section 14: a part of a file.

use crate::etag::ETag;
use axum::http::HeaderMap;
use axum::http::header::{IF_RANGE, RANGE};
use std::ops::Range;

/// What a call asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it.
    Whole,
    /// These bytes, the end excluded.
    Part(Range<u64>),
    /// Bytes that it has not.
    Outside,
}

/// Reads what is asked of a file of this length and tag.
///
/// Several ranges, and what cannot be read, count as none (section 14.2 lets a server ignore them); so does a range of
/// other bytes than these (`If-Range`).
pub(crate) fn asked(headers: &HeaderMap, length: u64, tag: &ETag) -> Asked {
    let text = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let same = headers
        .get(IF_RANGE)
        .is_none_or(|given| tag.header().is_some_and(|tag| *given == tag));
    let Some(range) = text
        .filter(|_| same)
        .and_then(|text| http_range_header::parse_range_header(text).ok())
    else {
        return Asked::Whole;
    };
    if range.ranges.len() > 1 {
        return Asked::Whole;
    }
    match range.validate(length).as_deref() {
        Ok([one]) => Asked::Part(*one.start()..one.end().saturating_add(1)),
        _ => Asked::Outside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_range_is_a_part_or_lies_outside_and_what_cannot_be_read_is_the_whole() {
        let cases: [(&str, &str, Asked); 13] = [
            ("bytes=0-0",       "",          Asked::Part(0..1)),
            ("bytes=2-4",       "",          Asked::Part(2..5)),
            ("bytes=7-",        "",          Asked::Part(7..10)),
            ("bytes=-3",        "",          Asked::Part(7..10)),
            ("bytes=2-4",       "\"abc\"",   Asked::Part(2..5)),
            ("bytes=2-4",       "\"other\"", Asked::Whole),
            ("bytes=2-4",       "W/\"abc\"", Asked::Whole),
            ("bytes=10-",       "",          Asked::Outside),
            ("bytes=0-1,4-5",   "",          Asked::Whole),
            ("lines=0-1",       "",          Asked::Whole),
            ("bytes=x",         "",          Asked::Whole),
            ("bytes=99999999999999999999-", "", Asked::Whole),
            ("",                "",          Asked::Whole),
        ];
        for (range, if_range, want) in cases {
            let mut headers = HeaderMap::new();
            if !range.is_empty() { headers.insert(RANGE, range.parse().unwrap()); }
            if !if_range.is_empty() { headers.insert(IF_RANGE, if_range.parse().unwrap()); }
            assert_eq!(asked(&headers, 10, &ETag::of_sha256("abc")), want, "{range} {if_range}");
        }
    }
}
