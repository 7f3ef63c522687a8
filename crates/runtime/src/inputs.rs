//! Media of a call: read, recognised by their first bytes, stored, and read
//! again by whoever sends the run.

use crate::content_type;
use crate::core::Core;
use crate::error::RunError;
use crate::links::{self, InputLinked};
use crate::request::{InputMedium, RunRequest};
use bytes::Bytes;
use diag::{Code, Diagnostic, Diagnostics, Place};
use engine::egress::Policy;
use engine::http::Outcome;
use engine::media::{Media, Medium, read_data_url};
use engine::request::{Drawn, Proof, Request};
use profile::call::{Call, Input, MediaFacts};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::inputs::InputRow;
use uuid::Uuid;

/// The largest medium fetched from an address.
const FETCH_MAX_BYTES: u64 = 64 * 1024 * 1024;
const FETCH_TIMEOUT_MS: u64 = 60_000;

/// The media of one call, before anything of it is stored.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// What the call names, in place of what the caller gave.
    pub(crate) inputs: BTreeMap<String, Vec<Input>>,
    pub(crate) media: Media,
    /// Digest of each medium, for the call's identity.
    pub(crate) digests: Vec<String>,
    /// Addresses by upload, for profiles that hand them on.
    pub(crate) urls: BTreeMap<Uuid, String>,
    new: Vec<(InputRow, Bytes)>,
}

impl Given {
    /// What limits and rules ask; a provider's own reference has no facts.
    pub(crate) fn facts(&self) -> BTreeMap<String, Vec<MediaFacts>> {
        let fact = |medium: &Medium| {
            medium.bytes.as_ref().map(|bytes| MediaFacts {
                mime: medium.mime().to_owned(),
                bytes: bytes.len() as u64,
            })
        };
        self.media
            .0
            .iter()
            .map(|(name, list)| (name.clone(), list.iter().filter_map(fact).collect()))
            .collect()
    }

    /// Every upload that the call names.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.inputs
            .values()
            .flatten()
            .filter_map(|input| input.id)
            .collect()
    }
}

/// The call with every medium in its place, and none of them read.
pub(crate) fn named(request: &RunRequest) -> Call {
    let mut call = request.call.clone();
    for (name, list) in &request.media {
        let there = || Input {
            handle: Some(String::new()),
            ..Input::default()
        };
        let inputs = call.inputs.entry(name.clone()).or_default();
        inputs.extend(list.iter().map(|_| there()));
    }
    call
}

/// Reads all media of a request. Nothing is stored.
pub(crate) async fn read(core: &Core, request: &RunRequest) -> Result<Given, RunError> {
    let mut given = Given::default();
    let mut found = Diagnostics::new();
    let named = request
        .call
        .inputs
        .iter()
        .map(|(name, list)| (name, list.iter().map(of_call).collect::<Vec<_>>()));
    let direct = request
        .media
        .iter()
        .map(|(name, list)| (name, list.iter().cloned().map(Some).collect()));
    for (name, list) in named.chain(direct) {
        for medium in list {
            let index = given.inputs.get(name).map_or(0, Vec::len);
            let place = Place::pointer("/inputs").child(name).child(index);
            match medium {
                // Unclear ones are refused by the call's own check.
                None => given
                    .inputs
                    .entry(name.clone())
                    .or_default()
                    .push(Input::default()),
                Some(medium) => match one(core, request.tenant, medium).await? {
                    Ok(read) => read.fetched_before(request).put(name, &mut given),
                    Err(unread) => found.push(unread.at(place)),
                },
            }
        }
    }
    if found.has_errors() {
        Err(RunError::Refused(found))
    } else {
        Ok(given)
    }
}

fn of_call(input: &Input) -> Option<InputMedium> {
    match (&input.id, &input.url, &input.data_url, &input.handle) {
        (Some(id), None, None, None) => Some(InputMedium::Upload(*id)),
        (None, Some(url), None, None) => Some(InputMedium::Url(url.clone())),
        (None, None, Some(data), None) => Some(InputMedium::DataUrl(data.clone())),
        (None, None, None, Some(handle)) => Some(InputMedium::Handle(handle.clone())),
        _ => None,
    }
}

/// Why a medium cannot be read: the caller's mistake.
enum Unread {
    /// What was given does not give a file.
    Given(String),
    /// The upload is not, or no longer, there.
    Upload(String),
}

impl Unread {
    fn at(self, place: Place) -> Diagnostic {
        match self {
            Self::Given(why) => {
                let help = "give a file, a `data:` address with base64, or an address that answers with the file";
                Diagnostic::error(Code::R164, place, why, help)
            }
            Self::Upload(why) => {
                let help = "upload the file (`POST /v1/inputs`), and name the `id` of the answer before its `expires_at`";
                Diagnostic::error(Code::C212, place.child("id"), why, help)
            }
        }
    }
}

/// One medium that was read.
struct Read {
    medium: Medium,
    input: Input,
    digest: String,
    new: Option<(InputRow, Bytes)>,
}

impl Read {
    /// Of a retry: the address that an upload was fetched from by the run before.
    fn fetched_before(mut self, request: &RunRequest) -> Self {
        let urls = request.again.as_ref().map(|again| &again.urls);
        if let (Some(urls), Some(id)) = (urls, self.input.id) {
            self.medium.url = self.medium.url.or_else(|| urls.get(&id).cloned());
        }
        self
    }

    fn put(self, name: &str, given: &mut Given) {
        if let (Some(id), Some(url)) = (self.input.id, &self.medium.url) {
            given.urls.insert(id, url.clone());
        }
        given
            .inputs
            .entry(name.to_owned())
            .or_default()
            .push(self.input);
        given
            .media
            .0
            .entry(name.to_owned())
            .or_default()
            .push(self.medium);
        given.digests.push(format!("{name}:{}", self.digest));
        given.new.extend(self.new);
    }

    fn fresh(
        bytes: Bytes,
        declared: Option<String>,
        filename: Option<String>,
        url: Option<String>,
    ) -> Self {
        let content_type = content_type::of(&bytes, declared.as_deref());
        let id = Uuid::now_v7();
        let digest = Sha256::digest(&bytes);
        let row = InputRow {
            input_id: id,
            object_key: format!("inputs/{id}"),
            sha256: digest.to_vec(),
            bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            content_type: content_type.clone(),
            filename: filename.clone(),
        };
        Self {
            medium: Medium {
                bytes: Some(bytes.clone()),
                mime: Some(content_type),
                filename: filename.clone(),
                url,
                handle: None,
            },
            input: Input {
                id: Some(id),
                filename,
                ..Input::default()
            },
            digest: hex::encode(digest),
            new: Some((row, bytes)),
        }
    }
}

/// The inner error is the caller's.
async fn one(
    core: &Core,
    tenant: Uuid,
    medium: InputMedium,
) -> Result<Result<Read, Unread>, RunError> {
    Ok(match medium {
        InputMedium::Bytes { bytes, filename } => Ok(Read::fresh(bytes, None, filename, None)),
        InputMedium::DataUrl(text) => match read_data_url(&text) {
            Some((mime, bytes)) => Ok(Read::fresh(bytes, Some(mime), None, None)),
            None => Err(Unread::Given(
                "the `data:` address cannot be read".to_owned(),
            )),
        },
        InputMedium::Handle(handle) => Ok(Read {
            digest: handle.clone(),
            medium: Medium {
                handle: Some(handle.clone()),
                ..Medium::default()
            },
            input: Input {
                handle: Some(handle),
                ..Input::default()
            },
            new: None,
        }),
        InputMedium::Url(url) => fetched(core, &url).await.map_err(Unread::Given),
        InputMedium::Upload(id) => upload_named(core, tenant, id).await?,
    })
}

/// An upload that a new call names.
async fn upload_named(
    core: &Core,
    tenant: Uuid,
    id: Uuid,
) -> Result<Result<Read, Unread>, RunError> {
    Ok(match core.store.upload(tenant, id).await? {
        None => Err(Unread::Upload(format!("there is no upload `{id}`"))),
        Some(upload) if upload.expired => {
            Err(Unread::Upload(format!("the upload `{id}` has expired")))
        }
        Some(upload) => Ok(stored(core, upload.row).await?),
    })
}

async fn stored(core: &Core, row: InputRow) -> Result<Read, RunError> {
    let bytes = core.objects.read(&row.object_key).await?;
    Ok(Read {
        medium: Medium {
            bytes: Some(bytes),
            mime: Some(row.content_type),
            filename: row.filename.clone(),
            url: None,
            handle: None,
        },
        input: Input {
            id: Some(row.input_id),
            filename: row.filename,
            ..Input::default()
        },
        digest: hex::encode(&row.sha256),
        new: None,
    })
}

async fn fetched(core: &Core, address: &str) -> Result<Read, String> {
    let (url, policy) =
        Policy::given(address, core.options.allow).map_err(|fault| fault.message)?;
    let filename = url
        .path_segments()
        .and_then(|mut all| all.next_back())
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    let request = Request {
        step: "input".into(),
        method: "GET".into(),
        url,
        headers: Vec::new(),
        body: None,
        timeout_ms: FETCH_TIMEOUT_MS,
        max_bytes: FETCH_MAX_BYTES,
        submit: false,
        kept: false,
        trusted: false,
        proof: Proof::default(),
        policy: Arc::new(policy),
        drawn: Drawn {
            unix_ms: core.clock.now_ms(),
            seed: Uuid::nil(),
        },
    };
    match core.http.send(&request).await {
        Outcome::Answered(answer) if (200..300).contains(&answer.status) => {
            let mime = answer
                .header("content-type")
                .map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
            Ok(Read::fresh(
                answer.body,
                mime,
                filename,
                Some(address.to_owned()),
            ))
        }
        Outcome::Answered(answer) => Err(format!(
            "the address answered with HTTP status {}",
            answer.status
        )),
        Outcome::NotSent(fault) | Outcome::Broken(fault) => Err(fault.message),
    }
}

/// Stores what is new. Called once the call was found good.
pub(crate) async fn keep(core: &Core, tenant: Uuid, given: &mut Given) -> Result<(), RunError> {
    let new = std::mem::take(&mut given.new);
    if new.is_empty() {
        return Ok(());
    }
    for (row, bytes) in &new {
        core.objects.put(&row.object_key, bytes.clone()).await?;
    }
    let rows: Vec<InputRow> = new.into_iter().map(|(row, _)| row).collect();
    Ok(core
        .store
        .inputs_put(tenant, &rows, core.options.retention.inputs)
        .await?)
}

/// The media that the recorded call of a run names, for whoever sends it: with a link to our copy, where the caller gave no
/// address and providers can reach us.
pub(crate) async fn load(
    core: &Core,
    (tenant, run): (Uuid, Uuid),
    call: &Call,
    urls: &BTreeMap<Uuid, String>,
) -> Result<Media, RunError> {
    let mut media = Media::default();
    let unlinked = |input: &Input| input.id.is_some_and(|id| !urls.contains_key(&id));
    let signer = match call.inputs.values().flatten().any(unlinked) {
        true => links::for_providers(core).await?,
        false => None,
    };
    let link = |id: Uuid, medium: &Medium| {
        let linked = InputLinked {
            id,
            filename: medium.filename.clone(),
            content_type: medium.mime().to_owned(),
        };
        signer.as_ref().map(|signer| signer.of_input(run, &linked))
    };
    for (name, list) in &call.inputs {
        for input in list {
            let medium = match input.id {
                Some(id) => {
                    let rows = core.store.inputs(tenant, &[id]).await?;
                    let Some(row) = rows.into_iter().next() else {
                        let gone = Unread::Upload(format!("there is no upload `{id}`"));
                        let found = gone.at(Place::default());
                        return Err(RunError::Refused(Diagnostics(vec![found])));
                    };
                    let read = stored(core, row).await?;
                    Medium {
                        url: urls.get(&id).cloned().or_else(|| link(id, &read.medium)),
                        ..read.medium
                    }
                }
                None => Medium {
                    handle: input.handle.clone(),
                    ..Medium::default()
                },
            };
            media.0.entry(name.clone()).or_default().push(medium);
        }
    }
    Ok(media)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_that_is_given_with_a_call_is_what_its_first_bytes_say() {
        let renamed = Read::fresh(
            Bytes::from_static(b"\xff\xd8\xff\xe0"),
            Some("image/png".into()),
            Some("cat.png".into()),
            None,
        );
        assert_eq!(renamed.medium.mime(), "image/jpeg");
    }
}
