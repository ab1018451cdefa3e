//! What one machine was one after the other: enrolled anew it is another endpoint, with another key.
//!
//! That it is the same machine is known where the enrollment showed the former key. Before that time the former
//! endpoint stands for it, after it the new one, so that neither is missed when the other is looked at. Both must be linked
//! to the person: the link follows by itself where nobody else has used the former key (`store`: enroll), and else an
//! analyst links the new one. What does not follow, and what was revoked, is named as a gap.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_correlate::{LinkedEndpoint, TelemetryGap, TimeSpan};
use tocsin_proto::id::EndpointId;

use crate::store::trust::EndpointRow;
use crate::store::{StateStore, StoreError};

/// An endpoint's time, and what is missing after it.
#[derive(Debug, Default)]
struct Stretch {
    from_ms: Option<i64>,
    until_ms: Option<i64>,
    /// Since when, and what.
    missing: Vec<(i64, String)>,
}

/// Of all endpoints of one person.
#[derive(Debug, Default)]
pub(super) struct Lineage(BTreeMap<EndpointId, Stretch>);

impl Lineage {
    /// Reads it.
    pub(super) async fn read(
        state: &dyn StateStore,
        linked: &BTreeSet<EndpointId>,
    ) -> Result<Self, StoreError> {
        let mut lineage = Self::default();
        for id in linked {
            let row = match state.endpoint(*id).await {
                Ok(row) => row,
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            for successor in state.successors(*id).await? {
                let successor = state.endpoint(successor).await?;
                lineage.add(&row, &successor, linked);
            }
            if row.revoked_time_ms != 0 {
                let missing = (row.revoked_time_ms, "all since it was revoked".to_owned());
                lineage.0.entry(*id).or_default().missing.push(missing);
            }
        }
        Ok(lineage)
    }

    fn add(&mut self, row: &EndpointRow, next: &EndpointRow, linked: &BTreeSet<EndpointId>) {
        // A copy of a machine is enrolled anew beside it: then both go on.
        if row.last_seen_time_ms > next.enrolled_time_ms {
            return;
        }
        let time_ms = next.enrolled_time_ms;
        if linked.contains(&next.id) {
            let until_ms = &mut self.0.entry(row.id).or_default().until_ms;
            *until_ms = Some(until_ms.map_or(time_ms, |until_ms| until_ms.max(time_ms)));
            self.0.entry(next.id).or_default().from_ms = Some(time_ms);
        } else {
            let what = format!(
                "all since it goes on as endpoint {}, to which this person is not linked",
                next.id
            );
            let missing = &mut self.0.entry(row.id).or_default().missing;
            missing.push((time_ms, what));
        }
    }

    /// Tells it with the endpoints of a person whose events lie before this time.
    pub(super) fn apply(&self, endpoints: &mut [LinkedEndpoint], until_ms: i64) {
        for endpoint in endpoints {
            let Some(stretch) = self.0.get(&endpoint.id) else {
                continue;
            };
            if stretch.from_ms.is_some() || stretch.until_ms.is_some() {
                endpoint.stands = Some(TimeSpan {
                    from_ms: stretch.from_ms.unwrap_or(i64::MIN),
                    until_ms: stretch.until_ms.unwrap_or(i64::MAX),
                });
            }
            // What follows it is not missing where it does follow.
            let missing = stretch.missing.iter().filter(|(from_ms, _)| {
                *from_ms <= until_ms && stretch.until_ms.is_none_or(|end_ms| end_ms > *from_ms)
            });
            endpoint
                .gaps
                .extend(missing.map(|(from_ms, what)| TelemetryGap {
                    span: TimeSpan {
                        from_ms: *from_ms,
                        until_ms,
                    },
                    what: what.clone(),
                }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::endpoint;
    use tocsin_correlate::fact::EndpointFacts;

    fn row(number: u8, (enrolled_time_ms, last_seen_time_ms): (i64, i64)) -> EndpointRow {
        EndpointRow {
            id: endpoint(number),
            machine: Default::default(),
            agent_version: String::new(),
            capability: 1,
            former: None,
            tags: Vec::new(),
            ring: String::new(),
            enrolled_time_ms,
            last_seen_time_ms,
            certificate_expiry_time_ms: 0,
            address: String::new(),
            run: None,
            revoked_time_ms: 0,
            conflicts: Vec::new(),
            clock_skew: None,
            health: None,
        }
    }

    fn applied(lineage: &Lineage, number: u8) -> LinkedEndpoint {
        let mut endpoints = [LinkedEndpoint {
            id: endpoint(number),
            hostname: "porto-17".into(),
            is_claimed: false,
            stands: None,
            sends_flows: false,
            reporting: Vec::new(),
            gaps: Vec::new(),
            facts: EndpointFacts::default(),
        }];
        lineage.apply(&mut endpoints, 1_000);
        let [endpoint] = endpoints;
        endpoint
    }

    #[test]
    fn each_stands_for_the_machine_in_its_time() {
        let linked = BTreeSet::from([endpoint(1), endpoint(2)]);
        let mut lineage = Lineage::default();
        lineage.add(&row(1, (10, 90)), &row(2, (100, 500)), &linked);
        let (old, new) = (applied(&lineage, 1), applied(&lineage, 2));
        assert_eq!(old.stands.unwrap().until_ms, 100);
        assert_eq!(new.stands.unwrap().from_ms, 100);
        assert!(old.gaps.is_empty() && new.gaps.is_empty());
        assert_eq!(applied(&lineage, 3).stands, None);
    }

    #[test]
    fn a_copy_beside_its_original_takes_nothing_from_it() {
        let linked = BTreeSet::from([endpoint(1), endpoint(2)]);
        let mut lineage = Lineage::default();
        lineage.add(&row(1, (10, 101)), &row(2, (100, 500)), &linked);
        assert_eq!(applied(&lineage, 1).stands, None);
    }

    #[test]
    fn what_does_not_follow_is_named() {
        let linked = BTreeSet::from([endpoint(1)]);
        let mut lineage = Lineage::default();
        lineage.add(&row(1, (10, 90)), &row(2, (100, 500)), &linked);
        let gaps = applied(&lineage, 1).gaps;
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].span.from_ms, gaps[0].span.until_ms), (100, 1_000));
        assert!(gaps[0].what.contains(&endpoint(2).to_string()), "{gaps:?}");
        let mut late = Lineage::default();
        late.add(&row(1, (10, 90)), &row(2, (1_001, 2_000)), &linked);
        assert!(
            applied(&late, 1).gaps.is_empty(),
            "the person has no events there"
        );
    }
}
