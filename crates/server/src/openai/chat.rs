//! `/openai/v1/chat/completions`: a conversation in front of any profile that chats.

mod answer;
mod chunks;
mod request;

use super::bodies::{AwaitedErrors, AwaitedHeaders, NewChatCompletion};
use super::serving::{answered, chatting};
use super::target::Target;
use super::{Call, Refusal, awaited, make, stream};
use crate::caller::Caller;
use crate::openapi::bodies::ServerSentEvent;
use crate::routes::House;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chunks::Chunks;

/// Answers a conversation
///
/// The call is a run like any other; its answer is held until the run has ended, for nine and a half minutes at most, or it is a stream.
#[utoipa::path(
    post, path = "/openai/v1/chat/completions", tag = "openai", operation_id = "openaiCreateChatCompletion", request_body = NewChatCompletion,
    params(AwaitedHeaders),
    responses(
        (status = 200, description = "The answer; of a stream its chunks, and behind them `[DONE]`", headers(("x-run-id" = String, description = "The run that answered")), content((serde_json::Value = "application/json"), (ServerSentEvent = "text/event-stream"))),
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
    let revision = chatting(&house, &caller, &call)?;
    let structured = revision.response.schema.is_some();
    let wanted = request::read(call, Target(&revision));
    let (stream, include_usage) = (wanted.stream, wanted.include_usage);
    let asked = wanted.asked.served_by(&revision);
    if stream {
        let run = make(&house, &caller, &headers, asked.call, asked.request).await?;
        let listening = house.listeners.add(run.clone());
        let chunks = Chunks::new(&run.view().await?, include_usage);
        return stream::tell(&house, &run, (chunks, structured), listening).await;
    }
    let view = awaited::run(&house, &caller, &headers, asked).await?;
    Ok(answered(&view, answer::completion(&view, structured)))
}
