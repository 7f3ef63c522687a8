//! Access tokens: made here, or asked for. Everything but the asking, which
//! goes through the hands like any other exchange.

use super::{Keys, bad};
use crate::answer::unread;
use crate::egress::{Author, Policy};
use crate::fault::{Fault, Kind};
use crate::render::parse;
use crate::request::{Drawn, Proof, Received, Request};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use diag::Secret;
use hmac::{Hmac, Mac};
use profile::lang::{Root, Scope};
use profile::revision::{Auth, AuthKind, Class, Jwt, TokenEndpoint};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use url::Url;
use uuid::Uuid;

/// The whole of a token's exchange, in milliseconds.
const TIMEOUT_MS: u64 = 20_000;
/// Largest answer of a token endpoint, in bytes.
const ANSWER_MAX: u64 = 256 * 1024;
/// A token that names no end is kept so long, in seconds.
const LIFE_S: u64 = 300;
/// A token is not used in the last part of its life, in milliseconds.
const EARLY_MS: i64 = 60_000;
/// Longest life that is believed, in seconds: 30 days.
const LIFE_MAX_S: u64 = 30 * 86_400;
/// The life of an assertion, in seconds (RFC 7523 leaves it to the server; an hour is the most that is taken).
const ASSERTION_S: i64 = 3_600;
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Where a machine of a cloud asks who it is. A constant of the kind, never a row's.
const METADATA: &str =
    "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token";

/// An access token, and until when it serves.
#[derive(Debug, Clone)]
pub struct Token {
    /// `accessToken`.
    pub secret: Secret,
    /// Milliseconds since 1970.
    pub expires_at_ms: i64,
    /// Until when it is used, milliseconds since 1970: shortly before it ends.
    pub fresh_until_ms: i64,
}

impl Token {
    /// A minute before its end another is had, or the last fifth of a short life:
    /// a server that hands out what is left of an old token is not asked in a
    /// circle. Every token serves a second, at least.
    fn new(secret: Secret, now_ms: i64, life_ms: i64) -> Self {
        let early_ms = (life_ms / 5).min(EARLY_MS);
        Self {
            secret,
            expires_at_ms: now_ms.saturating_add(life_ms),
            fresh_until_ms: now_ms.saturating_add((life_ms - early_ms).max(1_000)),
        }
    }
}

/// How a token is had.
#[derive(Debug)]
pub enum Source {
    /// It was made here.
    Made(Token),
    /// Send this once, and read the answer with [`read`].
    Ask(Box<Request>),
}

/// Where tokens are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Where this provider's credentials may go.
    pub policy: &'a Arc<Policy>,
    /// What the operator has in place of the metadata server of a cloud.
    pub metadata: Option<&'a Url>,
}

/// Makes a token, or the request for one. `keys`: of the auth profile, see
/// [`super::keys`]. `None`: the kind gives no token.
///
/// # Errors
///
/// [`Fault`]: a secret that does not fit, or an address where credentials may not go.
pub fn source(
    auth: &Auth,
    keys: &Keys,
    places: Places<'_>,
    drawn: Drawn,
) -> Result<Option<Source>, Fault> {
    let ask = |endpoint: &TokenEndpoint, grant: Grant| {
        let request = ask(endpoint, auth, places.policy, drawn, grant)?;
        Ok(Some(Source::Ask(Box::new(request))))
    };
    match &auth.kind {
        AuthKind::ApiKey | AuthKind::Signature(_) => Ok(None),
        AuthKind::JwtHs256(jwt) => {
            signed(jwt, auth, keys, drawn).map(|token| Some(Source::Made(token)))
        }
        AuthKind::ClientCredentials(endpoint) => ask(endpoint, client(endpoint, keys)?),
        AuthKind::ServiceAccount(endpoint) => {
            ask(endpoint, assertion(endpoint, auth, keys, drawn)?)
        }
        AuthKind::ApplicationDefault(endpoint) => match keys.part("type") {
            Some("authorized_user") => ask(endpoint, refresh(keys)?),
            Some("service_account") => ask(endpoint, assertion(endpoint, auth, keys, drawn)?),
            Some(other) => Err(bad(&format!(
                "the application's default credentials are of the type `{other}`, which is not known here"
            ))),
            None => {
                let request = metadata(endpoint, places.metadata, drawn)?;
                Ok(Some(Source::Ask(Box::new(request))))
            }
        },
    }
}

/// Reads the answer of a token endpoint.
///
/// # Errors
///
/// [`Fault`] of class `authentication` when the credential is refused, else
/// `transient`. It shows no more of the answer than the error's own code.
pub fn read(received: &Received, now_ms: i64) -> Result<Token, Fault> {
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let status = received.status;
    if !(200..300).contains(&status) {
        return Err(refused(status, &body));
    }
    let token = body
        .get("access_token")
        .and_then(Value::as_str)
        .filter(|token| is_token(token));
    let Some(token) = token else {
        let fault = Fault::new(
            Kind::TokenRefused(Class::Transient),
            "the token endpoint's answer has no `access_token`",
        );
        return Err(fault.with_provider(status, None, None));
    };
    let life = body.get("expires_in");
    let life = life.and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()));
    let life = millis(life.unwrap_or(LIFE_S).min(LIFE_MAX_S));
    Ok(Token::new(Secret::from(token.to_owned()), now_ms, life))
}

/// RFC 6750: what may stand behind `Bearer`.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 16 * 1024 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// RFC 6749, section 5.2: a 400 or 401 with a code. Only `error` is repeated: a
/// description may quote what was sent.
fn refused(status: u16, body: &Value) -> Fault {
    let code = body.get("error").and_then(Value::as_str).map(str::to_owned);
    let class = match (status, code.as_deref()) {
        (408 | 425 | 429 | 500.., _)
        | (_, Some("temporarily_unavailable" | "server_error" | "slow_down")) => Class::Transient,
        _ => Class::Authentication,
    };
    let named = code.as_deref().map_or_else(String::new, |code| {
        format!(": `{}`", crate::fault::bounded(code))
    });
    Fault::new(
        Kind::TokenRefused(class),
        format!("the token endpoint answered HTTP status {status}{named}"),
    )
    .with_provider(status, code, None)
}

fn signed(jwt: &Jwt, auth: &Auth, keys: &Keys, drawn: Drawn) -> Result<Token, Fault> {
    let unit = i64::try_from(jwt.unit_ms).unwrap_or(1_000).max(1);
    let expires_at_ms = drawn.unix_ms.saturating_add(millis(jwt.lifetime_s));
    let mut scope = Scope::new(drawn.draws());
    scope.lend(Root::Config, &auth.config);
    scope.secrets(&keys.secrets);
    scope.set(
        Root::Jwt,
        json!({
            "now": drawn.unix_ms.div_euclid(unit),
            "nbf": drawn.unix_ms.saturating_sub(millis(jwt.skew_s)).div_euclid(unit),
            "exp": expires_at_ms.div_euclid(unit),
        }),
    );
    let part = |tree: &profile::lang::Tree| {
        let value = tree.eval_value(&scope).map_err(|error| unread(&error))?;
        Ok::<_, Fault>(URL_SAFE_NO_PAD.encode(value.unwrap_or(Value::Null).to_string()))
    };
    let text = format!("{}.{}", part(&jwt.header)?, part(&jwt.claims)?);
    let key = jwt.key.eval_text(&scope).map_err(|error| unread(&error))?;
    let key = key
        .filter(|key| !key.is_empty())
        .ok_or_else(|| bad("the key of the token is empty"))?;
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| bad("the key of the token cannot be used"))?;
    let signature = mac.chain_update(&text).finalize().into_bytes();
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
    let life_ms = millis(jwt.lifetime_s);
    Ok(Token::new(Secret::from(token), drawn.unix_ms, life_ms))
}

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

/// What a token is asked for with.
struct Grant {
    form: Vec<(&'static str, String)>,
    /// `Authorization`, where the client does not stand in the form.
    basic: Option<String>,
}

impl From<Vec<(&'static str, String)>> for Grant {
    fn from(form: Vec<(&'static str, String)>) -> Self {
        Self { form, basic: None }
    }
}

fn client(endpoint: &TokenEndpoint, keys: &Keys) -> Result<Grant, Fault> {
    let (id, secret) = (keys.needed("client_id")?, keys.needed("client_secret")?);
    let mut form = vec![("grant_type", "client_credentials".to_owned())];
    if !endpoint.scopes.is_empty() {
        form.push(("scope", endpoint.scopes.join(" ")));
    }
    form.extend(
        endpoint
            .audience
            .iter()
            .map(|audience| ("audience", audience.clone())),
    );
    if endpoint.basic {
        // RFC 6749, section 2.3.1: both are form-encoded first.
        let encoded =
            |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
        let basic = Some(format!("Basic {pair}"));
        return Ok(Grant { form, basic });
    }
    form.push(("client_id", id.to_owned()));
    form.push(("client_secret", secret.to_owned()));
    Ok(form.into())
}

fn refresh(keys: &Keys) -> Result<Grant, Fault> {
    let form = vec![
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", keys.needed("client_id")?.to_owned()),
        ("client_secret", keys.needed("client_secret")?.to_owned()),
        ("refresh_token", keys.needed("refresh_token")?.to_owned()),
    ];
    Ok(form.into())
}

/// RFC 7523: the claims, signed with the key file's RSA key.
fn assertion(
    endpoint: &TokenEndpoint,
    auth: &Auth,
    keys: &Keys,
    drawn: Drawn,
) -> Result<Grant, Fault> {
    let now = drawn.unix_ms.div_euclid(1_000);
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let (Some(id), Some(members)) = (keys.part("private_key_id"), header.as_object_mut()) {
        members.insert("kid".to_owned(), json!(id));
    }
    let claims = json!({
        "iss": keys.needed("client_email")?,
        "scope": endpoint.scopes.join(" "),
        "aud": address(endpoint, auth, drawn)?.as_str(),
        "iat": now,
        "exp": now + ASSERTION_S,
    });
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = rs256(keys.needed("private_key")?, text.as_bytes())?;
    let assertion = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
    let form = vec![
        ("grant_type", JWT_BEARER.to_owned()),
        ("assertion", assertion),
    ];
    Ok(form.into())
}

fn rs256(pem: &str, text: &[u8]) -> Result<Vec<u8>, Fault> {
    let unusable =
        || bad("the key file's `private_key` is no RSA key of at least 2048 bits in PEM");
    let pair = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(unusable()),
    };
    let pair = pair.map_err(|_| unusable())?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &ring::rand::SystemRandom::new(),
        text,
        &mut signature,
    )
    .map_err(|_| unusable())?;
    Ok(signature)
}

fn address(endpoint: &TokenEndpoint, auth: &Auth, drawn: Drawn) -> Result<Url, Fault> {
    let mut scope = Scope::new(drawn.draws());
    scope.lend(Root::Config, &auth.config);
    let address = endpoint
        .url
        .eval_text(&scope)
        .map_err(|error| unread(&error))?;
    parse(&address.unwrap_or_default())
}

fn ask(
    endpoint: &TokenEndpoint,
    auth: &Auth,
    policy: &Arc<Policy>,
    drawn: Drawn,
    grant: Grant,
) -> Result<Request, Fault> {
    let url = address(endpoint, auth, drawn)?;
    policy.check(&url, Author::Row)?;
    if !policy.may_have_credentials(&url) {
        let host = url.host_str().unwrap_or_default();
        return Err(Fault::new(
            Kind::EgressRefused,
            format!("the token endpoint `{host}` may not have credentials"),
        ));
    }
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(grant.form)
        .finish();
    let mut headers = vec![
        (
            "Content-Type".to_owned(),
            "application/x-www-form-urlencoded".to_owned(),
        ),
        ("Accept".to_owned(), "application/json".to_owned()),
    ];
    headers.extend(grant.basic.map(|basic| ("Authorization".to_owned(), basic)));
    Ok(Request {
        method: "POST".to_owned(),
        headers,
        body: Some(body.into()),
        policy: Arc::clone(policy),
        ..blank(url, drawn)
    })
}

/// The metadata server: the one private address that is dialled without an
/// operator's word. It is fixed here or by the operator, gets no secret, and its
/// answer follows nowhere.
fn metadata(endpoint: &TokenEndpoint, other: Option<&Url>, drawn: Drawn) -> Result<Request, Fault> {
    let mut request = match other {
        Some(url) => blank(url.clone(), drawn),
        None => blank(parse(METADATA)?, drawn),
    };
    if !endpoint.scopes.is_empty() {
        request
            .url
            .query_pairs_mut()
            .append_pair("scopes", &endpoint.scopes.join(","));
    }
    request.headers = vec![("Metadata-Flavor".to_owned(), "Google".to_owned())];
    Ok(request)
}

/// A token is asked for like a submit: sent once, never redirected.
fn blank(url: Url, drawn: Drawn) -> Request {
    let allow = crate::egress::Allow {
        http: true,
        private: true,
    };
    Request {
        step: "token".to_owned(),
        method: "GET".to_owned(),
        policy: Arc::new(Policy::new(
            &profile::revision::Egress::default(),
            std::slice::from_ref(&url),
            allow,
        )),
        url,
        headers: Vec::new(),
        body: None,
        timeout_ms: TIMEOUT_MS,
        max_bytes: ANSWER_MAX,
        submit: true,
        kept: false,
        trusted: true,
        proof: Proof::default(),
        drawn: Drawn {
            unix_ms: drawn.unix_ms,
            seed: Uuid::nil(),
        },
    }
}

#[cfg(test)]
mod tests;
