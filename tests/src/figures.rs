//! Tables of figures: what was measured, beside what must be reached and what is aimed at.

use std::io::{self, Write};
use std::time::Duration;

/// Figure, measured, must, goal.
pub type Line = [String; 4];

/// A figure that has something to reach.
pub fn line(name: &str, measured: String, must: &str, goal: &str) -> Line {
    [name.to_owned(), measured, must.to_owned(), goal.to_owned()]
}

/// A figure that is only told.
pub fn figure(name: &str, measured: String) -> Line {
    line(name, measured, "", "")
}

/// Prints a table with its head.
///
/// # Errors
/// Where it cannot be written.
pub fn print(out: &mut impl Write, lines: impl IntoIterator<Item = Line>) -> io::Result<()> {
    let head = ["figure", "measured", "must", "goal"].map(str::to_owned);
    for [name, measured, must, goal] in [head].into_iter().chain(lines) {
        writeln!(out, "{name:<48}{measured:>12}{must:>10}{goal:>10}")?;
    }
    Ok(())
}

/// Milliseconds below which so many of a thousand lie; they are sorted. 0 where there are none.
pub fn percentile(sorted: &[Duration], per_mille: usize) -> f64 {
    let at = sorted.len() * per_mille / 1000;
    let found = sorted.get(at.min(sorted.len().saturating_sub(1)));
    found.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// Without digits behind the point.
pub fn whole(figure: f64) -> String {
    format!("{figure:.0}")
}

/// With one digit behind the point.
pub fn decimal(figure: f64) -> String {
    format!("{figure:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_where_they_should() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 500), 51.0);
        assert_eq!(percentile(&times, 990), 100.0);
        assert_eq!(percentile(&times, 1000), 100.0);
        assert_eq!(percentile(&[], 500), 0.0);
    }
}
