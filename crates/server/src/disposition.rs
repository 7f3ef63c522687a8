//! `Content-Disposition` of an artifact: always a download, RFC 6266, so that
//! a provider's bytes never act as a page of ours.

use axum::http::HeaderValue;

/// Extensions people expect; other types go without one.
const EXTENSIONS: &[(&str, &str)] = &[
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    ("video/quicktime", "mov"),
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/webp", "webp"),
    ("image/gif", "gif"),
    ("audio/mpeg", "mp3"),
    ("audio/wav", "wav"),
    ("audio/ogg", "ogg"),
    ("audio/flac", "flac"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/json", "json"),
    ("model/gltf-binary", "glb"),
    ("text/plain", "txt"),
];

/// `attachment; filename="video.mp4"`; from the second of a name on with its number.
pub(crate) fn attachment(name: &str, idx: i32, content_type: &str) -> HeaderValue {
    let stem: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let number = if idx == 0 {
        String::new()
    } else {
        format!("-{idx}")
    };
    let extension = extension(content_type)
        .map(|known| format!(".{known}"))
        .unwrap_or_default();
    let text = format!("attachment; filename=\"{stem}{number}{extension}\"");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn extension(content_type: &str) -> Option<&'static str> {
    let essence = content_type.split(';').next()?.trim();
    let found = EXTENSIONS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(essence));
    found.map(|(_, extension)| *extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn a_file_is_offered_under_its_name_with_nothing_that_could_leave_the_folder() {
        let cases = [
            ("video",          0, "video/mp4",                 "attachment; filename=\"video.mp4\""),
            ("frames",         2, "image/PNG; charset=binary", "attachment; filename=\"frames-2.png\""),
            ("video",          0, "application/x-unknown",     "attachment; filename=\"video\""),
            ("../a\"b\r\n.sh", 0, "video/mp4",                 "attachment; filename=\"___a_b___sh.mp4\""),
        ];
        for (name, idx, content_type, want) in cases {
            assert_eq!(attachment(name, idx, content_type), want, "{name:?}");
        }
    }
}
