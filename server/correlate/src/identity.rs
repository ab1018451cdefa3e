//! How accounts make a person.
//!
//! ```text
//! okta 00u1, Dana@Example.com ─┐ equal mail or UPN,
//! okta 00u2, dana@example.COM ─┴ letters folded        = one identity
//! okta 00u1, (login redacted)  ─ equal provider id     = the same account, so the same identity
//! okta 00u3, dana              ─ a short name          = never joined to anything by itself
//! ```
//!
//! An account has up to two keys; accounts that share a key are one person. The person's id comes from
//! the least of all their keys, mail before provider id, so it does not depend on the order in which
//! records came. A wrong join is worse than none: short names, display names and local accounts are
//! no keys.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_proto::id::IdentityId;

use crate::input::{AccountKey, Provider};

/// Bytes of an address; RFC 5321's path.
const ADDRESS_BYTES_MAX: usize = 254;

/// What makes two accounts one person. Ordered: a mail is lesser than any provider's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdentityKey {
    /// A full mail address or UPN, folded.
    Address(String),
    /// The provider's own id of the account.
    Account(Provider, String),
    /// A short name, which says something only at this provider, and only where it gives no id.
    ShortName(Provider, String),
}

/// Folds a login as typed or stored: surrounding blanks off, letters lower.
pub fn fold_login(login: &str) -> String {
    login.trim().to_lowercase()
}

/// Whether a folded login is a full mail address or UPN: one `@`, a domain with a dot whose last label
/// is letters. `p@ss.w0rd` is none.
pub fn is_address(login: &str) -> bool {
    if login.len() > ADDRESS_BYTES_MAX || login.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return false;
    }
    let Some((local, domain)) = login.split_once('@') else {
        return false;
    };
    if local.is_empty() || domain.contains('@') {
        return false;
    }
    let labels: Vec<&str> = domain.split('.').collect();
    let last_is_name = labels.last().is_some_and(|label| {
        label.len() >= 2 && (label.starts_with("xn--") || label.chars().all(char::is_alphabetic))
    });
    labels.len() >= 2 && labels.iter().all(|label| !label.is_empty()) && last_is_name
}

/// The keys of an account; none where a record tells neither id nor login.
pub fn identity_keys(account: &AccountKey) -> BTreeSet<IdentityKey> {
    let mut keys = BTreeSet::new();
    if is_address(&account.login) {
        keys.insert(IdentityKey::Address(account.login.clone()));
    }
    if !account.provider_id.is_empty() {
        keys.insert(IdentityKey::Account(
            account.provider,
            account.provider_id.clone(),
        ));
    }
    if keys.is_empty() && !account.login.is_empty() {
        keys.insert(IdentityKey::ShortName(
            account.provider,
            account.login.clone(),
        ));
    }
    keys
}

/// The id of the person with these keys; `None` without keys.
pub fn identity_id(keys: &BTreeSet<IdentityKey>) -> Option<IdentityId> {
    let id = match keys.first()? {
        IdentityKey::Address(mail) => IdentityId::derive(&[b"address", mail.as_bytes()]),
        IdentityKey::Account(provider, id) => {
            IdentityId::derive(&[b"account", provider.word().as_bytes(), id.as_bytes()])
        }
        IdentityKey::ShortName(provider, name) => {
            IdentityId::derive(&[b"short_name", provider.word().as_bytes(), name.as_bytes()])
        }
    };
    Some(id)
}

/// Sorts accounts into people: the keys of each, by the person's id. Accounts without keys are left out.
pub fn resolve<'a>(
    accounts: impl IntoIterator<Item = &'a AccountKey>,
) -> BTreeMap<IdentityId, BTreeSet<IdentityKey>> {
    resolve_keys(accounts.into_iter().map(identity_keys))
}

/// Sorts keys into people: those that stand together are one person's.
pub fn resolve_keys(
    together: impl IntoIterator<Item = BTreeSet<IdentityKey>>,
) -> BTreeMap<IdentityId, BTreeSet<IdentityKey>> {
    let mut groups: Vec<BTreeSet<IdentityKey>> = Vec::new();
    let mut group_of: BTreeMap<IdentityKey, usize> = BTreeMap::new();
    for mut keys in together {
        let touched: BTreeSet<usize> = keys
            .iter()
            .filter_map(|key| group_of.get(key).copied())
            .collect();
        let into = touched.first().copied().unwrap_or(groups.len());
        for group in touched {
            keys.append(groups.get_mut(group).unwrap_or(&mut BTreeSet::new()));
        }
        group_of.extend(keys.iter().map(|key| (key.clone(), into)));
        match groups.get_mut(into) {
            Some(group) => *group = keys,
            None => groups.push(keys),
        }
    }
    groups
        .into_iter()
        .filter_map(|keys| Some((identity_id(&keys)?, keys)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(id: &str, login: &str) -> AccountKey {
        AccountKey {
            provider: Provider::Okta,
            provider_id: id.into(),
            login: fold_login(login),
        }
    }

    fn people(accounts: &[AccountKey]) -> usize {
        resolve(accounts).len()
    }

    #[test]
    fn a_mail_that_differs_only_by_case_is_one_person() {
        let accounts = [
            account("00u1", "Dana@Example.com"),
            account("00u2", "dana@EXAMPLE.COM"),
        ];
        assert_eq!(people(&accounts), 1);
    }

    #[test]
    fn equal_short_names_do_not_join() {
        assert_eq!(
            people(&[account("00u1", "dana"), account("00u2", "dana")]),
            2
        );
        assert_eq!(
            people(&[account("00u1", "dana"), account("00u2", "dana@example.com")]),
            2
        );
    }

    #[test]
    fn an_account_whose_login_was_redacted_is_still_its_owners() {
        let accounts = [account("00u1", ""), account("00u1", "dana@example.com")];
        let people = resolve(&accounts);
        let mail = BTreeSet::from([IdentityKey::Address("dana@example.com".into())]);
        assert_eq!(
            people.keys().next().copied(),
            identity_id(&mail),
            "the mail names the person"
        );
    }

    #[test]
    fn a_later_account_can_join_two_people() {
        let mut accounts = vec![
            account("00u1", "dana@example.com"),
            account("00u2", "d.reyes@example.com"),
        ];
        assert_eq!(people(&accounts), 2);
        accounts.push(account("00u2", "dana@example.com"));
        assert_eq!(people(&accounts), 1);
    }

    #[test]
    fn an_account_without_id_and_login_is_nobody() {
        assert_eq!(people(&[account("", "")]), 0);
    }

    #[test]
    fn addresses_are_told_from_what_people_type_into_the_wrong_field() {
        for good in [
            "dana@example.com",
            "d+x@mail.example.co.uk",
            "dana@bücher.example",
            "a@b.xn--p1ai",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "dana",
            "@example.com",
            "dana@",
            "dana@localhost",
            "p@ss.w0rd",
            "a@b@c.com",
            "dana@example.",
            "dana@.com",
            "my secret@example.com",
            "corp\\dana",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_order_of_accounts_shows(
            pairs in prop::collection::vec((0..6_u8, 0..6_u8), 1..12),
            turn in 0..12_usize,
        ) {
            let accounts: Vec<_> = pairs
                .iter()
                .map(|(id, mail)| {
                    let mail = if *mail == 0 { String::new() } else { format!("m{mail}@example.com") };
                    account(&format!("00u{id}"), &mail)
                })
                .collect();
            let mut turned = accounts.clone();
            let len = turned.len();
            turned.rotate_left(turn % len);
            turned.reverse();
            prop_assert_eq!(resolve(&accounts), resolve(&turned));
        }
    }
}
