use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{LIMIT, QUEUE, Rig, send, slow};
use crate::content::CLIP;
use crate::{Action, Config, Cut, JobPatch, JobPlan, Operation, Outcome, Rule, Scripted};

fn cat() -> serde_json::Value {
    json!({"prompt": "a cat"})
}

#[tokio::test]
async fn a_rate_limit_hits_as_often_as_scripted_with_its_hints_and_accepts_nothing() {
    let rig = Rig::new().await;
    let limit = Action::RateLimit {
        retry_after_s: Some(3),
        retry_after_ms: Some(2500),
    };
    rig.sim
        .script(vec![Rule::on(Operation::Create, limit).times(2)]);
    for _ in 0..2 {
        let got = rig.create(cat()).await;
        assert_eq!(
            (
                got.status,
                got.header("retry-after"),
                got.header("retry-after-ms")
            ),
            (429, "3", "2500")
        );
        assert_eq!(got.json()["error"]["code"], "rate_limit_exceeded");
    }
    assert!(rig.sim.accepted_jobs().is_empty());
    assert_eq!(rig.create(cat()).await.status, 200);
}

#[tokio::test]
async fn a_server_error_comes_before_or_after_the_job_exists() {
    for (after_accepting, jobs) in [(false, 0), (true, 1)] {
        let rig = Rig::new().await;
        rig.sim.script(vec![Rule::on(
            Operation::Create,
            Action::ServerError {
                status: 503,
                after_accepting,
            },
        )]);
        let got = rig.create(cat()).await;
        assert_eq!(
            (got.status, &got.json()["error"]["type"]),
            (503, &json!("server_error"))
        );
        assert_eq!(rig.sim.accepted_jobs().len(), jobs);
        assert_eq!(rig.sim.ledger()[0].accepted_job.is_some(), after_accepting);
    }
}

#[tokio::test]
async fn a_cut_connection_gives_no_answer_and_the_ledger_says_where_it_was_cut() {
    for (place, jobs) in [(Cut::BeforeReading, 0), (Cut::AfterAccepting, 1)] {
        let rig = Rig::new().await;
        rig.sim
            .script(vec![Rule::on(Operation::Create, Action::Cut(place))]);
        let error = send(rig.post("/videos", &cat())).await.unwrap_err();
        assert!(
            !error.is_timeout() && !error.is_connect() && error.status().is_none(),
            "{error:?}"
        );
        assert_eq!(rig.sim.accepted_jobs().len(), jobs, "{place:?}");
        let ledger = rig.sim.ledger();
        assert_eq!(ledger[0].outcome, Outcome::Cut(place));
        assert_eq!(ledger[0].accepted_job.is_some(), jobs == 1);
        assert_eq!(rig.create(cat()).await.status, 200);
    }
}

#[tokio::test]
async fn a_download_is_cut_after_the_bytes_the_script_says() {
    let rig = Rig::new().await;
    let id = rig.done().await;
    rig.sim.script(vec![Rule::on(
        Operation::Content,
        Action::Cut(Cut::MidBody(10_000)),
    )]);
    let path = format!("/videos/{id}/content");
    let mut answer = rig.request("GET", &path).send().await.unwrap();
    assert_eq!(
        answer.headers()["content-length"],
        CLIP.len().to_string().as_str()
    );
    let mut bytes = Vec::new();
    let error = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend(chunk),
            Ok(None) => panic!("the body came to its end"),
            Err(error) => break error,
        }
    };
    assert!(
        error.is_body() || error.is_decode() || error.is_request(),
        "{error:?}"
    );
    assert_eq!(bytes, CLIP[..10_000]);
    let outcome = rig.sim.ledger().last().unwrap().outcome;
    assert_eq!(outcome, Outcome::Cut(Cut::MidBody(10_000)));
    assert_eq!(rig.get(&path).await.bytes, CLIP);
}

#[tokio::test]
async fn a_cut_strikes_generated_content_too() {
    let rig = Rig::of(Config {
        jobs: JobPlan {
            content_bytes: Some(3_000_000),
            ..slow().jobs
        },
        ..slow()
    })
    .await;
    let id = rig.done().await;
    rig.sim.script(vec![Rule::on(
        Operation::Content,
        Action::Cut(Cut::MidBody(1_000_000)),
    )]);
    let path = format!("/videos/{id}/content");
    assert!(send(rig.request("GET", &path)).await.is_err());
    assert_eq!(rig.get(&path).await.bytes.len(), 3_000_000);
}

#[tokio::test]
async fn a_stalled_submit_is_accepted_even_when_its_caller_has_gone() {
    let rig = Rig::new().await;
    rig.sim.script(vec![Rule::on(
        Operation::Create,
        Action::Stall { ms: 1500 },
    )]);
    let error = send(
        rig.post("/videos", &cat())
            .timeout(Duration::from_millis(100)),
    )
    .await
    .unwrap_err();
    assert!(error.is_timeout());
    assert!(rig.sim.accepted_jobs().is_empty());
    assert!(
        rig.sim
            .wait_until(LIMIT, |sim| sim.accepted_jobs().len() == 1
                && sim.ledger()[0].caller_left)
            .await
    );
    assert!(
        rig.sim
            .wait_until(LIMIT, |sim| sim.ledger()[0].outcome
                == Outcome::Answered(200))
            .await
    );
}

#[tokio::test]
async fn a_delayed_answer_comes_late_though_the_job_is_accepted_at_once() {
    let rig = Rig::new().await;
    rig.sim.script(vec![Rule::on(
        Operation::Create,
        Action::DelayAnswer { ms: 300 },
    )]);
    let started = Instant::now();
    let (got, accepted) = tokio::join!(rig.create(cat()), async {
        let accepted = rig
            .sim
            .wait_until(LIMIT, |sim| sim.accepted_jobs().len() == 1)
            .await;
        (accepted, rig.sim.ledger()[0].outcome)
    });
    assert_eq!(accepted, (true, Outcome::Open));
    assert_eq!(got.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_body_can_pause_and_still_be_whole() {
    let rig = Rig::new().await;
    let id = rig.done().await;
    rig.sim.script(vec![Rule::on(
        Operation::Content,
        Action::StallBody {
            after_bytes: 100,
            ms: 200,
        },
    )]);
    let started = Instant::now();
    assert_eq!(rig.get(&format!("/videos/{id}/content")).await.bytes, CLIP);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_fresh_job_can_be_missing_from_the_list_and_unknown_by_its_id() {
    let patch = JobPatch {
        visible_after_ms: Some(60_000),
        retrievable_after_ms: Some(30_000),
        ..JobPatch::default()
    };
    let rig = Rig::new().await;
    rig.sim
        .script(vec![Rule::on(Operation::Create, Action::Job(patch))]);
    let path = format!("/videos/{}", rig.job().await);
    let seen = async || {
        let list = rig.get("/videos").await.json();
        (
            rig.get(&path).await.status,
            list["data"].as_array().unwrap().len(),
        )
    };
    assert_eq!(seen().await, (404, 0));
    rig.sim.advance(Duration::from_secs(30));
    assert_eq!(seen().await, (200, 0));
    rig.sim.advance(Duration::from_secs(30));
    assert_eq!(seen().await, (200, 1));
}

#[tokio::test]
async fn wrong_content_is_served_as_scripted() {
    let page = json!({"error": {"message": "oops"}});
    let cases = [
        (
            "an error page as a video",
            Scripted::json(200, page.clone()).header("content-type", "video/mp4"),
            "video/mp4",
            page.to_string(),
        ),
        (
            "an error page as JSON",
            Scripted::json(200, page.clone()),
            "application/json",
            page.to_string(),
        ),
        (
            "an empty video",
            Scripted::text(200, "video/mp4", ""),
            "video/mp4",
            String::new(),
        ),
        (
            "a web page",
            Scripted::text(502, "text/html", "<html>"),
            "text/html",
            "<html>".to_owned(),
        ),
    ];
    let rig = Rig::new().await;
    let id = rig.done().await;
    for (why, scripted, kind, body) in cases {
        let status = scripted.status;
        rig.sim
            .script(vec![Rule::on(Operation::Content, Action::Answer(scripted))]);
        let got = rig.get(&format!("/videos/{id}/content")).await;
        assert_eq!(
            (got.status, got.header("content-type")),
            (status, kind),
            "{why}"
        );
        assert_eq!(got.bytes, body.into_bytes(), "{why}");
    }
    assert_eq!(rig.sim.accepted_jobs()[0].downloads, 0);
}

#[tokio::test]
async fn truncated_content_looks_whole_to_http() {
    let rig = Rig::new().await;
    let id = rig.done().await;
    rig.sim.script(vec![Rule::on(
        Operation::Content,
        Action::Truncate { bytes: 1000 },
    )]);
    let got = rig.get(&format!("/videos/{id}/content")).await;
    assert_eq!(got.header("content-length"), "1000");
    assert_eq!(got.bytes, CLIP[..1000]);
}

#[tokio::test]
async fn changing_content_differs_from_one_download_to_the_next() {
    let patch = JobPatch {
        changing_content: Some(true),
        ..JobPatch::default()
    };
    let rig = Rig::new().await;
    rig.sim
        .script(vec![Rule::on(Operation::Create, Action::Job(patch))]);
    let path = format!("/videos/{}/content", rig.done().await);
    let (first, second) = (rig.get(&path).await.bytes, rig.get(&path).await.bytes);
    assert_ne!(first, second);
    assert!(first.starts_with(CLIP) && second.starts_with(CLIP));
}

#[tokio::test]
async fn an_oversized_answer_is_json_of_the_size_scripted_and_no_answer_need_be_json() {
    let rig = Rig::new().await;
    let id = rig.job().await;
    rig.sim.script(vec![Rule::on(
        Operation::Retrieve,
        Action::Oversized { bytes: 3_000_000 },
    )]);
    let got = rig.get(&format!("/videos/{id}")).await;
    assert_eq!(
        (got.bytes.len(), got.header("content-type")),
        (3_000_000, "application/json")
    );
    assert!(got.json()["padding"].is_string());

    let text = Scripted::text(200, "application/json", "no such {").after_accepting();
    rig.sim
        .script(vec![Rule::on(Operation::Create, Action::Answer(text))]);
    let got = rig.create(cat()).await;
    assert!(serde_json::from_slice::<serde_json::Value>(&got.bytes).is_err());
    assert_eq!(rig.sim.accepted_jobs().len(), 2);
}

#[tokio::test]
async fn a_job_that_never_ends_stops_short_of_its_completion() {
    let patch = JobPatch {
        never_ends: Some(true),
        ..JobPatch::default()
    };
    let rig = Rig::new().await;
    rig.sim
        .script(vec![Rule::on(Operation::Create, Action::Job(patch))]);
    let path = format!("/videos/{}", rig.job().await);
    rig.sim.advance_to_completion();
    assert_eq!(rig.get(&path).await.json()["status"], "queued");
    rig.sim.advance(QUEUE * 1000);
    let job = rig.get(&path).await.json();
    assert_eq!(
        (&job["status"], &job["progress"]),
        (&json!("in_progress"), &json!(99))
    );
}

#[tokio::test]
async fn headers_can_be_put_on_a_real_answer() {
    let rig = Rig::new().await;
    let headers = [("x-mark".to_owned(), "7".to_owned())].into();
    rig.sim
        .script(vec![Rule::on(Operation::List, Action::Headers(headers))]);
    let got = rig.get("/videos").await;
    assert_eq!((got.status, got.header("x-mark")), (200, "7"));
}

#[tokio::test]
async fn a_rule_strikes_the_nth_request_of_its_kind_its_job_and_its_tag() {
    let fail = || Action::ServerError {
        status: 500,
        after_accepting: false,
    };
    let rig = Rig::new().await;
    rig.sim.script(vec![
        Rule::on(Operation::List, fail()).nth(2).times(2),
        Rule::on(Operation::Retrieve, fail()).job(2).always(),
        Rule::on(Operation::Create, fail()).tag("unlucky"),
    ]);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(rig.get("/videos").await.status);
    }
    assert_eq!(statuses, [200, 500, 500, 200, 200]);

    let (first, second) = (rig.job().await, rig.job().await);
    for _ in 0..2 {
        assert_eq!(rig.get(&format!("/videos/{first}")).await.status, 200);
        assert_eq!(rig.get(&format!("/videos/{second}")).await.status, 500);
    }
    let submit = |tag: &'static str| send(rig.post("/videos", &cat()).header("x-run-tag", tag));
    assert_eq!(submit("lucky").await.unwrap().status, 200);
    assert_eq!(submit("unlucky").await.unwrap().status, 500);
    assert_eq!(submit("unlucky").await.unwrap().status, 200);
}

#[tokio::test]
async fn rules_that_meet_on_one_request_all_apply() {
    let rig = Rig::new().await;
    rig.sim.script(vec![
        Rule::on(Operation::Create, Action::DelayAnswer { ms: 150 }),
        Rule::on(
            Operation::Create,
            Action::ServerError {
                status: 504,
                after_accepting: true,
            },
        ),
    ]);
    let started = Instant::now();
    assert_eq!(rig.create(cat()).await.status, 504);
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!(rig.sim.accepted_jobs().len(), 1);
}

#[tokio::test]
async fn stopping_breaks_a_connection_whose_request_is_not_whole_yet() {
    let rig = Rig::new().await;
    let mut tcp = TcpStream::connect(rig.sim.address()).await.unwrap();
    tcp.write_all(b"POST /v1/videos HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        .await
        .unwrap();
    assert!(
        rig.sim
            .wait_until(LIMIT, |sim| sim.ledger().len() == 1)
            .await
    );
    rig.sim.stop();
    // It comes to its end, with an error or without: it does not stay open.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LIMIT, tcp.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn stopping_breaks_open_connections_and_refuses_new_ones() {
    let rig = Rig::new().await;
    rig.sim.script(vec![Rule::on(
        Operation::List,
        Action::Stall { ms: 600_000 },
    )]);
    let (broken, ()) = tokio::join!(send(rig.request("GET", "/videos")), async {
        assert!(
            rig.sim
                .wait_until(LIMIT, |sim| sim.ledger().len() == 1)
                .await
        );
        rig.sim.stop();
    });
    assert!(!broken.unwrap_err().is_timeout());
    let refused = async {
        while !send(rig.request("GET", "/videos"))
            .await
            .is_err_and(|error| error.is_connect())
        {}
    };
    tokio::time::timeout(LIMIT, refused).await.unwrap();
}
