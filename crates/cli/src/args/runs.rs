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
    /// Cancels runs, at the provider too where the profile can
    Cancel(CancelArgs),
    /// Asks for the same once more, in a new run
    Retry(RetryArgs),
    /// Says what became of a submit whose outcome is unknown
    Resolve(ResolveArgs),
    /// Lets runs go on that were held because the database may have gone back in time
    Release(ReleaseArgs),
    /// Lists jobs that no run follows, because the database went back to before their run was made
    Orphans(OrphansArgs),
    /// Deletes ended runs: what was asked, what came of it, and their files
    Delete(DeleteArgs),
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
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// A part of a list, of one tenant's or of all.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// Only those of this tenant
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<Uuid>,
    #[command(flatten)]
    pub(crate) part: PartArgs,
}

/// A part of a list.
#[derive(Debug, Args)]
pub(crate) struct PartArgs {
    /// How many, at most 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) limit: u16,
    /// Those behind this cursor, which a full page prints
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Print JSON, one of them a line
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

#[derive(Debug, Args)]
#[command(
    after_help = "A queued run ends at once, and costs nothing. Else the worker that follows it acts: the provider's word decides, \
                  and a job that succeeds in spite of the cancel is kept. May be repeated."
)]
pub(crate) struct CancelArgs {
    /// The runs' ids
    #[arg(required = true)]
    pub(crate) runs: Vec<Uuid>,
    /// Print JSON, one run a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The new run asks for what the old one asked for, of the same model by the same profile, as its rows are today. It is \
                  refused while the old run goes on, once it has succeeded, and while its job is, or may be, paid for."
)]
pub(crate) struct RetryArgs {
    /// The run's id
    pub(crate) run: Uuid,
    /// Make the new run though the old one is, or may be, paid for too
    #[arg(long)]
    pub(crate) accept_duplicate: bool,
    /// The same key gives the same new run, however often the command is repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Print the new run as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who decides, and why.
#[derive(Debug, Args)]
pub(crate) struct BecauseArgs {
    /// How this was found out, for whoever looks later
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who says so
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("as").required(true),
    after_help = "Only a run in the state `submit_unknown` is resolved; a job that is proved reopens one that failed as `unknown_outcome`, too.\n\n\
                  Examples:\n  modelrow runs resolve 0198… --accepted video_123 --reason \"in the provider's list, same prompt\"\n  \
                  modelrow runs resolve 0198… --not-accepted --reason \"support says the request never arrived\""
)]
pub(crate) struct ResolveArgs {
    /// The run's id
    pub(crate) run: Uuid,
    /// The provider has the job, under this id: the run follows it
    #[arg(long, value_name = "JOB_ID", group = "as")]
    pub(crate) accepted: Option<String>,
    /// The provider does not have it: the attempt is written off, and the run is queued and sent again
    #[arg(long, group = "as")]
    pub(crate) not_accepted: bool,
    /// Nobody will find out: the run fails as `unknown_outcome` now
    #[arg(long, group = "as")]
    pub(crate) failed: bool,
    #[command(flatten)]
    pub(crate) because: BecauseArgs,
    /// Print the run as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true),
    after_help = "After a lagging standby took over, or a backup was restored, every live run is held: what the database no longer knows may \
                  have been sent. `modelrow runs list --held` shows them. Workers that live write again what they remember (their log says \
                  when), and `modelrow runs orphans` lists the jobs of runs that are gone. What is queued is sent when it is released."
)]
pub(crate) struct ReleaseArgs {
    /// The runs' ids
    #[arg(group = "which")]
    pub(crate) runs: Vec<Uuid>,
    /// Every held run
    #[arg(long, group = "which")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) because: BecauseArgs,
    /// Print JSON, one run a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "After a backup was restored, or a lagging standby took over, workers that live still know jobs whose run the database has lost. \
                  They may be paid for: cancel them at the provider or fetch what they made, tell whoever asked for them, and then \
                  `modelrow runs orphans --forget RUN`."
)]
pub(crate) struct OrphansArgs {
    /// What was sent for these runs is dealt with: it is listed no longer
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub(crate) forget: Vec<Uuid>,
    /// Who has dealt with it, for the audit log
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print JSON, one job a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The objects of the files go an hour later, so that a running download ends in peace. The idempotency key stays used for 30 days."
)]
pub(crate) struct DeleteArgs {
    /// The runs' ids
    #[arg(required = true)]
    pub(crate) runs: Vec<Uuid>,
    /// Who deletes them, for the audit log
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
}
