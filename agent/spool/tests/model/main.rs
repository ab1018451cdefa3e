//! The spool against a model of it, on a disk that crashes, tears, fills up and fails.
//!
//! `PROPTEST_CASES=20000` makes it a long run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by them"
)]

mod disk;
mod story;

use proptest::prelude::*;

use crate::disk::Dice;
use crate::story::{Seen, Step, Story};

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (1..6_u64, 1..300_usize).prop_map(|(events, bytes)| Step::Push { events, bytes }),
        15 => Just(Step::Sync),
        25 => Just(Step::Lease),
        12 => (1..4_usize).prop_map(Step::Commit),
        2 => (0..12_u64).prop_map(Step::CommitAhead),
        3 => Just(Step::Rollback),
        6 => Just(Step::Checkpoint),
        2 => Just(Step::Settle),
        1 => Just(Step::NewRun),
        2 => Just(Step::Restart),
        2 => any::<u64>().prop_map(Step::Crash),
        2 => (1..12_usize, any::<u64>()).prop_map(|(after, seed)| Step::CrashAfter(after, seed)),
        1 => proptest::option::of(0..600_usize).prop_map(Step::Room),
        1 => Just(Step::Room(None)),
        1 => Just(Step::FailSync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_synced_is_lost_out_of_order_or_untold(
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        Story::play(&steps);
    }
}

/// One long story with everything in it, to show that the faults above do happen.
#[test]
fn a_long_life_sees_every_fault() {
    let mut dice = Dice::new(1);
    let steps: Vec<Step> = (0..4000)
        .map(|_| match dice.below(100) {
            0..40 => Step::Push {
                events: 1 + dice.below(5) as u64,
                bytes: 1 + dice.below(300),
            },
            40..60 => Step::Sync,
            60..80 => Step::Lease,
            80..86 => Step::Commit(3),
            86..89 => Step::Rollback,
            89..94 => Step::Checkpoint,
            94 => Step::Settle,
            95 => Step::Crash(dice.below(1 << 30) as u64),
            96 => Step::CrashAfter(1 + dice.below(12), dice.below(1 << 30) as u64),
            97 => Step::Room(Some(dice.below(600))),
            _ => Step::Room(None),
        })
        .collect();
    let Seen {
        leased,
        evicted,
        damaged,
        crashes,
        disk_full,
        vanished,
    } = Story::play(&steps);
    for (what, times) in [
        ("leased", leased),
        ("evicted", evicted),
        ("damaged", damaged),
        ("crashed", crashes),
        ("disk full", disk_full),
        ("vanished", vanished),
    ] {
        assert!(times > 0, "never {what}");
    }
}

/// The same steps before a crash that keeps now this and now that.
fn survives_any_crash(steps: &[Step]) {
    for seed in 0..200 {
        let mut steps = steps.to_vec();
        steps.push(Step::Crash(seed));
        Story::play(&steps);
    }
}

const PUSH: Step = Step::Push {
    events: 2,
    bytes: 50,
};

#[test]
fn what_one_start_could_not_sync_the_next_one_does() {
    survives_any_crash(&[
        PUSH,
        Step::Room(Some(0)),
        Step::Restart,
        Step::Room(None),
        PUSH,
        Step::Restart,
        Step::Sync,
    ]);
}

#[test]
fn a_process_does_not_build_on_what_the_one_before_failed_to_sync() {
    survives_any_crash(&[
        PUSH,
        Step::FailSync,
        Step::Sync,
        Step::Restart,
        PUSH,
        Step::Sync,
    ]);
}

#[test]
fn a_segment_that_was_removed_just_before_a_start_does_not_come_back() {
    let delivered = [PUSH, Step::Lease, Step::Commit(1)];
    let mut steps = delivered.to_vec();
    steps.extend([Step::Checkpoint, Step::NewRun]);
    // Enough to fill the spool, so that the first segment is removed.
    for _ in 0..60 {
        steps.extend_from_slice(&delivered);
    }
    for changes in 1..10 {
        for seed in 0..50 {
            let mut steps = steps.clone();
            steps.extend([Step::CrashAfter(changes, seed), Step::Restart]);
            Story::play(&steps);
        }
    }
}
