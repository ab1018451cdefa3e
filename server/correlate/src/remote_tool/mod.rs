//! Tools by which somebody else works on a machine: remote support, tunnels, SOCKS servers, steered browsers.
//!
//! ```text
//! shipped.txt + the operator's own text -> Catalogue
//! process, flow, listener -> words of it -> marks looked up by them -> those whose terms all hold -> the surest
//! ```
//!
//! A mark is a fact, not an accusation: it says that the tool is there, never who uses it or why. Names can be
//! changed; marks on arguments, folders and the other side's names find some of what was renamed. Settings in files
//! are not seen, nor is what a running program was told later.
//!
//! Looking up costs by the words of the process, not by the entries of the catalogue ([`Catalogue::looked_at`]).
//! Pure: no I/O, no clock. Texts made here are made of the catalogue's words alone, never of the machine's.

mod forward;
mod parse;
mod pattern;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::parse::CATALOGUE_BYTES_MAX;
use self::parse::{Mark, Ports, Sets, Term, Tool};
use self::pattern::{MarkIndex, Pattern, Words};
use self::view::View;
use crate::Confidence;

/// The catalogue that comes with Tocsin.
const SHIPPED: &str = include_str!("shipped.txt");

/// What a tool is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// Somebody else sees or steers the machine.
    RemoteSupport,
    /// A way into the machine or its network.
    Tunnel,
    /// Others' traffic leaves by this machine.
    Socks,
    /// A program steers a browser.
    Automation,
}

impl ToolKind {
    const ALL: [Self; 4] = [
        Self::RemoteSupport,
        Self::Tunnel,
        Self::Socks,
        Self::Automation,
    ];

    /// Its word, in JSON and in the catalogue.
    pub fn word(self) -> &'static str {
        match self {
            Self::RemoteSupport => "remote_support",
            Self::Tunnel => "tunnel",
            Self::Socks => "socks",
            Self::Automation => "automation",
        }
    }

    /// As a sentence names it.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::RemoteSupport => "remote support",
            Self::Tunnel => "tunnel",
            Self::Socks => "SOCKS server",
            Self::Automation => "browser automation",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// What is known of a process. Empty where unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessFacts<'a> {
    /// Path of its image, with `/` or `\`.
    pub executable: &'a str,
    /// Its arguments, the first being its own name.
    pub argv: &'a [String],
}

/// What is known of a flow. Empty where unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct FlowFacts<'a> {
    /// Path of its owner's image.
    pub executable: &'a str,
    /// Names of the other side.
    pub names: &'a [&'a str],
    /// The other side's port.
    pub remote_port: u16,
}

/// What is known of a socket that listens. Empty where unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListenerFacts<'a> {
    /// Path of its owner's image.
    pub executable: &'a str,
    /// The port it listens on.
    pub port: u16,
}

/// A tool that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked<'a> {
    /// The entry's id.
    pub tool: &'a str,
    /// As people call it.
    pub name: &'a str,
    /// What it is for.
    pub kind: ToolKind,
    /// How sure it is that this is the tool.
    pub confidence: Confidence,
    /// What the entry rests on.
    pub basis: &'a str,
    /// What was found, for a reader: "AnyDesk (remote support): program named anydesk".
    pub sentence: String,
}

/// Why a catalogue cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}: {cure}")]
pub struct CatalogueError {
    /// Counted from 1; 0 where it is the whole text.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: &'static str,
}

impl CatalogueError {
    fn new(line: usize, what: String, cure: &'static str) -> Self {
        Self { line, what, cure }
    }
}

/// All that is known of tools, ready to look up.
#[derive(Debug, Default)]
pub struct Catalogue {
    tools: Vec<Tool>,
    /// Tool and mark, in the order of the text.
    marks: Vec<(usize, Mark)>,
    browsers: Vec<Pattern>,
    processes: Words,
    folders: Words,
    arguments: Words,
    commands: Words,
    withins: Words,
    domains: BTreeMap<Box<str>, Vec<MarkIndex>>,
    ports: BTreeMap<u16, Vec<MarkIndex>>,
    listens: BTreeMap<u16, Vec<MarkIndex>>,
}

impl Catalogue {
    /// The one that comes with Tocsin.
    ///
    /// # Errors
    /// None: a test reads it.
    pub fn shipped() -> Result<Self, CatalogueError> {
        Self::with("")
    }

    /// The shipped one, and an operator's own text: an entry of it replaces the shipped one of the same id, or is
    /// rid of it by `off`. The format: `docs/remote-tools.md`.
    ///
    /// # Errors
    /// The line, what is wrong with it and the cure.
    pub fn with(own: &str) -> Result<Self, CatalogueError> {
        let mut sets = Sets::new();
        let shipped = parse::parse(SHIPPED, &mut sets)?;
        let own = parse::parse(own, &mut sets)?;
        let replaced: BTreeSet<&str> = own.iter().map(|tool| &*tool.id).collect();
        let mut tools: Vec<Tool> = shipped
            .into_iter()
            .filter(|tool| !replaced.contains(&*tool.id))
            .collect();
        tools.extend(own);
        let browsers = sets.get("browser").into_iter().flatten();
        let mut catalogue = Self {
            browsers: browsers.filter_map(|name| Pattern::new(name)).collect(),
            ..Self::default()
        };
        for mut tool in tools {
            for mark in std::mem::take(&mut tool.marks) {
                catalogue.index(&mark);
                catalogue.marks.push((catalogue.tools.len(), mark));
            }
            catalogue.tools.push(tool);
        }
        Ok(catalogue)
    }

    /// Whether there is an entry of this id.
    pub fn has(&self, tool: &str) -> bool {
        self.tools.iter().any(|known| &*known.id == tool)
    }

    /// Makes the next mark known by its first term.
    fn index(&mut self, mark: &Mark) {
        let next = self.marks.len();
        let (words, patterns) = match mark.terms.first() {
            Some(Term::Process(patterns)) => (&mut self.processes, patterns),
            Some(Term::Folder(patterns)) => (&mut self.folders, patterns),
            Some(Term::Argument(patterns)) => (&mut self.arguments, patterns),
            Some(Term::Command(patterns)) => (&mut self.commands, patterns),
            Some(Term::Within(patterns)) => (&mut self.withins, patterns),
            Some(Term::Domain(domains)) => {
                for domain in domains {
                    let name = domain.name.clone();
                    self.domains.entry(name).or_default().push(next);
                }
                return;
            }
            Some(Term::Port(ports)) => {
                for port in ports {
                    self.ports.entry(*port).or_default().push(next);
                }
                return;
            }
            Some(Term::Listens(Ports::These(ports))) => {
                for port in ports {
                    self.listens.entry(*port).or_default().push(next);
                }
                return;
            }
            Some(Term::Listens(Ports::Any) | Term::Forward(_)) | None => return,
        };
        for pattern in patterns {
            words.add(pattern, next);
        }
    }

    /// The surest mark of a process.
    pub fn match_process(&self, facts: &ProcessFacts<'_>) -> Option<Marked<'_>> {
        self.surest(&View::of_process(facts))
    }

    /// The surest mark of a flow. A browser may only show a page of the tool's maker, so a name is a weak mark there.
    pub fn match_flow(&self, facts: &FlowFacts<'_>) -> Option<Marked<'_>> {
        let view = View::of_flow(facts);
        let is_browser = self.browsers.iter().any(|one| one.matches(&view.process));
        let mut marked = self.surest(&view)?;
        if is_browser {
            marked.confidence = marked.confidence.min(Confidence::Weak);
        }
        Some(marked)
    }

    /// The surest mark of a socket that listens.
    pub fn match_listener(&self, facts: &ListenerFacts<'_>) -> Option<Marked<'_>> {
        self.surest(&View::of_listener(facts))
    }

    /// How many marks are looked at for a process: those that share a word with it.
    pub fn looked_at(&self, facts: &ProcessFacts<'_>) -> usize {
        self.candidates(&View::of_process(facts)).len()
    }

    fn candidates(&self, view: &View<'_>) -> BTreeSet<MarkIndex> {
        let mut found = BTreeSet::new();
        self.processes.find(&view.process, &mut found);
        for folder in &view.folders {
            self.folders.find(folder, &mut found);
        }
        for argument in view.arguments {
            self.arguments.find(argument, &mut found);
        }
        if let Some(command) = view.command() {
            self.commands.find(command, &mut found);
        }
        for within in &view.withins {
            self.withins.find(within, &mut found);
        }
        for name in &view.names {
            for below in view::and_above(name) {
                found.extend(self.domains.get(below).into_iter().flatten());
            }
        }
        let ports = view.remote_port.and_then(|port| self.ports.get(&port));
        let listens = view.listen_port.and_then(|port| self.listens.get(&port));
        found.extend(ports.into_iter().chain(listens).flatten());
        found
    }

    fn surest(&self, view: &View<'_>) -> Option<Marked<'_>> {
        let mut surest: Option<&(usize, Mark)> = None;
        for index in self.candidates(view) {
            let Some(entry) = self.marks.get(index) else {
                continue;
            };
            // The first of equals stays: the order of the text is the order of preference.
            let is_surer = surest.is_none_or(|(_, best)| entry.1.confidence > best.confidence);
            if is_surer && entry.1.terms.iter().all(|term| view.holds(term)) {
                surest = Some(entry);
            }
        }
        let (tool, mark) = surest?;
        let tool = self.tools.get(*tool)?;
        let told = mark.terms.iter().filter_map(|term| view.tell(term));
        let told: Vec<String> = told.map(|told| told.to_string()).collect();
        let told = told.join(", ");
        Some(Marked {
            tool: &tool.id,
            name: &tool.name,
            kind: tool.kind,
            confidence: mark.confidence,
            basis: &tool.basis,
            sentence: format!("{} ({}): {told}", tool.name, tool.kind.phrase()),
        })
    }
}
