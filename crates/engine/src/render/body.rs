//! Bodies: JSON, forms, multipart (RFC 7578) and one file.

use super::{bounded, pure};
use crate::answer::unread;
use crate::fault::{Fault, Kind};
use crate::media::{Media, read_data_url};
use bytes::Bytes;
use profile::lang::{File, FileSource, Rendered, encode};
use serde_json::Value;

/// Bytes of a body that is written in memory: JSON, a form, parts. A file that is the whole body is sent as it is.
const BODY_MAX: usize = 512 * 1024 * 1024;

/// A body and its media type.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: String,
    pub(crate) is_multipart: bool,
}

impl Body {
    fn new(bytes: impl Into<Bytes>, content_type: impl Into<String>) -> Self {
        Self {
            bytes: bytes.into(),
            content_type: content_type.into(),
            is_multipart: false,
        }
    }
}

/// Puts our token into the body's root. Where it has no place nothing may be sent: a second send would be paid for.
pub(super) fn put_token(rendered: &mut Rendered, name: &str, value: Value) -> Result<(), Fault> {
    match rendered {
        Rendered::Value(Value::Object(members)) => {
            members.insert(name.to_owned(), value);
        }
        Rendered::Object(members) => {
            members.retain(|(have, _)| have != name);
            members.push((name.to_owned(), Rendered::Value(value)));
        }
        _ => {
            let message = format!("the body is no object, so that `{name}` has no place in it");
            return Err(bad(message));
        }
    }
    Ok(())
}

pub(super) fn json(rendered: Rendered) -> Result<Body, Fault> {
    let bytes = written(&pure(rendered)?, BODY_MAX)?;
    Ok(Body::new(bytes, "application/json"))
}

/// JSON of at most so many bytes, bounded while it is written: escapes make it longer than its values.
fn written(value: &Value, most: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Written {
        bytes: Vec::with_capacity(256),
        most,
    };
    serde_json::to_writer(&mut out, value).map_err(|_| {
        bad(format!(
            "the body has more than {most} bytes; at most these are sent"
        ))
    })?;
    Ok(out.bytes)
}

struct Written {
    bytes: Vec<u8>,
    most: usize,
}

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.most {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) fn form(rendered: Rendered) -> Result<Body, Fault> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let mut length = 0;
    for (name, value) in members(rendered)? {
        for text in texts(&name, &pure(value)?)? {
            length += name.len() + text.len();
            bounded("the body", length, BODY_MAX)?;
            form.append_pair(&name, &text);
        }
    }
    Ok(Body::new(
        form.finish(),
        "application/x-www-form-urlencoded",
    ))
}

pub(super) fn binary(rendered: Rendered, media: &Media) -> Result<Body, Fault> {
    let Rendered::Files(files) = rendered else {
        return Err(bad("a binary body is one `$file`"));
    };
    let [file] = files.as_slice() else {
        return Err(bad(format!(
            "a binary body is one file, and there are {}",
            files.len()
        )));
    };
    let content = Content::of(file, media)?;
    Ok(Body::new(content.bytes, content.content_type))
}

pub(super) fn multipart(rendered: Rendered, media: &Media, boundary: &str) -> Result<Body, Fault> {
    let mut writer = Multipart {
        out: Vec::new(),
        boundary,
    };
    for (name, value) in members(rendered)? {
        part(&mut writer, &name, value, media)?;
    }
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let body = Body::new(writer.finish(), content_type);
    Ok(Body {
        is_multipart: true,
        ..body
    })
}

fn part(
    writer: &mut Multipart<'_>,
    name: &str,
    value: Rendered,
    media: &Media,
) -> Result<(), Fault> {
    match value {
        Rendered::Value(value) => {
            for text in texts(name, &value)? {
                writer.part(name, None, None, text.as_bytes())?;
            }
        }
        Rendered::Part(part) => {
            writer.part(name, None, Some(&part.content_type), part.text.as_bytes())?;
        }
        Rendered::Files(files) => {
            for file in &files {
                let content = Content::of(file, media)?;
                writer.part(
                    name,
                    Some(&content.filename),
                    Some(&content.content_type),
                    &content.bytes,
                )?;
            }
        }
        Rendered::List(items) => {
            for item in items {
                part(writer, name, item, media)?;
            }
        }
        Rendered::Object(_) => {
            return Err(bad(format!(
                "`{name}` is an object, which a form cannot have"
            )));
        }
    }
    Ok(())
}

fn members(rendered: Rendered) -> Result<Vec<(String, Rendered)>, Fault> {
    match rendered {
        Rendered::Object(members) => Ok(members),
        Rendered::Value(Value::Object(members)) => Ok(members
            .into_iter()
            .map(|(name, value)| (name, Rendered::Value(value)))
            .collect()),
        _ => Err(bad("the body of a form is an object")),
    }
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, Fault> {
    encode::repeated(name, value).map_err(|error| unread(&error))
}

/// The bytes of one file, and what is said about them.
struct Content {
    bytes: Bytes,
    content_type: String,
    filename: String,
}

impl Content {
    fn of(file: &File, media: &Media) -> Result<Self, Fault> {
        let own = match &file.source {
            FileSource::Input { name, index } => Self::of_input(name, *index, media)?,
            FileSource::DataUrl(text) => {
                let (content_type, bytes) = read_data_url(text)
                    .ok_or_else(|| bad("a file's `data:` address cannot be read"))?;
                Self::named("file", content_type, bytes)
            }
        };
        Ok(Self {
            content_type: file.content_type.clone().unwrap_or(own.content_type),
            filename: file.filename.clone().unwrap_or(own.filename),
            bytes: own.bytes,
        })
    }

    fn of_input(name: &str, index: usize, media: &Media) -> Result<Self, Fault> {
        let medium = media
            .get(name, index)
            .ok_or_else(|| bad(format!("`inputs.{name}` has no item {index}")))?;
        let bytes = medium.bytes.clone().ok_or_else(|| {
            bad(match &medium.handle {
                Some(_) => format!("`inputs.{name}` is a reference of the provider where a file is sent"),
                None => format!("`inputs.{name}` is an address that is not fetched here, where its bytes are sent; give a file or a `data_url`"),
            })
        })?;
        let own = Self::named(name, medium.mime().to_owned(), bytes);
        Ok(Self {
            filename: medium.filename.clone().unwrap_or(own.filename),
            ..own
        })
    }

    fn named(stem: &str, content_type: String, bytes: Bytes) -> Self {
        let filename = match crate::download::extension(&content_type) {
            Some(extension) => format!("{stem}.{extension}"),
            None => stem.to_owned(),
        };
        Self {
            bytes,
            content_type,
            filename,
        }
    }
}

/// Writes a `multipart/form-data` body. The boundary is drawn, so that the same
/// draws make the same bytes; 122 random bits do not occur in a file by chance.
struct Multipart<'a> {
    out: Vec<u8>,
    boundary: &'a str,
}

impl Multipart<'_> {
    fn part(
        &mut self,
        name: &str,
        filename: Option<&str>,
        content_type: Option<&str>,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        bounded(
            "the body",
            self.out.len().saturating_add(bytes.len()),
            BODY_MAX,
        )?;
        self.line(&format!("--{}", self.boundary));
        let mut disposition = format!("Content-Disposition: form-data; name=\"{}\"", quoted(name));
        if let Some(filename) = filename {
            disposition.push_str(&format!("; filename=\"{}\"", quoted(filename)));
        }
        self.line(&disposition);
        if let Some(content_type) = content_type {
            self.line(&format!("Content-Type: {}", quoted(content_type)));
        }
        self.line("");
        self.out.extend_from_slice(bytes);
        self.line("");
        Ok(())
    }

    fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn finish(mut self) -> Vec<u8> {
        self.line(&format!("--{}--", self.boundary));
        self.out
    }
}

/// As browsers write names: what would end the header or the quotes is encoded
/// (WHATWG, multipart/form-data encoding algorithm).
fn quoted(text: &str) -> String {
    text.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn bad(message: impl Into<String>) -> Fault {
    Fault::new(Kind::BadValue, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Medium;
    use profile::lang::Part;
    use serde_json::json;

    fn media() -> Media {
        let medium = Medium {
            bytes: Some(Bytes::from_static(b"\x89PNG")),
            mime: Some("image/png".into()),
            ..Medium::default()
        };
        Media([("reference".to_owned(), vec![medium])].into())
    }

    fn file(filename: Option<&str>) -> Rendered {
        Rendered::Files(vec![File {
            source: FileSource::Input {
                name: "reference".into(),
                index: 0,
            },
            filename: filename.map(str::to_owned),
            content_type: None,
        }])
    }

    #[test]
    fn a_multipart_body_is_written_byte_by_byte_as_rfc_7578_says() {
        let rendered = Rendered::Object(vec![
            ("seconds".into(), Rendered::Value(json!(8))),
            ("tags".into(), Rendered::Value(json!(["a", "b"]))),
            (
                "meta".into(),
                Rendered::Part(Part {
                    text: "{}".into(),
                    content_type: "application/json".into(),
                }),
            ),
            ("input_reference".into(), file(Some("a\"b\r\n.png"))),
        ]);
        let body = multipart(rendered, &media(), "B").unwrap();
        let want = "--B\r\nContent-Disposition: form-data; name=\"seconds\"\r\n\r\n8\r\n\
            --B\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\na\r\n\
            --B\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\nb\r\n\
            --B\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n{}\r\n\
            --B\r\nContent-Disposition: form-data; name=\"input_reference\"; filename=\"a%22b%0D%0A.png\"\r\n\
            Content-Type: image/png\r\n\r\n";
        let want = [want.as_bytes(), b"\x89PNG\r\n--B--\r\n"].concat();
        assert_eq!(
            String::from_utf8_lossy(&body.bytes),
            String::from_utf8_lossy(&want)
        );
        assert_eq!(body.bytes, want);
        assert_eq!(body.content_type, "multipart/form-data; boundary=B");
    }

    /// One medium of 64 MiB, a hundred times.
    #[test]
    fn a_body_of_parts_is_bounded_and_copies_no_more() {
        let medium = Medium {
            bytes: Some(vec![0; 64 << 20].into()),
            ..Medium::default()
        };
        let media = Media([("reference".to_owned(), vec![medium])].into());
        let files = (0..100).map(|i| (format!("part{i}"), file(None)));
        let fault = multipart(Rendered::Object(files.collect()), &media, "B").unwrap_err();
        assert_eq!(fault.kind, Kind::BadValue);
        assert!(fault.message.contains("at most"), "{fault}");
        let whole = binary(file(None), &media).unwrap();
        assert_eq!(whole.bytes.len(), 64 << 20);
    }

    /// A control character is six bytes in JSON.
    #[test]
    fn a_body_of_json_is_bounded_as_it_is_written() {
        let text = Value::from("\u{1}".repeat(100));
        assert_eq!(written(&text, 602).unwrap().len(), 602);
        assert_eq!(written(&text, 601).unwrap_err().kind, Kind::BadValue);
    }

    #[test]
    fn a_form_repeats_arrays_and_refuses_objects() {
        let value = json!({"a b": "c&d", "n": [1, true]});
        let body = form(Rendered::Value(value)).unwrap();
        assert_eq!(body.bytes, "a+b=c%26d&n=1&n=true");
        assert!(form(Rendered::Value(json!({"o": {"x": 1}}))).is_err());
        assert!(multipart(Rendered::Value(json!({"o": {"x": 1}})), &media(), "B").is_err());
    }

    #[test]
    fn a_binary_body_is_exactly_one_file() {
        let body = binary(file(None), &media()).unwrap();
        assert_eq!(
            (&body.bytes[..], body.content_type.as_str()),
            (&b"\x89PNG"[..], "image/png")
        );
        assert!(binary(Rendered::Files(Vec::new()), &media()).is_err());
        assert!(binary(Rendered::Value(json!("x")), &media()).is_err());
    }

    #[test]
    fn what_has_no_bytes_is_not_sent_as_an_empty_file_and_is_told_for_what_it_is() {
        let reference = Medium {
            handle: Some("file-1".into()),
            ..Medium::default()
        };
        let address = Medium {
            url: Some("https://media.test/a.png".into()),
            ..Medium::default()
        };
        for (medium, says) in [(reference, "a reference"), (address, "an address")] {
            let media = Media([("reference".to_owned(), vec![medium])].into());
            let fault = binary(file(None), &media).unwrap_err();
            assert_eq!(fault.kind, Kind::BadValue);
            assert!(fault.message.contains(says), "{}", fault.message);
        }
    }

    #[test]
    fn json_keeps_every_digit_and_the_order_of_members() {
        let value: Value =
            serde_json::from_str(r#"{"b":12345678901234567890123,"a":0.10}"#).unwrap();
        assert_eq!(
            json(Rendered::Value(value)).unwrap().bytes,
            r#"{"b":12345678901234567890123,"a":0.10}"#
        );
    }
}
