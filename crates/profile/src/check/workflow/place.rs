//! Members and steps that stand where they have no meaning.

use super::super::walk::{Fields, Sink};
use super::Kind;
use diag::Code;

/// Before the submit and after the end there is no job to ask about, and no file of it.
pub(super) fn out_of_place(fields: &Fields<'_>, kind: Kind, sink: &Sink) {
    let (what, why) = match kind {
        Kind::Poll => ("a poll", "asks about the job until that has ended"),
        Kind::Download | Kind::Request => ("a download", "fetches a file of the job"),
    };
    sink.error(
        Code::P622,
        fields.at(),
        format!("{what} {why}, and stands in `workflow.steps` only"),
        "move it there; or give it another `name` and no `action`, and it is one `request`",
    );
}

/// Members of one action in a step of another.
pub(super) fn say_where(fields: &Fields<'_>, kind: Kind) {
    const POLL: &[&str] = &[
        "interval_ms",
        "max_attempts",
        "deadline_ms",
        "max_job_life_ms",
        "initial_delay_ms",
        "multiplier",
        "max_interval_ms",
        "jitter",
        "select",
        "status_path",
        "terminal_states",
        "states",
        "not_found_grace_ms",
        "poll_after_path",
        "progress_path",
        "progress_max",
        "batch",
    ];
    const DOWNLOAD: &[&str] = &[
        "artifact",
        "optional",
        "accept",
        "from",
        "url_path",
        "value_path",
        "mode",
        "mime_path",
        "content_type",
        "wrap",
        "expires_in_ms",
        "expires_path",
    ];
    if kind != Kind::Poll {
        fields.elsewhere(
            POLL,
            "it belongs to a poll: add `\"action\": \"poll\"` to the step",
        );
    } else {
        fields.elsewhere(
            &["each"],
            "a poll asks about one job: leave it out; `batch` asks for many runs at once",
        );
    }
    if kind != Kind::Download {
        fields.elsewhere(
            DOWNLOAD,
            "it belongs to a download: add `\"action\": \"download\"` to the step",
        );
    }
}

pub(super) fn paid_twice(fields: &Fields<'_>, method: Option<&str>, sink: &Sink) {
    let Some(method) = method.filter(|method| !matches!(*method, "GET" | "HEAD")) else {
        return;
    };
    sink.error(
        Code::P603,
        fields.at(),
        format!("a {method} after the submit may be sent twice, and has no ledger"),
        "say `\"repeatable\": true` if that costs nothing, or use a GET",
    );
}
