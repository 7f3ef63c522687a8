//! A run that is folded away between its polls decides as one that stays in memory.

use super::*;

use proptest::prelude::*;
use std::sync::Arc;

/// Profiles whose polls keep different things between them.
#[rustfmt::skip]
fn profiles() -> Vec<(&'static str, Value)> {
    let poll = json!({"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "multiplier": 1.5, "deadline_ms": 60_000,
        "max_job_life_ms": 600_000, "not_found_grace_ms": 5_000, "poll_after_path": "next_s", "progress_path": "percent",
        "states": {"running": ["running"], "succeeded": ["done"], "failed": ["failed"], "canceled": ["canceled"]}});
    let download = json!({"name": "download", "url_path": "url", "content_type": "video/mp4"});
    let with = |change: Value, rest: Value| {
        let mut one = poll.clone();
        profile::lang::merge(&mut one, &change);
        let mut workflow = json!({"workflow": {"steps": [one, download.clone()]}});
        profile::lang::merge(&mut workflow, &rest);
        workflow
    };
    vec![
        ("plain", with(json!({}), json!({}))),
        ("captures", with(json!({"headers": {"X-Region": "{{steps.submit.region}}"}}), json!({"response_mapping": {"extract": {"region": "region"}}}))),
        ("reads the call", with(json!({"path": "/jobs", "method": "POST", "body": {"id": "{{job_id}}", "text": "{{userPrompt}}"}}), json!({}))),
        ("reads it through vars", with(json!({"query": {"s": "{{vars.s}}"}}), json!({"transport": {"vars": {"s": "{{params_seconds}}"}}}))),
        ("can be stopped", with(json!({}), json!({"workflow": {"cancel": {"path": "/jobs/{{job_id}}/{{params_seconds}}", "method": "DELETE"}}}))),
        ("the submit's answer is read", json!({"workflow": {"steps": [poll, {"name": "download", "from": "submit", "url_path": "url"}]}})),
        ("two polls", json!({"workflow": {"steps": [with(json!({"extract": {"next": "next"}}), json!({}))["workflow"]["steps"][0], {"name": "second", "action": "poll", "path": "/b/{{steps.poll.next}}", "interval_ms": 1000,
            "states": {"succeeded": ["done"], "running": ["running"]}}, download]}})),
    ]
}

/// What may come at an exchange.
#[derive(Debug, Clone)]
enum Coming {
    Answer(u16, Value),
    Nothing,
    Cancel,
}

#[rustfmt::skip]
fn coming() -> impl Strategy<Value = Coming> {
    let running = json!({"status": "running", "percent": 40});
    prop_oneof![
        6 => Just(Coming::Answer(200, running)),
        1 => Just(Coming::Answer(200, json!({"status": "running", "next_s": 7}))),
        1 => Just(Coming::Answer(200, json!({"status": "musing"}))),
        2 => Just(Coming::Answer(404, json!(null))),
        2 => Just(Coming::Answer(500, json!(null))),
        1 => Just(Coming::Answer(401, json!(null))),
        1 => Just(Coming::Answer(200, json!({"status": "failed", "error": {"code": "policy"}}))),
        1 => Just(Coming::Answer(200, json!({"status": "canceled"}))),
        2 => Just(Coming::Answer(200, json!({"status": "done", "url": "https://cdn.acme.ai/f", "next": "n-1"}))),
        1 => Just(Coming::Nothing),
        1 => Just(Coming::Cancel),
    ]
}

/// What is to be done, so that two can be compared.
fn shown(action: &Action) -> String {
    match action {
        Action::Exchange { phase, request } => {
            format!("{phase:?} {} {:?}", request.url, request.sha256())
        }
        Action::Fetch { step, files } => format!("fetch {step} {}", files.len()),
        other => format!("{other:?}"),
    }
}

/// Through a fold, where it can be folded; whether it was.
fn through(flow: &mut Flow, ground: &Ground, given: &Setting) -> bool {
    let (identity, checked) = (given.identity.clone(), Arc::clone(&given.checked));
    let empty = Flow::new(given.clone());
    let (whole, folded) = match std::mem::replace(flow, empty).fold(ground) {
        Ok(folded) => (Flow::unfold(ground, identity, &folded).unwrap(), true),
        Err(whole) => (*whole, false),
    };
    *flow = whole;
    // As the runtime does before it asks.
    if flow.lacks_call() {
        flow.give_call(checked, Arc::default());
    }
    folded
}

/// The call of the run: long enough not to be kept, or short.
fn started(profile: &Value, long: bool) -> (Setting, Flow) {
    let prompt = if long {
        "a cat ".repeat(200)
    } else {
        "a cat".to_owned()
    };
    let mut setting = setting_of(revision_of(profile, &json!({})), &call(&prompt));
    setting.media = Arc::default();
    (setting.clone(), Flow::new(setting))
}

fn accept(flow: &mut Flow, now: &mut i64) {
    let body = json!({"id": "job-1", "region": "eu", "url": "https://cdn.acme.ai/s"});
    let verdict = say(flow, now, 200, &body);
    assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
}

/// The same script with and without folding; how often it was folded.
fn play(profile: &Value, long: bool, script: &[Coming]) -> usize {
    let ((setting, mut kept), (_, mut folded)) = (started(profile, long), started(profile, long));
    let ground = Ground::new(setting.clone());
    let (mut now, mut times) = (0, 0);
    accept(&mut kept, &mut now);
    accept(&mut folded, &mut 0);
    for coming in script {
        times += usize::from(through(&mut folded, &ground, &setting));
        if matches!(coming, Coming::Cancel) {
            let asked = kept.on(Event::CancelAsked, now, MID);
            assert_eq!(asked, folded.on(Event::CancelAsked, now, MID));
            give(&mut folded, &setting);
            continue;
        }
        let mut other = now;
        let (a, b) = (act(&mut kept, &mut now), act(&mut folded, &mut other));
        assert_eq!((shown(&a), now), (shown(&b), other));
        let event = || match (&a, coming) {
            (Action::Exchange { .. }, Coming::Answer(status, body)) => {
                Some(Event::Answered(answer(*status, body)))
            }
            (Action::Exchange { .. }, _) => Some(Event::Broken(Fault::new(Kind::NotSent, "cut"))),
            (Action::Fetch { .. }, _) => Some(Event::Fetched(vec![ArtifactFacts::default()])),
            _ => None,
        };
        let (Some(one), Some(two)) = (event(), event()) else {
            break;
        };
        assert_eq!(kept.on(one, now, MID), folded.on(two, now, MID));
        give(&mut folded, &setting);
    }
    assert_eq!(kept.captured(), folded.captured());
    times
}

fn give(flow: &mut Flow, given: &Setting) {
    if flow.lacks_call() {
        flow.give_call(Arc::clone(&given.checked), Arc::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_folded_run_decides_as_one_that_stayed(script in prop::collection::vec(coming(), 1..24), long: bool) {
        for (_, profile) in profiles() {
            play(&profile, long, &script);
        }
    }
}

#[test]
fn polls_that_wait_are_folded_whatever_they_read() {
    let running = Coming::Answer(200, json!({"status": "running"}));
    for (name, profile) in profiles() {
        for long in [false, true] {
            assert_eq!(play(&profile, long, &vec![running.clone(); 5]), 5, "{name}");
        }
    }
}

#[test]
fn a_waiting_run_of_300_bytes_captured_is_below_one_kilobyte() {
    let (setting, mut flow) = started(
        &json!({"response_mapping": {"extract": {"region": "region"}}}),
        false,
    );
    let ground = Ground::new(setting);
    let (job, region) = ("j".repeat(45), "r".repeat(300));
    let verdict = say(
        &mut flow,
        &mut 0,
        200,
        &json!({"id": job, "region": region}),
    );
    assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
    let folded = flow.fold(&ground).unwrap();
    let bytes = size_of::<Folded>() + folded.held_bytes();
    assert!(bytes < 1_000, "{bytes}");
}

#[test]
fn what_cannot_be_made_small_comes_back_whole() {
    let (setting, mut flow) = started(&json!({}), false);
    let ground = Ground::new(setting);
    let flow = {
        let _ = act(&mut flow, &mut 0);
        flow.fold(&ground).unwrap_err()
    };
    assert!(flow.in_flight, "a submit on the wire is not folded");
}
