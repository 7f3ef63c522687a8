//! Strict reading of what a submit asks for. Every rule is data of the wire; the first breach is answered.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::content;
use crate::jobs::Order;
use crate::read::{Part, ReadBody};
use crate::wire::{ErrorKind, Field, FieldKind, ImageForm, Refusal, Wire};

/// Longest image address in a JSON body, in characters.
const IMAGE_URL_CHARS: usize = 20_971_520;
const IMAGE_TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

/// A value as it came: typed in JSON, text or file in a form.
#[derive(Debug, Clone)]
enum Given<'a> {
    Json(&'a Value),
    Text(&'a str),
    File(&'a Part),
}

type Fields<'a> = BTreeMap<&'a str, Given<'a>>;

/// Reads a create.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub(crate) fn order(wire: &Wire, body: &ReadBody) -> Result<Order, Refusal> {
    let given = fields(wire, body, |name| wire.fields.contains_key(name))?;
    let mut known = Map::new();
    for (name, field) in wire
        .fields
        .iter()
        .filter(|(_, field)| field.same_as.is_none())
    {
        if let Some(value) = value_of(name, field, given.get(name.as_str()))? {
            known.insert(name.clone(), value);
        }
    }
    let order = assemble(wire, &known);
    check_model(wire, &order)?;
    check_images(wire, &given, &order.size)?;
    Ok(order)
}

/// Reads the prompt of a remix.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub(crate) fn remix_prompt(wire: &Wire, body: &ReadBody) -> Result<String, Refusal> {
    let given = fields(wire, body, |name| name == "prompt")?;
    let field = wire
        .fields
        .get("prompt")
        .ok_or_else(|| Refusal::new(ErrorKind::Missing).param("prompt"))?;
    let prompt = value_of("prompt", field, given.get("prompt"))?;
    Ok(prompt
        .and_then(|prompt| prompt.as_str().map(str::to_owned))
        .unwrap_or_default())
}

/// The fields under their own names (an alias is replaced by what it stands for).
fn fields<'a>(
    wire: &'a Wire,
    body: &'a ReadBody,
    known: impl Fn(&str) -> bool,
) -> Result<Fields<'a>, Refusal> {
    let raw: Vec<(&str, Given<'_>)> = match body {
        ReadBody::Json(Value::Object(body)) => body
            .iter()
            .map(|(name, value)| (name.as_str(), Given::Json(value)))
            .collect(),
        ReadBody::Form(parts) => parts
            .iter()
            .map(|part| (part.name.as_str(), Given::of(part)))
            .collect(),
        ReadBody::Json(_) => return Err(unreadable("the document is not an object")),
        ReadBody::Unreadable(why) => return Err(unreadable(why)),
        ReadBody::Empty | ReadBody::Other => Vec::new(),
    };
    let mut fields = Fields::new();
    for (name, value) in raw {
        if !known(name) {
            return Err(Refusal::new(ErrorKind::UnknownParameter).param(name));
        }
        let own = wire
            .fields
            .get(name)
            .and_then(|field| field.same_as.as_deref())
            .unwrap_or(name);
        if fields.insert(own, value).is_some() {
            return Err(wrong_type(own, "one value", "several"));
        }
    }
    Ok(fields)
}

impl<'a> Given<'a> {
    fn of(part: &'a Part) -> Self {
        part.text().map_or(Self::File(part), Self::Text)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "a file",
            Self::Text(_) | Self::Json(Value::String(_)) => "a string",
            Self::Json(Value::Null) => "null",
            Self::Json(Value::Bool(_)) => "a boolean",
            Self::Json(Value::Number(number)) if number.is_f64() => "a decimal number",
            Self::Json(Value::Number(_)) => "an integer",
            Self::Json(Value::Array(_)) => "an array",
            Self::Json(Value::Object(_)) => "an object",
        }
    }

    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(Value::String(text)) => Some(text),
            Self::Json(_) | Self::File(_) => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Json(value) => value.as_i64(),
            Self::Text(text) => text.parse().ok(),
            Self::File(_) => None,
        }
    }
}

/// The value of a field, its default, or `None` for what is an image or absent.
fn value_of(
    name: &str,
    field: &Field,
    given: Option<&Given<'_>>,
) -> Result<Option<Value>, Refusal> {
    let Some(given) = given else {
        return match (field.required, &field.default) {
            (true, _) => Err(Refusal::new(ErrorKind::Missing).param(name)),
            (false, Value::Null) => Ok(None),
            (false, default) => Ok(Some(default.clone())),
        };
    };
    match field.kind {
        FieldKind::Image => Ok(None),
        FieldKind::Integer => {
            let number = given
                .integer()
                .ok_or_else(|| wrong_type(name, "an integer", given.kind()))?;
            Ok(Some(number.into()))
        }
        FieldKind::String => {
            let text = given
                .text()
                .ok_or_else(|| wrong_type(name, "a string", given.kind()))?;
            check_text(name, field, text)?;
            Ok(Some(text.into()))
        }
    }
}

fn check_text(name: &str, field: &Field, text: &str) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if chars < field.min_chars {
        return Err(Refusal::new(ErrorKind::TooShort)
            .param(name)
            .expected(field.min_chars.to_string()));
    }
    if let Some(max) = field.max_chars.filter(|max| chars > *max) {
        let refusal = Refusal::new(ErrorKind::TooLong).param(name);
        return Err(refusal.expected(max.to_string()).value(chars.to_string()));
    }
    if field.values.is_empty() {
        Ok(())
    } else {
        one_of(name, text, &field.values)
    }
}

fn assemble(wire: &Wire, known: &Map<String, Value>) -> Order {
    let text = |name: &str| {
        known
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let echoed = known
        .iter()
        .filter(|(name, _)| wire.fields.get(*name).is_some_and(|field| field.echo));
    Order {
        model: text("model"),
        prompt: text("prompt"),
        size: text("size"),
        seconds: known.get("seconds").cloned().unwrap_or_default(),
        echo: echoed
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    }
}

fn check_model(wire: &Wire, order: &Order) -> Result<(), Refusal> {
    let Some(model) = wire.models.get(&order.model) else {
        let models: Vec<String> = wire.models.keys().cloned().collect();
        return one_of("model", &order.model, &models);
    };
    let seconds = order
        .seconds
        .as_str()
        .map_or_else(|| order.seconds.to_string(), str::to_owned);
    one_of("seconds", &seconds, &model.seconds)?;
    one_of("size", &order.size, &model.sizes)
}

fn check_images(wire: &Wire, given: &Fields<'_>, size: &str) -> Result<(), Refusal> {
    for (name, field) in wire
        .fields
        .iter()
        .filter(|(_, field)| field.kind == FieldKind::Image)
    {
        let accepts = |form| field.accepts.contains(&form);
        let image = match given.get(name.as_str()) {
            None => continue,
            Some(Given::File(part)) if accepts(ImageForm::File) => Some(image_file(name, part)?),
            Some(Given::Json(Value::Object(image))) if accepts(ImageForm::Object) => {
                image_object(name, image)?
            }
            Some(given) if accepts(ImageForm::String) && given.text().is_some() => None,
            Some(given) => return Err(wrong_type(name, &field.forms(), given.kind())),
        };
        if let Some(bytes) = image.filter(|_| field.must_match_size) {
            check_dimensions(name, &bytes, size)?;
        }
    }
    Ok(())
}

impl Field {
    fn forms(&self) -> String {
        let word = |form: &ImageForm| match form {
            ImageForm::File => "a file",
            ImageForm::Object => "an object",
            ImageForm::String => "a string",
        };
        self.accepts
            .iter()
            .map(word)
            .collect::<Vec<_>>()
            .join(" or ")
    }
}

fn image_file(name: &str, part: &Part) -> Result<Vec<u8>, Refusal> {
    let content_type = part
        .content_type
        .as_deref()
        .unwrap_or("application/octet-stream");
    if IMAGE_TYPES.contains(&content_type) && !part.bytes.is_empty() {
        return Ok(part.bytes.to_vec());
    }
    let got = if part.bytes.is_empty() {
        "an empty file"
    } else {
        content_type
    };
    Err(Refusal::new(ErrorKind::ReferenceType)
        .param(name)
        .value(got))
}

/// The bytes, when the object carries them itself.
fn image_object(name: &str, image: &Map<String, Value>) -> Result<Option<Vec<u8>>, Refusal> {
    let text = |field: &str| image.get(field).and_then(Value::as_str);
    let expected = "an object with either `image_url` or `file_id`";
    match (text("image_url"), text("file_id"), image.len()) {
        (None, Some(_), 1) => Ok(None),
        (Some(url), None, 1) if url.len() <= IMAGE_URL_CHARS => match url.strip_prefix("data:") {
            None => Ok(None),
            Some(data) => {
                let (_, encoded) = data
                    .split_once(";base64,")
                    .ok_or_else(|| unreadable_image(name))?;
                STANDARD
                    .decode(encoded)
                    .map(Some)
                    .map_err(|_| unreadable_image(name))
            }
        },
        _ => Err(wrong_type(name, expected, "something else")),
    }
}

/// The reference must have the size of the video: documented, and checked by the real service.
fn check_dimensions(name: &str, image: &[u8], size: &str) -> Result<(), Refusal> {
    let (width, height) = content::dimensions(image).ok_or_else(|| unreadable_image(name))?;
    let got = format!("{width}x{height}");
    if got == size {
        return Ok(());
    }
    Err(Refusal::new(ErrorKind::ReferenceSize)
        .param(name)
        .value(got)
        .expected(size))
}

fn one_of(name: &str, value: &str, allowed: &[String]) -> Result<(), Refusal> {
    if allowed.iter().any(|allowed| allowed == value) {
        return Ok(());
    }
    let expected = allowed
        .iter()
        .map(|value| format!("'{value}'"))
        .collect::<Vec<_>>()
        .join(", ");
    Err(Refusal::new(ErrorKind::WrongValue)
        .param(name)
        .value(value)
        .expected(expected))
}

fn wrong_type(name: &str, expected: &str, got: &str) -> Refusal {
    Refusal::new(ErrorKind::WrongType)
        .param(name)
        .expected(expected)
        .value(got)
}

fn unreadable(why: &str) -> Refusal {
    Refusal::new(ErrorKind::Unreadable).value(why)
}

fn unreadable_image(name: &str) -> Refusal {
    Refusal::new(ErrorKind::ReferenceType)
        .param(name)
        .value("what is no such image")
}
