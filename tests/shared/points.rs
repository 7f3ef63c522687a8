//! The named points of the fault suite, as the sources have them: `….at("claim.open").await`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The files of `crates/runtime/src` in which every await has a name: submit, settle, fetch, lease.
pub(crate) const FILES: [&str; 13] = [
    "claim.rs",
    "claim/at_once.rs",
    "prepare.rs",
    "sender.rs",
    "sender/answered.rs",
    "sender/closed.rs",
    "drive.rs",
    "drive/end.rs",
    "drive/settle.rs",
    "fetch.rs",
    "lease.rs",
    "worker.rs",
    "facts.rs",
];

/// What the sources have.
#[derive(Debug, Default)]
pub(crate) struct Points {
    /// Each name, and how often it is given.
    pub(crate) names: BTreeMap<String, usize>,
    /// Awaits without one, as `file:line: text`.
    pub(crate) nameless: Vec<String>,
}

/// Reads the sources.
pub(crate) fn points(src: &Path) -> Points {
    let read = |file: &str| {
        let text = fs::read_to_string(src.join(file)).unwrap();
        let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
        text[..tests].to_owned()
    };
    let texts: Vec<(&str, String)> = FILES.iter().map(|file| (*file, read(file))).collect();
    let mut own: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in &texts {
        own.entry(family(file))
            .or_default()
            .extend(async_functions(&masked(text)));
    }
    let mut points = Points::default();
    for (file, text) in &texts {
        find(file, text, &own, &mut points);
    }
    points
}

fn family(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or(file)
}

fn async_functions(code: &str) -> Vec<String> {
    let named = code.split("async fn ").skip(1);
    named
        .map(|rest| word_before(rest, end_of_word(rest)).to_owned())
        .collect()
}

fn find(file: &str, text: &str, own: &BTreeMap<&str, BTreeSet<String>>, points: &mut Points) {
    let code = masked(text);
    for (at, _) in code.match_indices(".await") {
        match called(&code[..at]) {
            Some(call) if call.name == "at" => {
                let name = text[call.open + 1..].split('"').nth(1).unwrap_or_default();
                *points.names.entry(name.to_owned()).or_default() += 1;
            }
            // What it awaits has names of its own, and nothing happens in between.
            Some(call) if call.is_own(file, own) => {}
            _ => {
                let line = text[..at].matches('\n').count() + 1;
                let said = text.lines().nth(line - 1).unwrap_or_default().trim();
                points.nameless.push(format!("{file}:{line}: {said}"));
            }
        }
    }
}

/// The call whose result is awaited.
struct Call<'a> {
    name: &'a str,
    /// `module::` before it, or the value whose method it is.
    of: Of<'a>,
    open: usize,
}

enum Of<'a> {
    Nothing,
    Module(&'a str),
    Value(&'a str),
}

impl Call<'_> {
    fn is_own(&self, file: &str, own: &BTreeMap<&str, BTreeSet<String>>) -> bool {
        let family = match self.of {
            Of::Nothing | Of::Value("self") => family(file),
            Of::Module(module) => module,
            Of::Value(_) => return false,
        };
        own.get(family)
            .is_some_and(|names| names.contains(self.name))
    }
}

/// Of code that ends with a call.
fn called(code: &str) -> Option<Call<'_>> {
    let code = code.trim_end();
    if !code.ends_with(')') {
        return None;
    }
    let open = opening(code)?;
    let name = word_before(code, open);
    let before = &code[..open - name.len()];
    if name == "pin" && before.ends_with("Box::") {
        // `Box::pin(f(…))`: what is called in it.
        return called(&code[..code.len() - 1]).map(|call| Call { ..call });
    }
    let of = if let Some(path) = before.strip_suffix("::") {
        Of::Module(word_before(path, path.len()))
    } else if let Some(value) = before.trim_end().strip_suffix('.') {
        Of::Value(word_before(value, value.len()))
    } else {
        Of::Nothing
    };
    Some(Call { name, of, open })
}

/// Where the bracket was opened that the code ends with.
fn opening(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code.char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_word(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

fn word_before(text: &str, end: usize) -> &str {
    let start = text[..end].rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
    &text[start..end]
}

/// The same text, byte for byte, with comments and the insides of texts blanked out.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            out.push_str(&" ".repeat(end));
            end
        } else if c == '"' {
            let end = end_of_text(rest);
            out.push('"');
            out.push_str(&"_".repeat(end - 2));
            out.push('"');
            end
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[end..];
    }
    out
}

/// Behind the closing quote.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}
