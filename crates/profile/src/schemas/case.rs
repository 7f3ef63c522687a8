//! A recorded case.

use super::build::{
    described, field, flag, free_object, list, map, named, object, text, tree, whole,
};
use super::schema_reference;
use serde_json::{Value, json};

/// The schema of a case.
pub(super) fn schema() -> Value {
    let members = json!({
        "$schema": schema_reference("../../../schemas/case.json"),
        "why": field(text(), "What the case shows, and where that is documented.", "the documentation's own example, 2026-11-02"),
        "at": field(text(), "Where the clock starts (RFC 3339). Left out: 2026-01-01T00:00:00Z.", "2026-02-03T04:05:06Z"),
        "input": described(input(), "The call, as the body of `POST /v1/runs`."),
        "batched_with": field(list(&text()), "Ids of other jobs that are polled with this one in one request.", json!(["job-2", "job-3"])),
        "callback_url": field(text(), "Our address for callbacks. Left out: we cannot be reached.", "https://models.example/hooks/acme/token"),
        "exchanges": described(list(&exchange()), "Every request that is sent, in its order, with its answer."),
        "expect": described(expect(), "What must come of it: exactly one of `output` and `error`."),
    });
    object(&["input", "exchanges", "expect"], members)
}

fn input() -> Value {
    let media = list(&medium());
    let members = json!({
        "purpose": field(text(), "What shall be made: a word of the language, or a wrong one that is refused.", "video"),
        "model": field(text(), "The model. Left out: the default of the purpose.", "a-1"),
        "provider": field(text(), "The provider. Left out: any.", "acme"),
        "profile_key": field(text(), "The profile. Left out: the model's.", "acme_video_v1"),
        "prompt": field(text(), "The text that the job is made from.", "A calico cat plays a piano"),
        "messages": described(list(&message()), "A conversation."),
        "params": field(free_object(), "Options by name.", json!({ "seconds": 8 })),
        "inputs": field(map(&media), "Media by name.", json!({ "reference": [{ "url": "https://example.com/cat.png" }] })),
        "context": field(free_object(), "Free values, read as `context.<name>`.", json!({ "brand": "Acme" })),
        "language": field(text(), "The language of the caller.", "en"),
        "max_tokens": field(whole(0, u64::MAX), "How long an answer may be.", 1_024),
        "short_history": field(text(), "What was said last.", "user: a cat, please"),
        "long_summary": field(text(), "What was said before.", "The user makes films of cats."),
    });
    named("call", object(&["purpose"], members))
}

fn message() -> Value {
    let members = json!({
        "role": field(text(), "`user`, `assistant` or `system`.", "user"),
        "content": field(text(), "The text.", "A calico cat plays a piano"),
    });
    named("message", object(&["role", "content"], members))
}

fn medium() -> Value {
    let members = json!({
        "id": field(json!({ "type": "string", "format": "uuid" }), "An upload of ours.", "0193c8f2-6d5e-7c3a-9b1f-2a4c6e8f0a1b"),
        "url": field(text(), "An address that we fetch.", "https://example.com/cat.png"),
        "data_url": field(text(), "The bytes themselves (RFC 2397).", "data:image/png;base64,iVBORw0KGgo="),
        "handle": field(text(), "The provider's own reference; nothing is fetched.", "file-123"),
        "filename": field(text(), "A name for the file.", "cat.png"),
    });
    named("medium", object(&[], members))
}

fn exchange() -> Value {
    let answer = json!({ "anyOf": [{ "type": "null" }, answer()] });
    let members = json!({
        "request": described(request(), "What must be sent."),
        "answer": described(answer, "What comes back; null: the connection is cut after the request."),
    });
    named("exchange", object(&["request", "answer"], members))
}

fn request() -> Value {
    let members = json!({
        "method": field(text(), "The method.", "POST"),
        "url": field(text(), "The whole address, compared with its query.", "https://api.acme.ai/v1/videos"),
        "headers": field(map(&json!({ "type": ["string", "null"] })), "Those that are named are compared; null: must not be sent. A secret is `***`.", json!({ "Authorization": "Bearer ***" })),
        "body": field(tree(), "The JSON body, compared as a value.", json!({ "model": "a-1", "prompt": "A cat" })),
        "body_base64": field(text(), "A body of bytes, in Base64.", "AAEC"),
        "multipart": described(list(&part()), "The parts of a multipart body."),
    });
    named("request", object(&["method", "url"], members))
}

fn part() -> Value {
    let members = json!({
        "name": field(text(), "The part's name.", "image"),
        "value": field(text(), "Its text; or `base64`.", "A cat"),
        "filename": field(text(), "Of a file.", "cat.png"),
        "content_type": field(text(), "The media type of a file.", "image/png"),
        "base64": field(text(), "The bytes of a file, in Base64.", "AAEC"),
    });
    named("part", object(&["name"], members))
}

fn answer() -> Value {
    let members = json!({
        "status": field(whole(100, 599), "The HTTP status. Left out: 200.", 202),
        "headers": field(map(&text()), "Headers of the answer.", json!({ "retry-after": "2" })),
        "body": field(tree(), "JSON, or a text as it arrives.", json!({ "id": "job-1", "status": "queued" })),
        "body_base64": field(text(), "A body of bytes, in Base64.", "AAEC"),
    });
    named("answer", object(&[], members))
}

fn expect() -> Value {
    let artifacts = map(&list(&artifact()));
    let members = json!({
        "output": field(tree(), "The run succeeds with exactly this.", json!({ "text": "Hello" })),
        "error": described(error(), "The run fails, or the call is refused."),
        "diagnostics": described(list(&finding()), "Of a refused call: exactly these findings."),
        "artifacts": field(artifacts, "Exactly these files, by name.", json!({ "video": [{ "content_type": "video/mp4", "bytes": 3 }] })),
        "overdue": field(flag(), "Whether the caller was told that the run is overdue.", true),
        "elapsed_ms_min": field(whole(0, u64::MAX), "Milliseconds that the run takes at least.", 5_000),
    });
    named("expect", object(&[], members))
}

fn error() -> Value {
    let members = json!({
        "class": field(text(), "A class of failures; of a refused call `invalid_request`.", "moderated"),
        "code": field(text(), "The provider's code, else ours.", "content_policy"),
        "message": field(text(), "The provider's message, else ours.", "The prompt was refused."),
    });
    named("error", object(&[], members))
}

fn artifact() -> Value {
    let members = json!({
        "content_type": field(text(), "The media type.", "video/mp4"),
        "bytes": field(whole(0, u64::MAX), "The size.", 3),
        "sha256": field(json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }), "The digest, in hexadecimal.", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    });
    named("artifact", object(&[], members))
}

fn finding() -> Value {
    let members = json!({
        "pointer": field(text(), "A JSON Pointer into the call.", "/params/seconds"),
        "code": field(text(), "The code. Left out: any.", "C106"),
        "says": field(text(), "A part of the message or of the help. Left out: any.", "4 to 12"),
    });
    named("finding", object(&["pointer"], members))
}
