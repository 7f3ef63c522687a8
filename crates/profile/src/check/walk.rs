//! Walking raw JSON by hand: serde stops at the first mistake and knows no
//! place; this goes on, and names both.

use super::homes::{form, home};
use diag::{COMPARED_MAX, Code, Diagnostic, Diagnostics, Place};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashSet;

/// Where findings go. Shared, so that a walk can go on behind each of them.
#[derive(Debug, Default)]
pub(crate) struct Sink(RefCell<Found>);

/// The findings, and what they say, so that each is kept once.
#[derive(Debug, Default)]
struct Found {
    all: Diagnostics,
    said: HashSet<String>,
    /// How many refuse.
    errors: usize,
}

/// Findings of either kind that are kept: nobody reads more, and a file of
/// garbage has one for each of its values.
const MAX_FOUND: usize = 1_000;

impl Sink {
    /// Refuses.
    pub(crate) fn error(
        &self,
        code: Code,
        at: &Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(code, at.clone(), message, help));
    }

    /// Lets pass, and says so.
    pub(crate) fn warn(
        &self,
        code: Code,
        at: &Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::warning(code, at.clone(), message, help));
    }

    /// Adds a finding made elsewhere; the same one twice is one.
    pub(crate) fn push(&self, finding: Diagnostic) {
        let said = format!("{}\n{}\n{}", finding.code, finding.place, finding.message);
        let mut found = self.0.borrow_mut();
        let (errors, all) = (found.errors, found.all.0.len());
        let (kept, new) = match finding.is_error() {
            true => (errors, errors + 1),
            false => (all - errors, errors),
        };
        if kept < MAX_FOUND && found.said.insert(said) {
            found.errors = new;
            found.all.push(finding);
        }
    }

    /// Adds many.
    pub(crate) fn extend(&self, findings: impl IntoIterator<Item = Diagnostic>) {
        for finding in findings {
            self.push(finding);
        }
    }

    /// Whether anything refuses so far.
    pub(crate) fn has_errors(&self) -> bool {
        self.0.borrow().errors > 0
    }

    /// Whether no more errors are kept.
    fn is_full(&self) -> bool {
        self.0.borrow().errors >= MAX_FOUND
    }

    /// Whether something is too large or too deep to be looked at.
    pub(crate) fn has_too_large(&self) -> bool {
        let found = self.0.borrow();
        found.all.iter().any(|finding| finding.code == Code::P107)
    }

    /// Lends the list to the language core, which files its own mistakes.
    pub(crate) fn with<T>(&self, file: impl FnOnce(&mut Diagnostics) -> T) -> T {
        let mut own = Diagnostics::new();
        let result = file(&mut own);
        self.extend(own);
        result
    }

    /// Takes the findings.
    pub(crate) fn into_inner(self) -> Diagnostics {
        self.0.into_inner().all
    }
}

/// The members of one object. What is never asked for is unknown.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    members: &'a Map<String, Value>,
    at: Place,
    sink: &'a Sink,
    known: RefCell<Vec<&'static str>>,
    elsewhere: RefCell<Vec<(&'static [&'static str], &'static str)>>,
}

impl<'a> Fields<'a> {
    /// Opens an object; anything else is a mistake. Null counts as absent.
    pub(crate) fn open(value: &'a Value, at: &Place, sink: &'a Sink) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self {
                members,
                at: at.clone(),
                sink,
                known: RefCell::default(),
                elsewhere: RefCell::default(),
            }),
            Value::Null => None,
            other => {
                wrong_type(sink, at, "an object", other);
                None
            }
        }
    }

    /// Where the object stands.
    pub(crate) fn at(&self) -> &Place {
        &self.at
    }

    /// Where its mistakes go.
    pub(crate) fn sink(&self) -> &'a Sink {
        self.sink
    }

    /// Where a member stands, or would.
    pub(crate) fn place(&self, name: &str) -> Place {
        self.at.child(name)
    }

    /// The member, whatever it is; null is absent.
    pub(crate) fn raw(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// The member, null too.
    pub(crate) fn raw_or_null(&self, name: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(name);
        self.members.get(name)
    }

    /// A text.
    pub(crate) fn text(&self, name: &'static str) -> Option<&'a str> {
        let value = self.raw(name)?;
        let text = value.as_str();
        if text.is_none() {
            wrong_type(self.sink, &self.place(name), "a text", value);
        }
        text
    }

    /// A text that must be there.
    pub(crate) fn required_text(&self, name: &'static str) -> Option<&'a str> {
        if self.raw(name).is_none() {
            self.missing(name);
            return None;
        }
        self.text(name)
    }

    /// Says that a member is missing.
    pub(crate) fn missing(&self, name: &str) {
        self.sink.error(
            Code::P103,
            &self.at,
            format!("`{name}` is missing"),
            format!("add the member `{name}`"),
        );
    }

    /// Says that the object as a whole is wrong.
    pub(crate) fn error(&self, code: Code, message: &str, help: &str) {
        self.sink.error(code, &self.at, message, help);
    }

    /// A boolean.
    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        let value = self.raw(name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            wrong_type(self.sink, &self.place(name), "`true` or `false`", value);
        }
        flag
    }

    /// A number, whole or not.
    pub(crate) fn number(&self, name: &'static str) -> Option<f64> {
        let value = self.raw(name)?;
        let number = value.as_f64();
        if number.is_none() {
            wrong_type(self.sink, &self.place(name), "a number", value);
        }
        number
    }

    /// A whole number that is not negative.
    pub(crate) fn whole(&self, name: &'static str) -> Option<u64> {
        let value = self.raw(name)?;
        let number = value.as_u64();
        if number.is_none() {
            wrong_type(self.sink, &self.place(name), "a whole number", value);
        }
        number
    }

    /// An object, whose members are the row's own names.
    pub(crate) fn object(&self, name: &'static str) -> Option<&'a Map<String, Value>> {
        let value = self.raw(name)?;
        let object = value.as_object();
        if object.is_none() {
            wrong_type(self.sink, &self.place(name), "an object", value);
        }
        object
    }

    /// An object with known members.
    pub(crate) fn fields(&self, name: &'static str) -> Option<Fields<'a>> {
        let value = self.raw(name)?;
        Fields::open(value, &self.place(name), self.sink)
    }

    /// A list.
    pub(crate) fn list(&self, name: &'static str) -> Option<&'a [Value]> {
        let value = self.raw(name)?;
        let list = value.as_array().map(Vec::as_slice);
        if list.is_none() {
            wrong_type(self.sink, &self.place(name), "a list", value);
        }
        list
    }

    /// A list of texts; members of another type are mistakes and left out.
    pub(crate) fn texts(&self, name: &'static str) -> Option<Vec<&'a str>> {
        let at = self.place(name);
        let mut texts = Vec::new();
        for (i, item) in self.list(name)?.iter().enumerate() {
            match item.as_str() {
                Some(text) => texts.push(text),
                None => wrong_type(self.sink, &at.child(i), "a text", item),
            }
        }
        Some(texts)
    }

    /// One of a closed list of words.
    pub(crate) fn word<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            not_a_word(self.sink, &self.place(name), text, &known);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// Every member, known or not.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.members.iter()
    }

    /// Takes members that are for people, or that another walk reads.
    pub(crate) fn skip(&self, names: &[&'static str]) {
        self.known.borrow_mut().extend_from_slice(names);
    }

    /// Says what to do with members that have a meaning elsewhere, should they be here.
    pub(crate) fn elsewhere(&self, names: &'static [&'static str], help: &'static str) {
        self.elsewhere.borrow_mut().push((names, help));
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        let elsewhere = self.elsewhere.borrow();
        for name in self.members.keys().map(String::as_str) {
            if known.contains(&name) {
                continue;
            }
            let at = self.place(name);
            let help = elsewhere.iter().find(|(names, _)| names.contains(&name));
            match help {
                Some((_, help)) => {
                    let message = format!("`{name}` is not known here");
                    self.sink.error(Code::P101, &at, message, *help);
                }
                None => unknown_key(self.sink, &at, name, &known),
            }
        }
    }
}

/// Refuses a member that the language does not know.
pub(crate) fn unknown_key(sink: &Sink, at: &Place, name: &str, known: &[&str]) {
    if sink.is_full() {
        return;
    }
    let mut names: Vec<&str> = known.to_vec();
    names.sort_unstable();
    names.dedup();
    let near = nearest(name, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    let start = home(name)
        .or(near)
        .unwrap_or_else(|| "remove it;".to_owned());
    let help = format!("{start} known here: {}", names.join(", "));
    sink.error(Code::P101, at, format!("`{name}` is not known here"), help);
}

/// A value that stands in a list of one is shown so up to this length.
const MAX_SHOWN: usize = 40;

/// Refuses a value of another type.
pub(crate) fn wrong_type(sink: &Sink, at: &Place, wanted: &str, given: &Value) {
    let text = given.to_string();
    let one = wanted == "a list" && !given.is_object() && text.len() <= MAX_SHOWN;
    let wants_form = matches!(wanted, "an object" | "a list" | "a text");
    let help = match form(at).filter(|_| wants_form) {
        Some(form) => format!("write {wanted}: {form}"),
        None if one => format!("write a list, also of one: `[{text}]`"),
        None => format!("write {wanted}"),
    };
    sink.error(
        Code::P102,
        at,
        format!("{wanted} is needed here, not {}", type_name(given)),
        help,
    );
}

/// Refuses a word outside a closed list.
pub(crate) fn not_a_word(sink: &Sink, at: &Place, given: &str, known: &[&str]) {
    // Half of a word, or a word and more: `multipart`, `text-to-video`.
    let part = known.iter().copied().find(|word| {
        word.len().min(given.len()) >= 4 && (word.contains(given) || given.contains(word))
    });
    let help = part
        .or_else(|| nearest(given, known.iter().copied()))
        .map_or_else(
            || format!("one of: {}", known.join(", ")),
            |near| format!("did you mean `{near}`? one of: {}", known.join(", ")),
        );
    sink.error(
        Code::P105,
        at,
        format!("`{given}` is not one of the words of the language here"),
        help,
    );
}

/// The type of a value, in words.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Names that a refusal lists: a catalogue may have thousands.
const LISTED: usize = 50;

/// The first of the names, and how many more there are.
pub(crate) fn some_of(names: &[&str]) -> String {
    match names.split_at_checked(LISTED) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{}, and {} more", first.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

/// The known name nearest to a misspelt one, if one is near.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let short = |name: &&str| name.len() <= COMPARED_MAX;
    let name = Some(name).filter(short)?;
    known
        .into_iter()
        .filter(short)
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
