//! The choice of a profile for a call (section 1), as a pure function.

use super::{Ask, Choice, Compiled, Entry, Fallback, ModelKey, RoutingRule};
use crate::check::walk::{nearest, some_of};
use crate::revision::{Purpose, Revision};
use diag::{Code, Diagnostic, Diagnostics, Place};
use std::sync::Arc;

/// Chooses the profile for a call.
///
/// # Errors
///
/// One finding that names what is unknown (`/purpose`, `/provider`, `/model`,
/// `/profile_key`) with the nearest known name, or why the row of the chosen
/// profile was refused.
pub fn choose(compiled: &Compiled, ask: &Ask) -> Result<Choice, Diagnostics> {
    let near = compiled.revisions.near(&compiled.rules, ask);
    match chosen(compiled, ask, &near) {
        Ok(choice) if choice.is_whole() => Ok(choice),
        // What to say of it, and which names there are, only the whole knows.
        _ => choose_among_all(compiled, ask),
    }
}

/// The same without the index.
pub(super) fn choose_among_all(compiled: &Compiled, ask: &Ask) -> Result<Choice, Diagnostics> {
    chosen(compiled, ask, &candidates(compiled, ask)?)
}

impl Choice {
    /// Whether its fallback was found, if it has one.
    pub(super) fn is_whole(&self) -> bool {
        let fallback = self.fallback.as_ref();
        fallback.is_none_or(|fallback| fallback.revision.is_ok())
    }
}

/// The choice among these entries.
pub(super) fn chosen(
    compiled: &Compiled,
    ask: &Ask,
    candidates: &[&Entry],
) -> Result<Choice, Diagnostics> {
    if let Some(rule) = rule(compiled, ask, candidates) {
        return Ok(Choice {
            revision: of_key(candidates, &rule.target, ask)?,
            fallback: rule.fallback.as_ref().map(|rule| Fallback {
                rule: rule.clone(),
                revision: of_key(candidates, &rule.to, ask),
            }),
        });
    }
    let model = model(ask, candidates)?;
    let entry = best(
        &of_one_model(candidates, model.as_deref(), ask),
        model.as_deref(),
        ask,
    )?;
    Ok(Choice {
        revision: usable(entry)?,
        fallback: None,
    })
}

/// The rule that chooses the model: none does when the call names one, and none
/// whose target has not the profile that the call names.
fn rule<'c>(compiled: &'c Compiled, ask: &Ask, candidates: &[&Entry]) -> Option<&'c RoutingRule> {
    if ask.model.is_some() {
        return None;
    }
    let keyed = |entry: &Entry| {
        let asked = ask.profile_key.as_ref();
        asked.is_none_or(|key| entry.key.profile_key == *key)
    };
    let serves = |rule: &RoutingRule| {
        let mut of_target = candidates.iter().filter(|entry| rule.target.is_of(entry));
        of_target.any(|entry| keyed(entry))
    };
    let mut rules = compiled.rules.seen_by(ask.tenant);
    rules.find(|rule| rule.holds(ask) && serves(rule))
}

/// The profile that serves this very model.
fn of_key(candidates: &[&Entry], key: &ModelKey, ask: &Ask) -> Result<Arc<Revision>, Diagnostics> {
    let of_provider = candidates.iter().copied();
    let of_provider = of_provider.filter(|entry| entry.key.provider == key.provider);
    let of_provider: Vec<&Entry> = of_provider.collect();
    usable(best(&of_provider, Some(&key.model), ask)?)
}

fn refuse(code: Code, at: &str, message: String, help: String) -> Diagnostics {
    Diagnostics(vec![Diagnostic::error(
        code,
        Place::pointer(at),
        message,
        help,
    )])
}

/// The names that are known, each once, with the nearest first.
fn known_names<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let near = nearest(given, names.iter().copied());
    let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    match names.is_empty() {
        true => "there is none yet; add rows first".to_owned(),
        false => format!("{start}known: {}", some_of(&names)),
    }
}

/// The entries of the purpose that the tenant sees, of the provider asked for.
fn candidates<'c>(compiled: &'c Compiled, ask: &Ask) -> Result<Vec<&'c Entry>, Diagnostics> {
    let visible = |entry: &&Entry| entry.key.tenant.is_none() || entry.key.tenant == ask.tenant;
    let all: Vec<&Entry> = compiled.revisions.iter().filter(visible).collect();
    let purpose = Purpose::parse(&ask.purpose);
    let fitting: Vec<&Entry> = all
        .iter()
        .copied()
        .filter(|entry| Some(entry.key.purpose) == purpose)
        .collect();
    if fitting.is_empty() {
        let help = known_names(
            &ask.purpose,
            all.iter().map(|entry| entry.key.purpose.as_str()),
        );
        let message = format!("no profile makes `{}`", ask.purpose);
        return Err(refuse(Code::C130, "/purpose", message, help));
    }
    let Some(provider) = &ask.provider else {
        return Ok(fitting);
    };
    let of: Vec<&Entry> = fitting
        .iter()
        .copied()
        .filter(|entry| entry.key.provider == *provider)
        .collect();
    if of.is_empty() {
        let help = known_names(
            provider,
            fitting.iter().map(|entry| entry.key.provider.as_str()),
        );
        let message = format!("there is no provider `{provider}` for this purpose");
        return Err(refuse(Code::C132, "/provider", message, help));
    }
    Ok(of)
}

/// The model asked for, else the default. No model at all: the profile asked for serves none.
fn model(ask: &Ask, candidates: &[&Entry]) -> Result<Option<String>, Diagnostics> {
    let has = |model: &str| {
        candidates
            .iter()
            .any(|e| e.key.model.as_deref() == Some(model))
    };
    if let Some(model) = &ask.model {
        if has(model) {
            return Ok(Some(model.clone()));
        }
        let names = candidates
            .iter()
            .filter_map(|entry| entry.key.model.as_deref());
        let help = known_names(model, names);
        let message = format!("there is no model `{model}` for this purpose");
        return Err(refuse(Code::C131, "/model", message, help));
    }
    // A profile asked for by key, of one model or none, needs no default.
    let keyed = candidates
        .iter()
        .filter(|entry| ask.profile_key.as_ref() == Some(&entry.key.profile_key));
    let keyed: Vec<_> = keyed.collect();
    let purpose = Purpose::parse(&ask.purpose);
    let is_default = |entry: &&&Entry| entry.is_default && entry.model_type == purpose;
    let of = |entries: &[&&Entry]| {
        let mut all: Vec<&&Entry> = entries.iter().copied().filter(|e| is_default(e)).collect();
        all.sort_by_key(|entry| std::cmp::Reverse(rank(entry, ask)));
        all.first().and_then(|entry| entry.key.model.clone())
    };
    if let Some(first) = keyed.first() {
        return Ok(of(&keyed).or_else(|| first.key.model.clone()));
    }
    let all: Vec<&&Entry> = candidates.iter().collect();
    if let Some(model) = of(&all) {
        return Ok(Some(model));
    }
    if candidates.iter().all(|entry| entry.key.model.is_none()) {
        return Ok(None);
    }
    let models = candidates.iter();
    let models = known_names("", models.filter_map(|entry| entry.key.model.as_deref()));
    let help = format!("name a model, or give one `\"is_default\": true`; {models}");
    let message = format!("no model is the default for `{}`", ask.purpose);
    Err(refuse(Code::C134, "/model", message, help))
}

/// Several providers may have a model of that id. Where one of them is the
/// default of its type, that one is meant: a bundle that is applied later must
/// not draw the calls of another provider to itself.
fn of_one_model<'c>(candidates: &[&'c Entry], model: Option<&str>, ask: &Ask) -> Vec<&'c Entry> {
    let purpose = Purpose::parse(&ask.purpose);
    let is_it = |entry: &&&Entry| {
        let named = ask
            .profile_key
            .as_ref()
            .is_none_or(|key| entry.key.profile_key == *key);
        entry.is_default
            && entry.model_type == purpose
            && entry.key.model.as_deref() == model
            && named
    };
    let mut defaults: Vec<_> = candidates.iter().filter(is_it).collect();
    defaults.sort_by_key(|entry| std::cmp::Reverse(rank(entry, ask)));
    let Some(default) = defaults.first() else {
        return candidates.to_vec();
    };
    let provider = &default.key.provider;
    candidates
        .iter()
        .copied()
        .filter(|entry| entry.key.provider == *provider)
        .collect()
}

/// Compared in turn: the key that the call asks for, else the model's; the own
/// tenant; bound to the model; the latest.
pub(super) type Rank<'e> = (bool, bool, bool, i64, std::cmp::Reverse<&'e str>);

pub(super) fn rank<'e>(entry: &'e Entry, ask: &Ask) -> Rank<'e> {
    let wanted = ask.profile_key.as_ref().or(entry.wanted_profile.as_ref());
    (
        wanted == Some(&entry.key.profile_key),
        entry.key.tenant.is_some(),
        entry.bound,
        entry.updated_at_us,
        std::cmp::Reverse(entry.key.profile_key.as_str()),
    )
}

fn best<'c>(
    candidates: &[&'c Entry],
    model: Option<&str>,
    ask: &Ask,
) -> Result<&'c Entry, Diagnostics> {
    let of_model = candidates
        .iter()
        .copied()
        .filter(|entry| entry.key.model.as_deref() == model);
    let of_model: Vec<&Entry> = of_model.collect();
    if let Some(key) = &ask.profile_key
        && !of_model.iter().any(|entry| entry.key.profile_key == *key)
    {
        let help = known_names(
            key,
            of_model.iter().map(|entry| entry.key.profile_key.as_str()),
        );
        let message = format!("there is no profile `{key}` for this purpose and model");
        return Err(refuse(Code::C133, "/profile_key", message, help));
    }
    let best = of_model.into_iter().max_by_key(|entry| rank(entry, ask));
    best.ok_or_else(|| {
        let name = model.unwrap_or("(none)");
        let message = format!("there is no profile for the model `{name}`");
        refuse(
            Code::C131,
            "/model",
            message,
            "add a profile that serves it".to_owned(),
        )
    })
}

fn usable(entry: &Entry) -> Result<Arc<Revision>, Diagnostics> {
    entry.revision.clone().map_err(|found| {
        let first = found.iter().find(|finding| finding.is_error());
        let why = first.map_or_else(String::new, |finding| {
            format!(": {} at {}", finding.message, finding.place)
        });
        refuse(
            Code::C135,
            "/profile_key",
            format!("the profile `{}` has mistakes{why}", entry.key.profile_key),
            "`modelrow profile check` shows every mistake".to_owned(),
        )
    })
}
