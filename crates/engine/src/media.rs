//! The media of one call, as templates and bodies read them.

pub use crate::download::sniff;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use profile::call::MediaFacts;
use profile::lang::Inputs;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One medium: its bytes, or a provider's own reference.
#[derive(Clone, Default)]
pub struct Medium {
    /// The bytes; absent for a provider's own reference.
    pub bytes: Option<Bytes>,
    /// Media type, checked against the first bytes.
    pub mime: Option<String>,
    /// A name for the file.
    pub filename: Option<String>,
    /// As the caller gave it, else a signed link to our copy.
    pub url: Option<String>,
    /// A provider's own reference.
    pub handle: Option<String>,
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Medium")
            .field("mime", &self.mime)
            .field("bytes", &self.bytes.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

/// The media of one call, by the names of the model's capabilities.
#[derive(Debug, Clone, Default)]
pub struct Media(pub BTreeMap<String, Vec<Medium>>);

impl Media {
    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str, index: usize) -> Option<&Medium> {
        self.0.get(name)?.get(index)
    }

    /// What limits and rules ask about them.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, Vec<MediaFacts>> {
        let fact = |medium: &Medium| MediaFacts {
            mime: medium.mime().to_owned(),
            bytes: medium.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
        };
        let facts = |list: &Vec<Medium>| list.iter().map(fact).collect();
        self.0
            .iter()
            .map(|(name, list)| (name.clone(), facts(list)))
            .collect()
    }
}

impl Medium {
    /// The media type, or the one that says nothing.
    #[must_use]
    pub fn mime(&self) -> &str {
        self.mime.as_deref().unwrap_or("application/octet-stream")
    }

    fn data_url(&self) -> Option<String> {
        let bytes = self.bytes.as_ref()?;
        Some(format!(
            "data:{};base64,{}",
            self.mime(),
            STANDARD.encode(bytes)
        ))
    }
}

impl Inputs for Media {
    fn count(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, Vec::len)
    }

    fn member(&self, name: &str, index: usize, member: &str) -> Option<Value> {
        let medium = self.get(name, index)?;
        match member {
            "data_url" => medium.data_url().map(Value::String),
            "base64" => medium
                .bytes
                .as_ref()
                .map(|bytes| json!(STANDARD.encode(bytes))),
            "mime" => medium.mime.as_ref().map(|text| json!(text)),
            "filename" => medium.filename.as_ref().map(|text| json!(text)),
            "bytes" => medium.bytes.as_ref().map(|bytes| json!(bytes.len())),
            "handle" => medium.handle.as_ref().map(|text| json!(text)),
            "url" => medium.url.as_ref().map(|text| json!(text)),
            _ => None,
        }
    }
}

/// Reads a `data:` address: its media type and its bytes. `None` when it is none.
///
/// Source: RFC 2397; the type left out is `text/plain`.
#[must_use]
pub fn read_data_url(text: &str) -> Option<(String, Bytes)> {
    let rest = text
        .get(..5)
        .filter(|scheme| scheme.eq_ignore_ascii_case("data:"))
        .and(text.get(5..))?;
    let (head, data) = rest.split_once(',')?;
    let (mime, is_base64) = match head.strip_suffix(";base64") {
        Some(mime) => (mime, true),
        None => (head, false),
    };
    let mime = if mime.is_empty() { "text/plain" } else { mime };
    let plain: Vec<u8> = percent_encoding::percent_decode_str(data).collect();
    let bytes = if is_base64 {
        read_base64(&plain)?
    } else {
        plain
    };
    Some((mime.to_owned(), Bytes::from(bytes)))
}

/// Reads base64 of either alphabet, with or without padding and line breaks.
#[must_use]
pub fn read_base64(text: &[u8]) -> Option<Vec<u8>> {
    use base64::alphabet::STANDARD;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&STANDARD, config);
    let plain = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let clean: Vec<u8> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(plain)
        .collect();
    engine.decode(clean).ok()
}

/// Reads pairs of hexadecimal digits.
#[must_use]
pub fn read_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_data_address_is_read_or_refused() {
        type Case = (&'static str, Option<(&'static str, &'static [u8])>);
        let cases: [Case; 7] = [
            ("data:image/png;base64,iVBORw==",  Some(("image/png", b"\x89PNG"))),
            ("DATA:image/png;base64,iVBORw",    Some(("image/png", b"\x89PNG"))),
            ("data:,a%20b",                     Some(("text/plain", b"a b"))),
            ("data:text/x;charset=utf-8,x",     Some(("text/x;charset=utf-8", b"x"))),
            ("data:image/png;base64,!!",        None),
            ("data:image/png",                  None),
            ("https://acme.ai/x",               None),
        ];
        for (text, want) in cases {
            let got = read_data_url(text);
            let got = got.as_ref().map(|(mime, bytes)| (mime.as_str(), &bytes[..]));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn base64_and_hex_are_read_as_providers_write_them() {
        assert_eq!(read_base64(b"-_-\n_").unwrap(), [0xfb, 0xff, 0xbf]);
        assert_eq!(read_hex(" 00fF "), Some(vec![0, 255]));
        assert_eq!(
            (read_hex("0"), read_hex("+1"), read_hex("zz")),
            (None, None, None)
        );
    }
}
