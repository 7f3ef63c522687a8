//! `modelrow profile`: bundles written, checked, tested, compared and applied.

use super::{CallArgs, CallbackUrlArgs};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Starts a bundle: from questions, from options, or from an OpenAPI document
    New(NewArgs),
    /// Finds every mistake in bundle files, with line and column; touches nothing
    Check(CheckArgs),
    /// Replays the recorded cases and writes bundles with them into the database, all or nothing
    Apply(ApplyArgs),
    /// Prints a provider's rows as a bundle, without secrets
    Export(ExportArgs),
    /// Prints every request a call would make, secrets masked, and the same as curl; sends nothing
    Plan(PlanArgs),
    /// Replays the recorded cases of bundles, without a network
    Test(TestArgs),
    /// Makes a case file from one live run, secrets scrubbed
    Record(RecordArgs),
    /// Shows what differs between two bundles, the database, and revisions
    Diff(DiffArgs),
    /// Lists the profiles in the database and what they take
    List(JsonArg),
    /// Shows which rows serve, and what is wrong with the others
    Status(JsonArg),
    /// Shows status words, error codes and members that answers had and the profiles do not know; ends with 1 when there are any
    Doctor(JsonArg),
    /// Prints the address to configure at a provider whose callbacks go to one address
    CallbackUrl(CallbackUrlArgs),
    /// Writes the JSON Schemas of bundles and cases, for editors
    Schemas(SchemasArgs),
}

#[derive(Debug, Args)]
pub(crate) struct JsonArg {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A draft is for a person to finish: what could not be inferred is printed, and listed in the README beside the bundle. \
                        Without a terminal nothing is asked.\n\n\
                        Examples:\n  modelrow profile new --base-url https://api.acme.ai/v1 --purpose video\n  \
                        modelrow profile new --openapi openapi.yaml --operation createVideo --out acme"
)]
pub(crate) struct NewArgs {
    /// Short name of the provider; made from its address without it
    #[arg(long)]
    pub(crate) slug: Option<String>,
    /// Address of the API, as its documentation has it
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// What it makes: video, image, audio, chat, …; guessed from an OpenAPI document
    #[arg(long)]
    pub(crate) purpose: Option<String>,
    /// The model's id in the API
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// An OpenAPI document, 3.0 or 3.1, JSON or YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) openapi: Option<PathBuf>,
    /// The operation that submits: its operationId, its path, or `POST /path`
    #[arg(long, value_name = "OPERATION", requires = "openapi")]
    pub(crate) operation: Option<String>,
    /// Folder of the bundle; the provider's short name without it
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write over what is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print the bundle's file, what is left to do, and the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The run is real: it may cost money. It works in a database of its own, with the rows of the bundle. \
                        Answers are kept without secrets, signatures of addresses, cookies and most headers; files are cut to their first \
                        512 bytes. Requests are rendered again, with masked secrets and fixed uuids and times, so that the case passes \
                        `modelrow profile test`.\n\n\
                        Examples:\n  modelrow profile record acme --name success --prompt \"a cat\" --param seconds=8\n  \
                        modelrow profile record acme --name success --prompt \"a cat\" --endpoint http://127.0.0.1:8089 --allow-private"
)]
pub(crate) struct RecordArgs {
    /// Bundle file, or folder that holds a `bundle.json`; the case is written into `cases/` beside it
    pub(crate) bundle: PathBuf,
    /// Name of the case
    #[arg(long)]
    pub(crate) name: String,
    /// What the case shows, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) call: CallArgs,
    /// Another address that serves the same API, for a gateway or the simulator
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Let the endpoint be plain http and on a private network (operators only)
    #[arg(long, requires = "endpoint")]
    pub(crate) allow_private: bool,
    /// Write over a case of that name
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Bundle files, or folders that hold a `bundle.json`
    #[arg(required = true)]
    pub(crate) bundles: Vec<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Bundle files, or folders that hold a `bundle.json`
    #[arg(required = true)]
    pub(crate) bundles: Vec<PathBuf>,
    /// Another address that serves the same API, for a gateway or the simulator
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Let the endpoint be plain http and on a private network (operators only)
    #[arg(long, requires = "endpoint")]
    pub(crate) allow_private: bool,
    /// Put the bundles' references in place of secrets that `modelrow credential set` has sealed, which stay without it
    #[arg(long)]
    pub(crate) unseal: bool,
    /// Remove stored cases of these profiles that are not beside the bundles
    #[arg(long)]
    pub(crate) replace_cases: bool,
    /// Remove the rows of these providers that the bundles no longer name; credentials stay
    #[arg(long)]
    pub(crate) prune: bool,
    /// Show what would differ, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Who applies them, for the audit log
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The provider's slug
    pub(crate) provider: String,
    /// File to write; standard output without it
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Plan with this bundle instead of the rows in the database
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) call: CallArgs,
    /// How to print the plan
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: PlanFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// Requests for people
    Text,
    /// `curl` commands only
    Curl,
    /// One JSON document
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Bundle files, or folders that hold a `bundle.json` and `cases/`
    #[arg(required = true)]
    pub(crate) bundles: Vec<PathBuf>,
    /// Only cases whose name holds this text; refused when there is none
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Write a JUnit report too, for CI
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A side is a bundle (file or folder), `@PROVIDER` (that provider's rows in the database), or a revision: \
                        at least 8 digits of what `modelrow profile status --json` shows as `serving`, or of a run's `revision`.\n\n\
                        Exit codes: 0 alike, 1 different, 2 or 3 as ever.\n\n\
                        Examples:\n  modelrow profile diff profiles/acme @acme\n  \
                        modelrow profile diff old/bundle.json new/bundle.json --json\n  \
                        modelrow profile diff 4f1c09aa profiles/acme"
)]
pub(crate) struct DiffArgs {
    /// What it was
    pub(crate) before: String,
    /// What it is
    pub(crate) after: String,
    /// Print the differences as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SchemasArgs {
    /// Folder to write them to
    #[arg(long, default_value = "schemas", value_name = "DIR")]
    pub(crate) out: PathBuf,
}
