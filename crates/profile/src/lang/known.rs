//! Which names exist at the place that is compiled.

mod find;

use super::{Condition, Ref, Root, Seg};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use Presence::{Always, Late, Optional};

/// Whether a name has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Always.
    Always,
    /// Known at run time only: absent, a longer text fails with `missing_value`.
    Late,
    /// An optional value of the call: a longer text must guard it.
    Optional,
}

/// A value, and what it is made of.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) presence: Presence,
    pub(super) secret: bool,
    pub(super) members: Members,
}

/// What stands under a value; of a list, under each of its items.
#[derive(Debug, Clone)]
pub(super) enum Members {
    /// Anything may.
    Any,
    /// It is a scalar.
    None,
    /// These.
    Of(BTreeMap<String, Member>),
}

/// What a first name stands for.
#[derive(Debug, Clone)]
struct Entry {
    name: Ref,
    member: Member,
}

/// The names at one place, and what may stand there.
#[derive(Debug, Clone, Default)]
pub struct Known {
    names: Arc<BTreeMap<String, Entry>>,
    secrets: bool,
    parts: bool,
    there: Vec<Ref>,
    locals: Vec<(String, Member)>,
}

/// A name that was found.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) name: Ref,
    pub(super) member: Member,
}

impl Member {
    /// Nothing is known of it.
    pub(super) fn anything() -> Self {
        any(Always)
    }
}

fn scalar(presence: Presence) -> Member {
    Member {
        presence,
        secret: false,
        members: Members::None,
    }
}

fn any(presence: Presence) -> Member {
    Member {
        presence,
        secret: false,
        members: Members::Any,
    }
}

fn of<'a>(presence: Presence, members: impl IntoIterator<Item = (&'a str, Member)>) -> Member {
    let members = members
        .into_iter()
        .map(|(name, member)| (name.to_owned(), member))
        .collect();
    Member {
        presence,
        secret: false,
        members: Members::Of(members),
    }
}

impl Known {
    /// The names that exist everywhere: the call's context, the run, the dates.
    /// Option, input and the other families are empty until they are declared.
    #[must_use]
    pub fn new() -> Self {
        let mut known = Self::default();
        known.root("model", Root::Model, scalar(Late));
        known.root("userPrompt", Root::UserPrompt, scalar(Late));
        known.root("input", Root::Input, scalar(Late));
        known.root("language", Root::Language, scalar(Optional));
        known.root("maxTokens", Root::MaxTokens, scalar(Optional));
        known.root("shortHistory", Root::ShortHistory, scalar(Optional));
        known.root("longSummary", Root::LongSummary, scalar(Optional));
        known.root(
            "messages",
            Root::Messages,
            of(
                Optional,
                [("role", scalar(Always)), ("content", scalar(Always))],
            ),
        );
        known.root("context", Root::Context, any(Optional));
        known.root("params", Root::Params, of(Always, []));
        known.root("inputs", Root::Inputs, of(Always, []));
        known.root("current_date", Root::CurrentDate, scalar(Always));
        known.root("current_datetime", Root::CurrentDatetime, scalar(Always));
        known.root("callback_url", Root::CallbackUrl, scalar(Late));
        known.root(
            "run",
            Root::Run,
            of(Always, [("id", scalar(Always)), ("token", scalar(Always))]),
        );
        known.response_schema(Optional);
        known
    }

    /// `response_schema_*`: of the model.
    pub fn response_schema(&mut self, presence: Presence) {
        self.root(
            "response_schema_name",
            Root::ResponseSchemaName,
            scalar(presence),
        );
        self.root(
            "response_schema_json",
            Root::ResponseSchemaJson,
            any(presence),
        );
        self.root(
            "response_schema_strict",
            Root::ResponseSchemaStrict,
            scalar(presence),
        );
    }

    /// `params.<name>` and `params_<name>`.
    pub fn option(&mut self, name: &str, presence: Presence) {
        self.under("params", Root::Params, name, any(presence));
        self.prefixed("params_", Root::Params, name, any(presence));
    }

    /// `inputs.<name>` and its members.
    pub fn input(&mut self, name: &str, presence: Presence) {
        let always = ["data_url", "base64", "mime", "bytes"].map(|name| (name, scalar(Always)));
        let late = ["filename", "handle", "url"].map(|name| (name, scalar(Late)));
        self.under(
            "inputs",
            Root::Inputs,
            name,
            of(presence, always.into_iter().chain(late)),
        );
    }

    /// `config_<key>`.
    pub fn config(&mut self, key: &str) {
        self.prefixed("config_", Root::Config, key, any(Always));
    }

    /// `tables.<name>`: constants.
    pub fn tables(&mut self, tables: &Value) {
        self.root("tables", Root::Tables, of(Always, []));
        for name in tables
            .as_object()
            .into_iter()
            .flat_map(|tables| tables.keys())
        {
            self.under("tables", Root::Tables, name, any(Always));
        }
    }

    /// `job_id`.
    pub fn job_id(&mut self) {
        self.root("job_id", Root::JobId, scalar(Late));
    }

    /// `job_ids`: of every job that one request asks for.
    pub fn job_ids(&mut self) {
        self.root("job_ids", Root::JobIds, any(Always));
    }

    /// `steps.<step>.<name>`, captured before this place. `secret`: the capture says so.
    pub fn capture(&mut self, step: &str, name: &str, secret: bool) {
        let names = Arc::make_mut(&mut self.names);
        let steps = names.entry("steps".to_owned()).or_insert_with(|| Entry {
            name: Ref {
                root: Root::Steps,
                path: Vec::new(),
            },
            member: of(Always, []),
        });
        if let Members::Of(steps) = &mut steps.member.members {
            let step = steps.entry(step.to_owned()).or_insert_with(|| of(Late, []));
            if let Members::Of(captures) = &mut step.members {
                let secret_capture = Member {
                    secret,
                    ..any(Late)
                };
                captures.insert(name.to_owned(), secret_capture);
            }
        }
    }

    /// `apiKey` (when `key`), `accessToken` (when `token`) and `secret.<part>`, in
    /// place of those known before.
    pub fn secrets(&mut self, key: bool, token: bool, parts: &[String]) {
        let secret = || Member {
            secret: true,
            ..scalar(Always)
        };
        let names = Arc::make_mut(&mut self.names);
        names.retain(|name, _| !matches!(name.as_str(), "apiKey" | "accessToken" | "secret"));
        if key {
            self.root("apiKey", Root::ApiKey, secret());
        }
        if token {
            self.root("accessToken", Root::AccessToken, secret());
        }
        for part in parts {
            self.under("secret", Root::Secret, part, secret());
        }
    }

    /// Every secret, where the auth profile that would say which there are cannot be read.
    pub fn any_secret(&mut self) {
        self.secrets(true, true, &[]);
        let secret = Member {
            secret: true,
            ..any(Always)
        };
        self.root("secret", Root::Secret, secret);
    }

    /// `vars.<name>`, as [`super::VarsTable`] found it.
    pub(super) fn var(&mut self, name: &str, presence: Presence, secret: bool) {
        self.under(
            "vars",
            Root::Vars,
            name,
            Member {
                secret,
                ..any(presence)
            },
        );
    }

    /// `item` and `index` of a step's `each`.
    pub fn step_item(&mut self) {
        self.root("item", Root::Item, any(Always));
        self.root("index", Root::Index, scalar(Always));
    }

    /// Names of `output`: `status`, `provider_status`, `text`, `text_json`, `usage` and the artifacts.
    pub fn output(&mut self, artifacts: &[String]) {
        self.root("status", Root::Status, scalar(Always));
        self.root("provider_status", Root::ProviderStatus, scalar(Late));
        self.root("text", Root::Text, scalar(Late));
        self.root("text_json", Root::TextJson, any(Late));
        self.root("usage", Root::Usage, any(Late));
        self.root("artifacts", Root::Artifacts, of(Always, []));
        for name in artifacts {
            let late = ["url", "data_url", "filename"].map(|name| (name, scalar(Late)));
            let always = ["content_type", "bytes", "sha256"].map(|name| (name, scalar(Always)));
            let artifact = of(Late, always.into_iter().chain(late));
            self.under("artifacts", Root::Artifacts, name, artifact);
        }
    }

    /// Names of a webhook's `signed`, and no others: `header.<name>`, `body`, `body_sha256`.
    #[must_use]
    pub fn of_webhook() -> Self {
        let mut known = Self::default();
        known.root("header", Root::Header, any(Late));
        known.root("body", Root::Body, scalar(Always));
        known.root("body_sha256", Root::BodySha256, scalar(Always));
        known
    }

    /// `jwt.now`, `jwt.nbf`, `jwt.exp`.
    pub fn jwt(&mut self) {
        let times = ["now", "nbf", "exp"].map(|name| (name, scalar(Always)));
        self.root("jwt", Root::Jwt, of(Always, times));
    }

    /// Whether a secret may stand here (`headers`, `query`, `body`, auth `config`); not at first.
    #[must_use]
    pub fn secrets_may_stand(mut self, yes: bool) -> Self {
        self.secrets = yes;
        self
    }

    /// Whether `$file`, and `$json` with a `content_type`, may stand here; not at first.
    #[must_use]
    pub fn parts_may_stand(mut self, yes: bool) -> Self {
        self.parts = yes;
        self
    }

    /// The same names where `condition` is known to hold: what it tests is there.
    #[must_use]
    pub fn assuming(mut self, condition: &Condition) -> Self {
        condition.guarantees(&mut self.there);
        self
    }

    pub(super) fn with_there(&self, name: &Ref) -> Self {
        let mut known = self.clone();
        known.there.push(name.clone());
        known
    }

    pub(super) fn allows_secrets(&self) -> bool {
        self.secrets
    }

    pub(super) fn allows_parts(&self) -> bool {
        self.parts
    }

    /// One level of `$each` deeper: the item's name and `index`. The slot of the item.
    pub(super) fn with_item(&self, name: &str, item: Member) -> (Self, Option<u8>) {
        let mut known = self.clone();
        let slot = u8::try_from(known.locals.len())
            .ok()
            .filter(|slot| *slot < 200);
        known.locals.push((
            name.to_owned(),
            Member {
                presence: Always,
                ..item
            },
        ));
        known.locals.push(("index".to_owned(), scalar(Always)));
        (known, slot)
    }

    /// The same names without the items of any `$each`, for `vars`.
    pub(super) fn outside(&self) -> Self {
        Self {
            locals: Vec::new(),
            there: Vec::new(),
            ..self.clone()
        }
    }

    pub(super) fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|(have, _)| have == name)
    }

    fn root(&mut self, name: &str, root: Root, member: Member) {
        let entry = Entry {
            name: Ref {
                root,
                path: Vec::new(),
            },
            member,
        };
        Arc::make_mut(&mut self.names).insert(name.to_owned(), entry);
    }

    fn prefixed(&mut self, prefix: &str, root: Root, key: &str, member: Member) {
        let entry = Entry {
            name: Ref {
                root,
                path: vec![Seg::Key(key.into())],
            },
            member,
        };
        Arc::make_mut(&mut self.names).insert(format!("{prefix}{key}"), entry);
    }

    fn under(&mut self, family: &str, root: Root, key: &str, member: Member) {
        let names = Arc::make_mut(&mut self.names);
        let entry = names.entry(family.to_owned()).or_insert_with(|| Entry {
            name: Ref {
                root,
                path: Vec::new(),
            },
            member: of(Always, []),
        });
        if let Members::Of(members) = &mut entry.member.members {
            members.insert(key.to_owned(), member);
        }
    }
}
