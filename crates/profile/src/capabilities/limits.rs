//! Limits, and what they bind to by their documented names.

use super::{InputSpec, LimitTarget, OptionSpec};

/// What a documented name may bind to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Binds {
    /// The first option of these names that is declared.
    Options(&'static [&'static str]),
    Prompt,
    MaxTokens,
    Images,
}

/// The documented names.
pub(super) const LIMITS: &[(&str, Binds)] = &[
    (
        "max_duration_seconds",
        Binds::Options(&["seconds", "duration", "duration_seconds"]),
    ),
    ("max_prompt_chars", Binds::Prompt),
    ("max_output_tokens", Binds::MaxTokens),
    (
        "max_images_per_request",
        Binds::Options(&["n", "sample_count"]),
    ),
    ("max_reference_images", Binds::Images),
];

/// What the limit binds to among what the model declares.
pub(super) fn target(
    name: &str,
    options: &[OptionSpec],
    inputs: &[InputSpec],
) -> Option<LimitTarget> {
    let (_, binds) = LIMITS.iter().find(|(known, _)| *known == name)?;
    match binds {
        Binds::Options(names) => {
            let found = names
                .iter()
                .find(|name| options.iter().any(|option| option.name == **name))?;
            Some(LimitTarget::Option((*found).to_owned()))
        }
        Binds::Prompt => Some(LimitTarget::PromptChars),
        Binds::MaxTokens => Some(LimitTarget::MaxTokens),
        Binds::Images => {
            let images = inputs
                .iter()
                .filter(|input| input.kind.as_deref() == Some("image") || takes_images(input));
            let names: Vec<String> = images.map(|input| input.name.clone()).collect();
            (!names.is_empty()).then_some(LimitTarget::InputCount(names))
        }
    }
}

fn takes_images(input: &InputSpec) -> bool {
    input.kind.is_none() && input.mime.iter().any(|mime| mime.starts_with("image/"))
}
