//! The panes of an incident that are text: evidence as bars, what is missing, what to do, facts, notes.

use std::collections::BTreeMap;

use ratatui::text::{Line, Span};
use tocsin_proto::console::v1::{Basis, Evidence, Incident};

use super::at;
use crate::command::{count, short, word};
use crate::output::style::Style;
use crate::reading;
use crate::state::State;
use crate::state::incident::Pane;
use crate::state::incidents::who;
use crate::text;
use crate::widget::{fit, span, wrapped};

/// Columns for the name of a family.
const FAMILY_COLUMNS: usize = 16;

/// The longest bar, where there is room.
const BAR_COLUMNS_MAX: usize = 40;

/// Columns for the names of facts.
const NAME_COLUMNS: usize = 12;

/// The lines of a pane; none for those that are tables.
pub(super) fn of(
    pane: Pane,
    incident: &Incident,
    state: &State,
    columns: usize,
) -> Vec<Line<'static>> {
    let page = Lines { state, columns };
    match pane {
        Pane::Attempts | Pane::Timeline => Vec::new(),
        Pane::Evidence => page.evidence(incident),
        Pane::Missing => page.missing(incident),
        Pane::Next => page.next(incident),
        Pane::Facts => page.facts(incident),
        Pane::History => page.history(incident),
    }
}

/// What a family weighs together; not finite where a server says nonsense.
fn sum(pieces: &[&Evidence]) -> f64 {
    pieces.iter().map(|piece| piece.weight).sum()
}

struct Lines<'a> {
    state: &'a State,
    columns: usize,
}

impl Lines<'_> {
    fn at(&self, time_ms: i64) -> String {
        at(time_ms, self.state)
    }

    fn title(&self, said: &str) -> Line<'static> {
        Line::from(span(said, self.state.theme.look(Style::Heading)))
    }

    fn item(&self, before: &str, said: &str, style: Style) -> Vec<Line<'static>> {
        let plain = self.state.theme.look(Style::Plain);
        let look = self.state.theme.look(style);
        wrapped(span(before, plain), said, self.columns, look)
    }

    fn evidence(&self, incident: &Incident) -> Vec<Line<'static>> {
        let (against, speaks): (Vec<_>, Vec<_>) = incident
            .evidence
            .iter()
            .partition(|piece| piece.weight < 0.0);
        let families = |pieces: Vec<_>| -> Vec<(String, Vec<&Evidence>)> {
            let mut families: BTreeMap<&str, Vec<&Evidence>> = BTreeMap::new();
            for piece in pieces {
                let piece: &Evidence = piece;
                families.entry(&piece.family).or_default().push(piece);
            }
            let mut families: Vec<_> = families
                .into_iter()
                .map(|(name, pieces)| (name.to_owned(), pieces))
                .collect();
            families.sort_by(|(_, a), (_, b)| sum(b).abs().total_cmp(&sum(a).abs()));
            families
        };
        let (speaks, against) = (families(speaks), families(against));
        let all = speaks.iter().chain(&against);
        let most = all.map(|(_, pieces)| sum(pieces).abs()).fold(0.0, f64::max);
        let said = match against.is_empty() {
            true => "against it: nothing known".to_owned(),
            false => {
                let weight: f64 = against.iter().map(|(_, pieces)| sum(pieces)).sum();
                format!("against it: {weight:+.1}, below")
            }
        };
        let title = "What speaks for an attack (log-odds)";
        let mut lines = match text::width(title) + text::width(&said) + 2 <= self.columns {
            true => vec![self.title(&format!("{title}; {said}"))],
            false => vec![self.title(title)],
        };
        self.families(&speaks, most, &mut lines);
        lines.push(self.title("What speaks against it"));
        self.families(&against, most, &mut lines);
        lines.extend(self.item("", reading::SCALE, Style::Faint));
        lines
    }

    fn families(
        &self,
        families: &[(String, Vec<&Evidence>)],
        most: f64,
        lines: &mut Vec<Line<'static>>,
    ) {
        if families.is_empty() {
            lines.extend(self.item("  ", reading::NOTHING_AGAINST, Style::Faint));
        }
        for (name, pieces) in families {
            lines.push(self.bar(name, sum(pieces), most));
            let mut pieces = pieces.clone();
            pieces.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
            for piece in pieces {
                let before = format!("  {:+5.1}  ", piece.weight);
                lines.extend(self.item(&before, &piece.summary, Style::Plain));
                let basis = word::<Basis>(piece.basis);
                let said = match piece.basis_detail.as_str() {
                    "" => basis,
                    detail => format!("{basis}: {detail}"),
                };
                let room = " ".repeat(before.len());
                lines.extend(self.item(&room, &said, Style::Faint));
            }
        }
    }

    /// A family's name, weight and bar; for and against differ in sign and in what the bar is made of.
    fn bar(&self, name: &str, weight: f64, most: f64) -> Line<'static> {
        let theme = self.state.theme;
        let name = fit(name, FAMILY_COLUMNS, theme.look(Style::Heading));
        let gap = FAMILY_COLUMNS.saturating_sub(text::width(&name.content));
        let room = self.columns.saturating_sub(FAMILY_COLUMNS + 9);
        let room = room.min(BAR_COLUMNS_MAX);
        let part = if most > 0.0 { weight.abs() / most } else { 0.0 };
        let (sign, style) = match weight < 0.0 {
            true => ("░", Style::Good),
            false => ("█", Style::High),
        };
        let filled = (1..=room)
            .filter(|column| share(*column, room) <= part)
            .count();
        Line::from(vec![
            name,
            Span::raw(" ".repeat(gap)),
            span(&format!(" {weight:+6.1} "), theme.look(Style::Plain)),
            Span::styled(sign.repeat(filled.max(1)), theme.look(style)),
        ])
    }

    fn missing(&self, incident: &Incident) -> Vec<Line<'static>> {
        let mut lines = vec![self.title("What is missing or late")];
        if incident.gaps.is_empty() {
            lines.extend(self.item("  ", reading::NOTHING_MISSING, Style::Faint));
        }
        for gap in &incident.gaps {
            let said = reading::missing(gap, |time_ms| self.at(time_ms));
            lines.extend(self.item("? ", &said, Style::Medium));
        }
        if !incident.freshness.is_empty() {
            lines.push(self.title("How fresh the feeds were"));
        }
        for said in reading::freshness(incident) {
            lines.extend(self.item("  ", &said, Style::Plain));
        }
        lines
    }

    fn next(&self, incident: &Incident) -> Vec<Line<'static>> {
        let mut lines = vec![self.title("What to do, in this order")];
        if incident.recommended_actions.is_empty() {
            lines.extend(self.item("  ", "nothing is recommended", Style::Faint));
        }
        for (n, one) in incident.recommended_actions.iter().enumerate() {
            let before = format!("{:2}. ", n + 1);
            lines.extend(self.item(&before, &reading::action(one), Style::Heading));
            if !one.reason.is_empty() {
                lines.extend(self.item("    ", &one.reason, Style::Plain));
            }
        }
        lines
    }

    fn facts(&self, incident: &Incident) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        let mut fact = |name: &str, said: &str| {
            if !said.is_empty() {
                let name = format!("{name:<NAME_COLUMNS$} ");
                lines.extend(self.item(&name, said, Style::Plain));
            }
        };
        let identity = incident.subject.as_ref().map_or("", |one| &one.identity);
        fact("Who", &who(incident));
        fact("Identity", identity);
        match incident.endpoints.is_empty() {
            true if incident.campaign.is_some() => {}
            true => fact("Endpoints", "none is linked to this person"),
            false => {
                for one in &incident.endpoints {
                    fact(
                        "Endpoint",
                        &format!("{} ({})", one.hostname, short(&one.id)),
                    );
                }
            }
        }
        for (name, said) in people(incident) {
            fact(name, &said);
        }
        for stage in &incident.stages {
            let name = stage.name.replace('_', " ");
            let since = self.at(stage.first_event_time_ms);
            fact("Stage", &format!("{since} {name} ({})", stage.technique));
        }
        for related in reading::related(incident, short) {
            fact("Related", &related);
        }
        fact("Id", &incident.id);
        fact("Former ids", &incident.aliases.join(", "));
        fact("First event", &self.at(incident.first_event_time_ms));
        fact("Last event", &self.at(incident.last_event_time_ms));
        fact("Opened", &self.at(incident.opened_time_ms));
        fact("Updated", &self.at(incident.updated_time_ms));
        fact("Weights", &incident.weights_version);
        lines
    }

    fn history(&self, incident: &Incident) -> Vec<Line<'static>> {
        let mut lines = vec![self.title("Notes, the newest first")];
        if incident.notes.is_empty() {
            lines.extend(self.item("  ", "none; n writes one", Style::Faint));
        }
        let mut notes: Vec<_> = incident.notes.iter().collect();
        notes.sort_by_key(|note| std::cmp::Reverse(note.time_ms));
        for note in notes {
            let said = format!("{} {}", self.at(note.time_ms), note.author);
            lines.extend(self.item("  ", &said, Style::Faint));
            for line in note.text.split('\n') {
                lines.extend(self.item("    ", line, Style::Plain));
            }
        }
        lines.push(self.title("What happened to it"));
        let mut activity: Vec<_> = incident.activity.iter().collect();
        activity.sort_by_key(|one| std::cmp::Reverse(one.time_ms));
        for one in activity {
            let before = format!("  {}  ", self.at(one.time_ms));
            let said = format!("{}: {}", one.actor, one.what);
            lines.extend(self.item(&before, &said, Style::Plain));
        }
        lines
    }
}

/// Whom a campaign hit, who let it in first.
fn people(incident: &Incident) -> Vec<(&'static str, String)> {
    let Some(campaign) = &incident.campaign else {
        return Vec::new();
    };
    let mut members: Vec<_> = campaign.members.iter().collect();
    members.sort_by_key(|member| (!member.let_in, member.first_event_time_ms));
    let shown = members.iter().take(PEOPLE_MAX).map(|member| {
        let login = member.accounts.first().map(|one| one.login.as_str());
        let names = [Some(member.display_name.as_str()), login];
        let names = names.into_iter().flatten().filter(|name| !name.is_empty());
        let names: Vec<_> = names.collect();
        let end = if member.let_in { ", let it in" } else { "" };
        let own = match member.incident.as_str() {
            "" => String::new(),
            id => format!(" (incident {})", short(id)),
        };
        let attempts = count(member.attempts.into(), "attempt");
        let said = format!("{}: {attempts}{end}{own}", names.join(" "));
        ("Person", said)
    });
    let mut said: Vec<_> = shown.collect();
    let more = usize::try_from(campaign.people).unwrap_or(usize::MAX);
    if let Some(more) = more.checked_sub(PEOPLE_MAX + 1) {
        said.push(("Person", format!("and {} more", more + 1)));
    }
    said
}

/// People of a campaign that the pane shows.
const PEOPLE_MAX: usize = 200;

/// Which part of the room this column ends.
fn share(column: usize, room: usize) -> f64 {
    let as_float = |n: usize| f64::from(u16::try_from(n).unwrap_or(u16::MAX));
    as_float(column) / as_float(room.max(1))
}

#[cfg(test)]
mod tests {
    use tocsin_proto::console::v1::{Campaign, CampaignMember};

    use super::*;

    #[test]
    fn who_let_it_in_comes_first_and_those_who_are_not_named_are_counted() {
        let member = |name: &str, let_in| CampaignMember {
            display_name: name.into(),
            incident: if let_in { "0123456789ab" } else { "" }.into(),
            attempts: 2,
            let_in,
            ..CampaignMember::default()
        };
        let mut members = vec![member("Dana", false), member("Eli", true)];
        members.resize(PEOPLE_MAX + 3, member("Somebody", false));
        let incident = Incident {
            campaign: Some(Campaign {
                source: "203.0.113.66".into(),
                people: u32::try_from(members.len()).unwrap(),
                members,
                ..Campaign::default()
            }),
            ..Incident::default()
        };
        let said = people(&incident);
        assert_eq!(said[0].1, "Eli: 2 attempts, let it in (incident 01234567)");
        assert_eq!(said[1].1, "Dana: 2 attempts");
        assert_eq!(said.last().unwrap().1, "and 3 more");
        assert!(people(&Incident::default()).is_empty());
    }
}
