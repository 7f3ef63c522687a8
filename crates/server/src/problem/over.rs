//! A limit of the tenant that was reached, as callers read it: a word, a time, and the headers of
//! `draft-ietf-httpapi-ratelimit-headers-10`.

use axum::http::{HeaderName, HeaderValue};
use runtime::{Limit, Over};
use time::format_description::well_known::Rfc3339;

/// The document's `code`; the diagnostic's stands in `errors`.
pub(super) fn code(over: &Over) -> &'static str {
    match over.limit {
        Limit::InFlight | Limit::Queued | Limit::RunsPerDay => "too_many_runs",
        Limit::Spend => "budget_spent",
    }
}

/// When the same call may pass; absent where nobody knows.
pub(super) fn until(over: &Over) -> Option<String> {
    over.until.and_then(|until| until.format(&Rfc3339).ok())
}

/// `RateLimit`, and `RateLimit-Policy` where the limit counts runs: money has no whole units.
pub(super) fn headers(over: &Over, wait_secs: u64) -> Vec<(HeaderName, HeaderValue)> {
    let (name, window) = policy(over.limit);
    let wait = match over.until {
        Some(_) => format!(";t={wait_secs}"),
        None => String::new(),
    };
    let quota = over.most.map(|most| format!("\"{name}\";q={most}{window}"));
    let lines = [
        ("ratelimit", Some(format!("\"{name}\";r=0{wait}"))),
        ("ratelimit-policy", quota),
    ];
    let header = |(name, line): (&'static str, Option<String>)| {
        let value = HeaderValue::try_from(line?).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    lines.into_iter().filter_map(header).collect()
}

fn policy(limit: Limit) -> (&'static str, &'static str) {
    match limit {
        Limit::InFlight => ("runs-in-flight", ""),
        Limit::Queued => ("runs-queued", ""),
        Limit::RunsPerDay => ("runs-per-day", ";w=86400"),
        Limit::Spend => ("spend-per-month", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    #[rustfmt::skip]
    fn a_limit_that_was_reached_has_a_word_a_time_and_headers() {
        let at = Some(datetime!(2026-12-01 00:00 UTC));
        let cases = [
            (Limit::InFlight,   Some(4),   None, "too_many_runs", "\"runs-in-flight\";r=0",         Some("\"runs-in-flight\";q=4")),
            (Limit::Queued,     Some(9),   None, "too_many_runs", "\"runs-queued\";r=0",            Some("\"runs-queued\";q=9")),
            (Limit::RunsPerDay, Some(500), at,   "too_many_runs", "\"runs-per-day\";r=0;t=77",      Some("\"runs-per-day\";q=500;w=86400")),
            (Limit::Spend,      None,      at,   "budget_spent",  "\"spend-per-month\";r=0;t=77",   None),
        ];
        for (limit, most, until, word, rate, quota) in cases {
            let over = Over { limit, most, until };
            assert_eq!(code(&over), word);
            let headers = headers(&over, 77);
            let get = |name: &str| headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.to_str().unwrap());
            assert_eq!((get("ratelimit"), get("ratelimit-policy")), (Some(rate), quota), "{limit:?}");
        }
        assert_eq!(super::until(&Over { limit: Limit::Spend, most: None, until: at }).as_deref(), Some("2026-12-01T00:00:00Z"));
    }
}
