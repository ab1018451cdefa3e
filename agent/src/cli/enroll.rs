//! `tocsin-agent enroll`.
//!
//! The token is used up by one success. A machine that is enrolled already is enrolled anew: it presents its former
//! certificate, which ends a conflict about it, and gets a new key and id. The former identity stays in use until the
//! new one is on disk. An agent that runs must be stopped first: its run would go on under another endpoint, which
//! has never seen how it began and would take that for lost.

use std::path::PathBuf;

use clap::Args;
use sha2::{Digest, Sha256};
use tocsin_proto::token::{EnrollmentToken, TOKEN_TEXT_BYTES_MAX};

use super::{CommandError, Exit, StateArgument, block_on, print};
use crate::address::ServerAddress;
use crate::clock;
use crate::file::{self, Access, Durability};
use crate::identity::Identity;
use crate::machine;
use crate::state::{LockError, StateDirectory};
use crate::status::Status;
use crate::uplink::enroll::enroll;

/// Bytes of an update root at most.
const UPDATE_ROOT_BYTES_MAX: u64 = 1 << 20;

/// What `enroll` is told.
#[derive(Debug, Args)]
pub(super) struct EnrollArguments {
    /// The server
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// The token, as 'tocsin-server token create' printed it; other users may see it while this runs
    #[arg(
        long,
        value_name = "TOKEN",
        required_unless_present = "token_file",
        conflicts_with = "token_file"
    )]
    token: Option<String>,
    /// A file with the token; '-' reads standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgument,
    /// The operator's root of update trust
    #[arg(long, value_name = "FILE")]
    update_root: Option<PathBuf>,
}

/// Enrolls.
pub(super) fn run(arguments: EnrollArguments) -> Result<Exit, CommandError> {
    let server: ServerAddress = arguments.server.parse()?;
    let token = read_token(&arguments)?;
    let update_root = match &arguments.update_root {
        None => None,
        Some(path) => Some(file::read(path, UPDATE_ROOT_BYTES_MAX)?),
    };
    check_update_root(&token, update_root.as_deref())?;
    let state = arguments.state.open();
    // Before the token is used up: whoever may not write the state must not get that far.
    state.create()?;
    let _no_agent_runs = state.lock().map_err(stop_first)?;
    let former = former(&state)?;
    let identity = block_on(enroll(&server, &token, former.as_ref()))??;
    if let Some(root) = update_root {
        let path = state.update_root();
        file::write(&path, &root, Access::Public, Durability::Synced)?;
    }
    identity.store(&state)?;
    note_in_status(&state, &identity)?;
    let formerly = former.map_or_else(String::new, |former| {
        format!(" (formerly {} at {})", former.endpoint(), former.server())
    });
    print(&format!(
        "enrolled as endpoint {} at {}{formerly}\n",
        identity.endpoint(),
        identity.server()
    ))?;
    Ok(Exit::Done)
}

/// An agent that runs is no reason to try again, but to end it.
fn stop_first(error: LockError) -> CommandError {
    match error {
        LockError::Held { .. } => CommandError::Failed(
            "the agent runs: stop it, enroll, and start it again ('systemctl stop tocsin-agent', or end 'tocsin-agent run')".into(),
        ),
        error @ LockError::Io { .. } => error.into(),
    }
}

fn read_token(arguments: &EnrollArguments) -> Result<EnrollmentToken, CommandError> {
    let bytes_max = TOKEN_TEXT_BYTES_MAX as u64;
    let text = match (&arguments.token, &arguments.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) if path.as_os_str() == "-" => {
            std::io::read_to_string(std::io::Read::take(std::io::stdin(), bytes_max))
                .map_err(|error| CommandError::Failed(format!("read standard input: {error}")))?
        }
        (None, Some(path)) => file::read_text(path, bytes_max)?,
        (None, None) => return Err(CommandError::Usage("give a token".into())),
    };
    Ok(text.parse()?)
}

fn check_update_root(token: &EnrollmentToken, root: Option<&[u8]>) -> Result<(), CommandError> {
    match (token.update_root, root) {
        (Some(expected), Some(root)) if expected != <[u8; 32]>::from(Sha256::digest(root)) => {
            Err(CommandError::Failed(
                "the update root is not the one this token was made with: take the file that was given to 'tocsin-server token create --update-root'".into(),
            ))
        }
        (Some(_), None) => Err(CommandError::Usage(
            "this token was made with an update root: give the same file with --update-root".into(),
        )),
        _ => Ok(()),
    }
}

/// Who the machine was until now, where that can be presented.
fn former(state: &StateDirectory) -> Result<Option<Identity>, CommandError> {
    match Identity::load(state) {
        Ok(identity) => Ok(Some(identity)),
        // Then the new one could not be stored either.
        Err(error) if error.is_permission() => Err(error.into()),
        // What cannot be used cannot be presented.
        Err(_) => Ok(None),
    }
}

/// So that `status` knows the endpoint before the agent's first run.
fn note_in_status(state: &StateDirectory, identity: &Identity) -> Result<(), CommandError> {
    let known = Status::load(state)?.unwrap_or_else(|| Status::never_run(machine::hostname()));
    let status = Status {
        endpoint: identity.endpoint().to_string(),
        server: identity.server().to_string(),
        certificate_expiry_time: identity.validity().until_ms,
        ..known
    };
    // A running agent writes its own again within seconds, and takes up the new identity when it connects.
    if !status.is_running(clock::now_ms()) {
        status.store(state)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(update_root: Option<[u8; 32]>) -> EnrollmentToken {
        EnrollmentToken {
            ca_pin: [1; 32],
            id: [2; 8],
            secret: [3; 24],
            update_root,
        }
    }

    #[test]
    fn an_update_root_must_be_the_tokens() {
        let root = b"root".as_slice();
        let hash = <[u8; 32]>::from(Sha256::digest(root));
        assert!(check_update_root(&token(Some(hash)), Some(root)).is_ok());
        assert!(check_update_root(&token(Some(hash)), Some(b"other")).is_err());
        assert!(check_update_root(&token(Some(hash)), None).is_err());
        assert!(check_update_root(&token(None), Some(root)).is_ok());
        assert!(check_update_root(&token(None), None).is_ok());
    }

    #[test]
    fn a_machine_that_is_enrolled_presents_itself() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        state.create().unwrap();
        assert!(former(&state).unwrap().is_none());
        let identity = crate::identity::tests::Ca::new().identity();
        identity.store(&state).unwrap();
        let presented = former(&state).unwrap().unwrap();
        assert_eq!(presented.endpoint(), identity.endpoint());
        std::fs::write(state.identity(), "damaged").unwrap();
        assert!(former(&state).unwrap().is_none());
    }

    #[test]
    fn the_endpoint_is_known_before_the_first_run_and_the_last_run_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        state.create().unwrap();
        let identity = crate::identity::tests::Ca::new().identity();
        note_in_status(&state, &identity).unwrap();
        let status = Status::load(&state).unwrap().unwrap();
        assert_eq!(status.endpoint, identity.endpoint().to_string());
        assert_eq!(status.former_run(), None);
        let ran = Status {
            run: "00000000-0000-4000-8000-000000000001".into(),
            updated_time: 5,
            ..status
        };
        ran.store(&state).unwrap();
        note_in_status(&state, &identity).unwrap();
        assert_eq!(Status::load(&state).unwrap().unwrap().updated_time, 5);
    }
}
