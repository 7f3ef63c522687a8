//! One expression between `{{` and `}}`, compiled from what the Handlebars
//! parser read, and evaluated over typed values.

use super::helpers::Helper;
use super::known::Members;
use super::mistake::unknown;
use super::scope::Env;
use super::{EvalError, Known, MAX_DEPTH, Mistake, Presence, Read, Ref, size};
use diag::Code;
use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use serde_json::Value;
use std::borrow::Cow;

/// A compiled expression.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Literal(Value),
    Name { name: Ref, required: bool },
    Call(Helper, Vec<Expr>),
}

/// An expression, and what is known of its value.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) presence: Presence,
    pub(super) secret: bool,
    /// It is `{{json x}}`.
    pub(super) json: bool,
    /// It is known to be an object or array.
    pub(super) object: bool,
}

/// Reads the inside of a tag.
pub(super) fn parse(inner: &str) -> Result<HelperTemplate, Mistake> {
    if nesting(inner) > MAX_DEPTH {
        return Err(Mistake::new(
            Code::P212,
            "the expression is nested too deep",
            "compute a part of it in `vars`",
        ));
    }
    let wrong = || {
        Mistake::new(
            Code::P203,
            format!("`{{{{{inner}}}}}` is no expression"),
            "write a name, or a helper and its arguments: `{{default x \"y\"}}`",
        )
    };
    let template = Template::compile(&format!("{{{{{inner}}}}}")).map_err(|_| wrong())?;
    let mut elements = template.elements.into_iter();
    match (elements.next(), elements.next()) {
        (Some(TemplateElement::Expression(call)), None) => Ok(*call),
        _ => Err(wrong()),
    }
}

/// The deepest nesting of brackets, so that the recursive parser is safe.
fn nesting(inner: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in inner.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = depth.max(deepest);
    }
    deepest
}

/// Compiles expressions at one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compiler<'a> {
    pub(super) known: &'a Known,
    /// The expression stands in a longer text, which an absent value fails.
    pub(super) long: bool,
}

impl Compiler<'_> {
    /// The expression of a whole tag.
    pub(super) fn tag(self, call: &HelperTemplate) -> Result<Typed, Mistake> {
        if call.name.as_name() == Some("json") && !call.params.is_empty() {
            no_hash(call)?;
            let [arg] = call.params.as_slice() else {
                return Err(arguments("json", "json x"));
            };
            return Ok(Typed {
                json: true,
                ..self.argument(arg)?
            });
        }
        self.expression(call)
    }

    fn expression(self, call: &HelperTemplate) -> Result<Typed, Mistake> {
        no_hash(call)?;
        let Some(name) = call.name.as_name() else {
            return match &call.name {
                Parameter::Subexpression(_) => self.argument(&call.name),
                _ => Err(arguments("", "a name or a helper")),
            };
        };
        if call.params.is_empty() {
            return self.name_or_helper(name);
        }
        if name == "json" {
            return Err(Mistake::new(
                Code::P205,
                "`json` must be the whole string",
                "put it around the whole expression: `{{json (…)}}`",
            ));
        }
        let helper = Helper::find(name).ok_or_else(|| unknown_helper(name))?;
        if call.params.len() != helper.arity() {
            return Err(arguments(name, helper.usage()));
        }
        let args: Result<Vec<Typed>, Mistake> = call
            .params
            .iter()
            .enumerate()
            .map(|(at, arg)| {
                // What `default` replaces may be absent.
                let long = self.long && !(helper == Helper::Default && at == 0);
                Compiler { long, ..self }.argument(arg)
            })
            .collect();
        called(helper, args?)
    }

    fn name_or_helper(self, name: &str) -> Result<Typed, Mistake> {
        if !self.known.is_local(name) {
            if name == "uuid" {
                return called(Helper::Uuid, Vec::new());
            }
            if let Some(helper) = Helper::find(name) {
                return Err(arguments(name, helper.usage()));
            }
        }
        self.name(name)
    }

    fn name(self, source: &str) -> Result<Typed, Mistake> {
        if source.contains("[]") {
            return Err(Mistake::new(
                Code::P203,
                format!("`{source}`: `[]` stands in paths only"),
                "name one item, `[0]`, or use `$each`",
            ));
        }
        let found = self.known.resolve(source)?;
        let required = self.long && found.member.presence != Presence::Always;
        Ok(Typed {
            expr: Expr::Name {
                name: found.name,
                required,
            },
            presence: found.member.presence,
            secret: found.member.secret,
            json: false,
            object: matches!(found.member.members, Members::Of(_)),
        })
    }

    fn argument(self, arg: &Parameter) -> Result<Typed, Mistake> {
        match arg {
            Parameter::Literal(Value::Null) => Err(Mistake::new(
                Code::P205,
                "`null` cannot be an argument",
                "leave the value absent: absent is not null",
            )),
            Parameter::Literal(value) => Ok(Typed {
                expr: Expr::Literal(value.clone()),
                presence: Presence::Always,
                secret: false,
                json: false,
                object: value.is_object() || value.is_array(),
            }),
            Parameter::Subexpression(sub) => match sub.as_element() {
                TemplateElement::Expression(call) => self.expression(call),
                _ => Err(arguments("", "an expression in parentheses")),
            },
            Parameter::Name(name) => self.name_or_helper(name),
            Parameter::Path(_) => self.name_or_helper(arg.as_name().unwrap_or_default()),
            _ => Err(arguments(
                "",
                "a name, a literal or an expression in parentheses",
            )),
        }
    }
}

fn no_hash(call: &HelperTemplate) -> Result<(), Mistake> {
    if call.hash.is_empty() && call.block_param.is_none() {
        return Ok(());
    }
    Err(Mistake::new(
        Code::P205,
        "helpers take no named arguments",
        "write the arguments in their order, without names",
    ))
}

/// Helpers of other programs, and what stands for them here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["concat", "append", "plus"],
        "texts side by side need no helper: `{{a}}{{b}}`; inside a helper, name them in `vars`",
    ),
    (
        &["eq", "ne", "gt", "lt", "gte", "lte", "and", "or", "not"],
        "a template asks only whether a value is there; compare in a condition: `{\"$when\": {\"path\": \"params.x\", \"equals\": 4}, \"$then\": …, \"$else\": …}`",
    ),
    (
        &["urlencode", "encodeURIComponent", "uriEncode", "url_encode"],
        "a `path` and a `query` encode what stands in them by themselves",
    ),
    (
        &["toString", "string", "str", "text"],
        "`{{x}}` is text already; `{{json x}}` keeps the type",
    ),
    (
        &["now", "date", "time"],
        "`{{timestamp \"unix\"}}`, `\"unix_ms\"` or `\"rfc3339\"`",
    ),
    (
        &["substring", "substr", "slice"],
        "`truncate text n` keeps the first n characters",
    ),
];

fn unknown_helper(name: &str) -> Mistake {
    let mistake = unknown("helper", name, Helper::names());
    match ELSEWHERE.iter().find(|(names, _)| names.contains(&name)) {
        Some((_, help)) => Mistake {
            help: (*help).to_owned(),
            ..mistake
        },
        None => mistake,
    }
}

fn arguments(name: &str, usage: &str) -> Mistake {
    let message = if name.is_empty() {
        "this cannot be called".to_owned()
    } else {
        format!("`{name}` is called with the wrong arguments")
    };
    Mistake::new(Code::P205, message, format!("write `{usage}`"))
}

/// What is known of a call, from what is known of its arguments.
fn called(helper: Helper, args: Vec<Typed>) -> Result<Typed, Mistake> {
    if helper == Helper::Timestamp {
        let stamp = args.first().map(|arg| &arg.expr);
        let good = matches!(stamp, Some(Expr::Literal(Value::String(s))) if ["unix", "unix_ms", "rfc3339"].contains(&s.as_str()));
        if !good {
            return Err(arguments("timestamp", helper.usage()));
        }
    }
    if args
        .iter()
        .any(|arg| matches!(arg.expr, Expr::Call(Helper::Segments, _)))
    {
        return Err(Mistake::new(
            Code::P205,
            "`segments` cannot be an argument",
            "write it around the whole expression: `{{segments (…)}}`",
        ));
    }
    let worst = args
        .iter()
        .map(|arg| arg.presence)
        .max()
        .unwrap_or(Presence::Always);
    let presence = if helper == Helper::Default {
        args.iter().map(|arg| arg.presence).min().unwrap_or(worst)
    } else if helper.may_find_nothing() {
        worst.max(Presence::Late)
    } else {
        worst
    };
    let secret = args.iter().any(|arg| arg.secret);
    let args = args.into_iter().map(|arg| arg.expr).collect();
    Ok(Typed {
        expr: Expr::Call(helper, args),
        presence,
        secret,
        json: false,
        object: false,
    })
}

impl Expr {
    /// The value; `None`: absent. Never null.
    pub(super) fn eval<'e>(
        &'e self,
        env: &'e Env<'_>,
    ) -> Result<Option<Cow<'e, Value>>, EvalError> {
        env.spend(0)?;
        match self {
            Self::Literal(value) => Ok(Some(Cow::Borrowed(value))),
            Self::Name { name, .. } => env.one(name),
            Self::Call(Helper::Default, args) => {
                for arg in args {
                    if let Some(value) = arg.eval(env)? {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
            Self::Call(helper, args) => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    let Some(value) = arg.eval(env)? else {
                        return Ok(None);
                    };
                    if let Value::String(text) = &*value {
                        env.spend(text.len())?;
                    }
                    values.push(value);
                }
                env.spend(helper.makes(&values))?;
                let made = helper.call(&values, env.scope.draws())?;
                if let Some(made) = &made {
                    env.spend(size(made))?;
                }
                Ok(made.map(Cow::Owned))
            }
        }
    }

    /// The name, when it is nothing else.
    pub(super) fn as_name(&self) -> Option<&Ref> {
        match self {
            Self::Name { name, .. } => Some(name),
            Self::Literal(_) | Self::Call(..) => None,
        }
    }

    pub(super) fn reads(&self, see: &mut dyn FnMut(Read<'_>)) {
        match self {
            Self::Literal(_) => {}
            Self::Name { name, required } => see(Read {
                name,
                required: *required,
            }),
            Self::Call(_, args) => args.iter().for_each(|arg| arg.reads(see)),
        }
    }
}
