//! The rows of the language one by one, for admins: a tenant's admin reads its rows and the system's, and writes its own.

mod check;
mod error;
mod save;
mod view;

pub use error::RowError;
pub use save::Admin;
pub use view::{RowFilter, RowFinding, RowPage, RowView, Serving};
