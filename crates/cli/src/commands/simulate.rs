//! `modelrow simulate`: a provider that does what a script says.

use crate::args::SimulateArgs;
use crate::exit::{self, Stop};
use crate::ui;
use diag::Code;
use serde::de::DeserializeOwned;
use serde_json::Value;
use simulator::{BadCase, CasePlayer, Config, Simulator};
use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

pub(crate) async fn simulate(args: SimulateArgs) -> Result<(), Stop> {
    if let Some(file) = &args.case {
        return play(file, args.listen).await;
    }
    let mut config: Config = match &args.script {
        Some(file) => read_json(file)?,
        None => Config::default(),
    };
    config.address = args.listen;
    let started = Simulator::start(config).await;
    let simulator = started.map_err(|error| cannot_listen(args.listen, &error))?;
    ui::done(&format!(
        "the simulated provider listens on {}",
        simulator.base_url()
    ));
    ui::note(
        "what it received: GET /_sim/ledger; jobs: GET /_sim/jobs; new rules: POST /_sim/script; Ctrl-C ends it",
    );
    let _ = tokio::signal::ctrl_c().await;
    simulator.stop();
    Ok(())
}

fn cannot_listen(address: SocketAddr, error: &dyn Display) -> Stop {
    Stop::house(
        Code::X104,
        format!("cannot listen on {address}: {error}"),
        "give `--listen` an address that is free",
    )
}

/// Plays one recorded case, and says at the end what differed.
async fn play(file: &Path, listen: SocketAddr) -> Result<(), Stop> {
    let case: Value = read_json(file)?;
    let player = CasePlayer::start_on(&case, listen).await;
    let player = player.map_err(|error| match error {
        BadCase::Listen(error) => cannot_listen(listen, &error),
        error => Stop::usage(
            Code::X105,
            &file.display().to_string(),
            error.to_string(),
            "`profiles/CASES.md` shows the form of a case",
        ),
    })?;
    ui::done(&format!(
        "the case is played on http://{}",
        player.address()
    ));
    ui::note(
        "its addresses are the recorded ones below this host: give `--endpoint` this address and the path of the provider's `api_base_url`; secrets are `***`; Ctrl-C says what differed",
    );
    let _ = tokio::signal::ctrl_c().await;
    let report = player.report();
    for mismatch in &report.mismatches {
        ui::note(&format!(
            "{}: {}",
            mismatch.request,
            mismatch.differences.join("; ")
        ));
    }
    match report.is_faithful() {
        true => Ok(()),
        false => Err(Stop::Told(exit::FAILED)),
    }
}

fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T, Stop> {
    let text = fs::read_to_string(file).map_err(|error| {
        Stop::house(
            Code::X102,
            format!("`{}` cannot be read: {error}", file.display()),
            "name a file that is there",
        )
    })?;
    serde_json::from_str(&text).map_err(|error| {
        Stop::usage(
            Code::X105,
            &file.display().to_string(),
            format!("not as the simulator reads it: {error}"),
            "the simulator's README shows the form",
        )
    })
}
