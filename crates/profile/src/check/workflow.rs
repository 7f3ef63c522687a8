//! `workflow`: the steps around the submit (section 6).

mod download;
mod job;
mod place;

pub(crate) use download::{artifact_name, implied_download, no_text, parts_are_read};
pub(crate) use job::{Job, comes_to_something, job, keeps_nothing};

use super::bounds;
use super::context::Context;
use super::exchange::{Role, exchange, has_address};
use super::layers::Layers;
use super::response::step_captures;
use super::walk::{Fields, Sink, wrong_type};
use super::{names, poll};
use crate::lang::Path;
use crate::revision::{Action, Auth, Poll, Purpose, Step};
use diag::Place;
use serde_json::Value;

/// Reads steps, one list after the other, and makes their captures known.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    /// `conventions.poll`, and where it stands.
    pub(crate) poll: (Option<&'a Value>, Place),
    /// What the profile makes.
    pub(crate) purpose: Purpose,
    names: Vec<String>,
    /// Names of the steps that `from` may mean.
    behind: Vec<String>,
    artifacts: Vec<(String, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
    Cancel,
    Cleanup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Poll,
    Download,
}

/// What a step is, before its members are read.
struct Which {
    kind: Kind,
    own: poll::Own,
    when: When,
}

const KINDS: &[(&str, Kind)] = &[
    ("request", Kind::Request),
    ("poll", Kind::Poll),
    ("download", Kind::Download),
];

impl<'a> Reader<'a> {
    pub(crate) fn new(poll: (Option<&'a Value>, Place), purpose: Purpose) -> Self {
        Self {
            poll,
            purpose,
            names: vec!["submit".to_owned()],
            behind: vec!["submit".to_owned()],
            artifacts: Vec::new(),
        }
    }

    /// Names of the artifacts that downloads make, each once.
    pub(crate) fn artifacts(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .artifacts
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        all.dedup();
        all
    }

    /// Reads a list of steps; each knows those before it.
    pub(crate) fn steps(
        &mut self,
        fields: &Fields<'_>,
        name: &'static str,
        when: When,
        cx: &mut Context<'_>,
    ) -> Vec<Step> {
        let at = fields.place(name);
        let mut all = Vec::new();
        for (i, source) in fields.list(name).unwrap_or_default().iter().enumerate() {
            let Some(step) = self.step(source, &at.child(i), when, cx) else {
                continue;
            };
            for (capture, how) in &step.captures {
                cx.known.capture(&step.name, capture, how.secret);
            }
            self.behind.push(step.name.clone());
            all.push(step);
        }
        all
    }

    /// Reads one step.
    pub(crate) fn step(
        &mut self,
        source: &Value,
        at: &Place,
        when: When,
        cx: &Context<'_>,
    ) -> Option<Step> {
        if !source.is_object() {
            wrong_type(cx.sink, at, "an object", source);
            return None;
        }
        let text = |name: &str| source.get(name).and_then(Value::as_str);
        let word = text("action").or(text("name")).unwrap_or_default();
        let found = KINDS.iter().find(|(known, _)| *known == word);
        let kind = found.map_or(Kind::Request, |(_, kind)| *kind);
        let mut layers = Layers::default();
        if kind == Kind::Poll {
            let conventions = self.poll.0.map(|poll| under(poll, source));
            poll::reach(source, self.poll.0, at, cx.sink);
            layers = layers.over(conventions.as_ref(), self.poll.1.clone());
        }
        let layers = layers.over(Some(source), at.clone());
        let own = poll::Own {
            max_attempts: source.get("max_attempts").map(|_| at.child("max_attempts")),
        };
        layers.read(cx.sink, |merged, at, sink| {
            let merged = with_removals(merged.clone(), source);
            let fields = Fields::open(&merged, at, sink)?;
            let which = Which { kind, own, when };
            let step = self.read(&fields, &which, &cx.with_sink(sink));
            fields.finish();
            step
        })
    }

    fn read(&mut self, fields: &Fields<'_>, which: &Which, cx: &Context<'_>) -> Option<Step> {
        let Which { kind, own, when } = which;
        let (kind, when) = (*kind, *when);
        let name = self.name(fields, when, cx.sink);
        fields.word("action", KINDS);
        if kind != Kind::Request && when != When::After {
            place::out_of_place(fields, kind, cx.sink);
        }
        let condition = cx.when(fields.raw("when"), &fields.place("when"));
        let mut cx = cx.assuming(condition.as_ref());
        let auth = step_auth(fields, &cx);
        if let Some(auth) = auth {
            cx = cx.proved_by(auth);
        }
        let each = match kind {
            Kind::Poll => None,
            Kind::Request | Kind::Download if when == When::Cancel => None,
            Kind::Request | Kind::Download => each(fields, when, &mut cx),
        };
        place::say_where(fields, kind);
        if when == When::Cancel {
            fields.elsewhere(
                &["each"],
                "a cancel is one exchange about one job: leave it out",
            );
        }
        let role = Role {
            name: name.as_deref().unwrap_or_default(),
            method: None,
            bytes: match kind {
                Kind::Download => bounds::FILE_BYTES,
                Kind::Request | Kind::Poll => bounds::ANSWER_BYTES,
            },
        };
        let needed = kind != Kind::Download || has_address(fields);
        if !needed && fields.raw("url_path").is_none() {
            download::asks_nothing(fields, cx.sink);
        }
        if kind == Kind::Download {
            download::each_and_from(fields, needed, cx.sink);
        }
        let mut exchange = if needed {
            exchange(fields, role, &cx)
        } else {
            None
        };
        let auth = auth.map(|auth| auth.profile_key.clone());
        if let Some(exchange) = &mut exchange {
            exchange.auth.clone_from(&auth);
        }
        let action = match kind {
            Kind::Request => Some(Action::Request),
            Kind::Poll => {
                poll::poll(fields, own, &cx).map(|poll: Poll| Action::Poll(Box::new(poll)))
            }
            Kind::Download => self.download(fields, condition.is_some(), &cx),
        };
        let action = action.map(|action| proved(action, auth));
        let captures = step_captures(fields, &cx);
        let repeatable = fields.flag("repeatable").unwrap_or(false);
        if kind == Kind::Request && when == When::After && !repeatable {
            place::paid_twice(
                fields,
                exchange.as_ref().map(|one| one.method.as_str()),
                cx.sink,
            );
        }
        if needed && exchange.is_none() {
            return None;
        }
        let mut step = Step {
            name: name?,
            when: condition,
            each,
            exchange,
            captures,
            action: action?,
        };
        download::bound_answer(&mut step);
        Some(step)
    }

    fn name(&mut self, fields: &Fields<'_>, when: When, sink: &Sink) -> Option<String> {
        let name = match (when, fields.raw("name")) {
            (When::Cancel, None) => "cancel",
            _ => fields.required_text("name")?,
        };
        let at = fields.place("name");
        names::identifier(name, &at, sink);
        names::unique(self.names.iter().map(String::as_str), name, &at, sink);
        self.names.push(name.to_owned());
        Some(name.to_owned())
    }
}

/// The auth profiles that steps of a workflow name, and where.
pub(crate) fn auth_names<'v>(workflow: &'v Value, at: &Place) -> Vec<(&'v str, Place)> {
    let lists = ["before", "steps", "cleanup"].into_iter().flat_map(|name| {
        let list = workflow.get(name).and_then(Value::as_array);
        let at = at.child(name);
        list.into_iter()
            .flatten()
            .enumerate()
            .map(move |(i, step)| (step, at.child(i)))
    });
    let cancel = workflow
        .get("cancel")
        .map(|step| (step, at.child("cancel")));
    lists
        .chain(cancel)
        .filter_map(|(step, at)| Some((step.get("auth")?.as_str()?, at.child("auth"))))
        .collect()
}

/// Another auth profile of the provider. One that could not be read is reported where it stands.
fn step_auth<'a>(fields: &Fields<'_>, cx: &Context<'a>) -> Option<&'a Auth> {
    let key = fields.text("auth")?;
    cx.auths.iter().find(|auth| auth.profile_key == key)
}

/// The requests for files at addresses of answers, and for many jobs, are proved like the step's own.
fn proved(action: Action, auth: Option<String>) -> Action {
    match action {
        Action::Download(mut download) => {
            download.fetch.auth = auth;
            Action::Download(download)
        }
        Action::Poll(mut poll) => {
            if let Some(batch) = &mut poll.batch {
                batch.exchange.auth = auth;
            }
            Action::Poll(poll)
        }
        other => other,
    }
}

/// The conventions' poll under a step's own: how jobs end is said in one way,
/// and the step's way goes first.
fn under(conventions: &Value, step: &Value) -> Value {
    let mut poll = conventions.clone();
    let ways = ["states", "terminal_states"];
    if let Some(members) = poll.as_object_mut()
        && ways.iter().any(|way| step.get(way).is_some())
    {
        for way in ways.iter().filter(|way| step.get(way).is_none()) {
            members.shift_remove(*way);
        }
    }
    poll
}

fn each(fields: &Fields<'_>, when: When, cx: &mut Context<'_>) -> Option<Path> {
    let source = fields.raw("each")?;
    let at = fields.place("each");
    let path = match when {
        // What a run cleans up after is what it captured: its answers are gone by then.
        When::Before | When::Cleanup | When::Cancel => cx.variable_path(Some(source), &at),
        When::After => cx.answer_path(Some(source), &at),
    };
    cx.known.step_item();
    path
}

/// A `null` of the step's own headers or query, or of its batch's, removes what
/// the exchange inherits, so it must outlive the merge over the conventions' poll.
fn with_removals(mut merged: Value, own: &Value) -> Value {
    put_nulls(&mut merged, own);
    if let (Some(merged), Some(own)) = (merged.get_mut("batch"), own.get("batch")) {
        put_nulls(merged, own);
    }
    merged
}

fn put_nulls(merged: &mut Value, own: &Value) {
    for name in ["headers", "query"] {
        let nulls = own
            .get(name)
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        for (key, _) in nulls.filter(|(_, value)| value.is_null()) {
            if let Some(members) = merged.as_object_mut() {
                let inherited = members
                    .entry(name)
                    .or_insert_with(|| Value::Object(serde_json::Map::new()));
                if let Some(inherited) = inherited.as_object_mut() {
                    inherited.insert(key.clone(), Value::Null);
                }
            }
        }
    }
}
