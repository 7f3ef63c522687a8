//! `workflow`: the steps around the submit (section 6).

use super::bounds;
use super::context::Context;
use super::exchange::{NOT_OF_AN_ANSWER, Role, exchange, fetch, has_address};
use super::layers::Layers;
use super::response::{MODES, Mapping, job_id_path, step_captures};
use super::walk::{Fields, Sink, wrong_type};
use super::{names, poll};
use crate::lang::{Path, Place as Stand};
use crate::revision::{Action, Auth, Download, Expires, Mode, Poll, Purpose, Step, Wrap};
use diag::{Code, Place};
use serde_json::Value;

/// `type`, with the place that names the job's id.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) is_async: bool,
    pub(crate) id: Option<Path>,
}

/// Reads `type` and `job_id_path`.
pub(crate) fn job(
    fields: &Fields<'_>,
    mapping_fields: &Fields<'_>,
    mapping: &Mapping,
    cx: &Context<'_>,
) -> Job {
    let kind = fields.word("type", &[("sync", false), ("async_job", true)]);
    let is_async = kind.unwrap_or(false);
    let at = fields.place("job_id_path");
    let own = job_id_path(fields.raw("job_id_path"), &at, cx);
    if let (Some(own), Some(other)) = (&own, &mapping.job_id)
        && own.source() != other.source()
    {
        cx.sink.error(
            Code::P113,
            &at,
            "`job_id_path` stands here and in `extract`, and they differ",
            "keep one of the two",
        );
    }
    let id = own.or_else(|| mapping.job_id.clone());
    if !is_async && id.is_some() {
        let here = fields.raw("job_id_path").is_some();
        let elsewhere = mapping_fields.place("extract").child("job_id_path");
        cx.sink.error(
            Code::P501,
            if here { &at } else { &elsewhere },
            "`job_id_path` has a meaning in a workflow of the type `async_job` only",
            "add `\"type\": \"async_job\"` to the workflow, or leave it out",
        );
    }
    let extract = mapping_fields.raw("extract");
    let written = fields.raw("job_id_path").is_some()
        || extract.is_some_and(|extract| extract.get("job_id_path").is_some());
    if is_async && !written {
        let at = match extract {
            Some(_) => mapping_fields.place("extract"),
            None => fields.at().clone(),
        };
        cx.sink.error(
            Code::P604,
            &at,
            "nothing says where the job's id stands in the submit's answer",
            "add `job_id_path`",
        );
    }
    Job { is_async, id }
}

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
            out_of_place(fields, kind, cx.sink);
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
        say_where(fields, kind);
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
            asks_nothing(fields, cx.sink);
        }
        if kind == Kind::Download {
            each_and_from(fields, needed, cx.sink);
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
            paid_twice(
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
        bound_answer(&mut step);
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

    fn download(
        &mut self,
        fields: &Fields<'_>,
        conditional: bool,
        cx: &Context<'_>,
    ) -> Option<Action> {
        let artifact = fields
            .text("artifact")
            .unwrap_or(artifact_name(self.purpose));
        let at = fields.place("artifact");
        names::name(artifact, &at, cx.sink);
        let others = self
            .artifacts
            .iter()
            .filter(|(_, other)| !(conditional && *other));
        names::unique(
            others.map(|(name, _)| name.as_str()),
            artifact,
            &at,
            cx.sink,
        );
        self.artifacts.push((artifact.to_owned(), conditional));
        let path = |name| cx.answer_path(fields.raw(name), &fields.place(name));
        let mode = file_mode(fields);
        let part = part(fields, mode);
        let url = path("url_path");
        let value = if mode == Some(Mode::Multipart) {
            None
        } else {
            path("value_path")
        };
        if url.is_some() && (value.is_some() || part.is_some()) {
            cx.sink.error(
                Code::P113,
                fields.at(),
                "`url_path` and `value_path` are both there",
                "keep one: the file is at an address, or in the text",
            );
        }
        if url.is_some() {
            no_text(fields, mode, "value_path", cx.sink);
        }
        let from = self.from(fields, cx.sink);
        let content_type = fields.text("content_type");
        let accept = fields.texts("accept").map_or_else(
            || accept(content_type, self.purpose),
            |list| list.into_iter().map(str::to_owned).collect(),
        );
        let usual = if value.is_some() {
            Mode::JsonBase64
        } else if url.is_some() {
            Mode::Json
        } else {
            Mode::Binary
        };
        Some(Action::Download(Box::new(Download {
            artifact: artifact.to_owned(),
            optional: fields.flag("optional").unwrap_or(false),
            from,
            url,
            value,
            part,
            mode: mode.unwrap_or(usual),
            accept,
            max_bytes: bounds::FILE_BYTES.read(fields, cx.sink),
            mime: path("mime_path"),
            content_type: content_type
                .and_then(|text| cx.text(text, Stand::Plain, &fields.place("content_type"))),
            expires: expires(fields, cx),
            wrap: fields.word("wrap", &[("wav", Wrap::Wav)]),
            fetch: fetch(Some(fields), cx),
        })))
    }

    fn from(&self, fields: &Fields<'_>, sink: &Sink) -> Option<String> {
        let from = fields.text("from")?;
        if !self.behind.iter().any(|name| name == from) {
            sink.error(
                Code::P606,
                &fields.place("from"),
                format!("`{from}` is no earlier step"),
                format!("one of: {}", self.behind.join(", ")),
            );
        }
        Some(from.to_owned())
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

/// The `mode` of a file: a stream of events is none.
fn file_mode(fields: &Fields<'_>) -> Option<Mode> {
    let modes = MODES.iter().filter(|(_, mode)| !mode.is_stream());
    let modes: Vec<_> = modes.copied().collect();
    fields.word("mode", &modes)
}

/// The name of the part that is the file.
fn part(fields: &Fields<'_>, mode: Option<Mode>) -> Option<String> {
    if mode != Some(Mode::Multipart) {
        return None;
    }
    let name = fields.text("value_path");
    if name.is_none_or(str::is_empty) {
        fields.error(
            Code::P511,
            "nothing says which part of the answer is the file",
            "add `value_path` with the name of the part",
        );
    }
    name.map(str::to_owned)
}

/// Refuses parts that no download reads.
pub(crate) fn parts_are_read(
    steps: &[Step],
    mapping: &Mapping,
    fields: &Fields<'_>,
    cx: &Context<'_>,
) {
    let read = steps.iter().any(|step| match &step.action {
        Action::Download(download) => download.part.is_some(),
        _ => false,
    });
    if mapping.mode == Some(Mode::Multipart) && !read {
        cx.sink.error(
            Code::P511,
            &fields.place("mode"),
            "the answer has parts, and no download says which of them is the file",
            "add a step `download` with `\"mode\": \"multipart\"` and the part's name as `value_path`",
        );
    }
}

fn expires(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Expires> {
    let given = bounds::EXPIRES_IN.given(fields, cx.sink).map(Expires::InMs);
    let at = fields.place("expires_path");
    let path = cx.answer_path(fields.raw("expires_path"), &at);
    given.or(path.map(Expires::At))
}

/// `max_bytes` of a download is the file's. Where the file is behind or inside
/// an answer, the answer has the bounds of answers.
fn bound_answer(step: &mut Step) {
    const ANSWER: u64 = 16 * 1024 * 1024;
    const MOST: u64 = 256 * 1024 * 1024;
    let Action::Download(download) = &step.action else {
        return;
    };
    let Some(exchange) = &mut step.exchange else {
        return;
    };
    if download.url.is_some() {
        exchange.max_bytes = ANSWER;
    } else if download.value.is_some() || download.part.is_some() {
        exchange.max_bytes = download.max_bytes.min(MOST);
    }
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

/// Before the submit and after the end there is no job to ask about, and no file of it.
fn out_of_place(fields: &Fields<'_>, kind: Kind, sink: &Sink) {
    let (what, why) = match kind {
        Kind::Poll => ("a poll", "asks about the job until that has ended"),
        Kind::Download | Kind::Request => ("a download", "fetches a file of the job"),
    };
    sink.error(
        Code::P622,
        fields.at(),
        format!("{what} {why}, and stands in `workflow.steps` only"),
        "move it there; or give it another `name` and no `action`, and it is one `request`",
    );
}

/// Members of one action in a step of another.
fn say_where(fields: &Fields<'_>, kind: Kind) {
    const POLL: &[&str] = &[
        "interval_ms",
        "max_attempts",
        "deadline_ms",
        "max_job_life_ms",
        "initial_delay_ms",
        "multiplier",
        "max_interval_ms",
        "jitter",
        "select",
        "status_path",
        "terminal_states",
        "states",
        "not_found_grace_ms",
        "poll_after_path",
        "progress_path",
        "progress_max",
        "batch",
    ];
    const DOWNLOAD: &[&str] = &[
        "artifact",
        "optional",
        "accept",
        "from",
        "url_path",
        "value_path",
        "mode",
        "mime_path",
        "content_type",
        "wrap",
        "expires_in_ms",
        "expires_path",
    ];
    if kind != Kind::Poll {
        fields.elsewhere(
            POLL,
            "it belongs to a poll: add `\"action\": \"poll\"` to the step",
        );
    } else {
        fields.elsewhere(
            &["each"],
            "a poll asks about one job: leave it out; `batch` asks for many runs at once",
        );
    }
    if kind != Kind::Download {
        fields.elsewhere(
            DOWNLOAD,
            "it belongs to a download: add `\"action\": \"download\"` to the step",
        );
    }
}

/// What is at an address is no text in an answer.
pub(crate) fn no_text(fields: &Fields<'_>, mode: Option<Mode>, instead: &'static str, sink: &Sink) {
    if matches!(mode, Some(Mode::JsonBase64 | Mode::JsonHex | Mode::Text)) {
        sink.error(
            Code::P113,
            &fields.place("mode"),
            "the file is at an address, and this `mode` reads it out of a text",
            format!("leave `mode` out; or name the text with `{instead}` in place of the address"),
        );
    }
}

/// `each` asks for something, and `from` says whose answer is read.
fn each_and_from(fields: &Fields<'_>, asks: bool, sink: &Sink) {
    let there = |name: &'static str| fields.raw(name).is_some();
    if there("each") && !asks {
        sink.error(
            Code::P608,
            &fields.place("each"),
            "`each` has no effect: the step has no address of its own to ask for each item",
            "leave it out (all files of an answer are fetched), or add a `path` or `url`",
        );
    }
    if there("from") && asks && !there("each") {
        sink.error(
            Code::P608,
            &fields.place("from"),
            "`from` has no effect: the step has an address of its own, and reads what that answers",
            "leave it out; with `each`, it says whose answer the items are in",
        );
    }
}

/// Refuses a job that nothing asks about, and warns of a medium that nothing makes.
pub(crate) fn comes_to_something(
    fields: &Fields<'_>,
    mapping: &Mapping,
    job: &Job,
    purpose: Purpose,
    sink: &Sink,
) {
    let steps = fields.list("steps").unwrap_or_default();
    let is_there = |wanted: &str| {
        steps.iter().any(|step| {
            let word = |name| step.get(name).and_then(Value::as_str);
            word("action").or(word("name")) == Some(wanted)
        })
    };
    if job.is_async && !is_there("poll") {
        sink.error(
            Code::P620,
            fields.at(),
            "nothing asks about the job: no step is a poll",
            "add a step `poll`; for an answer that is final, leave out `\"type\": \"async_job\"`",
        );
    }
    let is_medium = matches!(
        purpose,
        Purpose::Video | Purpose::ThreeD | Purpose::Audio | Purpose::Music | Purpose::Image
    );
    let implied = mapping.urls.is_some()
        || mapping.base64.is_some()
        || mapping
            .mode
            .is_some_and(|mode| !matches!(mode, Mode::Json) && !mode.is_stream());
    if !is_medium || implied || is_there("download") {
        return;
    }
    let message = format!("no file of the {} is ever fetched", purpose.as_str());
    let help = "add a step `download`, `extract.urls_path` or `extract.base64_path`, or a `mode` in which the answer is the file";
    sink.warn(Code::P621, fields.at(), message, help);
}

/// A file that is in an answer is not asked for.
fn asks_nothing(fields: &Fields<'_>, sink: &Sink) {
    for name in NOT_OF_AN_ANSWER {
        if fields.raw(name).is_some() {
            sink.error(
                Code::P608,
                &fields.place(name),
                format!("`{name}` has no effect: the file is in an answer that came before, and nothing is asked for"),
                "leave it out; or add a `path`, `url` or `url_path`, so that there is a request",
            );
        }
    }
}

fn paid_twice(fields: &Fields<'_>, method: Option<&str>, sink: &Sink) {
    let Some(method) = method.filter(|method| !matches!(*method, "GET" | "HEAD")) else {
        return;
    };
    sink.error(
        Code::P603,
        fields.at(),
        format!("a {method} after the submit may be sent twice, and has no ledger"),
        "say `\"repeatable\": true` if that costs nothing, or use a GET",
    );
}

/// What a download makes when it does not say.
pub(crate) fn artifact_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::ThreeD => "model",
        other => other.as_str(),
    }
}

/// Media types of a file: the kind of `content_type`, else of the purpose; empty: any.
fn accept(content_type: Option<&str>, purpose: Purpose) -> Vec<String> {
    let written = content_type.and_then(|text| text.split_once('/'));
    let kind = match written {
        Some((kind, _)) if !kind.contains(['{', '<']) => Some(kind),
        _ => match purpose {
            Purpose::Video => Some("video"),
            Purpose::Audio | Purpose::Music => Some("audio"),
            Purpose::Image => Some("image"),
            Purpose::ThreeD => Some("model"),
            _ => None,
        },
    };
    kind.map(|kind| format!("{kind}/*")).into_iter().collect()
}

/// `urls_path`, `base64_path` or a binary `mode`, without a `download`, is that step. `at`: where `content_type` stands.
pub(crate) fn implied_download(
    steps: &[Step],
    mapping: &Mapping,
    (purpose, at): (Purpose, &Place),
    cx: &Context<'_>,
) -> Option<Step> {
    let mode = mapping.mode.unwrap_or(Mode::Json);
    let has_download = steps
        .iter()
        .any(|step| matches!(step.action, Action::Download(_)));
    let wanted = mapping.urls.is_some()
        || mapping.base64.is_some()
        || matches!(mode, Mode::Binary | Mode::JsonBase64 | Mode::JsonHex);
    if has_download || !wanted {
        return None;
    }
    let content_type = mapping.content_type.as_deref();
    Some(Step {
        name: "download".to_owned(),
        when: None,
        each: None,
        exchange: None,
        captures: Vec::new(),
        action: Action::Download(Box::new(Download {
            artifact: artifact_name(purpose).to_owned(),
            optional: false,
            from: None,
            url: mapping.urls.clone(),
            value: mapping.base64.clone(),
            part: None,
            mode: match mode {
                Mode::Json | Mode::Sse | Mode::Ndjson if mapping.base64.is_some() => {
                    Mode::JsonBase64
                }
                Mode::Sse | Mode::Ndjson => Mode::Json,
                mode => mode,
            },
            accept: accept(content_type, purpose),
            max_bytes: 4 * 1024 * 1024 * 1024,
            mime: mapping.mime.clone(),
            content_type: content_type.and_then(|text| cx.text(text, Stand::Plain, at)),
            expires: None,
            wrap: None,
            fetch: fetch(None, cx),
        })),
    })
}
