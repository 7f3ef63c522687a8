//! The artifact store: objects by key, streamed in and out, bounded in memory.
//!
//! What a process that was killed left behind is found again: a local upload is
//! a staged file, and an upload of parts to a bucket has a marker beside it.

use bytes::Bytes;
use diag::Code;
use engine::download::{Buffer, Memory, Sink};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutPayload,
};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes of one part in a bucket: at least 5 MiB are asked for there, and 10,000 parts are allowed.
const CLOUD_PART: usize = 8 * 1024 * 1024;
/// Bytes of one write to a local file. No multiple of a page: Linux would take large folios for its cache, which on a virtual
/// machine are memory that is new to the host, and a file came with 60 % of the speed (Linux 6.18, ext4: `--bench stream`).
const LOCAL_PART: usize = 500_000;
/// Local writes wait for the disk only: more of them would not make it faster.
const LOCAL_MEMORY: usize = 16 * 1024 * 1024;
/// Parts of one upload on their way at a time.
const PARTS: usize = 2;
/// How long an upload that is thrown away waits for its parts on their way; what comes later is left to the sweep.
const PART_WAIT: Duration = Duration::from_secs(30);
/// Where the markers of uploads of parts are.
pub(crate) const MARKERS: &str = "uploads";

/// The artifact store failed.
#[derive(Debug, thiserror::Error)]
#[error("the artifact store failed at `{key}`")]
pub struct ObjectsError {
    /// The object.
    pub key: String,
    /// Why.
    #[source]
    pub why: object_store::Error,
}

impl ObjectsError {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.why {
            object_store::Error::NotFound { .. } => Code::S143,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Code::S156,
            _ => Code::S142,
        }
    }

    /// The store was asked, and has no such object.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.why, object_store::Error::NotFound { .. })
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self.code() {
            Code::S143 => {
                "all processes must use the same artifact store; restore the object if it was deleted by hand"
            }
            Code::S156 => {
                "let the credentials of the bucket read, write, list and delete under its prefix"
            }
            _ => {
                "check the free space and the rights of the artifact folder, or the bucket; the file is fetched again"
            }
        }
    }
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    /// Unix milliseconds, by the store's own clock.
    pub(crate) modified_ms: i64,
}

/// What both kinds of bucket in use can do: hold objects, and take them in parts.
pub(crate) trait Bucket: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Bucket for T {}

#[derive(Debug, Clone)]
enum Backend {
    Folder(Arc<LocalFileSystem>, PathBuf),
    Bucket(BucketAt),
}

#[derive(Clone)]
struct BucketAt(Arc<dyn Bucket>);

impl std::fmt::Debug for BucketAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Objects by key. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    backend: Backend,
    prefix: Path,
    /// The parts of all uploads of the process.
    pub(crate) memory: Memory,
}

impl Objects {
    /// A local folder, made when it is missing. A file is on disk before it counts. At most `memory` bytes of parts are held.
    pub(crate) fn folder(folder: &std::path::Path, memory: usize) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let files = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::other)?;
        let files = files.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self {
            backend: Backend::Folder(Arc::new(files), folder.to_owned()),
            prefix: Path::default(),
            memory: Memory::new(memory.min(LOCAL_MEMORY), LOCAL_PART),
        })
    }

    /// A bucket, below `prefix`. At most `memory` bytes of parts are held.
    pub(crate) fn bucket(bucket: Arc<dyn Bucket>, prefix: Path, memory: usize) -> Self {
        Self {
            backend: Backend::Bucket(BucketAt(bucket)),
            prefix,
            memory: Memory::new(memory, CLOUD_PART),
        }
    }

    /// The folder, when it is one.
    pub(crate) fn local(&self) -> Option<PathBuf> {
        match &self.backend {
            Backend::Folder(_, folder) => Some(folder.clone()),
            Backend::Bucket(_) => None,
        }
    }

    fn store(&self) -> &dyn ObjectStore {
        match &self.backend {
            Backend::Folder(files, _) => files.as_ref(),
            Backend::Bucket(bucket) => bucket.0.as_ref(),
        }
    }

    fn path(&self, key: &str) -> Path {
        let below = self.prefix.as_ref();
        if below.is_empty() {
            Path::from(key)
        } else {
            Path::from(format!("{below}/{key}"))
        }
    }

    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        let done = self.store().put(&self.path(key), bytes.into()).await;
        done.map(drop).map_err(at(key))
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Bytes, ObjectsError> {
        let found = self.store().get(&self.path(key)).await.map_err(at(key))?;
        found.bytes().await.map_err(at(key))
    }

    /// The bytes of an object, or `range` of them.
    pub(crate) async fn stream(
        &self,
        key: &str,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, ObjectsError>>, ObjectsError> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = self.store().get_opts(&self.path(key), options).await;
        let key = key.to_owned();
        Ok(found
            .map_err(at(&key))?
            .into_stream()
            .map_err(move |why| ObjectsError {
                key: key.clone(),
                why,
            })
            .boxed())
    }

    /// Deletes an object; one that is not there is deleted.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), ObjectsError> {
        match self.store().delete(&self.path(key)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other.map_err(at(key)),
        }
    }

    /// Every object, or those below `folder`, in no order.
    pub(crate) fn list(
        &self,
        folder: Option<&str>,
    ) -> BoxStream<'static, Result<Listed, ObjectsError>> {
        let below = folder.map_or_else(|| self.prefix.clone(), |folder| self.path(folder));
        let cut = self.prefix.clone();
        let named = folder.unwrap_or("").to_owned();
        self.store()
            .list(Some(&below))
            .map(move |found| found.map(|meta| listed(&cut, &meta)).map_err(at(&named)))
            .boxed()
    }

    /// Where a file is written. Nothing is seen under the key before [`Upload::finish`].
    pub(crate) fn upload(&self, key: String) -> Upload {
        Upload {
            objects: self.clone(),
            key,
            open: None,
            filling: None,
            last: Bytes::new(),
            sending: JoinSet::new(),
        }
    }

    /// Begins an upload of parts; in a bucket its marker stands before the first part.
    async fn open(&self, key: &str) -> object_store::Result<Open> {
        let path = self.path(key);
        match &self.backend {
            Backend::Folder(files, _) => Ok(Open::Staged(files.put_multipart(&path).await?)),
            Backend::Bucket(bucket) => {
                let id = bucket.0.create_multipart(&path).await?;
                let marker = self.path(&marker(key));
                let marked = bucket.0.put(&marker, id.clone().into()).await;
                if let Err(error) = marked {
                    // Without a marker nobody would find it.
                    drop(bucket.0.abort_multipart(&path, &id).await);
                    return Err(error);
                }
                Ok(Open::Parts {
                    bucket: bucket.clone(),
                    id,
                    begun: 0,
                    done: Vec::new(),
                })
            }
        }
    }

    async fn unmark(&self, key: &str) {
        if let Err(error) = self.delete(&marker(key)).await {
            tracing::warn!(key, %error, "a marker stays behind for the sweep");
        }
    }

    /// Ends the upload that a marker names, whose process is dead, and removes the marker.
    pub(crate) async fn abort_marked(&self, marker: &str) -> Result<(), ObjectsError> {
        let Backend::Bucket(bucket) = &self.backend else {
            return Ok(());
        };
        let id = self.read(marker).await?;
        let id = String::from_utf8_lossy(&id).into_owned();
        if let Some(key) = marker.strip_prefix(MARKERS) {
            let path = self.path(key.trim_start_matches('/'));
            match bucket.0.abort_multipart(&path, &id).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(why) => return Err(at(marker)(why)),
            }
        }
        self.delete(marker).await
    }
}

fn marker(key: &str) -> String {
    format!("{MARKERS}/{key}")
}

fn listed(prefix: &Path, meta: &ObjectMeta) -> Listed {
    let whole = meta.location.as_ref();
    let key = whole.strip_prefix(prefix.as_ref()).unwrap_or(whole);
    Listed {
        key: key.trim_start_matches('/').to_owned(),
        bytes: meta.size,
        modified_ms: meta.last_modified.timestamp_millis(),
    }
}

fn at(key: &str) -> impl FnOnce(object_store::Error) -> ObjectsError {
    let key = key.to_owned();
    move |why| ObjectsError { key, why }
}

/// One upload. A file of less than a part is put at once; the first full part opens an upload of parts.
#[derive(Debug)]
pub(crate) struct Upload {
    objects: Objects,
    key: String,
    open: Option<Open>,
    /// What came in pieces of any size, until it is a part.
    filling: Option<Buffer>,
    /// Less than a part.
    last: Bytes,
    /// Parts on their way: their number, and what the bucket calls them.
    sending: JoinSet<object_store::Result<(usize, Option<PartId>)>>,
}

/// An upload of parts.
#[derive(Debug)]
enum Open {
    Staged(Box<dyn MultipartUpload>),
    Parts {
        bucket: BucketAt,
        id: MultipartId,
        begun: usize,
        done: Vec<(usize, PartId)>,
    },
}

impl Upload {
    fn path(&self) -> Path {
        self.objects.path(&self.key)
    }

    /// Takes the next chunk, of any size.
    ///
    /// # Errors
    ///
    /// As [`Sink::write`].
    pub(crate) async fn append(&mut self, mut chunk: Bytes) -> io::Result<()> {
        while !chunk.is_empty() {
            let mut buffer = match self.filling.take() {
                Some(begun) => begun,
                None => self.objects.memory.take().await,
            };
            buffer.fill(&mut chunk);
            if buffer.is_full() {
                self.write(buffer.freeze()).await?;
            } else {
                self.filling = Some(buffer);
            }
        }
        Ok(())
    }

    /// Sends a part, beside the one before.
    async fn send(&mut self, part: Bytes) -> object_store::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.objects.open(&self.key).await?);
        }
        while self.sending.len() >= PARTS {
            self.reap().await?;
        }
        let path = self.path();
        let payload = PutPayload::from(part);
        match &mut self.open {
            Some(Open::Staged(upload)) => {
                let part = upload.put_part(payload);
                self.sending
                    .spawn(async move { part.await.map(|()| (0, None)) });
            }
            Some(Open::Parts {
                bucket, id, begun, ..
            }) => {
                let (bucket, id, n) = (bucket.0.clone(), id.clone(), *begun);
                *begun += 1;
                self.sending.spawn(async move {
                    let sent = bucket.put_part(&path, &id, n, payload).await;
                    sent.map(|part| (n, Some(part)))
                });
            }
            None => {}
        }
        Ok(())
    }

    /// Waits for one part.
    async fn reap(&mut self) -> object_store::Result<()> {
        let Some(sent) = self.sending.join_next().await else {
            return Ok(());
        };
        let sent = sent.map_err(|source| object_store::Error::JoinError { source })??;
        if let (Some(Open::Parts { done, .. }), (n, Some(part))) = (&mut self.open, sent) {
            done.push((n, part));
        }
        Ok(())
    }

    /// The object is there, whole, when this answers.
    ///
    /// # Errors
    ///
    /// [`ObjectsError`]: nothing is there, and nothing stays behind.
    pub(crate) async fn finish(mut self) -> Result<(), ObjectsError> {
        let key = self.key.clone();
        match self.close().await {
            Ok(()) => Ok(()),
            Err(why) => {
                self.discard().await;
                Err(at(&key)(why))
            }
        }
    }

    async fn close(&mut self) -> object_store::Result<()> {
        let last = match self.filling.take() {
            Some(begun) => begun.freeze(),
            None => std::mem::take(&mut self.last),
        };
        if self.open.is_none() {
            let stored = self.objects.store().put(&self.path(), last.into()).await;
            return stored.map(drop);
        }
        if !last.is_empty() {
            self.send(last).await?;
        }
        while !self.sending.is_empty() {
            self.reap().await?;
        }
        let path = self.path();
        match &mut self.open {
            Some(Open::Staged(upload)) => drop(upload.complete().await?),
            Some(Open::Parts {
                bucket, id, done, ..
            }) => {
                done.sort_by_key(|(n, _)| *n);
                let parts = done.iter().map(|(_, part)| part.clone()).collect();
                bucket.0.complete_multipart(&path, id, parts).await?;
                self.objects.unmark(&self.key).await;
            }
            None => {}
        }
        self.open = None;
        Ok(())
    }

    /// Throws away what was written.
    pub(crate) async fn discard(mut self) {
        // A request that we cut may still be at work in the bucket, and its part stays if it is done after the end of its upload.
        // <https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html>
        let settled = async { while self.sending.join_next().await.is_some() {} };
        if timeout(PART_WAIT, settled).await.is_err() {
            self.sending.shutdown().await;
        }
        let ended = match self.open.take() {
            Some(Open::Staged(mut upload)) => upload.abort().await,
            Some(Open::Parts { bucket, id, .. }) => {
                let ended = bucket.0.abort_multipart(&self.path(), &id).await;
                if ended.is_ok() {
                    self.objects.unmark(&self.key).await;
                }
                ended
            }
            None => Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!(key = self.key, %error, "an upload stays behind for the sweep");
        }
    }
}

impl Sink for Upload {
    fn memory(&self) -> &Memory {
        &self.objects.memory
    }

    async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        if !self.last.is_empty() {
            return Err(io::Error::other("a part came after the last"));
        }
        if piece.len() < self.objects.memory.size() {
            self.last = piece;
            return Ok(());
        }
        self.send(piece).await.map_err(io::Error::other)
    }
}
