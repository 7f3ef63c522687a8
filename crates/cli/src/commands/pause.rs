//! `modelrow pause` and `modelrow resume`: the brake.

use crate::args::{HouseArgs, PauseArgs, ResumeArgs};
use crate::commands::runs::in_house;
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::{Because, Modelrow, PauseScope, PauseView, Pauses};
use serde_json::json;
use time::Duration;

pub(crate) async fn pause(house: &HouseArgs, args: &PauseArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        if let Some(reason) = &args.reason {
            let because = Because {
                reason: reason.clone(),
                by: args.by.clone(),
            };
            let paused = modelrow.pause(&args.scope.scope(), &because).await;
            paused.map_err(|error| run_stop(&error))?;
        }
        show(modelrow, args.json).await
    })
    .await
}

pub(crate) async fn resume(house: &HouseArgs, args: &ResumeArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let resumed = modelrow.resume(&args.scope.scope(), &args.by).await;
        match resumed.map_err(|error| run_stop(&error))? {
            true => ui::done("submits go on there"),
            false => ui::note("that was not paused"),
        }
        let left = modelrow.pauses().await.map_err(|error| run_stop(&error))?;
        if !left.pauses.is_empty() {
            ui::note("still paused:");
            tell(&left, modelrow);
        }
        Ok(())
    })
    .await
}

async fn show(modelrow: &Modelrow, json: bool) -> Result<(), Stop> {
    let pauses = modelrow.pauses().await.map_err(|error| run_stop(&error))?;
    match json {
        true => ui::print_json(&json!(pauses)),
        false => tell(&pauses, modelrow),
    }
    Ok(())
}

fn tell(pauses: &Pauses, modelrow: &Modelrow) {
    if *pauses == Pauses::default() {
        ui::note("nothing is paused");
    }
    for line in lines(pauses, modelrow.now()) {
        println!("{line}");
    }
}

/// One line for each thing that starts no submits.
pub(crate) fn lines(pauses: &Pauses, now: time::OffsetDateTime) -> Vec<String> {
    let paused = |pause: &PauseView| {
        format!(
            "{}: paused {} ago by {}: {}",
            what(pause),
            ui::age(now - pause.at),
            pause.by,
            pause.reason
        )
    };
    let waits = |wait: &runtime::CredentialPauseView| {
        let left = ui::age(Duration::milliseconds(wait.for_ms));
        let why = wait.why.as_deref().unwrap_or("no reason is recorded");
        format!(
            "credential {} ({}): waits {left} more: {why}",
            wait.name, wait.credential
        )
    };
    let lines = pauses.pauses.iter().map(paused);
    lines.chain(pauses.credentials.iter().map(waits)).collect()
}

fn what(pause: &PauseView) -> String {
    let named = |kind: &str, id: &str| match &pause.name {
        Some(name) => format!("{kind} {name} ({id})"),
        None => format!("{kind} {id}"),
    };
    match &pause.what {
        PauseScope::All => "everything".to_owned(),
        PauseScope::Provider { provider } => format!("provider {provider}"),
        PauseScope::Credential { credential } => named("credential", credential),
        PauseScope::Tenant { tenant } => named("tenant", tenant),
    }
}
