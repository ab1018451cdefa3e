//! What pointing does: the first click selects, the second on the same row opens.

use super::popup::Popup;
use super::{Place, State};
use crate::action::Action;
use crate::event::Target;
use crate::keymap::Cmd;

/// Rows of a step of the wheel.
const WHEEL_ROWS: usize = 3;

impl State {
    /// Somebody has pointed at this.
    pub(super) fn click(&mut self, target: Target) -> Vec<Action> {
        self.notice = None;
        match (target, &mut self.popup) {
            (Target::Choice(at), Some(popup)) => {
                popup.select(at);
                self.accept()
            }
            (_, Some(_)) => self.popup_command(Cmd::Cancel),
            (Target::Screen(place), None) => self.go(place),
            (Target::Row(at), None) => match self.selected() == Some(at) {
                true => self.command_here(Cmd::Open),
                false => {
                    self.select(at);
                    Vec::new()
                }
            },
            (Target::Choice(_) | Target::Elsewhere, None) => Vec::new(),
        }
    }

    /// Somebody has turned the wheel.
    pub(super) fn wheel(&mut self, is_down: bool) -> Vec<Action> {
        let cmd = if is_down { Cmd::Down } else { Cmd::Up };
        let mut actions = Vec::new();
        for _ in 0..WHEEL_ROWS {
            actions.extend(match &mut self.popup {
                Some(Popup::Typing(_)) => Vec::new(),
                Some(popup) => {
                    popup.go(cmd);
                    return actions;
                }
                None => self.command_here(cmd),
            });
        }
        actions
    }

    /// The row that is selected on the screen.
    fn selected(&self) -> Option<usize> {
        Some(match self.place() {
            Place::Overview => self.worst.at(),
            Place::Incidents => self.incidents.at(),
            Place::Incident(_) => self.incident.at(),
            Place::Endpoints => self.endpoints.at(),
            Place::Endpoint(_) => self.endpoint.at(),
            Place::Identities if self.is_unmapped => self.unmapped.at(),
            Place::Identities => self.identities.at(),
            Place::Events => self.events.at(),
            Place::Feeds => self.feeds.at(),
            Place::Audit => self.audit.rows.at(),
            Place::Terminals => self.terminals.at(),
            Place::Identity(_) | Place::Help => return None,
        })
    }

    fn select(&mut self, at: usize) {
        match self.way.here() {
            Place::Overview => self.worst = super::Cursor::new(at),
            Place::Incidents => self.incidents.select(at),
            Place::Incident(_) => self.incident.select(at),
            Place::Endpoints => self.endpoints.select(at),
            Place::Endpoint(_) => self.endpoint.select(at),
            Place::Identities if self.is_unmapped => self.unmapped.select(at),
            Place::Identities => self.identities.select(at),
            Place::Events => self.events.select(at),
            Place::Feeds => self.feeds.select(at),
            Place::Audit => self.audit.rows.select(at),
            Place::Terminals => self.terminals.select(at),
            Place::Identity(_) | Place::Help => {}
        }
    }
}
