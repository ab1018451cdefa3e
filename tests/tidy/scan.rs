//! Reads Rust text as far as the rules need: what is code, what is only there for tests, where functions are.

/// A function as it stands in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Line on which `fn` stands, from 1.
    pub(crate) line: usize,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
    /// Without `self`.
    pub(crate) parameters: usize,
}

/// The text with comments and the insides of literals blanked; every line stays where it is.
pub(crate) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        let literal = match c {
            '/' if rest.starts_with(&['/', '/']) => line_end(rest),
            '/' if rest.starts_with(&['/', '*']) => block_comment_end(rest),
            '"' => string_end(rest),
            'r' | 'b' | 'c' if !follows_word(&chars, at) => prefixed_string_end(rest),
            '\'' => char_end(rest),
            _ => 0,
        };
        if literal == 0 {
            code.push(c);
            at += 1;
        } else {
            for c in &rest[..literal] {
                code.push(if *c == '\n' { '\n' } else { ' ' });
            }
            at += literal;
        }
    }
    code
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && is_word(chars[at - 1])
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(rest: &[char]) -> usize {
    rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
}

fn block_comment_end(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_end(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"..."`, `r#"..."#`, `b"..."`, `br"..."`, `b'x'`, `c"..."`; 0 where it is none of them.
fn prefixed_string_end(rest: &[char]) -> usize {
    let prefix = rest
        .iter()
        .take_while(|c| matches!(c, 'r' | 'b' | 'c'))
        .count();
    if prefix > 2 {
        return 0;
    }
    let raw = rest[..prefix].contains(&'r');
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    match rest.get(prefix + hashes) {
        Some('"') if raw => {
            let mut close = vec!['"'];
            close.extend(std::iter::repeat_n('#', hashes));
            let inside = prefix + hashes + 1;
            rest[inside..]
                .windows(close.len())
                .position(|window| window == close)
                .map_or(rest.len(), |end| inside + end + close.len())
        }
        Some('"') if hashes == 0 => prefix + string_end(&rest[prefix..]),
        Some('\'') if hashes == 0 && rest[0] == 'b' => prefix + char_end(&rest[prefix..]),
        _ => 0,
    }
}

/// A character literal; 0 for a lifetime.
fn char_end(rest: &[char]) -> usize {
    match (rest.get(1), rest.get(2)) {
        (Some('\\'), _) => rest
            .iter()
            .skip(3)
            .position(|c| *c == '\'')
            .map_or(rest.len(), |end| end + 4),
        (Some(_), Some('\'')) => 3,
        _ => 0,
    }
}

/// `code` with every item behind `#[cfg(test)]` (or `all(test, ...)`) blanked.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept: Vec<u8> = code.bytes().collect();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(").map(|found| from + found) {
        let attribute = start..start + code[start..].find(']').map_or(0, |end| end + 1);
        from = attribute.end.max(start + 1);
        let condition = &code[attribute];
        if !has_word(condition, "test") || condition.contains("not(test") {
            continue;
        }
        let end = item_end(code, from);
        for byte in &mut kept[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Where the item that begins behind `from` ends: at its closing brace, or at its semicolon.
fn item_end(code: &str, from: usize) -> usize {
    let mut square = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'[' => square += 1,
            b']' => square = square.saturating_sub(1),
            b';' if square == 0 => return at + 1,
            b'{' if square == 0 => return block_end(code, at),
            _ => {}
        }
    }
    code.len()
}

/// Behind the brace that closes the one at `open`.
fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Whether `word` stands in `text` as a word of its own. `word` may be a path.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !behind.is_some_and(is_word)
    })
}

/// Every function with a body.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    code.match_indices("fn ")
        .filter(|(at, _)| !code[..*at].chars().next_back().is_some_and(is_word))
        .filter_map(|(at, _)| function_at(code, at))
        .collect()
}

fn function_at(code: &str, at: usize) -> Option<Function> {
    let name: String = code[at + 3..].chars().take_while(|c| is_word(*c)).collect();
    if name.is_empty() {
        return None;
    }
    let mut next = at + 3 + name.len();
    if code[next..].starts_with('<') {
        next = angle_end(code, next);
    }
    let open = next + code[next..].find('(')?;
    let (parameters, close) = parameters_at(code, open);
    let end = item_end(code, close);
    if code[..end].ends_with(';') {
        return None;
    }
    let lines_to = |to: usize| code[..to].matches('\n').count();
    Some(Function {
        name,
        line: lines_to(at) + 1,
        lines: lines_to(end) - lines_to(at) + 1,
        parameters,
    })
}

/// Behind the `>` that closes the `<` at `open`; `->` and `=>` do not count.
fn angle_end(code: &str, open: usize) -> usize {
    let (mut depth, mut before) = (0_usize, ' ');
    for (at, c) in code.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '<' => depth += 1,
            '>' if before != '-' && before != '=' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        before = c;
    }
    code.len()
}

/// How many parameters stand behind the parenthesis at `open`, and where it closes.
fn parameters_at(code: &str, open: usize) -> (usize, usize) {
    let (mut depth, mut before) = (0_usize, ' ');
    let mut count = 0;
    let mut parameter = String::new();
    let mut take = |parameter: &mut String| {
        let text = parameter.trim();
        count += usize::from(!text.is_empty() && !is_self(text));
        parameter.clear();
    };
    for (at, c) in code.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if before == '-' || before == '=' => {}
            ')' | ']' | '}' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = c;
        if depth == 0 {
            take(&mut parameter);
            return (count, at + 1);
        }
        if c == ',' && depth == 1 {
            take(&mut parameter);
        } else if at > open {
            parameter.push(c);
        }
    }
    (count, code.len())
}

fn is_self(parameter: &str) -> bool {
    let name = parameter.split(':').next().unwrap_or_default();
    name.trim_start_matches('&')
        .split_whitespace()
        .filter(|word| *word != "mut" && !word.starts_with('\''))
        .eq(["self"])
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"fn x() {\"; // } fn\nlet b = 'x'; let c = '{'; let d = '\\'';\n/* { /* } */ */ fn f<'a>() {}";
    let code = code_of(text);
    assert_eq!(code.matches('{').count(), 1, "{code}");
    assert_eq!(code.matches('}').count(), 1, "{code}");
    assert_eq!(code.lines().count(), 3);
    assert!(code.contains("fn f<'a>() {}"), "{code}");
    let raw = code_of("r#\"a \" { \"#; br\"{\"; b'{'; b\"{\\\"{\"; number { }");
    assert_eq!(raw.matches('{').count(), 1, "{raw}");
}

#[test]
fn items_for_tests_are_left_out() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\n#[cfg(test)]\nuse x::{y};\n#[cfg(not(test))]\nfn c() {}\n#[cfg(all(test, unix))]\nmod d;\nfn e() {}\n";
    let kept = without_tests(code);
    let names: Vec<_> = functions(&kept).into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["a", "c", "e"]);
    assert_eq!(kept.lines().count(), code.lines().count());
}

#[test]
fn functions_are_measured() {
    let code = "impl X {\n  pub fn long<F: Fn(u8, u8) -> u8>(&mut self, f: F, g: (u8, u8), h: [u8; 4]) -> [u8; 2]\n  where F: Send {\n    f(1, 2);\n  }\n  fn none(self: Box<Self>);\n  fn one(a: Vec<Result<u8, u8>>,\n  ) {}\n}\nlet p: fn (u8) = q;";
    let found = functions(code);
    assert_eq!(
        found,
        [
            Function {
                name: "long".into(),
                line: 2,
                lines: 4,
                parameters: 3
            },
            Function {
                name: "one".into(),
                line: 7,
                lines: 2,
                parameters: 1
            },
        ]
    );
}

#[test]
fn words_are_whole() {
    assert!(has_word("use sqlx::Row;", "sqlx"));
    assert!(!has_word("use my_sqlx::Row;", "sqlx"));
    assert!(has_word("std::fs::read", "std::fs"));
    assert!(!has_word("std::fsx", "std::fs"));
}
