use super::*;
use profile::rows::Rows;
use serde_json::json;
use std::sync::Arc;

/// A profile that calls things by names of its own.
fn revision() -> Arc<Revision> {
    let bundle = json!({
        "language": 1,
        "provider": {"slug": "acme", "provider_family": "acme", "name": "Acme", "api_base_url": "https://api.acme.example/v1"},
        "models": [{"model_id": "reel-1", "model_type": "video", "is_default": true, "capabilities": {
            "options": {
                "duration": {"type": "int", "min": 4, "max": 12}, "scale": {"type": "number"}, "fast": {"type": "bool"},
                "tags": {"type": "array", "items": {"type": "string"}}, "size": {"type": "enum", "values": ["720x1280"]}
            },
            "inputs": {"first_frame": {"kind": "image"}}
        }}],
        "profiles": [{
            "profile_key": "acme_video_v1", "purpose": "video",
            "openai": {"seconds": "duration", "input_reference": "first_frame"},
            "transport": {"kind": "http_json", "path": "/v", "body": {"all": "{{json params}}", "image": "{{inputs.first_frame.url}}"}},
            "response_mapping": {"extract": {"urls_path": "urls"}}
        }]
    });
    let (checked, compiled) = profile::bundle::check("acme.json", &bundle.to_string());
    assert!(
        !checked.diagnostics.has_errors() && !compiled.diagnostics.has_errors(),
        "{} {}",
        checked.diagnostics,
        compiled.diagnostics
    );
    let _: &Rows = &checked.rows;
    let entry = compiled.revisions.iter().next().unwrap();
    Arc::clone(entry.revision.as_ref().unwrap())
}

fn call(members: Value, is_form: bool) -> Call {
    let Value::Object(members) = members else {
        panic!("no object")
    };
    Call {
        members,
        is_form,
        ..Call::default()
    }
}

#[test]
fn parameters_mean_options_and_inputs_by_the_names_of_the_profile_or_by_their_own() {
    let mut request = RunRequest::new("video");
    let given = json!({"seconds": "8", "size": "720x1280", "fast": true, "input_reference": {"image_url": "https://a.example/x.png"}, "scale": null});
    call(given, false).fill(&revision(), &mut request).unwrap();
    assert_eq!(
        Value::Object(request.call.params),
        json!({"duration": "8", "size": "720x1280", "fast": true})
    );
    assert_eq!(request.media["first_frame"].len(), 1);
}

#[test]
fn a_field_of_a_form_takes_the_type_of_its_option() {
    let mut request = RunRequest::new("video");
    let given = json!({"seconds": "8", "scale": "0.5", "fast": "false", "tags": "a"});
    let mut call = call(given, true);
    call.put_file("input_reference", InputMedium::file("x.png", &b"x"[..]));
    call.fill(&revision(), &mut request).unwrap();
    assert_eq!(
        Value::Object(request.call.params),
        json!({"duration": "8", "scale": 0.5, "fast": false, "tags": ["a"]})
    );
    assert_eq!(request.media["first_frame"].len(), 1);
}

#[test]
fn a_parameter_that_means_nothing_is_refused_with_the_nearest_name() {
    let mut request = RunRequest::new("video");
    let mut call = call(json!({"prompt": "a", "secnds": 8, "colour": "red"}), false);
    assert_eq!(call.required_text("prompt").as_deref(), Some("a"));
    call.put_file("size", InputMedium::file("x.png", &b"x"[..]));
    let refused = call.fill(&revision(), &mut request).unwrap_err();
    let found: Vec<_> = refused
        .violations()
        .iter()
        .map(|one| (one.pointer().unwrap(), one.code))
        .collect();
    assert_eq!(
        found,
        [
            ("/secnds", Code::C153),
            ("/colour", Code::C153),
            ("/size", Code::C154)
        ]
    );
    let help = refused.violations()[0].help();
    assert!(
        help.contains("did you mean `seconds`?") && help.contains("input_reference"),
        "{help}"
    );
    assert!(
        !help.contains("duration"),
        "the caller's names, not the profile's: {help}"
    );
}

#[test]
#[rustfmt::skip]
fn mistakes_are_told_at_the_callers_own_members() {
    let revision = revision();
    let mut request = RunRequest::new("audio");
    let mut call = call(json!({"seconds": 8, "input_reference": "https://a.example/x.png"}), false);
    call.named("/prompt", "input");
    let places = call.fill(&revision, &mut request).unwrap();
    let cases = [
        ("/params/duration",       "/seconds"),
        ("/params/duration/0",     "/seconds/0"),
        ("/inputs/first_frame/0",  "/input_reference"),
        ("/params/size",           "/size"),
        ("/prompt",                "/input"),
        ("/model",                 "/model"),
    ];
    for (ours, want) in cases {
        assert_eq!(places.pointer(ours, &revision.api_names), want);
    }
}

#[test]
fn members_of_a_wrong_type_are_found_with_what_is_missing() {
    let mut call = call(json!({"stream": "yes", "n": -1, "user": 7}), false);
    let read = (
        call.flag("stream"),
        call.whole("n"),
        call.text("user"),
        call.required_text("prompt"),
    );
    assert_eq!(read, (None, None, None, None));
    let refused = call
        .fill(&revision(), &mut RunRequest::new("video"))
        .unwrap_err();
    let found: Vec<_> = refused
        .violations()
        .iter()
        .map(|one| one.pointer().unwrap())
        .collect();
    assert_eq!(found, ["/stream", "/n", "/user", "/prompt"]);
}

#[test]
fn words_and_digits_of_a_form_are_read_as_what_is_asked_for() {
    let mut call = call(json!({"stream": "true", "n": "3"}), true);
    assert_eq!(
        (call.flag("stream"), call.whole("n")),
        (Some(true), Some(3))
    );
}
