//! The other shipped bundles, each against the wire it was written for.

use crate::house::{House, bundle, bundle_with, ended, quick, quick_polls, until};
use diag::Code;
use runtime::{InputMedium, Modelrow, RunRequest, RunView, Status};
use simulator::{Config, Flavour, Operation, Recorded};

pub(crate) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

async fn house(flavour: Flavour, text: &str) -> House {
    let mut bundle = bundle_with(text);
    quick_polls(&mut bundle);
    House::of(Config { flavour, ..quick() }, bundle).await
}

pub(crate) fn video(house: &House) -> RunRequest {
    let model = house.bundle["models"][0]["model_id"].as_str().unwrap();
    RunRequest::new("video")
        .model(model)
        .prompt("a cat")
        .param("seconds", 8)
}

async fn delivered(modelrow: &Modelrow, request: RunRequest) -> RunView {
    let view = ended(modelrow, request).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let video = view
        .artifacts
        .iter()
        .find(|artifact| artifact.name == "video")
        .unwrap();
    assert_eq!(video.content_type, "video/mp4");
    view
}

/// Its calls are forms, with the reference file as a part.
pub(crate) async fn house_of_forms() -> House {
    let text = "\"http_multipart\",\"method\":\"POST\",\"path\":\"/videos\",\"body\":{\"prompt\"";
    house(Flavour::Gateway, text).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_file_reaches_a_multipart_provider_whole() {
    let house = house_of_forms().await;
    let request = video(&house).input("reference", InputMedium::file("cat.png", PNG));
    delivered(&house.start().await, request).await;
    let asked = house.asked(Operation::Create);
    let Recorded::Form(parts) = &asked[0].body else {
        panic!("{:?}", asked[0].body)
    };
    let part = parts
        .iter()
        .find(|part| part.name == "input_reference")
        .unwrap();
    assert_eq!(
        (part.file_name.as_deref(), part.content_type.as_deref()),
        (Some("cat.png"), Some("image/png"))
    );
    assert_eq!(part.bytes.len, PNG.len() as u64);
    assert_eq!(
        house.count("select count(*) from run_inputs").await,
        1,
        "the run names its input"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_medium_that_the_model_does_not_take_is_refused_before_it_is_stored() {
    let house = house(
        Flavour::Gateway,
        "\"http_multipart\",\"method\":\"POST\",\"path\":\"/videos\",\"body\":{\"prompt\"",
    )
    .await;
    let modelrow = house.start().await;
    let request = video(&house).input(
        "reference",
        InputMedium::file("cat.png", &b"%PDF-1.7 no picture"[..]),
    );
    let refused = modelrow
        .run_profile(request)
        .await
        .unwrap_err()
        .diagnostics();
    assert!(
        refused.iter().any(|one| one.code == Code::C113),
        "{refused}"
    );
    assert!(house.sim.ledger().is_empty());
    assert_eq!(house.count("select count(*) from inputs").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_at_the_address_of_the_poll_answer_is_fetched() {
    let house = house(Flavour::Notes, "\"url_path\":\"url\"").await;
    // The simulator answers with addresses of the host it was asked by: another origin, so no key goes there.
    let host = format!("localhost:{}", house.sim.address().port());
    house.sql(&format!("update ai_providers set conventions = jsonb_set(conventions, '{{headers,Host}}', '\"{host}\"')")).await;
    delivered(&house.start().await, video(&house)).await;
    assert_eq!(house.asked(Operation::File).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_files_are_kept_and_the_job_is_deleted_after_the_end() {
    let mut bundle = bundle();
    quick_polls(&mut bundle);
    let profiles = bundle["profiles"].as_array().unwrap();
    let profile = profiles
        .iter()
        .find(|profile| profile["workflow"]["cleanup"].is_array())
        .unwrap();
    let key = profile["profile_key"].as_str().unwrap().to_owned();
    let house = House::of(quick(), bundle).await;
    let modelrow = house.start().await;
    let view = delivered(&modelrow, video(&house).profile_key(&key)).await;
    let names: Vec<&str> = view
        .artifacts
        .iter()
        .map(|artifact| artifact.name.as_str())
        .collect();
    assert_eq!(names, ["spritesheet", "thumbnail", "video"]);
    until("the job is deleted", || async {
        house.asked(Operation::Delete).len() == 1
    })
    .await;
    until("the outbox is empty", || async {
        house
            .count("select count(*) from outbox where done_at is null")
            .await
            == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_was_shut_down_takes_no_calls() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let models = house.bundle["models"].as_array().unwrap();
    let model = models
        .iter()
        .find(|model| model["capabilities"]["lifecycle"].is_object())
        .unwrap();
    let request = RunRequest::new("video")
        .model(model["model_id"].as_str().unwrap())
        .prompt("a cat");
    let refused = modelrow
        .run_profile(request)
        .await
        .unwrap_err()
        .diagnostics();
    assert!(
        refused.iter().any(|one| one.code == Code::C119),
        "{refused}"
    );
    assert!(house.sim.ledger().is_empty());
}
