//! Builds that are broken on purpose: the suite must fail on each.

use crate::choice::{Choice, Fault};
use crate::run_all;
use crate::scenario::Scenario;
use crate::stories;

/// A rule that is left out, and where that shows.
struct Case {
    rule: &'static str,
    scenario: &'static str,
    fault: Fault,
    point: &'static str,
    side: &'static str,
    random: u64,
}

const CASES: [Case; 7] = [
    // What was sent is not in the database when its sender dies.
    Case {
        rule: "intent_after_send",
        scenario: "clean",
        fault: Fault::Kill,
        point: "claim.commit",
        side: "before",
        random: 1,
    },
    // The answer was there; its process had lost the lease meanwhile.
    Case {
        rule: "stale_answers_dropped",
        scenario: "plain",
        fault: Fault::Freeze,
        point: "sender.send",
        side: "after",
        random: 1,
    },
    // Frozen before the first byte: nobody finds the job, and then it comes.
    Case {
        rule: "absence_is_proof",
        scenario: "clean",
        fault: Fault::Freeze,
        point: "sender.send",
        side: "before",
        random: 4,
    },
    Case {
        rule: "cancel_bumps_ver",
        scenario: "canceled",
        fault: Fault::Backends,
        point: "drive.exchange",
        side: "after",
        random: 1,
    },
    // Its request is on its way when it dies.
    Case {
        rule: "dead_senders_sent_again",
        scenario: "clean",
        fault: Fault::Kill,
        point: "sender.event",
        side: "before",
        random: 1,
    },
    // Its refusal is written after another has sent the same once more.
    Case {
        rule: "replays_not_counted",
        scenario: "late-refusal",
        fault: Fault::Backends,
        point: "fetch.finish",
        side: "before",
        random: 1,
    },
    // Two fetch the same file, and the second is another.
    Case {
        rule: "one_key_for_all_fetches",
        scenario: "file-changes",
        fault: Fault::Freeze,
        point: "fetch.finish",
        side: "before",
        random: 4,
    },
];

/// Rules that only the restored backup shows.
const STORY_RULES: [&str; 1] = ["memory_not_written"];

/// Whether every broken build fails, and the whole one passes on the same seeds.
pub(crate) async fn all(only: &str) -> bool {
    let mut good = true;
    for case in CASES.iter().filter(|case| case.rule.contains(only)) {
        let choice = Choice {
            seed: 2_000_000,
            scenario: Scenario::named(case.scenario).unwrap(),
            fault: case.fault,
            point: case.point.to_owned(),
            side: case.side,
            nth: 1,
            mischief: None,
            clock_ms: 0,
            twice: false,
            random: case.random,
        };
        let chosen = [choice];
        let (_, whole) = run_all(&chosen, 1, None).await;
        let (_, broken) = run_all(&chosen, 1, Some(case.rule)).await;
        let caught = whole.is_empty() && !broken.is_empty();
        println!(
            "broken on purpose, {}: {}",
            case.rule,
            if caught { "caught" } else { "NOT CAUGHT" }
        );
        good &= caught;
    }
    for rule in STORY_RULES.into_iter().filter(|rule| rule.contains(only)) {
        let caught = stories::rewound(Some(rule)).await.is_err();
        println!(
            "broken on purpose, {rule}: {}",
            if caught { "caught" } else { "NOT CAUGHT" }
        );
        good &= caught;
    }
    good
}
