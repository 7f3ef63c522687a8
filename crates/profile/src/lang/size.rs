//! How large things are, before they are made.

use super::EvalError;
use serde_json::Value;
use std::cell::Cell;

const MIB: i64 = 1024 * 1024;

/// Bytes that one evaluation may make of texts and values, beside what the scope holds.
const PLAIN: i64 = 64 * MIB;
/// Bytes that it may make in all, media included: each medium counts where it is encoded and where it is written.
const WHOLE: i64 = 1024 * MIB;
/// What every value costs beside its own bytes.
const VALUE: i64 = 64;

/// About how long the value is as JSON, without writing it.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 1,
        Value::Object(members) => {
            let inner: usize = members.iter().map(|(k, v)| k.len() + 4 + size(v)).sum();
            inner + 1
        }
    }
}

/// The work that one evaluation may still do: what doubles at every level of
/// `vars`, or is sent once for each of ten thousand items, ends here and not in
/// the memory.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    plain: Cell<i64>,
    whole: Cell<i64>,
    /// What the scope holds was added.
    widened: Cell<bool>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            plain: Cell::new(PLAIN),
            whole: Cell::new(WHOLE),
            widened: Cell::new(false),
        }
    }

    /// Takes the cost of a text or value of `bytes`. `held` tells how much the
    /// scope holds, which is asked for once, when the rest is used up.
    pub(super) fn spend(
        &self,
        bytes: usize,
        held: impl FnOnce() -> usize,
    ) -> Result<(), EvalError> {
        let cost = i64::try_from(bytes).unwrap_or(WHOLE).saturating_add(VALUE);
        let plain = self.plain.get().saturating_sub(cost);
        self.plain.set(plain);
        self.take(cost)?;
        if plain >= 0 {
            return Ok(());
        }
        if self.widened.replace(true) {
            return Err(EvalError::TooLarge);
        }
        self.give(held().saturating_mul(2))
    }

    /// Takes the cost of a medium that is encoded, and allows to write it.
    pub(super) fn encode(&self, bytes: usize) -> Result<(), EvalError> {
        self.take(i64::try_from(bytes).unwrap_or(WHOLE))?;
        self.give(bytes.saturating_mul(2))
    }

    /// Goes on with what an evaluation within this one has left.
    pub(super) fn leave(&self, inner: &Self) {
        self.plain.set(inner.plain.get());
        self.whole.set(inner.whole.get());
        self.widened.set(inner.widened.get());
    }

    fn take(&self, cost: i64) -> Result<(), EvalError> {
        let whole = self.whole.get().saturating_sub(cost);
        self.whole.set(whole);
        if whole < 0 {
            Err(EvalError::TooLarge)
        } else {
            Ok(())
        }
    }

    fn give(&self, bytes: usize) -> Result<(), EvalError> {
        let plain = self.plain.get();
        let plain = plain.saturating_add(i64::try_from(bytes).unwrap_or(WHOLE).min(WHOLE));
        self.plain.set(plain);
        if plain < 0 {
            Err(EvalError::TooLarge)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
