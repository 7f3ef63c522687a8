//! The members of one object of the caller's, taken one by one; what is left is unknown.

use crate::problem::Violation;
use diag::{Code, Place};
use serde_json::{Map, Number, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Reads the members of a body: `read` takes them, and what is none of `known` is refused. `None` of it goes with a mistake that was
/// filed.
///
/// # Errors
///
/// Everything that is wrong with the body.
pub(crate) fn read_body<T>(
    body: Value,
    known: &[&str],
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Vec<Violation>> {
    let mut found = Vec::new();
    let read = Fields::open(body, Place::default(), &mut found).and_then(|mut fields| {
        let read = read(&mut fields);
        fields.close(known);
        read
    });
    read.filter(|_| found.is_empty()).ok_or(found)
}

/// The same for a body that may be left out: it has no members then.
///
/// # Errors
///
/// As [`read_body`].
pub(crate) fn read_optional_body<T>(
    body: Option<Value>,
    known: &[&str],
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, Vec<Violation>> {
    let nothing = || Value::Object(Map::new());
    read_body(body.unwrap_or_else(nothing), known, read)
}

/// An object being read. `null` counts as absent.
pub(crate) struct Fields<'f> {
    place: Place,
    members: Map<String, Value>,
    found: &'f mut Vec<Violation>,
}

impl<'f> Fields<'f> {
    /// `None`: it is no object, and that is filed.
    pub(crate) fn open(value: Value, place: Place, found: &'f mut Vec<Violation>) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self {
                place,
                members,
                found,
            }),
            other => {
                found.push(wrong_type(&place, "an object", &other));
                None
            }
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.members
            .shift_remove(name)
            .filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.wrong(name, "a text", &other),
        }
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Option<String> {
        let missing = self.members.get(name).is_none_or(Value::is_null);
        if missing {
            let help = format!("add `{name}`, a text");
            self.refuse(name, Code::C155, format!("`{name}` is missing"), help);
        }
        self.text(name)
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            other => self.wrong(name, "true or false", &other),
        }
    }

    pub(crate) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(members) => Some(members),
            other => self.wrong(name, "an object", &other),
        }
    }

    pub(crate) fn list(&mut self, name: &str) -> Option<(Place, Vec<Value>)> {
        match self.take(name)? {
            Value::Array(items) => Some((self.place.child(name), items)),
            other => self.wrong(name, "a list", &other),
        }
    }

    /// A whole number in the bounds of its type.
    pub(crate) fn integer<T: Bounded>(&mut self, name: &str) -> Option<T> {
        let value = self.take(name)?;
        let number = value
            .as_number()
            .and_then(Number::as_i64)
            .and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            return self.wrong(name, T::WORDS, &value);
        }
        number
    }

    /// A time as RFC 3339 writes it.
    pub(crate) fn time(&mut self, name: &str) -> Option<OffsetDateTime> {
        let text = self.text(name)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).ok();
        if time.is_none() {
            let message = format!("`{name}` is not a time");
            let help = "write it as RFC 3339 does: `2030-01-31T12:00:00Z`";
            self.refuse(name, Code::C154, message, help);
        }
        time
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn found(&mut self) -> &mut Vec<Violation> {
        self.found
    }

    pub(crate) fn refuse(
        &mut self,
        name: &str,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let pointer = self.place.child(name).pointer;
        self.found
            .push(Violation::new(code, message, help).at(pointer));
    }

    /// Takes these members, whatever they are.
    pub(crate) fn forget(&mut self, names: &[&str]) {
        for name in names {
            self.members.shift_remove(*name);
        }
    }

    /// Takes these members where they say nothing: `null`, or an empty list.
    pub(crate) fn forget_empty(&mut self, names: &[&str]) {
        let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        self.members
            .retain(|name, value| !(names.contains(&name.as_str()) && empty(value)));
    }

    /// Files what was not taken.
    pub(crate) fn close(self, known: &[&str]) {
        for name in self.members.keys() {
            let help = match diag::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("`{name}` is not a member here");
            self.found
                .push(Violation::new(Code::C153, message, help).at(self.place.child(name).pointer));
        }
    }

    fn wrong<T>(&mut self, name: &str, wanted: &str, given: &Value) -> Option<T> {
        self.found
            .push(wrong_type(&self.place.child(name), wanted, given));
        None
    }
}

/// A whole number that a member may be.
pub(crate) trait Bounded: TryFrom<i64> {
    const WORDS: &'static str;
}

impl Bounded for i16 {
    const WORDS: &'static str = "a whole number from -32768 to 32767";
}

impl Bounded for u64 {
    const WORDS: &'static str = "a whole number from 0";
}

/// The caller's own value is not repeated: it may be long, or a secret in the wrong place.
pub(crate) fn wrong_type(place: &Place, wanted: &str, given: &Value) -> Violation {
    let given = match given {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let message = format!("{given} stands where {wanted} belongs");
    Violation::new(Code::C154, message, format!("give {wanted}")).at(place.pointer.clone())
}
