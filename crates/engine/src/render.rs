//! From an exchange and the variables to a request: address, query, headers, body.

use crate::answer::unread;
use crate::auth::Keyring;
use crate::egress::{Author, Policy};
use crate::fault::{Fault, Kind};
use crate::media::Media;
use crate::request::{Drawn, Proof, Request};
use profile::lang::{EvalError, Rendered, Root, Scope, Text, Tree, encode};
use profile::revision::{
    Address, BodyKind, BodyTemplate, Exchange, Fetch, Idempotency, TokenPlace,
};
use serde_json::Value;
use std::sync::Arc;
use url::Url;
use uuid::Uuid;

mod body;

/// Bytes of an address; the HTTP library takes no longer one.
const ADDRESS_MAX: usize = 65_534;
/// Bytes of all headers of a request, names included.
const HEADERS_MAX: usize = 256 * 1024;

/// What rendering needs beside the exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renderer<'a> {
    /// The variables.
    pub(crate) scope: &'a Scope<'a>,
    /// Media of the call.
    pub(crate) media: &'a Media,
    /// The base URL that addresses are appended to.
    pub(crate) base: &'a Url,
    /// Where requests may go.
    pub(crate) policy: &'a Arc<Policy>,
    /// What proves who we are.
    pub(crate) keys: &'a Keyring,
    /// What is drawn.
    pub(crate) drawn: Drawn,
}

/// The token and its place in a submit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) place: &'a Idempotency,
    pub(crate) token: Uuid,
}

impl Renderer<'_> {
    /// Renders one exchange; a token makes it the submit.
    pub(crate) fn request(
        &self,
        exchange: &Exchange,
        token: Option<Token<'_>>,
    ) -> Result<Request, Fault> {
        let auth = exchange.auth.as_deref();
        let made = match auth.map(|auth| self.scope_of(auth)).transpose() {
            Ok(None) => self.request_inner(exchange, token),
            Ok(Some(scope)) => Renderer {
                scope: &scope,
                ..*self
            }
            .request_inner(exchange, token),
            Err(fault) => Err(fault),
        };
        made.map_err(|fault| in_step(&exchange.name, fault))
    }

    /// The variables with the secrets of another auth profile.
    fn scope_of(&self, auth: &str) -> Result<Scope<'_>, Fault> {
        let keys = self.keys.of(Some(auth)).ok_or_else(|| {
            Fault::new(
                Kind::BadSecret,
                format!("there are no keys of the auth profile `{auth}`"),
            )
        })?;
        let mut scope = self.scope.clone();
        scope.secrets(&keys.secrets);
        Ok(scope)
    }

    /// What proves a request that may be proved.
    fn proof(&self, auth: Option<&str>, trusted: bool) -> Proof {
        let keys = self.keys.of(auth).filter(|_| trusted);
        keys.map_or_else(Proof::default, |keys| Proof {
            signer: keys.signer.clone(),
            token: keys.secrets.access_token.clone(),
            auth: auth.map(str::to_owned),
            fresh_until_ms: keys.fresh_until_ms(),
        })
    }

    fn request_inner(
        &self,
        exchange: &Exchange,
        token: Option<Token<'_>>,
    ) -> Result<Request, Fault> {
        let (mut url, author) = self.address(&exchange.address)?;
        bounded("the address", url.as_str().len(), ADDRESS_MAX)?;
        self.policy.check(&url, author)?;
        let trusted = self.policy.may_have_credentials(&url);
        let (query, headers) = if trusted {
            (&exchange.query, &exchange.headers)
        } else {
            let body = exchange.body.as_ref();
            no_secret_leaves(&exchange.own_headers, &exchange.own_query, body)?;
            (&exchange.own_query, &exchange.own_headers)
        };
        self.add_query(&mut url, query)?;
        let mut headers = self.headers(headers)?;
        let body = self.body(exchange.body.as_ref(), token)?;
        set_content_type(&mut headers, body.as_ref());
        if let Some(Token {
            place:
                Idempotency {
                    place: TokenPlace::Header(name),
                    ..
                },
            token,
        }) = token
        {
            set_header(&mut headers, name, token.to_string());
        }
        Ok(Request {
            step: exchange.name.clone(),
            method: exchange.method.clone(),
            url,
            headers,
            body: body.map(|body| body.bytes),
            timeout_ms: exchange.timeout_ms,
            max_bytes: exchange.max_bytes,
            submit: false,
            kept: false,
            trusted,
            policy: Arc::clone(self.policy),
            proof: self.proof(exchange.auth.as_deref(), trusted),
            drawn: self.drawn,
        })
    }

    /// A request for a file at an address that an answer gave. What is inherited
    /// goes along where credentials may go; what the address itself says stays.
    pub(crate) fn fetch(&self, step: &str, address: &str, fetch: &Fetch) -> Result<Request, Fault> {
        match fetch
            .auth
            .as_deref()
            .map(|auth| self.scope_of(auth))
            .transpose()?
        {
            None => self.fetch_inner(step, address, fetch),
            Some(scope) => Renderer {
                scope: &scope,
                ..*self
            }
            .fetch_inner(step, address, fetch),
        }
    }

    fn fetch_inner(&self, step: &str, address: &str, fetch: &Fetch) -> Result<Request, Fault> {
        let base = match &fetch.base_url {
            Some(text) => parse(&self.text(text)?.unwrap_or_default())?,
            None => self.base.clone(),
        };
        let mut url = resolve(&base, address)?;
        self.policy.check(&url, Author::Answer)?;
        let trusted = self.policy.may_have_credentials(&url);
        let (query, headers) = if trusted {
            (&fetch.query, &fetch.headers)
        } else {
            no_secret_leaves(&fetch.own_headers, &fetch.own_query, fetch.body.as_ref())?;
            (&fetch.own_query, &fetch.own_headers)
        };
        self.add_query(&mut url, query)?;
        let mut headers = self.headers(headers)?;
        let body = self.body(fetch.body.as_ref(), None)?;
        set_content_type(&mut headers, body.as_ref());
        Ok(Request {
            step: step.to_owned(),
            method: fetch.method.clone(),
            url,
            headers,
            body: body.map(|body| body.bytes),
            timeout_ms: fetch.timeout_ms,
            max_bytes: 16 * 1024 * 1024,
            submit: false,
            kept: false,
            trusted,
            policy: Arc::clone(self.policy),
            proof: self.proof(fetch.auth.as_deref(), trusted),
            drawn: self.drawn,
        })
    }

    fn address(&self, address: &Address) -> Result<(Url, Author), Fault> {
        match address {
            Address::Path { base_url, path } => {
                let base = match base_url {
                    Some(text) => parse(&self.text(text)?.unwrap_or_default())?,
                    None => self.base.clone(),
                };
                Ok((
                    joined(&base, &self.text(path)?.unwrap_or_default())?,
                    Author::Row,
                ))
            }
            Address::Url(text) => {
                let address = self
                    .text(text)?
                    .ok_or_else(|| Fault::new(Kind::MissingValue, "the address is absent"))?;
                Ok((resolve(self.base, &address)?, author_of(text)))
            }
        }
    }

    fn add_query(&self, url: &mut Url, query: &[(String, Tree)]) -> Result<(), Fault> {
        let mut members = Vec::new();
        let mut length = url.as_str().len();
        for (name, tree) in query {
            let Some(value) = tree
                .eval_value(self.scope)
                .map_err(|error| unread(&error))?
            else {
                continue;
            };
            let texts = encode::repeated(name, &value).map_err(|error| unread(&error))?;
            length += texts
                .iter()
                .map(|text| name.len() + text.len())
                .sum::<usize>();
            bounded("the address", length, ADDRESS_MAX)?;
            members.extend(texts.into_iter().map(|text| (name.clone(), text)));
        }
        if members.is_empty() {
            return Ok(());
        }
        *url = parse(&encode::add_query(url.as_str(), &members))?;
        bounded("the address", url.as_str().len(), ADDRESS_MAX)
    }

    fn headers(&self, texts: &[(String, Text)]) -> Result<Vec<(String, String)>, Fault> {
        let mut headers = Vec::with_capacity(texts.len() + 1);
        let mut length = 0;
        for (name, text) in texts {
            let Some(value) = self.text(text)? else {
                continue;
            };
            if value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(unread(&EvalError::Control { name: name.clone() }));
            }
            length += name.len() + value.len();
            bounded("the headers", length, HEADERS_MAX)?;
            headers.push((name.clone(), value));
        }
        Ok(headers)
    }

    fn body(
        &self,
        template: Option<&BodyTemplate>,
        token: Option<Token<'_>>,
    ) -> Result<Option<body::Body>, Fault> {
        let Some(template) = template else {
            return Ok(None);
        };
        let rendered = template
            .tree
            .eval(self.scope)
            .map_err(|error| unread(&error))?;
        let member = token.and_then(|token| match &token.place.place {
            TokenPlace::Body(name) => Some((name, token.token)),
            TokenPlace::Header(_) => None,
        });
        let mut rendered = match (rendered, &member) {
            (Some(rendered), _) => rendered,
            // The token is all that is left of it.
            (None, Some(_)) => Rendered::Object(Vec::new()),
            (None, None) => return Ok(None),
        };
        if let Some((name, token)) = member {
            body::put_token(&mut rendered, name, Value::String(token.to_string()))?;
        }
        let body = match template.kind {
            BodyKind::Json => body::json(rendered),
            BodyKind::Form => body::form(rendered),
            BodyKind::Multipart => body::multipart(rendered, self.media, &self.drawn.boundary()),
            BodyKind::Binary => body::binary(rendered, self.media),
        };
        body.map(Some)
    }

    fn text(&self, text: &Text) -> Result<Option<String>, Fault> {
        text.eval_text(self.scope).map_err(|error| unread(&error))
    }
}

fn no_secret_leaves(
    headers: &[(String, Text)],
    query: &[(String, Tree)],
    body: Option<&BodyTemplate>,
) -> Result<(), Fault> {
    let header = headers.iter().any(|(_, text)| text.is_secret());
    let query = query.iter().any(|(_, tree)| tree.is_secret());
    if header || query || body.is_some_and(|body| body.tree.is_secret()) {
        return Err(Fault::new(
            Kind::EgressRefused,
            "the step's secret would leave for a host that may not have it",
        ));
    }
    Ok(())
}

/// What was read from an answer, or given by the caller, is the answer's
/// address; all else a row wrote.
fn author_of(text: &Text) -> Author {
    let mut author = Author::Row;
    text.reads(&mut |read| {
        if matches!(
            read.name.root,
            Root::Steps | Root::JobId | Root::Item | Root::Inputs | Root::Params | Root::Context
        ) {
            author = Author::Answer;
        }
    });
    author
}

fn in_step(step: &str, mut fault: Fault) -> Fault {
    fault.message = format!("step `{step}`: {}", fault.message);
    fault
}

/// Refuses what is larger than anything that is sent.
fn bounded(what: &str, bytes: usize, most: usize) -> Result<(), Fault> {
    if bytes <= most {
        return Ok(());
    }
    Err(Fault::new(
        Kind::BadValue,
        format!("{what} would have {bytes} bytes; at most {most} are sent"),
    ))
}

/// An address; a relative one lies below the base URL.
fn resolve(base: &Url, address: &str) -> Result<Url, Fault> {
    let mut url = match Url::parse(address) {
        Err(url::ParseError::RelativeUrlWithoutBase) => directory(base)
            .join(address)
            .map_err(|_| no_address(address))?,
        other => other.map_err(|_| no_address(address))?,
    };
    url.set_fragment(None);
    Ok(url)
}

/// The base URL with a slash at its end: what is relative lies below it.
fn directory(base: &Url) -> Url {
    let mut base = base.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    base
}

/// Appends a path, which may have a query of its own, to a base address.
fn joined(base: &Url, path: &str) -> Result<Url, Fault> {
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query)));
    let mut address = base
        .as_str()
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .trim_end_matches('/')
        .to_owned();
    if !path.is_empty() && !path.starts_with('/') {
        address.push('/');
    }
    address.push_str(path);
    let queries: Vec<&str> = base.query().into_iter().chain(query).collect();
    if !queries.is_empty() {
        address.push('?');
        address.push_str(&queries.join("&"));
    }
    let url = parse(&address)?;
    if !same_origin(&url, base) {
        return Err(no_address(&address));
    }
    Ok(url)
}

/// Without the copies of both hosts that `Url::origin` makes: this is asked for each poll.
fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Reads a whole address.
///
/// # Errors
///
/// [`Fault`] of kind `BadValue` when it is none.
pub(crate) fn parse(address: &str) -> Result<Url, Fault> {
    Url::parse(address).map_err(|_| no_address(address))
}

fn no_address(address: &str) -> Fault {
    // An address may hold a signature: what follows its path is not shown.
    let shown = address.split(['?', '#']).next().unwrap_or_default();
    Fault::new(
        Kind::BadValue,
        format!("`{}` is not an address", crate::fault::bounded(shown)),
    )
}

/// `Content-Type` follows the kind of the body unless a header names another;
/// a multipart body cannot be read without its boundary, so its own always stands.
fn set_content_type(headers: &mut Vec<(String, String)>, body: Option<&body::Body>) {
    const NAME: &str = "Content-Type";
    let Some(body) = body else {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(NAME));
        return;
    };
    let named = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(NAME));
    if !named || body.is_multipart {
        set_header(headers, NAME, body.content_type.clone());
    }
}

fn set_header(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    headers.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
    headers.push((name.to_owned(), value));
}

fn pure(rendered: Rendered) -> Result<Value, Fault> {
    rendered.into_value().map_err(|error| unread(&error))
}

#[cfg(test)]
mod tests;
