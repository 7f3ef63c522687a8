//! How we tell people what went wrong: codes, places, help; and secrets that
//! cannot be printed.
//!
//! Every diagnostic has a [`Code`] with a page (`modelrow explain CODE`), a
//! [`Place`] and a remedy. The crate knows nothing of ours.

mod code;
mod diagnostic;
mod near;
mod place;
mod secret;

pub use code::{Code, UnknownCode};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use near::{COMPARED_MAX, nearest};
pub use place::Place;
pub use secret::{ExposeSecret, Secret, mask};
