//! How often each fault struck at each point, and how the runs ended.

use crate::choice::{Choice, Fault, MISCHIEF};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By point and fault, how often each end came.
    struck: BTreeMap<(String, Fault), BTreeMap<String, u64>>,
    mischief: BTreeMap<(&'static str, &'static str), BTreeMap<String, u64>>,
    clocks: u64,
    twice: u64,
    pub(crate) seeds: u64,
    pub(crate) missed: u64,
}

impl Table {
    pub(crate) fn add(&mut self, choice: &Choice, struck: bool, end: &str) {
        self.seeds += 1;
        self.missed += u64::from(!struck);
        self.clocks += u64::from(choice.clock_ms != 0);
        self.twice += u64::from(choice.twice);
        if struck {
            let ends = self
                .struck
                .entry((choice.point.clone(), choice.fault))
                .or_default();
            *ends.entry(end.to_owned()).or_default() += 1;
        }
        if let Some(mischief) = choice.mischief {
            *self
                .mischief
                .entry(mischief)
                .or_default()
                .entry(end.to_owned())
                .or_default() += 1;
        }
    }

    /// Cells that nothing struck, of these points.
    pub(crate) fn empty(&self, points: &BTreeSet<String>) -> Vec<String> {
        let mut empty = Vec::new();
        for point in points {
            let missing = Fault::ALL
                .iter()
                .filter(|fault| !self.struck.contains_key(&(point.clone(), **fault)));
            empty.extend(missing.map(|fault| format!("{} at {point}", fault.name())));
        }
        for (kind, operations) in MISCHIEF {
            let missing = operations
                .iter()
                .filter(|operation| !self.mischief.contains_key(&(kind, **operation)));
            empty.extend(missing.map(|operation| format!("{kind} at {operation}")));
        }
        empty
    }

    pub(crate) fn print(&self, points: &BTreeSet<String>) {
        println!(
            "\nHow often each fault struck at each point, by the end of the run: s succeeded, f failed, c canceled, u unknown (visibly)"
        );
        let heads: Vec<String> = Fault::ALL
            .iter()
            .map(|fault| format!("{:>11}", fault.name()))
            .collect();
        println!("{:<34}{}", "", heads.concat());
        for point in points {
            let cells = Fault::ALL
                .iter()
                .map(|fault| self.struck.get(&(point.clone(), *fault)));
            let cells: Vec<String> = cells.map(|ends| format!("{:>11}", short(ends))).collect();
            println!("{point:<34}{}", cells.concat());
        }
        println!("\nMischief of the provider, by the request that it struck");
        for (kind, operations) in MISCHIEF {
            let cells = operations.iter().map(|operation| {
                format!(
                    "{operation} {}",
                    short(self.mischief.get(&(kind, *operation)))
                )
            });
            println!("{kind:<14}{}", cells.collect::<Vec<_>>().join("   "));
        }
        println!(
            "\n{} seeds; in {} the point was not reached again under the fault's own timing; {} with a clock 10 minutes off, {} with every fact written twice",
            self.seeds, self.missed, self.clocks, self.twice
        );
    }
}

fn short(ends: Option<&BTreeMap<String, u64>>) -> String {
    let Some(ends) = ends else {
        return "-".to_owned();
    };
    let each = ends
        .iter()
        .map(|(end, count)| format!("{}{count}", end.chars().next().unwrap_or('?')));
    each.collect::<Vec<_>>().join(" ")
}
