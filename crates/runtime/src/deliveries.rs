//! Callbacks out: what was sent and what came of it, to be looked at, sent again, and tried.

mod send;

pub(crate) use send::{PLACES, serve};

use crate::error::RunError;
use crate::library::Modelrow;
use crate::list;
use crate::webhook;
use send::{Message, host, refused, sent};
use serde::Serialize;
use serde_json::json;
use std::time::Instant;
use store::Scope;
use store::deliveries::{DeliveryFilter, DeliveryRow, DeliveryStatus};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

/// Type of a message that tests a receiver.
const TEST: &str = "webhook.test";

/// A callback and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryView {
    /// The `webhook-id`.
    pub id: Uuid,
    /// Its run.
    pub run: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// `run.succeeded`, …
    pub event: String,
    /// Number of the event in the run's timeline.
    pub seq: i32,
    /// Where it goes, without what stands behind `?`: that may be a secret.
    pub url: Option<String>,
    /// How it stands.
    #[schema(value_type = String, example = "pending")]
    pub status: DeliveryStatus,
    /// Attempts since it was made, or sent again.
    pub attempts: i32,
    /// Of the last answer.
    pub last_status: Option<i16>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the event was.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it is tried next; of a pending one.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_at: Option<OffsetDateTime>,
    /// When it was delivered.
    #[serde(with = "time::serde::rfc3339::option")]
    pub delivered_at: Option<OffsetDateTime>,
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryAttemptView {
    /// Counted from 1.
    pub n: i32,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Milliseconds that it took.
    pub took_ms: Option<i32>,
    /// Of the receiver's answer; absent: it gave none.
    pub status: Option<i16>,
    /// The answer, shortened.
    pub answer: Option<String>,
    /// Why there was none.
    pub error: Option<String>,
}

/// Which deliveries to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct DeliveriesFilter {
    /// Only of this run.
    pub run: Option<Uuid>,
    /// Only those that stand so.
    pub status: Option<DeliveryStatus>,
    /// [`DeliveryPage::next`] of the page before.
    pub after: Option<String>,
    /// On the page, at most 500; absent: 50.
    pub limit: Option<u16>,
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<DeliveryView>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

/// A callback with every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// The callback.
    pub delivery: DeliveryView,
    /// Oldest first, over all times that it was sent again.
    pub attempts: Vec<DeliveryAttemptView>,
}

/// What came of a test of a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookTested {
    /// The `webhook-id` of the message.
    pub id: Uuid,
    /// Whether a callback would count as delivered: the answer was a 2xx.
    pub taken: bool,
    /// Of the receiver's answer; absent: it gave none.
    pub status: Option<i16>,
    /// The answer, shortened.
    pub answer: Option<String>,
    /// Why there was none.
    pub error: Option<String>,
    /// Milliseconds that it took.
    pub took_ms: i32,
}

impl Modelrow {
    /// A callback with every attempt.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchDelivery`]: also of one that the scope does not see. [`RunError::Store`].
    pub async fn delivery(
        &self,
        scope: impl Into<Scope>,
        id: Uuid,
    ) -> Result<DeliveryDetail, RunError> {
        let scope = scope.into();
        let asked = DeliveryFilter {
            id: Some(id),
            limit: 1,
            ..DeliveryFilter::default()
        };
        let row = self.core().store.deliveries(scope, &asked).await?.pop();
        let delivery = row.map(shown).ok_or(RunError::NoSuchDelivery { id })?;
        let attempts = self.delivery_attempts(scope, id).await?;
        Ok(DeliveryDetail { delivery, attempts })
    }

    /// Sends a signed message of the type `webhook.test` to an address, once, as callbacks are sent. What the receiver
    /// answers, or that it gives no answer, is no error.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`]: the address is none that callbacks may go to. [`RunError::NoWebhookSecret`], [`RunError::Sealed`],
    /// [`RunError::Store`].
    pub async fn webhook_test(&self, tenant: Uuid, url: &str) -> Result<WebhookTested, RunError> {
        let core = self.core();
        webhook::check_address(core, url)?;
        let secrets = webhook::secrets(core, tenant).await?;
        let id = Uuid::now_v7();
        let at = self.now().format(&Rfc3339).unwrap_or_default();
        let body = json!({"type": TEST, "timestamp": at, "seq": 0, "data": {"tenant": tenant, "message": "a test of this address"}});
        let begun = Instant::now();
        let came = match core.callback_places.take(&host(url), 1).pop() {
            None => refused("as many callbacks as may be are on their way to this host".to_owned()),
            Some(_place) => {
                let message = Message {
                    id,
                    url,
                    body: body.to_string().into(),
                };
                let sent = sent(core, &secrets, message).await;
                sent.ok_or(RunError::NoWebhookSecret)?.0
            }
        };
        Ok(WebhookTested {
            id,
            taken: matches!(came.status, Some(200..300)),
            status: came.status,
            answer: came.answer,
            error: came.error,
            took_ms: i32::try_from(begun.elapsed().as_millis()).unwrap_or(i32::MAX),
        })
    }

    /// Lists callbacks, newest first.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn deliveries(
        &self,
        scope: impl Into<Scope>,
        filter: &DeliveriesFilter,
    ) -> Result<DeliveryPage, RunError> {
        let limit = list::page_size(filter.limit);
        let asked = DeliveryFilter {
            id: None,
            run: filter.run,
            status: filter.status,
            after: list::after(filter.after.as_deref())?,
            limit: list::asked_for(limit),
        };
        let rows = self.core().store.deliveries(scope, &asked).await?;
        let (rows, next) = list::page(rows, limit, |row| (row.created_at, row.id));
        Ok(DeliveryPage {
            deliveries: rows.into_iter().map(shown).collect(),
            next,
        })
    }

    /// Every attempt of a callback, oldest first; of one that is not there, none.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn delivery_attempts(
        &self,
        scope: impl Into<Scope>,
        id: Uuid,
    ) -> Result<Vec<DeliveryAttemptView>, RunError> {
        let rows = self.core().store.delivery_attempts(scope, id).await?;
        let shown = rows.into_iter().map(|row| DeliveryAttemptView {
            n: row.n,
            at: row.at,
            took_ms: row.took_ms,
            status: row.status,
            answer: row.answer,
            error: row.error,
        });
        Ok(shown.collect())
    }

    /// Sends a callback once more, whatever became of it, under its own id.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchDelivery`], [`RunError::Store`]: resend it again.
    pub async fn resend(&self, scope: impl Into<Scope>, id: Uuid) -> Result<(), RunError> {
        if !self.core().store.delivery_resend(scope, id).await? {
            return Err(RunError::NoSuchDelivery { id });
        }
        self.core().callbacks.notify_one();
        Ok(())
    }
}

fn shown(row: DeliveryRow) -> DeliveryView {
    let status = row.status();
    DeliveryView {
        id: row.id,
        run: row.run_id,
        tenant: row.tenant_id,
        event: row.event,
        seq: row.seq,
        url: row.url.as_deref().and_then(without_query),
        status,
        attempts: row.attempts,
        last_status: row.last_status,
        last_error: row.last_error,
        created_at: row.created_at,
        next_at: Some(row.next_at).filter(|_| status == DeliveryStatus::Pending),
        delivered_at: row.done_at,
    }
}

fn without_query(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    let masked = url.query().is_some();
    url.set_query(masked.then(diag::mask));
    url.set_fragment(None);
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_a_secret() {
        let shown = without_query("https://a.example/hook/7?token=sesame#part").unwrap();
        assert!(
            shown.starts_with("https://a.example/hook/7?") && !shown.contains("sesame"),
            "{shown}"
        );
        assert_eq!(
            without_query("https://a.example/h").as_deref(),
            Some("https://a.example/h")
        );
    }
}
