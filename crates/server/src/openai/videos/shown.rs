//! A run as that API shows a video.

use super::name;
use runtime::{AskedRun, Status};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A video, made or being made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = OpenAiVideo)]
pub(crate) struct Video {
    /// `video_…`
    pub(super) id: String,
    /// `video`
    object: &'static str,
    /// `queued`, `in_progress`, `completed`, `failed`. One whose outcome is not known is in progress until that is settled.
    status: &'static str,
    /// 0 to 100.
    progress: u8,
    /// What makes it.
    model: String,
    /// Its length; null: the model has no such option.
    seconds: Option<String>,
    /// Width x height; null: the model has no such option.
    size: Option<String>,
    /// The text that it is made from.
    prompt: Option<String>,
    /// The video that it is a remix of.
    remixed_from_video_id: Option<String>,
    /// When it was called, in seconds since 1970.
    created_at: i64,
    /// When it ended well.
    completed_at: Option<i64>,
    /// When its files are no longer served; null: they are kept.
    expires_at: Option<i64>,
    /// Why there is none.
    error: Option<VideoError>,
}

/// Why there is no video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenAiVideoError)]
struct VideoError {
    /// For programs: `canceled`, or of our own codes.
    code: String,
    /// For people.
    message: String,
}

impl Video {
    pub(super) fn of(run: &AskedRun) -> Self {
        let completed = run.status == Status::Succeeded;
        let seconds = |at: Option<OffsetDateTime>| at.map(OffsetDateTime::unix_timestamp);
        Self {
            id: name(run.id),
            object: "video",
            status: status(run.status),
            progress: match run.status {
                Status::Succeeded => 100,
                Status::Queued => 0,
                _ => run.progress.unwrap_or(0),
            },
            model: model(run),
            seconds: option(run, "seconds"),
            size: option(run, "size"),
            prompt: run.call.prompt.clone(),
            remixed_from_video_id: run.made_from.map(name),
            created_at: run.created_at.unix_timestamp(),
            completed_at: seconds(run.ended_at.filter(|_| completed)),
            expires_at: seconds(run.expires_at),
            error: error(run),
        }
    }

    /// A video that was just made and could not be looked at.
    pub(super) fn unseen(run: Uuid, now: OffsetDateTime) -> Self {
        Self {
            id: name(run),
            object: "video",
            status: "queued",
            progress: 0,
            model: String::new(),
            seconds: None,
            size: None,
            prompt: None,
            remixed_from_video_id: None,
            created_at: now.unix_timestamp(),
            completed_at: None,
            expires_at: None,
            error: None,
        }
    }
}

/// A profile that serves no model has only its own name.
fn model(run: &AskedRun) -> String {
    let named = run.model.model.as_ref().or(run.model.profile_key.as_ref());
    named.cloned().unwrap_or_default()
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "in_progress",
        Status::Succeeded => "completed",
        Status::Failed | Status::Canceled => "failed",
    }
}

/// The option that the parameter means in the run's profile, as a text.
fn option(run: &AskedRun, parameter: &str) -> Option<String> {
    let names = run.revision.as_ref().map(|revision| &revision.api_names);
    let meant = names.map_or(parameter, |names| names.meant(parameter));
    match run.call.params.get(meant)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn error(run: &AskedRun) -> Option<VideoError> {
    let said = |code: &str, message: &str| {
        Some(VideoError {
            code: code.to_owned(),
            message: message.to_owned(),
        })
    };
    match run.status {
        Status::Canceled => said("canceled", "the video was canceled"),
        Status::Failed => {
            let failure = run.failure.as_ref();
            let text = |member: &str| failure.and_then(|failure| failure.get(member)?.as_str());
            let code = text("class").or(text("code")).unwrap_or("failed");
            let message = text("provider_message").or(text("message"));
            said(code, message.unwrap_or("the video could not be made"))
        }
        Status::Queued | Status::Running | Status::Succeeded => None,
    }
}
