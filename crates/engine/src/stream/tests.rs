use super::*;
use crate::fault::class_word;
use crate::flow::{Action as Does, Event, Flow, Heard, Then, Verdict};
use crate::testing::{drawn, flow};
use proptest::prelude::*;
use serde_json::json;

/// A chat whose events come as `mode` says.
fn chat(mode: &str) -> Value {
    json!({
        "transport": {"on_unknown": "repeat"},
        "response_mapping": {
            "mode": mode,
            "extract": {"job_id_path": null, "finish": "choices[0].finish_reason",
                "usage": {"in": "usage.in", "out": {"sum": ["usage.out", "usage.thought"]}}},
            "errors": {"overloaded": ["busy"], "provider_error": [{"path": "@event", "equals": "error"}]},
            "stream": {"delta_path": "choices[].delta", "when": {"not": {"path": "@event", "equals": "ping"}},
                "done_when": {"any": [{"path": "$", "equals": "[DONE]"}, {"path": "done", "equals": true}]}},
            "output": {"text": "{{text}}", "usage": "{{json usage}}", "finish": "{{steps.submit.finish}}"}
        },
        "workflow": {"type": null, "steps": null}
    })
}

const GOOD: &str = "\u{feff}: hello\r\n\r\nevent: ping\r\ndata: {\"choices\": [{\"delta\": \"no\"}]}\r\n\r\n\
    id: 7\ndata: {\"choices\": [{\"delta\": \"Gr\u{fc}\"},\ndata:  {\"delta\": \"\u{df}\"}]}\n\n\
    retry: 5\rdata: {\"choices\": [{\"delta\": \"e \u{1f600}\"}], \"usage\": {\"in\": 1}}\r\r\
    data: {\"choices\": [{\"delta\": \"\", \"finish_reason\": \"stop\"}], \"usage\": null}\n\n\
    data: {\"choices\": [], \"usage\": {\"in\": 3, \"out\": 4, \"thought\": 5}}\n\n\
    data: [DONE]\n\ndata: {\"choices\": [{\"delta\": \"after the end\"}]}\n\n";
const TEXT: &str = "Gr\u{fc}\u{df}e \u{1f600}";

fn head(content_type: &str) -> Vec<(String, String)> {
    vec![("content-type".to_owned(), content_type.to_owned())]
}

/// A flow whose submit is in flight, and whose answer begins as a stream.
fn hearing(mode: &str) -> Flow {
    let mut flow = flow(&chat(mode));
    assert!(matches!(flow.next(0, drawn(0)), Does::Submit(_)));
    let types = [
        ("sse", "Text/Event-Stream; charset=utf-8"),
        ("ndjson", "application/x-ndjson"),
    ];
    let (_, content_type) = types.iter().find(|(have, _)| *have == mode).unwrap();
    assert!(flow.begin_hearing(200, &head(content_type)));
    flow
}

/// Hears these pieces, and tells the end.
fn heard(mode: &str, pieces: &[&[u8]], cut: bool) -> (String, Flow, Verdict) {
    let mut flow = hearing(mode);
    let mut deltas = String::new();
    for piece in pieces {
        let Heard { text, known, over } = flow.hear(piece, 0);
        deltas.push_str(&text[known..]);
        if over {
            break;
        }
    }
    let fault = cut.then(|| Fault::new(Kind::NotSent, "reset by peer"));
    let verdict = flow.on(Event::StreamEnded(fault), 0, 0.5);
    (deltas, flow, verdict)
}

fn output(flow: &mut Flow) -> Value {
    match flow.next(0, drawn(0)) {
        Does::Ended(crate::flow::Ending::Succeeded { output, .. }) => output,
        other => panic!("not succeeded: {other:?}"),
    }
}

fn good() -> Value {
    json!({"text": TEXT, "usage": {"in": 3, "out": 9}, "finish": "stop"})
}

/// Cuts `bytes` at these places.
fn cut_at<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place % (bytes.len() + 1))
        .collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn the_answer_is_the_same_however_the_bytes_are_cut(places in prop::collection::vec(any::<usize>(), 0..40)) {
        let pieces = cut_at(GOOD.as_bytes(), &places);
        let (deltas, mut flow, verdict) = heard("sse", &pieces, false);
        prop_assert_eq!(verdict, Verdict::Answered);
        prop_assert_eq!(deltas, TEXT);
        prop_assert_eq!(output(&mut flow), good());
    }

    #[test]
    fn no_bytes_of_a_stream_can_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400), places in prop::collection::vec(any::<usize>(), 0..9), lines in any::<bool>()) {
        let mode = if lines { Mode::Ndjson } else { Mode::Sse };
        let read = |pieces: &[&[u8]]| {
            let (mut frames, mut found) = (Frames::new(mode), Vec::new());
            for piece in pieces {
                frames.push(piece, &mut found).unwrap();
            }
            frames.finish(&mut found).unwrap();
            found
        };
        prop_assert_eq!(read(&[&bytes]), read(&cut_at(&bytes, &places)));
    }
}

#[test]
fn the_answer_is_the_same_byte_by_byte() {
    let pieces: Vec<&[u8]> = GOOD.as_bytes().chunks(1).collect();
    let (deltas, mut flow, _) = heard("sse", &pieces, false);
    assert_eq!((deltas.as_str(), output(&mut flow)), (TEXT, good()));
}

#[test]
fn lines_of_json_are_a_stream_too_and_the_last_needs_no_line_break() {
    let lines = "{\"choices\": [{\"delta\": \"a\"}]}\r\n\n{\"choices\": [{\"delta\": \"b\"}], \"usage\": {\"in\": 1}}\n{\"done\": true}";
    let (deltas, mut flow, verdict) = heard("ndjson", &[lines.as_bytes()], false);
    assert_eq!((deltas.as_str(), verdict), ("ab", Verdict::Answered));
    let want = json!({"text": "ab", "usage": {"in": 1}});
    assert_eq!(output(&mut flow), want);
}

#[test]
fn what_is_stored_of_a_stream_gives_the_same_output_after_a_crash() {
    let (_, flow, _) = heard("sse", &[GOOD.as_bytes()], false);
    let captured = flow.captured().to_string();
    // The text, and two of the seven events.
    assert!(captured.len() < 1_200, "{captured}");
    let resume = crate::flow::Resume {
        state: Some(crate::RunState::Validating),
        captured: Some(serde_json::from_str(&captured).unwrap()),
        accepted_at_ms: Some(0),
        ..crate::flow::Resume::default()
    };
    let mut again = Flow::resume(crate::testing::setting(&chat("sse")), resume).unwrap();
    assert_eq!(output(&mut again), good());
}

#[test]
fn a_long_text_is_stored_beside_the_record_and_read_back() {
    let long = "x".repeat(100_000);
    let stream = format!("data: {{\"choices\": [{{\"delta\": \"{long}\"}}]}}\n\ndata: [DONE]\n\n");
    let (_, flow, verdict) = heard("sse", &[stream.as_bytes()], false);
    assert_eq!(verdict, Verdict::Answered);
    let stored = flow.large_answer().unwrap().clone();
    assert_eq!(read_assembled(&stored).unwrap().text, long);
    // Its sender died before the acceptance was written.
    let resume = crate::flow::Resume {
        state: Some(crate::RunState::SubmitUnknown),
        ..crate::flow::Resume::default()
    };
    let mut again = Flow::resume(crate::testing::setting(&chat("sse")), resume).unwrap();
    assert_eq!(again.found_answer(stored, 0), Verdict::Answered);
    assert_eq!(output(&mut again)["text"], json!(long));
}

fn word(verdict: &Verdict) -> String {
    let class = |fault: &Fault| fault.class().map_or("none", class_word).to_owned();
    match verdict {
        Verdict::Refused { fault, retry } => {
            let again = if retry.is_some() { "again" } else { "for good" };
            format!("refused {again}: {}", class(fault))
        }
        Verdict::Unknown { fault, then } => {
            let then = match then {
                Then::Repeat => "again",
                Then::Fail | Then::Settle => "for good",
            };
            format!("unknown {then}: {}", class(fault))
        }
        other => format!("{other:?}"),
    }
}

#[test]
#[rustfmt::skip]
fn after_the_first_delta_nothing_is_sent_again() {
    const DELTA: &str = "data: {\"choices\": [{\"delta\": \"a\"}]}\n\n";
    const BUSY: &str = "event: error\ndata: {\"error\": {\"code\": \"busy\", \"message\": \"later\"}}\n\n";
    const ERROR: &str = "event: error\ndata: {\"message\": \"no\"}\n\n";
    const COMMENT: &str = ": still there\n\n";
    let cases = [
        ("cut at once",                    String::new(),                true,  "unknown again: unknown_outcome"),
        ("ended without a word",           String::new(),                false, "unknown again: unknown_outcome"),
        ("cut after a comment",            COMMENT.to_owned(),           true,  "unknown again: unknown_outcome"),
        ("cut after a delta",              DELTA.to_owned(),             true,  "unknown for good: unknown_outcome"),
        ("ended well, but not with `done`", DELTA.to_owned(),            false, "unknown for good: unknown_outcome"),
        ("no room, before a delta",        BUSY.to_owned(),              false, "refused again: overloaded"),
        ("no room, after a delta",         DELTA.to_owned() + BUSY,      false, "refused for good: overloaded"),
        ("an error",                       ERROR.to_owned(),             false, "refused for good: provider_error"),
        ("an error, then a reset",         DELTA.to_owned() + ERROR,     true,  "refused for good: provider_error"),
        ("a last event without its line",  DELTA.to_owned() + "data: [DONE]", false, "Answered"),
        ("the same, cut",                  DELTA.to_owned() + "data: [DONE]", true,  "unknown for good: unknown_outcome"),
    ];
    for (why, stream, cut, want) in cases {
        let (_, flow, verdict) = heard("sse", &[stream.as_bytes()], cut);
        assert_eq!(word(&verdict), want, "{why}");
        assert_eq!(flow.gave_part(), stream.contains("delta"), "{why}");
    }
}

#[test]
fn a_fault_of_the_stream_says_how_far_it_came() {
    let stream = b"data: {\"choices\": [{\"delta\": \"ab\"}]}\n\n";
    let (_, _, verdict) = heard("sse", &[stream], true);
    let Verdict::Unknown { fault, .. } = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(
        fault.message,
        "the stream ended after 1 events and 2 bytes of text: reset by peer"
    );
}

#[test]
fn an_event_without_end_is_refused_before_it_is_held() {
    let mut flow = hearing("sse");
    let piece = vec![b'x'; 64 * 1024];
    flow.hear(b"data: ", 0);
    let pieces = (1..).find(|_| flow.hear(&piece, 0).over).unwrap();
    assert_eq!(pieces, 16);
    let verdict = flow.on(Event::StreamEnded(None), 0, 0.5);
    assert_eq!(word(&verdict), "unknown again: unknown_outcome");
    // Many lines of one event are one event.
    let mut frames = Frames::new(Mode::Sse);
    let lines = "data: x\n".repeat(frames::FRAME_MAX / 2 + 1);
    assert_eq!(
        frames.push(lines.as_bytes(), &mut Vec::new()),
        Err(Excess::Frame)
    );
}

#[test]
fn a_stream_of_countless_events_ends() {
    let mut frames = Frames::new(Mode::Sse);
    let piece = "data:x\n\n".repeat(1_000);
    let mut found = Vec::new();
    let pieces = (1..)
        .find(|_| frames.push(piece.as_bytes(), &mut found).is_err())
        .unwrap();
    assert_eq!(pieces, frames::FRAMES_MAX / 1_000 + 1);
}

#[test]
fn invalid_utf8_is_replaced_and_does_not_reach_over_a_line() {
    let stream = b"data: {\"choices\": [{\"delta\": \"a\xff\xe2\x82\"}]}\n\ndata: {\"choices\": [{\"delta\": \"\xac\"}]}\n\ndata: [DONE]\n\n";
    let (deltas, ..) = heard("sse", &[stream], false);
    assert_eq!(deltas, "a\u{fffd}\u{fffd}\u{fffd}");
}

#[test]
fn only_a_good_answer_of_its_type_is_heard() {
    let cases = [
        ("sse", 200, "text/event-stream", true),
        ("sse", 201, "text/event-stream;charset=UTF-8", true),
        ("sse", 429, "text/event-stream", false),
        ("sse", 200, "application/json", false),
        ("sse", 200, "text/html", false),
        ("ndjson", 200, "application/x-ndjson", true),
        ("ndjson", 200, "application/jsonl", true),
        ("ndjson", 200, "text/plain", true),
        ("ndjson", 200, "text/html", false),
        ("ndjson", 200, ASSEMBLED, false),
    ];
    for (mode, status, content_type, want) in cases {
        let mut flow = flow(&chat(mode));
        flow.next(0, drawn(0));
        let heard = flow.begin_hearing(status, &head(content_type));
        assert_eq!(heard, want, "{mode} {status} {content_type}");
    }
}

#[test]
fn an_ordinary_answer_in_place_of_a_stream_is_judged_as_one() {
    let answer = |status, content_type: &str, body: Value| {
        let mut flow = flow(&chat("sse"));
        flow.next(0, drawn(0));
        let mut received = crate::testing::answer(status, &body);
        received.headers = head(content_type);
        flow.on(Event::Answered(received), 0, 0.5)
    };
    let error = json!({"error": {"code": "busy"}});
    let json = "application/json";
    assert_eq!(
        word(&answer(429, json, json!({}))),
        "refused again: rate_limited"
    );
    assert_eq!(word(&answer(200, json, error)), "refused again: overloaded");
    let verdict = answer(200, json, json!({"choices": []}));
    assert!(
        matches!(&verdict, Verdict::Failed(fault) if fault.kind == Kind::NotEvents),
        "{verdict:?}"
    );
    assert_eq!(
        answer(200, "text/event-stream", json!(GOOD)),
        Verdict::Answered
    );
}
