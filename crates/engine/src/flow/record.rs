//! What of a run must survive a crash, and what it holds only in memory.

use crate::fault::{Fault, Kind};
use crate::request::Received;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use profile::lang::{Answer, View};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::OnceLock;

mod texts;

pub(crate) use texts::{Texts, bare, whole};

/// Bytes of `captured` as text. The column takes 64 KiB of the database's own
/// form, which is a little larger than the text.
const CAPTURED_MAX: usize = 48 * 1024;

/// What survives: `run_states.captured`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    job_id: Option<Value>,
    steps: Steps,
    /// Captures that are never shown, as `step.name`.
    secret: Vec<String>,
    /// The submit's answer, when steps read it.
    pub(crate) answer: Option<Received>,
    /// Whether the steps before the submit are done.
    pub(crate) prepared: bool,
    /// Refusals of the submit so far, and those that use up `retry.max`.
    pub(crate) refused: u32,
    pub(crate) counted: u32,
    /// Whether the submit was refused with its access token once, and sent again with another.
    pub(crate) renewed: bool,
    /// The provider's last word.
    pub(crate) word: Option<String>,
}

impl Record {
    pub(crate) fn steps(&self) -> &Value {
        self.steps.value()
    }

    pub(crate) fn job_id_value(&self) -> Option<&Value> {
        self.job_id.as_ref()
    }

    pub(crate) fn job_id(&self) -> Option<&str> {
        self.job_id.as_ref().and_then(Value::as_str)
    }

    pub(crate) fn set_job_id(&mut self, job_id: &str) {
        self.job_id = Some(Value::String(job_id.to_owned()));
    }

    /// Keeps the captures of a step, in place of those of an earlier try.
    pub(crate) fn keep(&mut self, step: &str, captures: Map<String, Value>, secret: &[String]) {
        let prefix = format!("{step}.");
        self.secret.retain(|name| !name.starts_with(&prefix));
        self.secret
            .extend(secret.iter().map(|name| format!("{prefix}{name}")));
        self.steps.change(|steps| {
            steps.insert(step.to_owned(), Value::Object(captures));
        });
    }

    /// Captures that an output may show.
    pub(crate) fn shown(&self) -> Map<String, Value> {
        let steps = self.steps().as_object().into_iter().flatten();
        let values = steps.flat_map(|(step, captures)| {
            let captures = captures.as_object().into_iter().flatten();
            captures.filter(move |(name, _)| !self.secret.contains(&format!("{step}.{name}")))
        });
        values
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Texts and numbers of the captures that are never shown.
    pub(crate) fn secret_texts(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        for name in &self.secret {
            let value = name
                .split_once('.')
                .and_then(|(step, name)| self.steps().get(step)?.get(name));
            value
                .into_iter()
                .for_each(|value| leaves(value, &mut texts));
        }
        texts
    }

    /// Whether the captures alone are more than the column takes.
    pub(crate) fn is_too_large(&self) -> bool {
        self.text_without_answer().len() > CAPTURED_MAX
    }

    pub(crate) fn clear_captures(&mut self, step: &str) {
        self.keep(step, Map::new(), &[]);
    }

    /// The answer is kept beside the record, for it does not fit into it.
    pub(crate) fn answer_is_large(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| self.to_text_len(answer) > CAPTURED_MAX)
    }

    fn to_text_len(&self, answer: &Received) -> usize {
        let headers: usize = answer
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 8)
            .sum();
        // Base64 of the body, and what stands beside it.
        answer.body.len() / 3 * 4 + headers + self.text_without_answer().len() + 128
    }

    /// All but the captures and the answer.
    fn head(&self) -> Kept<'_> {
        let refusals = (self.refused > 0).then_some((self.refused, self.counted));
        Kept {
            job_id: self.job_id.as_ref(),
            steps: None,
            secret: &self.secret,
            prepared: self.prepared,
            refused: refusals.map(|(refused, _)| refused),
            counted: refusals.map(|(_, counted)| counted),
            renewed: self.renewed,
            word: self.word.as_deref(),
            answer: None,
        }
    }

    fn kept(&self) -> Kept<'_> {
        Kept {
            steps: Some(self.steps()),
            ..self.head()
        }
    }

    /// The answer, where it is small enough to be kept here.
    fn kept_answer(&self) -> Option<Value> {
        let answer = self.answer.as_ref().filter(|_| !self.answer_is_large());
        answer.map(answer_to_json)
    }

    fn text_without_answer(&self) -> String {
        serde_json::to_string(&self.kept()).unwrap_or_default()
    }

    pub(crate) fn to_json(&self) -> Value {
        let kept = Kept {
            answer: self.kept_answer(),
            ..self.kept()
        };
        serde_json::to_value(kept).unwrap_or_default()
    }

    pub(crate) fn read(value: &Value) -> Result<Self, Fault> {
        let Value::Object(object) = value else {
            return Err(unreadable());
        };
        let steps = object.get("steps").cloned().unwrap_or_else(|| json!({}));
        let count = |name| {
            u32::try_from(object.get(name).and_then(Value::as_u64).unwrap_or(0)).unwrap_or(u32::MAX)
        };
        let secret = object
            .get("secret")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        if !steps.is_object() {
            return Err(unreadable());
        }
        Ok(Self {
            job_id: object.get("job_id").cloned(),
            steps: Steps::of_value(steps),
            secret: secret
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            answer: object
                .get("answer")
                .map(|value| answer_of_json(value).ok_or_else(unreadable))
                .transpose()?,
            prepared: object.contains_key("prepared"),
            refused: count("refused"),
            counted: count("counted"),
            renewed: object.contains_key("renewed"),
            word: object
                .get("word")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }
}

/// `steps.<step>.<name>`. Of a run that was folded it is a text until a value of it is asked for: most polls ask for none.
#[derive(Debug, Clone, Default)]
struct Steps {
    /// [`bare`]; as long as nothing was changed. Ours, and so readable.
    text: Option<Box<str>>,
    value: OnceLock<Value>,
}

impl Steps {
    fn of_text(text: &str) -> Self {
        Self {
            text: Some(text.into()),
            value: OnceLock::new(),
        }
    }

    fn of_value(value: Value) -> Self {
        Self {
            text: None,
            value: value.into(),
        }
    }

    fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            let text = self.text.as_deref().map(whole);
            let read = text.map(|text| serde_json::from_str(&text));
            let read = read.and_then(Result::ok);
            read.unwrap_or_else(|| Value::Object(Map::new()))
        })
    }

    /// Changes them; the text is theirs no more.
    fn change(&mut self, change: impl FnOnce(&mut Map<String, Value>)) {
        let _ = self.value();
        self.text = None;
        if let Some(Value::Object(steps)) = self.value.get_mut() {
            change(steps);
        }
    }

    /// [`bare`].
    fn text(&self) -> Cow<'_, str> {
        match &self.text {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(bare(&self.value().to_string()).to_owned()),
        }
    }
}

/// The record as it is written down, borrowed.
#[derive(Serialize)]
struct Kept<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    secret: &'a [String],
    #[serde(skip_serializing_if = "is_false")]
    prepared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    renewed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    word: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
}

fn is_false(it: &bool) -> bool {
    !it
}

fn leaves<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Number(number) => texts.push(number.as_str()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, texts)),
        Value::Object(members) => members.values().for_each(|member| leaves(member, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn unreadable() -> Fault {
    Fault::new(
        Kind::BadRecord,
        "what the run recorded of itself cannot be read",
    )
}

fn answer_to_json(answer: &Received) -> Value {
    json!({"status": answer.status, "headers": answer.headers, "body": STANDARD.encode(&answer.body)})
}

fn answer_of_json(value: &Value) -> Option<Received> {
    let header = |pair: &Value| {
        Some((
            pair.get(0)?.as_str()?.to_owned(),
            pair.get(1)?.as_str()?.to_owned(),
        ))
    };
    Some(Received {
        status: value.get("status")?.as_u64()?.try_into().ok()?,
        headers: value
            .get("headers")?
            .as_array()?
            .iter()
            .map(header)
            .collect::<Option<_>>()?,
        body: STANDARD.decode(value.get("body")?.as_str()?).ok()?.into(),
        trusted: true,
    })
}

/// An answer that later steps and the output may read.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) step: String,
    pub(crate) received: Received,
    pub(crate) answer: Answer,
    /// `select`: what every later path into the answer walks.
    pub(crate) item: Option<Value>,
    /// The answers to the other items of a step with `each`, in their order.
    pub(crate) more: Vec<Received>,
    others: Vec<Answer>,
    /// Whether its addresses are the provider's own words.
    pub(crate) is_download: bool,
}

impl Seen {
    pub(crate) fn new(step: &str, received: Received) -> Self {
        Self {
            step: step.to_owned(),
            answer: received.read(),
            received,
            item: None,
            more: Vec::new(),
            others: Vec::new(),
            is_download: false,
        }
    }

    /// The same answer as that of another step.
    pub(crate) fn of_step(&self, step: &str) -> Self {
        Self {
            step: step.to_owned(),
            ..self.clone()
        }
    }

    /// The answers of a step with `each`, as one. `None`: there is none.
    pub(crate) fn of_each(answers: Vec<Self>) -> Option<Self> {
        let mut answers = answers.into_iter();
        let first = answers.next()?;
        let (more, others) = answers.map(|seen| (seen.received, seen.answer)).unzip();
        Some(Self {
            more,
            others,
            ..first
        })
    }

    /// Everything that came, the answers to all items.
    pub(crate) fn all_received(&self) -> impl Iterator<Item = &Received> {
        std::iter::once(&self.received).chain(&self.more)
    }

    pub(crate) fn view(&self) -> View<'_> {
        let whole = self.answer.view();
        match &self.item {
            Some(item) => whole.with_body(item),
            None => whole.with_others(&self.others),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn full() -> Record {
        let mut record = Record {
            answer: Some(Received {
                status: 201,
                headers: vec![("a".into(), "b".into())],
                body: vec![0, 255].into(),
                trusted: true,
            }),
            prepared: true,
            refused: 3,
            counted: 1,
            renewed: true,
            word: Some("queued".into()),
            ..Record::default()
        };
        record.set_job_id("job-1");
        let captures = json!({"token": "t", "id": 12}).as_object().unwrap().clone();
        record.keep("login", captures, &["token".into()]);
        record
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let record = full();
        let text = record.to_json().to_string();
        let back = Record::read(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(back.to_json(), record.to_json());
        assert_eq!(back.answer, record.answer);
        assert_eq!(
            (back.job_id(), back.counted, back.refused),
            (Some("job-1"), 1, 3)
        );
    }

    #[test]
    fn a_secret_capture_is_never_shown() {
        let shown = full().shown();
        assert_eq!(Value::Object(shown), json!({"id": 12}));
    }

    #[test]
    fn a_large_answer_stays_out_of_the_record() {
        let mut record = full();
        record.answer = Some(Received {
            status: 200,
            headers: Vec::new(),
            body: vec![1; CAPTURED_MAX].into(),
            trusted: true,
        });
        assert!(record.answer_is_large());
        assert!(record.to_json().to_string().len() < CAPTURED_MAX);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in [
            "1",
            r#"{"steps":[]}"#,
            r#"{"answer":{"status":"x"}}"#,
            r#"{"answer":{"status":200,"headers":[1],"body":""}}"#,
        ] {
            assert_eq!(
                Record::read(&serde_json::from_str(text).unwrap())
                    .unwrap_err()
                    .kind,
                Kind::BadRecord,
                "{text}"
            );
        }
    }
}
