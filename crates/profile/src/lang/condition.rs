//! Conditions: tests on the variables or on an answer.

#[cfg(test)]
mod tests;

use super::number::{compare, same};
use super::scope::Env;
use super::{EvalError, Known, MAX_DEPTH, MAX_LIST, Path, Read, Ref, Scope, Subject, Tree};
use diag::{Code, Diagnostic, Diagnostics, Place};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Condition(Form);

#[derive(Debug, Clone)]
enum Form {
    Present(Path),
    Test(Path, Vec<Test>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

#[derive(Debug, Clone)]
enum Test {
    Equals(Tree),
    In(Tree),
    Matches(Regex),
    Order(Order, Tree),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

/// Bytes of the program that a regular expression may compile to.
const REGEX_SIZE: usize = 1 << 18;

/// What a condition's paths walk.
#[derive(Clone, Copy)]
struct Compiler<'a> {
    known: &'a Known,
    answer: bool,
    depth: usize,
}

const HELP: &str = "write `{\"present\": P}`, `{\"path\": P, \"equals\": v}` (or `in`, `matches`, `gt`, `gte`, `lt`, `lte`), or `all`, `any`, `not`";

fn wrong(at: &Place, message: impl Into<String>, found: &mut Diagnostics) {
    found.push(Diagnostic::error(Code::P208, at.clone(), message, HELP));
}

impl Condition {
    /// Compiles one whose paths walk the variables; `None` when mistakes were filed.
    pub fn of_variables(
        source: &Value,
        known: &Known,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        Compiler {
            known,
            answer: false,
            depth: 0,
        }
        .condition(source, at, found)
    }

    /// Compiles one whose paths walk an answer; the values it compares with
    /// are templates over the variables. `None` when mistakes were filed.
    pub fn of_answer(
        source: &Value,
        known: &Known,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        Compiler {
            known,
            answer: true,
            depth: 0,
        }
        .condition(source, at, found)
    }

    /// Whether it holds over the variables.
    ///
    /// # Errors
    ///
    /// When a value cannot be evaluated.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        self.holds_in(&mut Env::new(scope))
    }

    /// Whether it holds for an answer. `scope` serves the values to compare with.
    ///
    /// # Errors
    ///
    /// As [`Condition::holds`].
    pub fn holds_for<'a>(
        &self,
        answer: impl Into<Subject<'a>>,
        scope: &Scope<'_>,
    ) -> Result<bool, EvalError> {
        let answer = answer.into();
        self.judge(&|path, _| Ok(path.all(answer)), &mut Env::new(scope))
    }

    pub(super) fn holds_in(&self, env: &mut Env<'_>) -> Result<bool, EvalError> {
        self.judge(&|path, env| path.all_in(env), env)
    }

    fn judge<'v, 's>(&self, find: &Find<'v, 's>, env: &mut Env<'s>) -> Result<bool, EvalError> {
        match &self.0 {
            Form::Present(path) => Ok(!find(path, env)?.is_empty()),
            Form::Test(path, tests) => {
                for value in find(path, env)? {
                    if passes(tests, &value, env)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Form::All(list) => every(list, true, find, env),
            Form::Any(list) => every(list, false, find, env).map(|none| !none),
            Form::Not(one) => one.judge(find, env).map(|holds| !holds),
        }
    }

    /// Whether `source` has the form of a condition: an object.
    #[must_use]
    pub fn looks_like(source: &Value) -> bool {
        source.is_object()
    }

    /// Whether some path of it reads `@status`.
    #[must_use]
    pub fn reads_status(&self) -> bool {
        match &self.0 {
            Form::Present(path) | Form::Test(path, _) => path.reads_status(),
            Form::All(list) | Form::Any(list) => list.iter().any(Self::reads_status),
            Form::Not(one) => one.reads_status(),
        }
    }

    /// Shows every header that it reads, in lower case.
    pub fn headers(&self, see: &mut dyn FnMut(&str)) {
        match &self.0 {
            Form::Present(path) | Form::Test(path, _) => path.headers(see),
            Form::All(list) | Form::Any(list) => list.iter().for_each(|one| one.headers(see)),
            Form::Not(one) => one.headers(see),
        }
    }

    /// Shows every variable that it reads.
    pub fn reads(&self, see: &mut dyn FnMut(Read<'_>)) {
        match &self.0 {
            Form::Present(path) => path.reads(see),
            Form::Test(path, tests) => {
                path.reads(see);
                for test in tests {
                    match test {
                        Test::Equals(value) | Test::In(value) | Test::Order(_, value) => {
                            value.reads(see)
                        }
                        Test::Matches(_) => {}
                    }
                }
            }
            Form::All(list) | Form::Any(list) => list.iter().for_each(|one| one.reads(see)),
            Form::Not(one) => one.reads(see),
        }
    }

    /// Adds the variables that are there when it holds.
    pub(super) fn guarantees(&self, there: &mut Vec<Ref>) {
        match &self.0 {
            Form::Present(path) | Form::Test(path, _) => there.extend(path.guarantee().cloned()),
            Form::All(list) => list.iter().for_each(|one| one.guarantees(there)),
            Form::Any(_) | Form::Not(_) => {}
        }
    }
}

/// Finds what a path of the condition gives.
type Find<'v, 's> = dyn Fn(&Path, &Env<'s>) -> Result<Vec<Cow<'v, Value>>, EvalError> + 'v;

/// Whether each of `list` gives `want`.
fn every<'v, 's>(
    list: &[Condition],
    want: bool,
    find: &Find<'v, 's>,
    env: &mut Env<'s>,
) -> Result<bool, EvalError> {
    for one in list {
        if one.judge(find, env)? != want {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether one value passes all tests.
fn passes(tests: &[Test], value: &Value, env: &mut Env<'_>) -> Result<bool, EvalError> {
    for test in tests {
        let passed = match test {
            Test::Matches(regex) => match value.as_str() {
                Some(text) => {
                    // It reads the text, and keeps nothing of it.
                    env.spend(text.len() / 16)?;
                    regex.is_match(text)
                }
                None => false,
            },
            Test::Equals(tree) => tree.with_value(env, |want| same(value, want))?,
            Test::In(tree) => tree.with_value(env, |want| match want {
                Value::Array(items) => items.iter().any(|item| same(value, item)),
                _ => false,
            })?,
            Test::Order(order, tree) => tree.with_value(env, |want| order.passes(value, want))?,
        };
        if !passed {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Order {
    /// Numbers with numbers, text with text; anything else does not compare.
    fn passes(self, value: &Value, want: &Value) -> bool {
        let order = match (value, want) {
            (Value::Number(a), Value::Number(b)) => compare(a, b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            _ => return false,
        };
        match self {
            Self::Gt => order == Ordering::Greater,
            Self::Gte => order != Ordering::Less,
            Self::Lt => order == Ordering::Less,
            Self::Lte => order != Ordering::Greater,
        }
    }
}

impl Compiler<'_> {
    fn condition(self, source: &Value, at: &Place, found: &mut Diagnostics) -> Option<Condition> {
        let Value::Object(members) = source else {
            wrong(at, "a condition is an object", found);
            return None;
        };
        if self.depth > MAX_DEPTH {
            found.push(Diagnostic::error(
                Code::P212,
                at.clone(),
                "conditions are nested too deep",
                "flatten them",
            ));
            return None;
        }
        let form = match self.combination(members, at, found) {
            Some(form) => form?,
            None => self.test(members, at, found)?,
        };
        Some(Condition(form))
    }

    /// `present`, `all`, `any` or `not`, which stand alone; `None`: it is none of them.
    fn combination(
        self,
        members: &Map<String, Value>,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Option<Form>> {
        let words = ["present", "all", "any", "not"];
        let word = words.into_iter().find(|word| members.contains_key(*word))?;
        if members.len() > 1 {
            wrong(at, format!("`{word}` stands alone in its object"), found);
            return Some(None);
        }
        let value = members.get(word)?;
        let (at, deeper) = (
            at.child(word),
            Self {
                depth: self.depth + 1,
                ..self
            },
        );
        Some(match word {
            "present" => self.path(value, &at, found).map(Form::Present),
            "not" => deeper
                .condition(value, &at, found)
                .map(|one| Form::Not(Box::new(one))),
            "all" => deeper.list(value, &at, found).map(Form::All),
            _ => deeper.list(value, &at, found).map(Form::Any),
        })
    }

    fn list(self, value: &Value, at: &Place, found: &mut Diagnostics) -> Option<Vec<Condition>> {
        let items = match value {
            Value::Array(items) if !items.is_empty() && items.len() <= MAX_LIST => items,
            _ => {
                wrong(at, "this is a list of conditions, at least one", found);
                return None;
            }
        };
        // Every item is compiled, so that all mistakes are found.
        let list: Vec<Option<Condition>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.condition(item, &at.child(index), found))
            .collect();
        list.into_iter().collect()
    }

    fn path(self, value: &Value, at: &Place, found: &mut Diagnostics) -> Option<Path> {
        if self.answer {
            Path::of_answer(value, at, found)
        } else {
            Path::of_variables(value, self.known, at, found)
        }
    }

    fn test(
        self,
        members: &Map<String, Value>,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Form> {
        let Some(path) = members.get("path") else {
            let keys: Vec<&str> = members.keys().map(String::as_str).collect();
            wrong(
                at,
                format!("no condition has only the keys `{}`", keys.join("`, `")),
                found,
            );
            return None;
        };
        let path = self.path(path, &at.child("path"), found);
        let tests: Vec<Option<Test>> = members
            .iter()
            .filter(|(key, _)| *key != "path")
            .map(|(key, value)| self.one(key, value, &at.child(key), found))
            .collect();
        if tests.is_empty() {
            wrong(
                at,
                "a path without a test; `present` asks whether it gives something",
                found,
            );
            return None;
        }
        let tests: Option<Vec<Test>> = tests.into_iter().collect();
        Some(Form::Test(path?, tests?))
    }

    fn one(self, key: &str, value: &Value, at: &Place, found: &mut Diagnostics) -> Option<Test> {
        let order = match key {
            "gt" => Some(Order::Gt),
            "gte" => Some(Order::Gte),
            "lt" => Some(Order::Lt),
            "lte" => Some(Order::Lte),
            _ => None,
        };
        match (key, value) {
            ("matches", Value::String(source)) => regex(source, at, found).map(Test::Matches),
            ("matches", _) => {
                wrong(at, "`matches` takes a regular expression as text", found);
                None
            }
            ("equals", Value::Null) => {
                wrong(
                    at,
                    "null counts as absent, which equals nothing; write `{\"not\": {\"present\": P}}`",
                    found,
                );
                None
            }
            ("in", Value::Array(_) | Value::String(_)) => {
                self.value(value, at, found).map(Test::In)
            }
            ("in", _) => {
                wrong(at, "`in` takes a list", found);
                None
            }
            ("equals", _) => {
                if value.is_array() {
                    found.push(Diagnostic::warning(
                        Code::P208,
                        at.clone(),
                        "`equals` compares with the list as a whole",
                        "where one of its values is meant, write `in`",
                    ));
                }
                self.value(value, at, found).map(Test::Equals)
            }
            _ => match order {
                Some(order) if value.is_number() || value.is_string() => self
                    .value(value, at, found)
                    .map(|tree| Test::Order(order, tree)),
                Some(_) => {
                    wrong(
                        at,
                        format!("`{key}` compares with a number or a text"),
                        found,
                    );
                    None
                }
                None => {
                    wrong(at, format!("`{key}` is no test"), found);
                    None
                }
            },
        }
    }

    fn value(self, value: &Value, at: &Place, found: &mut Diagnostics) -> Option<Tree> {
        let known = self
            .known
            .clone()
            .secrets_may_stand(false)
            .parts_may_stand(false);
        Tree::compile(value, &known, at, found)
    }
}

fn regex(source: &str, at: &Place, found: &mut Diagnostics) -> Option<Regex> {
    let template = source.contains("{{") && source.contains("}}");
    let limit = super::MAX_TEXT / 16;
    let made = if template || source.len() > limit {
        None
    } else {
        RegexBuilder::new(source)
            .size_limit(REGEX_SIZE)
            .nest_limit(64)
            .build()
            .ok()
    };
    if made.is_none() {
        found.push(Diagnostic::error(
            Code::P213,
            at.clone(),
            format!(
                "`{}` is no regular expression that we take",
                source.chars().take(80).collect::<String>()
            ),
            "write RE2 syntax, without look-around, back-references and templates",
        ));
    }
    made
}
