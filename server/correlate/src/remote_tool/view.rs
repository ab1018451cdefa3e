//! A process, a flow or a listener as the terms of marks see it: words, folded where case says nothing.

use std::fmt;

use super::forward;
use super::parse::{Domain, Ports, Term};
use super::pattern::Pattern;
use super::{FlowFacts, ListenerFacts, ProcessFacts};

/// Folders of a path that are looked at, the innermost; deeper ones say little.
const FOLDERS_MAX: usize = 32;
/// Parts of all arguments' paths that are looked at.
const WITHIN_MAX: usize = 256;
/// Names of one flow that are looked at; agents send fewer.
const NAMES_MAX: usize = 16;

/// What terms are held against.
#[derive(Debug, Default)]
pub(super) struct View<'a> {
    /// Name of the program's file, folded, without `.exe`; empty where unknown.
    pub(super) process: String,
    /// Folders on its path, folded.
    pub(super) folders: Vec<String>,
    /// Arguments after its own name.
    pub(super) arguments: &'a [String],
    /// Parts of paths that arguments name, folded.
    pub(super) withins: Vec<String>,
    /// The other side's names, folded.
    pub(super) names: Vec<String>,
    pub(super) remote_port: Option<u16>,
    pub(super) listen_port: Option<u16>,
}

const SEPARATORS: [char; 2] = ['/', '\\'];

/// Its file's name, folded.
fn base_name(path: &str) -> String {
    // Linux says so of a program whose file is gone: tools that remove themselves are of interest.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let name = path.rsplit(SEPARATORS).next().unwrap_or_default();
    let name = name.to_lowercase();
    match name.strip_suffix(".exe") {
        Some(stem) => stem.to_owned(),
        None => name,
    }
}

/// The name and all that it is below: `a.b.c`, `b.c`, `c`.
pub(super) fn and_above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        name.split_once('.').map(|(_, above)| above)
    })
}

impl<'a> View<'a> {
    fn of_program(executable: &str) -> Self {
        let folders = executable.rsplit(SEPARATORS).skip(1);
        Self {
            process: base_name(executable),
            folders: folders
                .filter(|folder| !folder.is_empty())
                .take(FOLDERS_MAX)
                .map(str::to_lowercase)
                .collect(),
            ..Self::default()
        }
    }

    pub(super) fn of_process(facts: &ProcessFacts<'a>) -> Self {
        let (own, arguments) = facts
            .argv
            .split_first()
            .map_or(("", &[][..]), |(own, rest)| (own.as_str(), rest));
        // A name that a process gives itself is taken only where its file is unknown.
        let program = if facts.executable.is_empty() {
            own
        } else {
            facts.executable
        };
        let mut view = Self::of_program(program);
        view.arguments = arguments;
        let parts = arguments
            .iter()
            .flat_map(|argument| argument.split(SEPARATORS));
        view.withins = parts
            .filter(|part| !part.is_empty())
            .take(WITHIN_MAX)
            .map(str::to_lowercase)
            .collect();
        view
    }

    pub(super) fn of_flow(facts: &FlowFacts<'a>) -> Self {
        let mut view = Self::of_program(facts.executable);
        let names = facts.names.iter().take(NAMES_MAX);
        view.names = names
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
            .collect();
        view.remote_port = Some(facts.remote_port);
        view
    }

    pub(super) fn of_listener(facts: &ListenerFacts<'a>) -> Self {
        let mut view = Self::of_program(facts.executable);
        view.listen_port = Some(facts.port);
        view
    }

    /// The first argument that is no option.
    pub(super) fn command(&self) -> Option<&'a str> {
        let mut words = self.arguments.iter().map(String::as_str);
        words.find(|word| !word.starts_with('-'))
    }

    /// Whether the term holds.
    pub(super) fn holds(&self, term: &Term) -> bool {
        self.tell(term).is_some()
    }

    /// What of the term holds, in the catalogue's words; `None` where nothing does.
    pub(super) fn tell(&self, term: &Term) -> Option<Told<'_>> {
        let port_of = |ports: &[u16], port: Option<u16>| port.filter(|port| ports.contains(port));
        match term {
            Term::Process(patterns) => {
                let process = std::slice::from_ref(&self.process);
                first(patterns, process, "program named")
            }
            Term::Folder(patterns) => first(patterns, &self.folders, "in a folder named"),
            Term::Argument(patterns) => first(patterns, self.arguments, "argument"),
            Term::Command(patterns) => {
                let command = self.command()?;
                let pattern = patterns.iter().find(|one| one.matches(command))?;
                Some(Told::Word("command", pattern.to_string()))
            }
            Term::Within(patterns) => first(patterns, &self.withins, "an argument names"),
            Term::Domain(domains) => {
                let is_spoken_to =
                    |domain: &&Domain| self.names.iter().any(|name| is_below(name, domain));
                let domain = domains.iter().find(is_spoken_to)?;
                Some(Told::Word("speaks to", domain.name.to_string()))
            }
            Term::Port(ports) => {
                let port = port_of(ports, self.remote_port)?;
                Some(Told::Word("speaks to port", port.to_string()))
            }
            Term::Listens(Ports::Any) => self.listen_port.map(|_| Told::Phrase("listens")),
            Term::Listens(Ports::These(ports)) => {
                let port = port_of(ports, self.listen_port)?;
                Some(Told::Word("listens on port", port.to_string()))
            }
            Term::Forward(way) => {
                let asked = forward::read(self.arguments, self.process == "autossh");
                asked.has(*way).then(|| Told::Phrase(way.phrase()))
            }
        }
    }
}

/// What of a term holds.
#[derive(Debug)]
pub(super) enum Told<'a> {
    Phrase(&'a str),
    Word(&'a str, String),
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phrase(phrase) => f.write_str(phrase),
            Self::Word(phrase, word) => write!(f, "{phrase} {word}"),
        }
    }
}

/// The first pattern that one of the words matches.
fn first<'a>(patterns: &[Pattern], words: &[String], phrase: &'a str) -> Option<Told<'a>> {
    let is_met = |one: &&Pattern| words.iter().any(|word| one.matches(word));
    let pattern = patterns.iter().find(is_met)?;
    Some(Told::Word(phrase, pattern.to_string()))
}

fn is_below(name: &str, domain: &Domain) -> bool {
    match (&domain.first, name.strip_suffix(&*domain.name)) {
        (_, None) => false,
        (None, Some(rest)) => rest.is_empty() || rest.ends_with('.'),
        (Some(first), Some(rest)) => {
            let words = rest.strip_suffix('.').unwrap_or_default();
            words
                .rsplit('.')
                .next()
                .is_some_and(|word| word.starts_with(&**first))
        }
    }
}
