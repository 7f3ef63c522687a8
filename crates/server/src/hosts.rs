//! Answers only to names of this machine, where no keys are asked for, and to none of the pages that a browser has open: a page
//! that lets its own name lead to 127.0.0.1 (DNS rebinding), or that calls this server from where it stands, must not spend the
//! user's money. Browsers say on every call that may change something which page makes it (`Origin`, Fetch standard).

use crate::problem::{Problem, Violation};
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use diag::Code;
use std::net::IpAddr;
use std::sync::Arc;

/// `pages`: the origins that may call, beside the server's own.
pub(crate) async fn only_local(
    State(pages): State<Arc<[HeaderValue]>>,
    request: Request,
    next: Next,
) -> Response {
    let authority = request.uri().authority().cloned();
    let header = || request.headers().get(HOST)?.to_str().ok()?.parse().ok();
    let Some(own) = authority.or_else(header).filter(is_local) else {
        return other_host().into_response();
    };
    if !is_no_other_page(request.headers(), &own, &pages) {
        return other_page().into_response();
    }
    next.run(request).await
}

fn other_host() -> Problem {
    let message = "this server answers to names of its own machine only";
    let violation = Violation::new(
        Code::C170,
        message,
        "call it as `localhost`, `127.0.0.1` or `[::1]`",
    );
    Problem::new(StatusCode::MISDIRECTED_REQUEST, violation.in_header(HOST))
}

fn other_page() -> Problem {
    let message = "a page of another origin calls, and no API keys are asked for";
    let help =
        "name the page's origin with `--cors-origin`, or start the server without `--no-auth`";
    let violation = Violation::new(Code::C176, message, help);
    Problem::new(StatusCode::FORBIDDEN, violation.in_header(ORIGIN))
}

/// No page calls, or one of the server's own, or of an origin that may. `null`, which many pages have, is nobody's.
fn is_no_other_page(headers: &HeaderMap, own: &Authority, pages: &[HeaderValue]) -> bool {
    headers.get_all(ORIGIN).iter().all(|origin| {
        let text = origin.to_str().unwrap_or_default();
        let rest = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(own.as_str())) || pages.contains(origin)
    })
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
    fn a_page_of_another_origin_is_told_from_our_own() {
        let pages = [HeaderValue::from_static("https://app.example.com")];
        let cases: [(&[&str], bool); 12] = [
            (&[],                                                   true),
            (&["http://localhost:8080"],                            true),
            (&["https://LOCALHOST:8080"],                           true),
            (&["https://app.example.com"],                          true),
            (&["http://localhost:3000"],                            false),
            (&["http://localhost"],                                 false),
            (&["http://127.0.0.1:8080"],                            false),
            (&["http://localhost:8080.attack.com"],                 false),
            (&["https://attack.com"],                               false),
            (&["null"],                                             false),
            (&[""],                                                 false),
            (&["http://localhost:8080", "https://attack.com"],      false),
        ];
        let own: Authority = "localhost:8080".parse().unwrap();
        for (origins, want) in cases {
            let mut headers = HeaderMap::new();
            for origin in origins {
                headers.append(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_no_other_page(&headers, &own, &pages), want, "{origins:?}");
        }
    }

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
