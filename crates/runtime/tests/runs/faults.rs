//! What goes wrong in the house or at its edges, each under its code.

use crate::house::{House, LIMIT, cat, ended, quick};
use diag::Code;
use runtime::{InputMedium, Modelrow, RunError, Status};
use serde_json::json;
use std::fs;
use store::DEFAULT_TENANT;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

fn codes(refused: &RunError) -> Vec<Code> {
    refused.diagnostics().iter().map(|one| one.code).collect()
}

/// A house whose model takes a picture.
async fn with_pictures() -> House {
    House::with(quick(), |bundle| {
        bundle["models"][0]["capabilities"]["inputs"] = json!({"reference": {"kind": "image"}});
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_medium_that_cannot_be_read_is_refused_at_its_place() {
    let house = with_pictures().await;
    let request = cat().input(
        "reference",
        InputMedium::DataUrl("data:image/png;base64,###".into()),
    );
    let refused = house.start().await.run_profile(request).await.unwrap_err();
    assert_eq!(codes(&refused), [Code::R164], "{refused:?}");
    let found = refused.diagnostics();
    let places: Vec<_> = found.iter().map(|one| one.place.pointer.as_str()).collect();
    assert_eq!(places, ["/inputs/reference/0"]);
    assert!(house.sim.ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_that_the_model_does_not_take_are_not_fetched() {
    let house = with_pictures().await;
    let modelrow = house.start().await;
    let address = || InputMedium::Url(format!("{}/asset", house.sim.base_url()));
    let many = cat()
        .input("reference", address())
        .input("reference", address());
    let cases = [
        (
            cat().input("other", address()).param("fps", 1),
            vec![Code::C110, Code::C101],
        ),
        (many, vec![Code::C112]),
    ];
    for (request, want) in cases {
        let refused = modelrow.run_profile(request).await.unwrap_err();
        assert_eq!(codes(&refused), want, "{refused:?}");
    }
    assert!(house.sim.ledger().is_empty(), "{:?}", house.sim.ledger());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_address_that_is_not_the_publics_is_not_dialled() {
    let house = with_pictures().await;
    let modelrow = Modelrow::start(runtime::Options {
        allow: runtime::Allow {
            http: true,
            private: false,
        },
        ..house.options()
    });
    let modelrow = modelrow.await.unwrap();
    let port = house
        .sim
        .base_url()
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "user@localhost",
    ] {
        let address = format!("http://{host}:{port}/v1/videos");
        let request = cat().input("reference", InputMedium::Url(address.clone()));
        let refused = modelrow.run_profile(request).await.unwrap_err();
        assert_eq!(codes(&refused), [Code::R164], "{address}: {refused:?}");
    }
    assert!(house.sim.ledger().is_empty(), "{:?}", house.sim.ledger());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_artifacts_that_cannot_be_made_stops_the_start() {
    let house = House::new(quick()).await;
    let file = house.folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let mut options = house.options();
    options.artifacts = file.join("artifacts").into();
    let refused = Modelrow::start(options).await.err().unwrap();
    assert_eq!(refused.code(), Code::S140, "{refused}");
    assert!(refused.to_string().contains("artifacts"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_medium_that_cannot_be_stored_sends_nothing() {
    let house = with_pictures().await;
    let modelrow = house.start().await;
    fs::remove_dir_all(house.folder.path()).unwrap();
    fs::write(house.folder.path(), "no folder").unwrap();
    let request = cat().input("reference", InputMedium::file("cat.png", PNG));
    let refused = modelrow.run_profile(request).await.unwrap_err();
    assert_eq!(codes(&refused), [Code::S142], "{refused:?}");
    assert!(house.sim.ledger().is_empty());
    fs::remove_file(house.folder.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_deleted_by_hand_is_told_apart_from_one_that_is_not_there() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    for entry in fs::read_dir(house.folder.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let missing = modelrow
        .artifact(DEFAULT_TENANT, view.id, "video", 0)
        .await
        .err()
        .unwrap();
    assert_eq!(codes(&missing), [Code::S143], "{missing:?}");
    let other = modelrow
        .artifact(DEFAULT_TENANT, view.id, "sound", 0)
        .await
        .unwrap();
    assert!(other.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_never_follow_one_job() {
    let same = json!({"on": {"operation": "create"}, "times": 0, "do":
        {"answer": {"status": 200, "body": {"id": "video_same", "object": "video", "status": "queued"}}}});
    let running = json!({"on": {"operation": "retrieve"}, "times": 0, "do":
        {"answer": {"status": 200, "body": {"id": "video_same", "object": "video", "status": "in_progress"}}}});
    let house =
        House::new(serde_json::from_value(json!({"rules": [same, running]})).unwrap()).await;
    let modelrow = house.start().await;
    let first = modelrow.run_profile(cat()).await.unwrap();
    house
        .sim
        .wait_until(LIMIT, |sim| sim.ledger().len() > 1)
        .await;
    let second = ended(&modelrow, cat()).await;
    assert_eq!(second.status, Status::Failed, "{second:#?}");
    let said = |member| second.failure_text(member);
    assert_eq!(
        (said("code"), said("diagnostic")),
        (Some("duplicate_job"), Some(Code::R120.as_str()))
    );
    assert!(
        said("message").is_some_and(|text| text.contains("video_same")),
        "{second:#?}"
    );
    assert!(said("help").is_some());
    assert!(!first.view().await.unwrap().ended());
}
