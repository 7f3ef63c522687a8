//! How requests prove who we are (section 8).

use crate::lang::{Text, Tree};
use serde_json::Value;

/// How requests prove who we are.
#[derive(Debug)]
pub struct Auth {
    /// `provider_auth_profiles.profile_key`.
    pub profile_key: String,
    /// The kind and what it needs.
    pub kind: AuthKind,
    /// Makes named parts of a secret that is one text.
    pub split: Option<Split>,
    /// Names of the secret's parts that templates may read.
    pub parts: Vec<String>,
    /// Primitives of `config`, for the templates of this auth profile.
    pub config: Value,
    /// SHA-256 of kind and `config`: tokens are kept by it and the credential.
    pub digest: [u8; 32],
}

/// The kinds of section 8.
#[derive(Debug)]
pub enum AuthKind {
    /// The secret itself, placed by templates.
    ApiKey,
    /// A token that we sign ourselves.
    JwtHs256(Box<Jwt>),
    /// RFC 6749, section 4.4: the client's id and secret for a token.
    ClientCredentials(TokenEndpoint),
    /// RFC 7523: an RS256 assertion of a key file for a token.
    ServiceAccount(TokenEndpoint),
    /// The machine's own identity: a file named by the environment, else the metadata server.
    ApplicationDefault(TokenEndpoint),
    /// A signature over the final bytes.
    Signature(Signing),
}

impl AuthKind {
    /// Whether it gives `accessToken`.
    #[must_use]
    pub fn gives_token(&self) -> bool {
        !matches!(self, Self::ApiKey | Self::Signature(_))
    }
}

/// `jwt_hs256`.
#[derive(Debug)]
pub struct Jwt {
    /// The header; `{"alg":"HS256","typ":"JWT"}` when the row says nothing.
    pub header: Tree,
    /// The claims, over `secret.<part>` and `jwt.now`, `jwt.nbf`, `jwt.exp`.
    pub claims: Tree,
    /// The key, as text.
    pub key: Text,
    /// Milliseconds that one unit of `jwt.…` counts: 1 or 1000.
    pub unit_ms: u64,
    /// Seconds from `jwt.now` to `jwt.exp`.
    pub lifetime_s: u64,
    /// Seconds from `jwt.nbf` to `jwt.now`.
    pub skew_s: u64,
}

/// Where a token comes from.
#[derive(Debug)]
pub struct TokenEndpoint {
    /// Lies where credentials may go.
    pub url: Text,
    /// Asked for with a space between.
    pub scopes: Vec<String>,
    /// `audience`, for endpoints that want one.
    pub audience: Option<String>,
    /// The client's id and secret go into a `Basic` header, not into the body.
    pub basic: bool,
}

/// What a signature is made with, beside the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// Which scheme.
    pub scheme: Scheme,
    /// Part of the scope; absent for a scheme without regions.
    pub region: Option<String>,
    /// Part of the scope.
    pub service: String,
}

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `aws_sigv4`
    AwsSigV4,
    /// `volc_hmac_sha256`
    VolcHmacSha256,
    /// `tc3_hmac_sha256`
    Tc3HmacSha256,
}

/// `config.split`: `{"by": ".", "into": ["id", "key"]}`.
#[derive(Debug, Clone)]
pub struct Split {
    /// Separator.
    pub by: String,
    /// Names of the parts, in order.
    pub into: Vec<String>,
}
