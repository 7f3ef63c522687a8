//! Section 11 of the language as tables: defaults, and what numbers may be.

use super::walk::{Fields, Sink};
use crate::lang::{MAX_DEPTH, MAX_LIST, size};
use diag::{Code, Place};
use serde_json::Value;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Bytes of one row as JSON.
const MAX_ROW: usize = 1024 * 1024;
/// Bytes of the pointer to a value: each finding and each check carries one.
const MAX_POINTER: usize = 4 * 1024;

/// A whole number of the language: its name, what its absence means, its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    name: &'static str,
    pub(crate) default: u64,
    pub(crate) least: u64,
    pub(crate) most: u64,
}

const fn whole(name: &'static str, default: u64, least: u64, most: u64) -> Whole {
    Whole {
        name,
        default,
        least,
        most,
    }
}

pub(crate) const TIMEOUT: Whole = whole("timeout_ms", MINUTE, SECOND, 15 * MINUTE);
pub(crate) const RETRY_MAX: Whole = whole("max", 3, 0, 10);
pub(crate) const BACKOFF: Whole = whole("backoff_ms", 500, 0, 10 * MINUTE);
pub(crate) const MAX_BACKOFF: Whole = whole("max_backoff_ms", 20 * SECOND, 0, 10 * MINUTE);
pub(crate) const RETENTION_S: Whole = whole("retention_s", 86_400, 1, 30 * 86_400);
pub(crate) const VISIBLE_AFTER: Whole = whole("visible_after_ms", MINUTE, 0, DAY);
pub(crate) const INTERVAL: Whole = whole("interval_ms", 5 * SECOND, 250, HOUR);
pub(crate) const INITIAL_DELAY: Whole = whole("initial_delay_ms", 0, 0, HOUR);
pub(crate) const MAX_INTERVAL: Whole = whole("max_interval_ms", MINUTE, 250, HOUR);
pub(crate) const DEADLINE: Whole = whole("deadline_ms", HOUR, SECOND, 7 * DAY);
pub(crate) const MAX_ATTEMPTS: Whole = whole("max_attempts", 0, 1, 100_000);
pub(crate) const MAX_JOB_LIFE: Whole = whole("max_job_life_ms", DAY, SECOND, 30 * DAY);
pub(crate) const NOT_FOUND_GRACE: Whole = whole("not_found_grace_ms", 30 * SECOND, 0, HOUR);
pub(crate) const BATCH_SIZE: Whole = whole("size", 50, 2, 500);
pub(crate) const ANSWER_BYTES: Whole = whole("max_bytes", 16 * MIB, 1, 256 * MIB);
pub(crate) const FILE_BYTES: Whole = whole("max_bytes", 4 * GIB, 1, 64 * GIB);
pub(crate) const INPUT_BYTES: Whole = whole("max_bytes", 64 * MIB, 1, GIB);
pub(crate) const MAX_COUNT: Whole = whole("max_count", 1, 1, MAX_LIST as u64);
pub(crate) const TOLERANCE_S: Whole = whole("tolerance_s", 300, 1, 3_600);
pub(crate) const EXPIRES_IN: Whole = whole("expires_in_ms", 0, SECOND, 30 * DAY);
pub(crate) const LIFETIME_S: Whole = whole("lifetime_s", 1_800, 1, 86_400);
pub(crate) const SKEW_S: Whole = whole("skew_s", 5, 0, 3_600);

impl Whole {
    /// What the object says, else the default. Out of bounds is a mistake, and
    /// the default goes on in its place.
    pub(crate) fn read(self, fields: &Fields<'_>, sink: &Sink) -> u64 {
        self.given(fields, sink).unwrap_or(self.default)
    }

    /// What the object says, if it says something that is in bounds.
    pub(crate) fn given(self, fields: &Fields<'_>, sink: &Sink) -> Option<u64> {
        let number = fields.whole(self.name)?;
        if (self.least..=self.most).contains(&number) {
            return Some(number);
        }
        sink.error(
            Code::P108,
            &fields.place(self.name),
            format!("`{}` is {number}, which is out of bounds", self.name),
            format!("{} to {}{}", self.least, self.most, unit(self.name)),
        );
        None
    }
}

/// A number that need not be whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Real {
    pub(crate) name: &'static str,
    pub(crate) default: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

pub(crate) const MULTIPLIER: Real = Real {
    name: "multiplier",
    default: 1.0,
    least: 1.0,
    most: 10.0,
};
pub(crate) const JITTER: Real = Real {
    name: "jitter",
    default: 0.1,
    least: 0.0,
    most: 1.0,
};
pub(crate) const PROGRESS_MAX: Real = Real {
    name: "progress_max",
    default: 100.0,
    least: f64::MIN_POSITIVE,
    most: 1e12,
};

/// Many give seconds first.
fn unit(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("ms") => " milliseconds",
        Some("s") => " seconds",
        Some("bytes") => " bytes",
        _ => "",
    }
}

impl Real {
    /// What the object says, else the default.
    pub(crate) fn read(self, fields: &Fields<'_>, sink: &Sink) -> f64 {
        let Some(number) = fields.number(self.name) else {
            return self.default;
        };
        if (self.least..=self.most).contains(&number) {
            return number;
        }
        sink.error(
            Code::P108,
            &fields.place(self.name),
            format!("`{}` is {number}, which is out of bounds", self.name),
            format!("{} to {}", self.least, self.most),
        );
        self.default
    }
}

/// Refuses a row that is too large, too deep, or has too long a list.
pub(crate) fn row(value: &Value, at: &Place, sink: &Sink) {
    row_size(value, at, sink);
    nesting(value, at, sink);
}

/// Refuses a row of more than 1 MiB.
pub(crate) fn row_size(value: &Value, at: &Place, sink: &Sink) {
    let size = size(value);
    if size > MAX_ROW {
        sink.error(
            Code::P107,
            at,
            format!("the row has {size} bytes"),
            format!("at most {MAX_ROW} bytes"),
        );
    }
}

/// Refuses what lies too deep, and lists that are too long. Each once: what is
/// below the limit's edge is not walked. `false`: its names are so long that no
/// other check may walk it.
pub(crate) fn nesting(value: &Value, at: &Place, sink: &Sink) -> bool {
    walk(value, at, 0, sink)
}

fn walk(value: &Value, at: &Place, level: usize, sink: &Sink) -> bool {
    if !is_tree(value) {
        return true;
    }
    // A row stands three levels deep in its bundle.
    if level > MAX_DEPTH + 3 {
        sink.error(
            Code::P107,
            at,
            format!("the nesting is deeper than {MAX_DEPTH} levels"),
            "make it flatter",
        );
        return true;
    }
    if at.pointer.len() > MAX_POINTER {
        let end = at.pointer.floor_char_boundary(200);
        let place = Place::pointer(format!("{}…", at.pointer.get(..end).unwrap_or_default()));
        sink.error(
            Code::P107,
            &Place {
                source: at.source.clone(),
                ..place
            },
            format!("the keys on the way to a value have more than {MAX_POINTER} bytes"),
            "shorten the keys",
        );
        return false;
    }
    if value.as_array().is_some_and(|items| items.len() > MAX_LIST) {
        sink.error(
            Code::P107,
            at,
            format!("the list has more than {MAX_LIST} items"),
            "shorten it",
        );
        return true;
    }
    let mut good = true;
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate().filter(|(_, item)| is_tree(item)) {
                good &= walk(item, &at.child(i), level + 1, sink);
            }
        }
        Value::Object(members) => {
            for (name, item) in members.iter().filter(|(_, item)| is_tree(item)) {
                good &= walk(item, &at.child(name), level + 1, sink);
            }
        }
        _ => {}
    }
    good
}

fn is_tree(value: &Value) -> bool {
    value.is_array() || value.is_object()
}
