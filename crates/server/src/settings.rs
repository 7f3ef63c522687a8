//! How the API is served: who may call, from where, and how much.

use crate::connections::Bounds;
use axum::http::HeaderValue;
use std::num::NonZeroU32;
use std::time::Duration;

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By their API keys.
    Keys,
    /// Not at all: programs of this machine call, each as an admin of the default tenant.
    Local,
}

/// How the API is served. An [`Access`] has the defaults for everything else.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How callers are known.
    pub access: Access,
    /// Origins whose pages may call (CORS), as browsers write them: `https://app.example.com`. None: no page of another origin may.
    pub cors_origins: Vec<HeaderValue>,
    /// Calls of one key a second, and at once, in this process; more is a 429. Absent: any number.
    pub calls_per_second: Option<NonZeroU32>,
    /// Bytes of a file that is uploaded for calls to name. Whoever sends a run reads its inputs into memory.
    pub upload_bytes: u64,
    /// Connections at once; others wait.
    pub connections: usize,
    /// In which a request's head must have come; an idle connection is closed after it, too.
    pub head_within: Duration,
}

impl From<Access> for Settings {
    fn from(access: Access) -> Self {
        Self {
            access,
            cors_origins: Vec::new(),
            calls_per_second: NonZeroU32::new(3_000),
            upload_bytes: 256 * 1024 * 1024,
            connections: 4_096,
            head_within: Duration::from_secs(30),
        }
    }
}

impl Settings {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections,
            head_within: self.head_within,
        }
    }
}
