//! A model of claim, send, settle and lease: two workers, one run, a provider
//! and a network that may do anything. Every interleaving is visited.
//!
//! Each rule of the design can be switched off. With all of them no state breaks
//! a promise; without one, the checker must find how the promise breaks: so a
//! rule that no longer matters, or a model that no longer sees it, fails here.
//!
//! The moves of the run's state are the program's own (`engine::state`). What is
//! assumed and not modelled: a commit that was answered survives (but for the
//! rewind), and once a sender has seen its exchange end, what it sent arrives
//! within `settle.visible_after_ms` or never.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at what it did not expect, and its table is to be read"
)]

mod actions;
mod world;

use stateright::{Checker, Model};
use std::time::Duration;
use world::{FAULTS, House, NOTHING_LATE, NOTHING_LOST, ONE_JOB, Rules, Settling};

/// Visits every state, or stops at the first that breaks each promise.
fn check(rules: Rules, settling: Settling) -> impl Checker<House> {
    House {
        rules,
        settling,
        faults: FAULTS,
    }
    .checker()
    .timeout(Duration::from_secs(300))
    .spawn_bfs()
    .join()
}

#[test]
fn with_every_rule_no_interleaving_pays_twice_or_loses_a_job() {
    for settling in [Settling::Lookup, Settling::Replay] {
        let checked = check(Rules::ALL, settling);
        println!(
            "{settling:?}: {} states, no counterexample",
            checked.unique_state_count()
        );
        assert!(checked.is_done());
        checked.assert_properties();
        // A model that hardly moves would prove anything.
        assert!(checked.unique_state_count() > 1_000);
    }
}

#[test]
#[rustfmt::skip]
fn without_any_one_rule_a_promise_breaks() {
    use Settling::{Lookup, Replay};
    let all = Rules::ALL;
    let cases = [
        // the rule                                     the build without it                              settled by, promise
        ("the intent is committed before the send",     Rules { intent_first: false, ..all },             Lookup, ONE_JOB),
        ("what a dead sender left is unknown",          Rules { swept_is_unknown: false, ..all },         Lookup, ONE_JOB),
        ("absence waits for the sender's end",          Rules { absence_after_end: false, ..all },        Lookup, ONE_JOB),
        ("absence waits until a job would be visible",  Rules { absence_after_visible: false, ..all },    Lookup, ONE_JOB),
        ("the lease is proved before the first byte",   Rules { lease_proved: false, ..all },             Lookup, NOTHING_LATE),
        ("facts are written whatever became of a lease", Rules { facts_by_attempt: false, ..all },        Lookup, NOTHING_LOST),
        ("a failure as unknown is reopened by proof",   Rules { reopened: false, ..all },                 Lookup, NOTHING_LOST),
        ("a replay has the token of its attempt",       Rules { same_token: false, ..all },               Replay, ONE_JOB),
        ("a replay is sent within the key's life",      Rules { within_key_life: false, ..all },          Replay, ONE_JOB),
        ("after a replay no late refusal frees",        Rules { replay_holds: false, ..all },             Replay, ONE_JOB),
        ("a replay's refusal proves nothing",           Rules { replay_refusal_is_nothing: false, ..all }, Replay, ONE_JOB),
        ("a rewound database holds every live run",     Rules { rewound_is_held: false, ..all },          Lookup, ONE_JOB),
        ("one live attempt, by guard or by index",      Rules { guarded_claim: false, unique_index: false, ..all }, Lookup, ONE_JOB),
    ];
    println!("{:<48} steps of a counterexample", "without the rule that …");
    for (rule, rules, settling, promise) in cases {
        let path = check(rules, settling).discovery(promise);
        let path = path.unwrap_or_else(|| panic!("without the rule that {rule}, nothing breaks `{promise}`"));
        let steps: Vec<String> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
        println!("{rule:<48} {}: {}", steps.len(), steps.join(", "));
    }
}

#[test]
fn either_the_guard_of_the_claim_or_the_unique_index_is_enough() {
    for rules in [
        Rules {
            guarded_claim: false,
            ..Rules::ALL
        },
        Rules {
            unique_index: false,
            ..Rules::ALL
        },
    ] {
        check(rules, Settling::Lookup).assert_properties();
    }
}
