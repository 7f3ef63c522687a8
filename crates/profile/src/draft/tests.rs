//! What is inferred from a document, and what is left to a person.

use super::*;
use crate::bundle::check;

fn document(name: &str) -> Value {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/openapi")
        .join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn draft(name: &str, operation: Option<&str>) -> Draft {
    let asked = Asked {
        operation: operation.map(str::to_owned),
        ..Asked::default()
    };
    from_openapi(&document(name), &asked).unwrap()
}

#[test]
fn options_keep_their_types_and_bounds_and_the_answers_paths_are_found() {
    let draft = draft("image-sync.json", None);
    let at = |pointer: &str| draft.bundle.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/models/1/model_id"), json!("pixel-2-mini"));
    assert_eq!(
        at("/models/0/capabilities/options/n"),
        json!({"type": "int", "min": 1, "max": 10, "description": "How many images."})
    );
    assert_eq!(
        at("/models/0/capabilities/defaults"),
        json!({"n": 1, "size": "1024x1024"})
    );
    assert_eq!(
        at("/models/0/capabilities/inputs/reference_image_url/kind"),
        json!("image")
    );
    assert_eq!(
        at("/profiles/0/transport/body"),
        json!({
            "prompt": "{{userPrompt}}", "model": "{{model}}", "n": "{{json params_n}}", "size": "{{json params_size}}", "seed": "{{json params_seed}}",
            "stream": false, "reference_image_url": "{{inputs.reference_image_url.url}}", "style": {"strength": "{{json params_strength}}"},
        })
    );
    assert_eq!(
        at("/profiles/0/response_mapping/extract"),
        json!({"urls_path": "data[].url"})
    );
    let (read, _) = check("draft", &draft.bundle.to_string());
    assert!(read.diagnostics.is_empty(), "{}", read.diagnostics);
}

#[test]
fn a_document_that_goes_in_circles_ends_and_says_what_it_could_not_follow() {
    let draft = draft("odd.json", Some("post /generate/{project}"));
    let at = |pointer: &str| draft.bundle.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/profiles/0/purpose"), json!("3d"));
    assert_eq!(at("/profiles/0/transport/query/key"), json!("{{apiKey}}"));
    assert_eq!(
        at("/profiles/0/transport/body/image"),
        json!({"$file": "inputs.image"})
    );
    assert_eq!(at("/profiles/0/transport/body/api-mode"), json!("only"));
    assert_eq!(
        at("/profiles/0/response_mapping/extract/job_id_path"),
        json!("task_id")
    );
    assert_eq!(
        at("/profiles/0/workflow/steps/0/states"),
        json!({"running": ["DREAMING"], "succeeded": ["SUCCEEDED"], "failed": ["FAILED"]})
    );
    assert_eq!(
        at("/profiles/0/workflow/steps/1/url_path"),
        json!("outputs[].model_url")
    );
    let told = |part: &str| draft.todo.iter().any(|todo| todo.what.contains(part));
    for part in [
        "could not be followed",
        "musing",
        "names several servers",
        "no whole one",
        "was made an option",
        "several kinds",
    ] {
        assert!(told(part), "{part}: {:#?}", draft.todo);
    }
}

#[test]
#[rustfmt::skip]
fn a_document_that_cannot_be_used_is_refused_with_the_reason() {
    let cases = [
        (json!({"swagger": "2.0"}), None,                                     "no `openapi` member"),
        (json!({"openapi": "3.0.1", "paths": {}}), None,                      "no operation has a request body"),
        (document("odd.json"), None,                                          "POST /other"),
        (document("odd.json"), Some("nope"),                                  "no operation `nope`"),
    ];
    for (document, operation, says) in cases {
        let asked = Asked { operation: operation.map(str::to_owned), ..Asked::default() };
        let refused = from_openapi(&document, &asked).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn a_draft_from_answers_compiles_for_every_purpose() {
    for purpose in Purpose::ALL {
        let asked = Asked {
            base_url: Some("https://api.acme.ai/v1".into()),
            purpose: Some(*purpose),
            ..Asked::default()
        };
        let draft = from_answers(&asked);
        let (read, _) = check("draft", &draft.bundle.to_string());
        assert!(
            !read.diagnostics.has_errors(),
            "{purpose:?}: {}",
            read.diagnostics
        );
        assert_eq!(draft.bundle["provider"]["slug"], "acme");
    }
}

#[test]
fn the_job_itself_is_asked_for_and_not_the_list_of_somebodys_jobs() {
    let answers = |schema: Value| json!({"responses": {"200": {"content": {"application/json": {"schema": schema}}}}});
    let status = json!({"type": "string", "enum": ["PENDING", "COMPLETE", "FAILED"]});
    let job = json!({"type": "object", "properties": {"status": status, "video_url": {"type": "string"}}});
    let list = json!({"type": "object", "properties": {"jobs": {"type": "array", "items": job}}});
    let mut submit =
        answers(json!({"type": "object", "properties": {"job_id": {"type": "string"}}}));
    submit["requestBody"] = json!({"content": {"application/json": {"schema": {
        "type": "object", "properties": {"prompt": {"type": "string"}}}}}});
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "Acme video"}, "servers": [{"url": "https://api.acme.ai/v1"}],
        "paths": {
            "/jobs": {"post": submit},
            "/jobs/{id}": {"get": answers(job.clone())},
            "/jobs/of/{user}": {"get": answers(list)},
        }
    });
    let draft = from_openapi(&document, &Asked::default()).unwrap();
    let steps = &draft.bundle["profiles"][0]["workflow"]["steps"];
    assert_eq!(steps[0]["path"], "/jobs/{{job_id}}", "{steps:#}");
    assert_eq!(steps[0]["status_path"], "status");
}

#[test]
fn what_a_draft_could_not_know_is_said_by_the_check_too() {
    let asked = Asked {
        base_url: Some("https://api.acme.ai/v1".into()),
        purpose: Some(Purpose::Image),
        ..Asked::default()
    };
    let draft = from_answers(&asked);
    assert!(
        draft
            .todo
            .iter()
            .any(|todo| todo.what.contains("async_job")),
        "{:#?}",
        draft.todo
    );
    let (_, compiled) = check("draft", &draft.bundle.to_string());
    let found = compiled.diagnostics.to_string();
    assert!(
        found.contains("P401") && found.contains("stand-in"),
        "{found}"
    );
}
