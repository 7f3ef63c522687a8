//! `modelrow demo`: the whole way of one run, on this machine alone.
//!
//! A private PostgreSQL of its own, the shipped rows, a simulated provider in
//! this process, one video. The user's own database and keys are not touched.

use crate::args::{DemoArgs, HouseArgs};
use crate::commands::run::{GRACE, Shown, finish, follow};
use crate::exit::Stop;
use crate::house::{House, Purpose, run_stop};
use crate::progress::Deltas;
use crate::{bundles, ui};
use diag::{Code, Secret};
use profile::rows::Rows;
use runtime::{Modelrow, NoSecret, RunRequest, Secrets};
use simulator::{Config, JobPlan, Simulator};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use store::SYSTEM_TENANT;

/// How long the simulated job waits and renders.
const JOB: (u64, u64) = (400, 3_000);
/// The pace that the simulated provider asks for, in milliseconds.
const PACE_MS: u64 = 300;

pub(crate) async fn demo(house_args: &HouseArgs, args: &DemoArgs) -> Result<(), Stop> {
    let begun = Instant::now();
    let provider = simulated().await?;
    let house = House::apart(house_args, "demo").await?;
    ui::done("a private PostgreSQL runs, its schema is that of this build");
    let mut options = house.options(Purpose::Work);
    options.secrets = Arc::new(DemoKey);
    options.allow = engine::egress::Allow {
        http: true,
        private: true,
    };
    let modelrow = house.start_with(options).await?;
    let ended = one(&modelrow, &provider, args).await;
    modelrow.shutdown(GRACE).await;
    house.close().await?;
    provider.stop();
    ended?;
    ui::note(&format!(
        "{:.1} s in all; `modelrow run --help` shows how to call a real provider",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

async fn simulated() -> Result<Simulator, Stop> {
    let jobs = JobPlan {
        queue_ms: JOB.0,
        run_ms: JOB.1,
        poll_after_ms: Some(PACE_MS),
        ..JobPlan::default()
    };
    let config = Config {
        jobs,
        ..Config::default()
    };
    let started = Simulator::start(config).await;
    let simulator = started.map_err(|error| {
        Stop::house(
            Code::X104,
            format!("the simulated provider cannot listen: {error}"),
            "free a port of the loopback address",
        )
    })?;
    ui::done(&format!(
        "a simulated provider listens on {}",
        simulator.base_url()
    ));
    Ok(simulator)
}

async fn one(modelrow: &Modelrow, provider: &Simulator, args: &DemoArgs) -> Result<(), Stop> {
    let rows = first_video_bundle(&provider.base_url())?;
    let names: Vec<_> = rows
        .profiles
        .iter()
        .map(|row| row.profile_key.clone())
        .collect();
    modelrow
        .apply(SYSTEM_TENANT, &rows)
        .await
        .map_err(|error| run_stop(&error))?;
    ui::done(&format!("the rows are applied: {}", names.join(", ")));
    let request = RunRequest::new("video").prompt(args.prompt.clone());
    let handle = modelrow
        .run_profile(request)
        .await
        .map_err(|error| run_stop(&error))?;
    ui::note(&format!("run {}", handle.id()));
    let (view, _) = follow(&handle, Deltas::Leave).await?;
    let shown = if args.json {
        Shown::Json
    } else {
        Shown::Output
    };
    finish(modelrow, &view, &args.out, shown).await
}

/// The shipped bundle that serves videos by default, its requests sent to `endpoint`.
fn first_video_bundle(endpoint: &str) -> Result<Rows, Stop> {
    let read = bundles::SHIPPED
        .iter()
        .map(|text| bundles::check(PathBuf::from("shipped"), text));
    let serves = |read: &bundles::Read| {
        read.bundle
            .rows
            .models
            .iter()
            .any(|model| model.is_default && model.model_type == "video")
    };
    let mut found: Vec<_> = read.filter(serves).collect();
    let Some(first) = found.drain(..).next() else {
        return Err(Stop::house(
            Code::X109,
            "no shipped bundle serves videos",
            "build the program from a complete checkout",
        ));
    };
    let mut rows = first.bundle.rows;
    bundles::redirect(&mut rows.credentials, endpoint);
    Ok(rows)
}

/// The simulated provider takes any key.
#[derive(Debug)]
struct DemoKey;

impl Secrets for DemoKey {
    fn open(&self, _reference: &str) -> Result<Secret, NoSecret> {
        Ok(Secret::from("demo-key".to_owned()))
    }
}
