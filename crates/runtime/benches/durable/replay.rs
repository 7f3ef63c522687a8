//! The statements of one run from its call to its view, as a process that is called and works sends them, for `pgbench`.
//!
//! Their texts are those of `.sqlx`, which the build holds to the code; here stand their order and their values. What is not of
//! one run (leases, hints, looks at the queue) is not replayed. Where the program begins a tenant's transaction with three statements
//! in one message, `pgbench` sends two: one message more.

use crate::ground::Ground;
use serde_json::Value;
use sqlx::Row as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const AS_TENANT: &str = "begin;\nselect set_config('modelrow.tenant', :tenant, true), set_config('role', 'modelrow_api', true);\n";
const COMMIT: &str = "commit;\n";
/// Ids grow with time, as those of the program do.
const NEW_ID: &str = "encode(overlay(uuid_send(gen_random_uuid()) placing \
    substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 'hex')::uuid";
const RUN: &str = "(:run_id)::uuid";

/// A statement by a part of its text, and what its parameters are.
struct Sent(&'static str, &'static [&'static str]);

const MADE: Sent = Sent(
    "with start as materialized (select set_config('synchronous_commit'",
    &[
        NEW_ID,
        "(:tenant)::uuid",
        "null::text",
        "sha256('call')",
        "'video'",
        "decode(:revision, 'hex')",
        "(:request)::jsonb",
        "(:credential)::uuid",
        "null::uuid",
        "null::timestamptz",
        "0::smallint",
        "86400::float8",
        "null",
        "null::text",
        "null::bytea",
        "(:worker)::uuid",
        "1::int",
        "gen_random_uuid()",
        "(:endpoint)::text",
        "sha256('request')",
        "(:drawn)::jsonb",
    ],
);
const ACCEPTED: Sent = Sent(
    "with old as (select state from run_states where run_id = $1),",
    &[
        RUN,
        "1::int",
        "('video_' || :run_id)",
        "1::smallint",
        "(:endpoint)::text",
        "(:captured)::jsonb",
        "3600::float8",
        "86400::float8",
        "200::smallint",
        "false",
    ],
);
const FETCH: Sent = Sent(
    "set state = 'fetching', ver = ver + 1",
    &[RUN, "2::bigint", "(:captured)::jsonb", "null::float8"],
);
const ENDED: Sent = Sent(
    "kept as (",
    &[
        RUN,
        "'fetching'",
        "'succeeded'",
        "(:result)::jsonb",
        "null::jsonb",
        "null",
        "'video'",
        "0::int",
        "(:run_id || '/video.0/3')",
        "sha256('file')",
        "100000::bigint",
        "'video/mp4'",
        "2592000::float8",
        "1::int",
        "null",
        "null",
        "null::smallint",
    ],
);
const VIEW: [Sent; 3] = [
    Sent("s.revision_id <> u.revision_id as", &[RUN]),
    Sent(
        "select n, revision_id, outcome, http_status, provider_job_id, replays, adopted, sent_at, ended_at",
        &[RUN],
    ),
    Sent(
        "from artifacts where run_id = $1 and deleted_at is null order by name, idx",
        &[RUN],
    ),
];

/// What `pgbench` is given.
pub(crate) struct Replay {
    pub(crate) script: PathBuf,
    pub(crate) variables: Vec<String>,
}

impl Replay {
    /// With the values of a run that has ended, sent by a worker that nobody is.
    pub(crate) async fn of_a_run(ground: &Ground) -> Self {
        let worker = uuid::Uuid::now_v7();
        let born = format!(
            "insert into workers (worker_id, expires_at, build, language, host)
             values ('{worker}', now() + interval '1 day', 'pgbench', 1, 'pgbench')"
        );
        ground.sql(&born).await;
        let row = ground
            .row(
                "select tenant_id::text as tenant, s.credential_id::text as credential, encode(s.revision_id, 'hex') as revision,
                        u.request::text as request, (s.captured - 'output')::text as captured, s.captured::text as result,
                        a.endpoint, a.drawn::text as drawn
                 from run_states s join runs u using (run_id, tenant_id) join submit_attempts a using (run_id)
                 where s.state = 'succeeded' limit 1",
            )
            .await;
        let names = [
            "tenant",
            "credential",
            "revision",
            "request",
            "captured",
            "result",
            "endpoint",
            "drawn",
        ];
        let values = names.map(|name| format!("{name}={}", row.get::<String, _>(name)));
        let script = ground.folder.path().join("run.sql");
        std::fs::write(&script, script_of_a_run()).unwrap();
        Self {
            script,
            variables: values
                .into_iter()
                .chain([format!("worker={worker}")])
                .collect(),
        }
    }
}

fn script_of_a_run() -> String {
    let known = Known::read();
    // The insert answers with the run's id.
    let mut script = format!("{} \\gset\n", known.text(&MADE));
    for sent in [ACCEPTED, FETCH, ENDED] {
        let _ = writeln!(script, "{};", known.text(&sent));
    }
    script.push_str(AS_TENANT);
    for sent in &VIEW {
        let _ = writeln!(script, "{};", known.text(sent));
    }
    script + COMMIT
}

/// Every statement of the program.
struct Known(Vec<String>);

impl Known {
    fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.sqlx");
        let files = std::fs::read_dir(folder).unwrap();
        let texts = files.map(|file| {
            let file: Value =
                serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
            file["query"].as_str().unwrap().to_owned()
        });
        Self(texts.collect())
    }

    /// Its text with its values, without comments, which `pgbench` would take for its own.
    fn text(&self, Sent(part, values): &Sent) -> String {
        let found: Vec<&String> = self.0.iter().filter(|text| text.contains(part)).collect();
        assert_eq!(found.len(), 1, "statements of `.sqlx` with `{part}`");
        let lines = found[0].lines();
        let lines = lines.filter(|line| !line.trim_start().starts_with("--"));
        let mut text = lines.collect::<Vec<_>>().join("\n").trim().to_owned();
        for (n, value) in values.iter().enumerate().rev() {
            text = text.replace(&format!("${}", n + 1), value);
        }
        assert!(!text.contains('$'), "a parameter has no value: {text}");
        text
    }
}
