//! Flows: who speaks with whom over TCP, since when, until when, and under which name.
//!
//! | platform | source |
//! |---|---|
//! | Linux | `ebpf`: each connection as it changes, with its process, inside the kernel; `sock_diag`: scans of the sockets, and the kernel's word when one is destroyed |
//! | others | none yet: `GetExtendedTcpTable` and ETW (Windows), `libproc` (macOS) |
//!
//! Sees the network namespace that the agent is in. By scans, a flow that begins and ends between two of them is known
//! only by its end: its addresses and times are sure, its process is not. UDP, and with it QUIC, is not seen.

mod counts;
mod diag;
pub(crate) mod flow;
mod fold;
mod hosts;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
mod names;
mod resolved;
mod table;

use flow::Flow;

use super::{LossReason, Observation, Output, Sensor};
use crate::config::FlowSource;

/// The sensors of flows of this machine, best first, from the configured one on.
pub(crate) fn chain(source: FlowSource) -> Vec<Box<dyn Sensor>> {
    let mut chain: Vec<Box<dyn Sensor>> = Vec::new();
    #[cfg(target_os = "linux")]
    {
        if source == FlowSource::Ebpf {
            chain.push(Box::new(linux::ebpf::KernelFlows));
        }
        chain.push(Box::new(linux::Flows));
    }
    // Elsewhere there are none.
    let _unused = (source, &mut chain);
    chain
}

impl NetworkSink for Output {
    fn running(&self, detail: String) {
        Self::running(self, detail);
    }

    fn observed(&self, flows: Vec<Flow>) {
        self.send(
            flows
                .into_iter()
                .map(|flow| Observation::Flow(Box::new(flow))),
        );
    }

    fn pace(&self) {
        Self::pace(self);
    }

    fn lost(&self, lost: Option<u64>, from_ms: i64, until_ms: i64) {
        Self::lost(self, LossReason::Overflow, lost, from_ms, until_ms);
    }
}

/// Where the sensor puts what it saw.
pub(crate) trait NetworkSink {
    /// The source is open; `detail` names what is missing.
    fn running(&self, detail: String);
    /// Hands over what was seen, in order. Never blocks.
    fn observed(&self, flows: Vec<Flow>);
    /// Waits a moment where much is to be handed over that can wait.
    fn pace(&self) {}
    /// Flows were lost between these times, Unix milliseconds.
    fn lost(&self, lost: Option<u64>, from_ms: i64, until_ms: i64);
}
