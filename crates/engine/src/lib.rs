//! One run's decisions, and its hands.
//!
//! The decisions do no I/O and read no clock: [`flow::Flow`] says what to do
//! next and judges what came back; [`state`] names the words of a run and the
//! one function that moves between them. The hands ([`http`], [`download`],
//! [`egress`]) do what a [`request::Request`] says, and no more.

pub mod answer;
pub mod auth;
pub mod download;
pub mod egress;
pub mod fault;
mod fingerprint;
pub mod flow;
pub mod http;
pub mod media;
pub mod output;
mod parts;
pub mod plan;
pub mod recording;
mod redirect;
pub mod render;
pub mod replay;
pub mod request;
pub mod state;
mod stream;
#[cfg(test)]
mod testing;
pub mod wait;
pub mod webhook;

pub use fault::{Fault, Kind};
pub use fingerprint::fingerprint;
pub use flow::{Action, Ending, Event, Flow, Phase, Resume, RunIdentity, Setting, Verdict};
pub use state::{RunEvent, RunState};
