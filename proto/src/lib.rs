//! The contract between Tocsin's programs. Nothing else is shared by them.
//!
//! ```text
//! agent   -- Enroll (no certificate) ----------------> server     once
//! agent   -- Session: hello / welcome, heartbeats ---> server     while it runs
//! agent   -- UploadEvents: batches / acknowledgements  server     while its session is open
//! console -- ConsoleService: lists, streams, acts ---> server
//! ```
//!
//! Messages are in `tocsin/*/v1/*.proto`; the code made of them is committed and checked by
//! `tests/generated_is_current.rs`, so a build needs no protoc. What comes off the wire becomes a
//! checked value in [`event`], and only there. The package does no I/O and reads no clock.

pub mod batch;
pub mod capability;
pub mod event;
pub mod id;
pub mod json;
pub mod limits;
pub mod profile;
pub mod release;
pub mod tls;
pub mod token;

/// Generated: how endpoints enrol, report and upload.
pub mod agent {
    /// Version 1.
    #[expect(missing_docs, clippy::allow_attributes, reason = "generated code")]
    #[expect(clippy::large_enum_variant, reason = "one hello a session, moved once")]
    pub mod v1 {
        include!("generated/tocsin.agent.v1.rs");
    }
}

/// Generated: what consoles ask.
pub mod console {
    /// Version 1.
    #[expect(missing_docs, clippy::allow_attributes, reason = "generated code")]
    pub mod v1 {
        include!("generated/tocsin.console.v1.rs");
    }
}

/// Generated: what endpoints saw.
pub mod telemetry {
    /// Version 1.
    #[expect(missing_docs, reason = "generated code")]
    pub mod v1 {
        include!("generated/tocsin.telemetry.v1.rs");
    }
}
