//! What a callback of the provider says, and what proves it (section 7).

use crate::lang::{Condition, Path, Text};

/// `webhook`: what a callback of the provider says, and what proves it.
#[derive(Debug)]
pub struct Webhook {
    /// The callback counts only when this holds for its body; absent: always.
    pub when: Option<Condition>,
    /// The job's id in its body.
    pub job_id: Option<Path>,
    /// What is to be given back when the address is being registered.
    pub challenge: Option<Path>,
    /// What proves it.
    pub verify: Verify,
}

/// `verify`.
#[derive(Debug)]
pub enum Verify {
    /// Nothing: it is a hint.
    None,
    /// A signature over what came.
    Signed(Box<Signature>),
}

/// How a callback is signed.
#[derive(Debug)]
pub struct Signature {
    /// By what.
    pub by: SignedBy,
    /// The header that holds it, in lower case; several may stand there, with blanks between.
    pub header: String,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// Stands before them; what does not start with it is no signature.
    pub prefix: String,
    /// What is signed.
    pub signed: Text,
    /// The header with the time of signing in Unix seconds, in lower case.
    pub timestamp_header: Option<String>,
    /// Seconds by which that time may differ from ours.
    pub tolerance_s: u64,
}

/// What makes a signature.
#[derive(Debug)]
pub enum SignedBy {
    /// HMAC-SHA256; the key is the base64 after `whsec_`, else the text itself.
    StandardWebhooks(WebhookSecret),
    /// HMAC-SHA256 under the secret's bytes.
    HmacSha256(WebhookSecret),
    /// Ed25519, by one of the keys at this address.
    Ed25519Jwks(String),
}

/// Where the key of an HMAC is.
#[derive(Debug)]
pub enum WebhookSecret {
    /// `env:NAME` or `file:/path`.
    Reference(String),
    /// Over the credential's secret.
    Text(Text),
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal.
    Hex,
    /// Base64.
    Base64,
}
