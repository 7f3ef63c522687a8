//! Who may be driven now: so many in all and so many a host, the hosts in turns.
//! What waits for its turn is an id in a queue, not a task.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// The queues of all hosts.
#[derive(Debug)]
pub(crate) struct Lanes {
    all: usize,
    each: usize,
    busy: usize,
    hosts: HashMap<Arc<str>, Lane>,
    /// Hosts with somebody waiting and room for him, each once.
    turns: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct Lane {
    busy: usize,
    waiting: VecDeque<Uuid>,
    has_turn: bool,
}

impl Lanes {
    /// `all` at once, `each` of them at one host.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            all: all.max(1),
            each: each.max(1),
            busy: 0,
            hosts: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// A run is due at this host.
    pub(crate) fn arrive(&mut self, host: &Arc<str>, run: Uuid) {
        let lane = self.hosts.entry(Arc::clone(host)).or_default();
        lane.waiting.push_back(run);
        self.turn(host);
    }

    /// The next that may begin; it holds a place until [`Lanes::leave`].
    pub(crate) fn next(&mut self) -> Option<(Arc<str>, Uuid)> {
        if self.busy >= self.all {
            return None;
        }
        let host = self.turns.pop_front()?;
        let lane = self.hosts.get_mut(&host)?;
        lane.has_turn = false;
        let run = lane.waiting.pop_front()?;
        lane.busy += 1;
        self.busy += 1;
        self.turn(&host);
        Some((host, run))
    }

    /// Gives a place back.
    pub(crate) fn leave(&mut self, host: &Arc<str>) {
        let Some(lane) = self.hosts.get_mut(host) else {
            return;
        };
        lane.busy = lane.busy.saturating_sub(1);
        self.busy = self.busy.saturating_sub(1);
        if lane.busy == 0 && lane.waiting.is_empty() {
            self.hosts.remove(host);
        } else {
            self.turn(host);
        }
    }

    fn turn(&mut self, host: &Arc<str>) {
        if let Some(lane) = self.hosts.get_mut(host)
            && !lane.has_turn
            && !lane.waiting.is_empty()
            && lane.busy < self.each
        {
            lane.has_turn = true;
            self.turns.push_back(Arc::clone(host));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn begun(lanes: &mut Lanes) -> Vec<String> {
        std::iter::from_fn(|| lanes.next())
            .map(|(host, run)| format!("{host}{}", run.as_u128()))
            .collect()
    }

    #[test]
    fn a_slow_host_keeps_nobody_else_waiting() {
        let mut lanes = Lanes::new(4, 3);
        let (slow, quick) = (host("slow"), host("quick"));
        (0..100).for_each(|i| lanes.arrive(&slow, Uuid::from_u128(i)));
        assert_eq!(begun(&mut lanes), ["slow0", "slow1", "slow2"]);
        lanes.arrive(&quick, Uuid::from_u128(7));
        lanes.arrive(&quick, Uuid::from_u128(8));
        assert_eq!(begun(&mut lanes), ["quick7"], "four in all");
        lanes.leave(&quick);
        assert_eq!(begun(&mut lanes), ["quick8"]);
        lanes.leave(&slow);
        assert_eq!(begun(&mut lanes), ["slow3"]);
    }

    #[test]
    fn hosts_take_turns_and_each_keeps_its_order() {
        let mut lanes = Lanes::new(10, 10);
        let (a, b) = (host("a"), host("b"));
        (0..3).for_each(|i| lanes.arrive(&a, Uuid::from_u128(i)));
        (0..2).for_each(|i| lanes.arrive(&b, Uuid::from_u128(i)));
        assert_eq!(begun(&mut lanes), ["a0", "b0", "a1", "b1", "a2"]);
    }

    #[test]
    fn a_host_that_nobody_waits_for_is_forgotten() {
        let mut lanes = Lanes::new(2, 1);
        let a = host("a");
        lanes.arrive(&a, Uuid::nil());
        assert_eq!(begun(&mut lanes).len(), 1);
        lanes.leave(&a);
        assert!(lanes.hosts.is_empty() && lanes.turns.is_empty());
        lanes.leave(&a);
        assert_eq!(lanes.busy, 0);
    }
}
