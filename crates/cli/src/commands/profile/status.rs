//! `modelrow profile status`: which rows serve, and what is wrong with the others.

use crate::args::{HouseArgs, JsonArg};
use crate::exit::{self, Stop};
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use anstream::println;
use serde_json::{Value, json};
use std::time::Duration;
use store::SYSTEM_TENANT;
use store::revisions::ProfileStatus;

pub(crate) async fn status(house: &HouseArgs, args: &JsonArg) -> Result<(), Stop> {
    let house = House::open(house).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    let rows = modelrow
        .profile_statuses(SYSTEM_TENANT)
        .await
        .map_err(|error| run_stop(&error));
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await?;
    let rows = rows?;
    match args.json {
        true => {
            ui::print_json(&json!({ "profiles": rows.iter().map(to_json).collect::<Vec<_>>() }))
        }
        false => rows.iter().for_each(tell),
    }
    match rows.iter().all(|row| row.ok != Some(false)) {
        true => Ok(()),
        false => Err(Stop::Told(exit::FAILED)),
    }
}

fn word(row: &ProfileStatus) -> &'static str {
    match (row.is_active, row.ok, &row.serving) {
        (false, _, _) => "inactive",
        (_, None, _) => "not checked yet",
        (_, Some(true), _) => "serves",
        (_, Some(false), Some(_)) => "refused; the last good revision serves",
        (_, Some(false), None) => "refused",
    }
}

fn tell(row: &ProfileStatus) {
    println!("{}/{}: {}", row.provider, row.profile_key, word(row));
    for finding in row
        .diagnostics
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |pointer: &str| {
            finding
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        println!(
            "    {}[{}] at {}: {}",
            text("/severity"),
            text("/code"),
            text("/place/pointer"),
            text("/message")
        );
        println!("        help: {}", text("/help"));
    }
}

fn to_json(row: &ProfileStatus) -> Value {
    json!({
        "provider": row.provider,
        "profile_key": row.profile_key,
        "model": row.model,
        "purpose": row.purpose,
        "is_active": row.is_active,
        "status": word(row),
        "serving": row.serving,
        "diagnostics": row.diagnostics,
    })
}
