//! Splits a text of a row into what stands as written and its tags.
//!
//! Text outside tags is kept to the letter: unlike Handlebars, no line is
//! dropped because a block stands alone on it. `~` in a tag trims.

use super::super::Mistake;
use diag::Code;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// As it stands.
    Literal(String),
    /// The inside of a tag, trimmed.
    Tag(String),
}

fn wrong(message: String, help: &str) -> Mistake {
    Mistake::new(Code::P203, message, help)
}

/// Splits `source`. `<<x>>` is another spelling of `{{x}}`; `\{{` and `\<<`
/// are the characters themselves, `\\{{` a backslash and a tag.
pub(super) fn scan(source: &str) -> Result<Vec<Token>, Mistake> {
    let mut tokens = Vec::new();
    let mut literal = String::new();
    let mut rest = source;
    let mut trim = false;
    while let Some(at) = opener(rest) {
        let (before, tag) = rest.split_at(at);
        let before = if trim { before.trim_start() } else { before };
        let open = tag.get(..2).unwrap_or_default();
        if before.ends_with('\\') {
            literal.push_str(before.strip_suffix('\\').unwrap_or(before));
            if !before.ends_with("\\\\") {
                literal.push_str(open);
                trim = false;
                rest = tag.get(2..).unwrap_or_default();
                continue;
            }
        } else {
            literal.push_str(before);
        }
        let (inner, after) = close(tag, open)?;
        let left = inner.strip_prefix('~');
        let inner = left.unwrap_or(inner);
        if left.is_some() {
            literal.truncate(literal.trim_end().len());
        }
        trim = inner.ends_with('~');
        if !literal.is_empty() {
            tokens.push(Token::Literal(std::mem::take(&mut literal)));
        }
        tokens.push(Token::Tag(
            inner.strip_suffix('~').unwrap_or(inner).trim().to_owned(),
        ));
        rest = after;
    }
    literal.push_str(if trim { rest.trim_start() } else { rest });
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal));
    }
    Ok(tokens)
}

/// Where the next tag opens.
fn opener(text: &str) -> Option<usize> {
    match (text.find("{{"), text.find("<<")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The inside of the tag that `tag` opens with, and what follows it. Quoted
/// texts in a tag may hold its end.
fn close<'a>(tag: &'a str, open: &str) -> Result<(&'a str, &'a str), Mistake> {
    let end = if open == "<<" { ">>" } else { "}}" };
    let body = tag.get(2..).unwrap_or_default();
    if body.starts_with('{') {
        return Err(wrong(
            "triple braces are not of the language".to_owned(),
            "write two: nothing is ever escaped for HTML; `\\{{` is the characters themselves",
        ));
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {
                if let Some(after) = body.get(at..).and_then(|rest| rest.strip_prefix(end)) {
                    return Ok((body.get(..at).unwrap_or_default(), after));
                }
            }
        }
    }
    Err(wrong(
        format!("a `{open}` is not closed with `{end}`"),
        "close it; for the characters themselves write `\\{{` or `\\<<`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(source: &str) -> String {
        let tokens = scan(source).map_err(|mistake| mistake.message);
        let shown = tokens.map(|tokens| {
            let one = |token: &Token| match token {
                Token::Literal(text) => format!("'{text}'"),
                Token::Tag(inner) => format!("[{inner}]"),
            };
            tokens.iter().map(one).collect::<String>()
        });
        shown.unwrap_or_else(|message| message)
    }

    #[test]
    #[rustfmt::skip]
    fn text_outside_tags_is_kept_to_the_letter() {
        let cases = [
            ("a {{x}} b", "'a '[x]' b'"), ("<<x>>", "[x]"), ("<< x >>s", "[x]'s'"), ("{{#if x}}\n  y\n{{/if}}\n", "[#if x]'\n  y\n'[/if]'\n'"),
            ("\\{{x}}", "'{{x}}'"), ("\\<<x>>", "'<<x>>'"), ("\\\\{{x}}", "'\\'[x]"), ("a\\b", "'a\\b'"),
            ("a {{~x~}} b", "'a'[x]'b'"), ("{{replace x \"}}\" \"a\"}}", "[replace x \"}}\" \"a\"]"), ("{x} < y", "'{x} < y'"),
            ("", ""), ("a}}b>>c", "'a}}b>>c'"),
        ];
        for (source, want) in cases {
            assert_eq!(show(source), want, "{source}");
        }
    }

    #[test]
    fn an_open_tag_and_triple_braces_are_refused() {
        for bad in [
            "{{", "a {{x", "<<x}}", "{{x>>", "{{{x}}}", "{{\"}}", "a << b",
        ] {
            assert_eq!(
                scan(bad).map_err(|mistake| mistake.code),
                Err(Code::P203),
                "{bad}"
            );
        }
    }
}
