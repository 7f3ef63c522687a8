//! `modelrow key …`, `modelrow tenant …`, `modelrow audit`

use super::{PageArgs, PartArgs};
use clap::{Args, Subcommand, ValueEnum};
use runtime::Role;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
#[command(
    after_help = "A key is shown once, when it is made; the database keeps a hash. `viewer` looks, `caller` makes runs too, `admin` sees to the \
                  keys and rows of its tenant too; an admin of the tenant `system` is the operator.\n\n\
                  Examples:\n  modelrow key create --role caller --name backend --expires 90days\n  \
                  modelrow key create --role admin --tenant system\n  modelrow key list\n  modelrow key revoke 0198…"
)]
pub(crate) enum KeyCommand {
    /// Makes an API key, and prints it this once
    Create(KeyCreateArgs),
    /// Lists API keys: whose they are, what they may do, when they were last used
    List(KeyListArgs),
    /// Revokes API keys: each is refused from its next use on
    Revoke(KeyRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    /// What it may do
    #[arg(long, value_enum)]
    pub(crate) role: RoleWord,
    /// Whose it is: a tenant's id or slug
    #[arg(long, default_value = "default", value_name = "ID|SLUG")]
    pub(crate) tenant: String,
    /// What it is for, for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) name: String,
    /// Good for so long (`90days`) or until then (`2027-01-31T12:00:00Z`); until it is revoked without it
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Who makes it
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print the key and what is known of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The words of the API.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleWord {
    Viewer,
    Caller,
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Caller => Self::Caller,
            RoleWord::Admin => Self::Admin,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct KeyListArgs {
    /// Only those of this tenant
    #[arg(long, value_name = "ID|SLUG")]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRevokeArgs {
    /// Ids of keys, as `modelrow key list` prints them
    #[arg(required = true)]
    pub(crate) keys: Vec<Uuid>,
    /// Who revokes
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print what was revoked as JSON, one a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Makes a tenant: runs, keys and rows of its own, and the system's rows
    Create(TenantCreateArgs),
    /// Lists tenants
    List(PartArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TenantCreateArgs {
    /// Its name: 1 to 63 lower case letters, digits, `-` and `_`
    pub(crate) slug: String,
    /// Who makes it
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Keys, tenants and credentials are written down with what they were before and afterwards, by whatever statement they were \
                  changed; no secret and no hash is among it. `--json` prints both sides."
)]
pub(crate) struct AuditArgs {
    /// Only this action: api_key.create, credential.change, run.delete, …
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Only this object: `credential/acme/default`, …
    #[arg(long)]
    pub(crate) object: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}
