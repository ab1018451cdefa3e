//! Attacks on updates, each test named after one, and what an honest operator may do.

mod operator;

use std::path::Path;
use std::sync::Arc;

use operator::{Edition, Files, Keys, Operator, Server, archive, edition, release, signed_root};
use tar::EntryType;
use tocsin_proto::agent::v1::{StartUpdate, UpdateState};
use tocsin_proto::release::{PROGRAM, Statement, Version};

use super::fetch::{FetchError, fetch};
use super::source::{Source, SourceError};
use super::trust::{Offer, Release, Trust, TrustError};
use super::unpack::{UnpackError, unpack};
use crate::state::StateDirectory;
use crate::text::chain;

const LATER: &str = "2099-01-01T00:00:00Z";
const PAST: &str = "2020-01-01T00:00:00Z";

/// An operator with keys, and an endpoint that knows the root.
struct Field {
    operator: Operator,
    keys: Keys,
    root: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Field {
    async fn new() -> Self {
        let operator = Operator::new();
        let keys = operator.keys("first").await;
        let root = signed_root(1, LATER, &keys, None).await;
        let folder = tempfile::tempdir().unwrap();
        let field = Self {
            operator,
            keys,
            root,
            folder,
        };
        let state = field.state();
        state.create().unwrap();
        std::fs::write(state.update_root(), &field.root).unwrap();
        field
    }

    fn state(&self) -> StateDirectory {
        StateDirectory::new(self.folder.path().join("state"))
    }

    /// As after a restart: only what is on disk is known.
    async fn refresh(&self, source: &Arc<Server>) -> Result<Offer, TrustError> {
        let source: Arc<dyn Source> = source.clone();
        Trust::new(&self.state()).refresh(source).await
    }

    async fn edition(&self, version: u64) -> Files {
        self.edition_until(version, LATER).await
    }

    async fn edition_until(&self, version: u64, expires: &'static str) -> Files {
        let archives = vec![release(&format!("1.{version}.0"), "1.0.0", b"program")];
        let wanted = Edition {
            version,
            expires,
            archives,
        };
        edition(&self.keys, &wanted).await
    }
}

fn said<T: std::fmt::Debug>(result: Result<T, TrustError>) -> String {
    chain(&result.unwrap_err())
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_the_operator_has_signed_is_offered_and_unpacked() {
    let field = Field::new().await;
    let server = Server::new(field.edition(1).await);
    let offer = field.refresh(&server).await.unwrap();
    assert_eq!(offer.minimum, Some(version("1.0.0")));
    let [release] = offer.releases.as_slice() else {
        panic!("{offer:?}");
    };
    let folder = tempfile::tempdir().unwrap();
    let archive = fetch(server.as_ref(), release, folder.path())
        .await
        .unwrap();
    let into = tempfile::tempdir().unwrap();
    let program = unpack(&archive, &release.statement, into.path()).unwrap();
    assert_eq!(std::fs::read(&program).unwrap(), b"program");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&program).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "set-user-id is not taken over");
    }
}

#[tokio::test]
async fn replayed_metadata_is_refused_also_after_a_restart() {
    let field = Field::new().await;
    let (old, new) = (field.edition(1).await, field.edition(2).await);
    field.refresh(&Server::new(new.clone())).await.unwrap();
    let error = said(field.refresh(&Server::new(old.clone())).await);
    assert!(error.contains("version"), "{error}");
    // Nor the old list of releases behind a new timestamp.
    let mut mixed = new.clone();
    mixed.insert("2.snapshot.json".into(), old["1.snapshot.json"].clone());
    said(field.refresh(&Server::new(mixed)).await);
    field.refresh(&Server::new(new)).await.unwrap();
}

#[tokio::test]
async fn a_freeze_stops_updates_until_the_metadata_is_renewed() {
    let field = Field::new().await;
    let frozen = Server::new(field.edition_until(1, PAST).await);
    let error = field.refresh(&frozen).await.unwrap_err();
    assert!(matches!(error, TrustError::Expired { .. }), "{error:?}");
    assert!(error.to_string().contains("the agent runs on"), "{error}");
    let renewed = Server::new(field.edition(2).await);
    assert_eq!(field.refresh(&renewed).await.unwrap().releases.len(), 1);
}

#[tokio::test]
async fn a_freeze_by_the_root_stops_updates() {
    let mut field = Field::new().await;
    field.root = signed_root(1, PAST, &field.keys, None).await;
    std::fs::write(field.state().update_root(), &field.root).unwrap();
    let server = Server::new(field.edition(1).await);
    let error = field.refresh(&server).await.unwrap_err();
    assert!(matches!(error, TrustError::Expired { .. }), "{error:?}");
    let mut files = field.edition(1).await;
    let renewed = signed_root(2, LATER, &field.keys, Some(&field.keys)).await;
    files.insert("2.root.json".into(), renewed);
    field.refresh(&Server::new(files)).await.unwrap();
}

#[tokio::test]
async fn mix_and_match_of_signed_files_is_refused() {
    let field = Field::new().await;
    let (one, two) = (field.edition(1).await, field.edition(2).await);
    for (name, other) in [
        ("2.targets.json", "1.targets.json"),
        ("2.snapshot.json", "1.snapshot.json"),
    ] {
        let mut mixed = two.clone();
        mixed.insert(name.into(), one[other].clone());
        said(field.refresh(&Server::new(mixed)).await);
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let field = Field::new().await;
    let mut foreign = field.keys.clone();
    foreign.release = field.operator.key("foreign").await;
    let wanted = Edition {
        version: 1,
        expires: LATER,
        archives: vec![release("9.0.0", "1.0.0", b"theirs")],
    };
    let files = edition(&foreign, &wanted).await;
    let error = said(field.refresh(&Server::new(files)).await);
    assert!(error.contains("signature"), "{error}");
}

#[tokio::test]
async fn a_root_below_its_threshold_is_refused() {
    let field = Field::new().await;
    let next = field.operator.keys("second").await;
    let mut half = field.keys.clone();
    half.root.truncate(1);
    let mut files = field.edition(1).await;
    let root = signed_root(2, LATER, &next, Some(&half)).await;
    files.insert("2.root.json".into(), root);
    let error = said(field.refresh(&Server::new(files)).await);
    assert!(error.contains("threshold"), "{error}");
    field
        .refresh(&Server::new(field.edition(1).await))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_rotated_root_is_followed_and_its_former_keys_count_no_more() {
    let field = Field::new().await;
    field
        .refresh(&Server::new(field.edition(3).await))
        .await
        .unwrap();
    let next = field.operator.keys("second").await;
    let root = signed_root(2, LATER, &next, Some(&field.keys)).await;
    let wanted = Edition {
        version: 4,
        expires: LATER,
        archives: vec![release("1.4.0", "1.0.0", b"program")],
    };
    let mut files = edition(&next, &wanted).await;
    files.insert("2.root.json".into(), root.clone());
    field.refresh(&Server::new(files)).await.unwrap();
    // The former keys were stolen, and the server hides that the root was rotated.
    let stolen = field.edition(9).await;
    let error = said(field.refresh(&Server::new(stolen)).await);
    assert!(error.contains("signature"), "{error}");
    // A root that the former keys never signed is no root of ours.
    let foreign = field.operator.keys("third").await;
    let mut files = edition(&foreign, &wanted).await;
    let forged = signed_root(3, LATER, &foreign, None).await;
    files.insert("3.root.json".into(), forged);
    said(field.refresh(&Server::new(files)).await);
}

#[tokio::test]
async fn endless_metadata_is_refused() {
    let field = Field::new().await;
    let files = field.edition(1).await;
    for name in [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
    ] {
        let server = Arc::new(Server {
            endless: Some(name),
            ..Server::with(files.clone())
        });
        let error = said(field.refresh(&server).await);
        assert!(!error.is_empty(), "{name}");
    }
    field.refresh(&Server::new(files)).await.unwrap();
}

async fn offered(field: &Field) -> (Files, Release) {
    let files = field.edition(1).await;
    let offer = field.refresh(&Server::new(files.clone())).await.unwrap();
    (files, offer.releases[0].clone())
}

fn left_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn an_oversized_archive_is_refused_and_removed() {
    let field = Field::new().await;
    let (mut files, release) = offered(&field).await;
    files.get_mut(&release.file).unwrap().push(b'x');
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&Server::with(files), &release, folder.path()).await;
    assert!(
        matches!(error, Err(FetchError::TooLong { .. })),
        "{error:?}"
    );
    assert_eq!(left_in(folder.path()), 0);
}

#[tokio::test]
async fn a_server_that_lies_about_the_archive_is_found_out() {
    let field = Field::new().await;
    let (files, release) = offered(&field).await;
    let folder = tempfile::tempdir().unwrap();
    let mut other = files.clone();
    other.get_mut(&release.file).unwrap()[20] ^= 1;
    let error = fetch(&Server::with(other), &release, folder.path()).await;
    assert!(
        matches!(error, Err(FetchError::OtherContent { resumed: false })),
        "{error:?}"
    );
    assert_eq!(left_in(folder.path()), 0, "it is not gone on with");
    let mut short = files.clone();
    short.get_mut(&release.file).unwrap().truncate(30);
    let error = fetch(&Server::with(short), &release, folder.path()).await;
    assert!(
        error.as_ref().is_err_and(FetchError::is_retryable),
        "{error:?}"
    );
    let none = fetch(&Server::default(), &release, folder.path()).await;
    let missing = matches!(none, Err(FetchError::Source(SourceError::Missing { .. })));
    assert!(missing, "{none:?}");
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_was() {
    let field = Field::new().await;
    let (files, release) = offered(&field).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("of-another-release"), "x").unwrap();
    let server = Server {
        breaks_after: Some(1),
        ..Server::with(files)
    };
    let mut tries = 1;
    while let Err(error) = fetch(&server, &release, folder.path()).await {
        assert!(error.is_retryable() && tries < 50, "{error:?}");
        tries += 1;
    }
    assert!(tries > 1);
    let offsets: Vec<u64> = server.asked().iter().map(|(_, offset)| *offset).collect();
    assert!(
        offsets.windows(2).all(|pair| pair[1] == pair[0] + 100),
        "{offsets:?}"
    );
    assert_eq!(left_in(folder.path()), 1);
}

#[tokio::test]
async fn a_full_disk_is_said_before_anything_is_fetched() {
    let field = Field::new().await;
    let (files, mut release) = offered(&field).await;
    release.statement.program_bytes = u64::MAX / 2;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::with(files);
    let error = fetch(&server, &release, folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("bytes of disk"), "{error}");
    assert!(server.asked().is_empty());
}

fn statement(program: &[u8]) -> Statement {
    release("1.1.0", "1.0.0", program).0
}

fn unpacked(archive: &[u8], statement: &Statement) -> Result<(), UnpackError> {
    let folder = tempfile::tempdir().unwrap();
    let (path, into) = (folder.path().join("a.tar.gz"), folder.path().join("into"));
    std::fs::write(&path, archive).unwrap();
    std::fs::create_dir(&into).unwrap();
    let result = unpack(&path, statement, &into).map(|_program| ());
    if matches!(
        result,
        Err(UnpackError::Content(_) | UnpackError::Read { .. })
    ) {
        assert_eq!(left_in(&into), 0, "nothing is written");
        assert_eq!(left_in(folder.path()), 2);
    }
    result
}

#[test]
fn an_archive_with_a_way_out_or_with_links_is_not_unpacked() {
    let statement = statement(b"program");
    let good = (PROGRAM, EntryType::Regular, b"program".as_slice());
    assert!(unpacked(&archive(&[good]), &statement).is_ok());
    let bad: [&[operator::Entry<'_>]; 10] = [
        &[("../tocsin-agent", EntryType::Regular, b"program")],
        &[("/tocsin-agent", EntryType::Regular, b"program")],
        &[("bin/tocsin-agent", EntryType::Regular, b"program")],
        &[(PROGRAM, EntryType::Symlink, b"")],
        &[(PROGRAM, EntryType::Link, b"")],
        &[(PROGRAM, EntryType::Char, b"")],
        &[("folder/", EntryType::Directory, b""), good],
        &[good, ("../../etc/cron.d/x", EntryType::Regular, b"x")],
        &[good, good],
        &[],
    ];
    for entries in bad {
        let result = unpacked(&archive(entries), &statement);
        assert!(
            matches!(result, Err(UnpackError::Content(_))),
            "{entries:?}: {result:?}"
        );
    }
}

#[test]
fn an_archive_that_unpacks_to_more_than_was_signed_is_not_unpacked() {
    let statement = statement(b"program");
    let zeros = vec![0; 20 << 20];
    let bomb = archive(&[(PROGRAM, EntryType::Regular, &zeros)]);
    assert!(matches!(
        unpacked(&bomb, &statement),
        Err(UnpackError::Content(_))
    ));
    let other = archive(&[(PROGRAM, EntryType::Regular, b"progrAm")]);
    assert!(matches!(
        unpacked(&other, &statement),
        Err(UnpackError::OtherProgram)
    ));
    assert!(unpacked(b"no archive at all", &statement).is_err());
}

#[tokio::test]
async fn the_minimum_that_was_seen_is_never_lowered() {
    let field = Field::new().await;
    let offer = async |number, minimum: &str| {
        let wanted = Edition {
            version: number,
            expires: LATER,
            archives: vec![release("1.9.0", minimum, b"program")],
        };
        let server = Server::new(edition(&field.keys, &wanted).await);
        field.refresh(&server).await.unwrap().minimum
    };
    assert_eq!(offer(1, "1.5.0").await, Some(version("1.5.0")));
    assert_eq!(offer(2, "1.0.0").await, Some(version("1.5.0")));
}

#[tokio::test]
async fn a_signed_name_that_leads_out_of_the_folder_is_not_used() {
    let field = Field::new().await;
    let mut archives = vec![release("1.1.0", "1.0.0", b"program")];
    archives[0].0.os = "../linux".into();
    let wanted = Edition {
        version: 1,
        expires: LATER,
        archives,
    };
    let files = edition(&field.keys, &wanted).await;
    let error = said(field.refresh(&Server::new(files)).await);
    assert!(error.contains("name"), "{error}");
}

#[tokio::test]
async fn without_a_root_or_with_damaged_knowledge_nothing_is_believed() {
    let field = Field::new().await;
    let server = Server::new(field.edition(2).await);
    field.refresh(&server).await.unwrap();
    let known = field.state().update().join("trust.json");
    std::fs::write(&known, "{").unwrap();
    let older = Server::new(field.edition(1).await);
    let error = field.refresh(&older).await.unwrap_err();
    assert!(matches!(error, TrustError::Damaged { .. }), "{error:?}");
    std::fs::remove_file(field.state().update_root()).unwrap();
    let error = field.refresh(&server).await.unwrap_err();
    assert!(matches!(error, TrustError::NoRoot { .. }), "{error:?}");
}

fn started(field: &Field) -> super::Updates {
    super::Updates::new(&field.state(), true, true)
}

async fn start(
    updates: &super::Updates,
    version: &str,
    server: &Arc<Server>,
) -> (UpdateState, String) {
    let update = StartUpdate {
        version: version.into(),
        delay_ms_max: 0,
    };
    let source: Arc<dyn Source> = server.clone();
    updates.start(&update, source).await;
    let report = updates.reports().borrow().clone().unwrap();
    (report.state(), report.detail)
}

#[tokio::test]
async fn what_is_installed_begins_a_trial_and_the_agent_is_to_end() {
    let field = Field::new().await;
    let server = Server::new(field.edition(1).await);
    let updates = started(&field);
    start(&updates, "1.1.0", &server).await;
    updates.installed().await;
    let slots = crate::slot::Slots::new(&field.state());
    let ledger = slots.load().unwrap();
    let trial = ledger.trial.clone().unwrap();
    assert!(slots.is_whole(&trial.slot));
    // While one is on trial no other begins.
    let (state, why) = start(&updates, "1.1.0", &server).await;
    assert_eq!(state, UpdateState::Fetching, "to be tried again: {why}");
    updates.look();
    let told = updates.reports().borrow().clone().unwrap();
    assert_eq!(told.state(), UpdateState::OnTrial);
}

#[tokio::test]
async fn what_may_not_be_installed_is_refused_with_the_reason_and_switches_nothing() {
    let field = Field::new().await;
    let wanted = Edition {
        version: 1,
        expires: LATER,
        archives: vec![
            release("1.1.0", "1.0.0", b"program"),
            release("0.5.0", "0.1.0", b"program"),
        ],
    };
    let server = Server::new(edition(&field.keys, &wanted).await);
    let slots = crate::slot::Slots::new(&field.state());
    let mut ledger = slots.load().unwrap();
    ledger.begin_trial(crate::slot::Slot {
        version: version("3.0.0"),
        program_sha256: String::new(),
    });
    ledger.go_back("it crashed", 1);
    slots.store(&ledger).unwrap();
    let updates = started(&field);
    for (version, reason) in [
        ("0.1.0", "runs already"),
        ("0.0.9", "older than"),
        ("0.5.0", "below 1.0.0"),
        ("2.0.0", "no version 2.0.0"),
        ("3.0.0", "failed here before"),
        ("../x", "three numbers"),
    ] {
        let (state, why) = start(&updates, version, &server).await;
        assert_eq!(state, UpdateState::Refused, "{version}: {why}");
        assert!(why.contains(reason), "{version}: {why}");
    }
    let state = field.state();
    for (updates, reason) in [
        (super::Updates::new(&state, false, true), "are off"),
        (super::Updates::new(&state, true, false), "tocsin-guard"),
    ] {
        let (_, why) = start(&updates, "1.1.0", &server).await;
        assert!(why.contains(reason), "{why}");
    }
    assert_eq!(slots.load().unwrap().trial, None);
    // What the ledger says does not cover what was told since.
    updates.look();
    let (_, why) = start(&updates, "2.0.0", &server).await;
    updates.look();
    let told = updates.reports().borrow().clone().unwrap();
    assert_eq!((told.version.as_str(), told.detail), ("2.0.0", why));
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_what_ran_and_the_next_try_installs() {
    let field = Field::new().await;
    let server = Server::new(field.edition(1).await);
    let slots = crate::slot::Slots::new(&field.state());
    // Left by agents that were killed: a torn copy, half an archive, half a slot, a slot that no ledger names.
    let update = field.state().update();
    let half = slots.archives().unwrap();
    std::fs::create_dir_all(update.join("trust.new")).unwrap();
    std::fs::write(update.join("trust.new/timestamp.json"), "{").unwrap();
    let offer = field.refresh(&server).await.unwrap();
    std::fs::write(half.join(&offer.releases[0].file), "half").unwrap();
    std::fs::write(slots.unpacking().unwrap().join("x"), "half").unwrap();
    std::fs::create_dir_all(update.join("slot/1.1.0")).unwrap();
    std::fs::write(update.join("ledger.json.new"), "{").unwrap();
    assert_eq!(slots.load().unwrap().chosen(version("0.1.0")), None);
    let updates = started(&field);
    // Half of something else is found out, removed, and fetched whole.
    start(&updates, "1.1.0", &server).await;
    updates.installed().await;
    assert!(slots.is_whole(&slots.load().unwrap().trial.unwrap().slot));
}
