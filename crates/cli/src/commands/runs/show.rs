//! `modelrow runs show`

use super::in_house;
use crate::args::{HouseArgs, ShowArgs};
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::{AttemptView, Modelrow, RunView, Scope, TimelineEntry};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// Entries of a timeline read at once.
const AT_ONCE: u16 = 500;

pub(crate) async fn show(house: &HouseArgs, args: &ShowArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        let view = modelrow
            .run(Scope::Operator, args.run)
            .await
            .map_err(|error| run_stop(&error))?;
        let timeline = timeline(modelrow, args.run).await?;
        if args.json {
            let mut document = json!(view);
            if let Value::Object(members) = &mut document {
                members.insert("timeline".to_owned(), json!(timeline));
            }
            ui::print_json(&document);
        } else {
            tell(&view, &timeline, modelrow.now());
        }
        Ok(())
    })
    .await
}

async fn timeline(modelrow: &Modelrow, run: Uuid) -> Result<Vec<TimelineEntry>, Stop> {
    let mut all: Vec<TimelineEntry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry| entry.seq);
        let page = modelrow
            .timeline(Scope::Operator, run, after, AT_ONCE)
            .await;
        let page = page.map_err(|error| run_stop(&error))?;
        let last = page.len() < usize::from(AT_ONCE);
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

fn tell(view: &RunView, timeline: &[TimelineEntry], now: OffsetDateTime) {
    println!("run {}", view.id);
    for (label, text) in facts(view, now) {
        println!("  {label:<10} {text}");
    }
    if let Some(failure) = &view.failure {
        println!("  {:<10} {}", "failure", failure_line(failure));
    }
    section(
        "attempts",
        view.attempts.iter().map(|one| attempt(one, now)),
    );
    let file = |file: &runtime::ArtifactView| {
        let until = file
            .expires_at
            .map(|at| format!(", until {}", ui::time(at)));
        format!(
            "{}.{}  {}  {} bytes  sha256 {}{}",
            file.name,
            file.idx,
            file.content_type,
            file.bytes,
            file.sha256,
            until.unwrap_or_default()
        )
    };
    section("files", view.artifacts.iter().map(file));
    section("timeline", timeline.iter().map(entry));
}

fn section(name: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        println!("{name}");
    }
    lines.for_each(|line| println!("  {line}"));
}

fn facts(view: &RunView, now: OffsetDateTime) -> Vec<(&'static str, String)> {
    let mut state = view.state.clone();
    if let Some(percent) = view.progress.filter(|_| !view.ended()) {
        state += &format!(", {percent} %");
    }
    for (holds, note) in [
        (
            view.held,
            "held: no new attempt until `modelrow runs release`",
        ),
        (view.overdue && !view.ended(), "overdue and followed on"),
        (view.cancel_requested && !view.ended(), "cancel asked"),
    ] {
        if holds {
            state += &format!(", {note}");
        }
    }
    let names = [&view.provider, &view.model, &view.profile_key];
    let names: Vec<&str> = names
        .into_iter()
        .filter_map(|name| name.as_deref())
        .collect();
    let called = format!(
        "{} ({} ago)",
        ui::time(view.created_at),
        ui::age(now - view.created_at)
    );
    let mut facts = vec![
        ("state", state),
        (
            "makes",
            format!("{} by {}", view.purpose, names.join(" / ")),
        ),
        ("revision", view.revision.clone()),
        ("tenant", view.tenant.to_string()),
        ("called", called),
        ("spent", spent(view)),
    ];
    if let Some(of) = &view.cache_of {
        facts.push((
            "cached",
            format!("the result of run {of}; nothing was sent"),
        ));
    }
    if let Some(job) = &view.provider_job_id {
        facts.push(("job", job.clone()));
    }
    let times = [
        ("accepted", view.accepted_at),
        ("due", view.deadline_at.filter(|_| !view.ended())),
        ("ended", view.ended_at),
    ];
    facts.extend(
        times
            .into_iter()
            .filter_map(|(label, at)| Some((label, ui::time(at?)))),
    );
    if !view.metadata.is_empty() {
        facts.push(("metadata", json!(view.metadata).to_string()));
    }
    facts
}

fn spent(view: &RunView) -> String {
    let Some(cost) = &view.cost else {
        return view.spent.clone();
    };
    let part = |label: &str, amount: &Option<String>| {
        let amount = amount.as_ref()?;
        Some(format!("{label} {amount} {}", cost.currency))
    };
    let parts = [
        part("estimate", &cost.estimate),
        part("actual", &cost.actual),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{} ({})", view.spent, parts.join(", "))
}

fn failure_line(failure: &Value) -> String {
    let text = |member: &str| failure.get(member).and_then(Value::as_str);
    let mut line = match text("diagnostic") {
        Some(code) => format!("[{code}] "),
        None => String::new(),
    };
    line += text("message")
        .or(text("code"))
        .unwrap_or("no reason is recorded");
    if let Some(said) = text("provider_message") {
        line += &format!(" (the provider: {said})");
    }
    line
}

fn attempt(attempt: &AttemptView, now: OffsetDateTime) -> String {
    let mut line = format!("#{} {}", attempt.n, attempt.outcome);
    if let Some(status) = attempt.http_status {
        line += &format!(", HTTP {status}");
    }
    if let Some(job) = &attempt.provider_job_id {
        line += &format!(", job {job}");
    }
    if attempt.adopted {
        line += " (found, not answered)";
    }
    if attempt.replays > 0 {
        line += &format!(", sent again {} times under its key", attempt.replays);
    }
    line += &format!(", {} ago", ui::age(now - attempt.sent_at));
    if let Some(endpoint) = &attempt.endpoint {
        line += &format!(" to {endpoint}");
    }
    if let Some(answer) = &attempt.answer {
        line += &format!(": {answer}");
    }
    line
}

fn entry(entry: &TimelineEntry) -> String {
    let mut line = format!("{:>3}  {}  {}", entry.seq, ui::time(entry.at), entry.kind);
    line += &ui::body(&entry.body);
    line
}
