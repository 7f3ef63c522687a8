//! `modelrow runs cancel | retry | resolve | release | delete`

use super::in_house;
use crate::args::{
    BecauseArgs, CancelArgs, DeleteArgs, HouseArgs, ReleaseArgs, ResolveArgs, RetryArgs,
};
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::{Because, Resolution, Retry, RunView, Scope};
use serde_json::json;

pub(crate) async fn cancel(house: &HouseArgs, args: &CancelArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        for run in &args.runs {
            let view = modelrow.cancel(Scope::Operator, *run).await;
            let view = view.map_err(|error| run_stop(&error))?;
            match args.json {
                true => println!("{}", json!(view)),
                false => ui::done(&canceled(&view)),
            }
        }
        Ok(())
    })
    .await
}

fn canceled(view: &RunView) -> String {
    let (id, state) = (view.id, &view.state);
    match (view.ended(), view.cancel_requested) {
        (true, _) => format!("run {id} has ended: {state}"),
        (false, _) => {
            format!("run {id} is asked to be canceled; it is {state}: `modelrow runs watch {id}`")
        }
    }
}

pub(crate) async fn retry(house: &HouseArgs, args: &RetryArgs) -> Result<(), Stop> {
    let how = Retry {
        accept_duplicate: args.accept_duplicate,
        idempotency_key: args.idempotency_key.clone(),
        api_key_id: None,
    };
    in_house(house, async |modelrow| {
        let run = modelrow.retry(Scope::Operator, args.run, how).await;
        let run = run.map_err(|error| run_stop(&error))?;
        if args.json {
            let view = run.view().await.map_err(|error| run_stop(&error))?;
            ui::print_json(&json!(view));
        } else {
            println!("{}", run.id());
            ui::done(&format!(
                "run {} asks for the same: `modelrow runs watch {}`",
                run.id(),
                run.id()
            ));
        }
        Ok(())
    })
    .await
}

fn because(args: &BecauseArgs) -> Because {
    Because {
        reason: args.reason.clone(),
        by: args.by.clone(),
    }
}

pub(crate) async fn resolve(house: &HouseArgs, args: &ResolveArgs) -> Result<(), Stop> {
    let resolution = match &args.accepted {
        Some(job) => Resolution::Accepted {
            provider_job_id: job.clone(),
        },
        None if args.not_accepted => Resolution::NotAccepted,
        None => Resolution::Failed,
    };
    in_house(house, async |modelrow| {
        let resolved = modelrow
            .resolve(args.run, &resolution, &because(&args.because))
            .await;
        let view = resolved.map_err(|error| run_stop(&error))?;
        match args.json {
            true => ui::print_json(&json!(view)),
            false => ui::done(&resolved_line(&view)),
        }
        Ok(())
    })
    .await
}

fn resolved_line(view: &RunView) -> String {
    let held = match view.held {
        true => "; it is held until `modelrow runs release`",
        false => "",
    };
    format!("run {} is {} now{held}", view.id, view.state)
}

pub(crate) async fn release(house: &HouseArgs, args: &ReleaseArgs) -> Result<(), Stop> {
    let named = (!args.all).then_some(args.runs.as_slice());
    in_house(house, async |modelrow| {
        let released = modelrow.release(named, &because(&args.because)).await;
        let released = released.map_err(|error| run_stop(&error))?;
        if args.json {
            released.iter().for_each(|run| println!("{}", json!(run)));
        } else {
            released
                .iter()
                .for_each(|run| println!("{}  {}", run.id, run.state));
            ui::done(&format!("{} runs were held and go on", released.len()));
        }
        Ok(())
    })
    .await
}

pub(crate) async fn delete(house: &HouseArgs, args: &DeleteArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        for run in &args.runs {
            let deleted = modelrow.delete(Scope::Operator, *run, &args.by).await;
            deleted.map_err(|error| run_stop(&error))?;
            ui::done(&format!("run {run} is deleted"));
        }
        Ok(())
    })
    .await
}
