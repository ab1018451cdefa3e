//! Counting in windows, the ways in which rules do it.

use std::collections::BTreeMap;

use tocsin_correlate::MfaEvent;

use super::Alert;

/// Fires at each record with which so many lie within a sliding window.
pub(super) fn sliding(
    events: &[MfaEvent],
    count: usize,
    window_ms: i64,
    keep: impl Fn(&MfaEvent) -> bool,
) -> Vec<Alert> {
    let kept: Vec<&MfaEvent> = events.iter().filter(|event| keep(event)).collect();
    let mut alerts = Vec::new();
    let mut start = 0;
    for (end, event) in kept.iter().enumerate() {
        while event.time_ms - kept[start].time_ms > window_ms {
            start += 1;
        }
        if end + 1 - start >= count {
            alerts.push(alert(event.time_ms, kept[start..=end].iter().copied()));
        }
    }
    alerts
}

/// Puts records into buckets of fixed length and by a group, and fires for those that satisfy.
pub(super) fn tumbling<G: Ord>(
    events: &[MfaEvent],
    length_ms: i64,
    group: impl Fn(&MfaEvent) -> Option<G>,
    satisfies: impl Fn(&[&MfaEvent]) -> bool,
) -> Vec<Alert> {
    let mut buckets: BTreeMap<(i64, G), Vec<&MfaEvent>> = BTreeMap::new();
    for event in events {
        if let Some(group) = group(event) {
            let bucket = event.time_ms.div_euclid(length_ms);
            buckets.entry((bucket, group)).or_default().push(event);
        }
    }
    let mut alerts: Vec<Alert> = buckets
        .into_values()
        .filter_map(|bucket| {
            // It fires with the first record that satisfies it.
            let at = (1..=bucket.len()).find(|n| satisfies(&bucket[..*n]))?;
            Some(alert(bucket[at - 1].time_ms, bucket.iter().copied()))
        })
        .collect();
    alerts.sort_by_key(|alert| alert.time_ms);
    alerts
}

/// Fires with each record.
pub(super) fn single(events: &[MfaEvent], keep: impl Fn(&MfaEvent) -> bool) -> Vec<Alert> {
    sliding(events, 1, 0, keep)
}

pub(super) fn alert<'e>(time_ms: i64, events: impl Iterator<Item = &'e MfaEvent>) -> Alert {
    Alert {
        time_ms,
        events: events.map(|event| event.id).collect(),
    }
}
