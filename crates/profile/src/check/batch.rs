//! `batch` of a poll: a request for many jobs, and the item of each (section 6).

use super::bounds;
use super::context::Context;
use super::exchange::{Role, exchange};
use super::walk::Fields;
use crate::lang::{Condition, Root};
use crate::revision::{Batch, Exchange, Select};
use diag::{Code, Place};
use std::collections::BTreeSet;

/// Reads the `batch` of a poll, if it has one.
pub(crate) fn batch(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Batch> {
    let inner = fields.fields("batch")?;
    let mut asking = cx.assuming(None);
    asking.known.job_ids();
    let role = Role {
        name: "batch",
        method: None,
        bytes: bounds::ANSWER_BYTES,
    };
    let exchange = exchange(&inner, role, &asking);
    for name in ["in", "where"] {
        if inner.raw(name).is_none() {
            inner.missing(name);
        }
    }
    let list = cx.answer_path(inner.raw("in"), &inner.place("in"));
    let at = inner.place("where");
    let filter = inner
        .raw("where")
        .and_then(|source| cx.answer_condition(source, &at));
    let size = bounds::BATCH_SIZE.read(&inner, cx.sink);
    inner.finish();
    let batch = Batch {
        exchange: exchange?,
        size: usize::try_from(size).unwrap_or(usize::MAX),
        item: Select {
            list: list?,
            filter: Some(filter?),
        },
    };
    for_many(&batch.exchange, fields, cx);
    tells_apart(batch.filter()?, &at, cx);
    Some(batch)
}

/// A value of one run would be sent for all of them.
fn for_many(exchange: &Exchange, fields: &Fields<'_>, cx: &Context<'_>) {
    let mut own = BTreeSet::new();
    exchange.reads(&cx.vars, &mut |read| {
        if read.name.root.is_of_one_run() {
            own.insert(read.name.root);
        }
    });
    for root in own {
        cx.sink.error(
            Code::P618,
            &fields.place("batch"),
            format!("the request for many jobs reads {}, which differs between runs", words(root)),
            "ask by `job_ids`, the ids of all jobs that the request is for; take inherited headers and query members back with null",
        );
    }
}

/// Without a look at the run every run would take the same item.
fn tells_apart(filter: &Condition, at: &Place, cx: &Context<'_>) {
    let mut tells = false;
    filter.reads(&mut |read| match read.name.root {
        Root::Vars => cx
            .vars
            .reads(read.name.key().unwrap_or_default(), &mut |read| {
                tells |= names_the_job(read.name.root);
            }),
        root => tells |= names_the_job(root),
    });
    if !tells {
        cx.sink.error(
            Code::P618,
            at,
            "`where` holds for the same item whichever run asks: a run would take another's result",
            "compare the item's id with the run's: `{\"path\": \"id\", \"equals\": \"{{job_id}}\"}`",
        );
    }
}

fn names_the_job(root: Root) -> bool {
    matches!(root, Root::JobId | Root::Steps | Root::Run)
}

fn words(root: Root) -> &'static str {
    match root {
        Root::JobId => "`job_id`",
        Root::Steps => "what a step captured",
        Root::Run => "`run`",
        Root::CallbackUrl => "`callback_url`",
        Root::Item | Root::Index => "an item of `each`",
        _ => "what the caller gave",
    }
}
