//! A compiled revision: everything one run uses, joined, checked, immutable.
//!
//! `check` makes it from rows; `engine` reads it. Nothing here is changed after
//! it was made, and nothing in it needs checking again: the type is the proof.

mod batch;
mod purpose;
mod reads;

pub use batch::Batch;
pub use purpose::Purpose;

use crate::capabilities::Capabilities;
use crate::lang::{Condition, Path, Text, Tree};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The SHA-256 of a revision's canonical content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionId(pub [u8; 32]);

/// What a run uses: provider, auth, model, template, schema and profile as one value.
#[derive(Debug)]
pub struct Revision {
    /// Content address.
    pub id: RevisionId,
    /// Language level the content needs.
    pub language: u32,
    /// The joined rows as JSON, from which an equal revision can be compiled again.
    pub content: Value,
    /// `ai_providers.slug`.
    pub provider: String,
    /// The tenant whose own row the provider is: the system's credentials serve
    /// it not. Absent: the system's, and where only the content is known.
    pub provider_tenant: Option<Uuid>,
    /// The API's model id; absent for a profile that serves no model.
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`.
    pub profile_key: String,
    /// What it makes.
    pub purpose: Purpose,
    /// What the model takes and may do.
    pub capabilities: Capabilities,
    /// How requests prove who we are; absent: nothing is added.
    pub auth: Option<Auth>,
    /// Other auth profiles of the provider, which steps name.
    pub step_auths: Vec<Auth>,
    /// Where requests and credentials may go.
    pub egress: Egress,
    /// The provider's base URL: a template over `config_…` only.
    pub base_url: Text,
    /// The submit, in the order of `variants`; the last one has no condition.
    pub submits: Vec<Submit>,
    /// Names for values computed from others, read by `vars.<name>`.
    pub vars: Arc<crate::lang::VarsTable>,
    /// Constant look-up tables, read by `tables.<name>`.
    pub tables: Value,
    /// Primitives of the auth profile's `config`, read by `config_<key>`.
    pub config: Value,
    /// How answers are judged.
    pub errors: ErrorTable,
    /// What is taken from answers, and how the output is made.
    pub response: Response,
    /// What happens around the submit.
    pub workflow: Workflow,
    /// A free exchange that proves a credential; absent: there is none.
    pub verify: Option<Exchange>,
    /// How callbacks are understood; absent: one at a run's own address is a hint to poll.
    pub webhook: Option<Webhook>,
    /// How steps are repeated; the submit's own is in its [`Terms`].
    pub retry: Retry,
}

impl Revision {
    /// The terms of the submit without a condition; absent: no submit was compiled, which `check` refuses.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        self.submits.last().map(|submit| &submit.terms)
    }
}

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
    /// Another auth profile of the provider ([`Revision::step_auths`]); absent: the profile's own.
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

/// The submit, or one variant of it.
#[derive(Debug)]
pub struct Submit {
    /// Holds over the variables; absent: always.
    pub when: Option<Condition>,
    /// What is sent.
    pub exchange: Exchange,
    /// What makes it safe.
    pub terms: Terms,
}

/// What the transport, or a variant of it, promises about its submit.
#[derive(Debug)]
pub struct Terms {
    /// The header or body member in which the provider takes our token.
    pub idempotency: Option<Idempotency>,
    /// How an unknown outcome is settled; absent: it fails visibly.
    pub settle: Option<Settle>,
    /// The admin's consent to send again what may have been accepted.
    pub repeat_on_unknown: bool,
    /// How refusals for load are repeated.
    pub retry: Retry,
}

/// `idempotency`.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Where `run.token` goes.
    pub place: TokenPlace,
    /// Seconds for which the provider remembers a token.
    pub retention_s: u64,
}

/// Where the engine puts `run.token`.
#[derive(Debug, Clone)]
pub enum TokenPlace {
    /// A header of that name.
    Header(String),
    /// A member of the body's root.
    Body(String),
}

/// `settle`: how to learn an unknown outcome.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a revision, which is shared and never moved"
)]
pub enum Settle {
    /// The same bytes again, under the same token.
    Replay,
    /// Ask the provider.
    Lookup {
        /// The exchange.
        exchange: Box<Exchange>,
        /// The items of a list answer that may be ours.
        select: Option<Select>,
        /// The id, in the selected item.
        job_id: Path,
        /// Holds for an answer in which our job would have to be, such as the
        /// last page of a list: only there does absence count. Absent: in any.
        complete: Option<Condition>,
        /// Milliseconds after which absence counts.
        visible_after_ms: u64,
    },
    /// A callback will say.
    Callback,
}

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

/// `retry`.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Most repetitions.
    pub max: u32,
    /// First wait, in milliseconds; it doubles.
    pub backoff_ms: u64,
    /// Longest wait, in milliseconds.
    pub max_backoff_ms: u64,
}

/// The classes of failure, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the language, section 5")]
pub enum Class {
    Moderated,
    Billing,
    Authentication,
    InvalidRequest,
    Expired,
    NotFound,
    RateLimited,
    Overloaded,
    Transient,
    UnknownOutcome,
    ProviderError,
}

/// `errors`, merged over the conventions'.
#[derive(Debug)]
pub struct ErrorTable {
    /// Where the code stands; the usual places when the row says nothing.
    pub code: Path,
    /// Where the message stands.
    pub message: Path,
    /// A hint when to come again.
    pub retry_after: Option<Duration>,
    /// The codes of success; absent: HTTP status alone decides.
    pub ok: Option<Vec<Match>>,
    /// Classes in the order of the table, each with what matches it.
    pub classes: Vec<(Class, Vec<Match>)>,
}

/// A value or a condition, as `errors` and `states` list them.
#[derive(Debug)]
pub enum Match {
    /// A value of the path: a word whatever its case, an integer, a boolean.
    Value(Value),
    /// A condition on the answer.
    Condition(Condition),
}

/// A path to a duration, and the unit of a bare number there.
#[derive(Debug)]
pub struct Duration {
    /// Where.
    pub path: Path,
    /// Milliseconds a bare number counts: 1, 1000, …
    pub unit_ms: u64,
}

/// `response_mapping`.
#[derive(Debug)]
pub struct Response {
    /// How the submit's answer is read.
    pub mode: Mode,
    /// `response_mapping.content_type`.
    pub content_type: Option<String>,
    /// What is captured from the submit's answer, by name.
    pub captures: Vec<(String, Capture)>,
    /// The job's id in the submit's answer; absent: the answer is final.
    pub job_id: Option<Path>,
    /// How a stream of events is read; there exactly for the modes `sse` and `ndjson`.
    pub stream: Option<Stream>,
    /// `text_path` of the last answer.
    pub text: Option<Path>,
    /// `usage`: name and the paths that are summed.
    pub usage: Vec<(String, Vec<Path>)>,
    /// `output`; absent: the purpose's default.
    pub output: Option<Tree>,
    /// Of the model.
    pub schema: Option<ResponseSchema>,
}

/// `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the language, section 5")]
pub enum Mode {
    Json,
    Binary,
    JsonBase64,
    JsonHex,
    Text,
    Multipart,
    Sse,
    Ndjson,
}

impl Mode {
    /// Whether the answer is a stream of events.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Sse | Self::Ndjson)
    }
}

/// `stream`: what the events of an answer mean.
#[derive(Debug)]
pub struct Stream {
    /// What an event adds to `text`.
    pub delta: Path,
    /// Holds for the events that add something; absent: for every one.
    pub when: Option<Condition>,
    /// Holds for the event that ends the stream well; what follows it is not read.
    pub done: Condition,
}

/// The schema that the output must satisfy.
#[derive(Debug)]
pub struct ResponseSchema {
    /// `response_schemas.name`.
    pub name: String,
    /// A mismatch fails the run; else it is a warning.
    pub strict: bool,
    /// As written.
    pub schema: Value,
    /// Compiled.
    pub validator: jsonschema::Validator,
}

/// One value taken from an answer.
#[derive(Debug)]
pub struct Capture {
    /// Where.
    pub path: Path,
    /// `parse: "json"`: the text there is JSON.
    pub parse_json: bool,
    /// Joins several values to one text.
    pub join: Option<String>,
    /// Never shown, never in an output.
    pub secret: bool,
}

/// `workflow`.
#[derive(Debug, Default)]
pub struct Workflow {
    /// Steps before the submit: free, and safe to repeat.
    pub before: Vec<Step>,
    /// Steps after it.
    pub steps: Vec<Step>,
    /// Stops the job at the provider.
    pub cancel: Option<Step>,
    /// After the end, when the files are kept.
    pub cleanup: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Unique within the profile; `submit` is taken.
    pub name: String,
    /// Runs only if this holds over the variables.
    pub when: Option<Condition>,
    /// `each`: one exchange per item; of the last answer, in `before` of the variables.
    pub each: Option<Path>,
    /// The exchange; absent for a download that reads an earlier answer.
    pub exchange: Option<Exchange>,
    /// Captured from the step's own answer.
    pub captures: Vec<(String, Capture)>,
    /// What it does.
    pub action: Action,
}

/// `action`.
#[derive(Debug)]
pub enum Action {
    /// One exchange.
    Request,
    /// Repeats until terminal.
    Poll(Box<Poll>),
    /// Bytes to an artifact.
    Download(Box<Download>),
}

/// `select`.
#[derive(Debug)]
pub struct Select {
    /// The list.
    pub list: Path,
    /// Holds for the item, which is the body of the answer it is asked of.
    pub filter: Option<Condition>,
}

/// A poll.
#[derive(Debug)]
pub struct Poll {
    /// Milliseconds between two polls.
    pub interval_ms: u64,
    /// Milliseconds before the first.
    pub initial_delay_ms: u64,
    /// Each wait is so much longer than the last.
    pub multiplier: f64,
    /// Longest wait, in milliseconds.
    pub max_interval_ms: u64,
    /// Part of the wait that is drawn.
    pub jitter: f64,
    /// Milliseconds from acceptance until the caller is told `run.overdue`.
    pub deadline_ms: u64,
    /// Milliseconds from acceptance until the run is given up.
    pub max_job_life_ms: u64,
    /// Milliseconds from acceptance in which "not found" is "not yet".
    pub not_found_grace_ms: u64,
    /// The item that this and every later path into that answer walks.
    pub select: Option<Select>,
    /// One request for many jobs; absent: each is asked for by itself.
    pub batch: Option<Batch>,
    /// Where the state stands.
    pub status: Path,
    /// Which values and conditions mean which state, in the order of judgement.
    pub states: Vec<(JobState, Vec<Match>)>,
    /// With `states`, a value in no list is recorded as drift.
    pub drift: bool,
    /// A hint when to come again.
    pub poll_after: Option<Duration>,
    /// How far the job is.
    pub progress: Option<Path>,
    /// The value of `progress` that means done.
    pub progress_max: f64,
}

/// The provider's word about a job, in the order in which it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the language, section 6")]
pub enum JobState {
    Moderated,
    Expired,
    Canceled,
    Failed,
    Succeeded,
    Running,
    Queued,
}

/// A download.
#[derive(Debug)]
pub struct Download {
    /// The artifact's name.
    pub artifact: String,
    /// Its absence is no failure.
    pub optional: bool,
    /// The step whose answer is read; absent: the last one (or its own address).
    pub from: Option<String>,
    /// Addresses of the files.
    pub url: Option<Path>,
    /// Text that holds the file.
    pub value: Option<Path>,
    /// Name of the part that is the file; there exactly for the mode `multipart`.
    pub part: Option<String>,
    /// How `value` or the body is read.
    pub mode: Mode,
    /// Media types it may have: `video/*`.
    pub accept: Vec<String>,
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Where its media type stands.
    pub mime: Option<Path>,
    /// Used when nothing says better.
    pub content_type: Option<Text>,
    /// Milliseconds or a path to when the result is gone.
    pub expires: Option<Expires>,
    /// What is put around the bytes.
    pub wrap: Option<Wrap>,
    /// What goes with the request for a file at an address of an answer.
    pub fetch: Fetch,
}

/// `wrap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// A RIFF header before raw PCM.
    Wav,
}

/// What goes with a request for an address that an answer gave. Headers and
/// query are as in [`Exchange`]: what is inherited stays away where credentials
/// may not go.
#[derive(Debug)]
pub struct Fetch {
    /// Inherited headers under the step's own.
    pub headers: Vec<(String, Text)>,
    /// The step's own headers alone.
    pub own_headers: Vec<(String, Text)>,
    /// The step's own query over the inherited one.
    pub query: Vec<(String, Tree)>,
    /// The step's own query alone.
    pub own_query: Vec<(String, Tree)>,
    /// Upper case.
    pub method: String,
    /// What a relative address is resolved against; absent: the base URL.
    pub base_url: Option<Text>,
    /// The body; absent: none.
    pub body: Option<BodyTemplate>,
    /// Milliseconds of silence.
    pub timeout_ms: u64,
    /// Statuses beside 2xx under which the body is the file.
    pub ok_status: Vec<u16>,
    /// As in [`Exchange`].
    pub auth: Option<String>,
}

/// When a result is gone.
#[derive(Debug)]
pub enum Expires {
    /// Milliseconds after the answer.
    InMs(u64),
    /// Where the time stands: Unix seconds or RFC 3339.
    At(Path),
}
