//! The rows of a revision, as they were when it was made.

use super::Row;
use serde_json::Value;
use store::catalogue::{
    AuthProfileRow, ModelRow, ProfileRow, ProviderRow, Rows, SchemaRow, TemplateRow,
};
use uuid::Uuid;

/// The rows that must be written so that the profile is what the content says, the profile among them. What is for people, and
/// what the content does not know, stays as it is.
///
/// # Errors
///
/// Rows that differ, or are gone, and are not the profile's owner's to write.
pub(crate) fn restored(
    seen: &Rows,
    profile: &ProfileRow,
    content: &Value,
) -> Result<Rows, Vec<String>> {
    let mut restoring = Restoring {
        seen,
        owner: profile.tenant,
        put: Rows::default(),
        others: Vec::new(),
    };
    let slug = profile.provider.as_str();
    restoring.provider(slug, &content["provider"]);
    for auth in auths(content) {
        restoring.auth(slug, auth);
    }
    restoring.template(&content["prompt_template"]);
    restoring.schema(&content["response_schema"]);
    restoring.model(slug, content);
    restoring.profile(profile, content);
    match restoring.others.is_empty() {
        true => Ok(restoring.put),
        false => Err(restoring.others),
    }
}

fn auths(content: &Value) -> impl Iterator<Item = &Value> {
    let steps = content["step_auth_profiles"].as_array();
    let own = Some(&content["auth_profile"]).filter(|auth| auth.is_object());
    own.into_iter().chain(steps.into_iter().flatten())
}

struct Restoring<'r> {
    seen: &'r Rows,
    owner: Option<Uuid>,
    put: Rows,
    others: Vec<String>,
}

fn text(part: &Value, member: &str) -> String {
    part[member].as_str().unwrap_or_default().to_owned()
}

/// An absent column reads as an empty one.
fn json(part: &Value, member: &str) -> Value {
    match &part[member] {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => value.clone(),
    }
}

fn version(part: &Value) -> i32 {
    let version = part["version"].as_i64().unwrap_or(1);
    i32::try_from(version).unwrap_or(i32::MAX)
}

impl Restoring<'_> {
    /// The owner's own row goes before the system's; what differs is written where it is the owner's.
    fn differs<T: Row>(
        &mut self,
        name: String,
        found: Option<&T>,
        restore: impl Fn(&mut T) -> bool,
    ) -> Option<T> {
        let Some(there) = found else {
            self.others.push(name);
            return None;
        };
        let mut row = there.clone();
        match (restore(&mut row), there.owned_by() == self.owner) {
            (false, _) => None,
            (true, true) => Some(row),
            (true, false) => {
                self.others.push(name);
                None
            }
        }
    }

    fn provider(&mut self, slug: &str, was: &Value) {
        let named = |row: &&ProviderRow| row.slug == slug;
        let found = first(&self.seen.providers, named, self.owner);
        let row = self.differs(format!("providers/{slug}"), found, |row| {
            set(&mut row.api_base_url, text(was, "api_base_url"))
                | set(&mut row.conventions, json(was, "conventions"))
                | set(&mut row.egress, json(was, "egress"))
        });
        self.put.providers.extend(row);
    }

    fn auth(&mut self, slug: &str, was: &Value) {
        let key = text(was, "profile_key");
        let named =
            |row: &&AuthProfileRow| row.provider.as_deref() == Some(slug) && row.profile_key == key;
        let found = first(&self.seen.auth_profiles, named, self.owner);
        let row = self.differs(format!("auth_profiles/{slug}/{key}"), found, |row| {
            set(&mut row.auth_type, text(was, "auth_type"))
                | set(&mut row.config, json(was, "config"))
        });
        self.put.auth_profiles.extend(row);
    }

    fn template(&mut self, was: &Value) {
        if was.is_null() {
            return;
        }
        let (name, version) = (text(was, "name"), version(was));
        let named = |row: &&TemplateRow| row.name == name && row.version == version;
        let found = first(&self.seen.prompt_templates, named, self.owner);
        let row = self.differs(format!("prompt_templates/{name}/{version}"), found, |row| {
            set(&mut row.body, was["body"].clone())
        });
        self.put.prompt_templates.extend(row);
    }

    fn schema(&mut self, was: &Value) {
        if was.is_null() {
            return;
        }
        let (name, version) = (text(was, "name"), version(was));
        let named = |row: &&SchemaRow| row.name == name && row.version == version;
        let found = first(&self.seen.response_schemas, named, self.owner);
        let row = self.differs(format!("response_schemas/{name}/{version}"), found, |row| {
            set(&mut row.strict, was["strict"].as_bool().unwrap_or(false))
                | set(&mut row.schema, was["schema"].clone())
        });
        self.put.response_schemas.extend(row);
    }

    fn model(&mut self, slug: &str, content: &Value) {
        let was = &content["model"];
        if was.is_null() {
            return;
        }
        let id = text(was, "model_id");
        let named = |row: &&ModelRow| row.provider == slug && row.model_id == id;
        let found = first(&self.seen.models, named, self.owner);
        let pinned = |part: &Value| {
            let name = part["name"].as_str().map(str::to_owned);
            let pin = name.is_some().then(|| version(part));
            (name, pin)
        };
        let (template, schema) = (
            pinned(&content["prompt_template"]),
            pinned(&content["response_schema"]),
        );
        let row = self.differs(format!("models/{slug}/{id}"), found, |row| {
            set(&mut row.model_type, text(was, "model_type"))
                | set(&mut row.capabilities, json(was, "capabilities"))
                | set(&mut row.prompt_template, template.0.clone())
                | set(&mut row.prompt_template_version, template.1)
                | set(&mut row.response_schema, schema.0.clone())
                | set(&mut row.response_schema_version, schema.1)
        });
        self.put.models.extend(row);
    }

    fn profile(&mut self, profile: &ProfileRow, content: &Value) {
        let was = &content["profile"];
        let auth = content.pointer("/auth_profile/profile_key");
        let auth = auth.and_then(Value::as_str);
        self.put.profiles.push(ProfileRow {
            purpose: text(was, "purpose"),
            auth_profile: auth.map(str::to_owned),
            transport: json(was, "transport"),
            response_mapping: json(was, "response_mapping"),
            workflow: json(was, "workflow"),
            is_active: true,
            ..profile.clone()
        });
    }
}

fn first<'r, T: Row>(
    rows: &'r [T],
    named: impl Fn(&&'r T) -> bool,
    owner: Option<Uuid>,
) -> Option<&'r T> {
    let found = rows.iter().filter(|row| named(row));
    found.min_by_key(|row| row.owned_by() != owner)
}

/// Whether it was another value.
fn set<T: PartialEq>(place: &mut T, value: T) -> bool {
    let differs = *place != value;
    *place = value;
    differs
}
