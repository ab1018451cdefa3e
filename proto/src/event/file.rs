//! Checks of what happened to files.

use super::{Check, EventError};
use crate::limits::PATH_BYTES_MAX;
use crate::telemetry::v1 as wire;

impl Check {
    pub(super) fn file(&self, file: &wire::File) -> Result<(), EventError> {
        use wire::{FileActivity as Activity, FileCategory as Category};
        let activity = Activity::try_from(file.activity).unwrap_or(Activity::Unspecified);
        self.range(activity != Activity::Unspecified, "file.activity")?;
        let category = Category::try_from(file.category);
        self.range(
            category.is_ok_and(|category| category != Category::Unspecified),
            "file.category",
        )?;
        if file.path.is_empty() {
            return Err(self.missing("file.path"));
        }
        // Three bytes for one: U+FFFD stands for each byte that was no UTF-8.
        self.size(file.path.len(), PATH_BYTES_MAX * 3, "file.path")?;
        self.size(
            file.previous_path.len(),
            PATH_BYTES_MAX * 3,
            "file.previous_path",
        )?;
        self.range(
            file.previous_path.is_empty() != (activity == Activity::Renamed),
            "file.previous_path",
        )?;
        self.range(file.first_time_ms >= 0, "file.first_time_ms")?;
        self.range(file.count >= 1, "file.count")?;
        for (state, field) in [
            (&file.before, "file.before.sha256"),
            (&file.after, "file.after.sha256"),
        ] {
            let bytes = state.as_ref().map_or(0, |state| state.sha256.len());
            self.range(matches!(bytes, 0 | 32), field)?;
        }
        self.file_actor(file.actor.as_ref())
    }

    fn file_actor(&self, actor: Option<&wire::FileActor>) -> Result<(), EventError> {
        let Some(actor) = actor else {
            return Ok(());
        };
        self.range(actor.pid != 0, "file.actor.pid")?;
        self.size(
            actor.executable.len(),
            PATH_BYTES_MAX * 3,
            "file.actor.executable",
        )?;
        self.user(
            actor.user.as_ref(),
            "file.actor.user.uid",
            "file.actor.user.name",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::*;

    fn event(file: wire::File) -> wire::Event {
        wire::Event {
            sequence: 9,
            event_time_ms: 1_000,
            body: Some(wire::event::Body::File(file)),
        }
    }

    fn opened() -> wire::File {
        wire::File {
            activity: wire::FileActivity::Opened.into(),
            category: wire::FileCategory::CredentialStore.into(),
            path: "/home/dana/.mozilla/firefox/a/key4.db".into(),
            count: 1,
            actor: Some(wire::FileActor {
                pid: 7,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn refused(change: impl FnOnce(&mut wire::File)) -> String {
        let mut file = opened();
        change(&mut file);
        Event::try_from(event(file)).unwrap_err().to_string()
    }

    #[test]
    fn a_good_one_goes_there_and_back() {
        let wire = event(opened());
        let checked = Event::try_from(wire.clone()).unwrap();
        assert_eq!(checked.kind(), crate::event::EventKind::File);
        assert_eq!(wire::Event::from(checked), wire);
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_refused_by_name() {
        assert!(refused(|f| f.activity = 0).contains("file.activity"));
        assert!(refused(|f| f.activity = 99).contains("file.activity"));
        assert!(refused(|f| f.category = 0).contains("file.category"));
        assert!(refused(|f| f.path.clear()).contains("file.path is missing"));
        assert!(refused(|f| f.path = "x".repeat(12_289)).contains("the limit is 12288"));
        assert!(refused(|f| f.previous_path = "/a".into()).contains("file.previous_path"));
        let renamed = wire::FileActivity::Renamed.into();
        assert!(refused(|f| f.activity = renamed).contains("file.previous_path"));
        assert!(refused(|f| f.count = 0).contains("file.count"));
        assert!(refused(|f| f.first_time_ms = -1).contains("file.first_time_ms"));
        assert!(refused(|f| f.actor = Some(Default::default())).contains("file.actor.pid"));
        let short = wire::FileState {
            sha256: vec![1; 31],
            ..Default::default()
        };
        assert!(refused(|f| f.after = Some(short)).contains("file.after.sha256"));
    }
}
