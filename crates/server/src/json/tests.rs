use super::*;
use axum::http::header::CONTENT_LENGTH;

fn wrong(text: &str) -> Vec<(Code, String)> {
    let found = parse(text.as_bytes()).err().unwrap_or_default();
    found
        .iter()
        .map(|one| (one.code, one.pointer().unwrap_or("no pointer").to_owned()))
        .collect()
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
#[rustfmt::skip]
fn only_json_is_taken_for_json() {
    let cases = [
        ("application/json",                    true),
        ("Application/JSON; charset=utf-8",     true),
        ("application/merge-patch+json",        true),
        ("text/plain",                          false),
        ("text/json",                           false),
        ("application/x-www-form-urlencoded",   false),
        ("application/jsonx",                   false),
        ("",                                    false),
    ];
    for (value, want) in cases {
        assert_eq!(is_json(value.as_bytes()), want, "{value}");
    }
}

#[test]
fn a_text_that_no_database_keeps_is_refused_at_its_place() {
    let nul = r#"{"a": ["x", "y\u0000"], "b\u0000": 1}"#;
    let places = [(Code::C154, "/a/1".to_owned()), (Code::C154, String::new())];
    assert_eq!(wrong(nul), places);
    assert_eq!(wrong(r#"{"a": "\\u0000", "b": "\u00001"}"#).len(), 1);
    assert_eq!(wrong(r#"{"a": "\\u0000 \u0001"}"#), []);
}

#[test]
fn a_body_is_nested_64_levels_at_most() {
    assert_eq!(wrong(&nested(64)), []);
    for levels in [65, 127, 128, 100_000] {
        assert_eq!(
            wrong(&nested(levels)),
            [(Code::C152, String::new())],
            "{levels}"
        );
    }
}

#[test]
fn a_text_that_is_not_json_is_named_by_line_and_column() {
    let found = parse(b"{\n \"a\": 1,\n}").unwrap_err();
    assert!(
        format!("{found:?}").contains("line 3, column 1"),
        "{found:?}"
    );
    for text in ["", "{", "nope", "{} {}", "\"\u{1}\""] {
        assert_eq!(wrong(text), [(Code::C150, String::new())], "{text:?}");
    }
    assert!(parse(b"\"\xff\"").is_err(), "not UTF-8");
}

#[test]
#[rustfmt::skip]
fn a_member_given_twice_is_refused_at_its_place() {
    let cases: [(&str, &[&str]); 8] = [
        (r#"{"a":1,"b":1}"#,                          &[]),
        (r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#,    &[]),
        (r#"{"a":"a","b":"a"}"#,                      &[]),
        (r#"{"a":1,"a":1}"#,                          &["/a"]),
        (r#"{"x":[0,{"a":1,"b":2,"a":3}]}"#,          &["/x/1/a"]),
        (r#"{"a\"b":1,"a\"b":1}"#,                    &["/a\"b"]),
        (r#"{"a":{"c":"}\\","c":1},"a":[]}"#,         &["/a/c", "/a"]),
        (r#"{"caf\u00e9":1,"café":2}"#,               &["/café"]),
    ];
    for (text, want) in cases {
        let want: Vec<_> = want.iter().map(|pointer| (Code::C165, (*pointer).to_owned())).collect();
        assert_eq!(wrong(text), want, "{text}");
    }
}

#[test]
fn a_long_body_is_refused_before_it_is_read() {
    let headers = |length: &str| {
        HeaderMap::from_iter([
            (CONTENT_TYPE, "application/json".parse().unwrap()),
            (CONTENT_LENGTH, length.parse().unwrap()),
        ])
    };
    let never = Body::from_stream(futures_util::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >());
    let long = (MAX_BODY_BYTES + 1).to_string();
    let headers = headers(&long);
    let mut reading = std::pin::pin!(read(&headers, never));
    let waker = futures_util::task::noop_waker();
    let found = reading
        .as_mut()
        .poll(&mut std::task::Context::from_waker(&waker));
    assert!(
        matches!(found, std::task::Poll::Ready(Err(_))),
        "the body is not waited for"
    );
}

#[tokio::test]
async fn a_body_that_hides_its_length_is_read_up_to_the_limit() {
    let mib = vec![b' '; 1024 * 1024];
    let endless = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(mib.clone()));
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
    let problem = read(&headers, Body::from_stream(endless))
        .await
        .unwrap_err();
    assert!(format!("{problem:?}").contains("C151"), "{problem:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_call() {
    let parts = [Ok("{}"), Err(std::io::Error::other("gone"))];
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
    let problem = read(
        &headers,
        Body::from_stream(futures_util::stream::iter(parts)),
    )
    .await
    .unwrap_err();
    assert!(format!("{problem:?}").contains("C168"), "{problem:?}");
}
