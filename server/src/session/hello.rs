//! What an agent says first, checked. It is shown to people and believed in nothing.

use tocsin_proto::agent::v1 as wire;
use tocsin_proto::capability;
use tocsin_proto::id::RunId;
use tocsin_proto::limits::{ADDRESSES_MAX, TEXT_BYTES_MAX};

use crate::store::trust::HelloFacts;

/// Why a hello is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    /// The agent is older than what this server speaks with.
    #[error("this agent's capability is {found}, the server needs at least {least}: update the agent", least = capability::OLDEST_AGENT)]
    Capability {
        /// What it says.
        found: u32,
    },
    /// A field is not what it must be.
    #[error("hello: {field} is missing or over its limit")]
    Field {
        /// Which.
        field: &'static str,
    },
}

/// A checked hello.
#[derive(Debug, Clone)]
pub(crate) struct CheckedHello {
    /// Which start of the agent.
    pub(crate) run: RunId,
    /// The last of its events that it has sent, where it says so.
    pub(crate) sent_sequence: Option<u64>,
    /// What it says about itself.
    pub(crate) facts: HelloFacts,
}

impl TryFrom<wire::Hello> for CheckedHello {
    type Error = HelloError;

    fn try_from(hello: wire::Hello) -> Result<Self, HelloError> {
        // First, so that an agent of another age learns what is the matter.
        if hello.capability < capability::OLDEST_AGENT {
            return Err(HelloError::Capability {
                found: hello.capability,
            });
        }
        let run = RunId::from_wire(&hello.run_id).ok_or(HelloError::Field { field: "run_id" })?;
        let machine = hello.machine.unwrap_or_default();
        let within = |holds: bool, field| {
            if holds {
                Ok(())
            } else {
                Err(HelloError::Field { field })
            }
        };
        within(hello.boot_id.len() == 16, "boot_id")?;
        within(hello.start_time_ms >= 0, "start_time_ms")?;
        for (text, field) in [
            (&hello.agent_version, "agent_version"),
            (&machine.hostname, "machine.hostname"),
            (&machine.os, "machine.os"),
            (&machine.os_version, "machine.os_version"),
            (&machine.kernel_version, "machine.kernel_version"),
            (&machine.architecture, "machine.architecture"),
            (&machine.time_zone, "machine.time_zone"),
        ] {
            within(text.len() <= TEXT_BYTES_MAX, field)?;
        }
        within(machine.boot_time_ms >= 0, "machine.boot_time_ms")?;
        let addresses = &machine.addresses;
        within(
            addresses.len() <= ADDRESSES_MAX
                && addresses.iter().all(|text| text.len() <= TEXT_BYTES_MAX),
            "machine.addresses",
        )?;
        Ok(Self {
            run,
            sent_sequence: hello.sent_sequence,
            facts: HelloFacts {
                machine,
                agent_version: hello.agent_version,
                capability: hello.capability,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> wire::Hello {
        wire::Hello {
            run_id: vec![1; 16],
            boot_id: vec![2; 16],
            capability: capability::CURRENT,
            ..Default::default()
        }
    }

    #[test]
    fn what_is_out_of_its_limits_is_named() {
        assert!(CheckedHello::try_from(hello()).is_ok());
        let check = |change: fn(&mut wire::Hello), expect: &str| {
            let mut hello = hello();
            change(&mut hello);
            let error = CheckedHello::try_from(hello).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(|h| h.run_id = vec![1; 15], "run_id");
        check(|h| h.boot_id.clear(), "boot_id");
        check(|h| h.agent_version = "v".repeat(257), "agent_version");
        check(
            |h| h.machine.get_or_insert_default().hostname = "h".repeat(257),
            "machine.hostname",
        );
        check(
            |h| h.machine.get_or_insert_default().addresses = vec![String::new(); 65],
            "machine.addresses",
        );
        check(|h| h.capability = 0, "update the agent");
    }
}
