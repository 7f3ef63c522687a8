//! `webhook`: how a provider's callback finds its run, and what proves it (section 6).

use super::bounds;
use super::context::Context;
use super::layers::Layers;
use super::walk::{Fields, Sink};
use crate::lang::{Place as Stand, Root, Seg, Text};
use crate::revision::{Encoding, Signature, SignedBy, Verify, Webhook, WebhookSecret};
use diag::{Code, Place};
use serde_json::Value;

/// The kinds of `verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    StandardWebhooks,
    HmacSha256,
    Ed25519Jwks,
    None,
}

const KINDS: &[(&str, Kind)] = &[
    ("standard_webhooks", Kind::StandardWebhooks),
    ("hmac_sha256", Kind::HmacSha256),
    ("ed25519_jwks", Kind::Ed25519Jwks),
    ("none", Kind::None),
];

impl Kind {
    /// What this kind says, beside `kind` itself.
    fn members(self) -> &'static [&'static str] {
        match self {
            Self::StandardWebhooks => &["secret", "tolerance_s"],
            Self::HmacSha256 => &[
                "secret",
                "header",
                "encoding",
                "prefix",
                "signed",
                "timestamp_header",
                "tolerance_s",
            ],
            Self::Ed25519Jwks => &[
                "jwks_url",
                "header",
                "encoding",
                "prefix",
                "signed",
                "timestamp_header",
                "tolerance_s",
            ],
            Self::None => &[],
        }
    }
}

/// Every member that some kind has.
const ALL: &[&str] = &[
    "secret",
    "jwks_url",
    "header",
    "encoding",
    "prefix",
    "signed",
    "timestamp_header",
    "tolerance_s",
];

/// Reads the workflow's `webhook` over the conventions'; null takes it away.
pub(crate) fn webhook(
    conventions: (Option<&Value>, Place),
    flow: &Fields<'_>,
    cx: &Context<'_>,
) -> Option<Webhook> {
    let own = flow.raw_or_null("webhook");
    let base = conventions
        .0
        .filter(|_| own.is_none_or(|own| !own.is_null()));
    let layers = Layers::default()
        .over(base, conventions.1)
        .over(own, flow.place("webhook"));
    if layers.is_empty() {
        return None;
    }
    layers.read(cx.sink, |merged, at, sink| {
        read(merged, at, &cx.with_sink(sink))
    })
}

fn read(value: &Value, at: &Place, cx: &Context<'_>) -> Option<Webhook> {
    let fields = Fields::open(value, at, cx.sink)?;
    let path = |name| cx.answer_path(fields.raw(name), &fields.place(name));
    let when = fields
        .raw("when")
        .and_then(|source| cx.answer_condition(source, &fields.place("when")));
    let webhook = Webhook {
        when,
        job_id: path("job_id_path"),
        challenge: path("challenge_path"),
        verify: match fields.fields("verify") {
            Some(verify) => self::verify(verify, cx)?,
            None => Verify::None,
        },
    };
    fields.finish();
    Some(webhook)
}

fn verify(fields: Fields<'_>, cx: &Context<'_>) -> Option<Verify> {
    if fields.raw("kind").is_none() {
        fields.missing("kind");
    }
    let kind = fields.word("kind", KINDS)?;
    for name in ALL.iter().filter(|name| !kind.members().contains(name)) {
        if fields.raw(name).is_some() {
            let of_kind = kind.members().join(", ");
            cx.sink.error(
                Code::P612,
                &fields.place(name),
                format!("`{name}` says nothing in this kind of `verify`"),
                format!("this kind has: {of_kind}"),
            );
        }
    }
    let made = match kind {
        Kind::None => Some(Verify::None),
        Kind::StandardWebhooks => standard(&fields, cx).map(signed_by),
        Kind::HmacSha256 => {
            secret(&fields, cx)
                .zip(signature(&fields, cx))
                .map(|(secret, base)| {
                    signed_by(Signature {
                        by: SignedBy::HmacSha256(secret),
                        ..base
                    })
                })
        }
        Kind::Ed25519Jwks => jwks(&fields, cx)
            .zip(signature(&fields, cx))
            .map(|(url, base)| {
                signed_by(Signature {
                    by: SignedBy::Ed25519Jwks(url),
                    ..base
                })
            }),
    };
    fields.finish();
    made
}

fn signed_by(signature: Signature) -> Verify {
    Verify::Signed(Box::new(signature))
}

/// The scheme of the Standard Webhooks specification, as data.
fn standard(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Signature> {
    const SIGNED: &str = "{{header.webhook-id}}.{{header.webhook-timestamp}}.{{body}}";
    Some(Signature {
        by: SignedBy::StandardWebhooks(secret(fields, cx)?),
        header: "webhook-signature".to_owned(),
        encoding: Encoding::Base64,
        prefix: "v1,".to_owned(),
        signed: signed(SIGNED, &fields.place("signed"), cx)?,
        timestamp_header: Some("webhook-timestamp".to_owned()),
        tolerance_s: bounds::TOLERANCE_S.read(fields, cx.sink),
    })
}

/// What the kinds that name their headers have in common; `by` is put in by the caller.
fn signature(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Signature> {
    const ENCODINGS: &[(&str, Encoding)] = &[("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let header = fields.required_text("header").map(str::to_ascii_lowercase);
    let encoding = fields.word("encoding", ENCODINGS).unwrap_or(Encoding::Hex);
    let prefix = fields.text("prefix").unwrap_or_default().to_owned();
    let text = fields.text("signed").unwrap_or("{{body}}");
    let signed = signed(text, &fields.place("signed"), cx);
    let timestamp_header = fields.text("timestamp_header").map(str::to_ascii_lowercase);
    let tolerance_s = bounds::TOLERANCE_S.read(fields, cx.sink);
    Some(Signature {
        by: SignedBy::Ed25519Jwks(String::new()),
        header: header?,
        encoding,
        prefix,
        signed: signed?,
        timestamp_header,
        tolerance_s,
    })
}

/// The text that is signed, over `header.<name>`, `body` and `body_sha256` alone.
fn signed(source: &str, at: &Place, cx: &Context<'_>) -> Option<Text> {
    let known = crate::lang::Known::of_webhook();
    let text = cx
        .sink
        .with(|found| Text::check(source, &known, Stand::Plain, at, found))?;
    let mut good = true;
    text.reads(&mut |read| {
        if let (Root::Header, Some(Seg::Key(name))) = (read.name.root, read.name.path.first())
            && name.chars().any(char::is_uppercase)
        {
            good = false;
            lower_case(name, at, cx.sink);
        }
    });
    good.then_some(text)
}

fn lower_case(name: &str, at: &Place, sink: &Sink) {
    sink.error(
        Code::P614,
        at,
        format!("no header is named `{name}` here: names are in lower case"),
        format!("write `header.{}`", name.to_lowercase()),
    );
}

/// The key of the signature: a reference, or a part of the credential's secret.
fn secret(fields: &Fields<'_>, cx: &Context<'_>) -> Option<WebhookSecret> {
    let source = fields.required_text("secret")?;
    let at = fields.place("secret");
    if source.starts_with("env:") || source.starts_with("file:") {
        super::auth::secret_ref(source, &at, cx.sink);
        return Some(WebhookSecret::Reference(source.to_owned()));
    }
    let text = cx.text(source, Stand::Header, &at)?;
    if !text.is_secret() {
        // The text itself is not repeated: it may be a secret.
        cx.sink.error(
            Code::P613,
            &at,
            "the secret of a signature stands in no row",
            "write `env:NAME`, `file:/path`, or a part of the credential's secret: `{{secret.webhook}}`",
        );
        return None;
    }
    Some(WebhookSecret::Text(text))
}

/// Where the keys are: with the provider, or in `egress.hosts`.
fn jwks(fields: &Fields<'_>, cx: &Context<'_>) -> Option<String> {
    let source = fields.required_text("jwks_url")?;
    cx.hosts.address(source, &fields.place("jwks_url"), cx.sink);
    Some(source.to_owned())
}
