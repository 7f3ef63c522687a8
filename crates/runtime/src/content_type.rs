//! What a file is: by its first bytes, and by what its sender says of it.

/// The first bytes that tell; the longest of the table needs 12.
pub(crate) const HEAD: usize = 64;

/// What may hold sound or pictures alike: the sender knows which.
const CONTAINERS: &[&[&str]] = &[
    &[
        "video/mp4",
        "audio/mp4",
        "audio/m4a",
        "audio/x-m4a",
        "video/x-m4v",
        "video/quicktime",
        "video/3gpp",
        "audio/3gpp",
        "image/avif",
        "image/heic",
        "image/heif",
    ],
    &[
        "video/webm",
        "audio/webm",
        "video/x-matroska",
        "video/matroska",
        "audio/x-matroska",
    ],
    &["audio/ogg", "video/ogg", "application/ogg", "audio/opus"],
];

/// Other types that have first bytes of their own, each with its other names.
const PLAIN: &[&[&str]] = &[
    &["image/png", "image/x-png", "image/apng"],
    &["image/jpeg", "image/jpg", "image/pjpeg"],
    &["image/gif"],
    &["image/webp"],
    &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
    &["audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3"],
    &["audio/aac", "audio/x-aac", "audio/aacp"],
    &["audio/flac", "audio/x-flac"],
    &["application/pdf", "application/x-pdf"],
    &["model/gltf-binary"],
];

/// The media type by the first bytes; `None`: not one that we know.
///
/// Source: the formats' own specifications; the list is the WHATWG's MIME Sniffing, shortened.
pub(crate) fn recognised(bytes: &[u8]) -> Option<&'static str> {
    let starts = |start: &[u8]| bytes.starts_with(start);
    let at = |from: usize, what: &[u8]| bytes.get(from..from + what.len()) == Some(what);
    let heic = || {
        [&b"heic"[..], b"heix", b"mif1"]
            .iter()
            .any(|brand| at(8, brand))
    };
    Some(match () {
        () if starts(b"\x89PNG\r\n\x1a\n") => "image/png",
        () if starts(b"\xff\xd8\xff") => "image/jpeg",
        () if starts(b"GIF87a") || starts(b"GIF89a") => "image/gif",
        () if starts(b"RIFF") && at(8, b"WEBP") => "image/webp",
        () if starts(b"RIFF") && at(8, b"WAVE") => "audio/wav",
        () if at(4, b"ftypavif") => "image/avif",
        () if at(4, b"ftyp") && heic() => "image/heic",
        () if at(4, b"ftypM4A") => "audio/mp4",
        () if at(4, b"ftypqt") => "video/quicktime",
        () if at(4, b"ftyp") => "video/mp4",
        () if starts(b"\x1a\x45\xdf\xa3") => "video/webm",
        () if starts(b"ID3") || is_mpeg(bytes, 0b0000_0110, 0b0000_0010) => "audio/mpeg",
        () if is_mpeg(bytes, 0b0000_0110, 0) => "audio/aac",
        () if starts(b"OggS") => "audio/ogg",
        () if starts(b"fLaC") => "audio/flac",
        () if starts(b"%PDF-") => "application/pdf",
        () if starts(b"glTF") => "model/gltf-binary",
        () => return None,
    })
}

/// A frame of MPEG audio: eleven set bits, then these of the layer (ISO/IEC 11172-3, 13818-7).
fn is_mpeg(bytes: &[u8], mask: u8, layer: u8) -> bool {
    matches!(bytes, [0xff, second, third, ..] if second & 0xe0 == 0xe0 && second & mask == layer && *third != 0xff)
}

/// Why a file is not what its sender says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeRefused {
    /// It is another thing.
    #[error("the file is declared as `{declared}`, and its first bytes are those of `{found}`")]
    Other {
        /// What was said.
        declared: String,
        /// What it is.
        found: &'static str,
    },
    /// It is not that, whatever it is.
    #[error("the file is declared as `{declared}`, and its first bytes are not")]
    Not {
        /// What was said.
        declared: String,
    },
    /// Nobody knows.
    #[error("the file says nowhere what it is")]
    Unknown,
    /// What was said is no media type.
    #[error("the declared type is no media type")]
    NoType,
}

/// What a file is that begins so, and that its sender declares so: the more exact word of both.
pub(crate) fn checked(head: &[u8], declared: Option<&str>) -> Result<String, TypeRefused> {
    let declared = declared.map(essence).transpose()?;
    let declared = declared.filter(|declared| declared != "application/octet-stream");
    let found = recognised(head);
    let Some(declared) = declared else {
        return found.map(str::to_owned).ok_or(TypeRefused::Unknown);
    };
    match found {
        Some(found) if same(CONTAINERS, found, &declared) => Ok(declared),
        Some(found) if same(PLAIN, found, &declared) => Ok(found.to_owned()),
        Some(found) => Err(TypeRefused::Other { declared, found }),
        None if tells_itself(&declared) || (is_text(&declared) && head.contains(&0)) => {
            Err(TypeRefused::Not { declared })
        }
        None => Ok(declared),
    }
}

/// The same where nothing is refused for it: what is not what its sender says is what its first bytes are, or nobody knows.
pub(crate) fn of(bytes: &[u8], declared: Option<&str>) -> String {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    match checked(head, declared) {
        Ok(is) => is,
        Err(TypeRefused::Other { found, .. }) => found.to_owned(),
        Err(TypeRefused::NoType) => of(bytes, None),
        Err(TypeRefused::Not { .. } | TypeRefused::Unknown) => {
            "application/octet-stream".to_owned()
        }
    }
}

/// Without parameters, in small letters (RFC 6838, section 4.2).
fn essence(text: &str) -> Result<String, TypeRefused> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let name = |name: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        (1..=127).contains(&name.len()) && name.chars().all(plain)
    };
    match essence.split_once('/') {
        Some((kind, subtype)) if name(kind) && name(subtype) => Ok(essence.to_ascii_lowercase()),
        _ => Err(TypeRefused::NoType),
    }
}

fn same(families: &[&[&str]], found: &str, declared: &str) -> bool {
    families
        .iter()
        .any(|family| family.contains(&found) && family.contains(&declared))
}

/// Whether files of this type have first bytes of their own.
fn tells_itself(declared: &str) -> bool {
    let mut all = CONTAINERS.iter().chain(PLAIN);
    all.any(|family| family.contains(&declared))
}

fn is_text(declared: &str) -> bool {
    declared.starts_with("text/") || declared == "application/json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn what_a_sender_says_holds_only_where_the_first_bytes_do_not_say_otherwise() {
        let png = b"\x89PNG\r\n\x1a\n....".as_slice();
        let cases: [(&[u8], Option<&str>, &str); 8] = [
            (png,                 Some("image/png"),     "image/png"),
            (png,                 Some("image/jpeg"),    "image/png"),
            (png,                 None,                  "image/png"),
            (b"<html>no</html>",  Some("image/png"),     "application/octet-stream"),
            (b"<svg/>",           Some("image/svg+xml"), "image/svg+xml"),
            (b"words",            Some("text/plain"),    "text/plain"),
            (png,                 Some("nothing"),       "image/png"),
            (b"words",            None,                  "application/octet-stream"),
        ];
        for (bytes, declared, want) in cases {
            assert_eq!(of(bytes, declared), want, "{declared:?}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_medium_is_what_its_first_bytes_say() {
        let cases: [(&[u8], Option<&str>); 11] = [
            (b"\x89PNG\r\n\x1a\n....",   Some("image/png")),
            (b"\xff\xd8\xff\xe0",        Some("image/jpeg")),
            (b"RIFF....WEBPVP8 ",        Some("image/webp")),
            (b"\0\0\0\x20ftypisom",      Some("video/mp4")),
            (b"\0\0\0\x20ftypheic",      Some("image/heic")),
            (b"\xff\xfb\x90\x64",        Some("audio/mpeg")),
            (b"\xff\xf2\x90\x64",        Some("audio/mpeg")),
            (b"\xff\xf1\x50\x80",        Some("audio/aac")),
            (b"\xff\xff\xff\xff",        None),
            (b"{\"error\": 1}",          None),
            (b"",                        None),
        ];
        for (bytes, want) in cases {
            assert_eq!(recognised(bytes), want, "{bytes:?}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_file_is_what_it_is_declared_as_and_what_its_first_bytes_say() {
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n....";
        const MP4: &[u8] = b"\0\0\0\x20ftypisom";
        let other = |declared: &str, found| Err(TypeRefused::Other { declared: declared.into(), found });
        let not = |declared: &str| Err(TypeRefused::Not { declared: declared.into() });
        let is = |found: &str| Ok(found.to_owned());
        let cases = [
            (PNG,             Some("image/png"),                 is("image/png")),
            (PNG,             Some("IMAGE/PNG; name=x"),         is("image/png")),
            (PNG,             Some("image/x-png"),               is("image/png")),
            (PNG,             Some("application/octet-stream"),  is("image/png")),
            (PNG,             None,                              is("image/png")),
            (PNG,             Some("image/jpeg"),                other("image/jpeg", "image/png")),
            (PNG,             Some("text/html"),                 other("text/html", "image/png")),
            (MP4,             Some("audio/mp4"),                 is("audio/mp4")),
            (MP4,             Some("video/webm"),                other("video/webm", "video/mp4")),
            (b"<html>",       Some("image/png"),                 not("image/png")),
            (b"<html>",       Some("text/html"),                 is("text/html")),
            (b"a\0b",         Some("text/plain"),                not("text/plain")),
            (b"anything",     Some("model/obj"),                 is("model/obj")),
            (b"anything",     None,                              Err(TypeRefused::Unknown)),
            (b"anything",     Some("application/octet-stream"),  Err(TypeRefused::Unknown)),
            (PNG,             Some("image"),                     Err(TypeRefused::NoType)),
            (PNG,             Some("image/\u{7}"),               Err(TypeRefused::NoType)),
        ];
        for (head, declared, want) in cases {
            assert_eq!(checked(head, declared), want, "{declared:?}");
        }
    }
}
