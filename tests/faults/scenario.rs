//! What a seed's run goes through when no fault strikes: which paths of the program it takes.

use crate::bundle::{Model, STREAMED};
use crate::choice::Fault;
use base64::Engine as _;
use serde_json::json;
use simulator::{Action, Config, Cut, Failure, JobPatch, Operation, Rule, Scripted};

/// The picture of the synchronous model, each byte a character.
pub(crate) const GIF: &[u8] = b"GIF89a\x01\0\x01\0\0\0\0;";

/// How the provider's job is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Succeeds,
    Fails,
    /// It is refused, and never made.
    Refused,
    /// It is another run's: none is made for this one, which follows it, or is refused it.
    Anothers,
}

/// One of the paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) model: Model,
    pub(crate) job: Job,
    /// The caller takes it back while it is polled.
    pub(crate) cancels: bool,
    /// One worker is told to leave while the run is polled.
    pub(crate) leaves: bool,
    /// The provider's own answer leaves the outcome open.
    pub(crate) doubtful: bool,
    /// What strikes before the seed's own fault, and where: the way to points that only others' misfortune leads to.
    pub(crate) first: Option<(Fault, &'static str, &'static str)>,
}

const CLEAN: Scenario = Scenario {
    name: "clean",
    model: Model::Found,
    job: Job::Succeeds,
    cancels: false,
    leaves: false,
    doubtful: false,
    first: None,
};

pub(crate) const SCENARIOS: [Scenario; 62] = [
    CLEAN,
    Scenario {
        name: "looked-up",
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "absent",
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "always-absent",
        doubtful: true,
        job: Job::Refused,
        ..CLEAN
    },
    Scenario {
        name: "replayed",
        doubtful: true,
        model: Model::Replayed,
        ..CLEAN
    },
    Scenario {
        name: "prepared",
        model: Model::Prepared,
        ..CLEAN
    },
    Scenario {
        name: "not-prepared",
        model: Model::Prepared,
        job: Job::Refused,
        ..CLEAN
    },
    Scenario {
        name: "job-fails",
        job: Job::Fails,
        ..CLEAN
    },
    Scenario {
        name: "refused",
        job: Job::Refused,
        ..CLEAN
    },
    Scenario {
        name: "slow-down",
        ..CLEAN
    },
    Scenario {
        name: "canceled",
        cancels: true,
        ..CLEAN
    },
    Scenario {
        name: "plain",
        model: Model::Plain,
        ..CLEAN
    },
    Scenario {
        name: "plain-doubtful",
        model: Model::Plain,
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "file-cut",
        ..CLEAN
    },
    Scenario {
        name: "file-gone",
        ..CLEAN
    },
    Scenario {
        name: "file-changes",
        ..CLEAN
    },
    Scenario {
        name: "direct",
        model: Model::Direct,
        ..CLEAN
    },
    Scenario {
        name: "direct-doubtful",
        model: Model::Direct,
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "leaving",
        leaves: true,
        ..CLEAN
    },
    Scenario {
        name: "overdue",
        model: Model::Late,
        cancels: true,
        ..CLEAN
    },
    Scenario {
        name: "strange-word",
        ..CLEAN
    },
    Scenario {
        name: "accepted-late",
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "orphan-direct",
        model: Model::Direct,
        first: Some((Fault::Kill, "sender.answered", "before")),
        ..CLEAN
    },
    Scenario {
        name: "orphan-prepared",
        model: Model::Prepared,
        first: Some((Fault::Kill, "prepare.exchange", "after")),
        ..CLEAN
    },
    Scenario {
        name: "doubted",
        first: Some((Fault::LostAnswers, "claim.commit", "before")),
        ..CLEAN
    },
    Scenario {
        name: "not-sent",
        first: Some((Fault::Freeze, "claim.commit", "after")),
        ..CLEAN
    },
    Scenario {
        name: "second-copy",
        first: Some((Fault::Freeze, "fetch.finish", "before")),
        ..CLEAN
    },
    Scenario {
        name: "late-facts",
        first: Some((Fault::Outage, "sender.accepted", "before")),
        ..CLEAN
    },
    Scenario {
        name: "poll-refused",
        ..CLEAN
    },
    Scenario {
        name: "key-refused",
        job: Job::Refused,
        ..CLEAN
    },
    Scenario {
        name: "no-file",
        job: Job::Fails,
        ..CLEAN
    },
    Scenario {
        name: "prepared-again",
        model: Model::Prepared,
        ..CLEAN
    },
    Scenario {
        name: "consented",
        model: Model::Consented,
        ..CLEAN
    },
    Scenario {
        name: "given-up",
        model: Model::Plain,
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "orphan-given-up",
        model: Model::Plain,
        first: Some((Fault::Kill, "sender.send", "after")),
        ..CLEAN
    },
    Scenario {
        name: "orphan-consented",
        model: Model::Consented,
        first: Some((Fault::Kill, "sender.send", "after")),
        ..CLEAN
    },
    Scenario {
        name: "braked",
        model: Model::Replayed,
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "wordy",
        model: Model::Wordy,
        ..CLEAN
    },
    Scenario {
        name: "tokened",
        model: Model::Tokened,
        ..CLEAN
    },
    Scenario {
        name: "token-refused",
        model: Model::Tokened,
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "limited",
        model: Model::Limited,
        ..CLEAN
    },
    Scenario {
        name: "endless",
        model: Model::Endless,
        job: Job::Fails,
        ..CLEAN
    },
    Scenario {
        name: "called",
        model: Model::Called,
        ..CLEAN
    },
    Scenario {
        name: "streamed",
        model: Model::Streamed,
        ..CLEAN
    },
    Scenario {
        name: "full-disk",
        model: Model::Direct,
        ..CLEAN
    },
    Scenario {
        name: "watched",
        ..CLEAN
    },
    Scenario {
        name: "same-job",
        job: Job::Anothers,
        ..CLEAN
    },
    Scenario {
        name: "adopted-elsewhere",
        job: Job::Anothers,
        ..CLEAN
    },
    Scenario {
        name: "keyless",
        job: Job::Refused,
        ..CLEAN
    },
    Scenario {
        name: "keyless-pictured",
        model: Model::Pictured,
        job: Job::Refused,
        ..CLEAN
    },
    Scenario {
        name: "too-late",
        job: Job::Refused,
        ..CLEAN
    },
    Scenario {
        name: "canceled-early",
        model: Model::Limited,
        cancels: true,
        ..CLEAN
    },
    Scenario {
        name: "unanswered-fact",
        first: Some((Fault::LostAnswers, "sender.accepted", "before")),
        ..CLEAN
    },
    Scenario {
        name: "written-twice",
        ..CLEAN
    },
    Scenario {
        name: "leaving-early",
        model: Model::Limited,
        ..CLEAN
    },
    Scenario {
        name: "bulky",
        model: Model::Bulky,
        ..CLEAN
    },
    Scenario {
        name: "stream-left",
        model: Model::Streamed,
        cancels: true,
        ..CLEAN
    },
    Scenario {
        name: "swept",
        ..CLEAN
    },
    Scenario {
        name: "late-refusal",
        model: Model::Replayed,
        first: Some((Fault::Freeze, "sender.send", "after")),
        ..CLEAN
    },
    Scenario {
        name: "at-once",
        model: Model::Unlimited,
        ..CLEAN
    },
    Scenario {
        name: "at-once-looked-up",
        model: Model::Unlimited,
        doubtful: true,
        ..CLEAN
    },
    Scenario {
        name: "at-once-doubted",
        model: Model::Unlimited,
        first: Some((Fault::LostAnswers, "claim.at_once.insert", "before")),
        ..CLEAN
    },
];

impl Scenario {
    pub(crate) fn named(name: &str) -> Option<Self> {
        SCENARIOS.into_iter().find(|one| one.name == name)
    }

    /// The provider's part.
    pub(crate) fn provider(&self) -> Config {
        let mut config = Config::default();
        config.tag.headers.clear();
        config.idempotency_header = Some("idempotency-key".into());
        config.jobs.queue_ms = 50;
        config.jobs.run_ms = 250;
        config.rules = self.rules();
        config
    }

    /// A word that the provider's policy refuses, where the job is to be refused.
    pub(crate) fn prompt(&self, tag: &str) -> String {
        let subject = if self.name == "refused" {
            "mario"
        } else {
            "a cat"
        };
        let more = match self.model {
            Model::Wordy => " and on".repeat(4_500),
            _ => String::new(),
        };
        match self.model {
            // As text it fits into the row; as the database keeps numbers it does not.
            Model::Bulky => format!("[\"run:{tag} {subject}\"{}]", ",1".repeat(12_000)),
            _ => format!("run:{tag} {subject} plays the piano{more}"),
        }
    }

    /// Its workers have no key for the provider.
    pub(crate) fn is_keyless(&self) -> bool {
        self.name.starts_with("keyless")
    }

    /// Workers serve, and one of them is called: it claims what it makes.
    pub(crate) fn is_at_once(&self) -> bool {
        self.name.starts_with("at-once")
    }

    /// In which state the caller takes it back, or one worker is told to leave.
    pub(crate) fn acts_in(&self) -> &'static str {
        match self.name {
            "canceled-early" => "preparing",
            "stream-left" => "submitting",
            _ => "polling",
        }
    }

    /// Only time settles what its submit came to.
    pub(crate) fn only_time_settles(&self) -> bool {
        matches!(self.name, "given-up" | "orphan-given-up") || self.model == Model::Consented
    }

    /// Another run is there before this one.
    pub(crate) fn has_twin(&self) -> bool {
        self.job == Job::Anothers
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a table: what each scenario's provider does"
    )]
    fn rules(&self) -> Vec<Rule> {
        let on = Rule::on;
        let job = |patch: JobPatch| on(Operation::Create, Action::Job(patch)).always();
        let answered = |status: u16, text: &str| {
            Action::Answer(Scripted::json(status, json!({"error": {"message": text}})))
        };
        match self.name {
            "looked-up" | "plain-doubtful" | "consented" | "given-up" => {
                vec![on(Operation::Create, server_error(true))]
            }
            "absent" => vec![on(Operation::Create, Action::Cut(Cut::BeforeReading))],
            "always-absent" => {
                vec![on(Operation::Create, Action::Cut(Cut::BeforeReading)).always()]
            }
            "replayed" | "at-once-replayed" => {
                vec![on(Operation::Create, Action::Cut(Cut::AfterAccepting))]
            }
            "not-prepared" => vec![on(Operation::List, answered(400, "no")).always()],
            "job-fails" => vec![job(JobPatch {
                fails: Some(Failure {
                    code: "oven".into(),
                    message: "the oven is cold".into(),
                    at_progress: 50,
                }),
                ..JobPatch::default()
            })],
            "slow-down" => vec![on(
                Operation::Create,
                Action::RateLimit {
                    retry_after_s: None,
                    retry_after_ms: Some(100),
                },
            )],
            "canceled" => vec![job(JobPatch {
                run_ms: Some(3_000),
                ..JobPatch::default()
            })],
            "braked" => vec![on(Operation::Create, Action::DelayAnswer { ms: 1_300 })],
            "tokened" => vec![token()],
            "token-refused" => vec![
                token(),
                on(Operation::Create, Action::Cut(Cut::AfterAccepting)),
                on(Operation::Create, answered(401, "no token")).nth(2),
            ],
            "endless" => vec![job(JobPatch {
                never_ends: Some(true),
                ..JobPatch::default()
            })],
            "called" => vec![job(JobPatch {
                run_ms: Some(900),
                ..JobPatch::default()
            })],
            "streamed" => vec![on(Operation::Unknown, streamed()).always()],
            "full-disk" => vec![
                on(Operation::Unknown, picture(false)).always(),
                on(Operation::Unknown, Action::DelayAnswer { ms: 700 }),
            ],
            "same-job" => vec![job(JobPatch {
                run_ms: Some(60_000),
                ..JobPatch::default()
            })],
            "adopted-elsewhere" => vec![
                job(JobPatch {
                    run_ms: Some(9_000),
                    ..JobPatch::default()
                }),
                on(Operation::Create, Action::Cut(Cut::AfterAccepting)),
            ],
            "stream-left" => vec![
                on(Operation::Unknown, streamed()).always(),
                on(Operation::Unknown, Action::Drip { bytes: 3, ms: 100 }).always(),
            ],
            "swept" => vec![job(JobPatch {
                run_ms: Some(4_500),
                ..JobPatch::default()
            })],
            // Asked again while the first answer waits to be written: in time no answer comes, and the job is made.
            "late-refusal" => vec![
                on(Operation::Create, answered(400, "no")),
                on(Operation::Create, Action::Stall { ms: 1_300 })
                    .nth(2)
                    .times(2),
            ],
            "leaving" | "watched" => vec![job(JobPatch {
                run_ms: Some(1_200),
                ..JobPatch::default()
            })],
            "overdue" => vec![job(JobPatch {
                run_ms: Some(20_000),
                ..JobPatch::default()
            })],
            "file-cut" => vec![
                job(JobPatch {
                    content_bytes: Some(1_500_000),
                    ..JobPatch::default()
                }),
                on(Operation::Content, Action::Cut(Cut::MidBody(900_000))),
            ],
            "file-gone" => vec![on(Operation::Content, answered(404, "gone"))],
            "file-changes" | "second-copy" => vec![job(JobPatch {
                changing_content: Some(true),
                ..JobPatch::default()
            })],
            "strange-word" => {
                let strange = Scripted::json(200, json!({"status": "napping"}));
                vec![on(Operation::Retrieve, Action::Answer(strange))]
            }
            "poll-refused" => vec![on(Operation::Retrieve, answered(401, "no key"))],
            "key-refused" => vec![on(Operation::Create, answered(401, "no key")).always()],
            "no-file" => {
                let page = Scripted::text(200, "text/html", "<html>sorry</html>");
                vec![on(Operation::Content, Action::Answer(page)).always()]
            }
            "prepared-again" => vec![on(Operation::List, answered(500, "later"))],
            "accepted-late" => vec![on(Operation::Create, Action::Stall { ms: 1_300 })],
            "direct" | "orphan-direct" => vec![on(Operation::Unknown, picture(false)).always()],
            "direct-doubtful" => vec![
                on(Operation::Unknown, picture(false)).nth(2).times(0),
                on(Operation::Unknown, server_error(true)),
            ],
            _ => Vec::new(),
        }
    }
}

/// Whoever asks for an access token gets one.
fn token() -> Rule {
    let granted = json!({"access_token": "tok-1", "token_type": "Bearer", "expires_in": 3600});
    Rule::on(
        Operation::Unknown,
        Action::Answer(Scripted::json(200, granted)),
    )
    .always()
}

fn streamed() -> Action {
    let events = STREAMED.map(|text| format!("data: {}\n\n", json!({"delta": text})));
    let text = events.concat() + "data: [DONE]\n\n";
    Action::Answer(Scripted::text(200, "text/event-stream", &text))
}

/// The answer to a create: a job that is there already.
pub(crate) fn the_same(job: &str, tag: &str) -> Rule {
    let answer = Scripted::json(200, json!({"id": job, "status": "in_progress"}));
    Rule::on(Operation::Create, Action::Answer(answer))
        .always()
        .tag(tag)
}

fn server_error(after_accepting: bool) -> Action {
    Action::ServerError {
        status: 502,
        after_accepting,
    }
}

/// More than a row can hold.
fn picture(after_accepting: bool) -> Action {
    let padding = "x".repeat(100_000);
    let picture = base64::engine::general_purpose::STANDARD.encode(GIF);
    let mut scripted = Scripted::json(
        200,
        json!({"padding": padding, "data": [{"b64_json": picture}]}),
    );
    scripted.after_accepting = after_accepting;
    Action::Answer(scripted)
}

/// Mischief of the provider that a seed adds, by the operation that it strikes.
pub(crate) fn mischief(kind: &str, operation: Operation, random: u64) -> Rule {
    let action = match kind {
        "answers 5xx" => server_error(operation == Operation::Create),
        "cuts" => Action::Cut(match random % 3 {
            0 => Cut::BeforeReading,
            1 => Cut::AfterAccepting,
            _ => Cut::MidBody(random % 100),
        }),
        "stalls" => Action::Stall {
            ms: 400 + random % 900,
        },
        // A word about the past after a later one.
        _ => Action::Answer(Scripted::json(
            200,
            json!({"status": "queued", "progress": 0}),
        )),
    };
    let nth = if kind == "reorders" { 2 } else { 1 };
    Rule::on(operation, action).nth(nth)
}
