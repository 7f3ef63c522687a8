//! Why a call, a run or a start was not possible.

use diag::{Code, Diagnostic, Diagnostics, Place};
use std::time::Duration;
use store::StoreError;
use store::budgets::{Limit, Over};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The program could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database: away, not migrated, or the wrong role.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Artifacts cannot be kept where the options say.
    #[error(transparent)]
    Artifacts(#[from] crate::artifacts::ArtifactsError),
    /// The HTTP clients could not be made.
    #[error("the HTTP clients cannot be made: {0}")]
    Http(engine::Fault),
    /// The thread of the lease could not be started.
    #[error("the thread of the lease cannot be started")]
    Thread(#[source] std::io::Error),
}

impl StartError {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Artifacts(error) => error.code(),
            Self::Http(fault) => fault.code(),
            Self::Thread(_) => Code::S141,
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Store(error) => error.help(),
            Self::Artifacts(error) => error.help().into(),
            Self::Http(fault) => fault.help.clone(),
            Self::Thread(_) => "raise the limit of threads of this process".into(),
        }
    }
}

/// A call that made no run. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The call is wrong, or nothing can serve it: every finding at once.
    #[error("the call was refused")]
    Refused(Diagnostics),
    /// The idempotency key made this run with another body before.
    #[error("the idempotency key was used with another call, which made run {run_id}")]
    KeyUsed {
        /// That run.
        run_id: Uuid,
    },
    /// The tenant has reached a limit. Nothing was made.
    #[error("{}", over_words(.over))]
    OverLimit {
        /// Which, and until when.
        over: Over,
        /// When the same call is worth another try.
        retry_after: Duration,
    },
    /// There is no tenant of that slug or id.
    #[error("there is no tenant `{name}`")]
    NoSuchTenant {
        /// What was asked for.
        name: String,
    },
    /// The tenant has no credential of that name for the provider.
    #[error("there is no credential{} for the provider `{provider}`", .name.as_ref().map_or_else(String::new, |name| format!(" `{name}`")))]
    NoSuchCredential {
        /// `ai_providers.slug`
        provider: String,
        /// `provider_api_credentials.name`; absent: any.
        name: Option<String>,
    },
    /// There is no such run (of this tenant).
    #[error("there is no run {run_id}")]
    NoSuchRun {
        /// What was asked for.
        run_id: Uuid,
    },
    /// The idempotency key made this run, which was deleted since.
    #[error("the idempotency key made run {run_id}, which was deleted")]
    KeyOfDeleted {
        /// That run.
        run_id: Uuid,
    },
    /// Only what has ended is deleted.
    #[error("run {run_id} is not over: it is {state}")]
    NotEnded {
        /// The run.
        run_id: Uuid,
        /// Where it stands.
        state: String,
    },
    /// A retry would, or might, be paid for beside this run.
    #[error("run {run_id} is not to be made once more: {why}")]
    MayBePaid {
        /// The run.
        run_id: Uuid,
        /// What it may cost.
        why: &'static str,
    },
    /// Only a run whose outcome is unknown is resolved.
    #[error("run {run_id} has nothing to resolve: it is {state}")]
    NotUnknown {
        /// The run.
        run_id: Uuid,
        /// Where it stands.
        state: String,
    },
    /// The job is, or was, another run's.
    #[error("the job `{job}` belongs to {}", .by.map_or_else(|| "another live run".to_owned(), |run| format!("run {run}")))]
    JobTaken {
        /// The provider's id.
        job: String,
        /// Whose it was; absent: a live run's.
        by: Option<Uuid>,
    },
    /// There is no job to follow: the answer itself was the result, or the id is none.
    #[error("run {run_id} cannot follow a job of that id")]
    NoJob {
        /// The run.
        run_id: Uuid,
    },
    /// There is nothing of that name to pause.
    #[error("there is no {what}")]
    NothingToPause {
        /// Kind and name.
        what: String,
    },
    /// The tenant has no secret that its callbacks could be signed with.
    #[error("the tenant has no webhook secret to sign callbacks with")]
    NoWebhookSecret,
    /// There is no callback of that id (of this tenant), or its run was deleted.
    #[error("there is no delivery {id}")]
    NoSuchDelivery {
        /// What was asked for.
        id: Uuid,
    },
    /// There is no API key of that id (of this tenant).
    #[error("there is no API key {id}")]
    NoSuchKey {
        /// What was asked for.
        id: Uuid,
    },
    /// There is no living worker of that id.
    #[error("there is no worker {id}")]
    NoSuchWorker {
        /// What was asked for.
        id: Uuid,
    },
    /// What is to be made cannot be made so.
    #[error("{why}")]
    BadNew {
        /// The member that is wrong.
        pointer: &'static str,
        /// Why.
        why: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// A reason of 1 to 500 characters was asked for.
    #[error("the reason has no words, or more than 500 characters")]
    BadReason,
    /// The text is no cursor of a list of ours.
    #[error("`{cursor}` is no cursor of this list")]
    BadCursor {
        /// As given.
        cursor: String,
    },
    /// The database does not answer, or a statement failed.
    #[error("the database did not do its part")]
    Store(#[from] StoreError),
    /// A row of the language cannot be shown, saved or taken away.
    #[error(transparent)]
    Row(#[from] crate::admin::RowError),
    /// A secret that the database keeps cannot be sealed or opened here.
    #[error(transparent)]
    Sealed(#[from] crate::sealed::SealError),
    /// The artifact store does not answer.
    #[error("the artifact store did not do its part")]
    Objects(#[from] crate::objects::ObjectsError),
}

impl RunError {
    /// Page, place and remedy of what an admin asked for in vain.
    fn about_settings(&self) -> (Code, Place, &'static str) {
        match self {
            Self::Row(error) => (
                error.code(),
                error.place().unwrap_or_default(),
                error.help(),
            ),
            Self::NoSuchDelivery { .. } => (
                Code::R178,
                Place::default(),
                "`modelrow deliveries list` shows those that there are",
            ),
            Self::BadNew { pointer, help, .. } => (Code::C183, Place::pointer(*pointer), help),
            Self::NoSuchKey { .. } => (
                Code::R190,
                Place::default(),
                "use an `id` of the list of keys: `modelrow key list`",
            ),
            Self::BadReason => (
                Code::C181,
                Place::pointer("/reason"),
                "say in a sentence how this was found out",
            ),
            Self::NoSuchWorker { .. } => (
                Code::R196,
                Place::default(),
                "`modelrow top` and `GET /admin/v1/workers` show those that live; one has a new id after each start",
            ),
            Self::NoSuchCredential { .. } => (
                Code::R182,
                Place::default(),
                "check the name; `modelrow limits show --tenant SLUG` lists a tenant's credentials",
            ),
            _ => (
                Code::R182,
                Place::default(),
                "check the name; `modelrow tenant list` shows those that there are",
            ),
        }
    }

    /// As findings, each with its code, place and remedy.
    #[must_use]
    pub fn diagnostics(&self) -> Diagnostics {
        let one = |code, place, help: &str| {
            Diagnostics(vec![Diagnostic::error(code, place, self.to_string(), help)])
        };
        match self {
            Self::Refused(found) => found.clone(),
            Self::KeyUsed { .. } => one(
                Code::R161,
                Place::pointer("/idempotency_key"),
                "give a new key to a new call, or repeat the first one unchanged",
            ),
            Self::OverLimit { over, .. } => one(over_code(over), Place::default(), over_help(over)),
            Self::NoSuchTenant { .. }
            | Self::NoSuchCredential { .. }
            | Self::NoSuchKey { .. }
            | Self::NoSuchWorker { .. }
            | Self::BadReason
            | Self::NoSuchDelivery { .. }
            | Self::Row(_)
            | Self::BadNew { .. } => {
                let (code, place, help) = self.about_settings();
                one(code, place, help)
            }
            Self::NoSuchRun { .. } => {
                one(Code::R162, Place::default(), "check the id and the tenant")
            }
            Self::KeyOfDeleted { .. } => one(
                Code::R170,
                Place::pointer("/idempotency_key"),
                "give a new key: one stays used for 30 days after its run was deleted",
            ),
            Self::NotEnded { .. } => one(
                Code::R171,
                Place::default(),
                "cancel it, or wait for its end, and delete it then",
            ),
            Self::MayBePaid { .. } => one(
                Code::R172,
                Place::pointer("/accept_duplicate"),
                "wait for its end, or resolve it; or accept that both may be paid for (`--accept-duplicate`)",
            ),
            Self::NotUnknown { .. } => one(
                Code::R173,
                Place::default(),
                "resolve only what is `submit_unknown`; proof that the provider has the job reopens what failed as `unknown_outcome`, too",
            ),
            Self::JobTaken { .. } => one(
                Code::R174,
                Place::pointer("/provider_job_id"),
                "look for the job of this run: its time and its prompt tell it from others",
            ),
            Self::NoJob { .. } => one(
                Code::R175,
                Place::pointer("/provider_job_id"),
                "give the provider's id of a job; a profile without jobs cannot be followed: resolve its run as failed, or as not accepted",
            ),
            Self::NothingToPause { .. } => one(
                Code::R176,
                Place::pointer("/scope"),
                "name a provider by its slug, a credential by its id or as `provider/name`, a tenant by its id or slug",
            ),
            Self::NoWebhookSecret => one(
                Code::R177,
                Place::pointer("/callback"),
                "make one: `modelrow webhook-secret rotate`",
            ),
            Self::BadCursor { .. } => one(
                Code::C180,
                Place::pointer("/after"),
                "take `next` of the page before, unchanged, or begin with the first page",
            ),
            Self::Store(error) => Diagnostics(vec![error.diagnostic("database")]),
            Self::Sealed(error) => one(error.code(), Place::default(), error.help()),
            Self::Objects(error) => one(error.code(), Place::default(), error.help()),
        }
    }
}

fn over_words(over: &Over) -> String {
    let reached = match over.limit {
        Limit::InFlight => "the tenant has as many runs in flight as it may have",
        Limit::Queued => "as many runs of the tenant wait as may wait",
        Limit::RunsPerDay => "the tenant has made as many runs as it may make in a day",
        Limit::Spend if over.until.is_none() => {
            "the run costs more than the budget of any month to come has left"
        }
        Limit::Spend => "what is left of the month's budget does not cover the run",
    };
    match over.until.and_then(|until| until.format(&Rfc3339).ok()) {
        Some(until) => format!("{reached}; until {until}"),
        None => reached.to_owned(),
    }
}

fn over_code(over: &Over) -> Code {
    match over.limit {
        Limit::Spend => Code::R181,
        Limit::InFlight | Limit::Queued | Limit::RunsPerDay => Code::R180,
    }
}

fn over_help(over: &Over) -> &'static str {
    match (over.limit, over.until) {
        (Limit::InFlight, _) => "wait until a run has ended, or ask for the run to be queued",
        (Limit::Queued, _) => "wait until a run has been sent",
        (Limit::RunsPerDay | Limit::Spend, Some(_)) => {
            "call again then, ask for the run to be queued, or raise the limit (`modelrow limits set`)"
        }
        (Limit::RunsPerDay | Limit::Spend, None) => "raise the limit (`modelrow limits set`)",
    }
}
