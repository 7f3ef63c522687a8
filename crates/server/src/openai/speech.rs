//! `/openai/v1/audio/speech`: speech in front of any profile that makes audio.

use super::asked::Asked;
use super::bodies::{AwaitedErrors, AwaitedHeaders, NewSpeech};
use super::images::of_kind;
use super::serving::told_by;
use super::{Call, Refusal, awaited};
use crate::caller::Caller;
use crate::routes::{House, served};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use runtime::{ArtifactView, RunView};
use serde_json::Value;

/// Makes speech
///
/// The call is a run like any other; its answer is held until the run has ended, for nine and a half minutes at most.
#[utoipa::path(
    post, path = "/openai/v1/audio/speech", tag = "openai", operation_id = "openaiCreateSpeech", request_body = NewSpeech,
    params(AwaitedHeaders),
    responses(
        (status = 200, description = "The file, of its own type", body = Vec<u8>, content_type = "*/*", headers(("x-run-id" = String, description = "The run that answered"))),
        AwaitedErrors,
    )
)]
pub(crate) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let asked = read(Call::read(&headers, body).await?);
    let view = awaited::run(&house, &caller, &headers, asked).await?;
    let gone = || awaited::gone(view.id, "audio");
    let file = file(&view).ok_or_else(gone)?;
    let stored = house
        .modelrow
        .stored(caller.tenant(), view.id, &file.name, file.idx);
    let stored = stored.await?.ok_or_else(gone)?;
    // The call's own headers ask for no part of a file.
    let response = served(&house.modelrow, stored, &Method::GET, &HeaderMap::new()).await?;
    Ok(told_by(&view, response))
}

/// Reads it, for the model that serves it.
pub(crate) fn read(call: Call) -> Asked {
    let mut asked = Asked::new("audio", call);
    asked.request.call.prompt = asked.call.required_text("input");
    asked.call.named("/prompt", "input");
    if let Some(Value::Object(_)) = asked.call.shown("voice") {
        voice(&mut asked.call);
    }
    asked
}

/// `{"id"}` in place of a name.
fn voice(call: &mut Call) {
    let id = call.object("voice").and_then(|mut inner| {
        let id = inner.required_text("id");
        inner.close(&["id"]);
        id
    });
    if let Some(id) = id {
        call.put("voice", id.into());
    }
}

/// What was said; absent: the run delivered no file.
pub(crate) fn file(run: &RunView) -> Option<&ArtifactView> {
    of_kind(run, "audio/").into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{file as stored, filled, revision, run};
    use super::*;
    use runtime::RunRequest;
    use serde_json::json;

    /// The run that is asked for, or where the mistakes are.
    fn asked(body: &Value) -> Result<RunRequest, Vec<String>> {
        filled(read(Call::of(body.clone())), &revision("say-1"))
    }

    #[test]
    #[rustfmt::skip]
    fn speech_is_asked_for_by_the_models_options() {
        let body = json!({"model": "say-1", "input": "Hello", "voice": "ann", "response_format": "wav", "speed": 1.0, "stream_format": "audio"});
        let request = asked(&body).unwrap();
        assert_eq!(json!(request.call.params), json!({"voice_id": "ann", "format": "wav"}));
        assert_eq!(request.call.prompt.as_deref(), Some("Hello"));
        let named = asked(&json!({"input": "Hello", "voice": {"id": "v1"}})).unwrap();
        assert_eq!(named.call.params["voice_id"], "v1");
        let cases: [(Value, &[&str]); 4] = [
            (json!({"voice": "ann"}),                                     &["/input"]),
            (json!({"input": "Hello", "voice": {"name": "ann"}}),         &["/voice/id", "/voice/name"]),
            (json!({"input": "Hello", "voice": "a", "speed": 1.5}),       &["/speed"]),
            (json!({"input": "Hello", "voice": "a", "stream_format": "sse"}), &["/stream_format"]),
        ];
        for (body, want) in cases {
            assert_eq!(asked(&body).map(drop).unwrap_err(), want, "{body}");
        }
    }

    #[test]
    fn the_file_is_the_audio_that_was_delivered() {
        let mut run = run("audio", "say-1", json!({}));
        assert!(file(&run).is_none());
        run.artifacts = vec![
            stored("marks", 0, "application/json"),
            stored("audio", 0, "audio/mpeg"),
        ];
        assert_eq!(file(&run).unwrap().name, "audio");
    }
}
