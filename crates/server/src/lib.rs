//! The HTTP API: JSON over HTTP/1.1 and 2, in front of [`runtime`].
//!
//! A handler reads the call, does one short thing with [`runtime::Modelrow`]
//! and answers; workers do the rest. What is wrong with a call is said at once
//! and in one form: RFC 9457 problem documents with our codes.
//!
//! Every call shows an API key, at one place (`gate`); whose it is and what
//! it may do follows from the key alone. On a machine of one's own a program
//! may be told to do without ([`Access::Local`]): it then listens on loopback
//! only, answers only to names of this machine, and every call is the default
//! tenant's. TLS is the proxy's in front.

mod answers;
mod body;
mod call;
mod caller;
mod connections;
mod disposition;
mod docs;
mod etag;
mod gate;
mod headers;
mod hosts;
mod json;
mod key_rate;
mod openai;
mod openapi;
pub mod ops;
mod prefer;
mod problem;
mod range;
mod request_id;
mod routes;
mod serve;
mod settings;
mod spans;

pub use openapi::document as openapi;
pub use routes::router;
pub use serve::serve;
pub use settings::{Access, Settings};
