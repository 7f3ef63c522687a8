//! When something is due: polls, repetitions, and what providers ask for.
//!
//! All times are milliseconds; a moment counts from 1970. When a run is due is
//! a function of when it was accepted, so that a new owner knows what is late.

use profile::lang::View;
use profile::revision::{Duration, Poll, Retry};
use serde_json::Value;

/// No hint makes us come sooner.
pub const HINT_MIN_MS: u64 = 250;
/// No hint keeps us away for longer.
pub const HINT_MAX_MS: u64 = 600_000;

/// Reads how long a provider asked us to wait: what the first of `paths`
/// finds, else `retry-after-ms`, else `Retry-After` in seconds or as a date,
/// which is measured from `now_ms`. Within 250 ms and 10 min.
///
/// `None` when nothing readable is there: a bad hint is no reason to fail.
///
/// Source: RFC 9110, section 10.2.3; the language, section 6.
#[must_use]
pub fn hint(answer: View<'_>, paths: &[Option<&Duration>], now_ms: i64) -> Option<u64> {
    let declared = paths.iter().flatten().find_map(|duration| {
        let value = duration.path.first(answer)?;
        duration_ms(&value, duration.unit_ms)
    });
    let asked = declared
        .or_else(|| text_ms(answer.header("retry-after-ms")?, 1))
        .or_else(|| retry_after(answer.header("retry-after")?, now_ms))?;
    Some(asked.clamp(HINT_MIN_MS, HINT_MAX_MS))
}

/// What a header `Retry-After` says, seconds or a date, as milliseconds from `now_ms`. `None`: neither.
///
/// Source: RFC 9110, section 10.2.3.
#[must_use]
pub fn retry_after(text: &str, now_ms: i64) -> Option<u64> {
    if let Some(ms) = text_ms(text, 1_000) {
        return Some(ms);
    }
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let since_1970 = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at_ms = i64::try_from(since_1970.as_millis()).ok()?;
    Some(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0))
}

fn duration_ms(value: &Value, unit_ms: u64) -> Option<u64> {
    match value {
        Value::Number(number) => times(number.as_f64()?, unit_ms),
        Value::String(text) => text_ms(text, unit_ms),
        _ => None,
    }
}

/// `34.4s`, `1m30s`, `500ms`, `2 min`, or a bare number of `unit_ms`.
fn text_ms(text: &str, unit_ms: u64) -> Option<u64> {
    let mut rest = text.trim();
    if let Ok(number) = rest.parse() {
        return times(number, unit_ms);
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        total = total.checked_add(times(number.parse().ok()?, unit_of(unit)?)?)?;
        rest = tail.trim_start();
    }
    Some(total).filter(|_| !text.trim().is_empty())
}

fn unit_of(word: &str) -> Option<u64> {
    Some(match word.to_ascii_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        _ => return None,
    })
}

/// `None` for what is no length of time: negative, not a number, beyond a year.
fn times(number: f64, unit_ms: u64) -> Option<u64> {
    const YEAR_MS: f64 = 365.0 * 86_400_000.0;
    #[expect(clippy::cast_precision_loss, reason = "units are small")]
    let ms = number * unit_ms as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded before"
    )]
    (0.0..=YEAR_MS).contains(&ms).then_some(ms as u64)
}

/// The wait before repetition `n`, from 0: doubling, between half of it and half
/// as much again. `random` is from 0 to 1; 0.5 is no jitter, here and everywhere.
#[must_use]
pub fn backoff(retry: &Retry, n: u32, random: f64) -> u64 {
    let factor = 1_u64.checked_shl(n.min(32)).unwrap_or(u64::MAX);
    let whole = retry
        .backoff_ms
        .saturating_mul(factor)
        .min(retry.max_backoff_ms);
    jittered(whole, 0.5, random)
}

/// The wait after a poll at `now_ms`, without a hint. Past the deadline the
/// job is followed slowly: at the longest interval.
#[must_use]
pub fn after_poll(poll: &Poll, accepted_ms: i64, now_ms: i64, random: f64) -> u64 {
    let elapsed = since(accepted_ms, now_ms);
    let wait = if elapsed >= poll.deadline_ms {
        poll.max_interval_ms.max(poll.interval_ms)
    } else {
        schedule(poll, elapsed).1
    };
    jittered(wait, poll.jitter, random).max(HINT_MIN_MS)
}

/// The moment of the schedule at which the run is or was due: the latest that
/// has passed, or the first when none has. What is due long ago goes first.
#[must_use]
pub fn due_at(poll: &Poll, accepted_ms: i64, now_ms: i64) -> i64 {
    let (point, _) = schedule(poll, since(accepted_ms, now_ms));
    at(accepted_ms, point)
}

/// Who says when the next poll is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The profile.
    Own,
    /// The provider: no sooner.
    Hint,
}

/// The round in which a run takes part that would be due at `next_ms`: rounds are an interval apart, whoever
/// follows the run and whenever it was accepted. The nearest one, after a hint the next; always behind `now_ms`.
#[must_use]
pub fn in_rounds(poll: &Poll, (next_ms, pace): (i64, Pace), phase_ms: u64, now_ms: i64) -> i64 {
    let apart = i64::try_from(poll.interval_ms).unwrap_or(i64::MAX).max(1);
    let phase = i64::try_from(phase_ms).unwrap_or(0).rem_euclid(apart);
    let since = next_ms.saturating_sub(phase).rem_euclid(apart);
    let before = next_ms.saturating_sub(since);
    let nearest = match pace {
        Pace::Own if since <= apart / 2 => before,
        Pace::Hint if since == 0 => before,
        Pace::Own | Pace::Hint => before.saturating_add(apart),
    };
    if nearest <= now_ms {
        nearest.saturating_add(apart)
    } else {
        nearest
    }
}

/// The moment `after_ms` later.
#[must_use]
pub fn at(from_ms: i64, after_ms: u64) -> i64 {
    from_ms.saturating_add(i64::try_from(after_ms).unwrap_or(i64::MAX))
}

fn since(from_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(from_ms)).unwrap_or(0)
}

/// The latest point of the schedule not after `elapsed`, and the wait that
/// follows it; the first point when none has passed.
fn schedule(poll: &Poll, elapsed: u64) -> (u64, u64) {
    let (mut point, mut wait) = (poll.initial_delay_ms, poll.interval_ms.max(1));
    while point.saturating_add(wait) <= elapsed {
        let next = grown(wait, poll);
        if next == wait {
            return (point + (elapsed - point) / wait * wait, wait);
        }
        point += wait;
        wait = next;
    }
    (point, wait)
}

fn grown(wait: u64, poll: &Poll) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an hour at most"
    )]
    let next = (wait as f64 * poll.multiplier.max(1.0)) as u64;
    next.min(poll.max_interval_ms.max(poll.interval_ms).max(1))
}

/// The wait, of which the part `jitter` is drawn: between `1 - jitter` and `1 + jitter` times.
fn jittered(wait: u64, jitter: f64, random: f64) -> u64 {
    let spread = part(wait, jitter.clamp(0.0, 1.0));
    wait - spread + part(spread * 2, random)
}

fn part(of: u64, share: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of it"
    )]
    let part = (of as f64 * share.clamp(0.0, 1.0)) as u64;
    part.min(of)
}

#[cfg(test)]
mod tests;
