use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{LIMIT, Rig, slow};
use crate::{Action, Callback, Config, Failure, JobPatch, Key, Operation, Rule, signature};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Receiver {
    url: String,
    calls: mpsc::UnboundedReceiver<(HeaderMap, String)>,
    _stop: tokio_util::sync::DropGuard,
}

/// Answers the first `bad` calls with 500.
async fn receiver(bad: usize) -> Receiver {
    let (sender, calls) = mpsc::unbounded_channel();
    let left = Arc::new(AtomicUsize::new(bad));
    let take =
        async move |State(left): State<Arc<AtomicUsize>>, headers: HeaderMap, body: String| {
            sender.send((headers, body)).unwrap();
            let bad = left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
            if bad {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            }
        };
    let app = Router::new()
        .route("/hooks/acme", post(take))
        .with_state(left);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/acme?t=1", tcp.local_addr().unwrap());
    let stop = CancellationToken::new();
    drop(crate::tasks::start(stop.clone(), async move {
        axum::serve(tcp, app).await
    }));
    Receiver {
        url,
        calls,
        _stop: stop.drop_guard(),
    }
}

impl Receiver {
    async fn next(&mut self) -> (HeaderMap, String) {
        tokio::time::timeout(LIMIT, self.calls.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

async fn rig(receiver: &Receiver, change: impl FnOnce(&mut Callback)) -> Rig {
    let mut callback = Callback {
        url: receiver.url.clone(),
        secret: Some(Key::from(SECRET)),
        times: 1,
        attempts: 1,
        retry_ms: 0,
    };
    change(&mut callback);
    Rig::of(Config {
        callback: Some(callback),
        ..slow()
    })
    .await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

#[test]
fn a_message_is_signed_as_the_published_example_is() {
    // The example of the Standard Webhooks libraries.
    let got = signature(
        SECRET,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
    );
    assert_eq!(got, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn the_end_of_a_job_is_announced_once_and_signed() {
    let mut receiver = receiver(0).await;
    let rig = rig(&receiver, |_| {}).await;
    let id = rig.job().await;
    assert!(rig.sim.callbacks().is_empty());
    rig.sim.advance_to_completion();
    let (headers, body) = receiver.next().await;
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]),
        (&json!("video.completed"), &json!({"id": id}))
    );
    assert_eq!(event["id"], header(&headers, "webhook-id"));
    let timestamp: u64 = header(&headers, "webhook-timestamp").parse().unwrap();
    let want = signature(SECRET, header(&headers, "webhook-id"), timestamp, &body);
    assert_eq!(header(&headers, "webhook-signature"), want);
    assert!(
        rig.sim
            .wait_until(LIMIT, |sim| sim.callbacks().len() == 1)
            .await
    );
    assert_eq!(rig.sim.callbacks()[0].status, Some(200));
}

#[tokio::test]
async fn a_failed_job_is_announced_as_failed() {
    let mut receiver = receiver(0).await;
    let rig = rig(&receiver, |_| {}).await;
    let fails = Failure {
        code: "x".to_owned(),
        message: "y".to_owned(),
        at_progress: 10,
    };
    let patch = JobPatch {
        fails: Some(fails),
        ..JobPatch::default()
    };
    rig.sim
        .script(vec![Rule::on(Operation::Create, Action::Job(patch))]);
    rig.job().await;
    rig.sim.advance_to_completion();
    let (_, body) = receiver.next().await;
    assert!(body.contains(r#""type":"video.failed""#), "{body}");
}

#[tokio::test]
async fn a_callback_can_come_before_the_answer_to_the_submit() {
    let mut receiver = receiver(0).await;
    let rig = rig(&receiver, |_| {}).await;
    let patch = JobPatch {
        callback_before_answer: Some(true),
        ..JobPatch::default()
    };
    rig.sim
        .script(vec![Rule::on(Operation::Create, Action::Job(patch))]);
    let id = rig.job().await;
    // Delivered and answered, without a moment's wait after the submit's own answer.
    assert_eq!(rig.sim.callbacks().len(), 1);
    let (_, body) = receiver.calls.try_recv().unwrap();
    assert!(body.contains(&id));
    assert_eq!(
        rig.get(&format!("/videos/{id}")).await.json()["status"],
        "completed"
    );
}

#[tokio::test]
async fn a_duplicate_callback_carries_the_same_id() {
    let mut receiver = receiver(0).await;
    let rig = rig(&receiver, |callback| callback.times = 3).await;
    rig.done().await;
    let first = receiver.next().await;
    for _ in 0..2 {
        let again = receiver.next().await;
        assert_eq!(
            header(&again.0, "webhook-id"),
            header(&first.0, "webhook-id")
        );
    }
}

#[tokio::test]
async fn a_callback_that_is_refused_is_tried_again() {
    let mut receiver = receiver(2).await;
    let rig = rig(&receiver, |callback| callback.attempts = 5).await;
    rig.done().await;
    let first = receiver.next().await;
    let again = receiver.next().await;
    assert_eq!(
        header(&again.0, "webhook-id"),
        header(&first.0, "webhook-id")
    );
    assert!(
        rig.sim
            .wait_until(LIMIT, |sim| sim.callbacks().len() == 3)
            .await
    );
    let statuses: Vec<_> = rig.sim.callbacks().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(200)]);
}
