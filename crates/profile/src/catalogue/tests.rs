use super::*;
use crate::rows::{ModelRow, ProfileRow, ProviderRow, RoutingRow, Rows};
use diag::Code;
use serde_json::{Value, json};

const OWN: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

fn model(id: &str, is_default: bool, wanted: Option<&str>) -> ModelRow {
    ModelRow {
        provider: "acme".into(),
        model_id: id.into(),
        model_type: "video".into(),
        capabilities: json!({ "profile_key": wanted }),
        is_default,
        status: "active".into(),
        ..ModelRow::default()
    }
}

fn profile(key: &str, model: Option<&str>, tenant: Option<Uuid>, updated_at_us: i64) -> ProfileRow {
    ProfileRow {
        tenant,
        provider: "acme".into(),
        model: model.map(str::to_owned),
        profile_key: key.into(),
        purpose: "video".into(),
        transport: json!({ "path": "/videos" }),
        is_active: true,
        updated_at_us,
        ..ProfileRow::default()
    }
}

fn rows() -> Rows {
    Rows {
        providers: vec![ProviderRow {
            slug: "acme".into(),
            api_base_url: "https://api.acme.ai/v1".into(),
            status: "active".into(),
            ..ProviderRow::default()
        }],
        models: vec![
            model("a-1", true, None),
            model("a-2", false, Some("named")),
            model("a-3", false, None),
        ],
        profiles: vec![
            profile("old", None, None, 1),
            profile("new", None, None, 2),
            profile("named", None, None, 0),
            profile("bound", Some("a-3"), None, 0),
            profile("own", None, Some(OWN), 0),
        ],
        ..Rows::default()
    }
}

fn compiled() -> Compiled {
    let compiled = compile_rows(&rows());
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    compiled
}

fn ask(model: Option<&str>, key: Option<&str>, tenant: Option<Uuid>) -> Ask {
    Ask {
        purpose: "video".into(),
        model: model.map(str::to_owned),
        profile_key: key.map(str::to_owned),
        tenant,
        ..Ask::default()
    }
}

#[test]
#[rustfmt::skip]
fn the_choice_compares_key_then_tenant_then_binding_then_age() {
    let compiled = compiled();
    let cases = [
        // model       key           tenant       model chosen, profile chosen
        (None,         None,         None,        ("a-1", "new")),
        (Some("a-1"),  Some("old"),  None,        ("a-1", "old")),
        (Some("a-2"),  None,         None,        ("a-2", "named")),
        (Some("a-2"),  Some("old"),  None,        ("a-2", "old")),
        (Some("a-2"),  None,         Some(OWN),   ("a-2", "named")),
        (Some("a-1"),  None,         Some(OWN),   ("a-1", "own")),
        (Some("a-1"),  None,         Some(OTHER), ("a-1", "new")),
        (Some("a-3"),  None,         None,        ("a-3", "bound")),
        (Some("a-3"),  None,         Some(OWN),   ("a-3", "own")),
        (None,         Some("bound"), None,       ("a-3", "bound")),
    ];
    for (model, key, tenant, want) in cases {
        let choice = choose(&compiled, &ask(model, key, tenant)).unwrap();
        let got = (choice.revision.model.as_deref().unwrap(), choice.revision.profile_key.as_str());
        assert_eq!(got, want, "{model:?} {key:?} {tenant:?}");
    }
}

#[test]
fn a_later_provider_with_a_model_of_the_same_id_does_not_draw_calls_to_itself() {
    let mut rows = rows();
    rows.providers.push(ProviderRow {
        slug: "later".into(),
        ..rows.providers[0].clone()
    });
    rows.models.push(ModelRow {
        provider: "later".into(),
        ..model("a-1", false, None)
    });
    rows.profiles.push(ProfileRow {
        provider: "later".into(),
        ..profile("newest", None, None, 9)
    });
    let compiled = compile_rows(&rows);
    let chosen = |ask: &Ask| choose(&compiled, ask).unwrap().revision.provider.clone();
    assert_eq!(chosen(&ask(None, None, None)), "acme");
    assert_eq!(chosen(&ask(Some("a-1"), None, None)), "acme");
    let mut other = ask(Some("a-1"), None, None);
    other.provider = Some("later".into());
    assert_eq!(chosen(&other), "later");
    assert_eq!(chosen(&ask(Some("a-1"), Some("newest"), None)), "later");
}

#[test]
#[rustfmt::skip]
fn what_is_unknown_is_named_with_the_nearest_name() {
    let compiled = compiled();
    let video = ask(None, None, None);
    let cases = [
        (Ask { purpose: "vidoe".into(), ..video.clone() },            Code::C130, "/purpose",     "`video`"),
        (Ask { provider: Some("acmee".into()), ..video.clone() },     Code::C132, "/provider",    "`acme`"),
        (Ask { model: Some("a-11".into()), ..video.clone() },         Code::C131, "/model",       "`a-1`"),
        (ask(Some("a-1"), Some("olds"), None),                        Code::C133, "/profile_key", "`old`"),
    ];
    for (asked, code, pointer, near) in cases {
        let found = choose(&compiled, &asked).unwrap_err();
        let first = found.iter().next().unwrap();
        assert_eq!((first.code, first.place.pointer.as_str()), (code, pointer));
        assert!(first.help.contains(near), "{first}");
    }
}

#[test]
fn a_refusal_lists_the_first_names_only_however_many_there_are() {
    let mut rows = rows();
    let more = (0..100).map(|number| model(&format!("m-{number:03}"), false, None));
    rows.models.extend(more);
    rows.routing_rules = vec![rule(json!({}), "nobody", None)];
    let compiled = compile_rows(&rows);
    let refused = choose(&compiled, &ask(Some("m-7000"), None, None)).unwrap_err();
    let all = refused.iter().chain(compiled.diagnostics.iter());
    let all = all.map(|one| one.help.as_str());
    let all: Vec<&str> = all.filter(|help| help.contains("known: ")).collect();
    assert_eq!(all.len(), 2, "{all:?}");
    for help in all {
        assert!(help.ends_with("and 53 more"), "{help}");
        assert!(help.len() < 1_000, "{help}");
    }
}

fn rule(conditions: Value, target: &str, fallback: Option<&str>) -> RoutingRow {
    RoutingRow {
        provider: "acme".into(),
        conditions,
        target_model: target.into(),
        fallback_model: fallback.map(str::to_owned),
        ..RoutingRow::default()
    }
}

#[test]
#[rustfmt::skip]
fn a_routing_rule_holds_when_all_its_conditions_over_the_facts_of_the_call_do() {
    let cases = [
        (json!({}),                                      true),
        (json!({"feature": "clip"}),                     true),
        (json!({"feature": "Clip"}),                     false),
        (json!({"feature": "clip", "language": "ko"}),   false),
        (json!({"feature": "clip", "language": "en"}),   true),
        (json!({"purpose": "video"}),                    true),
        (json!({"purpose": "image"}),                    false),
        (json!({"model_type": "video"}),                 true),
        (json!({"model_type": "text"}),                  false),
        (json!({"max_tokens": 100}),                     true),
        (json!({"max_tokens": "100"}),                   false),
        (json!({"max_tokens": {"$gte": 100, "$lt": 101}}), true),
        (json!({"max_tokens": {"$gt": 100}}),            false),
        (json!({"max_tokens": {"$lt": 100}}),            false),
        (json!({"max_tokens": {"$lte": 100}}),           true),
        (json!({"max_tokens": {"$gte": 100.5}}),         false),
        (json!({"metadata.tier": "gold"}),               true),
        (json!({"metadata.seats": {"$gt": 2}}),          true),
        (json!({"metadata.trial": false}),               true),
        (json!({"metadata.tier": {"$gt": 1}}),           false),
        (json!({"metadata.gone": "gold"}),               false),
        (json!({"metadata.none": null}),                 false),
    ];
    let mut asked = ask(None, None, None);
    asked.facts = json!({
        "feature": "clip", "language": "en", "max_tokens": 100,
        "metadata": {"tier": "gold", "seats": 3, "trial": false, "none": null},
    }).as_object().unwrap().clone();
    for (conditions, holds) in cases {
        let mut rows = rows();
        rows.routing_rules = vec![rule(conditions.clone(), "a-3", Some("a-2"))];
        let choice = choose(&compile_rows(&rows), &asked).unwrap();
        assert_eq!(choice.revision.model.as_deref() == Some("a-3"), holds, "{conditions}");
        assert_eq!(choice.fallback.is_some(), holds, "{conditions}");
    }
}

#[test]
fn a_rule_for_text_holds_for_chat_as_the_types_of_models_do() {
    let mut rows = rows();
    for row in &mut rows.profiles {
        row.purpose = "chat".into();
    }
    for row in &mut rows.models {
        row.model_type = "text".into();
    }
    for (word, asked) in [("text", "chat"), ("chat", "text"), ("text", "text")] {
        rows.routing_rules = vec![rule(json!({ "model_type": word }), "a-3", None)];
        let asked = Ask {
            purpose: asked.into(),
            ..Ask::default()
        };
        let choice = choose(&compile_rows(&rows), &asked).unwrap();
        assert_eq!(choice.revision.model.as_deref(), Some("a-3"), "{word}");
    }
}

#[test]
#[rustfmt::skip]
fn the_rules_by_falling_priority_choose_where_the_call_names_no_model() {
    let with = |priority, tenant, target| RoutingRow { priority, tenant, ..rule(json!({}), target, None) };
    let cases = [
        // the rules, in the order of their rows                      asked by  model   profile  chosen
        (vec![with(1, None, "a-1"), with(2, None, "a-3")],            None,     None,   None,    "a-3"),
        (vec![with(2, None, "a-3"), with(1, None, "a-1")],            None,     None,   None,    "a-3"),
        // A call that names its model is not routed, nor one whose profile the target has not.
        (vec![with(1, None, "a-3")],                                  None,     Some("a-2"), None, "a-2"),
        (vec![with(9, None, "a-2"), with(1, None, "a-3")],            None,     None,   Some("bound"), "a-3"),
        // A rule whose target nothing serves is passed over.
        (vec![with(9, None, "gone"), with(1, None, "a-3")],           None,     None,   None,    "a-3"),
        // Of the same priority the tenant's own is first; another tenant's is not seen.
        (vec![with(1, None, "a-2"), with(1, Some(OWN), "a-3")],       Some(OWN), None,  None,    "a-3"),
        (vec![with(1, None, "a-2"), with(1, Some(OWN), "a-3")],       Some(OTHER), None, None,   "a-2"),
        (vec![with(2, None, "a-2"), with(1, Some(OWN), "a-3")],       Some(OWN), None,  None,    "a-2"),
        (vec![],                                                      None,     None,   None,    "a-1"),
    ];
    for (rules, tenant, model, key, want) in cases {
        let mut rows = rows();
        rows.routing_rules = rules;
        let choice = choose(&compile_rows(&rows), &ask(model, key, tenant)).unwrap();
        assert_eq!(choice.revision.model.as_deref(), Some(want));
    }
}

/// `acme` and `rival`, each with a model `a-1`.
fn two_providers() -> Rows {
    let mut rows = rows();
    rows.providers.push(ProviderRow {
        slug: "rival".into(),
        ..rows.providers[0].clone()
    });
    rows.models.push(ModelRow {
        provider: "rival".into(),
        ..model("a-1", false, None)
    });
    rows.profiles.push(ProfileRow {
        provider: "rival".into(),
        ..profile("rivals", None, None, 0)
    });
    rows
}

#[test]
fn a_fallback_may_be_the_same_model_at_another_provider() {
    let mut rows = two_providers();
    rows.routing_rules = vec![RoutingRow {
        fallback_provider: Some("rival".into()),
        ..rule(json!({}), "a-1", Some("a-1"))
    }];
    let compiled = compile_rows(&rows);
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    let choice = choose(&compiled, &ask(None, None, None)).unwrap();
    let fallback = choice.fallback.unwrap().revision.unwrap();
    let providers = [&choice.revision, &fallback].map(|one| one.provider.clone());
    assert_eq!(providers, ["acme", "rival"]);
    // A caller who asks for one provider is not served by another.
    let mut asked = ask(None, None, None);
    asked.provider = Some("acme".into());
    let choice = choose(&compiled, &asked).unwrap();
    assert!(choice.fallback.unwrap().revision.is_err());
}

#[test]
#[rustfmt::skip]
fn a_fallback_runs_after_the_classes_of_the_page_or_those_that_the_rule_lists() {
    use Class::{Authentication, Billing, Expired, Overloaded, ProviderError, RateLimited, Transient};
    let cases: [(&[&str], &[Class], Option<Code>); 5] = [
        (&[],                              &[Authentication, Billing, RateLimited, Overloaded, Transient], None),
        (&["overloaded"],                  &[Overloaded],             None),
        (&["provider_error", "expired"],   &[ProviderError, Expired], None),
        // Never after an unknown outcome, and not for what is wrong with the request.
        (&["unknown_outcome"],             &[],                       Some(Code::P105)),
        (&["invalid_request", "billing"],  &[Billing],                Some(Code::P105)),
    ];
    for (listed, on, code) in cases {
        let mut rows = rows();
        rows.routing_rules = vec![RoutingRow {
            fallback_on: listed.iter().map(|word| (*word).to_owned()).collect(),
            ..rule(json!({}), "a-1", Some("a-2"))
        }];
        let compiled = compile_rows(&rows);
        let first = compiled.diagnostics.iter().find(|one| one.is_error());
        assert_eq!(first.map(|one| one.code), code, "{listed:?}");
        assert_eq!(compiled.rules[0].fallback.as_ref().unwrap().on, on, "{listed:?}");
    }
}

#[test]
#[rustfmt::skip]
fn only_what_is_active_serves() {
    type Change = fn(&mut Rows);
    let cases: [(&str, Change, Result<&str, Code>); 7] = [
        // what is put away                     chosen for `a-1`, or why nothing is
        ("nothing",                             |_| (),                                               Ok("new")),
        ("the latest profile",                  |rows| rows.profiles[1].is_active = false,            Ok("old")),
        ("the model",                           |rows| rows.models[0].status = "disabled".into(),     Err(Code::C131)),
        ("a model that is only advised against", |rows| rows.models[0].status = "deprecated".into(),  Ok("new")),
        ("the provider",                        |rows| rows.providers[0].status = "disabled".into(),  Err(Code::C130)),
        ("every profile",                       |rows| rows.profiles.iter_mut().for_each(|row| row.is_active = false), Err(Code::C130)),
        ("a model's profiles",                  |rows| rows.profiles.iter_mut().take(3).for_each(|row| row.is_active = false), Err(Code::C131)),
    ];
    for (why, change, want) in cases {
        let mut rows = rows();
        change(&mut rows);
        let got = choose(&compile_rows(&rows), &ask(Some("a-1"), None, None));
        let got = got.map(|choice| choice.revision.profile_key.clone()).map_err(|found| found.0[0].code);
        assert_eq!(got.as_deref().map_err(|code| *code), want, "{why}");
    }
}

#[test]
fn a_bad_row_refuses_its_own_profile_and_no_other() {
    let mut rows = rows();
    rows.profiles[1].transport = json!({ "path": "/videos", "misspelt": 1 });
    let compiled = compile_rows(&rows);
    assert!(compiled.diagnostics.has_errors());
    let found = choose(&compiled, &ask(Some("a-1"), None, None)).unwrap_err();
    assert_eq!(found.0[0].code, Code::C135);
    assert!(found.0[0].message.contains("misspelt"), "{found}");
    assert!(choose(&compiled, &ask(Some("a-1"), Some("old"), None)).is_ok());
}

#[test]
fn a_revision_is_named_by_its_content_whatever_the_order_of_members() {
    let one = json!({"b": [1, {"y": "é", "x": null}], "a": 1.0});
    let two = json!({"a": 1.0, "b": [1, {"x": null, "y": "é"}]});
    assert_eq!(
        crate::content::revision_id(&one),
        crate::content::revision_id(&two)
    );
    assert_ne!(
        crate::content::revision_id(&one),
        crate::content::revision_id(&json!({"a": 1.0}))
    );
}

#[test]
fn what_one_model_declares_is_absent_for_another_and_no_mistake() {
    let mut rows = rows();
    rows.models[0].capabilities = json!({ "options": { "seed": { "type": "int" } } });
    rows.profiles.truncate(1);
    rows.models[1].capabilities = json!({});
    rows.profiles[0].transport =
        json!({ "path": "/videos", "body": { "seed": "{{json params_seed}}" } });
    let compiled = compile_rows(&rows);
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    rows.profiles[0].transport =
        json!({ "path": "/videos", "body": { "seed": "{{json params_sead}}" } });
    assert!(compile_rows(&rows).diagnostics.has_errors());
}

#[test]
fn the_latest_template_serves_unless_the_model_names_a_version() {
    let mut rows = rows();
    let template = |version| crate::rows::TemplateRow {
        name: "t".into(),
        version,
        body: json!({ "version": version }),
        ..crate::rows::TemplateRow::default()
    };
    rows.prompt_templates = vec![template(1), template(3), template(2)];
    rows.models[0].prompt_template = Some("t".into());
    let version = |rows: &Rows| {
        let choice = choose(&compile_rows(rows), &ask(Some("a-1"), None, None)).unwrap();
        choice.revision.content["prompt_template"]["version"].clone()
    };
    assert_eq!(version(&rows), 3);
    rows.models[0].prompt_template_version = Some(1);
    assert_eq!(version(&rows), 1);
}

#[test]
fn a_tenants_row_cannot_open_the_house_to_itself() {
    for (tenant, found) in [(None, vec![]), (Some(OWN), vec![Code::P116, Code::P116])] {
        let mut rows = rows();
        rows.providers[0].egress = json!({ "allow_http": true, "allow_private": true });
        rows.providers[0].tenant = tenant;
        rows.profiles = vec![profile("own", None, Some(OWN), 0)];
        rows.models.truncate(1);
        let compiled = compile_rows(&rows);
        let codes: Vec<Code> = compiled
            .diagnostics
            .iter()
            .filter(|one| one.is_error())
            .map(|one| one.code)
            .collect();
        assert_eq!(codes, found, "{tenant:?}: {}", compiled.diagnostics);
        let serves = compiled
            .revisions
            .iter()
            .any(|entry| entry.revision.is_ok());
        assert_eq!(serves, tenant.is_none());
    }
}
