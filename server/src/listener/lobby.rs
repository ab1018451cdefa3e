//! Where connections are until their handshake is done: few of each origin, so that one cannot keep others out.
//!
//! Whoever is accepted takes a place, and loses it when its handshake is done, failed or given up. Where an origin
//! has no place left, the one of its connections that has been silent longest goes; where nobody has one left, one
//! of the origin that has most goes. Nobody waits outside, in the kernel's queue, where all origins are one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::origin::Origin;

/// Places. A place costs a file descriptor and some KiB.
const PLACES_MAX: usize = 4096;

/// Places of one origin: as many machines behind one address may come at the same moment.
const ORIGIN_PLACES_MAX: usize = 256;

/// Handshakes of one origin at once; its others wait in their places.
const ORIGIN_HANDSHAKES_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lobby(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    origins: HashMap<Origin, Guests>,
    places: usize,
}

#[derive(Debug)]
struct Guests {
    handshakes: Arc<Semaphore>,
    /// By number of the connection, so the oldest comes first.
    places: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    spoke: bool,
    leave: CancellationToken,
}

impl Lobby {
    /// A place for the connection `number`, which is greater than all before; `None` where the origin has too many.
    pub(super) fn enter(self: &Arc<Self>, origin: Origin, number: u64) -> Option<Place> {
        let mut state = self.state();
        let held = state
            .origins
            .get(&origin)
            .map_or(0, |guests| guests.places.len());
        if held >= ORIGIN_PLACES_MAX {
            let silent = state.origins.get(&origin)?.oldest_silent()?;
            state.remove(origin, silent);
        } else if state.places >= PLACES_MAX {
            let (greediest, oldest) = state.greediest(held)?;
            state.remove(greediest, oldest);
        }
        let leave = CancellationToken::new();
        let guests = state.origins.entry(origin).or_insert_with(|| Guests {
            handshakes: Arc::new(Semaphore::new(ORIGIN_HANDSHAKES_MAX)),
            places: BTreeMap::new(),
        });
        let handshakes = guests.handshakes.clone();
        let guest = Guest {
            spoke: false,
            leave: leave.clone(),
        };
        guests.places.insert(number, guest);
        state.places += 1;
        Some(Place {
            lobby: self.clone(),
            origin,
            number,
            handshakes,
            leave,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest place of the origin that holds most, where that is more than `held`.
    fn greediest(&self, held: usize) -> Option<(Origin, u64)> {
        let (origin, guests) = self
            .origins
            .iter()
            .max_by_key(|(_, guests)| guests.places.len())?;
        let (oldest, _) = guests.places.first_key_value()?;
        (guests.places.len() > held).then_some((*origin, *oldest))
    }

    /// Takes a place back, and tells its holder, if it still has it.
    fn remove(&mut self, origin: Origin, number: u64) {
        let Some(guests) = self.origins.get_mut(&origin) else {
            return;
        };
        if let Some(guest) = guests.places.remove(&number) {
            guest.leave.cancel();
            self.places -= 1;
        }
        if guests.places.is_empty() {
            self.origins.remove(&origin);
        }
    }
}

impl Guests {
    fn oldest_silent(&self) -> Option<u64> {
        let silent = self.places.iter().find(|(_, guest)| !guest.spoke);
        silent.map(|(number, _)| *number)
    }
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    lobby: Arc<Lobby>,
    origin: Origin,
    number: u64,
    /// The handshakes that the origin may have at once.
    pub(super) handshakes: Arc<Semaphore>,
    /// Cancelled where the place went to another.
    pub(super) leave: CancellationToken,
}

impl Place {
    /// Its holder has said something.
    pub(super) fn spoke(&self) {
        let mut state = self.lobby.state();
        let guests = state.origins.get_mut(&self.origin);
        if let Some(guest) = guests.and_then(|guests| guests.places.get_mut(&self.number)) {
            guest.spoke = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.state().remove(self.origin, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u32) -> Origin {
        Origin::of(std::net::Ipv4Addr::from(0xC633_6400 + number).into())
    }

    #[test]
    fn the_longest_silent_makes_room_for_the_next_of_its_origin() {
        let lobby = Arc::new(Lobby::default());
        let enter = |number: usize| lobby.enter(origin(1), number as u64);
        let places: Vec<_> = (0..ORIGIN_PLACES_MAX).map(|n| enter(n).unwrap()).collect();
        places[0].spoke();
        let next = enter(ORIGIN_PLACES_MAX).unwrap();
        assert!(places[1].leave.is_cancelled());
        assert!(!places[0].leave.is_cancelled() && !places[2].leave.is_cancelled());
        assert!(!next.leave.is_cancelled());
        places.iter().chain([&next]).for_each(Place::spoke);
        assert!(enter(1000).is_none(), "whoever speaks is not sent away");
        drop(places);
        assert!(enter(1001).is_some());
    }

    #[test]
    fn whoever_has_most_makes_room_for_another_origin() {
        let lobby = Arc::new(Lobby::default());
        let mut number = 0;
        let mut enter = |from| {
            number += 1;
            lobby.enter(origin(from), number)
        };
        let fair = PLACES_MAX / ORIGIN_PLACES_MAX - 1;
        let mut places = Vec::new();
        for from in 0..u32::try_from(fair).unwrap() {
            places.extend((0..ORIGIN_PLACES_MAX).map(|_| enter(from).unwrap()));
        }
        places.extend(
            (1000_u32..)
                .take(ORIGIN_PLACES_MAX)
                .map(|n| enter(n).unwrap()),
        );
        assert_eq!(places.len(), PLACES_MAX);
        places.iter().for_each(Place::spoke);
        let late = enter(9999).unwrap();
        let gone = places.iter().filter(|place| place.leave.is_cancelled());
        assert_eq!(gone.count(), 1);
        assert!(
            places[fair * ORIGIN_PLACES_MAX..]
                .iter()
                .all(|place| !place.leave.is_cancelled())
        );
        drop((places, late));
        let state = lobby.state();
        assert!(state.origins.is_empty() && state.places == 0);
    }
}
