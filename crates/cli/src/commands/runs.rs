//! `modelrow runs …`: what operators see of runs and do with them. Here every tenant's runs are seen: whoever has the
//! database's address has them all.

pub(crate) mod act;
pub(crate) mod list;
pub(crate) mod orphans;
pub(crate) mod show;
pub(crate) mod watch;

use crate::args::HouseArgs;
use crate::exit::Stop;
use crate::house::{House, Purpose};
use runtime::Modelrow;
use std::time::Duration;

/// Opens the house, does the work, and closes it, whatever came of the work.
pub(crate) async fn in_house<T>(
    args: &HouseArgs,
    work: impl AsyncFnOnce(&Modelrow) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let house = House::open(args).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    let done = work(&modelrow).await;
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await?;
    done
}
