//! `modelrow cache`

use crate::args::{CacheArgs, CacheCommand, HouseArgs};
use crate::commands::runs::in_house;
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::{CacheView, Modelrow, RunError};
use serde_json::json;

pub(crate) async fn cache(house: &HouseArgs, command: &CacheCommand) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let args = args(command);
        let view = done(modelrow, command, args).await;
        let view = view.map_err(|error| run_stop(&error))?;
        match args.json {
            true => ui::print_json(&json!(view)),
            false => println!("{}", line(&view)),
        }
        Ok(())
    })
    .await
}

fn args(command: &CacheCommand) -> &CacheArgs {
    match command {
        CacheCommand::Show(args)
        | CacheCommand::On(args)
        | CacheCommand::Off(args)
        | CacheCommand::Clear(args) => args,
    }
}

async fn done(
    modelrow: &Modelrow,
    command: &CacheCommand,
    args: &CacheArgs,
) -> Result<CacheView, RunError> {
    let tenant = modelrow.tenant(&args.tenant).await?;
    match command {
        CacheCommand::Show(_) => {}
        CacheCommand::On(_) => modelrow.set_cache(tenant, true, &args.by).await?,
        CacheCommand::Off(_) => modelrow.set_cache(tenant, false, &args.by).await?,
        CacheCommand::Clear(_) => {
            let gone = modelrow.clear_cache(tenant).await?;
            ui::note(&format!("{gone} results forgotten"));
        }
    }
    modelrow.cache(tenant).await
}

fn line(view: &CacheView) -> String {
    let on = match view.on {
        true => "on for every call",
        false => "on for calls that ask",
    };
    format!(
        "{on}; {} results, {} hits this month",
        view.results, view.hits_this_month
    )
}
