//! Redirects, as a decision: whether one is followed, where to, and with what.
//! The hands and the replay of cases both walk by it.

use crate::egress::Author;
use crate::fault::{Fault, Kind};
use crate::http::Outcome;
use crate::request::{Proof, Request};
use profile::revision::Class;

/// Redirects of one download or poll.
const MAX: usize = 5;

/// The request that follows a redirect, `followed` ones before it; `None`: the
/// answer is none, or is not followed. Only a `GET` that is no submit follows,
/// and our headers stay behind where credentials may not go.
///
/// # Errors
///
/// `NotSent` where the address may not be dialled, `Broken` where it is none or
/// there were too many before.
pub(crate) fn next(
    request: &Request,
    status: u16,
    location: Option<&str>,
    followed: usize,
) -> Result<Option<Request>, Box<Outcome>> {
    let follows =
        !request.submit && request.method == "GET" && matches!(status, 301 | 302 | 303 | 307 | 308);
    let Some(location) = location.filter(|_| follows) else {
        return Ok(None);
    };
    if followed >= MAX {
        return Err(broken("too many redirects"));
    }
    let url = request
        .url
        .join(location)
        .map_err(|_| broken("the redirect leads to no address"))?;
    request
        .policy
        .check(&url, Author::Answer)
        .map_err(|fault| Box::new(Outcome::NotSent(fault)))?;
    let mut next = request.clone();
    if url.origin() != request.url.origin() {
        // What was safe on its way must not be read on the next one.
        let bare = request.url.scheme() == "https" && url.scheme() != "https";
        next.trusted = !bare && request.policy.may_have_credentials(&url);
        if !next.trusted {
            next.headers.clear();
            next.body = None;
            next.proof = Proof::default();
        }
    }
    next.url = url;
    Ok(Some(next))
}

fn broken(message: &str) -> Box<Outcome> {
    Box::new(Outcome::Broken(Fault::new(
        Kind::Class(Class::Transient),
        message,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{Allow, Policy};
    use crate::http::tests::request;
    use std::sync::Arc;

    fn own(method: &str) -> Request {
        let mut own = request(method, "https://api.acme.ai/v1/files/a");
        let base = std::slice::from_ref(&own.url);
        let egress = profile::revision::Egress::default();
        own.policy = Arc::new(Policy::new(&egress, base, Allow::default()));
        own
    }

    #[test]
    #[rustfmt::skip]
    fn a_redirect_is_followed_by_a_get_alone_and_takes_the_key_nowhere_else() {
        let cases = [
            // method  status  location                              followed  leads to, with our headers
            ("GET",    302,    Some("../b?x=1"),                      0,       Ok(Some(("https://api.acme.ai/v1/b?x=1", true)))),
            ("GET",    307,    Some("https://api.acme.ai/c"),         4,       Ok(Some(("https://api.acme.ai/c", true)))),
            ("GET",    302,    Some("https://cdn.example/c?sig=1"),   0,       Ok(Some(("https://cdn.example/c?sig=1", false)))),
            ("GET",    302,    Some("https://api.acme.ai:8443/c"),    0,       Ok(Some(("https://api.acme.ai:8443/c", false)))),
            ("GET",    302,    None,                                  0,       Ok(None)),
            ("GET",    300,    Some("https://api.acme.ai/c"),         0,       Ok(None)),
            ("GET",    200,    Some("https://api.acme.ai/c"),         0,       Ok(None)),
            ("POST",   302,    Some("https://api.acme.ai/c"),         0,       Ok(None)),
            ("GET",    302,    Some("https://api.acme.ai/c"),         5,       Err("broken")),
            ("GET",    302,    Some("https://["),                     0,       Err("broken")),
            ("GET",    302,    Some("http://cdn.example/c"),          0,       Err("not sent")),
            ("GET",    302,    Some("https://169.254.169.254/"),      0,       Err("not sent")),
        ];
        for (method, status, location, followed, want) in cases {
            let got = next(&own(method), status, location, followed);
            let got = match &got {
                Ok(next) => Ok(next.as_ref().map(|next| (next.url.as_str(), next.trusted, next.header("authorization").is_some()))),
                Err(outcome) => Err(match **outcome {
                    Outcome::NotSent(_) => "not sent",
                    Outcome::Broken(_) => "broken",
                    Outcome::Answered(_) => "answered",
                }),
            };
            let want = want.map(|next| next.map(|(url, ours)| (url, ours, ours)));
            assert_eq!(got, want, "{method} {status} {location:?} after {followed}");
        }
    }

    /// A proxy on the way that answers for a host of ours takes nothing from it.
    #[test]
    fn nothing_of_ours_follows_a_redirect_from_tls_to_plain_text() {
        let mut asked = own("GET");
        let pattern = |host: &str| profile::revision::HostPattern(host.to_owned());
        let egress = profile::revision::Egress {
            credential_hosts: vec![pattern("api.acme.ai"), pattern("files.acme.ai")],
            ..profile::revision::Egress::default()
        };
        let base = std::slice::from_ref(&asked.url);
        let operator = Allow {
            http: true,
            private: false,
        };
        asked.policy = Arc::new(Policy::new(&egress, base, operator));
        for (location, ours) in [
            ("https://files.acme.ai/c", true),
            ("http://files.acme.ai/c", false),
            ("http://api.acme.ai/v1/files/a", false),
        ] {
            let got = next(&asked, 302, Some(location), 0).unwrap().unwrap();
            assert_eq!(
                (got.trusted, got.headers.is_empty()),
                (ours, !ours),
                "{location}"
            );
        }
    }

    #[test]
    fn a_key_that_was_left_behind_is_not_taken_up_again_on_the_way_back() {
        let away = next(&own("GET"), 302, Some("https://evil.example/"), 0);
        let away = away.unwrap().unwrap();
        let back = next(&away, 302, Some("https://api.acme.ai/v1/keys"), 1);
        assert!(back.unwrap().unwrap().headers.is_empty());
    }

    #[test]
    fn a_submit_follows_no_redirect_whatever_its_method() {
        let submit = Request {
            submit: true,
            kept: false,
            ..own("GET")
        };
        let got = next(&submit, 302, Some("https://api.acme.ai/c"), 0);
        assert!(matches!(got, Ok(None)), "{got:?}");
    }
}
