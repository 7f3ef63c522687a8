//! Callbacks of a run, acted on by whoever follows it: proved, and then we ask.
//! A callback never says what the answer is.

use crate::core::Core;
use crate::live::Live;
use engine::Event;
use engine::flow::Meant;
use engine::webhook::{Callback, Key, Proof, proof};
use profile::lang::{Draws, Scope};
use profile::revision::{Signature, SignedBy, Verify, WebhookSecret};
use serde_json::Value;
use std::collections::VecDeque;
use store::receipts::ReceiptRow;
use store::{State, StoreError};
use uuid::Uuid;

/// Callbacks acted on at once.
const BATCH: i64 = 20;

/// Runs that were called before they were followed here: between the writing of an acceptance and the following. Of the
/// many that others follow the oldest are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Unmet(VecDeque<Uuid>);

/// Of them that are remembered.
const UNMET_MAX: usize = 1_024;

impl Unmet {
    pub(crate) fn note(&mut self, run: Uuid) {
        if self.0.len() >= UNMET_MAX {
            self.0.pop_front();
        }
        self.0.push_back(run);
    }

    /// Whether it was called; it is forgotten.
    pub(crate) fn take(&mut self, run: Uuid) -> bool {
        let before = self.0.len();
        self.0.retain(|known| *known != run);
        self.0.len() < before
    }
}

/// Acts on what is stored for the run: when it was called, and while nobody knows its job.
pub(crate) async fn heed(core: &Core, live: &mut Live) -> Result<(), StoreError> {
    let unknown = live.state == State::SubmitUnknown && live.common.revision.webhook.is_some();
    if !live.called && !unknown {
        return Ok(());
    }
    let rows = core.store.receipts_of(live.run, BATCH).await?;
    let (mut done, mut proved) = (Vec::new(), Vec::new());
    for row in &rows {
        let callback = read(row);
        let proof = checked(core, live, &callback, row.ago_ms).await;
        if act(core, live, &callback, proof) {
            done.push(row.receipt_id);
            proved.extend((proof == Proof::Proved).then_some(row.receipt_id));
        }
    }
    live.called = !done.is_empty() && i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
    if done.is_empty() {
        return Ok(());
    }
    core.store.receipts_applied(&done, &proved).await
}

/// The job is known now: what came before is acted on. Where the database is away, polling goes on.
pub(crate) async fn early(core: &Core, live: &mut Live) {
    if live.common.revision.webhook.is_none() || live.state != State::Polling {
        return;
    }
    live.called = true;
    if let Err(error) = heed(core, live).await {
        tracing::warn!(run.id = %live.run, %error, "callbacks are looked for with the next poll");
    }
}

fn read(row: &ReceiptRow) -> Callback {
    let headers = row.headers.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Callback {
        headers: headers
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect(),
        body: row.body.clone().into(),
    }
}

/// What a callback does to the run. `true`: it is done with.
fn act(core: &Core, live: &mut Live, callback: &Callback, proof: Proof) -> bool {
    if proof == Proof::Forged {
        tracing::warn!(run.id = %live.run, "a callback is not signed as the profile says; it is passed over");
        return true;
    }
    let (now, random) = (core.clock.now_ms(), rand::random());
    let meant = live.flow.meaning(callback, now).unwrap_or_else(|fault| {
        tracing::warn!(run.id = %live.run, why = fault.message, "a callback cannot be judged; it is passed over");
        Meant::Nothing
    });
    let event = match meant {
        Meant::Nothing => return true,
        Meant::Job(job) if live.flow.has_refused(&job) => return true,
        Meant::Something => Event::Called {
            proved: proof == Proof::Proved,
        },
        Meant::Job(job) => Event::Named(job),
    };
    // What names a job stays until the job is ours: the next owner must hear it, too.
    let done = !matches!(event, Event::Named(_));
    let _ = live.flow.on(event, now, random);
    done
}

async fn checked(core: &Core, live: &Live, callback: &Callback, ago_ms: i64) -> Proof {
    let Some(webhook) = &live.common.revision.webhook else {
        return Proof::Unproved;
    };
    let Verify::Signed(signature) = &webhook.verify else {
        return Proof::Unproved;
    };
    let at_ms = core.clock.now_ms().saturating_sub(ago_ms);
    let key = key(core, live, signature, false).await;
    let found = proof(webhook, callback, key.as_ref(), at_ms);
    // The provider may have another key by now.
    if found == Proof::Forged
        && matches!(signature.by, SignedBy::Ed25519Jwks(_))
        && let Some(key) = self::key(core, live, signature, true).await
    {
        return proof(webhook, callback, Some(&key), at_ms);
    }
    found
}

async fn key(core: &Core, live: &Live, signature: &Signature, again: bool) -> Option<Key> {
    match &signature.by {
        SignedBy::Ed25519Jwks(address) => {
            let whose = (&live.common.revision, live.common.credential);
            let keys = core.hooks.public_keys(core, whose, (address, again)).await;
            keys.map(Key::Public)
        }
        SignedBy::StandardWebhooks(secret) | SignedBy::HmacSha256(secret) => {
            let opened = self::secret(core, live, secret).await;
            if opened.is_none() {
                tracing::error!(run.id = %live.run, profile = live.common.revision.profile_key, "the secret of the callbacks' signature cannot be had; they are hints only");
            }
            opened.map(Key::Secret)
        }
    }
}

async fn secret(core: &Core, live: &Live, secret: &WebhookSecret) -> Option<diag::Secret> {
    match secret {
        WebhookSecret::Reference(reference) => core.options.secrets.open(reference).ok(),
        WebhookSecret::Text(text) => {
            let shared = core
                .shared(&live.common.revision, live.common.credential)
                .await
                .ok()?;
            let keys = shared.ground.secrets().of(None)?;
            let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
            scope.secrets(&keys.secrets);
            text.eval_text(&scope)
                .ok()
                .flatten()
                .map(diag::Secret::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_called_before_it_was_followed_is_remembered_among_the_latest() {
        let mut unmet = Unmet::default();
        for run in 0..=UNMET_MAX as u128 {
            unmet.note(Uuid::from_u128(run));
        }
        let mut take = |run: usize| unmet.take(Uuid::from_u128(run as u128));
        assert!(!take(0) && take(1) && take(UNMET_MAX) && !take(UNMET_MAX));
    }
}
