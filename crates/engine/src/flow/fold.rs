//! A run between two polls, as small as it can be: what it shares with others
//! is kept once, and what only its end reads is read again then.

use super::machine::{At, Cancel};
use super::record::{Record, Seen};
use super::{Flow, RunIdentity, Setting, Site, Why};
use crate::auth::Keyring;
use crate::egress::Author;
use crate::fault::{Fault, Kind};
use crate::media::Media;
use crate::request::{Drawn, Proof, Request};
use profile::call::Checked;
use profile::lang::Read;
use profile::revision::{Action as Does, Revision, Step};
use serde_json::Value;
use std::sync::Arc;

/// A call that is no longer than this as JSON stays with the run, in bytes.
const CALL_MAX: usize = 512;

/// What the waiting runs of one revision and credential have in common.
#[derive(Debug)]
pub struct Ground {
    /// Of any of the runs; its call, media and identity are not read.
    setting: Setting,
    site: Result<Arc<Site>, Fault>,
    steps: Vec<Waits>,
}

/// What waiting at a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Its exchange or its judgement reads what the caller gave.
    WithCall,
    /// All that it reads is captured or the same for all runs.
    WithoutCall,
    /// It is no poll, or what follows it may begin within one decision.
    Whole,
}

/// A run that waits for its next poll. There are a hundred thousand of them: `SIZE_MAX`.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// `run_states.captured` as text, and behind it the call, where that is kept: one allocation for both.
    texts: Box<str>,
    captured_len: u32,
    until_ms: Time,
    accepted_at_ms: Time,
    hinted_at_ms: Time,
    tries: u32,
    asked_again: u32,
    step: u16,
    why: Why,
    cancel: Cancel,
}

/// Milliseconds since 1970, or never: half the size of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time(i64);

impl From<Option<i64>> for Time {
    fn from(at_ms: Option<i64>) -> Self {
        Self(at_ms.unwrap_or(i64::MIN))
    }
}

impl Time {
    fn get(self) -> Option<i64> {
        (self.0 != i64::MIN).then_some(self.0)
    }
}

/// Bytes of a folded run beside its texts.
const SIZE_MAX: usize = 64;
const _: () = assert!(size_of::<Folded>() <= SIZE_MAX);

impl Ground {
    /// What the runs of `setting`'s revision and credential share.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        let steps = &setting.revision.workflow.steps;
        Self {
            site: Site::of(&setting).map(Arc::new),
            steps: steps.iter().map(|s| waits(&setting.revision, s)).collect(),
            setting,
        }
    }

    /// The run's own values over what it shares.
    #[must_use]
    pub fn setting(
        &self,
        checked: Arc<Checked>,
        media: Arc<Media>,
        identity: RunIdentity,
    ) -> Setting {
        Setting {
            checked,
            media,
            identity,
            ..self.setting.clone()
        }
    }

    /// Of the credential.
    #[must_use]
    pub fn secrets(&self) -> &Keyring {
        &self.setting.secrets
    }

    /// Where a row's own address may be, such as that of a set of keys; its request is made by [`Ground::get`].
    fn policy(&self) -> Result<Arc<crate::egress::Policy>, Fault> {
        let site = self.site.as_ref().map_err(Clone::clone)?;
        Ok(Arc::clone(&site.policy))
    }

    /// A request for a document at an address that a row writes, without credentials: of at most 256 KiB, within ten seconds.
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `EgressRefused`: the row's address may not be asked.
    pub fn get(&self, address: &str, drawn: Drawn) -> Result<Request, Fault> {
        let url = crate::render::parse(address)?;
        let policy = self.policy()?;
        policy.check(&url, Author::Row)?;
        Ok(Request {
            step: "webhook".into(),
            method: "GET".into(),
            url,
            headers: vec![("Accept".into(), "application/json".into())],
            body: None,
            timeout_ms: 10_000,
            max_bytes: 256 * 1024,
            submit: false,
            trusted: false,
            policy,
            proof: Proof::default(),
            drawn,
        })
    }

    /// What it runs.
    #[must_use]
    pub fn revision(&self) -> &Arc<Revision> {
        &self.setting.revision
    }

    /// Scheme, host and port of the base URL; empty when there is none.
    #[must_use]
    pub fn origin(&self) -> String {
        let site = self.site.as_ref().ok();
        site.map_or_else(String::new, |site| site.base.origin().ascii_serialization())
    }
}

impl Flow {
    /// Makes it small while it waits for a poll.
    ///
    /// # Errors
    ///
    /// The flow itself, where it holds more than a poll needs: an answer that later steps read, a file on its way.
    pub fn fold(self, ground: &Ground) -> Result<Folded, Box<Self>> {
        let At::Step(i) = &self.at else {
            return Err(Box::new(self));
        };
        let waits = ground.steps.get(*i).copied().unwrap_or(Waits::Whole);
        let step = u16::try_from(*i).ok();
        let (Some(step), true) = (step, waits != Waits::Whole && self.holds_little()) else {
            return Err(Box::new(self));
        };
        let call = self.call_text();
        let call = match waits {
            Waits::WithoutCall => call.filter(|text| text.len() <= CALL_MAX),
            Waits::WithCall | Waits::Whole if call.is_none() => return Err(Box::new(self)),
            Waits::WithCall | Waits::Whole => call,
        };
        let mut texts = self.record.to_text();
        let Ok(captured_len) = u32::try_from(texts.len()) else {
            return Err(Box::new(self));
        };
        texts.push_str(&call.unwrap_or_default());
        let (until_ms, why) = self.wait.unzip();
        Ok(Folded {
            texts: texts.into(),
            captured_len,
            until_ms: until_ms.into(),
            accepted_at_ms: self.accepted_at_ms.into(),
            hinted_at_ms: self.hinted_at_ms.into(),
            tries: self.tries,
            asked_again: self.asked_again,
            step,
            why: why.unwrap_or(Why::Poll),
            cancel: self.cancel,
        })
    }

    /// The run again, as it was folded. Before anything but a poll it may have to be given its call: [`Flow::lacks_call`].
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `BadRecord`: what was folded is not ours.
    pub fn unfold(ground: &Ground, identity: RunIdentity, folded: &Folded) -> Result<Self, Fault> {
        let (captured, call_text) = folded.texts();
        let captured = serde_json::from_str(captured).map_err(|_| unreadable())?;
        let record = Record::of(captured)?;
        let call = match call_text {
            Some(text) => serde_json::from_str(text).map_err(|_| unreadable())?,
            None => profile::call::Call::default(),
        };
        let checked = Arc::new(Checked { call });
        let setting = ground.setting(checked, Arc::default(), identity);
        let at = At::Step(usize::from(folded.step));
        let mut flow = Self::start_at(setting, ground.site.clone(), record, at);
        if let Some(received) = flow.record.answer.clone() {
            flow.seen.push(Seen::new("submit", received));
        }
        flow.wait = folded.due_ms().map(|until_ms| (until_ms, folded.why));
        flow.tries = folded.tries;
        flow.asked_again = folded.asked_again;
        flow.accepted_at_ms = folded.accepted_at_ms.get();
        flow.hinted_at_ms = folded.hinted_at_ms.get();
        flow.cancel = folded.cancel;
        flow.lacks_call = call_text.is_none();
        Ok(flow)
    }

    /// When the provider accepted the job, milliseconds since 1970.
    #[must_use]
    pub fn accepted_at_ms(&self) -> Option<i64> {
        self.accepted_at_ms
    }

    /// Before which nothing is done, milliseconds since 1970; absent: at once.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        self.wait.map(|(until_ms, _)| until_ms)
    }

    /// Whether what comes next may read the caller's values, which were not kept: [`Flow::give_call`] first.
    #[must_use]
    pub fn lacks_call(&self) -> bool {
        let polls = match &self.at {
            At::Step(i) => super::machine::poll_of(self.setting.revision.workflow.steps.get(*i)),
            At::Ended(_) => return false,
            _ => None,
        };
        self.lacks_call && polls.is_none()
    }

    /// What the caller gave, read again.
    pub fn give_call(&mut self, checked: Arc<Checked>, media: Arc<Media>) {
        (self.setting.checked, self.setting.media) = (checked, media);
        self.values = super::Values::of(&self.setting);
        self.lacks_call = false;
    }

    /// Nothing but what the record has: what a later step reads of earlier answers is in memory alone.
    fn holds_little(&self) -> bool {
        self.each.is_none()
            && self.artifacts.is_empty()
            && !self.in_flight
            && !self.record.answer_is_large()
            && self.seen.iter().all(|seen| seen.step == "submit")
    }

    /// The call as JSON; absent when it has media, or is not here.
    fn call_text(&self) -> Option<String> {
        let here = !self.lacks_call && self.setting.media.0.is_empty();
        here.then(|| serde_json::to_string(&self.setting.checked.call).ok())?
    }
}

impl Folded {
    pub(super) fn step(&self) -> u16 {
        self.step
    }

    /// When it is due, milliseconds since 1970; absent: at once.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        self.until_ms.get()
    }

    /// Bytes that it holds, beside its own size.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.texts.len()
    }

    /// What was captured, for `run_states.captured`; null, where it cannot be read.
    #[must_use]
    pub fn captured(&self) -> Value {
        serde_json::from_str(self.texts().0).unwrap_or_default()
    }

    /// When the provider accepted the job, milliseconds since 1970.
    #[must_use]
    pub fn accepted_at_ms(&self) -> Option<i64> {
        self.accepted_at_ms.get()
    }

    /// What was captured, and the call where that was kept.
    fn texts(&self) -> (&str, Option<&str>) {
        let at = usize::try_from(self.captured_len).unwrap_or(usize::MAX);
        let (captured, call) = self.texts.split_at_checked(at).unwrap_or((&self.texts, ""));
        (captured, (!call.is_empty()).then_some(call))
    }
}

fn unreadable() -> Fault {
    Fault::new(
        Kind::BadRecord,
        "what was kept of the waiting run cannot be read",
    )
}

/// A poll with a condition of its own may be passed by, and what follows begins in the same decision.
fn waits(revision: &Revision, step: &Step) -> Waits {
    let Does::Poll(poll) = &step.action else {
        return Waits::Whole;
    };
    if step.when.is_some() || step.each.is_some() {
        return Waits::Whole;
    }
    let mut reads_call = false;
    let vars = &revision.vars;
    let mut see = |read: Read<'_>| reads_call |= read.name.root.is_of_the_call();
    let exchange = step.exchange.iter();
    exchange.for_each(|one| one.reads(vars, &mut see));
    poll.judgement_reads(vars, &mut see);
    revision.errors.reads(vars, &mut see);
    let webhook = revision.webhook.iter();
    webhook.for_each(|one| one.reads(vars, &mut see));
    if reads_call {
        Waits::WithCall
    } else {
        Waits::WithoutCall
    }
}
