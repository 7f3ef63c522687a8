//! Answers only to names of this machine, where no keys are asked for: a page in the user's browser that lets its own name lead to
//! 127.0.0.1 (DNS rebinding) must not spend the user's money.

use crate::problem::{Problem, Violation};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use diag::Code;
use std::net::IpAddr;

pub(crate) async fn only_local(request: Request, next: Next) -> Response {
    let authority = request.uri().authority().cloned();
    let header = || request.headers().get(HOST)?.to_str().ok()?.parse().ok();
    if authority
        .or_else(header)
        .is_some_and(|authority| is_local(&authority))
    {
        return next.run(request).await;
    }
    let message = "this server answers to names of its own machine only";
    let violation = Violation::new(
        Code::C170,
        message,
        "call it as `localhost`, `127.0.0.1` or `[::1]`",
    );
    Problem::new(StatusCode::MISDIRECTED_REQUEST, violation.in_header(HOST)).into_response()
}

fn is_local(authority: &Authority) -> bool {
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn only_names_of_this_machine_are_local() {
        let cases = [
            ("localhost",            true),
            ("LocalHost:8080",       true),
            ("127.0.0.1:8080",       true),
            ("127.8.9.1",            true),
            ("[::1]:8080",           true),
            ("localhost.attack.com", false),
            ("127.0.0.1.nip.io",     false),
            ("192.168.1.2:8080",     false),
            ("0.0.0.0:8080",         false),
        ];
        for (host, want) in cases {
            assert_eq!(is_local(&host.parse().unwrap()), want, "{host}");
        }
    }
}
