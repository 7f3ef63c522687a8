//! The OpenAPI 3.1 document of the API, made from its routes: each route is registered with what its handler says of itself
//! ([`crate::routes`]), so that neither can be without the other. What holds for many calls is added here, once.

pub(crate) mod bodies;

use crate::{gate, openai};
use axum::http::Method;
use diag::Code;
use serde_json::{Map, Value, json};
use utoipa::openapi::{Info, OpenApi};

/// The OpenAPI document of every call that [`crate::router`] serves.
#[must_use]
pub fn document() -> Value {
    finished(crate::routes::described())
}

pub(crate) fn finished(mut api: OpenApi) -> Value {
    api.info = Info::new("modelrow", env!("CARGO_PKG_VERSION"));
    api.servers = None;
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    introduce(&mut document);
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        *paths = std::mem::take(paths).into_iter().map(path).collect();
    }
    document
}

fn introduce(document: &mut Value) {
    let about = "Calls any AI provider from rows of JSON. Errors are RFC 9457 problem documents with a code; `modelrow explain CODE` says \
         what each means. Lists are in pages, newest first: `next` of a page is `after` of the next one. Times are RFC 3339, UTC. \
         `/v1` only grows: pass over members and words that you do not know.";
    put(document, "/info", "description", about.into());
    let licence = json!({"name": "MIT", "identifier": "MIT"});
    put(document, "/info", "license", licence);
    let key = json!({
        "type": "http", "scheme": "bearer", "description": "An API key, `mrk_…`. Without it only what has no lock is served."
    });
    let schemes = json!({ "key": key });
    put(document, "/components", "securitySchemes", schemes);
    let codes = Code::ALL
        .iter()
        .filter(|code| !code.as_str().starts_with(['P', 'X']));
    let codes: Map<String, Value> = codes
        .map(|code| (code.as_str().to_owned(), code.title().into()))
        .collect();
    let problem = "/components/schemas/Problem";
    put(document, problem, "x-codes", codes.into());
}

/// A member of the object there.
fn put(document: &mut Value, pointer: &str, name: &str, value: Value) {
    if let Some(Value::Object(members)) = document.pointer_mut(pointer) {
        members.insert(name.to_owned(), value);
    }
}

/// What a file is answered with beside itself.
const OF_A_FILE: [(&str, &str); 5] = [
    ("206", "The part that `Range` asks for."),
    (
        "304",
        "As it was: `If-None-Match` has its `ETag`, which is its SHA-256.",
    ),
    ("409", "Not there yet: again after `Retry-After` seconds."),
    ("410", "Past its retention."),
    ("416", "It has no such part."),
];

/// Of these, what other calls about it are answered with, too.
const AT_A_FILE: [&str; 2] = ["409", "410"];

/// A wildcard is an ordinary parameter here; and what every call of a path has in common.
fn path((path, mut item): (String, Value)) -> (String, Value) {
    for (method, operation) in item.as_object_mut().into_iter().flatten() {
        if let Ok(method) = Method::from_bytes(method.to_ascii_uppercase().as_bytes()) {
            complete(operation, &method, &path);
        }
    }
    (path.replace("{*", "{"), item)
}

fn complete(operation: &mut Value, method: &Method, path: &str) {
    if gate::guards(path) {
        let role = gate::needed(method, Some(path)).as_str();
        put(operation, "", "security", json!([{"key": []}]));
        put(operation, "", "x-role", role.into());
    }
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        parameter.get_mut("schema").map(never_null);
    }
    let more = common(operation, method, path);
    let Some(answers) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let error = match openai::has(path) {
        true => ("application/json", openai::ERROR_SCHEMA),
        false => ("application/problem+json", "Problem"),
    };
    for (status, description) in more {
        answers
            .entry(status)
            .or_insert_with(|| answer(status, description, error));
    }
    if *method == Method::HEAD {
        let objects = answers.values_mut().filter_map(Value::as_object_mut);
        objects.for_each(|answer| drop(answer.remove("content")));
    }
}

/// A parameter may be left out, and is never null.
fn never_null(schema: &mut Value) {
    for member in ["type", "oneOf"] {
        let either = schema.get(member).and_then(Value::as_array);
        let Some([first, _]) = either.map(Vec::as_slice) else {
            continue;
        };
        let first = first.clone();
        match member {
            "type" => put(schema, "", member, first),
            _ => *schema = first,
        }
    }
}

/// Answers that a call shares with others of its kind.
fn common(operation: &Value, method: &Method, path: &str) -> Vec<(&'static str, &'static str)> {
    let mut answers = Vec::new();
    if path.starts_with("/files/") {
        answers.push(("403", "The link is not as it was made, or has expired."));
    }
    let read = matches!(*method, Method::GET | Method::HEAD);
    if path.contains("/artifacts/") || path.starts_with("/files/") {
        answers.extend(
            OF_A_FILE
                .into_iter()
                .filter(|(status, _)| read || AT_A_FILE.contains(status)),
        );
    }
    if operation.get("requestBody").is_some() {
        answers.push(("400", "The body is no JSON of ours."));
        answers.push(("408", "The body did not come in time."));
        answers.push(("413", "The body is too large."));
        answers.push(("415", "The body is of another type, or encoded."));
        if !openai::has(path) {
            answers.push((
                "422",
                "The call is refused: every mistake at once, each with its place.",
            ));
        }
    }
    if gate::guards(path) {
        answers.push(("401", "No API key, or one that is not good."));
        answers.push(("403", "The key's role does not allow it."));
        answers.push((
            "429",
            "Too many calls of this key: again after `Retry-After` seconds.",
        ));
        answers.push((
            "503",
            "The database does not answer: again after `Retry-After` seconds.",
        ));
    }
    if takes(operation, "If-Match") {
        answers.push(("409", "Runs or rows use it: the problem names them."));
        answers.push(("412", "It is not as it was when it was read."));
        answers.push(("428", "`If-Match` is missing."));
    }
    if path.contains('{') {
        answers.push((
            "404",
            "There is nothing of that name, or it is another tenant's.",
        ));
    }
    answers.push(("default", "Another error."));
    answers
}

fn takes(operation: &Value, parameter: &str) -> bool {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let mut parameters = parameters.into_iter().flatten();
    parameters.any(|one| one.get("name").and_then(Value::as_str) == Some(parameter))
}

/// `error`: media type and schema of what refuses.
fn answer(status: &str, description: &str, error: (&str, &str)) -> Value {
    let content = match status {
        "206" => json!({"*/*": {}}),
        "304" => return json!({ "description": description }),
        _ => {
            let schema = format!("#/components/schemas/{}", error.1);
            json!({error.0: {"schema": {"$ref": schema}}})
        }
    };
    json!({"description": description, "content": content})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(document: &Value, schema: &str) -> Vec<String> {
        let found = &document["components"]["schemas"][schema]["properties"];
        let members = found.as_object().unwrap_or_else(|| panic!("no `{schema}`"));
        members.keys().cloned().collect()
    }

    #[test]
    fn the_document_is_of_openapi_3_1_and_every_reference_leads_somewhere() {
        let document = document();
        assert!(
            document["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1."))
        );
        let text = document.to_string();
        let named: std::collections::BTreeSet<&str> = text
            .split("\"#/components/schemas/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
    }

    #[test]
    fn each_operation_has_an_id_of_its_own_a_summary_and_an_answer_that_is_no_error() {
        let document = document();
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            assert!(!path.contains('*'), "{path}");
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{method} {path}: `{id}` twice");
                assert!(operation["summary"].is_string(), "{method} {path}");
                let answers = operation["responses"].as_object().unwrap();
                assert!(
                    answers.keys().any(|status| status.starts_with('2')),
                    "{method} {path}"
                );
                let guarded =
                    path.starts_with("/v1/") || path.starts_with("/admin/") || openai::has(path);
                assert_eq!(
                    operation["security"].is_array() && answers.contains_key("401"),
                    guarded,
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn the_bodies_are_described_with_the_members_that_are_read() {
        let document = document();
        let sorted = |mut names: Vec<String>| {
            names.sort_unstable();
            names
        };
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let known = owned(crate::call::members());
        assert_eq!(sorted(properties(&document, "NewRun")), sorted(known));
        let key = owned(crate::routes::key_members());
        assert_eq!(sorted(properties(&document, "NewKey")), sorted(key));
        for (schema, members) in crate::routes::members() {
            assert_eq!(
                sorted(properties(&document, schema)),
                sorted(owned(members)),
                "{schema}"
            );
        }
        let link = owned(crate::routes::link_members());
        assert_eq!(sorted(properties(&document, "NewLink")), link);
    }
}
