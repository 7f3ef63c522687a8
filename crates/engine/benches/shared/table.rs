//! What a bench prints: one line for each thing measured, with its target. `--check` makes a missed target a failure.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long one batch of a measurement takes, about.
const BATCH: Duration = Duration::from_millis(2);
const ROUNDS: usize = 151;

/// How the bench was called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// A missed target is a failure.
    pub(crate) check: bool,
    /// Not by `cargo bench`: only whether it runs.
    pub(crate) quick: bool,
}

impl Mode {
    pub(crate) fn read() -> Self {
        let given = |name: &str| std::env::args().any(|arg| arg == name);
        Self {
            check: given("--check"),
            quick: !given("--bench"),
        }
    }
}

/// What one call takes, over all batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) min: Duration,
    pub(crate) median: Duration,
}

/// Measures all of them in turns, so that what disturbs the machine disturbs each alike.
pub(crate) fn in_turns<const N: usize>(
    mode: Mode,
    mut subjects: [&mut dyn FnMut(); N],
) -> [Time; N] {
    let rounds = if mode.quick { 1 } else { ROUNDS };
    let calls: Vec<u32> = subjects
        .iter_mut()
        .map(|subject| calls_in_a_batch(mode, *subject))
        .collect();
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for ((subject, calls), times) in subjects.iter_mut().zip(&calls).zip(&mut times) {
            times.push(batch(*calls, *subject));
        }
    }
    times.map(time_of)
}

fn batch(calls: u32, subject: &mut dyn FnMut()) -> Duration {
    let begun = Instant::now();
    for _ in 0..calls {
        subject();
    }
    begun.elapsed() / calls
}

fn calls_in_a_batch(mode: Mode, subject: &mut dyn FnMut()) -> u32 {
    if mode.quick {
        return 1;
    }
    let mut calls = 1;
    while batch(calls, subject) * calls < BATCH && calls < 1 << 20 {
        calls *= 2;
    }
    calls
}

fn time_of(mut times: Vec<Duration>) -> Time {
    times.sort();
    Time {
        min: times.first().copied().unwrap_or_default(),
        median: times.get(times.len() / 2).copied().unwrap_or_default(),
    }
}

/// The lines, and whether a target was missed.
#[derive(Debug)]
pub(crate) struct Table {
    mode: Mode,
    missed: bool,
}

impl Table {
    pub(crate) fn new<'c>(mode: Mode, title: &str, columns: impl AsRef<[&'c str]>) -> Self {
        println!("\n{title}");
        println!("{}   target", cells("", columns.as_ref()));
        Self {
            mode,
            missed: false,
        }
    }

    /// A baseline, or what is printed for comparison.
    pub(crate) fn beside(&mut self, what: &str, least: impl Display, median: impl Display) {
        self.row(what, &[least.to_string(), median.to_string()]);
    }

    /// The same with a text for each column.
    pub(crate) fn row(&mut self, what: &str, texts: &[String]) {
        println!("{}", cells(what, texts));
    }

    pub(crate) fn time(&mut self, what: &str, time: Time) {
        self.beside(what, shown(time.min), shown(time.median));
    }

    /// A time that must not be longer; its median counts.
    pub(crate) fn at_most(&mut self, what: &str, time: Time, most: Duration) {
        let target = format!("at most {}", shown(most));
        self.judged(
            what,
            [shown(time.min), shown(time.median)],
            &target,
            time.median <= most,
        );
    }

    /// How many times as long as the baseline it takes; the medians count.
    pub(crate) fn ratio(&mut self, what: &str, time: Time, baseline: Time, most: f64) {
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        let (least, median) = (
            ratio(time.min, baseline.min),
            ratio(time.median, baseline.median),
        );
        let texts = [format!("{least:.1} x"), format!("{median:.1} x")];
        self.judged(what, texts, &format!("at most {most} x"), median <= most);
    }

    /// A line of the table, and whether its target was met.
    pub(crate) fn judged(
        &mut self,
        what: &str,
        texts: impl AsRef<[String]>,
        target: &str,
        met: bool,
    ) {
        self.missed |= !met;
        let verdict = if met { "met" } else { "MISSED" };
        println!("{}   {target}: {verdict}", cells(what, texts.as_ref()));
    }

    pub(crate) fn finish(self) -> ExitCode {
        // A debug build says nothing about speed.
        match self.missed && self.mode.check && !self.mode.quick {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }
}

fn cells(what: &str, texts: &[impl Display]) -> String {
    let cells = texts
        .iter()
        .map(|text| format!(" {:>10}", text.to_string()));
    format!("  {what:<62}{}", cells.collect::<String>())
}

/// A time in the unit that suits it.
pub(crate) fn shown(time: Duration) -> String {
    let nanos = time.as_nanos();
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.2} µs", time.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}
