//! Rows by the names that other rows link them by, so that no link is a search through all rows.

use crate::rows::{
    AuthProfileRow, CredentialRow, ModelRow, ProfileRow, ProviderRow, Rows, SchemaRow, TemplateRow,
};
use std::collections::HashMap;

/// Rows by what others name them by: provider, or name.
pub(super) struct Links<'a> {
    pub(super) providers: HashMap<&'a str, Vec<&'a ProviderRow>>,
    pub(super) credentials: HashMap<&'a str, Vec<&'a CredentialRow>>,
    pub(super) auths: HashMap<&'a str, Vec<&'a AuthProfileRow>>,
    pub(super) models: HashMap<&'a str, Vec<&'a ModelRow>>,
    pub(super) profiles: HashMap<&'a str, Vec<&'a ProfileRow>>,
    pub(super) templates: HashMap<&'a str, Vec<&'a TemplateRow>>,
    pub(super) schemas: HashMap<&'a str, Vec<&'a SchemaRow>>,
}

impl<'a> Links<'a> {
    pub(super) fn of(rows: &'a Rows) -> Self {
        Self {
            providers: by(&rows.providers, |row| &row.slug),
            credentials: by(&rows.credentials, |row| &row.provider),
            auths: by(&rows.auth_profiles, |row| &row.provider),
            models: by(&rows.models, |row| &row.provider),
            profiles: by(&rows.profiles, |row| &row.provider),
            templates: by(&rows.prompt_templates, |row| &row.name),
            schemas: by(&rows.response_schemas, |row| &row.name),
        }
    }
}

fn by<'a, T>(rows: &'a [T], name: impl Fn(&'a T) -> &'a str) -> HashMap<&'a str, Vec<&'a T>> {
    let mut all: HashMap<&str, Vec<&T>> = HashMap::new();
    for row in rows {
        all.entry(name(row)).or_default().push(row);
    }
    all
}

/// The rows of that name.
pub(super) fn of<'l, 'a, T>(rows: &'l HashMap<&'a str, Vec<&'a T>>, name: &str) -> &'l [&'a T] {
    rows.get(name).map_or(&[], Vec::as_slice)
}
