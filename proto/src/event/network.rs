//! Checks of flows.

use super::{Check, EventError};
use crate::limits::{FLOW_NAMES_MAX, PATH_BYTES_MAX, TEXT_BYTES_MAX};
use crate::telemetry::v1 as wire;

impl Check {
    pub(super) fn network(&self, flow: &wire::Network) -> Result<(), EventError> {
        let activity = wire::NetworkActivity::try_from(flow.activity);
        self.range(
            activity.is_ok_and(|activity| activity != wire::NetworkActivity::Unspecified),
            "network.activity",
        )?;
        self.range(
            wire::FlowDirection::try_from(flow.direction).is_ok(),
            "network.direction",
        )?;
        let sides = [
            (
                &flow.local_address,
                flow.local_port,
                "network.local_address",
            ),
            (
                &flow.remote_address,
                flow.remote_port,
                "network.remote_address",
            ),
        ];
        for (address, port, field) in sides {
            self.range(matches!(address.len(), 4 | 16), field)?;
            self.range(port <= u32::from(u16::MAX), field)?;
        }
        self.owner(flow.owner.as_ref())?;
        self.user(flow.user.as_ref(), "network.user.uid", "network.user.name")?;
        self.size(flow.names.len(), FLOW_NAMES_MAX, "network.names")?;
        for name in &flow.names {
            self.size(name.name.len(), TEXT_BYTES_MAX, "network.names.name")?;
            self.range(
                wire::NameSource::try_from(name.source).is_ok(),
                "network.names.source",
            )?;
        }
        self.flow_times(flow)
    }

    fn owner(&self, owner: Option<&wire::FlowOwner>) -> Result<(), EventError> {
        let Some(owner) = owner else {
            return Ok(());
        };
        self.range(owner.pid != 0, "network.owner.pid")?;
        self.size(
            owner.executable.len(),
            PATH_BYTES_MAX * 3,
            "network.owner.executable",
        )?;
        self.user(
            owner.user.as_ref(),
            "network.owner.user.uid",
            "network.owner.user.name",
        )
    }

    fn flow_times(&self, flow: &wire::Network) -> Result<(), EventError> {
        let opened_from_ms = flow.opened_from_time_ms.unwrap_or(0);
        self.range(
            opened_from_ms >= 0 && opened_from_ms <= flow.opened_until_time_ms,
            "network.opened_until_time_ms",
        )?;
        let closed_from_ms = flow.closed_from_time_ms.unwrap_or(0);
        self.range(
            closed_from_ms >= 0
                && flow
                    .closed_until_time_ms
                    .is_none_or(|until_ms| closed_from_ms <= until_ms),
            "network.closed_until_time_ms",
        )?;
        let Some(repeats) = &flow.repeats else {
            return Ok(());
        };
        self.range(
            repeats.first_time_ms >= 0
                && repeats.first_time_ms <= repeats.last_time_ms
                && repeats.closed <= repeats.count,
            "network.repeats",
        )
    }
}
