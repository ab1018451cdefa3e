//! The time axis as SVG: a lane a kind, a sign a mark. Marks that would lie on each other are one with their
//! number, so that the picture does not grow with what happened.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::output::style::Style;
use crate::state::story::{Entry, Lane};
use crate::text::html as clean;
use crate::time::Zone;
use crate::widget::timeline;

/// Measures, in units of the picture.
const WIDTH: i64 = 1200;
const NAMES: i64 = 90;
const LANE: i64 = 30;
const MARK: i64 = 10;

/// Characters of what a mark says when one points at it.
const TITLE_COLUMNS: usize = 200;

/// Times below the lanes.
const TICKS: usize = 9;

const LANES: [Lane; 6] = [
    Lane::Prompt,
    Lane::Answer,
    Lane::Stage,
    Lane::Session,
    Lane::Endpoint,
    Lane::Action,
];

/// Colours by meaning, dark enough on white; the sign says the same.
fn color(style: Style) -> &'static str {
    match style {
        Style::Critical => "#b00020",
        Style::High => "#a04000",
        Style::Medium => "#7a5a00",
        Style::Good => "#1b6e2f",
        Style::Faint => "#5c6270",
        Style::Plain | Style::Heading => "#1b1e26",
    }
}

/// Makes it of what happened until the attack was over: what analysts did later is in the list.
pub(super) fn render(story: &[Entry]) -> String {
    let times = story
        .iter()
        .filter(|one| one.lane != Lane::Action)
        .map(|one| one.time_ms);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return "<p class=\"faint\">Nothing known.</p>".to_owned();
    };
    let room = (last.saturating_sub(first) / 40).max(1000);
    let stretch = (first.saturating_sub(room), last.saturating_add(room));
    let lanes = LANES.iter().zip(0_i64..);
    let height = LANE * (i64::try_from(LANES.len()).unwrap_or(0) + 1);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"time axis\" font-family=\"monospace\" \
         font-size=\"14\">\n"
    );
    for (lane, at) in lanes {
        let y = LANE * at + LANE / 2;
        let _always_ok = writeln!(
            out,
            "<text x=\"0\" y=\"{}\" fill=\"#5c6270\">{}</text><line x1=\"{NAMES}\" y1=\"{y}\" x2=\"{WIDTH}\" \
             y2=\"{y}\" stroke=\"#d6d9e0\"/>",
            y + 5,
            lane.name()
        );
        marks(story, *lane, (stretch, y), &mut out);
    }
    for (time_ms, label) in timeline::ticks(stretch, TICKS, &Zone::Utc) {
        let Some(x) = place(time_ms, stretch) else {
            continue;
        };
        let _always_ok = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"{}\" stroke=\"#eceef2\"/><text x=\"{x}\" y=\"{}\" \
             fill=\"#5c6270\">{label}</text>",
            height - LANE,
            height - LANE / 3
        );
    }
    out.push_str("</svg>");
    out
}

/// Where a time is.
fn place(time_ms: i64, (from, until): (i64, i64)) -> Option<i64> {
    let (time, from, until) = (i128::from(time_ms), i128::from(from), i128::from(until));
    if until <= from || !(from..=until).contains(&time) {
        return None;
    }
    let room = i128::from(WIDTH - NAMES - MARK);
    let x = i128::from(NAMES) + (time - from) * room / (until - from);
    i64::try_from(x).ok()
}

fn marks(story: &[Entry], lane: Lane, (stretch, y): ((i64, i64), i64), out: &mut String) {
    let mut marks: BTreeMap<i64, (&Entry, usize)> = BTreeMap::new();
    for entry in story.iter().filter(|one| one.lane == lane) {
        let Some(x) = place(entry.time_ms, stretch) else {
            continue;
        };
        let mark = marks.entry(x / MARK).or_insert((entry, 0));
        mark.1 += 1;
        if entry.weight > mark.0.weight {
            mark.0 = entry;
        }
    }
    for (x, (entry, n)) in marks {
        let x = x * MARK;
        let said = format!("{} UTC {}", Zone::Utc.second(entry.time_ms), entry.what);
        let said = clean(&crate::text::fit(&said, TITLE_COLUMNS));
        let more = match n {
            1 => String::new(),
            _ => format!(", and {} more", n - 1),
        };
        let _always_ok = writeln!(
            out,
            "<g><title>{said}{more}</title><rect x=\"{x}\" y=\"{}\" width=\"{MARK}\" height=\"20\" \
             fill=\"#ffffff\"/><text x=\"{x}\" y=\"{}\" fill=\"{}\">{}</text></g>",
            y - 10,
            y + 5,
            color(entry.style),
            clean(&entry.sign.to_string())
        );
    }
}
