//! How the program ends: one type for every failure, and its exit code.

use crate::ui;
use diag::{Code, Diagnostic, Diagnostics, Place};
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Refused before anything was sent: the input has mistakes.
    Refused(Diagnostics),
    /// The house is not in order: database, files, addresses.
    House {
        /// Its page says more.
        code: Code,
        /// What is wrong, with its causes.
        message: String,
        /// What to do.
        help: String,
    },
    /// The command has told all there is to tell; the exit code is left.
    Told(u8),
}

/// The run ended, and not well; cases failed.
pub(crate) const FAILED: u8 = 1;
/// Refused: nothing was sent.
pub(crate) const REFUSED: u8 = 2;
/// The house is not in order.
pub(crate) const HOUSE: u8 = 3;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

impl Stop {
    /// A fault of the house.
    pub(crate) fn house(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::House {
            code,
            message: message.into(),
            help: help.into(),
        }
    }

    /// One mistake of the command line, at the named option.
    pub(crate) fn usage(
        code: Code,
        option: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let place = Place {
            source: Some("command line".to_owned()),
            pointer: option.to_owned(),
            ..Place::default()
        };
        Self::Refused(Diagnostics(vec![Diagnostic::error(
            code, place, message, help,
        )]))
    }

    /// Tells people what stopped the command, and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Self::Refused(found) => {
                found.iter().for_each(ui::print_diagnostic);
                REFUSED.into()
            }
            Self::House {
                code,
                message,
                help,
            } => {
                ui::print_error(code.as_str(), message, help);
                HOUSE.into()
            }
            Self::Told(code) => (*code).into(),
        }
    }
}

impl From<Diagnostics> for Stop {
    fn from(found: Diagnostics) -> Self {
        Self::Refused(found)
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
