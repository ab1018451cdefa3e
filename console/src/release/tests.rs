//! What an operator does, and what the tool keeps them from.

use std::path::{Path, PathBuf};

use tough::schema::{Root, Signed, Targets, Timestamp};

use super::repository::{Addition, Edition, Order, sign_folder};
use super::root::{Progress, Wanted};
use super::{ReleaseError, key, read_json, root};

const LATER: &str = "2099-01-01T00:00:00Z";

/// An operator's machine.
struct Desk(tempfile::TempDir);

impl Desk {
    async fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for name in ["a", "b", "c", "release", "timestamp"] {
            key::make(&desk.private(name)).await.unwrap();
        }
        desk
    }

    fn private(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.key"))
    }

    fn public(&self, name: &str) -> PathBuf {
        key::public_path(&self.private(name))
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("repository")
    }

    fn keys(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| self.private(name)).collect()
    }

    async fn root(&self, owners: &[&str], signers: &[&str]) -> Result<Progress, ReleaseError> {
        let wanted = Wanted {
            root: owners.iter().map(|name| self.public(name)).collect(),
            threshold: 2,
            release: vec![self.public("release")],
            release_threshold: 1,
            timestamp: vec![self.public("timestamp"), self.public("release")],
            expires: LATER.into(),
        };
        root::init(&self.folder(), &wanted, &self.keys(signers)).await
    }

    async fn sign(
        &self,
        version: Option<&str>,
        content: &[u8],
        signers: &[&str],
    ) -> Result<Edition, ReleaseError> {
        let program = self.0.path().join("program");
        std::fs::write(&program, content).unwrap();
        let order = Order {
            add: version.map(|version| Addition {
                program,
                version: version.parse().unwrap(),
                os: "linux".into(),
                architecture: "x86_64".into(),
                minimum: "1.0.0".parse().unwrap(),
            }),
            remove: None,
            expires: LATER.into(),
            timestamp_expires: LATER.into(),
            timestamp_only: version.is_none(),
        };
        sign_folder(&self.folder(), &order, &self.keys(signers)).await
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_private_key_is_its_owners_and_is_never_replaced() {
    let desk = Desk::new().await;
    assert_eq!(mode(&desk.private("a")), 0o600);
    assert!(key::make(&desk.private("a")).await.is_err());
}

#[tokio::test]
async fn a_root_needs_its_threshold_of_signatures() {
    let desk = Desk::new().await;
    let first = desk.root(&["a", "b"], &["a"]).await.unwrap();
    assert!(!first.is_complete);
    assert!(desk.sign(Some("1.1.0"), b"x", &["release"]).await.is_err());
    assert!(
        root::add(&desk.folder(), &desk.keys(&["c"])).await.is_err(),
        "a stranger's"
    );
    let done = root::add(&desk.folder(), &desk.keys(&["b"])).await.unwrap();
    assert!(done.is_complete);
    assert!(
        desk.root(&["a"], &["a"]).await.is_err(),
        "fewer keys than the threshold"
    );
    assert!(
        desk.root(&["a", "a"], &["a"]).await.is_err(),
        "one key twice"
    );
}

#[tokio::test]
async fn a_rotation_needs_the_former_keys_too() {
    let desk = Desk::new().await;
    desk.root(&["a", "b"], &["a", "b"]).await.unwrap();
    let next = desk.root(&["b", "c"], &["b", "c"]).await.unwrap();
    assert_eq!(next.version, 2);
    assert!(!next.is_complete, "only one of the former");
    let done = root::add(&desk.folder(), &desk.keys(&["a"])).await.unwrap();
    assert!(done.is_complete);
    let first: Signed<Root> = read_json(&desk.folder().join("1.root.json")).unwrap();
    let second: Signed<Root> = read_json(&desk.folder().join("2.root.json")).unwrap();
    first.signed.verify_role(&second).unwrap();
    second.signed.verify_role(&second).unwrap();
}

#[tokio::test]
async fn releases_are_added_and_versions_only_grow() {
    let desk = Desk::new().await;
    desk.root(&["a", "b"], &["a", "b"]).await.unwrap();
    let first = desk
        .sign(Some("1.1.0"), b"one", &["release"])
        .await
        .unwrap();
    assert_eq!((first.timestamp_version, first.targets_version), (1, 1));
    let second = desk
        .sign(Some("1.2.0"), b"two", &["release"])
        .await
        .unwrap();
    assert_eq!((second.timestamp_version, second.targets_version), (2, 2));
    assert_eq!(second.releases.len(), 2);
    let again = desk.sign(Some("1.2.0"), b"changed", &["release"]).await;
    assert!(again.unwrap_err().to_string().contains("new version"));
    let renewed = desk.sign(None, b"", &["timestamp"]).await.unwrap();
    assert_eq!((renewed.timestamp_version, renewed.targets_version), (3, 2));
    let folder = desk.folder();
    let trust: Signed<Root> = read_json(&folder.join("1.root.json")).unwrap();
    let timestamp: Signed<Timestamp> = read_json(&folder.join("timestamp.json")).unwrap();
    let targets: Signed<Targets> = read_json(&folder.join("2.targets.json")).unwrap();
    trust.signed.verify_role(&timestamp).unwrap();
    trust.signed.verify_role(&targets).unwrap();
}

#[tokio::test]
async fn the_timestamp_key_makes_nothing_installable() {
    let desk = Desk::new().await;
    desk.root(&["a", "b"], &["a", "b"]).await.unwrap();
    assert!(
        desk.sign(Some("1.1.0"), b"x", &["timestamp"])
            .await
            .is_err()
    );
    assert!(!desk.folder().join("timestamp.json").exists());
}
