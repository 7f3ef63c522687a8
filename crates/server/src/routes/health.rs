//! Whether the process lives. It never asks Postgres: a restart in an outage of the database would cut paid exchanges.

/// Says that the process lives; asks nobody
#[utoipa::path(
    get, path = "/healthz", tag = "service", operation_id = "healthz",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain"))
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}
