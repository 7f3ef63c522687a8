//! What a tenant may have and spend: asked before a run is made, under the lock of the tenant's row.

use crate::runs::NewRun;
use crate::{Scope, Store, StoreError};
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// Days, and months, that a queued run is put ahead at most.
const DAYS_AHEAD: i32 = 31;
const MONTHS_AHEAD: i32 = 12;

/// What becomes of a call over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// No run is made.
    Refuse,
    /// The run is made, and waits.
    Queue,
}

impl OverLimit {
    /// `tenant_limits.over_limit`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Queue => "queue",
        }
    }

    fn parse(word: &str) -> Self {
        // The column has no other words.
        if word == "queue" {
            Self::Queue
        } else {
            Self::Refuse
        }
    }
}

/// A row of `tenant_limits`; absent members: no such limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLimits {
    /// Runs that have been made and have not ended; of those that wait in the queue, runs at providers.
    pub max_in_flight: Option<i32>,
    /// Runs that wait.
    pub max_queued: Option<i32>,
    /// Runs made in a day (UTC).
    pub runs_per_day: Option<i32>,
    /// Money in a calendar month (UTC), as a decimal.
    pub spend_per_month: Option<String>,
    /// Of that money; what is priced in another one is not counted.
    pub currency: String,
    /// Unless the call says otherwise.
    pub over_limit: OverLimit,
}

impl TenantLimits {
    fn most(&self, limit: Limit) -> Option<i32> {
        match limit {
            Limit::InFlight => self.max_in_flight,
            Limit::Queued => self.max_queued,
            Limit::RunsPerDay => self.runs_per_day,
            Limit::Spend => None,
        }
    }
}

/// What a run costs by the price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// A decimal of at most six places.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
}

/// A limit of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`TenantLimits::max_in_flight`]
    InFlight,
    /// [`TenantLimits::max_queued`]
    Queued,
    /// [`TenantLimits::runs_per_day`]
    RunsPerDay,
    /// [`TenantLimits::spend_per_month`]
    Spend,
}

/// Why no run was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// The limit that was reached.
    pub limit: Limit,
    /// How many runs it allows; absent: it counts money.
    pub most: Option<i32>,
    /// When the same call may pass; absent: when a run ends, or never.
    pub until: Option<OffsetDateTime>,
}

/// Where an admitted run stands in its tenant's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Admitted {
    /// Not before that day; absent: now.
    pub(crate) not_before: Option<Date>,
    /// The budget that its price is taken from.
    pub(crate) budget_month: Option<Date>,
}

/// What was counted under the tenant's lock.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// 0 where no limit asks: so is [`Self::queued`].
    open: i64,
    queued: i64,
    today: Date,
    /// Whether the price is taken from the budget.
    budgeted: bool,
    /// The first month whose budget has room for the price.
    month: Option<Date>,
    /// The first day, from that month's first on, that has room for a run.
    day: Option<Date>,
}

/// What becomes of the run.
fn admit(
    limits: &TenantLimits,
    over: OverLimit,
    counted: &Counted,
    start_by: Option<OffsetDateTime>,
) -> Result<Admitted, Over> {
    let reached = |limit, until: Option<Date>| Over {
        limit,
        most: limits.most(limit),
        until: until.map(|day| day.midnight().assume_utc()),
    };
    let this_month = counted.today.replace_day(1).unwrap_or(counted.today);
    let month = if counted.budgeted {
        counted.month.ok_or(reached(Limit::Spend, None))?
    } else {
        this_month
    };
    if month > this_month && over == OverLimit::Refuse {
        return Err(reached(Limit::Spend, Some(month)));
    }
    let day = match limits.runs_per_day {
        Some(_) => counted.day.ok_or(reached(Limit::RunsPerDay, None))?,
        None => month.max(counted.today),
    };
    let later = (day > counted.today).then_some(day);
    if let Some(day) =
        later.filter(|day| start_by.is_some_and(|by| by < day.midnight().assume_utc()))
    {
        let limit = if month > this_month {
            Limit::Spend
        } else {
            Limit::RunsPerDay
        };
        return Err(reached(limit, Some(day)));
    }
    if later.is_some() && over == OverLimit::Refuse {
        return Err(reached(Limit::RunsPerDay, later));
    }
    let full = |most: Option<i32>, have: i64| most.is_some_and(|most| have >= i64::from(most));
    if over == OverLimit::Refuse && full(limits.max_in_flight, counted.open) {
        return Err(reached(Limit::InFlight, None));
    }
    if full(limits.max_queued, counted.queued) {
        return Err(reached(Limit::Queued, None));
    }
    Ok(Admitted {
        not_before: later,
        budget_month: counted.budgeted.then_some(month),
    })
}

/// Locks the tenant's limits; absent: it has none.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    tenant: Uuid,
) -> Result<Option<TenantLimits>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select max_in_flight, max_queued, runs_per_day, trim_scale(spend_per_month)::text as spend_per_month, currency, over_limit
        from tenant_limits where tenant_id = $1 for no key update
        "#,
        tenant
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(TenantLimits::from))
}

/// Counts what the tenant has, decides, and counts the run where it is admitted. Under [`lock`].
pub(crate) async fn admitted(
    connection: &mut PgConnection,
    run: &NewRun,
    limits: &TenantLimits,
) -> Result<Result<Admitted, Over>, StoreError> {
    let counted = counted(connection, run, limits).await?;
    let over = run.over_limit.unwrap_or(limits.over_limit);
    let admitted = match admit(limits, over, &counted, run.start_by) {
        Ok(admitted) => admitted,
        Err(over) => return Ok(Err(over)),
    };
    if limits.runs_per_day.is_some() {
        let day = admitted.not_before.unwrap_or(counted.today);
        count_day(connection, run.tenant_id, (day, counted.today)).await?;
    }
    if let (Some(month), Some(price)) = (admitted.budget_month, &run.price) {
        reserve(connection, run.tenant_id, month, price).await?;
    }
    Ok(Ok(admitted))
}

async fn counted(
    connection: &mut PgConnection,
    run: &NewRun,
    limits: &TenantLimits,
) -> Result<Counted, StoreError> {
    let price = run.price.as_ref();
    let price = price.filter(|price| price.currency == limits.currency);
    let budgeted = price.is_some() && limits.spend_per_month.is_some();
    let found = sqlx::query!(
        r#"
        with today as (select (now() at time zone 'utc')::date as d),
        month as (
            select min(m)::date as m from today, generate_series(date_trunc('month', d::timestamp),
                date_trunc('month', d::timestamp) + make_interval(months => $5::int - 1), interval '1 month') m
            left join tenant_usage t on t.tenant_id = $1 and t.month = m::date and t.currency = $2
            where not $8::bool or coalesce(t.reserved + t.spent, 0) + $3::text::numeric <= $4::text::numeric),
        day as (
            select min(s)::date as d from today, month, generate_series(greatest(today.d, month.m)::timestamp,
                greatest(today.d, month.m)::timestamp + make_interval(days => $7::int), interval '1 day') s
            left join tenant_days t on t.tenant_id = $1 and t.day = s::date
            where coalesce(t.runs, case when s::date = today.d then
                      (select count(*) from runs r where r.tenant_id = $1 and r.created_at >= today.d::timestamp at time zone 'utc' and r.cache_of is null) else 0 end) < $6::int)
        select (select d from today) as "today!", (select m from month) as month, (select d from day) as day,
               case when $9 then (select count(*) from run_states s where s.tenant_id = $1 and s.ended_at is null) end as open,
               case when $10 then (select count(*) from run_states s where s.tenant_id = $1 and s.ended_at is null and s.state = 'queued') end as queued
        "#,
        run.tenant_id,
        limits.currency,
        price.map_or("0", |price| price.amount.as_str()),
        limits.spend_per_month.as_deref().unwrap_or("0"),
        MONTHS_AHEAD,
        limits.runs_per_day.unwrap_or(i32::MAX),
        DAYS_AHEAD,
        budgeted,
        limits.max_in_flight.is_some(),
        limits.max_queued.is_some(),
    )
    .fetch_one(connection)
    .await?;
    Ok(Counted {
        open: found.open.unwrap_or(0),
        queued: found.queued.unwrap_or(0),
        today: found.today,
        budgeted,
        month: found.month,
        day: found.day,
    })
}

/// One run more of a day. The first of today begins with those that were made before anybody counted.
async fn count_day(
    connection: &mut PgConnection,
    tenant: Uuid,
    (day, today): (Date, Date),
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        with old as (delete from tenant_days where tenant_id = $1 and day < $3)
        insert into tenant_days as t (tenant_id, day, runs)
        select $1, $2::date, 1 + case when $2::date = $3::date then
            (select count(*) from runs r where r.tenant_id = $1 and r.created_at >= $3::date::timestamp at time zone 'utc' and r.cache_of is null)::int else 0 end
        on conflict (tenant_id, day) do update set runs = t.runs + 1
        "#,
        tenant,
        day,
        today,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn reserve(
    connection: &mut PgConnection,
    tenant: Uuid,
    month: Date,
    price: &Price,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        insert into tenant_usage as t (tenant_id, month, currency, reserved) values ($1, $2, $3, $4::text::numeric)
        on conflict (tenant_id, month, currency) do update set reserved = t.reserved + excluded.reserved
        "#,
        tenant,
        month,
        price.currency,
        price.amount,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// As selected: the word is not read yet.
struct Row {
    max_in_flight: Option<i32>,
    max_queued: Option<i32>,
    runs_per_day: Option<i32>,
    spend_per_month: Option<String>,
    currency: String,
    over_limit: String,
}

impl From<Row> for TenantLimits {
    fn from(row: Row) -> Self {
        Self {
            max_in_flight: row.max_in_flight,
            max_queued: row.max_queued,
            runs_per_day: row.runs_per_day,
            spend_per_month: row.spend_per_month,
            currency: row.currency,
            over_limit: OverLimit::parse(&row.over_limit),
        }
    }
}

impl Store {
    /// The limits of a tenant; `None`: it has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn tenant_limits(&self, tenant: Uuid) -> Result<Option<TenantLimits>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select max_in_flight, max_queued, runs_per_day, trim_scale(spend_per_month)::text as spend_per_month, currency, over_limit
            from tenant_limits where tenant_id = $1
            "#,
            tenant
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(TenantLimits::from))
    }

    /// Sets the limits of a tenant; `None` takes them away. What was spent this month, and made today, counts from the
    /// beginning, and what runs now counts as spent. `false`: there is no such tenant. `by`: for the audit log.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn tenant_limits_put(
        &self,
        tenant: Uuid,
        limits: Option<&TenantLimits>,
        by: &str,
    ) -> Result<bool, StoreError> {
        let _seen = self.seen_keys.change();
        let mut tx = self.acting(Scope::Operator, by).await?;
        let before = lock(&mut tx, tenant).await?;
        let Some(limits) = limits else {
            sqlx::query!("delete from tenant_limits where tenant_id = $1", tenant)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            return Ok(before.is_some());
        };
        let put = sqlx::query!(
            r#"
            insert into tenant_limits (tenant_id, max_in_flight, max_queued, runs_per_day, spend_per_month, currency, over_limit)
            select t.tenant_id, $2, $3, $4, $5::text::numeric, $6, $7 from tenants t where t.tenant_id = $1
            on conflict (tenant_id) do update set max_in_flight = $2, max_queued = $3, runs_per_day = $4, spend_per_month = $5::text::numeric,
                currency = $6, over_limit = $7
            "#,
            tenant,
            limits.max_in_flight,
            limits.max_queued,
            limits.runs_per_day,
            limits.spend_per_month,
            limits.currency,
            limits.over_limit.as_str(),
        )
        .execute(&mut *tx)
        .await?;
        if put.rows_affected() == 0 {
            return Ok(false);
        }
        let counted = before.as_ref();
        if counted.is_none_or(|before| before.runs_per_day.is_none()) {
            sqlx::query!("delete from tenant_days where tenant_id = $1", tenant)
                .execute(&mut *tx)
                .await?;
        }
        let same = counted.filter(|before| before.currency == limits.currency);
        if same.is_none_or(|before| before.spend_per_month.is_none()) {
            count_spend(&mut tx, tenant, &limits.currency).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Begins to count this month's money with what the runs say.
async fn count_spend(
    connection: &mut PgConnection,
    tenant: Uuid,
    currency: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        with month as (select date_trunc('month', now() at time zone 'utc')::date as m),
        runs_of as (
            select r.cost, s.ended_at, s.spent, coalesce(r.budget_month = m, false) as reserved
            from month, runs r join run_states s using (run_id)
            where r.tenant_id = $1 and r.currency = $2
              and (r.budget_month = m or r.budget_month is null and r.created_at >= m::timestamp at time zone 'utc'))
        insert into tenant_usage (tenant_id, month, currency, reserved, spent)
        select $1, m, $2, coalesce((select sum(cost) from runs_of where ended_at is null and reserved), 0),
               coalesce((select sum(cost) from runs_of where ended_at is null and not reserved or ended_at is not null and spent <> 'none'), 0)
        from month
        on conflict (tenant_id, month, currency) do update set reserved = excluded.reserved, spent = excluded.spent
        "#,
        tenant,
        currency,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{date, datetime};

    fn limits() -> TenantLimits {
        TenantLimits {
            max_in_flight: Some(2),
            max_queued: Some(3),
            runs_per_day: Some(10),
            spend_per_month: Some("100".into()),
            currency: "USD".into(),
            over_limit: OverLimit::Refuse,
        }
    }

    fn counted() -> Counted {
        Counted {
            open: 0,
            queued: 0,
            today: date!(2026 - 11 - 30),
            budgeted: true,
            month: Some(date!(2026 - 11 - 01)),
            day: Some(date!(2026 - 11 - 30)),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_over_a_limit_is_refused_with_the_time_or_waits_for_it() {
        use {Limit::*, OverLimit::*};
        let (tomorrow, december) = (date!(2026 - 12 - 01), date!(2026 - 12 - 01));
        let go = Ok((None, Some(date!(2026 - 11 - 01))));
        let until = |day: Date| Some(day.midnight().assume_utc());
        let cases = [
            // why              counted                                                       refuse                            queue
            ("room",            counted(),                                                    go,                               go),
            ("two are open",    Counted { open: 2, ..counted() },                             Err((InFlight, None)),            go),
            ("three wait",      Counted { open: 1, queued: 3, ..counted() },                  Err((Queued, None)),              Err((Queued, None))),
            ("the day is full", Counted { day: Some(tomorrow), ..counted() },                 Err((RunsPerDay, until(tomorrow))), Ok((Some(tomorrow), Some(date!(2026 - 11 - 01))))),
            ("the month, too",  Counted { month: Some(december), day: Some(date!(2026 - 12 - 04)), ..counted() }, Err((Spend, until(december))), Ok((Some(date!(2026 - 12 - 04)), Some(december)))),
            ("never",           Counted { month: None, day: None, ..counted() },              Err((Spend, None)),               Err((Spend, None))),
            ("no day",          Counted { day: None, ..counted() },                           Err((RunsPerDay, None)),          Err((RunsPerDay, None))),
            ("not priced",      Counted { budgeted: false, month: None, ..counted() },        Ok((None, None)),                 Ok((None, None))),
        ];
        for (why, counted, refuse, queue) in cases {
            for (over, want) in [(Refuse, refuse), (Queue, queue)] {
                let got = admit(&limits(), over, &counted, None);
                let got = got.map(|it| (it.not_before, it.budget_month)).map_err(|over| (over.limit, over.until));
                assert_eq!(got, want, "{why}, {over:?}");
            }
        }
    }

    #[test]
    fn a_run_that_must_start_sooner_than_it_may_is_refused() {
        let full = Counted {
            day: Some(date!(2026 - 12 - 02)),
            ..counted()
        };
        let by = |at| admit(&limits(), OverLimit::Queue, &full, Some(at));
        let until = datetime!(2026-12-02 00:00 UTC);
        assert_eq!(
            by(datetime!(2026-12-01 23:59 UTC)),
            Err(Over {
                limit: Limit::RunsPerDay,
                most: Some(10),
                until: Some(until)
            })
        );
        assert!(by(until).is_ok());
    }
}
