//! `/openai/v1/videos`: a video is a run of a video profile, under an id of ours.

mod content;
mod list;
mod remix;
mod shown;

pub(crate) use content::{__path_content, content};
pub(crate) use list::{__path_list, list};
pub(crate) use remix::{__path_remix, remix};

use super::{Call, ErrorBody, POLL_AFTER, Refusal, make};
use crate::caller::Caller;
use crate::problem::chain;
use crate::routes::House;
use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use diag::Code;
use runtime::{RunError, RunHandle, RunRequest};
use serde::Serialize;
use serde_json::Value;
use shown::Video;
use utoipa::ToSchema;
use uuid::Uuid;

/// What makes a video.
const PURPOSE: &str = "video";
/// Of an id of ours, as that API's ids begin.
const PREFIX: &str = "video_";
/// Clients that wait for a job look again after so many milliseconds.
const LOOK_AGAIN_MS: u64 = 2_000;
/// The call of a remix has the id of its video in the path; a profile that can remix says by this name which option or input takes it.
const REMIXED_FROM: &str = "remixed_from_video_id";

/// A video to be made: as JSON, or as a form, where `input_reference` may be a file. Other members are options and inputs of the
/// model, by their own names or as its profile says.
#[derive(ToSchema)]
#[schema(as = OpenAiNewVideo)]
#[expect(
    dead_code,
    reason = "described, and never made: bodies are read member by member"
)]
struct NewVideo {
    /// The text that it is made from.
    prompt: String,
    /// As `/openai/v1/models` lists them; a default one without it.
    model: Option<String>,
    /// Of the model, where several providers have one of that name.
    provider: Option<String>,
    /// Its length.
    seconds: Option<String>,
    /// Width x height.
    size: Option<String>,
    /// A picture to begin with: a file, an address, or `{"image_url"}`.
    #[schema(value_type = Option<Object>)]
    input_reference: Option<Value>,
}

/// A remix to be made.
#[derive(ToSchema)]
#[schema(as = OpenAiNewRemix)]
#[expect(
    dead_code,
    reason = "described, and never made: bodies are read member by member"
)]
struct NewRemix {
    /// What is to be another way.
    prompt: String,
}

/// A video that is gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiVideoDeleted)]
pub(crate) struct Deleted {
    /// Of the video.
    id: String,
    /// `video.deleted`
    object: &'static str,
    /// It is.
    deleted: bool,
}

/// Makes a video
///
/// Answers as soon as the run is written down. A call that an official client sends again is answered with the run of the first time.
#[utoipa::path(
    post, path = "/openai/v1/videos", tag = "openai", operation_id = "openaiCreateVideo",
    request_body(content((NewVideo = "application/json"), (NewVideo = "multipart/form-data"))),
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same video, for 30 days; another body is a 409")),
    responses(
        (status = 200, description = "Made, or made before", body = Video, headers(("openai-poll-after-ms" = u64, description = "When to look"))),
        (status = 409, description = "The key was used for another body", body = ErrorBody),
    )
)]
pub(crate) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let mut call = Call::read(&headers, body).await?;
    let mut request = RunRequest::new(PURPOSE);
    request.call.prompt = call.required_text("prompt");
    request.model = call.text("model");
    request.provider = call.text("provider");
    if call.take(REMIXED_FROM).is_some() {
        let message = format!("`{REMIXED_FROM}` is not taken here");
        let help = "remix a video with `POST …/videos/{id}/remix`";
        call.refuse(REMIXED_FROM, Code::C153, message, help);
    }
    let made = make(&house, &caller, &headers, call, request).await?;
    Ok(made_video(&house, &caller, &made).await)
}

/// What the caller of a new video hears. The run is made, so its id is told though it could not be looked at.
async fn made_video(house: &House, caller: &Caller, run: &RunHandle) -> Response {
    let asked = house
        .modelrow
        .asked(caller.tenant(), PURPOSE, run.id())
        .await;
    let video = match asked {
        Ok(asked) => Video::of(&asked),
        Err(error) => {
            tracing::warn!(run.id = %run.id(), error = chain(&error), "a new video could not be looked at");
            Video::unseen(run.id(), house.modelrow.now())
        }
    };
    (poll_after(), Json(video)).into_response()
}

/// Shows where a video stands
#[utoipa::path(
    get, path = "/openai/v1/videos/{id}", tag = "openai", operation_id = "openaiGetVideo",
    params(("id" = String, Path, description = "`video_…`")),
    responses((status = 200, description = "Where it stands", body = Video, headers(("openai-poll-after-ms" = u64, description = "When to look again; absent once it has ended"))))
)]
pub(crate) async fn retrieve(
    State(house): State<House>,
    caller: Caller,
    VideoPath(id): VideoPath,
) -> Result<Response, Refusal> {
    let asked = house.modelrow.asked(caller.tenant(), PURPOSE, id).await;
    let asked = asked.map_err(|error| not_there(id, error))?;
    let video = Json(Video::of(&asked));
    Ok(match asked.ended_at {
        Some(_) => video.into_response(),
        None => (poll_after(), video).into_response(),
    })
}

/// Deletes a video that has ended: what was asked, what came of it, and its files
#[utoipa::path(
    delete, path = "/openai/v1/videos/{id}", tag = "openai", operation_id = "openaiDeleteVideo",
    params(("id" = String, Path, description = "`video_…`")),
    responses(
        (status = 200, description = "Gone", body = Deleted),
        (status = 409, description = "It has not ended", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(house): State<House>,
    caller: Caller,
    VideoPath(id): VideoPath,
) -> Result<Json<Deleted>, Refusal> {
    let modelrow = &house.modelrow;
    // What is no video is not there for this call.
    let asked = modelrow.asked(caller.tenant(), PURPOSE, id).await;
    asked.map_err(|error| not_there(id, error))?;
    let done = modelrow.delete(caller.tenant(), id, caller.actor()).await;
    done.map_err(|error| not_there(id, error))?;
    Ok(Json(Deleted {
        id: name(id),
        object: "video.deleted",
        deleted: true,
    }))
}

fn poll_after() -> HeaderMap {
    HeaderMap::from_iter([(POLL_AFTER, LOOK_AGAIN_MS.into())])
}

/// Our id of a video, as that API's ids look.
fn name(run: Uuid) -> String {
    format!("{PREFIX}{}", run.simple())
}

/// The run behind an id.
fn run_of(id: &str) -> Option<Uuid> {
    Uuid::try_parse(id.strip_prefix(PREFIX)?).ok()
}

/// That API's word for a video that is not there; every other error as it is.
fn not_there(run: Uuid, error: RunError) -> Refusal {
    match error {
        RunError::NoSuchRun { .. } => no_video(&name(run)),
        other => other.into(),
    }
}

fn no_video(id: &str) -> Refusal {
    let message = format!("there is no video `{id}`");
    Refusal::new(StatusCode::NOT_FOUND, "video_not_found", message)
}

/// The video that is called for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VideoPath(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for VideoPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = path.map_err(|_| no_video("?"))?;
        run_of(&id).map(Self).ok_or_else(|| no_video(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_what_is_none_is_refused() {
        let run = Uuid::from_u128(7);
        assert_eq!(name(run), "video_00000000000000000000000000000007");
        assert_eq!(run_of(&name(run)), Some(run));
        for id in [
            "",
            "video_",
            "video_7",
            "7",
            "00000000000000000000000000000007",
        ] {
            assert_eq!(run_of(id), None, "{id}");
        }
    }
}
