//! What every answer says to browsers (headers of OWASP's REST cheat sheet), and which pages may ask: none of another origin,
//! unless configured (Fetch standard, CORS).

use crate::headers::{
    IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, PREFER, PREFERENCE_APPLIED, REQUEST_ID,
};
use crate::openai;
use axum::Router;
use axum::http::Method;
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
    IF_RANGE, LOCATION, RANGE, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use std::time::Duration;
use tower_http::cors::CorsLayer;
use tower_http::set_header::SetResponseHeaderLayer;

/// A page need not ask again for so long.
const PREFLIGHT_HOLDS: Duration = Duration::from_secs(600);

/// Where a handler has said otherwise, that stands.
const ALWAYS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    // What one key may see is no cache's.
    (CACHE_CONTROL, "no-store"),
];

pub(crate) fn guarded(app: Router) -> Router {
    ALWAYS.into_iter().fold(app, |app, (name, value)| {
        let value = HeaderValue::from_static(value);
        app.layer(SetResponseHeaderLayer::if_not_present(name, value))
    })
}

/// For pages of these origins. A key goes in `Authorization`, which a page must have been given: no cookies are taken.
pub(crate) fn for_pages(app: Router, origins: &[HeaderValue]) -> Router {
    if origins.is_empty() {
        return app;
    }
    let cors = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
        ])
        .allow_headers(
            [
                ACCEPT,
                AUTHORIZATION,
                CONTENT_TYPE,
                IF_MATCH,
                IF_NONE_MATCH,
                IF_RANGE,
                RANGE,
                IDEMPOTENCY_KEY,
                PREFER,
                REQUEST_ID,
                HeaderName::from_static("last-event-id"),
            ]
            .into_iter()
            .chain(openai::REQUEST_HEADERS)
            .collect::<Vec<_>>(),
        )
        .expose_headers(
            [
                CONTENT_DISPOSITION,
                CONTENT_RANGE,
                ETAG,
                LOCATION,
                RETRY_AFTER,
                IDEMPOTENCY_REPLAYED,
                PREFERENCE_APPLIED,
                REQUEST_ID,
            ]
            .into_iter()
            .chain(openai::RESPONSE_HEADERS)
            .collect::<Vec<_>>(),
        )
        .max_age(PREFLIGHT_HOLDS);
    app.layer(cors)
}
