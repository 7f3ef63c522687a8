//! Access tokens of live runs: a real token endpoint that verifies each grant,
//! and a provider that takes the tokens it gave.

use crate::desk::{Asked, Desk};
use crate::house::{House, LIMIT, cat, ended, quick, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diag::Secret;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use runtime::{Modelrow, NoSecret, Options, RunRequest, RunView, Secrets, Status};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use simulator::{Action, Config, Entry, Operation, Rule, Scripted};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::DEFAULT_TENANT;
use uuid::Uuid;

const PEM: &str = include_str!("../../../engine/src/auth/token/tests/key.pem");
const PUBLIC: &[u8] = include_bytes!("../../../engine/src/auth/token/tests/key.pub.der");
const CLIENT: &str = r#"{"client_id": "modelrow", "client_secret": "hush-hush-1234"}"#;

/// References and what is behind them.
#[derive(Debug, Default)]
struct Wallet(BTreeMap<String, String>);

impl Wallet {
    fn of<const N: usize>(secrets: [(&str, &str); N]) -> Arc<Self> {
        let owned = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        Arc::new(Self(secrets.into_iter().map(owned).collect()))
    }
}

impl Secrets for Wallet {
    fn open(&self, reference: &str) -> Result<Secret, NoSecret> {
        let found = self.0.get(reference).cloned().map(Secret::from);
        found.ok_or_else(|| NoSecret {
            why: format!("there is no `{reference}`"),
            help: "set it".into(),
        })
    }
}

/// A provider that makes videos in the way of the simulator, proved as said.
pub(crate) fn acme(auth_profiles: Value) -> Value {
    json!({
        "language": 1,
        "provider": {
            "slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.example/v1",
            "conventions": {
                "headers": {"Authorization": "Bearer {{accessToken}}"},
                "retry": {"max": 3, "backoff_ms": 50, "max_backoff_ms": 200},
            },
            "egress": {"allow_http": true, "allow_private": true, "credential_hosts": ["127.0.0.1"]},
        },
        "auth_profiles": auth_profiles,
        "models": [{"model_id": "sora-2", "model_type": "video", "is_default": true, "capabilities": {
            "options": {"seconds": {"type": "int"}, "size": {"type": "string"}},
            "defaults": {"size": "1280x720"},
        }}],
        "profiles": [{
            "profile_key": "acme_video", "purpose": "video", "auth_profile": "acme",
            "transport": {"path": "/videos", "body": {
                "model": "{{model}}", "prompt": "{{userPrompt}}", "seconds": "{{params_seconds}}", "size": "{{params_size}}",
            }},
            "response_mapping": {"extract": {"job_id_path": "id"}},
            "workflow": {"type": "async_job", "steps": [
                {"name": "poll", "path": "/videos/{{job_id}}", "interval_ms": 250, "jitter": 0,
                 "terminal_states": ["completed", "failed"]},
                {"name": "download", "path": "/videos/{{job_id}}/content", "mode": "binary", "content_type": "video/mp4"},
            ]},
        }],
    })
}

pub(crate) fn client_credentials(desk: &Desk) -> Value {
    let config = json!({"token_url": format!("{}/token", desk.url), "scopes": ["video"]});
    json!([{"profile_key": "acme", "auth_type": "oauth2_client_credentials", "secret": "env:ACME", "config": config}])
}

/// RFC 6749, section 4.4: a client that proves itself gets `tok-<number>`.
pub(crate) fn grant(number: usize, asked: &Asked) -> (u16, Value) {
    grant_for(number, asked, 3_600)
}

fn grant_for(number: usize, asked: &Asked, expires_in: u64) -> (u16, Value) {
    let form = asked.form();
    let field = |name: &str| form.get(name).map(String::as_str);
    let proved = asked.method == "POST"
        && asked.target == "/token"
        && field("grant_type") == Some("client_credentials")
        && field("client_id") == Some("modelrow")
        && field("client_secret") == Some("hush-hush-1234");
    match proved {
        true => {
            let token = format!("tok-{number}");
            (
                200,
                json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}),
            )
        }
        false => refused(asked),
    }
}

/// It quotes what it was sent, as some do.
fn refused(asked: &Asked) -> (u16, Value) {
    let body = String::from_utf8_lossy(&asked.body);
    (
        401,
        json!({"error": "invalid_client", "error_description": format!("no such client: {body}")}),
    )
}

fn with_wallet(house: &House, wallet: Arc<Wallet>) -> Options {
    Options {
        secrets: wallet,
        ..house.options()
    }
}

async fn started(house: &House) -> Modelrow {
    Modelrow::start(proved(house)).await.unwrap()
}

/// Options of a program that has the client's secret.
pub(crate) fn proved(house: &House) -> Options {
    with_wallet(house, Wallet::of([("env:ACME", CLIENT)]))
}

/// The provider knows these tokens.
pub(crate) fn taking(tokens: &[&str]) -> Config {
    let mut config = quick();
    config.keys = tokens.iter().map(|token| (*token).into()).collect();
    config
}

fn proved_by(entry: &Entry, token: &str) -> bool {
    let digest = Sha256::digest(format!("Bearer {token}"));
    let hex = digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    entry.headers["authorization"] == format!("sha256:{hex}")
}

pub(crate) fn unauthorized() -> Action {
    Action::Answer(Scripted {
        status: 401,
        body: Some(json!({"error": {"code": "expired", "message": "the token has expired"}})),
        ..Scripted::default()
    })
}

fn outcomes(view: &RunView) -> Vec<&str> {
    view.attempts
        .iter()
        .map(|attempt| attempt.outcome.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_had_once_for_many_runs_of_a_credential() {
    let desk = Desk::open(grant).await;
    let house = House::of(taking(&["tok-1"]), acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let runs = futures_util::future::join_all((0..6).map(|_| ended(&modelrow, cat()))).await;
    assert!(
        runs.iter().all(|view| view.status == Status::Succeeded),
        "{runs:#?}"
    );
    let asked = desk.asked();
    assert_eq!(asked.len(), 1, "one request for all of them");
    assert_eq!(asked[0].form()["scope"], "video");
    assert!(
        house
            .sim
            .ledger()
            .iter()
            .all(|entry| proved_by(entry, "tok-1"))
    );
    // No run has a step before its submit but this one: the token's request is part of no attempt.
    assert!(runs.iter().all(|view| outcomes(view) == ["accepted"]));
}

/// RFC 7523: the assertion is verified with the public key alone.
fn assertion(url: &str, asked: &Asked) -> Result<Value, &'static str> {
    let form = asked.form();
    if form.get("grant_type").map(String::as_str)
        != Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
    {
        return Err("another grant");
    }
    let token = form.get("assertion").ok_or("no assertion")?;
    let (signed, signature) = token.rsplit_once('.').ok_or("no signature")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "no base64")?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "the signature is another key's")?;
    let claims = signed.split_once('.').ok_or("no claims")?.1;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    match claims["aud"] == url && claims["iss"] == "robot@acme.example" && life <= 3_600 {
        true => Ok(claims),
        false => Err("other claims"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_files_assertion_is_verified_by_its_server() {
    let desk = Desk::open(|number, asked| {
        let url = format!("http://{}/token", asked.headers["host"]);
        match assertion(&url, asked) {
            Ok(_) => (
                200,
                json!({"access_token": format!("tok-{number}"), "expires_in": 3600}),
            ),
            Err(why) => (
                400,
                json!({"error": "invalid_grant", "error_description": why}),
            ),
        }
    })
    .await;
    let config = json!({"token_url": format!("{}/token", desk.url), "scopes": ["video"]});
    let auth = json!([{"profile_key": "acme", "auth_type": "oauth2_service_account", "secret": "file:/key.json", "config": config}]);
    let house = House::of(taking(&["tok-1"]), acme(auth)).await;
    let key = json!({"type": "service_account", "client_email": "robot@acme.example", "private_key": PEM}).to_string();
    let wallet = Wallet::of([("file:/key.json", &key)]);
    let modelrow = Modelrow::start(with_wallet(&house, wallet)).await.unwrap();
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(desk.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_replaced_shortly_before_it_ends() {
    let desk = Desk::open(|number, asked| grant_for(number, asked, 2)).await;
    let mut config = taking(&[]);
    config.jobs.run_ms = 3_500;
    let house = House::of(config, acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let ledger = house.sim.ledger();
    let first = ledger
        .iter()
        .find(|entry| proved_by(entry, "tok-1"))
        .unwrap();
    let last = ledger
        .iter()
        .rfind(|entry| proved_by(entry, "tok-1"))
        .unwrap();
    assert!(last.at_ms - first.at_ms < 2_000, "used after its end");
    assert!(ledger.iter().any(|entry| proved_by(entry, "tok-2")));
    let asked = desk.asked().len();
    assert!(
        (2..=4).contains(&asked),
        "asked {asked} times in four seconds"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_is_refused_with_its_token_is_sent_once_more_with_another() {
    let desk = Desk::open(grant).await;
    let house = House::of(taking(&["tok-2"]), acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, outcomes(&view)),
        (Status::Succeeded, vec!["refused", "accepted"]),
        "{view:#?}"
    );
    assert_eq!(
        (desk.asked().len(), house.sim.accepted_jobs().len()),
        (2, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_not_replaced_a_second_time() {
    let desk = Desk::open(grant).await;
    let house = House::of(taking(&["tok-9"]), acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        view.failure_text("class"),
        Some("authentication"),
        "{view:#?}"
    );
    assert_eq!(
        (outcomes(&view), view.spent.as_str()),
        (vec!["refused", "refused"], "none")
    );
    assert_eq!(desk.asked().len(), 2);
    // What replaced it stays for a minute: the credential is wrong, and asking does not help.
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, desk.asked().len()),
        (Status::Failed, 2),
        "{view:#?}"
    );
}

async fn refused_once(operation: Operation) {
    let desk = Desk::open(grant).await;
    let mut config = taking(&["tok-1", "tok-2"]);
    config.rules = vec![Rule::on(operation, unauthorized())];
    let house = House::of(config, acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, outcomes(&view)),
        (Status::Succeeded, vec!["accepted"]),
        "{view:#?}"
    );
    assert_eq!(desk.asked().len(), 2);
    let asked = house.asked(operation);
    assert!(proved_by(&asked[0], "tok-1") && proved_by(&asked[1], "tok-2"));
    assert!(
        asked[1].at_ms - asked[0].at_ms < 1_000,
        "at once, not with the next poll"
    );
    let paused = "select count(*) from credential_limits where paused_until is not null";
    assert_eq!(house.count(paused).await, 0, "the credential is good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_is_refused_with_its_token_is_sent_once_more_with_another() {
    refused_once(Operation::Retrieve).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_is_refused_with_its_token_is_sent_once_more_with_another() {
    refused_once(Operation::Content).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_that_stay_refused_pause_the_credential_and_ask_for_no_more_tokens() {
    let desk = Desk::open(grant).await;
    let mut config = taking(&[]);
    config.rules = vec![Rule::on(Operation::Retrieve, unauthorized()).times(6)];
    let house = House::of(config, acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        view.status,
        Status::Succeeded,
        "the run waits, and goes on: {view:#?}"
    );
    assert_eq!(desk.asked().len(), 2);
    let paused = "select count(*) from credential_limits where paused_why = 'authentication'";
    assert_eq!(house.count(paused).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_before_the_submit_sends_nothing_and_shows_no_secret() {
    let desk = Desk::open(|_, asked| refused(asked)).await;
    let house = House::of(quick(), acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        view.failure_text("code"),
        Some("token_refused"),
        "{view:#?}"
    );
    assert_eq!(
        (view.failure_text("diagnostic"), view.failure_text("class")),
        (Some("R134"), Some("authentication"))
    );
    assert_eq!(view.failure_text("provider_code"), Some("invalid_client"));
    assert_eq!((view.spent.as_str(), outcomes(&view)), ("none", vec![]));
    assert!(
        house.sim.ledger().is_empty(),
        "nothing was sent to the provider"
    );
    assert_eq!(desk.asked().len(), 1);
    let told = format!("{view:?}") + &serde_json::to_string(&view).unwrap();
    assert!(!told.contains("hush-hush"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_fails_for_a_while_is_asked_again() {
    let desk = Desk::open(|number, asked| match number {
        1 => (503, json!({})),
        2 => (200, json!({"no": "token"})),
        _ => grant(number, asked),
    })
    .await;
    let house = House::of(taking(&["tok-3"]), acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, outcomes(&view)),
        (Status::Succeeded, vec!["accepted"]),
        "{view:#?}"
    );
    assert_eq!(desk.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_stays_away_ends_the_run_after_its_retries() {
    let desk = Desk::open(|_, _| (503, json!({}))).await;
    let house = House::of(quick(), acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.failure_text("code"), view.failure_text("class")),
        (Some("token_refused"), Some("transient")),
        "{view:#?}"
    );
    assert_eq!(
        (
            desk.asked().len(),
            house.sim.ledger().len(),
            view.spent.as_str()
        ),
        (4, 0, "none")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_after_the_submit_pauses_the_credential_and_loses_no_job() {
    let desk = Desk::open(|number, asked| match number {
        2..6 => refused(asked),
        _ => grant_for(number, asked, 1),
    })
    .await;
    let mut config = taking(&[]);
    config.jobs.run_ms = 2_500;
    let house = House::of(config, acme(client_credentials(&desk))).await;
    let modelrow = started(&house).await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    until("the credential is paused", || async {
        let paused = "select count(*) from credential_limits where paused_until is not null";
        house.count(paused).await == 1
    })
    .await;
    assert_eq!(handle.view().await.unwrap().state, "polling");
    let view = modelrow
        .wait(DEFAULT_TENANT, handle.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(
        (view.status, outcomes(&view)),
        (Status::Succeeded, vec!["accepted"]),
        "{view:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_credential_has_tokens_of_its_own() {
    let desk = Desk::open(|number, asked| {
        let form = asked.form();
        let proved = form["client_secret"] == format!("secret of {}", form["client_id"]);
        match proved {
            true => (200, json!({"access_token": format!("tok-{}-{number}", form["client_id"]), "expires_in": 3600})),
            false => refused(asked),
        }
    })
    .await;
    let house = House::of(quick(), acme(client_credentials(&desk))).await;
    let own = Uuid::from_u128(7);
    house
        .sql(&format!(
            "insert into tenants (tenant_id, slug) values ('{own}', 'own')"
        ))
        .await;
    house.sql(&format!(
        "insert into provider_api_credentials (tenant_id, provider_id, name, secret_ref, endpoint_url, is_default)
         select '{own}', id, 'acme', 'env:OWN', '{}', true from ai_providers",
        house.sim.base_url()
    )).await;
    let client =
        |id: &str| json!({"client_id": id, "client_secret": format!("secret of {id}")}).to_string();
    let wallet = Wallet::of([("env:ACME", &client("house")), ("env:OWN", &client("own"))]);
    let modelrow = Modelrow::start(with_wallet(&house, wallet)).await.unwrap();
    for tenant in [DEFAULT_TENANT, own, DEFAULT_TENANT, own] {
        let request = RunRequest { tenant, ..cat() };
        let handle = modelrow.run_profile(request).await.unwrap();
        let view = modelrow.wait(tenant, handle.id(), LIMIT).await.unwrap();
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
    assert_eq!(desk.asked().len(), 2, "one for each, whatever came between");
    let submits = house.asked(Operation::Create);
    let by = |token: &str| {
        submits
            .iter()
            .map(|entry| proved_by(entry, token))
            .collect::<Vec<_>>()
    };
    assert_eq!(by("tok-house-1"), [true, false, true, false]);
    assert_eq!(by("tok-own-2"), [false, true, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_names_an_auth_profile_has_that_ones_token() {
    let desk = Desk::open(|_, asked| {
        let id = asked.form()["client_id"].clone();
        (
            200,
            json!({"access_token": format!("tok-{id}"), "expires_in": 3600}),
        )
    })
    .await;
    let config = json!({"token_url": format!("{}/token", desk.url)});
    let mut bundle = acme(json!([
        {"profile_key": "acme", "auth_type": "oauth2_client_credentials", "secret": "env:ACME", "config": config},
        {"profile_key": "files", "auth_type": "oauth2_client_credentials", "secret": "env:FILES", "config": config},
    ]));
    bundle["profiles"][0]["workflow"]["steps"][1]["auth"] = json!("files");
    // What is inherited and secret is the other's, so the step says its own.
    let header = json!({"Authorization": "Bearer {{accessToken}}"});
    bundle["profiles"][0]["workflow"]["steps"][1]["headers"] = header;
    let house = House::of(quick(), bundle).await;
    let client = |id: &str| json!({"client_id": id, "client_secret": "x"}).to_string();
    let wallet = Wallet::of([
        ("env:ACME", &client("main")),
        ("env:FILES", &client("files")),
    ]);
    let modelrow = Modelrow::start(with_wallet(&house, wallet)).await.unwrap();
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let all = |operation, token: &str| {
        house
            .asked(operation)
            .iter()
            .all(|entry| proved_by(entry, token))
    };
    assert!(all(Operation::Create, "tok-main") && all(Operation::Retrieve, "tok-main"));
    assert!(all(Operation::Content, "tok-files") && !house.asked(Operation::Content).is_empty());
    assert_eq!(desk.asked().len(), 2);
}

fn adc() -> Value {
    let config = json!({"token_url": "https://api.acme.example/unused", "scopes": ["video"]});
    json!([{"profile_key": "acme", "auth_type": "google_adc", "config": config}])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_asks_its_metadata_server_which_may_be_private() {
    let desk = Desk::open(|_, asked| {
        let asked_well = asked.method == "GET"
            && asked.headers.get("metadata-flavor").map(String::as_str) == Some("Google")
            && asked.target == "/token?scopes=video";
        match asked_well {
            true => (
                200,
                json!({"access_token": "tok-machine", "expires_in": 3599}),
            ),
            false => (403, json!({})),
        }
    })
    .await;
    let mut bundle = acme(adc());
    bundle["provider"]["egress"] = json!({"allow_http": true});
    let house = House::of(taking(&["tok-machine"]), bundle).await;
    let options = Options {
        metadata: Some(format!("{}/token", desk.url).parse().unwrap()),
        ..with_wallet(&house, Wallet::of([]))
    };
    let view = ended(&Modelrow::start(options.clone()).await.unwrap(), cat()).await;
    assert_eq!(
        (view.status, desk.asked().len()),
        (Status::Succeeded, 1),
        "{view:#?}"
    );
    // The provider itself may not be private then.
    let strict = Options {
        allow: runtime::Allow {
            http: true,
            private: false,
        },
        ..options
    };
    house
        .sql("update provider_api_credentials set updated_at = now()")
        .await;
    let view = ended(&Modelrow::start(strict).await.unwrap(), cat()).await;
    assert_eq!(
        view.failure_text("code"),
        Some("egress_refused"),
        "{view:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_file_that_the_environment_names_goes_before_the_metadata_server() {
    let desk = Desk::open(|_, asked| {
        let form = asked.form();
        match form["grant_type"] == "refresh_token" && form["refresh_token"] == "again" {
            true => (200, json!({"access_token": "tok-user"})),
            false => refused(asked),
        }
    })
    .await;
    let mut auth = adc();
    auth[0]["config"]["token_url"] = json!(format!("{}/token", desk.url));
    let house = House::of(taking(&["tok-user"]), acme(auth)).await;
    let user = r#"{"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "again"}"#;
    let logged_in = "file:/home/me/.config/gcloud/application_default_credentials.json";
    let wallets = [
        [
            ("env:GOOGLE_APPLICATION_CREDENTIALS", "/adc.json"),
            ("file:/adc.json", user),
        ],
        [("env:HOME", "/home/me"), (logged_in, user)],
    ];
    for (n, wallet) in (1..).zip(wallets) {
        let options = with_wallet(&house, Wallet::of(wallet));
        let view = ended(&Modelrow::start(options).await.unwrap(), cat()).await;
        let came = (view.status, desk.asked().len());
        assert_eq!(came, (Status::Succeeded, n), "{view:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_own_credential_does_not_act_in_the_name_of_the_machine() {
    let desk = Desk::open(|_, _| (200, json!({"access_token": "tok-machine"}))).await;
    let house = House::of(quick(), acme(adc())).await;
    house.sql(&format!(
        "insert into provider_api_credentials (tenant_id, provider_id, name, endpoint_url, is_default)
         select '{DEFAULT_TENANT}', id, 'own', '{}', true from ai_providers",
        house.sim.base_url()
    )).await;
    let options = Options {
        metadata: Some(desk.url.parse().unwrap()),
        ..with_wallet(&house, Wallet::of([]))
    };
    let view = ended(&Modelrow::start(options).await.unwrap(), cat()).await;
    assert_eq!(view.failure_text("code"), Some("bad_secret"), "{view:#?}");
    assert!(desk.asked().is_empty() && house.sim.ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_signed_here_needs_no_server() {
    let desk = Desk::open(|_, asked| {
        let token = asked.headers["authorization"]
            .strip_prefix("Bearer ")
            .unwrap()
            .to_owned();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hush-hush-1234");
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        match ring::hmac::verify(&key, signed.as_bytes(), &signature) {
            Ok(()) => (200, json!({"text": "hello"})),
            Err(_) => (401, json!({})),
        }
    })
    .await;
    let config = json!({
        "split": {"by": ":", "into": ["id", "key"]}, "key": "{{secret.key}}",
        "claims": {"iss": "{{secret.id}}", "exp": "{{json jwt.exp}}", "nbf": "{{json jwt.nbf}}"},
    });
    let auth = json!([{"profile_key": "acme", "auth_type": "jwt_hs256", "secret": "env:ACME", "config": config}]);
    let house = House::of(quick(), chat(auth)).await;
    house
        .sql(&format!(
            "update provider_api_credentials set endpoint_url = '{}'",
            desk.url
        ))
        .await;
    let wallet = Wallet::of([("env:ACME", "modelrow:hush-hush-1234")]);
    let modelrow = Modelrow::start(with_wallet(&house, wallet)).await.unwrap();
    for _ in 0..2 {
        let view = ended(&modelrow, RunRequest::new("chat").prompt("hi")).await;
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    }
    let asked = desk.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[0].headers["authorization"], asked[1].headers["authorization"],
        "kept for its life"
    );
}

/// A provider that answers at once, proved as said.
fn chat(auth_profiles: Value) -> Value {
    let mut bundle = acme(auth_profiles);
    bundle["models"] = json!([{"model_id": "m", "model_type": "chat", "is_default": true}]);
    bundle["profiles"] = json!([{
        "profile_key": "acme_chat", "purpose": "chat", "auth_profile": "acme",
        "transport": {"path": "/chat/a b", "query": {"z": "1", "a": "x y"}, "body": {"prompt": "{{userPrompt}}"}},
        "response_mapping": {"extract": {"text_path": "text"}},
    }]);
    bundle
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signature Version 4 as its documentation has it, of nothing but the bytes that came.
fn sigv4(asked: &Asked, secret: &str, (region, service): (&str, &str)) -> String {
    let header = |name: &str| asked.headers[name].as_str();
    let authorization = header("authorization");
    let field = |name: &str| {
        let rest = authorization.split_once(&format!("{name}=")).unwrap().1;
        rest.split(", ").next().unwrap().to_owned()
    };
    let names = field("SignedHeaders");
    let (path, query) = asked.target.split_once('?').unwrap();
    let mut query: Vec<&str> = query.split('&').collect();
    query.sort_unstable();
    let signed: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name)))
        .collect();
    // Outside of one old service every segment is encoded twice.
    let path = path.replace('%', "%25");
    let body = hex(&Sha256::digest(&asked.body));
    let canonical = format!(
        "{}\n{path}\n{}\n{signed}\n{names}\n{body}",
        asked.method,
        query.join("&")
    );
    let date = header("x-amz-date");
    let day = &date[..8];
    let scope = format!("{day}/{region}/{service}/aws4_request");
    assert!(
        authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential=AKID/{scope}, ")),
        "{authorization}"
    );
    assert!(
        names.split(';').any(|name| name == "host")
            && names.split(';').any(|name| name == "x-amz-date")
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(&canonical))
    );
    let key = hmac(format!("AWS4{secret}").as_bytes(), day);
    let key = [region, service, "aws4_request"]
        .iter()
        .fold(key, |key, part| hmac(&key, part));
    assert_eq!(field("Signature"), hex(&hmac(&key, &text)), "{canonical}");
    field("Signature")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_verifies_over_the_bytes_that_came() {
    let desk = Desk::open(|_, _| (200, json!({"text": "hello"}))).await;
    let config = json!({"region": "eu-1", "service": "models"});
    let auth = json!([{"profile_key": "acme", "auth_type": "aws_sigv4", "secret": "env:ACME", "config": config}]);
    let mut bundle = chat(auth);
    bundle["provider"]["conventions"]["headers"] = json!({"X-Client": "modelrow"});
    let house = House::of(quick(), bundle).await;
    house
        .sql(&format!(
            "update provider_api_credentials set endpoint_url = '{}'",
            desk.url
        ))
        .await;
    let keys = r#"{"access_key": "AKID", "secret_key": "hush/hush+1234"}"#;
    let modelrow = Modelrow::start(with_wallet(&house, Wallet::of([("env:ACME", keys)])))
        .await
        .unwrap();
    let view = ended(&modelrow, RunRequest::new("chat").prompt("grüß & <dich>")).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let asked = desk.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        sigv4(&asked[0], "hush/hush+1234", ("eu-1", "models")).len(),
        64
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_polled_together_share_a_token_and_replace_it_together() {
    let desk = Desk::open(grant).await;
    let mut config = taking(&[]);
    config.jobs.run_ms = 3_000;
    config.rules = vec![Rule::on(Operation::List, unauthorized()).nth(2)];
    let mut bundle = acme(client_credentials(&desk));
    let poll = &mut bundle["profiles"][0]["workflow"]["steps"][0];
    poll["interval_ms"] = json!(500);
    poll["batch"] = json!({"path": "/videos", "query": {"limit": "100"}, "in": "data",
        "where": {"path": "id", "equals": "{{job_id}}"}});
    let house = House::of(config, bundle).await;
    let modelrow = started(&house).await;
    let runs = futures_util::future::join_all((0..3).map(|_| ended(&modelrow, cat()))).await;
    assert!(
        runs.iter().all(|view| view.status == Status::Succeeded),
        "{runs:#?}"
    );
    let lists = house.asked(Operation::List);
    assert!(lists.len() >= 3, "{}", lists.len());
    assert!(proved_by(&lists[0], "tok-1") && proved_by(&lists[2], "tok-2"));
    assert_eq!(desk.asked().len(), 2);
    assert!(house.asked(Operation::Retrieve).is_empty());
}
