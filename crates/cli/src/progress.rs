//! The live bar of one run; on anything but a terminal, one line a change.

use crate::ui;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use indicatif::{ProgressBar, ProgressStyle};
use runtime::{Progress, RunEvent, RunHandle};
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two turns of the spinner.
const TURN: Duration = Duration::from_millis(120);

/// Whether the text of a stream is printed while it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deltas {
    Print,
    Leave,
}

/// A bar that follows a run until it is ended.
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    task: JoinHandle<()>,
    /// Gives the last character that was printed of a stream, if any was.
    deltas: Option<JoinHandle<Option<char>>>,
}

impl Bar {
    /// Follows the run on standard error.
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the bar; the program owns the only runtime"
    )]
    pub(crate) fn follow(handle: &RunHandle, deltas: Deltas) -> Self {
        let bar = std::io::stderr().is_terminal().then(bar);
        let shown = bar.clone();
        let mut progress = handle.progress();
        let task = tokio::spawn(async move {
            let mut last = String::new();
            loop {
                let now = progress.borrow_and_update().clone();
                show(shown.as_ref(), &now, &mut last);
                if progress.changed().await.is_err() {
                    return;
                }
            }
        });
        let deltas = (deltas == Deltas::Print)
            .then(|| tokio::spawn(print_deltas(handle.events(), bar.clone())));
        Self { bar, task, deltas }
    }

    /// A line above the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => ui::note(line),
        }
    }

    /// Takes the bar away. `true`: the text of a stream was printed, to its end.
    pub(crate) async fn end(self, ended: bool) -> bool {
        self.task.abort();
        let printed = match self.deltas {
            // The run has ended, so its events end too.
            Some(deltas) if ended => deltas.await.ok().flatten(),
            Some(deltas) => {
                deltas.abort();
                None
            }
            None => None,
        };
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        if printed.is_some_and(|last| last != '\n') {
            ui::print_text("\n");
        }
        printed.is_some()
    }
}

/// Prints what a stream says, in place of the bar.
///
/// Cancel safety: aborted, it leaves off in the middle of the text.
async fn print_deltas(
    mut events: BoxStream<'static, RunEvent>,
    bar: Option<ProgressBar>,
) -> Option<char> {
    let mut last = None;
    while let Some(event) = events.next().await {
        let RunEvent::Delta { text, .. } = event else {
            continue;
        };
        if let (None, Some(bar)) = (last, &bar) {
            bar.finish_and_clear();
        }
        ui::print_text(&text);
        last = text.chars().next_back().or(last);
    }
    last
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(100);
    let style =
        ProgressStyle::with_template("{spinner} {elapsed_precise} [{bar:32}] {pos:>3}% {msg}");
    bar.set_style(
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸ "),
    );
    bar.enable_steady_tick(TURN);
    bar
}

fn show(bar: Option<&ProgressBar>, now: &Progress, last: &mut String) {
    let line = describe(now);
    let Some(bar) = bar else {
        if line != *last && !line.is_empty() {
            ui::note(&line);
            *last = line;
        }
        return;
    };
    if let Some(percent) = now.percent {
        bar.set_position(percent.into());
    }
    bar.set_message(line);
}

/// One line about where a run stands.
pub(crate) fn describe(now: &Progress) -> String {
    let mut line = now.state.clone();
    if let Some(word) = &now.provider_status {
        line += &format!(" ({word})");
    }
    if let Some(percent) = now.percent {
        line += &format!(" {percent} %");
    }
    if let Some(model) = &now.fallback {
        line += &format!(", with the fallback {model}");
    }
    if now.overdue {
        line += ", overdue and followed on";
    }
    line
}

/// A bar that counts, on a terminal only; it hides itself when there is nothing to wait for.
pub(crate) fn count(all: u64) -> indicatif::ProgressBar {
    use std::io::IsTerminal as _;
    let bar = indicatif::ProgressBar::new(all);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar
}
