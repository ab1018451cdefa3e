//! What a server may make this agent do: one match over every command. Before each the machine's own policy
//! ([`crate::config`]) is asked, whatever the server has decided. Nothing here speaks to the server; the uplink
//! brings commands and carries away what comes of them.
//!
//! A command goes through the audit log before it leaves the server; here it is logged, and shown in the status, so
//! that who uses the machine can see it.

use std::sync::Arc;

use tocsin_proto::agent::v1::{OpenTerminal, StartUpdate};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::state::StateDirectory;

pub(crate) mod terminal;
pub(crate) mod update;

use terminal::{Link, Terminals};
use update::Updates;
use update::source::Source;

/// Everything that a server may ask for.
#[derive(Debug)]
pub(crate) enum Command {
    /// A terminal, over this link.
    OpenTerminal(OpenTerminal, Link),
    /// Another version, from this source.
    StartUpdate(StartUpdate, Arc<dyn Source>),
}

/// Carries out commands.
#[derive(Debug)]
pub(crate) struct Commands {
    /// Open terminals.
    pub(crate) terminals: Arc<Terminals>,
    /// Other versions of this agent.
    pub(crate) updates: Arc<Updates>,
}

impl Commands {
    /// By the machine's configuration. `guarded`: whether a guard would start another version.
    pub(crate) fn new(config: &Config, state: &StateDirectory, guarded: bool) -> Self {
        Self {
            terminals: Arc::new(Terminals::new(config.terminal.clone())),
            updates: Arc::new(Updates::new(state, config.update_enabled, guarded)),
        }
    }

    /// Carries a command out, to its end. `lost` is cancelled when nobody is there any more who asked for it; what
    /// was begun is then ended in order, so this must be run to its end and not dropped.
    pub(crate) async fn perform(&self, command: Command, lost: CancellationToken) {
        match command {
            Command::OpenTerminal(open, link) => self.terminals.open(open, link, lost).await,
            Command::StartUpdate(update, source) => tokio::select! {
                () = self.updates.start(&update, source) => {}
                // What came is kept; the server asks again.
                () = lost.cancelled() => self.updates.interrupted(&update.version),
            },
        }
    }

    /// Ends everything that still goes on: the agent ends.
    pub(crate) async fn end(&self) {
        self.terminals.end_all().await;
    }
}
