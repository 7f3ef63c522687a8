//! From nodes and a scope to what is sent.

use super::super::merge::merge;
use super::super::scope::Env;
use super::super::{Bound, Condition, EvalError, MAX_LIST, Path, Text, size};
use super::{File, FileSource, Node, Part, Rendered};
use serde_json::{Map, Value};

/// One node; `None`: its member or element is removed.
pub(super) fn node(node: &Node, env: &mut Env<'_>) -> Result<Option<Rendered>, EvalError> {
    env.spend(0)?;
    match node {
        Node::Literal(value) => {
            env.spend(size(value))?;
            Ok(Some(Rendered::Value(value.clone())))
        }
        Node::Text(text) => Ok(text.eval_in(env)?.map(Rendered::Value)),
        Node::Object(members) => object(members, env),
        Node::List(items) => list(items, env),
        Node::When {
            condition,
            then,
            otherwise,
        } => match branch(condition, then, otherwise.as_deref(), env)? {
            Some(chosen) => self::node(chosen, env),
            None => Ok(None),
        },
        Node::Each { path, body } => {
            let mut out = Items::default();
            let Some(count) = each(path, body, env, &mut out)? else {
                return Ok(None);
            };
            Ok(out.finish(count))
        }
        Node::Merge(items) => merged(items, env),
        Node::Json { of, content_type } => json(of, content_type.as_ref(), env),
        Node::File {
            path,
            filename,
            content_type,
        } => file(path, [filename.as_ref(), content_type.as_ref()], env),
    }
}

fn branch<'n>(
    condition: &Condition,
    then: &'n Node,
    otherwise: Option<&'n Node>,
    env: &mut Env<'_>,
) -> Result<Option<&'n Node>, EvalError> {
    Ok(if condition.holds_in(env)? {
        Some(then)
    } else {
        otherwise
    })
}

/// Members, kept as plain JSON for as long as they are.
fn object(members: &[(String, Node)], env: &mut Env<'_>) -> Result<Option<Rendered>, EvalError> {
    let mut plain = Map::with_capacity(members.len());
    let mut mixed: Option<Vec<(String, Rendered)>> = None;
    for (key, child) in members {
        match (node(child, env)?, &mut mixed) {
            (None, _) => {}
            (Some(Rendered::Value(value)), None) => {
                plain.insert(key.clone(), value);
            }
            (Some(rendered), Some(mixed)) => mixed.push((key.clone(), rendered)),
            (Some(rendered), none) => {
                let earlier = std::mem::take(&mut plain).into_iter();
                let earlier = earlier.map(|(key, value)| (key, Rendered::Value(value)));
                *none = Some(earlier.chain([(key.clone(), rendered)]).collect());
            }
        }
    }
    Ok(match mixed {
        Some(members) => Some(Rendered::Object(members)),
        None if plain.is_empty() && !members.is_empty() => None,
        None => Some(Rendered::Value(Value::Object(plain))),
    })
}

/// Items, kept as plain JSON for as long as they are.
#[derive(Default)]
struct Items {
    plain: Vec<Value>,
    mixed: Option<Vec<Rendered>>,
}

impl Items {
    fn push(&mut self, item: Rendered) -> Result<(), EvalError> {
        let len = self.mixed.as_ref().map_or(self.plain.len(), Vec::len);
        if len >= MAX_LIST {
            return Err(EvalError::TooLarge);
        }
        match (item, &mut self.mixed) {
            (Rendered::Value(value), None) => self.plain.push(value),
            (rendered, Some(mixed)) => mixed.push(rendered),
            (rendered, none) => {
                let earlier = std::mem::take(&mut self.plain)
                    .into_iter()
                    .map(Rendered::Value);
                *none = Some(earlier.chain([rendered]).collect());
            }
        }
        Ok(())
    }

    /// The list; removed when it had members and lost them all.
    fn finish(self, had: usize) -> Option<Rendered> {
        match self.mixed {
            Some(items) => Some(Rendered::List(items)),
            None if self.plain.is_empty() && had > 0 => None,
            None => Some(Rendered::Value(Value::Array(self.plain))),
        }
    }
}

fn list(items: &[Node], env: &mut Env<'_>) -> Result<Option<Rendered>, EvalError> {
    let mut out = Items::default();
    for item in items {
        splice(item, env, &mut out)?;
    }
    Ok(out.finish(items.len()))
}

/// An element of a list: a `$each`, also behind a `$when`, adds its items.
fn splice(item: &Node, env: &mut Env<'_>, out: &mut Items) -> Result<(), EvalError> {
    match item {
        Node::Each { path, body } => each(path, body, env, out).map(|_| ()),
        Node::When {
            condition,
            then,
            otherwise,
        } => match branch(condition, then, otherwise.as_deref(), env)? {
            Some(chosen) => splice(chosen, env, out),
            None => Ok(()),
        },
        other => match node(other, env)? {
            Some(rendered) => out.push(rendered),
            None => Ok(()),
        },
    }
}

/// Adds the body for each item; how many items there were, `None`: the list is absent.
fn each(
    path: &Path,
    body: &Node,
    env: &mut Env<'_>,
    out: &mut Items,
) -> Result<Option<usize>, EvalError> {
    let Some(items) = path.items_in(env)? else {
        return Ok(None);
    };
    let count = items.len();
    if count > MAX_LIST {
        return Err(EvalError::TooLarge);
    }
    for (index, item) in items.into_iter().enumerate() {
        env.enter(item, index);
        let rendered = node(body, env);
        env.leave();
        if let Some(rendered) = rendered? {
            out.push(rendered)?;
        }
    }
    Ok(Some(count))
}

/// Objects merged from left to right: plain ones as RFC 7396 says, members
/// with files in them by replacing.
fn merged(items: &[Node], env: &mut Env<'_>) -> Result<Option<Rendered>, EvalError> {
    let mut whole: Option<Rendered> = None;
    for item in items {
        let Some(patch) = node(item, env)? else {
            continue;
        };
        whole = Some(match (whole, patch) {
            (_, Rendered::Value(patch)) if !patch.is_object() => {
                return Err(EvalError::NotAnObject);
            }
            (None, patch @ (Rendered::Value(_) | Rendered::Object(_))) => patch,
            (Some(Rendered::Value(mut target)), Rendered::Value(patch)) => {
                merge(&mut target, &patch);
                Rendered::Value(target)
            }
            (Some(target), patch) => lay(target, patch)?,
            (None, _) => return Err(EvalError::NotAnObject),
        });
    }
    Ok(whole)
}

fn lay(target: Rendered, patch: Rendered) -> Result<Rendered, EvalError> {
    let (Some(mut members), Some(patch)) = (target.into_members(), patch.into_members()) else {
        return Err(EvalError::NotAnObject);
    };
    for (key, value) in patch {
        let own = members.iter_mut().find(|(have, _)| *have == key);
        match (own, value) {
            (_, Rendered::Value(Value::Null)) => members.retain(|(have, _)| *have != key),
            (Some((_, Rendered::Value(own))), Rendered::Value(patch)) => merge(own, &patch),
            (Some((_, own)), value) => *own = value,
            (None, Rendered::Value(patch)) => {
                let mut own = Value::Null;
                merge(&mut own, &patch);
                members.push((key, Rendered::Value(own)));
            }
            (None, value) => members.push((key, value)),
        }
    }
    Ok(Rendered::Object(members))
}

fn json(
    of: &Node,
    content_type: Option<&Text>,
    env: &mut Env<'_>,
) -> Result<Option<Rendered>, EvalError> {
    let Some(rendered) = node(of, env)? else {
        return Ok(None);
    };
    let value = rendered.into_value()?;
    // Escapes make the text longer than the value, and are known when it is written.
    let size = size(&value);
    env.spend(size)?;
    let text = value.to_string();
    env.spend(text.len().saturating_sub(size))?;
    let content_type = match content_type {
        Some(content_type) => content_type.eval_text_in(env)?,
        None => None,
    };
    Ok(Some(match content_type {
        Some(content_type) => Rendered::Part(Part { text, content_type }),
        None => Rendered::Value(Value::String(text)),
    }))
}

fn file(
    path: &Path,
    [filename, content_type]: [Option<&Text>; 2],
    env: &mut Env<'_>,
) -> Result<Option<Rendered>, EvalError> {
    let Some(items) = path.items_in(env)? else {
        return Ok(None);
    };
    if items.len() > MAX_LIST {
        return Err(EvalError::TooLarge);
    }
    let mut text = |text: Option<&Text>| match text {
        Some(text) => text.eval_text_in(env),
        None => Ok(None),
    };
    let (filename, content_type) = (text(filename)?, text(content_type)?);
    let said = [&filename, &content_type].map(|text| text.as_ref().map_or(0, String::len));
    let files: Result<Vec<File>, EvalError> = items
        .into_iter()
        .map(|item| {
            env.spend(said.iter().sum())?;
            let source = source(item, env)?;
            Ok(File {
                source,
                filename: filename.clone(),
                content_type: content_type.clone(),
            })
        })
        .collect();
    let files = files?;
    Ok((!files.is_empty()).then_some(Rendered::Files(files)))
}

fn source(item: Bound<'_>, env: &Env<'_>) -> Result<FileSource, EvalError> {
    match item {
        Bound::Input { name, index } => Ok(FileSource::Input { name, index }),
        Bound::Value(value) => match value.as_str() {
            Some(text) if text.starts_with("data:") => {
                env.spend(text.len())?;
                Ok(FileSource::DataUrl(text.to_owned()))
            }
            _ => Err(EvalError::NotMedia),
        },
    }
}
