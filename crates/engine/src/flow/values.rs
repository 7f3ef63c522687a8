//! The variables of a run, and the place it sends to.

use super::record::Record;
use super::{RunIdentity, Setting};
use crate::egress::Policy;
use crate::fault::Fault;
use crate::render::{Renderer, parse};
use crate::request::Drawn;
use profile::call::{Call, Message};
use profile::lang::{Bound, Root, Scope};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use url::Url;

/// Values that stay the same for a whole run.
#[derive(Debug)]
pub(crate) struct Values(Vec<(Root, Value)>);

impl Values {
    pub(crate) fn of(setting: &Setting) -> Self {
        let mut values = Vec::with_capacity(16);
        let call = &setting.checked.call;
        let mut text = |root, text: &Option<String>| {
            if let Some(text) = text {
                values.push((root, Value::String(text.clone())));
            }
        };
        text(Root::Model, &setting.revision.model);
        text(Root::UserPrompt, &call.prompt);
        text(Root::Language, &call.language);
        text(Root::ShortHistory, &call.short_history);
        text(Root::LongSummary, &call.long_summary);
        text(Root::CallbackUrl, &setting.identity.callback_url);
        text(Root::Input, &input_of(call));
        values.push((Root::Params, Value::Object(call.params.clone())));
        values.push((Root::Context, Value::Object(call.context.clone())));
        values.push((Root::Run, run_of(&setting.identity)));
        values.extend(
            call.max_tokens
                .map(|most| (Root::MaxTokens, Value::from(most))),
        );
        let messages = call
            .messages
            .as_ref()
            .map(|all| all.iter().map(message_of).collect());
        values.extend(messages.map(|all| (Root::Messages, Value::Array(all))));
        Self(values)
    }

    /// The token of another attempt.
    pub(crate) fn set_identity(&mut self, identity: &RunIdentity) {
        self.0.retain(|(root, _)| *root != Root::Run);
        self.0.push((Root::Run, run_of(identity)));
    }

    /// Every name with its value, for one request; what steps captured only where that is read.
    pub(crate) fn scope<'a>(
        &'a self,
        setting: &'a Setting,
        record: &'a Record,
        drawn: Drawn,
        reads_steps: bool,
    ) -> Scope<'a> {
        let revision = &setting.revision;
        let mut scope = Scope::new(drawn.draws());
        for (root, value) in &self.0 {
            scope.lend(*root, value);
        }
        if let Some(schema) = &revision.response.schema {
            scope.set(Root::ResponseSchemaName, Value::String(schema.name.clone()));
            scope.set(Root::ResponseSchemaStrict, Value::Bool(schema.strict));
            scope.lend(Root::ResponseSchemaJson, &schema.schema);
        }
        scope.lend(Root::Config, &revision.config);
        scope.lend(Root::Tables, &revision.tables);
        if reads_steps {
            scope.lend(Root::Steps, record.steps());
        }
        if let Some(job_id) = record.job_id_value() {
            scope.lend(Root::JobId, job_id);
        }
        scope.vars(&revision.vars);
        scope.inputs(setting.media.as_ref());
        if let Some(own) = setting.secrets.of(None) {
            scope.secrets(&own.secrets);
        }
        scope
    }
}

fn run_of(identity: &RunIdentity) -> Value {
    json!({"id": identity.run_id, "token": identity.token})
}

/// `longSummary`, `shortHistory` and the prompt, those that are there, with a
/// blank line between.
fn input_of(call: &Call) -> Option<String> {
    let parts = [&call.long_summary, &call.short_history, &call.prompt];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn message_of(message: &Message) -> Value {
    let mut object = Map::new();
    object.insert("role".into(), Value::String(message.role.clone()));
    object.insert("content".into(), Value::String(message.content.clone()));
    Value::Object(object)
}

/// Where a run sends its requests.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) base: Url,
    pub(crate) policy: Arc<Policy>,
}

impl Site {
    pub(crate) fn of(setting: &Setting) -> Result<Self, Fault> {
        let revision = &setting.revision;
        let mut scope = Scope::new(
            Drawn {
                unix_ms: 0,
                seed: uuid::Uuid::nil(),
            }
            .draws(),
        );
        scope.lend(Root::Config, &revision.config);
        let own = revision
            .base_url
            .eval_text(&scope)
            .map_err(|error| crate::answer::unread(&error))?;
        let own = parse(&own.unwrap_or_default())?;
        let endpoint = setting.endpoint.as_deref().map(parse).transpose()?;
        let bases: Vec<Url> = endpoint.iter().chain([&own]).cloned().collect();
        let policy = Policy::new(&revision.egress, &bases, setting.allow);
        Ok(Self {
            base: endpoint.unwrap_or(own),
            policy: Arc::new(policy),
        })
    }

    pub(crate) fn renderer<'a>(
        &'a self,
        setting: &'a Setting,
        scope: &'a Scope<'a>,
        drawn: Drawn,
    ) -> Renderer<'a> {
        Renderer {
            scope,
            media: &setting.media,
            base: &self.base,
            policy: &self.policy,
            keys: &setting.secrets,
            drawn,
        }
    }
}

/// The same item, owned.
pub(crate) fn owned(bound: Bound<'_>) -> Bound<'static> {
    match bound {
        Bound::Value(value) => Bound::Value(std::borrow::Cow::Owned(value.into_owned())),
        Bound::Input { name, index } => Bound::Input { name, index },
    }
}
