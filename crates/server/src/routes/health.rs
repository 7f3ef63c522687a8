//! Whether the process lives.

/// Never asks Postgres: a restart in an outage of the database would cut paid exchanges.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}
