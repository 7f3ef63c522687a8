//! Recorded cases (section 7): a call, the exchanges of a provider, and what
//! must come of them. Read here; replayed by whoever has hands.

use crate::bundle;
use crate::call::Call;
use crate::check::walk::{Fields, Sink, wrong_type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::{Code, Diagnostics, Place};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where the clock starts when the case does not say.
const START: OffsetDateTime = time::macros::datetime!(2026-01-01 00:00 UTC);

/// One file of `cases/`.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where the clock starts, milliseconds since 1970; the day of the call.
    pub at_ms: i64,
    /// The call.
    pub input: CaseInput,
    /// Ids of other jobs that are polled with this one, in one request.
    pub batched_with: Vec<String>,
    /// Our address for callbacks; absent: we cannot be reached.
    pub callback_url: Option<String>,
    /// In the order in which they happen, all of them.
    pub exchanges: Vec<CaseExchange>,
    /// What must come of it.
    pub expect: CaseExpect,
}

/// The body of `POST /v1/runs`.
#[derive(Debug, Clone)]
pub struct CaseInput {
    /// What shall be made.
    pub purpose: String,
    /// As in a call.
    pub model: Option<String>,
    /// As in a call.
    pub provider: Option<String>,
    /// As in a call.
    pub profile_key: Option<String>,
    /// The rest of it.
    pub call: Call,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct CaseExchange {
    /// What must be sent.
    pub request: CaseRequest,
    /// What comes back; absent: the connection is cut after the request.
    pub answer: Option<CaseAnswer>,
}

/// A request as the provider's documentation gives it.
#[derive(Debug, Clone)]
pub struct CaseRequest {
    /// Upper case.
    pub method: String,
    /// Compared exactly, the query too.
    pub url: String,
    /// The named ones are compared; `None`: must not be sent.
    pub headers: Vec<(String, Option<String>)>,
    /// JSON, compared as values; absent with none of the next two: no body.
    pub body: Option<Value>,
    /// Bytes, instead of `body`, compared one by one.
    pub body_base64: Option<Vec<u8>>,
    /// Parts, instead of `body`.
    pub multipart: Option<Vec<CasePart>>,
}

/// One part of a multipart body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CasePart {
    /// Its name.
    pub name: String,
    /// Of a file.
    pub filename: Option<String>,
    /// Of a file, or of a part that names its own.
    pub content_type: Option<String>,
    /// `value`, or `base64` decoded.
    pub bytes: Vec<u8>,
}

/// An answer as it arrives.
#[derive(Debug, Clone)]
pub struct CaseAnswer {
    /// 200 when left out.
    pub status: u16,
    /// Names in lower case; with the `content-type` of a JSON body that names none.
    pub headers: Vec<(String, String)>,
    /// `body` as it is written, or `body_base64` decoded.
    pub body: Vec<u8>,
}

/// What must come of a case. Exactly one of `output` and `error` is there.
#[derive(Debug, Clone, Default)]
pub struct CaseExpect {
    /// The run succeeds with exactly this.
    pub output: Option<Value>,
    /// The run fails, or the call is refused; the given members are compared.
    pub error: Option<CaseError>,
    /// Of a refused call: exactly these findings.
    pub diagnostics: Option<Vec<CaseFinding>>,
    /// Exactly these, by name.
    pub artifacts: Option<Vec<(String, Vec<CaseArtifact>)>>,
    /// Whether the caller was told that the run is overdue.
    pub overdue: Option<bool>,
    /// Milliseconds from the first request to the end, at least.
    pub elapsed_ms_min: Option<u64>,
}

/// A failure; what is absent is not compared.
#[derive(Debug, Clone, Default)]
pub struct CaseError {
    /// A class of section 5.
    pub class: Option<String>,
    /// The provider's, else ours.
    pub code: Option<String>,
    /// The provider's, else ours.
    pub message: Option<String>,
}

/// An artifact; what is absent is not compared.
#[derive(Debug, Clone, Default)]
pub struct CaseArtifact {
    /// Media type.
    pub content_type: Option<String>,
    /// Size.
    pub bytes: Option<u64>,
    /// 64 hexadecimal digits.
    pub sha256: Option<String>,
}

/// A finding about a refused call.
#[derive(Debug, Clone)]
pub struct CaseFinding {
    /// Into the caller's body.
    pub pointer: String,
    /// Absent: any.
    pub code: Option<String>,
    /// A part of the message or help; absent: any.
    pub says: Option<String>,
}

impl Case {
    /// Reads the text of a case file; `source` is its name, as people know it.
    ///
    /// # Errors
    ///
    /// Every mistake, with line and column.
    pub fn parse(source: &str, text: &str) -> Result<Self, Diagnostics> {
        let (value, found, located) = bundle::json(source, text);
        let sink = Sink::default();
        sink.extend(found);
        let root = Place {
            source: Some(source.to_owned()),
            ..Place::default()
        };
        let case = if sink.has_errors() {
            None
        } else {
            read(&value, &root, &sink)
        };
        let found = located.locate(sink.into_inner());
        match case.filter(|_| !found.has_errors()) {
            Some(case) => Ok(case),
            None => Err(found),
        }
    }
}

fn read(value: &Value, at: &Place, sink: &Sink) -> Option<Case> {
    let fields = Fields::open(value, at, sink)?;
    fields.skip(&["why"]);
    fields.text("$schema");
    let at_ms = start(&fields, sink);
    let input = needed(&fields, "input").and_then(|input| call(&input, sink));
    let others = fields.texts("batched_with").unwrap_or_default();
    let callback_url = fields.text("callback_url").map(str::to_owned);
    let list_at = fields.place("exchanges");
    if fields.raw("exchanges").is_none() {
        fields.missing("exchanges");
    }
    let list = fields
        .list("exchanges")
        .unwrap_or_default()
        .iter()
        .enumerate();
    let exchanges: Vec<_> = list
        .filter_map(|(i, source)| exchange(source, &list_at.child(i), sink))
        .collect();
    let expect = needed(&fields, "expect").and_then(|expect| expectation(expect, sink));
    fields.finish();
    Some(Case {
        at_ms,
        input: input?,
        batched_with: others.into_iter().map(str::to_owned).collect(),
        callback_url,
        exchanges,
        expect: expect?,
    })
}

/// The moment at which the case begins.
fn start(fields: &Fields<'_>, sink: &Sink) -> i64 {
    let read = fields
        .text("at")
        .map_or(Ok(START), |text| OffsetDateTime::parse(text, &Rfc3339));
    let at = read.unwrap_or_else(|_| {
        unreadable(
            sink,
            &fields.place("at"),
            "this is no time",
            "write it as RFC 3339 has it: `2026-01-01T00:00:00Z`",
        );
        START
    });
    at.unix_timestamp() * 1_000 + i64::from(at.millisecond())
}

fn unreadable(sink: &Sink, at: &Place, message: &str, help: &str) {
    sink.error(Code::P801, at, message, help);
}

/// The bytes of a member that is base64.
fn bytes(fields: &Fields<'_>, name: &'static str, sink: &Sink) -> Option<Vec<u8>> {
    let text = fields.text(name)?;
    let read = STANDARD.decode(text);
    if read.is_err() {
        unreadable(
            sink,
            &fields.place(name),
            "this is no base64",
            "encode the bytes with the standard alphabet and with padding",
        );
    }
    read.ok()
}

fn needed<'a>(fields: &Fields<'a>, name: &'static str) -> Option<Fields<'a>> {
    if fields.raw(name).is_none() {
        fields.missing(name);
    }
    fields.fields(name)
}

/// The choice of the profile, and the rest, which is a call.
fn call(fields: &Fields<'_>, sink: &Sink) -> Option<CaseInput> {
    const CHOICE: &[&str] = &["purpose", "model", "provider", "profile_key"];
    let text = |name| fields.text(name).map(str::to_owned);
    let purpose = fields.required_text("purpose").map(str::to_owned);
    let rest = fields
        .members()
        .filter(|(name, _)| !CHOICE.contains(&name.as_str()));
    let rest: Map<_, _> = rest
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let call = serde_json::from_value::<Call>(Value::Object(rest));
    if let Err(error) = &call {
        sink.error(
            Code::P801,
            fields.at(),
            format!("the call cannot be read: {error}"),
            "write it like the body of `POST /v1/runs`",
        );
    }
    Some(CaseInput {
        purpose: purpose?,
        model: text("model"),
        provider: text("provider"),
        profile_key: text("profile_key"),
        call: call.ok()?,
    })
}

fn exchange(source: &Value, at: &Place, sink: &Sink) -> Option<CaseExchange> {
    let fields = Fields::open(source, at, sink)?;
    let request = needed(&fields, "request").and_then(|fields| request(fields, sink));
    if fields.raw_or_null("answer").is_none() {
        fields.missing("answer");
    }
    let answer = fields.fields("answer").map(|fields| answer(fields, sink));
    fields.finish();
    Some(CaseExchange {
        request: request?,
        answer,
    })
}

fn request(fields: Fields<'_>, sink: &Sink) -> Option<CaseRequest> {
    let at = fields.place("headers");
    let mut headers = Vec::new();
    for (name, value) in fields.object("headers").into_iter().flatten() {
        match value {
            Value::String(text) => headers.push((name.clone(), Some(text.clone()))),
            Value::Null => headers.push((name.clone(), None)),
            other => wrong_type(sink, &at.child(name), "a text or null", other),
        }
    }
    let body = fields.raw("body").cloned();
    let multipart = fields.list("multipart").map(|parts| {
        let at = fields.place("multipart");
        let parts = parts.iter().enumerate();
        parts
            .filter_map(|(i, source)| part(source, &at.child(i), sink))
            .collect()
    });
    let body_base64 = bytes(&fields, "body_base64", sink);
    for (one, other) in [
        ("body", "multipart"),
        ("body", "body_base64"),
        ("body_base64", "multipart"),
    ] {
        one_of_two(&fields, one, other, sink);
    }
    let (method, url) = (fields.required_text("method"), fields.required_text("url"));
    fields.finish();
    Some(CaseRequest {
        method: method?.to_uppercase(),
        url: url?.to_owned(),
        headers,
        body,
        body_base64,
        multipart,
    })
}

fn part(source: &Value, at: &Place, sink: &Sink) -> Option<CasePart> {
    let fields = Fields::open(source, at, sink)?;
    let text = |name| fields.text(name).map(str::to_owned);
    let name = fields.required_text("name");
    let value = text("value").map(String::into_bytes);
    let file = bytes(&fields, "base64", sink);
    one_of_two(&fields, "value", "base64", sink);
    if fields.raw("value").is_none() && fields.raw("base64").is_none() {
        fields.missing("value");
    }
    let part = CasePart {
        name: name.unwrap_or_default().to_owned(),
        filename: text("filename"),
        content_type: text("content_type"),
        bytes: value.or(file).unwrap_or_default(),
    };
    fields.finish();
    name.is_some().then_some(part)
}

fn answer(fields: Fields<'_>, sink: &Sink) -> CaseAnswer {
    let at = fields.place("headers");
    let mut headers = Vec::new();
    for (name, value) in fields.object("headers").into_iter().flatten() {
        match value.as_str() {
            Some(text) => headers.push((name.to_ascii_lowercase(), text.to_owned())),
            None => wrong_type(sink, &at.child(name), "a text", value),
        }
    }
    one_of_two(&fields, "body", "body_base64", sink);
    let status = fields.whole("status").unwrap_or(200);
    let body = match fields.raw_or_null("body") {
        Some(Value::String(text)) => Some(text.clone().into_bytes()),
        Some(value) => {
            if !headers.iter().any(|(name, _)| name == "content-type") {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
            Some(value.to_string().into_bytes())
        }
        None => bytes(&fields, "body_base64", sink),
    };
    let answer = CaseAnswer {
        status: u16::try_from(status).unwrap_or(200),
        headers,
        body: body.unwrap_or_default(),
    };
    if !(100..=599).contains(&status) {
        sink.error(
            Code::P801,
            &fields.place("status"),
            format!("{status} is no HTTP status"),
            "write 100 to 599",
        );
    }
    fields.finish();
    answer
}

fn one_of_two(fields: &Fields<'_>, one: &'static str, other: &'static str, sink: &Sink) {
    if fields.raw(one).is_some() && fields.raw(other).is_some() {
        sink.error(
            Code::P113,
            fields.at(),
            format!("`{one}` and `{other}` are both there"),
            "keep one of the two",
        );
    }
}

fn expectation(fields: Fields<'_>, sink: &Sink) -> Option<CaseExpect> {
    let output = fields.raw("output").cloned();
    let error = fields.fields("error").map(|error| {
        let text = |name| error.text(name).map(str::to_owned);
        let read = CaseError {
            class: text("class"),
            code: text("code"),
            message: text("message"),
        };
        error.finish();
        read
    });
    let at = fields.place("diagnostics");
    let diagnostics = fields.list("diagnostics").map(|list| {
        let list = list.iter().enumerate();
        list.filter_map(|(i, source)| finding(source, &at.child(i), sink))
            .collect()
    });
    let expect = CaseExpect {
        output,
        error,
        diagnostics,
        artifacts: artifacts(&fields, sink),
        overdue: fields.flag("overdue"),
        elapsed_ms_min: fields.whole("elapsed_ms_min"),
    };
    if expect.output.is_some() == expect.error.is_some() {
        sink.error(
            Code::P802,
            fields.at(),
            "the case must expect either an output or an error",
            "give exactly one of `output` and `error`",
        );
    }
    fields.finish();
    Some(expect)
}

fn artifacts(fields: &Fields<'_>, sink: &Sink) -> Option<Vec<(String, Vec<CaseArtifact>)>> {
    let at = fields.place("artifacts");
    let members = fields.object("artifacts")?;
    let read = |(name, list): (&String, &Value)| {
        let at = at.child(name);
        let Value::Array(items) = list else {
            wrong_type(sink, &at, "a list", list);
            return None;
        };
        let items = items.iter().enumerate();
        let items = items.filter_map(|(i, item)| artifact(item, &at.child(i), sink));
        Some((name.clone(), items.collect()))
    };
    Some(members.iter().filter_map(read).collect())
}

fn artifact(source: &Value, at: &Place, sink: &Sink) -> Option<CaseArtifact> {
    let fields = Fields::open(source, at, sink)?;
    let text = |name| fields.text(name).map(str::to_owned);
    let artifact = CaseArtifact {
        content_type: text("content_type"),
        bytes: fields.whole("bytes"),
        sha256: text("sha256"),
    };
    fields.finish();
    Some(artifact)
}

fn finding(source: &Value, at: &Place, sink: &Sink) -> Option<CaseFinding> {
    let fields = Fields::open(source, at, sink)?;
    let pointer = fields.required_text("pointer");
    let text = |name| fields.text(name).map(str::to_owned);
    let finding = CaseFinding {
        pointer: pointer.unwrap_or_default().to_owned(),
        code: text("code"),
        says: text("says"),
    };
    fields.finish();
    pointer.is_some().then_some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case() -> Value {
        json!({
            "at": "2026-02-03T04:05:06.007Z",
            "input": {"purpose": "chat", "prompt": "hi"},
            "exchanges": [{
                "request": {"method": "post", "url": "https://api.acme.ai/v1", "multipart": [{"name": "a", "value": "b"}, {"name": "f", "filename": "f", "base64": "AAE="}]},
                "answer": {"headers": {"X-A": "b"}, "body": {"a": 1}}
            }],
            "expect": {"output": {}, "artifacts": {"video": [{"bytes": 2}]}}
        })
    }

    #[test]
    fn a_case_is_read_as_it_arrives_on_the_wire() {
        let case = Case::parse("c", &case().to_string()).unwrap();
        assert_eq!(case.at_ms, 1_770_091_506_007);
        let exchange = &case.exchanges[0];
        let parts = exchange.request.multipart.as_ref().unwrap();
        assert_eq!(
            (&parts[0].bytes[..], &parts[1].bytes[..]),
            (&b"b"[..], &[0, 1][..])
        );
        let answer = exchange.answer.as_ref().unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{\"a\":1}"[..]));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            answer.headers,
            [
                header("x-a", "b"),
                header("content-type", "application/json")
            ]
        );
    }

    #[test]
    #[rustfmt::skip]
    fn every_mistake_of_a_case_is_told_with_its_place() {
        let cases = [
            ("/at",                                   json!("today"),       Code::P801),
            ("/input/purpose",                        json!(null),          Code::P103),
            ("/exchanges/0/answer/body_base64",       json!("AA="),         Code::P801),
            ("/exchanges/0/request/multipart/1/base64", json!("?"),         Code::P801),
            ("/exchanges/0/request/body_base64",      json!("AA=="),        Code::P113),
            ("/exchanges/0/answer/stauts",            json!(200),           Code::P101),
            ("/exchanges/0/answer/status",            json!(1000),          Code::P801),
            ("/expect/artifacts/video",               json!({}),            Code::P102),
            ("/expect/artifacts/video/0/byts",        json!(1),             Code::P101),
        ];
        for (place, value, code) in cases {
            let mut case = case();
            let (parent, name) = place.rsplit_once('/').unwrap();
            if name == "body_base64" {
                case["exchanges"][0]["answer"].as_object_mut().unwrap().remove("body");
            }
            case.pointer_mut(parent).unwrap()[name] = value;
            let found = Case::parse("c", &case.to_string()).unwrap_err();
            let said: Vec<_> = found.iter().map(|one| (one.code, one.place.pointer.as_str())).collect();
            assert!(said.iter().any(|(have, at)| *have == code && at.starts_with(parent)), "{place}: {said:?}");
            assert!(found.iter().all(|one| one.place.line.is_some()), "{place}: {found}");
        }
    }
}
