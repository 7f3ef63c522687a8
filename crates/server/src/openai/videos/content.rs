//! `GET /openai/v1/videos/{id}/content`: the file of a video, or another that its profile delivers beside it.

use super::{PURPOSE, VideoPath, name, no_video, not_there};
use crate::caller::Caller;
use crate::openai::{ErrorBody, Refusal};
use crate::routes::{House, served};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use runtime::{ArtifactView, RunView, Status};

/// The file that is meant where none is named.
const VIDEO: &str = "video";

/// Streams the file of a video
#[utoipa::path(
    get, path = "/openai/v1/videos/{id}/content", tag = "openai", operation_id = "openaiDownloadVideo",
    params(("id" = String, Path, description = "`video_…`"), ("variant" = Option<String>, Query, description = "`video` without it; `thumbnail`, `spritesheet` or another name of a file, where the profile delivers it"), ("Range" = Option<String>, Header, description = "A part of it")),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"),
        (status = 206, description = "The part that `Range` asks for", body = Vec<u8>, content_type = "*/*"),
        (status = 304, description = "As it was: `If-None-Match` has its `ETag`"),
        (status = 400, description = "It has not ended (`video_not_ready`), or has failed (`video_failed`)", body = ErrorBody),
        (status = 416, description = "It has no such part"),
    )
)]
pub(crate) async fn content(
    State(house): State<House>,
    caller: Caller,
    VideoPath(id): VideoPath,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let variant = variant(query)?;
    let (tenant, modelrow) = (caller.tenant(), &house.modelrow);
    let run = modelrow.run(tenant, id).await;
    let run = run.map_err(|error| not_there(id, error))?;
    if run.purpose != PURPOSE {
        return Err(no_video(&name(id)));
    }
    let file = file(&run, &variant)?;
    let stored = modelrow.stored(tenant, id, &file.name, file.idx).await?;
    let stored = stored.ok_or_else(gone)?;
    Ok(served(modelrow, stored, &Method::GET, &headers).await?)
}

fn variant(query: Result<Query<Vec<(String, String)>>, QueryRejection>) -> Result<String, Refusal> {
    let unreadable = |_| Refusal::param("invalid_value", "variant", "the query is not readable");
    let Query(pairs) = query.map_err(unreadable)?;
    let mut variant = VIDEO.to_owned();
    for (name, value) in pairs {
        if name != "variant" {
            let message = format!("unknown parameter `{name}`; known here: variant");
            return Err(Refusal::param("unknown_parameter", &name, message));
        }
        variant = value;
    }
    Ok(variant)
}

/// The file of this name; a profile may call its video otherwise, and then it is the first that is one.
fn file<'r>(run: &'r RunView, variant: &str) -> Result<&'r ArtifactView, Refusal> {
    if !run.ended() {
        // Not 409: clients would repeat that by themselves.
        let message = format!("the video is not ready yet: it is {}", run.state);
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "video_not_ready",
            message,
        ));
    }
    if run.status != Status::Succeeded {
        let message = "the video has failed: its `error` says why";
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "video_failed",
            message,
        ));
    }
    let named = run.artifacts.iter().find(|file| file.name == variant);
    let is_video = |file: &&ArtifactView| file.content_type.starts_with("video/");
    let first = || run.artifacts.iter().find(is_video);
    let found = named.or_else(|| first().filter(|_| variant == VIDEO));
    found.ok_or_else(|| match run.artifacts.is_empty() {
        true => gone(),
        false => {
            let names: Vec<&str> = run
                .artifacts
                .iter()
                .map(|file| file.name.as_str())
                .collect();
            let message = format!("the video has no `{variant}`; it has: {}", names.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, "variant_not_found", message)
        }
    })
}

/// The video itself.
pub(super) fn video(run: &RunView) -> Result<&ArtifactView, Refusal> {
    file(run, VIDEO)
}

pub(super) fn gone() -> Refusal {
    let message = "the files of the video are past their retention";
    Refusal::new(StatusCode::NOT_FOUND, "video_expired", message)
}
