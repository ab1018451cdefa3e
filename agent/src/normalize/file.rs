//! What happened to files -> event bodies. Pure; the name of the account is brought along.

use std::path::Path;

use tocsin_proto::limits::PATH_BYTES_MAX;
use tocsin_proto::telemetry::v1 as wire;
use tocsin_proto::telemetry::v1::event::Body;

use crate::sensor::file::change::{Actor, FileActivity, FileCategory, FileObservation, FileState};
use crate::text::{cut, cut_at};

/// The event of an observation; `user_name` is that of the process's account, empty where there is none.
pub(crate) fn file(seen: &FileObservation, user_name: String) -> Body {
    Body::File(wire::File {
        activity: activity(seen.activity).into(),
        category: category(seen.category).into(),
        path: path(&seen.path),
        previous_path: seen.previous.as_deref().map(path).unwrap_or_default(),
        is_replaced: seen.activity == FileActivity::Replaced,
        first_time_ms: seen.first_ms.clamp(0, seen.time_ms.max(0)),
        count: seen.count.max(1),
        before: seen.before.as_ref().map(state),
        after: seen.after.as_ref().map(state),
        actor: seen.actor.as_ref().map(|one| actor(one, user_name)),
    })
}

fn activity(activity: FileActivity) -> wire::FileActivity {
    match activity {
        FileActivity::Created => wire::FileActivity::Created,
        FileActivity::Changed | FileActivity::Replaced => wire::FileActivity::Modified,
        FileActivity::Removed => wire::FileActivity::Removed,
        FileActivity::Renamed => wire::FileActivity::Renamed,
        FileActivity::Permissions => wire::FileActivity::PermissionsChanged,
        FileActivity::Opened => wire::FileActivity::Opened,
    }
}

fn category(category: FileCategory) -> wire::FileCategory {
    match category {
        FileCategory::AuthorizedKeys => wire::FileCategory::AuthorizedKeys,
        FileCategory::Sudo => wire::FileCategory::Sudo,
        FileCategory::Pam => wire::FileCategory::Pam,
        FileCategory::Account => wire::FileCategory::Account,
        FileCategory::Cron => wire::FileCategory::Cron,
        FileCategory::SystemdUnit => wire::FileCategory::SystemdUnit,
        FileCategory::SshServer => wire::FileCategory::SshServer,
        FileCategory::CredentialStore => wire::FileCategory::CredentialStore,
        FileCategory::Configured => wire::FileCategory::Configured,
    }
}

fn path(path: &Path) -> String {
    cut_at(path.to_string_lossy().into_owned(), PATH_BYTES_MAX * 3)
}

fn state(state: &FileState) -> wire::FileState {
    wire::FileState {
        sha256: state.sha256.map(Vec::from).unwrap_or_default(),
        size: state.size,
        mode: state.mode,
        uid: state.uid,
        gid: state.gid,
    }
}

fn actor(actor: &Actor, user_name: String) -> wire::FileActor {
    wire::FileActor {
        pid: actor.pid,
        start_ticks: actor.start_ticks,
        executable: cut_at(actor.executable.clone(), PATH_BYTES_MAX * 3),
        user: actor.uid.map(|uid| wire::User {
            uid: uid.to_string(),
            name: cut(user_name),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tocsin_proto::event::Event;

    use super::*;
    use crate::sensor::file::change::FileId;

    fn seen(activity: FileActivity, path: &str) -> FileObservation {
        let state = FileState {
            sha256: Some([7; 32]),
            size: 5,
            mode: 0o100_600,
            uid: 1000,
            gid: 1001,
            id: FileId {
                inode: (1, 2),
                born_ns: None,
            },
            modified: (3, 4),
        };
        FileObservation {
            activity,
            category: FileCategory::AuthorizedKeys,
            path: path.into(),
            previous: (activity == FileActivity::Renamed).then(|| format!("{path}2").into()),
            first_ms: 10,
            time_ms: 20,
            count: 2,
            before: None,
            after: Some(state),
            actor: Some(Actor {
                pid: 42,
                start_ticks: 9,
                executable: path.into(),
                uid: Some(1000),
            }),
        }
    }

    fn normalized(seen: &FileObservation) -> wire::File {
        let Body::File(file) = file(seen, "dana".into()) else {
            panic!("a file stays one");
        };
        file
    }

    #[test]
    fn every_field_is_told() {
        let told = normalized(&seen(FileActivity::Replaced, "/home/dana/.ssh/rc"));
        assert_eq!(told.activity(), wire::FileActivity::Modified);
        assert_eq!(told.category(), wire::FileCategory::AuthorizedKeys);
        assert!(told.is_replaced && told.previous_path.is_empty());
        assert_eq!((told.first_time_ms, told.count), (10, 2));
        let after = told.after.unwrap();
        assert_eq!(
            (after.sha256.len(), after.size, after.mode),
            (32, 5, 0o100_600)
        );
        assert_eq!((after.uid, after.gid), (1000, 1001));
        assert_eq!(told.before, None);
        let actor = told.actor.unwrap();
        assert_eq!((actor.pid, actor.start_ticks), (42, 9));
        let user = actor.user.unwrap();
        assert_eq!((&*user.uid, &*user.name), ("1000", "dana"));
    }

    #[test]
    fn who_is_unknown_stays_unknown() {
        let unknown = FileObservation {
            actor: None,
            ..seen(FileActivity::Removed, "/etc/sudoers.d/dana")
        };
        assert_eq!(normalized(&unknown).actor, None);
    }

    proptest! {
        #[test]
        fn whatever_a_path_is_the_contract_accepts(
            path in ".{1,9000}", times in any::<(i64, i64)>(), which in 0..4_usize,
        ) {
            let activities = [
                FileActivity::Created,
                FileActivity::Renamed,
                FileActivity::Permissions,
                FileActivity::Opened,
            ];
            let seen = FileObservation {
                first_ms: times.0,
                time_ms: times.1,
                count: 0,
                ..seen(activities[which], &path)
            };
            let event = wire::Event {
                sequence: 1,
                event_time_ms: 0,
                body: Some(file(&seen, path)),
            };
            prop_assert!(Event::try_from(event).is_ok());
        }
    }
}
