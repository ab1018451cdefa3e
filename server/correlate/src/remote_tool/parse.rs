//! The catalogue's text.
//!
//! ```text
//! # a remark, to the end of the line
//! set browser chrome firefox           names for one word: @browser
//!
//! tool example                         letters, digits and '-'; an operator's entry replaces the shipped one
//!   name Example Remote                as people call it
//!   kind remote_support                remote_support, tunnel, socks, automation
//!   basis why it is known, in a few words
//!   mark strong process example        weak, medium, strong; then terms that must all hold
//!   mark medium argument --x=* process @browser
//!   off                                instead of all that: the shipped entry is not wanted
//! ```
//!
//! | term | holds where | case |
//! |---|---|---|
//! | `process NAME...` | the program's file has this name; `.exe` is left out | folded |
//! | `folder NAME...` | a folder on the program's path has this name | folded |
//! | `argument WORD...` | an argument is this word | as written |
//! | `command WORD...` | the first argument that is no option is this word | as written |
//! | `within NAME...` | a file or folder that an argument names has this name | folded |
//! | `domain NAME...` | the other side's name is this or below it; `a*.b.c`: one word before `b.c` begins with `a` | folded |
//! | `port N...` | the other side's port | |
//! | `listens N...` | the port listened on, `*` any | |
//! | `forward WORD` | ssh's arguments ask for a `remote`, `dynamic` or `device` way, or have its `shape` | |
//!
//! Several words mean any of them; a word ending in `*` is a beginning; one with blanks or like a term's name stands in
//! `"`. A mark is looked up by its *first* term, so the rarest stands first; `forward` and `listens *` cannot.

use std::collections::BTreeMap;

use super::forward::Forward;
use super::pattern::Pattern;
use super::{CatalogueError, ToolKind};
use crate::Confidence;

/// Bytes of a catalogue's text; the shipped one has a tenth.
pub const CATALOGUE_BYTES_MAX: usize = 256 << 10;
/// Tools of a catalogue, ten times those that are known to be in use.
const TOOLS_MAX: usize = 4096;
/// Marks of a tool.
const MARKS_MAX: usize = 32;
/// Terms of a mark.
const TERMS_MAX: usize = 6;
/// Words of a term and of a set.
const WORDS_MAX: usize = 64;
/// Characters of a name and a basis: what fits into a sentence.
const TEXT_MAX: usize = 200;

/// Ports of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ports {
    Any,
    These(Vec<u16>),
}

/// A name, or all names below it whose word before it begins with something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) name: Box<str>,
    pub(super) first: Option<Box<str>>,
}

/// One condition of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Term {
    Process(Vec<Pattern>),
    Folder(Vec<Pattern>),
    Argument(Vec<Pattern>),
    Command(Vec<Pattern>),
    Within(Vec<Pattern>),
    Domain(Vec<Domain>),
    Port(Vec<u16>),
    Listens(Ports),
    Forward(Forward),
}

/// What shows a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) confidence: Confidence,
    pub(super) terms: Vec<Term>,
}

/// An entry. One that is off has no marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) id: Box<str>,
    pub(super) name: String,
    pub(super) kind: ToolKind,
    pub(super) basis: String,
    pub(super) marks: Vec<Mark>,
}

/// Sets by name.
pub(super) type Sets = BTreeMap<Box<str>, Vec<Box<str>>>;

/// An entry whose lines are still being read.
#[derive(Debug)]
struct Draft {
    line: usize,
    id: Box<str>,
    name: Option<String>,
    kind: Option<ToolKind>,
    basis: Option<String>,
    marks: Vec<Mark>,
    is_off: bool,
}

impl Draft {
    fn finish(self) -> Result<Tool, CatalogueError> {
        let missing = |what: &str| {
            CatalogueError::new(
                self.line,
                format!("'{}' has no {what}", self.id),
                "add the line below 'tool', or 'off' alone to be rid of a shipped entry",
            )
        };
        if self.is_off {
            return Ok(Tool {
                id: self.id,
                name: String::new(),
                kind: ToolKind::RemoteSupport,
                basis: String::new(),
                marks: Vec::new(),
            });
        }
        if self.marks.is_empty() {
            return Err(missing("mark"));
        }
        Ok(Tool {
            name: self.name.clone().ok_or_else(|| missing("name"))?,
            kind: self.kind.ok_or_else(|| missing("kind"))?,
            basis: self.basis.clone().ok_or_else(|| missing("basis"))?,
            marks: self.marks,
            id: self.id,
        })
    }
}

/// Reads a text. `sets` are those known before it, and get those of the text.
pub(super) fn parse(text: &str, sets: &mut Sets) -> Result<Vec<Tool>, CatalogueError> {
    if text.len() > CATALOGUE_BYTES_MAX {
        return Err(CatalogueError::new(
            0,
            format!("the text has {} bytes", text.len()),
            "keep it below 256 KiB",
        ));
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let content = line.split_once('#').map_or(line, |(content, _)| content);
        let (key, rest) = split(content.trim());
        let words = words(rest).ok_or_else(|| {
            CatalogueError::new(number, "a '\"' is not closed".into(), "close it")
        })?;
        match (key, drafts.last_mut()) {
            ("", _) => {}
            ("set", _) => set(sets, number, &words)?,
            ("tool", _) => {
                let draft = tool(number, &words)?;
                if drafts.len() >= TOOLS_MAX || drafts.iter().any(|known| known.id == draft.id) {
                    return Err(CatalogueError::new(
                        number,
                        format!("'{}' is named twice, or one too many", draft.id),
                        "name each tool once, and at most 4096",
                    ));
                }
                drafts.push(draft);
            }
            (_, Some(draft)) => entry(draft, sets, number, (key, rest))?,
            (_, None) => {
                return Err(CatalogueError::new(
                    number,
                    format!("'{}' stands before the first tool", shown(key)),
                    "begin an entry by 'tool ID'",
                ));
            }
        }
    }
    drafts.into_iter().map(Draft::finish).collect()
}

/// The first word and the rest.
fn split(line: &str) -> (&str, &str) {
    line.split_once(char::is_whitespace)
        .map_or((line, ""), |(key, rest)| (key, rest.trim()))
}

/// A word and whether it stood in `"`.
type Word = (String, bool);

fn words(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (word, after) = quoted.split_once('"')?;
                ((word.to_owned(), true), after)
            }
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                ((word.to_owned(), false), after)
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

/// A word of the text in an error: short, and without what a terminal would take for its own.
fn shown(word: &str) -> String {
    word.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(40)
        .collect()
}

fn set(sets: &mut Sets, line: usize, words: &[Word]) -> Result<(), CatalogueError> {
    let wrong = |what: &str| {
        let cure =
            "write 'set NAME WORD...', at most 64 words, each a name or a beginning with '*'";
        CatalogueError::new(line, what.to_owned(), cure)
    };
    let [(name, _), members @ ..] = words else {
        return Err(wrong("a set needs a name"));
    };
    if members.is_empty() || members.len() > WORDS_MAX || sets.len() >= TOOLS_MAX {
        return Err(wrong("a set has no words, or too many"));
    }
    if members.iter().any(|(word, _)| Pattern::new(word).is_none()) {
        return Err(wrong("a word of the set would match anything"));
    }
    let members = members.iter().map(|(word, _)| word.as_str().into());
    sets.insert(name.as_str().into(), members.collect());
    Ok(())
}

fn tool(line: usize, words: &[Word]) -> Result<Draft, CatalogueError> {
    let is_id = |id: &str| {
        let is_sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !id.is_empty() && id.len() <= 40 && id.chars().all(is_sound)
    };
    match words {
        [(id, _)] if is_id(id) => Ok(Draft {
            line,
            id: id.as_str().into(),
            name: None,
            kind: None,
            basis: None,
            marks: Vec::new(),
            is_off: false,
        }),
        _ => Err(CatalogueError::new(
            line,
            "a tool's id is one word of small letters, digits and '-'".into(),
            "write 'tool some-id'",
        )),
    }
}

/// A line below `tool`.
fn entry(
    draft: &mut Draft,
    sets: &Sets,
    line: usize,
    (key, rest): (&str, &str),
) -> Result<(), CatalogueError> {
    let text = || {
        let is_sound = !rest.is_empty()
            && rest.chars().count() <= TEXT_MAX
            && !rest.contains(char::is_control);
        is_sound.then(|| rest.to_owned()).ok_or_else(|| {
            CatalogueError::new(
                line,
                format!(
                    "'{}' is empty or longer than {TEXT_MAX} characters",
                    shown(key)
                ),
                "write a few words",
            )
        })
    };
    match key {
        "name" => draft.name = Some(text()?),
        "basis" => draft.basis = Some(text()?),
        "off" => draft.is_off = true,
        "kind" => {
            draft.kind = Some(ToolKind::from_word(rest).ok_or_else(|| {
                CatalogueError::new(
                    line,
                    format!("'{}' is no kind", shown(rest)),
                    "use remote_support, tunnel, socks or automation",
                )
            })?);
        }
        "mark" if draft.marks.len() >= MARKS_MAX => {
            let what = "a tool has too many marks".to_owned();
            return Err(CatalogueError::new(line, what, "use at most 32"));
        }
        "mark" => draft.marks.push(mark(line, rest, sets)?),
        _ => {
            return Err(CatalogueError::new(
                line,
                format!("'{}' is no line of an entry", shown(key)),
                "use name, kind, basis, mark or off",
            ));
        }
    }
    Ok(())
}

const TERMS: &[&str] = &[
    "process", "folder", "argument", "command", "within", "domain", "port", "listens", "forward",
];

fn mark(line: usize, rest: &str, sets: &Sets) -> Result<Mark, CatalogueError> {
    let (confidence, rest) = split(rest);
    let confidence = match confidence {
        "weak" => Confidence::Weak,
        "medium" => Confidence::Medium,
        "strong" => Confidence::Strong,
        _ => {
            return Err(CatalogueError::new(
                line,
                format!("'{}' is no confidence", shown(confidence)),
                "begin the mark by weak, medium or strong",
            ));
        }
    };
    let mut terms = Vec::new();
    let words = words(rest).unwrap_or_default();
    let mut words = words.into_iter().peekable();
    while let Some((name, _)) = words.next() {
        let mut values = Vec::new();
        while let Some((word, _)) =
            words.next_if(|(word, quoted)| *quoted || !TERMS.contains(&word.as_str()))
        {
            values.push(word);
        }
        terms.push(term(line, &name, &values, sets)?);
    }
    let first_is_found = !matches!(
        terms.first(),
        None | Some(Term::Forward(_) | Term::Listens(Ports::Any))
    );
    if !first_is_found || terms.len() > TERMS_MAX {
        return Err(CatalogueError::new(
            line,
            format!("a mark needs 1 to {TERMS_MAX} terms, the first one to look it up by"),
            "begin with process, folder, argument, command, within, domain, port or a listened port",
        ));
    }
    Ok(Mark { confidence, terms })
}

fn term(line: usize, name: &str, values: &[String], sets: &Sets) -> Result<Term, CatalogueError> {
    let wrong = |what: &str, cure: &'static str| {
        let name = shown(name);
        CatalogueError::new(line, format!("'{name}': {what}"), cure)
    };
    let ports = || -> Result<Vec<u16>, CatalogueError> {
        let read = values.iter().map(|value| value.parse().ok());
        let ports: Option<Vec<u16>> = read.map(|port| port.filter(|port| *port != 0)).collect();
        ports.ok_or_else(|| wrong("that is no port", "use numbers from 1 to 65535"))
    };
    if values.is_empty() || values.len() > WORDS_MAX {
        return Err(wrong(
            "no words, or more than 64",
            "write 1 to 64 words after it",
        ));
    }
    let patterns = |fold| patterns(values, fold, sets).map_err(|(what, cure)| wrong(&what, cure));
    Ok(match name {
        "process" => Term::Process(patterns(true)?),
        "folder" => Term::Folder(patterns(true)?),
        "within" => Term::Within(patterns(true)?),
        "argument" => Term::Argument(patterns(false)?),
        "command" => Term::Command(patterns(false)?),
        "domain" => Term::Domain(
            domains(values)
                .ok_or_else(|| wrong("that is no name", "write a.example or x*.a.example"))?,
        ),
        "port" => Term::Port(ports()?),
        "listens" if values == ["*"] => Term::Listens(Ports::Any),
        "listens" => Term::Listens(Ports::These(ports()?)),
        "forward" => Term::Forward(match values {
            [one] if one == "remote" => Forward::Remote,
            [one] if one == "dynamic" => Forward::Dynamic,
            [one] if one == "device" => Forward::Device,
            [one] if one == "shape" => Forward::Shape,
            _ => return Err(wrong("unknown way", "use remote, dynamic, device or shape")),
        }),
        _ => {
            let cure =
                "use process, folder, argument, command, within, domain, port, listens, forward";
            return Err(wrong("no such term", cure));
        }
    })
}

fn patterns(
    values: &[String],
    fold: bool,
    sets: &Sets,
) -> Result<Vec<Pattern>, (String, &'static str)> {
    let mut patterns = Vec::new();
    for value in values {
        let members = match value.strip_prefix('@') {
            Some(name) => sets
                .get(name)
                .ok_or_else(|| {
                    let what = format!("no set '{}'", shown(name));
                    (what, "define it above by 'set'")
                })?
                .clone(),
            None => vec![value.as_str().into()],
        };
        for member in members {
            let text = if fold {
                member.to_lowercase()
            } else {
                member.into()
            };
            patterns.push(Pattern::new(&text).ok_or_else(|| {
                let what = format!("'{}' would match anything, or is too long", shown(&text));
                (what, "use a word, or its beginning and '*' at its end")
            })?);
        }
    }
    Ok(patterns)
}

fn domains(values: &[String]) -> Option<Vec<Domain>> {
    let is_name = |name: &str| {
        let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        name.contains('.') && name.len() <= 253 && name.chars().all(is_sound)
    };
    let read = values.iter().map(|value| {
        let value = value.to_ascii_lowercase();
        let (first, name) = match value.split_once("*.") {
            Some((first, name)) if !first.is_empty() => (Some(first.into()), name),
            _ => (None, value.as_str()),
        };
        is_name(name).then(|| Domain {
            name: name.into(),
            first,
        })
    });
    read.collect()
}
