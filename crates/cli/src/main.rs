//! The `modelrow` program: one executable for callers, admins and operators.
//!
//! Here is no logic: a command reads its arguments, asks the crates, and tells
//! people or programs what came of it.

mod args;
mod bundles;
mod commands;
mod config;
mod exit;
mod house;
mod params;
mod progress;
mod saved;
mod ui;

use args::{Cli, Command, LogFormat, ProfileCommand, RunsCommand};
use exit::Stop;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let loaded = match config::load() {
        Ok(loaded) => loaded,
        Err(stop) => return stop.tell(),
    };
    if let Command::Config(command) = &loaded.cli.command {
        return match loaded.tell(command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(stop) => stop.tell(),
        };
    }
    let cli = loaded.cli;
    log_to_stderr(&cli.house.log, cli.house.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let help = "raise the limits of threads and open files of this process";
            return Stop::house(diag::Code::X108, error.to_string(), help).tell();
        }
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.tell(),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Stop> {
    let house = &cli.house;
    match cli.command {
        Command::Demo(args) => commands::demo::demo(house, &args).await,
        Command::Run(args) => commands::run::run(house, &args).await,
        Command::Serve(args) => commands::serve::serve(house, &args).await,
        Command::Work(args) => commands::serve::work(house, &args).await,
        Command::Runs(command) => runs(house, command).await,
        Command::Deliveries(command) => commands::deliveries::deliveries(house, command).await,
        Command::WebhookSecret(command) => {
            commands::deliveries::webhook_secret(house, command).await
        }
        Command::Top(args) => commands::top::top(house, &args).await,
        Command::Pause(args) => commands::pause::pause(house, &args).await,
        Command::Resume(args) => commands::pause::resume(house, &args).await,
        Command::Credential(command) => commands::credential::credential(house, command).await,
        Command::Limits(command) => commands::limits::limits(house, &command).await,
        Command::Cache(command) => commands::cache::cache(house, &command).await,
        Command::Usage(args) => commands::usage::usage(house, &args).await,
        Command::Sweep(args) => commands::sweep::sweep(house, &args).await,
        Command::Migrate => commands::migrate(house).await,
        // Its commands are the largest, and this is one of many.
        Command::Profile(command) => Box::pin(profile(house, command)).await,
        Command::Key(command) => commands::keys::key(house, command).await,
        Command::Tenant(command) => commands::keys::tenant(house, command).await,
        Command::Audit(args) => commands::keys::audit(house, &args).await,
        Command::Openapi => {
            ui::print_json(&server::openapi());
            Ok(())
        }
        // Told before anything is opened.
        Command::Config(_) => Ok(()),
        Command::Simulate(args) => commands::simulate::simulate(args).await,
        Command::Explain(args) => commands::explain::explain(&args),
    }
}

async fn runs(house: &args::HouseArgs, command: RunsCommand) -> Result<(), Stop> {
    use commands::runs;
    match command {
        RunsCommand::List(args) => runs::list::list(house, &args).await,
        RunsCommand::Show(args) => runs::show::show(house, &args).await,
        RunsCommand::Watch(args) => runs::watch::watch(house, &args).await,
        RunsCommand::Cancel(args) => runs::act::cancel(house, &args).await,
        RunsCommand::Retry(args) => runs::act::retry(house, &args).await,
        RunsCommand::Resolve(args) => runs::act::resolve(house, &args).await,
        RunsCommand::Release(args) => runs::act::release(house, &args).await,
        RunsCommand::Orphans(args) => runs::orphans::orphans(house, &args).await,
        RunsCommand::Delete(args) => runs::act::delete(house, &args).await,
    }
}

async fn profile(house: &args::HouseArgs, command: ProfileCommand) -> Result<(), Stop> {
    use commands::profile;
    match command {
        ProfileCommand::Check(args) => profile::check::check(&args),
        ProfileCommand::Apply(args) => profile::apply::apply(house, &args).await,
        ProfileCommand::Export(args) => profile::export::export(house, &args).await,
        ProfileCommand::New(args) => profile::new::new(&args),
        ProfileCommand::Record(args) => profile::record::record(house, &args).await,
        ProfileCommand::Plan(args) => profile::plan::plan(house, &args).await,
        ProfileCommand::Test(args) => profile::test::test(&args),
        ProfileCommand::Diff(args) => profile::diff::diff(house, &args).await,
        ProfileCommand::Doctor(args) => profile::doctor::doctor(house, &args).await,
        ProfileCommand::List(args) => profile::list::list(house, &args).await,
        ProfileCommand::Status(args) => profile::status::status(house, &args).await,
        ProfileCommand::CallbackUrl(args) => {
            profile::callback_url::callback_url(house, &args).await
        }
        ProfileCommand::Schemas(args) => profile::schemas::schemas(&args),
    }
}

/// Logs go to standard error, with colours only on a terminal.
fn log_to_stderr(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
