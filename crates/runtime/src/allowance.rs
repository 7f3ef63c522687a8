//! What tenants may have and have used: `GET /v1/limits`, `GET /v1/usage`, and setting it.

use crate::error::RunError;
use crate::library::Modelrow;
use serde::{Deserialize, Serialize};
use store::budgets::{OverLimit, TenantLimits};
use store::usage::{Budget, CredentialLimits, CredentialUse, Spend, Usage};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The limits of a tenant and what is left of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitsView {
    /// Whose they are.
    pub tenant: Uuid,
    /// `refuse` or `queue`: what becomes of a call over a limit, unless it says otherwise. Absent: there are no limits.
    pub over_limit: Option<String>,
    /// Runs that have not ended.
    pub runs_in_flight: Option<CountLimit>,
    /// Runs that wait.
    pub runs_queued: Option<CountLimit>,
    /// Runs made today (UTC).
    pub runs_per_day: Option<CountLimit>,
    /// Money this month (UTC).
    pub spend_per_month: Option<SpendLimit>,
    /// Of the tenant's own credentials.
    pub credentials: Vec<CredentialUsageView>,
}

/// A limit that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountLimit {
    /// As many as there may be.
    pub most: i64,
    /// As many as there are.
    pub used: i64,
    /// Never negative.
    pub left: i64,
    /// When it begins anew; absent: when a run ends.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
}

/// A limit of money, as decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpendLimit {
    /// ISO 4217. What is priced in another currency is not counted.
    pub currency: String,
    /// As much as may be spent.
    pub most: String,
    /// Spent by runs that have ended.
    pub spent: String,
    /// Estimated for runs that have not.
    pub reserved: String,
    /// Never negative.
    pub left: String,
    /// When it begins anew.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

/// A credential's limits and what was used of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CredentialUsageView {
    /// The row.
    pub credential: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// `provider_api_credentials.name`
    pub name: String,
    /// Absent: no limit.
    pub requests_per_minute: Option<i32>,
    /// Absent: no limit. It begins anew with the day (UTC).
    pub requests_per_day: Option<i32>,
    /// Counted only where there is a limit.
    pub requests_today: i32,
    /// Absent: no limit.
    pub most_jobs_in_flight: Option<i32>,
    /// Jobs at the provider, and runs that prepare to make one.
    pub jobs_in_flight: i64,
    /// Milliseconds until it is used again; absent: it is not paused.
    pub paused_for_ms: Option<i64>,
    /// Why it is paused.
    pub paused_why: Option<String>,
}

/// What a tenant has used so far. Days and months are those of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// Whose it is.
    pub tenant: Uuid,
    /// Runs made for today.
    pub runs_today: i64,
    /// Runs made this month.
    pub runs_this_month: i64,
    /// Beside these, runs that were given a cached result this month: nothing was sent.
    pub cached_this_month: i64,
    /// Runs that have not ended.
    pub runs_in_flight: i64,
    /// Of these, those that wait.
    pub runs_queued: i64,
    /// This month's, by currency.
    pub spend: Vec<SpendView>,
    /// Requests of the tenant's own credentials with limits, today.
    pub requests_today: i64,
    /// When the day's counts begin anew.
    #[serde(with = "time::serde::rfc3339")]
    pub day_ends: OffsetDateTime,
    /// When the month's counts begin anew.
    #[serde(with = "time::serde::rfc3339")]
    pub month_ends: OffsetDateTime,
}

/// Money of a month, as decimals, by the price lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpendView {
    /// ISO 4217.
    pub currency: String,
    /// Of runs that have ended and were, or may have been, paid for.
    pub spent: String,
    /// Of runs that have not ended.
    pub reserved: String,
}

impl Modelrow {
    /// The limits of a tenant, what is left and until when.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn limits(&self, tenant: Uuid) -> Result<LimitsView, RunError> {
        let store = self.store();
        let limits = store.tenant_limits(tenant).await?;
        let usage = store.usage(tenant).await?;
        let budget = store.budget(tenant).await?;
        let credentials = store.credential_uses(tenant).await?;
        Ok(view(tenant, limits.as_ref(), (usage, budget), credentials))
    }

    /// What a tenant has used so far.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn usage(&self, tenant: Uuid) -> Result<UsageView, RunError> {
        let usage = self.store().usage(tenant).await?;
        let credentials = self.store().credential_uses(tenant).await?;
        let requests = credentials.iter().map(|one| i64::from(one.requests_today));
        Ok(UsageView {
            tenant,
            runs_today: usage.runs_today,
            runs_this_month: usage.runs_this_month,
            cached_this_month: usage.cached_this_month,
            runs_in_flight: usage.open,
            runs_queued: usage.queued,
            spend: usage.spend.into_iter().map(spend_view).collect(),
            requests_today: requests.sum(),
            day_ends: usage.day_ends,
            month_ends: usage.month_ends,
        })
    }

    /// Sets the limits of a tenant; `None` takes them away. What it has used already counts. `by`: for the audit log.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchTenant`], [`RunError::Store`].
    pub async fn set_limits(
        &self,
        tenant: Uuid,
        limits: Option<&TenantLimits>,
        by: &str,
    ) -> Result<(), RunError> {
        let there = self.store().tenant_limits_put(tenant, limits, by).await?;
        match (there, limits) {
            (false, Some(_)) => Err(RunError::NoSuchTenant {
                name: tenant.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Sets limits of a tenant's credentials for a provider: of that name, or of all. Workers see them within seconds.
    /// `by`: for the audit log.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchCredential`], [`RunError::Store`].
    pub async fn set_credential_limits(
        &self,
        tenant: Uuid,
        (provider, name): (&str, Option<&str>),
        limits: CredentialLimits,
        by: &str,
    ) -> Result<(), RunError> {
        let store = self.store();
        let put = store.credential_limits_put(tenant, (provider, name), limits, by);
        match put.await? {
            true => Ok(()),
            false => Err(RunError::NoSuchCredential {
                provider: provider.to_owned(),
                name: name.map(str::to_owned),
            }),
        }
    }

    /// The tenant of that slug; an id is taken as it is.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchTenant`], [`RunError::Store`].
    pub async fn tenant(&self, name: &str) -> Result<Uuid, RunError> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let found = self.store().tenant_named(name).await?;
        found.ok_or_else(|| RunError::NoSuchTenant {
            name: name.to_owned(),
        })
    }
}

fn spend_view(spend: Spend) -> SpendView {
    SpendView {
        currency: spend.currency,
        spent: spend.spent,
        reserved: spend.reserved,
    }
}

fn view(
    tenant: Uuid,
    limits: Option<&TenantLimits>,
    (usage, budget): (Usage, Option<Budget>),
    credentials: Vec<CredentialUse>,
) -> LimitsView {
    let count = |of: fn(&TenantLimits) -> Option<i32>, used: i64, until: Option<OffsetDateTime>| {
        limits.and_then(of).map(|most| CountLimit {
            most: most.into(),
            used,
            left: (i64::from(most) - used).max(0),
            until,
        })
    };
    let most = limits.and_then(|limits| limits.spend_per_month.clone());
    let spend_per_month = budget.zip(most).map(|(budget, most)| SpendLimit {
        currency: budget.spend.currency,
        most,
        spent: budget.spend.spent,
        reserved: budget.spend.reserved,
        left: budget.left,
        until: usage.month_ends,
    });
    LimitsView {
        tenant,
        over_limit: limits.map(|limits| limits.over_limit.as_str().to_owned()),
        runs_in_flight: count(|limits| limits.max_in_flight, usage.open, None),
        runs_queued: count(|limits| limits.max_queued, usage.queued, None),
        runs_per_day: count(
            |limits| limits.runs_per_day,
            usage.runs_today,
            Some(usage.day_ends),
        ),
        spend_per_month,
        credentials: credentials.into_iter().map(credential_view).collect(),
    }
}

fn credential_view(one: CredentialUse) -> CredentialUsageView {
    CredentialUsageView {
        credential: one.id,
        provider: one.provider,
        name: one.name,
        requests_per_minute: one.rate_limit_per_minute,
        requests_per_day: one.rate_limit_per_day,
        requests_today: one.requests_today,
        most_jobs_in_flight: one.max_concurrent_jobs,
        jobs_in_flight: one.in_flight,
        paused_for_ms: one.paused_for_ms,
        paused_why: one.paused_why,
    }
}

/// The word of a call or an option.
#[must_use]
pub fn over_limit(word: &str) -> Option<OverLimit> {
    [OverLimit::Refuse, OverLimit::Queue]
        .into_iter()
        .find(|known| known.as_str() == word)
}
