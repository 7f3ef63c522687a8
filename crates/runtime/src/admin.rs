//! The rows of the language one by one, for admins: a tenant's admin reads its rows and the system's, and writes its own.

mod bundle;
pub(crate) mod check;
mod credential;
mod error;
mod operator;
mod revision;
mod save;
mod unsaved;
mod view;

pub use bundle::{
    BundleHow, BundleView, CaseReport, CasesReport, Difference, GivenBundle, MemberDifference,
};
pub use credential::{CredentialPage, CredentialPut, CredentialShown, CredentialStop};
pub use error::RowError;
pub use revision::{RevisionPage, RevisionView, Seen};
pub use save::Admin;
pub(crate) use save::{contents, owner};
pub use unsaved::PlanRefused;
pub use view::{RowFilter, RowFinding, RowPage, RowView, Serving};
