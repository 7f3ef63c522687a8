//! Whole runs: a real database, a simulated provider on a real socket.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod answers;
#[path = "../shared/bucket.rs"]
mod bucket;
mod buckets;
mod bundles;
mod cache;
mod callbacks;
mod calls;
mod catalogue;
mod cleanups;
mod deliveries;
mod desk;
mod doubt;
mod fallback;
mod faults;
mod house;
mod life;
mod limits;
mod operate;
mod receiver;
mod recorded;
mod retention;
mod rewind;
mod rounds;
mod sealed;
mod streams;
mod submit;
mod tokens;
mod unrecorded;
mod wire;
mod workers;
