use super::*;
use axum::body::to_bytes;
use diag::{Diagnostics, Place};

async fn answer(problem: Problem) -> (u16, Value, Response<()>) {
    let (parts, body) = problem.into_response().into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    let document = serde_json::from_slice(&bytes).unwrap();
    (
        parts.status.as_u16(),
        document,
        Response::from_parts(parts, ()),
    )
}

fn refused() -> RunError {
    let error = |code, pointer: &str, message: &str| {
        Diagnostic::error(code, Place::pointer(pointer), message, "help")
    };
    RunError::Refused(Diagnostics(vec![
        error(Code::C103, "/params/seconds", "too long"),
        Diagnostic::warning(Code::C119, Place::default(), "shuts down soon", "help"),
        error(Code::C101, "/params/zoom", "unknown"),
    ]))
}

#[tokio::test]
async fn a_refused_call_is_a_problem_document_with_every_violation_and_no_warning() {
    let (status, document, response) = answer(refused().into()).await;
    assert_eq!(status, 422);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let want = json!({
        "type": "urn:modelrow:code:C103",
        "title": Code::C103.title(),
        "status": 422,
        "detail": "too long; and 1 more, see `errors`",
        "code": "C103",
        "errors": [
            {"code": "C103", "pointer": "/params/seconds", "message": "too long", "help": "help"},
            {"code": "C101", "pointer": "/params/zoom", "message": "unknown", "help": "help"},
        ],
    });
    assert_eq!(document, want);
}

#[tokio::test]
async fn a_key_used_for_another_call_is_a_conflict_that_names_the_run_and_the_header() {
    let run_id = Uuid::from_u128(7);
    let (status, document, _) = answer(RunError::KeyUsed { run_id }.into()).await;
    assert_eq!(
        (status, &document["run_id"]),
        (409, &json!(run_id.to_string()))
    );
    assert_eq!(document["errors"][0]["header"], "idempotency-key");
    assert_eq!(document["errors"][0].get("pointer"), None);
}

#[tokio::test]
async fn a_run_that_is_not_there_is_a_404() {
    let run_id = Uuid::from_u128(7);
    let (status, document, _) = answer(RunError::NoSuchRun { run_id }.into()).await;
    assert_eq!((status, &document["code"]), (404, &json!("R162")));
}

#[tokio::test]
async fn a_retry_time_is_a_header_in_seconds() {
    let violation = Violation::new(Code::C161, "not yet", "wait");
    let (_, _, response) =
        answer(Problem::new(StatusCode::CONFLICT, violation).retry_after(2)).await;
    assert_eq!(response.headers()[RETRY_AFTER], "2");
}

#[test]
fn a_chain_names_every_cause() {
    let inner = std::io::Error::other("disk full");
    let outer = std::io::Error::other(inner);
    assert_eq!(chain(&outer), "disk full");
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("not stored")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    assert_eq!(
        chain(&Outer(std::io::Error::other("disk full"))),
        "not stored: disk full"
    );
}
