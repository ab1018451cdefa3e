//! Which keys a person has chosen: a file that changes rows of [`crate::keymap`]'s table, and the same file as
//! it would be written out in full. A name that is not known is refused with those that are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::keymap::{BINDINGS, Cmd, Context, Key, Keymap};

/// Bytes of the file; the one in full has a tenth.
pub(crate) const FILE_BYTES_MAX: u64 = 65_536;

/// The head of the file in full.
const HEAD: &str = "\
# Keys of Tocsin's screens. Save as ~/.config/tocsin/keys.toml and keep the lines that you change; TOCSIN_KEYS
# names another file. A key is one character, ctrl- and a letter, or one of: enter esc tab shift-tab backspace
# delete up down left right home end pgup pgdn. A key means one thing on a screen. [] takes a key away.
";

/// The keys that the file names, all others as they are.
///
/// # Errors
/// What is wrong, and what would be right, unclean.
pub(crate) fn parse(text: &str) -> Result<Keymap, String> {
    let file: BTreeMap<String, BTreeMap<String, Vec<String>>> =
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            format!("line {line}: {}", error.message())
        })?;
    let mut keymap = Keymap::default();
    for (context, rows) in file {
        let known = Context::ALL.into_iter().find(|one| one.name() == context);
        let known = known.ok_or_else(|| {
            let names: Vec<_> = Context::ALL.iter().map(|one| one.name()).collect();
            format!("no part [{context}]: there are {}", names.join(", "))
        })?;
        for (name, keys) in rows {
            let commands = BINDINGS.iter().filter(|row| row.context == known);
            let command = commands.clone().find(|row| cmd_name(row.cmd) == name);
            let command = command.ok_or_else(|| {
                let names: Vec<_> = commands.map(|row| cmd_name(row.cmd)).collect();
                format!(
                    "no command '{name}' in [{context}]: there are {}",
                    names.join(", ")
                )
            })?;
            let keys: Result<Vec<_>, _> = keys.iter().map(|key| parse_key(key)).collect();
            keymap.set(known, command.cmd, keys?);
        }
    }
    check(&keymap)?;
    Ok(keymap)
}

/// The whole file, as the keys are where nobody changes them.
pub(crate) fn in_full() -> String {
    written(&Keymap::default())
}

/// The whole file, as these keys are.
pub(crate) fn written(keymap: &Keymap) -> String {
    let mut out = HEAD.to_owned();
    for context in Context::ALL {
        let _always_ok = writeln!(out, "\n# {}\n[{}]", context.title(), context.name());
        for (row, keys) in keymap.rows().filter(|(row, _)| row.context == context) {
            let keys: Vec<_> = keys.iter().map(|key| quoted(*key)).collect();
            let name = cmd_name(row.cmd);
            let _always_ok = writeln!(out, "{name} = [{}]  # {}", keys.join(", "), row.help);
        }
    }
    out
}

/// A command as the file calls it: `zoom-in`.
fn cmd_name(cmd: Cmd) -> String {
    let mut name = String::new();
    for c in format!("{cmd:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Keys with a name.
const NAMED: [(&str, Key); 14] = [
    ("enter", Key::Enter),
    ("esc", Key::Esc),
    ("tab", Key::Tab),
    ("shift-tab", Key::BackTab),
    ("backspace", Key::Backspace),
    ("delete", Key::Delete),
    ("up", Key::Up),
    ("down", Key::Down),
    ("left", Key::Left),
    ("right", Key::Right),
    ("home", Key::Home),
    ("end", Key::End),
    ("pgup", Key::PageUp),
    ("pgdn", Key::PageDown),
];

fn parse_key(text: &str) -> Result<Key, String> {
    if let Some((_, key)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(*key);
    }
    let rest = text.strip_prefix("ctrl-").unwrap_or(text);
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if rest.len() == text.len() => Ok(Key::Char(c)),
        (Some(c), None) if c.is_ascii_lowercase() || c == ']' => Ok(Key::Ctrl(c)),
        _ => {
            let names: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
            Err(format!(
                "no key '{text}': a key is one character, ctrl- and a letter, or one of {}",
                names.join(", ")
            ))
        }
    }
}

fn quoted(key: Key) -> String {
    let named = NAMED.iter().find(|(_, one)| *one == key);
    let name = named.map_or_else(|| key.to_string(), |(name, _)| (*name).to_owned());
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A key means one thing wherever it is pressed, letters are letters where one types, and one can leave.
fn check(keymap: &Keymap) -> Result<(), String> {
    for here in Context::ALL {
        let mut seen: BTreeMap<String, Cmd> = BTreeMap::new();
        for (key, cmd) in keymap.keys_in(here) {
            if here == Context::Typing && matches!(key, Key::Char(_)) {
                return Err(format!(
                    "[typing]: '{key}' is typed and cannot be a command"
                ));
            }
            if let Some(other) = seen.insert(key.to_string(), cmd).filter(|one| *one != cmd) {
                let (cmd, other) = (cmd_name(cmd), cmd_name(other));
                let name = here.name();
                return Err(format!("in [{name}] the key '{key}' is {cmd} and {other}"));
            }
        }
        let way_out = match here {
            Context::Choice | Context::Typing => Cmd::Cancel,
            _ => Cmd::Quit,
        };
        if !keymap.keys_in(here).any(|(_, cmd)| cmd == way_out) {
            let name = cmd_name(way_out);
            return Err(format!("no key for '{name}' in [{}]", here.name()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_full_changes_nothing() {
        assert_eq!(parse(&in_full()), Ok(Keymap::default()));
        assert_eq!(parse(""), Ok(Keymap::default()));
    }

    #[test]
    fn a_key_is_changed_and_the_others_stay() {
        let keymap = parse("[incident]\nassign = [\"A\", \"ctrl-a\"]\nzoom-in = []").unwrap();
        assert_eq!(
            keymap.find(Context::Incident, Key::Char('A')),
            Some(Cmd::Assign)
        );
        assert_eq!(
            keymap.find(Context::Incident, Key::Ctrl('a')),
            Some(Cmd::Assign)
        );
        assert_eq!(keymap.find(Context::Incident, Key::Char('a')), None);
        assert_eq!(keymap.find(Context::Incident, Key::Char('+')), None);
        assert_eq!(
            keymap.find(Context::Incident, Key::Char('n')),
            Some(Cmd::Note)
        );
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        for (file, said) in [
            ("[incidnt]", "incidents, incident"),
            ("[incident]\nasign = [\"a\"]", "assign"),
            ("[incident]\nassign = [\"contrl-a\"]", "ctrl- and a letter"),
            ("[incident]\nassign = [\"n\"]", "the key 'n' is"),
            ("[everywhere]\nquit = []", "no key for 'quit'"),
            ("[typing]\naccept = [\"a\"]", "cannot be a command"),
            ("[incident]\nassign = 3", "expected"),
        ] {
            let error = parse(file).unwrap_err();
            assert!(error.contains(said), "{file}: {error}");
        }
    }
}
