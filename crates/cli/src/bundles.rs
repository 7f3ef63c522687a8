//! Bundle files: the ones a person names, and the ones the program carries.

use crate::exit::Stop;
use diag::{Code, Diagnostics};
use profile::bundle::{self, Bundle};
use profile::catalogue::Compiled;
use profile::rows::{CredentialRow, Rows};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The bundles of `profiles/` as they were when the program was built.
pub(crate) const SHIPPED: &[&str] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// A bundle that was read and checked.
pub(crate) struct Read {
    pub(crate) file: PathBuf,
    pub(crate) bundle: Bundle,
    pub(crate) compiled: Compiled,
}

/// The document with `$schema` as its first member, by which an editor completes and checks it: the nearest folder `schemas`
/// at or above it, as `modelrow profile schemas` writes one. Without one it stays as it is.
pub(crate) fn for_editors(document: &Value, folder: &Path, schema: &str) -> Value {
    let mut document = document.clone();
    if let (Some(members), Some(reference)) = (document.as_object_mut(), reference(folder, schema))
    {
        members.shift_insert(0, "$schema".to_owned(), reference.into());
    }
    document
}

/// The way from a folder to a schema.
fn reference(folder: &Path, schema: &str) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let file = format!("schemas/{schema}.json");
    let mut above = folder.ancestors();
    let up = above.position(|above| above.join(&file).is_file())?;
    Some("../".repeat(up) + &file)
}

impl Read {
    /// Everything found in reading and checking, with line and column.
    pub(crate) fn found(&self) -> &Diagnostics {
        &self.bundle.diagnostics
    }
}

/// Reads and checks the bundle at `path`: a file, or a folder with a `bundle.json`.
pub(crate) fn read(path: &Path) -> Result<Read, Stop> {
    let file = if path.is_dir() {
        path.join("bundle.json")
    } else {
        path.to_owned()
    };
    let text = fs::read_to_string(&file).map_err(|error| {
        Stop::house(
            Code::X102,
            format!("`{}` cannot be read: {error}", file.display()),
            "name a bundle file, or a folder that holds a `bundle.json`",
        )
    })?;
    Ok(check(file, &text))
}

/// One file of the folder `cases` beside a bundle.
pub(crate) struct CaseFile {
    pub(crate) file: PathBuf,
    /// The file's name without its ending.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Read {
    /// The folder in which its recorded cases are.
    pub(crate) fn cases_folder(&self) -> PathBuf {
        self.file.parent().unwrap_or(Path::new(".")).join("cases")
    }

    /// The recorded cases beside the bundle, by name; none when there is no folder.
    pub(crate) fn cases(&self) -> Result<Vec<CaseFile>, Stop> {
        let folder = self.cases_folder();
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let read = || -> io::Result<Vec<CaseFile>> {
            let mut files = fs::read_dir(&folder)?
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()?;
            files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
            files.sort();
            files.into_iter().map(case_file).collect()
        };
        read().map_err(|error| {
            Stop::house(
                Code::X102,
                format!("`{}` cannot be read: {error}", folder.display()),
                "name a bundle whose folder `cases` you may read",
            )
        })
    }
}

fn case_file(file: PathBuf) -> io::Result<CaseFile> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Ok(CaseFile {
        name: name.into_owned(),
        text: fs::read_to_string(&file)?,
        file,
    })
}

/// Reads and checks several.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Vec<Read>, Stop> {
    paths.iter().map(|path| read(path)).collect()
}

/// Checks the text of a bundle.
pub(crate) fn check(file: PathBuf, text: &str) -> Read {
    let (bundle, compiled) = bundle::check(&file.display().to_string(), text);
    Read {
        file,
        bundle,
        compiled,
    }
}

/// Sends the requests of these credentials to another address.
pub(crate) fn redirect(credentials: &mut [CredentialRow], endpoint: &str) {
    for credential in credentials {
        credential.endpoint_url = Some(endpoint.to_owned());
    }
}

/// Another address that serves the same API, by the operator's word.
pub(crate) fn point_to(rows: &mut Rows, endpoint: &str, allow_private: bool) {
    redirect(&mut rows.credentials, endpoint);
    if allow_private {
        for provider in &mut rows.providers {
            let allowed = serde_json::json!({ "allow_http": true, "allow_private": true });
            profile::lang::merge(&mut provider.egress, &allowed);
        }
    }
}
