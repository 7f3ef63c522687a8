//! The commands, one file each.

pub(crate) mod cache;
pub(crate) mod credential;
pub(crate) mod deliveries;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod pause;
pub(crate) mod profile;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod sweep;
pub(crate) mod top;
pub(crate) mod usage;

use crate::args::HouseArgs;
use crate::exit::Stop;
use crate::{house, ui};

/// `modelrow migrate`.
pub(crate) async fn migrate(args: &HouseArgs) -> Result<(), Stop> {
    let which = house::migrate(args).await?;
    ui::done(&format!("{which} has the schema of this build"));
    Ok(())
}
