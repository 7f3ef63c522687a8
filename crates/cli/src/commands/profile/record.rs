//! `modelrow profile record`: a case file from a live run, without its secrets.

use crate::args::{HouseArgs, RecordArgs};
use crate::bundles::{self, Read};
use crate::commands::run::{GRACE, follow, request};
use crate::exit::{self, Stop};
use crate::house::{House, Purpose, run_stop};
use crate::progress::Deltas;
use crate::ui;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::Code;
use engine::http::{Heard, Tap};
use engine::recording::{Taken, Unrecordable, case};
use runtime::{InputMedium, Modelrow, RunError, RunRequest, Status};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use store::SYSTEM_TENANT;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Largest input that a case carries, in bytes.
const INPUT_MAX: usize = 1024 * 1024;

pub(crate) async fn record(house: &HouseArgs, args: &RecordArgs) -> Result<(), Stop> {
    let read = bundles::read(&args.bundle)?;
    if read.found().has_errors() {
        return Err(read.found().clone().into());
    }
    let file = file_of(&read, args)?;
    let request = asked(&read, args)?;
    let input = input(&request)?;
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    let at = now.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339);
    let heard = live(house, args, &read, request).await?;
    let taken = Taken {
        at: at.unwrap_or_default(),
        why: args.why.clone(),
        input,
        heard,
        endpoint: args.endpoint.clone(),
    };
    let case = case(&taken, &read.compiled).map_err(|error| unrecordable(&error))?;
    write(&file, &case)?;
    tell(&file, &case, args.json);
    Ok(())
}

fn file_of(read: &Read, args: &RecordArgs) -> Result<PathBuf, Stop> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if args.name.is_empty() || !args.name.chars().all(is_plain) {
        return Err(Stop::usage(
            Code::X118,
            "--name",
            format!("`{}` is no name for a case", args.name),
            "letters, digits, `-` and `_`; the file is `cases/<name>.json`",
        ));
    }
    let file = read.cases_folder().join(format!("{}.json", args.name));
    match file.exists() && !args.force {
        true => Err(Stop::usage(
            Code::X115,
            "--name",
            format!("`{}` is there already", file.display()),
            "choose another name, or say `--force` to record it again",
        )),
        false => Ok(file),
    }
}

/// The call, to the bundle's own provider.
fn asked(read: &Read, args: &RecordArgs) -> Result<RunRequest, Stop> {
    let mut request = request(&args.call)?;
    let own = read
        .bundle
        .rows
        .providers
        .first()
        .map(|row| row.slug.clone());
    request.provider = own;
    Ok(request)
}

/// The call as a case has it; the provider is the bundle's own.
fn input(request: &RunRequest) -> Result<Value, Stop> {
    let mut input = Map::new();
    input.insert("purpose".to_owned(), request.purpose.clone().into());
    for (name, value) in [
        ("model", &request.model),
        ("profile_key", &request.profile_key),
    ] {
        if let Some(value) = value {
            input.insert(name.to_owned(), value.clone().into());
        }
    }
    let call = serde_json::to_value(&request.call).unwrap_or_default();
    input.extend(call.as_object().cloned().unwrap_or_default());
    let mut media = Map::new();
    for (name, list) in &request.media {
        let list: Result<Vec<Value>, Stop> = list.iter().map(medium).collect();
        media.insert(name.clone(), list?.into());
    }
    if !media.is_empty() {
        input.insert("inputs".to_owned(), media.into());
    }
    Ok(Value::Object(input))
}

fn medium(medium: &InputMedium) -> Result<Value, Stop> {
    Ok(match medium {
        InputMedium::Bytes { bytes, .. } if bytes.len() > INPUT_MAX => {
            return Err(Stop::usage(
                Code::X118,
                "--input",
                format!(
                    "a case carries inputs of at most {INPUT_MAX} bytes; this one has {}",
                    bytes.len()
                ),
                "give a smaller file",
            ));
        }
        InputMedium::Bytes { bytes, filename } => {
            let mime = engine::download::sniff(bytes).unwrap_or("application/octet-stream");
            let data_url = format!("data:{mime};base64,{}", STANDARD.encode(bytes));
            match filename {
                Some(filename) => json!({ "data_url": data_url, "filename": filename }),
                None => json!({ "data_url": data_url }),
            }
        }
        InputMedium::DataUrl(text) => json!({ "data_url": text }),
        InputMedium::Url(url) => json!({ "url": url }),
        InputMedium::Handle(handle) => json!({ "handle": handle }),
        InputMedium::Upload(id) => json!({ "id": id }),
    })
}

/// One run in a house of its own, with the bundle's rows and no others.
async fn live(
    house: &HouseArgs,
    args: &RecordArgs,
    read: &Read,
    request: RunRequest,
) -> Result<Vec<Heard>, Stop> {
    let name = format!("record-{}", Uuid::now_v7().simple());
    let folder = House::folder(house, &name)?;
    let house = House::apart(house, &name).await?;
    let tap = Tap::default();
    let mut options = house.options(Purpose::Work);
    options.tap = Some(tap.clone());
    let modelrow = house.start_with(options).await?;
    let ended = one(&modelrow, args, read, request).await;
    modelrow.shutdown(GRACE).await;
    house.close().await?;
    // What is left behind is a folder of our own; the next one has another name.
    let _ = fs::remove_dir_all(folder);
    ended?;
    Ok(tap.heard())
}

async fn one(
    modelrow: &Modelrow,
    args: &RecordArgs,
    read: &Read,
    request: RunRequest,
) -> Result<(), Stop> {
    let mut rows = read.bundle.rows.clone();
    if let Some(endpoint) = &args.endpoint {
        bundles::point_to(&mut rows, endpoint, args.allow_private);
    }
    let applied = modelrow.apply(SYSTEM_TENANT, &rows).await;
    applied.map_err(|error| run_stop(&error))?;
    let handle = match modelrow.run_profile(request).await {
        // A refused call is a case too: nothing is sent for it.
        Err(RunError::Refused(found))
            if found.iter().all(|one| one.code.as_str().starts_with('C')) =>
        {
            return Ok(());
        }
        other => other.map_err(|error| run_stop(&error))?,
    };
    ui::note(&format!("run {}", handle.id()));
    let (view, _) = follow(&handle, Deltas::Leave).await?;
    match view.status {
        Status::Canceled => Err(Stop::Told(exit::INTERRUPTED)),
        _ => Ok(()),
    }
}

fn unrecordable(error: &Unrecordable) -> Stop {
    Stop::house(
        Code::X118,
        error.to_string(),
        "the run took a way that depends on time or on what is not in a case (an input given as an address, waits past a deadline): \
         call it in another way, or write the case by hand",
    )
}

fn write(file: &Path, case: &Value) -> Result<(), Stop> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let case = bundles::for_editors(case, folder, "case");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(file, format!("{case:#}\n")));
    written.map_err(|error| {
        Stop::house(
            Code::X103,
            format!("`{}` cannot be written: {error}", file.display()),
            "record into a bundle whose folder you may write to",
        )
    })
}

fn tell(file: &Path, case: &Value, json: bool) {
    let exchanges = case
        .pointer("/exchanges")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let ended = match case.pointer("/expect/output") {
        Some(_) => "output",
        None => "error",
    };
    if json {
        ui::print_json(&json!({ "case": file, "exchanges": exchanges, "expects": ended }));
        return;
    }
    ui::done(&format!(
        "{} ({exchanges} exchange(s), expects an {ended}); it holds",
        file.display()
    ));
    ui::note(
        "read it before it is shared: what the provider says of your account, it says in its own words",
    );
}
