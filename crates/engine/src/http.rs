//! The only place that builds HTTP clients: it sends what a request says, once.
//!
//! The library follows no redirect and repeats nothing. A submit travels on a connection of its own, so that none that has
//! idled can die under it; one that does no harm when it is sent twice spares that ([`Request::kept`]).

use crate::egress::{Author, is_public};
use crate::fault::{Fault, Kind};
use crate::flow::Event;
use crate::redirect;
use crate::request::{Received, Request};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use profile::revision::Class;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

mod post;
mod tap;

pub use post::{PostError, Poster};
pub use tap::{Heard, HeardAnswer, Tap};

/// Until the connection and TLS stand.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections to one host that are kept without a request on them, and how long: each takes some 40 KB (the buffers of
/// hyper and its channel), so those of a burst are not all kept.
#[cfg(not(test))]
const IDLE_MAX: usize = 640;
/// Both ends are open files of one process, which may often have no more than 1,024.
#[cfg(test)]
const IDLE_MAX: usize = 128;
const IDLE: Duration = Duration::from_secs(30);
/// The longest stream.
const STREAM_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of all headers of an answer.
const HEADERS_MAX: usize = 64 * 1024;

/// The clients of a process. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    public: Clients,
    /// For policies that allow private addresses.
    open: Clients,
    /// Milliseconds since 1970, for signatures.
    clock: Option<Clock>,
    /// Hears what is exchanged, for a recording.
    tap: Option<Tap>,
}

type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Clients {
    /// Keeps no connection idle.
    submit: reqwest::Client,
    other: reqwest::Client,
}

/// What came of an exchange.
#[derive(Debug)]
pub enum Outcome {
    /// It was answered.
    Answered(Received),
    /// It was certainly not sent.
    NotSent(Fault),
    /// It ended without an answer after its first byte may have gone.
    Broken(Fault),
}

impl From<Outcome> for Event {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered(received) => Self::Answered(received),
            Outcome::NotSent(fault) => Self::NotSent(fault),
            Outcome::Broken(fault) => Self::Broken(fault),
        }
    }
}

/// What hears an answer while it comes.
pub trait Ear {
    /// Whether an answer with this head is heard in pieces. Names of headers are
    /// in lower case.
    fn head(&mut self, status: u16, headers: &[(String, String)]) -> bool;

    /// Hears a piece, cut anywhere. `Break`: nothing more is wanted.
    fn piece(&mut self, bytes: &[u8]) -> ControlFlow<()>;
}

/// An answer whose body has not been read yet, and whether our credentials
/// may have gone where it came from.
pub(crate) struct Open {
    pub(crate) response: reqwest::Response,
    pub(crate) trusted: bool,
}

impl Http {
    /// Builds the clients.
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `NotSent` when the system has no certificates to trust.
    pub fn new() -> Result<Self, Fault> {
        Self::with(&(Arc::new(SystemNames) as Arc<dyn Names>))
    }

    /// With a resolver of its own.
    pub(crate) fn with(names: &Arc<dyn Names>) -> Result<Self, Fault> {
        // A provider that is installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            public: Clients::new(false, names)?,
            open: Clients::new(true, names)?,
            clock: None,
            tap: None,
        })
    }

    /// Signs by this clock, in milliseconds since 1970. Without one a signature
    /// is dated by the rendering, which a replay repeats hours later.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The same clients, heard by nobody: for what no recording may have in it.
    #[must_use]
    pub fn untapped(&self) -> Self {
        Self {
            tap: None,
            ..self.clone()
        }
    }

    /// The same clients, whose exchanges are heard.
    #[must_use]
    pub fn tapped(mut self, tap: Tap) -> Self {
        self.tap = Some(tap);
        self
    }

    /// Sends it once and reads the answer. The whole takes at most the
    /// request's own `timeout_ms`. A `GET` that is no submit follows redirects,
    /// each checked like the address itself.
    ///
    /// Cancel safety: dropped, the exchange is cut; what a provider made of a
    /// submit is then unknown.
    pub async fn send(&self, request: &Request) -> Outcome {
        let limit = Duration::from_millis(request.timeout_ms);
        match tokio::time::timeout(limit, self.exchange(request)).await {
            Ok(Ok(received)) => Outcome::Answered(received),
            Ok(Err(outcome)) => *outcome,
            Err(_) => Outcome::Broken(broken(format!(
                "no answer within {} ms",
                request.timeout_ms
            ))),
        }
    }

    /// Sends it once, and gives the answer to an ear while it comes, if that
    /// takes its head; any other answer is read whole, as by [`Http::send`].
    /// `timeout_ms` bounds the time to the head, and then each silence; the
    /// whole takes at most an hour.
    ///
    /// Cancel safety: as [`Http::send`].
    pub async fn listen(&self, request: &Request, ear: &mut (dyn Ear + Send)) -> Event {
        let heard = tokio::time::timeout(STREAM_MAX, self.hear(request, ear)).await;
        heard.unwrap_or_else(|_| Event::StreamEnded(Some(broken("the stream does not end"))))
    }

    async fn hear(&self, request: &Request, ear: &mut (dyn Ear + Send)) -> Event {
        let limit = Duration::from_millis(request.timeout_ms);
        let opened = tokio::time::timeout(limit, self.open(request)).await;
        let Open { response, trusted } = match opened {
            Ok(Ok(open)) => open,
            Ok(Err(outcome)) => return (*outcome).into(),
            Err(_) => return Event::Broken(silent(limit)),
        };
        if ear.head(response.status().as_u16(), &headers_of(&response)) {
            let ended = pieces(response, request, ear).await;
            return Event::StreamEnded(ended.err());
        }
        match tokio::time::timeout(limit, read(response, request.max_bytes)).await {
            Ok(Ok(received)) => Event::Answered(Received {
                trusted,
                ..received
            }),
            Ok(Err(fault)) => Event::Broken(fault),
            Err(_) => Event::Broken(silent(limit)),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Received, Box<Outcome>> {
        let Open { response, trusted } = self.open(request).await?;
        let received = read(response, request.max_bytes)
            .await
            .map_err(|fault| Box::new(Outcome::Broken(fault)))?;
        Ok(Received {
            trusted,
            ..received
        })
    }

    /// Sends it and gives the answer's head.
    pub(crate) async fn open(&self, request: &Request) -> Result<Open, Box<Outcome>> {
        // The first address was checked with its author when it was rendered.
        request
            .policy
            .check(&request.url, Author::Answer)
            .map_err(|fault| Box::new(Outcome::NotSent(fault)))?;
        let mut response = self.once(request).await?;
        let mut at = Cow::Borrowed(request);
        for followed in 0.. {
            let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
            let location = location.map(String::from_utf8_lossy);
            let status = response.status().as_u16();
            let Some(next) = redirect::next(&at, status, location.as_deref(), followed)? else {
                break;
            };
            response = self.once(&next).await?;
            at = Cow::Owned(next);
        }
        Ok(Open {
            response,
            trusted: at.trusted,
        })
    }

    async fn once(&self, request: &Request) -> Result<reqwest::Response, Box<Outcome>> {
        let not_sent = |fault| Box::new(Outcome::NotSent(fault));
        if request.lacks_token(i64::MIN) {
            let fault = Fault::new(Kind::BadSecret, "no access token was had for the request");
            return Err(not_sent(fault));
        }
        let at_ms = self
            .clock
            .as_ref()
            .map_or(request.drawn.unix_ms, |clock| clock());
        let request = &*request.signed(at_ms).map_err(not_sent)?;
        let headers = header_map(request).map_err(not_sent)?;
        let clients = if request.policy.allows_private() {
            &self.open
        } else {
            &self.public
        };
        let client = if request.submit && !request.kept {
            &clients.submit
        } else {
            &clients.other
        };
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|_| {
            Box::new(Outcome::NotSent(Fault::new(
                Kind::BadValue,
                format!("`{}` is not a method", request.method),
            )))
        })?;
        let mut builder = client.request(method, request.url.clone()).headers(headers);
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let response = builder.send().await.map_err(|error| {
            let outcome = outcome_of(&error);
            if let (Some(tap), Outcome::Broken(_)) = (&self.tap, &outcome) {
                tap.broke(request);
            }
            Box::new(outcome)
        })?;
        let size: usize = response
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if size > HEADERS_MAX {
            let fault = Fault::new(
                Kind::AnswerTooLarge,
                format!("the answer's headers are {size} bytes, more than {HEADERS_MAX}"),
            );
            return Err(Box::new(Outcome::Broken(fault)));
        }
        Ok(match &self.tap {
            Some(tap) => tap.listen(request, response),
            None => response,
        })
    }
}

impl Clients {
    /// Clients of one policy share no connection with those of the other: what
    /// was dialled under the looser one never serves the stricter one.
    fn new(allow_private: bool, names: &Arc<dyn Names>) -> Result<Self, Fault> {
        let guard = || Guard {
            allow_private,
            names: Arc::clone(names),
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|_| {
                Fault::new(
                    Kind::NotSent,
                    "no HTTP client can be made: are there certificates to trust?",
                )
            })
        };
        let other = builder(guard())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX);
        Ok(Self {
            submit: build(builder(guard()).pool_max_idle_per_host(0))?,
            other: build(other)?,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place; the guard is its resolver"
)]
fn builder(guard: Guard) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("modelrow/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT)
        .http2_max_header_list_size(64 * 1024)
        .http2_adaptive_window(true)
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(guard))
}

fn header_map(request: &Request) -> Result<HeaderMap, Fault> {
    let mut map = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let bad = || {
            Fault::new(
                Kind::BadValue,
                format!("the header `{name}` cannot be written"),
            )
        };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?;
        value.set_sensitive(true);
        map.append(parsed, value);
    }
    Ok(map)
}

/// Reads a body to its end, within its bounds.
pub(crate) async fn read(
    mut response: reqwest::Response,
    max_bytes: u64,
) -> Result<Received, Fault> {
    let status = response.status().as_u16();
    let headers = headers_of(&response);
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| broken(format!("the answer was cut: {}", cause(&error))))?
    {
        if body.len() as u64 + chunk.len() as u64 > max_bytes {
            let fault = Fault::new(
                Kind::AnswerTooLarge,
                format!("the answer is more than {max_bytes} bytes"),
            );
            return Err(fault.with_provider(status, None, None));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Received {
        status,
        headers,
        body: Bytes::from(body),
        trusted: true,
    })
}

/// Gives a body to an ear until that has enough, within its bounds.
async fn pieces(
    mut response: reqwest::Response,
    request: &Request,
    ear: &mut (dyn Ear + Send),
) -> Result<(), Fault> {
    let limit = Duration::from_millis(request.timeout_ms);
    let mut left = request.max_bytes;
    loop {
        let next = tokio::time::timeout(limit, response.chunk()).await;
        let next = next.map_err(|_| silent(limit))?;
        let Some(piece) = next.map_err(|error| broken(cause(&error)))? else {
            return Ok(());
        };
        let Some(rest) = left.checked_sub(piece.len() as u64) else {
            let most = request.max_bytes;
            let message = format!("it is more than {most} bytes");
            return Err(Fault::new(Kind::AnswerTooLarge, message));
        };
        left = rest;
        if ear.piece(&piece).is_break() {
            return Ok(());
        }
    }
}

fn silent(limit: Duration) -> Fault {
    broken(format!("nothing came within {} ms", limit.as_millis()))
}

pub(crate) fn headers_of(response: &reqwest::Response) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

/// An exchange that failed: certainly not sent when no connection stood, else
/// nobody knows.
fn outcome_of(error: &reqwest::Error) -> Outcome {
    if let Some(Refused(host)) = find(error) {
        let message = format!("`{host}` has no public address");
        return Outcome::NotSent(Fault::new(Kind::EgressRefused, message));
    }
    if error.is_builder() {
        return Outcome::NotSent(Fault::new(Kind::BadValue, "the request cannot be written"));
    }
    if error.is_connect() {
        return Outcome::NotSent(Fault::new(
            Kind::NotSent,
            format!("no connection: {}", cause(error)),
        ));
    }
    Outcome::Broken(broken(format!("the connection broke: {}", cause(error))))
}

fn broken(message: impl Into<String>) -> Fault {
    Fault::new(Kind::Class(Class::Transient), message)
}

/// The innermost cause: the outer ones repeat the address, which may hold a secret.
fn cause(error: &reqwest::Error) -> String {
    let mut last = error.source();
    while let Some(source) = last.and_then(StdError::source) {
        last = Some(source);
    }
    match last {
        Some(source) => crate::fault::bounded(&source.to_string()),
        None => "no cause is known".to_owned(),
    }
}

fn find(error: &reqwest::Error) -> Option<&Refused> {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(refused) = source.downcast_ref() {
            return Some(refused);
        }
        next = source.source();
    }
    None
}

/// Finds the addresses of a name.
pub(crate) trait Names: Debug + Send + Sync {
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The resolver of the system.
#[derive(Debug)]
struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }.boxed()
    }
}

/// Resolves names, and leaves out the addresses that may not be dialled: what is
/// checked here is what is dialled.
#[derive(Debug)]
struct Guard {
    allow_private: bool,
    names: Arc<dyn Names>,
}

/// A name all of whose addresses are private.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` has no public address")]
struct Refused(String);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        let host = name.as_str().to_owned();
        let found = self.names.look_up(host.clone());
        async move {
            let found = found.await?;
            let any = !found.is_empty();
            let kept: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| allow_private || is_public(address.ip()))
                .collect();
            if any && kept.is_empty() {
                return Err(Box::new(Refused(host)) as Box<dyn StdError + Send + Sync>);
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        }
        .boxed()
    }
}

#[cfg(test)]
pub(crate) mod tests;
