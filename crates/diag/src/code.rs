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
    P105 "not a word of the language here",
    P106 "duplicate key",
    P107 "too large or too deep",
    P108 "out of bounds",
    P109 "name taken",
    P110 "no such row",
    P111 "not a name",
    P112 "language level too high",
    P113 "members that exclude each other",
    P114 "no schema",
    P115 "routing rule never holds",
    P116 "operator's word in a tenant's row",
    // P3xx capabilities, P4xx transport, P5xx answers, P6xx workflow, P7xx auth and egress, P8xx cases
    P301 "default refused by its own option",
    P302 "limit binds to nothing",
    P303 "option that nothing reads",
    P304 "default without an option",
    P305 "option cannot be met",
    P306 "rule or pricing cannot be used",
    P307 "capabilities of another model",
    P308 "parameter that means nothing here",
    P401 "transport without an address",
    P402 "not a method or header",
    P403 "body without its form",
    P404 "settle or idempotency incomplete",
    P405 "absence on one page of a list",
    P501 "extraction without a meaning",
    P502 "label does not fit",
    P503 "output cannot satisfy its schema",
    P504 "error table cannot be read",
    P508 "events without a meaning",
    P509 "events in an answer that has none",
    P510 "not in a stream",
    P511 "part without a name",
    P601 "terminal states without a success",
    P602 "word without a meaning",
    P603 "second paid call",
    P604 "no job to ask about",
    P605 "deadline overridden",
    P606 "step refers to nothing",
    P607 "poll gives up before it asks",
    P608 "nothing is asked for here",
    P609 "not of a variant",
    P610 "no callback names a job",
    P611 "no poll answers for the job",
    P612 "not of this kind of signature",
    P613 "secret of a signature in a row",
    P614 "header names are in lower case",
    P616 "value listed twice",
    P617 "value that no answer reaches",
    P618 "batch that cannot serve many jobs",
    P620 "nothing asks about the job",
    P621 "nothing makes the file",
    P622 "not before the submit, and not after the end",
    P623 "variable where an answer is walked",
    P624 "condition that hides the status",
    P625 "this needs its record",
    P701 "secret is not a reference",
    P702 "authentication not known",
    P703 "address outside the provider",
    P704 "not a host pattern",
    P705 "auth profile's config cannot be used",
    P706 "not an address",
    P707 "member of an auth profile misspelt",
    P708 "part of a secret missing",
    P709 "token not signed as its header says",
    P801 "case cannot be read",
    P802 "case expects nothing",
    P803 "recorded case fails",
    // P20x-P21x: templates, paths, conditions
    P201 "unknown variable",
    P202 "unguarded optional value",
    P203 "template does not parse",
    P204 "unknown helper",
    P205 "wrong arguments",
    P206 "secret may not stand here",
    P207 "path does not parse",
    P208 "condition is wrong",
    P209 "wrong directive",
    P210 "vars form a circle",
    P211 "text or list too long",
    P212 "nesting too deep",
    P213 "regular expression does not compile",
    P214 "object where text is wanted",
    P215 "value may not stand in a host",
    // C1xx: a call that is refused before anything is sent
    C101 "unknown option",
    C102 "wrong type",
    C103 "out of range",
    C104 "off the step",
    C105 "not one of the values",
    C106 "option not supported",
    C107 "option missing",
    C108 "too long",
    C109 "pattern does not match",
    C110 "input not known",
    C111 "input missing",
    C112 "too many inputs",
    C113 "media type not accepted",
    C114 "medium too large",
    C115 "rule of the model broken",
    C116 "prompt missing",
    C117 "prompt too long",
    C118 "limit exceeded",
    C119 "model shut down",
    C120 "medium not clear",
    C130 "purpose not known",
    C131 "model not known",
    C132 "provider not known",
    C133 "profile not known",
    C134 "no default model",
    C135 "profile was refused",
    // C15x-C17x: a call of the HTTP API that cannot be read
    C150 "body is not JSON",
    C151 "body too large",
    C152 "body nested too deep",
    C153 "unknown member",
    C154 "member of a wrong type",
    C155 "member missing",
    C156 "body of an unknown type",
    C157 "idempotency key cannot be used",
    C158 "no such call",
    C159 "method not taken",
    C160 "not the id of a run",
    C161 "file not there yet",
    C162 "file past its retention",
    C163 "no such file",
    C165 "member given twice",
    C166 "medium not given in exactly one way",
    C168 "body cut off",
    C170 "name of another machine",
    C171 "no callback is expected here",
    // C172 ff.: who calls
    C172 "no API key",
    C173 "API key not good",
    C174 "not of this role",
    C175 "too many calls",
    C176 "page of another origin",
    // C18x: lists
    C180 "no cursor of this list",
    C181 "reason missing or too long",
    C182 "callback cannot be used",
    C183 "cannot be made so",
    C184 "no `If-Match`",
    C190 "parameter not understood",
    C191 "no such model",
    // C21x: links and uploads
    C210 "link not good",
    C211 "link expired",
    C212 "no such upload",
    C213 "upload not taken",
    // R1xx: what ends a run
    R101 "missing value",
    R102 "moderated",
    R103 "billing",
    R104 "authentication",
    R105 "invalid request",
    R106 "expired",
    R107 "not found",
    R108 "rate limited",
    R109 "overloaded",
    R110 "transient failure",
    R111 "unknown outcome",
    R112 "provider error",
    R113 "output invalid",
    R114 "answer too large",
    R115 "not JSON",
    R116 "not the promised content",
    R117 "empty file",
    R118 "address refused",
    R119 "deadline exceeded",
    R120 "duplicate job",
    R121 "not sent",
    R122 "value does not fit its place",
    R123 "file too large",
    R124 "broken file",
    R125 "no result",
    R126 "job canceled",
    R127 "a recorded case does not hold",
    R128 "secret does not fit",
    R129 "unreadable record of a run",
    R130 "not a stream of events",
    R134 "no access token",
    // R16x: the runtime's own
    R160 "no credential",
    R161 "idempotency key used for another call",
    R162 "no such run",
    R163 "not started in time",
    R164 "input cannot be read",
    // R17x: what is done with runs that are there
    R170 "idempotency key of a deleted run",
    R171 "run not over",
    R172 "retry may be paid twice",
    R173 "nothing to resolve",
    R174 "job of another run",
    R175 "no job to follow",
    R176 "nothing to pause",
    R177 "no webhook secret",
    R178 "no such delivery",
    // R18x: limits
    R180 "too many runs",
    R181 "budget spent",
    R182 "no such tenant or credential",
    // R19x: keys
    R190 "no such API key",
    R196 "no such worker",
    // R20x: rows, one by one
    R200 "no such row",
    R201 "row is there already",
    R202 "row changed meanwhile",
    R203 "row in use",
    R204 "another name for a row",
    R205 "no such provider",
    R206 "an operator's to write",
    R207 "no such revision",
    R208 "revision cannot serve again",
    R209 "paused by an operator",
    // S1xx: database and configuration
    S101 "no PostgreSQL to run",
    S102 "PostgreSQL of another version",
    S103 "path too long for a socket",
    S104 "archive is not the one we know",
    S105 "archive could not be fetched",
    S106 "no user to run PostgreSQL as",
    S107 "data folder cannot be used",
    S108 "data folder could not be initialised",
    S109 "PostgreSQL did not start",
    S110 "data folder in use",
    S111 "a server was left behind",
    S112 "roles could not be set up",
    S113 "PostgreSQL did not stop in time",
    S114 "PostgreSQL ended",
    S115 "no thread for the supervisor",
    S120 "database does not answer",
    S121 "migrations missing",
    S122 "migration failed",
    S123 "database role too small",
    S124 "database address unreadable",
    S125 "rule of the schema broken",
    S126 "link to a missing row",
    S127 "unknown word in a column",
    S129 "statement failed",
    S140 "artifact folder cannot be used",
    S141 "lease thread cannot start",
    S142 "artifact store failed",
    S143 "object missing",
    S144 "secret sealed under another key",
    S145 "secret does not open",
    S146 "sealed secret damaged",
    S147 "no key for sealed secrets",
    S148 "keys of secrets cannot be read",
    S149 "nothing proves the credential",
    S155 "not an artifact store",
    S156 "artifact store refuses us",
    S157 "artifact store cannot be set up",
    // X1xx: the command line
    X101 "unknown code",
    X102 "file cannot be read",
    X103 "file cannot be written",
    X104 "cannot listen",
    X105 "not as the simulator reads it",
    X106 "no `name=value`",
    X107 "input file cannot be read",
    X108 "a part of the program did not start",
    X109 "nothing to show",
    X110 "file no longer stored",
    X111 "no such provider",
    X112 "no such case",
    X113 "nothing to compare",
    X115 "file is there already",
    X116 "no terminal to ask on",
    X117 "OpenAPI document cannot be used",
    X118 "run cannot be recorded",
    X120 "neither a duration nor a time",
    X121 "configuration file cannot be used",
    X122 "traces cannot be sent so",
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
