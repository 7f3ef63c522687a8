//! Recorded cases: a run replayed against recorded answers, with virtual time
//! and no network. The format is in `profiles/CASES.md`.

use crate::auth::placeholders;
use crate::download::{check, no_file, unopened, wrapped};
use crate::egress::Allow;
use crate::fault::{Fault, Kind};
use crate::flow::{
    Action, ArtifactFacts, Ending, Event, FetchFault, FileSource, FileTask, Flow, Phase, Resume,
    Round, RunIdentity, Setting, Verdict,
};
use crate::http;
use crate::media::{Media, Medium, read_data_url};
use crate::plan::shown;
use crate::redirect;
use crate::request::{Drawn, Received, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use diag::Diagnostics;
use profile::call::Call;
use profile::case::{Case, CaseAnswer, CaseExchange};
use profile::catalogue::{Ask, Compiled, choose};
use profile::revision::Revision;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

mod compare;

pub use compare::Difference;
pub(crate) use compare::parts_of;

/// Steps after which a replay is taken to run in circles.
const STEPS_MAX: usize = 100_000;
/// No jitter: the middle of every wait.
const NO_JITTER: f64 = 0.5;
/// `run.id`, and the tokens of its attempts in the last digits.
const RUN_ID: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0000;

/// What a replay found. It holds when there is nothing.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which they were found.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether the case holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

/// What a run sends and comes to when it gets the answers of a case, whatever the case says of its requests.
#[derive(Debug, Default)]
pub(crate) struct Rehearsed {
    /// In the order in which they were sent, redirects too.
    pub(crate) requests: Vec<Request>,
    pub(crate) outcome: Outcome,
    /// Answers that nobody asked for, requests that nobody answers.
    pub(crate) differences: Vec<Difference>,
}

/// Plays a run against the answers of a case.
pub(crate) fn rehearse(case: &Case, catalogue: &Compiled) -> Rehearsed {
    let (mut found, mut requests) = (Vec::new(), Vec::new());
    let mut rest: VecDeque<(usize, &CaseExchange)> = case.exchanges.iter().enumerate().collect();
    let outcome = match prepare(case, catalogue) {
        Err(refused) => Outcome {
            refused: Some(refused),
            ..Outcome::default()
        },
        Ok(setting) => {
            let mut replay = Replay::new(case, setting, &mut rest, &mut found);
            replay.sent = Some(&mut requests);
            replay.run()
        }
    };
    found.extend(rest.into_iter().map(not_sent));
    Rehearsed {
        requests,
        outcome,
        differences: found,
    }
}

fn not_sent((i, exchange): (usize, &CaseExchange)) -> Difference {
    Difference::new(
        format!("/exchanges/{i}"),
        format!(
            "`{} {}` was not sent",
            exchange.request.method, exchange.request.url
        ),
    )
}

/// How a replayed run ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) ending: Option<Ending>,
    pub(crate) refused: Option<Diagnostics>,
    pub(crate) artifacts: Vec<ArtifactFacts>,
    pub(crate) overdue: bool,
    pub(crate) elapsed_ms: i64,
}

/// Replays a case against the rows beside it.
#[must_use]
pub fn replay(case: &Case, catalogue: &Compiled) -> Report {
    let mut found = Vec::new();
    let mut rest: VecDeque<(usize, &CaseExchange)> = case.exchanges.iter().enumerate().collect();
    let outcome = match prepare(case, catalogue) {
        Err(refused) => Outcome {
            refused: Some(refused),
            ..Outcome::default()
        },
        Ok(setting) => Replay::new(case, setting, &mut rest, &mut found).run(),
    };
    found.extend(rest.into_iter().map(not_sent));
    compare::outcome(&case.expect, &outcome, &mut found);
    Report { differences: found }
}

/// Chooses the profile and checks the call, as a run would.
fn prepare(case: &Case, catalogue: &Compiled) -> Result<Setting, Diagnostics> {
    let ask = Ask {
        purpose: case.input.purpose.clone(),
        provider: case.input.provider.clone(),
        model: case.input.model.clone(),
        profile_key: case.input.profile_key.clone(),
        ..Ask::default()
    };
    let revision = choose(catalogue, &ask)?.revision;
    if let Some(refused) = refused_today(&revision, case.at_ms) {
        return Err(Diagnostics(vec![refused]));
    }
    let media = media_of(&case.input.call);
    // Media that are not here are judged by their number alone.
    let mut facts = media.facts();
    facts.retain(|name, _| {
        media
            .0
            .get(name)
            .is_some_and(|list| list.iter().all(|medium| medium.bytes.is_some()))
    });
    let checked = revision.capabilities.check(&case.input.call, &facts)?;
    Ok(Setting {
        checked: Arc::new(checked),
        identity: RunIdentity {
            run_id: Uuid::from_u128(RUN_ID),
            token: attempt_token(1),
            callback_url: case.callback_url.clone(),
        },
        secrets: Arc::new(placeholders(&revision)),
        media: Arc::new(media),
        endpoint: None,
        allow: Allow::default(),
        phase_ms: 0,
        revision,
    })
}

fn refused_today(revision: &Revision, at_ms: i64) -> Option<diag::Diagnostic> {
    let today = time::OffsetDateTime::from_unix_timestamp(at_ms / 1_000)
        .ok()?
        .date();
    revision.capabilities.refuse_after_shutdown(today)
}

fn attempt_token(n: u128) -> Uuid {
    Uuid::from_u128(RUN_ID + n)
}

fn media_of(call: &Call) -> Media {
    let medium = |input: &profile::call::Input| {
        let data = input.data_url.as_deref().and_then(read_data_url);
        let (mime, bytes) = data.map_or((None, None), |(mime, bytes)| (Some(mime), Some(bytes)));
        Medium {
            bytes,
            mime,
            filename: input.filename.clone(),
            url: input.url.clone(),
            handle: input.handle.clone(),
        }
    };
    let list = |inputs: &Vec<profile::call::Input>| inputs.iter().map(medium).collect();
    Media(
        call.inputs
            .iter()
            .map(|(name, inputs)| (name.clone(), list(inputs)))
            .collect(),
    )
}

/// One replay on its way.
struct Replay<'a, 'c> {
    begun_ms: i64,
    now_ms: i64,
    setting: Setting,
    batched_with: &'c [String],
    rest: &'a mut VecDeque<(usize, &'c CaseExchange)>,
    found: &'a mut Vec<Difference>,
    attempts: u128,
    requests: u128,
    submitted: Option<Drawn>,
    deadline_ms: Option<i64>,
    artifacts: Vec<ArtifactFacts>,
    /// Rehearsed: what is sent is kept, and not compared.
    sent: Option<&'a mut Vec<Request>>,
}

impl<'a, 'c> Replay<'a, 'c> {
    fn new(
        case: &'c Case,
        setting: Setting,
        rest: &'a mut VecDeque<(usize, &'c CaseExchange)>,
        found: &'a mut Vec<Difference>,
    ) -> Self {
        Self {
            begun_ms: case.at_ms,
            now_ms: case.at_ms,
            batched_with: &case.batched_with,
            setting,
            rest,
            found,
            attempts: 0,
            requests: 0,
            submitted: None,
            deadline_ms: None,
            artifacts: Vec::new(),
            sent: None,
        }
    }

    fn run(mut self) -> Outcome {
        let mut flow = Flow::new(self.setting.clone());
        let ending = self.drive(&mut flow);
        let outcome = Outcome {
            overdue: self
                .deadline_ms
                .is_some_and(|deadline| self.now_ms >= deadline),
            elapsed_ms: self.now_ms - self.begun_ms,
            ..Outcome::default()
        };
        if matches!(ending, Some(Ending::Succeeded { .. })) {
            let resume = Resume {
                captured: Some(flow.captured()),
                ..Resume::default()
            };
            if let Ok(mut cleanup) = Flow::cleanup(self.setting.clone(), resume) {
                let _ = self.drive(&mut cleanup);
            }
        }
        Outcome {
            ending,
            artifacts: self.artifacts,
            ..outcome
        }
    }

    /// `None`: it could not be brought to an end.
    fn drive(&mut self, flow: &mut Flow) -> Option<Ending> {
        for _ in 0..STEPS_MAX {
            // As in a run: look-ups, polls and files belong to the attempt that was sent.
            flow.set_token(attempt_token(
                self.attempts + u128::from(flow.before_submit()),
            ));
            let drawn = Drawn {
                unix_ms: self.now_ms,
                // The uuids of request 1 end with 000100000001, 000100000002, …
                seed: Uuid::from_u128((self.requests + 1) << 32),
            };
            let event = match flow.next(self.now_ms, drawn) {
                Action::Ended(ending) => return Some(ending),
                Action::Wait { until_ms, .. } => {
                    self.now_ms = until_ms;
                    continue;
                }
                Action::Submit(request) => {
                    self.attempts += 1;
                    self.submitted = Some(request.drawn);
                    self.exchange(&request)?
                }
                Action::Replay => {
                    flow.set_token(attempt_token(self.attempts));
                    let request = flow.render_submit(self.submitted?).ok()?;
                    self.exchange(&request)?
                }
                Action::Exchange { phase, request } => {
                    if phase == Phase::Poll && self.round(flow, drawn)? {
                        continue;
                    }
                    self.exchange(&request)?
                }
                Action::Fetch { files, .. } => self.fetch(&files)?,
                // A replay has stand-ins, which do not end.
                Action::Token { .. } => Event::NoToken(Fault::new(
                    Kind::BadSecret,
                    "a recorded case has no access token",
                )),
            };
            self.tell(flow, event);
        }
        self.found.push(Difference::new(
            "/exchanges",
            "the run does not come to an end",
        ));
        None
    }

    /// Asks for the run's job and those it is batched with. Whether that said anything of it; `None`: there is no
    /// recorded answer.
    fn round(&mut self, flow: &mut Flow, drawn: Drawn) -> Option<bool> {
        if self.batched_with.is_empty() {
            return Some(false);
        }
        let own = flow.job_id().unwrap_or_default().to_owned();
        let others = self.batched_with.iter().map(String::as_str);
        let ids: Vec<&str> = std::iter::once(own.as_str()).chain(others).collect();
        let request = match flow.render_round(&ids, drawn) {
            Some(Ok(request)) => request,
            Some(Err(fault)) => {
                self.found
                    .push(Difference::new("/batched_with", fault.message));
                return None;
            }
            None => {
                let why = "the poll has no `batch`";
                self.found.push(Difference::new("/batched_with", why));
                return None;
            }
        };
        let round = Round::of(&request, &self.answer(&request)?);
        Some(flow.on_round(&round, self.now_ms, NO_JITTER).is_some())
    }

    fn tell(&mut self, flow: &mut Flow, event: Event) {
        let verdict = flow.on(event, self.now_ms, NO_JITTER);
        match verdict {
            Verdict::Candidates(ids) => self.tell(flow, Event::Candidates(ids)),
            Verdict::Accepted(accepted) => self.deadline_ms = Some(accepted.deadline_at_ms),
            _ => {}
        }
    }

    /// `None`: there is no recorded answer for it.
    fn exchange(&mut self, request: &Request) -> Option<Event> {
        Some(self.answer(request)?.into())
    }

    /// What comes of a request and of the redirects that follow it.
    fn answer(&mut self, request: &Request) -> Option<http::Outcome> {
        self.requests += 1;
        let mut answered = self.once(request)?;
        let mut at = Cow::Borrowed(request);
        for followed in 0.. {
            let http::Outcome::Answered(received) = &answered else {
                break;
            };
            let location = received.header("location");
            match redirect::next(&at, received.status, location, followed) {
                Ok(None) => break,
                Ok(Some(next)) => at = Cow::Owned(next),
                Err(outcome) => return Some(*outcome),
            }
            answered = self.once(&at)?;
        }
        Some(answered)
    }

    /// The next recorded answer; `None`: there is none.
    fn once(&mut self, request: &Request) -> Option<http::Outcome> {
        let Some((i, exchange)) = self.rest.pop_front() else {
            let sent = format!(
                "`{} {}` was sent, and no exchange is left for it",
                request.method, request.url
            );
            self.found.push(Difference::new("/exchanges", sent));
            return None;
        };
        let shown = shown(request.clone());
        match &mut self.sent {
            Some(sent) => sent.push(shown),
            None => compare::request(i, &exchange.request, &shown, self.found),
        }
        Some(match &exchange.answer {
            Some(answer) => http::Outcome::Answered(received(answer, request.trusted)),
            None => http::Outcome::Broken(cut()),
        })
    }

    fn fetch(&mut self, files: &[FileTask]) -> Option<Event> {
        let mut facts = Vec::with_capacity(files.len());
        for task in files {
            match self.file(task)? {
                Ok(fact) => facts.push(fact),
                Err(fault) => return Some(Event::FetchFailed(fault)),
            }
        }
        self.artifacts.retain(|have| {
            !facts
                .iter()
                .any(|fact| (&fact.name, fact.idx) == (&have.name, have.idx))
        });
        self.artifacts.extend(facts.iter().cloned());
        Some(Event::Fetched(facts))
    }

    fn file(&mut self, task: &FileTask) -> Option<Result<ArtifactFacts, FetchFault>> {
        let request = match &task.source {
            FileSource::Bytes(bytes) => {
                return Some(kept(task, None, bytes).map_err(FetchFault::Final));
            }
            FileSource::Request(request) => request,
        };
        let received = match self.answer(request)? {
            http::Outcome::Answered(received) => received,
            outcome => return Some(Err(unopened(outcome))),
        };
        let checked = if task.is_file(received.status) {
            kept(task, received.header("content-type"), &received.body)
        } else {
            Err(no_file(received.status))
        };
        Some(match checked {
            Ok(facts) => Ok(facts),
            Err(fault) => Err(FetchFault::Answer {
                trusted: received.trusted,
                received,
                fault,
            }),
        })
    }
}

fn received(answer: &CaseAnswer, trusted: bool) -> Received {
    Received {
        status: answer.status,
        headers: answer.headers.clone(),
        body: Bytes::from(answer.body.clone()),
        trusted,
    }
}

fn cut() -> Fault {
    Fault::new(
        Kind::Class(profile::revision::Class::Transient),
        "the connection was cut",
    )
}

/// What is stored of bytes that are a file.
fn kept(task: &FileTask, header: Option<&str>, bytes: &Bytes) -> Result<ArtifactFacts, Fault> {
    let content_type = check(task, header, bytes)?;
    Ok(match wrapped(task, header, bytes)? {
        Some((wrapped, content_type)) => facts(task, content_type, &wrapped),
        None => facts(task, content_type, bytes),
    })
}

fn facts(task: &FileTask, content_type: String, bytes: &Bytes) -> ArtifactFacts {
    let digest = Sha256::digest(bytes);
    let data_url = task
        .wants_data_url
        .then(|| format!("data:{content_type};base64,{}", STANDARD.encode(bytes)));
    ArtifactFacts {
        name: task.artifact.clone(),
        idx: task.idx,
        url: format!("artifact:{}/{}", task.artifact, task.idx),
        content_type,
        bytes: bytes.len() as u64,
        sha256: hex::encode(digest),
        filename: task.filename.clone(),
        data_url,
    }
}

#[cfg(test)]
mod tests;
