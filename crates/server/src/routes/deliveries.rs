//! `/v1/deliveries`, the webhook secret, and a test of a receiver: callbacks out, for those who are called.

use super::House;
use super::list::{self, Asked};
use super::path::DeliveryPath;
use crate::call::{read_body, read_optional_body};
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::{Problem as ProblemBody, RotateSecret, TestWebhook};
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use diag::{Code, ExposeSecret as _};
use runtime::{
    DeliveriesFilter, DeliveryDetail, DeliveryPage, DeliveryStatus, DeliveryView,
    WebhookSecretFacts, WebhookTested,
};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use utoipa::ToSchema;

/// Members of a rotation.
pub(super) const ROTATE: &[&str] = &["overlap_ms"];
/// Members of a test.
pub(super) const TEST: &[&str] = &["url"];
/// How long the old secret signs beside the new one.
const OVERLAP: Duration = Duration::from_secs(24 * 3_600);
/// At most so long.
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Lists callbacks, newest first
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "callbacks", operation_id = "listDeliveries",
    params(("run" = Option<Uuid>, Query, description = "Only of this run"), ("status" = Option<String>, Query, description = "`pending`, `delivered` or `failed`"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, newest first", body = DeliveryPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<DeliveryPage>, Problem> {
    let (mut run, mut status) = (None, None);
    let page = list::page(query, "run, status, limit, after", |name, value| {
        match name {
            "run" => run = Some(value),
            "status" => status = Some(value),
            _ => return false,
        }
        true
    })?;
    let filter = DeliveriesFilter {
        run: run.map(|text| list::uuid("run", &text)).transpose()?,
        status: status.map(|text| status_of(&text)).transpose()?,
        after: page.after,
        limit: page.limit,
    };
    Ok(Json(
        house.modelrow.deliveries(caller.tenant(), &filter).await?,
    ))
}

fn status_of(word: &str) -> Result<DeliveryStatus, Problem> {
    serde_json::from_value(Value::from(word)).map_err(|_| {
        let message = format!("`{word}` is no status of a delivery");
        let violation = Violation::new(Code::C190, message, "known are pending, delivered, failed");
        Problem::new(StatusCode::BAD_REQUEST, violation)
    })
}

/// Shows a callback with every attempt and its answer
#[utoipa::path(
    get, path = "/v1/deliveries/{id}", tag = "callbacks", operation_id = "getDelivery", params(("id" = Uuid, Path, description = "The callback, as `webhook-id` has it")),
    responses((status = 200, description = "The callback", body = DeliveryDetail))
)]
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    DeliveryPath(id): DeliveryPath,
) -> Result<Json<DeliveryDetail>, Problem> {
    Ok(Json(house.modelrow.delivery(caller.tenant(), id).await?))
}

/// Sends a callback once more, whatever became of it, under its own id
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/resend", tag = "callbacks", operation_id = "resendDelivery", params(("id" = Uuid, Path, description = "The callback, as `webhook-id` has it")),
    responses((status = 202, description = "It is sent", body = DeliveryView))
)]
pub(super) async fn resend(
    State(house): State<House>,
    caller: Caller,
    DeliveryPath(id): DeliveryPath,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let (tenant, modelrow) = (caller.tenant(), &house.modelrow);
    modelrow.resend(tenant, id).await?;
    let shown = modelrow.delivery(tenant, id).await?;
    Ok((StatusCode::ACCEPTED, Json(shown.delivery)))
}

/// Makes a new secret that signs your callbacks
///
/// The one before it signs beside it for a while: a message then has both signatures, and a receiver with either is content.
#[utoipa::path(
    post, path = "/v1/webhook-secret/rotate", tag = "callbacks", operation_id = "rotateWebhookSecret", request_body = Option<RotateSecret>,
    responses((status = 200, description = "With the secret, which is shown this once", body = SecretShown), (status = 409, description = "The house has no key to seal the secret with", body = ProblemBody, content_type = "application/problem+json"))
)]
pub(super) async fn rotate(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let overlap = overlap(json::read_optional(&headers, body).await?)?;
    let rotated = house
        .modelrow
        .webhook_secret_rotate(caller.tenant(), overlap);
    let rotated = rotated.await?;
    let shown = SecretShown {
        facts: rotated.facts(),
        secret: rotated.secret.expose_secret().to_owned(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(shown)).into_response())
}

/// A secret that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretShown {
    /// `whsec_…`: the whole secret.
    secret: String,
    #[serde(flatten)]
    facts: WebhookSecretFacts,
}

fn overlap(body: Option<Value>) -> Result<Duration, Vec<Violation>> {
    read_optional_body(body, ROTATE, |fields| {
        let ms = fields.integer::<u64>("overlap_ms");
        let overlap = ms.map_or(OVERLAP, Duration::from_millis);
        if overlap > LONGEST_OVERLAP {
            let help = "give at most 2592000000, which is 30 days, or leave it out: a day";
            fields.refuse("overlap_ms", Code::C154, "`overlap_ms` is too long", help);
        }
        Some(overlap)
    })
}

/// Sends a signed message to an address, and says what it answered
///
/// Of the type `webhook.test`, once, through the guard that callbacks pass. What the receiver answers is no error of this call.
#[utoipa::path(
    post, path = "/v1/webhooks/test", tag = "callbacks", operation_id = "testWebhook", request_body = TestWebhook,
    responses((status = 200, description = "What came of it", body = WebhookTested))
)]
pub(super) async fn test(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<WebhookTested>, Problem> {
    let body = json::read(&headers, body).await?;
    let url = read_body(body, TEST, |fields| fields.required_text("url"))?;
    Ok(Json(
        house.modelrow.webhook_test(caller.tenant(), &url).await?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    #[rustfmt::skip]
    fn the_old_secret_signs_beside_the_new_one_for_a_day_and_for_thirty_at_most() {
        let cases = [
            (None,                                         Some(86_400_000)),
            (Some(json!({})),                              Some(86_400_000)),
            (Some(json!({"overlap_ms": 0})),               Some(0)),
            (Some(json!({"overlap_ms": 2_592_000_000_u64})), Some(2_592_000_000)),
            (Some(json!({"overlap_ms": 2_592_000_001_u64})), None),
            (Some(json!({"overlap_ms": -1})),              None),
            (Some(json!({"overlap": 1})),                  None),
        ];
        for (body, want) in cases {
            assert_eq!(overlap(body.clone()).ok().map(|wait| wait.as_millis()), want, "{body:?}");
        }
    }
}
