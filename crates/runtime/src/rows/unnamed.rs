//! What a bundle no longer names.

use super::alone::{Row, only, table, take_out, users};
use super::to_language;
use profile::rows::Kind;
use serde_json::Value;
use store::catalogue::{ModelRow, Rows, Table};
use uuid::Uuid;

/// A row that a bundle no longer names.
#[derive(Debug)]
pub(crate) struct Unnamed {
    pub(crate) table: Table,
    pub(crate) kind: Kind,
    pub(crate) id: Uuid,
    /// As a bundle has it.
    pub(crate) row: Value,
}

/// The owner's rows of the bundle's provider that the bundle does not name, each before those that it links to. A template or
/// schema is the provider's while its models alone name it.
pub(crate) fn unnamed(there: &Rows, bundle: &Rows, owner: Option<Uuid>) -> Vec<Unnamed> {
    fn left<T: Row>(there: &[T], bundle: &[T], owner: Option<Uuid>) -> Vec<Uuid> {
        let own = there.iter().filter(|row| row.owned_by() == owner);
        let left = own.filter(|row| !bundle.iter().any(|named| named.is(row)));
        left.filter_map(Row::known).collect()
    }
    let Some(slug) = bundle.providers.first().map(|row| row.slug.as_str()) else {
        return Vec::new();
    };
    let is_ours = |model: &&ModelRow| model.provider == slug && model.tenant == owner;
    let only_ours = |names: &dyn Fn(&ModelRow) -> bool| {
        let mut naming = there.models.iter().filter(|model| names(model)).peekable();
        naming.peek().is_some() && naming.all(|model| is_ours(&model))
    };
    let mut ours = there.clone();
    ours.routing_rules.retain(|row| row.provider == slug);
    ours.profiles.retain(|row| row.provider == slug);
    ours.models.retain(|row| row.provider == slug);
    ours.auth_profiles
        .retain(|row| row.provider.as_deref() == Some(slug));
    ours.prompt_templates.retain(|row| {
        only_ours(&|model| {
            model.prompt_template.as_deref() == Some(&row.name)
                && model.prompt_template_version == Some(row.version)
        })
    });
    ours.response_schemas.retain(|row| {
        only_ours(&|model| {
            model.response_schema.as_deref() == Some(&row.name)
                && model.response_schema_version == Some(row.version)
        })
    });
    let left = [
        (
            Kind::RoutingRules,
            left(&ours.routing_rules, &bundle.routing_rules, owner),
        ),
        (
            Kind::Profiles,
            left(&ours.profiles, &bundle.profiles, owner),
        ),
        (Kind::Models, left(&ours.models, &bundle.models, owner)),
        (
            Kind::AuthProfiles,
            left(&ours.auth_profiles, &bundle.auth_profiles, owner),
        ),
        (
            Kind::PromptTemplates,
            left(&ours.prompt_templates, &bundle.prompt_templates, owner),
        ),
        (
            Kind::ResponseSchemas,
            left(&ours.response_schemas, &bundle.response_schemas, owner),
        ),
    ];
    let unnamed = |kind, id| Unnamed {
        table: table(kind),
        kind,
        id,
        row: profile::bundle::write_row(kind, &to_language(&only(&ours, kind, id))),
    };
    left.into_iter()
        .flat_map(|(kind, ids)| ids.into_iter().map(move |id| (kind, id)))
        .map(|(kind, id)| unnamed(kind, id))
        .collect()
}

/// Rows that stay, and whose links lead to those that go, by kind and name. `all`: with what is put in their place.
pub(crate) fn still_used(mut all: Rows, gone: &[Unnamed]) -> Vec<String> {
    let mut found = Vec::new();
    for row in gone {
        found.extend(users(&all, row.kind, row.id));
        take_out(&mut all, &[row.id]);
    }
    found
}
