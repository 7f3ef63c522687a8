//! What is true at one moment: rows, memories, the wire, the provider.

use crate::actions::Act;
use engine::state::{RunEvent, RunState};
use stateright::{Model, Property};

pub(crate) const ONE_JOB: &str = "no run has two accepted jobs without a person's consent";
pub(crate) const NOTHING_LATE: &str = "nothing is sent for an attempt that is no longer pending";
pub(crate) const NOTHING_LOST: &str = "an acceptance that a living process heard is written";

/// A crash, a lost lease, a cut, a cancel, a rewind, …: so many in one life. Three visit ten times the states and find
/// nothing that two do not.
pub(crate) const FAULTS: u8 = 2;

/// Attempts of the run that are looked at: a third adds no new way to fail.
pub(crate) const ATTEMPTS: usize = 2;

/// The model: which rules hold, and how an unknown submit is settled.
#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) rules: Rules,
    pub(crate) settling: Settling,
    /// Most faults in one life of the run.
    pub(crate) faults: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settling {
    Lookup,
    Replay,
}

/// The rules of `durability.md` that can be switched off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) intent_first: bool,
    pub(crate) swept_is_unknown: bool,
    pub(crate) absence_after_end: bool,
    pub(crate) absence_after_visible: bool,
    pub(crate) lease_proved: bool,
    pub(crate) facts_by_attempt: bool,
    pub(crate) reopened: bool,
    pub(crate) same_token: bool,
    pub(crate) within_key_life: bool,
    pub(crate) replay_holds: bool,
    pub(crate) replay_refusal_is_nothing: bool,
    pub(crate) rewound_is_held: bool,
    pub(crate) guarded_claim: bool,
    pub(crate) unique_index: bool,
}

impl Rules {
    pub(crate) const ALL: Self = Self {
        intent_first: true,
        swept_is_unknown: true,
        absence_after_end: true,
        absence_after_visible: true,
        lease_proved: true,
        facts_by_attempt: true,
        reopened: true,
        same_token: true,
        within_key_life: true,
        replay_holds: true,
        replay_refusal_is_nothing: true,
        rewound_is_held: true,
        guarded_claim: true,
        unique_index: true,
    };
}

/// `submit_attempts.outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Pending,
    Accepted,
    Unknown,
    /// `not_sent` and `refused`: no job, and a new attempt may follow.
    Closed,
    WrittenOff,
}

impl Outcome {
    /// What the unique index counts.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Accepted | Self::Unknown)
    }

    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Unknown)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) outcome: Outcome,
    pub(crate) sender: usize,
    pub(crate) sender_ended: bool,
    /// `settle.visible_after_ms` has passed since then.
    pub(crate) visible: bool,
    pub(crate) replayed: bool,
}

/// The rows of the run, and of the two workers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rows {
    pub(crate) state: RunState,
    /// `failure.code = unknown_outcome`.
    pub(crate) failed_unknown: bool,
    pub(crate) owner: Option<usize>,
    pub(crate) held: bool,
    pub(crate) cancel: bool,
    pub(crate) leases: [bool; 2],
    pub(crate) attempts: Vec<Attempt>,
}

impl Rows {
    /// Moves the run; `false` where the program would call it illegal, and write nothing.
    pub(crate) fn go(&mut self, event: RunEvent) -> bool {
        match self.state.on(event) {
            Ok(state) => {
                self.state = state;
                true
            }
            Err(_) => false,
        }
    }

    /// The run follows the job of its last attempt.
    pub(crate) fn knows_a_job(&self) -> bool {
        self.attempts
            .iter()
            .any(|attempt| attempt.outcome == Outcome::Accepted)
    }
}

/// What a worker holds in memory for this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Memory {
    Idle,
    /// Read as queued, and rendered.
    Picked,
    /// The intent stands (or, without that rule, nothing does).
    Ready(usize),
    OnWire {
        n: usize,
        replay: bool,
    },
    Heard {
        n: usize,
        replay: bool,
        said: Said,
    },
}

/// What an exchange came to, as its sender heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Said {
    Accepted,
    Refused,
    NotSent,
    /// It ended without a verdict.
    Broken,
}

/// A request that left a worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) n: usize,
    pub(crate) token: u8,
    /// Who waits for the answer; nobody after a crash or a cut.
    pub(crate) from: Option<usize>,
    /// The provider's word, once it arrived.
    pub(crate) answer: Option<Said>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) alive: bool,
    pub(crate) memory: Memory,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) rows: Rows,
    pub(crate) workers: [Worker; 2],
    pub(crate) wire: Vec<Message>,
    /// The tokens of the accepted jobs, one each.
    pub(crate) jobs: Vec<u8>,
    pub(crate) faults: u8,
    /// The provider still knows the tokens it has seen.
    pub(crate) keys_live: bool,
    pub(crate) rewound: bool,
    /// Times a person said that the job was not accepted.
    pub(crate) consents: usize,
    pub(crate) sent_late: bool,
    /// A living process heard an acceptance, and has not died with it.
    pub(crate) heard: bool,
}

impl World {
    fn new() -> Self {
        let worker = Worker {
            alive: true,
            memory: Memory::Idle,
        };
        Self {
            rows: Rows {
                state: RunState::Queued,
                failed_unknown: false,
                owner: None,
                held: false,
                cancel: false,
                leases: [true; 2],
                attempts: Vec::new(),
            },
            workers: [worker.clone(), worker],
            wire: Vec::new(),
            jobs: Vec::new(),
            faults: 0,
            keys_live: true,
            rewound: false,
            consents: 0,
            sent_late: false,
            heard: false,
        }
    }

    fn holds_an_acceptance(&self) -> bool {
        let held = |worker: &Worker| {
            matches!(
                worker.memory,
                Memory::Heard {
                    said: Said::Accepted,
                    ..
                }
            )
        };
        self.workers.iter().any(held)
    }
}

impl Model for House {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        acts.extend(Act::every().filter(|act| self.apply(world, *act).is_some()));
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        self.apply(world, act)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_JOB, |_, world: &World| {
                world.jobs.len() <= 1 + world.consents
            }),
            Property::always(NOTHING_LATE, |_, world: &World| !world.sent_late),
            Property::always(NOTHING_LOST, |_, world: &World| {
                // What contradicts a person's word, or a database that went back, is an alarm and an event.
                let excused = world.rewound || world.consents > 0;
                !world.heard || excused || world.holds_an_acceptance() || world.rows.knows_a_job()
            }),
            Property::sometimes("a run succeeds", |_, world: &World| {
                world.rows.state == RunState::Succeeded
            }),
            Property::sometimes("an outcome stays unknown, visibly", |_, world: &World| {
                world.rows.failed_unknown && !world.jobs.is_empty()
            }),
        ]
    }
}
