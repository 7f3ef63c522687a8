//! From tokens to parts: blocks, guards, and what may stand where.

use super::super::expr::{Compiler, Expr, Typed, parse};
use super::super::helpers::Helper;
use super::super::known::{Member, Members};
use super::super::mistake::unknown;
use super::super::{Known, MAX_DEPTH, Mistake, Presence, Root};
use super::scan::Token;
use super::{Part, Piece, Place};
use diag::Code;

/// Compiles the tokens of one text.
pub(super) struct Blocks<'a> {
    tokens: std::iter::Peekable<std::slice::Iter<'a, Token>>,
    place: Place,
    long: bool,
    /// The text so far, values as `x`, to see where a host is.
    before: String,
    pub(super) secret: bool,
    /// Of the last expression.
    pub(super) presence: Presence,
    pub(super) mistakes: Vec<Mistake>,
}

/// What ended a run of parts.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Text,
    Else,
    ElseIf(String),
    Close(String),
}

impl<'a> Blocks<'a> {
    pub(super) fn new(tokens: &'a [Token], place: Place) -> Self {
        Self {
            long: tokens.len() > 1,
            tokens: tokens.iter().peekable(),
            place,
            before: String::new(),
            secret: false,
            presence: Presence::Always,
            mistakes: Vec::new(),
        }
    }

    /// All parts of the text.
    pub(super) fn parts(&mut self, known: &Known) -> Vec<Part> {
        let (parts, end) = self.run(known, 0);
        match end {
            End::Text => {}
            End::Close(name) => self.wrong(
                &format!("`{{{{/{name}}}}}` closes no block"),
                "take it away",
            ),
            End::Else | End::ElseIf(_) => {
                self.wrong("`{{else}}` stands in no block", "take it away")
            }
        }
        parts
    }

    fn wrong(&mut self, message: &str, help: &str) {
        self.mistakes.push(Mistake::new(Code::P203, message, help));
    }

    fn run(&mut self, known: &Known, depth: usize) -> (Vec<Part>, End) {
        let mut parts = Vec::new();
        while let Some(token) = self.tokens.next() {
            let tag = match token {
                Token::Literal(text) => {
                    self.before.push_str(text);
                    self.literal(text);
                    parts.push(Part::Literal(text.as_str().into()));
                    continue;
                }
                Token::Tag(tag) => tag,
            };
            if let Some(end) = ending(tag) {
                return (parts, end);
            }
            match tag.strip_prefix('#') {
                Some(block) => parts.extend(self.block(block, known, depth)),
                None => parts.extend(self.expression(tag, known)),
            }
        }
        (parts, End::Text)
    }

    fn literal(&mut self, text: &str) {
        if self.place == Place::Header && text.chars().any(char::is_control) {
            self.wrong(
                "a header has a control character",
                "take the line break or tab away",
            );
        }
    }

    fn typed(&mut self, tag: &str, known: &Known) -> Option<Typed> {
        let compiler = Compiler {
            known,
            long: self.long,
        };
        let typed = parse(tag).and_then(|call| compiler.tag(&call));
        typed.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    fn expression(&mut self, tag: &str, known: &Known) -> Option<Part> {
        if tag.starts_with(['!', '>', '&', '*', '^', '{']) {
            self.wrong(
                &format!("`{{{{{tag}}}}}` is not of the language"),
                "comments, partials and decorators are left out; write a name or a helper",
            );
            return None;
        }
        let opens = self.before.is_empty();
        let typed = self.typed(tag, known)?;
        self.stands(tag, &typed, known);
        self.presence = typed.presence;
        self.before.push('x');
        Some(Part::Value(Piece {
            expr: typed.expr,
            shown: tag.into(),
            opens,
            host: self.in_host(),
            json: typed.json,
        }))
    }

    /// Whether what comes next stands in the host of a url.
    fn in_host(&self) -> bool {
        let host = self.before.split_once("://").map(|(_, host)| host);
        self.place == Place::Url && host.is_some_and(|host| !host.contains(['/', '?', '#']))
    }

    /// Refuses an expression where it may not stand.
    fn stands(&mut self, tag: &str, typed: &Typed, known: &Known) {
        if typed.json && self.long {
            self.mistakes.push(Mistake::new(
                Code::P205,
                format!("`{tag}` must be the whole string"),
                "in a longer text write the name alone, or use `{\"$json\": …}` for JSON text",
            ));
        }
        if self.long && typed.presence == Presence::Optional {
            self.mistakes.push(Mistake::new(
                Code::P202,
                format!("`{tag}` may be absent, and the text around it needs it"),
                format!("guard it: `{{{{#if x}}}}…{{{{/if}}}}`, or `{{{{default {tag} \"…\"}}}}`"),
            ));
        }
        if typed.object && !typed.json {
            self.mistakes.push(Mistake::new(
                Code::P214,
                format!("`{tag}` is an object or array where text is wanted"),
                format!("name a member of it, or write `{{{{json {tag}}}}}` as the whole string"),
            ));
        }
        self.secret(tag, typed, known);
        let address = matches!(self.place, Place::Path | Place::Url);
        if matches!(typed.expr, Expr::Call(Helper::Segments, _)) && !address {
            self.mistakes.push(Mistake::new(
                Code::P205,
                "`segments` stands in a path or url only",
                "write the name alone",
            ));
        }
        let config = typed
            .expr
            .as_name()
            .is_some_and(|name| name.root == Root::Config);
        if self.in_host() && !config {
            self.mistakes.push(Mistake::new(
                Code::P215,
                format!("`{tag}` may not stand in a host"),
                "a host may hold `{{config_…}}` only",
            ));
        }
    }

    fn secret(&mut self, tag: &str, typed: &Typed, known: &Known) {
        self.secret |= typed.secret;
        let address = matches!(self.place, Place::Path | Place::Url);
        if typed.secret && (address || !known.allows_secrets()) {
            self.mistakes.push(Mistake::new(
                Code::P206,
                format!("`{tag}` is secret and may not stand here"),
                "secrets may stand in `headers`, `query`, `body` and auth `config` only",
            ));
        }
    }

    fn block(&mut self, block: &str, known: &Known, depth: usize) -> Option<Part> {
        let (name, argument) = block.split_once(char::is_whitespace).unwrap_or((block, ""));
        if depth >= MAX_DEPTH {
            self.mistakes.push(Mistake::new(
                Code::P212,
                "blocks are nested too deep",
                "use `$when`, or `vars`",
            ));
            return None;
        }
        match name {
            "if" => self.condition(argument, known, depth),
            "each" => self.each(argument, known, depth),
            _ => {
                let mut mistake = unknown("helper", name, ["if", "each"].into_iter());
                mistake.help = "the only blocks are `#if` (with `else`: `{{#if x}}{{else}}…{{/if}}` is where x is absent) and `#each`".to_owned();
                self.mistakes.push(mistake);
                // Its inside is read, for its own mistakes and for its end.
                self.run(known, depth + 1);
                None
            }
        }
    }

    /// The subject of a block: any value, absent or not.
    fn subject(&mut self, argument: &str, known: &Known) -> Option<Typed> {
        let compiler = Compiler { known, long: false };
        let typed = parse(argument.trim()).and_then(|call| compiler.tag(&call));
        let typed = typed.map_err(|mistake| self.mistakes.push(mistake)).ok()?;
        if typed.secret {
            self.mistakes.push(Mistake::new(
                Code::P206,
                format!("`{}` is secret: no condition may ask it", argument.trim()),
                "ask for another value",
            ));
        }
        Some(typed)
    }

    fn condition(&mut self, argument: &str, known: &Known, depth: usize) -> Option<Part> {
        let subject = self.subject(argument, known);
        let guard = subject.as_ref().and_then(|typed| typed.expr.as_name());
        let inside = guard.map_or_else(|| known.clone(), |name| known.with_there(name));
        let before = self.before.clone();
        let (then, end) = self.run(&inside, depth + 1);
        let after = std::mem::replace(&mut self.before, before);
        let otherwise = match end {
            End::Else => {
                let (otherwise, end) = self.run(known, depth + 1);
                self.closed("if", end);
                otherwise
            }
            // It ends with the same `{{/if}}`.
            End::ElseIf(argument) if depth < MAX_DEPTH => self
                .condition(&argument, known, depth + 1)
                .into_iter()
                .collect(),
            other => {
                self.closed("if", other);
                Vec::new()
            }
        };
        if after.len() > self.before.len() {
            self.before = after;
        }
        Some(Part::If {
            subject: subject?.expr,
            then,
            otherwise,
        })
    }

    fn each(&mut self, argument: &str, known: &Known, depth: usize) -> Option<Part> {
        let subject = self.subject(argument, known);
        let list = subject
            .as_ref()
            .and_then(|typed| typed.expr.as_name())
            .cloned();
        let item = self.item(argument, known);
        let (inside, slot) = known.with_item("item", item);
        if slot.is_none() || (subject.is_some() && list.is_none()) {
            self.wrong(
                "`#each` goes over a list that has a name",
                "write `{{#each params.images}}…{{/each}}`",
            );
        }
        let (body, end) = self.run(&inside, depth + 1);
        let otherwise = match end {
            End::Else => {
                let (otherwise, end) = self.run(known, depth + 1);
                self.closed("each", end);
                otherwise
            }
            other => {
                self.closed("each", other);
                Vec::new()
            }
        };
        Some(Part::Each {
            list: list?,
            body,
            otherwise,
        })
    }

    fn item(&self, argument: &str, known: &Known) -> Member {
        let resolved = known.resolve(argument.trim()).map(|found| found.member);
        resolved.unwrap_or(Member {
            presence: Presence::Always,
            secret: false,
            members: Members::Any,
        })
    }

    fn closed(&mut self, name: &str, end: End) {
        match end {
            End::Close(closing) if closing == name => {}
            End::Close(closing) => self.wrong(
                &format!("`{{{{/{closing}}}}}` closes `#{name}`"),
                &format!("close it with `{{{{/{name}}}}}`"),
            ),
            End::Text => self.wrong(
                &format!("`#{name}` is not closed"),
                &format!("close it with `{{{{/{name}}}}}`"),
            ),
            End::Else | End::ElseIf(_) => {
                self.wrong("a block has one `{{else}}` too many", "take it away")
            }
        }
    }
}

/// What a tag ends, if it does.
fn ending(tag: &str) -> Option<End> {
    if let Some(name) = tag.strip_prefix('/') {
        return Some(End::Close(name.trim().to_owned()));
    }
    let rest = tag.strip_prefix("else")?;
    if rest.is_empty() {
        return Some(End::Else);
    }
    let (word, argument) = rest.trim_start().split_once(char::is_whitespace)?;
    (rest.starts_with(char::is_whitespace) && word == "if")
        .then(|| End::ElseIf(argument.to_owned()))
}
