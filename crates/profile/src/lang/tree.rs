//! Trees: JSON whose strings are templates and whose objects may be directives.

mod compile;
mod render;
#[cfg(test)]
mod tests;

use super::scope::Env;
use super::{Condition, EvalError, Known, Path, Presence, Read, Scope, Text};
use diag::{Diagnostics, Place};
use serde_json::{Map, Value};

/// A compiled tree.
#[derive(Debug, Clone)]
pub struct Tree {
    node: Node,
    secret: bool,
}

#[derive(Debug, Clone)]
enum Node {
    /// Nothing in it has to be evaluated.
    Literal(Value),
    Text(Text),
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
    When {
        condition: Condition,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
    Each {
        path: Path,
        body: Box<Node>,
    },
    Merge(Vec<Node>),
    Json {
        of: Box<Node>,
        content_type: Option<Text>,
    },
    File {
        path: Path,
        filename: Option<Text>,
        content_type: Option<Text>,
    },
}

/// What a tree gives. `Object` and `List` stand only above a file or part:
/// pure JSON is always `Value`.
#[derive(Debug, Clone, PartialEq)]
pub enum Rendered {
    /// Pure JSON.
    Value(Value),
    /// Members, some of which are not pure JSON.
    Object(Vec<(String, Rendered)>),
    /// Items, some of which are not pure JSON.
    List(Vec<Rendered>),
    /// `$file`: of a list, one part each.
    Files(Vec<File>),
    /// `$json` with a `content_type`.
    Part(Part),
}

/// Media to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where the bytes are.
    pub source: FileSource,
    /// `filename`; absent: the media's own.
    pub filename: Option<String>,
    /// `content_type`; absent: the media's own.
    pub content_type: Option<String>,
}

/// Where the bytes of a [`File`] are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// An input of the call.
    Input {
        /// Its name.
        name: String,
        /// From 0.
        index: usize,
    },
    /// A `data:` URL, from elsewhere among the variables.
    DataUrl(String),
}

/// JSON text with a media type of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The text.
    pub text: String,
    /// Its media type.
    pub content_type: String,
}

impl Rendered {
    /// Pure JSON, where nothing else can be sent.
    ///
    /// # Errors
    ///
    /// [`EvalError::PartInJson`].
    pub fn into_value(self) -> Result<Value, EvalError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Object(_) | Self::List(_) | Self::Files(_) | Self::Part(_) => {
                Err(EvalError::PartInJson)
            }
        }
    }

    /// The members of an object, pure JSON or not; `None`: it is no object.
    #[must_use]
    pub fn into_members(self) -> Option<Vec<(String, Self)>> {
        match self {
            Self::Object(members) => Some(members),
            Self::Value(Value::Object(members)) => {
                let wrap = |(key, value)| (key, Self::Value(value));
                Some(members.into_iter().map(wrap).collect())
            }
            _ => None,
        }
    }
}

impl Tree {
    /// Compiles a tree of a row; `None` when mistakes were filed.
    pub fn compile(
        source: &Value,
        known: &Known,
        at: &Place,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        compile::tree(source, known, at, found)
    }

    /// A tree that gives `value` as it stands: nothing in it is a template.
    #[must_use]
    pub fn constant(value: Value) -> Self {
        Self {
            node: Node::Literal(value),
            secret: false,
        }
    }

    /// Renders it; `None`: the whole is absent.
    ///
    /// # Errors
    ///
    /// The first value that could not be made.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Option<Rendered>, EvalError> {
        self.eval_in(&mut Env::new(scope))
    }

    /// Renders it as pure JSON.
    ///
    /// # Errors
    ///
    /// As [`Tree::eval`], and [`EvalError::PartInJson`].
    pub fn eval_value(&self, scope: &Scope<'_>) -> Result<Option<Value>, EvalError> {
        self.eval(scope)?.map(Rendered::into_value).transpose()
    }

    pub(super) fn eval_in(&self, env: &mut Env<'_>) -> Result<Option<Rendered>, EvalError> {
        match render::node(&self.node, env)? {
            // The root stays, even when all its members were removed.
            None => Ok(match &self.node {
                Node::Object(_) => Some(Rendered::Value(Value::Object(Map::new()))),
                Node::List(_) => Some(Rendered::Value(Value::Array(Vec::new()))),
                _ => None,
            }),
            some => Ok(some),
        }
    }

    /// Asks the value; absent, or no pure JSON, is `false`.
    pub(super) fn with_value(
        &self,
        env: &mut Env<'_>,
        ask: impl FnOnce(&Value) -> bool,
    ) -> Result<bool, EvalError> {
        match &self.node {
            Node::Literal(value) => Ok(ask(value)),
            _ => Ok(matches!(self.eval_in(env)?, Some(Rendered::Value(value)) if ask(&value))),
        }
    }

    /// The value itself, when nothing in it is evaluated.
    #[must_use]
    pub fn literal(&self) -> Option<&Value> {
        match &self.node {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Whether a secret stands in it, through helpers and `vars` too.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Whether it can be absent.
    pub(super) fn presence(&self) -> Presence {
        self.node.presence()
    }

    /// Shows every name that it reads.
    pub fn reads(&self, see: &mut dyn FnMut(Read<'_>)) {
        self.node.reads(see);
    }
}

impl Node {
    fn presence(&self) -> Presence {
        match self {
            Self::Text(text) => text.presence(),
            Self::Merge(items) => items
                .iter()
                .map(|node| node.presence())
                .min()
                .unwrap_or(Presence::Late),
            Self::When {
                then, otherwise, ..
            } => {
                let otherwise = otherwise
                    .as_ref()
                    .map_or(Presence::Optional, |node| node.presence());
                then.presence().max(otherwise)
            }
            Self::Each { path, .. } | Self::File { path, .. } => path.item().presence,
            Self::Json { of, .. } => of.presence(),
            // A root stays, even when all its members were removed.
            Self::Literal(_) | Self::Object(_) | Self::List(_) => Presence::Always,
        }
    }

    fn reads(&self, see: &mut dyn FnMut(Read<'_>)) {
        match self {
            Self::Literal(_) => {}
            Self::Text(text) => text.reads(see),
            Self::Object(members) => members.iter().for_each(|(_, node)| node.reads(see)),
            Self::List(items) | Self::Merge(items) => items.iter().for_each(|node| node.reads(see)),
            Self::When {
                condition,
                then,
                otherwise,
            } => {
                condition.reads(see);
                then.reads(see);
                otherwise.iter().for_each(|node| node.reads(see));
            }
            Self::Each { path, body } => {
                path.reads(see);
                body.reads(see);
            }
            Self::Json { of, content_type } => {
                of.reads(see);
                content_type.iter().for_each(|text| text.reads(see));
            }
            Self::File {
                path,
                filename,
                content_type,
            } => {
                path.reads(see);
                filename
                    .iter()
                    .chain(content_type)
                    .for_each(|text| text.reads(see));
            }
        }
    }
}
