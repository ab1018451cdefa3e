//! A company of several sites: who works where, from which networks, on which machines.
//!
//! Addresses are of no real network: each network has a number of its own, from which its addresses are made.

use core::net::{IpAddr, Ipv4Addr};

use tocsin_correlate::{AccountKey, Origin, Place, Provider};
use tocsin_proto::id::IdentityId;

use crate::random::Random;

/// A minute.
pub(crate) const MINUTE_MS: i64 = 60_000;
/// An hour.
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
/// The first day, a Monday: 2026-02-02, UTC.
pub(crate) const START_MS: i64 = 1_769_990_400_000;
/// Days before the measured month, by which the company's people are known.
pub(crate) const BEFORE_DAYS: i64 = 28;
/// The measured month.
pub(crate) const MONTH_DAYS: i64 = 28;
/// When the measured month begins.
pub(crate) const MONTH_MS: i64 = START_MS + BEFORE_DAYS * DAY_MS;
/// When it ends.
pub(crate) const END_MS: i64 = MONTH_MS + MONTH_DAYS * DAY_MS;

/// A network in a place: an access provider in a city, an office, a hotel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    pub asn: u32,
    pub country: &'static str,
    pub city: String,
    /// Of its addresses.
    pub number: u32,
}

impl Network {
    /// One of its addresses.
    pub(crate) fn address(&self, host: u32) -> IpAddr {
        // From 20.0.0.0 on, 256 addresses a network.
        Ipv4Addr::from_bits(0x1400_0000 + (self.number << 8) + host % 256).into()
    }

    /// A client at one of its addresses.
    pub(crate) fn origin(&self, host: u32, machine: &Machine) -> Origin {
        Origin {
            ip: Some(self.address(host)),
            asn: Some(self.asn),
            place: Place {
                country: Some(self.country.to_owned()),
                region: None,
                city: Some(self.city.clone()),
            },
            user_agent: Some(machine.user_agent()),
            os: Some(machine.os.to_owned()),
            browser: Some(machine.browser.to_owned()),
            device_id: machine.device_id.clone(),
            device_token: machine.token.clone(),
            ..Origin::default()
        }
    }
}

/// What somebody signs in on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub token: Option<String>,
    pub device_id: Option<String>,
    pub os: &'static str,
    pub browser: &'static str,
}

impl Machine {
    fn user_agent(&self) -> String {
        if self.browser.starts_with("python") {
            self.browser.to_owned()
        } else {
            format!("Mozilla/5.0 ({}) {}", self.os, self.browser)
        }
    }

    /// Another machine of this provider's users, seen for the first time.
    pub(crate) fn new(random: &mut Random, provider: Provider) -> Self {
        let (os, browser) = random.pick(&[
            ("Windows", "CHROME"),
            ("Windows", "CHROME"),
            ("Windows", "EDGE"),
            ("Mac OS X", "SAFARI"),
            ("Mac OS X", "CHROME"),
            ("Linux", "FIREFOX"),
        ]);
        let name = format!("m{:016x}", random.next());
        let (token, device_id) = match provider {
            Provider::Okta => (Some(name), None),
            // Only of machines that the company manages.
            Provider::Entra => (None, None),
            _ => (None, Some(name)),
        };
        Self {
            token,
            device_id,
            os,
            browser,
        }
    }
}

/// A site of the company.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub country: &'static str,
    pub city: &'static str,
    /// East of UTC.
    pub zone_minutes: i64,
    pub office: Network,
    /// Access providers in the city.
    pub homes: Vec<Network>,
    /// Mobile carrier, which goes out in another city.
    pub carrier: Network,
}

/// Somebody who works there.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub id: IdentityId,
    pub account: AccountKey,
    pub site: usize,
    pub home: Network,
    pub home_host: u32,
    pub laptop: Machine,
    pub phone: Machine,
    /// Whether the laptop has an agent.
    pub is_covered: bool,
    pub is_privileged: bool,
    /// Goes out through the company's VPN when not in the office.
    pub uses_vpn: bool,
    /// The browser forgets who it is.
    pub is_forgetful: bool,
    /// Goes out through a privacy relay, whose addresses change.
    pub uses_relay: bool,
    /// The provider logs the phone's answer under the phone's address, in one session with the prompt.
    pub logs_phone: bool,
    /// Started within the measured month, in days from the beginning; 0: long before.
    pub starts_day: i64,
    /// Hour at which the day begins, local.
    pub hour: i64,
    /// Of ten working days so many in the office.
    pub office_days: i64,
    /// Sign-ins on a working day.
    pub sign_ins: i64,
}

/// The company.
#[derive(Debug, Clone)]
pub(crate) struct Company {
    pub sites: Vec<Site>,
    pub people: Vec<Person>,
    /// Where the VPN goes out, and where from `vpn_change_ms` on.
    pub vpn: (Network, Network),
    pub vpn_change_ms: i64,
    pub relay: Network,
}

const CITIES: [(&str, &str, &str, i64, i64); 6] = [
    ("PT", "Porto", "Lisbon", 0, 12),
    ("DE", "Berlin", "Frankfurt", 60, 30),
    ("US", "Boston", "New York", -300, 25),
    ("US", "Denver", "Dallas", -420, 15),
    ("IN", "Pune", "Mumbai", 330, 10),
    ("SG", "Singapore", "Singapore", 480, 8),
];

/// Networks get their numbers in this order.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    next: u32,
}

impl Networks {
    /// A network that nobody was in before.
    pub(crate) fn another(&mut self, asn: u32, country: &'static str, city: &str) -> Network {
        self.next += 1;
        Network {
            asn,
            country,
            city: city.to_owned(),
            number: self.next,
        }
    }
}

impl Company {
    /// The company of a seed.
    pub(crate) fn new(seed: u64, people: usize, networks: &mut Networks) -> Self {
        let mut random = Random::new(seed, "company");
        let sites: Vec<Site> = (0_u32..)
            .zip(CITIES)
            .map(|(n, city)| site(n, city, networks))
            .collect();
        let vpn = (
            networks.another(64_900, "NL", "Amsterdam"),
            networks.another(64_901, "IE", "Dublin"),
        );
        let relay = networks.another(64_950, "US", "Ashburn");
        let vpn_change_ms = MONTH_MS + random.between(3, 24) * DAY_MS + 20 * HOUR_MS;
        let people = (0..people)
            .map(|n| person(n, &sites, &mut random))
            .collect();
        Self {
            sites,
            people,
            vpn,
            vpn_change_ms,
            relay,
        }
    }
}

fn site(
    n: u32,
    city: (&'static str, &'static str, &str, i64, i64),
    networks: &mut Networks,
) -> Site {
    let (country, name, hub, zone_minutes, _) = city;
    let asn = 64_500 + n * 10;
    Site {
        country,
        city: name,
        zone_minutes,
        office: networks.another(asn, country, name),
        homes: (1..4)
            .map(|p| networks.another(asn + p, country, name))
            .collect(),
        carrier: networks.another(asn + 5, country, hub),
    }
}

fn person(n: usize, sites: &[Site], random: &mut Random) -> Person {
    let mut share = random.between(0, 99);
    let site = CITIES
        .iter()
        .position(|(.., weight)| {
            share -= weight;
            share < 0
        })
        .unwrap_or(0);
    let provider = match random.between(0, 99) {
        ..55 => Provider::Okta,
        55..85 => Provider::Entra,
        _ => Provider::Duo,
    };
    let login = format!("person{n:04}@example.com");
    let mut laptop = Machine::new(random, provider);
    if provider == Provider::Entra && random.chance(7_000) {
        laptop.device_id = Some(format!("managed{n}"));
    }
    let phone = Machine {
        token: (provider == Provider::Okta).then(|| format!("phone{n}")),
        device_id: None,
        os: random.pick(&["iOS", "Android"]),
        browser: "MOBILE",
    };
    let is_new = random.chance(300);
    Person {
        id: IdentityId::derive(&[login.as_bytes()]),
        account: AccountKey {
            provider,
            provider_id: format!("00u{n}"),
            login,
        },
        site,
        home: random.pick(&sites[site].homes),
        home_host: u32::try_from(n % 200).unwrap_or(0),
        laptop,
        phone,
        is_covered: random.chance(7_000),
        is_privileged: random.chance(300),
        uses_vpn: random.chance(2_500),
        is_forgetful: random.chance(400),
        uses_relay: random.chance(200),
        logs_phone: random.chance(4_000),
        starts_day: if is_new {
            BEFORE_DAYS + random.between(0, 20)
        } else {
            0
        },
        hour: random.between(7, 10),
        office_days: random.between(0, 10),
        sign_ins: random.between(3, 7),
    }
}

impl Person {
    /// Local minutes of a day, as a time. `day` counts from the beginning.
    pub(crate) fn local_ms(&self, company: &Company, day: i64, minutes: i64) -> i64 {
        let zone = company.sites[self.site].zone_minutes;
        START_MS + day * DAY_MS + (minutes - zone) * MINUTE_MS
    }
}

/// Whether nobody works that day.
pub(crate) fn is_weekend(day: i64) -> bool {
    day.rem_euclid(7) >= 5
}
