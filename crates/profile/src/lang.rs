//! The language core: templates, paths, conditions, trees, merging.
//!
//! Section 2 of the language. A row's text is compiled once, with every
//! mistake found, and evaluated over a [`Scope`] without parsing anything
//! again. Nothing here does I/O or reads a clock; which rows exist, and what
//! their fields mean, is left to the other modules of this crate.

mod answer;
mod condition;
pub mod encode;
mod expr;
mod fault;
mod helpers;
mod known;
mod merge;
mod mistake;
mod number;
mod path;
mod reference;
mod scope;
mod size;
mod text;
mod tree;
mod vars;

pub use answer::{Answer, Body, Stream, StreamEvent, Subject, View};
pub use condition::Condition;
pub use fault::EvalError;
pub use known::{Known, Presence};
pub use merge::merge;
pub use mistake::Mistake;
pub use number::{compare, is_word, same};
pub use path::Path;
pub use reference::{Read, Ref, Root, Seg};
pub use scope::{Bound, Draws, Inputs, Scope, Secrets};
pub(crate) use size::size;
pub use text::{Place, Text};
pub use tree::{File, FileSource, Part, Rendered, Tree};
pub use vars::VarsTable;

/// Bytes of one text of a template.
pub const MAX_TEXT: usize = 64 * 1024;
/// Levels of nesting of a tree, of the blocks of a text and of its expressions.
pub const MAX_DEPTH: usize = 64;
/// Items of a list.
pub const MAX_LIST: usize = 10_000;
