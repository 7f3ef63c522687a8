//! The house a command works in: a database, artifacts, and the runtime on top.

use crate::args::HouseArgs;
use crate::commands::credential::bad_keys;
use crate::exit::{Stop, chain};
use crate::{bundles, ui};
use diag::{Code, Secret};
use profile::rows::{Rows, SchemaRow, TemplateRow};
use runtime::{Artifacts, BadKeys, Modelrow, Options, Retention, SecretKeys, Work};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use store::embedded::{self, Announcement, Embedded, EmbeddedError};
use store::{SYSTEM_TENANT, Store};

/// How long the private server may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Where the database is, and who ends it.
pub(crate) struct House {
    /// Of the program's login role.
    url: String,
    artifacts: Artifacts,
    /// Bytes.
    artifact_memory: usize,
    retention: Retention,
    secret_keys: SecretKeys,
    /// The private server, when `DATABASE_URL` is not set.
    embedded: Option<Embedded>,
}

/// What a command does in the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It reads or writes rows.
    Rows,
    /// It sends and follows runs.
    Work,
    /// It takes calls and leaves the work to others.
    Serve,
}

impl House {
    /// Finds the database, or starts the private one; the private one is kept
    /// at the schema of this build, and has the shipped bundles.
    pub(crate) async fn open(args: &HouseArgs) -> Result<Self, Stop> {
        let places = places(args)?;
        if let Some(url) = &args.database_url {
            return Ok(Self {
                url: url.clone(),
                artifacts: artifacts(args, &places),
                artifact_memory: artifact_memory(args),
                retention: retention(args),
                secret_keys: secret_keys(args)?,
                embedded: None,
            });
        }
        let house = Self::private(args, places).await?;
        house.fill_catalogue(bundles::SHIPPED).await?;
        Ok(house)
    }

    /// A private server in `data` with an empty catalogue, whatever `DATABASE_URL` says.
    pub(crate) async fn apart(args: &HouseArgs, name: &str) -> Result<Self, Stop> {
        let mut places = places(args)?;
        places.data_dir = places.data_dir.join(name);
        Self::private(args, places).await
    }

    /// The folder of the house that is called so.
    pub(crate) fn folder(args: &HouseArgs, name: &str) -> Result<PathBuf, Stop> {
        Ok(places(args)?.data_dir.join(name))
    }

    async fn private(args: &HouseArgs, places: embedded::Options) -> Result<Self, Stop> {
        let artifacts = artifacts(args, &places);
        let secret_keys = secret_keys(args)?;
        let start = move || {
            Embedded::start(&places, &mut |what: Announcement| {
                ui::note(&what.to_string())
            })
        };
        let embedded = blocking(start)
            .await?
            .map_err(|error| embedded_stop(&error))?;
        Store::migrate(&embedded.owner_url())
            .await
            .map_err(|error| store_stop(&error))?;
        Ok(Self {
            url: embedded.url(),
            artifacts,
            artifact_memory: artifact_memory(args),
            retention: retention(args),
            secret_keys,
            embedded: Some(embedded),
        })
    }

    /// Applies the bundles of providers that the catalogue does not have yet;
    /// rows that somebody has changed stay as they are.
    async fn fill_catalogue(&self, shipped: &[&str]) -> Result<(), Stop> {
        let modelrow = self.start(Purpose::Rows).await?;
        let compiled = modelrow.catalogue();
        let known: BTreeSet<&str> = compiled
            .revisions
            .iter()
            .map(|entry| entry.key.provider.as_str())
            .collect();
        let mut rows = Rows::default();
        // What is there already is not even checked: every start would pay for it.
        let missing = |text: &&&str| slug(text).is_some_and(|slug| !known.contains(slug.as_str()));
        for text in shipped.iter().filter(missing) {
            let read = bundles::check(PathBuf::from("shipped"), text);
            if !read.found().has_errors() {
                add(&mut rows, read.bundle.rows);
            }
        }
        if !rows.providers.is_empty() {
            let applied = modelrow.apply(SYSTEM_TENANT, &rows).await;
            applied.map_err(|error| run_stop(&error))?;
        }
        modelrow.shutdown(Duration::ZERO).await;
        Ok(())
    }

    /// The runtime with its defaults for this house.
    pub(crate) fn options(&self, purpose: Purpose) -> Options {
        let mut options = Options::new(self.url.clone(), self.artifacts.clone());
        options.artifact_memory = self.artifact_memory;
        options.retention = self.retention;
        options.secret_keys = self.secret_keys.clone();
        options.work = if purpose == Purpose::Work {
            Work::Yes
        } else {
            Work::No
        };
        options
    }

    /// Starts the runtime.
    pub(crate) async fn start(&self, purpose: Purpose) -> Result<Modelrow, Stop> {
        self.start_with(self.options(purpose)).await
    }

    /// Starts the runtime with these options.
    pub(crate) async fn start_with(&self, options: Options) -> Result<Modelrow, Stop> {
        let started = Modelrow::start(options).await;
        started.map_err(|error| Stop::house(error.code(), chain(&error), error.help()))
    }

    /// Stops the private server. Everything that uses the house must have ended.
    pub(crate) async fn close(self) -> Result<(), Stop> {
        let Some(embedded) = self.embedded else {
            return Ok(());
        };
        blocking(move || embedded.stop(STOP_LIMIT))
            .await?
            .map_err(|error| embedded_stop(&error))
    }

    /// A private server that ends by itself ends the service with it.
    pub(crate) async fn server_ended(&self) -> Stop {
        let Some(embedded) = &self.embedded else {
            return std::future::pending().await;
        };
        let exited = embedded.exited();
        match blocking(move || exited.wait()).await {
            Ok(Some(error)) => embedded_stop(&error),
            Ok(None) => std::future::pending().await,
            Err(stop) => stop,
        }
    }
}

/// The provider of a bundle.
fn slug(bundle: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(bundle).ok()?;
    Some(value.pointer("/provider/slug")?.as_str()?.to_owned())
}

/// Brings a database to the schema of this build.
pub(crate) async fn migrate(args: &HouseArgs) -> Result<String, Stop> {
    let Some(url) = &args.database_url else {
        let places = places(args)?;
        let folder = places.data_dir.clone();
        House::private(args, places).await?.close().await?;
        return Ok(format!("the private database in `{}`", folder.display()));
    };
    Store::migrate(url)
        .await
        .map_err(|error| store_stop(&error))?;
    Ok("the database of `DATABASE_URL`".to_owned())
}

/// Adds the rows of a bundle, so that all are applied, and compiled, at once.
/// Of templates and schemas that several bundles carry one is enough.
fn add(all: &mut Rows, mut more: Rows) {
    more.prompt_templates.retain(|row| {
        let same = |have: &TemplateRow| have.name == row.name && have.version == row.version;
        !all.prompt_templates.iter().any(same)
    });
    more.response_schemas.retain(|row| {
        let same = |have: &SchemaRow| have.name == row.name && have.version == row.version;
        !all.response_schemas.iter().any(same)
    });
    all.providers.append(&mut more.providers);
    all.credentials.append(&mut more.credentials);
    all.auth_profiles.append(&mut more.auth_profiles);
    all.models.append(&mut more.models);
    all.prompt_templates.append(&mut more.prompt_templates);
    all.response_schemas.append(&mut more.response_schemas);
    all.profiles.append(&mut more.profiles);
    all.routing_rules.append(&mut more.routing_rules);
}

fn places(args: &HouseArgs) -> Result<embedded::Options, Stop> {
    let mut places = embedded::Options::default_for_user(|name| std::env::var_os(name))
        .map_err(|error| embedded_stop(&error))?;
    if let Some(data) = &args.data {
        places.data_dir = std::path::absolute(data).unwrap_or_else(|_| data.clone());
    }
    places.bin_dir = args.pg_bin.clone().or(places.bin_dir);
    places.allow_fetch &= !args.no_fetch;
    Ok(places)
}

/// Where artifacts are kept: the settings of a bucket are read from the environment here, and nowhere else.
fn artifacts(args: &HouseArgs, places: &embedded::Options) -> Artifacts {
    let Some(named) = &args.artifacts else {
        return Artifacts::Folder(places.data_dir.join("artifacts"));
    };
    let settings = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| Artifacts::takes_setting(name))
        .map(|(name, value)| (name, Secret::from(value)));
    Artifacts::named(named, settings.collect())
}

/// The setting that holds the keys themselves.
const KEYS: &str = "MODELROW_SECRET_KEY";
/// The setting that names a file of keys.
const KEY_FILE: &str = "MODELROW_SECRET_KEY_FILE";

/// The keys that seal secrets: none, where nothing is set.
fn secret_keys(args: &HouseArgs) -> Result<SecretKeys, Stop> {
    let own = std::env::var_os(KEYS).and_then(|text| text.into_string().ok());
    let own = own.filter(|text| !text.trim().is_empty()).map(Secret::from);
    let keys = match (own, &args.secret_key_file) {
        (None, None) => return Ok(SecretKeys::default()),
        (Some(_), Some(_)) => Err(BadKeys::twice(KEYS, KEY_FILE)),
        (Some(text), None) => SecretKeys::parse(&text, KEYS),
        (None, Some(file)) => {
            let from = file.display().to_string();
            let text = std::fs::read_to_string(file);
            text.map_err(|error| BadKeys::unreadable(&from, &error))
                .and_then(|text| SecretKeys::parse(&Secret::from(text), &from))
        }
    };
    keys.map_err(|bad| bad_keys(&bad))
}

fn retention(args: &HouseArgs) -> Retention {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    Retention {
        artifacts: args.keep_artifacts.map(days),
        inputs: days(args.keep_inputs),
        events: args.keep_events.map(days),
        ..Retention::default()
    }
}

fn artifact_memory(args: &HouseArgs) -> usize {
    usize::try_from(args.artifact_memory).unwrap_or(usize::MAX) * 1_000_000
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| {
        Stop::house(
            Code::X108,
            error.to_string(),
            "report it: a thread of the program ended early",
        )
    })
}

fn embedded_stop(error: &EmbeddedError) -> Stop {
    Stop::house(error.code(), chain(error), error.help())
}

fn store_stop(error: &store::StoreError) -> Stop {
    Stop::house(error.code(), chain(error), error.help())
}

/// A refused call, or a house that is not in order.
pub(crate) fn run_stop(error: &runtime::RunError) -> Stop {
    match error {
        runtime::RunError::Refused(found) => Stop::Refused(found.clone()),
        runtime::RunError::Store(_)
        | runtime::RunError::Objects(_)
        | runtime::RunError::Sealed(_) => match error.diagnostics().into_iter().next() {
            Some(first) => Stop::house(first.code, chain(error), first.help),
            None => Stop::house(Code::S120, chain(error), "start again"),
        },
        _ => Stop::Refused(error.diagnostics()),
    }
}
