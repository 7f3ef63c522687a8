//! Signatures over the final bytes of a request, made at the moment of sending.
//!
//! The three schemes are one procedure: a canonical text of the request, hashed,
//! signed with a key that is derived from date, region and service.
//! Sources: AWS, "Create a signed API request" (2023); the signing chapters of
//! the two other schemes' API references.

use crate::fault::{Fault, Kind};
use crate::request::Request;
use diag::{ExposeSecret, Secret};
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use profile::revision::{Scheme, Signing};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use time::OffsetDateTime;

/// RFC 3986: letters, digits and `-._~` stand for themselves.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const ESCAPED_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// Headers that are made or changed on the way, so that a signature over them would not hold.
const UNSIGNED: &[&str] = &[
    "authorization",
    "accept-encoding",
    "user-agent",
    "content-length",
    "connection",
];

/// Signs requests with one credential. `Debug` shows no secret.
#[derive(Clone)]
pub struct Signer {
    how: Signing,
    access_key: String,
    secret_key: Secret,
    session_token: Option<Secret>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("how", &self.how)
            .finish_non_exhaustive()
    }
}

/// What one signature needs beside the request.
struct Moment {
    /// As the scheme writes the time: `20150830T123600Z`, or Unix seconds.
    stamp: String,
    /// The day of the scope: `20150830` or `2015-08-30`.
    day: String,
}

impl Signer {
    /// Of the parts `access_key`, `secret_key` and, if there is one, `session_token`.
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `BadSecret` when a part is missing.
    pub(crate) fn new(how: &Signing, parts: &[(String, Secret)]) -> Result<Self, Fault> {
        let part = |name: &str| {
            parts
                .iter()
                .find(|(have, _)| have == name)
                .map(|(_, part)| part.clone())
        };
        let needed = |name: &str| {
            part(name).ok_or_else(|| {
                Fault::new(Kind::BadSecret, format!("the secret has no part `{name}`"))
            })
        };
        Ok(Self {
            how: how.clone(),
            access_key: needed("access_key")?.expose_secret().to_owned(),
            secret_key: needed("secret_key")?,
            session_token: part("session_token"),
        })
    }

    /// What a plan shows in place of a signature.
    #[must_use]
    pub(crate) fn masked(&self) -> String {
        format!("{} {}", algorithm(self.how.scheme), diag::mask())
    }

    /// The headers that sign the request as it stands. `at_ms`: now, in
    /// milliseconds since 1970; providers refuse one that is minutes off.
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `BadValue` when the clock cannot be written as a date.
    pub(crate) fn headers(
        &self,
        request: &Request,
        at_ms: i64,
    ) -> Result<Vec<(String, String)>, Fault> {
        let moment = self.moment(at_ms)?;
        let payload = hex::encode(Sha256::digest(request.body.as_deref().unwrap_or_default()));
        let mut added = self.added(&moment, &payload);
        let canonical = self.canonical(request, &added, &payload);
        let signed = signed_names(&canonical.headers);
        let signature = self.signature(&canonical.text(), &moment);
        let Self {
            how, access_key, ..
        } = self;
        added.push((
            "Authorization".to_owned(),
            format!(
                "{} Credential={access_key}/{}, SignedHeaders={signed}, Signature={signature}",
                algorithm(how.scheme),
                self.scope(&moment.day),
            ),
        ));
        Ok(added)
    }

    fn moment(&self, at_ms: i64) -> Result<Moment, Fault> {
        let seconds = at_ms.div_euclid(1_000);
        let at = OffsetDateTime::from_unix_timestamp(seconds)
            .map_err(|_| Fault::new(Kind::BadValue, "the clock is out of bounds"))?;
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        Ok(match self.how.scheme {
            Scheme::Tc3HmacSha256 => Moment {
                stamp: seconds.to_string(),
                day: format!("{year:04}-{month:02}-{day:02}"),
            },
            Scheme::AwsSigV4 | Scheme::VolcHmacSha256 => {
                let date = format!("{year:04}{month:02}{day:02}");
                let (hour, minute, second) = at.to_hms();
                Moment {
                    stamp: format!("{date}T{hour:02}{minute:02}{second:02}Z"),
                    day: date,
                }
            }
        })
    }

    /// Headers of the scheme, without the signature itself.
    fn added(&self, moment: &Moment, payload: &str) -> Vec<(String, String)> {
        let (stamp, token) = match self.how.scheme {
            Scheme::AwsSigV4 => ("X-Amz-Date", "X-Amz-Security-Token"),
            Scheme::VolcHmacSha256 => ("X-Date", "X-Security-Token"),
            Scheme::Tc3HmacSha256 => ("X-TC-Timestamp", "X-TC-Token"),
        };
        let mut added = vec![(stamp.to_owned(), moment.stamp.clone())];
        match self.how.scheme {
            Scheme::AwsSigV4 if self.how.service == "s3" => {
                added.push(("X-Amz-Content-Sha256".to_owned(), payload.to_owned()));
            }
            Scheme::VolcHmacSha256 => {
                added.push(("X-Content-Sha256".to_owned(), payload.to_owned()))
            }
            Scheme::AwsSigV4 | Scheme::Tc3HmacSha256 => {}
        }
        let session = self.session_token.as_ref();
        added.extend(session.map(|session| (token.to_owned(), session.expose_secret().to_owned())));
        added
    }

    fn canonical<'r>(
        &self,
        request: &'r Request,
        added: &[(String, String)],
        payload: &str,
    ) -> Canonical<'r> {
        let scheme = self.how.scheme;
        let own = request.headers.iter();
        let replaced = |name: &str| {
            added
                .iter()
                .any(|(have, _)| have.eq_ignore_ascii_case(name))
        };
        let own = own.filter(|(name, _)| !replaced(name)).chain(added);
        let mut headers: Vec<(String, String)> = own
            .map(|(name, value)| (name.to_ascii_lowercase(), squeezed(value)))
            .filter(|(name, _)| is_signed(scheme, name))
            .chain([("host".to_owned(), host(request))])
            .collect();
        headers.sort();
        if scheme == Scheme::Tc3HmacSha256 {
            headers
                .iter_mut()
                .for_each(|(_, value)| *value = value.to_lowercase());
        }
        Canonical {
            method: &request.method,
            path: match (scheme, self.how.service.as_str()) {
                (Scheme::Tc3HmacSha256, _) => "/".to_owned(),
                (Scheme::AwsSigV4, "s3") | (Scheme::VolcHmacSha256, _) => {
                    encoded_once(request.url.path())
                }
                (Scheme::AwsSigV4, _) => {
                    utf8_percent_encode(request.url.path(), ESCAPED_PATH).to_string()
                }
            },
            query: canonical_query(request.url.query().unwrap_or_default()),
            headers,
            payload: payload.to_owned(),
        }
    }

    /// `20150830/us-east-1/iam/aws4_request`
    fn scope(&self, day: &str) -> String {
        let region = self
            .how
            .region
            .iter()
            .filter(|_| self.how.scheme != Scheme::Tc3HmacSha256);
        let parts = [day].into_iter().chain(region.map(String::as_str));
        let parts: Vec<&str> = parts
            .chain([self.how.service.as_str(), terminator(self.how.scheme)])
            .collect();
        parts.join("/")
    }

    fn signature(&self, canonical: &str, moment: &Moment) -> String {
        let scope = self.scope(&moment.day);
        let hash = hex::encode(Sha256::digest(canonical));
        let text = format!(
            "{}\n{}\n{scope}\n{hash}",
            algorithm(self.how.scheme),
            moment.stamp
        );
        let prefix = match self.how.scheme {
            Scheme::AwsSigV4 => "AWS4",
            Scheme::Tc3HmacSha256 => "TC3",
            Scheme::VolcHmacSha256 => "",
        };
        let start = format!("{prefix}{}", self.secret_key.expose_secret()).into_bytes();
        let key = scope
            .split('/')
            .fold(start, |key, part| hmac(&key, part.as_bytes()));
        hex::encode(hmac(&key, text.as_bytes()))
    }
}

fn algorithm(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::AwsSigV4 => "AWS4-HMAC-SHA256",
        Scheme::VolcHmacSha256 => "HMAC-SHA256",
        Scheme::Tc3HmacSha256 => "TC3-HMAC-SHA256",
    }
}

fn terminator(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::AwsSigV4 => "aws4_request",
        Scheme::VolcHmacSha256 => "request",
        Scheme::Tc3HmacSha256 => "tc3_request",
    }
}

fn is_signed(scheme: Scheme, name: &str) -> bool {
    match scheme {
        Scheme::AwsSigV4 => !UNSIGNED.contains(&name),
        Scheme::VolcHmacSha256 => matches!(
            name,
            "content-type" | "x-date" | "x-content-sha256" | "x-security-token"
        ),
        Scheme::Tc3HmacSha256 => matches!(name, "content-type" | "x-tc-action"),
    }
}

/// The request as both sides write it.
struct Canonical<'r> {
    method: &'r str,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    payload: String,
}

impl Canonical<'_> {
    fn text(&self) -> String {
        let mut headers = String::new();
        for name in names(&self.headers) {
            let values = self.headers.iter().filter(|(have, _)| have == name);
            let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
            let _ = writeln!(headers, "{name}:{}", values.join(","));
        }
        let Self {
            method,
            path,
            query,
            payload,
            ..
        } = self;
        format!(
            "{method}\n{path}\n{query}\n{headers}\n{}\n{payload}",
            signed_names(&self.headers)
        )
    }
}

/// Each once; the headers are sorted.
fn names(headers: &[(String, String)]) -> Vec<&str> {
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    names
}

fn signed_names(headers: &[(String, String)]) -> String {
    names(headers).join(";")
}

/// As the HTTP library writes it: the port only where it is not the scheme's own.
fn host(request: &Request) -> String {
    let host = request.url.host_str().unwrap_or_default();
    match request.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Runs of blanks are one.
fn squeezed(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn encoded_once(path: &str) -> String {
    let decoded = percent_decode_str(path).collect::<Vec<u8>>();
    percent_encoding::percent_encode(&decoded, ESCAPED_PATH).to_string()
}

fn canonical_query(query: &str) -> String {
    let encoded = |text: &str| {
        let decoded = percent_decode_str(text).collect::<Vec<u8>>();
        percent_encoding::percent_encode(&decoded, ESCAPED).to_string()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length: the error cannot occur.
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text));
    mac.map(|mac| mac.finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
