//! Months on several processors: each thread takes a stretch of the seeds, and their totals are one in the seeds' order,
//! so that what is printed does not depend on how many there were.

use std::ops::RangeInclusive;

use crate::month::{Measured, Totals, Verdicts};

/// Runs all seeds on so many threads.
pub(crate) fn run(
    seeds: RangeInclusive<u64>,
    people: usize,
    jobs: usize,
    measured: Measured,
) -> Totals {
    let seeds: Vec<u64> = seeds.collect();
    let length = seeds.len().div_ceil(jobs.max(1)).max(1);
    let one = |seeds: &[u64]| {
        let mut totals = Totals {
            measured,
            ..Totals::default()
        };
        for seed in seeds {
            totals.run(*seed, people);
        }
        totals
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = seeds
            .chunks(length)
            .map(|seeds| scope.spawn(move || one(seeds)))
            .collect();
        let mut totals = Totals::default();
        for thread in threads {
            match thread.join() {
                Ok(part) => totals.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        totals
    })
}

impl Totals {
    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.people = other.people;
        self.events += other.events;
        self.engine_time += other.engine_time;
        self.baseline_bytes += other.baseline_bytes;
        self.measured = other.measured;
        self.curve.merge(other.curve);
        self.outages.merge(other.outages);
        self.engine.merge(other.engine);
        for (severity, score) in other.above {
            self.above.entry(severity).or_default().merge(score);
        }
        for (rule, score) in other.rules {
            self.rules.entry(rule).or_default().merge(score);
        }
        for (band, pair) in other.bands {
            add(self.bands.entry(band).or_default(), pair);
        }
        self.verdicts.merge(other.verdicts);
        for (kinds, count) in other.false_kinds {
            *self.false_kinds.entry(kinds).or_default() += count;
        }
        self.explained.extend(other.explained);
        self.lesser.extend(other.lesser);
        self.missed.extend(other.missed);
    }
}

impl Verdicts {
    fn merge(&mut self, other: Self) {
        add(&mut self.attacks, other.attacks);
        add(&mut self.own, other.own);
        add(&mut self.covered, other.covered);
    }
}

fn add(own: &mut (usize, usize), other: (usize, usize)) {
    *own = (own.0 + other.0, own.1 + other.1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    #[test]
    fn how_many_threads_does_not_show() {
        let text = |jobs| report::object(&run(3..=4, 100, jobs, Measured::default())).to_string();
        assert_eq!(text(1), text(2));
    }
}
