//! `modelrow usage`

use crate::args::{HouseArgs, UsageArgs};
use crate::commands::limits::{at, line};
use crate::commands::runs::in_house;
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::UsageView;
use serde_json::json;

pub(crate) async fn usage(house: &HouseArgs, args: &UsageArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let view = async {
            let tenant = modelrow.tenant(&args.tenant).await?;
            modelrow.usage(tenant).await
        };
        let view = view.await.map_err(|error| run_stop(&error))?;
        match args.json {
            true => ui::print_json(&json!(view)),
            false => lines(&view).iter().for_each(|line| println!("{line}")),
        }
        Ok(())
    })
    .await
}

fn lines(view: &UsageView) -> Vec<String> {
    let today = format!("{}; the day ends {}", view.runs_today, at(view.day_ends));
    let month = format!(
        "{}, and {} from the cache; the month ends {}",
        view.runs_this_month,
        view.cached_this_month,
        at(view.month_ends)
    );
    let open = format!("{}, {} of them wait", view.runs_in_flight, view.runs_queued);
    let mut lines = vec![
        line("runs today", today),
        line("runs this month", month),
        line("runs in flight", open),
        line("requests today", view.requests_today),
    ];
    lines.extend(view.spend.iter().map(|spend| {
        let text = format!("{} {}", spend.spent, spend.currency);
        line(
            "spent this month",
            format!("{text}, reserved {}", spend.reserved),
        )
    }));
    lines
}
