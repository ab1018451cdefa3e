//! What is left to map: accounts of endpoints that are nobody's, people without one, and who may belong together.

use tocsin_proto::console::v1::{ListUnmappedRequest, Suggestion, Unmapped};

use super::Session;
use crate::client::Pages;
use crate::exit::{Exit, Failure};
use crate::output::Row;
use crate::output::style::Style;
use crate::output::table::{Cell, Column};
use crate::time;

/// Writes every suggestion, page after page.
///
/// # Errors
/// Where a page cannot be had or the output not be written.
pub(super) async fn suggestions(mut session: Session) -> Result<Exit, Failure> {
    let request = ListUnmappedRequest {
        suggested_only: true,
        ..ListUnmappedRequest::default()
    };
    let mut pages = Pages::new(&session.client, request);
    let mut rows = session.out.rows();
    while let Some(page) = pages.next().await? {
        let suggestions = page.into_iter().flat_map(|row| row.suggestions);
        rows.write(&suggestions.collect::<Vec<Suggestion>>())?;
    }
    rows.finish()?;
    Ok(Exit::Done)
}

/// What it is, as people read it, unclean.
pub(crate) fn what(row: &Unmapped) -> String {
    if row.kind == "identity" {
        let login = row.accounts.first().map(|account| account.login.as_str());
        return match row.display_name.as_str() {
            "" => login.unwrap_or(&row.id).to_owned(),
            name => name.to_owned(),
        };
    }
    format!("{}@{}", account(&row.user, &row.uid), row.hostname)
}

/// Why it is listed, and the likeliest person where one is suggested, unclean.
pub(crate) fn why(row: &Unmapped) -> String {
    if row.kind == "identity" {
        return "no account on any endpoint".to_owned();
    }
    match row.suggestions.first() {
        None => "used, and nobody's".to_owned(),
        Some(best) => format!(
            "perhaps {} ({}): {}",
            person(best),
            best.confidence,
            best.reason
        ),
    }
}

fn account(user: &str, uid: &str) -> String {
    match user {
        "" => format!("uid {uid}"),
        user => user.to_owned(),
    }
}

fn person(suggestion: &Suggestion) -> &str {
    match suggestion.display_name.as_str() {
        "" => &suggestion.login,
        name => name,
    }
}

impl Row for Unmapped {
    const PLURAL: &'static str = "accounts or people left to map";
    const COLUMNS: &'static [Column] = &[
        Column::whole("KIND"),
        Column::text("WHAT", 16),
        Column::text("WHY", 16),
        Column::whole("LAST USED (UTC)").optional(1),
        Column::text("NEXT STEP", 20),
    ];

    fn cells(&self) -> Vec<Cell> {
        let used_ms = match self.last_interactive_time_ms {
            0 => self.last_seen_time_ms,
            used_ms => used_ms,
        };
        vec![
            self.kind.replace('_', " ").into(),
            what(self).into(),
            why(self).into(),
            time::minute(used_ms).into(),
            self.next_step.as_str().into(),
        ]
    }
}

impl Row for Suggestion {
    const PLURAL: &'static str = "suggestions";
    const COLUMNS: &'static [Column] = &[
        Column::text("ACCOUNT", 16),
        Column::text("PERSON", 10),
        Column::whole("CONFIDENCE"),
        Column::text("REASON", 16),
        Column::text("NEXT STEP", 20),
    ];

    fn cells(&self) -> Vec<Cell> {
        let style = match self.confidence.as_str() {
            "weak" => Style::Faint,
            _ => Style::Plain,
        };
        vec![
            format!("{}@{}", account(&self.user, &self.uid), self.hostname).into(),
            format!("{} ({})", person(self), self.login).into(),
            Cell::styled(self.confidence.as_str(), style),
            self.reason.as_str().into(),
            self.next_step.as_str().into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_map_says_why() {
        let mut row = Unmapped {
            kind: "local_account".into(),
            hostname: "lab-7".into(),
            uid: "1000".into(),
            ..Unmapped::default()
        };
        assert_eq!(what(&row), "uid 1000@lab-7");
        assert_eq!(why(&row), "used, and nobody's");
        row.suggestions.push(Suggestion {
            login: "dana@example.com".into(),
            confidence: "medium".into(),
            reason: "short name".into(),
            ..Suggestion::default()
        });
        assert_eq!(why(&row), "perhaps dana@example.com (medium): short name");
        row.kind = "identity".into();
        row.display_name = "Dana Reyes".into();
        assert_eq!(what(&row), "Dana Reyes");
        assert_eq!(why(&row), "no account on any endpoint");
    }
}
