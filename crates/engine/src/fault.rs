//! Why something failed, as one type: for the caller, for the run's record,
//! and for the decision what may be repeated.

use diag::Code;
use profile::revision::Class;
use serde_json::{Map, Value, json};

/// Longest code or message of a provider that we keep, in characters.
const PROVIDER_TEXT_MAX: usize = 2_000;

/// What kind of failure it is. Each has a code with a page and a word of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The provider's answer, by the classes of the language.
    Class(Class),
    /// An address, header or longer text needs a value that was not there.
    MissingValue,
    /// A value cannot be written where its template puts it.
    BadValue,
    /// The output does not satisfy its schema, and the schema is strict.
    OutputInvalid,
    /// The answer is larger than `max_bytes`, or its headers are.
    AnswerTooLarge,
    /// JSON was promised and something else came.
    NotJson,
    /// A stream of events was promised and something else came.
    NotEvents,
    /// An error page or other content came where a file should be.
    WrongContent,
    /// The file has no bytes.
    EmptyFile,
    /// The file is larger than `max_bytes`.
    FileTooLarge,
    /// The file was cut before its end, or does not decode.
    BadFile,
    /// The job succeeded, and there is no file in its answer.
    NoResult,
    /// The address may not be dialled.
    EgressRefused,
    /// The job did not end within its life.
    DeadlineExceeded,
    /// Another live run follows the same job.
    DuplicateJob,
    /// The request was certainly not sent: name, connection or TLS.
    NotSent,
    /// The provider says that the job was canceled.
    JobCanceled,
    /// The credential's secret does not fit its auth profile.
    BadSecret,
    /// No access token could be had; nothing was sent to the provider with it.
    TokenRefused(Class),
    /// What a run recorded of itself cannot be read back.
    BadRecord,
}

impl Kind {
    /// The code with a page.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::MissingValue => Code::R101,
            Self::Class(class) => class_code(class),
            Self::OutputInvalid => Code::R113,
            Self::AnswerTooLarge => Code::R114,
            Self::NotJson => Code::R115,
            Self::NotEvents => Code::R130,
            Self::WrongContent => Code::R116,
            Self::EmptyFile => Code::R117,
            Self::EgressRefused => Code::R118,
            Self::DeadlineExceeded => Code::R119,
            Self::DuplicateJob => Code::R120,
            Self::NotSent => Code::R121,
            Self::BadValue => Code::R122,
            Self::FileTooLarge => Code::R123,
            Self::BadFile => Code::R124,
            Self::NoResult => Code::R125,
            Self::JobCanceled => Code::R126,
            Self::BadSecret => Code::R128,
            Self::BadRecord => Code::R129,
            Self::TokenRefused(_) => Code::R134,
        }
    }

    /// The word that programs compare: `code` of a run's failure.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Class(class) => class_word(class),
            Self::MissingValue => "missing_value",
            Self::BadValue => "bad_value",
            Self::OutputInvalid => "output_invalid",
            Self::AnswerTooLarge => "answer_too_large",
            Self::NotJson => "not_json",
            Self::NotEvents => "not_events",
            Self::WrongContent => "wrong_content",
            Self::EmptyFile => "empty_file",
            Self::FileTooLarge => "file_too_large",
            Self::BadFile => "bad_file",
            Self::NoResult => "no_result",
            Self::EgressRefused => "egress_refused",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::DuplicateJob => "duplicate_job",
            Self::NotSent => "not_sent",
            Self::JobCanceled => "job_canceled",
            Self::BadSecret => "bad_secret",
            Self::BadRecord => "bad_record",
            Self::TokenRefused(_) => "token_refused",
        }
    }

    /// The class of the language that decides what may be repeated, and that
    /// recorded cases name.
    #[must_use]
    pub fn class(self) -> Option<Class> {
        match self {
            Self::Class(class) | Self::TokenRefused(class) => Some(class),
            Self::NotSent => Some(Class::Transient),
            // The job was accepted, and what came of it cannot be used.
            Self::NotJson
            | Self::NotEvents
            | Self::AnswerTooLarge
            | Self::WrongContent
            | Self::EmptyFile
            | Self::FileTooLarge
            | Self::BadFile
            | Self::NoResult
            | Self::JobCanceled => Some(Class::ProviderError),
            Self::MissingValue
            | Self::BadValue
            | Self::OutputInvalid
            | Self::EgressRefused
            | Self::DeadlineExceeded
            | Self::DuplicateJob
            | Self::BadSecret
            | Self::BadRecord => None,
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Class(class) => class_help(class),
            Self::MissingValue => {
                "give the value in the call, or guard its place with `{{#if x}}` or `default`"
            }
            Self::BadValue => "change the value, or the place where the template puts it",
            Self::OutputInvalid => {
                "change `response_mapping.output` or the response schema; the artifacts are kept"
            }
            Self::AnswerTooLarge => "raise `max_bytes` of the step if the answer is right",
            Self::NotJson => "check the base URL: a proxy or an error page may have answered",
            Self::NotEvents => {
                "ask for a stream in the body of the request, and check the base URL"
            }
            Self::WrongContent => {
                "read the provider's message; set `accept` if the media type is right"
            }
            Self::EmptyFile => "ask the provider: the job succeeded, and its file is empty",
            Self::FileTooLarge => "raise `max_bytes` of the download if the file is right",
            Self::BadFile => "fetch the file again; if it stays so, ask the provider",
            Self::NoResult => {
                "read the last answer of the job; the path to the file may have changed"
            }
            Self::EgressRefused => {
                "name the host in the provider's `egress`, if the address is right"
            }
            Self::DeadlineExceeded => {
                "look the job up at the provider by its id; raise `max_job_life_ms` if it is still running"
            }
            Self::DuplicateJob => "follow the run that has this job",
            Self::NotSent => {
                "check the base URL and the network; nothing was sent, nothing was paid"
            }
            Self::JobCanceled => "start a new run if the job was not canceled on purpose",
            Self::BadSecret => "set the secret again, in the form that the auth profile describes",
            Self::TokenRefused(_) => {
                "check the secret and the auth profile's `token_url`; nothing was sent to the provider"
            }
            Self::BadRecord => {
                "report it: the run's record was changed by hand or by another version"
            }
        }
    }
}

/// A failure: its kind, the provider's own words, and what to do.
///
/// Texts of the provider are bounded and scrubbed of secrets when it is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Which kind.
    pub kind: Kind,
    /// What went wrong: lower case, no period.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The provider's own code, as text.
    pub provider_code: Option<String>,
    /// The provider's own message.
    pub provider_message: Option<String>,
    /// The status of the answer, if there was one.
    pub http_status: Option<u16>,
    /// More lines, such as each mismatch with the schema.
    pub details: Box<[String]>,
}

/// Classes that may be over when it is asked again.
pub(crate) const PASSING: &[Class] = &[
    Class::RateLimited,
    Class::Overloaded,
    Class::Transient,
    Class::UnknownOutcome,
];
/// Classes that somebody has to mend at the provider.
pub(crate) const OF_THE_ACCOUNT: &[Class] = &[Class::Authentication, Class::Billing];

impl Fault {
    /// A failure of that kind, with the kind's own remedy.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            help: kind.help().to_owned(),
            provider_code: None,
            provider_message: None,
            http_status: None,
            details: Box::default(),
        }
    }

    /// The same, with the words of the provider, bounded.
    #[must_use]
    pub fn with_provider(
        mut self,
        status: u16,
        code: Option<String>,
        message: Option<String>,
    ) -> Self {
        self.http_status = Some(status);
        self.provider_code = code.map(|text| bounded(&text));
        self.provider_message = message.map(|text| bounded(&text));
        self
    }

    /// The same, with more lines.
    #[must_use]
    pub fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The code with a page.
    #[must_use]
    pub fn code(&self) -> Code {
        self.kind.code()
    }

    /// The class that decides what may be repeated; absent: nothing may.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.kind.class()
    }

    /// The class as the language writes it; a failure of ours has its own word.
    #[must_use]
    pub fn class_word(&self) -> &'static str {
        self.class().map_or(self.kind.word(), class_word)
    }

    /// Whether it says nothing of what was asked for: it passes by itself, or with the account.
    pub(crate) fn passes(&self) -> bool {
        self.is_any(PASSING) || self.is_any(OF_THE_ACCOUNT)
    }

    /// Whether the failure is one of these classes.
    #[must_use]
    pub fn is_any(&self, classes: &[Class]) -> bool {
        self.class().is_some_and(|class| classes.contains(&class))
    }

    /// `run_states.failure`, and `failure` of the API: `code` is a word of ours,
    /// `diagnostic` its page.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("code".into(), json!(self.kind.word()));
        object.insert("diagnostic".into(), json!(self.code().as_str()));
        object.insert("class".into(), json!(self.class_word()));
        object.insert("message".into(), json!(self.message));
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(name.into(), value);
            }
        };
        put(
            "provider_code",
            self.provider_code.as_ref().map(|text| json!(text)),
        );
        put(
            "provider_message",
            self.provider_message.as_ref().map(|text| json!(text)),
        );
        put("http_status", self.http_status.map(|status| json!(status)));
        put(
            "details",
            (!self.details.is_empty()).then(|| json!(self.details)),
        );
        object.insert("help".into(), json!(self.help));
        Value::Object(object)
    }
}

/// A text of at most 2,000 characters; what is longer ends with `…`.
pub(crate) fn bounded(text: &str) -> String {
    bounded_to(text, PROVIDER_TEXT_MAX)
}

/// A text of at most so many characters; what is longer ends with `…`.
pub(crate) fn bounded_to(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The class as the language writes it.
#[must_use]
pub fn class_word(class: Class) -> &'static str {
    match class {
        Class::Moderated => "moderated",
        Class::Billing => "billing",
        Class::Authentication => "authentication",
        Class::InvalidRequest => "invalid_request",
        Class::Expired => "expired",
        Class::NotFound => "not_found",
        Class::RateLimited => "rate_limited",
        Class::Overloaded => "overloaded",
        Class::Transient => "transient",
        Class::UnknownOutcome => "unknown_outcome",
        Class::ProviderError => "provider_error",
    }
}

fn class_code(class: Class) -> Code {
    match class {
        Class::Moderated => Code::R102,
        Class::Billing => Code::R103,
        Class::Authentication => Code::R104,
        Class::InvalidRequest => Code::R105,
        Class::Expired => Code::R106,
        Class::NotFound => Code::R107,
        Class::RateLimited => Code::R108,
        Class::Overloaded => Code::R109,
        Class::Transient => Code::R110,
        Class::UnknownOutcome => Code::R111,
        Class::ProviderError => Code::R112,
    }
}

fn class_help(class: Class) -> &'static str {
    match class {
        Class::Moderated => "change the prompt or the media; the same request is refused again",
        Class::Billing => "top up the account or raise its quota",
        Class::Authentication => "check the key, and that its account may use this model",
        Class::InvalidRequest => "read the provider's message and change the call or the profile",
        Class::Expired => "start a new run: the provider no longer has the job or its file",
        Class::NotFound => "check the model's name and the base URL",
        Class::RateLimited => "wait, or set the credential's limits to what the account allows",
        Class::Overloaded | Class::Transient => {
            "try again later: the provider was not able to answer"
        }
        Class::UnknownOutcome => {
            "look at the provider's console whether the job exists, then resolve the run"
        }
        Class::ProviderError => "read the provider's message; the job failed at the provider",
    }
}
