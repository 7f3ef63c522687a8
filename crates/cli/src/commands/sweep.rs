//! `modelrow sweep`: what workers do by themselves, now and told.

use crate::args::{HouseArgs, SweepArgs};
use crate::exit::Stop;
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use runtime::Sweep;
use std::time::Duration;

pub(crate) async fn sweep(args: &HouseArgs, sweep: &SweepArgs) -> Result<(), Stop> {
    let house = House::open(args).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    let how = if sweep.dry_run {
        Sweep::DryRun
    } else {
        Sweep::Clean
    };
    let swept = modelrow.sweep(how).await;
    modelrow.shutdown(Duration::ZERO).await;
    let swept = swept.map_err(|error| run_stop(&error))?;
    if sweep.json {
        ui::print_json(&serde_json::to_value(&swept).unwrap_or_default());
    } else {
        let verb = if sweep.dry_run { "would be" } else { "were" };
        ui::done(&format!(
            "{} files {verb} withdrawn; {} objects, {} inputs, {} events, {} callbacks, {} strays and {} broken uploads {verb} deleted; {} objects are not ours",
            swept.artifacts,
            swept.objects,
            swept.inputs,
            swept.events,
            swept.callbacks,
            swept.strays,
            swept.uploads,
            swept.foreign,
        ));
    }
    house.close().await
}
