//! Requests as they are made from rows.

use crate::fault::{Fault, Kind};
use crate::flow::{Action, Flow};
use crate::plan::{curl, plan};
use crate::request::Request;
use crate::testing::{KEY, call, drawn, revision_of, setting, setting_of};
use profile::call::Input;
use serde_json::{Value, json};

fn submit(profile: &Value) -> Result<Request, Fault> {
    Flow::new(setting(profile)).render_submit(drawn(0))
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(request.body.as_ref().unwrap()).unwrap()
}

#[test]
fn text_of_the_user_is_never_compiled_as_a_template() {
    for prompt in [
        "{{apiKey}}",
        "<<model>>",
        "{{#each params}}x{{/each}}",
        "8",
        "true",
        "\\{{",
        "\"},{\"",
        "{\"$file\": \"x\"}",
    ] {
        let setting = setting_of(revision_of(&json!({}), &json!({})), &call(prompt));
        let request = Flow::new(setting).render_submit(drawn(0)).unwrap();
        assert_eq!(
            body(&request),
            json!({"model": "a-1", "prompt": prompt, "seconds": "4"}),
            "{prompt}"
        );
    }
}

#[test]
fn the_address_is_joined_to_the_base_that_counts() {
    assert_eq!(
        submit(&json!({})).unwrap().url.as_str(),
        "https://api.acme.ai/v1/jobs"
    );
    let query = json!({"transport": {"path": "/jobs?v=1", "query": {"n": ["a b", 2], "none": "{{params_place}}"}}});
    assert_eq!(
        submit(&query).unwrap().url.as_str(),
        "https://api.acme.ai/v1/jobs?v=1&n=a%20b&n=2"
    );
    let mut own = setting(&json!({}));
    own.endpoint = Some("https://eu.acme.ai/api/".into());
    assert_eq!(
        Flow::new(own).render_submit(drawn(0)).unwrap().url.as_str(),
        "https://eu.acme.ai/api/jobs"
    );
}

#[test]
fn content_type_follows_the_kind_and_stays_away_without_a_body() {
    let seed = json!({"transport": {"headers": {"Content-Type": "application/json", "Authorization": "Bearer {{apiKey}}"}}});
    let planned = plan(setting(&seed), drawn(0));
    let types: Vec<Option<&str>> = planned
        .iter()
        .map(|one| one.request.as_ref().unwrap().header("content-type"))
        .collect();
    assert_eq!(types, [Some("application/json"), None, None]);
    let multipart = json!({"transport": {"kind": "http_multipart", "headers": {"Content-Type": "application/json"}}});
    assert!(
        submit(&multipart)
            .unwrap()
            .header("content-type")
            .unwrap()
            .starts_with("multipart/form-data; boundary=")
    );
}

#[test]
fn the_same_draws_send_the_same_bytes_and_others_do_not() {
    let mut profile = json!({"transport": {"kind": "http_multipart"}});
    profile["transport"]["body"] = json!({"id": "{{uuid}}", "at": "{{timestamp \"unix\"}}", "file": {"$file": "inputs.reference"}});
    let mut call = call("a cat");
    let input = Input {
        data_url: Some("data:image/png;base64,AAAA".into()),
        ..Input::default()
    };
    call.inputs.insert("reference".into(), vec![input]);
    let render = |unix_ms, seed| {
        let setting = setting_of(revision_of(&profile, &json!({})), &call);
        let drawn = crate::request::Drawn {
            unix_ms,
            seed: uuid::Uuid::from_u128(seed),
        };
        let stored = serde_json::from_str(&serde_json::to_string(&drawn).unwrap()).unwrap();
        Flow::new(setting).render_submit(stored).unwrap()
    };
    let first = render(1_000, 1);
    assert_eq!(first.body, render(1_000, 1).body);
    assert_eq!(first.sha256(), render(1_000, 1).sha256());
    assert_ne!(first.sha256(), render(1_000, 2).sha256());
    assert_ne!(first.sha256(), render(9_000, 1).sha256());
}

#[test]
fn nothing_is_inherited_where_credentials_may_not_go() {
    let mut profile = json!({"workflow": {"steps": []}});
    profile["workflow"]["steps"] = json!([
        {"name": "poll", "url": "https://status.example/{{job_id}}", "headers": {"X-Own": "1"}, "interval_ms": 2000, "states": {"succeeded": ["done"]}}
    ]);
    let provider = json!({"egress": {"hosts": ["status.example"]}});
    let planned = plan(
        setting_of(revision_of(&profile, &provider), &call("a cat")),
        drawn(0),
    );
    let poll = planned.last().unwrap().request.as_ref().unwrap();
    assert_eq!(
        (
            poll.trusted,
            poll.header("authorization"),
            poll.header("x-own")
        ),
        (false, None, Some("1"))
    );
}

#[test]
fn a_control_character_in_a_header_is_refused_and_nothing_is_sent() {
    let profile = json!({"transport": {"headers": {"X-Place": "{{params_place}}"}}});
    let mut call = call("a cat");
    call.params.insert("place".into(), json!("a\r\nX-Evil: 1"));
    let mut flow = Flow::new(setting_of(revision_of(&profile, &json!({})), &call));
    match flow.next(0, drawn(0)) {
        Action::Ended(crate::flow::Ending::Failed(fault)) => {
            assert_eq!(fault.kind, Kind::BadValue);
            assert!(!fault.message.contains("Evil"), "{fault}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_shows_every_step_and_no_secret() {
    let planned = plan(setting(&json!({})), drawn(0));
    let steps: Vec<&str> = planned.iter().map(|one| one.step.as_str()).collect();
    assert_eq!(steps, ["submit", "poll", "download"]);
    let commands: String = planned
        .iter()
        .map(|one| curl(one.request.as_ref().unwrap()) + "\n")
        .collect();
    assert!(!commands.contains(KEY));
    let want = "curl -X POST 'https://api.acme.ai/v1/jobs' \\\n  -H 'Authorization: Bearer ***' \\\n  -H 'Content-Type: application/json' \\\n  \
        --data-binary '{\"model\":\"a-1\",\"prompt\":\"a cat\",\"seconds\":\"4\"}'\n";
    assert!(commands.starts_with(want), "{commands}");
    assert!(
        commands.contains("/v1/jobs/%3Cjob_id%3E/file"),
        "{commands}"
    );
}

/// Nothing of these sizes is sent by accident; what the bounds are stands in the message.
#[test]
fn a_request_is_bounded_wherever_a_long_value_stands() {
    let long = |text: usize, transport: Value| {
        let profile = json!({ "transport": transport });
        let mut call = call("a cat");
        call.params.insert("place".into(), json!("x".repeat(text)));
        Flow::new(setting_of(revision_of(&profile, &json!({})), &call)).render_submit(drawn(0))
    };
    let query = json!({ "query": { "q": "{{params_place}}" } });
    let path = json!({ "path": "/jobs/{{default params_place \"none\"}}" });
    let header = json!({ "headers": { "X-Place": "{{params_place}}" } });
    let form = json!({ "kind": "http_form", "body": { "place": "{{params_place}}" } });
    for (why, transport, fits, most) in [
        ("query", query, 60_000, 66_000),
        ("path", path, 60_000, 66_000),
        ("headers", header, 200_000, 270_000),
        ("form", form, 1 << 20, 0),
    ] {
        assert!(long(fits, transport.clone()).is_ok(), "{why}");
        if most > 0 {
            let fault = long(most, transport).unwrap_err();
            assert_eq!(fault.kind, Kind::BadValue, "{why}");
            assert!(fault.message.contains("at most"), "{why}: {fault}");
        }
    }
}
