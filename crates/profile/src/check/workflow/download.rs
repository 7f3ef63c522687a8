//! The step `download`, written or implied.

use super::super::context::Context;
use super::super::exchange::{NOT_OF_AN_ANSWER, fetch};
use super::super::response::{MODES, Mapping};
use super::super::walk::{Fields, Sink};
use super::super::{bounds, names};
use super::Reader;
use crate::lang::Place as Stand;
use crate::revision::{Action, Download, Expires, Mode, Purpose, Step, Wrap};
use diag::{Code, Place};

impl Reader<'_> {
    pub(super) fn download(
        &mut self,
        fields: &Fields<'_>,
        conditional: bool,
        cx: &Context<'_>,
    ) -> Option<Action> {
        let artifact = fields
            .text("artifact")
            .unwrap_or(artifact_name(self.purpose));
        let at = fields.place("artifact");
        names::name(artifact, &at, cx.sink);
        let others = self
            .artifacts
            .iter()
            .filter(|(_, other)| !(conditional && *other));
        names::unique(
            others.map(|(name, _)| name.as_str()),
            artifact,
            &at,
            cx.sink,
        );
        self.artifacts.push((artifact.to_owned(), conditional));
        let path = |name| cx.answer_path(fields.raw(name), &fields.place(name));
        let mode = file_mode(fields);
        let part = part(fields, mode);
        let url = path("url_path");
        let value = if mode == Some(Mode::Multipart) {
            None
        } else {
            path("value_path")
        };
        if url.is_some() && (value.is_some() || part.is_some()) {
            cx.sink.error(
                Code::P113,
                fields.at(),
                "`url_path` and `value_path` are both there",
                "keep one: the file is at an address, or in the text",
            );
        }
        if url.is_some() {
            no_text(fields, mode, "value_path", cx.sink);
        }
        let from = self.from(fields, cx.sink);
        let content_type = fields.text("content_type");
        let accept = fields.texts("accept").map_or_else(
            || accept(content_type, self.purpose),
            |list| list.into_iter().map(str::to_owned).collect(),
        );
        let usual = if value.is_some() {
            Mode::JsonBase64
        } else if url.is_some() {
            Mode::Json
        } else {
            Mode::Binary
        };
        Some(Action::Download(Box::new(Download {
            artifact: artifact.to_owned(),
            optional: fields.flag("optional").unwrap_or(false),
            from,
            url,
            value,
            part,
            mode: mode.unwrap_or(usual),
            accept,
            max_bytes: bounds::FILE_BYTES.read(fields, cx.sink),
            mime: path("mime_path"),
            content_type: content_type
                .and_then(|text| cx.text(text, Stand::Plain, &fields.place("content_type"))),
            expires: expires(fields, cx),
            wrap: fields.word("wrap", &[("wav", Wrap::Wav)]),
            fetch: fetch(Some(fields), cx),
        })))
    }

    fn from(&self, fields: &Fields<'_>, sink: &Sink) -> Option<String> {
        let from = fields.text("from")?;
        if !self.behind.iter().any(|name| name == from) {
            sink.error(
                Code::P606,
                &fields.place("from"),
                format!("`{from}` is no earlier step"),
                format!("one of: {}", self.behind.join(", ")),
            );
        }
        Some(from.to_owned())
    }
}

/// What is at an address is no text in an answer.
pub(crate) fn no_text(fields: &Fields<'_>, mode: Option<Mode>, instead: &'static str, sink: &Sink) {
    if matches!(mode, Some(Mode::JsonBase64 | Mode::JsonHex | Mode::Text)) {
        sink.error(
            Code::P113,
            &fields.place("mode"),
            "the file is at an address, and this `mode` reads it out of a text",
            format!("leave `mode` out; or name the text with `{instead}` in place of the address"),
        );
    }
}

/// What a download makes when it does not say.
pub(crate) fn artifact_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::ThreeD => "model",
        other => other.as_str(),
    }
}

/// Media types of a file: the kind of `content_type`, else of the purpose; empty: any.
fn accept(content_type: Option<&str>, purpose: Purpose) -> Vec<String> {
    let written = content_type.and_then(|text| text.split_once('/'));
    let kind = match written {
        Some((kind, _)) if !kind.contains(['{', '<']) => Some(kind),
        _ => match purpose {
            Purpose::Video => Some("video"),
            Purpose::Audio | Purpose::Music => Some("audio"),
            Purpose::Image => Some("image"),
            Purpose::ThreeD => Some("model"),
            _ => None,
        },
    };
    kind.map(|kind| format!("{kind}/*")).into_iter().collect()
}

/// `urls_path`, `base64_path` or a binary `mode`, without a `download`, is that step. `at`: where `content_type` stands.
pub(crate) fn implied_download(
    steps: &[Step],
    mapping: &Mapping,
    (purpose, at): (Purpose, &Place),
    cx: &Context<'_>,
) -> Option<Step> {
    let mode = mapping.mode.unwrap_or(Mode::Json);
    let has_download = steps
        .iter()
        .any(|step| matches!(step.action, Action::Download(_)));
    let wanted = mapping.urls.is_some()
        || mapping.base64.is_some()
        || matches!(mode, Mode::Binary | Mode::JsonBase64 | Mode::JsonHex);
    if has_download || !wanted {
        return None;
    }
    let content_type = mapping.content_type.as_deref();
    Some(Step {
        name: "download".to_owned(),
        when: None,
        each: None,
        exchange: None,
        captures: Vec::new(),
        action: Action::Download(Box::new(Download {
            artifact: artifact_name(purpose).to_owned(),
            optional: false,
            from: None,
            url: mapping.urls.clone(),
            value: mapping.base64.clone(),
            part: None,
            mode: match mode {
                Mode::Json | Mode::Sse | Mode::Ndjson if mapping.base64.is_some() => {
                    Mode::JsonBase64
                }
                Mode::Sse | Mode::Ndjson => Mode::Json,
                mode => mode,
            },
            accept: accept(content_type, purpose),
            max_bytes: 4 * 1024 * 1024 * 1024,
            mime: mapping.mime.clone(),
            content_type: content_type.and_then(|text| cx.text(text, Stand::Plain, at)),
            expires: None,
            wrap: None,
            fetch: fetch(None, cx),
        })),
    })
}

/// Refuses parts that no download reads.
pub(crate) fn parts_are_read(
    steps: &[Step],
    mapping: &Mapping,
    fields: &Fields<'_>,
    cx: &Context<'_>,
) {
    let read = steps.iter().any(|step| match &step.action {
        Action::Download(download) => download.part.is_some(),
        _ => false,
    });
    if mapping.mode == Some(Mode::Multipart) && !read {
        cx.sink.error(
            Code::P511,
            &fields.place("mode"),
            "the answer has parts, and no download says which of them is the file",
            "add a step `download` with `\"mode\": \"multipart\"` and the part's name as `value_path`",
        );
    }
}

/// The `mode` of a file: a stream of events is none.
fn file_mode(fields: &Fields<'_>) -> Option<Mode> {
    let modes = MODES.iter().filter(|(_, mode)| !mode.is_stream());
    let modes: Vec<_> = modes.copied().collect();
    fields.word("mode", &modes)
}

/// The name of the part that is the file.
fn part(fields: &Fields<'_>, mode: Option<Mode>) -> Option<String> {
    if mode != Some(Mode::Multipart) {
        return None;
    }
    let name = fields.text("value_path");
    if name.is_none_or(str::is_empty) {
        fields.error(
            Code::P511,
            "nothing says which part of the answer is the file",
            "add `value_path` with the name of the part",
        );
    }
    name.map(str::to_owned)
}

fn expires(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Expires> {
    let given = bounds::EXPIRES_IN.given(fields, cx.sink).map(Expires::InMs);
    let at = fields.place("expires_path");
    let path = cx.answer_path(fields.raw("expires_path"), &at);
    given.or(path.map(Expires::At))
}

/// `max_bytes` of a download is the file's. Where the file is behind or inside
/// an answer, the answer has the bounds of answers.
pub(super) fn bound_answer(step: &mut Step) {
    const ANSWER: u64 = 16 * 1024 * 1024;
    const MOST: u64 = 256 * 1024 * 1024;
    let Action::Download(download) = &step.action else {
        return;
    };
    let Some(exchange) = &mut step.exchange else {
        return;
    };
    if download.url.is_some() {
        exchange.max_bytes = ANSWER;
    } else if download.value.is_some() || download.part.is_some() {
        exchange.max_bytes = download.max_bytes.min(MOST);
    }
}

/// `each` asks for something, and `from` says whose answer is read.
pub(super) fn each_and_from(fields: &Fields<'_>, asks: bool, sink: &Sink) {
    let there = |name: &'static str| fields.raw(name).is_some();
    if there("each") && !asks {
        sink.error(
            Code::P608,
            &fields.place("each"),
            "`each` has no effect: the step has no address of its own to ask for each item",
            "leave it out (all files of an answer are fetched), or add a `path` or `url`",
        );
    }
    if there("from") && asks && !there("each") {
        sink.error(
            Code::P608,
            &fields.place("from"),
            "`from` has no effect: the step has an address of its own, and reads what that answers",
            "leave it out; with `each`, it says whose answer the items are in",
        );
    }
}

/// A file that is in an answer is not asked for.
pub(super) fn asks_nothing(fields: &Fields<'_>, sink: &Sink) {
    for name in NOT_OF_AN_ANSWER {
        if fields.raw(name).is_some() {
            sink.error(
                Code::P608,
                &fields.place(name),
                format!("`{name}` has no effect: the file is in an answer that came before, and nothing is asked for"),
                "leave it out; or add a `path`, `url` or `url_path`, so that there is a request",
            );
        }
    }
}
