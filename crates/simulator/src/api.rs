//! The videos API itself: what each request is answered when nothing goes wrong on purpose.

use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use bytes::Bytes;
use serde_json::json;

use crate::answer::{Answer, Payload};
use crate::config::{Failure, JobPlan};
use crate::content;
use crate::jobs::{Job, Jobs, Order, Stage};
use crate::order::{order, remix_prompt};
use crate::read::{Head, ReadBody};
use crate::rule::{JobPatch, Operation};
use crate::sim::Sim;
use crate::wire::{ErrorKind, Refusal};

/// One request, with what the script says about the job it may create.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) head: &'a Head,
    pub(crate) body: &'a ReadBody,
    pub(crate) tag: Option<String>,
    pub(crate) patches: &'a [JobPatch],
}

type Verdict = Result<Answer, Refusal>;

impl Sim {
    /// Does what is asked, at once.
    pub(crate) fn act(&self, call: &Call<'_>) -> Answer {
        let verdict = self
            .authorize(call.head)
            .and_then(|()| match call.head.operation {
                Operation::Create => self.create(call),
                Operation::Remix => self.remix(call),
                Operation::Retrieve => self.retrieve(call),
                Operation::List => self.list(call),
                Operation::Delete => self.delete(call),
                Operation::Content => self.content(call),
                Operation::File => self.file(call),
                Operation::Unknown => {
                    let asked = format!("{} {}", call.head.method, call.head.path);
                    Err(Refusal::new(ErrorKind::UnknownUrl).value(asked))
                }
            });
        verdict.unwrap_or_else(|refusal| self.wire.refuse(&refusal))
    }

    fn authorize(&self, head: &Head) -> Result<(), Refusal> {
        let given = head.header(AUTHORIZATION.as_str());
        if head.operation == Operation::File {
            return given.map_or(Ok(()), |_| Err(Refusal::new(ErrorKind::SignedAndKeyed)));
        }
        let key = given
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if key.is_empty() {
            return Err(Refusal::new(ErrorKind::NoKey));
        }
        let keys = &self.config.keys;
        if keys.is_empty() || keys.iter().any(|known| known.expose() == key) {
            return Ok(());
        }
        Err(Refusal::new(ErrorKind::WrongKey).value(masked(key)))
    }

    fn create(&self, call: &Call<'_>) -> Verdict {
        self.check_content_type(call, &self.wire.content_types)?;
        let order = order(&self.wire, call.body)?;
        self.accept(call, order, None)
    }

    fn remix(&self, call: &Call<'_>) -> Verdict {
        self.check_content_type(call, &["application/json".to_owned()])?;
        let prompt = remix_prompt(&self.wire, call.body)?;
        let source = self.with_job(call, |job, now| match job.stage(now) {
            Stage::Completed => Ok(job.clone()),
            _ => Err(Refusal::new(ErrorKind::NotRemixable).value(job.id.clone())),
        })?;
        self.accept(
            call,
            Order {
                prompt,
                ..source.order
            },
            Some(source.id),
        )
    }

    fn check_content_type(&self, call: &Call<'_>, allowed: &[String]) -> Result<(), Refusal> {
        let given = call.head.content_type();
        if allowed.contains(&given) {
            return Ok(());
        }
        Err(Refusal::new(ErrorKind::ContentType).value(given))
    }

    fn accept(&self, call: &Call<'_>, order: Order, remixed_from: Option<String>) -> Verdict {
        let prompt = order.prompt.to_lowercase();
        let found = |words: &[String]| {
            words
                .iter()
                .find(|word| prompt.contains(&word.to_lowercase()))
                .cloned()
        };
        if let Some(word) = found(&self.config.policy.refuse) {
            return Err(Refusal::new(ErrorKind::ContentPolicy)
                .param("prompt")
                .value(word));
        }
        let fails = found(&self.config.policy.fail).is_some();
        let key = self
            .config
            .idempotency_header
            .as_deref()
            .and_then(|name| call.head.header(name));
        let now = self.clock.now_ms();
        let mut state = self.state();
        let known = key.and_then(|key| state.jobs.accepted_for(key)).cloned();
        let fresh = known.is_none();
        let job = known.unwrap_or_else(|| {
            let job = self.new_job(call, order, fails, remixed_from);
            state.jobs.add(job, key.map(str::to_owned))
        });
        drop(state);
        let mut answer = self.video(&job, call.head, now);
        answer.job = Some(crate::answer::Accepted { id: job.id, fresh });
        Ok(answer)
    }

    fn new_job(
        &self,
        call: &Call<'_>,
        order: Order,
        fails: bool,
        remixed_from: Option<String>,
    ) -> Job {
        let mut plan = self.config.jobs.clone();
        if fails {
            plan.fails = Some(self.policy_failure());
        }
        call.patches.iter().for_each(|patch| patch.apply(&mut plan));
        if plan.callback_before_answer {
            plan = JobPlan {
                queue_ms: 0,
                run_ms: 0,
                ..plan
            };
        }
        let token = self.token();
        let (id, signature) = token.split_at(token.len() / 2);
        Job {
            id: format!("{}{id}", self.wire.id_prefix),
            ordinal: 0,
            accepted_ms: self.clock.now_ms(),
            plan,
            order,
            tag: call.tag.clone(),
            remixed_from,
            deleted: false,
            downloads: 0,
            signature: signature.to_owned(),
        }
    }

    fn policy_failure(&self) -> Failure {
        let shape = self.wire.shape(ErrorKind::FailedPolicy);
        Failure {
            code: shape.code.unwrap_or_default(),
            message: shape.message,
            at_progress: 50,
        }
    }

    fn retrieve(&self, call: &Call<'_>) -> Verdict {
        self.with_job(call, |job, now| Ok(self.video(job, call.head, now)))
    }

    fn video(&self, job: &Job, head: &Head, now_ms: u64) -> Answer {
        let object = job.object(&self.wire, now_ms, &self.origin(head));
        let answer = Answer::json(StatusCode::OK, &object);
        match (&self.wire.headers.poll_after_ms, job.plan.poll_after_ms) {
            (Some(name), Some(ms)) => answer.header(name, &ms.to_string()),
            _ => answer,
        }
    }

    fn list(&self, call: &Call<'_>) -> Verdict {
        let page = Page::read(call.head.query.as_deref().unwrap_or_default())?;
        let now = self.clock.now_ms();
        let origin = self.origin(call.head);
        let state = self.state();
        let shown = page.select(&state.jobs, now)?;
        let has_more = shown.len() > page.limit;
        let data: Vec<_> = shown
            .iter()
            .take(page.limit)
            .map(|job| job.object(&self.wire, now, &origin))
            .collect();
        let id =
            |video: Option<&serde_json::Value>| video.and_then(|video| video.get("id")).cloned();
        let body = json!({
            "object": "list", "first_id": id(data.first()), "last_id": id(data.last()), "has_more": has_more,
            "data": data,
        });
        Ok(Answer::json(StatusCode::OK, &body))
    }

    fn delete(&self, call: &Call<'_>) -> Verdict {
        let id = self.with_job(call, |job, now| match job.stage(now) {
            stage if stage.ended() => {
                job.deleted = true;
                Ok(job.id.clone())
            }
            _ => Err(Refusal::new(ErrorKind::StillRunning).value(job.id.clone())),
        })?;
        Ok(Answer::json(
            StatusCode::OK,
            &json!({"id": id, "object": "video.deleted", "deleted": true}),
        ))
    }

    fn content(&self, call: &Call<'_>) -> Verdict {
        let query = call.head.query.as_deref().unwrap_or_default();
        let mut variant = "video".to_owned();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name != "variant" {
                return Err(Refusal::new(ErrorKind::UnknownParameter).param(&name));
            }
            variant = value.into_owned();
        }
        if !self.wire.variants.contains(&variant) {
            let refusal = Refusal::new(ErrorKind::WrongValue)
                .param("variant")
                .value(variant);
            return Err(refusal.expected(self.wire.variants.join(", ")));
        }
        self.with_job(call, |job, now| fetch(job, now, &variant))
    }

    fn file(&self, call: &Call<'_>) -> Verdict {
        let asked = call.head.signature.as_deref().unwrap_or_default();
        self.with_job(call, |job, now| match asked.strip_suffix(".mp4") {
            Some(signature) if signature == job.signature => fetch(job, now, "video"),
            _ => Err(Refusal::new(ErrorKind::NotFound).value(job.id.clone())),
        })
    }

    /// Looks up the job a request names and gives it to `work`, with the time.
    fn with_job<T>(
        &self,
        call: &Call<'_>,
        work: impl FnOnce(&mut Job, u64) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let id = call.head.id.as_deref().unwrap_or_default();
        let now = self.clock.now_ms();
        let mut state = self.state();
        match state.jobs.get_mut(id).filter(|job| job.retrievable(now)) {
            Some(job) => work(job, now),
            None => Err(Refusal::new(ErrorKind::NotFound).value(id)),
        }
    }
}

fn fetch(job: &mut Job, now_ms: u64, variant: &str) -> Verdict {
    if job.stage(now_ms) != Stage::Completed {
        return Err(Refusal::new(ErrorKind::NotReady).value(job.id.clone()));
    }
    if job.expired(now_ms) {
        return Err(Refusal::new(ErrorKind::Expired).value(job.id.clone()));
    }
    Ok(match variant {
        "thumbnail" => Answer::new(
            StatusCode::OK,
            "image/webp",
            Bytes::from_static(content::THUMBNAIL),
        ),
        "spritesheet" => Answer::new(
            StatusCode::OK,
            "image/jpeg",
            Bytes::from_static(content::SPRITESHEET),
        ),
        _ => {
            job.downloads += 1;
            let mut answer = Answer::new(
                StatusCode::OK,
                "video/mp4",
                Bytes::from_static(content::CLIP),
            );
            match job.plan.content_bytes {
                Some(len) => answer.body = Payload::Generated(len),
                None if job.plan.changing_content => {
                    answer.body = Payload::Whole(content::numbered(job.downloads))
                }
                None => {}
            }
            answer
        }
    })
}

/// Which part of the list is asked for.
#[derive(Debug)]
struct Page {
    limit: usize,
    after: Option<String>,
    newest_first: bool,
}

impl Page {
    fn read(query: &str) -> Result<Self, Refusal> {
        let mut page = Self {
            limit: 20,
            after: None,
            newest_first: true,
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let wrong = |expected: &str| {
                Refusal::new(ErrorKind::WrongValue)
                    .param(&name)
                    .value(&*value)
                    .expected(expected)
            };
            match &*name {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=100).contains(limit));
                    page.limit = limit.ok_or_else(|| wrong("1 to 100"))?;
                }
                "after" => page.after = Some(value.into_owned()),
                "order" => match &*value {
                    "asc" => page.newest_first = false,
                    "desc" => page.newest_first = true,
                    _ => return Err(wrong("'asc', 'desc'")),
                },
                _ => return Err(Refusal::new(ErrorKind::UnknownParameter).param(&name)),
            }
        }
        Ok(page)
    }

    /// One more than the page holds, when there are more.
    fn select<'a>(&self, jobs: &'a Jobs, now_ms: u64) -> Result<Vec<&'a Job>, Refusal> {
        let after = match &self.after {
            None => None,
            Some(id) => match jobs.get(id) {
                Some(job) => Some(job.ordinal),
                None => {
                    return Err(Refusal::new(ErrorKind::NotFound)
                        .param("after")
                        .value(id.as_str()));
                }
            },
        };
        let listed = jobs.iter().filter(|job| job.listed(now_ms));
        let beyond = |job: &&Job| match after {
            None => true,
            Some(after) if self.newest_first => job.ordinal < after,
            Some(after) => job.ordinal > after,
        };
        Ok(if self.newest_first {
            listed.rev().filter(beyond).take(self.limit + 1).collect()
        } else {
            listed.filter(beyond).take(self.limit + 1).collect()
        })
    }
}

fn masked(key: &str) -> String {
    let shown = key.char_indices().rev().nth(3).filter(|(at, _)| *at >= 8);
    format!(
        "***{}",
        shown.and_then(|(at, _)| key.get(at..)).unwrap_or_default()
    )
}
