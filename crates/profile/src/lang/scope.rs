//! The values that names have while one thing is rendered.

use super::reference::{Lists, walk, walk_cow, walk_first};
use super::size::Budget;
use super::{EvalError, Ref, Root, Seg, VarsTable, size};
use diag::{ExposeSecret, Secret};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Media of the call, asked for by member so that nothing large is made that no template reads.
pub trait Inputs: Send + Sync {
    /// How many items the input has; 0: absent.
    fn count(&self, name: &str) -> usize;
    /// `data_url`, `base64`, `mime`, `filename`, `bytes`, `handle` or `url` of
    /// item `index`, from 0; `None`: absent.
    fn member(&self, name: &str, index: usize, member: &str) -> Option<Value>;
}

/// The secrets of one credential. Debug hides them.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// `apiKey`.
    pub api_key: Option<Secret>,
    /// `accessToken`.
    pub access_token: Option<Secret>,
    /// `secret.<part>`.
    pub parts: Vec<(String, Secret)>,
}

/// What is new for every request: `uuid`, `timestamp`, the dates. The same
/// draws render the same bytes.
#[derive(Debug, Clone)]
pub struct Draws {
    now_unix_nanos: i128,
    seed: Uuid,
    drawn: Cell<u32>,
}

impl Draws {
    /// `now_unix_nanos`: nanoseconds since 1970. `seed`: the uuids of the request
    /// are the numbers that follow it, so it must be random.
    #[must_use]
    pub fn new(now_unix_nanos: i128, seed: Uuid) -> Self {
        Self {
            now_unix_nanos,
            seed,
            drawn: Cell::new(0),
        }
    }

    /// The next uuid of this request, in the form of version 4. A replay of a
    /// recorded case gives a seed that people can count from.
    pub(super) fn uuid(&self) -> String {
        let drawn = self.drawn.get().wrapping_add(1);
        self.drawn.set(drawn);
        let number = self.seed.as_u128().wrapping_add(u128::from(drawn));
        uuid::Builder::from_random_bytes(number.to_be_bytes())
            .into_uuid()
            .to_string()
    }

    pub(super) fn nanos(&self) -> i128 {
        self.now_unix_nanos
    }

    /// RFC 3339 in UTC, whole seconds.
    pub(super) fn datetime(&self) -> Option<String> {
        let now = OffsetDateTime::from_unix_timestamp_nanos(self.now_unix_nanos).ok()?;
        now.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
    }

    fn date(&self) -> Option<String> {
        let now = OffsetDateTime::from_unix_timestamp_nanos(self.now_unix_nanos).ok()?;
        Some(now.date().to_string())
    }
}

/// What a name is bound to.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound<'a> {
    /// A value.
    Value(Cow<'a, Value>),
    /// An item of an input, whose members are made when they are read.
    Input {
        /// The input.
        name: String,
        /// From 0.
        index: usize,
    },
}

impl Bound<'_> {
    /// Bytes that it holds, about; media are counted where they are encoded.
    fn size(&self) -> usize {
        match self {
            Self::Value(value) => size(value),
            Self::Input { .. } => 0,
        }
    }
}

/// Values by name. Debug shows the names alone.
#[derive(Clone)]
pub struct Scope<'a> {
    values: Vec<(Root, Bound<'a>)>,
    inputs: Option<&'a dyn Inputs>,
    vars: Option<&'a VarsTable>,
    secrets: Option<&'a Secrets>,
    draws: Draws,
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.values.iter().map(|(root, _)| root);
        f.write_str("Scope ")?;
        f.debug_list().entries(names).finish()
    }
}

impl<'a> Scope<'a> {
    /// Knows the draws of one request, and nothing else yet.
    #[must_use]
    pub fn new(draws: Draws) -> Self {
        Self {
            values: Vec::with_capacity(16),
            inputs: None,
            vars: None,
            secrets: None,
            draws,
        }
    }

    /// Gives a root its value, replacing an earlier one. Null is absent.
    /// Secrets, inputs and vars have their own doors.
    pub fn set(&mut self, root: Root, value: Value) {
        self.bind(root, Bound::Value(Cow::Owned(value)));
    }

    /// The same, borrowed.
    pub fn lend(&mut self, root: Root, value: &'a Value) {
        self.bind(root, Bound::Value(Cow::Borrowed(value)));
    }

    /// `inputs.…`
    pub fn inputs(&mut self, inputs: &'a dyn Inputs) {
        self.inputs = Some(inputs);
    }

    /// `vars.…`
    pub fn vars(&mut self, vars: &'a VarsTable) {
        self.vars = Some(vars);
    }

    /// `apiKey`, `accessToken`, `secret.…`
    pub fn secrets(&mut self, secrets: &'a Secrets) {
        self.secrets = Some(secrets);
    }

    /// `item` and `index` of a step's `each`.
    pub fn item(&mut self, item: Bound<'a>, index: usize) {
        self.bind(Root::Item, item);
        self.set(Root::Index, Value::from(index));
    }

    /// The same values with the draws of another request.
    #[must_use]
    pub fn redrawn(&self, draws: Draws) -> Self {
        Self {
            draws,
            ..self.clone()
        }
    }

    fn bind(&mut self, root: Root, bound: Bound<'a>) {
        match self.values.iter_mut().find(|(have, _)| *have == root) {
            Some((_, have)) => *have = bound,
            None => self.values.push((root, bound)),
        }
    }

    fn bound(&self, root: Root) -> Option<&Bound<'a>> {
        self.values
            .iter()
            .find(|(have, _)| *have == root)
            .map(|(_, bound)| bound)
    }

    pub(super) fn draws(&self) -> &Draws {
        &self.draws
    }

    fn secret(&self, root: Root, path: &[Seg]) -> Option<Value> {
        let secrets = self.secrets?;
        let secret = match (root, path) {
            (Root::ApiKey, []) => secrets.api_key.as_ref()?,
            (Root::AccessToken, []) => secrets.access_token.as_ref()?,
            (Root::Secret, [Seg::Key(part)]) => {
                &secrets.parts.iter().find(|(name, _)| **name == **part)?.1
            }
            _ => return None,
        };
        Some(Value::from(secret.expose_secret()))
    }
}

/// One evaluation: the scope, the items of the `$each` around, the budget.
pub(super) struct Env<'s> {
    pub(super) scope: &'s Scope<'s>,
    locals: Vec<Bound<'s>>,
    budget: Budget,
}

impl<'s> Env<'s> {
    pub(super) fn new(scope: &'s Scope<'s>) -> Self {
        Self {
            scope,
            locals: Vec::new(),
            budget: Budget::new(),
        }
    }

    /// Takes the cost of a text of `bytes` from the budget.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), EvalError> {
        let values = || self.scope.values.iter().map(|(_, bound)| bound.size());
        self.budget.spend(bytes, || values().sum())
    }

    /// Enters an item; [`Env::leave`] leaves it.
    pub(super) fn enter(&mut self, item: Bound<'s>, index: usize) {
        self.locals.push(item);
        self.locals
            .push(Bound::Value(Cow::Owned(Value::from(index))));
    }

    pub(super) fn leave(&mut self) {
        self.locals.truncate(self.locals.len().saturating_sub(2));
    }

    fn bound(&self, root: Root) -> Option<&Bound<'s>> {
        match root {
            Root::Local(slot) => self.locals.get(usize::from(slot)),
            _ => self.scope.bound(root),
        }
    }

    /// The one value of a name, never null.
    pub(super) fn one(&self, name: &Ref) -> Result<Option<Cow<'_, Value>>, EvalError> {
        if let Some(Bound::Value(Cow::Borrowed(value))) = self.bound(name.root) {
            return Ok(walk_first(value, &name.path).map(Cow::Borrowed));
        }
        if let Some(Bound::Value(Cow::Owned(value))) = self.bound(name.root) {
            return Ok(walk_first(value, &name.path).map(Cow::Borrowed));
        }
        Ok(self.made(name)?.into_iter().next().map(Cow::Owned))
    }

    /// Everything that a name with projections gives, never null.
    pub(super) fn all(&self, name: &Ref) -> Result<Vec<Cow<'s, Value>>, EvalError> {
        match self.bound(name.root) {
            Some(Bound::Value(Cow::Borrowed(value))) => {
                Ok(walk_cow(Cow::Borrowed(*value), &name.path))
            }
            Some(Bound::Value(Cow::Owned(value))) => {
                let mut out = Vec::new();
                walk(value, &name.path, Lists::First, &mut out);
                self.copied(out)
            }
            _ => Ok(self.made(name)?.into_iter().map(Cow::Owned).collect()),
        }
    }

    /// Copies of values of our own.
    pub(super) fn copied(&self, found: Vec<&Value>) -> Result<Vec<Cow<'s, Value>>, EvalError> {
        let copy = |value: &Value| {
            self.spend(size(value))?;
            Ok(Cow::Owned(value.clone()))
        };
        found.into_iter().map(copy).collect()
    }

    /// The items of what a name gives: of a list its items, else the value itself.
    pub(super) fn items(&self, name: &Ref) -> Result<Option<Vec<Bound<'s>>>, EvalError> {
        if let Some(media) = self.media_items(name) {
            return Ok((!media.is_empty()).then_some(media));
        }
        let found = self.all(name)?;
        if found.is_empty() {
            return Ok(None);
        }
        let projected = name.path.contains(&Seg::All);
        Ok(Some(bound_items(found, projected)))
    }

    /// Values that are computed: media, vars, secrets, the dates.
    fn made(&self, name: &Ref) -> Result<Vec<Value>, EvalError> {
        let path = name.path.as_slice();
        let value = match (name.root, path.split_first()) {
            (Root::Inputs, Some((Seg::Key(input), rest))) => return self.media(input, rest),
            (Root::Vars, Some((Seg::Key(var), rest))) => return self.var(var, rest),
            (Root::ApiKey | Root::AccessToken | Root::Secret, _) => {
                self.scope.secret(name.root, path)
            }
            (Root::CurrentDate, None) => self.scope.draws.date().map(Value::from),
            (Root::CurrentDatetime, None) => self.scope.draws.datetime().map(Value::from),
            _ => match self.bound(name.root) {
                Some(Bound::Input { name: input, index }) => {
                    self.media_member(input, *index, path)?
                }
                _ => None,
            },
        };
        Ok(value.into_iter().collect())
    }

    fn var(&self, name: &str, rest: &[Seg]) -> Result<Vec<Value>, EvalError> {
        let Some(tree) = self.scope.vars.and_then(|vars| vars.get(name)) else {
            return Ok(Vec::new());
        };
        // A var does not see the items around the place that uses it.
        let mut inner = Env {
            budget: self.budget.clone(),
            ..Env::new(self.scope)
        };
        let value = tree.eval_in(&mut inner)?;
        self.budget.leave(&inner.budget);
        let Some(value) = value else {
            return Ok(Vec::new());
        };
        let value = value.into_value()?;
        let found = walk_cow(Cow::Owned(value), rest);
        Ok(found.into_iter().map(Cow::into_owned).collect())
    }

    /// What `inputs.<name>` and the way from there give.
    fn media(&self, input: &str, rest: &[Seg]) -> Result<Vec<Value>, EvalError> {
        let count = self.scope.inputs.map_or(0, |inputs| inputs.count(input));
        let one = |index: usize, rest: &[Seg]| self.media_member(input, index, rest);
        let all = |rest: &[Seg]| {
            let found = (0..count).map(|index| one(index, rest));
            found.filter_map(Result::transpose).collect()
        };
        match rest.split_first() {
            _ if count == 0 => Ok(Vec::new()),
            None => Ok(vec![Value::Array(all(&[])?)]),
            Some((Seg::Index(index), rest)) if *index < count => {
                Ok(one(*index, rest)?.into_iter().collect())
            }
            Some((Seg::Index(_), _)) => Ok(Vec::new()),
            Some((Seg::All, rest)) => all(rest),
            Some((Seg::Key(_), _)) => Ok(one(0, rest)?.into_iter().collect()),
        }
    }

    /// A member of one item; asked for no member, what is cheap to know of it.
    fn media_member(
        &self,
        input: &str,
        index: usize,
        rest: &[Seg],
    ) -> Result<Option<Value>, EvalError> {
        let Some(inputs) = self.scope.inputs else {
            return Ok(None);
        };
        if let [Seg::Key(member)] = rest
            && ["data_url", "base64"].contains(&&**member)
        {
            let bytes = inputs.member(input, index, "bytes");
            let bytes = bytes.and_then(|bytes| bytes.as_u64()).unwrap_or(0);
            let encoded = usize::try_from(bytes / 3 * 4).unwrap_or(usize::MAX);
            self.budget.encode(encoded)?;
        }
        Ok(match rest {
            [] => {
                let cheap = ["mime", "filename", "bytes", "handle"].into_iter();
                let known = cheap
                    .filter_map(|key| Some((key.to_owned(), inputs.member(input, index, key)?)));
                Some(Value::Object(known.collect::<Map<_, _>>()))
            }
            [Seg::Key(member)] => inputs
                .member(input, index, member)
                .filter(|it| !it.is_null()),
            _ => None,
        })
    }

    /// Items that are media, when the name ends at an input or an item of one.
    fn media_items(&self, name: &Ref) -> Option<Vec<Bound<'s>>> {
        let (input, range) = match (name.root, name.path.as_slice()) {
            (Root::Inputs, [Seg::Key(input), rest @ ..]) => {
                let count = self.scope.inputs.map_or(0, |inputs| inputs.count(input));
                let range = match rest {
                    [] | [Seg::All] => 0..count,
                    [Seg::Index(index)] if *index < count => *index..index.saturating_add(1),
                    [Seg::Index(_)] => 0..0,
                    _ => return None,
                };
                (input.to_string(), range)
            }
            (root, []) => match self.bound(root)? {
                Bound::Input { name, index } => (name.clone(), *index..index.saturating_add(1)),
                Bound::Value(_) => return None,
            },
            _ => return None,
        };
        Some(
            range
                .map(|index| Bound::Input {
                    name: input.clone(),
                    index,
                })
                .collect(),
        )
    }
}

pub(super) fn bound_items<'s>(found: Vec<Cow<'s, Value>>, projected: bool) -> Vec<Bound<'s>> {
    let mut found = found;
    let one = if projected || found.len() != 1 {
        None
    } else {
        found.pop()
    };
    match one {
        None => found.into_iter().map(Bound::Value).collect(),
        Some(Cow::Borrowed(Value::Array(items))) => items
            .iter()
            .map(|item| Bound::Value(Cow::Borrowed(item)))
            .collect(),
        Some(Cow::Owned(Value::Array(items))) => items
            .into_iter()
            .map(|item| Bound::Value(Cow::Owned(item)))
            .collect(),
        Some(value) => vec![Bound::Value(value)],
    }
}
