//! The HTTP API: JSON over HTTP/1.1 and 2, in front of [`runtime`].
//!
//! A handler reads the call, does one short thing with [`runtime::Modelrow`]
//! and answers; workers do the rest. What is wrong with a call is said at once
//! and in one form: RFC 9457 problem documents with our codes.
//!
//! There are no API keys yet: whoever reaches the port may call, and every
//! call is the default tenant's. So [`serve()`] listens on loopback only, and
//! answers only to names of this machine, unless it is told
//! [`Exposure::Anyone`].

mod call;
mod caller;
mod disposition;
mod etag;
mod headers;
mod hosts;
mod json;
mod prefer;
mod problem;
mod range;
mod request_id;
mod routes;
mod serve;

pub use routes::router;
pub use serve::{Exposure, serve};
