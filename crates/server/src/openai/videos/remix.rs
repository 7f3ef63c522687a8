//! `POST /openai/v1/videos/{id}/remix`: a video made from another one, by profiles that can.
//!
//! A profile that can has a line for `remixed_from_video_id` in its `openai`: an option is given the provider's own id of the job, an
//! input the file.

use super::shown::Video;
use super::{NewRemix, PURPOSE, REMIXED_FROM, VideoPath, made_video, name, not_there};
use crate::caller::Caller;
use crate::openai::{Call, Refusal, make};
use crate::routes::House;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::TryStreamExt as _;
use profile::catalogue::Entry;
use profile::revision::Revision;
use runtime::{AskedRun, InputMedium, RunRequest, Status};
use std::sync::Arc;
use uuid::Uuid;

/// The largest video that is handed on as an input, in bytes.
const LARGEST: u64 = 64 << 20;

/// Makes a video from another one
///
/// In front of profiles that can; else `remix_not_supported`.
#[utoipa::path(
    post, path = "/openai/v1/videos/{id}/remix", tag = "openai", operation_id = "openaiRemixVideo", request_body = NewRemix,
    params(("id" = String, Path, description = "`video_…`, completed"), ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same video, for 30 days; another body is a 409")),
    responses((status = 200, description = "Made, or made before", body = Video))
)]
pub(crate) async fn remix(
    State(house): State<House>,
    caller: Caller,
    VideoPath(id): VideoPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let mut call = Call::read(&headers, body).await?;
    let source = house.modelrow.asked(caller.tenant(), PURPOSE, id).await;
    let source = source.map_err(|error| not_there(id, error))?;
    if source.status != Status::Succeeded {
        let message = format!(
            "`{}` is not completed: only a completed video can be remixed",
            name(id)
        );
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "video_not_ready",
            message,
        ));
    }
    let by = remixer(&house, caller.tenant(), &source).ok_or_else(|| cannot(&source))?;
    let mut request = RunRequest::new(PURPOSE)
        .provider(&by.provider)
        .profile_key(&by.profile_key);
    request.model.clone_from(&by.model);
    request.call.prompt = call.required_text("prompt");
    request.made_from = Some(id);
    hand_on(&house, &caller, &source, &by, &mut call).await?;
    let made = make(&house, &caller, &headers, call, request).await?;
    Ok(made_video(&house, &caller, &made).await)
}

/// The profile of the same provider that can: the one that made the video, else one of its model, else the first by name.
fn remixer(house: &House, tenant: Uuid, source: &AskedRun) -> Option<Arc<Revision>> {
    let compiled = house.modelrow.catalogue();
    let can = |entry: &&Entry| {
        let key = &entry.key;
        let seen = key.tenant.is_none_or(|owner| owner == tenant);
        let same = Some(&key.provider) == source.model.provider.as_ref();
        let revision = entry.revision.as_ref().ok();
        let says = |revision: &Arc<Revision>| {
            // A profile of several models may name an option that this one has not.
            let meant = revision.api_names.meant(REMIXED_FROM);
            let takes = &revision.capabilities;
            let has = takes.option(meant).is_some()
                || takes.inputs.iter().any(|input| input.name == meant);
            revision.purpose.as_str() == PURPOSE && revision.api_names.has(REMIXED_FROM) && has
        };
        seen && same && revision.is_some_and(says)
    };
    let rank = |entry: &&Entry| {
        let own = Some(&entry.key.profile_key) == source.model.profile_key.as_ref();
        let model = entry.key.model == source.model.model;
        (
            !(own && model),
            !model,
            entry.key.profile_key.clone(),
            entry.key.model.clone(),
        )
    };
    let entry = compiled.revisions.iter().filter(can).min_by_key(rank)?;
    entry.revision.as_ref().ok().cloned()
}

fn cannot(source: &AskedRun) -> Refusal {
    let model = source.model.model.as_deref().unwrap_or("this model");
    let message = format!(
        "videos of `{model}` cannot be remixed: no profile of its provider says what takes a video (`{REMIXED_FROM}` in its `openai`)"
    );
    Refusal::new(StatusCode::BAD_REQUEST, "remix_not_supported", message)
}

/// Gives the video to the call, as an option or as a file.
async fn hand_on(
    house: &House,
    caller: &Caller,
    source: &AskedRun,
    by: &Revision,
    call: &mut Call,
) -> Result<(), Refusal> {
    let meant = by.api_names.meant(REMIXED_FROM);
    if by.capabilities.option(meant).is_some() {
        let job = source
            .provider_job_id
            .clone()
            .ok_or_else(|| cannot(source))?;
        call.put(REMIXED_FROM, job.into());
        return Ok(());
    }
    let file = file(house, caller.tenant(), source.id).await?;
    call.put_file(REMIXED_FROM, file);
    Ok(())
}

async fn file(house: &House, tenant: Uuid, run: Uuid) -> Result<InputMedium, Refusal> {
    let modelrow = &house.modelrow;
    let view = modelrow.run(tenant, run).await?;
    let file = super::content::video(&view)?;
    if file.bytes > LARGEST {
        let message = format!(
            "the video has {} bytes; at most {LARGEST} can be handed on",
            file.bytes
        );
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "video_too_large",
            message,
        ));
    }
    let stored = modelrow.stored(tenant, run, &file.name, file.idx).await?;
    let stored = stored.ok_or_else(super::content::gone)?;
    let stream = modelrow.read_stored(&stored, None).await?;
    let pieces: Vec<_> = stream.try_collect().await.map_err(|error| {
        tracing::error!(run.id = %run, error = %error, "a video could not be read to be handed on");
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "the video could not be read",
        )
    })?;
    let bytes: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.iter().copied())
        .collect();
    Ok(InputMedium::file(format!("{}.mp4", name(run)), bytes))
}
