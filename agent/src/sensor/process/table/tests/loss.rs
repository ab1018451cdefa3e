//! After a loss, and whatever else may come in whatever order.

use proptest::prelude::*;

use super::*;

#[test]
fn after_a_loss_the_table_is_brought_in_line() {
    let mut story = Story::watched();
    story.fork(100, 200);
    story.exec(200, "ended unseen");
    story.fork(100, 201);
    story.exec(201, "stays");
    story.fork(100, 202);
    story.exec(202, "before");
    story.take();
    story.pass(SECOND);
    story.reap(200);
    story.change(202, |there| there.executable = "after");
    let began = story.now();
    story.set(300, There::new(100, began, "began unseen"));
    story.pass(SECOND);
    story.table.scan().unwrap();
    let mut told = story.told();
    told.sort();
    assert_eq!(
        told,
        [
            "Exec 202 after",
            "Exit 200 ended unseen",
            "Start 300 began unseen"
        ]
    );
    story.exit(300, 0);
    assert_eq!(story.told(), ["Exit 300 began unseen 0/0"]);
}

#[test]
fn what_the_scan_saw_is_not_told_again_by_older_notifications() {
    let mut story = Story::begin(None);
    let began = story.now();
    story.set(200, There::new(100, began, "early"));
    story.pass(5 * MS);
    story.table.scan().unwrap();
    assert_eq!(
        story.told(),
        ["Observed 1 init", "Observed 100 shell", "Start 200 early"]
    );
    story.tell_of(
        What::Fork {
            parent: 100,
            child_thread: 200,
            child: 200,
        },
        began + MS,
    );
    story.tell_of(What::Exec { process: 200 }, began + 2 * MS);
    assert!(story.told().is_empty());
    story.exit(200, 0);
    assert_eq!(story.told(), ["Exit 200 early 0/0"]);
}

/// What may happen next, by numbers that proptest finds.
#[derive(Debug, Clone)]
enum Step {
    Fork(u32, u32),
    Exec(u32, bool),
    Exit(u32),
    Thread(u32),
    Wait,
    Scan,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pid = || 1_u32..12;
    let step = prop_oneof![
        (pid(), pid()).prop_map(|(parent, child)| Step::Fork(parent, child)),
        (pid(), any::<bool>()).prop_map(|(pid, gone)| Step::Exec(pid, gone)),
        pid().prop_map(Step::Exit),
        pid().prop_map(Step::Thread),
        Just(Step::Wait),
        Just(Step::Scan),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    /// Whatever the kernel tells, in whatever order and with whatever left out.
    #[test]
    fn every_process_begins_before_it_ends_and_does_each_once(steps in steps()) {
        let mut story = Story::watched();
        let mut seen = Vec::new();
        for step in steps {
            match step {
                Step::Fork(parent, child) => {
                    let began = story.now();
                    story.set(child, There::new(parent, began, "forked"));
                    story.tell(What::Fork { parent, child_thread: child, child });
                }
                Step::Exec(pid, gone) => {
                    if gone {
                        story.reap(pid);
                    }
                    story.tell(What::Exec { process: pid });
                }
                Step::Exit(pid) => story.exit(pid, 0),
                Step::Thread(pid) => story.thread(pid, pid + 1000),
                Step::Wait => {
                    story.pass(2 * SECOND);
                    story.table.look();
                }
                Step::Scan => story.table.scan().unwrap(),
            }
            seen.extend(story.take());
        }
        let mut alive = std::collections::HashSet::from([(1, ticks_of(10 * SECOND)), (100, ticks_of(20 * SECOND))]);
        for seen in seen {
            let key = (seen.pid, seen.start_ticks);
            match seen.activity {
                Activity::Start | Activity::Observed => prop_assert!(alive.insert(key), "{seen:?}"),
                Activity::Exec => prop_assert!(alive.contains(&key), "{seen:?}"),
                Activity::Exit => prop_assert!(alive.remove(&key), "{seen:?}"),
            }
        }
    }
}
