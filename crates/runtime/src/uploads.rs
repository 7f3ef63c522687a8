//! Uploads: media that callers store before the run that names them.
//!
//! A file goes to the artifact store as it comes, and its row follows. Whoever stops in the middle leaves nothing: what was
//! written is thrown away by a task of the library, for the caller may be gone.

use crate::content_type::{self, TypeRefused};
use crate::core::Core;
use crate::error::RunError;
use crate::library::Modelrow;
use crate::objects::{ObjectsError, Upload};
use crate::tasks::Until;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use store::inputs::InputRow;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use utoipa::ToSchema;
use uuid::Uuid;

/// Characters of a file's name that are kept.
const NAME_MAX: usize = 255;

/// What is to be stored.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Whose it is.
    pub tenant: Uuid,
    /// Its media type, as its sender says.
    pub declared: Option<String>,
    /// A name for the file.
    pub filename: Option<String>,
    /// Its largest length.
    pub max_bytes: u64,
}

/// A file that calls may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadView {
    /// For `inputs.<name>.id` of a call.
    pub id: Uuid,
    /// Of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// Length.
    pub bytes: u64,
    /// As declared and checked.
    pub content_type: String,
    /// A name for the file.
    pub filename: Option<String>,
    /// Calls may name it until then; runs that do keep it until they have ended.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Why a file was not stored. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum UploadRefused {
    /// It is longer than it may be.
    #[error("the file has more than {max_bytes} bytes")]
    TooLarge {
        /// What it may have.
        max_bytes: u64,
    },
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is not what it is said to be.
    #[error(transparent)]
    Type(#[from] TypeRefused),
    /// We could not do our part.
    #[error("the file could not be stored")]
    Failed(#[from] RunError),
}

/// A file that is coming. Dropped before [`Receiving::finish`], nothing of it stays.
pub struct Receiving {
    core: Arc<Core>,
    new: NewUpload,
    id: Uuid,
    /// Taken at the end.
    upload: Option<Upload>,
    head: Vec<u8>,
    /// Known once enough has come.
    content_type: Option<String>,
    hash: Sha256,
    bytes: u64,
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiving")
            .field("id", &self.id)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            let tasks = &self.core.tasks;
            tasks.spawn("upload", Until::Death, upload.discard());
        }
    }
}

impl Modelrow {
    /// Begins to store a file.
    #[must_use]
    pub fn receive(&self, new: NewUpload) -> Receiving {
        let id = Uuid::now_v7();
        let core = self.shared_core();
        let upload = core.objects.upload(key_of(id));
        Receiving {
            core,
            new,
            id,
            upload: Some(upload),
            head: Vec::new(),
            content_type: None,
            hash: Sha256::new(),
            bytes: 0,
        }
    }
}

fn key_of(id: Uuid) -> String {
    format!("inputs/{id}")
}

impl Receiving {
    /// Takes the next piece; waits while the artifact store is slower than the sender.
    ///
    /// # Errors
    ///
    /// [`UploadRefused`], as soon as it is known: drop it then.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), UploadRefused> {
        self.bytes += chunk.len() as u64;
        let max_bytes = self.new.max_bytes;
        if self.bytes > max_bytes {
            return Err(UploadRefused::TooLarge { max_bytes });
        }
        if self.content_type.is_none() {
            let missing = content_type::HEAD.saturating_sub(self.head.len());
            self.head.extend(chunk.iter().take(missing));
            if self.head.len() >= content_type::HEAD {
                self.know_type()?;
            }
        }
        self.hash.update(&chunk);
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let written = upload.append(chunk).await;
        written.map_err(|error| RunError::from(not_written(self.id, error)).into())
    }

    fn know_type(&mut self) -> Result<(), TypeRefused> {
        let declared = self.new.declared.as_deref();
        self.content_type = Some(content_type::checked(&self.head, declared)?);
        Ok(())
    }

    /// The file has come whole: it may be named when this answers.
    ///
    /// Cancel safety: dropped, it is stored all the same, or not at all.
    ///
    /// # Errors
    ///
    /// [`UploadRefused`].
    pub async fn finish(mut self) -> Result<UploadView, UploadRefused> {
        if self.bytes == 0 {
            return Err(UploadRefused::Empty);
        }
        if self.content_type.is_none() {
            self.know_type()?;
        }
        let core = Arc::clone(&self.core);
        let (told, answer) = oneshot::channel();
        core.tasks.spawn("upload", Until::Death, async move {
            // Who asked may be gone.
            let _ = told.send(self.store().await);
        });
        let stopped = |_| {
            let error = std::io::Error::other("the process stops");
            RunError::from(not_written(Uuid::nil(), error))
        };
        answer.await.map_err(stopped)?
    }

    async fn store(mut self) -> Result<UploadView, UploadRefused> {
        if let Some(upload) = self.upload.take() {
            upload.finish().await.map_err(RunError::from)?;
        }
        let row = InputRow {
            input_id: self.id,
            object_key: key_of(self.id),
            sha256: std::mem::take(&mut self.hash).finalize().to_vec(),
            bytes: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            content_type: self.content_type.take().unwrap_or_default(),
            filename: self.new.filename.take().and_then(|name| plain(&name)),
        };
        // An object without a row is found by the sweep: a commit whose answer was lost may stand.
        let core = &self.core;
        let keep = core.options.retention.inputs;
        let put = core.store.upload_put(self.new.tenant, &row, keep).await;
        let expires_at = put.map_err(RunError::from)?;
        Ok(UploadView {
            id: row.input_id,
            sha256: hex::encode(&row.sha256),
            bytes: self.bytes,
            content_type: row.content_type,
            filename: row.filename,
            expires_at,
        })
    }
}

fn not_written(id: Uuid, error: std::io::Error) -> ObjectsError {
    ObjectsError {
        key: key_of(id),
        why: object_store::Error::Generic {
            store: "upload",
            source: Box::new(error),
        },
    }
}

/// The last part of a path, without control characters; `None`: nothing is left.
fn plain(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = last.chars().filter(|c| !c.is_control()).take(NAME_MAX);
    let kept: String = kept.collect();
    let kept = kept.trim().trim_start_matches('.');
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_leaves_no_folder_and_breaks_no_line() {
        let cases = [
            ("cat.png", Some("cat.png")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\cats\\cat.png", Some("cat.png")),
            ("a\r\nb.png", Some("ab.png")),
            ("..", None),
            ("", None),
        ];
        for (given, want) in cases {
            assert_eq!(plain(given).as_deref(), want, "{given:?}");
        }
        assert_eq!(plain(&"x".repeat(999)).map(|name| name.len()), Some(255));
    }
}
