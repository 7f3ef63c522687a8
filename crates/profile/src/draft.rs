//! The beginning of a bundle: from a few answers, or from an OpenAPI document.
//!
//! A draft is for a person to finish. What could not be inferred is listed with the place where it belongs.

mod answers;
mod openapi;
mod options;
mod refs;

pub use openapi::from_openapi;

use crate::revision::Purpose;
use crate::rows::LANGUAGE;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What the author says.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `provider.slug`; absent: made from the host.
    pub slug: Option<String>,
    /// Where the API is; absent: the document's first server.
    pub base_url: Option<String>,
    /// What it makes; absent: guessed.
    pub purpose: Option<Purpose>,
    /// The model's id in the API.
    pub model: Option<String>,
    /// The operation that submits: its `operationId`, its path, or `POST /path`.
    pub operation: Option<String>,
}

/// A bundle that was begun.
#[derive(Debug, Clone)]
pub struct Draft {
    /// As `bundle.json` has it.
    pub bundle: Value,
    /// What is left to do, in the order of the bundle.
    pub todo: Vec<Todo>,
}

/// Something that could not be inferred, or was only guessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Todo {
    /// JSON Pointer into the bundle.
    pub at: String,
    /// What to look up, and what to write.
    pub what: String,
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// It is no OpenAPI document of version 3.
    #[error("this is no OpenAPI document of version 3.0 or 3.1: {0}")]
    NotOpenApi(String),
    /// No operation, or several that may submit.
    #[error("{why}; operations are: {known}")]
    Operation {
        /// What was asked, and why it is not enough.
        why: String,
        /// `METHOD /path` of those that have a request body, the first 40.
        known: String,
    },
}

/// Where the only profile of a draft stands.
const PROFILE: &str = "/profiles/0";

fn todo(at: impl Into<String>, what: impl Into<String>) -> Todo {
    Todo {
        at: at.into(),
        what: what.into(),
    }
}

/// A short name for a provider: the name of its host without `api`, `www` and the top-level domain.
#[must_use]
pub fn slug_of(base_url: &str) -> Option<String> {
    let url = url::Url::parse(base_url).ok()?;
    let host = url.host_str()?;
    let mut labels: Vec<&str> = host
        .split('.')
        .filter(|label| !matches!(*label, "api" | "www"))
        .collect();
    if labels.len() > 1 {
        labels.pop();
    }
    let name = labels.last()?.to_ascii_lowercase();
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    begins.then_some(name)
}

/// The environment variable that a draft names for the secret.
fn secret_name(slug: &str) -> String {
    format!("{}_API_KEY", slug.to_ascii_uppercase().replace('-', "_"))
}

/// A bundle from answers alone: shape and places are there, paths and names are to be filled in.
#[must_use]
pub fn from_answers(asked: &Asked) -> Draft {
    let purpose = asked.purpose.unwrap_or(Purpose::Video);
    let base_url = asked
        .base_url
        .clone()
        .unwrap_or_else(|| "https://api.example.com".to_owned());
    let mut todos = vec![
        todo(
            format!("{PROFILE}/transport/path"),
            "the path of the request, after the base URL",
        ),
        todo(
            format!("{PROFILE}/transport/body"),
            "the members that the API takes; an option of the model is `{{params_<name>}}` as text, `{{json params_<name>}}` with its type",
        ),
        todo(
            "/models/0/capabilities/options",
            "the options of the model with their limits",
        ),
    ];
    let mut parts = Parts::new(asked, base_url, purpose);
    parts
        .headers
        .insert("Authorization".to_owned(), "Bearer {{apiKey}}".into());
    parts.secret = true;
    parts.body = json!({ "model": "{{model}}", "prompt": "{{userPrompt}}" });
    if parts.model.is_none() {
        todos.push(todo("/models/0/model_id", "the model's id in the API"));
    }
    if is_job(purpose) {
        parts.extract = json!({ "job_id_path": "id" });
        parts.workflow = json!({ "type": "async_job", "steps": [
            { "name": "poll", "path": "/CHANGE-ME/{{job_id}}", "status_path": "status",
              "states": { "queued": ["queued"], "running": ["running"], "succeeded": ["succeeded"], "failed": ["failed"] } },
            { "name": "download", "url_path": "url" },
        ] });
        todos.push(todo(
            format!("{PROFILE}/response_mapping/extract/job_id_path"),
            "where the job's id is in the answer",
        ));
        todos.push(todo(
            format!("{PROFILE}/workflow/steps/0"),
            "how the job is asked for, and its status words",
        ));
        todos.push(todo(
            format!("{PROFILE}/workflow/steps/1/url_path"),
            "where the file's address is in the last answer",
        ));
    } else {
        let (extract, what) = sync_extract(purpose);
        parts.extract = extract;
        todos.push(todo(format!("{PROFILE}/response_mapping/extract"), what));
        todos.push(todo(
            format!("{PROFILE}/workflow"),
            "nothing, where the answer is the result; where it is the id of a job: `\"type\": \"async_job\"`, with a `poll` and a `download` in `steps`, and `job_id_path` in `extract`",
        ));
    }
    Draft {
        bundle: parts.bundle(),
        todo: todos,
    }
}

fn is_job(purpose: Purpose) -> bool {
    matches!(purpose.as_str(), "video" | "3d" | "music")
}

fn sync_extract(purpose: Purpose) -> (Value, &'static str) {
    match purpose.as_str() {
        "image" => (
            json!({ "urls_path": "data[].url" }),
            "where the images' addresses are; `base64_path` when they are in the answer",
        ),
        "audio" => (
            json!({ "base64_path": "audio" }),
            "where the sound is in the answer; `\"mode\": \"binary\"` beside `extract` when it is the body",
        ),
        _ => (
            json!({ "text_path": "choices[0].message.content" }),
            "where the text is in the answer",
        ),
    }
}

/// Stands where a draft does not know the path.
pub(crate) const UNKNOWN_PATH: &str = "/CHANGE-ME";

/// What a draft is made of.
struct Parts {
    slug: String,
    name: String,
    base_url: String,
    purpose: Purpose,
    model: Option<String>,
    models: Vec<String>,
    /// It needs one.
    secret: bool,
    method: String,
    kind: &'static str,
    path: String,
    query: Map<String, Value>,
    headers: Map<String, Value>,
    body: Value,
    capabilities: Value,
    mode: Option<&'static str>,
    content_type: Option<String>,
    extract: Value,
    workflow: Value,
}

impl Parts {
    fn new(asked: &Asked, base_url: String, purpose: Purpose) -> Self {
        let slug = asked.slug.clone().or_else(|| slug_of(&base_url));
        let slug = slug.unwrap_or_else(|| "provider".to_owned());
        Self {
            name: slug.clone(),
            slug,
            base_url: base_url.trim_end_matches('/').to_owned(),
            purpose,
            model: asked.model.clone(),
            models: Vec::new(),
            secret: false,
            method: "POST".to_owned(),
            kind: "http_json",
            path: UNKNOWN_PATH.to_owned(),
            query: Map::new(),
            headers: Map::new(),
            body: Value::Null,
            capabilities: json!({}),
            mode: None,
            content_type: None,
            extract: json!({}),
            workflow: json!({}),
        }
    }

    fn bundle(self) -> Value {
        let Self { slug, purpose, .. } = &self;
        let (slug, purpose) = (slug.clone(), purpose.as_str());
        let auth = format!("{slug}_key");
        let mut bundle = json!({
            "language": LANGUAGE,
            "provider": { "slug": slug, "provider_family": slug, "name": self.name, "api_base_url": self.base_url },
        });
        if self.secret {
            let secret = format!("env:{}", secret_name(&slug));
            set(
                &mut bundle,
                "auth_profiles",
                json!([{ "profile_key": auth, "auth_type": "api_key", "secret": secret }]),
            );
        }
        set(&mut bundle, "models", self.models_json());
        let mut profile = json!({ "profile_key": format!("{}_{purpose}", slug.replace('-', "_")), "purpose": purpose });
        if self.secret {
            set(&mut profile, "auth_profile", auth.into());
        }
        set(&mut profile, "transport", self.transport());
        let mut mapping = json!({});
        for (name, value) in [
            ("mode", self.mode.map(Value::from)),
            ("content_type", self.content_type.clone().map(Value::from)),
        ] {
            if let Some(value) = value {
                set(&mut mapping, name, value);
            }
        }
        set_some(&mut mapping, "extract", self.extract);
        set_some(&mut profile, "response_mapping", mapping);
        set_some(&mut profile, "workflow", self.workflow);
        set(&mut bundle, "profiles", json!([profile]));
        bundle
    }

    fn models_json(&self) -> Value {
        let mut ids = self.models.clone();
        if let Some(model) = self.model.as_ref().filter(|model| !ids.contains(model)) {
            ids.insert(0, model.clone());
        }
        if ids.is_empty() {
            ids.push("CHANGE-ME".to_owned());
        }
        let model = |(i, id): (usize, &String)| json!({ "model_id": id, "model_type": self.purpose.as_str(), "is_default": i == 0, "capabilities": self.capabilities });
        ids.iter().enumerate().map(model).collect()
    }

    fn transport(&self) -> Value {
        let mut transport = json!({ "kind": self.kind, "method": self.method, "path": self.path });
        set_some(&mut transport, "query", Value::Object(self.query.clone()));
        set_some(
            &mut transport,
            "headers",
            Value::Object(self.headers.clone()),
        );
        set_some(&mut transport, "body", self.body.clone());
        transport
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// Unless it is empty.
fn set_some(object: &mut Value, name: &str, value: Value) {
    let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
    if !is_empty {
        set(object, name, value);
    }
}

#[cfg(test)]
mod tests;
