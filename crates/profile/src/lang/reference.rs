//! Names of values: what a template, a path or a condition refers to.

use super::Mistake;
use diag::Code;
use serde_json::Value;
use std::borrow::Cow;

/// Where a value comes from: the table "Variables".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of the language, section 2")]
pub enum Root {
    Model,
    UserPrompt,
    Input,
    Params,
    Inputs,
    Messages,
    Language,
    MaxTokens,
    ShortHistory,
    LongSummary,
    Context,
    ResponseSchemaName,
    ResponseSchemaJson,
    ResponseSchemaStrict,
    CurrentDate,
    CurrentDatetime,
    Config,
    Vars,
    Tables,
    JobId,
    /// `job_ids` of a poll's `batch`.
    JobIds,
    Steps,
    Run,
    CallbackUrl,
    ApiKey,
    AccessToken,
    Secret,
    Status,
    ProviderStatus,
    Text,
    TextJson,
    Usage,
    Artifacts,
    Header,
    Body,
    BodySha256,
    Jwt,
    /// `item` of a step's `each`.
    Item,
    /// `index` of a step's `each`.
    Index,
    /// `$as`, `item` and `index` of a `$each` or `#each`, by their depth.
    Local(u8),
}

impl Root {
    /// What the caller gave.
    #[must_use]
    pub fn is_of_the_call(self) -> bool {
        matches!(
            self,
            Self::UserPrompt
                | Self::Input
                | Self::Params
                | Self::Inputs
                | Self::Messages
                | Self::Language
                | Self::MaxTokens
                | Self::ShortHistory
                | Self::LongSummary
                | Self::Context
        )
    }

    /// What differs between two runs of one revision and credential.
    #[must_use]
    pub fn is_of_one_run(self) -> bool {
        self.is_of_the_call()
            || matches!(
                self,
                Self::JobId
                    | Self::Steps
                    | Self::Run
                    | Self::CallbackUrl
                    | Self::Item
                    | Self::Index
            )
    }
}

/// One step of the way to a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Seg {
    /// A member; asked of a list of variables, of its first item.
    Key(Box<str>),
    /// An item, from 0.
    Index(usize),
    /// Every item: `[]`.
    All,
}

/// A compiled name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ref {
    /// Where it starts.
    pub root: Root,
    /// Where it goes from there: `params_seconds` is `Params` and `seconds`.
    pub path: Vec<Seg>,
}

/// A name that a template reads.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    /// The name.
    pub name: &'a Ref,
    /// Without a value the template fails: it stands unguarded in a longer text.
    pub required: bool,
}

/// Splits `a.b[0].c`, `a.[0].c` or `a[].c` into its steps.
pub(super) fn segments(source: &str) -> Result<Vec<Seg>, Mistake> {
    let wrong = |why: &str| {
        let bare = source
            .trim()
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        let help = match bare.filter(|bare| !bare.contains(['{', ' '])) {
            Some(bare) => format!("a path stands without braces: `{bare}`"),
            None => "write it as `data.task_id`, `choices[0].text` or `data[].url`, or as a JSONPath that starts with `$`".to_owned(),
        };
        Mistake::new(Code::P207, format!("`{source}` is no path: {why}"), help)
    };
    let mut found = Vec::new();
    let mut rest = source;
    loop {
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner
                .split_once(']')
                .ok_or_else(|| wrong("`[` is not closed"))?;
            found.push(match index {
                "" => Seg::All,
                _ if index.bytes().all(|b| b.is_ascii_digit()) => {
                    Seg::Index(index.parse().map_err(|_| wrong("the index is too large"))?)
                }
                _ => return Err(wrong("an index is digits, or nothing for every item")),
            });
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            if key.is_empty() {
                return Err(wrong("a name is missing"));
            }
            if let Some(bad) = key
                .chars()
                .find(|c| c.is_whitespace() || "]{}()\"'@/\\<>|,*?&".contains(*c))
            {
                return Err(wrong(&format!("`{bad}` cannot stand in a name")));
            }
            found.push(Seg::Key(key.into()));
            rest = after;
        }
        rest = match rest.strip_prefix('.') {
            Some(after) => after,
            None if rest.is_empty() => return Ok(found),
            None if rest.starts_with('[') => rest,
            None => return Err(wrong("a `.` is missing")),
        };
    }
}

/// Whether a member asked of a list is its first item's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    /// Among the variables it is.
    First,
    /// In an answer it is not there.
    Strict,
}

/// Everything at the end of the way, without nulls.
pub(super) fn walk<'a>(value: &'a Value, path: &[Seg], lists: Lists, out: &mut Vec<&'a Value>) {
    let Some((seg, rest)) = path.split_first() else {
        if !value.is_null() {
            out.push(value);
        }
        return;
    };
    match (seg, value) {
        (Seg::Key(key), Value::Object(members)) => {
            if let Some(member) = members.get(&**key) {
                walk(member, rest, lists, out);
            }
        }
        (Seg::Key(_), Value::Array(items)) if lists == Lists::First => {
            if let Some(first @ Value::Object(_)) = items.first() {
                walk(first, path, lists, out);
            }
        }
        (Seg::Index(index), Value::Array(items)) => {
            if let Some(item) = items.get(*index) {
                walk(item, rest, lists, out);
            }
        }
        (Seg::All, Value::Array(items)) => {
            for item in items {
                walk(item, rest, lists, out);
            }
        }
        _ => {}
    }
}

/// The same from a value that may be our own.
pub(super) fn walk_cow<'a>(value: Cow<'a, Value>, path: &[Seg]) -> Vec<Cow<'a, Value>> {
    if path.is_empty() {
        return if value.is_null() {
            Vec::new()
        } else {
            vec![value]
        };
    }
    match value {
        Cow::Borrowed(value) => {
            let mut out = Vec::new();
            walk(value, path, Lists::First, &mut out);
            out.into_iter().map(Cow::Borrowed).collect()
        }
        Cow::Owned(value) => {
            let mut out = Vec::new();
            walk(&value, path, Lists::First, &mut out);
            out.into_iter().cloned().map(Cow::Owned).collect()
        }
    }
}

/// The first at the end of the way; no list is made.
pub(super) fn walk_first<'a>(value: &'a Value, path: &[Seg]) -> Option<&'a Value> {
    let mut at = value;
    for seg in path {
        at = match (seg, at) {
            (Seg::Key(key), Value::Object(members)) => members.get(&**key)?,
            (Seg::Key(key), Value::Array(items)) => items.first()?.as_object()?.get(&**key)?,
            (Seg::Index(index), Value::Array(items)) => items.get(*index)?,
            (Seg::All, Value::Array(items)) => items.first()?,
            _ => return None,
        };
    }
    (!at.is_null()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_an_index_are_one() {
        let want = vec![
            Seg::Key("inputs".into()),
            Seg::Key("frames".into()),
            Seg::Index(1),
            Seg::Key("url".into()),
        ];
        assert_eq!(segments("inputs.frames.[1].url"), Ok(want.clone()));
        assert_eq!(segments("inputs.frames[1].url"), Ok(want));
        assert_eq!(
            segments("[0].id"),
            Ok(vec![Seg::Index(0), Seg::Key("id".into())])
        );
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in [
            "",
            ".",
            "a.",
            "a..b",
            "a[",
            "a[x]",
            "a[-1]",
            "a b",
            "a[0]b",
            "a[*]",
            "{{a}}",
            "a[99999999999999999999999]",
        ] {
            assert_eq!(segments(bad).map_err(|m| m.code), Err(Code::P207), "{bad}");
        }
    }
}
