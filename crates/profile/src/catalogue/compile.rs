//! From rows to the catalogue: links by natural key, then each profile for
//! each model it serves.

use super::links::{Links, of};
use super::routing;
use super::{Compiled, Entry, EntryKey};
use crate::capabilities::{self, Declared};
use crate::check::compile::{Joined, revision};
use crate::check::walk::{Sink, nearest, some_of};
use crate::check::{
    Seen, auth, auth_names, bounds, json_schema, names, purpose, secret_ref, status_word,
};
use crate::revision::Purpose;
use crate::rows::{
    AuthProfileRow, ModelRow, ProfileRow, ProviderRow, Rows, SchemaRow, TemplateRow,
};
use diag::{Code, Diagnostic, Diagnostics, Place};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// Compiles every active profile for every model it serves. A bundle and the
/// tables of a database go the same way.
#[must_use]
pub fn compile_rows(rows: &Rows) -> Compiled {
    let sink = Sink::default();
    let links = Links::of(rows);
    let compiler = Compiler {
        rows,
        links: &links,
        sink: &sink,
    };
    compiler.sizes();
    compiler.keys();
    compiler.models();
    compiler.alone();
    let revisions = compiler.entries();
    let rules = routing::rules(rows, &links, &sink);
    Compiled {
        revisions: revisions.into_iter().collect(),
        rules,
        diagnostics: sink.into_inner(),
    }
}

struct Compiler<'a> {
    rows: &'a Rows,
    links: &'a Links<'a>,
    sink: &'a Sink,
}

/// A row of the caller's own tenant goes before one of the system's; rows of
/// other tenants are not seen.
fn own<'r, T>(
    rows: impl Iterator<Item = &'r T>,
    tenant: Option<Uuid>,
    of: impl Fn(&T) -> Option<Uuid>,
) -> Option<&'r T> {
    let mut system = None;
    for row in rows {
        match of(row) {
            None => system = system.or(Some(row)),
            other if other == tenant => return Some(row),
            Some(_) => {}
        }
    }
    system
}

impl<'a> Compiler<'a> {
    /// Rows that no profile may use yet, too.
    fn sizes(&self) {
        let Rows {
            providers,
            auth_profiles,
            models,
            prompt_templates,
            response_schemas,
            profiles,
            ..
        } = self.rows;
        providers
            .iter()
            .for_each(|row| provider_size(row, self.sink));
        auth_profiles
            .iter()
            .for_each(|row| auth_size(row, self.sink));
        models.iter().for_each(|row| model_size(row, self.sink));
        for row in prompt_templates {
            template_size(row, self.sink);
        }
        for row in response_schemas {
            schema_size(row, self.sink);
        }
        profiles.iter().for_each(|row| profile_size(row, self.sink));
    }

    /// Natural keys are given once.
    fn keys(&self) {
        let rows = self.rows;
        let mut seen: HashSet<String> = HashSet::new();
        let mut once = |key: String, name: &str, at: Place| {
            if !seen.insert(key) {
                names::unique([name], name, &at, self.sink);
            }
        };
        for row in &rows.models {
            let key = format!("m\0{:?}\0{}\0{}", row.tenant, row.provider, row.model_id);
            once(key, &row.model_id, row.at.child("model_id"));
        }
        for row in &rows.prompt_templates {
            let key = format!("t\0{:?}\0{}\0{}", row.tenant, row.name, row.version);
            once(key, &row.name, row.at.child("name"));
        }
        for row in &rows.response_schemas {
            let key = format!("s\0{:?}\0{}\0{}", row.tenant, row.name, row.version);
            once(key, &row.name, row.at.child("name"));
        }
        for row in rows.profiles.iter().filter(|row| row.is_active) {
            let (tenant, model) = (row.tenant, &row.model);
            let key = format!(
                "p\0{tenant:?}\0{}\0{model:?}\0{}",
                row.provider, row.profile_key
            );
            once(key, &row.profile_key, row.at.child("profile_key"));
        }
    }

    /// What can be said of a model alone, and of its links.
    fn models(&self) {
        for model in &self.rows.models {
            purpose(&model.model_type, &model.at.child("model_type"), self.sink);
            status_word(&model.status, &model.at.child("status"), self.sink);
            let at = model.at.child("capabilities");
            let made =
                capabilities::compile(&model.capabilities, Some(&model.model_id), &at, self.sink);
            self.template(model);
            self.schema(model);
            let Some(wanted) = made.profile_key else {
                continue;
            };
            let keys = of(&self.links.profiles, &model.provider).iter();
            let keys = keys.map(|row| row.profile_key.as_str());
            self.linked("profile", &wanted, keys, &at.child("profile_key"));
        }
    }

    /// What can be said of rows that no profile may use yet.
    fn alone(&self) {
        for row in &self.rows.auth_profiles {
            auth(row, None, self.sink);
        }
        for row in &self.rows.prompt_templates {
            if let Some(word) = &row.purpose {
                purpose(word, &row.at.child("purpose"), self.sink);
            }
        }
        for row in &self.rows.response_schemas {
            json_schema::compile(&row.schema, &row.at.child("schema"), self.sink);
        }
        for row in &self.rows.credentials {
            if let Some(reference) = &row.secret_ref {
                // Where a bundle's row writes it.
                secret_ref(reference, &row.at.child("secret"), self.sink);
            }
            let Some(address) = &row.endpoint_url else {
                continue;
            };
            if url::Url::parse(address)
                .ok()
                .is_none_or(|url| !url.has_host())
            {
                self.sink.error(
                    Code::P706,
                    &row.at.child("endpoint_url"),
                    format!("`{address}` is not an absolute address"),
                    "write it like `https://api.example.com/v1`",
                );
            }
        }
    }

    /// Refuses a link to a row that is not there.
    fn linked<'n>(
        &self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
        at: &Place,
    ) {
        if known.clone().any(|known| known == name) {
            return;
        }
        let known: Vec<&str> = known.collect();
        let near = nearest(name, known.iter().copied());
        let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let help = match known.is_empty() {
            true => format!("there is no {what} yet; add one"),
            false => format!("{start}known: {}", some_of(&known)),
        };
        self.sink
            .error(Code::P110, at, format!("there is no {what} `{name}`"), help);
    }

    fn template(&self, model: &ModelRow) -> Option<&'a TemplateRow> {
        let name = model.prompt_template.as_deref()?;
        let named = of(&self.links.templates, name);
        if named.is_empty() {
            let known = self.rows.prompt_templates.iter();
            let known = known.map(|row| row.name.as_str());
            self.linked(
                "prompt template",
                name,
                known,
                &model.at.child("prompt_template"),
            );
        }
        let pinned = model.prompt_template_version;
        let named = named.iter().copied();
        let fits = |row: &&TemplateRow| pinned.is_none_or(|pinned| row.version == pinned);
        let mut found: Vec<&TemplateRow> = named.filter(fits).collect();
        found.sort_by_key(|row| std::cmp::Reverse(row.version));
        own(found.into_iter(), model.tenant, |row| row.tenant)
    }

    fn schema(&self, model: &ModelRow) -> Option<&'a SchemaRow> {
        let name = model.response_schema.as_deref()?;
        let named = of(&self.links.schemas, name);
        if named.is_empty() {
            let known = self.rows.response_schemas.iter();
            let known = known.map(|row| row.name.as_str());
            self.linked(
                "response schema",
                name,
                known,
                &model.at.child("response_schema"),
            );
        }
        let pinned = model.response_schema_version;
        let named = named.iter().copied();
        let fits = |row: &&SchemaRow| pinned.is_none_or(|pinned| row.version == pinned);
        let mut found: Vec<&SchemaRow> = named.filter(fits).collect();
        found.sort_by_key(|row| std::cmp::Reverse(row.version));
        own(found.into_iter(), model.tenant, |row| row.tenant)
    }

    fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        // What templates read of each model's options, over all its profiles.
        let mut read: BTreeMap<(String, String), Seen> = BTreeMap::new();
        for profile in self.rows.profiles.iter().filter(|row| row.is_active) {
            let providers = of(&self.links.providers, &profile.provider).iter().copied();
            let Some(provider) = own(providers, profile.tenant, |row| row.tenant) else {
                let known = self.rows.providers.iter().map(|row| row.slug.as_str());
                let at = profile.at.child("provider");
                self.linked("provider", &profile.provider, known, &at);
                continue;
            };
            let served = self.served(profile);
            for model in &served {
                let (entry, seen) = self.entry(provider, profile, *model, &served);
                all.extend(entry);
                if let Some(model) = model {
                    let key = (model.provider.clone(), model.model_id.clone());
                    read.entry(key).or_default().join(seen);
                }
            }
        }
        self.unread(&read);
        all
    }

    /// The models that a profile serves; `None` alone: it serves no model.
    fn served(&self, profile: &ProfileRow) -> Vec<Option<&'a ModelRow>> {
        let models = of(&self.links.models, &profile.provider).iter().copied();
        let visible = |row: &&ModelRow| {
            row.tenant.is_none() || profile.tenant.is_none() || row.tenant == profile.tenant
        };
        let models: Vec<&ModelRow> = models.filter(visible).collect();
        if let Some(id) = &profile.model {
            let known = models.iter().map(|row| row.model_id.as_str());
            self.linked("model", id, known, &profile.at.child("model"));
            let bound: Vec<_> = models
                .iter()
                .filter(|row| row.model_id == *id)
                .map(|row| Some(*row))
                .collect();
            return if bound.is_empty() { vec![None] } else { bound };
        }
        let purpose = Purpose::parse(&profile.purpose);
        let fits = |row: &&&ModelRow| {
            purpose.is_some()
                && Purpose::parse(&row.model_type) == purpose
                && matches!(row.status.as_str(), "active" | "deprecated")
        };
        let served: Vec<_> = models.iter().filter(fits).map(|row| Some(*row)).collect();
        if served.is_empty() {
            vec![None]
        } else {
            served
        }
    }

    fn entry(
        &self,
        provider: &'a ProviderRow,
        profile: &'a ProfileRow,
        model: Option<&'a ModelRow>,
        served: &[Option<&'a ModelRow>],
    ) -> (Option<Entry>, Seen) {
        let own_sink = Sink::default();
        let named = Compiler {
            rows: self.rows,
            links: self.links,
            sink: &own_sink,
        };
        let auth_at = profile.at.child("auth_profile");
        let auth = profile
            .auth_profile
            .as_deref()
            .and_then(|key| named.auth_profile(key, profile, &auth_at));
        let credentials = of(&self.links.credentials, &provider.slug).iter();
        let joined = Joined {
            provider,
            endpoints: credentials
                .filter_map(|row| row.endpoint_url.as_deref())
                .collect(),
            auth,
            step_auths: named.step_auths(profile),
            model,
            template: model.and_then(|model| self.template(model)),
            schema: model.and_then(|model| self.schema(model)),
            profile,
            siblings: siblings(model, served),
        };
        joined_size(&joined, &own_sink);
        let (revision, seen) = if own_sink.has_too_large() {
            (None, Seen::default())
        } else {
            revision(&joined, crate::content::of(&joined), &own_sink)
        };
        let found = match model {
            Some(_) => own_sink.into_inner(),
            None => self.without_model(profile, own_sink.into_inner()),
        };
        self.sink.extend(found.iter().cloned());
        let Some(purpose) = Purpose::parse(&profile.purpose) else {
            return (None, seen);
        };
        let entry = Entry {
            key: EntryKey {
                tenant: profile.tenant.or(model.and_then(|model| model.tenant)),
                provider: provider.slug.clone(),
                profile_key: profile.profile_key.clone(),
                model: model.map(|model| model.model_id.clone()),
                purpose,
            },
            is_default: model.is_some_and(|model| model.is_default),
            bound: profile.model.is_some(),
            updated_at_us: profile.updated_at_us,
            model_type: model.and_then(|model| Purpose::parse(&model.model_type)),
            wanted_profile: model.and_then(|model| {
                model
                    .capabilities
                    .get("profile_key")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            }),
            revision: outcome(revision, found),
        };
        let serves = status_word(&provider.status, &provider.at.child("status"), self.sink)
            && model.is_none_or(|model| matches!(model.status.as_str(), "active" | "deprecated"));
        (Some(entry).filter(|_| serves), seen)
    }

    /// Where no model can use the profile, no option and no input is known: that is one mistake, not one for each text that
    /// reads one.
    fn without_model(&self, profile: &ProfileRow, found: Diagnostics) -> Diagnostics {
        let of_model = |finding: &Diagnostic| {
            let family = ["unknown variable `params", "unknown variable `inputs"];
            finding.code == Code::P201
                && family
                    .iter()
                    .any(|start| finding.message.starts_with(start))
        };
        let (reads, mut rest): (Vec<_>, Vec<_>) = found.into_iter().partition(of_model);
        // A model that the profile names, and that is not there, was reported.
        // So was a purpose that is none.
        let is_reported = profile.model.is_some() || Purpose::parse(&profile.purpose).is_none();
        if !reads.is_empty() && !is_reported {
            let models = self.rows.models.iter();
            let models = models.filter(|row| row.provider == profile.provider);
            let models: Vec<String> = models
                .map(|row| format!("{} ({})", row.model_id, row.model_type))
                .collect();
            let known = match models.is_empty() {
                true => "there is none yet".to_owned(),
                false => format!("there are: {}", models.join(", ")),
            };
            rest.push(Diagnostic::error(
                Code::P110,
                profile.at.child("purpose"),
                format!(
                    "no model that serves makes `{}`, and the profile reads options of one",
                    profile.purpose
                ),
                format!("add a model with this `model_type`; {known}"),
            ));
        }
        Diagnostics(rest)
    }

    /// An auth profile of the profile's provider.
    fn auth_profile(
        &self,
        key: &str,
        profile: &ProfileRow,
        at: &Place,
    ) -> Option<&'a AuthProfileRow> {
        let all = of(&self.links.auths, &profile.provider).iter().copied();
        let known = all.clone().map(|row| row.profile_key.as_str());
        self.linked("auth profile", key, known, at);
        let named = all.filter(|row| row.profile_key == key);
        own(named, profile.tenant, |row| row.tenant)
    }

    /// Those that the profile's steps name, each once.
    fn step_auths(&self, profile: &ProfileRow) -> Vec<&'a AuthProfileRow> {
        let mut found: Vec<&AuthProfileRow> = Vec::new();
        for (key, at) in auth_names(&profile.workflow, &profile.at.child("workflow")) {
            let row = self.auth_profile(key, profile, &at);
            found.extend(
                row.filter(|row| !found.iter().any(|have| have.profile_key == row.profile_key)),
            );
        }
        found
    }

    /// Options and inputs that no template of the model's profiles reads.
    /// Said only of rows that compile: a text with a mistake may have been the one.
    fn unread(&self, read: &BTreeMap<(String, String), Seen>) {
        if self.sink.has_errors() {
            return;
        }
        for model in &self.rows.models {
            let key = (model.provider.clone(), model.model_id.clone());
            let Some(seen) = read.get(&key) else { continue };
            let mut declared = Declared::of(&model.capabilities);
            let supports = model.capabilities.get("supports").unwrap_or(&Value::Null);
            declared
                .options
                .retain(|name| supports.get(name).and_then(Value::as_bool) != Some(false));
            let at = model.at.child("capabilities");
            if !seen.all_options {
                let names = declared
                    .options
                    .iter()
                    .filter(|name| !seen.options.contains(*name));
                for name in names {
                    self.nothing_reads("option", name, &at.child("options").child(name));
                }
            }
            for name in declared
                .inputs
                .iter()
                .filter(|name| !seen.inputs.contains(*name))
            {
                self.nothing_reads("input", name, &at.child("inputs").child(name));
            }
        }
    }

    fn nothing_reads(&self, what: &str, name: &str, at: &Place) {
        let read = match what {
            "option" => format!("{{{{json params_{name}}}}}"),
            _ => format!("inputs.{name}"),
        };
        self.sink.warn(
            Code::P303,
            at,
            format!("no template reads the {what} `{name}`"),
            format!("read it in the transport (`{read}`), or remove it"),
        );
    }
}

fn provider_size(row: &ProviderRow, sink: &Sink) {
    bounds::row(&row.conventions, &row.at.child("conventions"), sink);
    bounds::row(&row.egress, &row.at.child("egress"), sink);
}

fn auth_size(row: &AuthProfileRow, sink: &Sink) {
    bounds::row(&row.config, &row.at.child("config"), sink);
}

fn model_size(row: &ModelRow, sink: &Sink) {
    bounds::row(&row.capabilities, &row.at.child("capabilities"), sink);
}

fn template_size(row: &TemplateRow, sink: &Sink) {
    bounds::row(&row.body, &row.at.child("body"), sink);
}

fn schema_size(row: &SchemaRow, sink: &Sink) {
    bounds::row(&row.schema, &row.at.child("schema"), sink);
}

fn profile_size(row: &ProfileRow, sink: &Sink) {
    bounds::row(&row.transport, &row.at.child("transport"), sink);
    let mapping = row.at.child("response_mapping");
    bounds::row(&row.response_mapping, &mapping, sink);
    bounds::row(&row.workflow, &row.at.child("workflow"), sink);
    bounds::row(&row.face, &row.at.child(crate::openai::MEMBER), sink);
}

/// What is too large is not compiled: the work grows with it.
fn joined_size(joined: &Joined<'_>, sink: &Sink) {
    provider_size(joined.provider, sink);
    profile_size(joined.profile, sink);
    let auths = joined.auth.iter().chain(&joined.step_auths);
    auths.for_each(|row| auth_size(row, sink));
    joined.model.iter().for_each(|row| model_size(row, sink));
    joined
        .template
        .iter()
        .for_each(|row| template_size(row, sink));
    joined.schema.iter().for_each(|row| schema_size(row, sink));
}

fn outcome(
    revision: Option<crate::revision::Revision>,
    found: Diagnostics,
) -> Result<Arc<crate::revision::Revision>, Diagnostics> {
    match revision {
        Some(revision) if !found.has_errors() => Ok(Arc::new(revision)),
        _ => Err(found),
    }
}

/// What the other models of the profile declare, and this one does not.
fn siblings(model: Option<&ModelRow>, served: &[Option<&ModelRow>]) -> Declared {
    let own = model
        .map(|model| Declared::of(&model.capabilities))
        .unwrap_or_default();
    let mut all = Declared::default();
    for other in served.iter().flatten() {
        let theirs = Declared::of(&other.capabilities);
        add(&mut all.options, theirs.options, &own.options);
        add(&mut all.inputs, theirs.inputs, &own.inputs);
    }
    all
}

fn add(all: &mut Vec<String>, more: Vec<String>, own: &[String]) {
    for name in more {
        if !own.contains(&name) && !all.contains(&name) {
            all.push(name);
        }
    }
}
