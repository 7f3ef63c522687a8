use super::*;
use crate::problem::Violation;
use runtime::{Limit, Over};
use std::time::Duration;

fn read(problem: Problem) -> (u16, Value, Option<String>) {
    let refusal = Refusal::from(problem);
    let object = refusal.object();
    let response = refusal.into_response();
    let again = response.headers().get(SHOULD_RETRY);
    let again = again.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), object, again)
}

#[test]
#[rustfmt::skip]
fn each_problem_has_the_status_the_type_and_the_word_of_that_api() {
    let at = |code: Code, pointer: &str| Violation::new(code, "it is wrong", "mend it").at(pointer);
    let cases = [
        (422, at(Code::C101, "/params/x"), (400, "invalid_request_error", "unknown_parameter",          Some("params.x"))),
        (400, at(Code::C153, "/secnds"),   (400, "invalid_request_error", "unknown_parameter",          Some("secnds"))),
        (422, at(Code::C116, "/prompt"),   (400, "invalid_request_error", "missing_required_parameter", Some("prompt"))),
        (422, at(Code::C102, "/a~1b/0"),   (400, "invalid_request_error", "invalid_type",               Some("a/b.0"))),
        (422, at(Code::C105, "/size"),     (400, "invalid_request_error", "invalid_value",              Some("size"))),
        (422, at(Code::C131, "/model"),    (404, "invalid_request_error", "model_not_found",            Some("model"))),
        (400, at(Code::C150, ""),          (400, "invalid_request_error", "C150",                       None)),
        (401, at(Code::C173, ""),          (401, "invalid_request_error", "invalid_api_key",            None)),
        (403, at(Code::C174, ""),          (403, "permission_error",      "insufficient_permissions",   None)),
        (404, at(Code::C158, ""),          (404, "invalid_request_error", "unknown_url",                None)),
        (405, at(Code::C159, ""),          (405, "invalid_request_error", "method_not_allowed",         None)),
        (413, at(Code::C151, ""),          (413, "invalid_request_error", "C151",                       None)),
        (503, at(Code::S120, ""),          (503, "server_error",          "S120",                       None)),
    ];
    for (status, violation, (want, kind, code, param)) in cases {
        let shown = format!("{violation:?}");
        let problem = Problem::new(StatusCode::from_u16(status).unwrap(), violation);
        let (status, object, again) = read(problem);
        assert_eq!(status, want, "{shown}");
        assert_eq!(object["type"], kind, "{shown}");
        assert_eq!(object["code"], code, "{shown}");
        assert_eq!(object["param"].as_str(), param, "{shown}");
        assert!(object["message"].as_str().unwrap().ends_with("it is wrong; mend it"), "{object}");
        assert_eq!(again, None, "{shown}");
    }
}

#[test]
fn what_must_not_be_repeated_says_so() {
    let problem = |status| {
        let status = StatusCode::from_u16(status).unwrap();
        Problem::new(status, Violation::new(Code::R161, "no", "mend it"))
    };
    let over = |limit, secs| {
        Problem::from(RunError::OverLimit {
            over: Over {
                limit,
                most: Some(1),
                until: None,
            },
            retry_after: Duration::from_secs(secs),
        })
    };
    let cases = [
        (problem(409), Some("false")),
        (problem(429), Some("false")),
        (problem(429).retry_after(1), None),
        (problem(429).retry_after(61), Some("false")),
        (problem(408), None),
        (problem(500), None),
        (problem(503).retry_after(5), None),
        (over(Limit::InFlight, 29), None),
        (over(Limit::Spend, 86_400), Some("false")),
    ];
    for (problem, want) in cases {
        let shown = format!("{problem:?}");
        let (_, object, again) = read(problem);
        assert_eq!(again.as_deref(), want, "{shown} {object}");
    }
    let (status, object, _) = read(over(Limit::Spend, 86_400));
    assert_eq!(
        (status, &object["type"]),
        (429, &json!("insufficient_quota"))
    );
    assert_eq!(object["code"], "insufficient_quota");
    assert_eq!(
        read(over(Limit::InFlight, 29)).1["code"],
        "rate_limit_exceeded"
    );
    let own = Refusal::new(StatusCode::BAD_GATEWAY, "x", "y").into_response();
    assert_eq!(own.headers()[SHOULD_RETRY], "false");
}

#[test]
fn every_mistake_of_a_call_is_in_the_one_message() {
    let violation = |name: &str| {
        Violation::new(Code::C153, format!("no {name}"), "mend it").at(format!("/{name}"))
    };
    let all = vec![violation("one"), violation("two")];
    let (_, object, _) = read(Problem::all(StatusCode::BAD_REQUEST, all));
    let message = object["message"].as_str().unwrap();
    assert_eq!(message, "`one`: no one; mend it\n`two`: no two; mend it");
    assert_eq!(object["param"], "one");
    let (status, object, _) = read(Problem::all(StatusCode::INTERNAL_SERVER_ERROR, Vec::new()));
    assert_eq!((status, &object["type"]), (500, &json!("server_error")));
}

#[test]
fn what_a_problem_says_in_headers_is_said_here_too() {
    let limited = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        Violation::new(Code::C175, "a", "b"),
    )
    .retry_after(7);
    let response = Refusal::from(limited).into_response();
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(response.headers()["content-type"], "application/json");
    let nobody = Problem::no_key(Violation::new(Code::C172, "a", "b"));
    assert!(
        Refusal::from(nobody)
            .into_response()
            .headers()
            .contains_key("www-authenticate")
    );
}
