//! Chats, responses, pictures, speech, transcriptions and embeddings through the official clients (`clients.rs`, `tests/openai`).

use crate::clients::{node, python};
use crate::fixture::{House, LIMIT};
use crate::purposes::{VOICES, said, words};
use crate::street::{CUT, Street};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime::{RunSummary, Status};
use serde_json::json;
use simulator::{Action, Operation, Rule, Scripted};
use uuid::Uuid;

/// Sentences of each script.
const SENTENCES: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_clients_chat_and_make_what_profiles_of_other_purposes_make_and_a_stream_that_they_leave_cancels_its_run()
 {
    let clients = tokio::task::spawn_blocking(|| (python(), node()));
    let house = House::open_with(VOICES, |_| {}).await;
    house.provider.script(provider());
    let street = Street::in_front_of(house).await;
    let (python, node) = clients.await.unwrap();
    for (language, client, script) in [
        ("python", python, "purposes.py"),
        ("node", node, "purposes.cjs"),
    ] {
        let client = (client, script);
        let tenant = street.script(language, client, &[], SENTENCES).await;
        made_once(&street, language, tenant).await;
        canceled(&street, language, tenant).await;
    }
}

/// What the provider says of each model; a profile sends its name as the tag of its run.
fn provider() -> Vec<Rule> {
    let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n0123456789");
    let segments = json!([{"start": 0, "end": 1.5, "text": "Hello."}]);
    let answers = [
        ("talk-1", said("Hello.")),
        (
            "talk-1 live",
            words(&["The ", "cat ", "plays ", "the ", "piano."], true),
        ),
        (
            "talk-3",
            words(&["The ", "cat ", "plays ", "the ", "piano."], true),
        ),
        ("talk-2", words(&["The ", "cat "], false)),
        (
            "refuse-1",
            Scripted::json(
                400,
                json!({"error": {"code": "bad", "message": "no such mood"}}),
            ),
        ),
        ("answer-1", Scripted::json(200, json!({"text": "Hello."}))),
        (
            "paint-1",
            Scripted::json(200, json!({"images": [{"b64": png}, {"b64": png}]})),
        ),
        ("say-1", Scripted::text(200, "audio/mpeg", "ID3 and more")),
        (
            "listen-1",
            Scripted::json(
                200,
                json!({"text": "Hello.", "language": "en", "duration": 1.5, "segments": segments}),
            ),
        ),
        (
            "embed-1",
            Scripted::json(
                200,
                json!({"data": [[0.5, -2], [1, 0.25]], "usage": {"in": 4}}),
            ),
        ),
    ];
    let rule = |tag: &str, action| Rule::on(Operation::Unknown, action).tag(tag).always();
    let mut rules: Vec<Rule> = answers
        .into_iter()
        .map(|(tag, answer)| rule(tag, Action::Answer(answer)))
        .collect();
    rules.push(rule("talk-1 live", Action::Drip { bytes: 16, ms: 50 }));
    rules.push(rule("talk-2", Action::Drip { bytes: 10, ms: 300 }));
    // To its end it takes half a minute.
    rules.push(rule(
        "talk-3",
        Action::Drip {
            bytes: 8,
            ms: 1_000,
        },
    ));
    rules
}

/// Runs whose text has these words.
async fn runs(street: &Street, tenant: Uuid, words: &str) -> Vec<RunSummary> {
    let modelrow = &street.house.modelrow;
    let mut found = Vec::new();
    for run in street.runs(tenant).await {
        let call = modelrow
            .asked(tenant, &run.purpose, run.id)
            .await
            .unwrap()
            .call;
        if json!([call.prompt, call.messages])
            .to_string()
            .contains(words)
        {
            found.push(run);
        }
    }
    found
}

/// Each text whose answer was cut made one run.
async fn made_once(street: &Street, language: &str, tenant: Uuid) {
    let cut = runs(street, tenant, &format!("{CUT}{language}")).await;
    assert_eq!(cut.len(), 3, "{cut:?}");
}

/// The stream that was left is one of a run that its client wants no more.
async fn canceled(street: &Street, language: &str, tenant: Uuid) {
    let left = runs(street, tenant, &format!("left, {language}")).await;
    assert_eq!(left.len(), 1, "{left:?}");
    let run = street
        .house
        .modelrow
        .wait(tenant, left[0].id, LIMIT)
        .await
        .unwrap();
    assert_eq!(
        (run.status, run.cancel_requested),
        (Status::Canceled, true),
        "{run:#?}"
    );
}
