//! What makes two calls the same to a provider: every request that a run would send, rendered without what is the run's own,
//! and what else of the call decides what comes of them. The key of the result cache.

use crate::flow::{Phase, RunIdentity, Setting};
use crate::media::Media;
use crate::plan;
use crate::request::Drawn;
use profile::call::Call;
use profile::content::canonical;
use profile::lang::Root;
use profile::revision::{Revision, Step};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// What a rendering draws, and the run's names: the same for all.
const DRAWN: Drawn = Drawn {
    unix_ms: 0,
    seed: Uuid::nil(),
};

/// SHA-256 over the requests of a run, its secrets masked: clock, uuids, boundaries, the run's id, token and callback address
/// are left out, and what answers give stands as its name. `callback_url` counts by whether there is one.
///
/// Where a request cannot be rendered before the run, and for conditions, judgements and the output, the parts of the call
/// that they read are taken as they are. Tenant, credential and revision are the caller's to add.
#[must_use]
pub fn fingerprint(setting: Setting) -> [u8; 32] {
    let callback_url = setting.identity.callback_url.as_ref();
    let identity = RunIdentity {
        run_id: Uuid::nil(),
        token: Uuid::nil(),
        callback_url: callback_url.map(|_| diag::mask().to_owned()),
    };
    let setting = Setting {
        identity,
        ..setting
    };
    let revision = Arc::clone(&setting.revision);
    let (checked, media) = (Arc::clone(&setting.checked), Arc::clone(&setting.media));
    let mut hash = Sha256::new();
    let mut unknown = Vec::new();
    for planned in plan::plan(setting, DRAWN) {
        if matches!(planned.phase, Phase::Cancel | Phase::Cleanup) {
            continue;
        }
        put(&mut hash, planned.step.as_bytes());
        match &planned.request {
            Ok(request) => hash.update(request.sha256()),
            Err(_) => unknown.push(planned.step),
        }
    }
    for root in read(&revision, &unknown) {
        let value = json!([format!("{root:?}"), value(&checked.call, &media, root)]);
        put(&mut hash, canonical(&value).as_bytes());
    }
    hash.finalize().into()
}

fn put(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

/// The parts of the call that count as they are, in the order in which they are read.
fn read(revision: &Revision, unknown: &[String]) -> Vec<Root> {
    let mut roots = Vec::new();
    let mut see = |root: Root| {
        if root.is_of_the_call() && !roots.contains(&root) {
            roots.push(root);
        }
    };
    if revision.response.output.is_none() {
        // Outputs of their purpose's own making have it as their title.
        see(Root::UserPrompt);
    }
    revision.reads_beside_requests(&mut |read| see(read.name.root));
    let workflow = &revision.workflow;
    let steps = workflow.before.iter().chain(&workflow.steps);
    let named = |step: &&Step| unknown.contains(&step.name);
    let exchanges = steps
        .filter(named)
        .filter_map(|step| step.exchange.as_ref());
    let submits = revision.submits.iter().map(|submit| &submit.exchange);
    let submits = submits.filter(|_| unknown.iter().any(|step| step == "submit"));
    for exchange in exchanges.chain(submits) {
        exchange.reads(&revision.vars, &mut |read| see(read.name.root));
    }
    roots
}

fn value(call: &Call, media: &Media, root: Root) -> Value {
    match root {
        Root::UserPrompt => json!(call.prompt),
        Root::Input => json!([call.long_summary, call.short_history, call.prompt]),
        Root::Params => Value::Object(call.params.clone()),
        Root::Inputs => digests(media),
        Root::Messages => json!(call.messages),
        Root::Language => json!(call.language),
        Root::MaxTokens => json!(call.max_tokens),
        Root::ShortHistory => json!(call.short_history),
        Root::LongSummary => json!(call.long_summary),
        Root::Context => Value::Object(call.context.clone()),
        _ => Value::Null,
    }
}

fn digests(media: &Media) -> Value {
    let inputs = media.0.iter().map(|(name, list)| {
        let media = list.iter().map(|medium| {
            let bytes = medium.bytes.as_ref();
            let bytes = bytes.map(|bytes| hex::encode(Sha256::digest(bytes)));
            json!([
                bytes,
                medium.mime,
                medium.filename,
                medium.url,
                medium.handle
            ])
        });
        json!([name, media.collect::<Vec<_>>()])
    });
    inputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Medium;
    use crate::testing::{call, revision_of, setting_of};
    use bytes::Bytes;

    const NOTHING: Value = Value::Null;

    fn of(profile: &Value, call: &Call) -> [u8; 32] {
        let profile = if profile.is_null() {
            &json!({})
        } else {
            profile
        };
        fingerprint(setting_of(revision_of(profile, &json!({})), call))
    }

    fn with_context(place: &str) -> Call {
        let mut call = call("a cat");
        call.context.insert("place".into(), json!(place));
        call
    }

    #[test]
    fn what_is_the_runs_own_does_not_count() {
        let body = json!({"transport": {"kind": "http_json", "path": "/jobs", "idempotency": {"header": "Idempotency-Key"},
            "body": {"prompt": "{{userPrompt}}", "id": "{{run.id}}", "token": "{{run.token}}", "uuid": "{{uuid}}", "at": "{{timestamp \"unix_ms\"}}",
                     "date": "{{current_datetime}}", "callback": "{{callback_url}}"}}});
        let revision = revision_of(&body, &json!({}));
        let one = setting_of(Arc::clone(&revision), &call("a cat"));
        let mut other = crate::testing::setting_with(revision, &call("a cat"), "another key");
        other.identity = RunIdentity {
            run_id: Uuid::from_u128(8),
            token: Uuid::from_u128(9),
            callback_url: Some("https://us.test/hooks/acme/2".into()),
        };
        let mut heard = one.clone();
        heard.identity.callback_url = Some("https://us.test/hooks/acme/1".into());
        assert_eq!(fingerprint(heard.clone()), fingerprint(other));
        assert_ne!(fingerprint(heard), fingerprint(one), "one is called back");
    }

    #[test]
    fn whatever_a_request_says_counts() {
        let base = of(&NOTHING, &call("a cat"));
        assert_eq!(base, of(&NOTHING, &call("a cat")));
        assert_ne!(base, of(&NOTHING, &call("a dog")));
        let longer = call("a cat");
        let params = [("seconds".to_owned(), json!(8))].into_iter().collect();
        assert_ne!(base, of(&NOTHING, &Call { params, ..longer }));
        let before = json!({"workflow": {"before": [{"name": "upload", "method": "POST", "path": "/up", "body": {"where": "{{context.place}}"}}]}});
        assert_ne!(
            of(&before, &with_context("here")),
            of(&before, &with_context("there"))
        );
    }

    #[test]
    fn media_count_by_their_bytes() {
        let body = json!({"transport": {"kind": "http_json", "path": "/jobs", "body": {"image": "{{inputs.reference.data_url}}"}}});
        let revision = revision_of(&body, &json!({}));
        let with = |bytes: &'static str| {
            let medium = Medium {
                bytes: Some(Bytes::from(bytes)),
                mime: Some("image/png".into()),
                ..Medium::default()
            };
            let mut setting = setting_of(Arc::clone(&revision), &call("a cat"));
            setting.media = Arc::new(Media([("reference".to_owned(), vec![medium])].into()));
            fingerprint(setting)
        };
        assert_eq!(with("one"), with("one"));
        assert_ne!(with("one"), with("two"));
    }

    #[test]
    fn what_no_request_says_counts_only_where_the_result_depends_on_it() {
        let same = |profile: &Value| {
            of(profile, &with_context("here")) == of(profile, &with_context("there"))
        };
        assert!(same(&NOTHING), "nobody reads it");
        let output = json!({"response_mapping": {"output": {"place": "{{context.place}}"}}});
        assert!(!same(&output));
        let through_a_var = json!({"transport": {"vars": {"where": "{{context.place}}"}}, "response_mapping": {"output": {"place": "{{vars.where}}"}}});
        assert!(!same(&through_a_var));
        let step = json!({"name": "more", "method": "POST", "path": "/more", "when": {"present": "context.place"}, "body": {}});
        assert!(!same(&json!({"workflow": {"before": [step]}})));
    }
}
