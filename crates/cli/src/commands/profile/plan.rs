//! `modelrow profile plan`: every request of a call, secrets masked; nothing is sent.

use crate::args::{HouseArgs, PlanArgs, PlanFormat};
use crate::bundles;
use crate::commands::run::request;
use crate::exit::Stop;
use crate::house::{House, Purpose, run_stop};
use crate::{params, ui};
use anstream::println;
use engine::egress::Allow;
use engine::plan::{Planned, body_text, curl, plan as plan_run};
use engine::request::Drawn;
use engine::{RunIdentity, Setting};
use profile::call::{Input, MediaFacts};
use profile::catalogue::{Ask, Compiled, choose};
use runtime::InputMedium;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(crate) async fn plan(house: &HouseArgs, args: &PlanArgs) -> Result<(), Stop> {
    let planned = match &args.bundle {
        Some(file) => of_bundle(file, args)?,
        None => of_database(house, args).await?,
    };
    tell(&planned, args.format);
    Ok(())
}

async fn of_database(house: &HouseArgs, args: &PlanArgs) -> Result<Vec<Planned>, Stop> {
    let request = request(&args.call)?;
    let house = House::open(house).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    let planned = modelrow.plan(&request).await;
    let planned = planned
        .map(|plan| plan.steps)
        .map_err(|error| run_stop(&error));
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await?;
    planned
}

/// A plan with the rows of a file: no database, nothing is fetched.
fn of_bundle(file: &Path, args: &PlanArgs) -> Result<Vec<Planned>, Stop> {
    let read = bundles::read(file)?;
    if read.found().has_errors() {
        return Err(read.found().clone().into());
    }
    let setting = setting(&read.compiled, args)?;
    let now = time::OffsetDateTime::now_utc();
    let unix_ms = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    Ok(plan_run(
        setting,
        Drawn {
            unix_ms,
            seed: Uuid::now_v7(),
        },
    ))
}

fn setting(compiled: &Compiled, args: &PlanArgs) -> Result<Setting, Stop> {
    let call = params::call(&args.call)?;
    let ask = Ask {
        purpose: args.call.purpose.clone(),
        provider: args.call.provider.clone(),
        model: args.call.model.clone(),
        profile_key: args.call.profile.clone(),
        ..Ask::default()
    };
    let revision = choose(compiled, &ask)?.revision;
    let media = media(params::media(&args.call.inputs)?);
    let mut call = call;
    for (name, list) in &media.0 {
        call.inputs
            .insert(name.clone(), list.iter().map(named).collect());
    }
    let checked = revision.capabilities.check(&call, &here(&media))?;
    Ok(Setting {
        checked: Arc::new(checked),
        identity: RunIdentity {
            run_id: Uuid::nil(),
            token: Uuid::nil(),
            callback_url: None,
        },
        secrets: Arc::default(),
        media: Arc::new(media),
        endpoint: None,
        allow: Allow::default(),
        phase_ms: 0,
        revision,
    })
}

fn media(given: BTreeMap<String, Vec<InputMedium>>) -> engine::media::Media {
    let list = |media: Vec<InputMedium>| media.into_iter().map(medium).collect();
    engine::media::Media(
        given
            .into_iter()
            .map(|(name, media)| (name, list(media)))
            .collect(),
    )
}

/// What limits and rules ask of the media that are here; of others only the number is known.
fn here(media: &engine::media::Media) -> BTreeMap<String, Vec<MediaFacts>> {
    let whole = |name: &String| {
        media
            .0
            .get(name)
            .is_some_and(|list| list.iter().all(|one| one.bytes.is_some()))
    };
    let mut facts = media.facts();
    facts.retain(|name, _| whole(name));
    facts
}

/// A medium as the call names it: bytes stand for an upload of ours.
fn named(medium: &engine::media::Medium) -> Input {
    Input {
        id: medium.bytes.is_some().then(Uuid::nil),
        url: medium.url.clone(),
        handle: medium.handle.clone(),
        ..Input::default()
    }
}

/// What a plan can know of a medium without fetching it.
fn medium(given: InputMedium) -> engine::media::Medium {
    let mut medium = engine::media::Medium::default();
    match given {
        InputMedium::Bytes { bytes, filename } => {
            medium.mime = engine::download::sniff(&bytes).map(str::to_owned);
            medium.bytes = Some(bytes);
            medium.filename = filename;
        }
        InputMedium::DataUrl(text) => {
            if let Some((mime, bytes)) = engine::media::read_data_url(&text) {
                medium.mime = Some(mime);
                medium.bytes = Some(bytes);
            }
        }
        InputMedium::Url(url) => medium.url = Some(url),
        InputMedium::Handle(handle) => medium.handle = Some(handle),
        InputMedium::Upload(_) => {}
    }
    medium
}

fn tell(planned: &[Planned], format: PlanFormat) {
    match format {
        PlanFormat::Json => ui::print_json(
            &json!({ "steps": planned.iter().map(Planned::to_json).collect::<Vec<_>>() }),
        ),
        PlanFormat::Curl => planned
            .iter()
            .filter_map(|step| step.request.as_ref().ok())
            .for_each(|request| println!("{}\n", curl(request))),
        PlanFormat::Text => planned.iter().for_each(tell_step),
    }
}

fn tell_step(step: &Planned) {
    let note = step
        .note
        .as_deref()
        .map(|note| format!("  ({note})"))
        .unwrap_or_default();
    println!("# {}{note}", step.step);
    match &step.request {
        Err(fault) => println!("{}\n", fault.message),
        Ok(request) => {
            println!("{} {}", request.method, request.url);
            for (name, value) in &request.headers {
                println!("{name}: {value}");
            }
            if let Some(body) = &request.body {
                println!("\n{}", body_text(body));
            }
            println!("\n{}\n", curl(request));
        }
    }
}
