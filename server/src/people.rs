//! Whose an account of an endpoint is, as far as imports and names tell. Pure.
//!
//! What an import says of a person on every endpoint is a claim, and fits an account of one:
//!
//! | the claim has | it fits an account |
//! |---|---|
//! | SID | with this SID |
//! | UPN or mail | that is called so, in full |
//! | uid | with this uid that also has the claim's name, or, where it has none, the part of the UPN or mail before the `@` |
//! | sAMAccountName | that is called so, with or without its domain |
//!
//! However well it fits, it is [`LIKELY`] and no more: how an account is called is the endpoint's own word, and whoever is
//! root there can give it any name, uid or SID.
//!
//! A claim with a SID or uid does not fit an account by name that has another one, or of which none is known yet: 1000 is
//! the first account of most machines, and a name is not much either. Of several people the best fit counts; where two fit equally, none.
//!
//! Accounts of the system are nobody's: see [`is_system`].

pub(crate) mod device;
pub(crate) mod sheet;
pub(crate) mod sight;
pub(crate) mod suggest;
mod table;

use tocsin_correlate::fold_login;
use tocsin_proto::id::IdentityId;

use crate::store::people::{Claim, ClaimRow};

/// What an analyst or an import says of an account of one endpoint.
pub(crate) const CERTAIN: &str = "certain";

/// What an import says of whichever endpoint has such an account.
pub(crate) const LIKELY: &str = "likely";

/// Source of a link that an import made.
pub(crate) const BY_IMPORT: &str = "import";

/// The provider's word of the accounts by which an import joins a mail address and a UPN.
pub(crate) const IMPORT_PROVIDER: &str = "import";

/// How well a claim fits, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// By SID.
    Sid,
    /// By UPN.
    Upn,
    /// By uid and name.
    Uid,
    /// By name.
    Name,
}

/// A local account's name to compare by: without its domain, letters lower.
pub(crate) fn fold_user(user: &str) -> String {
    let name = user.rsplit_once('\\').map_or(user, |(_, name)| name);
    fold_login(name)
}

/// Whether a text is the number of an account rather than its name.
pub(crate) fn is_number(user: &str) -> bool {
    (!user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit()))
        || user.to_ascii_uppercase().starts_with("S-1-")
}

/// The first uid of people's accounts: `UID_MIN` of most systems' login.defs(5), and what macOS gives its first account.
const FIRST_UID: u32 = 1_000;
const FIRST_UID_MACOS: u32 = 501;

/// `nobody`, and the users that systemd makes for services (`DynamicUser=`, systemd.io/UIDS-GIDS).
const NOBODY_UIDS: [u32; 2] = [65_534, u32::MAX];
const DYNAMIC_UIDS: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// Whether an account is one of the system: a uid below those of people, but root's; nobody's and a service's; a SID that
/// is no machine's or domain's own (S-1-5-21-), as S-1-5-18 for SYSTEM. No agent tells an account's shell so far, so
/// a service account with an ordinary uid passes.
pub(crate) fn is_system(uid: &str, os: &str) -> bool {
    let sid = uid.to_ascii_uppercase();
    if sid.starts_with("S-1-") {
        // S-1-12-1-: accounts of Entra ID.
        return !sid.starts_with("S-1-5-21-") && !sid.starts_with("S-1-12-1-");
    }
    let first = match os {
        "macos" => FIRST_UID_MACOS,
        _ => FIRST_UID,
    };
    match uid.parse::<u32>() {
        Ok(0) | Err(_) => false,
        Ok(uid) => uid < first || NOBODY_UIDS.contains(&uid) || DYNAMIC_UIDS.contains(&uid),
    }
}

/// The short name that a claim's uid goes with.
fn called(claim: &Claim) -> &str {
    let address = match claim.upn.as_str() {
        "" => &claim.mail,
        upn => upn,
    };
    match claim.name.as_str() {
        "" => address.split('@').next().unwrap_or_default(),
        name => name,
    }
}

/// Whether and how a claim fits an account with this folded name and uid or SID; see the module's table.
pub(crate) fn fit(claim: &Claim, folded: &str, uid: &str) -> Option<Fit> {
    let equal = |ours: &str, theirs: &str| !ours.is_empty() && ours == theirs;
    let sid = uid.to_ascii_uppercase();
    if equal(&claim.sid, &sid) {
        return Some(Fit::Sid);
    }
    if equal(&claim.upn, folded) || equal(&claim.mail, folded) {
        return Some(Fit::Upn);
    }
    if equal(&claim.uid, uid) && equal(called(claim), folded) {
        return Some(Fit::Uid);
    }
    let is_sid = sid.starts_with("S-1-");
    let differs = match (uid.is_empty(), is_sid) {
        (true, _) => !claim.sid.is_empty() || !claim.uid.is_empty(),
        (false, true) => !claim.sid.is_empty(),
        (false, false) => !claim.uid.is_empty(),
    };
    (equal(&claim.name, folded) && !differs).then_some(Fit::Name)
}

/// Whose an account is by these claims: the best fit of one person.
pub(crate) fn owner(claims: &[ClaimRow], folded: &str, uid: &str) -> Option<(IdentityId, Fit)> {
    let fits = claims.iter().filter_map(|row| {
        let fit = fit(&row.claim, folded, uid)?;
        Some((fit, row.identity))
    });
    let mut fits: Vec<_> = fits.collect();
    fits.sort_unstable();
    let (best, identity) = *fits.first()?;
    let is_one = fits
        .iter()
        .all(|(fit, other)| *fit > best || *other == identity);
    is_one.then_some((identity, best))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(sid: &str, upn: &str, name: &str, uid: &str) -> Claim {
        Claim {
            sid: sid.into(),
            upn: upn.into(),
            name: name.into(),
            uid: uid.into(),
            mail: String::new(),
        }
    }

    #[test]
    fn the_table_of_fits() {
        const SID: &str = "S-1-5-21-1-2-3-1104";
        let all = claim(SID, "dana@example.com", "dreyes", "70001");
        for (folded, uid, expected) in [
            ("anything", SID, Some(Fit::Sid)),
            ("dana@example.com", "1000", Some(Fit::Upn)),
            ("dreyes", "70001", Some(Fit::Uid)),
            ("eli", "70001", None),
            ("dreyes", "1000", None),
            ("dreyes", "S-1-5-21-9-9-9-1001", None),
            ("dreyes", "", None),
            ("dana", "70001", None),
            ("", "", None),
        ] {
            assert_eq!(fit(&all, folded, uid), expected, "{folded} {uid}");
        }
        let by_upn = claim("", "dana@example.com", "", "1000");
        assert_eq!(fit(&by_upn, "dana", "1000"), Some(Fit::Uid));
        assert_eq!(fit(&by_upn, "dana", ""), None, "no name was claimed");
        let by_name = claim("", "", "dreyes", "");
        assert_eq!(fit(&by_name, "dreyes", "1000"), Some(Fit::Name));
        let by_mail = Claim {
            mail: "dana@example.com".into(),
            ..claim("", "", "", "1000")
        };
        assert_eq!(fit(&by_mail, "dana", "1000"), Some(Fit::Uid));
        assert_eq!(fit(&by_mail, "dana@example.com", ""), Some(Fit::Upn));
        assert_eq!(fit(&by_mail, "dana", "1001"), None);
        assert_eq!(fit(&Claim::default(), "", ""), None);
    }

    #[test]
    fn the_best_fit_counts_and_a_tie_is_nobodys() {
        let row = |who: &str, claim| ClaimRow {
            identity: IdentityId::derive(&[who.as_bytes()]),
            claim,
            said_by: String::new(),
        };
        let dana = row("dana", claim("", "", "dana", ""));
        let other = row("other", claim("", "", "dana", ""));
        let exact = row("eli", claim("", "", "dana", "1001"));
        let found = owner(&[dana.clone(), exact.clone()], "dana", "1001");
        assert_eq!(found, Some((exact.identity, Fit::Uid)));
        assert_eq!(owner(&[dana.clone(), other], "dana", "1001"), None);
        let twice = [dana.clone(), dana.clone()];
        assert_eq!(owner(&twice, "dana", "1"), Some((dana.identity, Fit::Name)));
    }

    #[test]
    fn accounts_of_the_system() {
        for (uid, os, is) in [
            ("0", "linux", false),
            ("33", "linux", true),
            ("501", "linux", true),
            ("501", "macos", false),
            ("1000", "linux", false),
            ("65534", "linux", true),
            ("61200", "linux", true),
            ("", "linux", false),
            ("S-1-5-18", "windows", true),
            ("s-1-5-21-1-2-3-1001", "windows", false),
            ("S-1-12-1-1-2-3-4", "windows", false),
        ] {
            assert_eq!(is_system(uid, os), is, "{uid} on {os}");
        }
    }

    #[test]
    fn names_are_compared_without_their_domain() {
        assert_eq!(fold_user("EXAMPLE\\Dana"), "dana");
        assert_eq!(fold_user("AzureAD\\Dana@Example.com"), "dana@example.com");
        assert!(is_number("1000") && is_number("s-1-5-21-1") && !is_number("dana"));
        assert!(!is_number(""));
    }
}
