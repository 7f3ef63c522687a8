//! Callbacks of providers: what they make us do, and what they can never do.

use crate::house::{House, KEY, LIMIT, bundle, cat, until};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use runtime::{Callback, Heard, Modelrow, Options, RunHandle, Status};
use serde_json::{Value, json};
use simulator::{Action, Config, Cut, Operation, Rule, signature};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use store::{DEFAULT_TENANT, SYSTEM_TENANT};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// No test lives so long: what is asked sooner was asked because of a callback.
const INTERVAL_MS: u64 = 600_000;
const PUBLIC: &str = "https://modelrow.test/";

fn signed() -> Value {
    json!({"job_id_path": "data.id", "verify": {"kind": "standard_webhooks", "secret": "env:HOOK"}})
}

/// The bundle of the seeds whose polls are far apart, and that says what a callback is. `settle`: in place of its own.
fn called_back(webhook: &Value, settle: Option<&Value>) -> Value {
    let mut bundle = bundle();
    let conventions = &mut bundle["provider"]["conventions"];
    conventions["webhook"] = webhook.clone();
    if let Some(settle) = settle {
        conventions["settle"] = settle.clone();
    }
    for profile in bundle["profiles"].as_array_mut().unwrap() {
        let is_job = profile["workflow"]["type"] == "async_job";
        profile["transport"]["headers"]["X-Callback"] = json!("{{callback_url}}");
        if is_job {
            profile["workflow"]["steps"][0]["interval_ms"] = json!(INTERVAL_MS);
        } else {
            profile["workflow"]["webhook"] = Value::Null;
        }
        if settle.is_some() {
            profile["transport"]["settle"] = if is_job { json!({}) } else { Value::Null };
        }
    }
    bundle
}

async fn house_of(webhook: Value, config: Config) -> (House, Modelrow) {
    started(House::of(config, called_back(&webhook, None)).await).await
}

async fn started(house: House) -> (House, Modelrow) {
    let options = Options {
        public_url: Some(PUBLIC.into()),
        ..house.options()
    };
    let modelrow = Modelrow::start(options).await.unwrap();
    (house, modelrow)
}

/// Jobs that end when the test says so.
fn patient() -> Config {
    let mut config = Config::default();
    config.jobs.run_ms = 3_600_000;
    config
}

#[expect(clippy::disallowed_methods, reason = "the provider's clock")]
fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// As the provider signs it.
fn of_provider(id: &str, at_s: u64, body: &Value) -> Callback {
    let body = body.to_string();
    Callback {
        headers: vec![
            ("webhook-id".into(), id.into()),
            ("webhook-timestamp".into(), at_s.to_string()),
            ("webhook-signature".into(), signature(KEY, id, at_s, &body)),
        ],
        body: body.into(),
    }
}

fn about(job: &str, kind: &str) -> Value {
    json!({"type": kind, "data": {"id": job}})
}

async fn send(modelrow: &Modelrow, address: &str, callback: &Callback) -> Heard {
    let path = address
        .strip_prefix("https://modelrow.test/hooks/")
        .unwrap();
    let (provider, token) = path.split_once('/').unwrap();
    let sent = modelrow.callback(provider, token, callback.clone());
    sent.await.unwrap()
}

/// The address that the nth create gave away.
fn address(house: &House, nth: usize) -> String {
    house.asked(Operation::Create)[nth].headers["x-callback"].clone()
}

fn polls(house: &House) -> usize {
    house.asked(Operation::Retrieve).len()
}

async fn receipts(house: &House, which: &str) -> i64 {
    let count = format!("select count(*) from webhook_receipts where {which}");
    house.count(&count).await
}

async fn accepted(house: &House, modelrow: &Modelrow) -> (RunHandle, String) {
    let run = modelrow.run_profile(cat()).await.unwrap();
    until("it is accepted", || async {
        run.view().await.unwrap().state == "polling"
    })
    .await;
    let job = run.view().await.unwrap().provider_job_id.unwrap();
    assert_eq!(polls(house), 0);
    (run, job)
}

async fn applied(house: &House, count: i64) {
    until("the callbacks are acted on", || async {
        receipts(house, "applied_at is not null").await == count
    })
    .await;
}

async fn ended(run: &RunHandle, modelrow: &Modelrow) -> runtime::RunView {
    modelrow
        .wait(DEFAULT_TENANT, run.id(), LIMIT)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_brings_the_poll_forward_and_its_body_is_never_the_answer() {
    let (house, modelrow) = house_of(signed(), patient()).await;
    let (run, job) = accepted(&house, &modelrow).await;
    // It lies: the job runs.
    let mut lie = about(&job, "video.failed");
    lie["status"] = json!("failed");
    lie["data"]["status"] = json!("completed");
    let callback = of_provider("evt_1", now_s(), &lie);
    assert_eq!(
        send(&modelrow, &address(&house, 0), &callback).await,
        Heard::Kept
    );
    until("it is asked about", || async { polls(&house) == 1 }).await;
    applied(&house, 1).await;
    let view = run.view().await.unwrap();
    assert_eq!((view.state.as_str(), view.failure), ("polling", None));
    house.sim.advance_to_completion();
    let end = of_provider("evt_2", now_s(), &about(&job, "video.completed"));
    send(&modelrow, &address(&house, 0), &end).await;
    let view = ended(&run, &modelrow).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!((polls(&house), receipts(&house, "verified").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_callback_makes_nobody_ask() {
    let (house, modelrow) = house_of(signed(), patient()).await;
    let (run, job) = accepted(&house, &modelrow).await;
    house.sim.advance_to_completion();
    let body = about(&job, "video.completed");
    let good = of_provider("evt_1", now_s(), &body);
    let mut other_body = good.clone();
    other_body.body = about(&job, "video.failed").to_string().into();
    let mut unsigned = good.clone();
    unsigned.headers.clear();
    let mut other_key = good.clone();
    other_key.headers[2].1 = signature("guess", "evt_1", now_s(), &body.to_string());
    let old = of_provider("evt_1", now_s() - 3_600, &body);
    let other_job = of_provider("evt_1", now_s(), &about("video_other", "video.completed"));
    for forged in [&other_body, &unsigned, &other_key, &old, &other_job] {
        assert_eq!(
            send(&modelrow, &address(&house, 0), forged).await,
            Heard::Kept
        );
    }
    applied(&house, 5).await;
    assert_eq!(polls(&house), 0);
    // The other job was signed, and is nobody's here.
    assert_eq!(receipts(&house, "verified").await, 1);
    assert_eq!(run.view().await.unwrap().state, "polling");
    send(&modelrow, &address(&house, 0), &good).await;
    assert_eq!(ended(&run, &modelrow).await.status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_callback_is_stored_once_and_asks_once() {
    let (house, modelrow) = house_of(signed(), patient()).await;
    let (_run, job) = accepted(&house, &modelrow).await;
    let callback = of_provider("evt_1", now_s(), &about(&job, "video.progress"));
    send(&modelrow, &address(&house, 0), &callback).await;
    applied(&house, 1).await;
    until("it is asked about", || async { polls(&house) == 1 }).await;
    let mut beside = callback.clone();
    beside
        .headers
        .push(("x-forwarded-for".into(), "203.0.113.9".into()));
    beside
        .headers
        .push(("authorization".into(), "Bearer not-ours".into()));
    for replay in [&callback, &beside, &callback] {
        assert_eq!(
            send(&modelrow, &address(&house, 0), replay).await,
            Heard::Kept
        );
    }
    assert_eq!(receipts(&house, "true").await, 1);
    let kept = "select count(*) from webhook_receipts where headers::text like '%not-ours%'";
    assert_eq!(
        house.count(kept).await,
        0,
        "no header that the profile does not read"
    );
    // One that differs is another: it is acted on, so the ones before are done.
    let next = of_provider("evt_2", now_s(), &about(&job, "video.progress"));
    send(&modelrow, &address(&house, 0), &next).await;
    applied(&house, 2).await;
    until("it is asked about again", || async { polls(&house) == 2 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_without_a_proof_make_one_poll_an_interval_however_many_come() {
    let (house, modelrow) = house_of(json!({"job_id_path": "data.id"}), patient()).await;
    let (_run, job) = accepted(&house, &modelrow).await;
    for i in 0..20 {
        let mut body = about(&job, "video.progress");
        body["n"] = json!(i);
        send(&modelrow, &address(&house, 0), &of_provider("", 0, &body)).await;
    }
    applied(&house, 20).await;
    until("it is asked about", || async { polls(&house) >= 1 }).await;
    // The next one is an interval away.
    send(
        &modelrow,
        &address(&house, 0),
        &of_provider("", 0, &about(&job, "again")),
    )
    .await;
    applied(&house, 21).await;
    assert_eq!((polls(&house), receipts(&house, "verified").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_comes_before_the_submit_is_answered_is_matched_when_the_job_is_known() {
    let mut config = patient();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::DelayAnswer { ms: 2_000 },
    )];
    let (house, modelrow) = house_of(signed(), config).await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    until("the provider has it", || async {
        house.sim.accepted_jobs().len() == 1
    })
    .await;
    house.sim.advance_to_completion();
    let job = house.sim.accepted_jobs()[0].id.clone();
    let callback = of_provider("evt_1", now_s(), &about(&job, "video.completed"));
    send(&modelrow, &address(&house, 0), &callback).await;
    let view = run.view().await.unwrap();
    assert_eq!(view.state, "submitting", "it came first");
    assert_eq!(receipts(&house, "applied_at is null").await, 1);
    let view = ended(&run, &modelrow).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!((polls(&house), view.attempts.len()), (1, 1));
}

/// Where a callback is all that can settle an unknown outcome.
async fn settled_by_callbacks(config: Config) -> (House, Modelrow) {
    let bundle = called_back(&signed(), Some(&json!({"kind": "callback"})));
    started(House::of(config, bundle).await).await
}

async fn unknown(run: &RunHandle) {
    until("its outcome is unknown", || async {
        run.view().await.unwrap().state == "submit_unknown"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_a_callback_names_is_adopted_only_after_our_own_poll_answers_for_it() {
    let mut config = patient();
    // The first job is another run's; the second one's answer is lost.
    config.rules = vec![Rule::on(Operation::Create, Action::Cut(Cut::AfterAccepting)).nth(2)];
    let (house, modelrow) = settled_by_callbacks(config).await;
    let (first, job) = accepted(&house, &modelrow).await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    unknown(&run).await;
    let ours = address(&house, 1);
    let forged = Callback {
        headers: Vec::new(),
        body: about(&house.sim.accepted_jobs()[1].id, "x")
            .to_string()
            .into(),
    };
    send(&modelrow, &ours, &forged).await;
    applied(&house, 1).await;
    let nobodys = of_provider("evt_1", now_s(), &about("video_nobody", "video.completed"));
    send(&modelrow, &ours, &nobodys).await;
    until("the provider is asked about it", || async {
        house
            .asked(Operation::Retrieve)
            .iter()
            .any(|entry| entry.path.ends_with("video_nobody"))
    })
    .await;
    let another = of_provider("evt_2", now_s(), &about(&job, "video.completed"));
    send(&modelrow, &ours, &another).await;
    let view = run.view().await.unwrap();
    assert_eq!(
        (view.state.as_str(), view.provider_job_id),
        ("submit_unknown", None)
    );
    house.sim.advance_to_completion();
    let lost = house.sim.accepted_jobs()[1].id.clone();
    let asked = house
        .asked(Operation::Retrieve)
        .iter()
        .any(|entry| entry.path.ends_with(&lost));
    assert!(!asked, "a forged callback names nothing");
    let named = of_provider("evt_3", now_s(), &about(&lost, "video.completed"));
    send(&modelrow, &ours, &named).await;
    let view = ended(&run, &modelrow).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(view.provider_job_id.as_deref(), Some(lost.as_str()));
    assert!(
        view.attempts[0].adopted && view.attempts.len() == 1,
        "{view:#?}"
    );
    assert_eq!(
        house.asked(Operation::Create).len(),
        2,
        "nothing is sent again"
    );
    assert_eq!(
        first.view().await.unwrap().provider_job_id.as_deref(),
        Some(job.as_str())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_at_the_address_that_stays_the_same_find_their_runs_by_the_job_they_name() {
    let (house, modelrow) = house_of(signed(), patient()).await;
    let slug = house.bundle["provider"]["slug"].as_str().unwrap();
    let (run, job) = accepted(&house, &modelrow).await;
    house.sim.advance_to_completion();
    let callback = of_provider("evt_1", now_s(), &about(&job, "video.completed"));
    // The job was made with the system's credential: another tenant's address knows nothing of it.
    let foreign = modelrow.callback_address(DEFAULT_TENANT, slug).unwrap();
    assert_eq!(send(&modelrow, &foreign, &callback).await, Heard::Kept);
    let nobodys = of_provider("evt_2", now_s(), &about("video_nobody", "video.completed"));
    let jobless = of_provider("evt_3", now_s(), &json!({"type": "ping"}));
    let own = modelrow.callback_address(SYSTEM_TENANT, slug).unwrap();
    send(&modelrow, &own, &nobodys).await;
    send(&modelrow, &own, &jobless).await;
    assert_eq!(receipts(&house, "run_id is null").await, 2);
    assert_eq!(
        (polls(&house), run.view().await.unwrap().state.as_str()),
        (0, "polling")
    );
    send(&modelrow, &own, &callback).await;
    assert_eq!(ended(&run, &modelrow).await.status, Status::Succeeded);
    // Late ones, at either address, change nothing.
    let before = run.view().await.unwrap();
    let late = of_provider("evt_4", now_s(), &about(&job, "video.failed"));
    for address in [&own, &address(&house, 0)] {
        assert_eq!(send(&modelrow, address, &late).await, Heard::Kept);
    }
    let after = run.view().await.unwrap();
    assert_eq!(
        (after.status, after.ended_at, after.output),
        (before.status, before.ended_at, before.output)
    );
    assert_eq!(polls(&house), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_keeps_a_bounded_number_of_callbacks_and_their_time_is_bounded_too() {
    let (house, modelrow) = house_of(signed(), patient()).await;
    let (run, job) = accepted(&house, &modelrow).await;
    let many = "insert into webhook_receipts (receipt_id, provider_id, tenant_id, run_id, dedup, verified, headers, body, applied_at)
        select gen_random_uuid(), k.provider_id, k.tenant_id, s.run_id, n::text::bytea, false, '{}', '{}', now()
        from run_states s join provider_api_credentials k on k.id = s.credential_id, generate_series(1, 999) n";
    house.sql(many).await;
    for n in 0..3 {
        let callback = of_provider(&format!("evt_{n}"), now_s(), &about(&job, "video.progress"));
        assert_eq!(
            send(&modelrow, &address(&house, 0), &callback).await,
            Heard::Kept
        );
    }
    assert_eq!(receipts(&house, "true").await, 1_000);
    let slug = house.bundle["provider"]["slug"].as_str().unwrap();
    let own = modelrow.callback_address(SYSTEM_TENANT, slug).unwrap();
    send(
        &modelrow,
        &own,
        &of_provider("evt_9", now_s(), &about("video_nobody", "x")),
    )
    .await;
    house
        .sql("update webhook_receipts set received_at = now() - interval '61 min' where run_id is null")
        .await;
    house
        .sql("update webhook_receipts set received_at = now() - interval '8 days' where receipt_id in (select receipt_id from webhook_receipts where run_id is not null limit 400)")
        .await;
    let due = modelrow.sweep(runtime::Sweep::DryRun).await.unwrap();
    assert_eq!(due.callbacks, 401);
    assert_eq!(
        modelrow
            .sweep(runtime::Sweep::Clean)
            .await
            .unwrap()
            .callbacks,
        401
    );
    assert_eq!(receipts(&house, "true").await, 600);
    assert_eq!(run.view().await.unwrap().state, "polling");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_we_cannot_be_reached_no_address_is_given_away_and_a_token_that_is_not_ours_is_unknown()
 {
    let house = House::of(Config::default(), called_back(&signed(), None)).await;
    let modelrow = house.start().await;
    modelrow.run_profile(cat()).await.unwrap();
    until("it is sent", || async {
        !house.asked(Operation::Create).is_empty()
    })
    .await;
    assert!(
        !house.asked(Operation::Create)[0]
            .headers
            .contains_key("x-callback")
    );
    assert_eq!(modelrow.callback_address(SYSTEM_TENANT, "acme"), None);
    let callback = of_provider("evt", now_s(), &json!({}));
    for token in ["", "x", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let heard = modelrow
            .callback("acme", token, callback.clone())
            .await
            .unwrap();
        assert_eq!(
            (heard, modelrow.knows_hook("acme", token)),
            (Heard::NoAddress, false)
        );
    }
    assert_eq!(receipts(&house, "true").await, 0);
}

/// Serves a key set, and counts how often it is asked for.
async fn key_server(public: &[u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys.json", listener.local_addr().unwrap());
    let x = URL_SAFE_NO_PAD.encode(public);
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let serving = async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 4_096];
            let read = tcp.read(&mut head).await.unwrap();
            assert!(
                !String::from_utf8_lossy(&head[..read])
                    .to_lowercase()
                    .contains("authorization"),
                "credentials are not for key sets"
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}",
                set.len()
            );
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the runtime of the test"
    )]
    drop(tokio::spawn(serving));
    (url, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_is_fetched_once_however_many_callbacks_it_does_not_fit() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let (url, asked) = key_server(pair.public_key().as_ref()).await;
    let webhook = json!({"job_id_path": "data.id", "verify": {"kind": "ed25519_jwks", "jwks_url": url,
        "header": "X-Signature", "encoding": "base64", "signed": "{{header.x-time}}.{{body}}", "timestamp_header": "X-Time"}});
    let mut bundle = called_back(&webhook, None);
    bundle["provider"]["egress"] =
        json!({"credential_hosts": ["127.0.0.1"], "allow_http": true, "allow_private": true});
    let (house, modelrow) = started(House::of(patient(), bundle).await).await;
    let (run, job) = accepted(&house, &modelrow).await;
    let callback = |pair: &Ed25519KeyPair, kind: &str| {
        let (body, now) = (about(&job, kind).to_string(), now_s());
        let signature = pair.sign(format!("{now}.{body}").as_bytes());
        Callback {
            headers: vec![
                ("x-time".into(), now.to_string()),
                ("x-signature".into(), STANDARD.encode(signature.as_ref())),
            ],
            body: body.into(),
        }
    };
    for n in 0..5 {
        send(
            &modelrow,
            &address(&house, 0),
            &callback(&other, &n.to_string()),
        )
        .await;
    }
    applied(&house, 5).await;
    assert_eq!((polls(&house), receipts(&house, "verified").await), (0, 0));
    house.sim.advance_to_completion();
    send(
        &modelrow,
        &address(&house, 0),
        &callback(&pair, "video.completed"),
    )
    .await;
    assert_eq!(ended(&run, &modelrow).await.status, Status::Succeeded);
    assert_eq!(receipts(&house, "verified").await, 1);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
