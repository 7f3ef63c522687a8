//! The kinds of section 8: what `config` says, and what is missing in it.

use super::{Hosts, read_split};
use crate::check::bounds;
use crate::check::names;
use crate::check::walk::{Fields, Sink, nearest};
use crate::content::canonical;
use crate::lang::{Known, Place as Stand, Root, Text, Tree};
use crate::revision::{Auth, AuthKind, Jwt, Scheme, Signing, Split, TokenEndpoint};
use crate::rows::AuthProfileRow;
use diag::{COMPARED_MAX, Code, Place};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

/// What a kind is called, what its `config` may say, and the parts its secret has.
struct Kind {
    auth_type: &'static str,
    members: &'static [&'static str],
    /// Empty: the row names them by `split` or `parts`.
    parts: &'static [&'static str],
}

const TOKEN_MEMBERS: &[&str] = &["token_url", "scopes"];
const SIGNATURE_MEMBERS: &[&str] = &["region", "service", "split"];
const KEY_PAIR: &[&str] = &["access_key", "secret_key"];

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind { auth_type: "api_key", members: &["split", "parts"], parts: &[] },
    Kind {
        auth_type: "jwt_hs256",
        members: &["split", "parts", "header", "claims", "key", "unit", "lifetime_s", "skew_s"],
        parts: &[],
    },
    Kind {
        auth_type: "oauth2_client_credentials",
        members: &["split", "token_url", "scopes", "audience", "client_auth"],
        parts: &["client_id", "client_secret"],
    },
    Kind {
        auth_type: "oauth2_service_account",
        members: TOKEN_MEMBERS,
        parts: &["client_email", "private_key", "private_key_id", "project_id"],
    },
    Kind { auth_type: "google_adc", members: TOKEN_MEMBERS, parts: &[] },
    Kind { auth_type: "aws_sigv4", members: SIGNATURE_MEMBERS, parts: KEY_PAIR },
    Kind { auth_type: "volc_hmac_sha256", members: SIGNATURE_MEMBERS, parts: KEY_PAIR },
    Kind { auth_type: "tc3_hmac_sha256", members: SIGNATURE_MEMBERS, parts: KEY_PAIR },
];

/// Members that are templates or lists of their own: no `config_<key>` reads them.
const NOT_CONFIG: &[&str] = &[
    "split",
    "parts",
    "scopes",
    "header",
    "claims",
    "key",
    "token_url",
];

/// Every `auth_type`, for the JSON Schema and for help.
pub(crate) fn auth_types() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.auth_type).collect()
}

/// Reads an auth profile; the second value is what `config_<key>` reads. Where
/// the provider's hosts are known, a token's address must lie with them.
pub(crate) fn auth(
    row: &AuthProfileRow,
    hosts: Option<&Hosts<'_>>,
    sink: &Sink,
) -> (Option<Auth>, Value) {
    let at = row.at.child("config");
    let kind = KINDS.iter().find(|kind| kind.auth_type == row.auth_type);
    let Some(kind) = kind else {
        not_auth_type(sink, &row.at.child("auth_type"), &row.auth_type);
        return (None, primitives(&row.config, None, &at, sink));
    };
    let empty = Value::Object(Map::new());
    let config = primitives(&row.config, Some(kind), &at, sink);
    let fields = Fields::open(&row.config, &at, sink).or_else(|| Fields::open(&empty, &at, sink));
    let Some(fields) = fields else {
        return (None, config);
    };
    let split = Some(()).filter(|()| kind.members.contains(&"split"));
    let split = split.and_then(|()| fields.fields("split"));
    let split = split.and_then(|split| read_split(split, sink));
    let parts = parts(&fields, kind, split.as_ref(), sink);
    let mut known = Known::new();
    for (key, _) in config.as_object().into_iter().flatten() {
        known.config(key);
    }
    let reader = Reader {
        fields: &fields,
        known,
        hosts,
        sink,
    };
    let made = reader.kind(kind.auth_type, &parts).map(|made| Auth {
        profile_key: row.profile_key.clone(),
        kind: made,
        split,
        parts,
        config: config.clone(),
        digest: digest(row),
    });
    (made, config)
}

fn digest(row: &AuthProfileRow) -> [u8; 32] {
    let said = json!([row.auth_type, row.config]);
    Sha256::digest(canonical(&said)).into()
}

/// What providers' pages call a way to authenticate, in the words of the language.
fn in_our_words(given: &str) -> Option<&'static str> {
    Some(match given.to_ascii_lowercase().as_str() {
        "bearer" | "bearer_token" | "token" | "header" | "http" | "key" | "apikey" => {
            "a key in a header is `api_key`; the header says how it is written: `\"Authorization\": \"Bearer {{apiKey}}\"`. "
        }
        "basic" => {
            "a user and a password are `api_key`, and the header is `\"Authorization\": \"Basic {{base64 apiKey}}\"` with `user:password` as the secret. "
        }
        "none" => {
            "without a key there is no auth profile: leave this one out, and `auth_profile` too. "
        }
        _ => return None,
    })
}

fn not_auth_type(sink: &Sink, at: &Place, given: &str) {
    let types = auth_types();
    let near = nearest(given, types.iter().copied());
    let near = || near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let start = in_our_words(given).map_or_else(near, str::to_owned);
    sink.error(
        Code::P702,
        at,
        format!("`{given}` is no way to authenticate"),
        format!("{start}one of: {}", types.join(", ")),
    );
}

/// What `config_<key>` reads. What is neither a primitive nor known to the kind is a mistake.
fn primitives(config: &Value, kind: Option<&Kind>, at: &Place, sink: &Sink) -> Value {
    let members = kind.map_or(&[][..], |kind| kind.members);
    let mut found = Map::new();
    for (name, value) in config.as_object().into_iter().flatten() {
        let known = members.contains(&name.as_str());
        if value.is_null() || known && NOT_CONFIG.contains(&name.as_str()) {
            continue;
        }
        if value.is_object() || value.is_array() {
            if !known && kind.is_some() {
                no_primitive(name, &at.child(name), members, sink);
            }
            continue;
        }
        if !known {
            names::identifier(name, &at.child(name), sink);
            nearly(name, members, config, &at.child(name), sink);
        }
        found.insert(name.clone(), value.clone());
    }
    Value::Object(found)
}

fn no_primitive(name: &str, at: &Place, members: &[&str], sink: &Sink) {
    sink.error(
        Code::P705,
        at,
        format!("`{name}` is no primitive, and no member that this kind knows"),
        format!(
            "write a text, a number or a boolean, which is read as `config_{name}`; known to the kind: {}",
            members.join(", ")
        ),
    );
}

/// A primitive may have any name, so a misspelt member is only a warning.
fn nearly(name: &str, members: &[&str], config: &Value, at: &Place, sink: &Sink) {
    if name.len() > COMPARED_MAX {
        return;
    }
    let free = members.iter().filter(|known| config.get(**known).is_none());
    let near = free
        .copied()
        .find(|known| strsim::jaro_winkler(name, known) > 0.93);
    if let Some(near) = near {
        sink.warn(
            Code::P707,
            at,
            format!("`{name}` is only `config_{name}`; the kind knows `{near}`"),
            format!("write `{near}` if that is what you mean"),
        );
    }
}

/// The parts that templates may read.
fn parts(fields: &Fields<'_>, kind: &Kind, split: Option<&Split>, sink: &Sink) -> Vec<String> {
    let named = Some(()).filter(|()| kind.members.contains(&"parts"));
    let named = named.and_then(|()| fields.texts("parts"));
    for (i, part) in named.iter().flatten().enumerate() {
        names::identifier(part, &fields.place("parts").child(i), sink);
    }
    if named.is_some() && split.is_some() {
        sink.error(
            Code::P113,
            fields.at(),
            "`parts` and `split` are both there",
            "keep `split` for a secret that is one text, or `parts` for one that is an object",
        );
    }
    if let Some(split) = split {
        for wanted in kind
            .parts
            .iter()
            .filter(|part| !split.into.iter().any(|have| have == *part))
        {
            sink.error(
                Code::P708,
                &fields.place("split").child("into"),
                format!("the secret of this kind has the part `{wanted}`"),
                format!("split it into: {}", kind.parts.join(", ")),
            );
        }
        return split.into.clone();
    }
    match named {
        Some(named) => named.into_iter().map(str::to_owned).collect(),
        None => kind.parts.iter().map(|part| (*part).to_owned()).collect(),
    }
}

struct Reader<'a> {
    fields: &'a Fields<'a>,
    /// `config_<key>`.
    known: Known,
    hosts: Option<&'a Hosts<'a>>,
    sink: &'a Sink,
}

impl Reader<'_> {
    fn kind(&self, auth_type: &str, parts: &[String]) -> Option<AuthKind> {
        Some(match auth_type {
            "jwt_hs256" => AuthKind::JwtHs256(Box::new(self.jwt(parts)?)),
            "oauth2_client_credentials" => AuthKind::ClientCredentials(self.endpoint()?),
            "oauth2_service_account" => AuthKind::ServiceAccount(self.endpoint()?),
            "google_adc" => AuthKind::ApplicationDefault(self.endpoint()?),
            "aws_sigv4" => self.signature(Scheme::AwsSigV4)?,
            "volc_hmac_sha256" => self.signature(Scheme::VolcHmacSha256)?,
            "tc3_hmac_sha256" => self.signature(Scheme::Tc3HmacSha256)?,
            _ => AuthKind::ApiKey,
        })
    }

    fn jwt(&self, parts: &[String]) -> Option<Jwt> {
        let mut known = self.known.clone().secrets_may_stand(true);
        known.secrets(self.fields.raw("parts").is_none(), false, parts);
        known.jwt();
        let tree = |source: &Value, name: &str| {
            let at = self.fields.place(name);
            self.sink
                .with(|found| Tree::compile(source, &known, &at, found))
        };
        let header = self.fields.object("header");
        let header = header
            .cloned()
            .map_or_else(|| json!({"alg": "HS256", "typ": "JWT"}), Value::Object);
        if header.get("alg").and_then(Value::as_str) != Some("HS256") {
            self.sink.error(
                Code::P709,
                &self.fields.place("header"),
                "the header does not say `\"alg\": \"HS256\"`",
                "add it: this kind signs with HMAC-SHA256",
            );
        }
        let claims = self.fields.object("claims");
        if self.fields.raw("claims").is_none() {
            self.fields.missing("claims");
        }
        let header = tree(&header, "header");
        let claims = claims
            .cloned()
            .and_then(|claims| tree(&Value::Object(claims), "claims"));
        let key_at = self.fields.place("key");
        let key = self.fields.required_text("key");
        let key = key.and_then(|key| {
            self.sink
                .with(|found| Text::check(key, &known, Stand::Header, &key_at, found))
        });
        let unit_ms = self
            .fields
            .word("unit", &[("s", 1000), ("ms", 1)])
            .unwrap_or(1000);
        let lifetime_s = bounds::LIFETIME_S.read(self.fields, self.sink);
        let skew_s = bounds::SKEW_S.read(self.fields, self.sink);
        Some(Jwt {
            header: header?,
            claims: claims?,
            key: key?,
            unit_ms,
            lifetime_s,
            skew_s,
        })
    }

    fn endpoint(&self) -> Option<TokenEndpoint> {
        let scopes = self.fields.texts("scopes").unwrap_or_default();
        let audience = self.fields.text("audience").map(str::to_owned);
        let basic = self
            .fields
            .word("client_auth", &[("post", false), ("basic", true)]);
        Some(TokenEndpoint {
            url: self.token_url()?,
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            audience,
            basic: basic.unwrap_or(false),
        })
    }

    /// The secret, or what it signs, goes there: so it lies where credentials may go.
    fn token_url(&self) -> Option<Text> {
        let source = self.fields.required_text("token_url")?;
        let at = self.fields.place("token_url");
        let text = self
            .sink
            .with(|found| Text::check(source, &self.known, Stand::Url, &at, found))?;
        let mut only_config = true;
        text.reads(&mut |read| only_config &= read.name.root == Root::Config);
        let http = self.hosts.is_none_or(|hosts| hosts.egress.allow_http);
        let literal = text.literal().map(Url::parse);
        let fine = literal.is_none_or(|url| {
            url.is_ok_and(|url| {
                url.has_host() && (url.scheme() == "https" || http && url.scheme() == "http")
            })
        });
        if !only_config || !fine {
            self.sink.error(
                Code::P706,
                &at,
                format!("`{source}` is not an absolute `https` address"),
                "write it like `https://auth.example.com/oauth2/token`; it may hold `{{config_…}}`",
            );
        }
        if let Some(hosts) = self.hosts {
            hosts.secret(source, &at, self.sink);
        }
        Some(text)
    }

    fn signature(&self, scheme: Scheme) -> Option<AuthKind> {
        let region = self.fields.text("region");
        if region.is_none()
            && scheme != Scheme::Tc3HmacSha256
            && self.fields.raw("region").is_none()
        {
            self.fields.missing("region");
        }
        let service = self.fields.required_text("service")?;
        Some(AuthKind::Signature(Signing {
            scheme,
            region: region.map(str::to_owned),
            service: service.to_owned(),
        }))
    }
}
