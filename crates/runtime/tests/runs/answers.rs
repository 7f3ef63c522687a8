//! Synchronous answers: the only copy of what was paid for, with files in them.

use crate::house::{House, LIMIT, bundle, ended, quick, until};
use base64::Engine as _;
use runtime::{RunRequest, RunView, Status};
use serde_json::{Value, json};
use simulator::{Action, Operation, Rule, Scripted};
use sqlx::Connection as _;
use store::DEFAULT_TENANT;
use uuid::Uuid;

pub(crate) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";
/// Each byte of it is a character of its own, so that a script can answer it.
const GIF: &str = "GIF89a\x01\0\x01\0\0\0\0;";

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn picture() -> RunRequest {
    RunRequest::new("image").prompt("a cat")
}

/// The wire knows no pictures: the script answers, in the order of the requests.
pub(crate) fn answers(house: &House, actions: Vec<Action>) {
    let rules = actions.into_iter().enumerate();
    let rules = rules
        .map(|(i, action)| Rule::on(Operation::Unknown, action).nth(u64::try_from(i).unwrap() + 1));
    house.sim.script(rules.collect());
}

/// The files are behind addresses, instead of in the answer.
async fn house_of_addresses() -> House {
    let mut bundle = bundle();
    let profiles = bundle["profiles"].as_array_mut().unwrap();
    let picture = profiles
        .iter_mut()
        .find(|profile| profile["purpose"] == "image")
        .unwrap();
    picture["workflow"]["steps"][0] =
        json!({"name": "download", "url_path": "data[].url", "content_type": "image/gif"});
    House::of(quick(), bundle).await
}

fn file(view: &RunView, i: usize) -> (&str, &str, u64) {
    let artifact = &view.artifacts[i];
    (&artifact.name, &artifact.content_type, artifact.bytes)
}

async fn state_was_fetching(house: &House, view: &RunView) -> i64 {
    let keys = format!(
        "select count(distinct split_part(object_key, '/', 3)) from artifacts where run_id = '{}' and object_key ~ '/[a-z]+\\.[0-9]+/[0-9]+$'",
        view.id
    );
    house.count(&keys).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_a_synchronous_answer_are_fetched_under_a_version_of_their_own() {
    let house = House::new(quick()).await;
    let two = json!({"data": [{"b64_json": base64(PNG)}, {"b64_json": base64(PNG)}]});
    answers(&house, vec![Action::Answer(Scripted::json(200, two))]);
    let modelrow = house.start().await;
    let view = ended(&modelrow, picture().param("n", 2)).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(view.artifacts.len(), 2);
    let bytes = u64::try_from(PNG.len()).unwrap();
    assert_eq!(
        file(&view, 1),
        (view.artifacts[0].name.as_str(), "image/png", bytes)
    );
    assert_eq!(state_was_fetching(&house, &view).await, 1);
    // Intent 1, answer 2, fetch 3, end 4: the start of the fetch is a decision of its own.
    let key = "select count(*) from artifacts a join run_states s using (run_id) where object_key like '%/3' and s.ver = 4";
    assert_eq!(house.count(key).await, 2);
    assert_eq!(house.sim.ledger().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_is_the_body_of_the_answer() {
    let house = House::new(quick()).await;
    let sound = Scripted::text(200, "audio/mpeg", "ID3\u{3}\0\0\0\0\0\0sound");
    answers(&house, vec![Action::Answer(sound)]);
    let modelrow = house.start().await;
    let view = ended(&modelrow, RunRequest::new("audio").prompt("hello")).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(file(&view, 0).1, "audio/mpeg");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_above_16_mib_has_no_data_url() {
    const MOST: usize = 16 * 1024 * 1024;
    // The answer is the file here: it has the bound of answers unless the row says more.
    let house = House::with(quick(), |bundle| {
        for profile in bundle["profiles"].as_array_mut().unwrap() {
            profile["transport"]["max_bytes"] = json!(2 * MOST);
        }
    })
    .await;
    let modelrow = house.start().await;
    for (bytes, has) in [(MOST, true), (MOST + 1, false)] {
        let sound = format!("ID3\u{3}{}", "s".repeat(bytes - 4));
        let answer = Scripted::text(200, "audio/mpeg", &sound);
        answers(&house, vec![Action::Answer(answer)]);
        let view = ended(&modelrow, RunRequest::new("audio").prompt("hello")).await;
        assert_eq!(view.status, Status::Succeeded, "{bytes}");
        assert_eq!(view.artifacts[0].bytes, bytes as u64);
        let output = view.output.unwrap();
        assert_eq!(output["audio"].get("data_url").is_some(), has, "{bytes}");
    }
}

/// An answer that no row can hold, with the address of a file.
fn large(house: &House) -> Action {
    let url = format!("{}/files/cat.gif", house.sim.base_url());
    let padding = "x".repeat(100_000);
    Action::Answer(Scripted::json(
        200,
        json!({"padding": padding, "data": [{"url": url}]}),
    ))
}

fn gif() -> Action {
    Action::Answer(Scripted::text(200, "image/gif", GIF))
}

/// A run whose worker is gone while it fetched the file of a large answer.
async fn left_while_fetching(house: &House) -> Uuid {
    let stall = Action::Stall { ms: 30_000 };
    answers(house, vec![large(house), stall, gif()]);
    let first = house.start().await;
    let run = first.run_profile(picture()).await.unwrap().id();
    until("the file is asked for", || async {
        house.sim.ledger().len() == 2
    })
    .await;
    drop(first);
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_of_a_large_answers_file_survives_its_worker() {
    let house = house_of_addresses().await;
    let run = left_while_fetching(&house).await;
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (view.attempts.len(), house.sim.ledger().len()),
        (1, 3),
        "paid for once, its file asked for twice"
    );
    let again = house
        .count("select count(*) from artifacts where object_key like '%/4'")
        .await;
    assert_eq!(again, 1, "the second fetch has a key of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_is_stored_before_its_acceptance_and_found_after_a_crash_in_between() {
    let house = house_of_addresses().await;
    answers(&house, vec![large(&house), gif()]);
    house.sim.script(vec![Rule::on(
        Operation::Unknown,
        Action::DelayAnswer { ms: 1_000 },
    )]);
    let first = house.start().await;
    let run = first.run_profile(picture()).await.unwrap().id();
    until("it is sent", || async { house.sim.ledger().len() == 1 }).await;
    // The acceptance cannot be written.
    let locks = "begin; lock table submit_attempts in share mode";
    let held = house.as_owner(locks).await;
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%set state = ''validating''%'";
    until("its acceptance waits", || async {
        house.count(waiting).await > 0
    })
    .await;
    let answer = house.folder.path().join(format!("{run}/answer/1"));
    assert!(answer.exists(), "the only copy is stored first");
    drop(first);
    house.cut_connections().await;
    held.close().await.unwrap();
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let outcomes: Vec<Value> = view
        .attempts
        .iter()
        .map(|attempt| json!([attempt.outcome, attempt.n]))
        .collect();
    assert_eq!(outcomes, [json!(["accepted", 1])]);
    assert_eq!(house.sim.ledger().len(), 2, "the submit and the file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_is_waited_for_while_the_artifact_store_is_away() {
    let house = house_of_addresses().await;
    let run = left_while_fetching(&house).await;
    let there = house.folder.path().join(format!("{run}/answer"));
    let away = house.folder.path().join("away");
    // As a disk that is not mounted, and as one that cannot be read.
    for is_there in [false, true] {
        std::fs::rename(&there, &away).unwrap();
        if is_there {
            std::fs::write(&there, "").unwrap();
        }
        let worker = house.start().await;
        let seen = std::time::Duration::from_secs(2);
        let view = worker.wait(DEFAULT_TENANT, run, seen).await.unwrap();
        assert!(!view.ended(), "{view:#?}");
        drop(worker);
        if is_there {
            std::fs::remove_file(&there).unwrap();
        }
        std::fs::rename(&away, &there).unwrap();
    }
    let last = house.start().await;
    let view = last.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(view.attempts.len(), 1);
}
