//! A profile's member `openai`: what the OpenAI-compatible face of the HTTP API calls its options and inputs.
//!
//! `"openai": {"seconds": "duration", "input_reference": "first_frame"}`: the parameter of that API, and what is meant here. A
//! parameter that is called like an option or an input needs no line. The member decides about no request: it is read when a call of
//! the face becomes a call of ours, and when a run is shown as that API shows it.

use crate::capabilities::Capabilities;
use crate::check::compile::Joined;
use crate::check::walk::{Sink, nearest, some_of, wrong_type};
use diag::{Code, Place};
use serde_json::Value;
use std::collections::BTreeMap;

/// The member, and the path of the face.
pub const MEMBER: &str = "openai";

/// The parameters of the face that have another name here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiNames(BTreeMap<String, String>);

impl ApiNames {
    /// The option or input that a parameter of the face stands for: the one that the profile names, else the one that is called like it.
    #[must_use]
    pub fn meant<'n>(&'n self, parameter: &'n str) -> &'n str {
        self.0.get(parameter).map_or(parameter, String::as_str)
    }

    /// Whether the profile has a line for it.
    #[must_use]
    pub fn has(&self, parameter: &str) -> bool {
        self.0.contains_key(parameter)
    }

    /// What the face calls an option or an input.
    #[must_use]
    pub fn parameter<'n>(&'n self, meant: &'n str) -> &'n str {
        let mut lines = self.0.iter();
        let found = lines.find(|(_, own)| own.as_str() == meant);
        found.map_or(meant, |(parameter, _)| parameter.as_str())
    }
}

/// Whether a row has the member: a database has `{}` where a bundle has nothing.
pub(crate) fn says_something(member: &Value) -> bool {
    !member.is_null() && member.as_object().is_none_or(|lines| !lines.is_empty())
}

/// Reads the member; each line names an option or input of the model, or of another model of the profile.
pub(crate) fn compile(joined: &Joined<'_>, can: &Capabilities, sink: &Sink) -> ApiNames {
    let at = joined.profile.at.child(MEMBER);
    let lines = match &joined.profile.face {
        Value::Null => return ApiNames::default(),
        Value::Object(lines) => lines,
        other => {
            wrong_type(sink, &at, "an object", other);
            return ApiNames::default();
        }
    };
    let options = can.options.iter().map(|option| option.name.as_str());
    let inputs = can.inputs.iter().map(|input| input.name.as_str());
    let siblings = joined
        .siblings
        .options
        .iter()
        .chain(&joined.siblings.inputs);
    let known: Vec<&str> = options
        .chain(inputs)
        .chain(siblings.map(String::as_str))
        .collect();
    let mut names = BTreeMap::new();
    for (parameter, meant) in lines {
        let at = at.child(parameter);
        match meant.as_str() {
            None => wrong_type(sink, &at, "the name of an option or input", meant),
            // Without a model nothing is known, and that is said elsewhere.
            Some(meant) if joined.model.is_some() && !known.contains(&meant) => {
                nothing_meant(meant, &known, &at, sink);
            }
            Some(meant) => drop(names.insert(parameter.clone(), meant.to_owned())),
        }
    }
    ApiNames(names)
}

fn nothing_meant(meant: &str, known: &[&str], at: &Place, sink: &Sink) {
    let near = nearest(meant, known.iter().copied());
    let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let help = match known.is_empty() {
        true => "the model has neither options nor inputs".to_owned(),
        false => format!("{start}the model has: {}", some_of(known)),
    };
    let message = format!("the model has no option and no input `{meant}`");
    sink.error(Code::P308, at, message, help);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_means_what_its_line_says_and_else_what_is_called_like_it() {
        let lines = [("seconds".to_owned(), "duration".to_owned())];
        let names = ApiNames(BTreeMap::from(lines));
        assert_eq!(names.meant("seconds"), "duration");
        assert_eq!(names.meant("size"), "size");
        assert_eq!(names.parameter("duration"), "seconds");
        assert_eq!(names.parameter("size"), "size");
        assert!(names.has("seconds") && !names.has("size"));
    }

    #[test]
    fn an_empty_member_says_nothing() {
        for (member, says) in [
            (serde_json::json!(null), false),
            (serde_json::json!({}), false),
            (serde_json::json!({"seconds": "duration"}), true),
            (serde_json::json!(7), true),
        ] {
            assert_eq!(says_something(&member), says, "{member}");
        }
    }
}
