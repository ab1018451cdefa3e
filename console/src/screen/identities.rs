//! The list of identities, and one: accounts at providers and on endpoints, incidents.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use tocsin_proto::console::v1::{Identity, IncidentState, Unmapped};

use super::incidents::severity_word;
use super::listing::{Listing, NONE_AS_ASKED, rows_of};
use super::{at, freshness, heading};
use crate::command::habits::{self, HoursIn};
use crate::command::identities::{told, user};
use crate::command::{count, short, word};
use crate::output::style::Style;
use crate::state::State;
use crate::state::people::name;
use crate::widget::table::{Cell, Column, Rows, column};
use crate::widget::{span, wrapped};

/// Columns for the names of facts.
const NAME_COLUMNS: usize = 12;

const COLUMNS: &[Column] = &[
    column("NAME", 14, 32),
    column("PRIVILEGED", 10, 10).optional(3),
    column("ON ENDPOINTS", 12, 40),
    column("LAST MFA EVENT", 16, 16).optional(2),
    column("MFA EVENTS", 10, 10).optional(5),
    column("ID", 8, 8).optional(4),
    column("ACCOUNTS", 16, 100),
];

const UNMAPPED: &[Column] = &[
    column("WHAT", 7, 7),
    column("WHO", 14, 40),
    column("LAST LOGIN", 16, 16).optional(2),
    column("MAY BE", 10, 30).optional(4),
    column("NEXT STEP", 42, 120),
];

/// Draws what is not mapped.
fn draw_unmapped(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let list = &state.unmapped;
    let title = format!("{} of {} not mapped", list.len(), list.total());
    let listing = Listing {
        above: vec![heading(&title, &freshness(&list.all, state), state)],
        none: match (list.all.value(), list.total()) {
            (None, _) => "",
            (_, 0) => {
                "Every account that somebody uses on an endpoint is a person's, and every person has\n\
                 an account on some endpoint. u shows all identities."
            }
            _ => NONE_AS_ASKED,
        },
        table: rows_of(list, UNMAPPED, state),
    };
    listing.draw(frame, area, |at| {
        list.row(at).map(|one| unmapped_cells(one, state))
    })
}

fn unmapped_cells(row: &Unmapped, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    let login = || row.accounts.first().map_or("", |one| one.login.as_str());
    let (what, who) = match (row.identity.as_str(), row.display_name.as_str()) {
        ("", _) => ("account", format!("{}@{}", row.user, row.hostname)),
        (_, "") => ("person", login().to_owned()),
        (_, name) => ("person", name.to_owned()),
    };
    let may_be = row.suggestions.first();
    vec![
        (what.to_owned(), Style::Medium),
        plain(who),
        plain(state.zone.minute(row.last_interactive_time_ms)),
        plain(may_be.map_or_else(String::new, |one| one.display_name.clone())),
        plain(row.next_step.clone()),
    ]
}

/// Draws the list.
pub(super) fn draw(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    if state.is_unmapped {
        return draw_unmapped(state, frame, area);
    }
    let list = &state.identities;
    let title = format!("{} of {} identities", list.len(), list.total());
    let listing = Listing {
        above: vec![heading(&title, &freshness(&list.all, state), state)],
        none: match (list.all.value(), list.total()) {
            (None, _) => "",
            (_, 0) => {
                "No identities. They come with the accounts in MFA events:\n\
                 tocsin feeds import FILE --provider okta|entra|duo|..."
            }
            _ => NONE_AS_ASKED,
        },
        table: rows_of(list, COLUMNS, state),
    };
    listing.draw(frame, area, |at| list.row(at).map(|one| cells(one, state)))
}

fn cells(identity: &Identity, state: &State) -> Vec<Cell> {
    let plain = |text: String| (text, Style::Plain);
    let accounts = identity.accounts.iter();
    let accounts = accounts.map(|one| format!("{} {}", one.provider, one.login));
    let locals = identity.local_accounts.iter();
    let locals: Vec<_> = locals
        .map(|one| format!("{}@{}", user(one), one.hostname))
        .collect();
    vec![
        plain(name(identity).to_owned()),
        match identity.privileged {
            true => ("PRIVILEGED".to_owned(), Style::High),
            false => plain(String::new()),
        },
        match locals.is_empty() {
            true => ("none linked".to_owned(), Style::Medium),
            false => plain(locals.join(", ")),
        },
        plain(state.zone.minute(identity.last_event_time_ms)),
        plain(identity.mfa_events.to_string()),
        (short(&identity.id).to_owned(), Style::Faint),
        plain(accounts.collect::<Vec<_>>().join(", ")),
    ]
}

/// Draws one.
pub(super) fn draw_one(state: &State, frame: &mut Frame, area: Rect) -> Option<Rows> {
    let scroll = u16::try_from(state.identity.scroll.at()).unwrap_or(u16::MAX);
    let lines = lines(state, area.width.into());
    frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)), area);
    None
}

/// How many lines it can be scrolled.
pub(super) fn scroll_max(state: &State, area: Rect) -> usize {
    let lines = lines(state, area.width.into()).len();
    lines.saturating_sub(area.height.into())
}

fn lines(state: &State, columns: usize) -> Vec<Line<'static>> {
    let page = &state.identity;
    let said = freshness(&page.identity, state);
    let Some(identity) = page.identity.value() else {
        let title = format!("Identity {}", short(&page.id));
        return vec![heading(&title, &said, state)];
    };
    let mut page = Page {
        state,
        columns,
        lines: vec![heading(name(identity), &said, state)],
    };
    page.facts(identity);
    page.accounts(identity);
    page.usual(identity);
    page.coverage(identity);
    page.incidents();
    page.lines
}

struct Page<'a> {
    state: &'a State,
    columns: usize,
    lines: Vec<Line<'static>>,
}

impl Page<'_> {
    fn title(&mut self, said: &str) {
        let look = self.state.theme.look(Style::Heading);
        self.lines.push(Line::default());
        self.lines.push(Line::from(span(said, look)));
    }

    fn item(&mut self, before: &str, said: &str, style: Style) {
        let before = span(before, self.state.theme.look(Style::Faint));
        let look = self.state.theme.look(style);
        self.lines.extend(wrapped(before, said, self.columns, look));
    }

    fn facts(&mut self, identity: &Identity) {
        let (first, last) = (identity.first_event_time_ms, identity.last_event_time_ms);
        let seen = format!(
            "{}, {} to {}",
            count(identity.mfa_events, "MFA event"),
            at(first, self.state),
            at(last, self.state)
        );
        let privileged = match identity.privileged {
            true => ("yes: severity counts it", Style::High),
            false => ("not as far as is known", Style::Plain),
        };
        let facts = [
            ("Privileged", privileged.0, privileged.1),
            ("Seen", seen.as_str(), Style::Plain),
            ("Id", identity.id.as_str(), Style::Plain),
            ("Former ids", &identity.aliases.join(", "), Style::Plain),
        ];
        for (name, said, style) in facts.into_iter().filter(|(_, said, _)| !said.is_empty()) {
            self.item(&format!("{name:<NAME_COLUMNS$} "), said, style);
        }
    }

    fn accounts(&mut self, identity: &Identity) {
        self.title("Accounts at providers");
        for one in &identity.accounts {
            let about = [&one.confidence, &one.source, &one.provider_id];
            let about: Vec<_> = about.into_iter().filter(|one| !one.is_empty()).collect();
            let about = about.iter().map(|one| one.as_str()).collect::<Vec<_>>();
            let said = format!("{} {} ({})", one.provider, one.login, about.join(", "));
            self.item("  ", said.trim_end_matches(" ()"), Style::Plain);
        }
        self.title("Accounts on endpoints");
        if identity.local_accounts.is_empty() {
            let said = format!(
                "none is linked, so where this person's sign-ins start stays unknown. To link one: \
                 tocsin identities link {} --endpoint ENDPOINT --user USER",
                short(&identity.id)
            );
            self.item("  ", &said, Style::Medium);
        }
        for one in &identity.local_accounts {
            let mut said = format!("{} on {} ({}", user(one), one.hostname, one.confidence);
            if !one.source.is_empty() {
                said += &format!(", from {}", one.source);
            }
            if !one.linked_by.is_empty() {
                let when = at(one.linked_time_ms, self.state);
                said += &format!(", linked by {} {when}", one.linked_by);
            }
            said += ")";
            let style = match one.confidence.as_str() {
                "suggested" => Style::Medium,
                _ => Style::Plain,
            };
            self.item("  ", &said, style);
        }
    }

    fn usual(&mut self, identity: &Identity) {
        self.title("Usual for this person, learned from their sign-ins");
        let zone = &self.state.zone;
        let name = zone.name();
        let hours = HoursIn {
            zone: &name,
            ahead_ms: zone.ahead_ms(identity.last_event_time_ms),
        };
        let usual = identity.usual.as_ref();
        for (name, said, style) in habits::lines(usual, hours, |time_ms| zone.minute(time_ms)) {
            self.item(&format!("  {name:<NAME_COLUMNS$} "), &said, style);
        }
    }

    fn coverage(&mut self, identity: &Identity) {
        let Some(coverage) = &identity.coverage else {
            return;
        };
        self.title("Where the sign-ins came from is known");
        self.item("  ", &told(coverage), Style::Plain);
        for step in &coverage.next_steps {
            self.item("  ", &step.text, Style::Medium);
        }
    }

    fn incidents(&mut self) {
        let found = self.state.identity.incidents(&self.state.incidents);
        self.title(&format!("Incidents ({}), the newest first", found.len()));
        if found.is_empty() {
            self.item("  ", "none", Style::Faint);
        }
        for incident in found {
            let before = format!("  {}  ", at(incident.last_event_time_ms, self.state));
            let said = format!(
                "{} {}, {}: {}",
                severity_word(incident.severity),
                incident.score,
                word::<IncidentState>(incident.state),
                incident.title
            );
            self.item(&before, &said, incident.severity().into());
        }
    }
}
