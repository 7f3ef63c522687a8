//! The model that serves a call: which of its options and media a parameter is, and what it reads of a call.

use profile::capabilities::{InputSpec, OptionSpec};
use profile::lang::Root;
use profile::revision::Revision;

/// A revision, seen by the names of the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'r>(pub(super) &'r Revision);

/// What the requests of a profile read of a call, beside options and media.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one name of the language"
)]
pub(super) struct Reads {
    pub(super) messages: bool,
    /// The prompt, alone or as the last part of `input`.
    pub(super) prompt: bool,
    /// `shortHistory`, alone or within `input`.
    pub(super) history: bool,
    pub(super) max_tokens: bool,
    pub(super) language: bool,
}

impl<'r> Target<'r> {
    /// The option that a parameter is; absent: the model has none.
    pub(super) fn option(self, parameter: &str) -> Option<&'r OptionSpec> {
        let name = self.0.api_names.meant(parameter);
        let option = self.0.capabilities.option(name);
        option.filter(|option| option.supported)
    }

    /// The medium that a parameter is: the one that the profile names, the one that is called like it, or the only one of the kind.
    pub(super) fn input(self, parameter: &str, kind: &str) -> Option<&'r InputSpec> {
        let inputs = &self.0.capabilities.inputs;
        let meant = self.0.api_names.meant(parameter);
        let named = |name: &str| inputs.iter().find(|input| input.name == name);
        let of_kind = |input: &&InputSpec| input.kind.as_deref() == Some(kind);
        let mut alike = inputs.iter().filter(of_kind);
        let only = match (alike.next(), alike.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        };
        named(meant)
            .or_else(|| named(kind).filter(of_kind))
            .or(only)
    }

    /// The model by its name, for a message.
    pub(super) fn name(self) -> &'r str {
        self.0.model.as_deref().unwrap_or(&self.0.profile_key)
    }

    pub(super) fn reads(self) -> Reads {
        let mut reads = Reads::default();
        let flow = &self.0.workflow;
        let steps = flow.before.iter().chain(&flow.steps);
        let steps = steps.filter_map(|step| step.exchange.as_ref());
        let submits = self.0.submits.iter().map(|submit| &submit.exchange);
        for exchange in submits.chain(steps) {
            exchange.reads(&self.0.vars, &mut |read| match read.name.root {
                Root::Messages => reads.messages = true,
                Root::UserPrompt => reads.prompt = true,
                Root::ShortHistory => reads.history = true,
                Root::Input => (reads.prompt, reads.history) = (true, true),
                Root::MaxTokens => reads.max_tokens = true,
                Root::Language => reads.language = true,
                _ => {}
            });
        }
        reads
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::revision;
    use super::*;

    #[test]
    fn a_medium_is_found_by_the_profiles_name_for_it_or_as_the_only_one_of_its_kind() {
        let (chat, listen) = (revision("talk-1"), revision("listen-1"));
        let name = |input: Option<&InputSpec>| input.map(|input| input.name.clone());
        assert_eq!(
            name(Target(&chat).input("image", "image")),
            Some("picture".into())
        );
        assert_eq!(
            name(Target(&listen).input("file", "audio")),
            Some("speech".into())
        );
        assert_eq!(name(Target(&listen).input("image", "image")), None);
    }

    #[test]
    fn what_a_profile_reads_is_seen_in_its_requests() {
        let reads = |model| Target(&revision(model)).reads();
        let talk = Reads {
            messages: true,
            prompt: true,
            history: true,
            max_tokens: true,
            language: false,
        };
        assert_eq!(reads("talk-1"), talk);
        let answer = Reads {
            messages: false,
            max_tokens: false,
            ..talk
        };
        assert_eq!(reads("answer-1"), answer);
        assert!(reads("listen-1").language && !reads("listen-1").messages);
    }
}
