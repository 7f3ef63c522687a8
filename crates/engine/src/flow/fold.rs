//! A run between two polls, as small as it can be: what it shares with others
//! is kept once, and what only its end reads is read again then.

use super::machine::{At, Cancel};
use super::record::{Record, Seen, Texts, bare, whole};
use super::{Flow, RunIdentity, Setting, Site, Why};
use crate::auth::Keyring;
use crate::egress::Author;
use crate::fault::{Fault, Kind};
use crate::media::Media;
use crate::request::{Drawn, Proof, Request};
use profile::call::{Call, Checked};
use profile::lang::{Read, Root};
use profile::revision::{Action as Does, Revision, Step};
use serde_json::Value;
use std::sync::Arc;

/// A call that is no longer than this as text stays with the run, in bytes.
const CALL_MAX: usize = 512;

/// What the waiting runs of one revision and credential have in common.
#[derive(Debug)]
pub struct Ground {
    /// Of any of the runs; its call, media and identity are not read.
    setting: Setting,
    site: Result<Arc<Site>, Fault>,
    steps: Vec<Needs>,
}

/// What a waiting run needs at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    waits: Waits,
    /// Whether anything there reads what steps captured.
    reads_steps: bool,
}

impl Needs {
    const WHOLE: Self = Self {
        waits: Waits::Whole,
        reads_steps: true,
    };
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
    /// The texts of the record, and behind them the call, where that is kept: one allocation for all.
    texts: Box<str>,
    cuts: Cuts,
    until_ms: Time,
    accepted_at_ms: Time,
    hinted_at_ms: Time,
    tries: u32,
    asked_again: u32,
    step: u16,
    why: Why,
    cancel: Cancel,
}

/// Where the texts of a record end that stand in one, and what of it is no text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cuts {
    rest_len: u32,
    steps_len: u32,
    job_len: u16,
    word_len: u8,
    prepared: bool,
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
            steps: steps.iter().map(|s| needs(&setting.revision, s)).collect(),
            setting,
        }
    }

    fn needs(&self, step: usize) -> Needs {
        self.steps.get(step).copied().unwrap_or(Needs::WHOLE)
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
            kept: false,
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
    pub fn fold(mut self, ground: &Ground) -> Result<Folded, Box<Self>> {
        let At::Step(i) = &self.at else {
            return Err(Box::new(self));
        };
        let waits = ground.needs(*i).waits;
        let step = u16::try_from(*i).ok();
        let (Some(step), true) = (step, waits != Waits::Whole && self.holds_little()) else {
            return Err(Box::new(self));
        };
        let call = self.kept_call.take().or_else(|| self.call_text());
        let call = match waits {
            Waits::WithoutCall => call.filter(|text| text.len() <= CALL_MAX),
            Waits::WithCall | Waits::Whole if call.is_none() => return Err(Box::new(self)),
            Waits::WithCall | Waits::Whole => call,
        };
        let Some((texts, cuts)) = joined(&self.record.fold(), call.as_deref()) else {
            return Err(Box::new(self));
        };
        let (until_ms, why) = self.wait.unzip();
        Ok(Folded {
            texts,
            cuts,
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
        let (texts, call) = folded.texts();
        let record = Record::unfold(&texts)?;
        let (step, lacks_call) = (usize::from(folded.step), call.is_none());
        let needs = ground.needs(step);
        let (call, kept) = match call {
            Some(text) if needs.waits == Waits::WithoutCall => (Call::default(), Some(text.into())),
            Some(text) => (read_call(text)?, None),
            None => (Call::default(), None),
        };
        let checked = Arc::new(Checked { call });
        let setting = ground.setting(checked, Arc::default(), identity);
        let at = At::Step(step);
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
        flow.lacks_call = lacks_call;
        flow.kept_call = kept;
        flow.spares_steps = (!needs.reads_steps).then_some(step);
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
        self.lacks_call && self.may_read_call()
    }

    /// Whether what comes next may read the caller's values: a poll that was folded without them does not.
    fn may_read_call(&self) -> bool {
        match &self.at {
            At::Step(i) => {
                let step = self.setting.revision.workflow.steps.get(*i);
                super::machine::poll_of(step).is_none()
            }
            At::Ended(_) => false,
            _ => true,
        }
    }

    /// Reads the call that was kept as text, once what comes next may read it.
    pub(super) fn read_kept_call(&mut self) -> Result<(), Fault> {
        if self.may_read_call()
            && let Some(text) = self.kept_call.take()
        {
            let call = read_call(&text)?;
            self.give_call(Arc::new(Checked { call }), Arc::default());
        }
        Ok(())
    }

    /// What the caller gave, read again.
    pub fn give_call(&mut self, checked: Arc<Checked>, media: Arc<Media>) {
        (self.setting.checked, self.setting.media) = (checked, media);
        self.values = super::Values::of(&self.setting);
        (self.lacks_call, self.kept_call) = (false, None);
    }

    /// Nothing but what the record has: what a later step reads of earlier answers is in memory alone.
    fn holds_little(&self) -> bool {
        self.each.is_none()
            && self.artifacts.is_empty()
            && !self.in_flight
            && !self.record.answer_is_large()
            && self.seen.iter().all(|seen| seen.step == "submit")
    }

    /// The call, [`bare`]; absent when it has media, or is not here.
    fn call_text(&self) -> Option<Box<str>> {
        let here = !self.lacks_call && self.setting.media.0.is_empty();
        let text = here.then(|| serde_json::to_string(&self.setting.checked.call).ok())?;
        text.map(|text| bare(&text).into())
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
        let record = Record::unfold(&self.texts().0);
        record.map(|record| record.to_json()).unwrap_or_default()
    }

    /// When the provider accepted the job, milliseconds since 1970.
    #[must_use]
    pub fn accepted_at_ms(&self) -> Option<i64> {
        self.accepted_at_ms.get()
    }

    /// The record's, and the call.
    fn texts(&self) -> (Texts<'_>, Option<&str>) {
        let at = |len: u32| usize::try_from(len).unwrap_or(usize::MAX);
        let (job, more) = cut(&self.texts, self.cuts.job_len.into());
        let (word, more) = cut(more, self.cuts.word_len.into());
        let (rest, more) = cut(more, at(self.cuts.rest_len));
        let (steps, call) = cut(more, at(self.cuts.steps_len));
        let texts = Texts {
            job,
            word,
            rest: rest.into(),
            steps: steps.into(),
            prepared: self.cuts.prepared,
        };
        (texts, (!call.is_empty()).then_some(call))
    }
}

/// All texts in one; absent where one of them is longer than can be said.
fn joined(record: &Texts<'_>, call: Option<&str>) -> Option<(Box<str>, Cuts)> {
    let cuts = Cuts {
        rest_len: record.rest.len().try_into().ok()?,
        steps_len: record.steps.len().try_into().ok()?,
        job_len: record.job.len().try_into().ok()?,
        word_len: record.word.len().try_into().ok()?,
        prepared: record.prepared,
    };
    let call = call.unwrap_or_default();
    let texts = [record.job, record.word, &*record.rest, &*record.steps, call].concat();
    Some((texts.into(), cuts))
}

fn cut(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn read_call(text: &str) -> Result<Call, Fault> {
    serde_json::from_str(&whole(text)).map_err(|_| unreadable())
}

fn unreadable() -> Fault {
    Fault::new(
        Kind::BadRecord,
        "what was kept of the waiting run cannot be read",
    )
}

/// A poll with a condition of its own may be passed by, and what follows begins in the same decision.
fn needs(revision: &Revision, step: &Step) -> Needs {
    let Does::Poll(poll) = &step.action else {
        return Needs::WHOLE;
    };
    if step.when.is_some() || step.each.is_some() {
        return Needs::WHOLE;
    }
    let (mut reads_call, mut reads_steps) = (false, false);
    let vars = &revision.vars;
    let mut see = |read: Read<'_>| {
        reads_call |= read.name.root.is_of_the_call();
        reads_steps |= read.name.root == Root::Steps;
    };
    let exchange = step.exchange.iter();
    exchange.for_each(|one| one.reads(vars, &mut see));
    poll.judgement_reads(vars, &mut see);
    revision.errors.reads(vars, &mut see);
    let webhook = revision.webhook.iter();
    webhook.for_each(|one| one.reads(vars, &mut see));
    let waits = match reads_call {
        true => Waits::WithCall,
        false => Waits::WithoutCall,
    };
    Needs { waits, reads_steps }
}
