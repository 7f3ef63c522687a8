//! `/admin/v1/usage`, and of a tenant its limits and its result cache.

use super::House;
use super::list::{self, Asked};
use super::operate::{own, tenant_of};
use super::path::TenantPath;
use crate::call::{Fields, read_body};
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::{CacheChoice, NewLimits};
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use diag::Code;
use runtime::{CacheView, LimitsView, OverLimit, TenantLimits, UsageView, over_limit};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Members of a tenant's limits.
pub(super) const LIMITS: &[&str] = &[
    "over_limit",
    "runs_in_flight",
    "runs_queued",
    "runs_per_day",
    "spend_per_month",
    "currency",
];

/// What tenants have used.
#[derive(Serialize, ToSchema)]
pub(super) struct UsagePage {
    /// One for each tenant.
    usage: Vec<UsageView>,
    /// For the next page; absent: this was the last.
    next: Option<String>,
}

/// Shows what tenants have used: your own, all to an operator, or one
#[utoipa::path(
    get, path = "/admin/v1/usage", tag = "operators", operation_id = "listUsage",
    params(("tenant" = Option<String>, Query, description = "Id or slug"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, the newest tenant first", body = UsagePage))
)]
pub(super) async fn usage(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<UsagePage>, Problem> {
    let (named, page) = list::page_of_tenant(query)?;
    let (scope, modelrow) = (caller.admin_scope(), &house.modelrow);
    let (tenants, next) = if named.is_some() || own(scope).is_some() {
        (
            vec![tenant_of(&house, &caller, named.as_deref()).await?],
            None,
        )
    } else {
        let tenants = modelrow.tenants(scope, &page).await?;
        let ids = tenants.tenants.iter().map(|tenant| tenant.id).collect();
        (ids, tenants.next)
    };
    let mut usage = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        usage.push(modelrow.usage(tenant).await?);
    }
    Ok(Json(UsagePage { usage, next }))
}

/// Shows the limits of a tenant: what is left, and until when
#[utoipa::path(
    get, path = "/admin/v1/tenants/{tenant}/limits", tag = "operators", operation_id = "getTenantLimits", params(("tenant" = String, Path, description = "Id or slug")),
    responses((status = 200, description = "A limit that is `null` is none", body = LimitsView))
)]
pub(super) async fn limits(
    State(house): State<House>,
    caller: Caller,
    TenantPath(named): TenantPath,
) -> Result<Json<LimitsView>, Problem> {
    let tenant = tenant_of(&house, &caller, Some(&named)).await?;
    Ok(Json(house.modelrow.limits(tenant).await?))
}

/// Sets the limits of a tenant, all of them: an operator's
///
/// What is left out is no limit. What was used already counts.
#[utoipa::path(
    put, path = "/admin/v1/tenants/{tenant}/limits", tag = "operators", operation_id = "setTenantLimits", request_body = NewLimits, params(("tenant" = String, Path, description = "Id or slug")),
    responses((status = 200, description = "As they stand", body = LimitsView))
)]
pub(super) async fn set_limits(
    State(house): State<House>,
    caller: Caller,
    TenantPath(named): TenantPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<LimitsView>, Problem> {
    caller.must_be_operator()?;
    let tenant = tenant_of(&house, &caller, Some(&named)).await?;
    let limits = read(json::read(&headers, body).await?)?;
    let set = house
        .modelrow
        .set_limits(tenant, Some(&limits), caller.actor());
    set.await?;
    Ok(Json(house.modelrow.limits(tenant).await?))
}

/// Takes the limits of a tenant away: an operator's
#[utoipa::path(
    delete, path = "/admin/v1/tenants/{tenant}/limits", tag = "operators", operation_id = "deleteTenantLimits", params(("tenant" = String, Path, description = "Id or slug")),
    responses((status = 204, description = "It has none"))
)]
pub(super) async fn no_limits(
    State(house): State<House>,
    caller: Caller,
    TenantPath(named): TenantPath,
) -> Result<StatusCode, Problem> {
    caller.must_be_operator()?;
    let tenant = tenant_of(&house, &caller, Some(&named)).await?;
    house
        .modelrow
        .set_limits(tenant, None, caller.actor())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read(body: Value) -> Result<TenantLimits, Vec<Violation>> {
    read_body(body, LIMITS, |fields| {
        Some(TenantLimits {
            max_in_flight: count(fields, "runs_in_flight"),
            max_queued: count(fields, "runs_queued"),
            runs_per_day: count(fields, "runs_per_day"),
            spend_per_month: money(fields),
            currency: currency(fields),
            over_limit: over(fields),
        })
    })
}

fn count(fields: &mut Fields<'_>, name: &str) -> Option<i32> {
    let given = fields.integer::<u64>(name)?;
    let count = i32::try_from(given).ok();
    if count.is_none() {
        let message = format!("`{name}` is too large");
        fields.refuse(
            name,
            Code::C154,
            message,
            "give at most 2147483647, or leave it out",
        );
    }
    count
}

/// A decimal in a text, as money is written everywhere.
fn money(fields: &mut Fields<'_>) -> Option<String> {
    let text = fields.text("spend_per_month")?;
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    if digits(whole, 12) && digits(part, 6) {
        return Some(text);
    }
    let help = "write a decimal in a text: \"250.00\"";
    fields.refuse(
        "spend_per_month",
        Code::C154,
        "`spend_per_month` is no amount",
        help,
    );
    None
}

fn currency(fields: &mut Fields<'_>) -> String {
    let text = fields.text("currency").unwrap_or_else(|| "USD".to_owned());
    if text.len() != 3 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
        let help = "give its three letters (ISO 4217), as the price lists have it: `USD`";
        fields.refuse("currency", Code::C154, "`currency` is none", help);
    }
    text
}

fn over(fields: &mut Fields<'_>) -> OverLimit {
    let Some(word) = fields.text("over_limit") else {
        return OverLimit::Refuse;
    };
    over_limit(&word).unwrap_or_else(|| {
        let message = format!("`{word}` is neither `refuse` nor `queue`");
        let help = "write `refuse`, or `queue` to let runs wait for the limits";
        fields.refuse("over_limit", Code::C154, message, help);
        OverLimit::Refuse
    })
}

/// Shows the result cache of a tenant
#[utoipa::path(
    get, path = "/admin/v1/tenants/{tenant}/cache", tag = "operators", operation_id = "getTenantCache", params(("tenant" = String, Path, description = "Id or slug")),
    responses((status = 200, description = "What is there, and whether it is used", body = CacheView))
)]
pub(super) async fn cache(
    State(house): State<House>,
    caller: Caller,
    TenantPath(named): TenantPath,
) -> Result<Json<CacheView>, Problem> {
    let tenant = tenant_of(&house, &caller, Some(&named)).await?;
    Ok(Json(house.modelrow.cache(tenant).await?))
}

/// Chooses whether a tenant's calls that do not say are served from the result cache
#[utoipa::path(
    put, path = "/admin/v1/tenants/{tenant}/cache", tag = "operators", operation_id = "setTenantCache", request_body = CacheChoice, params(("tenant" = String, Path, description = "Id or slug")),
    responses((status = 200, description = "As it is now", body = CacheView))
)]
pub(super) async fn set_cache(
    State(house): State<House>,
    caller: Caller,
    TenantPath(named): TenantPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CacheView>, Problem> {
    let tenant = tenant_of(&house, &caller, Some(&named)).await?;
    let on = choice(json::read(&headers, body).await?)?;
    house.modelrow.set_cache(tenant, on, caller.actor()).await?;
    Ok(Json(house.modelrow.cache(tenant).await?))
}

fn choice(body: Value) -> Result<bool, Vec<Violation>> {
    read_body(body, &["on"], |fields| {
        let on = fields.flag("on");
        if on.is_none() && fields.found().is_empty() {
            fields.refuse("on", Code::C155, "`on` is missing", "give true or false");
        }
        on
    })
}

/// Forgets the cached results of a tenant: the next calls are sent; runs and files stay
#[utoipa::path(
    delete, path = "/admin/v1/tenants/{tenant}/cache", tag = "operators", operation_id = "clearTenantCache", params(("tenant" = String, Path, description = "Id or slug")),
    responses((status = 200, description = "As it is now", body = CacheView))
)]
pub(super) async fn clear_cache(
    State(house): State<House>,
    caller: Caller,
    TenantPath(named): TenantPath,
) -> Result<Json<CacheView>, Problem> {
    let tenant = tenant_of(&house, &caller, Some(&named)).await?;
    house.modelrow.clear_cache(tenant).await?;
    Ok(Json(house.modelrow.cache(tenant).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_limit_is_read_and_every_mistake_found_at_once() {
        let good = json!({"over_limit": "queue", "runs_in_flight": 4, "runs_queued": 9, "runs_per_day": 500,
                          "spend_per_month": "250.50", "currency": "EUR"});
        let limits = read(good).unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(limits.spend_per_month.as_deref(), Some("250.50"));
        assert_eq!(
            (limits.max_in_flight, limits.max_queued),
            (Some(4), Some(9))
        );
        assert_eq!(limits.over_limit, OverLimit::Queue);
        let bad = json!({"over_limit": "wait", "runs_in_flight": 3_000_000_000_u64, "runs_queued": -1, "runs_per_day": "7",
                         "spend_per_month": "1e3", "currency": "euro", "budget": 1});
        let found = read(bad).err().unwrap_or_default();
        assert_eq!(found.len(), 7, "{found:?}");
        for amount in ["", ".5", "5.", "1,000", "-1", "1.1234567"] {
            assert!(
                read(json!({"spend_per_month": amount})).is_err(),
                "{amount}"
            );
        }
        assert!(read(json!({})).is_ok_and(|limits| limits.max_queued.is_none()));
    }
}
