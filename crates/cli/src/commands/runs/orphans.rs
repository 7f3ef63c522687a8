//! `modelrow runs orphans`

use super::in_house;
use crate::args::{HouseArgs, OrphansArgs};
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::Orphan;
use serde_json::json;

pub(crate) async fn orphans(house: &HouseArgs, args: &OrphansArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        for run in &args.forget {
            let forgotten = modelrow.forget_orphan(*run, &args.by).await;
            match forgotten.map_err(|error| run_stop(&error))? {
                true => ui::done(&format!("what was sent for run {run} is listed no longer")),
                false => ui::note(&format!("nothing is listed for run {run}")),
            }
        }
        let jobs = modelrow.orphans().await.map_err(|error| run_stop(&error))?;
        match args.json {
            true => jobs.iter().for_each(|job| println!("{}", json!(job))),
            false => table(&jobs),
        }
        Ok(())
    })
    .await
}

fn table(jobs: &[Orphan]) {
    if jobs.is_empty() {
        ui::note("no job is without a run");
        return;
    }
    println!("{:<36}  {:<36}  {:<28}  SENT TO", "RUN", "TENANT", "JOB");
    for job in jobs {
        println!(
            "{}  {}  {:<28}  {}",
            job.run_id,
            job.tenant_id,
            job.provider_job_id.as_deref().unwrap_or("unknown"),
            job.endpoint
        );
    }
}
