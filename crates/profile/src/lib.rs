//! What a provider profile means: rows in, every mistake or a compiled revision out.
//!
//! No I/O, no clock, no async: what needs those is `engine`'s.

pub mod bundle;
pub mod call;
pub mod capabilities;
pub mod case;
pub mod catalogue;
mod check;
pub mod content;
pub mod draft;
pub mod lang;
pub mod openai;
pub mod revision;
pub mod rows;
pub mod schemas;

pub use schemas::schemas;
