//! `modelrow deliveries …` and `modelrow webhook-secret …`

use super::runs::PageArgs;
use clap::{Args, Subcommand, ValueEnum};
use runtime::DeliveryStatus;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// Lists callbacks, newest first
    List(DeliveryListArgs),
    /// Shows every attempt of one callback, with its answer
    Show(DeliveryArgs),
    /// Sends callbacks once more, under their own ids
    Resend(ResendArgs),
}

/// How a callback stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DeliveryWord {
    Pending,
    Delivered,
    Failed,
}

impl From<DeliveryWord> for DeliveryStatus {
    fn from(word: DeliveryWord) -> Self {
        match word {
            DeliveryWord::Pending => Self::Pending,
            DeliveryWord::Delivered => Self::Delivered,
            DeliveryWord::Failed => Self::Failed,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DeliveryListArgs {
    /// Only of this run
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<Uuid>,
    /// Only those that stand so
    #[arg(long, value_enum)]
    pub(crate) status: Option<DeliveryWord>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeliveryArgs {
    /// The callback's id: its `webhook-id`
    pub(crate) id: Uuid,
    /// Print JSON, one attempt a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResendArgs {
    /// The callbacks' ids
    #[arg(required = true)]
    pub(crate) ids: Vec<Uuid>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookSecretCommand {
    /// Makes a new secret and prints it; the one before it signs too, for a while
    Rotate(RotateSecretArgs),
    /// Prints the newest secret
    ShowNew(ShowSecretArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RotateSecretArgs {
    /// Whose callbacks it signs; the default tenant's without it
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<Uuid>,
    /// Hours that the old secret signs beside the new one
    #[arg(long, default_value_t = 24, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=720))]
    pub(crate) overlap: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ShowSecretArgs {
    /// Whose callbacks it signs; the default tenant's without it
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<Uuid>,
}
