//! `modelrow runs watch`

use super::in_house;
use crate::args::{HouseArgs, WatchArgs};
use crate::exit::{self, Stop};
use crate::house::run_stop;
use crate::progress::describe;
use crate::ui;
use anstream::println;
use futures_util::StreamExt as _;
use runtime::{Modelrow, RunEvent, RunView, Scope, Status};
use serde_json::json;

pub(crate) async fn watch(house: &HouseArgs, args: &WatchArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        // A run that is not there has no events; it is refused instead.
        modelrow
            .run(Scope::Operator, args.run)
            .await
            .map_err(|error| run_stop(&error))?;
        if let Ok(fleet) = modelrow.fleet().await
            && fleet.workers.is_empty()
        {
            ui::note(
                "no worker lives: nothing moves until `modelrow work` or `modelrow serve` runs",
            );
        }
        // Cancel safety: watching only reads.
        tokio::select! {
            ended = follow(modelrow, args) => match ended.map(|view| view.status) {
                Some(Status::Succeeded) => Ok(()),
                _ => Err(Stop::Told(exit::FAILED)),
            },
            _ = tokio::signal::ctrl_c() => Err(Stop::Told(exit::INTERRUPTED)),
        }
    })
    .await
}

/// Prints what happens; the run as it ended, if it was there to the end.
async fn follow(modelrow: &Modelrow, args: &WatchArgs) -> Option<RunView> {
    let mut events = modelrow.events_after(Scope::Operator, args.run, args.after);
    while let Some(event) = events.next().await {
        match args.json {
            true => println!("{}", json!(event)),
            false => line(&event),
        }
        if let RunEvent::End(view) = event {
            return Some(*view);
        }
    }
    None
}

fn line(event: &RunEvent) {
    match event {
        RunEvent::State(now) | RunEvent::Progress(now) => println!("      {}", describe(now)),
        RunEvent::Delta { text, .. } => ui::print_text(text),
        RunEvent::Entry {
            seq,
            at,
            kind,
            body,
        } => {
            println!("{seq:>4}  {}  {kind}{}", ui::time(*at), ui::body(body));
        }
        RunEvent::End(view) => match &view.failure {
            Some(failure) => ui::print_failure(view, failure),
            None => ui::done(&format!("the run has {}", ended(view.status))),
        },
    }
}

fn ended(status: Status) -> &'static str {
    match status {
        Status::Canceled => "been canceled",
        _ => "succeeded",
    }
}
