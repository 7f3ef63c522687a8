//! What can happen next. Each action is a few lines that mirror one statement
//! of `store`, one send, or one thing the world does to us.

use crate::world::{ATTEMPTS, Attempt, House, Memory, Message, Outcome, Said, Settling, World};
use engine::state::{RunEvent, RunState};

/// Who does it, by number; what happens to the first or second message on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Pick(usize),
    Intend(usize),
    Send(usize),
    /// The provider takes the request of this message.
    Accept(usize),
    Refuse(usize),
    /// The answer reaches who waits for it.
    Hear(usize),
    /// The connection breaks; the request may still arrive.
    Cut(usize),
    /// A request that nobody waits for is gone.
    Lose(usize),
    WriteFact(usize),
    /// Stalled, cut off from the database, or dead for its peers.
    LoseLease(usize),
    Crash(usize),
    Sweep(usize),
    /// `settle.visible_after_ms` passes for this attempt.
    Visible(usize),
    LookUp(usize),
    Replay(usize),
    GiveUp(usize),
    KeysExpire,
    Cancel,
    /// An operator says that the job was not accepted.
    Resolve,
    Succeed(usize),
    /// A lagging standby is promoted: the rows are those of the beginning.
    Rewind,
}

impl Act {
    pub(crate) fn every() -> impl Iterator<Item = Self> {
        const OF_ONE: [fn(usize) -> Act; 17] = [
            Act::Pick,
            Act::Intend,
            Act::Send,
            Act::Accept,
            Act::Refuse,
            Act::Hear,
            Act::Cut,
            Act::Lose,
            Act::WriteFact,
            Act::LoseLease,
            Act::Crash,
            Act::Sweep,
            Act::Visible,
            Act::LookUp,
            Act::Replay,
            Act::GiveUp,
            Act::Succeed,
        ];
        let alone = [Self::KeysExpire, Self::Cancel, Self::Resolve, Self::Rewind];
        (0..2)
            .flat_map(|i| OF_ONE.map(move |of| of(i)))
            .chain(alone)
    }
}

impl Act {
    /// What nobody wishes for: so many of them, in any order, are looked at in one life.
    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Cut(_)
                | Self::LoseLease(_)
                | Self::Crash(_)
                | Self::KeysExpire
                | Self::Cancel
                | Self::Resolve
                | Self::Rewind
        )
    }
}

impl House {
    /// The world after it; `None` where it cannot happen.
    pub(crate) fn apply(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        let done = match act {
            Act::Pick(w) => pick(&mut world, w),
            Act::Intend(w) => self.intend(&mut world, w),
            Act::Send(w) => self.send(&mut world, w),
            Act::Accept(i) => accept(&mut world, i),
            Act::Refuse(i) => refuse(&mut world, i),
            Act::Hear(i) => hear(&mut world, i),
            Act::Cut(i) => cut(&mut world, i),
            Act::Lose(i) => lose(&mut world, i),
            Act::WriteFact(w) => self.write_fact(&mut world, w),
            Act::LoseLease(w) => {
                std::mem::replace(world.rows.leases.get_mut(w)?, false).then_some(())
            }
            Act::Crash(w) => crash(&mut world, w),
            Act::Sweep(w) => self.sweep(&mut world, w),
            Act::Visible(n) => self.visible(&mut world, n),
            Act::LookUp(w) => self.look_up(&mut world, w),
            Act::Replay(w) => self.replay(&mut world, w),
            Act::GiveUp(w) => give_up(&mut world, w),
            Act::KeysExpire => self.keys_expire(&mut world),
            Act::Cancel => cancel(&mut world),
            Act::Resolve => resolve(&mut world),
            Act::Succeed(w) => succeed(&mut world, w),
            Act::Rewind => self.rewind(&mut world),
        };
        done?;
        if act.is_fault() {
            world.faults += 1;
        }
        (world.faults <= self.faults).then_some(world)
    }

    /// The claim's one statement: the attempt and `submitting`.
    fn intend(&self, world: &mut World, w: usize) -> Option<()> {
        if memory(world, w)? != Memory::Picked {
            return None;
        }
        if world.rows.attempts.len() == ATTEMPTS {
            return remember(world, w, Memory::Idle);
        }
        if !self.rules.intent_first {
            return remember(world, w, Memory::Ready(world.rows.attempts.len()));
        }
        let rows = &mut world.rows;
        let queued = rows.state == RunState::Queued;
        let indexed = rows
            .attempts
            .iter()
            .all(|attempt| !attempt.outcome.is_live());
        let refused = self.rules.guarded_claim && !queued || self.rules.unique_index && !indexed;
        if refused || rows.held || !rows.leases[w] {
            return remember(world, w, Memory::Idle);
        }
        let _ = rows.go(RunEvent::IntentWritten);
        rows.owner = Some(w);
        rows.attempts.push(pending(w));
        remember(world, w, Memory::Ready(world.rows.attempts.len() - 1))
    }

    fn send(&self, world: &mut World, w: usize) -> Option<()> {
        let Memory::Ready(n) = memory(world, w)? else {
            return None;
        };
        if self.rules.lease_proved && !world.rows.leases[w] {
            return remember(
                world,
                w,
                Memory::Heard {
                    n,
                    replay: false,
                    said: Said::NotSent,
                },
            );
        }
        let outcome = world.rows.attempts.get(n).map(|attempt| attempt.outcome);
        world.sent_late |=
            self.rules.intent_first && !world.rewound && outcome != Some(Outcome::Pending);
        put_on_wire(world, w, n, false, token(n))
    }

    fn write_fact(&self, world: &mut World, w: usize) -> Option<()> {
        let heard = memory(world, w)?;
        if !matches!(heard, Memory::Heard { .. }) {
            return None;
        }
        let rows = &world.rows;
        let known = rows.leases[w] && rows.owner == Some(w) && rows.state == RunState::Submitting;
        if self.rules.facts_by_attempt || known {
            self.fact(world, w, heard)?;
        }
        remember(world, w, Memory::Idle)
    }

    fn fact(&self, world: &mut World, w: usize, heard: Memory) -> Option<()> {
        let Memory::Heard { n, replay, said } = heard else {
            return None;
        };
        let rules = self.rules;
        let rows = &mut world.rows;
        // What a rewind took, or an intent that was never written, is written again from memory.
        while rows.attempts.len() <= n {
            rows.attempts.push(pending(w));
            let _ = rows.go(RunEvent::IntentWritten);
        }
        let is_last = n + 1 == rows.attempts.len();
        let attempt = &mut rows.attempts[n];
        if !attempt.outcome.is_open() {
            return Some(());
        }
        attempt.sender_ended |= !replay;
        match said {
            Said::Accepted => {
                attempt.outcome = Outcome::Accepted;
                if rows.failed_unknown && is_last && rules.reopened {
                    rows.failed_unknown = !rows.go(RunEvent::Reopened);
                } else if rows.failed_unknown {
                    rows.attempts[n].outcome = Outcome::Unknown;
                } else if is_last {
                    let _ = rows.go(RunEvent::Accepted);
                }
            }
            Said::Refused | Said::NotSent if replay && rules.replay_refusal_is_nothing => {}
            Said::Refused | Said::NotSent if attempt.replayed && !replay && rules.replay_holds => {}
            Said::Refused | Said::NotSent => {
                attempt.outcome = Outcome::Closed;
                if is_last {
                    free(rows);
                }
            }
            Said::Broken => {
                attempt.outcome = Outcome::Unknown;
                if is_last && rows.state == RunState::Submitting {
                    let _ = rows.go(RunEvent::OutcomeUnknown);
                }
            }
        }
        Some(())
    }

    /// `submitting` rows whose worker has no unexpired row.
    fn sweep(&self, world: &mut World, w: usize) -> Option<()> {
        let gone = world
            .rows
            .owner
            .is_some_and(|owner| !world.rows.leases[owner]);
        if !works(world, w) || world.rows.state != RunState::Submitting || !gone {
            return None;
        }
        let attempt = world.rows.attempts.last_mut()?;
        if attempt.outcome != Outcome::Pending {
            return None;
        }
        if self.rules.swept_is_unknown {
            attempt.outcome = Outcome::Unknown;
            return world.rows.go(RunEvent::WorkerLost).then_some(());
        }
        attempt.outcome = Outcome::Closed;
        world.rows.go(RunEvent::Requeued).then_some(())
    }

    /// Time passes for an attempt: what was sent has arrived by then, or never will.
    fn visible(&self, world: &mut World, n: usize) -> Option<()> {
        let on_its_way = world
            .wire
            .iter()
            .any(|message| message.n == n && message.answer.is_none());
        let attempt = world.rows.attempts.get_mut(n)?;
        let ended = attempt.sender_ended && !on_its_way;
        if attempt.visible || self.rules.absence_after_end && !ended {
            return None;
        }
        attempt.visible = true;
        Some(())
    }

    fn look_up(&self, world: &mut World, w: usize) -> Option<()> {
        let n = self.unknown(world, w, Settling::Lookup)?;
        if world.jobs.contains(&token(n)) {
            world.rows.attempts[n].outcome = Outcome::Accepted;
            return world.rows.go(RunEvent::Accepted).then_some(());
        }
        let attempt = &mut world.rows.attempts[n];
        if self.rules.absence_after_visible && !attempt.visible {
            return None;
        }
        attempt.outcome = Outcome::Closed;
        free(&mut world.rows);
        Some(())
    }

    /// Its count is committed first; the same bytes go again.
    fn replay(&self, world: &mut World, w: usize) -> Option<()> {
        let n = self.unknown(world, w, Settling::Replay)?;
        let attempt = &mut world.rows.attempts[n];
        if attempt.replayed || world.rows.held || self.rules.within_key_life && !world.keys_live {
            return None;
        }
        attempt.replayed = true;
        let token = if self.rules.same_token {
            token(n)
        } else {
            token(n) + 100
        };
        put_on_wire(world, w, n, true, token)
    }

    /// Keys live for hours: what is on its way arrives before, or never.
    fn keys_expire(&self, world: &mut World) -> Option<()> {
        let on_its_way = world.wire.iter().any(|message| message.answer.is_none());
        let may = self.settling == Settling::Replay && world.keys_live && !on_its_way;
        may.then(|| world.keys_live = false)
    }

    fn rewind(&self, world: &mut World) -> Option<()> {
        if world.rewound || world.rows.attempts.is_empty() {
            return None;
        }
        world.rewound = true;
        let rows = &mut world.rows;
        (rows.state, rows.failed_unknown, rows.owner) = (RunState::Queued, false, None);
        rows.held = self.rules.rewound_is_held;
        rows.attempts.clear();
        Some(())
    }

    /// The attempt of an unknown submit that this worker may settle so.
    fn unknown(&self, world: &World, w: usize, by: Settling) -> Option<usize> {
        let mine = works(world, w) && memory(world, w)? == Memory::Idle && self.settling == by;
        let n = world.rows.attempts.len().checked_sub(1)?;
        let open = world.rows.attempts[n].outcome == Outcome::Unknown;
        (mine && open && world.rows.state == RunState::SubmitUnknown).then_some(n)
    }
}

fn token(n: usize) -> u8 {
    u8::try_from(n).unwrap()
}

fn pending(sender: usize) -> Attempt {
    Attempt {
        outcome: Outcome::Pending,
        sender,
        sender_ended: false,
        visible: false,
        replayed: false,
    }
}

/// Back to the queue, or the end that the caller asked for.
fn free(rows: &mut crate::world::Rows) {
    let event = match (rows.cancel, rows.state) {
        (true, _) => RunEvent::Canceled,
        (false, RunState::SubmitUnknown) => RunEvent::ProvedAbsent,
        (false, _) => RunEvent::Requeued,
    };
    if rows.go(event) {
        rows.owner = None;
    }
}

fn works(world: &World, w: usize) -> bool {
    world.workers[w].alive && world.rows.leases[w]
}

fn memory(world: &World, w: usize) -> Option<Memory> {
    world.workers[w].alive.then_some(world.workers[w].memory)
}

fn remember(world: &mut World, w: usize, memory: Memory) -> Option<()> {
    world.workers[w].memory = memory;
    Some(())
}

fn pick(world: &mut World, w: usize) -> Option<()> {
    let due = world.rows.state == RunState::Queued && !world.rows.held;
    (works(world, w) && due && memory(world, w)? == Memory::Idle).then_some(())?;
    remember(world, w, Memory::Picked)
}

fn put_on_wire(world: &mut World, w: usize, n: usize, replay: bool, token: u8) -> Option<()> {
    world.wire.push(Message {
        n,
        token,
        from: Some(w),
        answer: None,
    });
    remember(world, w, Memory::OnWire { n, replay })
}

fn accept(world: &mut World, i: usize) -> Option<()> {
    let message = world
        .wire
        .get_mut(i)
        .filter(|message| message.answer.is_none())?;
    message.answer = Some(Said::Accepted);
    let token = message.token;
    if !(world.keys_live && world.jobs.contains(&token)) {
        world.jobs.push(token);
    }
    Some(())
}

/// For load or rate: nothing was made.
fn refuse(world: &mut World, i: usize) -> Option<()> {
    let message = world
        .wire
        .get_mut(i)
        .filter(|message| message.answer.is_none())?;
    message.answer = Some(Said::Refused);
    Some(())
}

fn hear(world: &mut World, i: usize) -> Option<()> {
    let (from, said) = (world.wire.get(i)?.from?, world.wire.get(i)?.answer?);
    let Memory::OnWire { n, replay } = memory(world, from)? else {
        return None;
    };
    world.wire.remove(i);
    world.heard |= said == Said::Accepted;
    remember(world, from, Memory::Heard { n, replay, said })
}

fn cut(world: &mut World, i: usize) -> Option<()> {
    let from = world.wire.get_mut(i)?.from.take()?;
    let Memory::OnWire { n, replay } = memory(world, from)? else {
        return None;
    };
    remember(
        world,
        from,
        Memory::Heard {
            n,
            replay,
            said: Said::Broken,
        },
    )
}

fn lose(world: &mut World, i: usize) -> Option<()> {
    if world.wire.get(i)?.from.is_some() {
        return None;
    }
    world.wire.remove(i);
    Some(())
}

/// An answer dies with the process that receives it.
fn crash(world: &mut World, w: usize) -> Option<()> {
    let held = memory(world, w)?;
    world.workers[w].alive = false;
    world.heard &= !matches!(
        held,
        Memory::Heard {
            said: Said::Accepted,
            ..
        }
    );
    for message in world
        .wire
        .iter_mut()
        .filter(|message| message.from == Some(w))
    {
        message.from = None;
    }
    remember(world, w, Memory::Idle)
}

fn give_up(world: &mut World, w: usize) -> Option<()> {
    (works(world, w) && world.rows.state == RunState::SubmitUnknown).then_some(())?;
    world.rows.failed_unknown = true;
    world.rows.go(RunEvent::Failed).then_some(())
}

/// Sets a mark, and makes no sender stale.
fn cancel(world: &mut World) -> Option<()> {
    let rows = &mut world.rows;
    if rows.cancel || rows.state.is_terminal() {
        return None;
    }
    rows.cancel = true;
    if rows.state == RunState::Queued {
        let _ = rows.go(RunEvent::Canceled);
    }
    Some(())
}

/// Taken only when the sender can send no more: its lease is over, or it has ended.
fn resolve(world: &mut World) -> Option<()> {
    let leases = world.rows.leases;
    let attempt = world.rows.attempts.last_mut()?;
    let over = attempt.sender_ended || !leases[attempt.sender];
    if world.consents > 0
        || world.rows.state != RunState::SubmitUnknown
        || !over
        || attempt.outcome != Outcome::Unknown
    {
        return None;
    }
    attempt.outcome = Outcome::WrittenOff;
    world.consents += 1;
    free(&mut world.rows);
    Some(())
}

fn succeed(world: &mut World, w: usize) -> Option<()> {
    (works(world, w) && world.rows.state == RunState::Polling).then_some(())?;
    world.rows.go(RunEvent::Succeeded).then_some(())
}
