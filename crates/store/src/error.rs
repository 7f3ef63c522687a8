//! What can go wrong with the database, in words for an operator.

use diag::{Code, Diagnostic, Place};
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use std::fmt;

/// The driver's own error, kept for the log; no other crate can take it apart.
#[derive(Debug)]
pub struct Cause(Box<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// The server's own advice, when it gave one.
    fn hint(&self) -> Option<&str> {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self.0.as_ref());
        while let Some(this) = error {
            if let Some(sqlx::Error::Database(inner)) = this.downcast_ref() {
                return inner.try_downcast_ref::<PgDatabaseError>()?.hint();
            }
            error = this.source();
        }
        None
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// A statement or connection that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer, or one that a later try may change. Facts are kept and written again.
    #[error("the database does not answer")]
    Unreachable(#[source] Cause),
    /// Migrations are missing.
    #[error("the database lacks migration {missing} of this program")]
    NotMigrated {
        /// Number of the first one.
        missing: i64,
    },
    /// A migration stopped; those before it stay.
    #[error("the migrations did not run")]
    Migration(#[source] Cause),
    /// The login role lacks a membership.
    #[error("role `{role}` is no member of `{group}`")]
    RoleTooSmall {
        /// The role of the database address.
        role: String,
        /// The role it must be a member of.
        group: &'static str,
    },
    /// The address cannot be read. Its text may hold a password and is not repeated.
    #[error("the database address cannot be read")]
    BadAddress(#[source] Cause),
    /// A named constraint of the schema said no.
    #[error("{}", .0.meaning())]
    Broken(Rule),
    /// A row names another that is not there.
    #[error("`{table}` has no row `{key}`")]
    NoSuchRow {
        /// The table that was searched.
        table: &'static str,
        /// The natural key that was named.
        key: String,
    },
    /// The row was changed, or taken away, since it was seen.
    #[error("the row was changed since it was seen")]
    Stale,
    /// A column holds a word that this program does not know.
    #[error("`{column}` holds `{word}`, which this program does not know")]
    UnknownWord {
        /// Table and column.
        column: &'static str,
        /// What it holds.
        word: String,
    },
    /// A statement failed in a way that no later try will change.
    #[error("a statement failed")]
    Statement(#[source] Cause),
}

impl StoreError {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) => Code::S120,
            Self::NotMigrated { .. } => Code::S121,
            Self::Migration(_) => Code::S122,
            Self::RoleTooSmall { .. } => Code::S123,
            Self::BadAddress(_) => Code::S124,
            Self::Broken(_) => Code::S125,
            Self::NoSuchRow { .. } => Code::S126,
            Self::Stale => Code::R202,
            Self::UnknownWord { .. } => Code::S127,
            Self::Statement(_) => Code::S129,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Unreachable(_) => "check that PostgreSQL runs and that `DATABASE_URL` names it; work goes on when it answers".into(),
            Self::NotMigrated { .. } => "run `modelrow migrate` with the owner's address, then start again".into(),
            Self::Migration(cause) => cause
                .hint()
                .unwrap_or("read the cause, put it right as an administrator, and run `modelrow migrate` again")
                .to_owned(),
            Self::RoleTooSmall { role, group } => format!("as an administrator: grant {group} to \"{role}\""),
            Self::BadAddress(_) => "write it as postgres://user:password@host:port/database, special characters percent-encoded".into(),
            Self::Broken(rule) => rule.help().into(),
            Self::NoSuchRow { table, .. } => format!("add the row to `{table}`, or correct the name"),
            Self::Stale => "read it again, and send the change with the `ETag` that it has now".into(),
            Self::UnknownWord { .. } => "a newer program wrote it: update this one".into(),
            Self::Statement(_) => "report it with the log line that carries the cause".into(),
        }
    }

    /// The same as a diagnostic, at `source` (the address masked, or a row).
    #[must_use]
    pub fn diagnostic(&self, source: &str) -> Diagnostic {
        let place = Place {
            source: Some(source.to_owned()),
            ..Place::default()
        };
        Diagnostic::error(self.code(), place, self.to_string(), self.help())
    }

    pub(crate) fn bad_address(error: sqlx::Error) -> Self {
        Self::BadAddress(Cause(error.into()))
    }

    /// Whether the same statement may succeed later: a fact is then kept and written again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// The constraints of the schema that a caller can meet, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `submit_attempts_one_live`
    OneLiveAttempt,
    /// `run_states_one_run_per_job`
    OneRunPerJob,
    /// `run_states_captured_small`
    CapturedTooLarge,
    /// `webhook_receipts_small`
    ReceiptTooLarge,
    /// `runs_key_length`
    KeyLength,
    /// `provider_api_credentials_one_default`
    OneDefaultCredential,
    /// `provider_api_credentials_one_secret`
    OneSecret,
    /// `provider_api_credentials_secret_sealed`
    SecretNotSealed,
    /// `provider_api_credentials_secret_referred`
    NoReference,
    /// `provider_api_credentials_limits`
    LimitNotPositive,
    /// `tenants_slug_plain`
    SlugNotPlain,
    /// A natural key that exists already.
    KeyTaken,
    /// A row that is named by others, or names one that is gone.
    InUse,
    /// Row security: the row is another tenant's.
    ForeignTenant,
    /// Any other constraint.
    Other,
}

impl Rule {
    /// What it says, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::OneLiveAttempt => "the run already has an attempt that may be paid for",
            Self::OneRunPerJob => "another live run follows this job",
            Self::CapturedTooLarge => "the captured values exceed 64 KiB",
            Self::ReceiptTooLarge => "the callback's body exceeds 256 KiB",
            Self::KeyLength => "an idempotency key has 1 to 255 characters",
            Self::OneDefaultCredential => "the provider already has a default credential",
            Self::OneSecret => "a credential has `secret` or `secret_ref`, not both",
            Self::SecretNotSealed => "the bytes in `secret` are no sealed secret",
            Self::NoReference => "`secret_ref` is neither `env:NAME` nor `file:/path`",
            Self::LimitNotPositive => "a limit is a positive number",
            Self::SlugNotPlain => {
                "a tenant's slug has 1 to 63 lower case letters, digits, `-` and `_`, and begins with a letter or digit"
            }
            Self::KeyTaken => "a row with this natural key exists",
            Self::InUse => "the row is used by another one, or names one that is not there",
            Self::ForeignTenant => "the row belongs to another tenant",
            Self::Other => "the row breaks a rule of the schema",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::OneLiveAttempt => "settle the attempt that is there; nothing was sent",
            Self::OneRunPerJob => {
                "one of the two runs took the other's job: compare their attempts"
            }
            Self::CapturedTooLarge => "narrow the profile's `captures`",
            Self::ReceiptTooLarge => "the provider sends more than a callback needs: poll instead",
            Self::KeyLength => "shorten the `Idempotency-Key`",
            Self::OneDefaultCredential => "clear `is_default` on the other credential first",
            Self::OneSecret => "set one of them to null",
            Self::SecretNotSealed => "set secrets with `modelrow credential set`",
            Self::NoReference => {
                "write a reference, or seal the secret with `modelrow credential set`; if it was a secret, it may be in a log now: replace it"
            }
            Self::LimitNotPositive => "write a number above 0, or null for no limit",
            Self::SlugNotPlain => "write it so: `acme-videos`",
            Self::KeyTaken => "choose another key, or change the row that has it",
            Self::InUse => "deactivate the row instead of deleting it",
            Self::ForeignTenant => "name a row of your own tenant",
            Self::Other => "the cause in the log names the constraint",
        }
    }

    /// The constraint's meaning; `None` when the error is no constraint's.
    fn of(error: &dyn DatabaseError) -> Option<Self> {
        let code = error.code()?;
        if code == "42501" && error.message().contains("row-level security") {
            return Some(Self::ForeignTenant);
        }
        if !code.starts_with("23") {
            return None;
        }
        Some(match error.constraint().unwrap_or_default() {
            "submit_attempts_one_live" => Self::OneLiveAttempt,
            "run_states_one_run_per_job" => Self::OneRunPerJob,
            "run_states_captured_small" => Self::CapturedTooLarge,
            "webhook_receipts_small" => Self::ReceiptTooLarge,
            "runs_key_length" => Self::KeyLength,
            "provider_api_credentials_one_default" => Self::OneDefaultCredential,
            "provider_api_credentials_one_secret" => Self::OneSecret,
            "provider_api_credentials_secret_sealed" => Self::SecretNotSealed,
            "provider_api_credentials_secret_referred" => Self::NoReference,
            "provider_api_credentials_limits" => Self::LimitNotPositive,
            "tenants_slug_plain" => Self::SlugNotPlain,
            _ if code == "23505" => Self::KeyTaken,
            _ if code == "23503" => Self::InUse,
            _ => Self::Other,
        })
    }
}

/// Whether the server's state, not the statement, is the reason (SQLSTATE classes, PostgreSQL manual, appendix A).
fn passes(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // 40: serialisation and deadlock; 53: out of resources; 57: shutdown, cancel; 08: connection.
    // 25006: a standby after a failover; 55P03: a lock that was not free.
    matches!(class, "08" | "40" | "53" | "57") || matches!(code, "25006" | "55P03")
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(inner) = &error {
            if let Some(rule) = Rule::of(inner.as_ref()) {
                return Self::Broken(rule);
            }
            if !inner.code().is_some_and(|code| passes(&code)) {
                return Self::Statement(Cause(error.into()));
            }
            return Self::Unreachable(Cause(error.into()));
        }
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable(Cause(error.into())),
            sqlx::Error::Configuration(_) => Self::BadAddress(Cause(error.into())),
            _ => Self::Statement(Cause(error.into())),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        Self::Migration(Cause(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn only_the_state_of_the_server_is_worth_another_try() {
        let cases = [
            ("08006", true), ("40001", true), ("40P01", true), ("53300", true), ("57P01", true),
            ("25006", true), ("55P03", true), ("42601", false), ("42501", false), ("22P02", false), ("", false),
        ];
        for (code, want) in cases {
            assert_eq!(passes(code), want, "{code}");
        }
    }
}
