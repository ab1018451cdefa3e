//! Keys do what the map says, and the help screen prints all of them.

use super::*;

#[test]
fn a_key_means_one_thing_wherever_it_is_pressed() {
    for here in Context::ALL {
        let mut seen = std::collections::HashMap::new();
        for row in BINDINGS.iter().filter(|row| counts(row.context, here)) {
            for key in row.keys {
                let other = seen.insert(*key, row.cmd);
                assert_eq!(other, None, "{here:?}: {key} is also {:?}", row.cmd);
            }
        }
    }
}

#[test]
fn nothing_that_is_typed_is_a_command_while_typing() {
    for c in ' '..='~' {
        assert_eq!(
            Keymap::default().find(Context::Typing, Key::Char(c)),
            None,
            "{c}"
        );
    }
}

#[test]
fn the_cursor_keys_and_the_letters_do_the_same() {
    for (letter, arrow) in [('j', Key::Down), ('k', Key::Up)] {
        let everywhere = Keymap::default().find(Context::Everywhere, arrow);
        assert!(everywhere.is_some());
        assert_eq!(
            Keymap::default().find(Context::Everywhere, Key::Char(letter)),
            everywhere
        );
    }
}
