//! Files as a console sees them. What is not known stays empty or absent.

use tocsin_proto::console::v1 as wire;
use tocsin_proto::id::{BootId, ProcessKey};
use tocsin_proto::telemetry::v1 as telemetry;

/// What happened, as a word.
pub(super) fn file_word(activity: i32) -> &'static str {
    use telemetry::FileActivity as Activity;
    match Activity::try_from(activity) {
        Ok(Activity::Created) => "created",
        Ok(Activity::Modified) => "modified",
        Ok(Activity::Removed) => "removed",
        Ok(Activity::Renamed) => "renamed",
        Ok(Activity::PermissionsChanged) => "permissions_changed",
        Ok(Activity::Opened) => "opened",
        Ok(Activity::Unspecified) | Err(_) => "",
    }
}

/// What a file decides, as a word.
pub(super) fn category_word(category: i32) -> &'static str {
    use telemetry::FileCategory as Category;
    match Category::try_from(category) {
        Ok(Category::AuthorizedKeys) => "authorized_keys",
        Ok(Category::Sudo) => "sudo",
        Ok(Category::Pam) => "pam",
        Ok(Category::Account) => "account",
        Ok(Category::Cron) => "cron",
        Ok(Category::SystemdUnit) => "systemd_unit",
        Ok(Category::SshServer) => "ssh_server",
        Ok(Category::CredentialStore) => "credential_store",
        Ok(Category::Configured) => "configured",
        Ok(Category::Unspecified) | Err(_) => "",
    }
}

pub(super) fn file(boot: BootId, body: telemetry::File) -> wire::FileEvent {
    let name = body.path.rsplit('/').next().unwrap_or_default().to_owned();
    wire::FileEvent {
        name,
        path: body.path,
        category: category_word(body.category).to_owned(),
        previous_path: body.previous_path,
        is_replaced: body.is_replaced,
        first_time_ms: body.first_time_ms,
        count: body.count,
        before: body.before.map(state),
        after: body.after.map(state),
        actor: body.actor.map(|actor| self::actor(boot, actor)),
    }
}

fn state(state: telemetry::FileState) -> wire::FileStateRef {
    wire::FileStateRef {
        sha256: data_encoding::HEXLOWER.encode(&state.sha256),
        size: state.size,
        mode: mode(state.mode),
        uid: state.uid,
        gid: state.gid,
    }
}

fn actor(boot: BootId, actor: telemetry::FileActor) -> wire::FileActorRef {
    let key = ProcessKey {
        boot,
        pid: actor.pid,
        start_ticks: actor.start_ticks,
    };
    let user = actor.user.unwrap_or_default();
    wire::FileActorRef {
        pid: actor.pid,
        // Without its start it may be any process that ever had this number.
        key: match actor.start_ticks {
            0 => String::new(),
            _ => key.to_string(),
        },
        executable: actor.executable,
        user: user.name,
        uid: user.uid,
    }
}

/// `st_mode` as `ls -l` writes it.
fn mode(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o120_000 => 'l',
        0o040_000 => 'd',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let mut text = String::from(kind);
    let special = [
        (0o4000, 's', 'S', 6),
        (0o2000, 's', 'S', 3),
        (0o1000, 't', 'T', 0),
    ];
    for (bit, with, without, shift) in special {
        let of = mode >> shift;
        text.push(if of & 4 == 0 { '-' } else { 'r' });
        text.push(if of & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & bit != 0, of & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_ls_does() {
        for (bits, text) in [
            (0o100_644, "-rw-r--r--"),
            (0o104_755, "-rwsr-xr-x"),
            (0o102_640, "-rw-r-S---"),
            (0o041_777, "drwxrwxrwt"),
            (0o120_777, "lrwxrwxrwx"),
        ] {
            assert_eq!(mode(bits), text);
        }
    }

    #[test]
    fn a_process_without_its_start_has_no_key() {
        let boot = BootId::from_bytes([7; 16]);
        let with = |start_ticks| {
            let told = telemetry::FileActor {
                pid: 7,
                start_ticks,
                ..Default::default()
            };
            actor(boot, told).key
        };
        assert_eq!(with(0), "");
        assert!(with(9).ends_with(".7.9"), "{}", with(9));
    }
}
