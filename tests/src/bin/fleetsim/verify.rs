//! Reads back what was sent, as an analyst, and counts by sequence.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use tocsin_proto::console::v1::SearchEventsRequest;
use tocsin_tests::rpc;

use crate::load::Sent;

/// What is stored of what was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stored {
    pub(crate) events: u64,
    pub(crate) lost: u64,
    pub(crate) double: u64,
}

/// One bit a sequence.
struct Seen {
    bits: Vec<u64>,
    last_sequence: u64,
}

impl Seen {
    /// Whether it was new.
    fn insert(&mut self, sequence: u64) -> bool {
        let (Ok(word), bit) = (usize::try_from(sequence / 64), 1_u64 << (sequence % 64)) else {
            return false;
        };
        match self.bits.get_mut(word) {
            Some(bits) if *bits & bit == 0 => {
                *bits |= bit;
                true
            }
            _ => false,
        }
    }

    fn missing(&self) -> u64 {
        let seen: u64 = self
            .bits
            .iter()
            .map(|bits| u64::from(bits.count_ones()))
            .sum();
        self.last_sequence.saturating_sub(seen)
    }
}

/// Reads every process event of the endpoints that sent.
pub(crate) async fn read_back(profile: &Path, sent: &[Sent]) -> Result<Stored> {
    let mut analyst = rpc::analyst(profile).await?;
    let mut endpoints: BTreeMap<&str, BTreeMap<&str, Seen>> = BTreeMap::new();
    for sent in sent {
        let words = usize::try_from(sent.last_sequence / 64 + 1)?;
        let seen = Seen {
            bits: vec![0; words],
            last_sequence: sent.last_sequence,
        };
        let runs = endpoints.entry(&sent.endpoint).or_default();
        runs.insert(&sent.run, seen);
    }
    let mut stored = Stored::default();
    for (endpoint, runs) in &mut endpoints {
        let request = SearchEventsRequest {
            endpoint: (*endpoint).to_owned(),
            kind: "process".to_owned(),
            ascending: true,
            ..Default::default()
        };
        let mut rows = analyst.search_events(request).await?.into_inner();
        while let Some(response) = rows.message().await.context("read events back")? {
            for row in response.events {
                stored.events += 1;
                let seen = runs.get_mut(row.run.as_str());
                if !seen.is_some_and(|seen| seen.insert(row.sequence)) {
                    stored.double += 1;
                }
            }
        }
    }
    let runs = endpoints.values().flat_map(BTreeMap::values);
    stored.lost = runs.map(Seen::missing).sum();
    Ok(stored)
}
