//! `modelrow deliveries …` and `modelrow webhook-secret …`: callbacks out.

use super::runs::in_house;
use crate::args::{
    DeliveriesCommand, DeliveryArgs, DeliveryListArgs, HouseArgs, ResendArgs, WebhookSecretCommand,
};
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use diag::ExposeSecret as _;
use runtime::{DeliveriesFilter, DeliveryStatus, DeliveryView, Scope, WebhookSecretView};
use serde_json::json;
use std::time::Duration;
use store::DEFAULT_TENANT;

pub(crate) async fn deliveries(house: &HouseArgs, command: DeliveriesCommand) -> Result<(), Stop> {
    match command {
        DeliveriesCommand::List(args) => list(house, &args).await,
        DeliveriesCommand::Show(args) => show(house, &args).await,
        DeliveriesCommand::Resend(args) => resend(house, &args).await,
    }
}

async fn list(house: &HouseArgs, args: &DeliveryListArgs) -> Result<(), Stop> {
    let filter = DeliveriesFilter {
        run: args.run,
        status: args.status.map(Into::into),
        after: args.page.part.after.clone(),
        limit: Some(args.page.part.limit),
    };
    let scope = args.page.tenant.map_or(Scope::Operator, Scope::Tenant);
    in_house(house, async |modelrow| {
        let page = modelrow.deliveries(scope, &filter).await;
        let page = page.map_err(|error| run_stop(&error))?;
        for one in &page.deliveries {
            match args.page.part.json {
                true => println!("{}", json!(one)),
                false => println!("{}", line(one, modelrow.now())),
            }
        }
        match (page.next, page.deliveries.is_empty()) {
            (Some(next), _) => ui::note(&format!("there are more: --after {next}")),
            (None, true) => ui::note("no callbacks"),
            (None, false) => {}
        }
        Ok(())
    })
    .await
}

fn line(one: &DeliveryView, now: time::OffsetDateTime) -> String {
    let status = match one.status {
        DeliveryStatus::Pending => "pending",
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Failed => "failed",
    };
    let mut line = format!(
        "{}  {:>5}  {:<9}  {:<13}  run {}  {}",
        one.id,
        ui::age(now - one.created_at),
        status,
        one.event,
        one.run,
        one.url.as_deref().unwrap_or("-"),
    );
    if let (Some(why), true) = (&one.last_error, one.status != DeliveryStatus::Delivered) {
        line += &format!("  ({} attempts: {why})", one.attempts);
    }
    line
}

async fn show(house: &HouseArgs, args: &DeliveryArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let attempts = modelrow.delivery_attempts(Scope::Operator, args.id).await;
        let attempts = attempts.map_err(|error| run_stop(&error))?;
        if attempts.is_empty() {
            ui::note("it was not tried yet, or there is no such callback");
        }
        for one in attempts {
            if args.json {
                println!("{}", json!(one));
                continue;
            }
            let came = match (one.status, &one.error) {
                (Some(status), _) => format!("HTTP {status}"),
                (None, why) => why.clone().unwrap_or_default(),
            };
            let took = one.took_ms.unwrap_or_default();
            println!(
                "#{}  {}  {came} in {took} ms  {}",
                one.n,
                ui::time(one.at),
                one.answer.unwrap_or_default()
            );
        }
        Ok(())
    })
    .await
}

async fn resend(house: &HouseArgs, args: &ResendArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        for id in &args.ids {
            let due = modelrow.resend(Scope::Operator, *id).await;
            due.map_err(|error| run_stop(&error))?;
            ui::done(&format!("callback {id} is due; a worker sends it"));
        }
        Ok(())
    })
    .await
}

pub(crate) async fn webhook_secret(
    house: &HouseArgs,
    command: WebhookSecretCommand,
) -> Result<(), Stop> {
    let view = in_house(house, async |modelrow| {
        let view = match &command {
            WebhookSecretCommand::Rotate(args) => {
                let overlap = Duration::from_secs(u64::from(args.overlap) * 3_600);
                let tenant = args.tenant.unwrap_or(DEFAULT_TENANT);
                modelrow.webhook_secret_rotate(tenant, overlap).await
            }
            WebhookSecretCommand::ShowNew(args) => {
                modelrow
                    .webhook_secret(args.tenant.unwrap_or(DEFAULT_TENANT))
                    .await
            }
        };
        view.map_err(|error| run_stop(&error))
    })
    .await?;
    told(&view);
    Ok(())
}

/// The secret alone on standard output, so that it can be piped.
fn told(view: &WebhookSecretView) {
    println!("{}", view.secret.expose_secret());
    ui::done("callbacks are signed with this secret, as Standard Webhooks says");
    if let Some(until) = view.old_until {
        ui::note(&format!(
            "the one before it signs too, until {}",
            ui::time(until)
        ));
    }
}
