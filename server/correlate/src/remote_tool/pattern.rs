//! Patterns of words, and an index that finds the marks of a word without trying each of them.
//!
//! A pattern is a word, or the beginning of one where it ends in `*`. Looking a word up costs one search for the
//! word and one for each *length* that a beginning has in the catalogue, never one for each entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Bytes of a pattern; the longest shipped one has half.
pub(super) const PATTERN_BYTES_MAX: usize = 64;

/// A word, or how it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: Box<str>,
    is_prefix: bool,
}

impl Pattern {
    /// From its text; `None` where it is empty, too long or has a star elsewhere than at its end.
    pub(super) fn new(text: &str) -> Option<Self> {
        let (stem, is_prefix) = match text.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        let is_sound = !stem.is_empty() && stem.len() <= PATTERN_BYTES_MAX && !stem.contains('*');
        is_sound.then(|| Self {
            text: stem.into(),
            is_prefix,
        })
    }

    /// Whether the word is one of it.
    pub(super) fn matches(&self, word: &str) -> bool {
        if self.is_prefix {
            word.starts_with(&*self.text)
        } else {
            word == &*self.text
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.is_prefix { "*" } else { "" })
    }
}

/// A mark's place in the catalogue.
pub(super) type MarkIndex = usize;

/// Which marks begin with a word.
#[derive(Debug, Default)]
pub(super) struct Words {
    exact: BTreeMap<Box<str>, Vec<MarkIndex>>,
    prefixes: BTreeMap<Box<str>, Vec<MarkIndex>>,
    lengths: BTreeSet<usize>,
}

impl Words {
    /// The mark is looked at for words of this pattern.
    pub(super) fn add(&mut self, pattern: &Pattern, mark: MarkIndex) {
        let map = if pattern.is_prefix {
            self.lengths.insert(pattern.text.len());
            &mut self.prefixes
        } else {
            &mut self.exact
        };
        map.entry(pattern.text.clone()).or_default().push(mark);
    }

    /// Adds the marks of a word.
    pub(super) fn find(&self, word: &str, found: &mut BTreeSet<MarkIndex>) {
        found.extend(self.exact.get(word).into_iter().flatten());
        for length in self.lengths.range(..=word.len()) {
            // A length within a character is no beginning.
            let marks = word.get(..*length).and_then(|stem| self.prefixes.get(stem));
            found.extend(marks.into_iter().flatten());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[&str], word: &str) -> Vec<MarkIndex> {
        let mut words = Words::default();
        for (mark, pattern) in patterns.iter().enumerate() {
            words.add(&Pattern::new(pattern).unwrap(), mark);
        }
        let mut found = BTreeSet::new();
        words.find(word, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn a_word_is_found_whole_and_by_its_beginning() {
        let patterns = ["rustdesk", "rustdesk-*", "r*", "rust", "ä*", "rustdesk-1*"];
        assert_eq!(found(&patterns, "rustdesk"), [0, 2]);
        assert_eq!(found(&patterns, "rustdesk-1.2"), [1, 2, 5]);
        assert_eq!(found(&patterns, "ärger"), [4]);
        assert_eq!(found(&patterns, "örger"), [0; 0], "a cut character");
        assert_eq!(found(&patterns, ""), [0; 0]);
    }

    #[test]
    fn patterns_that_would_match_anything_are_refused() {
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        for text in ["", "*", "a*b", "*a", "a**", &long] {
            assert_eq!(Pattern::new(text), None, "{text}");
        }
        assert!(Pattern::new("a*").is_some_and(|pattern| pattern.matches("a")));
    }
}
