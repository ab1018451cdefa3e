//! What is stored, by sequence: nothing double, nothing missing that no gap names.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::text;

/// Last sequence of each run of one endpoint, after checking every sequence below it.
pub(crate) fn check(rows: &[Value]) -> Result<BTreeMap<String, u64>> {
    let mut ids = BTreeSet::new();
    let mut runs: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for row in rows {
        ensure!(ids.insert(text(row, "id")?), "double: {row}");
        let sequence = number(row, "sequence")?;
        let run = runs.entry(text(row, "run")?.to_owned()).or_default();
        ensure!(run.insert(sequence), "double sequence: {row}");
    }
    for row in rows.iter().filter(|row| row["kind"] == "gap") {
        let gap = &row["gap"];
        let run = match text(gap, "run")? {
            "" => text(row, "run")?,
            run => run,
        };
        let (first, last) = (
            number(gap, "first_sequence")?,
            number(gap, "last_sequence")?,
        );
        if first > 0 {
            let named = runs.entry(run.to_owned()).or_default();
            named.extend(first..=last);
        }
    }
    let mut ends = BTreeMap::new();
    for (run, sequences) in runs {
        let last = sequences.last().copied().unwrap_or_default();
        let missing: Vec<u64> = (1..=last)
            .filter(|sequence| !sequences.contains(sequence))
            .collect();
        ensure!(
            missing.is_empty(),
            "run {run} up to {last} misses {missing:?}"
        );
        ends.insert(run, last);
    }
    Ok(ends)
}

fn number(row: &Value, field: &str) -> Result<u64> {
    let number = row[field].as_u64();
    number.with_context(|| format!("a number in {field} of {row}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(sequence: u64) -> Value {
        json!({ "id": format!("e.r.{sequence}"), "run": "r", "sequence": sequence, "kind": "process" })
    }

    #[test]
    fn what_is_double_or_missing_is_found() {
        assert_eq!(check(&[row(2), row(1)]).unwrap()["r"], 2);
        assert!(check(&[row(1), row(1)]).is_err());
        assert!(
            check(&[row(1), row(3)])
                .unwrap_err()
                .to_string()
                .contains("[2]")
        );
    }

    #[test]
    fn what_a_gap_names_is_not_missing() {
        let mut gap = row(5);
        gap["kind"] = json!("gap");
        gap["gap"] = json!({ "run": "", "first_sequence": 2, "last_sequence": 4 });
        assert_eq!(check(&[row(1), gap]).unwrap()["r"], 5);
    }
}
