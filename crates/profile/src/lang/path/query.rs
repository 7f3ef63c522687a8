//! JSONPath (RFC 9535): the library parses, we walk.
//!
//! The library's own walk writes the way to every node that it passes, which
//! is unbounded where an answer has long names. This one writes nothing, and
//! stops when an answer makes it take too many steps.

use super::wrong;
use crate::lang::number::{compare, same};
use crate::lang::{MAX_DEPTH, Mistake};
use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector,
    SingularQuery, SingularQuerySegment, Test, TestFunction,
};
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Bytes of one JSONPath.
const MAX_BYTES: usize = 2_048;
/// Brackets within brackets. The parser tries some of them twice at every level.
const MAX_NESTING: usize = 8;
/// `..` in one JSONPath, its filters included: each multiplies the work by the depth of the answer.
const MAX_DESCENTS: usize = 2;
/// Steps of one walk. An answer of 16 MiB has at most 8 million values.
const MAX_STEPS: usize = 20_000_000;
/// Values that one part of the path may find.
const MAX_FOUND: usize = 4_000_000;
/// Bytes of the program that a regular expression may compile to.
const MAX_REGEX: usize = 1 << 18;
/// What compiling a regular expression costs, in steps.
const REGEX_STEPS: usize = 20_000;

/// A JSONPath that was parsed and can be walked.
#[derive(Debug, Clone)]
pub(super) struct Query(JpQuery);

impl Query {
    /// Parses one.
    ///
    /// # Errors
    ///
    /// What is no JSONPath, or too large to be one of ours.
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        if text.len() > MAX_BYTES || nesting(text) > MAX_NESTING {
            return Err(wrong(
                format!(
                    "the JSONPath is longer than {MAX_BYTES} bytes, or its brackets lie deeper than {MAX_NESTING} levels"
                ),
                "write a shorter one, or a list of paths",
            ));
        }
        let parsed = jsonpath_rust::parser::parse_json_path(text).map_err(|_| {
            wrong(
                format!("`{text}` is no JSONPath (RFC 9535)"),
                "correct it, or write a short path",
            )
        })?;
        let mut seen = Seen::default();
        seen.segments(&parsed.segments);
        if seen.descents > MAX_DESCENTS {
            return Err(wrong(
                format!("`{text}` has more than {MAX_DESCENTS} `..`"),
                "name the members on the way, or write a list of paths",
            ));
        }
        if let Some(function) = seen.wrong {
            return Err(wrong(
                format!("`{function}` cannot stand here"),
                "`length`, `count` and `value` are compared with something; `match` and `search` stand alone (RFC 9535, 2.4)",
            ));
        }
        Ok(Self(parsed))
    }

    /// Whether it is `$` alone.
    pub(super) fn is_root(&self) -> bool {
        self.0.segments.is_empty()
    }

    /// Everything it finds, without nulls. Nothing, when the document makes it take too many steps.
    pub(super) fn run<'v>(&self, document: &'v Value) -> Vec<&'v Value> {
        let walk = Walk {
            root: document,
            left: Cell::new(MAX_STEPS),
            patterns: RefCell::default(),
        };
        let mut found = walk
            .segments(&self.0.segments, vec![document])
            .unwrap_or_default();
        found.retain(|value| !value.is_null());
        found
    }
}

/// The deepest bracket; those in quoted names count too.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'!' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = depth.max(deepest);
    }
    deepest.min(MAX_DEPTH)
}

/// What is counted and looked for in a parsed path.
#[derive(Default)]
struct Seen {
    descents: usize,
    /// A function where it has no meaning.
    wrong: Option<String>,
}

impl Seen {
    fn segments(&mut self, segments: &[Segment]) {
        for segment in segments {
            self.segment(segment);
        }
    }

    fn segment(&mut self, segment: &Segment) {
        match segment {
            Segment::Descendant(inner) => {
                self.descents += 1;
                self.segment(inner);
            }
            Segment::Selector(selector) => self.selector(selector),
            Segment::Selectors(all) => all.iter().for_each(|one| self.selector(one)),
        }
    }

    fn selector(&mut self, selector: &Selector) {
        if let Selector::Filter(filter) = selector {
            self.filter(filter);
        }
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::Or(all) | Filter::And(all) => all.iter().for_each(|one| self.filter(one)),
            Filter::Atom(FilterAtom::Filter { expr, .. }) => self.filter(expr),
            Filter::Atom(FilterAtom::Test { expr, .. }) => {
                if let Test::Function(function) = &**expr
                    && !is_logical(function)
                {
                    self.wrong = Some(function.to_string());
                }
                self.test(expr);
            }
            Filter::Atom(FilterAtom::Comparison(comparison)) => {
                let (left, right) = comparison.vals();
                for side in [left, right] {
                    if let Comparable::Function(function) = side {
                        if is_logical(function) {
                            self.wrong = Some(function.to_string());
                        }
                        self.function(function);
                    }
                }
            }
        }
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::RelQuery(segments) => self.segments(segments),
            Test::AbsQuery(query) => self.segments(&query.segments),
            Test::Function(function) => self.function(function),
        }
    }

    fn function(&mut self, function: &TestFunction) {
        let args = match function {
            // Functions of the library that the standard has not.
            TestFunction::Custom(name, _) => {
                self.wrong = Some(name.clone());
                return;
            }
            TestFunction::Length(arg) => vec![&**arg],
            TestFunction::Value(arg) | TestFunction::Count(arg) => vec![arg],
            TestFunction::Search(one, other) | TestFunction::Match(one, other) => vec![one, other],
        };
        for arg in args {
            match arg {
                FnArg::Literal(_) => {}
                FnArg::Test(test) => self.test(test),
                FnArg::Filter(_) => self.wrong = Some(function.to_string()),
            }
        }
    }
}

/// Whether it answers yes or no.
fn is_logical(function: &TestFunction) -> bool {
    matches!(
        function,
        TestFunction::Search(..) | TestFunction::Match(..) | TestFunction::Custom(..)
    )
}

/// No more steps are left.
struct Exhausted;

type Found<'v> = Result<Vec<&'v Value>, Exhausted>;
/// A value to compare with; `None`: nothing.
type Operand<'v> = Result<Option<Cow<'v, Value>>, Exhausted>;

struct Walk<'v> {
    root: &'v Value,
    left: Cell<usize>,
    patterns: RefCell<HashMap<String, Option<Regex>>>,
}

impl<'v> Walk<'v> {
    fn spend(&self, steps: usize) -> Result<(), Exhausted> {
        let left = self.left.get().checked_sub(steps).ok_or(Exhausted)?;
        self.left.set(left);
        Ok(())
    }

    fn segments(&self, segments: &[Segment], from: Vec<&'v Value>) -> Found<'v> {
        let mut nodes = from;
        for segment in segments {
            let mut out = Vec::new();
            for node in nodes {
                self.segment(segment, node, &mut out)?;
                if out.len() > MAX_FOUND {
                    return Err(Exhausted);
                }
            }
            nodes = out;
        }
        Ok(nodes)
    }

    fn segment(
        &self,
        segment: &Segment,
        node: &'v Value,
        out: &mut Vec<&'v Value>,
    ) -> Result<(), Exhausted> {
        self.spend(1)?;
        match segment {
            Segment::Descendant(inner) => {
                self.segment(inner, node, out)?;
                for child in children(node).filter(|child| child.is_array() || child.is_object()) {
                    self.segment(segment, child, out)?;
                }
            }
            Segment::Selector(selector) => self.selector(selector, node, out)?,
            Segment::Selectors(all) => {
                for selector in all {
                    self.selector(selector, node, out)?;
                }
            }
        }
        if out.len() > MAX_FOUND {
            return Err(Exhausted);
        }
        Ok(())
    }

    fn selector(
        &self,
        selector: &Selector,
        node: &'v Value,
        out: &mut Vec<&'v Value>,
    ) -> Result<(), Exhausted> {
        let before = out.len();
        match selector {
            Selector::Name(name) => out.extend(node.get(name.as_str())),
            Selector::Index(index) => out.extend(item(node, *index)),
            Selector::Wildcard => out.extend(children(node)),
            Selector::Slice(start, end, step) => slice(node, [*start, *end, *step], out),
            Selector::Filter(filter) => {
                for child in children(node) {
                    self.spend(1)?;
                    if self.filter(filter, child)? {
                        out.push(child);
                    }
                }
            }
        }
        self.spend(out.len() - before)
    }

    fn filter(&self, filter: &Filter, node: &'v Value) -> Result<bool, Exhausted> {
        self.spend(1)?;
        match filter {
            Filter::Or(all) => self.every(all, node, false).map(|none| !none),
            Filter::And(all) => self.every(all, node, true),
            Filter::Atom(FilterAtom::Filter { expr, not }) => Ok(self.filter(expr, node)? != *not),
            Filter::Atom(FilterAtom::Test { expr, not }) => Ok(self.test(expr, node)? != *not),
            Filter::Atom(FilterAtom::Comparison(comparison)) => self.comparison(comparison, node),
        }
    }

    /// Whether each gives `want`.
    fn every(&self, all: &[Filter], node: &'v Value, want: bool) -> Result<bool, Exhausted> {
        for one in all {
            if self.filter(one, node)? != want {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn test(&self, test: &Test, node: &'v Value) -> Result<bool, Exhausted> {
        match test {
            Test::Function(function) => match &**function {
                TestFunction::Match(text, pattern) => self.matches([text, pattern], node, true),
                TestFunction::Search(text, pattern) => self.matches([text, pattern], node, false),
                other => Ok(self.function(other, node)?.is_some()),
            },
            other => Ok(!self.nodes(other, node)?.is_empty()),
        }
    }

    /// What a query within a filter finds.
    fn nodes(&self, test: &Test, node: &'v Value) -> Found<'v> {
        match test {
            Test::RelQuery(segments) => self.segments(segments, vec![node]),
            Test::AbsQuery(query) => self.segments(&query.segments, vec![self.root]),
            Test::Function(_) => Ok(Vec::new()),
        }
    }

    fn comparison(&self, comparison: &Comparison, node: &'v Value) -> Result<bool, Exhausted> {
        let (left, right) = comparison.vals();
        let (left, right) = (self.comparable(left, node)?, self.comparable(right, node)?);
        let (left, right) = (left.as_deref(), right.as_deref());
        for side in [left, right].into_iter().flatten() {
            self.spend(children(side).count())?;
        }
        let equal = || match (left, right) {
            (Some(left), Some(right)) => same(left, right),
            (None, None) => true,
            _ => false,
        };
        let less = |left, right| order(left, right) == Some(Ordering::Less);
        Ok(match comparison {
            Comparison::Eq(..) => equal(),
            Comparison::Ne(..) => !equal(),
            Comparison::Lt(..) => less(left, right),
            Comparison::Gt(..) => less(right, left),
            Comparison::Lte(..) => less(left, right) || equal(),
            Comparison::Gte(..) => less(right, left) || equal(),
        })
    }

    fn comparable(&self, side: &Comparable, node: &'v Value) -> Operand<'v> {
        match side {
            Comparable::Literal(literal) => Ok(Some(Cow::Owned(value_of(literal)))),
            Comparable::Function(function) => self.function(function, node),
            Comparable::SingularQuery(SingularQuery::Current(way)) => {
                Ok(singular(node, way).map(Cow::Borrowed))
            }
            Comparable::SingularQuery(SingularQuery::Root(way)) => {
                Ok(singular(self.root, way).map(Cow::Borrowed))
            }
        }
    }

    fn function(&self, function: &TestFunction, node: &'v Value) -> Operand<'v> {
        match function {
            TestFunction::Length(arg) => {
                let length = match self.argument(arg, node)?.as_deref() {
                    Some(Value::String(text)) => {
                        self.spend(text.len() / 64)?;
                        Some(text.chars().count())
                    }
                    Some(Value::Array(items)) => Some(items.len()),
                    Some(Value::Object(members)) => Some(members.len()),
                    _ => None,
                };
                Ok(length.map(|length| Cow::Owned(Value::from(length))))
            }
            TestFunction::Count(FnArg::Test(test)) => {
                let count = self.nodes(test, node)?.len();
                Ok(Some(Cow::Owned(Value::from(count))))
            }
            TestFunction::Value(arg) => self.argument(arg, node),
            TestFunction::Count(_)
            | TestFunction::Match(..)
            | TestFunction::Search(..)
            | TestFunction::Custom(..) => Ok(None),
        }
    }

    /// The one value of an argument; several are nothing.
    fn argument(&self, arg: &FnArg, node: &'v Value) -> Operand<'v> {
        match arg {
            FnArg::Literal(literal) => Ok(Some(Cow::Owned(value_of(literal)))),
            FnArg::Filter(_) => Ok(None),
            FnArg::Test(test) => match &**test {
                Test::Function(function) => self.function(function, node),
                query => Ok(match self.nodes(query, node)?.as_slice() {
                    [one] => Some(Cow::Borrowed(*one)),
                    _ => None,
                }),
            },
        }
    }

    fn matches(
        &self,
        [text, pattern]: [&FnArg; 2],
        node: &'v Value,
        whole: bool,
    ) -> Result<bool, Exhausted> {
        let (text, pattern) = (self.argument(text, node)?, self.argument(pattern, node)?);
        let (Some(Value::String(text)), Some(Value::String(pattern))) =
            (text.as_deref(), pattern.as_deref())
        else {
            return Ok(false);
        };
        let pattern = i_regexp(pattern, whole);
        let mut patterns = self.patterns.borrow_mut();
        if !patterns.contains_key(&pattern) {
            self.spend(REGEX_STEPS)?;
            let built = RegexBuilder::new(&pattern)
                .size_limit(MAX_REGEX)
                .nest_limit(64)
                .build();
            patterns.insert(pattern.clone(), built.ok());
        }
        self.spend(text.len())?;
        let regex = patterns.get(&pattern).and_then(Option::as_ref);
        Ok(regex.is_some_and(|regex| regex.is_match(text)))
    }
}

/// The values right below, in their order.
fn children(node: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match node {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// An item of a list, from its end when negative.
fn item(node: &Value, index: i64) -> Option<&Value> {
    let items = node.as_array()?;
    let at = usize::try_from(index.unsigned_abs()).ok()?;
    match index {
        0.. => items.get(at),
        _ => items.get(items.len().checked_sub(at)?),
    }
}

/// RFC 9535, section 2.3.4.2.2.
fn slice<'v>(node: &'v Value, [start, end, step]: [Option<i64>; 3], out: &mut Vec<&'v Value>) {
    let Some(items) = node.as_array() else {
        return;
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_start = |index: i64| {
        if index < 0 {
            length.saturating_add(index)
        } else {
            index
        }
    };
    let step = step.unwrap_or(1);
    let jump = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    let range = |lower: i64, upper: i64| {
        let (lower, upper) = (usize::try_from(lower).ok()?, usize::try_from(upper).ok()?);
        items.get(lower..upper)
    };
    match step {
        0 => {}
        1.. => {
            let lower = from_start(start.unwrap_or(0)).clamp(0, length);
            let upper = from_start(end.unwrap_or(length)).clamp(0, length);
            out.extend(range(lower, upper).into_iter().flatten().step_by(jump));
        }
        _ => {
            let upper = from_start(start.unwrap_or(length - 1)).clamp(-1, length - 1);
            let lower = end.map_or(-1, |end| from_start(end).clamp(-1, length - 1));
            let backwards = range(lower + 1, upper + 1).into_iter().flatten().rev();
            out.extend(backwards.step_by(jump));
        }
    }
}

fn singular<'v>(from: &'v Value, way: &[SingularQuerySegment]) -> Option<&'v Value> {
    way.iter().try_fold(from, |node, segment| match segment {
        SingularQuerySegment::Name(name) => node.get(name.as_str()),
        SingularQuerySegment::Index(index) => item(node, *index),
    })
}

/// Numbers with numbers, text with text.
fn order(left: Option<&Value>, right: Option<&Value>) -> Option<Ordering> {
    match (left?, right?) {
        (Value::Number(left), Value::Number(right)) => Some(compare(left, right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn value_of(literal: &Literal) -> Value {
    match literal {
        Literal::Int(number) => Value::from(*number),
        Literal::Float(number) => Value::from(*number),
        Literal::String(text) => Value::from(text.as_str()),
        Literal::Bool(yes) => Value::from(*yes),
        Literal::Null => Value::Null,
    }
}

/// An I-Regexp (RFC 9485) in the syntax of the `regex` crate: a dot is neither
/// line feed nor carriage return, and `match` means the whole text.
fn i_regexp(pattern: &str, whole: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 6);
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                out.extend(chars.next());
            }
            '.' if !in_class => out.push_str("[^\\n\\r]"),
            _ => {
                in_class = match c {
                    '[' => true,
                    ']' => false,
                    _ => in_class,
                };
                out.push(c);
            }
        }
    }
    if whole { format!("^(?:{out})$") } else { out }
}

#[cfg(test)]
mod tests;
