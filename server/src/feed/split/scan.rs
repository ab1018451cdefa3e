//! Brackets, texts and keys of JSON, byte by byte: enough to find where a value ends and where an envelope
//! holds its records. Whether it is valid JSON otherwise is not decided here.

/// Arrays and objects within each other in one record. Providers nest about six deep.
pub(super) const DEPTH_MAX: usize = 64;

/// Bytes of a key that is compared with an envelope's path; longer ones are none of them.
const KEY_BYTES_MAX: usize = 32;

/// Keys of an envelope's path.
const PATH_MAX: usize = 2;

const CUT_TEXT: &str = "is not valid JSON: a text is not closed before the end of its line";
const BRACKETS: &str = "is not valid JSON: its brackets do not match";

/// A text or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) is_inside: bool,
    is_escaped: bool,
}

/// Brackets that are open, and the keys that led to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Object {
    open: Vec<u8>,
    /// Open ones beyond the limit.
    deeper: u64,
    pub(super) was_too_deep: bool,
    text: Text,
    /// Keys of the outermost objects, as far as an envelope's path could go.
    keys: Vec<Vec<u8>>,
    /// The next text is a key.
    at_key: bool,
}

/// What a byte did to an object.
pub(super) enum Step {
    Inside,
    /// An array was opened at the path in `keys`.
    ArrayOpened,
    Closed,
    Broken(&'static str),
}

impl Text {
    /// Whether the byte belongs to a text, its quotes included.
    pub(super) fn step(&mut self, byte: u8) -> bool {
        if !self.is_inside {
            self.is_inside = byte == b'"';
            return self.is_inside;
        }
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.is_inside = false,
            _ => {}
        }
        true
    }
}

impl Object {
    pub(super) fn step(&mut self, byte: u8) -> Step {
        if self.text.is_inside && byte == b'\n' {
            return Step::Broken(CUT_TEXT);
        }
        let opens = !self.text.is_inside;
        if self.text.step(byte) {
            self.take_key(byte, opens);
            return Step::Inside;
        }
        match byte {
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.shut(byte),
            b',' => {
                self.at_key = self.open.last() == Some(&b'{');
                Step::Inside
            }
            b':' => {
                self.at_key = false;
                Step::Inside
            }
            _ => Step::Inside,
        }
    }

    /// In a text that is no key to keep and with nothing escaped.
    pub(super) fn is_in_plain_text(&self) -> bool {
        self.text.is_inside
            && !self.text.is_escaped
            && (!self.at_key || self.deeper > 0 || self.open.len() > PATH_MAX)
    }

    /// Keeps the text of a key of the outer objects.
    fn take_key(&mut self, byte: u8, opens: bool) {
        let depth = self.open.len();
        if !self.at_key || self.deeper > 0 || depth > PATH_MAX {
            return;
        }
        if opens {
            self.keys.truncate(depth.saturating_sub(1));
            self.keys.resize(depth, Vec::new());
        } else if self.text.is_inside
            && let Some(key) = self.keys.last_mut()
            && key.len() <= KEY_BYTES_MAX
        {
            key.push(byte);
        }
    }

    fn open(&mut self, byte: u8) -> Step {
        if self.open.len() >= DEPTH_MAX {
            self.was_too_deep = true;
            self.deeper += 1;
            return Step::Inside;
        }
        self.open.push(byte);
        self.at_key = byte == b'{';
        if byte == b'[' {
            Step::ArrayOpened
        } else {
            Step::Inside
        }
    }

    /// The array just opened is somebody else's to close.
    pub(super) fn give_up_array(&mut self) {
        self.open.pop();
    }

    fn shut(&mut self, byte: u8) -> Step {
        self.at_key = false;
        if self.deeper > 0 {
            self.deeper -= 1;
            return Step::Inside;
        }
        let opener = if byte == b'}' { b'{' } else { b'[' };
        if self.open.pop() != Some(opener) {
            return Step::Broken(BRACKETS);
        }
        if self.open.is_empty() {
            Step::Closed
        } else {
            Step::Inside
        }
    }

    /// Whether the array just opened stands at this path, in objects only.
    pub(super) fn is_at(&self, path: &[&str]) -> bool {
        self.open.len() == path.len() + 1
            && self
                .open
                .iter()
                .take(path.len())
                .all(|opener| *opener == b'{')
            && self.keys.len() == path.len()
            && self
                .keys
                .iter()
                .zip(path)
                .all(|(key, name)| key == name.as_bytes())
    }
}
