//! Files: streamed, bounded, hashed on the way, and checked to be what was promised.

use crate::fault::{Fault, Kind};
use crate::flow::{FetchFault, FileSource, FileTask};
use crate::http::{Http, Open, Outcome, headers_of};
use crate::request::{Received, Request};
use bytes::{Bytes, BytesMut};
use futures_util::future::join;
use profile::revision::Class;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

mod content;
mod memory;
mod wav;

pub use content::sniff;
pub(crate) use content::{check, extension};
pub use memory::{Buffer, Memory};
pub(crate) use wav::wrapped;

/// Pieces that wait for the sink or the digest.
const WAITING: usize = 1;
/// Bytes of an answer that is no file.
const PAGE_MAX: usize = 256 * 1024;

/// Where the bytes of a file go. Nothing is written before the answer is known to be a file.
pub trait Sink: Send {
    /// The buffers that its pieces come in.
    fn memory(&self) -> &Memory;
    /// Takes the next piece: as large as a buffer, but for the last.
    fn write(&mut self, piece: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Size.
    pub bytes: u64,
    /// Digest.
    pub sha256: [u8; 32],
    /// Media type.
    pub content_type: String,
    /// A name for the file, when the answer gave one.
    pub filename: Option<String>,
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// For the flow to judge: [`crate::flow::Event::FetchFailed`].
    #[error("the file could not be fetched")]
    Fault(Box<FetchFault>),
    /// The sink failed: ours, not the provider's.
    #[error("the file could not be stored")]
    Sink(#[source] io::Error),
}

impl From<FetchFault> for FetchError {
    fn from(fault: FetchFault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl Http {
    /// Fetches one file into `sink`. Silence, not the whole, is bounded by the
    /// request's `timeout_ms`; memory does not grow with the file. What was
    /// written is to be discarded when it fails.
    ///
    /// # Errors
    ///
    /// [`FetchError`]: of the provider, or of the sink.
    pub async fn fetch<S: Sink>(
        &self,
        task: &FileTask,
        sink: &mut S,
    ) -> Result<Fetched, FetchError> {
        match &task.source {
            FileSource::Request(request) => self.fetch_from(task, request, sink).await,
            FileSource::Bytes(bytes) => store(task, bytes, sink).await,
        }
    }

    async fn fetch_from<S: Sink>(
        &self,
        task: &FileTask,
        request: &Request,
        sink: &mut S,
    ) -> Result<Fetched, FetchError> {
        let silence = Duration::from_millis(request.timeout_ms);
        let mut request = request.clone();
        if request.header("accept-encoding").is_none() {
            // A file is not compressed twice, and its size is then known.
            request
                .headers
                .push(("Accept-Encoding".to_owned(), "identity".to_owned()));
        }
        let opened = tokio::time::timeout(silence, self.open(&request))
            .await
            .map_err(|_| silent(request.timeout_ms))?;
        let open = opened.map_err(|outcome| FetchError::from(unopened(*outcome)))?;
        let mut reader = Reader::new(open, task, silence, sink.memory().clone());
        if !task.is_file(reader.status) {
            return Err(reader.page(&[], no_file(reader.status)).await);
        }
        let first = reader.piece().await?;
        let content_type = match check(task, reader.header("content-type"), &first) {
            Ok(content_type) => content_type,
            Err(fault) => return Err(reader.page(&first, fault).await),
        };
        let filename = reader
            .header("content-disposition")
            .and_then(content::filename);
        if task.wrap.is_some() {
            let header = reader.header("content-type").map(str::to_owned);
            let raw = reader.rest(first).await?;
            return Ok(Fetched {
                filename,
                ..keep(task, header.as_deref(), &raw, content_type, sink).await?
            });
        }
        let (bytes, sha256) = pump(&mut reader, first, sink).await?;
        Ok(Fetched {
            bytes,
            sha256,
            content_type,
            filename,
        })
    }
}

/// A body as pieces.
struct Reader<'a> {
    response: reqwest::Response,
    status: u16,
    headers: Vec<(String, String)>,
    trusted: bool,
    task: &'a FileTask,
    silence: Duration,
    memory: Memory,
    /// Read, and not yet given.
    begun: Bytes,
    read: u64,
}

impl<'a> Reader<'a> {
    fn new(open: Open, task: &'a FileTask, silence: Duration, memory: Memory) -> Self {
        Self {
            status: open.response.status().as_u16(),
            headers: headers_of(&open.response),
            response: open.response,
            trusted: open.trusted,
            task,
            silence,
            memory,
            begun: Bytes::new(),
            read: 0,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let chunk = tokio::time::timeout(self.silence, self.response.chunk()).await;
        let chunk = chunk
            .map_err(|_| silent(u64::try_from(self.silence.as_millis()).unwrap_or(u64::MAX)))?;
        chunk.map_err(|_| {
            FetchError::from(FetchFault::Broken(Fault::new(
                Kind::BadFile,
                "the file was cut before its end",
            )))
        })
    }

    /// Reads on; `false` at the end.
    async fn more(&mut self) -> Result<bool, FetchError> {
        let Some(chunk) = self.chunk().await? else {
            return Ok(false);
        };
        self.read += chunk.len() as u64;
        if self.read > self.task.max_bytes {
            let fault = Fault::new(
                Kind::FileTooLarge,
                format!("the file is more than {} bytes", self.task.max_bytes),
            );
            return Err(FetchFault::Final(fault).into());
        }
        self.begun = chunk;
        Ok(true)
    }

    /// The next piece; empty at the end. What is silent holds no buffer that others wait for before it begins.
    async fn piece(&mut self) -> Result<Bytes, FetchError> {
        if self.begun.is_empty() && !self.more().await? {
            return Ok(Bytes::new());
        }
        let mut buffer = self.memory.take().await;
        loop {
            buffer.fill(&mut self.begun);
            if buffer.is_full() || !self.more().await? {
                return Ok(buffer.freeze());
            }
        }
    }

    /// All of it: what is wrapped has its length in its header.
    async fn rest(&mut self, first: Bytes) -> Result<Bytes, FetchError> {
        let mut whole = BytesMut::from(&first[..]);
        // Nobody holds a buffer while it waits for the next.
        drop(first);
        loop {
            let piece = self.piece().await?;
            if piece.is_empty() {
                return Ok(whole.freeze());
            }
            if whole.len() as u64 + piece.len() as u64 > wav::RAW_MAX {
                let fault = Fault::new(
                    Kind::FileTooLarge,
                    format!(
                        "raw samples of more than {} bytes are not wrapped",
                        wav::RAW_MAX
                    ),
                );
                return Err(FetchFault::Final(fault).into());
            }
            whole.extend_from_slice(&piece);
        }
    }

    /// The answer as an answer: what came is no file.
    async fn page(&mut self, first: &[u8], fault: Fault) -> FetchError {
        let mut body = BytesMut::new();
        let mut take = |chunk: &[u8]| {
            body.extend(chunk.iter().take(PAGE_MAX - body.len()));
            body.len() < PAGE_MAX
        };
        let mut goes_on = take(first) && take(&self.begun);
        while goes_on {
            goes_on = match self.chunk().await {
                Ok(Some(chunk)) => take(&chunk),
                // A page that breaks says no less than its status.
                Ok(None) | Err(_) => false,
            };
        }
        let received = Received {
            status: self.status,
            headers: self.headers.clone(),
            body: body.freeze(),
            trusted: self.trusted,
        };
        FetchFault::Answer {
            received,
            trusted: self.trusted,
            fault,
        }
        .into()
    }
}

/// Reading, digest and storing overlap: the digest on a thread of its own, the
/// sink while the next piece comes.
async fn pump<S: Sink>(
    reader: &mut Reader<'_>,
    first: Bytes,
    sink: &mut S,
) -> Result<(u64, [u8; 32]), FetchError> {
    let (to_digest, from_net) = mpsc::channel::<Bytes>(WAITING);
    let digest = tokio::task::spawn_blocking(move || digest(from_net));
    let (to_sink, mut pieces) = mpsc::channel::<Bytes>(WAITING);
    let read = async {
        let (to_digest, to_sink) = (to_digest, to_sink);
        let mut piece = first;
        while !piece.is_empty() {
            // Both ends are gone only when the other side has failed.
            if to_digest.send(piece.clone()).await.is_err() || to_sink.send(piece).await.is_err() {
                break;
            }
            piece = reader.piece().await?;
        }
        Ok::<(), FetchError>(())
    };
    let write = async {
        let mut bytes = 0_u64;
        while let Some(piece) = pieces.recv().await {
            bytes += piece.len() as u64;
            if let Err(error) = sink.write(piece).await {
                // The reader learns of it, and stops.
                pieces.close();
                return Err(FetchError::Sink(error));
            }
        }
        Ok(bytes)
    };
    let (read, written) = join(read, write).await;
    let bytes = written?;
    read?;
    let sha256 = digest
        .await
        .map_err(|error| FetchError::Sink(io::Error::other(error)))?;
    Ok((bytes, sha256))
}

fn digest(mut pieces: mpsc::Receiver<Bytes>) -> [u8; 32] {
    let mut hash = Sha256::new();
    while let Some(piece) = pieces.blocking_recv() {
        hash.update(&piece);
    }
    hash.finalize().into()
}

/// Bytes that were in an answer.
async fn store<S: Sink>(
    task: &FileTask,
    bytes: &Bytes,
    sink: &mut S,
) -> Result<Fetched, FetchError> {
    let content_type = check(task, None, bytes).map_err(FetchFault::Final)?;
    keep(task, None, bytes, content_type, sink).await
}

/// Bytes that are a file, in the wrapping that the task asks for.
async fn keep<S: Sink>(
    task: &FileTask,
    header: Option<&str>,
    bytes: &Bytes,
    content_type: String,
    sink: &mut S,
) -> Result<Fetched, FetchError> {
    let wrapped = wrapped(task, header, bytes).map_err(FetchFault::Final)?;
    let (bytes, content_type) = wrapped.unwrap_or_else(|| (bytes.clone(), content_type));
    if bytes.len() as u64 > task.max_bytes {
        let fault = Fault::new(
            Kind::FileTooLarge,
            format!("the file is more than {} bytes", task.max_bytes),
        );
        return Err(FetchFault::Final(fault).into());
    }
    let size = sink.memory().size();
    for start in (0..bytes.len()).step_by(size) {
        let piece = bytes.slice(start..bytes.len().min(start + size));
        sink.write(piece).await.map_err(FetchError::Sink)?;
    }
    Ok(Fetched {
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(&bytes).into(),
        content_type,
        filename: None,
    })
}

/// What an answer without success is as a file.
pub(crate) fn no_file(status: u16) -> Fault {
    Fault::new(
        Kind::WrongContent,
        format!("HTTP status {status} came where a file should be"),
    )
}

fn silent(ms: u64) -> FetchError {
    let fault = Fault::new(
        Kind::Class(Class::Transient),
        format!("nothing came for {ms} ms"),
    );
    FetchFault::Broken(fault).into()
}

/// What an exchange that gave no body is for the flow.
pub(crate) fn unopened(outcome: Outcome) -> FetchFault {
    match outcome {
        Outcome::NotSent(fault) if fault.class().is_none() => FetchFault::Final(fault),
        Outcome::NotSent(fault) | Outcome::Broken(fault) => FetchFault::Broken(fault),
        Outcome::Answered(received) => FetchFault::Answer {
            fault: no_file(received.status),
            received,
            trusted: false,
        },
    }
}

#[cfg(test)]
mod tests;
