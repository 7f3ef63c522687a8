//! The parts of a multipart answer (RFC 2046), which is here as a whole.

use crate::fault::{Fault, Kind};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream;
use multer::{Constraints, Multipart, SizeLimit};
use std::convert::Infallible;

/// Parts of one answer.
const PARTS_MAX: usize = 1_000;

/// One part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    /// Absent when the part names none.
    pub(crate) content_type: Option<String>,
}

/// The parts of that name, in their order; empty: there is none.
///
/// # Errors
///
/// `BadFile` when the body is not what `content_type` says, or was cut.
pub(crate) fn named(content_type: &str, body: &Bytes, name: &str) -> Result<Vec<Part>, Fault> {
    let boundary = boundary(content_type).ok_or_else(|| {
        bad("the answer has no parts: its content type is not `multipart` with a boundary")
    })?;
    let bytes = stream::iter([Ok::<_, Infallible>(body.clone())]);
    let limit = SizeLimit::new().whole_stream(body.len() as u64);
    let constraints = Constraints::new().size_limit(limit);
    let mut parts = Multipart::with_constraints(bytes, boundary, constraints);
    let mut found = Vec::new();
    for _ in 0..PARTS_MAX {
        // All bytes are here: what is not ready now never will be.
        let next = parts.next_field().now_or_never();
        let Some(part) = next.and_then(Result::ok).ok_or_else(cut)? else {
            return Ok(found);
        };
        if part.name() != Some(name) {
            continue;
        }
        let content_type = part.content_type().map(ToString::to_string);
        let bytes = part.bytes().now_or_never();
        let bytes = bytes.and_then(Result::ok).ok_or_else(cut)?;
        found.push(Part {
            bytes,
            content_type,
        });
    }
    Err(bad(&format!("the answer has more than {PARTS_MAX} parts")))
}

/// The boundary of any `multipart/…`.
fn boundary(content_type: &str) -> Option<String> {
    let read: mime::Mime = content_type.parse().ok()?;
    let boundary = (read.type_() == mime::MULTIPART).then(|| read.get_param(mime::BOUNDARY))??;
    Some(boundary.as_str().to_owned())
}

fn cut() -> Fault {
    bad("the parts of the answer cannot be read")
}

fn bad(message: &str) -> Fault {
    Fault::new(Kind::BadFile, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/mixed; boundary=\"a b\"";

    fn body(parts: &[(&str, &str)]) -> String {
        let part = |(name, text): &(&str, &str)| {
            format!(
                "--a b\r\nContent-Type: audio/mpeg\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            )
        };
        parts.iter().map(part).collect::<String>() + "--a b--\r\n"
    }

    #[test]
    fn the_parts_of_a_name_are_found_among_others() {
        let body = Bytes::from(body(&[
            ("meta", "{}"),
            ("audio", "one"),
            ("audio", "--a two"),
        ]));
        let found = named(TYPE, &body, "audio").unwrap();
        let texts: Vec<_> = found.iter().map(|part| part.bytes.as_ref()).collect();
        assert_eq!(texts, [b"one".as_slice(), b"--a two"]);
        assert_eq!(found[0].content_type.as_deref(), Some("audio/mpeg"));
        assert_eq!(named(TYPE, &body, "video").unwrap(), []);
    }

    #[test]
    fn what_was_cut_or_has_no_boundary_is_no_file() {
        let whole = body(&[("audio", "one")]);
        let cut = Bytes::copy_from_slice(&whole.as_bytes()[..whole.len() - 12]);
        let many = Bytes::from(body(&[("audio", "x"); PARTS_MAX + 1]));
        let whole = Bytes::from(whole);
        for (why, content_type, body) in [
            ("cut", TYPE, &cut),
            ("no boundary", "multipart/mixed", &whole),
            ("another type", "application/json; boundary=x", &whole),
            ("no type", "", &whole),
            ("too many parts", TYPE, &many),
        ] {
            let fault = named(content_type, body, "audio").unwrap_err();
            assert_eq!(fault.kind, Kind::BadFile, "{why}");
        }
    }
}
