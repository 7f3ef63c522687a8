//! The request of an operation: its body template, and what of it is an option of the model.

use super::refs::{Document, type_of};
use super::{PROFILE, Todo, todo};
use serde_json::{Map, Value, json};

/// Objects in objects; deeper ones become one option.
const DEPTH_MAX: usize = 4;
/// Options of one draft.
const OPTIONS_MAX: usize = 200;
const MODELS: &[&str] = &["model", "model_id", "modelid", "model_name", "engine"];
/// In the order in which they are preferred.
const PROMPTS: &[&str] = &[
    "prompt",
    "text_prompt",
    "prompttext",
    "prompt_text",
    "input",
    "text",
    "description",
    "query",
];
const CALLBACKS: &[&str] = &["webhook", "callback", "notify"];
/// Words in the name of an input, and the kind that it has then.
const KINDS: &[(&str, &str)] = &[
    ("image", "image"),
    ("img", "image"),
    ("photo", "image"),
    ("frame", "image"),
    ("mask", "image"),
    ("video", "video"),
    ("audio", "audio"),
    ("voice_sample", "audio"),
    ("file", "document"),
];

/// What was read of a request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) body: Value,
    pub(super) options: Map<String, Value>,
    pub(super) defaults: Map<String, Value>,
    pub(super) inputs: Map<String, Value>,
    pub(super) models: Vec<String>,
    pub(super) todo: Vec<Todo>,
    /// The member that takes the prompt.
    prompt: Option<String>,
    multipart: bool,
}

impl Request {
    /// Reads the schema of a body.
    pub(super) fn of_body(document: &Document<'_>, schema: &Value, multipart: bool) -> Self {
        let mut request = Self {
            multipart,
            ..Self::default()
        };
        request.prompt = prompt_member(document, schema);
        request.body = request.object(document, schema, &[]);
        if request.prompt.is_none() && !request.body.to_string().contains("{{json messages}}") {
            let what = "which member takes the prompt: write `{{userPrompt}}` there";
            request
                .todo
                .push(todo(format!("{PROFILE}/transport/body"), what));
        }
        request
    }

    fn object(&mut self, document: &Document<'_>, schema: &Value, path: &[String]) -> Value {
        let required = names(schema, "required");
        let mut members = Map::new();
        for (name, member) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let mut path = path.to_vec();
            path.push(name.clone());
            let Some(member) = document.resolve(member) else {
                self.todo.push(todo(
                    place(&path),
                    "its schema could not be followed: write what it takes",
                ));
                continue;
            };
            let is_left_out = member.get("readOnly") == Some(&Value::Bool(true));
            if is_left_out || self.options.len() >= OPTIONS_MAX {
                continue;
            }
            let must = required.contains(name);
            if let Some(value) = self.member(document, &member, &path, must) {
                members.insert(name.clone(), value);
            }
        }
        Value::Object(members)
    }

    /// What stands at a member; `None`: it is left out.
    fn member(
        &mut self,
        document: &Document<'_>,
        schema: &Value,
        path: &[String],
        must: bool,
    ) -> Option<Value> {
        let name = path.last()?;
        let plain = name.to_ascii_lowercase();
        if path.len() == 1 && MODELS.contains(&plain.as_str()) {
            self.models = models_of(schema);
            if self.models.is_empty() {
                self.todo
                    .push(todo("/models/0/model_id", "the model's id in the API"));
            }
            return Some("{{model}}".into());
        }
        if path.len() == 1 && self.prompt.as_ref() == Some(name) {
            return Some("{{userPrompt}}".into());
        }
        if plain == "messages" && type_of(schema) == Some("array") {
            return Some("{{json messages}}".into());
        }
        if CALLBACKS.iter().any(|word| plain.contains(word)) && type_of(schema) == Some("string") {
            return Some("{{callback_url}}".into());
        }
        if plain == "stream" && type_of(schema) == Some("boolean") {
            return Some(Value::Bool(false));
        }
        if let Some(constant) = constant(schema) {
            return Some(constant);
        }
        if let Some(kind) = kind_of(&plain, schema, self.multipart) {
            return Some(self.input(name, kind, schema, must));
        }
        if schema.get("properties").is_some() && path.len() < DEPTH_MAX {
            return Some(self.object(document, schema, path));
        }
        Some(self.option(schema, path, must))
    }

    fn input(&mut self, name: &str, kind: &str, schema: &Value, must: bool) -> Value {
        let name = identifier(name);
        let is_list = type_of(schema) == Some("array");
        let mut input = json!({ "kind": kind, "required": must });
        if let Some(most) = schema.get("maxItems").filter(|_| is_list) {
            super::set(&mut input, "max_count", most.clone());
        }
        if let Some(text) = description(schema) {
            super::set(&mut input, "description", text.into());
        }
        self.todo.push(todo(
            format!("/models/0/capabilities/inputs/{name}"),
            "the media types and the size that it takes (`mime`, `max_bytes`)",
        ));
        self.inputs.insert(name.clone(), input);
        let format = schema
            .get("format")
            .or_else(|| schema.pointer("/items/format"));
        let form = match (self.multipart, format.and_then(Value::as_str)) {
            (true, _) => return json!({ "$file": format!("inputs.{name}") }),
            (_, Some("byte" | "base64")) => "base64",
            (_, _) => "url",
        };
        match is_list {
            true => {
                json!({ "$each": format!("inputs.{name}"), "$do": format!("{{{{item.{form}}}}}") })
            }
            false => format!("{{{{inputs.{name}.{form}}}}}").into(),
        }
    }

    fn option(&mut self, schema: &Value, path: &[String], must: bool) -> Value {
        let leaf = identifier(path.last().map_or("", String::as_str));
        let name = match self.options.contains_key(&leaf) {
            true => identifier(&path.join("_")),
            false => leaf,
        };
        let (option, default) = option(schema, must);
        if schema.get("x-choices").is_some() {
            self.todo.push(todo(
                format!("/models/0/capabilities/options/{name}"),
                "the document lets it be of several kinds; one was taken",
            ));
        }
        if let Some(default) = default {
            self.defaults.insert(name.clone(), default);
        }
        let is_text = option.get("type").and_then(Value::as_str) == Some("string");
        self.options.insert(name.clone(), option);
        match is_text {
            true => format!("{{{{params_{name}}}}}").into(),
            false => format!("{{{{json params_{name}}}}}").into(),
        }
    }

    /// An option for a parameter of the path or the query.
    pub(super) fn parameter(&mut self, name: &str, schema: &Value, must: bool) -> String {
        let name = identifier(name);
        let (option, default) = option(schema, must);
        self.options.insert(name.clone(), option);
        if let Some(default) = default {
            self.defaults.insert(name.clone(), default);
        }
        name
    }
}

fn place(path: &[String]) -> String {
    format!("{PROFILE}/transport/body/{}", path.join("/"))
}

fn names(schema: &Value, list: &str) -> Vec<String> {
    let names = schema
        .get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A name that a template can read.
pub(super) fn identifier(name: &str) -> String {
    let mut out: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic()) {
        out.insert_str(0, "p_");
    }
    out
}

fn prompt_member(document: &Document<'_>, schema: &Value) -> Option<String> {
    let members = schema.get("properties")?.as_object()?;
    let is_text = |name: &str| {
        let member = members
            .iter()
            .find(|(known, _)| known.to_ascii_lowercase() == name)?;
        let schema = document.resolve(member.1)?;
        (type_of(&schema) == Some("string") && schema.get("enum").is_none())
            .then(|| member.0.clone())
    };
    PROMPTS.iter().find_map(|name| is_text(name))
}

fn models_of(schema: &Value) -> Vec<String> {
    let listed = names(schema, "enum");
    if !listed.is_empty() {
        return listed;
    }
    let one = schema
        .get("const")
        .or_else(|| schema.get("default"))
        .or_else(|| schema.get("example"));
    one.and_then(Value::as_str)
        .map(str::to_owned)
        .into_iter()
        .collect()
}

/// The only value that a member can have.
fn constant(schema: &Value) -> Option<Value> {
    if let Some(constant) = schema.get("const") {
        return Some(constant.clone());
    }
    match schema
        .get("enum")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([only]) => Some(only.clone()),
        _ => None,
    }
}

/// The kind of medium that a member takes; `None`: it takes none.
fn kind_of(name: &str, schema: &Value, multipart: bool) -> Option<&'static str> {
    let text = |schema: &Value| type_of(schema) == Some("string") && schema.get("enum").is_none();
    let item = schema.get("items").unwrap_or(schema);
    let format = item
        .get("format")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let encoded = item.get("contentEncoding").is_some() || item.get("contentMediaType").is_some();
    let is_file = multipart && (format == "binary" || encoded);
    let is_address = matches!(format, "uri" | "url" | "byte" | "base64")
        || encoded
        || name.ends_with("_url")
        || name.ends_with("url")
        || name.ends_with("_urls");
    let is_named = KINDS.iter().find(|(word, _)| name.contains(word));
    match is_named {
        Some((_, kind)) if text(item) && (is_file || is_address) => Some(kind),
        _ if is_file => Some("document"),
        _ => None,
    }
}

fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(line.chars().take(300).collect())
}

/// An option as capabilities have it, and its default.
fn option(schema: &Value, must: bool) -> (Value, Option<Value>) {
    let values = schema.get("enum").and_then(Value::as_array);
    let values: Option<Vec<&Value>> =
        values.map(|values| values.iter().filter(|one| !one.is_null()).collect());
    let kind = match (values.is_some(), type_of(schema)) {
        (true, _) => "enum",
        (_, Some("integer")) => "int",
        (_, Some("number")) => "number",
        (_, Some("boolean")) => "bool",
        (_, Some("array")) => "array",
        (_, Some("object")) => "object",
        _ => "string",
    };
    let mut option = json!({ "type": kind });
    if let Some(values) = values {
        super::set(&mut option, "values", json!(values));
    }
    let bounds: &[(&str, &str)] = match kind {
        "int" | "number" => &[("minimum", "min"), ("maximum", "max")],
        "string" => &[("maxLength", "max_length"), ("pattern", "pattern")],
        _ => &[],
    };
    for (theirs, ours) in bounds {
        if let Some(bound) = schema.get(*theirs) {
            super::set(&mut option, ours, bound.clone());
        }
    }
    if must {
        super::set(&mut option, "required", Value::Bool(true));
    }
    if let Some(text) = description(schema) {
        super::set(&mut option, "description", text.into());
    }
    let default = schema.get("default").filter(|default| !default.is_null());
    (option, default.cloned())
}
