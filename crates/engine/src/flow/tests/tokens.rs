//! Runs that are proved by an access token.

use super::*;
use crate::auth::token::{Source, Token};
use crate::testing::{revision_proved_by, setting_with};
use diag::Secret;

const CLIENT: &str = r#"{"client_id": "i", "client_secret": "hidden"}"#;

fn token(text: &str, fresh_until_ms: i64) -> Token {
    Token {
        secret: Secret::from(text.to_owned()),
        expires_at_ms: fresh_until_ms + 60_000,
        fresh_until_ms,
    }
}

fn proved(profile: &Value) -> Setting {
    let revision = revision_proved_by(
        &json!({"auth_type": "oauth2_client_credentials", "config": {"token_url": "https://api.acme.ai/token"}}),
        profile,
    );
    setting_with(revision, &call("a cat"), CLIENT)
}

fn asks_for_a_token(flow: &mut Flow, now_ms: &mut i64) {
    match act(flow, now_ms) {
        Action::Token { auth: None } => {}
        other => panic!("no token is asked for: {other:?}"),
    }
}

/// One that has a token for an hour, and its job.
fn followed(profile: &Value) -> (Flow, i64) {
    let (mut flow, mut now) = (Flow::new(proved(profile)), 0);
    flow.give_token(None, &token("tok-1", 3_600_000));
    let verdict = say(&mut flow, &mut now, 200, &json!({"id": "job-1"}));
    assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
    (flow, now)
}

#[test]
fn without_an_auth_profile_nothing_is_added() {
    let profile = json!({"auth_profile": null});
    let revision = revision_of(&profile, &json!({"conventions": {"headers": null}}));
    let Action::Submit(request) = Flow::new(setting_of(revision, &call("a cat"))).next(0, drawn(0))
    else {
        panic!("no submit");
    };
    let names: Vec<&str> = request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!((names, request.url.query()), (vec!["Content-Type"], None));
    assert!(request.proof.signer.is_none() && request.proof.token.is_none());
}

#[test]
fn a_token_is_asked_for_before_what_it_proves_and_again_when_it_ends() {
    let (mut flow, mut now) = (Flow::new(proved(&json!({}))), 0);
    asks_for_a_token(&mut flow, &mut now);
    let Source::Ask(request) = flow.token_source(None, None, drawn(0)).unwrap() else {
        panic!("it cannot be made here");
    };
    assert_eq!(request.url.as_str(), "https://api.acme.ai/token");
    flow.give_token(None, &token("tok-1", 1_000));
    let Action::Submit(request) = act(&mut flow, &mut now) else {
        panic!("nothing is lacking");
    };
    assert_eq!(request.header("authorization"), Some("Bearer tok-1"));
    let _ = flow.on(Event::Answered(answer(200, &json!({"id": "j"}))), now, MID);
    asks_for_a_token(&mut flow, &mut now);
    assert_eq!(now, 2_000, "when the poll is due, not before");
    flow.give_token(None, &token("tok-2", 9_000));
    let Action::Exchange { request, .. } = act(&mut flow, &mut now) else {
        panic!("nothing is lacking");
    };
    assert_eq!(request.header("authorization"), Some("Bearer tok-2"));
}

#[test]
fn what_a_missing_token_means_is_said_by_its_class_and_by_what_is_paid_for() {
    let refused = || Fault::new(Kind::TokenRefused(Class::Authentication), "no");
    let away = || Fault::new(Kind::TokenRefused(Class::Transient), "no");
    let unfit = || Fault::new(Kind::BadSecret, "no");
    let first = |fault: Fault| {
        let (mut flow, mut now) = (Flow::new(proved(&json!({}))), 0);
        asks_for_a_token(&mut flow, &mut now);
        match flow.on(Event::NoToken(fault), now, MID) {
            Verdict::NotSent { retry, .. } => retry.is_some(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (first(refused()), first(away()), first(unfit())),
        (false, true, false)
    );
    let later = |fault: Fault| {
        let (mut flow, mut now) = followed(&json!({}));
        flow.forget_token(None);
        asks_for_a_token(&mut flow, &mut now);
        let verdict = flow.on(Event::NoToken(fault), now, MID);
        assert!(
            matches!(flow.next(now, drawn(now)), Action::Wait { .. }),
            "it goes on"
        );
        word(&verdict)
    };
    assert_eq!(later(refused()), "credential token_refused");
    assert_eq!(later(unfit()), "credential token_refused");
    assert_eq!(later(away()), "continue");
}

#[test]
fn a_file_waits_for_the_token_too() {
    let (mut flow, mut now) = followed(&json!({}));
    let _ = say(&mut flow, &mut now, 200, &json!({"status": "done"}));
    flow.forget_token(None);
    asks_for_a_token(&mut flow, &mut now);
    let fault = Fault::new(Kind::TokenRefused(Class::Authentication), "no");
    let verdict = flow.on(Event::NoToken(fault), now, MID);
    assert_eq!(
        word(&verdict),
        "credential token_refused",
        "the job is paid for"
    );
    asks_for_a_token(&mut flow, &mut now);
    flow.give_token(None, &token("tok-2", now + 1));
    assert!(matches!(act(&mut flow, &mut now), Action::Fetch { .. }));
}

#[test]
fn a_replay_has_a_token_before_its_count_is_written() {
    let profile =
        json!({"transport": {"idempotency": {"header": "Key"}, "settle": {"kind": "replay"}}});
    let resume = Resume {
        state: Some(RunState::SubmitUnknown),
        sent_at_ms: Some(0),
        ..Resume::default()
    };
    let mut flow = Flow::resume(proved(&profile), resume).unwrap();
    asks_for_a_token(&mut flow, &mut 0);
    flow.give_token(None, &token("tok-1", 1_000));
    assert!(matches!(act(&mut flow, &mut 0), Action::Replay));
}

#[test]
fn a_submit_that_is_refused_with_its_token_is_repeated_once() {
    let (mut flow, mut now) = (Flow::new(proved(&json!({}))), 0);
    flow.give_token(None, &token("tok-1", 3_600_000));
    let mut words = Vec::new();
    for _ in 0..2 {
        let verdict = say(&mut flow, &mut now, 401, &json!({}));
        words.push(word(&verdict));
        // What it knows of itself survives a crash.
        let resume = Resume {
            captured: Some(flow.captured()),
            ..Resume::default()
        };
        flow = Flow::resume(proved(&json!({})), resume).unwrap();
        flow.give_token(None, &token("tok-2", 3_600_000));
    }
    assert_eq!(
        words,
        ["again authentication 0 free", "refused authentication"]
    );
    // 403 is no token's.
    let mut flow = Flow::new(proved(&json!({})));
    flow.give_token(None, &token("tok-1", 3_600_000));
    let verdict = say(&mut flow, &mut 0, 403, &json!({}));
    assert_eq!(word(&verdict), "refused authentication");
}
