//! Which people some accounts belong to, given those who are stored. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_correlate::{
    AccountKey, IdentityKey, Provider, identity_keys, is_address, resolve_keys,
};
use tocsin_proto::id::IdentityId;

use crate::people::IMPORT_PROVIDER;
use crate::store::case::{AccountRow, IdentityGroup};

/// A key as it is stored.
fn key_text(key: &IdentityKey) -> String {
    match key {
        IdentityKey::Address(mail) => format!("address/{mail}"),
        IdentityKey::Account(provider, id) => format!("account/{}/{id}", provider.word()),
        IdentityKey::ShortName(provider, name) => {
            format!("short_name/{}/{name}", provider.word())
        }
    }
}

/// Every key of these accounts, as they are stored.
pub(crate) fn keys<'a>(accounts: impl IntoIterator<Item = &'a AccountRow>) -> Vec<String> {
    let keys: BTreeSet<String> = accounts
        .into_iter()
        .flat_map(|account| row_keys(account).iter().map(key_text).collect::<Vec<_>>())
        .collect();
    keys.into_iter().collect()
}

/// The keys of an account as it is stored; none of a provider that this build does not know. An account of an import is
/// two addresses that are one person's.
fn row_keys(row: &AccountRow) -> BTreeSet<IdentityKey> {
    if row.provider == IMPORT_PROVIDER {
        let addresses = [&row.provider_id, &row.login];
        let addresses = addresses.into_iter().filter(|address| is_address(address));
        return addresses.cloned().map(IdentityKey::Address).collect();
    }
    account(row).map_or_else(BTreeSet::new, |account| identity_keys(&account))
}

/// An account as it is stored.
pub(crate) fn row(account: &AccountKey) -> AccountRow {
    AccountRow {
        provider: account.provider.word().to_owned(),
        provider_id: account.provider_id.clone(),
        login: account.login.clone(),
    }
}

/// `None`: of a provider that this build does not know.
fn account(row: &AccountRow) -> Option<AccountKey> {
    let provider = Provider::ALL
        .iter()
        .find(|provider| provider.word() == row.provider)?;
    Some(AccountKey {
        provider: *provider,
        provider_id: row.provider_id.clone(),
        login: row.login.clone(),
    })
}

/// The people of these accounts: those stored who hold a key of them (`stored`), extended, joined, or new ones.
pub(crate) fn groups(stored: &[IdentityGroup], new: &BTreeSet<AccountRow>) -> Vec<IdentityGroup> {
    let known = stored.iter().flat_map(|group| group.accounts.iter());
    let accounts: BTreeSet<&AccountRow> = known.chain(new).collect();
    let people = resolve_keys(accounts.iter().map(|account| row_keys(account)));
    let mut rows_of: BTreeMap<IdentityId, BTreeSet<AccountRow>> = BTreeMap::new();
    let owners: BTreeMap<&IdentityKey, IdentityId> = people
        .iter()
        .flat_map(|(id, keys)| keys.iter().map(|key| (key, *id)))
        .collect();
    for account in &accounts {
        // All keys of one account have the same owner.
        let keys = row_keys(account);
        if let Some(owner) = keys.first().and_then(|key| owners.get(key)) {
            let rows = rows_of.entry(*owner).or_default();
            rows.insert((*account).clone());
        }
    }
    let mut holders: BTreeMap<&str, &IdentityGroup> = BTreeMap::new();
    for group in stored {
        holders.extend(group.keys.iter().map(|key| (key.as_str(), group)));
    }
    let of = |(id, keys): (&IdentityId, &BTreeSet<IdentityKey>)| {
        let rows = rows_of.get(id).cloned().unwrap_or_default();
        let texts: BTreeSet<String> = keys.iter().map(key_text).collect();
        let former: BTreeMap<IdentityId, &IdentityGroup> = texts
            .iter()
            .filter_map(|key| holders.get(key.as_str()))
            .map(|group| (group.id, *group))
            .collect();
        group(*id, texts, rows, &former.into_values().collect::<Vec<_>>())
    };
    people.iter().map(of).collect()
}

/// A person, made of its keys and accounts and of all that its former ones have: an account of a provider that this
/// build does not know stays with whom it is.
fn group(
    id: IdentityId,
    mut keys: BTreeSet<String>,
    mut rows: BTreeSet<AccountRow>,
    former: &[&IdentityGroup],
) -> IdentityGroup {
    keys.extend(former.iter().flat_map(|group| group.keys.iter().cloned()));
    rows.extend(
        former
            .iter()
            .flat_map(|group| group.accounts.iter().cloned()),
    );
    let keys: Vec<String> = keys.into_iter().collect();
    let accounts: Vec<AccountRow> = rows.into_iter().collect();
    IdentityGroup {
        id,
        is_changed: match former {
            [one] => one.id != id || !same(&one.keys, &keys) || !same(&one.accounts, &accounts),
            _ => true,
        },
        keys,
        accounts,
        former: former.iter().map(|group| group.id).collect(),
    }
}

/// The same values, in whatever order they are stored.
fn same<T: Ord>(stored: &[T], now: &[T]) -> bool {
    let stored: BTreeSet<&T> = stored.iter().collect();
    stored == now.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str, login: &str) -> AccountKey {
        AccountKey {
            provider: Provider::Okta,
            provider_id: id.into(),
            login: login.into(),
        }
    }

    fn set(accounts: &[AccountKey]) -> BTreeSet<AccountRow> {
        accounts.iter().map(row).collect()
    }

    #[test]
    fn an_import_joins_two_addresses_whichever_comes_first() {
        let imported = AccountRow {
            provider: IMPORT_PROVIDER.into(),
            provider_id: "dana@example.com".into(),
            login: "d.reyes@corp.example.com".into(),
        };
        let mail = row(&account("00u1", "dana@example.com"));
        let upn = row(&account("00u2", "d.reyes@corp.example.com"));
        let all = [&imported, &mail, &upn];
        let at_once = groups(&[], &all.into_iter().cloned().collect());
        assert_eq!(at_once.len(), 1);
        for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
            let mut stored: Vec<IdentityGroup> = Vec::new();
            for which in order {
                let new = BTreeSet::from([all[which].clone()]);
                let wanted = keys(&new);
                let (touched, others): (Vec<_>, Vec<_>) = stored
                    .into_iter()
                    .partition(|group| group.keys.iter().any(|key| wanted.contains(key)));
                stored = groups(&touched, &new);
                stored.extend(others);
                for group in &mut stored {
                    group.former = vec![group.id];
                }
            }
            assert_eq!(stored.len(), 1, "{order:?}");
            assert_eq!(stored[0].id, at_once[0].id);
            assert_eq!(stored[0].accounts, at_once[0].accounts);
        }
    }

    #[test]
    fn a_new_account_makes_a_new_person() {
        let found = groups(&[], &set(&[account("00u1", "dana@example.com")]));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].keys,
            ["account/okta/00u1", "address/dana@example.com"]
        );
        assert!(found[0].former.is_empty());
    }

    #[test]
    fn a_known_key_extends_its_person() {
        let stored = groups(&[], &set(&[account("00u1", "dana@example.com")]));
        let new = set(&[account("00u1", "d.reyes@example.com")]);
        let found = groups(&stored, &new);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].accounts.len(), 2);
        assert!(found[0].former.is_empty() || found[0].former == [stored[0].id]);
    }

    #[test]
    fn a_person_of_whom_nothing_is_new_is_not_written_again() {
        let mut stored = groups(&[], &set(&[account("00u1", "dana@example.com")]));
        assert!(stored[0].is_changed);
        stored[0].former = vec![stored[0].id];
        stored[0].keys.reverse();
        let again = groups(&stored, &set(&[account("00u1", "dana@example.com")]));
        assert!(!again[0].is_changed);
        let more = groups(&stored, &set(&[account("00u1", "")]));
        assert!(more[0].is_changed, "a new account");
    }

    #[test]
    fn an_account_can_join_two_stored_people() {
        let one = groups(&[], &set(&[account("00u1", "dana@example.com")]));
        let other = groups(&[], &set(&[account("00u2", "d.reyes@example.com")]));
        let mut stored = [one, other].concat();
        for group in &mut stored {
            group.former = vec![group.id];
        }
        let found = groups(&stored, &set(&[account("00u2", "dana@example.com")]));
        assert_eq!(found.len(), 1);
        let former: BTreeSet<_> = found[0].former.iter().copied().collect();
        assert_eq!(former, stored.iter().map(|group| group.id).collect());
        assert_eq!(found[0].accounts.len(), 3);
    }

    #[test]
    fn keys_of_all_accounts_are_asked_for_once() {
        let accounts = [account("00u1", "dana@example.com"), account("00u1", "dana")];
        assert_eq!(
            keys(&set(&accounts)),
            ["account/okta/00u1", "address/dana@example.com"]
        );
    }
}
