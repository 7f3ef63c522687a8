//! `modelrow profile doctor`: what answers had and the profiles did not know.

use crate::args::{HouseArgs, JsonArg};
use crate::exit::{self, Stop};
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use anstream::println;
use runtime::ProfileDrift;
use serde_json::json;
use std::time::Duration;

pub(crate) async fn doctor(house: &HouseArgs, args: &JsonArg) -> Result<(), Stop> {
    let house = House::open(house).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    let drift = modelrow.drift().await.map_err(|error| run_stop(&error));
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await?;
    let drift = drift?;
    match args.json {
        true => ui::print_json(&json!({ "drift": drift })),
        false if drift.is_empty() => ui::note(
            "no answer had a status word, an error code or a member that its profile does not know",
        ),
        false => drift.iter().for_each(tell),
    }
    match drift.is_empty() {
        true => Ok(()),
        false => Err(Stop::Told(exit::FAILED)),
    }
}

fn tell(profile: &ProfileDrift) {
    let model = profile.model.as_deref().unwrap_or("-");
    println!("{}/{} ({model})", profile.provider, profile.profile_key);
    for finding in &profile.findings {
        println!(
            "    {} `{}` in answers of `{}`: {} run(s), last {} (run {})",
            finding.kind,
            finding.word,
            finding.step,
            finding.seen,
            finding.last_seen.date(),
            finding.run_id
        );
        println!("        help: {}", finding.help);
    }
}
