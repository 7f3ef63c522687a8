//! Posts to addresses that an operator configured, such as a collector of traces. No provider's rules hold there: private
//! addresses may be dialled, and nothing is signed.

use super::{Guard, Names, SystemNames, builder, cause};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

/// A client for one such place. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Poster {
    client: reqwest::Client,
    limit: Duration,
}

/// Why nothing came back. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// It is no address that can be called.
    #[error("the request cannot be written")]
    Unwritable,
    /// The exchange failed, or took too long.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// The answer is none of this kind.
    #[error("the answer is more than {ANSWER_MAX} bytes")]
    TooLarge,
}

impl Poster {
    /// A client whose exchanges take at most `limit`, their answers included.
    ///
    /// # Errors
    ///
    /// [`PostError::Unanswered`]: the system has no certificates to trust.
    pub fn new(limit: Duration) -> Result<Self, PostError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Guard {
            allow_private: true,
            names: Arc::new(SystemNames) as Arc<dyn Names>,
        };
        let client = builder(guard).timeout(limit).build();
        let client = client.map_err(|_| {
            PostError::Unanswered(
                "no HTTP client can be made: are there certificates to trust?".to_owned(),
            )
        })?;
        Ok(Self { client, limit })
    }

    /// Sends it once, and follows no redirect.
    ///
    /// Cancel safety: dropped, the exchange is cut.
    ///
    /// # Errors
    ///
    /// [`PostError`]; a status that is no success is none.
    pub async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, PostError> {
        let request = reqwest::Request::try_from(request).map_err(|_| PostError::Unwritable)?;
        match tokio::time::timeout(self.limit, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                let limit = self.limit.as_millis();
                Err(PostError::Unanswered(format!("none within {limit} ms")))
            }
        }
    }

    async fn exchange(
        &self,
        request: reqwest::Request,
    ) -> Result<http::Response<Bytes>, PostError> {
        let unanswered = |error: reqwest::Error| PostError::Unanswered(cause(&error));
        let mut response = self.client.execute(request).await.map_err(unanswered)?;
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(unanswered)? {
            if body.len() + piece.len() > ANSWER_MAX {
                return Err(PostError::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        let mut answer = http::Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}
