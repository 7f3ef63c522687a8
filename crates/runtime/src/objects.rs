//! The artifact store: objects by key, streamed in and out, bounded in memory.

use bytes::Bytes;
use diag::Code;
use engine::download::Sink;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use std::io;
use std::sync::Arc;

/// Bytes of one part of an upload; two are in memory at a time.
const PART_BYTES: usize = 4 * 1024 * 1024;
const PARTS: usize = 2;

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
        if self.is_missing() {
            Code::S143
        } else {
            Code::S142
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        if self.is_missing() {
            "all processes must use the same artifact store; restore the object if it was deleted by hand"
        } else {
            "check the free space and the rights of the artifact folder; the file is fetched again"
        }
    }

    fn is_missing(&self) -> bool {
        matches!(self.why, object_store::Error::NotFound { .. })
    }
}

/// Objects by key. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Objects(Arc<dyn ObjectStore>);

impl Objects {
    /// A local folder, made when it is missing. A file is on disk before it counts.
    pub(crate) fn folder(folder: &std::path::Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let files = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::other)?;
        Ok(Self(Arc::new(
            files.with_fsync(true).with_automatic_cleanup(true),
        )))
    }

    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        let done = self.0.put(&Path::from(key), bytes.into()).await;
        done.map(drop).map_err(at(key))
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Bytes, ObjectsError> {
        let found = self.0.get(&Path::from(key)).await.map_err(at(key))?;
        found.bytes().await.map_err(at(key))
    }

    pub(crate) async fn stream(
        &self,
        key: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, ObjectsError>>, ObjectsError> {
        let found = self.0.get(&Path::from(key)).await.map_err(at(key))?;
        let key = key.to_owned();
        Ok(found
            .into_stream()
            .map_err(move |why| ObjectsError {
                key: key.clone(),
                why,
            })
            .boxed())
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), ObjectsError> {
        match self.0.delete(&Path::from(key)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other.map_err(at(key)),
        }
    }

    /// Where a file is written. Nothing is seen under the key before [`Upload::finish`].
    pub(crate) fn upload(&self, key: String) -> Upload {
        Upload {
            objects: self.clone(),
            key,
            parts: None,
        }
    }
}

fn at(key: &str) -> impl FnOnce(object_store::Error) -> ObjectsError {
    let key = key.to_owned();
    move |why| ObjectsError { key, why }
}

/// One upload. The first byte opens it.
#[derive(Debug)]
pub(crate) struct Upload {
    objects: Objects,
    key: String,
    parts: Option<WriteMultipart>,
}

impl Upload {
    async fn parts(&mut self) -> object_store::Result<&mut WriteMultipart> {
        let open = match self.parts.take() {
            Some(open) => open,
            None => {
                let upload = self
                    .objects
                    .0
                    .put_multipart(&Path::from(self.key.as_str()))
                    .await?;
                WriteMultipart::new_with_chunk_size(upload, PART_BYTES)
            }
        };
        Ok(self.parts.insert(open))
    }

    /// The object is there, whole, when this answers.
    pub(crate) async fn finish(mut self) -> Result<(), ObjectsError> {
        let key = self.key.clone();
        self.parts().await.map_err(at(&key))?;
        match self.parts.take() {
            Some(parts) => parts.finish().await.map(drop).map_err(at(&key)),
            None => Ok(()),
        }
    }

    /// Throws away what was written.
    pub(crate) async fn discard(mut self) {
        if let Some(parts) = self.parts.take()
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(key = self.key, %error, "a staged upload stays behind");
        }
    }
}

impl Sink for Upload {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        let parts = self.parts().await.map_err(io::Error::other)?;
        parts
            .wait_for_capacity(PARTS)
            .await
            .map_err(io::Error::other)?;
        parts.put(chunk);
        Ok(())
    }
}
