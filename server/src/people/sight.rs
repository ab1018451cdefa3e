//! Which accounts events of an endpoint name, and what that adds to what is known of them. Pure.
//!
//! An account counts as used by a person (*interactive*) where somebody logged in to it, but by a program of the system
//! itself, or where it had a session of class `user`. A login that failed names nobody: whoever knocks may call any name.

use std::collections::BTreeMap;

use tocsin_proto::telemetry::v1::event::Body;
use tocsin_proto::telemetry::v1::{Event, Login, LoginActivity, Session, SessionActivity, User};

use crate::store::people::{LOCAL_ACCOUNTS_MAX, LocalAccountRow, Sighting};

/// Kept times move on in steps of so many milliseconds, so that an account in use is not written all the time.
const STEP_MS: i64 = 600_000;

/// PAM services that let nobody in: jobs, and changes of account inside a session.
const NOT_INTERACTIVE: [&str; 8] = [
    "cron",
    "crond",
    "atd",
    "su",
    "su-l",
    "sudo",
    "systemd-user",
    "runuser",
];

/// Accounts that some events name, by name and number.
pub(crate) fn sightings<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Sighting> {
    let mut found: BTreeMap<(&str, &str), Sighting> = BTreeMap::new();
    for event in events {
        let Some((user, is_interactive)) = named(event) else {
            continue;
        };
        let time_ms = event.event_time_ms;
        let sighting = found
            .entry((user.name.as_str(), user.uid.as_str()))
            .or_insert_with(|| Sighting {
                user: user.name.clone(),
                uid: user.uid.clone(),
                first_seen_ms: time_ms,
                last_seen_ms: time_ms,
                interactive_ms: 0,
            });
        sighting.first_seen_ms = sighting.first_seen_ms.min(time_ms);
        sighting.last_seen_ms = sighting.last_seen_ms.max(time_ms);
        if is_interactive {
            sighting.interactive_ms = sighting.interactive_ms.max(time_ms);
        }
    }
    found.into_values().collect()
}

/// Whom an event names, and whether a person used the account.
fn named(event: &Event) -> Option<(&User, bool)> {
    let (user, is_interactive) = match event.body.as_ref()? {
        Body::Process(process) => (process.user.as_ref()?, false),
        Body::Login(login) => (login.user.as_ref()?, counts(login)?),
        Body::Session(session) => (session.user.as_ref()?, is_persons(session)),
        _ => return None,
    };
    (!user.name.is_empty() || !user.uid.is_empty()).then_some((user, is_interactive))
}

/// Whether a login was a person's; `None` where it failed.
fn counts(login: &Login) -> Option<bool> {
    match login.activity() {
        LoginActivity::Succeeded | LoginActivity::Ended => {}
        LoginActivity::Failed | LoginActivity::Unspecified => return None,
    }
    Some(!NOT_INTERACTIVE.contains(&login.service.as_str()))
}

fn is_persons(session: &Session) -> bool {
    let is_session = !matches!(
        session.activity(),
        SessionActivity::Unspecified
            | SessionActivity::Booted
            | SessionActivity::ShutDown
            | SessionActivity::Suspended
            | SessionActivity::Resumed
    );
    is_session
        && matches!(session.class.as_str(), "" | "user")
        && !NOT_INTERACTIVE.contains(&session.service.as_str())
}

/// Takes sightings in among what is known of one endpoint's accounts. Answers the rows to write (number 0: a new one)
/// and the numbers of those to remove: what is known by name or number alone becomes part of what is known by both.
pub(crate) fn merge(
    known: &[LocalAccountRow],
    endpoint: tocsin_proto::id::EndpointId,
    seen: &[Sighting],
) -> (Vec<LocalAccountRow>, Vec<i64>) {
    let mut rows: Vec<LocalAccountRow> = known.to_vec();
    // Whole ones first: the others find their place among them.
    let mut seen: Vec<&Sighting> = seen.iter().collect();
    seen.sort_by_key(|one| {
        (
            one.user.is_empty() || one.uid.is_empty(),
            &one.user,
            &one.uid,
        )
    });
    for sighting in seen {
        match rows.iter_mut().find(|row| is_same(row, sighting)) {
            Some(row) => take(row, sighting),
            None => rows.push(LocalAccountRow {
                number: 0,
                endpoint,
                user: sighting.user.clone(),
                uid: sighting.uid.clone(),
                first_seen_ms: sighting.first_seen_ms,
                last_seen_ms: sighting.last_seen_ms,
                interactive_ms: sighting.interactive_ms,
            }),
        }
    }
    let mut gone = fold(&mut rows);
    rows.sort_by_key(|row| std::cmp::Reverse((row.last_seen_ms, row.number)));
    let over = rows.split_off(rows.len().min(LOCAL_ACCOUNTS_MAX));
    gone.extend(
        over.iter()
            .map(|row| row.number)
            .filter(|number| *number > 0),
    );
    rows.retain(|row| row.number == 0 || known.iter().all(|before| is_news(before, row)));
    (rows, gone)
}

/// Whether a row is to be written, where it was `before`: other rows do not speak against it.
fn is_news(before: &LocalAccountRow, now: &LocalAccountRow) -> bool {
    before.number != now.number
        || (&before.user, &before.uid) != (&now.user, &now.uid)
        || now.first_seen_ms < before.first_seen_ms
        || now.last_seen_ms.saturating_sub(before.last_seen_ms) >= STEP_MS
        || now.interactive_ms.saturating_sub(before.interactive_ms) >= STEP_MS
}

/// Whether a sighting is of this account: what it tells does not differ, and something is equal.
fn is_same(row: &LocalAccountRow, sighting: &Sighting) -> bool {
    let part = |ours: &str, theirs: &str| (theirs.is_empty(), ours == theirs);
    match (
        part(&row.user, &sighting.user),
        part(&row.uid, &sighting.uid),
    ) {
        ((false, is_user), (false, is_uid)) => is_user && is_uid,
        ((false, is_user), (true, _)) => is_user,
        ((true, _), (false, is_uid)) => is_uid,
        ((true, _), (true, _)) => false,
    }
}

fn take(row: &mut LocalAccountRow, sighting: &Sighting) {
    row.first_seen_ms = row.first_seen_ms.min(sighting.first_seen_ms);
    row.last_seen_ms = row.last_seen_ms.max(sighting.last_seen_ms);
    row.interactive_ms = row.interactive_ms.max(sighting.interactive_ms);
}

/// Makes rows with a name or number alone part of one that has it and the other too; answers the numbers of those gone.
fn fold(rows: &mut Vec<LocalAccountRow>) -> Vec<i64> {
    let (mut whole, parts): (Vec<_>, Vec<_>) = std::mem::take(rows)
        .into_iter()
        .partition(|row| !row.user.is_empty() && !row.uid.is_empty());
    let mut gone = Vec::new();
    let mut rest = Vec::new();
    for part in parts {
        let sighting = Sighting {
            user: part.user.clone(),
            uid: part.uid.clone(),
            first_seen_ms: part.first_seen_ms,
            last_seen_ms: part.last_seen_ms,
            interactive_ms: part.interactive_ms,
        };
        match whole.iter_mut().find(|row| is_same(row, &sighting)) {
            Some(row) => {
                take(row, &sighting);
                gone.extend((part.number > 0).then_some(part.number));
            }
            None => rest.push(part),
        }
    }
    whole.extend(rest);
    *rows = whole;
    gone
}

#[cfg(test)]
mod tests {
    use tocsin_proto::id::EndpointId;
    use tocsin_proto::telemetry::v1::Process;

    use super::*;

    fn user(name: &str, uid: &str) -> Option<User> {
        Some(User {
            uid: uid.into(),
            name: name.into(),
        })
    }

    fn event(time_ms: i64, body: Body) -> Event {
        Event {
            sequence: 1,
            event_time_ms: time_ms,
            body: Some(body),
        }
    }

    fn login(time_ms: i64, name: &str, service: &str, activity: LoginActivity) -> Event {
        event(
            time_ms,
            Body::Login(Login {
                activity: activity.into(),
                service: service.into(),
                user: user(name, ""),
                ..Login::default()
            }),
        )
    }

    fn seen(user: &str, uid: &str, at_ms: i64) -> Sighting {
        Sighting {
            user: user.into(),
            uid: uid.into(),
            first_seen_ms: at_ms,
            last_seen_ms: at_ms,
            interactive_ms: 0,
        }
    }

    fn endpoint() -> EndpointId {
        EndpointId::from_public_key(b"key")
    }

    #[test]
    fn who_uses_an_account_and_who_only_runs_something() {
        let process = Process {
            user: user("dana", "1000"),
            ..Process::default()
        };
        let session = Session {
            activity: SessionActivity::Opened.into(),
            user: user("eli", "1001"),
            class: "user".into(),
            ..Session::default()
        };
        let greeter = Session {
            user: user("gdm", "42"),
            class: "greeter".into(),
            ..session.clone()
        };
        let events = [
            event(50, Body::Process(process.clone())),
            event(70, Body::Process(process)),
            login(60, "fay", "sshd", LoginActivity::Succeeded),
            login(61, "nobody-there", "sshd", LoginActivity::Failed),
            login(62, "root", "cron", LoginActivity::Succeeded),
            event(80, Body::Session(session)),
            event(81, Body::Session(greeter)),
        ];
        let found = sightings(&events);
        let short: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    &*one.user,
                    one.first_seen_ms,
                    one.last_seen_ms,
                    one.interactive_ms,
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ("dana", 50, 70, 0),
                ("eli", 80, 80, 80),
                ("fay", 60, 60, 60),
                ("gdm", 81, 81, 0),
                ("root", 62, 62, 0),
            ]
        );
    }

    #[test]
    fn a_name_alone_and_a_number_alone_become_one_account_in_any_order() {
        let parts = [
            seen("dana", "", 5),
            seen("", "1000", 9),
            seen("dana", "1000", 7),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut known: Vec<LocalAccountRow> = Vec::new();
            for (at, which) in order.into_iter().enumerate() {
                let (rows, gone) = merge(&known, endpoint(), &[parts[which].clone()]);
                known.retain(|row| !gone.contains(&row.number));
                for mut row in rows {
                    if row.number == 0 {
                        row.number = i64::try_from(at).unwrap() + 1;
                    }
                    known.retain(|before| before.number != row.number);
                    known.push(row);
                }
            }
            assert_eq!(known.len(), 1, "{known:?}");
            assert_eq!((&*known[0].user, &*known[0].uid), ("dana", "1000"));
            assert_eq!(known[0].first_seen_ms, 5);
        }
    }

    #[test]
    fn nothing_is_written_for_what_is_known() {
        let (rows, _) = merge(&[], endpoint(), &[seen("dana", "1000", 5)]);
        let mut known = rows.clone();
        known[0].number = 1;
        let soon = merge(&known, endpoint(), &[seen("dana", "1000", 6)]);
        assert_eq!(soon, (Vec::new(), Vec::new()));
        let later = merge(&known, endpoint(), &[seen("dana", "1000", 5 + STEP_MS)]);
        assert_eq!(later.0.len(), 1);
        let other = merge(&known, endpoint(), &[seen("dana", "2000", 6)]);
        assert_eq!(other.0[0].number, 0, "the name was given to another number");
    }

    #[test]
    fn a_flood_of_accounts_pushes_the_oldest_out() {
        let many: Vec<_> = (0..LOCAL_ACCOUNTS_MAX + 5)
            .map(|n| seen(&format!("u{n}"), &n.to_string(), i64::try_from(n).unwrap()))
            .collect();
        let (rows, gone) = merge(&[], endpoint(), &many);
        assert_eq!((rows.len(), gone.len()), (LOCAL_ACCOUNTS_MAX, 0));
        assert!(rows.iter().all(|row| row.user != "u0"));
    }
}
