//! A call of the face: its members, whether they came as JSON or as a form, taken one by one.

use super::hints::says_nothing;
use super::{form, media};
use crate::call::{Fields, wrong_type};
use crate::json;
use crate::problem::{Problem, Violation};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use diag::{Code, Place};
use profile::capabilities::{Kind, OptionSpec};
use profile::openai::ApiNames;
use profile::revision::Revision;
use runtime::{InputMedium, RunError, RunRequest};
use serde_json::{Map, Value};

/// A call of the face. What its handler does not take is an option or an input of the profile, by the profile's names.
#[derive(Debug, Default)]
pub(crate) struct Call {
    members: Map<String, Value>,
    /// Of a form.
    files: Vec<(String, InputMedium)>,
    /// Of a form every value is a text.
    is_form: bool,
    found: Vec<Violation>,
    /// Members that were asked for, for hints.
    known: Vec<String>,
    /// Members that were taken from within others, and where they stand.
    moved: Vec<(String, String)>,
    places: Places,
}

impl Call {
    /// Reads the body, JSON or a form.
    ///
    /// # Errors
    ///
    /// 413, 408, 415, and 400 for what is neither.
    pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        if let Some(boundary) = kind.and_then(form::boundary) {
            let form = form::read(headers, body, boundary).await?;
            return Ok(Self {
                members: form.fields,
                files: form.files,
                is_form: true,
                ..Self::default()
            });
        }
        match json::read(headers, body).await? {
            Value::Object(members) => Ok(Self {
                members,
                ..Self::default()
            }),
            other => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                wrong_type(&Place::default(), "an object", &other),
            )),
        }
    }

    /// A member that the body does not have: what the path says, for example.
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// A file, as a form would bring it.
    pub(crate) fn put_file(&mut self, name: &str, file: InputMedium) {
        self.files.push((name.to_owned(), file));
    }

    /// A member that stands within another: `at` is its place in the body.
    pub(super) fn put_from(&mut self, name: &str, value: Value, at: &str) {
        self.moved.push((name.to_owned(), at.to_owned()));
        self.put(name, value);
    }

    /// Files of a form under this name.
    pub(super) fn take_files(&mut self, name: &str) -> Vec<InputMedium> {
        self.known.push(name.to_owned());
        let all = std::mem::take(&mut self.files);
        let (mine, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(have, _)| have == name);
        self.files = others;
        mine.into_iter().map(|(_, file)| file).collect()
    }

    /// A member as it stands, before it is taken.
    pub(super) fn shown(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Mistakes so far, for whoever reads within a member.
    pub(super) fn found(&mut self) -> &mut Vec<Violation> {
        &mut self.found
    }

    /// What stands at `ours` in a call of ours stands at `theirs` in the body: both JSON Pointers.
    pub(super) fn placed(&mut self, ours: &str, theirs: &str) {
        self.places.0.push((ours.to_owned(), theirs.to_owned()));
    }

    /// Whether the caller gave it.
    pub(crate) fn has(&self, name: &str) -> bool {
        let given = self.members.get(name).is_some_and(|value| !value.is_null());
        given || self.files.iter().any(|(have, _)| have == name)
    }

    /// A member whatever it is; `null` counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.known.push(name.to_owned());
        let value = self.members.shift_remove(name);
        value.filter(|value| !value.is_null())
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.wrong(name, "a text", &other),
        }
    }

    /// A text where the member may be a list of them, too; absent: it is no text, and left.
    pub(super) fn lone_text(&mut self, name: &str) -> Option<String> {
        let is_text = self.shown(name).is_some_and(Value::is_string);
        is_text.then(|| self.text(name)).flatten()
    }

    /// A text that must be there, and not be empty.
    pub(crate) fn required_text(&mut self, name: &str) -> Option<String> {
        let empty = self.members.get(name).and_then(Value::as_str) == Some("");
        if empty || !self.has(name) {
            let message = format!("`{name}` is missing");
            self.refuse(name, Code::C155, message, &format!("add `{name}`, a text"));
        }
        self.text(name)
    }

    /// True or false; of a form the words.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            Value::String(word) if self.is_form && word == "true" => Some(true),
            Value::String(word) if self.is_form && word == "false" => Some(false),
            other => self.wrong(name, "true or false", &other),
        }
    }

    /// A whole number from 0; of a form its digits.
    pub(crate) fn whole(&mut self, name: &str) -> Option<u64> {
        let value = self.take(name)?;
        let number = match &value {
            Value::String(digits) if self.is_form => digits.parse().ok(),
            other => other.as_u64(),
        };
        number.or_else(|| self.wrong(name, "a whole number from 0", &value))
    }

    /// The members of one that is an object, to be taken and closed.
    pub(super) fn object(&mut self, name: &str) -> Option<Fields<'_>> {
        let value = self.take(name)?;
        Fields::open(value, Place::default().child(name), &mut self.found)
    }

    /// The items of a list that must be there and have some; else what is missing, and what to add.
    pub(super) fn items(
        &mut self,
        name: &str,
        wanted: &str,
        (missing, help): (&str, &str),
    ) -> Vec<Value> {
        match self.take(name) {
            Some(Value::Array(items)) if !items.is_empty() => return items,
            None | Some(Value::Array(_)) => self.refuse(name, Code::C155, missing, help),
            Some(other) => drop(self.wrong::<()>(name, wanted, &other)),
        }
        Vec::new()
    }

    /// One of two words, the first of them where none is given.
    pub(super) fn word<T>(&mut self, name: &str, words: [(&str, T); 2], help: &str) -> T {
        let [(first, usual), (second, other)] = words;
        match self.text(name).as_deref() {
            None => usual,
            Some(word) if word == first => usual,
            Some(word) if word == second => other,
            Some(word) => {
                let message = format!("`{word}` is neither `{first}` nor `{second}`");
                self.refuse(name, Code::C154, message, help);
                usual
            }
        }
    }

    /// Files a mistake of a member.
    pub(crate) fn refuse(
        &mut self,
        name: &str,
        code: Code,
        message: impl Into<String>,
        help: &str,
    ) {
        let moved = self.moved.iter().find(|(have, _)| have == name);
        let pointer = match moved {
            Some((_, at)) => at.clone(),
            None => Place::default().child(name).pointer,
        };
        self.found
            .push(Violation::new(code, message, help).at(pointer));
    }

    /// What the caller calls that which we call so: `named("/prompt", "input")`, so that mistakes are told at the caller's own member.
    pub(crate) fn named(&mut self, ours: &str, name: &str) {
        self.places.put(ours.to_owned(), name);
    }

    fn wrong<T>(&mut self, name: &str, wanted: &str, given: &Value) -> Option<T> {
        let place = Place::default().child(name);
        self.found.push(wrong_type(&place, wanted, given));
        None
    }

    /// Puts what was not taken into the request, by the names of the profile.
    ///
    /// # Errors
    ///
    /// Every mistake of the call so far, at the caller's own members.
    pub(super) fn fill(
        mut self,
        revision: &Revision,
        request: &mut RunRequest,
    ) -> Result<Places, Problem> {
        for (name, value) in std::mem::take(&mut self.members) {
            if !value.is_null() {
                self.member(revision, request, &name, value);
            }
        }
        for (name, file) in std::mem::take(&mut self.files) {
            self.file(revision, request, &name, file);
        }
        match self.found.is_empty() {
            true => Ok(self.places),
            false => Err(Problem::all(StatusCode::BAD_REQUEST, self.found)),
        }
    }

    fn member(&mut self, revision: &Revision, request: &mut RunRequest, name: &str, value: Value) {
        let can = &revision.capabilities;
        let meant = revision.api_names.meant(name);
        if let Some(option) = can.option(meant) {
            let value = match self.is_form {
                true => option.of_form(value),
                false => listed(option, value),
            };
            self.places.put(format!("/params/{}", token(meant)), name);
            request.call.params.insert(meant.to_owned(), value);
        } else if can.inputs.iter().any(|input| input.name == meant) {
            let place = Place::default().child(name);
            let media = media::of(value, &place, &mut self.found);
            self.places.put(format!("/inputs/{}", token(meant)), name);
            let list = request.media.entry(meant.to_owned()).or_default();
            list.extend(media);
        } else if !says_nothing(name, &value) {
            self.unknown(revision, name);
        }
    }

    fn file(
        &mut self,
        revision: &Revision,
        request: &mut RunRequest,
        name: &str,
        file: InputMedium,
    ) {
        let meant = revision.api_names.meant(name);
        let inputs = &revision.capabilities.inputs;
        if inputs.iter().any(|input| input.name == meant) {
            self.places.put(format!("/inputs/{}", token(meant)), name);
            let list = request.media.entry(meant.to_owned()).or_default();
            list.push(file);
        } else if revision.capabilities.option(meant).is_some() {
            let help = "send it as a field without a file name";
            self.refuse(name, Code::C154, format!("`{name}` is no file"), help);
        } else {
            self.unknown(revision, name);
        }
    }

    fn unknown(&mut self, revision: &Revision, name: &str) {
        let names = &revision.api_names;
        let can = &revision.capabilities;
        let options = can.options.iter().filter(|option| option.supported);
        let options = options.map(|option| option.name.as_str());
        let own = options.chain(can.inputs.iter().map(|input| input.name.as_str()));
        let taken = self.known.iter().map(String::as_str);
        let known: Vec<&str> = taken.chain(own.map(|own| names.parameter(own))).collect();
        let near = diag::nearest(name, known.iter().copied());
        let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let help = format!("{start}known here: {}", known.join(", "));
        self.refuse(
            name,
            Code::C153,
            format!("unknown parameter `{name}`"),
            &help,
        );
    }
}

/// One value for an option that is a list is a list of one, as that API writes `stop`.
fn listed(option: &OptionSpec, value: Value) -> Value {
    match (&option.kind, &value) {
        (Kind::Array(..), Value::String(_)) => Value::Array(vec![value]),
        _ => value,
    }
}

/// One part of a JSON Pointer.
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Where our words for a member stand in a request, and the caller's own name of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Places(Vec<(String, String)>);

impl Places {
    fn put(&mut self, ours: String, name: &str) {
        self.0.push((ours, format!("/{}", token(name))));
    }

    /// Says where the caller finds what is wrong; what the caller left out is told by the name it has here.
    pub(super) fn point(&self, error: RunError, names: &ApiNames) -> RunError {
        let RunError::Refused(mut found) = error else {
            return error;
        };
        for finding in &mut found.0 {
            let pointer = &mut finding.place.pointer;
            *pointer = self.pointer(pointer, names);
        }
        RunError::Refused(found)
    }

    fn pointer(&self, ours: &str, names: &ApiNames) -> String {
        for (prefix, own) in &self.0 {
            if let Some(rest) = ours.strip_prefix(prefix.as_str())
                && (rest.is_empty() || rest.starts_with('/'))
            {
                // A medium is named, whatever its number.
                let rest = if prefix.starts_with("/inputs/") {
                    ""
                } else {
                    rest
                };
                return format!("{own}{rest}");
            }
        }
        let left_out = ours
            .strip_prefix("/params/")
            .or(ours.strip_prefix("/inputs/"));
        match left_out {
            Some(name) => format!("/{}", names.parameter(name)),
            None => ours.to_owned(),
        }
    }
}

#[cfg(test)]
impl Call {
    /// Of a body that was read.
    pub(super) fn of(body: Value) -> Self {
        let Value::Object(members) = body else {
            panic!("no object")
        };
        Self {
            members,
            ..Self::default()
        }
    }

    /// Of a form that was read.
    pub(super) fn of_form(fields: Value) -> Self {
        Self {
            is_form: true,
            ..Self::of(fields)
        }
    }
}

#[cfg(test)]
mod tests;
