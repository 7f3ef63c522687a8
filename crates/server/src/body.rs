//! Bodies, read whole: their size and their time are bounded, whoever sends them.

use crate::problem::{Problem, Violation};
use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use diag::Code;
use futures_util::TryStreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Bounds of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    /// From the first to the last byte.
    pub(crate) within: Duration,
    /// Between one piece and the next.
    pub(crate) pause: Duration,
    /// What to do instead of sending so much.
    pub(crate) instead: &'static str,
}

/// Reads it.
///
/// # Errors
///
/// 413 for too much, 408 for too slow, 400 for what ends before its end.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
) -> Result<Vec<u8>, Problem> {
    if announced(headers).is_some_and(|bytes| bytes > bounds.bytes as u64) {
        return Err(too_large(bounds));
    }
    let until = Instant::now() + bounds.within;
    timeout_at(until, collect(body, bounds))
        .await
        .unwrap_or_else(|_| Err(too_slow()))
}

/// The length that a body is said to have.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(body: Body, bounds: Bounds) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let next = timeout(bounds.pause, stream.try_next()).await;
        let Some(chunk) = next.map_err(|_| too_slow())?.map_err(|_| cut_off())? else {
            return Ok(bytes);
        };
        if bytes.len() + chunk.len() > bounds.bytes {
            return Err(too_large(bounds));
        }
        bytes.extend_from_slice(&chunk);
    }
}

pub(crate) fn too_large(bounds: Bounds) -> Problem {
    let message = format!("the body has more than {} bytes", bounds.bytes);
    let violation = Violation::new(Code::C151, message, bounds.instead).at("");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, violation)
}

pub(crate) fn too_slow() -> Problem {
    let violation = Violation::new(
        Code::C168,
        "the body did not come in time",
        "send it at once",
    )
    .at("");
    Problem::new(StatusCode::REQUEST_TIMEOUT, violation)
}

pub(crate) fn cut_off() -> Problem {
    let violation =
        Violation::new(Code::C168, "the body ended before its end", "send it whole").at("");
    Problem::new(StatusCode::BAD_REQUEST, violation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use futures_util::{StreamExt as _, stream};

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    /// So many pieces of 8 bytes, and then silence.
    fn pieces(many: usize) -> Body {
        let piece = || Ok::<_, std::io::Error>("8 bytes.");
        Body::from_stream(
            stream::repeat_with(piece)
                .take(many)
                .chain(stream::pending()),
        )
    }

    /// One after the other, without an end.
    fn dripping() -> Body {
        let drops = stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok::<_, std::io::Error>("")
        });
        Body::from_stream(drops)
    }

    #[tokio::test]
    #[rustfmt::skip]
    async fn a_body_that_is_too_slow_or_too_large_is_refused_as_soon_as_that_is_known() {
        let cases = [
            ("whole",                      Body::from("24 bytes are in time."), LONG,  LONG,  Ok(21)),
            ("silence from the beginning", pieces(0),                           LONG,  SHORT, Err(408)),
            ("silence in the middle",      pieces(3),                           LONG,  SHORT, Err(408)),
            ("drop by drop for too long",  dripping(),                          SHORT, LONG,  Err(408)),
            ("too much",                   pieces(13),                          LONG,  LONG,  Err(413)),
        ];
        for (why, body, within, pause, want) in cases {
            let bounds = Bounds { bytes: 100, within, pause, instead: "send less" };
            let read = read(&HeaderMap::new(), body, bounds).await;
            let found = read.map(|bytes| bytes.len()).map_err(|problem| problem.into_response().status().as_u16());
            assert_eq!(found, want, "{why}");
        }
        let bounds = Bounds { bytes: 100, within: LONG, pause: LONG, instead: "send less" };
        let announced = HeaderMap::from_iter([(CONTENT_LENGTH, 101.into())]);
        let refused = read(&announced, pieces(0), bounds).await.unwrap_err();
        assert_eq!(refused.code(), Some(Code::C151), "before a byte is read");
    }
}
