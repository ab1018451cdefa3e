//! To whom an account of an endpoint may belong, and why. Pure. Nothing is linked by it.

use super::{Fit, fit, fold_user};
use crate::store::people::{Candidate, LocalAccountRow};

/// People that are suggested for one account.
pub(crate) const SUGGESTIONS_MAX: usize = 5;

/// People that are looked at for one account: more than are suggested, so that it is known whether a name is one person's.
pub(crate) const CANDIDATES_MAX: u32 = 50;

/// A person for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suggested {
    /// Who.
    pub(crate) who: Candidate,
    /// Why.
    pub(crate) reason: String,
    /// "strong", "medium", "weak".
    pub(crate) confidence: &'static str,
}

/// People for an account, the likeliest first.
pub(crate) fn suggest(account: &LocalAccountRow, candidates: &[Candidate]) -> Vec<Suggested> {
    let folded = fold_user(&account.user);
    let mut found: Vec<Suggested> = candidates
        .iter()
        .filter_map(|who| one(account, &folded, who))
        .collect();
    let by_name = found
        .iter()
        .filter(|one| one.confidence == "medium")
        .count();
    if by_name > 1 {
        for one in found.iter_mut().filter(|one| one.confidence == "medium") {
            one.confidence = "weak";
            one.reason += &format!("; it fits {} more", by_name.saturating_sub(1));
        }
    }
    let rank = |one: &Suggested| match one.confidence {
        "strong" => 0,
        "medium" => 1,
        _ => 2,
    };
    found.sort_by(|a, b| (rank(a), &a.who).cmp(&(rank(b), &b.who)));
    found.truncate(SUGGESTIONS_MAX);
    found
}

fn one(account: &LocalAccountRow, folded: &str, who: &Candidate) -> Option<Suggested> {
    let said = |reason: String, confidence| {
        Some(Suggested {
            who: who.clone(),
            reason,
            confidence,
        })
    };
    let user = &account.user;
    if !folded.is_empty() && folded.contains('@') && who.login == folded {
        return said(
            format!("the account is called as the login: {folded}"),
            "strong",
        );
    }
    if let Some(claim) = &who.claim {
        match fit(claim, folded, &account.uid) {
            Some(Fit::Sid) => return said(format!("SID as imported: {}", account.uid), "strong"),
            Some(Fit::Upn) => return said(format!("called as imported: {folded}"), "strong"),
            Some(Fit::Uid) => {
                return said(
                    format!("uid and name as imported: {}", account.uid),
                    "strong",
                );
            }
            Some(Fit::Name) => return said(format!("name as imported: {user}"), "medium"),
            None => {}
        }
        if !claim.name.is_empty() && claim.name == folded {
            return said(
                format!("name as imported, but another uid or SID: {}", account.uid),
                "weak",
            );
        }
        if !claim.uid.is_empty() && claim.uid == account.uid {
            return said(
                format!("uid as imported: {}, but another name", account.uid),
                "weak",
            );
        }
    }
    let short = who.login.split('@').next().unwrap_or_default();
    (!short.is_empty() && short == folded).then(|| Suggested {
        who: who.clone(),
        reason: format!("short name '{user}' is the beginning of {}", who.login),
        confidence: "medium",
    })
}

#[cfg(test)]
mod tests {
    use tocsin_proto::id::{EndpointId, IdentityId};

    use super::*;
    use crate::store::people::Claim;

    fn account(user: &str, uid: &str) -> LocalAccountRow {
        LocalAccountRow {
            number: 1,
            endpoint: EndpointId::from_public_key(b"key"),
            user: user.into(),
            uid: uid.into(),
            first_seen_ms: 1,
            last_seen_ms: 1,
            interactive_ms: 1,
        }
    }

    fn who(login: &str, claim: Option<Claim>) -> Candidate {
        Candidate {
            identity: IdentityId::derive(&[login.as_bytes()]),
            display_name: String::new(),
            login: login.into(),
            claim,
        }
    }

    #[test]
    fn a_short_name_of_one_person_is_better_than_that_of_several() {
        let dana = who("dana@example.com", None);
        let found = suggest(&account("Dana", "1000"), std::slice::from_ref(&dana));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].confidence, "medium");
        assert!(found[0].reason.contains("dana@example.com"));
        let other = who("dana@example.org", None);
        let found = suggest(&account("dana", "1000"), &[dana, other]);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|one| one.confidence == "weak"),
            "{found:?}"
        );
        assert!(found[0].reason.ends_with("; it fits 1 more"), "{found:?}");
    }

    #[test]
    fn what_an_import_nearly_says_is_weak_and_says_what_differs() {
        let claim = Claim {
            name: "dana".into(),
            uid: "70001".into(),
            ..Claim::default()
        };
        let dana = who("d.reyes@example.com", Some(claim));
        let found = suggest(&account("dana", "1000"), std::slice::from_ref(&dana));
        assert_eq!((found.len(), found[0].confidence), (1, "weak"));
        assert!(found[0].reason.contains("another uid"), "{found:?}");
        assert!(suggest(&account("eli", "1001"), &[dana]).is_empty());
    }

    #[test]
    fn a_full_login_is_strong() {
        let dana = who("dana@example.com", None);
        let found = suggest(&account("AzureAD\\Dana@Example.com", ""), &[dana]);
        assert_eq!(found[0].confidence, "strong");
    }
}
