//! Why a template could not be evaluated. Names only, never values: a value
//! may be a secret or a prompt.

/// What stopped an evaluation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// `missing_value`: an address, a header or a longer text needs a value that is absent.
    #[error("`{name}` is absent")]
    Missing {
        /// The expression as written.
        name: String,
    },
    /// An object or array where text is wanted.
    #[error("`{name}` is an object or array where text is wanted")]
    NotText {
        /// The expression as written.
        name: String,
    },
    /// A helper got a value that it cannot use.
    #[error("`{helper}`: {reason}")]
    Helper {
        /// The helper.
        helper: &'static str,
        /// What it needs.
        reason: &'static str,
    },
    /// A value that may not stand in an address.
    #[error("`{name}` {reason}")]
    Address {
        /// The expression as written.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A control character in a header.
    #[error("`{name}` has a control character, which no header may have")]
    Control {
        /// The expression as written.
        name: String,
    },
    /// `$merge` of something that is not an object.
    #[error("`$merge` was given something that is not an object")]
    NotAnObject,
    /// `$file` found something that is not media.
    #[error("`$file` found something that is not media")]
    NotMedia,
    /// A list, or the whole, is larger than the bounds of the language.
    #[error("the template makes more than the bounds of the language allow")]
    TooLarge,
    /// A media part where plain JSON is sent.
    #[error("a file or part of its own cannot stand in JSON")]
    PartInJson,
}
