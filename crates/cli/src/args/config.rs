//! What can be asked of the configuration.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Shows every setting as it stands and where it comes from: the environment, the file, or the defaults
    Show(ConfigShowArgs),
    /// Prints a file with every setting, commented out
    Default,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
