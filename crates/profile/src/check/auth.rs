//! Sections 8 and 9: how requests prove who we are, and where they may go.

use super::context::Context;
use super::walk::{Fields, Sink, not_a_word};
use crate::lang::{Known, Place as Stand, Root, Text};
use crate::revision::{Auth, AuthKind, Egress, HostPattern, Split};
use diag::{Code, Place};
use serde_json::Value;
use url::Url;

mod kind;

pub(crate) use kind::{auth, auth_types};

/// Refuses a secret that stands in the row itself.
pub(crate) fn secret_ref(text: &str, at: &Place, sink: &Sink) {
    let name = text.strip_prefix("env:");
    let is_env = name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let is_file = text
        .strip_prefix("file:")
        .is_some_and(|path| !path.is_empty());
    if !is_env && !is_file {
        // The text itself is not repeated: it may be a secret.
        sink.error(
            Code::P701,
            at,
            "the secret is not a reference",
            "write `env:NAME` or `file:/path`",
        );
    }
}

/// The secrets that templates may read where this auth profile proves who we are.
pub(crate) fn known(known: &mut Known, auth: &Auth) {
    let key =
        matches!(auth.kind, AuthKind::ApiKey) && (auth.parts.is_empty() || auth.split.is_some());
    known.secrets(key, auth.kind.gives_token(), &auth.parts);
}

fn read_split(fields: Fields<'_>, sink: &Sink) -> Option<Split> {
    let by = fields.required_text("by");
    let into = fields.texts("into");
    if into.is_none() {
        fields.missing("into");
    }
    for (i, part) in into.iter().flatten().enumerate() {
        super::names::identifier(part, &fields.place("into").child(i), sink);
    }
    fields.finish();
    Some(Split {
        by: by?.to_owned(),
        into: into?.into_iter().map(str::to_owned).collect(),
    })
}

/// Reads `egress` of a provider. `operator`: its row is the system's.
pub(crate) fn egress(value: &Value, at: &Place, operator: bool, sink: &Sink) -> Egress {
    let Some(fields) = Fields::open(value, at, sink) else {
        return Egress::default();
    };
    let allowed = |name: &'static str| {
        let wanted = fields.flag(name).unwrap_or(false);
        if wanted && !operator {
            operators_word(name, &fields.place(name), sink);
        }
        wanted && operator
    };
    let egress = Egress {
        credential_hosts: patterns(&fields, "credential_hosts", sink).unwrap_or_default(),
        hosts: patterns(&fields, "hosts", sink),
        allow_http: allowed("allow_http"),
        allow_private: allowed("allow_private"),
    };
    fields.finish();
    egress
}

/// A tenant must not open the house's own network to itself.
fn operators_word(name: &str, at: &Place, sink: &Sink) {
    sink.error(
        Code::P116,
        at,
        format!("`{name}` is an operator's word, and this is a tenant's row"),
        "leave it out, or have the operator keep the provider among the system's rows",
    );
}

fn patterns(fields: &Fields<'_>, name: &'static str, sink: &Sink) -> Option<Vec<HostPattern>> {
    let texts = fields.texts(name)?;
    let at = fields.place(name);
    for (i, text) in texts.iter().enumerate() {
        let host = text.strip_prefix("*.").unwrap_or(text);
        let fine = !host.is_empty()
            && !host.starts_with('.')
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        if !fine {
            sink.error(
                Code::P704,
                &at.child(i),
                format!("`{text}` is not a host pattern"),
                "a host, or `*.` and a domain, without scheme, port or path",
            );
        }
    }
    Some(
        texts
            .into_iter()
            .map(|text| HostPattern(text.to_lowercase()))
            .collect(),
    )
}

/// Where the rows of one provider may go.
#[derive(Debug)]
pub(crate) struct Hosts<'a> {
    /// Section 9 of the provider.
    pub(crate) egress: &'a Egress,
    /// `api_base_url` and every `endpoint_url`, as written.
    pub(crate) bases: Vec<&'a str>,
}

impl Hosts<'_> {
    /// Whether the credential may go to the host of an address as written.
    fn is_own(&self, address: &str) -> bool {
        let host = host_of(address);
        self.bases
            .iter()
            .any(|base| origin_of(base) == origin_of(address))
            || matches(&self.egress.credential_hosts, host)
    }

    /// Refuses an address that the row itself writes and that lies elsewhere.
    pub(crate) fn address(&self, address: &str, at: &Place, sink: &Sink) {
        if is_open(address) || self.is_own(address) {
            return;
        }
        let host = host_of(address);
        if !self
            .egress
            .hosts
            .as_deref()
            .is_some_and(|hosts| matches(hosts, host))
        {
            sink.error(
                Code::P703,
                at,
                format!("`{host}` is no host of this provider"),
                "add it to `egress.hosts`",
            );
        }
    }

    /// Refuses a secret that would leave for another host than the provider's.
    pub(crate) fn secret(&self, address: &str, at: &Place, sink: &Sink) {
        if is_open(address) || self.is_own(address) {
            return;
        }
        sink.error(
            Code::P703,
            at,
            format!("a secret would leave for `{}`", host_of(address)),
            "add the host to `egress.credential_hosts`, or take the secret out",
        );
    }
}

/// Whether the address is written by an expression, or lies below the base URL.
fn is_open(address: &str) -> bool {
    !address.contains("://") || address.starts_with("{{") || address.starts_with("<<")
}

/// Scheme, host and port as written; a template in it compares as text.
fn origin_of(address: &str) -> &str {
    let start = address.find("://").map_or(0, |i| i + 3);
    let rest = address.get(start..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    address.get(..start + end).unwrap_or(address)
}

fn host_of(address: &str) -> &str {
    let origin = origin_of(address);
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether one of the patterns has the host.
fn matches(patterns: &[HostPattern], host: &str) -> bool {
    let host = host.to_lowercase();
    patterns
        .iter()
        .any(|pattern| match pattern.0.strip_prefix("*.") {
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|front| front.ends_with('.') && front.len() > 1),
            None => pattern.0 == host,
        })
}

/// Compiles a base URL: absolute, and with `{{config_…}}` only.
pub(crate) fn base_url(
    source: &str,
    cx: &Context<'_>,
    allow_http: bool,
    at: &Place,
) -> Option<Text> {
    super::exchange::without_single_braces(source, at, cx);
    let text = cx.text(source, Stand::Url, at)?;
    let mut only_config = true;
    text.reads(&mut |read| only_config &= read.name.root == Root::Config);
    if !only_config {
        cx.sink.error(
            Code::P706,
            at,
            "a base URL may hold `{{config_…}}` only",
            "take the other expressions out; a path may hold them",
        );
    }
    let parsed = text
        .literal()
        .map(|literal| (literal, Url::parse(literal).ok()));
    if let Some((literal, url)) = parsed {
        let fine = url.is_some_and(|url| {
            url.host_str().is_some()
                && (url.scheme() == "https" || (allow_http && url.scheme() == "http"))
        });
        if !fine {
            cx.sink.error(
                Code::P706,
                at,
                format!("`{literal}` is not an absolute `https` address"),
                "write it like `https://api.example.com/v1`",
            );
        }
    }
    Some(text)
}

/// What `status` of a provider and of a model may be.
pub(crate) const STATUS_WORDS: &[&str] = &["active", "inactive", "deprecated", "disabled"];

/// Words for `not_a_word`, kept beside the table they come from.
pub(crate) fn status_word(status: &str, at: &Place, sink: &Sink) -> bool {
    if !STATUS_WORDS.contains(&status) {
        not_a_word(sink, at, status, STATUS_WORDS);
    }
    status == "active" || status == "deprecated"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_written_address_must_lie_with_the_provider_or_in_its_egress_hosts() {
        let egress = Egress {
            credential_hosts: vec![HostPattern("*.acme.ai".into())],
            hosts: Some(vec![HostPattern("cdn.acme.io".into())]),
            ..Egress::default()
        };
        let hosts = Hosts { egress: &egress, bases: vec!["https://api.acme.com/v1"] };
        let cases = [
            ("https://api.acme.com/v2/x",          true,  true),
            ("https://api.acme.com:8443/v2",       true,  false),
            ("http://api.acme.com/v2",             true,  false),
            ("https://api.acme.com.evil.example/", true,  false),
            ("https://files.acme.ai/x",            true,  true),
            ("https://acme.ai/x",                  true,  false),
            ("https://evilacme.ai/x",              true,  false),
            ("https://cdn.acme.io/x",              true,  false),
            ("https://cdn.acme.io/x",              false, true),
            ("https://elsewhere.example/x",        false, false),
            ("https://x@elsewhere.example",        false, false),
            ("{{steps.submit.url}}",               true,  true),
            ("/relative",                          true,  true),
        ];
        for (address, secret, fine) in cases {
            let sink = Sink::default();
            if secret {
                hosts.secret(address, &Place::default(), &sink);
            } else {
                hosts.address(address, &Place::default(), &sink);
            }
            assert_eq!(!sink.into_inner().has_errors(), fine, "{address} secret: {secret}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_secret_in_a_row_is_refused_and_not_repeated() {
        for (text, fine) in [("env:ACME_KEY", true), ("file:/run/key", true), ("env:", false), ("sk-123", false), ("env:A B", false)] {
            let sink = Sink::default();
            secret_ref(text, &Place::default(), &sink);
            let found = sink.into_inner();
            assert_eq!(found.is_empty(), fine, "{text}");
            assert!(!found.to_string().contains("sk-123"));
        }
    }
}
