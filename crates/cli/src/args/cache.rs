//! `modelrow cache`

use clap::{Args, Subcommand};

const HELP: &str = "A call is given the result of an earlier one with the same tenant, credential, profile revision and request, clock, uuids and \
                    tokens left out: a run of its own that has ended, with `cached` and `cache_of`, the same files, and no cost. Nothing is sent, \
                    and no limit counts it. Files stay while any run has them.\n\n\
                    Examples:\n  modelrow run --model sora-2 --prompt \"a red cube\" --cache\n  modelrow cache on --tenant acme\n  modelrow cache show";

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Shows what is cached, and whether calls that do not say are served from it
    #[command(after_help = HELP)]
    Show(CacheArgs),
    /// Serves every call of the tenant from the cache, unless it says `--no-cache` (`"cache": false`)
    #[command(after_help = HELP)]
    On(CacheArgs),
    /// Serves only calls that say `--cache` (`"cache": true`)
    #[command(after_help = HELP)]
    Off(CacheArgs),
    /// Forgets what is cached: the next calls are sent; runs and their files stay
    #[command(after_help = HELP)]
    Clear(CacheArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// Whose: an id or a slug
    #[arg(long, default_value = "default", value_name = "ID|SLUG")]
    pub(crate) tenant: String,
    /// Who says so, for the audit log
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
