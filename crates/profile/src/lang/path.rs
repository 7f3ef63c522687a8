//! Paths: where a value stands in an answer or among the variables.

mod query;
#[cfg(test)]
mod tests;

use super::answer::{Subject, View};
use super::encode::scalar_text;
use super::known::{Member, Members};
use super::mistake::file;
use super::reference::{Lists, segments, walk};
use super::scope::Env;
use super::{Bound, EvalError, Known, MAX_LIST, Mistake, Presence, Read, Ref, Root, Seg, size};
use diag::{Code, Diagnostics, Place};
use query::Query;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A path, or a list of paths of which the first that gives something counts.
#[derive(Debug, Clone)]
pub struct Path {
    routes: Vec<Route>,
    source: String,
    item: Member,
}

#[derive(Debug, Clone)]
enum Route {
    Status,
    Header(String),
    Event,
    /// A short path into a body.
    Body(Vec<Seg>),
    /// A JSONPath into a body.
    Query(Query),
    /// A short path into the variables.
    Variable(Ref),
    /// A JSONPath into the variables, and the one it starts at.
    VariableQuery(String, Ref, Query),
}

impl Path {
    /// Compiles a text or a list of texts that walks answers; `None` when mistakes were filed.
    pub fn of_answer(source: &Value, at: &Place, found: &mut Diagnostics) -> Option<Self> {
        Self::compile(source, None, at, found)
    }

    /// Compiles one that walks the variables; `None` when mistakes were filed.
    pub fn of_variables(
        source: &Value,
        known: &Known,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        Self::compile(source, Some(known), at, found)
    }

    /// A path of our own that walks answers, such as a default; `None` when it is none.
    #[must_use]
    pub fn fixed(sources: &[&str]) -> Option<Self> {
        let source = Value::from(sources.to_vec());
        Self::of_answer(&source, &Place::default(), &mut Diagnostics::new())
    }

    fn compile(
        source: &Value,
        known: Option<&Known>,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let one = std::slice::from_ref(source);
        let (texts, listed) = match source {
            Value::Array(texts) if !texts.is_empty() && texts.len() <= MAX_LIST => {
                (texts.as_slice(), true)
            }
            _ => (one, false),
        };
        let mut path = Self {
            routes: Vec::with_capacity(texts.len()),
            source: String::new(),
            item: Member {
                presence: Presence::Always,
                secret: false,
                members: Members::Any,
            },
        };
        let mut good = true;
        for (index, text) in texts.iter().enumerate() {
            let at = if listed { at.child(index) } else { at.clone() };
            let route = file(
                route(text, known).map_err(|mistake| vec![mistake]),
                &at,
                found,
            );
            good &= route.is_some();
            if let Some((route, member)) = route {
                path.routes.push(route);
                if let (Some(member), false) = (member, listed) {
                    path.item = member;
                }
            }
        }
        let shown: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
        path.source = shown.join(" | ");
        good.then_some(path)
    }

    /// Everything it finds, without nulls; empty: nothing is there.
    #[must_use]
    pub fn all<'a>(&self, subject: impl Into<Subject<'a>>) -> Vec<Cow<'a, Value>> {
        match subject.into() {
            Subject::Variables(scope) => self.all_in(&Env::new(scope)).unwrap_or_default(),
            Subject::Answer(view) => {
                let found = |one| self.found_in(one).map(|(_, found)| found);
                let there = |found: &Vec<_>| !found.is_empty();
                view.each()
                    .filter_map(|one| found(one).find(there))
                    .flatten()
                    .collect()
            }
        }
    }

    /// What each alternative finds; in a stream, in each event, the latest first.
    fn found_in<'p, 'a>(
        &'p self,
        view: View<'a>,
    ) -> impl Iterator<Item = (&'p Route, Vec<Cow<'a, Value>>)> + use<'p, 'a> {
        view.latest_first().flat_map(move |view| {
            let routes = self.routes.iter();
            routes.map(move |route| (route, route.in_answer(view)))
        })
    }

    pub(super) fn all_in<'s>(&self, env: &Env<'s>) -> Result<Vec<Cow<'s, Value>>, EvalError> {
        for route in &self.routes {
            let found = route.in_variables(env)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// The first.
    #[must_use]
    pub fn first<'a>(&self, subject: impl Into<Subject<'a>>) -> Option<Cow<'a, Value>> {
        self.all(subject).into_iter().next()
    }

    /// The first scalar, as text; objects and arrays are passed over, in the alternatives too.
    #[must_use]
    pub fn first_text<'a>(&self, subject: impl Into<Subject<'a>>) -> Option<String> {
        self.all_text(subject).into_iter().next()
    }

    /// Texts that are not empty, those among the items of arrays too, of the first
    /// alternative of an answer that gives one: the addresses of one or several files.
    #[must_use]
    pub fn listed_texts(&self, view: View<'_>) -> Vec<String> {
        let listed = |one| {
            let mut texts = self.texts_listed(one);
            texts.find(|texts| !texts.is_empty())
        };
        view.each().filter_map(listed).flatten().collect()
    }

    /// Of each alternative.
    fn texts_listed(&self, view: View<'_>) -> impl Iterator<Item = Vec<String>> {
        self.found_in(view).map(|(_, found)| {
            let items = found.iter().flat_map(|value| match value.as_ref() {
                Value::Array(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            });
            let texts = items
                .filter_map(Value::as_str)
                .filter(|text| !text.is_empty());
            texts.map(str::to_owned).collect::<Vec<_>>()
        })
    }

    /// All scalars as text, of the first alternative that gives one.
    #[must_use]
    pub fn all_text<'a>(&self, subject: impl Into<Subject<'a>>) -> Vec<String> {
        let texts = |found: Vec<Cow<'_, Value>>| -> Vec<String> {
            let texts = found.iter().filter_map(|value| scalar_text(value));
            texts.collect()
        };
        let there = |texts: &Vec<String>| !texts.is_empty();
        let found = match subject.into() {
            Subject::Variables(scope) => {
                let found = self
                    .routes
                    .iter()
                    .map(|route| texts(route.in_variables(&Env::new(scope)).unwrap_or_default()));
                found.into_iter().find(there)
            }
            Subject::Answer(view) => {
                let found = |one| self.found_in(one).map(|(_, found)| texts(found));
                let all = view.each().filter_map(|one| found(one).find(there));
                return all.flatten().collect();
            }
        };
        found.unwrap_or_default()
    }

    /// The items of the list it finds, for a step's `each`; a single value is
    /// one item. `None`: absent.
    #[must_use]
    pub fn items<'a>(&self, subject: impl Into<Subject<'a>>) -> Option<Vec<Bound<'a>>> {
        match subject.into() {
            Subject::Variables(scope) => self.items_in(&Env::new(scope)).ok().flatten(),
            Subject::Answer(view) => {
                let found = |one| self.found_in(one).find(|(_, found)| !found.is_empty());
                let items = |(route, found): (&Route, _)| {
                    super::scope::bound_items(found, route.is_projection())
                };
                let all: Vec<_> = view.each().filter_map(found).map(items).collect();
                (!all.is_empty()).then(|| all.into_iter().flatten().collect())
            }
        }
    }

    pub(super) fn items_in<'s>(&self, env: &Env<'s>) -> Result<Option<Vec<Bound<'s>>>, EvalError> {
        for route in &self.routes {
            let items = match route {
                Route::Variable(name) => env.items(name)?,
                other => {
                    let found = other.in_variables(env)?;
                    (!found.is_empty())
                        .then(|| super::scope::bound_items(found, other.is_projection()))
                }
            };
            if items.is_some() {
                return Ok(items);
            }
        }
        Ok(None)
    }

    /// Whether it reads nothing but `@status`.
    #[must_use]
    pub fn reads_status_only(&self) -> bool {
        self.routes
            .iter()
            .all(|route| matches!(route, Route::Status))
    }

    /// Whether `@status` is among what it reads.
    #[must_use]
    pub fn reads_status(&self) -> bool {
        self.routes
            .iter()
            .any(|route| matches!(route, Route::Status))
    }

    /// Shows every header that it reads, in lower case.
    pub fn headers(&self, see: &mut dyn FnMut(&str)) {
        for route in &self.routes {
            if let Route::Header(name) = route {
                see(name);
            }
        }
    }

    /// As written; alternatives by ` | `.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Shows every variable that it reads.
    pub fn reads(&self, see: &mut dyn FnMut(Read<'_>)) {
        for route in &self.routes {
            if let Route::Variable(name) | Route::VariableQuery(_, name, _) = route {
                see(Read {
                    name,
                    required: false,
                });
            }
        }
    }

    /// What an item of it is made of.
    pub(super) fn item(&self) -> Member {
        self.item.clone()
    }

    /// The variable that is there when it gives something.
    pub(super) fn guarantee(&self) -> Option<&Ref> {
        match self.routes.as_slice() {
            [Route::Variable(name)] if name.path.iter().all(|seg| matches!(seg, Seg::Key(_))) => {
                Some(name)
            }
            _ => None,
        }
    }
}

fn wrong(message: impl Into<String>, help: &str) -> Mistake {
    Mistake::new(Code::P207, message, help)
}

fn route(source: &Value, known: Option<&Known>) -> Result<(Route, Option<Member>), Mistake> {
    let Value::String(text) = source else {
        return Err(wrong(
            "a path is a text, or a list of texts",
            "write it as `data.task_id`",
        ));
    };
    match (known, text.starts_with('$'), text.strip_prefix('@')) {
        (_, true, _) if text.contains("{{") || text.contains("<<") => {
            Err(wrong("a path is no template", "write the name itself"))
        }
        (None, true, _) => Query::parse(text).map(|query| (Route::Query(query), None)),
        (Some(known), true, _) => variable_query(text, known).map(|route| (route, None)),
        (None, false, Some(of)) => special(of).map(|route| (route, None)),
        (Some(_), false, Some(_)) => Err(wrong(
            format!("`{text}` asks for an answer, and here is none"),
            "name a variable: `params.size`, `inputs.reference`",
        )),
        (None, false, None) => segments(text).map(|path| (Route::Body(path), None)),
        (Some(known), false, None) => {
            let found = known.resolve(text)?;
            if found.member.secret {
                return Err(Mistake::new(
                    Code::P206,
                    format!("`{text}` is secret: no path may walk it"),
                    "ask for another value",
                ));
            }
            Ok((Route::Variable(found.name), Some(found.member)))
        }
    }
}

fn special(of: &str) -> Result<Route, Mistake> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match (of, of.strip_prefix("header:")) {
        ("status", _) => Ok(Route::Status),
        ("event", _) => Ok(Route::Event),
        (_, Some(name)) if !name.is_empty() && name.chars().all(token) => {
            Ok(Route::Header(name.to_ascii_lowercase()))
        }
        _ => Err(wrong(
            format!("`@{of}` is nothing that an answer has"),
            "write `@status`, `@header:Name` or `@event`",
        )),
    }
}

fn variable_query(text: &str, known: &Known) -> Result<Route, Mistake> {
    let parsed = Query::parse(text)?;
    let name = text.strip_prefix("$.").map(|rest| {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().to_owned()
    });
    let name = name
        .filter(|name| !name.is_empty() && name != "*")
        .ok_or_else(|| {
            wrong(
                format!("`{text}` does not start with a variable"),
                "start with the name of one: `$.params.size`",
            )
        })?;
    let found = known.document(&name)?;
    Ok(Route::VariableQuery(name, found.name, parsed))
}

impl Route {
    fn is_projection(&self) -> bool {
        match self {
            Self::Status | Self::Header(_) | Self::Event => true,
            Self::Body(path) => path.contains(&Seg::All),
            Self::Variable(name) => name.path.contains(&Seg::All),
            // A JSONPath that finds one list means its items.
            Self::Query(_) | Self::VariableQuery(..) => false,
        }
    }

    fn in_answer<'a>(&self, view: View<'a>) -> Vec<Cow<'a, Value>> {
        let own = |value: Value| vec![Cow::Owned(value)];
        match self {
            Self::Status => own(Value::from(view.status)),
            Self::Header(name) => view
                .header(name)
                .map_or_else(Vec::new, |text| own(Value::from(text))),
            Self::Event => view
                .event
                .map_or_else(Vec::new, |text| own(Value::from(text))),
            Self::Body(path) => view.json.map_or_else(Vec::new, |body| {
                let mut out = Vec::new();
                walk(body, path, Lists::Strict, &mut out);
                out.into_iter().map(Cow::Borrowed).collect()
            }),
            Self::Query(query) => match (view.json, view.text) {
                (Some(body), _) => query.run(body).into_iter().map(Cow::Borrowed).collect(),
                (None, Some(text)) if query.is_root() => own(Value::from(text)),
                _ => Vec::new(),
            },
            Self::Variable(_) | Self::VariableQuery(..) => Vec::new(),
        }
    }

    fn in_variables<'s>(&self, env: &Env<'s>) -> Result<Vec<Cow<'s, Value>>, EvalError> {
        match self {
            Self::Variable(name) => env.all(name),
            Self::VariableQuery(first, name, query) => {
                let Some(value) = env.one(name)? else {
                    return Ok(Vec::new());
                };
                env.spend(size(&value))?;
                let document = Value::Object(Map::from_iter([(first.clone(), value.into_owned())]));
                env.copied(query.run(&document))
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// The root of a name, for those who list what is read.
impl Ref {
    /// The member right under the root, such as an option's name.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match (self.root, self.path.first()) {
            (Root::Local(_), _) | (_, None | Some(Seg::Index(_) | Seg::All)) => None,
            (_, Some(Seg::Key(key))) => Some(key),
        }
    }
}
