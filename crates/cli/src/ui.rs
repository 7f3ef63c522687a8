//! What people see: colours only on a terminal (`anstream` strips them elsewhere).

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use diag::Diagnostic;
use runtime::RunView;
use runtime::difference::{Change, Changed};
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// One JSON document on standard output.
pub(crate) fn print_json(value: &Value) {
    println!("{value:#}");
}

/// A piece of text on standard output, at once. A terminal gets no control
/// characters of it but line breaks and tabs: a provider wrote it.
pub(crate) fn print_text(text: &str) {
    let mut out = std::io::stdout();
    let plain = |c: &char| matches!(c, '\n' | '\t') || !c.is_control();
    let written = if out.is_terminal() {
        let shown: String = text.chars().filter(plain).collect();
        out.write_all(shown.as_bytes())
    } else {
        out.write_all(text.as_bytes())
    };
    // Who closed the pipe does not want the rest; the run goes on.
    let _ = written.and_then(|()| out.flush());
}

/// Our own text as it is, control characters too.
pub(crate) fn print_raw(text: &str) {
    let mut out = std::io::stdout();
    // Who closed the pipe does not want the rest.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How long, in its largest unit: `42s`, `7m`, `3h`, `2d`.
pub(crate) fn age(long: time::Duration) -> String {
    let seconds = long.whole_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A time to the second, in UTC.
pub(crate) fn time(at: OffsetDateTime) -> String {
    let whole = at.to_offset(UtcOffset::UTC).replace_nanosecond(0);
    let text = whole.ok().and_then(|at| at.format(&Rfc3339).ok());
    text.unwrap_or_default()
}

/// What belongs to an entry of a timeline, on its line; nothing of an empty one.
pub(crate) fn body(body: &Value) -> String {
    match body {
        Value::Object(members) if !members.is_empty() => format!("  {body}"),
        _ => String::new(),
    }
}

/// A finding, on standard error.
pub(crate) fn print_diagnostic(finding: &Diagnostic) {
    let (style, word) = if finding.is_error() {
        (RED, "error")
    } else {
        (YELLOW, "warning")
    };
    eprintln!(
        "{style}{word}[{}]{style:#}: {}",
        finding.code, finding.message
    );
    eprintln!("  at {}", finding.place);
    eprintln!("  {DIM}help: {}{DIM:#}", finding.help);
}

/// An error of the house, on standard error.
pub(crate) fn print_error(code: &str, message: &str, help: &str) {
    eprintln!("{RED}error[{code}]{RED:#}: {message}");
    eprintln!("  {DIM}help: {help}{DIM:#}");
}

/// A step that was done, on standard error: standard output is for results.
pub(crate) fn done(what: &str) {
    eprintln!("{GREEN}✓{GREEN:#} {what}");
}

/// A remark, on standard error.
pub(crate) fn note(what: &str) {
    eprintln!("{DIM}{what}{DIM:#}");
}

/// Why a run did not succeed, with the provider's own words, on standard error.
pub(crate) fn print_failure(view: &RunView, failure: &Value) {
    let text = |member: &str| {
        failure
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    eprintln!(
        "{RED}run {} failed[{}]{RED:#}: {}",
        view.id,
        text("diagnostic"),
        text("message")
    );
    for (label, member) in [
        ("provider's code", "provider_code"),
        ("provider's message", "provider_message"),
    ] {
        if !text(member).is_empty() {
            eprintln!("  {label}: {}", text(member));
        }
    }
    for detail in failure
        .get("details")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        eprintln!("  {}", detail.as_str().unwrap_or_default());
    }
    eprintln!("  spent: {}", view.spent);
    eprintln!(
        "  {DIM}help: {}; `modelrow explain {}` says more{DIM:#}",
        text("help"),
        text("diagnostic")
    );
}

/// A row that differs, on standard output.
pub(crate) fn print_changed(row: &Changed) {
    match &row.change {
        Change::Added => println!("{GREEN}+ {}{GREEN:#}", row.key),
        Change::Removed => println!("{RED}- {}{RED:#}", row.key),
        Change::Members(members) => {
            println!("{YELLOW}~ {}{YELLOW:#}", row.key);
            for member in members {
                println!("  {}", member.pointer);
                if let Some(before) = &member.before {
                    println!("    {RED}- {before}{RED:#}");
                }
                if let Some(after) = &member.after {
                    println!("    {GREEN}+ {after}{GREEN:#}");
                }
            }
        }
    }
}
