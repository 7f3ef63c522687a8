//! `modelrow credential …`

use clap::{Args, Subcommand};
use uuid::Uuid;

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Secrets in the database are references (`env:NAME`, `file:/path`) or sealed with AES-256-GCM under a key that only the \
                  processes have: MODELROW_SECRET_KEY, or the file of MODELROW_SECRET_KEY_FILE, holds `id:base64`, several by commas \
                  or lines. The first key seals, all of them open.\n\n\
                  To begin:      modelrow credential new-key, and give the key to every process\n\
                  To rotate:     put a new key first, restart every process, modelrow credential rotate, take the old key away"
)]
pub(crate) enum CredentialCommand {
    /// Puts a secret into a credential, sealed: from standard input, or asked for without an echo
    Set(SetArgs),
    /// Lists credentials: where their secrets are, never the secrets
    List(CredentialListArgs),
    /// Seals every secret anew under the first key; may be stopped and begun again
    Rotate(RotateArgs),
    /// Proves a credential by a free exchange with its provider
    Verify(VerifyArgs),
    /// Prints a new key for MODELROW_SECRET_KEY
    NewKey(NewKeyArgs),
}

/// Which credential.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhichArgs {
    /// The provider's slug
    pub(crate) provider: String,
    /// Name of the credential; the provider's only one without it, else its default one
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A tenant's own credential; the system's, which serves every tenant, without it
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<Uuid>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The secret is a text, or a JSON object of its named parts. It is never an argument: the history of a shell and the list of \
                  processes would keep it.\n\n\
                  Examples:\n  modelrow credential set acme < key.txt\n  pass show acme | modelrow credential set acme\n  \
                  modelrow credential set acme --reference env:ACME_API_KEY"
)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Keep a reference instead of a secret: `env:NAME` or `file:/path`
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) reference: Option<String>,
    /// Who sets it
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print what was set as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CredentialListArgs {
    /// Only credentials of this provider
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The exchange is the provider's `conventions.verify`. Where there is none and the auth profile gets an access token, the token \
                  is asked for. Ends with 1 when the provider refuses the credential."
)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// Its id: 1 to 32 letters, digits, `-` and `_`; a random one without it
    #[arg(long)]
    pub(crate) id: Option<String>,
}
