//! Checks of logins and sessions. What is unknown may be absent; what is there is within its limits.

use super::{Check, EventError};
use crate::limits::{ARGV_BYTES_MAX, REASON_BYTES_MAX, TEXT_BYTES_MAX};
use crate::telemetry::v1 as wire;

/// Bytes of a login's id.
const LOGIN_ID_BYTES: usize = 16;

impl Check {
    pub(super) fn login(&self, login: &wire::Login) -> Result<(), EventError> {
        use wire::{LoginActivity, LoginMethod, LoginSource};
        let activity = LoginActivity::try_from(login.activity);
        self.range(
            activity.is_ok_and(|activity| activity != LoginActivity::Unspecified),
            "login.activity",
        )?;
        self.range(login.login_id.len() == LOGIN_ID_BYTES, "login.login_id")?;
        self.range(LoginMethod::try_from(login.method).is_ok(), "login.method")?;
        self.texts(&[
            (&login.service, "login.service"),
            (&login.method_name, "login.method_name"),
            (&login.key_fingerprint, "login.key_fingerprint"),
        ])?;
        self.user(login.user.as_ref(), "login.user.uid", "login.user.name")?;
        self.user(login.actor.as_ref(), "login.actor.uid", "login.actor.name")?;
        self.peer(login.peer.as_ref())?;
        self.terminal(login.terminal_state, &login.terminal)?;
        // Three bytes for one: U+FFFD stands for each byte that was no UTF-8.
        self.size(login.command.len(), ARGV_BYTES_MAX * 3, "login.command")?;
        self.size(login.reason.len(), REASON_BYTES_MAX, "login.reason")?;
        let known = |source: &i32| LoginSource::try_from(*source).is_ok();
        self.size(login.sources.len(), 3, "login.sources")?;
        self.range(login.sources.iter().all(known), "login.sources")
    }

    pub(super) fn session(&self, session: &wire::Session) -> Result<(), EventError> {
        use wire::SessionActivity as Activity;
        let activity = Activity::try_from(session.activity).unwrap_or(Activity::Unspecified);
        self.range(activity != Activity::Unspecified, "session.activity")?;
        let of_machine = matches!(
            activity,
            Activity::Booted | Activity::ShutDown | Activity::Suspended | Activity::Resumed
        );
        self.range(
            of_machine == session.session_id.is_empty(),
            "session.session_id",
        )?;
        self.range(
            matches!(session.login_id.len(), 0 | LOGIN_ID_BYTES),
            "session.login_id",
        )?;
        self.texts(&[
            (&session.session_id, "session.session_id"),
            (&session.service, "session.service"),
            (&session.kind, "session.kind"),
            (&session.class, "session.class"),
            (&session.seat, "session.seat"),
        ])?;
        self.user(
            session.user.as_ref(),
            "session.user.uid",
            "session.user.name",
        )?;
        self.peer(session.peer.as_ref())?;
        self.terminal(session.terminal_state, &session.terminal)?;
        let times = [session.since_time_ms, session.until_time_ms];
        self.range(
            times.into_iter().flatten().all(|time_ms| time_ms >= 0),
            "session.since_time_ms",
        )
    }

    fn texts(&self, texts: &[(&String, &'static str)]) -> Result<(), EventError> {
        texts
            .iter()
            .try_for_each(|(text, field)| self.size(text.len(), TEXT_BYTES_MAX, field))
    }

    fn terminal(&self, state: i32, name: &str) -> Result<(), EventError> {
        let known = wire::TerminalState::try_from(state).is_ok();
        self.range(known, "terminal_state")?;
        self.size(name.len(), TEXT_BYTES_MAX, "terminal")
    }

    fn peer(&self, peer: Option<&wire::Peer>) -> Result<(), EventError> {
        let Some(peer) = peer else {
            return Ok(());
        };
        self.range(matches!(peer.address.len(), 0 | 4 | 16), "peer.address")?;
        self.range(peer.port <= u32::from(u16::MAX), "peer.port")?;
        self.size(peer.host.len(), TEXT_BYTES_MAX, "peer.host")
    }
}
