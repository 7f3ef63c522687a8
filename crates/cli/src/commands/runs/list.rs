//! `modelrow runs list`

use super::in_house;
use crate::args::{HouseArgs, ListArgs};
use crate::exit::Stop;
use crate::house::run_stop;
use crate::{params, ui};
use anstream::println;
use diag::Code;
use runtime::{RunFilter, RunSummary, Scope};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) async fn list(house: &HouseArgs, args: &ListArgs) -> Result<(), Stop> {
    let metadata = args
        .metadata
        .iter()
        .map(|text| params::split("--metadata", text))
        .map(|split| split.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect::<Result<Vec<_>, Stop>>()?;
    in_house(house, async |modelrow| {
        let now = modelrow.now();
        let filter = RunFilter {
            purpose: args.purpose.clone(),
            provider: args.provider.clone(),
            model: args.model.clone(),
            statuses: args.status.iter().copied().map(Into::into).collect(),
            states: args.state.clone(),
            held: args.held.then_some(true),
            created_after: args
                .since
                .as_deref()
                .map(|text| since(text, now))
                .transpose()?,
            metadata,
            after: args.page.part.after.clone(),
            limit: Some(args.page.part.limit),
        };
        let scope = args.page.tenant.map_or(Scope::Operator, Scope::Tenant);
        let page = modelrow
            .runs(scope, &filter)
            .await
            .map_err(|error| run_stop(&error))?;
        match args.page.part.json {
            true => page.runs.iter().for_each(|run| println!("{}", json!(run))),
            false => table(&page.runs, now),
        }
        if let Some(next) = page.next {
            ui::note(&format!("there are more: --after {next}"));
        }
        Ok(())
    })
    .await
}

/// A duration before now, or a time.
fn since(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, Stop> {
    let ago = humantime::parse_duration(text).ok();
    ago.and_then(|ago| now.checked_sub(time::Duration::try_from(ago).ok()?))
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or_else(|| {
            Stop::usage(
                Code::X120,
                "--since",
                format!("`{text}` is neither a duration nor a time"),
                "write `--since 2h`, or `--since 2026-11-30T12:00:00Z`",
            )
        })
}

fn table(runs: &[RunSummary], now: OffsetDateTime) {
    if runs.is_empty() {
        ui::note("no runs");
        return;
    }
    println!(
        "{:<36}  {:>8}  {:<16}  {:<24}  {:<5}  NOTES",
        "RUN", "AGE", "STATE", "MODEL", "SPENT"
    );
    for run in runs {
        let model = run
            .model
            .as_deref()
            .or(run.profile_key.as_deref())
            .unwrap_or("-");
        let line = format!(
            "{:<36}  {:>8}  {:<16}  {:<24}  {:<5}  {}",
            run.id,
            ui::age(now - run.created_at),
            state(run),
            model,
            run.spent,
            notes(run).join(", ")
        );
        println!("{}", line.trim_end());
    }
}

fn state(run: &RunSummary) -> String {
    match run.progress.filter(|_| run.ended_at.is_none()) {
        Some(percent) => format!("{} {percent} %", run.state),
        None => run.state.clone(),
    }
}

/// What an operator should see at a glance.
fn notes(run: &RunSummary) -> Vec<&str> {
    let mut notes: Vec<&str> = run.failure_code.as_deref().into_iter().collect();
    let live = run.ended_at.is_none();
    for (holds, note) in [
        (run.held && live, "held"),
        (run.overdue && live, "overdue"),
        (run.cancel_requested && live, "cancel asked"),
    ] {
        notes.extend(holds.then_some(note));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_time_is_said_as_how_long_ago_or_as_itself() {
        let now = datetime!(2026-11-30 12:00 UTC);
        for (text, want) in [
            ("90s", Some(datetime!(2026-11-30 11:58:30 UTC))),
            ("3days", Some(datetime!(2026-11-27 12:00 UTC))),
            (
                "2026-11-01T00:00:00Z",
                Some(datetime!(2026-11-01 00:00 UTC)),
            ),
            ("yesterday", None),
            ("90", None),
            ("9999999999999999s", None),
        ] {
            assert_eq!(since(text, now).ok(), want, "{text}");
        }
    }
}
