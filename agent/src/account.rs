//! Names of accounts, asked of the machine and remembered.
//!
//! A machine may ask a directory server for them, which can take long or fail: it happens in the pipeline, never in
//! a sensor, and an answer holds for a while, also the answer that there is no name.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::sensor::process::Account;

/// Accounts that are remembered; when there are more, all are asked for again.
const REMEMBERED_MAX: usize = 4096;

/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(600);

/// Names asked for so far.
#[derive(Debug, Default)]
pub(crate) struct AccountNames(HashMap<Account, (String, Instant)>);

impl AccountNames {
    /// The account's name; empty where it has none.
    pub(crate) fn name(&mut self, account: &Account, now: Instant) -> &str {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        let (name, asked) = self
            .0
            .entry(account.clone())
            .or_insert_with(|| (ask(account), now));
        if now.saturating_duration_since(*asked) > HOLDS {
            (*name, *asked) = (ask(account), now);
        }
        name
    }
}

#[cfg(unix)]
fn ask(account: &Account) -> String {
    match account {
        Account::Uid(uid) => nix::unistd::User::from_uid((*uid).into())
            .ok()
            .flatten()
            .map(|user| user.name)
            .unwrap_or_default(),
        Account::Text(_) => String::new(),
    }
}

#[cfg(not(unix))]
fn ask(_account: &Account) -> String {
    // The platform's own lookup comes with its session sensor.
    String::new()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_what_has_none_is_empty() {
        let mut names = AccountNames::default();
        let now = Instant::now();
        assert_eq!(names.name(&Account::Uid(0), now), "root");
        assert_eq!(names.name(&Account::Uid(4_000_000_123), now), "");
        assert_eq!(names.0.len(), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let mut names = AccountNames::default();
        let now = Instant::now();
        for uid in 0..5 {
            let text = Account::Text(format!("S-{uid}"));
            names.0.insert(text, (String::new(), now));
        }
        assert_eq!(names.0.len(), 5);
        for uid in 0..REMEMBERED_MAX {
            let text = Account::Text(uid.to_string());
            names.name(&text, now);
        }
        assert!(names.0.len() <= REMEMBERED_MAX);
    }
}
