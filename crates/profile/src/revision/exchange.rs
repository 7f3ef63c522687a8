//! One HTTP exchange, and where it may go (sections 4 and 9).

use crate::lang::{Text, Tree};

/// Section 9, for one provider.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// Host patterns that may receive credentials, beside the origins of the base URLs.
    pub credential_hosts: Vec<HostPattern>,
    /// When given, the only hosts that addresses may name.
    pub hosts: Option<Vec<HostPattern>>,
    /// Operator's word: plain `http` may be dialled.
    pub allow_http: bool,
    /// Operator's word: private, loopback and link-local addresses may be dialled.
    pub allow_private: bool,
}

/// A host, or `*.` and a domain. Compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(pub String);

/// One HTTP exchange, to be rendered.
#[derive(Debug)]
pub struct Exchange {
    /// The step's name; `submit` for the transport's own.
    pub name: String,
    /// Upper case.
    pub method: String,
    /// Where to.
    pub address: Address,
    /// Own query over the inherited one, already merged: name and value template.
    pub query: Vec<(String, Tree)>,
    /// Headers inherited from conventions and transport, under the step's own,
    /// already merged by name without regard to case. Dropped as a whole where
    /// credentials may not go, but for `own_headers`.
    pub headers: Vec<(String, Text)>,
    /// The step's own headers alone: all that is sent where nothing is inherited.
    pub own_headers: Vec<(String, Text)>,
    /// The step's own query alone.
    pub own_query: Vec<(String, Tree)>,
    /// The body; absent: none, and no `Content-Type`.
    pub body: Option<BodyTemplate>,
    /// Milliseconds: of the whole exchange, or of silence when the answer is a file.
    pub timeout_ms: u64,
    /// Largest answer read, in bytes.
    pub max_bytes: u64,
    /// Statuses beside 2xx that are no failure.
    pub ok_status: Vec<u16>,
    /// Another auth profile of the provider ([`super::Revision::step_auths`]); absent: the profile's own.
    pub auth: Option<String>,
}

/// Where an exchange goes.
#[derive(Debug)]
pub enum Address {
    /// Appended to the base URL: the exchange's own, else the credential's, else the provider's.
    Path {
        /// `transport.base_url`, or the step's.
        base_url: Option<Text>,
        /// Every value in it is one percent-encoded segment.
        path: Text,
    },
    /// A whole address; an expression that opens it is taken as it stands.
    Url(Text),
}

/// How the body is written.
#[derive(Debug)]
pub struct BodyTemplate {
    /// The transport's or the step's `kind`.
    pub kind: BodyKind,
    /// The merged tree.
    pub tree: Tree,
}

/// `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// `http_json`
    Json,
    /// `http_multipart`
    Multipart,
    /// `http_form`
    Form,
    /// `http_binary`
    Binary,
}
