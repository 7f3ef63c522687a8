//! What a tenant has used: read from its runs and its credentials, whether or not it has limits.

use crate::{Scope, Store, StoreError};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// Runs and money of a tenant so far. Days and months are those of UTC.
#[derive(Debug, Clone)]
pub struct Usage {
    /// The database's day.
    pub today: Date,
    /// When the next day begins.
    pub day_ends: OffsetDateTime,
    /// When the next month begins.
    pub month_ends: OffsetDateTime,
    /// Runs made for today; those of the cache are none.
    pub runs_today: i64,
    /// Runs made this month.
    pub runs_this_month: i64,
    /// Beside these, runs that were given a cached result this month.
    pub cached_this_month: i64,
    /// Runs that have not ended.
    pub open: i64,
    /// Of these, those that wait.
    pub queued: i64,
    /// This month's, by currency.
    pub spend: Vec<Spend>,
}

/// Money, as decimals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// ISO 4217.
    pub currency: String,
    /// Of runs that have not ended, by the price list.
    pub reserved: String,
    /// Of runs that have ended and were, or may have been, paid for.
    pub spent: String,
}

/// What is left of a month's budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// What the limit counts.
    pub spend: Spend,
    /// What is left; never negative.
    pub left: String,
}

/// A credential with its limits and what was used of them.
#[derive(Debug, Clone)]
pub struct CredentialUse {
    /// The row.
    pub id: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// `provider_api_credentials.name`
    pub name: String,
    /// Absent: no limit.
    pub rate_limit_per_minute: Option<i32>,
    /// Absent: no limit.
    pub rate_limit_per_day: Option<i32>,
    /// Absent: no limit.
    pub max_concurrent_jobs: Option<i32>,
    /// Counted only where there is a limit.
    pub requests_today: i32,
    /// Jobs at the provider, and runs that prepare to make one.
    pub in_flight: i64,
    /// Milliseconds until its pause ends; absent: not paused.
    pub paused_for_ms: Option<i64>,
    /// Why it is paused.
    pub paused_why: Option<String>,
}

/// New limits of a credential; `None`: as it is, `Some(None)`: none.
#[derive(Debug, Clone, Copy, Default)]
pub struct CredentialLimits {
    /// Requests.
    pub per_minute: Option<Option<i32>>,
    /// Requests.
    pub per_day: Option<Option<i32>>,
    /// Jobs in flight.
    pub jobs: Option<Option<i32>>,
}

impl Store {
    /// What a tenant has used.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn usage(&self, tenant: Uuid) -> Result<Usage, StoreError> {
        let counts = sqlx::query!(
            r#"
            with t as (select (now() at time zone 'utc')::date as today, date_trunc('month', now() at time zone 'utc') as month)
            select today as "today!", (today + 1)::timestamp at time zone 'utc' as "day_ends!",
                   (month + interval '1 month') at time zone 'utc' as "month_ends!",
                   coalesce((select d.runs from tenant_days d where d.tenant_id = $1 and d.day = today),
                            (select count(*) from runs r where r.tenant_id = $1 and r.created_at >= today::timestamp at time zone 'utc' and r.cache_of is null))::bigint as "runs_today!",
                   (select count(*) from runs r where r.tenant_id = $1 and r.created_at >= month at time zone 'utc' and r.cache_of is null) as "runs_this_month!",
                   (select count(*) from runs r where r.tenant_id = $1 and r.created_at >= month at time zone 'utc' and r.cache_of is not null) as "cached_this_month!",
                   (select count(*) from run_states s where s.tenant_id = $1 and s.ended_at is null) as "open!",
                   (select count(*) from run_states s where s.tenant_id = $1 and s.ended_at is null and s.state = 'queued') as "queued!"
            from t
            "#,
            tenant
        )
        .fetch_one(&self.pool)
        .await?;
        let spend = sqlx::query_as!(
            Spend,
            r#"
            with t as (select date_trunc('month', now() at time zone 'utc') as month)
            select r.currency as "currency!", trim_scale(coalesce(sum(r.cost) filter (where s.ended_at is null), 0))::text as "reserved!",
                   trim_scale(coalesce(sum(r.cost) filter (where s.ended_at is not null and s.spent <> 'none'), 0))::text as "spent!"
            from t, runs r join run_states s using (run_id)
            where r.tenant_id = $1 and r.currency is not null
              and (r.budget_month = month::date or r.budget_month is null and r.created_at >= month at time zone 'utc')
            group by r.currency order by r.currency
            "#,
            tenant
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Usage {
            today: counts.today,
            day_ends: counts.day_ends,
            month_ends: counts.month_ends,
            runs_today: counts.runs_today,
            runs_this_month: counts.runs_this_month,
            cached_this_month: counts.cached_this_month,
            open: counts.open,
            queued: counts.queued,
            spend,
        })
    }

    /// What this month's budget of a tenant has been used for; `None`: it has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn budget(&self, tenant: Uuid) -> Result<Option<Budget>, StoreError> {
        let row = sqlx::query!(
            r#"
            select l.currency, trim_scale(coalesce(u.reserved, 0))::text as "reserved!", trim_scale(coalesce(u.spent, 0))::text as "spent!",
                   trim_scale(greatest(l.spend_per_month - coalesce(u.reserved + u.spent, 0), 0))::text as "left!"
            from tenant_limits l left join tenant_usage u on u.tenant_id = l.tenant_id and u.currency = l.currency
                and u.month = date_trunc('month', now() at time zone 'utc')::date
            where l.tenant_id = $1 and l.spend_per_month is not null
            "#,
            tenant
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Budget {
            spend: Spend {
                currency: row.currency,
                reserved: row.reserved,
                spent: row.spent,
            },
            left: row.left,
        }))
    }

    /// A tenant's own credentials, by provider and name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credential_uses(&self, tenant: Uuid) -> Result<Vec<CredentialUse>, StoreError> {
        Ok(sqlx::query_as!(
            CredentialUse,
            r#"
            select k.id, p.slug as provider, k.name, k.rate_limit_per_minute, k.rate_limit_per_day, k.max_concurrent_jobs,
                   case when c.day = (now() at time zone 'utc')::date then c.day_used else 0 end as "requests_today!",
                   (select count(*) from run_states r where r.credential_id = k.id
                       and r.state in ('preparing', 'submitting', 'submit_unknown', 'polling')) as "in_flight!",
                   case when c.paused_until > now()
                        then least((extract(epoch from c.paused_until - now()) * 1000), 9e15)::bigint end as paused_for_ms,
                   c.paused_why
            from provider_api_credentials k join ai_providers p on p.id = k.provider_id join credential_limits c on c.credential_id = k.id
            where k.tenant_id = $1 and k.status = 'active' order by p.slug, k.name
            "#,
            tenant
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Sets limits of a tenant's credentials for a provider, of that name or of all. `false`: there is none. `by`: for the audit log.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credential_limits_put(
        &self,
        tenant: Uuid,
        (provider, name): (&str, Option<&str>),
        limits: CredentialLimits,
        by: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.acting(Scope::Operator, by).await?;
        let put = sqlx::query!(
            r#"
            update provider_api_credentials k set
                rate_limit_per_minute = case when $4 then $5::int else rate_limit_per_minute end,
                rate_limit_per_day = case when $6 then $7::int else rate_limit_per_day end,
                max_concurrent_jobs = case when $8 then $9::int else max_concurrent_jobs end,
                updated_at = now()
            from ai_providers p where p.id = k.provider_id and k.tenant_id = $1 and p.slug = $2 and ($3::text is null or k.name = $3)
            "#,
            tenant,
            provider,
            name,
            limits.per_minute.is_some(),
            limits.per_minute.flatten(),
            limits.per_day.is_some(),
            limits.per_day.flatten(),
            limits.jobs.is_some(),
            limits.jobs.flatten(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(put.rows_affected() > 0)
    }
}
