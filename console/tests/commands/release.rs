//! Releases and rollouts as commands: the tool that needs no server, and what reaches one.

use tocsin_proto::release::PROGRAM;

use crate::assert_harmless;
use crate::fake::Fake;

#[tokio::test]
async fn rollouts_are_shown_and_changed_without_what_an_endpoint_hides_in_its_reasons() {
    let fake = Fake::start().await;
    for (command, call) in [
        (&["rollouts", "show", "0123"][..], "get_rollout"),
        (
            &[
                "rollouts", "create", "1.2.0", "--ring", "2", "--ring", "tag:a",
            ],
            "create_rollout",
        ),
        (
            &["rollouts", "pause", "0123", "--reason", "wait"],
            "set_rollout_state",
        ),
        (&["rollouts", "resume", "0123"], "set_rollout_state"),
        (&["rollouts", "abort", "0123"], "set_rollout_state"),
    ] {
        let done = fake.run(command).await;
        assert_eq!(done.code, 0, "{command:?}: {}", done.error);
        assert_harmless(&done.out);
        assert!(
            fake.calls().iter().any(|said| said.starts_with(call)),
            "{command:?}"
        );
    }
    let said = fake.calls().join("\n");
    assert!(said.contains("rings: [\"2\", \"tag:a\"]"), "{said}");
    let json = fake
        .run(&["rollouts", "show", "0123", "-o", "json"])
        .await
        .json();
    assert_eq!(json["state"], "stopped");
    assert_eq!(json["members"][0]["state"], "failed");
}

#[tokio::test]
async fn what_is_signed_without_a_server_is_published_and_keys_are_not() {
    let fake = Fake::start().await;
    let desk = tempfile::tempdir().unwrap();
    let path = |name: &str| desk.path().join(name).to_str().unwrap().to_owned();
    let (folder, a, r) = (path("repository"), path("a.key"), path("release.key"));
    std::fs::create_dir(&folder).unwrap();
    let run = async |arguments: &[&str]| {
        let done = fake.run(arguments).await;
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.error);
        done
    };
    run(&["releases", "key", &a]).await;
    run(&["releases", "key", &r]).await;
    std::fs::copy(&r, desk.path().join("repository/release.key")).unwrap();
    let (a_pub, r_pub) = (format!("{a}.pub"), format!("{r}.pub"));
    let root = ["--root-key", &a_pub, "--release-key", &r_pub, "--key", &a];
    run(&[&["releases", "init-root", &folder][..], &root].concat()).await;
    let program = path(PROGRAM);
    std::fs::write(&program, "program").unwrap();
    let add = [
        "--add",
        &program,
        "--version",
        "1.2.0",
        "--key",
        &r,
        "-o",
        "json",
    ];
    let signed = run(&[&["releases", "sign", &folder][..], &add].concat())
        .await
        .json();
    assert_eq!(signed["targets_version"], 1);
    assert!(fake.calls().is_empty(), "no server was needed");
    run(&["releases", "publish", &folder]).await;
    let said = fake.calls().join("\n");
    for name in [
        "1.root.json",
        "1.targets.json",
        "1.snapshot.json",
        "timestamp.json",
        "tar.gz",
    ] {
        assert!(said.contains(name), "{name}: {said}");
    }
    assert!(!said.contains("key"), "{said}");
    let refused = fake.run(&["releases", "sign", &folder, "--key", &a]).await;
    assert_eq!(refused.code, 1, "the root's key signs no releases");
}
