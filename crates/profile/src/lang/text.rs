//! One string of a row, compiled.

mod compile;
mod scan;
#[cfg(test)]
mod tests;

use super::encode::push_percent;
use super::expr::Expr;
use super::helpers::Helper;
use super::scope::Env;
use super::{EvalError, Known, MAX_TEXT, Mistake, Presence, Read, Ref, Root, Scope, size};
use compile::Blocks;
use diag::{Code, Diagnostics};
use scan::{Token, scan};
use serde_json::Value;
use std::fmt::Write;

/// Where a text stands, which decides how values are written into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A body, a query or form value, an output: as it reads.
    Plain,
    /// Every value is one percent-encoded segment.
    Path,
    /// A whole address; an expression that opens it is taken as it stands.
    Url,
    /// A control character is an error.
    Header,
}

/// A compiled text.
#[derive(Debug, Clone)]
pub struct Text {
    form: Form,
    place: Place,
    secret: bool,
    presence: Presence,
}

#[derive(Debug, Clone)]
enum Form {
    /// No expression.
    Literal(Value),
    /// `{{x}}` or `{{json x}}` as the whole string.
    Whole(Piece),
    /// Anything else.
    Long(Vec<Part>),
}

/// A part of a longer text.
#[derive(Debug, Clone)]
enum Part {
    Literal(Box<str>),
    Value(Piece),
    If {
        subject: Expr,
        then: Vec<Part>,
        otherwise: Vec<Part>,
    },
    Each {
        list: Ref,
        body: Vec<Part>,
        otherwise: Vec<Part>,
    },
}

/// An expression in its text.
#[derive(Debug, Clone)]
struct Piece {
    expr: Expr,
    /// As written, for errors.
    shown: Box<str>,
    /// Nothing stands before it.
    opens: bool,
    /// It stands in the host of a url.
    host: bool,
    /// It keeps its type.
    json: bool,
}

impl Text {
    /// Compiles a text of a row.
    ///
    /// # Errors
    ///
    /// Every mistake in it.
    pub fn compile(source: &str, known: &Known, place: Place) -> Result<Self, Vec<Mistake>> {
        if source.len() > MAX_TEXT {
            return Err(vec![Mistake::new(
                Code::P211,
                format!(
                    "the text has {} bytes; the bound is {MAX_TEXT}",
                    source.len()
                ),
                "shorten it",
            )]);
        }
        let tokens = scan(source).map_err(|mistake| vec![mistake])?;
        let mut blocks = Blocks::new(&tokens, place);
        let parts = blocks.parts(known);
        if !blocks.mistakes.is_empty() {
            return Err(blocks.mistakes);
        }
        Ok(Self {
            form: form(parts, &tokens),
            place,
            secret: blocks.secret,
            presence: blocks.presence,
        })
    }

    /// The same, filing the mistakes at their place; `None` when there were any.
    pub fn check(
        source: &str,
        known: &Known,
        place: Place,
        at: &diag::Place,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        super::mistake::file(Self::compile(source, known, place), at, found)
    }

    /// The typed value; `None`: absent. In an address or header always a string.
    ///
    /// # Errors
    ///
    /// [`EvalError::Missing`] for an absent value in a longer text, and the others.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Option<Value>, EvalError> {
        self.eval_in(&mut Env::new(scope))
    }

    /// The same as text; an object or array is refused.
    ///
    /// # Errors
    ///
    /// As [`Text::eval`].
    pub fn eval_text(&self, scope: &Scope<'_>) -> Result<Option<String>, EvalError> {
        self.eval_text_in(&mut Env::new(scope))
    }

    pub(super) fn eval_text_in(&self, env: &mut Env<'_>) -> Result<Option<String>, EvalError> {
        match self.eval_in(env)? {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => match super::encode::scalar_text(&other) {
                Some(text) => Ok(Some(text)),
                None => Err(EvalError::NotText { name: self.shown() }),
            },
            None => Ok(None),
        }
    }

    pub(super) fn eval_in(&self, env: &mut Env<'_>) -> Result<Option<Value>, EvalError> {
        match &self.form {
            Form::Literal(value) => {
                env.spend(size(value))?;
                Ok(Some(value.clone()))
            }
            Form::Whole(piece) if piece.json && self.place == Place::Plain => {
                let Some(value) = piece.expr.eval(env)? else {
                    return Ok(None);
                };
                env.spend(size(&value))?;
                Ok(Some(value.into_owned()))
            }
            Form::Whole(piece) => {
                let Some(value) = piece.expr.eval(env)? else {
                    return piece.absent_in(self.place);
                };
                if let (Value::String(text), Place::Plain) = (&*value, self.place) {
                    env.spend(text.len())?;
                    return Ok(Some(value.into_owned()));
                }
                let mut out = String::new();
                piece.write(&value, self.place, &mut out)?;
                env.spend(out.len())?;
                Ok(Some(Value::String(out)))
            }
            Form::Long(parts) => {
                let mut out = String::new();
                write_parts(parts, self.place, env, &mut out)?;
                Ok(Some(Value::String(out)))
            }
        }
    }

    fn shown(&self) -> String {
        match &self.form {
            Form::Whole(piece) => piece.shown.to_string(),
            Form::Literal(_) | Form::Long(_) => String::new(),
        }
    }

    /// The text itself, when it has no expression.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &self.form {
            Form::Literal(value) => value.as_str(),
            Form::Whole(_) | Form::Long(_) => None,
        }
    }

    /// Whether a secret stands in it, through helpers and `vars` too.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Whether the whole can be absent; a longer text never is.
    pub(super) fn presence(&self) -> Presence {
        match self.form {
            Form::Whole(_) => self.presence,
            Form::Literal(_) | Form::Long(_) => Presence::Always,
        }
    }

    /// Whether it is one expression, which removes its member when it is absent.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.form, Form::Whole(_))
    }

    /// Shows every name that it reads.
    pub fn reads(&self, see: &mut dyn FnMut(Read<'_>)) {
        match &self.form {
            Form::Literal(_) => {}
            Form::Whole(piece) => piece.expr.reads(see),
            Form::Long(parts) => read_parts(parts, see),
        }
    }
}

impl Piece {
    /// A header of what the caller may leave out is left out; one of what an answer should have given fails without it.
    fn absent_in(&self, place: Place) -> Result<Option<Value>, EvalError> {
        let mut found = false;
        self.expr.reads(&mut |read| {
            found |= matches!(read.name.root, Root::Steps | Root::JobId);
        });
        match place {
            Place::Header if found => Err(EvalError::Missing {
                name: self.shown.to_string(),
            }),
            _ => Ok(None),
        }
    }
}

fn form(mut parts: Vec<Part>, tokens: &[Token]) -> Form {
    if let [] | [Token::Literal(_)] = tokens {
        let text = match parts.pop() {
            Some(Part::Literal(text)) => String::from(text),
            _ => String::new(),
        };
        return Form::Literal(Value::String(text));
    }
    match (tokens, parts.pop()) {
        ([_], Some(Part::Value(piece))) => Form::Whole(piece),
        (_, last) => {
            parts.extend(last);
            Form::Long(parts)
        }
    }
}

fn write_parts(
    parts: &[Part],
    place: Place,
    env: &mut Env<'_>,
    out: &mut String,
) -> Result<(), EvalError> {
    for part in parts {
        match part {
            Part::Literal(text) => {
                env.spend(text.len())?;
                out.push_str(text);
            }
            Part::Value(piece) => {
                let start = out.len();
                let value = piece.expr.eval(env)?;
                let value = value.ok_or_else(|| EvalError::Missing {
                    name: piece.shown.to_string(),
                })?;
                piece.write(&value, place, out)?;
                env.spend(out.len().saturating_sub(start))?;
            }
            Part::If {
                subject,
                then,
                otherwise,
            } => {
                let holds = subject
                    .eval(env)?
                    .is_some_and(|value| *value != Value::Bool(false));
                write_parts(if holds { then } else { otherwise }, place, env, out)?;
            }
            Part::Each {
                list,
                body,
                otherwise,
            } => {
                let items = env.items(list)?.unwrap_or_default();
                if items.is_empty() {
                    write_parts(otherwise, place, env, out)?;
                }
                for (index, item) in items.into_iter().enumerate() {
                    // An empty body makes nothing, but takes its time.
                    env.spend(0)?;
                    env.enter(item, index);
                    let written = write_parts(body, place, env, out);
                    env.leave();
                    written?;
                }
            }
        }
    }
    Ok(())
}

fn read_parts(parts: &[Part], see: &mut dyn FnMut(Read<'_>)) {
    for part in parts {
        match part {
            Part::Literal(_) => {}
            Part::Value(piece) => piece.expr.reads(see),
            Part::If {
                subject,
                then,
                otherwise,
            } => {
                subject.reads(see);
                read_parts(then, see);
                read_parts(otherwise, see);
            }
            Part::Each {
                list,
                body,
                otherwise,
            } => {
                see(Read {
                    name: list,
                    required: false,
                });
                read_parts(body, see);
                read_parts(otherwise, see);
            }
        }
    }
}

impl Piece {
    /// Writes a value as its place wants it.
    fn write(&self, value: &Value, place: Place, out: &mut String) -> Result<(), EvalError> {
        let owned;
        let text = match value {
            Value::String(text) => text.as_str(),
            Value::Number(number) if place == Place::Plain => {
                // Writing to a String does not fail.
                let _ = write!(out, "{number}");
                return Ok(());
            }
            other => {
                owned = super::encode::scalar_text(other);
                owned.as_deref().ok_or_else(|| EvalError::NotText {
                    name: self.shown.to_string(),
                })?
            }
        };
        match place {
            Place::Plain => out.push_str(text),
            Place::Header if text.chars().any(char::is_control) => {
                return Err(EvalError::Control {
                    name: self.shown.to_string(),
                });
            }
            Place::Header => out.push_str(text),
            Place::Url if self.opens => out.push_str(text),
            Place::Url if self.host => out.push_str(self.fits(text, host(text))?),
            Place::Url | Place::Path if matches!(self.expr, Expr::Call(Helper::Segments, _)) => {
                push_percent(out, self.fits(text, segments(text))?, b"/:");
            }
            Place::Url | Place::Path => {
                push_percent(out, self.fits(text, segment(text, place))?, b"")
            }
        }
        Ok(())
    }

    fn fits<'a>(&self, text: &'a str, refused: Option<&'static str>) -> Result<&'a str, EvalError> {
        match refused {
            None => Ok(text),
            Some(reason) => Err(EvalError::Address {
                name: self.shown.to_string(),
                reason,
            }),
        }
    }
}

/// Why a text cannot be one segment.
fn segment(text: &str, place: Place) -> Option<&'static str> {
    match text {
        "" if place == Place::Path => Some("is empty, which no segment of a path may be"),
        "." | ".." => Some("is `.` or `..`, which would lead elsewhere"),
        _ => None,
    }
}

/// Why a text cannot be several segments.
fn segments(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty, which no segment of a path may be")
    } else if text
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        Some("holds a segment `.` or `..`, which would lead elsewhere")
    } else if text.contains(['?', '#']) {
        Some("holds `?` or `#`, which would end the path")
    } else if text.contains("://") || text.starts_with("//") {
        Some("holds a scheme or host of its own")
    } else {
        None
    }
}

/// Why a text cannot stand in a host.
fn host(text: &str) -> Option<&'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    (text.is_empty() || !text.chars().all(fits)).then_some("is no part of a host")
}
