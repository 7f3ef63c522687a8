//! `modelrow credential …`: where the secrets of credentials are, and putting them there.

use super::runs::in_house;
use crate::args::{
    CredentialCommand, CredentialListArgs, HouseArgs, NewKeyArgs, RotateArgs, SetArgs, VerifyArgs,
    WhichArgs,
};
use crate::exit::{self, Stop};
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use diag::{Code, ExposeSecret as _, Secret};
use dialoguer::Password;
use runtime::{BadKeys, CredentialName, CredentialView, NewSecret, Rotated, SecretKeys, Verified};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _};
use store::SYSTEM_TENANT;

/// Bytes of standard input that are read: a secret is shorter.
const INPUT_MAX: u64 = 128 * 1024;

pub(crate) async fn credential(house: &HouseArgs, command: CredentialCommand) -> Result<(), Stop> {
    match command {
        CredentialCommand::Set(args) => set(house, &args).await,
        CredentialCommand::List(args) => list(house, &args).await,
        CredentialCommand::Rotate(args) => rotate(house, &args).await,
        CredentialCommand::Verify(args) => verify(house, &args).await,
        CredentialCommand::NewKey(args) => new_key(&args),
    }
}

fn name_of(which: &WhichArgs) -> CredentialName {
    CredentialName {
        tenant: which.tenant.unwrap_or(SYSTEM_TENANT),
        provider: which.provider.clone(),
        name: which.name.clone(),
    }
}

async fn set(house: &HouseArgs, args: &SetArgs) -> Result<(), Stop> {
    let secret = match &args.reference {
        Some(reference) => NewSecret::Reference(checked(reference)?),
        None => NewSecret::Sealed(secret()?),
    };
    let which = name_of(&args.which);
    let set = in_house(house, async |modelrow| {
        let set = modelrow.credential_set(&which, &secret, &args.by).await;
        set.map_err(|error| run_stop(&error))
    })
    .await?;
    if args.json {
        ui::print_json(&json!(set));
    }
    let how = match &secret {
        NewSecret::Sealed(_) => "holds the secret, sealed",
        NewSecret::Reference(_) => "refers to its secret",
    };
    let added = if set.added {
        "the new credential"
    } else {
        "the credential"
    };
    ui::done(&format!(
        "{added} `{}` of `{}` {how}",
        set.name, set.provider
    ));
    Ok(())
}

/// A reference leads to a secret and is none: what it says is repeated only when it is one.
fn checked(reference: &str) -> Result<String, Stop> {
    let name = reference.strip_prefix("env:");
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let is_file = reference
        .strip_prefix("file:")
        .is_some_and(|path| !path.is_empty());
    if name.is_some_and(is_name) || is_file {
        return Ok(reference.to_owned());
    }
    Err(Stop::usage(
        Code::P701,
        "--reference",
        "the text is not a reference to a secret",
        "write `env:NAME` or `file:/path`; leave it out to seal a secret from standard input",
    ))
}

/// From standard input; on a terminal it is asked for.
fn secret() -> Result<Secret, Stop> {
    let unread = |why: String| {
        Stop::usage(
            Code::X102,
            "standard input",
            why,
            "pipe the secret in: `modelrow credential set acme < key.txt`",
        )
    };
    if std::io::stdin().is_terminal() {
        let asked = Password::new()
            .with_prompt("Secret (a text, or a JSON object of its parts)")
            .interact();
        return asked
            .map(Secret::from)
            .map_err(|_| Stop::Told(exit::INTERRUPTED));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(INPUT_MAX).read_to_string(&mut text);
    read.map_err(|error| unread(format!("the secret cannot be read: {error}")))?;
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(Secret::from(text))
}

async fn list(house: &HouseArgs, args: &CredentialListArgs) -> Result<(), Stop> {
    let mut all = in_house(house, async |modelrow| Ok(modelrow.credentials())).await?;
    all.retain(|one| {
        args.provider
            .as_ref()
            .is_none_or(|slug| one.provider == *slug)
    });
    if args.json {
        ui::print_json(&json!({ "credentials": all }));
        return Ok(());
    }
    if all.is_empty() {
        ui::note("no credentials");
        return Ok(());
    }
    println!(
        "{:<20}  {:<24}  {:<40}  NOTES",
        "PROVIDER", "NAME", "SECRET"
    );
    for one in &all {
        println!(
            "{:<20}  {:<24}  {:<40}  {}",
            one.provider,
            one.name,
            place_of(one),
            notes(one)
        );
    }
    Ok(())
}

fn place_of(one: &CredentialView) -> String {
    match (&one.sealed_under, &one.reference) {
        (Some(key), _) => format!("sealed under `{key}`"),
        (None, Some(reference)) => reference.clone(),
        (None, None) => "none".to_owned(),
    }
}

fn notes(one: &CredentialView) -> String {
    let missing = match one.sealed_under {
        Some(_) => "key missing here",
        None => "not there",
    };
    let mut notes: Vec<String> = Vec::new();
    notes.extend(one.is_default.then(|| "default".to_owned()));
    notes.extend((!one.opens).then(|| missing.to_owned()));
    notes.extend((one.status != "active").then(|| one.status.clone()));
    notes.extend(one.tenant.map(|tenant| format!("tenant {tenant}")));
    notes.join(", ")
}

async fn rotate(house: &HouseArgs, args: &RotateArgs) -> Result<(), Stop> {
    let rotated = in_house(house, async |modelrow| {
        let rotated = modelrow.credentials_rotate().await;
        rotated.map_err(|error| run_stop(&error))
    })
    .await?;
    if args.json {
        ui::print_json(&json!(rotated));
    }
    tell(&rotated);
    match rotated.left.is_empty() {
        true => Ok(()),
        false => Err(Stop::Told(exit::FAILED)),
    }
}

fn tell(rotated: &Rotated) {
    for left in &rotated.left {
        let message = format!("`{}` of `{}`: {}", left.name, left.provider, left.why);
        ui::print_error(left.code.as_str(), &message, &left.help);
    }
    let Rotated {
        key,
        sealed,
        changed,
        ..
    } = rotated;
    ui::done(&format!("{sealed} secret(s) sealed anew under `{key}`"));
    if *changed > 0 {
        ui::note(&format!("{changed} were changed meanwhile: rotate again"));
    }
}

async fn verify(house: &HouseArgs, args: &VerifyArgs) -> Result<(), Stop> {
    let which = name_of(&args.which);
    let verified = in_house(house, async |modelrow| {
        let verified = modelrow.credential_verify(&which).await;
        verified.map_err(|error| run_stop(&error))
    })
    .await?;
    if args.json {
        ui::print_json(&json!(verified));
    }
    let Verified {
        provider,
        name,
        by,
        failure,
    } = &verified;
    let Some(failure) = failure else {
        ui::done(&format!(
            "the credential `{name}` of `{provider}` is good: {by}"
        ));
        return Ok(());
    };
    let text = |member: &str| {
        failure
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let words = match text("provider_message") {
        "" => String::new(),
        words => format!(" (`{words}`)"),
    };
    let message = format!(
        "the credential `{name}` of `{provider}`: {}{words}",
        text("message")
    );
    ui::print_error(text("diagnostic"), &message, text("help"));
    Err(Stop::Told(exit::FAILED))
}

fn new_key(args: &NewKeyArgs) -> Result<(), Stop> {
    let key = SecretKeys::generate(args.id.as_deref()).map_err(|bad| bad_keys(&bad))?;
    println!("{}", key.expose_secret());
    ui::note(
        "keep it where the database's backups are not: who has both has the secrets, and without it they are lost",
    );
    Ok(())
}

/// A setting that gives no keys.
pub(crate) fn bad_keys(bad: &BadKeys) -> Stop {
    Stop::house(bad.code(), bad.to_string(), bad.help())
}
