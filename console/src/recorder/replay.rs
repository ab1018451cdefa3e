//! Tells the screens once more what a recording says, and compares what they show. Nothing is asked, written, copied or
//! connected to: what the screens would do is only counted.

use std::io::BufRead;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::line::{self, Begin, Line};
use super::{Asked, FILE_BYTES_MAX, fingerprint, rows};
use crate::screen;
use crate::state::State;
use crate::theme::Theme;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// The last frame.
    pub(crate) rows: Vec<String>,
    /// Frames that were compared.
    pub(crate) frames: usize,
    /// Number of the first frame that is another than the recorded one.
    pub(crate) first_other: Option<usize>,
    /// Whether the recording has its end, and the last frame is the one that was recorded.
    pub(crate) ends_alike: bool,
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// It cannot be read.
    #[error("read the recording")]
    Read(#[from] std::io::Error),
    /// A line is none of a recording of this form.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// Replays a recording.
///
/// # Errors
/// Where it cannot be read or is none.
pub(crate) fn replay(recording: impl BufRead) -> Result<Replayed, ReplayError> {
    let mut player: Option<Player> = None;
    let mut replayed = Replayed::default();
    let lines = recording.take(FILE_BYTES_MAX as u64 + 4096).lines();
    for (number, text) in (1..).zip(lines) {
        let wrong = |what: &str| ReplayError::Line {
            line: number,
            what: what.to_owned(),
        };
        let text = text?;
        let line: Line = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        match (line, &mut player) {
            (Line::Begin(begin), None) if begin.recording == line::FORM => {
                player = Some(Player::new(*begin).ok_or_else(|| wrong("it cannot begin so"))?);
            }
            (Line::Begin(_), _) => return Err(wrong("a recording of another form")),
            (_, None) => return Err(wrong("a recording begins with its beginning")),
            (Line::Event { now_ms, said }, Some(player)) => {
                let event = line::event(said, &player.asked);
                if let Some(event) = event {
                    let actions = player.state.on(event, now_ms);
                    player.asked.note(&actions);
                }
            }
            (Line::Keys { keys }, Some(player)) => {
                player.state.keymap = crate::keys::parse(&keys).map_err(|why| wrong(&why))?;
            }
            (Line::Frame { frame }, Some(player)) => {
                player.draw();
                replayed.frames += 1;
                let is_other = fingerprint(&player.frame) != frame;
                if is_other && replayed.first_other.is_none() {
                    replayed.first_other = Some(replayed.frames);
                }
            }
            (Line::End { rows: recorded }, Some(player)) => {
                replayed.ends_alike = rows(&player.frame) == recorded;
            }
            (Line::Full, Some(_)) => {}
        }
    }
    let Some(player) = player else {
        return Err(ReplayError::Line {
            line: 1,
            what: "it is empty".to_owned(),
        });
    };
    replayed.rows = rows(&player.frame);
    Ok(replayed)
}

struct Player {
    state: State,
    asked: Asked,
    frame: Buffer,
}

impl Player {
    fn new(begin: Begin) -> Option<Self> {
        let theme = Theme::ALL
            .into_iter()
            .find(|theme| theme.name() == begin.theme)?;
        let (columns, rows) = begin.size;
        let size = (columns.min(line::SIDE_MAX), rows.min(line::SIDE_MAX));
        let mut state = State::new(theme, size, begin.now_ms);
        state.keymap = crate::keys::parse(&begin.keys).ok()?;
        let zone = begin.local_zone;
        state.local_zone = zone.and_then(|name| TimeZone::get(&name).ok());
        begin.memory.recall(&mut state, true);
        Some(Self {
            state,
            asked: Asked::default(),
            frame: Buffer::default(),
        })
    }

    /// As the loop of the screens does it.
    fn draw(&mut self) {
        self.state.settle();
        let max = screen::scroll_max(&self.state);
        self.state.keep_scroll(max);
        self.state.ages.forget();
        let (columns, rows) = self.state.size;
        let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, rows));
        let state = &self.state;
        let drawn = terminal.draw(|frame| {
            screen::draw(state, frame);
        });
        let Ok(drawn) = drawn;
        self.frame = drawn.buffer.clone();
    }
}
