//! Jobs: what was accepted, and where each stands at a moment.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::JobPlan;
use crate::wire::{ResultPlace, Wire};

/// A job as it was accepted. What changes with time is computed, never stored.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// Counted from 1.
    pub(crate) ordinal: u64,
    pub(crate) accepted_ms: u64,
    pub(crate) plan: JobPlan,
    pub(crate) order: Order,
    pub(crate) tag: Option<String>,
    pub(crate) remixed_from: Option<String>,
    pub(crate) deleted: bool,
    pub(crate) downloads: u64,
    /// The part of the result's address that cannot be guessed.
    pub(crate) signature: String,
}

/// What was asked for, after validation and with the defaults in place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Order {
    pub(crate) model: String,
    pub(crate) prompt: String,
    pub(crate) seconds: Value,
    pub(crate) size: String,
    /// Fields that the answer repeats.
    pub(crate) echo: Map<String, Value>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Running { progress: u8 },
    Completed,
    Failed { progress: u8 },
}

/// A job, as tests see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// The provider's id.
    pub id: String,
    /// Counted from 1, in the order of acceptance.
    pub ordinal: u64,
    /// The mark of the run it was created for.
    pub tag: Option<String>,
    /// The model asked for.
    pub model: String,
    /// The prompt.
    pub prompt: String,
    /// The word of the wire for its state now.
    pub status: String,
    /// Percent.
    pub progress: u8,
    /// By the simulator's clock, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
    /// Times its video was asked for and served.
    pub downloads: u64,
    /// The caller deleted it.
    pub deleted: bool,
    /// The job it is a remix of.
    pub remixed_from: Option<String>,
}

impl Job {
    fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.accepted_ms)
    }

    /// How long after its acceptance it ends; `None` when it never does.
    fn lasts_ms(&self) -> Option<u64> {
        let plan = &self.plan;
        let ran_ms = match &plan.fails {
            _ if plan.never_ends => return None,
            Some(failure) => {
                plan.run_ms
                    .saturating_mul(failure.at_progress.min(100).into())
                    / 100
            }
            None => plan.run_ms,
        };
        Some(plan.queue_ms.saturating_add(ran_ms))
    }

    /// When it ends, in milliseconds since the Unix epoch; `None` when it never does.
    pub(crate) fn ends_ms(&self) -> Option<u64> {
        self.lasts_ms()
            .map(|lasts| self.accepted_ms.saturating_add(lasts))
    }

    pub(crate) fn stage(&self, now_ms: u64) -> Stage {
        let age = self.age_ms(now_ms);
        match (self.lasts_ms(), &self.plan.fails) {
            (Some(lasts), Some(failure)) if age >= lasts => Stage::Failed {
                progress: failure.at_progress.min(99),
            },
            (Some(lasts), None) if age >= lasts => Stage::Completed,
            _ if age < self.plan.queue_ms => Stage::Queued,
            _ => Stage::Running {
                progress: self.progress(age),
            },
        }
    }

    fn progress(&self, age_ms: u64) -> u8 {
        let percent = (age_ms - self.plan.queue_ms).saturating_mul(100) / self.plan.run_ms.max(1);
        u8::try_from(percent.min(99)).unwrap_or(99)
    }

    pub(crate) fn listed(&self, now_ms: u64) -> bool {
        !self.deleted && self.age_ms(now_ms) >= self.plan.visible_after_ms
    }

    pub(crate) fn retrievable(&self, now_ms: u64) -> bool {
        !self.deleted && self.age_ms(now_ms) >= self.plan.retrievable_after_ms
    }

    pub(crate) fn expired(&self, now_ms: u64) -> bool {
        self.ends_ms()
            .is_some_and(|ends| now_ms >= ends.saturating_add(self.plan.expires_after_ms))
    }

    pub(crate) fn view(&self, wire: &Wire, now_ms: u64) -> JobView {
        let stage = self.stage(now_ms);
        JobView {
            id: self.id.clone(),
            ordinal: self.ordinal,
            tag: self.tag.clone(),
            model: self.order.model.clone(),
            prompt: self.order.prompt.clone(),
            status: stage.word(wire).to_owned(),
            progress: stage.progress(),
            accepted_ms: self.accepted_ms,
            downloads: self.downloads,
            deleted: self.deleted,
            remixed_from: self.remixed_from.clone(),
        }
    }

    /// The video object of the wire. `base` is where results are fetched: scheme and host.
    pub(crate) fn object(&self, wire: &Wire, now_ms: u64, base: &str) -> Value {
        let stage = self.stage(now_ms);
        let completed = self.ends_ms().filter(|_| stage == Stage::Completed);
        let error = self
            .plan
            .fails
            .as_ref()
            .filter(|_| matches!(stage, Stage::Failed { .. }));
        let mut object = json!({
            "id": self.id,
            "object": "video",
            "created_at": self.accepted_ms / 1000,
            "status": stage.word(wire),
            "model": self.order.model,
            "progress": stage.progress(),
            "prompt": self.order.prompt,
            "seconds": self.order.seconds,
            "size": self.order.size,
            "completed_at": completed.map(|ms| ms / 1000),
            "expires_at": completed.map(|ms| ms.saturating_add(self.plan.expires_after_ms) / 1000),
            "remixed_from_video_id": self.remixed_from,
            "error": error.map(|failure| json!({"code": failure.code, "message": failure.message})),
        });
        if let Value::Object(object) = &mut object {
            object.extend(self.order.echo.clone());
            if wire.result == ResultPlace::Url && stage == Stage::Completed {
                object.insert(
                    "url".to_owned(),
                    format!("{base}/files/{}/{}.mp4", self.id, self.signature).into(),
                );
            }
        }
        object
    }
}

impl Stage {
    fn word(self, wire: &Wire) -> &str {
        match self {
            Self::Queued => &wire.statuses.queued,
            Self::Running { .. } => &wire.statuses.running,
            Self::Completed => &wire.statuses.completed,
            Self::Failed { .. } => &wire.statuses.failed,
        }
    }

    pub(crate) fn progress(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Running { progress } | Self::Failed { progress } => progress,
            Self::Completed => 100,
        }
    }

    pub(crate) fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed { .. })
    }
}

/// All jobs, in the order of their acceptance.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    all: Vec<Job>,
    by_id: HashMap<String, usize>,
    by_key: HashMap<String, String>,
}

impl Jobs {
    /// Gives the job its ordinal number.
    pub(crate) fn add(&mut self, mut job: Job, idempotency_key: Option<String>) -> Job {
        let index = self.all.len();
        job.ordinal = index as u64 + 1;
        self.by_id.insert(job.id.clone(), index);
        if let Some(key) = idempotency_key {
            self.by_key.insert(key, job.id.clone());
        }
        self.all.push(job.clone());
        job
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Job> {
        self.all.get(*self.by_id.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.all.get_mut(*self.by_id.get(id)?)
    }

    /// The job that was accepted for this idempotency key.
    pub(crate) fn accepted_for(&self, key: &str) -> Option<&Job> {
        self.get(self.by_key.get(key)?)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.all.iter()
    }
}
