//! One option: its type and bounds, and the judgement of a value.

use crate::lang;
use diag::Code;
use serde_json::{Number, Value};

/// One entry of `options`, compiled.
#[derive(Debug)]
pub struct OptionSpec {
    /// Its name.
    pub name: String,
    /// Its type, with what only that type has.
    pub kind: Kind,
    /// A call without it, where no default stands in, is refused.
    pub required: bool,
    /// `supports: false`: declared, and refused.
    pub supported: bool,
    /// What stands in for a value that was not given.
    pub default: Option<Value>,
    /// Rewrites a text before it is judged.
    pub normalize: Option<Normalize>,
    /// `label` and `description`, for people.
    pub words: (Option<String>, Option<String>),
}

/// The type of an option.
#[derive(Debug)]
pub enum Kind {
    /// Whole numbers; `min` and `max` are inclusive, `step` counts from `min`.
    Int(Range),
    /// Numbers.
    Number(Range),
    /// `true` or `false`.
    Bool,
    /// A text: its most characters, and a pattern.
    Text(Option<u64>, Option<regex::Regex>),
    /// One of these values.
    Enum(Vec<Value>),
    /// A list of items of one type, and its most items.
    Array(Option<Box<Kind>>, Option<u64>),
    /// An object, and its schema.
    Object(Option<Box<(Value, jsonschema::Validator)>>),
}

/// Bounds of a number.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Inclusive.
    pub min: Option<Number>,
    /// Inclusive.
    pub max: Option<Number>,
    /// Counted from `min`, or 0.
    pub step: Option<Number>,
}

/// `normalize`
#[derive(Debug, Clone)]
pub enum Normalize {
    /// `lower`, `upper`, `trim`.
    Case(Case),
    /// Texts to replace.
    Map(Vec<(String, Value)>),
}

/// The words of `normalize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the language, section 3")]
pub enum Case {
    Lower,
    Upper,
    Trim,
}

/// Why a value was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    /// The items in which it lies, from the outermost list on; empty: the whole.
    pub(super) items: Vec<usize>,
    /// What is wrong.
    pub(super) message: String,
    /// What to give.
    pub(super) help: String,
}

impl Refusal {
    fn new(code: Code, message: String, help: String) -> Self {
        Self {
            code,
            items: Vec::new(),
            message,
            help,
        }
    }
}

impl OptionSpec {
    /// The value that templates read.
    pub(super) fn accept(&self, given: &Value) -> Result<Value, Refusal> {
        let value = self.normalized(given);
        self.kind.accept(value)
    }

    fn normalized(&self, given: &Value) -> Value {
        let (Some(normalize), Some(text)) = (&self.normalize, given.as_str()) else {
            return given.clone();
        };
        match normalize {
            Normalize::Case(Case::Lower) => Value::from(text.to_lowercase()),
            Normalize::Case(Case::Upper) => Value::from(text.to_uppercase()),
            Normalize::Case(Case::Trim) => Value::from(text.trim()),
            Normalize::Map(map) => {
                let found = map.iter().find(|(from, _)| from == text);
                found.map_or_else(|| given.clone(), |(_, to)| to.clone())
            }
        }
    }
}

impl OptionSpec {
    /// A value of a form, where each is a text, in the type that the option has; what is no such value stays a text, and is refused as one.
    #[must_use]
    pub fn of_form(&self, given: Value) -> Value {
        self.kind.of_form(given)
    }
}

impl Kind {
    fn of_form(&self, given: Value) -> Value {
        match (self, given) {
            (Self::Number(_), Value::String(text)) => match text.parse::<Number>() {
                Ok(number) => Value::Number(number),
                Err(_) => Value::String(text),
            },
            (Self::Bool, Value::String(text)) => match text.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => Value::String(text),
            },
            (Self::Array(kind, _), given) => {
                let items = match given {
                    Value::Array(items) => items,
                    one => vec![one],
                };
                let typed = |item| match kind {
                    Some(kind) => kind.of_form(item),
                    None => item,
                };
                items.into_iter().map(typed).collect()
            }
            (_, given) => given,
        }
    }

    /// The type, in words for a message.
    fn words(&self) -> &'static str {
        match self {
            Self::Int(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Bool => "`true` or `false`",
            Self::Text(..) => "a text",
            Self::Enum(_) => "one of the listed values",
            Self::Array(..) => "a list",
            Self::Object(_) => "an object",
        }
    }

    pub(super) fn accept(&self, value: Value) -> Result<Value, Refusal> {
        match self {
            Self::Int(range) => self.int(range, value),
            Self::Number(range) => match &value {
                Value::Number(number) => range.judge(number).map(|()| value),
                _ => Err(self.wrong(&value)),
            },
            Self::Bool if value.is_boolean() => Ok(value),
            Self::Text(most, pattern) => match value {
                Value::String(text) => text_in(text, *most, pattern.as_ref()),
                other => Err(self.wrong(&other)),
            },
            Self::Enum(values) => one_of(values, value),
            Self::Array(items, most) => match value {
                Value::Array(given) => list(items.as_deref(), *most, given),
                other => Err(self.wrong(&other)),
            },
            Self::Object(schema) if value.is_object() => object(schema.as_deref(), value),
            Self::Bool | Self::Object(_) => Err(self.wrong(&value)),
        }
    }

    /// Text from a form is accepted when it is exactly one integer.
    fn int(&self, range: &Range, value: Value) -> Result<Value, Refusal> {
        let number = match &value {
            Value::Number(number) => whole(number),
            Value::String(text) => exact_int(text),
            _ => None,
        };
        let Some(number) = number else {
            return Err(self.wrong(&value));
        };
        range.judge(&number)?;
        Ok(Value::Number(number))
    }

    fn wrong(&self, given: &Value) -> Refusal {
        let words = self.words();
        let given = crate::check::walk::type_name(given);
        Refusal::new(
            Code::C102,
            format!("{words} is needed, not {given}"),
            format!("give {words}"),
        )
    }
}

/// The integer that a number is: `8`, and `8.0`, which is the same number.
fn whole(number: &Number) -> Option<Number> {
    if number.is_i64() || number.is_u64() {
        return Some(number.clone());
    }
    let text = number.to_string();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(number.clone());
    }
    let (front, back) = text.split_once('.')?;
    if back.bytes().all(|b| b == b'0') {
        return front.parse::<i64>().ok().map(Number::from);
    }
    None
}

/// The integer that a text is, exactly: no blank, no sign `+`, no leading zero.
fn exact_int(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let fine = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
        && text != "-0";
    fine.then(|| text.parse::<i64>().ok().map(Number::from))?
}

impl Range {
    /// Judges a number by value.
    fn judge(&self, number: &Number) -> Result<(), Refusal> {
        let low = self
            .min
            .as_ref()
            .is_some_and(|min| lang::compare(number, min).is_lt());
        let high = self
            .max
            .as_ref()
            .is_some_and(|max| lang::compare(number, max).is_gt());
        if low || high {
            return Err(Refusal::new(
                Code::C103,
                format!("{number} is out of range"),
                self.words(),
            ));
        }
        if !self.on_step(number) {
            return Err(Refusal::new(
                Code::C104,
                format!("{number} is off the step"),
                self.words(),
            ));
        }
        Ok(())
    }

    fn on_step(&self, number: &Number) -> bool {
        let Some(step) = &self.step else { return true };
        let zero = Number::from(0);
        let min = self.min.as_ref().unwrap_or(&zero);
        if let (Some(n), Some(min), Some(step)) = (number.as_i64(), min.as_i64(), step.as_i64()) {
            return step == 0 || n.checked_sub(min).is_some_and(|far| far % step == 0);
        }
        let (Some(n), Some(min), Some(step)) = (number.as_f64(), min.as_f64(), step.as_f64())
        else {
            return false;
        };
        let steps = (n - min) / step;
        (steps - steps.round()).abs() < 1e-9 * steps.abs().max(1.0)
    }

    /// What is taken, in words: `4 to 12 in steps of 4 (4, 8, 12)`.
    pub(super) fn words(&self) -> String {
        let mut words = match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!("give {min} to {max}"),
            (Some(min), None) => format!("give at least {min}"),
            (None, Some(max)) => format!("give at most {max}"),
            (None, None) => "give a number".to_owned(),
        };
        if let Some(step) = &self.step {
            words.push_str(&format!(" in steps of {step}"));
        }
        let listed = self.listed();
        if !listed.is_empty() {
            words.push_str(&format!(": {}", listed.join(", ")));
        }
        words
    }

    /// The values, where they are few.
    fn listed(&self) -> Vec<String> {
        let whole = |number: &Option<Number>| number.as_ref().and_then(Number::as_i64);
        let (Some(min), Some(max), Some(step)) =
            (whole(&self.min), whole(&self.max), whole(&self.step))
        else {
            return Vec::new();
        };
        let Ok(step) = usize::try_from(step) else {
            return Vec::new();
        };
        let all = (min..=max)
            .step_by(step.max(1))
            .take(17)
            .map(|n| n.to_string());
        let all: Vec<String> = all.collect();
        if all.len() > 16 { Vec::new() } else { all }
    }
}

fn text_in(
    text: String,
    most: Option<u64>,
    pattern: Option<&regex::Regex>,
) -> Result<Value, Refusal> {
    let length = text.chars().count() as u64;
    if let Some(most) = most.filter(|most| length > *most) {
        return Err(Refusal::new(
            Code::C108,
            format!("the text has {length} characters"),
            format!("at most {most}"),
        ));
    }
    if let Some(pattern) = pattern.filter(|pattern| !pattern.is_match(&text)) {
        return Err(Refusal::new(
            Code::C109,
            "the text does not have the form that the model requires".to_owned(),
            format!("it must match `{pattern}`"),
        ));
    }
    Ok(Value::String(text))
}

/// Values of an enum keep the type they were declared with: `"8"` finds `8`.
fn one_of(values: &[Value], given: Value) -> Result<Value, Refusal> {
    if let Some(found) = values.iter().find(|value| lang::same(value, &given)) {
        return Ok(found.clone());
    }
    let number = given.as_str().and_then(exact_int).map(Value::Number);
    let found = number.and_then(|number| values.iter().find(|value| lang::same(value, &number)));
    if let Some(found) = found {
        return Ok(found.clone());
    }
    let known: Vec<String> = values.iter().map(plain).collect();
    let near = given
        .as_str()
        .and_then(|text| crate::check::walk::nearest(text, known.iter().map(String::as_str)));
    let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let shown = match &given {
        Value::Array(_) | Value::Object(_) => crate::check::walk::type_name(&given).to_owned(),
        scalar => format!("`{}`", plain(scalar)),
    };
    Err(Refusal::new(
        Code::C105,
        format!("{shown} is not one of the values"),
        format!("{start}one of: {}", known.join(", ")),
    ))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn list(items: Option<&Kind>, most: Option<u64>, given: Vec<Value>) -> Result<Value, Refusal> {
    let count = given.len() as u64;
    if let Some(most) = most.filter(|most| count > *most) {
        return Err(Refusal::new(
            Code::C108,
            format!("the list has {count} items"),
            format!("at most {most}"),
        ));
    }
    let Some(kind) = items else {
        return Ok(Value::Array(given));
    };
    let mut all = Vec::with_capacity(given.len());
    for (i, item) in given.into_iter().enumerate() {
        match kind.accept(item) {
            Ok(item) => all.push(item),
            Err(mut refusal) => {
                refusal.items.insert(0, i);
                return Err(refusal);
            }
        }
    }
    Ok(Value::Array(all))
}

/// What is said of an object that does not fit, in characters: its values are the caller's.
const MISFIT_MAX: usize = 300;

fn object(schema: Option<&(Value, jsonschema::Validator)>, value: Value) -> Result<Value, Refusal> {
    let Some((_, validator)) = schema else {
        return Ok(value);
    };
    let misfit = validator.iter_errors(&value).next().map(|error| {
        let why: String = error.to_string().chars().take(MISFIT_MAX).collect();
        match error.instance_path().as_str() {
            "" => format!("the object does not fit: {why}"),
            place => format!("the object does not fit at `{place}`: {why}"),
        }
    });
    match misfit {
        None => Ok(value),
        Some(message) => Err(Refusal::new(
            Code::C102,
            message,
            "give an object as the model's schema says".to_owned(),
        )),
    }
}
