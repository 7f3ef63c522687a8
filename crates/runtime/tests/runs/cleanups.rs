//! What is taken away at the provider once a run has ended and its result is kept.

use crate::house::{House, ended, quick, until};
use runtime::{RunRequest, Status};
use serde_json::{Value, json};
use simulator::{Action, Operation, Rule, Scripted};

/// A call that is answered at once, about a file that is uploaded before it and deleted after it.
fn bundle() -> Value {
    json!({
        "language": 1,
        "provider": {"slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1"},
        "auth_profiles": [{"profile_key": "acme_key", "auth_type": "api_key", "secret": "env:ACME_API_KEY"}],
        "models": [{"model_id": "a-1", "model_type": "chat", "is_default": true}],
        "profiles": [{
            "profile_key": "acme_chat_v1", "purpose": "chat", "auth_profile": "acme_key",
            "transport": {"path": "/chat", "headers": {"Authorization": "Bearer {{apiKey}}"},
                "body": {"prompt": "{{userPrompt}}", "files": "{{json steps.upload.files}}"}},
            "response_mapping": {"extract": {"text_path": "text"}},
            "workflow": {
                "before": [{"name": "upload", "path": "/files", "body": {"text": "{{userPrompt}}"}, "extract": {"files": "files"}}],
                "cleanup": [{"name": "tidy", "method": "DELETE", "path": "/files/{{item.id}}", "each": "steps.upload.files"}],
            },
        }],
    })
}

fn answers(nth: u64, status: u16, body: Value) -> Rule {
    Rule::on(
        Operation::Unknown,
        Action::Answer(Scripted::json(status, body)),
    )
    .nth(nth)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_a_job_cleans_up_what_it_captured_too() {
    let house = House::of(quick(), bundle()).await;
    house.sim.script(vec![
        answers(1, 200, json!({"files": [{"id": "f-1"}, {"id": "f-2"}]})),
        answers(2, 200, json!({"text": "two files"})),
        answers(3, 204, json!(null)),
        answers(4, 204, json!(null)),
    ]);
    let modelrow = house.start().await;
    let view = ended(
        &modelrow,
        RunRequest::new("chat").prompt("what is in them?"),
    )
    .await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let deleted = || {
        let entries = house.sim.ledger();
        let deletes = entries.iter().filter(|entry| entry.method == "DELETE");
        deletes.map(|entry| entry.path.clone()).collect::<Vec<_>>()
    };
    until("both files are deleted", || async { deleted().len() == 2 }).await;
    assert_eq!(deleted(), ["/v1/files/f-1", "/v1/files/f-2"]);
}
