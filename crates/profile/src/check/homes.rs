//! Where a member belongs that stands in the wrong place, and how one is written that many write as a single value.

use diag::Place;

/// Members that are often written one level too high, too low, or in the object beside it, and where they belong.
const HOMES: &[(&[&str], &str)] = &[
    (
        &["steps", "before", "cancel", "cleanup", "webhook"],
        "it belongs into `workflow`;",
    ),
    (
        &["extract", "output", "result_type", "stream"],
        "it belongs into `response_mapping`;",
    ),
    (
        &[
            "job_id_path",
            "text_path",
            "urls_path",
            "base64_path",
            "usage",
        ],
        "it belongs into `response_mapping.extract`;",
    ),
    (
        &[
            "states",
            "terminal_states",
            "status_path",
            "interval_ms",
            "max_attempts",
            "deadline_ms",
            "progress_path",
        ],
        "it belongs into a step `poll` of `workflow.steps`, or into `conventions.poll`;",
    ),
    (
        &[
            "path",
            "body",
            "kind",
            "method",
            "vars",
            "tables",
            "variants",
            "idempotency",
        ],
        "it belongs into `transport`, or into a step;",
    ),
    (
        &["headers", "query", "errors", "retry", "settle", "verify"],
        "it belongs into the provider's `conventions`; for one profile, `errors` into `response_mapping`, the others into `transport`;",
    ),
    (
        &[
            "options",
            "inputs",
            "limits",
            "defaults",
            "supports",
            "rules",
            "pricing",
            "lifecycle",
        ],
        "it belongs into a model's `capabilities`;",
    ),
    (
        &["params", "parameters"],
        "what a call may say is declared under `options` of a model's `capabilities`;",
    ),
    (
        &["credential_hosts", "hosts", "allow_http", "allow_private"],
        "it belongs into the provider's `egress`;",
    ),
    (
        &["id"],
        "a model has a `model_id`, a provider a `slug`, a profile a `profile_key`;",
    ),
    (
        &["type"],
        "an option has a `type` and an input a `kind`, each a `transport` too; a workflow has a `type`;",
    ),
    (
        &["enum"],
        "an enum is `\"type\": \"enum\"` with its `values`;",
    ),
    (
        &["auth", "auth_type", "secret", "api_key"],
        "a secret belongs into `auth_profiles`;",
    ),
];

/// What is said of a member that belongs elsewhere; `None`: nobody knows where.
pub(crate) fn home(name: &str) -> Option<String> {
    let (_, help) = HOMES.iter().find(|(names, _)| names.contains(&name))?;
    Some((*help).to_owned())
}

/// How members are written that many write as a single value at first.
const FORMS: &[(&str, &str)] = &[
    ("split", r#"`{"by": ":", "into": ["id", "key"]}`"#),
    ("stream", r#"`{"delta_path": P, "done_when": C}`"#),
    (
        "idempotency",
        r#"`{"header": "Idempotency-Key"}` or `{"body": "token"}`"#,
    ),
    (
        "egress",
        r#"`{"hosts": ["cdn.example.com"]}`, and `credential_hosts` for those that may see the key"#,
    ),
    (
        "select",
        r#"`{"in": "data", "where": {"path": "id", "equals": "{{job_id}}"}}`"#,
    ),
    ("verify", r#"`{"path": "/models"}`"#),
    (
        "cancel",
        r#"one step: `{"method": "POST", "path": "/jobs/{{job_id}}/cancel"}`"#,
    ),
    ("variants", r#"`[{"when": C, "path": …}]`"#),
    ("rules", r#"`[{"schema": …, "message": "…"}]`"#),
    ("extract", r#"`{"job_id_path": "id"}`"#),
    (
        "options",
        r#"`{"seconds": {"type": "int", "min": 4}}`, each by its name"#,
    ),
    (
        "inputs",
        r#"`{"image": {"kind": "image"}}`, each by its name"#,
    ),
    (
        "models",
        r#"`[{"model_id": "a-1", "model_type": "video"}]`"#,
    ),
    (
        "response_schema",
        "the `name` of a row of `response_schemas`",
    ),
    (
        "prompt_template",
        "the `name` of a row of `prompt_templates`",
    ),
    (
        "auth_profile",
        "the `profile_key` of a row of `auth_profiles`",
    ),
    (
        "model",
        "the `model_id` of one model; left out, it is every model of the purpose",
    ),
    ("headers", r#"`{"Authorization": "Bearer {{apiKey}}"}`"#),
];

/// The form of the member at that place, if it has one that is not plain.
pub(crate) fn form(at: &Place) -> Option<&'static str> {
    let name = at.pointer.rsplit('/').next()?;
    let (_, form) = FORMS.iter().find(|(known, _)| *known == name)?;
    Some(form)
}
