//! What an analyst may do.

use std::fmt;

/// A role; each may all that the ones before it may. What that is, stands in `rpc/auth.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Role {
    /// Reads.
    Viewer,
    /// Works on incidents.
    Analyst,
    /// Acts on endpoints.
    Responder,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub(crate) const ALL: [Self; 4] = [Self::Viewer, Self::Analyst, Self::Responder, Self::Admin];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Responder => "responder",
            Self::Admin => "admin",
        }
    }

    /// The role with this word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
