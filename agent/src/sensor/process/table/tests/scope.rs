//! What is not told: kernel threads, and processes of other namespaces.

use super::*;

#[test]
fn kernel_threads_are_left_out_until_they_execute_a_program() {
    let mut story = Story::begin(None);
    let kernel = There {
        kernel: true,
        ..There::new(0, 0, "")
    };
    story.set(2, kernel.clone());
    story.table.scan().unwrap();
    story.take();
    story.set(200, kernel);
    story.tell(What::Fork {
        parent: 2,
        child_thread: 200,
        child: 200,
    });
    story.pass(2 * SECOND);
    story.table.look();
    assert!(story.told().is_empty());
    let began = story.now() - 2 * SECOND - MS;
    story.set(200, There::new(2, began, "modprobe"));
    story.tell(What::Exec { process: 200 });
    assert_eq!(story.told(), ["Start 200 modprobe"]);
}

#[test]
fn only_the_own_namespace_is_told_and_children_inherit_it() {
    let mut story = Story::begin(Some(OWN_NAMESPACE));
    story.change(1, |there| there.namespace = 1);
    story.table.scan().unwrap();
    assert_eq!(story.told(), ["Observed 100 shell"]);
    story.fork(1, 200);
    story.change(200, |there| there.namespace = 1);
    story.exec(200, "outside");
    story.exit(200, 0);
    assert!(story.told().is_empty());
    story.fork(100, 300);
    story.reap(300);
    story.tell(What::Exec { process: 300 });
    story.exit(300, 0);
    assert_eq!(
        story.told(),
        ["Start 300 ", "Exit 300  0/0"],
        "by inheritance"
    );
}

#[test]
fn a_process_that_enters_the_namespace_starts_there_with_its_next_exec() {
    let mut story = Story::begin(Some(OWN_NAMESPACE));
    story.change(1, |there| there.namespace = 1);
    story.table.scan().unwrap();
    story.take();
    story.fork(1, 200);
    story.change(200, |there| there.namespace = 1);
    story.exec(200, "ip");
    story.change(200, |there| there.namespace = OWN_NAMESPACE);
    story.exec(200, "command");
    story.exit(200, 0);
    assert_eq!(story.told(), ["Start 200 command", "Exit 200 command 0/0"]);
}
