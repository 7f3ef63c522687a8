//! `response_mapping`: what is taken from answers (section 5).

use super::context::Context;
use super::walk::{Fields, not_a_word};
use super::{names, stream, walk};
use crate::lang::Path;
use crate::revision::{Capture, Mode, Stream};
use diag::Code;
use serde_json::Value;

/// Modes of the language.
pub(crate) const MODES: &[(&str, Mode)] = &[
    ("json", Mode::Json),
    ("binary", Mode::Binary),
    ("json_base64", Mode::JsonBase64),
    ("json_hex", Mode::JsonHex),
    ("base64", Mode::JsonBase64),
    ("hex", Mode::JsonHex),
    ("text", Mode::Text),
    ("multipart", Mode::Multipart),
    ("sse", Mode::Sse),
    ("ndjson", Mode::Ndjson),
];

const LABELS: &[(&str, Label)] = &[
    ("text", Label::Text),
    ("image_urls", Label::Images),
    ("audio_data_url", Label::Audio),
    ("raw_json", Label::Raw),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Text,
    Images,
    Audio,
    Raw,
}

/// Names of `extract` that end in `_path` and have a meaning of their own.
const PATHS: &[&str] = &[
    "job_id_path",
    "text_path",
    "urls_path",
    "base64_path",
    "mime_path",
];

/// `response_mapping` without what other checks read.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    pub(crate) mode: Option<Mode>,
    pub(crate) content_type: Option<String>,
    pub(crate) captures: Vec<(String, Capture)>,
    pub(crate) job_id: Option<Path>,
    pub(crate) stream: Option<Stream>,
    pub(crate) text: Option<Path>,
    pub(crate) urls: Option<Path>,
    pub(crate) base64: Option<Path>,
    pub(crate) mime: Option<Path>,
    pub(crate) usage: Vec<(String, Vec<Path>)>,
}

/// Reads it, but for `errors` and `output`.
pub(crate) fn mapping(fields: &Fields<'_>, cx: &Context<'_>) -> Mapping {
    let mut mapping = Mapping {
        mode: fields.word("mode", MODES),
        content_type: fields.text("content_type").map(str::to_owned),
        ..Mapping::default()
    };
    if let Some(extract) = fields.fields("extract") {
        run_extract(&extract, &mut mapping, cx);
    }
    if mapping.urls.is_some() && mapping.mode != Some(Mode::Text) {
        super::workflow::no_text(fields, mapping.mode, "base64_path", cx.sink);
    }
    mapping.stream = stream::stream(fields, &mapping, cx);
    label(fields, &mapping, cx);
    mapping
}

fn run_extract(extract: &Fields<'_>, mapping: &mut Mapping, cx: &Context<'_>) {
    let path = |name| cx.answer_path(extract.raw(name), &extract.place(name));
    mapping.job_id = job_id_path(
        extract.raw("job_id_path"),
        &extract.place("job_id_path"),
        cx,
    );
    mapping.text = path("text_path");
    mapping.urls = path("urls_path");
    mapping.base64 = path("base64_path");
    mapping.mime = path("mime_path");
    mapping.usage = usage(extract, cx);
    mapping.captures = captures(extract, &[PATHS, &["usage"]].concat(), cx);
}

/// One path: an id is not made of several values.
pub(crate) fn job_id_path(
    source: Option<&Value>,
    at: &diag::Place,
    cx: &Context<'_>,
) -> Option<Path> {
    if source.is_some_and(Value::is_object) {
        cx.sink.error(
            Code::P207,
            at,
            "`job_id_path` is one path, and no capture",
            "write the path alone; what is made of several values gets a name of its own in `extract`, and is read as `{{steps.submit.<name>}}`",
        );
        return None;
    }
    cx.answer_path(source, at)
}

fn usage(extract: &Fields<'_>, cx: &Context<'_>) -> Vec<(String, Vec<Path>)> {
    let at = extract.place("usage");
    let mut all = Vec::new();
    for (name, source) in extract.object("usage").into_iter().flatten() {
        let at = at.child(name);
        if !source.is_object() {
            let path = cx.answer_path(Some(source), &at);
            all.extend(path.map(|path| (name.clone(), vec![path])));
            continue;
        }
        let Some(fields) = Fields::open(source, &at, cx.sink) else {
            continue;
        };
        let sum_at = fields.place("sum");
        let items = fields.list("sum").unwrap_or_default().iter().enumerate();
        let paths = items.filter_map(|(i, item)| cx.answer_path(Some(item), &sum_at.child(i)));
        all.push((name.clone(), paths.collect()));
        if fields.raw("sum").is_none() {
            fields.missing("sum");
        }
        fields.finish();
    }
    all
}

/// The captures of a step's own `extract`.
pub(crate) fn step_captures(fields: &Fields<'_>, cx: &Context<'_>) -> Vec<(String, Capture)> {
    match fields.fields("extract") {
        Some(extract) => captures(&extract, &[], cx),
        None => Vec::new(),
    }
}

/// Every member that is none of `taken` is a capture.
fn captures(extract: &Fields<'_>, taken: &[&str], cx: &Context<'_>) -> Vec<(String, Capture)> {
    let mut all = Vec::new();
    for (name, source) in extract.members() {
        if taken.contains(&name.as_str()) || source.is_null() {
            continue;
        }
        let at = extract.place(name);
        if name.ends_with("_path") {
            let help = of_the_run(name);
            let message = format!("`{name}` has no meaning here");
            cx.sink.error(Code::P501, &at, message, help);
            continue;
        }
        names::identifier(name, &at, cx.sink);
        all.extend(capture(source, &at, cx).map(|capture| (name.clone(), capture)));
    }
    all
}

/// What to do with a name that ends as only the run's own do.
fn of_the_run(name: &str) -> String {
    if PATHS.contains(&name) {
        return "it stands in `response_mapping.extract` and reads the run's last answer; what a step takes has a name of its own".to_owned();
    }
    let near = walk::nearest(name, PATHS.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    format!("{near}names of your own do not end in `_path`")
}

fn capture(source: &Value, at: &diag::Place, cx: &Context<'_>) -> Option<Capture> {
    if !source.is_object() {
        return Some(Capture {
            path: cx.answer_path(Some(source), at)?,
            parse_json: false,
            join: None,
            secret: false,
        });
    }
    let fields = Fields::open(source, at, cx.sink)?;
    if fields.raw("path").is_none() {
        fields.missing("path");
    }
    let path = cx.answer_path(fields.raw("path"), &fields.place("path"));
    let parse = fields.text("parse");
    if let Some(other) = parse.filter(|parse| *parse != "json") {
        not_a_word(cx.sink, &fields.place("parse"), other, &["json"]);
    }
    let join = fields.text("join").map(str::to_owned);
    let secret = fields.flag("secret").unwrap_or(false);
    fields.finish();
    Some(Capture {
        path: path?,
        parse_json: parse.is_some(),
        join,
        secret,
    })
}

/// `result_type` is a label; it must not contradict the extraction.
fn label(fields: &Fields<'_>, mapping: &Mapping, cx: &Context<'_>) {
    let Some(label) = fields.word("result_type", LABELS) else {
        return;
    };
    let mode = mapping.mode.unwrap_or(Mode::Json);
    let files = mapping.urls.is_some()
        || mapping.base64.is_some()
        || matches!(mode, Mode::Binary | Mode::JsonBase64 | Mode::JsonHex);
    let wrong = match label {
        Label::Text if mapping.text.is_none() && mode != Mode::Text && !mode.is_stream() => {
            Some("`text` needs `extract.text_path`, the mode `text`, or a stream")
        }
        Label::Images if mode == Mode::Text => Some("`image_urls` are not in a text"),
        Label::Audio if mode == Mode::Text => Some("`audio_data_url` is not in a text"),
        Label::Raw if mode != Mode::Json && files => Some("`raw_json` needs the mode `json`"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        cx.sink.error(
            Code::P502,
            &fields.place("result_type"),
            wrong,
            "change the label, or the extraction",
        );
    }
}
