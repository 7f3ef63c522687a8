//! One configuration: defaults, then a file, then the environment, then flags. A setting is an option of the program, of
//! `serve` or of `work` that has an environment variable; in the file it has the option's name.

use crate::args::{Cli, ConfigCommand};
use crate::exit::Stop;
use crate::ui;
use anstream::println;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use diag::Code;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A larger file is none of ours.
const FILE_BYTES: u64 = 1024 * 1024;
/// Commands whose own options are settings.
const SERVING: [&str; 2] = ["serve", "work"];
/// In place of a value that may hold a secret.
const MASKED: &str = "***";

/// The command line as it was given, on top of the file and the environment.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) cli: Cli,
    command: Command,
    file: File,
}

/// What the file says, by the names of options.
#[derive(Debug, Default)]
struct File {
    path: Option<PathBuf>,
    values: BTreeMap<String, String>,
}

/// Reads the file, the environment and the command line. Prints help and mistakes as clap does.
///
/// # Errors
///
/// X121: the file cannot be read, is no TOML, or says what no setting is.
pub(crate) fn load() -> Result<Loaded, Stop> {
    load_from(env::args_os().collect())
}

fn load_from(args: Vec<OsString>) -> Result<Loaded, Stop> {
    let plain = Cli::command();
    let file = match place(&plain, &args) {
        Some(path) => read(&plain, path)?,
        None => File::default(),
    };
    let command = over(plain, &file, true);
    let matches = command.clone().get_matches_from(args);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Ok(Loaded { cli, command, file })
}

/// `--config`, `MODELROW_CONFIG`, or the file that is there by itself.
fn place(command: &Command, args: &[OsString]) -> Option<PathBuf> {
    let named = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(args)
        .ok()
        .and_then(|matches| matches.get_one::<PathBuf>("config").cloned());
    named.or_else(|| usual(|name| env::var_os(name)).find(|path| path.is_file()))
}

/// The user's, by the XDG Base Directory Specification, then the machine's.
fn usual(lookup: impl Fn(&str) -> Option<OsString>) -> impl Iterator<Item = PathBuf> {
    let of = |name: &str| {
        lookup(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let own = of("XDG_CONFIG_HOME").or_else(|| of("HOME").map(|home| home.join(".config")));
    own.into_iter()
        .chain([PathBuf::from("/etc")])
        .map(|folder| folder.join("modelrow/config.toml"))
}

fn read(command: &Command, path: PathBuf) -> Result<File, Stop> {
    let text = match fs::metadata(&path) {
        Ok(facts) if facts.len() > FILE_BYTES => {
            Err(format!("it has more than {FILE_BYTES} bytes"))
        }
        Ok(_) => fs::read_to_string(&path).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let text =
        text.map_err(|why| bad(&path, &why, "name a file that can be read with `--config`"))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        bad(
            &path,
            error.to_string().trim(),
            "write TOML: `name = value`, texts in quotes",
        )
    })?;
    let settings = settings(command);
    let mut values = BTreeMap::new();
    for (name, value) in &table {
        let text = value_of((command, &settings), &path, name, value)?;
        values.extend(text.map(|text| (name.clone(), text)));
    }
    Ok(File {
        path: Some(path),
        values,
    })
}

/// The text of a value, as the option would have it. `None`: a switch that is off.
fn value_of(
    (command, settings): (&Command, &[(&str, Arg)]),
    path: &Path,
    name: &str,
    value: &toml::Value,
) -> Result<Option<String>, Stop> {
    let Some((within, arg)) = settings.iter().find(|(_, arg)| name_of(arg) == name) else {
        let known: Vec<String> = settings.iter().map(|(_, arg)| name_of(arg)).collect();
        let help = match diag::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`modelrow config default` prints every setting".to_owned(),
        };
        return Err(bad(path, &format!("there is no setting `{name}`"), &help));
    };
    let text = match value {
        toml::Value::Boolean(on) if is_switch(arg) => return Ok(on.then(|| "true".to_owned())),
        toml::Value::String(text) if !is_switch(arg) => text.clone(),
        toml::Value::Integer(number) if !is_switch(arg) => number.to_string(),
        toml::Value::Float(number) if !is_switch(arg) => number.to_string(),
        other => {
            let wanted = if is_switch(arg) {
                "true or false"
            } else {
                "a text or a number"
            };
            let message = format!(
                "`{name}` is a TOML {}, and must be {wanted}",
                other.type_str()
            );
            return Err(bad(path, &message, "see `modelrow config default`"));
        }
    };
    // As a flag it would be refused with this sentence.
    let line = [
        "modelrow".to_owned(),
        within.to_string(),
        format!("--{}={text}", long(arg)),
    ];
    match command.clone().try_get_matches_from(line) {
        Ok(_) => Ok(Some(text)),
        Err(error) => {
            let told = error.to_string();
            let first = told
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            Err(bad(path, first, "see `modelrow config default`"))
        }
    }
}

fn bad(path: &Path, why: &str, help: &str) -> Stop {
    Stop::house(Code::X121, format!("{}: {why}", path.display()), help)
}

/// Every setting with a command that takes it.
fn settings(command: &Command) -> Vec<(&str, Arg)> {
    let mut found: Vec<(&str, Arg)> = Vec::new();
    let general = command.get_arguments().map(|arg| ("migrate", arg));
    let own = SERVING
        .iter()
        .filter_map(|name| command.find_subcommand(name));
    let own = own.flat_map(|sub| sub.get_arguments().map(|arg| (sub.get_name(), arg)));
    for (within, arg) in general.chain(own) {
        let new = found
            .iter()
            .all(|(_, known)| known.get_id() != arg.get_id());
        if new && arg.get_env().is_some() && arg.get_id() != "config" {
            found.push((within, arg.clone()));
        }
    }
    found
}

fn long(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// As the file has it.
fn name_of(arg: &Arg) -> String {
    long(arg).replace('-', "_")
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// The command with what the file says in place of its defaults.
fn over(command: Command, file: &File, general: bool) -> Command {
    let with = |arg: Arg| match file.values.get(&name_of(&arg)) {
        Some(value) if arg.get_env().is_some() => arg.default_value(value.clone()),
        _ => arg,
    };
    let command = command.mut_args(with);
    match general {
        true => command.mut_subcommands(|sub| match SERVING.contains(&sub.get_name()) {
            true => over(sub, file, false),
            false => sub,
        }),
        false => command,
    }
}

/// One setting as it stands.
#[derive(Debug, serde::Serialize)]
struct Row {
    name: String,
    /// Absent: there is none, and none is needed.
    value: Option<String>,
    source: &'static str,
    env: String,
}

impl Loaded {
    /// `modelrow config …`.
    ///
    /// # Errors
    ///
    /// None of its own.
    pub(crate) fn tell(&self, command: &ConfigCommand) -> Result<(), Stop> {
        match command {
            ConfigCommand::Default => println!("{}", commented(&Cli::command()).trim_end()),
            ConfigCommand::Show(args) if args.json => {
                let rows = self.rows();
                println!(
                    "{}",
                    serde_json::json!({"file": self.file.path, "settings": rows})
                );
            }
            ConfigCommand::Show(_) => {
                let from = self
                    .file
                    .path
                    .as_ref()
                    .map(|path| path.display().to_string());
                ui::done(&format!(
                    "configuration file: {}",
                    from.as_deref().unwrap_or("none")
                ));
                for row in self.rows() {
                    let value = row.value.as_deref().unwrap_or("-");
                    println!("{:<24} {:<44} {}", row.name, value, row.source);
                }
            }
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let settings = settings(&self.command);
        let matches = SERVING.map(|name| {
            let matches = self
                .command
                .clone()
                .try_get_matches_from(["modelrow", name]);
            (name, matches.ok())
        });
        let row = |(within, arg): &(&str, Arg)| {
            let of = matches
                .iter()
                .find(|(name, _)| name == within)
                .or(matches.first());
            let of = of.and_then(|(name, matches)| matches.as_ref()?.subcommand_matches(name));
            self.row(arg, of)
        };
        settings.iter().map(row).collect()
    }

    fn row(&self, arg: &Arg, matches: Option<&ArgMatches>) -> Row {
        let id = arg.get_id().as_str();
        let raw = matches.and_then(|matches| matches.get_raw(id)?.next());
        let value = raw.map(|raw| match arg.is_hide_env_values_set() {
            true => MASKED.to_owned(),
            false => raw.to_string_lossy().into_owned(),
        });
        let source = match matches.and_then(|matches| matches.value_source(id)) {
            Some(ValueSource::EnvVariable) => "environment",
            Some(ValueSource::DefaultValue) if self.file.values.contains_key(&name_of(arg)) => {
                "file"
            }
            _ => "default",
        };
        let env = arg
            .get_env()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Row {
            name: name_of(arg),
            value,
            source,
            env,
        }
    }
}

/// A file with every setting, each commented out, with what it is for and its default.
fn commented(command: &Command) -> String {
    let mut out = String::from(
        "# Settings of modelrow. A flag goes before the environment, the environment before this file, this file before the\n\
         # defaults. `modelrow config show` tells what holds and where it comes from. Secrets of providers do not stand here.\n",
    );
    for (_, arg) in settings(command) {
        let help = arg
            .get_long_help()
            .or(arg.get_help())
            .map(ToString::to_string);
        let env = arg
            .get_env()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let default = arg
            .get_default_values()
            .first()
            .map(|value| value.to_string_lossy().into_owned());
        let value = match default {
            _ if is_switch(&arg) => "false".to_owned(),
            Some(text) if text.parse::<i64>().is_ok() => text,
            Some(text) => format!("{text:?}"),
            None => "\"\"".to_owned(),
        };
        let _ = writeln!(out);
        for line in help.unwrap_or_default().lines() {
            let _ = writeln!(out, "# {line}");
        }
        let kind = arg
            .get_value_names()
            .and_then(<[_]>::first)
            .filter(|_| !is_switch(&arg));
        let kind = kind.map_or_else(String::new, |kind| format!(" ({kind})"));
        let _ = writeln!(
            out,
            "# Environment: {env}{kind}\n# {} = {value}",
            name_of(&arg)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, args: &[&str]) -> Result<Loaded, Stop> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("modelrow.toml");
        fs::write(&path, text).unwrap();
        let config = format!("--config={}", path.display());
        let args = ["modelrow", &config]
            .into_iter()
            .chain(args.iter().copied());
        load_from(args.map(OsString::from).collect())
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let text = "artifact_memory = 512\nkeep_inputs = \"9\"\nlisten = \"127.0.0.1:9\"\nno_fetch = true\n";
        let cli = loaded(text, &["--keep-inputs=3", "serve"]).unwrap().cli;
        assert_eq!(
            (
                cli.house.artifact_memory,
                cli.house.keep_inputs,
                cli.house.no_fetch
            ),
            (512, 3, true)
        );
        let crate::args::Command::Serve(serve) = cli.command else {
            panic!("not serve");
        };
        assert_eq!(serve.listen.to_string(), "127.0.0.1:9");
    }

    #[test]
    fn what_shows_says_where_it_comes_from_and_masks_what_may_hold_a_secret() {
        let loaded = loaded(
            "database_url = \"postgres://a:pass@b/c\"\nkeep_events = 30\notlp_headers = \"api-key=sk-1\"\ntrace_ratio = 0.25\n",
            &["config", "show"],
        );
        let rows = loaded.unwrap().rows();
        let of = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!(
            (
                of("database_url").value.as_deref(),
                of("database_url").source
            ),
            (Some("***"), "file")
        );
        assert_eq!(
            (of("keep_events").value.as_deref(), of("keep_events").source),
            (Some("30"), "file")
        );
        assert_eq!(
            (
                of("artifact_memory").value.as_deref(),
                of("artifact_memory").source
            ),
            (Some("256"), "default")
        );
        assert_eq!(of("otlp_headers").value.as_deref(), Some("***"));
        assert_eq!(of("trace_ratio").value.as_deref(), Some("0.25"));
        assert_eq!(of("ops_listen").value, None);
    }

    #[test]
    fn a_file_that_cannot_be_used_says_what_to_change() {
        let cases = [
            ("listne = \"127.0.0.1:9\"", "did you mean `listen`"),
            ("artifact_memory = 3", "invalid value '3'"),
            ("no_fetch = \"yes\"", "must be true or false"),
            ("keep_inputs = [1]", "must be a text or a number"),
            ("keep_inputs 1", "TOML"),
            ("config = \"other\"", "there is no setting `config`"),
        ];
        for (text, want) in cases {
            let Err(Stop::House {
                code,
                message,
                help,
            }) = loaded(text, &["migrate"])
            else {
                panic!("{text} was taken");
            };
            assert_eq!(code, Code::X121);
            assert!(
                format!("{message} {help}").contains(want),
                "{text}: {message} ({help})"
            );
        }
    }

    /// What runs our image calls the program as it is, and sets what it has.
    #[test]
    fn the_compose_file_says_what_the_program_understands() {
        let text = include_str!("../../../deploy/compose.yaml");
        let file: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let services = file["services"].as_object().unwrap();
        let ours = services
            .iter()
            .filter(|(_, one)| one["image"] == "modelrow");
        let mut commands = 0;
        for (name, service) in ours {
            let command = service["command"].as_array().unwrap();
            let words = command.iter().map(|word| word.as_str().unwrap());
            let read =
                Cli::command().try_get_matches_from(std::iter::once("modelrow").chain(words));
            assert!(read.is_ok(), "{name}: {}", read.unwrap_err());
            commands += 1;
        }
        assert_eq!(commands, 3);
        let superuser = &services["postgres"]["environment"]["POSTGRES_USER"];
        assert_eq!(
            *superuser,
            serde_json::Value::Null,
            "row security holds for an ordinary role alone"
        );
        let settings = include_str!("../../../deploy/modelrow.toml");
        let names = file["x-modelrow"]["environment"]
            .as_object()
            .unwrap()
            .keys();
        for name in names.filter(|name| !name.starts_with("AWS_")) {
            assert!(
                settings.contains(&format!("Environment: {name} ")),
                "{name}"
            );
        }
    }

    #[test]
    fn the_commented_file_has_every_setting_and_says_nothing() {
        let text = commented(&Cli::command());
        assert_eq!(
            text,
            include_str!("../../../deploy/modelrow.toml"),
            "run `modelrow config default`"
        );
        let table: toml::Table = text.parse().unwrap();
        assert!(table.is_empty());
        let bare: String = text
            .lines()
            .filter(|line| line.contains(" = "))
            .map(|line| line.replacen("# ", "", 1) + "\n")
            .collect();
        let names: toml::Table = bare.parse().unwrap();
        assert!(
            names.len() > 12 && names.contains_key("listen"),
            "{names:?}"
        );
    }
}
