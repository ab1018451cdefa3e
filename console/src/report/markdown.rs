//! The report in Markdown. Each piece of foreign text is one line in which no character means anything.

use std::fmt::Write as _;

use super::{ATTEMPT_COLUMNS, Report, attempt_cells, basis};
use crate::text::markdown as clean;

/// Makes it.
pub(super) fn render(report: &Report<'_>) -> String {
    let mut page = Page(String::new());
    let incident = report.incident;
    page.line(&format!("# {}", clean(&incident.title)));
    page.line("");
    for (name, said) in report.facts() {
        page.line(&format!("- **{name}**: {}", clean(&said)));
    }
    page.evidence(report);
    if !incident.evidence.is_empty() {
        page.line(&format!("\n{}", crate::reading::SCALE));
    }
    page.list("What is missing or late", &report.missing());
    page.list("What to do, in this order", &report.actions());
    page.line("\n## Attempts\n");
    page.line(&format!("| {} |", ATTEMPT_COLUMNS.join(" | ")));
    page.line(&format!("|{}", "---|".repeat(ATTEMPT_COLUMNS.len())));
    for attempt in &incident.attempts {
        let cells = attempt_cells(attempt, incident).map(|cell| clean(&cell));
        page.line(&format!("| {} |", cells.join(" | ")));
    }
    page.list("Notes", &report.notes());
    page.list("What happened to it", &report.activity());
    page.line(&format!("\n{}", report.made()));
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        let _always_ok = writeln!(self.0, "{line}");
    }

    fn list(&mut self, title: &str, items: &[String]) {
        self.line(&format!("\n## {title}\n"));
        if items.is_empty() {
            self.line("Nothing known.");
        }
        for item in items {
            let pieces: Vec<_> = item.split('\n').map(clean).collect();
            self.line(&format!("1. {}", pieces.join("<br>")));
        }
    }

    fn evidence(&mut self, report: &Report<'_>) {
        for (title, is_against) in [
            ("What speaks for an attack (log-odds)", false),
            ("What speaks against it (log-odds)", true),
        ] {
            self.line(&format!("\n## {title}\n"));
            let families = report.families(is_against);
            if families.is_empty() {
                self.line("Nothing known.");
            }
            for (name, sum, pieces) in families {
                self.line(&format!("- **{}** {sum:+.1}", clean(&name)));
                for piece in pieces {
                    let (said, why) = (clean(&piece.summary), clean(&basis(piece)));
                    self.line(&format!("  - {:+.1} {said} ({why})", piece.weight));
                }
            }
        }
    }
}
