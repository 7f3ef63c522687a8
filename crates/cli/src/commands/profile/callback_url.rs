//! `modelrow profile callback-url`: the address to configure at a provider.

use crate::args::{CallbackUrlArgs, HouseArgs};
use crate::exit::Stop;
use crate::house::{House, Purpose};
use crate::ui;
use anstream::println;
use diag::Code;
use profile::catalogue::Compiled;
use std::time::Duration;
use store::SYSTEM_TENANT;

pub(crate) async fn callback_url(args: &HouseArgs, wanted: &CallbackUrlArgs) -> Result<(), Stop> {
    let house = House::open(args).await?;
    let mut options = house.options(Purpose::Rows);
    options.public_url = Some(wanted.public_url.clone());
    let modelrow = house.start_with(options).await?;
    let found = finds_runs(&modelrow.catalogue(), &wanted.provider);
    let address = modelrow.callback_address(SYSTEM_TENANT, &wanted.provider);
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await?;
    let Some(finds) = found else {
        return Err(Stop::house(
            Code::X111,
            format!(
                "there is no provider `{}` in the catalogue",
                wanted.provider
            ),
            "`modelrow profile list` shows them",
        ));
    };
    println!("{}", address.unwrap_or_default());
    if !finds {
        ui::note(
            "no profile of this provider has a `webhook` with `job_id_path`: callbacks at this address find no run",
        );
    }
    Ok(())
}

/// Whether some profile finds its run by the job that a callback names; `None`: no such provider.
fn finds_runs(compiled: &Compiled, provider: &str) -> Option<bool> {
    let mut entries = compiled.revisions.iter();
    let of_it = entries
        .by_ref()
        .filter(|entry| entry.key.provider == provider);
    let finds: Vec<bool> = of_it
        .map(|entry| {
            let webhook = entry
                .revision
                .as_ref()
                .ok()
                .and_then(|one| one.webhook.as_ref());
            webhook.is_some_and(|webhook| webhook.job_id.is_some())
        })
        .collect();
    (!finds.is_empty()).then(|| finds.contains(&true))
}
