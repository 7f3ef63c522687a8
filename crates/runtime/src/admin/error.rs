//! What cannot be done with a row.

use diag::{Code, Place};
use std::fmt::Write as _;
use store::Rule;
use uuid::Uuid;

/// What cannot be done with a row. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// There is none of that id (of this tenant, or the system's).
    #[error("there is no row {id} of the kind `{kind}`")]
    NotThere {
        /// What was asked for.
        kind: &'static str,
        /// What was asked for.
        id: Uuid,
    },
    /// The tenant has no provider of that name.
    #[error("there is no provider `{provider}`")]
    NoProvider {
        /// What was asked for.
        provider: String,
    },
    /// No revision of that id, or several of these first digits, served of the profile.
    #[error("there is no revision `{revision}` of the profile")]
    NoRevision {
        /// What was asked for.
        revision: String,
    },
    /// A tenant's admin does not end it.
    #[error("an operator's pause stands")]
    Braked,
    /// There is nothing to go back to.
    #[error("no other revision served of the profile before the one that serves")]
    NoEarlier,
    /// There is one of that name.
    #[error("there is a row `{key}` already")]
    Taken {
        /// Its name.
        key: String,
        /// The member of the body that names it.
        member: &'static str,
    },
    /// It is not as it was seen.
    #[error("the row was changed since it was seen")]
    Stale,
    /// Runs or rows use it.
    #[error("{}", in_use(.runs, .rows))]
    InUse {
        /// Runs that have not ended; of a credential any.
        runs: Vec<Uuid>,
        /// Rows, by kind and name.
        rows: Vec<String>,
    },
    /// A row stays what its name says.
    #[error("`{member}` is part of the row's name, and not as it was")]
    Renamed {
        /// The member of the body.
        member: &'static str,
    },
    /// The system's rows are an operator's to write.
    #[error("the row is the system's: your tenant reads it, and an operator writes it")]
    OfSystem,
    /// A rule of the tables speaks against it.
    #[error("{}", .0.meaning())]
    Rule(Rule),
}

fn in_use(runs: &[Uuid], rows: &[String]) -> String {
    let mut text = "the row is in use".to_owned();
    let runs: Vec<String> = runs.iter().map(Uuid::to_string).collect();
    for (what, names) in [("runs", runs.as_slice()), ("rows", rows)] {
        if !names.is_empty() {
            let _ = write!(text, "; {what} that use it: {}", names.join(", "));
        }
    }
    text
}

impl RowError {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotThere { .. } => Code::R200,
            Self::NoProvider { .. } => Code::R205,
            Self::NoRevision { .. } | Self::NoEarlier => Code::R207,
            Self::Braked => Code::R209,
            Self::Taken { .. } => Code::R201,
            Self::Stale => Code::R202,
            Self::InUse { .. } => Code::R203,
            Self::Renamed { .. } => Code::R204,
            Self::OfSystem => Code::C174,
            Self::Rule(_) => Code::S125,
        }
    }

    /// The member of the body that is wrong; absent: it is not the body.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Taken { member, .. } | Self::Renamed { member } => {
                Some(Place::default().child(member))
            }
            Self::Rule(_) => Some(Place::default()),
            Self::NotThere { .. }
            | Self::NoProvider { .. }
            | Self::NoRevision { .. }
            | Self::NoEarlier
            | Self::Braked
            | Self::Stale
            | Self::InUse { .. }
            | Self::OfSystem => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::NotThere { .. } => "use an `id` of the list: `GET /admin/v1/{kind}`",
            Self::NoProvider { .. } => {
                "name a provider of the tenant: `GET /admin/v1/providers` lists them; the system's go by `tenant=system`"
            }
            Self::NoRevision { .. } | Self::NoEarlier => {
                "use a `revision` of the list: `GET /admin/v1/profiles/{id}/revisions`"
            }
            Self::Taken { .. } => {
                "change that one (`PUT` with its `ETag`), or give this one another name"
            }
            Self::Braked => "ask an operator, who ends it",
            Self::Stale => "read it again, and send the change with the `ETag` that it has now",
            Self::InUse { .. } => {
                "deactivate it (`is_active`, `status`), or wait for the runs and take away the rows that name it"
            }
            Self::Renamed { .. } => "leave it as it was; a row of another name is made with `POST`",
            Self::OfSystem => {
                "make a row of your own with the same name: your runs use it in place of the system's"
            }
            Self::Rule(rule) => rule.help(),
        }
    }
}
