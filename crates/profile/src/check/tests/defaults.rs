//! Section 11 of the language, row by row: what absence means, and the bounds with one beyond each.

use super::{poll, with};
use crate::revision::{
    Action, AuthKind, BodyKind, Download, Mode, Revision, Settle, TokenPlace, Verify,
};
use diag::Code;
use serde_json::{Map, Value, json};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

const TRANSPORT: &str = "/profiles/0/transport";
const POLL: &str = "/profiles/0/workflow/steps/0";
const FILE: &str = "/profiles/0/workflow/steps/1";
const MODEL: &str = "/models/0/capabilities";
const AUTH: &str = "/auth_profiles/0";

/// One number of the table.
struct Row {
    /// Where its object stands, its name.
    of: (String, &'static str),
    /// What must stand beside it, so that only the number is judged.
    beside: Vec<(String, Value)>,
    default: f64,
    least: f64,
    most: f64,
    /// Reads it from the compiled revision.
    read: fn(&Revision) -> f64,
}

fn download(revision: &Revision) -> &Download {
    let mut steps = revision.workflow.steps.iter();
    let found = steps.find_map(|step| match &step.action {
        Action::Download(download) => Some(&**download),
        _ => None,
    });
    found.unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "none is above 2^53")]
fn real(number: u64) -> f64 {
    number as f64
}

fn jwt(revision: &Revision) -> &crate::revision::Jwt {
    match &revision.auth.as_ref().unwrap().kind {
        AuthKind::JwtHs256(jwt) => jwt,
        _ => panic!("another kind"),
    }
}

/// A number of a poll, with a first wait and a life that leave room for it.
fn of_poll(name: &'static str, numbers: (u64, u64, u64), read: fn(&Revision) -> f64) -> Row {
    let (default, least, most) = numbers;
    Row {
        of: (POLL.to_owned(), name),
        beside: Vec::new(),
        default: real(default),
        least: real(least),
        most: real(most),
        read,
    }
}

#[rustfmt::skip]
fn polls() -> Vec<Row> {
    let at = |name: &str| format!("{POLL}/{name}");
    let at_once = || (at("initial_delay_ms"), json!(0));
    vec![
        of_poll("interval_ms", (5 * SECOND, 250, HOUR), |r| real(poll(r).interval_ms)),
        Row { beside: vec![(at("interval_ms"), json!(700))], ..of_poll("initial_delay_ms", (700, 0, HOUR), |r| real(poll(r).initial_delay_ms)) },
        Row { beside: vec![(at("interval_ms"), json!(250))], ..of_poll("max_interval_ms", (MINUTE, 250, HOUR), |r| real(poll(r).max_interval_ms)) },
        Row { beside: vec![at_once()], ..of_poll("deadline_ms", (HOUR, SECOND, 7 * DAY), |r| real(poll(r).deadline_ms)) },
        Row { beside: vec![at_once(), (at("deadline_ms"), json!(SECOND))], ..of_poll("max_job_life_ms", (DAY, SECOND, 30 * DAY), |r| real(poll(r).max_job_life_ms)) },
        of_poll("not_found_grace_ms", (30 * SECOND, 0, HOUR), |r| real(poll(r).not_found_grace_ms)),
        of_poll("multiplier", (1, 1, 10), |r| poll(r).multiplier),
        Row { default: 0.1, ..of_poll("jitter", (0, 0, 1), |r| poll(r).jitter) },
    ]
}

fn lookup() -> Value {
    json!({ "kind": "lookup", "path": "/videos/by/{{run.id}}", "job_id_path": "id" })
}

fn signed_token() -> Vec<(String, Value)> {
    let config = json!({ "split": {"by": ".", "into": ["id", "key"]}, "claims": {"iss": "{{secret.id}}"}, "key": "{{secret.key}}" });
    vec![
        (format!("{AUTH}/auth_type"), json!("jwt_hs256")),
        (format!("{AUTH}/config"), config),
        (
            "/provider/conventions/headers".to_owned(),
            json!({"Authorization": "Bearer {{accessToken}}"}),
        ),
    ]
}

#[rustfmt::skip]
fn others() -> Vec<Row> {
    let row = |of: String, name, (default, least, most): (u64, u64, u64), read| Row {
        of: (of, name), beside: Vec::new(), default: real(default), least: real(least), most: real(most), read,
    };
    let retry = |name, numbers, read| Row {
        beside: vec![(format!("{TRANSPORT}/retry"), json!({}))],
        ..row(format!("{TRANSPORT}/retry"), name, numbers, read)
    };
    let token = |name, numbers, read| Row { beside: signed_token(), ..row(format!("{AUTH}/config"), name, numbers, read) };
    let webhook = json!({"job_id_path": "id", "verify": {"kind": "standard_webhooks", "secret": "env:ACME_WEBHOOK"}});
    vec![
        row(TRANSPORT.into(), "timeout_ms", (MINUTE, SECOND, 15 * MINUTE), |r| real(r.submits[0].exchange.timeout_ms)),
        row(POLL.into(), "timeout_ms", (MINUTE, SECOND, 15 * MINUTE), |r| real(r.workflow.steps[0].exchange.as_ref().unwrap().timeout_ms)),
        row(FILE.into(), "timeout_ms", (MINUTE, SECOND, 15 * MINUTE), |r| real(r.workflow.steps[1].exchange.as_ref().unwrap().timeout_ms)),
        retry("max", (3, 0, 10), |r| f64::from(r.terms().unwrap().retry.max)),
        retry("backoff_ms", (500, 0, 10 * MINUTE), |r| real(r.terms().unwrap().retry.backoff_ms)),
        retry("max_backoff_ms", (20 * SECOND, 0, 10 * MINUTE), |r| real(r.terms().unwrap().retry.max_backoff_ms)),
        Row {
            beside: vec![(format!("{TRANSPORT}/idempotency"), json!({"header": "Idempotency-Key"}))],
            ..row(format!("{TRANSPORT}/idempotency"), "retention_s", (86_400, 1, 30 * 86_400), |r| {
                let idempotency = r.terms().unwrap().idempotency.as_ref().unwrap();
                assert!(matches!(idempotency.place, TokenPlace::Header(_)));
                real(idempotency.retention_s)
            })
        },
        Row {
            beside: vec![(format!("{TRANSPORT}/settle"), lookup())],
            ..row(format!("{TRANSPORT}/settle"), "visible_after_ms", (MINUTE, 0, DAY), |r| match &r.terms().unwrap().settle {
                Some(Settle::Lookup { visible_after_ms, .. }) => real(*visible_after_ms),
                _ => panic!("no look-up"),
            })
        },
        row(TRANSPORT.into(), "max_bytes", (16 * MIB, 1, 256 * MIB), |r| real(r.submits[0].exchange.max_bytes)),
        row(POLL.into(), "max_bytes", (16 * MIB, 1, 256 * MIB), |r| real(r.workflow.steps[0].exchange.as_ref().unwrap().max_bytes)),
        row(FILE.into(), "max_bytes", (4 * GIB, 1, 64 * GIB), |r| real(download(r).max_bytes)),
        Row {
            beside: vec![(format!("{MODEL}/inputs"), json!({"image": {"kind": "image"}})), (format!("{TRANSPORT}/body/image"), json!("{{inputs.image.base64}}"))],
            ..row(format!("{MODEL}/inputs/image"), "max_bytes", (64 * MIB, 1, GIB), |r| real(r.capabilities.inputs[0].max_bytes))
        },
        token("lifetime_s", (1_800, 1, 86_400), |r| real(jwt(r).lifetime_s)),
        token("skew_s", (5, 0, 3_600), |r| real(jwt(r).skew_s)),
        Row {
            beside: vec![("/profiles/0/workflow/webhook".into(), webhook)],
            ..row("/profiles/0/workflow/webhook/verify".into(), "tolerance_s", (300, 1, 3_600), |r| match &r.webhook.as_ref().unwrap().verify {
                Verify::Signed(signature) => real(signature.tolerance_s),
                Verify::None => panic!("no signature"),
            })
        },
    ]
}

/// A whole number is written as one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be whole and positive"
)]
fn number(value: f64) -> Value {
    match value.fract() == 0.0 && value >= 0.0 {
        true => json!(value as u64),
        false => json!(value),
    }
}

#[test]
fn every_number_of_the_table_has_its_default_and_is_refused_one_beyond_its_bounds() {
    for row in polls().into_iter().chain(others()) {
        let pointer = format!("{}/{}", row.of.0, row.of.1);
        let set = |value: Value| {
            let mut changes = row.beside.clone();
            // The good bundle says some of them: null takes it away.
            changes.push((pointer.clone(), value));
            let changes: Vec<(&str, Value)> = changes
                .iter()
                .map(|(at, value)| (at.as_str(), value.clone()))
                .collect();
            with(&changes)
        };
        for (given, want) in [
            (Value::Null, row.default),
            (number(row.least), row.least),
            (number(row.most), row.most),
        ] {
            let (revision, found) = set(given.clone());
            assert!(!found.has_errors(), "{pointer} {given}: {found}");
            let got = (row.read)(&revision.unwrap());
            assert!(
                (got - want).abs() < 1e-9,
                "{pointer} {given}: {got}, not {want}"
            );
        }
        let step = if row.most <= 1.0 { 0.001 } else { 1.0 };
        for beyond in [row.most + step, row.least - step]
            .into_iter()
            .filter(|beyond| *beyond >= 0.0)
        {
            let (revision, found) = set(number(beyond));
            assert!(revision.is_none(), "{pointer} {beyond}");
            let codes: Vec<(Code, &str)> = found
                .iter()
                .map(|one| (one.code, one.place.pointer.as_str()))
                .collect();
            assert!(
                codes.contains(&(Code::P108, pointer.as_str())),
                "{pointer} {beyond}: {found}"
            );
        }
    }
}

#[test]
#[rustfmt::skip]
fn max_attempts_gives_the_deadline_where_no_deadline_is_given_and_has_bounds_of_its_own() {
    let poll_of = |attempts: Value| with(&[(&format!("{POLL}/deadline_ms"), Value::Null), (&format!("{POLL}/max_attempts"), attempts)]);
    for (attempts, deadline) in [(Value::Null, HOUR), (json!(1), 5 * SECOND), (json!(90), 450 * SECOND), (json!(100_000), 500_000 * SECOND)] {
        let (revision, found) = poll_of(attempts.clone());
        assert!(!found.has_errors(), "{attempts}: {found}");
        assert_eq!(poll(&revision.unwrap()).deadline_ms, deadline, "{attempts}");
    }
    for beyond in [0, 100_001] {
        let (revision, found) = poll_of(json!(beyond));
        assert!(revision.is_none() && found.iter().any(|one| one.code == Code::P108), "{beyond}: {found}");
    }
}

fn without(pointer: &str) -> Revision {
    let (revision, found) = with(&[(pointer, Value::Null)]);
    assert!(!found.has_errors(), "{pointer}: {found}");
    std::sync::Arc::into_inner(revision.unwrap()).unwrap()
}

#[test]
#[rustfmt::skip]
fn what_is_left_out_is_json_is_posted_where_it_has_a_body_and_finds_its_state_at_status() {
    let kind = without(&format!("{TRANSPORT}/kind"));
    assert_eq!(kind.submits[0].exchange.body.as_ref().unwrap().kind, BodyKind::Json);
    assert_eq!(poll(&without(&format!("{POLL}/status_path"))).status.source(), "status");
    assert_eq!(without(&format!("{TRANSPORT}/method")).submits[0].exchange.method, "POST");
    let (bare, _) = with(&[(&format!("{TRANSPORT}/method"), Value::Null), (&format!("{TRANSPORT}/body"), Value::Null), ("/prompt_templates/0/body", json!({}))]);
    assert_eq!(bare.unwrap().submits[0].exchange.method, "POST");
    for (body, method) in [(Value::Null, "GET"), (json!({"id": "{{job_id}}"}), "POST")] {
        let (revision, found) = with(&[(&format!("{POLL}/method"), Value::Null), (&format!("{POLL}/body"), body)]);
        assert!(!found.has_errors(), "{found}");
        assert_eq!(revision.unwrap().workflow.steps[0].exchange.as_ref().unwrap().method, method);
    }
    assert_eq!(without("/profiles/0/response_mapping/mode").response.mode, Mode::Json);
    let progress = without(&format!("{POLL}/progress_max"));
    assert!((poll(&progress).progress_max - 100.0).abs() < 1e-9);
}

#[test]
#[rustfmt::skip]
fn an_artifact_is_named_after_the_purpose_and_nothing_is_optional_required_or_strict_unless_it_is_said() {
    use crate::revision::Purpose;
    for purpose in Purpose::ALL {
        let want = if *purpose == Purpose::ThreeD { "model" } else { purpose.as_str() };
        assert_eq!(super::super::workflow::artifact_name(*purpose), want);
        assert!(super::super::names::is_name(want), "{want}");
    }
    let revision = without(&format!("{FILE}/artifact"));
    let file = download(&revision);
    assert_eq!((file.artifact.as_str(), file.optional), ("video", false));
    let input = (format!("{MODEL}/inputs"), json!({"image": {"kind": "image"}}));
    let read = (format!("{TRANSPORT}/body/image"), json!("{{inputs.image.base64}}"));
    let (revision, found) = with(&[(&input.0, input.1), (&read.0, read.1)]);
    assert!(!found.has_errors(), "{found}");
    let spec = &revision.unwrap().capabilities.inputs[0];
    assert_eq!((spec.max_count, spec.required), (1, false));
    assert!(!without("/response_schemas/0/strict").response.schema.as_ref().unwrap().strict);
}

#[test]
#[rustfmt::skip]
fn a_name_is_of_lower_case_letters_digits_and_underscores_and_has_at_most_64() {
    let cases = [
        ("v", true), ("video_2", true), (&*"v".repeat(64), true),
        (&*"v".repeat(65), false), ("Video", false), ("2d", false), ("_video", false), ("vi-deo", false), ("", false),
    ];
    for (name, good) in cases {
        let (revision, found) = with(&[(&format!("{FILE}/artifact"), json!(name))]);
        assert_eq!(revision.is_some(), good, "{name}: {found}");
        assert_eq!(found.iter().any(|one| one.code == Code::P111), !good, "{name}: {found}");
    }
}

#[test]
#[rustfmt::skip]
fn a_file_may_have_the_kind_of_its_content_type_else_of_the_purpose_else_any() {
    let step = |accept: Value, content_type: Value| {
        let (revision, found) = with(&[(&format!("{FILE}/accept"), accept), (&format!("{FILE}/content_type"), content_type)]);
        assert!(!found.has_errors(), "{found}");
        download(&revision.unwrap()).accept.clone()
    };
    assert_eq!(step(json!(["image/png", "text/vtt"]), json!("video/mp4")), ["image/png", "text/vtt"]);
    assert_eq!(step(Value::Null, json!("image/png")), ["image/*"]);
    assert_eq!(step(Value::Null, Value::Null), ["video/*"]);
    // The purpose: audio and music are sounds, 3d is a model, a text may be anything.
    for (purpose, want) in [("audio", Some("audio/*")), ("music", Some("audio/*")), ("image", Some("image/*")), ("3d", Some("model/*")), ("document", None), ("transcription", None)] {
        let (revision, found) = with(&[
            (&format!("{FILE}/content_type"), Value::Null), ("/profiles/0/purpose", json!(purpose)),
            ("/models/0/model_type", json!(purpose)), ("/models/0/response_schema", Value::Null),
        ]);
        let errors: Vec<String> = found.iter().filter(|one| one.is_error()).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{purpose}: {errors:?}");
        let accept = download(&revision.unwrap()).accept.clone();
        assert_eq!(accept, want.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{purpose}");
    }
}

#[test]
#[rustfmt::skip]
fn a_row_its_nesting_its_lists_and_its_texts_are_as_large_as_the_table_says_and_no_larger() {
    // Bytes of one row are counted where bundles are read, `bundle::tests`.
    let deep = |levels: usize| (0..levels).fold(json!("x"), |tree, _| json!([tree]));
    let cases = [
        // what stands in the body's `x`            good
        (json!("x".repeat(64 * 1024)),              true),
        (json!("x".repeat(64 * 1024 + 1)),          false),
        (json!(vec!["x"; 10_000]),                  true),
        (json!(vec!["x"; 10_001]),                  false),
        (deep(63),                                  true),
        (deep(65),                                  false),
    ];
    for (i, (value, good)) in cases.into_iter().enumerate() {
        let mut bundle: Value = serde_json::from_str(super::GOOD).unwrap();
        bundle["profiles"][0]["transport"]["body"] = Value::Object(Map::from_iter([("x".to_owned(), value)]));
        let (checked, _) = crate::bundle::check("b.json", &bundle.to_string());
        assert_eq!(checked.diagnostics.has_errors(), !good, "{i}: {}", checked.diagnostics);
    }
}
