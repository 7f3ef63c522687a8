//! The judgement of a call: all violations at once.

use super::{Capabilities, InputSpec, LimitTarget, rule};
use crate::call::{Call, Checked, Input, MediaFacts};
use crate::check::walk::nearest;
use diag::{Code, Diagnostic, Diagnostics, Place};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Media = BTreeMap<String, Vec<MediaFacts>>;

pub(super) fn check(
    capabilities: &Capabilities,
    call: &Call,
    media: &Media,
) -> Result<Checked, Diagnostics> {
    let mut judge = Judge {
        capabilities,
        call,
        found: Diagnostics::new(),
    };
    let params = judge.params();
    judge.inputs(media);
    judge.prompt();
    judge.limits(&params);
    judge.rules(&params, media);
    if judge.found.has_errors() {
        return Err(judge.found);
    }
    let call = Call {
        params,
        ..clone_without_params(call)
    };
    Ok(Checked { call })
}

/// What is wrong before any medium is read; empty unless media are asked for
/// that the model does not take, or too many.
pub(super) fn before_reading(capabilities: &Capabilities, call: &Call) -> Diagnostics {
    let mut judge = Judge {
        capabilities,
        call,
        found: Diagnostics::new(),
    };
    judge.inputs(&Media::new());
    let takes = |one: &Diagnostic| !matches!(one.code, Code::C110 | Code::C112);
    if judge.found.iter().all(takes) {
        return Diagnostics::new();
    }
    let params = judge.params();
    judge.prompt();
    judge.limits(&params);
    judge.found
}

/// The rest of the call; the options are replaced, so they are not copied.
fn clone_without_params(call: &Call) -> Call {
    Call {
        prompt: call.prompt.clone(),
        messages: call.messages.clone(),
        params: Map::new(),
        inputs: call.inputs.clone(),
        context: call.context.clone(),
        language: call.language.clone(),
        max_tokens: call.max_tokens,
        short_history: call.short_history.clone(),
        long_summary: call.long_summary.clone(),
    }
}

struct Judge<'a> {
    capabilities: &'a Capabilities,
    call: &'a Call,
    found: Diagnostics,
}

impl Judge<'_> {
    fn refuse(&mut self, code: Code, at: &[&str], message: String, help: String) {
        let root = Place::default();
        let place = at.iter().fold(root, |place, token| place.child(token));
        self.found
            .push(Diagnostic::error(code, place, message, help));
    }

    /// The options that templates read; null counts as not given.
    fn params(&mut self) -> Map<String, Value> {
        let capabilities = self.capabilities;
        for name in self.call.params.keys() {
            if capabilities.option(name).is_none() {
                self.unknown_option(name);
            }
        }
        let mut params = Map::new();
        for option in &capabilities.options {
            let name = option.name.as_str();
            let given = self.call.params.get(name).filter(|value| !value.is_null());
            let Some(given) = given else {
                match &option.default {
                    Some(default) => {
                        params.insert(name.to_owned(), default.clone());
                    }
                    None if option.required && option.supported => self.refuse(
                        Code::C107,
                        &["params", name],
                        format!("the option `{name}` is missing"),
                        "the model requires it".to_owned(),
                    ),
                    None => {}
                }
                continue;
            };
            if !option.supported {
                let help = format!("known options: {}", self.known_options());
                self.refuse(
                    Code::C106,
                    &["params", name],
                    format!("the model does not support `{name}`"),
                    help,
                );
                continue;
            }
            match option.accept(given) {
                Ok(value) => {
                    params.insert(name.to_owned(), value);
                }
                Err(refusal) => {
                    let items: Vec<String> = refusal.items.iter().map(usize::to_string).collect();
                    let mut at = vec!["params", name];
                    at.extend(items.iter().map(String::as_str));
                    self.refuse(refusal.code, &at, refusal.message, refusal.help);
                }
            }
        }
        params
    }

    fn known_options(&self) -> String {
        let options = self.capabilities.options.iter();
        let known: Vec<&str> = options
            .filter(|o| o.supported)
            .map(|o| o.name.as_str())
            .collect();
        known.join(", ")
    }

    fn unknown_option(&mut self, name: &str) {
        let names = self
            .capabilities
            .options
            .iter()
            .filter(|option| option.supported);
        let near = nearest(name, names.map(|option| option.name.as_str()));
        let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let help = format!("{start}known options: {}", self.known_options());
        self.refuse(
            Code::C101,
            &["params", name],
            format!("the model has no option `{name}`"),
            help,
        );
    }

    fn inputs(&mut self, media: &Media) {
        let capabilities = self.capabilities;
        for (name, items) in &self.call.inputs {
            let Some(spec) = capabilities.inputs.iter().find(|spec| spec.name == *name) else {
                self.unknown_input(name);
                continue;
            };
            if items.len() as u64 > spec.max_count {
                self.refuse(
                    Code::C112,
                    &["inputs", name],
                    format!("{} were given", items.len()),
                    format!("at most {}", spec.max_count),
                );
            }
            for (i, item) in items.iter().enumerate() {
                self.one_input(name, i, item);
            }
            for (i, facts) in media.get(name).into_iter().flatten().enumerate() {
                self.medium(spec, i, facts);
            }
        }
        for spec in capabilities.inputs.iter().filter(|spec| spec.required) {
            if self.call.inputs.get(&spec.name).is_none_or(Vec::is_empty) {
                self.refuse(
                    Code::C111,
                    &["inputs", &spec.name],
                    format!("the input `{}` is missing", spec.name),
                    "the model requires it".to_owned(),
                );
            }
        }
    }

    fn unknown_input(&mut self, name: &str) {
        let names = self
            .capabilities
            .inputs
            .iter()
            .map(|spec| spec.name.as_str());
        let known: Vec<&str> = names.collect();
        let near = nearest(name, known.iter().copied());
        let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let help = match known.is_empty() {
            true => "the model takes no media".to_owned(),
            false => format!("{start}known inputs: {}", known.join(", ")),
        };
        self.refuse(
            Code::C110,
            &["inputs", name],
            format!("the model has no input `{name}`"),
            help,
        );
    }

    fn one_input(&mut self, name: &str, index: usize, item: &Input) {
        let ways = [
            item.id.is_some(),
            item.url.is_some(),
            item.data_url.is_some(),
            item.handle.is_some(),
        ];
        if ways.into_iter().filter(|given| *given).count() != 1 {
            self.refuse(
                Code::C120,
                &["inputs", name, &index.to_string()],
                "the medium is not clear".to_owned(),
                "give exactly one of `id`, `url`, `data_url` and `handle`".to_owned(),
            );
        }
    }

    fn medium(&mut self, spec: &InputSpec, index: usize, facts: &MediaFacts) {
        let index = index.to_string();
        let at = ["inputs", &spec.name, &index];
        let wanted = spec.takes();
        if !wanted.is_empty() && !wanted.iter().any(|wanted| fits(wanted, &facts.mime)) {
            self.refuse(
                Code::C113,
                &at,
                format!("the medium is `{}`", facts.mime),
                format!("one of: {}", wanted.join(", ")),
            );
        }
        if facts.bytes > spec.max_bytes {
            self.refuse(
                Code::C114,
                &at,
                format!("the medium has {} bytes", facts.bytes),
                format!("at most {}", spec.max_bytes),
            );
        }
    }

    fn prompt(&mut self) {
        let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let prompt = has(&self.call.prompt);
        let input = prompt || has(&self.call.short_history) || has(&self.call.long_summary);
        let missing = (self.capabilities.prompt_required && !prompt)
            || (self.capabilities.input_required && !input);
        if missing {
            self.refuse(
                Code::C116,
                &["prompt"],
                "the prompt is missing".to_owned(),
                "give a `prompt`".to_owned(),
            );
        }
    }

    fn limits(&mut self, params: &Map<String, Value>) {
        for limit in &self.capabilities.limits {
            let (size, at, code): (Option<f64>, [&str; 2], Code) = match &limit.target {
                LimitTarget::Option(name) => (
                    params.get(name).and_then(size),
                    ["params", name],
                    Code::C118,
                ),
                LimitTarget::PromptChars => {
                    let prompt = self.call.prompt.as_ref();
                    let chars = prompt.map(|text| count(text.chars().count()));
                    (chars, ["prompt", ""], Code::C117)
                }
                LimitTarget::MaxTokens => {
                    let tokens = self
                        .call
                        .max_tokens
                        .map(|n| count(usize::try_from(n).unwrap_or(usize::MAX)));
                    (tokens, ["max_tokens", ""], Code::C118)
                }
                LimitTarget::InputCount(names) => (
                    self.too_many(names, limit.value),
                    ["inputs", ""],
                    Code::C118,
                ),
            };
            let Some(size) = size.filter(|size| *size > limit.value) else {
                continue;
            };
            let at: Vec<&str> = at.into_iter().filter(|token| !token.is_empty()).collect();
            let message = format!("{size} is more than the model's `{}`", limit.name);
            self.refuse(code, &at, message, format!("at most {}", limit.value));
        }
    }

    /// How many media these inputs have together, when that is more than `most`
    /// even without those that their own `max_count` refuses: one mistake is
    /// one finding.
    fn too_many(&self, names: &[String], most: f64) -> Option<f64> {
        let (mut given, mut fitting) = (0, 0);
        for spec in self
            .capabilities
            .inputs
            .iter()
            .filter(|spec| names.contains(&spec.name))
        {
            let len = self.call.inputs.get(&spec.name).map_or(0, Vec::len);
            given += len;
            fitting += len.min(usize::try_from(spec.max_count).unwrap_or(usize::MAX));
        }
        (count(fitting) > most).then(|| count(given))
    }

    fn rules(&mut self, params: &Map<String, Value>, media: &Media) {
        if self.capabilities.rules.is_empty() {
            return;
        }
        let instance = self.rule_instance(params, media);
        for rule in &self.capabilities.rules {
            if let Some(broken) = rule::broken(rule, &instance) {
                let place = Place {
                    pointer: broken.pointer,
                    ..Place::default()
                };
                let message = rule.message.clone();
                self.found
                    .push(Diagnostic::error(Code::C115, place, message, broken.help));
            }
        }
    }

    /// `{…params, "inputs": {<name>: [{mime, bytes}]}}`; media that are not
    /// here yet are empty objects. An option that was refused stands as it was
    /// given, so that no rule takes it for missing.
    fn rule_instance(&self, params: &Map<String, Value>, media: &Media) -> Value {
        let mut instance = params.clone();
        for (name, value) in &self.call.params {
            if !instance.contains_key(name) && self.capabilities.option(name).is_some() {
                instance.insert(name.clone(), value.clone());
            }
        }
        let inputs = self.call.inputs.iter().map(|(name, items)| {
            let facts = media.get(name).map_or(&[][..], Vec::as_slice);
            let list = (0..items.len()).map(|i| match facts.get(i) {
                Some(facts) => json!({ "mime": facts.mime, "bytes": facts.bytes }),
                None => json!({}),
            });
            (name.clone(), list.collect::<Value>())
        });
        instance.insert("inputs".to_owned(), Value::Object(inputs.collect()));
        Value::Object(instance)
    }
}

/// A number; of a text or list its length.
fn size(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(text.parse().unwrap_or_else(|_| count(text.chars().count()))),
        Value::Array(items) => Some(count(items.len())),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

/// Whether a media type is wanted: `image/png`, `image/*`.
fn fits(wanted: &str, given: &str) -> bool {
    let given = given.split(';').next().unwrap_or_default().trim();
    match wanted.strip_suffix("/*") {
        Some(kind) => given
            .split('/')
            .next()
            .is_some_and(|own| own.eq_ignore_ascii_case(kind)),
        None => wanted == "*/*" || wanted.eq_ignore_ascii_case(given),
    }
}
