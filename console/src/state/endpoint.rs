//! One endpoint: facts, gaps, and its processes as a tree.
//!
//! Parents are named by the endpoint, which may be owned: a tree that runs in a circle ends where it meets
//! itself, and each process is shown once.

use std::collections::{HashMap, HashSet};

use tocsin_proto::console::v1::{Endpoint, EventRow, ProcessRow};

use super::cursor::Cursor;
use super::loaded::Loaded;
use crate::keymap::Cmd;

/// Levels that are drawn; what is deeper stands at the last.
pub(crate) const DEPTH_MAX: usize = 24;

/// A row of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Branch {
    /// Place of the process in the list.
    process: usize,
    /// How deep it stands.
    pub(crate) depth: usize,
    /// Whether it is there only as a parent of what was looked for.
    pub(crate) is_way: bool,
}

/// The page of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct EndpointPage {
    /// Its id.
    pub(crate) id: String,
    /// Facts.
    pub(crate) endpoint: Loaded<Endpoint>,
    /// What runs on it.
    pub(crate) processes: Loaded<Vec<ProcessRow>>,
    /// What is missing, the newest first.
    pub(crate) gaps: Loaded<Vec<EventRow>>,
    /// What happened to files that matter, the newest first.
    pub(crate) files: Loaded<Vec<EventRow>>,
    tree: Vec<Branch>,
    filter: String,
    cursor: Cursor,
}

impl EndpointPage {
    /// Of this endpoint.
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    /// What runs now.
    pub(crate) fn set_processes(&mut self, answer: Result<Vec<ProcessRow>, String>, now_ms: i64) {
        let selected = self.selected().map(|process| process.key.clone());
        self.processes.set(answer, now_ms);
        self.arrange();
        if let Some(at) = selected.and_then(|key| self.place(&key)) {
            self.cursor = Cursor::new(at);
        }
    }

    fn arrange(&mut self) {
        let words: Vec<_> = self
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let processes = self.processes.value().map_or(&[][..], Vec::as_slice);
        self.tree = tree(processes, &words);
        self.cursor.keep(self.tree.len());
    }

    /// Row of the process with this key.
    fn place(&self, key: &str) -> Option<usize> {
        let mut rows = (0..self.tree.len()).map(|at| self.row(at));
        rows.position(|row| row.is_some_and(|(_, process)| process.key == key))
    }

    /// Narrows by these words.
    pub(crate) fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    /// The words that it is narrowed by.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// Does what the command says; whether it was one of the page's.
    pub(crate) fn command(&mut self, cmd: Cmd, page: usize) -> bool {
        if cmd == Cmd::Parent {
            let parent = self.selected().map(|process| process.parent_key.clone());
            if let Some(at) = parent.and_then(|key| self.place(&key)) {
                self.cursor = Cursor::new(at);
            }
            return true;
        }
        self.cursor.go(cmd, self.tree.len(), page)
    }

    /// Selects a row.
    pub(crate) fn select(&mut self, at: usize) {
        self.cursor = Cursor::new(at);
        self.cursor.keep(self.tree.len());
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        self.cursor.at()
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    /// A row of the tree.
    pub(crate) fn row(&self, at: usize) -> Option<(Branch, &ProcessRow)> {
        let branch = self.tree.get(at)?;
        let process = self.processes.value()?.get(branch.process)?;
        Some((*branch, process))
    }

    /// The process that is selected.
    pub(crate) fn selected(&self) -> Option<&ProcessRow> {
        self.row(self.cursor.at()).map(|(_, process)| process)
    }
}

/// The command line as one text, unclean; the executable where there is none.
pub(crate) fn command_line(process: &ProcessRow) -> String {
    match process.argv.is_empty() {
        true => process.executable.clone(),
        false => process.argv.join(" "),
    }
}

/// All processes below their parents; with words, those that match and the way to them.
fn tree(processes: &[ProcessRow], words: &[String]) -> Vec<Branch> {
    let places: HashMap<&str, usize> = processes
        .iter()
        .enumerate()
        .map(|(at, process)| (process.key.as_str(), at))
        .collect();
    let parent = |at: usize| {
        let parent = processes.get(at)?.parent_key.as_str();
        places.get(parent).copied().filter(|parent| *parent != at)
    };
    let matching: HashSet<usize> = (0..processes.len())
        .filter(|at| {
            processes
                .get(*at)
                .is_some_and(|process| matches(process, words))
        })
        .collect();
    let mut kept = matching.clone();
    for at in &matching {
        let mut next = parent(*at);
        while let Some(at) = next.filter(|at| kept.insert(*at)) {
            next = parent(at);
        }
    }
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut waiting = Vec::new();
    for at in (0..processes.len()).rev().filter(|at| kept.contains(at)) {
        match parent(at) {
            Some(parent) => children.entry(parent).or_default().push(at),
            None => waiting.push((at, 0)),
        }
    }
    // Whoever stands in a circle has no root above; it begins with itself.
    let mut rest = (0..processes.len()).filter(|at| kept.contains(at));
    let (mut rows, mut seen) = (Vec::with_capacity(kept.len()), HashSet::new());
    loop {
        let Some((process, depth)) = waiting.pop() else {
            match rest.find(|at| !seen.contains(at)) {
                Some(at) => waiting.push((at, 0)),
                None => return rows,
            }
            continue;
        };
        if !seen.insert(process) {
            continue;
        }
        rows.push(Branch {
            process,
            depth,
            is_way: !matching.contains(&process),
        });
        let below = children.remove(&process).unwrap_or_default();
        let depth = (depth + 1).min(DEPTH_MAX);
        waiting.extend(below.into_iter().map(|at| (at, depth)));
    }
}

fn matches(process: &ProcessRow, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let text = format!(
        "{} {} {} {}",
        process.pid,
        process.user,
        process.executable,
        process.argv.join(" ")
    )
    .to_lowercase();
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(key: &str, parent: &str) -> ProcessRow {
        ProcessRow {
            key: key.into(),
            parent_key: parent.into(),
            executable: format!("/bin/{key}"),
            ..ProcessRow::default()
        }
    }

    fn page() -> EndpointPage {
        let mut page = EndpointPage::new("e".into());
        let processes = vec![
            process("init", "0"),
            process("sshd", "init"),
            process("cron", "init"),
            process("bash", "sshd"),
        ];
        page.set_processes(Ok(processes), 1);
        page
    }

    fn keys(page: &EndpointPage) -> Vec<(usize, &str)> {
        let rows = (0..page.len()).filter_map(|at| page.row(at));
        rows.map(|(branch, process)| (branch.depth, process.key.as_str()))
            .collect()
    }

    #[test]
    fn children_stand_below_their_parents() {
        let expect = [(0, "init"), (1, "sshd"), (2, "bash"), (1, "cron")];
        assert_eq!(keys(&page()), expect);
    }

    #[test]
    fn what_is_looked_for_is_shown_with_the_way_to_it() {
        let mut page = page();
        page.set_filter("BASH".into());
        assert_eq!(keys(&page), [(0, "init"), (1, "sshd"), (2, "bash")]);
        assert!(page.row(0).unwrap().0.is_way);
        assert!(!page.row(2).unwrap().0.is_way);
    }

    #[test]
    fn one_can_go_to_the_parent_and_stays_on_a_process() {
        let mut page = page();
        page.command(Cmd::Down, 1);
        page.command(Cmd::Down, 1);
        page.command(Cmd::Parent, 1);
        assert_eq!(page.selected().unwrap().key, "sshd");
        let processes = vec![process("sshd", "init"), process("new", "sshd")];
        page.set_processes(Ok(processes), 2);
        assert_eq!(page.selected().unwrap().key, "sshd");
    }

    #[test]
    fn a_tree_in_a_circle_ends() {
        let mut page = EndpointPage::new("e".into());
        let mut processes = vec![process("a", "b"), process("b", "a"), process("c", "c")];
        processes.push(process("b", "a"));
        page.set_processes(Ok(processes), 1);
        assert_eq!(page.len(), 4);
    }
}
