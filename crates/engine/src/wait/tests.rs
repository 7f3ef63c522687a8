use super::*;
use profile::lang::{Answer, Body, Path};
use profile::revision::{JobState, Match};
use proptest::prelude::*;
use serde_json::json;

/// 2025-09-27T02:51:25Z
const NOW: i64 = 1_758_941_485_000;

fn poll(multiplier: f64) -> Poll {
    Poll {
        interval_ms: 2_000,
        initial_delay_ms: 5_000,
        multiplier,
        max_interval_ms: 60_000,
        jitter: 0.1,
        deadline_ms: 600_000,
        max_job_life_ms: 86_400_000,
        not_found_grace_ms: 30_000,
        select: None,
        batch: None,
        status: Path::fixed(&["status"]).unwrap(),
        states: vec![(JobState::Succeeded, vec![Match::Value(json!("done"))])],
        drift: true,
        poll_after: None,
        progress: None,
        progress_max: 100.0,
    }
}

fn asked(headers: &[(&str, &str)], body: Value, path: Option<(&str, u64)>) -> Option<u64> {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let answer = Answer {
        status: 429,
        headers: headers.collect(),
        event: None,
        body: Body::Json(body),
    };
    let duration = path.map(|(path, unit_ms)| Duration {
        path: Path::fixed(&[path]).unwrap(),
        unit_ms,
    });
    hint(answer.view(), &[duration.as_ref()], NOW)
}

#[test]
#[rustfmt::skip]
fn a_hint_is_read_in_every_form_and_kept_within_its_bounds() {
    let none = json!({});
    let cases = [
        (vec![("retry-after", "7")],                             none.clone(),            None,                  Some(7_000)),
        (vec![("retry-after", "0")],                             none.clone(),            None,                  Some(250)),
        (vec![("retry-after", "86400")],                         none.clone(),            None,                  Some(600_000)),
        (vec![("retry-after", "Sat, 27 Sep 2025 02:51:55 GMT")], none.clone(),            None,                  Some(30_000)),
        (vec![("retry-after", "Sat, 27 Sep 2025 02:00:00 GMT")], none.clone(),            None,                  Some(250)),
        (vec![("retry-after", "soon")],                          none.clone(),            None,                  None),
        (vec![("retry-after", "-5")],                            none.clone(),            None,                  None),
        (vec![("retry-after", "NaN")],                           none.clone(),            None,                  None),
        (vec![("retry-after", "1"), ("retry-after-ms", "1500")], none.clone(),            None,                  Some(1_500)),
        (vec![("retry-after", "1")],                             json!({"w": 9}),         Some(("w", 1_000)),    Some(9_000)),
        (vec![("retry-after", "1")],                             json!({}),               Some(("w", 1_000)),    Some(1_000)),
        (vec![],                                                 json!({"w": "34.4s"}),   Some(("w", 1_000)),    Some(34_400)),
        (vec![],                                                 json!({"w": "1m30s"}),   Some(("w", 1_000)),    Some(90_000)),
        (vec![],                                                 json!({"w": "800 ms"}),  Some(("w", 1_000)),    Some(800)),
        (vec![],                                                 json!({"w": "2 minutes"}), Some(("w", 1_000)),  Some(120_000)),
        (vec![],                                                 json!({"w": "12 parsecs"}), Some(("w", 1_000)), None),
        (vec![],                                                 json!({"w": 900}),       Some(("w", 1)),        Some(900)),
        (vec![],                                                 json!({"w": {"x": 1}}),  Some(("w", 1)),        None),
        (vec![("x-poll-ms", "750")],                             none,                    Some(("@header:x-poll-ms", 1)), Some(750)),
    ];
    for (headers, body, path, want) in cases {
        assert_eq!(asked(&headers, body.clone(), path), want, "{headers:?} {body}");
    }
}

#[test]
fn when_a_run_is_due_is_a_function_of_its_acceptance() {
    let steady = poll(1.0);
    for (now, want) in [
        (0, 5_000),
        (4_999, 5_000),
        (6_999, 5_000),
        (7_000, 7_000),
        (100_500, 99_000),
    ] {
        assert_eq!(
            due_at(&steady, NOW, NOW + now),
            NOW + want,
            "after {now} ms"
        );
    }
    let growing = poll(2.0);
    // 5, 7, 11, 19 s: each wait is twice the last.
    for (now, want) in [
        (7_000, 7_000),
        (10_999, 7_000),
        (11_000, 11_000),
        (19_500, 19_000),
    ] {
        assert_eq!(
            due_at(&growing, NOW, NOW + now),
            NOW + want,
            "after {now} ms"
        );
    }
}

#[test]
fn past_the_deadline_a_job_is_followed_slowly() {
    let steady = poll(1.0);
    assert_eq!(after_poll(&steady, NOW, NOW + 599_999, 0.5), 2_000);
    assert_eq!(after_poll(&steady, NOW, NOW + 600_000, 0.5), 60_000);
}

#[test]
fn a_backoff_doubles_up_to_its_bound() {
    let retry = Retry {
        max: 5,
        backoff_ms: 500,
        max_backoff_ms: 3_000,
    };
    let waits: Vec<u64> = (0..5).map(|n| backoff(&retry, n, 0.5)).collect();
    assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
    assert_eq!(
        (backoff(&retry, 1, 0.0), backoff(&retry, 1, 1.0)),
        (500, 1_500)
    );
    assert_eq!(backoff(&retry, u32::MAX, 0.5), 3_000);
}

proptest! {
    #[test]
    fn every_wait_is_bounded(elapsed in 0_i64..2_000_000_000, multiplier in 1.0_f64..10.0, random in 0.0_f64..=1.0) {
        let poll = poll(multiplier);
        let wait = after_poll(&poll, NOW, NOW + elapsed, random);
        prop_assert!((1_800..=66_000).contains(&wait), "{wait}");
        let due = due_at(&poll, NOW, NOW + elapsed);
        prop_assert!(due <= NOW + elapsed.max(5_000));
    }

    #[test]
    fn no_text_makes_a_hint_that_is_out_of_bounds(text in "\\PC{0,24}") {
        if let Some(ms) = asked(&[("retry-after", &text)], json!({"w": text}), Some(("w", 1_000))) {
            prop_assert!((HINT_MIN_MS..=HINT_MAX_MS).contains(&ms));
        }
    }
}

#[test]
#[rustfmt::skip]
fn rounds_are_an_interval_apart_and_a_hint_is_never_cut_short() {
    // Interval 2000.
    let cases = [
        // due      pace         phase  now     round
        (10_000,    Pace::Own,   0,     9_000,  10_000),
        (10_900,    Pace::Own,   0,     9_000,  10_000),
        (11_100,    Pace::Own,   0,     9_000,  12_000),
        (10_001,    Pace::Hint,  0,     9_000,  12_000),
        (10_000,    Pace::Hint,  0,     9_000,  10_000),
        (10_400,    Pace::Own,   500,   9_000,  10_500),
        (10_400,    Pace::Own,   4_500, 9_000,  10_500),
        (9_200,     Pace::Own,   0,     9_100,  10_000),
        (0,         Pace::Own,   0,     9_100,  2_000),
    ];
    for (due, pace, phase, now, want) in cases {
        let now = if due == 0 { 0 } else { now };
        assert_eq!(in_rounds(&poll(1.0), (due, pace), phase, now), want, "{due} {pace:?} {phase}");
    }
}

proptest! {
    #[test]
    fn whoever_was_accepted_whenever_takes_part_in_the_same_rounds(accepted in 0_i64..1_000_000, random in 0.0..1.0_f64, phase in 0_u64..1_000_000_000) {
        let poll = poll(1.5);
        let rounds = i64::try_from(phase).unwrap().rem_euclid(2_000);
        let mut now = NOW + accepted;
        for _ in 0..20 {
            let wait = after_poll(&poll, NOW + accepted, now, random);
            let next = in_rounds(&poll, (at(now, wait), Pace::Own), phase, now);
            prop_assert_eq!(next.rem_euclid(2_000), rounds);
            prop_assert!(next > now && (next - at(now, wait)).abs() <= 2_000, "{} after {}", next, now);
            now = next;
        }
    }
}
