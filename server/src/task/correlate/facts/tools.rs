//! Means of remote control, by the catalogue as it is now.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_correlate::fact::{ControlKind, FACT_EVENTS_MAX, RemoteControl};
use tocsin_correlate::remote_tool::{Marked, ToolKind};
use tocsin_correlate::{Confidence, TimeSpan};
use tocsin_proto::id::{BootId, EventId};
use tocsin_proto::telemetry::v1 as wire;

use super::Window;
use super::read::{Runs, Seen, Traces};
use crate::trace::{Tracer, is_listener};

/// One thing on the machine: a process, a flow, a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Process(BootId, u32, u64),
    Socket(BootId, u64),
}

/// A tool as one thing shows it.
struct Finding {
    tool: String,
    name: String,
    kind: ControlKind,
    confidence: Confidence,
    is_managed: bool,
    span: TimeSpan,
    is_over: bool,
    run: tocsin_proto::id::RunId,
    event_ids: Vec<EventId>,
}

/// Findings that touch the window. A tool that only weak marks show is not told: a file's name is no tool.
pub(super) fn tools(
    traces: &Traces,
    tracer: &Tracer,
    runs: &Runs,
    window: Window,
) -> Vec<RemoteControl> {
    let mut found: BTreeMap<(Thing, String), Finding> = BTreeMap::new();
    for seen in &traces.processes {
        let process = &seen.body;
        if let Some(marked) = tracer.tool_of_process(process) {
            let thing = Thing::Process(seen.boot, process.pid, process.start_ticks);
            let is_over = process.activity == i32::from(wire::ProcessActivity::Exit);
            let finding = found
                .entry((thing, marked.tool.to_owned()))
                .or_insert_with(|| finding(tracer, &marked, seen, ControlKind::Process));
            finding.see(&marked, (seen.time_ms, seen.id), is_over);
        }
    }
    for seen in &traces.networks {
        let network = &seen.body;
        let (marked, kind) = if is_listener(network) {
            (tracer.tool_of_listener(network), ControlKind::Listener)
        } else {
            (tracer.tool_of_flow(network), ControlKind::Flow)
        };
        if let Some(marked) = marked {
            use wire::NetworkActivity as Activity;
            let thing = Thing::Socket(seen.boot, network.flow_id);
            let is_over = matches!(
                Activity::try_from(network.activity),
                Ok(Activity::Closed | Activity::ListenClosed | Activity::Repeated)
            );
            let finding = found
                .entry((thing, marked.tool.to_owned()))
                .or_insert_with(|| finding(tracer, &marked, seen, kind));
            finding.see(&marked, (seen.time_ms, seen.id), is_over);
        }
    }
    told(found.into_values().collect(), runs, window)
}

fn finding<T>(tracer: &Tracer, marked: &Marked<'_>, seen: &Seen<T>, shown: ControlKind) -> Finding {
    Finding {
        tool: marked.tool.to_owned(),
        name: marked.name.to_owned(),
        kind: match marked.kind {
            ToolKind::RemoteSupport => shown,
            ToolKind::Tunnel => ControlKind::Tunnel,
            ToolKind::Socks => ControlKind::Socks,
            ToolKind::Automation => ControlKind::Automation,
        },
        confidence: marked.confidence,
        is_managed: tracer.is_managed(marked),
        span: TimeSpan {
            from_ms: seen.time_ms,
            until_ms: seen.time_ms,
        },
        is_over: false,
        run: seen.run,
        event_ids: Vec::new(),
    }
}

impl Finding {
    fn see(&mut self, marked: &Marked<'_>, (time_ms, id): (i64, EventId), is_over: bool) {
        self.confidence = self.confidence.max(marked.confidence);
        self.span.until_ms = self.span.until_ms.max(time_ms);
        self.is_over |= is_over;
        if self.event_ids.len() < FACT_EVENTS_MAX {
            self.event_ids.push(id);
        }
    }
}

fn told(mut found: Vec<Finding>, runs: &Runs, window: Window) -> Vec<RemoteControl> {
    let sure: BTreeSet<String> = found
        .iter()
        .filter(|one| one.confidence > Confidence::Weak)
        .map(|one| one.tool.clone())
        .collect();
    found.retain(|one| sure.contains(&one.tool));
    let mut first_ms: BTreeMap<String, i64> = BTreeMap::new();
    for one in &found {
        let first = first_ms.entry(one.tool.clone()).or_insert(i64::MAX);
        *first = (*first).min(one.span.from_ms);
    }
    let tell = |mut one: Finding| {
        if !one.is_over {
            // It runs on as far as anything is known of its boot.
            let end_ms = runs.last_of_boot_ms(one.run).unwrap_or(one.span.until_ms);
            one.span.until_ms = one.span.until_ms.max(end_ms);
        }
        Some(RemoteControl {
            span: window.clip(one.span)?,
            kind: one.kind,
            first_seen_ms: first_ms.get(&one.tool).copied(),
            tool: one.name,
            is_managed: one.is_managed,
            event_ids: one.event_ids,
        })
    };
    found.into_iter().filter_map(tell).collect()
}
