//! `modelrow limits show`, `modelrow limits set`, `modelrow usage`

use clap::{Args, Subcommand, ValueEnum};
use runtime::OverLimit;

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// Shows what a tenant may have, what is left of it, and until when
    Show(ShowLimitsArgs),
    /// Sets what a tenant may have, or what one of its credentials may send
    Set(SetLimitsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowLimitsArgs {
    /// Whose: an id or a slug; `system` has the credentials that every tenant uses
    #[arg(long, default_value = "default", value_name = "ID|SLUG")]
    pub(crate) tenant: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A number, or `none` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Most(pub(crate) Option<i32>);

impl std::str::FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let number = text.parse().ok().filter(|number| *number > 0);
        let wrong = || "write a whole number above 0, or `none`".to_owned();
        number.map(|number| Self(Some(number))).ok_or_else(wrong)
    }
}

/// A decimal of at most six places, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Money(pub(crate) Option<String>);

impl std::str::FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if digits(whole, 12) && digits(part, 6) {
            return Ok(Self(Some(text.to_owned())));
        }
        Err("write an amount like 250 or 99.5, or `none`".to_owned())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Over {
    /// The call is refused, and says until when
    Refuse,
    /// The run is made, and waits
    Queue,
}

impl From<Over> for OverLimit {
    fn from(over: Over) -> Self {
        match over {
            Over::Refuse => Self::Refuse,
            Over::Queue => Self::Queue,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "What is not named stays as it is. Money is counted by the price lists of the models (`pricing`): the estimate when a run is made, \
                  what it came to when it has ended; what has no price in that currency is not counted. With --provider the limits are those of the \
                  tenant's credential.\n\n\
                  Examples:\n  modelrow limits set --runs-per-day 500 --spend-per-month 100 --currency USD\n  \
                  modelrow limits set --tenant acme --runs-in-flight 20 --over queue\n  \
                  modelrow limits set --tenant system --provider acme --requests-per-minute 60 --jobs-in-flight 5\n  modelrow limits set --tenant acme --none"
)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct SetLimitsArgs {
    /// Whose: an id or a slug
    #[arg(long, default_value = "default", value_name = "ID|SLUG")]
    pub(crate) tenant: String,
    /// Runs that have been made and have not ended; with `--over queue` those at providers, while the others wait
    #[arg(long, value_name = "N|none", group = "what")]
    pub(crate) runs_in_flight: Option<Most>,
    /// Runs that wait in the queue
    #[arg(long, value_name = "N|none", group = "what")]
    pub(crate) runs_queued: Option<Most>,
    /// Runs made in a day (UTC)
    #[arg(long, value_name = "N|none", group = "what")]
    pub(crate) runs_per_day: Option<Most>,
    /// Money spent in a calendar month (UTC)
    #[arg(long, value_name = "AMOUNT|none", group = "what")]
    pub(crate) spend_per_month: Option<Money>,
    /// Currency of that money, as the price lists write it
    #[arg(long, value_name = "CODE", group = "what")]
    pub(crate) currency: Option<String>,
    /// What becomes of a call over a limit, unless it says otherwise
    #[arg(long, value_enum, group = "what")]
    pub(crate) over: Option<Over>,
    /// Take all limits of the tenant away
    #[arg(long, group = "what", conflicts_with_all = ["runs_in_flight", "runs_queued", "runs_per_day", "spend_per_month", "currency", "over", "provider"])]
    pub(crate) none: bool,
    /// The provider of the credential that is limited, by its slug
    #[arg(long, value_name = "SLUG", conflicts_with_all = ["runs_in_flight", "runs_queued", "runs_per_day", "spend_per_month", "currency", "over"])]
    pub(crate) provider: Option<String>,
    /// Which of the tenant's credentials for it; every one without it
    #[arg(long, value_name = "NAME", requires = "provider")]
    pub(crate) credential: Option<String>,
    /// Requests of the credential in a minute, every kind
    #[arg(long, value_name = "N|none", group = "what", requires = "provider")]
    pub(crate) requests_per_minute: Option<Most>,
    /// Requests of the credential in a day (UTC); the last tenth is kept for jobs that are paid for
    #[arg(long, value_name = "N|none", group = "what", requires = "provider")]
    pub(crate) requests_per_day: Option<Most>,
    /// Jobs of the credential at the provider at once
    #[arg(long, value_name = "N|none", group = "what", requires = "provider")]
    pub(crate) jobs_in_flight: Option<Most>,
    /// Who sets it, for the audit log
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub(crate) by: String,
    /// Print the limits as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Days and months are those of UTC. Money is counted by the price lists of the models: `reserved` for runs that have not ended, `spent` for \
                  those that were, or may have been, paid for. Requests are counted for credentials with a limit of their own. `modelrow limits show` shows \
                  what is left.\n\nExamples:\n  modelrow usage\n  modelrow usage --tenant acme --json"
)]
pub(crate) struct UsageArgs {
    /// Whose: an id or a slug
    #[arg(long, default_value = "default", value_name = "ID|SLUG")]
    pub(crate) tenant: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
