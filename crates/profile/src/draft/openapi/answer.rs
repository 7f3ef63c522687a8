//! What an operation answers, and the operations that follow it.

use super::super::options::identifier;
use super::super::refs::{Document, type_of};
use super::super::{PROFILE, Parts, Todo, answers, set, todo};
use super::Operation;
use crate::revision::Purpose;
use serde_json::{Value, json};

/// The media type and the schema of a good answer.
fn good_answer<'d>(
    document: &Document<'d>,
    operation: &'d Value,
) -> Option<(&'d str, Option<Value>)> {
    let responses = operation.get("responses")?;
    let good = ["200", "201", "202", "2XX", "default"]
        .iter()
        .find_map(|status| responses.get(*status))?;
    let content = document.follow(good)?.get("content")?.as_object()?;
    let json = content.iter().find(|(name, _)| name.contains("json"));
    let (name, media) = json.or_else(|| content.iter().next())?;
    let schema = media
        .get("schema")
        .and_then(|schema| document.resolve(schema));
    Some((name, schema))
}

fn is_file(content_type: &str) -> bool {
    [
        "video/",
        "audio/",
        "image/",
        "model/",
        "application/octet-stream",
    ]
    .iter()
    .any(|start| content_type.starts_with(start))
}

/// How answers are read, and what follows the submit.
pub(super) fn answer(
    document: &Document<'_>,
    operations: &[Operation<'_>],
    submit: &Operation<'_>,
    parts: &mut Parts,
    todos: &mut Vec<Todo>,
) {
    let extract = format!("{PROFILE}/response_mapping/extract");
    let Some((content_type, schema)) = good_answer(document, submit.operation) else {
        todos.push(todo(
            extract,
            "where the result is: the document does not describe the answer",
        ));
        return;
    };
    if is_file(content_type) {
        parts.mode = Some("binary");
        parts.content_type = (!content_type.contains("octet") && !content_type.contains('*'))
            .then(|| content_type.to_owned());
        return;
    }
    let found = schema
        .map(|schema| answers::members(document, &schema))
        .unwrap_or_default();
    let id = answers::id(&found);
    let poll = id.as_ref().and_then(|_| poll(document, operations, submit));
    if let (Some(id), Some(poll)) = (&id, poll) {
        parts.extract = json!({ "job_id_path": id });
        todos.push(todo(
            format!("{extract}/job_id_path"),
            format!("`{id}` was guessed"),
        ));
        follow(document, operations, poll, parts, todos);
        return;
    }
    let (name, path) = match parts.purpose.as_str() {
        "chat" | "code" | "multimodal" | "transcription" | "document" => {
            ("text_path", answers::text(&found))
        }
        _ => match answers::encoded(&found) {
            Some(path) => ("base64_path", Some(path)),
            None => ("urls_path", answers::addresses(&found)),
        },
    };
    match path {
        Some(path) => {
            parts.extract = json!({ name: path });
            todos.push(todo(
                format!("{extract}/{name}"),
                format!("`{path}` was guessed"),
            ));
        }
        None => todos.push(todo(extract, "where the result is in the answer")),
    }
}

/// The operation by which a job is asked for: a `GET` with one parameter in its path, the nearest to the submit's.
fn poll<'o, 'd>(
    document: &Document<'d>,
    operations: &'o [Operation<'d>],
    submit: &Operation<'_>,
) -> Option<&'o Operation<'d>> {
    let score = |one: &&Operation<'_>| {
        let ends = one.path.ends_with('}');
        let below = one.path.starts_with(submit.path) && one.path.len() > submit.path.len();
        let shared = one
            .path
            .split('/')
            .zip(submit.path.split('/'))
            .take_while(|(a, b)| a == b)
            .count();
        let words = [
            "task",
            "job",
            "status",
            "generation",
            "prediction",
            "result",
            "operation",
        ];
        let named = words
            .iter()
            .any(|word| one.path.to_ascii_lowercase().contains(word));
        let told = good_answer(document, one.operation).and_then(|(_, schema)| schema);
        let told = told
            .map(|schema| answers::members(document, &schema))
            .unwrap_or_default();
        let has_status = answers::named(&told, answers::STATUSES, |_| true).is_some();
        // `/jobs/{id}` is a job, `/jobs/of/{user}` a list of somebody's.
        let nearness = std::cmp::Reverse(one.path.split('/').count());
        (has_status, below, shared, named, nearness, ends)
    };
    let is_one = |one: &&Operation<'_>| {
        let own = one.path.matches('{').count();
        one.method == "get" && own == submit.path.matches('{').count() + 1
    };
    let best = operations.iter().filter(is_one).max_by_key(score)?;
    let (has_status, below, shared, named, ..) = score(&best);
    (has_status || below || (shared > 1 && named)).then_some(best)
}

/// Poll and download.
fn follow(
    document: &Document<'_>,
    operations: &[Operation<'_>],
    poll: &Operation<'_>,
    parts: &mut Parts,
    todos: &mut Vec<Todo>,
) {
    let step = format!("{PROFILE}/workflow/steps/0");
    todos.push(todo(
        format!("{step}/path"),
        format!(
            "`GET {}` was guessed as the way to ask for a job",
            poll.path
        ),
    ));
    let schema = good_answer(document, poll.operation).and_then(|(_, schema)| schema);
    let found = schema
        .map(|schema| answers::members(document, &schema))
        .unwrap_or_default();
    let mut asking = json!({ "name": "poll", "method": "GET", "path": job_path(poll.path) });
    put_states(&mut asking, &found, &step, todos);
    let is_number =
        |one: &answers::Found| matches!(type_of(&one.schema), Some("integer" | "number"));
    if let Some(progress) = answers::named(&found, answers::PROGRESS, is_number) {
        set(&mut asking, "progress_path", progress.path.clone().into());
    }
    let mut steps = vec![asking];
    match result(document, operations, poll, parts.purpose, &found) {
        Some(download) => steps.push(download),
        None => todos.push(todo(
            format!("{PROFILE}/workflow/steps"),
            "where the result is when the job is done",
        )),
    }
    parts.workflow = json!({ "type": "async_job", "steps": steps });
}

/// Where the status is, and what its words mean.
fn put_states(asking: &mut Value, found: &[answers::Found], step: &str, todos: &mut Vec<Todo>) {
    let is_word = |one: &answers::Found| {
        matches!(type_of(&one.schema), Some("string" | "integer" | "boolean"))
    };
    let status = answers::named(found, answers::STATUSES, is_word);
    let (states, unknown) = status
        .map(|status| answers::states(&status.schema))
        .unwrap_or_default();
    match status {
        Some(status) => set(asking, "status_path", status.path.clone().into()),
        None => todos.push(todo(
            format!("{step}/status_path"),
            "where the job's status is",
        )),
    }
    if states.get("succeeded").is_some() {
        set(asking, "states", states);
    } else {
        let usual = json!({ "queued": ["queued"], "running": ["running"], "succeeded": ["succeeded"], "failed": ["failed"] });
        set(asking, "states", usual);
        let what = "the status words: the document does not list one that means success";
        todos.push(todo(format!("{step}/states"), what));
    }
    if !unknown.is_empty() {
        let what = format!("which state these words mean: {}", unknown.join(", "));
        todos.push(todo(format!("{step}/states"), what));
    }
}

fn job_path(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| match segment.split_once('{') {
            Some((before, after)) if after.to_ascii_lowercase().contains("model") => {
                format!(
                    "{before}{{{{model}}}}{}",
                    after.split_once('}').map_or("", |(_, rest)| rest)
                )
            }
            Some((before, after)) => format!(
                "{before}{{{{job_id}}}}{}",
                after.split_once('}').map_or("", |(_, rest)| rest)
            ),
            None => segment.to_owned(),
        });
    segments.collect::<Vec<_>>().join("/")
}

/// The download: of an operation below the poll's that gives a file, else of an address in its answer.
fn result(
    document: &Document<'_>,
    operations: &[Operation<'_>],
    poll: &Operation<'_>,
    purpose: Purpose,
    found: &[answers::Found],
) -> Option<Value> {
    let below = operations.iter().find(|one| {
        one.method == "get"
            && one.path.starts_with(poll.path)
            && one.path.len() > poll.path.len()
            && good_answer(document, one.operation)
                .is_some_and(|(content_type, _)| is_file(content_type))
    });
    if let Some(file) = below {
        let content_type = good_answer(document, file.operation)
            .map(|(name, _)| name)
            .filter(|name| !name.contains("octet") && !name.contains('*'));
        let mut step = json!({ "name": "download", "path": job_path(file.path), "mode": "binary" });
        if let Some(content_type) = content_type {
            set(&mut step, "content_type", content_type.into());
        }
        return Some(step);
    }
    if let Some(path) = answers::encoded(found) {
        return Some(json!({ "name": "download", "value_path": path, "mode": "json_base64" }));
    }
    let mut step = json!({ "name": "download", "url_path": answers::addresses(found)? });
    if matches!(purpose.as_str(), "chat" | "transcription" | "document") {
        set(&mut step, "artifact", identifier("result").into());
    }
    Some(step)
}
