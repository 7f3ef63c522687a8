//! The compiled entries, and an index by which a call finds the few that may
//! serve it: what a look-up costs does not grow with the catalogue.

use super::choice::{Rank, rank};
use super::{Ask, Entry, ModelKey, Rules};
use crate::revision::{Purpose, Revision};
use diag::Diagnostics;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use uuid::Uuid;

/// One for each active profile and model it serves, good or not. Their keys do not change.
#[derive(Debug, Default)]
pub struct Entries {
    all: Vec<Entry>,
    shelves: HashMap<(Option<Uuid>, Purpose), Shelf>,
}

/// One tenant's entries for one purpose: what is first among those of a
/// provider, a model, a key, and of each two and all three of them.
type Shelf = HashMap<Box<str>, Group>;

/// Positions of entries that have some names in common.
#[derive(Debug)]
struct Group {
    first: usize,
    best: usize,
    /// The best of the default models.
    default: Option<usize>,
    /// Some entry of a model: a purpose that has none needs no default.
    of_model: Option<usize>,
}

/// Names that entries have in common; absent: any.
#[derive(Debug, Clone, Copy, Default)]
struct Names<'n> {
    provider: Option<&'n str>,
    /// Of a profile that serves no model, absent within.
    model: Option<Option<&'n str>>,
    key: Option<&'n str>,
}

impl Names<'_> {
    /// As the shelf has them.
    fn joined(self) -> String {
        let Self {
            provider,
            model,
            key,
        } = self;
        let model = match model {
            None => ["*", ""],
            Some(None) => ["-", ""],
            Some(Some(model)) => ["=", model],
        };
        let part = |part: Option<&str>| part.map_or(0, |part| part.len() + 1);
        let mut out = String::with_capacity(8 + model[1].len() + part(provider) + part(key));
        // The lengths keep names apart that hold a separator themselves.
        for text in [provider, key] {
            if let Some(text) = text {
                out.push_str(&text.len().to_string());
                out.push(':');
                out.push_str(text);
            }
            out.push('/');
        }
        out.extend(model);
        out
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.all
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut all = Self {
            all: entries.into_iter().collect(),
            shelves: HashMap::new(),
        };
        for (at, entry) in all.all.iter().enumerate() {
            let shelf = all.shelves.entry((entry.key.tenant, entry.key.purpose));
            put(shelf.or_default(), at, &all.all);
        }
        all
    }
}

/// Puts an entry into the groups of its names.
fn put(shelf: &mut Shelf, at: usize, all: &[Entry]) {
    let Some(entry) = all.get(at) else {
        return;
    };
    let is_default = entry.is_default && entry.model_type == Some(entry.key.purpose);
    for names in groups_of(entry) {
        let group = shelf.entry(names.joined().into()).or_insert(Group {
            first: at,
            best: at,
            default: None,
            of_model: None,
        });
        // Whoever asks for a key asks for it alone: its entries are compared by the rest.
        let asked = Ask {
            profile_key: names.key.map(str::to_owned),
            ..Ask::default()
        };
        let rank = |at: usize| -> Option<Rank<'_>> { Some(rank(all.get(at)?, &asked)) };
        if entry.key.model.is_some() {
            group.of_model.get_or_insert(at);
        }
        // As `choice` takes them: the last of equal ones, of default ones the first.
        if rank(at) >= rank(group.best) {
            group.best = at;
        }
        if is_default && group.default.is_none_or(|have| rank(at) > rank(have)) {
            group.default = Some(at);
        }
    }
}

/// Every choice of the entry's names that a call can make.
fn groups_of(entry: &Entry) -> impl Iterator<Item = Names<'_>> {
    (0..8_u8).map(|bits| Names {
        provider: (bits & 1 != 0).then_some(entry.key.provider.as_str()),
        model: (bits & 2 != 0).then_some(entry.key.model.as_deref()),
        key: (bits & 4 != 0).then_some(entry.key.profile_key.as_str()),
    })
}

impl Entries {
    /// Puts another outcome in the place of an entry's own: the last good revision, or why it may not serve.
    pub fn put(&mut self, at: usize, outcome: Result<Arc<Revision>, Diagnostics>) {
        if let Some(entry) = self.all.get_mut(at) {
            entry.revision = outcome;
        }
    }

    /// The entries among which the choice for `ask` falls, in their own order, if any can serve it.
    pub(super) fn near(&self, rules: &Rules, ask: &Ask) -> Vec<&Entry> {
        let Some(purpose) = Purpose::parse(&ask.purpose) else {
            return Vec::new();
        };
        let tenants = [None, ask.tenant];
        let tenants = tenants.iter().take(1 + usize::from(ask.tenant.is_some()));
        let shelves = tenants.filter_map(|tenant| self.shelves.get(&(*tenant, purpose)));
        let mut near = Near {
            all: &self.all,
            shelves: shelves.collect(),
            ask,
            places: Vec::new(),
        };
        if let Some(model) = &ask.model {
            near.of_model(Some(model));
        } else if !near.of_rule(rules) {
            near.of_default();
        }
        near.places.sort_unstable();
        near.places.dedup();
        let places = near.places.into_iter();
        places.filter_map(|at| self.all.get(at)).collect()
    }
}

/// What is gathered for one call.
struct Near<'e> {
    all: &'e [Entry],
    /// What the tenant sees: the system's, and its own.
    shelves: Vec<&'e Shelf>,
    ask: &'e Ask,
    places: Vec<usize>,
}

impl<'e> Near<'e> {
    /// The names that the call gives, but for the model.
    fn names(&self) -> Names<'e> {
        Names {
            provider: self.ask.provider.as_deref(),
            key: self.ask.profile_key.as_deref(),
            model: None,
        }
    }

    fn groups(&self, names: Names<'_>) -> Vec<&'e Group> {
        let joined = names.joined();
        let groups = self.shelves.iter();
        groups
            .filter_map(|shelf| shelf.get(joined.as_str()))
            .collect()
    }

    fn best(&mut self, names: Names<'_>) {
        let groups = self.groups(names);
        self.places.extend(groups.iter().map(|group| group.best));
    }

    /// The best of a model; where it is a default, of that default's provider.
    fn of_model(&mut self, model: Option<&str>) {
        let names = Names {
            model: Some(model),
            ..self.names()
        };
        self.best(names);
        for group in self.groups(names) {
            let Some(default) = group.default else {
                continue;
            };
            self.places.push(default);
            let provider = self
                .all
                .get(default)
                .map(|entry| entry.key.provider.as_str());
            self.best(Names { provider, ..names });
        }
    }

    /// The target and the fallback of the rule that chooses; whether one does.
    fn of_rule(&mut self, rules: &Rules) -> bool {
        let mut rules = rules.seen_by(self.ask.tenant);
        let rule = rules.find(|rule| rule.holds(self.ask) && self.of_key(&rule.target));
        if let Some(fallback) = rule.and_then(|rule| rule.fallback.as_ref()) {
            self.of_key(&fallback.to);
        }
        rule.is_some()
    }

    /// The best of this very model; whether there is one that the call may have.
    fn of_key(&mut self, key: &ModelKey) -> bool {
        let asked = self.ask.provider.as_ref();
        let before = self.places.len();
        if asked.is_none_or(|asked| *asked == key.provider) {
            self.best(Names {
                provider: Some(&key.provider),
                model: Some(Some(&key.model)),
                ..self.names()
            });
        }
        self.places.len() > before
    }

    /// The default model, or the one of the key that is asked for.
    fn of_default(&mut self) {
        let groups = self.groups(self.names());
        let mut places: Vec<usize> = groups.iter().filter_map(|group| group.default).collect();
        if self.ask.profile_key.is_some() {
            places.extend(groups.iter().map(|group| group.first));
        }
        if places.is_empty() {
            let of_model = groups.iter().filter_map(|group| group.of_model);
            self.places.extend(of_model);
            self.of_model(None);
        }
        for at in places {
            self.places.push(at);
            if let Some(entry) = self.all.get(at) {
                self.of_model(entry.key.model.as_deref());
            }
        }
    }
}

#[cfg(test)]
mod tests;
