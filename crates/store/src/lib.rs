//! Postgres: the rows of the profile language, revisions, runs, leases,
//! artifacts; and the embedded server.
//!
//! Every statement stands beside the function that runs it and is checked
//! against the schema when it is compiled. A function is one statement or one
//! named transaction; our types go in and out, none of the driver's.
//!
//! *Facts* ([`facts`]) are written by run and attempt and never dropped;
//! *decisions* ([`decisions`]) are guarded by `state` and `ver`, and `None`
//! means that the actor is stale: it reads again and lets go.

pub mod api_keys;
pub mod artifacts;
pub mod audit;
pub mod budgets;
pub mod cache;
pub mod captured;
pub mod cases;
pub mod catalogue;
pub mod claim;
mod connect;
pub mod credentials;
pub mod decisions;
pub mod deliveries;
pub mod drift;
pub mod embedded;
pub mod erase;
mod error;
pub mod events;
pub mod facts;
pub mod fleet;
pub mod identity;
pub mod inputs;
pub mod limits;
pub mod links;
pub mod listen;
pub mod outbox;
pub mod pauses;
pub mod receipts;
pub mod resolve;
pub mod retention;
pub mod revisions;
pub mod rewind;
pub mod runs;
mod scope;
mod state;
pub mod tenants;
mod unrecorded;
pub mod usage;
pub mod work;
pub mod workers;

#[cfg(test)]
mod tests;

pub use connect::{ConnectOptions, DEFAULT_TENANT, SYSTEM_TENANT, Store};
pub use error::{Cause, Rule, StoreError};
pub use scope::Scope;
pub use state::{Outcome, State};
