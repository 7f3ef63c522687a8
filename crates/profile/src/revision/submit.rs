//! The submit, and what makes it safe (section 4).

use super::{Exchange, Select};
use crate::lang::{Condition, Path};

/// The submit, or one variant of it.
#[derive(Debug)]
pub struct Submit {
    /// Holds over the variables; absent: always.
    pub when: Option<Condition>,
    /// What is sent.
    pub exchange: Exchange,
    /// What makes it safe.
    pub terms: Terms,
}

/// What the transport, or a variant of it, promises about its submit.
#[derive(Debug)]
pub struct Terms {
    /// The header or body member in which the provider takes our token.
    pub idempotency: Option<Idempotency>,
    /// How an unknown outcome is settled; absent: it fails visibly.
    pub settle: Option<Settle>,
    /// The admin's consent to send again what may have been accepted.
    pub repeat_on_unknown: bool,
    /// Whether its runs keep their record; `false`: neither promise of durable runs holds for them.
    pub durable: bool,
    /// How refusals for load are repeated.
    pub retry: Retry,
}

/// `idempotency`.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Where `run.token` goes.
    pub place: TokenPlace,
    /// Seconds for which the provider remembers a token.
    pub retention_s: u64,
}

/// Where the engine puts `run.token`.
#[derive(Debug, Clone)]
pub enum TokenPlace {
    /// A header of that name.
    Header(String),
    /// A member of the body's root.
    Body(String),
}

/// `settle`: how to learn an unknown outcome.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a revision, which is shared and never moved"
)]
pub enum Settle {
    /// The same bytes again, under the same token.
    Replay,
    /// Ask the provider.
    Lookup {
        /// The exchange.
        exchange: Box<Exchange>,
        /// The items of a list answer that may be ours.
        select: Option<Select>,
        /// The id, in the selected item.
        job_id: Path,
        /// Holds for an answer in which our job would have to be, such as the
        /// last page of a list: only there does absence count. Absent: in any.
        complete: Option<Condition>,
        /// Milliseconds after which absence counts.
        visible_after_ms: u64,
    },
    /// A callback will say.
    Callback,
}

/// `retry`.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Most repetitions.
    pub max: u32,
    /// First wait, in milliseconds; it doubles.
    pub backoff_ms: u64,
    /// Longest wait, in milliseconds.
    pub max_backoff_ms: u64,
}
