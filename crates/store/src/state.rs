//! The words of the tables: where a run stands, and how an attempt ended.
//! Which move is legal is decided elsewhere (`engine::state`).

use crate::StoreError;
use std::fmt;

/// Declares an enum whose variants are words of a column.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident in $column:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every word, in the order of the page.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word as the column holds it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads the column's word.
            ///
            /// # Errors
            ///
            /// [`StoreError::UnknownWord`]: a newer program wrote it.
            pub fn parse(word: &str) -> Result<Self, StoreError> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err(StoreError::UnknownWord { column: $column, word: other.to_owned() }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// `run_states.state`: the ten words of the design page.
    State in "run_states.state" {
        /// Waits for a place.
        Queued = "queued",
        /// Runs the steps before the submit, which cost nothing.
        Preparing = "preparing",
        /// The intent is committed; the request may be on the wire.
        Submitting = "submitting",
        /// Nobody knows whether the provider took the job.
        SubmitUnknown = "submit_unknown",
        /// The provider works.
        Polling = "polling",
        /// Its files are on their way to us.
        Fetching = "fetching",
        /// A synchronous answer is stored and being read.
        Validating = "validating",
        /// Ended well.
        Succeeded = "succeeded",
        /// Ended badly; `failure` says why.
        Failed = "failed",
        /// Ended by the caller.
        Canceled = "canceled",
    }
}

impl State {
    /// Whether the run has ended (proof of a paid job may still reopen it).
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    /// Whether the owner of the run's shard follows it.
    #[must_use]
    pub fn is_followed(self) -> bool {
        matches!(
            self,
            Self::SubmitUnknown | Self::Polling | Self::Fetching | Self::Validating
        )
    }
}

words! {
    /// `submit_attempts.outcome`.
    Outcome in "submit_attempts.outcome" {
        /// Intended; perhaps sent.
        Pending = "pending",
        /// Certainly not sent, or proved absent.
        NotSent = "not_sent",
        /// The provider said no.
        Refused = "refused",
        /// The provider has the job.
        Accepted = "accepted",
        /// The exchange ended without a verdict, or its sender died.
        Unknown = "unknown",
        /// The job ran and failed; a fallback may follow.
        JobFailed = "job_failed",
        /// An admin or an operator consented to a repeat.
        WrittenOff = "written_off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself_and_others_are_refused() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()).ok(), Some(*state));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()).ok(), Some(*outcome));
        }
        assert!(State::parse("paused").is_err());
        assert!(Outcome::parse("").is_err());
    }

    #[test]
    fn no_ended_state_is_followed() {
        assert!(
            State::ALL
                .iter()
                .all(|s| !(s.is_ended() && s.is_followed()))
        );
    }
}
