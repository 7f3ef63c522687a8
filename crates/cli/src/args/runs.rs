//! `modelrow runs …`

use clap::{Args, Subcommand, ValueEnum};
use runtime::{State, Status};
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Lists runs, newest first
    List(ListArgs),
    /// Shows one run: where it stands, its attempts, files and timeline
    Show(ShowArgs),
    /// Follows one run live until it has ended
    Watch(WatchArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "All filters must hold; a filter that is repeated (`--status`, `--state`) takes any of its values.\n\n\
                  Examples:\n  modelrow runs list --status failed --since 2h\n  \
                  modelrow runs list --state submit_unknown --json\n  \
                  modelrow runs list --purpose video --metadata order=1234"
)]
pub(crate) struct ListArgs {
    /// Only runs of this status
    #[arg(long, value_enum)]
    pub(crate) status: Vec<StatusWord>,
    /// Only runs in this state
    #[arg(long, value_parser = state)]
    pub(crate) state: Vec<State>,
    /// Only runs that are held until `modelrow runs release`
    #[arg(long)]
    pub(crate) held: bool,
    /// Only this purpose: video, image, …
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// Only profiles of this provider
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only this model, by its id in the API
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Only calls since then: `90s`, `2h`, `3days`, or a time as `2026-11-30T12:00:00Z`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only runs whose metadata hold this, `name=value`
    #[arg(long = "metadata", value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Only runs of this tenant
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<Uuid>,
    /// How many, at most 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) limit: u16,
    /// Those behind this cursor, which a full page prints
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Print JSON, one run a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// The words of the API.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StatusWord {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

impl From<StatusWord> for Status {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Queued => Self::Queued,
            StatusWord::Running => Self::Running,
            StatusWord::Succeeded => Self::Succeeded,
            StatusWord::Failed => Self::Failed,
            StatusWord::Canceled => Self::Canceled,
        }
    }
}

fn state(word: &str) -> Result<State, String> {
    State::parse(word).map_err(|_| {
        let words: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
        format!("the states are {}", words.join(", "))
    })
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's id
    pub(crate) run: Uuid,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 when the run succeeded, 1 when it did not, 130 on Ctrl-C, which leaves the run as it is."
)]
pub(crate) struct WatchArgs {
    /// The run's id
    pub(crate) run: Uuid,
    /// Only entries of the timeline behind this number: where a watch was left
    #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) after: i32,
    /// Print JSON, one event a line
    #[arg(long)]
    pub(crate) json: bool,
}
