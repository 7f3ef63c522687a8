//! What an operation sends: secrets, body, parameters, path.

use super::super::options::Request;
use super::super::refs::Document;
use super::super::{PROFILE, Parts, Todo, set_some, todo};
use super::Operation;
use serde_json::{Map, Value, json};

/// The first security requirement, as headers and query over the secret.
pub(super) fn authenticate(
    document: &Document<'_>,
    submit: &Operation<'_>,
    parts: &mut Parts,
    todos: &mut Vec<Todo>,
) {
    let security = submit
        .operation
        .get("security")
        .or_else(|| document.root.get("security"));
    let first = security.and_then(Value::as_array).and_then(|list| {
        list.iter()
            .find(|one| one.as_object().is_some_and(|one| !one.is_empty()))
    });
    let names: Vec<&String> = first
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys)
        .collect();
    if names.len() > 1 {
        todos.push(todo("/auth_profiles/0", "the API wants several secrets at once: make the secret an object, and write `{{secret.<part>}}`"));
    }
    for name in &names {
        let scheme = document
            .root
            .pointer("/components/securitySchemes")
            .and_then(|schemes| schemes.get(name.as_str()));
        match scheme.and_then(|scheme| document.follow(scheme)) {
            Some(scheme) => place_secret(scheme, parts, todos),
            None => todos.push(todo(
                "/auth_profiles",
                format!("the security scheme `{name}` is not in the document"),
            )),
        }
    }
    if names.is_empty() {
        todos.push(todo(
            "/auth_profiles",
            "how requests prove who we are: the document does not say",
        ));
    }
}

fn place_secret(scheme: &Value, parts: &mut Parts, todos: &mut Vec<Todo>) {
    let text = |name: &str| scheme.get(name).and_then(Value::as_str).unwrap_or_default();
    let header = |parts: &mut Parts, name: &str, value: &str| {
        drop(parts.headers.insert(name.to_owned(), value.into()))
    };
    parts.secret = true;
    match (
        text("type"),
        text("scheme").to_ascii_lowercase().as_str(),
        text("in"),
    ) {
        ("http", "basic", _) => {
            header(parts, "Authorization", "Basic {{base64 apiKey}}");
            todos.push(todo(
                "/auth_profiles/0/secret",
                "the secret is `user:password`, as HTTP's basic scheme wants it",
            ));
        }
        ("apiKey", _, "query") => drop(
            parts
                .query
                .insert(text("name").to_owned(), "{{apiKey}}".into()),
        ),
        ("apiKey", _, "header") => {
            let is_authorization = text("name").eq_ignore_ascii_case("authorization");
            header(parts, text("name"), "{{apiKey}}");
            if is_authorization {
                todos.push(todo(
                    format!("{PROFILE}/transport/headers/Authorization"),
                    "whether a word stands before the key (`Bearer`, `Key`, `Token`)",
                ));
            }
        }
        ("http", _, _) => header(parts, "Authorization", "Bearer {{apiKey}}"),
        (kind, _, place) => {
            header(parts, "Authorization", "Bearer {{apiKey}}");
            let what = format!(
                "the scheme is `{kind}` {place}: `auth_type` and `config` must say how a token is had (section 8 of the language)"
            );
            todos.push(todo("/auth_profiles/0/auth_type", what));
        }
    }
}

/// The body's template, by the content type that we can write best.
pub(super) fn body(
    document: &Document<'_>,
    submit: &Operation<'_>,
    parts: &mut Parts,
    todos: &mut Vec<Todo>,
) -> Request {
    const KINDS: &[(&str, &str)] = &[
        ("application/json", "http_json"),
        ("multipart/form-data", "http_multipart"),
        ("application/x-www-form-urlencoded", "http_form"),
    ];
    let content = submit
        .operation
        .get("requestBody")
        .and_then(|body| document.follow(body))
        .and_then(|body| body.get("content")?.as_object());
    let Some(content) = content else {
        todos.push(todo(
            format!("{PROFILE}/transport/body"),
            "what is sent: the document says nothing",
        ));
        return Request::default();
    };
    let of = |wanted: &str| {
        content
            .iter()
            .find(|(name, _)| name.starts_with(wanted))
            .map(|(_, value)| value)
    };
    let found = KINDS
        .iter()
        .find_map(|(content_type, kind)| Some((*kind, of(content_type)?)));
    let found = found.or_else(|| {
        let json = content.iter().find(|(name, _)| name.contains("json"));
        json.map(|(_, value)| ("http_json", value))
    });
    let Some((kind, media)) = found else {
        parts.kind = "http_binary";
        let names: Vec<&str> = content.keys().map(String::as_str).collect();
        todos.push(todo(
            format!("{PROFILE}/transport/body"),
            format!(
                "the body is {}: name the input as {{\"$file\": \"inputs.<name>\"}}",
                names.join(", ")
            ),
        ));
        return Request::default();
    };
    parts.kind = kind;
    match media
        .get("schema")
        .and_then(|schema| document.resolve(schema))
    {
        Some(schema) => Request::of_body(document, &schema, kind == "http_multipart"),
        None => {
            todos.push(todo(
                format!("{PROFILE}/transport/body"),
                "its schema could not be followed: write what is sent",
            ));
            Request::default()
        }
    }
}

/// Parameters of header and query; those of the path are in the path.
pub(super) fn parameters(
    document: &Document<'_>,
    submit: &Operation<'_>,
    parts: &mut Parts,
    request: &mut Request,
) {
    let lists = [submit.item, submit.operation];
    let all = lists
        .iter()
        .filter_map(|place| place.get("parameters")?.as_array())
        .flatten();
    for parameter in all.filter_map(|one| document.follow(one)) {
        let text = |name: &str| {
            parameter
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let schema = parameter
            .get("schema")
            .and_then(|schema| document.resolve(schema))
            .unwrap_or_else(|| json!({}));
        let must = parameter.get("required") == Some(&Value::Bool(true));
        let fixed = schema
            .get("const")
            .or_else(|| schema.get("default"))
            .or_else(|| schema.pointer("/enum/0"));
        match (text("in"), fixed) {
            ("header", Some(value)) => {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                parts.headers.insert(text("name").to_owned(), value.into());
            }
            ("header", None) if must => {
                request.todo.push(todo(
                    format!("{PROFILE}/transport/headers"),
                    format!("the value of the header `{}`", text("name")),
                ));
            }
            ("query", _) => {
                let name = request.parameter(text("name"), &schema, must);
                parts.query.insert(
                    text("name").to_owned(),
                    format!("{{{{json params_{name}}}}}").into(),
                );
            }
            _ => {}
        }
    }
}

/// The path as a template: the model where it stands, anything else an option.
pub(super) fn path(path: &str, request: &mut Request) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        let plain = name.to_ascii_lowercase();
        if plain.contains("model") {
            out.push_str("{{model}}");
        } else {
            let name = request.parameter(name, &json!({ "type": "string" }), true);
            out.push_str(&format!("{{{{params_{name}}}}}"));
            request.todo.push(todo(format!("{PROFILE}/transport/path"), format!("`{name}` was made an option; where it belongs to the account, write `{{{{config_{name}}}}}` and put it into the auth profile's `config`")));
        }
        rest = after;
    }
    out + rest
}

pub(super) fn capabilities(request: &Request) -> Value {
    let mut capabilities = json!({});
    for (name, members) in [
        ("options", &request.options),
        ("inputs", &request.inputs),
        ("defaults", &request.defaults),
    ] {
        set_some(&mut capabilities, name, Value::Object(members.clone()));
    }
    capabilities
}
