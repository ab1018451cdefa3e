//! What looks like an attack and is none: new phones, help desks, programs that ask by themselves, shared machines.

use tocsin_correlate::{Factor, MfaEventKind};

use super::{Life, Month, Support};
use crate::record::SignIn;
use crate::world::{DAY_MS, HOUR_MS, MINUTE_MS, MONTH_DAYS, MONTH_MS, Person};

impl Life {
    /// Judged, of 100 people a month: 2.8 get another phone (a phone lasts three years), 3 have their password reset,
    /// 1.5 have a program that asks by itself, 2 have an app that is too old, 3 use a shared machine, 4 are supported
    /// from afar, 0.6 get rights.
    pub(super) fn mess(&mut self, month: &Month<'_>, person: &Person) {
        if person.starts_day > 0 {
            self.first_day(month, person);
        }
        if self.random.chance(280) {
            self.new_phone(month, person);
        }
        if self.random.chance(300) {
            let time_ms = self.working_time(person);
            let origin = month.company.sites[0].office.origin(2, &month.kiosk);
            self.log
                .by_other(person, time_ms, MfaEventKind::PasswordReset, &origin);
        }
        if self.random.chance(100) {
            self.laptop_loop(person);
        }
        if self.random.chance(50) {
            self.phone_loop(month, person);
        }
        if self.random.chance(200) {
            self.old_app(person);
        }
        if self.random.chance(300) {
            let time_ms = self.working_time(person);
            let office = &month.company.sites[person.site].office;
            let sign_in = SignIn::new(time_ms, office.origin(1, &month.kiosk));
            self.log.sign_in(person, &sign_in);
        }
        if self.random.chance(400) {
            self.supported(person);
        }
        if self.random.chance(60) {
            let time_ms = self.working_time(person);
            let origin = month.company.sites[0].office.origin(3, &month.kiosk);
            self.log
                .by_other(person, time_ms, MfaEventKind::PrivilegeGranted, &origin);
        }
    }

    /// A time in the measured month at which the person was at work, or would have been.
    pub(crate) fn working_time(&mut self, _person: &Person) -> i64 {
        let stays: Vec<(i64, i64)> = self
            .stays
            .iter()
            .filter(|stay| stay.from_ms >= MONTH_MS && stay.until_ms - stay.from_ms > 3 * HOUR_MS)
            .map(|stay| (stay.from_ms, stay.until_ms))
            .collect();
        if stays.is_empty() {
            return MONTH_MS + self.random.between(1, MONTH_DAYS - 2) * DAY_MS + 12 * HOUR_MS;
        }
        let (from_ms, until_ms) = self.random.pick(&stays);
        self.random
            .between(from_ms + 20 * MINUTE_MS, until_ms - 2 * HOUR_MS)
    }

    /// Enrols the first factor.
    fn first_day(&mut self, month: &Month<'_>, person: &Person) {
        let first_ms = self.stays.iter().map(|stay| stay.from_ms).min();
        if let Some(first_ms) = first_ms {
            let origin = self.phone_origin(month, person);
            self.log.event(
                person,
                first_ms + 5 * MINUTE_MS,
                MfaEventKind::FactorEnrolled,
                &origin,
            );
        }
    }

    fn new_phone(&mut self, month: &Month<'_>, person: &Person) {
        let time_ms = self.working_time(person);
        let (network, host) = self.place_at(person, time_ms);
        let machine = self.laptop(person, time_ms);
        let usual = network.origin(host, &machine);
        let help_desk = month.company.sites[0].office.origin(2, &month.kiosk);
        let way = self.random.between(0, 9);
        let enrolled_ms = time_ms + self.random.between(3, 40) * MINUTE_MS;
        match way {
            ..6 => {
                self.log
                    .event(person, time_ms, MfaEventKind::FactorEnrolled, &usual);
            }
            _ => {
                if way == 9 {
                    self.log.by_other(
                        person,
                        time_ms - 60_000,
                        MfaEventKind::PasswordReset,
                        &help_desk,
                    );
                }
                self.log
                    .by_other(person, time_ms, MfaEventKind::FactorReset, &help_desk);
                let phone = self.phone_origin(month, person);
                self.log
                    .event(person, enrolled_ms, MfaEventKind::FactorEnrolled, &phone);
                let sign_in_ms = enrolled_ms + self.random.between(2, 30) * MINUTE_MS;
                self.on_laptop(person, &SignIn::new(sign_in_ms, usual));
            }
        }
    }

    /// A mail client with an old password asks again and again.
    fn laptop_loop(&mut self, person: &Person) {
        let from_ms = self.working_time(person);
        let (network, host) = self.place_at(person, from_ms);
        let machine = self.laptop(person, from_ms);
        let origin = network.origin(host, &machine);
        let mut time_ms = from_ms;
        for _ in 0..self.random.between(4, 20) {
            let ending = if self.random.chance(1_500) {
                MfaEventKind::Denied
            } else {
                MfaEventKind::Unanswered
            };
            let end_ms =
                self.on_laptop(person, &SignIn::new(time_ms, origin.clone()).ending(ending));
            time_ms = end_ms + self.random.between(20, 400) * 1_000;
        }
        if self.random.chance(7_000) {
            self.on_laptop(person, &SignIn::new(time_ms, origin));
        }
    }

    /// The same on the phone, in the carrier's network.
    fn phone_loop(&mut self, month: &Month<'_>, person: &Person) {
        let mut time_ms = self.working_time(person);
        for _ in 0..self.random.between(3, 9) {
            let mut origin = self.phone_origin(month, person);
            origin.browser = Some("MAIL".to_owned());
            let end_ms = self.log.sign_in(
                person,
                &SignIn::new(time_ms, origin).ending(MfaEventKind::Unanswered),
            );
            time_ms = end_ms + self.random.between(60, 3_000) * 1_000;
        }
    }

    fn old_app(&mut self, person: &Person) {
        let mut time_ms = self.working_time(person);
        let (network, host) = self.place_at(person, time_ms);
        let machine = self.laptop(person, time_ms);
        let origin = network.origin(host, &machine);
        for _ in 0..self.random.between(3, 6) {
            let sign_in = SignIn::new(time_ms, origin.clone()).ending(MfaEventKind::UpgradeNeeded);
            time_ms = self.on_laptop(person, &sign_in) + 40_000;
        }
        let sign_in = SignIn {
            factor: Factor::Totp,
            ..SignIn::new(time_ms, origin)
        };
        self.on_laptop(person, &sign_in);
    }

    /// Mostly with the company's own tool.
    fn supported(&mut self, person: &Person) {
        let from_ms = self.working_time(person);
        let is_managed = self.random.chance(7_500);
        self.supports.push(Support {
            from_ms,
            until_ms: from_ms + self.random.between(10, 50) * MINUTE_MS,
            tool: if is_managed {
                "ScreenConnect"
            } else {
                "TeamViewer"
            },
            is_managed,
            is_new: self.random.chance(5_000),
        });
        let sign_in_ms = from_ms + self.random.between(2, 20) * MINUTE_MS;
        let (network, host) = self.place_at(person, sign_in_ms);
        let machine = self.laptop(person, sign_in_ms);
        self.on_laptop(
            person,
            &SignIn::new(sign_in_ms, network.origin(host, &machine)),
        );
    }
}
