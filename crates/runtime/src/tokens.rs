//! Access tokens: had once for a credential, kept until shortly before they
//! end, and asked for by one of all those who want them.

use crate::core::Core;
use crate::metrics;
use diag::ExposeSecret as _;
use engine::auth::token::{self, Source, Token};
use engine::auth::{Fingerprint, TokenId};
use engine::flow::{FetchFault, FileSource, FileTask};
use engine::http::Outcome;
use engine::request::{Proof, Request};
use engine::{Event, Fault, Flow, Kind, Verdict};
use profile::revision::Class;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;
use uuid::Uuid;

/// A token that replaced a refused one stays for so long, in milliseconds, even
/// when it is refused too: then the credential is wrong, and asking does not help.
const RENEWED_MS: i64 = 60_000;
/// While its endpoint does not answer, the rest of a token is used for so long before it is asked again, in milliseconds.
const REST_MS: i64 = 5_000;
/// From so many on, those that have ended are forgotten.
const KEPT: usize = 4_096;

/// The tokens of one process, by credential and what they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<TokenId, Arc<Slot>>>);

/// One of them. Whoever has the lock asks; the others wait for it.
#[derive(Debug, Default)]
struct Slot {
    /// How often somebody asked and was answered, well or not.
    asked: AtomicU64,
    held: tokio::sync::Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    /// The secret that it was had with: another one has no use for it.
    of: Fingerprint,
    /// When a refused token was last thrown away, milliseconds since 1970.
    renewed_ms: Option<i64>,
    /// Why there is none, for those who waited while somebody asked.
    failed: Option<Fault>,
}

impl Held {
    fn fresh(&self, of: Fingerprint, now_ms: i64) -> Option<Token> {
        let token = self.token.as_ref().filter(|_| self.of == of);
        token.filter(|token| now_ms < token.fresh_until_ms).cloned()
    }

    fn keep(&mut self, of: Fingerprint, token: &Token) {
        (self.token, self.of, self.failed) = (Some(token.clone()), of, None);
    }

    /// What is left of the last token, for as long as no other can be had.
    fn rest(&mut self, now_ms: i64) -> Option<Token> {
        let token = self.token.as_mut()?;
        token.fresh_until_ms = now_ms.saturating_add(REST_MS).min(token.expires_at_ms);
        (now_ms < token.fresh_until_ms).then(|| token.clone())
    }

    /// Whether there may be another token than the one that was refused.
    fn renew(&mut self, refused: &Proof, now_ms: i64) -> bool {
        let text = |token: &diag::Secret| token.expose_secret().to_owned();
        let held = self.token.as_ref().map(|token| text(&token.secret));
        if held != refused.token.as_ref().map(text) {
            // Somebody was first.
            return true;
        }
        let lately = self
            .renewed_ms
            .is_some_and(|at| now_ms < at.saturating_add(RENEWED_MS));
        if !lately {
            (self.token, self.renewed_ms) = (None, Some(now_ms));
        }
        !lately
    }
}

impl Tokens {
    fn slot(&self, id: TokenId, now_ms: i64) -> Arc<Slot> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            // What is locked is wanted now.
            all.retain(|_, slot| {
                slot.held.try_lock().map_or(true, |held| {
                    let until = held.token.as_ref().map(|token| token.fresh_until_ms);
                    until.is_some_and(|until| now_ms < until)
                })
            });
        }
        Arc::clone(all.entry(id).or_default())
    }
}

fn slot_of(
    core: &Core,
    flow: &Flow,
    auth: Option<&str>,
) -> Result<(Arc<Slot>, Fingerprint), Fault> {
    let named = flow.token_id(auth);
    let (id, of) = named.ok_or_else(|| {
        Fault::new(
            Kind::BadRecord,
            "the run asks for a token of no auth profile",
        )
    })?;
    Ok((core.tokens.slot(id, core.clock.now_ms()), of))
}

/// Gives the machine the token that it asks for, if that is at hand or made here:
/// nothing is awaited, for a claim has a transaction open. `false`: it has to be asked for.
pub(crate) fn lent(core: &Core, flow: &mut Flow, auth: Option<&str>) -> bool {
    match at_hand(core, flow, auth) {
        Ok(Some(token)) => flow.give_token(auth, &token),
        Ok(None) => return false,
        Err(fault) => drop(flow.on(Event::NoToken(fault), core.clock.now_ms(), rand::random())),
    }
    true
}

fn at_hand(core: &Core, flow: &Flow, auth: Option<&str>) -> Result<Option<Token>, Fault> {
    let (slot, of) = slot_of(core, flow, auth)?;
    let Ok(mut held) = slot.held.try_lock() else {
        return Ok(None);
    };
    if let Some(token) = held.fresh(of, core.clock.now_ms()) {
        return Ok(Some(token));
    }
    let metadata = core.options.metadata.as_ref();
    match flow.token_source(auth, metadata, core.drawn())? {
        Source::Made(token) => {
            held.keep(of, &token);
            Ok(Some(token))
        }
        Source::Ask(_) => Ok(None),
    }
}

/// Gives the machine the token that it asks for, or tells it why there is none.
///
/// Cancel safety: dropped, the next one asks.
pub(crate) async fn supplied(core: &Core, flow: &mut Flow, auth: Option<&str>) -> Verdict {
    match given(core, flow, auth).await {
        Ok(()) => Verdict::Continue,
        Err(fault) => flow.on(Event::NoToken(fault), core.clock.now_ms(), rand::random()),
    }
}

/// The same, and whoever asks is told why there is none.
pub(crate) async fn given(core: &Core, flow: &mut Flow, auth: Option<&str>) -> Result<(), Fault> {
    let token = had(core, flow, auth).await?;
    flow.give_token(auth, &token);
    Ok(())
}

async fn had(core: &Core, flow: &mut Flow, auth: Option<&str>) -> Result<Token, Fault> {
    let (slot, of) = slot_of(core, flow, auth)?;
    let before = slot.asked.load(Ordering::Acquire);
    let mut held = slot.held.lock().await;
    if let Some(token) = held.fresh(of, core.clock.now_ms()) {
        return Ok(token);
    }
    if let Some(fault) = held.failed.clone()
        && held.of == of
        && slot.asked.load(Ordering::Acquire) > before
    {
        // Somebody asked while this one waited, and that answer is as good.
        return Err(fault);
    }
    let metadata = core.options.metadata.as_ref();
    let made = match flow.token_source(auth, metadata, core.drawn())? {
        Source::Made(token) => Ok(token),
        Source::Ask(request) => asked(core, &request, flow.run_id()).await,
    };
    let made = match made {
        Err(fault) if fault.class() == Some(Class::Transient) && held.of == of => {
            held.rest(core.clock.now_ms()).ok_or(fault)
        }
        made => made,
    };
    match &made {
        Ok(token) => held.keep(of, token),
        Err(fault) => (held.token, held.of, held.failed) = (None, of, Some(fault.clone())),
    }
    slot.asked.fetch_add(1, Ordering::Release);
    made
}

/// Asks a token endpoint, once, for all who wait; the run is that of whoever asks.
async fn asked(core: &Core, request: &Request, run: Uuid) -> Result<Token, Fault> {
    let host = request.url.host_str().unwrap_or_default();
    let token = match core.http.untapped().send(request).await {
        Outcome::Answered(received) => token::read(&received, core.clock.now_ms()),
        // What the guard refuses is refused again.
        Outcome::NotSent(fault) if fault.class() != Some(Class::Transient) => Err(fault),
        Outcome::NotSent(fault) | Outcome::Broken(fault) => Err(Fault::new(
            Kind::TokenRefused(Class::Transient),
            format!(
                "the token endpoint `{host}` was not reached: {}",
                fault.message
            ),
        )),
    };
    match &token {
        Ok(_) => tracing::info!(run.id = %run, host, "an access token was had"),
        Err(fault) => {
            tracing::warn!(run.id = %run, host, why = fault.message, "no access token was had");
        }
    }
    token
}

/// Sends it once. `None`: its token was refused for the first time, and another
/// one is to be had: ask the machine again. `renewed` says whether that was so
/// the last time.
///
/// Cancel safety: as [`engine::http::Http::send`].
pub(crate) async fn sent(
    core: &Core,
    flow: &mut Flow,
    request: &Request,
    renewed: &mut bool,
) -> Option<Outcome> {
    let begun = Instant::now();
    let outcome = core.http.send(request).await;
    let word = metrics::word(&outcome);
    core.metrics
        .exchanged(flow.provider(), &request.step, word, begun.elapsed());
    let refused = matches!(&outcome, Outcome::Answered(received) if received.status == 401);
    *renewed = refused && !*renewed && Box::pin(renew(core, flow, &request.proof)).await;
    (!*renewed).then_some(outcome)
}

/// The same for files that were fetched: whether to ask the machine again.
pub(crate) async fn files_refused(
    core: &Core,
    flow: &mut Flow,
    (proof, event): (Option<&Proof>, &Event),
    renewed: &mut bool,
) -> bool {
    let refused = matches!(event, Event::FetchFailed(FetchFault::Answer { received, trusted: true, .. })
        if received.status == 401);
    *renewed = match proof {
        Some(proof) if refused && !*renewed => renew(core, flow, proof).await,
        _ => false,
    };
    *renewed
}

/// What proves the files of a step: all of them have the same token.
pub(crate) fn proof_of(files: &[FileTask]) -> Option<Proof> {
    files.iter().find_map(|file| match &file.source {
        FileSource::Request(request) if request.proof.token.is_some() => {
            Some(request.proof.clone())
        }
        FileSource::Request(_) | FileSource::Bytes(_) => None,
    })
}

/// A token was refused: whether another may be had. The machine asks for it then.
pub(crate) async fn renew(core: &Core, flow: &mut Flow, refused: &Proof) -> bool {
    if refused.fresh_until_ms.is_none() {
        return false;
    }
    let auth = refused.auth.as_deref();
    let Ok((slot, _)) = slot_of(core, flow, auth) else {
        return false;
    };
    let may = slot.held.lock().await.renew(refused, core.clock.now_ms());
    if may {
        tracing::info!(run.id = %flow.run_id(), "an access token was refused; another one is had");
        flow.forget_token(auth);
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;
    use diag::Secret;

    fn token(text: &str, fresh_until_ms: i64) -> Token {
        Token {
            secret: Secret::from(text.to_owned()),
            expires_at_ms: fresh_until_ms,
            fresh_until_ms,
        }
    }

    fn proof(text: &str) -> Proof {
        Proof {
            token: Some(Secret::from(text.to_owned())),
            fresh_until_ms: Some(1_000_000),
            ..Proof::default()
        }
    }

    #[test]
    fn a_refused_token_is_replaced_once_a_minute_and_a_newer_one_is_kept() {
        let mut held = Held::default();
        held.keep(Fingerprint::default(), &token("one", 1_000_000));
        assert!(held.renew(&proof("one"), 0));
        held.keep(Fingerprint::default(), &token("two", 1_000_000));
        // Of many runs that had the first one, the second throws nothing away.
        assert!(held.renew(&proof("one"), 10));
        assert!(held.fresh(Fingerprint::default(), 10).is_some());
        assert!(!held.renew(&proof("two"), 20), "the credential is wrong");
        assert!(held.fresh(Fingerprint::default(), 20).is_some());
        assert!(held.renew(&proof("two"), RENEWED_MS));
    }

    #[test]
    fn a_token_serves_until_shortly_before_its_end() {
        let mut held = Held::default();
        held.keep(Fingerprint::default(), &token("one", 1_000));
        let fresh = |now| held.fresh(Fingerprint::default(), now).is_some();
        assert_eq!((fresh(999), fresh(1_000)), (true, false));
        held.token = Some(Token {
            expires_at_ms: 7_000,
            ..token("one", 1_000)
        });
        let rest = |held: &mut Held, now| held.rest(now).map(|token| token.fresh_until_ms);
        assert_eq!(
            rest(&mut held, 1_000),
            Some(6_000),
            "nothing else is to be had"
        );
        assert_eq!(rest(&mut held, 6_500), Some(7_000));
        assert_eq!(rest(&mut held, 7_000), None);
    }
}
