//! The file of a recording: asciicast v2 in zstd frames, chained by hashes. Values in, values out; no I/O.
//!
//! ```text
//! file      = head (frame chain)* [end]
//! head      = skippable( 1 | "tocsin/recording/v1" | the terminal when it was asked for, as protobuf )
//! frame     = a zstd frame of whole lines of asciicast v2; the first line of the first one is its header
//! chain     = skippable( 2 | hash )            hash = SHA-256( former hash | frame )
//! end       = skippable( 3 | hash | the terminal when it had ended, as protobuf | length )
//!                                              hash = SHA-256( former hash | the terminal )
//! skippable = 0x184D2A54, length of its content (both 32 bits, little-endian), content
//! ```
//!
//! The first former hash is SHA-256 of the head's content. Every zstd program skips what is skippable, so `zstd -dc FILE`
//! gives what asciicast players play. The last hash stands in the audit log: a recording that was changed, cut or
//! made anew does not fit it. Source: RFC 8878 3.1.2; asciicast v2 as asciinema documents it.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tocsin_proto::console::v1::Terminal;

/// Of skippable frames: the fifth of the sixteen that there are.
const MAGIC: u32 = 0x184D_2A54;

/// Of zstd frames.
const FRAME_MAGIC: u32 = 0xFD2F_B528;

const HEAD: u8 = 1;
const CHAIN: u8 = 2;
const END: u8 = 3;

/// The format; a reader refuses others.
const DOMAIN: &[u8] = b"tocsin/recording/v1";

/// Bytes of a terminal as it is kept: its texts are bounded.
pub(super) const TERMINAL_BYTES_MAX: usize = 256 << 10;

/// Bytes of lines that make a frame.
pub(super) const FRAME_LINES_BYTES: usize = 64 << 10;

/// Bytes of lines that a frame may unpack to: the lines, and one more of the largest piece, each byte of it escaped.
pub(super) const FRAME_LINES_BYTES_MAX: usize = 1 << 20;

/// Bytes of a frame. Lines that do not get smaller grow by less than this.
pub(super) const FRAME_BYTES_MAX: usize = FRAME_LINES_BYTES_MAX + (64 << 10);

/// Level of zstd: terminals repeat themselves, and a laptop's flood is not to cost the server much.
const LEVEL: i32 = 3;

/// A hash of the chain.
pub(crate) type Link = [u8; 32];

/// Why a file is no whole recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// It does not begin as one does.
    #[error("this is no recording, or one of a later version")]
    Head,
    /// A part that makes no sense where it is.
    #[error("its parts do not fit together")]
    Parts,
    /// A hash differs.
    #[error("it was changed after it was written: a hash of its chain does not fit")]
    Changed,
    /// A frame cannot be unpacked.
    #[error("a part of it cannot be unpacked")]
    Packed,
}

/// Writes the parts of a file, one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    link: Link,
}

impl Writer {
    /// The head, and what goes on from there.
    pub(super) fn new(terminal: &Terminal) -> (Self, Vec<u8>) {
        let content = [&[HEAD], DOMAIN, &terminal.encode_to_vec()].concat();
        let link = Sha256::digest(&content).into();
        (Self { link }, skippable(&content))
    }

    /// A frame of lines, and its place in the chain.
    pub(super) fn frame(&mut self, lines: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut part = zstd::bulk::compress(lines, LEVEL)?;
        self.link = next(&self.link, &part);
        part.extend(skippable(&[&[CHAIN], &self.link[..]].concat()));
        Ok(part)
    }

    /// The end, and the last hash.
    pub(super) fn end(self, terminal: &Terminal) -> (Vec<u8>, Link) {
        let terminal = terminal.encode_to_vec();
        let link = next(&self.link, &terminal);
        let length = 1 + link.len() + terminal.len() + 4;
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let content = [&[END], &link[..], &terminal, &length].concat();
        (skippable(&content), link)
    }
}

fn next(former: &Link, part: &[u8]) -> Link {
    let mut hash = Sha256::new();
    hash.update(former);
    hash.update(part);
    hash.finalize().into()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut part = Vec::with_capacity(8 + content.len());
    part.extend(MAGIC.to_le_bytes());
    part.extend(length.to_le_bytes());
    part.extend(content);
    part
}

/// What was read of a file.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// Lines of asciicast.
    Lines(Vec<u8>),
    /// The end: the terminal, and the last hash.
    End(Box<Terminal>, Link),
}

/// Reads the parts of a file from its bytes, in whatever pieces they come.
#[derive(Debug)]
pub(super) struct Reader {
    link: Link,
    /// Bytes that were not understood yet: at most one part.
    waiting: Vec<u8>,
    /// A frame whose place in the chain has not come.
    lines: Option<Vec<u8>>,
    /// The head came.
    pub(super) terminal: Option<Terminal>,
    /// The end came.
    pub(super) has_ended: bool,
    /// Bytes that were understood.
    bytes: u64,
    /// Those to the last head or hash, and the hash there.
    whole: Option<(u64, Link)>,
}

impl Reader {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            link: [0; 32],
            waiting: Vec::new(),
            lines: None,
            terminal: None,
            has_ended: false,
            bytes: 0,
            whole: None,
        }
    }

    /// How far the file is whole, in bytes, and how it would go on from there. `None`: not even its head is.
    pub(super) fn whole(&self) -> Option<(u64, Writer)> {
        let (bytes, link) = self.whole?;
        Some((bytes, Writer { link }))
    }

    /// Takes the next bytes; the parts that are whole now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Part>, Damage> {
        self.waiting.extend(bytes);
        let mut parts = Vec::new();
        while let Some(length) = part_length(&self.waiting)? {
            let rest = self.waiting.split_off(length);
            let part = std::mem::replace(&mut self.waiting, rest);
            parts.extend(self.take(&part)?);
            self.bytes += part.len() as u64;
            if self.lines.is_none() {
                self.whole = Some((self.bytes, self.link));
            }
        }
        Ok(parts)
    }

    fn take(&mut self, part: &[u8]) -> Result<Option<Part>, Damage> {
        if self.has_ended {
            return Err(Damage::Parts);
        }
        if part.starts_with(&FRAME_MAGIC.to_le_bytes()) {
            if self.terminal.is_none() || self.lines.is_some() {
                return Err(Damage::Parts);
            }
            self.link = next(&self.link, part);
            let lines = zstd::bulk::decompress(part, FRAME_LINES_BYTES_MAX);
            self.lines = Some(lines.map_err(|_| Damage::Packed)?);
            return Ok(None);
        }
        let content = part.get(8..).unwrap_or_default();
        let (kind, content) = content.split_first().ok_or(Damage::Parts)?;
        match (*kind, self.terminal.is_some()) {
            (HEAD, false) => self.take_head(part).map(|()| None),
            (CHAIN, true) => {
                let lines = self.lines.take().ok_or(Damage::Parts)?;
                let fits = content == self.link;
                fits.then_some(Some(Part::Lines(lines)))
                    .ok_or(Damage::Changed)
            }
            (END, true) if self.lines.is_none() => self.take_end(content).map(Some),
            (_, false) => Err(Damage::Head),
            _ => Err(Damage::Parts),
        }
    }

    fn take_head(&mut self, part: &[u8]) -> Result<(), Damage> {
        let content = part.get(8..).unwrap_or_default();
        let terminal = content.get(1..).and_then(|rest| rest.strip_prefix(DOMAIN));
        let terminal = terminal.and_then(|bytes| Terminal::decode(bytes).ok());
        self.terminal = Some(terminal.ok_or(Damage::Head)?);
        self.link = Sha256::digest(content).into();
        Ok(())
    }

    fn take_end(&mut self, content: &[u8]) -> Result<Part, Damage> {
        let (said, terminal) = content.split_first_chunk().ok_or(Damage::Parts)?;
        let (terminal, _length) = terminal.split_last_chunk::<4>().ok_or(Damage::Parts)?;
        self.link = next(&self.link, terminal);
        if *said != self.link {
            return Err(Damage::Changed);
        }
        let terminal = Terminal::decode(terminal).map_err(|_| Damage::Parts)?;
        self.has_ended = true;
        Ok(Part::End(Box::new(terminal), self.link))
    }
}

/// Length of the part that bytes begin with; `None` where more of it must come first.
fn part_length(bytes: &[u8]) -> Result<Option<usize>, Damage> {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    match u32::from_le_bytes(*magic) {
        MAGIC => {
            let Some(length) = rest.first_chunk::<4>() else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            if length > TERMINAL_BYTES_MAX {
                return Err(Damage::Parts);
            }
            Ok(Some(8 + length).filter(|length| *length <= bytes.len()))
        }
        FRAME_MAGIC => match zstd::zstd_safe::find_frame_compressed_size(bytes) {
            Ok(length) if length <= FRAME_BYTES_MAX => Ok(Some(length)),
            Ok(_) => Err(Damage::Parts),
            // Of a frame that is not whole its length is not known.
            Err(_) if bytes.len() <= FRAME_BYTES_MAX => Ok(None),
            Err(_) => Err(Damage::Packed),
        },
        _ => Err(Damage::Parts),
    }
}

/// The head of a file that begins with these bytes.
pub(super) fn head(bytes: &[u8]) -> Option<Terminal> {
    let length = part_length(bytes).ok()??;
    let mut reader = Reader::new();
    reader.take_head(bytes.get(..length)?).ok()?;
    reader.terminal
}

/// The end of a file that ends with these bytes: the terminal, and the last hash. Nothing of it is checked.
pub(super) fn tail(bytes: &[u8]) -> Option<(Terminal, Link)> {
    let (_, length) = bytes.split_last_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let part = bytes.get(bytes.len().checked_sub(8 + length)?..)?;
    let (magic, rest) = part.split_first_chunk::<4>()?;
    let content = rest.get(4..)?;
    if *magic != MAGIC.to_le_bytes() || content.first() != Some(&END) {
        return None;
    }
    let (link, terminal) = content.get(1..)?.split_first_chunk()?;
    let (terminal, _length) = terminal.split_last_chunk::<4>()?;
    Some((Terminal::decode(terminal).ok()?, *link))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(id: &str, end_time_ms: i64) -> Terminal {
        Terminal {
            id: id.into(),
            reason: "a test's".into(),
            end_time_ms,
            ..Terminal::default()
        }
    }

    /// A file of two frames.
    fn file() -> (Vec<u8>, Link) {
        let (mut writer, mut bytes) = Writer::new(&terminal("a", 0));
        bytes.extend(writer.frame(b"one\n").unwrap());
        bytes.extend(writer.frame(b"two\nthree\n").unwrap());
        let (end, link) = writer.end(&terminal("a", 9));
        bytes.extend(end);
        (bytes, link)
    }

    fn read(bytes: &[u8], step: usize) -> Result<(Vec<Part>, Reader), Damage> {
        let mut reader = Reader::new();
        let mut parts = Vec::new();
        for piece in bytes.chunks(step) {
            parts.extend(reader.push(piece)?);
        }
        Ok((parts, reader))
    }

    #[test]
    fn what_was_written_is_read_in_whatever_pieces() {
        let (bytes, link) = file();
        for step in [1, 7, 4096] {
            let (parts, reader) = read(&bytes, step).unwrap();
            let expected = [
                Part::Lines(b"one\n".into()),
                Part::Lines(b"two\nthree\n".into()),
                Part::End(Box::new(terminal("a", 9)), link),
            ];
            assert_eq!(parts, expected);
            assert_eq!(reader.terminal, Some(terminal("a", 0)));
            assert_eq!(reader.whole, Some((bytes.len() as u64, link)));
        }
        assert_eq!(head(&bytes), Some(terminal("a", 0)));
        assert_eq!(tail(&bytes), Some((terminal("a", 9), link)));
    }

    #[test]
    fn ordinary_programs_of_zstd_read_it() {
        let unpacked = zstd::stream::decode_all(&file().0[..]).unwrap();
        assert_eq!(unpacked, b"one\ntwo\nthree\n");
    }

    #[test]
    fn every_changed_byte_shows() {
        let (bytes, link) = file();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let whole = read(&changed, 4096).is_ok_and(|(parts, reader)| {
                reader.has_ended
                    && matches!(parts.last(), Some(Part::End(_, last)) if *last == link)
            });
            // The length that only `tail` reads is in no hash.
            assert!(!whole || place + 4 >= bytes.len(), "byte {place}");
        }
    }

    #[test]
    fn a_frame_that_was_taken_out_shows() {
        let (mut writer, head) = Writer::new(&terminal("a", 0));
        let (one, two) = (
            writer.frame(b"one\n").unwrap(),
            writer.frame(b"two\n").unwrap(),
        );
        let (end, _) = writer.end(&terminal("a", 9));
        let read = |parts: &[&[u8]]| read(&parts.concat(), 4096).map(|(parts, _)| parts.len());
        assert_eq!(read(&[&head, &one, &two, &end]), Ok(3));
        assert_eq!(read(&[&head, &two, &end]), Err(Damage::Changed));
        assert_eq!(read(&[&head, &one, &end]), Err(Damage::Changed));
        assert_eq!(read(&[&head, &two, &one, &end]), Err(Damage::Changed));
        assert_eq!(read(&[&one, &head]), Err(Damage::Parts));
    }

    #[test]
    fn a_torn_file_gives_what_is_whole_of_it() {
        let (bytes, _) = file();
        let end = bytes.len() - 20;
        let (parts, reader) = read(&bytes[..end], 4096).unwrap();
        assert_eq!(parts.len(), 2);
        assert!(!reader.has_ended);
        let (whole, writer) = reader.whole().unwrap();
        let whole = usize::try_from(whole).unwrap();
        let (end_of_it, link) = writer.end(&terminal("a", 7));
        let mended = [&bytes[..whole], &end_of_it].concat();
        let (parts, _) = read(&mended, 4096).unwrap();
        assert_eq!(
            parts.last(),
            Some(&Part::End(Box::new(terminal("a", 7)), link))
        );
        assert_eq!(tail(&bytes[..end]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(0u8.., 0..400)) {
            let _damage = read(&bytes, 16);
            let (mut with_head, _) = file();
            with_head.extend(&bytes);
            let _damage = read(&with_head, 64);
            let _none = (head(&bytes), tail(&bytes), tail(&with_head));
        }
    }
}
