//! Every combination of the facts' values has a stated reading: the rows below are apart from each other and leave
//! nothing out, and the table says what they say.

use super::*;

const BINDINGS: &[Binding] = &[Binding::None, Binding::Mapped];
const LIKENESSES: &[Likeness] = &[Likeness::Fits, Likeness::Contradicts];
const ROUTES: &[Route] = &[Route::Seen, Route::Quic, Route::Untold];
const TOLD: &[Route] = &[Route::Seen, Route::Quic];
const CLOCKS: &[Clock] = &[Clock::Known, Clock::Unknown, Clock::Off];
const TRAFFICS: &[Traffic] = &[
    Traffic::None,
    Traffic::OtherUser,
    Traffic::CouldBe,
    Traffic::Skewed,
    Traffic::Named,
];
const FREQUENCIES: &[Frequency] = &[
    Frequency::Rare,
    Frequency::Some,
    Frequency::Always,
    Frequency::Unknown,
];
const ADDRESSES: &[Address] = &[
    Address::Own,
    Address::Shared,
    Address::Different,
    Address::Unknown,
];
const SAME: &[Address] = &[Address::Own, Address::Shared];
const WATCHES: &[Watch] = &[Watch::Complete, Watch::Blind];
const PRESENCES: &[Presence] = &[
    Presence::InUse,
    Presence::Away,
    Presence::Down,
    Presence::Unknown,
];
const UP: &[Presence] = &[Presence::InUse, Presence::Away, Presence::Unknown];
const CONTROLS: &[Control] = &[Control::Shown, Control::Missing];

/// One row: the values for which it holds, and what then is read. For what an endpoint is unable to say the first
/// lack is stated.
#[derive(Clone, Copy)]
struct Row {
    binding: &'static [Binding],
    likeness: &'static [Likeness],
    route: &'static [Route],
    clock: &'static [Clock],
    traffic: &'static [Traffic],
    frequency: &'static [Frequency],
    address: &'static [Address],
    watch: &'static [Watch],
    presence: &'static [Presence],
    control: &'static [Control],
    says: Says,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Here(Confidence),
    Unable(Lack),
    Silent,
    SilentAway,
}

/// Any values, with nothing bound.
const ANY: Row = Row {
    binding: &[Binding::None],
    likeness: LIKENESSES,
    route: ROUTES,
    clock: CLOCKS,
    traffic: TRAFFICS,
    frequency: FREQUENCIES,
    address: ADDRESSES,
    watch: WATCHES,
    presence: PRESENCES,
    control: CONTROLS,
    says: Says::Silent,
};

/// A machine that was on, by a route that is told, with a clock that is known.
const ON: Row = Row {
    route: TOLD,
    clock: &[Clock::Known],
    presence: UP,
    ..ANY
};

/// A named flow, by a client that fits.
const NAMED: Row = Row {
    likeness: &[Likeness::Fits],
    traffic: &[Traffic::Named],
    ..ON
};

/// No flow, by a route that shows all.
const QUIET: Row = Row {
    traffic: &[Traffic::None],
    ..ON
};

const BOUND: Row = Row {
    binding: &[Binding::Mapped],
    presence: UP,
    ..ANY
};

const NOT_RARE: &[Frequency] = &[Frequency::Some, Frequency::Unknown];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // The provider's own device binding.
    Row { likeness: &[Likeness::Fits], says: Says::Here(Confidence::Strong), ..BOUND },
    Row { likeness: &[Likeness::Contradicts], says: Says::Here(Confidence::Weak), ..BOUND },
    Row { presence: &[Presence::Down], says: Says::Unable(Lack::BoundButDown), ..BOUND },
    // What cannot be shown at all.
    Row { route: &[Route::Untold], says: Says::Unable(Lack::Route), ..ANY },
    Row { route: TOLD, clock: &[Clock::Unknown], says: Says::Unable(Lack::Clock), ..ANY },
    Row { route: TOLD, clock: &[Clock::Off], says: Says::Unable(Lack::ClockOff), ..ANY },
    // Off or asleep.
    Row { presence: &[Presence::Down], control: &[Control::Shown], says: Says::SilentAway, ..ON },
    Row { presence: &[Presence::Down], control: &[Control::Missing], says: Says::Unable(Lack::Control), ..ON },
    // A new, named flow.
    Row { frequency: &[Frequency::Rare], address: &[Address::Own], says: Says::Here(Confidence::Strong), ..NAMED },
    Row { frequency: NOT_RARE, address: &[Address::Own], says: Says::Here(Confidence::Medium), ..NAMED },
    Row { frequency: &[Frequency::Rare], address: &[Address::Shared], says: Says::Here(Confidence::Medium), ..NAMED },
    Row { frequency: NOT_RARE, address: &[Address::Shared], says: Says::Here(Confidence::Weak), ..NAMED },
    Row { frequency: &[Frequency::Always], address: SAME, says: Says::Unable(Lack::AlwaysOn), ..NAMED },
    Row { address: &[Address::Different], says: Says::Unable(Lack::OtherAddress), ..NAMED },
    Row { address: &[Address::Unknown], says: Says::Unable(Lack::AddressUnknown), ..NAMED },
    Row { likeness: &[Likeness::Contradicts], traffic: &[Traffic::Named], says: Says::Unable(Lack::Contradiction), ..ON },
    // A flow that could be it.
    Row { traffic: &[Traffic::CouldBe], says: Says::Unable(Lack::CouldBe), ..ON },
    Row { traffic: &[Traffic::Skewed], says: Says::Unable(Lack::Skew), ..ON },
    Row { traffic: &[Traffic::OtherUser], watch: &[Watch::Complete], says: Says::Unable(Lack::OtherUser), ..ON },
    Row { traffic: &[Traffic::OtherUser], watch: &[Watch::Blind], says: Says::Unable(Lack::Watch), ..ON },
    // No such flow.
    Row { watch: &[Watch::Blind], says: Says::Unable(Lack::Watch), ..QUIET },
    Row { watch: &[Watch::Complete], route: &[Route::Quic], says: Says::Unable(Lack::Quic), ..QUIET },
    Row { watch: &[Watch::Complete], route: &[Route::Seen], address: SAME, says: Says::Unable(Lack::SameAddress), ..QUIET },
    Row { watch: &[Watch::Complete], route: &[Route::Seen], address: &[Address::Unknown], says: Says::Unable(Lack::AddressUnknown), ..QUIET },
    Row { watch: &[Watch::Complete], route: &[Route::Seen], address: &[Address::Different], control: &[Control::Missing], says: Says::Unable(Lack::Control), ..QUIET },
    Row { watch: &[Watch::Complete], route: &[Route::Seen], address: &[Address::Different], control: &[Control::Shown], presence: &[Presence::Away], says: Says::SilentAway, ..QUIET },
    Row { watch: &[Watch::Complete], route: &[Route::Seen], address: &[Address::Different], control: &[Control::Shown], presence: &[Presence::InUse, Presence::Unknown], says: Says::Silent, ..QUIET },
];

impl Row {
    fn holds(&self, facts: &Facts) -> bool {
        self.binding.contains(&facts.binding)
            && self.likeness.contains(&facts.likeness)
            && self.route.contains(&facts.route)
            && self.clock.contains(&facts.clock)
            && self.traffic.contains(&facts.traffic)
            && self.frequency.contains(&facts.frequency)
            && self.address.contains(&facts.address)
            && self.watch.contains(&facts.watch)
            && self.presence.contains(&facts.presence)
            && self.control.contains(&facts.control)
    }
}

/// The number-th combination of all values.
fn combination(mut number: usize) -> Option<Facts> {
    fn pick<T: Copy>(number: &mut usize, values: &[T]) -> T {
        let value = values[*number % values.len()];
        *number /= values.len();
        value
    }
    let n = &mut number;
    let facts = Facts {
        binding: pick(n, BINDINGS),
        likeness: pick(n, LIKENESSES),
        route: pick(n, ROUTES),
        clock: pick(n, CLOCKS),
        traffic: pick(n, TRAFFICS),
        frequency: pick(n, FREQUENCIES),
        address: pick(n, ADDRESSES),
        watch: pick(n, WATCHES),
        presence: pick(n, PRESENCES),
        control: pick(n, CONTROLS),
    };
    (number == 0).then_some(facts)
}

#[test]
fn every_combination_has_exactly_one_stated_reading() {
    let mut count = 0;
    while let Some(facts) = combination(count) {
        let rows: Vec<Says> = ROWS
            .iter()
            .filter(|r| r.holds(&facts))
            .map(|r| r.says)
            .collect();
        assert_eq!(rows.len(), 1, "{facts:?}: {rows:?}");
        let says = match read(&facts) {
            Reading::Here(confidence) => Says::Here(confidence),
            Reading::Unable(lacks) => Says::Unable(lacks[0]),
            Reading::Silent => Says::Silent,
            Reading::SilentAway => Says::SilentAway,
        };
        assert_eq!(says, rows[0], "{facts:?}");
        // Unknown is not no: nothing but a complete watch, or a machine that was off, gives silence.
        if matches!(says, Says::Silent | Says::SilentAway) {
            assert_eq!(facts.control, Control::Shown);
            assert!(facts.watch == Watch::Complete || facts.presence == Presence::Down);
        }
        count += 1;
    }
    assert_eq!(count, 2 * 2 * 3 * 3 * 5 * 4 * 4 * 2 * 4 * 2);
}

#[test]
fn a_quiet_endpoint_names_all_that_it_lacks() {
    let facts = Facts {
        binding: Binding::None,
        likeness: Likeness::Fits,
        route: Route::Quic,
        clock: Clock::Known,
        traffic: Traffic::None,
        frequency: Frequency::Unknown,
        address: Address::Unknown,
        watch: Watch::Blind,
        presence: Presence::Unknown,
        control: Control::Missing,
    };
    assert_eq!(
        read(&facts),
        Reading::Unable(vec![
            Lack::Watch,
            Lack::Quic,
            Lack::AddressUnknown,
            Lack::Control
        ])
    );
}

/// Every set of up to three readings, with every habit, against what the endpoints together must say.
#[test]
fn every_combination_of_readings_has_its_verdict() {
    let all = [
        Reading::Here(Confidence::Weak),
        Reading::Here(Confidence::Medium),
        Reading::Here(Confidence::Strong),
        Reading::Unable(vec![Lack::Control]),
        Reading::Silent,
        Reading::SilentAway,
    ];
    let mut sets: Vec<Vec<Reading>> = vec![Vec::new()];
    for _ in 0..3 {
        let longer: Vec<_> = sets
            .iter()
            .flat_map(|set| {
                all.iter()
                    .map(|one| [set.as_slice(), core::slice::from_ref(one)].concat())
            })
            .collect();
        sets.extend(longer);
    }
    for set in &sets {
        for (habit, cap) in [
            (Habit::Seldom, Confidence::Strong),
            (Habit::Sometimes, Confidence::Medium),
            (Habit::Often, Confidence::Weak),
        ] {
            let (verdict, confidence) = combine(set, habit);
            let has = |reading: &Reading| set.contains(reading);
            let here = [2, 1, 0].into_iter().find(|at| has(&all[*at]));
            let expect = match here {
                Some(at) => (
                    ProvenanceVerdict::Here,
                    [Confidence::Weak, Confidence::Medium, Confidence::Strong][at],
                ),
                None if set.is_empty() || has(&all[3]) => {
                    (ProvenanceVerdict::Unknown, Confidence::None)
                }
                None if has(&Reading::Silent) => {
                    (ProvenanceVerdict::Elsewhere, Confidence::Medium.min(cap))
                }
                None => (ProvenanceVerdict::Elsewhere, cap),
            };
            assert_eq!((verdict, confidence), expect, "{set:?} {habit:?}");
        }
    }
    assert_eq!(combine(&[], Habit::Seldom).0, ProvenanceVerdict::Unknown);
}
