//! The helpers of templates: a closed list. They take and give typed values.

use super::encode::scalar_text;
use super::number::{self, Sum};
use super::reference::{Lists, walk};
use super::scope::Draws;
use super::{EvalError, Seg};
use base64::Engine as _;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// A helper of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Helper {
    Default,
    Lookup,
    Split,
    Join,
    Replace,
    Lower,
    Upper,
    Trim,
    Truncate,
    Int,
    Number,
    Sum(Sum),
    Round,
    Base64,
    Sha256,
    Segments,
    Uuid,
    Timestamp,
}

/// Name, how it is called, number of arguments.
const TABLE: &[(&str, Helper, &str, usize)] = &[
    ("default", Helper::Default, "default x y", 2),
    ("lookup", Helper::Lookup, "lookup map key", 2),
    ("split", Helper::Split, "split text sep n", 3),
    ("join", Helper::Join, "join list sep", 2),
    ("replace", Helper::Replace, "replace text from to", 3),
    ("lower", Helper::Lower, "lower x", 1),
    ("upper", Helper::Upper, "upper x", 1),
    ("trim", Helper::Trim, "trim x", 1),
    ("truncate", Helper::Truncate, "truncate text n", 2),
    ("int", Helper::Int, "int x", 1),
    ("number", Helper::Number, "number x", 1),
    ("add", Helper::Sum(Sum::Add), "add x y", 2),
    ("sub", Helper::Sum(Sum::Sub), "sub x y", 2),
    ("mul", Helper::Sum(Sum::Mul), "mul x y", 2),
    ("div", Helper::Sum(Sum::Div), "div x y", 2),
    ("min", Helper::Sum(Sum::Min), "min x y", 2),
    ("max", Helper::Sum(Sum::Max), "max x y", 2),
    ("round", Helper::Round, "round x digits", 2),
    ("base64", Helper::Base64, "base64 x", 1),
    ("sha256", Helper::Sha256, "sha256 x", 1),
    ("segments", Helper::Segments, "segments x", 1),
    ("uuid", Helper::Uuid, "uuid", 0),
    (
        "timestamp",
        Helper::Timestamp,
        "timestamp \"unix\"|\"unix_ms\"|\"rfc3339\"",
        1,
    ),
];

impl Helper {
    pub(super) fn find(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
        TABLE.iter().map(|row| row.0).chain(["json"])
    }

    fn row(self) -> Option<&'static (&'static str, Self, &'static str, usize)> {
        TABLE.iter().find(|row| row.1 == self)
    }

    pub(super) fn name(self) -> &'static str {
        self.row().map_or("", |row| row.0)
    }

    /// How it is called.
    pub(super) fn usage(self) -> &'static str {
        self.row().map_or("", |row| row.2)
    }

    pub(super) fn arity(self) -> usize {
        self.row().map_or(0, |row| row.3)
    }

    /// Whether it may give nothing though every argument is there.
    pub(super) fn may_find_nothing(self) -> bool {
        matches!(self, Self::Lookup | Self::Split)
    }

    fn refuse(self, reason: &'static str) -> EvalError {
        EvalError::Helper {
            helper: self.name(),
            reason,
        }
    }

    /// Bytes of what a call makes, where they are not bounded by its arguments.
    pub(super) fn makes(self, args: &[Cow<'_, Value>]) -> usize {
        let text = |at: usize| {
            args.get(at)
                .and_then(|arg| arg.as_str())
                .unwrap_or_default()
        };
        match (self, args.first().map(|arg| &**arg)) {
            (Self::Replace, _) if !text(1).is_empty() => {
                let times = text(0).matches(text(1)).count();
                times.saturating_mul(text(2).len())
            }
            (Self::Join, Some(Value::Array(items))) => items
                .len()
                .saturating_mul(text(1).len())
                .saturating_add(items.iter().map(super::size).sum()),
            _ => 0,
        }
    }

    /// Calls it; every argument is there. `None`: absent.
    pub(super) fn call(
        self,
        args: &[Cow<'_, Value>],
        draws: &Draws,
    ) -> Result<Option<Value>, EvalError> {
        let call = Call { helper: self, args };
        let text = match self {
            Self::Lookup => return call.lookup(),
            Self::Sum(sum) => return call.sum(sum),
            Self::Round => return call.round(),
            Self::Int => return call.exact("the text is no integer", number::int),
            Self::Number => return call.exact("the text is no number", number::number),
            Self::Split => return call.split(),
            Self::Default | Self::Segments => {
                return Ok(call.args.first().map(|it| it.clone().into_owned()));
            }
            Self::Timestamp => return Ok(call.timestamp(draws)),
            Self::Join => call.join()?,
            Self::Replace => call.replace()?,
            Self::Lower => call.text(0)?.to_lowercase(),
            Self::Upper => call.text(0)?.to_uppercase(),
            Self::Trim => call.text(0)?.trim().to_owned(),
            Self::Truncate => call.text(0)?.chars().take(call.count(1)?).collect(),
            Self::Base64 => base64::engine::general_purpose::STANDARD.encode(&*call.text(0)?),
            Self::Sha256 => format!("{:x}", Sha256::digest(call.text(0)?.as_bytes())),
            Self::Uuid => draws.uuid(),
        };
        Ok(Some(Value::String(text)))
    }
}

/// One call, its arguments all there.
struct Call<'a> {
    helper: Helper,
    args: &'a [Cow<'a, Value>],
}

impl<'a> Call<'a> {
    fn arg(&self, at: usize) -> Result<&'a Value, EvalError> {
        let arg = self.args.get(at).map(|arg| &**arg);
        arg.ok_or_else(|| self.helper.refuse("an argument is missing"))
    }

    fn text(&self, at: usize) -> Result<Cow<'a, str>, EvalError> {
        match self.arg(at)? {
            Value::String(text) => Ok(Cow::Borrowed(text)),
            other => scalar_text(other)
                .map(Cow::Owned)
                .ok_or_else(|| self.helper.refuse("an object or array is no text")),
        }
    }

    fn count(&self, at: usize) -> Result<usize, EvalError> {
        let count = self.arg(at)?.as_u64().and_then(|n| usize::try_from(n).ok());
        count.ok_or_else(|| self.helper.refuse("the count is no whole number from 0"))
    }

    fn number(&self, at: usize) -> Result<&'a serde_json::Number, EvalError> {
        match self.arg(at)? {
            Value::Number(number) => Ok(number),
            _ => Err(self
                .helper
                .refuse("a value is no number; `number x` makes one of text")),
        }
    }

    fn lookup(&self) -> Result<Option<Value>, EvalError> {
        let map = self.arg(0)?;
        let seg = match map {
            Value::Array(_) => Seg::Index(self.count(1)?),
            Value::Object(_) => Seg::Key(self.text(1)?.into()),
            _ => return Err(self.helper.refuse("it looks into objects and arrays only")),
        };
        let mut found = Vec::new();
        walk(map, &[seg], Lists::Strict, &mut found);
        Ok(found.first().map(|value| (*value).clone()))
    }

    fn sum(&self, sum: Sum) -> Result<Option<Value>, EvalError> {
        let (a, b) = (self.number(0)?, self.number(1)?);
        let result = number::calculate(sum, a, b);
        let result = result.ok_or_else(|| self.helper.refuse("the result is no number"))?;
        Ok(Some(Value::Number(result)))
    }

    fn round(&self) -> Result<Option<Value>, EvalError> {
        let digits = self.count(1)?;
        let digits = u32::try_from(digits).ok().filter(|digits| *digits <= 30);
        let digits = digits.ok_or_else(|| self.helper.refuse("more than 30 digits"))?;
        let rounded = number::round(self.number(0)?, digits);
        let rounded =
            rounded.ok_or_else(|| self.helper.refuse("the number has too many digits"))?;
        Ok(Some(Value::Number(rounded)))
    }

    fn exact(
        &self,
        reason: &'static str,
        read: fn(&Value) -> Option<serde_json::Number>,
    ) -> Result<Option<Value>, EvalError> {
        let number = read(self.arg(0)?).ok_or_else(|| self.helper.refuse(reason))?;
        Ok(Some(Value::Number(number)))
    }

    fn split(&self) -> Result<Option<Value>, EvalError> {
        let (text, sep) = (self.text(0)?, self.text(1)?);
        if sep.is_empty() {
            return Err(self.helper.refuse("the separator is empty"));
        }
        Ok(text.split(&*sep).nth(self.count(2)?).map(Value::from))
    }

    fn join(&self) -> Result<String, EvalError> {
        let Value::Array(items) = self.arg(0)? else {
            return Ok(self.text(0)?.into_owned());
        };
        let there = items.iter().filter(|item| !item.is_null());
        let texts: Option<Vec<String>> = there.map(scalar_text).collect();
        let texts = texts.ok_or_else(|| self.helper.refuse("an item is an object or array"))?;
        Ok(texts.join(&self.text(1)?))
    }

    fn replace(&self) -> Result<String, EvalError> {
        let from = self.text(1)?;
        if from.is_empty() {
            return Err(self.helper.refuse("the text to replace is empty"));
        }
        Ok(self.text(0)?.replace(&*from, &self.text(2)?))
    }

    fn timestamp(&self, draws: &Draws) -> Option<Value> {
        let nanos = draws.nanos();
        let whole = |n: i128| i64::try_from(n).ok().map(Value::from);
        match self.args.first()?.as_str()? {
            "unix" => whole(nanos.div_euclid(1_000_000_000)),
            "unix_ms" => whole(nanos.div_euclid(1_000_000)),
            _ => draws.datetime().map(Value::from),
        }
    }
}
