use super::super::choice::{choose, choose_among_all, chosen};
use super::super::{Choice, Compiled, EntryKey, FallbackRule, ModelKey, RoutingRule, compile_rows};
use super::*;
use crate::rows::{ModelRow, ProfileRow, ProviderRow, Rows};
use diag::{Code, Diagnostic, Place};
use proptest::prelude::*;
use serde_json::{Map, json};
use std::sync::LazyLock;

const TENANTS: [Option<Uuid>; 3] = [None, Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2))];
const PURPOSES: [Purpose; 2] = [Purpose::Video, Purpose::Image];
const PROVIDERS: [&str; 3] = ["acme", "brook", "cove"];
const MODELS: [&str; 3] = ["a", "b", "c"];
const KEYS: [&str; 3] = ["one", "two", "three"];

/// Revisions to be told apart.
static REVISIONS: LazyLock<Vec<Arc<Revision>>> = LazyLock::new(|| {
    let profile = |number: usize| ProfileRow {
        provider: "acme".into(),
        profile_key: format!("p{number}"),
        purpose: "video".into(),
        transport: json!({ "path": "/videos" }),
        is_active: true,
        ..ProfileRow::default()
    };
    let rows = Rows {
        providers: vec![ProviderRow {
            slug: "acme".into(),
            api_base_url: "https://api.acme.ai".into(),
            status: "active".into(),
            ..ProviderRow::default()
        }],
        models: vec![ModelRow {
            provider: "acme".into(),
            model_id: "a".into(),
            model_type: "video".into(),
            status: "active".into(),
            ..ModelRow::default()
        }],
        profiles: (0..30).map(profile).collect(),
        ..Rows::default()
    };
    let compiled = compile_rows(&rows);
    let revisions = compiled.revisions.iter();
    revisions
        .map(|entry| entry.revision.clone().unwrap())
        .collect()
});

fn entry() -> impl Strategy<Value = Entry> {
    let names = (0..3_usize, 0..2_usize, 0..3_usize, 0..4_usize, 0..3_usize);
    let flags = (
        any::<bool>(),
        any::<bool>(),
        0..3_i64,
        prop::option::of(0..3_usize),
        prop::bool::weighted(0.8),
    );
    (names, flags).prop_map(
        |((tenant, purpose, provider, model, key), (is_default, bound, age, wanted, good))| {
            let model = MODELS.get(model).map(|model| (*model).to_owned());
            Entry {
                is_default: is_default && model.is_some(),
                bound,
                updated_at_us: age,
                model_type: model.as_ref().map(|_| PURPOSES[purpose]),
                wanted_profile: wanted.map(|key| KEYS[key].to_owned()),
                revision: if good {
                    Ok(Arc::clone(&REVISIONS[0]))
                } else {
                    Err(Diagnostics(vec![Diagnostic::error(
                        Code::P101,
                        Place::default(),
                        "bad",
                        "mend it",
                    )]))
                },
                key: EntryKey {
                    tenant: TENANTS[tenant],
                    provider: PROVIDERS[provider].into(),
                    profile_key: KEYS[key].into(),
                    model,
                    purpose: PURPOSES[purpose],
                },
            }
        },
    )
}

fn rule() -> impl Strategy<Value = RoutingRule> {
    (
        0..3_usize,
        0..3_usize,
        0..3_usize,
        prop::option::of((0..3_usize, 0..3_usize)),
        any::<bool>(),
        0..2_i64,
    )
        .prop_map(|(tenant, provider, model, fallback, holds, priority)| {
            let key = |provider: usize, model: usize| ModelKey {
                provider: PROVIDERS[provider].into(),
                model: MODELS[model].into(),
            };
            let never = Map::from_iter([("feature".to_owned(), json!("none"))]);
            RoutingRule {
                tenant: TENANTS[tenant],
                conditions: if holds { Map::new() } else { never },
                target: key(provider, model),
                fallback: fallback.map(|(provider, model)| FallbackRule {
                    to: key(provider, model),
                    on: Vec::new(),
                }),
                priority,
            }
        })
}

fn ask() -> impl Strategy<Value = Ask> {
    (
        0..3_usize,
        0..3_usize,
        prop::option::of(0..4_usize),
        prop::option::of(0..4_usize),
        prop::option::of(0..4_usize),
    )
        .prop_map(|(tenant, purpose, provider, model, key)| {
            let name = |list: &[&str], at: usize| {
                list.get(at)
                    .map_or_else(|| "none".to_owned(), |name| (*name).to_owned())
            };
            Ask {
                purpose: ["video", "image", "chat"][purpose].to_owned(),
                provider: provider.map(|at| name(&PROVIDERS, at)),
                model: model.map(|at| name(&MODELS, at)),
                profile_key: key.map(|at| name(&KEYS, at)),
                tenant: TENANTS[tenant],
                ..Ask::default()
            }
        })
}

/// What was chosen, to be compared.
fn shown(choice: Result<Choice, Diagnostics>) -> String {
    match choice {
        Err(found) => found.to_string(),
        Ok(choice) => {
            let fallback = choice.fallback.map(|fallback| match fallback.revision {
                Ok(revision) => revision.profile_key.clone(),
                Err(found) => found.to_string(),
            });
            format!("{} {fallback:?}", choice.revision.profile_key)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_index_finds_what_a_search_through_all_finds(
        entries in prop::collection::vec(entry(), 0..24), rules in prop::collection::vec(rule(), 0..4), asks in prop::collection::vec(ask(), 8),
    ) {
        let entries = entries.into_iter().enumerate().map(|(at, mut entry)| {
            entry.revision = entry.revision.map(|_| Arc::clone(&REVISIONS[at]));
            entry
        });
        let compiled = Compiled { revisions: entries.collect(), rules: rules.into_iter().collect(), ..Compiled::default() };
        for ask in asks {
            let few = compiled.revisions.near(&compiled.rules, &ask);
            let served = |choice: Result<Choice, Diagnostics>| choice.is_ok_and(|choice| choice.is_whole());
            let among_few = served(chosen(&compiled, &ask, &few));
            prop_assert!(among_few || !served(choose_among_all(&compiled, &ask)), "not among {:?}: {:?}", few, ask);
            prop_assert_eq!(shown(choose(&compiled, &ask)), shown(choose_among_all(&compiled, &ask)), "{:?}", ask);
        }
    }
}

#[test]
fn a_good_choice_looks_at_its_own_few_only() {
    let profiles = (0..2_000).map(|number| {
        let key = EntryKey {
            tenant: TENANTS[number % 3],
            provider: format!("provider-{}", number % 100),
            profile_key: format!("profile-{}", number / 300),
            // Many providers have the first models and keys.
            model: Some(format!("model-{}", number / 200)),
            purpose: Purpose::Video,
        };
        Entry {
            key,
            is_default: number % 100 == 0,
            bound: false,
            updated_at_us: 0,
            model_type: Some(Purpose::Video),
            wanted_profile: None,
            revision: Ok(Arc::clone(&REVISIONS[0])),
        }
    });
    let entries: Entries = profiles.collect();
    let ask = Ask {
        purpose: "video".into(),
        tenant: TENANTS[1],
        ..Ask::default()
    };
    let asks = [
        ask.clone(),
        Ask {
            model: Some("model-7".into()),
            ..ask.clone()
        },
        Ask {
            profile_key: Some("profile-2".into()),
            ..ask.clone()
        },
        Ask {
            provider: Some("provider-0".into()),
            ..ask
        },
    ];
    for ask in asks {
        let near = entries.near(&Rules::default(), &ask).len();
        assert!((1..=8).contains(&near), "{near}: {ask:?}");
    }
}

#[test]
fn a_rule_that_holds_is_found_without_a_look_at_the_targets_of_others() {
    let entry = |number: usize| Entry {
        key: EntryKey {
            tenant: None,
            provider: "acme".into(),
            profile_key: "one".into(),
            model: Some(format!("model-{number}")),
            purpose: Purpose::Video,
        },
        is_default: false,
        bound: false,
        updated_at_us: 0,
        model_type: Some(Purpose::Video),
        wanted_profile: None,
        revision: Ok(Arc::clone(&REVISIONS[0])),
    };
    let model = |number: usize| ModelKey {
        provider: "acme".into(),
        model: format!("model-{number}"),
    };
    let rule = |number: usize| RoutingRule {
        tenant: TENANTS[number % 3],
        conditions: Map::from_iter([("feature".to_owned(), json!(format!("f-{number}")))]),
        target: model(number),
        fallback: Some(FallbackRule {
            to: model(number + 1),
            on: Vec::new(),
        }),
        priority: 0,
    };
    let entries: Entries = (0..200).map(entry).collect();
    let rules: Rules = (0..199).map(rule).collect();
    let ask = |feature: &str| Ask {
        purpose: "video".into(),
        tenant: TENANTS[1],
        facts: Map::from_iter([("feature".to_owned(), json!(feature))]),
        ..Ask::default()
    };
    assert_eq!(entries.near(&rules, &ask("f-100")).len(), 2);
    // Another tenant's rule is not looked at.
    let other = Some("model-101");
    let near = entries.near(&rules, &ask("f-101"));
    assert!(near.iter().all(|entry| entry.key.model.as_deref() != other));
    assert_eq!(rules.seen_by(TENANTS[1]).count(), 67 + 66);
    assert_eq!(rules.seen_by(None).count(), 67);
}
