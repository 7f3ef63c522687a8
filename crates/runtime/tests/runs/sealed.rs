//! Secrets that the database keeps: nobody who reads the database reads them.

use crate::house::{House, LIMIT, NoKey, cat, convention, ended, quick};
use diag::{Code, Secret};
use runtime::{CredentialName, Modelrow, NewSecret, Options, RunError, SecretKeys, Status, Work};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use store::{DEFAULT_TENANT, SYSTEM_TENANT};

const OLD: &str = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "new:HxwdGxoZGBcWFRQTEhEQDw4NDAsKCQgHBgUEAwIBAB4=";
const PLAIN: &str = "sk-never-in-the-database-1234";

fn keys(texts: &[&str]) -> SecretKeys {
    SecretKeys::parse(&Secret::from(texts.join("\n")), "test").unwrap()
}

/// No reference leads anywhere: what works does so by what is sealed.
fn options(house: &House, texts: &[&str]) -> Options {
    Options {
        secrets: Arc::new(NoKey),
        secret_keys: match texts {
            [] => SecretKeys::default(),
            texts => keys(texts),
        },
        ..house.options()
    }
}

async fn started(house: &House, texts: &[&str]) -> Modelrow {
    Modelrow::start(options(house, texts)).await.unwrap()
}

fn own(house: &House) -> CredentialName {
    CredentialName {
        tenant: SYSTEM_TENANT,
        provider: house.bundle["provider"]["slug"]
            .as_str()
            .unwrap()
            .to_owned(),
        name: None,
    }
}

fn plain() -> NewSecret {
    NewSecret::Sealed(Secret::from(PLAIN.to_owned()))
}

async fn sealed_house() -> House {
    let mut config = quick();
    config.keys = vec![PLAIN.into()];
    House::with(config, |bundle| {
        bundle["provider"]["conventions"]["verify"] =
            json!({"path": "/videos", "headers": {"Authorization": "Bearer {{apiKey}}"}});
    })
    .await
}

fn code(error: &RunError) -> Code {
    error.diagnostics().iter().next().unwrap().code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_uses_a_sealed_secret_that_no_row_shows() {
    let house = sealed_house().await;
    let modelrow = started(&house, &[OLD]).await;
    let set = modelrow
        .credential_set(&own(&house), &plain(), "ann")
        .await
        .unwrap();
    assert!(!set.added, "it takes the place of the bundle's reference");
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let hex: String = PLAIN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let shows = |text: &str| {
        format!(
            "select count(*) from (
                select query_to_xml(format('select t::text from %I.%I t', table_schema, table_name), true, false, '')::text as dump
                from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE') all_of_it
             where dump like '%{text}%'"
        )
    };
    assert_eq!(house.count(&shows(PLAIN)).await, 0);
    assert_eq!(house.count(&shows(&hex)).await, 0);
    // The search finds what is there: the prompt, and the sealed secret's key.
    assert!(house.count(&shows("plays the piano")).await > 0);
    let key: String = "old".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(house.count(&shows(&format!("0103{key}"))).await > 0);
    let told = format!("{:?} {view:?}", modelrow.credentials());
    assert!(!told.contains("sk-never"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_key_leaves_the_run_to_one_that_has_it() {
    let house = sealed_house().await;
    let server = Modelrow::start(Options {
        work: Work::No,
        ..options(&house, &[OLD])
    })
    .await
    .unwrap();
    server
        .credential_set(&own(&house), &plain(), "ann")
        .await
        .unwrap();
    let handle = server.run_profile(cat()).await.unwrap();
    for (texts, want) in [(&[][..], Code::S147), (&[NEW][..], Code::S144)] {
        let worker = started(&house, texts).await;
        let view = worker
            .wait(DEFAULT_TENANT, handle.id(), Duration::from_millis(700))
            .await
            .unwrap();
        assert_eq!((view.state.as_str(), view.attempts.len()), ("queued", 0));
        // A call that it would have to serve itself is refused at once.
        let refused = worker.run_profile(cat()).await.err().unwrap();
        assert_eq!(code(&refused), want, "{refused:?}");
        worker.shutdown(Duration::ZERO).await;
    }
    let worker = started(&house, &[NEW, OLD]).await;
    let view = worker
        .wait(DEFAULT_TENANT, handle.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_seals_every_secret_anew_and_may_be_done_again() {
    let house = sealed_house().await;
    let before = started(&house, &[OLD]).await;
    before
        .credential_set(&own(&house), &plain(), "ann")
        .await
        .unwrap();
    let other = CredentialName {
        name: Some("other".into()),
        ..own(&house)
    };
    assert!(
        before
            .credential_set(&other, &plain(), "ann")
            .await
            .unwrap()
            .added
    );
    // Copied by hand: it does not open in another row.
    house
        .sql(
            "insert into provider_api_credentials (provider_id, name, secret)
             select provider_id, 'copied', secret from provider_api_credentials where name = 'other'",
        )
        .await;
    let modelrow = started(&house, &[NEW, OLD]).await;
    let rotated = modelrow.credentials_rotate().await.unwrap();
    assert_eq!(
        (rotated.sealed, rotated.changed, rotated.left.len()),
        (2, 0, 1)
    );
    assert_eq!(
        (rotated.left[0].name.as_str(), rotated.left[0].code),
        ("copied", Code::S145)
    );
    let again = modelrow.credentials_rotate().await.unwrap();
    assert_eq!((again.sealed, again.left.len()), (0, 1));
    // They would share the work, and the first opens nothing of now.
    before.shutdown(Duration::ZERO).await;
    modelrow.shutdown(Duration::ZERO).await;
    let after = started(&house, &[NEW]).await;
    let view = ended(&after, cat()).await;
    assert_eq!(
        view.status,
        Status::Succeeded,
        "the old key is not needed: {view:#?}"
    );
    let opens = |modelrow: &Modelrow| {
        let views = modelrow.credentials().into_iter();
        let of = views.filter(|view| view.sealed_under.as_deref() == Some("new"));
        of.map(|view| view.opens).collect::<Vec<_>>()
    };
    let old = started(&house, &[OLD]).await;
    assert_eq!(
        (opens(&after), opens(&old)),
        (vec![true, true], vec![false, false])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_sealed_for_another_row_fails_the_run_that_needs_it() {
    let house = sealed_house().await;
    let modelrow = started(&house, &[OLD]).await;
    let other = CredentialName {
        name: Some("other".into()),
        ..own(&house)
    };
    let used = CredentialName {
        name: house.bundle["auth_profiles"][0]["profile_key"]
            .as_str()
            .map(str::to_owned),
        ..own(&house)
    };
    for which in [&other, &used] {
        modelrow
            .credential_set(which, &plain(), "ann")
            .await
            .unwrap();
    }
    house
        .sql(
            "update provider_api_credentials c set secret = o.secret
             from provider_api_credentials o where o.name = 'other' and c.name <> 'other'",
        )
        .await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.failure_text("code"), Some("bad_secret"), "{view:#?}");
    let message = view.failure_text("message").unwrap();
    assert!(
        message.contains("does not open with the key `old`"),
        "{message}"
    );
    assert!(house.sim.ledger().is_empty());
    let refused = modelrow.credential_verify(&used).await.unwrap_err();
    assert_eq!(code(&refused), Code::S145);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_proved_by_the_free_exchange_of_its_provider() {
    let house = sealed_house().await;
    let modelrow = started(&house, &[OLD]).await;
    modelrow
        .credential_set(&own(&house), &plain(), "ann")
        .await
        .unwrap();
    let verified = modelrow.credential_verify(&own(&house)).await.unwrap();
    assert_eq!(verified.failure, None);
    assert_eq!(verified.by, format!("GET {}/videos", house.sim.base_url()));
    let wrong = NewSecret::Sealed(Secret::from("sk-wrong-4321".to_owned()));
    modelrow
        .credential_set(&own(&house), &wrong, "ann")
        .await
        .unwrap();
    let verified = modelrow.credential_verify(&own(&house)).await.unwrap();
    let failure = verified.failure.unwrap();
    assert_eq!(failure["class"], "authentication", "{failure}");
    assert!(!failure.to_string().contains("sk-wrong-4321"), "{failure}");
    assert!(house.sim.accepted_jobs().is_empty());
    let none = CredentialName {
        provider: "nobody".into(),
        ..own(&house)
    };
    let refused = modelrow.credential_verify(&none).await.unwrap_err();
    assert_eq!(code(&refused), Code::R160);
    let refused = modelrow
        .credential_set(&none, &plain(), "ann")
        .await
        .unwrap_err();
    assert_eq!(code(&refused), Code::X111);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_nothing_proves_is_said_to_be_so() {
    let house = House::with(quick(), |bundle| {
        let conventions = bundle["provider"]["conventions"].as_object_mut();
        conventions.unwrap().remove("verify");
    })
    .await;
    // Nothing runs here: without a worker, nothing of one can be late.
    let modelrow = Modelrow::start(Options {
        work: Work::No,
        ..house.options()
    })
    .await
    .unwrap();
    let refused = modelrow.credential_verify(&own(&house)).await.unwrap_err();
    assert_eq!(code(&refused), Code::S149, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_fits_no_auth_profile_is_refused_before_it_is_written() {
    let house = House::with(quick(), |bundle| {
        bundle["auth_profiles"][0]["config"] = json!({"split": {"by": ":", "into": ["id", "key"]}});
        convention(bundle, "/retry/max", json!(1));
    })
    .await;
    let modelrow = started(&house, &[OLD]).await;
    let refused = modelrow
        .credential_set(&own(&house), &plain(), "ann")
        .await
        .unwrap_err();
    assert_eq!(code(&refused), Code::R128, "{refused:?}");
    assert!(!format!("{refused:?}").contains("sk-never"));
    let none = started(&house, &[]).await;
    let pair = NewSecret::Sealed(Secret::from("a:b".to_owned()));
    let refused = none
        .credential_set(&own(&house), &pair, "ann")
        .await
        .unwrap_err();
    assert_eq!(code(&refused), Code::S147);
    assert!(
        modelrow.credentials()[0].reference.is_some(),
        "nothing is changed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_the_key_of_a_sealed_secret_is_not_ready_and_says_which() {
    let house = sealed_house().await;
    let with = started(&house, &[OLD]).await;
    with.credential_set(&own(&house), &plain(), "ann")
        .await
        .unwrap();
    assert_eq!(without_lease(&with).await, [""; 0]);
    let without = started(&house, &[NEW]).await;
    let reasons = without_lease(&without).await;
    assert!(
        reasons.len() == 1 && reasons[0].contains("`old`"),
        "{reasons:?}"
    );
}

/// A worker that has just begun may have no lease yet.
async fn without_lease(modelrow: &Modelrow) -> Vec<String> {
    let mut reasons = modelrow.readiness().await.reasons;
    reasons.retain(|reason| !reason.contains("lease"));
    reasons
}
