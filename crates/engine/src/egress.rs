//! Where requests may go, and where credentials may: section 9 of the language.

use crate::fault::{Fault, Kind};
use profile::revision::{Egress, HostPattern};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Characters of an address that a caller gives.
const GIVEN_MAX: usize = 8 * 1024;

/// What an operator allows beside the provider's `egress`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allow {
    /// Plain `http`.
    pub http: bool,
    /// Private, loopback and link-local addresses.
    pub private: bool,
}

/// Who wrote an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// A row: it must lie where credentials go, or in `egress.hosts`.
    Row,
    /// A provider's answer or a caller: any public host, or only `egress.hosts`.
    Answer,
}

/// Scheme, host and port of an address. Unlike `url`'s own it is compared without a copy: that is asked twice for each poll.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

impl Origin {
    /// Absent: it has no host, and is like no other.
    fn of(url: &Url) -> Option<Self> {
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host()?.to_owned(),
            port: url.port_or_known_default(),
        })
    }

    fn is_of(&self, url: &Url) -> bool {
        self.scheme == url.scheme()
            && self.port == url.port_or_known_default()
            && url.host().is_some_and(|host| self.host == host)
    }
}

/// Section 9 for one revision and credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    origins: Vec<Origin>,
    credential_hosts: Vec<HostPattern>,
    hosts: Option<Vec<HostPattern>>,
    allow: Allow,
}

impl Policy {
    /// `bases`: the provider's base URL and the credential's `endpoint_url`.
    #[must_use]
    pub fn new(egress: &Egress, bases: &[Url], allow: Allow) -> Self {
        Self {
            origins: bases.iter().filter_map(Origin::of).collect(),
            credential_hosts: egress.credential_hosts.clone(),
            hosts: egress.hosts.clone(),
            allow: Allow {
                http: allow.http || egress.allow_http,
                private: allow.private || egress.allow_private,
            },
        }
    }

    /// For addresses that belong to no provider.
    #[must_use]
    pub fn public(allow: Allow) -> Self {
        Self::new(&Egress::default(), &[], allow)
    }

    /// Reads an address that a caller gives, of media or of a callback: any
    /// public host, and never with credentials. What it resolves to is judged
    /// when it is dialled.
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `EgressRefused`. It repeats the host at most, for the
    /// rest of an address may be a secret.
    pub fn given(address: &str, allow: Allow) -> Result<(Url, Self), Fault> {
        let no_address = |why: &str| Fault::new(Kind::EgressRefused, why.to_owned());
        if address.len() > GIVEN_MAX {
            return Err(no_address("the address is longer than 8 KiB"));
        }
        let url = Url::parse(address).map_err(|_| no_address("the text is no address"))?;
        let policy = Self::public(allow);
        policy.check(&url, Author::Answer)?;
        Ok((url, policy))
    }

    /// Whether credentials, and all that is inherited, may go there.
    #[must_use]
    pub fn may_have_credentials(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.is_of(url))
            || self.scheme_allowed(url) && matches_any(&self.credential_hosts, url)
    }

    /// Whether the address may be dialled, as far as its text says.
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `EgressRefused`, which names the host.
    pub fn check(&self, url: &Url, author: Author) -> Result<(), Fault> {
        if !self.scheme_allowed(url) {
            return Err(refused(url, "is not `https`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(url, "has a user name or password in it"));
        }
        let listed = self.hosts.as_ref().map(|hosts| matches_any(hosts, url));
        let allowed = match author {
            Author::Row => listed.unwrap_or(false),
            Author::Answer => listed.unwrap_or(true),
        };
        if !allowed && !self.may_have_credentials(url) {
            return Err(refused(url, "is no host of this provider"));
        }
        self.check_literal(url)
    }

    /// Whether an address of the network may be dialled.
    #[must_use]
    pub fn may_dial(&self, ip: IpAddr) -> bool {
        self.allow.private || is_public(ip)
    }

    /// Whether private ranges may be dialled, as the operator says.
    #[must_use]
    pub fn allows_private(&self) -> bool {
        self.allow.private
    }

    fn scheme_allowed(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => true,
            "http" => self.allow.http,
            _ => false,
        }
    }

    /// `url` has made a number of every spelling of a literal by now, so that
    /// `0x7f.1` and `2130706433` are `127.0.0.1` here.
    fn check_literal(&self, url: &Url) -> Result<(), Fault> {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(refused(url, "has no host")),
        };
        if self.may_dial(ip) {
            return Ok(());
        }
        Err(refused(url, "is not a public address"))
    }
}

fn refused(url: &Url, why: &str) -> Fault {
    let host = url.host_str().unwrap_or_default();
    Fault::new(Kind::EgressRefused, format!("`{host}` {why}"))
}

fn matches_any(patterns: &[HostPattern], url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    patterns.iter().any(|pattern| matches(&pattern.0, &host))
}

fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => pattern == host,
    }
}

/// Whether the whole internet may reach it: the special-purpose registries of
/// IANA (RFC 6890) taken out, and what is embedded in a transition address
/// judged by itself.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    // Nobody's but the host's own: the door of a cloud to its machines.
    if ip == Ipv4Addr::new(168, 63, 129, 16) {
        return false;
    }
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let embedded = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(w, x, y, z))
    };
    match (a, b, c, d, e, f) {
        // Mapped, translated (RFC 6052) and 6to4 addresses end at an IPv4 one.
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => embedded(g, h),
        (0x2002, ..) => embedded(b, c),
        // A tunnel inside a site (RFC 5214) ends at an IPv4 address, whatever its prefix.
        (.., 0 | 0x200, 0x5efe) if !embedded(g, h) => false,
        // All of global unicast is 2000::/3; of it, Teredo, ORCHID and documentation are not.
        (0x2001, 0..=0x1ff | 0xdb8, ..) | (0x3fff, 0..=0xfff, ..) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;
