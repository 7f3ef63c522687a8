//! Whether what a profile puts together can satisfy the model's response
//! schema. Only what is certain is said: a run is paid before it is validated.

use super::walk::Sink;
use crate::revision::{Purpose, ResponseSchema};
use diag::{Code, Diagnostic, Place};
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value, json};

/// What an output is made of when the profile does not write it.
pub(crate) struct Parts<'a> {
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// Whether anything gives a text.
    pub(crate) has_text: bool,
    /// The captures that are shown.
    pub(crate) captures: Vec<&'a str>,
}

/// Refuses an output that no run can make fit; says so when the schema is not
/// strict, for then the run succeeds with a warning.
pub(crate) fn check(
    source: Option<&Value>,
    parts: &Parts<'_>,
    schema: Option<&ResponseSchema>,
    profile: &Place,
    sink: &Sink,
) {
    let Some(schema) = schema else {
        return;
    };
    let mapping = profile.child("response_mapping");
    let mut sample = Sample::default();
    let (value, at) = match source {
        Some(source) => (sample.of(source, ""), mapping.child("output")),
        None => (sample.usual(parts), mapping),
    };
    for error in schema.validator.iter_errors(&value) {
        let place = error.instance_path().to_string();
        // Whether an `if` holds is not known: its values are not.
        let branch = error.schema_path().to_string();
        if sample.is_open(&place) || branch.contains("/then/") || branch.contains("/else/") {
            continue;
        }
        let Some(wrong) = provable(error.kind(), &sample, &place) else {
            continue;
        };
        let spot = place
            .split('/')
            .skip(1)
            .fold(at.clone(), |at, token| at.child(token));
        let spot = if source.is_some() { spot } else { at.clone() };
        let message = format!(
            "the output can never satisfy the schema `{}`: {wrong}",
            schema.name
        );
        let help = if source.is_some() {
            "change `output`, or the response schema"
        } else {
            "write `output`, give what is missing (`extract`, `mode`), or change the response schema"
        };
        sink.push(if schema.strict {
            Diagnostic::error(Code::P503, spot, message, help)
        } else {
            Diagnostic::warning(Code::P503, spot, message, help)
        });
    }
}

/// What is wrong whatever the run's values are.
fn provable(kind: &ValidationErrorKind, sample: &Sample, place: &str) -> Option<String> {
    match kind {
        ValidationErrorKind::Required { property } => Some(format!(
            "`{}` is required and never made",
            property.as_str().unwrap_or_default()
        )),
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let sure = unexpected
                .iter()
                .find(|name| !sample.may_be_absent(&format!("{place}/{name}")))?;
            Some(format!("`{sure}` is not allowed"))
        }
        ValidationErrorKind::Type { .. } => {
            Some(format!("the value at `{place}` has another type"))
        }
        ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. }
            if sample.is_literal(place) =>
        {
            Some(format!("the value at `{place}` is not allowed"))
        }
        _ => None,
    }
}

/// A value in the shape of the output, and what is not known of it.
#[derive(Debug, Default)]
struct Sample {
    /// Pointers of values of which nothing is known.
    open: Vec<String>,
    /// Pointers of members that may be absent.
    maybe: Vec<String>,
    /// Pointers of texts that stand as they are written.
    literal: Vec<String>,
}

impl Sample {
    fn is_open(&self, place: &str) -> bool {
        let inside = |open: &String| {
            place
                .strip_prefix(open.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.open.iter().any(inside)
    }

    fn may_be_absent(&self, place: &str) -> bool {
        self.maybe.iter().any(|maybe| maybe == place) || self.is_open(place)
    }

    fn is_literal(&self, place: &str) -> bool {
        self.literal.iter().any(|literal| literal == place)
    }

    fn of(&mut self, source: &Value, at: &str) -> Value {
        match source {
            Value::Object(members) if members.keys().any(|name| name.starts_with('$')) => {
                self.open.push(at.to_owned());
                Value::Null
            }
            Value::Object(members) => {
                let made = members.iter().map(|(name, value)| {
                    let token = name.replace('~', "~0").replace('/', "~1");
                    (name.clone(), self.of(value, &format!("{at}/{token}")))
                });
                Value::Object(made.collect::<Map<_, _>>())
            }
            Value::Array(items) => {
                // A directive among the items may be spliced: indexes are not known.
                if items.iter().any(Value::is_object) && items.iter().any(is_directive) {
                    self.open.push(at.to_owned());
                    return Value::Array(Vec::new());
                }
                let made = items.iter().enumerate();
                made.map(|(i, item)| self.of(item, &format!("{at}/{i}")))
                    .collect()
            }
            Value::String(text) => self.text(text, at),
            other => {
                self.literal.push(at.to_owned());
                other.clone()
            }
        }
    }

    fn text(&mut self, text: &str, at: &str) -> Value {
        let spelled = text.replace("<<", "{{");
        if !spelled.contains("{{") {
            self.literal.push(at.to_owned());
        } else if spelled
            .trim_start_matches("{{")
            .trim_start()
            .starts_with("json ")
        {
            self.open.push(at.to_owned());
            return Value::Null;
        } else {
            self.maybe.push(at.to_owned());
        }
        Value::from(text)
    }

    /// The output that is made when a profile has none (section 5).
    fn usual(&mut self, parts: &Parts<'_>) -> Value {
        let (name, value) = match parts.purpose {
            Purpose::Video => ("video", file()),
            Purpose::ThreeD => ("model", file()),
            Purpose::Audio | Purpose::Music => ("audio", json!({ "mime": "", "data_url": "" })),
            Purpose::Image => ("images", json!([{ "url": "", "mime_type": "" }])),
            // The text, parsed.
            Purpose::Chat | Purpose::Code | Purpose::Multimodal if parts.has_text => {
                self.open.push(String::new());
                return Value::Null;
            }
            Purpose::Chat | Purpose::Code | Purpose::Multimodal => return Value::Null,
            Purpose::Transcription | Purpose::Embedding | Purpose::Document => {
                return self.named(parts);
            }
        };
        self.literal.push("/blocks/0/type".to_owned());
        let maybe = ["mime", "download_url", "data_url"];
        self.maybe
            .extend(maybe.map(|member| format!("/{name}/{member}")));
        json!({
            "title": "", "summary": "", "blocks": [{ "type": "markdown", "markdown": "" }], name: value,
        })
    }

    /// The text and every capture, each of which may be absent.
    fn named(&mut self, parts: &Parts<'_>) -> Value {
        let mut members = Map::new();
        if parts.has_text {
            members.insert("text".to_owned(), Value::from(""));
            self.maybe.push("/text".to_owned());
        }
        for name in &parts.captures {
            members.insert((*name).to_owned(), Value::Null);
            self.open.push(format!("/{name}"));
        }
        Value::Object(members)
    }
}

fn file() -> Value {
    json!({ "id": "", "status": "succeeded", "mime": "", "download_url": "" })
}

fn is_directive(value: &Value) -> bool {
    let members = value.as_object();
    members.is_some_and(|members| members.keys().any(|name| name.starts_with('$')))
}
