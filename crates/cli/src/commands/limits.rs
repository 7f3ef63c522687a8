//! `modelrow limits show` and `modelrow limits set`

use crate::args::{HouseArgs, LimitsCommand, SetLimitsArgs};
use crate::commands::runs::in_house;
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::{
    CountLimit, CredentialLimits, CredentialUsageView, LimitsView, Modelrow, OverLimit, RunError,
    TenantLimits,
};
use serde_json::json;
use std::fmt::Display;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

pub(crate) async fn limits(house: &HouseArgs, command: &LimitsCommand) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let (tenant, json) = match command {
            LimitsCommand::Show(args) => (&args.tenant, args.json),
            LimitsCommand::Set(args) => (&args.tenant, args.json),
        };
        let done = async {
            let tenant = modelrow.tenant(tenant).await?;
            if let LimitsCommand::Set(args) = command {
                set(modelrow, tenant, args).await?;
            }
            modelrow.limits(tenant).await
        };
        let view = done.await.map_err(|error| run_stop(&error))?;
        match json {
            true => ui::print_json(&json!(view)),
            false => lines(&view).iter().for_each(|line| println!("{line}")),
        }
        Ok(())
    })
    .await
}

async fn set(modelrow: &Modelrow, tenant: Uuid, args: &SetLimitsArgs) -> Result<(), RunError> {
    if let Some(provider) = &args.provider {
        let limits = CredentialLimits {
            per_minute: args.requests_per_minute.map(|most| most.0),
            per_day: args.requests_per_day.map(|most| most.0),
            jobs: args.jobs_in_flight.map(|most| most.0),
        };
        let which = (provider.as_str(), args.credential.as_deref());
        let set = modelrow.set_credential_limits(tenant, which, limits, &args.by);
        return set.await;
    }
    if args.none {
        return modelrow.set_limits(tenant, None, &args.by).await;
    }
    let before = modelrow.store().tenant_limits(tenant).await?;
    let limits = changed(before, args);
    modelrow.set_limits(tenant, Some(&limits), &args.by).await
}

/// What is named changes, the rest stays.
fn changed(before: Option<TenantLimits>, args: &SetLimitsArgs) -> TenantLimits {
    let mut limits = before.unwrap_or_else(|| TenantLimits {
        max_in_flight: None,
        max_queued: None,
        runs_per_day: None,
        spend_per_month: None,
        currency: "USD".to_owned(),
        over_limit: OverLimit::Refuse,
    });
    let counts = [
        (&mut limits.max_in_flight, args.runs_in_flight),
        (&mut limits.max_queued, args.runs_queued),
        (&mut limits.runs_per_day, args.runs_per_day),
    ];
    for (have, given) in counts {
        *have = given.map_or(*have, |most| most.0);
    }
    if let Some(money) = &args.spend_per_month {
        limits.spend_per_month.clone_from(&money.0);
    }
    if let Some(currency) = &args.currency {
        limits.currency.clone_from(currency);
    }
    limits.over_limit = args.over.map_or(limits.over_limit, OverLimit::from);
    limits
}

fn lines(view: &LimitsView) -> Vec<String> {
    let mut lines = match &view.over_limit {
        Some(over) => vec![line("over a limit", over)],
        None => vec!["the tenant has no limits of its own".to_owned()],
    };
    let counts = [
        ("runs in flight", &view.runs_in_flight),
        ("runs queued", &view.runs_queued),
        ("runs per day", &view.runs_per_day),
    ];
    for (name, count) in counts {
        lines.extend(count.as_ref().map(|count| line(name, of_count(count))));
    }
    if let Some(spend) = &view.spend_per_month {
        let text = format!(
            "{} of {} {} left until {}; spent {}, reserved {}",
            spend.left,
            spend.most,
            spend.currency,
            at(spend.until),
            spend.spent,
            spend.reserved
        );
        lines.push(line("spend per month", text));
    }
    lines.extend(view.credentials.iter().map(of_credential));
    lines
}

pub(crate) fn line(name: &str, text: impl Display) -> String {
    format!("{name:<18} {text}")
}

fn of_count(count: &CountLimit) -> String {
    let until = count
        .until
        .map_or_else(String::new, |until| format!(" until {}", at(until)));
    format!("{} of {} left{until}", count.left, count.most)
}

fn of_credential(one: &CredentialUsageView) -> String {
    let most =
        |limit: Option<i32>| limit.map_or_else(|| "any number".to_owned(), |n| n.to_string());
    let paused = one.paused_for_ms.map_or_else(String::new, |ms| {
        let why = one.paused_why.as_deref().unwrap_or("no reason is recorded");
        format!(
            "; waits {} more: {why}",
            ui::age(time::Duration::milliseconds(ms))
        )
    });
    let today = one
        .requests_per_day
        .map_or_else(String::new, |_| format!(" ({} today)", one.requests_today));
    format!(
        "{}/{}: requests a minute: {}, a day: {}{today}; jobs in flight: {} of {}{paused}",
        one.provider,
        one.name,
        most(one.requests_per_minute),
        most(one.requests_per_day),
        one.jobs_in_flight,
        most(one.most_jobs_in_flight),
    )
}

pub(crate) fn at(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
