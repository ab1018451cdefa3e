//! What opens above a screen, and what comes of it.

use tocsin_proto::console::v1::{IncidentState, Verdict};
use tocsin_proto::json::Word as _;

use super::cursor::Cursor;
use super::filter::EventFilter;
use super::input::Input;
use super::popup::{Choice, Pick, Popup, Purpose, Typing};
use super::terminal::Pane;
use super::{Place, State};
use crate::action::{Action, Change, What};
use crate::keymap::{Cmd, Context};
use crate::output::style::Style;
use crate::report::{Form, Report};

/// The question why a terminal is opened.
fn why(endpoint: String, incident: String) -> Popup {
    Popup::Typing(Typing {
        purpose: Purpose::Terminal(endpoint, incident),
        input: Input::new(""),
    })
}

impl State {
    /// What stands above the screen after this command.
    pub(super) fn open_popup(&mut self, cmd: Cmd) {
        self.popup = match cmd {
            Cmd::Filter => self.filter().map(|filter| {
                Popup::Typing(Typing {
                    purpose: match self.place() {
                        Place::Events => Purpose::Events,
                        _ => Purpose::Filter,
                    },
                    input: Input::new(&filter),
                })
            }),
            Cmd::Find | Cmd::Copy => self.pick_value(cmd),
            Cmd::Linked => self.pick_linked(),
            Cmd::Bulk => self.pick_bulk(),
            Cmd::Terminal => self.pick_terminal(),
            Cmd::Kill => self.pick_kill(),
            Cmd::View => self.pick_view(),
            Cmd::KeepView => self.ask_view_name(),
            _ => self.change_incident(cmd),
        };
    }

    fn pick_value(&mut self, cmd: Cmd) -> Option<Popup> {
        let is_copy = cmd == Cmd::Copy;
        let options = self.values().into_iter().filter_map(|value| {
            let name = format!("{}: {}", value.what, value.text);
            let pick = match (is_copy, value.find) {
                (true, _) => Pick::Copy(value.text),
                (false, find) => Pick::Find(Box::new(find?)),
            };
            Some((name, pick))
        });
        let title = match is_copy {
            true => "Copy",
            false => "Find events",
        };
        let none = "what is selected has no such value";
        self.choice(title, options.collect(), none)
    }

    fn choice(&mut self, title: &str, options: Vec<(String, Pick)>, none: &str) -> Option<Popup> {
        if options.is_empty() {
            self.notice = Some((none.to_owned(), Style::Medium));
            return None;
        }
        Some(Popup::Choice(Choice {
            title: title.to_owned(),
            options,
            cursor: Cursor::default(),
        }))
    }

    /// States and verdicts for all that are marked, and to take them.
    fn pick_bulk(&mut self) -> Option<Popup> {
        let ids = self.incidents.marked();
        let to_all = |what: &What| {
            let changes = ids.iter().map(|id| Change {
                incident: id.clone(),
                what: what.clone(),
            });
            Pick::Bulk(changes.collect())
        };
        let mut options = Vec::new();
        if let Some(server) = self.server.value() {
            let me = What::Assignee(server.analyst.clone());
            options.push((format!("give to {}", server.analyst), to_all(&me)));
        }
        for state in IncidentState::ALL {
            let name = format!("state: {}", state.word().replace('_', " "));
            options.push((name, to_all(&What::State(*state))));
        }
        for verdict in Verdict::ALL {
            let name = format!("verdict: {}", verdict.word().replace('_', " "));
            options.push((name, to_all(&What::Verdict(*verdict))));
        }
        if ids.is_empty() {
            options.clear();
        }
        let title = format!("Change {} incidents", ids.len());
        self.choice(&title, options, "there is no incident to change")
    }

    fn pick_linked(&mut self) -> Option<Popup> {
        let mut options = Vec::new();
        let mut put = |name: String, place| options.push((name, Pick::Go(place)));
        match self.place() {
            Place::Incident(_) => {
                let incident = self.incident.incident.value()?;
                for endpoint in &incident.endpoints {
                    let place = Place::Endpoint(endpoint.id.clone());
                    put(format!("endpoint {}", endpoint.hostname), place);
                }
                let subject = incident.subject.as_ref();
                if let Some(subject) = subject.filter(|one| !one.identity.is_empty()) {
                    let place = Place::Identity(subject.identity.clone());
                    put(format!("identity {}", subject.display_name), place);
                }
                for related in &incident.related_incidents {
                    let title = self.incidents.get(&related.id).map(|one| &*one.title);
                    let title = title.unwrap_or(&related.id);
                    let name = format!("incident, {}: {title}", related.relation);
                    put(name, Place::Incident(related.id.clone()));
                }
            }
            Place::Identity(_) => {
                let identity = self.identity.identity.value()?;
                for local in &identity.local_accounts {
                    let name = format!("endpoint {} ({})", local.hostname, local.user);
                    put(name, Place::Endpoint(local.endpoint.clone()));
                }
                for incident in self.identity.incidents(&self.incidents) {
                    let name = format!("incident {}", incident.title);
                    put(name, Place::Incident(incident.id.clone()));
                }
            }
            Place::Events => {
                let event = self.events.selected()?;
                let name = self.hostname(&event.endpoint).to_owned();
                put(
                    format!("endpoint {name}"),
                    Place::Endpoint(event.endpoint.clone()),
                );
            }
            Place::Terminals => {
                let terminal = self.terminals.selected()?;
                let place = Place::Endpoint(terminal.endpoint.clone());
                put(format!("endpoint {}", terminal.hostname), place);
                if !terminal.incident.is_empty() {
                    let title = self.incidents.get(&terminal.incident);
                    let title = title.map_or(&*terminal.incident, |one| &*one.title);
                    let place = Place::Incident(terminal.incident.clone());
                    put(format!("incident {title}"), place);
                }
            }
            _ => return None,
        }
        self.choice("Go to", options, "nothing is linked to it")
    }

    fn change_incident(&self, cmd: Cmd) -> Option<Popup> {
        let incident = self.incident.incident.value()?;
        let id = incident.id.clone();
        let me = self.server.value().map_or("", |server| &server.analyst);
        let typing = |purpose, text: &str| {
            Popup::Typing(Typing {
                purpose,
                input: Input::new(text),
            })
        };
        Some(match cmd {
            Cmd::State => Popup::Choice(Choice::state(&id, incident.state())),
            Cmd::Verdict => Popup::Choice(Choice::verdict(&id, incident.verdict())),
            Cmd::Assign => typing(Purpose::Assign(id), me),
            Cmd::Note => typing(Purpose::Note(id), ""),
            Cmd::Export => Popup::Choice(Choice {
                title: "Report".to_owned(),
                options: Form::ALL
                    .iter()
                    .map(|form| (form.name().to_owned(), Pick::Export(*form)))
                    .collect(),
                cursor: Cursor::default(),
            }),
            _ => return None,
        })
    }

    /// Whether the terminal that is selected is to be ended.
    fn pick_kill(&mut self) -> Option<Popup> {
        let terminal = self.terminals.selected()?;
        let title = format!(
            "End the terminal of {} at {}?",
            terminal.analyst, terminal.hostname
        );
        let end = "end it, and all that runs in it".to_owned();
        let options = vec![
            ("leave it open".to_owned(), Pick::Nothing),
            (end, Pick::Kill(terminal.id.clone())),
        ];
        self.choice(&title, options, "")
    }

    /// At which endpoint a terminal is to be opened, or why.
    fn pick_terminal(&mut self) -> Option<Popup> {
        if self.terminal.as_ref().is_some_and(Pane::is_alive) {
            let said = "the pane has a terminal already: K ends it";
            self.notice = Some((said.to_owned(), Style::Medium));
            return None;
        }
        let incident = match self.place() {
            Place::Endpoint(id) => return Some(why(id.clone(), String::new())),
            Place::Incident(_) => self.incident.incident.value()?,
            _ => return None,
        };
        let options = incident.endpoints.iter().map(|endpoint| {
            let pick = Pick::Terminal(endpoint.id.clone(), incident.id.clone());
            (format!("at {}", endpoint.hostname), pick)
        });
        let options: Vec<_> = options.collect();
        match options.as_slice() {
            [(_, Pick::Terminal(endpoint, incident))] => {
                Some(why(endpoint.clone(), incident.clone()))
            }
            _ => self.choice("Terminal", options, "no endpoint of this person is linked"),
        }
    }

    /// Does what a key asks for while something stands above the screen.
    pub(super) fn popup_command(&mut self, cmd: Cmd) -> Vec<Action> {
        match (cmd, &mut self.popup) {
            (Cmd::Cancel, _) => {
                if let Some(Popup::Typing(typing)) = self.popup.take()
                    && typing.purpose == Purpose::Filter
                {
                    self.set_filter(String::new());
                }
            }
            (Cmd::Accept, _) => return self.accept(),
            (Cmd::Up | Cmd::Down, Some(popup)) => popup.go(cmd),
            (_, Some(popup)) => {
                if let Some(input) = popup.input() {
                    input.command(cmd);
                    self.has_typed();
                }
            }
            (_, None) => {}
        }
        Vec::new()
    }

    pub(super) fn accept(&mut self) -> Vec<Action> {
        match self.popup.take() {
            Some(Popup::Choice(choice)) => {
                let at = choice.cursor.at();
                let picked = choice.options.into_iter().nth(at);
                picked.map_or_else(Vec::new, |(_, pick)| self.pick(pick))
            }
            Some(Popup::Palette(palette)) => {
                let at = palette.cursor.at();
                match palette.found.into_iter().nth(at) {
                    Some((_, _, pick)) => self.pick(pick),
                    None => Vec::new(),
                }
            }
            Some(Popup::Typing(typing)) => self.typed(typing),
            None => Vec::new(),
        }
    }

    fn pick(&mut self, pick: Pick) -> Vec<Action> {
        match pick {
            Pick::Change(change) => vec![Action::Change(change)],
            Pick::Bulk(changes) => {
                self.incidents.unmark();
                changes.into_iter().map(Action::Change).collect()
            }
            Pick::Go(place) => self.go(place),
            Pick::Do(cmd) => self.command(cmd),
            Pick::Find(filter) => self.find_events(*filter),
            Pick::Export(form) => {
                let id = crate::command::short(&self.incident.id);
                let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
                let id: String = id.chars().filter(is_plain).collect();
                let name = format!("incident-{id}.{}", form.ending());
                self.popup = Some(Popup::Typing(Typing {
                    purpose: Purpose::Export(form),
                    input: Input::new(&name),
                }));
                Vec::new()
            }
            Pick::Terminal(endpoint, incident) => {
                self.popup = Some(why(endpoint, incident));
                Vec::new()
            }
            Pick::Nothing => Vec::new(),
            Pick::View(name) => self.show_view(&name),
            Pick::Forget(name) => {
                self.forget_view(&name);
                Vec::new()
            }
            Pick::Kill(id) => {
                self.notice = Some(("ending it".to_owned(), Style::Plain));
                vec![Action::KillTerminal(id)]
            }
            Pick::Copy(text) => {
                let shown = crate::text::fit(&text, 40).into_owned();
                self.notice = Some((format!("copied: {shown}"), Style::Good));
                vec![Action::Copy(text)]
            }
        }
    }

    /// Goes to the events that are wanted.
    fn find_events(&mut self, filter: EventFilter) -> Vec<Action> {
        self.events.set_filter(filter);
        match *self.place() == Place::Events {
            true => self.refresh(),
            false => self.go(Place::Events),
        }
    }

    fn typed(&mut self, typing: Typing) -> Vec<Action> {
        let text = typing.input.text().trim().to_owned();
        let (incident, what) = match typing.purpose {
            Purpose::Note(id) if !text.is_empty() => (id, What::Note(text)),
            Purpose::Assign(id) => (id, What::Assignee(text)),
            Purpose::View if !text.is_empty() => {
                self.keep_view(&text);
                return Vec::new();
            }
            Purpose::Export(form) => return self.export(form, text),
            Purpose::Terminal(endpoint, incident) if !text.is_empty() => {
                return self.open_terminal(endpoint, incident, text);
            }
            Purpose::Terminal(..) => {
                let said = "no terminal without a reason: the audit log keeps it";
                self.notice = Some((said.to_owned(), Style::Medium));
                self.popup = Some(Popup::Typing(typing));
                return Vec::new();
            }
            Purpose::Events => match EventFilter::parse(&text) {
                Ok(filter) => return self.find_events(filter),
                Err(problem) => {
                    let problem = crate::text::line(&problem).into_owned();
                    self.notice = Some((problem, Style::Critical));
                    self.popup = Some(Popup::Typing(Typing {
                        purpose: Purpose::Events,
                        ..typing
                    }));
                    return Vec::new();
                }
            },
            Purpose::Filter | Purpose::View | Purpose::Note(_) => return Vec::new(),
        };
        vec![Action::Change(Change { incident, what })]
    }

    /// Writes a report of what the screen knows about the incident.
    fn export(&mut self, form: Form, name: String) -> Vec<Action> {
        let incident = self.incident.incident.value();
        let Some(incident) = incident.filter(|_| !name.is_empty()) else {
            return Vec::new();
        };
        let report = Report {
            incident,
            story: self.incident.story(),
            made_time_ms: self.now_ms,
        };
        match report.render(form) {
            Ok(content) => vec![Action::Write(name, content)],
            Err(error) => {
                let said = crate::text::line(&error.to_string()).into_owned();
                self.notice = Some((said, Style::Critical));
                Vec::new()
            }
        }
    }

    /// After each change of the line that is being typed.
    pub(super) fn has_typed(&mut self) {
        match &mut self.popup {
            Some(Popup::Typing(typing)) if typing.purpose == Purpose::Filter => {
                let filter = typing.input.text();
                self.set_filter(filter);
            }
            Some(Popup::Palette(palette)) => {
                palette.cursor = Cursor::default();
                self.begin_search();
            }
            _ => {}
        }
    }

    /// What the list that is shown is narrowed by; none where it cannot be.
    pub(crate) fn filter(&self) -> Option<String> {
        Some(match self.place().context() {
            Context::Incidents => self.incidents.filter().to_owned(),
            Context::Endpoints => self.endpoints.filter().to_owned(),
            Context::Endpoint => self.endpoint.filter().to_owned(),
            Context::Identities if self.is_unmapped => self.unmapped.filter().to_owned(),
            Context::Identities => self.identities.filter().to_owned(),
            Context::Events => self.events.filter().to_string(),
            Context::Feeds => self.feeds.filter().to_owned(),
            Context::Audit => self.audit.rows.filter().to_owned(),
            Context::Terminals => self.terminals.filter().to_owned(),
            _ => return None,
        })
    }

    fn set_filter(&mut self, filter: String) {
        match self.place().context() {
            Context::Incidents => self.incidents.set_filter(filter),
            Context::Endpoints => self.endpoints.set_filter(filter),
            Context::Endpoint => self.endpoint.set_filter(filter),
            Context::Identities if self.is_unmapped => self.unmapped.set_filter(filter),
            Context::Identities => self.identities.set_filter(filter),
            Context::Feeds => self.feeds.set_filter(filter),
            Context::Audit => self.audit.rows.set_filter(filter),
            Context::Terminals => self.terminals.set_filter(filter),
            _ => {}
        }
    }
}
