//! `errors`: how answers are judged (section 5).

use super::context::Context;
use super::reach::Lists;
use super::walk::{Fields, Sink, type_name};
use crate::lang::{Condition, Path};
use crate::revision::{Class, Duration, ErrorTable, Match};
use diag::{Code, Place};
use serde_json::Value;

/// The classes in the order in which they are tried.
pub(crate) const CLASSES: &[(&str, Class)] = &[
    ("moderated", Class::Moderated),
    ("billing", Class::Billing),
    ("authentication", Class::Authentication),
    ("invalid_request", Class::InvalidRequest),
    ("expired", Class::Expired),
    ("not_found", Class::NotFound),
    ("rate_limited", Class::RateLimited),
    ("overloaded", Class::Overloaded),
    ("transient", Class::Transient),
    ("unknown_outcome", Class::UnknownOutcome),
    ("provider_error", Class::ProviderError),
];

/// Where codes usually stand.
const CODE: &[&str] = &["error.code", "error.type", "error.status", "code"];

/// Where messages usually stand. `$` is a body that is one text.
const MESSAGE: &[&str] = &[
    "error.message",
    "error",
    "message",
    "detail[].msg",
    "detail",
    "errors[]",
    "$",
];

/// HTTP statuses that are written as if they were classes.
const STATUSES: &[&str] = &[
    "400", "401", "402", "403", "404", "405", "408", "409", "410", "413", "422", "425", "429",
    "451", "500", "502", "503", "504", "529",
];

/// What no answer can reach of the classes that one row writes.
pub(crate) fn reach(own: &Value, at: &Place, sink: &Sink) {
    let names = CLASSES.iter().map(|(name, _)| *name);
    let lists = Lists {
        names: names.chain(["ok"]).collect(),
        path: own.get("code_path"),
    };
    lists.check(own, at, sink);
}

/// Reads a merged `errors`; null gives the usual paths and no class.
pub(crate) fn table(value: &Value, at: &Place, cx: &Context<'_>) -> Option<ErrorTable> {
    let fields = Fields::open(value, at, cx.sink);
    let Some(fields) = fields else {
        return Some(ErrorTable {
            code: Path::fixed(CODE)?,
            message: Path::fixed(MESSAGE)?,
            retry_after: None,
            ok: None,
            classes: Vec::new(),
        });
    };
    let path = |name, usual| match fields.raw(name) {
        Some(source) => cx.answer_path(Some(source), &fields.place(name)),
        None => Path::fixed(usual),
    };
    let code = path("code_path", CODE);
    let message = path("message_path", MESSAGE);
    let retry_after = duration(&fields, "retry_after_path", cx);
    let ok = matches(&fields, "ok", cx);
    hides_the_status(&fields, cx);
    let classes = CLASSES
        .iter()
        .filter_map(|(name, class)| Some((*class, matches(&fields, name, cx)?)))
        .collect();
    fields.elsewhere(
        STATUSES,
        "every HTTP status has its class already; to give it another: `\"billing\": [{\"path\": \"@status\", \"equals\": 403}]`",
    );
    fields.finish();
    Some(ErrorTable {
        code: code?,
        message: message?,
        retry_after,
        ok,
        classes,
    })
}

/// The last class takes what no other did, whatever the status: a member that every error has makes failures of the
/// provider of a 429 and a 401 too.
fn hides_the_status(fields: &Fields<'_>, cx: &Context<'_>) {
    let Some(Value::Array(items)) = fields.raw("provider_error") else {
        return;
    };
    let at = fields.place("provider_error");
    for (i, item) in items.iter().enumerate() {
        let asks_for_presence_alone = item
            .as_object()
            .is_some_and(|members| members.len() == 1 && members.contains_key("present"));
        if asks_for_presence_alone {
            cx.sink.warn(
                Code::P624,
                &at.child(i),
                "this holds for every failure that has the member, so that a 401 or a 429 is no refusal of its own any more",
                "for a failure under HTTP 200 ask for the status too: `{\"all\": [{\"path\": \"@status\", \"lt\": 300}, {\"present\": …}]}`",
            );
        }
    }
}

/// A list of values and conditions.
pub(crate) fn matches(
    fields: &Fields<'_>,
    name: &'static str,
    cx: &Context<'_>,
) -> Option<Vec<Match>> {
    let at = fields.place(name);
    let mut all = Vec::new();
    for (i, item) in fields.list(name)?.iter().enumerate() {
        let at = at.child(i);
        match item {
            Value::String(_) | Value::Bool(_) => all.push(Match::Value(item.clone())),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                all.push(Match::Value(item.clone()));
            }
            item if Condition::looks_like(item) => {
                all.extend(cx.answer_condition(item, &at).map(Match::Condition));
            }
            other => cx.sink.error(
                Code::P504,
                &at,
                format!("{} is neither a value nor a condition", type_name(other)),
                "a word, a whole number, a boolean, or a condition",
            ),
        }
    }
    Some(all)
}

/// A path to a duration: P, or `{"path": P, "unit": "ms"}`.
pub(crate) fn duration(
    fields: &Fields<'_>,
    name: &'static str,
    cx: &Context<'_>,
) -> Option<Duration> {
    const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let value = fields.raw(name)?;
    let at = fields.place(name);
    if !value.is_object() {
        let path = cx.answer_path(Some(value), &at)?;
        return Some(Duration {
            path,
            unit_ms: 1000,
        });
    }
    let inner = fields.fields(name)?;
    let unit_ms = inner.word("unit", UNITS).unwrap_or(1000);
    if inner.raw("path").is_none() {
        inner.missing("path");
    }
    let path = cx.answer_path(inner.raw("path"), &inner.place("path"));
    inner.finish();
    Some(Duration {
        path: path?,
        unit_ms,
    })
}
