//! `modelrow key …`, `modelrow tenant …`, `modelrow audit`: who may call, and who changed what.

use super::runs::in_house;
use crate::args::{
    AuditArgs, HouseArgs, KeyCommand, KeyCreateArgs, KeyListArgs, KeyRevokeArgs, PartArgs,
    TenantCommand, TenantCreateArgs,
};
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use diag::{Code, ExposeSecret as _};
use runtime::{ApiKeyView, AuditFilter, NewKey, PageOf, Scope};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) async fn key(house: &HouseArgs, command: KeyCommand) -> Result<(), Stop> {
    match command {
        KeyCommand::Create(args) => create(house, &args).await,
        KeyCommand::List(args) => list(house, &args).await,
        KeyCommand::Revoke(args) => revoke(house, &args).await,
    }
}

pub(crate) async fn tenant(house: &HouseArgs, command: TenantCommand) -> Result<(), Stop> {
    match command {
        TenantCommand::Create(args) => tenant_create(house, &args).await,
        TenantCommand::List(args) => tenants(house, &args).await,
    }
}

async fn create(house: &HouseArgs, args: &KeyCreateArgs) -> Result<(), Stop> {
    let made = in_house(house, async |modelrow| {
        let expires = args.expires.as_deref();
        let expires_at = expires
            .map(|text| until(text, modelrow.now()))
            .transpose()?;
        let tenant = modelrow.tenant(&args.tenant).await;
        let new = NewKey {
            tenant: tenant.map_err(|error| run_stop(&error))?,
            role: args.role.into(),
            name: args.name.clone(),
            expires_at,
        };
        let made = modelrow.key_create(Scope::Operator, &new, &args.by).await;
        made.map_err(|error| run_stop(&error))
    })
    .await?;
    let key = made.key.expose_secret();
    if args.json {
        let mut shown = json!(made.view);
        if let Some(members) = shown.as_object_mut() {
            members.insert("key".to_owned(), key.into());
        }
        ui::print_json(&shown);
        return Ok(());
    }
    println!("{key}");
    ui::note("keep it: it is not shown again; `Authorization: Bearer …` shows it to the API");
    Ok(())
}

/// A duration from now, or a time.
fn until(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, Stop> {
    let long = humantime::parse_duration(text).ok();
    long.and_then(|long| now.checked_add(time::Duration::try_from(long).ok()?))
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or_else(|| {
            Stop::usage(
                Code::X120,
                "--expires",
                format!("`{text}` is neither a duration nor a time"),
                "write `--expires 90days`, or `--expires 2027-01-31T12:00:00Z`",
            )
        })
}

fn page_of(part: &PartArgs) -> PageOf {
    PageOf {
        after: part.after.clone(),
        limit: Some(part.limit),
    }
}

/// One of them a line, and the cursor behind the last.
fn tell<T: Serialize>(
    rows: &[T],
    (json, next): (bool, Option<String>),
    line: impl Fn(&T) -> String,
) {
    for row in rows {
        match json {
            true => println!("{}", json!(row)),
            false => println!("{}", line(row).trim_end()),
        }
    }
    match (next, rows.is_empty()) {
        (Some(next), _) => ui::note(&format!("there are more: --after {next}")),
        (None, true) => ui::note("there are none"),
        (None, false) => {}
    }
}

async fn list(house: &HouseArgs, args: &KeyListArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let tenant = match &args.tenant {
            Some(named) => Some(modelrow.tenant(named).await),
            None => None,
        };
        let tenant = tenant.transpose().map_err(|error| run_stop(&error))?;
        let page = modelrow
            .keys(Scope::Operator, tenant, &page_of(&args.part))
            .await;
        let page = page.map_err(|error| run_stop(&error))?;
        let now = modelrow.now();
        tell(&page.keys, (args.part.json, page.next), |key| {
            line(key, now)
        });
        Ok(())
    })
    .await
}

fn line(key: &ApiKeyView, now: OffsetDateTime) -> String {
    let used = key.last_used_at.map(|at| ui::age(now - at));
    let used = used.map_or_else(|| "never used".to_owned(), |ago| format!("used {ago} ago"));
    let state = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(until)) if until <= now => "expired".to_owned(),
        (None, Some(until)) => format!("good until {}", ui::time(until)),
        (None, None) => "good".to_owned(),
    };
    format!(
        "{}  {}…  {:<6}  tenant {}  {state}, {used}  {}",
        key.id, key.shown, key.role, key.tenant, key.name
    )
}

async fn revoke(house: &HouseArgs, args: &KeyRevokeArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        for id in &args.keys {
            let revoked = modelrow.key_revoke(Scope::Operator, *id, &args.by).await;
            let view = revoked.map_err(|error| run_stop(&error))?;
            if args.json {
                println!("{}", json!(view));
            }
            ui::done(&format!(
                "the key {}… `{}` is refused from now on",
                view.shown, view.name
            ));
        }
        Ok(())
    })
    .await
}

async fn tenant_create(house: &HouseArgs, args: &TenantCreateArgs) -> Result<(), Stop> {
    let made = in_house(house, async |modelrow| {
        let made = modelrow.tenant_create(&args.slug, &args.by).await;
        made.map_err(|error| run_stop(&error))
    })
    .await?;
    match args.json {
        true => ui::print_json(&json!(made)),
        false => println!("{}", made.id),
    }
    ui::done(&format!(
        "the tenant `{}` is there; `modelrow key create --tenant {0}` lets it call",
        made.slug
    ));
    Ok(())
}

async fn tenants(house: &HouseArgs, args: &PartArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let page = modelrow.tenants(Scope::Operator, &page_of(args)).await;
        let page = page.map_err(|error| run_stop(&error))?;
        tell(&page.tenants, (args.json, page.next), |tenant| {
            format!("{}  {}", tenant.id, tenant.slug)
        });
        Ok(())
    })
    .await
}

pub(crate) async fn audit(house: &HouseArgs, args: &AuditArgs) -> Result<(), Stop> {
    let filter = AuditFilter {
        action: args.action.clone(),
        object: args.object.clone(),
        page: page_of(&args.page.part),
    };
    let scope = args.page.tenant.map_or(Scope::Operator, Scope::Tenant);
    in_house(house, async |modelrow| {
        let page = modelrow.audit(scope, &filter).await;
        let page = page.map_err(|error| run_stop(&error))?;
        tell(&page.entries, (args.page.part.json, page.next), |entry| {
            let at = ui::time(entry.at);
            format!(
                "{at}  {:<18}  {}  by {}",
                entry.action, entry.object, entry.actor
            )
        });
        Ok(())
    })
    .await
}
