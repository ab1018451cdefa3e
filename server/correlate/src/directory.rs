//! Where sign-ins go: names of the providers' sign-in services, gateways that prompt in a person's name, and what
//! stands between an endpoint and a provider.
//!
//! The built-in table holds what providers publish. An operator adds to it: custom sign-in domains, service
//! addresses of gateways, proxies. A name that is missing here makes sign-ins invisible, which costs `here`; it
//! cannot make a wrong `elsewhere`, because that asks for a positive control.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::fact::FlowName;
use crate::network::{NETWORKS_MAX, NamedNetwork};

/// Entries of each list; what an operator adds beyond it is left out.
pub const ENTRIES_MAX: usize = 512;

/// Where HTTP goes. A flow without a name to one of these could be any sign-in.
const WEB_PORTS: &[u16] = &[443, 80];

/// Where explicit web proxies and SOCKS listen by custom.
const PROXY_PORTS: &[u16] = &[1080, 3128, 8080, 8118, 8888, 9050];

/// A provider's sign-in service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SignInService {
    /// The provider's word: "okta", "entra", ...
    pub provider: String,
    /// Its sign-in names; `*` stands for one letter or more, dots included.
    #[serde(default)]
    pub names: Vec<String>,
    /// Where it is reached at addresses that are its own, as an operator says who runs it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<ServicePoint>,
    /// Names of other services behind the same addresses: a connection made for one of them may carry a sign-in, and
    /// one made for a sign-in may carry them. Empty: its addresses are its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_with: Vec<String>,
    /// Whether browsers speak QUIC with it, which endpoints do not show: then no flow does not mean no sign-in.
    #[serde(default)]
    pub speaks_quic: bool,
    /// Whether sign-ins of this provider go nowhere else, as an operator says who runs it: the built-in names do not
    /// count then, and what goes to other addresses is no sign-in, whatever it is called.
    #[serde(default)]
    pub is_only: bool,
}

/// How an application prompts without traffic between endpoint and provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayKind {
    /// A RADIUS client asks for the person.
    Radius,
    /// An LDAP proxy does.
    Ldap,
    /// A VPN gateway does.
    Vpn,
}

impl GatewayKind {
    /// How people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Radius => "RADIUS",
            Self::Ldap => "LDAP",
            Self::Vpn => "VPN",
        }
    }
}

/// Where a gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServicePoint {
    /// Name (with `*`) or address.
    pub host: String,
    /// TCP port; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// An application that prompts through a gateway: the endpoint speaks with the gateway, not with the provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gateway {
    /// The application's name at the provider, lower case, with `*`.
    pub application: String,
    /// How.
    pub kind: GatewayKind,
    /// Where it is reached; while empty its sign-ins are `unknown`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<ServicePoint>,
}

/// What stands between endpoints and providers: a web proxy, a remote browser.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relay {
    /// How people call it: "web proxy", "remote browser".
    pub what: String,
    /// Where it is reached.
    pub points: Vec<ServicePoint>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInDirectory {
    /// Sign-in services.
    pub services: Vec<SignInService>,
    /// Gateways.
    #[serde(default)]
    pub gateways: Vec<Gateway>,
    /// Relays.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// The company's own networks: whoever signs in from one is in a usual place.
    #[serde(default)]
    pub networks: Vec<NamedNetwork>,
}

/// Provider, sign-in names, names that share the addresses, QUIC. From the providers' published lists of names to
/// allow in firewalls.
type BuiltIn = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    bool,
);

const BUILT_IN: &[BuiltIn] = &[
    (
        "okta",
        &[
            "*.okta.com",
            "*.okta-emea.com",
            "*.oktapreview.com",
            "*.okta-gov.com",
            "*.okta.mil",
        ],
        &[],
        false,
    ),
    (
        "entra",
        &[
            "login.microsoftonline.com",
            "*.login.microsoftonline.com",
            "login.microsoft.com",
            "login.windows.net",
            "sts.windows.net",
            "login.microsoftonline.us",
            "login.partner.microsoftonline.cn",
            "autologon.microsoftazuread-sso.com",
            "*.ciamlogin.com",
            "*.b2clogin.com",
        ],
        &[],
        false,
    ),
    (
        "duo",
        &["*.duosecurity.com", "*.duofederal.com"],
        &[],
        false,
    ),
    (
        "google",
        &["accounts.google.com", "accounts.youtube.com"],
        &[
            "*.google.com",
            "*.googleapis.com",
            "*.gstatic.com",
            "*.googleusercontent.com",
            "*.youtube.com",
        ],
        true,
    ),
    ("jumpcloud", &["*.jumpcloud.com"], &[], false),
    ("onelogin", &["*.onelogin.com"], &[], false),
    (
        "pingone",
        &[
            "*.pingone.com",
            "*.pingone.eu",
            "*.pingone.asia",
            "*.pingone.ca",
            "*.pingidentity.com",
        ],
        &[],
        false,
    ),
    ("auth0", &["*.auth0.com"], &[], false),
];

/// Words in an application's name that give a gateway away, where the operator has not said so.
const GATEWAY_WORDS: &[(&str, GatewayKind)] = &[
    ("radius", GatewayKind::Radius),
    ("ldap", GatewayKind::Ldap),
    ("vpn", GatewayKind::Vpn),
    ("anyconnect", GatewayKind::Vpn),
    ("globalprotect", GatewayKind::Vpn),
    ("fortigate", GatewayKind::Vpn),
    ("netscaler", GatewayKind::Vpn),
];

impl Default for SignInDirectory {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            services: BUILT_IN
                .iter()
                .map(
                    |(provider, names, shared_with, speaks_quic)| SignInService {
                        provider: (*provider).to_owned(),
                        names: texts(names),
                        points: Vec::new(),
                        shared_with: texts(shared_with),
                        speaks_quic: *speaks_quic,
                        is_only: false,
                    },
                )
                .collect(),
            gateways: Vec::new(),
            relays: Vec::new(),
            networks: Vec::new(),
        }
    }
}

impl SignInDirectory {
    /// Adds what an operator says to it, up to [`ENTRIES_MAX`] of each.
    pub fn extend(&mut self, more: Self) {
        fn add<T>(list: &mut Vec<T>, more: Vec<T>) {
            list.extend(more);
            list.truncate(ENTRIES_MAX);
        }
        self.services.retain(|known| {
            let mut own = more.services.iter();
            !own.any(|own| own.is_only && own.provider == known.provider)
        });
        add(&mut self.services, more.services);
        add(&mut self.gateways, more.gateways);
        add(&mut self.relays, more.relays);
        self.networks.extend(more.networks);
        self.networks.truncate(NETWORKS_MAX);
    }

    /// Whether a flow goes, by a name or by its address, to something in this directory: such flows are wanted over
    /// the whole look-back.
    pub fn is_known(&self, names: &[FlowName], remote: IpAddr, port: u16) -> bool {
        let is_named = |service: &SignInService| names.iter().any(|n| service.is_named(&n.name));
        let is_at = |points: &[ServicePoint]| points.iter().any(|p| p.is_at(names, remote, port));
        self.services.iter().any(is_named)
            || self.services.iter().any(|service| is_at(&service.points))
            || self.gateways.iter().any(|gateway| is_at(&gateway.points))
            || self.relays.iter().any(|relay| is_at(&relay.points))
    }

    /// Whether a flow could carry some sign-in although it does not say so: to a web port without a name, under a
    /// name that shares a sign-in service's addresses, or to where proxies listen. Such flows are wanted around
    /// attempts.
    pub fn could_be(&self, names: &[FlowName], port: u16) -> bool {
        let is_neighbour =
            |service: &SignInService| names.iter().any(|n| service.is_neighbour(&n.name));
        (names.is_empty() && WEB_PORTS.contains(&port))
            || PROXY_PORTS.contains(&port)
            || self.services.iter().any(is_neighbour)
    }

    /// The gateway that an application is, as the operator says or as its name gives away.
    pub fn gateway(&self, application: &str) -> Option<Gateway> {
        let application = application.to_lowercase();
        let told = self
            .gateways
            .iter()
            .find(|gateway| is_match(&gateway.application.to_lowercase(), &application));
        told.cloned().or_else(|| {
            let (_, kind) = GATEWAY_WORDS
                .iter()
                .find(|(word, _)| application.contains(word))?;
            Some(Gateway {
                application,
                kind: *kind,
                points: Vec::new(),
            })
        })
    }

    /// The sign-in services of a provider.
    pub fn services_of<'d>(&'d self, provider: &'d str) -> impl Iterator<Item = &'d SignInService> {
        self.services
            .iter()
            .filter(move |service| service.provider == provider)
    }

    /// Whether all addresses of a provider's sign-in services are told: then no other address can be one.
    pub(crate) fn is_addressed(&self, provider: &str) -> bool {
        let mut services = self.services_of(provider).peekable();
        services.peek().is_some()
            && services.all(|service| {
                let mut hosts = service.points.iter().map(|point| &point.host);
                service.is_only
                    && service.names.is_empty()
                    && !service.points.is_empty()
                    && hosts.all(|host| host.parse::<IpAddr>().is_ok())
            })
    }

    /// The relay at the other side of a flow.
    pub fn relay(&self, names: &[FlowName], remote: IpAddr, port: u16) -> Option<&Relay> {
        self.relays
            .iter()
            .find(|relay| relay.points.iter().any(|p| p.is_at(names, remote, port)))
    }

    /// Whether proxies listen there by custom.
    pub fn is_proxy_port(port: u16) -> bool {
        PROXY_PORTS.contains(&port)
    }

    /// Whether the web is there.
    pub fn is_web_port(port: u16) -> bool {
        WEB_PORTS.contains(&port)
    }
}

impl SignInService {
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| is_match(pattern, name))
    }

    pub(crate) fn is_at(&self, names: &[FlowName], remote: IpAddr, port: u16) -> bool {
        self.points
            .iter()
            .any(|point| point.is_at(names, remote, port))
    }

    pub(crate) fn is_neighbour(&self, name: &str) -> bool {
        self.shared_with
            .iter()
            .any(|pattern| is_match(pattern, name))
    }
}

impl ServicePoint {
    pub(crate) fn is_at(&self, names: &[FlowName], remote: IpAddr, port: u16) -> bool {
        let is_host = match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical() == remote.to_canonical(),
            Err(_) => names.iter().any(|n| is_match(&self.host, &n.name)),
        };
        is_host && self.port.is_none_or(|own| own == port)
    }
}

/// Whether a text has the shape of a pattern in which `*` stands for one letter or more.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        let mut letters = rest.chars();
        if letters.next().is_none() {
            return false;
        }
        let behind = letters.as_str();
        if parts.peek().is_none() {
            return behind.ends_with(part);
        }
        let Some((_, after)) = behind.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::NameSource;

    fn named(name: &str) -> Vec<FlowName> {
        vec![FlowName {
            name: name.into(),
            source: NameSource::DnsAnswer,
        }]
    }

    const REMOTE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 9));

    #[test]
    fn a_star_stands_for_one_letter_or_more() {
        assert!(is_match("*.okta.com", "acme.okta.com"));
        assert!(is_match("*.okta.com", "login.acme.okta.com"));
        assert!(!is_match("*.okta.com", ".okta.com"));
        assert!(!is_match("*.okta.com", "okta.com"));
        assert!(!is_match("*.okta.com", "acme.okta.com.example"));
        assert!(is_match(
            "api-*.duosecurity.com",
            "api-1a2b.duosecurity.com"
        ));
        assert!(is_match("a*b*c", "axbxc") && !is_match("a*b*c", "abc"));
        assert!(is_match("login", "login") && !is_match("login", "logins"));
        assert!(is_match("*vpn*", "acme vpn 2") && !is_match("*vpn*", "vpn"));
    }

    #[test]
    fn sign_in_names_are_known_and_others_are_not() {
        let directory = SignInDirectory::default();
        assert!(directory.is_known(&named("acme.okta.com"), REMOTE, 443));
        assert!(!directory.is_known(&named("www.example.com"), REMOTE, 443));
        assert!(!directory.is_known(&[], REMOTE, 443));
    }

    #[test]
    fn what_does_not_say_its_name_could_be_a_sign_in() {
        let directory = SignInDirectory::default();
        assert!(directory.could_be(&[], 443));
        assert!(directory.could_be(&named("mail.google.com"), 443));
        assert!(directory.could_be(&named("proxy.example.com"), 3128));
        assert!(!directory.could_be(&named("www.example.com"), 443));
        assert!(!directory.could_be(&[], 22));
    }

    #[test]
    fn an_operator_adds_gateways_and_relays() {
        let mut directory = SignInDirectory::default();
        let point = |host: &str, port| ServicePoint {
            host: host.into(),
            port,
        };
        directory.extend(SignInDirectory {
            services: Vec::new(),
            gateways: vec![Gateway {
                application: "acme remote access".into(),
                kind: GatewayKind::Vpn,
                points: vec![point("192.0.2.9", Some(443))],
            }],
            relays: vec![Relay {
                what: "web proxy".into(),
                points: vec![point("proxy.example.com", None)],
            }],
            networks: Vec::new(),
        });
        let gateway = directory.gateway("Acme Remote Access").unwrap();
        assert_eq!((gateway.kind, gateway.points.len()), (GatewayKind::Vpn, 1));
        assert!(directory.is_known(&[], REMOTE, 443));
        assert!(!directory.is_known(&[], REMOTE, 444));
        assert!(
            directory
                .relay(&named("proxy.example.com"), REMOTE, 9)
                .is_some()
        );
    }

    #[test]
    fn a_gateway_gives_itself_away_by_its_name() {
        let directory = SignInDirectory::default();
        let gateway = directory.gateway("Cisco RADIUS VPN").unwrap();
        assert_eq!(gateway.kind, GatewayKind::Radius);
        assert!(gateway.points.is_empty());
        assert_eq!(directory.gateway("Payroll"), None);
    }

    #[test]
    fn a_directory_goes_to_json_and_back() {
        let directory = SignInDirectory::default();
        let text = serde_json::to_string(&directory).unwrap();
        assert_eq!(
            serde_json::from_str::<SignInDirectory>(&text).unwrap(),
            directory
        );
    }
}
