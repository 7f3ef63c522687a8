//! Signed links: one file, without an API key, for a while.
//!
//! A link says what it leads to, until when, and which key signed it; HMAC-SHA-256 (RFC 2104) over all three makes it good. To
//! a file of a run it is given by whoever may read the file, for an hour at most. To an input it is made for the provider that
//! is to read it, as `inputs.<name>.url`, and is good until the run has ended: the same run has the same link each time.

use crate::core::Core;
use crate::error::RunError;
use crate::library::{Modelrow, Stored};
use crate::read;
use crate::view::ArtifactView;
use diag::mask;
use engine::media::Media;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use store::inputs::InputRow;
use store::links::LinkKey;
use store::{Scope, StoreError};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The longest life of a link to a file of a run.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// Characters of an input's name in its link.
const NAME_MAX: usize = 100;

/// A link that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Where the file is served, to whoever has this address. Without a public URL in the configuration it begins with `/`.
    pub url: String,
    /// Until then; its file may be gone before, with its run.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// What a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTo {
    /// A file of a run.
    Artifact {
        /// The run.
        run: Uuid,
        /// Name in the output.
        name: String,
        /// Number under that name.
        idx: i32,
    },
    /// An input, for as long as a run goes on that names it.
    Input {
        /// The run.
        run: Uuid,
        /// The input.
        input: Uuid,
        /// A name for the file.
        filename: String,
    },
}

/// A link as somebody shows it.
#[derive(Debug, Clone)]
pub struct ShownLink {
    /// What it says it leads to.
    pub to: LinkTo,
    /// Unix seconds; absent: as long as the run goes on.
    pub expires: Option<i64>,
    /// The number of the key.
    pub key: i32,
    /// In hexadecimal.
    pub signature: String,
}

/// Why a link leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum LinkRefused {
    /// It is not one of ours as it was made, or its key was taken away.
    #[error("the link is not as it was made, or its key is not in use any more")]
    NotGood,
    /// Its time is over.
    #[error("the link has expired")]
    Expired,
    /// The file is past its retention, or was deleted.
    #[error("the file that the link leads to is gone")]
    Gone,
    /// The file could not be asked about.
    #[error("the database did not do its part")]
    Store(#[from] StoreError),
}

impl LinkTo {
    /// Below the public URL.
    fn path(&self) -> String {
        match self {
            Self::Artifact { run, name, idx } => format!("/files/artifacts/{run}/{name}/{idx}"),
            Self::Input {
                run,
                input,
                filename,
            } => format!("/files/inputs/{run}/{input}/{filename}"),
        }
    }

    /// What is signed. JSON, so that no two links have one text.
    fn signed(&self, expires: Option<i64>) -> String {
        match self {
            Self::Artifact { run, name, idx } => json!(["artifact", run, name, idx, expires]),
            Self::Input {
                run,
                input,
                filename,
            } => json!(["input", run, input, filename, expires]),
        }
        .to_string()
    }
}

/// Signs links.
pub(crate) struct Signer {
    base: String,
    id: i32,
    key: hmac::Key,
}

impl Signer {
    fn new(base: &str, key: &LinkKey) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            id: key.id,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key.key),
        }
    }

    async fn now(core: &Core) -> Result<Self, StoreError> {
        let key = core.store.link_key_now().await?;
        let key = key.ok_or_else(|| StoreError::NoSuchRow {
            table: "link_keys",
            key: "any".to_owned(),
        })?;
        Ok(Self::new(core.public_base(), &key))
    }

    fn url(&self, to: &LinkTo, expires: Option<i64>) -> String {
        let signature = hmac::sign(&self.key, to.signed(expires).as_bytes());
        let end = expires.map_or_else(String::new, |at| format!("expires={at}&"));
        let (base, path, id) = (&self.base, to.path(), self.id);
        format!(
            "{base}{path}?{end}key={id}&signature={}",
            hex::encode(signature)
        )
    }

    /// To an input of a run.
    pub(crate) fn of_input(&self, run: Uuid, input: &InputLinked) -> String {
        let to = LinkTo::Input {
            run,
            input: input.id,
            filename: filename(input.filename.as_deref(), &input.content_type),
        };
        self.url(&to, None)
    }
}

/// What a link says of an input.
#[derive(Debug, Clone)]
pub(crate) struct InputLinked {
    pub(crate) id: Uuid,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: String,
}

/// Who signs the links of a run's inputs; `None`: providers cannot reach us.
pub(crate) async fn for_providers(core: &Core) -> Result<Option<Signer>, StoreError> {
    match core.options.public_url {
        Some(_) => Signer::now(core).await.map(Some),
        None => Ok(None),
    }
}

/// The media of a call that is not made yet, with what stands for their links: no run, no link.
pub(crate) fn masked(core: &Core, mut media: Media) -> Media {
    if core.options.public_url.is_none() {
        return media;
    }
    let link = format!("{}/files/inputs/{}", core.public_base(), mask());
    let unlinked =
        |medium: &&mut engine::media::Medium| medium.url.is_none() && medium.bytes.is_some();
    for medium in media.0.values_mut().flatten().filter(unlinked) {
        medium.url = Some(link.clone());
    }
    media
}

/// A plain name with an ending: some providers look at it before they look at the type.
fn filename(given: Option<&str>, content_type: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let ending = |c: &char| c.is_ascii_alphanumeric();
    let given = given.unwrap_or_default().chars();
    let given: String = given.map(|c| if plain(c) { c } else { '_' }).collect();
    let cut = given.len().saturating_sub(NAME_MAX);
    let given = given.get(cut..).unwrap_or_default().trim_start_matches('.');
    if given.contains('.') {
        return given.to_owned();
    }
    let subtype = content_type.split(['/', ';']).nth(1).unwrap_or("bin");
    let subtype: String = subtype.chars().filter(ending).collect();
    let stem = if given.is_empty() { "input" } else { given };
    format!("{stem}.{subtype}")
}

impl Modelrow {
    /// A link to a stored file of a run, good for `within`, an hour at most, and no longer than the file is kept. `None`: the
    /// file is not there (yet), or past its retention.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn link(
        &self,
        scope: impl Into<Scope>,
        (run, name, idx): (Uuid, &str, i32),
        within: Duration,
    ) -> Result<Option<Link>, RunError> {
        let Some(stored) = self.stored(scope, run, name, idx).await? else {
            return Ok(None);
        };
        let until = self.now() + within.min(LONGEST);
        let until = stored.view.expires_at.map_or(until, |end| end.min(until));
        let expires = until.unix_timestamp();
        let to = LinkTo::Artifact {
            run,
            name: name.to_owned(),
            idx,
        };
        let url = Signer::now(self.core()).await?.url(&to, Some(expires));
        let expires_at = OffsetDateTime::from_unix_timestamp(expires).unwrap_or(until);
        Ok(Some(Link { url, expires_at }))
    }

    /// The file that a link leads to. The signature is asked first, and takes as long whatever is wrong with it.
    ///
    /// # Errors
    ///
    /// [`LinkRefused`].
    pub async fn linked(&self, shown: &ShownLink) -> Result<Stored, LinkRefused> {
        let core = self.core();
        let key = core.store.link_key(shown.key).await?;
        let key = key.ok_or(LinkRefused::NotGood)?;
        let signature = hex::decode(&shown.signature).map_err(|_| LinkRefused::NotGood)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key.key);
        hmac::verify(&key, shown.to.signed(shown.expires).as_bytes(), &signature)
            .map_err(|_| LinkRefused::NotGood)?;
        let found = match &shown.to {
            // Whoever made the link was allowed to read this one file; the link names no other.
            LinkTo::Artifact { run, name, idx } => {
                let row = core
                    .store
                    .artifact(Scope::Operator, *run, name, *idx)
                    .await?;
                row.map(|row| {
                    let view = read::artifact_of(core, *run, &row);
                    Stored::new(view, row.object_key)
                })
            }
            LinkTo::Input {
                run,
                input,
                filename,
            } => {
                let row = core.store.input_of_live_run(*run, *input).await?;
                row.map(|row| of_input(row, filename))
            }
        };
        let found = found.ok_or(LinkRefused::Gone)?;
        let now = self.now().unix_timestamp();
        match shown.expires.is_some_and(|end| end <= now) {
            true => Err(LinkRefused::Expired),
            false => Ok(found),
        }
    }
}

fn of_input(row: InputRow, filename: &str) -> Stored {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    let view = ArtifactView {
        name: stem.to_owned(),
        idx: 0,
        url: format!("input {}", row.input_id),
        content_type: row.content_type,
        bytes: u64::try_from(row.bytes).unwrap_or(0),
        sha256: hex::encode(&row.sha256),
        expires_at: None,
    };
    Stored::new(view, row.object_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn an_inputs_link_ends_in_a_plain_name_with_an_ending() {
        let cases = [
            (Some("cat.png"),            "image/png",                "cat.png"),
            (Some("my cat (1).jpeg"),    "image/jpeg",               "my_cat__1_.jpeg"),
            (Some("../../etc/passwd"),   "text/plain",               "_.._etc_passwd"),
            (Some("..."),                "image/webp",               "input.webp"),
            (Some("cat"),                "image/png; charset=x",     "cat.png"),
            (None,                       "video/mp4",                "input.mp4"),
            (None,                       "model/gltf-binary",        "input.gltfbinary"),
            (None,                       "nonsense",                 "input.bin"),
        ];
        for (given, content_type, want) in cases {
            assert_eq!(filename(given, content_type), want, "{given:?}");
        }
    }

    #[test]
    fn no_two_links_have_one_signature() {
        let run = Uuid::from_u128(1);
        let key = LinkKey {
            id: 1,
            key: vec![7; 32],
        };
        let signer = Signer::new("https://h.example/", &key);
        let file = |name: &str, idx, end| {
            let to = LinkTo::Artifact {
                run,
                name: name.into(),
                idx,
            };
            signer.url(&to, Some(end))
        };
        let one = file("video", 0, 100);
        assert!(
            one.starts_with("https://h.example/files/artifacts/"),
            "{one}"
        );
        let of = |url: &str| url.rsplit_once("signature=").map(|(_, end)| end.to_owned());
        let others = [
            file("video", 1, 100),
            file("video", 0, 101),
            file("video\",0", 0, 100),
            signer.url(
                &LinkTo::Artifact {
                    run,
                    name: "video".into(),
                    idx: 0,
                },
                None,
            ),
            signer.url(
                &LinkTo::Input {
                    run,
                    input: run,
                    filename: "video".into(),
                },
                Some(100),
            ),
            Signer::new(
                "https://h.example",
                &LinkKey {
                    id: 1,
                    key: vec![8; 32],
                },
            )
            .url(
                &LinkTo::Artifact {
                    run,
                    name: "video".into(),
                    idx: 0,
                },
                Some(100),
            ),
        ];
        for other in others {
            assert_ne!(of(&other), of(&one), "{other}");
        }
        assert_eq!(file("video", 0, 100), one, "the same each time");
    }
}
