//! `X-Request-Id` on every answer and in every line that is logged meanwhile.

use crate::headers::REQUEST_ID;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

/// Keeps the caller's id where it is plain, else makes one.
pub(crate) async fn assign(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(new);
    let span = tracing::info_span!("http", request.id = id.to_str().unwrap_or_default(), method = %request.method());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// 1 to 128 of `A-Z a-z 0-9 . _ -`: safe in a log and in a header.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let bytes = value.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    ((1..=128).contains(&bytes.len()) && bytes.iter().all(plain)).then(|| value.clone())
}

fn new() -> HeaderValue {
    let id = Uuid::now_v7().to_string();
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_the_caller_is_kept_only_where_it_is_plain() {
        let long = "a".repeat(129);
        let cases = [
            ("req_1.a-B", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            (&long, false),
        ];
        for (text, kept) in cases {
            let headers =
                HeaderMap::from_iter([(REQUEST_ID, HeaderValue::try_from(text).unwrap())]);
            assert_eq!(given(&headers).is_some(), kept, "{text:?}");
        }
    }
}
