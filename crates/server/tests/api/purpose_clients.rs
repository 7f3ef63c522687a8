//! Chats, responses, pictures, speech, transcriptions and embeddings through the official clients (`clients.rs`, `tests/openai`).

use crate::clients::{CUT, Client, node, proxy, python, tenant, told};
use crate::fixture::{House, LIMIT, key};
use crate::purposes::{VOICES, said, words};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime::{OverLimit, Role, RunFilter, RunSummary, Status, TenantLimits};
use serde_json::json;
use server::{Access, serve};
use simulator::{Action, Operation, Rule, Scripted};
use std::net::SocketAddr;
use std::process::Command;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Sentences of each script.
const SENTENCES: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_clients_chat_and_make_what_profiles_of_other_purposes_make_and_a_stream_that_they_leave_cancels_its_run()
 {
    let clients = tokio::task::spawn_blocking(|| (python(), node()));
    let street = Street::open().await;
    let (python, node) = clients.await.unwrap();
    for (language, client, script) in [
        ("python", python, "purposes.py"),
        ("node", node, "purposes.cjs"),
    ] {
        let tenant = street.script(language, client, script).await;
        street.made_once(language, tenant).await;
        street.canceled(language, tenant).await;
    }
}

/// A server on a socket, and a proxy in front that breaks connections.
struct Street {
    house: House,
    proxy: SocketAddr,
    limited: String,
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

impl Street {
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    async fn open() -> Self {
        let house = House::open_with(VOICES, |_| {}).await;
        house.provider.script(provider());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serving = serve(
            house.modelrow.clone(),
            listener,
            Access::Keys,
            std::future::pending(),
        );
        drop(tokio::spawn(serving));
        let poor = tenant(&house, "poor").await;
        let none = TenantLimits {
            max_in_flight: None,
            max_queued: None,
            runs_per_day: Some(0),
            spend_per_month: None,
            currency: "USD".into(),
            over_limit: OverLimit::Refuse,
        };
        house
            .modelrow
            .set_limits(poor, Some(&none), "the test")
            .await
            .unwrap();
        Self {
            limited: key(&house.modelrow, poor, Role::Caller).await,
            proxy: proxy(server).await,
            house,
        }
    }

    /// Runs a script of `tests/openai` for a tenant of its own.
    async fn script(&self, language: &str, client: Client, script: &'static str) -> Uuid {
        let tenant = tenant(&self.house, language).await;
        let mut command: Command = client.command(script);
        command
            .env("MODELROW_URL", format!("http://{}/openai/v1", self.proxy))
            .env(
                "MODELROW_KEY",
                key(&self.house.modelrow, tenant, Role::Caller).await,
            )
            .env("MODELROW_LIMITED_KEY", &self.limited);
        let ran = tokio::task::spawn_blocking(move || command.output());
        let ran = ran.await.unwrap().unwrap();
        assert!(ran.status.success(), "{language}: {}", told(&ran));
        assert_eq!(
            told(&ran).matches("ok ").count(),
            SENTENCES,
            "{language}: {}",
            told(&ran)
        );
        tenant
    }

    /// Runs whose text has these words.
    async fn runs(&self, tenant: Uuid, words: &str) -> Vec<RunSummary> {
        let modelrow = &self.house.modelrow;
        let all = RunFilter {
            limit: Some(500),
            ..RunFilter::default()
        };
        let mut found = Vec::new();
        for run in modelrow.runs(tenant, &all).await.unwrap().runs {
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
    async fn made_once(&self, language: &str, tenant: Uuid) {
        let cut = self.runs(tenant, &format!("{CUT}{language}")).await;
        assert_eq!(cut.len(), 3, "{cut:?}");
    }

    /// The stream that was left is one of a run that its client wants no more.
    async fn canceled(&self, language: &str, tenant: Uuid) {
        let left = self.runs(tenant, &format!("left, {language}")).await;
        assert_eq!(left.len(), 1, "{left:?}");
        let run = self
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
}
