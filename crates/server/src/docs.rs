//! `/docs`: the OpenAPI document as one page, without scripts and without foreign hosts.

use handlebars::{Handlebars, RenderError};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PAGE: &str = include_str!("docs.hbs");

/// Renders the page. Texts of the document are escaped.
///
/// # Errors
///
/// The template is not one; a test reads it.
pub(crate) fn page(document: &Value) -> Result<String, RenderError> {
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (path, item) in members(document.get("paths")) {
        for (method, operation) in members(Some(item)) {
            let tag = operation.pointer("/tags/0").and_then(Value::as_str);
            let group = groups.entry(tag.unwrap_or("other").to_owned()).or_default();
            group.push(shown(path, method, operation));
        }
    }
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|(tag, operations)| json!({"tag": tag, "operations": operations}))
        .collect();
    let schemas: Vec<Value> = members(document.pointer("/components/schemas"))
        .map(|(name, schema)| json!({"name": name, "text": format!("{schema:#}")}))
        .collect();
    let page = json!({"info": document.get("info"), "groups": groups, "schemas": schemas});
    Handlebars::new().render_template(PAGE, &page)
}

fn members(object: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.and_then(Value::as_object).into_iter().flatten()
}

fn shown(path: &str, method: &str, operation: &Value) -> Value {
    let body = operation.pointer("/requestBody/content");
    let answers: Vec<Value> = members(operation.get("responses"))
        .map(|(status, answer)| {
            let content = content(answer.get("content"));
            json!({"status": status, "description": answer.get("description"), "content": content})
        })
        .collect();
    json!({
        "id": operation.get("operationId"), "path": path, "method": method.to_uppercase(),
        "summary": operation.get("summary"), "description": operation.get("description"),
        "role": operation.get("x-role"), "parameters": operation.get("parameters"),
        "body": content(body), "answers": answers,
    })
}

/// Each media type with the name of its schema, or the schema itself.
fn content(content: Option<&Value>) -> Vec<Value> {
    let of = |(media, content): (&String, &Value)| {
        let schema = content.get("schema").cloned().unwrap_or_default();
        let name = schema.get("$ref").and_then(Value::as_str);
        let name = name.and_then(|name| name.rsplit('/').next());
        let text = name.is_none().then(|| schema.to_string());
        json!({"media": media, "name": name, "text": text})
    };
    members(content).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_call_and_needs_nothing_from_elsewhere() {
        let document = crate::openapi::document();
        let page = page(&document).unwrap();
        for (path, item) in members(document.get("paths")) {
            for (_, operation) in members(Some(item)) {
                let id = operation["operationId"].as_str().unwrap();
                assert!(page.contains(&format!("id=\"{id}\"")), "{path}: {id}");
            }
        }
        for foreign in ["src=", "href=\"http", "@import", "url(", "<script"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        let hostile =
            json!({"paths": {"/x": {"get": {"operationId": "x", "summary": "<script>"}}}});
        assert!(!super::page(&hostile).unwrap().contains("<script"));
    }
}
