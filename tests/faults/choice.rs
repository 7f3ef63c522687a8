//! What a seed is: a fault, the point where it strikes, and the path that leads there. The same number is always the same.

use crate::scenario::{SCENARIOS, Scenario};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};

/// Which points each scenario reaches without a fault, and how often: written by `--survey`.
const SURVEY: &str = include_str!("survey.txt");

/// What strikes a worker, or its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// `kill -9`, at the point or a moment later.
    Kill,
    /// SIGSTOP beyond the lease, then SIGCONT.
    Freeze,
    /// The server is ended without a word and started again.
    Restart,
    /// The worker's database is away for longer than the lease.
    Outage,
    /// Its backends are terminated.
    Backends,
    /// What it asks is done and not answered.
    LostAnswers,
    /// Nobody gets through to the tables, until every connection of the pool is taken.
    Exhausted,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::Kill,
        Self::Freeze,
        Self::Restart,
        Self::Outage,
        Self::Backends,
        Self::LostAnswers,
        Self::Exhausted,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Restart => "restart",
            Self::Outage => "outage",
            Self::Backends => "backends",
            Self::LostAnswers => "answers",
            Self::Exhausted => "pool",
        }
    }
}

/// Mischief of the provider, and the requests that it strikes.
pub(crate) const MISCHIEF: [(&str, &[&str]); 5] = [
    ("answers 5xx", &["create", "retrieve", "list", "content"]),
    ("cuts", &["create", "retrieve", "list", "content"]),
    ("stalls", &["create", "retrieve", "list", "content"]),
    ("duplicates", &["list", "callback"]),
    ("reorders", &["retrieve", "callback"]),
];

/// One seed.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) fault: Fault,
    pub(crate) point: String,
    pub(crate) side: &'static str,
    /// The how manieth time, from 1.
    pub(crate) nth: u64,
    /// Of the provider, beside the fault.
    pub(crate) mischief: Option<(&'static str, &'static str)>,
    /// The first worker's clock is off by so much.
    pub(crate) clock_ms: i64,
    /// Every fact is written twice.
    pub(crate) twice: bool,
    /// For whatever else is left to chance.
    pub(crate) random: u64,
}

/// How often each point is reached, by scenario.
pub(crate) type Survey = BTreeMap<&'static str, BTreeMap<String, u64>>;

pub(crate) fn survey() -> Survey {
    survey_of(SURVEY)
}

/// The survey as this text has it.
pub(crate) fn survey_of(text: &str) -> Survey {
    let mut survey = Survey::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [scenario, point, count] = words[..] else {
            continue;
        };
        if let Some(scenario) = Scenario::named(scenario) {
            let points = survey.entry(scenario.name).or_default();
            points.insert(point.to_owned(), count.parse().unwrap());
        }
    }
    survey
}

/// Points that some scenario reaches.
pub(crate) fn reached(survey: &Survey) -> BTreeSet<String> {
    survey
        .values()
        .flat_map(|points| points.keys().cloned())
        .collect()
}

/// What is struck, and where.
type Struck = (Fault, String);
/// What the provider does, and at which request.
type Mischief = (&'static str, &'static str);

/// Every pair of a fault and a point, then every one of mischief and request, in an order that is always the same.
fn cells(survey: &Survey) -> Vec<(Option<Struck>, Option<Mischief>)> {
    let mut cells = Vec::new();
    for fault in Fault::ALL {
        cells.extend(
            reached(survey)
                .into_iter()
                .map(|point| (Some((fault, point)), None)),
        );
    }
    for (kind, operations) in MISCHIEF {
        cells.extend(
            operations
                .iter()
                .map(|operation| (None, Some((kind, *operation)))),
        );
    }
    cells.shuffle(&mut StdRng::seed_from_u64(20_261_130));
    cells
}

/// So many seeds fill every cell once.
pub(crate) fn count(survey: &Survey) -> u64 {
    cells(survey).len() as u64
}

pub(crate) fn choose(seed: u64, survey: &Survey) -> Choice {
    let mut random = StdRng::seed_from_u64(seed);
    let cells = cells(survey);
    let (struck, mischief) =
        cells[usize::try_from(seed.wrapping_sub(1)).unwrap_or(0) % cells.len()].clone();
    // Only one scenario's provider calls back.
    let only = mischief
        .filter(|(_, request)| *request == "callback")
        .map(|_| "called");
    let (fault, point) = struck.unwrap_or_else(|| {
        let all: Vec<String> = match only {
            Some(name) => survey[name].keys().cloned().collect(),
            None => reached(survey).into_iter().collect(),
        };
        let fault = *Fault::ALL.choose(&mut random).unwrap();
        (fault, all.choose(&mut random).unwrap().clone())
    });
    let leads_there: Vec<Scenario> = SCENARIOS
        .into_iter()
        .filter(|one| only.is_none_or(|name| one.name == name))
        .filter(|one| {
            survey
                .get(one.name)
                .is_some_and(|points| points.contains_key(&point))
        })
        .collect();
    let scenario = *leads_there.choose(&mut random).unwrap();
    let most = survey[scenario.name][&point].min(6);
    Choice {
        seed,
        scenario,
        fault,
        side: if random.random_bool(0.5) {
            "before"
        } else {
            "after"
        },
        nth: random.random_range(1..=most),
        point,
        mischief,
        clock_ms: *[0, 0, 0, 600_000, -600_000].choose(&mut random).unwrap(),
        twice: random.random_bool(0.2),
        random: random.random(),
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "seed {}: {} {} {} (time {}), scenario {}",
            self.seed,
            self.fault.name(),
            self.side,
            self.point,
            self.nth,
            self.scenario.name
        )?;
        if let Some((fault, point, side)) = self.scenario.first {
            write!(f, " (first {} {side} {point})", fault.name())?;
        }
        if let Some((kind, operation)) = self.mischief {
            write!(f, ", the provider {kind} at {operation}")?;
        }
        if self.clock_ms != 0 {
            write!(f, ", a clock {} min off", self.clock_ms / 60_000)?;
        }
        if self.twice {
            write!(f, ", facts twice")?;
        }
        Ok(())
    }
}
