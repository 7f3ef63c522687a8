//! `transport`: the submit and its variants, and what makes it safe (section 4).

use super::bounds;
use super::context::Context;
use super::exchange::{Role, exchange, has_address};
use super::layers::Layers;
use super::poll;
use super::walk::{Fields, wrong_type};
use crate::revision::{
    Action, Exchange, Idempotency, Retry, Settle, Submit, Terms, TokenPlace, Workflow,
};
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

/// Members that every step reads, before a variant is chosen.
const OF_THE_RUN: &[&str] = &["vars", "tables"];

/// What is laid under the transport's own terms.
#[derive(Debug)]
pub(crate) struct Under<'a> {
    /// `conventions.settle`, and where it stands.
    pub(crate) settle: (Option<&'a Value>, Place),
    /// `conventions.retry`, and where it stands.
    pub(crate) retry: (Option<&'a Value>, Place),
    /// The submit starts a job that a look-up or a callback may find.
    pub(crate) is_async: bool,
    /// Callbacks may come: a `webhook` is declared.
    pub(crate) has_webhook: bool,
    /// What `settle` may read: the steps before, and the transport's headers.
    pub(crate) cx: &'a Context<'a>,
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
pub(crate) fn submits(
    layers: &Layers,
    transport: &Fields<'_>,
    under: &Under<'_>,
    cx: &Context<'_>,
) -> Vec<Submit> {
    let mut all = Vec::new();
    let at = transport.place("variants");
    let variants = transport.list("variants").unwrap_or_default();
    for (i, source) in variants.iter().enumerate() {
        all.extend(variant(layers, source, &at.child(i), under, cx));
    }
    let exchange = layers.read(cx.sink, |merged, at, sink| {
        submit(merged, at, &cx.with_sink(sink))
    });
    let terms = terms(layers, None, under);
    all.extend(exchange.zip(terms).map(|(exchange, terms)| Submit {
        when: None,
        exchange,
        terms,
    }));
    all
}

fn variant(
    layers: &Layers,
    source: &Value,
    at: &Place,
    under: &Under<'_>,
    cx: &Context<'_>,
) -> Option<Submit> {
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
    not_of_a_variant(members, at, cx);
    let mut patch = members.clone();
    patch.shift_remove("when");
    let own = Value::Object(patch);
    let layers = layers.clone().over(Some(&own), at.clone());
    let cx = cx.assuming(condition.as_ref());
    let exchange = layers.read(cx.sink, |merged, at, sink| {
        submit(merged, at, &cx.with_sink(sink))
    });
    let terms = terms(&layers, Some((&own, at)), under);
    Some(Submit {
        when: Some(condition?),
        exchange: exchange?,
        terms: terms?,
    })
}

/// What would have to be known before the variant is: `vars` and `tables` are
/// read by conditions and by the steps before the submit.
fn not_of_a_variant(members: &serde_json::Map<String, Value>, at: &Place, cx: &Context<'_>) {
    for name in OF_THE_RUN
        .iter()
        .filter(|name| members.contains_key(**name))
    {
        cx.sink.error(
            Code::P609,
            &at.child(name),
            format!("`{name}` cannot differ between variants: conditions and steps read it before one is chosen"),
            "write it into the transport; a value there may differ by `$when`",
        );
    }
    if members.contains_key("variants") {
        cx.sink.error(
            Code::P609,
            &at.child("variants"),
            "a variant has no variants of its own",
            "write one more variant, with both conditions under `all`",
        );
    }
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

/// What a submit promises: of the transport, or of one variant over it.
fn terms(layers: &Layers, variant: Option<(&Value, &Place)>, under: &Under<'_>) -> Option<Terms> {
    let cx = under.cx;
    let (idempotency, repeat, durable) = layers.read(cx.sink, |merged, at, sink| {
        let fields = Fields::open(merged, at, sink)?;
        let cx = cx.with_sink(sink);
        let repeat = fields.word("on_unknown", &[("fail", false), ("repeat", true)]);
        let durable = fields.flag("durable").unwrap_or(true);
        Some((idempotency(&fields, &cx), repeat, durable))
    })?;
    let (transport, at) = layers.first()?;
    let mut retry = Layers::default().over(under.retry.0, under.retry.1.clone());
    retry = retry.over(transport.get("retry"), at.child("retry"));
    let mut settle_layers = SettleLayers::new(under);
    settle_layers.over(transport, at);
    if let Some((own, at)) = variant {
        if own.get("retry").is_some_and(Value::is_null) {
            retry = Layers::default();
        }
        retry = retry.over(own.get("retry"), at.child("retry"));
        settle_layers.over(own, at);
    }
    let has_token = idempotency.is_some();
    Some(Terms {
        settle: settle_layers.settle(has_token, under),
        idempotency,
        repeat_on_unknown: repeat.unwrap_or(false),
        durable,
        retry: self::retry(&retry, cx),
    })
}

/// `settle`, laid over what is inherited; another kind replaces it.
struct SettleLayers {
    layers: Layers,
    kind: Option<String>,
}

impl SettleLayers {
    /// A synchronous call has no job that a look-up could find: it inherits none.
    fn new(under: &Under<'_>) -> Self {
        let base = under.settle.0.filter(|_| under.is_async);
        Self {
            layers: Layers::default().over(base, under.settle.1.clone()),
            kind: base.and_then(kind_of),
        }
    }

    fn over(&mut self, row: &Value, at: &Place) {
        let Some(own) = row.get("settle") else {
            return;
        };
        let kind = kind_of(own);
        if own.is_null()
            || kind
                .as_ref()
                .is_some_and(|kind| Some(kind) != self.kind.as_ref())
        {
            self.layers = Layers::default();
        }
        self.kind = kind.or(self.kind.take());
        self.layers = std::mem::take(&mut self.layers).over(Some(own), at.child("settle"));
    }

    fn settle(&self, has_token: bool, under: &Under<'_>) -> Option<Settle> {
        if self.layers.is_empty() {
            return None;
        }
        let cx = under.cx;
        self.layers.read(cx.sink, |merged, at, sink| {
            let terms = Promised {
                has_token,
                has_webhook: under.has_webhook,
            };
            settle(merged, at, terms, &cx.with_sink(sink))
        })
    }
}

/// A job that a callback names is taken only after a poll has answered for it.
pub(crate) fn found_by_callback(
    submits: &[Submit],
    workflow: &Workflow,
    transport: &Fields<'_>,
    cx: &Context<'_>,
) {
    let by_callback = submits
        .iter()
        .any(|submit| matches!(submit.terms.settle, Some(Settle::Callback)));
    let polls = workflow
        .steps
        .iter()
        .any(|step| matches!(step.action, Action::Poll(_)));
    if by_callback && !polls {
        cx.sink.error(
            Code::P611,
            &transport.place("settle"),
            "a job that a callback names is adopted after a poll has answered for it, and there is no poll",
            "add a step `poll`, or settle in another way",
        );
    }
}

fn kind_of(settle: &Value) -> Option<String> {
    settle
        .get("kind")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// What a `settle` may count on.
#[derive(Debug, Clone, Copy)]
struct Promised {
    /// The provider takes our token.
    has_token: bool,
    has_webhook: bool,
}

fn idempotency(transport: &Fields<'_>, cx: &Context<'_>) -> Option<Idempotency> {
    let fields = transport.fields("idempotency")?;
    let header = fields.text("header").map(str::to_owned);
    let body = fields.text("body").map(str::to_owned);
    let retention_s = bounds::RETENTION_S.read(&fields, cx.sink);
    let place = match (header, body) {
        (Some(header), None) => Some(TokenPlace::Header(header)),
        (None, Some(member)) => {
            takes_members(transport, &member, &fields.place("body"), cx);
            Some(TokenPlace::Body(member))
        }
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

/// A token in the body needs a body that has members: one that is not sent makes no second send safe. What is not known
/// before it is made is looked at then.
fn takes_members(transport: &Fields<'_>, member: &str, at: &Place, cx: &Context<'_>) {
    let binary = transport.raw("kind").and_then(Value::as_str) == Some("http_binary");
    let has_members = match transport.raw("body") {
        Some(Value::Object(members)) => !["$file", "$each", "$json"]
            .iter()
            .any(|directive| members.contains_key(*directive)),
        Some(Value::String(_)) => true,
        _ => false,
    };
    if has_members && !binary {
        return;
    }
    cx.sink.error(
        Code::P404,
        at,
        format!("the submit's body has no members, so that `{member}` would not be sent"),
        "give the transport a `body` that is an object, or put the token into a `header`",
    );
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

/// Reads a merged `settle`.
fn settle(value: &Value, at: &Place, promised: Promised, cx: &Context<'_>) -> Option<Settle> {
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
        Some(SettleKind::Replay) if !promised.has_token => {
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
        Some(SettleKind::Callback) if !promised.has_webhook => {
            cx.sink.error(
                Code::P610,
                at,
                "nothing says how a callback names its job",
                "add a `webhook` with `job_id_path` to the workflow or to the conventions",
            );
            None
        }
        Some(SettleKind::Callback) => Some(Settle::Callback),
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
