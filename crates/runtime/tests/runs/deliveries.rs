//! Callbacks out, to a real server: signed, repeated, and never further than the guard lets them.

use crate::house::{House, LIMIT, cat, ended, quick, quick_polls, until};
use crate::receiver::{Answer, Heard, Receiver};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::{Code, ExposeSecret as _, Secret};
use ring::hmac;
use runtime::{
    Allow, Because, DeliveriesFilter, DeliveryStatus, DeliveryView, Modelrow, Options, Resolution,
    RunRequest, Scope, SecretKeys, Status,
};
use serde_json::{Value, json};
use simulator::{Action, Cut, Operation, Rule};
use std::time::Duration;
use store::DEFAULT_TENANT;

const HOUR: Duration = Duration::from_secs(3_600);

fn options(house: &House) -> Options {
    let key = Secret::from(format!("k1:{}", STANDARD.encode([7; 32])));
    Options {
        secret_keys: SecretKeys::parse(&key, "a test").unwrap(),
        ..house.options()
    }
}

async fn worker(house: &House) -> Modelrow {
    Modelrow::start(options(house)).await.unwrap()
}

async fn secret(modelrow: &Modelrow) -> String {
    let made = modelrow.webhook_secret_rotate(DEFAULT_TENANT, HOUR).await;
    made.unwrap().secret.expose_secret().to_owned()
}

fn told(receiver: &Receiver) -> RunRequest {
    RunRequest {
        callback: Some(json!({"url": receiver.url("/hook?token=sesame")})),
        ..cat()
    }
}

/// As a receiver does it, by the specification's text.
fn verifies(heard: &Heard, secret: &str) -> bool {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let (id, at) = (
        heard.header("webhook-id"),
        heard.header("webhook-timestamp"),
    );
    let message = [format!("{id}.{at}.").as_bytes(), &heard.body].concat();
    let age = time::OffsetDateTime::now_utc().unix_timestamp() - at.parse::<i64>().unwrap();
    let signed = |one: &str| {
        let tag = one
            .strip_prefix("v1,")
            .and_then(|tag| STANDARD.decode(tag).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &message, &tag).is_ok())
    };
    age.abs() < 300 && heard.header("webhook-signature").split(' ').any(signed)
}

async fn listed(modelrow: &Modelrow) -> Vec<DeliveryView> {
    let all = DeliveriesFilter::default();
    modelrow
        .deliveries(Scope::Operator, &all)
        .await
        .unwrap()
        .deliveries
}

async fn all_delivered(modelrow: &Modelrow, n: usize) -> Vec<DeliveryView> {
    until("they are delivered", || async {
        let all = listed(modelrow).await;
        all.len() == n
            && all
                .iter()
                .all(|one| one.status == DeliveryStatus::Delivered)
    })
    .await;
    listed(modelrow).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_run_is_told_signed_with_its_place_in_the_timeline() {
    let house = House::new(quick()).await;
    let worker = worker(&house).await;
    let receiver = Receiver::start(vec![]).await;
    let unsigned = worker.run_profile(told(&receiver)).await.unwrap_err();
    assert_eq!(
        unsigned.diagnostics().iter().next().unwrap().code,
        Code::R177
    );
    let secret = secret(&worker).await;
    let run = ended(&worker, told(&receiver).metadata("order", "12")).await;
    let one = all_delivered(&worker, 1).await.remove(0);
    let heard = receiver.heard();
    assert_eq!(
        (heard.len(), heard[0].target.as_str()),
        (1, "/hook?token=sesame")
    );
    assert!(verifies(&heard[0], &secret), "{:?}", heard[0]);
    assert!(!verifies(
        &heard[0],
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    ));
    assert_eq!(heard[0].header("webhook-id"), one.id.to_string());
    let body = heard[0].json();
    assert_eq!(
        (&body["type"], &body["seq"]),
        (&json!("run.succeeded"), &json!(2))
    );
    assert_eq!(
        (&body["data"]["id"], &body["data"]["status"]),
        (&json!(run.id), &json!("succeeded"))
    );
    assert_eq!(
        (
            &body["data"]["metadata"]["order"],
            &body["data"]["output"]["title"]
        ),
        (&json!("12"), &json!("a cat that plays the piano"))
    );
    assert!(!one.url.clone().unwrap().contains("sesame"), "{one:?}");
    let attempts = worker
        .delivery_attempts(DEFAULT_TENANT, one.id)
        .await
        .unwrap();
    assert_eq!((attempts.len(), attempts[0].status), (1, Some(200)));
    let stranger = uuid::Uuid::from_u128(8);
    let none = worker
        .deliveries(stranger, &DeliveriesFilter::default())
        .await
        .unwrap();
    assert!(none.deliveries.is_empty());
    assert!(
        worker
            .delivery_attempts(stranger, one.id)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(worker.resend(stranger, one.id).await.is_err());
    worker.resend(DEFAULT_TENANT, one.id).await.unwrap();
    until("it is sent again", || async { receiver.heard().len() == 2 }).await;
    assert_eq!(
        receiver.heard()[1].header("webhook-id"),
        one.id.to_string(),
        "under its own id"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_is_sent_again_under_the_same_id_and_a_redirect_is_not_followed() {
    let house = House::new(quick()).await;
    let worker = worker(&house).await;
    secret(&worker).await;
    let answers = vec![
        Answer::Status(503),
        Answer::Redirect("/elsewhere".into()),
        Answer::Cut,
    ];
    let receiver = Receiver::start(answers).await;
    let run = ended(&worker, told(&receiver)).await;
    for n in 1..=3_usize {
        until("it was tried", || async {
            let one = listed(&worker).await.remove(0);
            let wait = one.next_at.unwrap() - worker.now();
            // While one is on its way it is claimed for a minute, and the error is the last one's.
            let known = one.last_error.is_some() && (n == 1 || wait.whole_seconds() > 60);
            known && receiver.heard().len() == n && one.attempts as usize == n
        })
        .await;
        let one = listed(&worker).await.remove(0);
        assert_eq!(one.status, DeliveryStatus::Pending, "{one:?}");
        // The wait grows: 5 seconds, 5 minutes, half an hour.
        let wait = (one.next_at.unwrap() - worker.now()).whole_seconds();
        let (least, most) = [(1, 6), (250, 330), (1_600, 1_980)][n - 1];
        assert!((least..=most).contains(&wait), "{n}: {wait}");
        house.sql("update outbox set next_at = now()").await;
    }
    let one = all_delivered(&worker, 1).await.remove(0);
    let heard = receiver.heard();
    let ids: Vec<&str> = heard.iter().map(|one| one.header("webhook-id")).collect();
    assert!(
        ids.windows(2).all(|two| two[0] == two[1]) && ids.len() == 4,
        "{ids:?}"
    );
    assert!(
        heard.iter().all(|one| one.target.starts_with("/hook")),
        "{heard:?}"
    );
    let attempts = worker
        .delivery_attempts(DEFAULT_TENANT, one.id)
        .await
        .unwrap();
    let statuses: Vec<Option<i16>> = attempts.iter().map(|one| one.status).collect();
    assert_eq!(statuses, [Some(503), Some(302), None, Some(200)]);
    assert!(attempts[2].error.is_some());
    assert_eq!(
        run.status,
        Status::Succeeded,
        "whatever becomes of its callback"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_secret_is_rotated_the_old_and_the_new_one_verify_and_then_the_new_one_only() {
    let house = House::new(quick()).await;
    let worker = worker(&house).await;
    let receiver = Receiver::start(vec![]).await;
    let first = secret(&worker).await;
    let second = secret(&worker).await;
    let shown = worker.webhook_secret(DEFAULT_TENANT).await.unwrap();
    assert_eq!(shown.secret.expose_secret(), second);
    assert!(shown.old_until.is_some());
    ended(&worker, told(&receiver)).await;
    let one = all_delivered(&worker, 1).await.remove(0);
    let heard = receiver.heard();
    assert!(verifies(&heard[0], &first) && verifies(&heard[0], &second));
    house
        .sql("update webhook_secrets set expires_at = now() where expires_at is not null")
        .await;
    worker.resend(DEFAULT_TENANT, one.id).await.unwrap();
    until("it is sent again", || async { receiver.heard().len() == 2 }).await;
    let heard = receiver.heard();
    assert!(!verifies(&heard[1], &first) && verifies(&heard[1], &second));
    let third = secret(&worker).await;
    worker.resend(DEFAULT_TENANT, one.id).await.unwrap();
    until("it is sent again", || async { receiver.heard().len() == 3 }).await;
    let heard = receiver.heard();
    assert!(
        !verifies(&heard[2], &first) && verifies(&heard[2], &second) && verifies(&heard[2], &third)
    );
    let stored = "select count(*) from webhook_secrets where position(convert_to('whsec_', 'utf8') in secret) > 0";
    assert_eq!(house.count(stored).await, 0, "sealed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_to_a_private_address_is_refused_with_the_call_and_again_when_it_is_sent() {
    let house = House::new(quick()).await;
    let receiver = Receiver::start(vec![]).await;
    let lax = worker(&house).await;
    secret(&lax).await;
    let strict = |work| Options {
        allow: Allow {
            http: true,
            private: false,
        },
        work,
        ..options(&house)
    };
    let guarded = Modelrow::start(strict(runtime::Work::No)).await.unwrap();
    let refused = guarded.run_profile(told(&receiver)).await.unwrap_err();
    let found = refused.diagnostics();
    let first = found.iter().next().unwrap();
    assert_eq!(
        (first.code, first.place.pointer.as_str()),
        (Code::C182, "/callback/url")
    );
    // A run whose callback was taken when the operator allowed it; then the worker is a stricter one.
    house
        .sql("update credential_limits set paused_until = now() + interval '1 hour'")
        .await;
    let run = lax.run_profile(told(&receiver)).await.unwrap();
    lax.shutdown(LIMIT).await;
    guarded.cancel(DEFAULT_TENANT, run.id()).await.unwrap();
    let strict = Modelrow::start(strict(runtime::Work::Yes)).await.unwrap();
    until("it was tried", || async {
        listed(&strict)
            .await
            .first()
            .is_some_and(|one| one.last_error.is_some())
    })
    .await;
    let one = listed(&strict).await.remove(0);
    assert!(
        one.last_error.as_ref().unwrap().contains("public"),
        "{one:?}"
    );
    assert_eq!(
        (one.status, one.event.as_str()),
        (DeliveryStatus::Pending, "run.canceled")
    );
    assert!(receiver.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_receiver_delays_no_other_and_what_died_with_its_worker_is_sent_again() {
    let house = House::new(quick()).await;
    let first = worker(&house).await;
    secret(&first).await;
    let slow = Receiver::start(vec![Answer::Stall; 200]).await;
    let run = ended(&first, told(&slow)).await;
    house
        .sql(&format!(
            "insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
             select run_id, tenant_id, 'callback', 100 + g, 'run.failed', '{}' from run_states, generate_series(1, 60) g",
            slow.url("/hook")
        ))
        .await;
    until("its share of the places is taken", || async {
        slow.heard().len() >= 24
    })
    .await;
    let quick = Receiver::start(vec![]).await;
    ended(&first, told(&quick)).await;
    until("the other is told", || async { quick.heard().len() == 1 }).await;
    assert_eq!(
        slow.heard().len(),
        24,
        "three of four places, and all of them wait"
    );
    let of_slow = slow.heard()[0].header("webhook-id").to_owned();
    drop(first);
    let receiver = Receiver::start(vec![]).await;
    house
        .sql(&format!(
            "update outbox set next_at = now(), url = '{}' where outbox_id = '{of_slow}'; delete from outbox where url like '{}%'",
            receiver.url("/again"),
            slow.url("/hook")
        ))
        .await;
    let _second = worker(&house).await;
    until("it is sent again", || async { receiver.heard().len() == 1 }).await;
    assert_eq!(receiver.heard()[0].header("webhook-id"), of_slow);
    assert_eq!(run.status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_asked_for_is_told_and_proof_of_a_paid_job_is_told_as_reopened() {
    let mut config = quick();
    let away = Action::ServerError {
        status: 503,
        after_accepting: false,
    };
    config.rules = vec![
        Rule::on(Operation::Create, Action::Cut(Cut::AfterAccepting)),
        Rule::on(Operation::List, away).always(),
    ];
    let house = House::with(config, quick_polls).await;
    let worker = worker(&house).await;
    secret(&worker).await;
    let receiver = Receiver::start(vec![]).await;
    let callback = |events: Value| Some(json!({"url": receiver.url("/hook"), "events": events}));
    let picky = RunRequest {
        callback: callback(json!(["run.failed", "run.reopened"])),
        ..cat()
    };
    let run = worker.run_profile(picky).await.unwrap();
    until("nobody knows", || async {
        run.view().await.unwrap().state == "submit_unknown"
    })
    .await;
    let because = Because {
        reason: "found".into(),
        by: "ann".into(),
    };
    worker
        .resolve(run.id(), &Resolution::Failed, &because)
        .await
        .unwrap();
    let proof = Resolution::Accepted {
        provider_job_id: house.sim.accepted_jobs()[0].id.clone(),
    };
    worker.resolve(run.id(), &proof, &because).await.unwrap();
    assert_eq!(run.wait().await.unwrap().status, Status::Succeeded);
    all_delivered(&worker, 2).await;
    let mut told: Vec<(i64, String)> = receiver
        .heard()
        .iter()
        .map(|heard| {
            (
                heard.json()["seq"].as_i64().unwrap(),
                heard.json()["type"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    told.sort();
    let want = [(1, "run.failed"), (2, "run.reopened")].map(|(seq, kind)| (seq, kind.to_owned()));
    assert_eq!(told, want, "not its success");
    let wrong = RunRequest {
        callback: callback(json!(["run.gone"])),
        ..cat()
    };
    let refused = worker.run_profile(wrong).await.unwrap_err();
    assert_eq!(
        refused.diagnostics().iter().next().unwrap().code,
        Code::C182
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_no_secret_is_made_and_a_deleted_run_is_told_no_more() {
    let house = House::new(quick()).await;
    let keyless = house.start().await;
    let refused = keyless
        .webhook_secret_rotate(DEFAULT_TENANT, HOUR)
        .await
        .unwrap_err();
    assert_eq!(
        refused.diagnostics().iter().next().unwrap().code,
        Code::S147
    );
    keyless.shutdown(LIMIT).await;
    let worker = worker(&house).await;
    secret(&worker).await;
    let receiver = Receiver::start(vec![Answer::Status(500)]).await;
    let run = ended(&worker, told(&receiver)).await;
    until("it was tried", || async {
        listed(&worker)
            .await
            .first()
            .is_some_and(|one| one.last_error.is_some())
    })
    .await;
    worker.delete(DEFAULT_TENANT, run.id, "ann").await.unwrap();
    let one = listed(&worker).await.remove(0);
    assert_eq!((one.status, &one.url), (DeliveryStatus::Failed, &None));
    let gone = worker.resend(DEFAULT_TENANT, one.id).await.unwrap_err();
    assert_eq!(gone.diagnostics().iter().next().unwrap().code, Code::R178);
    assert!(
        worker
            .delivery_attempts(DEFAULT_TENANT, one.id)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_on_request_only_and_in_its_place_in_the_timeline() {
    let mut config = quick();
    config.jobs.run_ms = 600_000;
    let house = House::with(config, quick_polls).await;
    let worker = worker(&house).await;
    secret(&worker).await;
    let receiver = Receiver::start(vec![]).await;
    let url = receiver.url("/hook");
    let curious = RunRequest {
        callback: Some(json!({"url": url, "events": ["run.progress", "run.succeeded"]})),
        ..cat()
    };
    let (curious, plain) = (
        worker.run_profile(curious).await.unwrap(),
        worker.run_profile(told(&receiver)).await.unwrap(),
    );
    until("both are polled", || async {
        let states = [
            curious.view().await.unwrap().state,
            plain.view().await.unwrap().state,
        ];
        states.iter().all(|state| state == "polling")
    })
    .await;
    house.sim.advance(Duration::from_secs(200));
    until("its progress is told", || async {
        !receiver.heard().is_empty()
    })
    .await;
    house.sim.advance_to_completion();
    assert_eq!(curious.wait().await.unwrap().status, Status::Succeeded);
    assert_eq!(plain.wait().await.unwrap().status, Status::Succeeded);
    until("both ends are told", || async {
        let heard = receiver.heard();
        heard
            .iter()
            .filter(|one| one.json()["type"] == "run.succeeded")
            .count()
            == 2
    })
    .await;
    let progress: Vec<Value> = receiver
        .heard()
        .iter()
        .map(Heard::json)
        .filter(|body| body["type"] == "run.progress")
        .collect();
    let of: Vec<&Value> = progress.iter().map(|body| &body["data"]["id"]).collect();
    assert!(
        of.iter().all(|id| **id == json!(curious.id())) && !of.is_empty(),
        "{of:?}"
    );
    let timeline = worker
        .timeline(DEFAULT_TENANT, curious.id(), 0, 99)
        .await
        .unwrap();
    let entry = timeline
        .iter()
        .find(|entry| entry.kind == "progress")
        .unwrap();
    assert_eq!(progress[0]["seq"], json!(entry.seq));
    assert!(entry.body["percent"].as_i64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_seals_webhook_secrets_anew_and_callbacks_wait_for_a_process_that_has_it() {
    let house = House::new(quick()).await;
    let old = worker(&house).await;
    let first = secret(&old).await;
    let receiver = Receiver::start(vec![]).await;
    house
        .sql("update credential_limits set paused_until = now() + interval '1 hour'")
        .await;
    let run = old.run_profile(told(&receiver)).await.unwrap();
    old.shutdown(LIMIT).await;
    let with = |keys: &str| Options {
        secret_keys: SecretKeys::parse(&Secret::from(keys.to_owned()), "a test").unwrap(),
        ..house.options()
    };
    let (one, two) = (STANDARD.encode([7; 32]), STANDARD.encode([8; 32]));
    let lacking = Modelrow::start(with(&format!("k2:{two}"))).await.unwrap();
    lacking.cancel(DEFAULT_TENANT, run.id()).await.unwrap();
    until("it says what it lacks", || async {
        let waits = listed(&lacking).await.pop();
        waits.is_some_and(|one| {
            one.attempts == 0 && one.last_error.is_some_and(|why| why.contains("k1"))
        })
    })
    .await;
    lacking.shutdown(LIMIT).await;
    let both = Modelrow::start(with(&format!("k2:{two},k1:{one}")))
        .await
        .unwrap();
    let rotated = both.credentials_rotate().await.unwrap();
    assert_eq!((rotated.sealed, rotated.left.len()), (1, 0));
    both.shutdown(LIMIT).await;
    house.sql("update outbox set next_at = now()").await;
    let rotated = Modelrow::start(with(&format!("k2:{two}"))).await.unwrap();
    all_delivered(&rotated, 1).await;
    assert!(verifies(&receiver.heard()[0], &first));
}
