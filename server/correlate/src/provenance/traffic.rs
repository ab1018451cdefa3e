//! An endpoint's flows against a window: which of them are, or could be, the sign-in's traffic.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::table::Traffic;
use super::window::Skew;
use crate::baseline::MINUTE_MS;
use crate::directory::{Gateway, SignInDirectory};
use crate::fact::{EndpointFacts, LocalAccount, NameSource, ProviderFlow};
use crate::input::TimeSpan;

/// A flow is new where it was made at most so long before the window: loading the page and typing the password.
pub(crate) const NEW_MS: i64 = 15 * MINUTE_MS;

/// Why a flow is no more than one that could be it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    AlreadyOpen,
    SharedAddress,
    HiddenName,
    UnsureName,
    Relay,
    UnsureTime,
    UntoldUser,
}

/// By what an attempt's traffic is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'d> {
    Provider(&'d str),
    Gateway(&'d Gateway),
}

/// The flow that says most, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match<'f> {
    pub traffic: Traffic,
    pub doubt: Option<Doubt>,
    pub flow: Option<&'f ProviderFlow>,
}

/// Whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Person,
    Other,
    Untold,
}

/// The flows of one endpoint that have to do with a target.
#[derive(Debug)]
pub(crate) struct Flows<'f> {
    relevant: Vec<Relevant<'f>>,
    /// Up to each of them, the latest end.
    ends_ms: Vec<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Relevant<'f> {
    flow: &'f ProviderFlow,
    /// `None`: by a name that says it.
    doubt: Option<Doubt>,
    user: User,
}

impl<'f> Flows<'f> {
    pub(crate) fn new(
        facts: &'f EndpointFacts,
        target: Target<'_>,
        directory: &SignInDirectory,
    ) -> Self {
        let named: BTreeSet<IpAddr> = facts
            .flows
            .iter()
            .filter(|flow| is_named(flow, target, directory))
            .map(|flow| flow.remote.to_canonical())
            .collect();
        let mut relevant: Vec<Relevant<'f>> = facts
            .flows
            .iter()
            .filter_map(|flow| {
                let user = user(flow, &facts.accounts);
                let doubt = doubt(flow, target, directory, &named)?;
                // Somebody else's flow that does not even name the provider says nothing of this person.
                let is_vague = matches!(doubt, Some(Doubt::HiddenName | Doubt::Relay))
                    && !named.contains(&flow.remote.to_canonical());
                (user != User::Other || !is_vague).then_some(Relevant { flow, doubt, user })
            })
            .collect();
        relevant.sort_by_key(|one| one.flow.opened.from_ms);
        let ends_ms = relevant
            .iter()
            .scan(i64::MIN, |latest, one| {
                *latest = (*latest).max(latest_end_ms(one.flow));
                Some(*latest)
            })
            .collect();
        Self { relevant, ends_ms }
    }

    /// What says most of a window.
    pub(crate) fn in_window(&self, window: TimeSpan, skew: Skew) -> Match<'f> {
        let span = skew.endpoint_span(window);
        let until = self
            .relevant
            .partition_point(|one| one.flow.opened.from_ms <= Some(span.until_ms));
        let mut best = Match {
            traffic: Traffic::None,
            doubt: None,
            flow: None,
        };
        let near = self.relevant.iter().zip(&self.ends_ms).take(until).rev();
        for (one, _) in near.take_while(|(_, end_ms)| **end_ms >= span.from_ms) {
            let (traffic, doubt) = one.grade(window, skew);
            if traffic > best.traffic {
                best = Match {
                    traffic,
                    doubt,
                    flow: Some(one.flow),
                };
            }
        }
        best
    }

    /// The time in which a window of this length would meet a flow of the person to the provider's name, outside of
    /// `but` (sorted, apart): when each began and ended, apart from each other, within `within`.
    pub(crate) fn busy_ms(&self, within: TimeSpan, length_ms: i64, but: &[TimeSpan]) -> i64 {
        let spans = self.relevant.iter().filter(|one| {
            one.user == User::Person && !matches!(one.doubt, Some(Doubt::HiddenName | Doubt::Relay))
        });
        let mut spans: Vec<TimeSpan> = spans
            .map(|one| TimeSpan {
                from_ms: (one.flow.opened.until_ms.saturating_sub(length_ms)).max(within.from_ms),
                until_ms: latest_end_ms(one.flow).min(within.until_ms),
            })
            .filter(|span| span.from_ms < span.until_ms)
            .filter(|span| !is_among(but, *span))
            .collect();
        spans.sort_unstable();
        let mut reached_ms = within.from_ms;
        let mut busy_ms: i64 = 0;
        for span in spans {
            let from_ms = span.from_ms.max(reached_ms);
            busy_ms = busy_ms.saturating_add(span.until_ms.saturating_sub(from_ms).max(0));
            reached_ms = reached_ms.max(span.until_ms);
        }
        busy_ms
    }
}

/// Whether a span overlaps one of others that are sorted and apart from each other.
fn is_among(others: &[TimeSpan], span: TimeSpan) -> bool {
    let before = others.partition_point(|other| other.from_ms <= span.until_ms);
    let last = before.checked_sub(1).and_then(|at| others.get(at));
    last.is_some_and(|other| other.overlaps(span))
}

impl Relevant<'_> {
    fn grade(&self, window: TimeSpan, skew: Skew) -> (Traffic, Option<Doubt>) {
        let flow = self.flow;
        let latest_open_ms = last_opened_ms(flow);
        let earliest_end_ms = flow.closed.map_or(i64::MAX, |closed| {
            closed
                .from_ms
                .unwrap_or(flow.opened.until_ms)
                .max(latest_open_ms)
        });
        let opened_ms = flow.opened.from_ms.unwrap_or(i64::MIN);
        let could = meets(opened_ms, latest_end_ms(flow), window, skew);
        if could == Meets::Never {
            return (Traffic::None, None);
        }
        match self.user {
            User::Other => return (Traffic::OtherUser, None),
            User::Untold => return (Traffic::CouldBe, Some(Doubt::UntoldUser)),
            User::Person => {}
        }
        let newest_ms = window.from_ms.saturating_sub(NEW_MS);
        let is_new = !flow.was_open && opened_ms.saturating_add(skew.min_ms) >= newest_ms;
        let doubt = self.doubt.or((!is_new).then_some(Doubt::AlreadyOpen));
        if doubt.is_some() {
            return (Traffic::CouldBe, doubt);
        }
        match meets(latest_open_ms, earliest_end_ms, window, skew) {
            Meets::Always => (Traffic::Named, None),
            Meets::Sometimes => (Traffic::Skewed, None),
            Meets::Never => (Traffic::CouldBe, Some(Doubt::UnsureTime)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meets {
    Always,
    Sometimes,
    Never,
}

/// Whether a stretch of endpoint time overlaps a window of provider time: for every skew, for some, for none.
fn meets(from_ms: i64, until_ms: i64, window: TimeSpan, skew: Skew) -> Meets {
    let least_ms = window.from_ms.saturating_sub(until_ms);
    let most_ms = window.until_ms.saturating_sub(from_ms);
    if least_ms <= skew.min_ms && skew.max_ms <= most_ms {
        Meets::Always
    } else if least_ms.max(skew.min_ms) <= most_ms.min(skew.max_ms) {
        Meets::Sometimes
    } else {
        Meets::Never
    }
}

fn last_opened_ms(flow: &ProviderFlow) -> i64 {
    flow.opened.until_ms
}

fn latest_end_ms(flow: &ProviderFlow) -> i64 {
    flow.closed.map_or(i64::MAX, |closed| closed.until_ms)
}

fn is_named(flow: &ProviderFlow, target: Target<'_>, directory: &SignInDirectory) -> bool {
    match target {
        Target::Provider(word) => directory.services_of(word).any(|service| {
            flow.names.iter().any(|name| service.is_named(&name.name))
                || service.is_at(&flow.names, flow.remote, flow.port)
        }),
        Target::Gateway(gateway) => gateway
            .points
            .iter()
            .any(|point| point.is_at(&flow.names, flow.remote, flow.port)),
    }
}

/// `None`: nothing to do with the target; `Some(None)`: its name says it.
fn doubt(
    flow: &ProviderFlow,
    target: Target<'_>,
    directory: &SignInDirectory,
    named: &BTreeSet<IpAddr>,
) -> Option<Option<Doubt>> {
    if is_named(flow, target, directory) {
        let Target::Provider(word) = target else {
            return Some(None);
        };
        let services = || directory.services_of(word);
        // An address of its own says it, whatever it is called.
        if services().any(|service| service.is_at(&flow.names, flow.remote, flow.port)) {
            return Some(None);
        }
        let is_own = |name: &str| services().any(|service| service.is_named(name));
        let is_shared = services().any(|service| {
            !service.shared_with.is_empty()
                && flow.names.iter().any(|name| service.is_named(&name.name))
        });
        let own = || flow.names.iter().filter(|name| is_own(&name.name));
        return Some(if is_shared || own().count() < flow.names.len() {
            Some(Doubt::SharedAddress)
        } else if own().all(|name| name.source != NameSource::DnsAnswer) {
            Some(Doubt::UnsureName)
        } else {
            None
        });
    }
    let is_neighbour = match target {
        Target::Provider(word) => directory.services_of(word).any(|service| {
            flow.names
                .iter()
                .any(|name| service.is_neighbour(&name.name))
        }),
        Target::Gateway(_) => false,
    };
    let is_there = named.contains(&flow.remote.to_canonical());
    if is_neighbour || (is_there && !flow.names.is_empty()) {
        Some(Some(Doubt::SharedAddress))
    } else if directory
        .relay(&flow.names, flow.remote, flow.port)
        .is_some()
        || SignInDirectory::is_proxy_port(flow.port)
    {
        Some(Some(Doubt::Relay))
    } else if matches!(target, Target::Provider(word) if directory.is_addressed(word)) {
        // It went to another address than all that can be.
        None
    } else if is_there || (flow.names.is_empty() && SignInDirectory::is_web_port(flow.port)) {
        Some(Some(Doubt::HiddenName))
    } else {
        None
    }
}

fn user(flow: &ProviderFlow, accounts: &[LocalAccount]) -> User {
    let owner = flow.owner.as_ref();
    let is_persons = |uid: u32| accounts.iter().any(|account| account.uid == Some(uid));
    let is_session = |id: u32| {
        accounts.iter().any(|account| {
            account.audit_sessions.iter().any(|(own, span)| {
                *own == id
                    && span.from_ms <= flow.opened.until_ms
                    && flow.opened.until_ms <= span.until_ms
            })
        })
    };
    let session = owner.and_then(|owner| owner.audit_session);
    if session.is_some_and(is_session) {
        return User::Person;
    }
    // The person behind a process counts, then its account.
    let uid = owner
        .and_then(|owner| owner.login_uid)
        .or_else(|| owner.and_then(|owner| owner.uid))
        .or(flow.uid);
    match uid {
        Some(uid) if is_persons(uid) => User::Person,
        Some(_) if accounts.iter().any(|account| account.uid.is_some()) => User::Other,
        _ => User::Untold,
    }
}
