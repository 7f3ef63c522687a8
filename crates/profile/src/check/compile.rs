//! One profile for one model: joined rows to a [`Revision`].

use super::auth::Hosts;
use super::context::{Context, Seen};
use super::layers::Layers;
use super::response::Mapping;
use super::walk::{Fields, Sink};
use super::workflow::{Job, Reader, When};
use super::{auth, errors, output, poll, pricing, response, stream, transport, webhook, workflow};
use crate::capabilities::{self, Capabilities, Declared};
use crate::lang::{Known, Presence, VarsTable};
use crate::revision::{
    Auth, Egress, Exchange, Mode, Purpose, Response, ResponseSchema, Revision, RevisionId, Workflow,
};
use crate::rows::{
    AuthProfileRow, LANGUAGE, ModelRow, ProfileRow, ProviderRow, SchemaRow, TemplateRow,
};
use diag::Place;
use serde_json::Value;
use std::cell::RefCell;
use std::sync::Arc;

/// The rows of one revision.
#[derive(Debug, Clone)]
pub(crate) struct Joined<'a> {
    pub(crate) provider: &'a ProviderRow,
    /// `endpoint_url` of the provider's credentials.
    pub(crate) endpoints: Vec<&'a str>,
    pub(crate) auth: Option<&'a AuthProfileRow>,
    /// Those that steps name.
    pub(crate) step_auths: Vec<&'a AuthProfileRow>,
    pub(crate) model: Option<&'a ModelRow>,
    pub(crate) template: Option<&'a TemplateRow>,
    pub(crate) schema: Option<&'a SchemaRow>,
    pub(crate) profile: &'a ProfileRow,
    /// What other models of the profile declare, and this one does not.
    pub(crate) siblings: Declared,
}

impl Joined<'_> {
    fn hosts<'e>(&'e self, egress: &'e Egress) -> Hosts<'e> {
        let own = std::iter::once(self.provider.api_base_url.as_str());
        Hosts {
            egress,
            bases: own.chain(self.endpoints.iter().copied()).collect(),
        }
    }

    fn step_auths(&self, hosts: &Hosts<'_>, sink: &Sink) -> Vec<Auth> {
        let rows = self.step_auths.iter();
        rows.filter_map(|row| auth::auth(row, Some(hosts), sink).0)
            .collect()
    }
}

/// Compiles the rows. `None` when something refuses them; what was seen of the
/// call's values comes back in any case.
pub(crate) fn revision(
    joined: &Joined<'_>,
    content: Value,
    sink: &Sink,
) -> (Option<Revision>, Seen) {
    let own = Sink::default();
    let seen = RefCell::new(Seen::default());
    let made = Compiler {
        joined,
        seen: &seen,
    }
    .run(content, &own);
    let found = own.into_inner();
    let made = made.filter(|_| !found.has_errors());
    sink.extend(found);
    (made, seen.into_inner())
}

struct Compiler<'a> {
    joined: &'a Joined<'a>,
    seen: &'a RefCell<Seen>,
}

/// The parts of a provider's `conventions`.
struct Conventions<'a> {
    fields: Option<Fields<'a>>,
    at: Place,
}

impl<'a> Conventions<'a> {
    fn open(provider: &'a ProviderRow, sink: &'a Sink) -> Self {
        let at = provider.at.child("conventions");
        let all = Self {
            fields: Fields::open(&provider.conventions, &at, sink),
            at,
        };
        if let (Some(poll), at) = all.part("poll") {
            poll::reach(poll, None, &at, sink);
        }
        all
    }

    /// A member, with its place.
    fn part(&self, name: &'static str) -> (Option<&'a Value>, Place) {
        let value = self.fields.as_ref().and_then(|fields| fields.raw(name));
        (value, self.at.child(name))
    }

    fn finish(self) {
        if let Some(fields) = self.fields {
            // Read elsewhere, unless the profile could not be.
            fields.skip(&[
                "headers", "query", "errors", "retry", "settle", "poll", "verify", "webhook",
            ]);
            fields.finish();
        }
    }
}

impl Compiler<'_> {
    fn run(&self, content: Value, sink: &Sink) -> Option<Revision> {
        let joined = self.joined;
        let (provider, profile) = (joined.provider, joined.profile);
        let purpose = super::purpose(&profile.purpose, &profile.at.child("purpose"), sink);
        let egress = self.egress(sink);
        let mut capabilities = self.capabilities(sink);
        let api_names = crate::openai::compile(joined, &capabilities, sink);
        let schema = self.response_schema(sink);
        let transport_at = profile.at.child("transport");
        let empty = Value::Object(serde_json::Map::new());
        let source = if profile.transport.is_null() {
            &empty
        } else {
            &profile.transport
        };
        let transport = Fields::open(source, &transport_at, sink);
        let hosts = joined.hosts(&egress);
        let (auth, config) = match joined.auth {
            Some(row) => auth::auth(row, Some(&hosts), sink),
            None => (None, Value::Null),
        };
        let step_auths = joined.step_auths(&hosts, sink);
        let mut cx = Context {
            sink,
            known: self.known(&capabilities, auth.as_ref(), &config),
            hosts: &hosts,
            auths: &step_auths,
            headers: Vec::new(),
            query: Vec::new(),
            seen: self.seen,
            vars: Arc::default(),
        };
        let base_at = provider.at.child("api_base_url");
        let base_url = auth::base_url(&provider.api_base_url, &cx, egress.allow_http, &base_at);
        let conventions = Conventions::open(provider, sink);
        let (tables, vars) = self.constants(transport.as_ref(), &mut cx);
        let made = transport.and_then(|transport| {
            self.profile(
                &transport,
                &conventions,
                purpose.unwrap_or(Purpose::Video),
                &mut cx,
            )
        });
        self.pricing(&mut capabilities, &cx);
        conventions.finish();
        let made = made?;
        self.output(&made, purpose?, schema.as_ref(), sink);
        self.needs(&mut capabilities);
        let id = crate::content::revision_id(&content);
        Some(Revision {
            id: RevisionId(id.0),
            language: LANGUAGE,
            content,
            provider: provider.slug.clone(),
            provider_tenant: provider.tenant,
            model: joined.model.map(|model| model.model_id.clone()),
            profile_key: profile.profile_key.clone(),
            purpose: purpose?,
            capabilities,
            api_names,
            auth,
            step_auths,
            base_url: base_url?,
            submits: made.submits,
            vars: vars?,
            tables,
            config,
            errors: made.errors?,
            response: Response {
                schema,
                ..made.response.finish()
            },
            workflow: made.workflow,
            verify: made.verify,
            webhook: made.webhook,
            retry: made.retry,
            egress,
        })
    }

    fn egress(&self, sink: &Sink) -> Egress {
        let provider = self.joined.provider;
        let operator = provider.tenant.is_none();
        auth::egress(
            &provider.egress,
            &provider.at.child("egress"),
            operator,
            sink,
        )
    }

    fn capabilities(&self, sink: &Sink) -> Capabilities {
        let Some(model) = self.joined.model else {
            let at = Place::default();
            return capabilities::compile(&Value::Null, None, &at, sink);
        };
        let at = model.at.child("capabilities");
        capabilities::compile(&model.capabilities, Some(&model.model_id), &at, sink)
    }

    fn response_schema(&self, sink: &Sink) -> Option<ResponseSchema> {
        let row = self.joined.schema?;
        let at = row.at.child("schema");
        Some(ResponseSchema {
            name: row.name.clone(),
            strict: row.strict,
            schema: row.schema.clone(),
            validator: super::json_schema::compile(&row.schema, &at, sink)?,
        })
    }

    /// The names that exist before anything was sent.
    fn known(&self, capabilities: &Capabilities, auth: Option<&Auth>, config: &Value) -> Known {
        let mut known = Known::new();
        known.response_schema(match self.joined.schema {
            Some(_) => Presence::Always,
            None => Presence::Optional,
        });
        for option in &capabilities.options {
            let there = option.default.is_some() || (option.required && option.supported);
            known.option(
                &option.name,
                if there {
                    Presence::Always
                } else {
                    Presence::Optional
                },
            );
        }
        for input in &capabilities.inputs {
            let there = if input.required {
                Presence::Always
            } else {
                Presence::Optional
            };
            known.input(&input.name, there);
        }
        for name in &self.joined.siblings.options {
            known.option(name, Presence::Optional);
        }
        for name in &self.joined.siblings.inputs {
            known.input(name, Presence::Optional);
        }
        for (key, _) in config.as_object().into_iter().flatten() {
            known.config(key);
        }
        match auth {
            Some(auth) => auth::known(&mut known, auth),
            // What is wrong with it is said where it stands; what it gives nobody knows.
            None if self.joined.profile.auth_profile.is_some() => known.any_secret(),
            None => {}
        }
        known
    }

    /// `tables` and `vars`, which every later text may read.
    fn constants(
        &self,
        transport: Option<&Fields<'_>>,
        cx: &mut Context<'_>,
    ) -> (Value, Option<Arc<VarsTable>>) {
        let empty = Value::Object(serde_json::Map::new());
        let Some(transport) = transport else {
            return (empty, None);
        };
        let tables = transport
            .object("tables")
            .cloned()
            .map_or(empty.clone(), Value::Object);
        cx.known.tables(&tables);
        let Some(source) = transport.raw("vars") else {
            return (tables, Some(Arc::default()));
        };
        let at = transport.place("vars");
        let vars = cx.read_vars(source, &at);
        (tables, vars)
    }

    /// The model's price list, over the names of the profile.
    fn pricing(&self, capabilities: &mut Capabilities, cx: &Context<'_>) {
        let Some(model) = self.joined.model else {
            return;
        };
        if let Some(source) = model.capabilities.get("pricing") {
            let at = model.at.child("capabilities").child("pricing");
            capabilities.pricing = pricing::pricing(source, &at, cx);
        }
    }

    /// Whether the output can satisfy its schema.
    fn output(&self, made: &Made, purpose: Purpose, schema: Option<&ResponseSchema>, sink: &Sink) {
        let source = made.response.source.as_ref();
        let parts = made.output_parts(purpose);
        output::check(source, &parts, schema, &self.joined.profile.at, sink);
    }

    /// What the templates need of the call.
    fn needs(&self, capabilities: &mut Capabilities) {
        let seen = self.seen.borrow();
        capabilities.need(
            seen.prompt,
            seen.input,
            self.joined.model.map(|m| m.model_id.as_str()),
        );
    }

    fn profile(
        &self,
        transport: &Fields<'_>,
        conventions: &Conventions<'_>,
        purpose: Purpose,
        cx: &mut Context<'_>,
    ) -> Option<Made> {
        let profile = self.joined.profile;
        let mapping_at = profile.at.child("response_mapping");
        let empty = Value::Object(serde_json::Map::new());
        let mapping = Fields::open(&profile.response_mapping, &mapping_at, cx.sink)
            .or_else(|| Fields::open(&empty, &mapping_at, cx.sink))?;
        let flow_at = profile.at.child("workflow");
        let flow = Fields::open(&profile.workflow, &flow_at, cx.sink)
            .or_else(|| Fields::open(&empty, &flow_at, cx.sink))?;
        self.inherit(conventions, cx);
        let verify = self.verify(conventions, cx);
        let mut reader = Reader::new(conventions.part("poll"), purpose);
        // Before the submit.
        let steps_cx = &mut self.with_transport_headers(transport, cx);
        let before = reader.steps(&flow, "before", When::Before, steps_cx);
        cx.known = steps_cx.known.clone();
        let template = self.joined.template.map(|row| (&row.body, &row.at));
        let layers = transport::layers(&profile.transport, transport.at(), template);
        let errors = error_table(conventions, &mapping, cx);
        let read = response::mapping(&mapping, cx);
        let job = workflow::job(&flow, &mapping, &read, cx);
        let is_async = job.is_async;
        let webhook = webhook::webhook(conventions.part("webhook"), &flow, cx);
        let under = transport::Under {
            settle: conventions.part("settle"),
            retry: conventions.part("retry"),
            is_async,
            has_webhook: webhook
                .as_ref()
                .is_some_and(|webhook| webhook.job_id.is_some()),
            cx: steps_cx,
        };
        let submits = transport::submits(&layers, transport, &under, cx);
        stream::nothing_beside(&read, &flow, transport, &submits, cx);
        // After it.
        self.after_submit(&read, &job, steps_cx);
        let workflow = steps(&flow, before, &mut reader, steps_cx);
        workflow::parts_are_read(&workflow.steps, &read, &mapping, steps_cx);
        workflow::comes_to_something(&flow, &read, &job, purpose, cx.sink);
        transport::found_by_callback(&submits, &workflow, transport, cx);
        let response = response_of(&mapping, read, job, &reader, steps_cx);
        mapping.finish();
        flow.finish();
        let retry = Layers::default()
            .over(conventions.part("retry").0, conventions.part("retry").1)
            .over(transport.raw("retry"), transport.place("retry"));
        let workflow = response.with_implied_download(
            workflow,
            (purpose, &mapping_at.child("content_type")),
            steps_cx,
        );
        if submits.iter().any(|submit| !submit.terms.durable) {
            workflow::keeps_nothing(
                &workflow.steps,
                is_async,
                &transport.place("durable"),
                cx.sink,
            );
        }
        Some(Made {
            submits,
            errors,
            workflow,
            response,
            verify,
            webhook,
            retry: transport::retry(&retry, cx),
        })
    }

    /// The provider's headers and query, for every exchange.
    fn inherit(&self, conventions: &Conventions<'_>, cx: &mut Context<'_>) {
        let (headers, at) = conventions.part("headers");
        cx.headers = Context::written(headers, &at);
        let (query, at) = conventions.part("query");
        cx.query = Context::written(query, &at);
        if let Some(fields) = &conventions.fields {
            fields.object("headers");
            fields.object("query");
        }
    }

    /// The steps inherit the transport's headers too.
    fn with_transport_headers<'c>(&self, transport: &Fields<'_>, cx: &Context<'c>) -> Context<'c> {
        let mut next = cx.assuming(None);
        let own = Context::written(transport.raw("headers"), &transport.place("headers"));
        next.headers.extend(own);
        next
    }

    fn verify(&self, conventions: &Conventions<'_>, cx: &Context<'_>) -> Option<Exchange> {
        let (source, at) = conventions.part("verify");
        let fields = Fields::open(source?, &at, cx.sink)?;
        let role = super::exchange::Role {
            name: "verify",
            method: None,
            bytes: super::bounds::ANSWER_BYTES,
        };
        let exchange = super::exchange::exchange(&fields, role, cx);
        fields.finish();
        exchange
    }

    fn after_submit(&self, read: &Mapping, job: &Job, cx: &mut Context<'_>) {
        if job.is_async || job.id.is_some() {
            cx.known.job_id();
        }
        for (name, capture) in &read.captures {
            cx.known.capture("submit", name, capture.secret);
        }
    }
}

/// Reads `output`, and keeps the rest of the mapping.
fn response_of(
    fields: &Fields<'_>,
    read: Mapping,
    job: Job,
    reader: &Reader<'_>,
    cx: &Context<'_>,
) -> Answer {
    let mut known = cx.assuming(None);
    let mut artifacts = reader.artifacts();
    if artifacts.is_empty() {
        artifacts.push(workflow::artifact_name(reader.purpose).to_owned());
    }
    known.known.output(&artifacts);
    let source = fields.raw("output").cloned();
    let at = fields.place("output");
    let output = source.as_ref().and_then(|source| known.tree(source, &at));
    Answer {
        output,
        source,
        read,
        job: job.id.filter(|_| job.is_async),
    }
}

/// `errors`, the mapping's over the conventions'.
fn error_table(
    conventions: &Conventions<'_>,
    mapping: &Fields<'_>,
    cx: &Context<'_>,
) -> Option<crate::revision::ErrorTable> {
    let rows = [
        conventions.part("errors"),
        (mapping.raw("errors"), mapping.place("errors")),
    ];
    let mut layers = Layers::default();
    for (source, at) in rows {
        if let Some(own) = source {
            errors::reach(own, &at, cx.sink);
        }
        layers = layers.over(source, at);
    }
    layers.read(cx.sink, |merged, at, sink| {
        errors::table(merged, at, &cx.with_sink(sink))
    })
}

fn steps(
    flow: &Fields<'_>,
    before: Vec<crate::revision::Step>,
    reader: &mut Reader<'_>,
    cx: &mut Context<'_>,
) -> Workflow {
    let steps = reader.steps(flow, "steps", When::After, cx);
    let cancel = flow
        .raw("cancel")
        .and_then(|source| reader.step(source, &flow.place("cancel"), When::Cancel, cx));
    let cleanup = reader.steps(flow, "cleanup", When::Cleanup, cx);
    Workflow {
        before,
        steps,
        cancel,
        cleanup,
    }
}

/// What the profile's own columns gave.
struct Made {
    submits: Vec<crate::revision::Submit>,
    errors: Option<crate::revision::ErrorTable>,
    response: Answer,
    workflow: Workflow,
    verify: Option<Exchange>,
    webhook: Option<crate::revision::Webhook>,
    retry: crate::revision::Retry,
}

impl Made {
    /// What the usual output is made of.
    fn output_parts(&self, purpose: Purpose) -> output::Parts<'_> {
        let read = &self.response.read;
        let mode = read.mode.unwrap_or(Mode::Json);
        let steps = self.workflow.before.iter().chain(&self.workflow.steps);
        let captures = steps.flat_map(|step| &step.captures).chain(&read.captures);
        output::Parts {
            purpose,
            has_text: read.text.is_some() || mode == Mode::Text || mode.is_stream(),
            captures: captures
                .filter(|(_, capture)| !capture.secret)
                .map(|(name, _)| name.as_str())
                .collect(),
        }
    }
}

/// The response mapping, read.
struct Answer {
    output: Option<crate::lang::Tree>,
    /// `output` as written.
    source: Option<Value>,
    read: Mapping,
    job: Option<crate::lang::Path>,
}

impl Answer {
    fn with_implied_download(
        &self,
        mut workflow: Workflow,
        made: (Purpose, &Place),
        cx: &Context<'_>,
    ) -> Workflow {
        let implied = workflow::implied_download(&workflow.steps, &self.read, made, cx);
        workflow.steps.extend(implied);
        workflow
    }

    fn finish(self) -> Response {
        Response {
            mode: self.read.mode.unwrap_or(crate::revision::Mode::Json),
            content_type: self.read.content_type,
            captures: self.read.captures,
            job_id: self.job,
            stream: self.read.stream,
            text: self.read.text,
            usage: self.read.usage,
            output: self.output,
            schema: None,
        }
    }
}
