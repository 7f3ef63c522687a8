//! What the API says of itself: the OpenAPI document, and the same as a page.

use super::House;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

/// Both, made once.
#[derive(Debug)]
pub(super) struct About {
    document: String,
    page: String,
}

impl About {
    pub(super) fn of(api: utoipa::openapi::OpenApi) -> Arc<Self> {
        let document = crate::openapi::finished(api);
        let page = crate::docs::page(&document).unwrap_or_else(|error| {
            tracing::error!(%error, "the page of the API cannot be written");
            String::new()
        });
        Arc::new(Self {
            document: document.to_string(),
            page,
        })
    }
}

/// The API as an OpenAPI 3.1 document
#[utoipa::path(
    get, path = "/openapi.json", tag = "service", operation_id = "getOpenApi",
    responses((status = 200, description = "This document", body = Object, content_type = "application/json"))
)]
pub(super) async fn document(State(house): State<House>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], house.about.document.clone()).into_response()
}

/// The API as a page to read
#[utoipa::path(
    get, path = "/docs", tag = "service", operation_id = "getDocs",
    responses((status = 200, description = "Needs no scripts and nothing from elsewhere", body = String, content_type = "text/html"))
)]
pub(super) async fn page(State(house): State<House>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (headers, house.about.page.clone()).into_response()
}
