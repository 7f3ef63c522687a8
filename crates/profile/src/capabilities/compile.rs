//! From the `capabilities` of a row to [`Capabilities`].

use super::option::{Case, Kind, Normalize, OptionSpec, Range};
use super::{Capabilities, InputSpec, Lifecycle, Limit, LimitTarget, Rule, limits, rule, schema};
use crate::check::walk::{Fields, Sink, nearest, wrong_type};
use crate::check::{bounds, json_schema, names};
use crate::lang;
use diag::{Code, Place};
use serde_json::{Map, Number, Value};
use time::Date;

/// Names that one model declares, for templates of profiles that serve several.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared {
    pub(crate) options: Vec<String>,
    pub(crate) inputs: Vec<String>,
}

impl Declared {
    /// Reads the names alone; mistakes are found elsewhere.
    pub(crate) fn of(capabilities: &Value) -> Self {
        let names = |member: &str| {
            let members = capabilities.get(member).and_then(Value::as_object);
            members
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect()
        };
        Self {
            options: names("options"),
            inputs: names("inputs"),
        }
    }
}

/// Compiles the capabilities of a model. Pricing and the prompt's need come
/// later: they take the names of the whole profile.
pub(crate) fn compile(value: &Value, model: Option<&str>, at: &Place, sink: &Sink) -> Capabilities {
    let Some(fields) = Fields::open(value, at, sink) else {
        let mut none = Capabilities::default();
        none.schema = schema::of(&none, model);
        return none;
    };
    named_model(&fields, model, sink);
    fields.skip(&[
        "display_name",
        "validation_hints",
        "description",
        "label",
        "pricing",
    ]);
    let (options, broken) = options(&fields, sink);
    let mut made = Capabilities {
        profile_key: fields.text("profile_key").map(str::to_owned),
        options,
        inputs: inputs(&fields, sink),
        ..Capabilities::default()
    };
    supports(&fields, &mut made, sink);
    defaults(&fields, &mut made, &broken, sink);
    made.limits = read_limits(&fields, &made, sink);
    made.rules = rules(&fields, &made.options, sink);
    made.lifecycle = lifecycle(&fields, sink);
    fields.finish();
    made.schema = schema::of(&made, model);
    made
}

fn named_model(fields: &Fields<'_>, model: Option<&str>, sink: &Sink) {
    let given = fields.text("model");
    if let (Some(given), Some(model)) = (given, model)
        && given != model
    {
        sink.warn(
            Code::P307,
            &fields.place("model"),
            format!("the capabilities are those of `{given}`, and the model is `{model}`"),
            format!("write `{model}`, or leave it out"),
        );
    }
}

/// Every option, and the names of those that could not be read: nothing is said of their defaults.
fn options(fields: &Fields<'_>, sink: &Sink) -> (Vec<OptionSpec>, Vec<String>) {
    let at = fields.place("options");
    let (mut all, mut broken) = (Vec::new(), Vec::new());
    for (name, source) in fields.object("options").into_iter().flatten() {
        let at = at.child(name);
        names::identifier(name, &at, sink);
        let own = Sink::default();
        let Some(fields) = Fields::open(source, &at, &own) else {
            match source {
                Value::Null => wrong_type(sink, &at, "an object", source),
                Value::Array(_) => sink.error(
                    Code::P102,
                    &at,
                    "an object is needed here, not a list",
                    "write `{\"type\": \"enum\", \"values\": […]}`",
                ),
                _ => sink.extend(own.into_inner()),
            }
            broken.push(name.clone());
            continue;
        };
        fields.skip(&["validation_hints"]);
        fields.elsewhere(
            &["default"],
            "defaults stand beside the options: `capabilities.defaults`, by the option's name",
        );
        let kind = kind(&fields, &own);
        let spec = OptionSpec {
            name: name.clone(),
            required: fields.flag("required").unwrap_or(false),
            supported: true,
            default: None,
            normalize: normalize(&fields, &own),
            words: (
                fields.text("label").map(str::to_owned),
                fields.text("description").map(str::to_owned),
            ),
            // A broken option takes anything, so that the rest can be checked.
            kind: kind.unwrap_or(Kind::Object(None)),
        };
        fields.finish();
        if own.has_errors() {
            broken.push(name.clone());
        }
        sink.extend(own.into_inner());
        all.push(spec);
    }
    (all, broken)
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Int,
    Number,
    Bool,
    Text,
    Enum,
    Array,
    Object,
}

const WORDS: &[(&str, Word)] = &[
    ("int", Word::Int),
    ("number", Word::Number),
    ("bool", Word::Bool),
    ("string", Word::Text),
    ("enum", Word::Enum),
    ("array", Word::Array),
    ("object", Word::Object),
];

/// Members that a type may have beside those of every option.
const MEMBERS: &[&str] = &[
    "min",
    "max",
    "step",
    "values",
    "max_length",
    "pattern",
    "items",
    "schema",
];

fn kind(fields: &Fields<'_>, sink: &Sink) -> Option<Kind> {
    if fields.raw("type").is_none() {
        fields.missing("type");
        fields.skip(MEMBERS);
        return None;
    }
    let Some(word) = fields.word("type", WORDS) else {
        fields.skip(MEMBERS);
        return None;
    };
    let (allowed, kind): (&[&str], _) = match word {
        Word::Int => (
            &["min", "max", "step"],
            Some(Kind::Int(range(fields, sink))),
        ),
        Word::Number => (
            &["min", "max", "step"],
            Some(Kind::Number(range(fields, sink))),
        ),
        Word::Bool => (&[], Some(Kind::Bool)),
        Word::Text => (&["max_length", "pattern"], Some(text(fields, sink))),
        Word::Enum => (&["values"], values(fields, sink).map(Kind::Enum)),
        Word::Array => (&["items", "max_length"], Some(array(fields, sink))),
        Word::Object => (&["schema"], Some(object(fields, sink))),
    };
    for name in MEMBERS.iter().filter(|name| !allowed.contains(name)) {
        if fields.raw(name).is_some() {
            sink.error(
                Code::P305,
                &fields.place(name),
                format!("`{name}` has no meaning for this type"),
                "remove it, or change `type`",
            );
        }
    }
    kind
}

fn range(fields: &Fields<'_>, sink: &Sink) -> Range {
    let number = |name| -> Option<Number> {
        fields.number(name)?;
        fields.raw(name).and_then(Value::as_number).cloned()
    };
    let range = Range {
        min: number("min"),
        max: number("max"),
        step: number("step"),
    };
    if let (Some(min), Some(max)) = (&range.min, &range.max)
        && lang::compare(min, max).is_gt()
    {
        sink.error(
            Code::P305,
            fields.at(),
            format!("no value is at least {min} and at most {max}"),
            "make `min` at most `max`",
        );
    }
    let flat = |step: &Number| lang::compare(step, &Number::from(0)).is_le();
    if range.step.as_ref().is_some_and(flat) {
        sink.error(
            Code::P305,
            &fields.place("step"),
            "the step goes nowhere",
            "make it greater than 0",
        );
        return Range {
            step: None,
            ..range
        };
    }
    range
}

fn text(fields: &Fields<'_>, sink: &Sink) -> Kind {
    let pattern = fields.text("pattern").and_then(|source| {
        let built = regex::RegexBuilder::new(source).size_limit(1 << 20).build();
        if let Err(error) = &built {
            let words = error.to_string();
            let last = words.lines().last().unwrap_or_default();
            sink.error(
                Code::P305,
                &fields.place("pattern"),
                format!(
                    "the pattern cannot be compiled: {}",
                    last.trim_start_matches("error: ")
                ),
                "write a regular expression in RE2 syntax",
            );
        }
        built.ok()
    });
    Kind::Text(fields.whole("max_length"), pattern)
}

fn values(fields: &Fields<'_>, sink: &Sink) -> Option<Vec<Value>> {
    let list = fields.list("values").unwrap_or_default();
    let at = fields.place("values");
    for (i, value) in list.iter().enumerate() {
        if value.is_array() || value.is_object() || value.is_null() {
            wrong_type(sink, &at.child(i), "a scalar", value);
        }
    }
    if list.is_empty() {
        sink.error(
            Code::P305,
            fields.at(),
            "the enum allows nothing",
            "add `values`, a list of scalars",
        );
        return None;
    }
    Some(list.to_vec())
}

fn array(fields: &Fields<'_>, sink: &Sink) -> Kind {
    let items = fields.fields("items").and_then(|items| {
        items.skip(&["label", "description"]);
        let kind = kind(&items, sink);
        items.finish();
        kind
    });
    Kind::Array(items.map(Box::new), fields.whole("max_length"))
}

fn object(fields: &Fields<'_>, sink: &Sink) -> Kind {
    let schema = fields.raw("schema").and_then(|source| {
        let compiled = json_schema::compile(source, &fields.place("schema"), sink)?;
        Some(Box::new((source.clone(), compiled)))
    });
    Kind::Object(schema)
}

fn normalize(fields: &Fields<'_>, sink: &Sink) -> Option<Normalize> {
    const CASES: &[(&str, Case)] = &[
        ("lower", Case::Lower),
        ("upper", Case::Upper),
        ("trim", Case::Trim),
    ];
    match fields.raw("normalize")? {
        Value::Object(map) => {
            let pairs = map.iter().map(|(from, to)| (from.clone(), to.clone()));
            Some(Normalize::Map(pairs.collect()))
        }
        Value::String(_) => fields.word("normalize", CASES).map(Normalize::Case),
        other => {
            let words = "`lower`, `upper`, `trim` or a map of texts";
            wrong_type(sink, &fields.place("normalize"), words, other);
            None
        }
    }
}

fn inputs(fields: &Fields<'_>, sink: &Sink) -> Vec<InputSpec> {
    let at = fields.place("inputs");
    let mut all = Vec::new();
    for (name, source) in fields.object("inputs").into_iter().flatten() {
        let at = at.child(name);
        names::identifier(name, &at, sink);
        let Some(fields) = Fields::open(source, &at, sink) else {
            continue;
        };
        fields.skip(&["label", "description", "validation_hints"]);
        all.push(InputSpec {
            name: name.clone(),
            kind: fields.text("kind").map(str::to_owned),
            mime: fields
                .texts("mime")
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
            max_bytes: bounds::INPUT_BYTES.read(&fields, sink),
            max_count: bounds::MAX_COUNT.read(&fields, sink),
            required: fields.flag("required").unwrap_or(false),
        });
        fields.finish();
    }
    all
}

/// `false` refuses an option; other names are only facts.
fn supports(fields: &Fields<'_>, made: &mut Capabilities, sink: &Sink) {
    let at = fields.place("supports");
    for (name, value) in fields.object("supports").into_iter().flatten() {
        let Some(option) = made.options.iter_mut().find(|option| option.name == *name) else {
            continue;
        };
        match value.as_bool() {
            Some(supported) => option.supported = supported,
            None => wrong_type(sink, &at.child(name), "`true` or `false`", value),
        }
    }
}

fn defaults(fields: &Fields<'_>, made: &mut Capabilities, broken: &[String], sink: &Sink) {
    let at = fields.place("defaults");
    let known: Vec<String> = made
        .options
        .iter()
        .map(|option| option.name.clone())
        .collect();
    for (name, value) in fields.object("defaults").into_iter().flatten() {
        if broken.contains(name) {
            continue;
        }
        let at = at.child(name);
        let Some(option) = made.options.iter_mut().find(|option| option.name == *name) else {
            let near = nearest(name, known.iter().map(String::as_str));
            let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            sink.error(
                Code::P304,
                &at,
                format!("there is no option `{name}`"),
                match known.is_empty() {
                    true => "declare it under `options` first".to_owned(),
                    false => format!("{start}options: {}", known.join(", ")),
                },
            );
            continue;
        };
        if value.is_null() {
            continue;
        }
        match option.accept(value) {
            Ok(value) => option.default = Some(value).filter(|_| option.supported),
            Err(refusal) => {
                let at = refusal.items.iter().fold(at, |at, item| at.child(item));
                sink.error(
                    Code::P301,
                    &at,
                    format!("its own option refuses it: {}", refusal.message),
                    refusal.help,
                );
            }
        }
    }
}

fn read_limits(fields: &Fields<'_>, made: &Capabilities, sink: &Sink) -> Vec<Limit> {
    let at = fields.place("limits");
    let mut all = Vec::new();
    for (name, source) in fields.object("limits").into_iter().flatten() {
        let at = at.child(name);
        if source.is_object() {
            all.extend(bound_limit(name, source, &at, made, sink));
            continue;
        }
        let Some(value) = source.as_f64() else {
            wrong_type(
                sink,
                &at,
                "a number, or `{\"value\": n, \"option\": name}`",
                source,
            );
            continue;
        };
        match limits::target(name, &made.options, &made.inputs) {
            Some(target) => all.push(Limit {
                name: name.clone(),
                value,
                target,
            }),
            None => {
                let known: Vec<&str> = limits::LIMITS.iter().map(|(name, _)| *name).collect();
                sink.warn(
                    Code::P302,
                    &at,
                    format!("the limit `{name}` binds to nothing"),
                    format!(
                        "bind it: `{{\"value\": {source}, \"option\": \"…\"}}`, or use one of: {}",
                        known.join(", ")
                    ),
                );
            }
        }
    }
    all
}

fn bound_limit(
    name: &str,
    source: &Value,
    at: &Place,
    made: &Capabilities,
    sink: &Sink,
) -> Option<Limit> {
    let fields = Fields::open(source, at, sink)?;
    let value = fields.number("value");
    if fields.raw("value").is_none() {
        fields.missing("value");
    }
    let option = fields.required_text("option");
    let at = fields.place("option");
    fields.finish();
    let option = option?;
    if made.option(option).is_none() {
        let known: Vec<&str> = made
            .options
            .iter()
            .map(|option| option.name.as_str())
            .collect();
        sink.error(
            Code::P302,
            &at,
            format!("there is no option `{option}`"),
            format!("options: {}", known.join(", ")),
        );
    }
    Some(Limit {
        name: name.to_owned(),
        value: value?,
        target: LimitTarget::Option(option.to_owned()),
    })
}

fn rules(fields: &Fields<'_>, options: &[OptionSpec], sink: &Sink) -> Vec<Rule> {
    let at = fields.place("rules");
    let mut all = Vec::new();
    for (i, source) in fields.list("rules").unwrap_or_default().iter().enumerate() {
        let Some(fields) = Fields::open(source, &at.child(i), sink) else {
            continue;
        };
        let message = fields.required_text("message");
        let Some(schema) = fields.raw("schema") else {
            fields.missing("schema");
            fields.finish();
            continue;
        };
        let validator = json_schema::compile(schema, &fields.place("schema"), sink);
        let known =
            |name: &str| name == "inputs" || options.iter().any(|option| option.name == name);
        for name in rule::named(schema).into_iter().filter(|name| !known(name)) {
            sink.warn(
                Code::P306,
                &fields.place("schema"),
                format!("the rule names `{name}`, which is never there"),
                "rules see the options and `inputs`, and nothing else of a call: no prompt, no messages",
            );
        }
        fields.finish();
        all.extend(validator.zip(message).map(|(validator, message)| Rule {
            validator,
            schema: schema.clone(),
            message: message.to_owned(),
        }));
    }
    all
}

fn lifecycle(fields: &Fields<'_>, sink: &Sink) -> Lifecycle {
    let Some(fields) = fields.fields("lifecycle") else {
        return Lifecycle::default();
    };
    let day = |name: &'static str| -> Option<Date> {
        let text = fields.text(name)?;
        let day = text.get(..10).unwrap_or(text);
        let read = Date::parse(day, &time::format_description::well_known::Iso8601::DATE);
        if read.is_err() {
            sink.error(
                Code::P306,
                &fields.place(name),
                format!("`{text}` is no date"),
                "write it like `2026-09-24`",
            );
        }
        read.ok()
    };
    let lifecycle = Lifecycle {
        deprecated_at: day("deprecated_at"),
        shutdown_at: day("shutdown_at"),
        successor: fields.text("successor").map(str::to_owned),
    };
    fields.finish();
    lifecycle
}

/// Used where an empty object stands for absence.
pub(super) fn empty() -> Value {
    Value::Object(Map::new())
}
