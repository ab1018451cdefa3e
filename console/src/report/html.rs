//! The report as one HTML page: no script, nothing loaded from elsewhere, readable on paper. Foreign text is
//! cleaned and escaped; the page's own policy forbids everything that could run.

use std::fmt::Write as _;

use super::{ATTEMPT_COLUMNS, Report, attempt_cells, basis, svg};
use crate::text::html as clean;

/// What a browser may do with the page: show it in its own styles.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLES: &str = "\
body{font:15px/1.45 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1b1e26;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-size:.85rem}\
th,td{text-align:left;vertical-align:top;padding:.25rem .5rem;border-bottom:1px solid #d6d9e0}\
dt{font-weight:600}dd{margin:0 0 .4rem 0}.bar{display:inline-block;height:.7rem;vertical-align:middle}\
.for{background:#a04000}.against{background:#1b6e2f}.faint{color:#5c6270}svg{width:100%;height:auto}\
@media print{body{margin:0;max-width:none}}";

/// The longest bar, rem.
const BAR_MAX: f64 = 20.0;

/// Makes it.
pub(super) fn render(report: &Report<'_>) -> String {
    let incident = report.incident;
    let title = clean(&incident.title);
    let mut page = Page(String::new());
    page.put(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLES}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<dl>"
    ));
    for (name, said) in report.facts() {
        page.put(&format!("<dt>{name}</dt><dd>{}</dd>", clean(&said)));
    }
    page.put("</dl>\n<h2>Time axis</h2>");
    page.put(&svg::render(report.story));
    page.evidence(report);
    if !report.incident.evidence.is_empty() {
        page.put(&format!("<p class=\"faint\">{}</p>", crate::reading::SCALE));
    }
    page.list("What is missing or late", &report.missing());
    page.list("What to do, in this order", &report.actions());
    page.attempts(report);
    page.list("Notes", &report.notes());
    page.list("What happened to it", &report.activity());
    page.put(&format!(
        "<p class=\"faint\">{}</p>\n</body>\n</html>",
        report.made()
    ));
    page.0
}

struct Page(String);

impl Page {
    fn put(&mut self, markup: &str) {
        let _always_ok = writeln!(self.0, "{markup}");
    }

    fn list(&mut self, title: &str, items: &[String]) {
        self.put(&format!("<h2>{title}</h2>"));
        if items.is_empty() {
            self.put("<p class=\"faint\">Nothing known.</p>");
            return;
        }
        self.put("<ol>");
        for item in items {
            let pieces: Vec<_> = item.split('\n').map(clean).collect();
            self.put(&format!("<li>{}</li>", pieces.join("<br>")));
        }
        self.put("</ol>");
    }

    fn evidence(&mut self, report: &Report<'_>) {
        let sides = [
            ("What speaks for an attack (log-odds)", "for", false),
            ("What speaks against it (log-odds)", "against", true),
        ];
        let families = sides.map(|(_, _, is_against)| report.families(is_against));
        let all = families.iter().flatten();
        let most = all.map(|(_, sum, _)| sum.abs()).fold(0.0, f64::max);
        for ((title, class, _), families) in sides.into_iter().zip(families) {
            self.put(&format!("<h2>{title}</h2>"));
            if families.is_empty() {
                self.put("<p class=\"faint\">Nothing known.</p>");
            }
            for (name, sum, pieces) in families {
                let part = if most > 0.0 { sum.abs() / most } else { 0.0 };
                let width = (part * BAR_MAX).clamp(0.1, BAR_MAX);
                self.put(&format!(
                    "<p><b>{}</b> {sum:+.1} <span class=\"bar {class}\" style=\"width:{width:.1}rem\"></span></p><ul>",
                    clean(&name)
                ));
                for piece in pieces {
                    self.put(&format!(
                        "<li>{:+.1} {} <span class=\"faint\">({})</span></li>",
                        piece.weight,
                        clean(&piece.summary),
                        clean(&basis(piece))
                    ));
                }
                self.put("</ul>");
            }
        }
    }

    fn attempts(&mut self, report: &Report<'_>) {
        self.put("<h2>Attempts</h2>\n<table><thead><tr>");
        for column in ATTEMPT_COLUMNS {
            self.put(&format!("<th>{column}</th>"));
        }
        self.put("</tr></thead><tbody>");
        for attempt in &report.incident.attempts {
            let cells = attempt_cells(attempt, report.incident);
            let cells = cells.map(|cell| format!("<td>{}</td>", clean(&cell)));
            self.put(&format!("<tr>{}</tr>", cells.concat()));
        }
        self.put("</tbody></table>");
    }
}
