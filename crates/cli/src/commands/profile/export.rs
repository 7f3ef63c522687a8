//! `modelrow profile export`: a provider's rows as a bundle, without secrets.

use crate::args::{ExportArgs, HouseArgs};
use crate::exit::Stop;
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use diag::Code;
use std::fs;
use std::time::Duration;
use store::SYSTEM_TENANT;

pub(crate) async fn export(house: &HouseArgs, args: &ExportArgs) -> Result<(), Stop> {
    let house = House::open(house).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    let bundle = modelrow
        .export(SYSTEM_TENANT, &args.provider)
        .await
        .map_err(|error| run_stop(&error));
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await?;
    let bundle = bundle?;
    let Some(file) = &args.out else {
        ui::print_json(&bundle);
        return Ok(());
    };
    fs::write(file, format!("{bundle:#}\n")).map_err(|error| {
        Stop::house(
            Code::X103,
            format!("`{}` cannot be written: {error}", file.display()),
            "give `--out` a file that you may write",
        )
    })?;
    ui::done(&file.display().to_string());
    Ok(())
}
