//! The commands, a file each group. They ask the client and hand what comes back to the output.

pub(crate) mod audit;
pub(crate) mod endpoints;
mod endpoints_devices;
mod event_words;
pub(crate) mod events;
mod export;
pub(crate) mod feeds;
pub(crate) mod feeds_live;
pub(crate) mod habits;
pub(crate) mod identities;
mod identities_import;
pub(crate) mod identities_unmapped;
mod incident_page;
pub(crate) mod incidents;
pub(crate) mod releases;
pub(crate) mod rollouts;
pub(crate) mod status;
pub(crate) mod terminal;
mod upload;
mod watch;
mod watch_list;

use jiff::Timestamp;
use tocsin_proto::json::Word;

use crate::client::{Client, Listing, Pages};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Row};

/// What every command works with.
pub(crate) struct Session {
    /// The server.
    pub(crate) client: Client,
    /// Standard output.
    pub(crate) out: Output,
    /// When the command began.
    pub(crate) now: Timestamp,
}

impl Session {
    /// Writes a whole list, page after page.
    ///
    /// # Errors
    /// Where a page cannot be had or the output not be written.
    async fn list<L: Listing<Row: Row>>(&mut self, listing: L) -> Result<Exit, Failure> {
        let mut pages = Pages::new(&self.client, listing);
        let mut rows = self.out.rows();
        while let Some(page) = pages.next().await? {
            rows.write(&page)?;
        }
        rows.finish()?;
        Ok(Exit::Done)
    }
}

/// The word of an enum field as people read it; empty where there is none.
pub(crate) fn word<T: Word>(value: i32) -> String {
    T::try_from(value)
        .map(|value| value.word().replace('_', " "))
        .unwrap_or_default()
}

/// The value of an enum field; its default where this build does not know it.
pub(crate) fn value<T: TryFrom<i32> + Default>(value: i32) -> T {
    T::try_from(value).unwrap_or_default()
}

/// "1 event", "2 events".
pub(crate) fn count(n: u64, singular: &str) -> String {
    match n {
        1 => format!("1 {singular}"),
        _ => format!("{n} {singular}s"),
    }
}

/// The first characters of an id, by which people name it.
pub(crate) fn short(id: &str) -> &str {
    id.split_at_checked(8).map_or(id, |(short, _rest)| short)
}

/// Bytes as people read them.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.iter().find(|(_, size)| n >= *size);
    unit.map_or_else(
        || format!("{n} B"),
        |(name, size)| format!("{}.{} {name}", n / size, n % size * 10 / size),
    )
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::IncidentState;

    use super::*;

    #[test]
    fn words_numbers_and_ids_as_people_read_them() {
        assert_eq!(word::<IncidentState>(2), "in progress");
        assert_eq!(word::<IncidentState>(99), "");
        assert_eq!(count(1, "event"), "1 event");
        assert_eq!(count(0, "event"), "0 events");
        assert_eq!(short("12345678-9abc"), "12345678");
        assert_eq!(short("é1234567x"), "é1234567x".split_at(8).0);
        assert_eq!(short("1234567é"), "1234567é");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
    }
}
