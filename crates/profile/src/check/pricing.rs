//! `pricing`: what a run costs, over the variables (section 3).

use super::context::Context;
use super::walk::Fields;
use crate::capabilities::{Price, Pricing};
use diag::{Code, Place};
use serde_json::Value;

/// Reads a price list.
pub(crate) fn pricing(source: &Value, at: &Place, cx: &Context<'_>) -> Option<Pricing> {
    let fields = Fields::open(source, at, cx.sink)?;
    let currency = fields.required_text("currency");
    let per = fields.text("per").map(str::to_owned);
    let quantity = cx.variable_path(fields.raw("quantity"), &fields.place("quantity"));
    let list_at = fields.place("price");
    let mut price = Vec::new();
    for (i, item) in fields.list("price").unwrap_or_default().iter().enumerate() {
        let Some(line) = Fields::open(item, &list_at.child(i), cx.sink) else {
            continue;
        };
        let when = cx.when(line.raw("when"), &line.place("when"));
        if line.raw("amount").is_none() {
            line.missing("amount");
        }
        let amount = line.number("amount");
        line.finish();
        price.extend(amount.map(|amount| Price { when, amount }));
    }
    if fields.raw("price").is_none() {
        cx.sink.error(
            Code::P306,
            at,
            "there is no price",
            "add `price`, a list of `{\"when\": …, \"amount\": n}`",
        );
    }
    fields.finish();
    Some(Pricing {
        currency: currency?.to_owned(),
        per,
        quantity,
        price,
    })
}
