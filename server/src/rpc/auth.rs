//! Who is calling, and what they may do: one table, and whatever is not in it is refused.
//!
//! The handshake has verified that a certificate is from our CA and that the peer holds its key. Whose key
//! it is, the store says, at every call: a revoked or unknown key may do nothing. No name in a
//! certificate, header or message counts.
//!
//! | who | may |
//! |---|---|
//! | no certificate | `Enroll` |
//! | endpoint, certificate expired but within its grace period | `Enroll`, `RenewCertificate` |
//! | endpoint | all of `AgentService`, `Enroll` (anew) |
//! | viewer | read incidents, endpoints, identities, events, feeds |
//! | analyst | also work on incidents, tag, link, import, watch and play terminals, read and verify the audit log |
//! | responder | also act on endpoints: revoke, say what providers call them, open and kill terminals; pause, resume and abort rollouts |
//! | admin | everything: also add, test and remove live feeds |
//!
//! Every handler begins with [`Auth::authorize`]. A refusal is in the audit log before the caller learns of it.

use std::future::Future;
use std::sync::Arc;

use tocsin_proto::id::EndpointId;
use tonic::{Request, Status};

use super::status::ErrorCode;
use crate::audit::{ActorKind, Audit};
use crate::clock::now_ms;
use crate::listener::Peer;
use crate::role::Role;
use crate::store::StateStore;
use crate::store::trust::Holder;

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admits {
    /// A peer without a certificate, or an endpoint that enrolls anew.
    Enrolling,
    /// An endpoint, also within the grace period of its certificate.
    Renewing,
    /// An endpoint.
    Endpoint,
    /// An analyst of at least this role.
    Role(Role),
}

macro_rules! methods {
    ($($name:ident: $path:literal, $action:literal, $admits:expr;)+) => {
        /// Every method of every service. The row says who may call it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Method { $(#[doc = $path] $name),+ }

        impl Method {
            /// Every method.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),+];

            /// `package.Service/Method`.
            #[cfg(test)]
            pub(crate) fn path(self) -> &'static str {
                match self { $(Self::$name => $path),+ }
            }

            /// Its name in the audit log.
            pub(crate) fn action(self) -> &'static str {
                match self { $(Self::$name => $action),+ }
            }

            /// Who may call it.
            pub(crate) fn admits(self) -> Admits {
                match self { $(Self::$name => $admits),+ }
            }
        }
    };
}

const VIEWER: Admits = Admits::Role(Role::Viewer);
const ANALYST: Admits = Admits::Role(Role::Analyst);
const RESPONDER: Admits = Admits::Role(Role::Responder);
const ADMIN: Admits = Admits::Role(Role::Admin);

methods! {
    Enroll: "tocsin.agent.v1.EnrollmentService/Enroll", "endpoints.enroll", Admits::Enrolling;
    RenewCertificate: "tocsin.agent.v1.AgentService/RenewCertificate", "endpoints.renew", Admits::Renewing;
    Session: "tocsin.agent.v1.AgentService/Session", "endpoints.session", Admits::Endpoint;
    UploadEvents: "tocsin.agent.v1.AgentService/UploadEvents", "endpoints.upload", Admits::Endpoint;
    Terminal: "tocsin.agent.v1.AgentService/Terminal", "endpoints.terminal", Admits::Endpoint;
    ReadRelease: "tocsin.agent.v1.AgentService/ReadRelease", "endpoints.release", Admits::Endpoint;

    GetServer: "tocsin.console.v1.ConsoleService/GetServer", "server.show", VIEWER;
    WatchChanges: "tocsin.console.v1.ConsoleService/WatchChanges", "server.watch", VIEWER;
    ListIncidents: "tocsin.console.v1.ConsoleService/ListIncidents", "incidents.list", VIEWER;
    GetIncident: "tocsin.console.v1.ConsoleService/GetIncident", "incidents.show", VIEWER;
    WatchIncidents: "tocsin.console.v1.ConsoleService/WatchIncidents", "incidents.watch", VIEWER;
    AssignIncident: "tocsin.console.v1.ConsoleService/AssignIncident", "incidents.assign", ANALYST;
    SetIncidentState: "tocsin.console.v1.ConsoleService/SetIncidentState", "incidents.state", ANALYST;
    SetIncidentVerdict: "tocsin.console.v1.ConsoleService/SetIncidentVerdict", "incidents.verdict", ANALYST;
    AddIncidentNote: "tocsin.console.v1.ConsoleService/AddIncidentNote", "incidents.note", ANALYST;
    ListEndpoints: "tocsin.console.v1.ConsoleService/ListEndpoints", "endpoints.list", VIEWER;
    GetEndpoint: "tocsin.console.v1.ConsoleService/GetEndpoint", "endpoints.show", VIEWER;
    ListProcesses: "tocsin.console.v1.ConsoleService/ListProcesses", "endpoints.processes", VIEWER;
    TagEndpoint: "tocsin.console.v1.ConsoleService/TagEndpoint", "endpoints.tag", ANALYST;
    RevokeEndpoint: "tocsin.console.v1.ConsoleService/RevokeEndpoint", "endpoints.revoke", RESPONDER;
    BindDevice: "tocsin.console.v1.ConsoleService/BindDevice", "endpoints.bind", RESPONDER;
    UnbindDevice: "tocsin.console.v1.ConsoleService/UnbindDevice", "endpoints.unbind", RESPONDER;
    ImportDevices: "tocsin.console.v1.ConsoleService/ImportDevices", "endpoints.import_devices", RESPONDER;
    ListIdentities: "tocsin.console.v1.ConsoleService/ListIdentities", "identities.list", VIEWER;
    GetIdentity: "tocsin.console.v1.ConsoleService/GetIdentity", "identities.show", VIEWER;
    LinkIdentity: "tocsin.console.v1.ConsoleService/LinkIdentity", "identities.link", ANALYST;
    UnlinkIdentity: "tocsin.console.v1.ConsoleService/UnlinkIdentity", "identities.unlink", ANALYST;
    ListUnmapped: "tocsin.console.v1.ConsoleService/ListUnmapped", "identities.unmapped", VIEWER;
    ImportIdentities: "tocsin.console.v1.ConsoleService/ImportIdentities", "identities.import", ANALYST;
    SearchEvents: "tocsin.console.v1.ConsoleService/SearchEvents", "events.search", VIEWER;
    ListFeeds: "tocsin.console.v1.ConsoleService/ListFeeds", "feeds.list", VIEWER;
    ImportFeed: "tocsin.console.v1.ConsoleService/ImportFeed", "feeds.import", ANALYST;
    AddFeed: "tocsin.console.v1.ConsoleService/AddFeed", "feeds.add", ADMIN;
    TestFeed: "tocsin.console.v1.ConsoleService/TestFeed", "feeds.test", ADMIN;
    RemoveFeed: "tocsin.console.v1.ConsoleService/RemoveFeed", "feeds.remove", ADMIN;
    OpenTerminal: "tocsin.console.v1.ConsoleService/OpenTerminal", "terminal.open", RESPONDER;
    ListTerminals: "tocsin.console.v1.ConsoleService/ListTerminals", "terminal.list", VIEWER;
    WatchTerminal: "tocsin.console.v1.ConsoleService/WatchTerminal", "terminal.watch", ANALYST;
    KillTerminal: "tocsin.console.v1.ConsoleService/KillTerminal", "terminal.kill", RESPONDER;
    ListRecordings: "tocsin.console.v1.ConsoleService/ListRecordings", "terminal.recordings", VIEWER;
    PlayTerminal: "tocsin.console.v1.ConsoleService/PlayTerminal", "terminal.play", ANALYST;
    ListReleases: "tocsin.console.v1.ConsoleService/ListReleases", "releases.list", VIEWER;
    PublishReleases: "tocsin.console.v1.ConsoleService/PublishReleases", "releases.publish", ADMIN;
    CreateRollout: "tocsin.console.v1.ConsoleService/CreateRollout", "rollouts.create", ADMIN;
    ListRollouts: "tocsin.console.v1.ConsoleService/ListRollouts", "rollouts.list", VIEWER;
    GetRollout: "tocsin.console.v1.ConsoleService/GetRollout", "rollouts.show", VIEWER;
    SetRolloutState: "tocsin.console.v1.ConsoleService/SetRolloutState", "rollouts.state", RESPONDER;
    ListAudit: "tocsin.console.v1.ConsoleService/ListAudit", "audit.list", ANALYST;
    VerifyAudit: "tocsin.console.v1.ConsoleService/VerifyAudit", "audit.verify", ANALYST;
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// No certificate, or one whose key nobody holds (any more).
    Nobody,
    /// An endpoint.
    Endpoint(EndpointId),
    /// An analyst.
    Analyst {
        /// Name.
        name: String,
        /// Role now.
        role: Role,
    },
}

/// A caller whom [`Auth::authorize`] has let through.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) who: Who,
    /// Over which connection.
    pub(crate) peer: Peer,
}

impl Caller {
    /// The endpoint, where it is one.
    pub(crate) fn endpoint(&self) -> Option<EndpointId> {
        match self.who {
            Who::Endpoint(id) => Some(id),
            Who::Nobody | Who::Analyst { .. } => None,
        }
    }

    /// Name of the analyst; empty where it is none.
    pub(crate) fn analyst(&self) -> &str {
        match &self.who {
            Who::Analyst { name, .. } => name,
            Who::Nobody | Who::Endpoint(_) => "",
        }
    }

    /// Who it is in the audit log.
    pub(crate) fn actor(&self) -> (ActorKind, String) {
        match &self.who {
            Who::Nobody => (ActorKind::Unknown, self.peer.address.ip().to_string()),
            Who::Endpoint(id) => (ActorKind::Endpoint, id.to_string()),
            Who::Analyst { name, .. } => (ActorKind::Analyst, name.clone()),
        }
    }
}

/// Decides. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Auth {
    store: Arc<dyn StateStore>,
    audit: Audit,
}

impl Auth {
    /// Over a store.
    pub(crate) fn new(store: Arc<dyn StateStore>, audit: Audit) -> Self {
        Self { store, audit }
    }

    /// Says who is calling, where they may call this method. The first line of every handler.
    pub(crate) fn authorize<'s, T>(
        &'s self,
        request: &Request<T>,
        method: Method,
    ) -> impl Future<Output = Result<Caller, Status>> + Send + use<'s, T> {
        let peer = request.extensions().get::<Peer>().cloned();
        async move {
            // Without the connection's facts nobody can be told apart: deny.
            let peer = peer.ok_or_else(|| ErrorCode::NotKnown.status("connection is not known"))?;
            self.decide(peer, method).await
        }
    }

    async fn decide(&self, peer: Peer, method: Method) -> Result<Caller, Status> {
        let now = now_ms();
        let (who, revoked) = self.identify(&peer, now).await?;
        let expired = peer.key.as_ref().is_some_and(|key| key.expired(now));
        let caller = Caller { who, peer };
        let refusal = if revoked {
            Some((ErrorCode::NotPermitted, "this key was revoked"))
        } else {
            refusal(&caller, expired, method)
        };
        let Some((code, why)) = refusal else {
            return Ok(caller);
        };
        tracing::warn!(peer = %caller.peer.address, method = method.action(), why, "a call was refused");
        self.audit.refused(&caller, method, why).await?;
        Err(code.status(why))
    }

    async fn identify(&self, peer: &Peer, now: i64) -> Result<(Who, bool), Status> {
        let Some(key) = &peer.key else {
            return Ok((Who::Nobody, false));
        };
        let Some(holder) = self.store.key_holder(&key.pin, now).await? else {
            return Ok((Who::Nobody, false));
        };
        let who = match holder.who {
            Holder::Endpoint(id) => Who::Endpoint(id),
            Holder::Analyst { name, role } => Who::Analyst { name, role },
        };
        Ok((who, holder.revoked))
    }
}

/// Why a caller may not call a method; `None` where it may.
fn refusal(caller: &Caller, expired: bool, method: Method) -> Option<(ErrorCode, &'static str)> {
    use ErrorCode::{NotKnown, NotPermitted};
    match (method.admits(), &caller.who) {
        (Admits::Enrolling, Who::Nobody | Who::Endpoint(_)) => None,
        (Admits::Renewing, Who::Endpoint(_)) => None,
        (Admits::Endpoint, Who::Endpoint(_)) if expired => Some((
            NotKnown,
            "this certificate has expired: it may only be renewed",
        )),
        (Admits::Endpoint, Who::Endpoint(_)) => None,
        (Admits::Role(_), Who::Analyst { .. }) if expired => Some((
            NotKnown,
            "this profile's certificate has expired: have it renewed ('tocsin-server analyst renew')",
        )),
        (Admits::Role(least), Who::Analyst { role, .. }) if *role >= least => None,
        (Admits::Role(Role::Analyst), Who::Analyst { .. }) => {
            Some((NotPermitted, "this needs the role analyst"))
        }
        (Admits::Role(Role::Responder), Who::Analyst { .. }) => {
            Some((NotPermitted, "this needs the role responder"))
        }
        (Admits::Role(_), Who::Analyst { .. }) => Some((NotPermitted, "this needs the role admin")),
        (Admits::Role(_), Who::Endpoint(_)) => {
            Some((NotPermitted, "an endpoint may not do what analysts do"))
        }
        (_, Who::Analyst { .. }) => Some((NotPermitted, "an analyst may not do what endpoints do")),
        (Admits::Role(_), Who::Nobody) if caller.peer.key.is_some() => Some((
            NotKnown,
            "this profile is not accepted here: it was renewed or revoked",
        )),
        (_, Who::Nobody) if caller.peer.key.is_some() => Some((
            NotKnown,
            "this certificate's key is not known here: enroll anew",
        )),
        (_, Who::Nobody) => Some((NotKnown, "this needs a certificate: enroll first")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::listener::PeerKey;

    /// `package.Service/Method` of every method in the `.proto` files below a folder.
    fn methods_below(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                methods_below(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let (mut package, mut service) = (String::new(), String::new());
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("package ") {
                    package = name.trim_end_matches(';').to_owned();
                } else if let Some(name) = line.strip_prefix("service ") {
                    service = name.trim_end_matches(" {").to_owned();
                } else if let Some(rest) = line.strip_prefix("rpc ") {
                    let name = rest.split('(').next().unwrap();
                    found.insert(format!("{package}.{service}/{name}"));
                }
            }
        }
    }

    #[test]
    fn every_method_of_every_service_has_a_row() {
        let mut services = BTreeSet::new();
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/tocsin");
        methods_below(&proto, &mut services);
        assert!(services.contains("tocsin.agent.v1.EnrollmentService/Enroll"));
        let table: BTreeSet<_> = Method::ALL.iter().map(|m| m.path().to_owned()).collect();
        assert_eq!(services, table);
        assert_eq!(table.len(), Method::ALL.len(), "a method has two rows");
        let actions: BTreeSet<_> = Method::ALL.iter().map(|m| m.action()).collect();
        assert_eq!(
            actions.len(),
            Method::ALL.len(),
            "two methods have one name"
        );
    }

    fn caller(who: Who, certificate: bool) -> Caller {
        Caller {
            who,
            peer: Peer {
                connection: 1,
                address: ([127, 0, 0, 1], 1).into(),
                key: certificate.then_some(PeerKey {
                    pin: [1; 32],
                    expiry_time_ms: 0,
                }),
                cut: CancellationToken::new(),
            },
        }
    }

    fn endpoint() -> Caller {
        caller(Who::Endpoint(EndpointId::from_public_key(b"key")), true)
    }

    fn analyst(role: Role) -> Caller {
        let name = "dana".to_owned();
        caller(Who::Analyst { name, role }, true)
    }

    /// Methods that a caller may call.
    fn allowed(caller: &Caller, expired: bool) -> Vec<&'static str> {
        Method::ALL
            .iter()
            .filter(|method| refusal(caller, expired, **method).is_none())
            .map(|method| method.action())
            .collect()
    }

    #[test]
    fn who_may_what() {
        let agent = [
            "endpoints.enroll",
            "endpoints.renew",
            "endpoints.session",
            "endpoints.upload",
            "endpoints.terminal",
            "endpoints.release",
        ];
        assert_eq!(
            allowed(&caller(Who::Nobody, false), false),
            ["endpoints.enroll"]
        );
        assert_eq!(
            allowed(&caller(Who::Nobody, true), false),
            ["endpoints.enroll"]
        );
        assert_eq!(allowed(&endpoint(), false), agent);
        assert_eq!(allowed(&endpoint(), true), agent[..2]);
        assert!(allowed(&analyst(Role::Admin), true).is_empty(), "expired");
        let changes = [
            "incidents.note",
            "incidents.state",
            "endpoints.tag",
            "feeds.import",
        ];
        for method in allowed(&analyst(Role::Viewer), false) {
            assert!(
                !changes.contains(&method) && method != "endpoints.revoke",
                "{method}"
            );
        }
        let analysts = allowed(&analyst(Role::Analyst), false);
        assert!(changes.iter().all(|method| analysts.contains(method)));
        assert!(!analysts.contains(&"endpoints.revoke"));
        assert!(!analysts.contains(&"terminal.open") && !analysts.contains(&"terminal.kill"));
        assert!(analysts.contains(&"terminal.watch") && analysts.contains(&"terminal.play"));
        let responders = allowed(&analyst(Role::Responder), false);
        for method in ["endpoints.revoke", "terminal.open", "terminal.kill"] {
            assert!(responders.contains(&method), "{method}");
        }
        assert!(responders.contains(&"rollouts.state"));
        let admins = ["feeds.add", "feeds.test", "feeds.remove"];
        for method in [&admins[..], &["releases.publish", "rollouts.create"]].concat() {
            assert!(!responders.contains(&method), "{method}");
        }
        let admin = allowed(&analyst(Role::Admin), false);
        assert_eq!(admin.len(), Method::ALL.len() - agent.len());
    }

    #[test]
    fn each_role_may_what_the_ones_before_it_may() {
        for (less, more) in Role::ALL.iter().zip(&Role::ALL[1..]) {
            let more = allowed(&analyst(*more), false);
            assert!(
                allowed(&analyst(*less), false)
                    .iter()
                    .all(|method| more.contains(method))
            );
        }
    }

    #[test]
    fn a_known_caller_of_the_wrong_kind_is_not_permitted() {
        let code = |caller: &Caller, method| refusal(caller, false, method).unwrap().0;
        assert_eq!(
            code(&endpoint(), Method::ListIncidents),
            ErrorCode::NotPermitted
        );
        assert_eq!(
            code(&analyst(Role::Admin), Method::Session),
            ErrorCode::NotPermitted
        );
        assert_eq!(
            code(&caller(Who::Nobody, false), Method::ListIncidents),
            ErrorCode::NotKnown
        );
    }
}
