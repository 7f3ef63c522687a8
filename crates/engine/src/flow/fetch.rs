//! Downloads: which files there are, and what a file that does not come means.

use super::machine::{At, Flow, Moment, poll_of};
use super::record::Seen;
use super::{Action, ArtifactFacts, Ending, FetchFault, FileSource, FileTask, Phase, Verdict, Why};
use crate::answer::unread;
use crate::fault::{Fault, Kind};
use crate::media::{read_base64, read_data_url, read_hex};
use crate::output;
use crate::parts;
use crate::request::{Drawn, Received};
use crate::wait;
use bytes::Bytes;
use profile::lang::Path;
use profile::revision::{Class, Download, Expires, Fetch, Mode, Step};
use serde_json::Value;

/// How often an expired address makes us ask the poll for a new one.
const ASK_AGAIN_MAX: u32 = 2;

/// Where a file is, and what its answer says of its media type.
type Source = (FileSource, Option<String>);

/// One file, before it has a number.
struct Found {
    source: FileSource,
    mime: Option<String>,
}

impl Flow {
    pub(super) fn advance_download(
        &mut self,
        step: &Step,
        download: &Download,
        now_ms: i64,
        drawn: Drawn,
    ) -> Result<Option<Action>, Fault> {
        let reads_answer = reads_answer(download);
        let own = self
            .seen
            .iter()
            .any(|seen| seen.is_download && seen.step == step.name);
        if let (Some(exchange), true, false) = (&step.exchange, reads_answer, own) {
            return self.exchange(exchange, Phase::Download, drawn).map(Some);
        }
        let found = self.files(step, download, drawn)?;
        if found.is_empty() {
            if download.optional {
                self.leave(now_ms);
                return Ok(None);
            }
            return Err(no_file(&step.name));
        }
        let files = self.tasks(
            step,
            download,
            found,
            Drawn {
                unix_ms: now_ms,
                ..drawn
            },
        )?;
        let lacks = files.iter().find_map(|file| match &file.source {
            FileSource::Request(request) => Self::token_first(request, now_ms),
            FileSource::Bytes(_) => None,
        });
        Ok(Some(lacks.unwrap_or_else(|| Action::Fetch {
            step: step.name.clone(),
            files,
        })))
    }

    fn files(
        &mut self,
        step: &Step,
        download: &Download,
        drawn: Drawn,
    ) -> Result<Vec<Found>, Fault> {
        if let (Some(exchange), false) = (&step.exchange, reads_answer(download)) {
            return self.own_files(exchange, download, drawn);
        }
        let source = match (&step.exchange, &download.from) {
            (Some(_), _) => self.seen.iter().find(|seen| seen.step == step.name),
            (None, Some(from)) => self.seen.iter().find(|seen| seen.step == *from),
            (None, None) => self.last(),
        };
        let Some(seen) = source else {
            return Ok(Vec::new());
        };
        let mimes = download
            .mime
            .as_ref()
            .map(|path| path.all_text(seen.view()))
            .unwrap_or_default();
        let sources = match (&download.url, &download.value) {
            _ if download.part.is_some() => parts_of(seen, download)?,
            (Some(path), _) => {
                let addresses = path.listed_texts(seen.view());
                self.addressed(step, &addresses, &download.fetch, drawn)?
            }
            (None, Some(path)) => path
                .listed_texts(seen.view())
                .iter()
                .map(|text| decoded(text, download.mode))
                .collect::<Result<_, _>>()?,
            (None, None) => seen
                .all_received()
                .map(|received| body_of(received, download.mode))
                .collect::<Result<_, _>>()?,
        };
        let one = mimes.first().cloned();
        let with_mime = sources
            .into_iter()
            .enumerate()
            .map(|(i, (source, mime))| Found {
                source,
                mime: mimes.get(i).or(one.as_ref()).cloned().or(mime),
            });
        Ok(with_mime.collect())
    }

    /// The body of the step's own address is the file, one per item.
    fn own_files(
        &mut self,
        exchange: &profile::revision::Exchange,
        download: &Download,
        drawn: Drawn,
    ) -> Result<Vec<Found>, Fault> {
        let count = self.each.as_ref().map_or(1, |each| each.items.len());
        let mut found = Vec::with_capacity(count);
        for item in 0..count {
            if let Some(each) = &mut self.each {
                each.next = item;
            }
            let scope = self.scope(drawn);
            let request = self
                .site()?
                .renderer(&self.setting, &scope, drawn)
                .request(exchange, None)?;
            let mut request = request;
            request.max_bytes = download.max_bytes;
            found.push(Found {
                source: FileSource::Request(Box::new(request)),
                mime: None,
            });
        }
        if let Some(each) = &mut self.each {
            each.next = 0;
        }
        Ok(found)
    }

    fn addressed(
        &self,
        step: &Step,
        addresses: &[String],
        fetch: &Fetch,
        drawn: Drawn,
    ) -> Result<Vec<Source>, Fault> {
        let scope = self.scope(drawn);
        let renderer = self.site()?.renderer(&self.setting, &scope, drawn);
        let source = |address: &String| {
            if address
                .get(..5)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
            {
                let (mime, bytes) = read_data_url(address)
                    .ok_or_else(|| broken("a `data:` address cannot be read"))?;
                return Ok((FileSource::Bytes(bytes), Some(mime)));
            }
            let request = renderer.fetch(&step.name, address, fetch)?;
            Ok((FileSource::Request(Box::new(request)), None))
        };
        addresses.iter().map(source).collect()
    }

    fn tasks(
        &self,
        step: &Step,
        download: &Download,
        found: Vec<Found>,
        drawn: Drawn,
    ) -> Result<Vec<FileTask>, Fault> {
        let scope = self.scope(drawn);
        let content_type = match &download.content_type {
            Some(text) => text.eval_text(&scope).map_err(|error| unread(&error))?,
            None => None,
        };
        let revision = &self.setting.revision;
        let wants_data_url = output::wants_data_url(revision, &download.artifact);
        let expires_at_ms = self.expires_at_ms(step, download, drawn.unix_ms);
        let have = self
            .artifacts
            .iter()
            .filter(|artifact| artifact.name == download.artifact)
            .count();
        let task = |(i, found): (usize, Found)| FileTask {
            artifact: download.artifact.clone(),
            idx: u32::try_from(have + i).unwrap_or(u32::MAX),
            source: found.source,
            accept: download.accept.clone(),
            max_bytes: download.max_bytes,
            mime: found.mime,
            content_type: content_type.clone(),
            filename: None,
            wants_data_url,
            expires_at_ms,
            wrap: download.wrap,
            ok_status: ok_status(step, download).to_vec(),
        };
        Ok(found.into_iter().enumerate().map(task).collect())
    }

    fn expires_at_ms(&self, step: &Step, download: &Download, now_ms: i64) -> Option<i64> {
        match download.expires.as_ref()? {
            Expires::InMs(ms) => Some(wait::at(now_ms, *ms)),
            Expires::At(path) => {
                let own = self.seen.iter().find(|seen| seen.step == step.name);
                moment(&*path.first(own.or(self.last())?.view())?)
            }
        }
    }

    pub(super) fn on_fetched(&mut self, facts: Vec<ArtifactFacts>, moment: Moment) -> Verdict {
        if self.downloading().is_none() {
            return Verdict::Continue;
        }
        facts.into_iter().for_each(|fact| self.keep_file(fact));
        self.leave(moment.now_ms);
        Verdict::Continue
    }

    /// Whether the download at hand is the last step: what follows its files is the run's end.
    #[must_use]
    pub fn ends_after_this(&self) -> bool {
        let steps = self.setting.revision.workflow.steps.len();
        self.downloading().is_some_and(|i| i + 1 == steps)
    }

    /// Of a file of the last download another copy stands than was told: the end is assembled anew.
    pub fn stands_instead(&mut self, fact: ArtifactFacts) {
        self.keep_file(fact);
        if let At::Ended(Ending::Succeeded { .. } | Ending::Failed(_)) = self.at {
            self.at = At::Finish;
        }
    }

    fn keep_file(&mut self, fact: ArtifactFacts) {
        self.artifacts
            .retain(|have| (have.name.as_str(), have.idx) != (fact.name.as_str(), fact.idx));
        self.artifacts.push(fact);
    }

    fn downloading(&self) -> Option<usize> {
        let At::Step(i) = self.at else {
            return None;
        };
        let step = self.setting.revision.workflow.steps.get(i)?;
        matches!(step.action, profile::revision::Action::Download(_)).then_some(i)
    }

    pub(super) fn on_fetch_failed(&mut self, failed: FetchFault, moment: Moment) -> Verdict {
        let Some(i) = self.downloading() else {
            return Verdict::Continue;
        };
        match failed {
            FetchFault::Broken(fault) => self.repeat(fault, Some(Class::Transient), None, moment),
            FetchFault::Final(fault) => {
                let fault = self.in_words(i, fault);
                self.no_file(i, fault, moment)
            }
            FetchFault::Answer {
                received,
                trusted,
                fault,
            } => {
                self.trusted = trusted;
                self.on_file_answer(i, &received, fault, moment)
            }
        }
    }

    /// Bytes that are no file, where they are the whole of an answer that came
    /// before: it is read as an answer. Its class was judged when it came.
    fn in_words(&self, i: usize, fault: Fault) -> Fault {
        let step = self.setting.revision.workflow.steps.get(i);
        let from = step.and_then(|step| match &step.action {
            profile::revision::Action::Download(download) => {
                let whole = step.exchange.is_none()
                    && download.url.is_none()
                    && download.value.is_none()
                    && download.part.is_none()
                    && fault.kind == Kind::WrongContent;
                whole.then_some(download.from.as_deref())
            }
            _ => None,
        });
        let seen = match from {
            Some(Some(name)) => self.seen.iter().find(|seen| seen.step == name),
            Some(None) => self.last(),
            None => None,
        };
        match seen {
            Some(seen) => with_words(fault, &seen.answer, self),
            None => fault,
        }
    }

    /// The address of a file answered something else: it is read as an answer.
    fn on_file_answer(
        &mut self,
        i: usize,
        received: &Received,
        fault: Fault,
        moment: Moment,
    ) -> Verdict {
        let answer = received.read();
        let judged = {
            let scope = self.scope(moment.drawn());
            self.judge(&scope)
                .failure(answer.view(), &[], moment.now_ms)
        };
        let (said, hint_ms) = match judged {
            Err(fault) => return self.fail(fault),
            Ok(None) => return self.no_file(i, with_words(fault, &answer, self), moment),
            Ok(Some(failure)) => (failure.fault, failure.hint_ms),
        };
        if self.is_expired(i, received.status, said.class()) {
            return self.ask_again(i, said, moment);
        }
        match said.class() {
            class @ Some(
                Class::RateLimited
                | Class::Overloaded
                | Class::Transient
                | Class::UnknownOutcome
                | Class::Authentication
                | Class::Billing,
            ) => self.repeat(said, class, hint_ms, moment),
            _ => self.no_file(i, said, moment),
        }
    }

    /// A result address that answers 401, 403, 404 or 410 has expired; at an
    /// address of ours a refused key is a refused key.
    fn is_expired(&self, i: usize, status: u16, class: Option<Class>) -> bool {
        let step = self.setting.revision.workflow.steps.get(i);
        let answered = step.is_some_and(|step| match &step.action {
            profile::revision::Action::Download(download) => download.url.is_some(),
            _ => false,
        });
        class == Some(Class::NotFound) || answered && matches!(status, 401 | 403 | 404 | 410)
    }

    /// The nearest poll before is asked for a new address, twice.
    fn ask_again(&mut self, i: usize, said: Fault, moment: Moment) -> Verdict {
        let revision = self.revision();
        let steps = revision.workflow.steps.iter().enumerate().take(i);
        let poll = steps
            .filter(|(_, step)| poll_of(Some(step)).is_some())
            .map(|(at, _)| at)
            .next_back();
        match poll {
            Some(at) if self.asked_again < ASK_AGAIN_MAX => {
                self.asked_again += 1;
                self.forget_from(at);
                self.enter(at, moment.now_ms);
                let ms = wait::backoff(&revision.retry, self.asked_again - 1, moment.random);
                self.wait = Some((wait::at(moment.now_ms, ms), Why::Poll));
                Verdict::AskAgain
            }
            _ => self.no_file(
                i,
                Fault {
                    kind: Kind::Class(Class::Expired),
                    ..said
                },
                moment,
            ),
        }
    }

    /// Steps from there on run again: what they answered and made is made anew.
    fn forget_from(&mut self, at: usize) {
        let revision = self.revision();
        for step in revision.workflow.steps.iter().skip(at) {
            self.seen.retain(|seen| seen.step != step.name);
            if let profile::revision::Action::Download(download) = &step.action {
                self.artifacts
                    .retain(|artifact| artifact.name != download.artifact);
            }
        }
    }

    /// There is no file: a failure, unless the download is optional.
    fn no_file(&mut self, i: usize, fault: Fault, moment: Moment) -> Verdict {
        let step = self.revision();
        let optional = step
            .workflow
            .steps
            .get(i)
            .is_some_and(|step| match &step.action {
                profile::revision::Action::Download(download) => download.optional,
                _ => false,
            });
        if optional {
            self.leave(moment.now_ms);
            return Verdict::Continue;
        }
        self.fail(fault)
    }
}

/// The provider says success, and there is no file.
pub(super) fn no_file(step: &str) -> Fault {
    let message = format!("step `{step}`: the answer has no file where the profile looks for it");
    Fault::new(Kind::NoResult, message)
}

/// Of the request for the file: its own, or the step's.
fn ok_status<'a>(step: &'a Step, download: &'a Download) -> &'a [u16] {
    match &step.exchange {
        Some(exchange) if download.url.is_none() => &exchange.ok_status,
        _ => &download.fetch.ok_status,
    }
}

/// Whether the file is behind or inside an answer, rather than the body of one.
fn reads_answer(download: &Download) -> bool {
    download.url.is_some() || download.value.is_some() || download.part.is_some()
}

/// The parts of a multipart answer that have the download's name.
fn parts_of(seen: &Seen, download: &Download) -> Result<Vec<Source>, Fault> {
    let name = download.part.as_deref().unwrap_or_default();
    let source = |part: parts::Part| (FileSource::Bytes(part.bytes), part.content_type);
    let mut all = Vec::new();
    for received in seen.all_received() {
        let content_type = received.header("content-type").unwrap_or_default();
        let parts = parts::named(content_type, &received.body, name)?;
        all.extend(parts.into_iter().map(source));
    }
    Ok(all)
}

/// What is wrong with a file, and the words of the answer that came instead.
fn with_words(fault: Fault, answer: &profile::lang::Answer, flow: &Flow) -> Fault {
    let errors = &flow.setting.revision.errors;
    let view = answer.view();
    let json = view.json.is_some();
    let hidden = flow.hidden();
    let words = |path: &Path| path.first_text(view).map(|text| hidden.scrub(&text));
    let code = json.then(|| words(&errors.code)).flatten();
    let message = json.then(|| words(&errors.message)).flatten();
    fault.with_provider(view.status, code, message)
}

fn decoded(text: &str, mode: Mode) -> Result<Source, Fault> {
    let bytes = match mode {
        Mode::JsonHex => read_hex(text).ok_or_else(|| broken("the text is not hexadecimal"))?,
        Mode::Text => text.as_bytes().to_vec(),
        Mode::Json
        | Mode::JsonBase64
        | Mode::Binary
        | Mode::Multipart
        | Mode::Sse
        | Mode::Ndjson => {
            if let Some((mime, bytes)) = read_data_url(text) {
                return Ok((FileSource::Bytes(bytes), Some(mime)));
            }
            read_base64(text.as_bytes()).ok_or_else(|| broken("the text is not base64"))?
        }
    };
    Ok((FileSource::Bytes(bytes.into()), None))
}

fn body_of(received: &Received, mode: Mode) -> Result<Source, Fault> {
    let body: Bytes = received.body.clone();
    match mode {
        Mode::JsonBase64 | Mode::JsonHex => decoded(&String::from_utf8_lossy(&body), mode),
        Mode::Json | Mode::Binary | Mode::Text | Mode::Multipart | Mode::Sse | Mode::Ndjson => {
            let mime = received.header("content-type").map(str::to_owned);
            Ok((FileSource::Bytes(body), mime))
        }
    }
}

/// Unix seconds or milliseconds, or RFC 3339.
fn moment(value: &Value) -> Option<i64> {
    /// Seconds of the year 5138: what is larger counts milliseconds.
    const SECONDS_MAX: f64 = 1e11;
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => {
                let format = &time::format_description::well_known::Rfc3339;
                let at = time::OffsetDateTime::parse(text.trim(), format).ok()?;
                return i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok();
            }
        },
        _ => return None,
    };
    let ms = if number.abs() < SECONDS_MAX {
        number * 1_000.0
    } else {
        number
    };
    #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
    (ms.is_finite() && ms.abs() < 1e15).then_some(ms as i64)
}

fn broken(message: &str) -> Fault {
    Fault::new(Kind::BadFile, message)
}
