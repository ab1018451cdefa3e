//! Events that match, the newest first, as far as one has looked: a page is asked for when one comes near
//! its end. What is followed is put in where its time is, since endpoints may send late.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use prost::Message as _;
use tocsin_proto::console::v1::{EventRow, SearchEventsRequest};

use super::cursor::Cursor;
use super::filter::EventFilter;
use super::loaded::Loaded;
use crate::keymap::Cmd;

/// Events that are kept, some 10 MiB. Whoever has looked through so many narrows the search.
pub(crate) const ROWS_MAX: usize = 50_000;

/// Rows of a page.
const PAGE_ROWS: u64 = 1000;

/// So many rows before the last that is known the next page is asked for.
const AHEAD_ROWS: usize = 200;

/// How far back one looks for what has come late.
const LATE_MS: i64 = 120_000;

/// New events that are taken at once; more are asked for the next time.
const NEWER_ROWS: u64 = 2000;

/// Events as they are kept: encoded, those of a page behind each other, they take a fifth of the memory, and only what is
/// on the screen is looked at. Made where they come in, message by message, so that no page is there in full twice.
#[derive(Debug, Default)]
pub(crate) struct Page {
    encoded: Vec<u8>,
    /// Their times, and where each ends.
    ends: Vec<(i64, u32)>,
}

impl Page {
    /// One more; none where the page is as large as an answer never is.
    pub(crate) fn push(&mut self, row: &EventRow) {
        // A Vec has room for whatever is encoded.
        let _fits = row.encode(&mut self.encoded);
        if let Ok(end) = u32::try_from(self.encoded.len()) {
            self.ends.push((row.event_time_ms, end));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All of them, decoded.
    pub(crate) fn events(&self) -> Vec<EventRow> {
        let mut begin = 0;
        let rows = self.ends.iter().map(|(_, end)| {
            let encoded = self
                .encoded
                .get(std::mem::replace(&mut begin, *end as usize)..*end as usize);
            // It was encoded here.
            EventRow::decode(encoded.unwrap_or_default()).unwrap_or_default()
        });
        rows.collect()
    }

    fn rows(mut self) -> impl Iterator<Item = Kept> {
        self.encoded.shrink_to_fit();
        let encoded = Arc::new(self.encoded);
        let mut begin = 0;
        self.ends.into_iter().map(move |(event_time_ms, end)| Kept {
            event_time_ms,
            page: Arc::clone(&encoded),
            begin: std::mem::replace(&mut begin, end),
            end,
        })
    }
}

impl FromIterator<EventRow> for Page {
    fn from_iter<I: IntoIterator<Item = EventRow>>(rows: I) -> Self {
        let mut page = Self::default();
        rows.into_iter().for_each(|row| page.push(&row));
        page
    }
}

/// One of them.
#[derive(Debug)]
struct Kept {
    event_time_ms: i64,
    page: Arc<Vec<u8>>,
    begin: u32,
    end: u32,
}

impl Kept {
    fn row(&self) -> EventRow {
        let encoded = self.page.get(self.begin as usize..self.end as usize);
        // It was encoded here.
        EventRow::decode(encoded.unwrap_or_default()).unwrap_or_default()
    }
}

/// The events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    filter: EventFilter,
    rows: VecDeque<Kept>,
    /// The question that goes on backwards.
    pub(crate) older: Loaded<()>,
    /// The question for what is new.
    pub(crate) newer: Loaded<()>,
    has_all: bool,
    follows: bool,
    cursor: Cursor,
}

impl Events {
    /// Others are wanted.
    pub(crate) fn set_filter(&mut self, filter: EventFilter) {
        *self = Self {
            filter,
            follows: self.follows,
            ..Self::default()
        };
    }

    /// What is wanted.
    pub(crate) fn filter(&self) -> &EventFilter {
        &self.filter
    }

    /// Begins anew.
    pub(crate) fn forget(&mut self) {
        self.set_filter(self.filter.clone());
    }

    /// The question for the next page; none where nothing is to be asked.
    pub(crate) fn next_page(&self, now_ms: i64) -> Option<SearchEventsRequest> {
        let is_near = self.cursor.at().saturating_add(AHEAD_ROWS) >= self.rows.len();
        if self.has_all || self.is_full() || self.older.is_loading() || !is_near {
            return None;
        }
        let mut request = self.filter.request(now_ms);
        request.limit = PAGE_ROWS;
        if let Some(last) = self.rows.back() {
            request.until_time_ms = last.event_time_ms;
            // Those of the same millisecond come again.
            request.limit += self.known_at(last.event_time_ms).count() as u64;
        }
        Some(request)
    }

    /// The question for what is new; none before anything is known.
    pub(crate) fn news(&self, now_ms: i64) -> Option<SearchEventsRequest> {
        if self.newer.is_loading() || self.older.value().is_none() {
            return None;
        }
        let mut request = self.filter.request(now_ms);
        if request.until_time_ms != 0 && request.until_time_ms < now_ms {
            return None;
        }
        let newest = self.rows.front().map_or(0, |row| row.event_time_ms);
        request.since_time_ms = request.since_time_ms.max(newest.saturating_sub(LATE_MS));
        request.limit = NEWER_ROWS;
        Some(request)
    }

    fn known_at(&self, time_ms: i64) -> impl Iterator<Item = &Kept> {
        let rows = self.rows.iter().rev();
        rows.take_while(move |row| row.event_time_ms == time_ms)
    }

    /// A page.
    pub(crate) fn put_older(&mut self, answer: Result<Page, String>, now_ms: i64) {
        let page = match answer {
            Ok(page) => page,
            Err(problem) => return self.older.set(Err(problem), now_ms),
        };
        self.older.set(Ok(()), now_ms);
        let last = self.rows.back().map(|row| row.event_time_ms);
        let known = last.map(|time_ms| self.known_at(time_ms).map(|row| row.row().id));
        let known: HashSet<_> = known.into_iter().flatten().collect();
        let wanted = PAGE_ROWS.saturating_add(known.len() as u64);
        self.has_all = (page.len() as u64) < wanted;
        let is_known = |row: &Kept| {
            // Only those of the last known millisecond can be.
            last == Some(row.event_time_ms) && known.contains(&row.row().id)
        };
        let new = page.rows().filter(|row| !is_known(row));
        let room = ROWS_MAX.saturating_sub(self.rows.len());
        self.rows.extend(new.take(room));
    }

    /// What is new. The selection stays on its event, or at the top where it is there.
    pub(crate) fn put_newer(&mut self, answer: Result<Page, String>, now_ms: i64) {
        let page = match answer {
            Ok(page) => page,
            Err(problem) => return self.newer.set(Err(problem), now_ms),
        };
        self.newer.set(Ok(()), now_ms);
        let Some(first_ms) = page.ends.iter().map(|(time_ms, _)| *time_ms).min() else {
            return;
        };
        let is_recent = |row: &Kept| row.event_time_ms >= first_ms;
        let recent = self.rows.iter().take_while(|row| is_recent(row)).count();
        let with_id = |row: Kept| (row.row().id, row);
        let mut all: Vec<_> = self.rows.drain(..recent).map(with_id).collect();
        let known: HashSet<_> = all.iter().map(|(id, _)| id.clone()).collect();
        let new: Vec<_> = page
            .rows()
            .map(with_id)
            .filter(|(id, _)| !known.contains(id))
            // A page of its own: what was told again is not to be held by it.
            .map(|(_, row)| row.row())
            .collect();
        let more = new.len();
        let new: Page = new.into_iter().collect();
        all.extend(new.rows().map(with_id));
        all.sort_by(|(a_id, a), (b_id, b)| (b.event_time_ms, b_id).cmp(&(a.event_time_ms, a_id)));
        for (_, row) in all.into_iter().rev() {
            self.rows.push_front(row);
        }
        self.rows.truncate(ROWS_MAX);
        if self.cursor.at() > 0 {
            self.cursor = Cursor::new(self.cursor.at().saturating_add(more));
            self.cursor.keep(self.rows.len());
        }
    }

    /// Does what the command says; whether it was one of the list's.
    pub(crate) fn command(&mut self, cmd: Cmd, page: usize) -> bool {
        if cmd == Cmd::Tail {
            self.follows = !self.follows;
            self.cursor = Cursor::default();
            return true;
        }
        self.cursor.go(cmd, self.rows.len(), page)
    }

    /// Selects a row.
    pub(crate) fn select(&mut self, at: usize) {
        self.cursor = Cursor::new(at);
        self.cursor.keep(self.rows.len());
    }

    /// Whether what comes is followed.
    pub(crate) fn follows(&self) -> bool {
        self.follows
    }

    /// Whether no more are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX
    }

    /// Whether there is nothing older.
    pub(crate) fn has_all(&self) -> bool {
        self.has_all
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        self.cursor.at()
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A row.
    pub(crate) fn row(&self, at: usize) -> Option<EventRow> {
        self.rows.get(at).map(Kept::row)
    }

    /// The event that is selected.
    pub(crate) fn selected(&self) -> Option<EventRow> {
        self.row(self.cursor.at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: i64, time_ms: i64) -> EventRow {
        EventRow {
            id: format!("e.{n:07}"),
            event_time_ms: time_ms,
            ..EventRow::default()
        }
    }

    fn page(rows: &[EventRow]) -> Page {
        rows.iter().cloned().collect()
    }

    fn is_in_order(events: &Events) -> bool {
        let rows: Vec<_> = (0..events.len()).filter_map(|at| events.row(at)).collect();
        rows.windows(2)
            .all(|two| two[0].event_time_ms >= two[1].event_time_ms && two[0].id != two[1].id)
    }

    /// Answers as a server with these events would.
    fn answer(all: &[EventRow], request: &SearchEventsRequest) -> Page {
        let until = match request.until_time_ms {
            0 => i64::MAX,
            until => until,
        };
        let mut rows: Vec<_> = all
            .iter()
            .filter(|row| (request.since_time_ms..=until).contains(&row.event_time_ms))
            .cloned()
            .collect();
        rows.sort_by(|a, b| (b.event_time_ms, &b.id).cmp(&(a.event_time_ms, &a.id)));
        rows.truncate(usize::try_from(request.limit).unwrap());
        rows.into_iter().collect()
    }

    #[test]
    fn pages_lead_to_every_event_once_also_where_many_share_a_time() {
        let all: Vec<_> = (0..7000).map(|n| event(n, 1 + n / 1500)).collect();
        let mut events = Events::default();
        for _ in 0..20 {
            let Some(request) = events.next_page(9_999) else {
                break;
            };
            events.put_older(Ok(answer(&all, &request)), 2);
            events.command(Cmd::Bottom, 1);
        }
        assert_eq!(events.len(), 7000);
        assert!(events.has_all() && is_in_order(&events));
    }

    #[test]
    fn no_page_is_asked_for_before_one_comes_near_it() {
        let all: Vec<_> = (0..3000).map(|n| event(n, n + 1)).collect();
        let mut events = Events::default();
        let first = events.next_page(9_999).unwrap();
        events.put_older(Ok(answer(&all, &first)), 2);
        assert_eq!(events.next_page(9_999), None);
        events.command(Cmd::Bottom, 1);
        assert!(events.next_page(9_999).is_some());
    }

    #[test]
    fn what_comes_late_is_put_where_it_belongs_and_the_selection_stays() {
        let mut events = Events::default();
        events.put_older(Ok(page(&[event(3, 300), event(1, 100)])), 1);
        events.command(Cmd::Bottom, 1);
        let request = events.news(400).unwrap();
        assert_eq!(request.since_time_ms, 0);
        events.put_newer(Ok(page(&[event(4, 400), event(3, 300), event(2, 200)])), 2);
        assert_eq!(events.len(), 4);
        assert!(is_in_order(&events));
        assert_eq!(events.selected().unwrap().id, "e.0000001");
    }

    #[test]
    fn a_stretch_that_has_ended_has_nothing_new() {
        let mut events = Events::default();
        let filter = EventFilter::parse("until:2026-11-24").unwrap();
        events.set_filter(filter);
        events.put_older(Ok(Page::default()), 1);
        assert_eq!(events.news(i64::MAX / 2), None);
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let all: Vec<_> = (0..60_000).map(|n| event(n, n + 1)).collect();
        let mut events = Events::default();
        let mut pages = 0;
        while let Some(request) = events.next_page(99_999) {
            let until = usize::try_from(request.until_time_ms).unwrap();
            let until = if until == 0 { all.len() } else { until };
            let from = until.saturating_sub(usize::try_from(request.limit).unwrap());
            events.put_older(Ok(all[from..until].iter().rev().cloned().collect()), 2);
            events.command(Cmd::Bottom, 1);
            pages += 1;
            assert!(pages < 100);
        }
        assert_eq!(events.len(), ROWS_MAX);
        assert!(events.is_full() && !events.has_all());
    }
}
