//! How an endpoint's sensors were, from what the agent says of itself.
//!
//! A sensor is as its last health event says, until the next one or the end of the run: the agent says so whenever that
//! changes.

use tocsin_correlate::TimeSpan;
use tocsin_correlate::fact::{Sensor, SensorSpan, SensorState};
use tocsin_proto::telemetry::v1 as wire;

use super::Window;
use super::read::{Runs, Seen};

/// What a network sensor says that lacks nothing but names. Flows without a name are told all the same, and each of
/// them forbids to say that a sign-in came from elsewhere; so no flow is missing.
const WITHOUT_NAMES: &str = "names only";

/// Sensors by how they begin to call themselves.
const SENSORS: [(&str, Sensor); 3] = [
    ("network/", Sensor::Network),
    ("session/", Sensor::Session),
    ("process/", Sensor::Process),
];

/// The spans of health events that are in order. `knows_sessions`: a session manager has told of sessions; without one
/// nobody knows of locked screens, although the sensor runs.
pub(super) fn sensors(
    health: &[Seen<wire::Health>],
    runs: &Runs,
    window: Window,
    knows_sessions: bool,
) -> Vec<SensorSpan> {
    let mut spans = Vec::new();
    for (index, seen) in health.iter().enumerate() {
        let later = health.get(index + 1..).unwrap_or_default();
        let next = later.iter().find(|other| other.run == seen.run);
        let until_ms = next.map_or_else(|| runs.end_ms(seen.run), |next| Some(next.time_ms));
        let Some(span) = window.clip(TimeSpan {
            from_ms: seen.time_ms,
            until_ms: until_ms.unwrap_or(seen.time_ms),
        }) else {
            continue;
        };
        for (prefix, sensor) in SENSORS {
            let of = seen.body.sensors.iter();
            let states = of
                .filter(|one| one.name.starts_with(prefix))
                .map(|one| state(one, sensor));
            // Several of one kind stand in for each other.
            let Some((mut state, mut detail)) = states.min_by_key(|(state, _)| *state) else {
                continue;
            };
            if sensor == Sensor::Session && state == SensorState::Running && !knows_sessions {
                state = SensorState::Degraded;
                "no session manager has told of a session".clone_into(&mut detail);
            }
            spans.push(SensorSpan {
                span,
                sensor,
                state,
                detail,
            });
        }
    }
    spans
}

fn state(health: &wire::SensorHealth, sensor: Sensor) -> (SensorState, String) {
    let detail = health.detail.clone();
    let is_running = wire::SensorState::try_from(health.state) == Ok(wire::SensorState::Running);
    if !is_running {
        return (SensorState::Down, detail);
    }
    let is_whole = match sensor {
        // It says what it reads, not what it lacks.
        Sensor::Session => true,
        _ => detail
            .split("; ")
            .all(|part| part.is_empty() || part.starts_with(WITHOUT_NAMES)),
    };
    let state = if is_whole {
        SensorState::Running
    } else {
        SensorState::Degraded
    };
    (state, detail)
}

/// Whether any network sensor was ever told of.
pub(super) fn sends_flows(health: &[Seen<wire::Health>]) -> bool {
    health.iter().any(|seen| {
        let mut sensors = seen.body.sensors.iter();
        sensors.any(|sensor| sensor.name.starts_with("network/"))
    })
}
