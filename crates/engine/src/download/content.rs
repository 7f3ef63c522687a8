//! Whether bytes are the file that was promised: its media type, and for known
//! containers the first bytes.

use crate::fault::{Fault, Kind};
use crate::flow::FileTask;
use serde_json::Value;

/// The type that says nothing.
const ANY: &str = "application/octet-stream";
/// A JSON page is no longer than this.
const PAGE_MAX: usize = 256 * 1024;

/// Bytes of a page that are looked at.
const MARKUP_HEAD: usize = 512;

/// A container: media types, extension, and how its bytes begin.
struct Container {
    types: &'static [&'static str],
    extension: &'static str,
    /// Byte strings, each at its offset; all must be there.
    magic: &'static [(usize, &'static [u8])],
}

/// The containers we know, by their specifications' signatures. Several lines
/// of one type are alternatives.
const CONTAINERS: &[Container] = &[
    // Brands of the ISO base media format that are pictures, before the general one.
    Container {
        types: &["image/avif"],
        extension: "avif",
        magic: &[(4, b"ftypavif")],
    },
    Container {
        types: &["image/heic", "image/heif"],
        extension: "heic",
        magic: &[(4, b"ftypheic")],
    },
    Container {
        types: &["video/mp4", "audio/mp4", "video/quicktime", "audio/x-m4a"],
        extension: "mp4",
        magic: &[(4, b"ftyp")],
    },
    Container {
        types: &["video/webm", "audio/webm", "video/x-matroska"],
        extension: "webm",
        magic: &[(0, &[0x1a, 0x45, 0xdf, 0xa3])],
    },
    Container {
        types: &["image/png"],
        extension: "png",
        magic: &[(0, b"\x89PNG\r\n\x1a\n")],
    },
    Container {
        types: &["image/jpeg", "image/jpg"],
        extension: "jpg",
        magic: &[(0, &[0xff, 0xd8, 0xff])],
    },
    Container {
        types: &["image/webp"],
        extension: "webp",
        magic: &[(0, b"RIFF"), (8, b"WEBP")],
    },
    Container {
        types: &["image/gif"],
        extension: "gif",
        magic: &[(0, b"GIF8")],
    },
    Container {
        types: &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
        extension: "wav",
        magic: &[(0, b"RIFF"), (8, b"WAVE")],
    },
    Container {
        types: &["audio/ogg", "video/ogg", "application/ogg"],
        extension: "ogg",
        magic: &[(0, b"OggS")],
    },
    Container {
        types: &["audio/flac", "audio/x-flac"],
        extension: "flac",
        magic: &[(0, b"fLaC")],
    },
    Container {
        types: &["audio/mpeg", "audio/mp3"],
        extension: "mp3",
        magic: &[(0, b"ID3")],
    },
    Container {
        types: &["audio/mpeg", "audio/mp3"],
        extension: "mp3",
        magic: &[(0, &[0xff, 0xfb])],
    },
    Container {
        types: &["audio/mpeg", "audio/mp3"],
        extension: "mp3",
        magic: &[(0, &[0xff, 0xf3])],
    },
    Container {
        types: &["audio/mpeg", "audio/mp3"],
        extension: "mp3",
        magic: &[(0, &[0xff, 0xf2])],
    },
    Container {
        types: &["audio/mpeg", "audio/mp3"],
        extension: "mp3",
        magic: &[(0, &[0xff, 0xfa])],
    },
    Container {
        types: &["model/gltf-binary"],
        extension: "glb",
        magic: &[(0, b"glTF")],
    },
    Container {
        types: &["application/pdf"],
        extension: "pdf",
        magic: &[(0, b"%PDF-")],
    },
    Container {
        types: &["application/zip"],
        extension: "zip",
        magic: &[(0, b"PK\x03\x04")],
    },
];

/// The usual extension of a media type, without the dot; `None`: not known.
#[must_use]
pub(crate) fn extension(media_type: &str) -> Option<&'static str> {
    let media_type = essence(media_type);
    let found = CONTAINERS
        .iter()
        .find(|container| container.types.contains(&media_type.as_str()));
    found.map(|container| container.extension)
}

/// The media type of a file whose answer says `header` and which begins with
/// `first`.
///
/// # Errors
///
/// Why it is not the file that was promised: `EmptyFile` or `WrongContent`. An
/// answer is then read as an answer.
pub(crate) fn check(task: &FileTask, header: Option<&str>, first: &[u8]) -> Result<String, Fault> {
    if first.is_empty() {
        return Err(Fault::new(Kind::EmptyFile, "the file is empty"));
    }
    let said = [task.mime.as_deref(), header]
        .into_iter()
        .flatten()
        .map(essence)
        .find(|said| said != ANY && !said.is_empty());
    let known = container_of(first);
    let content_type = match (&said, known) {
        (Some(said), _) => said.clone(),
        (None, Some(container)) => container_type(container, task),
        (None, None) => task
            .content_type
            .as_deref()
            .map_or_else(|| ANY.to_owned(), essence),
    };
    // What is wrapped becomes what the profile accepts.
    if task.wrap.is_none() && !accepts(task, &content_type) {
        return Err(wrong(format!(
            "`{content_type}` came where a file should be"
        )));
    }
    if !fits(&content_type, first) {
        return Err(wrong(format!(
            "what came is not `{content_type}`, by its first bytes"
        )));
    }
    if known.is_none() && !is_textual(&content_type) && is_page(first) {
        return Err(wrong("a text page came where a file should be".to_owned()));
    }
    Ok(content_type)
}

fn wrong(message: String) -> Fault {
    Fault::new(Kind::WrongContent, message)
}

/// Of the types that the container may hold, the one that the profile expects.
fn container_type(container: &Container, task: &FileTask) -> String {
    let expected = task.content_type.as_deref().map(essence);
    let of_profile = expected.filter(|expected| container.types.contains(&expected.as_str()));
    let of_accept = || {
        container
            .types
            .iter()
            .find(|one| accepted(&task.accept, one))
            .map(|one| (*one).to_owned())
    };
    let first = || container.types.first().map(|one| (*one).to_owned());
    of_profile
        .or_else(of_accept)
        .or_else(first)
        .unwrap_or_else(|| ANY.to_owned())
}

/// The media type that the first bytes say; `None`: no container we know.
#[must_use]
pub fn sniff(first: &[u8]) -> Option<&'static str> {
    container_of(first)?.types.first().copied()
}

fn container_of(first: &[u8]) -> Option<&'static Container> {
    CONTAINERS.iter().find(|container| begins(container, first))
}

fn begins(container: &Container, first: &[u8]) -> bool {
    container
        .magic
        .iter()
        .all(|(at, magic)| first.get(*at..at + magic.len()) == Some(*magic))
}

/// Whether a type of a known container begins like one.
fn fits(content_type: &str, first: &[u8]) -> bool {
    let mut of_type = CONTAINERS
        .iter()
        .filter(|container| container.types.contains(&content_type))
        .peekable();
    of_type.peek().is_none() || of_type.any(|container| begins(container, first))
}

/// Whether the profile takes a file of that type.
pub(super) fn accepts(task: &FileTask, content_type: &str) -> bool {
    accepted(&task.accept, content_type)
}

fn accepted(accept: &[String], content_type: &str) -> bool {
    accept.is_empty()
        || content_type == ANY
        || accept
            .iter()
            .any(|pattern| matches(&essence(pattern), content_type))
}

fn matches(pattern: &str, content_type: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => content_type.split('/').next() == Some(kind),
        None => pattern == content_type || pattern == "*",
    }
}

fn is_textual(content_type: &str) -> bool {
    content_type.starts_with("text/")
        || content_type.contains("json")
        || content_type.contains("xml")
}

/// JSON, or markup: what gateways answer in place of a file.
fn is_page(first: &[u8]) -> bool {
    let text = first.trim_ascii_start();
    match text.first() {
        Some(b'<') => is_markup(text),
        Some(b'{' | b'[') => text.len() < PAGE_MAX && serde_json::from_slice::<Value>(text).is_ok(),
        _ => false,
    }
}

/// Whether what begins with `<` reads as text: raw samples may begin with any byte.
fn is_markup(text: &[u8]) -> bool {
    let opens = text
        .get(1)
        .is_some_and(|next| next.is_ascii_alphabetic() || b"!?/".contains(next));
    let head = text.get(..MARKUP_HEAD).unwrap_or(text);
    let plain = |byte: &u8| *byte >= b' ' || b"\t\r\n".contains(byte);
    // A character may be cut at the end of what is looked at, and nowhere else.
    let whole = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    opens && whole && head.iter().all(plain)
}

/// The media type without its parameters, in lower case.
pub(super) fn essence(media_type: &str) -> String {
    media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// The file name of a `Content-Disposition`, without any path. `None`: no usable one.
pub(super) fn filename(disposition: &str) -> Option<String> {
    let value = disposition.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("filename")
            .then(|| value.trim().trim_matches('"'))
    })?;
    let name = value.rsplit(['/', '\\']).next()?.trim();
    let usable = !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 255
        && !name.chars().any(char::is_control);
    usable.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FileSource;
    use bytes::Bytes;

    const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0";
    const ERROR: &[u8] = br#"{"error":{"message":"task is not completed yet"}}"#;
    const HTML: &[u8] = b"<html><body>502</body></html>";

    #[test]
    #[rustfmt::skip]
    fn raw_samples_that_begin_like_markup_and_pictures_in_an_iso_container_are_files() {
        let cases = [
            // why                           accept     header                            first                                       saved as
            ("samples that begin with `<`",  "audio/*", Some("audio/pcm"),                &b"\x3c\x00\x3c\x01\x10\x02"[..],           Some("audio/pcm")),
            ("the same, and a letter",       "audio/*", Some("audio/pcm"),                &b"<a\x00\x01\xff\xfe"[..],                  Some("audio/pcm")),
            ("markup all the same",          "audio/*", Some("audio/pcm"),                HTML,                                       None),
            ("a picture",                    "image/*", Some("application/octet-stream"), &b"\0\0\0\x20ftypavif\0\0\0\0avifmif1"[..],   Some("image/avif")),
            ("another",                      "image/*", None,                             &b"\0\0\0\x20ftypheic\0\0\0\0heicmif1"[..],   Some("image/heic")),
        ];
        for (why, accept, header, first, want) in cases {
            let found = check(&task(accept, None), header, first).ok();
            assert_eq!(found.as_deref(), want, "{why}");
        }
    }

    fn task(accept: &str, content_type: Option<&str>) -> FileTask {
        FileTask {
            artifact: "video".into(),
            idx: 0,
            source: FileSource::Bytes(Bytes::new()),
            accept: vec![accept.into(), ANY.into()],
            max_bytes: 1 << 30,
            mime: None,
            content_type: content_type.map(str::to_owned),
            filename: None,
            wants_data_url: false,
            expires_at_ms: None,
            wrap: None,
            ok_status: Vec::new(),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn an_error_page_is_never_saved_as_a_video() {
        let mp4 = Some("video/mp4");
        type Case = (&'static str, Option<&'static str>, Option<&'static str>, &'static [u8], Option<&'static str>);
        let cases: [Case; 15] = [
            // accept    profile's  header                            first  saved as
            ("video/*",  mp4,       Some("video/mp4"),                MP4,   Some("video/mp4")),
            ("video/*",  mp4,       Some("Video/MP4; codecs=avc1"),   MP4,   Some("video/mp4")),
            ("video/*",  mp4,       Some("application/octet-stream"), MP4,   Some("video/mp4")),
            ("video/*",  mp4,       None,                             MP4,   Some("video/mp4")),
            ("video/*",  mp4,       Some("application/json"),         ERROR, None),
            ("video/*",  mp4,       Some("video/mp4"),                ERROR, None),
            ("video/*",  mp4,       Some("application/octet-stream"), ERROR, None),
            ("video/*",  None,      None,                             ERROR, None),
            ("video/*",  None,      Some("application/octet-stream"), HTML,  None),
            ("video/*",  mp4,       Some("text/html"),                HTML,  None),
            ("video/*",  mp4,       Some("video/mp4"),                PNG,   None),
            ("video/*",  None,      None,                             PNG,   None),
            ("video/*",  mp4,       Some("video/mp4"),                b"",   None),
            ("image/*",  None,      None,                             PNG,   Some("image/png")),
            ("video/*",  None,      None,                             b"??", Some(ANY)),
        ];
        for (accept, own, header, first, want) in cases {
            let got = check(&task(accept, own), header, first);
            assert_eq!(got.as_deref().ok(), want, "{accept} {own:?} {header:?} {}", String::from_utf8_lossy(first));
        }
    }

    #[test]
    fn an_empty_file_has_a_code_of_its_own() {
        assert_eq!(
            check(&task("video/*", None), Some("video/mp4"), b"")
                .unwrap_err()
                .kind,
            Kind::EmptyFile
        );
    }

    #[test]
    #[rustfmt::skip]
    fn a_file_name_has_no_path_in_it() {
        let cases = [
            (r#"attachment; filename="cat.mp4""#,         Some("cat.mp4")),
            ("attachment; filename=cat.mp4",              Some("cat.mp4")),
            (r#"attachment; filename="../../etc/passwd""#, Some("passwd")),
            (r#"attachment; filename="..""#,              None),
            ("attachment",                                None),
        ];
        for (header, want) in cases {
            assert_eq!(filename(header).as_deref(), want, "{header}");
        }
    }
}
