//! Endpoints by the hundred thousand in little memory: what their list shows, and nothing else.
//!
//! All texts of all endpoints lie behind each other in one, and what many have in common (system, version, zone) is
//! there once: about 100 bytes an endpoint. The order is made where the fleet is made, off the draw path: those that
//! need somebody come first. Texts beyond [`TEXT_BYTES_MAX`] are cut; the endpoint's own screen has them in full.
//!
//! A fleet that is asked for again shares the texts that have not changed with the one before, so that the two, which are
//! there at the same time, do not take twice the memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_proto::console::v1::{ClockSkew, Endpoint, EndpointState};

/// Bytes that are kept of one text.
const TEXT_BYTES_MAX: usize = 1024;

/// What an endpoint's line says. Unclean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndpointLine<'a> {
    pub(crate) id: &'a str,
    pub(crate) hostname: &'a str,
    pub(crate) address: &'a str,
    /// With a space between each two.
    pub(crate) tags: &'a str,
    pub(crate) os: &'a str,
    pub(crate) os_version: &'a str,
    pub(crate) agent_version: &'a str,
    pub(crate) time_zone: &'a str,
    pub(crate) state: EndpointState,
    pub(crate) last_seen_time_ms: i64,
    pub(crate) clock_skew: Option<ClockSkew>,
    pub(crate) lost: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    /// Texts that the fleet before may have too.
    base: Arc<String>,
    /// Texts that were told since.
    more: String,
    kinds: Vec<Kind>,
    /// In the order in which they are shown.
    rows: Vec<Row>,
    /// Places in `rows`, by id.
    by_id: Vec<u32>,
}

/// What many have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    os: String,
    os_version: String,
    agent_version: String,
    time_zone: String,
}

#[derive(Debug)]
struct Row {
    last_seen_time_ms: i64,
    lost: u64,
    /// Where its texts begin in `base` and `more` behind it: id, hostname, address, tags.
    begin: u32,
    lengths: [u16; 4],
    kind: u32,
    /// In milliseconds; the second below the first where it was not measured.
    skew: (i32, i32),
    state: EndpointState,
}

/// Makes a fleet, endpoint by endpoint.
#[derive(Debug, Default)]
pub(crate) struct FleetMaker {
    before: Option<Arc<Fleet>>,
    fleet: Fleet,
    kinds: BTreeMap<Kind, u32>,
}

impl FleetMaker {
    /// One that takes over what has not changed since.
    pub(crate) fn after(before: Option<Arc<Fleet>>) -> Self {
        let base = before.as_ref().map(|fleet| Arc::clone(&fleet.base));
        Self {
            fleet: Fleet {
                base: base.unwrap_or_default(),
                ..Fleet::default()
            },
            before,
            ..Self::default()
        }
    }

    /// Where its texts are already, and their lengths.
    fn shared(&self, texts: [&str; 4]) -> Option<(u32, [u16; 4])> {
        let before = self.before.as_deref()?;
        let row = before.rows.get(before.place(texts.first()?)?)?;
        let is_base = (row.begin as usize) < before.base.len();
        let mut all = texts.into_iter().enumerate();
        let is_same = all.all(|(which, text)| before.text(row, which) == text);
        (is_base && is_same).then_some((row.begin, row.lengths))
    }

    /// Puts texts behind the others. A fleet whose texts do not fit ends here: 4 GiB are far more than a console is shown.
    fn put(&mut self, texts: [&str; 4]) -> Option<(u32, [u16; 4])> {
        let begin = self.fleet.base.len() + self.fleet.more.len();
        let begin = u32::try_from(begin).ok()?;
        let mut lengths = [0; 4];
        for (text, length) in texts.into_iter().zip(&mut lengths) {
            self.fleet.more.push_str(text);
            *length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        }
        Some((begin, lengths))
    }

    /// One more.
    pub(crate) fn add(&mut self, endpoint: &Endpoint) {
        let tags = endpoint.tags.join(" ");
        let texts = [
            &endpoint.id,
            &endpoint.hostname,
            &endpoint.address,
            tags.as_str(),
        ];
        let texts = texts.map(cut);
        let Some((begin, lengths)) = self.shared(texts).or_else(|| self.put(texts)) else {
            return;
        };
        let kind = self.kind(endpoint);
        self.fleet.rows.push(Row {
            last_seen_time_ms: endpoint.last_seen_time_ms,
            lost: endpoint
                .health
                .as_ref()
                .map_or(0, |health| health.dropped_events),
            begin,
            lengths,
            kind,
            skew: endpoint
                .clock_skew
                .as_ref()
                .map_or((1, 0), |skew| (narrow(skew.min_ms), narrow(skew.max_ms))),
            state: endpoint.state(),
        });
    }

    fn kind(&mut self, endpoint: &Endpoint) -> u32 {
        let kind = Kind {
            os: cut(&endpoint.os).to_owned(),
            os_version: cut(&endpoint.os_version).to_owned(),
            agent_version: cut(&endpoint.agent_version).to_owned(),
            time_zone: cut(&endpoint.time_zone).to_owned(),
        };
        if let Some(number) = self.kinds.get(&kind) {
            return *number;
        }
        let number = u32::try_from(self.fleet.kinds.len()).unwrap_or(u32::MAX);
        self.fleet.kinds.push(kind.clone());
        self.kinds.insert(kind, number);
        number
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.fleet.rows.len()
    }

    /// All of them, in order.
    pub(crate) fn finish(self) -> Fleet {
        let mut fleet = self.fleet;
        // Not before: what is shared is looked up in it.
        drop(self.before);
        fleet.unite();
        let mut rows = std::mem::take(&mut fleet.rows);
        let key = |row: &Row| (rank(row.state), fleet.text(row, 1), fleet.text(row, 0));
        rows.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        rows.shrink_to_fit();
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let mut by_id: Vec<u32> = (0..count).collect();
        let id = |place: &u32| rows.get(*place as usize).map(|row| fleet.text(row, 0));
        by_id.sort_unstable_by(|a, b| id(a).cmp(&id(b)));
        fleet.by_id = by_id;
        fleet.rows = rows;
        fleet
    }
}

impl Fleet {
    /// Of endpoints that are there.
    pub(crate) fn of(endpoints: &[Endpoint]) -> Self {
        let mut maker = FleetMaker::default();
        endpoints.iter().for_each(|endpoint| maker.add(endpoint));
        maker.finish()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Ids and hostnames, in order, from this place on.
    pub(crate) fn names(&self, from: usize) -> impl Iterator<Item = (&str, &str)> {
        let names = |row| (self.text(row, 0), self.text(row, 1));
        self.rows.get(from..).unwrap_or_default().iter().map(names)
    }

    /// How many are in this state.
    pub(crate) fn count(&self, state: EndpointState) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }

    /// The one at this place of the order.
    pub(crate) fn get(&self, place: usize) -> Option<EndpointLine<'_>> {
        let row = self.rows.get(place)?;
        let kind = self.kinds.get(row.kind as usize)?;
        let (min, max) = row.skew;
        Some(EndpointLine {
            id: self.text(row, 0),
            hostname: self.text(row, 1),
            address: self.text(row, 2),
            tags: self.text(row, 3),
            os: &kind.os,
            os_version: &kind.os_version,
            agent_version: &kind.agent_version,
            time_zone: &kind.time_zone,
            state: row.state,
            last_seen_time_ms: row.last_seen_time_ms,
            clock_skew: (min <= max).then(|| ClockSkew {
                min_ms: min.into(),
                max_ms: max.into(),
                measured_time_ms: 0,
            }),
            lost: row.lost,
        })
    }

    /// The place of the one with this id.
    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        let id_of = |place: u32| {
            let row = self.rows.get(place as usize);
            row.map_or("", |row| self.text(row, 0))
        };
        let found = self.by_id.binary_search_by(|place| id_of(*place).cmp(id));
        let place = self.by_id.get(found.ok()?)?;
        Some(*place as usize)
    }

    /// Puts all texts into one where much has changed, and drops those that nobody has any more.
    fn unite(&mut self) {
        const CHANGED_PART: usize = 4;
        if self.more.len() < self.base.len() / CHANGED_PART {
            self.more.shrink_to_fit();
            return;
        }
        if !self.base.is_empty() {
            let mut all = String::with_capacity(self.base.len() + self.more.len());
            let mut begins = Vec::with_capacity(self.rows.len());
            for row in &self.rows {
                // No longer than they were together.
                begins.push(u32::try_from(all.len()).unwrap_or(u32::MAX));
                (0..row.lengths.len()).for_each(|which| all.push_str(self.text(row, which)));
            }
            for (row, begin) in self.rows.iter_mut().zip(begins) {
                row.begin = begin;
            }
            self.more = all;
        }
        self.more.shrink_to_fit();
        self.base = Arc::new(std::mem::take(&mut self.more));
    }

    fn text(&self, row: &Row, which: usize) -> &str {
        let before: usize = row
            .lengths
            .iter()
            .take(which)
            .map(|one| usize::from(*one))
            .sum();
        let begin = row.begin as usize + before;
        let length = row.lengths.get(which).map_or(0, |one| usize::from(*one));
        let texts = match begin.checked_sub(self.base.len()) {
            // Its first text, the id, is never empty: one that begins here is not in `base`.
            Some(begin) => self.more.get(begin..begin + length),
            None => self.base.get(begin..begin + length),
        };
        texts.unwrap_or_default()
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX))
        .unwrap_or_default()
}

fn narrow(ms: i64) -> i32 {
    i32::try_from(ms).unwrap_or(if ms < 0 { i32::MIN } else { i32::MAX })
}

fn rank(state: EndpointState) -> u8 {
    match state {
        EndpointState::Conflict => 0,
        EndpointState::Online => 1,
        EndpointState::Offline | EndpointState::Unspecified => 2,
        EndpointState::Revoked => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str, hostname: &str, state: EndpointState) -> Endpoint {
        Endpoint {
            id: id.into(),
            hostname: hostname.into(),
            state: state.into(),
            os: "linux".into(),
            tags: vec!["a".into(), "ü".into()],
            clock_skew: id.starts_with('b').then_some(ClockSkew {
                min_ms: -3,
                max_ms: i64::MAX,
                measured_time_ms: 9,
            }),
            ..Endpoint::default()
        }
    }

    #[test]
    fn what_was_put_in_comes_out_in_order() {
        let fleet = Fleet::of(&[
            endpoint("a", "zeta", EndpointState::Online),
            endpoint("b", "alpha", EndpointState::Online),
            endpoint("c", "omega", EndpointState::Conflict),
        ]);
        let ids: Vec<&str> = (0..9)
            .filter_map(|at| fleet.get(at))
            .map(|l| l.id)
            .collect();
        assert_eq!(ids, ["c", "b", "a"]);
        let line = fleet.get(1).unwrap();
        assert_eq!(
            (line.hostname, line.tags, line.os),
            ("alpha", "a ü", "linux")
        );
        let skew = line.clock_skew.unwrap();
        assert_eq!((skew.min_ms, skew.max_ms), (-3, i32::MAX.into()));
        assert_eq!(fleet.get(2).unwrap().clock_skew, None);
        for (id, place) in [("a", Some(2)), ("b", Some(1)), ("c", Some(0)), ("d", None)] {
            assert_eq!(fleet.place(id), place);
        }
        assert_eq!(fleet.kinds.len(), 1);
    }

    #[test]
    fn what_has_not_changed_is_shared_and_what_has_is_not_mixed_up() {
        let all = |name: &dyn Fn(usize) -> String| -> Vec<Endpoint> {
            let one = |n| endpoint(&format!("id-{n:03}"), &name(n), EndpointState::Online);
            (0..100).map(one).collect()
        };
        let mut fleet = Arc::new(Fleet::of(&all(&|n| format!("host-{n}"))));
        for (round, changed, shares) in [
            (1, 0..0, true),
            (2, 3..5, true),
            (3, 0..60, false),
            (4, 60..61, false),
        ] {
            let name = |n| match changed.contains(&n) {
                true => format!("renamed-{round}-{n}"),
                false => format!("host-{n}"),
            };
            let endpoints = all(&name);
            let before = Arc::clone(&fleet);
            let mut maker = FleetMaker::after(Some(Arc::clone(&before)));
            endpoints.iter().for_each(|endpoint| maker.add(endpoint));
            fleet = Arc::new(maker.finish());
            assert_eq!(fleet.len(), 100);
            for endpoint in &endpoints {
                let line = fleet.get(fleet.place(&endpoint.id).unwrap()).unwrap();
                assert_eq!((line.hostname, line.tags), (&*endpoint.hostname, "a ü"));
            }
            let is_shared = Arc::ptr_eq(&before.base, &fleet.base);
            assert_eq!(is_shared, shares, "round {round}");
            assert!(fleet.more.len() <= fleet.base.len() / 4);
        }
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let fleet = Fleet::of(&[endpoint("a", &"ü".repeat(9999), EndpointState::Online)]);
        let line = fleet.get(0).unwrap();
        assert_eq!((line.hostname.len(), line.tags), (TEXT_BYTES_MAX, "a ü"));
    }
}
