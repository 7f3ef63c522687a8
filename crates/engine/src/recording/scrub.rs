//! Taking secrets out of what a provider answered.

use crate::http::HeardAnswer;
use crate::request::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use profile::lang::{Answer, Body};
use profile::revision::{Capture, Revision};
use serde_json::Value;
use uuid::Uuid;

/// What stands where a secret was.
const SCRUBBED: &str = "scrubbed";
/// A placeholder of the replay.
const MASK: &str = "***";
/// Shorter texts are no secrets: taking them out would take apart other words.
const SECRET_MIN: usize = 6;
/// A longer value in the query of an address may be a signature, whatever its name.
const PLAIN_QUERY_MAX: usize = 40;
/// Base64 or hexadecimal text of this length is a file in an answer: its beginning is kept, whole groups of both.
const INLINE_MAX: usize = 4_096;
const INLINE_KEPT: usize = 1_024;
/// Headers that carry a secret whatever the template makes of it.
const CREDENTIAL_HEADERS: &[&str] = &["authorization", "cookie", "proxy-authorization"];
/// Words in the names of query members that sign an address.
const SIGNING: &[&str] = &[
    "sig", "token", "key", "cred", "policy", "auth", "secret", "expire", "hash", "hmac", "jwt",
    "session", "ticket", "x-amz", "x-goog", "x-oss", "x-tos", "x-cos",
];

/// Swaps texts, the longest first, and takes the signatures out of addresses.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    /// Secret, and what stands for it.
    swaps: Vec<(String, String)>,
    /// Of our own run: no secret, yet fixed in a case.
    ids: Vec<(String, String)>,
    /// Nothing is changed at all.
    off: bool,
}

impl Scrub {
    /// Leaves everything as it is.
    pub(super) fn none() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// Learns from what was sent, beside the same requests with masked secrets and fixed uuids.
    pub(super) fn of_requests<'a>(
        live: impl Iterator<Item = &'a Request>,
        masked: &[Request],
    ) -> Self {
        let mut scrub = Self::default();
        for (live, masked) in live.zip(masked) {
            for ((name, live), (_, masked)) in live.headers.iter().zip(&masked.headers) {
                scrub.learn(live, masked);
                if CREDENTIAL_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                    let word = live.rsplit(' ').next().unwrap_or_default();
                    scrub.secret(word, MASK);
                }
            }
            scrub.learn_url(live, masked);
            scrub.learn_body(live, masked);
            scrub.learn_ids(live, masked);
        }
        scrub
    }

    /// What stands where the mask does.
    fn learn(&mut self, live: &str, masked: &str) {
        let pieces: Vec<&str> = masked.split(MASK).collect();
        let [start, between @ .., end] = pieces.as_slice() else {
            return;
        };
        let rest = live
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end));
        let Some(mut rest) = rest.filter(|_| pieces.len() > 1) else {
            return;
        };
        for piece in between {
            let Some((secret, after)) = rest.split_once(piece) else {
                return;
            };
            self.secret(secret, MASK);
            rest = after;
        }
        self.secret(rest, MASK);
    }

    fn learn_url(&mut self, live: &Request, masked: &Request) {
        let pairs = live.url.query_pairs().zip(masked.url.query_pairs());
        for ((_, live), (_, masked)) in pairs {
            self.learn(&live, &masked);
        }
    }

    fn learn_body(&mut self, live: &Request, masked: &Request) {
        let json =
            |request: &Request| serde_json::from_slice::<Value>(request.body.as_deref()?).ok();
        if let (Some(live), Some(masked)) = (json(live), json(masked)) {
            return self.learn_value(&live, &masked);
        }
        let text = |request: &Request| {
            Some(String::from_utf8_lossy(request.body.as_deref()?).into_owned())
        };
        let (Some(live), Some(masked)) = (text(live), text(masked)) else {
            return;
        };
        let pairs = live.split(['&', '\n']).zip(masked.split(['&', '\n']));
        for (live, masked) in pairs {
            self.learn(live, masked);
        }
    }

    fn learn_value(&mut self, live: &Value, masked: &Value) {
        match (live, masked) {
            (Value::String(live), Value::String(masked)) => self.learn(live, masked),
            (Value::Array(live), Value::Array(masked)) => {
                for (live, masked) in live.iter().zip(masked) {
                    self.learn_value(live, masked);
                }
            }
            (Value::Object(live), Value::Object(masked)) => {
                for (name, live) in live {
                    if let Some(masked) = masked.get(name) {
                        self.learn_value(live, masked);
                    }
                }
            }
            _ => {}
        }
    }

    /// Run, token and drawn uuids, which a case fixes.
    fn learn_ids(&mut self, live: &Request, masked: &Request) {
        let (live, masked) = (uuids(live), uuids(masked));
        if live.len() == masked.len() {
            let pairs = live.into_iter().zip(masked);
            self.ids
                .extend(pairs.filter(|(live, masked)| live != masked));
        }
    }

    fn secret(&mut self, secret: &str, stands: &str) {
        if secret.chars().count() < SECRET_MIN || secret == MASK {
            return;
        }
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        for text in [secret, encoded.as_str()] {
            if !self.swaps.iter().any(|(known, _)| known == text) {
                self.swaps.push((text.to_owned(), stands.to_owned()));
            }
        }
        self.swaps
            .sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    }

    /// What the profile captures as a secret, in this answer.
    pub(super) fn add_captured(&mut self, answer: &HeardAnswer, revision: Option<&Revision>) {
        let Some(revision) = revision else {
            return;
        };
        let workflow = &revision.workflow;
        let steps = workflow.before.iter().chain(&workflow.steps);
        let steps = steps.chain(&workflow.cancel).chain(&workflow.cleanup);
        let captures = steps
            .flat_map(|step| &step.captures)
            .chain(&revision.response.captures);
        let read = Answer {
            status: answer.status,
            headers: answer.headers.clone(),
            event: None,
            body: Body::read(&answer.body),
        };
        let secrets: Vec<&Capture> = captures
            .map(|(_, capture)| capture)
            .filter(|capture| capture.secret)
            .collect();
        for capture in secrets {
            for text in capture.path.all_text(&read) {
                let n = self.swaps.len();
                self.secret(&text, &captured(&text, n));
            }
        }
    }

    /// Whether a secret is in a text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.swaps.iter().any(|(secret, _)| text.contains(secret))
    }

    /// A text without secrets, signatures and files.
    pub(super) fn text(&self, text: &str) -> String {
        if self.off {
            return text.to_owned();
        }
        let mut text = text.to_owned();
        for (from, to) in self.swaps.iter().chain(&self.ids) {
            if text.contains(from) {
                text = text.replace(from, to);
            }
        }
        shortened(&unsigned(&text))
    }

    /// A value without them.
    pub(super) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (self.text(name), self.value(value)))
                .collect(),
            other => other.clone(),
        }
    }
}

/// What stands for a captured secret: an address stays one on its host.
fn captured(secret: &str, n: usize) -> String {
    match url::Url::parse(secret) {
        Ok(url) if url.has_host() => {
            format!("{}/{SCRUBBED}-{n}", url.origin().ascii_serialization())
        }
        _ => format!("{SCRUBBED}-{n}"),
    }
}

/// The uuids of a request in their order.
fn uuids(request: &Request) -> Vec<String> {
    let mut texts: Vec<String> = vec![request.url.to_string()];
    texts.extend(request.headers.iter().map(|(_, value)| value.clone()));
    texts.extend(
        request
            .body
            .as_deref()
            .map(|body| String::from_utf8_lossy(body).into_owned()),
    );
    let is_part = |c: char| !(c.is_ascii_hexdigit() || c == '-');
    texts
        .iter()
        .flat_map(|text| text.split(is_part))
        .filter(|word| word.len() == 36 && Uuid::try_parse(word).is_ok())
        .map(str::to_owned)
        .collect()
}

/// The text with the signatures of its addresses taken out.
fn unsigned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["http://", "https://"]
        .iter()
        .filter_map(|start| rest.find(start))
        .min()
    {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || c.is_control() || "\"'<>`)]}\\".contains(c);
        let end = from.find(ends).unwrap_or(from.len());
        let (address, after) = from.split_at(end);
        out.push_str(&unsigned_address(address));
        rest = after;
    }
    out + rest
}

fn unsigned_address(address: &str) -> String {
    let (address, fragment) = match address.split_once('#') {
        Some((address, fragment)) => (address, format!("#{fragment}")),
        None => (address, String::new()),
    };
    let Some((place, query)) = address.split_once('?') else {
        return format!("{address}{fragment}");
    };
    let member = |member: &str| match member.split_once('=') {
        Some((name, value)) if signs(name, value) => format!("{name}={SCRUBBED}"),
        _ => member.to_owned(),
    };
    let members: Vec<String> = query.split('&').map(member).collect();
    format!("{place}?{}{fragment}", members.join("&"))
}

fn signs(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    value.len() > PLAIN_QUERY_MAX || SIGNING.iter().any(|word| name.contains(word))
}

/// A file in a text, cut to its beginning.
fn shortened(text: &str) -> String {
    let (head, content) = match text.split_once(";base64,") {
        Some((head, content)) if head.starts_with("data:") => (format!("{head};base64,"), content),
        _ => (String::new(), text),
    };
    let is_coded = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    if content.len() <= INLINE_MAX || !content.chars().all(is_coded) {
        return text.to_owned();
    }
    head + content.get(..INLINE_KEPT).unwrap_or(content)
}
