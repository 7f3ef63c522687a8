//! Tests of what is not a file of its own, or must not be compiled with it.

mod credentials;
mod objects;
