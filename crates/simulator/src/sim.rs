//! The state behind the listener, shared by all requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::header::HOST;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::callback::Delivery;
use crate::clock::Clock;
use crate::config::Config;
use crate::jobs::Jobs;
use crate::ledger::{Entry, Ledger};
use crate::mischief::Mischief;
use crate::read::Head;
use crate::rule::{Armed, Rule, Seen};
use crate::wire::Wire;

#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) config: Config,
    pub(crate) wire: Wire,
    pub(crate) clock: Clock,
    pub(crate) address: SocketAddr,
    /// Ends every task and breaks every connection.
    pub(crate) stop: CancellationToken,
    state: Mutex<State>,
    changes: watch::Sender<()>,
    tokens: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) jobs: Jobs,
    pub(crate) ledger: Ledger,
    pub(crate) deliveries: Vec<Delivery>,
    rules: Vec<Armed>,
}

impl State {
    fn new(config: &Config) -> Self {
        Self {
            jobs: Jobs::default(),
            ledger: Ledger::new(config.ledger_keep),
            deliveries: Vec::new(),
            rules: config.rules.iter().cloned().map(Armed::new).collect(),
        }
    }
}

impl Sim {
    pub(crate) fn new(config: Config, wire: Wire, address: SocketAddr) -> Self {
        Self {
            clock: Clock::new(config.speed),
            state: Mutex::new(State::new(&config)),
            wire,
            address,
            stop: CancellationToken::new(),
            changes: watch::Sender::new(()),
            tokens: AtomicU64::new(0),
            config,
        }
    }

    /// Held for moments only, and never across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told after every change of the ledger, the jobs and the callbacks.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(crate) fn changed(&self) {
        self.changes.send_replace(());
    }

    /// Adds rules behind those that are there.
    pub(crate) fn script(&self, rules: Vec<Rule>) {
        self.state().rules.extend(rules.into_iter().map(Armed::new));
    }

    /// Back to the script it was started with: no jobs, an empty ledger.
    pub(crate) fn reset(&self) {
        *self.state() = State::new(&self.config);
        self.changed();
    }

    pub(crate) fn record(&self, entry: Entry) -> u64 {
        let number = self.state().ledger.open(entry);
        self.changed();
        number
    }

    pub(crate) fn amend(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.state().ledger.entry(number) {
            change(entry);
        }
        self.changed();
    }

    /// Asked before the body is read.
    pub(crate) fn cuts_before_reading(&self, head: &Head, tag: Option<&str>) -> bool {
        let mut state = self.state();
        let seen = Seen {
            operation: head.operation,
            job: state.ordinal(head),
            tag,
            prompt: None,
        };
        let rules = state
            .rules
            .iter_mut()
            .filter(|rule| rule.cuts_before_reading());
        // Every rule counts what it sees, whatever the others do.
        rules.fold(false, |cut, rule| rule.strike(seen).is_some() | cut)
    }

    pub(crate) fn mischief(
        &self,
        head: &Head,
        tag: Option<&str>,
        prompt: Option<&str>,
    ) -> Mischief {
        let mut state = self.state();
        let seen = Seen {
            operation: head.operation,
            job: state.ordinal(head),
            tag,
            prompt,
        };
        let mut mischief = Mischief::default();
        for rule in state
            .rules
            .iter_mut()
            .filter(|rule| !rule.cuts_before_reading())
        {
            if let Some(action) = rule.strike(seen) {
                mischief.add(action, &self.wire);
            }
        }
        mischief
    }

    /// Scheme and host under which the caller reached us.
    pub(crate) fn origin(&self, head: &Head) -> String {
        let host = head
            .header(HOST.as_str())
            .map_or_else(|| self.address.to_string(), str::to_owned);
        format!("http://{host}")
    }

    /// 64 hexadecimal digits that no other call, and no other simulator, gives.
    pub(crate) fn token(&self) -> String {
        let count = self.tokens.fetch_add(1, Ordering::Relaxed);
        let seed = format!(
            "{} {} {:?} {count}",
            self.address,
            std::process::id(),
            self.clock
        );
        hex::encode(Sha256::digest(seed))
    }
}

impl State {
    fn ordinal(&self, head: &Head) -> Option<u64> {
        Some(self.jobs.get(head.id.as_deref()?)?.ordinal)
    }
}
