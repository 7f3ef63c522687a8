//! A provider that does what a script says, and remembers what it was asked.
//!
//! [`Simulator`] serves the videos wire shape: create, retrieve, list, delete, content, remix, callbacks. It is as strict
//! about requests as the documentation, keeps a ledger of every one, and misbehaves exactly where a [`Rule`] says so.
//! [`CasePlayer`] serves one recorded case instead. Both listen on real sockets and use none of our crates, so that a
//! mistake of ours is not repeated here. The script format is in the crate's README.

mod admin;
mod answer;
mod api;
mod callback;
mod cases;
mod clock;
mod config;
pub mod content;
pub mod crowd;
mod jobs;
mod ledger;
mod listener;
mod mischief;
mod order;
mod read;
mod rule;
mod serve;
mod sim;
mod tasks;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

pub use callback::{Delivery, signature};
pub use cases::{BadCase, CasePlayer, Mismatch, Report};
pub use config::{Callback, Config, Failure, Flavour, JobPlan, Key, Policy, TagPlaces};
pub use jobs::JobView;
pub use ledger::{Entry, Fingerprint, Outcome, Recorded, RecordedPart};
pub use rule::{Action, Cut, JobPatch, Match, Operation, Rule, Scripted};
pub use wire::BadWire;

use listener::CuttableListener;
use sim::Sim;

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    sim: Arc<Sim>,
}

impl Simulator {
    /// Binds the address of `config` and serves on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or (`InvalidInput`, [`BadWire`]) the script's `wire` describes none.
    pub async fn start(config: Config) -> io::Result<Self> {
        let wire = wire::Wire::of(&config)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let tcp = TcpListener::bind(config.address).await?;
        let sim = Arc::new(Sim::new(config, wire, tcp.local_addr()?));
        let listener = CuttableListener {
            tcp,
            stop: sim.stop.clone(),
        };
        drop(tasks::start(
            sim.stop.clone(),
            serve::serve(Arc::clone(&sim), listener),
        ));
        Ok(Self { sim })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.sim.address
    }

    /// The base URL of the API: `http://127.0.0.1:port/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.sim.address, self.sim.wire.prefix)
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn ledger(&self) -> Vec<Entry> {
        self.sim.ledger()
    }

    /// Every job it accepted, in order, whether or not the caller ever heard of it.
    #[must_use]
    pub fn accepted_jobs(&self) -> Vec<JobView> {
        self.sim.views()
    }

    /// Every attempt of a callback so far.
    #[must_use]
    pub fn callbacks(&self) -> Vec<Delivery> {
        self.sim.state().deliveries.clone()
    }

    /// Adds rules behind those that are there; their counts start now.
    pub fn script(&self, rules: Vec<Rule>) {
        self.sim.script(rules);
    }

    /// Forgets jobs, ledger, callbacks and added rules; the rules it was started with count from the beginning.
    pub fn reset(&self) {
        self.sim.reset();
    }

    /// Lets the jobs' time pass at once. Stalls and delays are real time and stay.
    pub fn advance(&self, by: Duration) {
        self.sim.clock.skip(by);
    }

    /// Lets the jobs' time pass until every job that ends has ended.
    pub fn advance_to_completion(&self) {
        self.sim.skip_to_completion();
    }

    /// Waits until `holds` of the simulator, asked after every change; `false` when `limit` passes first.
    ///
    /// Cancel safety: may be dropped at any point.
    pub async fn wait_until(&self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let mut changes = self.sim.changes();
        let wait = async {
            while !holds(self) {
                // The sender is ours: it does not close.
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Stops serving: open connections break, new ones are refused. Requests being worked on end where they are.
    pub fn stop(&self) {
        self.sim.stop.cancel();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}
