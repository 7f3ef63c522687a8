//! The joined rows of one revision as JSON, and their content address.

use crate::capabilities::Declared;
use crate::check;
use crate::check::compile::Joined;
use crate::check::walk::{Fields, Sink};
use crate::revision::{Revision, RevisionId};
use crate::rows::{
    AuthProfileRow, LANGUAGE, ModelRow, ProfileRow, ProviderRow, SchemaRow, TemplateRow,
};
use diag::{Code, Diagnostics, Place};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// JSON with sorted keys, no spaces, and numbers as they were written.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// The SHA-256 of the canonical text.
#[must_use]
pub fn revision_id(content: &Value) -> RevisionId {
    RevisionId(Sha256::digest(canonical(content)).into())
}

/// The content of a revision: what decides about a run, and nothing that is
/// for people, so that a corrected label makes no new revision.
pub(crate) fn of(joined: &Joined<'_>) -> Value {
    let mut content = json!({
        "language": LANGUAGE,
        "provider": {
            "slug": joined.provider.slug,
            "api_base_url": joined.provider.api_base_url,
            "conventions": joined.provider.conventions,
            "egress": joined.provider.egress,
        },
        "profile": {
            "profile_key": joined.profile.profile_key,
            "purpose": joined.profile.purpose,
            "transport": joined.profile.transport,
            "response_mapping": joined.profile.response_mapping,
            "workflow": joined.profile.workflow,
        },
    });
    // Left out of every other row: their content is what it was.
    let face = Some(&joined.profile.face).filter(|face| crate::openai::says_something(face));
    let profile = content.get_mut("profile").and_then(Value::as_object_mut);
    if let (Some(members), Some(face)) = (profile, face) {
        members.insert(crate::openai::MEMBER.to_owned(), face.clone());
    }
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(members), Some(value)) = (content.as_object_mut(), value) {
            members.insert(name.to_owned(), value);
        }
    };
    set(
        "endpoints",
        (!joined.endpoints.is_empty()).then(|| json!(joined.endpoints)),
    );
    set("auth_profile", joined.auth.map(auth_content));
    let others: Vec<Value> = joined
        .step_auths
        .iter()
        .map(|row| auth_content(row))
        .collect();
    set(
        "step_auth_profiles",
        (!others.is_empty()).then_some(Value::Array(others)),
    );
    set("model", joined.model.map(|row| {
        json!({ "model_id": row.model_id, "model_type": row.model_type, "capabilities": row.capabilities })
    }));
    set(
        "prompt_template",
        joined
            .template
            .map(|row| json!({ "name": row.name, "version": row.version, "body": row.body })),
    );
    set("response_schema", joined.schema.map(|row| {
        json!({ "name": row.name, "version": row.version, "strict": row.strict, "schema": row.schema })
    }));
    let siblings = &joined.siblings;
    let any = !siblings.options.is_empty() || !siblings.inputs.is_empty();
    set(
        "siblings",
        any.then(|| json!({ "options": siblings.options, "inputs": siblings.inputs })),
    );
    content
}

fn auth_content(row: &AuthProfileRow) -> Value {
    json!({ "profile_key": row.profile_key, "auth_type": row.auth_type, "config": row.config })
}

/// Compiles what a row of `revisions` holds.
///
/// # Errors
///
/// Every mistake, with pointers into the content. A content that compiled
/// once fails only where the language has changed since.
pub fn compile_content(content: &Value) -> Result<Revision, Diagnostics> {
    let sink = Sink::default();
    let revision = read(content, &sink);
    let found = sink.into_inner();
    match revision.filter(|_| !found.has_errors()) {
        Some(revision) => Ok(revision),
        None => Err(found),
    }
}

fn read(content: &Value, sink: &Sink) -> Option<Revision> {
    let root = Place::default();
    let fields = Fields::open(content, &root, sink)?;
    let level = fields.whole("language").unwrap_or_default();
    if level == 0 || level > u64::from(LANGUAGE) {
        sink.error(
            Code::P112,
            &fields.place("language"),
            format!("the language level {level} is not known to this build"),
            format!("this build knows levels 1 to {LANGUAGE}"),
        );
        return None;
    }
    let rows = ContentRows::read(&fields)?;
    let endpoints = fields.texts("endpoints").unwrap_or_default();
    let siblings = fields.fields("siblings").map(|siblings| {
        let names = |name| {
            let texts = siblings.texts(name).unwrap_or_default();
            texts.into_iter().map(str::to_owned).collect()
        };
        Declared {
            options: names("options"),
            inputs: names("inputs"),
        }
    });
    fields.finish();
    let joined = Joined {
        provider: &rows.provider,
        endpoints,
        auth: rows.auth.as_ref(),
        step_auths: rows.step_auths.iter().collect(),
        model: rows.model.as_ref(),
        template: rows.template.as_ref(),
        schema: rows.schema.as_ref(),
        profile: &rows.profile,
        siblings: siblings.unwrap_or_default(),
    };
    check::compile::revision(&joined, content.clone(), sink).0
}

/// The rows in a content. Texts that are missing read as empty, and are
/// reported.
struct ContentRows {
    provider: ProviderRow,
    auth: Option<AuthProfileRow>,
    step_auths: Vec<AuthProfileRow>,
    model: Option<ModelRow>,
    template: Option<TemplateRow>,
    schema: Option<SchemaRow>,
    profile: ProfileRow,
}

fn text(fields: &Fields<'_>, name: &'static str) -> String {
    fields.required_text(name).unwrap_or_default().to_owned()
}

fn json_of(fields: &Fields<'_>, name: &'static str) -> Value {
    fields.raw(name).cloned().unwrap_or_default()
}

fn version(fields: &Fields<'_>) -> i64 {
    let version = fields.whole("version").and_then(|n| i64::try_from(n).ok());
    version.unwrap_or(1)
}

fn auth_row(row: &Fields<'_>, provider: &str) -> AuthProfileRow {
    AuthProfileRow {
        at: row.at().clone(),
        provider: provider.to_owned(),
        profile_key: text(row, "profile_key"),
        auth_type: text(row, "auth_type"),
        config: json_of(row, "config"),
        ..AuthProfileRow::default()
    }
}

fn step_auths(root: &Fields<'_>, provider: &str) -> Vec<AuthProfileRow> {
    let at = root.place("step_auth_profiles");
    let rows = root.list("step_auth_profiles").unwrap_or_default();
    let rows = rows.iter().enumerate();
    rows.filter_map(|(i, row)| Fields::open(row, &at.child(i), root.sink()))
        .map(|row| auth_row(&row, provider))
        .collect()
}

impl ContentRows {
    fn read(root: &Fields<'_>) -> Option<Self> {
        let needed = |name| {
            let part = root.fields(name);
            if part.is_none() {
                root.missing(name);
            }
            part
        };
        let provider = needed("provider")?;
        let profile = needed("profile")?;
        let slug = text(&provider, "slug");
        Some(Self {
            auth: root.fields("auth_profile").map(|row| auth_row(&row, &slug)),
            step_auths: step_auths(root, &slug),
            model: root.fields("model").map(|row| ModelRow {
                at: row.at().clone(),
                provider: slug.clone(),
                model_id: text(&row, "model_id"),
                model_type: text(&row, "model_type"),
                capabilities: json_of(&row, "capabilities"),
                ..ModelRow::default()
            }),
            template: root.fields("prompt_template").map(|row| TemplateRow {
                at: row.at().clone(),
                name: text(&row, "name"),
                version: version(&row),
                body: json_of(&row, "body"),
                ..TemplateRow::default()
            }),
            schema: root.fields("response_schema").map(|row| SchemaRow {
                at: row.at().clone(),
                name: text(&row, "name"),
                version: version(&row),
                strict: row.flag("strict").unwrap_or(false),
                schema: json_of(&row, "schema"),
                ..SchemaRow::default()
            }),
            profile: ProfileRow {
                at: profile.at().clone(),
                provider: slug.clone(),
                profile_key: text(&profile, "profile_key"),
                purpose: text(&profile, "purpose"),
                transport: json_of(&profile, "transport"),
                response_mapping: json_of(&profile, "response_mapping"),
                workflow: json_of(&profile, "workflow"),
                face: json_of(&profile, crate::openai::MEMBER),
                is_active: true,
                ..ProfileRow::default()
            },
            provider: ProviderRow {
                at: provider.at().clone(),
                slug,
                api_base_url: text(&provider, "api_base_url"),
                conventions: json_of(&provider, "conventions"),
                egress: json_of(&provider, "egress"),
                ..ProviderRow::default()
            },
        })
    }
}
