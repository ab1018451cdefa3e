//! Admission, conflicts, clock and presence.
