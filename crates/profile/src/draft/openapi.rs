//! A draft from an OpenAPI document, version 3.0 or 3.1.

use super::refs::Document;
use super::{Asked, Draft, DraftError, PROFILE, Parts, Todo, todo};
use crate::revision::Purpose;
use serde_json::Value;

mod answer;
mod request;

use answer::answer;
use request::{authenticate, body, capabilities, parameters, path};

/// Operations that are named in an error.
const KNOWN_MAX: usize = 40;
const METHODS: &[&str] = &["post", "put", "get", "patch", "delete"];
/// Words in a path, an id or a tag, and what is made there.
const PURPOSES: &[(&str, &str)] = &[
    ("transcri", "transcription"),
    ("embedding", "embedding"),
    ("music", "music"),
    ("song", "music"),
    ("speech", "audio"),
    ("tts", "audio"),
    ("audio", "audio"),
    ("voice", "audio"),
    ("video", "video"),
    ("image", "image"),
    ("chat", "chat"),
    ("completion", "chat"),
    ("messages", "chat"),
    ("mesh", "3d"),
    ("3d", "3d"),
];

/// One operation of a document.
struct Operation<'d> {
    method: &'static str,
    path: &'d str,
    item: &'d Value,
    operation: &'d Value,
}

/// Begins a bundle for the operation that submits.
///
/// # Errors
///
/// [`DraftError`]: it is no such document, or the operation must be named.
pub fn from_openapi(document: &Value, asked: &Asked) -> Result<Draft, DraftError> {
    let version = document
        .get("openapi")
        .and_then(Value::as_str)
        .unwrap_or("no `openapi` member");
    if !(version.starts_with("3.0") || version.starts_with("3.1")) {
        return Err(DraftError::NotOpenApi(version.to_owned()));
    }
    let root = Document::new(document);
    let operations = operations(&root);
    let submit = submit(&operations, asked)?;
    let mut todos = Vec::new();
    let base_url = base_url(document, submit, asked, &mut todos);
    let purpose = asked
        .purpose
        .or_else(|| purpose(submit))
        .unwrap_or_else(|| {
            todos.push(todo(
                format!("{PROFILE}/purpose"),
                "what it makes: it could not be told from the names",
            ));
            Purpose::Video
        });
    let mut parts = Parts::new(asked, base_url, purpose);
    if let Some(title) = document.pointer("/info/title").and_then(Value::as_str) {
        parts.name = title.chars().take(100).collect();
    }
    parts.method = submit.method.to_ascii_uppercase();
    authenticate(&root, submit, &mut parts, &mut todos);
    let mut request = body(&root, submit, &mut parts, &mut todos);
    parameters(&root, submit, &mut parts, &mut request);
    parts.path = path(submit.path, &mut request);
    parts.models.clone_from(&request.models);
    parts.capabilities = capabilities(&request);
    todos.append(&mut request.todo);
    parts.body = request.body;
    answer(&root, &operations, submit, &mut parts, &mut todos);
    Ok(Draft {
        bundle: parts.bundle(),
        todo: todos,
    })
}

fn operations<'d>(document: &Document<'d>) -> Vec<Operation<'d>> {
    let paths = document.root.get("paths").and_then(Value::as_object);
    let mut all = Vec::new();
    for (path, item) in paths.into_iter().flatten() {
        let Some(item) = document.follow(item) else {
            continue;
        };
        for method in METHODS {
            if let Some(operation) = item.get(*method) {
                all.push(Operation {
                    method,
                    path,
                    item,
                    operation,
                });
            }
        }
    }
    all
}

fn submit<'o, 'd>(
    operations: &'o [Operation<'d>],
    asked: &Asked,
) -> Result<&'o Operation<'d>, DraftError> {
    let candidates: Vec<&Operation<'_>> = operations
        .iter()
        .filter(|one| {
            one.operation.get("requestBody").is_some() || matches!(one.method, "post" | "put")
        })
        .collect();
    let known = || {
        let names = candidates.iter().take(KNOWN_MAX);
        let names: Vec<String> = names
            .map(|one| format!("{} {}", one.method.to_ascii_uppercase(), one.path))
            .collect();
        names.join(", ")
    };
    let refused = |why: &str| DraftError::Operation {
        why: why.to_owned(),
        known: known(),
    };
    let Some(name) = &asked.operation else {
        return match candidates.as_slice() {
            [only] => Ok(only),
            [] => Err(refused("no operation has a request body")),
            _ => Err(refused("several operations may submit; name one")),
        };
    };
    let is_it = |one: &&Operation<'_>| {
        one.operation.get("operationId").and_then(Value::as_str) == Some(name)
            || format!("{} {}", one.method, one.path).eq_ignore_ascii_case(name)
    };
    let by_path = || candidates.iter().copied().find(|one| one.path == name);
    let found = operations.iter().find(is_it).or_else(by_path);
    found.ok_or_else(|| refused(&format!("there is no operation `{name}`")))
}

fn base_url(
    document: &Value,
    submit: &Operation<'_>,
    asked: &Asked,
    todos: &mut Vec<Todo>,
) -> String {
    if let Some(url) = &asked.base_url {
        return url.clone();
    }
    let servers = [submit.operation, submit.item, document]
        .into_iter()
        .find_map(|place| {
            place
                .get("servers")?
                .as_array()
                .filter(|list| !list.is_empty())
        });
    let server = servers.and_then(|list| list.first());
    let mut url = server
        .and_then(|server| server.get("url")?.as_str())
        .unwrap_or_default()
        .to_owned();
    let variables = server.and_then(|server| server.get("variables")?.as_object());
    for (name, variable) in variables.into_iter().flatten() {
        let default = variable
            .get("default")
            .and_then(Value::as_str)
            .unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
        todos.push(todo(
            "/provider/api_base_url",
            format!("the server's `{name}`: `{default}` was taken"),
        ));
    }
    if servers.is_some_and(|list| list.len() > 1) {
        todos.push(todo(
            "/provider/api_base_url",
            "the document names several servers; the first was taken",
        ));
    }
    if url::Url::parse(&url).is_ok_and(|url| url.has_host()) {
        return url;
    }
    todos.push(todo(
        "/provider/api_base_url",
        "the address of the API: the document names no whole one",
    ));
    format!(
        "https://api.example.com{}",
        if url.starts_with('/') {
            url.as_str()
        } else {
            ""
        }
    )
}

fn purpose(submit: &Operation<'_>) -> Option<Purpose> {
    let text = |name: &str| {
        submit
            .operation
            .get(name)
            .map(Value::to_string)
            .unwrap_or_default()
    };
    let words =
        format!("{} {} {}", submit.path, text("operationId"), text("tags")).to_ascii_lowercase();
    let found = PURPOSES.iter().find(|(word, _)| words.contains(word));
    found.and_then(|(_, purpose)| Purpose::parse(purpose))
}
