//! The `modelrow` program.
fn main() {}
