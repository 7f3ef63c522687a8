//! Whether what a profile puts together can satisfy the model's response
//! schema. Only what is certain is said: a run is paid before it is validated.

use super::compile::Answer;
use super::walk::Sink;
use crate::revision::{Purpose, ResponseSchema};
use diag::{Code, Place};
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value, json};

/// Refuses an output that no run can make fit.
pub(crate) fn check(
    answer: &Answer,
    schema: Option<&ResponseSchema>,
    purpose: Purpose,
    profile: &Place,
    sink: &Sink,
) {
    let Some(schema) = schema.filter(|schema| schema.strict) else {
        return;
    };
    let mapping = profile.child("response_mapping");
    let mut sample = Sample::default();
    let (value, at) = match &answer.source {
        Some(source) => (sample.of(source, ""), mapping.child("output")),
        None => match sample.usual(purpose) {
            Some(value) => (value, mapping),
            None => return,
        },
    };
    for error in schema.validator.iter_errors(&value) {
        let place = error.instance_path().to_string();
        if sample.is_open(&place) {
            continue;
        }
        let Some(wrong) = provable(error.kind(), &sample, &place) else {
            continue;
        };
        let spot = place
            .split('/')
            .skip(1)
            .fold(at.clone(), |at, token| at.child(token));
        let spot = if answer.source.is_some() {
            spot
        } else {
            at.clone()
        };
        sink.error(
            Code::P503,
            &spot,
            format!(
                "the output can never satisfy the schema `{}`: {wrong}",
                schema.name
            ),
            "change `output`, or the response schema",
        );
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
    fn usual(&mut self, purpose: Purpose) -> Option<Value> {
        let about = json!({
            "title": "", "summary": "", "blocks": [{ "type": "markdown", "markdown": "" }],
        });
        let (name, value) = match purpose {
            Purpose::Video => ("video", file()),
            Purpose::ThreeD => ("model", file()),
            Purpose::Audio | Purpose::Music => ("audio", json!({ "mime": "", "data_url": "" })),
            Purpose::Image => ("images", json!([{ "url": "", "mime_type": "" }])),
            _ => return None,
        };
        self.literal.push("/blocks/0/type".to_owned());
        let maybe = ["mime", "download_url", "data_url"];
        self.maybe
            .extend(maybe.map(|member| format!("/{name}/{member}")));
        let mut about = about;
        about.as_object_mut()?.insert(name.to_owned(), value);
        Some(about)
    }
}

fn file() -> Value {
    json!({ "id": "", "status": "succeeded", "mime": "", "download_url": "" })
}

fn is_directive(value: &Value) -> bool {
    let members = value.as_object();
    members.is_some_and(|members| members.keys().any(|name| name.starts_with('$')))
}
