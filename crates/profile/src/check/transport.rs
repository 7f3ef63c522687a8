//! `transport`: the submit and its variants, and what makes it safe (section 4).

use super::bounds;
use super::context::Context;
use super::exchange::{Role, exchange, has_address};
use super::layers::Layers;
use super::poll;
use super::walk::{Fields, not_built, wrong_type};
use crate::revision::{Exchange, Idempotency, Retry, Settle, Submit, TokenPlace};
use diag::{Code, Place};
use serde_json::{Value, json};

/// Members beside those of an exchange.
const OTHERS: &[&str] = &[
    "idempotency",
    "settle",
    "on_unknown",
    "durable",
    "retry",
    "variants",
    "vars",
    "tables",
];

/// What the transport says beside the exchange.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) repeat_on_unknown: bool,
    pub(crate) durable: bool,
}

/// The transport with the prompt template's body merged over its own.
pub(crate) fn layers(transport: &Value, at: &Place, template: Option<(&Value, &Place)>) -> Layers {
    let base = Layers::default().over(Some(transport), at.clone()).main();
    match template.filter(|(body, _)| !body.is_null()) {
        Some((body, at)) => base.over(Some(&json!({ "body": body })), at.clone()),
        None => base,
    }
}

/// The submit's variants, the one without a condition last.
pub(crate) fn submits(layers: &Layers, transport: &Fields<'_>, cx: &Context<'_>) -> Vec<Submit> {
    let mut all = Vec::new();
    let at = transport.place("variants");
    let variants = transport.list("variants").unwrap_or_default();
    for (i, source) in variants.iter().enumerate() {
        all.extend(variant(layers, source, &at.child(i), cx));
    }
    let exchange = layers.read(cx.sink, |merged, at, sink| {
        submit(merged, at, &cx.with_sink(sink))
    });
    all.extend(exchange.map(|exchange| Submit {
        when: None,
        exchange,
    }));
    all
}

fn variant(layers: &Layers, source: &Value, at: &Place, cx: &Context<'_>) -> Option<Submit> {
    let Some(members) = source.as_object() else {
        wrong_type(cx.sink, at, "an object", source);
        return None;
    };
    let condition = cx.when(members.get("when"), &at.child("when"));
    if !members.contains_key("when") {
        cx.sink.error(
            Code::P103,
            at,
            "`when` is missing",
            "add the condition under which the variant is sent",
        );
    }
    for name in OTHERS.iter().filter(|name| members.contains_key(**name)) {
        not_built(cx.sink, &at.child(name), &format!("`{name}` in a variant"));
    }
    let mut patch = members.clone();
    patch.shift_remove("when");
    let layers = layers.clone().over(Some(&Value::Object(patch)), at.clone());
    let cx = cx.assuming(condition.as_ref());
    let exchange = layers.read(cx.sink, |merged, at, sink| {
        submit(merged, at, &cx.with_sink(sink))
    });
    Some(Submit {
        when: Some(condition?),
        exchange: exchange?,
    })
}

/// Reads the exchange of a merged transport. Its headers are what the steps
/// inherit too, so here they are its own over the conventions'.
fn submit(merged: &Value, at: &Place, cx: &Context<'_>) -> Option<Exchange> {
    let fields = Fields::open(merged, at, cx.sink)?;
    fields.skip(OTHERS);
    let role = Role {
        name: "submit",
        method: Some("POST"),
        bytes: bounds::ANSWER_BYTES,
    };
    let exchange = exchange(&fields, role, cx);
    fields.finish();
    exchange
}

/// Idempotency, and the admin's consents.
pub(crate) fn promises(transport: &Fields<'_>, cx: &Context<'_>) -> Promises {
    let repeat = transport.word("on_unknown", &[("fail", false), ("repeat", true)]);
    Promises {
        idempotency: idempotency(transport, cx),
        repeat_on_unknown: repeat.unwrap_or(false),
        durable: transport.flag("durable").unwrap_or(true),
    }
}

fn idempotency(transport: &Fields<'_>, cx: &Context<'_>) -> Option<Idempotency> {
    let fields = transport.fields("idempotency")?;
    let header = fields.text("header").map(str::to_owned);
    let body = fields.text("body").map(str::to_owned);
    let retention_s = bounds::RETENTION_S.read(&fields, cx.sink);
    let place = match (header, body) {
        (Some(header), None) => Some(TokenPlace::Header(header)),
        (None, Some(body)) => Some(TokenPlace::Body(body)),
        _ => {
            cx.sink.error(
                Code::P404,
                fields.at(),
                "the token needs exactly one place",
                "write either `header` or `body`",
            );
            None
        }
    };
    fields.finish();
    Some(Idempotency {
        place: place?,
        retention_s,
    })
}

/// Reads `retry`, the conventions' under the transport's.
pub(crate) fn retry(layers: &Layers, cx: &Context<'_>) -> Retry {
    layers
        .read(cx.sink, |merged, at, sink| {
            let empty = Value::Object(serde_json::Map::new());
            let merged = if merged.is_null() { &empty } else { merged };
            let fields = Fields::open(merged, at, sink)?;
            let retry = Retry {
                max: u32::try_from(bounds::RETRY_MAX.read(&fields, sink)).unwrap_or(u32::MAX),
                backoff_ms: bounds::BACKOFF.read(&fields, sink),
                max_backoff_ms: bounds::MAX_BACKOFF.read(&fields, sink),
            };
            fields.finish();
            Some(retry)
        })
        .unwrap_or(Retry {
            max: 3,
            backoff_ms: 500,
            max_backoff_ms: 20_000,
        })
}

#[derive(Debug, Clone, Copy)]
enum SettleKind {
    Replay,
    Lookup,
    Callback,
}

/// Reads a merged `settle`. `token`: the provider takes our token.
pub(crate) fn settle(value: &Value, at: &Place, token: bool, cx: &Context<'_>) -> Option<Settle> {
    const KINDS: &[(&str, SettleKind)] = &[
        ("replay", SettleKind::Replay),
        ("lookup", SettleKind::Lookup),
        ("callback", SettleKind::Callback),
    ];
    let fields = Fields::open(value, at, cx.sink)?;
    if fields.raw("kind").is_none() {
        fields.missing("kind");
    }
    let kind = fields.word("kind", KINDS);
    let settle = match kind {
        Some(SettleKind::Replay) if !token => {
            cx.sink.error(
                Code::P404,
                at,
                "`replay` without `idempotency` would pay twice",
                "add `idempotency`, if the provider takes a token of ours",
            );
            None
        }
        Some(SettleKind::Replay) => Some(Settle::Replay),
        Some(SettleKind::Lookup) => return lookup(fields, cx),
        Some(SettleKind::Callback) => {
            not_built(cx.sink, &fields.place("kind"), "`settle` by callback");
            None
        }
        None => return None,
    };
    fields.finish();
    settle
}

fn lookup(fields: Fields<'_>, cx: &Context<'_>) -> Option<Settle> {
    if fields.raw("job_id_path").is_none() {
        cx.sink.error(
            Code::P404,
            fields.at(),
            "`lookup` does not say where the job's id stands",
            "add `job_id_path`",
        );
    }
    let role = Role {
        name: "settle",
        method: None,
        bytes: bounds::ANSWER_BYTES,
    };
    // `kind` is the settle's own here; its body, if it has one, is JSON.
    let mut members = fields.members().map(|(k, v)| (k.clone(), v.clone()));
    let own: serde_json::Map<_, _> = members.by_ref().filter(|(k, _)| k != "kind").collect();
    let own = Value::Object(own);
    let inner = Fields::open(&own, fields.at(), cx.sink)?;
    let exchange = exchange(&inner, role, cx);
    if !has_address(&inner) {
        return None;
    }
    let select = poll::select(&inner, cx);
    let job_id = cx.answer_path(inner.raw("job_id_path"), &inner.place("job_id_path"));
    let complete = inner
        .raw("complete_when")
        .and_then(|source| cx.answer_condition(source, &inner.place("complete_when")));
    if select.is_some() && inner.raw("complete_when").is_none() {
        cx.sink.warn(
            Code::P405,
            fields.at(),
            "a job that is not on this page of the list counts as not accepted, and is sent again",
            "add `complete_when`, a condition that holds when the page goes back far enough to hold every job of ours",
        );
    }
    let visible_after_ms = bounds::VISIBLE_AFTER.read(&inner, cx.sink);
    inner.finish();
    Some(Settle::Lookup {
        exchange: Box::new(exchange?),
        select,
        job_id: job_id?,
        complete,
        visible_after_ms,
    })
}
