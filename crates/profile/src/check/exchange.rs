//! One HTTP exchange: address, method, headers, query and body.

use super::bounds::{self, Whole};
use super::context::{Context, Written};
use super::walk::{Fields, wrong_type};
use crate::lang::{Place as Stand, Text, Tree};
use crate::revision::{Address, BodyKind, BodyTemplate, Exchange, Fetch};
use diag::{Code, Place};
use serde_json::Value;

/// What has no meaning where nothing is asked for: the file is in an answer.
pub(crate) const NOT_OF_AN_ANSWER: &[&str] = &[
    "base_url",
    "method",
    "kind",
    "query",
    "headers",
    "body",
    "timeout_ms",
    "ok_status",
];

/// Methods, in any case.
pub(crate) const METHODS: &[(&str, &str)] = &[
    ("GET", "GET"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("HEAD", "HEAD"),
];

/// How a body is written.
pub(crate) const KINDS: &[(&str, BodyKind)] = &[
    ("http_json", BodyKind::Json),
    ("http_multipart", BodyKind::Multipart),
    ("http_form", BodyKind::Form),
    ("http_binary", BodyKind::Binary),
];

/// What differs between exchanges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role<'a> {
    /// The step's name.
    pub(crate) name: &'a str,
    /// Used when the row says nothing; absent: by the body.
    pub(crate) method: Option<&'static str>,
    /// What the largest answer may be.
    pub(crate) bytes: Whole,
}

/// Whether the object has an address of its own.
pub(crate) fn has_address(fields: &Fields<'_>) -> bool {
    fields.raw("path").is_some() || fields.raw("url").is_some()
}

/// Reads an exchange out of the members of a larger object.
pub(crate) fn exchange(fields: &Fields<'_>, role: Role<'_>, cx: &Context<'_>) -> Option<Exchange> {
    let address = address(fields, cx);
    let body = body(fields, cx);
    let method = method(fields, role, body.is_some(), cx);
    let own = Context::written(fields.raw("headers"), &fields.place("headers"));
    fields.object("headers");
    let own_query = Context::written(fields.raw("query"), &fields.place("query"));
    fields.object("query");
    let headers = headers(&[&cx.headers[..], &own].concat(), cx);
    // Every member is read before anything is given up: what is not read is unknown.
    let timeout_ms = bounds::TIMEOUT.read(fields, cx.sink);
    let max_bytes = role.bytes.read(fields, cx.sink);
    let ok_status = ok_status(fields, cx);
    let exchange = Exchange {
        name: role.name.to_owned(),
        method: method.to_owned(),
        address: address?,
        query: query(&[&cx.query[..], &own_query].concat(), cx),
        headers,
        own_headers: self::headers(&own, cx),
        own_query: query(&own_query, cx),
        body,
        timeout_ms,
        max_bytes,
        ok_status,
        auth: None,
    };
    check_host(fields, &exchange, cx);
    Some(exchange)
}

/// What goes with a request for a file at an address of an answer. What a step
/// that has an address says of a request is said of that address.
pub(crate) fn fetch(fields: Option<&Fields<'_>>, cx: &Context<'_>) -> Fetch {
    let timeout_ms = fields.map(|fields| bounds::TIMEOUT.read(fields, cx.sink));
    let fields = fields.filter(|fields| !has_address(fields));
    let own = |name: &'static str| {
        fields.map_or_else(Vec::new, |fields| {
            fields.object(name);
            Context::written(fields.raw(name), &fields.place(name))
        })
    };
    let (own_headers, own_query) = (own("headers"), own("query"));
    let body = fields.and_then(|fields| body(fields, cx));
    let role = Role {
        name: "",
        method: None,
        bytes: bounds::FILE_BYTES,
    };
    let method = fields.map_or("GET", |fields| method(fields, role, body.is_some(), cx));
    Fetch {
        headers: headers(&[&cx.headers[..], &own_headers].concat(), cx),
        own_headers: headers(&own_headers, cx),
        query: query(&[&cx.query[..], &own_query].concat(), cx),
        own_query: query(&own_query, cx),
        method: method.to_owned(),
        base_url: fields.and_then(|fields| base_url(fields, cx)),
        body,
        timeout_ms: timeout_ms.unwrap_or(bounds::TIMEOUT.default),
        ok_status: fields.map_or_else(Vec::new, |fields| ok_status(fields, cx)),
        auth: None,
    }
}

/// `base_url`, which must lie with the provider or in `egress.hosts`.
fn base_url(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Text> {
    let at = fields.place("base_url");
    let source = fields.text("base_url")?;
    cx.hosts.address(source, &at, cx.sink);
    cx.text(source, Stand::Url, &at)
}

fn address(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Address> {
    let path = fields.text("path");
    let url = fields.text("url");
    let base_url = fields
        .text("base_url")
        .and_then(|base| cx.text(base, Stand::Url, &fields.place("base_url")));
    match (path, url) {
        (Some(_), Some(_)) => {
            cx.sink.error(
                Code::P113,
                fields.at(),
                "`path` and `url` are both there",
                "keep `path` below the base URL, or `url` as a whole address; a variant that has the other one takes the first back with `null`",
            );
            None
        }
        (Some(path), None) => {
            let at = fields.place("path");
            is_no_address(path, &at, cx);
            is_of_a_draft(path, &at, cx);
            without_single_braces(path, &at, cx);
            Some(Address::Path {
                base_url,
                path: cx.text(path, Stand::Path, &at)?,
            })
        }
        (None, Some(url)) => {
            let at = fields.place("url");
            without_single_braces(url, &at, cx);
            Some(Address::Url(cx.text(url, Stand::Url, &at)?))
        }
        (None, None) => {
            if fields.raw("path").or(fields.raw("url")).is_none() {
                cx.sink.error(
                    Code::P401,
                    fields.at(),
                    "there is no address",
                    "add `\"path\": \"/…\"`, which is appended to the base URL, or a `url`",
                );
            }
            None
        }
    }
}

/// What `profile new` could not know.
fn is_of_a_draft(path: &str, at: &Place, cx: &Context<'_>) {
    if path.starts_with(crate::draft::UNKNOWN_PATH) {
        cx.sink.warn(
            Code::P401,
            at,
            "this is a draft's stand-in, and no path of the API",
            "write the path that the documentation gives, after the base URL",
        );
    }
}

/// A `path` is appended to the base address.
fn is_no_address(path: &str, at: &Place, cx: &Context<'_>) {
    let start = path.trim_start();
    if !["https://", "http://"]
        .iter()
        .any(|scheme| start.starts_with(scheme))
    {
        return;
    }
    cx.sink.error(
        Code::P706,
        at,
        "`path` is appended to the base address, and this is a whole address",
        "write only what follows `api_base_url`; or name the member `url`, which is a whole address",
    );
}

/// `{job_id}` and `<job_id>` are how documentation writes a place; an address with them as characters is none.
pub(crate) fn without_single_braces(address: &str, at: &Place, cx: &Context<'_>) {
    let Some(name) = single_braces(address) else {
        return;
    };
    cx.sink.error(
        Code::P203,
        at,
        format!("`{name}` is sent as it stands here: one brace makes no template"),
        format!(
            "write `{{{{{}}}}}`, with the name of a variable",
            name.trim_matches(['{', '}', '<', '>'])
        ),
    );
}

/// The first `{name}` or `<name>` outside of templates.
fn single_braces(address: &str) -> Option<&str> {
    let mut rest = address;
    while let Some(start) = rest.find(['{', '<']) {
        let (_, from) = rest.split_at(start);
        let close = if from.starts_with('{') { "}" } else { ">" };
        let open = from.get(..1)?;
        let double = open.repeat(2);
        if from.starts_with(&double) {
            let end = from.find(&close.repeat(2))? + 2;
            rest = from.get(end..)?;
            continue;
        }
        let end = from.find(close)?;
        let name = from.get(1..end)?;
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if is_name {
            return from.get(..=end);
        }
        rest = from.get(1..)?;
    }
    None
}

fn method(fields: &Fields<'_>, role: Role<'_>, has_body: bool, cx: &Context<'_>) -> &'static str {
    let method = match fields.text("method") {
        Some(text) => {
            let upper = text.to_uppercase();
            let found = METHODS.iter().find(|(word, _)| *word == upper);
            if found.is_none() {
                cx.sink.error(
                    Code::P402,
                    &fields.place("method"),
                    format!("`{text}` is no method"),
                    "GET, POST, PUT, PATCH, DELETE or HEAD",
                );
            }
            found.map(|(_, method)| *method)
        }
        None => None,
    };
    let method = method.or(role.method);
    let method = method.unwrap_or(if has_body { "POST" } else { "GET" });
    if has_body && matches!(method, "GET" | "HEAD") {
        cx.sink.error(
            Code::P403,
            &fields.place("body"),
            format!("a {method} has no body"),
            "use `query`, or another method",
        );
    }
    method
}

fn body(fields: &Fields<'_>, cx: &Context<'_>) -> Option<BodyTemplate> {
    let kind = fields.word("kind", KINDS).unwrap_or(BodyKind::Json);
    let source = fields.raw("body")?;
    let at = fields.place("body");
    let is_directive = source
        .as_object()
        .is_some_and(|members| members.keys().any(|name| name.starts_with('$')));
    let fault = match kind {
        BodyKind::Form | BodyKind::Multipart if !source.is_object() => Some("an object of fields"),
        BodyKind::Binary if !is_directive => Some("one `$file`"),
        _ => None,
    };
    if let Some(wanted) = fault {
        cx.sink.error(
            Code::P403,
            &at,
            format!("a body of this `kind` is {wanted}"),
            format!("write {wanted}, or change `kind`"),
        );
    }
    let is_quoted = |text: &str| {
        let text = text.trim_start();
        text.starts_with(['{', '[']) && !text.starts_with("{{")
    };
    if kind == BodyKind::Json && source.as_str().is_some_and(is_quoted) {
        cx.sink.error(
            Code::P403,
            &at,
            "the JSON of this body is written as a text, and would be sent as one",
            "write the object itself, without the quotes around it; `{\"$json\": …}` makes a text of JSON where one is wanted",
        );
    }
    if matches!(kind, BodyKind::Form | BodyKind::Multipart) && !is_directive {
        fields_are_texts(source, &at, cx);
    }
    let parts = matches!(kind, BodyKind::Multipart | BodyKind::Binary);
    let tree = cx.body(source, parts, &at)?;
    Some(BodyTemplate { kind, tree })
}

/// A field of a form is a text or a list of texts; an object has no place in one.
fn fields_are_texts(source: &Value, at: &Place, cx: &Context<'_>) {
    let is_plain = |value: &Value| {
        let members = value.as_object();
        members.is_some_and(|members| !members.keys().any(|name| name.starts_with('$')))
    };
    for (name, value) in source.as_object().into_iter().flatten() {
        let listed = value
            .as_array()
            .is_some_and(|items| items.iter().any(is_plain));
        if is_plain(value) || listed {
            cx.sink.error(
                Code::P403,
                &at.child(name),
                format!("`{name}` is a field of a form, and an object is no text"),
                "write it as JSON in a text: `{\"$json\": {…}}`; or change `kind`",
            );
        }
    }
}

/// Later ones replace earlier ones, names without regard to case; what is replaced is nowhere sent, and not looked at.
fn headers(written: &[Written], cx: &Context<'_>) -> Vec<(String, Text)> {
    let mut all: Vec<(String, Text)> = Vec::new();
    for (i, (name, value, at)) in written.iter().enumerate() {
        let mut later = written.iter().skip(i + 1);
        if later.any(|(other, ..)| other.eq_ignore_ascii_case(name)) {
            continue;
        }
        let token = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if !token {
            cx.sink.error(
                Code::P402,
                at,
                format!("`{name}` is no header name"),
                "letters, digits and `-`",
            );
        }
        let Some(value) = value else { continue };
        match value.as_str() {
            Some(text) => {
                let text = cx.text(text, Stand::Header, at);
                all.extend(text.map(|text| (name.clone(), text)));
            }
            None => wrong_type(cx.sink, at, "a text", value),
        }
    }
    all
}

fn query(written: &[Written], cx: &Context<'_>) -> Vec<(String, Tree)> {
    let mut all: Vec<(String, Tree)> = Vec::new();
    for (i, (name, value, at)) in written.iter().enumerate() {
        if written.iter().skip(i + 1).any(|(other, ..)| other == name) {
            continue;
        }
        let Some(value) = value else { continue };
        let tree = cx.body(value, false, at);
        all.extend(tree.map(|tree| (name.clone(), tree)));
    }
    all
}

fn ok_status(fields: &Fields<'_>, cx: &Context<'_>) -> Vec<u16> {
    let at = fields.place("ok_status");
    let mut all = Vec::new();
    for (i, item) in fields.list("ok_status").into_iter().flatten().enumerate() {
        let status = item.as_u64().and_then(|n| u16::try_from(n).ok());
        match status.filter(|n| (100..=599).contains(n)) {
            Some(status) => all.push(status),
            None => wrong_type(cx.sink, &at.child(i), "an HTTP status", item),
        }
    }
    all
}

/// An address that the row writes must lie with the provider, or in
/// `egress.hosts`; its own secrets with the provider in any case.
fn check_host(fields: &Fields<'_>, exchange: &Exchange, cx: &Context<'_>) {
    for name in ["base_url", "url"] {
        let Some(address) = fields.raw(name).and_then(Value::as_str) else {
            continue;
        };
        cx.hosts.address(address, &fields.place(name), cx.sink);
        let headers = exchange
            .own_headers
            .iter()
            .filter(|(_, text)| text.is_secret());
        let headers = headers.map(|(name, _)| fields.place("headers").child(name));
        let query = exchange
            .own_query
            .iter()
            .filter(|(_, tree)| tree.is_secret());
        let query = query.map(|(name, _)| fields.place("query").child(name));
        let body = exchange.body.iter().filter(|body| body.tree.is_secret());
        let body = body.map(|_| fields.place("body"));
        for at in headers.chain(query).chain(body) {
            cx.hosts.secret(address, &at, cx.sink);
        }
    }
}
