//! Bodies of the calls that are read member by member, as the document describes them. Other members are options of the model, by
//! their own names or as its profile says.
#![expect(
    dead_code,
    reason = "described, and never made: bodies are read member by member"
)]

use super::ErrorBody;
use serde_json::Value;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// Headers of a call that waits for the end of its run.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct AwaitedHeaders {
    /// The same key and body give the same run, for 30 days; another body is a 409
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// `wait=30`, at most 60: the answer is held no longer
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}

/// What such a call is refused with, beside what every call may be.
#[derive(IntoResponses)]
pub(super) enum AwaitedErrors {
    /// The key was used for another body, or the run was canceled
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// The provider failed
    #[response(status = 502)]
    Failed(ErrorBody),
    /// The run goes on; its id is told
    #[response(status = 504)]
    GoesOn(ErrorBody),
}

/// A conversation to be answered.
#[derive(ToSchema)]
#[schema(as = OpenAiNewChatCompletion)]
pub(super) struct NewChatCompletion {
    /// `[{"role", "content"}]`; the content is a text, or parts of text and images.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// As `/openai/v1/models` lists them; a default one without it.
    model: Option<String>,
    /// Of the model, where several providers have one of that name.
    provider: Option<String>,
    /// As a stream of chunks. A client that leaves it cancels the run.
    stream: Option<bool>,
    /// `{"include_usage": true}`: the last chunk says what was used.
    #[schema(value_type = Option<Object>)]
    stream_options: Option<Value>,
    /// The most tokens of the answer.
    max_completion_tokens: Option<u64>,
    /// The caller's own values, kept with the run.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// A response to be made.
#[derive(ToSchema)]
#[schema(as = OpenAiNewResponse)]
pub(super) struct NewResponse {
    /// A text, or a list of messages.
    #[schema(value_type = Object)]
    input: Value,
    /// Stands before everything else.
    instructions: Option<String>,
    /// As `/openai/v1/models` lists them; a default one without it.
    model: Option<String>,
    /// Of the model, where several providers have one of that name.
    provider: Option<String>,
    /// As a stream of events. A client that leaves it cancels the run.
    stream: Option<bool>,
    /// The most tokens of the answer.
    max_output_tokens: Option<u64>,
    /// The caller's own values, kept with the run.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// Pictures to be made.
#[derive(ToSchema)]
#[schema(as = OpenAiNewImages)]
pub(super) struct NewImages {
    /// What they show.
    prompt: String,
    /// As `/openai/v1/models` lists them; a default one without it.
    model: Option<String>,
    /// Of the model, where several providers have one of that name.
    provider: Option<String>,
    /// How many.
    n: Option<u64>,
    /// Width x height.
    size: Option<String>,
    /// `b64_json` (as without it), or `url`: a link that is good for an hour.
    response_format: Option<String>,
}

/// Speech to be made.
#[derive(ToSchema)]
#[schema(as = OpenAiNewSpeech)]
pub(super) struct NewSpeech {
    /// What is said.
    input: String,
    /// A name of a voice.
    voice: Option<String>,
    /// As `/openai/v1/models` lists them; a default one without it.
    model: Option<String>,
    /// Of the model, where several providers have one of that name.
    provider: Option<String>,
    /// An option of the model.
    response_format: Option<String>,
}

/// A transcription to be made: a form.
#[derive(ToSchema)]
#[schema(as = OpenAiNewTranscription)]
pub(super) struct NewTranscription {
    /// The audio, with a file name.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// As `/openai/v1/models` lists them; a default one without it.
    model: Option<String>,
    /// Of the model, where several providers have one of that name.
    provider: Option<String>,
    /// `json` (as without it), `text`, `verbose_json`, and of models that give segments `srt` and `vtt`.
    response_format: Option<String>,
}

/// Texts to be embedded.
#[derive(ToSchema)]
#[schema(as = OpenAiNewEmbeddings)]
pub(super) struct NewEmbeddings {
    /// A text, or a list of texts.
    #[schema(value_type = Object)]
    input: Value,
    /// As `/openai/v1/models` lists them; a default one without it.
    model: Option<String>,
    /// Of the model, where several providers have one of that name.
    provider: Option<String>,
    /// `float` (as without it), or `base64`: 32-bit floats, little-endian.
    encoding_format: Option<String>,
}
