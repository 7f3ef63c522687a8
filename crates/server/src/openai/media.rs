//! Media as that API gives them in JSON: an address, a `data:` address, or an object around one.

use crate::call::wrong_type;
use crate::problem::Violation;
use diag::{Code, Place};
use runtime::InputMedium;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Members of the object, in that API and in ours.
const WAYS: &str = "`image_url`, `url`, `file_id`, or `handle` for the provider's own reference";

/// Reads one medium, or a list of them.
pub(super) fn of(value: Value, place: &Place, found: &mut Vec<Violation>) -> Vec<InputMedium> {
    match value {
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items
                .filter_map(|(i, item)| one(item, &place.child(i), found))
                .collect()
        }
        other => one(other, place, found).into_iter().collect(),
    }
}

fn one(value: Value, place: &Place, found: &mut Vec<Violation>) -> Option<InputMedium> {
    match value {
        Value::String(address) => Some(at(address)),
        Value::Object(members) => object(&members, place, found),
        other => {
            found.push(wrong_type(
                place,
                "an address, or an object with one",
                &other,
            ));
            None
        }
    }
}

/// A medium by its address; the names of schemes know no case (RFC 3986, section 3.1).
pub(super) fn at(address: String) -> InputMedium {
    let scheme = address.get(..5).unwrap_or_default();
    match scheme.eq_ignore_ascii_case("data:") {
        true => InputMedium::DataUrl(address),
        false => InputMedium::Url(address),
    }
}

fn object(
    members: &Map<String, Value>,
    place: &Place,
    found: &mut Vec<Violation>,
) -> Option<InputMedium> {
    let given = members.iter().filter(|(name, value)| {
        !value.is_null() && name.as_str() != "detail" && name.as_str() != "type"
    });
    let given: Vec<_> = given.collect();
    let medium = match given.as_slice() {
        [(name, Value::String(text))] => match name.as_str() {
            "image_url" | "url" | "video_url" | "audio_url" => Some(at(text.clone())),
            "handle" => Some(InputMedium::Handle(text.clone())),
            "file_id" | "id" => Uuid::try_parse(text).ok().map(InputMedium::Upload),
            _ => None,
        },
        [(name, Value::Object(inner))] if name.ends_with("_url") => {
            let address = inner.get("url").and_then(Value::as_str);
            address.map(|address| at(address.to_owned()))
        }
        _ => None,
    };
    if medium.is_none() {
        let message = "the medium is not given in exactly one way that is known";
        let violation = Violation::new(Code::C166, message, format!("give one of {WAYS}"));
        found.push(violation.at(place.pointer.clone()));
    }
    medium
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_medium_is_an_address_or_an_object_with_one() {
        let upload = "018f0000-0000-7000-8000-000000000000";
        let cases = [
            (json!("https://a.example/x.png"), "Url"),
            (json!("data:image/png;base64,AA=="), "DataUrl"),
            (json!({"image_url": "https://a.example/x.png"}), "Url"),
            (
                json!({"image_url": {"url": "data:image/png;base64,AA=="}}),
                "DataUrl",
            ),
            (
                json!({"type": "image", "url": "https://a.example/x.png", "detail": "low"}),
                "Url",
            ),
            (json!({"file_id": upload}), "Upload"),
            (json!({"handle": "file-7"}), "Handle"),
            (json!({"file_id": "file-7"}), ""),
            (
                json!({"image_url": "https://a.example", "file_id": upload}),
                "",
            ),
            (json!({}), ""),
            (json!(7), ""),
        ];
        for (given, want) in cases {
            let mut found = Vec::new();
            let media = of(given.clone(), &Place::pointer("/x"), &mut found);
            let shown = media
                .first()
                .map(|medium| format!("{medium:?}"))
                .unwrap_or_default();
            assert!(shown.starts_with(want), "{given}: {shown}");
            assert_eq!(found.is_empty(), !want.is_empty(), "{given}");
            assert!(
                found.iter().all(|one| one.pointer() == Some("/x")),
                "{given}"
            );
        }
    }
}
