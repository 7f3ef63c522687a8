//! The codes: never reused, never renumbered, one page each.

use std::fmt;
use std::str::FromStr;

/// Declares the codes. One line each: the code, and its title in a few words.
macro_rules! codes {
    ($($code:ident $title:literal,)+) => {
        /// What went wrong, in a form that programs can test and people can look up.
        ///
        /// `P…` a row of the profile language, `C…` a call, `R…` a run,
        /// `S…` the house (database, configuration), `X…` the command line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each code's page is its documentation")]
        pub enum Code { $($code,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// The code as it is printed: `P101`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)+ }
            }

            /// A few words for lists.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)+ }
            }

            /// The page that `modelrow explain` prints, in Markdown.
            #[must_use]
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$code => include_str!(concat!("../pages/", stringify!($code), ".md")),)+
                }
            }
        }
    };
}

codes! {
    // P1xx: the shape of rows and bundles
    P101 "unknown key",
    P102 "wrong type of value",
    P103 "missing key",
    P104 "not JSON",
    // C1xx: a call that is refused before anything is sent
    C101 "unknown option",
    // S1xx: database and configuration
    S101 "no PostgreSQL to run",
    // X1xx: the command line
    X101 "unknown code",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The text is no code of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a code")]
pub struct UnknownCode(pub String);

impl FromStr for Code {
    type Err = UnknownCode;

    /// Takes `P101` in any case.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_starts_with_it_and_says_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            let head = format!("# {code}: {}\n", code.title());
            assert!(
                page.starts_with(&head),
                "{code}: the page must start with `{head}`"
            );
            assert!(
                page.contains("\n## What to do\n"),
                "{code}: no `## What to do`"
            );
        }
    }

    #[test]
    fn a_code_is_found_by_its_text_in_any_case() {
        for code in Code::ALL {
            assert_eq!(code.as_str().to_lowercase().parse(), Ok(*code));
        }
        assert!("P000".parse::<Code>().is_err());
    }
}
