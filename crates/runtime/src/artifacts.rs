//! Where artifacts are kept: a folder, or a bucket named by a URL.

use crate::objects::{Bucket, Objects};
use diag::{Code, ExposeSecret as _, Secret};
use object_store::ObjectStoreScheme;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// Answers are bounded by silence, not by a time for the whole: a caller may read slowly.
const TIMES: [(&str, &str); 2] = [("timeout", "24h"), ("read_timeout", "60s")];

/// Where artifacts are kept.
#[derive(Debug, Clone)]
pub enum Artifacts {
    /// A folder, made when it is missing. All processes must see the same.
    Folder(PathBuf),
    /// A bucket.
    Bucket {
        /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
        url: String,
        /// Settings by the names of the environment (`AWS_REGION`, `AWS_ENDPOINT_URL`, `GOOGLE_SERVICE_ACCOUNT`,
        /// `AZURE_STORAGE_ACCOUNT_NAME`, …), in any case; what the library does not know is passed over.
        settings: Vec<(String, Secret)>,
    },
}

/// Why artifacts cannot be kept there.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactsError {
    /// The folder cannot be made or used.
    #[error("the folder of the artifacts `{}` cannot be used", .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        why: std::io::Error,
    },
    /// Not an address of a bucket.
    #[error("`{url}` is no address of an artifact store")]
    Address {
        /// As given.
        url: String,
    },
    /// The settings of the bucket cannot be used.
    #[error("the artifact store `{url}` cannot be used")]
    Bucket {
        /// As given.
        url: String,
        /// Why.
        #[source]
        why: object_store::Error,
    },
}

impl Artifacts {
    /// A text with a scheme (`s3://…`) names a bucket, any other a folder.
    ///
    /// `settings` are those of the environment; a folder needs none.
    #[must_use]
    pub fn named(text: &str, settings: Vec<(String, Secret)>) -> Self {
        match text.split_once("://") {
            Some(("file", path)) => Self::Folder(path.into()),
            Some(_) => Self::Bucket {
                url: text.to_owned(),
                settings,
            },
            None => Self::Folder(text.into()),
        }
    }

    /// Whether an environment variable may be a setting of a bucket.
    #[must_use]
    pub fn takes_setting(name: &str) -> bool {
        let starts = ["AWS_", "AZURE_", "GOOGLE_", "SERVICE_ACCOUNT"];
        starts.iter().any(|start| name.starts_with(start))
    }

    /// Opens it; a bucket is not asked anything yet. At most `memory` bytes of parts are held at a time.
    pub(crate) fn open(&self, memory: usize) -> Result<Objects, ArtifactsError> {
        match self {
            Self::Folder(folder) => {
                Objects::folder(folder, memory).map_err(|why| ArtifactsError::Folder {
                    folder: folder.clone(),
                    why,
                })
            }
            Self::Bucket { url, settings } => bucket(url, settings, memory),
        }
    }
}

impl<T: AsRef<Path>> From<T> for Artifacts {
    /// As [`Artifacts::named`], without settings.
    fn from(place: T) -> Self {
        match place.as_ref().to_str() {
            Some(text) => Self::named(text, Vec::new()),
            None => Self::Folder(place.as_ref().to_owned()),
        }
    }
}

impl ArtifactsError {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Folder { .. } => Code::S140,
            Self::Address { .. } => Code::S155,
            Self::Bucket { .. } => Code::S157,
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "make the folder writable for this program, or name another",
            Self::Address { .. } => {
                "name a folder, or a bucket as `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`"
            }
            Self::Bucket { .. } => {
                "set what the store needs in the environment: `AWS_…`, `GOOGLE_…` or `AZURE_…`"
            }
        }
    }
}

/// The builder of one service with what is known of it.
macro_rules! built {
    ($builder:ty, $url:expr, $settings:expr) => {{
        let mut builder = <$builder>::new().with_url($url.as_str());
        for (name, value) in TIMES {
            if let Ok(key) = name.parse() {
                builder = builder.with_config(key, value);
            }
        }
        for (name, value) in $settings {
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value.expose_secret());
            }
        }
        builder
            .build()
            .map(|built| Arc::new(built) as Arc<dyn Bucket>)
    }};
}

fn bucket(
    text: &str,
    settings: &[(String, Secret)],
    memory: usize,
) -> Result<Objects, ArtifactsError> {
    let no_address = || ArtifactsError::Address {
        url: text.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| no_address())?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| no_address())?;
    let built = match scheme {
        ObjectStoreScheme::AmazonS3 => built!(AmazonS3Builder, url, settings),
        ObjectStoreScheme::GoogleCloudStorage => built!(GoogleCloudStorageBuilder, url, settings),
        ObjectStoreScheme::MicrosoftAzure => built!(MicrosoftAzureBuilder, url, settings),
        _ => return Err(no_address()),
    };
    let built = built.map_err(|why| ArtifactsError::Bucket {
        url: text.to_owned(),
        why,
    })?;
    let prefix = Key::parse(prefix).map_err(|_| no_address())?;
    Ok(Objects::bucket(built, prefix, memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_place_is_a_folder_or_a_bucket_or_is_refused_with_its_code() {
        let cases = [
            ("artifacts",                     None),
            ("s3://films/below",              None),
            ("gs://films",                    Some(Code::S157)),
            ("az://films",                    Some(Code::S157)),
            ("ftp://films",                   Some(Code::S155)),
            ("s3://",                         Some(Code::S155)),
            ("https://files.example/films",   Some(Code::S155)),
        ];
        let _ = engine::http::Http::new().unwrap();
        let here = tempfile::tempdir().unwrap();
        let broken = vec![("GOOGLE_SERVICE_ACCOUNT".to_owned(), Secret::from("/no/such/file".to_owned()))];
        for (text, want) in cases {
            let place = match Artifacts::named(text, broken.clone()) {
                Artifacts::Folder(folder) => Artifacts::Folder(here.path().join(folder)),
                bucket => bucket,
            };
            let found = place.open(1 << 24).err().map(|error| error.code());
            assert_eq!(found, want, "{text}");
        }
    }
}
