use std::time::Duration;

use serde_json::json;

use super::{LIMIT, QUEUE, RUN, Rig, form, png, send, slow, wire};
use crate::content::{CLIP, SPRITESHEET, THUMBNAIL, generated};
use crate::{Config, Failure, Flavour, JobPlan, Key, Operation, Outcome, Recorded};

#[tokio::test]
async fn a_job_goes_from_the_queue_over_integer_progress_to_a_playable_clip() {
    let rig = Rig::new().await;
    let created = rig
        .create(json!({"prompt": "a cat", "seconds": "8", "size": "1280x720"}))
        .await
        .json();
    let path = format!("/videos/{}", created["id"].as_str().unwrap());
    for (field, want) in [
        ("object", json!("video")),
        ("status", json!("queued")),
        ("progress", json!(0)),
        ("seconds", json!("8")),
        ("size", json!("1280x720")),
        ("completed_at", json!(null)),
        ("error", json!(null)),
    ] {
        assert_eq!(created[field], want, "{field}");
    }
    assert!(created["created_at"].is_u64());

    rig.sim.advance(QUEUE + RUN / 2);
    let running = rig.get(&path).await.json();
    assert_eq!(
        (&running["status"], &running["progress"]),
        (&json!("in_progress"), &json!(50))
    );

    rig.sim.advance(RUN / 2);
    let completed = rig.get(&path).await.json();
    assert_eq!(
        (&completed["status"], &completed["progress"]),
        (&json!("completed"), &json!(100))
    );
    assert!(completed["completed_at"].as_u64() > created["created_at"].as_u64());
    assert!(completed.get("url").is_none());

    let video = rig.get(&format!("{path}/content")).await;
    assert_eq!(
        (video.status, video.header("content-type")),
        (200, "video/mp4")
    );
    assert_eq!(video.bytes, CLIP);
}

#[test]
fn the_clip_is_small_and_an_mp4_with_sound_and_picture() {
    assert!(CLIP.len() < 60 * 1024);
    let holds = |what: &[u8]| CLIP.windows(what.len()).any(|part| part == what);
    assert_eq!(CLIP.get(4..8), Some(b"ftyp".as_slice()));
    for part in [b"moov".as_slice(), b"mdat", b"avc1", b"mp4a"] {
        assert!(holds(part), "{part:?}");
    }
}

#[tokio::test]
async fn thumbnail_and_sprite_sheet_are_variants_of_the_content() {
    let rig = Rig::new().await;
    let id = rig.done().await;
    for (variant, kind, bytes) in [
        ("video", "video/mp4", CLIP),
        ("thumbnail", "image/webp", THUMBNAIL),
        ("spritesheet", "image/jpeg", SPRITESHEET),
    ] {
        let got = rig
            .get(&format!("/videos/{id}/content?variant={variant}"))
            .await;
        assert_eq!((got.status, got.header("content-type")), (200, kind));
        assert_eq!(got.bytes, bytes);
    }
    assert_eq!(
        rig.get(&format!("/videos/{id}/content?variant=poster"))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn content_is_refused_before_completion_and_after_expiry() {
    let rig = Rig::of(Config {
        jobs: JobPlan {
            expires_after_ms: 60_000,
            ..slow().jobs
        },
        ..slow()
    })
    .await;
    let id = rig.job().await;
    let early = rig.get(&format!("/videos/{id}/content")).await;
    assert_eq!(early.status, 404);
    assert!(
        early.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("not ready")
    );
    rig.sim.advance_to_completion();
    assert_eq!(rig.get(&format!("/videos/{id}/content")).await.status, 200);
    rig.sim.advance(Duration::from_secs(60));
    let late = rig.get(&format!("/videos/{id}/content")).await;
    assert_eq!(late.status, 404);
    assert!(
        late.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("expired")
    );
}

#[tokio::test]
async fn the_list_is_paged_in_both_orders() {
    let rig = Rig::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(rig.job().await);
    }
    let page = async |query: &str| {
        let page = rig.get(&format!("/videos{query}")).await.json();
        let data: Vec<String> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(page["first_id"].as_str(), data.first().map(String::as_str));
        assert_eq!(page["last_id"].as_str(), data.last().map(String::as_str));
        (data, page["has_more"].as_bool().unwrap())
    };
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(page("").await, (newest.clone(), false));
    assert_eq!(page("?limit=2").await, (newest[..2].to_vec(), true));
    assert_eq!(
        page(&format!("?limit=2&after={}", newest[1])).await,
        (newest[2..4].to_vec(), true)
    );
    assert_eq!(
        page(&format!("?limit=2&order=asc&after={}", ids[2])).await,
        (ids[3..].to_vec(), false)
    );
    assert_eq!(rig.get("/videos?after=video_none").await.status, 404);
}

#[tokio::test]
async fn a_job_is_deleted_only_once_it_has_ended() {
    let rig = Rig::new().await;
    let id = rig.job().await;
    let path = format!("/videos/{id}");
    assert_eq!(
        send(rig.request("DELETE", &path)).await.unwrap().status,
        400
    );
    rig.sim.advance_to_completion();
    let deleted = send(rig.request("DELETE", &path)).await.unwrap().json();
    assert_eq!(
        deleted,
        json!({"id": id, "object": "video.deleted", "deleted": true})
    );
    assert_eq!(rig.get(&path).await.status, 404);
    assert_eq!(rig.get("/videos").await.json()["data"], json!([]));
    assert!(rig.sim.accepted_jobs()[0].deleted);
}

#[tokio::test]
async fn a_remix_is_a_new_job_of_a_completed_one() {
    let rig = Rig::new().await;
    let source = rig
        .create(json!({"prompt": "a cat", "seconds": "12"}))
        .await
        .json();
    let id = source["id"].as_str().unwrap();
    let path = format!("/videos/{id}/remix");
    let remix = json!({"prompt": "a dog"});
    assert_eq!(send(rig.post(&path, &remix)).await.unwrap().status, 400);
    rig.sim.advance_to_completion();
    let remixed = send(rig.post(&path, &remix)).await.unwrap().json();
    assert_eq!(remixed["remixed_from_video_id"], json!(id));
    assert_eq!(
        (&remixed["seconds"], &remixed["prompt"]),
        (&json!("12"), &json!("a dog"))
    );
    assert_ne!(remixed["id"], json!(id));
    assert_eq!(
        send(rig.post(&path, &json!({}))).await.unwrap().json()["error"]["param"],
        "prompt"
    );
    assert_eq!(
        send(rig.post("/videos/video_none/remix", &remix))
            .await
            .unwrap()
            .status,
        404
    );
}

#[tokio::test]
async fn a_form_with_a_reference_image_is_accepted_and_recorded_by_its_digest() {
    let rig = Rig::new().await;
    let image = png(720, 1280);
    let parts: [(&str, &[u8]); 3] = [
        ("\"prompt\"", b"she smiles"),
        ("\"seconds\"", b"8"),
        (
            "\"input_reference\"; filename=\"cat.png\"\r\nContent-Type: image/png",
            &image,
        ),
    ];
    let got = send(form(rig.request("POST", "/videos"), &parts))
        .await
        .unwrap();
    assert_eq!(got.status, 200, "{got:?}");
    let Recorded::Form(parts) = &rig.sim.ledger()[0].body else {
        panic!("not a form")
    };
    assert_eq!(parts[0].text.as_deref(), Some("she smiles"));
    assert_eq!(parts[2].file_name.as_deref(), Some("cat.png"));
    assert_eq!(parts[2].content_type.as_deref(), Some("image/png"));
    assert_eq!(
        (parts[2].bytes.len, parts[2].bytes.sha256.len()),
        (image.len() as u64, 64)
    );
}

#[tokio::test]
async fn a_job_that_fails_says_why_inside_a_200() {
    let fails = Failure {
        code: "oom".to_owned(),
        message: "out of frames".to_owned(),
        at_progress: 40,
    };
    let rig = Rig::of(Config {
        jobs: JobPlan {
            fails: Some(fails),
            ..slow().jobs
        },
        ..slow()
    })
    .await;
    let id = rig.done().await;
    let got = rig.get(&format!("/videos/{id}")).await;
    assert_eq!(got.status, 200);
    let job = got.json();
    assert_eq!(
        (&job["status"], &job["progress"]),
        (&json!("failed"), &json!(40))
    );
    assert_eq!(
        job["error"],
        json!({"code": "oom", "message": "out of frames"})
    );
    assert_eq!(rig.get(&format!("/videos/{id}/content")).await.status, 404);
}

#[tokio::test]
async fn the_policy_refuses_some_prompts_at_once_and_fails_others_in_the_job() {
    let rig = Rig::new().await;
    let refused = rig.create(json!({"prompt": "Mario jumps"})).await;
    assert_eq!(refused.status, 400);
    let error = &refused.json()["error"];
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("content_policy"), &json!("prompt"))
    );
    assert!(rig.sim.accepted_jobs().is_empty());

    let accepted = rig
        .create(json!({"prompt": "a Public Figure waves"}))
        .await
        .json();
    rig.sim.advance_to_completion();
    let job = rig
        .get(&format!("/videos/{}", accepted["id"].as_str().unwrap()))
        .await
        .json();
    assert_eq!(
        (&job["status"], &job["error"]["code"]),
        (&json!("failed"), &json!("content_policy"))
    );
}

#[tokio::test]
async fn the_wire_of_the_notes_gives_the_result_at_an_address_without_a_key() {
    let rig = Rig::of(Config {
        flavour: Flavour::Notes,
        ..slow()
    })
    .await;
    let created = rig
        .create(json!({"prompt": "a cat", "seconds": 10, "quality": "high"}))
        .await
        .json();
    assert_eq!(
        (&created["seconds"], &created["quality"]),
        (&json!(10), &json!("high"))
    );
    let path = format!("/videos/{}", created["id"].as_str().unwrap());
    rig.sim.advance(QUEUE);
    let running = rig.get(&path).await.json();
    assert_eq!(running["status"], "processing");
    assert!(running.get("url").is_none());
    rig.sim.advance_to_completion();
    let url = rig.get(&path).await.json()["url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(send(rig.http.get(&url)).await.unwrap().bytes, CLIP);
    assert_eq!(
        send(rig.http.get(&url).bearer_auth("test-key"))
            .await
            .unwrap()
            .status,
        400
    );
    assert_eq!(
        send(rig.http.get(url.replace(".mp4", "0.mp4")))
            .await
            .unwrap()
            .status,
        404
    );
    let wrong = rig
        .create(json!({"prompt": "a cat", "seconds": "10"}))
        .await;
    assert_eq!(
        (wrong.status, &wrong.json()["error"]["param"]),
        (400, &json!("seconds"))
    );
}

#[tokio::test]
async fn the_wire_of_the_gateway_takes_forms_only_and_the_image_as_a_file_or_a_string() {
    let rig = Rig::of(Config {
        flavour: Flavour::Gateway,
        ..slow()
    })
    .await;
    assert_eq!(rig.create(json!({"prompt": "a cat"})).await.status, 400);
    let image = "\"input_reference\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg";
    let parts: [[(&str, &[u8]); 3]; 2] = [
        [
            ("prompt", b"a cat"),
            ("seconds", b"8"),
            (image, b"\xff\xd8"),
        ],
        [
            ("prompt", b"a cat"),
            ("duration", b"12"),
            ("input_reference", b"https://acme.test/cat.jpg"),
        ],
    ];
    for (parts, seconds) in parts.iter().zip(["8", "12"]) {
        let got = send(form(rig.request("POST", "/videos"), parts))
            .await
            .unwrap();
        assert_eq!((got.status, &got.json()["seconds"]), (200, &json!(seconds)));
    }
    let id = rig.sim.accepted_jobs()[0].id.clone();
    let early = rig.get(&format!("/videos/{id}/content")).await;
    assert_eq!(early.status, 400);
    assert!(
        early.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("current status: Pending")
    );
}

#[tokio::test]
async fn a_large_video_has_the_bytes_asked_for_and_is_the_same_every_time() {
    let len = 5_000_000;
    let rig = Rig::of(Config {
        jobs: JobPlan {
            content_bytes: Some(len),
            ..slow().jobs
        },
        ..slow()
    })
    .await;
    let id = rig.done().await;
    let want: Vec<u8> = generated(len).flatten().collect();
    for _ in 0..2 {
        let got = rig.get(&format!("/videos/{id}/content")).await;
        assert_eq!(got.header("content-length"), len.to_string());
        assert!(got.bytes == want);
    }
    assert_eq!(rig.sim.accepted_jobs()[0].downloads, 2);
}

#[tokio::test]
async fn the_ledger_keeps_what_was_asked_but_no_key() {
    let keys = vec![Key::from("sk-test-0123456789")];
    let rig = Rig::of(Config { keys, ..slow() }).await;
    let request = rig
        .http
        .get(format!("{}/videos?limit=3", rig.sim.base_url()));
    let request = request
        .bearer_auth("sk-test-0123456789")
        .header("x-run-tag", "r1")
        .header("x-extra", "yes");
    assert_eq!(send(request).await.unwrap().status, 200);
    let entry = &rig.sim.ledger()[0];
    assert_eq!(
        (entry.number, entry.operation, entry.outcome),
        (1, Operation::List, Outcome::Answered(200))
    );
    assert_eq!(
        (
            entry.method.as_str(),
            entry.path.as_str(),
            entry.query.as_deref()
        ),
        ("GET", "/v1/videos", Some("limit=3"))
    );
    assert_eq!(
        (entry.headers["x-extra"].as_str(), entry.tag.as_deref()),
        ("yes", Some("r1"))
    );
    assert!(entry.headers["authorization"].starts_with("sha256:"));
    let text = serde_json::to_string(&rig.sim.ledger()).unwrap() + &format!("{:?}", rig.sim);
    assert!(!text.contains("0123456789"), "{text}");
}

#[tokio::test]
async fn accepted_jobs_are_counted_by_the_tag_of_a_header_or_of_the_prompt() {
    let rig = Rig::new().await;
    let body = json!({"prompt": "a cat"});
    send(rig.post("/videos", &body).header("x-run-tag", "one"))
        .await
        .unwrap();
    rig.create(json!({"prompt": "a cat (run:two) runs"})).await;
    rig.create(json!({"prompt": "a cat run:two"})).await;
    rig.create(json!({"prompt": "", "size": "run:three"})).await;
    let tags: Vec<_> = rig
        .sim
        .accepted_jobs()
        .into_iter()
        .map(|job| job.tag.unwrap())
        .collect();
    assert_eq!(tags, ["one", "two", "two"]);
    let ledger = rig.sim.ledger();
    let jobs: Vec<_> = ledger
        .iter()
        .map(|entry| entry.accepted_job.is_some())
        .collect();
    assert_eq!(jobs, [true, true, true, false]);
    assert_eq!(
        ledger[1].body,
        Recorded::Json(json!({"prompt": "a cat (run:two) runs"}))
    );
}

#[tokio::test]
async fn one_idempotency_key_is_one_job_where_the_script_says_so() {
    let rig = Rig::of(Config {
        idempotency_header: Some("idempotency-key".to_owned()),
        ..slow()
    })
    .await;
    let submit = || {
        rig.post("/videos", &json!({"prompt": "a cat"}))
            .header("idempotency-key", "k1")
    };
    let (first, second) = (
        send(submit()).await.unwrap().json(),
        send(submit()).await.unwrap().json(),
    );
    assert_eq!(first["id"], second["id"]);
    assert_eq!(rig.sim.accepted_jobs().len(), 1);
}

#[tokio::test]
async fn the_pace_header_of_the_wire_is_sent_when_the_job_has_a_pace() {
    let rig = Rig::of(Config {
        jobs: JobPlan {
            poll_after_ms: Some(1234),
            ..slow().jobs
        },
        ..slow()
    })
    .await;
    let id = rig.job().await;
    let name = wire().headers.poll_after_ms.unwrap();
    assert_eq!(
        rig.get(&format!("/videos/{id}")).await.header(&name),
        "1234"
    );
    let rig = Rig::new().await;
    let id = rig.job().await;
    assert_eq!(rig.get(&format!("/videos/{id}")).await.header(&name), "");
}

#[tokio::test]
async fn the_life_of_jobs_can_be_sped_up() {
    let rig = Rig::of(Config {
        speed: 1e7,
        ..slow()
    })
    .await;
    let id = rig.job().await;
    let done =
        async { while rig.get(&format!("/videos/{id}")).await.json()["status"] != "completed" {} };
    tokio::time::timeout(LIMIT, done).await.unwrap();
}
