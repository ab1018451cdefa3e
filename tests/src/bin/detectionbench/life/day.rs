//! A working day: where it is spent, what is signed in to, and how prompts end.

use tocsin_correlate::{Factor, MfaEventKind, Origin};

use super::{Life, Month, Stay};
use crate::record::SignIn;
use crate::world::{BEFORE_DAYS, END_MS, MINUTE_MS, MONTH_DAYS, Network, Person, is_weekend};

/// Where a day is spent.
struct Spent {
    network: Network,
    host: u32,
    is_shared: bool,
    is_vpn: bool,
    begin_ms: i64,
    minutes: i64,
}

impl Life {
    pub(super) fn days(&mut self, month: &Month<'_>, person: &Person) {
        for day in person.starts_day..BEFORE_DAYS + MONTH_DAYS {
            let is_away = self.plan.away(day).is_some();
            // One working day in twenty is spent ill or off, one day off in twelve is worked for an hour.
            let is_free = is_weekend(day) && !is_away;
            let works = if is_free {
                self.random.chance(800)
            } else {
                !self.random.chance(500)
            };
            if let Some(journey) = self.plan.away(day).filter(|journey| !journey.is_work) {
                let network = journey.network.clone();
                self.leave_day(month, person, (day, &network));
            } else if works {
                let spent = self.spend(month, person, day, is_free);
                self.work(month, person, &spent);
            }
            if self.random.chance(2_500) {
                self.on_phone(month, person, (day, 18 * 60, 23 * 60));
            }
            if works && self.random.chance(800) {
                self.on_phone(month, person, (day, 9 * 60, 17 * 60));
            }
        }
    }

    fn spend(&mut self, month: &Month<'_>, person: &Person, day: i64, is_free: bool) -> Spent {
        let minutes = if is_free {
            70
        } else {
            self.random.about(500, 60)
        };
        let begin = person.hour * 60 + self.random.about(10, 40) + if is_free { 120 } else { 0 };
        let mut begin_ms = person.local_ms(month.company, day, begin);
        let host = u32::try_from(self.random.between(200, 255)).unwrap_or(200);
        if let Some(journey) = self.plan.away(day) {
            begin_ms -= journey.earlier_minutes * MINUTE_MS;
            return Spent {
                network: journey.network.clone(),
                host: 40,
                is_shared: true,
                is_vpn: person.uses_vpn,
                begin_ms,
                minutes,
            };
        }
        let site = &month.company.sites[person.site];
        if !is_free && self.random.between(0, 9) < person.office_days {
            return Spent {
                network: site.office.clone(),
                host: 1,
                is_shared: true,
                is_vpn: false,
                begin_ms,
                minutes,
            };
        }
        let moved = self.plan.moved.as_ref().filter(|(from, _)| day >= *from);
        let network = moved.map_or(&person.home, |(_, network)| network).clone();
        // Access providers give out another address every ten days or so.
        let host = if person.uses_relay {
            host
        } else {
            person.home_host + u32::try_from(day / 10).unwrap_or(0)
        };
        Spent {
            network,
            host,
            is_shared: false,
            is_vpn: person.uses_vpn,
            begin_ms,
            minutes,
        }
    }

    fn work(&mut self, month: &Month<'_>, person: &Person, spent: &Spent) {
        let until_ms = spent.begin_ms + spent.minutes * MINUTE_MS;
        self.stays.push(Stay {
            from_ms: spent.begin_ms - 10 * MINUTE_MS,
            until_ms: until_ms + 10 * MINUTE_MS,
            network: spent.network.clone(),
            host: spent.host,
            is_shared: spent.is_shared,
            is_vpn: spent.is_vpn,
        });
        for _ in 0..person.sign_ins.min(1 + spent.minutes / 60) {
            let time_ms = spent.begin_ms
                + self.random.between(1, spent.minutes) * MINUTE_MS
                + self.random.between(0, 59_999);
            if time_ms < END_MS {
                self.laptop_sign_in(month, person, spent, time_ms);
            }
        }
    }

    fn laptop_sign_in(&mut self, month: &Month<'_>, person: &Person, spent: &Spent, time_ms: i64) {
        let machine = self.laptop(person, time_ms);
        let (network, host) = if spent.is_vpn {
            let (before, after) = &month.company.vpn;
            (
                if time_ms < month.company.vpn_change_ms {
                    before
                } else {
                    after
                },
                1,
            )
        } else if person.uses_relay {
            (&month.company.relay, spent.host)
        } else {
            (&spent.network, spent.host)
        };
        let mut origin = network.origin(host, &machine);
        // 1.2 % of authentications have places that do not match.
        if self.random.chance(120) && !spent.is_shared {
            origin.place.city = Some(month.company.sites[person.site].carrier.city.clone());
        }
        let factor = match self.random.between(0, 99) {
            ..8 => Factor::Totp,
            8..12 => Factor::Sms,
            _ => Factor::Push,
        };
        self.attempt(
            month,
            person,
            &SignIn {
                factor,
                ..SignIn::new(time_ms, origin)
            },
            true,
        );
    }

    /// A sign-in that goes wrong as often as they do, and what the person then does.
    fn attempt(&mut self, month: &Month<'_>, person: &Person, sign_in: &SignIn, on_laptop: bool) {
        let mut time_ms = sign_in.time_ms;
        let phone = Some(self.phone_origin(month, person));
        for _ in 0..4 {
            let ending = self.ending(month, person, time_ms);
            let answer_s = self.random.between(3, 25);
            let next = SignIn {
                time_ms,
                ending,
                answer_s,
                phone: phone.clone(),
                ..sign_in.clone()
            };
            let end_ms = if on_laptop {
                self.on_laptop(person, &next)
            } else {
                self.log.sign_in(person, &next)
            };
            let gives_up = match ending {
                MfaEventKind::Approved | MfaEventKind::PolicyDenied => true,
                // Prompts nobody saw are of programs that ask by themselves, or of people who turn away.
                MfaEventKind::Unanswered => self.random.chance(2_500),
                _ => self.random.chance(1_000),
            };
            if gives_up {
                return;
            }
            time_ms = end_ms + self.random.between(5, 120) * 1_000;
        }
    }

    fn ending(&mut self, month: &Month<'_>, person: &Person, time_ms: i64) -> MfaEventKind {
        let provider = person.account.provider;
        let is_out = month.outages.iter().any(|outage| {
            outage.provider == provider && (outage.from_ms..outage.until_ms).contains(&time_ms)
        });
        if is_out && self.random.chance(8_000) {
            return self
                .random
                .pick(&[MfaEventKind::Unanswered, MfaEventKind::Error]);
        }
        // In 100,000: not answered and fraud as published, the others judged.
        match self.random.between(0, 99_999) {
            ..620 => MfaEventKind::Unanswered,
            620..920 => MfaEventKind::Denied,
            920..1_070 => MfaEventKind::WrongNumber,
            1_070..1_670 => MfaEventKind::WrongCode,
            1_670..1_770 => MfaEventKind::PolicyDenied,
            1_770..1_775 => MfaEventKind::FraudReported,
            1_775..1_875 => MfaEventKind::Abandoned,
            _ => MfaEventKind::Approved,
        }
    }

    /// After work, or on the way, on the phone.
    fn on_phone(
        &mut self,
        month: &Month<'_>,
        person: &Person,
        (day, from, until): (i64, i64, i64),
    ) {
        let minutes = self.random.between(from, until);
        let time_ms = person.local_ms(month.company, day, minutes);
        let origin = self.phone_origin(month, person);
        self.attempt(month, person, &SignIn::new(time_ms, origin), false);
    }

    /// On leave: seldom anything, and then on the phone; one in ten of those on somebody else's computer.
    fn leave_day(&mut self, month: &Month<'_>, person: &Person, (day, network): (i64, &Network)) {
        if !self.random.chance(1_500) {
            return;
        }
        let minutes = self.random.between(8 * 60, 22 * 60);
        let time_ms = person.local_ms(month.company, day, minutes);
        let origin: Origin = if self.random.chance(1_000) {
            let machine = crate::world::Machine::new(&mut self.random, person.account.provider);
            network.origin(7, &machine)
        } else {
            network.origin(9, &person.phone)
        };
        self.attempt(month, person, &SignIn::new(time_ms, origin), false);
    }
}
