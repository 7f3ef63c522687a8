//! A bundle: the provider and the tables beside it, by natural key.

use super::build::{
    described, field, flag, free_object, list, map, named, object, text, tree, whole, words,
};
use super::exchange::{proof, retry, settle, webhook};
use super::{auth, capabilities, profile, purposes, schema_reference};
use crate::check::tables::STATUS_WORDS;
use serde_json::{Value, json};

const VERSIONS: u64 = u32::MAX as u64;

/// The schema of a bundle.
pub(super) fn schema() -> Value {
    let members = json!({
        "$schema": schema_reference("../../schemas/bundle.json"),
        "language": field(json!({ "type": "integer", "const": crate::rows::LANGUAGE }), "The level of the profile language.", crate::rows::LANGUAGE),
        "provider": described(provider(), "The row of `ai_providers`."),
        "auth_profiles": described(list(&auth::profile()), "How requests are proved, and the credentials that do it."),
        "response_schemas": described(list(&response_schema()), "JSON Schemas that outputs must satisfy."),
        "prompt_templates": described(list(&prompt_template()), "Bodies that models lay over the transport's."),
        "models": described(list(&model()), "What the provider offers."),
        "profiles": described(list(&profile::schema()), "How its API is called."),
        "routing_rules": described(list(&routing_rule()), "Which model serves a call that names none."),
    });
    object(&["language", "provider"], members)
}

fn provider() -> Value {
    let members = json!({
        "slug": field(text(), "The short name by which calls and links name the provider.", "acme"),
        "provider_family": field(text(), "The family of APIs that it belongs to. Left out: the slug.", "acme"),
        "name": field(text(), "The name for people. Left out: the slug.", "Acme"),
        "api_base_url": field(text(), "What every `path` is appended to; it may hold `{{config_…}}`.", "https://api.acme.ai/v1"),
        "status": field(words(STATUS_WORDS.iter().copied()), "`active` and `deprecated` serve. Left out: `active`.", "active"),
        "conventions": described(conventions(), "What is merged under every profile."),
        "egress": described(egress(), "Where its requests may go beside the hosts of `api_base_url`."),
    });
    named("provider", object(&["slug", "api_base_url"], members))
}

fn conventions() -> Value {
    let members = json!({
        "headers": field(map(&json!({ "type": ["string", "null"] })), "Headers of every exchange: templates.", json!({ "Authorization": "Bearer {{apiKey}}" })),
        "query": field(map(&tree()), "Members of every query: templates.", json!({ "api-version": "2026-05-01" })),
        "errors": described(profile::errors(), "Which of its codes mean what."),
        "retry": described(retry(), "How refusals for load are sent again."),
        "settle": described(settle(), "How an unknown outcome of a job's submit is learned."),
        "poll": described(profile::poll(), "What every poll inherits."),
        "webhook": described(webhook(), "How its callbacks are understood."),
        "verify": described(proof(), "A free exchange that proves a credential: `modelrow credential verify` sends it."),
    });
    named("conventions", object(&[], members))
}

fn egress() -> Value {
    let hosts = list(&text());
    let members = json!({
        "credential_hosts": field(hosts.clone(), "Hosts that may see the credential beside the API's own: a host, or `*.` and a domain.", json!(["uploads.acme.ai"])),
        "hosts": field(hosts, "The only other hosts that files may come from. Left out: any public one.", json!(["*.acme-cdn.com"])),
        "allow_http": field(flag(), "Plain `http` is allowed. Only an operator may set it.", false),
        "allow_private": field(flag(), "Private addresses are allowed. Only an operator may set it.", false),
    });
    named("egress", object(&[], members))
}

fn response_schema() -> Value {
    let members = json!({
        "name": field(text(), "The name by which models name it.", "video"),
        "version": field(whole(0, VERSIONS), "The highest serves, unless a model pins one. Left out: 1.", 1),
        "strict": field(flag(), "An output that does not satisfy it fails the run; else it is a warning. Left out: false.", true),
        "schema": field(json!({ "type": ["object", "boolean"] }), "The JSON Schema (2020-12) of the output.", json!({ "type": "object", "required": ["video"] })),
    });
    named("response_schema", object(&["name", "schema"], members))
}

fn prompt_template() -> Value {
    let members = json!({
        "name": field(text(), "The name by which models name it.", "acme-video"),
        "purpose": field(purposes(), "What it is for.", "video"),
        "version": field(whole(0, VERSIONS), "The highest serves, unless a model pins one. Left out: 1.", 1),
        "body": field(tree(), "Laid over the transport's `body` (RFC 7396).", json!({ "prompt": "{{input}}", "seconds": "{{params_seconds}}" })),
    });
    named("prompt_template", object(&["name", "body"], members))
}

fn model() -> Value {
    let members = json!({
        "model_id": field(text(), "The model's id in the API: `{{model}}`.", "a-1"),
        "name": field(text(), "Another name for people.", "A-1"),
        "display_name": field(text(), "The name that a form shows.", "Acme A-1"),
        "model_type": field(purposes(), "What it makes.", "video"),
        "capabilities": described(capabilities::schema(), "What a call to it may contain."),
        "prompt_template": field(text(), "The template whose body is laid over the transport's.", "acme-video"),
        "response_schema": field(text(), "The schema that its outputs must satisfy.", "video"),
        "is_default": field(flag(), "It serves calls of its type that name no model. Left out: false.", true),
        "status": field(words(STATUS_WORDS.iter().copied()), "`active` and `deprecated` serve. Left out: `active`.", "deprecated"),
    });
    named("model", object(&["model_id", "model_type"], members))
}

fn routing_rule() -> Value {
    let members = json!({
        "conditions": field(free_object(), "Facts of the call, and what they must be: a value, or `$lt`, `$lte`, `$gt`, `$gte` with a number. All must hold.", json!({ "feature": "teaser", "max_tokens": { "$lte": 2000 } })),
        "target_model": field(text(), "The model that serves the call.", "a-1"),
        "fallback_model": field(text(), "The model that serves it when the target was refused, or failed its job, for a reason that is not the request's.", "a-2"),
        "fallback_provider": field(text(), "The provider of that model. Left out: this one.", "other"),
        "fallback_on": field(list(&words(crate::catalogue::fallback_words())), "The classes after which it does.", json!(["rate_limited", "overloaded"])),
        "priority": field(json!({ "type": "integer" }), "The highest is tried first. Left out: 0.", 10),
    });
    named("routing_rule", object(&["target_model"], members))
}
