//! What is printed: a table for people, JSON for programs.

use serde_json::{Value, json};
use tocsin_correlate::Severity;

use crate::month::Totals;
use crate::score::{Score, Share, to_f64};
use crate::world::MONTH_DAYS;

/// How our detector is called beside the rules.
const OWN: &str = "tocsin, medium and above";

fn per_week(score: &Score, totals: &Totals) -> f64 {
    let people_weeks = to_f64(totals.seeds * totals.people)
        * f64::from(i32::try_from(MONTH_DAYS / 7).unwrap_or(4));
    to_f64(score.wrong) / people_weeks * 500.0
}

fn share(share: Share) -> String {
    if share.all == 0 {
        return "    -            ".to_owned();
    }
    format!("{:.3} [{:.3},{:.3}]", share.value, share.low, share.high)
}

fn minutes(score: &Score, percent: usize) -> String {
    score
        .minutes_at(percent)
        .map_or_else(|| "-".to_owned(), |minutes| minutes.to_string())
}

/// A share of a count, as a line.
fn counted(name: &str, (all, hits): (usize, usize)) -> String {
    let share = share(Share::of(hits, all));
    format!("{name:<54} {hits:>5} of {all:<5} {share}")
}

/// A table.
pub(crate) fn table(totals: &Totals) -> String {
    let mut lines = detectors(totals);
    lines.extend(matched(totals));
    lines.push(String::new());
    lines.push(format!("found by {OWN}, by scenario"));
    let scenarios = totals.engine.scenarios.iter();
    lines.extend(scenarios.map(|(scenario, counts)| counted(scenario, *counts)));
    lines.push(counted(
        "approved after prompts, acted on, or covered",
        totals.engine.certain,
    ));
    lines.push(String::new());
    let bands = totals.bands.iter();
    lines.extend(bands.map(|(band, counts)| counted(&format!("belief {}", band.word()), *counts)));
    let verdicts = totals.verdicts;
    lines.push(counted(
        "attackers' attempts that are said to be here",
        verdicts.attacks,
    ));
    lines.push(counted(
        "own laptop's attempts that are said to be elsewhere",
        verdicts.own,
    ));
    lines.push(counted(
        "attempts decided where an endpoint is covered",
        verdicts.covered,
    ));
    lines.push(String::new());
    lines.extend(outages(totals));
    lines.push(String::new());
    let mut kinds: Vec<_> = totals.false_kinds.iter().collect();
    kinds.sort_by_key(|(kinds, count)| (std::cmp::Reverse(**count), *kinds));
    let kinds = kinds.iter().take(SHOWN_MAX);
    lines.extend(kinds.map(|(kinds, count)| format!("false {count:>4} {kinds}")));
    let missed = totals.missed.iter().take(SHOWN_MAX);
    lines.extend(missed.map(|missed| format!("missed {missed}")));
    lines.push(String::new());
    lines.join("\n")
}

/// Each detector in a line.
fn detectors(totals: &Totals) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{} months of {} people, {} records; shares with 95 % bounds; false incidents a week and 500 people; minutes \
             to detect, median and 90 %",
            totals.seeds, totals.people, totals.events
        ),
        format!(
            "{:<54} {:<21} {:<21} {:>9} {:>7} {:>7}",
            "", "precision", "recall", "false/wk", "50 %", "90 %"
        ),
    ];
    let rules = totals.rules.iter().map(|(name, score)| (*name, score));
    let above = totals.above.iter().map(|(severity, score)| match severity {
        Severity::Critical => ("tocsin, critical", score),
        _ => ("tocsin, high and above", score),
    });
    let own = std::iter::once((OWN, &totals.engine)).chain(above);
    for (name, score) in own.chain(rules) {
        lines.push(format!(
            "{name:<54} {} {} {:>9.2} {:>7} {:>7}",
            share(score.precision()),
            share(score.recall()),
            per_week(score, totals),
            minutes(score, 50),
            minutes(score, 90)
        ));
    }
    lines
}

/// Each rule beside ours at the lowest score from which ours is at least as precise.
fn matched(totals: &Totals) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!(
            "{:<54} {:<21} from {:<21} {:<21}",
            "recall at no less precision than the rule's", "rule", "ours: precision", "recall"
        ),
    ];
    for (name, rule) in &totals.rules {
        let Some(found) = totals.curve.beside(rule) else {
            lines.push(format!("{name:<54} never fired"));
            continue;
        };
        let ours = found.ours.map_or_else(String::new, |point| {
            format!(
                "{:>4} {} {}",
                point.score,
                share(point.precision),
                share(point.recall)
            )
        });
        let recall = share(found.rule_recall);
        lines.push(format!("{name:<54} {recall} {ours} {}", found.word()));
    }
    lines
}

fn outages(totals: &Totals) -> Vec<String> {
    let found = totals.outages;
    vec![
        counted("outages of a provider, found", found.outages),
        counted("steps of outages, where there was none", found.steps),
        counted(
            "incidents with a prompt in an outage, low and above",
            found.low,
        ),
        counted(
            "incidents with a prompt in an outage, medium and above",
            found.medium,
        ),
    ]
}

/// What the engine costs. Between runs it keeps nothing of a person but the events themselves and, for those that are
/// gone, a baseline.
pub(crate) fn cost(totals: &Totals) -> String {
    let micros = totals.engine_time.as_secs_f64() * 1e6;
    let events = to_f64(totals.events);
    let people = to_f64(totals.seeds * totals.people);
    format!(
        "engine: {:.2} us an event, {:.2} ms a person ({:.0} events each, six weeks and more)\n\
         all of a person is computed anew each time; must 5, goal 2 us an event\n\
         kept for a person whose events are gone: {:.0} bytes of baseline; 100,000 people: {:.0} MiB\n",
        micros / events,
        micros / 1e3 / people,
        events / people,
        to_f64(totals.baseline_bytes) / people,
        to_f64(totals.baseline_bytes) / people * 1e5 / 1024.0 / 1024.0,
    )
}

/// Some false incidents, one by one, and the attacks that were missed.
pub(crate) fn explained(totals: &Totals, count: usize) -> String {
    let told = totals
        .explained
        .iter()
        .take(count)
        .chain(&totals.lesser)
        .chain(&totals.missed);
    told.map(|text| format!("{text}\n")).collect()
}

/// Rows of a list that only helps to understand.
const SHOWN_MAX: usize = 30;

fn share_json(share: Share) -> Value {
    json!({"hits": share.of, "all": share.all, "share": share.value, "low": share.low, "high": share.high})
}

fn score_json(score: &Score, totals: &Totals) -> Value {
    let scenarios: serde_json::Map<String, Value> = score
        .scenarios
        .iter()
        .map(|(name, (all, found))| ((*name).to_owned(), share_json(Share::of(*found, *all))))
        .collect();
    json!({
        "precision": share_json(score.precision()),
        "recall": share_json(score.recall()),
        "recall_certain": share_json(Share::of(score.certain.1, score.certain.0)),
        "false_per_week_500": per_week(score, totals),
        "incidents_right": score.right,
        "incidents_wrong": score.wrong,
        "incidents_of_tests": score.tests,
        "minutes_50": score.minutes_at(50),
        "minutes_90": score.minutes_at(90),
        "scenarios": scenarios,
    })
}

fn matched_json(totals: &Totals) -> Value {
    let of = |(name, rule): (&&'static str, &Score)| {
        let found = totals.curve.beside(rule)?;
        let ours = found.ours.map(|point| {
            json!({
                "score": point.score,
                "precision": share_json(point.precision),
                "recall": share_json(point.recall),
            })
        });
        let value =
            json!({"rule_recall": share_json(found.rule_recall), "ours": ours, "is": found.word()});
        Some(((*name).to_owned(), value))
    };
    Value::Object(totals.rules.iter().filter_map(of).collect())
}

/// The same as one JSON object.
pub(crate) fn object(totals: &Totals) -> Value {
    let verdicts = totals.verdicts;
    let pair = |(all, hits): (usize, usize)| share_json(Share::of(hits, all));
    let rules: serde_json::Map<String, Value> = totals
        .rules
        .iter()
        .map(|(name, score)| ((*name).to_owned(), score_json(score, totals)))
        .collect();
    let bands: serde_json::Map<String, Value> = totals
        .bands
        .iter()
        .map(|(band, counts)| (band.word().to_owned(), pair(*counts)))
        .collect();
    let above: serde_json::Map<String, Value> = totals
        .above
        .iter()
        .map(|(severity, score)| (severity.word().to_owned(), score_json(score, totals)))
        .collect();
    json!({
        "above": above,
        "matched": matched_json(totals),
        "outages": {
            "found": pair(totals.outages.outages),
            "steps_without": pair(totals.outages.steps),
            "incidents_low": pair(totals.outages.low),
            "incidents_medium": pair(totals.outages.medium),
        },
        "months": totals.seeds,
        "people": totals.people,
        "records": totals.events,
        "tocsin": score_json(&totals.engine, totals),
        "rules": rules,
        "bands": bands,
        "provenance": {
            "attack_here": pair(verdicts.attacks),
            "own_elsewhere": pair(verdicts.own),
            "decided": pair(verdicts.covered),
        },
        "missed": totals.missed,
    })
}
