//! What a run would send, before it is made.

use crate::core::Core;
use crate::error::RunError;
use crate::intake;
use crate::request::RunRequest;
use engine::plan::Planned;
use engine::{RunIdentity, Setting};
use std::sync::Arc;
use uuid::Uuid;

/// Understands the call as [`intake::run`] does, and renders every step. No secret is opened.
pub(crate) async fn plan(core: &Core, request: &RunRequest) -> Result<Vec<Planned>, RunError> {
    let understood = intake::understand(core, request).await?;
    let credential = understood
        .snapshot
        .credential(&understood.revision, request.tenant)
        .ok();
    let run_id = Uuid::now_v7();
    let setting = Setting {
        checked: Arc::new(understood.checked),
        identity: RunIdentity {
            run_id,
            token: engine::flow::token(run_id, 1),
            callback_url: None,
        },
        secrets: Arc::default(),
        media: Arc::new(understood.given.media),
        endpoint: credential.and_then(|row| row.endpoint_url.clone()),
        allow: core.options.allow,
        phase_ms: 0,
        revision: understood.revision,
    };
    Ok(engine::plan::plan(setting, core.drawn()))
}
