//! `Prefer: wait=30`, RFC 7240: the caller would rather wait for the end of the run.

use crate::headers::{PREFER, PREFERENCE_APPLIED};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// An answer is held no longer than this.
const MAX_WAIT_SECS: u64 = 60;

/// How long an answer is held: at most a minute, whatever was asked.
///
/// `None`: not asked for, or not readable; a preference is never a reason to
/// refuse. Of several the first counts.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let preferences = texts.flat_map(|text| text.split(','));
    let secs = preferences.into_iter().find_map(value_of_wait)?;
    Some(Duration::from_secs(
        secs.parse().unwrap_or(MAX_WAIT_SECS).min(MAX_WAIT_SECS),
    ))
}

/// What the answer says of it: `Preference-Applied: wait=30`.
pub(crate) fn applied(wait: Duration) -> (HeaderName, HeaderValue) {
    let text = format!("wait={}", wait.as_secs());
    (
        PREFERENCE_APPLIED,
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("wait")),
    )
}

/// The digits of `wait=30` or `wait="30"`, parameters behind `;` aside.
fn value_of_wait(preference: &str) -> Option<&str> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    let digits = value.trim().trim_matches('"');
    let readable = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (name.trim().eq_ignore_ascii_case("wait") && readable).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn an_answer_is_held_as_long_as_the_first_wait_says_and_at_most_a_minute() {
        let cases: [(&[&str], Option<u64>); 13] = [
            (&[],                                None),
            (&["wait=30"],                       Some(30)),
            (&["Wait = 30"],                     Some(30)),
            (&["wait=\"30\""],                   Some(30)),
            (&["wait=0"],                        Some(0)),
            (&["wait=61"],                       Some(60)),
            (&["wait=99999999999999999999999"],  Some(60)),
            (&["respond-async, wait=10;x=1"],    Some(10)),
            (&["respond-async", "wait=10"],      Some(10)),
            (&["wait=5, wait=50"],               Some(5)),
            (&["wait=-1"],                       None),
            (&["wait=soon"],                     None),
            (&["waiting=5"],                     None),
        ];
        for (given, want) in cases {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(PREFER, value.parse().unwrap());
            }
            assert_eq!(wait(&headers), want.map(Duration::from_secs), "{given:?}");
        }
    }
}
