//! `modelrow pause`, `modelrow resume`, `modelrow top`

use clap::Args;
use runtime::PauseScope;

/// What is paused.
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    /// Every submit
    #[arg(long)]
    pub(crate) all: bool,
    /// Every submit to this provider, by its slug
    #[arg(long, value_name = "SLUG")]
    pub(crate) provider: Option<String>,
    /// Every submit with this credential: its id, or `provider/name`
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) credential: Option<String>,
    /// Every run of this tenant: its id or slug
    #[arg(long, value_name = "ID|SLUG")]
    pub(crate) tenant: Option<String>,
}

impl ScopeArgs {
    pub(crate) fn scope(&self) -> PauseScope {
        let named = [&self.provider, &self.credential, &self.tenant];
        match named.map(Clone::clone) {
            [Some(provider), _, _] => PauseScope::Provider { provider },
            [_, Some(credential), _] => PauseScope::Credential { credential },
            [_, _, Some(tenant)] => PauseScope::Tenant { tenant },
            [None, None, None] => PauseScope::All,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true).args(["list", "all", "provider", "credential", "tenant"]),
    after_help = "A pause holds on every worker from now on, and over restarts, until `modelrow resume`. What is queued waits; what is on its way \
                  is answered, followed and fetched.\n\n\
                  Examples:\n  modelrow pause --provider acme --reason \"they charge twice\"\n  modelrow pause --list\n  \
                  modelrow resume --provider acme"
)]
pub(crate) struct PauseArgs {
    /// Show what is paused, and credentials that wait after a provider's answer
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Why, for whoever looks later
    #[arg(
        long,
        value_name = "TEXT",
        required_unless_present = "list",
        conflicts_with = "list"
    )]
    pub(crate) reason: Option<String>,
    /// Who says so
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "On a credential it ends the wait after a refused key or a 429, too.")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Who says so
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Rates and lateness are of the last ten seconds, as each worker tells them when it renews its lease. Ctrl-C ends it. \
                  Without a terminal it shows one picture, as with `--once`; with `--json` one line each time."
)]
pub(crate) struct TopArgs {
    /// Show it once and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Print JSON, one line each time
    #[arg(long)]
    pub(crate) json: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) interval: u64,
}
