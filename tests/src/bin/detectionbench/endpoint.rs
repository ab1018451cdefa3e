//! What the agent on a covered person's laptop would have told: power, addresses, sessions, flows, tools.
//!
//! Made from where the laptop was and what was signed in to on it; nothing here knows which sign-in is an attack.

use tocsin_correlate::fact::{
    AddressSource, ClockSpan, ControlKind, EndpointFacts, FlowName, FlowOwner, LocalAccount,
    Moment, NameSource, PowerSpan, PowerState, ProviderFlow, PublicAddress, RemoteControl, Sensor,
    SensorSpan, SensorState, SessionFact, SessionLock, SessionLockSpan, SessionPlace, SessionUse,
    SessionUseSpan, Sharing,
};
use tocsin_correlate::{LinkedEndpoint, Provider, TelemetryGap, TimeSpan};
use tocsin_proto::id::{EndpointId, EventId, EventSequence, RunId};

use crate::life::{Life, Month, Stay};
use crate::world::{DAY_MS, END_MS, MINUTE_MS, Person, START_MS};

/// Of 10,000: nights of which the machine does not tell whether it slept all the time.
const UNSURE_NIGHTS: i64 = 300;
/// Of 10,000: working days with a gap in what was seen.
const GAPS: i64 = 150;
/// Of 10,000: sign-ins over a connection that was open already, whose beginning says nothing.
const REUSED: i64 = 800;

const UID: u32 = 1000;
const SESSION: u32 = 3;

/// Writes one laptop's facts.
struct Laptop<'l> {
    id: EndpointId,
    person: &'l Person,
    numbers: u64,
    endpoint: LinkedEndpoint,
}

/// The laptop of a covered person.
pub(crate) fn laptop(month: &Month<'_>, person: &Person, life: &mut Life) -> LinkedEndpoint {
    life.stays.sort_by_key(|stay| stay.from_ms);
    let id = EndpointId::from_public_key(person.account.login.as_bytes());
    let mut laptop = Laptop {
        id,
        person,
        numbers: 0,
        endpoint: LinkedEndpoint {
            id,
            hostname: format!("laptop-{}", person.account.provider_id),
            is_claimed: false,
            stands: None,
            sends_flows: true,
            reporting: Vec::new(),
            gaps: Vec::new(),
            facts: EndpointFacts {
                observed_since_ms: Some(START_MS),
                os: os(person).to_owned(),
                accounts: vec![LocalAccount {
                    uid: Some(UID),
                    name: "user".to_owned(),
                    audit_sessions: Vec::new(),
                }],
                clock: vec![ClockSpan {
                    span: TimeSpan {
                        from_ms: START_MS - DAY_MS,
                        until_ms: END_MS + DAY_MS,
                    },
                    ahead_min_ms: -80,
                    ahead_max_ms: 120,
                }],
                ..EndpointFacts::default()
            },
        },
    };
    laptop.nights(life);
    let stays = life.stays.clone();
    for stay in &stays {
        laptop.stay(month, stay, life);
    }
    for used in life.uses.clone() {
        // Opened long before, and used again.
        let is_reused = life.random.chance(REUSED);
        let before_ms = if is_reused {
            life.random.between(16, 50) * MINUTE_MS
        } else {
            4_000
        };
        laptop.flow(
            used.time_ms - before_ms,
            used.time_ms + 30_000,
            used.browser,
        );
    }
    laptop.supports(life);
    laptop.endpoint
}

fn os(person: &Person) -> &'static str {
    match person.laptop.os {
        "Windows" => "windows",
        "Mac OS X" => "macos",
        _ => "linux",
    }
}

impl Laptop<'_> {
    fn event(&mut self) -> EventId {
        self.numbers += 1;
        EventId {
            endpoint: self.id,
            run: RunId::from_random([7; 16]),
            sequence: EventSequence(self.numbers),
        }
    }

    fn nights(&mut self, life: &mut Life) {
        let mut from_ms = START_MS - DAY_MS;
        let mut spans = Vec::new();
        for stay in &life.stays {
            if stay.from_ms > from_ms {
                spans.push(TimeSpan {
                    from_ms,
                    until_ms: stay.from_ms,
                });
            }
            from_ms = from_ms.max(stay.until_ms);
        }
        spans.push(TimeSpan {
            from_ms,
            until_ms: END_MS + DAY_MS,
        });
        for span in spans {
            let is_sure = !life.random.chance(UNSURE_NIGHTS);
            self.endpoint.facts.power.push(PowerSpan {
                span,
                state: PowerState::Asleep,
                is_sure,
            });
        }
    }

    fn stay(&mut self, month: &Month<'_>, stay: &Stay, life: &mut Life) {
        let span = TimeSpan {
            from_ms: stay.from_ms,
            until_ms: stay.until_ms,
        };
        self.endpoint.reporting.push(span);
        for sensor in [Sensor::Network, Sensor::Session] {
            self.endpoint.facts.sensors.push(SensorSpan {
                span,
                sensor,
                state: SensorState::Running,
                detail: String::new(),
            });
        }
        let vpn = &month.company.vpn;
        let network = if stay.is_vpn {
            if stay.from_ms < month.company.vpn_change_ms {
                &vpn.0
            } else {
                &vpn.1
            }
        } else if self.person.uses_relay {
            &month.company.relay
        } else {
            &stay.network
        };
        let host = if stay.is_vpn { 1 } else { stay.host };
        self.endpoint.facts.addresses.push(PublicAddress {
            span,
            address: network.address(host),
            source: AddressSource::SeenByServer,
            sharing: if stay.is_shared || stay.is_vpn {
                Sharing::Shared
            } else {
                Sharing::Alone
            },
            is_tunnel: false,
        });
        if life.random.chance(GAPS) {
            let from_ms = life.random.between(span.from_ms, span.until_ms);
            self.endpoint.gaps.push(TelemetryGap {
                span: TimeSpan {
                    from_ms,
                    until_ms: from_ms + 5 * MINUTE_MS,
                },
                what: "network events, sensor overflow".to_owned(),
            });
        }
        self.session(stay, life);
        // Tokens are renewed every hour or two.
        let mut time_ms = span.from_ms + life.random.between(1, 60) * MINUTE_MS;
        while time_ms < span.until_ms {
            let length_ms = life.random.between(1, 40) * 1_000;
            self.flow(time_ms, time_ms + length_ms, "CHROME");
            time_ms += life.random.between(50, 150) * MINUTE_MS;
        }
    }

    /// Unlocked and in use, with a pause at noon.
    fn session(&mut self, stay: &Stay, life: &mut Life) {
        let middle_ms = stay.from_ms + (stay.until_ms - stay.from_ms) / 2;
        let pause_ms = life.random.between(20, 60) * MINUTE_MS;
        let spans = [
            (stay.from_ms, middle_ms, SessionLock::Unlocked),
            (middle_ms + 1, middle_ms + pause_ms, SessionLock::Locked),
            (
                middle_ms + pause_ms + 1,
                stay.until_ms,
                SessionLock::Unlocked,
            ),
        ];
        let spans = spans.into_iter().filter(|(from, until, _)| from < until);
        let locks: Vec<SessionLockSpan> = spans
            .map(|(from_ms, until_ms, lock)| SessionLockSpan {
                span: TimeSpan { from_ms, until_ms },
                lock,
            })
            .collect();
        let uses = locks
            .iter()
            .filter(|lock| lock.lock == SessionLock::Unlocked)
            .map(|lock| SessionUseSpan {
                span: lock.span,
                activity: SessionUse::Busy,
            })
            .collect();
        let event = self.event();
        self.endpoint.facts.sessions.push(SessionFact {
            opened: Moment::exact(stay.from_ms),
            closed: Some(Moment::exact(stay.until_ms)),
            id: format!("{}", stay.from_ms),
            uid: Some(UID),
            audit_session: Some(SESSION),
            place: SessionPlace::Local,
            is_interactive: true,
            locks,
            uses,
            event_ids: vec![event],
        });
    }

    fn flow(&mut self, opened_ms: i64, closed_ms: i64, browser: &str) {
        let (name, number) = match self.person.account.provider {
            Provider::Okta => ("example.okta.com", 1),
            Provider::Entra => ("login.microsoftonline.com", 2),
            _ => ("api-0000.duosecurity.com", 3),
        };
        let executable = match browser {
            "FIREFOX" => "/usr/lib/firefox/firefox",
            "EDGE" => "/opt/microsoft/msedge/msedge",
            "SAFARI" => "/Applications/Safari.app/Contents/MacOS/Safari",
            _ => "/opt/google/chrome/chrome",
        };
        let event_id = self.event();
        self.endpoint.facts.flows.push(ProviderFlow {
            opened: Moment::exact(opened_ms),
            closed: Some(Moment::exact(closed_ms)),
            was_open: false,
            remote: [198, 51, 100, number].into(),
            port: 443,
            names: vec![FlowName {
                name: name.to_owned(),
                source: NameSource::DnsAnswer,
            }],
            owner: Some(FlowOwner {
                pid: 4711,
                process: "0011aabb.4711.99".to_owned(),
                executable: executable.to_owned(),
                arguments: Vec::new(),
                uid: Some(UID),
                login_uid: Some(UID),
                audit_session: Some(SESSION),
            }),
            uid: Some(UID),
            repeats: None,
            event_id,
        });
    }

    fn supports(&mut self, life: &Life) {
        for support in &life.supports {
            let event = self.event();
            self.endpoint.facts.remote_control.push(RemoteControl {
                span: TimeSpan {
                    from_ms: support.from_ms,
                    until_ms: support.until_ms,
                },
                kind: ControlKind::Process,
                tool: support.tool.to_owned(),
                first_seen_ms: Some(if support.is_new {
                    support.from_ms
                } else {
                    START_MS
                }),
                is_managed: support.is_managed,
                event_ids: vec![event],
            });
        }
    }
}
