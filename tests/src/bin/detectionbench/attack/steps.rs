//! The steps that attacks are made of.

use tocsin_correlate::{Factor, MfaEventKind, Origin};

use super::{Stage, Victim};
use crate::record::{Ending, SignIn};
use crate::world::{BEFORE_DAYS, HOUR_MS, MINUTE_MS, MONTH_DAYS, Machine, Person};

impl Stage<'_, '_> {
    /// Where the attacker's client is.
    pub(super) fn origin(&self) -> Origin {
        self.attacker.network.origin(77, &self.attacker.machine)
    }

    /// A night of the victim's, and not the last days of the month.
    pub(super) fn night(&mut self, person: &Person) -> i64 {
        let day = BEFORE_DAYS + self.attacker.random.between(1, MONTH_DAYS - 8);
        let minutes = self.attacker.random.between(30, 200);
        person.local_ms(self.month.company, day, minutes)
    }

    /// A day on which one works, at an hour at which one works.
    pub(super) fn day(&mut self, person: &Person) -> i64 {
        let mut day = BEFORE_DAYS + self.attacker.random.between(1, MONTH_DAYS - 9);
        while crate::world::is_weekend(day) {
            day += 1;
        }
        let minutes = self.attacker.random.between(9 * 60, 16 * 60);
        person.local_ms(self.month.company, day, minutes)
    }

    /// Does something to the victim, and labels the records that it leaves.
    pub(super) fn label<T>(
        &mut self,
        victim: &mut Victim<'_>,
        act: impl FnOnce(&mut Victim<'_>) -> T,
    ) -> T {
        let before = victim.life.log.events.len();
        let result = act(victim);
        let left = victim.life.log.events.iter().skip(before);
        for event in left {
            self.attack.events.insert(event.id);
            self.attack.start_ms = self.attack.start_ms.min(event.time_ms);
        }
        result
    }

    /// A prompt with its answer. Returns when it ended.
    pub(super) fn prompt(&mut self, victim: &mut Victim<'_>, sign_in: &SignIn) -> i64 {
        let mut sign_in = sign_in.clone();
        sign_in.phone = Some(victim.life.phone_origin(self.month, victim.person));
        sign_in.answer_s = self.attacker.random.between(3, 30);
        self.label(victim, |victim| {
            victim.life.log.sign_in(victim.person, &sign_in)
        })
    }

    /// Some prompts that do not succeed. Returns when the next could come.
    pub(super) fn refused(
        &mut self,
        victim: &mut Victim<'_>,
        from_ms: i64,
        (count, gap_s): (i64, (i64, i64)),
    ) -> i64 {
        let mut time_ms = from_ms;
        for _ in 0..count {
            let ending = self.refusal();
            let origin = self.origin();
            self.prompt(victim, &SignIn::new(time_ms, origin).ending(ending));
            time_ms += self.attacker.random.between(gap_s.0, gap_s.1) * 1_000;
        }
        time_ms
    }

    /// Two of five deny, three of five ignore.
    pub(super) fn refusal(&mut self) -> Ending {
        if self.attacker.random.chance(4_000) {
            MfaEventKind::Denied
        } else {
            MfaEventKind::Unanswered
        }
    }

    /// A prompt that is approved, after hostile ones or at once.
    pub(super) fn approved(
        &mut self,
        victim: &mut Victim<'_>,
        time_ms: i64,
        after_prompts: bool,
    ) -> i64 {
        self.attack.is_approved_after_prompts |= after_prompts;
        let origin = self.origin();
        self.prompt(victim, &SignIn::new(time_ms, origin))
    }

    /// An own factor, and some applications.
    pub(super) fn act(&mut self, victim: &mut Victim<'_>, from_ms: i64) {
        self.attack.is_acted_on = true;
        let origin = self.origin();
        let enrolled_ms = from_ms + self.attacker.random.between(2, 9) * MINUTE_MS;
        let applications = self.attacker.random.between(1, 5);
        self.label(victim, |victim| {
            let log = &mut victim.life.log;
            log.event(
                victim.person,
                enrolled_ms,
                MfaEventKind::FactorEnrolled,
                &origin,
            );
            for n in 0..applications {
                let time_ms = enrolled_ms + (n + 1) * 3 * MINUTE_MS;
                log.event(victim.person, time_ms, MfaEventKind::AppAccess, &origin);
            }
        });
    }

    /// The person presses "not me".
    pub(super) fn reported(&mut self, victim: &mut Victim<'_>, time_ms: i64) {
        let origin = victim.life.phone_origin(self.month, victim.person);
        self.label(victim, |victim| {
            victim.life.log.event(
                victim.person,
                time_ms,
                MfaEventKind::SuspiciousReported,
                &origin,
            );
        });
    }

    /// Another network of the same kind.
    pub(super) fn rotate(&mut self) {
        let (country, city, asn) = self.attacker.random.pick(&[
            ("RO", "Iasi", 65_011),
            ("US", "Chicago", 65_012),
            ("FR", "Paris", 65_013),
            ("PL", "Lodz", 65_014),
            ("BR", "Natal", 65_015),
            ("VN", "Hue", 65_016),
        ]);
        self.attacker.network = self.networks.another(asn, country, city);
    }

    /// Another browser, or the same with its memory cleared.
    pub(super) fn new_machine(&mut self, person: &Person) {
        self.attacker.machine = Machine::new(&mut self.attacker.random, person.account.provider);
    }

    pub(super) fn hours(&mut self, from: i64, until: i64) -> i64 {
        self.attacker.random.between(from, until) * HOUR_MS
    }

    pub(super) fn with_factor(&self, time_ms: i64, factor: Factor, ending: Ending) -> SignIn {
        SignIn {
            factor,
            ..SignIn::new(time_ms, self.origin())
        }
        .ending(ending)
    }
}
