//! `/openai/v1/audio/transcriptions`: text of speech in front of any profile that transcribes.

use super::asked::Asked;
use super::bodies::{AwaitedErrors, AwaitedHeaders, NewTranscription};
use super::ended::{self, Usage};
use super::serving::{answered, serving, told_by};
use super::subtitles;
use super::target::Target;
use super::{Call, Refusal, awaited};
use crate::caller::Caller;
use crate::routes::House;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use diag::{Code, Place};
use runtime::RunView;
use serde_json::{Map, Value, json};

/// Transcribes audio
///
/// The call is a run like any other; its answer is held until the run has ended, for nine and a half minutes at most.
#[utoipa::path(
    post, path = "/openai/v1/audio/transcriptions", tag = "openai", operation_id = "openaiCreateTranscription",
    request_body(content = NewTranscription, content_type = "multipart/form-data"),
    params(AwaitedHeaders),
    responses(
        (status = 200, description = "The text, in the form that was asked for", headers(("x-run-id" = String, description = "The run that answered")), content((Value = "application/json"), (String = "text/plain"))),
        AwaitedErrors,
    )
)]
pub(crate) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let call = Call::read(&headers, body).await?;
    let revision = serving(&house, &caller, "transcription", &call)?;
    let TranscriptionAsked { asked, format } = read(call, Target(&revision));
    let view = awaited::run(&house, &caller, &headers, asked).await?;
    match answer(&view, format) {
        // A text, whatever its format, is a text to the official clients.
        Some(Value::String(text)) => Ok(told_by(&view, text.into_response())),
        Some(answer) => Ok(answered(&view, answer)),
        None => Err(awaited::gone(view.id, "segments")),
    }
}

/// A transcription that is asked for.
#[derive(Debug)]
pub(crate) struct TranscriptionAsked {
    pub(crate) asked: Asked,
    pub(crate) format: Format,
}

/// How the text is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Text,
    /// With what else is known: language, duration, segments, words.
    Verbose,
    Srt,
    Vtt,
}

const FORMATS: [(&str, Format); 5] = [
    ("json", Format::Json),
    ("text", Format::Text),
    ("verbose_json", Format::Verbose),
    ("srt", Format::Srt),
    ("vtt", Format::Vtt),
];

impl Format {
    fn is_of_segments(self) -> bool {
        matches!(self, Self::Srt | Self::Vtt)
    }

    /// Than the text.
    fn needs_more(self) -> bool {
        self.is_of_segments() || self == Self::Verbose
    }
}

/// Reads it, for the model that serves it.
pub(crate) fn read(call: Call, target: Target<'_>) -> TranscriptionAsked {
    let mut asked = Asked::new("transcription", call);
    put_file(target, &mut asked);
    let format = format(&mut asked.call, target);
    asked.no_stream();
    let reads = target.reads();
    if reads.prompt && target.option("prompt").is_none() {
        asked.request.call.prompt = asked.call.text("prompt");
    }
    if reads.language && target.option("language").is_none() {
        asked.request.call.language = asked.call.text("language");
    }
    // What the text is put into is ours to write; the model is asked for what that needs.
    if format.needs_more() && target.option("response_format").is_some() {
        asked.call.put("response_format", "verbose_json".into());
    }
    TranscriptionAsked { asked, format }
}

fn put_file(target: Target<'_>, asked: &mut Asked) {
    let mut given = asked.call.take_files("file").into_iter();
    match (given.next(), given.next(), target.input("file", "audio")) {
        (Some(file), None, Some(input)) => {
            asked.request.media.insert(input.name.clone(), vec![file]);
            let ours = Place::pointer("/inputs").child(&input.name);
            asked.call.named(&ours.pointer, "file");
        }
        (Some(_), None, None) => {
            let message = format!("the model `{}` takes no audio", target.name());
            let help = "name a model that transcribes";
            asked.call.refuse("file", Code::C110, message, help);
        }
        (None, ..) => {
            let help = "send a form with the audio as its part `file`, with a file name";
            asked
                .call
                .refuse("file", Code::C155, "there is no `file`", help);
        }
        (Some(_), Some(_), _) => {
            let help = "send one file";
            asked
                .call
                .refuse("file", Code::C112, "there are several files", help);
        }
    }
}

fn format(call: &mut Call, target: Target<'_>) -> Format {
    let Some(word) = call.text("response_format") else {
        return Format::Json;
    };
    let known = FORMATS.iter().find(|(name, _)| *name == word);
    let refused = match known {
        None => Some((
            format!("`{word}` is no format of a transcription here"),
            "write `json`, `text`, `verbose_json`, `srt` or `vtt`",
        )),
        Some((_, format)) if format.is_of_segments() && !gives_segments(target) => Some((
            format!(
                "the model `{}` gives no segments, and `{word}` is made of them",
                target.name()
            ),
            "write `json`, `text` or `verbose_json`, or name a model that gives segments",
        )),
        Some(_) => None,
    };
    if let Some((message, help)) = refused {
        call.refuse("response_format", Code::C154, message, help);
    }
    known.map_or(Format::Json, |(_, format)| *format)
}

/// Whether an output may have `segments`: it is written there, or captured where no output is written.
fn gives_segments(target: Target<'_>) -> bool {
    let revision = target.0;
    if revision.response.output.is_some() {
        let mapping = revision.content.pointer("/profile/response_mapping/output");
        return mapping.is_some_and(|output| holds(output, "segments"));
    }
    let steps = revision.workflow.steps.iter().map(|step| &step.captures);
    let mut captures = steps.chain([&revision.response.captures]).flatten();
    captures.any(|(name, _)| name == "segments")
}

fn holds(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(member, inner)| member == name || holds(inner, name)),
        Value::Array(items) => items.iter().any(|item| holds(item, name)),
        _ => false,
    }
}

/// The answer: JSON, or a text as it stands. Absent: subtitles of an output without segments.
pub(crate) fn answer(run: &RunView, format: Format) -> Option<Value> {
    let output = run.output.as_ref();
    let text = ended::text(output, false);
    let member = |name: &str| output.and_then(|output| output.get(name)).cloned();
    let cues = || subtitles::cues(output.and_then(|output| output.get("segments")));
    Some(match format {
        Format::Json => {
            let mut answer = Map::from_iter([("text".to_owned(), text.into())]);
            answer.extend(usage(output).map(|usage| ("usage".to_owned(), usage)));
            Value::Object(answer)
        }
        Format::Text => Value::String(format!("{text}\n")),
        Format::Verbose => {
            let mut answer = Map::from_iter([("task".to_owned(), json!("transcribe"))]);
            for name in ["language", "duration"] {
                answer.extend(member(name).map(|value| (name.to_owned(), value)));
            }
            answer.insert("text".into(), text.into());
            for name in ["segments", "words"] {
                answer.extend(member(name).map(|value| (name.to_owned(), value)));
            }
            answer.extend(usage(output).map(|usage| ("usage".to_owned(), usage)));
            Value::Object(answer)
        }
        Format::Srt => Value::String(subtitles::srt(&cues()?)),
        Format::Vtt => Value::String(subtitles::vtt(&cues()?)),
    })
}

/// By tokens where they were counted, else by the length of the audio.
fn usage(output: Option<&Value>) -> Option<Value> {
    if let Some(usage) = Usage::of(output) {
        return Some(json!({
            "type": "tokens", "input_tokens": usage.input, "output_tokens": usage.output, "total_tokens": usage.total,
        }));
    }
    let seconds = output?.get("duration")?;
    seconds
        .is_number()
        .then(|| json!({"type": "duration", "seconds": seconds}))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{filled, revision, run};
    use super::*;
    use runtime::{InputMedium, RunRequest};

    /// A form with these members and files.
    fn form(members: &Value, files: &[&str]) -> Call {
        let mut call = Call::of_form(members.clone());
        for name in files {
            call.put_file(name, InputMedium::file("a.wav", "RIFF"));
        }
        call
    }

    /// The run that is asked for, or where the mistakes are.
    fn asked(call: Call) -> Result<RunRequest, Vec<String>> {
        let revision = revision("listen-1");
        filled(read(call, Target(&revision)).asked, &revision)
    }

    #[test]
    fn a_transcription_is_asked_for_with_its_file_and_the_models_options() {
        let members = json!({
            "model": "listen-1", "temperature": "0.2", "punctuate": "true", "words": ["cat", "dog"], "language": "en",
            "response_format": "srt", "timestamp_granularities": ["segment"], "stream": "false",
        });
        let request = asked(form(&members, &["file"])).unwrap();
        assert_eq!(
            json!(request.call.params),
            json!({"temperature": 0.2, "punctuate": true, "words": ["cat", "dog"]})
        );
        assert_eq!(
            (
                request.call.language.as_deref(),
                request.media["speech"].len()
            ),
            (Some("en"), 1)
        );
        assert_eq!(request.model.as_deref(), Some("listen-1"));
        let format = read(form(&members, &["file"]), Target(&revision("listen-1"))).format;
        assert_eq!(format, Format::Srt);
    }

    #[test]
    #[rustfmt::skip]
    fn everything_that_is_wrong_is_said_at_once_at_its_place() {
        let cases: [(Value, &[&str], &[&str]); 5] = [
            (json!({}),                                                             &[],                &["/file"]),
            (json!({}),                                                             &["file", "file"],  &["/file"]),
            (json!({}),                                                             &["audio"],         &["/audio", "/file"]),
            (json!({"response_format": "diarized_json", "stream": "true"}),         &["file"],          &["/response_format", "/stream"]),
            (json!({"prompt": "x", "chunking_strategy": "server_vad"}),             &["file"],          &["/chunking_strategy", "/prompt"]),
        ];
        for (members, files, want) in cases {
            let mut found = asked(form(&members, files)).unwrap_err();
            found.sort();
            assert_eq!(found, want, "{members} {files:?}");
        }
    }

    #[test]
    fn subtitles_are_made_where_the_profile_gives_segments_and_refused_before_a_run_elsewhere() {
        assert!(gives_segments(Target(&revision("listen-1"))));
        assert!(!gives_segments(Target(&revision("talk-1"))));
    }

    #[test]
    #[rustfmt::skip]
    fn the_answer_has_the_form_that_was_asked_for() {
        let output = json!({"text": "Hi", "language": "en", "duration": 1.5, "segments": [{"start": 0, "end": 1.5, "text": "Hi"}]});
        let whole = run("transcription", "listen-1", output);
        let bare = run("transcription", "listen-1", json!({"text": "Hi"}));
        let duration = json!({"type": "duration", "seconds": 1.5});
        let cases = [
            (&whole, Format::Json,    Some(json!({"text": "Hi", "usage": duration}))),
            (&bare,  Format::Json,    Some(json!({"text": "Hi"}))),
            (&bare,  Format::Text,    Some(json!("Hi\n"))),
            (&bare,  Format::Verbose, Some(json!({"task": "transcribe", "text": "Hi"}))),
            (&whole, Format::Srt,     Some(json!("1\n00:00:00,000 --> 00:00:01,500\nHi\n\n"))),
            (&whole, Format::Vtt,     Some(json!("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHi\n\n"))),
            (&bare,  Format::Vtt,     None),
        ];
        for (run, format, want) in cases {
            assert_eq!(answer(run, format), want, "{format:?}");
        }
        let verbose = answer(&whole, Format::Verbose).unwrap();
        assert_eq!((&verbose["language"], &verbose["segments"][0]["text"]), (&json!("en"), &json!("Hi")));
    }
}
