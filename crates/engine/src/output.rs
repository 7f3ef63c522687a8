//! The output of a run: by the profile's template or its purpose's default, and
//! then judged by the response schema.

use crate::answer::{text_of, unread};
use crate::fault::{Fault, Kind};
use crate::flow::ArtifactFacts;
use profile::call::Call;
use profile::lang::{Path, Root, Scope, Seg, View};
use profile::revision::{Mode, Purpose, ResponseSchema, Revision};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Characters of the prompt that make a title.
const TITLE_CHARS: usize = 80;
/// Mismatches with the schema that are told.
const MISMATCHES_MAX: usize = 20;

/// Everything that an output is made from.
pub(crate) struct Made<'a> {
    pub(crate) revision: &'a Revision,
    pub(crate) call: &'a Call,
    pub(crate) run_id: Uuid,
    pub(crate) job_id: Option<&'a str>,
    pub(crate) word: Option<&'a str>,
    /// The last answer.
    pub(crate) last: Option<View<'a>>,
    pub(crate) last_text: Option<&'a str>,
    /// Captures that may be shown.
    pub(crate) captures: Map<String, Value>,
    pub(crate) artifacts: &'a [ArtifactFacts],
    pub(crate) scope: &'a Scope<'a>,
}

/// An output, and what its schema says when it is not strict.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) output: Value,
    pub(crate) warnings: Vec<String>,
}

/// Makes the output and judges it.
///
/// # Errors
///
/// `OutputInvalid` when a strict schema refuses it; a value that its template
/// could not write.
pub(crate) fn assemble(made: &Made<'_>) -> Result<Output, Fault> {
    let text = made.text();
    let text_json = text
        .as_deref()
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .filter(|value| !value.is_null());
    let output = match &made.revision.response.output {
        Some(tree) => {
            let mut scope = made.scope.clone();
            made.bind(&mut scope, text.as_deref(), text_json.as_ref());
            tree.eval_value(&scope)
                .map_err(|error| unread(&error))?
                .unwrap_or(Value::Null)
        }
        None => made.default_output(text, text_json),
    };
    let warnings = match &made.revision.response.schema {
        Some(schema) => judge(schema, &output)?,
        None => Vec::new(),
    };
    Ok(Output { output, warnings })
}

/// Judges an output: the mismatches when the schema is not strict.
///
/// # Errors
///
/// `OutputInvalid`, with each mismatch, when it is.
pub fn judge(schema: &ResponseSchema, output: &Value) -> Result<Vec<String>, Fault> {
    if schema.validator.is_valid(output) {
        return Ok(Vec::new());
    }
    let errors = schema.validator.iter_errors(output).take(MISMATCHES_MAX);
    let lines: Vec<String> = errors
        .map(|error| {
            crate::fault::bounded(&format!("{} {error}", at(error.instance_path().as_str())))
        })
        .collect();
    if !schema.strict {
        return Ok(lines);
    }
    let message = format!(
        "the output does not satisfy the schema `{}`: {}",
        schema.name,
        lines.first().map_or("", String::as_str)
    );
    Err(Fault::new(Kind::OutputInvalid, message).with_details(lines))
}

fn at(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

/// Whether the output reads the artifact as a `data:` URL.
pub(crate) fn wants_data_url(revision: &Revision, artifact: &str) -> bool {
    let Some(tree) = &revision.response.output else {
        return matches!(revision.purpose, Purpose::Audio | Purpose::Music);
    };
    let mut wanted = false;
    tree.reads(&mut |read| {
        let key = |name: &str| {
            read.name
                .path
                .iter()
                .any(|seg| matches!(seg, Seg::Key(have) if **have == *name))
        };
        // A list read as a whole may be asked for any member.
        let whole = !["url", "content_type", "bytes", "sha256", "filename"]
            .into_iter()
            .any(key);
        wanted |= read.name.root == Root::Artifacts && key(artifact) && (key("data_url") || whole);
    });
    wanted
}

impl Made<'_> {
    /// What `text_path`, the mode `text` or the stream gave.
    fn text(&self) -> Option<String> {
        let response = &self.revision.response;
        match &response.text {
            Some(path) => text_of(path, self.last?),
            None if response.mode == Mode::Text || response.mode.is_stream() => {
                self.last_text.map(str::to_owned)
            }
            None => None,
        }
    }

    /// Sums by name, of the last answer.
    fn usage(&self) -> Option<Value> {
        let last = self.last?;
        let sum = |paths: &Vec<Path>| {
            let found = paths.iter().filter_map(|path| path.first(last));
            let numbers: Vec<Value> = found
                .map(std::borrow::Cow::into_owned)
                .filter(|value| value.as_f64().is_some_and(|number| number >= 0.0))
                .collect();
            (!numbers.is_empty()).then(|| total(&numbers))
        };
        let usage = &self.revision.response.usage;
        let usage: Map<String, Value> = usage
            .iter()
            .filter_map(|(name, paths)| Some((name.clone(), sum(paths)?)))
            .collect();
        (!usage.is_empty()).then_some(Value::Object(usage))
    }

    fn bind(&self, scope: &mut Scope<'_>, text: Option<&str>, text_json: Option<&Value>) {
        scope.set(Root::Status, json!("succeeded"));
        scope.set(
            Root::ProviderStatus,
            self.word.map_or(Value::Null, |word| json!(word)),
        );
        scope.set(Root::Text, text.map_or(Value::Null, |text| json!(text)));
        scope.set(Root::TextJson, text_json.cloned().unwrap_or_default());
        scope.set(Root::Usage, self.usage().unwrap_or_default());
        scope.set(Root::Artifacts, self.artifacts_value());
    }

    fn artifacts_value(&self) -> Value {
        let mut all = Map::new();
        for artifact in self.artifacts {
            let list = all
                .entry(artifact.name.clone())
                .or_insert_with(|| json!([]));
            if let Value::Array(items) = list {
                items.push(artifact_value(artifact));
            }
        }
        Value::Object(all)
    }

    fn default_output(&self, text: Option<String>, text_json: Option<Value>) -> Value {
        let is_media = matches!(
            self.revision.purpose,
            Purpose::Video | Purpose::ThreeD | Purpose::Audio | Purpose::Music | Purpose::Image
        );
        let is_structured = matches!(
            self.revision.purpose,
            Purpose::Chat | Purpose::Code | Purpose::Multimodal
        );
        if is_media {
            return self.media_output();
        }
        if is_structured && self.revision.response.schema.is_some() {
            return text_json.unwrap_or_default();
        }
        let mut object = Map::new();
        object.extend(text.map(|text| ("text".to_owned(), Value::String(text))));
        object.extend(self.captures.clone());
        Value::Object(object)
    }

    fn media_output(&self) -> Value {
        let model = self.revision.model.as_deref().unwrap_or_default();
        let said = self.call.prompt.as_deref().unwrap_or(model);
        let title: String = said.chars().take(TITLE_CHARS).collect();
        let mut object = Map::new();
        object.insert("title".into(), Value::String(title));
        object.insert(
            "summary".into(),
            Value::String(format!("{model}: succeeded")),
        );
        object.insert(
            "blocks".into(),
            json!([{"type": "markdown", "markdown": said}]),
        );
        let (name, value) = match self.revision.purpose {
            Purpose::Image => ("images", self.images()),
            Purpose::Audio | Purpose::Music => ("audio", self.audio()),
            Purpose::ThreeD => ("model", self.job_file("model")),
            _ => ("video", self.job_file("video")),
        };
        object.insert(name.into(), value);
        Value::Object(object)
    }

    /// The artifact of the purpose's own name, else the first.
    fn main_artifact(&self, name: &str) -> Option<&ArtifactFacts> {
        self.artifacts
            .iter()
            .find(|artifact| artifact.name == name)
            .or(self.artifacts.first())
    }

    fn job_file(&self, name: &str) -> Value {
        let mut object = Map::new();
        let id = self
            .job_id
            .map_or_else(|| self.run_id.to_string(), str::to_owned);
        object.insert("id".into(), Value::String(id));
        object.insert("status".into(), json!("succeeded"));
        if let Some(artifact) = self.main_artifact(name) {
            object.insert("mime".into(), json!(artifact.content_type));
            object.insert("download_url".into(), json!(artifact.url));
        }
        Value::Object(object)
    }

    fn audio(&self) -> Value {
        let mut object = Map::new();
        if let Some(artifact) = self.main_artifact("audio") {
            object.insert("mime".into(), json!(artifact.content_type));
            object.extend(
                artifact
                    .data_url
                    .as_ref()
                    .map(|url| ("data_url".to_owned(), json!(url))),
            );
        }
        Value::Object(object)
    }

    fn images(&self) -> Value {
        let image = |artifact: &ArtifactFacts| json!({"url": artifact.url, "mime_type": artifact.content_type});
        self.artifacts.iter().map(image).collect()
    }
}

/// The sum, a whole number where all are.
fn total(numbers: &[Value]) -> Value {
    let whole: Option<Vec<u64>> = numbers.iter().map(Value::as_u64).collect();
    match whole {
        Some(whole) => Value::from(whole.into_iter().fold(0, u64::saturating_add)),
        None => Value::from(numbers.iter().filter_map(Value::as_f64).sum::<f64>()),
    }
}

fn artifact_value(artifact: &ArtifactFacts) -> Value {
    let mut object = Map::new();
    object.insert("url".into(), json!(artifact.url));
    object.insert("content_type".into(), json!(artifact.content_type));
    object.insert("bytes".into(), json!(artifact.bytes));
    object.insert("sha256".into(), json!(artifact.sha256));
    object.extend(
        artifact
            .data_url
            .as_ref()
            .map(|url| ("data_url".to_owned(), json!(url))),
    );
    object.extend(
        artifact
            .filename
            .as_ref()
            .map(|name| ("filename".to_owned(), json!(name))),
    );
    Value::Object(object)
}
