//! `--watch` on commands that list: the list, then each row again whenever it has changed, until Ctrl-C.
//!
//! The server is asked again every [`EVERY`], or more seldom where asking takes long, so that watching a large fleet costs
//! it little. A lost connection is told and opened again with growing pauses. A row whose only news is that time has gone
//! by (when an endpoint was last seen, say) is not told again; a row that is gone is told on standard error. JSON is one
//! object a line, whether `json` or `jsonl` is asked for: a list that does not end has no closing bracket.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use tocsin_proto::console::v1::{
    AuditRow, Endpoint, Feed, Identity, IncidentSummary, Release, Rollout, Terminal, Unmapped,
};

use super::Session;
use super::watch::{PAUSE, tell};
use crate::client::{Client, ClientError, Listing, Pages};
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows};

/// How often the server is asked again.
const EVERY: Duration = Duration::from_secs(2);

/// The pause is at least so many times as long as asking took.
const PAUSE_FACTOR: u32 = 9;

/// Rows that are remembered. Beyond this they are shown again.
const SHOWN_MAX: usize = 200_000;

/// Whether a list is watched.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Watch {
    /// Then go on: show each row again whenever it changes, until Ctrl-C. JSON is one object a line.
    #[arg(long = "watch")]
    pub(crate) is_on: bool,
}

/// A row that can be watched.
pub(crate) trait Watched: Row + std::fmt::Debug + Clone {
    /// Whether it is gone when it is not told any more.
    const GOES: bool = true;

    /// What tells it from others.
    fn id(&self) -> &str;

    /// It without what changes by itself.
    fn settled(&self) -> Self {
        self.clone()
    }
}

impl Watched for IncidentSummary {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Watched for Endpoint {
    fn id(&self) -> &str {
        &self.id
    }

    fn settled(&self) -> Self {
        Self {
            last_seen_time_ms: 0,
            health: None,
            clock_skew: None,
            ..self.clone()
        }
    }
}

impl Watched for Feed {
    fn id(&self) -> &str {
        &self.id
    }

    fn settled(&self) -> Self {
        Self {
            behind_ms: 0,
            last_success_time_ms: 0,
            next_try_time_ms: 0,
            pages: 0,
            ..self.clone()
        }
    }
}

impl Watched for Identity {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Watched for Unmapped {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Watched for AuditRow {
    // Only the end of the log is read again.
    const GOES: bool = false;

    fn id(&self) -> &str {
        &self.id
    }
}

impl Watched for Release {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Watched for Rollout {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Watched for Terminal {
    fn id(&self) -> &str {
        &self.id
    }

    fn settled(&self) -> Self {
        Self {
            input_bytes: 0,
            output_bytes: 0,
            ..self.clone()
        }
    }
}

impl Session {
    /// Writes a whole list, page after page; watched, goes on with what changes in it.
    ///
    /// # Errors
    /// Where a page cannot be had or the output not be written.
    pub(super) async fn list_or_watch<L>(self, listing: L, watch: Watch) -> Result<Exit, Failure>
    where
        L: Listing<Row: Watched> + Clone,
    {
        let mut session = self;
        if !watch.is_on {
            return session.list(listing).await;
        }
        let ask = async |client: &Client| {
            let mut pages = Pages::new(client, listing.clone());
            let mut rows = Vec::new();
            while let Some(page) = pages.next().await? {
                rows.extend(page);
            }
            Ok(rows)
        };
        session.watch(ask).await
    }

    /// Writes what `ask` gets, and goes on with what changes in it until Ctrl-C.
    ///
    /// # Errors
    /// Where it cannot be had for good or the output not be written.
    pub(super) async fn watch<R: Watched>(
        &mut self,
        ask: impl AsyncFnMut(&Client) -> Result<Vec<R>, ClientError>,
    ) -> Result<Exit, Failure> {
        let client = self.client.clone();
        self.out.as_lines();
        let mut rows = self.out.rows().live();
        let follow = follow(&client, ask, &mut rows);
        let result = tokio::select! {
            result = follow => result,
            _ctrl_c = tokio::signal::ctrl_c() => Ok(()),
        };
        result?;
        rows.finish()?;
        Ok(Exit::Done)
    }
}

async fn follow<R: Watched>(
    client: &Client,
    mut ask: impl AsyncFnMut(&Client) -> Result<Vec<R>, ClientError>,
    rows: &mut Rows<'_, R>,
) -> Result<(), Failure> {
    let (mut pause, mut seen) = (PAUSE.0, Seen::default());
    loop {
        let begun = Instant::now();
        let now = match ask(client).await {
            Ok(now) => now,
            Err(error) if error.is_passing() => {
                tell(Some(&error), pause);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        pause = PAUSE.0;
        let (news, gone) = seen.news(now);
        rows.write(&news)?;
        rows.flush()?;
        for id in gone.into_iter().filter(|_| R::GOES) {
            crate::say(&format!("tocsin: gone: {}\n", crate::text::line(&id)));
        }
        tokio::time::sleep(EVERY.max(begun.elapsed() * PAUSE_FACTOR)).await;
    }
}

/// What was shown, by a hash of what it says, and in which round it was seen last.
#[derive(Default)]
struct Seen {
    rows: HashMap<String, (u64, u64)>,
    round: u64,
    state: RandomState,
}

impl Seen {
    /// The rows that are new or have changed, and the ids of those that are gone.
    fn news<R: Watched>(&mut self, now: Vec<R>) -> (Vec<R>, Vec<String>) {
        self.round += 1;
        let mut news = Vec::new();
        for row in now {
            if self.rows.len() >= SHOWN_MAX && !self.rows.contains_key(row.id()) {
                self.rows.clear();
            }
            let hash = self.state.hash_one(format!("{:?}", row.settled()));
            let seen = (hash, self.round);
            let before = self.rows.insert(row.id().to_owned(), seen);
            if before.is_none_or(|(before, _)| before != hash) {
                news.push(row);
            }
        }
        let round = self.round;
        let gone = self.rows.extract_if(|_, (_, seen)| *seen != round);
        let mut gone: Vec<_> = gone.map(|(id, _)| id).collect();
        gone.sort_unstable();
        (news, gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str, hostname: &str, seen: i64) -> Endpoint {
        Endpoint {
            id: id.into(),
            hostname: hostname.into(),
            last_seen_time_ms: seen,
            ..Endpoint::default()
        }
    }

    #[test]
    fn only_what_is_new_has_changed_or_is_gone_is_told() {
        let mut seen = Seen::default();
        let ids = |rows: &[Endpoint]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
        let (news, gone) = seen.news(vec![endpoint("a", "x", 1), endpoint("b", "y", 1)]);
        assert_eq!((ids(&news), gone), (vec!["a".into(), "b".into()], vec![]));
        let (news, gone) = seen.news(vec![endpoint("a", "x", 2), endpoint("b", "z", 2)]);
        assert_eq!(
            (ids(&news), gone),
            (vec!["b".into()], vec![]),
            "time alone is no news"
        );
        let (news, gone) = seen.news(vec![endpoint("b", "z", 3)]);
        assert_eq!((ids(&news), gone), (vec![], vec!["a".to_owned()]));
        let (news, _) = seen.news(vec![endpoint("a", "x", 4), endpoint("b", "z", 4)]);
        assert_eq!(ids(&news), ["a"], "come back");
    }
}
