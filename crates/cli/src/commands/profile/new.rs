//! `modelrow profile new`: the beginning of a bundle, from questions or from an OpenAPI document.

use crate::args::NewArgs;
use crate::bundles;
use crate::exit::{self, Stop};
use crate::ui;
use anstream::println;
use diag::Code;
use dialoguer::{Input, Select};
use profile::draft::{Asked, Draft, DraftError, from_answers, from_openapi, slug_of};
use profile::revision::Purpose;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

/// Largest document that is read, in bytes.
const DOCUMENT_MAX: u64 = 32 * 1024 * 1024;

pub(crate) fn new(args: &NewArgs) -> Result<(), Stop> {
    let asked = asked(args)?;
    let draft = match &args.openapi {
        Some(file) => from_openapi(&document(file)?, &asked).map_err(|error| refused(&error))?,
        None => from_answers(&asked),
    };
    let slug = draft
        .bundle
        .pointer("/provider/slug")
        .and_then(Value::as_str);
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(slug.unwrap_or("provider")));
    let file = folder.join("bundle.json");
    let readme = folder.join("README.md");
    for there in [&file, &readme] {
        if there.exists() && !args.force {
            return Err(there_already(there));
        }
    }
    let bundle = bundles::for_editors(&draft.bundle, &folder, "bundle");
    if bundle.get("$schema").is_none() {
        ui::note(
            "`modelrow profile schemas` writes JSON Schemas here; a bundle that is begun then names its own, and an editor completes and checks it",
        );
    }
    let text = format!("{bundle:#}\n");
    write(&file, &text)?;
    write(&readme, &page(&draft, args))?;
    tell(&draft, &bundles::check(file, &text), args.json);
    Ok(())
}

fn there_already(file: &Path) -> Stop {
    Stop::usage(
        Code::X115,
        "--out",
        format!("`{}` is there already", file.display()),
        "name another folder, or say `--force` to write over it",
    )
}

fn write(file: &Path, text: &str) -> Result<(), Stop> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(file, text));
    written.map_err(|error| {
        Stop::house(
            Code::X103,
            format!("`{}` cannot be written: {error}", file.display()),
            "give `--out` a folder that you may write to",
        )
    })
}

/// What the options say; on a terminal the rest is asked.
fn asked(args: &NewArgs) -> Result<Asked, Stop> {
    let purpose = match &args.purpose {
        Some(word) => Some(Purpose::parse(word).ok_or_else(|| no_purpose(word))?),
        None => None,
    };
    let mut asked = Asked {
        slug: args.slug.clone(),
        base_url: args.base_url.clone(),
        purpose,
        model: args.model.clone(),
        operation: args.operation.clone(),
    };
    if args.openapi.is_some() {
        return Ok(asked);
    }
    let missing: Vec<&str> = [
        ("--base-url", asked.base_url.is_none()),
        ("--purpose", asked.purpose.is_none()),
    ]
    .into_iter()
    .filter_map(|(option, missing)| missing.then_some(option))
    .collect();
    if missing.is_empty() {
        return Ok(asked);
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Stop::usage(
            Code::X116,
            missing.first().copied().unwrap_or_default(),
            "there is no terminal to ask on",
            format!("give {}, or `--openapi FILE`", missing.join(" and ")),
        ));
    }
    ask(&mut asked).map_err(|_| Stop::Told(exit::INTERRUPTED))?;
    Ok(asked)
}

fn ask(asked: &mut Asked) -> Result<(), dialoguer::Error> {
    let text = |prompt: &str, start: Option<String>| {
        let input = Input::<String>::new().with_prompt(prompt).allow_empty(true);
        match start {
            Some(start) => input.default(start).interact_text(),
            None => input.interact_text(),
        }
    };
    if asked.base_url.is_none() {
        asked.base_url = Some(text(
            "Address of the API, as its documentation has it",
            Some("https://api.example.com/v1".to_owned()),
        )?);
    }
    if asked.slug.is_none() {
        let guess = asked.base_url.as_deref().and_then(slug_of);
        asked.slug =
            Some(text("Short name of the provider", guess)?).filter(|name| !name.is_empty());
    }
    if asked.purpose.is_none() {
        let words: Vec<&str> = Purpose::ALL.iter().map(|one| one.as_str()).collect();
        let chosen = Select::new()
            .with_prompt("What it makes")
            .items(&words)
            .default(0);
        let chosen = words.get(chosen.interact()?).copied();
        asked.purpose = chosen.and_then(Purpose::parse);
    }
    if asked.model.is_none() {
        let model = text("The model's id in the API (empty: later)", None)?;
        asked.model = Some(model).filter(|model| !model.is_empty());
    }
    Ok(())
}

fn no_purpose(word: &str) -> Stop {
    let known: Vec<&str> = Purpose::ALL.iter().map(|one| one.as_str()).collect();
    Stop::usage(
        Code::P108,
        "--purpose",
        format!("`{word}` is no purpose"),
        format!("purposes are: {}", known.join(", ")),
    )
}

/// The document, JSON or YAML.
fn document(file: &Path) -> Result<Value, Stop> {
    let unreadable = |why: String| {
        Stop::usage(
            Code::X117,
            "--openapi",
            format!("`{}` cannot be used: {why}", file.display()),
            "name an OpenAPI document of version 3.0 or 3.1, JSON or YAML",
        )
    };
    let size = fs::metadata(file)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > DOCUMENT_MAX {
        return Err(unreadable(format!(
            "it has {size} bytes; at most {DOCUMENT_MAX} are read"
        )));
    }
    let text = fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    match file.extension().is_some_and(|ending| ending == "json") {
        true => serde_json::from_str(&text).map_err(|error| unreadable(error.to_string())),
        false => serde_saphyr::from_str(&text).map_err(|error| unreadable(error.to_string())),
    }
}

fn refused(error: &DraftError) -> Stop {
    match error {
        DraftError::NotOpenApi(_) => Stop::usage(
            Code::X117,
            "--openapi",
            error.to_string(),
            "an older document is brought to version 3 by a converter of OpenAPI's own tools",
        ),
        DraftError::Operation { .. } => Stop::usage(
            Code::X117,
            "--operation",
            error.to_string(),
            "give `--operation` its operationId, its path, or `POST /path`",
        ),
    }
}

/// The page beside the bundle: what is left to do.
fn page(draft: &Draft, args: &NewArgs) -> String {
    let name = draft
        .bundle
        .pointer("/provider/name")
        .and_then(Value::as_str);
    let mut page = format!("# {} (draft)\n\n", name.unwrap_or("A provider"));
    let source = args.openapi.as_ref().map(|file| file.display().to_string());
    let _ = match source {
        Some(source) => writeln!(
            page,
            "Begun from `{source}`. What it does not say was guessed or left open.\n"
        ),
        None => writeln!(
            page,
            "Begun from answers. Paths and members are to be filled in.\n"
        ),
    };
    page.push_str("## Left to do\n\n");
    for todo in &draft.todo {
        let _ = writeln!(page, "- [ ] `{}`: {}", todo.at, todo.what);
    }
    page.push_str(
        "\n## Then\n\n1. `modelrow profile check` tells every mistake.\n2. Write cases from the documentation into `cases/`, or record them with \
         `modelrow profile record`; `modelrow profile test` replays them.\n3. Say here where the facts come from, and of which day they are.\n",
    );
    page
}

fn tell(draft: &Draft, read: &bundles::Read, json: bool) {
    if json {
        ui::print_json(&json!({
            "bundle": read.file, "todo": draft.todo, "diagnostics": read.found(),
        }));
        return;
    }
    read.found().iter().for_each(ui::print_diagnostic);
    ui::done(&format!("a draft: {}", read.file.display()));
    println!("left to do ({}):", draft.todo.len());
    for todo in &draft.todo {
        println!("  {}: {}", todo.at, todo.what);
    }
}
