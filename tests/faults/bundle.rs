//! The provider of the suite, a model for each way in which a submit can be settled.

use serde_json::{Value, json};

/// How what became of a submit can be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Model {
    /// By a list that shows the prompt, which holds the run's tag.
    Found,
    /// By the same bytes under the same key.
    Replayed,
    /// As `Found`, after a step before the submit.
    Prepared,
    /// As `Found`, and its caller is told after two seconds that it is late: from then on it is polled once a minute.
    Late,
    /// Not at all.
    Plain,
    /// Not at all, and the admin consents to a second try.
    Consented,
    /// The answer is the result, and it is large.
    Direct,
    /// As `Found`, and its output holds the prompt and the file, each too large for the row.
    Wordy,
    /// As `Replayed`, and an access token proves its requests.
    Tokened,
    /// As `Prepared`, with a credential of one request in four seconds.
    Limited,
    /// As `Found`, and nobody waits longer for its job than two seconds.
    Endless,
    /// As `Found`, and its provider calls back; polls are far apart.
    Called,
    /// Not at all; the answer is a stream.
    Streamed,
    /// As `Found`, and a picture belongs to the call.
    Pictured,
    /// As `Found`, and its submit captures more than the row holds.
    Bulky,
    /// As `Found`, with a credential of any number of requests.
    Unlimited,
}

impl Model {
    pub(crate) const ALL: [Self; 16] = [
        Self::Found,
        Self::Replayed,
        Self::Prepared,
        Self::Late,
        Self::Plain,
        Self::Consented,
        Self::Direct,
        Self::Wordy,
        Self::Tokened,
        Self::Limited,
        Self::Endless,
        Self::Called,
        Self::Streamed,
        Self::Pictured,
        Self::Bulky,
        Self::Unlimited,
    ];

    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Direct => "image",
            Self::Streamed => "chat",
            _ => "video",
        }
    }

    /// The answer is the result: the provider has no jobs.
    pub(crate) fn is_sync(self) -> bool {
        matches!(self, Self::Direct | Self::Streamed)
    }

    /// Requests of its credential to the provider a minute.
    pub(crate) fn rate(self) -> Option<u32> {
        match self {
            Self::Limited => Some(15),
            // A claim counts no requests, and so may be made with the insert.
            Self::Unlimited => None,
            _ => Some(100_000),
        }
    }
}

/// Where a token is asked for: at the provider of the seed, which the row is told.
pub(crate) const TOKEN_PATH: &str = "/token";
/// What the stream says, in two pieces.
pub(crate) const STREAMED: [&str; 2] = ["a cat that ", "plays"];

/// A whole bundle, with this model alone: a worker compiles it at each start.
pub(crate) fn bundle(model: Model) -> Value {
    json!({
        "language": 1,
        "provider": {
            "slug": "acme", "provider_family": "acme", "name": "Acme", "api_base_url": "https://api.acme.test/v1",
            "conventions": {
                "errors": {"code_path": ["error.code", "error.type"], "message_path": "error.message", "moderated": ["content_policy"]},
                "retry": {"max": 3, "backoff_ms": 50, "max_backoff_ms": 200}
            },
            "egress": {"allow_http": true, "allow_private": true, "credential_hosts": ["127.0.0.1"]}
        },
        "auth_profiles": [auth(model)],
        "models": [{
            "model_id": "acme-1", "name": "acme-1", "display_name": "Acme 1", "model_type": model.purpose(), "is_default": true,
            "capabilities": {"model": "acme-1", "options": {}, "inputs": {"picture": {"kind": "image", "mime": ["image/gif"]}}}
        }],
        "profiles": [profile(model)]
    })
}

fn auth(model: Model) -> Value {
    match model {
        Model::Tokened => {
            json!({"profile_key": "acme_key", "auth_type": "oauth2_client_credentials", "secret": "env:ACME_CLIENT",
            "config": {"token_url": "http://127.0.0.1:1/v1/token", "scopes": ["video"]}})
        }
        _ => {
            json!({"profile_key": "acme_key", "auth_type": "api_key", "secret": "env:ACME_KEY", "config": {}})
        }
    }
}

fn profile(model: Model) -> Value {
    let mut transport = json!({
        "kind": "http_json", "path": "/videos", "headers": {"Authorization": "Bearer {{apiKey}}"},
        "body": {"prompt": "{{userPrompt}}"}, "timeout_ms": 1_000
    });
    match model {
        Model::Found
        | Model::Prepared
        | Model::Late
        | Model::Wordy
        | Model::Limited
        | Model::Endless
        | Model::Pictured
        | Model::Bulky
        | Model::Unlimited
        | Model::Called => {
            transport["settle"] = json!({
                "kind": "lookup", "method": "GET", "path": "/videos", "query": {"limit": "100"},
                "select": {"in": "data", "where": {"path": "prompt", "equals": "{{userPrompt}}"}},
                "job_id_path": "id", "visible_after_ms": 1_500
            });
        }
        Model::Replayed | Model::Tokened => {
            transport["idempotency"] = json!({"header": "Idempotency-Key", "retention_s": 3600});
            transport["settle"] = json!({"kind": "replay"});
        }
        Model::Plain => {}
        Model::Consented => transport["on_unknown"] = json!("repeat"),
        Model::Direct => transport["path"] = json!("/pictures"),
        Model::Streamed => transport["path"] = json!("/chat"),
    }
    if model == Model::Pictured {
        transport["body"]["picture"] = json!("{{inputs.picture.data_url}}");
    }
    if model == Model::Tokened {
        transport["headers"] = json!({"Authorization": "Bearer {{accessToken}}"});
    }
    // On a busy machine the first poll may be seconds late: only one model is to be overdue.
    let deadline_ms = if model == Model::Late { 2_000 } else { 30_000 };
    let mut workflow = json!({
        "type": "async_job", "job_id_path": "id",
        "steps": [
            {"name": "poll", "path": "/videos/{{job_id}}", "interval_ms": 250, "initial_delay_ms": 100, "jitter": 0, "deadline_ms": deadline_ms,
             "status_path": "status", "progress_path": "progress", "not_found_grace_ms": 5_000,
             "states": {"queued": ["queued"], "running": ["in_progress"], "succeeded": ["completed"], "failed": ["failed"]}},
            {"name": "download", "path": "/videos/{{job_id}}/content", "mode": "binary", "content_type": "video/mp4", "timeout_ms": 2_000,
             "headers": {"X-For": "{{userPrompt}}"}}
        ],
        "cleanup": [{"name": "tidy", "method": "DELETE", "path": "/videos/{{job_id}}"}]
    });
    let mut response =
        json!({"result_type": "raw_json", "mode": "json", "extract": {"job_id_path": "id"}});
    if matches!(model, Model::Prepared | Model::Limited) {
        workflow["before"] =
            json!([{"name": "look", "method": "GET", "path": "/videos", "query": {"limit": "1"}}]);
    }
    if model == Model::Direct {
        response = json!({"result_type": "raw_json"});
        workflow = json!({"type": "sync", "steps": [{"name": "download", "value_path": "data[].b64_json", "content_type": "image/gif"}]});
    }
    peculiar(model, &mut workflow, &mut response);
    json!({
        "profile_key": "acme_v1", "purpose": model.purpose(), "model": "acme-1", "auth_profile": "acme_key",
        "transport": transport, "response_mapping": response, "workflow": workflow
    })
}

/// What only this model's answers and steps are like.
fn peculiar(model: Model, workflow: &mut Value, response: &mut Value) {
    match model {
        Model::Wordy => {
            workflow["steps"][1]["headers"] = json!({});
            response["output"] =
                json!({"prompt": "{{userPrompt}}", "file": "{{artifacts.video.data_url}}"});
        }
        Model::Bulky => {
            workflow["steps"][1]["headers"] = json!({});
            response["extract"]["numbers"] = json!({"path": "prompt", "parse": "json"});
        }
        Model::Endless => {
            workflow["steps"][0]["deadline_ms"] = json!(1_500);
            workflow["steps"][0]["max_job_life_ms"] = json!(2_000);
        }
        Model::Called => {
            workflow["steps"][0]["interval_ms"] = json!(3_000);
            workflow["webhook"] = json!({"job_id_path": "data.id"});
        }
        Model::Streamed => {
            *response = json!({"mode": "sse", "stream": {"delta_path": "delta", "done_when": {"path": "$", "equals": "[DONE]"}},
                "output": {"text": "{{text}}"}});
            *workflow = json!({"type": "sync", "steps": []});
        }
        _ => {}
    }
}
