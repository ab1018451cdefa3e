//! Folds repeats: many connections of one process to one place within a minute become one flow and one count. Pure.
//!
//! The first connection of a window is told as it is, its end too. The others are counted; those that are still open
//! when the window ends tell their end one by one. Nothing is dropped: a full table folds no more, it tells.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::flow::{Direction, Repeats};

/// How long a window is.
const WINDOW_MS: i64 = 60_000;

/// Windows at a time.
const WINDOWS_MAX: usize = 16 << 10;

/// Room for so many windows is never given back.
const ROOM_KEPT: usize = 256;

/// What makes two connections repeats of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FoldKey {
    /// Process and its start; `None` where it is unknown.
    pub(super) owner: Option<(u32, u64)>,
    pub(super) uid: Option<u32>,
    pub(super) direction: Direction,
    pub(super) peer: IpAddr,
    /// The port of the side that was asked.
    pub(super) port: u16,
}

/// Which window a connection was counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowId(i64);

#[derive(Debug)]
struct Window<T> {
    began_ms: i64,
    repeats: Repeats,
    /// The first repeat, which stands for all.
    example: Option<Box<T>>,
}

/// The windows; `T` is what is kept of the repeat that stands for the others.
#[derive(Debug)]
pub(super) struct Folds<T> {
    windows: HashMap<FoldKey, Window<T>>,
    order: VecDeque<FoldKey>,
}

impl<T> Default for Folds<T> {
    fn default() -> Self {
        Self {
            windows: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Folds<T> {
    /// Notes a new connection; `None` where it is to be told, else the window in which it is counted.
    pub(super) fn open(
        &mut self,
        key: FoldKey,
        now_ms: i64,
        example: impl FnOnce() -> T,
    ) -> Option<WindowId> {
        if let Some(window) = self.windows.get_mut(&key) {
            if window.repeats.count == 0 {
                window.repeats.first_ms = now_ms;
                window.example = Some(Box::new(example()));
            }
            window.repeats.count = window.repeats.count.saturating_add(1);
            window.repeats.last_ms = now_ms;
            return Some(WindowId(window.began_ms));
        }
        if self.windows.len() < WINDOWS_MAX {
            self.order.push_back(key);
            self.windows.insert(
                key,
                Window {
                    began_ms: now_ms,
                    repeats: Repeats::default(),
                    example: None,
                },
            );
        }
        None
    }

    /// Notes the end of a connection that was counted; false where its window is over and it is to be told.
    pub(super) fn close(&mut self, key: FoldKey, counted_in: WindowId) -> bool {
        match self.windows.get_mut(&key) {
            Some(window) if WindowId(window.began_ms) == counted_in => {
                window.repeats.closed = window.repeats.closed.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    /// The windows that are over and in which something was counted.
    pub(super) fn due(&mut self, now_ms: i64) -> Vec<(T, Repeats)> {
        let mut due = Vec::new();
        while let Some(key) = self.order.front() {
            let over = self.windows.get(key).is_none_or(|window| {
                now_ms - window.began_ms >= WINDOW_MS || now_ms < window.began_ms
            });
            if !over {
                break;
            }
            if let Some(key) = self.order.pop_front()
                && let Some(window) = self.windows.remove(&key)
                && let Some(example) = window.example
            {
                due.push((*example, window.repeats));
            }
        }
        self.give_back_room();
        due
    }

    /// After a storm the windows are few again.
    fn give_back_room(&mut self) {
        let few = self.windows.len() < self.windows.capacity() / 8;
        if few && self.windows.capacity() > ROOM_KEPT {
            self.windows.shrink_to(ROOM_KEPT);
            self.order.shrink_to(ROOM_KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> FoldKey {
        FoldKey {
            owner: Some((7, 1)),
            uid: None,
            direction: Direction::Outbound,
            peer: IpAddr::from([10, 0, 0, 1]),
            port,
        }
    }

    #[test]
    fn the_first_is_told_and_the_others_are_counted() {
        let mut folds = Folds::default();
        assert_eq!(folds.open(key(443), 0, || 0), None);
        let second = folds.open(key(443), 10, || 1).unwrap();
        let third = folds.open(key(443), 20, || 2).unwrap();
        assert_eq!(folds.open(key(80), 20, || 3), None);
        assert!(folds.close(key(443), second));
        assert!(folds.due(WINDOW_MS - 1).is_empty());
        let due = folds.due(WINDOW_MS);
        let repeats = Repeats {
            count: 2,
            closed: 1,
            first_ms: 10,
            last_ms: 20,
        };
        assert_eq!(due, [(1, repeats)]);
        // Its window is over: its end is told.
        assert!(!folds.close(key(443), third));
        assert_eq!(folds.open(key(443), WINDOW_MS + 1, || 4), None);
    }

    #[test]
    fn a_full_table_tells_everything() {
        let mut folds = Folds::default();
        for port in 0..=u16::MAX {
            assert_eq!(folds.open(key(port), 0, || ()), None);
        }
        assert_eq!(folds.open(key(u16::MAX), 0, || ()), None);
        assert_eq!(folds.windows.len(), WINDOWS_MAX);
        assert!(folds.due(WINDOW_MS).is_empty());
        assert!(folds.windows.capacity() < WINDOWS_MAX / 8);
    }
}
