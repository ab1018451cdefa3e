//! What changes in a person's month: journeys, leave, another access provider, another laptop.

use crate::random::Random;
use crate::world::{
    BEFORE_DAYS, Company, DAY_MS, MONTH_DAYS, Machine, Network, Networks, Person, START_MS,
};

/// Some days away from home.
#[derive(Debug, Clone)]
pub(crate) struct Journey {
    pub days: core::ops::RangeInclusive<i64>,
    pub network: Network,
    /// Working, or on leave.
    pub is_work: bool,
    /// How much earlier the day begins there than at home.
    pub earlier_minutes: i64,
}

/// A person's changes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub journey: Option<Journey>,
    /// From that day on at home with another access provider.
    pub moved: Option<(i64, Network)>,
    /// From that time on another laptop.
    pub new_laptop: Option<(i64, Machine)>,
}

const ABROAD: [(&str, &str, u32, i64); 6] = [
    ("JP", "Osaka", 64_700, 540),
    ("BR", "Recife", 64_701, -180),
    ("FR", "Lyon", 64_702, 60),
    ("CA", "Calgary", 64_703, -420),
    ("AE", "Dubai", 64_704, 240),
    ("GB", "Leeds", 64_705, 0),
];

impl Plan {
    /// Judged: of 100 people a month 6 travel for work (half of them abroad), 6 are on leave, 1.5 change their access
    /// provider and 2.5 get another laptop.
    pub(crate) fn new(
        company: &Company,
        person: &Person,
        networks: &mut Networks,
        random: &mut Random,
    ) -> Self {
        let mut day = || BEFORE_DAYS + random.between(1, MONTH_DAYS - 8);
        let (away_day, move_day, laptop_day) = (day(), day(), day());
        let site = &company.sites[person.site];
        let journey = match random.between(0, 99) {
            ..6 => Some(journey(away_day, true, site.zone_minutes, networks, random)),
            6..12 => Some(journey(
                away_day,
                false,
                site.zone_minutes,
                networks,
                random,
            )),
            _ => None,
        };
        let moved = random.chance(150).then(|| {
            let asn = site.office.asn + 7;
            (move_day, networks.another(asn, site.country, site.city))
        });
        let new_laptop = random.chance(250).then(|| {
            let machine = Machine::new(random, person.account.provider);
            (START_MS + laptop_day * DAY_MS, machine)
        });
        Self {
            journey,
            moved,
            new_laptop,
        }
    }

    /// The journey of a day.
    pub(crate) fn away(&self, day: i64) -> Option<&Journey> {
        self.journey
            .as_ref()
            .filter(|journey| journey.days.contains(&day))
    }

    /// The laptop at a time.
    pub(crate) fn laptop<'p>(&'p self, person: &'p Person, time_ms: i64) -> &'p Machine {
        match &self.new_laptop {
            Some((from_ms, machine)) if time_ms >= *from_ms => machine,
            _ => &person.laptop,
        }
    }
}

fn journey(
    day: i64,
    is_work: bool,
    zone_minutes: i64,
    networks: &mut Networks,
    random: &mut Random,
) -> Journey {
    let (country, city, asn, zone) = random.pick(&ABROAD);
    let length = if is_work {
        random.between(1, 4)
    } else {
        random.between(4, 8)
    };
    Journey {
        days: day..=day + length,
        network: networks.another(asn, country, city),
        is_work,
        earlier_minutes: zone - zone_minutes,
    }
}
