//! `POST /v1/inputs`: a file for calls to name, streamed to the artifact store as it comes.

use super::House;
use crate::body::{self, Bounds, cut_off, too_large, too_slow};
use crate::caller::Caller;
use crate::openapi::bodies::NewInput;
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use diag::Code;
use futures_util::{Stream, StreamExt as _, stream};
use multer::{Field, Multipart};
use runtime::{NewUpload, Receiving, UploadRefused, UploadView};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The part that holds the file.
const PART: &str = "file";
/// Boundaries and the heads of parts, beside the file itself.
const AROUND: u64 = 64 * 1024;
/// What may have come and is not taken yet. A piece from the connection has 512 KiB at most; more is a head without an end.
const IN_HAND: u64 = 2 * 1024 * 1024;

/// Stores a file for calls to name
///
/// One part, `file`, checked by its declared type, its first bytes and its size. A call names it as `{"id": …}` in its `inputs`.
#[utoipa::path(
    post, path = "/v1/inputs", tag = "files", operation_id = "uploadInput",
    request_body(content = NewInput, content_type = "multipart/form-data"),
    responses((status = 201, description = "Stored", body = UploadView))
)]
pub(super) async fn upload(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<UploadView>), Problem> {
    let boundary = boundary(&headers)?;
    let bounds = house.upload;
    if body::announced(&headers).is_some_and(|bytes| bytes > bounds.bytes as u64 + AROUND) {
        return Err(too_large(bounds));
    }
    let in_hand = InHand::default();
    let form = Multipart::new(in_hand.counted(body), boundary);
    let mut incoming = Incoming {
        form,
        in_hand,
        bounds,
        until: Instant::now() + bounds.within,
    };
    let received = incoming.file(&house, &caller).await?;
    let stored = received
        .finish()
        .await
        .map_err(|why| refused(why, bounds))?;
    Ok((StatusCode::CREATED, Json(stored)))
}

fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let refuse = |name, message: &str, help| {
        let violation = Violation::new(Code::C156, message, help).in_header(name);
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, violation)
    };
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let message = "the body is encoded";
        let help = "send the body as it is, without `Content-Encoding`";
        return Err(refuse(CONTENT_ENCODING, message, help));
    }
    let announced = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = announced.and_then(|text| multer::parse_boundary(text).ok());
    boundary.ok_or_else(|| {
        let message = "the body is not announced as a form with a file";
        let help = "send `multipart/form-data` with one part, `file`: `curl -F file=@cat.png` does";
        refuse(CONTENT_TYPE, message, help)
    })
}

/// Bytes that have come and are not taken yet. The form's reader takes in all that comes until it has to wait, and a head of a
/// part without an end would be kept whole: so pieces come one at a time, and only so many.
#[derive(Debug, Clone, Default)]
struct InHand(Arc<AtomicU64>);

impl InHand {
    fn counted(&self, body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let begun = (body.into_data_stream(), self.clone(), false);
        stream::unfold(begun, |(mut pieces, held, again)| async move {
            if again {
                // Before the end, too: the reader looks at what it has only when it waits.
                tokio::task::yield_now().await;
            }
            let piece = pieces.next().await?;
            Some((held.counts(piece), (pieces, held, true)))
        })
    }

    fn counts(&self, piece: Result<Bytes, axum::Error>) -> io::Result<Bytes> {
        let piece = piece.map_err(io::Error::other)?;
        let before = self.0.fetch_add(piece.len() as u64, Ordering::Relaxed);
        match before > IN_HAND {
            true => Err(io::Error::other("a head of a part has no end")),
            false => Ok(piece),
        }
    }

    fn taken(&self, piece: &Bytes) {
        self.0.fetch_sub(piece.len() as u64, Ordering::Relaxed);
    }
}

struct Incoming {
    form: Multipart<'static>,
    in_hand: InHand,
    bounds: Bounds,
    until: Instant,
}

impl Incoming {
    /// The file, whole, and that it was all.
    async fn file(&mut self, house: &House, caller: &Caller) -> Result<Receiving, Problem> {
        let Some(mut field) = self.part().await? else {
            return Err(not_so("", "the form has no part `file`"));
        };
        if field.name() != Some(PART) {
            return Err(not_so("", "the form has a part that is not `file`"));
        }
        let mut receiving = house.modelrow.receive(NewUpload {
            tenant: caller.tenant(),
            declared: field.content_type().map(ToString::to_string),
            filename: field.file_name().map(str::to_owned),
            max_bytes: self.bounds.bytes as u64,
        });
        while let Some(piece) = self.in_time(field.chunk()).await? {
            self.in_hand.taken(&piece);
            let written = receiving.write(piece).await;
            written.map_err(|why| refused(why, self.bounds))?;
        }
        drop(field);
        match self.part().await? {
            None => Ok(receiving),
            Some(_) => Err(not_so("", "the form has more than one part")),
        }
    }

    async fn part(&mut self) -> Result<Option<Field<'static>>, Problem> {
        let (bounds, until) = (self.bounds, self.until);
        timed(bounds, until, self.form.next_field()).await
    }

    async fn in_time<T>(
        &self,
        next: impl Future<Output = multer::Result<T>>,
    ) -> Result<T, Problem> {
        timed(self.bounds, self.until, next).await
    }
}

async fn timed<T>(
    bounds: Bounds,
    until: Instant,
    next: impl Future<Output = multer::Result<T>>,
) -> Result<T, Problem> {
    let next = timeout_at(until, timeout(bounds.pause, next)).await;
    let next = next.map_err(|_| too_slow())?.map_err(|_| too_slow())?;
    next.map_err(|error| unreadable(&error))
}

fn unreadable(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(_)
        | multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. } => cut_off(),
        _ => not_so("", "the form cannot be read"),
    }
}

fn not_so(pointer: &str, message: &str) -> Problem {
    let help = "send one part, `file`, with its `filename` and its `Content-Type`";
    let violation = Violation::new(Code::C213, message, help).at(pointer);
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, violation)
}

fn refused(why: UploadRefused, bounds: Bounds) -> Problem {
    let help = match &why {
        UploadRefused::TooLarge { .. } => return too_large(bounds),
        UploadRefused::Failed(_) => "",
        UploadRefused::Empty => "send the bytes of the file",
        UploadRefused::Type(_) => {
            "declare the file's own type, or leave it out where its first bytes tell it; convert a file rather than rename it"
        }
    };
    if let UploadRefused::Failed(error) = why {
        return error.into();
    }
    let violation = Violation::new(Code::C213, why.to_string(), help).at("/file");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, violation)
}

/// Time for the largest file at 2 Mbit/s; a sender that pauses is not awaited so long.
pub(super) fn bounds(bytes: u64) -> Bounds {
    Bounds {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        within: Duration::from_secs(60 + bytes / 250_000),
        pause: Duration::from_secs(20),
        instead: "give a larger file as `url`, where its model takes one",
    }
}
