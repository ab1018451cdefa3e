//! Names and numbers of accounts, from the system's own directory, with a small cache: a name may be asked for
//! over the network, and a password guesser brings many.

use std::collections::HashMap;

use nix::unistd::{Uid, User};

use crate::sensor::session::login::{Account, Login, LoginActivity};
use crate::sensor::session::record::Record;

/// Answers that are kept; at more, all are forgotten.
const ANSWERS_MAX: usize = 1024;

/// An answer is believed for so long.
const BELIEVED_MS: i64 = 60_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    Name(String),
    Uid(u32),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct AccountNames {
    answers: HashMap<Question, (i64, Option<Account>)>,
}

impl AccountNames {
    /// The account; the outer `None` where the directory could not be asked.
    fn ask(&mut self, question: Question, now_ms: i64) -> Option<Option<Account>> {
        if let Some((since_ms, answer)) = self.answers.get(&question)
            && (0..BELIEVED_MS).contains(&(now_ms - since_ms))
        {
            return Some(answer.clone());
        }
        let found = match &question {
            Question::Name(name) => User::from_name(name),
            Question::Uid(uid) => User::from_uid(Uid::from_raw(*uid)),
        };
        let answer = found.ok()?.map(|user| Account {
            uid: Some(user.uid.as_raw()),
            name: Some(user.name),
        });
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.clear();
        }
        self.answers.insert(question, (now_ms, answer.clone()));
        Some(answer)
    }

    /// Fills in what is missing of the login's accounts.
    pub(super) fn complete(&mut self, login: &mut Login, now_ms: i64) {
        if login.activity == LoginActivity::Failed && login.user_exists.is_none() {
            login.user_exists = self.exists(&login.user, now_ms);
        }
        for account in [&mut login.user, &mut login.actor] {
            let question = match account {
                Account {
                    uid: None,
                    name: Some(name),
                } => Question::Name(name.clone()),
                Account {
                    uid: Some(uid),
                    name: None,
                } => Question::Uid(*uid),
                _ => continue,
            };
            if let Some(Some(found)) = self.ask(question, now_ms) {
                *account = found;
            }
        }
    }

    /// Notes on a record of an accounting file whether its account exists: the file does not say.
    pub(super) fn note_existence(&mut self, record: &mut Record, now_ms: i64) {
        if record.detail.user_exists.is_none() {
            record.detail.user_exists = self.exists(&record.detail.user, now_ms);
        }
    }

    fn exists(&mut self, account: &Account, now_ms: i64) -> Option<bool> {
        let name = account.name.clone()?;
        Some(self.ask(Question::Name(name), now_ms)?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_number_and_a_senseless_name_none() {
        let mut names = AccountNames::default();
        let ask = |names: &mut AccountNames, name: &str| names.ask(Question::Name(name.into()), 5);
        let root = ask(&mut names, "root").flatten().and_then(|root| root.uid);
        assert_eq!(root, Some(0));
        assert_eq!(ask(&mut names, "no such account"), Some(None));
        assert_eq!(names.answers.len(), 2);
        assert_eq!(
            ask(&mut names, "root").flatten().and_then(|root| root.uid),
            Some(0)
        );
        assert_eq!(names.answers.len(), 2);
    }
}
