//! A recorded case.

use super::{flag, list, map, object, text, whole};
use serde_json::{Value, json};

/// The schema of a case.
pub(super) fn schema() -> Value {
    object(
        &["input", "exchanges", "expect"],
        json!({
            "why": text(), "at": text(), "input": input(), "batched_with": list(&text()), "callback_url": text(), "exchanges": list(&exchange()), "expect": expect(),
        }),
    )
}

fn input() -> Value {
    object(
        &["purpose"],
        json!({
            "purpose": text(), "model": text(), "provider": text(), "profile_key": text(), "prompt": text(),
            "messages": list(&object(&["role", "content"], json!({ "role": text(), "content": text() }))),
            "params": { "type": "object" },
            "inputs": map(&list(&object(&[], json!({ "id": text(), "url": text(), "data_url": text(), "handle": text(), "filename": text() })))),
            "context": { "type": "object" }, "language": text(), "max_tokens": whole(0, u64::from(u32::MAX)),
            "short_history": text(), "long_summary": text(),
        }),
    )
}

fn exchange() -> Value {
    let part = object(
        &["name"],
        json!({ "name": text(), "value": text(), "filename": text(), "content_type": text(), "base64": text() }),
    );
    object(
        &["request", "answer"],
        json!({
            "request": object(&["method", "url"], json!({
                "method": text(), "url": text(), "headers": map(&json!({ "type": ["string", "null"] })), "body": {},
                "body_base64": text(), "multipart": list(&part),
            })),
            "answer": { "anyOf": [{ "type": "null" }, object(&[], json!({
                "status": whole(100, 599), "headers": map(&text()), "body": {}, "body_base64": text(),
            }))] },
        }),
    )
}

fn expect() -> Value {
    object(
        &[],
        json!({
            "output": {},
            "error": object(&[], json!({ "class": text(), "code": text(), "message": text() })),
            "diagnostics": list(&object(&["pointer"], json!({ "pointer": text(), "code": text(), "says": text() }))),
            "artifacts": { "type": "object" }, "overdue": flag(), "elapsed_ms_min": whole(0, u64::MAX),
        }),
    )
}
