//! `name=value` of the command line as a call.

use crate::args::CallArgs;
use crate::exit::Stop;
use diag::Code;
use profile::call::Call;
use runtime::InputMedium;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Largest input read from a file, in bytes: the language's own bound.
const MAX_INPUT: u64 = 1 << 30;

/// The call that the options describe.
///
/// A value that is JSON keeps its type (`seconds=8` is a number, `seconds="8"`
/// a text); anything else is text as it stands. The prompt is never read so.
pub(crate) fn call(args: &CallArgs) -> Result<Call, Stop> {
    let mut call = Call {
        prompt: args.prompt.clone(),
        language: args.language.clone(),
        max_tokens: args.max_tokens,
        ..Call::default()
    };
    call.params = values("--param", &args.params)?;
    call.context = values("--context", &args.context)?;
    Ok(call)
}

/// The caller's own values.
pub(crate) fn metadata(args: &CallArgs) -> Result<Map<String, Value>, Stop> {
    values("--metadata", &args.metadata)
}

/// The media that `--input` names, each read from its file; addresses are
/// fetched by the runtime, through the egress guard.
pub(crate) fn media(texts: &[String]) -> Result<BTreeMap<String, Vec<InputMedium>>, Stop> {
    let mut media: BTreeMap<String, Vec<InputMedium>> = BTreeMap::new();
    for text in texts {
        let (name, place) = split("--input", text)?;
        media
            .entry(name.to_owned())
            .or_default()
            .push(medium(place)?);
    }
    Ok(media)
}

fn values(option: &str, texts: &[String]) -> Result<Map<String, Value>, Stop> {
    let read = |text: &String| {
        let (name, value) = split(option, text)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok((name.to_owned(), value))
    };
    texts.iter().map(read).collect()
}

pub(crate) fn split<'a>(option: &str, text: &'a str) -> Result<(&'a str, &'a str), Stop> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(Stop::usage(
            Code::X106,
            option,
            format!("`{text}` has no `=`"),
            format!("write {option} name=value"),
        )),
    }
}

fn medium(place: &str) -> Result<InputMedium, Stop> {
    if place.starts_with("http://") || place.starts_with("https://") {
        return Ok(InputMedium::Url(place.to_owned()));
    }
    if place.starts_with("data:") {
        return Ok(InputMedium::DataUrl(place.to_owned()));
    }
    let path = Path::new(place);
    let unreadable = |why: String| {
        Stop::usage(
            Code::X107,
            "--input",
            format!("`{place}` {why}"),
            "name a file or an address",
        )
    };
    let size = fs::metadata(path)
        .map_err(|error| unreadable(format!("cannot be read: {error}")))?
        .len();
    if size > MAX_INPUT {
        return Err(unreadable(format!(
            "has {size} bytes; at most {MAX_INPUT} are read"
        )));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(InputMedium::file(name, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    #[rustfmt::skip]
    fn a_value_that_is_json_keeps_its_type_and_anything_else_is_text() {
        let cases = [
            ("seconds=8",        "seconds", json!(8)),
            (r#"seconds="8""#,   "seconds", json!("8")),
            ("size=1280x720",    "size",    json!("1280x720")),
            ("hd=true",          "hd",      json!(true)),
            ("note=a=b",         "note",    json!("a=b")),
            ("note=",            "note",    json!("")),
        ];
        for (text, name, want) in cases {
            let read = values("--param", &[text.to_owned()]).unwrap();
            assert_eq!(read.get(name), Some(&want), "{text}");
        }
        assert!(values("--param", &["seconds".to_owned()]).is_err());
    }
}
