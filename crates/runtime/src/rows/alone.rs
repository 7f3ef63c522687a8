//! Rows one by one, and a tenant's rows with a change that is not there yet.

use super::to_language;
use diag::{Code, Diagnostic, Diagnostics, Place};
use profile::rows::{Kind, Rows as Language};
use store::catalogue::{
    AuthProfileRow, CredentialRow, ModelRow, ProfileRow, ProviderRow, RoutingRow, Rows, SchemaRow,
    Table, TemplateRow,
};
use uuid::Uuid;

/// What every row has, whatever its kind.
pub(crate) trait Row: Clone {
    fn id(&mut self) -> &mut Option<Uuid>;
    fn owner(&mut self) -> &mut Option<Uuid>;
    fn known(&self) -> Option<Uuid>;
    fn owned_by(&self) -> Option<Uuid>;
    /// Whether the natural keys are the same.
    fn is(&self, other: &Self) -> bool;
}

macro_rules! rows {
    ($($row:ty: $($member:ident),+;)+) => { $(
        impl Row for $row {
            fn id(&mut self) -> &mut Option<Uuid> { &mut self.id }
            fn owner(&mut self) -> &mut Option<Uuid> { &mut self.tenant }
            fn known(&self) -> Option<Uuid> { self.id }
            fn owned_by(&self) -> Option<Uuid> { self.tenant }
            fn is(&self, other: &Self) -> bool { $(self.$member == other.$member)&&+ }
        }
    )+ };
}

rows! {
    ProviderRow: slug;
    CredentialRow: provider, name;
    AuthProfileRow: provider, profile_key;
    TemplateRow: name, version;
    SchemaRow: name, version;
    ModelRow: provider, model_id;
    ProfileRow: provider, profile_key, model;
    RoutingRow: provider, target_model, conditions;
}

/// The same for the rows of every kind.
macro_rules! each {
    ($rows:expr, $list:ident => $do:expr) => {{
        {
            let $list = &mut $rows.providers;
            $do;
        }
        {
            let $list = &mut $rows.credentials;
            $do;
        }
        {
            let $list = &mut $rows.auth_profiles;
            $do;
        }
        {
            let $list = &mut $rows.prompt_templates;
            $do;
        }
        {
            let $list = &mut $rows.response_schemas;
            $do;
        }
        {
            let $list = &mut $rows.models;
            $do;
        }
        {
            let $list = &mut $rows.profiles;
            $do;
        }
        {
            let $list = &mut $rows.routing_rules;
            $do;
        }
    }};
}

/// Where the rows of a kind are kept.
pub(crate) fn table(kind: Kind) -> Table {
    match kind {
        Kind::Providers => Table::Providers,
        Kind::AuthProfiles => Table::AuthProfiles,
        Kind::ResponseSchemas => Table::ResponseSchemas,
        Kind::PromptTemplates => Table::PromptTemplates,
        Kind::Models => Table::Models,
        Kind::Profiles => Table::Profiles,
        Kind::RoutingRules => Table::RoutingRules,
    }
}

/// One row of these.
pub(crate) fn only(rows: &Rows, kind: Kind, id: Uuid) -> Rows {
    fn of<T: Row>(list: &[T], id: Uuid) -> Vec<T> {
        let found = list.iter().filter(|row| row.known() == Some(id));
        found.cloned().collect()
    }
    let mut one = Rows::default();
    match kind {
        Kind::Providers => one.providers = of(&rows.providers, id),
        Kind::AuthProfiles => one.auth_profiles = of(&rows.auth_profiles, id),
        Kind::ResponseSchemas => one.response_schemas = of(&rows.response_schemas, id),
        Kind::PromptTemplates => one.prompt_templates = of(&rows.prompt_templates, id),
        Kind::Models => one.models = of(&rows.models, id),
        Kind::Profiles => one.profiles = of(&rows.profiles, id),
        Kind::RoutingRules => one.routing_rules = of(&rows.routing_rules, id),
    }
    one
}

/// Where the first row of a kind stands, as findings name it.
pub(crate) fn source(kind: Kind, rows: &Language) -> Option<String> {
    let place = match kind {
        Kind::Providers => rows.providers.first().map(|row| &row.at),
        Kind::AuthProfiles => rows.auth_profiles.first().map(|row| &row.at),
        Kind::ResponseSchemas => rows.response_schemas.first().map(|row| &row.at),
        Kind::PromptTemplates => rows.prompt_templates.first().map(|row| &row.at),
        Kind::Models => rows.models.first().map(|row| &row.at),
        Kind::Profiles => rows.profiles.first().map(|row| &row.at),
        Kind::RoutingRules => rows.routing_rules.first().map(|row| &row.at),
    };
    place?.source.clone()
}

/// The key of the first row of a kind, as the view `row_index` has it.
pub(crate) fn key(kind: Kind, rows: &Rows) -> String {
    let place = source(kind, &to_language(rows)).unwrap_or_default();
    let (_, key) = place.split_once('/').unwrap_or_default();
    key.to_owned()
}

/// The row that the first of its kind is to replace.
pub(crate) fn set_id(rows: &mut Rows, id: Option<Uuid>) {
    each!(rows, list => list.iter_mut().for_each(|row| *row.id() = id));
}

/// Whose rows they are.
pub(crate) fn set_owner(rows: &mut Rows, owner: Option<Uuid>) {
    each!(rows, list => list.iter_mut().for_each(|row| *row.owner() = owner));
}

/// A tenant's rows and the system's; `None`: the system's alone.
pub(crate) fn seen_by(all: &Rows, owner: Option<Uuid>) -> Rows {
    let mut seen = all.clone();
    each!(seen, list => list.retain(|row| row.owned_by().is_none() || row.owned_by() == owner));
    seen
}

/// Without these.
pub(crate) fn take_out(rows: &mut Rows, gone: &[Uuid]) {
    each!(rows, list => list.retain(|row| row.known().is_none_or(|id| !gone.contains(&id))));
}

/// With these in place of the owner's rows of their ids or names, or beside the others.
pub(crate) fn put_in(rows: &mut Rows, mut new: Rows, owner: Option<Uuid>) {
    fn put<T: Row>(list: &mut Vec<T>, new: &mut Vec<T>, owner: Option<Uuid>) {
        for mut row in new.drain(..) {
            *row.owner() = owner;
            let same = list.iter_mut().find(|old| {
                let by_id = row.known().is_some() && row.known() == old.known();
                old.owned_by() == owner && (by_id || old.is(&row))
            });
            match same {
                Some(old) => {
                    *row.id() = old.known();
                    *old = row;
                }
                None => list.push(row),
            }
        }
    }
    put(&mut rows.providers, &mut new.providers, owner);
    put(&mut rows.credentials, &mut new.credentials, owner);
    put(&mut rows.auth_profiles, &mut new.auth_profiles, owner);
    put(&mut rows.prompt_templates, &mut new.prompt_templates, owner);
    put(&mut rows.response_schemas, &mut new.response_schemas, owner);
    put(&mut rows.models, &mut new.models, owner);
    put(&mut rows.profiles, &mut new.profiles, owner);
    put(&mut rows.routing_rules, &mut new.routing_rules, owner);
}

/// Rows whose links lead to this one, by kind and name.
pub(crate) fn users(all: &Rows, kind: Kind, id: Uuid) -> Vec<String> {
    let one = only(all, kind, id);
    match kind {
        Kind::Providers => one.providers.first().map(|row| of_provider(all, row)),
        Kind::AuthProfiles => one.auth_profiles.first().map(|row| of_auth(all, row)),
        Kind::PromptTemplates => one.prompt_templates.first().map(|row| {
            let named = |model: &ModelRow| {
                let version = model.prompt_template_version;
                model.prompt_template.as_deref() == Some(&row.name) && version == Some(row.version)
            };
            models(all, &all.prompt_templates, row, named)
        }),
        Kind::ResponseSchemas => one.response_schemas.first().map(|row| {
            let named = |model: &ModelRow| {
                let version = model.response_schema_version;
                model.response_schema.as_deref() == Some(&row.name) && version == Some(row.version)
            };
            models(all, &all.response_schemas, row, named)
        }),
        Kind::Models => one.models.first().map(|row| of_model(all, row)),
        Kind::Profiles | Kind::RoutingRules => None,
    }
    .unwrap_or_default()
}

/// Whether a name leads a tenant to this row: its own goes before the system's.
fn leads<T: Row>(tenant: Option<Uuid>, to: &T, all: &[T]) -> bool {
    let own = |row: &&T| row.owned_by() == tenant && row.is(to);
    to.owned_by() == tenant || (to.owned_by().is_none() && all.iter().find(own).is_none())
}

fn of_provider(all: &Rows, to: &ProviderRow) -> Vec<String> {
    let here = |provider: &str, tenant| provider == to.slug && leads(tenant, to, &all.providers);
    let mut users = Vec::new();
    let credentials = all.credentials.iter();
    let credentials = credentials.filter(|row| here(&row.provider, row.tenant));
    users.extend(credentials.map(|row| format!("credentials/{}/{}", row.provider, row.name)));
    let auths = all.auth_profiles.iter();
    let auths = auths.filter(|row| here(row.provider.as_deref().unwrap_or_default(), row.tenant));
    users.extend(auths.map(|row| format!("auth_profiles/{}/{}", to.slug, row.profile_key)));
    let models = all.models.iter();
    let models = models.filter(|row| here(&row.provider, row.tenant));
    users.extend(models.map(model_name));
    let profiles = all.profiles.iter();
    let profiles = profiles.filter(|row| here(&row.provider, row.tenant));
    users.extend(profiles.map(profile_name));
    users
}

fn of_auth(all: &Rows, to: &AuthProfileRow) -> Vec<String> {
    let uses = |row: &&ProfileRow| {
        Some(&row.provider) == to.provider.as_ref()
            && row.auth_profile.as_ref() == Some(&to.profile_key)
            && leads(row.tenant, to, &all.auth_profiles)
    };
    all.profiles.iter().filter(uses).map(profile_name).collect()
}

fn models<T: Row>(
    all: &Rows,
    rows: &[T],
    to: &T,
    named: impl Fn(&ModelRow) -> bool,
) -> Vec<String> {
    let uses = |row: &&ModelRow| named(row) && leads(row.tenant, to, rows);
    all.models.iter().filter(uses).map(model_name).collect()
}

fn of_model(all: &Rows, to: &ModelRow) -> Vec<String> {
    let leads = |tenant| leads(tenant, to, &all.models);
    let bound = |row: &&ProfileRow| {
        row.provider == to.provider && row.model.as_ref() == Some(&to.model_id) && leads(row.tenant)
    };
    let routed = |row: &&RoutingRow| {
        let target = row.provider == to.provider && row.target_model == to.model_id;
        let elsewhere = row.fallback_provider.as_ref().unwrap_or(&row.provider);
        let fallback =
            *elsewhere == to.provider && row.fallback_model.as_ref() == Some(&to.model_id);
        (target || fallback) && leads(row.tenant)
    };
    let profiles = all.profiles.iter().filter(bound).map(profile_name);
    let rules = all.routing_rules.iter().filter(routed).map(|row| {
        let name = row.name.as_deref().unwrap_or(&row.target_model);
        format!("routing_rules/{}/{name}", row.provider)
    });
    profiles.chain(rules).collect()
}

fn model_name(row: &ModelRow) -> String {
    format!("models/{}/{}", row.provider, row.model_id)
}

fn profile_name(row: &ProfileRow) -> String {
    format!("profiles/{}", super::profile_name(row))
}

/// A link of a caller's row leads nowhere.
pub(crate) fn missing(table: &str, key: &str) -> Diagnostics {
    Diagnostics(vec![Diagnostic::error(
        Code::P110,
        Place::default(),
        format!("there is no row `{key}` in `{table}`"),
        "add that row first, or correct the name",
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Option<Uuid> {
        Some(Uuid::from_u128(7))
    }

    fn model(tenant: Option<Uuid>, id: u128) -> ModelRow {
        ModelRow {
            id: Some(Uuid::from_u128(id)),
            tenant,
            provider: "acme".into(),
            model_id: "a-1".into(),
            ..ModelRow::default()
        }
    }

    #[test]
    fn a_row_takes_the_place_of_the_owners_row_of_its_name_and_stands_beside_the_systems() {
        let mut rows = Rows {
            models: vec![model(None, 1)],
            ..Rows::default()
        };
        let new = |status: &str| Rows {
            models: vec![ModelRow {
                id: None,
                status: status.into(),
                ..model(None, 0)
            }],
            ..Rows::default()
        };
        put_in(&mut rows, new("first"), tenant());
        assert_eq!(rows.models.len(), 2, "beside the system's");
        rows.models[1].id = Some(Uuid::from_u128(2));
        put_in(&mut rows, new("second"), tenant());
        let stands: Vec<_> = rows
            .models
            .iter()
            .map(|row| (row.id, row.status.as_str()))
            .collect();
        assert_eq!(
            stands,
            [
                (Some(Uuid::from_u128(1)), ""),
                (Some(Uuid::from_u128(2)), "second")
            ]
        );
        take_out(&mut rows, &[Uuid::from_u128(1)]);
        assert_eq!(rows.models.len(), 1);
    }

    #[test]
    fn a_row_is_in_use_by_those_whose_name_for_it_leads_there() {
        let profile = |tenant, key: &str| ProfileRow {
            tenant,
            provider: "acme".into(),
            profile_key: key.into(),
            model: Some("a-1".into()),
            ..ProfileRow::default()
        };
        let mut rows = Rows {
            models: vec![model(None, 1)],
            profiles: vec![profile(None, "p"), profile(tenant(), "q")],
            ..Rows::default()
        };
        let of = |rows: &Rows, id| users(rows, Kind::Models, Uuid::from_u128(id));
        assert_eq!(of(&rows, 1), ["profiles/acme/p/a-1", "profiles/acme/q/a-1"]);
        rows.models.push(model(tenant(), 2));
        assert_eq!(
            of(&rows, 1),
            ["profiles/acme/p/a-1"],
            "the tenant has its own now"
        );
        assert_eq!(of(&rows, 2), ["profiles/acme/q/a-1"]);
    }
}
