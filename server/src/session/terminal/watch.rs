//! Somebody who watches a terminal: the last of it, then live; one that is slow misses some, and learns how much.

use std::sync::Arc;

use tocsin_proto::console::v1 as wire;
use tokio::sync::broadcast;

use super::{Shown, Terminal};

/// Somebody who watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// The terminal when watching began.
    pub(crate) row: wire::Terminal,
    /// What was printed last.
    pub(crate) backlog: Vec<u8>,
    pub(super) seen: u64,
    pub(super) news: broadcast::Receiver<Shown>,
    pub(super) terminal: Arc<Terminal>,
}

/// What a watcher is to see next.
#[derive(Debug)]
pub(crate) enum Seen {
    /// So many bytes were missed, then this.
    Output(u64, Arc<[u8]>),
    /// Another size.
    Size(wire::TerminalSize),
    /// The end.
    Ended(Box<wire::Terminal>),
}

impl Watcher {
    /// The next thing; `None` after the end.
    pub(crate) async fn next(&mut self) -> Seen {
        loop {
            let shown = tokio::select! {
                biased;
                shown = self.news.recv() => shown,
                () = self.terminal.ended.cancelled() => {
                    return Seen::Ended(Box::new(self.terminal.row()));
                }
            };
            match shown {
                Ok(Shown::Output(before, bytes)) => {
                    let missed = before.saturating_sub(self.seen);
                    self.seen = before + bytes.len() as u64;
                    return Seen::Output(missed, bytes);
                }
                Ok(Shown::Size(size)) => return Seen::Size(size),
                // The next piece tells how much it was.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => {
                    return Seen::Ended(Box::new(self.terminal.row()));
                }
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.terminal.state();
        state.row.watchers = state.row.watchers.saturating_sub(1);
    }
}
